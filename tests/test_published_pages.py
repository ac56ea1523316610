"""Pages of a report read together: one number everywhere, and the same in every language.

A headline number stands in an element ``data`` with the name that it has in ``run.json``.
"""

import json
import re
import shutil
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from analysis.languages.language import open_language
from analysis.pages.paper import PARTS, print_pages
from analysis.tables import read_table
from tests.archives import read_csv

KHMER = "km"
#: These stand on more than one page.
SHARED = {
    "blocked_domain_count",
    "blocked_registrable_domain_count",
    "blocked_local_domain_count",
    "traced_domain_count",
    "access_network_count",
    "blocking_network_count",
    "listed_access_pair_count",
    "judged_access_pair_count",
    "unsettled_access_pair_count",
    "measurement_count",
    "domain_count",
    "set_aside_count",
    "newly_blocked_count",
    "no_longer_blocked_count",
    "still_blocked_count",
    "mixed_count",
    "not_comparable_count",
}


class PublishedPage:
    """A page, read: the ids of its elements in order; name, value and text of each number that is
    marked; where it leads; the languages of the page and of its parts; the words of its main part.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.html = path, path.read_text(encoding="utf-8")
        soup = BeautifulSoup(self.html, "html.parser")
        self.ids = [one["id"] for one in soup.find_all(id=True)]
        self.languages = [one["lang"] for one in soup.find_all(lang=True)]
        self.links = [one["href"] for one in soup.find_all("a", href=True)]
        self.numbers = [
            (one["data-key"], one["value"], one.get_text().strip()) for one in soup.find_all("data")
        ]
        self.words = soup.main.get_text(" ")
        for folded in soup.find_all("details"):
            folded.decompose()
        self.unfolded = [one.get_text().strip() for one in soup.find_all("data")]

    @property
    def digits(self) -> list[str]:
        """The numbers in its text, dates among them, whatever their order."""
        return sorted(re.findall(r"\d[\d,.]*\d|\d", self.words))


@pytest.fixture(scope="module")
def pages(fictional_report: Path) -> dict[str, PublishedPage]:
    """Every page of the report, in each language, by its place."""
    found = sorted(fictional_report.rglob("*.html"))
    assert len(found) > 50  # with the pages of sites
    return {str(path.relative_to(fictional_report)): PublishedPage(path) for path in found}


@pytest.fixture(scope="module")
def headlines(fictional_report: Path) -> dict[str, Any]:
    run = json.loads((fictional_report / "run.json").read_text(encoding="utf-8"))
    return {name: one["value"] for name, one in run["findings"].items()}


def test_a_number_is_the_same_wherever_it_stands(
    pages: dict[str, PublishedPage], headlines: dict[str, Any]
) -> None:
    """Value and text of each named number are those of ``run.json``; the most important ones do
    stand on several pages, so that there is something to compare."""
    places: dict[str, set[str]] = defaultdict(set)
    for place, page in pages.items():
        for name, value, text in page.numbers:
            if "." in name or name not in headlines:
                continue  # told of one finding only; test_checkable computes it
            number = float(value)
            assert number == pytest.approx(float(headlines[name])), (place, name)
            if name.endswith("_share"):
                # Only what is all or nothing is said without a decimal.
                digits = 0 if number in (0, 1) else 1
                assert text == f"{100 * number:.{digits}f} %", (place, name)
            else:
                assert re.sub(r"\D", "", text) == value, (place, name)
            places[name].add(place)
    alone = {name for name in SHARED if len(places[name]) < 2}
    assert not alone
    assert {"site_precision_share", "pair_recall_share"} <= set(places)


def test_paper_has_the_numbers_of_the_pages(
    pages: dict[str, PublishedPage], fictional_report: Path, chromium: str, tmp_path: Path
) -> None:
    """Each named number of the printed pages stands in the PDF, as often as on the pages, but for
    what is folded there."""
    for part in PARTS:
        shutil.copy(fictional_report / part, tmp_path / part)
    printed = PdfReader(print_pages(tmp_path, tmp_path, chromium, date(2024, 12, 31)))
    text = " ".join(sheet.extract_text() for sheet in printed.pages)
    found = Counter(re.findall(r"\d[\d,.]*\d|\d", text))
    shown = [shown for part in PARTS for shown in pages[part].unfolded]
    wanted = Counter(number for one in shown for number in re.findall(r"\d[\d,.]*\d|\d", one))
    assert len(wanted) > 20
    assert not wanted - found


def test_headlines_are_what_the_tables_say(
    fictional_report: Path, headlines: dict[str, Any]
) -> None:
    """Counted once more, from the published tables alone."""
    networks, verdicts = (
        read_csv(fictional_report / "tables" / "networks.csv"),
        read_csv(fictional_report / "tables" / "verdicts.csv"),
    )
    access = set(
        networks.loc[networks["kind"].isin(["isp", "mobile", "education", "unknown"]), "probe_asn"]
    )
    whole = verdicts[(verdicts["period"] == "all")]
    judged = whole[whole["probe_asn"].isin(access)]
    pairs = judged[judged["state"].isin(["blocked", "likely_blocked"])]
    per_site = pairs["domain"].value_counts()
    counted = {
        "access_network_count": len(access),
        "ranked_network_count": (networks["rank"] != "").sum(),
        "blocking_network_count": pairs["probe_asn"].nunique(),
        "blocked_domain_count": len(per_site),
        "judged_access_pair_count": len(judged),
        "listed_access_pair_count": len(pairs),
        "unsettled_access_pair_count": (judged["state"] == "insufficient").sum(),
        "disagreeing_access_pair_count": (judged["insufficient_reason"] == "mixed").sum(),
        "tested_enough_pair_count": (~judged["insufficient_reason"].str.startswith("few_")).sum(),
        "ok_access_pair_count": (judged["state"] == "ok").sum(),
        "other_pair_count": len(whole) - len(judged),
        "single_network_domain_count": (per_site == 1).sum(),
        "one_report_pair_count": (pairs["sessions_to_flip"] == "1").sum(),
        "set_aside_count": len(read_csv(fictional_report / "tables" / "set_aside.csv")),
    }
    assert {name: headlines[name] for name in counted} == counted
    stretches = read_csv(fictional_report / "tables" / "blocked_site_networks.csv")
    assert len(stretches[["domain", "probe_asn"]].drop_duplicates()) == len(pairs)


def test_a_column_means_the_same_in_every_table(fictional_report: Path) -> None:
    """Where tables share rows and a column, they agree; what means something else has a column of
    its own, whose relation to the other is told in docs/tables.md."""
    read = {
        name: read_table(fictional_report / "tables", name)
        for name in (
            "verdicts",
            "blocking_intervals",
            "withheld_intervals",
            "blocked_sites",
            "sites",
            "blocked_site_networks",
            "set_aside",
            "measurements_by_month",
            "answers",
            "chances",
        )
    }
    whole = read["verdicts"][read["verdicts"]["period"] == "all"]
    pair, stretches, sites = ["domain", "probe_asn"], read["blocking_intervals"], read["sites"]
    # days: empty where a block goes on, against the last day seen blocked
    for name in ("verdicts", "blocked_sites", "blocked_site_networks"):
        table = read[name]
        is_over = table["blocked_until"].notna()
        assert (table["blocked_until"] == table["last_seen_blocked"])[is_over].all(), name
        assert (table["last_seen_blocked"].notna() == table["blocked_from"].notna()).all(), name
    last = stretches.groupby(pair)["last_seen_blocked"].max()
    listed = whole[whole["last_seen_blocked"].notna()].set_index(pair)["last_seen_blocked"]
    assert last.equals(listed.sort_index())
    # counts: all measurements and sessions against those that were blocked
    for name in ("blocking_intervals", "withheld_intervals"):
        table = read[name]
        assert (table["last_seen_blocked"] == table["blocked_until"]).all(), name
        assert (table["blocked_count"] == table["measurement_count"]).all(), name
        assert (table["blocked_session_count"] == table["session_count"]).all(), name
    shown = read["blocked_site_networks"].merge(
        stretches, on=[*pair, "blocked_from"], suffixes=("", "_of_stretch"), validate="1:1"
    )
    for column in ("blocked_session_count", "last_seen_blocked", "chance", "day_count", "state"):
        assert shown[column].equals(shown[f"{column}_of_stretch"]), column
    annexed = read["blocked_sites"].merge(sites, on="domain", suffixes=("", "_of_site"))
    for column in ("measurement_count", "session_count"):
        assert (annexed[f"all_{column}"] == annexed[f"{column}_of_site"]).all(), column
        assert (annexed[column] <= annexed[f"all_{column}"]).all(), column
        by_site = whole.groupby("domain")[column].sum()
        assert (sites[column] == sites["domain"].map(by_site)).all(), column
    reasons = sites[sites["status"] == "set_aside"].set_index("domain")["reason"]
    assert reasons.to_dict() == read["set_aside"].set_index("domain")["reason"].to_dict()
    # evidence: that of a pair is that of its most surprising stretch, where no mark decides
    told = whole.dropna(subset=["evidence", "last_seen_blocked"]).set_index(pair)["evidence"]
    most = stretches.groupby(pair)["evidence"].max().dropna()
    assert most.equals(told.sort_index())
    # flags: disjoint by month; of a site all that is flagged, without failures
    months = read["measurements_by_month"]
    flagged = months["anomaly_count"].sum() + months["confirmed_count"].sum()
    assert read["set_aside"]["flagged_count"].sum() <= flagged
    assert (read["set_aside"]["flagged_count"] <= read["set_aside"]["anomaly_count"]).all()
    answers = read["answers"]
    assert (
        answers["own_live_name_count"] + answers["dead_name_count"] == answers["name_count"]
    ).all()


def test_a_page_of_a_site_says_what_its_tables_say(
    pages: dict[str, PublishedPage], fictional_report: Path
) -> None:
    """Measurements, sessions and networks of each; flags of what is set aside; on how many networks
    it is blocked and likely blocked."""
    sites, aside = (
        read_csv(fictional_report / "tables" / f"{name}.csv") for name in ("sites", "set_aside")
    )
    flagged = dict(aside[["domain", "flagged_count"]].to_numpy())
    stretches = read_csv(fictional_report / "tables" / "blocked_site_networks.csv")
    for row in sites[sites["page"] != ""].itertuples(index=False):
        words = re.sub(r"\s+", " ", pages[row.page].words).replace(",", "")
        tests = f"Measurements: {row.measurement_count}; sessions: {row.session_count}"
        assert f"{tests}; networks: {row.network_count}." in words, row.page
        if row.domain in flagged:
            said = f"OONI flags {flagged[row.domain]} of {row.measurement_count} measurements"
            assert said in words, row.page
        own = stretches[stretches["domain"] == row.domain]
        is_blocked = (own["state"] == "blocked").groupby(own["probe_asn"]).any()
        if len(own):
            said = f"blocked on {is_blocked.sum()} likely blocked on {(~is_blocked).sum()}"
            assert said in words, row.page


def test_a_cell_a_row_and_a_bar_open_what_they_show(
    pages: dict[str, PublishedPage], fictional_report: Path
) -> None:
    """What stands for a site on a network leads to that network on the page of that site; in the
    matrix and in the annex each pair does. A bar leads to the site of its line, to a pair, or to
    what it counts, in its own language where that has it. Nothing leads nowhere."""
    soups: dict[Path, BeautifulSoup] = {}

    def read(path: Path) -> BeautifulSoup:
        soups[path] = soups.get(path) or BeautifulSoup(path.read_bytes(), "html.parser")
        return soups[path]

    found: Counter[tuple[str, str]] = Counter()
    tops = [one for one in pages if "sites/" not in one]
    shown = sorted(one for one in pages if "sites/" in one and "index" not in one)
    for place in (*tops, *shown[::9]):
        path = fictional_report / place
        for link in read(path).select("a.pair, a.bar"):
            file, _, anchor = link["href"].partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file(), (place, link["href"])
            section = read(target).find(id=anchor) if anchor else target
            assert section, (place, link["href"])
            kind = "pair" if re.fullmatch("AS[0-9]+", anchor) else "place"
            found[place.removeprefix("km/").partition("/")[0], kind] += 1
            if "km/" in place and file.startswith("../"):
                assert not (path.parent / file.removeprefix("../")).exists(), link["href"]
            if kind == "pair":
                section = section.find_parent("details", class_="pair") or section
                assert re.search(rf"\b{anchor}\b", section.get_text()), (place, link["href"])
                assert re.search(r"\d", section.get_text().replace(anchor, "")), section
                group = link.find_parent("tr").select_one("a.site")
                site = group or (link.find_parent("tbody") or link).select_one("a.site")
                assert not (file and site) or site["href"] == file, (place, link["href"])
    assert found["2-confirmation.html", "pair"] > 500
    assert found["index.html", "pair"], "hours of the week are of pairs"
    assert found["index.html", "place"] > 40
    # all that is listed, and all that was tested
    stretches = read_csv(fictional_report / "tables" / "blocked_site_networks.csv")
    for place in ("4-blocked-sites.html", "km/4-blocked-sites.html"):
        rows = read(fictional_report / place).select("table.annex tbody tr:not(.site)")
        opened = [row.th.a["href"].rpartition("#")[2] for row in rows if row.th]
        assert Counter(opened) == Counter("AS" + stretches["probe_asn"].str.removeprefix("AS"))
    matrix = read(fictional_report / "2-confirmation.html").select_one("table.matrix")
    heads = [one.get_text() for one in matrix.select("thead .turned")][:-1]
    for row in matrix.select("tbody tr"):
        site = row.th.a["href"]
        for head, cell in zip(heads, row.select("td")[:-1], strict=True):
            number = re.findall(r"AS[0-9]+", head)[-1]
            assert (cell.a is None) == (cell["title"] == "Not tested"), (site, head)
            assert cell.a is None or cell.a["href"] == f"{site}#{number}", (site, head)


def test_findings_have_their_numbers_on_the_first_page_alone(
    pages: dict[str, PublishedPage], fictional_report: Path
) -> None:
    """One id for each kind, in the order of their ranks; each leads to a place that is there."""
    findings = read_csv(fictional_report / "tables" / "findings.csv")
    ranked = findings.assign(rank=findings["rank"].astype(int)).sort_values("rank")
    for place, page in pages.items():
        anchors = [one for one in page.ids if re.fullmatch(r"F\d+", one)]
        is_first = Path(place).name == "index.html" and "sites" not in place
        assert anchors == (list(ranked["id"]) if is_first else []), place
        assert len(page.ids) == len(set(page.ids)), place
    kinds = dict(zip(findings["kind"], findings["id"], strict=True))
    assert kinds == {
        "onset": "F1",
        "networks": "F2",
        "methods": "F3",
        "categories": "F4",
        "changes": "F5",
        "hours": "F6",
        "unlisted": "F7",
        "apps": "F8",
        "everywhere": "F9",
    }
    assert ranked["kind"].iloc[0] == "onset"
    for row in findings.itertuples(index=False):
        file, _, anchor = str(row.evidence).partition("#")
        assert anchor in pages[file].ids, row


@pytest.fixture(scope="module")
def pairs(pages: dict[str, PublishedPage]) -> list[tuple[PublishedPage, PublishedPage]]:
    """Each page that is there in Khmer, with the same one in English before it."""
    khmer = {place.removeprefix("km/") for place in pages if place.startswith("km/")}
    assert {place for place in pages if place.startswith("sites/")} < khmer
    assert {"index.html", "4-blocked-sites.html"} < khmer
    return [(pages[place], pages[f"km/{place}"]) for place in sorted(khmer)]


def test_both_languages_have_the_same_ids_and_numbers(pairs) -> None:
    """A number that is marked stands for the same in both, and is the same; so is every other."""
    for english, khmer in pairs:
        assert set(khmer.ids) <= set(english.ids), khmer.path
        assert {number[:2] for number in khmer.numbers} <= {
            number[:2] for number in english.numbers
        }, khmer.path
        if english.path.parent.name == "sites":
            assert khmer.digits == english.digits, khmer.path


def test_a_khmer_page_says_what_it_is(pairs) -> None:
    """Its language, that nobody has reviewed it, and where it stands in English; and back."""
    mark = open_language(KHMER).say(
        "No native reader has reviewed this translation yet. If it is unclear, the English page "
        "applies."
    )
    for english, khmer in pairs:
        assert khmer.languages[0] == KHMER
        assert english.languages[0] == "en"
        assert mark in khmer.html
        assert mark not in english.html
        for one, other in ((english, khmer), (khmer, english)):
            targets = {(one.path.parent / link).resolve() for link in one.links}
            assert other.path.resolve() in targets


def test_a_khmer_page_is_in_khmer(pairs) -> None:
    """No sentence of ours is left in English but the titles of pages that are in English; no digit
    is another than 0 to 9."""
    for _, khmer in pairs:
        own = re.sub(r'<a [^>]*hreflang="en".*?</a>', "", khmer.html, flags=re.DOTALL)
        assert '<span lang="en">' not in own, khmer.path
        assert not [char for char in khmer.words if char.isdigit() and not char.isascii()]
        assert set(khmer.languages) <= {KHMER, "en"}
