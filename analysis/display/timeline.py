"""The time axis of blocks, with known events beside it."""

from collections.abc import Hashable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import pandas as pd
from matplotlib import dates as mdates
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory

from analysis.display.style import (
    INK,
    MOST_ROWS,
    WIDTH,
    add_legend,
    clip_line,
    drawn,
    footer_for_part,
    new_canvas,
    short_label,
    styled,
)
from analysis.reference.events import Event
from analysis.vocabulary import LISTED, STATES


@styled
def blocking_timeline(
    frame: pd.DataFrame,
    *,
    title: str,
    footer: str,
    since: date | None = None,
    until: date | None = None,
    events: Sequence[Event] = (),
) -> Figure:
    """One line per site, or site and network: a bar while it was seen blocked, thin ends where
    unknown.

    A thin line runs from the last day seen open to the bar, and from the bar to the first day
    seen open again; an arrow leads out of the figure where no such day was seen.

    Args:
        frame: ``domain, blocked_from, blocked_until, state, last_seen_open,
            first_seen_open_again``, and ``network`` or ``network_count`` to stand beside the site;
            ``state`` may be missing. An empty ``blocked_until`` means blocked to the end.
        since, until: edges of the time axis, half-open; by default those of the days shown.
        events: to be marked 1, 2 … by thin verticals, in this order; those outside of the axis
            keep their number and are not drawn.
    """
    columns = ["blocked_from", "blocked_until", "last_seen_open", "first_seen_open_again"]
    given = frame.reindex(columns=columns)
    days = pd.DataFrame({name: pd.to_datetime(given[name], errors="coerce") for name in columns})
    start = pd.Timestamp(since) if since else days.min().min()
    end = pd.Timestamp(until) if until else days.max().max() + timedelta(days=1)
    table = frame.assign(**{name: days[name] for name in columns})
    order = table.assign(line=_lines(frame)).sort_values(["blocked_from", "line"], kind="stable")
    lines = list(dict.fromkeys(order["line"]))
    shown = lines[:MOST_ROWS]
    footer = footer_for_part(footer, len(shown), len(lines), "lines")
    marks = _marked(events, start, end, shown)
    figure, axes = new_canvas(title, footer, 1.9 + 0.21 * len(shown) + _height_of(marks))
    place = {line: row for row, line in enumerate(shown)}
    for interval in order[order["line"].isin(place)].to_dict("records"):
        _interval(axes, place[interval["line"]], interval, start, end)
    draw_time_axis(axes, start, end)
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    _events(axes, marks)
    axes.tick_params(axis="y", length=0, pad=8)  # an arrow leads out of the axes
    _timeline_legend(axes, order.get("state"))
    return figure


def _interval(
    axes: Axes, row: int, interval: Mapping[Hashable, Any], start: pd.Timestamp, end: pd.Timestamp
) -> None:
    code = str(interval.get("state") or "blocked")
    colour = STATES[code].colour if code in LISTED else STATES["blocked"].colour
    day = timedelta(days=1)
    seen_from, seen_until = interval["blocked_from"], interval["blocked_until"]
    to_the_end = pd.isna(seen_until)
    stop = end if to_the_end else seen_until + day
    axes.barh(
        row, stop - seen_from, left=seen_from, height=0.5, color=colour, linewidth=0.8,
        edgecolor=colour if code == "blocked" else "white",
        hatch="" if code == "blocked" else "////",
    )  # fmt: skip
    before, after = interval["last_seen_open"], interval["first_seen_open_again"]
    _end(axes, row, seen_from, start if pd.isna(before) else before, pd.isna(before), "<", colour)
    if not to_the_end:
        _end(axes, row, stop, end if pd.isna(after) else after, pd.isna(after), ">", colour)


def _timeline_legend(axes: Axes, states: pd.Series | None) -> None:
    likely = states is not None and (states == "likely_blocked").any()
    keys: list[Artist] = [Patch(color=STATES["blocked"].colour, label=STATES["blocked"].words)]
    if likely:
        words, colour = STATES["likely_blocked"].words, STATES["likely_blocked"].colour
        keys.append(Patch(facecolor=colour, edgecolor="white", hatch="////", label=words))
    dashes: dict[str, Any] = {"color": INK, "linewidth": 1.1, "linestyle": (0, (2, 1.5))}
    keys.append(Line2D([], [], marker="|", label="to the nearest day seen open", **dashes))
    keys.append(Line2D([], [], marker="<", markersize=5, label="none was seen", **dashes))
    add_legend(axes, 2, 36, keys)


def _end(
    axes: Axes, row: int, edge: Any, bracket: Any, is_open: bool, arrow: str, colour: str
) -> None:
    """A thin line from the bar to the nearest day known open, or an arrow where none is known."""
    axes.plot([edge, bracket], [row, row], color=colour, linewidth=1.1, linestyle=(0, (2, 1.5)))
    axes.plot(
        [bracket], [row], marker=arrow if is_open else "|", markersize=5, color=colour,
        clip_on=False,
    )  # fmt: skip


