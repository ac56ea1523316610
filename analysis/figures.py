"""Figures: a frame of the contract's tables in, a figure out. One style, in one place.

Every function takes ``title``, which states the finding, and ``footer``, which gives source,
period and n. A frame without rows gives a figure that says so. Strings in a frame may be hostile:
they are drawn as they are, never read as mathematics, and cut where they are long.
"""

import textwrap
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import lru_cache, wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, cast

import numpy as np
import pandas as pd
import seaborn
from matplotlib import dates as mdates
from matplotlib import style as mpl_style
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from analysis.cells import network_number, number, visible
from analysis.events import Event
from analysis.words import CHANGES, LISTED, MECHANISMS, STATES

INK, SOFT_INK, RULE = "#1B1B1B", "#555555", "#C9C5BD"
WIDTH = 7.2  # inches; the page shows it 690 to 1000 pixels wide, a phone lets it scroll
MOST_ROWS = 60
LONGEST_LABEL = 34
TEAL = LinearSegmentedColormap.from_list("teal", ["#E6F0F2", "#1F7A8C", "#0B3A44"])

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
    "svg.fonttype": "path",
    "svg.hashsalt": "workbook",
}

#: OONI's flags are not verdicts: only "confirmed" shares a colour with a state.
FLAGS: dict[str, tuple[str, str, str]] = {
    "ok_count": ("Reachable", "#1F7A8C", ""),
    "anomaly_count": ("Anomaly", "#B7791F", "////"),
    "confirmed_count": ("Confirmed", "#8C1127", ""),
    "failure_count": ("Failed measurement", "#8A8A8A", "xxxx"),
}

_Rest = ParamSpec("_Rest")


@contextmanager
def style() -> Iterator[None]:
    """The project's style and nothing of the user's matplotlibrc."""
    with mpl_style.context(["default", STYLE]):
        yield


def _styled(
    draw: Callable[Concatenate[pd.DataFrame, _Rest], Figure],
) -> Callable[Concatenate[pd.DataFrame, _Rest], Figure]:
    """Draw in the project's style; a frame without rows gives a figure that says so."""

    @wraps(draw)
    def styled(frame: pd.DataFrame, *rest: _Rest.args, **named: _Rest.kwargs) -> Figure:
        with style():
            if frame.empty:
                return _nothing(str(named["title"]), str(named["footer"]))
            figure = draw(frame, *rest, **named)
            figure.draw_without_rendering()
            # a second pass of the layout would move things by a hair, and change the bytes
            figure.set_layout_engine("none")
            for text in figure.findobj(Text):
                text.set_parse_math(False)
            return figure

    return cast(Callable[Concatenate[pd.DataFrame, _Rest], Figure], styled)


@_styled
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
    figure, axes = _canvas(title, footer, 3.9)
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
    _count_axis(axes, "y", "Measurements")
    axes.set_xticks(range(len(months)), labels if len(months) <= 24 else _thinned(labels))
    axes.set_xlim(-0.6, len(months) - 0.4)
    _legend(axes, 4, 36)
    return figure


