"""The tables that a report publishes: their columns, their checks, and how they are written.

The CSVs are also how one notebook hands its results to the next, so that what a reviewer holds
is what the next stage used. Source of names and meanings: the contract, repeated in
docs/tables.md.

Cells are written so that they are harmless to open in a spreadsheet.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

from analysis.errors import ContractError, ParameterError, suggest

Kind = Literal[
    "text", "asn", "count", "share", "number", "evidence", "chance", "flag", "date", "time"
]

#: Days and moments in every frame: UTC, without a zone. It is also what DuckDB gives.
MOMENT: Final = "datetime64[us]"

#: A spreadsheet runs a cell that starts with one of these (the full-width forms in some locales),
#: but for a negative decimal number.
#: A text that only looks disarmed is disarmed once more, so that each text comes back as it was.
_RUNNABLE = re.compile(r"(?!-\d+\.\d+$)'*[=+\-@\t\r＝＋－＠]")
_DISARMED = re.compile(f"'(?={_RUNNABLE.pattern})")
#: Of numbers, the others are texts.
_TYPES: Mapping[Kind, pa.DataType] = {
    "count": pa.int64(),
    **dict.fromkeys(("share", "number", "evidence", "chance"), pa.float64()),
    **dict.fromkeys(("date", "time"), pa.timestamp("us")),
}
_DTYPES: Mapping[Kind, str] = {
    **dict.fromkeys(("count", "asn"), "Int64"),
    **dict.fromkeys(("share", "number", "evidence", "chance"), "float64"),
    **dict.fromkeys(("date", "time"), MOMENT),
}
#: How a number or a moment is written; of any other number a whole one in the shortest way.
_FORMS: Mapping[Kind, str] = {
    "share": "{:.4f}",
    "evidence": "{:.1f}",
    "chance": "{:.1e}",
    "date": "{:%Y-%m-%d}",
    "time": "{:%Y-%m-%dT%H:%M:%S}",
}
_NETWORK = re.compile("(?:AS)?([0-9]{1,10})", re.ASCII | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def map_texts(column: pd.Series, texts: Mapping[Any, str]) -> pd.Series:
    """The text of each value, empty where it has none.

    Of no text at all ``Series.map`` makes numbers.
    """
    return pd.Series([texts.get(value, "") for value in column], column.index, "str")


def tell_cells(column: pd.Series, kind: Kind) -> NDArray[np.object_]:
    """The texts of a column, each value told once: most stand in it many times."""
    tell = partial(_cell, kind=kind)
    if column.dtype == object:  # where 1 is not true
        known = lru_cache(None, typed=True)(tell)
        return np.array([known(value) for value in column], object)
    places, values = pd.factorize(column, use_na_sentinel=False)
    return np.array(list(map(tell, pd.Series(values).to_numpy(object))), object)[places]


def _cell(value: Any, kind: Kind) -> str:
    if value is None or value is pd.NaT or (not isinstance(value, str) and pd.isna(value)):
        return ""
    if kind == "flag":
        return "true" if value else "false"
    if kind == "count":
        return "" if value == "" else disarm(str(int(value)))
    if kind == "asn":
        return disarm(tell_network(value))
    if kind == "number" and isinstance(value, int):
        return f"{value:g}"
    if value == "" or kind not in _FORMS:
        return disarm(str(value))
    return _FORMS[kind].format((pd.Timestamp if kind in ("date", "time") else float)(value))


def tell_network(number: object) -> str:
    """A network as people write it: ``AS123`` from 123, 123.0 or ``AS123``."""
    text = str(number).removesuffix(".0")
    return f"AS{text}" if text.isascii() and text.isdigit() else text


def name_network(name: object, number: object) -> str:
    """A network by name and number: ``Name (AS123)``, or ``AS123`` if it has no other name."""
    asn = tell_network(number)
    return f"{name} ({asn})" if name and name != asn else asn


def tell_networks(numbers: Iterable[object]) -> str:
    """Networks as a column of texts lists them, each once: ``AS123;AS124``."""
    return ";".join(dict.fromkeys(map(tell_network, numbers)))


def typed(name: str, rows: Any) -> pd.DataFrame:
    """Rows of a published table with its columns, and days, moments and numbers as such."""
    kinds = TABLES[name].columns
    dtypes = {column: _DTYPES[kind] for column, kind in kinds.items() if kind in _DTYPES}
    return pd.DataFrame(rows, columns=list(kinds)).astype(dtypes)


def list_rows(frame: pd.DataFrame) -> list[Any]:
    """The rows as named tuples, with None for what is missing: in Python a missing day is true."""
    objects = frame.astype(object)  # one by one, Arrow's take long
    return list(objects.where(frame.notna(), None).itertuples(index=False))


def read_network(text: object) -> int:
    """The number of a network from ``AS123`` or ``123``; -1 where the text names none."""
    found = _NETWORK.fullmatch(str(text))
    return int(found[1]) if found else -1


def read_rows(path: Path, columns: Mapping[str, Kind]) -> pd.DataFrame:
    """The rows of a CSV, with the values from the texts that ``tell_cells`` makes of them.

    Args:
        path: the file.
        columns: those that have a kind, as far as it has them; any others are as Arrow takes them.

    Raises:
        pyarrow.ArrowInvalid: it is no CSV, or a text in it is none of its column's kind.
        ValueError: two of its columns have one name.
    """
    size = max(path.stat().st_size, 1)  # one cell may be as long as the file
    types = {name: _TYPES.get(kind, pa.string()) for name, kind in columns.items()}
    read: pd.DataFrame = read_csv(
        path,
        ReadOptions(block_size=size),
        ParseOptions(newlines_in_values=True),
        ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=False),
    ).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    if not read.columns.is_unique:
        raise ValueError("two columns have one name")
    for name in read.columns.intersection(list(columns)):
        if columns[name] == "flag":
            read[name] = read[name] == "true"
        elif columns[name] == "asn":
            read[name] = read[name].str.removeprefix("AS").replace("", None).astype("Int64")
        elif columns[name] not in _TYPES:
            read[name] = _arm(read[name])
    if read.empty:  # pandas 3.1 cannot join texts that come from Arrow without a row
        read = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in read.dtypes.items()})
    return read


def _arm(column: pd.Series) -> pd.Series:
    """Texts as they were before they were disarmed."""
    bare = {text: text[1:] for text in column.unique() if _DISARMED.match(text)}
    return column.map(bare).fillna(column) if bare else column


def disarm(text: str) -> str:
    """A text that no spreadsheet runs: a cell that it would run gets an apostrophe in front."""
    clean = _CONTROL.sub("�", text)
    return f"'{clean}" if _RUNNABLE.match(text) else clean


@dataclass(frozen=True)
class Table:
    """One published table: its key columns and the kind of each column, in order."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, Kind]


