"""Named situations: what was measured, which rule must read it, and what it comes to.

Each situation lives on a network, names and addresses of its own, so that all of them can stand
in one connection without leaning on each other. The first row is the one that is judged; the
others are what else was measured.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import duckdb

from analysis.observations.fingerprints import Fingerprint, Fingerprints
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.thresholds import Thresholds
from tests.observations import (
    ADDRESS,
    PROBE_NETWORK,
    Row,
    answer,
    connect,
    connection_with,
    control_answer,
    handshake,
    http_observation,
    no_control,
    no_response,
    observation,
)

ELSEWHERE = "198.51.100.20"  # an address the control did not get
LISTED_ADDRESS = "198.51.100.200"  # on the fingerprint list
LISTED_PAGE = "qq_page"
FILTER = "146.112.61.106"  # the answer of a filter that users choose
V6 = "2001:db8:100::10"
START = datetime(2024, 1, 10, 8)

RESET, TIMEOUT, REFUSED = "connection_reset", "generic_timeout_error", "connection_refused"
NXDOMAIN = "dns_nxdomain_error"
NO_FILES = "unknown_failure: dial tcp [scrubbed]: socket: too many open files"
IN_GERMAN = "unknown_failure: getaddrinfow: Der angegebene Host ist unbekannt."


@dataclass(frozen=True)
class Situation:
    """Rows, the rule that must fire at its own layer, and what the measurement comes to."""

    name: str
    rule_id: str
    outcome: str
    mechanism: str = ""
    rows: tuple[Row, ...] = field(default=(), repr=False)
    is_alone: bool = False  # judged as ``judge FILE`` does, one by one

    @property
    def layer(self) -> str:
        return self.rule_id.partition(".")[0]


def case(name: str, rule_id: str, result: str, *rows: Row, alone: bool = False) -> Situation:
    """``result`` is the class, or ``blocked`` with the mechanism behind it."""
    outcome, _, mechanism = result.partition(" ")
    return Situation(name, rule_id, outcome, mechanism, rows, alone)


def on(session: int, row: Row, *, day: int | None = None) -> Row:
    """The row in another session, by default each on a day of its own."""
    moved = START + timedelta(days=session if day is None else day)
    return {**row, "report_id": f"report-{session}", "measurement_start_time": moved}


# --- pieces that several situations share ----------------------------------------------------


def misled(address: str = ELSEWHERE, **changes: Any) -> Row:
    """An https site whose name the resolver answers with another address; nothing works there."""
    return observation(
        **{
            "dns_answers": [answer(address, 64499, match="none")],
            "tcp": [connect(address, TIMEOUT, match="none", control_ok=None)],
            "tls": [],
            "dns_consistency": "inconsistent",
            **no_response(http_failure=TIMEOUT, blocking="dns"),
            **changes,
        }
    )


def dead(**changes: Any) -> Row:
    """A name that the control cannot resolve; ``changes`` say what the resolver here answers."""
    control: Row = {
        "control_dns_failure": NXDOMAIN,
        "control_answers": [],
        "control_http_failure": "dns_lookup_error",
        "control_http_status": None,
        "control_http_body_length": None,
        "control_http_title": None,
    }
    nothing: Row = {
        "dns_failure": NXDOMAIN,
        "dns_answers": [],
        "tcp": [],
        "tls": [],
        **no_response(http_failure=NXDOMAIN),
    }
    return observation(**{**control, **nothing, **changes})


def substituted(address: str = ELSEWHERE, **changes: Any) -> Row:
    """A dead name that the resolver answers all the same."""
    return dead(
        **{
            "dns_failure": None,
            "dns_answers": [answer(address, 64499, match=None)],
            "tcp": [connect(address, match=None, control_ok=None)],
            "tls": [],
            "http_failure": TIMEOUT,
            **changes,
        }
    )


def leftover(**changes: Any) -> Row:
    """A dead name that the resolver sends back to the user's own device."""
    home = "127.0.0.1"
    return substituted(
        home,
        **{
            "dns_answers": [answer(home, None, special="loopback", match=None)],
            "tcp": [connect(home, REFUSED, match=None, control_ok=None)],
            **changes,
        },
    )


def unresolved(failure: str) -> Row:
    return observation(
        dns_failure=failure, dns_answers=[], tcp=[], tls=[], **no_response(http_failure=failure)
    )


def other_page(**changes: Any) -> Row:
    """A plain-http page that is not the control's."""
    return http_observation(
        **{
            "body_proportion": 0.2,
            "title_match": False,
            "headers_match": False,
            "http_title": "Another",
            "http_body_digest": "another page",
            "http_body_length": 900,
            "blocking": "http-diff",
            "accessible": False,
            "is_anomaly": True,
            **changes,
        }
    )


def unconnected(failure: str, *, control_ok: bool | None = True, **changes: Any) -> Row:
    """Every connection to the site's own address fails."""
    return observation(
        **{
            "tcp": [connect(failure=failure, control_ok=control_ok)],
            "tls": [],
            **no_response(http_failure=failure, blocking="tcp_ip"),
            **changes,
        }
    )


def unshaken(failure: str, *, control_ok: bool | None = True, **changes: Any) -> Row:
    """Connected to the site's own address; the handshake fails."""
    return observation(
        **{
            "tls": [handshake(failure=failure, control_ok=control_ok)],
            **no_response(http_failure=failure),
            **changes,
        }
    )


def old_https(failure: str) -> Row:
    """An old probe, which kept no handshake: the connection is made, the https page fails."""
    return observation(
        test_version="0.0.1",
        tls=[],
        http_first_is_answer=None,
        **no_response(http_failure=failure),
    )


def redirected(host: str, failure: str, **changes: Any) -> Row:
    """A plain-http site whose newest request, to ``host``, fails after the handshake.

    Old probes do not tell whether it was before: ``redirect_layer=None``.
    """
    return http_observation(
        **{
            "http_url": f"https://{host}/",
            "http_host": host,
            "http_request_count": 2,
            "redirect_host": host,
            "redirect_layer": "http",
            "redirect_failure": failure,
            **no_response(http_failure=failure),
            **changes,
        }
    )


def site_down(**changes: Any) -> Row:
    return {
        "control_http_failure": "unknown_error",
        "control_http_status": None,
        "control_http_body_length": None,
        "control_http_title": None,
        **changes,
    }


def lost_control(**changes: Any) -> Row:
    """The columns of a control whose own lookup timed out, for use as changes."""
    return site_down(
        control_dns_failure=TIMEOUT,
        control_answers=[],
        control_http_failure="dns_lookup_error",
        **changes,
    )


def verified(**changes: Any) -> Row:
    """Another address than the control's, on which the control itself got the certificate."""
    return observation(
        **{
            "dns_answers": [answer(ELSEWHERE, 64499, match="none")],
            "control_tls_addresses": [ADDRESS, ELSEWHERE],
            "tcp": [connect(ELSEWHERE, match="none")],
            "tls": [handshake(ELSEWHERE, match="none")],
            **changes,
        }
    )


def _certified() -> Row:
    """Cut off where the resolver points, while the control gets the name's certificate there."""
    return verified(
        tls=[handshake(ELSEWHERE, RESET, match="none")], **no_response(http_failure=RESET)
    )


def _at_home(**changes: Any) -> Row:
    """An old probe, whose control names no network: silence where the control connects."""
    return misled(
        **{
            "test_version": "0.4.0",
            "control_answers": [control_answer(ADDRESS, None)],
            "tcp": [connect(ELSEWHERE, TIMEOUT, match="none")],
            "dns_consistency": "consistent",
            **changes,
        }
    )


def helped(**changes: Any) -> Row:
    """Nothing of the answer connects; 0.5 reaches the site at the control's address."""
    return misled(
        **{
            "tcp": [
                connect(ELSEWHERE, REFUSED, match="none", control_ok=None),
                connect(is_answer=False),
            ],
            "tls": [handshake(is_answer=False)],
            "http_first_is_answer": False,
            "http_failure": None,
            "http_status": 200,
            "status_code_match": True,
            "title_match": True,
            **changes,
        }
    )


def sent_to_https(**changes: Any) -> Row:
    """A plain request that ends at another site's verified page, unlike the control's."""
    there: Row = {"http_url": "https://portal.example/", "http_host": "portal.example"}
    return other_page(**{**there, **changes})


def names(*labels: str) -> list[str]:
    return [f"{label}.example" for label in labels]


def _others_on(address: str, *labels: str) -> list[Row]:
    """Other live names that the resolver sends to the same address."""
    return [on(n, misled(address, domain=d)) for n, d in enumerate(names(*labels), start=1)]


def _dead_on(address: str, *labels: str) -> list[Row]:
    """Dead names that the resolver answers with the address, each by two sessions."""
    return [
        on(20 + 2 * n + k, substituted(address, domain=d))
        for n, d in enumerate(names(*labels))
        for k in (0, 1)
    ]


def _served_well(count: int, *labels: str) -> list[Row]:
    """Sessions in which the same resolver answers other live names as it should."""
    return [
        on(40 + n, observation(domain=domain), day=n)
        for domain in names(*(labels or ("well",)))
        for n in range(count)
    ]


def abroad(**changes: Any) -> list[Row]:
    """The site as it should be, on two other networks."""
    return [
        on(90 + n, observation(probe_asn=64520 + n % 2, resolver_asn=64520 + n % 2, **changes))
        for n in range(4)
    ]


def sent_elsewhere(**changes: Any) -> Row:
    """A plain request that ends, by plain http, at somebody else's site."""
    there: Row = {"http_url": "http://portal.example/", "http_host": "portal.example"}
    return other_page(**{**there, **changes})


def _by_one_network(row: Row) -> list[Row]:
    """Five sessions that meet it, on a network whose neighbours reach the site."""
    neighbours = [
        on(90 + n, http_observation(probe_asn=64520 + n % 2, resolver_asn=64520 + n % 2))
        for n in range(4)
    ]
    return [*[on(n, row) for n in range(10, 15)], *neighbours]


def _twice_by_one_network(row: Row) -> list[Row]:
    """The same, then five open sessions, then five that meet it again."""
    between = [on(n, http_observation()) for n in range(20, 25)]
    return [*_by_one_network(row), *between, *[on(n, row) for n in range(30, 35)]]


def _in_one_report(row: Callable[..., Row]) -> list[Row]:
    """Forty names that nobody else tests, in one session."""
    return [on(60, row(domain=d)) for d in names(*(f"made-up-{n}" for n in range(40)))]


def _in_two_reports(row: Callable[..., Row]) -> list[Row]:
    """The same names, in two sessions."""
    return [on(60 + n, one) for n in range(2) for one in _in_one_report(row)]


def _on_many_networks(
    row: Callable[..., Row], reports: int, domain: str = "one.example"
) -> list[Row]:
    """A site on twenty networks that nobody else has, each time in so many reports."""
    return [
        on(70 + k, row(domain=domain, probe_asn=64600 + n, resolver_asn=64600 + n))
        for k in range(reports)
        for n in range(20)
    ]


def _asked_often(row: Callable[..., Row]) -> list[Row]:
    """Three names, each by eight sessions."""
    return [
        on(10 * n + k, row(domain=d))
        for n, d in enumerate(names("one", "two", "three"))
        for k in range(8)
    ]


