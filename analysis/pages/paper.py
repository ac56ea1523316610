"""Pages of a report → one PDF: numbered, tagged, with an outline and the status on each sheet.

The pages are joined into one document, which is printed once: so its numbers run through, and a
link from one part to another leads there. A link to what is not in the document becomes plain
text: on somebody else's machine it would lead nowhere, and it would name a folder of this one.
"""

import os
import posixpath
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag

from analysis.errors import SourceError

PDF = "report.pdf"
#: What is in it, by file name, in order.
FORM = "feedback.html"
PARTS = ("index.html", "4-blocked-sites.html", "3-semester-comparison.html", FORM)

_BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
#: Attributes that are an id, or name one or several.
_NAMING = ("id", "for", "headers", "aria-labelledby", "aria-describedby", "aria-controls")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DATED = re.compile(rb"/(CreationDate|ModDate) \(D:\d{14}([^)]*)\)")
_ELEMENT = re.compile(rb"\(node(\d{8})\)")
_JOINED = ".joined.html"


def find_browser() -> str:
    """The Chromium that prints.

    WeasyPrint needs no browser, but breaks lines of Khmer at wrong places and draws Latin names
    over them.

    Raises:
        SourceError: there is none.
    """
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise SourceError(
            "a PDF is printed by Chromium, and there is none on this machine (Debian and Ubuntu: "
            "apt install chromium)",
            resumes=False,
        )
    return found


def print_pages(
    folder: Path, fallback: Path, browser: str, day: date, sites: Sequence[str] = ()
) -> Path:
    """Print the pages of a folder into its ``report.pdf``.

    Args:
        folder: of the pages in one language.
        fallback: the report's folder, for a page that this language does not have.
        browser: of :func:`find_browser`.
        day: that the file is dated by; the same pages and day give the same bytes.
        sites: files of pages of sites that are to follow, below the folder.
    """
    from playwright.sync_api import sync_playwright  # of the development environment

    found = {
        name: path
        for name in (*PARTS, *sites)
        for path in (fallback / name, folder / name)  # of both the latter
        if path.is_file()
    }
    joined = folder / _JOINED
    joined.write_text(join_pages(found), encoding="utf-8", newline="\n")
    # root has no sandbox in Chromium; the page can run nothing and reach nothing either way
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser, args=flags)
        tab = running.new_context(java_script_enabled=False, offline=True).new_page()
        tab.goto(joined.as_uri(), wait_until="load")
        printed = tab.pdf(
            prefer_css_page_size=True, print_background=True, tagged=True, outline=True
        )
    joined.unlink()
    (folder / PDF).write_bytes(_same_every_time(printed, day))
    return folder / PDF


def _same_every_time(printed: bytes, day: date) -> bytes:
    """The file without what differs between two runs: when it was made, and where its numbers of
    elements begin. The length of nothing changes, since the file's own index counts bytes."""
    stamp = day.strftime("%Y%m%d000000").encode()
    least = min((int(number) for number in _ELEMENT.findall(printed)), default=0)
    dated = _DATED.sub(rb"/\1 (D:" + stamp + rb"\2)", printed)
    return _ELEMENT.sub(lambda found: b"(node%08d)" % (int(found[1]) - least), dated)


def join_pages(pages: Mapping[str, Path]) -> str:
    """The pages as the parts of one document, each on a new sheet.

    The first gives the head. Ids are made different, and links between the parts kept.
    """
    soups: dict[str, Any] = {
        name: BeautifulSoup(page.read_bytes(), "html.parser", multi_valued_attributes=None)
        for name, page in pages.items()
    }
    prefixes = {name: f"part{number}-" for number, name in enumerate(soups, start=1)}
    parts = [_part(soup, name, prefixes) for name, soup in soups.items()]
    first = next(iter(soups.values()))
    style = first.new_tag("style")
    style.string = ".part + .part { break-before: page; }"
    first.head.append(style)
    first.body.clear()
    first.body.extend(parts)
    return str(first)


def _part(soup: Any, name: str, prefixes: dict[str, str]) -> Tag:
    """What is printed of a page: its header and its content; of the form also where to send it."""
    for element in soup.select("script, nav, .skip"):
        element.decompose()
    part: Tag = soup.new_tag("section", attrs={"class": "part", "lang": soup.html.get("lang", "")})
    part.extend([soup.header.extract(), soup.main.extract()])
    if name == FORM:
        part.append(soup.footer.extract())
    part["id"] = prefixes[name] + "top"
    for each in part.find_all(True):
        _rename(each, name, prefixes)
    return part


def _rename(element: Tag, name: str, prefixes: dict[str, str]) -> None:
    own = prefixes[name]
    for attribute, value in list(element.attrs.items()):
        text = str(value)
        if attribute in _NAMING:
            element[attribute] = " ".join(own + word for word in text.split())
        elif attribute in ("href", "xlink:href"):
            del element[attribute]
            if target := _target(text, name, prefixes):
                element[attribute] = target
        elif "url(#" in text:
            element[attribute] = _REFERENCE.sub(rf"url(#{own}\1)", text)


def _target(link: str, name: str, prefixes: dict[str, str]) -> str | None:
    """Where a link leads in the document; None where that is not in it."""
    if link.startswith(("https://", "data:")):
        return link
    file, _, anchor = link.partition("#")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(name), file)) if file else name
    return f"#{prefixes[file]}{anchor or 'top'}" if file in prefixes else None
