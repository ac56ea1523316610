"""A name that a meeting withheld: nowhere in what is published, and nothing else changes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile, is_zipfile

import openpyxl
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from analysis.commands.reporting import read_earlier
from analysis.commands.settings import parse_settings
from analysis.errors import ContractError, ParameterError
from analysis.hosts import as_written, normalise, registrable_domain, site_file
from analysis.languages.language import elided
from analysis.pages.replacing import published
from analysis.period import Period
from analysis.reference import withheld as module
from analysis.reference.test_lists import LocalSites, is_local, load_test_lists
from analysis.reference.withheld import Withheld, load_withheld
from analysis.review import countries_page, narrative, standing
from analysis.review.decisions import Basis, Decision, load_decisions, merge_decisions
from analysis.review.feedback import list_items, read_filled_sheet, write_sheet
from analysis.review.reports import Report
from analysis.store.ingestion import Request, ingest
from analysis.store.shares import share
from analysis.store.withholding import rename_rows
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import load_lists, open_study
from analysis.tables import write_table
from analysis.verdicts.witnesses import countries_url
from analysis.vocabulary import DECISIONS
from analysis.worlds.writing import write_world
from benchmarks.drawing import find_faults, report
from tests.archives import contents, read_csv
from tests.observations import connection_with, observation
from tests.table_rows import table_rows

SITES = Withheld(("www.site.test", "news.place.co.uk", "xn--bcher-kva.test", "uk.place.co.uk"))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("www.site.test", "withheld-1"),
        ("site.test", "www.withheld-1"),
        ("en.SITE.test", "en.other.withheld-1"),
        ("https://www.site.test:8443/a/b?c=d#e", "https://withheld-1/"),
        ("lookup www.site.test: no such host", "lookup withheld-1: no such host"),
        ("See www.site.test. It is down.", "See withheld-1. It is down."),
        ("place.co.uk, www.uk.place.co.uk", "other.withheld-2, www.2.withheld-2"),
        ("?input=https%3A%2F%2Fwww.site.test%2Fa", "?input=https%3A%2F%2Fwithheld-1%2Fa"),
        (r'{"a":"b\nwww.site.test"}', r'{"a":"b\nwithheld-1"}'),
        ("គេហទំព័រwww.site.testត្រូវបាន", "គេហទំព័រwithheld-1ត្រូវបាន"),
        ("site.test-based", "www.withheld-1-based"),
        ("*.site.test", "*.www.withheld-1"),
        ("Net … site.test", "Net … www.withheld-1"),
        ("www.site.test … Net", "withheld-1 … Net"),
        ("bücher.test, XN--BCHER-KVA.TEST.", "withheld-3, withheld-3."),
        ("-x.SITE.TEST -SITE.TEST", "-x.other.withheld-1 -www.withheld-1"),
        ("site.test.Site.Test", "withheld.other.withheld-1"),
        ("www.site\u3002test, site\uff0etest", "withheld-1, www.withheld-1"),
        ("www.site%2etest/a www.site&#46;test", "withheld-1/ withheld-1"),
        ("s\u200bite.te\u00adst", "www.withheld-1"),
        ("%73ite%252etest \uff53ite.test", "www.withheld-1 www.withheld-1"),
        ("b\u0075\u0308cher.test b%C3%BCcher.test", "withheld-3 withheld-3"),
        (r'{"a": "b\u00fccher.test"}', '{"a": "withheld-3"}'),
        ("https://xn--cafsite-dya.test/", "https://caféwww.withheld-1/"),
        ("mysite.test site.test.kh my-site.test x_site.test site.tests", None),
    ],
)
def test_a_name_is_found_in_a_text(text: str, masked: str | None) -> None:
    """In any spelling, with every host of its registered domain; not within another name."""
    assert SITES.mask(text) == (masked or text)
    assert SITES.spells(text) == (masked is not None)
    assert not SITES.spells(SITES.mask(text))


def test_hosts_of_one_site_remain_those_of_one_site() -> None:
    """What the judge asks of two names has the same answer; each has a name of its own."""
    names = [
        "site.test",
        "www.site.test",
        "a.site.test",
        "www.a.site.test",
        "place.co.uk",
        "news.place.co.uk",
        "www.news.place.co.uk",
        "uk.place.co.uk",
        "other.test",
        "xn--bcher-kva.test",
    ]
    renamed = {name: SITES.rename(name) for name in names}
    assert len(set(renamed.values())) == len(names)
    assert renamed["other.test"] == "other.test"
    assert [SITES.restore(renamed[name]) for name in SITES.hosts] == list(SITES.hosts)

    def compare(one: str, other: str) -> tuple[bool, bool]:
        is_twin = one == f"www.{other}" or other == f"www.{one}"
        return registrable_domain(one) == registrable_domain(other), is_twin

    for one in names:
        for other in names:
            assert compare(one, other) == compare(renamed[one], renamed[other]), (one, other)


def test_nobody_stops_a_report_by_testing_a_name_like_it() -> None:
    """Whatever host a stranger makes up, its placeholder or itself is no withheld name, as pages,
    tables and file names show it."""
    pieces = [
        "site",
        "test",
        ".",
        "-",
        "_",
        "x",
        "n",
        "2f",
        "www.",
        "site.test",
        "bücher",
        "bücher.test",
        "a" * 60 + ".",
    ]
    chance = Random(1)
    texts = ("".join(chance.choices(pieces, k=chance.randrange(1, 9))) for _ in range(20_000))
    hosts = [SITES.mask(host) for host in map(normalise, texts) if host]
    assert len(hosts) > 5_000
    for host in hosts:
        for shown in (
            host,
            elided(host),
            elided(as_written(host)),
            site_file(host),
            f"http://{host}/",
            elided(f"http://{host}/a", 80),
            f"{host}.",
        ):
            assert not SITES.is_published_in(shown), (host, shown)


def test_after_masking_no_text_has_the_name() -> None:
    """Whatever stands beside a name and however its letters are written; as published, too."""
    names = ["site.test", "SITE.TEST", "www.site.test", "bücher.test", "Xn--Bcher-Kva.test"]
    spelled = ["site\u3002test", "s%69te%2etest", "si\u200bte&#46;test", "\uff33ite\uff0etest"]
    beside = [
        *list("-_.%/\\:;@ \n\"'…eé"),
        "%2f",
        "%",
        "\\n",
        "\\u00e9",
        "&",
        " … ",
        "xn--",
        "ខ្មែរ",
    ]
    chance = Random(7)
    found = 0
    for _ in range(20_000):
        pieces = [chance.choice([*names, *spelled, *beside, *beside]) for _ in range(6)]
        text = "".join(pieces)
        masked = SITES.mask(text)
        assert not SITES.spells(masked), (text, masked)
        found += masked != text
        for shown in (
            masked,
            escape(masked),
            quote(masked),
            json.dumps(masked),
            elided(masked, 12),
        ):
            assert not SITES.is_published_in(shown), (text, masked, shown)
    assert found > 10_000


# a report ---------------------------------------------------------------------------------------

PERIOD = Period.parse("2024-01-01", "2024-02-20")
CLAIMS = """\
document: A draft
source: invented
probe_cc: QN
since: 2024-01-01
until: 2024-02-20
claims:
  - {id: a, where: page 1, claim: "NAME is blocked.", relation: equal, values: {said: blocked,
     found: {report: verdicts, each: state, where: {domain: NAME, period: all}}}}
  - {id: b, where: page 1, claim: Two sites., relation: distinct, values: {count: 2,
     names: [a.test, NAME]}}
  - {id: c, where: page 1, claim: Two sites., relation: distinct, values: {count: 2,
     names: [a.test, b.test]}}
