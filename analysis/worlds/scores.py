"""How far the verdicts can be trusted: held against worlds whose truth is known.

Nothing here knows how worlds are made or verdicts reached: it reads the published tables only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.reference.networks import DOMESTIC
from analysis.tables import read_table
from analysis.vocabulary import LISTED
from analysis.worlds.known_truth import PAIR_KEY, Truth
from analysis.worlds.scored_hours import compare_hours

#: Strata of coverage: the fewest sound sessions while a block held.
STRATA: Mapping[int, str] = {0: "0–3", 4: "4–5", 6: "6–11", 12: "12+"}


@dataclass(frozen=True)
class Score:
    """Verdicts beside the truth, row by row.

    Attributes:
        pairs: one row per site and network that was judged or truly blocked, by name.
        sites: one row per site.
        edges: one row per true onset or ending of a block with a sound test in it.
        claims: one row per onset or ending that ``blocking_intervals`` brackets on both sides.
        forged: one row per site and network that forged reports speak of.
        hours: one row per site and network that is blocked, or said to be, at hours of the week.
        chances: one row per site, network and kind of failure; see ``calibration``.
    """

    pairs: pd.DataFrame
    sites: pd.DataFrame
    edges: pd.DataFrame
    claims: pd.DataFrame
    forged: pd.DataFrame
    hours: pd.DataFrame
    chances: pd.DataFrame = field(default_factory=pd.DataFrame)


def score(tables: str | Path, truth: str | Path, bootstrap: pd.DataFrame | None = None) -> Score:
    """Hold a report's tables against a world's truth.

    Args:
        tables: ``verdicts``, ``blocking_intervals``, ``blocked_sites`` and ``set_aside``.
        truth: the world's truth, see above.
        bootstrap: ``measures.bootstrap_bounds`` of the listed pairs.
    """
    known = Truth.read(truth)
    verdicts = read_table(tables, "verdicts")
    pairs = _compare_pairs(verdicts[verdicts["period"] == "all"], known)
    if bootstrap is None:
        pairs = pairs.assign(bootstrap_low=np.nan, bootstrap_high=np.nan)
    else:
        pairs = pairs.merge(bootstrap, on=PAIR_KEY, how="left")
    intervals = read_table(tables, "blocking_intervals")
    return Score(
        pairs=pairs,
        sites=_compare_sites(
            pairs, read_table(tables, "blocked_sites"), read_table(tables, "set_aside"), known
        ),
        edges=_compare_edges(intervals, known),
        claims=_check_claims(intervals, known),
        forged=_check_forged(pairs, known),
        hours=compare_hours(intervals, known.blocks),
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
        [*PAIR_KEY, "state", "mechanism", "rule_id", "session_count", "blocked_session_count",
         "ok_session_count", "blocked_share_low", "blocked_share_high", "sessions_to_flip",
         "set_aside_reason"]
    ]  # fmt: skip
    said = said.assign(chance=pd.to_numeric(verdicts["chance"]) if "chance" in verdicts else np.nan)
    ordered = truth.blocks.sort_values("sound_session_count", ascending=False, kind="stable")
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
    names = truth.names.set_index("domain")
    pairs["situation"] = pairs["domain"].map(names["situation"]).fillna("")
    pairs["authority"] = pairs["domain"].map(names["authority"]).fillna("")
    networks = truth.networks.set_index("probe_asn")
    for column in ("kind", "role"):
        pairs[column] = pairs["probe_asn"].map(networks[column]).fillna("")
    pairs = pairs.merge(_forged_openness(truth), on=PAIR_KEY, how="left")
    pairs["is_forged_open"] = pairs["is_forged_open"].notna()
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
    sites["situation"] = sites["domain"].map(truth.names.set_index("domain")["situation"])
    reasons = dict(zip(aside["domain"], aside["reason"], strict=True))
    sites["set_aside_reason"] = sites["domain"].map(reasons).fillna("")
    sites["is_filtered"] = sites["domain"].isin(truth.filtered_names())
    return sites


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of blocking in days since the year 1; ``until`` is the day after the last.

    Of an interval, ``open_before`` is the last day seen open before it and ``open_after`` the
    first one after it; None where there is none. ``moments`` are the same four in this order as
    ISO text, where they are known.
    """

    since: int
    until: int
    mechanism: str = ""
    open_before: int | None = None
    open_after: int | None = None
    moments: tuple[str, ...] = ()


_Pair = tuple[str, str]
_NEVER = date.max.toordinal()
#: What a report's table says of an interval by day, and the order of the moments beside it.
_EDGES = ("blocked_from", "blocked_until", "last_seen_open", "first_seen_open_again")


def _day(text: str) -> int | None:
    return date.fromisoformat(text).toordinal() if text else None


def _group(frame: pd.DataFrame, rows: Iterable[_Span]) -> dict[_Pair, list[_Span]]:
    """Spans by pair, in the order of their first day."""
    groups: dict[_Pair, list[_Span]] = {}
    keys = zip(frame["domain"], frame["probe_asn"], strict=True)
    for key, span in zip(keys, rows, strict=True):
        groups.setdefault(key, []).append(span)
    return {key: sorted(spans, key=lambda span: span.since) for key, spans in groups.items()}


def _true_spans(truth: Truth) -> dict[_Pair, list[_Span]]:
    columns = ("since", "until", "mechanism", "since_time", "until_time")
    return _group(
        truth.blocks,
        (
            _Span(_day(since) or 1, _day(until) or _NEVER, mechanism, moments=tuple(moments))
            for since, until, mechanism, *moments in zip(
                *(truth.blocks[c] for c in columns), strict=True
            )
        ),
    )