def _certificate_of_another(**changes: Any) -> Row:
    return misled(
        tcp=[connect(ELSEWHERE, match="none", control_ok=None)],
        tls=[handshake(ELSEWHERE, "ssl_invalid_hostname", match="none", control_ok=None)],
        **changes,
    )


def _from_public_resolvers(domain: str) -> Row:
    """The address of a sinkhole, from public resolvers as well, on one of four networks."""
    asn = 64600 + len(domain) % 2 + 2 * (domain[-9] in "02468")
    public = [answer(ELSEWHERE, 64499, match="none")]
    return misled(domain=domain, probe_asn=asn, resolver_asn=asn, udp_answers=public)


def _page_of_its_own(domain: str) -> Row:
    return _page_at_another_address(f"page of {domain}", domain=domain)


def _pages(digest: str, *labels: str) -> list[Row]:
    """The names, each on two days."""
    return [
        on(10 * day + n, other_page(domain=d, http_body_digest=digest))
        for day in (0, 1)
        for n, d in enumerate(names(*labels), start=1)
    ]


def _page_at_another_address(digest: str, **changes: Any) -> Row:
    """A plain page, from an address that the control did not get."""
    there = misled(ELSEWHERE)["dns_answers"]
    tcp = [connect(ELSEWHERE, port=80, match="none", control_ok=None)]
    return {**other_page(http_body_digest=digest, **changes), "dns_answers": there, "tcp": tcp}


def _on_every_network(row: Callable[..., Row], hosts: int = 3) -> list[Row]:
    """Three names on three networks, in sessions of their own; the names have so many hosts."""
    rows = []
    for place, asn in enumerate((PROBE_NETWORK, 64520, 64521)):
        for n, domain in enumerate(names("one", "two", "three")):
            control = [control_answer("192.0.2.10", 64496 + n % hosts)]
            made = row(domain=domain, probe_asn=asn, resolver_asn=asn, control_answers=control)
            rows += [on(10 * place + 3 * n + k, made) for k in range(3)]
    return rows


def _refusal(**changes: Any) -> Row:
    return other_page(http_status=403, status_code_match=False, **changes)


def _notice(**changes: Any) -> Row:
    return other_page(http_body_digest="notice", **changes)


def _on_networks(row: Callable[..., Row], *asns: int, **hosts: int) -> list[Row]:
    """Names, each of its host, on four days on each network."""
    return [
        on(asn * 100 + 10 * n + day, made, day=day)
        for asn in asns
        for n, (label, host) in enumerate(hosts.items())
        for made in [
            row(
                domain=f"{label}.example",
                probe_asn=asn,
                resolver_asn=asn,
                control_answers=[control_answer("192.0.2.10", 64496 + host)],
            )
        ]
        for day in range(4)
    ]


def _shown_to_controls(title: str, count: int) -> list[Row]:
    """Sessions of the same days and site whose controls got this page, and the probe none."""
    failed = no_response(http_failure=RESET)
    return [
        on(len(title) * 10 + n, http_observation(**failed, control_http_title=title), day=n)
        for n in range(count)
    ]


def _reached(*labels: str) -> list[Row]:
    """The same names, reached on another network, by two sessions each."""
    return [
        on(60 + 2 * n + k, observation(domain=d, probe_asn=64510, resolver_asn=64510))
        for n, d in enumerate(names(*labels))
        for k in (0, 1)
    ]


def _well_known(*labels: str) -> list[Row]:
    """Names that two other sessions of the same network reach."""
    return [on(70 + k, observation(domain=d), day=1) for d in names(*labels) for k in (0, 1)]


_SIX = ("one", "two", "three", "four", "five", "six")


def _runs(row: Callable[..., Row], asn: int, *labels: str, count: int = 4) -> list[Row]:
    """Sessions of a network, one a day, that test all of the names."""
    return [
        on(1000 * asn + n, row(domain=d, probe_asn=asn, resolver_asn=asn), day=n)
        for n in range(count)
        for d in names(*labels)
    ]


_INTERCEPTED = partial(unshaken, "ssl_unknown_authority")


def _sinkhole() -> list[Row]:
    """Three names on one address, one of them so often that no few controls can vouch for it."""
    return [*[on(n, misled()) for n in range(30, 46)], *_others_on(ELSEWHERE, "two", "three")]


def _given_to_controls(count: int, *asns: int) -> list[Row]:
    """Sessions of another time whose controls got ``ELSEWHERE`` for the name."""
    networks = asns or (64520, 64521)
    return [
        on(
            200 + n,
            http_observation(
                probe_asn=asn, resolver_asn=asn, control_answers=[control_answer(ELSEWHERE)]
            ),
        )
        for n in range(count)
        for asn in [networks[n % len(networks)]]
    ]


_BLANK: Row = {"http_body_digest": None, "http_body_length": 0}


def _own_page(digest: str, count: int, **changes: Any) -> list[Row]:
    """Sessions that get a page over https, by default as the own page of the site asked for."""
    page = {"domain": "whose.example", "http_host": "whose.example", "title_match": False}
    return [
        on(80 + n, observation(**{**page, "http_body_digest": digest, **changes}))
        for n in range(count)
    ]


def _private(session: int, **changes: Any) -> Row:
    """A private address for a live name."""
    private = [answer("10.11.12.13", None, special="private", match="none")]
    return on(session, misled("10.11.12.13", dns_answers=private, **changes))


def _at_intranet(address: str, **changes: Any) -> Row:
    """A private address for a live name, alone in its network."""
    private = [answer(address, None, special="private", match="none")]
    return misled(address, dns_answers=private, **changes)


# --- one situation, at least, for every rule --------------------------------------------------

_SESSION = [
    case(
        "a session in which six well-known names fail",
        "session.broken",
        "unknown",
        on(1, unconnected(TIMEOUT, domain="one.example")),
        *[
            on(1, unconnected(TIMEOUT, domain=d))
            for d in names("two", "three", "four", "five", "six")
        ],
        *_well_known("one", "two", "three", "four", "five", "six"),
    ),
    case(
        "a session in which the resolver knows no well-known name",
        "session.broken",
        "unknown",
        *[
            on(1, unresolved(NXDOMAIN) | {"domain": d})
            for d in names("one", "two", "three", "four", "five", "six")
        ],
        *_well_known("one", "two", "three", "four", "five", "six"),
    ),
    case(
        "an antivirus that breaks the handshakes of the one probe of a network",
        "session.broken",
        "unknown",
        *_runs(_INTERCEPTED, PROBE_NETWORK, *_SIX),
        *_runs(http_observation, PROBE_NETWORK, "eight", "nine", "ten", "eleven", "twelve", "last"),
        *_runs(observation, 64520, *_SIX),
        *_runs(observation, 64521, *_SIX),
    ),
    case(
        "... where the other networks have too few sessions to speak for it",
        "tls.mitm",
        "blocked tls.mitm",
        *_runs(_INTERCEPTED, PROBE_NETWORK, *_SIX),
        *_runs(observation, 64520, *_SIX, count=3),
        *_runs(observation, 64521, *_SIX, count=3),
    ),
    case(
        "a session that tests what is blocked, beside well ones that meet it too",
        "tls.reset",
        "blocked tls.reset",
        *_runs(partial(unshaken, RESET), PROBE_NETWORK, *_SIX, count=1),
        *[
            on(2 * n + k, unshaken(RESET, domain=d), day=k)
            for n, d in enumerate(names(*_SIX), start=1)
            for k in (0, 1)
        ],
        *_runs(observation, 64520, *_SIX),
        *_runs(observation, 64521, *_SIX),
    ),
    case(
        "... beside one well session for each",
        "session.broken",
        "unknown",
        *_runs(partial(unshaken, RESET), PROBE_NETWORK, *_SIX, count=1),
        *[on(n, unshaken(RESET, domain=d), day=1) for n, d in enumerate(names(*_SIX), start=2)],
        *_runs(observation, 64520, *_SIX),
        *_runs(observation, 64521, *_SIX),
    ),
    case(
        "a clock that is wrong",
        "session.broken",
        "unknown",
        *[
            on(1, unshaken("ssl_invalid_certificate", domain=d), day=1)
            for d in names("one", "two", "three", "four", "five")
        ],
        *[on(1, http_observation(domain=d), day=1) for d in names("six", "seven", "eight", "nine")],
    ),
    case(
        "five expired certificates among valid ones",
        "tls.mitm",
        "blocked tls.mitm",
        *[
            on(1, unshaken("ssl_invalid_certificate", domain=d), day=1)
            for d in names("one", "two", "three", "four", "five")
        ],
        *[on(1, observation(domain=d), day=1) for d in names("six", "seven", "eight", "nine")],
    ),
]

