"""Meanings of the published tables and their columns.

They are written into a spreadsheet, a page beside the tables and, for programs,
``datapackage.json``. Source of its format: the Data Package standard, version 1, https://specs.frictionlessdata.io/.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.columns import Column, Kind, column_of
from analysis.files import digest_file
from analysis.languages.language import ENGLISH
from analysis.pages.headings import heading
from analysis.pages.html_tables import blocks, render_table
from analysis.pages.rendering import Appendix, SetItem
from analysis.reference.reference_files import country_name
from analysis.tables import TABLES, write_json

DATAPACKAGE = "datapackage.json"
#: The tables that most readers want, which are listed first.
MAIN = ("blocked_sites", "blocked_site_networks", "set_aside", "verdicts", "measurements_by_month")
#: Markup of code, emphasis and links; group 1 is the words in it.
_MARKUP = re.compile(r"(?:`|\*|\[)([^`*\]]+)(?:`|\*|\]\([^)]*\))")
_FLAG = {"type": "boolean", "trueValues": ["true"], "falseValues": ["false"]}
#: Kind of a column → its words on the page, and its Data Package type; all other kinds are texts.
_KINDS: Mapping[Kind, tuple[str, dict[str, Any]]] = {
    "list": ("list", {"type": "string"}),
    "link": ("link", {"type": "string"}),
    "state": ("state", {"type": "string"}),
    "month": ("month", {"type": "yearmonth"}),
    "asn": ("network", {"type": "string", "constraints": {"pattern": "(AS[0-9]+)?"}}),
    "count": ("whole number", {"type": "integer"}),
    "share": ("share", {"type": "number"}),
    "chance": ("number", {"type": "number", "constraints": {"minimum": 0.001, "maximum": 1}}),
    "flag": ("yes or no", _FLAG),
    "date": ("day", {"type": "date", "format": "%Y-%m-%d"}),
    "time": ("moment", {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S"}),
    **dict.fromkeys(("score", "number", "evidence"), ("number", {"type": "number"})),
}
_TEXT: tuple[str, dict[str, Any]] = ("text", {"type": "string"})
_LICENCES = {
    True: ("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    False: ("CC-BY-NC-SA-4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
}


def column_meaning(table: str, column: str) -> str:
    """Return the meaning of a column of a published table, without markup."""
    return _MARKUP.sub(r"\1", column_of(table, column).meaning)


def type_words(column: Column) -> str:
    """Return the kind of a column's values, and their unit if they have one."""
    words, _ = _KINDS.get(column.kind, _TEXT)
    return f"{words}, {column.unit}" if column.unit else words


def dictionary_page(file: str) -> Appendix:
    """Return the page that describes each table of a report, column by column."""
    line = ENGLISH.say("What each table of a report holds, column by column.")
    sections = [(f"{name}.csv", _show(name)) for name in _in_order(_OF_REPORTS)]
    return Appendix(SetItem(file, "Tables: what they hold", line), lambda *_: sections)


#: Tables of a report; the others are those of a watch, a topic or a comparison of countries.
_APART = ("watch", "side_by_side", "field_check", "topic")
_OF_REPORTS = [name for name in TABLES if not name.startswith(_APART)]


def _in_order(names: Iterable[str]) -> list[str]:
    """Return names of tables, the main ones first."""
    rank = {name: number for number, name in enumerate(MAIN)}
    return sorted(names, key=lambda name: (rank.get(name, len(MAIN)), name))


def _show(name: str) -> Markup:
    """Return a table of the columns of a published table."""
    columns = {column: column_of(name, column) for column in TABLES[name].columns}
    rows = [
        (column, type_words(declared), heading(column), column_meaning(name, column))
        for column, declared in columns.items()
    ]
    frame = pd.DataFrame(rows, columns=["name", "type", "heading", "meaning"], dtype="str")
    headings = {"name": "Column", "heading": "On pages"}
    opening = Markup("<p>{}</p>").format(_MARKUP.sub(r"\1", TABLES[name].about))
    table = render_table(frame, f"Columns of {name}.csv", "", len(frame), headings)
    cards = Markup('<div class="cards">{}</div>').format(table)
    return opening + Markup(blocks().folded(f"Its {len(frame)} columns", cards))


def write_datapackage(tables: Path, run: Mapping[str, Any]) -> None:
    """Describe the tables of a report, or of a topic, that is being made.

    Args:
        tables: the folder with all of them.
        run: the content of ``run.json``: country, period, rules, lists and licence.
    """
    licence, address = _LICENCES[run["is_fictional"]]
    files = [tables / f"{name}.csv" for name in _in_order(TABLES)]
    package = {
        "profile": "tabular-data-package",
        **_entitle(run["parameters"]),
        "version": f"rules-{run['rules_version']}",
        "method": run["method"]["digest"],
        "licenses": [{"name": licence, "path": address}],
        "sources": _list_sources(run),
        "resources": [_describe(file) for file in files if file.is_file()],
    }
    write_json(tables / DATAPACKAGE, package)


def _entitle(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the name, title and description of the package."""
    cc, since, until = (parameters[name] for name in ("probe_cc", "since", "until"))
    codes = cc.split(",")
    countries = ENGLISH.listed(map(country_name, codes))
    return {
        "name": f"internet-censorship-{'-'.join(codes).lower()}-{since}",
        "title": f"Internet censorship in {countries}: tables of a report",
        "description": f"Measurements from {since} to {until}, the day after the last. A listed "
        "site was seen blocked or likely blocked; no table says who ordered it.",
    }


def _list_sources(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return where the measurements and the reference data come from."""
    source = {"title": "OONI", "path": "https://ooni.org/data/"}
    if run["is_fictional"]:
        source = {"title": "simulated measurements"}
    return [source, *({"title": f"{file['role']} {file['name']}"} for file in run["reference"])]


def _describe(path: Path) -> dict[str, Any]:
    """Return the Data Package resource of a published CSV file."""
    table = TABLES[path.stem]
    fields = [_describe_field(table.name, column) for column in table.columns]
    key = {"primaryKey": list(table.key)} if table.key else {}
    return {
        "profile": "tabular-data-resource",
        "name": path.stem.replace("_", "-"),
        "description": _MARKUP.sub(r"\1", table.about),
        "path": path.name,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{digest_file(path)}",
        "schema": {"fields": fields, "missingValues": [""], **key},
    }


def _describe_field(table: str, name: str) -> dict[str, Any]:
    """Return the Data Package field of a column."""
    column = column_of(table, name)
    return {
        "name": name,
        "title": heading(name),
        **_KINDS.get(column.kind, _TEXT)[1],
        **({"unit": column.unit} if column.unit else {}),
        "description": column_meaning(table, name),
    }
