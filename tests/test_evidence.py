"""From sessions to evidence: what teaches, how surprising failures are, when, and from how many."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import exp, inf, isfinite, log, nan
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.outcomes.rules import RULES
from analysis.outcomes.steps import create_views, read_type
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.study.confirmation import Maker, Method
from analysis.verdicts.evidence import average_over_blocks, log_ratio, weigh, weigh_alone
from analysis.verdicts.flips import count_flips, count_to_chance, sessions_to_flip
from analysis.verdicts.floors import (
    LOWER_LINE,
    find_blocks,
    find_supported,
    leave,
    meets_floor,
    wilson_bounds,
)
from analysis.verdicts.hours import (
    Schedule,
    TimedSessions,
    find_schedule,
    find_site_schedules,
    fit_range,
    fit_schedule,
)
from analysis.verdicts.intervals import _find_intervals, _find_open, round_chance, round_evidence
from analysis.verdicts.judge import judge_pair
from analysis.verdicts.pairs import (
    ANY,
    MARK,
    Country,
    Lessons,
    Pair,
    Series,
    Session,
    Stretch,
    best_range,
    find_candidates,
    find_series,
)
from analysis.verdicts.reasons import (
    BELOW_LINE,
    IN_MANY_WAYS,
    NETWORK_FAILS,
    SITE_FAILS,
    TOO_FEW,
    give_reasons,
    why_insufficient,
)
from analysis.verdicts.rivals import EVERYWHERE
from analysis.verdicts.sessions import SESSION_VIEWS, Operators
from analysis.verdicts.states import judge_period
from analysis.verdicts.stretches import find_edges
from analysis.verdicts.verdicts import judge_without_rivals
from tests import plain_judge
from tests.letters import ALL_NETWORKS, FOURTH, VPN, days, study_of
from tests.observations import Row
from tests.plain_judge import sessions_of

_DAY_ONE = 19_723  # 2024-01-01


def series_of(
    fails: Sequence[int],
    kind: str = "name_sent",
    days: Sequence[int] | None = None,
    base: float = 0.02,
) -> Series:
    """A series with a base rate, 1 for a failure; a session a day unless told otherwise."""
    results = {0: ("ok", ""), 1: ("blocked", kind)}
    sessions = [
        Session(row, day * 86_400, day, day, *results[hit], kind.startswith("dns"), True)
        for row, (hit, day) in enumerate(
            zip(fails, (_DAY_ONE + n for n in days or range(len(fails))), strict=True)
        )
    ]
    return Series(kind, sessions, [bool(hit) for hit in fails], least_rates=[base] * len(fails))


def evidence_of(series: Series) -> float:
    """ln E of a series."""
    weigh(series)
    return series.log_evidence


def test_a_pair_that_fails_now_and_then_by_itself_does_not_grow_without_end() -> None:
    """Every other session of four hundred fails, where only one in fifty was expected: what it
    gains is what it began with."""
    short, long = (evidence_of(series_of([0, 1] * (size // 2))) for size in (40, 400))
    assert long < short + log(10)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_if_nobody_blocks_the_expectation_is_at_most_one(rate: float) -> None:
    """20,000 series that fail by chance: the mean, four standard errors allowed, and the tails
    that Markov's inequality bounds; at a known rate."""
    rng = np.random.default_rng(1)
    found = np.exp(
        [average_over_blocks(_weigh_at(rate, row)) for row in rng.random((20_000, 12)) < rate]
    )
    assert found.mean() <= 1 + 4 * found.std() / np.sqrt(len(found))
    for share in (0.1, 0.01, 0.001):
        assert (np.exp(-np.log(found)) <= share).mean() <= share


def _weigh_at(rate: float, fails: Sequence[bool]) -> list[float]:
    """ln of the weight of each of seven days, at a rate that no session of the pair moves."""
    in_a_row, days = 0, dict[int, list[float]]()
    for failed, day in zip(fails, [0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 5, 6], strict=True):
        share = min((in_a_row + 3) / (in_a_row + 4), 0.95)
        days.setdefault(day, []).append(log_ratio(bool(failed), rate, share))
        in_a_row = in_a_row + 1 if failed else 0
    return [min(sum(day), 2 * max(day)) if max(day) > 0 else sum(day) for day in days.values()]


def test_days_and_hours_are_parts_of_one_e_value() -> None:
    """Nine tenths and one: the larger of the two would have an expectation of up to 2."""
    series = series_of([1] * 12, base=0.1)
    of_days = evidence_of(series)
    first, last = series.times[[0, -1]].astype("datetime64[D]")
    series.schedule = Schedule(0, ((0, 1),), first, last, log_ratio=25.0)
    of_hours = series.schedule.log_evidence - log(12 * 13 / 2) + log(0.1)
    assert evidence_of(series) == pytest.approx(np.logaddexp(of_days, of_hours))
    assert abs(of_days - of_hours) < 4, "else one of them would not be seen"