def _table(name: str, key: str, columns: str) -> Table:
    """Columns are written ``name`` (text), ``name#`` (count), ``name%`` (share), ``name?`` (flag),
    ``name@`` (date), ``name&`` (time), ``name!`` (network), ``name$`` (number), ``name^``
    (evidence) or ``name~`` (chance)."""
    kinds: dict[str, Kind] = {
        "#": "count",
        "%": "share",
        "?": "flag",
        "@": "date",
        "!": "asn",
        "&": "time",
        "$": "number",
        "^": "evidence",
        "~": "chance",
    }
    parsed = {word.rstrip("#%?@!&$^~"): kinds.get(word[-1], "text") for word in columns.split()}
    return Table(name, tuple(key.split()), parsed)


_INTERVAL_KEY = "domain probe_asn blocked_from blocked_from_time"
_INTERVAL_COLUMNS = (
    "domain probe_asn! blocked_from@ mechanism last_seen_open@ blocked_until@ "
    "first_seen_open_again@ measurement_count# session_count# day_count# longest_gap_days# "
    "state schedule evidence^ chance~ last_seen_open_time& blocked_from_time& blocked_until_time& "
    "first_seen_open_again_time&"
)

#: Of a stretch: what other tables call its ``blocked_until``, ``measurement_count`` and
#: ``session_count``, which mean something else there.
_OF_STRETCH = "last_seen_blocked@ blocked_count# blocked_session_count#"

_WATCHED = (
    "network status state mechanism schedule last_seen_open@ blocked_from@ blocked_until@ "
    "first_seen_open_again@ session_count# blocked_session_count# day_count# chance~ "
    "sessions_to_flip# witness_url note"
)

