"""Figures of frames, all in one style.

Every function takes ``title``, which states the finding, and ``footer``, which gives source,
period and n. A frame without rows gives a figure that says so. Strings in a frame may be
hostile: they are drawn as text and never parsed as mathematics.
"""

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, cast

import pandas as pd
import seaborn
from matplotlib import style as mpl_style
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from analysis.languages.language import elided, visible

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
    "svg.hashsalt": "workbook",
}

_Rest = ParamSpec("_Rest")
#: The attribute of a figure that has the frame from which it was drawn.
DRAWN = "drawn_frame"


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's style, without the user's matplotlibrc."""
    with mpl_style.context(["default", STYLE]):
        yield


def styled(
    draw: Callable[Concatenate[pd.DataFrame, _Rest], Figure],
) -> Callable[Concatenate[pd.DataFrame, _Rest], Figure]:
    """Return a function that draws in the project's style.

    A frame without rows gives a figure that says so. The frame is the figure's attribute ``DRAWN``.
    """

    @wraps(draw)
    def styled(frame: pd.DataFrame, *rest: _Rest.args, **named: _Rest.kwargs) -> Figure:
        with style():
            if frame.empty:
                figure = _empty_figure(str(named["title"]), str(named["footer"]))
            else:
                figure = draw(frame, *rest, **named)
            setattr(figure, DRAWN, frame)
            return figure

    return cast(Callable[Concatenate[pd.DataFrame, _Rest], Figure], styled)


def short_label(text: object) -> str:
    """Return an untrusted text as one short line without control characters."""
    return elided(visible(" ".join(str(text).split())), LONGEST_LABEL)


def new_canvas(title: str, footer: str, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure with title and footer, and its axes; ``height`` is in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(WIDTH, height + 0.5), layout=layout)
    figure.suptitle(
        textwrap.fill(visible(title), 74), x=0.012, ha="left", fontsize=11.5, fontweight="bold"
    )
    if footer:
        figure.supxlabel(
            textwrap.fill(visible(footer), 112), x=0.012, ha="left", fontsize=8.5, color=SOFT_INK
        )
    return figure, figure.add_subplot()


def _empty_figure(title: str, footer: str) -> Figure:
    figure, axes = new_canvas(title, footer, 1.2)
    axes.set_axis_off()
    axes.text(0.0, 0.5, "There is nothing to show.", transform=axes.transAxes, color=SOFT_INK)
    return figure


def set_count_axis(axes: Axes, axis: Literal["x", "y"], words: str) -> None:
    """Format an axis for counts, with thousands separators and grid lines."""
    scale = axes.yaxis if axis == "y" else axes.xaxis
    scale.set_major_locator(ticker.MaxNLocator(5, integer=True))
    scale.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    scale.set_label_text(words)
    axes.grid(axis=axis)
    axes.tick_params(length=0)


def add_legend(axes: Axes, columns: int, drop: float) -> None:
    """Add a legend ``drop`` points below the axes, where it covers no bar or mark."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    below = ScaledTranslation(0, -drop / 72, figure.dpi_scale_trans)
    # It begins at the figure's left edge, because axes beside long labels are too narrow for it.
    anchor = blended_transform_factory(figure.transFigure, axes.transAxes) + below
    axes.legend(
        ncols=columns,
        loc="upper left",
        bbox_to_anchor=(0.006, 0),
        bbox_transform=anchor,
        borderaxespad=0,
        borderpad=0.3,
        handletextpad=0.5,
        columnspacing=1.6,
    )


#: Rows of a heat map, at most; those with the largest sums are shown.
_MOST_ROWS = 60


@styled
def heat_map(counts: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Draw counts as shades, the row with the largest sum first; a missing count has no shade.

    Args:
        counts: counts by name (rows) and by another property (columns).
    """
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:_MOST_ROWS]
    shown = counts.loc[order]
    if len(shown) < len(counts):
        footer += f" The first {len(shown)} of {len(counts):,} rows are shown."
    figure, axes = new_canvas(title, footer, 0.3 * len(shown) + 1.2)
    seaborn.heatmap(
        shown.astype(float),
        norm=PowerNorm(0.5),
        cmap="GnBu",
        linewidths=1,
        cbar=False,
        ax=axes,
        annot=len(shown.columns) <= 14,
        fmt=",.0f",
        annot_kws={"fontsize": 7.5},
        xticklabels=[short_label(name) for name in shown.columns],
        yticklabels=[short_label(name) for name in shown.index],
    )
    axes.set(xlabel="", ylabel="")
    axes.tick_params(length=0)
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
    """Draw a stacked bar of OONI's flags for each month; one without measurements is a gap.

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
    shown = counts.loc[:, counts.notna().any()].astype(float).fillna(0)
    base = shown.cumsum(axis="columns") - shown
    for column in shown:
        words, colour, hatch = FLAGS[column]
        axes.bar(
            range(len(months)),
            shown[column],
            bottom=base[column],
            width=0.78,
            color=colour,
            label=words,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
        )
    is_named = len(months) <= 24
    labels = [
        f"{month:%b}\n{month.year}"
        if index == 0 or month.month == 1
        else f"{month:%b}"
        if is_named
        else ""
        for index, month in enumerate(months)
    ]
    set_count_axis(axes, "y", "Measurements")
    axes.set_xticks(range(len(months)), labels)
    axes.set_xlim(-0.6, len(months) - 0.4)
    add_legend(axes, 4, 36)
    return figure
