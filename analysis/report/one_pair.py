"""The judge's steps for one site on one network, as frames to read and to change.

Notebook 2 shows them for a pair of the reader's choice, and ``explain`` prints them.
"""

from collections.abc import Iterable
from math import log

import numpy as np
import pandas as pd

from analysis.outcomes.steps import read_type
from analysis.outcomes.thresholds import Thresholds
from analysis.report.following import Followed
from analysis.study.study import Study
from analysis.tables import list_rows
from analysis.verdicts.evidence import weigh_sessions
from analysis.verdicts.floors import wilson_bounds
from analysis.verdicts.pairs import ANY, Pair, Series
from analysis.verdicts.rates import base_rates
from analysis.verdicts.rivals import answer_rivals
from analysis.verdicts.verdicts import Judgement

#: ln 10, so that evidence is shown as on all pages.
_TEN = log(10)


def find_pair(study: Study, judgement: Judgement, domain: str, probe_asn: int) -> Pair | None:
    """Find a pair with its sessions, and with what other pairs teach about it.

    All pairs of the country are judged for this, if that has not been done yet.

    Args:
        study: after ``confirm``, whose sessions its connection holds.
        judgement: what ``confirm`` returned.
        domain, probe_asn: the pair; its site was tested.

    Returns:
        Nothing if too few sessions failed for any state but *ok*.
    """
    key = read_type(study.connection, "host_name").tolist().index(domain), probe_asn
    pairs = judgement.country.pairs
    return next((pair for pair in pairs if (pair.domain, pair.probe_asn) == key), None)


def most_surprising(series: Iterable[Series]) -> Series | None:
    """Return the series with most evidence, or nothing."""
    weighed = [one for one in series if one.kind != ANY]
    return max(weighed, key=lambda one: one.log_evidence, default=None)


def tabulate_series(judged: Iterable[Series]) -> pd.DataFrame:
    """Return how often each kind of failure would occur by accident, and how surprising it is.

    A row is a kind of failure with enough sessions for a state: the ``sessions`` that count and
    those that ``failed``. If it is weighed: the failures and sessions of other operators at the
    site (``site_…``) and of the network at other sites (``network_…``), with both shares; the
    share of sessions in which any site fails so (``usual_share``); the base rate of accidents
    (``base_share``); the ``evidence`` (log10 of E); and the hours of the week, if it has any
    (``schedule``).
    """
    rows = []
    for series in judged:
        row = {
            "failure_kind": series.kind,
            "sessions": len(series.sessions),
            "failed": sum(series.fails),
        }
        if series.kind != ANY:
            lessons = series.lessons
            row |= {
                "site_failures": lessons.site_failures,
                "site_sessions": lessons.site_sessions,
                "site_share": lessons.site_share(),
                "network_failures": lessons.network_failures,
                "network_sessions": lessons.network_sessions,
                "network_share": lessons.network_share(),
                "usual_share": lessons.usual,
                "base_share": max(base_rates(series)),
                "evidence": series.log_evidence / _TEN,
                "schedule": str(series.schedule or ""),
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=_SERIES)


_SERIES = [
    *("failure_kind", "sessions", "failed"),
    *("site_failures", "site_sessions", "site_share"),
    *("network_failures", "network_sessions", "network_share"),
    *("usual_share", "base_share", "evidence", "schedule"),
]


def tabulate_sessions(series: Series, *, has_witnesses: bool = True) -> pd.DataFrame:
    """Return what each session of a series says, a row a session, in order of time.

    ``time``; whether it ``fails``; the ``rate`` of accidents that it is compared with; the
    ``share`` of sessions that would fail during a block; and its ``weight``.

    Args:
        series: with its evidence.
        has_witnesses: show the minute; else (``WITNESSES=none``) the hour.
    """
    rates, shares, log_ratios = weigh_sessions(series)
    table = pd.DataFrame(
        {
            "time": [session.time for session in series.sessions],
            "fails": series.fails,
            "rate": rates,
            "share": shares,
            "weight": np.exp(log_ratios),
        }
    )
    times = pd.to_datetime(table["time"], unit="s")
    return table.assign(time=times.dt.floor("min" if has_witnesses else "h"))


def tabulate_days(series: Series) -> pd.DataFrame:
    """Return the weight of each tested day of a series, a row a day.

    ``day``; the sessions that ``failed`` and that did not (``others``); ``log_weight`` (log10), at
    most twice that of the day's strongest session; and whether it lies ``inside`` a stretch.
    """
    days = pd.DataFrame(series.days, columns=["day", "log_weight"])
    sessions = pd.DataFrame({"day": [s.day for s in series.sessions], "fails": series.fails})
    failed = sessions.groupby("day")["fails"].agg(["sum", "size"])
    inside = {session.day for stretch in series.stretches for session in stretch.sessions}
    return pd.DataFrame(
        {
            "day": pd.to_datetime(days["day"], unit="D"),
            "failed": failed["sum"].to_numpy(),
            "others": (failed["size"] - failed["sum"]).to_numpy(),
            "log_weight": days["log_weight"] / _TEN,
            "inside": days["day"].isin(inside),
        }
    )


def tabulate_stretches(judged: Iterable[Series], thresholds: Thresholds) -> pd.DataFrame:
    """Return the stretches of a pair, a row a stretch, beside the line and the floors.

    The days of the ``first`` and the ``last`` failure; the sessions inside that ``failed``, all of
    them (``sessions``), and the ``days`` with a failure; the lower bound of the share of failures
    (``lower_share``); the ``evidence`` (log10 of E) of its series; and whether it is a block,
    unless a rival explains it.
    """
    stretches = [stretch for series in judged for stretch in series.stretches]
    table = pd.DataFrame(
        {
            "failure_kind": stretch.kind,
            "first": stretch.failures[0].day,
            "last": stretch.failures[-1].day,
            "failed": len(stretch.failures),
            "sessions": len(stretch.sessions),
            "days": stretch.day_count,
            "evidence": stretch.series.log_evidence / _TEN if stretch.kind != ANY else None,
            "is_block": stretch.is_block,
        }
        for stretch in stretches
    )
    if table.empty:
        return table
    low, _ = wilson_bounds(table["failed"], table["sessions"])
    table.insert(6, "lower_share", low)
    dates = {name: pd.to_datetime(table[name], unit="D") for name in ("first", "last")}
    return table.assign(**dates)


def tabulate_rivals(followed: Followed | None, withheld: pd.DataFrame) -> pd.DataFrame:
    """Return what else the periods of a pair could be, a row a period and rival.

    The first day of the period (``blocked_from``); the ``question`` and the ``answer``, which is
    the sentence of the rival that explains it.

    Args:
        followed: of ``follow``.
        withheld: the contract's ``withheld_intervals``.
    """
    rows: list[tuple[object, str, str]] = []
    if followed:
        key = [followed.verdict.domain, followed.verdict.probe_asn]
        of_pair = withheld[(withheld[["domain", "probe_asn"]] == key).all(axis=1)]
        for period in [*list_rows(followed.stretches), *list_rows(of_pair)]:
            answers = answer_rivals(period.mechanism, period.state, getattr(period, "reason", ""))
            rows += [(period.blocked_from, *answer) for answer in answers]
    return pd.DataFrame(rows, columns=["blocked_from", "question", "answer"])