"""


def _decide(folder: Path, probe_cc: str, *hosts: str) -> None:
    """Withhold names, in a meeting on a report of another period."""
    basis = Basis(probe_cc, Period.parse("2020-01-01", "2021-01-01"), 1)
    decided = [
        Decision(host, "withhold", "For safety.", f"2025-02-{day:02}", "editor", basis)
        for day, host in enumerate(hosts, start=1)
    ]
    merge_decisions(folder / f"{probe_cc.lower()}.yml", decided, dry_run=False)


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the decisions of countries lie; there are none."""
    monkeypatch.setattr(module, "REVIEWS", tmp_path / "review")
    return tmp_path / "review"


def _texts(path: Path) -> Iterator[str]:
    """What a file holds, case aside: of a spreadsheet its parts, of Parquet its rows."""
    if path.suffix == ".parquet":
        yield repr(pq.read_table(path).to_pylist()).lower()
    elif is_zipfile(path):
        with ZipFile(path) as archive:
            yield from (archive.read(name).decode().lower() for name in archive.namelist())
    else:
        yield path.read_text("utf-8", "replace").lower()


def _find(folder: Path, parts: list[str]) -> list[tuple[str, str]]:
    """Files that spell a part of a name, or are called by one."""
    return [
        (path.relative_to(folder).as_posix(), part)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for part in parts
        if part in path.name.lower() or any(part in text for text in _texts(path))
    ]


