"""``judge FILE…``: single measurements, real ones among them, judged layer by layer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.rules import RULES_BY_ID

#: File → class and rule, with the reason in a few words.
EXPECTED = {
    # 0.4 and older, from real networks
    "20250527233111.802678_ID_webconnectivity_5a37ec909dbf14e3.json": (
        "unknown", "http.diff", "sent on to the provider's warning page, which no list has and "
        "one measurement alone cannot show to be a block page"),
    "web_connectivity_b64_hdr.json": (
        "unknown", "http.failure", "the site redirects to no valid address, after a good "
        "connection"),
    "web_connectivity_no_body.json": (
        "down", "http.fails_for_control_too", "a certificate fails here, the page fails there"),
    "web_connectivity_null.json": (
        "unknown", "http.no_control", "a timeout, but the control was never reached"),
    "web_connectivity_odd_hdr.json": (
        "down", "dns.missing_for_control_too", "a resolver answers for a name that the control "
        "says does not exist"),
    # 0.5, from one real network
    "8844.json": ("ok", "http.https", "an address as input: DNS plays no part"),
    "dnsgoogle80.json": ("ok", "dns.tls_valid", "no page asked for, but a valid certificate"),
    "firefoxcom.json": ("ok", "http.https", "sent on to another site over a verified connection"),
    "issue-2456.json": ("ok", "http.https", "IPv6 is broken, IPv4 reaches the site"),
    "noipv6.json": ("ok", "http.https", "IPv6 is broken, IPv4 reaches the site"),
    "youtube.json": ("ok", "http.https", "other addresses than the control's, valid "
                     "certificates"),
    # 0.5, simulated situations
    "controlFailureWithSuccessfulHTTPSWebsite.json": (
        "ok", "http.https", "a verified page needs no control"),
    "dnsBlockingNXDOMAIN.json": (
        "blocked", "dns.nxdomain", "reached only at the address that the control found"),
    "httpDiffWithConsistentDNS.json": (
        "unknown", "http.diff", "another page alone is no block"),
    "successWithHTTPS.json": ("ok", "http.https", "all is well"),
    "tlsBlockingConnectionResetWithConsistentDNS.json": (
        "blocked", "tls.reset", "cut at the server name"),
    "websiteDownNXDOMAIN.json": (
        "down", "dns.missing_for_control_too", "no such name for the control either"),
}  # fmt: skip
KEYS = {"report_id", "input", "probe_cc", "probe_asn", "class", "mechanism", "layers"}
HOSTILE = "http://x.example/\x1b]0;owned\x07\x1b[31m\r\n\u202e\u0085"


def _run(*words: str) -> list[str]:
    """The lines that ``judge`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "judge", *words],
        capture_output=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split("\n")[:-1]


@pytest.fixture(scope="module")
def hostile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measurement whose every text wants to take over the terminal, in a file that does too."""
    body: dict[str, Any] = {
        "test_name": "web_connectivity", "input": HOSTILE, "probe_cc": "QQ", "probe_asn": "AS1",
        "report_id": HOSTILE, "measurement_start_time": "2024-01-10 08:00:00",
        "test_keys": {
            "queries": [{"engine": "system", "hostname": "x.example", "query_type": "A",
                         "failure": HOSTILE}],
            "requests": [{"failure": HOSTILE, "request": {"url": HOSTILE}}],
            "tls_handshakes": [{"server_name": HOSTILE, "failure": HOSTILE,
                                "address": "192.0.2.1:443"}],
            "control_failure": HOSTILE,
        },
    }  # fmt: skip
    path = tmp_path_factory.mktemp("judge") / "hostile\x1b[31m.jsonl"
    path.write_text(json.dumps(body) + "\n{broken\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def real_files(shared_data: Path) -> list[Path]:
    """Every real or simulated measurement at hand."""
    return sorted((shared_data / "measurements").glob("web_connectivity-*/*.json"))


@pytest.fixture(scope="module")
def real_lines(real_files: list[Path]) -> dict[str, dict[str, Any]]:
    """File name → the line of ``judge --json``, all from one run."""
    lines = [json.loads(line) for line in _run("--json", *map(str, real_files))]
    assert len(lines) == len(real_files)
    return dict(zip((path.name for path in real_files), lines, strict=True))


@pytest.fixture(scope="module")
def hostile_text(hostile_file: Path) -> list[str]:
    """What ``judge --json`` prints on the hostile file and one that is not there."""
    return _run("--json", str(hostile_file), "/no/such/file.json")


@pytest.fixture(scope="module")
def hostile_lines(hostile_text: list[str]) -> list[dict[str, Any]]:
    """The same, read."""
    return [json.loads(line) for line in hostile_text]


def test_every_real_measurement_is_in_the_table(real_files: list[Path]) -> None:
    """Nothing at hand goes unjudged."""
    assert {path.name for path in real_files} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_measurement(name: str, real_lines: dict[str, dict[str, Any]]) -> None:
    """Class and rule are what a person reading the measurement says, for the reason given."""
    line = real_lines[name]
    outcome, rule_id, _ = EXPECTED[name]
    rule = RULES_BY_ID[rule_id]
    assert (line["class"], line["mechanism"]) == (outcome, rule.mechanism)
    assert line["layers"][rule.layer]["rule_id"] == rule_id


def test_a_list_turns_the_warning_page_into_a_block_page(
    real_files: list[Path], shared_data: Path
) -> None:
    """The list says whose page it is, the control that the site has another, the rule both."""
    (page,) = [path for path in real_files if "_ID_" in path.name]
    fingerprints = str(shared_data / "fingerprints")
    (line,) = map(json.loads, _run("--json", "--fingerprints", fingerprints, str(page)))
    assert (line["class"], line["mechanism"]) == ("blocked", "http.blockpage")


def test_a_line_has_the_contracts_keys(real_lines: dict[str, dict[str, Any]]) -> None:
    """One object a line; each layer with its class, its rule and the level of its evidence."""
    for line in real_lines.values():
        assert set(line) == KEYS
        assert line["probe_asn"].startswith("AS")
        assert line["class"] in ("blocked", "down", "ok", "unknown")
        assert list(line["layers"]) == ["dns", "tcp", "tls", "http"]
        for layer, found in line["layers"].items():
            rule = RULES_BY_ID[found["rule_id"]]
            assert (rule.layer, rule.outcome) == (layer, found["class"])
            assert found["evidence"] == rule.evidence
            assert found["evidence"] in ("none", "discarded", "scored")


def test_what_cannot_be_read_is_an_error_and_the_rest_is_judged(
    hostile_lines: list[dict[str, Any]],
) -> None:
    """A broken line or a missing file takes nothing else with it."""
    judged = [line for line in hostile_lines if "error" not in line]
    failed = [line for line in hostile_lines if "error" in line]
    assert [line["class"] for line in judged] == ["unknown"]
    assert len(failed) == 2
    assert all(line["error"] for line in failed)
    assert failed[1]["file"].endswith("/no/such/file.json")


def test_json_keeps_the_facts(hostile_lines: list[dict[str, Any]]) -> None:
    """Escaped by JSON, nothing is lost."""
    assert hostile_lines[0]["report_id"] == HOSTILE


def test_no_control_character_reaches_a_terminal(
    hostile_file: Path, hostile_text: list[str]
) -> None:
    """In either form: not from a measurement, not from the name of a file."""
    for lines in (hostile_text, _run(str(hostile_file))):
        assert lines
        assert all(line.isprintable() for line in lines)
