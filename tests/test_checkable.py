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

Ask = Callable[[str], Any]

# All that the tables say of pairs on the country's access networks in the whole period.
_ACCESS = """
CREATE VIEW access AS SELECT v.*, operator_of.operator AS run_by
FROM verdicts v JOIN (SELECT probe_asn, operator FROM networks
  WHERE kind IN ('isp', 'mobile', 'education', 'unknown')) operator_of USING (probe_asn)
WHERE period = 'all';
CREATE VIEW listed AS FROM access WHERE state IN ('blocked', 'likely_blocked');
CREATE VIEW tested AS FROM access
WHERE insufficient_reason IS NULL OR insufficient_reason NOT IN ('few_sessions', 'few_days');
CREATE VIEW graded AS SELECT CASE
  WHEN sessions_to_flip < 2 THEN 'thin'
  WHEN blocked_session_count >= 12 THEN 'very_strong'
  WHEN blocked_session_count >= 6 THEN 'strong' ELSE 'fair' END AS grade
FROM listed;
CREATE VIEW app AS FROM messaging_verdicts WHERE period = 'all';
CREATE VIEW cut_app AS FROM app WHERE state IN ('blocked', 'likely_blocked')
  AND set_aside_reason IS DISTINCT FROM 'not_domestic';
CREATE VIEW broken_app AS
SELECT DISTINCT test_name FROM messaging_verdicts WHERE set_aside_reason = 'instrument';
"""

#: Finding → the query that computes it.
_QUERIES = {
    # page 1
    "measurement_count": "SELECT sum(measurement_count) FROM measurements_by_month",
    "line_count": "SELECT sum(line_count) FROM ingestion_ledger "
    "WHERE reason NOT LIKE 'invalid:%' AND reason <> 'total'",
    "unread_object_count": "SELECT count(*) FROM objects_not_read",
    "unread_part_count": "SELECT count(*) FROM unread_parts",
    "domain_count": "SELECT count(*) FROM sites WHERE domain <> ''",
    "network_count": "SELECT count(*) FROM networks",
    "access_network_count": "SELECT count(*) FROM networks "
    "WHERE kind IN ('isp', 'mobile', 'education', 'unknown')",
    # page 2
    "judged_pair_count": "SELECT count(*) FROM verdicts WHERE period = 'all'",
    "judged_access_pair_count": "SELECT count(*) FROM access",
    "other_pair_count": "SELECT count(*) FILTER (period = 'all') - (SELECT count(*) FROM access) "
    "FROM verdicts",
    "listed_access_pair_count": "SELECT count(*) FROM listed",
    "traced_access_pair_count": "SELECT count(*) FROM access WHERE state = 'blocked'",
    "likely_access_pair_count": "SELECT count(*) FROM access WHERE state = 'likely_blocked'",
    **{
        f"{name}_access_pair_count": f"SELECT count(*) FROM access WHERE state = '{state}'"
        for name, state in {
            "ok": "ok",
            "impaired": "impaired",
            "unexplained": "unexplained",
            "down": "down",
            "unsettled": "insufficient",
        }.items()
    },
    "disagreeing_access_pair_count": "SELECT count(*) FROM access "
    "WHERE insufficient_reason = 'mixed'",
    "tested_enough_pair_count": "SELECT count(*) FROM tested",
    "tested_enough_domain_count": "SELECT count(DISTINCT domain) FROM tested",
    "tested_enough_network_count": "SELECT count(DISTINCT probe_asn) FROM tested",
    "too_few_tests_pair_count": "SELECT count(*) FROM access "
    "WHERE insufficient_reason IN ('few_sessions', 'few_days')",
    **{
        f"{grade}_pair_count": f"SELECT count(*) FROM graded WHERE grade = '{grade}'"
        for grade in ("thin", "fair", "strong", "very_strong")
    },
    "blocked_domain_count": "SELECT count(DISTINCT domain) FROM listed",
    "single_network_domain_count": "SELECT count(*) FROM "
    "(SELECT domain FROM listed GROUP BY domain HAVING count(*) = 1)",
    "household_pair_count": "SELECT count(*) FROM access "
    "WHERE state = 'impaired' AND note LIKE '%of one platform%'",
    "one_report_pair_count": "SELECT count(*) FROM listed WHERE sessions_to_flip = 1",
    "undated_pair_count": "SELECT count(*) FROM listed WHERE note LIKE '%at least since%'",
    "most_to_flip": "SELECT coalesce(max(sessions_to_flip), 0) FROM listed",
    "blocking_network_count": "SELECT count(DISTINCT probe_asn) FROM listed",
    "ranked_network_count": "SELECT count(rank) FROM networks",
    "guessed_network_count": "SELECT count(*) FROM networks WHERE kind_source = 'name rule' "
    "AND kind NOT IN ('isp', 'mobile', 'education', 'unknown') AND tested_enough_count > 0",
    # page 3
    **{
        f"blocked_domain_count_{half}": f"SELECT count(DISTINCT domain) FROM verdicts "
        f"SEMI JOIN (FROM access) USING (probe_asn) "
        f"WHERE period = '{half}' AND state IN ('blocked', 'likely_blocked')"
        for half in ("first", "second")
    },
    **{
        f"{change}_count": f"SELECT count(*) FROM semester_changes WHERE change = '{change}'"
        for change in (
            "newly_blocked",
            "still_blocked",
            "no_longer_blocked",
            "mixed",
            "not_comparable",
        )
    },
    "interrupted_count": "SELECT count(*) FROM semester_changes WHERE is_interrupted",
    "listed_in_both_count": "SELECT count(*) FROM semester_changes "
    "WHERE first_state IN ('blocked', 'likely_blocked') "
    "AND second_state IN ('blocked', 'likely_blocked')",
    # page 4
    "blocked_registrable_domain_count": "SELECT count(DISTINCT registrable_domain) "
    "FROM sites WHERE status = 'listed'",
    "blocked_local_domain_count": "SELECT count(*) FROM sites WHERE status = 'listed' AND is_local",
    "traced_domain_count": "SELECT count(DISTINCT domain) FROM listed WHERE state = 'blocked'",
    "likely_domain_count": "SELECT count(DISTINCT domain) FROM listed "
    "ANTI JOIN (FROM listed WHERE state = 'blocked') USING (domain)",
    "still_listed_count": "SELECT count(DISTINCT domain) FROM listed WHERE blocked_until IS NULL",
    "set_aside_count": "SELECT count(*) FROM sites WHERE status = 'set_aside'",
    "withheld_domain_count": "SELECT count(*) FROM set_aside "
    "SEMI JOIN withheld_intervals USING (domain)",
    "dead_name_count": "SELECT count(*) FROM set_aside "
    "WHERE reason IN ('name_does_not_exist', 'leftover_block')",
    # page 5
    "other_methods_only_count": "SELECT count(DISTINCT domain) FROM method_pairs "
    "WHERE is_listed AND domain NOT IN (SELECT domain FROM listed)",
    # page 6
    "simulated_country_count": "SELECT count(DISTINCT seed) FROM validation_worlds "
    "WHERE part = 'report'",
    "broken_promise_count": "SELECT sum(broken_count) FROM validation_forgery",
    "listed_by_forgery_count": "SELECT sum(newly_listed_count) FROM validation_forgery",
    # page 8
    "app_test_count": "SELECT count(DISTINCT test_name) FROM app",
    "app_network_count": "SELECT count(DISTINCT probe_asn) FROM app",
    "settled_app_count": "SELECT count(DISTINCT test_name) FROM app "
    "WHERE set_aside_reason IS DISTINCT FROM 'not_domestic' AND (state LIKE '%blocked' "
    "OR state <> 'insufficient' AND test_name NOT IN (FROM broken_app))",
    "traced_app_count": "SELECT count(DISTINCT test_name) FROM cut_app WHERE state = 'blocked'",
    "likely_app_count": "SELECT count(DISTINCT test_name) FROM cut_app "
    "ANTI JOIN (FROM cut_app WHERE state = 'blocked') USING (test_name)",
    "blocked_app_count": "SELECT count(DISTINCT test_name) FROM cut_app",
    "blocked_app_pair_count": "SELECT count(*) FROM cut_app",
    "blocked_app_network_count": "SELECT count(DISTINCT probe_asn) FROM cut_app",
    "defective_app_count": "SELECT count(*) FROM broken_app",
}


