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
* ``odd_sessions.csv``: ``report_id, probe_asn, faults``; of ``home_filter`` is a session behind a
  filter that a household chose.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.reference.networks import DOMESTIC
from analysis.tables import read_table
from analysis.vocabulary import LISTED

PAIR_KEY = ["domain", "probe_asn"]
#: Strata of coverage: the fewest sound sessions while a block held.
STRATA: Mapping[int, str] = {0: "0–3", 4: "4–5", 6: "6–11", 12: "12+"}


@dataclass(frozen=True)
class Truth:
    """The tables of the folder."""

    blocks: pd.DataFrame
    tests: pd.DataFrame
    names: pd.DataFrame
    networks: pd.DataFrame
    forgeries: pd.DataFrame
    odd_sessions: pd.DataFrame

    @classmethod
    def read(cls, folder: str | Path) -> "Truth":
        tables = {
            one.name: pd.read_csv(Path(folder) / f"{one.name}.csv", dtype="str", na_filter=False)
            for one in fields(cls)
        }
        for name in ("blocks", "tests"):
            counts = tables[name]["sound_session_count"]
            tables[name]["sound_session_count"] = counts.astype("int64")
        tables["blocks"]["share"] = tables["blocks"]["share"].astype("float64")
        return cls(**tables)

    def filtered_names(self) -> set[str]:
        """The names that were tested on a day and network with a session behind a home filter."""
        odd = self.odd_sessions[self.odd_sessions["faults"].str.contains("home_filter")]
        day = pd.to_datetime(odd["report_id"].str[:8], format="%Y%m%d").dt.strftime("%Y-%m-%d")
        met = odd[["probe_asn"]].assign(day=day).merge(self.tests, on=["probe_asn", "day"])
        return set(met["domain"])

    def forged_open(self) -> pd.DataFrame:
        """The pairs of which forged reports claim openness, marked in ``is_forged_open``."""
        pairs = self.forgeries.loc[self.forgeries["claim"] == "open", PAIR_KEY].drop_duplicates()
        return pairs.assign(is_forged_open=True)


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
    """

    pairs: pd.DataFrame
    sites: pd.DataFrame
    edges: pd.DataFrame
    claims: pd.DataFrame
    forged: pd.DataFrame
    hours: pd.DataFrame


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
    listed, aside = read_table(tables, "blocked_sites"), read_table(tables, "set_aside")
    return Score(
        pairs=pairs,
        sites=_compare_sites(pairs, listed, aside, known),
        edges=compare_edges(intervals, known),
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
    said = said.assign(chance=pd.to_numeric(verdicts["chance"]))
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
    pairs = pairs.merge(truth.names[["domain", "situation", "authority"]], how="left")
    pairs = pairs.merge(truth.networks[["probe_asn", "kind", "role"]], how="left")
    told = ["situation", "authority", "kind", "role"]
    pairs[told] = pairs[told].fillna("")
    pairs = pairs.merge(truth.forged_open(), on=PAIR_KEY, how="left")
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


def _check_forged(pairs: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """A row a pair of forged reports: their sessions and days, and the reports of the archive."""
    counts = truth.forgeries.groupby([*PAIR_KEY, "claim"], sort=True).agg(
        forged_session_count=("report_id", "nunique"), forged_day_count=("day", "nunique")
    )
    columns = [*PAIR_KEY, "state", "is_blocked", "is_listed", "situation", "true_session_count",
               "session_count"]  # fmt: skip
    counts["forged_report_count"] = truth.forgeries["report_id"].nunique()
    return counts.reset_index().merge(pairs[columns], on=PAIR_KEY, how="left")


_Pair = tuple[str, str]
_NEVER = date.max.toordinal()


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of blocking, as it is true or as an interval says.

    Attributes:
        since: its first day, counted since the year 1.
        until: the day after its last; ``_NEVER`` where it goes on.
        moments: ISO text; of a block when it began and ended, of an interval its first and last
            blocked session, the last open one before and the first open one after.
        open_before: of an interval, the last day seen open before it; None where there is none.
        open_after: the first one after it.
    """

    since: int
    until: int
    moments: tuple[str, ...]
    mechanism: str = ""
    open_before: int | None = None
    open_after: int | None = None


def _day(text: str) -> int | None:
    return date.fromisoformat(text).toordinal() if text else None


def _read_block(row: Any) -> _Span:
    moments = (row.since_time, row.until_time)
    return _Span(_day(row.since) or 1, _day(row.until) or _NEVER, moments, row.mechanism)


def _read_interval(row: Any) -> _Span:
    moments = (row.blocked_from_time, row.blocked_until_time, row.last_seen_open_time,
               row.first_seen_open_again_time)  # fmt: skip
    until = (_day(row.blocked_until) or _NEVER - 1) + 1
    return _Span(_day(row.blocked_from) or 1, until, moments,
                 open_before=_day(row.last_seen_open),
                 open_after=_day(row.first_seen_open_again))  # fmt: skip


def _group(frame: pd.DataFrame, read: Callable[[Any], _Span]) -> dict[_Pair, list[_Span]]:
    """Spans by pair, in the order of their first day."""
    groups: defaultdict[_Pair, list[_Span]] = defaultdict(list)
    for row in frame.itertuples():
        groups[str(row.domain), str(row.probe_asn)].append(read(row))
    return {key: sorted(spans, key=lambda span: span.since) for key, spans in groups.items()}


