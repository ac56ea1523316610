"""The period by week: the blocks that tests saw, those that no test has checked since, and those
that ended."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.pages.formats import macros
from analysis.pages.tracks import draw_figure, month_marks, number_events, place_of
from analysis.period import Period
from analysis.reference.events import Event

if TYPE_CHECKING:
    from analysis.report.finding_words import Telling

#: A shorter period has no figure: its weeks are too few to show a course of time.
_LEAST_WEEKS = 9
#: The most lines of the vertical axis, the one at 0 left out.
_MOST_LINES = 3


def count_weeks(
    intervals: pd.DataFrame, period: Period, events: Sequence[Event]
) -> Mapping[str, Any]:
    """Count the blocks of each week, each of one site on one network.

    Args:
        intervals: the contract's ``blocking_intervals``, of listed pairs on access networks.
        period: the whole period.
        events: known ones in it.

    Returns:
        ``rows``: the first day of a week from Sunday on, and four numbers of blocks. *Seen*: the
        week lies between the first and the last failing test. *New*: of these, first seen in this
        week, after a test that had reached the site. *Waiting*: last seen before this week, and
        not reached by any test up to its end. *Ended*: last seen in this week, and a later test
        reached the site. ``events``: day and title.
    """
    since, until = intervals["blocked_from"], intervals["blocked_until"]
    again = intervals["first_seen_open_again"]
    is_new, is_ended = intervals["last_seen_open"].notna(), again.notna()
    rows = []
    for week in period.weeks():
        first, last = pd.Timestamp(week.since), pd.Timestamp(week.last_day)
        is_seen = (since <= last) & (until >= first)
        parts = (
            is_seen,
            is_new & since.between(first, last),
            (until < first) & ~(again <= last),
            is_ended & until.between(first, last),
        )
        rows.append([week.since.isoformat(), *(int(part.sum()) for part in parts)])
    return {"rows": rows, "events": [[event.day.isoformat(), event.title] for event in events]}


def draw_weeks(weeks: Mapping[str, Any], page: "Telling") -> Markup:
    """Draw a column a week, see ``count_weeks``.

    Args:
        weeks: of ``count_weeks``.
        page: language and period of the page.
    """
    lang, period, rows = page.lang, page.period, weeks["rows"]
    events = [(date.fromisoformat(day), title) for day, title in weeks["events"]]
    counts = np.array([row[1:] for row in rows])
    if len(rows) < _LEAST_WEEKS or not counts.any():
        return Markup("")
    seen, _, waiting, ended = counts.T.tolist()
    tallest = max(map(sum, zip(seen, waiting, strict=True)))
    days = [max(date.fromisoformat(row[0]), period.since) for row in rows]
    edges = [place_of(day, period) for day in [*days, period.until]]
    columns = list(zip(edges, edges[1:], *counts.T.tolist(), strict=False))
    marks, key = number_events(events, period, lang)
    drawn = macros("tracks.html.j2", lang).columns(
        columns, tallest, max(ended), _choose_lines(tallest), month_marks(lang, period), marks
    )
    reading = lang.html(
        "Each block is one site on one network. Grey: seen, from the first to the last failing "
        "test. Black: first seen in this week, after a test that had reached the site. Striped: "
        "failed when last tested, and no test has reached the site since. Below the line: reached "
        "again. In the last week, from {last} on: seen {seen}, not reached since they failed "
        "{waiting}.",
        last=page.mark("weeks.last_day", days[-1]),
        seen=page.mark("weeks.seen_count", seen[-1], of=days[-1].isoformat()),
        waiting=page.mark("weeks.waiting_count", waiting[-1], of=days[-1].isoformat()),
    )
    changed = [
        lang.say("{day}: {n}, {new} new, {ended} ended", day=day, n=n, new=new, ended=ended)
        for day, (n, new, _, ended) in zip(days, counts.tolist(), strict=True)
        if new or ended
    ]
    alt = lang.say(
        "A column a week, with the number of blocks. Weeks with changes: {weeks}.",
        weeks=Markup("; ").join(changed),
    )
    return draw_figure(Markup(drawn), alt, reading, key, lang.say("Blocks, week by week"))


def _choose_lines(most: int) -> list[int]:
    """Return round numbers up to ``most`` for an axis, 0 first."""
    steps = (factor * 10**power for power in range(len(str(most))) for factor in (1, 2, 5))
    step = next(step for step in steps if most // step <= _MOST_LINES)
    return list(range(0, most + 1, step))
