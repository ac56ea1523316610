"""A page for each site, and the index of every name, made of tables that hold hostile texts."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup

from analysis.hosts import site_anchor, site_file
from analysis.languages.language import ENGLISH, open_language
from analysis.pages.rendering import PageContext, SetItem, render_sections
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report.annex_page import fit_rows, render_annex
from analysis.report.site_evidence import COMPARED, FLAGS, SPANS
from analysis.report.site_pages import INDEX, Setting, make_pages, say_spelling
from analysis.study.table_folder import keep_note
from analysis.tables import read_table, write_table
from analysis.verdicts.caveats import BEFORE_FIRST_TEST, ONE_PLATFORM
from analysis.verdicts.rivals import HOST_SILENT, RIVALS
from analysis.vocabulary import METHODS
from tests.table_rows import table_rows

EVIL = '<script>alert(1)</script>"\u202e=1+1'
YEAR = Period.parse("2024-01-01", "2025-01-01")
SETTING = Setting("QQ", YEAR, [Event(date(2024, 7, 1), EVIL, "order", "invented")])
LISTED, ASIDE, CLEAN, THIN = "listed.example", "aside.example", "clean.example", "thin.example"
DECIDED = {LISTED: {"decision": "reword", "reason": EVIL, "date": "2025-02-01", "role": "judge"}}
_ANNEX = ("blocked_site_networks", "categories", "networks")


def _site(domain: str, status: str, reason: str = "") -> dict[str, Any]:
    page = f"sites/{site_file(domain)}" if status in ("listed", "set_aside") else ""
    return {"domain": domain, "status": status, "reason": reason, "session_count": 7, "page": page,
            "category_code": "NEWS"}  # fmt: skip


def _stretch(probe_asn: str, **given: Any) -> dict[str, Any]:
    return {
        "domain": LISTED, "probe_asn": probe_asn, "network": EVIL, "state": "likely_blocked",
        "mechanism": "tls.reset", "blocked_from": "2024-02-03", "session_count": 12,
        "blocked_session_count": 11, "chance": "1.0e-03", "note": "",
    } | given  # fmt: skip


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A listed site on two networks, one that is set aside, one that is clean, and one that has
    too few tests."""
    cell = {"domain": LISTED, "period": "all", "state": "likely_blocked", "rule_id": "tls.reset",
            "session_count": 30, "ok_session_count": 18, "sessions_to_flip": 1}  # fmt: skip
    written = {
        "sites": [
            _site(LISTED, "listed"), _site(ASIDE, "set_aside", "down"),
            _site(CLEAN, "no_problem_seen"), _site(THIN, "not_enough_tests", "mixed"),
        ],
        "verdicts": [
            cell | {"probe_asn": "AS1", "note": f"not tested since; {BEFORE_FIRST_TEST}"},
            cell | {"probe_asn": "AS2", "sessions_to_flip": 3,
                    "note": ONE_PLATFORM.format(n=1200, m=3)},
            cell | {"probe_asn": "AS9", "state": "insufficient", "insufficient_reason": "mixed"},
            cell | {"domain": ASIDE, "probe_asn": "AS1", "state": "impaired"},
        ],
        "networks": [
            {"probe_asn": "AS1", "network": EVIL, "kind": "isp"},
            {"probe_asn": "AS2", "network": "", "kind": "mobile"},
            {"probe_asn": "AS9", "network": "Tunnel", "kind": "vpn"},
        ],
        "blocked_site_networks": [
            _stretch("AS1", blocked_until="2024-03-04", last_seen_open="2024-02-01",
                     first_seen_open_again="2024-03-09"),
            _stretch("AS1", blocked_from="2024-06-01", schedule="Mon-Fri 04:00-08:00", chance="",
                     blocked_until="2024-06-30", note="not tested since"),
            _stretch("AS2", blocked_from="2024-05-06", chance="3.1e-02"),
        ],
        "withheld_intervals": [
            {"domain": ASIDE, "probe_asn": "AS1", "blocked_from": "2024-04-01",
             "blocked_from_time": "x", "blocked_until": "2024-04-09", "session_count": 5,
             "reason": EVIL},
            {"domain": ASIDE, "probe_asn": "AS1", "blocked_from": "2024-06-01",
             "blocked_from_time": "x", "blocked_until": "2024-06-09", "session_count": 6,
             "mechanism": "tls.timeout", "state": "impaired", "reason": HOST_SILENT},
        ],
        "set_aside": [{"domain": ASIDE, "reason": "down", "note": "The site is down."}],
        "categories": [{"category_code": "NEWS", "category": EVIL}],
    }  # fmt: skip
    for name, rows in written.items():
        write_table(tmp_path, name, table_rows(name, *rows))
    spans = [("AS1", 7, 4, 2, 0), ("AS1", 7, 5, 1, 1), ("AS1", 7, 52, 0, 3), ("AS2", 1, 0, 0, 0)]
    keep_note(tmp_path, SPANS, pd.DataFrame([
        {"domain": LISTED, "probe_asn": asn, "unit_days": unit, "span": span,
         "blocked_count": kept, "ok_count": reached, "down_count": 1, "unclear_count": 0}
        for asn, unit, span, kept, reached in spans
    ]))  # fmt: skip
    keep_note(tmp_path, FLAGS, pd.DataFrame([
        {"domain": LISTED, "measurement_count": 40, "anomaly_count": 12, "confirmed_count": 0},
    ]))  # fmt: skip
    flags = dict.fromkeys(METHODS, False) | {"this_method": True, "ooni_anomaly": True}
    keep_note(tmp_path, COMPARED, pd.DataFrame([{"domain": LISTED, **flags}]))
    return tmp_path