_DNS = [
    case(
        "an address instead of a name",
        "dns.not_measured",
        "ok",
        observation(
            domain="192.0.2.10",
            is_ip_input=True,
            dns_answers=[],
            udp_answers=[],
            control_answers=[],
            tcp=[connect(match=None)],
            tls=[handshake(match=None)],
        ),
    ),
    case(
        "the system says that its resolver did not answer in time",
        "dns.timeout",
        "blocked dns.timeout",
        unresolved("dns_temporary_failure"),
    ),
    case("a dead name that does not resolve", "dns.name_does_not_exist", "down", dead()),
    case(
        "a dead name that is still blocked",
        "dns.leftover",
        "down",
        leftover(),
        *[on(20 + n, dead(domain=d)) for n, d in enumerate(names("a", "b", "c"))],
    ),
    case("a certificate proves the answer", "dns.tls_valid", "ok", observation()),
    case(
        "one control of three misses a live name",
        "dns.control_missing",
        "unknown",
        on(1, dead()),
        on(2, observation()),
        on(3, observation()),
    ),
    case(
        "a dead name, judged alone",
        "dns.missing_for_control_too",
        "down",
        substituted(),
        alone=True,
    ),
    case(
        "the name really points at 127.0.0.1",
        "dns.special_in_control",
        "down",
        observation(
            dns_answers=[answer("127.0.0.1", None, special="loopback")],
            control_answers=[control_answer("127.0.0.1", None, "loopback")],
            tcp=[connect("127.0.0.1", REFUSED, control_ok=False)],
            tls=[],
            **no_response(http_failure=REFUSED),
            **site_down(),
        ),
    ),
    case(
        "the name really points at 127.0.0.1, which a careful resolver leaves out",
        "dns.special_left_out",
        "down",
        unresolved("dns_no_answer")
        | {"control_answers": [control_answer("127.0.0.1", None, "loopback")], **site_down()},
    ),
    case(
        "... and another resolver has a public address",
        "dns.unmatched",
        "down",
        misled(
            control_answers=[control_answer("127.0.0.1", None, "loopback")],
            control_http_failure="unknown_error",
        ),
    ),
    case(
        "one site has a private address with three operators",
        "dns.special_of_zone",
        "unknown",
        *[
            on(n, _at_intranet("10.20.30.40", probe_asn=asn, resolver_asn=asn))
            for n, asn in enumerate((PROBE_NETWORK, 64520, 64521))
        ],
    ),
    case(
        "... of which a fourth leaves it out",
        "dns.special_of_zone",
        "unknown",
        unresolved("dns_no_answer"),
        *[
            on(n, _at_intranet("10.20.30.41", probe_asn=asn, resolver_asn=asn))
            for n, asn in enumerate((64520, 64521, 64522), start=1)
        ],
    ),
    case(
        "... which two operators show alone",
        "dns.bogon",
        "blocked dns.bogon",
        *[
            on(n, _at_intranet("10.20.30.42", probe_asn=asn, resolver_asn=asn))
            for n, asn in enumerate((PROBE_NETWORK, 64520))
        ],
    ),
    case(
        "... which has another site, too",
        "dns.bogon",
        "blocked dns.bogon",
        *[
            on(n, _at_intranet("10.20.30.43", probe_asn=asn, resolver_asn=asn, domain=domain))
            for domain in names("news", "second")
            for n, asn in enumerate((PROBE_NETWORK, 64520, 64521))
        ],
    ),
    case(
        "the name's own servers fail everybody",
        "dns.fails_for_control_too",
        "down",
        *[on(n, {**unresolved("dns_server_misbehaving"), **lost_control()}) for n in (0, 1)],
    ),
    case(
        "no control to compare with",
        "dns.no_control",
        "unknown",
        {**unresolved(NXDOMAIN), **no_control()},
    ),
    case("a well-known filter's address", "dns.local_filter", "unknown", misled(FILTER)),
    case(
        "the listed page of a well-known filter",
        "dns.local_filter",
        "unknown",
        {
            **_page_at_another_address("notice", http_fingerprints=[LISTED_PAGE]),
            "dns_answers": [answer(FILTER, match="none")],
        },
    ),
    case(
        "a private address that all sessions of a network get",
        "dns.bogon",
        "blocked dns.bogon",
        *[_private(n) for n in range(1, 7)],
    ),
    case(
        "a loopback answer",
        "dns.loopback",
        "blocked dns.loopback",
        misled(
            "127.0.0.1",
            dns_answers=[answer("127.0.0.1", None, special="loopback", match="none")],
            tcp=[connect("127.0.0.1", REFUSED, match="none", control_ok=None)],
        ),
    ),
    case(
        "a private answer",
        "dns.bogon",
        "blocked dns.bogon",
        misled(
            "10.11.12.13",
            dns_answers=[answer("10.11.12.13", None, special="private", match="none")],
        ),
    ),
    case("the control's own address", "dns.answer_in_control", "ok", http_observation()),
    case(
        "an address in the control's network",
        "dns.network_in_control",
        "ok",
        http_observation(
            dns_answers=[answer("192.0.2.99", match="asn")],
            tcp=[connect("192.0.2.99", port=80, match="asn", control_ok=None)],
        ),
    ),
    case(
        "an address on which others got the certificate",
        "dns.vouched",
        "unknown",
        on(
            1,
            other_page(
                dns_answers=[answer(ELSEWHERE, 64499, match="none")],
                tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)],
            ),
        ),
        *[
            on(
                n,
                observation(
                    dns_answers=[answer(ELSEWHERE, 64499, match="none")],
                    tls=[handshake(ELSEWHERE, match="none")],
                ),
            )
            for n in (2, 3)
        ],
    ),
    case(
        "an address on which the control got the certificate itself",
        "dns.verified_by_control",
        "blocked tls.reset",
        _certified(),
    ),
    case(
        "a block page where the answer points",
        "dns.blockpage",
        "blocked dns.blockpage",
        other_page(
            dns_answers=[answer(ELSEWHERE, 64499, match="none")],
            tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)],
            http_fingerprints=[LISTED_PAGE],
        ),
    ),
    case(
        "an address on the list",
        "dns.known_address",
        "blocked dns.sinkhole",
        misled(LISTED_ADDRESS),
    ),
    case(
        "a CDN by plain http with the same page, judged alone",
        "dns.same_page",
        "ok",
        http_observation(
            dns_answers=[answer(ELSEWHERE, 64499, match="none")],
            tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)],
        ),
        alone=True,
    ),
    case(
        "a CDN that sends on to the site's own https",
        "dns.same_page",
        "ok",
        other_page(
            dns_answers=[answer(ELSEWHERE, 64499, match="none")],
            tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)],
            http_url="https://news.example/",
        ),
    ),
    case(
        "a live name on a substituting resolver persistently",
        "dns.substitution_persistent",
        "blocked dns.sinkhole",
        *[on(n, misled()) for n in range(1, 6)],
        *_dead_on(ELSEWHERE, "dead-a", "dead-b", "dead-c"),
        *_served_well(8),
    ),
    case(
        "a live name on a substituting resolver once",
        "dns.substitution",
        "unknown",
        on(1, misled()),
        *[on(n, observation()) for n in range(2, 6)],
        *_dead_on(ELSEWHERE, "dead-a", "dead-b", "dead-c"),
        *_served_well(8),
    ),
    case(
        "one address for three unrelated live names",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        misled(),
        *_others_on(ELSEWHERE, "two", "three"),
    ),
    case(
        "one address always, which nobody else gets, but for another name",
        "dns.lone_address",
        "blocked dns.other",
        *[on(n, misled()) for n in range(1, 6)],
        *_others_on(ELSEWHERE, "two"),
        *abroad(),
    ),
    case(
        "one address always, of one name alone, in another network",
        "dns.unmatched",
        "unknown",
        *[on(n, misled()) for n in range(1, 6)],
        *abroad(),
    ),
    case(
        "an address that controls gave for the name at another time",
        "dns.stale_address",
        "unknown",
        *_sinkhole(),
        *_given_to_controls(4),
    ),
    case(
        "... as three sessions say",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *_sinkhole(),
        *_given_to_controls(3),
    ),
    case(
        "... as sessions of one network say",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *_sinkhole(),
        *_given_to_controls(6, 64520),
    ),
    case(
        "what answers has another's certificate",
        "dns.certificate_of_another",
        "blocked dns.other",
        misled(
            tcp=[connect(ELSEWHERE, match="none", control_ok=None)],
            tls=[handshake(ELSEWHERE, "ssl_invalid_hostname", match="none", control_ok=None)],
            http_failure="ssl_invalid_hostname",
        ),
    ),
    case(
        "nobody where the answer points, and the site at the control's address",
        "dns.dead_end",
        "blocked dns.other",
        helped(),
    ),
    case(
        "an address in the network of an old control's, by the probe's own word",
        "dns.at_home",
        "blocked tcp.timeout",
        _at_home(),
    ),
    case(
        "a sinkhole in the network of an old control's",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        _at_home(),
        *_others_on(ELSEWHERE, "two", "three"),
    ),
    case(
        "an address on which the controls of two other sessions got the certificate",
        "dns.at_home",
        "blocked tcp.timeout",
        on(1, _at_home(dns_consistency="inconsistent")),
        *[on(n, _certified()) for n in (2, 3)],
    ),
    case(
        "an address on which the control of one other session got the certificate",
        "dns.unmatched",
        "unknown",
        on(1, _at_home(dns_consistency="inconsistent")),
        on(2, _certified()),
    ),
    case(
        "an address on which as many controls got no certificate",
        "dns.unmatched",
        "unknown",
        on(1, _at_home(dns_consistency="inconsistent")),
        *[on(n, _certified()) for n in (2, 3)],
        *[on(n, {**_certified(), "control_tls_addresses": [ADDRESS]}) for n in (4, 5)],
    ),
    case(
        "one address always, on which two controls got the certificate",
        "dns.at_home",
        "unknown",
        *[on(n, misled()) for n in range(1, 6)],
        *[on(n, _certified()) for n in (6, 7)],
        *_others_on(ELSEWHERE, "two"),
        *abroad(),
    ),
    case(
        "a certificate of another at home, as of an authority that the probe does not know",
        "dns.at_home",
        "blocked tls.mitm",
        _at_home(
            tcp=[connect(ELSEWHERE, match="none")],
            tls=[handshake(ELSEWHERE, "ssl_unknown_authority", match="none")],
            http_failure="ssl_unknown_authority",
        ),
    ),
    case("another address, and nothing known of it", "dns.unmatched", "unknown", misled()),
    case("a lookup that is interrupted", "dns.local_fault", "unknown", unresolved("interrupted")),
    case(
        "a lookup that fails in words of its own",
        "dns.local_fault",
        "unknown",
        unresolved(IN_GERMAN),
    ),
    case("no such name here", "dns.nxdomain", "blocked dns.nxdomain", unresolved(NXDOMAIN)),
    case("the resolver is silent", "dns.timeout", "blocked dns.timeout", unresolved(TIMEOUT)),
    case(
        "the resolver refuses", "dns.refused", "blocked dns.other", unresolved("dns_refused_error")
    ),
    case(
        "the resolver says that there is no address",
        "dns.refused",
        "blocked dns.other",
        unresolved("dns_no_answer"),
    ),
    case(
        "the resolver fails",
        "dns.failure",
        "blocked dns.other",
        unresolved("dns_server_misbehaving"),
    ),
    case(
        "no such name here, for a name with IPv6 addresses only",
        "dns.ipv6_only",
        "unknown",
        {**unresolved(NXDOMAIN), "control_answers": [control_answer(V6)]},
    ),
    case(
        "an answer that cannot be compared",
        "dns.unreadable",
        "unknown",
        misled(
            dns_answers=[answer(ELSEWHERE, match=None)],
            tcp=[connect(ELSEWHERE, TIMEOUT, match=None, control_ok=None)],
        ),
    ),
]

_TCP = [
    case(
        "no connection was tried", "tcp.not_measured", "blocked dns.nxdomain", unresolved(NXDOMAIN)
    ),
    case("connected", "tcp.ok", "ok", observation()),
    case(
        "connected to somebody else",
        "tcp.untrusted",
        "unknown",
        misled(tcp=[connect(ELSEWHERE, match="none", control_ok=None)]),
    ),
    case(
        "only IPv6, in a session where IPv6 never works",
        "tcp.ipv6_broken",
        "unknown",
        unconnected(
            "host_unreachable",
            dns_answers=[answer(V6)],
            control_answers=[control_answer(V6)],
            tcp=[connect(V6, "host_unreachable")],
        ),
    ),
    case("refused", "tcp.refused", "blocked tcp.refused", unconnected(REFUSED)),
    case(
        "no way leads there", "tcp.timeout", "blocked tcp.timeout", unconnected("host_unreachable")
    ),
    case("reset while connecting", "tcp.reset", "blocked tcp.reset", unconnected(RESET)),
    case("no answer to SYN", "tcp.timeout", "blocked tcp.timeout", unconnected(TIMEOUT)),
    case(
        "the server is off",
        "tcp.fails_for_control_too",
        "down",
        unconnected(TIMEOUT, control_ok=False, **site_down()),
    ),
    case("no route", "tcp.local_fault", "unknown", unconnected("network_unreachable")),
    case("no socket left", "tcp.local_fault", "unknown", unconnected(NO_FILES)),
    case(
        "an address of the site's network that the control did not try",
        "tcp.no_control",
        "unknown",
        unconnected(
            TIMEOUT,
            dns_answers=[answer("192.0.2.99", match="asn")],
            tcp=[connect("192.0.2.99", TIMEOUT, match="asn", control_ok=None)],
            http_failure="unknown_failure: nobody knows",
        ),
    ),
]

