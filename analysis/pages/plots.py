"""Figures: a frame of the contract's tables in, a figure out. One style, in one place.

Bars of counts; the sessions of a site over time; the evidence as days add up; shares by week.
Every function takes ``title``, which states the finding, and ``footer``, which gives source,
period and n. A frame without rows gives a figure that says so. Strings in a frame may be
hostile: they are drawn as they are, never read as mathematics, and cut where they are long.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, cast

import numpy as np
import pandas as pd
from matplotlib import dates as mdates
from matplotlib import style as mpl_style
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation, blended_transform_factory
from numpy.typing import NDArray

from analysis.languages.language import visible
from analysis.pages.formats import number
from analysis.vocabulary import LISTED, STATES

INK, SOFT_INK, RULE = "#1B1B1B", "#555555", "#C9C5BD"
WIDTH = 7.2  # inches; the page shows it 690 to 1000 pixels wide, a phone lets it scroll
LONGEST_LABEL = 38

STYLE: dict[str, Any] = {
    # bundled with matplotlib, so the same glyphs on every machine
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a measured "$\\frac{" must stay text
    "axes.unicode_minus": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.edgecolor": SOFT_INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # names in it are found, and read aloud
    "svg.hashsalt": "workbook",
}

_Rest = ParamSpec("_Rest")


@contextmanager
def style() -> Iterator[None]:
    """The project's style and nothing of the user's matplotlibrc."""
    with mpl_style.context(["default", STYLE]):
        yield


def styled(
    draw: Callable[Concatenate[pd.DataFrame, _Rest], Figure],
) -> Callable[Concatenate[pd.DataFrame, _Rest], Figure]:
    """Draw in the project's style; a frame without rows gives a figure that says so."""

    @wraps(draw)
    def styled(frame: pd.DataFrame, *rest: _Rest.args, **named: _Rest.kwargs) -> Figure:
        with style():
            if frame.empty:
                return empty_figure(str(named["title"]), str(named["footer"]))
            figure = draw(frame, *rest, **named)
            figure.draw_without_rendering()
            # a second pass of the layout would move things by a hair, and change the bytes
            figure.set_layout_engine("none")
            for text in figure.findobj(Text):
                text.set_parse_math(False)
            # days and times of one network would say when single volunteers ran their probes
            if not {"day", "time"} & set(frame):
                figure.frame = frame  # type: ignore[attr-defined]
            return figure

    return cast(Callable[Concatenate[pd.DataFrame, _Rest], Figure], styled)


def drawn(text: object) -> str:
    """Text that the bundled font can draw: one line, no control characters, ▯ for the rest."""
    known = _glyphs()
    line = visible(" ".join(str(text).split()))
    return "".join(c if ord(c) in known else "▯" for c in line)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def short_label(text: object, longest: int = LONGEST_LABEL) -> str:
    line = drawn(text)
    return line if len(line) <= longest else f"{line[: longest - 9]}…{line[-8:]}"


def new_canvas(title: str, footer: str, height: float) -> tuple[Figure, Axes]:
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(WIDTH, height + 0.5), layout=layout)
    figure.suptitle(
        textwrap.fill(drawn(title), 74), x=0.012, ha="left", fontsize=11.5, fontweight="bold"
    )
    if footer:
        figure.supxlabel(
            textwrap.fill(drawn(footer), 112), x=0.012, ha="left", fontsize=8.5, color=SOFT_INK
        )
    axes = figure.add_subplot()
    figure.is_dense = False  # type: ignore[attr-defined]
    return figure, axes


