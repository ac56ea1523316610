"""One language of a report: its translations, its formats of numbers and dates, its name.

A catalogue is one text file that translators edit with any gettext tool (Poedit, Weblate). An
entry that is marked *fuzzy* is used too: the mark means that no native reader has reviewed it yet.
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
#: A named field in a sentence, such as ``{count}``.
PLACE = re.compile(r"\{(\w+)\}")


class Translations(NamedTuple):
    """An open catalogue; a missing translation is an empty text."""

    by_sentence: Mapping[Any, Any]  # a plural's key is its two English forms, its value a sequence
    form_of: Callable[[int], int]  # count → index of the form
    unreviewed_count: int  # translations that no native reader has confirmed
    english_share: float  # share of the sentences without a translation

    def choose(self, singular: str, plural: str, n: int) -> str:
        """Return the form for a count."""
        forms = self.by_sentence.get((singular, plural))
        return str(forms[self.form_of(int(n))]) if forms else ""


def catalogue_path(code: str) -> Path:
    """Return the path of a language's catalogue."""
    return FOLDER / code / "LC_MESSAGES" / "messages.po"


def list_translated() -> list[str]:
    """Return the codes of all languages that have a catalogue, sorted."""
    return sorted(path.parents[1].name for path in FOLDER.glob("*/LC_MESSAGES/messages.po"))


def read_catalogue(path: Path) -> Catalog:
    """Read a catalogue with Babel.

    Raises:
        ContractError: the file is not a catalogue, or a translation lacks a field of its sentence.
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
    """Return translations whose fields differ from those of their sentence.

    A plural form may leave out the count itself ("one site").
    """
    allowed = set(PLACE.findall(sentence if isinstance(sentence, str) else sentence[-1]))
    required = allowed if isinstance(sentence, str) else allowed - {"n"}
    forms = [translated] if isinstance(translated, str) else translated
    fields = {form: set(PLACE.findall(form)) for form in forms if form}
    return [form for form, names in fields.items() if not required <= names <= allowed]


@lru_cache(maxsize=8)
def open_translations(code: str) -> Translations:
    """Open the translations into a language.

    Raises:
        ContractError: its catalogue cannot be read, or is invalid.
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


#: Longer texts are elided in the middle: a name of ten thousand letters must not fill a page.
LONGEST_TEXT = 300
#: The text of a missing value.
NOTHING = "–"
#: Numbers below this have more than two decimals.
_SMALL = Decimal("0.01")

