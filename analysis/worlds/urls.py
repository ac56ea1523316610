"""Reading the URL of a test list the way a probe does."""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from analysis.hosts import normalise


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    ``host`` is the name in its one spelling. ``written`` is the name as the URL spells it, in
    ASCII: probes put that into their queries and server names. ``authority`` goes into the Host
    header, with the port where the URL names one.
    """

    url: str
    host: str
    written: str
    authority: str
    is_https: bool
    port: int


@lru_cache(maxsize=4096)
def parse(url: str) -> Target:
    """Split a URL the way that a probe does."""
    parts = urlsplit(url)
    is_https = parts.scheme.lower() == "https"
    host = normalise(url)
    written = parts.netloc.partition(":")[0]
    if not written.isascii():
        written = host
    port = parts.port or (443 if is_https else 80)
    authority = f"{written}:{parts.port}" if parts.port else written
    return Target(url, host, written, authority, is_https, port)


def endpoint(address: str, port: int) -> str:
    """An address and a port as Go writes them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