def _count_sources(ask: Ask) -> dict[str, int]:
    """Networks with listed sites that are independent of each other, and sites that only one of
    them lists: networks of one operator are one, and so are a network and those of the resolvers
    that gave it its false answers, where none of these is its own or unknown."""
    listed = ask("SELECT domain, probe_asn, run_by, resolver_asns FROM listed").fetchall()
    joined = {asn: {asn} for _, asn, _, _ in listed}
    operators = dict(ask("SELECT probe_asn, operator FROM networks").fetchall())
    ties: dict[str, set[str]] = {}
    for asn in joined:
        given = [(r or "").split(";") for _, one, _, r in listed if one == asn]
        through = {resolver for some in given for resolver in some}
        members = {asn} | (set() if through & {asn, ""} else through)
        ties[asn] = members | {
            f"operator {operators[one]}" for one in members if operators.get(one)
        }
    groups: list[set[str]] = []
    for its in ties.values():
        met = [group for group in groups if group & its]
        groups = [group for group in groups if not group & its] + [its.union(*met)]
    of = {asn: place for place, group in enumerate(groups) for asn in group if asn in ties}
    by_site: dict[str, set[int]] = {}
    for domain, asn, _, _ in listed:
        by_site.setdefault(domain, set()).add(of[asn])
    return {
        "independent_network_count": len(groups),
        "single_source_domain_count": sum(len(sources) == 1 for sources in by_site.values()),
    }


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
def ask(fictional_report: Path) -> Ask:
    """DuckDB with the published CSVs, each under its name, and a few views of them."""
    connection = duckdb.connect()
    for path in sorted((fictional_report / "tables").glob("*.csv")):
        connection.read_csv(str(path), header=True, sample_size=-1).create_view(path.stem)
    connection.execute(_ACCESS)
    return connection.sql


def test_every_finding_is_computed_from_the_tables(fictional_report: Path, ask: Ask) -> None:
    """Each number of ``run.json`` names a published table, and comes out of the tables; whoever
    adds one adds here how it is computed."""
    run = json.loads((fictional_report / "run.json").read_text(encoding="utf-8"))
    findings = run["findings"]
    assert {f"{one['table']}.csv" for one in findings.values()} <= run["tables"].keys()
    computed = {name: ask(query).fetchall()[0][0] for name, query in _QUERIES.items()}
    computed |= _count_sources(ask) | _bound_shares(ask)
    assert computed.keys() == findings.keys()
    wrong = {
        name: (one["value"], computed[name])
        for name, one in findings.items()
        if computed[name] != pytest.approx(one["value"], rel=1e-6)
    }
    assert wrong == {}


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


def test_what_pages_show_agrees_with_the_other_tables(ask: Ask) -> None:
    """The tables behind single figures and sentences count the same as those they are parts of."""
    for what, query in _CONTRADICTIONS.items():
        assert ask(f"SELECT * {query}").fetchall() == [], what
