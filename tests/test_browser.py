"""A published report in a browser: silent, accessible, and whole on paper and on a phone.

Every page of the folder is opened from disk, without a network.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest

pytestmark = pytest.mark.timeout(300)  # the first test to ask for a report waits for it

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: axe's rules whose findings hang on the width: what lies over what, what scrolls, what can be hit.
#: The others look at what is there: the same at any width, as long as no style hides it at some.
OF_THE_LAYOUT = ["color-contrast", "scrollable-region-focusable", "target-size"]
NARROW = r"@media[^{]*width[^{]*\{(?:[^{}]*\{[^{}]*\})*"
A4_WIDTH = 673  # CSS pixels between the printed page's margins
A4_HEIGHT = 1001  # the widest tables are printed across
OVERHANG = f"""
() => [...document.querySelectorAll("body *")]
  .filter(one => !one.closest(".unseen, .skip") && one.checkVisibility())
  .filter(one => one.getBoundingClientRect().right >
    (one.closest(".widest") ? {A4_HEIGHT} : {A4_WIDTH}) + 1)
  .map(one => `${{one.tagName}}: ${{one.textContent.slice(0, 60)}}`)
"""


#: Leaves of the rows of each table one of a kind: what elements of what classes it is made of.
ONE_ROW_OF_A_KIND = """
() => document.querySelectorAll("tbody").forEach(body => {
  const kinds = new Set();
  [...body.rows].forEach(row => {
    const kind = [...row.querySelectorAll("*")].map(e => e.tagName + e.className).join();
    if (kinds.has(kind)) row.remove();
    kinds.add(kind);
  });
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium; its absence is a skip, or a failure where the machine promises one."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        missing = "no chromium on this machine"
        if os.environ.get("WORKBOOK_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def pages(published_report: Path) -> list[Path]:
    found = []
    for folder in (published_report, published_report / "km"):
        found += sorted(folder.glob("*.html"))
        of_sites = sorted(folder.glob("sites/*-*.html"), key=lambda page: page.stat().st_size)
        found += [*folder.glob("sites/index.html"), *of_sites[:1], *of_sites[-1:]]
    assert (published_report / "index.html") in found
    return found


def _open(browser: Any, page: Path, width: int, **options: Any) -> tuple[Any, list[str]]:
    """The page, offline, and what it asked for or complained about."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    context.set_offline(True)
    tab = context.new_page()
    noise: list[str] = []
    # pages of sites share the font of their language
    inside = (page.parent.as_uri(), (page.parent.parent / "fonts").as_uri())
    tab.on("request", lambda request: noise.append(request.url)
           if not request.url.startswith((*inside, "data:")) else None)  # fmt: skip
    tab.on("console", lambda message: noise.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: noise.append(str(error)))
    tab.goto(page.as_uri(), wait_until="load")
    return tab, noise


def test_pages_are_silent_accessible_and_fit(
    browser: Any, pages: list[Path], subtests: pytest.Subtests
) -> None:
    """Nothing is asked of a network, nothing is logged, axe finds nothing with everything unfolded,
    and the page never scrolls sideways, on a screen and on a phone."""
    from axe_playwright_python.sync_playwright import Axe

    for page in pages:
        narrow = re.findall(NARROW, page.read_text(encoding="utf-8"))
        assert narrow
        assert not re.search("display|visibility|content|color", "".join(narrow))
        for width, rules in ((360, {}), (1200, {"runOnly": OF_THE_LAYOUT})):
            with subtests.test(page=page.name, width=width):
                tab, noise = _open(browser, page, width)
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
                # axe takes time for each element, and what passed need not be listed.
                tab.evaluate(ONE_ROW_OF_A_KIND)
                found = Axe().run(tab, options={**rules, "resultTypes": ["violations"]})
                assert found.violations_count == 0, found.generate_report()
                assert not noise
                tab.context.close()


def test_pages_are_whole_on_paper(
    browser: Any, pages: list[Path], subtests: pytest.Subtests
) -> None:
    """Nothing sticks out of an A4 page, folded rows are printed, code and navigation are not."""
    for page in pages:
        with subtests.test(page=page.name):
            tab, _ = _open(browser, page, A4_WIDTH)
            tab.emulate_media(media="print")
            assert not tab.evaluate(OVERHANG)
            shown = (
                "selector => [...document.querySelectorAll(selector)].map(e => e.offsetHeight > 0)"
            )
            assert all(tab.evaluate(shown, "tbody tr:not(.on-screen *)"))
            assert not any(tab.evaluate(shown, "details.code, nav, summary"))
            pdf = tab.pdf(prefer_css_page_size=True, tagged=True, outline=True)
            assert pdf.startswith(b"%PDF")
            tab.context.close()


def test_links_lead_somewhere(browser: Any, pages: list[Path]) -> None:
    """Every link within the report has its file and its anchor."""
    anchors, links = {}, []
    for page in pages:
        tab, _ = _open(browser, page, 1200)
        anchors[page] = set(tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)"))
        links += [
            (page, target)
            for target in tab.evaluate("[...document.links].map(e => e.href)")
            if target.startswith("file:")
        ]
        tab.context.close()
    for page, target in links:
        address, anchor = urldefrag(target)
        file = Path(unquote(address.removeprefix("file://")))
        assert file.is_file(), (page.name, target)
        assert not anchor or unquote(anchor) in anchors[file], (page.name, target)


def test_a_keyboard_reaches_what_scrolls(browser: Any, pages: list[Path]) -> None:
    """The first stop is the skip link, and it leads to the content."""
    for page in pages:
        tab, _ = _open(browser, page, 360)
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        tab.keyboard.press("Enter")
        assert tab.evaluate("location.hash") == "#main"
        scrolling = """[...document.querySelectorAll("main *")].filter(e =>
            e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "auto")"""
        assert tab.evaluate(f"{scrolling}.every(e => e.tabIndex === 0 && e.ariaLabel)")
        tab.context.close()


def test_a_name_is_found_and_the_annex_is_narrowed_and_sorted(
    browser: Any, fictional_report: Path
) -> None:
    """An address as somebody copies it finds its line; of another name it is said that it was not
    tested. The annex shows the rows that hold what is typed, and the most blocked site first."""
    tab, noise = _open(browser, fictional_report / "sites" / "index.html", 360)
    listed = tab.evaluate("document.querySelector('.names li').dataset.name")
    shown = "[...document.querySelectorAll('.names li')].filter(one => !one.hidden).length"
    everything = tab.evaluate(shown)
    tab.fill("#find", f"https://{listed.upper()}:443/path?query")
    assert tab.evaluate(shown) < everything
    assert not tab.is_visible("#untested")
    tab.fill("#find", "http://nobody.tested.it/")
    assert tab.evaluate(shown) == 0
    assert "nobody.tested.it was not tested" in tab.inner_text("#untested")
    assert not noise
    tab.context.close()
    tab, noise = _open(browser, fictional_report / "4-blocked-sites.html", 1200)
    sites = "[...document.querySelectorAll('.annex tbody')].filter(one => !one.hidden)"
    tab.fill(".annex-filter", listed)
    assert tab.evaluate(f"{sites}.map(one => one.dataset.name)") == [listed]
    tab.fill(".annex-filter", "")
    tab.select_option(".annex-order", "count")
    counts = tab.evaluate(
        "[...document.querySelector('.annex').tBodies].map(one => Number(one.dataset.count))"
    )
    assert counts == sorted(counts, reverse=True)
    assert not noise
    tab.context.close()
