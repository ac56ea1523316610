"""Figures over time of tests that may hold at certain hours, or fail everywhere."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd
from matplotlib import dates as mdates
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.pages.evidence_figure import RESULTS, draw_time_axis, marker
from analysis.pages.style import RULE, SOFT_INK, add_legend, new_panels, short_label, styled
from analysis.vocabulary import STATES

_DAY_HOURS = 24
#: A panel's height in inches.
_PANEL, _SMALL = 1.9, 1.25


@styled
def hours_of_days(
    sessions: pd.DataFrame,
    windows: Mapping[str, Sequence[tuple[int, int]]],
    *,
    title: str,
    footer: str,
    since: date,
    until: date,
) -> Figure:
    """A panel a network: each session a mark by its day and its hour, failed or reached.

    Args:
        sessions: ``panel`` (what its panel is of), ``time`` (UTC), ``is_hit``.
        windows: panel → the hours at which a block holds, shaded.
        since, until: edges of the time axis, half-open.
    """
    panels = list(dict.fromkeys(sessions["panel"]))
    figure, grid = new_panels(title, footer, _PANEL * len(panels) + 0.5, len(panels))
    every = grid[:, 0]
    for place, (panel, one) in enumerate(zip(panels, every, strict=True)):
        _draw_panel(one, panel, sessions[sessions["panel"] == panel], windows.get(panel, ()))
        draw_time_axis(one, since, until)
        one.tick_params(length=0, labelbottom=place == len(panels) - 1)
    add_legend(every[-1], 2, 34, every[-1].get_lines()[:2])
    figure.is_dense = len(sessions) > 2_000  # type: ignore[attr-defined]
    return figure


def _draw_panel(
    axes: Axes, panel: str, sessions: pd.DataFrame, windows: Sequence[tuple[int, int]]
) -> None:
    time = pd.to_datetime(sessions["time"])
    hour = time.dt.hour + time.dt.minute / 60
    day = mdates.date2num(time.dt.floor("D"))  # type: ignore[no-untyped-call]
    for is_hit, state, words in RESULTS:
        some = (sessions["is_hit"] == is_hit).to_numpy()
        look = {**marker(state), "markersize": 3.4}
        axes.plot(day[some], hour[some], **look, label=f"Session: {words}", clip_on=False)
    for since, until in windows:
        axes.axhspan(since, until, color=STATES["blocked"].colour, alpha=0.1, linewidth=0)
    axes.set_ylim(_DAY_HOURS, 0)
    axes.yaxis.set_major_locator(ticker.MultipleLocator(6))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{int(value):02}:00"))
    axes.set_title(short_label(panel, 70), loc="left", fontsize=9.5, color=SOFT_INK)


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
