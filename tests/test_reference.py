"""Reference data: what ships is well-formed and sourced; what a person hands in is checked."""

import csv
import re
from fnmatch import fnmatch
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from analysis.errors import ParameterError
from analysis.reference.reference_files import (
    REFERENCE,
    capital_zone,
    countries,
    country_name,
    country_tlds,
    is_fictional,
    parse_country,
)
from analysis.reference.snapshots import SNAPSHOTS
from analysis.reference.test_lists import (
    UNCATEGORISED,
    TestLists,
    category_names,
    is_local,
    load_local_sites,
    load_test_lists,
)

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
    lines = {role: [one.line for one in lists.entries if one.role == role]
             for role in ("country", "general")}  # fmt: skip
    assert lines == {"country": [2, 3, 4, 6, 8], "general": [2, 3, 4]}


def test_the_same_file_counts_once_and_no_file_is_no_list(folder: Path) -> None:
    """A folder beside one of its files doubles nothing; without lists nothing is categorised."""
    assert len(load_test_lists([folder, folder / "kh.csv"], "KH").files) == 2
    assert load_test_lists([], "KH") == load_test_lists("", "KH") == TestLists("KH")


def test_a_bad_list_is_refused_by_file_and_line(tmp_path: Path) -> None:
    """A line that is read wrongly would silently change which sites count as local."""
    for content, message in (
        (b"", "line 1: no column url, category_code"),
        (b"url,category_code\n", "line 1: no column category_description"),
        (HEADER.encode() + b"http://a.org/,NEWS\n", "line 2: 2 cells where the header"),
        (HEADER.encode() + b"ftp://a.org/,NEWS,,,,\n", "line 2: url 'ftp://a.org/'"),
        (HEADER.encode() + b"\nhttp://nohost/,NEWS,,,,\n", "line 3: url 'http://nohost"),
        (HEADER.encode() + b"http://a.org/,news,,,,\n", "line 2: category_code 'news'"),
        (HEADER.encode() + b"http://a.org/,NEWS,,2024-13-01,,\n", "line 2: date_added '2024-13"),
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
        (path, "is the list of KH, not of TH"), (tmp_path / "missing.csv", "cannot be read"),
        (tmp_path, r"holds neither th\.csv nor global"),
    ):  # fmt: skip
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
        ("{domain: a.org, reason: r, source: s}, {domain: a.org, reason: r, source: s}",
         "a.org is listed twice"),
    ):  # fmt: skip
        whole = f"sources: {{s: S}}\nsites: [{sites}]" if sites.startswith("{dom") else sites
        path.write_text(whole, encoding="utf-8")
        with pytest.raises(ParameterError, match=rf"^local_sites=.*kh\.yml: line \d: {message}"):
            load_local_sites("KH", path)


def test_an_unknown_country_is_refused() -> None:
    """A misspelt code would fetch nothing and report a free internet."""
    for value in ("", "K", "KHM", "ZZ", "EU", "UK", "1A", "ＫＨ", "QL", "no such"):
        with pytest.raises(ParameterError, match=r"^PROBE_CC=.*two letters"):
            parse_country(value)


def test_countries() -> None:
    """ISO 3166-1 has 249 codes, Kosovo uses one more; fictional codes are none of them."""
    assert len(countries()) == 250
    assert (parse_country(" kh "), country_tlds("GB")) == ("KH", ("uk",))
    assert [country_name(cc) for cc in ("KH", "qq")] == ["Cambodia", "Fictional country QQ"]
    assert [capital_zone(cc) and str(capital_zone(cc)) for cc in ("KE", "RU", "AQ", "QQ")] == [
        "Africa/Nairobi", "Europe/Moscow", None, None,
    ]  # fmt: skip
    assert {country.zone for country in countries().values()} - {""} <= available_timezones()
    fictional = [cc for a in "ABQZ" for b in "ALMNQZ" if is_fictional(cc := a + b)]
    assert fictional == ["AA", "QM", "QN", "QQ", "QZ"]
    assert not any(is_fictional(cc) for cc in countries())


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
