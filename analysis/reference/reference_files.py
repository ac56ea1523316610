"""Files of reference data, each with its digest: shipped, given by the user, or fetched.

Shipped files are in ``data/reference``, which is found from this file, so that a notebook's working
folder does not matter. A file of the user (``TEST_LIST``) is checked line by line, because a list
that is misread would silently change which sites count as local.

Dated snapshots keep the data of others, so that a report can be made again with the same data. Each
is a folder below ``data/reference/snapshots``, named for the UTC day of fetching::

    2026-11-25/test-lists/global.csv          as Citizen Lab publishes it
               test-lists/kh.csv              one for each country for which it was fetched
               fingerprints/fingerprints_dns.csv
               networks/asn-names.csv         extracted from a larger table

Each file has a sidecar, ``<file>.json``. A file without one was left by an interrupted run and is
ignored. A sidecar without a file means that the source has no such file, as for a country without
a test list. No function here uses a network; ``sources.reference_data`` fetches.
"""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import yaml

from analysis.errors import ContractError, ParameterError, describe_error
from analysis.files import digest_file
from analysis.languages.language import ENGLISH, Language
from analysis.period import Period, parse_date

_CHECKOUT = Path(__file__).resolve().parents[2]
_INSTALLED = Path("share") / "censorship-report-workbook"
#: The folder of the shipped files: ``notebooks/``, ``docs/`` and ``data/reference/``. It is the
#: repository or, for an installed package, a folder of the environment.
SHIPPED = next(
    (parent / _INSTALLED for parent in _CHECKOUT.parents if (parent / _INSTALLED).is_dir()),
    _CHECKOUT,
)
#: The default folder of data and reports: the repository or, for an installed package, the working
#: folder.
REPOSITORY = _CHECKOUT if SHIPPED == _CHECKOUT else Path.cwd()
#: Shipped reference data; ``sources.csv`` in it has the source of each file.
REFERENCE = SHIPPED / "data" / "reference"
NOTEBOOKS = SHIPPED / "notebooks"
#: Bytes of a file of reference data; registered names of all networks are 10 MB.
FILE_LIMIT = 100_000_000
_BLOCK = 1 << 20
REQUIRED_COLUMNS = ("url", "category_code", "category_description")

Role = Literal["country", "general"]


# Reading files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReferenceFile:
    """One file of reference data, as ``run.json`` names it.

    Attributes:
        name: file name without its folder, which is private.
        role: its use, for example ``country test list``.
        digest: SHA-256 of its bytes, in hexadecimal.
        row_count: rows or entries read from it.
        date: the latest date in the file, ISO; empty if it has none.
    """

    name: str
    role: str
    digest: str
    row_count: int
    date: str = ""


@dataclass(frozen=True)
class CsvTable:
    """A CSV file.

    Attributes:
        path: the file.
        parameter: that named it, for errors.
        digest: SHA-256 of its bytes.
        rows: line number and cells by column name, in file order; without blank lines, cells are
            stripped.
    """

    path: Path
    parameter: str
    digest: str
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    @contextmanager
    def at(self, line: int) -> Iterator[None]:
        """Turn a ValueError about a line's cells into a ParameterError with file and line."""
        try:
            yield
        except (ValueError, ParameterError) as error:
            raise ParameterError(self.parameter, self.path, f"line {line}: {error}") from None

    def described(self, role: str, row_count: int, date: str = "") -> ReferenceFile:
        """Return the file as ``run.json`` names it."""
        return ReferenceFile(self.path.name, role, self.digest, row_count, date)


def given_or_shipped(path: str | Path | None, shipped: str) -> Path | None:
    """Return the user's file, else the shipped one, or None if there is neither."""
    if path:
        return Path(path).expanduser()
    return REFERENCE / shipped if (REFERENCE / shipped).is_file() else None


