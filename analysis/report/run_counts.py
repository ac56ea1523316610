"""How measurements were put together to runs, as page 1 says it."""

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

_WAYS = {
    "report_id": "by a report ID under which several inputs were sent",
    "test_start_time": "by the time at which the probe started the test, with its network, "
    "software and platform; two such probes that start in one second count as one",
    "closeness": f"because they followed within {GAP // 60} minutes on one network from the same "
    f"software and platform, for {LONGEST // 3600} hours at most",
}


def count_runs(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The contract's ``run_counts``: how the measurements of ``observations`` were put together."""
    return connection.execute(_RUNS).df()


def say_runs(runs: pd.DataFrame) -> str:
    """The same as page 1 says it.

    Args:
        runs: of ``count_runs``.
    """
    if runs.empty:
        return "There is no measurement, and so no run."
    known = "; ".join(
        f"{row.run_count:,} runs ({row.measurement_count:,} measurements) "
        f"{_WAYS[str(row.known_by)]}"
        for row in runs.itertuples(index=False)
    )
    single, repeated = (runs[f"{name}_run_count"].sum() for name in ("single", "repeated"))
    return (
        f"Runs were recognised in these ways: {known}. Runs of a single measurement: {single:,}. "
        f"Runs in which an input was tested more than once: {repeated:,}; one probe may have done "
        "so, or two that started in the same second."
    )