def test_a_withheld_name_is_nowhere_and_every_count_stays(tmp_path: Path, reviews: Path) -> None:
    """A report, with an earlier one that has the names, a draft that speaks of one, and a share."""
    write_world(
        tmp_path,
        probe_cc="QN",
        since=PERIOD.since,
        until=PERIOD.until,
        seed=3,
        sessions_per_day=4,
        network_count=10,
        name_count=60,
        has_apps=False,
    )
    reference = tmp_path / "reference"
    given = {
        "PROBE_CC": "QN",
        "SINCE": PERIOD.since,
        "UNTIL": PERIOD.until,
        "JOBS": 1,
        "SOURCE": tmp_path / "archive",
        "STORE": tmp_path / "store",
        "TEST_LIST": reference / "test-lists",
        "NETWORKS": reference / "networks.csv",
        "FINGERPRINTS": reference / "fingerprints",
        "REPORT_LANGUAGES": "en,km",
    }

    def make(**more: object) -> Path:
        return report([f"{name}={value}" for name, value in (given | more).items()])

    before = make(OUT=tmp_path / "before")
    listed = list(read_csv(before / "tables" / "blocked_sites.csv")["domain"])
    chosen = [
        next(name for name in listed if name.startswith("www.")),
        next(name for name in listed if name.startswith("xn--")),
        next(name for name in listed if not name.startswith("www.") and name.count(".") == 2),
        next(name for name in listed if name.count(".") == 1 and "-" in name),
    ]
    _decide(reviews, "QN", *chosen, "never-tested.test")
    (tmp_path / "draft.yml").write_text(CLAIMS.replace("NAME", chosen[0]), "utf-8")
    after = make(OUT=tmp_path / "after", PREVIOUS=before, CLAIMS=tmp_path / "draft.yml")

    parts = [registrable_domain(name).partition(".")[0] for name in chosen]
    assert {part for _, part in _find(before, parts)} == set(parts)
    assert _find(after, parts) == []
    assert "withheld-1" in (after / "sites" / "index.html").read_text("utf-8")
    assert list(find_faults(after)) == []
    old, new = (json.loads((one / "run.json").read_bytes())["findings"] for one in (before, after))
    assert {name: one["value"] for name, one in old.items()} == {
        name: one["value"] for name, one in new.items()
    }

    tables = {path.stem: read_csv(path) for path in (before / "tables").glob("*.csv")}
    # what of these names a line or an address to test has no row, and findings are sentences
    others = ("list_care", "what_to_test", "testing_plan", "findings", "decisions")
    names = load_withheld("QN")
    for name in sorted(set(tables) - set(others)):
        changed = read_csv(after / "tables" / f"{name}.csv")
        free = [column for column in changed if column.startswith("witness")]
        free += [column for column in ("page", "registrable_domain", "note") if column in changed]
        rows, expected = (
            sorted(frame.drop(columns=free).itertuples(index=False, name=None))
            for frame in (changed, tables[name].map(names.mask))
        )
        assert rows == expected, name
    for name in ("list_care", "what_to_test", "testing_plan"):
        assert "withheld" not in (after / "tables" / f"{name}.csv").read_text("utf-8")
    plans = [text for path in (after / "tables").glob("what_to_test.*") for text in _texts(path)]
    assert not any("withheld" in text for text in plans)
    verdicts = read_csv(after / "tables" / "verdicts.csv").set_index("domain").loc["withheld-1"]
    assert (verdicts[["witness_report_id", "witness_input", "witness_url"]] == "").all(axis=None)
    decided = read_csv(after / "tables" / "decisions.csv").set_index("item")
    assert list(decided.index) == [f"withheld-{number}" for number in range(1, 6)]
    assert set(decided["status"]) == {"applied"}
    audited = read_csv(after / "tables" / "claims_audit.csv").set_index("claim_id")["result"]
    assert list(audited) == ["cannot_be_checked", "cannot_be_checked", "holds"]

    study = StudyParameters.of({name.lower(): str(value) for name, value in given.items()})
    fingerprints = load_lists(study).fingerprints
    asked = Request(study.source, study.store, "QN", PERIOD, reopen=True, jobs=1)
    share(ingest(asked, fingerprints), "QN", PERIOD, tmp_path / "share")
    assert _find(tmp_path / "share", parts) == []
    sent = replace(study, source=str(tmp_path / "share"), store=str(tmp_path / "theirs"))
    same = (reviews / "qn.yml").rename(reviews / "same.yml")
    _decide(reviews, "QN", next(name for name in listed if name not in chosen))
    with pytest.raises(ParameterError, match="its sender withheld other names than your file"):
        open_study(sent, jobs=1)
    (reviews / "qn.yml").unlink()  # whoever is sent it decided nothing, or the same
    for _ in range(2):
        theirs = open_study(sent, jobs=1)
        judged = confirm(theirs).verdicts
        write_table(tmp_path / "theirs", "verdicts", judged)
        own = (after / "tables" / "verdicts.csv").read_bytes()
        assert (tmp_path / "theirs" / "verdicts.csv").read_bytes() == own
        if same.exists():
            same.rename(reviews / "qn.yml")


