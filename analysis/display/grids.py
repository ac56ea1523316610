"""Figures and tables with a row and a column for each pair: coverage, methods, states."""

import textwrap

import pandas as pd
import seaborn
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from analysis.display.cells import network_number
from analysis.display.style import (
    MOST_ROWS,
    TEAL,
    footer_for_part,
    new_canvas,
    row_labels,
    short_label,
    styled,
    text_colour_on,
)
from analysis.vocabulary import LISTED, MECHANISMS


@styled
def coverage(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Heat map of the measurements by network and month, with numbers; an empty cell is no test.

    Args:
        frame: ``month``, ``network`` or ``probe_asn``, ``measurement_count``.
    """
    label = "network" if "network" in frame else "probe_asn"
    counts = frame.assign(row=row_labels(frame[label])).pivot_table(
        index="row", columns="month", values="measurement_count", aggfunc="sum"
    )
    first, last = (
        pd.Period(str(edge), freq="M") for edge in (min(frame["month"]), max(frame["month"]))
    )
    counts.columns = counts.columns.astype(str)
    counts = counts.reindex(columns=[str(m) for m in pd.period_range(first, last, freq="M")])
    return _grid(counts, "networks", title, footer)


@styled
def methods_by_network(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Grid of the number of blocked sites by network and method of blocking.

    Args:
        frame: ``network`` or ``probe_asn``, ``mechanism, domain_count``.
    """
    label = "network" if "network" in frame else "probe_asn"
    named = frame.assign(
        row=row_labels(frame[label]),
        column=[textwrap.fill(short_label(MECHANISMS.get(m, m)), 10) for m in frame["mechanism"]],
    )
    counts = named.pivot_table(
        index="row", columns="column", values="domain_count", aggfunc="sum", sort=False
    )
    order = counts.sum().sort_values(ascending=False, kind="stable").index
    return _grid(counts[order], "networks", title, footer)


def ordered_matrix(frame: pd.DataFrame) -> pd.DataFrame:
    """Sites down, networks across, ordered so that blocks gather.

    Args:
        frame: ``domain, probe_asn, state``, one row per pair.

    Returns:
        A frame of states, ``""`` where there is no row; the index is ``domain``, the columns are
        networks as ``AS123``. Most listed cells first, then by name.
    """
    pairs = frame.assign(probe_asn=[network_number(asn) for asn in frame["probe_asn"]])
    states = pairs.pivot(index="domain", columns="probe_asn", values="state").fillna("")
    listed = states.isin(LISTED)
    sites = sorted(states.index, key=lambda site: (-listed.loc[site].sum(), site))
    networks = sorted(states.columns, key=lambda asn: (-listed[asn].sum(), len(asn), asn))
    return states.loc[sites, networks]


def _grid(counts: pd.DataFrame, what: str, title: str, footer: str) -> Figure:
    """Heat map with a number in each cell; rows by their sum, the largest first."""
    totals = counts.sum(axis=1)
    order = sorted(counts.index, key=lambda row: (-totals[row], row))
    shown = counts.loc[order[:MOST_ROWS]].astype(float)
    footer = footer_for_part(footer, len(shown), len(counts), what)
    figure, axes = new_canvas(title, footer, 1.3 + 0.29 * len(shown), top_axis=True)
    empty = ~(shown > 0)
    norm = PowerNorm(0.5, 0, max(shown.max().max(), 10))
    seaborn.heatmap(
        shown.mask(empty), ax=axes, cmap=TEAL, norm=norm, annot=shown.map(_short), fmt="",
        cbar=False, linewidths=1.5, linecolor="white",
        annot_kws={"fontsize": 9 if shown.shape[1] <= 14 else 7.5},
    )  # fmt: skip
    for text, count in zip(axes.texts, shown.to_numpy()[~empty.to_numpy()], strict=True):
        text.set_color(text_colour_on(TEAL(norm(count))))
    axes.set(xlabel="", ylabel="")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    wide = shown.shape[1] > 8
    axes.set_xticks(axes.get_xticks(), shown.columns, rotation=90 if wide else 0)
    axes.set_yticks(axes.get_yticks(), shown.index, rotation=0)
    figure.is_dense = shown.size > 240  # type: ignore[attr-defined]
    return figure


def _short(count: float) -> str:
    """A count in at most five characters: 987, 1.2k, 56k, 1.2M."""
    if not count > 0:
        return ""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            short = count / size
            return f"{short:.1f}{unit}" if short < 9.95 else f"{short:.0f}{unit}"
    return f"{count:.0f}"
