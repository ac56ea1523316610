"""Counts of runs, by the fact that tells which measurements belong together."""

import duckdb
import pandas as pd

from analysis.store.runs import GAP, LONGEST

# Two measurements of one input in one run have different times; a measurement sent twice is out.
_RUNS = """
WITH counted AS (
  SELECT run, any_value(run_known_by) AS way, count(*) AS size,
    count(*) > count(DISTINCT input) AS has_repeated
  FROM observations GROUP BY run
)
SELECT way AS known_by, count(*) AS run_count, sum(size)::BIGINT AS measurement_count,
  count(*) FILTER (size = 1) AS single_run_count,
  count(*) FILTER (has_repeated) AS repeated_run_count
FROM counted GROUP BY way ORDER BY way
"""

#: ``known_by`` → the words in which page 1 says it.
WAYS = {
    "report_id": "by a report ID under which several inputs were sent",
    "test_start_time": "by the time at which the probe started the test, with its network, "
    "software and platform; two such probes that start in one second count as one",
    "closeness": f"because they followed within {GAP // 60} minutes on one network from the same "
    f"software and platform, for {LONGEST // 3600} hours at most",
}


def count_runs(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return the contract's ``run_counts`` of the table ``observations``."""
    return connection.execute(_RUNS).df()
