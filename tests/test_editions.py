"""A report in two languages says the same in both: same pages, same ids, same numbers."""

from html import unescape
from pathlib import Path

import pytest

from analysis.languages.language import open_language
from tests.published_pages import PublishedPage

KHMER = "km"


@pytest.fixture(scope="module")
def pairs(fictional_report: Path) -> list[tuple[PublishedPage, PublishedPage]]:
    """Each page in English with the same one in Khmer."""
    folder = fictional_report / KHMER
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.html"))
    assert {Path("index.html"), Path("4-blocked-sites.html"), Path("sites/index.html")} <= {*files}
    english = {
        path.relative_to(fictional_report) for path in (fictional_report / "sites").glob("*.html")
    }
    assert english <= {*files}
    return [
        (PublishedPage(fictional_report / file), PublishedPage(folder / file)) for file in files
    ]


def test_both_languages_have_the_same_ids_and_numbers(pairs) -> None:
    """A number that is marked stands for the same in both, and is the same; so is every other."""
    for english, khmer in pairs:
        assert set(khmer.ids) <= set(english.ids), khmer.path
        assert {number[:2] for number in khmer.numbers} <= {
            number[:2] for number in english.numbers
        }, khmer.path
        if english.path.parent.name == "sites":
            assert khmer.digits == english.digits, khmer.path


def test_a_khmer_page_says_what_it_is(pairs) -> None:
    """Its language, that nobody has reviewed it, and where it stands in English; and back."""
    mark = open_language(KHMER).say(
        "No native reader has reviewed this translation yet. Where it is unclear, the English page "
        "counts."
    )
    for english, khmer in pairs:
        assert khmer.languages[0] == KHMER
        assert english.languages[0] == "en"
        assert mark in khmer.html
        assert mark not in english.html
        for one, other in ((english, khmer), (khmer, english)):
            targets = {(one.path.parent / link).resolve() for link in one.links}
            assert other.path.resolve() in targets


def test_a_khmer_page_is_in_khmer(pairs) -> None:
    """No sentence of ours is left in English, no digit is another than 0 to 9."""
    for _, khmer in pairs:
        assert '<span lang="en">' not in khmer.html, khmer.path
        text = unescape(" ".join(khmer.words))
        assert not [char for char in text if char.isdigit() and not char.isascii()]
        assert set(khmer.languages) <= {KHMER, "en"}
