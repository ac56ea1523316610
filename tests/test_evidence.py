"""From sessions to evidence: what teaches, how surprising failures are, when, and from how many."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import log
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
from analysis.verdicts import blocks
from analysis.verdicts.blocks import find_blocks, find_stretches
from analysis.verdicts.e_values import (
    chance_of,
    log_ratios,
    log_stretch_count,
    weigh_evidence,
)
from analysis.verdicts.hours import (
    Asked,
    Schedule,
    find_of_site,
    find_schedule,
    fit_range,
    fit_schedule,
)
from analysis.verdicts.intervals import round_chance, round_evidence
from analysis.verdicts.rates import TAUGHT, Lessons, expect
from analysis.verdicts.series import FAILING, Series
from analysis.verdicts.sessions import BLOCKED, KINDS, OK, SESSION_VIEWS, Operators
from analysis.verdicts.states import (
    meets_floor,
    wilson_bounds,
)
from analysis.verdicts.verdicts import weigh_sessions
from tests.letters import ALL_NETWORKS, FOURTH, VPN, days, study_of
from tests.observations import Row
from tests.plain_judge import LINE, list_blocks, sessions_of, weigh

_DAY_ONE = np.datetime64("2024-01-01T08:00:00", "s")


def series_of(
    *cells: Sequence[int], kind: str = "name_sent", days: Sequence[Sequence[int]] | None = None
) -> Series:
    """One series a cell, 1 for a failure and 0 for access; a session a day unless told otherwise.

    Args:
        cells: the outcomes of each.
        kind: of all of them.
        days: the number of the day of each session of each cell.
    """
    lengths = [len(cell) for cell in cells]
    hits = np.array([hit for cell in cells for hit in cell], bool)
    numbers = days or [range(length) for length in lengths]
    number = np.array([day for own in numbers for day in own], np.int64)
    cell = np.repeat(np.arange(len(cells)), np.array(lengths, np.int64))
    time = _DAY_ONE + number * 86_400
    sessions = {
        "place": np.arange(len(hits)),
        "cell": cell,
        "session": np.arange(len(hits)),
        "software": np.zeros(len(hits), int),
        "time": time,
        "day": time.astype("datetime64[D]"),
        "class": np.where(hits, BLOCKED, OK),
        "kind": np.where(hits, KINDS.index(kind), -1),
        "is_dns": np.full(len(hits), kind.startswith("dns")),
        "is_speaking": np.ones(len(hits), bool),
    }
    known = pd.DataFrame(
        {"domain": range(len(cells)), "probe_asn": 64500, "network": 0, "operator": 0}
    )
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    kinds = np.full(len(cells), KINDS.index(kind), np.int8)
    return Series(known, sessions, kinds, starts, np.arange(len(hits)), hits)


def _evidence(*cells: list[int], rate: float = 0.02, **options: object) -> np.ndarray:
    series = series_of(*cells, **options)  # type: ignore[arg-type]
    return np.exp(weigh_evidence(series, np.full(len(series.row), rate))[0])


def test_a_pair_that_fails_now_and_then_by_itself_does_not_grow_without_end() -> None:
    """Every other session of four hundred fails, where only one in fifty was expected: what it
    gains is what it began with."""
    values = []
    for size in (40, 400):
        series = series_of([0, 1] * (size // 2))
        values.append(weigh_evidence(series, expect(series, np.full(size, 0.02)))[0][0])
    assert values[1] < values[0] + np.log(10)
    assert np.log(_evidence([0, 1] * 200, rate=0.02)[0]) > 100


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_if_nobody_blocks_the_expectation_is_at_most_one(rate: float) -> None:
    """20,000 series that fail by chance: the mean, four standard errors allowed, and the tails
    that Markov's inequality bounds; at a known rate."""
    rng = np.random.default_rng(1)
    series = series_of(
        *(rng.random((20_000, 12)) < rate).astype(int),
        days=[[0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 5, 6]] * 20_000,
    )
    found = np.exp(weigh_evidence(series, np.full(len(series.row), rate))[0])
    assert found.mean() <= 1 + 4 * found.std() / np.sqrt(len(found))
    for share in (0.1, 0.01, 0.001):
        assert (chance_of(np.log(found)) <= share).mean() <= share