@pytest.mark.parametrize(("runs", "shown"), [(1, "withheld title 1"), (2, "Name of the site")])
def test_one_report_does_not_bring_back_the_title_of_a_site(runs: int, shown: str) -> None:
    """A page that several runs see at other sites, such as that of a block, keeps its title."""
    own = observation(domain="www.site.test", http_title="Name of the site", report_id="own")
    others = [
        observation(
            domain=f"made-up-{n}.test", http_title="Name of the site", report_id=f"r{n % runs}"
        )
        for n in range(5)
    ]
    connection = connection_with([own, *others])
    rows = connection.sql(
        f"FROM {rename_rows(connection, 'observations', 'observations', SITES)}"
    ).df()
    assert rows.set_index("domain").loc["withheld-1", "http_title"] == shown


def test_lists_have_placeholders_and_stay_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "gb.csv"
    path.write_text(
        "url,category_code,category_description,date_added,source,notes\n"
        "https://news.place.co.uk/a,NEWS,News Media,2020-01-02,somebody,about news.place.co.uk\n"
        "https://open.test/,HUMR,Human Rights Issues,2020-01-02,somebody,as www.site.test\n",
        encoding="utf-8",
    )
    lists = SITES.rename_lists(load_test_lists(path, "GB"))
    assert [entry.written for entry in lists.entries] == [
        ("https://withheld-2/", "NEWS", "News Media", "2020-01-02", "", ""),
        (
            "https://open.test/",
            "HUMR",
            "Human Rights Issues",
            "2020-01-02",
            "somebody",
            "as withheld-1",
        ),
    ]
    assert lists.category_of("withheld-2")[0] == "NEWS"
    local = SITES.rename_local(LocalSites(frozenset({"xn--bcher-kva.test"})), "GB")
    names = ["withheld-1", "withheld-2", "www.2.withheld-2", "withheld-3"]
    assert [is_local(name, "GB", lists, local) for name in names] == [False, True, True, True]


def test_no_link_leads_to_a_withheld_site_and_two_countries_have_two(
    tmp_path: Path, reviews: Path
) -> None:
    """OONI's charts are of no placeholder; an earlier report of a country may have the name."""
    assert countries_url("www.withheld-1", PERIOD) == ""
    assert "open.test" in countries_url("open.test", PERIOD)
    _decide(reviews, "QM", "site.test")
    pairs = {}
    for code, site in (("QM", "site.test"), ("QN", "withheld-1")):
        folder = tmp_path / code / "tables"
        write_table(folder, "networks", table_rows("networks", {"probe_asn": 1, "kind": "isp"}))
        verdict = {"domain": site, "probe_asn": 1, "period": "all", "state": "blocked"}
        write_table(folder, "verdicts", table_rows("verdicts", verdict))
        run = {"parameters": {"probe_cc": code, "since": "2024-01-01", "until": "2025-01-01"}}
        pairs[code] = list(countries_page._read_pairs(Report(folder.parent, run))["domain"])
    assert pairs == {"QM": ["qm.withheld-1"], "QN": ["qn.withheld-1"]}


# what people write ------------------------------------------------------------------------------