def new_panels(
    title: str, footer: str, height: float, rows: int, columns: int = 1, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """A figure of several axes, row by row, over one time; ``options`` are of ``subplots``."""
    figure, axes = new_canvas(title, footer, height)
    axes.remove()
    return figure, figure.subplots(rows, columns, sharex=True, squeeze=False, **options)


def empty_figure(title: str, footer: str) -> Figure:
    figure, axes = new_canvas(title, footer, 1.2)
    axes.set_axis_off()
    axes.text(0.0, 0.5, "There is nothing to show.", transform=axes.transAxes, color=SOFT_INK)
    return figure


def set_count_axis(axes: Axes, which: str, words: str) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
    axis.set_label_text(words)
    axes.grid(axis="y" if which == "y" else "x")
    axes.tick_params(axis="both", length=0)


def add_legend(axes: Axes, columns: int, drop: float, keys: Sequence[Artist] = ()) -> None:
    """A legend under the axes, ``drop`` points below them, where no bar or mark can lie."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    below = ScaledTranslation(0, -drop / 72, figure.dpi_scale_trans)
    # from the figure's left edge: long labels leave the axes too narrow for it
    anchor = blended_transform_factory(figure.transFigure, axes.transAxes) + below
    axes.legend(
        handles=list(keys) or axes.get_legend_handles_labels()[0], ncols=columns,
        loc="upper left", bbox_to_anchor=(0.006, 0), bbox_transform=anchor,
        borderaxespad=0, borderpad=0.3, handletextpad=0.5, columnspacing=1.6,
    )  # fmt: skip


def thin_labels(labels: Sequence[str]) -> list[str]:
    return [label if "\n" in label else "" for label in labels]


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
        # marks may stand on the edge; a line without marks would stretch the layout to 1970
        above.plot(
            at, 100 * some["rate"], **marker(state), label=f"Session: {words}", clip_on=some.empty
        )
    above.set_ylim(0, max(10.0, 108 * sessions["rate"].max()))
    above.set_ylabel("Fails by accident,\nper cent")
    above.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    above.grid(axis="y")
    _draw_evidence(below, days, line)
    draw_time_axis(below, since, until)
    for each in (above, below):
        each.tick_params(length=0)
    add_legend(below, 3, 36, [*above.get_lines(), *below.get_lines()[1:]])
    return figure


def _draw_evidence(axes: Axes, days: pd.DataFrame, line: float) -> None:
    """The evidence in powers of ten, level between tested days, with the threshold of the list."""
    at = mdates.date2num(pd.to_datetime(days["day"]))  # type: ignore[no-untyped-call]
    axes.step(at, np.log10(days["evidence"]), where="post", color=INK, linewidth=1.4)
    axes.axhline(np.log10(line), color=STATES["blocked"].colour, linewidth=1.1,
                 linestyle=(0, (4, 2)), label="Threshold of the list")  # fmt: skip
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


#: A panel's height in inches.
_SMALL = 1.25


@styled
def shares_here_and_elsewhere(
    weeks: pd.DataFrame, *, title: str, footer: str, since: date, until: date
) -> Figure:
    """A small panel a test: the share of anomalies by week, here and in a typical other country.

    Args:
        weeks: ``panel, week, here`` and ``elsewhere`` (shares from 0 to 1; empty where nobody
            tested).
        since, until: edges of the time axis, half-open.
    """
    panels = list(dict.fromkeys(weeks["panel"]))
    rows = -(-len(panels) // 2)
    figure, grid = new_panels(title, footer, _SMALL * rows + 0.8, rows, 2, sharey=True)
    for one, panel in zip(grid.ravel(), panels, strict=False):
        some = weeks[weeks["panel"] == panel].sort_values("week")
        at = mdates.date2num(pd.to_datetime(some["week"]) + pd.Timedelta(days=3))  # type: ignore[no-untyped-call]
        one.plot(at, 100 * some["elsewhere"].astype(float), color=SOFT_INK, linewidth=1.1,
                 linestyle=(0, (4, 2)), label="a typical other country")  # fmt: skip
        one.plot(at, 100 * some["here"].astype(float), color=STATES["blocked"].colour,
                 linewidth=1.5, label="here")  # fmt: skip
        one.set_title(short_label(panel, 40), loc="left", fontsize=9.5)
        one.set_ylim(0, 100)
        one.axhline(50, color=RULE, linewidth=0.5, zorder=0)
        draw_time_axis(one, since, until)
        months = max((until - since).days // 30, 1)
        one.xaxis.set_major_locator(mdates.MonthLocator(interval=max(1, -(-months // 5))))  # type: ignore[no-untyped-call]
        one.tick_params(length=0)
    for one in grid.ravel()[len(panels) :]:
        one.set_axis_off()
    for one in grid[:, 0]:
        one.set_ylabel("Per cent")
        one.yaxis.set_major_locator(ticker.MultipleLocator(50))
    for one in np.append(grid[-1], grid[-2] if rows > 1 else []):
        one.xaxis.set_tick_params(labelbottom=True)
    add_legend(grid[-1, 0], 2, 34, grid[0, 0].get_lines()[:2])
    return figure


#: OONI's flags are not verdicts: only "confirmed" shares a colour with a state.
FLAGS: dict[str, tuple[str, str, str]] = {
    "ok_count": ("Reachable", "#1F7A8C", ""),
    "anomaly_count": ("Anomaly", "#B7791F", "////"),
    "confirmed_count": ("Confirmed", "#8C1127", ""),
    "failure_count": ("Failed measurement", "#8A8A8A", "xxxx"),
}


@styled
def results_by_month(measurements_by_month: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Stacked bars of OONI's flags, one bar a month; a month without measurements is a gap.

    Args:
        measurements_by_month: ``month, ok_count, anomaly_count, confirmed_count,
            failure_count``; ``confirmed_count`` is empty without a fingerprint list.
    """
    frame = measurements_by_month.assign(
        month=pd.PeriodIndex(measurements_by_month["month"].astype(str), freq="M")
    ).set_index("month")
    months = pd.period_range(frame.index.min(), frame.index.max(), freq="M")
    counts = frame.reindex(months)[[c for c in FLAGS if c in frame]].apply(pd.to_numeric)
    figure, axes = new_canvas(title, footer, 3.9)
    base = np.zeros(len(months))
    for column in counts.columns[counts.notna().any()]:
        words, colour, hatch = FLAGS[column]
        heights = counts[column].fillna(0).to_numpy(dtype=float)
        axes.bar(
            range(len(months)), heights, bottom=base, width=0.78, color=colour, label=words,
            hatch=hatch, edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        base += heights
    labels = [f"{m:%b}\n{m.year}" if i == 0 or m.month == 1 else f"{m:%b}"
              for i, m in enumerate(months)]  # fmt: skip
    set_count_axis(axes, "y", "Measurements")
    axes.set_xticks(range(len(months)), labels if len(months) <= 24 else thin_labels(labels))
    axes.set_xlim(-0.6, len(months) - 0.4)
    add_legend(axes, 4, 36)
    return figure


@styled
def thresholds_swept(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """How many pairs are listed at each value of each threshold; the published value is filled.

    Args:
        frame: ``threshold, value, is_standing, blocked_pair_count`` (``confirmation.sweep``).
    """
    names = list(dict.fromkeys(frame["threshold"]))
    figure, axes = new_canvas(title, footer, 1.2 + 0.3 * len(names))
    colour = STATES["blocked"].colour
    for place, name in enumerate(names):
        rows = frame[frame["threshold"] == name]
        counts = rows["blocked_pair_count"]
        axes.plot([counts.min(), counts.max()], [place, place], color=colour, linewidth=1.1)
        axes.plot(counts, [place] * len(rows), "o", color=colour, markersize=5.5,
                  markerfacecolor="white", linestyle="none")  # fmt: skip
        used = rows.loc[rows["is_standing"], "blocked_pair_count"]
        axes.plot(used, [place] * len(used), "s", color=colour, markersize=6.4)
        for count, of_count in rows[~rows["blocked_pair_count"].isin(used)].groupby(
            "blocked_pair_count"
        ):
            values = ", ".join(f"{value:g}" for value in of_count["value"])
            axes.annotate(values, (count, place), xytext=(0, 5), textcoords="offset points",
                          ha="center", fontsize=8.5, color=SOFT_INK)  # fmt: skip
    axes.set_yticks(range(len(names)), [short_label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.8)
    set_count_axis(axes, "x", "Listed pairs of site and access network")
    low, high = frame["blocked_pair_count"].min(), frame["blocked_pair_count"].max()
    margin = max(0.06 * (high - low), 1.0)
    axes.set_xlim(low - margin, high + margin)
    keys = [
        Line2D([], [], marker="s", color=colour, linestyle="none", label="the published value"),
        Line2D([], [], marker="o", color=colour, linestyle="none", markerfacecolor="white",
               label="other values"),
    ]  # fmt: skip
    add_legend(axes, 2, 36, keys)
    return figure
