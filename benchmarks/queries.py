"""What a report asks of a study's rows, beside one group-by over the same rows."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from analysis.study import measurement_counts as coverage
from benchmarks.judging import GROUP_BY, PERIOD, open_rows, peak_mb


def ask(path: str) -> dict[str, Any]:
    """Ask everything that notebooks 1 and 3 count, once, in a process that has read nothing.

    Returns:
        The same as ``judging.judge``.
    """
    with tempfile.TemporaryDirectory() as scratch:
        connection = open_rows(path, Path(scratch))
        first, second = PERIOD.split("")
        periods = {"all": PERIOD, "first": first, "second": second}
        started = time.process_time()
        pairs = connection.execute(GROUP_BY).fetchall()
        grouped = time.process_time()
        coverage.count_by_month(connection, has_fingerprints=True)
        networks = coverage.count_by_network(connection).assign(network="")
        coverage.count_by_network_and_month(connection, networks)
        coverage.count_by_domain(connection)
        coverage.count_in_halves(connection, periods)
        coverage.count_in_periods(connection, periods)
        return {
            "measurement_count": sum(pair[2] for pair in pairs),
            "pair_count": len(pairs),
            "seconds": time.process_time() - grouped,
            "group_by_seconds": grouped - started,
            "peak_mb": peak_mb(),
        }


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1])))
