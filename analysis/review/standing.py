"""The state of each site, app and tool on each access network when ``watch`` last ran.

The folder of the watch page keeps it, with the log of what was new. It changes as a whole, so an
interrupted run leaves the one before as it was; if it is removed, watching starts again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pandas as pd

from analysis.errors import ParameterError
from analysis.outcomes.thresholds import Thresholds
from analysis.pages.replacing import recover
from analysis.period import Period, day_of
from analysis.reference.reference_files import country_name
from analysis.reference.withheld import Withheld, load_withheld
from analysis.report.app_tables import Judged, judge_apps
from analysis.review.changes import find_causes
from analysis.review.reports import Report, check_tables, read_report
from analysis.store.stage_tables import add_room
from analysis.study.confirmation import Maker, Method, confirm
from analysis.study.study import MessagingStudy, Study
from analysis.tables import TABLES, read_table, typed
from analysis.verdicts.floors import meets_floor
from analysis.verdicts.sessions import add_sessions
from analysis.verdicts.verdicts import Judgement, Scope, judge_cells
from analysis.vocabulary import INSUFFICIENT, LISTED, STATES

#: The key of a pair: the test, the site or app, and the network.
KEY = ["test_name", "item", "probe_asn"]
#: The test of web sites; other tests have rows of their own.
WEB = "web_connectivity"
#: Thresholds of a hint: sessions, days, and the lower bound of the share that fails.
_FLOOR = {"floor_sessions": 2, "floor_days": 2, "share_floor": 0.3}
#: The evidence that a hint needs: one in this number of accidents has it.
CHANCE_LINE = 10
_PAIR = ["domain", "probe_asn"]
_APP = ["test_name", "probe_asn"]
_THIN = ("few_sessions", "few_days")

# Sessions that say something after the last one that was blocked.
_SINCE = """
SELECT e.domain, e.probe_asn, count(*) AS session_count,
  count(*) FILTER (class = 'ok') AS ok_session_count,
  count(DISTINCT day) FILTER (class = 'ok') AS ok_day_count
FROM ended e JOIN heard_sessions s
  ON s.domain::VARCHAR = e.domain AND s.probe_asn = e.probe_asn
WHERE s.time > e.blocked_until_time AND class <> 'none'
GROUP BY ALL
"""


class Other(NamedTuple):
    """The status of a pair that is not blocked."""

    state: str
    is_thin: bool  # too few sessions or days to say anything
    words: str


#: A pair without a measurement.
UNTESTED = Other("", True, "not tested in the period")


@dataclass(frozen=True)
class Standing:
    """The result of a look.

    Attributes:
        pairs: one row a pair of site and access network that somebody should know of: the
            contract's ``watch_standing``.
        others: ``(test_name, item, probe_asn)`` of every other pair that was tested → what it is.
    """

    pairs: pd.DataFrame
    others: Mapping[tuple[Any, ...], Other]


def find_standing(study: Study) -> Standing:
    """Judge the period as a report does, and return the status of each pair at its end.

    ``blocked``: listed, and not seen open since. ``seen_open``: listed, and reached afterwards, in
    too few sessions to call it lifted. ``lifted``: reached in as many sessions and days as the
    evidence floor asks for. ``suspicious``: not listed, and the same judge would list it if
    two sessions on two days were enough, and if one in ten accidents might look so; not reached
    since.

    Args:
        study: of the period ``all``; its connection afterwards holds what ``confirm`` leaves.
    """
    networks, numbers = study.networks(), study.thresholds
    access = networks[networks["is_domestic"]]
    judgement = confirm(study, networks, periods=["all"])
    verdicts = _of_access(judgement, access)
    listed = _list_sites(judgement, verdicts)
    listed["status"] = _find_status(study.connection, listed, numbers)
    lower = lower_floor(numbers)
    method = Method.of(study, networks)
    outcomes = Maker(study.kept, study.connection, method).make_outcomes()
    room = add_room(study.connection, "sessions")
    sessions = add_sessions(study.connection, outcomes, method.operators, lower, room)
    whole = {"all": study.periods["all"]}
    scope = Scope(whole, lower, has_explorer=not study.is_fictional)
    hints = judge_cells(study.connection, sessions, scope)
    below = _find_suspicious(_list_sites(hints, _of_access(hints, access)), listed)
    reasons = {code: state.words for code, state in INSUFFICIENT.items()}
    words = verdicts["insufficient_reason"].astype("str").map(reasons)
    is_thin = verdicts["insufficient_reason"].isin(_THIN)
    return _stand([listed, below], verdicts, is_thin, words)


def find_apps_standing(study: MessagingStudy) -> Standing:
    """Judge the tests as a report does, against other countries if there are counts of them.

    A row is about an app or tool on an access network. ``suspicious`` is what the same judge would
    list by the lower floor of web sites and nobody has seen open since: what fails elsewhere too is
    none.

    Args:
        study: its connection afterwards holds what the judge leaves.
    """
    study = replace(study, periods={"all": study.periods["all"]})
    judged = judge_apps(study)
    numbers = study.parameters.thresholds
    listed = _list_apps(judged)
    listed["status"] = _find_status(study.connection, listed, numbers)
    lower = replace(study.parameters, thresholds=lower_floor(numbers))
    hints = _list_apps(judge_apps(replace(study, parameters=lower)))
    below = _find_suspicious(hints, listed)
    verdicts = _apps_of_access(judged)
    no_reason = pd.Series(None, verdicts.index, dtype="object")
    return _stand([listed, below], verdicts, verdicts["state"] == "insufficient", no_reason)


def join_standings(*standings: Standing) -> Standing:
    """Join all pairs of several looks at the same days."""
    others = {key: status for standing in standings for key, status in standing.others.items()}
    return Standing(_together([standing.pairs for standing in standings]), others)


def _stand(
    listed: list[pd.DataFrame],
    verdicts: pd.DataFrame,
    is_thin: pd.Series,
    reasons: pd.Series,
) -> Standing:
    """Split the pairs into those that are listed and all others, with their note, reason or
    state.
    """
    pairs = _together(listed)
    stands = set(pairs[KEY].itertuples(index=False, name=None))
    note = verdicts["note"].astype("str")
    states = verdicts["state"].astype("str")
    in_words = states.map({code: state.words for code, state in STATES.items()})
    words = note.where(note != "", reasons.fillna(in_words))
    keys = verdicts[KEY].itertuples(index=False, name=None)
    others = map(Other, states, is_thin, words)
    return Standing(
        pairs, {key: status for key, status in zip(keys, others, strict=True) if key not in stands}
    )


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return rows of the contract's ``watch_standing``."""
    every = [typed("watch_standing", frame) for frame in frames]
    return pd.concat(every, ignore_index=True)


