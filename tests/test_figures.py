"""Figures: they draw what the frame says, whatever strings are in it, or say that it is empty."""

import re
import warnings
from collections.abc import Callable
from datetime import date
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.pages import plots
from analysis.pages.html_tables import draw_coverage, draw_methods
from analysis.pages.rendering import inline_svg
from analysis.pages.show import figure_bytes
from analysis.pages.tracks import Bar, Mark, Row, draw_counts, draw_tracks, span_bars
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report.finding_words import draw_timeline, mark_events

WORDS = {"title": "A finding with $\\frac{", "footer": "Source: $x. n = 3"}
READ = {"title": "A finding <b>", "alt": 'seen: "<b>"', "reading": "Each <b>"}
EVIL = ["$\\frac{", "$$", "ok\u202e\x00\n", "ខ្មែរ", "<script>", "x" * 300, "_^\\"]


def _frames() -> dict[str, tuple[Callable[..., Figure], pd.DataFrame]]:
    """Each function with a frame whose every name is hostile."""
    count = range(len(EVIL))
    months = pd.DataFrame({
        "month": ["2023-07", "2023-09"], "ok_count": [5, 6], "anomaly_count": [1, 0],
        "confirmed_count": [None, None], "failure_count": [0, 2],
    })  # fmt: skip
    intervals = pd.DataFrame({
        "domain": EVIL, "network": EVIL, "state": ["blocked", "likely_blocked", *EVIL[2:]],
        "blocked_from": "2023-07-17", "blocked_until": [None, *["2023-08-01"] * 6],
        "last_seen_open": [None, "2023-07-01", *[None] * 5], "first_seen_open_again": None,
    })  # fmt: skip
    return {
        "results_by_month": (plots.results_by_month, months),
        "session_series": (
            lambda frame, **named: plots.session_series(
                frame, intervals.iloc[:2].fillna(""), since=date(2023, 7, 1),
                until=date(2023, 9, 1), **named,
            ),
            pd.DataFrame({"day": ["2023-07-17", "2023-08-31"], "blocked_session_count": [1, 0],
                          "ok_session_count": [0, 9], "down_session_count": [0, 1],
                          "unclear_session_count": [2, 0]}),
        ),
        "thresholds_swept": (
            plots.thresholds_swept,
            pd.DataFrame({"threshold": EVIL, "value": 0.5, "is_standing": True,
                          "blocked_pair_count": [*count]}),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", _frames())
def test_hostile_names_are_drawn_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is read as mathematics, none draws a warning, and nobody's settings matter."""
    draw, frame = _frames()[name]
    before = frame.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of whatever the collector finds just now
        first = figure_bytes(draw(frame, **WORDS), "svg")
        monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)
        monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "red")
        assert figure_bytes(draw(frame, **WORDS), "svg") == first
    pd.testing.assert_frame_equal(frame, before)
    # A report on a country without a block is still a report.
    for empty in (frame.iloc[:0], pd.DataFrame()):
        texts = [text.get_text() for text in draw(empty, **WORDS).findobj(Text)]
        assert "Nothing to show: no rows." in texts


def test_coverage_shows_absence_as_absence() -> None:
    """A network without tests in a month has an empty cell, not a zero, and a month without tests
    keeps its place; the more, the darker, with all digits of what is cut."""
    frame = pd.DataFrame({
        "month": ["2023-07", "2023-09", "2023-09"], "network": ["A", "A", "B"],
        "measurement_count": [12345, 7, 987],
    })  # fmt: skip
    html = str(draw_coverage(frame, **READ))
    heads = re.findall('<th scope="col"[^>]*>(.*?)</th>', html)
    assert heads == ["Network", "2023-07", "2023-08", "2023-09", "Measurements"]
    cells = re.findall("<td[^>]*>.*?</td>", html)
    assert cells == [
        '<td class="s8" title="12,345">12k</td>', "<td></td>", '<td class="s1">7</td>',
        '<td class="number">12,352</td>',
        "<td></td>", "<td></td>", '<td class="s2">987</td>', '<td class="number">987</td>',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("draw", "named"),
    [(draw_coverage, {"month": "2023-07", "measurement_count": range(len(EVIL))}),
     (draw_methods, {"mechanism": EVIL, "domain_count": 1})],
    ids=["coverage", "methods"],
)  # fmt: skip
def test_a_grid_holds_every_name_and_none_acts(
    draw: Callable[..., Markup], named: dict[str, Any]
) -> None:
    """Names are text that can be searched; without rows it says so."""
    frame = pd.DataFrame({"network": EVIL}).assign(**named)
    html = str(draw(frame, **READ))
    assert html == str(draw(frame.sample(frac=1, random_state=1), **READ))
    assert not re.search("<script>|\u202e", html)
    assert "ខ្មែរ" in html
    assert "No rows." in draw(frame.iloc[:0], **READ)


