"""``judge FILE…``: single measurements, real ones among them, judged layer by layer."""

import copy
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.outcomes.rules import RULES_BY_ID
from tests.conftest import Command
from tests.measurements import (
    DIFFERENT,
    HTTP,
    HTTPS,
    NAT64,
    OTHER,
    SAME,
    SITE,
    connect,
    control,
    judged,
    lookup,
    measured,
    page,
    shake,
)
from tests.messaging import measurement, telegram

#: File → class and rule, with the reason in a few words.
EXPECTED = {
    # 0.4 and older, from real networks
    "20250527233111.802678_ID_webconnectivity_5a37ec909dbf14e3.json": (
        "unknown",
        "http.diff",
        "sent on to the provider's warning page, which no list has and "
        "one measurement alone cannot show to be a block page",
    ),
    "web_connectivity_b64_hdr.json": (
        "unknown",
        "http.failure",
        "the site redirects to no valid address, after a good connection",
    ),
    "web_connectivity_no_body.json": (
        "down",
        "http.fails_for_control_too",
        "a certificate fails here, the page fails there",
    ),
    "web_connectivity_null.json": (
        "unknown",
        "http.no_control",
        "a timeout, but the control was never reached",
    ),
    "web_connectivity_odd_hdr.json": (
        "down",
        "dns.missing_for_control_too",
        "a resolver answers for a name that the control says does not exist",
    ),
    # 0.5, from one real network
    "8844.json": ("ok", "http.https", "an address as input: DNS plays no part"),
    "dnsgoogle80.json": ("ok", "dns.tls_valid", "no page asked for, but a valid certificate"),
    "firefoxcom.json": ("ok", "http.https", "sent on to another site over a verified connection"),
    "issue-2456.json": ("ok", "http.https", "IPv6 is broken, IPv4 reaches the site"),
    "noipv6.json": ("ok", "http.https", "IPv6 is broken, IPv4 reaches the site"),
    "youtube.json": ("ok", "http.https", "other addresses than the control's, valid certificates"),
    # 0.5, simulated situations
    "controlFailureWithSuccessfulHTTPSWebsite.json": (
        "ok",
        "http.https",
        "a verified page needs no control",
    ),
    "dnsBlockingNXDOMAIN.json": (
        "blocked",
        "dns.nxdomain",
        "reached only at the address that the control found",
    ),
    "httpDiffWithConsistentDNS.json": ("unknown", "http.diff", "another page alone is no block"),
    "successWithHTTPS.json": ("ok", "http.https", "all is well"),
    "tlsBlockingConnectionResetWithConsistentDNS.json": (
        "blocked",
        "tls.reset",
        "cut at the server name",
    ),
    "websiteDownNXDOMAIN.json": (
        "down",
        "dns.missing_for_control_too",
        "no such name for the control either",
    ),
}
KEYS = {
    "file",
    "line",
    "report_id",
    "input",
    "probe_cc",
    "probe_asn",
    "class",
    "mechanism",
    "layers",
}
HOSTILE = "http://x.example/\x1b]0;owned\x07\x1b[31m\r\n\u202e\u0085"
RESET, TIMEOUT, REFUSED = "connection_reset", "generic_timeout_error", "connection_refused"
NXDOMAIN, OLD = "dns_nxdomain_error", {"version": "0.4.3"}
NO_FILES = "unknown_failure: dial tcp [scrubbed]: socket: too many open files"
LOST = control(dns=TIMEOUT, addresses=(), http="dns_lookup_error", tls=(), tcp=())
BOTH = control(tcp=(SITE, OTHER), tls=(SITE, OTHER))
LOGIN, WARNING = "login.elsewhere.example", "https://warning.elsewhere.example/"
NEXT = ("depth=1", "fetch_body=true")
BESIDE = ("depth=1", "fetch_body=false")
CLASSIC, DOH = [lookup(SITE)], [lookup(SITE, engine="doh")]


def _moved(shaken: str | None, *pages: dict[str, Any]) -> dict[str, Any]:
    """A plain site that redirects to another's https; how the handshake there ends, and pages."""
    return measured(
        HTTP,
        [*CLASSIC, lookup(OTHER, host=LOGIN, tags=NEXT)],
        [connect(port=80), connect(OTHER, tags=NEXT)],
        [shake(OTHER, shaken, LOGIN, NEXT)],
        [*pages, page(HTTP, status=302)],
    )


