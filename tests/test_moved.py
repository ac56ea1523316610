"""What other numbers move: as much as they must, and no more of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.moved import Base, put_in_place, read_again
from analysis.outcomes.rules import RULES, Rule, RuleError
from analysis.outcomes.steps import add_up_rows, create_tables, remake_tables
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.store.kept_tables import KeptTables
from analysis.study import moved_stages
from analysis.study.stages import TABLES, Method, make_stages
from tests.observations import (
    ADDRESS,
    PROBE_NETWORK,
    answer,
    connection_with,
    http_observation,
    observation,
)
from tests.situations import ELSEWHERE, dead, misled, unconnected


def _method(rules: tuple[Rule, ...] = RULES, **numbers: Any) -> Method:
    networks = pd.DataFrame(
        {"probe_asn": [PROBE_NETWORK], "operator": ["One"], "is_domestic": [True]}
    )
    return Method.of(Thresholds(**numbers), rules, Fingerprints(), networks)


def _rows() -> list[dict[str, Any]]:
    """Days on which all is well, and two in a session that fails on eight and on four of twelve.

    Beside them three names that share an answer, and one that is not there.
    """
    made = []
    for day in range(6):
        failing = {4: 8, 5: 4}.get(day, 0)
        silent = unconnected("generic_timeout_error")
        sites = [silent if number < failing else observation() for number in range(12)]
        sites += [misled(), misled(), misled(), dead()]
        made += [
            {**row, "report_id": f"{day}", "domain": f"name{number}.example",
             "body_proportion": 0.75 if number % 2 else 1.0}
            for number, row in enumerate(sites)
        ]  # fmt: skip
    return made


_TOLD = """
SELECT row_id, domain::VARCHAR, session::VARCHAR, rule_id::VARCHAR, first_rule::VARCHAR,
  class::VARCHAR, mechanism::VARCHAR, evidence::VARCHAR, tls_rule::VARCHAR
FROM outcomes ORDER BY row_id
"""
_SESSIONS = """
SELECT domain::VARCHAR, probe_asn, session::VARCHAR, class::VARCHAR, kind::VARCHAR, is_speaking
FROM heard_sessions ORDER BY ALL
"""


@pytest.mark.parametrize("numbers", [
    {"broken_names": 13}, {"broken_names": 3, "broken_share": 0.3}, {"broken_share": 0.9},
    {"sinkhole_names": 8}, {"floor_sessions": 2}, {"pool_days": 0}, {"body_match": 0.8},
    {"share_floor": 0.9},
], ids=str)  # fmt: skip
def test_what_is_read_again_is_what_a_whole_run_reads(
    tmp_path: Path, numbers: dict[str, Any]
) -> None:
    """Among them sessions that the one number breaks and the other does not."""
    rows, other = _rows(), _method(**numbers)
    connection, alone = connection_with(rows), connection_with(rows)
    kept, standing = KeptTables("study", [tmp_path]), _method()
    make_stages(kept, connection, standing)
    base = Base(*(kept.catalog(stage, standing.describe(stage)) for stage in TABLES))
    before = connection.execute(_TOLD).fetchall()
    moved = read_again(connection, standing.thresholds, other.thresholds, RULES, base)
    if moved:
        put_in_place(connection, base)
    make_stages(None, alone, other)
    whole = alone.execute(_TOLD).fetchall()
    assert connection.execute(_TOLD).fetchall() == whole
    opened = connection_with(rows)
    make_stages(kept, opened, other)
    assert opened.execute(_TOLD).fetchall() == whole
    assert opened.execute(_SESSIONS).fetchall() == alone.execute(_SESSIONS).fetchall()
    if set(DECLARATIONS[next(iter(numbers))].stages) != {"verdicts"}:
        assert kept.holds(opened, "rules", other.describe("rules"), "touched")
    assert bool(moved) == (whole != before)
    assert moved or "broken" not in str(numbers)


@pytest.mark.parametrize(("proportion", "body_match"), [(0.75, 0.8), (0.65, 0.6)])
def test_another_length_moves_who_vouches_for_an_address(
    tmp_path: Path, proportion: float, body_match: float
) -> None:
    """An address beside the control's shows pages of two thirds or three quarters of its length."""
    beside = [answer(ADDRESS), answer(ELSEWHERE, 64499, match="none")]
    page: dict[str, Any] = {
        "body_proportion": proportion,
        "title_match": None,
        "dns_answers": beside,
    }
    made = [*(http_observation(**page) for _ in range(3)), misled(ELSEWHERE), observation()]
    rows = [
        {**row, "report_id": f"{day}-{n}", "domain": domain, "http_host": domain}
        for day in range(4)
        for domain in ("one.example", "two.example")
        for n, row in enumerate(made)
    ]
    other, kept = _method(body_match=body_match), KeptTables("study", [tmp_path])
    connection, opened, alone = (connection_with(rows) for _ in range(3))
    make_stages(kept, connection, _method())
    make_stages(kept, opened, other)
    make_stages(None, alone, other)
    assert kept.holds(opened, "rules", other.describe("rules"), "touched")
    vouched = "SELECT domain::VARCHAR, addresses FROM vouched ORDER BY 1"
    told = "SELECT * FROM features ORDER BY row_id"
    for question in (vouched, told, _TOLD, _SESSIONS):
        assert opened.execute(question).fetchall() == alone.execute(question).fetchall(), question
    before, now = (len(one.execute(vouched).fetchall()) for one in (connection, opened))
    assert (before, now) == ((2, 0) if body_match > proportion else (0, 2))


