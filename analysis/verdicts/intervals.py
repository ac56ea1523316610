"""What is listed and what is withheld, as intervals with dates, moments and counts."""

from math import log

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.period import MOMENT
from analysis.sql import pick_queries, read_queries
from analysis.verdicts import e_values
from analysis.verdicts.blocks import (
    LOWER_LINE,
    Evidence,
    ask_again,
    find_blocks,
    find_likely,
)
from analysis.verdicts.rivals import EVERYWHERE, ask_rivals
from analysis.verdicts.series import FAILING, MARK
from analysis.verdicts.sessions import BLOCKED, KINDS, OK
from analysis.verdicts.states import meets_floor
from analysis.vocabulary import LEAST_CHANCE

CELL = ["domain", "probe_asn"]
SITE_FAILS = "the site fails in the same way for other operators"
NETWORK_FAILS = "other sites fail in the same way on this network"
BELOW_LINE = "fails more than accidents explain, but not by enough for the list"
IN_MANY_WAYS = "fails, but in no single way often enough to be called blocked"
#: What explains failures that are no surprise.
USUAL = (SITE_FAILS, NETWORK_FAILS, BELOW_LINE, IN_MANY_WAYS)
#: From which share on the site or the network explains what fails.
_USUAL_SHARE = 0.2
TOO_FEW = "surprising, but too few sessions or days to say so"

_QUERIES = read_queries(__file__)

#: The days around which each block lies, as shares of its failures. A stray failure before or after
#: an outage would stretch it over days on which the site worked.
_CORE = {"since": 15, "until": 85}  # per cent


def explain_hits(
    connection: duckdb.DuckDBPyConnection, evidence: Evidence, elements: pd.DataFrame, group: str
) -> pd.DataFrame:
    """The rule and the mechanism of most failing sessions of each group, and its blocked
    measurements.

    Args:
        connection: holds what ``decide`` makes of ``outcomes``.
        elements: see ``Evidence``, with the column ``group``.

    Returns:
        By the number of the group: ``rule_id, mechanism, measurement_count``.
    """
    hits, series = elements[elements["is_hit"]], evidence.series
    rows = hits["row"].to_numpy()
    hits_at_hand = pd.DataFrame(
        {
            "number": hits[group].to_numpy(),
            **{name: series.look_up(name, rows) for name in CELL},
            "session": series.sessions["session"][rows],
        }
    )
    connection.register("hits_at_hand", hits_at_hand)
    rules = connection.execute(_QUERIES["rules_of_groups"]).df().set_index("number")
    connection.unregister("hits_at_hand")
    return rules


def decide(
    connection: duckdb.DuckDBPyConnection,
    evidence: Evidence,
    thresholds: Thresholds,
    *,
    has_control: bool = False,
) -> pd.DataFrame:
    """Decide which stretches are listed.

    Where others than the country's own networks say what works (``has_control``), what fails on all
    of these is no riddle.

    Returns:
        ``Evidence.stretches`` with ``is_block``, see ``blocks.find_blocks``; of blocks ``mechanism,
        margin, may_refuse`` (see ``rivals.ask_rivals``), and the ``reason`` why one is withheld,
        empty of others; and what ``blocks.ask_again`` leaves.
    """
    stretches, line = evidence.stretches, log(thresholds.chance_line)
    is_block = find_blocks(evidence, stretches, evidence.elements, line, thresholds)
    blocks = stretches[is_block]
    inside = evidence.elements_of(blocks)
    create_tables(connection, pick_queries(_QUERIES, "fired_rules"), {})
    rules = explain_hits(connection, evidence, inside, "stretch")
    hours = {
        number: np.flatnonzero(one.of_week).tolist() for number, one in evidence.schedules.items()
    }
    asked = (
        blocks.assign(
            kind=np.array(KINDS, object)[blocks["kind"].to_numpy(np.int64)],
            hours=blocks["series"].map(hours).astype(object),
        )
        .join(rules["mechanism"])
        .join(evidence.series.cells[[*CELL, "operator"]], on="cell")
        .join(_place_hits(inside))
    )
    told = ask_rivals(connection, evidence, asked, thresholds)
    told["reason"] = told["reason"].mask((told["reason"] == EVERYWHERE) & has_control, "")
    stretches = stretches.assign(is_block=is_block, mechanism=rules["mechanism"]).join(told)
    stretches = stretches.fillna({"reason": "", "margin": np.inf})
    return ask_again(evidence, stretches, line, thresholds)


