"""The verdict on a test in a whole country, from OONI's daily counts alone.

The model of chance is that of ``chance``, with a test in the place of a session and other countries
in that of other operators: a test would fail by itself as often as it does in the countries where
it fails most. Counts know no network, no report and no layer, and a single probe that tests much
can make most of them. So what fails from the first day to the last, in one test alone, is withheld:
a fault of how it is measured there looks the same.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts import e_values
from analysis.verdicts.elsewhere import Elsewhere
from analysis.verdicts.intervals import TOO_FEW
from analysis.verdicts.lessons import LEAST, MOST
from analysis.verdicts.rates import raise_by_own
from analysis.verdicts.series import Series
from analysis.verdicts.sessions import KINDS
from analysis.verdicts.states import wilson_bounds
from analysis.verdicts.stretches import find_stretches

Floats = NDArray[np.float64]
#: Days of another level that show that a stretch began or ended.
_OPEN_DAYS = 7
_EDGE_SHARE = 1  # the column of ``e_values.weigh_evidence`` that edges are cut by: 0.75

#: Why what is surprising is not listed.
ALONE = (
    "this test alone, from the first day to the last: counts cannot tell a block from one probe or "
    "a fault that makes most of them"
)
IN_PART = "more than elsewhere, in part of the tests only: on some networks or hours, or a fault"


@dataclass(frozen=True)
class CountryVerdicts:
    """What a country's counts say.

    Attributes:
        stretches: one row a stretch with more anomalies than chance explains: ``test_name, since,
            until`` (first and last day), ``anomaly_count, valid_count, day_count, chance, state``
            (``likely_blocked`` or ``impaired``), ``reason`` (why it is not listed).
        days: one row a test and day that was tested: ``test_name, day, ok_count, anomaly_count,
            failure_count, typical, high``.
    """

    stretches: pd.DataFrame
    days: pd.DataFrame


def judge_counts(
    here: pd.DataFrame, elsewhere: Elsewhere, period: Period, thresholds: Thresholds
) -> CountryVerdicts:
    """Judge each test of a country.

    Args:
        here: one row a test and day: ``test_name, day, ok_count, anomaly_count, failure_count``.
        elsewhere: what other countries say; a day on which they say nothing is not judged.
        period: of the report.
        thresholds: ``chance_share, change_cost, share_floor, floor_sessions, floor_days``.
    """
    days = here.merge(elsewhere.by_day(period), on=["test_name", "day"], how="left")
    days = days.sort_values(["test_name", "day"], ignore_index=True)
    valid = days["ok_count"] + days["anomaly_count"]
    judged = days[(valid > 0) & days["high"].notna()].reset_index(drop=True)
    series, rates = _expand(judged)
    inside = np.zeros(len(series.row), bool)
    for _ in range(2):  # once to know what fails outside of the stretches, once with it
        raised = raise_by_own(series, rates, inside) if inside.any() else rates
        evidence, by_day = e_values.weigh_evidence(series, raised)
        runs = _find_runs(judged, by_day[:, _EDGE_SHARE], thresholds)
        inside = _mark(series, runs)
    tests = judged["test_name"].drop_duplicates().tolist()
    line = e_values.find_line(evidence, len(tests), thresholds.chance_share)
    likely = dict(zip(tests, evidence, strict=True))
    runs = runs[np.array([likely[test] >= line for test in runs["test_name"]], bool)]
    runs = runs.assign(
        chance=[f"{e_values.chance_of(np.array(likely[test])):.1e}" for test in runs["test_name"]]
    )
    return CountryVerdicts(_decide(runs, judged, thresholds), days)


def _expand(judged: pd.DataFrame) -> tuple[Series, Floats]:
    """One series a test, of all its tests in order of their days; and the rate of each."""
    ok, anomaly = (judged[name].to_numpy(np.int64) for name in ("ok_count", "anomaly_count"))
    row = np.repeat(np.arange(len(judged)), ok + anomaly)
    place = np.arange(len(row)) - np.repeat(np.cumsum(ok + anomaly) - ok - anomaly, ok + anomaly)
    code, _ = pd.factorize(judged["test_name"])
    which = code[row]
    starts = np.flatnonzero(np.concatenate([[True], which[1:] != which[:-1]])[: len(which)])
    sessions = {"day": judged["day"].to_numpy(), "cell": code}
    kind = np.full(len(starts), KINDS.index("name_silent"), np.int8)
    series = Series(
        pd.DataFrame(), sessions, kind, np.append(starts, len(row)), row, place < anomaly[row]
    )
    return series, judged["high"].to_numpy(np.float64)[row].clip(LEAST, MOST)


def _find_runs(judged: pd.DataFrame, ratios: Floats, thresholds: Thresholds) -> pd.DataFrame:
    """The stretches of days: ``test_name``, and the rows ``first, last`` of ``judged``."""
    code, names = pd.factorize(judged["test_name"])
    starts = np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]])[: len(code)])
    by_day = Series(
        pd.DataFrame(), {}, np.zeros(len(starts), np.int8), np.append(starts, len(code)),
        np.arange(len(code)), ratios > 0,
    )  # fmt: skip
    places = find_stretches(by_day, [ratios], thresholds.change_cost)
    names_of = pd.Series(names, dtype="object").reindex(code[places[:, 0]]).to_numpy()
    return pd.DataFrame({"test_name": names_of, "first": places[:, 0], "last": places[:, 1]})


def _mark(series: Series, runs: pd.DataFrame) -> NDArray[np.bool_]:
    inside = np.zeros(len(series.sessions["day"]) + 1, np.int64)
    np.add.at(inside, runs["first"].to_numpy(np.int64), 1)
    np.add.at(inside, runs["last"].to_numpy(np.int64) + 1, -1)
    is_inside: NDArray[np.bool_] = np.cumsum(inside)[series.row] > 0
    return is_inside


def _decide(runs: pd.DataFrame, judged: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """The stretches with what they hold, their state and the reason of what is withheld."""
    held = [
        judged.iloc[first : last + 1]
        for first, last in zip(runs["first"], runs["last"], strict=True)
    ]
    table = runs.assign(
        since=judged["day"].to_numpy()[runs["first"]],
        until=judged["day"].to_numpy()[runs["last"]],
        anomaly_count=[int(rows["anomaly_count"].sum()) for rows in held],
        valid_count=[int((rows["anomaly_count"] + rows["ok_count"]).sum()) for rows in held],
        day_count=[int((rows["anomaly_count"] > 0).sum()) for rows in held],
    ).reset_index(drop=True)
    low, _ = wilson_bounds(table["anomaly_count"], table["valid_count"])
    is_enough = (table["anomaly_count"] >= thresholds.floor_sessions) & (
        table["day_count"] >= thresholds.floor_days
    )
    is_most = (low >= thresholds.share_floor) & is_enough
    has_changed = [_has_changed(row, judged) for row in table.itertuples()]
    has_company = [
        any(
            is_most[other] and table["test_name"][other] != row.test_name
            and table["since"][other] <= row.until and row.since <= table["until"][other]
            for other in table.index
        )
        for row in table.itertuples()
    ]  # fmt: skip
    is_told = np.array(has_changed, bool) | np.array(has_company, bool)
    reason = np.select([~is_enough, is_most & ~is_told, ~is_most], [TOO_FEW, ALONE, IN_PART], "")
    return table.drop(columns=["first", "last"]).assign(
        state=np.where(reason == "", "likely_blocked", "impaired"), reason=reason
    )


def _has_changed(stretch: tuple[object, ...], judged: pd.DataFrame) -> bool:
    """Whether the test mostly worked on a week's worth of days outside of the stretch."""
    rows = judged[judged["test_name"] == stretch.test_name]  # type: ignore[attr-defined]
    outside = rows[(rows["day"] < stretch.since) | (rows["day"] > stretch.until)]  # type: ignore[attr-defined]
    is_open = outside["ok_count"] > outside["anomaly_count"]
    return int(is_open.sum()) >= _OPEN_DAYS