@pytest.mark.parametrize("fails", [0, 1])
def test_no_number_of_sessions_exceeds_a_float(fails: int) -> None:
    """Anybody can send 2,000 sessions of one day, or five on each of 400 days."""
    for day_count in (1, 400):
        days = [number * day_count // 2000 for number in range(2000)]
        series = series_of([fails] * 2000, days=days)
        assert isfinite(evidence_of(series))
        assert len(series.days) == day_count
        alone = weigh_alone(series, _DAY_ONE, _DAY_ONE + day_count - 1)
        assert alone <= series.log_evidence + 1e-9, "a part is no more than the whole"


def test_a_stretch_weighs_less_for_each_change() -> None:
    """A block from the first test to the last has more of the mean than one that begins or ends."""
    series = series_of([1] * 30)
    series.days = [(_DAY_ONE + number, 0.0) for number in range(30)]  # only the place counts
    first, last = _DAY_ONE, _DAY_ONE + 29
    always = weigh_alone(series, first, last)
    begins, ends = weigh_alone(series, first + 1, last), weigh_alone(series, first, last - 1)
    assert always > begins == ends > weigh_alone(series, first + 1, last - 1)


def test_no_chance_below_one_in_a_thousand_is_told() -> None:
    """Nor above 1; the evidence is the logarithm of E to base 10, rounded down so that none is told
    that the pair does not reach, and nothing of no series."""
    told = pd.Series(np.log([0.5, 1.0, 100.0, 999.0, 1e9]))
    assert round_chance(told).tolist() == [1, 1, 0.01, 0.0011, 0.001]
    assert round_evidence(told).tolist() == [-0.4, 0.0, 2.0, 2.9, 9.0]
    nothing = pd.Series([np.nan])
    assert round_chance(nothing).isna().all()
    assert round_evidence(nothing).isna().all()


# --- Where a site begins and ceases to fail, and what may itself be a block. ----------------------


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("oooooooxxxxxx", [(7, 12)]),
        ("xxxxxooooooo", [(0, 4)]),
        ("oooooxxxxxxoooooxxxxxx", [(5, 10), (16, 21)]),
        ("ooooooxxxooooo", [(6, 8)]),
        ("ooooooxxoooooo", []),
        ("oooxxxxoxxxxooo", [(3, 11)]),
        ("oooxxxxoooooxxxxooo", [(3, 6), (12, 15)]),
        ("oooxxxxoooxxxxooo", [(3, 13)]),
        ("ooooo", []),
        ("ooooo" + "xoo" * 9 + "ooo", [(5, 34)]),
        ("ooooo" + "xoo" * 8 + "ooo", []),
    ],
    ids=[
        "imposed",
        "lifted",
        "imposed twice",
        "three in a row",
        "two stray failures",
        "one that got through",
        "open for five",
        "open for three",
        "nothing",
        "a part of the routers",
        "a part of them for too short a time",
    ],
)
def test_changes_come_out_at_their_sessions(letters: str, expected: list[tuple[int, int]]) -> None:
    """The first session that fails and the last, at a rate of 2 % and the price in use."""
    fails = [letter == "x" for letter in letters]
    assert find_edges(fails, np.full(len(fails), 0.02), 2.0) == expected


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("oxxxxo", [(1, 5)]),
        ("oxxxo", []),
        ("xxoxxx", [(0, 6)]),
        ("xxoxx", []),
        ("ooxoxxxxoxo", [(4, 8)]),
        ("xxxxoooooxxxx", [(0, 4), (9, 13)]),
        ("xxxxxxoooxxxxoooxxxx", [(0, 20)]),
        ("oooxxxxoooooxxxxxooo", [(3, 7), (12, 17)]),
    ],
)
def test_what_may_be_part_of_a_block(letters: str, expected: list[tuple[int, int]]) -> None:
    """Four failures more than other sessions; the shortest such segment, then those beside it."""
    found = find_candidates([letter == "x" for letter in letters])
    assert sorted(found) == [at for since, until in expected for at in range(since, until)]


def test_the_shortest_range_with_the_largest_sum() -> None:
    """The first of several; none where no sum is above 0."""
    assert best_range([1, -1, 1, 1, -1, 1]) == (2, 2, 4)
    assert best_range([1, -1, 1]) == (1, 0, 1)
    assert best_range([-1, 0]) == best_range([]) == (0, 0, 0)


# --- One minimum of evidence for every state, and the bounds of its share. ------------------------

FLOOR = Thresholds()


def _meets(hits: int, days: int, total: int, thresholds: Thresholds = FLOOR) -> bool:
    one = [pd.Series([number]) for number in (hits, days, total)]
    return bool(meets_floor(*one, thresholds).iloc[0])


def test_the_floor() -> None:
    """4 sessions of the class on 3 days, and a lower bound of its share of two in five; all three
    can be moved."""
    strict = Thresholds(floor_sessions=10, floor_days=5)
    for expected, hits, day_count, total, thresholds in (
        (False, 0, 0, 0, FLOOR),
        (True, 4, 3, 4, FLOOR),
        (False, 3, 3, 3, FLOOR),
        (False, 4, 2, 4, FLOOR),
        (False, 40, 2, 40, FLOOR),
        (True, 8, 8, 11, FLOOR),
        (False, 7, 7, 11, FLOOR),
        (False, 5, 5, 7, FLOOR),
        (True, 100, 50, 210, FLOOR),
        (False, 100, 50, 220, FLOOR),
        (False, 9, 9, 9, strict),
        (False, 10, 4, 10, strict),
        (True, 10, 5, 10, strict),
        (True, 8, 8, 11, Thresholds(share_floor=0.4)),
        (False, 8, 8, 11, Thresholds(share_floor=0.6)),
    ):
        assert _meets(hits, day_count, total, thresholds) == expected, (hits, day_count, total)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_no_state_without_its_evidence(hits: int, others: int, days: int) -> None:
    """However many sessions ran on two days: a busy weekend is one event. More is never less."""
    is_met = _meets(hits, min(days, hits), hits + others)
    if is_met:
        assert hits >= FLOOR.floor_sessions
        assert days >= FLOOR.floor_days
        assert hits > others
        assert _meets(hits + 1, min(days, hits), hits + others + 1)


def test_wilson_bounds() -> None:
    """Known values of the score interval at 95 %; 0 of 0 is no share, above all not 0 %."""
    known = pd.DataFrame(
        [
            # Newcombe (1998), table I, method 3
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (29, 29, 0.8830, 1.0),  # 1 - z²/(n + z²)
            (0, 0, None, None),
        ],
        columns=["hits", "total", "low", "high"],
    )
    lower, upper = wilson_bounds(known["hits"], known["total"])
    assert lower.tolist() == pytest.approx(known["low"].tolist(), abs=6e-5, nan_ok=True)
    assert upper.tolist() == pytest.approx(known["high"].tolist(), abs=6e-5, nan_ok=True)