_TLS = [
    case("plain http", "tls.not_measured", "ok", http_observation()),
    case("a valid certificate", "tls.ok", "ok", observation()),
    case(
        "a handshake with somebody else",
        "tls.untrusted",
        "blocked dns.other",
        misled(
            tcp=[connect(ELSEWHERE, match="none", control_ok=None)],
            tls=[handshake(ELSEWHERE, "ssl_unknown_authority", match="none", control_ok=None)],
            http_failure="ssl_unknown_authority",
        ),
    ),
    case(
        "an expired certificate, for the control too",
        "tls.fails_for_control_too",
        "down",
        unshaken(
            "ssl_invalid_certificate",
            control_ok=False,
            **site_down(control_http_failure="ssl_invalid_certificate"),
        ),
    ),
    case(
        "a handshake fails and the control said nothing",
        "tls.no_control",
        "unknown",
        {
            **unshaken(RESET, control_ok=None, dns_answers=[answer("192.0.2.10")]),
            "control_http_status": None,
        },
    ),
    case("cut at the server name", "tls.reset", "blocked tls.reset", unshaken(RESET)),
    case("cut with end of file", "tls.reset", "blocked tls.reset", unshaken("eof_error")),
    case("a handshake that stalls", "tls.timeout", "blocked tls.timeout", unshaken(TIMEOUT)),
    case(
        "a false certificate at the site's address",
        "tls.mitm",
        "blocked tls.mitm",
        unshaken("ssl_unknown_authority"),
    ),
    case(
        "a handshake fails in words of its own",
        "tls.failure",
        "unknown",
        unshaken("unknown_failure: remote error: tls: internal error"),
    ),
]

_HTTP = [
    case(
        "no page was asked for",
        "http.not_measured",
        "ok",
        observation(
            http_status=None,
            http_url=None,
            http_host=None,
            http_request_count=0,
            http_body_length=None,
        ),
    ),
    case(
        "a listed block page where a filter points",
        "http.of_filter",
        "unknown",
        {
            **_page_at_another_address("filtered", http_fingerprints=[LISTED_PAGE]),
            "dns_answers": misled(FILTER)["dns_answers"],
        },
    ),
    case(
        "a page by way of a filter, with the site's own certificate",
        "http.https",
        "ok",
        observation(
            dns_answers=[answer(FILTER, 64499, match="none")],
            tcp=[connect(FILTER, match="none")],
            tls=[handshake(FILTER, match="none")],
        ),
    ),
    case(
        "a listed block page at the control's address, past a filter",
        "http.blockpage",
        "blocked http.blockpage",
        other_page(
            dns_answers=misled(FILTER)["dns_answers"],
            http_first_is_answer=False,
            http_fingerprints=[LISTED_PAGE],
        ),
    ),
    case(
        "a listed block page from the site's own address",
        "http.blockpage",
        "blocked http.blockpage",
        other_page(http_fingerprints=[LISTED_PAGE]),
    ),
    case(
        "one page for three names that are reached elsewhere",
        "http.blockpage",
        "blocked http.blockpage",
        *_pages("block page", "one", "two", "three"),
        *_reached("one", "two", "three"),
    ),
    case(
        "... and that their own site shows over https",
        "http.diff",
        "unknown",
        *_pages("challenge", "one", "two", "three"),
        *_reached("one", "two", "three"),
        *_own_page("challenge", 4),
    ),
    case(
        "... and that three sessions saw over https",
        "http.blockpage",
        "blocked http.blockpage",
        *_pages("by order", "one", "two", "three"),
        *_reached("one", "two", "three"),
        *_own_page("by order", 3),
    ),
    case(
        "... and that https sites are sent on to, at another's name",
        "http.blockpage",
        "blocked http.blockpage",
        *_pages("decree", "one", "two", "three"),
        *_reached("one", "two", "three"),
        *_own_page("decree", 6, http_host="by-order.example"),
    ),
    case(
        "a blank page for three names that have one elsewhere",
        "http.blockpage",
        "blocked http.blockpage",
        *[row | _BLANK for row in _pages("", "one", "two", "three")],
        *_reached("one", "two", "three"),
    ),
    case(
        "... and that the control finds blank too",
        "http.diff",
        "unknown",
        *[
            row | _BLANK | {"control_http_body_length": 0}
            for row in _pages("", "one", "two", "three")
        ],
        *_reached("one", "two", "three"),
    ),
    case(
        "three names that are sent to one site, whose page says when",
        "http.blockpage",
        "blocked http.blockpage",
        *[
            row | {"http_host": "by-order.example", "http_body_digest": f"notice {n}"}
            for n, row in enumerate(_pages("", "one", "two", "three"))
        ],
        *_reached("one", "two", "three"),
    ),
    case(
        "a refusal by the site's own address over https",
        "http.refused_by_site",
        "unknown",
        observation(
            http_status=403, status_code_match=False, body_proportion=0.1, title_match=False
        ),
    ),
    case(
        "a refusal by the site's own address by plain http",
        "http.refused_by_site",
        "unknown",
        other_page(http_status=451, status_code_match=False),
    ),
    case(
        "one network sends plain requests on to another site",
        "http.sent_elsewhere",
        "blocked http.blockpage",
        *_by_one_network(sent_elsewhere()),
    ),
    case(
        "sent on to another site, not for a while, and again",
        "http.sent_elsewhere",
        "blocked http.blockpage",
        *_twice_by_one_network(sent_elsewhere()),
    ),
    case(
        "one network shows a page of its own in the site's place",
        "http.replaced",
        "blocked http.blockpage",
        *_by_one_network(other_page()),
    ),
    case(
        "... also where two of the sessions have no control",
        "http.replaced",
        "blocked http.blockpage",
        *(
            {**row, **(no_control() if number in (1, 3) else {})}
            for number, row in enumerate(_by_one_network(other_page()))
        ),
    ),
    case(
        "... with the control's title",
        "http.diff",
        "unknown",
        on(1, other_page(title_match=True, status_code_match=False)),
        *_by_one_network(other_page()),
    ),
    case(
        "... while the site is down for the control",
        "http.no_control",
        "unknown",
        on(1, other_page(**site_down())),
        *_by_one_network(other_page()),
    ),
    case(
        "... that others get now and then",
        "http.diff",
        "unknown",
        *_by_one_network(other_page()),
        *[on(110 + n, other_page(probe_asn=64520, resolver_asn=64520)) for n in range(2)],
        *[on(120 + n, http_observation(probe_asn=64520, resolver_asn=64520)) for n in range(6)],
    ),
    case(
        "one network gets an error in the site's place",
        "http.diff",
        "unknown",
        *_by_one_network(other_page(http_status=503, status_code_match=False)),
    ),
    case(
        "one network's page at an address that the control does not know",
        "dns.unmatched",
        "unknown",
        *_by_one_network(_page_at_another_address("another page")),
    ),
    case("a verified page", "http.https", "ok", observation()),
    case("the control's page by plain http", "http.same_page", "ok", http_observation()),
    case(
        "a page without a control",
        "http.no_control",
        "unknown",
        http_observation(
            **no_control(),
            tcp=[connect(port=80, match=None, control_ok=None)],
            dns_answers=[answer("192.0.2.10", match=None)],
        ),
    ),
    case(
        "without a control, the page that others' controls got",
        "http.page_of_controls",
        "ok",
        http_observation(**no_control()),
        *_shown_to_controls("News", 2),
    ),
    case(
        "without a control, cut off where the controls of two others got the page",
        "http.tls_reset",
        "blocked tls.reset",
        {**unshaken(RESET, control_ok=None), **no_control()},
        *_shown_to_controls("News", 2),
    ),
    case(
        "without a control, cut off where one control got the page",
        "http.no_control",
        "unknown",
        {**unshaken(RESET, control_ok=None), **no_control()},
        *_shown_to_controls("News", 1),
    ),
    case(
        "without a control, cut off at an address that nobody vouches for",
        "http.no_control",
        "unknown",
        {
            **unshaken(RESET, control_ok=None),
            **no_control(),
            "dns_answers": [answer(ELSEWHERE, match=None)],
        },
        *_shown_to_controls("News", 2),
    ),
    case(
        "without a control, a page that one control got",
        "http.no_control",
        "unknown",
        http_observation(**no_control()),
        *_shown_to_controls("News", 1),
    ),
    case(
        "without a control, a page that few controls got",
        "http.no_control",
        "unknown",
        http_observation(**no_control()),
        *_shown_to_controls("News", 2),
        *_shown_to_controls("Nouvelles", 3),
    ),
    case(
        "without a control, their page with another status",
        "http.no_control",
        "unknown",
        http_observation(**no_control(), http_status=403),
        *_shown_to_controls("News", 2),
    ),
    case(
        "without a control, their page at the helper's address",
        "http.no_control",
        "unknown",
        http_observation(**no_control(), http_first_is_answer=False),
        *_shown_to_controls("News", 2),
    ),
    case(
        "without a control, a listed block page where the controls of two others got the page",
        "http.blockpage",
        "blocked http.blockpage",
        http_observation(**no_control(), http_fingerprints=[LISTED_PAGE]),
        *_shown_to_controls("News", 2),
    ),
    case(
        "without a control, a listed block page under a title of weeks before",
        "http.no_control",
        "unknown",
        on(60, http_observation(**no_control(), http_fingerprints=[LISTED_PAGE])),
        *_shown_to_controls("News", 2),
    ),
    case(
        "without a control, a listed block page where one control got the page",
        "http.no_control",
        "unknown",
        http_observation(**no_control(), http_fingerprints=[LISTED_PAGE]),
        *_shown_to_controls("News", 1),
    ),
    case(
        "a page that others' controls got and its own did not",
        "http.diff",
        "unknown",
        other_page(),
        on(50, http_observation(**no_control()), day=1),
        *_shown_to_controls("Another", 2),
    ),
    case(
        "a page that fails for the control too",
        "http.fails_for_control_too",
        "down",
        http_observation(**no_response(http_failure=RESET), **site_down()),
    ),
    case(
        "a server error for the control too",
        "http.error_for_control_too",
        "down",
        other_page(http_status=502, control_http_status=502),
    ),
    case(
        "the site's page at the control's address only",
        "http.at_control_address",
        "blocked dns.nxdomain",
        http_observation(dns_failure=NXDOMAIN, dns_answers=[], http_first_is_answer=False),
    ),
    case("another page than the control's", "http.diff", "unknown", other_page()),
    case(
        "a redirect to another site that is cut",
        "http.redirect_target_reset",
        "blocked http.reset",
        redirected("elsewhere.example", RESET),
    ),
    case(
        "a redirect to another site that refuses",
        "http.redirect_target_refused",
        "blocked tcp.refused",
        redirected("elsewhere.example", REFUSED),
    ),
    case(
        "a redirect to another site without a name",
        "http.redirect_target_name",
        "blocked dns.nxdomain",
        redirected("elsewhere.example", NXDOMAIN),
    ),
    case(
        "a redirect to another site that stalls",
        "http.redirect_target_timeout",
        "blocked http.timeout",
        redirected("elsewhere.example", TIMEOUT),
    ),
    case(
        "a redirect to another site whose handshake is cut",
        "http.redirect_target_tls",
        "blocked tls.reset",
        redirected("elsewhere.example", RESET, redirect_layer="tls"),
    ),
    case(
        "a redirect to another site whose handshake stalls",
        "http.redirect_target_tls_timeout",
        "blocked tls.timeout",
        redirected("elsewhere.example", TIMEOUT, redirect_layer="tls"),
    ),
    case(
        "a redirect to another site that does not answer",
        "http.redirect_target_unconnected",
        "blocked tcp.timeout",
        redirected("elsewhere.example", TIMEOUT, redirect_layer="tcp"),
    ),
    case(
        "a redirect within the site to an address that does not answer",
        "http.timeout_at_redirect",
        "blocked tcp.timeout",
        redirected("www.news.example", TIMEOUT, redirect_layer="tcp"),
    ),
    case(
        "a page asked for at an unknown address",
        "http.untrusted",
        "unknown",
        misled(tcp=[connect(ELSEWHERE, match="none", control_ok=None)], http_failure=RESET),
    ),
    case(
        "no connection, so no page",
        "http.not_connected",
        "blocked tcp.timeout",
        unconnected(TIMEOUT),
    ),
    case(
        "only IPv6 that never works, and an old probe's page stalls",
        "http.not_connected",
        "unknown",
        unconnected(
            TIMEOUT,
            dns_answers=[answer(V6)],
            control_answers=[control_answer(V6)],
            tcp=[connect(V6, TIMEOUT)],
        ),
    ),
    case(
        "another's certificate at the site's old address, for the control too",
        "http.not_connected",
        "down",
        unshaken("ssl_invalid_hostname", control_ok=False),
    ),
    case(
        "a plain page is cut where nobody gets through a handshake",
        "http.reset",
        "blocked http.reset",
        http_observation(
            tls=[handshake(failure=RESET, control_ok=False)], **no_response(http_failure=RESET)
        ),
    ),
    case("an old probe is cut on https", "http.tls_reset", "blocked tls.reset", old_https(RESET)),
    case(
        "an old probe stalls on https",
        "http.tls_timeout",
        "blocked tls.timeout",
        old_https(TIMEOUT),
    ),
    case(
        "an old probe sees a false certificate",
        "http.tls_mitm",
        "blocked tls.mitm",
        old_https("ssl_unknown_authority"),
    ),
    case(
        "cut when the page is asked for",
        "http.reset",
        "blocked http.reset",
        http_observation(**no_response(http_failure=RESET)),
    ),
    case(
        "a redirect within the site to a name that does not resolve",
        "http.name_of_redirect",
        "blocked dns.nxdomain",
        redirected("www.news.example", NXDOMAIN),
    ),
    case(
        "a redirect within the site to an address that refuses",
        "http.refused_at_redirect",
        "blocked tcp.refused",
        redirected("www.news.example", REFUSED),
    ),
    case(
        "a page that stalls",
        "http.timeout",
        "blocked http.timeout",
        http_observation(**no_response(http_failure=TIMEOUT)),
    ),
    case(
        "a page fails in words of its own",
        "http.failure",
        "unknown",
        http_observation(**no_response(http_failure="http_invalid_redirect_url")),
    ),
]

