"""How a probe compares the page that it got with the page that the control got (ts-017)."""

from dataclasses import dataclass
from functools import lru_cache

from analysis.worlds.served_pages import Headers, Page

#: Headers that say nothing about which site answered.
_COMMON = {
    "accept-ranges", "age", "cache-control", "connection", "content-encoding", "content-length",
    "content-type", "date", "etag", "expires", "last-modified", "location", "pragma", "server",
    "set-cookie", "transfer-encoding", "vary", "via",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """The probe's five numbers; None where there is nothing to compare."""

    body_proportion: float = 0
    body_length_match: bool | None = None
    headers_match: bool | None = None
    status_code_match: bool | None = None
    title_match: bool | None = None

    @property
    def is_same_page(self) -> bool:
        """Equal status and at least one other likeness."""
        likeness = self.body_length_match or self.headers_match or self.title_match
        return bool(self.status_code_match) and bool(likeness)


NOTHING = Comparison()


@lru_cache(maxsize=8192)
def compare(seen: Page, control: Page) -> Comparison:
    """Compare two final pages."""
    longest = max(seen.length, control.length)
    proportion = min(seen.length, control.length) / longest if longest else 1.0
    return Comparison(
        body_proportion=proportion,
        body_length_match=proportion > 0.7,
        headers_match=_same_headers(seen.headers, control.headers),
        status_code_match=seen.code == control.code,
        title_match=_same_title(seen.title, control.title),
    )


def _same_headers(seen: Headers, control: Headers) -> bool:
    ours = {name.lower() for name, _ in seen}
    theirs = {name.lower() for name, _ in control}
    return ours == theirs or bool((ours & theirs) - _COMMON)


def _same_title(seen: str, control: str) -> bool | None:
    if not seen or not control:
        return None
    words = {word for word in control.lower().split() if len(word) > 4}
    long_words = [word for word in seen.lower().split() if len(word) > 4]
    return any(word in words for word in long_words)
