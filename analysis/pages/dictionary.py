"""What the published tables and their columns mean, in the words of docs/tables.md: for a
spreadsheet, for a page beside the tables, and for programs as ``datapackage.json``.

Source of the last: the Data Package standard, version 1, https://specs.frictionlessdata.io/.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH
from analysis.pages.html_tables import render_table
from analysis.pages.rendering import Appendix, SetItem
from analysis.pages.replacing import digest
from analysis.reference.reference_files import SHIPPED, country_name
from analysis.tables import TABLES, Kind, write_json

DATAPACKAGE = "datapackage.json"
#: Those that most readers want, named first.
MAIN = ("blocked_sites", "blocked_site_networks", "set_aside", "verdicts", "measurements_by_month")
_COLUMN = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
#: Code, emphasis and links, of which the words stay.
_MARKUP = re.compile(r"(?:`|\*|\[)([^`*\]]+)(?:`|\*|\]\([^)]*\))")
#: Kind of a column → its words on the page, and its type for programs.
_KINDS: Mapping[Kind, tuple[str, dict[str, Any]]] = {
    "text": ("text", {"type": "string"}),
    "asn": ("network", {"type": "string", "constraints": {"pattern": "(AS[0-9]+)?"}}),
    "count": ("number", {"type": "integer"}),
    "share": ("share", {"type": "number"}),
    "flag": ("yes or no", {"type": "boolean", "trueValues": ["true"], "falseValues": ["false"]}),
    "number": ("number", {"type": "number"}),
    "evidence": ("number", {"type": "number"}),
    "chance": ("number", {"type": "number", "constraints": {"minimum": 0.001, "maximum": 1}}),
    "date": ("day", {"type": "date", "format": "%Y-%m-%d"}),
    "time": ("moment", {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S"}),
}
_LICENCES = {
    True: ("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    False: ("CC-BY-NC-SA-4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
}


@lru_cache(maxsize=1)
def _documentation() -> dict[str, str]:
    """Table → what one row is, and ``table.column`` → what the column means."""
    text = (SHIPPED / "docs" / "tables.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for section in text.split("\n## ")[1:]:
        table, _, rest = section.partition(".csv")
        opening = re.sub(r"^Key: .*?\.\s*", "", rest.partition("\n|")[0].strip(), flags=re.DOTALL)
        found[table] = _MARKUP.sub(r"\1", " ".join(opening.split()))
        for column, meaning in _COLUMN.findall(section):
            found[f"{table}.{column}"] = _MARKUP.sub(r"\1", meaning)
    return found


def column_meaning(table: str, column: str) -> str:
    """What a column of a published table means, in the words of the documentation."""
    return _documentation().get(f"{table}.{column}", "")


def dictionary_page(file: str) -> Appendix:
    """The page that says what each table of a report holds, column by column."""
    line = ENGLISH.say("What each table of a report holds, column by column.")
    sections = [(f"{name}.csv", _show(name)) for name in _in_order(_OF_REPORTS)]
    return Appendix(SetItem(file, "Tables: what they hold", line), lambda *_: sections)


#: Tables of a report, rather than of a look or of several countries.
_OF_REPORTS = [name for name in TABLES if not name.startswith(("watch", "side_by_side"))]


def _in_order(names: Iterable[str]) -> list[str]:
    """Names of tables, the main ones first."""
    place = {name: number for number, name in enumerate(MAIN)}
    return sorted(names, key=lambda name: (place.get(name, len(MAIN)), name))


def _show(name: str) -> Markup:
    rows = [
        (column, _KINDS[kind][0], column_meaning(name, column))
        for column, kind in TABLES[name].columns.items()
    ]
    frame = pd.DataFrame(rows, columns=["name", "type", "meaning"], dtype="str")
    headings = {"name": "Column", "type": "Type", "meaning": "Meaning"}
    opening = Markup("<p>{}</p>").format(_documentation().get(name, ""))
    return opening + render_table(frame, f"Columns of {name}.csv", "", len(frame), headings)


def write_datapackage(tables: Path, run: Mapping[str, Any]) -> None:
    """Describe the tables of a report that is being made.

    Args:
        tables: the folder with all of them.
        run: what ``run.json`` says of country, period, rules, lists and licence.
    """
    given, is_fictional = run["parameters"], run["is_fictional"]
    licence, place = _LICENCES[is_fictional]
    source = {"title": "OONI", "path": "https://ooni.org/data/"}
    package = {
        "profile": "tabular-data-package",
        "name": f"internet-censorship-{given['probe_cc'].lower()}-{given['since']}",
        "title": f"Internet censorship in {country_name(given['probe_cc'])}: tables of a report",
        "description": f"Measurements from {given['since']} to {given['until']}, the day after the "
        "last. A listed site was seen blocked or likely blocked; no table says who ordered it.",
        "version": f"rules-{run['rules_version']}",
        "method": run["method"]["digest"],
        "licenses": [{"name": licence, "path": place}],
        "sources": [
            {"title": "simulated measurements"} if is_fictional else source,
            *({"title": f"{one['role']} {one['name']}"} for one in run["reference"]),
        ],
        "resources": [
            _describe(tables / f"{name}.csv")
            for name in _in_order(_OF_REPORTS)
            if (tables / f"{name}.csv").is_file()
        ],
    }
    write_json(tables / DATAPACKAGE, package)


def _describe(path: Path) -> dict[str, Any]:
    table = TABLES[path.stem]
    fields = [
        {"name": column, **_KINDS[kind][1], "description": column_meaning(path.stem, column)}
        for column, kind in table.columns.items()
    ]
    key = {"primaryKey": list(table.key)} if table.key else {}
    return {
        "profile": "tabular-data-resource",
        "name": path.stem.replace("_", "-"),
        "description": _documentation().get(path.stem, ""),
        "path": path.name,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{digest(path)}",
        "schema": {"fields": fields, "missingValues": [""], **key},
    }
