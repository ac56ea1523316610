"""Outages that somebody else recorded, such as IODA or Cloudflare Radar: days, network and source.

A listed stretch that lies inside one is marked. No verdict follows: a network that is cut off
fails for every site, and the judge compares sites on one network anyway.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.period import Period
from analysis.reference.reference_files import ReferenceFile, read_csv
from analysis.tables import read_network

PARAMETER = "OUTAGES"
_LONGEST = 200


@dataclass(frozen=True)
class Outage:
    """An outage of one network, or of the country where ``probe_asn`` is None."""

    period: Period
    probe_asn: int | None
    source: str


@dataclass(frozen=True)
class Outages:
    """The outages of a list; ``file`` is None where none was given."""

    entries: tuple[Outage, ...] = ()
    file: ReferenceFile | None = None


def load_outages(path: str | Path) -> Outages:
    """Read a CSV ``since,until,probe_asn,source``; an empty path is no list.

    Raises:
        ParameterError: a line is wrong; names the file and the line.
    """
    if not path:
        return Outages()
    table = read_csv(Path(path), ("since", "until", "probe_asn", "source"), PARAMETER)
    found = []
    for line, cells in table.rows:
        with table.at(line):
            found.append(_parse(**cells))
    newest = max((str(one.period.since) for one in found), default="")
    return Outages(tuple(found), table.described("outages", len(found), newest))


def _parse(since: str, until: str, probe_asn: str, source: str) -> Outage:
    network = read_network(probe_asn) if probe_asn else None
    if network == -1:
        raise ValueError(f"probe_asn {probe_asn[:20]!r} is no network, such as AS64500, nor empty")
    if not 1 <= len(source) <= _LONGEST:
        raise ValueError(f"source must be text of 1 to {_LONGEST} characters")
    return Outage(Period.parse(since, until), network, source)


def mark_outages(stretches: pd.DataFrame, outages: Outages) -> pd.DataFrame:
    """The stretches with a note where one lies inside a recorded outage; no row is lost.

    Args:
        stretches: ``probe_asn``, ``blocked_from``, ``last_seen_blocked``, ``note``.
        outages: of :func:`load_outages`.
    """
    notes = [
        "; ".join(filter(None, (str(row.note), *_say(row, outages.entries))))
        for row in stretches.itertuples(index=False)
    ]
    return stretches.assign(note=pd.Series(notes, stretches.index, dtype="str"))


def _say(row: Any, outages: tuple[Outage, ...]) -> list[str]:
    return [
        f"inside an outage recorded from {one.period.since} to {one.period.last_day} ({one.source})"
        for one in outages
        if one.probe_asn in (None, row.probe_asn)
        and row.blocked_from.date() in one.period
        and row.last_seen_blocked.date() in one.period
    ]
