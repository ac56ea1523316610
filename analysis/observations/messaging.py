"""One measurement of a messaging or circumvention test → one row of :data:`MESSAGING`.

Facts only: which endpoints were tried, where each attempt ended, and, as a record, OONI's flags.
"""

from typing import Any

import pyarrow as pa

from analysis.observations import observation
from analysis.observations.flags import Received
from analysis.observations.messaging_endpoints import list_endpoints
from analysis.observations.messaging_flags import flag
from analysis.observations.messaging_messages import MessagingMeasurement
from analysis.observations.schema import PROBE, record

#: Raised when a column is added, dropped or changes meaning: older files are then read again.
MESSAGING_VERSION = 3

_ENDPOINT = pa.struct([
    ("part", pa.string()),  # of ``messaging_tests.Tested.parts``
    ("endpoint", pa.string()),  # address and port, host name or target
    ("layer", pa.string()),  # where the attempt ended; null: it was reached
    ("failure", pa.string()),
])  # fmt: skip

MESSAGING = pa.schema([
    # identity
    ("report_id", pa.string()),  # "" where the probe could not open a report
    ("test_name", pa.string()),
    *PROBE,
    # what was tried; empty where the test did not come to an end
    ("endpoints", pa.list_(_ENDPOINT)),
    # OONI's flags
    ("is_anomaly", pa.bool_()),
    ("is_failure", pa.bool_()),
])  # fmt: skip

MessagingRow = record("MessagingRow", MESSAGING)


def observe(
    read: MessagingMeasurement, *, line_number: int, received: Received | None = None
) -> tuple[Any, ...]:
    """The row of one measurement, a ``MessagingRow``.

    Raises:
        observation.Invalid: see ``observation.check``; or its report_id is too long.
    """
    probe = observation.probe_columns(read, line_number)
    observation.check_report_id(read)
    is_anomaly, is_failure = flag(read, probe["measurement_start_time"], received)
    return MessagingRow(
        report_id=read.report_id or "",
        test_name=read.test_name,
        **probe,
        endpoints=list_endpoints(read.test_name or "", read.test_keys) if read.test_keys else [],
        is_anomaly=is_anomaly,
        is_failure=is_failure,
    )