def read_file(path: Path, parameter: str, limit: int = FILE_LIMIT) -> bytes:
    """Return the bytes of a user's file.

    Raises:
        ParameterError: it cannot be read, is not a regular file, or is too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise ParameterError(parameter, path, "cannot be read: not a file")
        with path.open("rb") as stream:
            # A single read would allocate the whole limit, however small the file is.
            blocks = iter(partial(stream.read, _BLOCK), b"")
            data = b"".join(islice(blocks, limit // _BLOCK + 2))
    except OSError as error:
        reason = f"cannot be read: {describe_error(error).lower()}"
        raise ParameterError(parameter, path, reason) from None
    if len(data) > limit:
        raise ParameterError(parameter, path, f"is larger than {limit / 1e6:g} MB")
    return data


def decode_text(data: bytes, path: Path, parameter: str) -> str:
    """Decode a file; ParameterError names a line that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParameterError(parameter, path, f"line {line}: not UTF-8 text") from None


def read_csv(path: Path, required: Sequence[str], parameter: str) -> CsvTable:
    """Read a UTF-8 CSV file with a header row; blank lines are skipped, cells are stripped.

    Args:
        path: the file.
        required: columns that must exist; others are kept.
        parameter: that named the file, for errors.

    Raises:
        ParameterError: the file is missing, not UTF-8, not CSV, lacks a column, or a line has
            more or fewer cells than the header; names the file, the line and the fault.
    """
    data = read_file(path, parameter)
    lines = _split_lines(decode_text(data, path, parameter), path, parameter)
    header = lines[0][1] if lines else []
    _check_header(header, required, path, parameter)
    rows: list[tuple[int, Mapping[str, str]]] = []
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            message = f"line {line}: {len(cells)} cells where the header has {len(header)}"
            raise ParameterError(parameter, path, message)
        rows.append((line, MappingProxyType(dict(zip(header, cells, strict=True)))))
    return CsvTable(path, parameter, hashlib.sha256(data).hexdigest(), tuple(rows))