_FLAGS = "measurement_count# ok_count# anomaly_count# confirmed_count# failure_count#"

TABLES = {
    table.name: table
    for table in (
        _table("ingestion_ledger", "", "reason line_count#"),
        _table("objects_not_read", "key", "key why"),
        _table("measurements_by_month", "month", f"month {_FLAGS}"),
        _table(
            "fields_met",
            "kind name",
            "kind name measurement_count# measurement_share% network_count# day_share% "
            "many_network_count# tested_network_count# first_day@ last_day@ is_too_much?",
        ),
        _table("thresholds", "name", "name value$ meaning published_value$ least$ most$"),
        _table(
            "verdicts",
            "domain probe_asn period",
            "domain probe_asn! period state mechanism rule_id measurement_count# blocked_count# "
            "down_count# ok_count# unknown_count# session_count# blocked_session_count# "
            "down_session_count# ok_session_count# day_count# blocked_share% blocked_share_low% "
            "blocked_share_high% blocked_from@ blocked_until@ sessions_to_flip# resolver_asns "
            "operator set_aside_reason note witness_report_id witness_input witness_url evidence^ "
            "chance~ schedule insufficient_reason last_seen_blocked@",
        ),
        _table("blocking_intervals", _INTERVAL_KEY, f"{_INTERVAL_COLUMNS} {_OF_STRETCH}"),
        _table("withheld_intervals", _INTERVAL_KEY, f"{_INTERVAL_COLUMNS} reason {_OF_STRETCH}"),
        _table("chances", "domain probe_asn", "domain probe_asn! evidence^ chance~"),
        _table(
            "blocked_sites",
            "domain",
            "domain registrable_domain category_code category is_local? state mechanisms "
            "probe_asns networks blocked_from@ blocked_until@ measurement_count# blocked_count# "
            "session_count# witness_url note last_seen_blocked@ all_measurement_count# "
            "all_session_count#",
        ),
        _table(
            "blocked_site_networks",
            "domain probe_asn blocked_from",
            "domain probe_asn! blocked_from@ registrable_domain category_code is_local? network "
            "operator state mechanism last_seen_open@ blocked_until@ first_seen_open_again@ "
            "schedule session_count# blocked_session_count# day_count# blocked_share% "
            "blocked_share_low% blocked_share_high% chance~ sessions_to_flip# resolver_asns "
            "witness_url note last_seen_blocked@",
        ),
        _table(
            "sites",
            "domain",
            "domain registrable_domain category_code is_local? status reason measurement_count# "
            "session_count# network_count# page",
        ),
        # what the rules rest on, in the order of the page that shows the first rows
        _table("answers", "", "resolver_asn! address quarter@ name_count# dead_name_count# "
               "live_name_count# dead_session_count# live_session_count# measurement_count# "
               "is_in_control? is_proven? is_public? profile own_live_name_count#"),
        _table("pages", "", "probe_asn! title name_count# reached_elsewhere_count# network_count# "
               "scattered_share% showing_share% measurement_count# is_blockpage?"),
        _table("rules", "", "layer rule_id outcome mechanism is_artefact? condition comment "
               "measurement_count#"),
        _table("set_aside", "domain", "domain reason measurement_count# anomaly_count# networks "
               "note flagged_count#"),
        _table("semesters", "period", "period since@ until@ measurement_count# domain_count# "
               "network_count# operator_count# blocked_domain_count# "
               "blocked_local_domain_count#"),
        _table("semester_changes", "domain", "domain is_local? change first_state second_state "
               "first_measurement_count# second_measurement_count# matched_networks "
               "note first_matched_state second_matched_state is_interrupted?"),
        _table("network_changes", "probe_asn", "probe_asn! network first_measurement_count# "
               "second_measurement_count# change"),
        _table(
            "networks",
            "probe_asn",
            "probe_asn! network operator kind kind_source measurement_count# domain_count# "
            "day_count# tested_enough_count# blocked_domain_count# mechanisms rank#",
        ),
        _table(
            "categories",
            "category_code",
            "category_code category domain_count# blocked_domain_count# measurement_count#",
        ),
        _table(
            "coverage_by_month",
            "month scope item",
            "month scope item name measurement_count# session_count# domain_count# "
            "network_count# day_count# untested_day_count# longest_gap_days#",
        ),
        _table(
            "indicators",
            "scope period",
            "scope period since@ until@ is_whole? measurement_count# session_count# "
            "network_count# domain_count# new_domain_count# day_count# untested_day_count# "
            "app_measurement_count# measurement_change_share% session_change_share% "
            "network_change_share% domain_change_share% app_measurement_change_share%",
        ),
        _table(
            "what_to_test",
            "domain probe_asn",
            "domain probe_asn! network rank# score% suspicion% closeness% age% reach% "
            "test_reason url category_code session_count# blocked_session_count# "
            "day_count# last_tested@ days_untested# tests_needed# listed_network_count# "
            "judged_network_count#",
        ),
        _table(
            "testing_plan",
            "day probe_asn domain",
            "day@ probe_asn! domain network place# url test_reason rank#",
        ),
        _table(
            "list_care",
            "file line problem",
            "file line# problem action domain url why line_now line_proposed",
        ),
        _table(
            "messaging_verdicts",
            "test_name probe_asn period",
            "test_name probe_asn! period state schedule evidence^ chance~ mechanism "
            "measurement_count# session_count# blocked_session_count# ok_session_count# "
            "failure_count# day_count# "
            "elsewhere_anomaly_share% blocked_from@ blocked_until@ blocked_from_time& note "
            "witness_url anomaly_count# parts open_parts control set_aside_reason network "
            "last_seen_blocked@",
        ),
        _table(
            "messaging_intervals",
            "test_name probe_asn part blocked_from_time",
            "test_name probe_asn! part blocked_from_time& blocked_from@ state schedule evidence^ "
            "chance~ mechanism last_seen_open_time& blocked_until@ blocked_until_time& "
            "first_seen_open_again_time& measurement_count# session_count# day_count# "
            "elsewhere_anomaly_share% endpoint_count# cut_endpoint_count# "
            f"cut_endpoints {_OF_STRETCH}",
        ),
        _table("messaging_by_month", "test_name month", f"test_name month {_FLAGS} counted_by"),
        _table("messaging_ledger", "", "test_name reason line_count#"),
        _table("messaging_not_read", "key", "key why"),
        _table(
            "messaging_defects",
            "test_name since",
            "test_name since@ until@ share% country_count# cause source",
        ),
        _table("findings", "id", "id kind rank# claim evidence decision"),
        _table("claims_audit", "claim_id", "claim_id where claim relation result arithmetic"),
        _table("decisions", "", "item decision reason date@ role status period method"),
        _table("changes", "kind item", "kind item before after cause note"),
        _table(
            "watch",
            "look change test_name item probe_asn",
            f"look@ earlier_look@ change test_name item probe_asn! {_WATCHED} cause",
        ),
        _table(
            "watch_standing",
            "test_name item probe_asn",
            f"test_name item probe_asn! {_WATCHED}",
        ),
        _table(
            "side_by_side",
            "probe_cc",
            "probe_cc country is_fictional? since@ until@ common_domain_count# "
            "common_blocked_domain_count# common_blocked_share% common_blocked_share_low% "
            "common_blocked_share_high% common_pair_count# common_blocked_pair_count# "
            "common_blocked_pair_share% measurement_count# access_measurement_count# "
            "blocked_count# blocked_measurement_share% domain_count# blocked_domain_count# "
            "blocked_domain_share% own_domain_count# network_count# blocked_network_count# "
            "largest_network_share% month_count# tested_month_count# pair_count# "
            "told_pair_count# told_pair_share% blocked_pair_count#",
        ),
        _table(
            "side_by_side_mechanisms",
            "mechanism probe_cc",
            "mechanism probe_cc pair_count# pair_share%",
        ),
        _table(
            "side_by_side_sites",
            "domain probe_cc",
            "domain probe_cc state network_count# blocked_network_count# mechanisms is_common?",
        ),
    )
}  # fmt: skip

