"""Verdicts on each part of messaging and circumvention tests on each network.

The model is that of web sites: series of one kind of failure, weighed against chance, cut into
stretches or found at hours of the week. These tests have no control, and share the software that
runs them: a failure may occur everywhere. So each session's rate of chance is at least the share
that failed *elsewhere* about that day: in other countries, if there are counts of them, else on the
country's other networks. If the test works in other countries, a failure on all networks of this
one is not explained by an outage of the test.

Other countries are counted by week. Each week is read with its neighbours, because a defect that
begins in the middle of a week shows only half. The numbers here are no thresholds of the method:
they affect no site, so that the sweep could not show their effect. docs/method.md has them with
their reasons.
"""

from dataclasses import dataclass, replace
from functools import partial

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.period import Period
from analysis.sql import read_queries
from analysis.verdicts.pairs import Country
from analysis.verdicts.rates import MOST_RATE
from analysis.verdicts.sessions import Sessions
from analysis.verdicts.verdicts import Judgement, Scope, judge_cells

Floats = NDArray[np.float64]

#: Days before and after a session on which sessions of other networks are counted.
NEAR_DAYS = 10
#: Sessions of one operator that are counted at most, so that none dominates.
_MOST_COUNTED = 4
#: Weight in sessions of a share of zero, beside the counted sessions.
_PSEUDO = 4

_QUERIES = read_queries(__file__)

#: Name of a part of a test, which is judged like a site. (pandas' ``partition`` of an empty series
#: has no columns.)
TEST_AND_PART = r"(?P<test_name>[^/]*)/(?P<part>.*)"


def judge_messaging(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, scope: Scope, control: pd.DataFrame
) -> Judgement:
    """Judge every part of every test on every network.

    Args:
        connection, sessions, scope: see ``judge_cells``.
        control: shares in other countries, see ``Elsewhere.by_day``; where there are none, those of
            the country's other networks are used.
    """
    scope = replace(scope, has_control=not control.empty)
    return judge_cells(connection, sessions, scope, partial(_share_elsewhere, control=control))


def _share_elsewhere(
    connection: duckdb.DuckDBPyConnection, country: Country, control: pd.DataFrame
) -> Floats:
    """Return the share of each session's test that failed about that day in other countries.

    If there is none, return the share of other operators' sessions that fail within ``NEAR_DAYS``,
    drawn towards zero. Sessions that may be blocked count as well: without other countries, a
    failure on most networks at once may be a block or a defect of the test. So if most sessions of
    the others fail as well, or there are none, a failure is no evidence: the rate is the highest.

    Args:
        connection: connection to ``sessions`` and ``networks``.
        country: pairs of a part of a test and a network.
        control: shares in other countries.
    """
    sessions = country.rows[["domain", "operator", "day"]]
    sessions = sessions.astype({"day": control["day"].dtype})
    parts = pd.Series(country.names[sessions["domain"]], dtype="str")
    tests = sessions[["day"]].assign(test_name=parts.str.extract(TEST_AND_PART)["test_name"])
    abroad = tests.merge(control, on=["test_name", "day"], how="left")["share"]
    number = sessions.groupby(list(sessions)).ngroup()
    part_days = sessions.assign(number=number).drop_duplicates("number")
    connection.register("part_days", part_days)
    values = {
        "days": NEAR_DAYS,
        "most_counted": _MOST_COUNTED,
        "pseudo": _PSEUDO,
        "most": MOST_RATE,
    }
    domestic = connection.execute(_QUERIES["near_shares"], values).df()["share"]
    return np.where(abroad.isna(), domestic.to_numpy(np.float64)[number], abroad)


#: Tests that a country needs in a week to be counted.
_LEAST_TESTS = 10
#: Countries in which a test must fail to count as defective.
_LEAST_COUNTRIES = 2
#: Share of anomalies in a typical country from which a test counts as defective.
DEFECT_SHARE = 0.5
_WEEK_DAYS = 7


