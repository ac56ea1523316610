"""Names of sites that a meeting withheld, for somebody's safety, and their placeholders.

The decision *withhold* in ``data/review/<cc>.yml`` names a host. In all results from the country's
measurements, whatever the period and the method, it is replaced by ``withheld-1``, and every other
host under the same registered domain by a name below that: ``www.withheld-1`` for the one with or
without ``www.``, else ``en.other.withheld-1``. So the measurements of one site remain together, and
hosts that a stranger tests later are withheld too.

Names are replaced where observations and lists are opened, so no later code needs to know of this.
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from html import unescape
from pathlib import Path
from urllib.parse import quote, unquote

import pandas as pd
import yaml

from analysis.errors import ParameterError
from analysis.hosts import as_written, is_placeholder, normalise, registrable_domain
from analysis.languages.language import list_translated, open_language
from analysis.period import parse_date
from analysis.reference.events import INCIDENT, EventList
from analysis.reference.reference_files import REPOSITORY, NodeReader, country_tlds
from analysis.reference.test_lists import LIST_COLUMNS, ListEntry, LocalSites, TestLists
from analysis.vocabulary import DECISIONS

#: The folder of decisions, one file for each country.
REVIEWS = REPOSITORY / "data" / "review"
MOST_DECISIONS = 5_000
WITHHOLD = "withhold"

# What a name ends at: any character but a letter, digit or hyphen of a longer name. Some files
# spell a character as ``%2F``, ``\n`` or ``\u00e9``, and Khmer has no space between words.
# A match begins at the first label of a host, so that long texts are searched fast.
_BEFORE = (
    r"(?:(?<![a-z0-9_-])(?<![a-z0-9_-]\.)(?!(?<=%)[0-9a-f]{2})(?!(?<=\\)u[0-9a-f]{4})"
    r"|(?<=%[0-9a-f][0-9a-f])|(?<=\\u[0-9a-f]{4})|(?<=\\[nrt]))"
)
_AFTER = r"(?![a-z0-9]|\.[a-z0-9])"
_LABELS = r"(?P<lead>[._-]*)(?P<labels>(?:(?!(?<=\\)[nrt])[a-z0-9_-]+\.)*)"
_REST = r"""(?P<rest>\.?(?::[0-9]+)?[/?#][^\s"'<>]*)?"""
# Where ``elided`` left out the middle of a longer name, its ends are not the name.
_ELIDED_BEFORE, _ELIDED_AFTER = r"(?<!… )", r"(?!\.? …)"

_INVISIBLE = "\u00ad\u034f\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff"
#: Characters and escapes that a browser, or a reader, takes for those of a host name, as a regular
#: expression of Python and of DuckDB, case aside. Only a text with one of them is read a second
#: time, as ``read_plainly`` gives it.
UNUSUAL = "|".join(
    (
        f"[a-z0-9.-][{_INVISIBLE}]",
        f"[{_INVISIBLE}][a-z0-9.-]",
        "[a-z0-9][\u3002\uff61\u2024]",  # full stops that IDNA reads as a dot
        "[\uff0d-\uff5a\u017f\u212a\U0001d400-\U0001d7ff]",  # full-width and mathematical letters
        "[a-z][\u0300-\u036f]",
        "%(?:25)*(?:2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a]|ef%bc|ef%bd|e3%80%82|e2%80|c2%ad)",
        "&(?:#|period;|shy;|zwj;|zwnj;|lrm;|rlm;|zerowidthspace;|nobreak;)",
        r"\\u[0-9a-f]{4}",
        "xn--",
    )
)
_UNUSUAL = re.compile(UNUSUAL, re.IGNORECASE)
_INVISIBLES = re.compile(f"[{_INVISIBLE}]+")
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})", re.IGNORECASE)
_ENCODED = re.compile(r"(?<![a-z0-9_-])xn--[a-z0-9._-]*[a-z0-9]", re.IGNORECASE)
_DOTS = str.maketrans("\u3002\uff61", "..")
_MOST_READINGS = 4  # of escapes within escapes


def read_plainly(text: str) -> str:
    """Return a text as a browser would read the host names in it.

    Escapes of URLs, HTML and JSON are decoded, one within another too, invisible characters are
    left out, and letters have their usual form.
    """
    for _ in range(_MOST_READINGS):
        if not _UNUSUAL.search(text):
            break
        decoded = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), unescape(unquote(text)))
        plain = unicodedata.normalize("NFKC", _INVISIBLES.sub("", decoded.translate(_DOTS)))
        if plain == text:
            break
        text = plain
    return text


def read_letters(text: str) -> str:
    """Return a text as ``read_plainly`` does, with internationalised names in their own letters, as
    some pages write them.
    """
    return _ENCODED.sub(lambda match: as_written(match[0].lower()), read_plainly(text))


