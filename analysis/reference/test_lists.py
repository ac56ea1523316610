"""Citizen Lab's test lists: categories of sites, and the sites on a country's own list."""

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

#: The result of ``TestLists.category_of`` for a domain that is on no list.
UNCATEGORISED = ("NONE", "Not on a test list")
#: The columns of Citizen Lab's lists, in their order.
LIST_COLUMNS = ("url", "category_code", "category_description", "date_added", "source", "notes")
_CATEGORY_CODE = re.compile(r"[A-Z0-9]{2,8}", re.ASCII)


# Categories and test lists -----------------------------------------------------------------------


@lru_cache(maxsize=1)
def category_names() -> Mapping[str, str]:
    """Return Citizen Lab's category code → name, from ``data/reference/categories.csv``."""
    table = read_csv(REFERENCE / "categories.csv", ("category_code", "category"), "TEST_LIST")
    return MappingProxyType({row["category_code"]: row["category"] for _, row in table.rows})


@dataclass(frozen=True)
class ListEntry:
    """One line of a test list; ``domain`` is the normalised host of ``url``.

    ``written`` are its cells as in the file, in the order of ``LIST_COLUMNS``.
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
        """The day on which it was added to the list, ISO; empty if the list does not say it."""
        return self.written[LIST_COLUMNS.index("date_added")] if self.written else ""


@dataclass(frozen=True)
class TestLists:
    """The test lists of one country: its own list and the general ones (Citizen Lab's global).

    Attributes:
        probe_cc: the country.
        entries: all lines, country list first, in file order.
        files: their files, with digest, row count and latest ``date_added``.
    """

    __test__ = False  # pytest collects classes by their name

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
        """Test whether the country's own list has exactly this host name."""
        return any(entry.role == "country" for entry in self._by_domain.get(domain, ()))

    def is_listed(self, domain: str) -> bool:
        """Test whether any list has exactly this host name."""
        return domain in self._by_domain

    def category_of(self, domain: str, inputs: Iterable[str] = ()) -> tuple[str, str]:
        """Return the category of a domain.

        The exact URL on the country list comes first, then the host on it, then the general
        lists; ties are decided by the alphabetical order of the codes.

        Args:
            domain: a normalised host name.
            inputs: the URLs that were measured. Without them the exact URL is the site's front
                page.

        Returns:
            Code and name; ``UNCATEGORISED`` for a domain that is on no list.
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
    """Read test lists in Citizen Lab's format.

    Args:
        paths: CSV files, or folders with ``<cc>.csv``, ``global.csv`` or both; a text may name
            several, separated by commas, or none. A file named for the country (``kh.csv``,
            ``kh-2026.csv``) is the country's own list; every other file is a general one.
        probe_cc: the country.

    Raises:
        ParameterError: a file cannot be read, is another country's list, or one of its lines is
            wrong; names the file, the line and the fault.
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
    lists: dict[Path, Path] = {}  # each file once
    for item in [paths] if isinstance(paths, str | Path) else paths or ():
        for path in _split_paths(item):
            for file in _folder_lists(path, code) if path.is_dir() else [path]:
                lists.setdefault(file.resolve(), file)
    return list(lists.values())


def _split_paths(text: str | Path) -> list[Path]:
    """Split at commas, unless a file exists whose name has a comma."""
    is_path = isinstance(text, Path) or Path(text).expanduser().exists()
    parts = [str(text)] if is_path else str(text).split(",")
    return [Path(part.strip()).expanduser() for part in parts if part.strip()]


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
    """Add ``/`` to a URL without a path, as OONI's probes do."""
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


_SITE_LIMIT, _TEXT_LENGTH = 10_000, 1_000  # sites; characters of a reason or source


@dataclass(frozen=True)
class LocalSites:
    """The local sites of one country.

    Attributes:
        sites: by host name.
        file: None if the country has no such file.
        tlds: placeholders of withheld names under the country's top-level domain.
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
        ParameterError: the file is invalid; names the file and the line.
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
    for node in reader.items(head["sites"], _SITE_LIMIT, "sites"):
        cells = reader.mapping(node, ("domain", "reason", "source"), "a site")
        domain, key = reader.plain(cells["domain"]), reader.plain(cells["source"])
        if not domain or normalise(domain) != domain:
            reader.fail(node, f"domain {domain!r} is not a normalised host name")
        if key not in sources:
            reader.fail(node, f"source {key!r} of {domain} is not among the sources")
        if domain in sites:
            reader.fail(node, f"{domain} is listed twice")
        reader.text(cells["reason"], f"the reason of {domain}", _TEXT_LENGTH)
        reader.text(sources[key], f"source {key}", _TEXT_LENGTH)
        sites.add(domain)
    return LocalSites(frozenset(sites), reader.described("local sites", len(sites)))


def is_local(domain: str, probe_cc: str, lists: TestLists, local_sites: LocalSites) -> bool:
    """Test whether a site belongs to the country.

    It does if its name ends in the country's top-level domain, or the country's own test list or
    ``local_sites/<cc>.yml`` has this host name.
    """
    tld = domain.rpartition(".")[2]
    if tld in country_tlds(probe_cc) or tld in local_sites.tlds:
        return True
    return lists.is_on_country_list(domain) or domain in local_sites.sites
