"""One language of a report: its translations, numbers, dates, and what a page says of it.

A catalogue is one text file that translators edit with any gettext tool (Poedit, Weblate). An
entry that is marked *fuzzy* is used all the same: the mark says that no native reader has reviewed
it yet.
"""

import datetime
import gettext
import math
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

from babel import Locale
from babel.dates import format_date, format_time
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_decimal
from markupsafe import Markup

from analysis.errors import ContractError, ParameterError
from analysis.period import Period
from analysis.vocabulary import LEAST_CHANCE

FOLDER = Path(__file__).parent
#: A named place in a sentence; nothing else in braces is looked at.
PLACE = re.compile(r"\{(\w+)\}")


class Translations(NamedTuple):
    """A catalogue that is open; an empty text where there is no translation."""

    by_sentence: Mapping[Any, Any]  # a plural by its two English forms, which has several
    form_of: Callable[[int], int]  # count → which of the forms
    unreviewed_count: int  # translations that no native reader has confirmed
    english_share: float  # of the sentences, those without a translation

    def choose(self, one: str, many: str, n: int) -> str:
        """The form that fits a count."""
        forms = self.by_sentence.get((one, many))
        return str(forms[self.form_of(int(n))]) if forms else ""


def catalogue_path(code: str) -> Path:
    """Where the catalogue of a language lies."""
    return FOLDER / code / "LC_MESSAGES" / "messages.po"


def list_translated() -> list[str]:
    """The codes of all languages that have a catalogue."""
    return sorted(path.parents[1].name for path in FOLDER.glob("*/LC_MESSAGES/messages.po"))


def read_catalogue(path: Path) -> Catalog:
    """A catalogue as Babel reads it.

    Raises:
        ContractError: it is no catalogue, or a translation has not the places of its sentence.
    """
    try:
        with path.open("rb") as file:
            catalogue = read_po(file, locale=path.parents[1].name, abort_invalid=True)
    except (PoFileError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name} of {path.parents[1].name}: {error}") from error
    for message in catalogue:
        for wrong in find_misplaced(message.id, message.string or ""):
            raise ContractError(
                f"{path.name} of {path.parents[1].name}, line {message.lineno}: {wrong!r} has not "
                "the places in braces that its sentence has"
            )
    return catalogue


def find_misplaced(
    sentence: str | tuple[str, ...] | list[str], translated: str | tuple[str, ...] | list[str]
) -> list[str]:
    """Translations whose places differ from those of their sentence; empty ones are none.

    Of a plural form the count itself may be left out ("one site").
    """
    most = set(PLACE.findall(sentence if isinstance(sentence, str) else sentence[-1]))
    least = most if isinstance(sentence, str) else most - {"n"}
    forms = [translated] if isinstance(translated, str) else translated
    return [form for form in forms if form and not least <= set(PLACE.findall(form)) <= most]


@lru_cache(maxsize=8)
def open_translations(code: str) -> Translations:
    """The translations into a language.

    Raises:
        ContractError: its catalogue cannot be read, or is not right.
    """
    catalogue = read_catalogue(catalogue_path(code))
    sentences = [message for message in catalogue if message.id]
    missing = sum(not message.string for message in sentences)
    return Translations(
        {message.id: message.string for message in sentences},
        gettext.c2py(catalogue.plural_expr),
        sum(bool(message.string and message.fuzzy) for message in sentences),
        missing / max(len(sentences), 1),
    )


#: Longer text is elided in the middle: a name of ten thousand letters fills no page.
LONGEST_TEXT = 300
#: Stands for nothing.
NOTHING = "–"
#: A number below this has more than two decimals.
_SMALL = Decimal("0.01")

