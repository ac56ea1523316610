"""Values and texts → inert HTML; and the fonts that come with a page.

Any text may come from a measurement and be hostile. The templates escape whatever is put in, and
control and reordering characters are written out before, so that none can act.

A page brings a font if its reader may have none for the language's script. The files in
``fonts/`` hold that script alone; Latin letters are those of the reader's own font.
"""

import math
import os
import re
from base64 import b64encode
from collections.abc import Hashable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from IPython.core.getipython import get_ipython
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis.columns import COLUMNS, Kind
from analysis.hosts import site_anchor, site_file
from analysis.languages.language import (
    ENGLISH,
    Language,
    elided,
    pairs_of_chance,
    template_functions,
    visible,
)
from analysis.reference.reference_files import REPOSITORY
from analysis.tables import read_network, tell_network
from analysis.vocabulary import STATES, value_words

TEMPLATES = Path(__file__).parent / "templates"
#: The environment variable that is set where a notebook is run for a page.
PUBLISHING = "WORKBOOK_PUBLISHING"
#: The kind of an output that holds headline numbers, and that no page and no notebook shows.
FINDINGS = "application/vnd.censorship-report.findings+json"


def is_publishing() -> bool:
    """Whether this notebook is run for a page of a report, rather than by somebody who looks."""
    return bool(os.environ.get(PUBLISHING))


def css(text: str) -> Markup:
    """The text between quotes in a style sheet: nothing in it ends the quotes or the element."""
    return Markup(
        "".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in visible(str(text)))
    )


