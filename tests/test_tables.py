"""What all folders speak: periods, names of hosts, and the tables that are published."""

import csv
import re
import runpy
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.columns import Text, Value, column_of
from analysis.errors import ContractError, ParameterError
from analysis.hosts import canonical, normalise, registrable_domain, special_kind
from analysis.outcomes.thresholds import Thresholds
from analysis.pages.headings import heading
from analysis.pages.spreadsheet import write_spreadsheet
from analysis.period import MOMENT, Period
from analysis.tables import QUERIED, TABLES, disarm, read_table, write_table
from tests.table_rows import table_rows


def _changes(**given: Any) -> pd.DataFrame:
    """A valid ``network_changes`` of two rows, with ``given`` columns on top."""
    table = pd.DataFrame(
        {
            "probe_asn": ["AS2", "AS1"],
            "network": ["Two", "One"],
            "first_measurement_count": [2, 1],
            "second_measurement_count": [0, 1],
            "change": ["only_first", "both"],
        }
    )
    return table.assign(**given)


def test_a_table_is_written_as_the_contract_says(tmp_path: Path) -> None:
    """One header row, sorted by key, LF, ISO dates, true and false, four decimals, AS numbers."""
    frame = pd.DataFrame(
        {
            "domain": ["b.example", "a.example"],
            "probe_asn": [64500, 64501],
            "period": "all",
            "state": "ok",
            "blocked_share": [1 / 3, None],
            "blocked_share_low": [0, float("nan")],
            "blocked_share_high": [1, None],
            "blocked_from": [pd.Timestamp("2024-01-09"), pd.NaT],
            "sessions_to_flip": pd.array([pd.NA, 3], dtype="Int64"),
            "is_extra": "left out",
        }
    )
    for column, kind in TABLES["verdicts"].columns.items():
        if column not in frame:
            frame[column] = 1 if kind == "count" else ""
    written = write_table(tmp_path, "verdicts", frame)
    raw = (tmp_path / "verdicts.csv").read_bytes()
    lines = raw.decode().split("\n")
    assert b"\r" not in raw
    assert lines[-1] == ""
    assert lines[0] == ",".join(TABLES["verdicts"].columns)
    assert lines[1].startswith("a.example,AS64501,all,ok,")
    assert lines[2].startswith("b.example,AS64500,all,ok,")
    assert ",0.3333,0.0000,1.0000,2024-01-09," in lines[2]
    assert written["sessions_to_flip"].isna().tolist() == [False, True]
    assert written["blocked_share"].isna().tolist() == [True, False]


