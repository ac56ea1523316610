"""Where the name of a site leads: to its page, to its line in the index, or nowhere.

A page that names a site cannot know which sites will have a page: notebooks run side by side. So
each name leads to the page that it would have, and once all pages are there this puts it right.
"""

import re
from collections.abc import Callable, Collection
from pathlib import Path

_FOLDER, _INDEX = "sites", "index.html"
_LINK = re.compile(
    r'<a class="site" href="((?:\.\./)*)sites/([^"/]+?-([0-9a-f]{8})\.html)">(.*?)</a>', re.DOTALL
)
_LINE = re.compile(r'<li id="(s-[0-9a-f]{8})"')


def lead_to_sites(report: Path) -> None:
    """Put right every link to a site, in each language of a report.

    Args:
        report: its folder; the pages of sites lie in ``sites/`` of it and of its languages.
    """
    for folder in (report, *(path.parent for path in sorted(report.glob("*/sites")))):
        _lead_in(folder)


def _lead_in(folder: Path) -> None:
    """The links of the pages beside one ``sites/``."""
    sites = folder / _FOLDER
    files = {path.name for path in sites.glob("*.html")}
    index = sites / _INDEX
    lines = set(_LINE.findall(index.read_text(encoding="utf-8"))) if index.is_file() else set()
    lead = _leading(files, lines)
    for path in sorted(folder.glob("*.html")):
        before = path.read_text(encoding="utf-8")
        after = _LINK.sub(lead, before)
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")


def _leading(files: Collection[str], lines: Collection[str]) -> Callable[[re.Match[str]], str]:
    """What stands for a link: itself, one to the index, or the bare name."""

    def lead(link: re.Match[str]) -> str:
        root, file, digest, name = link.groups()
        if file in files:
            return link[0]
        if _INDEX not in files:
            return name
        line = f"#s-{digest}" if f"s-{digest}" in lines else ""
        return f'<a class="site" href="{root}{_FOLDER}/{_INDEX}{line}">{name}</a>'

    return lead
