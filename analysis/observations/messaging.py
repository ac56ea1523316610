"""One measurement of a messaging or circumvention test → one row of :data:`MESSAGING`.

Facts only: which endpoints were tried, where each attempt ended, and, as a record, the flags that
OONI gives and the keys in which the probe sums itself up.
"""

from typing import Any, Final

import pyarrow as pa
from msgspec import UNSET, structs

from analysis.observations import observation
from analysis.observations.flags import Received
from analysis.observations.messaging_endpoints import list_endpoints
from analysis.observations.messaging_flags import flag
from analysis.observations.messaging_messages import Keys, MessagingMeasurement
from analysis.observations.schema import PROBE
from analysis.observations.values import TEXT_LIMIT

#: Raised when a column is added, dropped or changes meaning: older files are then read again.
MESSAGING_VERSION = 2

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
    # the probe's own summary keys, as text, a record
    ("summary", pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))),
    # OONI's flags
    ("is_anomaly", pa.bool_()),
    ("is_failure", pa.bool_()),
])  # fmt: skip

#: Columns, in the order of the tuples that :func:`observe` returns.
COLUMNS: Final = tuple(MESSAGING.names)
#: What is no summary: it is told in ``endpoints``.
_ATTEMPTS = {"queries", "tcp_connect", "tls_handshakes", "requests", "targets"}
_VALUE_LIMIT = 128


def observe(
    read: MessagingMeasurement, *, line_number: int, received: Received | None = None
) -> tuple[Any, ...]:
    """The row of one measurement, in the order of :data:`COLUMNS`.

    Raises:
        observation.Invalid: see ``observation.check``; or its report_id is too long.
    """
    started, country, probe_asn = observation.check(read)
    if read.report_id is not None and len(read.report_id) > TEXT_LIMIT:
        raise observation.Invalid("report_id_too_long")
    test_name, keys = read.test_name or "", read.test_keys
    is_anomaly, is_failure = flag(read, started, received)
    return (
        read.report_id or "",
        test_name,
        *observation.probe_columns(read, line_number, started, country, probe_asn),
        list_endpoints(test_name, keys) if keys else [],
        _sum_up(keys) if keys else [],
        is_anomaly,
        is_failure,
    )


def _sum_up(keys: Keys) -> list[tuple[str, str]]:
    told = {name: value for name, value in structs.asdict(keys).items() if name not in _ATTEMPTS}
    return [
        (name, str(value)[:_VALUE_LIMIT])
        for name, value in sorted(told.items())
        if value is not None and value is not UNSET
    ]