@pytest.mark.parametrize("numbers", [
    {"body_match": 0.8}, {"broken_names": 3, "broken_share": 0.3}, {"floor_sessions": 2},
], ids=str)  # fmt: skip
def test_what_runs_out_of_memory_is_begun_again_and_comes_to_the_same(
    tmp_path: Path, numbers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds less at first (``holding_less``); here some rows are in place by then."""
    exchange, failed = moved_stages._exchange, []

    def fail_once(connection: duckdb.DuckDBPyConnection, table: str, *rest: Any) -> None:
        exchange(connection, table, *rest)
        if (catalog := table.split(".")[0]) not in failed:
            failed.append(catalog)
            raise duckdb.OutOfMemoryException("no room")

    rows, kept, other = _rows(), KeptTables("study", [tmp_path]), _method(**numbers)
    connection, opened, alone = (connection_with(rows) for _ in range(3))
    make_stages(kept, connection, _method())
    monkeypatch.setattr(moved_stages, "_exchange", fail_once)
    make_stages(kept, opened, other)
    make_stages(None, alone, other)
    assert failed
    for question in (_TOLD, _SESSIONS, "SELECT * FROM features ORDER BY row_id"):
        assert opened.execute(question).fetchall() == alone.execute(question).fetchall(), question


@pytest.mark.parametrize("numbers", [{}, {"broken_names": 3, "broken_share": 0.3}], ids=str)
@pytest.mark.parametrize("left_out", [
    {"dns.name_does_not_exist"}, {"dns.name_does_not_exist", "dns.missing_for_control_too"},
    {"tcp.ok", "session.broken"},
], ids=lambda ids: ",".join(sorted(ids)))  # fmt: skip
def test_a_rule_that_is_left_out_moves_what_it_explained(
    tmp_path: Path, left_out: set[str], numbers: dict[str, Any]
) -> None:
    """Of one that is worded otherwise nobody knows what it explains, and all is made anew."""
    rows, rules = _rows(), tuple(rule for rule in RULES if rule.rule_id not in left_out)
    assert len(rules) == len(RULES) - len(left_out)
    kept, other = KeptTables("study", [tmp_path]), _method(rules, **numbers)
    connection, opened, alone = (connection_with(rows) for _ in range(3))
    make_stages(kept, connection, _method())
    make_stages(kept, opened, other)
    make_stages(None, alone, other)
    assert opened.execute(_TOLD).fetchall() == alone.execute(_TOLD).fetchall()
    assert opened.execute(_TOLD).fetchall() != connection.execute(_TOLD).fetchall()
    assert opened.execute(_SESSIONS).fetchall() == alone.execute(_SESSIONS).fetchall()
    ids = "SELECT rule_id::VARCHAR FROM rules ORDER BY rule_order"
    assert opened.execute(ids).fetchall() == [(rule.rule_id,) for rule in rules]
    assert kept.holds(opened, "rules", other.describe("rules"), "touched")
    worded = _method((replace(rules[0], condition=f"({rules[0].condition})"), *rules[1:]))
    make_stages(kept, opened, worded)
    assert not kept.holds(opened, "rules", worded.describe("rules"), "touched")


def test_rules_that_cannot_work_without_others_are_refused(tmp_path: Path) -> None:
    kept, connection = KeptTables("study", [tmp_path]), connection_with(_rows())
    make_stages(kept, connection, _method())
    last = [rule for rule in RULES if rule.layer == "tcp"][-1]
    with pytest.raises(RuleError, match="the last rule of tcp"):
        make_stages(kept, connection, _method(tuple(rule for rule in RULES if rule != last)))


def test_values_that_change_in_pairs_are_seen() -> None:
    """An exclusive or of DuckDB's hashes would not tell these two tables apart."""
    connection = duckdb.connect()
    sums = [
        connection.execute(f"SELECT bit_xor(hash(r)) FROM ({rows}) r").fetchall()
        for rows in ("VALUES (1, 'a'), (2, 'a')", "VALUES (1, 'b'), (2, 'b')")
    ]
    assert sums[0] == sums[1]
    told = [
        add_up_rows(connection, rows)
        for rows in ("VALUES (1, 'a'), (2, 'a')", "VALUES (1, 'b'), (2, 'b')")
    ]
    assert told[0] != told[1]
    assert add_up_rows(connection, "VALUES (2, 'a'), (1, 'a')") == told[0]
    assert add_up_rows(connection, "SELECT 1 WHERE FALSE") == (0, 0)


def test_what_comes_out_as_it_did_is_not_read_again() -> None:
    """A step is made again for its number, and those behind it only where that moved it."""
    steps = {
        "large": "SELECT n FROM range(10) r(n) WHERE n >= $least",
        "found": "SELECT count(*) > 0 AS is_any FROM large",
        "said": "SELECT is_any::VARCHAR AS word FROM found",
    }
    connection = duckdb.connect()
    create_tables(connection, steps, {"least": 3})
    known = {"least": 3}
    assert remake_tables(connection, steps, {"least": 5}, known) == {"large"}
    assert remake_tables(connection, steps, {"least": 10}, known) == {"large", "found", "said"}
    assert connection.execute("FROM said").fetchall() == [("false",)]
    assert remake_tables(connection, steps, known, known) == set()


def test_where_the_published_stages_are_gone_others_are_made_from_nothing(tmp_path: Path) -> None:
    """Another process may have removed the files that a long session has open."""
    rows, other = _rows(), _method(broken_names=13)
    connection, alone = connection_with(rows), connection_with(rows)
    kept = KeptTables("study", [tmp_path])
    make_stages(kept, connection, _method())
    for path in tmp_path.glob("*.duckdb"):
        path.unlink()
    make_stages(kept, connection, other)
    make_stages(None, alone, other)
    assert connection.execute(_TOLD).fetchall() == alone.execute(_TOLD).fetchall()
    assert not kept.holds(connection, "rules", other.describe("rules"), "touched")
