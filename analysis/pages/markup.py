"""HTML from templates in which every text is inert.

A text may come from a measurement and be hostile. The templates escape whatever is put in, and
control and reordering characters are written out before, so that none can act.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language, template_functions, visible
from analysis.pages.fonts import font_faces

TEMPLATES = Path(__file__).parent / "templates"
#: The environment variable that is set where a notebook is run for a page.
PUBLISHING = "WORKBOOK_PUBLISHING"


def is_publishing() -> bool:
    """Whether this notebook is run for a page of a report, rather than by somebody who looks."""
    return bool(os.environ.get(PUBLISHING))


def css(text: str) -> Markup:
    """The text between quotes in a style sheet: nothing in it ends the quotes or the element."""
    return Markup(
        "".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in visible(str(text)))
    )


def make_inert(environment: Environment, lang: Language = ENGLISH) -> Environment:
    """Let an environment escape every value, and write out what would act as a control.

    Its templates say their own sentences in a language: ``{{ _("…") }}``, see ``languages``.
    """
    environment.globals |= template_functions(lang)
    environment.autoescape = True
    environment.filters["css"] = css
    environment.globals["font_faces"] = font_faces
    environment.finalize = lambda value: value if isinstance(value, Markup) else visible(str(value))
    return environment


def make_environment(*folders: Path, lang: Language = ENGLISH) -> Environment:
    """An environment of the templates in some folders and of those here.

    A name that is not handed in is an error (jinja2.UndefinedError), not an empty text.
    """
    loader = FileSystemLoader([*folders, TEMPLATES])
    environment = Environment(loader=loader, undefined=StrictUndefined, autoescape=True)
    return make_inert(environment, lang)


@lru_cache(maxsize=16)
def macros(template: str, lang: Language = ENGLISH) -> Any:
    """The macros of a template as functions that return ``Markup``."""
    return make_environment(lang=lang).get_template(template).module


@lru_cache(maxsize=8)
def read_css(path: Path) -> str:
    """A style sheet without comments and indents: a report of thousands of pages has it in each."""
    rules = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    rules = re.sub(r"\s*\n\s*", "\n", rules).strip()
    return re.sub(r"(?<=[;:,{]) | (?=[{}])", "", rules) + "\n"


def stylesheet() -> str:
    """How tables, findings, matrices and lists look, on a page as in a notebook."""
    return read_css(TEMPLATES / "blocks.css")


def notebook_style() -> Markup:
    """The same look for an open notebook, for what stands in an element of class ``workbook``."""
    rules = stylesheet().replace(":root", "&")
    return Markup(macros("notebook.html.j2").style(Markup(rules)))
