"""How much of what could be judged was tested enough: pairs of a site and an access network."""

import pandas as pd

from analysis.reference.networks import DOMESTIC

#: Reasons for which a pair is below the evidence floor; tests that disagree are above it.
BELOW = ("few_sessions", "few_days")


def list_access_networks(ranked: pd.DataFrame) -> pd.DataFrame:
    """The rows of the contract's ``networks`` that are the country's access networks.

    What an unknown network (AS0) measured cannot be tested again.
    """
    return ranked[ranked["kind"].isin(DOMESTIC) & (ranked["probe_asn"] != "AS0")]


def count_floor(verdicts: pd.DataFrame, ranked: pd.DataFrame, site_count: int) -> pd.DataFrame:
    """One row per access network: how many of its pairs reach the evidence floor.

    Args:
        verdicts: the contract's ``verdicts``.
        ranked: the contract's ``networks``.
        site_count: sites tested anywhere, each of which could be tested on each network.

    Returns:
        ``probe_asn, network, floor_pair_count, below_pair_count, untested_pair_count,
        floor_share`` (of all three); those with most pairs above the floor first.
    """
    whole = verdicts[(verdicts["period"] == "all") & (verdicts["domain"] != "")]
    is_below = whole["insufficient_reason"].isin(BELOW)
    counts = pd.DataFrame({
        "floor_pair_count": (~is_below).groupby(whole["probe_asn"]).sum(),
        "below_pair_count": is_below.groupby(whole["probe_asn"]).sum(),
    })  # fmt: skip
    rows = list_access_networks(ranked)[["probe_asn", "network"]].merge(
        counts, left_on="probe_asn", right_index=True, how="left"
    )
    rows = rows.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, "int64"))
    tested = rows["floor_pair_count"] + rows["below_pair_count"]
    rows["untested_pair_count"] = site_count - tested
    rows["floor_share"] = rows["floor_pair_count"] / max(site_count, 1)
    return rows.sort_values(
        ["floor_pair_count", "probe_asn"], ascending=[False, True], ignore_index=True
    )