def test_a_figure_on_a_page_is_text_and_its_ids_are_its_own() -> None:
    """Names in it can be searched and stay text; two figures of a page share no id, and each finds
    its own parts; no style of one holds for the page."""
    frame = pd.DataFrame({
        "month": ["2023-07"], "ok_count": [5], "anomaly_count": [2], "confirmed_count": [1],
        "failure_count": [1],
    })  # fmt: skip
    title = '<script>"a" & b</script> url(#x)'
    svg = figure_bytes(plots.results_by_month(frame, title=title, footer="n"), "svg").decode()
    one, two = (inline_svg(svg, 'seen: "<b>"', caption) for caption in ("One", "Two"))
    ids, others = (set(re.findall(r' id="([^"]+)"', text)) for text in (one, two))
    used = re.findall(r'url\(#(f[^)]+)\)|href="#([^"]+)"', one)
    assert {first or second for first, second in used} == ids
    assert not ids & others
    colours, kept = (set(re.findall(r' fill="(#[^"]+)"', text)) for text in (svg, one))
    assert kept == colours != set()  # of hatches
    assert '&lt;script&gt;"a" &amp; b&lt;/script&gt; url(#x)</text>' in one
    assert 'aria-label="seen: &quot;&lt;b&gt;&quot;"' in one
    assert not re.search("<style|<script|<metadata|<!DOCTYPE|<\\?xml", one)


# Bars and time axes ------------------------------------------------------------------------------

JULY = Period.parse("2023-07-01", "2023-08-01")
HEADS = ("Site", "Time", "Networks")
NASTY = '<b onclick="x">&\u202e'


def _span(first: str, last: str, before: str, after: str) -> dict[str, str]:
    days = {"blocked_from": first, "blocked_until": last, "last_seen_open": before}
    return {**days, "first_seen_open_again": after, "state": "blocked"}


def test_a_bar_holds_both_its_days() -> None:
    """A dotted line leads to the nearest test that reached the site; to the edge without one."""
    for span, bars in (
        (_span("2023-07-10", "", "", ""), [("unknown", 0, 9), ("blocked", 9, 31)]),
        (_span("2023-07-20", "2023-07-25", "2023-07-12", ""),
         [("unknown", 11, 19), ("blocked", 19, 25), ("edge", 11, 11), ("unknown", 25, 31)]),
        (_span("2023-07-01", "2023-07-31", "", "2023-08-04"),
         [("blocked", 0, 31), ("edge", 31, 31)]),
    ):  # fmt: skip
        drawn = [
            (bar.look, round(31 * bar.start), round(31 * bar.end)) for bar in span_bars(span, JULY)
        ]
        assert drawn == bars


def test_events_that_are_close_stand_under_each_other() -> None:
    days = [date(2023, 7, 1), date(2023, 7, 2), date(2023, 7, 3), date(2023, 7, 20)]
    assert [mark.level for mark in mark_events([(day, "") for day in days], JULY)] == [0, 1, 2, 0]


def test_no_text_acts_and_every_name_is_there() -> None:
    """Labels, words, notes and axes are escaped; a count of nought has no bar."""
    row = Row(NASTY, (Bar(0.25, 0.5), Bar(0.1, 0.1, "edge")), NASTY, NASTY)
    tracks = draw_tracks([row], (NASTY, NASTY, NASTY), [Mark(0, NASTY)], [Mark(0.5, NASTY)])
    assert not re.search('<b|onclick="|\u202e', tracks)
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
    assert ("An &lt;order&gt;" in html, "<order>" in html) == (True, False)
