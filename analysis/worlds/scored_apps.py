"""How often blocks of messaging apps and circumvention tools are found, and found rightly.

In worlds whose truth is known probes run these tests too. On each network one thing is blocked at
most: a whole part, the fewer of its endpoints (which is not judged), or a web page at hours of the
week; and one test breaks for everybody. What is blocked, where and when is drawn for each world.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.report.app_tables import Judged, judge_apps
from analysis.study.parameters import StudyParameters
from analysis.study.study import open_messaging
from analysis.worlds.scores import share_by

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
    write_world(folder / "world", probe_cc=_PROBE_CC, since=_SINCE, until=_UNTIL, seed=seed,
                has_apps=True, app_seed=seed, **_SMALL)  # fmt: skip
    truth = pd.read_csv(folder / "world" / "truth" / "apps.csv", dtype="str", keep_default_na=False)
    rows = pd.DataFrame(
        score(judge_world(folder), truth), columns=["measure", "stratum", "is_right"]
    )
    return rows.assign(seed=seed)


def judge_world(folder: Path) -> Judged:
    """The verdicts on a world, as the page on apps gives them."""
    lists = folder / "world" / "reference"
    return judge_apps(open_messaging(StudyParameters(
        probe_cc=_PROBE_CC, since=_SINCE, until=_UNTIL, source=str(folder / "world" / "archive"),
        store=str(folder / "store"), networks=str(lists / "networks.csv"),
        test_counts=str(lists / "test-counts.csv"),
    ), jobs=1))  # fmt: skip


def score(judged: Judged, truth: pd.DataFrame) -> Iterator[tuple[str, str, bool]]:
    """Each thing that is right or wrong: its measure, what kind of block, and whether it is right.

    Args:
        judged: see ``judge_world``.
        truth: the simulator's ``truth/apps.csv``.
    """
    is_broken = truth["mechanism"] == "instrument"
    own = judged.intervals
    keys = ["test_name", "part", "probe_asn"]
    blocks = truth[~is_broken]
    for block in blocks.to_dict("records"):
        found = own[(own[keys] == [block[key] for key in keys]).all(axis=1)]
        if 0 < int(block["endpoint_count"] or 0) < _HALF:
            yield FEWER, "all", found.empty
            continue
        kind = KINDS[1] if block["schedule"] else KINDS[0]
        yield FOUND, kind, len(found) > 0
        if found.empty:
            continue
        first = found.sort_values("blocked_from_time").iloc[0]
        opened = str(first["last_seen_open_time"] or "")[:10]
        yield BEGINNINGS, kind, opened <= block["since"] <= str(first["blocked_from"])
        if block["schedule"]:
            yield HOURS, kind, first["schedule"] == block["schedule"]
        if block["endpoint_count"] not in ("", "0"):
            counted = int(first["cut_endpoint_count"]) == int(block["endpoint_count"])
            yield ENDPOINTS, kind, counted
    known = set(blocks[keys].itertuples(index=False, name=None))
    for row in own[keys].itertuples(index=False, name=None):
        yield TRUE, "all", row in known
    pairs = {(test, asn) for test, _, asn in known}
    whole = judged.verdicts[judged.verdicts["period"] == "all"]
    is_listed = whole["state"].isin(["blocked", "likely_blocked"])
    for test, asn, listed in zip(whole["test_name"], whole["probe_asn"], is_listed, strict=True):
        is_pair = (test, asn) not in pairs
        if test in set(truth.loc[is_broken, "test_name"]):
            yield BROKEN, "all", not listed
        elif is_pair:
            yield OPEN, "all", not listed


def sum_up(rows: pd.DataFrame) -> pd.DataFrame:
    """The result that ships: the columns of ``scores.share_by``."""
    frames = []
    for measure in (FOUND, TRUE, OPEN, FEWER, BROKEN, BEGINNINGS, HOURS, ENDPOINTS):
        of = rows[rows["measure"] == measure]
        by = "stratum" if of["stratum"].nunique() > 1 else None
        frames.append(share_by(measure, of, "is_right", by))
    return pd.concat(frames, ignore_index=True)
