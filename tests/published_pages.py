"""A published page as a test reads it: what is marked in it, where it leads, and what it says."""

import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path


class PublishedPage(HTMLParser):
    """A page, read.

    Attributes:
        ids: of its elements, in order.
        numbers: name, value and text of each number that is marked.
        links: where it leads.
        languages: of the page, and of its parts.
        tables: the rows of its tables, by what stands in their captions before a dash.
        words: the texts of its main part.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.html = path, path.read_text(encoding="utf-8")
        self.ids: list[str] = []
        self.numbers: list[tuple[str, str, str]] = []
        self.links: list[str] = []
        self.languages: list[str] = []
        self.tables: dict[str, list[list[str]]] = defaultdict(list)
        self.words: list[str] = []
        self._number: tuple[str, str] | None = None
        self._caption: str | None = None
        self._is_main, self._text = False, ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for found, name in ((self.ids, "id"), (self.languages, "lang")):
            found += [given[name]] if name in given else []
        if tag == "a":
            self.links += [given["href"]] if "href" in given else []
        elif tag == "main":
            self._is_main = True
        elif tag == "data":
            self._number, self._text = (given["data-key"], given["value"]), ""
        elif tag in ("caption", "th", "td"):
            self._text = ""
        elif tag == "tr" and self._caption:
            self.tables[self._caption].append([])

    def handle_data(self, data: str) -> None:
        self._text += data
        if self._is_main:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "main":
            self._is_main = False
        elif tag == "data" and self._number:
            self.numbers.append((*self._number, self._text.strip()))
        elif tag == "table":
            self._caption = None
        elif tag == "caption":
            self._caption = self._text.partition(" – ")[0]
        elif tag in ("th", "td") and self._caption and self.tables[self._caption]:
            self.tables[self._caption][-1].append(self._text.strip())

    @property
    def digits(self) -> list[str]:
        """The numbers in its text, dates among them, whatever their order."""
        return sorted(re.findall(r"\d[\d,.]*\d|\d", " ".join(self.words)))
