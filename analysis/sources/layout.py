"""The keys of OONI's archive: which objects hold a country's measurements, and of which test.

Two layouts exist, both under a prefix that the source may or may not repeat::

    raw/YYYYMMDD/HH/CC/<test>/<name>.jsonl.gz      since 2020-10-20
    jsonl/<test>/CC/YYYYMMDD/HH/<name>.jsonl.gz    before

A test's name stands there without underscores.

The ``.tar.gz`` objects beside them hold the same measurements and are left out. Day and hour are
those of receipt, not of the measurement.
"""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime

from analysis.observations.flags import Received
from analysis.observations.messaging_tests import BY_FOLDER

#: What ``SOURCE`` says for OONI's own archive.
OONI = "ooni"
_NAME = r"(?P<name>[^/\\\x00-\x1f\x7f]{1,200}\.jsonl\.gz)"
_NAME_LIMIT = 200  # bytes; file systems take 255, and a store's file names are longer
_DAY, _HOUR, _CC = r"(?P<day>\d{8})", r"(?P<hour>\d{2})", r"(?P<cc>[A-Z]{2})"
#: Days behind a period whose objects may hold measurements of the period. A probe that could not
#: submit a measurement tries again at its next run or start, which may be weeks later; and it is
#: where OONI is blocked that submitting fails, so that leaving late ones out would make censorship
#: look rarer.
RECEIPT_MARGIN = 30
#: The first day of the newer layout; the change fell into it, so that both may hold some of it.
CHANGED = date(2020, 10, 20)
#: The folder of the test that a report on web sites rests on.
WEB = "webconnectivity"
#: The folders of all tests that are read.
FOLDERS = (WEB, *BY_FOLDER)
_TEST = rf"(?P<test>{'|'.join(FOLDERS)})"
_LAYOUTS = (
    re.compile(rf"(?:raw/)?{_DAY}/{_HOUR}/{_CC}/{_TEST}/{_NAME}", re.ASCII),
    re.compile(rf"(?:jsonl/)?{_TEST}/{_CC}/{_DAY}/{_HOUR}/{_NAME}", re.ASCII),
)


def holds_country(key: str, probe_cc: str, tests: Collection[str] = (WEB,)) -> bool:
    """Whether an object holds measurements of a country, of one of some tests' folders."""
    parts = _parse(key)
    if parts is None or parts["cc"] != probe_cc or parts["test"] not in tests:
        return False
    name = parts["name"]
    return not name.startswith(".") and len(name.encode("utf-8", "replace")) <= _NAME_LIMIT


def find_test(key: str) -> str | None:
    """The folder of the test whose measurements an object holds."""
    parts = _parse(key)
    return parts["test"] if parts else None


def list_prefixes(day: date, probe_cc: str, now: datetime) -> list[str]:
    """Below which prefixes the objects of a day of receipt lie, up to the last full hour.

    An hour of all tests is one request.
    """
    prefixes = []
    if day <= CHANGED:
        prefixes += [f"jsonl/{test}/{probe_cc}/{day:%Y%m%d}/" for test in FOLDERS]
    if day >= CHANGED:
        hours = 24 if day < now.date() else now.hour
        prefixes += [f"raw/{day:%Y%m%d}/{hour:02}/{probe_cc}/" for hour in range(hours)]
    return prefixes


def parse_receipt(key: str) -> Received | None:
    """When the measurements of an object were received; None where the key does not say so."""
    parts = _parse(key)
    if parts is None:
        return None
    try:
        since = datetime.strptime(parts["day"], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    start = int(since.timestamp())
    if parts.re is _LAYOUTS[0] and int(parts["hour"]) < 24:
        start += int(parts["hour"]) * 3600
        return Received(start, start + 3600)
    return Received(start, start + 24 * 3600)  # the older layout has one folder a day


def _parse(key: str) -> re.Match[str] | None:
    return next((parts for layout in _LAYOUTS if (parts := layout.fullmatch(key))), None)
