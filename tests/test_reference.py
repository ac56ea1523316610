"""Reference data: what ships is well-formed and sourced; what a person hands in is checked."""

import csv
import re
import tracemalloc
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.reference.events import Event, EventList, event_table, load_events
from analysis.reference.networks import (
    clean_name,
    describe,
    kind_by_name,
    load_networks,
)
from analysis.reference.outages import load_outages, mark_outages
from analysis.reference.reference_files import (
    REFERENCE,
    SNAPSHOTS,
    countries,
    parse_country,
    read_file,
)
from analysis.reference.test_lists import (
    UNCATEGORISED,
    category_names,
    is_local,
    load_local_sites,
    load_test_lists,
)
from analysis.worlds.truth import write_events
from tests.table_rows import dated

HEADER = "url,category_code,category_description,date_added,source,notes\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A country list and a global list that disagree about one host."""
    (tmp_path / "kh.csv").write_text(
        HEADER
        + "http://news.example/,NEWS,News Media,2020-01-02,x,\n"
        + "http://news.example/rights,HUMR,Human Rights Issues,2021-03-04,x,\n"
        + 'http://pages.example/a,POLR,Political Criticism,2020-01-02,x,"a ""note"",\nover lines"\n'
        + "http://pages.example/b,ECON,Economics,2020-01-02,x,\n"
        + "\n"
        + "http://own.example/,ZZZ,A category of their own,2020-01-02,x,\n",
        encoding="utf-8",
    )
    (tmp_path / "global.csv").write_text(
        HEADER
        + "https://news.example/,COMM,E-commerce,2024-05-06,x,\n"
        + "https://www.World.example:443,SRCH,Search Engines,2024-05-06,x,\n"
        + "http://www.world.example/mail,COMT,Communication Tools,2024-05-06,x,\n",
        encoding="utf-8-sig",
    )
    return tmp_path


def test_a_domain_has_one_category(folder: Path) -> None:
    """Exact URL on the country list, then the host on it, then the global list, then ABC."""
    lists = load_test_lists(folder, "KH")
    news, rights = ("NEWS", "News Media"), ("HUMR", "Human Rights Issues")
    for domain, inputs, category in (
        ("news.example", (), news),  # the front page on the country list
        ("news.example", ("http://news.example/rights",), rights),
        ("news.example", ("http://news.example",), news),  # path "/" is implied
        ("news.example", ("https://news.example/",), rights),  # its host
        ("pages.example", (), ("ECON", "Economics")),  # two pages, none exact: by the alphabet
        ("www.world.example", (), ("COMT", "Communication Tools")),
        ("world.example", (), UNCATEGORISED),  # www and bare names are separate
        ("own.example", (), ("ZZZ", "A category of their own")),
        ("", (), UNCATEGORISED),
    ):
        assert lists.category_of(domain, inputs) == category, (domain, inputs)


def test_lists_know_where_they_come_from(folder: Path) -> None:
    """A report names the lists it used: digest, size and the latest date in them."""
    lists = load_test_lists(f"{folder}/global.csv, {folder}/kh.csv", "kh")
    assert [(file.name, file.role, file.row_count, file.date) for file in lists.files] == [
        ("global.csv", "general test list", 3, "2024-05-06"),
        ("kh.csv", "country test list", 5, "2021-03-04"),
    ]
    assert lists.is_on_country_list("pages.example")
    assert not lists.is_on_country_list("www.world.example")
    assert lists.is_listed("www.world.example")
    # The note over two lines and the blank line are counted, as an editor counts them.
    lines = {
        role: [one.line for one in lists.entries if one.role == role]
        for role in ("country", "general")
    }
    assert lines == {"country": [2, 3, 4, 6, 8], "general": [2, 3, 4]}


