"""Accuracy of the method for messaging apps and circumvention tools, on worlds with known truth.

On each network at most one thing is blocked: a whole part, a minority of its endpoints (which does
not count as blocked), or a web page at hours of the week. One test breaks everywhere. Blocks are
drawn at random for each world.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.app_tables import Judged, judge_apps
from analysis.study.parameters import StudyParameters
from analysis.study.study import open_messaging
from analysis.vocabulary import LISTED
from analysis.worlds.scores import EVER, are_among, read_truth_table, share_by

#: Seeds of the worlds. No other part of the validation uses them.
SEEDS = range(71, 81)
_PROBE_CC, _SINCE, _UNTIL = "QM", "2024-01-01", "2025-01-01"
#: The smallest web archive, because it is not judged.
_SMALL = {"sessions_per_day": 0.02, "name_count": 40, "cases": (), "has_forgeries": False}
#: Strata of blocks: at all hours, and at hours of the week.
KINDS = ("a part as a whole", "at hours of the week")
#: Half of Telegram's endpoints; a block of fewer is not a block of the part.
_HALF = 6
FOUND, TRUE, BEGINNINGS = "blocks found", "stretches listed that are true", "beginnings in bracket"
HOURS, ENDPOINTS, BROKEN = "hours exact", "endpoints counted exactly", "broken tests not listed"
OPEN = "unblocked pairs not listed"
FEWER = "parts of which the fewer endpoints are cut off not listed"


def run_world(seed: int, folder: Path, write_world: Callable[..., Any]) -> pd.DataFrame:
    """Simulate, judge and score a world; returns the rows of :func:`score`."""
    write_world(
        folder / "world",
        probe_cc=_PROBE_CC,
        since=_SINCE,
        until=_UNTIL,
        seed=seed,
        has_apps=True,
        app_seed=seed,
        **_SMALL,
    )
    truth = read_truth_table(folder / "world" / "truth" / "apps.csv")
    return score(judge_world(folder), truth)


def judge_world(folder: Path) -> Judged:
    """Judge the apps of a world as the page on apps does."""
    lists = folder / "world" / "reference"
    parameters = StudyParameters(
        probe_cc=_PROBE_CC,
        since=_SINCE,
        until=_UNTIL,
        source=str(folder / "world" / "archive"),
        store=str(folder / "store"),
        networks=str(lists / "networks.csv"),
        test_counts=str(lists / "test-counts.csv"),
    )
    return judge_apps(open_messaging(parameters, jobs=1))


_PART = ["test_name", "part", "probe_asn"]


def score(judged: Judged, truth: pd.DataFrame) -> pd.DataFrame:
    """Compare the verdicts on apps with the truth.

    Args:
        judged: see ``judge_world``.
        truth: the simulator's ``truth/apps.csv``.

    Returns:
        One row per comparison: ``measure, stratum`` (the kind of block), ``is_right``.
    """
    is_broken = truth["mechanism"] == "instrument"
    blocks, intervals = truth[~is_broken], judged.intervals.sort_values("blocked_from_time")
    matched = blocks.merge(
        intervals.drop_duplicates(_PART), "left", on=_PART, suffixes=("_true", "")
    )
    cut_counts, has_hours = (
        pd.to_numeric(matched["endpoint_count_true"]),
        matched["schedule_true"] != "",
    )
    matched["stratum"] = has_hours.map({False: KINDS[0], True: KINDS[1]})
    is_fewer, is_listed = cut_counts.between(1, _HALF - 1), matched["blocked_from"].notna()
    is_found = is_listed & ~is_fewer
    since, last_open = matched["since"].fillna(EVER), matched["last_seen_open_time"].fillna(EVER)
    is_inside = (last_open.dt.normalize() <= since) & (since <= matched["blocked_from"])
    verdicts = judged.verdicts[judged.verdicts["period"] == "all"]
    verdicts = verdicts.assign(stratum="all", is_spared=~verdicts["state"].isin(LISTED))
    is_broken_test = verdicts["test_name"].isin(truth.loc[is_broken, "test_name"])
    has_block = are_among(verdicts, blocks, ["test_name", "probe_asn"])
    frames = [
        rows[chosen].assign(measure=measure, is_right=is_right)
        for measure, rows, chosen, is_right in (
            (FOUND, matched, ~is_fewer, is_listed),
            (FEWER, matched.assign(stratum="all"), is_fewer, ~is_listed),
            (BEGINNINGS, matched, is_found, is_inside),
            (HOURS, matched, is_found & has_hours, matched["schedule"] == matched["schedule_true"]),
            (
                ENDPOINTS,
                matched,
                is_found & cut_counts.notna(),
                matched["cut_endpoint_count"] == cut_counts,
            ),
            (
                TRUE,
                intervals.assign(stratum="all"),
                slice(None),
                are_among(intervals, blocks, _PART),
            ),
            (BROKEN, verdicts, is_broken_test, verdicts["is_spared"]),
            (OPEN, verdicts, ~is_broken_test & ~has_block, verdicts["is_spared"]),
        )
    ]
    return pd.concat(frames, ignore_index=True)[["measure", "stratum", "is_right"]]


def sum_up(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum up the comparisons; returns the columns of ``scores.share_by``."""
    frames = []
    for measure in (FOUND, TRUE, OPEN, FEWER, BROKEN, BEGINNINGS, HOURS, ENDPOINTS):
        compared = rows[rows["measure"] == measure]
        by = "stratum" if compared["stratum"].nunique() > 1 else None
        frames.append(share_by(measure, compared, "is_right", by))
    return pd.concat(frames, ignore_index=True)