SITUATIONS: tuple[Situation, ...] = (*_SESSION, *_DNS, *_TCP, *_TLS, *_HTTP)


# --- what happens in real life, in plain words -------------------------------------------------

_CDN: Row = {"dns_answers": [answer(ELSEWHERE, 64499, match="none")]}

REAL_LIFE: tuple[Situation, ...] = (
    case(
        "an old probe calls 127.0.0.1 fine",
        "dns.loopback",
        "blocked dns.loopback",
        misled(
            "127.0.0.1",
            dns_answers=[answer("127.0.0.1", None, special="loopback", match="none")],
            tcp=[connect("127.0.0.1", REFUSED, match="none", control_ok=None)],
            test_version="0.0.1",
            blocking="false",
            accessible=True,
            is_anomaly=False,
            dns_consistency="consistent",
        ),
    ),
    case(
        "a CDN with another address but a valid certificate",
        "dns.tls_valid",
        "ok",
        observation(
            **_CDN,
            tcp=[connect(ELSEWHERE, match="none", control_ok=None)],
            tls=[handshake(ELSEWHERE, match="none", control_ok=None)],
        ),
    ),
    case(
        "a CDN by plain http with the same page",
        "dns.vouched",
        "ok",
        http_observation(**_CDN, tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)]),
    ),
    case(
        "a dead name on a substituting resolver",
        "dns.name_does_not_exist",
        "down",
        substituted(),
        *_dead_on(ELSEWHERE, "dead-a", "dead-b"),
    ),
    case(
        "a dead name on a resolver that sends dead names home",
        "dns.name_does_not_exist",
        "down",
        leftover(),
        *[on(20 + n, leftover(domain=d)) for n, d in enumerate(names("a", "b"))],
    ),
    case(
        "... for two dead names of five",
        "dns.leftover",
        "down",
        leftover(),
        on(20, leftover(domain=names("a")[0])),
        *[on(21 + n, dead(domain=d)) for n, d in enumerate(names("b", "c", "d"))],
    ),
    case(
        "a dead name that is still blocked, judged alone",
        "dns.leftover",
        "down",
        leftover(),
        alone=True,
    ),
    case(
        "a session whose control alone finds a dead name",
        "dns.name_does_not_exist",
        "down",
        on(1, leftover(control_dns_failure=None, control_answers=[control_answer(ADDRESS)])),
        on(2, dead()),
        on(3, dead()),
    ),
    case(
        "a session whose control alone misses a live name that is sent home",
        "dns.control_missing",
        "unknown",
        on(1, leftover()),
        on(2, observation()),
        on(3, observation()),
    ),
    case(
        "a name of the network's own, with its certificate",
        "dns.tls_valid",
        "ok",
        leftover(
            dns_answers=[answer("10.0.0.1", 64500, special="private", match=None)],
            tcp=[connect("10.0.0.1", match=None, control_ok=None)],
            tls=[handshake("10.0.0.1", match=None)],
            http_failure=None,
            http_status=200,
        ),
        alone=True,
    ),
    case(
        "one address always, for a site that the control cannot reach",
        "dns.unmatched",
        "down",
        *[on(n, misled(**site_down())) for n in range(1, 6)],
        *_others_on(ELSEWHERE, "two"),
        *abroad(),
    ),
    case(
        "one address always, in the network of the control's by the word of others",
        "dns.unmatched",
        "unknown",
        *[on(n, misled(control_answers=[control_answer(ADDRESS, None)])) for n in range(1, 6)],
        on(6, misled(domain="two.example", control_answers=[control_answer(ADDRESS, None)])),
        *abroad(
            dns_answers=[answer(ADDRESS, 64499)], control_answers=[control_answer(ADDRESS, 64499)]
        ),
    ),
    case(
        "one address always, and nobody says whose its network is",
        "dns.unmatched",
        "unknown",
        *[on(n, misled(dns_answers=[answer(ELSEWHERE, None, match="none")])) for n in range(1, 6)],
        on(6, misled(domain="two.example", dns_answers=[answer(ELSEWHERE, None, match="none")])),
        *abroad(),
    ),
    case(
        "one address always, and one control says that it is in its network",
        "dns.lone_address",
        "blocked dns.other",
        *[
            on(n, misled(control_answers=[control_answer(ADDRESS, 64499 if n == 5 else 64496)]))
            for n in range(1, 6)
        ],
        *_others_on(ELSEWHERE, "two"),
        *abroad(),
    ),
    case(
        "one address for two live names only",
        "dns.unmatched",
        "unknown",
        misled(),
        *_others_on(ELSEWHERE, "two"),
    ),
    case(
        "one address for three names of one owner",
        "dns.unmatched",
        "unknown",
        misled(),
        on(1, misled(domain="www.news.example")),
        on(2, misled(domain="m.news.example")),
    ),
    case(
        "one forged certificate does not clear a sinkhole",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *[on(n, misled(), day=n) for n in range(1, 4)],
        *_others_on(ELSEWHERE, "two", "three"),
        on(9, observation(**_CDN, tls=[handshake(ELSEWHERE, match="none", control_ok=None)])),
    ),
    case(
        "IPv6 is broken, IPv4 works",
        "tcp.ok",
        "ok",
        observation(
            tcp=[connect(V6, "host_unreachable"), connect()],
            dns_answers=[answer(V6), answer("192.0.2.10")],
        ),
    ),
    case(
        "IPv6 is broken and the control cannot reach IPv4",
        "tcp.fails_for_control_too",
        "down",
        unconnected(
            TIMEOUT,
            tcp=[connect(V6, "host_unreachable"), connect(failure=TIMEOUT, control_ok=False)],
            **site_down(),
        ),
    ),
    case(
        "IPv6 is cut where it works for other names",
        "tcp.reset",
        "blocked tcp.reset",
        on(1, unconnected(RESET, tcp=[connect(V6, RESET)])),
        on(1, observation(domain="well.example", tcp=[connect(V6)])),
    ),
    case("sent on to another site's https page", "http.diff", "unknown", sent_to_https()),
    case(
        "sent on to another site's https page, as the control was",
        "http.https",
        "ok",
        sent_to_https(title_match=True),
    ),
    case(
        "sent on to an https page as long as the control's",
        "http.https",
        "ok",
        sent_to_https(body_proportion=0.95),
    ),
    case(
        "sent on to an https page whose title cannot be compared",
        "http.https",
        "ok",
        sent_to_https(title_match=None, body_proportion=0.0),
    ),
    case(
        "an https input sent on to another site's page",
        "http.https",
        "ok",
        {**sent_to_https(), "is_https": True},
    ),
    case(
        "the control finds no address for the name",
        "dns.name_does_not_exist",
        "down",
        dead(control_dns_failure=None),
    ),
    case(
        "the control finds no address for the name, judged alone",
        "dns.missing_for_control_too",
        "down",
        dead(control_dns_failure=None),
        alone=True,
    ),
    case(
        "a lookup fails where the control has lost its way",
        "dns.no_control",
        "unknown",
        {**unresolved(NXDOMAIN), **lost_control()},
    ),
    case(
        "a lookup fails where most controls have lost their way with the name",
        "dns.fails_for_control_too",
        "down",
        *[on(n, {**unresolved(NXDOMAIN), **lost_control()}) for n in (0, 1)],
        on(2, observation()),
    ),
    case(
        "a lookup fails where one control of several has lost its way with the name",
        "dns.no_control",
        "unknown",
        on(0, {**unresolved(NXDOMAIN), **lost_control()}),
        *[on(n, unresolved(NXDOMAIN)) for n in (1, 2)],
    ),
    case(
        "a name resolves though most controls have lost their way with it",
        "dns.no_control",
        "unknown",
        *[on(n, http_observation(**lost_control())) for n in (0, 1)],
    ),
    case(
        "no address connects where the control has lost its way",
        "tcp.no_control",
        "unknown",
        unconnected(TIMEOUT, **lost_control(control_tls_addresses=[ADDRESS])),
    ),
    case(
        "no address connects, nor for a control that has lost its way",
        "tcp.no_control",
        "unknown",
        unconnected(TIMEOUT, control_ok=False, **lost_control(control_tls_addresses=[ADDRESS])),
    ),
    case(
        "a handshake is cut where the control has lost its way",
        "tls.no_control",
        "unknown",
        unshaken(RESET, **lost_control(control_tls_addresses=[ADDRESS])),
    ),
    case(
        "a handshake fails, as for a control that has lost its way",
        "tls.no_control",
        "unknown",
        unshaken(RESET, control_ok=False, **lost_control(control_tls_addresses=[ADDRESS])),
    ),
    case(
        "a page is cut where the control has lost its way",
        "http.no_control",
        "unknown",
        http_observation(**no_response(http_failure=RESET), **lost_control()),
    ),
    case(
        "no connection at an address that the control proved",
        "tcp.timeout",
        "blocked tcp.timeout",
        verified(
            tcp=[connect(ELSEWHERE, TIMEOUT, match="none")],
            tls=[],
            **no_response(http_failure=TIMEOUT),
        ),
    ),
    case(
        "a handshake without address where the control proved the answer",
        "tls.reset",
        "blocked tls.reset",
        verified(
            test_version="0.4.2",
            http_first_is_answer=None,
            tls=[handshake(None, RESET, match="none")],
            **no_response(http_failure=RESET),
        ),
    ),
    case(
        "a page is cut at an address that the control proved",
        "http.reset",
        "blocked http.reset",
        verified(
            is_https=False,
            http_url="http://news.example/",
            tls=[],
            **no_response(http_failure=RESET),
        ),
    ),
    case(
        "a page is cut at an address that the probe's own handshake proves",
        "http.reset",
        "blocked http.reset",
        verified(
            is_https=False,
            http_url="http://news.example/",
            control_tls_addresses=[ADDRESS],
            tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)],
            tls=[handshake(ELSEWHERE, match="none", control_ok=None)],
            **no_response(http_failure=RESET),
        ),
    ),
    case(
        "nobody where the answer points, and the control's page at its address",
        "dns.dead_end",
        "blocked dns.other",
        {**helped(tls=[]), "is_https": False, "http_url": "http://news.example/"},
    ),
    case(
        "nobody where the answer points, and another page at the control's address",
        "dns.unmatched",
        "unknown",
        {
            **helped(tls=[], title_match=False),
            "is_https": False,
            "http_url": "http://news.example/",
        },
    ),
    case(
        "no route to where the answer points",
        "dns.unmatched",
        "unknown",
        helped(
            tcp=[
                connect(ELSEWHERE, "network_unreachable", match="none", control_ok=None),
                connect(is_answer=False),
            ]
        ),
    ),
    case(
        "somebody where the answer points, on one port",
        "dns.unmatched",
        "unknown",
        helped(
            tcp=[
                connect(ELSEWHERE, REFUSED, match="none", control_ok=None),
                connect(ELSEWHERE, port=80, match="none", control_ok=None),
                connect(is_answer=False),
            ]
        ),
    ),
    case(
        "an IPv6 answer, in a session where IPv6 never works",
        "dns.unmatched",
        "unknown",
        helped(
            dns_answers=[answer(V6, 64499, match="none")],
            tcp=[connect(V6, TIMEOUT, match="none", control_ok=None), connect(is_answer=False)],
        ),
    ),
    case(
        "no route to one address, no answer from the other",
        "tcp.timeout",
        "blocked tcp.timeout",
        unconnected(
            TIMEOUT, tcp=[connect("192.0.2.11", "network_unreachable"), connect(failure=TIMEOUT)]
        ),
    ),
    case(
        "no route to one address, and the other fails for the control too",
        "tcp.fails_for_control_too",
        "down",
        unconnected(
            TIMEOUT,
            **site_down(),
            tcp=[
                connect("192.0.2.11", "network_unreachable"),
                connect(failure=TIMEOUT, control_ok=False),
            ],
        ),
    ),
    case(
        "no route, and no page was asked for",
        "tcp.local_fault",
        "unknown",
        unconnected("network_down", http_failure=None),
    ),
    case(
        "a handshake that nothing can be said of, and no page was asked for",
        "tls.no_control",
        "unknown",
        {
            **unshaken(
                RESET, control_ok=None, http_failure=None, dns_answers=[answer("192.0.2.10")]
            ),
            "control_http_status": None,
        },
    ),
    case(
        "an old probe does not say how the connection failed",
        "tcp.timeout",
        "blocked tcp.timeout",
        unconnected("unknown_failure"),
    ),
    case(
        "an old probe does not say how the lookup failed",
        "dns.failure",
        "blocked dns.other",
        unresolved("unknown_failure"),
    ),
    case(
        "refused, in ooniprobe 2's words",
        "tcp.refused",
        "blocked tcp.refused",
        unconnected("connection_refused_error"),
    ),
    case(
        "no response, in ooniprobe 2's words",
        "http.reset",
        "blocked http.reset",
        http_observation(**no_response(http_failure="response_never_received")),
    ),
    case(
        "a page stalls, in ooniprobe 2's words",
        "http.timeout",
        "blocked http.timeout",
        http_observation(**no_response(http_failure="deferred_timeout_error")),
    ),
    case(
        "a page is cut at the control's address too",
        "http.reset",
        "blocked dns.nxdomain",
        http_observation(
            dns_failure=NXDOMAIN,
            dns_answers=[],
            http_first_is_answer=False,
            **no_response(http_failure=RESET),
        ),
    ),
    case(
        "no lookup was recorded, and the page came",
        "dns.not_measured",
        "ok",
        observation(
            dns_answers=[],
            http_first_is_answer=None,
            tcp=[connect(is_answer=None)],
            tls=[handshake(is_answer=None)],
        ),
    ),
    case("a captcha by plain http", "http.diff", "unknown", other_page(http_title="One moment")),
    case(
        "a captcha over https",
        "http.refused_by_site",
        "unknown",
        observation(http_status=403, http_title="One moment", title_match=False),
    ),
    case(
        "no control: a name that does not resolve",
        "dns.no_control",
        "unknown",
        {**unresolved(NXDOMAIN), **no_control()},
    ),
    case(
        "no control: a private answer", "dns.no_control", "unknown", {**_private(1), **no_control()}
    ),
    case(
        "no control: a connection that is reset",
        "tcp.no_control",
        "unknown",
        {
            **unconnected(
                RESET, control_ok=None, domain="192.0.2.10", is_ip_input=True, dns_answers=[]
            ),
            **no_control(),
        },
    ),
    case(
        "no control: a handshake that is reset",
        "tls.no_control",
        "unknown",
        {
            **unshaken(
                RESET, control_ok=None, domain="192.0.2.10", is_ip_input=True, dns_answers=[]
            ),
            **no_control(),
        },
    ),
    case(
        "no control: a page that is reset",
        "http.no_control",
        "unknown",
        {**http_observation(**no_response(http_failure=RESET)), **no_control()},
    ),
    case(
        "no control: a page on the list",
        "http.no_control",
        "unknown",
        {**other_page(http_fingerprints=[LISTED_PAGE]), **no_control()},
    ),
    case(
        "a page on the list while the site is down for the control",
        "http.no_control",
        "unknown",
        other_page(http_fingerprints=[LISTED_PAGE], **site_down()),
    ),
    case(
        "a forged control does not clear other sessions",
        "dns.nxdomain",
        "blocked dns.nxdomain",
        on(2, unresolved(NXDOMAIN)),
        on(3, unresolved(NXDOMAIN)),
        on(1, dead()),
    ),
    case(
        "throttling of plain http",
        "http.timeout",
        "blocked http.timeout",
        http_observation(**no_response(http_failure=TIMEOUT)),
    ),
    case(
        "throttling after a good handshake",
        "http.timeout",
        "blocked http.timeout",
        observation(**no_response(http_failure=TIMEOUT)),
    ),
    case(
        "a redirect to the site's own https, which is cut",
        "http.tls_reset",
        "blocked tls.reset",
        redirected("news.example", RESET, redirect_host=None, redirect_layer=None),
    ),
    case(
        "a redirect to a subdomain that is cut",
        "http.tls_reset",
        "blocked tls.reset",
        redirected("www.news.example", RESET, redirect_layer=None),
    ),
    case(
        "a redirect to a subdomain that is cut after the handshake",
        "http.reset",
        "blocked http.reset",
        redirected("www.news.example", RESET),
    ),
    case(
        "a redirect to another site's https that is cut for an old probe",
        "http.redirect_target_tls",
        "blocked tls.reset",
        redirected("elsewhere.example", RESET, redirect_layer=None),
    ),
    case(
        "a redirect to a subdomain whose handshake stalls",
        "http.tls_timeout",
        "blocked tls.timeout",
        redirected("www.news.example", TIMEOUT, redirect_layer="tls"),
    ),
    case(
        "a redirect to another site to which there is no route",
        "http.failure",
        "unknown",
        redirected("elsewhere.example", "network_unreachable", redirect_layer="tcp"),
    ),
    case(
        "a site without https whose port 443 fails for the control too",
        "tcp.ok",
        "ok",
        http_observation(
            test_version="0.5.28",
            tcp=[
                connect(port=80),
                connect(failure=REFUSED, control_ok=False, control_failure=REFUSED),
            ],
        ),
    ),
    case(
        "one page for three names that nobody reaches",
        "http.diff",
        "unknown",
        *_pages("parking page", "one", "two", "three"),
    ),
    case(
        "one refusal for three names everywhere",
        "http.refused_by_site",
        "unknown",
        *[{**row, "http_status": 403} for row in _pages("refusal", "one", "two", "three")],
    ),
    case(
        "one page for three names of three hosts on every network",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_every_network(partial(other_page, http_body_digest="notice")),
    ),
    case(
        "one page for three names of one host on every network",
        "http.diff",
        "unknown",
        *_on_every_network(partial(other_page, http_body_digest="challenge"), hosts=1),
    ),
    case(
        "one refusal for three names of three hosts on every network",
        "http.refused_by_site",
        "unknown",
        *_on_every_network(
            partial(
                other_page, http_body_digest="forbidden", http_status=403, status_code_match=False
            )
        ),
    ),
    case(
        "one refusal for three names that every network reached before",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_every_network(
            partial(
                other_page, http_body_digest="by order", http_status=403, status_code_match=False
            )
        ),
        *[on(100 + n, row) for n, row in enumerate(_on_every_network(http_observation))],
    ),
    case(
        "one refusal for three names of one host, but not on every network",
        "http.refused_by_site",
        "unknown",
        *_on_every_network(
            partial(
                other_page,
                http_body_digest="just a moment",
                http_status=403,
                status_code_match=False,
            ),
            hosts=1,
        ),
        *[
            on(100 + n, {**row, "probe_asn": row["probe_asn"] + 100})
            for n, row in enumerate(_on_every_network(http_observation, hosts=1)[9:])
        ],
    ),
    case(
        "one refusal for two names, and on other networks for two more",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_networks(_refusal, PROBE_NETWORK, one=0, two=0),
        *_on_networks(_refusal, 64520, one=0, two=0, three=1, four=2),
        *_on_networks(http_observation, 64521, 64522, one=0, two=0, three=1, four=2),
    ),
    case(
        "... and once for two more",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, one=0, two=0),
        *_on_networks(_refusal, 64520, one=0, two=0, three=1, four=2)[:9],
        *_on_networks(http_observation, 64521, 64522, one=0, two=0, three=1, four=2),
    ),
    case(
        "... and for two more, on all networks",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, one=0, two=0),
        *_on_networks(_refusal, 64520, 64521, 64522, one=0, two=0, three=1, four=2),
    ),
    case(
        "one report of names that it makes up makes no sinkhole",
        "dns.unmatched",
        "unknown",
        *[on(n, misled()) for n in range(1, 6)],
        *_in_one_report(misled),
    ),
    case(
        "... nor a bad resolver of a good one",
        "dns.substitution_persistent",
        "blocked dns.sinkhole",
        *[on(n, misled()) for n in range(1, 6)],
        *_dead_on(ELSEWHERE, "dead-a", "dead-b", "dead-c"),
        *_served_well(8),
        *_in_one_report(partial(misled, "198.51.100.77")),
    ),
    case(
        "... nor a resolver that sends dead names home",
        "dns.leftover",
        "down",
        leftover(),
        on(20, leftover(domain=names("a")[0])),
        *[on(21 + n, dead(domain=d)) for n, d in enumerate(names("b", "c", "d"))],
        *_in_one_report(leftover),
    ),
    case(
        "... nor a good resolver of a bad one",
        "dns.substitution",
        "unknown",
        *[on(n, misled()) for n in range(1, 6)],
        *_dead_on(ELSEWHERE, "dead-a", "dead-b", "dead-c"),
        *[on(40 + n, misled("198.51.100.77", domain=d)) for n in range(4) for d in names(*"abcd")],
        *_in_one_report(observation),
    ),
    case(
        "... nor a public answer of another's",
        "dns.certificate_of_another",
        "blocked dns.other",
        *[on(n, _certificate_of_another(udp_answers=[answer(ADDRESS)])) for n in range(8)],
        *_in_one_report(_from_public_resolvers),
    ),
    case(
        "... nor a public answer of a sinkhole for names of one host",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *_asked_often(misled),
        *_in_one_report(_from_public_resolvers),
    ),
    case(
        "one line from the network of public resolvers does not silence them",
        "dns.unmatched",
        "unknown",
        *[on(n, _certificate_of_another()) for n in range(8)],
        *[
            on(100 + 10 * a + n, _certificate_of_another(probe_asn=64520 + a, resolver_asn=64999))
            for a in range(3)
            for n in range(3)
        ],
        on(99, observation(domain="made-up.example", probe_asn=64999, resolver_asn=64999)),
    ),
    case(
        "two reports of pages that they make up make no cache of a sinkhole",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *_asked_often(misled),
        *_in_two_reports(_page_of_its_own),
    ),
    case(
        "... of a sinkhole with a page",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *_asked_often(partial(_page_at_another_address, "notice")),
        *_in_two_reports(_page_of_its_own),
    ),
    case(
        "... nor pages as long as the sites' own",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *_asked_often(misled),
        *_in_two_reports(
            partial(_page_at_another_address, "long", title_match=None, body_proportion=0.9)
        ),
    ),
    case(
        "one report on many networks does not say where a site is at home",
        "http.diff",
        "unknown",
        *_on_networks(sent_elsewhere, PROBE_NETWORK, 64520, 64521, 64522, one=0),
        *_on_many_networks(http_observation, 1),
    ),
    case(
        "... nor two that it is elsewhere",
        "http.sent_elsewhere",
        "blocked http.blockpage",
        *_on_networks(sent_elsewhere, PROBE_NETWORK, one=0),
        *_on_networks(http_observation, 64520, 64521, 64522, one=0),
        *_on_many_networks(sent_elsewhere, 2),
    ),
    case(
        "... nor one that most networks get the control's answer",
        "dns.unmatched",
        "unknown",
        *[on(n, misled()) for n in range(1, 6)],
        *_others_on(ELSEWHERE, "two"),
        *[
            on(
                400 + 10 * a + n,
                misled(f"198.51.100.{30 + a}", probe_asn=64520 + a, resolver_asn=64520 + a),
            )
            for a in range(3)
            for n in range(4)
        ],
        *_on_many_networks(observation, 1, domain="news.example"),
    ),
    case(
        "... nor two that they do not",
        "dns.lone_address",
        "blocked dns.other",
        *[on(n, misled()) for n in range(1, 6)],
        *_others_on(ELSEWHERE, "two"),
        *abroad(),
        *_on_many_networks(partial(misled, "198.51.100.99"), 2, domain="news.example"),
    ),
    case(
        "... nor two that a block page comes and goes everywhere",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_networks(_notice, PROBE_NETWORK, one=0, two=1, three=0),
        *_on_networks(http_observation, 64520, 64521, 64522, one=0, two=1, three=0),
        *[
            on(900 + 3 * k, row, day=3 * k)
            for k in range(2)
            for row in _on_networks(_notice, 64520, 64521, 64522, one=0)[::4]
        ],
    ),
    case(
        "... nor two that a refusal everywhere is a block page",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, 64520, 64521, 64522, one=1, two=2, three=3, four=4),
        *[
            row
            for label in ("one", "two", "three", "four")
            for row in _on_many_networks(http_observation, 2, domain=f"{label}.example")
        ],
    ),
    case(
        "networks of one session each make no block page of a refusal everywhere",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, 64520, 64521, 64522, one=1, two=2, three=3, four=4),
        *[
            on(500 + n, http_observation(domain="one.example", probe_asn=64600 + n))
            for n in range(20)
        ],
    ),
    case(
        "one report that repeats an error makes no refusal of a block page",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_every_network(partial(other_page, http_body_digest="order")),
        *[
            on(30, _refusal(domain=d, http_body_digest="order"), day=n % 2)
            for n in range(40)
            for d in names("one", "two", "three")
        ],
    ),
    case(
        "one refusal everywhere, and one report that has it for four well-known names",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, 64520, 64521, 64522, one=0),
        *[
            on(7, row)
            for row in _on_networks(_refusal, PROBE_NETWORK, two=1, three=2, four=3, five=4)[::4]
        ],
        *_on_networks(http_observation, 64520, 64521, 64522, two=1, three=2, four=3, five=4),
    ),
    case(
        "one refusal by one network, and one report that has it for four well-known names",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, one=0),
        *[
            on(7, row)
            for row in _on_networks(_refusal, PROBE_NETWORK, two=1, three=2, four=3, five=4)[::4]
        ],
        *_on_networks(http_observation, 64520, 64521, 64522, one=0, two=1, three=2, four=3, five=4),
    ),
    case(
        "one refusal for four names of two hosts on most networks",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_networks(_refusal, PROBE_NETWORK, 64520, 64521, one=0, two=0, three=1, four=1),
        *_on_networks(http_observation, 64522, 64523, one=0, two=0, three=1, four=1),
    ),
    case(
        "one refusal for four names, three of one host, on most networks",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, 64520, 64521, one=0, two=0, three=0, four=1),
        *_on_networks(http_observation, 64522, 64523, one=0, two=0, three=0, four=1),
    ),
    case(
        "one page on one network for two names of two hosts",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_networks(_notice, PROBE_NETWORK, one=0, two=1),
        *_on_networks(http_observation, 64520, 64521, one=0, two=1),
    ),
    case(
        "... which nobody else reaches, the one of them",
        "http.replaced",
        "blocked http.blockpage",
        *_on_networks(_notice, PROBE_NETWORK, one=0, two=1),
        *_on_networks(http_observation, 64520, 64521, one=0),
    ),
    case(
        "... of one host",
        "http.replaced",
        "blocked http.blockpage",
        *_on_networks(_notice, PROBE_NETWORK, one=0, two=0),
        *_on_networks(http_observation, 64520, 64521, one=0, two=0),
    ),
    case(
        "... on most networks",
        "http.diff",
        "unknown",
        *_on_networks(_notice, PROBE_NETWORK, 64520, 64521, 64522, one=0, two=1),
        *_on_networks(http_observation, 64523, one=0, two=1),
    ),
    case(
        "a page of each network's own for two names of two hosts, on all of them",
        "http.blockpage",
        "blocked http.blockpage",
        *_on_networks(_notice, PROBE_NETWORK, one=0, two=1),
        *_on_networks(partial(other_page, http_body_digest="a notice too"), 64520, one=0, two=1),
    ),
    case(
        "a page of each network's own for two names of one host, on all of them",
        "http.diff",
        "unknown",
        *_on_networks(_notice, PROBE_NETWORK, one=0, two=0),
        *_on_networks(partial(other_page, http_body_digest="a notice too"), 64520, one=0, two=0),
    ),
    case(
        "one refusal on one network for two names of two hosts",
        "http.refused_by_site",
        "unknown",
        *_on_networks(_refusal, PROBE_NETWORK, one=0, two=1),
        *_on_networks(http_observation, 64520, 64521, one=0, two=1),
    ),
    case(
        "one page for three names that they show over https too",
        "http.diff",
        "unknown",
        *_on_every_network(partial(other_page, http_body_digest="are you human")),
        *[
            on(100 + n, row)
            for n, row in enumerate(
                _on_every_network(
                    partial(observation, http_body_digest="are you human", title_match=False)
                )
            )
        ],
    ),
    case(
        "one address even from public resolvers for names of three hosts",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *_on_every_network(
            partial(misled, ELSEWHERE, udp_answers=[answer(ELSEWHERE, 64499, match="none")])
        ),
    ),
    case(
        "one address from public resolvers for names of one host",
        "dns.unmatched",
        "unknown",
        *_on_every_network(
            partial(misled, ELSEWHERE, udp_answers=[answer(ELSEWHERE, 64499, match="none")]),
            hosts=1,
        ),
    ),
    case(
        "nobody where public resolvers point as well",
        "dns.unmatched",
        "unknown",
        *_on_every_network(
            partial(helped, udp_answers=[answer(ELSEWHERE, 64499, match="none")]), hosts=1
        ),
    ),
    case(
        "another's certificate where public resolvers point as well",
        "dns.unmatched",
        "unknown",
        *_on_every_network(
            partial(
                misled,
                tcp=[connect(ELSEWHERE, match="none", control_ok=None)],
                tls=[handshake(ELSEWHERE, "ssl_invalid_hostname", match="none", control_ok=None)],
                udp_answers=[answer(ELSEWHERE, 64499, match="none")],
            ),
            hosts=1,
        ),
    ),
    case(
        "a page that one session saw does not make a sinkhole a cache",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *[
            on(3 * n + k, _page_at_another_address("notice", domain=d))
            for n, d in enumerate(names("one", "two", "three"))
            for k in range(2)
        ],
        *[on(20, _page_at_another_address(f"top up {d}", domain=d)) for d in names("one", "two")],
    ),
    case(
        "one page for two names that are reached elsewhere",
        "http.diff",
        "unknown",
        *_pages("shared page", "one", "two"),
        *_reached("one", "two"),
    ),
    case(
        "a page reached only at the address that the control found",
        "dns.nxdomain",
        "blocked dns.nxdomain",
        observation(
            dns_failure=NXDOMAIN,
            dns_answers=[],
            tcp=[connect(is_answer=False)],
            tls=[handshake(is_answer=False)],
            http_first_is_answer=False,
            x_blocking_flags=33,
            is_anomaly=True,
            blocking="dns",
        ),
    ),
    case(
        "the site's address beside one that cannot be, and its page came",
        "dns.answer_in_control",
        "ok",
        http_observation(
            dns_answers=[answer("192.0.2.10"), answer("::", None, special="zero", match="none")]
        ),
    ),
    case(
        "127.0.0.1 beside the site's address, and its page came",
        "dns.answer_in_control",
        "ok",
        http_observation(
            dns_answers=[
                answer("192.0.2.10"),
                answer("127.0.0.1", None, special="loopback", match="none"),
            ]
        ),
    ),
    case(
        "127.0.0.1 beside the site's address, and its https page came",
        "dns.answer_in_control",
        "ok",
        other_page(
            http_url="https://news.example/",
            dns_answers=[
                answer("192.0.2.10"),
                answer("127.0.0.1", None, special="loopback", match="none"),
            ],
        ),
    ),
    case(
        "a private address beside the site's, and its https page came",
        "dns.answer_in_control",
        "ok",
        other_page(
            http_url="https://news.example/",
            dns_answers=[
                answer("192.0.2.10"),
                answer("10.1.2.3", None, special="private", match="none"),
            ],
        ),
    ),
    case(
        "only the control gets 127.0.0.1",
        "dns.unmatched",
        "unknown",
        misled(control_answers=[control_answer("127.0.0.1", None, "loopback")]),
    ),
    case(
        "a lookup fails once and the page comes all the same",
        "dns.same_page",
        "ok",
        observation(
            test_version="0.4.2",
            dns_failure=TIMEOUT,
            dns_answers=[],
            tls=[],
            http_first_is_answer=None,
        ),
    ),
    case(
        "no such name, and a block page at the address that the control found",
        "dns.nxdomain",
        "blocked dns.nxdomain",
        other_page(
            dns_failure=NXDOMAIN,
            dns_answers=[],
            http_first_is_answer=False,
            http_fingerprints=[LISTED_PAGE],
        ),
    ),
    case(
        "a listed address that serves the site's page, judged alone",
        "dns.same_page",
        "ok",
        http_observation(
            dns_answers=[answer(LISTED_ADDRESS, 64499, match="none")],
            tcp=[connect(LISTED_ADDRESS, port=80, match="none", control_ok=None)],
        ),
        alone=True,
    ),
    case(
        "a listed address that the resolver gives for dead names too",
        "dns.substitution",
        "unknown",
        on(1, misled(LISTED_ADDRESS)),
        *[on(n, observation()) for n in range(2, 6)],
        *_dead_on(LISTED_ADDRESS, "dead-a", "dead-b", "dead-c"),
        *_served_well(8),
    ),
    case(
        "one address always given for three live names",
        "dns.sinkhole",
        "blocked dns.sinkhole",
        *[on(n, misled()) for n in range(1, 6)],
        *_others_on(ELSEWHERE, "two", "three"),
        *_served_well(8, "well", "fine", "good", "great"),
    ),
    case(
        "one address always, on which another page comes",
        "dns.unmatched",
        "unknown",
        *[
            on(
                n,
                other_page(
                    **_CDN, tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)]
                ),
            )
            for n in range(1, 6)
        ],
        *_others_on(ELSEWHERE, "two"),
        *abroad(),
    ),
    case(
        "another's certificate, and the control does not get the page either",
        "dns.unmatched",
        "down",
        misled(
            tcp=[connect(ELSEWHERE, match="none", control_ok=None)],
            tls=[handshake(ELSEWHERE, "ssl_invalid_hostname", match="none", control_ok=None)],
            http_failure="ssl_invalid_hostname",
            **site_down(),
        ),
    ),
    case(
        "one address is cut, the other fails for the control too",
        "tls.reset",
        "blocked tls.reset",
        unshaken(
            RESET,
            tls=[
                handshake("192.0.2.11", "ssl_invalid_certificate", control_ok=False),
                handshake(failure=RESET),
            ],
        ),
    ),
    case(
        "a page on the list that the control saw too",
        "http.same_page",
        "ok",
        http_observation(http_fingerprints=[LISTED_PAGE]),
    ),
    case(
        "a refusal that the control gets too",
        "http.https",
        "ok",
        observation(http_status=403, control_http_status=403),
    ),
    case(
        "a refusal from an unknown address",
        "http.diff",
        "unknown",
        other_page(
            **_CDN,
            http_status=403,
            tcp=[connect(ELSEWHERE, port=80, match="none", control_ok=None)],
        ),
    ),
    case(
        "sent on to another address of the same owner",
        "http.diff",
        "unknown",
        on(1, sent_elsewhere(title_match=True, status_code_match=False)),
        *_by_one_network(sent_elsewhere()),
    ),
    case(
        "sent on to another site while the site is down for the control",
        "http.no_control",
        "unknown",
        on(1, sent_elsewhere(**site_down())),
        *_by_one_network(sent_elsewhere()),
    ),
    case(
        "a server error that the control does not get",
        "http.diff",
        "unknown",
        other_page(http_status=502, status_code_match=False),
    ),
    case(
        "a redirect to a subdomain whose handshake is cut",
        "http.tls_reset",
        "blocked tls.reset",
        redirected("www.news.example", RESET, redirect_layer="tls"),
    ),
    case(
        "a redirect to another site with a bad certificate",
        "http.failure",
        "unknown",
        redirected("elsewhere.example", "ssl_unknown_authority", redirect_layer="tls"),
    ),
    case(
        "a redirect to the site's own https, where nobody answers",
        "http.timeout_at_redirect",
        "blocked tcp.timeout",
        redirected("news.example", TIMEOUT, redirect_layer="tcp"),
    ),
    case(
        "a redirect to a plain page of the site that stalls",
        "http.timeout",
        "blocked http.timeout",
        redirected("www.news.example", TIMEOUT, http_url="http://www.news.example/"),
    ),
    case(
        "a redirect within the site to an address that fails in words of its own",
        "http.failure",
        "unknown",
        redirected("www.news.example", "unknown_failure: no route", redirect_layer="tcp"),
    ),
    case(
        "a redirect to another site fails in words of its own",
        "http.failure",
        "unknown",
        redirected("elsewhere.example", "http_invalid_redirect_url"),
    ),
    case(
        "a redirect within the site fails in words of its own",
        "http.failure",
        "unknown",
        redirected("www.news.example", "http_invalid_redirect_url"),
    ),
    case(
        "a page is refused after the connection was made",
        "http.failure",
        "unknown",
        http_observation(**no_response(http_failure=REFUSED)),
    ),
    case(
        "a second lookup fails after the connection was made",
        "http.failure",
        "unknown",
        http_observation(**no_response(http_failure=NXDOMAIN)),
    ),
    case(
        "an old probe that kept no connection is cut on https",
        "http.tls_reset",
        "blocked tls.reset",
        {**old_https(RESET), "tcp": []},
    ),
    case(
        "a false certificate that the handshake tells of",
        "http.tls_mitm",
        "blocked tls.mitm",
        unshaken("ssl_unknown_authority"),
    ),
    case(
        "a certificate fails after a good handshake",
        "http.failure",
        "unknown",
        observation(**no_response(http_failure="ssl_unknown_authority")),
    ),
    case(
        "a listed block address that the control got too",
        "dns.answer_in_control",
        "ok",
        http_observation(
            dns_answers=[answer(LISTED_ADDRESS)], control_answers=[control_answer(LISTED_ADDRESS)]
        ),
    ),
    case(
        "a listed address that serves the site's page",
        "dns.vouched",
        "ok",
        http_observation(dns_answers=[answer(LISTED_ADDRESS, 64499, match="none")]),
    ),
    case(
        "an address of the site that only the control cannot reach",
        "tcp.fails_for_control_too",
        "down",
        http_observation(
            tcp=[connect(port=80, failure=TIMEOUT, control_ok=False)],
            **no_response(http_failure=TIMEOUT),
        ),
    ),
)