# --- Which stretches of a pair are blocks, and what they rest on. ---------------------------------

LINE = log(FLOOR.chance_line)


def stretches_of(
    letters: str,
    *spans: tuple[int, int],
    days: Sequence[int] | None = None,
    evidence: float = LINE,
    kind: str = "name_sent",
) -> list[Stretch]:
    """Stretches of one series, from a first failure to a last one; x is a failure."""
    series = series_of([letter == "x" for letter in letters], kind, days)
    series.log_evidence = evidence
    series.stretches = [
        Stretch(
            series,
            first,
            last,
            series.sessions[first : last + 1],
            [series.sessions[at] for at in range(first, last + 1) if series.fails[at]],
            evidence,
        )
        for first, last in spans or [(0, len(letters) - 1)]
    ]
    return list(series.stretches)


#: Name → the stretches of a pair, and the places of those that are blocks.
BLOCKS: dict[str, tuple[list[Stretch], list[int]]] = {
    "at the line": (stretches_of("xxxx"), [0]),
    "below the line": (stretches_of("xxxx", evidence=LINE - 0.01), []),
    "of a mark no evidence is asked": (stretches_of("xxxx", evidence=-inf, kind=MARK), [0]),
    "whatever does not work is no block": (stretches_of("xxxx", evidence=inf, kind=ANY), []),
    "20 is enough beside a block": (
        stretches_of("xxxx") + stretches_of("xxxx", evidence=LOWER_LINE, kind="tcp_sent"),
        [0, 1],
    ),
    "19 is not": (
        stretches_of("xxxx") + stretches_of("xxxx", evidence=log(19), kind="tcp_sent"),
        [0],
    ),
    "20 is not enough alone": (stretches_of("xxxx", evidence=LOWER_LINE), []),
    "two days, and two more": (stretches_of("xxooooxx", (0, 1), (6, 7)), [0, 1]),
    "three sessions": (stretches_of("xxx"), []),
    "six sessions of two days, in two ways": (
        stretches_of("xxx", days=[0, 0, 1]) + stretches_of("xxx", days=[0, 1, 1], kind="tcp_sent"),
        [],
    ),
    "six sessions of three days, in two ways": (
        stretches_of("xxx", days=[0, 0, 1]) + stretches_of("xxx", days=[1, 1, 2], kind="tcp_sent"),
        [0, 1],
    ),
    "two of five, with others of its kind": (
        stretches_of("xxxxxxxxxxooooxooox", (0, 9), (14, 18)),
        [0, 1],
    ),
    "two of six": (stretches_of("xxxxxxxxxxooooxoooox", (0, 9), (14, 19)), [0]),
    "two of five, with others of another kind": (
        stretches_of("xxxxxxxxxx") + stretches_of("xooox", kind="tcp_sent"),
        [0],
    ),
    "what mostly fails alone, not with others": (
        stretches_of("xxxxooooo" + "xooox" * 20, (0, 3), (9, 108)),
        [0],
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_which_stretches_of_a_pair_are_blocks(name: str) -> None:
    """A line, a lower one beside a block, most of the sessions, and enough of them in all."""
    stretches, expected = BLOCKS[name]
    found = find_blocks(stretches, LINE, FLOOR)
    assert [place for place, one in enumerate(stretches) if one in found] == expected


def _list(*stretches: Stretch, explained: Stretch) -> list[bool]:
    """Which of a pair's blocks are listed where a rival explains one."""
    by_series = {stretch.series: [] for stretch in stretches}
    explained.reason = "a rival"
    for stretch in stretches:
        stretch.is_block = True
    pair = Pair(0, 0, 0, 0, [], list(by_series))
    listed = list(find_supported({pair: leave(pair)}, FLOOR))
    return [stretch in listed for stretch in stretches]


def test_what_a_rival_explains_lends_nothing() -> None:
    """Neither evidence nor sessions and days; other kinds keep theirs."""
    long, short = stretches_of("x" * 8 + "o" * 30 + "x" * 12, (0, 7), (38, 49))
    weigh(long.series)
    alone = weigh_alone(long.series, _DAY_ONE + 38, _DAY_ONE + 49)
    other = stretches_of("xxxx", kind="tcp_sent")[0]
    assert _list(long, short, other, explained=long) == [False, True, True]
    assert (short.log_evidence, other.log_evidence) == (alone, LINE)
    assert LINE < alone < short.series.log_evidence - 1

    long, short = stretches_of("x" * 8 + "o" * 30 + "x" * 8, (0, 7), (38, 45))
    weigh(long.series)
    assert _list(long, short, explained=long) == [False, False]
    assert short.log_evidence < LINE < long.series.log_evidence

    many, few = stretches_of("xxxxx")[0], stretches_of("xxx", kind="tcp_sent")[0]
    assert _list(many, few, explained=many) == [False, False]


# --- From how many forged sessions on another state would come out. -------------------------------


def _flip(rests_on: Stretch | None, state: str, **counts: float) -> int:
    of_none = dict.fromkeys(
        (
            "session_count",
            "ok_session_count",
            "heard_session_count",
            "down_session_count",
            "listed_session_count",
            "marked_days",
        ),
        0,
    )
    none = dict.fromkeys(
        ("own_session_count", "to_unite", "resting_failures", "resting_sessions", "to_flip"), nan
    )
    row = {**of_none, **none, "mechanism": "", "state": state, **counts}
    if rests_on:
        rests_on = replace(rests_on, is_listed=True)
        rests_on.series.stretches = [rests_on]
        pair = Pair(0, 0, 0, 0, [], [rests_on.series])
        count_flips(Country(np.array([]), [pair], pd.DataFrame()), FLOOR)
        row["resting_failures"] = len(rests_on.failures)
        row["resting_sessions"] = len(rests_on.sessions)
        row["to_flip"] = rests_on.to_flip
    (fewest,) = sessions_to_flip(pd.DataFrame([row]), FLOOR)
    return int(fewest)


def test_each_way_alone_decides_how_many_sessions_move_a_state_that_nothing_rests_on() -> None:
    """The floor of the other states, the share of what reached the site, and traces."""
    assert _flip(None, "insufficient") == 4
    assert _flip(None, "insufficient", session_count=2, ok_session_count=2) == 2
    assert _flip(None, "insufficient", session_count=3, ok_session_count=2) == 2
    assert _flip(None, "insufficient", session_count=3, down_session_count=1) == 1
    assert _flip(None, "insufficient", session_count=3, ok_session_count=3) == 1
    open_ = {"session_count": 20, "ok_session_count": 20, "heard_session_count": 20}
    assert _flip(None, "ok", **open_) == 2, "traces on two days"
    assert _flip(None, "ok", **open_, marked_days=1) == 1
    assert _flip(None, "ok", **{**open_, "session_count": 23}) == 1, "three that fail"
    # Six of eight are most of them; six of nine are not.
    thin = {"session_count": 8, "ok_session_count": 6}
    assert _flip(None, "ok", **thin, heard_session_count=8) == 1
    assert _flip(None, "ok", **{**thin, "session_count": 7}, heard_session_count=7) == 2


def test_each_way_alone_decides_how_many_sessions_move_a_listed_pair() -> None:
    """Of a likely block the four that make it a sure one, where nothing else is less."""
    (long,) = stretches_of("x" * 90)
    long.series.least_rates = None
    long.series.lessons = Lessons(1, 1e4, 1, 1e4, 0.001)
    long.log_evidence = long.series.log_evidence
    assert count_to_chance(long, FLOOR) == 3
    likely = {"session_count": 100, "ok_session_count": 9, "down_session_count": 1}
    likely["listed_session_count"] = 90
    assert _flip(long, "likely_blocked", **likely) == 3, "until it is no surprise"
    long.series.hours_evidence = 20
    assert _flip(long, "likely_blocked", **likely) == 4
    assert _flip(long, "likely_blocked", **{**likely, "session_count": 102}) == 2
    dns = {**likely, "mechanism": "dns.nxdomain"}
    assert _flip(long, "likely_blocked", **dns, own_session_count=3) == 1
    assert _flip(long, "likely_blocked", **dns, own_session_count=4) == 4
    tcp = {**likely, "mechanism": "tcp.reset"}
    assert _flip(long, "likely_blocked", **tcp, own_session_count=3) == 4
    assert _flip(long, "likely_blocked", **{**likely, "mechanism": "dns.blockpage"}) == 2
    assert _flip(replace(long, to_flip=3), "likely_blocked", **likely) == 3
    assert _flip(long, "likely_blocked", **likely, to_unite=3) == 3
    mark = stretches_of("x" * 16, kind=MARK)[0]
    assert _flip(mark, "blocked") == 5, "two stretches, each without the floor"
    assert _flip(stretches_of("x" * 15, kind=MARK)[0], "blocked") == 4


def test_one_to_six_forged_sessions_are_told_apart() -> None:
    """Seven stands for more, and so does one for less; the more evidence, the more sessions."""
    for length, expected in ((4, 1), (40, 7)):
        assert _flip(stretches_of("x" * length, kind=MARK)[0], "blocked") == expected
    # 40 of 78 are most of them; 40 of 79 are not.
    for others, expected in enumerate((7, 6, 5, 4, 3, 2, 1, 1), start=32):
        mostly = stretches_of("o" * others + "x" * 40, kind=MARK)[0]
        assert _flip(mostly, "blocked") == expected, others
    (long,) = stretches_of("x" * 90)
    long.series.least_rates = None
    long.series.lessons = Lessons(1, 1e4, 1, 1e4, 0.001)
    numbers = []
    for evidence in range(-20, 40):
        long.series.hours_evidence = evidence
        long.log_evidence = long.series.log_evidence
        numbers.append(count_to_chance(long, FLOOR))
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 8))
    assert count_to_chance(stretches_of("xxxx", kind=MARK)[0], FLOOR) == inf