def test_days_and_hours_are_parts_of_one_e_value() -> None:
    """Nine tenths and one: the larger of the two would have an expectation of up to 2."""
    series = series_of([1] * 12)
    first, last = series.column("time")[[0, -1]].astype("datetime64[D]")
    schedule = Schedule(0, ((8, 9),), first, last, log_ratio=25.0)
    lessons = Lessons(pd.DataFrame(0.0, [0], list(TAUGHT)), np.full(12, 0.1))
    evidence = blocks.weigh_evidence(series, lessons, {0: schedule}, Thresholds())
    of_days = weigh_evidence(series, expect(series, np.full(12, 0.1)))[0][0]
    of_hours = schedule.log_evidence - log_stretch_count(np.array([12]))[0] + np.log(0.1)
    assert evidence.log_evidence == pytest.approx([np.logaddexp(of_days, of_hours)])
    assert abs(of_days - of_hours) < 4, "else one of them would not be seen"


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
    ],
)
def test_changes_come_out_at_their_sessions(letters: str, expected: list[tuple[int, int]]) -> None:
    """The first session that fails and the last, at a rate of 2 % and the price in use."""
    series = series_of([letter == "x" for letter in letters])
    ratios = log_ratios(series.is_hit, np.full(len(letters), 0.02), 0.9)
    assert find_stretches(series, [ratios], 2.0).tolist() == [list(one) for one in expected]


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


# --- The fast judge agrees with a plain one on random small studies. ------------------------------

_TOLD = f"""
SELECT domain::VARCHAR, probe_asn, if(probe_asn = {FOURTH}, {ALL_NETWORKS[0]}, probe_asn), session,
  (day - DATE '1970-01-01')::INTEGER, class::VARCHAR, coalesce(kind::VARCHAR, '')
FROM told_sessions WHERE class <> 'none' AND is_heard AND probe_asn <> {VPN}
ORDER BY domain, probe_asn, time, session
"""


def _random_rows(seed: int) -> list[Row]:
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
    study = study_of(_random_rows(seed), Period.parse("2024-01-01", "2024-04-01"))
    study.networks()["operator"] = ["One", "Two", "Three", "One", "Tunnel"]
    thresholds = Thresholds()
    method = Method(thresholds, RULES, study.fingerprints, Operators.of(study.networks()))
    made = Maker(None, study.connection, method).make_sessions()
    evidence = weigh_sessions(study.connection, made, thresholds)
    with made.opened(study.connection) as opened:
        create_views(opened, SESSION_VIEWS)
        told = sessions_of(opened.execute(_TOLD).fetchall())
        names = read_type(opened, "host_name")
    plain, cells = weigh(told), defaultdict(list)
    for one in told:
        cells[one.domain, one.network].append(one)
    series = evidence.series
    pairs = list(
        zip(
            names[series.look_up("domain", series.first_rows())],
            series.look_up("probe_asn", series.first_rows()),
            strict=True,
        )
    )
    of_kinds = [
        n for n in range(len(series.kind)) if series.kind[n] < FAILING and pairs[n][1] != VPN
    ]
    assert {(pairs[n], KINDS[series.kind[n]]) for n in of_kinds} == {
        (pair, kind) for pair, kinds in plain.items() for kind in kinds
    }
    for number in of_kinds:
        expected, _ = plain[pairs[number]][KINDS[series.kind[number]]]
        if number not in evidence.schedules and KINDS[series.kind[number]] != "mark":
            assert evidence.log_evidence[number] == pytest.approx(log(expected), abs=1e-6)
    stretches, elements = evidence.stretches, evidence.elements
    is_block = find_blocks(evidence, stretches, elements, log(LINE), thresholds)
    found = defaultdict(set)
    for row in stretches[is_block].itertuples():
        rows = series.row[[row.first, row.last]]
        first, last = (series.sessions["day"][rows].astype("datetime64[D]").astype(int)).tolist()
        found[pairs[row.series]].add((KINDS[row.kind], first, last, row.hits))
    assert any(found.values())  # or nothing is compared
    for pair, kinds in plain.items():
        blocks = list_blocks(kinds, cells[pair])
        assert found[pair] == {tuple(one) for one in blocks}, pair


