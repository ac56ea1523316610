"""How measurements were put together to runs, as page 1 says it."""

import duckdb

from analysis.store.runs import GAP, LONGEST

# Two measurements of one input in one run have different times; a measurement sent twice is out.
_RUNS = """
WITH counted AS (
  SELECT run, any_value(run_known_by) AS way, count(*) AS size,
    count(*) > count(DISTINCT input) AS has_repeated
  FROM observations GROUP BY run
)
SELECT way, count(*), sum(size)::BIGINT, count(*) FILTER (size = 1), count(*) FILTER (has_repeated)
FROM counted GROUP BY way ORDER BY way
"""

_WAYS = {
    "report_id": "by a report ID under which several inputs were sent",
    "test_start_time": "by the time at which the probe started the test, with its network, "
    "software and platform; two such probes that start in one second count as one",
    "closeness": f"because they followed within {GAP // 60} minutes on one network from the same "
    f"software and platform, for {LONGEST // 3600} hours at most",
}


def read_runs(connection: duckdb.DuckDBPyConnection) -> str:
    """How the measurements of ``observations`` were put together to runs, as page 1 says it."""
    rows = connection.execute(_RUNS).fetchall()
    if not rows:
        return "There is no measurement, and so no run."
    known = "; ".join(
        f"{runs:,} runs ({measurements:,} measurements) {_WAYS[way]}"
        for way, runs, measurements, *_ in rows
    )
    single, repeated = (sum(row[place] for row in rows) for place in (3, 4))
    return (
        f"Runs were recognised in these ways: {known}. Runs of a single measurement: {single:,}. "
        f"Runs in which an input was tested more than once: {repeated:,}; one probe may have done "
        "so, or two that started in the same second."
    )
