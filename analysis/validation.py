"""How far the verdicts can be trusted: held against worlds whose truth is known.

A world's truth is a folder of CSVs that was written with its archive, before anybody judged it:

* ``blocks.csv``: ``domain, probe_asn, mechanism, since, until`` and, where known, ``share`` (of
  the sessions that the block met; 1 where there is no such column). ``since`` is the first day
  and ``until`` the day after the last; either is empty where the block reaches past the period.
* ``tests.csv``: ``domain, probe_asn, day, session_count, sound_session_count``; sound sessions
  are those in which nothing but, perhaps, a block got in the way.
* ``names.csv``: ``domain, situation`` and, where known, ``authority``.
* ``networks.csv``: ``probe_asn, kind, role``.
* ``forgeries.csv`` (may be missing): ``report_id, day, probe_asn, domain, claim``, one row a name
  in a forged report; ``claim`` is ``blocked``, ``open`` or ``control``.

Nothing here knows how worlds are made or verdicts reached: it reads the published tables only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import ParameterError
from analysis.networks import DOMESTIC
from analysis.reference import REPOSITORY
from analysis.tables import read_table
from analysis.words import LISTED

#: Where the last validation lies.
RESULTS = REPOSITORY / "data" / "reference" / "validation"
#: Strata of coverage: the fewest sound sessions while a block held.
STRATA: Mapping[int, str] = {0: "0–3", 4: "4–5", 6: "6–11", 12: "12+"}
_Z = 1.959963984540054  # of a two-sided 95 % interval
_KEY = ["domain", "probe_asn"]


@dataclass(frozen=True)
class Score:
    """Verdicts beside the truth, row by row.

    Attributes:
        pairs: one row per site and network that was judged or truly blocked, by name.
        sites: one row per site.
        edges: one row per true onset or ending of a block with a sound test in it.
        claims: one row per onset or ending that ``blocking_intervals`` brackets on both sides.
        forged: one row per site and network that forged reports speak of.
    """

    pairs: pd.DataFrame
    sites: pd.DataFrame
    edges: pd.DataFrame
    claims: pd.DataFrame
    forged: pd.DataFrame


def score(tables: str | Path, truth: str | Path, bootstrap: pd.DataFrame | None = None) -> Score:
    """Hold a report's tables against a world's truth.

    Args:
        tables: ``verdicts``, ``blocking_intervals``, ``blocked_sites`` and ``set_aside``.
        truth: the world's truth, see above.
        bootstrap: ``states.bootstrap_bounds`` of the listed pairs.
    """
    found = _Truth.read(truth)
    verdicts = read_table(tables, "verdicts")
    pairs = _compare_pairs(verdicts[verdicts["period"] == "all"], found)
    if bootstrap is None:
        pairs = pairs.assign(bootstrap_low=np.nan, bootstrap_high=np.nan)
    else:
        pairs = pairs.merge(bootstrap, on=_KEY, how="left")
    intervals = read_table(tables, "blocking_intervals")
    return Score(
        pairs=pairs,
        sites=_compare_sites(
            pairs, read_table(tables, "blocked_sites"), read_table(tables, "set_aside"), found
        ),
        edges=_compare_edges(intervals, found),
        claims=_check_claims(intervals, found),
        forged=_check_forged(pairs, found),
    )


#: Columns of the results in which an empty cell is no number.
_NUMBERS = {name: [""] for name in ("share", "new_share", "width_median", "narrowest_median")}


def read_results(name: str, folder: str | Path = "") -> pd.DataFrame:
    """A table of the last ``validate``: the one that ships, or that of another folder.

    Raises:
        ParameterError: it is not there.
    """
    path = Path(folder or RESULTS) / f"{name}.csv"
    if not path.is_file():
        raise ParameterError("results", path.parent, f"{name}.csv is not in it; run make validate")
    kinds = {"value": "str"} if name == "settings" else None
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=_NUMBERS)


#: What a reader of the results is told of their columns.
HEADINGS = {
    "measure": "Measure",
    "stratum": "Which",
    "success_count": "Of them",
    "trial_count": "All",
    "share": "Share",
    "lower_share": "Lower bound",
    "upper_share": "Upper bound",
    "pair_count": "Pairs",
    "moved_count": "State moved",
    "newly_listed_count": "Newly listed",
    "broken_count": "Promises broken",
    "is_blocked": "Truly blocked",
    "coverage": "Coverage",
}


#: Measures of ``accuracy`` that are shown together.
WAYS = (
    "recall by mechanism, 6 or more sessions",
    "precision by mechanism",
    "mechanism exact, by mechanism",
)
DATES = (
    "edge found",
    "edge inside bracket",
    "edge inside bracket, 6 or more sessions",
    "bracket as narrow as tests allow",
    "claimed edge is true",
    "claimed edge is true despite forged openness",
)


@dataclass(frozen=True)
class Results:
    """The tables of one ``validate``, in the words of the validation page."""

    folder: str | Path = ""

    def read(self, name: str, part: str = "") -> pd.DataFrame:
        """A table, or the rows of it for one part: ``fit``, ``report`` or ``limit``."""
        frame = read_results(name, self.folder)
        return frame[frame["part"] == part].drop(columns="part") if part else frame

    def shares(self, *measures: str, part: str = "report") -> pd.DataFrame:
        """The rows of these measures, in their order."""
        frame = self.read("accuracy", part)
        return pd.concat([frame[frame["measure"] == name] for name in measures], ignore_index=True)

    def say(self, measure: str, stratum: str = "all", part: str = "report") -> str:
        """A share with its bounds, for a sentence."""
        frame = self.shares(measure, part=part)
        row = frame[frame["stratum"] == stratum].iloc[0]
        share, low, high = (f"{100 * row[n]:.1f}" for n in ("share", "lower_share", "upper_share"))
        return f"{share} % ({low} to {high})"

    @property
    def rules_version(self) -> str:
        """The version of the rules that were judged by."""
        return self._settings()["rules_version"]

    @property
    def thresholds(self) -> dict[str, str]:
        """The thresholds that were judged by."""
        return {name: v for name, v in self._settings().items() if name != "rules_version"}

    def _settings(self) -> dict[str, str]:
        frame = self.read("settings")
        return dict(zip(frame["name"], frame["value"], strict=True))


def pool(scores: Mapping[str, Score]) -> Score:
    """The rows of several worlds together, with the world's label in ``world``."""
    return Score(
        **{
            field.name: pd.concat(
                [getattr(one, field.name).assign(world=label) for label, one in scores.items()],
                ignore_index=True,
            )
            for field in fields(Score)
        }
    )


