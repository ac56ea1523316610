"""What is listed and what is withheld, as intervals with dates, moments and counts."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log

import duckdb
import numpy as np
import pandas as pd

from analysis.period import MOMENT
from analysis.verdicts.judge import explain_failures
from analysis.verdicts.pairs import ANY, MARK, Country, Pair, Stretch
from analysis.vocabulary import LEAST_CHANCE

#: The key of a pair.
PAIR = ["domain", "probe_asn"]
#: What ``_describe`` says of an interval, with the type of each column. Moments are
#: seconds since 1970.
_DESCRIBED = {
    "domain": "str",
    "probe_asn": "int64",
    "last_seen_open_time": "float64",
    "blocked_from_time": "float64",
    "blocked_until_time": "float64",
    "first_seen_open_again_time": "float64",
    # the failed sessions, each once, in order of time, and how many these are
    "failures": "object",
    "session_count": "int64",
    "day_count": "int64",
    "longest_gap_days": "int64",
    "reached_session_count": "int64",
    "state": "str",
    "schedule": "str",
    "log_evidence": "float64",
    "reason": "str",
}
_MOMENTS = ("last_seen_open", "blocked_from", "blocked_until", "first_seen_open_again")
_COLUMNS = [
    *PAIR,
    "blocked_from",
    "mechanism",
    "last_seen_open",
    "blocked_until",
    "first_seen_open_again",
    "measurement_count",
    "session_count",
    "day_count",
    "longest_gap_days",
    "state",
    "schedule",
    "evidence",
    "chance",
    *(f"{name}_time" for name in _MOMENTS),
    "reached_session_count",
    "last_seen_blocked",
    "blocked_count",
    "blocked_session_count",
    "reason",
]


def interval_tables(
    connection: duckdb.DuckDBPyConnection, country: Country
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the contract's ``blocking_intervals`` and ``withheld_intervals``.

    A row of the first is a listed interval: the listed stretches of a pair that overlap. A row of
    the second is a stretch that is surprising or mostly fails, and is not listed. Besides the
    contract's columns, ``reached_session_count`` has the sessions inside that reached the site.

    Args:
        connection: holds ``fired_rules``, see ``judge.decide``.
        country: with its listed stretches, and the reasons of others.
    """
    intervals = [interval for pair in country.pairs for interval in _find_intervals(pair)]
    rows = [_describe(interval, country.names[interval[0].pair.domain]) for interval in intervals]
    table = pd.DataFrame(rows, columns=list(_DESCRIBED)).astype(_DESCRIBED)
    rules = explain_failures(connection, country, list(table["failures"]))
    table = table.join(rules[["mechanism", "measurement_count"]])
    for name in _MOMENTS:
        table[f"{name}_time"] = pd.to_datetime(table[f"{name}_time"], unit="s").astype(MOMENT)
        table[name] = table[f"{name}_time"].dt.floor("D")
    # what ``blocked_until`` and the counts are called in tables in which these mean something else
    table = table.assign(
        evidence=round_evidence(table["log_evidence"]),
        chance=round_chance(table["log_evidence"]),
        last_seen_blocked=table["blocked_until"],
        blocked_count=table["measurement_count"],
        blocked_session_count=table["session_count"],
    )
    listed, withheld = (
        table.loc[is_asked, _COLUMNS].sort_values([*PAIR, "blocked_from_time"], ignore_index=True)
        for is_asked in (table["reason"] == "", table["reason"] != "")
    )
    return listed.drop(columns="reason"), withheld


def _find_intervals(pair: Pair) -> Iterator[list[Stretch]]:
    """Iterate over the intervals of a pair: listed stretches that overlap, and withheld ones."""
    listed = sorted(
        (stretch for stretch in pair.stretches if stretch.is_listed),
        key=lambda stretch: stretch.failures[0].row,
    )
    interval: list[Stretch] = []
    for stretch in listed:
        if interval and stretch.failures[0].row > max(
            earlier.failures[-1].row for earlier in interval
        ):
            yield interval
            interval = []
        interval.append(stretch)
    if interval:
        yield interval
    yield from ([other] for other in pair.stretches if other.reason and not other.is_listed)