def _holds_onset(span: _Span, block: _Span) -> bool:
    """Whether the block begins after the interval's last open session, and by its first one."""
    first, _, before, _ = span.moments
    began = block.moments[0]
    return (not before or before < began) and began <= first


def _holds_ending(span: _Span, block: _Span) -> bool:
    """Whether the block ends after the interval's last session, and by the first open one."""
    _, last, _, after = span.moments
    ended = block.moments[1]
    return last < ended and (not after or ended <= after)


def compare_edges(intervals: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """One row per true onset and ending that a sound test on each side could have bracketed.

    ``error_days`` is how much later than the truth the interval puts it. ``is_inside`` where the
    truth lies in the bracket; ``width_days`` and ``narrowest_days`` are the bracket's width and
    that of the narrowest one that sound tests allow, empty where a side is open.
    """
    claimed = _group(intervals, _read_interval)
    tests: defaultdict[_Pair, dict[int, int]] = defaultdict(dict)
    sound = truth.tests[truth.tests["sound_session_count"] > 0]
    columns = (sound[name] for name in (*PAIR_KEY, "day", "sound_session_count"))
    for domain, asn, day, count in zip(*columns, strict=True):
        tests[domain, asn][_day(day) or 1] = count
    rows = [
        {"domain": key[0], "probe_asn": key[1], **edge}
        for key, blocks in _group(truth.blocks, _read_block).items()
        for number in range(len(blocks))
        for edge in _find_edges(blocks, number, tests[key], claimed.get(key, []))
    ]
    names = [
        *PAIR_KEY, "edge", "mechanism", "true_day", "blocked_session_count", "open_session_count",
        "narrowest_days", "is_found", "is_inside", "error_days", "width_days",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=names)
    frame["stratum"] = stratum_of(frame["blocked_session_count"].astype("int64"))
    return frame


def _find_edges(
    blocks: Sequence[_Span], number: int, tests: Mapping[int, int], claimed: Sequence[_Span]
) -> Iterable[dict[str, object]]:
    """The onset and the ending of one block, where sound tests lie on both sides."""
    block = blocks[number]
    opened = blocks[number - 1].until if number else 1
    closed = blocks[number + 1].since if number + 1 < len(blocks) else _NEVER
    held = [day for day in tests if block.since <= day < block.until]
    before = [day for day in tests if opened <= day < block.since]
    after = [day for day in tests if block.until <= day < closed]
    met = [span for span in claimed if span.since < block.until and span.until > block.since]
    shared = {
        "mechanism": block.mechanism,
        "blocked_session_count": sum(tests[day] for day in held),
        "is_found": bool(met),
        "is_inside": False,
    }
    if held and before:
        onset = {"edge": "onset", "true_day": block.since,
                 "open_session_count": sum(tests[day] for day in before),
                 "narrowest_days": min(held) - max(before)}  # fmt: skip
        yield {**shared, **onset, **_locate_onset(block, met)}
    if held and after:
        ending = {"edge": "ending", "true_day": block.until,
                  "open_session_count": sum(tests[day] for day in after),
                  "narrowest_days": min(after) - max(held)}  # fmt: skip
        yield {**shared, **ending, **_locate_ending(block, met)}


def _locate_onset(block: _Span, met: Sequence[_Span]) -> dict[str, object]:
    """Where the interval that is nearest of those that meet the block puts its first day."""
    if not met:
        return {}
    span = min(met, key=lambda span: abs(span.since - block.since))
    width = None if span.open_before is None else span.since - span.open_before
    return {"is_inside": _holds_onset(span, block), "error_days": span.since - block.since,
            "width_days": width}  # fmt: skip


def _locate_ending(block: _Span, met: Sequence[_Span]) -> dict[str, object]:
    """The same of the day after its last; nothing where the interval goes on."""
    if not met:
        return {}
    span = min(met, key=lambda span: abs(span.until - block.until))
    if span.until == _NEVER:
        return {}
    width = None if span.open_after is None else span.open_after - (span.until - 1)
    return {"is_inside": _holds_ending(span, block), "error_days": span.until - block.until,
            "width_days": width}  # fmt: skip


def _check_claims(intervals: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """One row per bracketed onset or ending; ``is_true`` where a true one lies in the bracket."""
    true = _group(truth.blocks, _read_block)
    rows = []
    for key, spans in _group(intervals, _read_interval).items():
        blocks = true.get(key, [])
        for span in spans:
            if span.open_before is not None:
                is_true = any(_holds_onset(span, block) for block in blocks)
                rows.append((*key, bool(blocks), "onset", is_true))
            if span.open_after is not None and span.until != _NEVER:
                is_true = any(_holds_ending(span, block) for block in blocks)
                rows.append((*key, bool(blocks), "ending", is_true))
    frame = pd.DataFrame(rows, columns=[*PAIR_KEY, "is_blocked", "edge", "is_true"])
    return frame.merge(truth.forged_open(), on=PAIR_KEY, how="left")


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
