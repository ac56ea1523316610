"""Known events of a country: orders, elections and the like, each with a day and a public source.

They stand beside the intervals of blocking and take no part in any verdict. The file is read node
by node, so that nothing in it is ever built but text, and an error can name its line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import pandas as pd
import yaml

from analysis.period import Period, parse_date
from analysis.reference.reference_files import (
    NodeReader,
    ReferenceFile,
    given_or_shipped,
    is_fictional,
    parse_country,
)
from analysis.vocabulary import EVENT_KINDS

#: What stands for a source where the country is fictional, and only there.
INVENTED = "invented"

_SOURCE = re.compile(r"https://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:[/?#][!-~]*)?", re.ASCII)
_MOST = 10_000
_LONGEST_TITLE = 120
_LONGEST_SOURCE = 500


@dataclass(frozen=True, order=True)
class Event:
    """Something that happened on a day, in neutral words.

    Attributes:
        day: in UTC, as the days of intervals are.
        title: one line of text; anybody may have written it.
        kind: a key of ``words.EVENT_KINDS``.
        source: an https address, or ``invented`` for a fictional country.
    """

    day: date
    title: str
    kind: str
    source: str


@dataclass(frozen=True)
class EventList:
    """The known events of a country, by day; ``file`` is None where it has no such file."""

    events: tuple[Event, ...] = ()
    file: ReferenceFile | None = None

    def within(self, period: Period) -> tuple[Event, ...]:
        """The events of a period, by day."""
        return tuple(event for event in self.events if event.day in period)


def load_events(path: str | Path | None, probe_cc: str) -> EventList:
    """Read known events: YAML with the one key ``events``, a list of date, title, kind, source.

    Args:
        path: the file; by default the shipped ``events/<cc>.yml``, if there is one.
        probe_cc: the country.

    Raises:
        ParameterError: the file cannot be read or an entry is wrong; names EVENTS, the file, the
            line, and what is accepted.
    """
    code = parse_country(probe_cc)
    file = given_or_shipped(path, f"events/{code.lower()}.yml")
    if file is None:
        return EventList()
    reader = NodeReader(file, "EVENTS")
    head = reader.mapping(reader.root(), ("events",), "the file")
    found: dict[tuple[date, str], Event] = {}
    for node in reader.items(head["events"], _MOST, "events", least=0):
        event = _read_event(reader, node, is_invented=is_fictional(code))
        key = (event.day, event.title.casefold())
        if key in found:
            reader.fail(node, f"the same day and title as another event, {event.title!r}")
        found[key] = event
    events = tuple(sorted(found.values()))
    newest = events[-1].day.isoformat() if events else ""
    return EventList(events, reader.described("events", len(events), newest))


def _read_event(reader: NodeReader, node: yaml.Node, *, is_invented: bool) -> Event:
    cells = reader.mapping(node, ("date", "title", "kind", "source"), "an event")
    day = reader.checked(cells["date"], partial(parse_date, "date"))
    title = reader.text(cells["title"], "title", _LONGEST_TITLE)
    kind, source = reader.plain(cells["kind"]), reader.plain(cells["source"])
    if kind not in EVENT_KINDS:
        reader.fail(cells["kind"], f"kind {kind[:40]!r} is none of {', '.join(EVENT_KINDS)}")
    is_address = _SOURCE.fullmatch(source) and len(source) <= _LONGEST_SOURCE
    if not is_address and not (is_invented and source == INVENTED):
        also = f", nor {INVENTED}" if is_invented else ""
        reader.fail(cells["source"], f"source {source[:60]!r} is not an https:// address{also}")
    return Event(day, title, kind, source)


def event_table(events: Sequence[Event]) -> pd.DataFrame:
    """One row per event, in the given order, as a page shows it.

    Columns: ``mark`` (the number that stands in the figure), ``date, event, event_kind,
    source_url``.
    """
    rows = [
        (str(mark), event.day.isoformat(), event.title, event.kind, event.source)
        for mark, event in enumerate(events, start=1)
    ]
    return pd.DataFrame(rows, columns=["mark", "date", "event", "event_kind", "source_url"])
