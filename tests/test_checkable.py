"""Each number of a report can be computed again by somebody who has only its published tables.

Nothing of the workbook is used here but the report: DuckDB reads the CSVs, and each computation is
written from what docs/tables.md says of their columns.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bs4 import BeautifulSoup

from benchmarks.sentences import (
    compute,
    find_false_sentences,
    find_unmarked_numbers,
    find_wrong_numbers,
    open_tables,
)

Ask = Callable[[str], Any]


def _bound_shares(ask: Ask) -> dict[str, float]:
    """Shares of the last validation with Wilson's 95 % bounds, from the counts."""
    rows = ask(
        "SELECT measure, stratum, success_count, trial_count FROM validation_accuracy "
        "WHERE part = 'report'"
    ).fetchall()
    counts = {(measure, stratum): count for measure, stratum, *count in rows}
    measures = {"site_precision": "precision of sites", "pair_recall": "recall of pairs"}
    found = {}
    for name, measure in measures.items():
        share, low, high = _wilson(*counts[measure, "all"])
        found |= {f"{name}_share": share, f"{name}_low_share": low, f"{name}_high_share": high}
    for (measure, stratum), count in counts.items():
        if measure == "precision by mechanism":
            found[f"precision_of_{stratum}_low_share"] = _wilson(*count)[1]
    return found


def _wilson(hits: int, total: int) -> tuple[float, float, float]:
    z = 1.959964
    share = hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    half = spread / (1 + z * z / total)
    return share, max(centre - half, 0.0), min(centre + half, 1.0)


@pytest.fixture(scope="module")
def tables(fictional_report: Path) -> duckdb.DuckDBPyConnection:
    return open_tables(fictional_report / "tables")


def test_every_headline_is_computed_from_the_tables(
    fictional_report: Path, tables: duckdb.DuckDBPyConnection
) -> None:
    """Each number of ``run.json`` names a published table, and comes out of the tables; whoever
    adds one says in ``sentences`` what it counts."""
    run = json.loads((fictional_report / "run.json").read_text(encoding="utf-8"))
    findings = run["findings"]
    assert {f"{one['table']}.csv" for one in findings.values()} <= run["tables"].keys()
    shares = _bound_shares(tables.sql)
    wrong = {}
    for name, one in findings.items():
        computed = shares[name] if name.endswith("_share") else compute(tables, name)
        if computed != pytest.approx(one["value"], rel=1e-6):
            wrong[name] = one["value"], computed
    assert wrong == {}


def test_no_sentence_says_what_the_tables_deny(fictional_report: Path) -> None:
    """Each number of a sentence, in each language, comes out of the query of its key; none of the
    first page and the annex is without one."""
    assert list(find_false_sentences(fictional_report)) == []


def test_a_number_that_the_tables_deny_is_found(tables: duckdb.DuckDBPyConnection) -> None:
    """As one that stood on a first page: the sites of all blocks that began in some days, called
    new; and one that nobody can compute."""
    told = "<main><p>{} sites were first found blocked in these days.</p></main>"
    count = compute(tables, "onset.site_count")
    marked = f'<data data-key="{{}}" value="{count}">{count}</data>'
    sentence = {
        name: BeautifulSoup(told.format(marked.format(name)), "html.parser")
        for name in ("onset.site_count", "onset.new_count", "onset.none_count")
    }
    assert not list(find_wrong_numbers(sentence["onset.site_count"], tables))
    (wrong,) = find_wrong_numbers(sentence["onset.new_count"], tables)
    new = compute(tables, "onset.new_count")
    assert wrong.endswith(f"{count} on the page, {new} by the tables")
    assert list(find_wrong_numbers(sentence["onset.none_count"], tables)) == [
        "onset.none_count: no query"
    ]
    plain = BeautifulSoup(told.format(count), "html.parser")
    assert list(find_unmarked_numbers(plain)) == [f"not marked: {plain.p.get_text()}"]


#: What a page shows → a query that has a row where two tables say different things of it.
_CONTRADICTIONS = {
    "versions of the test": "FROM measurements_by_month JOIN (SELECT month, "
    "sum(first_measurement_count + second_measurement_count) AS counted FROM test_versions "
    "GROUP BY month) USING (month) WHERE counted <> measurement_count",
    "versions in each half": "FROM semesters, (SELECT sum(first_measurement_count) AS first, "
    "sum(second_measurement_count) AS second FROM test_versions) "
    "WHERE period = 'first' AND measurement_count <> first "
    "OR period = 'second' AND measurement_count <> second",
    "runs": "FROM (SELECT sum(measurement_count) AS counted FROM run_counts) "
    "WHERE counted <> (SELECT sum(measurement_count) FROM measurements_by_month)",
    "what each rule explains": "FROM (SELECT sum(measurement_count) AS counted FROM rules) "
    "WHERE counted <> (SELECT sum(measurement_count) FROM measurements_by_month)",
    "traces that are not listed": "FROM (unlisted_traces LEFT JOIN rules USING (rule_id)) AS "
    "found JOIN verdicts USING (domain, probe_asn) WHERE period = 'all' AND "
    "(NOT coalesce(is_artefact, FALSE) OR state IN ('blocked', 'likely_blocked'))",
    "sessions by day": "FROM verdicts JOIN (SELECT domain, probe_asn, "
    "sum(COLUMNS('.*_count')), count(*) AS days FROM session_days GROUP BY ALL) AS told "
    "USING (domain, probe_asn) WHERE period = 'all' AND (told.session_count <> "
    "verdicts.session_count OR told.blocked_session_count <> verdicts.blocked_session_count)",
    "how long networks were tested": "FROM networks JOIN (SELECT item, "
    "sum(last_day - first_day + 1) AS days FROM tested_stretches GROUP BY item) "
    "ON item = probe_asn WHERE days <> day_count",
    "the largest network": "FROM source_shares WHERE source = 'Network' AND abs(largest_share - "
    "(SELECT max(measurement_count) / sum(measurement_count) FROM networks)) > 0.0001",
    "lines added to lists": "FROM list_changes LEFT JOIN (SELECT date_added[:7] AS month, "
    "file AS list, count(*) AS lines, count(first_tested) AS tested FROM "
    "(SELECT * REPLACE (date_added::VARCHAR AS date_added) FROM list_additions) "
    "GROUP BY ALL) USING (month, list) WHERE lines IS DISTINCT FROM line_count "
    "OR tested IS DISTINCT FROM tested_line_count",
    "what other methods list": "FROM (UNPIVOT (SELECT * REPLACE (own_baseline::BOOLEAN AS "
    "own_baseline) FROM method_comparison) ON COLUMNS(* EXCLUDE "
    "(domain, state, set_aside_reason, why)) INTO NAME method VALUE is_on_list) AS sites "
    "LEFT JOIN (SELECT method, domain, bool_or(is_listed) AS is_any FROM method_pairs "
    "GROUP BY ALL) USING (method, domain) WHERE is_on_list <> coalesce(is_any, FALSE)",
    "what this method lists": "FROM method_comparison "
    "WHERE this_method <> (domain IN (SELECT domain FROM listed))",
    "shares of the validation": "FROM validation_accuracy WHERE trial_count > 0 "
    "AND abs(share - success_count / trial_count) > 0.0001",
}


def test_what_pages_show_agrees_with_the_other_tables(tables: duckdb.DuckDBPyConnection) -> None:
    """The tables behind single figures and sentences count the same as those they are parts of."""
    for what, query in _CONTRADICTIONS.items():
        assert tables.sql(f"SELECT * {query}").fetchall() == [], what
