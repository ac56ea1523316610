"""What each site on each network is in a period: the strongest of its stretches, or open."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.verdicts.blocks import Evidence, count_stretches, find_blocks
from analysis.verdicts.series import FAILING, MARK
from analysis.verdicts.sessions import DOWN, KINDS, OK
from analysis.verdicts.states import meets_floor, strength

#: Marks on so many days: a cell that is not listed all the same is not ok.
MARKED_DAYS = 2


@dataclass(frozen=True)
class Inside:
    """The stretches as far as they lie in a period.

    Attributes:
        elements: their sessions, see ``blocks.elements_of``.
        counted: one row a stretch, with the counts of the period and ``is_listed`` for it.
    """

    elements: pd.DataFrame
    counted: pd.DataFrame

    @property
    def listed(self) -> pd.DataFrame:
        """The listed stretches."""
        return self.counted[self.counted["is_listed"]]

    def listed_elements(self) -> pd.DataFrame:
        """The sessions of listed stretches, with their ``cell``, each once."""
        elements = self.elements[self.elements["stretch"].isin(self.listed.index)]
        elements = elements.assign(cell=self.listed["cell"].reindex(elements["stretch"]).to_numpy())
        ordered = elements.sort_values("is_hit", ascending=False, kind="stable")
        return ordered.drop_duplicates(["cell", "row"]).sort_index()


def look_inside(
    evidence: Evidence, stretches: pd.DataFrame, period: Period, thresholds: Thresholds
) -> Inside:
    """The stretches in a period; one is listed where the period's own sessions meet the floor.

    Args:
        stretches: as ``intervals.judge_stretches`` returns them, for the whole period.
    """
    elements = evidence.elements
    elements = elements[lies_in(elements["day"].to_numpy(), period)].reset_index(drop=True)
    counted = count_stretches(stretches, elements)
    listed = counted[counted["is_listed"]]
    is_listed = find_blocks(evidence, listed, elements, -np.inf, thresholds)
    return Inside(
        elements, counted.assign(is_listed=is_listed.reindex(counted.index, fill_value=False))
    )


def lies_in(day: NDArray[np.datetime64], period: Period) -> NDArray[np.bool_]:
    """Which days lie in the period."""
    return (day >= np.datetime64(period.since)) & (day < np.datetime64(period.until))


def judge_inside(
    evidence: Evidence, inside: Inside, period: Period, thresholds: Thresholds
) -> pd.DataFrame:
    """The state of each cell in which anything fails.

    Returns:
        One row a cell, by its number: ``domain, probe_asn``; ``state`` (empty where it is
        neither listed nor failing), the ``stretch`` that it rests on; ``is_open``, whether it is
        open where nothing fails; ``reason``, why something surprising is not
        listed; and of its listed stretches ``hits, open_inside, first_hit, last_hit``, and whether
        a session ``ends_otherwise`` after the last of them.
    """
    cells = evidence.series.cells.rename_axis("cell")
    told = inside.counted.assign(state=_states(evidence, inside, thresholds))
    told = told[told["state"] != ""]
    ranked = told.assign(rank=strength(told["state"])).sort_values(
        ["cell", "rank", "hits", "first"], ascending=[True, True, False, True]
    )
    best = ranked.drop_duplicates("cell").rename_axis("stretch").reset_index().set_index("cell")
    why = inside.counted[(inside.counted["reason"] != "") & (inside.counted["hits"] > 0)]
    return (
        cells[["domain", "probe_asn"]]
        .join(best[["state", "stretch"]])
        .fillna({"state": ""})
        .join(_find_open(evidence, period, thresholds))
        .join(why.groupby("cell")["reason"].first())
        .join(_sum_listed(evidence, inside, period))
    )


def _states(evidence: Evidence, inside: Inside, thresholds: Thresholds) -> NDArray[np.object_]:
    counted, elements = inside.counted, inside.elements
    is_down = evidence.series.sessions["class"][elements["row"]] == DOWN
    down = elements[is_down].groupby("stretch").size().reindex(counted.index, fill_value=0)
    # what does not work, for whatever reason, in enough sessions to say so
    is_failing = (counted["kind"] == FAILING) & meets_floor(
        counted["hits"], counted["hit_days"], counted["hits"] + counted["misses"], thresholds
    )
    is_withheld = (counted["reason"] != "") & (counted["hits"] >= thresholds.floor_sessions)
    is_withheld &= counted["hit_days"] >= thresholds.floor_days
    cases = {
        "blocked": counted["is_listed"] & (counted["kind"] == MARK),
        "likely_blocked": counted["is_listed"],
        "down": is_failing & (2 * down >= counted["hits"]),
        "impaired": is_withheld | is_failing,
    }
    return np.select(list(cases.values()), list(cases), default="")


def _find_open(evidence: Evidence, period: Period, thresholds: Thresholds) -> pd.Series:
    """By cell: whether it is open in enough sessions, where no stretch of it fails."""
    sessions = evidence.series.sessions
    tells = lies_in(sessions["day"], period) & _tell_of_network(evidence)
    told = pd.DataFrame({name: sessions[name][tells] for name in ("cell", "class", "day")})
    opened = told[told["class"] == OK].groupby("cell")["day"]
    counts = pd.DataFrame(
        {"total": told.groupby("cell").size(), "ok": opened.size(), "days": opened.nunique()}
    ).fillna(0)
    is_open = meets_floor(counts["ok"], counts["days"], counts["total"], thresholds)
    every = pd.RangeIndex(len(evidence.series.cells), name="cell")
    return is_open.reindex(every, fill_value=False).rename("is_open")


def _tell_of_network(evidence: Evidence) -> NDArray[np.bool_]:
    """Which sessions tell whether the network is open.

    Where lookups fail, one through another resolver does not.
    """
    series, sessions = evidence.series, evidence.series.sessions
    is_lookup = np.array([name.startswith("dns") for name in (*KINDS, "")])[series.kind]
    fails_lookup = np.zeros(len(series.cells), bool)
    fails_lookup[series.cell[is_lookup]] = True
    tells: NDArray[np.bool_] = sessions["is_speaking"] | ~fails_lookup[sessions["cell"]]
    return tells


def _sum_listed(evidence: Evidence, inside: Inside, period: Period) -> pd.DataFrame:
    """By cell: hits and open sessions inside the listed stretches, the first and last hit's day.

    And whether a session after the last hit found the site open, or down: on its day, too. At other
    hours than those of a schedule that says nothing.
    """
    elements = inside.listed_elements()
    state = evidence.series.sessions["class"][elements["row"]]
    hits = elements[elements["is_hit"]].groupby("cell")
    sessions = evidence.series.sessions
    is_other = np.isin(sessions["class"], [OK, DOWN]) & _tell_of_network(evidence)
    others = np.flatnonzero(is_other & lies_in(sessions["day"], period))
    last = pd.Series(others, sessions["cell"][others]).groupby(level=0).max()
    last_hit = hits["row"].max()
    listed = inside.listed
    at_hours = listed.loc[listed["series"].isin(list(evidence.schedules)), "cell"]
    ends_otherwise = last.reindex(last_hit.index, fill_value=-1) > last_hit
    return pd.DataFrame(
        {
            "ends_otherwise": ends_otherwise & ~last_hit.index.isin(at_hours),
            "hits": hits.size(),
            "open_inside": elements[state == OK].groupby("cell").size(),
            "first_hit": hits["day"].min(),
            "last_hit": hits["day"].max(),
        }
    )
