"""Values of a measurement in one spelling and of bounded size: failures, texts, numbers, tags."""

import html
from functools import lru_cache
from typing import Final

from analysis.observations.messages import Exchange

#: Ways in which probes and test helpers say that a name does not exist. ``dns_lookup_error``
#: (any error) and ``dns_server_failure`` are not among them and are kept as they are.
NXDOMAIN_SPELLINGS: Final = frozenset(
    {
        "dns_nxdomain_error",  # ooniprobe 3 and later
        "dns_name_error",  # the older test helper, and the newer one in its voice
        "android_dns_cache_no_data",  # Android's resolver hides the reason behind its cache
    }
)
NXDOMAIN: Final = "dns_nxdomain_error"

#: Where a probe says that something failed, but not how.
UNNAMED_FAILURE: Final = "unknown_failure"

TEXT_LIMIT = 512


def normalise_failure(failure: str | bool | None) -> str | None:
    """A failure in one spelling; null where there was none."""
    if not failure:
        return None
    if failure is True:
        return UNNAMED_FAILURE
    return NXDOMAIN if failure in NXDOMAIN_SPELLINGS else failure[:TEXT_LIMIT]


def clip_text(text: str | None) -> str | None:
    """A text of at most ``TEXT_LIMIT`` characters."""
    return text if text is None or len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT]


def blocking_text(value: str | bool | None) -> str | None:
    """The key ``blocking``, which may be a text or false, as a text."""
    if value is None or isinstance(value, str):
        return clip_text(value)
    return "true" if value else "false"


def int32_or_none(value: int | None) -> int | None:
    """A number, where the column can hold it."""
    return value if value is not None and -(1 << 31) <= value < 1 << 31 else None


def status_or_none(status: int | None) -> int | None:
    """An HTTP status; null where it is none (-1 and 0 stand for no response)."""
    return status if status is not None and 100 <= status < 1000 else None


def redirect_depth(tags: list[str] | None) -> int | None:
    """How many redirects came before, where 0.5 says so."""
    if not tags or "depth=0" in tags:
        return 0 if tags else None
    for tag in tags:
        number = tag.removeprefix("depth=")
        if number is not tag and number.isascii() and number.isdigit() and len(number) < 4:
            return int(number)
    return None


def request_url(exchange: Exchange) -> str:
    """The URL that was asked for; empty where there is none."""
    return (exchange.request.url or "") if exchange.request else ""


def tidy_title(title: str) -> str:
    """The title without entities and needless white space, of bounded length."""
    return _tidied(title[: 2 * TEXT_LIMIT])


@lru_cache(maxsize=1 << 12)
def _tidied(title: str) -> str:
    return " ".join(html.unescape(title).split())[:TEXT_LIMIT]
