"""One spelling per site and per address, whatever a probe wrote."""

from hypothesis import given
from hypothesis import strategies as st

from analysis.hosts import canonical, normalise, registrable_domain, special_kind


def test_a_site_has_one_spelling() -> None:
    """Case, port, user, path, trailing dot and script make no other site."""
    spellings = {
        "https://WWW.Example.ORG:8443/a?b#c": "www.example.org",
        "http://user:secret@example.org./": "example.org",
        "  example.org\n": "example.org",
        "http://пример.рф/": "xn--e1afmkfd.xn--p1ai",
        "http://XN--E1AFMKFD.xn--p1ai": "xn--e1afmkfd.xn--p1ai",
        "http://bücher.example/": "xn--bcher-kva.example",
        "http://93.184.216.34:80/": "93.184.216.34",
        "http://[2001:0DB8::0001]:443/": "2001:db8::1",
        "2001:0DB8::0001": "2001:db8::1",
        "http://[::ffff:93.184.216.34]/": "93.184.216.34",
        "http://a_b.example.org/": "a_b.example.org",
    }
    assert {written: normalise(written) for written in spellings} == spellings


def test_what_names_no_site_is_empty() -> None:
    """An impossible name gets no row of its own."""
    for written in (
        "", "http://", "http:///path", "localhost", "http://-a.org/", "http://a-.org/",
        "http://a..org/", "http://a b.org/", "http://[::1", "http://<script>.org/",
        "http://%00.org/", f"http://{'a' * 64}.org/", f"http://{'a.' * 130}org/", "x" * 10_000,
        "http://=cmd|.org/", "http://a\u202e.org/",
    ):  # fmt: skip
        assert normalise(written) == "", written


@given(st.one_of(st.text(max_size=80), st.from_regex(r"(https?://)?[\w.:@\[\]%-]{1,40}(/.*)?")))
def test_a_normalised_name_stays_as_it_is(text: str) -> None:
    """Normalising is idempotent and never raises; what comes out is harmless ASCII."""
    host = normalise(text)
    assert normalise(host) == host
    assert host.isascii()
    assert host == host.lower()
    assert not set(host) & set(" \t\r\n'\"<>=|/\\@")


def test_registrable_domain() -> None:
    """What somebody registered, by the Public Suffix List."""
    registered = {
        "www.news.example.co.uk": "example.co.uk",
        "example.com.kh": "example.com.kh",
        "a.blogspot.com": "a.blogspot.com",
        "co.uk": "co.uk",  # a suffix: nobody registered it
        "192.0.2.7": "192.0.2.7",
        "2001:db8::1": "2001:db8::1",
    }
    assert {host: registrable_domain(host) for host in registered} == registered


def test_special_addresses() -> None:
    """No public site has one of these; documentation ranges pass as public for every country."""
    kinds = {
        "0.0.0.0": "zero", "127.0.0.1": "loopback", "10.10.10.1": "private",
        "172.31.255.255": "private", "172.32.0.0": None, "192.168.1.1": "private",
        "100.64.0.1": "cgn", "100.128.0.0": None, "169.254.1.1": "link_local",
        "198.18.0.1": "reserved", "224.0.0.1": "multicast", "255.255.255.255": "reserved",
        "::": "zero", "::1": "loopback", "fd00::1": "private", "fe80::1": "link_local",
        "::ffff:127.0.0.1": "loopback", "8.8.8.8": None, "2606:4700::1111": None,
        "192.0.2.1": None, "198.51.100.1": None, "203.0.113.1": None, "2001:db8::1": None,
        "[scrubbed]": None, "": None, "1.2.3": None, "9" * 1000: None,
    }  # fmt: skip
    assert {address: special_kind(address) for address in kinds} == kinds


def test_an_address_has_one_spelling() -> None:
    """Two spellings of one address would be two answers."""
    spellings = {
        "2001:DB8:0:0::1": "2001:db8::1",
        "fe80::1%eth0": "fe80::1",
        "::ffff:10.0.0.1": "10.0.0.1",
        "010.0.0.1": None,  # octal or decimal: nobody knows
        "[scrubbed]": None,
        "example.org": None,
    }
    assert {written: canonical(written) for written in spellings} == spellings
