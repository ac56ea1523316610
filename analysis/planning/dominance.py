"""How many hands the measurements come from: how far one or two sources dominate.

Sources are groups that nobody is alone in naming: a network, a version of the probe, a platform.
Probes that share all three are counted together and not named: the group may be one person's.
"""

from collections.abc import Mapping

import duckdb
import pandas as pd

#: What may dominate → the words for it. The last is never named.
SOURCES = {
    "probe_asn": "Network",
    "software": "Version of the probe",
    "platform": "Platform",
    "like": "Probes alike in all three",
}

_COUNTS = """
SELECT concat('AS', probe_asn) AS probe_asn,
  concat_ws(' ', software_name, software_version) AS software, coalesce(platform, '') AS platform,
  CASE grouping(probe_asn, software_name, platform)
    WHEN 3 THEN 'probe_asn' WHEN 5 THEN 'software' WHEN 6 THEN 'platform' ELSE 'like' END AS source,
  count(*) AS measurement_count
FROM tested GROUP BY GROUPING SETS
  ((probe_asn), (software_name, software_version), (platform),
   (probe_asn, software_name, software_version, platform))
ORDER BY measurement_count DESC, probe_asn, software, platform
"""


def weigh_sources(connection: duckdb.DuckDBPyConnection, names: Mapping[str, str]) -> pd.DataFrame:
    """One row per kind of source: the share of the largest and of the two largest.

    Args:
        connection: with the tables of ``coverage.add_tested``.
        names: ``AS123`` → the network's name.

    Returns:
        ``source, source_count, largest, largest_share, two_largest_share, equal_source_count``:
        as many sources of one size would be as concentrated (the inverse of the sum of squared
        shares).
    """
    counts = connection.execute(_COUNTS).df()
    rows: list[dict[str, object]] = []
    for source, words in SOURCES.items():
        of = counts[counts["source"] == source]
        if of.empty:  # nothing was measured
            continue
        shares = of["measurement_count"] / of["measurement_count"].sum()
        largest = "" if source == "like" else str(of[source].iloc[0])
        rows.append({
            "source": words, "source_count": len(of),
            "largest": f"{names[largest]} ({largest})" if largest in names else largest,
            "largest_share": shares.iloc[0], "two_largest_share": shares.iloc[:2].sum(),
            "equal_source_count": round(1 / (shares**2).sum(), 1),
        })  # fmt: skip
    columns = ["source", "source_count", "largest", "largest_share", "two_largest_share",
               "equal_source_count"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