def test_how_many_sessions_move_what_fails_in_no_single_way() -> None:
    """An impaired site may become blocked, or down; one that is down may become blocked."""
    (any_way,) = stretches_of("x" * 40, kind=ANY)
    for state, counts, expected in (
        ("impaired", {"session_count": 40, "down_session_count": 40}, 1),
        ("impaired", {"session_count": 2}, 2),
        ("impaired", {"session_count": 3, "down_session_count": 3}, 1),
        ("impaired", {"session_count": 3, "down_session_count": 2}, 2),
        ("down", {"session_count": 1, "down_session_count": 1}, 2),
        ("down", {"session_count": 3, "down_session_count": 3}, 1),
        ("down", {"session_count": 1}, 1),
    ):
        assert _flip(any_way, state, **counts) == expected, (state, counts)


# --- What is said of an interval, and why something is not listed. --------------------------------


def test_an_interval_holds_all_stretches_that_overlap() -> None:
    """A long one, a short one inside of it, and one that begins before the long one ends."""
    results = [("blocked", kind) for kind in "aabbabaocc"]
    sessions = [
        Session(row, row, row, row, *shown, False, True) for row, shown in enumerate(results)
    ]
    stretches = []
    for kind, since, until in (("c", 8, 9), ("a", 0, 6), ("b", 2, 3), ("b", 5, 5)):
        series = Series(kind, sessions, [session.kind == kind for session in sessions])
        failures = [one for one in sessions[since : until + 1] if one.kind == kind]
        listed = Stretch(series, since, until, sessions[since : until + 1], failures)
        listed.is_listed = True
        series.stretches = [listed]
        stretches.append(listed)
    pair = Pair(0, 0, 0, 0, sessions, [one.series for one in stretches])
    c, a, first_b, second_b = stretches
    assert list(_find_intervals(pair)) == [[a, first_b, second_b], [c]]
    first_b.is_listed, first_b.reason = False, "a rival"
    assert list(_find_intervals(pair)) == [[a, second_b], [c], [first_b]]


