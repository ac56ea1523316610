"""OONI's flags, against small cases and against what OONI's API published."""

import json
from pathlib import Path
from typing import Any

from analysis.observations import messages, observation
from analysis.observations.fingerprints import load
from analysis.observations.flags import Received, compute_flags
from analysis.observations.messages import TestKeys

_HOUR = 3600
_YEAR = 365 * 24 * _HOUR
_OK: dict[str, Any] = {"blocking": False, "accessible": True}


def test_flags_follow_the_published_rules() -> None:
    """Blocking decides the anomaly, fingerprints confirm, what is undetermined is a failure."""
    nothing = {"blocking": None, "accessible": None}
    unnamed = {"blocking": "dns", "accessible": False, "dns_experiment_failure": "unknown_failure"}
    for keys, has_match, is_confirmed, expected in (
        # keys of the measurement, then (anomaly, confirmed, failure)
        (_OK, False, False, (False, False, False)),
        ({"blocking": False, "accessible": False}, False, False, (False, False, False)),
        ({"blocking": "dns", "accessible": False}, False, False, (True, False, False)),
        ({"blocking": "tcp_ip", "accessible": False}, False, False, (True, False, False)),
        ({"blocking": "http-diff", "accessible": False}, True, True, (True, True, False)),
        ({"blocking": "http-failure", "accessible": False}, False, False, (True, False, False)),
        (_OK, True, True, (True, True, False)),
        (_OK, True, False, (False, False, False)),
        (nothing, False, False, (False, False, True)),
        (nothing, True, True, (True, True, False)),
        (nothing, True, False, (False, False, False)),
        ({"blocking": "dns", "accessible": None}, False, False, (True, False, True)),
        ({"blocking": False}, False, False, (False, False, False)),
        ({"blocking": True, "accessible": True}, False, False, (False, False, True)),
        ({"blocking": "dns.v2", "accessible": True}, False, False, (False, False, True)),
        ({**_OK, "control_failure": "unknown_failure: x"}, False, False, (False, False, True)),
        ({**_OK, "http_experiment_failure": "eof_error"}, False, False, (False, False, False)),
        (unnamed, True, True, (True, True, True)),
        (None, False, False, (False, False, True)),  # kept, as a failure
    ):
        found = compute_flags(
            None if keys is None else TestKeys(**keys),
            has_match=has_match, is_confirmed=is_confirmed, start_time=0,
        )  # fmt: skip
        assert found == expected, keys


def test_a_start_far_from_receipt_is_a_failure() -> None:
    """More than an hour after receipt or a year before it; the key knows receipt to the hour."""
    received = Received(2 * _YEAR, 2 * _YEAR + _HOUR)
    for start_time, is_failure in (
        (2 * _YEAR, False),
        (2 * _YEAR + 2 * _HOUR, False),
        (2 * _YEAR + 2 * _HOUR + 1, True),
        (_YEAR, False),
        (_YEAR - 1, True),
    ):
        found = compute_flags(
            TestKeys(**_OK), has_match=False, is_confirmed=False, start_time=start_time,
            received=received,
        )  # fmt: skip
        assert found.is_failure is is_failure, start_time


#: Rows that OONI scored under rules it no longer has, with the reason.
_SCORED_UNDER_OLDER_RULES = {
    # Received in 2019. "blocking": null and "accessible": null became a failure in 2022
    # (ooni/backend issue 610), and rows are not scored again.
    "012019111898e81f78c44cf8689fa32f5d1cb664": {"is_failure": False},
}


def test_the_flags_are_those_that_oonis_api_gave(shared_data: Path):
    """All recorded web_connectivity replies, with one exception that is explained."""
    fingerprints = load(str(shared_data / "fingerprints"))
    compared = 0
    for path in sorted((shared_data / "api-recordings/measurement_meta").glob("*.json")):
        published = json.loads(path.read_text())["body"]
        published = json.loads(published) if isinstance(published, str) else published
        if published.get("test_name") != "web_connectivity":
            continue
        read = messages.decode(published["raw_measurement"].encode())
        row = observation.observe(read, line_number=1, fingerprints=fingerprints)
        ours = row._asdict()
        expected = {
            "is_anomaly": published["anomaly"],
            "is_confirmed": published["confirmed"],
            "is_failure": published["failure"],
        }
        exception = _SCORED_UNDER_OLDER_RULES.get(published["measurement_uid"])
        if exception is not None:
            assert ours["is_failure"] is not exception["is_failure"]
            expected["is_failure"] = not exception["is_failure"]
        assert {name: ours[name] for name in expected} == expected, path.name
        compared += 1
    assert compared >= 8
