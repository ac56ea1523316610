"""How far the verdicts can be trusted: held against worlds whose truth is known.

Nothing here knows how worlds are made or verdicts reached: it reads the published tables and the
truth only. The truth of a world is a folder of CSVs that was written before anybody judged its
archive:

* ``blocks.csv``: ``domain, probe_asn, mechanism, since, until, since_time, until_time, schedule,
  share, sound_session_count``. ``since`` is the first day and ``until`` the day after the last, the
  times are the exact moments; any is empty where the block reaches past the period. ``schedule``
  is the hours of the week at which alone it holds, as in ``verdicts.csv``, ``share`` that of the
  sessions that it meets. Sound sessions are those in which nothing but, perhaps, a block got in
  the way; the count is of those that tested the name while the block held.
* ``tests.csv``: ``domain, probe_asn, day, hour, session_count, sound_session_count``.
* ``names.csv``: ``domain, situation, authority``.
* ``networks.csv``: ``probe_asn, kind, role``.
* ``forgeries.csv``: ``report_id, day, probe_asn, domain, claim``, one row a name in a forged
  report; ``claim`` is ``blocked``, ``open`` or ``control``.

The last part sums up shares, with bounds, over compared pairs, sites and edges, and holds the
chances that are told against how often pairs that nobody blocks have them.
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
    """Texts, but for days, moments, the numbers that are counted with, and those of networks."""
    table = pd.read_csv(path, dtype="str", na_filter=False)
    if "probe_asn" in table:
        table["probe_asn"] = table["probe_asn"].map(read_network).astype("int64")
    dated = {
        name: pd.to_datetime(table[name].replace("", None)) for name in _DATED if name in table
    }
    numbers = {name: kind for name, kind in _NUMBERS.items() if name in table}
    return table.assign(**dated).astype(numbers)


def read_truth(folder: str | Path) -> Truth:
    """The tables of the folder."""
    return {name: read_truth_table(Path(folder) / f"{name}.csv") for name in _TRUTH}


def are_among(rows: pd.DataFrame, others: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Whether the other frame has a row with the same keys."""
    known = pd.MultiIndex.from_frame(others[keys])
    return pd.Series(pd.MultiIndex.from_frame(rows[keys]).isin(known), rows.index)


def _are_forged_open(pairs: pd.DataFrame, truth: Truth) -> pd.Series:
    """Whether forged reports claim that a pair is open."""
    forgeries = truth["forgeries"]
    return are_among(pairs, forgeries[forgeries["claim"] == "open"], PAIR_KEY)


@dataclass(frozen=True)
class Score:
    """Verdicts beside the truth, row by row.

    Attributes:
        pairs: one row per site and network that was judged or truly blocked, by name;
            ``evidence`` is a logarithm, 0 where nothing surprised.
        sites: one row per site.
        edges: one row per true onset or ending of a block with a sound test in it.
        claims: one row per onset or ending that ``blocking_intervals`` brackets on both sides.
        forged: one row per site and network that forged reports speak of.
        hours: one row per site and network that is blocked, or said to be, at hours of the week.
    """

    pairs: pd.DataFrame
    sites: pd.DataFrame
    edges: pd.DataFrame
    claims: pd.DataFrame
    forged: pd.DataFrame
    hours: pd.DataFrame


def score(tables: str | Path, truth: str | Path) -> Score:
    """Hold a report's tables against a world's truth.

    Args:
        tables: ``verdicts``, ``chances``, ``blocking_intervals``, ``blocked_sites`` and
            ``set_aside``.
        truth: the world's truth, see above.
    """
    known = read_truth(truth)
    verdicts = read_table(tables, "verdicts")
    pairs = _compare_pairs(verdicts[verdicts["period"] == "all"], known)
    chances = read_table(tables, "chances")[[*PAIR_KEY, "evidence"]]
    pairs = pairs.merge(chances, on=PAIR_KEY, how="left")
    pairs["evidence"] = pairs["evidence"].fillna(0.0)
    intervals = read_table(tables, "blocking_intervals")
    listed, aside = read_table(tables, "blocked_sites"), read_table(tables, "set_aside")
    claims = _check_claims(intervals, known["blocks"])
    return Score(
        pairs=pairs,
        sites=_compare_sites(pairs, listed, aside, known),
        edges=compare_edges(intervals, known["blocks"], known["tests"]),
        claims=claims.assign(is_forged_open=_are_forged_open(claims, known)),
        forged=_check_forged(pairs, known["forgeries"]),
        hours=compare_hours(intervals, known["blocks"]),
    )


