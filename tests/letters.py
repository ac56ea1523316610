"""Days of sessions, written down as letters, and what is judged of them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd

from analysis.outcomes.rules import RULES
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import Study
from analysis.verdicts.verdicts import Judgement
from tests.observations import (
    ADDRESS,
    PROBE_NETWORK,
    Row,
    connect,
    connection_with,
    control_answer,
    handshake,
    http_observation,
    no_control,
    no_response,
    observation,
)
from tests.situations import (
    NXDOMAIN,
    TIMEOUT,
    fingerprints_for,
    misled,
    other_page,
    site_down,
    unconnected,
    unresolved,
    unshaken,
)
from tests.table_rows import as_written


def gone_around(failure: str) -> Row:
    """The lookup fails, and the site answers at the control's address with its certificate."""
    return observation(
        dns_failure=failure,
        dns_answers=[],
        tcp=[connect(is_answer=False)],
        tls=[handshake(is_answer=False)],
        http_first_is_answer=False,
    )


NAME, VPN = "news.example", 64510
ALL_NETWORKS = [PROBE_NETWORK, PROBE_NETWORK + 1, PROBE_NETWORK + 2]
#: One more operator, which few tests need.
FOURTH = PROBE_NETWORK + 3
#: An address that OONI lists as a block answer of the country: no household can make it. One's own
#: device (Loopback) is the answer of many filters at home.
BLOCK_ADDRESS = fingerprints_for(1).dns[0].pattern
#: One letter, one session: Blocked, Open, Down, Unclear, No control, Loopback, Reset, Time-out,
#: Man in the middle, Known block address, Stalled handshake, Waiting for the resolver, the same and
#: gone Around it, Forbidden by the site, the Page reset, the Connection reset, serVer failure, the
#: same and Gone around, the resolver latE (EAI_AGAIN).
LETTERS: dict[str, Row] = {
    "B": unresolved(NXDOMAIN),
    "O": observation(),
    "D": unconnected(TIMEOUT, control_ok=False, **site_down()),
    "U": other_page(),
    "N": {**unresolved(NXDOMAIN), **no_control()},
    "L": misled(
        "127.0.0.1",
        dns_answers=[{"address": "127.0.0.1", "asn": None, "special": "loopback", "match": "none"}],
    ),
    "K": misled(BLOCK_ADDRESS),
    "R": unshaken("connection_reset"),
    "T": unconnected(TIMEOUT),
    "M": unshaken("ssl_invalid_hostname"),
    "S": unshaken(TIMEOUT),
    "W": unresolved(TIMEOUT),
    "A": gone_around(TIMEOUT),
    "G": gone_around("dns_server_misbehaving"),
    "F": other_page(http_status=403, status_code_match=False),
    "P": http_observation(**no_response(http_failure="connection_reset")),
    "C": unconnected("connection_reset"),
    "V": unresolved("dns_server_misbehaving"),
    "E": unresolved("dns_temporary_failure"),
}
DAY_ONE = datetime(2024, 1, 1, 8)


def days(letters: str, *, per_day: int = 1, start: int = 0, **changes: Any) -> list[Row]:
    """One session (or more) a letter, one letter a day; ``.`` is a day without a test.

    On two days of five another platform than on the others, so that no kind of probe is alone.
    """
    rows = []
    domain = changes.get("domain", NAME)
    asn = changes.get("probe_asn", PROBE_NETWORK)
    for day, letter in enumerate(letters, start=start):
        platform = "ios" if day % 5 in (1, 2) else "android"
        for number in range(per_day * (letter != ".")):
            moment = DAY_ONE + timedelta(days=day, minutes=number)
            report = f"{moment:%Y%m%d}-{domain}-{asn}-{number}"
            row = {
                **LETTERS[letter],
                "domain": domain,
                "http_host": domain,
                "input": f"https://{domain}/",
                "measurement_start_time": moment,
                "report_id": report,
                "http_body_digest": f"page of {domain}",
                "software_name": f"ooniprobe-{platform}",
                **changes,
            }
            rows.append(_at_own_address(row))
    return rows


