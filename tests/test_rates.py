"""How often a session would fail anyway: what each of its teachers says, and who does not teach."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import count

import duckdb
import numpy as np
import pandas as pd
import pytest
from analysis.verdicts.facts import gather_facts
from analysis.verdicts.lessons import LEAST

from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.thresholds import Thresholds
from analysis.store.stage_tables import add_room
from analysis.verdicts.columns import read_sessions
from analysis.verdicts.rates import learn, raise_by_own
from analysis.verdicts.series import find_candidates, find_series
from analysis.verdicts.sessions import KINDS, Operators, add_sessions
from tests.series import series_of

#: What fails → class, mechanism and rule.
_OUTCOMES = {
    "ok": ("ok", "", "http.https"),
    "reset": ("blocked", "tls.reset", "tls.reset"),
    "stall": ("blocked", "tls.timeout", "tls.timeout"),
    "silence": ("blocked", "tcp.timeout", "tcp.timeout"),
    "nxdomain": ("blocked", "dns.nxdomain", "dns.nxdomain"),
    "down": ("down", "", "http.down"),
}
# An AS number has 32 bits, and whoever sends a measurement writes what he likes.
ONE, TWO, THREE, TUNNEL = 64500, 64501, 4_294_967_295, 64510
_NUMBERS = count()


@dataclass(frozen=True)
class Outcome:
    """A test of a site on each of so many days, each in a session of its own unless named."""

    shows: str
    day_count: int = 1
    site: str = "a.example"
    asn: int = ONE
    first_day: int = 0
    software: str = "probe 3"
    session: str = ""
    site_asn: int = 64496

    def rows(self) -> Iterator[dict[str, object]]:
        outcome, mechanism, rule_id = _OUTCOMES[self.shows]
        for day in range(self.first_day, self.first_day + self.day_count):
            yield {
                "domain": self.site, "probe_asn": self.asn, "resolver_asn": self.asn,
                "session": self.session or f"session {next(_NUMBERS)}", "software": self.software,
                "day": date(2024, 1, 1) + timedelta(days=day),
                "measurement_start_time": datetime(2024, 1, 1, 8) + timedelta(days=day),
                "class": outcome, "mechanism": mechanism, "rule_id": rule_id, "set_aside": "",
                "evidence": "scored", "is_about_target": False, "is_artefact": False,
                "site_asn": self.site_asn,
            }  # fmt: skip


def rates_of(*tests: Outcome, site: str = "a.example", asn: int = ONE) -> np.ndarray:
    """The rates of the sessions of one site on one network, in order."""
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
    operators = Operators(frozenset([ONE, TWO, THREE]), {TWO: "Two", THREE: "Two"})
    place = add_room(connection, "sessions")
    made = add_sessions(connection, Outcomes.of(connection), operators, thresholds, place)
    sessions, floor = read_sessions(connection, made), thresholds.floor_sessions
    series = find_series(sessions, floor)
    rates = learn(gather_facts(sessions, series, floor), series, find_candidates(series)).rates()
    site_number, cells = sorted({one.site for one in tests}).index(site), series.cells
    is_own = (cells["domain"] == site_number) & (cells["probe_asn"] == asn)
    (number,) = np.flatnonzero(is_own.to_numpy()[series.cell] & (series.kind < len(KINDS)))
    return rates[slice(*series.starts[number : number + 2])]


MINE = (Outcome("reset", 6), Outcome("ok", 6, first_day=6))
STALLS = (Outcome("stall", 6, first_day=40), Outcome("ok", 6, first_day=46))
#: Other sites, which every network reaches.
USUAL = tuple(
    Outcome("ok", 30, f"usual-{n}.example", asn, first_day=20 * (n % 2), site_asn=64000 + n)
    for n in range(4) for asn in (ONE, TWO)
)  # fmt: skip


#: The site itself, which another operator reaches.
ELSEWHERE = Outcome("ok", 90, asn=TWO)


def test_where_nothing_else_fails_the_rate_is_low() -> None:
    """One block on a network on which all else works; the block itself teaches nothing."""
    assert rates_of(*MINE, *USUAL).max() < 0.02
    assert (
        rates_of(*(replace(one, day_count=30, first_day=0) for one in MINE[:1]), *USUAL).max()
        < 0.02
    )


def test_a_site_that_fails_for_other_operators() -> None:
    """Half of its sessions elsewhere, scattered: about half; by its own operator, nothing."""
    scattered = [Outcome("reset" if day % 2 else "ok", asn=TWO, first_day=day) for day in range(20)]
    assert rates_of(*MINE, *scattered, *USUAL) == pytest.approx(0.45, abs=0.07)
    sister = [replace(one, asn=THREE) for one in scattered]
    own = [*(replace(one, asn=TWO) for one in MINE), *sister, *USUAL]
    assert rates_of(*own, asn=TWO).max() < 0.1


def test_a_block_elsewhere_does_not_teach() -> None:
    """A stretch of failures of another operator may itself be a block; a tunnel is no teacher."""
    assert rates_of(*MINE, Outcome("reset", 20, asn=TWO), *USUAL).max() < 0.03
    tunnel = [Outcome("reset" if day % 2 else "ok", asn=TUNNEL, first_day=day) for day in range(20)]
    assert rates_of(*MINE, *tunnel, *USUAL).max() < 0.03


def test_kinds_teach_apart() -> None:
    """That names are not found elsewhere says nothing of resets."""
    others = [Outcome("nxdomain" if day % 2 else "ok", asn=TWO, first_day=day) for day in range(20)]
    assert rates_of(*MINE, *others, *USUAL).max() < 0.03


def test_a_version_that_fails_elsewhere() -> None:
    """Sessions of the old probe are no surprise, those of the new one are."""
    old = replace(MINE[0], day_count=3, software="probe 2")
    new = replace(MINE[0], day_count=3, first_day=3)
    elsewhere = [
        Outcome("reset" if day % 3 else "ok", asn=TWO, first_day=day, software="probe 2")
        for day in range(18)
    ]
    fine = Outcome("ok", 60, asn=TWO)
    rates = rates_of(old, new, MINE[1], *elsewhere, fine, *USUAL)
    assert rates[:3].min() > 0.3
    assert rates[3:].max() < 0.2


def test_a_session_is_not_heard_twice_through_its_version_and_its_site() -> None:
    """One failure of one session by this version elsewhere: a fifth, and no more for the site's."""
    elsewhere = Outcome("reset", asn=TWO), Outcome("ok", 6, asn=TWO, first_day=6, software="9")
    assert rates_of(*MINE, *elsewhere, *USUAL).max() == pytest.approx(0.21, abs=0.02)


