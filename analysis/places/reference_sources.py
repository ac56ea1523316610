"""Which reference data a snapshot holds, from where, and how each file is read.

The addresses can be replaced by environment variables, for a mirror where a source is blocked, or
to pin a commit; docs/decisions/0018 says why these sources.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from analysis import fingerprints
from analysis.errors import ParameterError
from analysis.network_names import extract_names, load_network_names
from analysis.period import month_before
from analysis.places.downloads import Limits
from analysis.reference import load_test_lists, read_csv
from analysis.snapshots import (
    DNS_FINGERPRINTS,
    GLOBAL_LIST,
    HTTP_FINGERPRINTS,
    LEGEND,
    NETWORK_NAMES,
    country_list,
)

#: Environment variable → address. ``{month}`` stands for the month, YYYY-MM.
ADDRESSES = {
    "WORKBOOK_TEST_LISTS_URL": (
        "https://raw.githubusercontent.com/citizenlab/test-lists/master/lists"
    ),
    "WORKBOOK_FINGERPRINTS_URL": (
        "https://raw.githubusercontent.com/ooni/blocking-fingerprints/main"
    ),
    "WORKBOOK_NETWORK_NAMES_URL": (
        "https://download.db-ip.com/free/dbip-asn-lite-{month}.csv.gz"
    ),
}  # fmt: skip

_NC = "CC BY-NC-SA 4.0"
_LIST_LIMITS = Limits(sent=16_000_000, unpacked=16_000_000, seconds=300)
_NAMES_LIMITS = Limits(sent=64_000_000, unpacked=256_000_000, seconds=1800)
_LEGEND_COLUMNS = ("Category Description", "New Code")


@dataclass(frozen=True)
class Content:
    """What a report reads from a file: rows, and the latest date inside."""

    row_count: int
    date: str = ""


@dataclass(frozen=True)
class Item:
    """One file of a snapshot.

    Attributes:
        name: its name in the snapshot.
        role: what it is used for.
        licence: that of the source.
        urls: addresses; the first that has the file is taken.
        limits: what it may cost.
        read: reads it as a report does; raises ParameterError where a report could not.
        draw: makes the file from a larger one that is fetched.
        may_not_exist: the source has it for some countries only.
        may_fail: a report does without it.
    """

    name: str
    role: str
    licence: str
    urls: tuple[str, ...]
    limits: Limits
    read: Callable[[Path], Content]
    draw: Callable[[Path, Path], None] | None = None
    may_not_exist: bool = False
    may_fail: bool = False


def items(code: str, today: date) -> tuple[Item, ...]:
    """The files of a snapshot for a country.

    Raises:
        ParameterError: an address in the environment is none.
    """
    lists, known, names = (_address(variable) for variable in ADDRESSES)
    months = (today, month_before(today))  # a month's table comes out some time on its first day
    own = country_list(code)

    def of_citizen_lab(name: str, role: str, read: Callable[[Path], Content]) -> Item:
        url = f"{lists}/{Path(name).name}"
        is_own = name == own
        return Item(name, role, _NC, (url,), _LIST_LIMITS, read, may_not_exist=is_own)

    def of_ooni(name: str, role: str, kind: str) -> Item:
        url = f"{known}/{Path(name).name}"
        return Item(
            name, role, _NC, (url,), _LIST_LIMITS, lambda path: _read_fingerprints(path, kind)
        )

    return (
        of_citizen_lab(LEGEND, "categories of the test lists", _read_legend),
        of_citizen_lab(GLOBAL_LIST, "general test list", lambda path: _read_test_list(path, code)),
        of_citizen_lab(own, "country test list", lambda path: _read_test_list(path, code)),
        of_ooni(DNS_FINGERPRINTS, "DNS fingerprints", "dns"),
        of_ooni(HTTP_FINGERPRINTS, "HTTP fingerprints", "http"),
        Item(
            NETWORK_NAMES,
            "network names",
            "CC BY 4.0, DB-IP",
            tuple(dict.fromkeys(names.replace("{month}", f"{day:%Y-%m}") for day in months)),
            _NAMES_LIMITS,
            _read_names,
            draw=extract_names,
            may_fail=True,
        ),
    )


def _address(variable: str) -> str:
    address = (os.environ.get(variable) or ADDRESSES[variable]).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise ParameterError(variable, address, "an address that starts with https:// or http://")
    return address


def _read_legend(path: Path) -> Content:
    return Content(len(read_csv(path, _LEGEND_COLUMNS, "TEST_LIST").rows))


def _read_test_list(path: Path, code: str) -> Content:
    file = load_test_lists([path], code).files[0]
    return Content(file.row_count, file.date)


def _read_fingerprints(path: Path, kind: str) -> Content:
    # The loader takes a cut row for one with empty cells; this does not.
    read_csv(path, ("name", "pattern"), "FINGERPRINTS")
    return Content(len(getattr(fingerprints.load(str(path.parent)), kind)))


def _read_names(path: Path) -> Content:
    return Content(len(load_network_names(path).names))
