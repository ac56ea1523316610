"""Each statement of a draft, held against what can confirm it."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.pages.html_tables import blocks, render_table
from analysis.pages.rendering import Appendix, Section, SetItem
from analysis.reference.reference_files import country_name
from analysis.review.claims import (
    NUMBER,
    RELATIONS,
    Claim,
    Draft,
    Lookup,
    Outcome,
    check,
    read_published,
)
from analysis.review.reports import Report
from analysis.tables import read_table, write_table
from analysis.vocabulary import AUDIT_RESULTS

#: The page.
ITEM = SetItem(
    "claims-audit.html",
    "Claims of a draft",
    "What a draft says, held against arithmetic, published counts and the tables of the report.",
)
#: Columns of the page, what matters first.
_SHOWN = ["claim_id", "claim", "arithmetic", "where", "relation"]
_CAVEAT = (
    "A statement that holds agrees with its sums or with a count that somebody published; that "
    "does not make it true. Each was written down as data by hand: what it says is for a reader "
    "to check."
)


class NotThereError(Exception):
    """What a claim is to be held against is not at hand; says why."""


#: The cells of a table as texts, by what kind of table it is and its name.
_Tables = Callable[[str, str], pd.DataFrame]


def audit_claims(draft: Draft, report: Report | None) -> pd.DataFrame:
    """Hold each statement to its relation.

    Args:
        draft: the statements.
        report: whose tables they are held against; without one, or with one of another country or
            period, a statement that needs it cannot be checked.

    Returns:
        The contract's ``claims_audit``, in the order of the draft.
    """

    @cache
    def read(kind: str, table: str) -> pd.DataFrame:
        if kind == "report":
            return _of_report(draft, report, table)
        published = read_published(draft.folder, table)
        if published is None:  # it was there when the draft was read
            raise NotThereError(f"no CSV {table} is there any more")
        return published

    rows = [
        (claim.id, claim.where, claim.text, claim.relation, *_hold(claim, read))
        for claim in draft.claims
    ]
    columns = ["claim_id", "where", "claim", "relation", "result", "arithmetic"]
    return pd.DataFrame(rows, columns=columns, dtype="str")


def _of_report(draft: Draft, report: Report | None, table: str) -> pd.DataFrame:
    if report is None:
        raise NotThereError("no report was given to hold it against")
    if (report.probe_cc, report.period) != (draft.probe_cc, draft.period):
        raise NotThereError(
            f"the report is of {country_name(report.probe_cc)}, {report.period.in_words}; the "
            f"draft speaks of {country_name(draft.probe_cc)}, {draft.period.in_words}"
        )
    try:
        return read_table(report.tables, table).map(_cell)
    except ParameterError:  # the file, or a column of it
        raise NotThereError(f"the report has no table {table} of this version") from None


def _cell(value: object) -> str:
    """A cell of a typed table as its file has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _hold(claim: Claim, read: _Tables) -> Outcome:
    """The result, and the sum in words with the tables that its values are from."""
    places: list[str] = []
    values: dict[str, object] = {}
    try:
        for name, value in claim.values.items():
            found: list[object] = []
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, Lookup):
                    places.append(one.place)
                    found += _find(one, read)
                else:
                    found.append(one)
            if not isinstance(value, list) and len(found) != 1:
                raise NotThereError(f"{places[-1]} has {len(found)} values where one is needed")
            values[name] = found if isinstance(value, list) else found[0]
    except NotThereError as error:
        return "cannot_be_checked", str(error)
    result, arithmetic = check(claim.relation, values)
    source = f". From {', '.join(dict.fromkeys(places))}" if places else ""
    return result, f"{arithmetic}{source}"


def _find(lookup: Lookup, read: _Tables) -> list[Decimal | str]:
    """What stands at a place: one value, but for ``each``."""
    frame = read(lookup.kind, lookup.table)
    for column, wanted in lookup.where.items():
        frame = frame[frame[column].isin(wanted)]
    cells = frame[lookup.column]
    if lookup.take == "count":
        return [Decimal(cells[cells != ""].nunique())]
    if cells.empty:
        raise NotThereError(f"{lookup.place} has no such row")
    if lookup.take == "value" and len(cells) > 1:
        raise NotThereError(f"{lookup.place} has {len(cells):,} such rows, not one")
    values = [Decimal(cell) if NUMBER.fullmatch(cell) else cell for cell in cells]
    if lookup.take != "sum":
        return values
    numbers = [value for value in values if isinstance(value, Decimal)]
    if len(numbers) < len(values):
        raise NotThereError(f"{lookup.place}: {lookup.column} is not a number in every row")
    return [sum(numbers, Decimal(0))]


def count_results(audited: pd.DataFrame) -> dict[str, int]:
    """Result → its statements, those that do not hold first."""
    return {name: int((audited["result"] == name).sum()) for name in AUDIT_RESULTS}


def audit_page(draft: Draft, run: Mapping[str, Any]) -> Appendix:
    """The page of a report that is being made; ``run`` is what ``run.json`` will say."""

    def make(tables: Path, _: Mapping[str, Any]) -> list[Section]:
        audited = audit_claims(draft, Report(tables.parent, run))
        write_table(tables, "claims_audit", audited)
        return show_audit(draft, audited)

    return Appendix(ITEM, make)


def show_audit(draft: Draft, audited: pd.DataFrame) -> list[Section]:
    """The sections of the page: heading and content; the first has no heading.

    Args:
        draft: the statements.
        audited: :func:`audit_claims` of it.
    """
    counts = count_results(audited)
    claim = (
        f"Of {len(audited)} statements {counts['does_not_hold']} do not hold, {counts['holds']} "
        f"hold, and {counts['cannot_be_checked']} cannot be checked."
    )
    opening = blocks().finding("A1", claim, f"{draft.document}. Source: {draft.source}", _CAVEAT)
    sections: list[Section] = [("", Markup(opening))]
    for result, words in AUDIT_RESULTS.items():
        rows = audited.loc[audited["result"] == result, _SHOWN]
        if len(rows):
            table = render_table(rows, f"Statements: {words.lower()}", "", 60, {})
            sections.append((f"{words} ({len(rows)})", table))
    used = [(name, {"lines": [RELATIONS[name].meaning]}) for name in sorted({*audited["relation"]})]
    relations = Markup(blocks().definitions(used, "glossary"))
    return [*sections, ("What a statement is held to", relations)]
