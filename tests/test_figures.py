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
from analysis.pages import plots as series
from analysis.pages.grids import draw_coverage, draw_methods
from analysis.pages.rendering import inline_svg
from analysis.pages.show import figure_bytes

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
            lambda frame, **named: series.session_series(
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


@pytest.mark.parametrize("name", _frames())
def test_an_empty_frame_says_so(name: str) -> None:
    """A report on a country without a block is still a report."""
    draw, frame = _frames()[name]
    for empty in (frame.iloc[:0], pd.DataFrame()):
        assert "Nothing to show: no rows." in _texts(draw(empty, **WORDS))


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
    assert "<script>" not in html
    assert "\u202e" not in html
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
    assert one == inline_svg(svg, 'seen: "<b>"', "One")
    ids = [re.findall(r' id="([^"]+)"', text) for text in (one, two)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    used = re.findall(r'url\(#(f[^)]+)\)|href="#([^"]+)"', one)
    assert {first or second for first, second in used} == set(ids[0])
    colours = [set(re.findall(r' fill="(#[^"]+)"', text)) for text in (svg, one)]
    assert colours[0]  # of hatches
    assert colours[1] == colours[0]
    assert '&lt;script&gt;"a" &amp; b&lt;/script&gt; url(#x)</text>' in one
    assert 'aria-label="seen: &quot;&lt;b&gt;&quot;"' in one
    assert not re.search("<style|<script|<metadata|<!DOCTYPE|<\\?xml", one)


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]
