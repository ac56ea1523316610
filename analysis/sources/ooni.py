"""OONI's own archive, or a mirror of it: listed by the hours of one country.

Listing it whole would take millions of keys of other countries. An hour of all tests is one
request, and nothing is asked again about days long past: their listing is kept as a note in the
store, for whichever test comes next.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from analysis.errors import SourceError
from analysis.period import Period
from analysis.sources.archive_files import ArchiveObject, Notes
from analysis.sources.buckets import Address, Bucket
from analysis.sources.layout import FOLDERS, OONI, holds_country, list_prefixes, parse_receipt
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
        return f"listings/{self._scope.probe_cc}/all/{day}.json"

    def _list_day(self, wanted: Callable[[str], bool], day: date) -> list[ArchiveObject]:
        noted = self._scope.notes.read_note(self.id, self._note(day))
        if isinstance(noted, list):
            return [item for item in (ArchiveObject(*one) for one in noted) if wanted(item.key)]
        items: list[ArchiveObject] = []
        is_read = partial(holds_country, probe_cc=self._scope.probe_cc, tests=FOLDERS)
        for prefix in list_prefixes(day, self._scope.probe_cc, self._now):
            hours = len(FOLDERS) if prefix.startswith("raw/") else 24
            items += self.list_below(prefix, is_read, hours)
        if self._now - datetime.combine(day, time.max, UTC) > SETTLED:
            note = [[item.key, item.size, item.etag] for item in items]
            self._scope.notes.write_note(self.id, self._note(day), note)
        return [item for item in items if wanted(item.key)]
