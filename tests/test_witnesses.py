"""What a verdict cites: its rule, its mechanism, a witness and the links to OONI's pages."""

from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from analysis.period import Period
from analysis.verdicts.verdicts import Judgement
from analysis.verdicts.witnesses import countries_url, measurement_url
from tests.letters import ALL_NETWORKS, judge, site, usual_sites, verdict
from tests.observations import PROBE_NETWORK


@cache
def cited_sites() -> Judgement:
    """Judge sites that are blocked in one way or two, and one that is open; and their halves."""
    return judge(
        [
            *usual_sites(),
            *site("imposed", "O" * 46 + "B" * 45),
            *site("imposed", "O..." * 22, asn=ALL_NETWORKS[1]),
            *site("never-blocked", "O" * 30),
            *site("loop", "L" * 10),
            *site("known", "K" * 10),
            *site("two-ways", "B" * 9 + "R" * 8),
            *site("tie", "BR" * 6),
            *site("all-along", "B" * 90),
        ],
        split="2024-02-15",
    )


def _row(name: str, period: str = "all") -> Any:
    """The verdict on one of these sites."""
    return verdict(cited_sites(), period, f"{name}.example")


def test_a_verdict_names_its_rule_only_if_it_is_listed() -> None:
    """Mechanism, rule, chance and witness belong to blocks, with or without a mark."""
    blocked, opened = _row("imposed"), _row("never-blocked")
    known, loop = _row("known"), _row("loop")
    assert (blocked["rule_id"], blocked["mechanism"]) == ("dns.nxdomain", "dns.nxdomain")
    assert blocked["witness_url"].startswith("https://explorer.ooni.org/measurement/")
    assert blocked["resolver_asns"] == f"AS{PROBE_NETWORK}"
    assert (blocked["chance"], blocked["evidence"] > 6) == ("1.0e-03", True)
    told = (
        "rule_id",
        "mechanism",
        "witness_report_id",
        "witness_url",
        "resolver_asns",
        "chance",
        "schedule",
    )
    assert not any(opened[name] for name in told)
    assert (known["state"], known["chance"]) == ("blocked", "1.0e-03")
    assert (loop["state"], loop["chance"]) == ("likely_blocked", "1.0e-03")


def test_mechanism_and_witness_are_typical() -> None:
    """Those of most blocked sessions, not rows, and a tie goes to the earlier layer; the witness is
    neither the first nor the last, which a forger would choose, nor of another rule. A block that
    goes on after the first half is witnessed in the first half all the same."""
    assert _row("two-ways")["mechanism"] == _row("tie")["mechanism"] == "dns.nxdomain"
    assert _row("two-ways")["witness_report_id"] == f"20240105-two-ways.example-{PROBE_NETWORK}-0"
    assert _row("all-along", "first")["blocked_until"] == ""
    assert _row("all-along", "first")["witness_report_id"] < "20240215"
    assert _row("all-along", "second")["witness_report_id"] >= "20240215"


def test_an_address_of_a_witness_is_quoted() -> None:
    """A hostile input cannot leave its place in the link."""
    url = measurement_url("a/../b", 'https://x.example/?a=b&c="><script>#f')
    assert url.count("?") == url.count("=") == 1
    assert not set(url.partition("?input=")[2]) & set('&"<>#? ')
    assert measurement_url("", "https://x.example/") == ""


def test_a_site_is_shown_by_country_for_the_days_of_the_report() -> None:
    """What every network shows: what fails in most countries is not blocked in one; the link cannot
    be led astray."""
    period = Period.parse("2024-01-01", "2024-07-01")
    url = urlsplit(countries_url('x.example&probe_cc=QQ"><script>', period))
    assert parse_qs(url.query, strict_parsing=True) == {
        "test_name": ["web_connectivity"],
        "domain": ['x.example&probe_cc=QQ"><script>'],
        "since": ["2024-01-01"],
        "until": ["2024-07-01"],
        "time_grain": ["month"],
        "axis_x": ["measurement_start_day"],
        "axis_y": ["probe_cc"],
    }
    assert not set(url.query) & set('"<> ')
