"""Figures: a frame of the contract's tables in, a figure out. One style, in one place.

Every function takes ``title``, which states the finding, and ``footer``, which gives source,
period and n. A frame without rows gives a figure that says so. Strings in a frame may be hostile:
they are drawn as they are, never read as mathematics, and cut where they are long.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.pages.formats import network_number, number
from analysis.pages.grids import MOST_ROWS, footer_for_part
from analysis.pages.style import (
    RULE,
    SOFT_INK,
    add_legend,
    axis_end,
    empty_figure,
    new_canvas,
    row_labels,
    set_count_axis,
    short_label,
    styled,
    thin_labels,
)
from analysis.vocabulary import CHANGES, MECHANISMS, STATES

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
def blocked_by_category(categories: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Horizontal bars of the blocked sites by category, the most first, with what was tested.

    Args:
        categories: ``category, domain_count, blocked_domain_count``; those without a blocked
            site are counted in the footer.
    """
    blocked = categories[categories["blocked_domain_count"] > 0].sort_values(
        ["blocked_domain_count", "category"], ascending=[False, True]
    )
    left_out = len(categories) - len(blocked)
    if left_out:
        footer = f"{footer} {left_out} further categories were tested and have no blocked site."
    if blocked.empty:
        return empty_figure(title, footer)
    notes = [
        f"{number(b)} of {number(t)}"
        for b, t in zip(blocked["blocked_domain_count"], blocked["domain_count"], strict=True)
    ]
    return _bars(
        row_labels(blocked["category"]), blocked["blocked_domain_count"], notes,
        title=title, footer=footer, axis="Blocked sites, of the sites tested in the category",
    )  # fmt: skip


@styled
def semester_changes(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Horizontal bars of how sites changed between the two halves.

    Args:
        frame: ``change, count``; a change that is not in it counts nothing and is shown so.
    """
    counts = frame.groupby("change")["count"].sum().reindex(list(CHANGES), fill_value=0)
    hollow = ["not_comparable", "mixed"]
    return _bars(
        list(CHANGES.values()), counts, [number(count) for count in counts],
        title=title, footer=footer, axis="Sites", hollow=[code in hollow for code in CHANGES],
    )  # fmt: skip


@styled
def networks_ranked(networks: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Horizontal bars of the blocked sites by ranked network, with how each one blocks.

    Args:
        networks: ``probe_asn, network, blocked_domain_count, domain_count, mechanisms, rank``;
            rows without a rank are left out.
    """
    ranked = networks[pd.to_numeric(networks["rank"]).notna()]
    ranked = ranked.assign(rank=pd.to_numeric(ranked["rank"])).sort_values(["rank", "probe_asn"])
    if ranked.empty:
        return empty_figure(title, footer)
    shown = ranked.head(MOST_ROWS)
    notes = [
        f"{number(blocked)} of {number(tested)}" + _methods(codes)
        for blocked, tested, codes in zip(
            shown["blocked_domain_count"], shown["domain_count"], shown["mechanisms"], strict=True
        )
    ]
    names = [
        f"{name} ({network_number(asn)})" if name else network_number(asn)
        for asn, name in zip(shown["probe_asn"], shown["network"].fillna(""), strict=True)
    ]
    return _bars(
        row_labels(pd.Series(names)), shown["blocked_domain_count"], notes,
        title=title, footer=footer_for_part(footer, len(shown), len(ranked), "networks"),
        axis="Blocked sites, of the sites tested on the network",
    )  # fmt: skip


@styled
def methods_compared(
    frame: pd.DataFrame, methods: Mapping[str, str], *, title: str, footer: str
) -> Figure:
    """Which methods list the same sites: one row per combination, its methods and its sites.

    Args:
        frame: one row per site with a flag per method (``differences.compare_methods``).
        methods: column → name, in the order of the columns drawn.
    """
    keys = list(methods)
    counts = frame.groupby(keys).size().rename("sites").reset_index()
    counts = counts.sort_values(["sites", *keys], ascending=[False, *[False] * len(keys)])
    shown = counts.head(20)
    footer = footer_for_part(footer, len(shown), len(counts), "combinations")
    names = [short_label(name, 30) for name in methods.values()]
    figure, whole = new_canvas(title, footer, 1.2 + 0.08 * max(map(len, names)) + 0.27 * len(shown))
    whole.remove()
    dots, bars = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.5))
    rows, columns = np.nonzero(shown[keys].to_numpy(dtype=bool))
    empty_rows, empty_columns = np.nonzero(~shown[keys].to_numpy(dtype=bool))
    colour = STATES["blocked"].colour
    dots.plot(empty_columns, empty_rows, "o", color=RULE, markersize=5, markerfacecolor="white")
    dots.plot(columns, rows, "s", color=colour, markersize=6.4)
    dots.xaxis.tick_top()
    dots.spines[:].set_visible(False)
    dots.set_xticks(range(len(keys)), names, rotation=60, ha="left", rotation_mode="anchor")
    dots.set_xlim(-0.6, len(keys) - 0.4)
    dots.tick_params(length=0, labelleft=False)
    drawn_bars = bars.barh(range(len(shown)), shown["sites"], height=0.66, color=colour)
    bars.bar_label(drawn_bars, labels=list(map(number, shown["sites"])), padding=4, fontsize=9.5)
    bars.set_ylim(len(shown) - 0.4, -0.6)
    bars.set_xlim(0, float(shown["sites"].max()) * 1.15)
    set_count_axis(bars, "x", "Sites")
    bars.tick_params(length=0, labelleft=False)
    return figure


@styled
def thresholds_swept(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """How many pairs are listed at each value of each threshold; the published value is filled.

    Args:
        frame: ``threshold, value, is_standing, blocked_pair_count`` (``sensitivity.sweep``).
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


def _bars(
    labels: Sequence[str],
    values: pd.Series,
    notes: Sequence[str],
    *,
    title: str,
    footer: str,
    axis: str,
    hollow: Sequence[bool] | None = None,
) -> Figure:
    colour = STATES["blocked"].colour
    figure, axes = new_canvas(title, footer, 1.1 + 0.3 * len(labels))
    places = range(len(labels))
    faces = ["white" if empty else colour for empty in (hollow or [False] * len(labels))]
    widths = values.to_numpy(dtype=float)
    bars = axes.barh(places, widths, height=0.66, color=faces, edgecolor=colour, linewidth=1.0)
    axes.bar_label(
        bars, labels=list(notes), padding=4, fontsize=9.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # over the grid
    )  # fmt: skip
    axes.set_yticks(places, labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, axis_end(labels, widths, notes))
    set_count_axis(axes, "x", axis)
    return figure


def _methods(codes: object) -> str:
    listed = [MECHANISMS.get(c, c) for c in str(codes).split(";") if c and c != "nan"]
    if not listed:
        return ""
    if len(listed) == 2:
        return f" · {short_label(listed[0], 30)}, {short_label(listed[1], 30)}"
    more = f" and {len(listed) - 1} more" if len(listed) > 1 else ""
    return f" · {short_label(listed[0], 30)}{more}"
