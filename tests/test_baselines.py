"""Other people's methods as they were published, and what differs between two judges."""

import re
from dataclasses import fields, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.features import add_features
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.period import Period
from analysis.report.differences import (
    compare_methods,
    compare_verdicts,
    count_methods,
    count_reasons,
)
from analysis.report.other_methods import baselines, imap_2024, ooni_anomaly, ooni_v5, weigh_flags
from analysis.store.stage_tables import KeptTables, Tables, add_room
from analysis.study.confirmation import sweep
from analysis.tables import TABLES
from analysis.verdicts.sessions import Operators, add_sessions
from analysis.verdicts.verdicts import Scope, judge_cells
from analysis.vocabulary import LISTED, METHODS
from tests.letters import study_of
from tests.observations import (
    PROBE_NETWORK,
    Row,
    answer,
    connect,
    connection_with,
    handshake,
    no_control,
    observation,
)
from tests.situations import (
    ELSEWHERE,
    NXDOMAIN,
    RESET,
    TIMEOUT,
    dead,
    fingerprints_for,
    misled,
    on,
    other_page,
    unconnected,
    unresolved,
    unshaken,
)

ROOT = Path(__file__).resolve().parents[1]


def _named(number: int, row: Row, **changes: Any) -> Row:
    """The row for a site of its own."""
    domain = f"site{number}.example"
    return {**row, "domain": domain, "input": f"https://{domain}/", **changes}


def _prepared(rows: list[Row]) -> duckdb.DuckDBPyConnection:
    connection = connection_with(rows)
    place = add_room(connection, "features")
    add_features(connection, Tables.of(connection), Thresholds(), place).use(connection)
    return connection


# --- iMAP 2024 ----------------------------------------------------------------------------------


def test_imap_suspects_what_several_names_share() -> None:
    """An address of more than ten names, the same page of more than two where something was
    unusual. A person decides on it; accepted, one measurement is enough, even one that the probe
    calls fine."""
    for count, row, accepts, is_listed in (
        (11, misled(is_anomaly=False), True, True),
        (11, misled(is_anomaly=False), False, False),
        (10, misled(is_anomaly=False), True, False),
        (2, other_page(is_failure=True), True, False),
        (3, other_page(is_failure=True), True, True),
        (3, other_page(is_failure=True), False, False),
    ):
        rows = [_named(number, row) for number in range(count)]
        fine = _named(99, observation(dns_answers=[answer(ELSEWHERE, 64499)]))
        rows += [fine] if count > 9 else []
        found = imap_2024(weigh_flags(connection_with(rows)), accepts_suspects=accepts)
        assert found["is_listed"].tolist() == [is_listed] * len(rows), (count, accepts)
        if is_listed and count == 11:
            assert set(found["reason"]) == {f"{ELSEWHERE} given for 11 names"}


def test_imap_weighs_thin_networks_less() -> None:
    """Weight 1 from the 40th percentile of the site's networks on and above 5, else 0.3; above
    0.9 the network is listed."""
    for counts, weighted in (
        # measurements and anomalies by network -> the weighted share of each
        ([(10, 10)], [1.0]),
        ([(5, 5)], [0.3]),  # more than 5 are needed
        ([(6, 6), (100, 0), (100, 50)], [0.3, 0.0, 0.5]),  # 6 is below the 40th percentile
    ):
        rows = [
            observation(probe_asn=PROBE_NETWORK + place, is_anomaly=number < anomalies)
            for place, (total, anomalies) in enumerate(counts)
            for number in range(total)
        ]
        found = imap_2024(weigh_flags(connection_with(rows)), accepts_suspects=False)
        assert found["weighted_share"].tolist() == pytest.approx(weighted)
        assert found["is_listed"].tolist() == [share > 0.9 for share in weighted]


# --- OONI's flags -------------------------------------------------------------------------------


def test_ooni_flags_are_disjoint() -> None:
    """30 % of all measurements; a failed one is no anomaly and counts in the denominator."""
    for anomalies, failures, is_listed in (
        (3, 0, True),
        (2, 0, False),
        (3, 1, False),
        (0, 10, False),
    ):
        rows = [observation(is_anomaly=number < anomalies) for number in range(10 - failures)]
        rows += [observation(is_failure=True, is_anomaly=True)] * (2 * failures)
        found = ooni_anomaly(weigh_flags(connection_with(rows)))
        assert found["is_listed"].tolist() == [is_listed], (anomalies, failures)
    # Without a fingerprint list the flag "confirmed" is unknown, and nothing is listed by it.
    connection = _prepared([observation(is_confirmed=None), observation(is_confirmed=None)])
    assert not baselines(connection, Fingerprints())["ooni_confirmed"]["is_listed"].any()


