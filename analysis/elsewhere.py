"""What fails on every network of a country is not shown to be blocked in it (guard G6)."""

import pandas as pd

from analysis.rules import Thresholds

#: A resolver's "no such name" is no way in which a site refuses anybody.
_NOT_A_REFUSAL = frozenset({"dns.nxdomain"})
NOTE = (
    "fails alike on every network that tested it enough; a site that refuses the country looks "
    "the same"
)
_EMPTIED = ("mechanism", "rule_id", "blocked_from", "blocked_until", "resolver_asns",
            "witness_report_id", "witness_input", "witness_url")  # fmt: skip


def withhold_unreached(verdicts: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Take back *likely blocked* where no network of the country reaches the site.

    The measurements of one country cannot tell a block on all its networks from a site that
    refuses all of them, unless something distinctive is seen. Where at least three networks have
    enough tests, none reaches the site, and nearly all fail without a trace that only blocking
    leaves, the state is *impaired*.

    Args:
        verdicts: the contract's ``verdicts``, one row per site, network and period.
        thresholds: ``refusal_share``.
    """
    enough = verdicts[verdicts["state"] != "insufficient"]
    by_site = enough.groupby(["domain", "period"])["state"]
    told = by_site.size()
    likely = enough[
        (enough["state"] == "likely_blocked") & ~enough["mechanism"].isin(_NOT_A_REFUSAL)
    ]
    failing = likely.groupby(["domain", "period"]).size().reindex(told.index, fill_value=0)
    distinct = by_site.agg(lambda states: "blocked" in set(states)).to_numpy(dtype=bool)
    reached = set(verdicts.loc[verdicts["state"] == "ok", "domain"])
    suspect = told[(told >= 3) & (failing >= thresholds.refusal_share * told) & ~distinct].index
    suspect = suspect[~suspect.get_level_values("domain").isin(reached)]
    is_suspect = pd.MultiIndex.from_frame(verdicts[["domain", "period"]]).isin(suspect)
    taken = is_suspect & (verdicts["state"] == "likely_blocked")
    verdicts = verdicts.copy()
    verdicts.loc[taken, list(_EMPTIED)] = ""
    verdicts.loc[taken, "state"] = "impaired"
    verdicts.loc[taken, "set_aside_reason"] = "geo_restricted"
    verdicts.loc[taken, "note"] = NOTE
    verdicts.loc[taken, "sessions_to_flip"] = verdicts.loc[taken, "sessions_to_flip"].clip(
        upper=thresholds.floor_sessions
    )
    return verdicts
