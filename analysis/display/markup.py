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

TEMPLATES = Path(__file__).parent / "templates"
#: The environment variable that is set where a notebook is run for a page.
PUBLISHING = "WORKBOOK_PUBLISHING"

# C0 and C1 controls, and the characters that reorder text; zero-width spaces and joiners stay,
# since Khmer needs them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_publishing() -> bool:
    """Whether this notebook is run for a page of a report, rather than by somebody who looks."""
    return bool(os.environ.get(PUBLISHING))


def visible(text: str) -> str:
    """The text with control and reordering characters written out, so that none can act."""
    text = _SURROGATE.sub("\ufffd", text)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def css(text: str) -> Markup:
    """The text between quotes in a style sheet: nothing in it ends the quotes or the element."""
    return Markup(
        "".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in visible(str(text)))
    )


def make_inert(environment: Environment) -> Environment:
    """Let an environment escape every value, and write out what would act as a control."""
    environment.autoescape = True
    environment.filters["css"] = css
    environment.finalize = lambda value: value if isinstance(value, Markup) else visible(str(value))
    return environment


def make_environment(*folders: Path) -> Environment:
    """An environment of the templates in some folders and of those here.

    A name that is not handed in is an error (jinja2.UndefinedError), not an empty text.
    """
    loader = FileSystemLoader([*folders, TEMPLATES])
    return make_inert(Environment(loader=loader, undefined=StrictUndefined, autoescape=True))


@lru_cache(maxsize=4)
def macros(template: str) -> Any:
    """The macros of a template as functions that return ``Markup``."""
    return make_environment().get_template(template).module


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """How tables, findings, matrices and lists look, on a page as in a notebook."""
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


def notebook_style() -> Markup:
    """The same look for an open notebook, for what stands in an element of class ``workbook``."""
    rules = stylesheet().replace(":root", "&")
    return Markup(macros("notebook.html.j2").style(Markup(rules)))
