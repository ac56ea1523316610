"""Accuracy of the verdicts on worlds with known truth.

This module reads only the published tables and the truth, and does not depend on the simulator or
the judge. The truth of a world is a folder of CSVs that was written with its archive:

* ``blocks.csv``: ``domain, probe_asn, mechanism, since, until, since_time, until_time, schedule,
  share, sound_session_count``. ``since`` is the first day and ``until`` the day after the last, the
  times are exact; any is empty if the block reaches past the period. ``schedule`` is the hours of
  the week to which it is limited, as in ``verdicts.csv``, ``share`` the share of sessions that are
  affected. Sound sessions are those without faults other than, perhaps, a block; the count is of
  those that tested the name during the block.
* ``tests.csv``: ``domain, probe_asn, day, hour, session_count, sound_session_count``.
* ``names.csv``: ``domain, situation, authority``.
* ``networks.csv``: ``probe_asn, kind, role``.
* ``forgeries.csv``: ``report_id, day, probe_asn, domain, claim``, one row per name in a forged
  report; ``claim`` is ``blocked``, ``open`` or ``control``.

The last part sums up shares with bounds over pairs, sites and edges, and compares the published
chances with the frequency of such evidence on unblocked pairs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.reference.networks import DOMESTIC
from analysis.tables import map_texts, read_network, read_table
from analysis.verdicts.floors import wilson_bounds
from analysis.vocabulary import DEAD_NAME_REASONS, LISTED

PAIR_KEY = ["domain", "probe_asn"]
#: Strata of coverage: the fewest sound sessions while a block held.
STRATA: Mapping[int, str] = {0: "0–3", 4: "4–5", 6: "6–11", 12: "12+"}

#: The tables of the folder, by name.
Truth = Mapping[str, pd.DataFrame]
_TRUTH = ("blocks", "tests", "names", "networks", "forgeries")
_NUMBERS = {"sound_session_count": "int64", "share": "float64"}
_DATED = ("since", "until", "since_time", "until_time", "day")


def read_truth_table(path: Path) -> pd.DataFrame:
    """Read a table of the truth; days, times, counts and network numbers are typed."""
    table = pd.read_csv(path, dtype="str", na_filter=False)
    if "probe_asn" in table:
        table["probe_asn"] = table["probe_asn"].map(read_network).astype("int64")
    dated = {
        name: pd.to_datetime(table[name].replace("", None)) for name in _DATED if name in table
    }
    numbers = {name: kind for name, kind in _NUMBERS.items() if name in table}
    return table.assign(**dated).astype(numbers)


def read_truth(folder: str | Path) -> Truth:
    """Read the tables of a truth folder."""
    return {name: read_truth_table(Path(folder) / f"{name}.csv") for name in _TRUTH}


def are_among(rows: pd.DataFrame, other: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Test for each row whether ``others`` has a row with the same keys."""
    other_keys = pd.MultiIndex.from_frame(other[keys])
    return pd.Series(pd.MultiIndex.from_frame(rows[keys]).isin(other_keys), rows.index)


def _are_forged_open(pairs: pd.DataFrame, truth: Truth) -> pd.Series:
    """Test for each pair whether forged reports claim that it is open."""
    forgeries = truth["forgeries"]
    return are_among(pairs, forgeries[forgeries["claim"] == "open"], PAIR_KEY)


@dataclass(frozen=True)
class Score:
    """Verdicts and truth, row by row.

    Attributes:
        pairs: one row per site and network that was judged or is truly blocked, sorted by name;
            ``evidence`` is a logarithm, 0 if nothing was weighed.
        sites: one row per site.
        edges: one row per true onset or ending of a block with a sound test in it.
        claims: one row per onset or ending that ``blocking_intervals`` brackets on both sides.
        forged: one row per site and network with forged reports.
        hours: one row per site and network with hours of the week in the truth or the verdict.
    """

    pairs: pd.DataFrame
    sites: pd.DataFrame
    edges: pd.DataFrame
    claims: pd.DataFrame
    forged: pd.DataFrame
    hours: pd.DataFrame


