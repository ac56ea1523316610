"""The verdict on each part of a messaging or circumvention test on each network.

The model is that of web sites: series of one kind of failure, weighed against chance, cut into
stretches or found at hours of the week. These tests have no control of their own, and all share the
software that makes them: what fails here may fail everywhere. So each session's rate of chance is
at least what failed *elsewhere* about that day: in other countries, where their counts are at hand,
else on the country's other networks. Where other countries say that the test works, a failure on
all networks of this one is no longer what an outage would be.
"""

from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.steps import read_type
from analysis.verdicts.columns import read_sessions
from analysis.verdicts.expectation import Learnt, learn_expectation, see_sessions
from analysis.verdicts.lessons import LEAST, MOST, TERMS
from analysis.verdicts.series import Series
from analysis.verdicts.sessions import KINDS, Sessions
from analysis.verdicts.site_schedules import Hours
from analysis.verdicts.verdicts import Judgement, Scope, judge_cells

Floats = NDArray[np.float64]

#: Days before and after a session for which other networks, and other countries, are asked.
NEAR_DAYS = 10
#: Sessions of one operator that are heard: one that tests much is still one.
_HEARD = 4
#: Sessions that the usual rate is worth beside those that were counted.
_PSEUDO = 4
#: What the country's own networks teach about a site, and what other countries know better.
_OF_THE_COUNTRY = ("near", "route")

# Failures of each operator by part and day, whatever their kind: a defect of the test shows at one
# layer here and at another there.
_OPERATOR_DAYS = """
SELECT domain::VARCHAR AS domain, n.operator, day,
  count(*) FILTER (class = 'blocked') AS hits, count(*) AS sessions
FROM sessions JOIN networks n USING (probe_asn)
WHERE class IN ('blocked', 'ok', 'unclear') AND is_domestic GROUP BY ALL
"""


@dataclass(frozen=True)
class Control:
    """What is known of a test besides the country's own measurements.

    Attributes:
        shares: one row a test and day: ``test_name, day, share``, the share of tests that fail in
            other countries about that day; a day on which nobody knows is not there.
    """

    shares: pd.DataFrame

    def tests(self) -> set[str]:
        """The tests of which other countries say something."""
        return set(self.shares["test_name"])

    def look_up(self, test_name: NDArray[np.object_], day: NDArray[np.generic]) -> Floats:
        """The share of each pair of test and day; NaN where other countries say nothing."""
        known = self.shares.set_index(["test_name", "day"])["share"]
        asked = pd.MultiIndex.from_arrays([test_name, day.astype("datetime64[us]")])
        found: Floats = known.reindex(asked).to_numpy(np.float64)
        return found


NO_CONTROL = Control(pd.DataFrame({"test_name": [], "day": pd.to_datetime([]), "share": []}))


def judge_messaging(
    connection: duckdb.DuckDBPyConnection,
    sessions: Sessions,
    scope: Scope,
    control: Control = NO_CONTROL,
) -> Judgement:
    """Judge every part of every test on every network.

    Args:
        connection, sessions, scope: see ``judge_cells``.
        control: what other countries say; without it the country's other networks are asked.
    """
    learnt = learn_expectation(see_sessions(read_sessions(connection, sessions), scope.thresholds))
    with sessions.opened(connection) as opened:
        learnt = weigh_elsewhere(opened, learnt, control)
    scope = replace(scope, has_control=not control.shares.empty)
    return judge_cells(connection, sessions, scope, learnt)


def judge_endpoints(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, scope: Scope, pair_count: int
) -> Judgement:
    """Judge every endpoint on every network, where most of its part was reached meanwhile.

    So the probe was in order, and what it missed is held against the other networks alone: no
    other country is known by its endpoints.

    Args:
        connection, sessions, scope: see ``judge_cells``.
        pair_count: what ``app_outcomes.add_endpoint_outcomes`` returns.
    """
    learnt = learn_expectation(see_sessions(read_sessions(connection, sessions), scope.thresholds))
    tested_count = max(pair_count * (len(KINDS) - 1), learnt.expected.tested_count)
    learnt = replace(learnt, expected=replace(learnt.expected, tested_count=tested_count))
    with sessions.opened(connection) as opened:
        learnt = weigh_elsewhere(opened, learnt, NO_CONTROL, is_probe_sound=True)
    return judge_cells(connection, sessions, scope, learnt)


