"""The period by week: how many blocks were seen, which of them were new, and which ended."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.languages.language import Language
from analysis.pages.formats import macros
from analysis.pages.tracks import draw_figure, month_marks, number_events, place_of
from analysis.period import Period
from analysis.reference.events import Event

#: A shorter period has no figure: there is no course of time to see.
_LEAST_WEEKS = 5


def count_weeks(
    intervals: pd.DataFrame, period: Period, events: Sequence[Event]
) -> Mapping[str, Any]:
    """Count the blocks of each week, each of one site on one network.

    A block that was there at the first test of its site on the network is not new: it may be older.

    Args:
        intervals: the contract's ``blocking_intervals``, of listed pairs on access networks.
        period: the whole period.
        events: known ones in it.

    Returns:
        ``rows``: the first day of a week from Sunday on, the blocks seen in it, those that were
        first seen in it after a test had reached the site, and those that were last seen in it
        before a test reached the site again. ``events``: day and title.
    """
    since = intervals["blocked_from"]
    until = intervals["blocked_until"].fillna(pd.Timestamp(period.last_day))
    is_new = intervals["last_seen_open"].notna()
    is_ended = intervals["first_seen_open_again"].notna()
    rows = []
    for week in period.weeks():
        first, last = pd.Timestamp(week.since), pd.Timestamp(week.last_day)
        is_seen = (since <= last) & (until >= first)
        parts = (
            is_seen,
            is_new & since.between(first, last),
            is_ended & until.between(first, last),
        )
        rows.append([week.since.isoformat(), *(int(part.sum()) for part in parts)])
    return {"rows": rows, "events": [[event.day.isoformat(), event.title] for event in events]}


def draw_weeks(weeks: Mapping[str, Any], period: Period, lang: Language) -> Markup:
    """Draw a column a week: blocks that last, those that are new, and those that ended.

    Args:
        weeks: of ``count_weeks``.
        period: the whole period.
        lang: of the page.
    """
    rows = weeks["rows"]
    events = [(date.fromisoformat(day), title) for day, title in weeks["events"]]
    counts = np.array([row[1:] for row in rows])
    if len(rows) < _LEAST_WEEKS or not counts.any():
        return Markup("")
    blocked, _, ended = counts.max(axis=0)
    days = [max(date.fromisoformat(row[0]), period.since) for row in rows]
    edges = [place_of(day, period) for day in [*days, period.until]]
    columns = list(zip(edges, edges[1:], *counts.T.tolist(), strict=False))
    marks, key = number_events(events, period, lang)
    drawn = macros("tracks.html.j2").columns(
        columns, int(blocked), int(ended), month_marks(lang, period), marks
    )
    most = int(counts[:, 0].argmax())
    reading = lang.html(
        "Each block is of one site on one network; at most {n} were seen in a week (from {day}). "
        "Dark: new in this week, after a test that had reached the site. Below the line: last "
        "seen in this week, and a later test reached the site.",
        n=lang.number(int(blocked)),
        day=days[most],
    )
    changed = [
        lang.say("{day}: {n}, {new} new, {ended} ended", day=day, n=n, new=new, ended=ended)
        for day, (n, new, ended) in zip(days, counts.tolist(), strict=True)
        if new or ended
    ]
    alt = lang.say(
        "A column a week, with the number of blocks. Weeks with changes: {weeks}.",
        weeks=Markup("; ").join(changed),
    )
    title = lang.say("Blocks, week by week")
    return draw_figure(Markup(drawn), alt, reading, key, title)
