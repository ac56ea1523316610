"""Known events of a country: orders, elections and the like, each with a day and a public source.

They stand beside the intervals of blocking and take no part in any verdict. The file is read node
by node, so that nothing in it is ever built but text, and an error can name its line.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import yaml

from analysis.errors import ParameterError
from analysis.period import Period, parse_date
from analysis.reference.countries import is_fictional, parse_country
from analysis.reference.reference_files import REFERENCE, ReferenceFile, read_file
from analysis.reference.yaml_nodes import plain_text
from analysis.vocabulary import EVENT_KINDS

#: What stands for a source where the country is fictional, and only there.
INVENTED = "invented"

_KEYS = ("date", "title", "kind", "source")
_SOURCE = re.compile(r"https://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:[/?#][!-~]*)?", re.ASCII)
_LARGEST = 1_000_000  # bytes; some thousands of events, which take YAML seconds to read
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
            entry with its line, and what is accepted.
    """
    code = parse_country(probe_cc)
    shipped = REFERENCE / "events" / f"{code.lower()}.yml"
    if not path and not shipped.is_file():
        return EventList()
    file = Path(path).expanduser() if path else shipped
    data = read_file(file, "EVENTS", _LARGEST)
    by_day_and_title: dict[tuple[date, str], tuple[int, Event]] = {}
    for place, node in enumerate(_entries(data, file), start=1):
        where = f"event {place}, line {node.start_mark.line + 1}"
        event = _event(node, file, where, is_invented=is_fictional(code))
        twin, _ = by_day_and_title.setdefault((event.day, event.title.casefold()), (place, event))
        if twin != place:
            message = f"{where}: the same day and title as event {twin}"
            raise ParameterError("EVENTS", file, message)
    events = tuple(sorted(event for _, event in by_day_and_title.values()))
    newest = events[-1].day.isoformat() if events else ""
    digest = hashlib.sha256(data).hexdigest()
    return EventList(events, ReferenceFile(file.name, "events", digest, len(events), newest))


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


def in_words(events: Sequence[Event]) -> str:
    """The events as a sentence, for a reader who cannot see the figure; empty where none is."""
    named = [f"{mark}, {event.day}, {event.title}" for mark, event in enumerate(events, start=1)]
    return f"Vertical lines mark known events: {'; '.join(named)}." if named else ""


def _entries(data: bytes, file: Path) -> list[yaml.Node]:
    try:
        root = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParameterError("EVENTS", file, f"line {line}: not UTF-8 text") from None
    except (yaml.YAMLError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ParameterError("EVENTS", file, f"not YAML: {why}") from None
    if (
        not isinstance(root, yaml.MappingNode)
        or [plain_text(key) for key, _ in root.value] != ["events"]
        or not isinstance(root.value[0][1], yaml.SequenceNode)
    ):
        raise ParameterError("EVENTS", file, "must hold one key, events, and under it a list")
    return list(root.value[0][1].value)


def _event(node: yaml.Node, file: Path, where: str, *, is_invented: bool) -> Event:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    cells = {plain_text(key): plain_text(value) for key, value in pairs}
    if len(pairs) != len(_KEYS) or set(cells) != set(_KEYS):
        message = f"{where}: must have exactly {', '.join(_KEYS)}, each once"
        raise ParameterError("EVENTS", file, message)
    fault = _fault(cells, is_invented=is_invented)
    if fault:
        raise ParameterError("EVENTS", file, f"{where}: {fault}")
    day = date.fromisoformat(cells["date"])
    return Event(day, cells["title"], cells["kind"], cells["source"])


def _fault(cells: dict[str, str], *, is_invented: bool) -> str:
    """What is wrong with an entry, or nothing."""
    try:
        parse_date("date", cells["date"])
    except ParameterError:
        return f"date {cells['date']!r} is not a day written YYYY-MM-DD, from 1970 to 2999"
    if not 1 <= len(cells["title"]) <= _LONGEST_TITLE:
        return f"title {cells['title'][:40]!r} is not text of 1 to {_LONGEST_TITLE} characters"
    if cells["kind"] not in EVENT_KINDS:
        return f"kind {cells['kind']!r} is none of {', '.join(EVENT_KINDS)}"
    source = cells["source"]
    if is_invented and source == INVENTED:
        return ""
    if not _SOURCE.fullmatch(source) or len(source) > _LONGEST_SOURCE:
        also = f", nor {INVENTED}" if is_invented else ""
        return f"source {source[:60]!r} is not an https:// address{also}"
    return ""
