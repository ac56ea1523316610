"""Our counts by month and flag beside OONI's own, and what each difference is made of.

OONI scores a measurement when it receives it, and counts it in its API. Here the same measurements
are read from its archive and scored again. Whoever doubts a report can look OONI's counts up, so
they are compared cell by cell, and a difference is explained only by rows that have been counted:

===============  ======================================================  ========================
rows             where they are                                          how they are known
===============  ======================================================  ========================
network unknown  here; OONI drops AS0 when it receives it                ``probe_asn`` is 0
received later   here; OONI was asked before they came                   the hour in the file's key
uploaded twice   here once; at OONI twice, unless its table merged them  the ledger's duplicates
another flag     on both sides, where the totals are equal               differences that sum to 0
===============  ======================================================  ========================

What came later is certain. The unknown networks and the second uploads are each taken for a month
as a whole or not at all, whichever leaves least of the month over. What is left is called
unexplained. Archive objects that could not be read are named beside it and explain nothing, since
nobody knows how many rows they hold.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

import pandas as pd

from analysis.observations.flags import DISJOINT, DISJOINT_SQL
from analysis.pages.formats import percent
from analysis.period import days_between
from analysis.sources import layout
from analysis.sources.api import (
    SETTLED_DAYS,
    Cells,
    read_counts,
)
from analysis.store.store import Collection
from analysis.study.parameters import replies_folder
from analysis.study.study import Study

#: What a report says that has nothing to compare with.
NOT_OONI = (
    "These measurements were not read from OONI's archive: OONI publishes no counts that they "
    "could be compared with."
)

#: Name of a cause → its sign in *here − OONI*, and how it is said.
_CAUSES: Mapping[str, tuple[int, str]] = {
    "later": (1, "received after OONI was asked"),
    "no_network": (1, "whose network is unknown, which OONI drops"),
    "twice": (-1, "uploaded twice and counted twice by OONI"),
}
_CERTAIN = {"later"}
_TOTAL = "all"
_CELLS = (_TOTAL, *DISJOINT)

_NOT_AT_OONI = f"""
SELECT strftime(measurement_start_time, '%Y-%m'), if(probe_asn = 0, 'no_network', 'later'),
  {DISJOINT_SQL}, count(*)