@dataclass(frozen=True)
class _Truth:
    blocks: pd.DataFrame
    tests: pd.DataFrame
    names: pd.DataFrame
    networks: pd.DataFrame
    forgeries: pd.DataFrame

    @classmethod
    def read(cls, folder: str | Path) -> "_Truth":
        folder = Path(folder)
        blocks = _read(folder / "blocks.csv")
        blocks["share"] = pd.to_numeric(blocks["share"]) if "share" in blocks else 1.0
        tests = _read(folder / "tests.csv")
        for column in ("session_count", "sound_session_count"):
            tests[column] = tests[column].astype("int64")
        names = _read(folder / "names.csv")
        if "authority" not in names:
            names["authority"] = ""
        path = folder / "forgeries.csv"
        columns = ["report_id", "day", "probe_asn", "domain", "claim"]
        forgeries = _read(path) if path.is_file() else pd.DataFrame(columns=columns, dtype="str")
        return cls(_count_sessions(blocks, tests), tests, names, _read(folder / "networks.csv"),
                   forgeries)  # fmt: skip


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype="str", keep_default_na=False, na_filter=False)


def _count_sessions(blocks: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """``sound_session_count`` of each block: sound sessions that tested the name while it held."""
    rows = blocks.drop(columns="sound_session_count", errors="ignore").reset_index(names="block")
    met = rows[["block", *_KEY, "since", "until"]].merge(tests, on=_KEY)
    # ISO days sort as text, and an empty end lies past all of them.
    met = met[(met["day"] >= met["since"]) & (met["day"] < met["until"].replace("", "9999"))]
    counts = met.groupby("block")["sound_session_count"].sum()
    rows["sound_session_count"] = rows["block"].map(counts).fillna(0).astype("int64")
    return rows


def _compare_pairs(verdicts: pd.DataFrame, truth: _Truth) -> pd.DataFrame:
    """One row per pair: what was said, what is true, and in which situation."""
    said = verdicts[
        [*_KEY, "state", "mechanism", "rule_id", "session_count", "blocked_session_count",
         "ok_session_count", "blocked_share_low", "blocked_share_high", "sessions_to_flip",
         "set_aside_reason"]
    ]  # fmt: skip
    ordered = truth.blocks.sort_values("sound_session_count", ascending=False, kind="stable")
    true = ordered.groupby(_KEY, sort=True).agg(
        true_mechanism=("mechanism", "first"),
        true_share=("share", "first"),
        true_session_count=("sound_session_count", "sum"),
    )
    pairs = said.merge(true.reset_index(), on=_KEY, how="outer")
    pairs["is_blocked"] = pairs["true_mechanism"].notna()
    pairs["is_listed"] = pairs["state"].isin(LISTED)
    pairs["true_session_count"] = pairs["true_session_count"].fillna(0).astype("int64")
    pairs["stratum"] = stratum_of(pairs["true_session_count"])
    names = truth.names.set_index("domain")
    pairs["situation"] = pairs["domain"].map(names["situation"]).fillna("")
    pairs["authority"] = pairs["domain"].map(names["authority"]).fillna("")
    networks = truth.networks.set_index("probe_asn")
    for column in ("kind", "role"):
        pairs[column] = pairs["probe_asn"].map(networks[column]).fillna("")
    pairs = pairs.merge(_forged_openness(truth), on=_KEY, how="left")
    pairs["is_forged_open"] = pairs["is_forged_open"].notna()
    return pairs.sort_values(_KEY, ignore_index=True)


def stratum_of(counts: pd.Series) -> pd.Series:
    """The stratum of coverage of each number of sessions."""
    edges = [*STRATA, np.inf]
    return pd.cut(counts, edges, right=False, labels=list(STRATA.values())).astype("str")


def _compare_sites(
    pairs: pd.DataFrame, annex: pd.DataFrame, aside: pd.DataFrame, truth: _Truth
) -> pd.DataFrame:
    """One row per site: whether a domestic network blocks it, and whether the annex says so."""
    domestic = pairs[pairs["kind"].isin(DOMESTIC)]
    blocked = domestic[domestic["is_blocked"]].groupby("domain")["true_session_count"].max()
    sites = pd.DataFrame({"domain": sorted(set(pairs["domain"]) - {""})})
    sites["is_blocked"] = sites["domain"].isin(blocked.index)
    sites["is_listed"] = sites["domain"].isin(set(annex["domain"]))
    sites["true_session_count"] = sites["domain"].map(blocked).fillna(0).astype("int64")
    sites["stratum"] = stratum_of(sites["true_session_count"])
    sites["situation"] = sites["domain"].map(truth.names.set_index("domain")["situation"])
    reasons = dict(zip(aside["domain"], aside["reason"], strict=True))
    sites["set_aside_reason"] = sites["domain"].map(reasons).fillna("")
    return sites


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of blocking in days since the year 1; ``until`` is the day after the last.

    Of an interval, ``open_before`` is the last day seen open before it and ``open_after`` the
    first one after it; None where there is none.
    """

    since: int
    until: int
    mechanism: str = ""
    open_before: int | None = None
    open_after: int | None = None


_Pair = tuple[str, str]
_NEVER = date.max.toordinal()


def _day(text: str) -> int | None:
    return date.fromisoformat(text).toordinal() if text else None


def _group(frame: pd.DataFrame, rows: Iterable[_Span]) -> dict[_Pair, list[_Span]]:
    """Spans by pair, in the order of their first day."""
    groups: dict[_Pair, list[_Span]] = {}
    keys = zip(frame["domain"], frame["probe_asn"], strict=True)
    for key, span in zip(keys, rows, strict=True):
        groups.setdefault(key, []).append(span)
    return {key: sorted(spans, key=lambda span: span.since) for key, spans in groups.items()}


def _true_spans(truth: _Truth) -> dict[_Pair, list[_Span]]:
    blocks = truth.blocks
    return _group(
        blocks,
        (
            _Span(_day(since) or 1, _day(until) or _NEVER, mechanism)
            for since, until, mechanism in zip(
                blocks["since"], blocks["until"], blocks["mechanism"], strict=True
            )
        ),
    )


def _claimed_spans(intervals: pd.DataFrame) -> dict[_Pair, list[_Span]]:
    columns = ("blocked_from", "blocked_until", "last_seen_open", "first_seen_open_again")
    return _group(
        intervals,
        (
            _Span(_day(first) or 1, (_day(last) or _NEVER - 1) + 1, "", _day(before), _day(after))
            for first, last, before, after in zip(*(intervals[c] for c in columns), strict=True)
        ),
    )


def _compare_edges(intervals: pd.DataFrame, truth: _Truth) -> pd.DataFrame:
    """One row per true onset and ending that a sound test on each side could have bracketed.

    ``error_days`` is how much later than the truth the interval puts it. ``is_inside`` where the
    truth lies in the bracket; ``width_days`` and ``narrowest_days`` are the bracket's width and
    that of the narrowest one that sound tests allow, empty where a side is open.
    """
    claimed = _claimed_spans(intervals)
    sound = truth.tests[truth.tests["sound_session_count"] > 0]
    tests: dict[_Pair, dict[int, int]] = {}
    for domain, asn, day, count in zip(
        *(sound[c] for c in (*_KEY, "day", "sound_session_count")), strict=True
    ):
        tests.setdefault((domain, asn), {})[_day(day) or 1] = count
    rows = [
        {"domain": key[0], "probe_asn": key[1], **edge, **_place(edge, block, claimed.get(key, []))}
        for key, blocks in _true_spans(truth).items()
        for place, block in enumerate(blocks)
        for edge in _edges_of(blocks, place, tests.get(key, {}))
    ]
    columns = [
        *_KEY, "edge", "mechanism", "true_day", "blocked_session_count", "open_session_count",
        "narrowest_days", "is_found", "is_inside", "error_days", "width_days",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    frame["stratum"] = stratum_of(frame["blocked_session_count"].astype("int64"))
    return frame


def _edges_of(
    blocks: list[_Span], place: int, tests: Mapping[int, int]
) -> Iterable[dict[str, object]]:
    """The onset and the ending of one block, where sound tests lie on both sides."""
    block = blocks[place]
    opened = blocks[place - 1].until if place else 1
    closed = blocks[place + 1].since if place + 1 < len(blocks) else _NEVER
    held = [day for day in tests if block.since <= day < block.until]
    before = [day for day in tests if opened <= day < block.since]
    after = [day for day in tests if block.until <= day < closed]
    shared = {
        "mechanism": block.mechanism,
        "blocked_session_count": sum(tests[day] for day in held),
    }
    if held and before:
        yield {**shared, "edge": "onset", "true_day": block.since,
               "open_session_count": sum(tests[day] for day in before),
               "narrowest_days": min(held) - max(before)}  # fmt: skip
    if held and after:
        yield {**shared, "edge": "ending", "true_day": block.until,
               "open_session_count": sum(tests[day] for day in after),
               "narrowest_days": min(after) - max(held)}  # fmt: skip


def _place(edge: Mapping[str, object], block: _Span, claimed: list[_Span]) -> dict[str, object]:
    """Where the interval that meets the block puts one of its edges."""
    met = [span for span in claimed if span.since < block.until and span.until > block.since]
    if not met:
        return {"is_found": False, "is_inside": False}
    if edge["edge"] == "onset":
        span = min(met, key=lambda span: abs(span.since - block.since))
        error, other = span.since - block.since, span.open_before
        is_inside = error >= 0 and (other is None or other < block.since)
        width = None if other is None else span.since - other
    else:
        span = min(met, key=lambda span: abs(span.until - block.until))
        if span.until == _NEVER:
            return {"is_found": True, "is_inside": False}
        error, other = span.until - block.until, span.open_after
        is_inside = error <= 0 and (other is None or other >= block.until)
        width = None if other is None else other - (span.until - 1)
    return {"is_found": True, "is_inside": is_inside, "error_days": error, "width_days": width}


def _check_claims(intervals: pd.DataFrame, truth: _Truth) -> pd.DataFrame:
    """One row per bracketed onset or ending; ``is_true`` where a true one lies in the bracket."""
    true = _true_spans(truth)
    rows = []
    for key, spans in _claimed_spans(intervals).items():
        blocks = true.get(key, [])
        head = {"domain": key[0], "probe_asn": key[1], "is_blocked": bool(blocks)}
        for span in spans:
            before, after = span.open_before, span.open_after
            if before is not None:
                is_true = any(before < block.since <= span.since for block in blocks)
                rows.append({**head, "edge": "onset", "is_true": is_true})
            if after is not None and span.until != _NEVER:
                is_true = any(span.until <= block.until <= after for block in blocks)
                rows.append({**head, "edge": "ending", "is_true": is_true})
    frame = pd.DataFrame(rows, columns=[*_KEY, "is_blocked", "edge", "is_true"])
    return frame.merge(_forged_openness(truth), on=_KEY, how="left")


def _forged_openness(truth: _Truth) -> pd.DataFrame:
    """The pairs of which forged reports claim openness, marked in ``is_forged_open``."""
    pairs = truth.forgeries.loc[truth.forgeries["claim"] == "open", _KEY].drop_duplicates()
    return pairs.assign(is_forged_open=True)


def _check_forged(pairs: pd.DataFrame, truth: _Truth) -> pd.DataFrame:
    """One row per pair that forged reports speak of, with how many sessions and days they are."""
    counts = truth.forgeries.groupby([*_KEY, "claim"], sort=True).agg(
        forged_session_count=("report_id", "nunique"), forged_day_count=("day", "nunique")
    )
    columns = [*_KEY, "state", "is_blocked", "is_listed", "situation", "true_session_count",
               "session_count"]  # fmt: skip
    return counts.reset_index().merge(pairs[columns], on=_KEY, how="left")


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
        is_covered=lambda f: (
            (f["blocked_share_low"] <= f["true_share"] + 1e-9)
            & (f["blocked_share_high"] >= f["true_share"] - 1e-9)
        ),
        is_covered_by_bootstrap=lambda f: (
            (f["bootstrap_low"] <= f["true_share"] + 1e-9)
            & (f["bootstrap_high"] >= f["true_share"] - 1e-9)
        ),
    )
    drawn = right[right["bootstrap_low"].notna()]
    by_seen = listed.assign(stratum=stratum_of(listed["blocked_session_count"].fillna(0)))
    is_well = blocked["true_session_count"] >= 6
    edges, well = scored.edges, scored.edges["blocked_session_count"] >= 6
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
        share_by("claimed edge is true", claims[~is_forged], "is_true", "edge"),
        share_by("claimed edge is true despite forged openness", claims[is_forged], "is_true"),
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _bracketed(edges: pd.DataFrame) -> pd.DataFrame:
    inside = edges[edges["is_found"] & edges["is_inside"]]
    width = pd.to_numeric(inside["width_days"])
    narrowest = pd.to_numeric(inside["narrowest_days"])
    return inside.assign(is_narrow=width <= narrowest)


def _family(mechanisms: pd.Series) -> pd.Series:
    return mechanisms.fillna("").str.partition(".")[0]


def share_by(
    measure: str, frame: pd.DataFrame, success: str, stratum: str | None = None
) -> pd.DataFrame:
    """How often ``success`` is true: all together, and by stratum where one is named."""
    values = frame[success].astype("bool")
    rows = [_share_row(measure, "all", values)]
    if stratum is not None:
        groups = dict(list(values.groupby(frame[stratum].astype("str"), sort=True)))
        known = list(STRATA.values())
        names = sorted(groups, key=lambda name: (known.index(name) if name in known else 0, name))
        rows += [_share_row(measure, name, groups[name]) for name in names]
    return pd.DataFrame(rows)


def _share_row(measure: str, stratum: str, values: pd.Series) -> dict[str, object]:
    hits, count = int(values.sum()), len(values)
    low, high = wilson(hits, count)
    return {"measure": measure, "stratum": stratum, "success_count": hits, "trial_count": count,
            "share": hits / count if count else np.nan,
            "lower_share": low, "upper_share": high}  # fmt: skip


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % bounds of a share (Wilson 1927); 0 and 1 where nothing was tried."""
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, _Z * _Z
    centre = share + square / (2 * trials)
    margin = _Z * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)


