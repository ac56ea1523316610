"""The confirmation stage in one call: from observations to verdicts, and the tables behind them."""

from collections.abc import Collection, Hashable
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import duckdb
import pandas as pd

from analysis.outcomes.frames import keep_frames, read_frame
from analysis.outcomes.rules import RULES, Rule
from analysis.outcomes.thresholds import Thresholds
from analysis.reference.networks import DOMESTIC
from analysis.study.stages import Maker, Method
from analysis.study.study import Study
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.sessions import Sessions
from analysis.verdicts.states import strength
from analysis.verdicts.verdicts import Judgement, Scope, judge_cells, weigh_sessions
from analysis.vocabulary import LISTED, PERIODS

#: What of a judgement is a table.
_FRAMES = ("verdicts", "intervals", "withheld", "chances", "defects")


def confirm(
    study: Study,
    networks: pd.DataFrame,
    thresholds: Thresholds,
    rules: tuple[Rule, ...] = RULES,
    periods: Collection[str] = tuple(PERIODS),
) -> Judgement:
    """Judge every site on every network, or read what the same numbers gave before.

    Then the tables that ``analysis/verdicts`` makes on the way are not there.

    Args:
        study: its connection afterwards holds ``outcomes`` (one row per measurement) as well,
            and what ``evidence`` reads.
        networks: ``Study.networks``.
        thresholds: the method's numbers.
        rules: the method's rules, in order.
        periods: which of the study's are judged; a row a pair is made for each.

    Returns:
        ``verdicts`` with the operator of each network; a listed site on a network that is no
        access network of the country is set aside as *not_domestic*.
    """
    sessions, judgement = _judge(study, networks, thresholds, rules, periods)
    sessions.use(study.connection)
    return judgement


def find_verdicts(
    study: Study,
    networks: pd.DataFrame,
    thresholds: Thresholds,
    rules: tuple[Rule, ...] = RULES,
    periods: Collection[str] = tuple(PERIODS),
) -> pd.DataFrame:
    """The verdicts of ``confirm``; the study's connection goes on with the tables that it has."""
    return _judge(study, networks, thresholds, rules, periods)[1].verdicts


def _judge(
    study: Study,
    networks: pd.DataFrame,
    thresholds: Thresholds,
    rules: tuple[Rule, ...],
    periods: Collection[str],
) -> tuple[Sessions, Judgement]:
    connection = study.connection
    method = Method.of(thresholds, rules, study.fingerprints, networks)
    sessions = Maker(study.kept, connection, method).make_sessions()
    judged = {name: one for name, one in study.periods.items() if name in periods}
    spans = [[name, str(one.since), str(one.until)] for name, one in judged.items()]
    made_from = [method.describe("verdicts"), spans, study.is_fictional]
    if study.kept and (place := study.kept.find(connection, "verdicts", made_from)):
        return sessions, _read_judgement(connection, place, sessions, thresholds)
    scope = Scope(judged, thresholds, has_explorer=not study.is_fictional)
    judgement = _of_country(judge_cells(connection, sessions, scope), networks)
    if study.kept:
        write = partial(_keep_judgement, connection, judgement)
        study.kept.provide(connection, "verdicts", made_from, write)
    return sessions, judgement


def _of_country(judgement: Judgement, networks: pd.DataFrame) -> Judgement:
    """A judgement with the operator of each network, and what is not the country's set aside."""
    verdicts = judgement.verdicts.merge(
        networks[["probe_asn", "operator", "is_domestic"]], on="probe_asn", how="left"
    )
    verdicts["note"] = _with_resolvers(verdicts)
    is_listed = verdicts["state"].isin(LISTED)
    is_foreign = is_listed & ~verdicts["is_domestic"].astype(bool)
    verdicts.loc[is_foreign, "set_aside_reason"] = "not_domestic"
    judged = {**{name: getattr(judgement, name) for name in _FRAMES}, "verdicts": verdicts}
    tables = {name: _with_texts(one) for name, one in judged.items()}
    return Judgement(**tables, weigh=judgement.weigh)


