"""Shares with bounds, summed up over compared pairs, sites and edges."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.verdicts.states import wilson_bounds
from analysis.worlds.scores import PAIR_KEY, STRATA, Score, stratum_of

#: Why a site in each situation is rightly set aside, where there is a cause to name.
REASONS: Mapping[str, tuple[str, ...]] = {
    "dead": ("name_does_not_exist", "nxdomain_substitution"),
    "dies": ("name_does_not_exist", "nxdomain_substitution"),
    "down": ("down",),
    "outage": ("down",),
    "unreachable": ("down", "impaired"),
    "overloaded": ("down", "impaired", "insufficient"),
    "geo_refused": ("geo_restricted",),
    "geo_refused_http": ("geo_restricted",),
    "geo_refused_tcp": ("geo_restricted", "impaired"),
    "geo_refused_tls": ("geo_restricted", "impaired"),
    "ad_like": ("local_filter",),
}
#: What a site wrongly listed weighs, against a missed pair.
FALSE_SITE_WEIGHT = 5
#: Hours of the week can be found where this many sound sessions met the block.
_MANY = 20


def accuracy(scored: Score) -> pd.DataFrame:
    """Every share of the validation, with its bounds.

    Returns:
        One row per ``measure`` and ``stratum``: ``success_count, trial_count, share, lower_share,
        upper_share`` (Wilson, 95 %).
    """
    pairs, sites = scored.pairs.assign(is_spared=~scored.pairs["is_listed"]), scored.sites
    blocked, listed = pairs[pairs["is_blocked"]], pairs[pairs["is_listed"]]
    right = pairs[pairs["is_blocked"] & pairs["is_listed"]].assign(
        is_same=lambda f: f["mechanism"] == f["true_mechanism"],
        is_family=lambda f: _family(f["mechanism"]) == _family(f["true_mechanism"]),
        is_covered=lambda f: _holds(f, "blocked_share_low", "blocked_share_high"),
        is_covered_by_bootstrap=lambda f: _holds(f, "bootstrap_low", "bootstrap_high"),
    )
    drawn = right[right["bootstrap_low"].notna()]
    by_seen = listed.assign(stratum=stratum_of(listed["blocked_session_count"].fillna(0)))
    is_well = blocked["true_session_count"] >= 6
    edges, well = scored.edges, scored.edges["blocked_session_count"] >= 6
    hours = scored.hours
    well_met = hours[(hours["true_schedule"] != "") & (hours["sound_session_count"] >= _MANY)]
    reasons = _check_reasons(sites)
    claims, is_forged = scored.claims, scored.claims["is_forged_open"].notna()
    parts = [
        share_by("recall of pairs", blocked, "is_listed", "stratum"),
        share_by("recall of pairs, 6 or more sessions", blocked[is_well], "is_listed"),
        share_by(
            "recall by mechanism, 6 or more sessions", blocked[is_well], "is_listed",
            "true_mechanism",
        ),
        share_by("precision of pairs", by_seen, "is_blocked", "stratum"),
        share_by("unblocked pairs not listed", pairs[~pairs["is_blocked"]], "is_spared"),
        share_by("precision by mechanism", listed, "is_blocked", "mechanism"),
        share_by("recall of sites", sites[sites["is_blocked"]], "is_listed", "stratum"),
        share_by("precision of sites", sites[sites["is_listed"]], "is_blocked"),
        share_by("mechanism exact", right, "is_same", "stratum"),
        share_by("mechanism exact, by mechanism", right, "is_same", "true_mechanism"),
        share_by("mechanism family", right, "is_family", "stratum"),
        share_by(
            "bounds of the share hold it", right[~right["is_forged_open"]], "is_covered", "stratum"
        ),
        share_by(
            "bounds hold a share below 1", right[right["true_share"] < 1], "is_covered", "stratum"
        ),
        share_by(
            "bounds by a bootstrap over days hold it", drawn[~drawn["is_forged_open"]],
            "is_covered_by_bootstrap", "stratum",
        ),
        share_by(
            "bounds by a bootstrap over days hold a share below 1", drawn[drawn["true_share"] < 1],
            "is_covered_by_bootstrap", "stratum",
        ),
        share_by("edge found", edges, "is_found", "edge"),
        share_by("edge inside bracket", edges[edges["is_found"]], "is_inside", "edge"),
        share_by(
            "edge inside bracket, 6 or more sessions",
            edges[edges["is_found"] & well], "is_inside", "edge",
        ),
        share_by(
            "bracket as narrow as tests allow", _bracketed(edges), "is_narrow", "edge",
        ),
        share_by("hours found within an hour", well_met, "is_near"),
        share_by("claimed hours are true", hours[hours["schedule"] != ""], "is_near"),
        share_by("set aside for the right reason", reasons, "is_right", "situation"),
        share_by("claimed edge is true", claims[~is_forged], "is_true", "edge"),
        share_by("claimed edge is true despite forged openness", claims[is_forged], "is_true"),
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _check_reasons(sites: pd.DataFrame) -> pd.DataFrame:
    """The sites set aside whose situation says why they should be."""
    known = sites[~sites["is_blocked"] & (sites["set_aside_reason"] != "")]
    known = known[known["situation"].isin(list(REASONS))]
    # Many a household filters advertising; its hosts are any other site where none was met.
    known = known[known["is_filtered"] | (known["situation"] != "ad_like")]
    pairs = zip(known["situation"], known["set_aside_reason"], strict=True)
    return known.assign(is_right=[reason in REASONS[situation] for situation, reason in pairs])


def _bracketed(edges: pd.DataFrame) -> pd.DataFrame:
    inside = edges[edges["is_found"] & edges["is_inside"]]
    width = pd.to_numeric(inside["width_days"])
    narrowest = pd.to_numeric(inside["narrowest_days"])
    return inside.assign(is_narrow=width <= narrowest)


def _holds(pairs: pd.DataFrame, low: str, high: str) -> pd.Series:
    """Whether bounds hold the true share."""
    true = pairs["true_share"]
    return (pairs[low] <= true + 1e-9) & (pairs[high] >= true - 1e-9)


def _family(mechanisms: pd.Series) -> pd.Series:
    return mechanisms.fillna("").str.partition(".")[0]


def share_by(
    measure: str, frame: pd.DataFrame, success: str, stratum: str | None = None
) -> pd.DataFrame:
    """How often ``success`` is true: all together, and by stratum where one is named.

    Returns:
        The columns of :func:`accuracy`. Where nothing was tried the bounds are 0 and 1.
    """
    values = frame[success].astype("bool")
    groups = {"all": values}
    if stratum is not None:
        by_stratum = dict(list(values.groupby(frame[stratum].astype("str"), sort=True)))
        coverage = {name: rank for rank, name in enumerate(STRATA.values())}
        names = sorted(by_stratum, key=lambda name: (coverage.get(name, 0), name))
        groups |= {name: by_stratum[name] for name in names}
    hits = pd.Series([int(one.sum()) for one in groups.values()])
    total = pd.Series([len(one) for one in groups.values()])
    low, high = wilson_bounds(hits, total)
    return pd.DataFrame(
        {"measure": measure, "stratum": list(groups), "success_count": hits, "trial_count": total,
         "share": hits / total.where(total > 0),
         "lower_share": low.fillna(0.0), "upper_share": high.fillna(1.0)}
    )  # fmt: skip


def bootstrap_bounds(days: pd.DataFrame, draws: int = 500, seed: int = 1) -> pd.DataFrame:
    """Bounds of the blocked share at 95 % that keep the sessions of a day together.

    They stand beside Wilson's, for which every session is independent.

    Args:
        days: one row per day of a site on a network: ``domain, probe_asn, blocked_sessions,
            ok_sessions``.
        draws: how often the days of each are drawn anew, with replacement.
        seed: of the draws; the same days and seed give the same bounds.

    Returns:
        One row per site and network, sorted: ``domain, probe_asn, bootstrap_low, bootstrap_high``.

    Source of the method: the block bootstrap (Künsch 1989), a day a block; percentiles.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for (domain, asn), cell in days.groupby(["domain", "probe_asn"], sort=True):
        counts = cell[["blocked_sessions", "ok_sessions"]].to_numpy(np.int64)
        sums = counts[rng.integers(0, len(counts), (draws, len(counts)))].sum(axis=1)
        low, high = np.percentile(sums[:, 0] / sums.sum(axis=1), [2.5, 97.5])
        rows.append((domain, asn, low, high))
    columns = ["domain", "probe_asn", "bootstrap_low", "bootstrap_high"]
    return pd.DataFrame(rows, columns=columns)


