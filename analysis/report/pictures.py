"""The figures of the first page as files, to be used elsewhere: matrix, weeks and methods.

Each is ``figures/<name>.svg`` and ``.png``, in English. ``figures/matrix.png`` is also the picture
that a link to the report shows (``og:image``).
"""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.languages.language import ENGLISH
from analysis.pages.plots import (
    INK,
    SOFT_INK,
    add_legend,
    new_canvas,
    set_count_axis,
    short_label,
    style,
)
from analysis.report.listed_matrix import order_by_count, read_listed
from analysis.tables import name_network
from analysis.vocabulary import LISTED, MATRIX_STATES, MECHANISMS

#: State → marker of matplotlib and its filled part; all others are a small cross.
_MARKERS = {"blocked": ("s", "full"), "likely_blocked": ("s", "bottom"), "ok": ("o", "full")}
_MOST_SITES, _MOST_NETWORKS = 60, 14
_COLOURS = {state: MATRIX_STATES[state].colour for state in LISTED}


def write_pictures(
    tables: str | Path,
    summary: Mapping[str, Any],
    source: str,
    left_out: Collection[str] = frozenset(),
) -> None:
    """Write the figures of a report into ``figures``, beside its tables; none if nothing is listed.

    Args:
        tables: the folder of the tables.
        summary: ``findings.summarise``.
        source: country and period, for the foot of each figure.
        left_out: sites that a meeting took off the first page.
    """
    pairs, names = read_listed(Path(tables))
    if not pairs["state"].isin(LISTED).any():
        return
    source += ". Source: " + ("OONI" if summary["is_from_ooni"] else "an archive in OONI’s format")
    folder = Path(tables).parent / "figures"
    folder.mkdir(exist_ok=True)
    with style(), warnings.catch_warnings(action="ignore"):  # of letters that the font lacks
        drawn = {
            "matrix": _draw_matrix(pairs[~pairs["domain"].isin(left_out)], names, source),
            "weeks": _draw_weeks(summary["weeks"], source),
            "methods": _draw_methods(pairs, source),
        }
        for name, figure in drawn.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
            figure.savefig(folder / f"{name}.png", dpi=160, metadata={"Software": None})


def _draw_matrix(pairs: pd.DataFrame, names: Mapping[Any, str], source: str) -> Any:
    """Draw listed sites by category, and the networks that list most of them."""
    listed = pairs[pairs["state"].isin(LISTED)]
    networks = order_by_count(listed["probe_asn"])[:_MOST_NETWORKS]
    categories = order_by_count(listed.drop_duplicates("domain")["category"])
    counts = listed["domain"].value_counts()
    ordered = sorted(
        listed.drop_duplicates("domain")[["category", "domain"]].to_numpy().tolist(),
        key=lambda row: (categories.index(row[0]), -counts[row[1]], row[1]),
    )
    sites = [site for _, site in ordered[:_MOST_SITES]]
    if len(sites) < len(ordered):
        source += f". The first {len(sites)} of {len(ordered)} sites are shown"
    title = f"{len(counts)} sites were blocked or likely blocked on at least one access network"
    figure, axes = new_canvas(title, f"{source}.", 0.21 * len(sites) + 1.6)
    shown = pairs[pairs["domain"].isin(sites) & pairs["probe_asn"].isin(networks)]
    for state, rows in shown.groupby("state"):
        marker, part = _MARKERS.get(str(state), ("x", "full"))
        axes.plot(
            rows["probe_asn"].map(networks.index),
            rows["domain"].map(sites.index),
            linestyle="none",
            marker=marker,
            fillstyle=part,
            markerfacecoloralt="white",
            markersize=6,
            color=MATRIX_STATES[str(state)].colour,
            label=MATRIX_STATES[str(state)].words,
        )
    labels = [short_label(name_network(names.get(asn) or "", asn)) for asn in networks]
    axes.set_xticks(range(len(networks)), labels, rotation=90)
    axes.set_yticks(range(len(sites)), map(short_label, sites))
    axes.set(xlim=(-0.6, len(networks) - 0.4), ylim=(len(sites) - 0.4, -0.6))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
    add_legend(axes, 3, 8)
    return figure


def _draw_weeks(weeks: Mapping[str, Any], source: str) -> Any:
    """Draw the blocks of each week, see ``weeks.count_weeks``."""
    names = ["week", "seen", "new", "waiting", "ended"]
    counts = pd.DataFrame(weeks["rows"], columns=names)
    days = pd.to_datetime(counts["week"])
    key = "; ".join(f"{n}: {event}, {day}" for n, (day, event) in enumerate(weeks["events"], 1))
    foot = f"{source}. {key}." if key else f"{source}."
    figure, axes = new_canvas("Blocks of one site on one network, by week", foot, 3.0)
    bars: list[tuple[pd.Series, pd.Series | int, str, str, str]] = [
        (counts["seen"] - counts["new"], 0, "#CFCAC4", "", "Seen by tests"),
        (counts["new"], counts["seen"] - counts["new"], INK, "", "First seen in this week"),
        (counts["waiting"], counts["seen"], "white", "----", "Failed when last tested"),
        (-counts["ended"], 0, "white", "", "Last seen, and later reached again"),
    ]
    for height, bottom, colour, hatch, label in bars:
        axes.bar(
            days,
            height,
            bottom=bottom,
            width=6,
            align="edge",
            color=colour,
            hatch=hatch,
            edgecolor=SOFT_INK,
            linewidth=0.5,
            label=label,
        )
    set_count_axis(axes, "y", "Blocks")
    axes.axhline(0, color=SOFT_INK, linewidth=0.8)
    for number, (day, _) in enumerate(weeks["events"], start=1):
        at = (pd.Timestamp(day) - pd.Timestamp(0)).days  # as matplotlib counts them
        axes.axvline(at, color=INK, linewidth=0.8)
        axes.annotate(
            str(number),
            (at, 1),
            xycoords=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
        )
    add_legend(axes, 2, 26)
    return figure


def _draw_methods(pairs: pd.DataFrame, source: str) -> Any:
    """Draw the pairs of each method of blocking, the most frequent first."""
    listed = pairs[pairs["state"].isin(LISTED)]
    methods = order_by_count(listed["mechanism"])
    counts = listed.groupby(["mechanism", "state"]).size().unstack(fill_value=0).reindex(methods)
    figure, axes = new_canvas(
        "Pairs of site and network, by method", f"{source}.", 0.3 * len(methods) + 1
    )
    start = pd.Series(0, index=methods)
    for state in (state for state in LISTED if state in counts):
        axes.barh(
            range(len(methods)),
            counts[state],
            left=start,
            height=0.6,
            color=_COLOURS[state],
            label=MATRIX_STATES[state].words,
        )
        start += counts[state]
    axes.set_yticks(range(len(methods)), [ENGLISH.say(MECHANISMS.get(m, m)) for m in methods])
    axes.invert_yaxis()
    set_count_axis(axes, "x", "Pairs of site and network")
    add_legend(axes, 2, 34)
    return figure