def test_what_spells_a_withheld_name_is_refused(
    tmp_path: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status, a text of the report, a correction, an event, a reason: before anything is made."""
    _decide(reviews, "QM", "site.test")
    texts = tmp_path / "texts"
    (texts / "qm" / "en").mkdir(parents=True)
    monkeypatch.setattr(narrative.load_narrative, "__defaults__", (texts,))
    given = ["PROBE_CC=QM", "SINCE=2024-01-01", "UNTIL=2025-01-01", f"SOURCE={tmp_path}"]
    read_earlier(parse_settings(given))
    said = "spells a name that a meeting withheld"
    with pytest.raises(ParameterError, match=rf"^STATUS=.*{said}"):
        read_earlier(parse_settings([*given, "STATUS=On www.site.test"]))
    text = texts / "qm" / "en" / "background.md"
    text.write_text("# One\n\nSee [it](https://site.test/).\n", "utf-8")
    with pytest.raises(ParameterError, match=rf"^narrative=.*background\.md: {said}"):
        read_earlier(parse_settings(given))
    events = tmp_path / "events.yml"
    event = {
        "date": "2024-02-01",
        "title": "Site.test closes",
        "kind": "order",
        "source": "https://a.test/",
    }
    events.write_text(json.dumps({"events": [event]}), "utf-8")
    with pytest.raises(ParameterError, match=rf"^EVENTS=2024-02-01: {said}"):
        load_lists(parse_settings([*given, f"EVENTS={events}"]).study)
    path = reviews / "qm.yml"
    path.write_text(path.read_text("utf-8").replace("For safety.", "site.test asked."), "utf-8")
    with pytest.raises(ParameterError, match="line 8: its reason or role spells a name"):
        load_decisions(path, "QM")
    path.write_text(
        path.read_text("utf-8").replace("decision: withhold", "decision: hide"), "utf-8"
    )
    with pytest.raises(ParameterError, match="line 9: decision=hide"):
        load_withheld("QM")


def test_the_sheet_withholds_a_name_and_cannot_show_it_again(tmp_path: Path, reviews: Path) -> None:
    """The form offers it for sites. A sheet of the next draft has the placeholder, and another
    decision on that stands beside the first one."""
    basis = Basis("QM", Period.parse("2024-01-01", "2025-01-01"), 8)
    write_table(tmp_path, "blocked_site_networks", table_rows("blocked_site_networks"))
    write_table(tmp_path, "decisions", table_rows("decisions"))
    path = reviews / "qm.yml"

    def bring(item: str, decision: str) -> list[str]:
        write_sheet(tmp_path, "Draft", list_items(tmp_path, {}), basis)
        book = openpyxl.load_workbook(tmp_path / "feedback.xlsx")
        book["feedback"].append([item, "", decision, "For safety.", "editor", "2025-02-01"])
        book.save(tmp_path / "filled.xlsx")
        return merge_decisions(path, read_filled_sheet(tmp_path / "filled.xlsx"), dry_run=False)

    words = DECISIONS["withhold"]
    with pytest.raises(ParameterError, match="cell A3: item=F1: a site can be withheld"):
        bring("F1", words)
    with pytest.raises(ParameterError, match=r"item=www\.withheld-1: a site can be"):
        bring("www.withheld-1", words)
    assert bring("https://Site.test/", words) == [
        "new: site.test: withhold the name, 2025-02-01, editor: For safety."
    ]
    assert bring("withheld-1", words) == []
    bring("withheld-1", "Keep")
    assert {(one.item, one.decision) for one in load_decisions(path, "QM")} == {
        ("site.test", "withhold"),
        ("site.test", "keep"),
    }
    assert load_withheld("QM").hosts == ("site.test",)


# what comes another way -------------------------------------------------------------------------


def _spreadsheet(text: str) -> bytes:
    content = BytesIO()
    with xlsxwriter.Workbook(content) as book:
        book.add_worksheet().write(0, 0, text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.html", b"<p>Www.Site.Test</p>"),
        ("tables/a.csv", b"a\nhttps://cdn.site.test/\n"),
        ("a.svg", "<text>bücher.test</text>".encode()),
        ("tables/a.xlsx", _spreadsheet("On site.test")),
        ("site.test.html", b""),
    ],
)
def test_a_file_with_a_withheld_name_is_not_published(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(ContractError, match=f"^{name} spells a name that a meeting withheld"),
        published(tmp_path / "out", "findings", withheld=SITES) as build,
    ):
        (build.folder / name).write_bytes(content)
    assert contents(tmp_path / "out") == {}


def test_a_look_forgets_names_that_were_withheld_since(reviews: Path) -> None:
    """What the last look kept has the placeholder, and no way to the measurement."""
    _decide(reviews, "QM", "site.test")
    row: dict[str, Any] = {"test_name": "web_connectivity", "probe_asn": 1, "status": "blocked"}
    url = "https://explorer.ooni.org/measurement/1?input=https%3A%2F%2F"
    kept = table_rows(
        "watch_standing",
        {**row, "item": "site.test", "witness_url": f"{url}site.test%2F"},
        {**row, "item": "a.test", "witness_url": f"{url}a.test%2F"},
    )
    now = standing._withhold(kept, load_withheld("QM"))
    assert list(now["item"]) == ["withheld-1", "a.test"]
    assert list(now["witness_url"]) == ["", f"{url}a.test%2F"]
