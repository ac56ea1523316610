"""One measurement of a messaging or circumvention test → one row of :data:`MESSAGING`.

Facts only: which endpoints were tried, where each attempt ended, and, as a record, OONI's flags.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from msgspec import UNSET, structs

from analysis.observations import observation
from analysis.observations.flags import Received, is_far_from
from analysis.observations.messages import ConnectStatus, Exchange, Keys, MessagingMeasurement
from analysis.observations.messaging_endpoints import list_endpoints
from analysis.observations.schema import PROBE, record

_REGISTRATION, _WEB = "https://v.whatsapp.net/v2/register", "https://web.whatsapp.com/"
_MESSENGER = re.compile(r"facebook_.*_(dns_consistent|reachable)")
#: Signal's servers changed, and older tests fail since: version below → from when.
_SIGNAL_TESTS = (((0, 2, 2), "2022-10-19"), ((0, 2, 4), "2023-11-07"))
_SIGNAL_BROKEN = (0, 2, 4)
_SIGNAL_ENGINE = ((3, 17, 2), "2023-05-02")


#: OONI's score of blocking; None where the measurement says nothing.
Score = float | None


def flag(
    read: MessagingMeasurement, start_time: int, received: Received | None = None
) -> tuple[bool, bool]:
    """Whether OONI flags a measurement as an anomaly, and as a failure."""
    if read.test_keys is None or is_far_from(start_time, received):
        return False, True
    score = _SCORES[read.test_name or ""](read.test_keys, read)
    return score is not None and score > 0.5, score is None


def _whatsapp(keys: Keys, read: MessagingMeasurement) -> Score:
    asked: dict[str, bool] = {}
    for one in keys.requests or ():
        asked[_url(one)] = asked.get(_url(one), False) or not one.failure
    if _WEB not in asked or _REGISTRATION not in asked:
        return None
    is_cut = not any(_is_open(one.status) for one in keys.tcp_connect or ())
    return float(is_cut or not asked[_WEB] or not asked[_REGISTRATION])


def _is_open(status: ConnectStatus | None) -> bool:
    if status is None or status.success is None:
        return status is None or not status.failure
    return status.success


def _messenger(keys: Keys, read: MessagingMeasurement) -> Score:
    told = structs.asdict(keys)
    signs = [told[name] is False for name in told if _MESSENGER.fullmatch(name)]
    return 0.5 * sum(
        (*signs, keys.facebook_dns_blocking is True, keys.facebook_tcp_blocking is True)
    )


def _telegram(keys: Keys, read: MessagingMeasurement) -> Score:
    if not any("web.telegram.org" in _url(one) for one in keys.requests or ()):
        return None
    connects = [_is_open(one.status) for one in keys.tcp_connect or ()]
    posts = [one for one in keys.requests or () if _is_post(one)]
    score = connects.count(False) / len(connects) if connects else 0.0
    score += sum(bool(one.failure) for one in posts) / len(posts) if posts else 0.0
    return score + (keys.telegram_web_status == "blocked")


def _url(one: Exchange) -> str:
    return (one.request.url if one.request else None) or ""


def _is_post(one: Exchange) -> bool:
    return one.request is not None and (one.request.method or "").upper() == "POST"


def _signal(keys: Keys, read: MessagingMeasurement) -> Score:
    version, day = _version(read.test_version), (read.measurement_start_time or "")[:10]
    engine = _version(read.annotations.engine_version if read.annotations else None)
    is_old = any(version < below and day >= since for below, since in _SIGNAL_TESTS)
    is_old |= bool(engine) and engine < _SIGNAL_ENGINE[0] and day >= _SIGNAL_ENGINE[1]
    if is_old or version == _SIGNAL_BROKEN or keys.signal_backend_status is None:
        return None
    return float(keys.signal_backend_status == "blocked")


def _version(text: str | None) -> tuple[int, ...]:
    found = re.match(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", text or "", re.ASCII)
    return tuple(map(int, found.groups())) if found else ()


def _tor(keys: Keys, read: MessagingMeasurement) -> Score:
    ended = [bool(one.failure) for one in (keys.targets or {}).values() if one is not None]
    return sum(ended) / len(ended) if ended else None


def _psiphon(keys: Keys, read: MessagingMeasurement) -> Score:
    return None if keys.failure is UNSET else float(keys.failure is not None)


def _torsf(keys: Keys, read: MessagingMeasurement) -> Score:
    platform = read.annotations.platform if read.annotations else None
    if read.software_version == "3.8.3" and platform == "android":
        return None
    return _psiphon(keys, read)


def _vanilla_tor(keys: Keys, read: MessagingMeasurement) -> Score:
    if keys.success or keys.tor_progress == 100:
        return 0.0
    return 1 - 0.004 * min(max(keys.tor_progress or 0.0, 0.0), 100.0)


_SCORES: Mapping[str, Callable[[Keys, MessagingMeasurement], Score]] = {
    "facebook_messenger": _messenger,
    "signal": _signal,
    "telegram": _telegram,
    "whatsapp": _whatsapp,
    "psiphon": _psiphon,
    "tor": _tor,
    "torsf": _torsf,
    "vanilla_tor": _vanilla_tor,
}


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
