"""A published report in a browser: silent, accessible, and whole on paper and on a phone.

Every page of the folder is opened from disk, without a network.
"""

import re
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pandas as pd
import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from pypdf import PdfReader

from analysis.hosts import site_file

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: axe's rules whose findings hang on the width: what lies over what, what scrolls, what can be hit.
#: The others look at what is there: the same at any width, as long as no style hides it at some.
OF_THE_LAYOUT = ["color-contrast", "scrollable-region-focusable", "target-size"]
NARROW = r"@media[^{]*width[^{]*\{(?:[^{}]*\{[^{}]*\})*"
_ONE_SHEET = 7  # networks
A4_WIDTH = 695  # CSS pixels between the printed page's margins
A4_HEIGHT = 1039  # the widest tables are printed across
OVERHANG = f"""
() => [...document.querySelectorAll("body *")]
  .filter(one => !one.closest(".unseen, .skip") && one.checkVisibility())
  .filter(one => one.getBoundingClientRect().right >
    (one.closest(".widest") ? {A4_HEIGHT} : {A4_WIDTH}) + 1)
  .map(one => `${{one.tagName}}: ${{one.textContent.slice(0, 60)}}`)
"""


#: Leaves of the rows of each table and the items of each list one of a kind: what elements of what
#: classes it is made of.
ONE_OF_A_KIND = """
() => [
  ...[...document.querySelectorAll("table")].map(one => [...one.tBodies].flatMap(b => [...b.rows])),
  ...[...document.querySelectorAll("ul, ol")].map(one => [...one.children]),
].forEach(alike => {
  const kinds = new Set();
  alike.forEach(one => {
    const kind = [one, ...one.querySelectorAll("*")].map(e => e.tagName + e.className).join();
    if (kinds.has(kind)) one.remove();
    kinds.add(kind);
  });
})
"""


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A running Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def full_site(published_report: Path) -> str:
    """The page of a site that is listed once on each of as many networks as one sheet holds; none
    of a report without sites."""
    table = published_report / "tables" / "blocked_site_networks.csv"
    if not table.is_file():
        return ""
    stretches = pd.read_csv(table)
    counts = stretches.groupby("domain")["probe_asn"].agg(["size", "nunique"])
    full = counts[(counts["size"] == _ONE_SHEET) & (counts["nunique"] == _ONE_SHEET)]
    return site_file(str(full.index[0]))


@pytest.fixture(scope="module")
def pages(published_report: Path, full_site: str) -> list[Path]:
    found = []
    for folder in (published_report, published_report / "km"):
        found += sorted(folder.glob("*.html"))
        of_sites = sorted(folder.glob("sites/*-*.html"), key=lambda page: page.stat().st_size)
        found += [*folder.glob("sites/index.html"), *of_sites[:1], *of_sites[-1:]]
        found += [folder / "sites" / full_site] if full_site else []
    assert (published_report / "index.html") in found
    return found


class _Tab:
    """A tab without a network, which opens one page after the other: a new one takes half a second.

    ``noise`` is what the page that is open asked for or complained about.
    """

    def __init__(self, browser: Any) -> None:
        context = browser.new_context()
        context.set_offline(True)
        self.tab = context.new_page()
        self.noise: list[str] = []
        self._inside: tuple[str, ...] = ()
        self.tab.on(
            "request",
            lambda request: (
                self.noise.append(request.url)
                if not request.url.startswith((*self._inside, "data:"))
                else None
            ),
        )
        self.tab.on("console", lambda message: self.noise.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.noise.append(str(error)))

    def open(self, page: Path, width: int) -> tuple[Any, list[str]]:
        """The page, and what it asked for or complained about, which goes on to grow."""
        # pages of sites share the font of their language; where they link to their twin in another,
        # its name is written in that one's
        fonts = (page.parent.parent / folder / "fonts" for folder in (".", "km"))
        self._inside = (page.parent.as_uri(), *(folder.resolve().as_uri() for folder in fonts))
        self.noise = []
        self.tab.set_viewport_size({"width": width, "height": 900})
        self.tab.goto(page.as_uri(), wait_until="load")
        return self.tab, self.noise

    def close(self) -> None:
        self.tab.context.close()


#: What one page showed, opened once: ``noise``, what it asked for or complained about;
#: ``first_stop`` of a keyboard, its class, whether it is seen, where it leads; ``unreached``, what
#: scrolls and cannot be reached by a keyboard; ``too_wide`` on a screen or a phone; ``overhang``,
#: ``hidden_rows`` and ``shown_on_paper``, code and navigation, on paper; ``pdf`` of a page whose
#: sheets are counted; its ``anchors``, those ``repeated``, its ``links``; what is ``inaccessible``.
Visit = dict[str, Any]


