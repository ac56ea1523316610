"""The sessions of one site on one network, day by day, and the stretches they were cut into."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import dates as mdates
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.pages.style import INK, RULE, SOFT_INK, add_legend, new_canvas, new_panels, styled
from analysis.vocabulary import LISTED, STATES

#: Column → state whose mark stands for such a session, and the words beside its line.
CLASSES = {
    "blocked_session_count": ("blocked", "blocked"),
    "unclear_session_count": ("impaired", "cause unclear"),
    "down_session_count": ("down", "site down"),
    "ok_session_count": ("ok", "reachable"),
}

#: Whether a session failed → the state whose mark stands for it, and the word.
RESULTS = ((True, "blocked", "failed"), (False, "ok", "reached"))


@styled
def session_series(
    days: pd.DataFrame,
    stretches: pd.DataFrame,
    *,
    title: str,
    footer: str,
    since: date,
    until: date,
) -> Figure:
    """A line per class of session on a time axis, a mark for each day that had some, and bands for
    the blocked stretches.

    Args:
        days: ``day`` and the columns of ``CLASSES``; a day without a test has no row.
        stretches: ``state, blocked_from, blocked_until`` (empty: to the end).
        since, until: edges of the time axis, half-open.
    """
    figure, axes = new_canvas(title, footer, 2.3)
    for stretch in stretches.to_dict("records"):
        _draw_stretch(axes, str(stretch["state"]), stretch["blocked_from"],
                      stretch["blocked_until"] or until)  # fmt: skip
    for row, (column, (state, _)) in enumerate(CLASSES.items()):
        _draw_class(axes, row, days["day"], days[column], state)
    draw_time_axis(axes, since, until)
    axes.set_yticks(range(len(CLASSES)), [f"Sessions: {words}" for _, words in CLASSES.values()])
    axes.set_ylim(len(CLASSES) - 0.5, -0.9)
    axes.tick_params(length=0)
    return figure


def _draw_class(axes: Axes, row: int, days: pd.Series, counts: pd.Series, state: str) -> None:
    """The days of one class; the more sessions, the larger the mark."""
    axes.axhline(row, color=RULE, linewidth=0.5, zorder=0)
    for day, count in zip(mdates.date2num(pd.to_datetime(days)), counts, strict=True):  # type: ignore[no-untyped-call]
        if count:
            size = 4.0 + 1.5 * min(int(count) - 1, 4)
            axes.plot([day], [row], **{**marker(state), "markersize": size}, clip_on=False)


def _draw_stretch(axes: Axes, state: str, first: object, last: object) -> None:
    colour = STATES[state if state in LISTED else "blocked"].colour
    start, end = pd.Timestamp(str(first)), pd.Timestamp(str(last)) + pd.Timedelta(days=1)
    axes.axvspan(start, end, color=colour, alpha=0.1, linewidth=0)  # type: ignore[arg-type]
    axes.axvline(start, color=INK, linewidth=0.8)  # type: ignore[arg-type]
    axes.annotate(
        STATES[state].words, (start, 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
        textcoords="offset points", fontsize=8.5, color=SOFT_INK, va="top",
    ).set_in_layout(False)  # fmt: skip


@styled
def evidence_series(
    sessions: pd.DataFrame,
    days: pd.DataFrame,
    *,
    line: float,
    title: str,
    footer: str,
    since: date,
    until: date,
) -> Figure:
    """Two axes over time: how likely each session was to fail, and the evidence as days add up.

    Args:
        sessions: ``time, is_hit, rate``.
        days: ``day, evidence`` (an e-value, more than 0), in order.
        line: the e-value from which on a pair is listed.
        since, until: edges of the time axis, half-open.
    """
    figure, panels = new_panels(title, footer, 4.2, 2, height_ratios=[1, 1.2])
    above, below = panels[:, 0]
    for is_hit, state, words in RESULTS:
        some = sessions[sessions["is_hit"] == is_hit]
        at = mdates.date2num(pd.to_datetime(some["time"]))  # type: ignore[no-untyped-call]
        above.plot(
            at, 100 * some["rate"], **marker(state), label=f"Session: {words}", clip_on=False
        )
    above.set_ylim(0, max(10.0, 108 * sessions["rate"].max()))
    above.set_ylabel("Fails by itself,\nper cent")
    above.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    above.grid(axis="y")
    _draw_evidence(below, days, line)
    draw_time_axis(below, since, until)
    for each in (above, below):
        each.tick_params(length=0)
    add_legend(below, 3, 36, [*above.get_lines(), *below.get_lines()[1:]])
    return figure


def _draw_evidence(axes: Axes, days: pd.DataFrame, line: float) -> None:
    """The evidence in powers of ten, level between tested days, with the line for the list."""
    at = mdates.date2num(pd.to_datetime(days["day"]))  # type: ignore[no-untyped-call]
    axes.step(at, np.log10(days["evidence"]), where="post", color=INK, linewidth=1.4)
    axes.axhline(np.log10(line), color=STATES["blocked"].colour, linewidth=1.1,
                 linestyle=(0, (4, 2)), label="Line for the list")  # fmt: skip
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _power_of_ten(value)))
    axes.set_ylabel("Evidence")
    axes.grid(axis="y")


def _power_of_ten(exponent: float) -> str:
    """1, 10⁵, 10¹⁰."""
    if not exponent:
        return "1"
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"10{str(int(exponent)).translate(digits)}"


def draw_time_axis(axes: Axes, since: date, until: date) -> None:
    """Months as ticks, from one day to the day before another."""
    months = max((until - since).days // 30, 1)
    every = max(1, -(-months // 12))
    axes.xaxis.set_major_locator(mdates.MonthLocator(interval=every))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, place: _month(value, place)))
    axes.grid(axis="x")
    axes.set_xlim(pd.Timestamp(since), pd.Timestamp(until))  # type: ignore[arg-type]


def _month(value: float, place: int | None) -> str:
    day = mdates.num2date(value)  # type: ignore[no-untyped-call]
    return f"{day:%b}\n{day.year}" if place == 0 or day.month == 1 else f"{day:%b}"


def marker(code: str) -> dict[str, Any]:
    """How matplotlib draws the mark of a state."""
    shape = {"blocked": "s", "likely_blocked": "s", "impaired": "^", "down": "x", "ok": "o"}
    filled = "left" if code == "likely_blocked" else "full"
    colour = STATES[code].colour
    return {
        "linestyle": "none", "marker": shape[code], "markersize": 6.4, "fillstyle": filled,
        "color": colour, "markerfacecoloralt": "white", "markeredgecolor": colour,
        "markeredgewidth": 1.6 if code == "down" else 1.0,
    }  # fmt: skip
