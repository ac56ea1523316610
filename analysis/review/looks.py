"""What the last look kept, beside its page: where each pair stood, and the log of what was new.

The folder is the memory. It changes as a whole, so that a look that is interrupted leaves the one
before as it was; whoever removes it begins anew. One look at a time has it.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.reference.countries import country_name
from analysis.review.changes import find_causes
from analysis.review.lookups import Report, read_report
from analysis.tables import TABLES, read_table

LOG, STANDING = "watch", "watch_standing"
#: Where ``run.json`` says that a folder is a look's, and when somebody first looked.
RECORD = "watch"
_AGAIN = "remove the folder, and the next look begins anew: all that stands is new to it"


@dataclass(frozen=True)
class Look:
    """A look that was kept.

    Attributes:
        report: its folder, and what its ``run.json`` says.
        standing: the contract's ``watch_standing``.
        log: the contract's ``watch``.
    """

    report: Report
    standing: pd.DataFrame
    log: pd.DataFrame

    @property
    def day(self) -> date:
        """The last day that it reached."""
        return self.report.period.last_day

    @property
    def first(self) -> str:
        """The last day that the first look of all reached."""
        return str(self.report.run[RECORD]["first_look"])

    def log_within(self, period: Period) -> pd.DataFrame:
        """What was new at looks that reached a day of the period."""
        return self.log[self.log["look"] >= str(period.since)]

    def causes(self, run: Mapping[str, Any]) -> str:
        """What differs between the runs of this look and of another, joined by ``;``.

        Where nothing does, neither does what they say.
        """
        return ";".join(find_causes(self.report, Report(self.report.folder, run)))


class _Table(msgspec.Struct):
    sha256: str


class _First(msgspec.Struct):
    first_look: date


class _Record(msgspec.Struct):
    """What must hold of the ``run.json`` of a look."""

    watch: _First
    tables: dict[str, _Table]


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Keep other looks out of a folder: one that began earlier would forget what this one learns.

    The lock lies beside the folder, and ends with the process.

    Raises:
        ParameterError: another look is at work there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with (out.parent / f".{out.name}.looking").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            accepted = "another look is at work there; run again when it is done"
            raise ParameterError("OUT", out, accepted) from None
        yield


def empty_log() -> pd.DataFrame:
    """The log before the first look."""
    return pd.DataFrame(columns=list(TABLES[LOG].columns), dtype="str")


def read_last_look(out: Path, probe_cc: str, period: Period) -> Look | None:
    """What the last look kept in its folder; None where nobody has looked yet.

    Args:
        out: the folder.
        probe_cc: the country that is looked at.
        period: that of the look to come.

    Raises:
        ParameterError: the folder holds something else, a look at another country or at a later
            day, or tables that are not as they were written.
    """
    if not (out / "run.json").is_file():
        return None
    report = read_report(out, "OUT")
    try:
        record = msgspec.convert(json.loads(json.dumps(report.run)), _Record)
    except msgspec.ValidationError:
        raise ParameterError(
            "OUT", out, "holds something else than a look; watch needs a folder of its own"
        ) from None
    if report.probe_cc != probe_cc:
        accepted = f"holds a look at {country_name(report.probe_cc)}; each country has its own"
        raise ParameterError("OUT", out, accepted)
    if report.period.until > period.until:
        raise ParameterError(
            "UNTIL", period.until, f"{report.period.until} is accepted at the earliest, since the "
            f"last look reached so far (is the clock right?); or {_AGAIN} ({out})"
        )  # fmt: skip
    _check_digests(report, record)
    return Look(report, read_table(report.tables, STANDING), read_table(report.tables, LOG))


def _check_digests(report: Report, record: _Record) -> None:
    for name in (f"{LOG}.csv", f"{STANDING}.csv"):
        path, known = report.tables / name, record.tables.get(name)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        if known is None or digest != known.sha256:
            raise ParameterError(
                "OUT", report.folder, f"its tables/{name} is not as the last look wrote it: put it "
                f"back; or {_AGAIN}"
            )  # fmt: skip
