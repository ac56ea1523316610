"""One topic in several countries, each judged as in its own report."""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from html import unescape
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import stamina

from analysis.errors import ParameterError
from analysis.reference import withheld
from analysis.reference.topics import Topic, read_topic
from tests.archives import contents, put_lines, read_csv
from tests.conftest import Command
from tests.measurements import site_test

# what a topic is --------------------------------------------------------------------------------


def test_a_name_stands_for_the_names_below_it() -> None:
    topic = read_topic(" https://www.News.example/path ,NEWS, blog.example")
    assert topic == Topic(("news.example", "blog.example"), ("NEWS",))
    for domain in ("news.example", "www.news.example", "m.news.example"):
        assert topic.covers(domain, "")
    assert topic.covers("other.example", "NEWS")
    for domain in ("badnews.example", "example", "news.example.org", ""):
        assert not topic.covers(domain, "HUMR"), domain


def test_words_of_an_incident_stand_for_its_sites() -> None:
    names = set(read_topic("proton vpn").names)
    assert {"protonvpn.com", "api.protonvpn.ch"} <= names


@pytest.mark.parametrize(
    "content",
    [
        "news.example\n\n# a comment\nblog.example  # another\n",
        "url,category_code,notes\nhttps://news.example/,NEWS,\nhttp://www.blog.example/,NEWS,x\n",
    ],
    ids=["names", "test list"],
)
def test_a_file_of_sites(content: str, tmp_path: Path) -> None:
    file = tmp_path / "sites.txt"
    file.write_text(content, encoding="utf-8")
    assert read_topic(str(file)).names == ("news.example", "blog.example")


@pytest.mark.parametrize(
    "text", ["", " , ", "NOTHING", "\x1b[2J", "a.example," * 2_001, "...", "no/such.txt"]
)
def test_what_is_no_topic_is_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        read_topic(text)


# three countries --------------------------------------------------------------------------------

_SITES = ("one.example", "two.example")
_USUAL = tuple(f"usual{number}.example" for number in range(8))
_DAYS = 12