def _with_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Texts as texts and not as any objects, as they come back from where they are kept."""
    return frame.astype({name: "str" for name in frame if frame[name].dtype == object})


def _keep_judgement(
    connection: duckdb.DuckDBPyConnection, judgement: Judgement, place: str
) -> None:
    """Keep what a judgement says; what it rests on is weighed again where somebody asks for it."""
    frames = {name: getattr(judgement, name) for name in _FRAMES}
    keep_frames(connection, frames, place)


def _read_judgement(
    connection: duckdb.DuckDBPyConnection, place: str, sessions: Sessions, thresholds: Thresholds
) -> Judgement:
    """What ``_keep_judgement`` has kept."""

    def weigh() -> Evidence:
        return weigh_sessions(connection, sessions, thresholds)

    frames = {name: read_frame(connection, place, name) for name in _FRAMES}
    return Judgement(**frames, weigh=weigh)


def count_states(whole: pd.DataFrame) -> pd.DataFrame:
    """Pairs by state, the strongest first, on the country's access networks and on others.

    Args:
        whole: the contract's ``verdicts`` of one period, with the ``kind`` of each network.

    Returns:
        ``state, insufficient_reason, access_pair_count, other_pair_count``.
    """
    is_access = whole["kind"].isin(DOMESTIC)
    counted = whole.assign(access_pair_count=is_access, other_pair_count=~is_access)
    columns = ["access_pair_count", "other_pair_count"]
    states = counted.groupby(["state", "insufficient_reason"])[columns].sum().reset_index()
    return states.sort_values("state", key=strength, kind="stable", ignore_index=True)


def _with_resolvers(verdicts: pd.DataFrame) -> pd.Series:
    """Notes that say through whose resolver a DNS block was seen.

    A forged answer that seems to come from a public resolver was put in on the path, so the note
    names the way that was measured and accuses nobody.
    """
    told = verdicts.loc[verdicts["resolver_asns"] != "", ["probe_asn", "resolver_asns", "note"]]
    notes = {}
    for row, own, asns, note in zip(told.index, *(told[name] for name in told), strict=True):
        names = [asn for asn in asns.split(";") if asn and asn != f"AS{own}"]
        words = f"seen through the resolver of {', '.join(names)}" if names else ""
        notes[row] = "; ".join(filter(None, (note, words)))
    return pd.Series(notes, dtype=str).reindex(verdicts.index).fillna(verdicts["note"])


def spans_by_site(intervals: pd.DataFrame) -> pd.DataFrame:
    """One row per stretch of days in which a site was seen blocked on some network.

    Intervals of one site are joined where they share a day or follow each other. A stretch begins
    and ends where the network does that saw it first and last, and takes its last and first open
    day from there. Several blocks of one site remain several rows.

    Args:
        intervals: ``domain, probe_asn, state, blocked_from, blocked_until, last_seen_open,
            first_seen_open_again``, days as ISO text; an empty ``blocked_until`` means blocked to
            the end, of the other two that no such day was seen.

    Returns:
        The same columns by site and first day, but ``network_count`` for ``probe_asn``: the
        networks of all the site's stretches. ``state`` is blocked where one interval is.
    """
    rows: list[dict[str, Any]] = []
    ordered = intervals.sort_values(["domain", "blocked_from"]).to_dict("records")
    for _, of_site in groupby(ordered, itemgetter("domain")):
        stretches: list[list[dict[Hashable, Any]]] = []
        networks, end = set(), ""
        for interval in of_site:
            networks.add(interval["probe_asn"])
            if not stretches or _day_after(end) < interval["blocked_from"]:
                stretches.append([])
                end = interval["blocked_until"] or _NEVER
            stretches[-1].append(interval)
            end = max(end, interval["blocked_until"] or _NEVER)
        rows += [{**_joined(stretch), "network_count": len(networks)} for stretch in stretches]
    return pd.DataFrame(rows, columns=_SPAN)


_NEVER = "9999-12-31"
_SPAN = ["domain", "network_count", "state", "blocked_from", "blocked_until", "last_seen_open",
         "first_seen_open_again"]  # fmt: skip


def _joined(stretch: list[dict[Hashable, Any]]) -> dict[str, Any]:
    first = min(one["blocked_from"] for one in stretch)
    last = max(one["blocked_until"] or _NEVER for one in stretch)
    opening = [one for one in stretch if one["blocked_from"] == first]
    closing = [one for one in stretch if (one["blocked_until"] or _NEVER) == last]
    states = {one["state"] for one in stretch}
    return {
        "domain": stretch[0]["domain"],
        "state": "blocked" if "blocked" in states else min(states),
        "blocked_from": first,
        "blocked_until": "" if last == _NEVER else last,
        "last_seen_open": max(one["last_seen_open"] for one in opening),
        "first_seen_open_again": min(
            (one["first_seen_open_again"] for one in closing if one["first_seen_open_again"]),
            default="",
        ),
    }


def _day_after(day: str) -> str:
    return day if day == _NEVER else str(date.fromisoformat(day) + timedelta(days=1))


#: The way of a measurement: table → what one row is.
_ROWS = {
    "observations": "a measurement: what it recorded",
    "profiled": "a measurement: the columns that rules ask (outcomes/features.md)",
    "outcomes": "a measurement: which rules it fired",
    "sessions": "a site in one run of a probe: what it shows",
    "chances": "a site on a network: how surprising its failures are if nobody blocks",
    "verdicts": "a site on a network in a period: its state",
    "intervals": "a stretch of time in which a network blocked a site",
    "withheld": "a stretch that is surprising and not listed, with the reason",
    "rules": "a rule of the method",
    "answer_profiles": "an address as one resolver network gave it in a quarter",
    "page_profiles": "a page as one network served it",
    "broken_sessions": "a session that failed where others did not",
}


def name_tables(connection: duckdb.DuckDBPyConnection, **frames: pd.DataFrame) -> pd.DataFrame:
    """The tables worth asking, those on a measurement's way first.

    Steps between have tables of their own, named beside the SQL that makes them, in
    ``analysis/outcomes`` and ``analysis/verdicts``.

    Args:
        connection: that of a study, after ``confirm``.
        frames: frames that can be asked beside them, by name.

    Returns:
        One row per table that is there: ``table, row_count, column_count, one_row_is``.
    """
    counts = {name: (len(frame), len(frame.columns)) for name, frame in frames.items()}
    for name in _ROWS:
        with suppress(duckdb.CatalogException):  # it is not there
            relation = connection.table(name)
            counts[name] = (relation.count("*").fetchall()[0][0], len(relation.columns))
    return pd.DataFrame(
        [(name, *counts[name], one_row) for name, one_row in _ROWS.items() if name in counts],
        columns=["table", "row_count", "column_count", "one_row_is"],
    )


#: What the rules rest on, by name, with what the reader is told.
EVIDENCE = {
    "answers": "Answers that no control vouched for, by resolver network and quarter",
    "pages": "Pages served in place of several sites, by network",
    "broken_sessions": "Broken sessions, by network",
    "rules_fired": "Measurements by the rule that explains them",
}
_QUERIES = {
    "answers": "SELECT * FROM answer_profiles "
    "ORDER BY measurement_count DESC, address, resolver_asn, quarter",
    "pages": "SELECT probe_asn, title, name_count, reached_elsewhere_count, network_count, "
    "scattered_share, showing_share, measurement_count, is_blockpage FROM page_profiles "
    "WHERE name_count > 1 ORDER BY is_blockpage DESC, name_count DESC, page, probe_asn",
    "broken_sessions": "SELECT probe_asn, count(*) AS session_count, "
    "sum(name_count)::BIGINT AS domain_count, "
    "sum(failing_name_count)::BIGINT AS failing_name_count "
    "FROM broken_sessions GROUP BY 1 ORDER BY 1",
    "rules_fired": "SELECT rule_id::VARCHAR AS rule_id, count(*) AS measurement_count "
    "FROM outcomes GROUP BY 1 ORDER BY 1",
}


def evidence(study: Study, name: str) -> pd.DataFrame:
    """One of the tables that the rules rest on, in an order that does not change.

    Args:
        study: after ``confirm``.
        name: ``answers`` (one row per resolver network, answer address and quarter),
            ``pages`` (per network and page), ``broken_sessions`` (per network: no session is
            listed by its report), ``rules_fired`` (per rule).

    Returns:
        The table, with networks as ``AS123``.
    """
    frame = study.connection.execute(_QUERIES[name]).df()
    for column in ("probe_asn", "resolver_asn"):
        if column in frame:
            frame[column] = "AS" + frame[column].astype(str)
    return frame
