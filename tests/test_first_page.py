"""The first page says no more than its values."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.languages.language import ENGLISH
from analysis.period import Period
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import find_networks
from analysis.report.first_page import word_first_page

YEAR = Period.parse("2024-01-01", "2025-01-01")


def _span(site: str, day: str) -> dict[str, Any]:
    return {"domain": site, "blocked_from": day, "blocked_until": "", "last_seen_open": "",
            "first_seen_open_again": "", "network_count": 1, "state": "blocked"}  # fmt: skip


def test_what_some_network_blocked_before_is_not_new() -> None:
    """A site counts once, and only for a day before the first of those days."""
    finding = {
        "kind": "onset", "sites": ["a.test", "b.test", "c.test"],
        "values": {
            "first_day": "2024-08-08", "last_day": "2024-09-07", "networks": ["One", "Two"],
            "undated_count": 0, "events": [],
            "new": [_span(site, "2024-08-09") for site in ("a.test", "b.test", "c.test")],
            "older": [_span("a.test", "2024-02-01"), _span("a.test", "2024-03-01"),
                      _span("b.test", "2024-08-08"), _span("elsewhere.test", "2024-01-02")],
        },
    }  # fmt: skip
    words = word_finding(Telling(finding, {}, ENGLISH, YEAR))
    assert "3 sites were blocked on networks that had reached them before, 2 access" in words.claim
    assert words.caveats[0].startswith("1 of these sites was blocked before that already")
    finding["values"]["older"] = []
    assert not word_finding(Telling(finding, {}, ENGLISH, YEAR)).caveats


def test_networks_of_one_name_are_told_apart_and_a_cut_is_told() -> None:
    """Their numbers stand beside the names; of many networks the figure says how many it shows."""
    count = 25
    networks = pd.DataFrame({
        "probe_asn": [f"AS{n}" for n in range(1, count + 1)], "kind": "isp",
        "network": ["Twin", "Twin", "", *(f"N{n}" for n in range(4, count + 1))],
        "blocked_domain_count": [2, 2, *[1] * (count - 2)], "domain_count": 9,
    })  # fmt: skip
    pairs = pd.DataFrame({"domain": ["a.test"], "probe_asn": ["AS1"]})
    finding = find_networks({"networks": networks, "pairs": pairs})
    assert finding is not None
    assert [row[0] for row in finding["values"]["rows"][:2]] == ["Twin (AS1)", "Twin (AS2)"]
    numbers = {"blocking_network_count": count, "access_network_count": count}
    words = word_finding(Telling({**finding, "kind": "networks"}, numbers, ENGLISH, YEAR))
    assert f"Shown are the first 20 of {count}." in words.figure


@pytest.mark.parametrize("is_published", [True, False])
def test_how_sure_another_method_is_was_not_measured(tmp_path: Path, is_published: bool) -> None:
    """The shares that were measured are those of the published numbers."""
    names = ("blocked_domain_count", "domain_count", "blocked_registrable_domain_count",
             "blocked_local_domain_count", "blocking_network_count", "access_network_count",
             "network_count", "listed_access_pair_count", "judged_access_pair_count",
             "unsettled_access_pair_count", "measurement_count", "single_network_domain_count",
             "one_report_pair_count", "set_aside_count", "dead_name_count",
             "unread_object_count")  # fmt: skip
    summary = {
        "probe_cc": "QQ", "since": "2024-01-01", "until": "2025-01-01", "findings": [],
        "is_published_method": is_published,
    }  # fmt: skip
    (tmp_path / "findings.json").write_text(json.dumps(summary), encoding="utf-8")
    shares = {name: {"value": 0.9} for name in ("site_precision_share", "pair_recall_share")}
    counts = {name: {"value": 1} for name in names}
    said = " ".join(word_first_page(tmp_path, counts | shares)["certainty"])
    assert ("On simulated countries" in said) == is_published
    assert ("was not measured" in said) != is_published