def _lines(probe_cc: str, day_count: int, blocked: tuple[str, ...]) -> Iterator[bytes]:
    """A session a day on each of two networks; it tests all sites."""
    for day, asn in product(range(day_count), ("AS64500", "AS64501")):
        start = date(2024, 7, 1) + timedelta(day)
        for minute, host in enumerate((*_SITES, *_USUAL)):
            yield json.dumps(
                site_test(f"https://{host}/", host, host in blocked)
                | {
                    "probe_cc": probe_cc,
                    "probe_asn": asn,
                    "resolver_asn": asn,
                    "report_id": f"{start:%Y%m%d}T100000Z_webconnectivity_{probe_cc}_{asn}",
                    "measurement_start_time": f"{start} 10:{minute:02}:00",
                }
            ).encode()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QR blocks both sites, QS was tested too rarely, and there is nothing of QT."""
    folder = tmp_path_factory.mktemp("topic") / "archive"
    put_lines(folder, _lines("QR", _DAYS, _SITES), "QR")
    put_lines(folder, _lines("QS", 3, ()), "QS")
    return folder


def _arguments(source: object, folder: Path, *more: str) -> list[str]:
    return [
        "SITES=one.example,two.example,nowhere.example",
        "SINCE=2024-07-01",
        "UNTIL=2024-08-01",
        f"SOURCE={source}",
        f"STORE={folder / 'store'}",
        f"OUT={folder / 'out'}",
        "JOBS=1",
        *more,
    ]


def _text(out: Path) -> str:
    """What a reader sees of the page."""
    text = (out / "index.html").read_text(encoding="utf-8").partition("<main")[2]
    return " ".join(unescape(re.sub("<[^>]+>", " ", text)).split())


def test_all_blocked_hardly_tested_and_nothing_there(
    archive: Path, tmp_path: Path, command: Command
) -> None:
    """Each is named for what it is, in the order of the codes, and twice in the same bytes."""
    arguments = _arguments(archive, tmp_path, "COUNTRIES=qt,QR,QS")
    status, said, wrong = command("topic", *arguments)
    assert status == 0, said + wrong
    countries = read_csv(tmp_path / "out" / "tables" / "topic_countries.csv").set_index("probe_cc")
    assert countries["reading"].to_dict() == {
        "QR": "judged",
        "QS": "judged",
        "QT": "no_measurement",
    }
    assert countries["blocked_domain_count"].to_dict() == {"QR": "2", "QS": "0", "QT": "0"}
    assert countries["told_domain_count"].to_dict() == {"QR": "2", "QS": "0", "QT": "0"}
    text = _text(tmp_path / "out")
    told = (
        "Tested in none of these countries, so that nothing can be said of them: nowhere.example.",
        "Fictional country QR 2 2 2 0 2 2 2024-07-01 0 At least one was blocked on the first of "
        "these days; since when is not known.",
        "Fictional country QS 2 0 2 0 0 0 – 4 Too few tests of each site on each network.",
        "Fictional country QT 0 0 0 0 0 0 – 0 The source has no measurement of these days.",
    )
    places = [text.index(sentence) for sentence in told]
    assert places == sorted(places)
    assert "QT: " in said + wrong
    before = contents(tmp_path / "out")
    assert command("topic", *arguments)[0] == 0
    assert contents(tmp_path / "out") == before
    package = json.loads(before["tables/datapackage.json"])
    assert [one["path"] for one in package["resources"]] == [
        "topic_countries.csv",
        "topic_intervals.csv",
        "topic_sites.csv",
        "topic_verdicts.csv",
    ]
    assert package["name"] == "internet-censorship-qr-qs-qt-2024-07-01"


def test_a_server_is_asked_only_if_that_is_wanted(tmp_path: Path, command: Command) -> None:
    """What the store lacks is named, with the command that fetches it."""
    source = "http://127.0.0.1:9/archive"
    arguments = _arguments(source, tmp_path, "COUNTRIES=QR,QS")
    status, said, wrong = command("topic", *arguments)
    assert (status, wrong) == (0, ""), said + wrong
    countries = read_csv(tmp_path / "out" / "tables" / "topic_countries.csv").set_index("probe_cc")
    assert set(countries["reading"]) == {"not_stored"}
    fetches = f"make ingest PROBE_CC=QS SINCE=2024-07-01 UNTIL=2024-08-01 SOURCE={source}"
    assert countries.loc["QS", "command"] == fetches
    assert fetches in _text(tmp_path / "out")
    with stamina.set_testing(True, attempts=2):
        status, said, wrong = command("topic", *arguments, "FETCH=1")
    assert status == 0
    assert "QR: " in said + wrong


def test_verdicts_are_those_of_the_countrys_own_report(
    fictional_report: Path, tmp_path: Path, command: Command
) -> None:
    """Row by row, and so are the stretches."""
    status, said, wrong = command(
        "topic",
        "SITES=NEWS,gisevi-rainbow.example,GMB",
        "COUNTRIES=QQ",
        f"STORE={fictional_report.parent / 'store'}",
        f"OUT={tmp_path / 'out'}",
    )
    assert status == 0, said + wrong
    for name, own in (("topic_verdicts", "verdicts"), ("topic_intervals", "blocking_intervals")):
        found = read_csv(tmp_path / "out" / "tables" / f"{name}.csv")
        whole = read_csv(fictional_report / "tables" / f"{own}.csv")
        if own == "verdicts":
            whole = whole[whole["period"] == "all"]
        expected = whole[whole["domain"].isin(found["domain"])].reset_index(drop=True)
        assert len(expected) > 20
        pd.testing.assert_frame_equal(found[list(whole)], expected)
    sites = read_csv(fictional_report / "tables" / "sites.csv").set_index("domain")
    found = read_csv(tmp_path / "out" / "tables" / "topic_sites.csv").set_index("domain")
    codes = sites["category_code"]
    assert set(found.index) == {*codes[codes.isin(["NEWS", "GMB"])].index, "gisevi-rainbow.example"}
    listed = set(read_csv(fictional_report / "tables" / "blocked_sites.csv")["domain"])
    is_listed = found["state"].isin(["blocked", "likely_blocked"])
    assert set(found.index[is_listed]) == listed & set(found.index)
    assert (found.loc[is_listed, "reason"] == "").all()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (["SITES="], "SITES"),
        (["COUNTRIES="], "COUNTRIES"),
        (["COUNTRIES=QR,XX"], "PROBE_CC"),
        (["STATUS=Final"], "STATUS"),
        (["FETCH=2"], "FETCH"),
        (["UNTIL=2024-06-01"], "UNTIL"),
    ],
)
def test_a_wrong_parameter_is_named_before_anything_is_read(
    changes: list[str], names: str, archive: Path, tmp_path: Path, command: Command
) -> None:
    arguments = _arguments(archive, tmp_path, "COUNTRIES=QR,QS", *changes)
    status, said, wrong = command("topic", *arguments)
    assert status == 2, said + wrong
    assert names in wrong
    assert not (tmp_path / "store").exists()


# from watch to topic ----------------------------------------------------------------------------


def test_several_countries_have_one_page_and_one_feed(
    archive: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each keeps its record; one of which there is nothing does not hinder the others."""
    arguments = [
        "PROBE_CC=QR,QT,QS",
        "SINCE=2024-07-01",
        "UNTIL=2024-08-01",
        f"SOURCE={archive}",
        f"STORE={tmp_path / 'store'}",
        f"OUT={tmp_path / 'out'}",
        "JOBS=1",
    ]
    for until in ("2024-07-03", "2024-08-01"):  # before and after what is listed later
        arguments[2] = f"UNTIL={until}"
        status, said, wrong = command("watch", *arguments)
        assert status == 3, said + wrong  # of QT there is nothing
        assert "QT: " in said + wrong
    every, own = tmp_path / "out" / "all", tmp_path / "out" / "qr"
    news = read_csv(every / "tables" / "watch_countries.csv")
    assert set(news["probe_cc"]) == {"QR"}
    alone = read_csv(own / "tables" / "watch.csv")
    pd.testing.assert_frame_equal(news[list(alone)], alone)
    ids = {}
    for folder in (every, own):
        feed = ElementTree.parse(folder / "watch.atom.xml").getroot()
        ids[folder] = [node.text for node in feed.iter("{http://www.w3.org/2005/Atom}id")]
    assert ids[every][1:] == ids[own][1:] != []
    page_text = (every / "watch.html").read_text(encoding="utf-8")
    assert page_text.index("Fictional country QR</h2>") < page_text.index(
        "Fictional country QS</h2>"
    )
    # what one country withholds, no row of another may name
    decision = "{item: one.example, decision: withhold, date: 2024-08-01}"
    monkeypatch.setattr(withheld, "REVIEWS", tmp_path)
    (tmp_path / "qs.yml").write_text(f"probe_cc: QS\ndecisions:\n- {decision}\n", encoding="utf-8")
    assert command("watch", *arguments)[0] in (3, 10)
    for name, content in contents(every).items():
        assert b"one.example" not in content, name
    assert b"two.example" in contents(every)["watch.html"]
    (tmp_path / "qs.yml").unlink()
    status, said, wrong = command("watch", *(one.replace("QT,", "") for one in arguments))
    assert status == 0, said + wrong  # nothing is new
