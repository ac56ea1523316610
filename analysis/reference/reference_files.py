"""Files of reference data, each with its digest: what ships, what is handed in, what was fetched.

What ships lies in ``data/reference`` and is found from this file, so that a notebook's working
folder does not matter. What a person hands in (``TEST_LIST``) is checked line by line: a list
that is read wrongly would silently change which sites count as local.

Dated snapshots hold what others keep, so that what a report used can be used again. One folder a
day, named for the UTC day of fetching, below ``data/reference/snapshots``::

    2026-11-25/test-lists/global.csv          as Citizen Lab publishes it
               test-lists/kh.csv              one such list for each country that was asked for
               fingerprints/fingerprints_dns.csv
               networks/asn-names.csv         drawn from a larger table

Beside each file lies its sidecar, ``<file>.json``. A file without one does not count: it was left
by an interrupted run. A sidecar without a file says that the source has no such file, as for a
country without a test list. Nothing here touches a network; ``sources.reference_data`` fetches.
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
#: The folder with what ships: ``notebooks/``, ``docs/`` and ``data/reference/``. It is the
#: repository, or for an installed package a folder of the environment.
SHIPPED = next(
    (one / _INSTALLED for one in _CHECKOUT.parents if (one / _INSTALLED).is_dir()), _CHECKOUT
)
#: The folder in which data and reports lie by default: the repository, or for an installed package
#: the working folder.
REPOSITORY = _CHECKOUT if SHIPPED == _CHECKOUT else Path.cwd()
#: Shipped reference data; ``sources.csv`` in it says where each file comes from.
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
    """A CSV file as read: ``rows`` are (line number, cells by column name), in file order.

    Attributes:
        path: the file.
        parameter: what named it, for the errors.
        digest: SHA-256 of its bytes.
        rows: blank lines are left out, cells are stripped.
    """

    path: Path
    parameter: str
    digest: str
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    @contextmanager
    def at(self, line: int) -> Iterator[None]:
        """Refuse the file, by file and line, where one of the line's cells is refused."""
        try:
            yield
        except (ValueError, ParameterError) as error:
            raise ParameterError(self.parameter, self.path, f"line {line}: {error}") from None

    def described(self, role: str, row_count: int, date: str = "") -> ReferenceFile:
        """The file as ``run.json`` names it."""
        return ReferenceFile(self.path.name, role, self.digest, row_count, date)


def given_or_shipped(path: str | Path | None, shipped: str) -> Path | None:
    """The file that somebody names, else the one that ships; None where there is none."""
    if path:
        return Path(path).expanduser()
    return REFERENCE / shipped if (REFERENCE / shipped).is_file() else None


def read_file(path: Path, parameter: str, limit: int = FILE_LIMIT) -> bytes:
    """The bytes of a file that somebody hands in.

    Raises:
        ParameterError: it cannot be read, is no file (a pipe, a device), or is too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise ParameterError(parameter, path, "cannot be read: not a file")
        with path.open("rb") as stream:
            # One read of so many bytes would reserve them all, however small the file is.
            blocks = iter(partial(stream.read, _BLOCK), b"")
            data = b"".join(islice(blocks, limit // _BLOCK + 2))
    except OSError as error:
        why = f"cannot be read: {describe_error(error).lower()}"
        raise ParameterError(parameter, path, why) from None
    if len(data) > limit:
        raise ParameterError(parameter, path, f"is larger than {limit / 1e6:g} MB")
    return data


def decode_text(data: bytes, path: Path, parameter: str) -> str:
    """The text of a file; ParameterError names the line that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParameterError(parameter, path, f"line {line}: not UTF-8 text") from None


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
    data = read_file(path, parameter)
    text = decode_text(data, path, parameter)
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
    header = lines[0][1] if lines else []
    missing = [column for column in required if column not in header]
    if missing:
        message = f"line 1: no column {', '.join(missing)}"
        other = next((mark for mark in ";\t|" if any(mark in cell for cell in header)), "")
        if other:
            message += f"; its cells seem to be separated by {other!r}, save it with commas"
        raise ParameterError(parameter, path, message)
    if len(set(header)) != len(header):
        raise ParameterError(parameter, path, "line 1: two columns have the same name")
    rows: list[tuple[int, Mapping[str, str]]] = []
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            message = f"line {line}: {len(cells)} cells where the header has {len(header)}"
            raise ParameterError(parameter, path, message)
        rows.append((line, MappingProxyType(dict(zip(header, cells, strict=True)))))
    return CsvTable(path, parameter, hashlib.sha256(data).hexdigest(), tuple(rows))


T = TypeVar("T")

_MOST_BYTES = 1_000_000