def weigh_elsewhere(
    connection: duckdb.DuckDBPyConnection,
    learnt: Learnt,
    control: Control,
    *,
    is_probe_sound: bool = False,
) -> Learnt:
    """What was learnt, with rates that are at least what fails elsewhere about that day.

    Args:
        connection: holds what it was learnt from.
        learnt: of the country itself.
        control: what other countries say.
        is_probe_sound: whether something else says that the probe was in order, so that what
            else failed on its network and in its session excuses nothing.
    """
    expected, series = learnt.expected, learnt.expected.series
    of_kinds = series.of_kinds()
    count = len(of_kinds.row)
    domains = read_type(connection, "host_name")[of_kinds.look_up("domain", of_kinds.row)]
    test = np.array([name.partition("/")[0] for name in domains], object)
    abroad = control.look_up(test, of_kinds.column("day"))
    here = _share_on_other_networks(connection, of_kinds, domains)
    elsewhere = np.where(np.isnan(abroad), here, abroad)
    terms = expected.lessons.shares()
    taken = [name not in _OF_THE_COUNTRY for name in TERMS[:4]]
    of_site = np.where(np.isnan(abroad), terms[:4].max(axis=0), terms[:4][taken].max(axis=0))
    site = np.maximum(of_site, np.nan_to_num(elsewhere))
    rates = np.full(len(series.row), LEAST)
    probe = np.zeros(count) if is_probe_sound else terms[4:].max(axis=0)
    rates[:count] = (1 - (1 - site) * (1 - probe)).clip(LEAST, MOST)
    schedules = Hours(of_kinds, rates[:count]).confirm()
    return replace(learnt, expected=replace(expected, rates=rates, schedules=schedules))


def _share_on_other_networks(
    connection: duckdb.DuckDBPyConnection, series: Series, domains: NDArray[np.object_]
) -> Floats:
    """The share of other operators' sessions that fail within ``NEAR_DAYS``, drawn towards none.

    What may itself be a block teaches here too: without other countries, what fails on most
    networks at once is a block or a defect of the test, and nothing tells which. So where most of
    the others fail as well, or nobody else tested, a failure tells nothing: the rate is the
    highest.
    """
    by_day = connection.execute(_OPERATOR_DAYS).df()
    frame = pd.DataFrame({
        "domain": domains, "operator": series.look_up("operator", series.row).astype(np.int64),
        "day": series.column("day").astype("datetime64[us]"),
    })  # fmt: skip
    asked = frame.drop_duplicates().reset_index(drop=True)
    shares: Floats = np.zeros(len(asked), np.float64)
    for domain, rows in asked.groupby("domain"):
        told = by_day[by_day["domain"] == domain]
        shares[rows.index] = _near_share(told, rows)
    by_place = pd.Series(shares, pd.MultiIndex.from_frame(asked))
    return np.asarray(by_place.reindex(pd.MultiIndex.from_frame(frame)), np.float64)


def _near_share(told: pd.DataFrame, asked: pd.DataFrame) -> Floats:
    """For each operator and day asked about, what the other operators saw around that day."""
    days = pd.date_range(
        min(told["day"].min(), asked["day"].min()), max(told["day"].max(), asked["day"].max())
    )
    window = 2 * NEAR_DAYS + 1
    sums = {
        name: told.pivot_table(index="day", columns="operator", values=name, aggfunc="sum")
        .reindex(days).fillna(0).rolling(window, min_periods=1, center=True).sum()
        for name in ("hits", "sessions")
    }  # fmt: skip
    heard = sums["sessions"].clip(upper=_HEARD)
    failing = heard * (sums["hits"] / sums["sessions"].where(sums["sessions"] > 0)).fillna(0)
    at = days.get_indexer(pd.Index(asked["day"]))
    own = heard.columns.get_indexer(pd.Index(asked["operator"]))
    heard_by_all, failing_by_all = heard.sum(axis=1).to_numpy(), failing.sum(axis=1).to_numpy()
    own_heard = np.where(own >= 0, heard.to_numpy()[at, own], 0)
    own_failing = np.where(own >= 0, failing.to_numpy()[at, own], 0)
    others, failed = heard_by_all[at] - own_heard, failing_by_all[at] - own_failing
    is_mute = (others <= 0) | (2 * failed >= others)
    return np.asarray(np.where(is_mute, MOST, failed / (others + _PSEUDO)), np.float64)
