"""What OONI's analysts say of single measurements, and of weeks of a site on a network.

The analysts judged without seeing what OONI's own methods say. The measurements were drawn at
random, separately from those that OONI flags as anomalous and from the others; the weight of a
measurement is the number of measurements that it stands for. data/reference/README.md has the
source.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.hosts import normalise
from analysis.reference.reference_files import (
    REFERENCE,
    ReferenceFile,
    parse_country,
    read_csv,
)
from analysis.tables import list_rows, read_network

PARAMETER = "LABELS"
FOLDER = REFERENCE / "labels"
#: What a label can say of a measurement.
LABELS = ("blocked", "down", "ok")

_COLUMNS = (
    "measurement_uid",
    "probe_cc",
    "probe_asn",
    "domain",
    "label",
    "confidence",
    "mechanisms",
    "stratum",
    "weight",
)
#: A uid is also part of an address and of a file name.
_UID = re.compile("[0-9A-Za-z][0-9A-Za-z._]{9,99}", re.ASCII)


@dataclass(frozen=True)
class Labels:
    """Labelled measurements: a frame with the file's columns, in its order; and the file."""

    rows: pd.DataFrame
    file: ReferenceFile


def load_labels(path: str | Path) -> Labels:
    """Read labelled measurements of web_connectivity; an empty path reads the shipped ones.

    Raises:
        ParameterError: the file cannot be read, has no row, or a line is wrong; names the line.
    """
    table = read_csv(Path(path) if path else FOLDER / "measurements.csv", _COLUMNS, PARAMETER)
    rows: dict[str, dict[str, object]] = {}
    for line, cells in table.rows:
        with table.at(line):
            row = _parse(cells)
            if rows.setdefault(cells["measurement_uid"], row) is not row:
                raise ValueError("its measurement_uid stands twice")
    with table.at(1):
        if not rows:
            raise ValueError("no measurement follows")
    file = table.described("labelled measurements", len(rows))
    return Labels(pd.DataFrame(list(rows.values()), columns=list(_COLUMNS)), file)


def _parse(cells: Mapping[str, str]) -> dict[str, object]:
    uid, weight = cells["measurement_uid"], float(cells["weight"])
    domain, network = normalise(cells["domain"]), read_network(cells["probe_asn"])
    if not _UID.fullmatch(uid):
        raise ValueError(f"measurement_uid {uid[:60]!r} is not one of OONI's")
    parse_country(cells["probe_cc"])
    if not domain or network < 0:
        raise ValueError("domain must be a host name, and probe_asn a network such as AS64500")
    if cells["label"] not in LABELS:
        raise ValueError(f"label {cells['label'][:20]!r} is none of {', '.join(LABELS)}")
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"weight {cells['weight'][:20]!r} is no number above 0")
    columns = {name: cells[name] for name in _COLUMNS}
    return columns | {"domain": domain, "probe_asn": network, "weight": weight}


def load_weeks(probe_cc: str) -> list[Any]:
    """Return the labelled weeks of a country, in the order of the file, as named tuples.

    ``domain`` was on the network ``probe_asn`` (``AS123``) from ``since`` until before ``until``
    (ISO) as ``verdict`` says: ``quiet_observed``, ``event_present`` (a block began or ended),
    ``blocked_throughout`` or ``uncertain``.
    """
    weeks = pd.read_csv(FOLDER / "weeks.csv", keep_default_na=False)
    return list_rows(weeks[weeks["probe_cc"] == probe_cc])


def load_reported() -> pd.DataFrame:
    """Return the shares that OONI reports of its own methods on these labels.

    A row is a ``measure`` of a ``method`` (``flag``: OONI's anomaly flag; ``pipeline``: OONI's new
    analysis), with ``share, lower_share, upper_share``, the bounds at 95 %, NaN if none are given.
    """
    return pd.read_csv(FOLDER / "reported.csv")
