"""OONI's own archive, or a mirror of it: listed by the hours of one country and one test.

Listing it whole would take millions of keys of other countries. An hour is one request, and
nothing is asked again about days long past: their listing is kept as a note in the store.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from analysis.errors import SourceError
from analysis.period import Period
from analysis.sources.buckets import Address, Bucket
from analysis.sources.files import ArchiveObject, Notes
from analysis.sources.layout import OONI, WEB, list_prefixes, parse_receipt
from analysis.sources.web import at_once

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
        return OONI

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
