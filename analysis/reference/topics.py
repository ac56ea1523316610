"""What a topic is about: sites by name, by category of the test lists, or by incidents that OONI
has published.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import ParameterError, suggest
from analysis.hosts import normalise
from analysis.reference.events import find_incidents
from analysis.reference.test_lists import category_names

PARAMETER = "SITES"
#: More are a report of the whole country.
_MOST_PARTS = 2_000
_MOST_BYTES = 1_000_000
_SHORTEST = 4  # letters of a title's words: shorter ones, such as *and*, are in many
_FILES = (".txt", ".csv")  # no name of a site ends so
#: Names that a page lists.
_SHOWN = 12


@dataclass(frozen=True)
class Topic:
    """The sites of a topic.

    Attributes:
        names: host names without ``www.``; each stands for all names below it as well.
        category_codes: of the test lists; in each country its lists decide which sites these are.
    """

    names: tuple[str, ...] = ()
    category_codes: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """The categories by name and the first host names."""
        categories = [f"the category {category_names()[code]}" for code in self.category_codes]
        names = [*self.names[:_SHOWN]]
        if len(self.names) > _SHOWN:
            names.append(f"{len(self.names) - _SHOWN:,} more")
        by_name = [f"by name {', '.join(names)}"] if names else []
        return "; ".join([*categories, *by_name])

    def covers(self, domain: str, category_code: str) -> bool:
        """Test whether a tested site belongs to the topic.

        Args:
            domain: a normalised host name.
            category_code: its category by the country's test lists.
        """
        return category_code in self.category_codes or self.find_name(domain) != ""

    def find_name(self, domain: str) -> str:
        """Return the name of the topic for which a host name stands; empty if there is none."""
        labels = domain.split(".")
        parents = (".".join(labels[first:]) for first in range(len(labels)))
        return next((parent for parent in parents if parent in self.names), "")


def read_topic(text: str) -> Topic:
    """Read ``SITES``: a file, or names, categories and incidents, separated by commas.

    A part is a host name or URL, a category code of the test lists (``NEWS``), or words from the
    titles of OONI's incidents (``Proton VPN``), which stand for the sites of all incidents with
    these words. A file has one part a line; what follows a comma or ``#`` in a line is ignored, so
    that a test list can be given.

    Raises:
        ParameterError: there is no part, or one is none of these.
    """
    parts = _split(text)
    names: list[str] = []
    codes: list[str] = []
    for part in parts:
        host = normalise(part)
        if part.upper() in category_names():
            codes.append(part.upper())
        elif "." in host:
            names.append(host)
        elif len(part) >= _SHORTEST and (incidents := find_incidents(part)):
            names += [domain for incident in incidents for domain in incident.domains]
        else:
            near = suggest(part.upper(), category_names())
            raise ParameterError(
                PARAMETER,
                part,
                "it is no host name, no category code of the test lists, and no incident of OONI's "
                f"has these words{near}",
            )
    return Topic(_distinct(name.removeprefix("www.") for name in names), _distinct(codes))


def _split(text: str) -> list[str]:
    """Return the parts of a text, or of the file that it names."""
    path = Path(text).expanduser()
    is_file = "\n" not in text and len(text) < 1_000 and path.is_file()
    if is_file and path.stat().st_size > _MOST_BYTES:
        raise ParameterError(PARAMETER, text, "a file of at most 1 MB is accepted")
    if text.lower().endswith(_FILES) and not is_file:
        raise ParameterError(PARAMETER, text, "there is no such file")
    lines = path.read_text("utf-8", "replace").splitlines() if is_file else text.split(",")
    parts = [re.split(",|(?:^|\\s)#", line, maxsplit=1)[0].strip() for line in lines]
    if is_file and parts and parts[0].lower() == "url":  # the head of a test list
        del parts[0]
    parts = [part for part in parts if part]
    if not 0 < len(parts) <= _MOST_PARTS:
        accepted = (
            f"a file or 1 to {_MOST_PARTS:,} parts are accepted, such as SITES=bbc.com,voanews.com "
            "or SITES=NEWS"
        )
        raise ParameterError(PARAMETER, text, accepted)
    return parts


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