class NodeReader:
    """Turns the nodes of a file into values, or says in which line what is wrong.

    Args:
        path: the file.
        parameter: what the error calls it by.
    """

    def __init__(self, path: Path, parameter: str) -> None:
        self.path = path
        self.parameter = parameter
        self._data = read_file(path, parameter, _MOST_BYTES)

    def described(self, role: str, row_count: int, date: str = "") -> ReferenceFile:
        """The file as ``run.json`` names it."""
        digest = hashlib.sha256(self._data).hexdigest()
        return ReferenceFile(self.path.name, role, digest, row_count, date)

    def fail(self, node: yaml.Node | int, message: str) -> NoReturn:
        """Refuse the file, for what stands at a node or in a line."""
        line = node if isinstance(node, int) else node.start_mark.line + 1
        raise ParameterError(self.parameter, self.path, f"line {line}: {message}")

    def root(self) -> yaml.Node:
        """What the file holds."""
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
        """The entries of a mapping that has these keys, each once, and no other."""
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = {self.plain(key): value for key, value in pairs}
        is_whole = set(names) <= set(found) <= {*names, *optional}
        if len(found) != len(pairs) or not is_whole or not isinstance(node, yaml.MappingNode):
            also = f", and may have {', '.join(optional)}" if optional else ""
            self.fail(node, f"{what} must have exactly {', '.join(names)}, each once{also}")
        return found

    def items(self, node: yaml.Node, most: int, what: str, least: int = 1) -> list[yaml.Node]:
        """The nodes of a list."""
        if not isinstance(node, yaml.SequenceNode) or not least <= len(node.value) <= most:
            self.fail(node, f"{what} must be a list of {least} to {most:,}")
        return list(node.value)

    def plain(self, node: yaml.Node) -> str:
        """A scalar on one line; empty for anything else, which no check lets pass."""
        text = " ".join(str(node.value).split()) if isinstance(node, yaml.ScalarNode) else ""
        return text.encode("utf-8", "replace").decode()  # "\\ud800" in quotes is no character

    def text(self, node: yaml.Node, name: str, longest: int) -> str:
        """Text on one line."""
        text = self.plain(node)
        if not 1 <= len(text) <= longest:
            self.fail(node, f"{name} must be text of 1 to {longest} characters")
        return text

    def checked(self, node: yaml.Node, parse: Callable[[str], T]) -> T:
        """What a function makes of a scalar."""
        try:
            return parse(self.plain(node))
        except ParameterError as error:
            self.fail(node, str(error))

    def period(self, since: yaml.Node, until: yaml.Node) -> Period:
        """A period by its two days."""
        return self.checked(until, lambda text: Period.parse(self.plain(since), text))


#: ISO 3166-1 leaves these codes to their users; no country will ever have one.
_FICTIONAL = re.compile(r"AA|Q[M-Z]", re.ASCII)
_COUNTRY_CODE = re.compile(r"[A-Z]{2}", re.ASCII)


# Countries ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Country:
    """A country: ISO 3166-1 alpha-2 code, English short name, its top-level domains, and the IANA
    time zone of its capital (empty where it has none)."""

    code: str
    name: str
    tlds: tuple[str, ...]
    zone: str