def judge_stretches(
    evidence: Evidence, stretches: pd.DataFrame, thresholds: Thresholds
) -> pd.DataFrame:
    """Say of each stretch that ``decide`` leaves out why it is not listed.

    Returns:
        The stretches, with a ``reason`` of each surprising one that is not listed, and the
        ``interval`` that a listed one is part of, −1 of others.
    """
    is_few = find_likely(evidence, stretches, log(thresholds.chance_line), thresholds)
    is_few &= (stretches["hits"] > 1) & ~stretches["is_block"]
    is_few |= stretches["is_block"] & (stretches["reason"] == "") & ~stretches["is_listed"]
    stretches = stretches.assign(
        reason=stretches["reason"].mask(is_few, TOO_FEW), interval=_join(evidence, stretches)
    )
    away = stretches.loc[stretches["reason"] == EVERYWHERE, "cell"]
    words = _say_usual(evidence, away, log(thresholds.chance_line))[stretches["cell"]]
    is_unexplained = _find_unexplained(evidence, stretches, thresholds)
    return stretches.assign(reason=stretches["reason"].mask(is_unexplained, words))


def _place_hits(elements: pd.DataFrame) -> pd.DataFrame:
    """When the failures of stretches lie, by stretch.

    ``first_day, last_day``; and ``since, until``, the days between which all but a few of them lie.
    """
    hits = elements[elements["is_hit"]].sort_values(["stretch", "day"])
    by_stretch = hits.groupby("stretch")["day"]
    place, count = by_stretch.cumcount() + 1, by_stretch.transform("size")
    core = {
        name: hits[100 * place >= share * count].groupby("stretch")["day"].min()
        for name, share in _CORE.items()
    }
    return pd.DataFrame({"first_day": by_stretch.min(), "last_day": by_stretch.max(), **core})


def _say_usual(evidence: Evidence, away: pd.Series, line: float) -> NDArray[np.object_]:
    """By cell: what explains failures that are no surprise, by what teaches their rates most.

    Args:
        away: cells whose site is withheld, since it fails on every network.
        line: the logarithm of the evidence that the list needs.
    """
    domain = evidence.series.cells["domain"]
    is_away = domain.isin(domain[away]).to_numpy()
    taught = {name: evidence.lessons.share(name) for name in ("site", "network")}
    most = pd.DataFrame(taught).groupby(evidence.series.cell).max()
    site, network = (most[name].to_numpy() for name in taught)
    told = evidence.of_cells.reindex(most.index).to_numpy()
    cases = {
        BELOW_LINE: (told >= LOWER_LINE) & (told < line),
        SITE_FAILS: is_away | (site >= network) & (site >= _USUAL_SHARE),
        NETWORK_FAILS: network >= _USUAL_SHARE,
    }
    return np.select(list(cases.values()), list(cases), IN_MANY_WAYS).astype(object)


def _find_unexplained(
    evidence: Evidence, stretches: pd.DataFrame, thresholds: Thresholds
) -> pd.Series:
    """Stretches that mostly fail, not for the control too, and that no kind of failure explains."""
    elements = evidence.elements
    state = evidence.series.sessions["class"][elements["row"]]
    blocked = elements[state == BLOCKED].groupby("stretch").size()
    is_blocked = 2 * blocked.reindex(stretches.index, fill_value=0) > stretches["hits"]
    total = stretches["hits"] + stretches["misses"]
    is_failing = (stretches["kind"] == FAILING) & meets_floor(
        stretches["hits"], stretches["hit_days"], total, thresholds
    )
    told = stretches[stretches["is_listed"] | (stretches["reason"] != "")]
    told_rows = elements.loc[elements["stretch"].isin(told.index), "row"]
    is_told = elements["row"].isin(told_rows).groupby(elements["stretch"]).any()
    is_untold: pd.Series = ~is_told.reindex(stretches.index, fill_value=False)
    is_unexplained: pd.Series = is_failing & is_blocked & is_untold
    return is_unexplained


