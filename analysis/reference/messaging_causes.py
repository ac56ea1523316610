"""What is publicly known of times at which a messaging or circumvention test failed everywhere.

A note beside what the data show, never the reason for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from analysis.reference.reference_files import REFERENCE, parse_day, read_csv

_COLUMNS = ("test_name", "since", "until", "cause", "source")


@dataclass(frozen=True)
class Cause:
    """One known cause; without an edge it has no beginning, or no end, that is known."""

    test_name: str
    since: date | None
    until: date | None
    cause: str
    source: str


def load_causes(path: Path = REFERENCE / "messaging_causes.csv") -> tuple[Cause, ...]:
    """Read the list, in file order.

    Raises:
        ParameterError: a line is wrong; names it.
    """
    causes = []
    table = read_csv(path, _COLUMNS, "messaging_causes")
    for line, cells in table.rows:
        with table.at(line):
            since, until = (
                parse_day(name, cells[name]) if cells[name] else None for name in ("since", "until")
            )
        causes.append(Cause(cells["test_name"], since, until, cells["cause"], cells["source"]))
    return tuple(causes)


def find_causes(
    causes: Iterable[Cause], test_name: str, first: date, last: date
) -> tuple[Cause, ...]:
    """The known causes of a test that held in a stretch of days."""
    return tuple(
        cause
        for cause in causes
        if cause.test_name == test_name
        and (cause.since is None or cause.since <= last)
        and (cause.until is None or cause.until >= first)
    )
