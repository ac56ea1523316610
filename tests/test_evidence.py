"""How surprising failures are, whatever stretch one looks at."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import count

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.thresholds import Thresholds
from analysis.store.stage_tables import add_room
from analysis.verdicts import blocks
from analysis.verdicts.e_values import (
    chance_of,
    log_ratios,
    log_stretch_count,
    weigh_evidence,
)
from analysis.verdicts.hours import Schedule
from analysis.verdicts.intervals import chance_text, evidence_text
from analysis.verdicts.rates import LEAST, TAUGHT, Lessons, expect
from analysis.verdicts.series import find_candidates
from analysis.verdicts.sessions import KINDS, Operators, add_sessions
from analysis.verdicts.states import (
    meets_floor,
    wilson_bounds,
)
from analysis.verdicts.stretches import find_stretches
from analysis.verdicts.verdicts import weigh_sessions
from tests.series import series_of


def _evidence(*cells: list[int], rate: float = 0.02, **options: object) -> np.ndarray:
    series = series_of(*cells, **options)  # type: ignore[arg-type]
    return np.exp(weigh_evidence(series, np.full(len(series.row), rate))[0])


def test_a_pair_that_fails_now_and_then_by_itself_does_not_grow_without_end() -> None:
    """Every other session of four hundred fails, where only one in fifty was expected: what it
    gains is what it began with."""
    values = []
    for size in (40, 400):
        series = series_of([0, 1] * (size // 2))
        values.append(weigh_evidence(series, expect(series, np.full(size, 0.02))).evidence[0])
    assert values[1] < values[0] + np.log(10)
    assert np.log(_evidence([0, 1] * 200, rate=0.02)[0]) > 100


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_if_nobody_blocks_the_expectation_is_at_most_one(rate: float) -> None:
    """20,000 series that fail by chance: the mean, four standard errors allowed, and the tails
    that Markov's inequality bounds; at a known rate."""
    rng = np.random.default_rng(1)
    series = series_of(*(rng.random((20_000, 12)) < rate).astype(int),
                       days=[[0, 0, 0, 1, 2, 2, 3, 4, 5, 5, 5, 6]] * 20_000)  # fmt: skip
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
    of_days = weigh_evidence(series, expect(series, np.full(12, 0.1))).evidence[0]
    of_hours = schedule.log_evidence - log_stretch_count(np.array([12]))[0] + np.log(0.1)
    assert evidence.log_evidence == pytest.approx([np.logaddexp(of_days, of_hours)])
    assert abs(of_days - of_hours) < 4, "else one of them would not be seen"


def test_no_chance_below_one_in_a_thousand_is_told() -> None:
    """Nor above 1; the evidence is the logarithm of E to base 10, and nothing of no series."""
    told = pd.Series(np.log([0.5, 1.0, 100.0, 1e9]))
    assert chance_text(told).tolist() == ["1.0e+00", "1.0e+00", "1.0e-02", "1.0e-03"]
    assert evidence_text(told).tolist() == ["-0.3", "0.0", "2.0", "9.0"]
    nothing = pd.Series([np.nan])
    assert chance_text(nothing).tolist() == evidence_text(nothing).tolist() == [""]


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
    ids=["imposed", "lifted", "imposed twice", "three in a row", "two stray failures",
         "one that got through", "open for five", "open for three", "nothing"],
)  # fmt: skip
def test_changes_come_out_at_their_sessions(letters: str, expected: list[tuple[int, int]]) -> None:
    """The first session that fails and the last, at a rate of 2 % and the price in use."""
    series = series_of([letter == "x" for letter in letters])
    ratios = log_ratios(series.is_hit, np.full(len(letters), 0.02), 0.9)
    assert find_stretches(series, [ratios], 2.0).tolist() == [list(one) for one in expected]


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("xxxoooxxoooxxxxxxxxxoxxoxxxoxxxoxoxxooxxxxxxoxxooxxxxxxxxxxoxoxx", [(0, 63)]),
        ("oooooooooxxxxxooooooxxxxooooooooo", [(9, 13), (20, 23)]),
        ("ooooooooooooxxxxxxxxxxxxxxoooooooooo", [(12, 25)]),
    ],
    ids=["on two routers of three", "blocked twice", "blocked"],
)
def test_what_part_of_a_networks_routers_block_is_one_stretch(
    letters: str, expected: list[tuple[int, int]]
) -> None:
    """The second share is for what the first leaves in pieces."""
    series = series_of([letter == "x" for letter in letters])
    rates = np.full(len(letters), 0.05)
    ratios = [log_ratios(series.is_hit, rates, share) for share in (0.9, 0.6)]
    assert find_stretches(series, ratios, 1.0).tolist() == [list(one) for one in expected]


