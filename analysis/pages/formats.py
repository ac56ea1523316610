"""Inert HTML of values and texts, and the fonts of a page.

Any text may come from a measurement and be hostile. The templates escape every value, and control
and reordering characters are spelled out before, so that none takes effect.

A page brings a font if its reader may have none for the language's script. The files in ``fonts/``
have the characters of that script only; Latin letters are set in the reader's own font.
"""

import math
import os
import re
from base64 import b64encode
from collections.abc import Hashable, Mapping
from datetime import date
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
#: The environment variable that is set while a notebook runs for a page.
PUBLISHING = "WORKBOOK_PUBLISHING"
#: The MIME type of an output with headline numbers, which neither a page nor a notebook shows.
FINDINGS = "application/vnd.censorship-report.findings+json"


def is_publishing() -> bool:
    """Return whether this notebook runs for a page of a report, and not in a reader's hands."""
    return bool(os.environ.get(PUBLISHING))


def css(text: str) -> Markup:
    """Return a text as it stands in quotes in a style sheet, where it cannot end the quotes."""
    return Markup(
        "".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in visible(str(text)))
    )


def make_environment(*folders: Path, lang: Language = ENGLISH) -> Environment:
    """Return an environment of the templates in some folders and in this package.

    It escapes every value and spells out control characters. A name without a value is an error
    (jinja2.UndefinedError), not an empty text. The sentences of a template are translated into the
    language: ``{{ _("…") }}``, see ``languages``.
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
    """Return the macros of a template, as functions that return ``Markup``."""
    return make_environment(lang=lang).get_template(template).module


@lru_cache(maxsize=8)
def read_css(path: Path) -> str:
    """Return a style sheet without comments and indents, since thousands of pages embed it."""
    rules = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    rules = re.sub(r"\s*\n\s*", "\n", rules).strip()
    return re.sub(r"(?<=[;:,{]) | (?=[{}])", "", rules) + "\n"


def block_rules() -> str:
    """Return the style of tables, findings, matrices and lists, for pages and notebooks."""
    return read_css(TEMPLATES / "blocks.css")


def notebook_style() -> Markup:
    """Return the same style for elements of class ``workbook`` in an open notebook."""
    rules = block_rules().replace(":root", "&")
    return Markup(macros("notebook.html.j2").style(Markup(rules)))


FOLDER = Path(__file__).parent / "fonts"
#: Language → the font files by weight, and the range of their characters.
_FONTS = {
    "km": (
        {400: "NotoSansKhmer-Regular.woff2", 700: "NotoSansKhmer-Bold.woff2"},
        "U+1780-17FF, U+19E0-19FF, U+200B-200D, U+25CC",
    ),
}
#: The name of the font of a page's script in the style sheets, whatever the script.
FAMILY = "Script"


def list_fonts(code: str) -> list[Path]:
    """Return the font files of a language; none if every reader has a font for its script."""
    files, _ = _FONTS.get(code, ({}, ""))
    return [FOLDER / name for name in files.values()]


@lru_cache(maxsize=8)
def font_faces(code: str, folder: str = "") -> Markup:
    """Return the style rules that load a language's font.

    Args:
        code: of the language.
        folder: relative URL of the font files, for pages that share them; by default they are
            embedded, so that the page works without other files.
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


#: Longer text is elided in the middle; the element's title has all of it.
LONGEST_TEXT = 120
LONGEST_NOTE = 600

_SITES = {"gained", "lost"}
_NETWORKS = {"probe_asns", "resolver_asns", "matched_networks"}
#: Columns of networks on which the site of the row was tested; each network links to that pair.
_TESTED_ON = {"probe_asn", "probe_asns", "matched_networks"}
_NO_NAMES: Mapping[int, str] = {}
#: Column → the words of its links.
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
#: Columns of names with dots and underscores, after which a line may break.
_CODES = {"rule_id", "published_rule_id"}
_AFTER = re.compile("(?<=[._])")
_WHOLE_HOST = 32  # a host name up to this long is not broken on screen
_SHORT_ITEM = 24


def is_empty(value: object) -> bool:
    """Return whether a cell is empty: None, NaN, NaT, NA or an empty string."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str) and not value.strip()


def column_kind(name: Hashable, values: pd.Series) -> Kind:
    """Return the kind as which a column is shown: as declared, else by its name or its type."""
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


#: Declared kinds that leave the format to the name and the type of the column.
_BY_TYPE: tuple[Kind, ...] = ("text", "number", "score")


def is_sentence(column: str) -> bool:
    """Return whether the values of a column are sentences rather than names."""
    return column in COLUMNS and COLUMNS[column].kind == "sentence"


def cell(
    column: str,
    kind: Kind,
    value: object,
    networks: Mapping[int, str] = _NO_NAMES,
    lang: Language = ENGLISH,
    site: str = "",
) -> Markup:
    """Return a value as HTML. A value that does not fit its column's kind is shown as text.

    Args:
        column: name of the column.
        kind: the kind as which the column is shown.
        value: value of the cell.
        networks: number → name of the network.
        lang: of the words for a state.
        site: the site of the row; networks on which it was tested link to the sessions there.
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
        case "link":  # on paper, the host names the source
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
    """Return a number in the format of all pages; a text that is no number is unchanged."""
    parsed = _find_number(value)
    return str(value) if parsed is None else ENGLISH.number(parsed)