# --- OONI v5 ------------------------------------------------------------------------------------

#: A measurement, its weight and the rule that gives it; none where nothing could be scored.
WEIGHTS = [
    (observation(), 0.0, ""),
    (observation(dns_answers=[], tcp=[], tls=[], is_failure=True), None, "nothing could be scored"),
    (unresolved(NXDOMAIN), 0.9, "dns.failure, "),
    (dead(), 0.1, ""),
    ({**unresolved(NXDOMAIN), **no_control()}, 0.5, "dns.failure_no_control, "),
    (misled(), 0.75, "dns.unmatched, "),
    (misled(tls=[handshake(ELSEWHERE, match="none")]), 0.0, ""),
    (
        misled(tls=[handshake(ELSEWHERE, "ssl_invalid_hostname", match="none", control_ok=None)]),
        0.9,
        "dns.tls_inconsistent, ",
    ),
    (
        misled(dns_answers=[answer("127.0.0.1", None, special="loopback", match="none")]),
        0.95,
        "dns.bogon_not_in_control, ",
    ),
    (misled(fingerprints_for(1).dns[0].pattern), 1.0, "dns.country_fingerprint, "),
    # An unknown answer, and a listed one that the control got too, though all works there.
    (
        misled(tcp=[connect(ELSEWHERE, match="none", control_ok=None)], http_failure=None),
        0.75,
        "dns.unmatched, ",
    ),
    (
        observation(dns_answers=[answer(fingerprints_for(1).dns[0].pattern)]),
        1.0,
        "dns.country_fingerprint, ",
    ),
    (misled(dns_answers=[answer(ELSEWHERE, match="asn")]), 0.2, ""),
    (unconnected(TIMEOUT), 0.75, "tcp.failure, "),
    (unconnected(TIMEOUT, control_ok=False), 0.25, ""),
    (unconnected(TIMEOUT, tcp=[connect("2001:db8::1", "network_unreachable")]), 0.0, ""),
    (unshaken(RESET), 0.8, "tls.reset, "),
    (unshaken(TIMEOUT), 0.7, "tls.failure, "),
    (unshaken("ssl_unknown_authority"), 0.9, "tls.certificate, "),
    (unshaken(RESET, control_ok=False), 0.2, ""),
]


def test_ooni_v5_weighs_as_published() -> None:
    """One measurement, one weight: the greatest over addresses and layers. A pair about which v5
    says nothing has no weight at all."""
    rows = [_named(number, row) for number, (row, *_) in enumerate(WEIGHTS, start=100)]
    found = ooni_v5(_prepared(rows), fingerprints_for(1)).sort_values("domain")
    for (_, blocked, reason), row in zip(WEIGHTS, found.itertuples(), strict=True):
        expected = float("nan") if blocked is None else blocked
        assert row.blocked_mean == pytest.approx(expected, nan_ok=True), row
        assert row.is_listed == ((blocked or 0) >= 0.5)
        assert row.reason.startswith(reason or "probability of a block")


def test_the_controls_of_a_day_are_pooled() -> None:
    """What fails beside a control that did not try the same is held against those that others
    brought from the site on that day, and not on another day."""
    for failing, blocked, reason in (
        (unconnected(TIMEOUT, control_ok=None), 0.75, "tcp.failure, "),
        (unshaken(RESET, control_ok=None), 0.8, "tls.reset, "),
    ):
        for day, expected in ((1, blocked), (2, 0.0)):
            beside = on(1, observation(probe_asn=64520), day=day)
            found = ooni_v5(_prepared([on(0, failing, day=1), beside]), Fingerprints())
            mean, other = found.sort_values("probe_asn")["blocked_mean"]
            assert other == 0
            assert (mean if mean == mean else 0) == pytest.approx(expected), (reason, day)
            assert found["reason"].str.startswith(reason).any() == bool(expected)