def lower_floor(numbers: Thresholds) -> Thresholds:
    """Return the thresholds with which the judge finds suspicious pairs."""
    return numbers.changed_by(
        {name: min(value, vars(numbers)[name]) for name, value in _FLOOR.items()}
        | {"chance_line": min(CHANCE_LINE, numbers.chance_line)}
    )


def _of_access(judgement: Judgement, access: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts of the whole period, on access networks."""
    verdicts = judgement.verdicts
    is_shown = (verdicts["period"] == "all") & verdicts["probe_asn"].isin(access["probe_asn"])
    shown = verdicts[is_shown]
    names = dict(zip(access["probe_asn"], access["network"], strict=True))
    return shown.assign(test_name=WEB, item=shown["domain"], network=shown["probe_asn"].map(names))


def _list_sites(judgement: Judgement, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the last listed stretch of each listed pair, with the verdict on the pair."""
    ordered = judgement.intervals.sort_values([*_PAIR, "blocked_from_time"])
    last = ordered.drop_duplicates(_PAIR, keep="last").drop(columns=["chance", "schedule"])
    of_pair = verdicts.loc[
        verdicts["state"].isin(LISTED),
        [
            *KEY,
            "domain",
            "network",
            "note",
            "chance",
            "schedule",
            "sessions_to_flip",
            "witness_url",
            "blocked_until",
        ],
    ].rename(columns={"blocked_until": "ended"})
    sites = last.merge(of_pair, on=_PAIR)
    return sites.assign(
        blocked_until=sites["blocked_until"].where(sites["ended"].notna()),
        blocked_session_count=sites["session_count"],
        session_count=sites["session_count"] + sites["reached_session_count"],
    )


def _apps_of_access(judged: Judged) -> pd.DataFrame:
    """Return the verdicts of the whole period, on networks of the country."""
    verdicts = judged.verdicts
    is_domestic = verdicts["set_aside_reason"] != "not_domestic"
    shown = verdicts[(verdicts["period"] == "all") & is_domestic]
    return shown.fillna({"network": "", "note": ""}).assign(item=shown["test_name"])


def _list_apps(judged: Judged) -> pd.DataFrame:
    """Return each listed test and network with its last stretch."""
    verdicts = _apps_of_access(judged)
    of_last = [
        "part",
        "last_seen_open_time",
        "blocked_until_time",
        "first_seen_open_again_time",
        "day_count",
    ]
    ordered = judged.intervals.sort_values([*_APP, "blocked_from_time", "blocked_from"])
    last = ordered.drop_duplicates(_APP, keep="last")[[*_APP, *of_last]]
    listed = verdicts[verdicts["state"].isin(LISTED)].drop(columns="day_count")
    apps = listed.merge(last, on=_APP, validate="1:1")
    compared = apps["elsewhere_anomaly_share"].astype("float64") * 100
    shares = compared.map("; in other countries {:.1f} % fail".format).astype("str")
    return apps.assign(
        domain=apps["test_name"] + "/" + apps["part"],
        last_seen_open=apps["last_seen_open_time"].dt.normalize(),
        first_seen_open_again=apps["first_seen_open_again_time"].dt.normalize(),
        sessions_to_flip=None,
        note=(apps["note"] + shares.where(compared.notna(), "")).str.removeprefix("; "),
    )


def _find_status(
    connection: duckdb.DuckDBPyConnection, listed: pd.DataFrame, thresholds: Thresholds
) -> pd.Series:
    """Return the status of each pair: blocked, seen open, or lifted.

    A block at hours is at most seen open: outside of them the site is open all the time, and the
    floor is not counted at its hours.
    """
    if listed.empty:  # of a source without tests of apps there are no sessions to ask
        return pd.Series("blocked", listed.index, dtype="object")
    is_open = listed["first_seen_open_again"].notna()
    has_end = is_open & listed["blocked_until_time"].notna()
    connection.register("ended", listed.loc[has_end, [*_PAIR, "blocked_until_time"]])
    since = connection.execute(_SINCE).df()
    connection.unregister("ended")
    counts = listed[_PAIR].merge(since, on=_PAIR, how="left")
    counts = counts.fillna(0).set_index(listed.index)
    is_lifted = meets_floor(
        counts["ok_session_count"], counts["ok_day_count"], counts["session_count"], thresholds
    )
    status = pd.Series("blocked", listed.index).mask(is_open, "seen_open")
    return status.mask(is_open & is_lifted & (listed["schedule"] == ""), "lifted")


def _find_suspicious(hints: pd.DataFrame, listed: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that only the lower floor lists, and that were not reached since."""
    is_known = pd.MultiIndex.from_frame(hints[KEY]).isin(pd.MultiIndex.from_frame(listed[KEY]))
    suspicious = hints[hints["first_seen_open_again"].isna() & ~is_known]
    # a state and a number of forged sessions belong to verdicts alone
    return suspicious.assign(status="suspicious", state="insufficient", sessions_to_flip=None)


LOG, STANDING = "watch", "watch_standing"
#: The key of ``run.json`` that marks the folder of a look.
RECORD = "watch"
#: The key of ``run.json`` with the last day of the first look.
FIRST_LOOK = "first_look"
UNSEEN = "not tested enough since"
_COPIED = (
    "state",
    "status",
    "network",
    "mechanism",
    "schedule",
    "last_seen_open",
    "blocked_from",
    "blocked_until",
    "first_seen_open_again",
    "session_count",
    "blocked_session_count",
    "day_count",
    "chance",
    "sessions_to_flip",
    "witness_url",
    "note",
)
#: Status now → status at the last look → the change. Other combinations are no news.
_NEWS: Mapping[str, Mapping[str, str]] = {
    "blocked": {
        "": "newly_blocked",
        "suspicious": "newly_blocked",
        "seen_open": "blocked_again",
        "lifted": "blocked_again",
    },
    "seen_open": dict.fromkeys(("", "suspicious", "blocked", "unseen", "lifted"), "seen_open"),
    "lifted": dict.fromkeys(("", "suspicious", "blocked", "unseen", "seen_open"), "lifted"),
    "suspicious": dict.fromkeys(("", "seen_open", "lifted"), "suspicious"),
    "unseen": {},
    "": {
        "suspicious": "cleared",
        **dict.fromkeys(("blocked", "unseen", "seen_open"), "unlisted"),
    },
}


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
    def first_day(self) -> date:
        """The last day of the first look."""
        return day_of(self.report.run.get(FIRST_LOOK)) or self.report.period.last_day


def read_last_look(out: Path, probe_cc: str, period: Period) -> Look | None:
    """Read the last look that was kept in its folder; None if there was none.

    Args:
        out: the folder.
        probe_cc: the country that is looked at.
        period: that of the look to come.

    Raises:
        ParameterError: the folder holds something else, a look at another country or at a later
            day, or tables that are not as they were written.
    """
    recover(out, RECORD)
    if not (out / "run.json").is_file():
        return None
    report = read_report(out, "OUT")
    if report.probe_cc != probe_cc:
        accepted = f"holds a look at {country_name(report.probe_cc)}; each country has its own"
        raise ParameterError("OUT", out, accepted)
    if report.period.until > period.until:
        raise ParameterError(
            "UNTIL",
            period.until,
            f"{report.period.until} is accepted at the earliest, since the "
            "last look reached so far (is the clock right?); or remove the folder, and the next "
            f"look is the first again ({out})",
        )
    check_tables(report, (LOG, STANDING), "OUT")
    withheld = load_withheld(probe_cc)
    standing, log = (
        _withhold(read_table(report.tables, name), withheld) for name in (STANDING, LOG)
    )
    # earlier versions called all that stood at the first look new
    return Look(report, standing, log[log["earlier_look"].notna()])


def _withhold(pairs: pd.DataFrame, withheld: Withheld) -> pd.DataFrame:
    """Return the tables of an earlier look without the names that a meeting has withheld since."""
    if not withheld:
        return pairs
    is_own = pairs["item"].map(withheld.spells).astype(bool)
    texts = {name: pairs[name].map(withheld.mask) for name in ("item", "note", "witness_url")}
    return pairs.assign(**texts | {"witness_url": texts["witness_url"].mask(is_own, "")})


def carry_over(before: pd.DataFrame, now: Standing) -> Standing:
    """Add the pairs of an earlier look that were tested too little since.

    The period moves on; a block that nobody tests does not end by that, nor begin when somebody
    tests again. Such a pair keeps the evidence of the look that saw it, as ``unseen``.

    Args:
        before: the contract's ``watch_standing`` at the last look.
        now: what this look found.
    """
    by_pair = _by_pair(now.pairs)
    rows = dict(by_pair)
    for key, old in _by_pair(before).items():
        is_thin = key not in by_pair and now.others.get(key, UNTESTED).is_thin
        is_hint = key in by_pair and by_pair[key]["status"] == "suspicious"
        if old["status"] in ("blocked", "unseen") and (is_thin or is_hint):
            note = "; ".join(dict.fromkeys(filter(None, (*old["note"].split("; "), UNSEEN))))
            rows[key] = {**old, "status": "unseen", "note": note}
        elif old["status"] == "seen_open" and is_thin:
            rows[key] = old
    return replace(now, pairs=typed(STANDING, [rows[key] for key in sorted(rows)]))


def find_news(before: pd.DataFrame, now: Standing) -> pd.DataFrame:
    """Return the news, a row a change of a pair.

    Args:
        before: the pairs at the last look, the contract's ``watch_standing``.
        now: those of this look, see ``carry_over``.

    Returns:
        ``KEY``, ``change`` (``vocabulary.WATCH_CHANGES``), and the evidence: that of this look,
        or of the last one where the pair does not stand any more.
    """
    earlier, by_pair = _by_pair(before), _by_pair(now.pairs)
    rows = []
    for key in sorted(earlier.keys() | by_pair.keys()):
        row = by_pair.get(key) or earlier[key]
        note = row["note"]
        status_before, stands = (
            standings[key]["status"] if key in standings else "" for standings in (earlier, by_pair)
        )
        change = _NEWS[stands].get(status_before)
        if key not in by_pair:
            status = now.others.get(key, UNTESTED)
            note = status.words
            if change == "unlisted" and status.state == "ok":
                change = "lifted"  # the block lies before the period by now
        if change:
            rows.append({**row, "change": change, "note": note})
    return pd.DataFrame(rows, columns=[*KEY, "change", *_COPIED])


def add_to_log(last: Look | None, news: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Return the contract's ``watch``: the news of earlier looks, and of this one.

    Args:
        last: the look before.
        news: what ``find_news`` returns.
        report: this look; what was new before its period is dropped.
    """
    dated = news.assign(look=report.period.last_day, earlier_look=None, cause="")
    if last is None:
        return typed(LOG, dated)
    # if nothing differs between the runs, their results are the same
    cause = ";".join(find_causes(last.report, report))
    dated = dated.assign(earlier_look=last.report.period.last_day, cause=cause)
    earlier_news = last.log[last.log["look"] >= pd.Timestamp(report.period.since)]
    both = pd.concat([earlier_news, typed(LOG, dated)], ignore_index=True)
    # of two looks on one day, the last news counts
    return both.drop_duplicates(list(TABLES[LOG].key), keep="last", ignore_index=True)


def _by_pair(pairs: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = [{str(name): value for name, value in row.items()} for row in pairs.to_dict("records")]
    return {tuple(row[name] for name in KEY): row for row in rows}
