"""How often blocks of messaging apps and circumvention tools are found, and found rightly.

In worlds whose truth is known probes run these tests too. On each network one thing is blocked at
most: a whole part, the fewer of its endpoints (which is not judged), or a web page at hours of the
week; and one test breaks for everybody. What is blocked, where and when is drawn for each world.
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

#: Of worlds that are judged. No other part of the validation has these seeds.
SEEDS = range(71, 81)
_PROBE_CC, _SINCE, _UNTIL = "QM", "2024-01-01", "2025-01-01"
#: A web archive that is as small as may be: nothing is asked of it.
_SMALL = {"sessions_per_day": 0.02, "name_count": 40, "cases": (), "has_forgeries": False}
#: What a block is called, by whether it is at hours.
KINDS = ("a part as a whole", "at hours of the week")
#: Of Telegram's endpoints; fewer are no block of the part.
_HALF = 6
FOUND, TRUE, BEGINNINGS = "blocks found", "stretches listed that are true", "beginnings in bracket"
HOURS, ENDPOINTS, BROKEN = "hours exact", "endpoints counted exactly", "broken tests not listed"
OPEN = "unblocked pairs not listed"
FEWER = "parts of which the fewer endpoints are cut off not listed"


def run_world(seed: int, folder: Path, write_world: Callable[..., Any]) -> pd.DataFrame:
    """One row a thing that is right or wrong: ``measure, stratum, is_right``."""
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
    """The verdicts on a world, as the page on apps gives them."""
    lists = folder / "world" / "reference"
    return judge_apps(
        open_messaging(
            StudyParameters(
                probe_cc=_PROBE_CC,
                since=_SINCE,
                until=_UNTIL,
                source=str(folder / "world" / "archive"),
                store=str(folder / "store"),
                networks=str(lists / "networks.csv"),
                test_counts=str(lists / "test-counts.csv"),
            ),
            jobs=1,
        )
    )


_PART = ["test_name", "part", "probe_asn"]


def score(judged: Judged, truth: pd.DataFrame) -> pd.DataFrame:
    """One row a thing that is right or wrong: ``measure``, ``stratum`` (what kind of block), and
    ``is_right``.

    Args:
        judged: see ``judge_world``.
        truth: the simulator's ``truth/apps.csv``.
    """
    is_broken = truth["mechanism"] == "instrument"
    blocks, own = truth[~is_broken], judged.intervals.sort_values("blocked_from_time")
    met = blocks.merge(own.drop_duplicates(_PART), "left", on=_PART, suffixes=("_true", ""))
    cut, has_hours = pd.to_numeric(met["endpoint_count_true"]), met["schedule_true"] != ""
    met["stratum"] = has_hours.map({False: KINDS[0], True: KINDS[1]})
    is_fewer, is_listed = cut.between(1, _HALF - 1), met["blocked_from"].notna()
    is_found = is_listed & ~is_fewer
    since, opened = met["since"].fillna(EVER), met["last_seen_open_time"].fillna(EVER)
    is_inside = (opened.dt.normalize() <= since) & (since <= met["blocked_from"])
    whole = judged.verdicts[judged.verdicts["period"] == "all"]
    whole = whole.assign(stratum="all", is_spared=~whole["state"].isin(LISTED))
    is_broken_test = whole["test_name"].isin(truth.loc[is_broken, "test_name"])
    has_block = are_among(whole, blocks, ["test_name", "probe_asn"])
    frames = [
        rows[chosen].assign(measure=measure, is_right=is_right)
        for measure, rows, chosen, is_right in (
            (FOUND, met, ~is_fewer, is_listed),
            (FEWER, met.assign(stratum="all"), is_fewer, ~is_listed),
            (BEGINNINGS, met, is_found, is_inside),
            (HOURS, met, is_found & has_hours, met["schedule"] == met["schedule_true"]),
            (ENDPOINTS, met, is_found & cut.notna(), met["cut_endpoint_count"] == cut),
            (TRUE, own.assign(stratum="all"), slice(None), are_among(own, blocks, _PART)),
            (BROKEN, whole, is_broken_test, whole["is_spared"]),
            (OPEN, whole, ~is_broken_test & ~has_block, whole["is_spared"]),
        )
    ]
    return pd.concat(frames, ignore_index=True)[["measure", "stratum", "is_right"]]


def sum_up(rows: pd.DataFrame) -> pd.DataFrame:
    """The result that ships: the columns of ``scores.share_by``."""
    frames = []
    for measure in (FOUND, TRUE, OPEN, FEWER, BROKEN, BEGINNINGS, HOURS, ENDPOINTS):
        of = rows[rows["measure"] == measure]
        by = "stratum" if of["stratum"].nunique() > 1 else None
        frames.append(share_by(measure, of, "is_right", by))
    return pd.concat(frames, ignore_index=True)