# C0 and C1 controls, and the characters that reorder text; zero-width spaces and joiners stay,
# since Khmer needs them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with control and reordering characters written out, so that none can act."""
    if text.isascii() and text.isprintable():
        return text
    text = _SURROGATE.sub("\ufffd", text)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def elided(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, its middle left out where it is longer."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]}"


@lru_cache(maxsize=4096)
def number_text(value: int | float | Decimal, locale: Locale) -> str:
    """A number with its thousands, and two decimals at most; a small one with its first two digits.

    It is finite.
    """
    amount = abs(Decimal(str(value)))
    decimals = 2 if not amount or amount >= _SMALL else min(1 - amount.adjusted(), 12)
    return str(
        format_decimal(value, f"#,##0.{'#' * decimals}", locale=locale, numbering_system="latn")
    )


def pairs_of_chance(chance: float) -> int:
    """Of how many pairs one has this chance: two digits, rounded down, a thousand at most."""
    many = int((1 + 1e-9) / max(chance, LEAST_CHANCE))
    step = int(10 ** max(len(str(many)) - 2, 0))
    return many // step * step


@lru_cache(maxsize=4096)
def date_text(day: datetime.date, locale: Locale) -> str:
    """A day with its month in words; of a time also hours and minutes, in UTC."""
    written = str(format_date(day, "long", locale=locale))
    if not isinstance(day, datetime.datetime):
        return written
    return f"{written}, {format_time(day, 'HH:mm', locale=locale)} UTC"


def joined(items: Sequence[str], locale: Locale) -> str:
    """Items one after the other: *a, b and c*.

    Where a language puts the two of a pair together without a space, as Khmer does, one is put in:
    most items are names in Latin letters.
    """
    words = str(format_list(items, locale=locale))
    return words.replace("\u200b", " ") if len(items) == 2 else words


#: The language in which the sentences stand in the code.
SOURCE = "en"
#: English with days before months, as everywhere in the project.
_LOCALES = {SOURCE: "en_GB"}


class Heading(str):
    """A heading in some language; ids are made of its English words, the same on every page."""

    english: str


@dataclass(frozen=True)
class Language:
    """One language. Two of one code are the same."""

    code: str

    @cached_property
    def locale(self) -> Locale:
        """What Babel knows of it."""
        return Locale.parse(_LOCALES.get(self.code, self.code))

    @property
    def name(self) -> str:
        """Its name for itself: English, ខ្មែរ."""
        return Locale.parse(self.code).get_display_name() or self.code

    def name_of(self, code: str) -> str:
        """What another language is called in this one."""
        return Locale.parse(code).get_display_name(self.locale) or code

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``."""
        return self.locale.text_direction

    @property
    def is_reviewed(self) -> bool:
        """Whether a native reader has reviewed every translation; a page says where not."""
        translations = self._translations
        return translations is None or not translations.unreviewed_count

    @property
    def english_share(self) -> float:
        """Which share of all sentences has no translation, and is shown in English."""
        return self._translations.english_share if self._translations else 0.0

    @cached_property
    def _translations(self) -> Translations | None:
        return None if self.code == SOURCE else open_translations(self.code)

    def say(self, sentence: str, /, **values: object) -> str:
        """A sentence as plain text, for a title, an attribute or a sheet.

        Args:
            sentence: the English one, with named places such as ``{count}``; also a word of the
                vocabulary.
            values: what stands in the places, each written by its type.

        Raises:
            KeyError: a place has no value.
        """
        return self._fill(self._translate(sentence), sentence, values)

    def heading(self, words: str) -> Heading:
        """A heading of a section, which keeps its English words for the section's id."""
        heading = Heading(self.say(words))
        heading.english = words
        return heading

    def say_plural(self, one: str, many: str, n: int, /, **values: object) -> str:
        """The sentence that fits the count ``n``, which also stands where it says ``{n}``."""
        return self._fill(*self._choose(one, many, n), {"n": n, **values})

    def html(self, sentence: str, /, **values: object) -> Markup:
        """A sentence for a page: every value is escaped but markup of ours, such as a link.

        A sentence without a translation is marked as English.
        """
        return self._fill_html(self._translate(sentence), sentence, values)

    def html_plural(self, one: str, many: str, n: int, /, **values: object) -> Markup:
        """The same for a sentence that fits a count."""
        return self._fill_html(*self._choose(one, many, n), {"n": n, **values})

    def territory(self, code: str) -> str:
        """A country's name by its code; in English the project has its own."""
        return "" if self.code == SOURCE else self.locale.territories.get(code, "")

    def english(self, text: str) -> Markup:
        """A text that is in English whatever the language, such as the title of an event."""
        if self.code == SOURCE:
            return self._markup(text)
        return Markup('<bdi lang="{}">{}</bdi>').format(SOURCE, self._text(text))

    def number(self, value: int | float | Decimal) -> str:
        """A number with its thousands."""
        return number_text(value, self.locale)

    def share(self, share: float) -> str:
        """A share from 0 to 1 as per cent; only a true 0 or 1 reads 0 % or 100 %."""
        share = float(share)
        if 0 < share < 0.0005:
            return f"< {self.number(0.1)} %"
        if 0.9995 <= share < 1:
            return f"> {self.number(99.9)} %"
        digits = "#,##0" if share in (0, 1) else "#,##0.0"
        percent = format_decimal(share * 100, digits, locale=self.locale, numbering_system="latn")
        return f"{percent} %"

    def date(self, day: datetime.date) -> str:
        """A day, the month in words."""
        return date_text(day, self.locale)

    def short_month(self, day: datetime.date) -> str:
        """The month of a day, as short as the language has it, for an axis."""
        return str(format_date(day, "LLL", locale=self.locale))

    def weekday(self, number: int) -> str:
        """A day of the week, short; Monday is 0."""
        return str(self.locale.days["format"]["abbreviated"][number])

    def period(self, period: Period) -> str:
        """First and last day of a period."""
        return self.say("{first} to {last}", first=period.since, last=period.last_day)

    def listed(self, items: Iterable[object]) -> str:
        """Items one after the other: *a, b and c*. A list as a value reads the same."""
        return self._text(list(items))

    def _translate(self, sentence: str) -> str:
        """Its translation, empty without one."""
        if self._translations is None:
            return sentence
        return str(self._translations.by_sentence.get(sentence, ""))

    def _choose(self, one: str, many: str, n: int) -> tuple[str, str]:
        """Translated and English sentence for a count."""
        english = one if n == 1 else many
        found = self._translations.choose(one, many, n) if self._translations else english
        return found, english

    def _fill(self, translated: str, english: str, values: dict[str, object]) -> str:
        lang = self if translated else ENGLISH
        return PLACE.sub(lambda place: lang._text(values[place[1]]), translated or english)

    def _fill_html(self, translated: str, english: str, values: dict[str, object]) -> Markup:
        lang = self if translated else ENGLISH
        parts = list(_split(translated or english))
        parts[1::2] = [lang._markup(values[name]) for name in parts[1::2]]
        filled = Markup("".join(parts))
        return filled if translated else Markup('<span lang="{}">{}</span>').format(SOURCE, filled)

    def _text(self, value: object) -> str:
        """A value by its type: a number, a day, a period, a yes or no, a list of values, or a text,
        made visible and short."""
        if isinstance(value, Markup):
            return str(value.striptags())
        if isinstance(value, bool):
            return self.say("yes") if value else self.say("no")
        if isinstance(value, Integral):
            return self.number(int(value))
        if isinstance(value, Real):
            return self.number(float(value)) if math.isfinite(value) else NOTHING
        if value is None or value != value:  # no day, or no time
            return NOTHING
        if isinstance(value, datetime.date):
            return self.date(value)
        if isinstance(value, Period):
            return self.period(value)
        if isinstance(value, Iterable) and not isinstance(value, str):
            return joined([self._text(item) for item in value], self.locale)
        return elided(visible(str(value)))

    def _markup(self, value: object) -> Markup:
        """The same for a page: markup stays, a text stands in a direction of its own, inert."""
        if isinstance(value, Markup):
            return value
        if isinstance(value, str):
            return Markup("<bdi>") + self._text(value) + Markup("</bdi>")
        if isinstance(value, Iterable):
            return Markup(joined([self._markup(item) for item in value], self.locale))
        return Markup.escape(self._text(value))


@lru_cache(maxsize=4096)
def _split(sentence: str) -> tuple[str, ...]:
    """What stands between places, as markup, at even positions, the names of places at odd ones."""
    parts = PLACE.split(sentence)
    parts[::2] = [Markup.escape(text) for text in parts[::2]]
    return tuple(parts)


ENGLISH = Language(SOURCE)


def open_language(code: str) -> Language:
    """A language by its code.

    Raises:
        ParameterError: there is no catalogue of it.
        ContractError: its catalogue is not right.
    """
    known = [SOURCE, *list_translated()]
    if code not in known:
        accepted = f"codes separated by commas are accepted, of {', '.join(known)}"
        raise ParameterError("REPORT_LANGUAGES", code, accepted)
    if code != SOURCE:
        open_translations(code)
    return Language(code)


def open_languages(codes: str) -> tuple[Language, ...]:
    """Languages from their codes, separated by commas; none given: English.

    Raises:
        ParameterError: there is no catalogue of one, or one is given twice.
        ContractError: a catalogue is not right.
    """
    given = [code.strip().lower() for code in codes.split(",")] if codes.strip() else [SOURCE]
    if len(set(given)) < len(given):
        raise ParameterError("REPORT_LANGUAGES", codes, "each language once, such as en,km")
    return tuple(map(open_language, given))


class Twin(NamedTuple):
    """The same page in another language."""

    lang: Language
    href: str
    fonts: str


def find_twins(lang: Language, codes: Sequence[str], file: str) -> list[Twin]:
    """Where a page stands in the other languages of a report.

    Args:
        lang: the page's own.
        codes: those of the report; the first lies at its top, each other in a folder of its own.
        file: the page, from where its language lies.
    """

    def place(code: str) -> str:
        return file if code == codes[0] else f"{code}/{file}"

    folder = posixpath.dirname(place(lang.code)) if codes else ""
    return [
        Twin(
            Language(code),
            posixpath.relpath(place(code), folder or "."),
            posixpath.relpath("fonts" if code == codes[0] else f"{code}/fonts", folder or "."),
        )
        for code in codes
        if code != lang.code
    ]


def template_functions(lang: Language) -> dict[str, Any]:
    """What a template has: ``_``, ``_n`` for a text, ``say``, ``say_plural`` for an attribute,
    ``lang``, and ``twins`` of a page."""
    return {
        "lang": lang,
        "twins": partial(find_twins, lang),
        "_": lang.html,
        "_n": lang.html_plural,
        "say": lang.say,
        "say_plural": lang.say_plural,
    }
