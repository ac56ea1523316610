"""Host names, addresses that no public site can have, and file names of site pages.

Host names are compared in lower case, without a trailing dot, port or user, in their ASCII
(IDNA) form. A name with ``www.`` and one without are two sites with one registrable domain.
"""

import hashlib
import re
import unicodedata
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

# IANA special-purpose registries (RFC 6890 and its updates), without the documentation ranges of
# RFC 5737 and RFC 3849: fictional archives use these as public addresses, and no code may treat a
# fictional country differently from a real one.
_SPECIAL = [
    ("zero", "0.0.0.0/8"),
    ("loopback", "127.0.0.0/8"),
    ("private", "10.0.0.0/8"),
    ("private", "172.16.0.0/12"),
    ("private", "192.168.0.0/16"),
    ("cgn", "100.64.0.0/10"),
    ("link_local", "169.254.0.0/16"),
    ("reserved", "192.0.0.0/24"),
    ("reserved", "198.18.0.0/15"),
    ("multicast", "224.0.0.0/4"),
    ("reserved", "240.0.0.0/4"),
    ("zero", "::/128"),
    ("loopback", "::1/128"),
    ("private", "fc00::/7"),
    ("link_local", "fe80::/10"),
    ("multicast", "ff00::/8"),
]
_ADDRESS_LENGTH = 64  # characters
#: RFC 6052: IPv6 addresses that stand for IPv4 addresses in a network without IPv4.
_NAT64 = IPv6Network("64:ff9b::/96")
#: Kinds of special-purpose addresses.
SPECIAL_KINDS = tuple(dict.fromkeys(kind for kind, _ in _SPECIAL))
_NETWORKS: list[tuple[str, IPv4Network | IPv6Network]] = [
    (kind, ip_network(network)) for kind, network in _SPECIAL
]


def canonical(text: str) -> str | None:
    """Return an address in its canonical spelling, or None if ``text`` is not one (``[scrubbed]``).

    An IPv4 address mapped into IPv6, or translated by NAT64, is returned as IPv4, because it is the
    same server. A zone (``%eth0``) is dropped.
    """
    # Long texts are refused before the cache, which would keep them.
    return _canonical(text) if len(text) <= _ADDRESS_LENGTH else None


@lru_cache(maxsize=1 << 15)
def _canonical(text: str) -> str | None:
    address = _parse(text)
    return None if address is None else str(address)


@lru_cache(maxsize=1 << 15)
def special_kind(text: str) -> str | None:
    """Return the kind of a special-purpose address (a bogon), or None for a public one.

    Kinds: zero, loopback, private, cgn, link_local, multicast, reserved.
    """
    address = _parse(text)
    if address is None:
        return None
    for kind, network in _NETWORKS:
        if address.version == network.version and address in network:
            return kind
    return None


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return _embedded(address) if isinstance(address, IPv6Address) else address


def _embedded(address: IPv6Address) -> IPv4Address | IPv6Address:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_CACHED = 512  # characters of a URL


def normalise(url: str) -> str:
    """Return the host name of a URL, or of a bare host name, in its canonical spelling.

    Returns:
        A lower-case ASCII host name, an address in canonical spelling, or ``""`` if there is no
        usable host: impossible labels, over 253 characters, not a URL.
    """
    # Long URLs hardly ever repeat, so caching them would only cost memory.
    return _cached(url) if len(url) <= _CACHED else _normalise(url)


def _normalise(url: str) -> str:
    if len(url) > 8192:
        return ""
    text = url.strip()
    bare = canonical(text)
    if bare is not None:  # an IPv6 address without brackets, which is not a URL
        return bare
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""
    address = canonical(host)
    if address is not None:
        return address
    host = host.rstrip(".").lower()
    # Checked before the slow IDNA encoding; NFKC may expand one character to eighteen.
    if len(host) > 253 or len(unicodedata.normalize("NFKC", host)) > 253:
        return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    if len(host) > 253 or "." not in host:
        return ""
    return host if all(_LABEL.fullmatch(label) for label in host.split(".")) else ""


_cached = lru_cache(maxsize=1 << 14)(_normalise)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # slow to read, and most commands and notebooks do not need it


def as_written(host: str) -> str:
    """Return a host name in the letters of its language, such as bücher for ``xn--bcher-kva``."""
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return host


#: The placeholder of a withheld name (``reference.withheld``), and of a host under it.
_PLACEHOLDER = re.compile(r"(?:.+\.)?(withheld-[1-9][0-9]*)", re.ASCII)


def is_placeholder(host: str) -> bool:
    """Test whether a host name is the placeholder of a withheld name."""
    return _PLACEHOLDER.fullmatch(host) is not None


@lru_cache(maxsize=1 << 14)
def registrable_domain(host: str) -> str:
    """Return the registrable domain by the Public Suffix List, or the host itself if none fits."""
    if canonical(host) is not None:
        return host
    if placeholder := _PLACEHOLDER.fullmatch(host):
        return placeholder[1]
    return _suffixes().privatesuffix(host) or host


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_NAME_LENGTH = 60


@lru_cache(maxsize=1 << 14)
def _digest(domain: str) -> str:
    return hashlib.sha256(domain.encode("utf-8", "surrogatepass")).hexdigest()


def site_file(domain: str) -> str:
    """Return the file name of a site's page: readable, and safe in any file system.

    A long name is not cut, because what remains of it could be another site's name.
    """
    name = _UNSAFE.sub("", domain)
    return f"{name if len(name) <= _NAME_LENGTH else 'site'}-{_digest(domain)[:8]}.html"


def site_anchor(domain: str) -> str:
    """Return the id of a site's row in ``sites/index.html``, which no other name can share."""
    return f"s-{_digest(domain)[:16]}"