def tally(scored: Score) -> dict[str, int]:
    """The counts by which thresholds are compared, over pairs with 6 or more blocked sessions.

    ``false_pair_count`` is of all listed pairs. ``error_count`` weighs a site wrongly listed by
    ``FALSE_SITE_WEIGHT``, since it discredits the list; pairs of one site go wrong together.
    """
    pairs, sites, edges = scored.pairs, scored.sites, scored.edges
    well = pairs[pairs["is_blocked"] & (pairs["true_session_count"] >= 6)]
    right = pairs[pairs["is_blocked"] & pairs["is_listed"]]
    located = edges[edges["is_found"].astype("bool")]
    counts = {
        "listed_pair_count": pairs["is_listed"].sum(),
        "false_pair_count": (pairs["is_listed"] & ~pairs["is_blocked"]).sum(),
        "blocked_pair_count": len(well),
        "missed_pair_count": (~well["is_listed"]).sum(),
        "false_site_count": (sites["is_listed"] & ~sites["is_blocked"]).sum(),
        "missed_site_count": (
            sites["is_blocked"] & ~sites["is_listed"] & (sites["true_session_count"] >= 6)
        ).sum(),
        "wrong_mechanism_count": (right["mechanism"] != right["true_mechanism"]).sum(),
        "edge_count": len(edges),
        "edge_not_found_count": len(edges) - len(located),
        "edge_outside_count": (~located["is_inside"].astype("bool")).sum(),
        "false_edge_count": (~scored.claims["is_true"].astype("bool")).sum(),
    }
    result = {name: int(count) for name, count in counts.items()}
    result["error_count"] = (
        FALSE_SITE_WEIGHT * result["false_site_count"]
        + result["missed_pair_count"]
        + result["wrong_mechanism_count"]
        + result["edge_outside_count"]
    )
    return result