@pytest.fixture
def pages(tables: Path) -> dict[str, str]:
    return {page.file: str(page.content) for page in make_pages(tables, SETTING, ENGLISH)}


def _words(html: str) -> str:
    """What a reader sees, on one line."""
    return " ".join(re.sub(r"<[^>]*>", "", html).replace("&nbsp;", " ").split())


def test_a_site_has_a_page_that_says_what_the_tables_say(pages: dict[str, str]) -> None:
    """A sentence a stretch: sessions, how, first and last day and what lies around them, hours,
    chance, what it takes to flip; and what others would say."""
    words = _words(pages[f"sites/{site_file(LISTED)}"])
    for sentence in (
        "Blocked or likely blocked on 2 access networks.",
        "11 of 12 sessions were kept from the site, from 3 February 2024 to 4 March 2024 (TLS: "
        "reset). It was last seen open before on 1 February 2024, and open again on 9 March 2024. "
        "If the failures were accidents such as others meet here, less than 1 in 1,000 pairs would "
        "look so.",
        "This holds at some hours of the week only: Mon-Fri 04:00-08:00 UTC. Open before and after "
        "is meant of these hours alone. Nobody has tested it there since. A mark that "
        "only blocking leaves decides. It began before the first test; the site may refuse this "
        "network. It would take 1 forged session at least to change this.",
        f"Could it be something else? TLS: reset: {RIVALS[0].question} No. {RIVALS[4].question} "
        "No.",
        "from 6 May 2024 to the last tests of the period",
        "accidents such as others meet here, at most 1 in 32 pairs would look so. Of 1,200 failing "
        "sessions all are of one platform and only 3 others tested: one household’s filter, or the "
        "network’s block.",
        "It would take 3 forged sessions at least to change this.",
        "Tunnel (AS9), VPN: 18 of 30",
        "OONI flags 12 of 40 measurements as anomalies, and 0 of these as confirmed. Other methods "
        "that would list it: OONI anomalies.",
        "Name this site in any objection: listed.example.",
    ):
        assert sentence in words


