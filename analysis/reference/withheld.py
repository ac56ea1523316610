"""Names of sites that a meeting withheld, for somebody's safety, and what stands for them.

The decision *withhold* in ``data/review/<cc>.yml`` names a host. In everything that is made of the
country's measurements, whatever the period and the method, ``withheld-1`` stands for it, and for
every other host under the same registered domain a name below that: ``www.withheld-1`` for the one
with or without ``www.``, else ``en.other.withheld-1``. So measurements of one site remain those of
one site, and nobody has to think of a host that a stranger may test next.

Names are changed where observations and lists are opened. Whatever is made of these has the
placeholder and needs to know nothing of this.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, unquote

import yaml

from analysis.errors import ParameterError
from analysis.hosts import as_written, is_placeholder, normalise, registrable_domain
from analysis.languages.language import list_translated, open_language
from analysis.period import parse_date
from analysis.reference.events import INCIDENT, EventList
from analysis.reference.reference_files import REPOSITORY, NodeReader, country_tlds
from analysis.reference.test_lists import LIST_COLUMNS, ListEntry, LocalSites, TestLists
from analysis.vocabulary import DECISIONS

#: One file of decisions a country.
REVIEWS = REPOSITORY / "data" / "review"
MOST_DECISIONS = 5_000
WITHHOLD = "withhold"

# What may stand before and after a name in a text: some files spell a character as ``%2F`` or
# ``\n``, and Khmer has no space between words. What is published may be the end of a long name
# whose middle was left out; what is measured is not, whatever a stranger writes before it.
# It is looked for from the first label of a host on, so that no long text takes long.
_BEFORE = (
    r"(?:(?<![{letters}%\\-])(?<![{letters}-]\.){elided}"
    r"|(?<=%[0-9a-f][0-9a-f])|(?<=\\[nrt])|(?<=\\)(?![nrt]))"
)
_AFTER = r"(?![{letters}]|\.[{letters}])"
_ELIDED_BEFORE, _ELIDED_AFTER = r"(?<!… )", r"(?!\.? …)"
_ASCII, _ANY = "a-z0-9_", r"\w"
_LABELS = r"(?:(?:[a-z0-9_-]+\.)*)"
_REST = r"""(?P<rest>\.?(?::[0-9]+)?[/?#][^\s"'<>]*)?"""


def review_path(probe_cc: str) -> Path:
    """The file of a country's decisions."""
    return REVIEWS / f"{probe_cc.lower()}.yml"


def parse_decision(text: str) -> str:
    """The code of a decision, given as such, with or without underscores, or in the words of any
    language."""
    for lang in map(open_language, ("en", *list_translated())):
        for code, words in DECISIONS.items():
            if text.casefold() in (code, code.replace("_", " "), lang.say(words).casefold()):
                return code
    raise ParameterError("decision", text, f"one of {', '.join(DECISIONS)} is accepted")


@dataclass(frozen=True)
class Withheld:
    """The names withheld of one country.

    Attributes:
        hosts: normalised host names, in the order in which meetings decided on them: a later
            decision gives none of them another placeholder.
    """

    hosts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hosts)

    @property
    def digest(self) -> str:
        """Of the names in their order; for files that are not published."""
        return hashlib.sha256("\n".join(self.hosts).encode()).hexdigest()[:16]

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """Every spelling, in lower case, without which a text holds none of the names."""
        names = [each for one in self._sites for each in (one, as_written(one).lower())]
        return tuple(dict.fromkeys(each for one in names for each in (one, quote(one).lower())))

    def rename(self, host: str) -> str:
        """What stands for a host name; the name itself where it is not withheld."""
        registered = registrable_domain(host)
        if registered not in self._sites:
            return host
        site, hosts = self._sites[registered]
        labels = host.removesuffix(registered)
        return hosts.get(host, f"{labels}other.{site}")

    def restore(self, name: str) -> str:
        """The name that a placeholder stands for, if a meeting named it; any other as it is."""
        return next((host for host in self.hosts if self.rename(host) == name), name)

    def mask(self, text: str) -> str:
        """A text with the placeholders of all names in it; what follows a host in a URL goes."""
        if not self.spells(text):
            return text
        return self._pattern.sub(self._placeholder, text)

    def spells(self, text: str) -> bool:
        """Whether one of the names, or a host under its registered domain, stands in a text."""
        lower = text.lower()
        is_likely = any(spelling in lower for spelling in self.spellings)
        return is_likely and self._pattern.search(text) is not None

    def is_published_in(self, text: str) -> bool:
        """Whether a text that was made of placeholders spells one of the names all the same.

        More has to fit than in ``spells``: nobody who tests a name like it, such as
        ``site.example-x``, shall stop a report.
        """
        lower = text.lower()
        is_likely = any(spelling in lower for spelling in self.spellings)
        return is_likely and self._whole_name.search(text) is not None

    def refuse(self, parameter: str, where: object, texts: Iterable[str]) -> None:
        """Refuse what people wrote where it spells a name that they withheld.

        Raises:
            ParameterError: it does; names the place and the text.
        """
        for text in texts:
            if self.spells(text):
                raise ParameterError(
                    parameter, where, f"spells a name that a meeting withheld: {text[:120]}"
                )

    def rename_lists(self, lists: TestLists) -> TestLists:
        """Test lists with the placeholders: each line has its list, category and place."""
        return replace(lists, entries=tuple(map(self._rename_entry, lists.entries)))

    def rename_local(self, local: LocalSites, probe_cc: str) -> LocalSites:
        """Local sites with the placeholders; those under the country's top-level domain stay so."""
        tlds = country_tlds(probe_cc)
        under = (site for name, (site, _) in self._sites.items() if name.rpartition(".")[2] in tlds)
        return replace(local, sites=frozenset(map(self.mask, local.sites)), tlds=frozenset(under))

    def drop_incidents(self, events: EventList) -> EventList:
        """Events without what OONI published about one of the names: its page there has the name.

        Raises:
            ParameterError: the title or the source of another event spells one.
        """
        kept = []
        for event in events.events:
            told = (event.title, event.source, *event.domains)
            if event.kind != INCIDENT:
                self.refuse("EVENTS", event.day, told)
            if not any(map(self.spells, told)):
                kept.append(event)
        return replace(events, events=tuple(kept))

    def _rename_entry(self, entry: ListEntry) -> ListEntry:
        """What a list says beside a withheld name, such as notes, goes."""
        domain, written = self.mask(entry.domain), [*map(self.mask, entry.written)]
        if domain != entry.domain:
            cells = zip(LIST_COLUMNS, written, strict=False)
            written = ["" if name in ("source", "notes") else cell for name, cell in cells]
        return replace(entry, url=self.mask(entry.url), domain=domain, written=tuple(written))

    @cached_property
    def _sites(self) -> Mapping[str, tuple[str, Mapping[str, str]]]:
        """Registered domain → its placeholder, and those of its hosts that are no *other*."""
        together = defaultdict(list)
        for host in self.hosts:
            together[registrable_domain(host)].append(host)
        sites = {}
        for number, (registered, hosts) in enumerate(together.items(), start=1):
            named: dict[str, str] = {}
            site = f"withheld-{number}"
            for place, host in enumerate(hosts, start=1):
                own = site if place == 1 else f"{place}.{site}"
                twin = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
                named.setdefault(host, own)
                named.setdefault(twin, f"www.{own}")
            sites[registered] = site, named
        return sites

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        before, after = (one.replace("{letters}", _ASCII) for one in (_BEFORE, _AFTER))
        before = before.replace("{elided}", "")
        return re.compile(f"{before}(?P<host>{self._hosts}){after}{_REST}", re.IGNORECASE)

    @cached_property
    def _whole_name(self) -> re.Pattern[str]:
        before, after = (one.replace("{letters}", _ANY) for one in (_BEFORE, _AFTER))
        before = before.replace("{elided}", _ELIDED_BEFORE)
        return re.compile(
            f"{before}{self._hosts}{after}{_ELIDED_AFTER}(?!-|[.][.-])", re.IGNORECASE
        )

    @property
    def _hosts(self) -> str:
        return rf"{_LABELS}(?:{'|'.join(map(re.escape, self.spellings))})"

    def _placeholder(self, found: re.Match[str]) -> str:
        host = normalise(unquote(found["host"])) or found["host"]
        return self.rename(host) + ("/" if found["rest"] else "")


NONE_WITHHELD = Withheld()


def load_withheld(probe_cc: str, path: Path | None = None) -> Withheld:
    """The names that meetings withheld of a country; none where it has no file of decisions.

    No more of the file is read than this needs, since it is read wherever measurements are opened;
    ``review.decisions`` checks all of it.

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
    found = []
    for node in _list_decisions(reader):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        cells = {reader.plain(key): value for key, value in pairs}
        if not {"item", "decision", "date"} <= cells.keys():
            reader.fail(node, "a decision must have item, decision and date")
        if reader.checked(cells["decision"], parse_decision) == WITHHOLD:
            day = reader.checked(cells["date"], lambda text: parse_date("date", text))
            found.append((day, reader.checked(cells["item"], parse_withheld)))
    return Withheld(tuple(dict.fromkeys(host for _, host in sorted(found))))


def _list_decisions(reader: NodeReader) -> list[yaml.Node]:
    head = reader.mapping(reader.root(), ("probe_cc", "decisions"), "the file")
    return reader.items(head["decisions"], MOST_DECISIONS, "decisions")


def parse_withheld(text: str) -> str:
    """The host name of a decision to withhold it."""
    host = normalise(text)
    if not host or is_placeholder(host):
        raise ParameterError("item", text, "a site can be withheld, by its host name")
    return host
