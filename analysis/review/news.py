"""What differs between two looks, and the log of it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd

from analysis.review.standing import UNTESTED, Other, Standing
from analysis.tables import TABLES

KEY = ["test_name", "item", "probe_asn"]
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
UNSEEN = "not tested enough since"
_Key = tuple[str, str, str]
_Row = Mapping[Any, Any]


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
    columns = list(TABLES["watch_standing"].columns)
    pairs = pd.DataFrame([rows[key] for key in sorted(rows)], columns=columns)
    return replace(now, pairs=pairs)


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
    rows = list(_changes(earlier, _by_pair(now.pairs), now.others))
    return pd.DataFrame(rows, columns=[*KEY, "change", *_COPIED])


def add_to_log(
    log: pd.DataFrame, news: pd.DataFrame, *, look: date, earlier: date | None, cause: str
) -> pd.DataFrame:
    """The contract's ``watch``: the news of earlier looks, and those of this one.

    Args:
        log: as it was.
        news: what ``find_news`` returns.
        look: the last day that this look reached.
        earlier: that of the look before; None where this is the first.
        cause: what differs between the runs of both, joined by ``;``.
    """
    dated = news.assign(look=str(look), earlier_look=str(earlier or ""), cause=cause)
    columns = list(TABLES["watch"].columns)
    both = pd.concat([log[columns], dated[columns]], ignore_index=True)
    # two looks on one day: what was told last
    return both.drop_duplicates(list(TABLES["watch"].key), keep="last", ignore_index=True)


def _by_pair(pairs: pd.DataFrame) -> dict[_Key, _Row]:
    return {
        (row["test_name"], row["item"], row["probe_asn"]): row for row in pairs.to_dict("records")
    }


def _changes(
    before: Mapping[_Key, _Row], now: Mapping[_Key, _Row], others: Mapping[_Key, Other]
) -> Iterator[dict[str, Any]]:
    for key in sorted(before.keys() | now.keys()):
        row = now.get(key) or before[key]
        status = now[key]["status"] if key in now else ""
        change = _NEWS[status].get(before[key]["status"] if key in before else "")
        note = row["note"]
        if key not in now:
            other = others.get(key, UNTESTED)
            note = other.words
            if change == "unlisted" and other.state == "ok":
                change = "lifted"  # the block lies before the period by now
        if change:
            evidence = {name: row[name] for name in _COPIED}
            yield {**dict(zip(KEY, key, strict=True)), "change": change, **evidence, "note": note}
