"""Sentences in another language: complete, their values in place, and nothing in them acts."""

import re
import runpy
from datetime import date, datetime
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from markupsafe import Markup

from analysis.errors import ContractError, ParameterError
from analysis.languages import language as catalogue
from analysis.languages.language import (
    ENGLISH,
    Language,
    find_misplaced,
    list_translated,
    open_language,
    open_languages,
    read_catalogue,
)
from analysis.period import Period

ROOT = Path(__file__).resolve().parents[1]
HEADER = 'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=1; plural=0;\\n"\n\n'


@pytest.fixture
def khmer(tmp_path, monkeypatch):
    """A language from the entries that a test gives."""
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)

    def make(entries: str) -> Language:
        path = catalogue.catalogue_path("km")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + entries, encoding="utf-8")
        catalogue.open_translations.cache_clear()
        return open_language("km")

    yield make
    catalogue.open_translations.cache_clear()


@pytest.mark.parametrize("code", list_translated())
def test_a_catalogue_holds_the_sentences_of_the_code_and_no_others(code):
    """Whoever writes a sentence runs `make translations`, and a translator sees it."""
    tool = runpy.run_path(str(ROOT / "tools" / "translations.py"))
    written = catalogue.catalogue_path(code).read_bytes()
    assert tool["updated"](code, tool["find_sentences"]()) == written


@pytest.mark.parametrize(("code", "count"), [("id", 1), ("my", 1), ("lo", 1), ("fr", 2), ("ar", 6)])
def test_a_new_catalogue_has_the_plural_forms_of_its_language(khmer, code, count):
    """Also where Babel's rules for gettext lack it; and it is read again as it was written."""
    tool = runpy.run_path(str(ROOT / "tools" / "translations.py"))
    sentences = Catalog()
    sentences.add(("{n} site", "{n} sites"))
    path = catalogue.catalogue_path(code)
    path.parent.mkdir(parents=True)
    path.write_bytes(tool["updated"](code, sentences))
    (message,) = [one for one in read_catalogue(path) if one.id]
    assert len(message.string) == count
    assert tool["updated"](code, sentences) == path.read_bytes()


@pytest.mark.parametrize("code", list_translated())
def test_a_translation_is_in_digits_0_to_9_and_without_markup(code):
    """One number looks the same on every page; a catalogue brings text, never markup."""
    for message in read_catalogue(catalogue.catalogue_path(code)):
        text = "".join(message.string) if message.id else ""
        assert not any(c.isdigit() and not c.isascii() for c in text), text
        assert "<" not in text.replace("< ", ""), text


def test_a_translation_has_the_places_of_its_sentence():
    plural = ("{n} site of {total}", "{n} sites of {total}")
    for sentence, translated, is_wrong in (
        ("{n} sites", "គេហទំព័រ {n}", False),
        ("{n} sites", "", False),
        ("{n} sites", "គេហទំព័រ", True),
        ("{n} sites", "{n} {m}", True),
        ("Sites", "{n}", True),
        (plural, ("{total}",), False),
        (plural, ("{n}",), True),
    ):
        assert bool(find_misplaced(sentence, translated)) == is_wrong, translated


def test_a_catalogue_that_would_lose_a_number_is_refused(khmer):
    with pytest.raises(ContractError, match="line 5: 'គេហទំព័រ'"):
        khmer('msgid "{count} sites"\nmsgstr "គេហទំព័រ"\n')


def test_languages_are_opened_in_their_order_or_are_a_wrong_parameter():
    assert [lang.code for lang in open_languages("km, en")] == ["km", "en"]
    assert open_languages(" ") == (ENGLISH,)
    for codes, refused in (
        ("en,xx", "REPORT_LANGUAGES=xx: codes separated by commas are accepted, of en"),
        ("km,KM", "REPORT_LANGUAGES=km,KM: each language once"),
        ("../km", "REPORT_LANGUAGES=../km: codes"),
    ):
        with pytest.raises(ParameterError, match=re.escape(refused)):
            open_languages(codes)


def test_values_are_written_by_their_type():
    year = Period.parse("2023-07-01", "2024-07-01")
    said = ENGLISH.say(
        "{count} {share} {day} {time} {year} {names} {is_local} {nothing}",
        count=12345,
        share=ENGLISH.share(0.31234),
        day=date(2023, 7, 17),
        time=datetime(2023, 7, 17, 4, 5),
        year=year,
        names=["a", "b", "c"],
        is_local=True,
        nothing=None,
    )
    assert said == (
        "12,345 31.2 % 17 July 2023 17 July 2023, 04:05 UTC 1 July 2023 to 30 June 2024 a, b and c "
        "yes –"
    )


def test_a_plural_fits_its_count_and_its_language(khmer):
    for n, said in ((1, "1 site of 9"), (0, "0 sites of 9")):
        assert ENGLISH.say_plural("{n} site of {all}", "{n} sites of {all}", n, all=9) == said
    lang = khmer('msgid "{n} site"\nmsgid_plural "{n} sites"\nmsgstr[0] "គេហទំព័រ {n}"\n')
    assert [lang.say_plural("{n} site", "{n} sites", n) for n in (1, 2000)] == [
        "គេហទំព័រ 1",
        "គេហទំព័រ 2,000",
    ]


@pytest.mark.parametrize(
    ("value", "html"),
    [
        ("<script>", "<bdi>&lt;script&gt;</bdi>"),
        ("a\u202eb", r"<bdi>a\u202eb</bdi>"),
        ("{other} %(x)s {0.__class__}", "<bdi>{other} %(x)s {0.__class__}</bdi>"),
        ("x" * 10_000, f"<bdi>{'x' * 150} … {'x' * 150}</bdi>"),
        (["<b>", "ខ្មែរ"], "<bdi>&lt;b&gt;</bdi> and <bdi>ខ្មែរ</bdi>"),
        (Markup('<a href="x.html">x</a>'), '<a href="x.html">x</a>'),
        (1234, "1,234"),
    ],
)
def test_a_hostile_value_is_inert(value, html):
    """Escaped, visible, short, and never read as a place of the sentence."""
    assert ENGLISH.html("<{name}> & co", name=value, other="!") == f"&lt;{html}&gt; &amp; co"
    assert "\u202e" not in ENGLISH.say("{name}", name=value)


def test_what_nobody_translated_is_english_and_says_so(khmer):
    lang = khmer('#, fuzzy\nmsgid "Site"\nmsgstr "គេហទំព័រ"\n')
    assert not lang.is_reviewed
    assert lang.html("Site") == "គេហទំព័រ"
    assert lang.say("{day}", day=date(2024, 1, 2)) == "2 January 2024"
    assert lang.html("{n} sites", n=2) == '<span lang="en">2 sites</span>'
    lang = khmer('msgid "{n} site"\nmsgid_plural "{n} sites"\nmsgstr[0] ""\n')
    assert lang.html_plural("{n} site", "{n} sites", 2) == '<span lang="en">2 sites</span>'