@lru_cache(maxsize=1)
def countries() -> Mapping[str, Country]:
    """All countries by code, from ``data/reference/countries.csv``; fictional ones are not in."""
    table = read_csv(REFERENCE / "countries.csv", ("code", "name", "tlds", "zone"), "PROBE_CC")
    return MappingProxyType(
        {
            row["code"]: Country(
                row["code"], row["name"], tuple(filter(None, row["tlds"].split(";"))), row["zone"]
            )
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


def country_name(probe_cc: str, lang: Language = ENGLISH) -> str:
    """The short name of a country, ``Fictional country QQ`` for a fictional code.

    Raises:
        ParameterError: there is no such country.
    """
    code = parse_country(probe_cc)
    if is_fictional(code):
        return lang.say("Fictional country {code}", code=code)
    return lang.territory(code) or countries()[code].name


def country_tlds(probe_cc: str) -> tuple[str, ...]:
    """The top-level domains of a country in ASCII form, for example ``("ru", "xn--p1ai")``."""
    code = parse_country(probe_cc)
    return (code.lower(),) if is_fictional(code) else countries()[code].tlds


def capital_zone(probe_cc: str) -> ZoneInfo | None:
    """The time zone of a country's capital; None for a fictional country, which has no clocks."""
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

#: Folder in a snapshot → the parameter that it serves.
_PARAMETERS = {
    "test-lists": "TEST_LIST",
    "fingerprints": "FINGERPRINTS",
    "networks": "NETWORK_NAMES",
}


class Sidecar(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a file comes from. With status 404 the source has no such file.

    Attributes:
        url: the address it was fetched from.
        fetched_at: UTC time, ISO.
        role: what the file is used for, as ``run.json`` says it.
        licence: that of the source.
        status: what the server answered.
        size, sha256: of the file as it lies here.
        row_count: rows that a report reads from it.
        date: the latest date inside the file, ISO; empty where it holds none.
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
    """The name in a snapshot of a country's own test list."""
    return f"test-lists/{probe_cc.lower()}.csv"


def write_sidecar(folder: Path, name: str, sidecar: Sidecar) -> None:
    """Put a sidecar beside a file, or where the file would be."""
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
        """The sidecar of a file, None where the snapshot has not got it.

        Raises:
            ContractError: there is one, but it cannot be read.
        """
        path = _sidecar_path(self.folder, name)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Sidecar)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ContractError(f"{self._shown(path.name)} cannot be read: {error}") from None

    def holds(self, probe_cc: str) -> bool:
        """Whether it has all that a report on a country needs.

        Network names are not needed: without them a network is shown by its number.
        """
        needed = (LEGEND, GLOBAL_LIST, country_list(probe_cc), DNS_FINGERPRINTS, HTTP_FINGERPRINTS)
        return all(_sidecar_path(self.folder, name).is_file() for name in needed)

    def check(self, probe_cc: str) -> None:
        """Compare every file that a report on a country reads with its sidecar.

        Raises:
            ContractError: a file is not what was fetched; names it.
        """
        for name in _names(probe_cc):
            sidecar, digest = self.sidecar(name), ""
            with suppress(OSError):
                digest = digest_file(self.folder / name)
            if sidecar and sidecar.status == 200 and digest != sidecar.sha256:
                raise ContractError(
                    f"{self._shown(name)} is not the file that was fetched: its SHA-256 is not the "
                    f"one in its sidecar; remove data/reference/snapshots/{self.day} to do without"
                )

    def parameters(self) -> dict[str, str]:
        """Where a report finds the files: a path for each parameter, empty where there is none."""
        has_names = self.sidecar(NETWORK_NAMES) is not None
        return {
            "TEST_LIST": str(self.folder / "test-lists"),
            "FINGERPRINTS": str(self.folder / "fingerprints"),
            "NETWORK_NAMES": str(self.folder / NETWORK_NAMES) if has_names else "",
        }

    def files(
        self, probe_cc: str, used: Container[str] = tuple(_PARAMETERS.values())
    ) -> tuple[ReferenceFile, ...]:
        """What ``run.json`` says of the snapshot, by file; the names begin with its day.

        Args:
            probe_cc: the country.
            used: the parameters that the snapshot gave; for others something else was handed in.
        """
        files = []
        for name in _names(probe_cc):
            sidecar, shown = self.sidecar(name), self._shown(name)
            if _PARAMETERS[name.split("/")[0]] not in used:
                continue
            if sidecar is None:
                files.append(ReferenceFile(shown, "could not be fetched", "", 0))
                continue
            role = sidecar.role if sidecar.status == 200 else f"{sidecar.role}: there is none"
            count, day = sidecar.row_count, sidecar.date
            files.append(ReferenceFile(shown, role, sidecar.sha256, count, day))
        return tuple(files)

    def _shown(self, name: str) -> str:
        return f"{self.folder.name}/{name}"


def _names(probe_cc: str) -> tuple[str, ...]:
    """The files of a snapshot that a report on a country reads."""
    own = country_list(probe_cc)
    return LEGEND, GLOBAL_LIST, own, DNS_FINGERPRINTS, HTTP_FINGERPRINTS, NETWORK_NAMES


def snapshots(root: Path = SNAPSHOTS) -> list[Snapshot]:
    """The snapshots of a folder, oldest first."""
    if not root.is_dir():
        return []
    return [Snapshot(path) for path in sorted(root.iterdir()) if _day_of(path.name)]


def _day_of(text: str) -> date | None:
    try:
        return parse_date("REFERENCE", text)
    except ParameterError:
        return None


def held(probe_cc: str, root: Path = SNAPSHOTS) -> list[Snapshot]:
    """The snapshots that have all that a report on a country needs, oldest first."""
    return [snapshot for snapshot in snapshots(root) if snapshot.holds(probe_cc)]


def find(reference: str, probe_cc: str, root: Path = SNAPSHOTS) -> Snapshot:
    """The snapshot that ``REFERENCE`` asks for: no network is touched.

    Args:
        reference: a UTC date, for the newest snapshot of that day or before; or ``latest``.
        probe_cc: the country; snapshots that were not fetched for it are passed over.
        root: the folder of the snapshots.

    Raises:
        ParameterError: ``reference`` is neither, or there is no such snapshot; says which days
            there are.
        ContractError: a file of the snapshot is not what was fetched.
    """
    code = parse_country(probe_cc)
    until = date.max if reference == LATEST else _day_of(reference)
    if until is None:
        accepted = f"{LATEST}, or a UTC date written YYYY-MM-DD, is accepted"
        raise ParameterError("REFERENCE", reference, accepted)
    fetched = held(code, root)
    fitting = [snapshot for snapshot in fetched if snapshot.day <= until]
    if not fitting:
        days = ", ".join(snapshot.folder.name for snapshot in fetched) or "none"
        raise ParameterError(
            "REFERENCE",
            reference,
            f"there is no such snapshot for {code}; there are: {days}; "
            f"'python -m analysis refresh PROBE_CC={code}' fetches today's",
        )
    fitting[-1].check(code)
    return fitting[-1]


def publish(build: Path, folder: Path, names: list[str]) -> None:
    """Move fetched files into a day's folder: a new folder at once, additions one by one.

    Of an addition the sidecar comes last, because it is what makes the file count.
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