def _join(evidence: Evidence, stretches: pd.DataFrame) -> pd.Series:
    """Numbers of the intervals: listed stretches of one cell that overlap are one of them."""
    row = evidence.series.row
    listed = stretches[stretches["is_listed"]]
    begin, end = row[listed["first"]], row[listed["last"]]  # rows are sorted by cell and time
    order = np.argsort(begin, kind="stable")
    reached = np.maximum.accumulate(end[order])
    cell = listed["cell"].to_numpy()[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (begin[order][1:] > reached[:-1]) | (cell[1:] != cell[:-1])
    number = pd.Series(np.cumsum(is_new) - 1, listed.index[order])
    return number.reindex(stretches.index, fill_value=-1)


_COLUMNS = [
    *CELL,
    "blocked_from",
    "mechanism",
    "last_seen_open",
    "blocked_until",
    "first_seen_open_again",
    "measurement_count",
    "session_count",
    "day_count",
    "longest_gap_days",
    "state",
    "schedule",
    "evidence",
    "chance",
    "last_seen_open_time",
    "blocked_from_time",
    "blocked_until_time",
    "first_seen_open_again_time",
    "reached_session_count",
    "last_seen_blocked",
    "blocked_count",
    "blocked_session_count",
    "reason",
]


def interval_tables(
    connection: duckdb.DuckDBPyConnection,
    evidence: Evidence,
    stretches: pd.DataFrame,
    names: NDArray[np.object_],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The contract's ``blocking_intervals``, one row per listed interval of a site on a network,
    and ``withheld_intervals``, surprising stretches that are not listed.

    Besides, ``reached_session_count``: sessions inside that reached the site.
    """
    told = stretches[stretches["is_listed"] | (stretches["reason"] != "")]
    apart = stretches["interval"].max() + 1 + np.arange(len(told))
    told = told.assign(number=told["interval"].where(told["is_listed"], apart))
    by_number = told.groupby("number")
    state = np.where(by_number["kind"].min() == MARK, "blocked", "likely_blocked")
    is_listed, reason = by_number["is_listed"].first(), by_number["reason"].first()
    table = _describe(connection, evidence, told, names).assign(
        state=np.where(is_listed, state, "impaired"), reason=reason.mask(is_listed, "")
    )
    # what ``blocked_until`` and the counts are called in tables in which these mean something else
    table = table.assign(
        last_seen_blocked=table["blocked_until"],
        blocked_count=table["measurement_count"],
        blocked_session_count=table["session_count"],
    ).astype({"domain": "str"})
    order = [*CELL, "blocked_from_time"]
    listed, withheld = (
        table.loc[is_told, _COLUMNS].sort_values(order, ignore_index=True)
        for is_told in (is_listed, ~is_listed)
    )
    return listed.drop(columns="reason"), withheld


def _describe(
    connection: duckdb.DuckDBPyConnection,
    evidence: Evidence,
    stretches: pd.DataFrame,
    names: NDArray[np.object_],
) -> pd.DataFrame:
    """Dates, moments, counts and chance of each ``number`` of stretches."""
    series, sessions, row = evidence.series, evidence.series.sessions, evidence.series.row
    elements = evidence.elements_of(stretches)
    elements = elements.assign(number=stretches["number"].reindex(elements["stretch"]).to_numpy())
    hits = elements[elements["is_hit"]].groupby("number")
    reached = elements[sessions["class"][elements["row"]] == OK].groupby("number")
    days = elements[["number", "day"]].drop_duplicates().sort_values(["number", "day"])
    gaps = days.groupby("number")["day"].diff().dt.days
    before, after = _open_around(evidence, stretches)
    # by time: places are by kind first
    told = stretches.assign(
        before=before, after=after, first=row[stretches["first"]], last=row[stretches["last"]]
    )
    rows = pd.DataFrame(
        {
            "blocked_from": hits["row"].min(),
            "blocked_until": hits["row"].max(),
            "last_seen_open": told.sort_values("first").groupby("number")["before"].first(),
            "first_seen_open_again": told.sort_values("last").groupby("number")["after"].last(),
        }
    )
    counts = (
        pd.DataFrame(
            {
                "session_count": hits["row"].nunique(),
                "day_count": hits["day"].nunique(),
                "reached_session_count": reached["row"].nunique(),
                "longest_gap_days": gaps.groupby(days["number"]).max(),
            }
        )
        .fillna(0)
        .astype("int64")
    )
    table = counts.join(explain_hits(connection, evidence, elements, "number"))
    first = rows["blocked_from"].to_numpy()
    table["domain"] = names[series.look_up("domain", first)]
    table["probe_asn"] = series.look_up("probe_asn", first).astype("int64")
    for name in rows:
        table[f"{name}_time"] = _pick(sessions["time"], rows[name].to_numpy())
        table[name] = _pick(sessions["day"], rows[name].to_numpy())
    table["schedule"] = evidence.schedule_text(stretches["series"], stretches["number"])
    # what decides: of a listed stretch what is left without withheld ones, else the whole series'
    of_cell = evidence.of_cells.reindex(stretches["cell"]).to_numpy()
    of_series = evidence.log_evidence[stretches["series"]]
    of_series = np.where(stretches["kind"] == FAILING, of_cell, of_series)
    log_evidence = stretches["log_evidence"].where(stretches["is_listed"], of_series)
    is_mark = (stretches["kind"] == MARK).groupby(stretches["number"]).any()
    most = log_evidence.groupby(stretches["number"]).max().mask(is_mark)
    return table.fillna({"mechanism": ""}).assign(
        evidence=round_evidence(most), chance=round_chance(most)
    )


def _pick(moments: NDArray[np.datetime64], at: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Some of the moments, or days; none for −1."""
    return np.where(at >= 0, moments[at.clip(0)], np.array("NaT", moments.dtype)).astype(MOMENT)


def round_chance(log_evidence: pd.Series) -> pd.Series:
    """1/E with two significant digits; missing where nothing was weighed (NaN)."""
    chance = e_values.chance_of(log_evidence.to_numpy())
    # what does not reach the least chance is not rounded to it
    chance = np.where(chance > LEAST_CHANCE, np.maximum(chance, 1.1 * LEAST_CHANCE), chance)
    rounded = pd.Series([float(f"{value:.1e}") for value in chance], log_evidence.index, "float64")
    return rounded.mask(log_evidence.isna())


def round_evidence(log_evidence: pd.Series) -> pd.Series:
    """The logarithm of E to base 10, rounded down to one decimal; missing where nothing was weighed
    (NaN)."""
    rounded: pd.Series = np.floor((10 / log(10) * log_evidence).round(6)) / 10 + 0.0
    return rounded


def _open_around(
    evidence: Evidence, stretches: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the last open session before and the first after each stretch, or −1."""
    series = evidence.series
    is_open = ~series.is_hit & (series.column("class") == OK)
    for number, schedule in evidence.schedules.items():
        at = series.places_of(number)
        is_open[at] &= schedule.is_at_its_hours(series.column("time", at))
    places = np.concatenate([[-1], np.flatnonzero(is_open), [len(is_open)]])
    before = places[np.searchsorted(places, stretches["first"]) - 1]
    after = places[np.searchsorted(places, stretches["last"], side="right")]
    rows, begin = np.append(series.row, -1), series.starts[stretches["series"]]
    end = series.starts[stretches["series"] + 1]
    return rows[np.where(before >= begin, before, -1)], rows[np.where(after < end, after, -1)]
