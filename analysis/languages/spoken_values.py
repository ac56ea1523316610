"""One value of a sentence → text, written as its language writes it and unable to act.

Digits are 0 to 9 in every language: one number looks the same on every page, and can be searched.
"""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_decimal
from markupsafe import Markup

#: Longer text is elided in the middle: a name of ten thousand letters fills no page.
LONGEST_TEXT = 300
#: Stands for nothing.
NOTHING = "–"
#: A number below this has more than two decimals.
_SMALL = Decimal("0.01")
#: A chance below this is not told from others below it.
LEAST_CHANCE = 1e-9

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


@lru_cache(maxsize=4096)
def share_text(share: float, locale: Locale) -> str:
    """A share from 0 to 1 as per cent with one decimal; only a true 0 or 1 reads 0 % or 100 %."""
    if share in (0.0, 1.0):
        return f"{number_text(share * 100, locale)} %"
    if 0 < share < 0.0005:
        return f"< {number_text(0.1, locale)} %"
    if 0.9995 <= share < 1:
        return f"> {number_text(99.9, locale)} %"
    tenths = format_decimal(share * 100, "#,##0.0", locale=locale, numbering_system="latn")
    return f"{tenths} %"


def pairs_of_chance(chance: float) -> int:
    """Of how many pairs one has this chance: two digits, rounded down, a billion at most, since no
    model of the world is right further out."""
    many = int((1 + 1e-9) / max(chance, LEAST_CHANCE))
    step = int(10 ** max(len(str(many)) - 2, 0))
    return many // step * step


@lru_cache(maxsize=4096)
def date_text(day: date, locale: Locale) -> str:
    """A day with its month in words; of a time also hours and minutes, in UTC."""
    written = str(format_date(day, "d MMMM y", locale=locale))
    if not isinstance(day, datetime):
        return written
    return f"{written}, {format_time(day, 'HH:mm', locale=locale)} UTC"


@lru_cache(maxsize=512)
def month_text(day: date, locale: Locale) -> str:
    """The month of a day in words, with its year."""
    return str(format_date(day, "LLLL y", locale=locale))


def joined(items: Sequence[str], locale: Locale) -> str:
    """Items one after the other: *a, b and c*.

    Where a language puts the two of a pair together without a space, as Khmer does, one is put in:
    most items are names in Latin letters.
    """
    patterns = locale.list_patterns["standard"]
    if len(items) < 3:
        pair = patterns["2"].replace("\u200b", " ")
        return pair.format(*items) if len(items) == 2 else "".join(items)
    *first, last = items
    together = first[0]
    for number, item in enumerate(first[1:], start=1):
        together = patterns["start" if number == 1 else "middle"].format(together, item)
    return str(patterns["end"].format(together, last))


def value_text(value: object, locale: Locale) -> str:
    """A value by its type: a number, a day, a list of values, or a text, made visible and short."""
    if isinstance(value, Markup):
        return str(value.striptags())
    if isinstance(value, str):
        return elided(visible(value))
    if isinstance(value, date):
        return NOTHING if value != value else date_text(value, locale)
    if isinstance(value, Integral):
        return number_text(int(value), locale)
    if isinstance(value, Real):
        return number_text(float(value), locale) if math.isfinite(value) else NOTHING
    if isinstance(value, Iterable):
        return joined([value_text(item, locale) for item in value], locale)
    return NOTHING if value is None else elided(visible(str(value)))


def value_html(value: object, locale: Locale) -> Markup:
    """The same for a page: markup stays, a text stands in a direction of its own, inert."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return Markup("<bdi>") + elided(visible(value)) + Markup("</bdi>")
    if isinstance(value, Iterable):
        return Markup(joined([value_html(item, locale) for item in value], locale))
    return Markup.escape(value_text(value, locale))
