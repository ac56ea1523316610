"""Where each site stands on each access network on the last day of a look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import pandas as pd

from analysis.outcomes.rules import RULES
from analysis.outcomes.thresholds import Thresholds
from analysis.store.stage_tables import add_room
from analysis.study.confirmation import confirm
from analysis.study.stages import Maker, Method
from analysis.study.study import Study
from analysis.verdicts.sessions import add_sessions
from analysis.verdicts.states import meets_floor
from analysis.verdicts.verdicts import Judgement, Scope, judge_cells
from analysis.vocabulary import INSUFFICIENT, LISTED, STATES

#: The test of web sites; other tests have rows of their own.
WEB = "web_connectivity"
#: What is enough for a hint: sessions, days, and the lower bound of the failing ones' share.
_FLOOR = {"floor_sessions": 2, "floor_days": 2, "share_floor": 0.3}
#: Of the hints, at most this share is there by chance.
CHANCE = 0.1
PAIR = ["domain", "probe_asn"]
_THIN = ("few_sessions", "few_days")

# Sessions that say something after the last one that was blocked.
_SINCE = """
SELECT e.domain, e.probe_asn, count(*) AS session_count,
  count(*) FILTER (class = 'ok') AS ok_session_count,
  count(DISTINCT day) FILTER (class = 'ok') AS ok_day_count
FROM ended e JOIN heard_sessions s
  ON s.domain::VARCHAR = e.domain AND s.probe_asn = e.probe_asn
