"""Rules: what holds for all, what fires in each situation, and would anybody notice a wrong one?"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analysis.errors import ParameterError
from analysis.outcomes import features, macros
from analysis.outcomes.outcomes import add_outcomes, apply_rules
from analysis.outcomes.profiles import Profiles
from analysis.outcomes.rules import (
    LAYERS,
    RULES,
    Rule,
    RuleError,
)
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.report.annex import REASON_SENTENCES
from analysis.store.stage_tables import add_room
from tests.observations import answer, connect, connection_with, observation
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


def test_every_reason_to_set_a_site_aside_can_be_said() -> None:
    assert {rule.set_aside for rule in RULES if rule.set_aside} <= REASON_SENTENCES.keys()


def test_no_data_never_outranks_data() -> None:
    """A layer that measured nothing is never what a measurement is explained by, if another is."""
    nothing = {"http_status": None, "http_url": None, "http_host": None}
    rows = [
        observation(**nothing),
        observation(**nothing, tls=[]),
        observation(**nothing, tls=[], tcp=[]),
        observation(tls=[], tcp=[], dns_answers=[]),
    ]
    connection = connection_with(rows)
    add_outcomes(connection, Thresholds(), fingerprints_for(1)).use(connection)
    explained = connection.execute("SELECT rule_id, evidence FROM outcomes").fetchall()
    assert not [rule_id for rule_id, evidence in explained if evidence == "none"]


def _rule(**changes: Any) -> Rule:
    """A rule that works, with changes."""
    return Rule(
        **{
            "rule_id": "dns.odd",
            "condition": "dns_special = 'loopback'",
            "outcome": "blocked",
            "mechanism": "dns.loopback",
            "comment": "An odd answer.",
            **changes,
        }
    )


def test_a_rule_that_cannot_work_fails_where_it_is_written() -> None:
    other = {"outcome": "ok", "mechanism": ""}
    for changes, message in (
        ({"rule_id": "ntp.odd"}, "rule ntp.odd: its id begins with no layer; there are session,"),
        ({"mechanism": ""}, "rule dns.odd: a rule that blocks names its mechanism"),
        ({"mechanism": "dns.magic"}, "rule dns.odd: there is no mechanism dns.magic; there are"),
        ({"set_aside": "down"}, "rule dns.odd: a block is not set aside"),
        ({"outcome": "ok"}, "rule dns.odd: only a rule that blocks has a mechanism"),
        (other | {"is_artefact": True}, "rule dns.odd: only a rule that"),
        (
            other | {"outcome": "unknown", "set_aside": "bored"},
            "rule dns.odd: there is no reason bored; there are name_does_not_exist, ",
        ),
        (
            other | {"outcome": "down", "evidence": "discarded"},
            "rule dns.odd: without evidence the outcome is unknown",
        ),
    ):
        with pytest.raises(RuleError, match=f"^{re.escape(message)}"):
            _rule(**changes)


def test_every_threshold_may_be_what_it_says_it_may_be() -> None:
    """One that is swept is swept on both sides, inside its range; each end of it is accepted,
    and nothing beyond it, nor what is no number."""
    for name, declared in DECLARATIONS.items():
        least, value, most = declared.least, getattr(Thresholds(), name), declared.most
        tried = declared.tried or (least, most)
        assert least <= min(tried) <= value <= max(tried) <= most, name
        assert not declared.tried or min(tried) < value < max(tried), name
        kind = type(value)
        for accepted in (least, most, *declared.tried_in_worlds):
            assert getattr(Thresholds(**{name: kind(accepted)}), name) == accepted
        for beyond in (kind(least - 1), kind(most + 1), True, None, "4x", float("nan"), [4]):
            with pytest.raises(ParameterError, match=f"^{name}=.* is accepted"):
                Thresholds(**{name: beyond})


def test_the_numbers_of_a_run_are_read_back_from_its_table() -> None:
    changed = Thresholds(floor_days=9, share_floor=0.55)
    assert Thresholds.read(changed.table()) == changed


# --- Would anybody notice if a rule were wrong? Each mutant must break some situation. ------------

ALL = (*SITUATIONS, *REAL_LIFE)

_FIRED_BEFORE = "what the control got has fired before, and a failed lookup leaves no address"
#: Parts of conditions that could be left out without changing any measurement that can occur.
EQUIVALENT = {
    "dns.known_address: dns_match = 'none'": _FIRED_BEFORE,
    "dns.known_address: NOT is_same_page": "dns.same_page stands before it",
    "dns.known_address: NOT is_substitution": "dns.substitution stands before it",
    "dns.stale_address: dns_match = 'none'": _FIRED_BEFORE,
    "dns.certificate_of_another: dns_match = 'none'": _FIRED_BEFORE,
}


#: All measurements, with their features and profiles.
Worlds = list[tuple[duckdb.DuckDBPyConnection, Profiles]]


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    """The situations, pooled and alone, with what the rules read as a table."""
    made = []
    for alone in (False, True):
        connection = judged(ALL, is_alone=True) if alone else _pooled()
        place = add_room(connection, "profiled")
        connection.execute(f"CREATE TABLE {place}.profiled AS SELECT * FROM profiled")
        ((path,),) = connection.execute("SELECT current_setting('search_path')").fetchall()
        catalogs = [one.removesuffix(".main") for one in path.split(",")]
        made.append((connection, Profiles((place, *catalogs))))
    return made


def _judge_anew(rules: tuple[Rule, ...], worlds: Worlds) -> dict[str, dict[str, Any]]:
    """Situation → what its first row comes to by these rules."""
    found = {}
    for connection, profiles in worlds:
        place = add_room(connection, "outcomes")
        outcomes = apply_rules(connection, profiles, Thresholds(), rules, place)
        with outcomes.opened(connection) as opened:
            found |= results(opened)
        connection.execute(f"DETACH {place}")
    return found


def _with(*changed: Rule) -> tuple[Rule, ...]:
    by_id = {rule.rule_id: rule for rule in changed}
    return tuple(by_id.get(rule.rule_id, rule) for rule in RULES)


def _survivors(mutants: dict[str, Rule], worlds: Worlds) -> set[str]:
    """The mutants that no situation notices: one of each layer at a time, since a rule fires
    whatever the other layers say; what is not noticed at its own layer is tried alone."""
    by_layer = [[name for name in mutants if mutants[name].layer == layer] for layer in LAYERS]
    unnoticed = set()
    for names in zip_longest(*by_layer):
        at_once = {mutants[name].layer: name for name in names if name}
        changed = _with(*(mutants[name] for name in at_once.values()))
        outcomes = _judge_anew(changed, worlds[:1])  # nearly all of the situations
        for situation in ALL:
            fired = outcomes.get(situation.name, {}).get(f"{situation.layer}_rule")
            if fired not in (None, situation.rule_id):
                at_once.pop(situation.layer, None)
        unnoticed |= set(at_once.values())
    unnoticed |= mutants.keys() - set(chain(*by_layer))
    return {
        name for name in unnoticed if not mistakes(ALL, _judge_anew(_with(mutants[name]), worlds))
    }


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((*RULES, RULES[5]), f"rule {RULES[5].rule_id}: 2 rules have this id"),
        (
            tuple(r for r in RULES if r.rule_id != "tcp.no_control"),
            "rule tcp.local_fault: the last rule of tcp has the condition TRUE",
        ),
        (tuple(r for r in RULES if r.layer != "tls"), "rule tls.…: the last rule of tls"),
        ((_rule(condition="TRUE"), *RULES), "rule dns.odd: the rules after it can never match"),
        ((_rule(condition="dns_failure = "), *RULES), "rule dns.odd: its condition is no SQL"),
        (
            (_rule(condition="dns_failur IS NULL"), *RULES),
            "rule dns.odd: its condition is no SQL over the columns of features.md: Binder Error: "
            'Referenced column "dns_failur"',
        ),
        ((_rule(condition="is_rset(dns_failure)"), *RULES), "rule dns.odd: its condition is no"),
        ((_rule(rule_id="session.odd", condition="is_odd"), *RULES), "rule session.odd: its condi"),
    ],
)
def test_rules_that_cannot_work_together_are_refused(
    rules: tuple[Rule, ...], message: str, worlds: Worlds
) -> None:
    """Without a catch-all a measurement would be lost, not unknown."""
    connection, profiles = worlds[1]
    place = add_room(connection, "outcomes")
    with pytest.raises(RuleError, match=f"^{re.escape(message)}"):
        apply_rules(connection, profiles, Thresholds(), rules, place)


def test_each_situation_comes_to_what_a_person_would_say(worlds: Worlds) -> None:
    """The rule fires at its layer, and explains the whole measurement."""
    assert not mistakes(ALL, _judge_anew(RULES, worlds))


def test_a_missing_rule_is_noticed(worlds: Worlds) -> None:
    """A rule that another one would replace without anybody noticing is not needed.

    Turned into its opposite it would not match where it is needed either. Catch-alls are left out:
    without one a layer would be left without a rule, which no measurement survives.
    """
    needed = [rule for rule in RULES if rule.condition != "TRUE"]
    missing = {rule.rule_id: replace(rule, condition="FALSE") for rule in needed}
    assert not _survivors(missing, worlds)


def _conjuncts(condition: str) -> list[str]:
    """The parts of a condition that stand beside each other with AND, outside any bracket."""
    parts, depth = [""], 0
    for token in re.split(r"(\bAND\b|[()])", condition):
        depth += (token == "(") - (token == ")")
        if token == "AND" and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def test_a_weakened_rule_is_noticed(worlds: Worlds) -> None:
    """No part of a condition, the restraints above all, can be lost in silence."""
    weakened = {}
    for rule in RULES:
        parts = _conjuncts(rule.condition)
        for place, part in enumerate(parts if len(parts) > 1 else ()):
            rest = " AND ".join(p for n, p in enumerate(parts) if n != place)
            weakened[f"{rule.rule_id}: {part}"] = replace(rule, condition=rest)
    assert weakened.keys() >= EQUIVALENT.keys()
    needed = {name: rule for name, rule in weakened.items() if name not in EQUIVALENT}
    assert not _survivors(needed, worlds)


# --- Which rule fires in which situation, and what the measurement then comes to. -----------------


@cache
def _pooled() -> duckdb.DuckDBPyConnection:
    """The situations in which measurements are judged together."""
    return judged(ALL, is_alone=False)


def test_every_rule_has_a_situation() -> None:
    """A rule that no situation needs is a rule that nobody has thought through."""
    assert len({s.name for s in ALL}) == len(ALL)
    assert {rule.rule_id for rule in RULES} == {s.rule_id for s in SITUATIONS}


@pytest.mark.parametrize(("status", "rule"), [(403, "dns.unmatched"), (200, "dns.lone_address")])
def test_one_address_in_the_network_itself(status: int, rule: str) -> None:
    """A page from there is somebody else's; a refusal may be that of a content network's cache."""
    inside = observation(
        probe_asn=64530,
        dns_answers=[answer(ELSEWHERE, 64530, match="none")],
        tls=[],
        tcp=[connect(ELSEWHERE, match="none", control_ok=None)],
        dns_consistency="inconsistent",
        http_url="http://news.example/",
        http_status=status,
        status_code_match=status == 200,
        title_match=False,
        body_proportion=0.1,
        http_body_digest="from inside",
    )
    connection = connection_with([*[on(n, inside) for n in range(1, 6)], *abroad()])
    add_outcomes(connection, Thresholds(), fingerprints_for(1)).use(connection)
    fired = connection.execute(
        "SELECT DISTINCT dns_rule::VARCHAR FROM outcomes WHERE probe_asn = 64530"
    ).fetchall()
    assert fired == [(rule,)]


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
    kept = (
        "measurement_start_time",
        "probe_cc",
        "probe_asn",
        "resolver_asn",
        "domain",
        "input",
        "report_id",
        "line_number",
        "is_https",
        "is_ip_input",
    )
    listed = ("dns_answers", "udp_answers", "control_answers", "tcp", "tls")
    lists: dict[str, list[Any]] = {name: [] for name in listed}
    row = observation()
    empty = {
        **dict.fromkeys(row),
        **{name: row[name] for name in kept},
        **lists,
        "has_control": False,
        "is_failure": True,
        "is_anomaly": False,
    }
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
    text = Path(features.__file__).with_suffix(".md").read_text(encoding="utf-8")
    parts = re.split(r"^### (\w+)\n", text, flags=re.MULTILINE)
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
    macro_names = {signature.partition("(")[0] for signature in macros.MACROS}
    known = described.keys() | macro_names | {"coalesce", "starts_with"}
    named = {
        rule.rule_id: set(re.findall(r"[a-z]\w*", re.sub(r"'[^']*'", "", rule.condition)))
        for rule in RULES
    }
    assert {name: names - known for name, names in named.items() if names - known} == {}
    for name, (line, _) in described.items():
        rules = ", ".join(f"`{rule}`" for rule, names in named.items() if name in names)
        assert line.endswith(f" · used by {rules or 'no rule directly'}"), name