SCROLLING = """
() => [...document.querySelectorAll("main *")]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "auto")
  .filter(e => e.tabIndex !== 0 || !e.ariaLabel).map(e => e.outerHTML.slice(0, 80))
"""
FIRST_STOP = """
() => [document.activeElement.className,
  document.activeElement.getBoundingClientRect().left >= 0, document.activeElement.hash]
"""
SHOWN = """
selector => [...document.querySelectorAll(selector)]
  .filter(e => e.offsetHeight > 0).map(e => e.outerHTML.slice(0, 80))
"""
RUN_AXE = "options => axe.run(document, options)"
WIDTHS = (360, 1200)  # CSS pixels: a phone, a screen


def _visit(opener: _Tab, page: Path, *, is_printed: bool) -> Visit:
    """Look at a page in every way: by keyboard, by its links, as on paper, and with axe."""
    tab, noise = opener.open(page, WIDTHS[0])
    tab.keyboard.press("Tab")
    first_stop = tuple(tab.evaluate(FIRST_STOP))
    tab.keyboard.press("Enter")
    assert tab.evaluate("location.hash") == first_stop[2]
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    found: Visit = {
        "unreached": tab.evaluate(SCROLLING),
        "anchors": set(ids),
        "repeated": sorted(name for name, count in Counter(ids).items() if count > 1),
        "links": tab.evaluate("[...document.links].map(e => e.href)"),
    }
    tab.set_viewport_size({"width": A4_WIDTH, "height": 900})
    tab.emulate_media(media="print")
    rows = "[...document.querySelectorAll('tbody tr:not(.on-screen *)')]"
    found |= {
        "overhang": tab.evaluate(OVERHANG),
        "hidden_rows": tab.evaluate(f"{rows}.filter(e => !e.offsetHeight).length"),
        "shown_on_paper": tab.evaluate(SHOWN, "details.code, nav, summary"),
        "pdf": tab.pdf(prefer_css_page_size=True) if is_printed else b"",
    }
    tab.emulate_media(media="screen")
    too_wide = [f"folded, {width}" for width in WIDTHS if _is_wider(tab, width)]
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    tab.evaluate("document.querySelectorAll('tr.pair').forEach(row => row.classList.add('open'))")
    too_wide += [f"unfolded, {width}" for width in WIDTHS if _is_wider(tab, width)]
    # axe takes time for each element, and what passed need not be listed.
    tab.evaluate(ONE_OF_A_KIND)
    tab.evaluate(Axe().axe_script)
    inaccessible = []
    looks = [(WIDTHS[0], {}), (WIDTHS[1], {"runOnly": OF_THE_LAYOUT})]
    # Another language has the same layout; on a phone it may not fit.
    for width, rules in looks[: 2 if tab.evaluate("document.documentElement.lang") == "en" else 1]:
        tab.set_viewport_size({"width": width, "height": 900})
        result = AxeResults(tab.evaluate(RUN_AXE, {**rules, "resultTypes": ["violations"]}))
        inaccessible += [result.generate_report()] * bool(result.violations_count)
    return {
        "noise": noise,
        "first_stop": first_stop,
        "too_wide": too_wide,
        "inaccessible": inaccessible,
        **found,
    }


def _is_wider(tab: Any, width: int) -> bool:
    tab.set_viewport_size({"width": width, "height": 900})
    return bool(tab.evaluate("document.documentElement.scrollWidth") > width)


@pytest.fixture(scope="module")
def visits(browser: Any, pages: list[Path], full_site: str) -> dict[Path, Visit]:
    """Each page, opened once for all tests; those whose sheets are counted are printed."""
    opener = _Tab(browser)
    found = {page: _visit(opener, page, is_printed=_is_counted(page, full_site)) for page in pages}
    opener.close()
    return found


def _is_counted(page: Path, full_site: str) -> bool:
    return page.name == full_site or (page.name == "index.html" and page.parent.name != "sites")


def test_pages_are_silent_accessible_and_fit(
    visits: dict[Path, Visit], subtests: pytest.Subtests
) -> None:
    """Nothing is asked of a network, nothing is logged, axe finds nothing with everything unfolded,
    and the page never scrolls sideways, on a screen and on a phone."""
    for page, visit in visits.items():
        with subtests.test(page=page.name):
            narrow = "".join(re.findall(NARROW, page.read_text(encoding="utf-8")))
            narrow = re.sub(r"\.annex\.folds[^{]*{[^}]*}", "", narrow)  # rows that open
            assert narrow
            assert not re.search("display: ?none|visibility", narrow)
            for name in ("too_wide", "inaccessible", "repeated", "noise"):
                assert not visit[name], name


def test_pages_are_whole_on_paper(visits: dict[Path, Visit], subtests: pytest.Subtests) -> None:
    """Nothing sticks out of an A4 page, folded rows are printed, code and navigation are not."""
    for page, visit in visits.items():
        with subtests.test(page=page.name):
            for name in ("overhang", "hidden_rows", "shown_on_paper"):
                assert not visit[name], name


