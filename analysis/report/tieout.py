"""Our counts by month and flag beside OONI's own, and the causes of each difference.

OONI scores a measurement when it receives it, and counts it in its API. Here the same measurements
are read from its archive and scored again. Readers can check a report against OONI's counts, so
the two are compared cell by cell. A difference is explained only by rows that have been counted:

===============  ======================================================  ========================
rows             where they are                                          how they are known
===============  ======================================================  ========================
network unknown  here; OONI drops AS0 when it receives it                ``probe_asn`` is 0
received later   here; OONI was asked before they came                   the hour in the file's key
late             at OONI; here they are set apart                        the same, see store.receipt
uploaded twice   here once; at OONI twice, unless its table merged them  the ledger's duplicates
another flag     on both sides, where the totals are equal               differences that sum to 0
===============  ======================================================  ========================

The rows received later and the late ones are certain. The unknown networks and the second uploads
are each taken for a whole month or not at all, whichever explains the month better: if a part could
be used, forty second uploads would explain every difference up to forty. Another flag explains a
month only if its totals agree; otherwise nothing says which rows are missing. The rest is called
unexplained: a tolerance, such as "within 1 %", would hide it. Archive objects that could not be
read are named beside it and explain nothing, since nobody knows how many rows they contain. Against
it: a set of causes may fit by chance, so each is printed with its count. Categories are not
compared, because OONI joins its lists without a country.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import combinations

import pandas as pd

from analysis.languages.language import ENGLISH
from analysis.observations.flags import DISJOINT, DISJOINT_SQL
from analysis.pages.formats import percent
from analysis.period import days_between
from analysis.sources.api import SETTLED_DAYS, read_counts
from analysis.sources.archive_files import parse_receipt
from analysis.store.store import Collection
from analysis.study.parameters import replies_folder
from analysis.study.study import Study

#: The sentence of a report whose source is not OONI's archive.
NOT_OONI = (
    "This run did not read OONI's archive itself, so its counts are not compared with OONI's."
)

#: Name of a cause → its sign in *here − OONI*, and its words.
_CAUSES: Mapping[str, tuple[int, str]] = {
    "later": (1, "received after OONI was asked"),
    "no_network": (1, "from an unknown network, which OONI drops"),
    "late": (-1, "set apart here, because their time and their receipt disagree"),
    "twice": (-1, "uploaded twice and counted twice by OONI"),
}
_CERTAIN = {"late", "later"}
_TOTAL = "all"
_CELLS = (_TOTAL, *DISJOINT)

_MONTH = "strftime(measurement_start_time, '%Y-%m')"
_NOT_AT_OONI = f"""
SELECT {_MONTH}, if(probe_asn = 0, 'no_network', 'later'), {DISJOINT_SQL}, count(*)
FROM observations
WHERE probe_asn = 0 OR ({_MONTH}, object_key) IN (SELECT unnest($months), unnest($keys))
GROUP BY ALL
UNION ALL SELECT {_MONTH}, 'late', {DISJOINT_SQL}, count(*) FROM late_observations
WHERE probe_asn <> 0 AND ({_MONTH}, object_key) NOT IN (SELECT unnest($months), unnest($keys))
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
    """The comparison, and the sentences of the page.

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
    counts = compare(months, published.by_month(), causes, _not_read(study.collection))
    moments = [published.asked_at[month] for month in sorted(published.asked_at)]
    caveats = [
        _fetched(min(moments).date(), max(moments).date()),
        ENGLISH.say(
            "OONI scores a measurement once, when it is "
            "received, by the rules and fingerprints of that day. This report scores all "
            "measurements by the same rules and fingerprints."
        ),
        *_gaps(study, counts, days_between(period.until, moments[-1].date())),
    ]
    return TieOut(
        counts,
        claim=_claim(counts),
        reading=_reading(counts),
        caveat=" ".join(caveats),
        note=ENGLISH.say(
            "OONI's replies, one after the other, have the SHA-256 {digest}.",
            digest=published.sha256,
        ),
    )


def _fetched(first: date, last: date) -> str:
    if first == last:
        return ENGLISH.say("OONI's counts were fetched on {day}.", day=first)
    return ENGLISH.say(
        "OONI's counts were fetched between {first} and {last}.", first=first, last=last
    )


def find_causes(study: Study, asked_at: Mapping[str, datetime]) -> Causes:
    """Count the rows that OONI has more or less often.

    Args:
        study: the measurements.
        asked_at: month → when OONI was asked for it.
    """
    query = f"""SELECT DISTINCT {_MONTH}, object_key FROM observations
      UNION SELECT DISTINCT {_MONTH}, object_key FROM late_observations"""
    pairs = study.connection.execute(query).fetchall()
    later = [pair for pair in pairs if _is_later(pair[1], asked_at.get(pair[0]))]
    parameters = {"months": [month for month, _ in later], "keys": [key for _, key in later]}
    rows = study.connection.execute(_NOT_AT_OONI, parameters).fetchall()
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
    published: Mapping[str, Tally],
    causes: Causes,
    not_read: Mapping[str, int],
) -> pd.DataFrame:
    """Compare the counts of each month and flag; returns ``TieOut.counts``.

    Args:
        months: the table ``measurements_by_month``.
        published: month → OONI's counts by flag.
        causes: as :func:`find_causes` counts them.
        not_read: month → archive objects of it that were not read, or not to their end.
    """
    columns = {f"{cell}_count": cell for cell in DISJOINT} | {"measurement_count": _TOTAL}
    own = months.set_index("month").rename(columns=columns)[[*_CELLS]].astype("object")
    ours: dict[str, dict[str, int]] = {
        str(month): {str(cell): int(count) for cell, count in row.dropna().items()}
        for month, row in own.iterrows()
    }
    theirs = {month: {_TOTAL: sum(by.values()), **by} for month, by in published.items()}
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
    """Yield the rows of a month, in the order of ``_CELLS``."""
    remaining = {cell: ours.get(cell, 0) - theirs.get(cell, 0) for cell in _CELLS}
    taken = _choose_causes(remaining, causes)
    remaining = _without(remaining, taken)
    is_moved = remaining[_TOTAL] == 0
    for cell in _CELLS:
        own, ooni = ours.get(cell), theirs.get(cell)
        amounts = {name: part.get(cell, 0) for name, part in taken.items()}
        amounts["moved" if is_moved else "unexplained"] = remaining[cell]
        unexplained: int | None = amounts.get("unexplained", 0)
        if not ours:
            explanation = "this report has no measurement of this month"
        elif not theirs:
            explanation = "OONI has no measurement of this month"
        elif own is None:
            explanation = "this run has no fingerprints and confirms no measurement"
            unexplained = None
        else:
            explanation = _explain(amounts, not_read)
        difference = None if own is None or ooni is None else own - ooni
        yield month, cell, own, ooni, difference, unexplained, explanation


def _choose_causes(differences: Tally, causes: Mapping[str, Tally]) -> Mapping[str, Tally]:
    """Choose the causes that explain most of a month; of equal sets, the smallest.

    Of the month's total, then of its flags.
    """
    certain = [name for name in causes if name in _CERTAIN]
    uncertain = sorted(set(causes) - _CERTAIN)
    sets = [
        {name: causes[name] for name in (*certain, *chosen)}
        for size in range(len(uncertain) + 1)
        for chosen in combinations(uncertain, size)
    ]

    def left_over(taken: Mapping[str, Tally]) -> tuple[int, int]:
        remaining = _without(differences, taken)
        return abs(remaining[_TOTAL]), sum(map(abs, remaining.values()))

    return min(sets, key=left_over)


def _without(differences: Tally, taken: Mapping[str, Tally]) -> dict[str, int]:
    """Return the differences without the rows that the causes explain."""
    return {
        cell: difference - sum(cause.get(cell, 0) for cause in taken.values())
        for cell, difference in differences.items()
    }


def _explain(amounts: Tally, not_read: int) -> str:
    texts = {name: text for name, (_, text) in _CAUSES.items()}
    texts |= {"moved": "under another flag at OONI", "unexplained": "unexplained"}
    phrases = [
        f"{abs(amounts[name]):,} {text}" for name, text in texts.items() if amounts.get(name)
    ]
    if amounts.get("unexplained", 0) < 0 and not_read:
        phrases.append(f"{not_read:,} archive objects of this month were not read completely")
    return "; ".join(phrases) or "the same"


def _claim(counts: pd.DataFrame) -> str:
    compared = counts[counts["unexplained"].notna()]
    same, over = (compared["difference"] == 0).sum(), (compared["unexplained"] != 0).sum()
    if same == len(compared):
        return ENGLISH.say("All {n} counts by month and flag are the same at OONI.", n=same)
    return ENGLISH.say(
        "{same} of {n} counts by month and flag are the same at OONI. {over} of the others differ "
        "for an unknown reason.",
        same=same,
        n=len(compared),
        over=over,
    )


def _reading(counts: pd.DataFrame) -> str:
    """Return the totals of the whole period on both sides, in words."""
    own, ooni = (
        {cell: int(counts.loc[counts["flag"] == cell, side].sum()) for cell in _CELLS}
        for side in ("here_count", "ooni_count")
    )
    over = counts.loc[counts["flag"] == _TOTAL, "unexplained"].abs().sum()
    return ENGLISH.say(
        "OONI counts {ooni} measurements of the period and this report counts {here}. Of the "
        "difference, {over} are unexplained. OONI flags {flagged} of its measurements "
        "as anomalous or confirmed, this report flags {flagged_here}.",
        ooni=ooni[_TOTAL],
        here=own[_TOTAL],
        over=over,
        flagged=_flagged(ooni),
        flagged_here=_flagged(own),
    )


def _flagged(tally: Tally) -> str:
    if not tally[_TOTAL]:
        return "none"
    return percent((tally["anomaly"] + tally["confirmed"]) / tally[_TOTAL])


def _gaps(study: Study, counts: pd.DataFrame, age: int) -> list[str]:
    """Return sentences on measurements that may be missing on either side."""
    gaps = []
    if age < SETTLED_DAYS:
        gaps.append(
            ENGLISH.say(
                "This was {n} days after the end of the period, so late uploads may be missing.",
                n=age,
            )
        )
    received = [time for file in study.collection.files if (time := _received(file.key))]
    if received and (counts["unexplained"] < 0).any():
        gaps.append(
            ENGLISH.say(
                "The newest archive object in this report is of {time}. Measurements received "
                "after this time are in OONI's counts only.",
                time=max(received),
            )
        )
    return gaps


def _not_read(collection: Collection) -> Counter[str]:
    """Count the archive objects that were not read, or not to their end, by month of receipt."""
    keys = [item.key for item in collection.not_read]
    keys += [file.key for file in collection.files if file.ledger.get("truncated_file")]
    return Counter(f"{time:%Y-%m}" for key in keys if (time := _received(key)))


def _is_later(key: str, asked_at: datetime | None) -> bool:
    """Return whether an archive object was received after OONI was asked."""
    received = _received(key)
    return received is not None and asked_at is not None and received > asked_at


def _received(key: str) -> datetime | None:
    """Return the hour in which an archive object was received, UTC."""
    received = parse_receipt(key)
    return received and datetime.fromtimestamp(received.since, UTC)