#: Situation → measurement, class and mechanism, and the rule that must speak for it.
SITUATIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "sent on to another site's https, unlike the control's page": (
        measured(
            HTTP,
            CLASSIC,
            [connect(port=80)],
            [],
            [page(WARNING, OTHER), page(HTTP, status=302)],
            **DIFFERENT,
        ),
        "unknown",
        "http.diff",
    ),
    "sent on to another site's https, like the control": (
        measured(
            HTTP,
            CLASSIC,
            [connect(port=80)],
            [],
            [page(WARNING, OTHER), page(HTTP, status=302)],
            **SAME,
        ),
        "ok",
        "http.https",
    ),
    "sent on to another site's https, compared with nothing": (
        measured(
            HTTP,
            CLASSIC,
            [connect(port=80)],
            [],
            [page(WARNING, OTHER), page(HTTP, status=302)],
            body_proportion=0,
        ),
        "ok",
        "http.https",
    ),
    "the control gets no address, in the test helper's words": (
        measured(
            HTTPS,
            [lookup(failure=NXDOMAIN)],
            [],
            [],
            [],
            control(addresses=(), http="dns_lookup_error", tls=(), tcp=()),
        ),
        "down",
        "dns.missing_for_control_too",
    ),
    "the control verified the answer, the handshake is cut": (
        measured(
            HTTPS,
            [lookup(OTHER)],
            [connect(OTHER)],
            [shake(OTHER, RESET)],
            [],
            BOTH,
            http_experiment_failure=RESET,
        ),
        "blocked tls.reset",
        "tls.reset",
    ),
    "the control verified the answer, 0.4 is cut": (
        measured(
            HTTPS,
            [lookup(OTHER)],
            [connect(OTHER)],
            [shake(OTHER, RESET)],
            [page(failure=RESET)],
            BOTH,
            **OLD,
        ),
        "blocked tls.reset",
        "tls.reset",
    ),
    "the control verified the answer, 0.4 does not connect": (
        measured(
            HTTPS,
            [lookup(OTHER)],
            [connect(OTHER, TIMEOUT)],
            [],
            [page(failure=TIMEOUT)],
            BOTH,
            **OLD,
        ),
        "blocked tcp.timeout",
        "tcp.timeout",
    ),
    "the probe verified the answer, the plain page is cut": (
        measured(
            HTTP,
            [lookup(OTHER)],
            [connect(OTHER, port=80), connect(OTHER)],
            [shake(OTHER)],
            [page(HTTP, OTHER, RESET)],
        ),
        "blocked http.reset",
        "http.reset",
    ),
    "the control lost its way, the lookup fails": (
        measured(
            HTTPS, [lookup(failure=NXDOMAIN)], [], [], [], LOST, http_experiment_failure=NXDOMAIN
        ),
        "unknown",
        "http.no_control",
    ),
    "the control lost its way, the handshake is cut": (
        measured(
            HTTPS,
            CLASSIC,
            [connect()],
            [shake(failure=RESET)],
            [],
            LOST,
            http_experiment_failure=RESET,
        ),
        "unknown",
        "http.no_control",
    ),
    "the control lost its way, the plain page is cut": (
        measured(HTTP, CLASSIC, [connect(port=80)], [], [page(HTTP, failure=RESET)], LOST),
        "unknown",
        "http.no_control",
    ),
    "the control lost its way, the page came over https": (
        measured(HTTPS, CLASSIC, [connect()], [shake()], [page()], LOST),
        "ok",
        "http.https",
    ),
    "no lookup recorded, plain page": (
        measured(HTTP, DOH, [connect(port=80)], [], [page(HTTP)], **SAME),
        "ok",
        "http.same_page",
    ),
    "no lookup recorded, https page": (
        measured(HTTPS, None, [connect()], [shake()], [page()], **SAME),
        "ok",
        "http.https",
    ),
    "an answer that is scrubbed": (
        measured(HTTPS, [lookup("[scrubbed]")], [connect()], [shake()], [page()], **SAME),
        "ok",
        "http.https",
    ),
    "NAT64, and the handshake is cut": (
        measured(
            HTTPS,
            [lookup(NAT64)],
            [connect(NAT64)],
            [shake(NAT64, RESET)],
            [page(failure=RESET)],
            **OLD,
        ),
        "blocked tls.reset",
        "tls.reset",
    ),
    "NAT64, and the plain page came": (
        measured(HTTP, [lookup(NAT64)], [connect(NAT64, port=80)], [], [page(HTTP)], **SAME, **OLD),
        "ok",
        "http.same_page",
    ),
    "the answer refuses, the site is at the control's address": (
        measured(
            HTTP,
            [lookup(OTHER)],
            [connect(OTHER, REFUSED, 80), connect(OTHER, REFUSED), connect(port=80)],
            [shake()],
            [page(HTTP)],
            x_blocking_flags=35,
            x_dns_flags=4,
            **SAME,
        ),
        "blocked dns.other",
        "dns.dead_end",
    ),
    "the answer refuses, and nothing else was tried": (
        measured(
            HTTP,
            [lookup(OTHER)],
            [connect(OTHER, REFUSED, 80)],
            [],
            [page(HTTP, failure=REFUSED)],
            **OLD,
        ),
        "unknown",
        "dns.unmatched",
    ),
    "no name here, the page by the control's address": (
        measured(HTTPS, [lookup(failure=NXDOMAIN)], [connect()], [shake()], [page()], **SAME),
        "blocked dns.nxdomain",
        "dns.nxdomain",
    ),
    "a local fault, the page by the control's address": (
        measured(HTTPS, [lookup(failure=NO_FILES)], [connect()], [shake()], [page()], **SAME),
        "unknown",
        "http.at_control_address",
    ),
    "a plain redirect target is cut, and so is its port 443": (
        measured(
            HTTP,
            [*CLASSIC, lookup(OTHER, host=LOGIN, tags=NEXT)],
            [connect(port=80), connect(OTHER, port=80, tags=NEXT)],
            [shake(OTHER, RESET, LOGIN, BESIDE)],
            [page(f"http://{LOGIN}/", OTHER, RESET, tags=NEXT), page(HTTP, status=302)],
        ),
        "blocked http.reset",
        "http.redirect_target_reset",
    ),
    "a redirect target's handshake is cut": (
        _moved("eof_error"),
        "blocked tls.reset",
        "http.redirect_target_tls",
    ),
    "a redirect target's handshake stalls": (
        _moved(TIMEOUT),
        "blocked tls.timeout",
        "http.redirect_target_tls_timeout",
    ),
    "a redirect target is cut after the handshake": (
        _moved(None, page(f"https://{LOGIN}/", OTHER, RESET, tags=NEXT)),
        "blocked http.reset",
        "http.redirect_target_reset",
    ),
    "a redirect target's https is cut for 0.4": (
        measured(
            HTTP,
            CLASSIC,
            [connect(port=80)],
            [],
            [page(f"https://{LOGIN}/", OTHER, RESET), page(HTTP, status=302)],
            **OLD,
        ),
        "blocked tls.reset",
        "http.redirect_target_tls",
    ),
    "a captcha by plain http": (
        measured(HTTP, CLASSIC, [connect(port=80)], [], [page(HTTP, status=503)], **DIFFERENT),
        "unknown",
        "http.diff",
    ),
    "a captcha at an address that its certificate proves": (
        measured(
            HTTP,
            [lookup(OTHER)],
            [connect(OTHER, port=80)],
            [shake(OTHER)],
            [page(HTTP, OTHER, status=403)],
            **{**DIFFERENT, "status_code_match": False},
        ),
        "unknown",
        "http.refused_by_site",
    ),
    "ooniprobe 2 is refused": (
        measured(
            HTTP,
            CLASSIC,
            [connect(failure="connection_refused_error", port=80)],
            [],
            [page(HTTP, failure="connection_refused_error")],
            version="0.0.1",
        ),
        "blocked tcp.refused",
        "tcp.refused",
    ),
    "ooniprobe 2 gets no response": (
        measured(
            HTTP,
            CLASSIC,
            [connect(port=80)],
            [],
            [page(HTTP, failure="response_never_received")],
            version="0.0.1",
        ),
        "blocked http.reset",
        "http.reset",
    ),
    **{
        f"at tcp: {fault}": (
            measured(
                HTTPS, CLASSIC, [connect(failure=fault)], [], [], http_experiment_failure=fault
            ),
            "unknown",
            "tcp.local_fault",
        )
        for fault in (
            NO_FILES,
            "interrupted",
            "network_down",
            "network_unreachable",
            "address_not_available",
            "permission_denied",
            "no_buffer_space",
        )
    },
    **{
        f"at dns: {fault}": (
            measured(HTTPS, [lookup(failure=fault)], [], [], [], **OLD),
            "unknown",
            "dns.local_fault",
        )
        for fault in (NO_FILES, "interrupted", "network_unreachable")
    },
    **{
        f"no control: {what}": (
            measured(url, queries, tcp, tls, pages, {}, control_failure=failure),
            "unknown",
            rule_id,
        )
        for failure in (None, "unknown_failure: httpapi: all endpoints failed")
        for what, url, queries, tcp, tls, pages, rule_id in (
            (
                f"no name ({failure})",
                HTTPS,
                [lookup(failure=NXDOMAIN)],
                [],
                [],
                [],
                "dns.no_control",
            ),
            (
                f"127.0.0.1 ({failure})",
                HTTPS,
                [lookup("127.0.0.1")],
                [connect("127.0.0.1", REFUSED)],
                [],
                [],
                "dns.no_control",
            ),
            (
                f"cut ({failure})",
                HTTPS,
                CLASSIC,
                [connect()],
                [shake(failure=RESET)],
                [],
                "dns.no_control",
            ),
            (
                f"a page that is cut ({failure})",
                HTTP,
                CLASSIC,
                [connect(port=80)],
                [],
                [page(HTTP, failure=RESET)],
                "http.no_control",
            ),
        )
    },
}


@pytest.fixture(scope="module")
def real_files(shared_data: Path) -> list[Path]:
    """Every real or simulated measurement at hand."""
    return sorted((shared_data / "measurements").glob("web_connectivity-*/*.json"))


def test_real_measurements(real_files: list[Path], command: Command) -> None:
    """Class and rule are what a person reading the measurement says, for the reason given; nothing
    at hand goes unjudged. One object a line, each layer with its class, its rule and the level of
    its evidence."""
    assert {path.name for path in real_files} == set(EXPECTED)
    status, said, _ = command("judge", "--json", *map(str, real_files))
    assert status == 0
    for path, text in zip(real_files, said.splitlines(), strict=True):
        line, (outcome, rule_id, _) = json.loads(text), EXPECTED[path.name]
        rule = RULES_BY_ID[rule_id]
        assert (line["class"], line["mechanism"]) == (outcome, rule.mechanism), path.name
        assert line["layers"][rule.layer]["rule_id"] == rule_id, path.name
        assert set(line) == KEYS
        assert line["probe_asn"].startswith("AS")
        assert list(line["layers"]) == ["dns", "tcp", "tls", "http"]
        for layer, told in line["layers"].items():
            rule = RULES_BY_ID[told["rule_id"]]
            assert (rule.layer, rule.outcome, rule.evidence) == (
                layer,
                told["class"],
                told["evidence"],
            )


def test_a_real_dead_name_that_a_resolver_still_sends_home(
    shared_data: Path, tmp_path: Path, command: Command
) -> None:
    """A whole file of OONI's archive of Italy, 2020-09-21, of which one name does not exist. In the
    same hour AS12874 gave such names (miplayer.net, webtivi.info) the address 127.0.0.1; here one
    line more says so of this name. No other name is called a leftover."""
    folder = shared_data / "archive/raw/20200921/00/IT/webconnectivity"
    real = folder / "20200921_IT_webconnectivity.l.0.jsonl.gz"
    if not real.is_file():
        pytest.skip("the archive files of Italy are not here")
    measurements = [json.loads(line) for line in gzip.decompress(real.read_bytes()).splitlines()]
    (gone,) = (
        one
        for one in measurements
        if one["test_keys"]["control"].get("dns", {}).get("failure") == "dns_name_error"
    )
    sent_home = copy.deepcopy(gone)
    sent_home["test_keys"] |= {
        "queries": [
            {
                "resolver_hostname": None,
                "query_type": "A",
                "hostname": "deoxy.org",
                "answers": [{"ipv4": "127.0.0.1", "answer_type": "A"}],
                "failure": None,
                "resolver_port": None,
            }
        ],
        "tcp_connect": [
            {
                "ip": "127.0.0.1",
                "port": 80,
                "status": {
                    "failure": "connection_refused_error",
                    "success": False,
                    "blocked": True,
                },
            }
        ],
        "dns_experiment_failure": None,
        "dns_consistency": "inconsistent",
        "http_experiment_failure": "connection_refused_error",
        "blocking": "dns",
    }
    lines = tmp_path / "italy.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in [*measurements, sent_home]))
    status, said, _ = command("judge", "--json", str(lines))
    assert status == 0
    told = [json.loads(line) for line in said.splitlines()]
    rules = [one.get("layers", {}).get("dns", {}).get("rule_id") for one in told]
    assert (rules[-1], told[-1]["class"]) == ("dns.leftover", "down")
    assert rules.count("dns.leftover") == 1


def test_situations_of_the_probes_own_tests() -> None:
    """From OONI's JSON to class, mechanism and rule: what a person reading it would say."""
    results = judged(measurement for measurement, _, _ in SITUATIONS.values())
    for (name, (_, expected, rule_id)), result in zip(SITUATIONS.items(), results, strict=True):
        shown = f"{result['class']} {result['mechanism']}".strip()
        assert (shown, result["rule_id"]) == (expected, rule_id), name


def test_a_list_turns_the_warning_page_into_a_block_page(
    real_files: list[Path], shared_data: Path, command: Command
) -> None:
    """The list says whose page it is, the control that the site has another, the rule both."""
    (page,) = [path for path in real_files if "_ID_" in path.name]
    fingerprints = str(shared_data / "fingerprints")
    status, said, _ = command("judge", "--json", "--fingerprints", fingerprints, str(page))
    assert status == 0
    line = json.loads(said)
    assert (line["class"], line["mechanism"]) == ("blocked", "http.blockpage")


def test_a_hostile_measurement_is_judged_and_acts_on_no_terminal(
    tmp_path: Path, command: Command
) -> None:
    """Every text of it wants to take over the terminal, and so does the file's name. A broken line
    or a missing file takes nothing else with it; JSON keeps the facts, escaped."""
    body: dict[str, Any] = {
        "test_name": "web_connectivity",
        "input": HOSTILE,
        "probe_cc": "QQ",
        "probe_asn": "AS1",
        "report_id": HOSTILE,
        "measurement_start_time": "2024-01-10 08:00:00",
        "test_keys": {
            "queries": [
                {"engine": "system", "hostname": "x.example", "query_type": "A", "failure": HOSTILE}
            ],
            "requests": [{"failure": HOSTILE, "request": {"url": HOSTILE}}],
            "tls_handshakes": [
                {"server_name": HOSTILE, "failure": HOSTILE, "address": "192.0.2.1:443"}
            ],
            "control_failure": HOSTILE,
        },
    }
    path = tmp_path / "hostile\x1b[31m.jsonl"
    path.write_text(json.dumps(body) + "\n{broken\n", encoding="utf-8")
    for form in ((), ("--json",)):
        status, said, _ = command("judge", *form, str(path), "/no/such/file.json")
        assert status == 0
        assert all(line.isprintable() for line in said.split("\n"))
    judged, broken, missing = map(json.loads, said.splitlines())
    assert (judged["class"], judged["report_id"]) == ("unknown", HOSTILE)
    assert (broken["line"], missing["line"], missing["file"]) == (2, None, "/no/such/file.json")
    assert broken["error"]
    assert missing["error"]


def test_tests_of_apps_are_judged_part_by_part(tmp_path: Path, command: Command) -> None:
    """In their places among the others, with the endpoints that were not reached, as they are."""
    nasty = telegram(closed=10, web=RESET)
    nasty["tcp_connect"][0]["status"]["failure"] = "\x1b[31m\u202etimeout"
    lines = [
        measurement("telegram", nasty),
        {"test_name": "ndt", "input": None},
        measurement("psiphon", {"failure": None, "bootstrap_time": 1.0}),
    ]
    path = tmp_path / "apps.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    status, said, _ = command("judge", "--json", str(path))
    assert status == 0
    first, other, last = map(json.loads, said.splitlines())
    assert (first["test_name"], first["class"], first["layers"]) == ("telegram", "blocked", {})
    app, web = first["parts"]["app"], first["parts"]["web"]
    assert (app["cut_count"], app["tried_count"], len(app["ended"])) == (10, 12, 10)
    assert (web["mechanism"], web["ended"][0]["layer"]) == ("tls.reset", "tls")
    assert "error" in other
    assert (last["class"], last["line"]) == ("ok", 3)
    status, said, _ = command("judge", str(path))
    assert (status, "10 of 12 cut off" in said) == (0, True)
    assert not re.search("[\x1b\u202e]", said)


def test_nothing_read_is_exit_status_3(tmp_path: Path, command: Command) -> None:
    """The reasons are printed all the same."""
    (tmp_path / "list.json").write_text("[1]")
    status, said, _ = command("judge", str(tmp_path / "list.json"), str(tmp_path / "none.json"))
    assert status == 3
    reasons = ["invalid:not_an_object", "No such file or directory"]
    assert [line.rpartition(": ")[2] for line in said.splitlines()] == reasons
