"""What a meeting's decision was taken on: a country, a period and a method."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.errors import ParameterError
from analysis.period import Period

_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12}|e-[0-9]{1,2})?", re.ASCII)
_PARTS = ("probe_cc", "since", "until", "rules_version", "thresholds")


@dataclass(frozen=True)
class Basis:
    """A run, as far as a decision depends on it.

    Attributes:
        probe_cc: the country.
        period: the whole period.
        rules_version: of the method.
        thresholds: the numbers that differ from the published method, by name.
    """

    probe_cc: str
    period: Period
    rules_version: int
    thresholds: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> "Basis":
        """That of a report, by what its ``run.json`` says."""
        given = run["parameters"]
        changed = sorted(run.get("changed_thresholds", {}).items())
        return cls(
            str(given["probe_cc"]),
            Period.parse(given["since"], given["until"]),
            int(run["rules_version"]),
            tuple((name, float(value)) for name, value in changed),
        )

    @property
    def method(self) -> str:
        """The method in one cell: ``rules 8; floor_sessions=6``."""
        return "; ".join([f"rules {self.rules_version}", *self._changes()])

    def as_cells(self) -> dict[str, str]:
        """Name → cell of a feedback sheet; ``from_cells`` reads them."""
        period = self.period
        values = (self.probe_cc, period.since, period.until, self.rules_version)
        return dict(zip(_PARTS, (*map(str, values), "; ".join(self._changes())), strict=True))

    @classmethod
    def from_cells(cls, cells: Mapping[str, str]) -> "Basis":
        """The run that a feedback sheet says it is of.

        Raises:
            ParameterError: a cell is missing or wrong.
        """
        for name in _PARTS[:4]:
            if not cells.get(name):
                raise ParameterError(name, "", "must stand on the sheet, as the report wrote it")
        changes = [part.partition("=") for part in cells.get("thresholds", "").split("; ") if part]
        return cls(
            cells["probe_cc"],
            Period.parse(cells["since"], cells["until"]),
            int(read_number(cells["rules_version"])),
            tuple(sorted((name, read_number(value)) for name, _, value in changes)),
        )

    def _changes(self) -> list[str]:
        return [f"{name}={value:g}" for name, value in self.thresholds]


def read_number(text: str) -> float:
    """A number that is not negative, as people and this workbook write it.

    Raises:
        ParameterError: it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise ParameterError("number", text, "a number such as 8 or 0.05 is accepted")
    return float(text)
