"""Figures: they draw what the frame says, whatever strings are in it, or say that it is empty."""

import warnings
from collections.abc import Callable
from datetime import date

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.display import bars, grids, series, timeline
from analysis.display.show import figure_bytes
from analysis.reference.events import Event

WORDS = {"title": "A finding with $\\frac{", "footer": "Source: $x. n = 3"}
EVIL = ["$\\frac{", "$$", "ok\u202e\x00\n", "ខ្មែរ", "<script>", "x" * 300, "_^\\"]


def _frames() -> dict[str, tuple[Callable[..., Figure], pd.DataFrame]]:
    """Each function with a frame whose every name is hostile."""
    count = range(len(EVIL))
    asns = [f"AS{i + 1}" for i in count]
    names = dict(zip(asns, EVIL, strict=True))
    months = pd.DataFrame({
        "month": ["2023-07", "2023-09"], "ok_count": [5, 6], "anomaly_count": [1, 0],
        "confirmed_count": [None, None], "failure_count": [0, 2],
    })  # fmt: skip
    tested = pd.DataFrame({"network": EVIL, "probe_asn": asns, "domain_count": 900})
    blocked = tested.assign(
        blocked_domain_count=[*count], category=EVIL, mechanisms=EVIL, rank=[*count],
    )  # fmt: skip
    intervals = pd.DataFrame({
        "domain": EVIL, "network": EVIL, "state": ["blocked", "likely_blocked", *EVIL[2:]],
        "blocked_from": "2023-07-17", "blocked_until": [None, *["2023-08-01"] * 6],
        "last_seen_open": [None, "2023-07-01", *[None] * 5], "first_seen_open_again": None,
    })  # fmt: skip
    states = ["blocked", "likely_blocked", "impaired", "down", "ok", "insufficient", "odd"]
    pairs = pd.DataFrame({"domain": EVIL, "probe_asn": asns, "state": states})
    return {
        "results_by_month": (bars.results_by_month, months),
        "coverage": (grids.coverage, tested.assign(month="2023-07", measurement_count=[*count])),
        "methods_by_network": (grids.methods_by_network, tested.assign(mechanism=EVIL)),
        "site_by_network": (
            lambda frame, **named: grids.site_by_network(frame, names, **named),
            pairs,
        ),
        "blocked_by_category": (bars.blocked_by_category, blocked),
        "semester_changes": (
            bars.semester_changes, pd.DataFrame({"change": ["mixed"], "count": [1]}),
        ),
        "networks_ranked": (bars.networks_ranked, blocked),
        "blocking_timeline": (timeline.blocking_timeline, intervals),
        "session_series": (
            lambda frame, **named: series.session_series(
                frame, intervals.iloc[:2].fillna(""), since=date(2023, 7, 1),
                until=date(2023, 9, 1), **named,
            ),
            pd.DataFrame({"day": ["2023-07-17", "2023-08-31"], "blocked_session_count": [1, 0],
                          "ok_session_count": [0, 9], "down_session_count": [0, 1],
                          "unclear_session_count": [2, 0]}),
        ),
        "methods_compared": (
            lambda frame, **named: bars.methods_compared(
                frame, dict(zip(asns, EVIL, strict=True)), **named
            ),
            pd.DataFrame({asn: [place % 2 == 0, place % 3 == 0] for place, asn in enumerate(asns)}),
        ),
        "thresholds_swept": (
            bars.thresholds_swept,
            pd.DataFrame({"threshold": EVIL, "value": 0.5, "is_used": True,
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


def test_a_month_without_measurements_keeps_its_place() -> None:
    """Between July and September stands August, without a bar; absent lists have no colour."""
    draw, frame = _frames()["results_by_month"]
    figure = draw(frame, **WORDS)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Jul\n2023", "Aug", "Sep"]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [[5, 0, 6], [1, 0, 0], [0, 0, 2]]
    assert "Confirmed" not in _texts(figure)


def test_coverage_shows_absence_as_absence() -> None:
    """A network without tests in a month has an empty cell, not a zero."""
    frame = pd.DataFrame({
        "month": ["2023-07", "2023-09", "2023-09"], "network": ["A", "A", "B"],
        "measurement_count": [12345, 7, 987],
    })  # fmt: skip
    figure = grids.coverage(frame, **WORDS)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["12k", "7", "987"]
    colours = axes.collections[0].get_array()
    assert colours is not None
    assert np.ma.getmaskarray(colours).ravel().tolist() == [False, True, False, True, True, False]


def test_matrix_shows_the_most_blocked_and_says_how_many_it_left_out() -> None:
    """Sixty sites at most; the footer counts the rest."""
    frame = pd.DataFrame({
        "domain": [f"s{i:02}" for i in range(70)], "probe_asn": "AS1",
        "state": ["ok"] * 69 + ["blocked"], "period": "all",
    })  # fmt: skip
    other = frame.assign(period="first", state="blocked")
    figure = grids.site_by_network(pd.concat([frame, other]), {}, **WORDS)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["s69", "s00"]
    assert len(labels) == 60
    assert any("The first 60 of 70 sites are shown." in text for text in _texts(figure))


def test_timeline_ends_are_open_where_the_day_is_unknown() -> None:
    """A bar to the end where the block goes on; an arrow where no open day was seen."""
    frame = pd.DataFrame({
        "domain": ["a", "b"], "network": ["N", "N"], "blocked_from": ["2023-07-10", "2023-07-20"],
        "blocked_until": ["", "2023-07-25"], "last_seen_open": ["", "2023-07-12"],
        "first_seen_open_again": ["", ""],
    })  # fmt: skip
    figure = timeline.blocking_timeline(
        frame, since=date(2023, 7, 1), until=date(2023, 8, 1), **WORDS
    )
    axes = figure.axes[0]
    spans = [bar.get_width() for bars in axes.containers for bar in bars]
    assert spans == [22, 6]  # to the end of July; both days of the bracket included
    assert [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">", "|")] == [
        "<", "|", ">",
    ]  # fmt: skip


def test_timeline_has_a_vertical_for_each_event_at_its_day() -> None:
    """Numbers that would touch stand in different rows; what lies outside the axis is left out;
    titles are drawn as they are, cut where they are long."""
    frame = pd.DataFrame({
        "domain": ["a", "b"], "network_count": [1, 3], "blocked_from": ["2023-07-10", "2024-02-02"],
    })  # fmt: skip
    days = [date(2023, 6, 30), date(2023, 7, 1), date(2023, 7, 2), date(2024, 2, 25),
            date(2024, 7, 1)]  # fmt: skip
    titles = ["before", *EVIL[:1], "W" * 120, "Senate <b>", "after"]
    events = [
        Event(day, title, "other", "https://a.org/")
        for day, title in zip(days, titles, strict=True)
    ]
    period = {"since": date(2023, 7, 1), "until": date(2024, 7, 1)}
    figure = timeline.blocking_timeline(frame, events=events, **period, **WORDS)
    axes = figure.axes[0]
    uprights = [line.get_xdata() for line in axes.lines if list(line.get_ydata()) == [0, 1]]
    assert [x[0] for x in uprights] == days[1:4]
    numbers = [text for text in axes.texts if text.get_text() in ("1", "2", "3", "4", "5")]
    assert [text.get_text() for text in numbers] == ["2", "3", "4"]
    heights = [text.get_position()[1] for text in numbers]
    assert heights[0] == heights[2] < heights[1]
    key = next(text.get_text() for text in axes.texts if "Senate" in text.get_text()).split("\n")
    assert key[0] == "2  2023-07-01  $\\frac{"
    assert key[1].startswith("3  2023-07-02  WWW")
    assert key[1].endswith("W…")
    assert key[2] == "4  2024-02-25  Senate <b>"
    svg = figure_bytes(figure, "svg")
    again = timeline.blocking_timeline(frame, events=events, **period, **WORDS)
    assert figure_bytes(again, "svg") == svg
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["a  1 network", "b  3 networks"]


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]