def test_a_sheet_holds_a_site_and_two_the_first_page(
    visits: dict[Path, Visit], published_report: Path, full_site: str
) -> None:
    """In each language, of a report with sites; Khmer takes more room for its signs."""
    if not full_site:
        assert not (published_report / "sites").exists()
        return
    sheets = [
        (page.name, len(PdfReader(BytesIO(visit["pdf"])).pages))
        for page, visit in visits.items()
        if _is_counted(page, full_site)
    ]
    assert sorted(sheets) in (
        [("index.html", 2), ("index.html", 3), (full_site, 1), (full_site, khmer_count)]
        for khmer_count in (1, 2)
    )


def test_links_lead_somewhere(visits: dict[Path, Visit]) -> None:
    """Every link within the report has its file and its anchor; of most sites the page was not
    opened, and only read."""
    anchors = {page: visit["anchors"] for page, visit in visits.items()}
    for page, visit in visits.items():
        for target in visit["links"]:
            if target.startswith("file:"):
                address, anchor = urldefrag(target)
                file = Path(unquote(address.removeprefix("file://")))
                assert file.is_file(), (page.name, target)
                if anchor and file not in anchors:
                    anchors[file] = set(re.findall(' id="([^"]+)"', file.read_text("utf-8")))
                assert not anchor or unquote(anchor) in anchors[file], (page.name, target)


def test_a_keyboard_reaches_what_scrolls(visits: dict[Path, Visit]) -> None:
    """The first stop is the skip link, and it leads to the content."""
    for page, visit in visits.items():
        assert visit["first_stop"] == ("skip", True, "#main"), page.name
        assert not visit["unreached"], page.name


def test_a_name_is_found_and_the_annex_is_narrowed_and_sorted(
    browser: Any, fictional_report: Path
) -> None:
    """An address as somebody copies it finds its line; of another name it is said that it was not
    tested. The annex shows the rows that hold what is typed, and the most blocked site first."""
    opener = _Tab(browser)
    tab, noise = opener.open(fictional_report / "sites" / "index.html", 360)
    listed = tab.evaluate("document.querySelector('.names li').dataset.name")
    names = "[...document.querySelectorAll('.names li')].filter(e => !e.hidden)"
    assert len(tab.evaluate(f"{names}.map(e => e.dataset.name)")) > 50
    for typed, first, untested, is_near in (
        (f"https://{listed.upper()}:443/path?query", listed, "", False),
        ("http://nobody.tested.it/", None, "nobody.tested.it was not tested", False),
        (f"https://mobile.{listed}/page", listed, f"mobile.{listed} was not tested", True),
        (f"listed {listed[:6]}", listed, "", False),  # words in any order
        (listed[:4] + "x" + listed[4:], listed, "was not tested", True),  # a letter too many
    ):
        tab.fill("#find", typed)
        shown = tab.evaluate(f"{names}.map(e => e.dataset.name)")
        assert [*shown, None][0] == first
        assert len(shown) < 50
        assert tab.is_visible("#untested") == bool(untested)
        assert untested in tab.inner_text("#untested")
        assert tab.is_visible("#near") == is_near
    tab.fill("#find", "nothing like any")
    assert tab.inner_text("#nothing") == "Nothing found."
    tab.fill("#find", listed)
    tab.press("#find", "Enter")
    tab.wait_for_url(f"**/{site_file(listed)}")
    assert not noise
    tab, noise = opener.open(fictional_report / "4-blocked-sites.html", 1200)
    sites = "[...document.querySelectorAll('.annex tbody')].filter(one => !one.hidden)"
    network = tab.evaluate(f"{sites}[0].rows[1].cells[0].textContent.trim().split(' ')[0]")
    first = tab.evaluate(f"{sites}[0].dataset.name")
    for typed in (first, f"{network} {first}"):
        tab.fill(".annex-filter", typed)
        assert tab.evaluate(f"{sites}.map(one => one.dataset.name)") == [first]
    tab.fill(".annex-filter", "zzz")
    assert tab.inner_text(".annex-count") == "Nothing found."
    tab.fill(".annex-filter", "")
    tab.select_option(".annex-order", "count")
    first = "[...document.querySelector('.annex').tBodies]"
    counts = tab.evaluate(f"{first}.map(one => Number(one.dataset.count))")
    assert counts == sorted(counts, reverse=True)
    assert not noise
    # on a phone a row is a line that opens; where it is wide, all of it is in sight
    of_row = "table.annex tr.pair >> nth=0 >> "
    assert tab.is_visible(of_row + "td >> nth=3")
    assert not tab.is_visible(of_row + ".opens")
    for page in ("4-blocked-sites.html", f"sites/{site_file(listed)}"):
        tab, noise = opener.open(fictional_report / page, 360)
        for is_open in (False, True, False):
            assert tab.is_visible(of_row + "td >> nth=3") == is_open, page
            assert tab.is_visible(of_row + "td >> nth=1"), page
            tab.press(of_row + ".opens", "Enter")
        assert not noise
    opener.close()
