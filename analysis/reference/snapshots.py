"""Dated snapshots of reference data that others keep: what a report used can be used again.

One folder a day, named for the UTC day of fetching, below ``data/reference/snapshots``::

    2026-11-25/test-lists/global.csv          as Citizen Lab publishes it
               test-lists/kh.csv              one such list for each country that was asked for
               fingerprints/fingerprints_dns.csv
               networks/asn-names.csv         drawn from a larger table

Beside each file lies its sidecar, ``<file>.json``. A file without one does not count: it was left
by an interrupted run. A sidecar without a file says that the source has no such file, as for a
country without a test list. Nothing here touches a network; ``sources.reference_data`` fetches.
"""

import hashlib
from collections.abc import Container
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec

from analysis.errors import ContractError, ParameterError
from analysis.period import parse_date
from analysis.reference.reference_files import REFERENCE, ReferenceFile, parse_country

SNAPSHOTS = REFERENCE / "snapshots"
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
        etag, last_modified: as the server gave them.
        size, sha256: of the file as it lies here.
        row_count: rows that a report reads from it.
        date: the latest date inside the file, ISO; empty where it holds none.
        source_size, source_sha256: of what the server sent, where the file was drawn from it.
    """

    url: str
    fetched_at: str
    role: str
    licence: str
    status: Literal[200, 404]
    etag: str = ""
    last_modified: str = ""
    size: int = 0
    sha256: str = ""
    row_count: int = 0
    date: str = ""
    source_size: int = 0
    source_sha256: str = ""


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
            sidecar = self.sidecar(name)
            if sidecar and sidecar.status == 200 and _digest(self.folder / name) != sidecar.sha256:
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


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


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
            "REFERENCE", reference, f"there is no such snapshot for {code}; there are: {days}; "
            f"'python -m analysis refresh PROBE_CC={code}' fetches today's"
        )  # fmt: skip
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