FROM observations
WHERE probe_asn = 0 OR object_key IN (SELECT unnest($later))
GROUP BY ALL
"""

_COLUMNS = (
    *("month", "flag"),
    *("here_count", "ooni_count", "difference", "unexplained"),
    "explanation",
)

#: Flag, or ``all`` → rows.
Tally = Mapping[str, int]

#: Month → cause → what it adds to *here − OONI*.
Causes = Mapping[str, Mapping[str, Tally]]


@dataclass(frozen=True)
class TieOut:
    """The comparison, and what the page says of it.

    ``counts`` has one row per month and flag in the order of time: ``month, flag`` (``all`` first),
    ``here_count, ooni_count, difference`` (here − OONI), ``unexplained`` (what is left of it) and
    ``explanation``. A side that has no count is empty. ``note`` says which reply of OONI's it is.
    """

    counts: pd.DataFrame
    claim: str
    reading: str
    caveat: str
    note: str


def tie_out(study: Study, months: pd.DataFrame, store: str) -> TieOut:
    """Compare a study's counts with those that ``api.fetch_counts`` brought; no network is touched.

    Args:
        study: its source is OONI's archive.
        months: the table ``measurements_by_month``.
        store: where the observations are kept.

    Raises:
        SourceError: OONI's counts were never asked for.
    """
    period = study.periods["all"]
    published = read_counts(replies_folder(store), study.probe_cc, period)
    causes = find_causes(study, published.asked_at)
    counts = compare(months, published.cells, causes, _not_read(study.collection))
    caveats = [
        f"OONI was asked on {published.asked_at:%Y-%m-%d}. It scores a measurement once, when it "
        "receives it, by the rules and fingerprints of that day; here all are scored by the same.",
        *_gaps(study, counts, days_between(period.until, published.asked_at.date())),
    ]
    return TieOut(
        counts,
        claim=_claim(counts),
        reading=_reading(counts),
        caveat=" ".join(caveats),
        note=f"OONI's reply has the SHA-256 {published.sha256}.",
    )


def find_causes(study: Study, asked_at: datetime) -> Causes:
    """Count the rows that OONI has more or less often."""
    keys = study.connection.execute("SELECT DISTINCT object_key FROM observations").fetchall()
    later = [key for (key,) in keys if (_received(key) or asked_at) > asked_at]
    rows = study.connection.execute(_NOT_AT_OONI, {"later": later}).fetchall()
    duplicates = study.observations.duplicates().assign(cause="twice")
    rows += duplicates[["month", "cause", "flag", "line_count"]].itertuples(index=False)
    causes: dict[str, dict[str, Counter[str]]] = {}
    for month, cause, flag, count in rows:
        tally = causes.setdefault(month, {}).setdefault(cause, Counter())
        tally[flag] += _CAUSES[cause][0] * count
        tally[_TOTAL] += _CAUSES[cause][0] * count
    return causes


def compare(
    months: pd.DataFrame,
    published: Mapping[str, Cells],
    causes: Causes,
    not_read: Mapping[str, int],
) -> pd.DataFrame:
    """Compare cell by cell; returns ``TieOut.counts``.

    Args:
        months: the table ``measurements_by_month``.
        published: month → OONI's counts.
        causes: as :func:`find_causes` counts them.
        not_read: month → archive objects of it that were not read, or not to their end.
    """
    columns = {f"{cell}_count": cell for cell in DISJOINT} | {"measurement_count": _TOTAL}
    here = months.set_index("month").rename(columns=columns)[[*_CELLS]].astype("object")
    ours: dict[str, dict[str, int]] = {
        str(month): {str(cell): int(count) for cell, count in row.dropna().items()}
        for month, row in here.iterrows()
    }
    theirs = {month: {_TOTAL: cells.total, **cells._asdict()} for month, cells in published.items()}
    rows = [
        row
        for month in sorted({*ours, *theirs})
        for row in _rows_of(
            month,
            ours.get(month, {}),
            theirs.get(month, {}),
            causes.get(month, {}),
            not_read.get(month, 0),
        )
    ]
    counts = dict.fromkeys(_COLUMNS[2:6], "Int64")
    return pd.DataFrame(rows, columns=[*_COLUMNS]).astype(counts)


def _rows_of(
    month: str, ours: Tally, theirs: Tally, causes: Mapping[str, Tally], not_read: int
) -> Iterator[tuple[object, ...]]:
    """The rows of a month, in the order of ``_CELLS``."""
    left = {cell: ours.get(cell, 0) - theirs.get(cell, 0) for cell in _CELLS}
    taken = _choose_causes(left, causes)
    left = _without(left, taken)
    is_moved = left[_TOTAL] == 0
    for cell in _CELLS:
        here, ooni = ours.get(cell), theirs.get(cell)
        amounts = {name: part.get(cell, 0) for name, part in taken.items()}
        amounts["moved" if is_moved else "unexplained"] = left[cell]
        unexplained: int | None = amounts.get("unexplained", 0)
        if not ours:
            explanation = "nothing of this month was kept here"
        elif not theirs:
            explanation = "OONI has no measurement of this month"
        elif here is None:
            explanation = "without a fingerprint list none is confirmed here"
            unexplained = None
        else:
            explanation = _explain(amounts, not_read)
        difference = None if here is None or ooni is None else here - ooni
        yield month, cell, here, ooni, difference, unexplained, explanation


def _choose_causes(differences: Tally, causes: Mapping[str, Tally]) -> Mapping[str, Tally]:
    """Those causes that leave least of a month over, of equals the fewest.

    Of the month's total, then of its flags.
    """
    certain = [name for name in causes if name in _CERTAIN]
    others = sorted(set(causes) - _CERTAIN)
    sets = [
        {name: causes[name] for name in (*certain, *chosen)}
        for size in range(len(others) + 1)
        for chosen in combinations(others, size)
    ]

    def left_over(taken: Mapping[str, Tally]) -> tuple[int, int]:
        left = _without(differences, taken)
        return abs(left[_TOTAL]), sum(map(abs, left.values()))

    return min(sets, key=left_over)


def _without(differences: Tally, taken: Mapping[str, Tally]) -> dict[str, int]:
    """What is left of differences when causes are taken off."""
    return {
        cell: difference - sum(cause.get(cell, 0) for cause in taken.values())
        for cell, difference in differences.items()
    }


def _explain(amounts: Tally, not_read: int) -> str:
    texts = {name: text for name, (_, text) in _CAUSES.items()}
    texts |= {"moved": "under another flag at OONI", "unexplained": "unexplained"}
    said = [f"{abs(amounts[name]):,} {text}" for name, text in texts.items() if amounts.get(name)]
    if amounts.get("unexplained", 0) < 0 and not_read:
        said.append(f"archive objects of this month not read whole: {not_read:,}")
    return "; ".join(said) or "the same"


def _claim(counts: pd.DataFrame) -> str:
    compared = counts[counts["unexplained"].notna()]
    same, over = (compared["difference"] == 0).sum(), (compared["unexplained"] != 0).sum()
    if same == len(compared):
        return f"All {same:,} counts by month and flag are the same at OONI."
    others = "the others differ by measurements that can be named."
    if over:
        others = f"{over:,} differ for a reason that is not known."
    return f"{same:,} of {len(compared):,} counts by month and flag are the same at OONI; {others}"


def _reading(counts: pd.DataFrame) -> str:
    """The whole period on both sides."""
    here, ooni = (
        {cell: int(counts.loc[counts["flag"] == cell, side].sum()) for cell in _CELLS}
        for side in ("here_count", "ooni_count")
    )
    difference = here[_TOTAL] - ooni[_TOTAL]
    more = (
        f"{abs(difference):,} {'more' if difference > 0 else 'fewer'}" if difference else "as many"
    )
    over = counts.loc[counts["flag"] == _TOTAL, "unexplained"].abs().sum()
    return (
        f"OONI counts {ooni[_TOTAL]:,} measurements of the period, this report {here[_TOTAL]:,}, "
        f"{more} ({over:,} unexplained). OONI flags {_flagged(ooni)} of them as anomalous or "
        f"confirmed, this report {_flagged(here)}."
    )


def _flagged(tally: Tally) -> str:
    if not tally[_TOTAL]:
        return "none"
    return percent((tally["anomaly"] + tally["confirmed"]) / tally[_TOTAL])


def _gaps(study: Study, counts: pd.DataFrame, age: int) -> list[str]:
    """What may still be missing on either side, where it matters."""
    gaps = []
    if age < SETTLED_DAYS:
        gaps.append(f"That was {age} days after the period: uploads may still have followed.")
    received = [time for file in study.collection.files if (time := _received(file.key))]
    if received and (counts["unexplained"] < 0).any():
        gaps.append(
            f"The newest archive object read is of {max(received):%Y-%m-%d %H:%M} UTC; what came "
            "between the two is at OONI only, and nobody here can count it."
        )
    return gaps


def _not_read(collection: Collection) -> Counter[str]:
    """Archive objects that were not read, or not to their end, by month of receipt."""
    keys = [item.key for item in collection.not_read]
    keys += [file.key for file in collection.files if file.ledger.get("truncated_file")]
    return Counter(f"{time:%Y-%m}" for key in keys if (time := _received(key)))


def _received(key: str) -> datetime | None:
    """The hour in which an archive object was received, UTC."""
    received = layout.parse_receipt(key)
    return received and datetime.fromtimestamp(received.since, UTC)