def tally(scored: Score) -> dict[str, int]:
    """The counts by which thresholds are compared, over pairs with 6 or more blocked sessions.

    ``false_pair_count`` is of all listed pairs. ``error_count`` weighs a site wrongly listed five
    times a missed pair, since it discredits the list; pairs of one site go wrong together.
    """
    pairs, sites, edges = scored.pairs, scored.sites, scored.edges
    well = pairs[pairs["is_blocked"] & (pairs["true_session_count"] >= 6)]
    right = pairs[pairs["is_blocked"] & pairs["is_listed"]]
    found = edges[edges["is_found"].astype("bool")]
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
        "edge_not_found_count": len(edges) - len(found),
        "edge_outside_count": (~found["is_inside"].astype("bool")).sum(),
        "false_edge_count": (~scored.claims["is_true"].astype("bool")).sum(),
    }
    result = {name: int(count) for name, count in counts.items()}
    result["error_count"] = (
        5 * result["false_site_count"]
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
    found = scored.edges[scored.edges["error_days"].notna()].assign(
        size=lambda f: pd.to_numeric(f["error_days"]).abs(),
        width=lambda f: pd.to_numeric(f["width_days"]),
        narrowest=lambda f: pd.to_numeric(f["narrowest_days"]),
    )
    return found.groupby(["edge", "stratum"], sort=True).agg(
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
        where fewer forged sessions than ``sessions_to_flip`` moved it.
    """
    counts = forged.forged.groupby(_KEY, sort=True).agg(
        claim=("claim", lambda claims: ";".join(sorted(set(claims)))),
        forged_session_count=("forged_session_count", "sum"),
    )
    rows = clean[[*_KEY, "is_blocked", "state", "is_listed", "sessions_to_flip"]].merge(
        forged.pairs[[*_KEY, "state", "is_listed"]], on=_KEY, suffixes=("", "_forged")
    )
    rows = rows.merge(counts.reset_index(), on=_KEY, how="left").dropna(subset=["state"])
    rows["forged_session_count"] = rows["forged_session_count"].fillna(0).astype("int64")
    rows["claim"] = rows["claim"].fillna("")
    rows["is_moved"] = rows["state"] != rows["state_forged"]
    few = rows["forged_session_count"] < rows["sessions_to_flip"].fillna(0).astype("int64")
    rows["is_broken"] = rows["is_moved"] & few
    spoken_of = rows["forged_session_count"] > 0
    return rows[spoken_of | rows["is_moved"]].reset_index(drop=True)
