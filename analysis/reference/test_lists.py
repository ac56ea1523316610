"""Citizen Lab test lists: categories of sites, and what is on a country's own list."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import yaml

from analysis.errors import ParameterError
from analysis.hosts import normalise
from analysis.period import parse_date
from analysis.reference.reference_files import (
    REFERENCE,
    REQUIRED_COLUMNS,
    NodeReader,
    ReferenceFile,
    Role,
    countries,
    country_tlds,
    given_or_shipped,
    is_fictional,
    parse_country,
    read_csv,
)

#: What ``TestLists.category_of`` gives for a domain that no list names.
UNCATEGORISED = ("NONE", "Not on a test list")
#: The columns of Citizen Lab's lists, in their order.
LIST_COLUMNS = ("url", "category_code", "category_description", "date_added", "source", "notes")
_CATEGORY_CODE = re.compile(r"[A-Z0-9]{2,8}", re.ASCII)


# Categories and test lists -----------------------------------------------------------------------


@lru_cache(maxsize=1)
def category_names() -> Mapping[str, str]:
    """The name of each of Citizen Lab's category codes, from ``data/reference/categories.csv``."""
    table = read_csv(REFERENCE / "categories.csv", ("category_code", "category"), "TEST_LIST")
    return MappingProxyType({row["category_code"]: row["category"] for _, row in table.rows})


@dataclass(frozen=True)
class ListEntry:
    """One line of a test list; ``domain`` is the normalised host of ``url``.

    ``written`` are its cells in the order of ``LIST_COLUMNS``, as they stand in the file.
    """

    role: Role
    url: str
    domain: str
    category_code: str
    category: str
    file: str
    line: int
    written: tuple[str, ...] = ()

    @property
    def date_added(self) -> str:
        """The day on which it came onto the list, ISO; empty where the list does not say."""
        return self.written[LIST_COLUMNS.index("date_added")] if self.written else ""


@dataclass(frozen=True)
class TestLists:
    """The test lists of one country: its own list and the general ones (Citizen Lab's global).

    Attributes:
        probe_cc: the country.
        entries: all lines, country list first, in file order.
        files: the files they come from, with digest, row count and latest ``date_added``.
    """

    __test__ = False  # pytest takes any class called Test… for a test

    probe_cc: str
    entries: tuple[ListEntry, ...] = ()
    files: tuple[ReferenceFile, ...] = ()

    @cached_property
    def _by_domain(self) -> Mapping[str, list[ListEntry]]:
        grouped: dict[str, list[ListEntry]] = {}
        for entry in self.entries:
            grouped.setdefault(entry.domain, []).append(entry)
        return grouped

    def is_on_country_list(self, domain: str) -> bool:
        """Whether a line of the country's own list has this very host name."""
        return any(entry.role == "country" for entry in self._by_domain.get(domain, ()))

    def is_listed(self, domain: str) -> bool:
        """Whether a line of any list has this very host name."""
        return domain in self._by_domain

    def category_of(self, domain: str, inputs: Iterable[str] = ()) -> tuple[str, str]:
        """The one category of a domain.

        The exact URL on the country list comes first, then the host on it, then the general
        lists; what still ties goes by the alphabet of the codes.

        Args:
            domain: a normalised host name.
            inputs: the URLs that were measured. Without them the exact URL is the site's front
                page.

        Returns:
            Code and name; ``UNCATEGORISED`` for a domain that no list names.
        """
        exact = {_with_path(url) for url in inputs}
        listed = self._by_domain.get(domain, ())
        if not listed:
            return UNCATEGORISED

        def rank(entry: ListEntry) -> tuple[int, str, str]:
            if entry.role != "country":
                return 2, entry.category_code, entry.category
            is_exact = entry.url in exact if exact else _is_front_page(entry.url)
            return 0 if is_exact else 1, entry.category_code, entry.category

        first = min(listed, key=rank)
        return first.category_code, first.category


def load_test_lists(paths: str | Path | Sequence[str | Path] | None, probe_cc: str) -> TestLists:
    """Read Citizen Lab-shaped test lists.

    Args:
        paths: CSV files, or folders that hold ``<cc>.csv``, ``global.csv`` or both; a text may
            name several, separated by commas; nothing gives no list. A file named for the
            country (``kh.csv``, ``kh-2026.csv``) is the country's own list; every other file
            is a general one.
        probe_cc: the country.

    Raises:
        ParameterError: a file cannot be read, is another country's list, or one of its lines is
            wrong; names the file, the line and what is wrong.
    """
    code = parse_country(probe_cc)
    entries: list[ListEntry] = []
    files: list[ReferenceFile] = []
    for path in _list_files(paths, code):
        role = _role_of(path, code)
        rows, file = _read_list(path, role)
        entries.extend(rows)
        files.append(file)
    entries.sort(key=lambda entry: entry.role != "country")  # stable: file order stays
    return TestLists(code, tuple(entries), tuple(files))