def test_a_tie_does_not_hang_on_the_order_of_rows() -> None:
    """As many sessions at 0.9 as at 0.1 are one half exactly, however the floats are added up; a
    site for each number of sessions."""
    rows = [
        _named(count, on(n, dead() if n % 2 else unresolved(NXDOMAIN)))
        for count in range(1, 8)
        for n in range(2 * count)
    ]
    for order in (rows, rows[::-1], sorted(rows, key=lambda row: row["dns_failure"] or "")):
        found = ooni_v5(_prepared(order), Fingerprints())
        assert sorted(found["session_count"]) == [2 * count for count in range(1, 8)]
        assert (found["blocked_mean"] == 0.5).all()
        assert found["is_listed"].all()


# --- differences --------------------------------------------------------------------------------


def _verdicts(*rows: tuple[str, str, str, str], period: str = "all") -> pd.DataFrame:
    """Domain, network, state, and the rule or the reason why not."""
    table = pd.DataFrame(rows, columns=["domain", "probe_asn", "state", "said"])
    listed = table["state"].isin(LISTED)
    columns = dict.fromkeys(TABLES["verdicts"].columns, "")
    columns |= {n: 0 for n, kind in TABLES["verdicts"].columns.items() if kind == "count"}  # type: ignore[dict-item]
    columns |= {n: None for n, kind in TABLES["verdicts"].columns.items() if kind == "share"}  # type: ignore[dict-item]
    return pd.DataFrame(
        {
            **columns,
            "domain": table["domain"],
            "probe_asn": table["probe_asn"],
            "state": table["state"],
            "period": period,
            "measurement_count": 10,
            "rule_id": table["said"].where(listed, ""),
            "set_aside_reason": table["said"].where(~listed, ""),
        }
    )[list(TABLES["verdicts"].columns)]


NETWORKS = pd.DataFrame({"probe_asn": [1, 2, 9], "kind": ["isp", "mobile", "vpn"]})


def _listing(*pairs: tuple[str, str]) -> pd.DataFrame:
    """What a method says that lists exactly these pairs."""
    return pd.DataFrame(
        [(domain, asn, True, "it says so") for domain, asn in pairs],
        columns=["domain", "probe_asn", "is_listed", "reason"],
    )


def test_methods_are_compared_site_by_site() -> None:
    """One row a site that any method lists; our reason is the annex's."""
    verdicts = _verdicts(
        ("a.example", 1, "blocked", "dns.sinkhole"),
        ("b.example", 1, "ok", "name_does_not_exist"),
        ("b.example", 2, "down", ""),
        ("c.example", 9, "likely_blocked", "dns.nxdomain"),
        ("d.example", 1, "ok", ""),
    )
    verdicts.loc[verdicts["domain"] == "c.example", "set_aside_reason"] = "not_domestic"
    other = _listing(("b.example", 2), ("c.example", 9))
    found = compare_methods(verdicts, {"ooni_v5": other}, NETWORKS)
    assert found[
        ["domain", "state", "this_method", "ooni_v5", "set_aside_reason"]
    ].to_numpy().tolist() == [
        ["a.example", "blocked", True, False, ""],
        ["b.example", "down", False, True, "name_does_not_exist"],
        ["c.example", "", False, True, "not_domestic"],
    ]
    assert found["why"][0].startswith("Listed by this method: dns.sinkhole, on the network with")
    assert found["why"][1] == (
        "Failures while the name did not exist; listed by OONI pipeline v5: it says so (AS2, "
        "site down, not blocking)"
    )
    assert count_methods(found).to_numpy().tolist() == [
        [METHODS["this_method"], 1, 1, 0, 0],
        [METHODS["ooni_v5"], 2, 0, 2, 1],
    ]
    assert count_reasons(found)["set_aside_reason"].tolist() == [
        "name_does_not_exist",
        "not_domestic",
    ]


def test_flips_against_another_run() -> None:
    """Only what differs, with both states; a pair in one run alone has an empty state there."""
    before = _verdicts(
        ("a.example", 1, "blocked", "dns.sinkhole"),
        ("b.example", 1, "ok", ""),
        ("c.example", 1, "ok", ""),
        ("d.example", 1, "ok", ""),
    )
    after = _verdicts(
        ("a.example", 1, "impaired", "impaired"),
        ("b.example", 1, "ok", ""),
        ("c.example", 1, "blocked", "dns.sinkhole"),
        ("e.example", 1, "insufficient", ""),
    )
    found = compare_verdicts(before, after)
    assert found[["domain", "published_state", "state", "change"]].to_numpy().tolist() == [
        ["a.example", "blocked", "impaired", "unlisted"],
        ["c.example", "ok", "blocked", "listed"],
        ["d.example", "ok", "", "restated"],
        ["e.example", "", "insufficient", "restated"],
    ]
    abroad = [rows.assign(probe_asn=2) for rows in (before, after)]
    for rows in abroad:
        rows.loc[rows["state"].isin(LISTED), "set_aside_reason"] = "not_domestic"
    assert set(compare_verdicts(*abroad)["change"]) == {"restated"}, "nothing is listed there"