def test_no_series_no_stretch() -> None:
    """Nothing to cut is no error, and nothing teaches."""
    nothing = series_of()
    assert find_stretches(nothing, [np.zeros(0)], 2.0).tolist() == []
    assert find_candidates(nothing).tolist() == []


# --- One minimum of evidence for every state, and the bounds of its share. ------------------------

FLOOR = Thresholds()


def _meets(hits: int, days: int, total: int, thresholds: Thresholds = FLOOR) -> bool:
    one = [pd.Series([number]) for number in (hits, days, total)]
    return bool(meets_floor(*one, thresholds).iloc[0])


def test_the_floor() -> None:
    """4 sessions of the class on 3 days, and a lower bound of its share of two in five; all three
    can be moved."""
    strict = Thresholds(floor_sessions=10, floor_days=5)
    for expected, hits, days, total, thresholds in (
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
        assert _meets(hits, days, total, thresholds) == expected, (hits, days, total)


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
    known = pd.DataFrame([
        # Newcombe (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),  # 1 - z²/(n + z²)
        (0, 0, None, None),
    ], columns=["hits", "total", "low", "high"])  # fmt: skip
    lower, upper = wilson_bounds(known["hits"], known["total"])
    assert lower.tolist() == pytest.approx(known["low"].tolist(), abs=6e-5, nan_ok=True)
    assert upper.tolist() == pytest.approx(known["high"].tolist(), abs=6e-5, nan_ok=True)


# --- How often a session would fail anyway: what teaches it, and the pair itself. -----------------

#: What fails → class, mechanism and rule.
_OUTCOMES = {
    "ok": ("ok", "", "http.https"),
    "reset": ("blocked", "tls.reset", "tls.reset"),
    "nxdomain": ("blocked", "dns.nxdomain", "dns.nxdomain"),
}
# An AS number has 32 bits, and whoever sends a measurement writes what he likes.
ONE, TWO, THREE, TUNNEL, THIN = 64500, 64501, 4_294_967_295, 64510, 64502
_NUMBERS = count()


@dataclass(frozen=True)
class Outcome:
    """A test of a site on each of so many days, each in a session of its own unless named."""

    shows: str
    day_count: int = 1
    site: str = "a.example"
    asn: int = ONE
    first_day: int = 0
    session: str = ""
    site_asn: int = 64496

    def rows(self) -> Iterator[dict[str, object]]:
        outcome, mechanism, rule_id = _OUTCOMES[self.shows]
        for day in range(self.first_day, self.first_day + self.day_count):
            yield {
                "domain": self.site, "probe_asn": self.asn, "resolver_asn": self.asn,
                "session": self.session or f"session {next(_NUMBERS)}", "software": "probe 3",
                "day": date(2024, 1, 1) + timedelta(days=day),
                "measurement_start_time": datetime(2024, 1, 1, 8) + timedelta(days=day),
                "class": outcome, "mechanism": mechanism, "rule_id": rule_id, "set_aside": "",
                "evidence": "scored", "is_about_target": False, "is_artefact": False,
                "site_asn": self.site_asn,
            }  # fmt: skip


def rates_of(*tests: Outcome, site: str = "a.example", asn: int = ONE) -> float:
    """The base rate of one site on one network, the same for all of its sessions."""
    connection = duckdb.connect()
    rows = pd.DataFrame([row for one in tests for row in one.rows()])
    connection.register("rows_at_hand", rows)
    for column in ("domain", "software"):
        values = f"SELECT DISTINCT {column} FROM rows_at_hand ORDER BY 1"
        connection.execute(f"CREATE TYPE {column}_name AS ENUM ({values})")
    connection.execute("""CREATE TABLE outcomes AS SELECT * REPLACE (
        domain::domain_name AS domain, dense_rank() OVER (ORDER BY session)::UINTEGER AS session,
        software::software_name AS software, day::DATE AS day,
        measurement_start_time::TIMESTAMP_S AS measurement_start_time,
        probe_asn::UINTEGER AS probe_asn, resolver_asn::UINTEGER AS resolver_asn)
        FROM rows_at_hand""")
    thresholds = Thresholds()
    operators = Operators(frozenset([ONE, TWO, THREE, THIN]), {TWO: "Two", THREE: "Two"})
    place = add_room(connection, "sessions")
    made = add_sessions(connection, Outcomes.of(connection), operators, thresholds, place)
    evidence = weigh_sessions(connection, made, thresholds)
    series, cells = evidence.series, evidence.series.cells
    site_number = sorted({one.site for one in tests}).index(site)
    is_own = (cells["domain"] == site_number) & (cells["probe_asn"] == asn)
    (number,) = np.flatnonzero(is_own.to_numpy()[series.cell] & (series.kind < len(KINDS)))
    (rate,) = np.unique(evidence.lessons.base(series)[series.places_of(number)])
    return float(rate)


MINE = (Outcome("reset", 6), Outcome("ok", 6, first_day=6))
#: Other sites, which every network reaches: 240 sessions that teach.
USUAL = tuple(
    Outcome("ok", 30, f"usual-{n}.example", asn, first_day=20 * (n % 2), site_asn=64000 + n)
    for n in range(4) for asn in (ONE, TWO)
)  # fmt: skip
#: The site itself, which another operator reaches.
ELSEWHERE = Outcome("ok", 90, asn=TWO)


def _scattered(asn: int, *, shows: str = "reset", size: int = 19) -> list[Outcome]:
    """A site that fails every other day."""
    return [Outcome(shows if day % 2 else "ok", asn=asn, first_day=day) for day in range(size)]


def test_a_rate_by_hand() -> None:
    """A site that is reset in 9 of 19 sessions of another operator, none of which may be a block;
    on the own network none of the votes of its reports: 6 of the own open sessions and 120 others.

    Of any sessions 9 fail, of 19 + 6 + 240 that teach: the usual rate is (9 + 4 · 0.02) / (265 +
    4). The site's is (9 + 4 · usual) / (19 + 4), the network's 4 · usual / (126 + 4).
    """
    usual = (9 + 4 * 0.02) / (265 + 4)
    site, network = (9 + 4 * usual) / (19 + 4), 4 * usual / (126 + 4)
    found = rates_of(*MINE, *_scattered(TWO), *USUAL)
    assert found == pytest.approx(1 - (1 - site) * (1 - network))
    assert found > 0.35


def test_where_nothing_else_fails_the_rate_is_least() -> None:
    """One block on a network on which all else works; the block itself teaches nothing."""
    assert rates_of(*MINE, *USUAL) == LEAST
    assert rates_of(replace(MINE[0], day_count=30), *USUAL) == LEAST


def test_who_does_not_teach() -> None:
    """Networks of the own operator, a tunnel, one with fewer sessions or days than a state needs,
    another kind of failure, a stretch that may itself be a block, and what fails in half of all."""
    own = [replace(one, asn=TWO) for one in MINE]
    sister = [*own, *_scattered(THREE), replace(ELSEWHERE, asn=ONE), *USUAL]
    low = {
        "the own operator": rates_of(*sister, asn=TWO),
        "a tunnel": rates_of(*MINE, *_scattered(TUNNEL), *USUAL),
        "a thin network": rates_of(*MINE, Outcome("reset", 3, asn=THIN), *USUAL),
        "another kind": rates_of(*MINE, *_scattered(TWO, shows="nxdomain"), *USUAL),
        "a block elsewhere": rates_of(*MINE, Outcome("reset", 20, asn=TWO), *USUAL),
        "what fails in half": rates_of(*MINE, *_scattered(TWO, size=20), *USUAL),
    }
    assert {name: rate for name, rate in low.items() if rate > 0.015} == {}


def test_a_network_on_which_other_sites_fail() -> None:
    """A third of what a network's reports test is reset."""
    flaky = [
        Outcome("reset" if (day + n) % 3 == 0 else "ok", site=f"other-{n}.example", first_day=day,
              session=f"run {day}")
        for day in range(20) for n in range(6)
    ]  # fmt: skip
    assert rates_of(*MINE, *flaky, ELSEWHERE) == pytest.approx(0.3, abs=0.07)


def test_a_report_has_one_vote() -> None:
    """A forged report in which two hundred sites fail, beside thirty in which none does."""
    forged = [Outcome("reset", site=f"forged-{n}.example", session="forged") for n in range(200)]
    many, one = (rates_of(*MINE, *rows, ELSEWHERE, *USUAL) for rows in (forged, forged[:1]))
    assert many < 0.1
    assert many == pytest.approx(one, abs=0.05)


def test_the_pair_itself_says_so_in_order_of_time() -> None:
    """(earlier failures + 8 · base) / (earlier sessions + 8), each series from its own beginning;
    forged failures lie before the first session."""
    series = series_of([1, 0, 1, 1], [0, 1])
    base = np.repeat([0.1, 0.5], [4, 2])
    by_hand = [0.8 / 8, 1.8 / 9, 1.8 / 10, 2.8 / 11, 4 / 8, 4 / 9]
    assert expect(series, base) == pytest.approx(by_hand)
    forged = [2.8 / 10, 3.8 / 11, 3.8 / 12, 4.8 / 13, 6 / 10, 6 / 11]
    assert expect(series, base, 2) == pytest.approx(forged)
    assert expect(series_of(), np.zeros(0)).tolist() == []