def test_a_bad_list_is_refused_by_file_and_line(tmp_path: Path) -> None:
    """A line that is read wrongly would silently change which sites count as local."""
    for content, message in (
        (b"", "line 1: no column url, category_code"),
        (b"url,category_code\n", "line 1: no column category_description"),
        (HEADER.encode() + b"http://a.org/,NEWS\n", "line 2: 2 cells where the header"),
        (HEADER.encode() + b"ftp://a.org/,NEWS,,,,\n", "line 2: url 'ftp://a.org/'"),
        (HEADER.encode() + b"\nhttp://nohost/,NEWS,,,,\n", "line 3: url 'http://nohost"),
        (HEADER.encode() + b"http://a.org/,news,,,,\n", "line 2: category_code 'news'"),
        (HEADER.encode() + b"http://a.org/,NEWS,,2024-13-01,,\n", "line 2: date_added=2024-13"),
        (HEADER.encode() + b"http://a.org/,NEWS,\xff,,,\n", "line 2: not UTF-8"),
        (HEADER.encode() + b'http://a.org/,"NEWS,,,,\n', "line 2: not CSV"),
        (b"url,url,category_code,category_description\n", "line 1: two columns have the same name"),
    ):
        path = tmp_path / "kh.csv"
        path.write_bytes(content)
        with pytest.raises(ParameterError, match="^" + re.escape(f"TEST_LIST={path}: {message}")):
            load_test_lists(path, "KH")
    # Neither another country's, nor a missing file or a folder without lists is an empty list.
    for place, message in (
        (path, "is the list of KH, not of TH"),
        (tmp_path / "missing.csv", "cannot be read"),
        (tmp_path, r"holds neither th\.csv nor global"),
    ):
        with pytest.raises(ParameterError, match=message):
            load_test_lists(str(place), "TH")


def test_citizen_labs_real_lists_are_read_whole(shared_data: Path) -> None:
    """Every line of the lists of Cambodia and the world counts, under a name that we know."""
    lists = load_test_lists(shared_data / "test-lists", "KH")
    assert [file.row_count for file in lists.files] == [172, 1721]
    assert {entry.category_code for entry in lists.entries} <= set(category_names())
    assert lists.category_of("www.ycc.org.kh") == ("HUMR", "Human Rights Issues")


def test_what_is_local(folder: Path) -> None:
    """The country's top-level domain, its own test list, or a site named with a source."""
    for domain, probe_cc, local in (
        ("ministry.gov.kh", "KH", True),
        ("kh", "KH", True),
        ("kh.example", "KH", False),
        ("notkh", "KH", False),
        ("pages.example", "KH", True),  # on the country list
        ("www.world.example", "KH", False),  # on the global list only
        ("rfa.org", "KH", True),  # in local_sites/kh.yml
        ("xn--e1afmkfd.xn--p1ai", "RU", True),
        ("bbc.co.uk", "GB", True),
        ("a.gb", "GB", False),
        ("a.qq", "QQ", True),
    ):
        lists = load_test_lists(folder if probe_cc == "KH" else None, probe_cc)
        found = is_local(domain, probe_cc, lists, load_local_sites(probe_cc))
        assert found is local, domain


def test_a_local_site_without_reason_or_source_is_refused(tmp_path: Path) -> None:
    """A manual decision that nobody can check does not count; the error names file and line."""
    path = tmp_path / "kh.yml"
    for sites, message in (
        ("sites: [", "not YAML"),
        ("- a.org", "the file must have exactly sources, sites"),
        ("{sources: s, sites: [a]}", "sources must be a mapping"),
        ("{domain: a.org, source: s}", "a site must have exactly domain, reason, source"),
        ("{domain: A.org, reason: r, source: s}", "domain 'A.org' is not a normalised"),
        ("{domain: no, reason: r, source: s}", "domain 'no' is not a normalised"),
        ("{domain: a.org, reason: '', source: s}", "the reason of a.org must be text"),
        ("{domain: a.org, reason: r, source: t}", "source 't' of a.org is not among"),
        (
            "{domain: a.org, reason: r, source: s}, {domain: a.org, reason: r, source: s}",
            "a.org is listed twice",
        ),
    ):
        whole = f"sources: {{s: S}}\nsites: [{sites}]" if sites.startswith("{dom") else sites
        path.write_text(whole, encoding="utf-8")
        with pytest.raises(ParameterError, match=rf"^local_sites=.*kh\.yml: line \d: {message}"):
            load_local_sites("KH", path)


def test_an_unknown_country_is_refused() -> None:
    """A misspelt code would fetch nothing and report a free internet."""
    for value in ("", "K", "KHM", "ZZ", "EU", "UK", "1A", "ＫＨ", "QL", "no such"):
        with pytest.raises(ParameterError, match=r"^PROBE_CC=.*two letters"):
            parse_country(value)


def test_every_shipped_file_names_its_source_and_licence() -> None:
    """Nothing ships that a reader could not trace, and no row of sources.csv is left over."""
    with (REFERENCE / "sources.csv").open(encoding="utf-8", newline="") as file:
        sources = list(csv.DictReader(file))
    assert all(row["source"] and row["licence"] and row["retrieved"] for row in sources)
    patterns = [row["file"] for row in sources]
    shipped = [
        str(path.relative_to(REFERENCE))
        for path in REFERENCE.rglob("*")
        if path.is_file()
        and path.name not in ("README.md", "sources.csv")
        and SNAPSHOTS not in path.parents  # fetched, not shipped; each has its sidecar
    ]
    assert not [name for name in shipped if not any(fnmatch(name, row) for row in patterns)]
    assert not [row for row in patterns if not any(fnmatch(name, row) for name in shipped)]