def _split_lines(text: str, path: Path, parameter: str) -> list[tuple[int, list[str]]]:
    """Return number and stripped cells of the lines that are not blank."""
    lines: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((line, [cell.strip() for cell in cells]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ParameterError(parameter, path, f"line {line}: not CSV: {error}") from None
    return lines


def _check_header(header: list[str], required: Sequence[str], path: Path, parameter: str) -> None:
    missing = [column for column in required if column not in header]
    if missing:
        message = f"line 1: no column {', '.join(missing)}"
        separator = next((mark for mark in ";\t|" if any(mark in cell for cell in header)), "")
        if separator:
            message += f"; its cells seem to be separated by {separator!r}, save it with commas"
        raise ParameterError(parameter, path, message)
    if len(set(header)) != len(header):
        raise ParameterError(parameter, path, "line 1: two columns have the same name")


T = TypeVar("T")

_MOST_BYTES = 1_000_000


class NodeReader:
    """Reader of a YAML file, node by node; an error names the line.

    Args:
        path: the file.
        parameter: its name in errors.
    """

    def __init__(self, path: Path, parameter: str) -> None:
        self.path = path
        self.parameter = parameter
        self._data = read_file(path, parameter, _MOST_BYTES)

    def described(self, role: str, row_count: int, date: str = "") -> ReferenceFile:
        """Return the file as ``run.json`` names it."""
        digest = hashlib.sha256(self._data).hexdigest()
        return ReferenceFile(self.path.name, role, digest, row_count, date)

    def fail(self, node: yaml.Node | int, message: str) -> NoReturn:
        """Refuse the file because of a node or a line."""
        line = node if isinstance(node, int) else node.start_mark.line + 1
        raise ParameterError(self.parameter, self.path, f"line {line}: {message}")

    def root(self) -> yaml.Node:
        """Return the root node of the file."""
        text = decode_text(self._data, self.path, self.parameter)
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.fail(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}")
        except (yaml.YAMLError, RecursionError) as error:
            self.fail(1, f"not YAML: {' '.join(str(error).split())[:200]}")
        return root if root is not None else self.fail(1, "the file is empty")

    def mapping(
        self, node: yaml.Node, names: Sequence[str], what: str, optional: Sequence[str] = ()
    ) -> dict[str, yaml.Node]:
        """Return the entries of a mapping with exactly these keys, each once.

        Args:
            node: the mapping.
            names: required keys.
            what: the mapping in words, for the error.
            optional: keys that may be missing.
        """
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        entries = {self.plain(key): value for key, value in pairs}
        is_whole = set(names) <= set(entries) <= {*names, *optional}
        if len(entries) != len(pairs) or not is_whole or not isinstance(node, yaml.MappingNode):
            also = f", and may have {', '.join(optional)}" if optional else ""
            self.fail(node, f"{what} must have exactly {', '.join(names)}, each once{also}")
        return entries

    def items(self, node: yaml.Node, most: int, what: str, least: int = 1) -> list[yaml.Node]:
        """Return the nodes of a list."""
        if not isinstance(node, yaml.SequenceNode) or not least <= len(node.value) <= most:
            self.fail(node, f"{what} must be a list of {least} to {most:,}")
        return list(node.value)

    def plain(self, node: yaml.Node) -> str:
        """Return a scalar on one line; ``""`` for any other node, which every check refuses."""
        text = " ".join(str(node.value).split()) if isinstance(node, yaml.ScalarNode) else ""
        return text.encode("utf-8", "replace").decode()  # a quoted "\\ud800" is not a character

    def text(self, node: yaml.Node, name: str, longest: int) -> str:
        """Return a text on one line."""
        text = self.plain(node)
        if not 1 <= len(text) <= longest:
            self.fail(node, f"{name} must be text of 1 to {longest} characters")
        return text

    def checked(self, node: yaml.Node, parse: Callable[[str], T]) -> T:
        """Parse a scalar; an error names its line."""
        try:
            return parse(self.plain(node))
        except ParameterError as error:
            self.fail(node, str(error))

    def period(self, since: yaml.Node, until: yaml.Node) -> Period:
        """Return the period of two days."""
        return self.checked(until, lambda text: Period.parse(self.plain(since), text))


#: ISO 3166-1 reserves these codes for private use, so no country will ever have one.
_FICTIONAL = re.compile(r"AA|Q[M-Z]", re.ASCII)
_COUNTRY_CODE = re.compile(r"[A-Z]{2}", re.ASCII)


# Countries ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Country:
    """A country: ISO 3166-1 alpha-2 code, English short name, top-level domains, and the IANA time
    zone of its capital (empty if it has none).
    """

    code: str
    name: str
    tlds: tuple[str, ...]
    zone: str


@lru_cache(maxsize=1)
def countries() -> Mapping[str, Country]:
    """Return all countries of ``data/reference/countries.csv`` by code, without fictional ones."""
    table = read_csv(REFERENCE / "countries.csv", ("code", "name", "tlds", "zone"), "PROBE_CC")
    by_code = {}
    for _, row in table.rows:
        tlds = tuple(filter(None, row["tlds"].split(";")))
        by_code[row["code"]] = Country(row["code"], row["name"], tlds, row["zone"])
    return MappingProxyType(by_code)


def is_fictional(probe_cc: str) -> bool:
    """Test whether a country code is one of AA and QM to QZ, which belong to no country."""
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


def country_name(probe_cc: str, lang: Language = ENGLISH) -> str:
    """Return the short name of a country, ``Fictional country QQ`` for a fictional code.

    Raises:
        ParameterError: there is no such country.
    """
    code = parse_country(probe_cc)
    if is_fictional(code):
        return lang.say("Fictional country {code}", code=code)
    return lang.territory(code) or countries()[code].name


def country_tlds(probe_cc: str) -> tuple[str, ...]:
    """Return a country's top-level domains in ASCII form, for example ``("ru", "xn--p1ai")``."""
    code = parse_country(probe_cc)
    return (code.lower(),) if is_fictional(code) else countries()[code].tlds


def capital_zone(probe_cc: str) -> ZoneInfo | None:
    """Return the time zone of a country's capital; None for a fictional country."""
    code = parse_country(probe_cc)
    name = "" if is_fictional(code) else countries()[code].zone
    return ZoneInfo(name) if name else None


SNAPSHOTS = REPOSITORY / "data" / "reference" / "snapshots"
LATEST = "latest"

LEGEND = "test-lists/00-LEGEND-new_category_codes.csv"
GLOBAL_LIST = "test-lists/global.csv"
DNS_FINGERPRINTS = "fingerprints/fingerprints_dns.csv"
HTTP_FINGERPRINTS = "fingerprints/fingerprints_http.csv"
NETWORK_NAMES = "networks/asn-names.csv"

#: Folder in a snapshot → parameter.
_PARAMETERS = {
    "test-lists": "TEST_LIST",
    "fingerprints": "FINGERPRINTS",
    "networks": "NETWORK_NAMES",
}


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The origin of a file. With status 404 the source has no such file.

    Attributes:
        url: the address from which it was fetched.
        fetched_at: UTC time, ISO.
        role: its use, as in ``run.json``.
        licence: of the source.
        status: of the server's reply.
        size, sha256: of the file in the snapshot.
        row_count: rows that a report reads from it.
        date: the latest date in the file, ISO; empty if it has none.
    """

    url: str
    fetched_at: str
    role: str
    licence: str
    status: Literal[200, 404]
    size: int = 0
    sha256: str = ""
    row_count: int = 0
    date: str = ""


def country_list(probe_cc: str) -> str:
    """Return the name of a country's own test list in a snapshot."""
    return f"test-lists/{probe_cc.lower()}.csv"


def write_sidecar(folder: Path, name: str, sidecar: Sidecar) -> None:
    """Write the sidecar of a file, which may not exist."""
    target = _sidecar_path(folder, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n")


def _sidecar_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


@dataclass(frozen=True)
class Snapshot:
    """The reference data of one day; ``folder`` is named for it."""

    folder: Path

    @property
    def day(self) -> date:
        """The UTC day of fetching."""
        return date.fromisoformat(self.folder.name)

    def sidecar(self, name: str) -> Sidecar | None:
        """Return the sidecar of a file, or None if the snapshot does not have it.

        Raises:
            ContractError: the sidecar cannot be read.
        """
        path = _sidecar_path(self.folder, name)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Sidecar)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ContractError(f"{self._dated_name(path.name)} cannot be read: {error}") from None

    def holds(self, probe_cc: str) -> bool:
        """Test whether it has all files that a report on a country needs.

        Network names are not needed: without them a network is shown by its number.
        """
        needed = (LEGEND, GLOBAL_LIST, country_list(probe_cc), DNS_FINGERPRINTS, HTTP_FINGERPRINTS)
        return all(_sidecar_path(self.folder, name).is_file() for name in needed)

    def check(self, probe_cc: str) -> None:
        """Compare every file that a report on a country reads with its sidecar.

        Raises:
            ContractError: a file is not the one that was fetched; names it.
        """
        for name in _names(probe_cc):
            sidecar, digest = self.sidecar(name), ""
            with suppress(OSError):
                digest = digest_file(self.folder / name)
            if sidecar and sidecar.status == 200 and digest != sidecar.sha256:
                raise ContractError(
                    f"{self._dated_name(name)} is not the file that was fetched: its SHA-256 is "
                    "not the one in its sidecar; remove data/reference/snapshots/"
                    f"{self.day} to do without"
                )

    def parameters(self) -> dict[str, str]:
        """Return parameter → path of the files, empty if there are none."""
        has_names = self.sidecar(NETWORK_NAMES) is not None
        return {
            "TEST_LIST": str(self.folder / "test-lists"),
            "FINGERPRINTS": str(self.folder / "fingerprints"),
            "NETWORK_NAMES": str(self.folder / NETWORK_NAMES) if has_names else "",
        }

    def files(
        self, probe_cc: str, used: Container[str] = tuple(_PARAMETERS.values())
    ) -> tuple[ReferenceFile, ...]:
        """Return the snapshot's files as ``run.json`` names them; names begin with its day.

        Args:
            probe_cc: the country.
            used: parameters that the snapshot supplied; the user gave files for the others.
        """
        files = []
        for name in _names(probe_cc):
            sidecar, shown = self.sidecar(name), self._dated_name(name)
            if _PARAMETERS[name.split("/")[0]] not in used:
                continue
            if sidecar is None:
                files.append(ReferenceFile(shown, "could not be fetched", "", 0))
                continue
            role = sidecar.role if sidecar.status == 200 else f"{sidecar.role}: there is none"
            count, day = sidecar.row_count, sidecar.date
            files.append(ReferenceFile(shown, role, sidecar.sha256, count, day))
        return tuple(files)

    def _dated_name(self, name: str) -> str:
        return f"{self.folder.name}/{name}"


def _names(probe_cc: str) -> tuple[str, ...]:
    """Return the files of a snapshot that a report on a country reads."""
    own = country_list(probe_cc)
    return LEGEND, GLOBAL_LIST, own, DNS_FINGERPRINTS, HTTP_FINGERPRINTS, NETWORK_NAMES


def snapshots(root: Path = SNAPSHOTS) -> list[Snapshot]:
    """Return the snapshots of a folder, oldest first."""
    if not root.is_dir():
        return []
    return [Snapshot(path) for path in sorted(root.iterdir()) if _day_of(path.name)]


def _day_of(text: str) -> date | None:
    try:
        return parse_date("REFERENCE", text)
    except ParameterError:
        return None


def held(probe_cc: str, root: Path = SNAPSHOTS) -> list[Snapshot]:
    """Return the snapshots that have all files for a report on a country, oldest first."""
    return [snapshot for snapshot in snapshots(root) if snapshot.holds(probe_cc)]


def find(reference: str, probe_cc: str, root: Path = SNAPSHOTS) -> Snapshot:
    """Return the snapshot that ``REFERENCE`` selects, without using a network.

    Args:
        reference: a UTC date, for the newest snapshot of that day or before; or ``latest``.
        probe_cc: the country; snapshots that were not fetched for it are ignored.
        root: the folder of the snapshots.

    Raises:
        ParameterError: ``reference`` is neither, or there is no such snapshot; names the days that
            exist.
        ContractError: a file of the snapshot is not the one that was fetched.
    """
    code = parse_country(probe_cc)
    until = date.max if reference == LATEST else _day_of(reference)
    if until is None:
        accepted = f"{LATEST}, or a UTC date written YYYY-MM-DD, is accepted"
        raise ParameterError("REFERENCE", reference, accepted)
    complete = held(code, root)
    candidates = [snapshot for snapshot in complete if snapshot.day <= until]
    if not candidates:
        days = ", ".join(snapshot.folder.name for snapshot in complete) or "none"
        raise ParameterError(
            "REFERENCE",
            reference,
            f"there is no such snapshot for {code}; there are: {days}; "
            f"'python -m analysis refresh PROBE_CC={code}' fetches today's",
        )
    candidates[-1].check(code)
    return candidates[-1]


def publish(build: Path, folder: Path, names: list[str]) -> None:
    """Move fetched files into a day's folder: a new folder at once, additions one by one.

    The sidecar of an addition is moved last, because a file without one is ignored.
    """
    if not folder.exists():
        build.rename(folder)
        return
    for name in names:
        for source in (build / name, _sidecar_path(build, name)):
            if source.is_file():
                target = folder / source.relative_to(build)
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
