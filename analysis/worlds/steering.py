"""The speed at which blocks are found if volunteers follow the test plan.

In worlds with known truth, volunteers run one session a day on each access network. In one copy of
a world they test the list in turns, as probes do by themselves; in the other they follow the plan
that the coverage page makes from the verdicts at the end of each week. Days, networks, hours,
probes and faults are the same. Both copies are judged by the published method.
"""

import shutil
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.period import Period
from analysis.planning.coverage import add_tested
from analysis.planning.ranking import (
    SITES_A_DAY,
    choose_sites,
    find_last_tests,
    plan_week,
    rank_pairs,
)
from analysis.report.annex import listed_domestic
from analysis.tables import read_table
from analysis.worlds.judged_world import judge_world, open_world
from analysis.worlds.scores import EVER, PAIR_KEY, are_among, read_truth_table, share_by

#: Seed → networks and names of a country. No other part of the validation has these seeds.
COUNTRIES: Mapping[int, tuple[int, int]] = {61: (10, 200), 62: (9, 240), 63: (12, 160)}
#: Weeks that are judged, and the measures of ``steering.csv``.
WEEKS = 8
WAYS = {"plan": "By the plan", "turns": "The list in order"}
_PROBE_CC, _PERIOD = "QM", Period.parse("2024-01-01", "2024-03-04")

Wishes = dict[tuple[int, int], list[str]]


def run_country(
    seed: int, way: str, folder: Path, make_volunteers: Callable[..., Any]
) -> pd.DataFrame:
    """Simulate and judge one copy of a country week by week.

    Args:
        seed: of ``COUNTRIES``.
        way: of ``WAYS``.
        folder: for the world and its store; its earlier content is removed.
        make_volunteers: the simulator's ``Volunteers``.

    Returns:
        ``way, week, domain, probe_asn, is_blocked, is_listed``: one row per week and pair, for
        pairs blocked since a day before the week's end, and pairs listed although never blocked.
    """
    network_count, name_count = COUNTRIES[seed]
    shutil.rmtree(folder, ignore_errors=True)
    volunteers = make_volunteers(folder, _PROBE_CC, _PERIOD, seed, network_count, name_count)
    truth = read_truth_table(folder / "truth" / "blocks.csv")
    wishes: Wishes = {}
    weeks = []
    for week in range(1, WEEKS + 1):
        volunteers.measure(range(7 * week - 7, 7 * week), wishes, SITES_A_DAY)
        listed, wishes = _read_week(folder, week, way == "plan")
        weeks.append(_compare(truth, listed, week))
    return pd.concat(weeks, ignore_index=True).assign(way=way)


def _read_week(folder: Path, week: int, has_plan: bool) -> tuple[pd.DataFrame, Wishes]:
    """Judge the measurements so far; return the listed pairs, and the plan of the next week."""
    period = Period(_PERIOD.since, _PERIOD.since + timedelta(days=7 * week))
    since, until, tables = str(period.since), str(period.until), folder / "tables"
    study = open_world(folder, folder / "store", _PROBE_CC, since, until)
    with study.observations:
        judge_world(study, study.thresholds, tables)
        verdicts, ranked = (read_table(tables, name) for name in ("verdicts", "networks"))
        listed = listed_domestic(verdicts[verdicts["period"] == "all"], ranked)
        if not has_plan:
            return listed, {}
        test_lists = study.lists.test_lists
        add_tested(study.connection, study.domains(), test_lists, study.parameters.campaign)
        pairs = rank_pairs(
            verdicts,
            ranked,
            choose_sites(test_lists, verdicts, ranked),
            find_last_tests(study.connection),
            study.thresholds,
            period.until,
        )
        return listed, _wishes(plan_week(pairs, period.until))


def _wishes(plan: pd.DataFrame) -> Wishes:
    """Return (day from the first, network) → names of the plan, in its order."""
    wishes: Wishes = {}
    for row in plan.to_dict("records"):
        day = (row["day"] - _PERIOD.since).days
        wishes.setdefault((day, row["probe_asn"]), []).append(row["domain"])
    return wishes


def _compare(truth: pd.DataFrame, listed: pd.DataFrame, week: int) -> pd.DataFrame:
    """Return blocks at all hours that began before the week's end, and pairs listed wrongly."""
    last = pd.Timestamp(_PERIOD.since + timedelta(days=7 * week - 1))
    current = truth[(truth["since"].fillna(EVER) <= last) & (truth["schedule"] == "")]
    pairs = current[PAIR_KEY].drop_duplicates().assign(is_blocked=True)
    merged = pairs.merge(listed[PAIR_KEY].assign(is_listed=True), how="outer")
    merged[["is_blocked", "is_listed"]] = merged[["is_blocked", "is_listed"]].eq(True)
    is_wrong = merged["is_listed"] & ~are_among(merged, truth, PAIR_KEY)
    return merged[merged["is_blocked"] | is_wrong].assign(week=week)


def sum_up(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum up the shares of blocked pairs that are listed, by way and week.

    Returns:
        The columns of ``scores.share_by``; ``wrong_count``: listed pairs that are not blocked.
    """
    frames, rows = [], rows.assign(stratum="Week " + rows["week"].astype("str"))
    for way, words in WAYS.items():
        pairs = rows[rows["way"] == way]
        share = share_by(words, pairs[pairs["is_blocked"]], "is_listed", "stratum").iloc[1:]
        wrong = (~pairs["is_blocked"]).groupby(pairs["stratum"]).sum()
        frames.append(share.assign(wrong_count=share["stratum"].map(wrong)))
    return pd.concat(frames, ignore_index=True)
