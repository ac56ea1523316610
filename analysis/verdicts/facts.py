"""What rates are learnt from: the sessions that fail, and how many were counted beside them."""

from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.macros import create_tables
from analysis.verdicts.series import BLOCKED, DOWN, Series

Floats = NDArray[np.float64]

# Sessions of the country's access networks that count. A cell that has too few to be judged does
# not teach: three failures there may be the block itself.
_COUNTED = """
CREATE OR REPLACE TEMP VIEW counted_sessions AS
SELECT s.domain, s.probe_asn, s.session, s.software, s.day, s.class, s.kind, n.operator
FROM sessions s JOIN networks n USING (probe_asn) SEMI JOIN tested_cells USING (domain, probe_asn)
WHERE n.is_domestic AND s.class IN ('blocked', 'ok', 'unclear')
"""

# The failures of cells in which too few fail for a series. Those of cells that are too thin teach
# about the probe all the same.
_STRAY_FAILURES = """
SELECT enum_code(domain)::INTEGER AS domain, probe_asn::INTEGER AS probe_asn,
  enum_code(session)::INTEGER AS session, enum_code(software)::INTEGER AS software, day,
  enum_code(kind)::TINYINT AS kind, operator, t.domain IS NOT NULL AS teaches
FROM sessions s JOIN networks USING (probe_asn) LEFT JOIN tested_cells t USING (domain, probe_asn)
  ANTI JOIN failing_cells USING (domain, probe_asn)
WHERE class = 'blocked' AND is_domestic
"""

_SITES = """
SELECT enum_code(domain)::INTEGER AS domain, operator, count(*) AS sessions
FROM counted_sessions GROUP BY ALL
"""

_VERSIONS = """
SELECT enum_code(domain)::INTEGER AS domain, enum_code(software)::INTEGER AS software, operator,
  count(*) AS sessions
FROM counted_sessions SEMI JOIN failing_cells USING (domain) GROUP BY ALL
"""

_REPORTS = """
SELECT probe_asn::INTEGER AS probe_asn, enum_code(session)::INTEGER AS session,
  count(*) AS sessions
FROM sessions WHERE class IN ('blocked', 'ok', 'unclear') GROUP BY ALL
"""

# The network that each site is in: the one that most measurements found it in.
_SITE_NETWORKS = """
SELECT domain, mode(site_asn ORDER BY site_asn) AS site_asn
FROM outcomes WHERE site_asn IS NOT NULL GROUP BY domain
"""

_ROUTES = """
SELECT site_asn::BIGINT AS site_asn, probe_asn::INTEGER AS probe_asn, day, count(*) AS sessions
FROM sessions JOIN site_networks USING (domain)
WHERE class IN ('blocked', 'ok', 'unclear') GROUP BY ALL
"""

_HOSTS = """
SELECT enum_code(domain)::INTEGER AS domain, site_asn FROM site_networks
"""

_DAYS = """
SELECT enum_code(domain)::INTEGER AS domain, operator, day, count(*) AS sessions
FROM counted_sessions SEMI JOIN failing_cells USING (domain) GROUP BY ALL
"""


@dataclass(frozen=True)
class Facts:
    """What is known of the sessions.

    ``rows`` holds all sessions of failing cells and the failures of the others.
    """

    rows: pd.DataFrame
    sites: pd.DataFrame
    versions: pd.DataFrame
    reports: pd.DataFrame
    days: pd.DataFrame
    routes: pd.DataFrame


def read_facts(connection: duckdb.DuckDBPyConnection, series: Series) -> Facts:
    connection.execute(_COUNTED)
    create_tables(connection, {"site_networks": _SITE_NETWORKS}, {})
    hosts = connection.execute(_HOSTS).df().set_index("domain")["site_asn"]
    told = series.sessions.assign(
        teaches=series.sessions["is_domestic"] & (series.sessions["class"] != DOWN)
    )
    strays = connection.execute(_STRAY_FAILURES).df().assign(is_domestic=True)
    rows = pd.concat([told, strays], ignore_index=True)
    is_failure = (rows["class"].fillna(BLOCKED) == BLOCKED).to_numpy()
    rows = rows.assign(
        is_failure=is_failure, is_counted=(rows["class"] != DOWN).to_numpy(),
        site_asn=rows["domain"].map(hosts).fillna(-1).astype("int64"),
    )  # fmt: skip
    queries = (_SITES, _VERSIONS, _REPORTS, _DAYS, _ROUTES)
    sites, versions, reports, days, routes = (connection.execute(query).df() for query in queries)
    return Facts(rows, sites, versions, reports, days, routes)
