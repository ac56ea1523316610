"""What to test next: pairs of a site and an access network, by how much a test would tell.

The score of a pair is a product of four numbers between 0 and 1, each to be checked by hand:

*suspicion*  how likely a test there fails: the sessions that were blocked, with one more that fails
             as often as other access networks list the site, of all sessions and that one;
*closeness*  one over the tests that are still missing to a verdict;
*age*        a half where the pair was tested on the last day, one after four weeks or never;
*reach*      one for a provider of homes or phones, a half for other access networks.

A pair that has its verdict and was tested lately scores nothing.
"""

from datetime import date

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.planning.coverage import BELOW, list_access_networks
from analysis.vocabulary import LISTED

#: Of sites that no other network lists: how often a test there is taken to fail.
LEAST_SUSPICION = 0.02
#: Days after which a pair counts as not tested for weeks.
STALE_DAYS = 28
#: Pairs of each network that are published: more than a week of volunteers can test.
MOST_PAIRS = 200
#: Where a test tells nothing: there is no site.
_NO_SITE = "name_does_not_exist"
_REACH = {"isp": 1.0, "mobile": 1.0}
_OTHER_REACH = 0.5

_LAST_TESTS = """
SELECT domain::VARCHAR AS domain, 'AS' || probe_asn AS probe_asn, max(day) AS last_tested
FROM tested WHERE domain <> '' GROUP BY ALL ORDER BY ALL
"""


def find_last_tests(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """One row per site and network that was tested: ``domain, probe_asn, last_tested``."""
    found = connection.execute(_LAST_TESTS).df()
    found["last_tested"] = pd.to_datetime(found["last_tested"])
    return found


def rank_pairs(
    verdicts: pd.DataFrame,
    ranked: pd.DataFrame,
    sites: pd.DataFrame,
    last_tests: pd.DataFrame,
    thresholds: Thresholds,
    until: date,
) -> pd.DataFrame:
    """The contract's ``what_to_test``, the highest score first.

    Args:
        verdicts: the contract's ``verdicts``.
        ranked: the contract's ``networks``.
        sites: ``domain, url, category_code``: what may be tested, and by which address.
        last_tests: ``find_last_tests``.
        thresholds: the evidence floor.
        until: the day after the last of the study.

    Returns:
        One row per pair that scores, at most ``MOST_PAIRS`` of each network.
    """
    whole = verdicts[(verdicts["period"] == "all") & (verdicts["domain"] != "")]
    dead = find_dead_names(whole)
    access = list_access_networks(ranked)[["probe_asn", "network", "kind"]]
    counts = ["session_count", "blocked_session_count", "day_count"]
    known = whole[["domain", "probe_asn", "state", "insufficient_reason", *counts]]
    pairs = (
        sites[~sites["domain"].isin(dead)]
        .merge(access, how="cross")
        .merge(known, on=["domain", "probe_asn"], how="left")
        .merge(last_tests, on=["domain", "probe_asn"], how="left")
        .merge(count_others(whole, access), on=["domain"], how="left")
    )
    numbers = [*counts, "listed_network_count", "judged_network_count"]
    pairs[numbers] = pairs[numbers].fillna(0).astype("int64")
    pairs[["state", "insufficient_reason"]] = pairs[["state", "insufficient_reason"]].fillna("")
    scored = _drop_own_verdict(pairs)
    scored = _score(scored, thresholds, pd.Timestamp(until))
    scored = scored[scored["score"] > 0].sort_values(
        ["score", "domain", "probe_asn"], ascending=[False, True, True]
    )
    scored = scored[scored.groupby("probe_asn").cumcount() < MOST_PAIRS].reset_index(drop=True)
    return scored.assign(rank=np.arange(1, len(scored) + 1))


def find_dead_names(whole: pd.DataFrame) -> frozenset[str]:
    """The sites that are set aside because their names do not exist.

    One that is listed anywhere is none: on other networks it may have been tested only while its
    name servers failed.

    Args:
        whole: the contract's ``verdicts`` of the whole period.
    """
    dead = whole.loc[whole["set_aside_reason"] == _NO_SITE, "domain"]
    return frozenset(dead) - frozenset(whole.loc[whole["state"].isin(LISTED), "domain"])


def count_others(whole: pd.DataFrame, access: pd.DataFrame) -> pd.DataFrame:
    """One row per site: on how many access networks it is judged, and listed."""
    judged = whole[
        whole["probe_asn"].isin(access["probe_asn"]) & (whole["state"] != "insufficient")
    ]
    by_site = judged.assign(is_listed=judged["state"].isin(LISTED)).groupby("domain")["is_listed"]
    return by_site.agg(judged_network_count="size", listed_network_count="sum").reset_index()


def _drop_own_verdict(pairs: pd.DataFrame) -> pd.DataFrame:
    """Leave in the counts of networks the others alone."""
    is_judged = ~pairs["state"].isin(["", "insufficient"])
    return pairs.assign(
        judged_network_count=pairs["judged_network_count"] - is_judged,
        listed_network_count=pairs["listed_network_count"] - pairs["state"].isin(LISTED),
    )


def _score(pairs: pd.DataFrame, thresholds: Thresholds, until: pd.Timestamp) -> pd.DataFrame:
    elsewhere = (pairs["listed_network_count"] / pairs["judged_network_count"]).fillna(0)
    elsewhere = elsewhere.clip(lower=LEAST_SUSPICION)
    sessions = pairs["session_count"]
    suspicion = (pairs["blocked_session_count"] + elsewhere) / (sessions + 1)
    sessions_missing = (thresholds.floor_sessions - sessions).clip(lower=0)
    days_missing = (thresholds.floor_days - pairs["day_count"]).clip(lower=0)
    missing = sessions_missing.where(sessions_missing > days_missing, days_missing)
    # tested enough, and without a verdict: the tests disagree, or say nothing
    is_mixed = (pairs["state"] == "insufficient") & (missing == 0)
    days = (until - pairs["last_tested"]).dt.days - 1
    is_stale = ~is_mixed & (missing == 0) & (days > thresholds.not_tested_days)
    needed = missing.mask(is_mixed, 1).mask(is_stale, thresholds.floor_sessions)
    age = (1 + (days / STALE_DAYS).clip(upper=1).fillna(1)) / 2
    reach = pairs["kind"].map(_REACH).astype("float64").fillna(_OTHER_REACH)
    closeness = (1 / needed.where(needed > 0)).fillna(0)
    return pairs.assign(
        suspicion=suspicion.round(4), closeness=closeness.round(4), age=age.round(4), reach=reach,
        score=(suspicion * closeness * age * reach).round(4),
        days_untested=days.astype("Int64"), tests_needed=needed,
        test_reason=_reasons(pairs, is_mixed, is_stale),
    )  # fmt: skip


def _reasons(pairs: pd.DataFrame, is_mixed: pd.Series, is_stale: pd.Series) -> pd.Series:
    """Why a pair scores, the most telling first; see ``vocabulary.TEST_REASONS``."""
    is_below = pairs["insufficient_reason"].isin(BELOW) | (pairs["state"] == "")
    conditions = [
        is_mixed,
        is_below & (pairs["blocked_session_count"] > 0),
        is_below & (pairs["listed_network_count"] > 0),
        is_stale & pairs["state"].isin(LISTED),
        is_stale,
        pairs["session_count"] == 0,
    ]
    words = ["mixed", "suspected", "listed_elsewhere", "listed_and_stale", "stale", "never_tested"]
    return pd.Series(np.select(conditions, words, "thin"), index=pairs.index)