def test_a_table_that_would_lie_is_refused(tmp_path: Path) -> None:
    """Which check and which rows; nothing is written, and what was there stays."""
    write_table(tmp_path, "network_changes", _changes())
    before = (tmp_path / "network_changes.csv").read_bytes()
    for frame, message in (
        (_changes(probe_asn=["AS1", "AS1"]), "two rows with probe_asn=AS1"),
        (_changes(probe_asn=["AS1", ""]), "a row has no probe_asn"),
        (_changes(probe_asn=["AS1", None]), "a row has no probe_asn"),
        (_changes(first_measurement_count=[1, -1]), "first_measurement_count is negative"),
        (_changes().drop(columns="change"), "no column change"),
    ):
        with pytest.raises(ContractError, match=f"^network_changes: {message}$"):
            write_table(tmp_path, "network_changes", frame)
    assert (tmp_path / "network_changes.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["network_changes.csv"]


def test_a_spreadsheet_runs_nothing() -> None:
    """A cell that would run is a text with an apostrophe in front."""
    for text in (
        "=1+1",
        "+1",
        "-1",
        "＝1+1",
        "'=1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "=cmd|' /C calc'!A0",
        "-2+3+cmd",
        '=HYPERLINK("http://x","y")',
    ):
        assert disarm(text)[0] == "'", text


def test_numbers_and_moments_are_such_wherever_a_table_is_read(tmp_path: Path) -> None:
    """In the frame, as a note of a notebook and in the spreadsheet: 26.5 is above 9.9, a day can be
    compared with a day, and what is empty is missing. The CSV has its text."""
    given = table_rows(
        "blocking_intervals",
        {
            "domain": "a.example",
            "probe_asn": 1,
            "evidence": 9.9,
            "chance": 0.031,
            "blocked_from": "2024-02-03",
            "blocked_from_time": "2024-02-03T04:05:06",
        },
        {
            "domain": "b.example",
            "probe_asn": 1,
            "evidence": 26.5,
            "chance": 0.001,
            "blocked_from": "2024-10-03",
            "blocked_from_time": "2024-10-03T14:05:06",
            "last_seen_open": "2024-09-30",
        },
        {
            "domain": "c.example",
            "probe_asn": 1,
            "blocked_from": "2024-01-01",
            "blocked_from_time": "2024-01-01",
        },
    )
    written = write_table(tmp_path, "blocking_intervals", given)
    lines = (tmp_path / "blocking_intervals.csv").read_text("utf-8").splitlines()
    cells = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    columns = ("evidence", "chance", "blocked_from_time", "last_seen_open")
    assert [tuple(row[name] for name in columns) for row in cells] == [
        ("9.9", "3.1e-02", "2024-02-03T04:05:06", ""),
        ("26.5", "1.0e-03", "2024-10-03T14:05:06", "2024-09-30"),
        ("", "", "2024-01-01T00:00:00", ""),
    ]
    write_spreadsheet(tmp_path, "blocking_intervals", written, title="Periods", sources={})
    book = openpyxl.load_workbook(tmp_path / "blocking_intervals.xlsx")["blocking_intervals"]
    head, *rows = book.iter_rows(min_row=2)
    shown = pd.DataFrame(
        [[cell.value for cell in row] for row in rows], columns=list(written)
    ).infer_objects()
    for frame in (given, written, shown):
        assert frame.sort_values("evidence")["domain"].tolist()[:2] == ["a.example", "b.example"]
        later = frame[frame["blocked_from"] >= "2024-02-03"]
        assert later["domain"].tolist() == ["a.example", "b.example"]
        assert frame["blocked_from_time"].max() == pd.Timestamp("2024-10-03T14:05:06")
        assert frame["last_seen_open"].isna().tolist() == [True, False, True]
    for frame in (given, written):
        assert frame[["blocked_from", "blocked_from_time"]].dtypes.eq(MOMENT).all()
    formats = {cell.value: row.number_format for cell, row in zip(head, rows[0], strict=True)}
    assert (formats["Chance"], formats["Evidence"]) == ("0.0E-00", "0.0")
    assert formats["Blocked from"] == "yyyy-mm-dd"


def test_a_threshold_is_a_number_and_a_whole_one_is_written_as_such(tmp_path: Path) -> None:
    table = write_table(tmp_path, "thresholds", Thresholds().table())
    assert table[["value", "published_value", "least", "most"]].dtypes.eq("float64").all()
    written = (tmp_path / "thresholds.csv").read_text("utf-8")
    assert re.search(r"^floor_days,3,.*,3,1,366$", written, re.MULTILINE)
    assert re.search(r"^chance_line,1000\.0,.*,1000\.0,1,1e\+06$", written, re.MULTILINE)
    assert Thresholds.read(table) == Thresholds()


def test_a_number_loses_no_digit(tmp_path: Path) -> None:
    """A month's difference from OONI's counts may be of millions; a small one may be below 0."""
    values = [1_234_567, -7_654_321, -1e-07, 0.1]
    rows = [
        {"name": f"n{place}", "value": value, "meaning": "", "published_value": 0}
        for place, value in enumerate(values)
    ]
    frame = pd.DataFrame(rows).assign(least=0, most=1).astype({"value": object})
    assert write_table(tmp_path, "thresholds", frame)["value"].tolist() == values


def test_a_digest_among_settings_is_no_number(tmp_path: Path) -> None:
    """``make validate`` writes what judged beside the thresholds; reports on its results failed."""
    frame = pd.DataFrame([("method", "3571251288200000"), ("floor_days", "3"), ("share", "0.4")])
    write_table(tmp_path, "validation_settings", frame.set_axis(["name", "value"], axis=1))
    assert set(read_table(tmp_path, "validation_settings")["value"]) == {*frame[1]}


def test_every_column_is_declared_once_and_has_its_meaning(repository_root: Path) -> None:
    """The pages of the documentation are as the tool writes them, no heading is empty, a count says
    of what, and nothing is declared that no table and no page has."""
    declared = [*TABLES.values(), *QUERIED]
    for table in declared:
        assert set(table.key) <= set(table.columns), table.name
        for name, kind in table.columns.items():
            column = column_of(table.name, name)
            assert column.meaning, f"{table.name}.{name}"
            assert heading(name), name
            assert kind in (*get_args(Text), *get_args(Value)), name
            assert bool(column.unit) >= (kind == "count" and name.endswith("_count")), name
    with (repository_root / "analysis" / "columns.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["name"] for row in rows]
    assert names == sorted(names)
    others = {(name, row["name"]) for row in rows for name in row["tables"].split()}
    assert others <= {(table.name, name) for table in declared for name in table.columns}
    usual = [row["name"] for row in rows if not row["tables"]]
    assert len(usual) == len(set(usual))
    tool = runpy.run_path(str(repository_root / "tools" / "columns_pages.py"))
    assert tool["main"](is_check=True) == 0, "run tools/columns_pages.py"


def test_a_text_comes_back_as_it_was(tmp_path: Path) -> None:
    """Markup, quotes, lines, formulas, what looks like a number or nothing at all, and megabytes,
    since readers take a file in blocks; control characters are shown as replacements."""
    texts = [
        "=1+1",
        "'=1+1",
        "''=x",
        "'quoted",
        "plain",
        "a,b",
        'say "x"',
        "two\nlines",
        " =1",
        "<script>alert(1)</script>",
        "ខ្មែរ",
        "\u202eevil",
        "NA",
        "nan",
        "None",
        "null",
        "1e5",
        "007",
        "true",
        "AS1;AS2",
        "line of a title\n" * 200_000,
        "a\0b",
        "\x1b[31m\x7f",
    ]
    frame = pd.DataFrame({"key": [f"{n:02}" for n in range(len(texts))], "why": texts})
    table = write_table(tmp_path, "objects_not_read", frame)
    assert table["why"].tolist() == [*texts[:-2], "a�b", "�[31m�"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(_TEXT, min_size=1, max_size=5))
def test_no_text_breaks_a_table(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Any text of a measurement leaves one line structure, no control character, nothing to run,
    and is read back as it was, control characters apart."""
    folder = tmp_path_factory.mktemp("tables")
    frame = pd.DataFrame({"key": [f"k{n}" for n in range(len(texts))], "why": texts})
    found = write_table(folder, "objects_not_read", frame)
    raw = (folder / "objects_not_read.csv").read_bytes()
    assert not set(raw) & (set(range(32)) - {9, 10})
    assert 127 not in raw
    assert len(found) == len(texts)
    for text, back in zip(texts, found["why"], strict=True):
        if text.isprintable():
            assert back == text


def test_a_table_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    """The notebook that writes it has to run first."""
    with pytest.raises(ParameterError, match=r"verdicts\.csv is not in it; run 2-confirmation"):
        read_table(tmp_path, "verdicts")


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    """No finding is a finding too: the file is there, with its header; it can be joined, and be a
    spreadsheet."""
    for name, table in TABLES.items():
        written = write_table(tmp_path, name, pd.DataFrame(columns=list(table.columns)))
        assert list(written.columns) == list(table.columns), name
        assert written.join(
            written.groupby(list(written)[:2]).size().rename("n"), on=list(written)[:2]
        ).empty, name
        write_spreadsheet(tmp_path, name, written, title=name, sources={})


# --- Periods are half-open and in UTC; their halves and months leave out no day. ------------------

DAYS = st.dates(date(2012, 1, 1), date(2100, 1, 1))
PERIODS = st.builds(
    lambda since, length: Period(since, since + timedelta(days=length)),
    DAYS,
    st.integers(1, 900),
)


def test_default_split_is_the_month_start_that_halves() -> None:
    """Months decide, not days, so that the halves are what people call semesters."""
    for since, until, split in (
        ("2023-07-01", "2024-07-01", "2024-01-01"),
        ("2024-01-01", "2024-04-01", "2024-03-01"),  # odd months: the first half is longer
        ("2024-01-01", "2024-02-01", "2024-01-17"),  # one month: halved by days
        ("2024-01-15", "2024-03-10", "2024-03-01"),  # touches three months
        ("2024-01-31", "2024-02-02", "2024-02-01"),
    ):
        halves = Period.parse(since, split), Period.parse(split, until)
        assert Period.parse(since, until).split() == halves
    with pytest.raises(ParameterError, match="a report compares halves"):
        Period.parse("2024-01-01", "2024-01-02").split()


@given(PERIODS)
def test_months_tile_the_period(period: Period) -> None:
    """Each day is in exactly one month, and each month is of one calendar month."""
    months = list(period.months())
    assert months[0].since == period.since
    assert months[-1].until == period.until
    assert [month.until for month in months[:-1]] == [month.since for month in months[1:]]
    assert all(month.since.month == month.last_day.month for month in months)
    assert sum(month.day_count for month in months) == period.day_count


@given(PERIODS.filter(lambda period: period.day_count > 1), st.data())
def test_halves_share_no_day_and_leave_out_none(period: Period, data: st.DataObject) -> None:
    """A day is in the period if and only if it is in exactly one half."""
    first, second = period.split()
    day = data.draw(st.dates(period.since - timedelta(days=3), period.until + timedelta(days=3)))
    assert (day in first) + (day in second) == (day in period)
    assert period.last_day in second
    assert period.until not in period


# --- One spelling per site and per address, whatever a probe wrote. -------------------------------


def test_a_site_has_one_spelling() -> None:
    """Case, port, user, path, trailing dot and script make no other site."""
    spellings = {
        "https://WWW.Example.ORG:8443/a?b#c": "www.example.org",
        "http://user:secret@example.org./": "example.org",
        "  example.org\n": "example.org",
        "http://пример.рф/": "xn--e1afmkfd.xn--p1ai",
        "http://XN--E1AFMKFD.xn--p1ai": "xn--e1afmkfd.xn--p1ai",
        "http://bücher.example/": "xn--bcher-kva.example",
        "http://93.184.216.34:80/": "93.184.216.34",
        "http://[2001:0DB8::0001]:443/": "2001:db8::1",
        "2001:0DB8::0001": "2001:db8::1",
        "http://[::ffff:93.184.216.34]/": "93.184.216.34",
        "http://a_b.example.org/": "a_b.example.org",
    }
    assert {written: normalise(written) for written in spellings} == spellings


def test_what_names_no_site_is_empty() -> None:
    """An impossible name gets no row of its own."""
    for written in (
        "",
        "http://",
        "http:///path",
        "localhost",
        "http://-a.org/",
        "http://a-.org/",
        "http://a..org/",
        "http://a b.org/",
        "http://[::1",
        "http://<script>.org/",
        "http://%00.org/",
        f"http://{'a' * 64}.org/",
        f"http://{'a.' * 130}org/",
        "x" * 10_000,
        "http://=cmd|.org/",
        "http://a\u202e.org/",
    ):
        assert normalise(written) == "", written


@given(st.one_of(st.text(max_size=80), st.from_regex(r"(https?://)?[\w.:@\[\]%-]{1,40}(/.*)?")))
def test_a_normalised_name_stays_as_it_is(text: str) -> None:
    """Normalising is idempotent and never raises; what comes out is harmless ASCII."""
    host = normalise(text)
    assert normalise(host) == host
    assert host.isascii()
    assert host == host.lower()
    assert not set(host) & set(" \t\r\n'\"<>=|/\\@")


def test_registrable_domain() -> None:
    """What somebody registered, by the Public Suffix List."""
    registered = {
        "www.news.example.co.uk": "example.co.uk",
        "example.com.kh": "example.com.kh",
        "a.blogspot.com": "a.blogspot.com",
        "co.uk": "co.uk",  # a suffix: nobody registered it
        "192.0.2.7": "192.0.2.7",
        "2001:db8::1": "2001:db8::1",
    }
    assert {host: registrable_domain(host) for host in registered} == registered


def test_special_addresses() -> None:
    """No public site has one of these; documentation ranges pass as public for every country."""
    kinds = {
        "0.0.0.0": "zero",
        "127.0.0.1": "loopback",
        "10.10.10.1": "private",
        "172.31.255.255": "private",
        "172.32.0.0": None,
        "192.168.1.1": "private",
        "100.64.0.1": "cgn",
        "100.128.0.0": None,
        "169.254.1.1": "link_local",
        "198.18.0.1": "reserved",
        "224.0.0.1": "multicast",
        "255.255.255.255": "reserved",
        "::": "zero",
        "::1": "loopback",
        "fd00::1": "private",
        "fe80::1": "link_local",
        "::ffff:127.0.0.1": "loopback",
        "8.8.8.8": None,
        "2606:4700::1111": None,
        "192.0.2.1": None,
        "198.51.100.1": None,
        "203.0.113.1": None,
        "2001:db8::1": None,
        "[scrubbed]": None,
        "": None,
        "1.2.3": None,
        "9" * 1000: None,
    }
    assert {address: special_kind(address) for address in kinds} == kinds


def test_an_address_has_one_spelling() -> None:
    """Two spellings of one address would be two answers."""
    spellings = {
        "2001:DB8:0:0::1": "2001:db8::1",
        "fe80::1%eth0": "fe80::1",
        "::ffff:10.0.0.1": "10.0.0.1",
        "010.0.0.1": None,  # octal or decimal: nobody knows
        "[scrubbed]": None,
        "example.org": None,
    }
    assert {written: canonical(written) for written in spellings} == spellings