# --- Which networks count as the country's own: a list first, then words in a network's name. -----

NETWORKS_HEADER = "asn,network,operator,kind,source\n"


def test_a_list_comes_before_a_name(tmp_path: Path) -> None:
    """A name is what probes report; what a person wrote with a source outranks it."""
    path = tmp_path / "mine.csv"
    path.write_text(
        NETWORKS_HEADER
        + "AS10,Campus Hosting Ltd,Campus,isp,their licence\n"
        + "11,Mobile One,,unknown,registry\n",
        encoding="utf-8",
    )
    names = {20: "M247; Europe SRL", 11: "VPN Ltd", 10: "", 12: "", 13: "Rural Net", 0: "x"}
    reported = {asn: {name: 3} for asn, name in names.items()}
    expected = pd.DataFrame(
        [
            (0, "unknown network", "unknown network", "unknown", "none"),
            (10, "Campus Hosting Ltd", "Campus", "isp", "list"),
            (11, "Mobile One", "Mobile One", "mobile", "name rule"),
            (12, "AS12", "AS12", "unknown", "none"),
            (13, "Rural Net", "Rural Net", "unknown", "none"),
            (20, "M247, Europe SRL", "M247, Europe SRL", "vpn", "name rule"),
        ],
        columns=["probe_asn", "network", "operator", "kind", "kind_source"],
    )
    assert_frame_equal(describe(reported, load_networks(path, "QQ")), expected)
    # A registered name is shown where nothing else says one, and moves nothing besides.
    registered = {10: "A", 11: "B", 12: "Twelve VPN Ltd", 13: "C", 20: "D", 0: "E"}
    expected.loc[3, "network"] = "Twelve VPN Ltd"
    assert_frame_equal(describe(reported, load_networks(path, "QQ"), registered), expected)
    # Two days are nobody's name: a number, unless the list has the network, whose word counts.
    few = {asn: {name: 2} for asn, name in names.items()}
    expected.loc[3:, ["network", "operator"]] = [[f"AS{asn}"] * 2 for asn in (12, 13, 20)]
    expected.loc[3:, ["kind", "kind_source"]] = ["few_days", "none"]
    assert_frame_equal(describe(few, load_networks(path, "QQ"), registered), expected)
    assert describe({}, load_networks(None, "QQ")).columns.tolist() == expected.columns.tolist()


def test_words_in_a_name() -> None:
    """Names of real networks, and names that only look like them."""
    for kind, names in {
        "vpn": ("M247 Europe SRL", "Datacamp Limited", "CLOUDFLARENET", "NordVPN S.A."),
        "hosting": (
            "DigitalOcean, LLC",
            "AMAZON-02",
            "Microsoft-Corp-MSN-AS-Block",
            "DAUN PENH DATA CENTER CO., LTD.",
            "Gigabit Hosting Sdn Bhd",
        ),
        "education": ("Royal University of Phnom Penh", "Universität Wien"),
        "mobile": ("T-Mobile Polska", "CAMGSM Company Ltd"),
        "isp": ("Telecom Cambodia (T.C.)",),
        # Words inside other words tell nothing.
        "unknown": (
            "Hostess Travel Network",
            "Automobiles Net",
            "Cloudy Bay Net",
            "Private Customer",
            "Angkor Data Communication",
            "",
        ),
    }.items():
        assert {name: kind_by_name(name) for name in names} == dict.fromkeys(names, kind)


def test_a_hostile_name_becomes_one_short_line() -> None:
    """What a probe calls its network can hold anything, for as long as it likes."""
    assert clean_name(" a\r\n<b>\u202e\x00 c\u2028 ") == "a <b> c"
    assert len(clean_name("x" * 10_000_000)) == 120
    assert clean_name(None) == ""
    assert kind_by_name("vpn" * 100_000) == "vpn"


