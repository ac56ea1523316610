"""Where each messaging app and circumvention tool stands on each network at a look."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.report.app_countries import COUNTRY
from analysis.report.app_tables import Judged, judge_apps
from analysis.review.standing import Other, Standing, find_status, lower_floor
from analysis.study.app_study import MessagingStudy
from analysis.tables import TABLES
from analysis.vocabulary import LISTED, STATES

_KEY = ["test_name", "probe_asn"]


def find_apps_standing(study: MessagingStudy) -> Standing:
    """Judge the tests as a report does, against other countries where these are at hand.

    A row is about an app or tool on an access network, or in the whole country (``AS0``) where
    OONI's counts say it. ``suspicious`` is what the same judge would list by the lower floor of web
    sites, on a network, and nobody has seen open since: what fails elsewhere too is none.

    Args:
        study: its connection afterwards holds what the judge leaves.
    """
    study = replace(study, periods={"all": study.periods["all"]})
    judged = judge_apps(study)
    verdicts = _of_access(judged)
    listed = verdicts[verdicts["state"].isin(LISTED)]
    pairs = _list_pairs(listed, judged)
    if len(pairs):
        pairs["status"] = _find_statuses(study, pairs)
    hints = _find_suspicious(study, set(_keys(listed)))
    pairs = pd.concat([one for one in (pairs, hints) if len(one)] or [pairs], ignore_index=True)
    stands = set(_keys(pairs))
    others = {
        (row.test_name, row.test_name, row.probe_asn): Other(
            row.state, row.state == "insufficient", row.note or STATES[row.state].words
        )
        for row in _rows(verdicts)
        if (row.test_name, row.probe_asn) not in stands
    }
    return Standing(pairs, others)


def _of_access(judged: Judged) -> pd.DataFrame:
    """The verdicts of the whole period, without networks that are not the country's."""
    is_shown = (judged.verdicts["period"] == "all") & (
        judged.verdicts["set_aside_reason"] != "not_domestic"
    )
    return judged.verdicts[is_shown].fillna({"network": "", "note": ""})


def _keys(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(table["test_name"], table["probe_asn"], strict=True)


def _list_pairs(listed: pd.DataFrame, judged: Judged) -> pd.DataFrame:
    """One row a listed test and network."""
    last = judged.intervals.sort_values([*_KEY, "blocked_from_time", "blocked_from"])
    last = last.drop_duplicates(_KEY, keep="last").set_index(_KEY)
    rows = [_row(row, last.loc[row.test_name, row.probe_asn]) for row in _rows(listed)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*_KEY, "status"])


def _find_suspicious(study: MessagingStudy, listed: set[tuple[str, str]]) -> pd.DataFrame:
    """What only the lower floor lists, on a network, and nobody has seen open since.

    The connection afterwards holds the sessions as the lower floor hears them.
    """
    lower = lower_floor(study.parameters.thresholds)
    hints = judge_apps(replace(study, parameters=replace(study.parameters, thresholds=lower)))
    verdicts = _of_access(hints)
    below = verdicts[verdicts["state"].isin(LISTED) & (verdicts["probe_asn"] != COUNTRY)]
    below = below[[key not in listed for key in _keys(below)]]
    pairs = _list_pairs(below, hints)
    goes_on = pairs[pairs["first_seen_open_again"] == ""] if len(pairs) else pairs
    # no state, and no count of forgers: a verdict has these
    return goes_on.assign(status="suspicious", state="insufficient", sessions_to_flip="")


def _rows(frame: pd.DataFrame) -> Any:
    return frame.itertuples(index=False)


def _row(verdict: Any, stretch: pd.Series) -> dict[str, Any]:
    """One listed test on a network, by its last stretch."""
    elsewhere = verdict.elsewhere_anomaly_share
    compared = "" if pd.isna(elsewhere) else f"in other countries {100 * elsewhere:.1f} % fail"
    reached = str(stretch["first_seen_open_again_time"] or "")
    return {
        "test_name": verdict.test_name,
        "item": verdict.test_name,
        "probe_asn": verdict.probe_asn,
        "network": verdict.network or ("the whole country" if verdict.probe_asn == COUNTRY else ""),
        "state": verdict.state,
        "mechanism": verdict.mechanism,
        "schedule": verdict.schedule,
        "last_seen_open": str(stretch["last_seen_open_time"] or "")[:10],
        "blocked_from": verdict.blocked_from,
        "blocked_until": verdict.blocked_until,
        "first_seen_open_again": reached[:10],
        "session_count": verdict.session_count,
        "blocked_session_count": verdict.blocked_session_count,
        "day_count": stretch["day_count"],
        "chance": verdict.chance,
        "sessions_to_flip": "",
        "witness_url": verdict.witness_url,
        "note": "; ".join(filter(None, [str(verdict.note), compared])),
        "domain": f"{verdict.test_name}/{stretch['part']}",
        "blocked_until_time": str(stretch["blocked_until_time"] or ""),
        "is_partial": bool(verdict.is_partial),
    }


def _find_statuses(study: MessagingStudy, pairs: pd.DataFrame) -> pd.Series:
    """As of a site. Of the whole country no session is known, and what is cut off in part is open
    in those of its part, so that these are at most seen open."""
    is_own = (pairs["probe_asn"] != COUNTRY) & (pairs["blocked_until_time"] != "")
    is_own &= ~pairs["is_partial"]
    status = pd.Series("blocked", pairs.index)
    status = status.mask(pairs["first_seen_open_again"] != "", "seen_open")
    own = pairs[is_own].assign(probe_asn=pairs["probe_asn"].str.removeprefix("AS"))
    if len(own):
        own = own.astype({"probe_asn": "int64"})
        status[own.index] = find_status(study.connection, own, study.parameters.thresholds)
    return status


def join_standings(*standings: Standing) -> Standing:
    """All pairs of some looks at the same days, and all others."""
    columns = list(TABLES["watch_standing"].columns)
    pairs = [
        standing.pairs[columns].astype("object") for standing in standings if len(standing.pairs)
    ]
    others = {key: other for one in standings for key, other in one.others.items()}
    joined = pd.concat(pairs, ignore_index=True) if pairs else pd.DataFrame(columns=columns)
    return Standing(joined, others)