def _at_own_address(row: Row) -> Row:
    """The row with an address of the site's own: what sites share is judged too."""
    high, low = sha256(row["domain"].encode()).digest()[:2]
    own = f"203.0.{high}.{low}"
    changes = {
        name: [{**one, "address": own} if one["address"] == ADDRESS else one for one in row[name]]
        for name in ("dns_answers", "control_answers", "tcp", "tls")
    }
    return {**row, **changes}


def study_of(rows: Iterable[Row], period: Period, split: str | None = None) -> Study:
    """A study of these rows, with the six things that ``confirm`` and a look read of one.

    It has halves only where it is said where they meet: each takes as long to judge as the whole.
    """
    halves = dict(zip(("first", "second"), period.split(split), strict=True)) if split else {}
    asns = [*ALL_NETWORKS, FOURTH, VPN]
    networks = pd.DataFrame(
        {
            "probe_asn": asns,
            "network": [f"Network {asn}" for asn in asns],
            "operator": ["One", "Two", "Three", "Four", "Tunnel"],
            "is_domestic": [True, True, True, True, False],
        }
    )
    study = SimpleNamespace(
        parameters=StudyParameters(),
        connection=connection_with(rows),
        kept=None,
        is_fictional=False,
        thresholds=Thresholds(),
        rules=RULES,
        fingerprints=fingerprints_for(1),
        periods={"all": period, **halves},
        networks=lambda: networks,
    )
    return cast(Study, study)


def judge(rows: Iterable[Row], *, until: str = "2024-04-01", split: str | None = None) -> Judgement:
    """The judgement of a study from 1 January 2024; of its halves, where ``split`` says."""
    period = Period.parse("2024-01-01", until)
    study = study_of(rows, period, split)
    return confirm(study)


def verdict(
    found: Judgement, period: str = "all", domain: str = NAME, asn: int = PROBE_NETWORK
) -> Any:
    """The one row of a site on a network in a period."""
    table = found.verdicts
    rows = table[
        (table["domain"] == domain) & (table["probe_asn"] == asn) & (table["period"] == period)
    ]
    assert len(rows) == 1
    return as_written(rows).iloc[0]


def intervals(found: Judgement, domain: str = NAME, asn: int = PROBE_NETWORK) -> pd.DataFrame:
    """The blocking intervals of a site on a network, by time."""
    table = found.intervals
    return as_written(table[(table["domain"] == domain) & (table["probe_asn"] == asn)])


def everywhere(letters: str, domain: str = NAME, hoster: int = 64496) -> list[Row]:
    """The same days on every access network, of a site in a hoster's network."""
    return [
        row
        for asn in ALL_NETWORKS
        for row in days(
            letters,
            domain=domain,
            probe_asn=asn,
            resolver_asn=asn,
            control_answers=[control_answer("192.0.2.10", hoster)],
        )
    ]


def site(
    name: str, letters: str, *, asn: int = PROBE_NETWORK, host: str = "", **options: Any
) -> list[Row]:
    """The days of a site on one network, in a hosting network of its own or one that is named."""
    number = 65000 + int(sha256((host or name).encode()).hexdigest(), 16) % 500
    return days(
        letters,
        domain=f"{name}.example",
        probe_asn=asn,
        resolver_asn=asn,
        control_answers=[control_answer("192.0.2.10", number)],
        **options,
    )


def usual_sites() -> list[Row]:
    """Seven sites that every access network reaches: beside them a failure is not usual."""
    return [
        row
        for asn in ALL_NETWORKS
        for n in range(7)
        for row in site(f"usual-{n}", "O" * 12, asn=asn)
    ]


def site_at(name: str, letter: str, *, day: int, hour: int, asn: int = PROBE_NETWORK) -> list[Row]:
    """One session of a site, at half past an hour of a day; both are counted from 0."""
    return site(
        name,
        letter,
        asn=asn,
        measurement_start_time=datetime(2024, 1, 1, hour, 30) + timedelta(days=day),
        report_id=f"{name}-{asn}-{day}-{hour}",
    )


def through(resolver_asn: int, rows: Iterable[Row]) -> list[Row]:
    """The same sessions, as the resolver of a named network answers them."""
    return [{**row, "resolver_asn": resolver_asn} for row in rows]
