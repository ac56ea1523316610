"""OONI's counts of messaging and circumvention tests: a country's by day, all countries' by week.

Two kinds of question. What a country's tests found, day by day, is one reply for all tests. What
the same test found elsewhere, so that a defect of the test is not taken for a block, is one reply
for each test, with every country in it: no list of countries has to be kept.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import msgspec

from analysis.errors import ContractError
from analysis.observations.messaging_tests import BY_NAME, TESTS
from analysis.period import Period
from analysis.sources import api
from analysis.sources.api import Kept, Question, fetch_reply, find_reply

_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
#: A week begins on the Sunday before.
_WEEK = timedelta(days=7)


class Row(api.Row, frozen=True, kw_only=True):
    """OONI's disjoint flags of a test in a country, from a day on (a day, or a week)."""

    measurement_start_day: date
    test_name: str = ""
    probe_cc: str = ""


class _Result(msgspec.Struct):
    result: list[Row]


@dataclass(frozen=True)
class MessagingCounts:
    """What OONI counts.

    Attributes:
        here: rows of the country, a test and day each, with ``test_name``; a day without a
            measurement is not there.
        elsewhere: rows of all countries, this one too, a test and week each.
        digests: SHA-256 of each reply, by what was asked for.
    """

    here: tuple[Row, ...]
    elsewhere: tuple[Row, ...]
    digests: Mapping[str, str]


def fetch_messaging_counts(
    folder: Path, probe_cc: str, period: Period, say: Callable[[str], None]
) -> None:
    """Ask OONI for what :func:`read_messaging_counts` reads, unless final replies are kept.

    Raises:
        ParameterError, SourceError, ContractError: see ``api.fetch_reply``.
    """
    for name, question in _questions(probe_cc, period).items():
        fetch_reply(folder, question, lambda body, name=name: read_rows(body, period, name), say)  # type: ignore[misc]


def read_messaging_counts(folder: Path, probe_cc: str, period: Period) -> MessagingCounts | None:
    """The counts that were fetched last; no network is touched. None where they never were."""
    replies: dict[str, Kept] = {}
    for name, question in _questions(probe_cc, period).items():
        reply = find_reply(folder, question)
        if reply is None:
            return None
        replies[name] = reply
    rows = {name: tuple(read_rows(reply.body, period, name)) for name, reply in replies.items()}
    here = rows.pop("")
    elsewhere = tuple(row for name in rows for row in rows[name])
    return MessagingCounts(here, elsewhere, {n or "all": r.sha256 for n, r in replies.items()})


def _questions(probe_cc: str, period: Period) -> dict[str, Question]:
    """Test → what is asked of it elsewhere; ``""`` → what is asked of the country."""
    days = {"probe_cc": probe_cc, "axis_y": "test_name", "time_grain": "day"}
    weeks = {"axis_y": "probe_cc", "time_grain": "week"}
    day = {"axis_x": "measurement_start_day"}
    of_country = Question(
        f"{probe_cc.lower()}-tests-day", period, "its counts of every test by day", {**days, **day}
    )
    return {"": of_country} | {
        test.name: Question(
            f"{test.folder}-week", period, f"its counts of {test.name} in every country by week",
            {"test_name": test.name, **weeks, **day},
        )
        for test in TESTS
    }  # fmt: skip


def read_rows(body: bytes, period: Period, test_name: str = "") -> list[Row]:
    """Read a reply that holds a result.

    Args:
        body: as it was received.
        period: that was asked for.
        test_name: the test that was asked for; empty where every test was, of which those that are
            no messaging or circumvention test are left out. So is a row of no country.

    Raises:
        ContractError: it has another shape, a row stands twice or lies outside the period, or the
            flags of a row do not sum.
    """
    try:
        rows = msgspec.json.decode(body, type=_Result).result
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"OONI's counts of tests have another shape: {error}") from None
    return list(_check(rows, period, test_name))


def _check(rows: list[Row], period: Period, test_name: str) -> Iterator[Row]:
    seen: set[tuple[str, str, date]] = set()
    for row in rows:
        if (not test_name and row.test_name not in BY_NAME) or (test_name and not row.probe_cc):
            continue
        named = msgspec.structs.replace(row, test_name=test_name or row.test_name)
        day, place = row.measurement_start_day, (named.test_name, row.probe_cc)
        what = f"{named.test_name} on {day}"
        if test_name and not _COUNTRY.fullmatch(row.probe_cc):
            raise ContractError(f"OONI's counts of tests: a row of {what} is of no country")
        if not (period.since - _WEEK < day < period.until):
            raise ContractError(f"OONI's counts of tests: {what} was not asked for")
        if (*place, day) in seen:
            raise ContractError(f"OONI's counts of tests: two rows are of {what}")
        seen.add((*place, day))
        named.cells("of tests", what)
        yield named