#: Table → the notebook that writes it. No notebook writes ``claims_audit``, ``decisions``,
#: ``changes`` and those of no report.
WRITTEN_BY: Mapping[str, str] = {
    name: notebook
    for notebook, names in {
        "1-ingestion": "ingestion_ledger objects_not_read measurements_by_month fields_met",
        "2-confirmation": "thresholds verdicts blocking_intervals withheld_intervals chances "
        "networks answers pages rules",
        "3-semester-comparison": "semesters semester_changes network_changes",
        "4-blocked-sites": "blocked_sites blocked_site_networks sites set_aside categories "
        "findings",
        "8-messaging-circumvention": "messaging_verdicts messaging_intervals messaging_by_month "
        "messaging_ledger messaging_not_read messaging_defects",
        "9-coverage": "coverage_by_month indicators what_to_test testing_plan list_care",
    }.items()
    for name in names.split()
}


def write_table(folder: str | Path, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Check a table against its contract and write it as ``folder/name.csv``.

    Args:
        folder: made if it is not there.
        frame: the contract's columns; others are left out, missing ones are an error.

    Returns:
        The table as ``read_table`` would give it, so that a notebook shows what it wrote.

    Raises:
        ContractError: a column is missing, a key is empty or stands twice, or a count is negative.
    """
    table = TABLES[name]
    missing = [column for column in table.columns if column not in frame]
    if missing:
        raise ContractError(f"{name}: no column {', '.join(missing)}")
    cells = pd.DataFrame(
        {column: tell_cells(frame[column], kind) for column, kind in table.columns.items()},
        columns=list(table.columns),
        dtype=object,  # to go through Arrow's texts one by one takes long
    )
    _check_key(table, cells)
    if table.key:
        cells = cells.sort_values(list(table.key), ignore_index=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(cells.columns)
    writer.writerows(zip(*(cells[name].to_numpy() for name in cells), strict=True))
    path = Path(folder) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_aside(path, text.getvalue())
    return read_table(folder, name)


def read_table(folder: str | Path, name: str) -> pd.DataFrame:
    """Read a published table back, typed.

    Returns:
        Text columns as text (empty: ``""``), a network's number and counts as nullable integers,
        shares, evidence and chance as floats, flags as booleans, days and moments as ``MOMENT``; an
        empty cell is missing. In the order of the file.

    Raises:
        ParameterError: the table is not there; the notebook that writes it has to run first. Or
            it is not as it was written.
    """
    if name not in TABLES:
        raise ParameterError("table", name, f"there is no such table{suggest(name, TABLES)}")
    table = TABLES[name]
    path = Path(folder) / f"{name}.csv"
    if not path.is_file():
        writer = WRITTEN_BY.get(name)
        how = f"; run {writer} first, with the same parameters" if writer else ""
        raise ParameterError("tables", folder, f"{name}.csv is not in it{how}")
    try:
        return read_rows(path, table.columns)[list(table.columns)]
    except (ValueError, KeyError, pa.ArrowException) as error:
        why = f"{name}.csv is not as the workbook writes it: {error}"
        raise ParameterError("tables", folder, why) from None


def record_findings(tables: str | Path, stage: str, **findings: tuple[Any, str]) -> None:
    """Hand a notebook's headline numbers to ``run.json``.

    Args:
        tables: the folder of the tables; the findings lie beside it in ``findings/``.
        stage: the notebook's name, such as ``1-ingestion``.
        findings: name → the value and the table that it was read from.
    """
    content = {
        name: {"value": _plain(value), "table": table} for name, (value, table) in findings.items()
    }
    write_json(Path(tables).parent / "findings" / f"{stage}.json", content)


def _plain(value: Any) -> Any:
    """A number as JSON knows it; pandas' and numpy's own know how."""
    return value.item() if hasattr(value, "item") else value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all; the same bytes for the same content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_aside(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _write_aside(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8", newline="")
    aside.replace(path)


def _check_key(table: Table, cells: pd.DataFrame) -> None:
    for column in table.key:
        if (cells[column] == "").any():
            raise ContractError(f"{table.name}: a row has no {column}")
    if table.key and cells.duplicated(list(table.key)).any():
        row = cells[cells.duplicated(list(table.key))].iloc[0]
        where = ", ".join(f"{column}={row[column]}" for column in table.key)
        raise ContractError(f"{table.name}: two rows with {where}")
    for column, kind in table.columns.items():
        if kind == "count" and any(text.startswith("'") for text in cells[column].unique()):
            raise ContractError(f"{table.name}: {column} is negative")
