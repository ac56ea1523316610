"""OONI's own archive, or a mirror of it: listed by the hours of one country and one test.

Listing it whole would take millions of keys of other countries. An hour is one request, and
nothing is asked again about days long past: their listing is kept as a note in the store.

The keys of OONI's archive: which objects hold a country's measurements, and of which test.

Two layouts exist, both under a prefix that the source may or may not repeat::

    raw/YYYYMMDD/HH/CC/<test>/<name>.jsonl.gz      since 2020-10-20
    jsonl/<test>/CC/YYYYMMDD/HH/<name>.jsonl.gz    before

A test's name stands there without underscores.

The ``.tar.gz`` objects beside them hold the same measurements and are left out. Day and hour are
those of receipt, not of the measurement.
"""

import re
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from analysis.errors import SourceError
from analysis.observations.flags import Received
from analysis.observations.messaging_tests import BY_FOLDER
from analysis.period import Period
from analysis.sources.buckets import Address, Bucket
from analysis.sources.files import ArchiveObject, Notes
from analysis.sources.web import at_once

_NAME = r"(?P<name>[^/\\\x00-\x1f\x7f]{1,200}\.jsonl\.gz)"
_NAME_LIMIT = 200  # bytes; file systems take 255, and a store's file names are longer
_DAY, _HOUR, _CC = r"(?P<day>\d{8})", r"(?P<hour>\d{2})", r"(?P<cc>[A-Z]{2})"
_STORED = re.compile(
    r"(?:observations/)?(?:(?P<source>[a-z0-9-]+-[0-9a-f]{12})/)?(?P<key>.+\.jsonl\.gz)\.parquet"
)
#: Days behind a period whose objects may hold measurements of the period. A probe that could not
#: submit a measurement tries again at its next run or start, which may be weeks later; and it is
#: where OONI is blocked that submitting fails, so that leaving late ones out would make censorship
#: look rarer.
RECEIPT_MARGIN = 30
#: The first day of the newer layout; the change fell into it, so that both may hold some of it.
CHANGED = date(2020, 10, 20)
#: The folder of the test that a report on web sites rests on.
WEB = "webconnectivity"
_TEST = rf"(?P<test>{'|'.join((WEB, *BY_FOLDER))})"
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


def list_prefixes(
    day: date, probe_cc: str, now: datetime, tests: Collection[str] = (WEB,)
) -> list[str]:
    """Below which prefixes the objects of a day of receipt lie, up to the last full hour.

    An hour of several tests is asked for as a whole: one request instead of one a test.
    """
    prefixes = []
    if day <= CHANGED:
        prefixes += [f"jsonl/{test}/{probe_cc}/{day:%Y%m%d}/" for test in tests]
    if day >= CHANGED:
        hours = 24 if day < now.date() else now.hour
        below = f"{next(iter(tests))}/" if len(tests) == 1 else ""
        prefixes += [f"raw/{day:%Y%m%d}/{hour:02}/{probe_cc}/{below}" for hour in range(hours)]
    return prefixes


def store_key(path: str) -> tuple[str, str] | None:
    """Source id (empty where the path does not say) and key of a file in a store."""
    parts = _STORED.fullmatch(path)
    return (parts["source"] or "", parts["key"]) if parts else None


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


ADDRESS = Address("https://ooni-data-eu-fra.s3.eu-central-1.amazonaws.com", "ooni-data-eu-fra", "")

#: An hour's objects appear within the next one. After an outage they come later; a day that was
#: listed so long after its end is not listed again.
SETTLED = timedelta(days=14)


@dataclass(frozen=True)
class Scope:
    """What is asked of the archive.

    Attributes:
        probe_cc: the country.
        window: days of receipt.
        notes: where listings are kept.
        told: called with days listed, days in all, and the day just listed.
        tests: folders of the tests that are asked for.
    """

    probe_cc: str
    window: Period
    notes: Notes
    told: Callable[[int, int, str], None]
    tests: tuple[str, ...] = (WEB,)


class OoniArchive(Bucket):
    """The hours of one country, up to the last full hour."""

    licence = "CC BY-NC-SA 4.0, Open Observatory of Network Interference (OONI)"

    def __init__(self, address: Address, scope: Scope) -> None:
        super().__init__(address)
        self._scope = scope
        self._now = datetime.now(UTC)

    @property
    def name(self) -> str:
        return "ooni"

    def objects(self, wanted: Callable[[str], bool]) -> list[ArchiveObject]:
        """List the days of the window, several at a time.

        Raises:
            SourceError: the window has not begun, or a day cannot be listed.
        """
        today = self._now.date()
        days = [day for day in self._scope.window.days() if day <= today]
        if not days:
            raise SourceError(
                f"there is no measurement yet of {self._scope.window.since}", resumes=False
            )
        objects: list[ArchiveObject] = []
        with closing(at_once(partial(self._list_day, wanted), days, self.stop)) as listed:
            for count, (day, items) in enumerate(listed, 1):
                objects += items
                self._scope.told(count, len(days), day.isoformat())
        return sorted(objects)

    def renewed(self, item: ArchiveObject) -> ArchiveObject | None:
        """An object as it is now. The note that says otherwise is dropped."""
        received = parse_receipt(item.key)
        if received is not None:
            day = datetime.fromtimestamp(received.since, UTC).date()
            self._scope.notes.write_note(self.id, self._note(day), None)
        return super().renewed(item)

    def _note(self, day: date) -> str:
        of_others = "" if self._scope.tests == (WEB,) else "messaging/"
        return f"listings/{self._scope.probe_cc}/{of_others}{day}.json"

    def _list_day(self, wanted: Callable[[str], bool], day: date) -> list[ArchiveObject]:
        noted = self._scope.notes.read_note(self.id, self._note(day))
        if isinstance(noted, list):
            return [item for item in (ArchiveObject(*one) for one in noted) if wanted(item.key)]
        items: list[ArchiveObject] = []
        tests = self._scope.tests
        for prefix in list_prefixes(day, self._scope.probe_cc, self._now, tests):
            hours = len(tests) * (1 if prefix.startswith("raw/") else 24)
            items += self.list_below(prefix, wanted, hours)
        if self._now - datetime.combine(day, time.max, UTC) > SETTLED:
            note = [[item.key, item.size, item.etag] for item in items]
            self._scope.notes.write_note(self.id, self._note(day), note)
        return items
