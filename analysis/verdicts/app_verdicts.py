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
from analysis.verdicts.rates import MOST
from analysis.verdicts.series import Series
from analysis.verdicts.sessions import Sessions
from analysis.verdicts.verdicts import Judgement, Scope, judge_cells

Floats = NDArray[np.float64]

#: Days before and after a session for which other networks, and other countries, are asked.
NEAR_DAYS = 10
#: Sessions of one operator that are heard: one that tests much is still one.
_HEARD = 4
#: Sessions that the usual rate is worth beside those that were counted.
_PSEUDO = 4

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

    def elsewhere(series: Series) -> Floats:
        with sessions.opened(connection) as opened:
            return _share_elsewhere(opened, series, control)

    scope = replace(scope, has_control=not control.shares.empty)
    return judge_cells(connection, sessions, scope, elsewhere)


def _share_elsewhere(
    connection: duckdb.DuckDBPyConnection, series: Series, control: Control
) -> Floats:
    """What failed of each session's test about that day in other countries, else on other networks.

    Args:
        connection: holds ``sessions`` and ``networks``.
        series: of parts of tests.
        control: what other countries say.
    """
    domains = read_type(connection, "host_name")[series.look_up("domain", series.row)]
    test = np.array([name.partition("/")[0] for name in domains], object)
    abroad = control.look_up(test, series.column("day"))
    here = _share_on_other_networks(connection, series, domains)
    return np.where(np.isnan(abroad), here, abroad)


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