def test_what_is_set_aside_has_its_reason_and_what_failed(pages: dict[str, str]) -> None:
    words = _words(pages[f"sites/{site_file(ASIDE)}"])
    assert "Set aside, and not on the list of blocked sites: The site was down." in words
    assert "5 sessions failed from 1 April 2024 to 9 April 2024. Not listed:" in words
    assert (
        "0 of 30 sessions failed in a way that blocking could cause, 18 reached the site." in words
    )
    assert words.count("Could it be something else?") == 1  # of what was asked about
    assert (
        f"Could it be something else? TLS: no answer: {RIVALS[0].question} No. "
        f"{RIVALS[1].question} Yes: {HOST_SILENT}."
    ) in words


def test_the_index_has_every_name_and_its_reason(pages: dict[str, str]) -> None:
    html = pages[INDEX]
    for name in (LISTED, ASIDE, CLEAN, THIN):
        assert f'<li id="{site_anchor(name)}" data-name="{name}">' in html
    assert f'href="{site_file(LISTED)}"' in html
    assert f'href="{site_file(CLEAN)}"' not in html
    assert "Tests that disagree · 7 sessions" in _words(html)


def test_no_text_of_a_measurement_acts(tables: Path) -> None:
    """In either language, in the frame, in attributes and in links."""
    for lang in (ENGLISH, open_language("km")):
        for page in make_pages(tables, SETTING, lang):
            context = PageContext("Nowhere", "a year", "Draft", date(2024, 1, 1), lang=lang)
            item = SetItem(page.file, page.title, "")
            html = render_sections([("", page.content)], item, context, [item])
            assert not re.search("<script>alert|\u202e", html)
            assert f'lang="{lang.code}"' in html


def test_the_annex_has_a_row_a_stretch_below_its_site(tables: Path) -> None:
    """With its own days and what lies around them, hours by the capital's clocks, chance and what
    flips it; nothing in it acts, and its script is allowed."""
    annex = (read_table(tables, name) for name in _ANNEX)
    html = str(render_annex(*annex, "KE", DECIDED, ENGLISH))
    rows = [
        [_words(cell.replace("<", " <")) for cell in re.findall("<t[hd].*?</t[hd]>", row)][1:]
        for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)[1:]
    ]
    shared = ["11 of 12", "TLS: reset"]
    assert rows.pop(0) == []
    assert rows == [
        ["3 February 2024 open 1 February 2024", "4 March 2024 open again 9 March 2024", *shared,
         "less than 1 in 1,000", "0"],
        ["1 June 2024 not open before", "30 June 2024 not tested since", "11 of 12", "TLS: reset "
         "only Mon-Fri 04:00-08:00 UTC; Mon-Fri 07:00-11:00 local time", "–", "0"],
        ["6 May 2024 not open before", "goes on", *shared, "1 in 32", "0"],
    ]  # fmt: skip
    assert f'<a class="site" href="sites/{site_file(LISTED)}#{site_anchor(LISTED)}">' in html
    assert "<script>" not in html
    item = SetItem("4-blocked-sites.html", "Annex", "")
    context = PageContext("Nowhere", "a year", "Draft", date(2024, 1, 1))
    assert "script-src 'sha256-" in render_sections([("", Markup(html))], item, context, [item])


def test_a_large_annex_shows_some_rows_of_each_site() -> None:
    """What does not fit a page stands on the page of the site."""
    for counts, most in (([3, 1], 3), ([31] * 500, 4), ([1] * 3000, 1), ([], 1)):
        assert fit_rows(pd.Series(counts, dtype="int64"), 2000) == most


@pytest.mark.parametrize(
    ("domain", "spelled"),
    [("xn--80ak6aa92e.example", ["аррӏе.example"]), ("xn--\ud800", []), ("xn--a.example", []),
     ("plain.example", [])],
)  # fmt: skip
def test_a_name_is_spelled_out_in_its_own_script(domain: str, spelled: list[str]) -> None:
    """Beside the form that was tested, so that no letter of another script passes for a Latin one;
    what cannot be decoded stops nothing."""
    said = " ".join(say_spelling(ENGLISH, domain))
    assert re.findall("written <bdi>(.+)</bdi>", said) == spelled
