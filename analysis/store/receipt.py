"""Receipt: when OONI received a measurement, which is the only time that its sender cannot choose.

OONI writes what it receives into objects by the hour (ooni/backend, ``api/ooni_api_uploader.py``),
before 2020-10-20 by the day, and the key of an object gives it. What failed to be processed is
added later under the hour in which it was received (ooni/backend#1219).

A probe submits a measurement right after it was made. Of 9,910 telegram tests in Kenya in 2023 and
2024, 68 were received more than an hour after they began, 12 more than a day, 8 more than two days.
A sender who may claim any day, on the other hand, can forge a year within an hour. So a row whose
claimed time and receipt disagree (:data:`IS_LATE`) is kept apart: it is counted, and it is evidence
of nothing.

Columns: ``received_since``, ``received_until`` (UTC; it was received at or after the one and before
the other; null if the source does not say, as for single bodies).
"""

from collections.abc import Sequence

import pyarrow as pa

from analysis.sources.archive_files import parse_receipt

#: The most hours between the begin of a measurement and its receipt.
LATEST_HOURS = 48
#: A probe's clock may be fast by so much, as in OONI's own check (``observations.flags``).
_FAST_HOURS = 1

#: The day of receipt of a row, or its own where nothing says more, as SQL. Where days are counted
#: as witnesses, it is these, since a sender may claim several days within an hour.
RECEIVED_DAY = "coalesce(received_since, measurement_start_time)::DATE"

#: A condition on a row: its claimed time and its receipt disagree. Unknown receipt is not late.
IS_LATE = f"""coalesce(
  received_since > measurement_start_time + INTERVAL {LATEST_HOURS} HOUR
    OR received_until + INTERVAL {_FAST_HOURS} HOUR < measurement_start_time, FALSE)"""


def list_receipts(keys: Sequence[str]) -> pa.Table:
    """Return one row per archive object: ``object_key, received_since, received_until``."""
    received = [parse_receipt(key) for key in keys]
    time = pa.timestamp("s")
    return pa.table(
        {
            "object_key": pa.array(keys, pa.string()),
            "received_since": pa.array([times and times.since for times in received], time),
            "received_until": pa.array([times and times.until for times in received], time),
        }
    )
