"""Figures of the validation page, in the style of the others."""

from itertools import cycle

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from analysis.pages.style import INK, RULE, SOFT_INK, WIDTH, style
from analysis.worlds.measures import FALSE_SITE_WEIGHT

#: What is drawn of each measure: colour on white at least 3:1, and a shape of its own.
_MARKS = (("#1F7A8C", "o"), ("#8C1127", "s"), ("#B7791F", "D"))


def shares_by_stratum(
    frame: pd.DataFrame, *, title: str, footer: str, axis: str = "Blocked sessions"
) -> Figure:
    """Shares with their bounds, one row a stratum, one mark a measure.

    Args:
        frame: ``measure, stratum, success_count, trial_count, share, lower_share,
            upper_share``;
            the strata are drawn from the top in the order in which they stand.
        axis: what the strata are.
    """
    shown = frame[frame["trial_count"] > 0]
    measures = [measure.capitalize() for measure in dict.fromkeys(shown["measure"])]
    strata = list(dict.fromkeys(shown["stratum"]))
    names = shown["measure"].str.capitalize()
    offsets = {name: 0.18 * (n - (len(measures) - 1) / 2) for n, name in enumerate(measures)}
    colours, marks = (
        dict(zip(measures, cycle(kind), strict=False)) for kind in zip(*_MARKS, strict=True)
    )
    rows = shown.assign(
        name=names, height=shown["stratum"].map(strata.index).astype(float) + names.map(offsets)
    )
    with style():
        figure, axes = _canvas(title, footer, 0.55 * len(strata) + 1.3)
        axes.hlines(rows["height"], rows["lower_share"], rows["upper_share"],
                    color=rows["name"].map(colours), linewidth=1.6)  # fmt: skip
        seaborn.scatterplot(
            rows, x="share", y="height", hue="name", style="name", palette=colours, markers=marks,
            s=36, linewidth=0, zorder=3, ax=axes,
        )  # fmt: skip
        for row in rows.itertuples():
            axes.annotate(f"{row.success_count:,} of {row.trial_count:,}", (1.01, row.height),
                          xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
                          color=SOFT_INK)  # fmt: skip
        axes.set_yticks(range(len(strata)), strata)
        axes.set_ylim(len(strata) - 0.5, -0.5)
        axes.set_xlim(0, 1.01)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.set(xlabel="", ylabel=axis)
        _legend(figure, axes, len(measures), 30)
        return _finish(figure)


def chances_against_truth(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """How often cells that nobody blocks had a chance so small, beside how often they may.

    Args:
        frame: ``stratum`` (the chance), ``success_count, trial_count, share, lower_share,
            upper_share``, from the largest chance down.
    """
    colour, mark = _MARKS[0]
    levels = frame["stratum"].astype("float64")
    heights = list(range(len(frame)))
    with style():
        figure, axes = _canvas(title, footer, 0.55 * len(frame) + 1.3)
        axes.hlines(heights, frame["lower_share"].clip(lower=1e-5), frame["upper_share"],
                    color=colour, linewidth=1.6)  # fmt: skip
        seen = frame["share"].where(frame["share"] > 0)
        axes.plot(seen, heights, mark, color=colour, label="Seen, with 95 % bounds")
        axes.plot(levels, heights, "|", color=_MARKS[1][0], markersize=16, label="At most")
        for height, row in zip(heights, frame.itertuples(), strict=True):
            axes.annotate(f"{row.success_count:,} of {row.trial_count:,}", (1.01, height),
                          xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
                          color=SOFT_INK)  # fmt: skip
        axes.set_xscale("log")
        # By itself such an axis writes its numbers as formulas, which our text never is.
        places = range(5, -1, -1)
        axes.set_xticks([10.0**-place for place in places], [f"{10**-n:.{n}f}" for n in places])
        axes.minorticks_off()
        axes.set_xlim(1e-5, 1)
        axes.set_yticks(heights, [f"{level:g} or less" for level in levels])
        axes.set_ylim(len(frame) - 0.5, -0.5)
        axes.set_ylabel("Chance given")
        axes.set_xlabel("Share of cells that nobody blocks")
        _legend(figure, axes, 2, 44)
        return _finish(figure)


def errors_by_threshold(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Bars of what goes wrong at each value of each threshold; the value in use is in bold.

    Args:
        frame: ``threshold, value, is_used, false_site_count, missed_pair_count,
            wrong_mechanism_count, edge_outside_count``, sorted.
    """
    series = {
        f"Sites listed wrongly, × {FALSE_SITE_WEIGHT}":
            ("false_site_count", FALSE_SITE_WEIGHT, "#8C1127", ""),
        "Blocked pairs missed": ("missed_pair_count", 1, "#1F7A8C", "////"),
        "Wrong method of blocking": ("wrong_mechanism_count", 1, "#D9A441", ".."),
        "Dates outside their bracket": ("edge_outside_count", 1, "#8A8A8A", ""),
    }  # fmt: skip
    with style():
        figure, axes = _canvas(title, footer, 0.2 * len(frame) + 1.2)
        base = [0.0] * len(frame)
        for label, (column, weight, colour, hatch) in series.items():
            values = (weight * frame[column].astype("float64")).tolist()
            axes.barh(range(len(frame)), values, left=base, color=colour, hatch=hatch,
                      edgecolor="white", height=0.72, label=label)  # fmt: skip
            base = [low + value for low, value in zip(base, values, strict=True)]
        labels = [f"{row.threshold} = {row.value:g}" for row in frame.itertuples()]
        axes.set_yticks(range(len(frame)), labels, fontsize=8.5)
        for tick, is_used in zip(axes.get_yticklabels(), frame["is_used"], strict=True):
            tick.set_fontweight("bold" if is_used else "normal")
        axes.set_ylim(len(frame) - 0.4, -0.6)
        axes.set_xlabel("Errors over the worlds for fitting")
        _legend(figure, axes, 2, 44)
        return _finish(figure)


def _canvas(title: str, footer: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height + 0.6), layout="constrained")
    figure.suptitle(title, x=0.012, ha="left", fontsize=11.5, fontweight="bold", color=INK)
    figure.supxlabel(footer, x=0.012, ha="left", fontsize=8.5, color=SOFT_INK)
    axes = figure.add_subplot()
    axes.grid(axis="x", color=RULE)
    axes.tick_params(axis="both", length=0)
    return figure, axes


def _legend(figure: Figure, axes: Axes, columns: int, drop: float) -> None:
    """A legend ``drop`` points under the axes, from the figure's left edge."""
    below = ScaledTranslation(0, -drop / 72, figure.dpi_scale_trans)
    anchor = blended_transform_factory(figure.transFigure, axes.transAxes) + below
    axes.legend(loc="upper left", bbox_to_anchor=(0.006, 0), bbox_transform=anchor, ncols=columns,
                borderaxespad=0)  # fmt: skip


def _finish(figure: Figure) -> Figure:
    """Lay out once, so that the same frame gives the same bytes; no text is mathematics."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure
