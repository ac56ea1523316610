"""What an observation says, for each way in which probes have said it since 2017."""

import base64
import json
import pickle
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Raw

from analysis.errors import ParameterError
from analysis.observations import messages, observation
from analysis.observations import observation as bodies
from analysis.observations.certificates import Certificate, read_certificate
from analysis.observations.fingerprints import Fingerprint, Fingerprints, load
from analysis.observations.flags import Received, compute_flags
from analysis.observations.messages import TestKeys, Unreadable
from analysis.store.store import table_of

_SITE, _OTHER, _SINKHOLE = "192.0.2.1", "192.0.2.2", "203.0.113.7"


def _query(address: str | None = _SITE, failure: str | None = None, **changes: Any) -> dict:
    answers = [{"answer_type": "A", "ipv4": address, "asn": 64500}] if address else None
    return {
        "engine": "getaddrinfo",
        "hostname": "news.example",
        "query_type": "ANY",
        "failure": failure,
        "answers": answers,
        "tags": ["depth=0"],
        **changes,
    }


def _control(**changes: Any) -> dict:
    return {
        "dns": {"failure": None, "addrs": [_SITE]},
        "tcp_connect": {},
        "http_request": {"status_code": 200, "body_length": 9, "title": "News"},
        **changes,
    }


def _exchange(url: str = "https://news.example/", body: Any = "<p>x</p>", **changes: Any) -> dict:
    response = {"code": 200, "body": body, "headers": changes.pop("headers", {})}
    return {
        "failure": None,
        "request": {"url": url},
        "response": response,
        "tags": ["depth=0"],
        **changes,
    }


def _observe(
    test_keys: Any = None, fingerprints: Fingerprints | None = None, **changes: Any
) -> dict[str, Any]:
    """The observation of one measurement, by column, through the table that is stored."""
    line = {
        "test_name": "web_connectivity",
        "report_id": "r",
        "input": "https://news.example/",
        "measurement_start_time": "2024-07-01 10:00:00",
        "probe_cc": "QQ",
        "probe_asn": "AS64500",
        "test_keys": test_keys,
        **changes,
    }
    read = messages.decode(json.dumps(line).encode())
    row = observation.observe(read, line_number=1, fingerprints=fingerprints or Fingerprints())
    found: dict[str, Any] = table_of([row]).to_pylist()[0]
    return found


# --- dns ----------------------------------------------------------------------------------------


def test_dns_is_what_the_system_resolver_said_of_the_inputs_host():
    """Any answer, even one without an address, means that there was no failure."""
    no_aaaa = _query(None, "dns_no_answer", query_type="AAAA")
    for queries, failure, answers in (
        ([_query()], None, [_SITE]),
        ([_query(engine=None, tags=None)], None, [_SITE]),  # before 0.4
        ([_query(hostname="NEWS.example.")], None, [_SITE]),
        ([_query(None, "dns_nxdomain_error")], "dns_nxdomain_error", []),
        ([_query(None, "android_dns_cache_no_data")], "dns_nxdomain_error", []),
        ([no_aaaa, _query()], None, [_SITE]),
        ([no_aaaa, _query(None, "dns_refused_error")], "dns_refused_error", []),
        ([_query("[scrubbed]")], None, []),
        ([_query(None, answers=[{"answer_type": "CNAME", "hostname": "a.example"}])], None, []),
        ([_query(engine="doh")], None, []),
        ([_query(hostname="elsewhere.example")], None, []),
        ([_query(tags=["depth=1"])], None, []),
        ([_query(), _query(_OTHER), _query()], None, [_SITE, _OTHER]),
        ([], None, []),
        (None, None, []),
    ):
        found = _observe({"queries": queries})
        assert found["dns_failure"] == failure, queries
        assert [answer["address"] for answer in found["dns_answers"]] == answers, queries
    # Lookups by UDP show injection on the path and say nothing about the system resolver.
    found = _observe({"queries": [_query(), _query(_SINKHOLE, engine="udp")]})
    addresses = [found[name][0]["address"] for name in ("dns_answers", "udp_answers")]
    assert addresses == [_SITE, _SINKHOLE]


def test_answers_are_compared_with_the_controls():
    """By address, else by network; null where the control has no address."""
    other = {"addrs": [_OTHER]}
    for control, expected in (
        (_control(), "address"),
        (_control(dns=other, ip_info={_OTHER: {"asn": 64500}}), "asn"),
        (_control(dns=other, ip_info={_OTHER: {"asn": 64501}}), "none"),
        (_control(dns=other), "none"),
        (_control(dns={"addrs": ["www.elsewhere.example", _SITE]}), "address"),  # as in 2017
        (_control(dns={"addrs": [], "failure": "dns_name_error"}), None),
        ({}, None),
        (None, None),
    ):
        found = _observe({"queries": [_query()], "control": control})
        assert [answer["match"] for answer in found["dns_answers"]] == [expected], control


def test_starts_and_system_errors_are_kept_as_they_were_sent():
    """A start that is no time is missing; the system's number is that of its own lookup."""
    for start, expected in (
        ("2024-07-01 09:59:00", datetime(2024, 7, 1, 9, 59)),
        ("2024-07-01T09:59:00Z", datetime(2024, 7, 1, 9, 59)),
        ("yesterday", None),
        ("", None),
        (None, None),
        (7, None),
    ):
        assert _observe({}, test_start_time=start)["test_start_time"] == expected, start
    failed = _query(None, "dns_nxdomain_error", getaddrinfo_error=8)
    for queries, expected in (
        ([failed], 8),
        ([_query(engine="udp", getaddrinfo_error=3), failed], 8),
        ([_query()], None),
        ([{**failed, "getaddrinfo_error": 1 << 40}], None),
    ):
        assert _observe({"queries": queries})["getaddrinfo_error"] == expected


def _certificate(*names: str, issuer: str = "Bad Box", subject: str = "box") -> dict[str, str]:
    """A self-made certificate, as a probe sends it."""
    key = ec.generate_private_key(ec.SECP256R1())
    extension = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]),
        key.public_key(),
        7,
        datetime(2024, 1, 1),
        datetime(2025, 1, 1),
    )
    if names:
        builder = builder.add_extension(extension, critical=False)
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return {"format": "base64", "data": base64.b64encode(der).decode()}


def test_the_certificate_that_the_probe_saw():
    """That of the first handshake that failed by it, else the first; its subject where no names."""
    own, box = _certificate("news.example", "*.news.example", issuer="CA"), _certificate()
    many = _certificate(*(f"{n}.example" for n in range(30)))
    for shown, issuer, names in (
        ([(None, [own])], "CN=CA", ["news.example", "*.news.example"]),
        ([(None, [own]), ("ssl_invalid_hostname", [box, own])], "CN=Bad Box", ["box"]),
        ([("connection_reset", None), (None, [own])], "CN=CA", ["news.example", "*.news.example"]),
        ([(None, [many])], "CN=Bad Box", [f"{n}.example" for n in range(10)]),
        ([(None, [{"data": "no base64!", "format": "base64"}])], None, None),
        ([(None, [{"data": box["data"][:80]}])], None, None),
        ([(None, [])], None, None),
    ):
        handshakes = [
            {
                "server_name": "news.example",
                "failure": failure,
                "peer_certificates": given,
                "tags": ["depth=0"],
            }
            for failure, given in shown
        ]
        found = _observe({"tls_handshakes": handshakes})
        assert (found["certificate_issuer"], found["certificate_names"]) == (issuer, names)


def test_a_damaged_certificate_harms_nothing():
    """Whatever is wrong with it, it is read in part or left out."""
    der, rng = base64.b64decode(_certificate("news.example")["data"]), random.Random(7)
    for _ in range(3000):
        damaged = bytearray(der)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        read = read_certificate(base64.b64encode(damaged).decode())
        assert isinstance(read, Certificate)


def test_how_the_bytes_came_in():
    """Of 0.5 those of the connection that fetched the page; before, of all; five points at most."""

    def event(operation: str, t: object, num_bytes: object, number: int = 0) -> dict[str, Any]:
        return {"operation": operation, "t": t, "num_bytes": num_bytes, "transaction_id": number}

    new = "bytes_received_cumulative"
    for events, expected in (
        ([event(new, 1, 10, 4), event(new, 2, 99, 5), event(new, 3, 30, 4)], [(1, 10), (3, 30)]),
        ([event("read", 1, 10), event("write", 2, 5), event("read", 3, 7)], [(1, 10), (3, 17)]),
        ([event(new, n, n * 10, 4) for n in range(9)], [(n, n * 10) for n in (0, 2, 4, 6, 8)]),
        ([event("read", -1, 10), event("read", 1, -1), event("read", None, None)], []),
        (None, []),
    ):
        keys = {"network_events": events, "requests": [_exchange(transaction_id=4)]}
        assert [tuple(one.values()) for one in _observe(keys)["reads"]] == expected


# --- control ------------------------------------------------------------------------------------


def test_a_control_that_says_nothing_is_no_control():
    """Empty defaults are no answer, -1 and 0 are no status."""
    empty = {
        "tcp_connect": None,
        "dns": {"failure": None, "addrs": None},
        "http_request": {"status_code": 0, "failure": None, "title": ""},
    }
    failed = {
        "dns": {"failure": "dns_name_error", "addrs": []},
        "http_request": {"status_code": -1, "failure": "dns_lookup_error"},
    }
    for control, failure, expected in (
        (_control(), None, (True, None, 200)),
        (_control(), "connection_reset", (False, None, None)),
        ({}, None, (False, None, None)),
        (None, None, (False, None, None)),
        (empty, None, (False, None, None)),
        (failed, None, (True, "dns_nxdomain_error", None)),
    ):
        found = _observe({"control": control, "control_failure": failure})
        names = ("has_control", "control_dns_failure", "control_http_status")
        assert tuple(found[name] for name in names) == expected, control


# --- tcp and tls --------------------------------------------------------------------------------


def test_attempts_of_0_5_are_those_of_depth_0_with_the_controls_result():
    """One item an attempt; IPv6 endpoints are written with brackets; redirects are left out."""
    found = _observe(
        {
            "queries": [_query()],
            "tcp_connect": [
                {
                    "ip": _SITE,
                    "port": 443,
                    "tags": ["depth=0"],
                    "status": {"success": False, "failure": "connection_reset"},
                },
                {
                    "ip": "2001:db8::1",
                    "port": 443,
                    "tags": ["depth=0"],
                    "status": {"success": True, "failure": None},
                },
                {"ip": _OTHER, "port": 443, "tags": ["depth=1"], "status": {"success": True}},
            ],
            "tls_handshakes": [
                {
                    "address": "[2001:db8::1]:443",
                    "server_name": "news.example",
                    "failure": None,
                    "no_tls_verify": False,
                    "tags": ["depth=0"],
                },
                {
                    "address": f"{_SITE}:443",
                    "server_name": "news.example",
                    "failure": None,
                    "no_tls_verify": True,
                    "tags": ["depth=0"],
                },
            ],
            "control": _control(
                tcp_connect={
                    f"{_SITE}:443": {"status": True},
                    "[2001:db8::1]:443": {"status": False, "failure": "host_unreachable"},
                },
                tls_handshake={"[2001:db8::1]:443": {"status": False, "failure": "ssl_failed"}},
            ),
        }
    )
    assert [list(item.values()) for item in found["tcp"]] == [
        [_SITE, 443, "connection_reset", "address", True, True, None],
        ["2001:db8::1", 443, None, "none", False, False, "host_unreachable"],
    ]
    assert [list(item.values()) for item in found["tls"]] == [
        ["2001:db8::1", "news.example", None, "none", False, False, "ssl_failed"]
    ]


def test_attempts_of_0_4_are_told_apart_by_address_and_server_name():
    """It tags no depth, and its handshakes do not name their address."""
    found = _observe(
        {
            "queries": [_query(tags=None)],
            "tcp_connect": [
                {"ip": _SITE, "port": 443, "status": {"success": True}},
                {"ip": "198.51.100.9", "port": 443, "status": {"success": False}},
            ],
            "tls_handshakes": [
                {"server_name": "news.example", "failure": "connection_reset"},
                {"server_name": "elsewhere.example", "failure": "connection_reset"},
            ],
            "control": _control(tls_handshake={f"{_SITE}:443": {"status": True}}),
        }
    )
    assert [item["address"] for item in found["tcp"]] == [_SITE]
    assert [list(item.values()) for item in found["tls"]] == [
        [None, "news.example", "connection_reset", "address", True, True, None]
    ]


def test_a_handshake_that_names_no_address_is_held_against_the_control_at_the_same() -> None:
    """The resolver's old address shows another's certificate to the control too."""
    bad = {"status": False, "failure": "ssl_invalid_hostname"}
    found = _observe(
        {
            "queries": [_query(tags=None)],
            "tcp_connect": [{"ip": _SITE, "port": 443, "status": {"success": True}}],
            "tls_handshakes": [{"server_name": "news.example", "failure": "ssl_invalid_hostname"}],
            "control": _control(
                tls_handshake={
                    f"{_SITE}:443": bad,
                    "198.51.100.9:443": {"status": True},
                }
            ),
        }
    )
    assert found["tls"][0]["control_ok"] is False


def test_an_address_spelt_for_nat64_is_the_controls():
    """A network without IPv4 gives the same server another spelling, at every layer."""
    nat64 = "64:ff9b::c000:201"
    tags = {"tags": ["depth=0"]}
    handshake = {"address": f"[{nat64}]:443", "server_name": "news.example", **tags}
    found = _observe(
        {
            "queries": [_query(None, answers=[{"answer_type": "AAAA", "ipv6": nat64}])],
            "tcp_connect": [{"ip": nat64, "port": 443, "status": {"success": True}, **tags}],
            "tls_handshakes": [{**handshake, "failure": "connection_reset"}],
            "requests": [_exchange(address=f"[{nat64}]:443")],
            "control": _control(
                tcp_connect={f"{_SITE}:443": {"status": True}},
                tls_handshake={f"{_SITE}:443": {"status": True}},
            ),
        }
    )
    (answer,), (connect,), (handshake,) = found["dns_answers"], found["tcp"], found["tls"]
    for item in (answer, connect, handshake):
        assert (item["address"], item["match"]) == (_SITE, "address")
    assert (connect["control_ok"], handshake["control_ok"]) == (True, True)
    assert found["http_first_is_answer"] is True


def test_the_controls_own_handshakes_prove_addresses():
    """Those that got a valid certificate, with the probe's addresses as with its own."""
    ends = {
        f"{_SITE}:443": {"status": True, "failure": None},
        "[2001:DB8::1]:443": {"status": True, "failure": None},
        f"{_OTHER}:443": {"status": False, "failure": "ssl_invalid_hostname"},
        "[scrubbed]:443": {"status": True, "failure": None},
        "203.0.113.7:443": None,
    }
    control = _control(tls_handshake=ends)
    assert _observe({"control": control})["control_tls_addresses"] == [_SITE, "2001:db8::1"]
    failed = _observe({"control": control, "control_failure": "connection_reset"})
    assert failed["control_tls_addresses"] == []


def test_an_address_is_an_answer_only_where_answers_are_known():
    """A lookup that is missing, or that names no address, does not make a page the control's."""
    end = {"ip": _SITE, "port": 443, "status": {"success": True}, "tags": ["depth=0"]}
    alias = _query(None, answers=[{"answer_type": "CNAME", "hostname": "a.example"}])
    for queries, expected in (
        ([_query()], True),
        ([_query(_OTHER)], False),
        ([_query(None, "dns_nxdomain_error")], False),
        ([_query(_SITE, engine="doh")], None),
        ([_query("[scrubbed]")], None),
        ([alias, _query(None, "dns_no_answer", query_type="AAAA")], None),
        (None, None),
    ):
        requests = [_exchange(address=f"{_SITE}:443")]
        found = _observe({"queries": queries, "tcp_connect": [end], "requests": requests})
        assert found["http_first_is_answer"] is expected, queries
        assert found["tcp"][0]["is_answer"] is expected, queries


# --- redirects and http -------------------------------------------------------------------------


def test_what_failed_behind_a_redirect():
    """The first layer at which all attempts failed: one broken IPv6 address of a working target is
    none. 0.5 shakes hands at port 443 of a plain target to learn, not to fetch: the page came by
    port 80, or was cut there."""
    plain = {
        "address": "198.51.100.9:443",
        "server_name": "login.example",
        "failure": "eof_error",
        "tags": ["depth=1", "fetch_body=false"],
    }
    tags = ["depth=1", "fetch_body=true"]
    cut = _exchange("http://login.example/", failure="eof_error", response=None, tags=tags)
    fetched = {
        "queries": [_query(), _query("198.51.100.9", hostname="login.example", tags=["depth=1"])],
        "tcp_connect": [
            {
                "ip": ip,
                "port": 443,
                "status": {"success": failure is None, "failure": failure},
                "tags": ["depth=1"],
            }
            for ip, failure in (("2001:db8::9", "x"), ("198.51.100.9", None))
        ],
    }
    reset = {**plain, "failure": "connection_reset", "tags": ["depth=1"]}
    for keys, expected in (
        ({"tls_handshakes": [plain]}, (None, None, None)),
        ({"tls_handshakes": [plain], "requests": [cut]}, ("http", "login.example", "eof_error")),
        (fetched, (None, None, None)),
        ({**fetched, "tls_handshakes": [reset]}, ("tls", "login.example", "connection_reset")),
    ):
        found = _observe(keys)
        names = ("redirect_layer", "redirect_host", "redirect_failure")
        assert tuple(found[name] for name in names) == expected, keys


def test_a_redirect_of_0_4_failed_if_the_newest_request_failed_elsewhere():
    """The same failure at the input's own host is none of a redirect.

    It keeps no handshake of the target: an https page may have been cut before or after it.
    """
    for scheme, failure, layer in (
        ("https", "dns_nxdomain_error", "dns"),
        ("https", "connection_refused", "tcp"),
        ("https", "ssl_invalid_hostname", "tls"),
        ("https", "generic_timeout_error", None),
        ("http", "generic_timeout_error", "http"),
    ):
        newest = _exchange(f"{scheme}://login.example/", failure=failure, tags=None, response=None)
        at_home = _exchange("https://news.example/a", failure=failure, tags=None, response=None)
        found = _observe({"requests": [newest, _exchange(tags=None)]})
        assert (found["redirect_layer"], found["redirect_host"]) == (layer, "login.example")
        assert _observe({"requests": [at_home]})["redirect_layer"] is None


def _connect(ip: str, number: int, *tags: str) -> dict:
    return {
        "ip": ip,
        "port": 443,
        "status": {"success": True, "failure": None},
        "tags": [*tags, "depth=0"],
        "transaction_id": number,
    }


def test_a_request_that_does_not_say_where_it_went_is_placed_by_its_connection():
    """``address`` is optional in df-001. After a failed lookup nothing went where it pointed, and
    early probes of 0.5 tag no connection as following from the system resolver."""
    tagged = [_connect(_SITE, 50001, "classic"), _connect(_OTHER, 50002)]
    found, failed = [_query()], [_query(None, "dns_nxdomain_error")]
    for queries, connects, request_keys, expected in (
        (found, tagged, {"transaction_id": 50001}, True),
        (found, tagged, {"transaction_id": 50002}, False),
        (found, tagged, {"tags": ["classic", "depth=0"]}, True),
        (found, tagged, {"transaction_id": 7}, False),  # no such connection; others are tagged
        (failed, tagged, {"transaction_id": 50002}, False),
        (failed, tagged, {}, False),
        (failed, tagged, {"tags": None}, None),  # before 0.5: by a lookup of its own
        ([_query("[scrubbed]")], tagged, {"transaction_id": 50001}, None),
        (found, [_connect(_SITE, 4)], {}, None),
    ):
        requests = [_exchange(**request_keys)]
        keys = {"queries": queries, "tcp_connect": connects, "requests": requests}
        assert _observe(keys)["http_first_is_answer"] is expected, (queries, request_keys)


_PAGE = Fingerprint("page", "nat", "body", "contains", "Blocked by order", ())
_MOVED = Fingerprint("moved", "isp", "header.location", "prefix", "http://203.0.113.7/", ())
_BLOCK_PAGE = "<html><title>Blocked\n by&amp;order</title>Blocked by order: {}</html>"


def test_pages_that_may_be_somebody_elses_are_looked_at():
    """Everything but what came over verified HTTPS from the input's own registrable domain."""
    plain, moved = "http://news.example/", "http://203.0.113.7/"
    packed = {"format": "base64", "data": base64.b64encode(_BLOCK_PAGE.encode()).decode()}
    place = {"format": "base64", "data": base64.b64encode(moved.encode() + b"\xff").decode()}
    failed = _exchange(plain, "", failure="http_request_failed", headers={"Location": moved + "?"})
    for exchange, names in (
        (_exchange(body=_BLOCK_PAGE), None),  # the site's own
        (_exchange(plain, _BLOCK_PAGE), ["page"]),
        (_exchange("https://block.example/", _BLOCK_PAGE), ["page"]),
        (_exchange("https://www.news.example/", _BLOCK_PAGE), None),
        (failed, ["moved"]),
        (_exchange(plain, "", headers={"location": place}), ["moved"]),
        (_exchange(plain, packed), ["page"]),
        (_exchange(plain, "<p>hello</p>"), []),
        (_exchange(plain, None), []),
    ):
        keys = {"requests": [exchange], "blocking": False, "accessible": True}
        found = _observe(keys, Fingerprints(http=(_PAGE, _MOVED)))
        assert found["http_fingerprints"] == names, exchange
        assert found["is_confirmed"] is bool(names), exchange


def test_one_block_page_for_many_names_has_one_digest():
    """What differs with the name, the hour or a counter does not count; another page differs."""

    def digest(host: str, body: str, path: str = "") -> Any:
        url = f"http://{host}/{path}"
        return _observe({"requests": [_exchange(url, body)]}, input=url)["http_body_digest"]

    page = "<h1>Blocked</h1> {} at 10:0{} ref {} <a href='?u=http%3A%2F%2F{}%2F'>"
    one = digest("a.example", page.format("http://a.example/", 1, "deadbeef01", "a.example"))
    two = digest("b.test", page.format("http://B.test/", 2, "00c0ffee", "b.test"))
    # of an input with a path it may show the front page
    three = digest("c.test", page.format("http://c.test/", 3, "ba5eba11", "c.test"), "news?id=3")
    assert one == two == three
    assert one != digest("a.example", "<h1>Welcome</h1>")
    assert digest("a.example", "") is None


def test_what_is_said_of_a_response():
    """The title and length of the newest one; a page like the control's is not described. 0.5 makes
    no request where no handshake succeeds: the experiment's failure stands for it."""
    keys = {"requests": [_exchange("http://news.example/", _BLOCK_PAGE)]}
    same = {"status_code_match": True, "title_match": True, "body_proportion": 0.98}
    none = {"requests": [], "http_experiment_failure": "connection_reset"}
    for given, expected in (
        (keys, ("Blocked by&order", len(_BLOCK_PAGE), None, 1)),
        ({**keys, **same}, (None, None, None, 1)),
        (none, (None, None, "connection_reset", 0)),
    ):
        found = _observe(given)
        names = ("http_title", "http_body_length", "http_failure", "http_request_count")
        assert tuple(found[name] for name in names) == expected


def test_a_long_page_like_the_controls_is_the_sites_own():
    """A fingerprint far behind its start is not looked for; at its start, or on a page that the
    probe found to differ, it is found."""
    same = {"status_code_match": True, "title_match": True, "body_proportion": 0.98}
    differs = same | {"title_match": False}
    filler = "<p>news</p>" * 1000
    for keys, body, names in (
        (same, filler + _BLOCK_PAGE, []),
        (same, _BLOCK_PAGE + filler, ["page"]),
        (differs, filler + _BLOCK_PAGE, ["page"]),
    ):
        requests = [_exchange("http://news.example/", body)]
        found = _observe({"requests": requests, **keys}, Fingerprints(http=(_PAGE,)))
        assert found["http_fingerprints"] == names


def test_a_huge_body_is_looked_at_only_at_its_start():
    """A cut inside an escape or a letter breaks nothing."""
    for piece in ("ក", "\\u00e9", "\\ud83d\\ude00", "\\\\", "x"):
        letter, count = json.loads(f'"{piece}"').encode(), 2_000_000 // len(piece.encode())
        body = bodies.body_bytes(Raw(b'"' + piece.encode() * count + b'"'))
        assert body is not None
        assert body == (letter * count)[: len(body)]
        looked_at = len(body) / len(letter) * len(piece.encode())
        assert bodies.BODY_LIMIT - 16 < looked_at <= bodies.BODY_LIMIT


# --- what is refused ----------------------------------------------------------------------------


def test_a_measurement_that_cannot_be_placed_is_refused():
    """With the word for it in the ledger."""
    for changes, why in (
        ({"input": None}, "no_input"),
        ({"input": ""}, "no_input"),
        ({"input": ["a"]}, "no_input"),
        ({"input": "http://" + "x" * 70_000}, "input_too_long"),
        ({"report_id": "r" * 1000}, "report_id_too_long"),
        ({"measurement_start_time": None}, "no_start_time"),
        ({"measurement_start_time": "yesterday"}, "bad_start_time"),
        ({"measurement_start_time": "2024-02-30 10:00:00"}, "bad_start_time"),
        ({"measurement_start_time": "2024-07-01 10:00:00" + "0" * 100}, "bad_start_time"),
        ({"probe_cc": None}, "bad_probe_cc"),
        ({"probe_cc": "../x"}, "bad_probe_cc"),
        ({"probe_asn": "AS-1"}, "bad_probe_asn"),
        ({"probe_asn": "AS99999999999"}, "bad_probe_asn"),
        ({"probe_asn": -1}, "bad_probe_asn"),
        ({"test_name": None}, "no_test_name"),
    ):
        with pytest.raises(Unreadable, match=f"^invalid:{why}$"):
            _observe({}, **changes)


def test_start_times_are_utc():
    """As probes write them and as the API does."""
    for end in ("", "Z", ".123456Z", "+00:00"):
        assert observation.parse_start_time(f"2024-07-01 10:00:00{end}") == 1_719_828_000
        assert observation.parse_start_time(f"2031-01-01T00:00:00{end}") == 1_924_992_000


# --- hostile and broken corners -----------------------------------------------------------------

_WRONG: list[Any] = [None, True, -1, 1e300, 10**40, "x", "", [], {}, [None], [[]], {"a": None}]


@pytest.mark.parametrize("wrong", _WRONG, ids=repr)
def test_a_corner_of_the_wrong_type_does_not_lose_the_measurement(wrong):
    """Whatever stands in a field that should hold something else, the rest is kept."""
    base: dict[str, Any] = {
        "queries": [_query()],
        "requests": [_exchange()],
        "control": _control(),
        "tcp_connect": [{"ip": _SITE, "port": 443, "status": {"success": True}, "tags": []}],
        "tls_handshakes": [{"server_name": "news.example"}],
        "blocking": False,
        "accessible": True,
    }
    for name in (*messages.TestKeys.__struct_fields__, "unheard_of"):
        assert _observe({**base, name: wrong})["domain"] == "news.example"
    for name in base:
        inner = base[name][0] if isinstance(base[name], list) else base[name]
        for field in inner if isinstance(inner, dict) else ():
            changed = {**inner, field: wrong}
            value = [changed] if isinstance(base[name], list) else changed
            assert _observe({**base, name: value})["domain"] == "news.example"
    for name in (
        "probe_network_name",
        "resolver_asn",
        "software_name",
        "software_version",
        "test_version",
        "annotations",
        "report_id",
    ):
        assert _observe(base, **{name: wrong})["domain"] == "news.example"


def test_the_link_that_a_volunteer_followed() -> None:
    """OONI Run's links are numbers; whatever else an annotation holds is none."""
    links: tuple[Any, ...] = (
        "",
        None,
        "<b>1</b>",
        -1,
        "9" * 400,
        10**400,
        "１",
        {"a": 1},
        1.5,
        "10999",
        10999,
    )
    for link in links:
        found = _observe(annotations={"platform": "android", "ooni_run_link_id": link})
        number = 10999 if link in ("10999", 10999) else None
        assert (found["platform"], found["run_link_id"]) == ("android", number), link


def test_inputs_are_kept_as_they_are_and_named_by_their_host():
    """A host that cannot exist has no domain; the measurement is kept."""
    for url, domain in (
        ("http://user:pw@News.Example.:8080/x", "news.example"),
        ("https://192.0.2.1/", "192.0.2.1"),
        ("http://<script>alert(1)</script>/", ""),
        ("=HYPERLINK(1)", ""),
        ("http://../../etc/passwd", ""),
        ("http://" + "a" * 10_000 + ".example/", ""),
        ("http://a\u202eb.example/", ""),
        ("\x00", ""),
    ):
        found = _observe({}, input=url)
        assert (found["input"], found["domain"]) == (url, domain)


# --- Fingerprints: reading OONI's lists and finding patterns without being stalled by a page. -----

_HEADER = "name,scope,location_found,pattern_type,pattern,expected_countries\n"


def _http(name: str, location: str, kind: str, pattern: str, scope: str = "prod") -> Fingerprint:
    return Fingerprint(name, scope, location, kind, pattern, ("QQ",))


def test_a_pattern_is_found_where_its_type_says():
    """Literals anywhere, at the start or as the whole; regular expressions within one line.

    An expression of more than literals, ``.`` and ``.*`` is left out rather than run, and said.
    """
    gate = r"You don.t have.*on this server\."
    for kind, pattern, content, is_found in (
        ("contains", "Restricted", b"<h1>Restricted</h1>", True),
        ("contains", "Restricted", b"<h1>restricted</h1>", False),
        ("contains", "បិទ", "<p>បិទហើយ</p>".encode(), True),
        ("prefix", "<html>No", b"<html>No entry", True),
        ("prefix", "<html>No", b" <html>No entry", False),
        ("full", "<html></html>", b"<html></html>", True),
        ("full", "<html></html>", b"<html></html>\n", False),
        ("regexp", gate, b"You don't have x on this server.", True),
        ("regexp", gate, b"You don't have\non this server.", False),
        ("regexp", gate, b"on this server. You don't have", False),
        ("regexp", r"a+(b|c)", b"aab", False),
        ("regexp", r"x(y)", b"x(y)", False),
        ("regexp", r"x\(y", b"x(y", True),
    ):
        fingerprints = Fingerprints(http=(_http("f", "body", kind, pattern),))
        assert fingerprints.left_out == (("f",) if "(y)" in pattern or "+" in pattern else ())
        assert fingerprints.match("body", content) == (["f"] if is_found else []), content


def test_all_patterns_of_a_place_are_found_in_one_pass_even_if_they_overlap():
    """One pattern inside another hides neither; other places are not looked at."""
    fingerprints = Fingerprints(
        http=(
            _http("long", "body", "contains", "access is denied"),
            _http("short", "body", "contains", "is denied"),
            _http("header", "header.server", "contains", "denied"),
        )
    )
    assert fingerprints.match("body", b"your access is denied") == ["long", "short"]
    assert fingerprints.match("header.server", b"denied") == ["header"]
    assert fingerprints.header_names == {"server"}


def test_a_page_cannot_stall_a_regular_expression():
    """Time grows with the page; a backtracking matcher would take days, and the run stop there."""
    pattern = _http("f", "body", "regexp", "URL .* Sp.*er Gate")
    page = b"er Gate" + b"URL " * 100_000 + b" Sp" * 100_000
    assert Fingerprints(http=(pattern,)).match("body", page) == []


def test_one_match_confirms_by_country_or_by_scope():
    """OONI's rule joins the two with "or"."""
    for scope, countries, probe_cc, is_confirmed in (
        ("prod", ("QQ",), "QQ", True),
        ("prod", ("QM",), "QQ", False),
        ("prod", (), "QQ", False),
        ("isp", ("QM",), "QQ", True),
        ("nat", (), "QQ", True),
        ("fp", (), "QQ", False),
        ("prod", ("ZZ",), "ZZ", False),
    ):
        known = Fingerprints(dns=(Fingerprint("f", scope, "dns", "full", "x", countries),))
        assert known.confirms(["unheard of", "f"], probe_cc) is is_confirmed, (scope, countries)


def test_lists_are_read_with_their_multi_line_cells(tmp_path: Path):
    """A quoted cell over two lines is one pattern; a row's order does not change the digest."""
    rows = [
        'a,nat,body,contains,"first line\nsecond ""line""","QQ, qm ,ZZ"\n',
        "b,isp,header.Location,prefix,http://203.0.113.9/,\n",
    ]
    for name, order in (("one", rows), ("two", rows[::-1])):
        (tmp_path / name).mkdir()
        text = _HEADER + "".join(order)
        (tmp_path / name / "fingerprints_http.csv").write_text(text, encoding="utf-8", newline="")
    one, two = load(str(tmp_path / "one")), load(str(tmp_path / "two"))
    assert one.http[0].pattern == 'first line\nsecond "line"'
    assert one.http[0].expected_countries == ("QM", "QQ")
    assert one.match("header.location", b"http://203.0.113.9/?u=x") == ["b"]
    assert one.digest == two.digest != Fingerprints().digest
    assert pickle.loads(pickle.dumps(one)).match("body", b'first line\nsecond "line"') == ["a"]


def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path):
    """The error names the parameter and what is accepted."""
    with pytest.raises(ParameterError, match="a folder with fingerprints_dns"):
        load(str(tmp_path))
    for content, message in (
        ("name,pattern\n", "lacks the columns"),
        (_HEADER + "a,nat,body,glob,x,QQ\n", "row 'a': pattern_type must be one of"),
    ):
        (tmp_path / "fingerprints_http.csv").write_text(content)
        with pytest.raises(ParameterError, match=f"^FINGERPRINTS=.*{message}"):
            load(str(tmp_path))


def test_oonis_lists_are_read_whole(shared_data: Path):
    """Every row of the real lists is usable, and no folder means no list."""
    real = load(str(shared_data / "fingerprints"))
    assert (len(real.dns), len(real.http)) == (226, 1729)
    page = b"<html>it-security-operations@etisalat.ae</html>"
    assert "ooni.ae_3" in real.match("body", page)
    assert load(None).is_empty
    assert not real.is_empty


# --- OONI's flags, against small cases and against what OONI's API published. ---------------------

_HOUR = 3600
_YEAR = 365 * 24 * _HOUR
_OK: dict[str, Any] = {"blocking": False, "accessible": True}


def test_flags_follow_the_published_rules() -> None:
    """Blocking decides the anomaly, fingerprints confirm, what is undetermined is a failure."""
    nothing = {"blocking": None, "accessible": None}
    unnamed = {"blocking": "dns", "accessible": False, "dns_experiment_failure": "unknown_failure"}
    for keys, has_match, is_confirmed, expected in (
        # keys of the measurement, then (anomaly, confirmed, failure)
        (_OK, False, False, (False, False, False)),
        ({"blocking": False, "accessible": False}, False, False, (False, False, False)),
        ({"blocking": "dns", "accessible": False}, False, False, (True, False, False)),
        ({"blocking": "tcp_ip", "accessible": False}, False, False, (True, False, False)),
        ({"blocking": "http-diff", "accessible": False}, True, True, (True, True, False)),
        ({"blocking": "http-failure", "accessible": False}, False, False, (True, False, False)),
        (_OK, True, True, (True, True, False)),
        (_OK, True, False, (False, False, False)),
        (nothing, False, False, (False, False, True)),
        (nothing, True, True, (True, True, False)),
        (nothing, True, False, (False, False, False)),
        ({"blocking": "dns", "accessible": None}, False, False, (True, False, True)),
        ({"blocking": False}, False, False, (False, False, False)),
        ({"blocking": True, "accessible": True}, False, False, (False, False, True)),
        ({"blocking": "dns.v2", "accessible": True}, False, False, (False, False, True)),
        ({**_OK, "control_failure": "unknown_failure: x"}, False, False, (False, False, True)),
        ({**_OK, "http_experiment_failure": "eof_error"}, False, False, (False, False, False)),
        (unnamed, True, True, (True, True, True)),
        (None, False, False, (False, False, True)),  # kept, as a failure
    ):
        found = compute_flags(
            None if keys is None else TestKeys(**keys),
            has_match=has_match,
            is_confirmed=is_confirmed,
            start_time=0,
        )
        assert found == expected, keys


def test_a_start_far_from_receipt_is_a_failure() -> None:
    """More than an hour after receipt or a year before it; the key knows receipt to the hour."""
    received = Received(2 * _YEAR, 2 * _YEAR + _HOUR)
    for start_time, is_failure in (
        (2 * _YEAR, False),
        (2 * _YEAR + 2 * _HOUR, False),
        (2 * _YEAR + 2 * _HOUR + 1, True),
        (_YEAR, False),
        (_YEAR - 1, True),
    ):
        found = compute_flags(
            TestKeys(**_OK),
            has_match=False,
            is_confirmed=False,
            start_time=start_time,
            received=received,
        )
        assert found.is_failure is is_failure, start_time


#: Rows that OONI scored under rules it no longer has, with the reason.
_SCORED_UNDER_OLDER_RULES = {
    # Received in 2019. "blocking": null and "accessible": null became a failure in 2022
    # (ooni/backend issue 610), and rows are not scored again.
    "012019111898e81f78c44cf8689fa32f5d1cb664": {"is_failure": False},
}


def test_the_flags_are_those_that_oonis_api_gave(shared_data: Path):
    """All recorded web_connectivity replies, with one exception that is explained."""
    fingerprints, compared = load(str(shared_data / "fingerprints")), 0
    for path in sorted((shared_data / "api-recordings/measurement_meta").glob("*.json")):
        told = json.loads(path.read_text())["body"]
        told = json.loads(told) if isinstance(told, str) else told
        if told.get("test_name") == "web_connectivity":
            read = messages.decode(told["raw_measurement"].encode())
            row = observation.observe(read, line_number=1, fingerprints=fingerprints)
            flags = ("anomaly", "confirmed", "failure")
            ours = {f"is_{flag}": getattr(row, f"is_{flag}") for flag in flags}
            exception = _SCORED_UNDER_OLDER_RULES.get(told["measurement_uid"], {})
            assert {**ours, **exception} == {f"is_{flag}": told[flag] for flag in flags}, path.name
            assert not exception.items() & ours.items(), "the exception is none any more"
            compared += 1
    assert compared >= 8
