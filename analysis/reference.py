"""Reference data: countries, test lists, categories and local sites, each with its digest.

What ships lies in ``data/reference`` and is found from this file, so that a notebook's working
folder does not matter. What a person hands in (``TEST_LIST``) is checked line by line: a list
that is read wrongly would silently change which sites count as local.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

import pandas as pd
import yaml

from analysis.errors import ContractError, ParameterError
from analysis.hostnames import normalise

#: The folder that holds ``analysis/``, ``data/`` and ``notebooks/``.
REPOSITORY = Path(__file__).resolve().parents[1]
#: Shipped reference data; ``sources.csv`` in it says where each file comes from.
REFERENCE = REPOSITORY / "data" / "reference"

#: What ``TestLists.category_of`` gives for a domain that no list names.
UNCATEGORISED = ("NONE", "Not on a test list")

#: ISO 3166-1 leaves these codes to their users; no country will ever have one.
_FICTIONAL = re.compile(r"AA|Q[M-Z]", re.ASCII)
_COUNTRY_CODE = re.compile(r"[A-Z]{2}", re.ASCII)
_CATEGORY_CODE = re.compile(r"[A-Z0-9]{2,8}", re.ASCII)
_REQUIRED = ("url", "category_code", "category_description")

Role = Literal["country", "general"]


# Reading files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReferenceFile:
    """One file of reference data, as ``run.json`` names it.

    Attributes:
        name: file name without its folder, which is nobody else's business.
        role: what the file is used for, for example ``country test list``.
        digest: SHA-256 of its bytes, in hexadecimal.
        row_count: rows or entries read from it.
        date: the latest date inside the file, ISO; empty where it holds none.
    """

    name: str
    role: str
    digest: str
    row_count: int
    date: str = ""


@dataclass(frozen=True)
class CsvTable:
    """A CSV file as read: ``rows`` are (line number, cells by column name), in file order."""

    digest: str
    rows: tuple[tuple[int, Mapping[str, str]], ...]


def read_csv(path: Path, required: Sequence[str], parameter: str) -> CsvTable:
    """Read a UTF-8 CSV file with a header row; blank lines are skipped, cells are stripped.

    Args:
        path: the file.
        required: columns that must be there; others are kept as they are.
        parameter: the parameter that named the file, for the error.

    Raises:
        ParameterError: the file is missing, not UTF-8, not CSV, lacks a column, or a line has
            more or fewer cells than the header; names the file, the line and what is wrong.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ParameterError(parameter, path, f"cannot be read: {reason}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParameterError(parameter, path, f"line {line}: not UTF-8 text") from None
    lines = _csv_lines(text, path, parameter)
    _, header = next(lines, (1, []))
    missing = [column for column in required if column not in header]
    if missing:
        raise ParameterError(parameter, path, f"line 1: no column {', '.join(missing)}")
    if len(set(header)) != len(header):
        raise ParameterError(parameter, path, "line 1: two columns have the same name")
    rows: list[tuple[int, Mapping[str, str]]] = []
    for line, cells in lines:
        if len(cells) != len(header):
            message = f"line {line}: {len(cells)} cells where the header has {len(header)}"
            raise ParameterError(parameter, path, message)
        rows.append((line, MappingProxyType(dict(zip(header, cells, strict=True)))))
    return CsvTable(hashlib.sha256(data).hexdigest(), tuple(rows))


def _csv_lines(text: str, path: Path, parameter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        raise ParameterError(parameter, path, f"line {line}: not CSV: {error}") from None


# Countries ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Country:
    """A country: ISO 3166-1 alpha-2 code, English short name, its top-level domains."""

    code: str
    name: str
    tlds: tuple[str, ...]


@lru_cache(maxsize=1)
def countries() -> Mapping[str, Country]:
    """All countries by code, from ``data/reference/countries.csv``; fictional ones are not in."""
    table = read_csv(REFERENCE / "countries.csv", ("code", "name", "tlds"), "PROBE_CC")
    return MappingProxyType(
        {
            row["code"]: Country(row["code"], row["name"], tuple(row["tlds"].split(";")))
            if row["tlds"]
            else Country(row["code"], row["name"], ())
            for _, row in table.rows
        }
    )


def is_fictional(probe_cc: str) -> bool:
    """Whether a country code is one of AA and QM to QZ, which stand for no country."""
    return _FICTIONAL.fullmatch(probe_cc) is not None


def parse_country(value: str) -> str:
    """Read PROBE_CC: the upper-case code of a known or a fictional country.

    Raises:
        ParameterError: ``value`` is neither.
    """
    code = value.strip().upper() if isinstance(value, str) else ""
    if _COUNTRY_CODE.fullmatch(code) and (code in countries() or is_fictional(code)):
        return code
    accepted = "a country is two letters of ISO 3166-1, or a fictional AA or QM to QZ"
    raise ParameterError("PROBE_CC", value, accepted)


def country_name(probe_cc: str) -> str:
    """The English short name of a country, ``Fictional country QQ`` for a fictional code.

    Raises:
        ParameterError: there is no such country.
    """
    code = parse_country(probe_cc)
    return f"Fictional country {code}" if is_fictional(code) else countries()[code].name


def country_tlds(probe_cc: str) -> tuple[str, ...]:
    """The top-level domains of a country in ASCII form, for example ``("ru", "xn--p1ai")``."""
    code = parse_country(probe_cc)
    return (code.lower(),) if is_fictional(code) else countries()[code].tlds


# Categories and test lists -----------------------------------------------------------------------


@lru_cache(maxsize=1)
def category_names() -> Mapping[str, str]:
    """The name of each of Citizen Lab's category codes, from ``data/reference/categories.csv``."""
    table = read_csv(REFERENCE / "categories.csv", ("category_code", "category"), "TEST_LIST")
    return MappingProxyType({row["category_code"]: row["category"] for _, row in table.rows})


@dataclass(frozen=True)
class ListEntry:
    """One line of a test list; ``domain`` is the normalised host of ``url``."""

    role: Role
    url: str
    domain: str
    category_code: str
    category: str
    file: str
    line: int


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
    _by_domain: Mapping[str, tuple[ListEntry, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        grouped: dict[str, list[ListEntry]] = {}
        for entry in self.entries:
            grouped.setdefault(entry.domain, []).append(entry)
        frozen = MappingProxyType({name: tuple(found) for name, found in grouped.items()})
        object.__setattr__(self, "_by_domain", frozen)

    @property
    def date(self) -> str:
        """The latest date of any list, ISO; empty where there is no list."""
        return max((file.date for file in self.files), default="")

    @property
    def frame(self) -> pd.DataFrame:
        """One row per line of a list: role, url, domain, category_code, category, file, line."""
        columns = ["role", "url", "domain", "category_code", "category", "file", "line"]
        rows = [[getattr(entry, column) for column in columns] for entry in self.entries]
        frame = pd.DataFrame(rows, columns=columns)
        text = dict.fromkeys(columns[:-1], "str")
        return frame.astype({**text, "line": "int64"})

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
        found = self._by_domain.get(domain, ())
        if not found:
            return UNCATEGORISED

        def rank(entry: ListEntry) -> tuple[int, str, str]:
            if entry.role != "country":
                return 2, entry.category_code, entry.category
            is_exact = entry.url in exact if exact else _is_front_page(entry.url)
            return 0 if is_exact else 1, entry.category_code, entry.category

        first = min(found, key=rank)
        return first.category_code, first.category


def load_test_lists(
    paths: str | Path | Sequence[str | Path] | None, probe_cc: str, parameter: str = "TEST_LIST"
) -> TestLists:
    """Read Citizen Lab-shaped test lists.

    Args:
        paths: CSV files, or folders that hold ``<cc>.csv``, ``global.csv`` or both; a text may
            name several, separated by commas; nothing gives no list. A file named for the
            country (``kh.csv``, ``kh-2026.csv``) is the country's own list; every other file
            is a general one.
        probe_cc: the country.
        parameter: the parameter that named the files, for the errors.

    Raises:
        ParameterError: a file cannot be read, is another country's list, or one of its lines is
            wrong; names the file, the line and what is wrong.
    """
    code = parse_country(probe_cc)
    entries: list[ListEntry] = []
    files: list[ReferenceFile] = []
    for path in _list_files(paths, code, parameter):
        role = _role_of(path, code, parameter)
        found, file = _read_list(path, role, parameter)
        entries.extend(found)
        files.append(file)
    entries.sort(key=lambda entry: entry.role != "country")  # stable: file order stays
    return TestLists(code, tuple(entries), tuple(files))


def _list_files(
    paths: str | Path | Sequence[str | Path] | None, code: str, parameter: str
) -> list[Path]:
    if paths is None:
        return []
    items: Iterable[str | Path] = [paths] if isinstance(paths, str | Path) else paths
    found: list[Path] = []
    for item in items:
        whole = Path(item).expanduser()
        # A comma in a file's name is allowed where such a file exists.
        if isinstance(item, str) and "," in item and not whole.exists():
            parts = [Path(part.strip()).expanduser() for part in item.split(",") if part.strip()]
        else:
            parts = [whole] if str(item).strip() else []
        for part in parts:
            found.extend(_folder_lists(part, code, parameter) if part.is_dir() else [part])
    names = [path.resolve() for path in found]
    return [path for place, path in enumerate(found) if names[place] not in names[:place]]


def _folder_lists(folder: Path, code: str, parameter: str) -> list[Path]:
    names = (f"{code.lower()}.csv", "global.csv")
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise ParameterError(parameter, folder, f"the folder holds neither {' nor '.join(names)}")
    return found


def _role_of(path: Path, code: str, parameter: str) -> Role:
    prefix = re.split(r"[^a-z]", path.stem.lower(), maxsplit=1)[0].upper()
    if prefix == code:
        return "country"
    if prefix in countries() or is_fictional(prefix):
        raise ParameterError(parameter, path, f"is the list of {prefix}, not of {code}")
    return "general"


def _read_list(path: Path, role: Role, parameter: str) -> tuple[list[ListEntry], ReferenceFile]:
    table = read_csv(path, _REQUIRED, parameter)
    entries: list[ListEntry] = []
    latest = ""
    for line, row in table.rows:
        fault = _line_fault(row)
        if fault:
            raise ParameterError(parameter, path, f"line {line}: {fault}")
        code = row["category_code"]
        name = category_names().get(code) or row["category_description"] or code
        url = row["url"]
        entries.append(
            ListEntry(role, _with_path(url), normalise(url), code, name, path.name, line)
        )
        latest = max(latest, row.get("date_added", ""))
    file = ReferenceFile(path.name, f"{role} test list", table.digest, len(entries), latest)
    return entries, file


def _line_fault(row: Mapping[str, str]) -> str:
    """What is wrong with a line of a test list, or nothing."""
    if not row["url"].lower().startswith(("http://", "https://")):
        return f"url {row['url']!r} does not start with http:// or https://"
    if not normalise(row["url"]):
        return f"url {row['url']!r} has no usable host name"
    if not _CATEGORY_CODE.fullmatch(row["category_code"]):
        return f"category_code {row['category_code']!r} is not 2 to 8 capital letters or digits"
    added = row.get("date_added", "")
    if added and not _is_iso_date(added):
        return f"date_added {added!r} is not written YYYY-MM-DD"
    return ""


def _is_iso_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


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


# Local sites -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LocalSite:
    """A host name that belongs to a country though neither its ccTLD nor its list says so."""

    domain: str
    reason: str
    source: str


@dataclass(frozen=True)
class LocalSites:
    """The local sites of one country; ``file`` is None where the country has no such file."""

    sites: Mapping[str, LocalSite]
    file: ReferenceFile | None = None

    def __contains__(self, domain: str) -> bool:
        return domain in self.sites


def load_local_sites(probe_cc: str, folder: Path | None = None) -> LocalSites:
    """Read ``local_sites/<cc>.yml``: ``sources`` by key, and ``sites`` with domain, reason, source.

    Args:
        probe_cc: the country.
        folder: where the files lie; by default the shipped ones.

    Raises:
        ContractError: the file is not what it should be; names the file and the entry.
    """
    path = (folder or REFERENCE / "local_sites") / f"{parse_country(probe_cc).lower()}.yml"
    if not path.is_file():
        return LocalSites(MappingProxyType({}))
    data = path.read_bytes()
    try:
        content = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name}: not YAML: {' '.join(str(error).split())}") from None
    sources = content.get("sources") if isinstance(content, dict) else None
    entries = content.get("sites") if isinstance(content, dict) else None
    if not isinstance(sources, dict) or not isinstance(entries, list):
        raise ContractError(f"{path.name}: must hold the mapping 'sources' and the list 'sites'")
    sites: dict[str, LocalSite] = {}
    for place, entry in enumerate(entries, start=1):
        site = _local_site(entry, sources, f"{path.name}, site {place}")
        if site.domain in sites:
            raise ContractError(f"{path.name}, site {place}: {site.domain} is listed twice")
        sites[site.domain] = site
    digest = hashlib.sha256(data).hexdigest()
    file = ReferenceFile(path.name, "local sites", digest, len(sites))
    return LocalSites(MappingProxyType(sites), file)


def _local_site(entry: object, sources: Mapping[Any, object], where: str) -> LocalSite:
    if not isinstance(entry, dict) or set(entry) != {"domain", "reason", "source"}:
        raise ContractError(f"{where}: must have exactly domain, reason and source")
    domain, reason, key = entry["domain"], entry["reason"], entry["source"]
    if not isinstance(domain, str) or not domain or normalise(domain) != domain:
        raise ContractError(f"{where}: domain {domain!r} is not a normalised host name")
    if not isinstance(reason, str) or not reason.strip():
        raise ContractError(f"{where}: {domain} gives no reason")
    source = sources.get(key) if isinstance(key, str) else None
    if not isinstance(source, str) or not source.strip():
        raise ContractError(f"{where}: source {key!r} of {domain} is not among the sources")
    return LocalSite(domain, " ".join(reason.split()), " ".join(source.split()))


def is_local(domain: str, probe_cc: str, lists: TestLists, local_sites: LocalSites) -> bool:
    """Whether a site belongs to the country.

    It does where its name ends in the country's top-level domain, or the country's own test
    list has this host name, or ``local_sites/<cc>.yml`` names it.
    """
    tld = domain.rpartition(".")[2]
    return (
        tld in country_tlds(probe_cc) or lists.is_on_country_list(domain) or domain in local_sites
    )


@lru_cache(maxsize=1)
def local_filters() -> tuple[tuple[IPv4Network | IPv6Network, str], ...]:
    """Networks whose addresses well-known DNS filters answer with, and the filter's name.

    Such a filter is chosen by a user, a school or an office, not by the network (guard G3).
    """
    table = read_csv(REFERENCE / "local_filters.csv", ("network", "name", "source"), "reference")
    return tuple((ip_network(row["network"]), row["name"]) for _, row in table.rows)


def local_filter_of(address: str) -> str:
    """The name of the DNS filter that answers with an address; empty where none does."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    return next((name for network, name in local_filters() if parsed in network), "")
