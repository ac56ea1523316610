"""The verdict on each part of a messaging or circumvention test on each network.

The model is that of web sites: series of one kind of failure, weighed against chance, cut into
stretches or found at hours of the week. These tests have no control of their own, and all share the
software that makes them: what fails here may fail everywhere. So each session's rate of chance is
at least what failed *elsewhere* about that day: in other countries, where their counts are at hand,
else on the country's other networks. Where other countries say that the test works, a failure on
all networks of this one is no longer what an outage would be.
"""

from dataclasses import replace
from functools import partial

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

# What other operators' sessions showed of each part about each day, whatever the kind: a defect of
# the test shows at one layer here and at another there.
_NEAR_SHARES = """
WITH near AS (
  SELECT a.number, n.operator, count(*) AS sessions,
    count(*) FILTER (s.class = 'blocked') AS hits
  FROM asked_at_hand a JOIN sessions s ON enum_code(s.domain) = a.domain
      AND s.day BETWEEN a.day::DATE - $days AND a.day::DATE + $days
    JOIN networks n ON n.probe_asn = s.probe_asn AND n.operator <> a.operator
  WHERE s.class IN ('blocked', 'ok', 'unclear') AND n.is_domestic GROUP BY ALL
), heard AS (
  SELECT number, sum(least(sessions, $heard)) AS sessions,
    sum(least(sessions, $heard) * (hits / sessions)::DECIMAL(18, 12))::DOUBLE AS hits
  FROM near GROUP BY number
)
SELECT number,
  CASE WHEN coalesce(2 * hits >= sessions, TRUE) THEN $most ELSE hits / (sessions + $pseudo) END
    AS share
FROM asked_at_hand LEFT JOIN heard USING (number) ORDER BY number
"""


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
    connection: duckdb.DuckDBPyConnection, series: Series, control: pd.DataFrame
) -> Floats:
    """What failed of each session's test about that day in other countries, else on other networks.

    Args:
        connection: holds ``sessions`` and ``networks``.
        series: of parts of tests.
        control: what other countries say.
    """
    domains = read_type(connection, "host_name")[series.look_up("domain", series.row)]
    asked = pd.DataFrame({
        "test_name": pd.Series(domains, dtype="str").str.partition("/")[0],
        "day": series.column("day"),
    }).astype({"day": control["day"].dtype})  # fmt: skip
    abroad = asked.merge(control, on=["test_name", "day"], how="left")["share"]
    here = _share_on_other_networks(connection, series)
    return np.where(abroad.isna(), here, abroad)


def _share_on_other_networks(connection: duckdb.DuckDBPyConnection, series: Series) -> Floats:
    """The share of other operators' sessions that fail within ``NEAR_DAYS``, drawn towards none.

    What may itself be a block teaches here too: without other countries, what fails on most
    networks at once is a block or a defect of the test, and nothing tells which. So where most of
    the others fail as well, or nobody else tested, a failure tells nothing: the rate is the
    highest.
    """
    frame = pd.DataFrame({
        "domain": series.look_up("domain", series.row),
        "operator": series.look_up("operator", series.row), "day": series.column("day"),
    })  # fmt: skip
    number = frame.groupby(list(frame)).ngroup()
    asked = frame.assign(number=number).drop_duplicates("number")
    connection.register("asked_at_hand", asked)
    given = {"days": NEAR_DAYS, "heard": _HEARD, "pseudo": _PSEUDO, "most": MOST}
    shares = connection.execute(_NEAR_SHARES, given).df()["share"].to_numpy(np.float64)
    return np.asarray(shares[number], np.float64)
