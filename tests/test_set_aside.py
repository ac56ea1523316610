"""Why a site with problems is not listed: the reason that explains most of its failures."""

from datetime import timedelta
from functools import cache

from analysis.verdicts.verdicts import Judgement
from tests.letters import (
    ALL_NETWORKS,
    DAY_ONE,
    NAME,
    VPN,
    days,
    everywhere,
    judge,
    site,
    usual_sites,
    verdict,
)
from tests.observations import Row
from tests.situations import dead, leftover, misled, redirected


def test_why_a_site_is_set_aside() -> None:
    """Each cell with problems that is not listed says what explains most of them; a site that is
    reached is never said to be tested too little."""
    runs = [
        {"report_id": f"g{n}", "measurement_start_time": DAY_ONE + timedelta(days=n)}
        for n in range(6)
    ]
    gone = [{**dead(domain="gone.example"), **run} for run in runs]
    gone[0] = {**leftover(domain="gone.example"), **runs[0]}  # one filter at home
    left = [
        {**leftover(domain="left.example"), **runs[0]},
        *({**dead(domain="left.example", probe_asn=ALL_NETWORKS[1]), **run} for run in runs[1:]),
    ]
    found = judge(
        [
            *days("L" * 10),
            *days("O" * 10, domain="open.example"),
            *gone,
            *left,
            *days("D" * 10, domain="down.example", is_anomaly=True),
            *days("U" * 10, domain="odd.example"),
            *days("BB", domain="thin.example"),
            *days("OOOOOOOOOOOOOOOB", domain="once.example"),
            *days("DDDDDDDDDDDDDB", domain="fades.example"),
            *days("L" * 10, domain="tunnel.example", probe_asn=VPN),
            *days("D" * 10, domain="down.example", probe_asn=ALL_NETWORKS[1], is_anomaly=True),
            *days("UUU", domain="down.example", probe_asn=ALL_NETWORKS[2], is_anomaly=True),
        ]
    )
    whole = found.verdicts[found.verdicts["period"] == "all"]
    down = whole[whole["domain"] == "down.example"]  # one reason a site, on every network
    assert down["set_aside_reason"].tolist() == ["down"] * 3
    assert dict(zip(whole["domain"], whole["set_aside_reason"], strict=True)) == {
        NAME: "",
        "open.example": "",
        "gone.example": "name_does_not_exist",
        "left.example": "leftover_block",
        "down.example": "down",
        "odd.example": "impaired",
        "thin.example": "insufficient",
        "once.example": "anomaly_unexplained",
        "fades.example": "down",
        "tunnel.example": "not_domestic",
    }


def test_the_reason_is_that_of_most_failures() -> None:
    """A filter that met the only failing session explains it; beside time-outs here and there it
    does not, and nothing else is known of these, however often one report says so."""

    def met(letters: str, domain: str) -> list[Row]:
        rows = [row for asn in ALL_NETWORKS for row in days(letters, domain=domain, probe_asn=asn)]
        return [*rows[1:], {**rows[0], **misled("146.112.61.106", domain=domain)}]

    found = judge(
        [
            *met("O" * 13, "one.example"),
            *met("OOOTOOOOSOOOO", "banner.example"),
            *met("O" * 7 + "T" * 6, "two.example"),
            *met("OOOTOOOOSOOOO", "flood.example"),
            *20 * met("O" * 13, "flood.example")[-1:],
        ]
    )
    whole = found.verdicts[found.verdicts["period"] == "all"]
    reasons = whole[whole["set_aside_reason"] != ""].groupby("domain")["set_aside_reason"].unique()
    assert {name: list(one) for name, one in reasons.items()} == {
        "one.example": ["local_filter"],
        "banner.example": ["anomaly_unexplained"],
        "two.example": ["impaired"],
        "flood.example": ["anomaly_unexplained"],
    }


@cache
def refused_sites() -> Judgement:
    """Judge sites that refuse this country or the measurement, and one that redirects."""
    sent_on = [
        {
            **redirected("elsewhere.example", "connection_reset"),
            "report_id": f"sent-on-{n}",
            "domain": "sent-on.example",
            "measurement_start_time": DAY_ONE + timedelta(days=n),
        }
        for n in range(20)
    ]
    return judge(
        [
            *usual_sites(),
            *sent_on,
            *everywhere("F" * 12, "refuses.example"),
            *site("refuses", "O" * 12, asn=VPN),
            *everywhere("FOO" * 5, "challenge.example"),
            *everywhere("FBB" * 5, "challenged.example"),
        ]
    )


def test_a_block_of_another_site_is_not_this_sites() -> None:
    """What fails is where the input redirects to; the verdict is not the input's."""
    found = verdict(refused_sites(), domain="sent-on.example")
    assert (found["state"], found["blocked_session_count"], found["mechanism"]) == (
        "impaired",
        0,
        "",
    )


def test_a_refusal_is_asked_of_the_access_networks() -> None:
    """All three are refused, and the one VPN is not; or most of what does not reach the site is
    refused by it, on each of them."""
    row = verdict(refused_sites(), domain="refuses.example")
    assert (row["state"], row["set_aside_reason"]) == ("impaired", "geo_restricted")
    for asn in ALL_NETWORKS:
        challenge, challenged = (
            verdict(refused_sites(), domain=f"{name}.example", asn=asn)["set_aside_reason"]
            for name in ("challenge", "challenged")
        )
        assert challenge == "geo_restricted"
        assert challenged != "geo_restricted"
