"""What messaging and circumvention tests find in other countries, week by week.

A test that fails everywhere is a defect of the test; the share of each week in a typical country
says how far. A week is asked for with its neighbours: a defect that begins in the middle of one is
half there.

The numbers here and in ``app_verdicts`` are no thresholds of the method's list: they move no site,
so that the sweep would show nothing of them. docs/method.md lists them with their reasons.
"""

from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from analysis.period import Period

#: Tests that a country needs in a week to be heard.
_LEAST_TESTS = 10
#: Countries that must fail for a test to be called defective.
_LEAST_COUNTRIES = 2
#: From this share in a typical country on a test fails everywhere.
DEFECT_SHARE = 0.5
_WEEK_DAYS = 7
_Days = TypeVar("_Days", pd.Timestamp, pd.DatetimeIndex)


@dataclass(frozen=True)
class Elsewhere:
    """The shares of tests that are anomalies in other countries.

    Attributes:
        weeks: one row a test and week (its Sunday): ``test_name, week, typical, country_count``.
        countries: those that are heard, by code.
        counts: one row a test, country and week: ``test_name, probe_cc, week, anomaly_count,
            valid_count``; the country itself left out.
    """

    weeks: pd.DataFrame
    countries: tuple[str, ...]
    counts: pd.DataFrame

    def by_day(self, period: Period) -> pd.DataFrame:
        """One row a test and day on which anybody knows: ``test_name, day, share``, the typical one
        of the weeks around it.
        """
        days = pd.DatetimeIndex(list(period.days()))
        asked = pd.DataFrame({"day": days, "week": week_of(days)})
        near = [
            self.weeks.assign(week=self.weeks["week"] + pd.Timedelta(days=shift))
            for shift in (-_WEEK_DAYS, 0, _WEEK_DAYS)
        ]
        around = pd.concat(near).groupby(["test_name", "week"])["typical"].max()
        told = asked.merge(around.rename("share").reset_index(), on="week")
        return told[["test_name", "day", "share"]]

    def typical_share(self, test_name: str, since: pd.Timestamp, until: pd.Timestamp) -> float:
        """The median, over countries, of the share of anomalies in the weeks of two days."""
        counts = self.counts[
            (self.counts["test_name"] == test_name)
            & (self.counts["week"] >= week_of(since))
            & (self.counts["week"] <= until)
        ]
        sums = counts.groupby("probe_cc")[["anomaly_count", "valid_count"]].sum()
        sums = sums[sums["valid_count"] >= _LEAST_TESTS]
        shares = sums["anomaly_count"] / sums["valid_count"]
        return float(shares.median()) if len(shares) else float("nan")


def week_of(day: _Days) -> _Days:
    """The Sunday on or before a day, as OONI counts weeks."""
    return day - pd.to_timedelta((day.day_of_week + 1) % 7, unit="D")


def look_elsewhere(counts: pd.DataFrame, probe_cc: str) -> Elsewhere:
    """What other countries say.

    Args:
        counts: one row a test, country and day or week: ``test_name, probe_cc, day, ok_count,
            anomaly_count``.
        probe_cc: the country that is asked about, which is no witness of itself.
    """
    others = counts[counts["probe_cc"] != probe_cc]
    others = others.assign(
        week=week_of(pd.DatetimeIndex(others["day"])),
        valid_count=others["ok_count"] + others["anomaly_count"],
    )
    keys = ["test_name", "probe_cc", "week"]
    summed = others.groupby(keys, as_index=False)[["anomaly_count", "valid_count"]].sum()
    heard = summed[summed["valid_count"] >= _LEAST_TESTS]
    heard = heard.assign(share=heard["anomaly_count"] / heard["valid_count"])
    weeks = (
        heard.groupby(["test_name", "week"])["share"]
        .agg(typical="median", country_count="size")
        .reset_index()
    )
    return Elsewhere(weeks, tuple(sorted(heard["probe_cc"].unique())), summed)


def find_defects(elsewhere: Elsewhere) -> pd.DataFrame:
    """When a test failed everywhere.

    Returns:
        One row a run of weeks: ``test_name, since, until`` (its first day, and the last day of its
        last week), ``share`` (the median of its weeks), ``country_count`` (the least of a week).
    """
    is_broken = (elsewhere.weeks["typical"] >= DEFECT_SHARE) & (
        elsewhere.weeks["country_count"] >= _LEAST_COUNTRIES
    )
    broken = elsewhere.weeks[is_broken].sort_values(["test_name", "week"])
    gap = broken.groupby("test_name")["week"].diff().dt.days
    run = (gap != _WEEK_DAYS).cumsum()
    runs = broken.groupby(["test_name", run.rename("run")]).agg(
        since=("week", "min"), until=("week", "max"), share=("typical", "median"),
        country_count=("country_count", "min"),
    )  # fmt: skip
    table = runs.reset_index().drop(columns="run")
    return table.assign(until=table["until"] + pd.Timedelta(days=_WEEK_DAYS - 1))