def score(tables: str | Path, truth: str | Path) -> Score:
    """Compare a report's tables with a world's truth.

    Args:
        tables: ``verdicts``, ``chances``, ``blocking_intervals``, ``blocked_sites`` and
            ``set_aside``.
        truth: the world's truth, see above.
    """
    truth_tables = read_truth(truth)
    verdicts = read_table(tables, "verdicts")
    pairs = _compare_pairs(verdicts[verdicts["period"] == "all"], truth_tables)
    chances = read_table(tables, "chances")[[*PAIR_KEY, "evidence"]]
    pairs = pairs.merge(chances, on=PAIR_KEY, how="left")
    pairs["evidence"] = pairs["evidence"].fillna(0.0)
    intervals = read_table(tables, "blocking_intervals")
    listed, aside = read_table(tables, "blocked_sites"), read_table(tables, "set_aside")
    claims = _check_claims(intervals, truth_tables["blocks"])
    return Score(
        pairs=pairs,
        sites=_compare_sites(pairs, listed, aside, truth_tables),
        edges=compare_edges(intervals, truth_tables["blocks"], truth_tables["tests"]),
        claims=claims.assign(is_forged_open=_are_forged_open(claims, truth_tables)),
        forged=_check_forged(pairs, truth_tables["forgeries"]),
        hours=compare_hours(intervals, truth_tables["blocks"]),
    )


def pool(scores: Mapping[str, Score]) -> Score:
    """Join the rows of several worlds, with the world's label in ``world``."""
    pooled = {}
    for attribute in fields(Score):
        frames = [
            getattr(score, attribute.name).assign(world=label) for label, score in scores.items()
        ]
        pooled[attribute.name] = pd.concat(frames, ignore_index=True)
    return Score(**pooled)