# --- one connection for all of them -----------------------------------------------------------


def apart(rows: Iterable[Row], number: int, key: str) -> list[Row]:
    """The rows with names, addresses, networks and reports of their own."""
    moved = []
    for position, row in enumerate(rows):
        own = {name: _apart(value, number) for name, value in row.items()}
        own["probe_asn"] += 1000 * (number + 1)
        own["resolver_asn"] += 1000 * (number + 1)
        own |= {"object_key": key, "line_number": position, "probe_cc": row["probe_cc"]}
        for column in ("report_id", "http_body_digest"):
            own[column] = own[column] and f"{own[column]} {number}"
        moved.append(own)
    return moved


def _apart(value: Any, number: int) -> Any:
    if isinstance(value, list):
        return [_apart(item, number) for item in value]
    if isinstance(value, dict):
        return {name: _apart(item, number) for name, item in value.items()}
    if not isinstance(value, str):
        return value
    text = value.replace("192.0.2.", f"192.0.{number + 2}.")
    text = text.replace("198.51.100.", f"198.51.{number + 2}.")
    text = text.replace("2001:db8:100:", f"2001:db8:{number + 2:x}:")
    return re.sub(r"\.example\b", f"-{number}.example", text)


def fingerprints_for(count: int) -> Fingerprints:
    """The block page, and the block address of each situation."""
    countries = ("QQ",)
    return Fingerprints(
        dns=tuple(
            Fingerprint(
                f"qq_address_{n}", "isp", "dns", "full", str(_apart(LISTED_ADDRESS, n)), countries
            )
            for n in range(count)
        ),
        http=(Fingerprint(LISTED_PAGE, "nat", "body", "contains", "blocked", countries),),
    )