WHERE s.time > e.blocked_until_time::TIMESTAMP AND class <> 'none'
GROUP BY ALL
"""


class Other(NamedTuple):
    """What a pair is that does not stand."""

    state: str
    is_thin: bool  # too few sessions or days to say anything
    words: str


#: A pair without a measurement.
UNTESTED = Other("", True, "not tested in the period")


@dataclass(frozen=True)
class Standing:
    """What a look finds.

    Attributes:
        pairs: one row a pair of site and access network that somebody should know of: the
            contract's ``watch_standing``.
        others: ``(test_name, item, probe_asn)`` of every other pair that was tested → what it is.
    """

    pairs: pd.DataFrame
    others: Mapping[tuple[str, str, str], Other]


def find_standing(study: Study) -> Standing:
    """Judge the period as a report does, and say of each pair where it stands at its end.

    ``blocked``: listed, and not seen open since. ``seen_open``: listed, and reached afterwards, in
    too few sessions to call it lifted. ``lifted``: reached in as many sessions and days as the
    evidence floor asks for. ``suspicious``: not listed, and the same judge would list it if
    two sessions on two days were enough and one in ten might be there by chance; not reached since.

    Args:
        study: of the period ``all``; its connection afterwards holds what ``confirm`` leaves.
    """
    networks, numbers = study.networks(), study.thresholds
    access = networks[networks["is_domestic"]]
    judgement = confirm(study, networks, numbers, periods=["all"])
    verdicts = _of_access(judgement.verdicts, access)
    listed = _find_listed(study.connection, judgement, verdicts, numbers)
    lower = lower_floor(numbers)
    method = Method.of(numbers, RULES, study.fingerprints, networks)
    outcomes = Maker(study.kept, study.connection, method).make_outcomes()
    place = add_room(study.connection, "sessions")
    sessions = add_sessions(study.connection, outcomes, method.operators, lower, place)
    whole = {"all": study.periods["all"]}
    scope = Scope(whole, lower, has_explorer=not study.is_fictional)
    hints = judge_cells(study.connection, sessions, scope)
    below = _find_suspicious(hints, _of_access(hints.verdicts, access), listed)
    pairs = pd.concat([listed, below], ignore_index=True)
    names = dict(zip(access["probe_asn"], access["network"], strict=True))
    pairs = pairs.assign(
        test_name=WEB,
        item=pairs["domain"],
        network=pairs["probe_asn"].map(names),
        probe_asn="AS" + pairs["probe_asn"].astype(str),
    )
    return Standing(pairs, _say_others(verdicts, pairs))


def lower_floor(numbers: Thresholds) -> Thresholds:
    """The numbers with which the judge finds what is suspicious."""
    return numbers.changed_by(
        {name: min(value, vars(numbers)[name]) for name, value in _FLOOR.items()}
        | {"chance_share": max(CHANCE, numbers.chance_share)}
    )


def _of_access(verdicts: pd.DataFrame, access: pd.DataFrame) -> pd.DataFrame:
    """Of the whole period, on access networks."""
    of_access = verdicts["probe_asn"].isin(access["probe_asn"])
    return verdicts[of_access & (verdicts["period"] == "all")].astype({"probe_asn": "int64"})


def _last_stretches(judgement: Judgement, verdicts: pd.DataFrame) -> pd.DataFrame:
    """The last listed stretch of each listed pair, with what the verdict says of the pair."""
    ordered = judgement.intervals.sort_values([*PAIR, "blocked_from_time"])
    last = ordered.drop_duplicates(PAIR, keep="last").drop(columns=["chance", "schedule"])
    of_pair = verdicts.loc[
        verdicts["state"].isin(LISTED),
        [*PAIR, "note", "chance", "schedule", "sessions_to_flip", "witness_url", "blocked_until"],
    ].rename(columns={"blocked_until": "ended"})
    found = last.astype({"probe_asn": "int64"}).merge(of_pair, on=PAIR)
    return found.assign(
        blocked_until=found["blocked_until"].where(found["ended"] != "", ""),
        blocked_session_count=found["session_count"],
        session_count=found["session_count"] + found["reached_session_count"],
    )


def _find_listed(
    connection: duckdb.DuckDBPyConnection,
    judgement: Judgement,
    verdicts: pd.DataFrame,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """Each listed pair by its last stretch, and what was seen since."""
    listed = _last_stretches(judgement, verdicts)
    return listed.assign(status=find_status(connection, listed, thresholds))


def find_status(
    connection: duckdb.DuckDBPyConnection, listed: pd.DataFrame, thresholds: Thresholds
) -> pd.Series:
    """Blocked, seen open, or lifted. A block at hours is at most seen open: outside of them the
    site is open all the time, and the floor is not counted at its hours."""
    is_open = listed["first_seen_open_again"] != ""
    ended = listed.loc[is_open, [*PAIR, "blocked_until_time"]]
    connection.register("ended", ended)
    since = connection.execute(_SINCE).df()
    connection.unregister("ended")
    counts = listed[PAIR].merge(since.astype({"probe_asn": "int64"}), on=PAIR, how="left")
    counts = counts.fillna(0).set_index(listed.index)
    is_lifted = meets_floor(
        counts["ok_session_count"], counts["ok_day_count"], counts["session_count"], thresholds
    )
    status = pd.Series("blocked", listed.index).mask(is_open, "seen_open")
    return status.mask(is_open & is_lifted & (listed["schedule"] == ""), "lifted")


def _find_suspicious(
    hints: Judgement, verdicts: pd.DataFrame, listed: pd.DataFrame
) -> pd.DataFrame:
    """What only the lower floor lists, and nobody has seen open since."""
    found = _last_stretches(hints, verdicts)
    known = set(zip(listed["domain"], listed["probe_asn"], strict=True))
    is_known = [pair in known for pair in zip(found["domain"], found["probe_asn"], strict=True)]
    goes_on = found["first_seen_open_again"] == ""
    found = found[goes_on & ~pd.Series(is_known, found.index, dtype=bool)]
    # no state, and no count of forgers: a verdict has these
    return found.assign(status="suspicious", state="insufficient", sessions_to_flip="")


def _say_others(verdicts: pd.DataFrame, pairs: pd.DataFrame) -> dict[tuple[str, str, str], Other]:
    stands = set(zip(pairs["item"], pairs["probe_asn"], strict=True))
    columns = verdicts[["domain", "probe_asn", "state", "insufficient_reason", "note"]]
    others = {}
    for domain, asn, state, why, note in columns.itertuples(index=False):
        if (domain, f"AS{asn}") not in stands:
            words = note or (INSUFFICIENT.get(why) or STATES[state]).words
            others[WEB, domain, f"AS{asn}"] = Other(state, why in _THIN, words)
    return others
