"""Tables with a row and a column for each pair: coverage, methods, states.

A grid of counts is a table whose cells are shaded, and no picture: the browser's search finds each
name in it, whatever their number, and it can be read aloud.
"""

from math import sqrt

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, elided
from analysis.pages.formats import network_number, number
from analysis.pages.markup import macros
from analysis.pages.tracks import draw_figure
from analysis.vocabulary import LISTED, MECHANISMS

#: Rows of a grid, or bars of a figure; of more the first are shown.
MOST_ROWS = 60
#: Shades of a grid, ``s1`` to ``s8`` in the style sheet.
_SHADES = 8
#: Columns whose heads stand upright beside each other.
_UPRIGHT = 14


def draw_coverage(frame: pd.DataFrame, *, title: str, alt: str, reading: str) -> Markup:
    """Measurements by network and month; an empty cell is no test.

    Args:
        frame: ``network, month, measurement_count``, a row for each pair that was measured.
        title: what the grid shows.
        alt: the same with values, for who cannot see it.
        reading: how to read it.
    """
    counts = frame.pivot_table(
        index="network", columns="month", values="measurement_count", aggfunc="sum"
    )
    if not counts.empty:
        months = pd.period_range(min(frame["month"]), max(frame["month"]), freq="M")
        counts = counts.reindex(columns=[str(month) for month in months])
    return _draw(counts, ("Network", "Measurements"), title, alt, reading)


def draw_methods(frame: pd.DataFrame, *, title: str, alt: str, reading: str) -> Markup:
    """Blocked sites by network and method of blocking, the most used method first.

    Args:
        frame: ``network, mechanism, domain_count``, a row for each pair that was seen.
        title, alt, reading: see ``draw_coverage``.
    """
    counts = frame.assign(mechanism=[MECHANISMS.get(m, m) for m in frame["mechanism"]]).pivot_table(
        index="network", columns="mechanism", values="domain_count", aggfunc="sum"
    )
    order = counts.sum().sort_values(ascending=False, kind="stable").index
    return _draw(counts[order], ("Network", "Sites"), title, alt, reading)


def footer_for_part(footer: str, shown: int, all_of_them: int, what: str) -> str:
    """The footer of a figure, which says so where it shows a part."""
    if shown == all_of_them:
        return footer
    return f"{footer} The first {shown} of {all_of_them:,} {what} are shown."


def _draw(
    counts: pd.DataFrame, heads: tuple[str, str], title: str, alt: str, reading: str
) -> Markup:
    """Counts with a shade for each; rows by their sum, the largest first."""
    form = macros("blocks.html.j2", ENGLISH)
    if counts.empty:
        return draw_figure(Markup(form.nothing(title, "")), alt, reading)
    totals = counts.sum(axis=1)
    order = sorted(counts.index, key=lambda row: (-totals[row], row))
    shown = counts.loc[order[:MOST_ROWS]]
    most = max(shown.max().max(), 10)
    rows = [
        (elided(str(name)), [_cell(count, most) for count in row], number(int(totals[name])))
        for name, row in zip(shown.index, shown.to_numpy(), strict=True)
    ]
    columns = [elided(str(name)) for name in shown.columns]
    grid = form.grid(title, heads, columns, rows, len(columns) > _UPRIGHT)
    footer = footer_for_part(reading, len(shown), len(counts), "networks")
    return draw_figure(Markup(grid), alt, footer, title=title)


def _cell(count: float, most: float) -> tuple[int, str, str]:
    """A count's shade, its digits, and all of them where they are cut."""
    if not count > 0:
        return 0, "", ""
    short, whole = _short(count), number(int(count))
    shade = max(1, round(_SHADES * sqrt(count / most)))
    return shade, short, "" if short == whole.replace(",", "") else whole


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


def _short(count: float) -> str:
    """A count in at most five characters: 987, 1.2k, 56k, 1.2M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            short = count / size
            return f"{short:.1f}{unit}" if short < 9.95 else f"{short:.0f}{unit}"
    return f"{count:.0f}"