def test_the_nearest_session_that_reached_the_site() -> None:
    """Not one that does not say; none where there is none."""
    shown = ["ok", "ok", "unclear", "blocked", "blocked", "unclear", "ok", "ok"]
    sessions = [
        Session(row, row, row, row, result, "name_sent" if result == "blocked" else "", False, True)
        for row, result in enumerate(shown)
    ]
    for since, until, around in ((0, 8, (1, 6)), (1, 7, (1, 6)), (2, 6, (None, None))):
        inside = sessions[since:until]
        series = Series("name_sent", inside, [one.result == "blocked" for one in inside])
        stretch = Stretch(series, 3 - since, 4 - since, sessions[3:5], sessions[3:5])
        Pair(0, 0, 0, 0, inside, [series])
        found = (_find_open(stretch, -1), _find_open(stretch, 1))
        assert found == around


#: What else a test asks of a pair that fails: ln E; of 96 sessions elsewhere and on the network how
#: many fail, 20 for a share of a fifth; and what is said of it.
USUALLY = [
    (-inf, 0, 0, IN_MANY_WAYS),
    (LOWER_LINE - 0.01, 0, 0, IN_MANY_WAYS),
    (LOWER_LINE, 20, 20, BELOW_LINE),
    (LINE - 0.01, 0, 0, BELOW_LINE),
    (LINE, 0, 0, IN_MANY_WAYS),
    (-inf, 20, 0, SITE_FAILS),
    (-inf, 19, 0, IN_MANY_WAYS),
    (-inf, 0, 20, NETWORK_FAILS),
    (-inf, 0, 19, IN_MANY_WAYS),
    (-inf, 20, 20, SITE_FAILS),
    (-inf, 20, 30, NETWORK_FAILS),
]


def _say(*stretches: Stretch, domain: int = 0, others: Sequence[Pair] = ()) -> list[str]:
    """Why each stretch of a pair is not listed."""
    series = list(dict.fromkeys(stretch.series for stretch in stretches))
    pairs = [Pair(domain, 0, 0, 0, [], series), *others]
    give_reasons(Country(np.array([]), pairs, pd.DataFrame()), FLOOR)
    return [stretch.reason for stretch in stretches]


@pytest.mark.parametrize(("evidence", "site", "network", "expected"), USUALLY)
def test_what_explains_failures_that_are_no_surprise(
    evidence: float, site: int, network: int, expected: str
) -> None:
    """Evidence between two lines; else the site or the network, whichever fails more often."""
    (few,) = stretches_of("ox", evidence=evidence)
    few.series.lessons = Lessons(site, 96, network, 96)
    (any_way,) = stretches_of("xxxx", kind=ANY, evidence=-inf)
    assert _say(few, any_way) == ["", expected]


def test_what_mostly_fails_is_explained_once() -> None:
    """Not what fails for the control in half of the cases, is too little or is said already."""
    (any_way,) = stretches_of("xxxx", kind=ANY, evidence=-inf)
    assert _say(any_way) == [IN_MANY_WAYS]
    for letters, tested in (("xxx", [0, 1, 2]), ("xxxx", [0, 0, 1, 1]), ("xxxxxoooo", None)):
        assert _say(*stretches_of(letters, kind=ANY, evidence=-inf, days=tested)) == [""]
    for down, expected in ((4, ""), (3, IN_MANY_WAYS)):
        (half,) = stretches_of("x" * 8, kind=ANY, evidence=-inf)
        of_control = [one._replace(result="down") for one in half.sessions[:down]]
        half.sessions = half.failures = half.series.sessions = [*of_control, *half.sessions[down:]]
        assert _say(half) == [expected]
    for is_listed, reason, expected in (
        (True, "", ""),
        (False, "a rival", ""),
        (False, "", IN_MANY_WAYS),
    ):
        (own,), (any_way,) = (
            stretches_of("xx", evidence=-inf),
            stretches_of("xxxx", kind=ANY, evidence=-inf),
        )
        own.is_listed, own.reason = is_listed, reason
        assert _say(own, any_way) == [reason, expected]
    # On another network, the site is withheld as one that fails everywhere.
    for domain, kind, expected in (
        (7, "name_sent", SITE_FAILS),
        (7, "tcp_sent", IN_MANY_WAYS),
        (8, "name_sent", IN_MANY_WAYS),
    ):
        (away,) = stretches_of("xxxx")
        away.is_block, away.reason = True, EVERYWHERE
        (own,) = stretches_of("x", kind=kind, evidence=-inf)
        (any_way,) = stretches_of("xxxx", kind=ANY, evidence=-inf)
        other = Pair(7, 1, 1, 1, [], [away.series])
        assert _say(own, any_way, domain=domain, others=[other]) == ["", expected]


def test_what_is_surprising_and_too_little() -> None:
    """Two failures or more that no block holds, and a block that is none without the others."""
    assert _say(*stretches_of("xxoooox", (0, 1), (6, 6))) == [TOO_FEW, ""]
    assert _say(*stretches_of("xxx", evidence=LINE - 0.01)) == [""]
    for is_listed, reason, expected in (
        (True, "", ""),
        (False, "a rival", "a rival"),
    ):
        (block,) = stretches_of("xxxx")
        block.is_block, block.is_listed, block.reason = True, is_listed, reason
        assert _say(block) == [expected]


# --- What a pair is in a period. ------------------------------------------------------------------