def _list_files(paths: str | Path | Sequence[str | Path] | None, code: str) -> list[Path]:
    given = [paths] if isinstance(paths, str | Path) else list(paths or ())
    lists: dict[Path, Path] = {}  # each file once
    for item in given:
        # A comma in a file's name is allowed where such a file exists.
        is_one = isinstance(item, Path) or Path(item).expanduser().exists()
        for part in [str(item)] if is_one else str(item).split(","):
            path = Path(part.strip()).expanduser()
            if part.strip():
                for file in _folder_lists(path, code) if path.is_dir() else [path]:
                    lists.setdefault(file.resolve(), file)
    return list(lists.values())


def _folder_lists(folder: Path, code: str) -> list[Path]:
    names = (f"{code.lower()}.csv", "global.csv")
    files = [folder / name for name in names if (folder / name).is_file()]
    if not files:
        raise ParameterError("TEST_LIST", folder, f"the folder holds neither {' nor '.join(names)}")
    return files


def _role_of(path: Path, code: str) -> Role:
    prefix = re.split(r"[^a-z]", path.stem.lower(), maxsplit=1)[0].upper()
    if prefix == code:
        return "country"
    if prefix in countries() or is_fictional(prefix):
        raise ParameterError("TEST_LIST", path, f"is the list of {prefix}, not of {code}")
    return "general"


def _read_list(path: Path, role: Role) -> tuple[list[ListEntry], ReferenceFile]:
    table = read_csv(path, REQUIRED_COLUMNS, "TEST_LIST")
    entries: list[ListEntry] = []
    for line, row in table.rows:
        with table.at(line):
            _check_line(row)
        code, url = row["category_code"], row["url"]
        name = category_names().get(code) or row["category_description"] or code
        written = tuple(row.get(column, "") for column in LIST_COLUMNS)
        entries.append(
            ListEntry(role, _with_path(url), normalise(url), code, name, path.name, line, written)
        )
    latest = max((entry.date_added for entry in entries), default="")
    return entries, table.described(f"{role} test list", len(entries), latest)


def _check_line(row: Mapping[str, str]) -> None:
    if not row["url"].lower().startswith(("http://", "https://")):
        raise ValueError(f"url {row['url']!r} does not start with http:// or https://")
    if not normalise(row["url"]):
        raise ValueError(f"url {row['url']!r} has no usable host name")
    code = row["category_code"]
    if not _CATEGORY_CODE.fullmatch(code):
        raise ValueError(f"category_code {code!r} is not 2 to 8 capital letters or digits")
    if row.get("date_added"):
        parse_date("date_added", row["date_added"])


def _with_path(url: str) -> str:
    """The URL with ``/`` where it names no path, as OONI's probes write it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme and parts.netloc and not (parts.path or parts.query or parts.fragment):
        return f"{url}/"
    return url


def _is_front_page(url: str) -> bool:
    parts = urlsplit(url)
    return parts.path in ("", "/") and not parts.query


_MOST, _LONGEST = 10_000, 1_000  # sites; characters of a reason or source


@dataclass(frozen=True)
class LocalSites:
    """The local sites of one country.

    Attributes:
        sites: by host name.
        file: None where the country has no such file.
        tlds: what stands for names under the country's top-level domain that are withheld.
    """

    sites: frozenset[str] = frozenset()
    file: ReferenceFile | None = None
    tlds: frozenset[str] = frozenset()


def load_local_sites(probe_cc: str, path: Path | None = None) -> LocalSites:
    """Read ``local_sites/<cc>.yml``: ``sources`` by key, and ``sites`` with domain, reason, source.

    Args:
        probe_cc: the country.
        path: the file; by default the shipped one, if there is one.

    Raises:
        ParameterError: the file is not what it should be; names the file and the line.
    """
    path = given_or_shipped(path, f"local_sites/{parse_country(probe_cc).lower()}.yml")
    if path is None:
        return LocalSites()
    reader = NodeReader(path, "local_sites")
    head = reader.mapping(reader.root(), ("sources", "sites"), "the file")
    if not isinstance(head["sources"], yaml.MappingNode):
        reader.fail(head["sources"], "sources must be a mapping")
    sources = {reader.plain(key): value for key, value in head["sources"].value}
    sites: set[str] = set()
    for node in reader.items(head["sites"], _MOST, "sites"):
        cells = reader.mapping(node, ("domain", "reason", "source"), "a site")
        domain, key = reader.plain(cells["domain"]), reader.plain(cells["source"])
        if not domain or normalise(domain) != domain:
            reader.fail(node, f"domain {domain!r} is not a normalised host name")
        if key not in sources:
            reader.fail(node, f"source {key!r} of {domain} is not among the sources")
        if domain in sites:
            reader.fail(node, f"{domain} is listed twice")
        reader.text(cells["reason"], f"the reason of {domain}", _LONGEST)
        reader.text(sources[key], f"source {key}", _LONGEST)
        sites.add(domain)
    return LocalSites(frozenset(sites), reader.described("local sites", len(sites)))


def is_local(domain: str, probe_cc: str, lists: TestLists, local_sites: LocalSites) -> bool:
    """Whether a site belongs to the country.

    It does where its name ends in the country's top-level domain, or the country's own test
    list has this host name, or ``local_sites/<cc>.yml`` names it.
    """
    tld = domain.rpartition(".")[2]
    return (
        tld in country_tlds(probe_cc)
        or tld in local_sites.tlds
        or lists.is_on_country_list(domain)
        or domain in local_sites.sites
    )
