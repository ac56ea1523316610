"""A report's folder, which somebody else may have sent."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from analysis.errors import ParameterError
from analysis.files import digest_file
from analysis.period import Period
from analysis.reference.reference_files import read_file


@dataclass(frozen=True)
class Report:
    """A report's folder, and the content of its ``run.json``."""

    folder: Path
    run: Mapping[str, Any]

    @property
    def tables(self) -> Path:
        """The folder of its tables."""
        return self.folder / "tables"

    @property
    def digest(self) -> str:
        """SHA-256 of its ``run.json``, which holds the digests of its tables."""
        return digest_file(self.folder / "run.json")

    @property
    def probe_cc(self) -> str:
        """The country's code."""
        return str(self.run["parameters"]["probe_cc"])

    @property
    def period(self) -> Period:
        """The whole period."""
        return Period.parse(self.run["parameters"]["since"], self.run["parameters"]["until"])


class _Finding(msgspec.Struct):
    value: Any


class _Table(msgspec.Struct):
    sha256: str = ""


class _Record(msgspec.Struct):
    """The fields that a ``run.json`` must have."""

    parameters: dict[str, Any]
    findings: dict[str, _Finding] = {}
    finding_claims: dict[str, str] = {}
    publisher: dict[str, str] = {}
    corrections: list[str] = []
    tables: dict[str, _Table] = {}
    variant: dict[str, str] = {}


def read_report(folder: Path, parameter: str) -> Report:
    """Read a report by its folder.

    Args:
        folder: holds ``run.json`` and ``tables``.
        parameter: the one that named the folder, for the error.

    Raises:
        ParameterError: it holds no report.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise ParameterError(parameter, folder, "holds no report (no run.json); make one first")
    content = read_file(path, parameter)
    try:
        msgspec.json.decode(content, type=_Record)
        report = Report(folder, json.loads(content))
        _ = (report.probe_cc, report.period)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError, ParameterError):
        raise ParameterError(parameter, folder, "its run.json is not that of a report") from None
    return report


def check_tables(report: Report, names: Iterable[str], parameter: str) -> None:
    """Refuse a report with tables that are not those that its ``run.json`` names.

    Args:
        report: it.
        names: of the tables; an earlier version of the workbook noted no digests.
        parameter: the one that named its folder.

    Raises:
        ParameterError: a table is missing, or not as it was written.
    """
    noted = report.run.get("tables", {})
    for name in names:
        path = report.tables / f"{name}.csv"
        if not path.is_file():
            raise ParameterError(parameter, report.folder, f"its tables/{name}.csv is missing")
        checksum = noted.get(f"{name}.csv", {}).get("sha256")
        if checksum and checksum != digest_file(path):
            raise ParameterError(
                parameter,
                report.folder,
                f"its tables/{name}.csv is not the one that its run.json "
                "names; put it back as it was written",
            )
