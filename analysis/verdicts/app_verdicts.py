"""The verdict on each part of a messaging or circumvention test on each network.

The model is that of web sites: series of one kind of failure, weighed against chance, cut into
stretches or found at hours of the week. These tests have no control of their own, and all share the
software that makes them: what fails here may fail everywhere. So each session's rate of chance is
at least what failed *elsewhere* about that day: in other countries, where their counts are at hand,
else on the country's other networks. Where other countries say that the test works, a failure on
all networks of this one is no longer what an outage would be.

Other countries are read week by week. A week is asked for with its neighbours: a defect that begins
in the middle of one is half there. The numbers here are no thresholds of the method's list: they
move no site, so that the sweep would show nothing of them. docs/method.md has them with their
reasons.
"""

from dataclasses import dataclass, replace
from functools import partial

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.steps import read_type
from analysis.period import Period
from analysis.sql import read_queries
from analysis.verdicts.pairs import Country
from analysis.verdicts.rates import MOST_RATE
from analysis.verdicts.sessions import Sessions
from analysis.verdicts.verdicts import Judgement, Scope, judge_cells

Floats = NDArray[np.float64]

#: Days before and after a session for which other networks, and other countries, are asked.
NEAR_DAYS = 10
#: Sessions of one operator that are heard: one that tests much is still one.
_HEARD = 4
#: Sessions that the usual rate is worth beside those that were counted.
_PSEUDO = 4

_QUERIES = read_queries(__file__)

#: What is judged in the place of a site. Pandas' ``partition`` of no text at all has no columns.
TEST_AND_PART = r"(?P<test_name>[^/]*)/(?P<part>.*)"


def judge_messaging(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, scope: Scope, control: pd.DataFrame
) -> Judgement:
    """Judge every part of every test on every network.

    Args:
        connection, sessions, scope: see ``judge_cells``.
        control: what other countries say, see ``Elsewhere.by_day``; where they say nothing, the
            country's other networks are asked.
    """
    scope = replace(scope, has_control=not control.empty)
    return judge_cells(connection, sessions, scope, partial(_share_elsewhere, control=control))


def _share_elsewhere(
    connection: duckdb.DuckDBPyConnection, country: Country, control: pd.DataFrame
) -> Floats:
    """Return what failed of each session's test about that day in other countries.

    If they say nothing, what failed on the country's other networks.

    Args:
        connection: holds ``sessions`` and ``networks``.
        country: pairs of a part of a test and a network.
        control: what other countries say.
    """
    sessions = pd.DataFrame(
        [
            (pair.domain, pair.operator, session.day)
            for pair in country.pairs
            for session in pair.sessions
        ],
        columns=["domain", "operator", "day"],
    ).astype("int64")
    sessions["day"] = pd.to_datetime(sessions["day"], unit="D").astype(control["day"].dtype)
    parts = pd.Series(read_type(connection, "host_name")[sessions["domain"]], dtype="str")
    asked = sessions[["day"]].assign(test_name=parts.str.extract(TEST_AND_PART)["test_name"])
    abroad = asked.merge(control, on=["test_name", "day"], how="left")["share"]
    here = _share_on_other_networks(connection, sessions)
    return np.where(abroad.isna(), here, abroad)


def _share_on_other_networks(
    connection: duckdb.DuckDBPyConnection, sessions: pd.DataFrame
) -> Floats:
    """Return the share of other operators' sessions that fail within ``NEAR_DAYS``.

    It is drawn towards none. What may itself be a block teaches here too: without other countries,
    what fails on most networks at once is a block or a defect of the test, and nothing tells which.
    So if most of the others fail as well, or nobody else tested, a failure tells nothing: the rate
    is the highest.

    Args:
        connection: holds ``sessions`` and ``networks``.
        sessions: ``domain, operator, day``, a row a session.
    """
    number = sessions.groupby(list(sessions)).ngroup()
    asked = sessions.assign(number=number).drop_duplicates("number")
    connection.register("asked_at_hand", asked)
    given = {"days": NEAR_DAYS, "heard": _HEARD, "pseudo": _PSEUDO, "most": MOST_RATE}
    shares = connection.execute(_QUERIES["near_shares"], given).df()["share"].to_numpy(np.float64)
    return np.asarray(shares[number], np.float64)


#: Tests that a country needs in a week to be heard.
_LEAST_TESTS = 10
#: Countries that must fail for a test to be called defective.
_LEAST_COUNTRIES = 2
#: From this share in a typical country on a test fails everywhere.
DEFECT_SHARE = 0.5
_WEEK_DAYS = 7


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
            & (self.counts["week"] >= week_of(pd.DatetimeIndex([since]))[0])
            & (self.counts["week"] <= until)
        ]
        sums = counts.groupby("probe_cc")[["anomaly_count", "valid_count"]].sum()
        sums = sums[sums["valid_count"] >= _LEAST_TESTS]
        shares = sums["anomaly_count"] / sums["valid_count"]
        return float(shares.median()) if len(shares) else float("nan")


def week_of(day: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The Sunday on or before each day, as OONI counts weeks."""
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
        since=("week", "min"),
        until=("week", "max"),
        share=("typical", "median"),
        country_count=("country_count", "min"),
    )
    table = runs.reset_index().drop(columns="run")
    return table.assign(until=table["until"] + pd.Timedelta(days=_WEEK_DAYS - 1))