def test_a_bad_network_list_is_refused(tmp_path: Path) -> None:
    """A network of the wrong kind would lose its verdicts, or give some that are not ours."""
    path = tmp_path / "networks.csv"
    for line, message in (
        ("x,N,O,isp,s", "line 2: asn 'x' is not a number"),
        ("0,N,O,isp,s", "line 2: asn '0' is not a number"),
        ("4294967296,N,O,isp,s", "line 2: asn '4294967296'"),
        ("٣,N,O,isp,s", "line 2: asn '٣'"),
        ("1,N,O,ISP,s", "line 2: kind 'ISP' is none of isp, mobile"),
        ("1,N,O,isp,", "line 2: source is empty"),
        ("1,N,O,isp,s\nAS1,M,P,vpn,s", "line 3: AS1 is listed twice"),
        ("1,N,O,isp", "line 2: 4 cells where the header has 5"),
    ):
        path.write_text(f"{NETWORKS_HEADER}{line}\n", encoding="utf-8")
        with pytest.raises(ParameterError) as error:
            load_networks(path, "KH")
        assert str(error.value).startswith(f"NETWORKS={path}: {message}")


def test_shipped_networks_are_read() -> None:
    """Every country's list is well-formed; Cambodia's names its largest network."""
    for path in sorted((REFERENCE / "networks").glob("*.csv")):
        assert load_networks(None, path.stem).networks
    viettel = load_networks(None, "KH").networks[38623]
    assert (viettel.kind, "Metfone" in viettel.operator) == ("mobile", True)


# --- Known events: read strictly, shown only in their period, and harmless whatever is in them. ---

GOOD = "{date: 2023-07-23, title: Election, kind: election, source: 'https://a.org/b'}"


def _without(key: str, value: str) -> str:
    """A file with one event, one of whose values is another."""
    cells = {"date": "2023-07-23", "title": "T", "kind": "order", "source": "https://a.org/"}
    body = "".join(f"    {name}: {text}\n" for name, text in (cells | {key: value}).items())
    return f"events:\n  -\n{body}"


def test_a_bad_file_is_refused_by_line(tmp_path: Path) -> None:
    """One line that names EVENTS, the file, the line, and what is accepted."""
    path = tmp_path / "events.yml"
    for content, message in (
        ("", "line 1: the file is empty"),
        ("- a", "line 1: the file must have exactly events"),
        ("events:", "line 1: events must be a list"),
        (f"events: [{GOOD}]\nmore: 1", "line 1: the file must have exactly events"),
        (f"events: [{GOOD}]\nevents: []", "line 1: the file must have exactly events"),
        ("events: [", "not YAML: "),
        ("[" * 5000, "not YAML: "),
        ("events: []\n---\nevents: []", "not YAML: "),
        ("events: ['\x00']", "not YAML: "),
        ("\n\ud8ff", "line 2: not UTF-8"),
        ("events: [a]", "line 1: an event must have exactly date, title, kind, source"),
        (f"events:\n- {GOOD}\n- {{date: 2023-07-23}}", "line 3: an event must have exactly"),
        (_without("url", "https://a.org/"), "an event must have exactly"),
        (_without("title", "T\n    title: U"), "line 3: an event must have exactly"),
        (_without("date", "23 July 2023"), "date=23 July 2023: a date is written YYYY-MM-DD"),
        (_without("date", "2023-02-29"), "date=2023-02-29: a date is written"),
        (_without("date", "2023-07-23T00:00:00Z"), "a date is written"),
        (_without("date", "1969-12-31"), "from 1970 to 2999"),
        (_without("title", "''"), "title must be text of 1 to 120 characters"),
        (_without("title", "[a, b]"), "title must be text of 1 to 120 characters"),
        (_without("title", "x" * 121), "title must be text of 1 to 120 characters"),
        (_without("kind", "Order"), "line 5: kind 'Order' is none of order, licence, law, "),
        (_without("source", "http://a.org/"), "source 'http://a.org/' is not an https:// address"),
        (_without("source", "javascript:alert(1)"), "is not an https:// address"),
        (_without("source", "https://a.org/ b"), "is not an https:// address"),
        (_without("source", "https://user@a.org/"), "is not an https:// address"),
        (_without("source", "!!python/object/apply:os.system [id]"), "source '' is not an https"),
        (_without("source", "invented"), "source 'invented' is not an https:// address"),
        (f"events:\n- {GOOD}\n- {GOOD.replace('Ele', 'ELE')}", "line 3: the same day and title"),
    ):
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
        with pytest.raises(ParameterError, match=rf"^EVENTS={path}: .*{re.escape(message)}"):
            load_events(path, "KH")


def test_events_are_those_of_the_half_open_period() -> None:
    """The first day is in, the day after the last is not; they come by day and know their file."""
    listed = load_events(None, "KH")
    period = Period.parse("2023-02-13", "2023-07-23")
    assert [(event.day, event.kind) for event in listed.within(period)] == [
        (date(2023, 2, 13), "incident"),
        (date(2023, 2, 13), "licence"),
        (date(2023, 7, 12), "order"),
        (date(2023, 7, 17), "incident"),
    ]
    assert list(listed.events) == sorted(listed.events)
    assert [(file.name, file.row_count, file.date) for file in listed.files] == [
        ("kh.yml", 7, "2024-02-25"),
        ("ooni-incidents.csv", 2, "2023-07-17"),
    ]