def _claimed_spans(intervals: pd.DataFrame) -> dict[_Pair, list[_Span]]:
    moments = [f"{column}_time" for column in _EDGES if f"{column}_time" in intervals]
    times = intervals[moments].itertuples(index=False, name=None)
    return _group(
        intervals,
        (
            _Span(_day(first) or 1, (_day(last) or _NEVER - 1) + 1, "", _day(before), _day(after),
                  moments)
            for first, last, before, after, moments in zip(
                *(intervals[c] for c in _EDGES), times, strict=True
            )
        ),
    )  # fmt: skip


def _holds_onset(span: _Span, block: _Span) -> bool:
    """Whether the block begins after the interval's last open session, and by its first one."""
    if span.moments:
        first, _, before, _ = span.moments
        return before < block.moments[0] <= first if before else block.moments[0] <= first
    return (span.open_before or 0) < block.since <= span.since


def _holds_ending(span: _Span, block: _Span) -> bool:
    """Whether the block ends after the interval's last session, and by the first open one."""
    if span.moments:
        _, last, _, after = span.moments
        return last < block.moments[1] and (not after or block.moments[1] <= after)
    return span.until <= block.until <= (span.open_after or _NEVER)


def _compare_edges(intervals: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """One row per true onset and ending that a sound test on each side could have bracketed.

    ``error_days`` is how much later than the truth the interval puts it. ``is_inside`` where the
    truth lies in the bracket; ``width_days`` and ``narrowest_days`` are the bracket's width and
    that of the narrowest one that sound tests allow, empty where a side is open.
    """
    claimed = _claimed_spans(intervals)
    sound = truth.tests[truth.tests["sound_session_count"] > 0]
    tests: dict[_Pair, dict[int, int]] = {}
    for domain, asn, day, count in zip(
        *(sound[c] for c in (*PAIR_KEY, "day", "sound_session_count")), strict=True
    ):
        tests.setdefault((domain, asn), {})[_day(day) or 1] = count
    rows = [
        {
            "domain": key[0],
            "probe_asn": key[1],
            **edge,
            **_locate(edge, block, claimed.get(key, [])),
        }
        for key, blocks in _true_spans(truth).items()
        for number, block in enumerate(blocks)
        for edge in _edges_of(blocks, number, tests.get(key, {}))
    ]
    columns = [
        *PAIR_KEY, "edge", "mechanism", "true_day", "blocked_session_count", "open_session_count",
        "narrowest_days", "is_found", "is_inside", "error_days", "width_days",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    frame["stratum"] = stratum_of(frame["blocked_session_count"].astype("int64"))
    return frame


def _edges_of(
    blocks: list[_Span], number: int, tests: Mapping[int, int]
) -> Iterable[dict[str, object]]:
    """The onset and the ending of one block, where sound tests lie on both sides."""
    block = blocks[number]
    opened = blocks[number - 1].until if number else 1
    closed = blocks[number + 1].since if number + 1 < len(blocks) else _NEVER
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


def _locate(edge: Mapping[str, object], block: _Span, claimed: list[_Span]) -> dict[str, object]:
    """Where the interval that meets the block puts one of its edges."""
    met = [span for span in claimed if span.since < block.until and span.until > block.since]
    if not met:
        return {"is_found": False, "is_inside": False}
    if edge["edge"] == "onset":
        span = min(met, key=lambda span: abs(span.since - block.since))
        error, other = span.since - block.since, span.open_before
        is_inside = _holds_onset(span, block)
        width = None if other is None else span.since - other
    else:
        span = min(met, key=lambda span: abs(span.until - block.until))
        if span.until == _NEVER:
            return {"is_found": True, "is_inside": False}
        error, other = span.until - block.until, span.open_after
        is_inside = _holds_ending(span, block)
        width = None if other is None else other - (span.until - 1)
    return {"is_found": True, "is_inside": is_inside, "error_days": error, "width_days": width}


def _check_claims(intervals: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """One row per bracketed onset or ending; ``is_true`` where a true one lies in the bracket."""
    true = _true_spans(truth)
    rows = []
    for key, spans in _claimed_spans(intervals).items():
        blocks = true.get(key, [])
        head = {"domain": key[0], "probe_asn": key[1], "is_blocked": bool(blocks)}
        for span in spans:
            if span.open_before is not None:
                is_true = any(_holds_onset(span, block) for block in blocks)
                rows.append({**head, "edge": "onset", "is_true": is_true})
            if span.open_after is not None and span.until != _NEVER:
                is_true = any(_holds_ending(span, block) for block in blocks)
                rows.append({**head, "edge": "ending", "is_true": is_true})
    frame = pd.DataFrame(rows, columns=[*PAIR_KEY, "is_blocked", "edge", "is_true"])
    return frame.merge(_forged_openness(truth), on=PAIR_KEY, how="left")


def _forged_openness(truth: Truth) -> pd.DataFrame:
    """The pairs of which forged reports claim openness, marked in ``is_forged_open``."""
    pairs = truth.forgeries.loc[truth.forgeries["claim"] == "open", PAIR_KEY].drop_duplicates()
    return pairs.assign(is_forged_open=True)


def _check_forged(pairs: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """A row a pair of forged reports: their sessions and days, and the reports of the archive."""
    counts = truth.forgeries.groupby([*PAIR_KEY, "claim"], sort=True).agg(
        forged_session_count=("report_id", "nunique"), forged_day_count=("day", "nunique")
    )
    columns = [*PAIR_KEY, "state", "is_blocked", "is_listed", "situation", "true_session_count",
               "session_count"]  # fmt: skip
    counts["forged_report_count"] = truth.forgeries["report_id"].nunique()
    return counts.reset_index().merge(pairs[columns], on=PAIR_KEY, how="left")
