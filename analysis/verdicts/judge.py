"""The judge: from the sessions of a pair to its stretches, and which of them are listed.

The steps are those of docs/method.md, a module each. ``judge_pair`` takes the first of them, which
need the pair alone and what others teach about it. ``judge_country`` takes them for all pairs, site
by site. ``decide`` takes those that need all pairs at once: what else it could be.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log

import duckdb
import pandas as pd

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.verdicts.evidence import weigh
from analysis.verdicts.floors import LOWER_LINE, find_blocks, find_supported, leave
from analysis.verdicts.hours import Schedule, find_schedules
from analysis.verdicts.pairs import (
    ANY,
    Country,
    Lessons,
    Pair,
    Series,
    Session,
    find_series,
    read_country,
)
from analysis.verdicts.rates import TEACHING, LeastRates, teach
from analysis.verdicts.rivals import ask_rivals
from analysis.verdicts.stretches import find_stretches

_QUERIES = read_queries(__file__)


def judge_pair(
    sessions: Sequence[Session],
    lessons: Mapping[str, Lessons],
    thresholds: Thresholds,
    schedules: Mapping[str, Schedule] | None = None,
    *,
    is_supported: bool = False,
) -> list[Series]:
    """Judge a site on a network by its sessions.

    What else it could be is not asked: that takes the other pairs (``decide``).

    Args:
        sessions: those of the pair that can be interpreted, in order of time.
        lessons: by kind of failure, what other operators and other sites teach.
        thresholds: the method's numbers.
        schedules: by kind of failure, the hours of the week at which the site fails, found on all
            its networks together.
        is_supported: what others show makes less evidence enough (``Pair.is_supported``).

    Returns:
        A series for each kind of failure with enough sessions: how surprising it is, and its
        stretches with ``is_block``, whether they meet the line and the floors.
    """
    pair = Pair(0, 0, 0, 0, sessions, find_series(sessions, thresholds.floor_sessions))
    for series in pair.series:
        series.lessons = lessons.get(series.kind, series.lessons)
        series.schedule = (schedules or {}).get(series.kind)
    _judge_series(pair, thresholds)
    line = log(thresholds.chance_line)
    lower = min(line, LOWER_LINE)
    for stretch in find_blocks(pair.stretches, lower if is_supported else line, thresholds):
        stretch.is_block = True
    return list(pair.series)


def _judge_series(pair: Pair, thresholds: Thresholds) -> None:
    """Fill in the evidence and the stretches of a pair's series."""
    for series in pair.series:
        weigh(series)
        series.stretches = find_stretches(series, thresholds.change_cost)


def judge_country(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    elsewhere: LeastRates | None = None,
    lend: Callable[[Country], None] | None = None,
    *,
    is_of_addresses: bool = False,
) -> Country:
    """Judge every pair by its sessions, as ``judge_pair`` does.

    Args:
        connection: finds the tables of ``sessions.Sessions``.
        thresholds: the method's numbers.
        elsewhere: what is known besides about the rate of accidents (apps).
        lend: adds the series that met a cut address (``addresses``).
        is_of_addresses: the sites are addresses. Hours are looked for in all of them together: who
            cuts some at certain hours cuts others then.
    """
    country = read_country(connection, thresholds.floor_sessions)
    _learn(connection, country, [country.pairs] if is_of_addresses else country.sites(), elsewhere)
    if lend:
        lend(country)
    for site in country.sites():
        for pair in site:
            _judge_series(pair, thresholds)
        for stretch in find_supported({pair: pair.stretches for pair in site}, thresholds):
            stretch.is_block = True
    return country


def _learn(
    connection: duckdb.DuckDBPyConnection,
    country: Country,
    sites: Sequence[Sequence[Pair]],
    elsewhere: LeastRates | None,
) -> None:
    """Fill in what others teach about each series, and the hours of the week at which it fails.

    Where hours are found, both are done again for the site: what fails at them teaches nothing, so
    that who blocks at some hours does not excuse who does so elsewhere.

    Args:
        connection: finds the tables of ``sessions.Sessions``.
        country: all pairs.
        sites: the pairs in which hours are looked for together.
        elsewhere: see ``judge_country``.
    """
    create_tables(connection, TEACHING, {})
    weighed = [series for series in country.series() if series.kind != ANY]
    teach(connection, country, weighed)
    if elsewhere:
        least = elsewhere(connection, country)
        for series in weighed:
            series.least_rates = [float(least[session.row]) for session in series.sessions]
    for site in sites:
        find_schedules(site)
    timed = [site for site in sites if any(pair.series[0].site_schedules for pair in site)]
    of_timed = [series for site in timed for pair in site for series in pair.series]
    kinds = {series.kind for series in of_timed if series.schedule}
    teach(connection, country, [series for series in of_timed if series.kind in kinds])
    for site in timed:
        find_schedules(site)


def decide(
    connection: duckdb.DuckDBPyConnection,
    country: Country,
    thresholds: Thresholds,
    *,
    has_control: bool = False,
) -> None:
    """Fill in which stretches are listed, once it is asked what else they could be.

    Args:
        connection: finds ``outcomes`` and the tables of ``sessions.Sessions``.
        country: with its blocks.
        thresholds: the method's numbers.
        has_control: others than the country's own networks say what works, so a failure on all of
            these is not withheld.
    """
    create_tables(connection, pick_queries(_QUERIES, "fired_rules"), {})
    blocks = [stretch for stretch in country.stretches() if stretch.is_block]
    rules = explain_failures(connection, country, [stretch.failures for stretch in blocks])
    for stretch, mechanism in zip(blocks, rules["mechanism"], strict=True):
        stretch.mechanism = mechanism
    ask_rivals(connection, country, thresholds, has_control=has_control)
    for site in country.sites():
        for stretch in find_supported({pair: leave(pair) for pair in site}, thresholds):
            stretch.is_listed = True


def explain_failures(
    connection: duckdb.DuckDBPyConnection,
    country: Country,
    groups: Sequence[Iterable[Session]],
) -> pd.DataFrame:
    """Find the rule and the mechanism of most failed sessions of each group.

    Args:
        connection: holds ``fired_rules``, see ``decide``.
        country: all pairs.
        groups: of failed sessions.

    Returns:
        A row a group: ``rule_id, mechanism, measurement_count``, how many of its measurements are
        blocked. Of a group of which no rule fired, the texts are empty and the count is missing.
    """
    rows = [(number, session.row) for number, group in enumerate(groups) for session in group]
    hits = pd.DataFrame(rows, columns=["number", "row"], dtype="int64")
    keys = ["number", "domain", "probe_asn", "session"]
    connection.register("hits_at_hand", country.describe(hits)[keys])
    rules = connection.execute(_QUERIES["rules_of_groups"]).df().set_index("number")
    return rules.reindex(range(len(groups))).fillna({"rule_id": "", "mechanism": ""})