def _compare_pairs(verdicts: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """Return one row per pair: verdict, truth and situation."""
    judged = verdicts[
        [
            *PAIR_KEY,
            "state",
            "mechanism",
            "rule_id",
            "session_count",
            "blocked_session_count",
            "ok_session_count",
            "blocked_share_low",
            "blocked_share_high",
            "sessions_to_flip",
            "set_aside_reason",
        ]
    ]
    ordered = truth["blocks"].sort_values("sound_session_count", ascending=False, kind="stable")
    true = ordered.groupby(PAIR_KEY, sort=True).agg(
        true_mechanism=("mechanism", "first"),
        true_share=("share", "first"),
        true_session_count=("sound_session_count", "sum"),
    )
    pairs = judged.merge(true.reset_index(), on=PAIR_KEY, how="outer")
    pairs["is_blocked"] = pairs["true_mechanism"].notna()
    pairs["is_listed"] = pairs["state"].isin(LISTED)
    pairs["true_session_count"] = pairs["true_session_count"].fillna(0).astype("int64")
    pairs["stratum"] = stratum_of(pairs["true_session_count"])
    pairs = pairs.merge(truth["names"][["domain", "situation", "authority"]], how="left")
    pairs = pairs.merge(truth["networks"][["probe_asn", "kind", "role"]], how="left")
    texts = ["situation", "authority", "kind", "role"]
    pairs[texts] = pairs[texts].fillna("")
    pairs["is_forged_open"] = _are_forged_open(pairs, truth)
    return pairs.sort_values(PAIR_KEY, ignore_index=True)


def stratum_of(counts: pd.Series) -> pd.Series:
    """Return the stratum of coverage of each number of sessions."""
    edges = [*STRATA, np.inf]
    return pd.cut(counts, edges, right=False, labels=list(STRATA.values())).astype("str")


def _compare_sites(
    pairs: pd.DataFrame, annex: pd.DataFrame, aside: pd.DataFrame, truth: Truth
) -> pd.DataFrame:
    """Return one row per site: blocked on a domestic network, in the annex, set aside."""
    domestic = pairs[pairs["kind"].isin(DOMESTIC)]
    blocked = domestic[domestic["is_blocked"]].groupby("domain")["true_session_count"].max()
    sites = pd.DataFrame({"domain": sorted(set(pairs["domain"]) - {""})})
    sites["is_blocked"] = sites["domain"].isin(blocked.index)
    sites["is_listed"] = sites["domain"].isin(set(annex["domain"]))
    sites["true_session_count"] = sites["domain"].map(blocked).fillna(0).astype("int64")
    sites["stratum"] = stratum_of(sites["true_session_count"])
    sites["situation"] = sites["domain"].map(truth["names"].set_index("domain")["situation"])
    reasons = dict(zip(aside["domain"], aside["reason"], strict=True))
    sites["set_aside_reason"] = map_texts(sites["domain"], reasons)
    return sites


def _check_forged(pairs: pd.DataFrame, forgeries: pd.DataFrame) -> pd.DataFrame:
    """Return a row per pair with forged reports: their sessions, days, and all forged reports."""
    counts = forgeries.groupby([*PAIR_KEY, "claim"], sort=True).agg(
        forged_session_count=("report_id", "nunique"), forged_day_count=("day", "nunique")
    )
    columns = [
        *PAIR_KEY,
        "state",
        "is_blocked",
        "is_listed",
        "situation",
        "true_session_count",
        "session_count",
    ]
    counts["forged_report_count"] = forgeries["report_id"].nunique()
    return counts.reset_index().merge(pairs[columns], on=PAIR_KEY, how="left")


#: Earlier and later than any day.
EVER, _NEVER = pd.Timestamp("1970-01-01"), pd.Timestamp("9999-12-31")


def _list_claims(intervals: pd.DataFrame) -> pd.DataFrame:
    """List the onset and the ending of each interval, with their brackets.

    Returns:
        ``domain, probe_asn, edge``; ``day``, the first of blocking or the one after the last, null
        for a block that continues; ``after`` and ``by``, the times between which the edge is;
        ``width_days``, from the last day seen open to the first one blocked, or the reverse, null
        if none was seen open; ``first`` and ``last``, the days of the interval.
    """
    pairs = intervals[PAIR_KEY].assign(
        first=intervals["blocked_from"], last=intervals["blocked_until"].fillna(_NEVER)
    )
    start, end = intervals["blocked_from"], intervals["blocked_until"]
    onsets = pairs.assign(
        edge="onset",
        day=start,
        after=intervals["last_seen_open_time"].fillna(EVER),
        by=intervals["blocked_from_time"],
        width_days=(start - intervals["last_seen_open"]).dt.days,
    )
    endings = pairs.assign(
        edge="ending",
        day=end + pd.Timedelta(days=1),
        after=intervals["blocked_until_time"],
        by=intervals["first_seen_open_again_time"].fillna(_NEVER),
        width_days=(intervals["first_seen_open_again"] - end).dt.days,
    )
    return pd.concat([onsets, endings], ignore_index=True)


def _list_edges(blocks: pd.DataFrame) -> pd.DataFrame:
    """List the true onset and ending of each block, as ``true_day`` and ``moment``.

    Missing ones are outside the period. ``opened`` and ``closed`` are the end of the block before
    and the start of the next.
    """
    blocks = blocks.fillna({"since": EVER, "until": _NEVER})
    blocks = blocks.sort_values([*PAIR_KEY, "since"], ignore_index=True)
    by_pair = blocks.groupby(PAIR_KEY)
    blocks = blocks.assign(
        block=blocks.index,
        opened=by_pair["until"].shift().fillna(EVER),
        closed=by_pair["since"].shift(-1).fillna(_NEVER),
    )
    onsets = blocks.assign(edge="onset", moment=blocks["since_time"], true_day=blocks["since"])
    endings = blocks.assign(edge="ending", moment=blocks["until_time"], true_day=blocks["until"])
    return pd.concat([onsets, endings], ignore_index=True)


def _is_in_bracket(claims: pd.DataFrame) -> pd.Series:
    """Test for each claim whether the true moment is in its bracket."""
    return (claims["after"] < claims["moment"]) & (claims["moment"] <= claims["by"])


def compare_edges(
    intervals: pd.DataFrame, blocks: pd.DataFrame, tests: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per true onset and ending that has a sound test on each side.

    Returns:
        ``error_days``: how much later than the truth the nearest overlapping interval puts it;
        ``is_inside``: the truth is in its bracket; ``width_days`` and ``narrowest_days``: the width
        of the bracket, and of the narrowest one that sound tests allow, empty if a side is open.
    """
    edges = _add_narrowest(_list_edges(blocks), tests)
    nearest = _find_nearest(edges, _list_claims(intervals))
    edges = edges.merge(nearest, "left", on=_EDGE_KEY)
    edges["width_days"] = edges["width_days"].where(edges["error_days"].notna())
    edges["is_found"] = edges["is_inside"].notna()
    edges["is_inside"] = edges["is_inside"].eq(True)
    edges["is_narrow"] = edges["width_days"] <= edges["narrowest_days"]
    return edges.assign(stratum=stratum_of(edges["blocked_session_count"]))


_EDGE_KEY = ["block", "edge"]


def _add_narrowest(edges: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """Return the edges with sound tests on both sides.

    ``narrowest_days`` is the time between the nearest of these, ``blocked_session_count`` the sound
    sessions during the block.
    """
    sound = tests[tests["sound_session_count"] > 0]
    rows = edges.drop(columns="sound_session_count").merge(sound, on=PAIR_KEY)
    is_before = (rows["opened"] <= rows["day"]) & (rows["day"] < rows["since"])
    is_after = (rows["until"] <= rows["day"]) & (rows["day"] < rows["closed"])
    is_blocked = (rows["since"] <= rows["day"]) & (rows["day"] < rows["until"])
    is_open = is_before.where(rows["edge"] == "onset", is_after)
    blocked, opened = (
        rows[chosen].groupby(_EDGE_KEY)["day"].agg(["min", "max"])
        for chosen in (is_blocked, is_open)
    )
    gaps = pd.concat([blocked["min"] - opened["max"], opened["min"] - blocked["max"]], axis=1)
    narrowest = gaps.max(axis=1).dropna().dt.days
    session_counts = rows[is_blocked].groupby(_EDGE_KEY)["sound_session_count"].sum()
    edges = edges.join(narrowest.rename("narrowest_days"), on=_EDGE_KEY, how="inner")
    edges = edges.reset_index(drop=True)  # a join without a match leaves an index of the keys
    return edges.join(session_counts.rename("blocked_session_count"), on=_EDGE_KEY)


def _find_nearest(edges: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Return the claim nearest to each edge, of intervals that overlap the block."""
    pairs = edges.merge(claims, on=[*PAIR_KEY, "edge"])
    pairs = pairs[(pairs["first"] < pairs["until"]) & (pairs["last"] >= pairs["since"])]
    pairs = pairs.assign(
        error_days=(pairs["day"] - pairs["true_day"]).dt.days,
        is_inside=_is_in_bracket(pairs) & pairs["day"].notna(),  # a block that continues has no end
    )
    nearest = pairs.sort_values("error_days", key=abs, kind="stable").drop_duplicates(_EDGE_KEY)
    return nearest[[*_EDGE_KEY, "is_inside", "error_days", "width_days"]]


def _check_claims(intervals: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """Return one row per bracketed edge; ``is_true`` if a true one is in the bracket."""
    claims = _list_claims(intervals).dropna(subset=["day", "width_days"]).reset_index(drop=True)
    true = _list_edges(blocks)[[*PAIR_KEY, "edge", "moment"]]
    merged = claims.reset_index(names="claim").merge(true, on=[*PAIR_KEY, "edge"])
    return claims.assign(is_true=claims.index.isin(merged.loc[_is_in_bracket(merged), "claim"]))


def compare_hours(intervals: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """Compare the hours of intervals with the true ones.

    Args:
        intervals: ``domain, probe_asn, schedule``.
        blocks: ``domain, probe_asn, schedule, sound_session_count``.

    Returns:
        One row per site and network with hours in either: ``schedule, true_schedule,
        sound_session_count``, and ``is_near``: the same weekdays, every edge within an hour.
    """
    claimed = intervals[intervals["schedule"] != ""].drop_duplicates(PAIR_KEY)
    true = blocks[blocks["schedule"] != ""].drop_duplicates(PAIR_KEY)
    true = true.assign(true_schedule=true["schedule"])
    rows = claimed[[*PAIR_KEY, "schedule"]].merge(
        true[[*PAIR_KEY, "true_schedule", "sound_session_count"]], on=PAIR_KEY, how="outer"
    )
    rows = rows.sort_values(PAIR_KEY, ignore_index=True)
    rows[["schedule", "true_schedule"]] = rows[["schedule", "true_schedule"]].fillna("")
    rows["sound_session_count"] = rows["sound_session_count"].fillna(0).astype("int64")
    schedules = zip(rows["schedule"], rows["true_schedule"], strict=True)
    rows["is_near"] = [_are_near(claimed, true) for claimed, true in schedules]
    return rows


def _are_near(claimed: str, true: str) -> bool:
    """Compare two schedules such as ``Mon-Fri 04:00-08:00, 10:00-14:00``."""
    hours = [[int(hour) for hour in re.findall(r"(\d\d):00", text)] for text in (claimed, true)]
    has_same_days = claimed.partition(" ")[0] == true.partition(" ")[0]
    if not has_same_days or len(hours[0]) != len(hours[1]):
        return False
    return all(abs(a - b) <= 1 for a, b in zip(*hours, strict=True))


#: Situation → right reasons to set a site aside. Sites that households filter have none, because
#: most of their failures are accidents.
REASONS: Mapping[str, tuple[str, ...]] = {
    "dead": (*DEAD_NAME_REASONS, "nxdomain_substitution"),
    "dies": (*DEAD_NAME_REASONS, "nxdomain_substitution"),
    "down": ("down",),
    "outage": ("down",),
    "unreachable": ("down", "impaired"),
    "overloaded": ("down", "impaired", "insufficient"),
    "geo_refused": ("geo_restricted",),
    "geo_refused_http": ("geo_restricted",),
    "geo_refused_tcp": ("geo_restricted", "impaired"),
    "geo_refused_tls": ("geo_restricted", "impaired"),
}
#: The weight of a site that is listed wrongly; a missed pair has weight 1.
FALSE_SITE_WEIGHT = 5
#: Sound sessions during a block with which its hours of the week can be found.
_MANY = 20


def accuracy(scored: Score) -> pd.DataFrame:
    """Compute every share of the validation, with its bounds.

    Returns:
        One row per ``measure`` and ``stratum``: ``success_count, trial_count, share, lower_share,
        upper_share`` (Wilson, 95 %).
    """
    parts = [
        *_pair_shares(scored.pairs),
        *_site_shares(scored.sites),
        *_share_bounds(scored.pairs),
        *_edge_shares(scored.edges),
        *_hour_shares(scored.hours),
        share_by(
            "set aside for the right reason",
            _check_reasons(scored.sites),
            "is_right",
            "situation",
        ),
        *_claim_shares(scored.claims),
    ]
    return pd.concat(parts, ignore_index=True)


def _pair_shares(pairs: pd.DataFrame) -> list[pd.DataFrame]:
    blocked, listed = pairs[pairs["is_blocked"]], pairs[pairs["is_listed"]]
    unblocked = pairs[~pairs["is_blocked"]].assign(is_spared=lambda rows: ~rows["is_listed"])
    tested = blocked[blocked["true_session_count"] >= 6]
    by_count = listed.assign(stratum=stratum_of(listed["blocked_session_count"].fillna(0)))
    return [
        share_by("recall of pairs", blocked, "is_listed", "stratum"),
        share_by("recall of pairs, 6 or more sessions", tested, "is_listed"),
        share_by("recall by mechanism, 6 or more sessions", tested, "is_listed", "true_mechanism"),
        share_by("precision of pairs", by_count, "is_blocked", "stratum"),
        share_by("unblocked pairs not listed", unblocked, "is_spared"),
        share_by("precision by mechanism", listed, "is_blocked", "mechanism"),
    ]


def _site_shares(sites: pd.DataFrame) -> list[pd.DataFrame]:
    return [
        share_by("recall of sites", sites[sites["is_blocked"]], "is_listed", "stratum"),
        share_by("precision of sites", sites[sites["is_listed"]], "is_blocked"),
    ]


def _share_bounds(pairs: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the shares of listed blocked pairs with the right mechanism and bounds."""
    right = pairs[pairs["is_blocked"] & pairs["is_listed"]].assign(
        is_same=lambda rows: rows["mechanism"] == rows["true_mechanism"],
        is_covered=_bounds_hold,
    )
    honest, partial = right[~right["is_forged_open"]], right[right["true_share"] < 1]
    return [
        share_by("mechanism exact, by mechanism", right, "is_same", "true_mechanism"),
        share_by("bounds of the share hold it", honest, "is_covered", "stratum"),
        share_by("bounds hold a share below 1", partial, "is_covered", "stratum"),
    ]


def _edge_shares(edges: pd.DataFrame) -> list[pd.DataFrame]:
    located = edges[edges["is_found"]]
    tested = located[located["blocked_session_count"] >= 6]
    inside = located[located["is_inside"]]
    return [
        share_by("edge found", edges, "is_found", "edge"),
        share_by("edge inside bracket", located, "is_inside", "edge"),
        share_by("edge inside bracket, 6 or more sessions", tested, "is_inside", "edge"),
        share_by("bracket as narrow as tests allow", inside, "is_narrow", "edge"),
    ]


def _hour_shares(hours: pd.DataFrame) -> list[pd.DataFrame]:
    has_tests = hours["sound_session_count"] >= _MANY
    tested = hours[(hours["true_schedule"] != "") & has_tests]
    return [
        share_by("hours found within an hour", tested, "is_near"),
        share_by("claimed hours are true", hours[hours["schedule"] != ""], "is_near"),
    ]


def _claim_shares(claims: pd.DataFrame) -> list[pd.DataFrame]:
    is_forged = claims["is_forged_open"]
    return [
        share_by("claimed edge is true", claims[~is_forged], "is_true", "edge"),
        share_by("claimed edge is true despite forged openness", claims[is_forged], "is_true"),
    ]


def _check_reasons(sites: pd.DataFrame) -> pd.DataFrame:
    """Return the sites set aside whose situation has a right reason, with ``is_right``."""
    rows = sites[~sites["is_blocked"] & (sites["set_aside_reason"] != "")]
    rows = rows[rows["situation"].isin(list(REASONS))]
    pairs = zip(rows["situation"], rows["set_aside_reason"], strict=True)
    return rows.assign(is_right=[reason in REASONS[situation] for situation, reason in pairs])


def _bounds_hold(pairs: pd.DataFrame) -> pd.Series:
    """Test for each pair whether the bounds of the blocked share contain the true one."""
    low, true, high = (
        pairs[name] for name in ("blocked_share_low", "true_share", "blocked_share_high")
    )
    return (low <= true + 1e-9) & (high >= true - 1e-9)


def share_by(
    measure: str, frame: pd.DataFrame, success: str, stratum: str | None = None
) -> pd.DataFrame:
    """Return the share of rows in which ``success`` is true: of all, and by stratum if given.

    Returns:
        The columns of :func:`accuracy`. Without trials the bounds are 0 and 1.
    """
    values = frame[success].astype("bool")
    groups = {"all": values}
    if stratum is not None:
        by_stratum = dict(list(values.groupby(frame[stratum].astype("str"), sort=True)))
        coverage = {name: rank for rank, name in enumerate(STRATA.values())}
        names = sorted(by_stratum, key=lambda name: (coverage.get(name, 0), name))
        groups |= {name: by_stratum[name] for name in names}
    hits = pd.Series([int(group.sum()) for group in groups.values()])
    total = pd.Series([len(group) for group in groups.values()])
    low, high = wilson_bounds(hits, total)
    return pd.DataFrame(
        {
            "measure": measure,
            "stratum": list(groups),
            "success_count": hits,
            "trial_count": total,
            "share": hits / total.where(total > 0),
            "lower_share": low.fillna(0.0),
            "upper_share": high.fillna(1.0),
        }
    )


def tally(scored: Score) -> dict[str, int]:
    """Return the counts by which thresholds are compared, on pairs with 6 or more sessions.

    ``false_pair_count`` is of all listed pairs. A site that is listed wrongly counts as
    ``FALSE_SITE_WEIGHT`` errors, because it discredits the list; its pairs are not counted, because
    they are wrong together.
    """
    pairs, sites, edges = scored.pairs, scored.sites, scored.edges
    tested = pairs[pairs["is_blocked"] & (pairs["true_session_count"] >= 6)]
    tested_sites = sites[sites["is_blocked"] & (sites["true_session_count"] >= 6)]
    false_pairs = pairs[pairs["is_listed"] & ~pairs["is_blocked"]]
    false_sites = sites[sites["is_listed"] & ~sites["is_blocked"]]
    right = pairs[pairs["is_blocked"] & pairs["is_listed"]]
    located = edges[edges["is_found"]]
    counts = {
        "listed_pair_count": pairs["is_listed"].sum(),
        "false_pair_count": len(false_pairs),
        "blocked_pair_count": len(tested),
        "missed_pair_count": (~tested["is_listed"]).sum(),
        "false_site_count": len(false_sites),
        "missed_site_count": (~tested_sites["is_listed"]).sum(),
        "wrong_mechanism_count": (right["mechanism"] != right["true_mechanism"]).sum(),
        "edge_count": len(edges),
        "edge_not_found_count": len(edges) - len(located),
        "edge_outside_count": (~located["is_inside"]).sum(),
        "false_edge_count": (~scored.claims["is_true"]).sum(),
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
    """Return the shares of unblocked pairs and sites that are listed, by situation.

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
    """Return the errors of onsets and endings, and the widths of their brackets, in days.

    Returns:
        One row per ``edge`` and ``stratum`` of sessions during the block.
    """
    located = scored.edges[scored.edges["error_days"].notna()]
    located = located.assign(size=located["error_days"].abs())
    return (
        located.groupby(["edge", "stratum"], sort=True)
        .agg(
            edge_count=("size", "size"),
            error_median=("size", "median"),
            error_p90=("size", lambda days: days.quantile(0.9)),
            error_max=("size", "max"),
            width_median=("width_days", "median"),
            narrowest_median=("narrowest_days", "median"),
        )
        .reset_index()
    )


#: Situations of sites that refuse or lose the whole country, which is neither accident nor block.
_REFUSING = ("geo_refused", "geo_refused_http", "geo_refused_tcp", "geo_refused_tls", "unreachable")
#: Logarithms of 1 / chance.
_LEVELS = (1, 2, 3)


def hold_chances(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the share of unblocked pairs with at most each chance, the ``stratum``.

    Sites that refuse the country are left out, because a chance is about accidents.
    """
    unblocked = pairs[~pairs["is_blocked"] & ~pairs["situation"].isin(_REFUSING)]
    frames = []
    for level in _LEVELS:
        rows = unblocked.assign(is_low=unblocked["evidence"] >= level)
        share = share_by("pairs that nobody blocks", rows, "is_low")
        frames.append(share.assign(stratum=f"{10.0**-level:g}"))
    return pd.concat(frames, ignore_index=True)


def unlisted_states(scored: Score) -> pd.DataFrame:
    """Count the states of unlisted pairs: ``situation, is_blocked, state, pair_count``."""
    unlisted = scored.pairs[~scored.pairs["is_listed"]]
    unlisted = unlisted.assign(state=unlisted["state"].fillna(""))
    by_state = unlisted.groupby(["situation", "is_blocked", "state"], sort=True)
    return by_state.size().reset_index(name="pair_count")


def moved_by_forgery(clean: pd.DataFrame, forged: Score) -> pd.DataFrame:
    """Compare states with and without forged reports, and check ``sessions_to_flip``.

    Args:
        clean: the pairs of the same world without the forged reports.
        forged: the world with them.

    Returns:
        One row per pair that has forged reports or another state: ``claim, state, state_forged,
        sessions_to_flip, forged_session_count``, ``is_moved``, and ``is_broken``: fewer forged
        sessions than ``sessions_to_flip`` moved it. Forged reports also affect other pairs; for
        these, all forged reports of the archive count.
    """
    counts = forged.forged.groupby(PAIR_KEY, sort=True).agg(
        claim=("claim", lambda claims: ";".join(sorted(set(claims)))),
        forged_session_count=("forged_session_count", "sum"),
    )
    rows = clean[[*PAIR_KEY, "is_blocked", "state", "is_listed", "sessions_to_flip"]].merge(
        forged.pairs[[*PAIR_KEY, "state", "is_listed"]], on=PAIR_KEY, suffixes=("", "_forged")
    )
    rows = rows.merge(counts.reset_index(), on=PAIR_KEY, how="left").dropna(subset=["state"])
    has_forgeries = rows["forged_session_count"].notna()
    all_reports = forged.forged["forged_report_count"].max() if len(forged.forged) else 0
    rows["forged_session_count"] = rows["forged_session_count"].fillna(all_reports).astype("int64")
    rows["claim"] = rows["claim"].fillna("")
    rows["is_moved"] = rows["state"] != rows["state_forged"]
    few = rows["forged_session_count"] < rows["sessions_to_flip"].fillna(0).astype("int64")
    rows["is_broken"] = rows["is_moved"] & few
    return rows[has_forgeries | rows["is_moved"]].reset_index(drop=True)
