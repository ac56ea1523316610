"""The judge, one pair at a time, in loops and floats: what the fast one is held against.

In the order of docs/method.md, from the sessions on: how often a session would fail, how surprising
the failures are, where the stretches lie, and which of them are blocks. It knows no hours of the
week and no rivals.
"""

from collections import defaultdict
from itertools import combinations_with_replacement
from math import exp, inf, log, prod, sqrt
from typing import Any, NamedTuple

LEAST, MOST, PSEUDO, PRIOR, WORTH, MOST_Q = 0.005, 0.99, 4, 0.02, 8, 0.95
FLOOR_SESSIONS, FLOOR_DAYS, SHARE_FLOOR, LINE, LOWER_LINE, COST = 4, 3, 0.4, 1000, 20, 1.0


class Session(NamedTuple):
    """One site in one run of a probe. ``kind`` is empty unless its class is blocked."""

    domain: str
    network: int
    operator: int
    report: int
    day: int
    shown: str
    kind: str


class Block(NamedTuple):
    """A stretch: days of the first failure and the last, and how many sessions failed."""

    kind: str
    first_day: int
    last_day: int
    hits: int


def weigh(sessions: list[Session]) -> dict[tuple[str, int], dict[str, tuple[float, list[Block]]]]:
    """Of each pair and kind of failure with enough failures: its e-value, and its blocks.

    Args:
        sessions: of access networks that speak for others, in order of time; all through resolvers
            that speak for their network.
    """
    cells: defaultdict[tuple[str, int], list[Session]] = defaultdict(list)
    for one in sessions:
        cells[one.domain, one.network].append(one)
    found: dict[tuple[str, int], dict[str, tuple[float, list[Block]]]] = {}
    for kind in sorted({one.kind for one in sessions} - {""}):
        taught = [one for cell in cells.values() for one in _teaching(cell, kind)]
        for pair, cell in cells.items():
            series = _series(cell, kind)
            if sum(one.kind == kind for one in series) >= FLOOR_SESSIONS:
                base = _base(taught, cell[0], kind)
                blocks = _stretches(series, kind, base)
                found.setdefault(pair, {})[kind] = _evidence(series, kind, base), blocks
    return found


def list_blocks(
    found: dict[tuple[str, int], dict[str, tuple[float, list[Block]]]],
    cells: dict[tuple[str, int], list[Session]],
) -> dict[tuple[str, int], list[Block]]:
    """The blocks of each pair that meet the line and the floors, before rivals are asked.

    Two other operators whose evidence reaches the line together support a pair, and so does another
    network of its operator whose evidence does: then a lower line is enough.
    """
    likely = {pair: _meet(kinds, cells[pair], LOWER_LINE) for pair, kinds in found.items()}
    evidence = {
        pair: max(inf if one.kind == "mark" else found[pair][one.kind][0] for one in blocks)
        for pair, blocks in likely.items()
        if blocks
    }
    listed = {}
    for pair, kinds in found.items():
        operator = cells[pair][0].operator
        others: defaultdict[int, float] = defaultdict(float)
        same = 0.0
        for other, most in evidence.items():
            by = cells[other][0].operator
            if other[0] == pair[0] and by != operator:
                others[by] = max(others[by], most)
            elif other[0] == pair[0] and other != pair:
                same = max(same, most)
        is_supported = same >= LINE or (len(others) >= 2 and prod(others.values()) >= LINE)
        listed[pair] = likely[pair] if is_supported else _meet(kinds, cells[pair], LINE)
    return listed


def _meet(
    kinds: dict[str, tuple[float, list[Block]]], cell: list[Session], least: float
) -> list[Block]:
    """The blocks of one pair, if it needs so much evidence; beside a block less is enough."""

    def meet(line: float) -> list[Block]:
        kept = []
        for kind, (evidence, stretches) in kinds.items():
            if kind == "mark" or evidence >= line:
                totals = [_between(_series(cell, kind), one) for one in stretches]
                likely = [
                    (one, total)
                    for one, total in zip(stretches, totals, strict=True)
                    if one.hits >= SHARE_FLOOR * total
                ]
                hits, every = sum(one.hits for one, _ in likely), sum(total for _, total in likely)
                kept += [
                    one
                    for one, total in likely
                    if _is_most(hits, every) or _is_most(one.hits, total)
                ]
        inside = [
            one
            for one in cell
            if any(one.kind == b.kind and b.first_day <= one.day <= b.last_day for b in kept)
        ]
        enough = len(inside) >= FLOOR_SESSIONS and len({o.day for o in inside}) >= FLOOR_DAYS
        return kept if enough else []

    return meet(LOWER_LINE) if meet(least) else []


def _series(cell: list[Session], kind: str) -> list[Session]:
    """What counts for a kind: its failures, and what reached the site or does not say."""
    return [one for one in cell if one.kind == kind or one.shown in ("ok", "unclear")]


def _candidates(series: list[Session], kind: str) -> set[int]:
    """Places that may be a block: segments with four failures more than other sessions."""
    steps, found = [1 if one.kind == kind else -1 for one in series], set[int]()
    parts = [(0, len(steps))]
    while parts:
        start, end = parts.pop()
        best, first, last = 0, 0, 0
        for a in range(start, end):
            total = 0
            for b in range(a, end):
                total += steps[b]
                if total > best or (total == best and best and b == last and a > first):
                    best, first, last = total, a, b
        if best >= 4:
            found |= set(range(first, last + 1))
            parts += [(start, first), (last + 1, end)]
    return found


