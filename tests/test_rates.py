"""How often a session would fail anyway: what teaches it, what does not, and the pair itself."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import count

import duckdb
import numpy as np
import pandas as pd
import pytest

from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.thresholds import Thresholds
from analysis.store.stage_tables import add_room
from analysis.verdicts.rates import LEAST, expect
from analysis.verdicts.sessions import KINDS, Operators, add_sessions
from analysis.verdicts.verdicts import weigh_sessions
from tests.series import series_of

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