def draw_time_axis(axes: Axes, start: pd.Timestamp, end: pd.Timestamp) -> None:
    """Months as ticks, from one day to the day before another."""
    months = max((end - start).days // 30, 1)
    every = max(1, -(-months // 12))
    axes.xaxis.set_major_locator(mdates.MonthLocator(interval=every))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, place: _month(value, place)))
    axes.grid(axis="x")
    axes.set_xlim(start, end)  # type: ignore[arg-type]


def _month(value: float, place: int | None) -> str:
    day = mdates.num2date(value)  # type: ignore[no-untyped-call]
    return f"{day:%b}\n{day.year}" if place == 0 or day.month == 1 else f"{day:%b}"


def _lines(frame: pd.DataFrame) -> pd.Series:
    """What stands beside each line of a timeline."""
    names = frame["domain"].map(short_label)
    if "network" in frame:
        return names + "  " + frame["network"].map(lambda name: short_label(name, 22))
    if "network_count" in frame:
        counts = frame["network_count"]
        return names + counts.map(lambda n: f"  {n} network{'' if n == 1 else 's'}")
    return names


_MARK_WIDTH, _MARK_HEIGHT, _KEY_HEIGHT = 16.0, 15.0, 12.5  # points
_MOST_EVENTS_NAMED, _MOST_MARK_ROWS = 12, 6


class _Mark(NamedTuple):
    """An event of the period: its number, and the row above the axes in which the number stands."""

    number: int
    event: Event
    row: int


def _marked(
    events: Sequence[Event], start: pd.Timestamp, end: pd.Timestamp, labels: Sequence[str]
) -> list[_Mark]:
    """The events within the axis, by day; numbers that would touch stand in different rows, as far
    as there are rows."""
    # about how wide the axes will be beside the labels
    width = 72 * max(WIDTH - 0.4 - 0.078 * max(map(len, labels)), 2.0)
    marks: list[_Mark] = []
    ends: list[float] = []  # of the last number in each row, in points
    for place, event in sorted(enumerate(events, start=1), key=lambda item: (item[1].day, item[0])):
        day = pd.Timestamp(event.day)
        if start <= day < end:
            at = width * ((day - start) / (end - start))
            free = (row for row, taken in enumerate(ends) if taken <= at)
            row = next(free, min(len(ends), _MOST_MARK_ROWS - 1))
            ends[row : row + 1] = [at + _MARK_WIDTH]
            marks.append(_Mark(place, event, row))
    return marks


def _event_key(marks: Sequence[_Mark]) -> list[str]:
    """What the numbers stand for; of many events the first, and how many more there are."""
    width = 72 * WIDTH * 0.95
    lines = [
        clip_line(f"{m.number}  {m.event.day}  {drawn(m.event.title)}", 8.5, width) for m in marks
    ]
    more = len(lines) - _MOST_EVENTS_NAMED
    return [*lines[:_MOST_EVENTS_NAMED], *([f"and {more} more"] if more > 0 else [])]


def _rows_height(marks: Sequence[_Mark]) -> float:
    """How high the numbers stand over the axes, in points."""
    return _MARK_HEIGHT * (1 + max(mark.row for mark in marks)) + 4


def _height_of(marks: Sequence[_Mark]) -> float:
    """What numbers and key need, in inches."""
    return (_rows_height(marks) + _KEY_HEIGHT * len(_event_key(marks))) / 72 if marks else 0.0


def _events(axes: Axes, marks: Sequence[_Mark]) -> None:
    """A thin vertical per event, its number over the axes, and over these what each one is."""
    if not marks:
        return
    for mark in marks:
        day = mark.event.day
        axes.axvline(day, color=INK, linewidth=0.8, zorder=2.5)  # type: ignore[arg-type]
        axes.annotate(
            str(mark.number), (day, 1), xycoords=("data", "axes fraction"),
            xytext=(0, 9 + mark.row * _MARK_HEIGHT), textcoords="offset points", fontsize=8.5,
            ha="center", va="center", zorder=3 - mark.row / 100,
            bbox={"boxstyle": "circle,pad=0.22", "facecolor": "white", "edgecolor": INK,
                  "linewidth": 0.8},
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.8, "shrinkA": 0,
                        "shrinkB": 0},
        )  # fmt: skip
    figure = axes.get_figure(root=True)
    assert figure is not None
    # from the figure's left edge, as the legend
    left = blended_transform_factory(figure.transFigure, axes.transAxes)
    axes.annotate(
        "\n".join(_event_key(marks)), (0.012, 1), xycoords=left, xytext=(0, _rows_height(marks)),
        textcoords="offset points", fontsize=8.5, va="bottom", linespacing=1.35,
    )  # fmt: skip
