"""Whether ``chance`` means what it says: how often cells that nobody blocks look so unlikely."""

from collections.abc import Iterator

import pandas as pd

from analysis.worlds.known_truth import PAIR_KEY
from analysis.worlds.measures import share_by
from analysis.worlds.scores import Score

#: At most these shares of cells that nobody blocks may have such a chance, or a smaller one.
LEVELS = (1e-2, 1e-3, 1e-4)
#: Bands of the chance of what is listed: the largest of each; the last one is of marks.
_BANDS = {1e-2: "above 1e-04", 1e-4: "above 1e-06", 1e-6: "up to 1e-06"}
#: Sites that turn the whole country away, or to which it lost its way: no accident, and no block.
_REFUSING = ("geo_refused", "geo_refused_http", "geo_refused_tcp", "geo_refused_tls", "unreachable")
_BY_MARK, _NOT_GIVEN = "by a mark", "no chance given"


def calibrate(scored: Score) -> pd.DataFrame:
    """Hold the chances that were given against the truth.

    Returns:
        The columns of ``measures.accuracy``: of cells and kinds of failure that nobody blocks, how
        many have a ``chance`` at each of ``LEVELS`` or below, and the same of what is no accident
        and withheld by other rules: sites that refuse the country, and cells in which one version
        of the probe fails; of listed pairs, how many nobody blocks, by band of chance. Pairs that
        forged reports speak of are left out: chance is about accidents.
    """
    chances = scored.chances[~scored.chances["is_blocked"] & ~scored.chances["is_forged"]]
    is_refusing, is_of_version = chances["situation"].isin(_REFUSING), chances["is_of_version"]
    parts = [
        *_count_low("unblocked cells with such a chance", chances[~is_refusing & ~is_of_version]),
        *_count_low("cells of sites that refuse the country", chances[is_refusing]),
        *_count_low(
            "cells in which one version of the probe fails", chances[~is_refusing & is_of_version]
        ),
    ]
    listed = scored.pairs[scored.pairs["is_listed"]]
    forged = listed[PAIR_KEY].merge(_forged_pairs(scored), on=PAIR_KEY, how="left")
    listed = listed[forged["is_forged"].isna().to_numpy()]
    bands = pd.Series(_BY_MARK if len(scored.chances) else _NOT_GIVEN, listed.index)
    for most, name in _BANDS.items():
        bands[listed["chance"] <= most] = name
    listed = listed.assign(is_wrong=~listed["is_blocked"], band=bands)
    parts.append(share_by("listed though not blocked, by chance", listed, "is_wrong", "band"))
    return pd.concat(parts, ignore_index=True)


def _count_low(measure: str, chances: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for level in LEVELS:
        rows = chances.assign(is_low=chances["chance"] <= level)
        yield share_by(measure, rows, "is_low").assign(stratum=f"{level:.0e}")


def mark_chances(chances: pd.DataFrame | None, scored: Score) -> pd.DataFrame:
    """The chance of every cell and kind, with what is true of its pair.

    Args:
        chances: a judgement's ``chances``: ``domain, probe_asn, kind, chance, is_of_version``;
            None where the judgement gives none.
        scored: the pairs of the same judgement.

    Returns:
        ``domain, probe_asn, kind, chance, is_of_version, situation, is_blocked, is_forged``. A
        cell without a row, which nothing surprising was seen in, has a chance of 1.
    """
    columns = [*PAIR_KEY, "kind", "chance", "is_of_version"]
    given = pd.DataFrame(columns=columns) if chances is None else chances[columns]
    given = given.assign(probe_asn=_name_networks(given["probe_asn"]))
    known = scored.pairs[[*PAIR_KEY, "situation", "is_blocked"]].merge(
        _forged_pairs(scored), on=PAIR_KEY, how="left"
    )
    known["is_forged"] = known["is_forged"].notna()
    rows = known.merge(given, on=PAIR_KEY, how="left" if chances is not None else "inner")
    rows["chance"] = pd.to_numeric(rows["chance"]).fillna(1.0)
    rows["is_of_version"] = rows["is_of_version"].fillna(False).astype(bool)
    return rows[[*columns, "situation", "is_blocked", "is_forged"]]


def _forged_pairs(scored: Score) -> pd.DataFrame:
    return scored.forged[PAIR_KEY].drop_duplicates().assign(is_forged=True)


def _name_networks(asns: pd.Series) -> pd.Series:
    return "AS" + asns.astype("str").str.removeprefix("AS")
