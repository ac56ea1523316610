"""Unread parts of the archive that are large enough to change the findings of a report.

A line that cannot be read names no network. So the unread part of a network is the share of broken
objects among those that contain its measurements.
"""

from collections import Counter
from datetime import UTC, datetime

import pandas as pd

from analysis.sources.archive_files import parse_receipt
from analysis.study.study import Study
from analysis.tables import name_network

#: A missing share of a month or a network above this is shown before the numbers.
TOLD_SHARE = 0.01

_OBJECTS = """
SELECT probe_asn::BIGINT AS probe_asn, count(DISTINCT object_key) AS object_count,
  count(DISTINCT object_key) FILTER (list_contains($cut, object_key)) AS unread_object_count
FROM observations GROUP BY 1 ORDER BY 1
"""
_COUNTS = ["object_count", "unread_object_count", "line_count", "unread_line_count"]


def find_unread(study: Study, networks: pd.DataFrame) -> pd.DataFrame:
    """Return the months and networks with more than one unread object, or line, in a hundred.

    Args:
        study: its objects and observations.
        networks: ``Study.networks``.

    Returns:
        One row a month (of receipt by OONI) or network: ``item, object_count,
        unread_object_count`` (not read, or broken off), ``line_count, unread_line_count``; of a
        network, whose lines are not known, the objects that hold its measurements.
    """
    months: dict[str, Counter[str]] = {}
    cut = []
    for file in study.collection.files:
        unread = sum(
            count
            for reason, count in file.ledger.items()
            if reason == "not_json" or reason.startswith("invalid:")
        )
        is_cut = "truncated_file" in file.ledger
        cut += [file.key] * is_cut
        month = months.setdefault(_month_of(file.key), Counter())
        lines = file.row_count + sum(file.ledger.values())
        month.update(dict(zip(_COUNTS, (1, is_cut, lines, unread), strict=True)))
    for item in study.collection.not_read:
        month = months.setdefault(_month_of(item.key), Counter())
        month.update({"object_count": 1, "unread_object_count": 1})
    period = study.periods["all"]
    within = [f"{month.since:%Y-%m}" for month in period.months()]
    by_month = pd.DataFrame(
        [
            {"item": name, **{count: months[name][count] for count in _COUNTS}}
            for name in sorted(months)
            if name in within
        ],
        columns=["item", *_COUNTS],
    )
    by_network = study.connection.execute(_OBJECTS, {"cut": cut}).df()
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    by_network["item"] = [name_network(names[asn], asn) for asn in by_network["probe_asn"]]
    candidates = pd.concat([by_month, by_network[["item", *_COUNTS[:2]]]], ignore_index=True)
    is_told = candidates["unread_object_count"] > TOLD_SHARE * candidates["object_count"]
    is_told |= candidates["unread_line_count"] > TOLD_SHARE * candidates["line_count"]
    unread_parts = candidates[is_told].reset_index(drop=True)
    return unread_parts.astype(dict.fromkeys(_COUNTS, "Int64"))


def _month_of(key: str) -> str:
    received = parse_receipt(key)
    return f"{datetime.fromtimestamp(received.since, UTC):%Y-%m}" if received else ""