def make_environment(*folders: Path, lang: Language = ENGLISH) -> Environment:
    """An environment of the templates in some folders and of those here.

    It escapes every value, and writes out what would act as a control. A name that is not handed
    in is an error (jinja2.UndefinedError), not an empty text. Its templates say their own sentences
    in a language: ``{{ _("…") }}``, see ``languages``.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value)),
    )
    environment.globals |= {**template_functions(lang), "font_faces": font_faces}
    environment.filters |= {"css": css, "plain": plain}
    return environment


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


def block_rules() -> str:
    """How tables, findings, matrices and lists look, on a page as in a notebook."""
    return read_css(TEMPLATES / "blocks.css")


def notebook_style() -> Markup:
    """The same look for an open notebook, for what stands in an element of class ``workbook``."""
    rules = block_rules().replace(":root", "&")
    return Markup(macros("notebook.html.j2").style(Markup(rules)))


FOLDER = Path(__file__).parent / "fonts"
#: Language → the family's files by weight, and the characters that they hold.
_FONTS = {
    "km": (
        {400: "NotoSansKhmer-Regular.woff2", 700: "NotoSansKhmer-Bold.woff2"},
        "U+1780-17FF, U+19E0-19FF, U+200B-200D, U+25CC",
    ),
}
#: What the style sheets call the font of a page's script, whichever it is.
FAMILY = "Script"


def list_fonts(code: str) -> list[Path]:
    """The font files of a language; none where every reader has one."""
    files, _ = _FONTS.get(code, ({}, ""))
    return [FOLDER / name for name in files.values()]


@lru_cache(maxsize=8)
def font_faces(code: str, folder: str = "") -> Markup:
    """The style that brings a language's font.

    Args:
        code: of the language.
        folder: where the files lie as seen from the page, for pages that share them; by default
            they are embedded, so that the page can be handed on alone.
    """
    files, characters = _FONTS.get(code, ({}, ""))
    return Markup("\n").join(
        Markup(
            '@font-face {{ font-family: "{}"; font-weight: {}; unicode-range: {}; '
            'src: url({}) format("woff2"); }}'
        ).format(FAMILY, weight, characters, f"{folder}/{name}" if folder else _embedded(name))
        for weight, name in files.items()
    )


def _embedded(name: str) -> str:
    content = b64encode((FOLDER / name).read_bytes()).decode("ascii")
    return f"data:font/woff2;base64,{content}"


#: Longer text is elided in the middle; the whole stands in the element's title.
LONGEST_TEXT = 120
LONGEST_NOTE = 600

_SITES = {"gained", "lost"}
_NETWORKS = {"probe_asns", "resolver_asns", "matched_networks"}
#: Columns of networks on which the site of the row was tested: each opens that pair.
_TESTED_ON = {"probe_asn", "probe_asns", "matched_networks"}
_NO_NAMES: Mapping[int, str] = {}
#: What the links of a column lead to.
_SHOWN = {
    "witness_url": "measurement",
    "countries_url": "by country",
    "descriptor_url": "descriptor",
    "plain_list_url": "list",
}
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(?:[/?#][!-~]*)?", re.ASCII)
_PAGE = re.compile(r"(?:\.\./){0,2}[A-Za-z0-9][A-Za-z0-9_.-]*\.html(?:#[\w-]+)?")
_TABLE = re.compile(r"(?:\.\./){0,2}tables/[A-Za-z0-9][A-Za-z0-9_.-]*\.(?:csv|xlsx|json|txt)")
_HOSTS = {"domain", "registrable_domain", "address"}
_FLAGS = {"true": "yes", "false": "no", "1": "yes", "0": "no"}
#: Columns of names that are written with dots and underscores, and may break after these.
_CODES = {"rule_id", "published_rule_id"}
_AFTER = re.compile("(?<=[._])")
_WHOLE_HOST = 32  # a host name up to this long is not broken on screen
_SHORT_ITEM = 24


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing: None, NaN, NaT, NA or an empty string."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str) and not value.strip()


def column_kind(name: Hashable, values: pd.Series) -> Kind:
    """How a column is shown: as what it is declared to be, else by its name or its type."""
    column = str(name)
    declared = COLUMNS.get(column)
    named: tuple[tuple[bool, Kind], ...] = (
        (column.endswith("_state"), "state"),
        (column.endswith("_asn") or column == "asn", "asn"),
        (column.endswith("_url"), "link"),
        (pd.api.types.is_datetime64_any_dtype(values), "date"),
        (column.startswith(("is_", "has_")) or pd.api.types.is_bool_dtype(values), "flag"),
        ("_share" in column, "share"),
        (column.endswith("_count") or pd.api.types.is_numeric_dtype(values), "number"),
    )
    if declared and declared.kind not in _BY_TYPE:
        return declared.kind
    return next((kind for applies, kind in named if applies), "text")


#: Kinds that say nothing of how a value is shown.
_BY_TYPE: tuple[Kind, ...] = ("text", "number", "score")


def is_sentence(column: str) -> bool:
    """Whether a column holds sentences rather than names."""
    return column in COLUMNS and COLUMNS[column].kind == "sentence"


def cell(
    column: str,
    kind: Kind,
    value: object,
    networks: Mapping[int, str] = _NO_NAMES,
    lang: Language = ENGLISH,
    site: str = "",
) -> Markup:
    """One value as HTML. A value that does not fit its column's kind is shown as text.

    Args:
        column: its name.
        kind: how the column is shown.
        value: what it holds.
        networks: number → name of the network.
        lang: of the words for a state.
        site: the site of the row; networks on which it was tested lead to the sessions there.
    """
    text = "" if is_empty(value) else str(value)
    if kind == "state":
        own = macros("values.html.j2", lang)
        return Markup(own.state(STATES[text])) if text in STATES else escape(visible(text))
    if not text:
        return Markup(macros("values.html.j2", lang).empty())
    site = site if column in _TESTED_ON else ""
    match kind:
        case "chance":
            return escape(chance_words(value, lang))
        case "asn":
            return pair_link(site, value, _network_cell(value, networks))
        case "date" | "time" | "month":  # the time of day is shown only where it is not midnight
            return _macro("whole", text.removesuffix(" 00:00:00"))
        case "list":
            items = [_say_code(column, item.strip(), lang) for item in text.split(";")]
            return _macro("items", [_item(column, item, networks, site) for item in items])
        case "link":  # of a source the host tells a reader on paper who says so
            host = text.removeprefix("https://").partition("/")[0]
            return link(text, _SHOWN.get(column, host))
        case "text" | "sentence":
            return site_link(text) if column == "domain" else text_cell(column, text, lang)
        case "flag":
            return escape(visible(_FLAGS.get(text.lower(), text)))
        case _:
            return escape(visible(percent(value) if kind == "share" else number(value)))


def _macro(name: str, *values: Any, **named: Any) -> Markup:
    markup: Markup = getattr(macros("values.html.j2"), name)(*values, **named)
    return markup


def number(value: object) -> str:
    """A number as every page writes it; a text that is none as it is."""
    found = _find_number(value)
    return str(value) if found is None else ENGLISH.number(found)


def plain(value: object) -> str:
    """Any value of a program's own: a yes or no, a number, a list, or a text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(plain, value)) or "none"
    return "none" if is_empty(value) else str(value)


def counted(name: str, value: object, text: str = "") -> Markup:
    """A headline number, marked with the name that it has in ``run.json``.

    What stands on two pages under one name can so be held against each other.
    """
    bare = value.item() if hasattr(value, "item") else value
    return _macro("counted", name, bare, text or number(bare))


def marked(counts: Mapping[str, object]) -> dict[str, object]:
    """Values for a sentence: the headline numbers, whose names have *count* in them, are marked."""
    return {
        name: counted(name, value) if "_count" in name else value for name, value in counts.items()
    }


