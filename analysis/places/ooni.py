"""OONI's own archive, or a mirror of it: listed by the hours of one country and one test.

Listing it whole would take millions of keys of other countries. An hour is one request, and
nothing is asked again about days long past: their listing is kept as a note in the store.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from analysis.errors import SourceError
from analysis.period import Period
from analysis.places import archive
from analysis.places.buckets import Address, Bucket
from analysis.places.files import ArchiveObject, Notes
from analysis.places.web import at_once

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
    """

    probe_cc: str
    window: Period
    notes: Notes
    told: Callable[[int, int, str], None]


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
            raise SourceError(f"there is no measurement yet of {self._scope.window.since}")
        found: list[ArchiveObject] = []
        with closing(at_once(self._day, days, self.stop)) as listed:
            for count, (day, items) in enumerate(listed, 1):
                found += (item for item in items if wanted(item.key))
                self._scope.told(count, len(days), day.isoformat())
        return sorted(found)

    def renewed(self, item: ArchiveObject) -> ArchiveObject | None:
        """An object as it is now. The note that says otherwise is dropped."""
        received = archive.received(item.key)
        if received is not None:
            day = datetime.fromtimestamp(received.since, UTC).date()
            self._scope.notes.write_note(self.id, self._note(day), None)
        return super().renewed(item)

    def _note(self, day: date) -> str:
        return f"listings/{self._scope.probe_cc}/{day}.json"

    def _day(self, day: date) -> list[ArchiveObject]:
        noted = self._scope.notes.read_note(self.id, self._note(day))
        if isinstance(noted, list):
            return [ArchiveObject(*item) for item in noted]
        prefixes = archive.prefixes(day, self._scope.probe_cc, self._now)
        items = [item for prefix in prefixes for item in self.listed(prefix, _is_any)]
        if self._now - datetime.combine(day, time.max, UTC) > SETTLED:
            note = [[item.key, item.size, item.etag] for item in items]
            self._scope.notes.write_note(self.id, self._note(day), note)
        return items


def _is_any(key: str) -> bool:
    return True