_SHOWN = {"x": ("blocked", "name_sent"), "o": ("ok", ""), "d": ("down", ""), "u": ("unclear", "")}


def _pair(letters: str, **stretch: object) -> Pair:
    """A session a day, and a stretch from the first failure to the last one."""
    sessions = [
        Session(row, row * 86_400, _DAY_ONE + row, _DAY_ONE + row, *_SHOWN[letter], False, True)
        for row, letter in enumerate(letters)
    ]
    counted = [one for one in sessions if one.result != "down"]
    series = Series("name_sent", counted, [one.result == "blocked" for one in counted])
    failures = [one for one in counted if one.kind]
    first, last = counted.index(failures[0]), counted.index(failures[-1])
    inside = counted[first : last + 1]
    series.stretches = [replace(Stretch(series, first, last, inside, failures), **stretch)]
    return Pair(0, 0, 0, 0, sessions, [series])


_JANUARY = Period.parse("2024-01-01", "2024-02-01")


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("xxxxxox", False),
        ("xxxxxxo", True),
        ("xxxxxxd", True),
        ("xxxxxxu", False),
        ("oxxxx", False),
    ],
)
def test_a_block_ends_where_a_session_after_it_says_so(letters: str, expected: bool) -> None:
    """Not where one between two failures reached the site."""
    found = judge_period(_pair(letters, is_listed=True), _JANUARY, FLOOR)
    assert (found["state"], found["ends_otherwise"]) == ("likely_blocked", expected)
    assert found["reached_count"] == ("ox" in letters[1:])


def test_what_is_withheld_needs_the_floors_of_sessions_and_days() -> None:
    """As far as it lies in the period: from its first day on and before its last one."""
    pair = _pair("xxxxxxxx", reason="a rival")
    for since, until, state in (
        ("2024-01-01", "2024-01-05", "impaired"),
        ("2024-01-01", "2024-01-04", ""),
        ("2024-01-05", "2024-01-20", "impaired"),
        ("2024-01-06", "2024-01-20", ""),
        ("2024-01-09", "2024-01-20", ""),
    ):
        found = judge_period(pair, Period.parse(since, until), FLOOR)
        assert found["state"] == state, (since, until)
        assert found["reason"] == ("a rival" if since < "2024-01-09" else "")
    assert judge_period(_pair("xxxxxxxx"), _JANUARY, FLOOR)["state"] == ""


def test_what_fails_in_half_of_the_cases_for_the_control_is_down() -> None:
    """One case fewer is unexplained, or impaired if most say nothing; so is nothing below the
    floor."""
    for down, unclear, state in (
        (4, 0, "down"),
        (3, 0, "unexplained"),
        (3, 1, "impaired"),
    ):
        (half,) = stretches_of("x" * 8, kind=ANY)
        results = ["down"] * down + ["unclear"] * unclear + ["blocked"] * (8 - down - unclear)
        half.sessions = half.failures = half.series.sessions = [
            one._replace(result=result) for one, result in zip(half.sessions, results, strict=True)
        ]
        pair = Pair(0, 0, 0, 0, half.sessions, [half.series])
        assert judge_period(pair, _JANUARY, FLOOR)["state"] == state


def test_why_tests_lead_to_no_conclusion() -> None:
    """Too few sessions that say something, too few days, or tests that disagree."""
    rows = [
        ("insufficient", 4, 3, "mixed"),
        ("insufficient", 4, 2, "few_days"),
        ("insufficient", 3, 3, "few_sessions"),
        ("insufficient", 3, 2, "few_sessions"),
        ("impaired", 3, 2, ""),
    ]
    columns = ["state", "heard_session_count", "day_count", "why"]
    table = pd.DataFrame(rows, columns=columns)
    assert why_insufficient(table, FLOOR).tolist() == table["why"].tolist()


# --- The fast judge agrees with a plain one on random small studies. ------------------------------

_TOLD = f"""
SELECT domain::VARCHAR, probe_asn, if(probe_asn = {FOURTH}, {ALL_NETWORKS[0]}, probe_asn), session,
  (day - DATE '1970-01-01')::INTEGER, class::VARCHAR, coalesce(kind::VARCHAR, '')
FROM heard_sessions WHERE class <> 'none' AND probe_asn <> {VPN}
ORDER BY domain, probe_asn, time, session
"""


def random_rows(seed: int) -> list[Row]:
    """Some sites on five networks: blocked for a while here and there, and failing by chance.

    What a network tests within a minute is of one report.
    """
    random, rows = Random(seed), []
    for site in range(random.randint(4, 7)):
        for asn in (*ALL_NETWORKS, FOURTH, VPN):
            letters = random.choices("O.RTBDU", [12, 6, 1, 1, 1, 1, 1], k=random.randint(15, 50))
            if random.random() < 0.5:
                start = random.randrange(len(letters))
                failing = random.choice("RTBC")
                for day in range(start, min(start + random.randint(3, 25), len(letters))):
                    letters[day] = random.choice([failing, failing, failing, ".", "O"])
            rows += days(
                "".join(letters),
                domain=f"site{site}.example",
                probe_asn=asn,
                resolver_asn=asn,
                per_day=random.choice([1, 1, 2]),
            )
    for row in rows:
        row["report_id"] = f"{row['measurement_start_time']} {row['probe_asn']}"
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_the_fast_judge_agrees_with_the_plain_one(seed: int) -> None:
    """Two networks are of one operator; a VPN's exit is judged, and teaches nobody."""
    study = study_of(random_rows(seed), Period.parse("2024-01-01", "2024-04-01"))
    study.networks()["operator"] = ["One", "Two", "Three", "One", "Tunnel"]
    thresholds = Thresholds()
    method = Method(thresholds, RULES, study.fingerprints, Operators.of(study.networks()))
    made = Maker(None, study.connection, method).make_sessions()
    country = judge_without_rivals(study.connection, made, thresholds)
    with made.opened(study.connection) as opened:
        create_views(opened, SESSION_VIEWS)
        told = sessions_of(opened.execute(_TOLD).fetchall())
        names = read_type(opened, "host_name")
    plain, cells = plain_judge.weigh(told), defaultdict(list)
    for one in told:
        cells[one.domain, one.network].append(one)
    judged = {
        ((names[pair.domain], pair.probe_asn), series.kind): series
        for pair in country.pairs
        for series in pair.series
        if series.kind != ANY and pair.probe_asn != VPN
    }
    assert set(judged) == {(pair, kind) for pair, kinds in plain.items() for kind in kinds}
    for (pair, kind), series in judged.items():
        expected, _ = plain[pair][kind]
        if not series.schedule:
            assert series.log_evidence == pytest.approx(log(expected), abs=1e-6)
    found = defaultdict(set)
    for (pair, kind), series in judged.items():
        for stretch in series.stretches:
            if stretch.is_block:
                first, last = stretch.failures[0].day, stretch.failures[-1].day
                found[pair].add((kind, first, last, len(stretch.failures)))
    assert any(found.values())  # or nothing is compared
    for pair, blocks in plain_judge.list_blocks(plain, cells).items():
        assert found[pair] == {tuple(one) for one in blocks}, pair
    for one in country.pairs:
        supported = one.is_supported
        alone = judge_pair(
            one.sessions, one.lessons, thresholds, one.schedules, is_supported=supported
        )
        assert [_sum_up(series) for series in alone] == [_sum_up(series) for series in one.series]


