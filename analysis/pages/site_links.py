"""Where the name of a site leads: to its page, to its line in the index, or nowhere.

A page that names a site cannot know which sites will have a page: notebooks run side by side. So
each name leads to the page and the line that it would have, and once the index is there this puts
it right. The index decides, not the file: of two names with one file only one has the page.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

_FOLDER, _INDEX = "sites", "index.html"
_LINK = re.compile(
    r'<a class="site" href="((?:\.\./)*)sites/[^"/#]+\.html#(s-[0-9a-f]{16})">(.*?)</a>', re.DOTALL
)
#: A line of the index; with the page of the site, if it has one.
_LINE = re.compile(r'<li id="(s-[0-9a-f]{16})" data-name="[^"]*">(?:<a href="([^"]+)">)?')


def lead_to_sites(folder: Path) -> None:
    """Put right every link to a site, in each language of a published folder.

    Args:
        folder: the pages of sites lie in ``sites/`` of it and of its languages; without these, the
            names lead nowhere.
    """
    of_languages = {path.parent for path in folder.glob("*/*.html")}
    for each in (folder, *(path for path in sorted(of_languages) if path.name != _FOLDER)):
        _lead_in(each)


def _lead_in(folder: Path) -> None:
    """The links of the pages beside one ``sites/``."""
    index = folder / _FOLDER / _INDEX
    lead = _leading(
        dict(_LINE.findall(index.read_text(encoding="utf-8"))) if index.is_file() else None
    )
    for path in sorted(folder.glob("*.html")):
        before = path.read_text(encoding="utf-8")
        after = _LINK.sub(lead, before)
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")


def _leading(pages: Mapping[str, str] | None) -> Callable[[re.Match[str]], str]:
    """What stands for a link: one to a page, one to the index, or the bare name.

    Args:
        pages: line of the index → file of the site's page, or nothing; None without an index.
    """

    def lead(link: re.Match[str]) -> str:
        root, line, name = link.groups()
        if pages is None:
            return name
        place = pages.get(line) or (f"{_INDEX}#{line}" if line in pages else _INDEX)
        return f'<a class="site" href="{root}{_FOLDER}/{place}">{name}</a>'

    return lead
