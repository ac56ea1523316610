"""Fingerprints: reading OONI's lists and finding patterns without being stalled by a page."""

import pickle
from pathlib import Path

import pytest

from analysis.errors import ParameterError
from analysis.observations.fingerprints import Fingerprint, Fingerprints, load

_HEADER = "name,scope,location_found,pattern_type,pattern,expected_countries\n"


def _http(name: str, location: str, kind: str, pattern: str, scope: str = "prod") -> Fingerprint:
    return Fingerprint(name, scope, location, kind, pattern, ("QQ",))


def test_a_pattern_is_found_where_its_type_says():
    """Literals anywhere, at the start or as the whole; regular expressions within one line.

    An expression of more than literals, ``.`` and ``.*`` is left out rather than run, and said.
    """
    gate = r"You don.t have.*on this server\."
    for kind, pattern, content, is_found in (
        ("contains", "Restricted", b"<h1>Restricted</h1>", True),
        ("contains", "Restricted", b"<h1>restricted</h1>", False),
        ("contains", "បិទ", "<p>បិទហើយ</p>".encode(), True),
        ("prefix", "<html>No", b"<html>No entry", True),
        ("prefix", "<html>No", b" <html>No entry", False),
        ("full", "<html></html>", b"<html></html>", True),
        ("full", "<html></html>", b"<html></html>\n", False),
        ("regexp", gate, b"You don't have x on this server.", True),
        ("regexp", gate, b"You don't have\non this server.", False),
        ("regexp", gate, b"on this server. You don't have", False),
        ("regexp", r"a+(b|c)", b"aab", False),
        ("regexp", r"x(y)", b"x(y)", False),
        ("regexp", r"x\(y", b"x(y", True),
    ):
        fingerprints = Fingerprints(http=(_http("f", "body", kind, pattern),))
        assert fingerprints.left_out == (("f",) if "(y)" in pattern or "+" in pattern else ())
        assert fingerprints.match("body", content) == (["f"] if is_found else []), content


def test_all_patterns_of_a_place_are_found_in_one_pass_even_if_they_overlap():
    """One pattern inside another hides neither; other places are not looked at."""
    fingerprints = Fingerprints(
        http=(
            _http("long", "body", "contains", "access is denied"),
            _http("short", "body", "contains", "is denied"),
            _http("header", "header.server", "contains", "denied"),
        )
    )
    assert fingerprints.match("body", b"your access is denied") == ["long", "short"]
    assert fingerprints.match("header.server", b"denied") == ["header"]
    assert fingerprints.header_names == {"server"}


def test_a_page_cannot_stall_a_regular_expression():
    """Time grows with the page; a backtracking matcher would take days, and the run stop there."""
    pattern = _http("f", "body", "regexp", "URL .* Sp.*er Gate")
    page = b"er Gate" + b"URL " * 100_000 + b" Sp" * 100_000
    assert Fingerprints(http=(pattern,)).match("body", page) == []


def test_one_match_confirms_by_country_or_by_scope():
    """OONI's rule joins the two with "or"."""
    for scope, countries, probe_cc, is_confirmed in (
        ("prod", ("QQ",), "QQ", True),
        ("prod", ("QM",), "QQ", False),
        ("prod", (), "QQ", False),
        ("isp", ("QM",), "QQ", True),
        ("nat", (), "QQ", True),
        ("fp", (), "QQ", False),
        ("prod", ("ZZ",), "ZZ", False),
    ):
        known = Fingerprints(dns=(Fingerprint("f", scope, "dns", "full", "x", countries),))
        assert known.confirms(["unheard of", "f"], probe_cc) is is_confirmed, (scope, countries)


def test_lists_are_read_with_their_multi_line_cells(tmp_path: Path):
    """A quoted cell over two lines is one pattern; a row's order does not change the digest."""
    rows = [
        'a,nat,body,contains,"first line\nsecond ""line""","QQ, qm ,ZZ"\n',
        "b,isp,header.Location,prefix,http://203.0.113.9/,\n",
    ]
    for name, order in (("one", rows), ("two", rows[::-1])):
        (tmp_path / name).mkdir()
        text = _HEADER + "".join(order)
        (tmp_path / name / "fingerprints_http.csv").write_text(text, encoding="utf-8", newline="")
    one, two = load(str(tmp_path / "one")), load(str(tmp_path / "two"))
    assert one.http[0].pattern == 'first line\nsecond "line"'
    assert one.http[0].expected_countries == ("QM", "QQ")
    assert one.match("header.location", b"http://203.0.113.9/?u=x") == ["b"]
    assert one.digest == two.digest != Fingerprints().digest
    assert pickle.loads(pickle.dumps(one)).match("body", b'first line\nsecond "line"') == ["a"]


def test_a_list_that_cannot_be_used_is_refused(tmp_path: Path):
    """The error names the parameter and what is accepted."""
    with pytest.raises(ParameterError, match="a folder with fingerprints_dns"):
        load(str(tmp_path))
    for content, message in (
        ("name,pattern\n", "lacks the columns"),
        (_HEADER + "a,nat,body,glob,x,QQ\n", "row 'a': pattern_type must be one of"),
    ):
        (tmp_path / "fingerprints_http.csv").write_text(content)
        with pytest.raises(ParameterError, match=f"^FINGERPRINTS=.*{message}"):
            load(str(tmp_path))


def test_oonis_lists_are_read_whole(shared_data: Path):
    """Every row of the real lists is usable, and no folder means no list."""
    real = load(str(shared_data / "fingerprints"))
    assert (len(real.dns), len(real.http)) == (226, 1729)
    page = b"<html>it-security-operations@etisalat.ae</html>"
    assert "ooni.ae_3" in real.match("body", page)
    assert load(None).is_empty
    assert not real.is_empty