def _describe(interval: Sequence[Stretch], name: str) -> dict[str, object]:
    """Return the dates, moments, counts and evidence of an interval."""
    failures = sorted({session for stretch in interval for session in stretch.failures})
    inside = {session for stretch in interval for session in stretch.sessions}
    days = sorted({session.day for session in inside})
    first, last = (
        min(interval, key=lambda stretch: stretch.failures[0].row),
        max(interval, key=lambda stretch: stretch.failures[-1].row),
    )
    schedules = {str(stretch.series.schedule or "") for stretch in interval}
    is_listed, is_mark = interval[0].is_listed, any(stretch.kind == MARK for stretch in interval)
    state = "blocked" if is_mark else "likely_blocked"
    left = max(stretch.log_evidence for stretch in interval)  # without withheld stretches
    return {
        "domain": name,
        "probe_asn": interval[0].pair.probe_asn,
        "last_seen_open_time": _find_open(first, -1),
        "blocked_from_time": failures[0].time,
        "blocked_until_time": failures[-1].time,
        "first_seen_open_again_time": _find_open(last, 1),
        "failures": failures,
        "session_count": len(failures),
        "day_count": len({session.day for session in failures}),
        "longest_gap_days": max((after - before for before, after in pairwise(days)), default=0),
        "reached_session_count": sum(session.result == "ok" for session in inside),
        "state": state if is_listed else "impaired",
        "schedule": schedules.pop() if len(schedules) == 1 else "",
        "log_evidence": left if is_listed else _evidence_of(interval[0]),
        "reason": "" if is_listed else interval[0].reason,
    }


def _evidence_of(stretch: Stretch) -> float | None:
    """Return the evidence of a stretch that is not listed: that of its series, as it was weighed.

    Of what fails for whatever reason it is that of the pair.
    """
    return stretch.pair.log_evidence if stretch.kind == ANY else stretch.series.log_evidence


def _find_open(stretch: Stretch, step: int) -> int | None:
    """Find when the site was reached last before a stretch (−1), or first after it (1).

    At the hours of the week of its series, if it has any. A series that met a cut address has only
    the sessions in which it was cut, so all of the pair are asked.
    """
    series, schedule = stretch.series, stretch.series.schedule
    sessions = series.pair.sessions if series.lent else series.sessions
    edge = stretch.failures[0 if step < 0 else -1].row
    beyond = [one.time for one in sessions if step * (one.row - edge) > 0 and one.result == "ok"]
    times = np.array(beyond, "datetime64[s]")
    if schedule:
        times = times[schedule.is_at_its_hours(times)]
    return int(times[min(step, 0)].astype(np.int64)) if len(times) else None


def round_chance(log_evidence: pd.Series) -> pd.Series:
    """Return 1/E with two significant digits; missing where nothing was weighed (NaN).

    At most this share of accidents would look so (Markov's inequality). Nothing below
    ``LEAST_CHANCE`` is told.
    """
    chance = np.exp(-np.maximum(log_evidence.to_numpy(), 0.0)).clip(LEAST_CHANCE)
    # what does not reach the least chance is not rounded to it
    chance = np.where(chance > LEAST_CHANCE, np.maximum(chance, 1.1 * LEAST_CHANCE), chance)
    rounded = pd.Series([float(f"{value:.1e}") for value in chance], log_evidence.index, "float64")
    return rounded.mask(log_evidence.isna())


def round_evidence(log_evidence: pd.Series) -> pd.Series:
    """Return the logarithm of E to base 10, rounded down to one decimal.

    It is missing where nothing was weighed (NaN).
    """
    rounded: pd.Series = np.floor((10 / log(10) * log_evidence).round(6)) / 10 + 0.0
    return rounded
