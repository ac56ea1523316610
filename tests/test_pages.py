"""What pages show: right words for every kind of value, and nothing that acts as markup."""

import csv
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import date

import matplotlib as mpl
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from matplotlib.text import Text
from traitlets.config import Config

from analysis.pages import plots, show
from analysis.pages.formats import PUBLISHING, cell, column_kind, percent
from analysis.pages.html_tables import (
    MOST_NETWORKS,
    ordered_matrix,
)
from analysis.pages.tracks import Bar, Mark, Row, draw_tracks, span_bars
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report.finding_words import draw_timeline
from analysis.vocabulary import STATES

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    "</td></table><h1>free</h1>",
    "<!-- ",
    "&lt;b&gt;",
    "javascript:alert(1)",
    "https://explorer.ooni.org/\" onclick='x",
    "a\u202egnp.exe\x00",
    "=cmd|'/c calc'!A1",
    "x" * 5000,
]


@pytest.fixture(autouse=True, scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The shell of a notebook, without which nothing is displayed."""
    options = Config()
    options.HistoryManager.enabled = False
    options.InteractiveShell.ipython_dir = str(tmp_path_factory.mktemp("ipython"))
    InteractiveShell.instance(config=options)
    shown(lambda: show.show_text("the style goes along with what is shown first"))
    yield
    InteractiveShell.clear_instance()


class _Elements:
    """Elements and attributes as a browser would see them."""

    def __init__(self, html: str) -> None:
        soup = BeautifulSoup(html, "html.parser", multi_valued_attributes=None)
        self.elements = {one.name for one in soup.find_all(True)}
        self.attributes = {item for one in soup.find_all(True) for item in one.attrs.items()}
        self.text = soup.get_text()


def shown(call: Callable[[], object]) -> str:
    """The HTML that a call displays; the call itself returns nothing."""
    with capture_output() as captured:
        assert call() is None
    assert captured.outputs
    return "".join(output.data["text/html"] for output in captured.outputs)


def _everything(text: str) -> Iterator[Callable[[], object]]:
    columns = ["domain", "state", "networks", "witness_url", "blocked_from", "is_local", "note"]
    table = pd.DataFrame({name: [text] for name in [*columns, "probe_asn", "blocked_share"]})
    table[text] = text
    yield lambda: show.show_table(table, caption=text, note=text)
    yield lambda: show.show_table(table.iloc[:0], caption=text, note=text)
    pairs = pd.DataFrame({"domain": [text], "probe_asn": [text], "state": [text]})
    yield lambda: show.show_matrix(pairs, caption=text, names={text: text}, note=text)
    yield lambda: show.show_finding("a-claim", text, text, text, text)
    yield lambda: show.show_text(text)
    yield lambda: show.show_provenance({text: [text, {text: text}], "b": {text: text}})
    yield lambda: show.show_parameters({text: text}, {text: text})


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_string_acts_as_markup(text: str) -> None:
    """The elements and attributes of a display do not depend on the strings in it."""
    for hostile, plain in zip(_everything(text), _everything("plain"), strict=True):
        found, expected = _Elements(shown(hostile)), _Elements(shown(plain))
        assert found.elements <= expected.elements | {"a"}
        assert {name for name, _ in found.attributes} <= {
            name for name, _ in expected.attributes
        } | {"title", "href", "rel"}
        targets = [value for name, value in found.attributes if name == "href"]
        assert all(target.startswith("https://") for target in targets)
        assert not {"\u202e", "\x00"} & set(found.text)


_VALUES = [
    ("measurement_count", 1234567, "1,234,567"),
    ("measurement_count", 12.0, "12"),  # a column with a gap is read as float
    ("measurement_count", float("nan"), "–"),
    ("blocked_share", 0.97125, "97.1 %"),
    ("blocked_share", None, "–"),
    ("probe_asn", 38901, "AS38901"),
    ("probe_asn", "AS38901", "AS38901"),
    ("blocked_from", date(2023, 7, 17), "2023-07-17"),
    ("blocked_from", pd.Timestamp("2023-07-17"), "2023-07-17"),
    ("blocked_until", "", "–"),
    ("is_local", True, "yes"),
    ("is_local", "false", "no"),
    ("state", "likely_blocked", " Likely blocked"),
    ("state", "insufficient", " No conclusion"),
    ("mechanisms", "dns.sinkhole;tls.reset", "DNS: sinkhole address, TLS: reset"),
    ("change", "newly_blocked", "Newly blocked"),
    ("witness_url", "https://explorer.ooni.org/m/1", "measurement"),
    ("witness_url", "http://elsewhere/", "http://elsewhere/"),
    ("source_url", "https://news.example/a/b?c", "news.example"),
    ("source_url", "invented", "invented"),
    ("median_days", 3.5, "3.5"),
    ("value", 0.001, "0.001"),
    ("value", 0.0000015, "0.0000015"),
    ("chance", 0.015, "1 in 66"),
    ("chance", 0.001, "1 in 1,000"),
    ("chance", float("nan"), "–"),
]


def test_values_read_as_what_they_are() -> None:
    """A column's kind follows from the contract's names, else from its type. Rounding must not turn
    "nearly all" into "all"."""
    for column, value, text in _VALUES:
        kind = column_kind(column, pd.Series([value]))
        assert _Elements(cell(column, kind, value)).text == text, (column, value)
    shares = {0: "0 %", 1: "100 %", 0.0001: "< 0.1 %", 0.99999: "> 99.9 %", 0.5: "50.0 %"}
    assert {share: percent(share) for share in shares} == shares


def test_a_matrix_shows_the_networks_of_which_most_is_known() -> None:
    """Two thousand made-up networks, a measurement each, made a page of 10 MB."""
    made_up = [("s0", 4_200_000_000 + n, "insufficient") for n in range(2_000)]
    real = [(f"s{i}", 64_500 + n, "ok") for i in range(5) for n in range(MOST_NETWORKS - 1)]
    pairs = pd.DataFrame(
        [*made_up, *real, ("s1", 65_551, "blocked")], columns=["domain", "probe_asn", "state"]
    )
    matrix = shown(lambda: show.show_matrix(pairs, caption="Matrix"))
    heads = [asn for asn in pairs["probe_asn"].unique() if f"AS{asn}<" in matrix]
    assert heads == [*range(64_500, 64_500 + MOST_NETWORKS - 1), 65_551]
    assert "has the rows of 2,000 more networks" in matrix
    few = shown(lambda: show.show_matrix(pairs[pairs["probe_asn"] < 65_552], caption="Matrix"))
    assert "more networks" not in few


def test_matrix_says_every_cell_in_words() -> None:
    """Blocks gather at the top left; an untested pair says so, and is not called reachable."""
    frame = pd.DataFrame(
        [
            ("open", 1, "ok", ""),
            ("open", 2, "insufficient", "mixed"),
            ("shut", 2, "blocked", ""),
            ("thin", 2, "insufficient", "few_sessions"),
        ],
        columns=["domain", "probe_asn", "state", "insufficient_reason"],
    )
    html = shown(lambda: show.show_matrix(frame, caption="Matrix", names={2: "Two"}))
    assert list(ordered_matrix(frame)) == [2, 1]
    assert html.index(">shut<") < html.index(">open<")
    for words in (
        "Blocked",
        "Reachable",
        "Not enough tests: too few sessions",
        "Tests that disagree",
    ):
        assert html.count(f'title="{words}"') == 1
    assert html.count('title="Not tested"') == 2
    assert "Two (AS2)" in html


def test_states_differ_without_colour() -> None:
    """Every state has words and a mark of its own, in text as in drawing."""
    drawn = [state for state in STATES.values() if state.colour]
    for looks in zip(*((one.mark, one.shape, one.words) for one in drawn), strict=True):
        assert len(set(looks)) == len(drawn) == 7


# --- Figures: they draw what the frame says, whatever strings are in it, or say that it is empty. -

WORDS = {"title": "A finding with $\\frac{", "footer": "Source: $x. n = 3"}
EVIL = ["$\\frac{", "$$", "ok\u202e\x00\n", "ខ្មែរ", "<script>", "x" * 300, "_^\\", "=1+1"]
MONTHS = pd.DataFrame(
    {
        "month": ["2023-07", "2023-09"],
        "ok_count": [5, 6],
        "anomaly_count": [1, 0],
        "confirmed_count": [None, None],
        "failure_count": [0, 2],
    }
)
COUNTS = pd.DataFrame({name: range(len(EVIL)) for name in EVIL}, index=EVIL)


@pytest.mark.parametrize(
    ("draw", "frame"),
    [
        (plots.results_by_month, MONTHS),
        (plots.heat_map, COUNTS),
    ],
    ids=["months", "counts"],
)
def test_hostile_names_are_drawn_as_they_are(
    draw: Callable[..., Figure], frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name is read as mathematics, and nobody's settings matter; the picture has its words."""
    words = {"alt": 'seen: "<b>"', "caption": "<script>"}
    first = shown(lambda: show.show_figure(draw(frame, **WORDS), **words))
    monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "red")
    assert shown(lambda: show.show_figure(draw(frame, **WORDS), **words)) == first
    assert 'alt="seen: &#34;&lt;b&gt;&#34;"' in first
    assert "<script" not in first
    assert "download" not in first
    monkeypatch.setenv(PUBLISHING, "1")
    offered = shown(lambda: show.show_figure(draw(frame, **WORDS), **words))
    assert re.findall('download="script.([a-z]+)"', offered) == ["svg", "png", "csv"]
    content = re.findall('data:text/csv;base64,([^"]+)"', offered)[0]
    cells = [cell for row in csv.reader(b64decode(content).decode().splitlines()) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "\t"))]
    assert len(cells) > 4
    # A report on a country without a block is still a report.
    texts = [text.get_text() for text in draw(frame.iloc[:0], **WORDS).findobj(Text)]
    assert "There is nothing to show." in texts