def pool(scores: Mapping[str, Score]) -> Score:
    """The rows of several worlds together, with the world's label in ``world``."""
    return Score(
        **{
            one.name: pd.concat(
                [getattr(score, one.name).assign(world=label) for label, score in scores.items()],
                ignore_index=True,
            )
            for one in fields(Score)
        }
    )


def _compare_pairs(verdicts: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """One row per pair: what was said, what is true, and in which situation."""
    said = verdicts[
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
    pairs = said.merge(true.reset_index(), on=PAIR_KEY, how="outer")
    pairs["is_blocked"] = pairs["true_mechanism"].notna()
    pairs["is_listed"] = pairs["state"].isin(LISTED)
    pairs["true_session_count"] = pairs["true_session_count"].fillna(0).astype("int64")
    pairs["stratum"] = stratum_of(pairs["true_session_count"])
    pairs = pairs.merge(truth["names"][["domain", "situation", "authority"]], how="left")
    pairs = pairs.merge(truth["networks"][["probe_asn", "kind", "role"]], how="left")
    told = ["situation", "authority", "kind", "role"]
    pairs[told] = pairs[told].fillna("")
    pairs["is_forged_open"] = _are_forged_open(pairs, truth)
    return pairs.sort_values(PAIR_KEY, ignore_index=True)


def stratum_of(counts: pd.Series) -> pd.Series:
    """The stratum of coverage of each number of sessions."""
    edges = [*STRATA, np.inf]
    return pd.cut(counts, edges, right=False, labels=list(STRATA.values())).astype("str")


def _compare_sites(
    pairs: pd.DataFrame, annex: pd.DataFrame, aside: pd.DataFrame, truth: Truth
) -> pd.DataFrame:
    """One row per site: whether a domestic network blocks it, and whether the annex says so."""
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
    """A row a pair of forged reports: their sessions and days, and the reports of the archive."""
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
    """The onset and the ending of each interval, as it brackets them.

    Returns:
        ``domain, probe_asn, edge``; ``day``, the first of blocking or the one after the last, null
        where it goes on; ``after`` and ``by``, the moments between which it lies; ``width_days``
        from the last one seen open to the first one blocked, or the other way round, null where
        none was seen open; ``first`` and ``last``, the days of the interval.
    """
    pairs = intervals[PAIR_KEY].assign(
        first=intervals["blocked_from"], last=intervals["blocked_until"].fillna(_NEVER)
    )
    onsets = pairs.assign(
        edge="onset",
        day=intervals["blocked_from"],
        after=intervals["last_seen_open_time"].fillna(EVER),
        by=intervals["blocked_from_time"],
        width_days=(intervals["blocked_from"] - intervals["last_seen_open"]).dt.days,
    )
    endings = pairs.assign(
        edge="ending",
        day=intervals["blocked_until"] + pd.Timedelta(days=1),
        after=intervals["blocked_until_time"],
        by=intervals["first_seen_open_again_time"].fillna(_NEVER),
        width_days=(intervals["first_seen_open_again"] - intervals["blocked_until"]).dt.days,
    )
    return pd.concat([onsets, endings], ignore_index=True)


def _list_edges(blocks: pd.DataFrame) -> pd.DataFrame:
    """The true onset and ending of each block, as days and ``moment``; missing ones lie outside
    the period. ``opened`` and ``closed`` are the end of the block before and the start of the next.
    """
    blocks = blocks.fillna({"since": EVER, "until": _NEVER})
    blocks = blocks.sort_values([*PAIR_KEY, "since"], ignore_index=True)
    around = blocks.groupby(PAIR_KEY)
    blocks = blocks.assign(
        block=blocks.index,
        opened=around["until"].shift().fillna(EVER),
        closed=around["since"].shift(-1).fillna(_NEVER),
    )
    onsets = blocks.assign(edge="onset", moment=blocks["since_time"], true_day=blocks["since"])
    endings = blocks.assign(edge="ending", moment=blocks["until_time"], true_day=blocks["until"])
    return pd.concat([onsets, endings], ignore_index=True)


def _hold(claims: pd.DataFrame) -> pd.Series:
    """Whether the true moment lies in the bracket."""
    return (claims["after"] < claims["moment"]) & (claims["moment"] <= claims["by"])


def compare_edges(
    intervals: pd.DataFrame, blocks: pd.DataFrame, tests: pd.DataFrame
) -> pd.DataFrame:
    """One row per true onset and ending that a sound test on each side could have bracketed.

    ``error_days`` is how much later than the truth the interval puts it, that of the nearest of
    those that meet the block. ``is_inside`` where the truth lies in the bracket; ``width_days`` and
    ``narrowest_days`` are the bracket's width and that of the narrowest one that sound tests allow,
    empty where a side is open.
    """
    edges = _list_edges(blocks)
    sound = tests[tests["sound_session_count"] > 0]
    met = edges.drop(columns="sound_session_count").merge(sound, on=PAIR_KEY)
    is_before = (met["opened"] <= met["day"]) & (met["day"] < met["since"])
    is_after = (met["until"] <= met["day"]) & (met["day"] < met["closed"])
    is_held = (met["since"] <= met["day"]) & (met["day"] < met["until"])
    is_free = is_before.where(met["edge"] == "onset", is_after)
    key = ["block", "edge"]
    held, free = (met[one].groupby(key)["day"].agg(["min", "max"]) for one in (is_held, is_free))
    gaps = pd.concat([held["min"] - free["max"], free["min"] - held["max"]], axis=1)
    narrowest = gaps.max(axis=1).dropna().dt.days
    held_counts = met[is_held].groupby(key)["sound_session_count"].sum()
    edges = edges.join(narrowest.rename("narrowest_days"), on=key, how="inner")
    edges = edges.reset_index(drop=True)  # a join that finds nothing leaves an index of the keys
    edges = edges.join(held_counts.rename("blocked_session_count"), on=key)
    found = edges.merge(_list_claims(intervals), on=[*PAIR_KEY, "edge"])
    found = found[(found["first"] < found["until"]) & (found["last"] >= found["since"])]
    found = found.assign(
        error_days=(found["day"] - found["true_day"]).dt.days,
        is_inside=_hold(found) & found["day"].notna(),  # nothing is said where it goes on
    )
    nearest = found.sort_values("error_days", key=abs, kind="stable").drop_duplicates(key)
    edges = edges.merge(nearest[[*key, "is_inside", "error_days", "width_days"]], "left", on=key)
    edges["width_days"] = edges["width_days"].where(edges["error_days"].notna())
    edges["is_found"] = edges["is_inside"].notna()
    edges["is_inside"] = edges["is_inside"].eq(True)
    edges["is_narrow"] = edges["width_days"] <= edges["narrowest_days"]
    return edges.assign(stratum=stratum_of(edges["blocked_session_count"]))


def _check_claims(intervals: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """One row per bracketed onset or ending; ``is_true`` where a true one lies in the bracket."""
    claims = _list_claims(intervals).dropna(subset=["day", "width_days"]).reset_index(drop=True)
    true = _list_edges(blocks)[[*PAIR_KEY, "edge", "moment"]]
    both = claims.reset_index(names="claim").merge(true, on=[*PAIR_KEY, "edge"])
    return claims.assign(is_true=claims.index.isin(both.loc[_hold(both), "claim"]))


def compare_hours(intervals: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """Hours that were found or claimed, beside the true ones.

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
    both = zip(rows["schedule"], rows["true_schedule"], strict=True)
    rows["is_near"] = [_are_near(said, known) for said, known in both]
    return rows


def _are_near(said: str, known: str) -> bool:
    """Of hours such as ``Mon-Fri 04:00-08:00, 10:00-14:00``."""
    edges = [[int(hour) for hour in re.findall(r"(\d\d):00", text)] for text in (said, known)]
    is_alike = said.partition(" ")[0] == known.partition(" ")[0] and len(edges[0]) == len(edges[1])
    return is_alike and all(abs(a - b) <= 1 for a, b in zip(*edges, strict=True))


#: Why a site in each situation is rightly set aside, where there is a cause to name. What a
#: household filters has none: most of its failures are accidents.
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
        is_covered=_bounds_hold,
    )
    by_seen = listed.assign(stratum=stratum_of(listed["blocked_session_count"].fillna(0)))
    is_well = blocked["true_session_count"] >= 6
    edges, well = scored.edges, scored.edges["blocked_session_count"] >= 6
    inside = edges[edges["is_found"] & edges["is_inside"]]
    hours = scored.hours
    well_met = hours[(hours["true_schedule"] != "") & (hours["sound_session_count"] >= _MANY)]
    reasons = _check_reasons(sites)
    claims, is_forged = scored.claims, scored.claims["is_forged_open"]
    parts = [
        share_by("recall of pairs", blocked, "is_listed", "stratum"),
        share_by("recall of pairs, 6 or more sessions", blocked[is_well], "is_listed"),
        share_by(
            "recall by mechanism, 6 or more sessions",
            blocked[is_well],
            "is_listed",
            "true_mechanism",
        ),
        share_by("precision of pairs", by_seen, "is_blocked", "stratum"),
        share_by("unblocked pairs not listed", pairs[~pairs["is_blocked"]], "is_spared"),
        share_by("precision by mechanism", listed, "is_blocked", "mechanism"),
        share_by("recall of sites", sites[sites["is_blocked"]], "is_listed", "stratum"),
        share_by("precision of sites", sites[sites["is_listed"]], "is_blocked"),
        share_by("mechanism exact, by mechanism", right, "is_same", "true_mechanism"),
        share_by(
            "bounds of the share hold it", right[~right["is_forged_open"]], "is_covered", "stratum"
        ),
        share_by(
            "bounds hold a share below 1", right[right["true_share"] < 1], "is_covered", "stratum"
        ),
        share_by("edge found", edges, "is_found", "edge"),
        share_by("edge inside bracket", edges[edges["is_found"]], "is_inside", "edge"),
        share_by(
            "edge inside bracket, 6 or more sessions",
            edges[edges["is_found"] & well],
            "is_inside",
            "edge",
        ),
        share_by("bracket as narrow as tests allow", inside, "is_narrow", "edge"),
        share_by("hours found within an hour", well_met, "is_near"),
        share_by("claimed hours are true", hours[hours["schedule"] != ""], "is_near"),
        share_by("set aside for the right reason", reasons, "is_right", "situation"),
        share_by("claimed edge is true", claims[~is_forged], "is_true", "edge"),
        share_by("claimed edge is true despite forged openness", claims[is_forged], "is_true"),
    ]
    return pd.concat(parts, ignore_index=True)


def _check_reasons(sites: pd.DataFrame) -> pd.DataFrame:
    """The sites set aside whose situation says why they should be."""
    known = sites[~sites["is_blocked"] & (sites["set_aside_reason"] != "")]
    known = known[known["situation"].isin(list(REASONS))]
    pairs = zip(known["situation"], known["set_aside_reason"], strict=True)
    return known.assign(is_right=[reason in REASONS[situation] for situation, reason in pairs])


def _bounds_hold(pairs: pd.DataFrame) -> pd.Series:
    """Whether the bounds of the blocked share hold the true one."""
    low, true, high = (
        pairs[name] for name in ("blocked_share_low", "true_share", "blocked_share_high")
    )
    return (low <= true + 1e-9) & (high >= true - 1e-9)


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
    """The counts by which thresholds are compared, over pairs with 6 or more blocked sessions.

    ``false_pair_count`` is of all listed pairs. ``error_count`` weighs a site wrongly listed by
    ``FALSE_SITE_WEIGHT``, since it discredits the list; pairs of one site go wrong together.
    """
    pairs, sites, edges = scored.pairs, scored.sites, scored.edges
    well = pairs[pairs["is_blocked"] & (pairs["true_session_count"] >= 6)]
    right = pairs[pairs["is_blocked"] & pairs["is_listed"]]
    located = edges[edges["is_found"]]
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


#: Sites that turn the whole country away, or to which it lost its way: no accident, and no block.
_REFUSING = ("geo_refused", "geo_refused_http", "geo_refused_tcp", "geo_refused_tls", "unreachable")
#: Logarithms of 1 / chance.
_LEVELS = (1, 2, 3)


def hold_chances(pairs: pd.DataFrame) -> pd.DataFrame:
    """How many pairs that nobody blocks had each chance, or a smaller one, and may have had it.

    Sites that refuse the country are left out: chance is about accidents.
    """
    asked = pairs[~pairs["is_blocked"] & ~pairs["situation"].isin(_REFUSING)]
    frames = [
        share_by(
            "pairs that nobody blocks", asked.assign(is_low=asked["evidence"] >= level), "is_low"
        ).assign(stratum=f"{10.0**-level:g}")
        for level in _LEVELS
    ]
    return pd.concat(frames, ignore_index=True)


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