def _sum_up(series: Series) -> tuple[object, ...]:
    """What is judged of a series by its sessions alone."""
    stretches = [(stretch.first, stretch.last, stretch.is_block) for stretch in series.stretches]
    return series.kind, series.fails, series.log_evidence, series.days, stretches


def test_what_counts_for_a_kind() -> None:
    """Its own failures, and what reached the site or does not say. Neither what is down for the
    control, nor another kind; nor, of lookups, what another resolver answers."""
    shown = [
        ("blocked", "dns_sent", True, True),
        ("ok", "", False, False),
        ("down", "", False, True),
        ("blocked", "tcp_sent", False, True),
        ("unclear", "", False, True),
        ("ok", "", False, True),
        ("blocked", "dns_sent", True, True),
        ("blocked", "tcp_sent", False, True),
    ]
    sessions = [Session(row, row, row, row, *what) for row, what in enumerate(shown)]
    counted = {
        series.kind: [session.row for session in series.sessions]
        for series in find_series(sessions, 2)
    }
    assert counted == {
        "dns_sent": [0, 4, 5, 6],
        "tcp_sent": [1, 3, 4, 5, 7],
        ANY: list(range(8)),
    }
    assert [series.kind for series in find_series(sessions, 3)] == [ANY]


# --- Hours of the week at which a block holds are found where there are any, and nowhere else. ----

MONDAY = np.datetime64("2024-01-01T00:00:00", "s")


def _ratio(schedule: Schedule, asked: TimedSessions) -> float:
    """The likelihood ratio of sessions at the hours of a schedule, over their best days."""
    return fit_range(asked, schedule.hours).log_ratio


def _times(rng: np.random.Generator, per_day: int, day_count: int = 63) -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = MONDAY + rng.integers(
        0, day_count * 86_400, per_day * day_count
    )
    return np.sort(times)


