"""Series of sessions at hand: of one kind, each written down as its outcomes in order."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.verdicts.series import Series
from analysis.verdicts.sessions import BLOCKED, KINDS, OK

DAY_ONE = np.datetime64("2024-01-01T08:00:00", "s")


def series_of(
    *cells: Sequence[int], kind: str = "name_sent", days: Sequence[Sequence[int]] | None = None
) -> Series:
    """One series a cell, 1 for a failure and 0 for access; a session a day unless told otherwise.

    Args:
        cells: the outcomes of each.
        kind: of all of them.
        days: the number of the day of each session of each cell.
    """
    lengths = [len(cell) for cell in cells]
    hits = np.array([hit for cell in cells for hit in cell], bool)
    numbers = days or [range(length) for length in lengths]
    number = np.array([day for own in numbers for day in own], np.int64)
    cell = np.repeat(np.arange(len(cells)), np.array(lengths, np.int64))
    time = DAY_ONE + number * 86_400
    sessions = {
        "place": np.arange(len(hits)), "cell": cell, "session": np.arange(len(hits)),
        "software": np.zeros(len(hits), int), "time": time,
        "day": time.astype("datetime64[D]"),
        "class": np.where(hits, BLOCKED, OK),
        "kind": np.where(hits, KINDS.index(kind), -1),
        "is_dns": np.full(len(hits), kind.startswith("dns")),
        "is_speaking": np.ones(len(hits), bool),
    }  # fmt: skip
    known = pd.DataFrame(
        {"domain": range(len(cells)), "probe_asn": 64500, "network": 0, "operator": 0}
    )
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    kinds = np.full(len(cells), KINDS.index(kind), np.int8)
    return Series(known, sessions, kinds, starts, np.arange(len(hits)), hits)