@dataclass(frozen=True)
class Elsewhere:
    """Shares of tests that are anomalies in other countries.

    Attributes:
        weeks: one row per test and week (its Sunday): ``test_name, week, typical, country_count``.
        countries: codes of the countries that are counted.
        counts: one row per test, country and week: ``test_name, probe_cc, week, anomaly_count,
            valid_count``; the country itself left out.
    """

    weeks: pd.DataFrame
    countries: tuple[str, ...]
    counts: pd.DataFrame

    def by_day(self, period: Period) -> pd.DataFrame:
        """Return one row per test and day with a known share: ``test_name, day, share``.

        The share is the largest typical one of the week and its neighbours.
        """
        days = pd.DatetimeIndex(list(period.days()))
        calendar = pd.DataFrame({"day": days, "week": week_of(days)})
        near = [
            self.weeks.assign(week=self.weeks["week"] + pd.Timedelta(days=shift))
            for shift in (-_WEEK_DAYS, 0, _WEEK_DAYS)
        ]
        around = pd.concat(near).groupby(["test_name", "week"])["typical"].max()
        known_days = calendar.merge(around.rename("share").reset_index(), on="week")
        return known_days[["test_name", "day", "share"]]

    def typical_share(self, test_name: str, since: pd.Timestamp, until: pd.Timestamp) -> float:
        """Return the median, over countries, of the share of anomalies from one week to another.

        ``since`` and ``until`` are days in these weeks.
        """
        counts = self.counts[
            (self.counts["test_name"] == test_name)
            & (self.counts["week"] >= week_of(pd.DatetimeIndex([since]))[0])
            & (self.counts["week"] <= until)
        ]
        sums = counts.groupby("probe_cc")[["anomaly_count", "valid_count"]].sum()
        sums = sums[sums["valid_count"] >= _LEAST_TESTS]
        shares = sums["anomaly_count"] / sums["valid_count"]
        return float(shares.median()) if len(shares) else float("nan")


def week_of(day: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Return the Sunday on or before each day, as OONI counts weeks."""
    return day - pd.to_timedelta((day.day_of_week + 1) % 7, unit="D")


def look_elsewhere(counts: pd.DataFrame, probe_cc: str) -> Elsewhere:
    """Return the shares of anomalies in other countries.

    Args:
        counts: one row per test, country and day or week: ``test_name, probe_cc, day, ok_count,
            anomaly_count``.
        probe_cc: the country of the report, which is left out.
    """
    abroad = counts[counts["probe_cc"] != probe_cc]
    abroad = abroad.assign(
        week=week_of(pd.DatetimeIndex(abroad["day"])),
        valid_count=abroad["ok_count"] + abroad["anomaly_count"],
    )
    keys = ["test_name", "probe_cc", "week"]
    summed = abroad.groupby(keys, as_index=False)[["anomaly_count", "valid_count"]].sum()
    counted = summed[summed["valid_count"] >= _LEAST_TESTS]
    counted = counted.assign(share=counted["anomaly_count"] / counted["valid_count"])
    weeks = (
        counted.groupby(["test_name", "week"])["share"]
        .agg(typical="median", country_count="size")
        .reset_index()
    )
    return Elsewhere(weeks, tuple(sorted(counted["probe_cc"].unique())), summed)


def find_defects(elsewhere: Elsewhere) -> pd.DataFrame:
    """Find the weeks in which a test failed everywhere.

    Returns:
        One row per run of weeks: ``test_name, since, until`` (its first day, and the last day of
        its last week), ``share`` (the median of its weeks), ``country_count`` (the least of a
        week).
    """
    is_broken = (elsewhere.weeks["typical"] >= DEFECT_SHARE) & (
        elsewhere.weeks["country_count"] >= _LEAST_COUNTRIES
    )
    broken = elsewhere.weeks[is_broken].sort_values(["test_name", "week"])
    gap = broken.groupby("test_name")["week"].diff().dt.days
    run = (gap != _WEEK_DAYS).cumsum()
    runs = broken.groupby(["test_name", run.rename("run")]).agg(
        since=("week", "min"),
        until=("week", "max"),
        share=("typical", "median"),
        country_count=("country_count", "min"),
    )
    table = runs.reset_index().drop(columns="run")
    return table.assign(until=table["until"] + pd.Timedelta(days=_WEEK_DAYS - 1))
