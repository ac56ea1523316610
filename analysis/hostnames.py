"""One spelling per site (guard G11 of the method: one site, one row).

Host names are compared in lower case, without a trailing dot, port or user, in their ASCII
(IDNA) form. ``www`` and the bare name stay apart; they share a registrable domain.
"""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

from analysis.addresses import canonical

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_CACHED = 512  # characters of a URL
_SUFFIXES = PublicSuffixList()


def normalise(url: str) -> str:
    """The host name of a URL or of a bare host name, in its one spelling.

    Returns:
        A lower-case ASCII host name, an address in canonical text, or ``""`` where there is no
        usable host: impossible labels, over 253 characters, not a URL.
    """
    # A cache of long ones would be a cache of what is never seen again.
    return _cached(url) if len(url) <= _CACHED else _normalise(url)


def _normalise(url: str) -> str:
    if len(url) > 8192:
        return ""
    text = url.strip()
    bare = canonical(text)
    if bare is not None:  # an IPv6 address without brackets is no URL, yet names a host
        return bare
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""
    address = canonical(host)
    if address is not None:
        return address
    host = host.rstrip(".").lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return ""
    if len(host) > 253 or "." not in host:
        return ""
    return host if all(_LABEL.fullmatch(label) for label in host.split(".")) else ""


_cached = lru_cache(maxsize=1 << 14)(_normalise)


@lru_cache(maxsize=1 << 14)
def registrable_domain(host: str) -> str:
    """The name somebody registered, by the Public Suffix List; the host itself if there is none."""
    if canonical(host) is not None:
        return host
    return _SUFFIXES.privatesuffix(host) or host