def percent(value: object) -> str:
    """A share from 0 to 1 as per cent; a text that is none as it is."""
    found = _find_number(value)
    return str(value) if found is None else ENGLISH.share(float(found))


def chance_words(value: object, lang: Language = ENGLISH) -> str:
    """A chance, such as 0.031, as at most 1 in so many; a text that is none as it is."""
    found = _find_number(value)
    if found is None:
        return visible(str(value))
    if float(found) > 0.5:
        return lang.say("more than 1 in 2")
    return lang.say("1 in {many}", many=pairs_of_chance(float(found)))


def _network_cell(number: Any, names: Mapping[int, str]) -> Markup:
    """A network: its name, and its number small behind it; the number alone where none names it."""
    asn = tell_network(number)
    name = names.get(number) or asn
    return _macro("whole", asn) if name == asn else _macro("network", text_cell("", name), asn)


def _say_code(column: str, code: str, lang: Language) -> str:
    """The words of a language for a code of the vocabulary; any other text as it is."""
    words = value_words(column, code)
    return words if words == code else lang.say(words)


def _item(column: str, item: str, networks: Mapping[int, str], site: str) -> dict[str, object]:
    """One of a list, kept whole where it is short. Of a network the name: its number is shown where
    the pointer rests."""
    name = networks.get(read_network(item), "") if column in _NETWORKS else ""
    if column in _SITES:
        content = site_link(item)
    elif name:
        content = _macro("text", [elided(name, LONGEST_TEXT)], title=item)
    else:
        content = text_cell(column, item)
    shown = pair_link(site, item, content)
    return {"content": shown, "is_short": len(name or item) <= _SHORT_ITEM}


def link(target: str, words: str) -> Markup:
    """A link to an https address or to a file of the same report; anything else is plain text."""
    if not is_link(target):
        return text_cell("", target)
    if _LINK.fullmatch(target):
        return _macro("outward", target, words)
    return _macro("inward", target, words) if is_page() else _link_in_notebook(target, words)


def _link_in_notebook(target: str, words: str) -> Markup:
    """An open notebook has no pages beside it, and its tables are where it hands them on.

    JupyterLab follows a link from the notebook's folder, and to no file outside of its root, the
    repository (``make lab``).
    """
    names = getattr(get_ipython(), "user_ns", {})
    folder = names.get("tables")  # as the parameters cell calls it
    file = Path(folder, Path(target).name) if isinstance(folder, str) and folder else None
    if file is None or not _TABLE.fullmatch(target) or not file.is_file():
        return escape(words)
    if not file.resolve().is_relative_to(REPOSITORY):
        return text_cell("", str(file))
    return _macro("inward", quote(os.path.relpath(file)), words)


def is_link(target: str) -> bool:
    """Whether :func:`link` makes a link to it."""
    return any(kind.fullmatch(target) for kind in (_LINK, _PAGE, _TABLE))


def site_link(domain: str) -> Markup:
    """The name of a site, which leads to what the report says of it.

    A notebook has no such pages. In a report publication leads the names that have no page of
    their own to their line in the index.
    """
    name = text_cell("domain", domain)
    return _macro("site", site_target(domain), name) if is_page() else name


def is_page() -> bool:
    """Whether what is shown goes to a page, which has others beside it, and to no open notebook."""
    return get_ipython() is None or is_publishing()


def site_target(domain: str) -> str:
    """Where a link to a site leads until publication knows whether it has a page."""
    return f"sites/{site_file(domain)}#{site_anchor(domain)}"


def pair_target(domain: str, network: object) -> str:
    """The same for the sessions of a site on a network, which have an id on the site's page.

    Empty in a notebook, without a site, and for what is no number of a network.
    """
    if not domain or read_network(tell_network(network)) < 0 or not is_page():
        return ""
    return f"{site_target(domain)}-{tell_network(network)}"


def pair_link(domain: str, network: object, content: Markup) -> Markup:
    """What stands for a pair, leading to its sessions; where that cannot be, the content alone."""
    target = pair_target(domain, network)
    return _macro("pair", target, content) if target else content


def text_cell(column: str, text: str, lang: Language = ENGLISH) -> Markup:
    """Text in its own direction, elided in the middle where it is long."""
    words = _say_code(column, text, lang)
    longest = LONGEST_NOTE if is_sentence(column) else LONGEST_TEXT
    if len(words) > longest:
        return _macro("text", [elided(words, longest)], title=words[:2000])
    parts = _AFTER.split(words) if column in _CODES else [words]
    return _macro("text", parts, host=column in _HOSTS and len(words) <= _WHOLE_HOST)


def _find_number(value: object) -> Decimal | None:
    """What a cell holds, if that is a finite number."""
    try:
        found = Decimal(str(value))
        return found if math.isfinite(float(found)) else None
    except (InvalidOperation, ValueError):
        return None
