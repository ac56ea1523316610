"""Time axes of blocks: when each site was blocked, with the known events of the period."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import site_link
from analysis.pages.tracks import (
    Mark,
    Row,
    draw_figure,
    draw_tracks,
    fold_rest,
    month_marks,
    place_of,
    span_bars,
)
from analysis.period import Period
from analysis.reference.events import Event

#: Sites that are shown at once, and those that are folded under them; files have them all.
MOST_ROWS, _MOST_FOLDED = 20, 100
#: Numbers closer than this share of the axis would touch on a phone.
_TOUCHING = 0.1

Span = Mapping[str, Any]


def draw_timeline(
    spans: pd.DataFrame, period: Period, events: Sequence[Event], title: str, source: str
) -> Markup:
    """A line per site, those on most networks first; the rest is folded.

    Args:
        spans: ``confirmation.spans_by_site``.
        period: of the axis.
        events: known ones, in the order of their numbers.
        title: what the figure shows.
        source: country and period, as the foot says them.
    """
    by_site = group_spans(spans.to_dict("records"))
    order = sorted(by_site, key=lambda site: (-by_site[site][0]["network_count"],
                                              by_site[site][0]["blocked_from"], site))  # fmt: skip
    marked = [(event.day, event.title) for event in events]
    shown = _draw(order[:MOST_ROWS], by_site, period, marked)
    rest = order[MOST_ROWS : MOST_ROWS + _MOST_FOLDED]
    if rest:
        others = len(order) - MOST_ROWS
        part = "" if others == len(rest) else f"{len(rest)} of "
        summary = f"Show {part}the other {others} sites"
        shown += fold_rest(_draw(rest, by_site, period, marked), summary)
    words = [f"{site}: {say_spans(ENGLISH, by_site[site])}" for site in order[:MOST_ROWS]]
    dated = [f"{number}, {day}, {event}" for number, (day, event) in enumerate(marked, start=1)]
    events_said = f" Lines mark known events: {'; '.join(dated)}." if dated else ""
    reading = (
        "A bar while the site was seen blocked on at least one access network (half a bar: likely "
        "blocked). The dotted line leads to the nearest test that reached the site, to the edge "
        f"where there was none. Sites that most networks block stand first. Source: OONI, {source}."
    )
    alt = f"A time axis with a line per site. {'; '.join(words)}.{events_said}"
    return draw_figure(shown, alt, reading, number_events(ENGLISH, marked), title)


def _draw(
    sites: Sequence[str],
    by_site: Mapping[str, list[Span]],
    period: Period,
    events: Sequence[tuple[date, str]],
) -> Markup:
    rows = [
        Row(
            site_link(site),
            tuple(bar for span in by_site[site] for bar in span_bars(span, period)),
            say_spans(ENGLISH, by_site[site]),
            f"{by_site[site][0]['network_count']}",
        )
        for site in sites
    ]
    heads = ("Site", "Time", "Networks")
    return draw_tracks(rows, heads, month_marks(ENGLISH, period), mark_events(events, period))


def group_spans(spans: Iterable[Mapping[Any, Any]]) -> dict[str, list[Span]]:
    """The stretches of each site, as they come."""
    by_site: dict[str, list[Span]] = {}
    for span in spans:
        by_site.setdefault(span["domain"], []).append(span)
    return by_site


def mark_events(events: Sequence[tuple[date, str]], period: Period) -> list[Mark]:
    """The number of each event at its day; numbers that would touch stand under each other."""
    marks: list[Mark] = []
    for number, (day, _) in enumerate(events, start=1):
        at = place_of(day, period)
        taken = {mark.level for mark in marks if abs(mark.at - at) < _TOUCHING}
        level = next(level for level in range(len(marks) + 1) if level not in taken)
        marks.append(Mark(at, str(number), level))
    return marks


def number_events(lang: Language, events: Sequence[tuple[date, str]]) -> list[tuple[str, str]]:
    """What each number stands for."""
    return [
        (str(number), lang.html("{day}: {title}", day=day, title=lang.english(title)))
        for number, (day, title) in enumerate(events, start=1)
    ]


def say_spans(lang: Language, spans: Iterable[Span]) -> str:
    """The stretches of a site in words."""
    return "; ".join(_say_span(lang, span) for span in spans)


def _say_span(lang: Language, span: Span) -> str:
    first = date.fromisoformat(span["blocked_from"])
    if not span["blocked_until"]:
        return lang.say("blocked from {first} to the end of the period", first=first)
    last = date.fromisoformat(span["blocked_until"])
    return lang.say("blocked from {first} to {last}", first=first, last=last)