@_styled
def coverage(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Heat map of the measurements by network and month, with numbers; an empty cell is no test.

    Args:
        frame: ``month``, ``network`` or ``probe_asn``, ``measurement_count``.
    """
    label = "network" if "network" in frame else "probe_asn"
    counts = frame.assign(row=_labels(frame[label])).pivot_table(
        index="row", columns="month", values="measurement_count", aggfunc="sum"
    )
    first, last = (
        pd.Period(str(edge), freq="M") for edge in (min(frame["month"]), max(frame["month"]))
    )
    counts.columns = counts.columns.astype(str)
    counts = counts.reindex(columns=[str(m) for m in pd.period_range(first, last, freq="M")])
    return _grid(counts, "networks", title, footer)


@_styled
def methods_by_network(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Grid of the number of blocked sites by network and method of blocking.

    Args:
        frame: ``network`` or ``probe_asn``, ``mechanism, domain_count``.
    """
    label = "network" if "network" in frame else "probe_asn"
    named = frame.assign(
        row=_labels(frame[label]),
        column=[textwrap.fill(_label(MECHANISMS.get(m, m)), 10) for m in frame["mechanism"]],
    )
    counts = named.pivot_table(
        index="row", columns="column", values="domain_count", aggfunc="sum", sort=False
    )
    order = counts.sum().sort_values(ascending=False, kind="stable").index
    return _grid(counts[order], "networks", title, footer)


@_styled
def site_by_network(
    verdicts_all: pd.DataFrame, network_names: Mapping[str, str], *, title: str, footer: str
) -> Figure:
    """Matrix of states, sites down and networks across, ordered so that blocks gather.

    Args:
        verdicts_all: ``domain, probe_asn, state`` for one period (rows of another ``period``
            than ``all`` are left out); a missing pair is not tested and stays blank.
        network_names: ``AS123`` → name.
    """
    if "period" in verdicts_all:
        verdicts_all = verdicts_all[verdicts_all["period"] == "all"]
    states = ordered_matrix(verdicts_all)
    shown = states.iloc[:MOST_ROWS]
    footer = _partly(footer, len(shown), len(states), "sites")
    figure, axes = _canvas(title, footer, 2.6 + 0.215 * len(shown), top_axis=True)
    keys = []
    for code in STATES:
        rows, columns = np.nonzero((shown == code).to_numpy())
        if code and len(rows):
            keys.append(_marks(axes, code, columns.tolist(), rows.tolist()))
    for row in range(len(shown)):
        axes.axhline(row + 0.5, color=RULE, linewidth=0.4, zorder=0)
    networks = [_label(f"{asn} {network_names.get(asn, '')}", 26) for asn in shown.columns]
    axes.set_xticks(range(len(networks)), networks, rotation=60, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(shown)), [_label(site) for site in shown.index])
    axes.set_xlim(-0.7, max(len(networks), 4) - 0.3)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.tick_params(length=0)
    _legend(axes, 3, 4, keys)
    figure.is_dense = shown.size > 900  # type: ignore[attr-defined]
    return figure


@_styled
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
        return _nothing(title, footer)
    notes = [
        f"{number(b)} of {number(t)}"
        for b, t in zip(blocked["blocked_domain_count"], blocked["domain_count"], strict=True)
    ]
    return _bars(
        _labels(blocked["category"]), blocked["blocked_domain_count"], notes,
        title=title, footer=footer, axis="Blocked sites, of the sites tested in the category",
    )  # fmt: skip


@_styled
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


