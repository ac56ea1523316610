"""A language's translations, from its gettext catalogue.

A catalogue is one text file that translators edit with any gettext tool (Poedit, Weblate). An
entry that is marked *fuzzy* is used all the same: the mark says that no native reader has reviewed
it yet.
"""

import gettext
import re
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po

from analysis.errors import ContractError

FOLDER = Path(__file__).parent
#: A named place in a sentence; nothing else in braces is looked at.
PLACE = re.compile(r"\{(\w+)\}")


class _Untranslated(gettext.NullTranslations):
    """What gettext falls back to: nothing, so that a missing translation can be told."""

    def gettext(self, message: str) -> str:
        return ""

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return ""


@dataclass(frozen=True)
class Translations:
    """A catalogue that is open; an empty text where there is no translation."""

    messages: gettext.NullTranslations
    unreviewed_count: int  # translations that no native reader has confirmed

    def find(self, sentence: str) -> str:
        """The translation of a sentence, or an empty text."""
        return self.messages.gettext(sentence)

    def find_plural(self, one: str, many: str, count: int) -> str:
        """The translation that fits a count, or an empty text."""
        return self.messages.ngettext(one, many, count)


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
    if isinstance(sentence, str):
        places = set(PLACE.findall(sentence))
        return [str(translated)] if translated and _places(translated) != places else []
    most = set(PLACE.findall(sentence[-1]))
    forms = [translated] if isinstance(translated, str) else translated
    return [form for form in forms if form and not most - {"n"} <= _places(form) <= most]


def _places(text: str | tuple[str, ...] | list[str]) -> set[str]:
    return set(PLACE.findall(str(text)))


@lru_cache(maxsize=8)
def open_translations(code: str) -> Translations:
    """The translations into a language.

    Raises:
        ContractError: its catalogue cannot be read, or is not right.
    """
    catalogue = read_catalogue(catalogue_path(code))
    for message in catalogue:
        if isinstance(message.string, tuple) and not any(message.string):
            message.string = ""  # or Babel fills in the English singular, whatever the count
    compiled = BytesIO()
    write_mo(compiled, catalogue, use_fuzzy=True)
    compiled.seek(0)
    messages = gettext.GNUTranslations(compiled)
    messages.add_fallback(_Untranslated())
    unreviewed = sum(bool(message.id and message.string and message.fuzzy) for message in catalogue)
    return Translations(messages, unreviewed)