def judged(situations: Iterable[Situation], *, is_alone: bool) -> duckdb.DuckDBPyConnection:
    """A connection with the outcomes of all situations that are judged that way."""
    chosen = [(n, s) for n, s in enumerate(situations) if s.is_alone == is_alone]
    rows = [row for n, s in chosen for row in apart(s.rows, n, s.name)]
    connection = connection_with(rows)
    count = 1 + max((n for n, _ in chosen), default=0)
    fingerprints = fingerprints_for(count)
    add_outcomes(connection, Thresholds(), fingerprints, is_pooled=not is_alone).use(connection)
    return connection


def results(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Situation → what its first row came to."""
    query = connection.execute(
        "SELECT o.*, object_key FROM outcomes o JOIN observations USING (row_id) "
        "WHERE line_number = 0"
    )
    columns = [column[0] for column in query.description or []]
    rows = [dict(zip(columns, values, strict=True)) for values in query.fetchall()]
    return {row["object_key"]: row for row in rows}


def mistakes(situations: Iterable[Situation], outcomes: dict[str, dict[str, Any]]) -> list[str]:
    """What is not as the situations say, in words."""
    wrong = []
    for situation in situations:
        row = outcomes.get(situation.name)
        if row is None:
            wrong.append(f"{situation.name}: not judged")
            continue
        fired = row.get(f"{situation.layer}_rule", row["rule_id"])
        if fired != situation.rule_id:
            wrong.append(f"{situation.name}: {fired} fires, not {situation.rule_id}")
        elif (row["class"], row["mechanism"]) != (situation.outcome, situation.mechanism):
            came = f"{row['class']} {row['mechanism']} by {row['rule_id']}"
            wrong.append(f"{situation.name}: {came}, not {situation.outcome} {situation.mechanism}")
    return wrong
