"""OONI's published flags, recomputed from the measurement alone.

The rules are those by which OONI scores a web_connectivity measurement when it receives it. They
have no influence on the verdicts. Measurements that OONI scored by older rules may differ.

OONI's API counts the flags disjointly: a failure first, else confirmed, else an anomaly.
"""

from typing import NamedTuple

from analysis.observations.messages import TestKeys

#: The flags as OONI counts them: one for each measurement.
DISJOINT = ("ok", "anomaly", "confirmed", "failure")

#: SQL of that flag over the columns of an observation; null if their flags are null.
DISJOINT_SQL = """CASE WHEN is_failure THEN 'failure' WHEN is_confirmed THEN 'confirmed'
  WHEN is_anomaly THEN 'anomaly' WHEN NOT is_failure AND NOT is_anomaly THEN 'ok' END"""

_BLOCKING_TYPES = ("tcp_ip", "dns", "http-diff", "http-failure")
_UNKNOWN = "unknown_failure"

_HOUR = 3600
_YEAR = 365 * 24 * _HOUR


class Flags(NamedTuple):
    """The three flags, as OONI stores them: not disjoint (confirmed implies anomaly)."""

    is_anomaly: bool
    is_confirmed: bool
    is_failure: bool


class Received(NamedTuple):
    """The time at which OONI received a measurement: at or after ``since``, before ``until``.

    In seconds since 1970 UTC. The key of an archive object gives the hour.
    """

    since: int
    until: int


def compute_flags(
    test_keys: TestKeys | None,
    *,
    has_match: bool,
    is_confirmed: bool,
    start_time: int,
    received: Received | None = None,
    has_bad_body: bool = False,
) -> Flags:
    """Return the flags of one measurement.

    Args:
        test_keys: the result; None is a failure.
        has_match: any fingerprint matches, whatever its scope or countries.
        is_confirmed: :meth:`Fingerprints.confirms` of the matches.
        start_time: of the measurement, in seconds since 1970 UTC.
        received: None leaves out the check of the time.
        has_bad_body: a body that should be base64 is not.
    """
    if test_keys is None:
        return Flags(False, False, True)
    blocking = test_keys.blocking
    is_blocked = blocking in _BLOCKING_TYPES
    is_undetermined = (blocking is None or test_keys.accessible is None) and not has_match
    is_unsupported = not (is_blocked or blocking is None or blocking is False)
    failures = (
        test_keys.control_failure,
        test_keys.dns_experiment_failure,
        test_keys.http_experiment_failure,
    )
    is_failure = (
        is_far_from(start_time, received)
        or has_bad_body
        or is_undetermined
        or is_unsupported
        or any(isinstance(text, str) and text.startswith(_UNKNOWN) for text in failures)
    )
    return Flags(is_blocked or is_confirmed, is_confirmed, is_failure)


def is_far_from(start_time: int, received: Received | None) -> bool:
    """Test whether a measurement began after it was received, or over a year before."""
    return received is not None and (
        start_time > received.until + _HOUR or start_time < received.since - _YEAR
    )
