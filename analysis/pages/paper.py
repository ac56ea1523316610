"""A PDF of a report: numbered, tagged, with an outline and the status on each sheet.

The pages are joined into one document before printing, so that page numbers run through and links
between the parts work. A link to a page outside the document becomes plain text: it would be
broken on another machine, and would name a folder of this one.
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
#: File names of the pages in it, in order.
FORM = "feedback.html"
PARTS = ("index.html", "4-blocked-sites.html", "3-semester-comparison.html", FORM)

_BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
#: Attributes whose value is an id or a list of ids.
_NAMING = ("id", "for", "headers", "aria-labelledby", "aria-describedby", "aria-controls")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DATED = re.compile(rb"/(CreationDate|ModDate) \(D:\d{14}([^)]*)\)")
_ELEMENT = re.compile(rb"\(node(\d{8})\)")
_JOINED = ".joined.html"


def find_browser() -> str:
    """Return the path of Chromium, which prints the PDF.

    WeasyPrint needs no browser, but breaks lines of Khmer in wrong places and draws Latin names
    over them.

    Raises:
        SourceError: there is none.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise SourceError(
            "a PDF is printed by Chromium, and there is none on this machine (Debian and Ubuntu: "
            "apt install chromium)",
            resumes=False,
        )
    return browser


def print_pages(
    folder: Path, fallback: Path, browser: str, day: date, sites: Sequence[str] = ()
) -> Path:
    """Print the pages of a folder into its ``report.pdf``.

    Args:
        folder: of the pages in one language.
        fallback: the report's folder, for a page that this language does not have.
        browser: of :func:`find_browser`.
        day: the date in the file; the same pages and day give the same bytes.
        sites: files of the pages of sites to append, relative to the folder.
    """
    from playwright.sync_api import sync_playwright  # of the development environment

    pages = {
        name: path
        for name in (*PARTS, *sites)
        for path in (fallback / name, folder / name)  # the latter, if both exist
        if path.is_file()
    }
    joined = folder / _JOINED
    joined.write_text(join_pages(pages), encoding="utf-8", newline="\n")
    # Chromium refuses to run its sandbox as root; scripts and network are off in any case
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
    """Return the file with a fixed date, and with numbers of elements that begin at 0.

    Both differ between two runs. Replacements have the same length as the original, because the
    index in the file counts bytes.
    """
    stamp = day.strftime("%Y%m%d000000").encode()
    least = min((int(number) for number in _ELEMENT.findall(printed)), default=0)
    dated = _DATED.sub(rb"/\1 (D:" + stamp + rb"\2)", printed)
    return _ELEMENT.sub(lambda match: b"(node%08d)" % (int(match[1]) - least), dated)


def join_pages(pages: Mapping[str, Path]) -> str:
    """Return one HTML document with each page as a part on a new sheet.

    It has the head of the first page. Ids get a prefix for each part, and links between the parts
    follow.
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
    """Return the printed part of a page: header and content; of the form also the footer.

    The footer of the form says where to send it.
    """
    for element in soup.select("script, nav, .skip"):
        element.decompose()
    part: Tag = soup.new_tag("section", attrs={"class": "part", "lang": soup.html.get("lang", "")})
    part.extend([soup.header.extract(), soup.main.extract()])
    if name == FORM:
        part.append(soup.footer.extract())
    part["id"] = prefixes[name] + "top"
    for descendant in part.find_all(True):
        _rename(descendant, name, prefixes)
    return part


def _rename(element: Tag, name: str, prefixes: dict[str, str]) -> None:
    """Add the part's prefix to the ids that an element has or refers to."""
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
    """Return the target of a link in the document; None if it is not in the document."""
    if link.startswith(("https://", "data:")):
        return link
    file, _, anchor = link.partition("#")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(name), file)) if file else name
    return f"#{prefixes[file]}{anchor or 'top'}" if file in prefixes else None
