"""Would anybody notice if a rule were wrong? Each mutant must break some situation.

The features are computed once; a mutant is the rules alone, run again over them.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import duckdb
import pytest

from analysis.outcomes.outcomes import apply_rules
from analysis.outcomes.profiles import Profiles
from analysis.outcomes.rules import RULES, Rule
from analysis.outcomes.thresholds import Thresholds
from analysis.store.stage_tables import add_room
from tests.situations import REAL_LIFE, SITUATIONS, judged, mistakes, results

ALL = (*SITUATIONS, *REAL_LIFE)
CATCH_ALL = "TRUE"

#: Parts of conditions that could be left out without changing any measurement that can occur.
EQUIVALENT = {
    "dns.known_address: dns_match = 'none'":
        "what the control got has fired before, and a failed lookup leaves no address",
    "dns.known_address: NOT is_same_page": "dns.same_page stands before it",
    "dns.known_address: NOT is_substitution": "dns.substitution stands before it",
    "dns.stale_address: dns_match = 'none'":
        "what the control got has fired before, and a failed lookup leaves no address",
    "dns.certificate_of_another: dns_match = 'none'":
        "what the control got has fired before, and a failed lookup leaves no address",
}  # fmt: skip


#: Whether each measurement is judged alone; all measurements, with their features and profiles.
Worlds = list[tuple[bool, duckdb.DuckDBPyConnection, Profiles]]


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    """The situations, pooled and alone, with what the rules read as a table."""
    made = []
    for alone in (False, True):
        connection = judged(ALL, is_alone=alone)
        place = add_room(connection, "profiled")
        connection.execute(f"CREATE TABLE {place}.profiled AS SELECT * FROM profiled")
        ((path,),) = connection.execute("SELECT current_setting('search_path')").fetchall()
        catalogs = [one.removesuffix(".main") for one in path.split(",")]
        made.append((alone, connection, Profiles((place, *catalogs))))
    return made


def _is_noticed(rules: tuple[Rule, ...], worlds: Worlds) -> bool:
    for alone, connection, profiles in worlds:
        place = add_room(connection, "outcomes")
        outcomes = apply_rules(connection, profiles, Thresholds(), rules, place)
        with outcomes.opened(connection) as opened:
            is_noticed = mistakes([s for s in ALL if s.is_alone == alone], results(opened))
        connection.execute(f"DETACH {place}")
        if is_noticed:
            return True
    return False


def _with(rule: Rule, condition: str) -> tuple[Rule, ...]:
    return tuple(replace(r, condition=condition) if r is rule else r for r in RULES)


def test_the_rules_as_they_are_pass(worlds: Worlds) -> None:
    """The harness has no mistakes of its own."""
    assert not _is_noticed(RULES, worlds)


def test_a_missing_rule_is_noticed(worlds: Worlds) -> None:
    """A rule that another one would replace without anybody noticing is not needed.

    Turned into its opposite it would not match where it is needed either. Catch-alls are left out:
    without one a layer would be left without a rule, which no measurement survives.
    """
    survivors = [
        rule.rule_id
        for rule in RULES
        if rule.condition != CATCH_ALL and not _is_noticed(_with(rule, "FALSE"), worlds)
    ]
    assert not survivors


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


def _weakened() -> Iterator[tuple[str, tuple[Rule, ...]]]:
    """Each rule with one part of its condition left out."""
    for rule in RULES:
        parts = _conjuncts(rule.condition)
        for place, part in enumerate(parts):
            rest = [p for n, p in enumerate(parts) if n != place]
            if rest:
                yield f"{rule.rule_id}: {part}", _with(rule, " AND ".join(rest))


def test_a_weakened_rule_is_noticed(worlds: Worlds) -> None:
    """No part of a condition, the restraints above all, can be lost in silence."""
    survivors = {name for name, rules in _weakened() if not _is_noticed(rules, worlds)}
    assert not survivors - set(EQUIVALENT)
