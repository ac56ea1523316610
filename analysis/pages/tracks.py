"""Bars and time axes as a table with drawn cells: each name in them is text, whatever its script.

``matplotlib`` draws letters by a font of its own, which has no Khmer, and by a width of its own,
which no phone has. Here the browser sets the words, and only the bars are drawn.
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
    """A part of a track, from 0 to 1.

    ``look`` is a state, *hollow*, *older*, *tested*, *unknown* (a dotted line) or *edge* (where it
    ends).
    """

    start: float
    end: float
    look: str = "blocked"


@dataclass(frozen=True)
class Row:
    """One line: what it is of, its bars, the same in words, what stands behind it, and the place
    that its bars open: the sessions of a pair, a site's page, or what is counted."""

    label: str | Markup
    bars: tuple[Bar, ...]
    words: str = ""
    note: str | Markup = ""
    opens: str = ""


@dataclass(frozen=True)
class Mark:
    """A place on the axis with what is written there."""

    at: float
    label: str
    level: int = 0  # how many labels it stands under, where they would touch


def draw_tracks(
    rows: Sequence[Row],
    heads: tuple[str, str, str],
    ticks: Sequence[Mark] = (),
    lines: Sequence[Mark] = (),
) -> Markup:
    """Rows over one another, with the axis above them.

    Args:
        rows: the first at the top.
        heads: of the names, of the tracks where they have no axis, and of what stands behind.
        ticks: the axis; thin verticals through all rows.
        lines: what is to be seen first, such as known events; stronger verticals.
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
    """Tracks with what they show in words, what each line marks, and how to read them.

    Args:
        content: of ``draw_tracks``.
        alt: what is seen, with values.
        reading: stands under it.
        key: number and words of each line.
        title: what the figure shows; a finding has its claim instead.
    """
    return Markup(macros("tracks.html.j2").figure(alt, content, key, reading, title))


def place_of(day: date, period: Period) -> float:
    """Where a day begins on an axis of the whole period."""
    return min(max(days_between(period.since, day) / period.day_count, 0.0), 1.0)


def month_marks(lang: Language, period: Period) -> list[Mark]:
    """The months of a period; named every third where there are many."""
    months = [month.since for month in period.months()]
    names = [lang.short_month(month) for month in months]
    every = 1 if len(months) <= 12 and max(map(len, names)) <= 4 else -(-len(months) // 4)
    return [
        Mark(place_of(month, period), name if place % every == 0 else "")
        for place, (month, name) in enumerate(zip(months, names, strict=True))
    ]


def span_bars(span: Mapping[Any, Any], period: Period, look: str = "") -> tuple[Bar, ...]:
    """A stretch of blocking on the axis: a bar, and thin lines to the nearest tests that reached
    the site; to the axis' ends where there is none.

    Args:
        span: ``state, blocked_from, blocked_until, last_seen_open, first_seen_open_again``, as
            cells or ISO texts; no ``blocked_until`` means blocked to the end.
        period: of the axis.
        look: of the bar alone, without lines; by default that of the state.
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
    return place_of(day, period) if day else otherwise