def test_shipped_events_are_read() -> None:
    """Every country file is well-formed, has events, and its name is a country's."""
    files = sorted((REFERENCE / "events").glob("*.yml"))
    assert files
    assert all(load_events(None, path.stem).events for path in files)


def test_incidents_that_ooni_published_are_events_of_their_country() -> None:
    """Every row is of a country, has days in order, and names networks and sites as pages do."""
    with (REFERENCE / "events" / "ooni-incidents.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    codes = sorted({row["probe_cc"] for row in rows})
    known = [event for code in codes for event in load_events(None, code).events]
    incidents = [event for event in known if event.kind == "incident"]
    assert len(incidents) == len(rows) == len({event.source for event in incidents}) == 67
    assert set(codes) <= set(countries())
    for event in incidents:
        assert len(event.title) <= 120
        assert not event.last_day or event.last_day >= event.day.isoformat()
        assert all(re.fullmatch(r"AS[1-9]\d*", asn) for asn in event.probe_asns)
        assert all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name) for name in event.domains)
    # a country without a file of its own
    (wikipedia,) = load_events(None, "pk").within(Period.parse("2023-02-01", "2023-02-02"))
    assert wikipedia == Event(
        date(2023, 2, 1),
        "Blocked according to OONI: Wikipedia",
        "incident",
        "https://explorer.ooni.org/findings/352315080001",
        "2023-02-06",
        ("AS9541", "AS17557", "AS23674", "AS59257", "AS136525"),
        ("www.wikipedia.org",),
    )
    assert event_table([wikipedia])["last_day"].tolist() == ["2023-02-06"]


def test_no_file_is_no_event_and_a_given_one_replaces_the_shipped(tmp_path: Path) -> None:
    """A country without a file says nothing; a misspelt path is not such a country."""
    assert load_events(None, "NO") == load_events("", "QQ") == EventList()
    own = tmp_path / "own.yml"
    own.write_text("events: []")
    assert load_events(own, "KH").events == ()
    own.write_text(f"events: [{GOOD}]", encoding="utf-8-sig")
    assert [event.title for event in load_events(own, "KH").events] == ["Election"]
    with pytest.raises(ParameterError, match=r"^EVENTS=.*cannot be read: no such file"):
        load_events(tmp_path / "missing.yml", "NO")


def test_the_simulated_events_pass_for_a_fictional_country_only(tmp_path: Path) -> None:
    """What is invented cannot stand in a report on a real country."""
    path = tmp_path / "reference" / "events.yml"
    write_events(path, date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1))
    assert [event.source for event in load_events(path, "QQ").events] == ["invented"] * 3
    with pytest.raises(ParameterError, match="is not an https"):
        load_events(path, "KH")


def test_outages_are_marked(tmp_path: Path) -> None:
    """On the network and inside the days; a wrong line is named, and nothing else changes."""
    path = tmp_path / "outages.csv"
    path.write_text("since,until,probe_asn,source\n2024-03-01,2024-03-05,AS1,IODA\n", "utf-8")
    rows = [
        (1, "2024-03-01", "2024-03-04", "old"),
        (1, "2024-03-01", "2024-03-05", ""),
        (2, "2024-03-01", "2024-03-04", ""),
    ]
    columns = ["probe_asn", "blocked_from", "last_seen_blocked", "note"]
    marked = mark_outages(dated(rows, columns), load_outages(path))
    said = "old; inside an outage recorded from 2024-03-01 to 2024-03-04 (IODA)"
    assert marked["note"].tolist() == [said, "", ""]
    for days, rest in (
        ("2024-03-05,2024-03-05", ",x"),
        ("2024-03-01,2024-03-02", "ASx,x"),
        ("a,b", ",x"),
        ("2024-03-01,2024-03-02", ","),
    ):
        path.write_text(f"since,until,probe_asn,source\n{days},{rest}\n", "utf-8")
        with pytest.raises(ParameterError, match=r"OUTAGES=.*line 2: "):
            load_outages(path)


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    """Of 100 MB that it may have, each read reserved all."""
    (path := tmp_path / "list.csv").write_bytes(b"x" * 10)
    tracemalloc.start()
    assert read_file(path, "TEST_LIST") == b"x" * 10
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    for size in (5, 9):
        with pytest.raises(ParameterError, match="is larger than"):
            read_file(path, "TEST_LIST", size)