# Bars and time axes ------------------------------------------------------------------------------

JULY = Period.parse("2023-07-01", "2023-08-01")
NASTY = '<b onclick="x">&\u202e'


def _span(first: str, last: str, before: str, after: str) -> dict[str, str]:
    days = {"blocked_from": first, "blocked_until": last, "last_seen_open": before}
    return {**days, "first_seen_open_again": after, "state": "blocked"}


def test_a_bar_holds_both_its_days() -> None:
    """A dotted line leads to the nearest test that reached the site; to the edge without one."""
    for span, bars in (
        (_span("2023-07-10", "", "", ""), [("unknown", 0, 9), ("blocked", 9, 31)]),
        (
            _span("2023-07-20", "2023-07-25", "2023-07-12", ""),
            [("unknown", 11, 19), ("blocked", 19, 25), ("edge", 11, 11), ("unknown", 25, 31)],
        ),
        (
            _span("2023-07-01", "2023-07-31", "", "2023-08-04"),
            [("blocked", 0, 31), ("edge", 31, 31)],
        ),
    ):
        drawn = [
            (bar.look, round(31 * bar.start), round(31 * bar.end)) for bar in span_bars(span, JULY)
        ]
        assert drawn == bars


def test_no_text_acts_and_every_name_is_there() -> None:
    """Labels, words, notes and axes are escaped."""
    row = Row(NASTY, (Bar(0.25, 0.5), Bar(0.1, 0.1, "edge")), NASTY, NASTY)
    tracks = draw_tracks([row], (NASTY, NASTY, NASTY), [Mark(0, NASTY)], [Mark(0.5, NASTY)])
    assert not re.search('<b|onclick="|\u202e', tracks)
    assert 'x="250.00" y="4" width="250.00"' in tracks


def test_a_long_timeline_is_cut() -> None:
    """Sites on most networks first, and no more than a page can hold."""
    spans = pd.DataFrame(
        [
            {
                "domain": f"s{site:03}.test",
                "network_count": 1 + site % 3,
                **_span("2023-07-10", "2023-07-20", "2023-07-01", ""),
            }
            for site in range(300)
        ]
    )
    events = [Event(date(2023, 7, 9), "An <order>", "order", "invented")]
    html = draw_timeline(spans, JULY, events, "Many sites", "Nowhere")
    assert html.index("s002.test") < html.index("s005.test")
    assert html.count('<th scope="row">') == 100
    assert "Shown are the first 100 of 300." in html
    assert ("An &lt;order&gt;" in html, "<order>" in html) == (True, False)
