"""``explain telegram``: why an app or tool is on a report's list, or is not.

From the report's own tables: its verdict on each network, the stretches with their endpoints, what
other countries see in the same weeks, and a witness.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.observations.messaging_tests import BY_NAME
from analysis.pages.formats import chance_words, percent
from analysis.tables import read_table
from analysis.verdicts.states import strength
from analysis.vocabulary import MECHANISMS, SET_ASIDE_REASONS, STATES

Row = Any  # one row of a table, as itertuples gives it


def find_test(name: str) -> str:
    """OONI's name of the test that is asked for, by this name or a reader's; empty if none is."""
    asked = name.strip().lower()
    return next(
        (test.name for test in BY_NAME.values() if asked in (test.name, test.title.lower())), ""
    )


def explain_test(test_name: str, asn: str, tables: Path) -> Iterator[str]:
    """Lines for a terminal, not yet escaped.

    Args:
        test_name: of ``find_test``.
        asn: one network, as ``123`` or ``AS123``; all where it is empty.
        tables: of the report.

    Raises:
        ParameterError: the test was not run in this report, or not on that network.
    """
    verdicts, intervals = (
        read_table(tables, f"messaging_{name}") for name in ("verdicts", "intervals")
    )
    rows = verdicts[(verdicts["test_name"] == test_name) & (verdicts["period"] == "all")]
    if rows.empty:
        raise ParameterError("DOMAIN", test_name, "this test was not run in this report")
    if asn:
        number = f"AS{asn.upper().removeprefix('AS')}"
        if number not in set(rows["probe_asn"]):
            known = ", ".join(sorted(set(rows["probe_asn"]), key=lambda text: int(text[2:])))
            raise ParameterError("--asn", asn, f"{test_name} was run on {known}")
        rows = rows[rows["probe_asn"] == number]
    yield BY_NAME[test_name].title
    ordered = rows.assign(rank=strength(rows["state"])).sort_values(["rank", "probe_asn"])
    for row in ordered.itertuples(index=False):
        own = intervals[
            (intervals["test_name"] == test_name) & (intervals["probe_asn"] == row.probe_asn)
        ]
        yield from ("", *_verdict_lines(row))
        for stretch in own.sort_values(["blocked_from_time", "part"]).itertuples(index=False):
            yield from _stretch_lines(stretch)


def _verdict_lines(row: Row) -> Iterator[str]:
    yield f"{row.network} ({row.probe_asn}): {STATES[row.state].words}"
    yield (
        f"  {row.blocked_session_count:,} sessions kept from it, {row.ok_session_count:,} "
        f"reached it, of {row.session_count:,}; {row.failure_count:,} tests failed and are no data"
    )
    if pd.notna(row.elsewhere_anomaly_share):
        yield f"  in other countries {percent(row.elsewhere_anomaly_share)} fail in these weeks"
    if row.chance:
        yield f"  chance: {chance_words(row.chance)}"
    aside = SET_ASIDE_REASONS.get(row.set_aside_reason, "")
    for words in filter(None, (aside, row.note, row.witness_url)):
        yield f"  {words}"


def _stretch_lines(row: Row) -> Iterator[str]:
    hours = f", {row.schedule} UTC" if row.schedule else ""
    how = MECHANISMS.get(row.mechanism, row.mechanism)
    until = row.blocked_until_time or row.blocked_until
    yield (
        f"  {row.part}, {row.blocked_from_time} to {until}{hours}: {how}, "
        f"{row.session_count:,} sessions on {row.day_count:,} days"
    )
    if pd.notna(row.endpoint_count):
        yield (
            f"    {row.cut_endpoint_count:,} of {row.endpoint_count:,} endpoints cut off: "
            f"{row.cut_endpoints.replace(';', ', ')}"
        )
    opened = row.first_seen_open_again_time
    yield f"    open before: {row.last_seen_open_time or 'never seen'}; again: {opened or 'no'}"
