"""Which rule fires in which situation, and what the measurement then comes to.

And features.md, the dictionary of the columns that a rule may use: complete and true.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analysis.outcomes import features, macros
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.rules import RULES
from analysis.outcomes.thresholds import Thresholds
from tests.observations import answer, connect, connection_with, http_observation, observation
from tests.situations import (
    ELSEWHERE,
    REAL_LIFE,
    SITUATIONS,
    abroad,
    apart,
    fingerprints_for,
    judged,
    mistakes,
    on,
    results,
)

ALL = (*SITUATIONS, *REAL_LIFE)
DICTIONARY = Path(features.__file__).with_suffix(".md")


@cache
def _pooled() -> duckdb.DuckDBPyConnection:
    """The situations in which measurements are judged together."""
    return judged(ALL, is_alone=False)


def test_each_situation_comes_to_what_a_person_would_say() -> None:
    """The rule fires at its layer, and explains the whole measurement."""
    alone = judged(ALL, is_alone=True)
    assert not mistakes(ALL, {**results(_pooled()), **results(alone)})


def test_every_rule_has_a_situation() -> None:
    """A rule that no situation needs is a rule that nobody has thought through."""
    assert len({s.name for s in ALL}) == len(ALL)
    assert {rule.rule_id for rule in RULES} == {s.rule_id for s in SITUATIONS}


@pytest.mark.parametrize(("status", "rule"), [(403, "dns.unmatched"), (200, "dns.lone_address")])
def test_one_address_in_the_network_itself(status: int, rule: str) -> None:
    """A page from there is somebody else's; a refusal may be that of a content network's cache."""
    inside = observation(
        probe_asn=64530, dns_answers=[answer(ELSEWHERE, 64530, match="none")], tls=[],
        tcp=[connect(ELSEWHERE, match="none", control_ok=None)], dns_consistency="inconsistent",
        http_url="http://news.example/", http_status=status, status_code_match=status == 200,
        title_match=False, body_proportion=0.1, http_body_digest="from inside",
    )  # fmt: skip
    connection = connection_with([*[on(n, inside) for n in range(1, 6)], *abroad()])
    add_outcomes(connection, Thresholds(), fingerprints_for(1)).use(connection)
    fired = connection.execute(
        "SELECT DISTINCT dns_rule::VARCHAR FROM outcomes WHERE probe_asn = 64530"
    ).fetchall()
    assert fired == [(rule,)]


def test_every_measurement_is_judged_once() -> None:
    """No rule, join or profile drops a measurement or doubles it."""
    rows = [observation(domain=""), observation(report_id=""), http_observation(probe_asn=0),
            observation(report_id="", probe_asn=0, resolver_asn=0), observation()]  # fmt: skip
    connection = connection_with(rows)
    add_outcomes(connection, Thresholds(), fingerprints_for(1)).use(connection)
    judged = connection.execute("SELECT row_id FROM outcomes ORDER BY 1").fetchall()
    assert judged == [(0,), (1,), (2,), (3,), (4,)]


def test_judged_alone_nothing_rests_on_other_measurements() -> None:
    """No rule fires for which it takes many, and the tables that hold many are empty."""
    rows = [row for n, s in enumerate(ALL) for row in apart(s.rows, n, s.name)]
    connection = connection_with(rows)
    add_outcomes(connection, Thresholds(), fingerprints_for(len(ALL)), is_pooled=False).use(
        connection
    )
    query = """SELECT count(*) FROM profiled WHERE is_sinkhole OR is_substitution OR is_persistent
      OR is_lone OR is_public_answer OR is_sent_elsewhere OR is_replaced OR dns_is_vouched
      OR is_name_broken OR name_pool IS NOT NULL"""
    assert connection.execute(query).fetchone() == (0,)
    for table in ("answer_profiles", "page_profiles", "broken_sessions"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    fired = {
        row[0] for row in connection.execute("SELECT DISTINCT dns_rule FROM outcomes").fetchall()
    }
    assert fired >= {"dns.known_address", "dns.local_filter", "dns.blockpage"}
    assert connection.execute("SELECT count(*) FROM outcomes").fetchone() == (len(rows),)


def test_a_row_of_nulls_is_unknown_at_every_layer() -> None:
    """A measurement whose test keys are null is a failure, never a finding."""
    kept = ("measurement_start_time", "probe_cc", "probe_asn", "resolver_asn", "domain", "input",
            "report_id", "line_number", "is_https", "is_ip_input")  # fmt: skip
    listed = ("dns_answers", "udp_answers", "control_answers", "tcp", "tls")
    lists: dict[str, list[Any]] = {name: [] for name in listed}
    row = observation()
    empty = {**dict.fromkeys(row), **{name: row[name] for name in kept}, **lists,
             "has_control": False, "is_failure": True, "is_anomaly": False}  # fmt: skip
    connection = connection_with([empty])
    add_outcomes(connection, Thresholds(), fingerprints_for(1)).use(connection)
    judged_row = connection.execute(
        "SELECT class, evidence, dns_rule, tcp_rule, tls_rule, http_rule FROM outcomes"
    ).fetchone()
    layers = ("dns", "tcp", "tls", "http")
    assert judged_row == ("unknown", "none", *(f"{layer}.not_measured" for layer in layers))


# The dictionary of columns ------------------------------------------------------------------------


def _described() -> Mapping[str, tuple[str, str]]:
    """Name → the line under its heading, and what it means."""
    parts = re.split(r"^### (\w+)\n", DICTIONARY.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = {
        name: text.split("\n\n", 1) for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {name: (line, meaning.partition("\n##")[0]) for name, (line, meaning) in texts.items()}


def test_the_dictionary_describes_every_column_and_no_other() -> None:
    """Which rules use it, and when it is null; conditions name nothing but these and macros."""
    described, columns = _described(), _pooled().table("profiled").columns
    assert sorted(described) == sorted([*columns, "is_broken_session"])
    counts = ", ".join(f"count(*) FILTER ({name} IS NULL) AS {name}" for name in columns)
    nulls = _pooled().execute(f"SELECT {counts} FROM profiled").df().iloc[0]
    assert not [n for n, count in nulls.items() if count and "NULL" not in described[n][1]]
    macro_names = {signature.partition("(")[0] for signature in macros.SCALAR_MACROS}
    known = described.keys() | macro_names | {"coalesce", "starts_with"}
    named = {
        rule.rule_id: set(re.findall(r"[a-z]\w*", re.sub(r"'[^']*'", "", rule.condition)))
        for rule in RULES
    }
    assert {name: names - known for name, names in named.items() if names - known} == {}
    for name, (line, _) in described.items():
        rules = ", ".join(f"`{rule}`" for rule, names in named.items() if name in names)
        assert line.endswith(f" · used by {rules or 'no rule directly'}"), name