# C0 and C1 controls, and the characters that reorder text, but not zero-width spaces and joiners,
# which Khmer needs.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text with control and reordering characters spelt out, which disables them."""
    if text.isascii() and text.isprintable():
        return text
    text = _SURROGATE.sub("\ufffd", text)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def elided(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text of at most ``longest`` characters, without its middle if it is longer."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]}"


@lru_cache(maxsize=4096)
def number_text(value: int | float | Decimal, locale: Locale) -> str:
    """Format a finite number with grouped thousands and at most two decimals.

    A number below 0.01 has its first two digits.
    """
    amount = abs(Decimal(str(value)))
    decimals = 2 if not amount or amount >= _SMALL else min(1 - amount.adjusted(), 12)
    pattern = f"#,##0.{'#' * decimals}"
    return str(format_decimal(value, pattern, locale=locale, numbering_system="latn"))


def pairs_of_chance(chance: float) -> int:
    """Return n of "1 in n pairs": 1 / chance with two digits, rounded down, at most a thousand."""
    count = int((1 + 1e-9) / max(chance, LEAST_CHANCE))
    step = int(10 ** max(len(str(count)) - 2, 0))
    return count // step * step


@lru_cache(maxsize=4096)
def date_text(day: datetime.date, locale: Locale) -> str:
    """Format a day with its month in words; a time also has hours and minutes, in UTC."""
    written = str(format_date(day, "long", locale=locale))
    if not isinstance(day, datetime.datetime):
        return written
    return f"{written}, {format_time(day, 'HH:mm', locale=locale)} UTC"


def joined(items: Sequence[str], locale: Locale) -> str:
    """Join items as a list: *a, b and c*.

    Khmer joins two items without a space; one is added, because most items are in Latin letters.
    """
    words = str(format_list(items, locale=locale))
    return words.replace("\u200b", " ") if len(items) == 2 else words


#: The language of the sentences in the code.
SOURCE = "en"
#: British English, because the project writes the day before the month.
_LOCALES = {SOURCE: "en_GB"}


class Heading(str):
    """A translated heading with its English words, from which ids are made in every language."""

    english: str


@dataclass(frozen=True)
class Language:
    """One language; two with the same code are equal."""

    code: str

    @cached_property
    def locale(self) -> Locale:
        """Babel's data on the language."""
        return Locale.parse(_LOCALES.get(self.code, self.code))

    @property
    def name(self) -> str:
        """The language's own name: English, ខ្មែរ."""
        return Locale.parse(self.code).get_display_name() or self.code

    def name_of(self, code: str) -> str:
        """Return the name of another language in this one."""
        return Locale.parse(code).get_display_name(self.locale) or code

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``."""
        return self.locale.text_direction

    @property
    def is_reviewed(self) -> bool:
        """Whether a native reader has reviewed every translation. Pages say if not."""
        translations = self._translations
        return translations is None or not translations.unreviewed_count

    @property
    def english_share(self) -> float:
        """The share of sentences without a translation, which are shown in English."""
        return self._translations.english_share if self._translations else 0.0

    @cached_property
    def _translations(self) -> Translations | None:
        return None if self.code == SOURCE else open_translations(self.code)

    def say(self, sentence: str, /, **values: object) -> str:
        """Return a sentence as plain text, for a title, an attribute or a sheet.

        Args:
            sentence: in English, with named fields such as ``{count}``; or words of the vocabulary.
            values: of the fields, each formatted by its type.

        Raises:
            KeyError: a field has no value.
        """
        return self._fill(self._translate(sentence), sentence, values)

    def heading(self, words: str) -> Heading:
        """Return the heading of a section, which keeps its English words for the section's id."""
        heading = Heading(self.say(words))
        heading.english = words
        return heading

    def say_plural(self, singular: str, plural: str, n: int, /, **values: object) -> str:
        """Return the form of a sentence for the count ``n``, which also fills ``{n}``."""
        return self._fill(*self._choose(singular, plural, n), {"n": n, **values})

    def html(self, sentence: str, /, **values: object) -> Markup:
        """Return a sentence for a page; values are escaped unless they are markup, such as links.

        A sentence without a translation is marked as English.
        """
        return self._fill_html(self._translate(sentence), sentence, values)

    def html_plural(self, singular: str, plural: str, n: int, /, **values: object) -> Markup:
        """Return the form of a sentence for the count ``n``, for a page."""
        return self._fill_html(*self._choose(singular, plural, n), {"n": n, **values})

    def territory(self, code: str) -> str:
        """Return a country's name; ``""`` in English, which ``countries.csv`` has."""
        return "" if self.code == SOURCE else self.locale.territories.get(code, "")

    def english(self, text: str) -> Markup:
        """Mark a text that is never translated, such as the title of an event, as English."""
        if self.code == SOURCE:
            return self._markup(text)
        return Markup('<bdi lang="{}">{}</bdi>').format(SOURCE, self._text(text))

    def number(self, value: int | float | Decimal) -> str:
        """Format a number with grouped thousands."""
        return number_text(value, self.locale)

    def share(self, share: float) -> str:
        """Format a share from 0 to 1 as per cent; only exactly 0 or 1 gives 0 % or 100 %."""
        share = float(share)
        if 0 < share < 0.0005:
            return f"< {self.number(0.1)} %"
        if 0.9995 <= share < 1:
            return f"> {self.number(99.9)} %"
        digits = "#,##0" if share in (0, 1) else "#,##0.0"
        percent = format_decimal(share * 100, digits, locale=self.locale, numbering_system="latn")
        return f"{percent} %"

    def date(self, day: datetime.date) -> str:
        """Format a day with its month in words."""
        return date_text(day, self.locale)

    def short_month(self, day: datetime.date) -> str:
        """Return the abbreviated month of a day, for an axis."""
        return str(format_date(day, "LLL", locale=self.locale))

    def weekday(self, number: int) -> str:
        """Return the abbreviated day of the week; Monday is 0."""
        return str(self.locale.days["format"]["abbreviated"][number])

    def period(self, period: Period) -> str:
        """Return the first and last day of a period in words."""
        return self.say("{first} to {last}", first=period.since, last=period.last_day)

    def listed(self, items: Iterable[object]) -> str:
        """Join items as a list: *a, b and c*, as for a value that is a list."""
        return self._text(list(items))

    def _translate(self, sentence: str) -> str:
        """Return the translation of a sentence; empty if there is none."""
        if self._translations is None:
            return sentence
        return str(self._translations.by_sentence.get(sentence, ""))

    def _choose(self, singular: str, plural: str, n: int) -> tuple[str, str]:
        """Return the translated and the English sentence for a count."""
        english = singular if n == 1 else plural
        if self._translations is None:
            return english, english
        return self._translations.choose(singular, plural, n), english

    def _fill(self, translated: str, english: str, values: dict[str, object]) -> str:
        lang = self if translated else ENGLISH
        return PLACE.sub(lambda field: lang._text(values[field[1]]), translated or english)

    def _fill_html(self, translated: str, english: str, values: dict[str, object]) -> Markup:
        lang = self if translated else ENGLISH
        parts = list(_split(translated or english))
        parts[1::2] = [lang._markup(values[name]) for name in parts[1::2]]
        filled = Markup("".join(parts))
        return filled if translated else Markup('<span lang="{}">{}</span>').format(SOURCE, filled)

    def _text(self, value: object) -> str:
        """Format a value by its type; a text is made visible and short."""
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
        """Format a value for a page: markup is kept, other texts are escaped and isolated."""
        if isinstance(value, Markup):
            return value
        if isinstance(value, str):
            return Markup("<bdi>") + self._text(value) + Markup("</bdi>")
        if isinstance(value, Iterable):
            return Markup(joined([self._markup(item) for item in value], self.locale))
        return Markup.escape(self._text(value))


@lru_cache(maxsize=4096)
def _split(sentence: str) -> tuple[str, ...]:
    """Split at fields: escaped texts at even positions, names of fields at odd ones."""
    parts = PLACE.split(sentence)
    parts[::2] = [Markup.escape(text) for text in parts[::2]]
    return tuple(parts)


ENGLISH = Language(SOURCE)


def open_language(code: str) -> Language:
    """Return a language by its code.

    Raises:
        ParameterError: it has no catalogue.
        ContractError: its catalogue is invalid.
    """
    codes = [SOURCE, *list_translated()]
    if code not in codes:
        accepted = f"codes separated by commas are accepted, of {', '.join(codes)}"
        raise ParameterError("REPORT_LANGUAGES", code, accepted)
    if code != SOURCE:
        open_translations(code)
    return Language(code)


def open_languages(codes: str) -> tuple[Language, ...]:
    """Return languages by their codes, separated by commas; an empty text gives English.

    Raises:
        ParameterError: a language has no catalogue, or is repeated.
        ContractError: a catalogue is invalid.
    """
    names = [code.strip().lower() for code in (codes.strip() or SOURCE).split(",")]
    if len(set(names)) < len(names):
        raise ParameterError("REPORT_LANGUAGES", codes, "each language once, such as en,km")
    return tuple(map(open_language, names))


class Twin(NamedTuple):
    """The same page in another language."""

    lang: Language
    href: str
    fonts: str


def find_twins(lang: Language, codes: Sequence[str], file: str) -> list[Twin]:
    """Return the same page in the other languages of a report.

    Args:
        lang: of the page.
        codes: languages of the report; the first is at its top, each other in a folder of its own.
        file: path of the page in the folder of its language.
    """

    def path(code: str, name: str) -> str:
        return name if code == codes[0] else f"{code}/{name}"

    folder = posixpath.dirname(path(lang.code, file)) if codes else ""
    twins = []
    for code in codes:
        if code != lang.code:
            href = posixpath.relpath(path(code, file), folder or ".")
            fonts = posixpath.relpath(path(code, "fonts"), folder or ".")
            twins.append(Twin(Language(code), href, fonts))
    return twins


def template_functions(lang: Language) -> dict[str, Any]:
    """Return the names that templates use: ``_`` and ``_n`` for texts, ``say`` and ``say_plural``
    for attributes, ``lang``, and ``twins`` of a page.
    """
    return {
        "lang": lang,
        "twins": partial(find_twins, lang),
        "_": lang.html,
        "_n": lang.html_plural,
        "say": lang.say,
        "say_plural": lang.say_plural,
    }