def false_positives(scored: Score) -> pd.DataFrame:
    """Pairs and sites that are listed and not blocked, by what is going on with the name.

    Returns:
        One row per ``measure`` and ``stratum`` (situation, network role, authority or forged
        claim): ``success_count`` listed of ``trial_count`` that are not blocked.
    """
    pairs = scored.pairs[~scored.pairs["is_blocked"]]
    sites = scored.sites[~scored.sites["is_blocked"]]
    forged = scored.forged[~scored.forged["is_blocked"].fillna(False).astype("bool")]
    parts = [
        share_by("pair listed, by situation", pairs, "is_listed", "situation"),
        share_by("pair listed, by network", pairs, "is_listed", "role"),
        share_by("pair listed, by authority", pairs, "is_listed", "authority"),
        share_by("pair listed, by forged claim", forged, "is_listed", "claim"),
        share_by("site listed, by situation", sites, "is_listed", "situation"),
    ]
    return pd.concat(parts, ignore_index=True)


def edge_errors(scored: Score) -> pd.DataFrame:
    """How far onsets and endings lie from the truth, and how wide their brackets are, in days.

    Returns:
        One row per ``edge`` and ``stratum`` of sessions while the block held.
    """
    located = scored.edges[scored.edges["error_days"].notna()].assign(
        size=lambda f: pd.to_numeric(f["error_days"]).abs(),
        width=lambda f: pd.to_numeric(f["width_days"]),
        narrowest=lambda f: pd.to_numeric(f["narrowest_days"]),
    )
    return located.groupby(["edge", "stratum"], sort=True).agg(
        edge_count=("size", "size"), error_median=("size", "median"),
        error_p90=("size", lambda days: days.quantile(0.9)), error_max=("size", "max"),
        width_median=("width", "median"), narrowest_median=("narrowest", "median"),
    ).reset_index()  # fmt: skip


def unlisted_states(scored: Score) -> pd.DataFrame:
    """What is said of pairs that are not listed: ``situation, is_blocked, state, pair_count``."""
    rest = scored.pairs[~scored.pairs["is_listed"]]
    keys = ["situation", "is_blocked", "state"]
    rest = rest.assign(state=rest["state"].fillna(""))
    return rest.groupby(keys, sort=True).size().reset_index(name="pair_count")


def moved_by_forgery(clean: pd.DataFrame, forged: Score) -> pd.DataFrame:
    """Whether forged reports moved a state that its ``sessions_to_flip`` says they could not.

    Args:
        clean: the pairs of the same world without the forged reports.
        forged: the world with them.

    Returns:
        One row per pair that forged reports speak of or whose state differs: ``claim, state,
        state_forged, sessions_to_flip, forged_session_count``, ``is_moved``, and ``is_broken``
        where fewer forged sessions than ``sessions_to_flip`` moved it. A forged report acts on what
        it does not speak of as well: there all of the archive count.
    """
    counts = forged.forged.groupby(PAIR_KEY, sort=True).agg(
        claim=("claim", lambda claims: ";".join(sorted(set(claims)))),
        forged_session_count=("forged_session_count", "sum"),
    )
    rows = clean[[*PAIR_KEY, "is_blocked", "state", "is_listed", "sessions_to_flip"]].merge(
        forged.pairs[[*PAIR_KEY, "state", "is_listed"]], on=PAIR_KEY, suffixes=("", "_forged")
    )
    rows = rows.merge(counts.reset_index(), on=PAIR_KEY, how="left").dropna(subset=["state"])
    spoken_of = rows["forged_session_count"].notna()
    all_reports = forged.forged["forged_report_count"].max() if len(forged.forged) else 0
    rows["forged_session_count"] = rows["forged_session_count"].fillna(all_reports).astype("int64")
    rows["claim"] = rows["claim"].fillna("")
    rows["is_moved"] = rows["state"] != rows["state_forged"]
    few = rows["forged_session_count"] < rows["sessions_to_flip"].fillna(0).astype("int64")
    rows["is_broken"] = rows["is_moved"] & few
    return rows[spoken_of | rows["is_moved"]].reset_index(drop=True)