def test_a_version_that_nobody_else_has() -> None:
    """What a newer version cannot do elsewhere, the older one cannot here; not the other way."""

    def rates(here: str, there: str) -> np.ndarray:
        own = replace(MINE[0], software=here)
        elsewhere = [
            Outcome("reset" if day % 3 else "ok", asn=TWO, first_day=day, software=there)
            for day in range(18)
        ]
        return rates_of(own, MINE[1], *elsewhere, Outcome("ok", 60, asn=TWO), *USUAL)

    assert rates("probe-a 2.9.1", "probe-b 2.10")[: MINE[0].day_count].min() > 0.3
    assert rates("probe-a 2.10", "probe-b 2.9.1")[: MINE[0].day_count].max() < 0.2


def test_near_days_teach_of_silence_only() -> None:
    """An outage: nobody connects for a while. A reset for all at once may be an order, and so may
    silence at the site's name, where the connection had come about."""

    def rates(shows: str, *later: Outcome) -> np.ndarray:
        own = (replace(one, shows=one.shows.replace("stall", shows)) for one in STALLS)
        day = 0 if later else 40
        return rates_of(*own, Outcome(shows, 6, asn=TWO, first_day=day),
                        *(later or [Outcome("ok", 35, asn=TWO)]), *USUAL)  # fmt: skip

    assert rates("silence")[:6].min() > 0.2
    assert rates("stall").max() < 0.05
    assert rates("reset").max() < 0.03
    assert rates("silence", Outcome("ok", 90, asn=TWO, first_day=6)).max() < 0.05


def test_a_network_on_which_other_sites_fail() -> None:
    """A third of what a network's reports test is reset."""
    flaky = [
        Outcome("reset" if (day + n) % 3 == 0 else "ok", site=f"other-{n}.example", first_day=day,
              session=f"run {day}")
        for day in range(20) for n in range(6)
    ]  # fmt: skip
    assert rates_of(*MINE, *flaky, ELSEWHERE) == pytest.approx(0.33, abs=0.05)


def test_a_report_has_one_vote() -> None:
    """A forged report in which two hundred sites fail, beside thirty in which none does."""
    forged = [Outcome("reset", site=f"forged-{n}.example", session="forged") for n in range(200)]
    many, one = (rates_of(*MINE, *rows, ELSEWHERE, *USUAL) for rows in (forged, forged[:1]))
    assert many.max() < 0.1
    assert many == pytest.approx(one, abs=0.05)


def test_the_session_itself() -> None:
    """In the run in which everything else fails, a failure is no surprise."""
    spent = [Outcome("reset", site=f"other-{n}.example", session="spent") for n in range(8)]
    mine = [Outcome("reset", session="spent"), Outcome("reset", 5, first_day=1), MINE[1]]
    rates = rates_of(*mine, *spent, *USUAL)
    assert rates[0] > 0.6
    assert rates[1:].max() < 0.2


def test_a_route_on_which_neighbours_are_silent() -> None:
    """Another site in the same hosting network cannot be connected to on the same days there.

    One that stalls once it is named may be blocked by its name too: no route is lost.
    """
    neighbour = [
        Outcome("ok", 38, site="neighbour.example", site_asn=64496),
        Outcome("silence", 6, site="neighbour.example", first_day=40, site_asn=64496),
    ]
    assert rates_of(*STALLS, *neighbour, *USUAL)[:6].min() > 0.3
    apart = [replace(one, site_asn=64497) for one in neighbour]
    assert rates_of(*STALLS, *apart, *USUAL).max() < 0.05
    named = [neighbour[0], replace(neighbour[1], shows="stall")]
    assert rates_of(*STALLS, *named, *USUAL).max() < 0.05


def test_what_fails_outside_of_the_stretches_raises_a_cells_own_rate() -> None:
    """A site may fail on one network for reasons that nobody else shows."""
    series = series_of([1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1], [0] * 6 + [1] * 6)
    low = np.full(len(series.row), 0.02)
    inside = np.array([False] * 6 + [True] * 6 + [False] * 6 + [True] * 6)
    raised = raise_by_own(series, low, inside)
    assert raised[:12] == pytest.approx((3 + 4 * 0.02) / (6 + 4))
    assert raised[12:] == pytest.approx(0.02)
    assert raised.min() >= LEAST