# --- sensitivity --------------------------------------------------------------------------------

#: The modules of each stage that use any. What ``flips`` count moves no state.
MODULES = {
    "features": ["outcomes/features", "outcomes/controls", "outcomes/enumerations"],
    "profiles": [
        f"outcomes/{name}" for name in ("profiles", "answers", "filters", "block_pages", "macros")
    ],
    "rules": ["outcomes/outcomes", "outcomes/devices"],
    "sessions": ["verdicts/sessions"],
    "verdicts": [
        f"verdicts/{name}"
        for name in (
            "pairs",
            "rates",
            "stretches",
            "floors",
            "judge",
            "rivals",
            "reasons",
            "set_aside",
            "states",
            "verdicts",
        )
    ],
}


def test_each_threshold_acts_where_it_is_said_to_act() -> None:
    """Whoever uses a threshold in another stage has to say so, or the sweep would miss it."""
    code = {
        stage: "".join(
            path.read_text("utf-8")
            for module in modules
            for path in (ROOT / "analysis").glob(f"{module}.*")
        )
        for stage, modules in MODULES.items()
    }
    for name in (field.name for field in fields(Thresholds)):
        used = re.compile(rf"thresholds\.{name}\b|\{{{name}\}}|\${name}\b")
        found = {stage for stage, text in code.items() if used.search(text)}
        assert found == DECLARATIONS[name].stages, name


def _world() -> list[Row]:
    """A sinkhole of 3 names, a name that is not there, an NXDOMAIN block, one that was lifted."""
    start = date(2024, 1, 10)
    rows = []
    for day in range(6):
        for number, row in enumerate(
            (
                misled(),
                misled(),
                misled(),
                dead(),
                unresolved(NXDOMAIN),
                observation(),
                observation() if day < 3 else unresolved(NXDOMAIN),
            )
        ):
            moment = pd.Timestamp(start + timedelta(days=day), tz=None).to_pydatetime()
            rows.append(
                _named(
                    number,
                    row,
                    report_id=f"{day}-{number}",
                    measurement_start_time=moment,
                )
            )
    return rows


def test_a_sweep_finds_what_a_whole_run_finds(tmp_path: Path) -> None:
    """Only the stages that a threshold acts on are computed again, with the same result."""
    period = Period.parse("2024-01-01", "2024-03-01")
    study: Any = study_of(_world(), period)
    study.kept, study.fingerprints = KeptTables("study", [tmp_path]), Fingerprints()
    connection = connection_with(_world())
    networks = pd.DataFrame(
        {
            "probe_asn": [PROBE_NETWORK],
            "operator": ["One"],
            "is_domestic": [True],
        }
    )
    grid = {"floor_sessions": (7,), "sinkhole_names": (4,)}
    swept = sweep(study, networks, grid)
    assert swept.groupby("threshold")["is_standing"].sum().eq(1).all()

    @cache
    def judge_whole(thresholds: Thresholds) -> set[str]:
        outcomes = add_outcomes(connection, thresholds, Fingerprints())
        place = add_room(connection, "sessions")
        operators = Operators.of(networks)
        sessions = add_sessions(connection, outcomes, operators, thresholds, place)
        scope = Scope({"all": period}, thresholds, has_explorer=False)
        found = judge_cells(connection, sessions, scope).verdicts
        return set(found.loc[found["state"].isin(LISTED), "domain"])

    standing = judge_whole(Thresholds())
    for row in swept.itertuples():
        kind = type(getattr(Thresholds(), row.threshold))
        sites = judge_whole(replace(Thresholds(), **{row.threshold: kind(row.value)}))
        assert (row.blocked_domain_count, row.blocked_pair_count) == (len(sites), len(sites))
        assert row.gained == ";".join(sorted(sites - standing)), row.threshold
        assert row.lost == ";".join(sorted(standing - sites)), row.threshold
    assert standing
    assert (swept["lost_count"] > 0).any()
