"""Outages recorded by others, such as IODA or Cloudflare Radar: days, network and source.

A listed stretch inside an outage gets a note. No verdict depends on it: during an outage every site
fails, and the judge compares the sites on one network anyway.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.period import Period
from analysis.reference.reference_files import ReferenceFile, read_csv
from analysis.tables import read_network

PARAMETER = "OUTAGES"
_SOURCE_LENGTH = 200


@dataclass(frozen=True)
class Outage:
    """An outage of one network, or of the country if ``probe_asn`` is None."""

    period: Period
    probe_asn: int | None
    source: str


@dataclass(frozen=True)
class Outages:
    """The outages of a list; ``file`` is None without a list."""

    entries: tuple[Outage, ...] = ()
    file: ReferenceFile | None = None


def load_outages(path: str | Path) -> Outages:
    """Read a CSV ``since,until,probe_asn,source``; an empty path gives no outages.

    Raises:
        ParameterError: a line is wrong; names the file and the line.
    """
    if not path:
        return Outages()
    table = read_csv(Path(path), ("since", "until", "probe_asn", "source"), PARAMETER)
    outages = []
    for line, cells in table.rows:
        with table.at(line):
            outages.append(_parse(**cells))
    newest = max((str(outage.period.since) for outage in outages), default="")
    return Outages(tuple(outages), table.described("outages", len(outages), newest))


def _parse(since: str, until: str, probe_asn: str, source: str) -> Outage:
    network = read_network(probe_asn) if probe_asn else None
    if network == -1:
        raise ValueError(f"probe_asn {probe_asn[:20]!r} is no network, such as AS64500, nor empty")
    if not 1 <= len(source) <= _SOURCE_LENGTH:
        raise ValueError(f"source must be text of 1 to {_SOURCE_LENGTH} characters")
    return Outage(Period.parse(since, until), network, source)


def mark_outages(stretches: pd.DataFrame, outages: Outages) -> pd.DataFrame:
    """Return all stretches, with a note on those inside a recorded outage.

    Args:
        stretches: ``probe_asn``, ``blocked_from``, ``last_seen_blocked``, ``note``.
        outages: of :func:`load_outages`.
    """
    notes = []
    for stretch in stretches.itertuples(index=False):
        texts = [str(stretch.note)]
        texts += [_note(item) for item in outages.entries if _contains(item, stretch)]
        notes.append("; ".join(filter(None, texts)))
    return stretches.assign(note=pd.Series(notes, stretches.index, dtype="str"))


def _contains(outage: Outage, stretch: Any) -> bool:
    return (
        outage.probe_asn in (None, stretch.probe_asn)
        and stretch.blocked_from.date() in outage.period
        and stretch.last_seen_blocked.date() in outage.period
    )


def _note(outage: Outage) -> str:
    period = outage.period
    return f"inside an outage recorded from {period.since} to {period.last_day} ({outage.source})"