@_styled
def networks_ranked(networks: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """Horizontal bars of the blocked sites by ranked network, with how each one blocks.

    Args:
        networks: ``probe_asn, network, blocked_domain_count, domain_count, mechanisms, rank``;
            rows without a rank are left out.
    """
    ranked = networks[pd.to_numeric(networks["rank"]).notna()]
    ranked = ranked.assign(rank=pd.to_numeric(ranked["rank"])).sort_values(["rank", "probe_asn"])
    if ranked.empty:
        return _nothing(title, footer)
    shown = ranked.head(MOST_ROWS)
    notes = [
        f"{number(blocked)} of {number(tested)}" + _methods(codes)
        for blocked, tested, codes in zip(
            shown["blocked_domain_count"], shown["domain_count"], shown["mechanisms"], strict=True
        )
    ]
    names = [
        f"{network_number(asn)} {name}"
        for asn, name in zip(shown["probe_asn"], shown["network"].fillna(""), strict=True)
    ]
    return _bars(
        _labels(pd.Series(names)), shown["blocked_domain_count"], notes,
        title=title, footer=_partly(footer, len(shown), len(ranked), "networks"),
        axis="Blocked sites, of the sites tested on the network",
    )  # fmt: skip


@_styled
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
    footer = _partly(footer, len(shown), len(lines), "lines")
    marks = _marked(events, start, end, shown)
    figure, axes = _canvas(title, footer, 1.9 + 0.21 * len(shown) + _height_of(marks))
    place = {line: row for row, line in enumerate(shown)}
    for interval in order[order["line"].isin(place)].to_dict("records"):
        _interval(axes, place[interval["line"]], interval, start, end)
    _time_axis(axes, start, end)
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    _events(axes, marks)
    axes.tick_params(axis="y", length=0, pad=8)  # an arrow leads out of the axes
    _timeline_legend(axes, order.get("state"))
    return figure


@_styled
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
    footer = _partly(footer, len(shown), len(counts), "combinations")
    names = [_label(name, 30) for name in methods.values()]
    figure, whole = _canvas(title, footer, 1.2 + 0.08 * max(map(len, names)) + 0.27 * len(shown))
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
    _count_axis(bars, "x", "Sites")
    bars.tick_params(length=0, labelleft=False)
    return figure


@_styled
def thresholds_swept(frame: pd.DataFrame, *, title: str, footer: str) -> Figure:
    """How many pairs are listed at each value of each threshold; the value in use is filled.

    Args:
        frame: ``threshold, value, is_used, blocked_pair_count`` (``sensitivity.sweep``).
    """
    names = list(dict.fromkeys(frame["threshold"]))
    figure, axes = _canvas(title, footer, 1.2 + 0.3 * len(names))
    colour = STATES["blocked"].colour
    for place, name in enumerate(names):
        rows = frame[frame["threshold"] == name]
        counts = rows["blocked_pair_count"]
        axes.plot([counts.min(), counts.max()], [place, place], color=colour, linewidth=1.1)
        axes.plot(counts, [place] * len(rows), "o", color=colour, markersize=5.5,
                  markerfacecolor="white", linestyle="none")  # fmt: skip
        used = rows.loc[rows["is_used"], "blocked_pair_count"]
        axes.plot(used, [place] * len(used), "s", color=colour, markersize=6.4)
        for count, of_count in rows[~rows["blocked_pair_count"].isin(used)].groupby(
            "blocked_pair_count"
        ):
            values = ", ".join(f"{value:g}" for value in of_count["value"])
            axes.annotate(values, (count, place), xytext=(0, 5), textcoords="offset points",
                          ha="center", fontsize=8.5, color=SOFT_INK)  # fmt: skip
    axes.set_yticks(range(len(names)), [_label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.8)
    _count_axis(axes, "x", "Listed pairs of site and access network")
    low, high = frame["blocked_pair_count"].min(), frame["blocked_pair_count"].max()
    margin = max(0.06 * (high - low), 1.0)
    axes.set_xlim(low - margin, high + margin)
    keys = [
        Line2D([], [], marker="s", color=colour, linestyle="none", label="the value in use"),
        Line2D([], [], marker="o", color=colour, linestyle="none", markerfacecolor="white",
               label="other values"),
    ]  # fmt: skip
    _legend(axes, 2, 36, keys)
    return figure


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


def drawn(text: object) -> str:
    """Text that the bundled font can draw: one line, no control characters, ▯ for the rest."""
    known = _glyphs()
    line = visible(" ".join(str(text).split()))
    return "".join(c if ord(c) in known else "▯" for c in line)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def _label(text: object, longest: int = LONGEST_LABEL) -> str:
    line = drawn(text)
    return line if len(line) <= longest else f"{line[: longest - 9]}…{line[-8:]}"


def _cut(line: str, size: float, width: float) -> str:
    """A line of a size in points, cut at its end where it is wider than ``width`` points."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    font.set_size(size, 72)

    def is_too_wide(text: str) -> bool:
        font.set_text(text)
        return font.get_width_height()[0] / 64 > width

    if not is_too_wide(line):
        return line
    while line and is_too_wide(f"{line}…"):
        line = line[:-1]
    return f"{line.rstrip()}…"


def _labels(values: pd.Series) -> list[str]:
    return [_label(network_number(value)) for value in values]


def _canvas(title: str, footer: str, height: float, top_axis: bool = False) -> tuple[Figure, Axes]:
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
    if top_axis:
        axes.xaxis.tick_top()
        axes.spines[:].set_visible(False)
    figure.is_dense = False  # type: ignore[attr-defined]
    return figure, axes


def _nothing(title: str, footer: str) -> Figure:
    figure, axes = _canvas(title, footer, 1.2)
    axes.set_axis_off()
    axes.text(0.0, 0.5, "Nothing to show: no rows.", transform=axes.transAxes, color=SOFT_INK)
    return figure


def _partly(footer: str, shown: int, all_of_them: int, what: str) -> str:
    if shown == all_of_them:
        return footer
    return f"{footer} The first {shown} of {all_of_them:,} {what} are shown."


def _count_axis(axes: Axes, which: str, words: str) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
    axis.set_label_text(words)
    axes.grid(axis="y" if which == "y" else "x")
    axes.tick_params(axis="both", length=0)


def _legend(axes: Axes, columns: int, drop: float, keys: Sequence[Artist] = ()) -> None:
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


def _thinned(labels: Sequence[str]) -> list[str]:
    return [label if "\n" in label else "" for label in labels]


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
    figure, axes = _canvas(title, footer, 1.1 + 0.3 * len(labels))
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
    axes.set_xlim(0, _room(labels, widths, notes))
    _count_axis(axes, "x", axis)
    return figure


def _room(labels: Sequence[str], widths: np.ndarray, notes: Sequence[str]) -> float:
    """End of the value axis so that each bar and the note after it fit beside the labels."""
    inches = WIDTH - 0.6 - 0.085 * max(map(len, labels))
    free = [max(inches - 0.082 * len(note) - 0.1, 0.6) for note in notes]
    ends = [width * inches / left for width, left in zip(widths, free, strict=True)]
    return float(max(*ends, widths.max() * 1.06, 1.0))


def _methods(codes: object) -> str:
    listed = [MECHANISMS.get(c, c) for c in str(codes).split(";") if c and c != "nan"]
    if not listed:
        return ""
    if len(listed) == 2:
        return f" · {_label(listed[0], 30)}, {_label(listed[1], 30)}"
    more = f" and {len(listed) - 1} more" if len(listed) > 1 else ""
    return f" · {_label(listed[0], 30)}{more}"


def _grid(counts: pd.DataFrame, what: str, title: str, footer: str) -> Figure:
    """Heat map with a number in each cell; rows by their sum, the largest first."""
    totals = counts.sum(axis=1)
    order = sorted(counts.index, key=lambda row: (-totals[row], row))
    shown = counts.loc[order[:MOST_ROWS]].astype(float)
    footer = _partly(footer, len(shown), len(counts), what)
    figure, axes = _canvas(title, footer, 1.3 + 0.29 * len(shown), top_axis=True)
    empty = ~(shown > 0)
    norm = PowerNorm(0.5, 0, max(shown.max().max(), 10))
    seaborn.heatmap(
        shown.mask(empty), ax=axes, cmap=TEAL, norm=norm, annot=shown.map(_short), fmt="",
        cbar=False, linewidths=1.5, linecolor="white",
        annot_kws={"fontsize": 9 if shown.shape[1] <= 14 else 7.5},
    )  # fmt: skip
    for text, count in zip(axes.texts, shown.to_numpy()[~empty.to_numpy()], strict=True):
        text.set_color(_readable_on(TEAL(norm(count))))
    axes.set(xlabel="", ylabel="")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    wide = shown.shape[1] > 8
    axes.set_xticks(axes.get_xticks(), shown.columns, rotation=90 if wide else 0)
    axes.set_yticks(axes.get_yticks(), shown.index, rotation=0)
    figure.is_dense = shown.size > 240  # type: ignore[attr-defined]
    return figure


def _readable_on(colour: tuple[float, float, float, float]) -> str:
    """Ink or white, whichever stands out more (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return INK if luminance > 0.19 else "white"


def _short(count: float) -> str:
    """A count in at most five characters: 987, 1.2k, 56k, 1.2M."""
    if not count > 0:
        return ""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            short = count / size
            return f"{short:.1f}{unit}" if short < 9.95 else f"{short:.0f}{unit}"
    return f"{count:.0f}"


def _marks(axes: Axes, code: str, x: Sequence[int], y: Sequence[int]) -> Artist:
    """The mark of a state, the same as in text and in tables; returned for the legend."""
    words, colour = STATES[code].words, STATES[code].colour
    if code == "insufficient":
        return axes.scatter(
            x, y, s=46, facecolors="none", edgecolors=colour, linestyles=":", linewidths=1.2,
            label=words,
        )  # fmt: skip
    return axes.plot(x, y, label=words, **_marker(code))[0]


def _marker(code: str) -> dict[str, Any]:
    shape = {"blocked": "s", "likely_blocked": "s", "impaired": "^", "down": "x", "ok": "o"}
    filled = "left" if code == "likely_blocked" else "full"
    colour = STATES[code].colour
    return {
        "linestyle": "none", "marker": shape[code], "markersize": 6.4, "fillstyle": filled,
        "color": colour, "markerfacecoloralt": "white", "markeredgecolor": colour,
        "markeredgewidth": 1.6 if code == "down" else 1.0,
    }  # fmt: skip


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
    _legend(axes, 2, 36, keys)


def _end(
    axes: Axes, row: int, edge: Any, bracket: Any, is_open: bool, arrow: str, colour: str
) -> None:
    """A thin line from the bar to the nearest day known open, or an arrow where none is known."""
    axes.plot([edge, bracket], [row, row], color=colour, linewidth=1.1, linestyle=(0, (2, 1.5)))
    axes.plot(
        [bracket], [row], marker=arrow if is_open else "|", markersize=5, color=colour,
        clip_on=False,
    )  # fmt: skip


def _time_axis(axes: Axes, start: pd.Timestamp, end: pd.Timestamp) -> None:
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
    names = frame["domain"].map(_label)
    if "network" in frame:
        return names + "  " + frame["network"].map(lambda name: _label(name, 22))
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
    lines = [_cut(f"{m.number}  {m.event.day}  {drawn(m.event.title)}", 8.5, width) for m in marks]
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
