"""OONI's published flags, recomputed from the measurement alone.

The rules are those by which OONI scores a web_connectivity measurement when it receives it. They
are kept as they are and never mixed with the verdicts. Rows that OONI scored under older rules,
and never again, may differ.

OONI's API counts the flags disjointly: a failure first, else confirmed, else an anomaly.
"""

from typing import NamedTuple

from analysis.observations.messages import TestKeys

#: The flags as OONI counts them: of each measurement one.
DISJOINT = ("ok", "anomaly", "confirmed", "failure")

#: A measurement's one flag, as SQL over the columns of an observation; null where they are not set.
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
    """When OONI received a measurement: at or after ``since``, before ``until``.

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
    """Flag one measurement.

    Args:
        test_keys: the result; none is a failure.
        has_match: some fingerprint matches, whatever its scope or countries.
        is_confirmed: :meth:`Fingerprints.confirms` of the matches.
        start_time: of the measurement, in seconds since 1970 UTC.
        received: when OONI received it; where it is not known, its age is not judged.
        has_bad_body: a body that should be base64 is not.
    """
    late = is_far_from(start_time, received)
    if test_keys is None:
        return Flags(False, False, True)
    blocking = test_keys.blocking
    is_blocked = blocking in _BLOCKING_TYPES
    undetermined = (blocking is None or test_keys.accessible is None) and not has_match
    unsupported = not (is_blocked or blocking is None or blocking is False)
    failures = (
        test_keys.control_failure,
        test_keys.dns_experiment_failure,
        test_keys.http_experiment_failure,
    )
    is_unknown = any(isinstance(one, str) and one.startswith(_UNKNOWN) for one in failures)
    is_failure = late or has_bad_body or undetermined or unsupported or is_unknown
    return Flags(is_blocked or is_confirmed, is_confirmed, is_failure)


def is_far_from(start_time: int, received: Received | None) -> bool:
    """Whether a measurement began after it was received, or over a year before."""
    return received is not None and (
        start_time > received.until + _HOUR or start_time < received.since - _YEAR
    )
