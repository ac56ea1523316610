"""What was tested: counts of measurements by month, site and network, and OONI's own flags."""

from collections.abc import Mapping

import duckdb
import pandas as pd

from analysis.errors import ContractError
from analysis.observations.flags import DISJOINT, DISJOINT_SQL
from analysis.period import Period

_FLAGS = ", ".join(f"count(*) FILTER (flag = '{flag}') AS {flag}_count" for flag in DISJOINT)

_BY_MONTH = f"""
SELECT strftime(measurement_start_time, '%Y-%m') AS month, count(*) AS measurement_count, {_FLAGS}
FROM (SELECT measurement_start_time, {DISJOINT_SQL} AS flag FROM observations)
GROUP BY 1 ORDER BY 1
"""

_BY_NETWORK = """
SELECT probe_asn, count(*) AS measurement_count,
  count(DISTINCT domain) FILTER (domain <> '') AS domain_count,
  mode(probe_network_name ORDER BY probe_network_name) AS probe_network_name
FROM observations GROUP BY 1 ORDER BY 1
"""

_BY_NETWORK_MONTH = """
SELECT probe_asn, strftime(measurement_start_time, '%Y-%m') AS month,
  count(*) AS measurement_count
FROM observations GROUP BY 1, 2 ORDER BY 1, 2
"""

_BY_DOMAIN = """
SELECT domain, count(*) AS measurement_count,
  count(*) FILTER (is_anomaly OR is_confirmed) AS anomaly_count,
  list_sort(list(DISTINCT input)) AS inputs
FROM observations GROUP BY 1 ORDER BY 1
"""

_IN_PERIOD = """
SELECT count(*), count(DISTINCT domain) FILTER (domain <> ''), list_sort(list(DISTINCT probe_asn))
FROM observations WHERE measurement_start_time >= $since AND measurement_start_time < $until
"""

_IN_HALVES = """
SELECT concat('AS', probe_asn) AS probe_asn,
  count(*) FILTER (measurement_start_time < $split) AS first_measurement_count,
  count(*) FILTER (measurement_start_time >= $split) AS second_measurement_count
FROM observations GROUP BY 1 ORDER BY 1
"""


def count_by_month(
    connection: duckdb.DuckDBPyConnection, *, has_fingerprints: bool
) -> pd.DataFrame:
    """The contract's ``measurements_by_month``: one row per month that was measured.

    Args:
        connection: holds ``observations``.
        has_fingerprints: without a fingerprint list nothing can be confirmed, and
            ``confirmed_count`` is empty rather than 0.
    """
    frame = connection.execute(_BY_MONTH).df()
    parts = [f"{flag}_count" for flag in DISJOINT]
    off = frame[frame[parts].sum(axis=1) != frame["measurement_count"]]
    if len(off):
        month = off["month"].iloc[0]
        raise ContractError(f"measurements_by_month: the flags of {month} do not sum")
    if not has_fingerprints:
        frame["confirmed_count"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    return frame


def count_by_network(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """One row per ``probe_asn``: ``measurement_count, domain_count, probe_network_name``."""
    return connection.execute(_BY_NETWORK).df()


def count_by_network_and_month(
    connection: duckdb.DuckDBPyConnection, networks: pd.DataFrame
) -> pd.DataFrame:
    """One row per ``probe_asn`` × ``month`` that was measured: ``measurement_count, network``.

    ``network`` is the name in ``networks`` with the number, since several may have one name.
    """
    frame = connection.execute(_BY_NETWORK_MONTH).df().merge(networks[["probe_asn", "network"]])
    frame["network"] += " (AS" + frame["probe_asn"].astype(str) + ")"
    return frame


def count_by_domain(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """One row per ``domain``: counts and the ``inputs`` it was tested by.

    Measurements whose input has no usable host name stand under the domain ``""``.
    """
    return connection.execute(_BY_DOMAIN).df()


def count_in_halves(
    connection: duckdb.DuckDBPyConnection, periods: Mapping[str, Period]
) -> pd.DataFrame:
    """One row per network (``probe_asn`` as ``AS123``) with its measurements in each half.

    Columns: ``probe_asn, first_measurement_count, second_measurement_count``.
    """
    return connection.execute(_IN_HALVES, {"split": periods["second"].since}).df()


def count_in_periods(
    connection: duckdb.DuckDBPyConnection, periods: Mapping[str, Period]
) -> dict[str, dict[str, object]]:
    """Period → ``measurement_count, domain_count`` and ``network_asns`` (as ``AS123``)."""
    counts: dict[str, dict[str, object]] = {}
    for name, period in periods.items():
        inside = {"since": period.since, "until": period.until}
        ((measurements, domains, asns),) = connection.execute(_IN_PERIOD, inside).fetchall()
        counts[name] = {
            "measurement_count": measurements,
            "domain_count": domains,
            "network_asns": [f"AS{asn}" for asn in asns or []],
        }
    return counts