def review_path(probe_cc: str) -> Path:
    """Return the path of a country's decisions."""
    return REVIEWS / f"{probe_cc.lower()}.yml"


def parse_decision(text: str) -> str:
    """Return the code of a decision from the code, with or without underscores, or from its words
    in any language.
    """
    for lang in map(open_language, ("en", *list_translated())):
        for code, words in DECISIONS.items():
            if text.casefold() in (code, code.replace("_", " "), lang.say(words).casefold()):
                return code
    raise ParameterError("decision", text, f"one of {', '.join(DECISIONS)} is accepted")


@dataclass(frozen=True)
class Withheld:
    """The withheld names of one country.

    Attributes:
        hosts: normalised host names, in the order of the decisions, so that a later decision does
            not change the placeholder of an earlier one.
    """

    hosts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hosts)

    @property
    def digest(self) -> str:
        """A digest of the names in their order, for files that are not published."""
        return hashlib.sha256("\n".join(self.hosts).encode()).hexdigest()[:16]

    @cached_property
    def spellings(self) -> Mapping[str, str]:
        """Spelling in lower case → the registered domain that it is of.

        An internationalised name has three: its ASCII form, its own letters, and these in a URL.
        """
        spellings: dict[str, str] = {}
        for site in self._sites:
            written = unicodedata.normalize("NFKC", as_written(site)).lower()
            spellings |= dict.fromkeys((site, written, quote(written).lower()), site)
        return spellings

    def rename(self, host: str) -> str:
        """Return the placeholder of a host name, or the name itself if it is not withheld."""
        registered = registrable_domain(host)
        if registered not in self._sites:
            return host
        return self._name(host.removesuffix(registered), registered)

    def restore(self, name: str) -> str:
        """Return the name behind a placeholder if a meeting named it, else the text itself."""
        return next((host for host in self.hosts if self.rename(host) == name), name)

    def mask(self, text: str) -> str:
        """Replace all names in a text by their placeholders, and drop the path of their URLs.

        If a name is spelled so that only a second reading finds it, the text is returned as
        ``read_letters`` gives it, with the placeholder.
        """
        masked = self._replace(text)
        plain = read_letters(masked)
        return self._replace(plain) if self._find(plain, self._pattern) else masked

    def spells(self, text: str) -> bool:
        """Test whether a text contains one of the names, or a host under its registered domain."""
        return self._find(text, self._pattern) or self._find(read_letters(text), self._pattern)

    def is_published_in(self, text: str) -> bool:
        """Test whether a text that should have placeholders contains one of the names.

        What ``mask`` returns has none. Two things that ``spells`` finds are no names here: the ends
        of a text without its middle (``mysite.example`` may end as ``… site.example``), and what
        would be a name in other letters.
        """
        return any(self._find(read, self._whole_name) for read in (text, read_plainly(text)))

    def refuse(self, parameter: str, where: object, texts: Iterable[str]) -> None:
        """Refuse texts of people that contain a withheld name.

        Raises:
            ParameterError: one does; names ``where`` and the text.
        """
        for text in texts:
            if self.spells(text):
                raise ParameterError(
                    parameter, where, f"spells a name that a meeting withheld: {text[:120]}"
                )

    def rename_lists(self, lists: TestLists) -> TestLists:
        """Return test lists with placeholders; the lines keep their list, category and order."""
        return replace(lists, entries=tuple(map(self._rename_entry, lists.entries)))

    def rename_local(self, local: LocalSites, probe_cc: str) -> LocalSites:
        """Return local sites with placeholders; those under the country's own domain stay local."""
        tlds = country_tlds(probe_cc)
        under = (site for name, (site, _) in self._sites.items() if name.rpartition(".")[2] in tlds)
        return replace(local, sites=frozenset(map(self.mask, local.sites)), tlds=frozenset(under))

    def drop_incidents(self, events: EventList) -> EventList:
        """Return events without OONI's incidents on one of the names, whose pages have the name.

        Raises:
            ParameterError: the title or the source of another event contains one.
        """
        remaining = []
        for event in events.events:
            texts = (event.title, event.source, *event.domains)
            if event.kind != INCIDENT:
                self.refuse("EVENTS", event.day, texts)
            if not any(map(self.spells, texts)):
                remaining.append(event)
        return replace(events, events=tuple(remaining))

    def _rename_entry(self, entry: ListEntry) -> ListEntry:
        """Replace a line's name and, if it is withheld, drop its source and notes."""
        domain, written = self.mask(entry.domain), [*map(self.mask, entry.written)]
        if domain != entry.domain:
            cells = zip(LIST_COLUMNS, written, strict=False)
            written = ["" if name in ("source", "notes") else cell for name, cell in cells]
        return replace(entry, url=self.mask(entry.url), domain=domain, written=tuple(written))

    @cached_property
    def _sites(self) -> Mapping[str, tuple[str, Mapping[str, str]]]:
        """Registered domain → its placeholder, and the placeholders of the hosts in decisions."""
        by_domain = defaultdict(list)
        for host in self.hosts:
            by_domain[registrable_domain(host)].append(host)
        sites = {}
        for number, (registered, hosts) in enumerate(by_domain.items(), start=1):
            placeholders: dict[str, str] = {}
            site = f"withheld-{number}"
            for position, host in enumerate(hosts, start=1):
                own = site if position == 1 else f"{position}.{site}"
                twin = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
                placeholders.setdefault(host, own)
                placeholders.setdefault(twin, f"www.{own}")
            sites[registered] = site, placeholders
        return sites

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(f"{_BEFORE}{self._hosts}{_AFTER}{_REST}", re.IGNORECASE)

    @cached_property
    def _whole_name(self) -> re.Pattern[str]:
        whole = f"{_ELIDED_BEFORE}{_BEFORE}{self._hosts}{_AFTER}{_ELIDED_AFTER}"
        return re.compile(whole, re.IGNORECASE)

    @property
    def _hosts(self) -> str:
        longest_first = sorted(self.spellings, key=len, reverse=True)
        return f"{_LABELS}(?P<site>{'|'.join(map(re.escape, longest_first))})"

    def _find(self, text: str, pattern: re.Pattern[str]) -> bool:
        lower = text.lower()
        is_likely = any(spelling in lower for spelling in self.spellings)
        return is_likely and pattern.search(text) is not None

    def _replace(self, text: str) -> str:
        return (
            self._pattern.sub(self._placeholder, text) if self._find(text, self._pattern) else text
        )

    def _placeholder(self, match: re.Match[str]) -> str:
        name = self._name(match["labels"].lower(), self.spellings[match["site"].lower()])
        return match["lead"] + name + ("/" if match["rest"] else "")

    def _name(self, labels: str, registered: str) -> str:
        """Return the placeholder of a host: what matched names it, never what stands before."""
        site, hosts = self._sites[registered]
        if any(spelling in labels for spelling in self.spellings):
            labels = "withheld."
        return hosts.get(labels + registered, f"{labels}other.{site}")