def _teaching(cell: list[Session], kind: str) -> list[Session]:
    """The sessions of a pair that teach about a kind."""
    fails = [one for one in cell if one.kind == kind]
    series = _series(cell, kind)
    is_candidate = set[int]()
    if len(fails) >= FLOOR_SESSIONS:
        is_candidate = {id(series[place]) for place in _candidates(series, kind)}
    mostly = 2 * len(fails) >= len(cell)
    return [
        one
        for one in cell
        if one.shown != "down"
        and one.kind in ("", kind)
        and id(one) not in is_candidate
        and not (mostly and one.kind == kind)
    ]


def _base(taught: list[Session], own: Session, kind: str) -> float:
    """1 − (1 − site at other operators) · (1 − network's other sites), where one was asked."""
    fails = sum(one.kind == kind for one in taught)
    usual = (fails + PSEUDO * PRIOR) / (len(taught) + PSEUDO)
    elsewhere = [one for one in taught if one.domain == own.domain and one.operator != own.operator]
    hits = sum(one.kind == kind for one in elsewhere)
    site = (hits + PSEUDO * usual) / (len(elsewhere) + PSEUDO)
    reports: defaultdict[int, list[bool]] = defaultdict(list)
    for one in taught:
        if one.network == own.network:
            reports[one.report].append(one.kind == kind)
    votes = sum(sum(told) / len(told) for told in reports.values())
    here = (votes + PSEUDO * usual) / (len(reports) + PSEUDO)
    return min(max(1 - (1 - site) * (1 - here), LEAST), MOST)


def _evidence(series: list[Session], kind: str, base: float) -> float:
    """Nine tenths of what days say: half over single stretches, half over paths of a chain."""
    days: defaultdict[int, list[float]] = defaultdict(list)
    failed = in_a_row = 0
    for place, one in enumerate(series):
        rate = min(max((failed + WORTH * base) / (place + WORTH), LEAST), MOST)
        q = min((in_a_row + 3) / (in_a_row + 4), MOST_Q)
        is_hit = one.kind == kind
        ratio = q / rate if is_hit else (1 - q) / (1 - rate)
        days[one.day].append(log(ratio) if rate < q else 0.0)
        failed, in_a_row = failed + is_hit, (in_a_row + 1) * is_hit
    said = []
    for ratios in days.values():
        most, together = max(ratios), sum(ratios)
        said.append(min(together, 2 * most) if most > 0 else together)
    stretches = list(combinations_with_replacement(range(len(said)), 2))
    single = sum(exp(sum(said[a : b + 1])) for a, b in stretches) / len(stretches)
    change, opened, blocked = 1 / max(len(said), 2), 0.5, 0.5
    for place, day in enumerate(said):
        if place:
            opened, blocked = (
                opened * (1 - change) + blocked * change,
                blocked * (1 - change) + opened * change,
            )
        blocked *= exp(day)
    return 0.9 * (single + opened + blocked) / 2


def _stretches(series: list[Session], kind: str, base: float) -> list[Block]:
    """The likeliest path between open and failing, at 90 or 60 % of sessions that fail."""
    price = log(max(len(series), 2)) + COST
    _, path = max(
        (_path(series, kind, base, share, price) for share in (0.9, 0.6)),
        key=lambda told: told[0] - (price if told[2] == 0.6 else 0.0),
    )[:2]
    blocks: list[Block] = []
    for place, fails in enumerate(path):
        if not fails:
            continue
        one = series[place]
        if not (place and path[place - 1]):
            blocks.append(Block(kind, -1, -1, 0))
        if one.kind == kind:
            last = blocks[-1]
            first = one.day if last.first_day < 0 else last.first_day
            blocks[-1] = Block(kind, first, one.day, last.hits + 1)
    return [one for one in blocks if one.hits]


def _path(
    series: list[Session], kind: str, base: float, share: float, price: float
) -> tuple[float, list[bool], float]:
    """Viterbi in two states: what the best path gains over never failing, and where it fails."""
    best: dict[bool, tuple[float, list[bool]]] = {False: (0.0, []), True: (-price, [])}
    for place, one in enumerate(series):
        says = share / base if one.kind == kind else (1 - share) / (1 - base)
        ratio = 0.0 if base >= share else log(says)
        stay_open, stay_failing = best[False], best[True]
        if place:
            opened = (stay_failing[0] - price, stay_failing[1])
            closed = (stay_open[0] - price, stay_open[1])
            stay_open = opened if opened[0] > best[False][0] else stay_open
            stay_failing = closed if closed[0] > best[True][0] else stay_failing
        best = {
            False: (stay_open[0], [*stay_open[1], False]),
            True: (stay_failing[0] + ratio, [*stay_failing[1], True]),
        }
    gain, path = best[True] if best[True][0] > best[False][0] else best[False]
    return gain, path, share


def _between(series: list[Session], block: Block) -> int:
    """The sessions from the first failure to the last."""
    places = [
        place
        for place, one in enumerate(series)
        if one.kind == block.kind and block.first_day <= one.day <= block.last_day
    ]
    return places[-1] - places[0] + 1


def _is_most(hits: int, total: int) -> bool:
    """Wilson's lower bound at 95 % meets the floor of the share."""
    if not total:
        return False
    z, share = 1.959963984540054, hits / total
    centre = share + z**2 / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return (centre - spread) / (1 + z**2 / total) >= SHARE_FLOOR


def sessions_of(rows: list[tuple[Any, ...]]) -> list[Session]:
    """Rows of the judge's table ``sessions_by_resolver``, in order of time."""
    return [Session(*row) for row in rows]
