"""One language of a report: its sentences, numbers, dates, and what a page says of it."""

import datetime
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

from babel import Locale
from babel.dates import format_date
from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.languages.spoken_values import (
    date_text,
    month_text,
    number_text,
    share_text,
    value_html,
    value_text,
)
from analysis.languages.translations import PLACE, Translations, list_translated, open_translations
from analysis.period import Period

#: The language in which the sentences stand in the code.
SOURCE = "en"
#: English with days before months, as everywhere in the project.
_LOCALES = {SOURCE: "en_GB"}


class Heading(str):
    """A heading in some language; ids are made of its English words, the same on every page."""

    __slots__ = ("english",)
    english: str

    def __new__(cls, words: str, english: str) -> "Heading":
        heading = super().__new__(cls, words)
        heading.english = english
        return heading


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
        translated = self._translations.find(sentence) if self._translations else sentence
        return self._fill(translated, sentence, values)

    def heading(self, words: str) -> Heading:
        """A heading of a section, which keeps its English words for the section's id."""
        return Heading(self.say(words), words)

    def say_plural(self, one: str, many: str, n: int, /, **values: object) -> str:
        """The sentence that fits the count ``n``, which also stands where it says ``{n}``."""
        return self._fill(*self._choose(one, many, n), {"n": n, **values})

    def html(self, sentence: str, /, **values: object) -> Markup:
        """A sentence for a page: every value is escaped but markup of ours, such as a link.

        A sentence without a translation is marked as English.
        """
        translated = self._translations.find(sentence) if self._translations else sentence
        return self._fill_html(translated, sentence, values)

    def html_plural(self, one: str, many: str, n: int, /, **values: object) -> Markup:
        """The same for a sentence that fits a count."""
        return self._fill_html(*self._choose(one, many, n), {"n": n, **values})

    def territory(self, code: str) -> str:
        """A country's name by its code; in English the project has its own."""
        return "" if self.code == SOURCE else self.locale.territories.get(code, "")

    def english(self, text: str) -> Markup:
        """A text that is in English whatever the language, such as the title of an event."""
        if self.code == SOURCE:
            return value_html(text, self.locale)
        return Markup('<bdi lang="{}">{}</bdi>').format(SOURCE, value_text(text, self.locale))

    def number(self, value: int | float | Decimal) -> str:
        """A number with its thousands."""
        return number_text(value, self.locale)

    def share(self, share: float) -> str:
        """A share from 0 to 1 as per cent."""
        return share_text(float(share), self.locale)

    def date(self, day: datetime.date) -> str:
        """A day, the month in words."""
        return date_text(day, self.locale)

    def month(self, day: datetime.date) -> str:
        """The month of a day and its year, in words."""
        return month_text(day, self.locale)

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
        return value_text(list(items), self.locale)

    def _choose(self, one: str, many: str, n: int) -> tuple[str, str]:
        """Translated and English sentence for a count."""
        english = one if n == 1 else many
        found = self._translations.find_plural(one, many, n) if self._translations else english
        return found, english

    def _fill(self, translated: str, english: str, values: dict[str, object]) -> str:
        lang = self if translated else ENGLISH
        return PLACE.sub(
            lambda place: value_text(lang._plain(values[place[1]]), lang.locale),
            translated or english,
        )

    def _fill_html(self, translated: str, english: str, values: dict[str, object]) -> Markup:
        lang = self if translated else ENGLISH
        parts = list(_split(translated or english))
        parts[1::2] = [value_html(lang._plain(values[name]), lang.locale) for name in parts[1::2]]
        filled = Markup("".join(parts))
        return filled if translated else Markup('<span lang="{}">{}</span>').format(SOURCE, filled)

    def _plain(self, value: object) -> object:
        """A period and a yes or no in words; any other value as it is."""
        if isinstance(value, Period):
            return Markup.escape(self.period(value))
        if isinstance(value, bool):
            return Markup.escape(self.say("yes") if value else self.say("no"))
        return value


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