NONE_WITHHELD = Withheld()


def load_withheld(probe_cc: str, path: Path | None = None) -> Withheld:
    """Return the withheld names of a country; none if it has no file of decisions.

    Only the necessary part of the file is checked, because it is read wherever measurements are
    opened; ``review.decisions`` checks all of it.

    Args:
        probe_cc: the country.
        path: the file; by default the country's.

    Raises:
        ParameterError: a decision cannot be read; names file and line.
    """
    path = path or review_path(probe_cc)
    if not path.exists():
        return NONE_WITHHELD
    reader = NodeReader(path, "review")
    hosts = []
    for node in _list_decisions(reader):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        cells = {reader.plain(key): value for key, value in pairs}
        if not {"item", "decision", "date"} <= cells.keys():
            reader.fail(node, "a decision must have item, decision and date")
        if reader.checked(cells["decision"], parse_decision) == WITHHOLD:
            day = reader.checked(cells["date"], lambda text: parse_date("date", text))
            hosts.append((day, reader.checked(cells["item"], parse_withheld)))
    return Withheld(tuple(dict.fromkeys(host for _, host in sorted(hosts))))


def load_withheld_of(codes: Iterable[str]) -> Withheld:
    """Return the names that any of several countries withholds."""
    hosts = [host for code in codes for host in load_withheld(code).hosts]
    return Withheld(tuple(dict.fromkeys(hosts)))


def hide_names(frame: pd.DataFrame, withheld: Withheld, probe_cc: str, column: str) -> pd.DataFrame:
    """Return one country's rows, for a page of several, without the names that any withholds.

    A country's own ones were replaced when its measurements were opened; what stands for them gets
    the country's code, because in another country the same words stand for another site.

    Args:
        frame: rows of the country.
        withheld: of all countries on the page.
        probe_cc: the country.
        column: that of the site.
    """
    masked = frame.copy()
    for name, kind in frame.dtypes.items() if withheld else ():
        if kind == "str":
            masked[name] = frame[name].map(withheld.mask, na_action="ignore")
    names, is_own = masked[column], frame[column].map(is_placeholder).astype(bool)
    masked[column] = names.mask(is_own, f"{probe_cc.lower()}." + names)
    return masked


def _list_decisions(reader: NodeReader) -> list[yaml.Node]:
    head = reader.mapping(reader.root(), ("probe_cc", "decisions"), "the file")
    return reader.items(head["decisions"], MOST_DECISIONS, "decisions")


def parse_withheld(text: str) -> str:
    """Parse the host name of a decision to withhold it."""
    host = normalise(text)
    if not host or is_placeholder(host):
        raise ParameterError("item", text, "a site can be withheld, by its host name")
    return host