def _weekday(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    days: NDArray[np.int64] = (times - MONDAY).astype(np.int64) // 86_400 % 7
    return days


def _hour(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    hours: NDArray[np.int64] = (times - MONDAY).astype(np.int64) // 3_600 % 24
    return hours


def _draw(
    rng: np.random.Generator, times: NDArray[np.datetime64], shares: NDArray[np.float64]
) -> TimedSessions:
    return TimedSessions(times, rng.random(len(times)) < shares, np.full(len(times), 0.03))


def _block_by_hours(
    seed: int, weekdays: set[int], hours: set[int], per_day: int = 10
) -> TimedSessions:
    """Blocked from the third to the sixth of nine weeks at these hours."""
    rng = np.random.default_rng(seed)
    times = _times(rng, per_day)
    is_inside = np.isin(_weekday(times), list(weekdays)) & np.isin(_hour(times), list(hours))
    week = (times - MONDAY).astype(np.int64) // (7 * 86_400)
    return _draw(rng, times, np.where(is_inside & (week >= 2) & (week < 6), 0.97, 0.02))


@pytest.mark.parametrize(
    ("weekdays", "hours", "text"),
    [
        ({0, 1, 2, 3, 4}, {4, 5, 6, 7, 10, 11, 12, 13}, "Mon-Fri 04:00-08:00, 10:00-14:00"),
        ({6, 0, 1, 2, 3}, {5, 6, 7, 8}, "Sun-Thu 05:00-09:00"),
        (set(range(7)), {22, 23, 0, 1, 2, 3, 4, 5}, "Mon-Sun 00:00-06:00, 22:00-24:00"),
        ({3, 4}, set(range(6, 18)), "Thu-Fri 06:00-18:00"),
    ],
    ids=["exams", "Sunday is a school day", "curfew", "end of the week"],
)
def test_hours_are_found(weekdays: set[int], hours: set[int], text: str) -> None:
    """A run may pass Sunday, a window midnight; the days are those of the block."""
    series = _block_by_hours(1, weekdays, hours, per_day=20)
    schedule = find_schedule(series)
    assert schedule is not None
    assert str(schedule) == text
    assert MONDAY + 14 * 86_400 <= schedule.first_day <= schedule.last_day < MONDAY + 42 * 86_400
    is_inside = schedule.is_inside(series.times)
    assert series.is_hit[is_inside].mean() > 0.9
    assert series.is_hit[~is_inside].mean() < 0.1


def _stretches(rng: np.random.Generator, times: NDArray[np.datetime64]) -> TimedSessions:
    week = (times - MONDAY).astype(np.int64) // (7 * 86_400)
    is_blocked = (week > 1) & (week < 5) | (week == 7)
    return _draw(rng, times, np.where(is_blocked, rng.choice([0.3, 0.6, 0.95]), 0.03))


def _closed_weekdays(rng: np.random.Generator, times: NDArray[np.datetime64]) -> TimedSessions:
    return _draw(rng, times, np.where(_weekday(times) < 5, 0.9, 0.03))


def _overload(rng: np.random.Generator, times: NDArray[np.datetime64]) -> TimedSessions:
    return _draw(rng, times, np.full(len(times), rng.choice([0.1, 0.3, 0.5])))


def _busy_evenings(rng: np.random.Generator, times: NDArray[np.datetime64]) -> TimedSessions:
    shares = np.where((_hour(times) > 13) & (_hour(times) < 19), 0.5, 0.02)
    return replace(_draw(rng, times, shares), rates=shares)


def _tests_in_class(rng: np.random.Generator, times: NDArray[np.datetime64]) -> TimedSessions:
    times = times[np.isin(_hour(times), [4, 5, 6, 7]) & (_weekday(times) < 5)]
    return _stretches(rng, times)


@pytest.mark.parametrize(
    "draw", [_stretches, _closed_weekdays, _overload, _busy_evenings, _tests_in_class]
)
def test_no_hours_are_made_up(
    draw: Callable[[np.random.Generator, NDArray[np.datetime64]], TimedSessions],
) -> None:
    """Not of whole days, nor of shares, nor where failing is usual or open tests are missing."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        assert find_schedule(draw(rng, _times(rng, 1 + 4 * (seed % 4)))) is None


def _find(networks: dict[int, TimedSessions]) -> dict[int, Schedule]:
    """The schedules of a site's networks, all of one kind."""
    found = find_site_schedules([replace(one, network=asn) for asn, one in networks.items()])
    return {asked.network: schedule for asked, schedule in found.items()}


def test_hours_of_one_network_are_tried_on_the_others() -> None:
    """A network with too few tests to find the hours shows whether it keeps them."""
    exams = ({0, 1, 2, 3, 4}, {4, 5, 6, 7, 10, 11, 12, 13})
    clear, thin = _block_by_hours(1, *exams, per_day=20), _block_by_hours(3, *exams, per_day=2)
    rng = np.random.default_rng(3)
    open_all_day = _draw(rng, _times(rng, 20), np.full(20 * 63, 0.03))
    assert find_schedule(thin) is None
    found = _find({1: thin, 2: clear, 3: open_all_day})
    assert {asn: str(one) for asn, one in found.items()} == dict.fromkeys(
        (1, 2), "Mon-Fri 04:00-08:00, 10:00-14:00"
    )
    assert fit_schedule(replace(found[2], windows=((15, 19),)), thin) is None
    # Nobody else names the hours of the clear one.
    assert {asn: one.by_others is not None for asn, one in found.items()} == {1: True, 2: False}
    assert found[1].log_evidence > found[1].log_ratio - 1, "at next to no price"


def test_networks_have_one_set_of_hours_unless_their_own_explain_much_more() -> None:
    """Chance shifts the hours of one network of two; another order has hours of its own."""
    exams = ({0, 1, 2, 3, 4}, {4, 5, 6, 7, 10, 11, 12, 13})
    clear, shifted = (_block_by_hours(seed, *exams, per_day=6) for seed in (1, 5))
    curfew = _block_by_hours(2, set(range(7)), {18, 19, 20, 21}, per_day=6)
    assert str(find_schedule(shifted)) == "Mon-Fri 04:00-14:00"
    found = _find({1: shifted, 2: clear, 3: curfew})
    assert {asn: str(one) for asn, one in found.items()} == {
        1: "Mon-Fri 04:00-08:00, 10:00-14:00",
        2: "Mon-Fri 04:00-08:00, 10:00-14:00",
        3: "Mon-Sun 18:00-22:00",
    }


def test_the_failures_of_one_day_weigh_as_much_as_two() -> None:
    """What reached the site that day weighs in full."""
    failed, reached = log(0.9 / 0.03), log(0.1 / 0.97)
    for hits, expected in ((1, failed), (2, 2 * failed), (3, 2 * failed), (9, 2 * failed)):
        times = MONDAY + np.arange(12) * 3_600
        asked = TimedSessions(times, np.arange(12) < hits, np.full(12, 0.03))
        assert asked.by_hour.sum() == pytest.approx(expected + (12 - hits) * reached)


def test_at_given_hours_the_expectation_is_at_most_one() -> None:
    """Every way in which twelve sessions of six days may fail by chance, by its probability."""
    times = MONDAY + np.repeat(np.arange(6), 2) * 86_400 + np.tile([4, 5], 6) * 3_600
    schedule = Schedule(0, ((4, 6),), MONDAY, MONDAY, 0.0)
    expectation = 0.0
    for outcome in product((False, True), repeat=len(times)):
        is_hit, rates = np.array(outcome), np.full(len(times), 0.3)
        probability = np.where(is_hit, rates, 1 - rates).prod()
        held = _ratio(schedule, TimedSessions(times, is_hit, rates)) - log(6 * 7 / 2)
        expectation += probability * exp(held)
    assert 0.1 < expectation <= 1


def test_what_is_blocked_every_other_week_has_no_hours() -> None:
    """Tested in the evening while it was blocked and in the morning otherwise: weeks explain it."""
    is_hit = np.arange(42) // 7 % 2 == 0
    times = MONDAY + np.arange(42) * 86_400 + np.where(is_hit, 20, 8) * 3_600
    assert find_schedule(TimedSessions(times, is_hit, np.full(42, 0.02))) is None
