"""What the last look kept, beside its page: where each pair stood, and the log of what was new.

The folder is the memory. It changes as a whole, so that a look that is interrupted leaves the one
before as it was; whoever removes it begins anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.reference.countries import country_name
from analysis.review.changes import find_causes
from analysis.review.reports import Report, check_tables, read_report
from analysis.review.standing import KEY, UNTESTED, Standing
from analysis.tables import TABLES, read_table

LOG, STANDING = "watch", "watch_standing"
#: Where ``run.json`` says that a folder is a look's, and when somebody first looked.
RECORD = "watch"
UNSEEN = "not tested enough since"
_COPIED = (
    "state", "status", "network", "mechanism", "schedule", "last_seen_open", "blocked_from",
    "blocked_until", "first_seen_open_again", "session_count", "blocked_session_count",
    "day_count", "chance", "sessions_to_flip", "witness_url", "note",
)  # fmt: skip
#: Status now → status at the last look → what that is. What is not named here is no news.
_NEWS: Mapping[str, Mapping[str, str]] = {
    "blocked": {
        "": "newly_blocked", "suspicious": "newly_blocked",
        "seen_open": "blocked_again", "lifted": "blocked_again",
    },
    "seen_open": dict.fromkeys(("", "suspicious", "blocked", "unseen", "lifted"), "seen_open"),
    "lifted": dict.fromkeys(("", "suspicious", "blocked", "unseen", "seen_open"), "lifted"),
    "suspicious": dict.fromkeys(("", "seen_open", "lifted"), "suspicious"),
    "unseen": {},
    "": {
        "suspicious": "cleared",
        **dict.fromkeys(("blocked", "unseen", "seen_open"), "unlisted"),
    },
}  # fmt: skip


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
    def first(self) -> str:
        """The last day that the first look of all reached."""
        return str(self.report.run[RECORD]["first_look"])


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
    record = report.run.get(RECORD)
    if not isinstance(record, dict) or "first_look" not in record:
        accepted = "holds something else than a look; watch needs a folder of its own"
        raise ParameterError("OUT", out, accepted)
    if report.probe_cc != probe_cc:
        accepted = f"holds a look at {country_name(report.probe_cc)}; each country has its own"
        raise ParameterError("OUT", out, accepted)
    if report.period.until > period.until:
        raise ParameterError(
            "UNTIL", period.until, f"{report.period.until} is accepted at the earliest, since the "
            "last look reached so far (is the clock right?); or remove the folder, and the next "
            f"look begins anew: all that stands is new to it ({out})"
        )  # fmt: skip
    check_tables(report, (LOG, STANDING), "OUT")
    return Look(report, read_table(report.tables, STANDING), read_table(report.tables, LOG))


def carry_over(before: pd.DataFrame, now: Standing) -> Standing:
    """With what an earlier look knew of pairs that were tested too little since.

    The period moves on; a block that nobody tests does not end by that, nor begin when somebody
    tests again. Such a pair keeps the evidence of the look that saw it, as ``unseen``.

    Args:
        before: the contract's ``watch_standing`` at the last look.
        now: what this look found.
    """
    found = _by_pair(now.pairs)
    rows = dict(found)
    for key, old in _by_pair(before).items():
        is_thin = key not in found and now.others.get(key, UNTESTED).is_thin
        is_hint = key in found and found[key]["status"] == "suspicious"
        if old["status"] in ("blocked", "unseen") and (is_thin or is_hint):
            note = "; ".join(dict.fromkeys(filter(None, (*old["note"].split("; "), UNSEEN))))
            rows[key] = {**old, "status": "unseen", "note": note}
        elif old["status"] == "seen_open" and is_thin:
            rows[key] = old
    columns = list(TABLES[STANDING].columns)
    return replace(now, pairs=pd.DataFrame([rows[key] for key in sorted(rows)], columns=columns))


def find_news(before: pd.DataFrame | None, now: Standing) -> pd.DataFrame:
    """What is new, a row a change of a pair.

    Args:
        before: the pairs at the last look, the contract's ``watch_standing``; None where nobody
            has looked before, so that all is new.
        now: those of this look, see ``carry_over``.

    Returns:
        ``KEY``, ``change`` (``vocabulary.WATCH_CHANGES``), and the evidence: that of this look,
        or of the last one where the pair does not stand any more.
    """
    earlier = {} if before is None else _by_pair(before)
    found = _by_pair(now.pairs)
    rows = []
    for key in sorted(earlier.keys() | found.keys()):
        row = found.get(key) or earlier[key]
        note = row["note"]
        was, stands = (of[key]["status"] if key in of else "" for of in (earlier, found))
        change = _NEWS[stands].get(was)
        if key not in found:
            other = now.others.get(key, UNTESTED)
            note = other.words
            if change == "unlisted" and other.state == "ok":
                change = "lifted"  # the block lies before the period by now
        if change:
            rows.append({**row, "change": change, "note": note})
    return pd.DataFrame(rows, columns=[*KEY, "change", *_COPIED])


def add_to_log(last: Look | None, news: pd.DataFrame, report: Report) -> pd.DataFrame:
    """The contract's ``watch``: what was new at earlier looks, and at this one.

    Args:
        last: the look before.
        news: what ``find_news`` returns.
        report: this look; what was new before its period is dropped.
    """
    columns = list(TABLES[LOG].columns)
    look = str(report.period.last_day)
    if last is None:
        return news.assign(look=look, earlier_look="", cause="")[columns]
    # where nothing differs between the runs, neither does what they say
    cause = ";".join(find_causes(last.report, report))
    dated = news.assign(look=look, earlier_look=str(last.report.period.last_day), cause=cause)
    kept = last.log[last.log["look"] >= str(report.period.since)]
    both = pd.concat([kept[columns], dated[columns]], ignore_index=True)
    # two looks on one day: what was told last
    return both.drop_duplicates(list(TABLES[LOG].key), keep="last", ignore_index=True)


def _by_pair(pairs: pd.DataFrame) -> dict[tuple[str, ...], dict[str, Any]]:
    rows = [{str(name): value for name, value in row.items()} for row in pairs.to_dict("records")]
    return {tuple(row[name] for name in KEY): row for row in rows}
