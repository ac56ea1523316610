"""Bars and time axes of the page itself: where they lie, and that nothing in them acts."""

from datetime import date

import pandas as pd
import pytest

from analysis.pages.tracks import Bar, Mark, Row, draw_counts, draw_tracks, span_bars
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report.timelines import draw_timeline, mark_events

JULY = Period.parse("2023-07-01", "2023-08-01")
HEADS = ("Site", "Time", "Networks")
EVIL = '<b onclick="x">&\u202e'


def _span(first: str, last: str, before: str, after: str) -> dict[str, str]:
    days = {"blocked_from": first, "blocked_until": last, "last_seen_open": before}
    return {**days, "first_seen_open_again": after, "state": "blocked"}


@pytest.mark.parametrize(
    ("span", "bars"),
    [
        (_span("2023-07-10", "", "", ""), [("unknown", 0, 9), ("blocked", 9, 31)]),
        (_span("2023-07-20", "2023-07-25", "2023-07-12", ""),
         [("unknown", 11, 19), ("blocked", 19, 25), ("edge", 11, 11), ("unknown", 25, 31)]),
        (_span("2023-07-01", "2023-07-31", "", "2023-08-04"),
         [("blocked", 0, 31), ("edge", 31, 31)]),
    ],
    ids=["to the end", "open before", "whole period"],
)  # fmt: skip
def test_a_bar_holds_both_its_days(span: dict[str, str], bars: list[tuple[str, int, int]]) -> None:
    """A dotted line leads to the nearest test that reached the site; to the edge without one."""
    drawn = [
        (bar.look, round(31 * bar.start), round(31 * bar.end)) for bar in span_bars(span, JULY)
    ]
    assert drawn == bars


def test_events_that_are_close_stand_under_each_other() -> None:
    days = [date(2023, 7, 1), date(2023, 7, 2), date(2023, 7, 3), date(2023, 7, 20)]
    assert [mark.level for mark in mark_events([(day, "") for day in days], JULY)] == [0, 1, 2, 0]


def test_no_text_acts_and_every_name_is_there() -> None:
    """Labels, words, notes and axes are escaped; a count of nought has no bar."""
    row = Row(EVIL, (Bar(0.25, 0.5), Bar(0.1, 0.1, "edge")), EVIL, EVIL)
    tracks = draw_tracks([row], (EVIL, EVIL, EVIL), [Mark(0, EVIL)], [Mark(0.5, EVIL)])
    assert "<b" not in tracks
    assert 'onclick="' not in tracks
    assert "\u202e" not in tracks
    assert 'x="250.00" y="4" width="250.00"' in tracks
    counts = draw_counts([("a", 4, "4"), ("none", 0, "0")], HEADS)
    assert counts.count("<rect") == 1
    assert "none" in counts


def test_a_long_timeline_is_folded() -> None:
    """Sites on most networks first; the rest is folded, and no more than a page can hold."""
    spans = pd.DataFrame([
        {"domain": f"s{site:03}.test", "network_count": 1 + site % 3,
         **_span("2023-07-10", "2023-07-20", "2023-07-01", "")}
        for site in range(300)
    ])  # fmt: skip
    events = [Event(date(2023, 7, 9), "An <order>", "order", "invented")]
    html = draw_timeline(spans, JULY, events, "Many sites", "Nowhere")
    shown, _, folded = html.partition("<details")
    assert html.index("s002.test") < html.index("s001.test")
    assert [part.count('<th scope="row">') for part in (shown, folded)] == [20, 100]
    assert "Show 100 of the other 280 sites" in folded
    assert "An &lt;order&gt;" in html
    assert "<order>" not in html
