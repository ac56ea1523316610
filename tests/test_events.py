"""Known events: read strictly, shown only in their period, and harmless whatever is in them."""

import re
from datetime import date
from pathlib import Path

import pytest

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.reference.events import EventList, load_events
from analysis.reference.reference_files import REFERENCE
from analysis.worlds.truth import write_events

GOOD = "{date: 2023-07-23, title: Election, kind: election, source: 'https://a.org/b'}"


def _without(key: str, value: str) -> str:
    """A file with one event, one of whose values is another."""
    cells = {"date": "2023-07-23", "title": "T", "kind": "order", "source": "https://a.org/"}
    body = "".join(f"    {name}: {text}\n" for name, text in (cells | {key: value}).items())
    return f"events:\n  -\n{body}"


def test_a_bad_file_is_refused_by_line(tmp_path: Path) -> None:
    """One line that names EVENTS, the file, the line, and what is accepted."""
    path = tmp_path / "events.yml"
    for content, message in (
        ("", "line 1: the file is empty"),
        ("- a", "line 1: the file must have exactly events"),
        ("events:", "line 1: events must be a list"),
        (f"events: [{GOOD}]\nmore: 1", "line 1: the file must have exactly events"),
        (f"events: [{GOOD}]\nevents: []", "line 1: the file must have exactly events"),
        ("events: [", "not YAML: "),
        ("[" * 5000, "not YAML: "),
        ("events: []\n---\nevents: []", "not YAML: "),
        ("events: ['\x00']", "not YAML: "),
        ("\n\ud8ff", "line 2: not UTF-8"),
        ("events: [a]", "line 1: an event must have exactly date, title, kind, source"),
        (f"events:\n- {GOOD}\n- {{date: 2023-07-23}}", "line 3: an event must have exactly"),
        (_without("url", "https://a.org/"), "an event must have exactly"),
        (_without("title", "T\n    title: U"), "line 3: an event must have exactly"),
        (_without("date", "23 July 2023"), "date=23 July 2023: a date is written YYYY-MM-DD"),
        (_without("date", "2023-02-29"), "date=2023-02-29: a date is written"),
        (_without("date", "2023-07-23T00:00:00Z"), "a date is written"),
        (_without("date", "1969-12-31"), "from 1970 to 2999"),
        (_without("title", "''"), "title must be text of 1 to 120 characters"),
        (_without("title", "[a, b]"), "title must be text of 1 to 120 characters"),
        (_without("title", "x" * 121), "title must be text of 1 to 120 characters"),
        (_without("kind", "Order"), "line 5: kind 'Order' is none of order, licence, law, "),
        (_without("source", "http://a.org/"), "source 'http://a.org/' is not an https:// address"),
        (_without("source", "javascript:alert(1)"), "is not an https:// address"),
        (_without("source", "https://a.org/ b"), "is not an https:// address"),
        (_without("source", "https://user@a.org/"), "is not an https:// address"),
        (_without("source", "!!python/object/apply:os.system [id]"), "source '' is not an https"),
        (_without("source", "invented"), "source 'invented' is not an https:// address"),
        (f"events:\n- {GOOD}\n- {GOOD.replace('Ele', 'ELE')}", "line 3: the same day and title"),
    ):
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
        with pytest.raises(ParameterError, match=rf"^EVENTS={path}: .*{re.escape(message)}"):
            load_events(path, "KH")


def test_events_are_those_of_the_half_open_period() -> None:
    """The first day is in, the day after the last is not; they come by day and know their file."""
    listed = load_events(None, "KH")
    period = Period.parse("2023-02-13", "2023-07-23")
    assert [event.day for event in listed.within(period)] == [date(2023, 2, 13), date(2023, 7, 12)]
    assert list(listed.events) == sorted(listed.events)
    file = listed.file
    assert (file.name, file.row_count, file.date) == ("kh.yml", 7, "2024-02-25")


def test_shipped_events_are_read() -> None:
    """Every country file is well-formed, has events, and its name is a country's."""
    files = sorted((REFERENCE / "events").glob("*.yml"))
    assert files
    assert all(load_events(None, path.stem).events for path in files)


def test_no_file_is_no_event_and_a_given_one_replaces_the_shipped(tmp_path: Path) -> None:
    """A country without a file says nothing; a misspelt path is not such a country."""
    assert load_events(None, "NO") == load_events("", "QQ") == EventList()
    own = tmp_path / "own.yml"
    own.write_text("events: []")
    assert load_events(own, "KH").events == ()
    own.write_text(f"events: [{GOOD}]", encoding="utf-8-sig")
    assert [event.title for event in load_events(own, "KH").events] == ["Election"]
    with pytest.raises(ParameterError, match=r"^EVENTS=.*cannot be read: no such file"):
        load_events(tmp_path / "missing.yml", "NO")


def test_the_simulated_events_pass_for_a_fictional_country_only(tmp_path: Path) -> None:
    """What is invented cannot stand in a report on a real country."""
    path = tmp_path / "reference" / "events.yml"
    write_events(path, date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1))
    assert [event.source for event in load_events(path, "QQ").events] == ["invented"] * 3
    with pytest.raises(ParameterError, match="is not an https"):
        load_events(path, "KH")