# --- Hours of the week at which a block holds are found where there are any, and nowhere else. ----

MONDAY = np.datetime64("2024-01-01T00:00:00", "s")


def _ratio(schedule: Schedule, asked: Asked) -> float:
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
) -> Asked:
    return Asked(times, rng.random(len(times)) < shares, np.full(len(times), 0.03))


def _block_by_hours(seed: int, weekdays: set[int], hours: set[int], per_day: int = 10) -> Asked:
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


def _stretches(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    week = (times - MONDAY).astype(np.int64) // (7 * 86_400)
    is_blocked = (week > 1) & (week < 5) | (week == 7)
    return _draw(rng, times, np.where(is_blocked, rng.choice([0.3, 0.6, 0.95]), 0.03))


def _closed_weekdays(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    return _draw(rng, times, np.where(_weekday(times) < 5, 0.9, 0.03))


def _overload(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    return _draw(rng, times, np.full(len(times), rng.choice([0.1, 0.3, 0.5])))


def _busy_evenings(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    shares = np.where((_hour(times) > 13) & (_hour(times) < 19), 0.5, 0.02)
    return replace(_draw(rng, times, shares), rates=shares)


def _tests_in_class(rng: np.random.Generator, times: NDArray[np.datetime64]) -> Asked:
    times = times[np.isin(_hour(times), [4, 5, 6, 7]) & (_weekday(times) < 5)]
    return _stretches(rng, times)


@pytest.mark.parametrize(
    "draw", [_stretches, _closed_weekdays, _overload, _busy_evenings, _tests_in_class]
)
def test_no_hours_are_made_up(
    draw: Callable[[np.random.Generator, NDArray[np.datetime64]], Asked],
) -> None:
    """Not of whole days, nor of shares, nor where failing is usual or open tests are missing."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        assert find_schedule(draw(rng, _times(rng, 1 + 4 * (seed % 4)))) is None


def _find(networks: dict[int, Asked]) -> dict[int, Schedule]:
    """The schedules of a site's networks, all of one kind."""
    found = find_of_site({(0, asn): asked for asn, asked in networks.items()})
    return {asn: schedule for (_, asn), schedule in found.items()}


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


def test_at_given_hours_the_expectation_is_at_most_one() -> None:
    """Every way in which twelve sessions of six days may fail by chance, by its probability."""
    times = MONDAY + np.repeat(np.arange(6), 2) * 86_400 + np.tile([4, 5], 6) * 3_600
    schedule = Schedule(0, ((4, 6),), MONDAY, MONDAY, 0.0)
    expectation = 0.0
    for outcome in product((False, True), repeat=len(times)):
        is_hit, rates = np.array(outcome), np.full(len(times), 0.3)
        probability = np.where(is_hit, rates, 1 - rates).prod()
        held = _ratio(schedule, Asked(times, is_hit, rates)) - log_stretch_count(np.array([6]))
        expectation += probability * float(np.exp(held)[0])
    assert 0.1 < expectation <= 1


def test_what_is_blocked_every_other_week_has_no_hours() -> None:
    """Tested in the evening while it was blocked and in the morning otherwise: weeks explain it."""
    is_hit = np.arange(42) // 7 % 2 == 0
    times = MONDAY + np.arange(42) * 86_400 + np.where(is_hit, 20, 8) * 3_600
    assert find_schedule(Asked(times, is_hit, np.full(42, 0.02))) is None
