"""Known events of a country: orders, elections and so on, each with a day and a public source.

They are shown beside the intervals of blocking and have no influence on verdicts. The file is read
node by node, so that YAML cannot construct objects, and errors can name a line.

Incidents that OONI has published ship as one file for all countries. They come from the same
measurements as the report, so they are another reading of these and no explanation.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import pandas as pd
import yaml

from analysis.period import Period, parse_date
from analysis.reference.reference_files import (
    REFERENCE,
    CsvTable,
    NodeReader,
    ReferenceFile,
    given_or_shipped,
    is_fictional,
    parse_country,
    read_csv,
)
from analysis.vocabulary import EVENT_KINDS

#: The source of events of a fictional country, and only of such a country.
INVENTED = "invented"

_SOURCE = re.compile(r"https://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:[/?#][!-~]*)?", re.ASCII)
_EVENT_LIMIT = 10_000
_TITLE_LENGTH = 120
_SOURCE_LENGTH = 500

#: The kind of OONI's published incidents.
INCIDENT = "incident"
_INCIDENTS = REFERENCE / "events" / "ooni-incidents.csv"
_INCIDENT_COLUMNS = (
    "probe_cc",
    "first_day",
    "last_day",
    "incident_id",
    "blocked",
    "probe_asns",
    "domains",
)
#: An incident's page (ooni/explorer, pages/findings/[id].js).
_INCIDENT_PAGE = "https://explorer.ooni.org/findings/{}"


@dataclass(frozen=True, order=True)
class Event:
    """An event on a day, in neutral words.

    Attributes:
        day: in UTC, as the days of intervals.
        title: one line of text, not trusted.
        kind: a key of ``vocabulary.EVENT_KINDS``.
        source: an https address, or ``invented`` for a fictional country.
        last_day: of an incident, inclusive, ISO; empty if it had not ended when it was published.
        probe_asns, domains: of an incident.
    """

    day: date
    title: str
    kind: str
    source: str
    last_day: str = ""
    probe_asns: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class EventList:
    """The known events of a country, by day, and their files."""

    events: tuple[Event, ...] = ()
    files: tuple[ReferenceFile, ...] = ()

    def within(self, period: Period) -> tuple[Event, ...]:
        """Return the events whose (first) day is in a period, by day."""
        return tuple(event for event in self.events if event.day in period)


def load_events(path: str | Path | None, probe_cc: str) -> EventList:
    """Read known events: YAML with the single key ``events``, a list of date, title, kind, source.

    Args:
        path: the file; by default the shipped ``events/<cc>.yml``, if there is one, and OONI's
            published incidents of the country.
        probe_cc: the country.

    Raises:
        ParameterError: the file cannot be read or an entry is wrong; names EVENTS, the file, the
            line, and the accepted values.
    """
    code = parse_country(probe_cc)
    file = given_or_shipped(path, f"events/{code.lower()}.yml")
    lists = [_read_events(file, code)] if file else []
    if not path:
        lists.append(_read_incidents(code))
    events = sorted(event for listed in lists for event in listed.events)
    files = [file for listed in lists for file in listed.files]
    return EventList(tuple(events), tuple(files))


def _read_events(file: Path, code: str) -> EventList:
    reader = NodeReader(file, "EVENTS")
    head = reader.mapping(reader.root(), ("events",), "the file")
    events: dict[tuple[date, str], Event] = {}
    for node in reader.items(head["events"], _EVENT_LIMIT, "events", least=0):
        event = _read_event(reader, node, is_invented=is_fictional(code))
        key = (event.day, event.title.casefold())
        if key in events:
            reader.fail(node, f"the same day and title as another event, {event.title!r}")
        events[key] = event
    return _event_list(reader, list(events.values()))


def _read_incidents(code: str) -> EventList:
    """Read OONI's incidents of a country; each row is one, ``last_day`` is inclusive."""
    table = read_csv(_INCIDENTS, _INCIDENT_COLUMNS, "EVENTS")
    incidents = [_parse_incident(row) for _, row in table.rows if row["probe_cc"] == code]
    return _event_list(table, incidents) if incidents else EventList()


def find_incidents(words: str) -> list[Event]:
    """Return OONI's incidents in any country whose title has these words; case is ignored."""
    whole = re.compile(rf"(?<!\w){re.escape(words)}(?!\w)", re.IGNORECASE)
    table = read_csv(_INCIDENTS, _INCIDENT_COLUMNS, "EVENTS")
    return [_parse_incident(row) for _, row in table.rows if whole.search(row["blocked"])]


def _parse_incident(row: Mapping[str, str]) -> Event:
    return Event(
        date.fromisoformat(row["first_day"]),
        f"Blocked according to OONI: {row['blocked']}",
        INCIDENT,
        _INCIDENT_PAGE.format(row["incident_id"]),
        row["last_day"],
        _split_cell(row["probe_asns"]),
        _split_cell(row["domains"]),
    )


def _split_cell(cell: str) -> tuple[str, ...]:
    return tuple(filter(None, cell.split(";")))


def _event_list(source: NodeReader | CsvTable, events: list[Event]) -> EventList:
    newest = max(events).day.isoformat() if events else ""
    return EventList(tuple(events), (source.described("events", len(events), newest),))


def _read_event(reader: NodeReader, node: yaml.Node, *, is_invented: bool) -> Event:
    cells = reader.mapping(node, ("date", "title", "kind", "source"), "an event")
    day = reader.checked(cells["date"], partial(parse_date, "date"))
    title = reader.text(cells["title"], "title", _TITLE_LENGTH)
    kind, source = reader.plain(cells["kind"]), reader.plain(cells["source"])
    if kind not in EVENT_KINDS:
        reader.fail(cells["kind"], f"kind {kind[:40]!r} is none of {', '.join(EVENT_KINDS)}")
    is_address = _SOURCE.fullmatch(source) and len(source) <= _SOURCE_LENGTH
    if not is_address and not (is_invented and source == INVENTED):
        also = f", nor {INVENTED}" if is_invented else ""
        reader.fail(cells["source"], f"source {source[:60]!r} is not an https:// address{also}")
    return Event(day, title, kind, source)


def event_table(events: Sequence[Event]) -> pd.DataFrame:
    """Return a frame with one row per event, in the given order, as a page shows it.

    Columns: ``mark`` (the number in the figure), ``date, event, event_kind, source_url``; if there
    is an incident, also ``last_day, domains, probe_asns``.
    """
    columns = {
        "mark": [str(mark) for mark in range(1, len(events) + 1)],
        "date": [event.day.isoformat() for event in events],
        "last_day": [event.last_day for event in events],
        "event": [event.title for event in events],
        "event_kind": [event.kind for event in events],
        "domains": ["; ".join(event.domains) for event in events],
        "probe_asns": ["; ".join(event.probe_asns) for event in events],
        "source_url": [event.source for event in events],
    }
    table = pd.DataFrame(columns)
    if any(event.kind == INCIDENT for event in events):
        return table
    return table.drop(columns=["last_day", "domains", "probe_asns"])