def plain(value: object) -> str:
    """Return any value of the program in words: a yes or no, a number, a list, or a text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(plain, value)) or "none"
    return "none" if is_empty(value) else str(value)


def counted(name: str, value: object, text: str = "", of: str = "") -> Markup:
    """Return a number or a day of a sentence, marked with the name of what it counts.

    Headline numbers have their names in ``run.json``. Whoever checks a page finds each number by
    its mark, and computes it from the published tables (``benchmarks/sentences.py``).

    Args:
        name: such as ``blocked_domain_count`` or ``onset.first_day``.
        value: a number, or a day.
        text: the value as the page shows it.
        of: the row that it is about, if it is one of several: a network, a category, a method.
    """
    bare = value.item() if hasattr(value, "item") else value
    return _macro("counted", name, bare, text or number(bare), of, isinstance(bare, date))


def marked(counts: Mapping[str, object]) -> dict[str, object]:
    """Return values for a sentence, of which those named ``…_count…`` are marked."""
    return {
        name: counted(name, value) if "_count" in name else value for name, value in counts.items()
    }


def percent(value: object) -> str:
    """Return a share from 0 to 1 as per cent; a text that is no number is unchanged."""
    parsed = _find_number(value)
    return str(value) if parsed is None else ENGLISH.share(float(parsed))


def chance_words(value: object, lang: Language = ENGLISH) -> str:
    """Return a chance, such as 0.031, as 1 in a number; a text that is no number is unchanged."""
    parsed = _find_number(value)
    if parsed is None:
        return visible(str(value))
    if float(parsed) > 0.5:
        return lang.say("more than 1 in 2")
    return lang.say("1 in {many}", many=pairs_of_chance(float(parsed)))


def _network_cell(number: Any, names: Mapping[int, str]) -> Markup:
    """Return a network's name and, in small type, its number; the number if it has no name."""
    asn = tell_network(number)
    name = names.get(number) or asn
    return _macro("whole", asn) if name == asn else _macro("network", text_cell("", name), asn)


def _say_code(column: str, code: str, lang: Language) -> str:
    """Return the words for a code of the vocabulary; any other text is unchanged."""
    words = value_words(column, code)
    return words if words == code else lang.say(words)


def _item(column: str, item: str, networks: Mapping[int, str], site: str) -> dict[str, object]:
    """Return the item of a list, with whether it is short enough to stay on one line.

    A network is shown by its name; its number is in the tooltip.
    """
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
    """Return a link to an https address or a file of this report; anything else is plain text."""
    if not is_link(target):
        return text_cell("", target)
    if _LINK.fullmatch(target):
        return _macro("outward", target, words)
    return _macro("inward", target, words) if is_page() else _link_in_notebook(target, words)


def _link_in_notebook(target: str, words: str) -> Markup:
    """Return a link to a table that an open notebook has written; plain text for other targets.

    An open notebook has no pages beside it. JupyterLab resolves a link from the notebook's folder,
    and opens no file outside its root, the repository (``make lab``).
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
    """Return whether :func:`link` makes a link to a target."""
    return any(kind.fullmatch(target) for kind in (_LINK, _PAGE, _TABLE))


def site_link(domain: str) -> Markup:
    """Return the name of a site with a link to its page; in a notebook, the name alone.

    On publication, the names of sites without a page are linked to their line in the index.
    """
    name = text_cell("domain", domain)
    return _macro("site", site_target(domain), name) if is_page() else name


def is_page() -> bool:
    """Return whether the output is for a page of a report, and not for an open notebook."""
    return get_ipython() is None or is_publishing()


def site_target(domain: str) -> str:
    """Return the target of a link to a site, which publication corrects if there is no page."""
    return f"sites/{site_file(domain)}#{site_anchor(domain)}"


def pair_target(domain: str, network: object) -> str:
    """Return the target of a link to the sessions of a site on a network, on the site's page.

    Empty in a notebook, without a site, and if ``network`` is no number of a network.
    """
    if not domain or read_network(tell_network(network)) < 0 or not is_page():
        return ""
    return f"{site_target(domain)}-{tell_network(network)}"


def pair_link(domain: str, network: object, content: Markup) -> Markup:
    """Return content with a link to the sessions of a pair, if they have a target."""
    target = pair_target(domain, network)
    return _macro("pair", target, content) if target else content


def text_cell(column: str, text: str, lang: Language = ENGLISH) -> Markup:
    """Return text in its own direction of writing, elided in the middle if it is long."""
    words = _say_code(column, text, lang)
    longest = LONGEST_NOTE if is_sentence(column) else LONGEST_TEXT
    if len(words) > longest:
        return _macro("text", [elided(words, longest)], title=words[:2000])
    parts = _AFTER.split(words) if column in _CODES else [words]
    return _macro("text", parts, host=column in _HOSTS and len(words) <= _WHOLE_HOST)


def _find_number(value: object) -> Decimal | None:
    """Return the value of a cell if it is a finite number, else None."""
    try:
        parsed = Decimal(str(value))
        return parsed if math.isfinite(float(parsed)) else None
    except (InvalidOperation, ValueError):
        return None
