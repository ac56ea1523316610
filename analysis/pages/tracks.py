"""Bars and time axes as an HTML table, in which names are text of any script.

``matplotlib`` draws letters from its own font, which has no Khmer, and at a fixed width, which is
too wide for a phone. Here the browser sets the words, and only the bars are drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from markupsafe import Markup

from analysis.languages.language import Language
from analysis.pages.formats import is_page, macros
from analysis.period import Period, day_of, days_between


@dataclass(frozen=True)
class Bar:
    """Part of a track, from 0 to 1.

    ``look`` is a state, *hollow*, *older*, *tested*, *unknown* (a dotted line) or *edge* (the end
    of such a line).
    """

    start: float
    end: float
    look: str = "blocked"


@dataclass(frozen=True)
class Row:
    """Line of a figure: a label, its bars, the same in words, and a note after it.

    ``opens`` is the target of a link on the bars: the sessions of a pair, a site's page, or a
    table.
    """

    label: str | Markup
    bars: tuple[Bar, ...]
    words: str = ""
    note: str | Markup = ""
    opens: str = ""


@dataclass(frozen=True)
class Mark:
    """Label on the axis, at a position from 0 to 1."""

    at: float
    label: str
    level: int = 0  # the number of labels above it, if they would touch otherwise


def draw_tracks(
    rows: Sequence[Row],
    heads: tuple[str, str, str],
    ticks: Sequence[Mark] = (),
    lines: Sequence[Mark] = (),
) -> Markup:
    """Return rows of bars with the axis above them.

    Args:
        rows: the first at the top.
        heads: headings of the labels, of the tracks if they have no axis, and of the notes.
        ticks: the axis; thin vertical lines through all rows.
        lines: stronger vertical lines, such as those of known events.
    """
    has_notes = any(row.note for row in rows)
    if not is_page():
        rows = [replace(row, opens="") for row in rows]
    return Markup(macros("tracks.html.j2").tracks(rows, heads, ticks, lines, has_notes))


def draw_figure(
    content: Markup,
    alt: str,
    reading: str | Markup,
    key: Sequence[tuple[str, str]] = (),
    title: str = "",
) -> Markup:
    """Return a figure of tracks with its text alternative, its key and how to read it.

    Args:
        content: result of ``draw_tracks``.
        alt: description of the figure, with values.
        reading: sentence under the figure.
        key: number and words of each line.
        title: title of the figure; in a finding, the claim is its title.
    """
    return Markup(macros("tracks.html.j2").figure(alt, content, key, reading, title))


#: Numbers that are closer than this share of the axis would touch on a phone.
_TOUCHING = 0.1


def number_events(
    events: Sequence[tuple[date, str]], period: Period, lang: Language
) -> tuple[list[Mark], list[tuple[str, Markup]]]:
    """Number known events: their marks on an axis of the period, and the key of a figure.

    Marks that would touch stand under each other.
    """
    marks: list[Mark] = []
    key = []
    for number, (day, title) in enumerate(events, start=1):
        at = place_of(day, period)
        taken = {mark.level for mark in marks if abs(mark.at - at) < _TOUCHING}
        level = next(level for level in range(len(marks) + 1) if level not in taken)
        marks.append(Mark(at, str(number), level))
        key.append((str(number), lang.html("{day}: {title}", day=day, title=lang.english(title))))
    return marks, key


def place_of(day: date, period: Period) -> float:
    """Return the position from 0 to 1 at which a day begins on an axis of the whole period."""
    return min(max(days_between(period.since, day) / period.day_count, 0.0), 1.0)


def month_marks(lang: Language, period: Period) -> list[Mark]:
    """Return a mark for each month of a period; if there are many, only some have a label."""
    months = [month.since for month in period.months()]
    names = [lang.short_month(month) for month in months]
    every = 1 if len(months) <= 12 and max(map(len, names)) <= 4 else -(-len(months) // 4)
    return [
        Mark(place_of(month, period), name if index % every == 0 else "")
        for index, (month, name) in enumerate(zip(months, names, strict=True))
    ]


def span_bars(span: Mapping[Any, Any], period: Period, look: str = "") -> tuple[Bar, ...]:
    """Return a stretch of blocking as a bar, with dotted lines to the nearest tests that were open.

    Without such a test the line extends to the end of the axis.

    Args:
        span: ``state, blocked_from, blocked_until, last_seen_open, first_seen_open_again``, as
            cells or ISO texts; no ``blocked_until`` means blocked to the end.
        period: the period of the axis.
        look: look of a bar without lines; by default the state's, with lines.
    """
    day = 1 / period.day_count
    first, last, opened, again = map(day_of, (span[name] for name in _EDGES))
    start = _place(first, period, 0.0)
    stop = _place(last, period, 1.0 - day) + day
    if look:
        return (Bar(start, min(stop, 1.0), look),)
    before = _place(opened, period, 0.0)
    bars = [Bar(before, start, "unknown"), Bar(start, min(stop, 1.0), span["state"])]
    if opened:
        bars.append(Bar(before, before, "edge"))
    if last:
        after = _place(again, period, 1.0)
        bars.append(Bar(stop, after, "unknown"))
        if again:
            bars.append(Bar(after, after, "edge"))
    return tuple(bar for bar in bars if bar.end > bar.start or bar.look == "edge")


_EDGES = ("blocked_from", "blocked_until", "last_seen_open", "first_seen_open_again")


def _place(day: date | None, period: Period, otherwise: float) -> float:
    """Return the position of a day, or ``otherwise`` without a day."""
    return place_of(day, period) if day else otherwise
