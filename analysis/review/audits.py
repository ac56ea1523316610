"""Each statement of a draft, held against what can confirm it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError, printable
from analysis.pages.html_tables import blocks, render_table
from analysis.pages.rendering import (
    Appendix,
    Edition,
    PageContext,
    Section,
    SetItem,
    write_alone,
)
from analysis.pages.replacing import published
from analysis.reference.reference_files import REPOSITORY, country_name, is_fictional
from analysis.review.claims import (
    NUMBER,
    RELATIONS,
    Claim,
    Draft,
    Lookup,
    Outcome,
    check,
    load_draft,
    read_published,
)
from analysis.review.reports import Report, read_report
from analysis.tables import TABLES, write_table
from analysis.vocabulary import AUDIT_RESULTS

#: The page.
ITEM = SetItem(
    "claims-audit.html",
    "Claims of a draft",
    "What an earlier draft says, checked by arithmetic, by published counts and by the tables of "
    "the report.",
)
#: Columns of the page, the most important first.
_SHOWN = ["claim_id", "claim", "arithmetic", "where", "relation"]
_CAVEAT = (
    "A statement that holds agrees with its own sums, a published count or a table of the report. "
    "This does not make it true. The statements were typed in by hand; check them against the "
    "draft."
)


class NotThereError(Exception):
    """A value that a claim is compared with is missing; the message says why."""


#: Kind of table and its name → its cells as texts.
_Tables = Callable[[str, str], pd.DataFrame]


def audit_claims(draft: Draft, report: Report | None) -> pd.DataFrame:
    """Check each statement against its relation.

    Args:
        draft: the statements.
        report: whose tables they are held against; without one, or with one of another country or
            period, a statement that needs it cannot be checked.

    Returns:
        The contract's ``claims_audit``, in the order of the draft.
    """

    @cache
    def read(kind: str, table: str) -> pd.DataFrame:
        if kind == "published":
            return read_published(draft.folder, table)
        return _of_report(draft, report, table)

    rows = [
        (
            claim.id,
            claim.where,
            claim.text,
            claim.relation,
            *map(draft.withheld.mask, _hold(claim, read)),
        )
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
        columns = list(TABLES[table].columns)
        path = report.tables / f"{table}.csv"
        return pd.read_csv(path, usecols=columns, dtype="str", keep_default_na=False)
    except (OSError, ValueError):  # the file, or a column of it
        raise NotThereError(f"the report has no table {table} of this version") from None


def _hold(claim: Claim, read: _Tables) -> Outcome:
    """Check a statement: the result, and the sum in words with the tables of its values."""
    sources: list[str] = []
    values: dict[str, object] = {}
    try:
        for name, value in claim.values.items():
            items = value if isinstance(value, list) else [value]
            sources += [f"“{name}” in {item.place}" for item in items if isinstance(item, Lookup)]
            numbers = [number for item in items for number in _find(item, read)]
            if not isinstance(value, list) and len(numbers) != 1:
                raise NotThereError(f"{sources[-1]} has {len(numbers)} values where one is needed")
            values[name] = numbers if isinstance(value, list) else numbers[0]
    except NotThereError as error:
        return "cannot_be_checked", str(error)
    result, arithmetic = check(claim.relation, values)
    source = f". Looked up: {', '.join(dict.fromkeys(sources))}" if sources else ""
    return result, f"{arithmetic}{source}"


def _find(lookup: object, read: _Tables) -> list[object]:
    """Return the value at a place of a table, or all of them for ``each``; a plain value as it
    is.
    """
    if not isinstance(lookup, Lookup):
        return [lookup]
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
    values: list[object] = [Decimal(cell) if NUMBER.fullmatch(cell) else cell for cell in cells]
    if lookup.take != "sum":
        return values
    numbers = [value for value in values if isinstance(value, Decimal)]
    if len(numbers) < len(values):
        raise NotThereError(f"{lookup.place}: {lookup.column} is not a number in every row")
    return [sum(numbers, Decimal(0))]


def count_results(audited: pd.DataFrame) -> dict[str, int]:
    """Count the statements by result, those that do not hold first."""
    return {name: int((audited["result"] == name).sum()) for name in AUDIT_RESULTS}


def audit(claims: Path, folder: Path | None, out: Path | None) -> Iterator[str]:
    """Check a draft's statements, and write the page and its table.

    Args:
        claims: the file of the statements.
        folder: of a report.
        out: a folder for the page; by default ``reports/audit/<name>/``.

    Returns:
        Lines for a terminal.

    Raises:
        ParameterError: the file is wrong, or the report is of another country; nothing was written.
    """
    draft = load_draft(claims)
    report = read_report(folder, "REPORT") if folder else None
    if report and report.probe_cc != draft.probe_cc:
        raise ParameterError(
            "REPORT",
            report.folder,
            f"is of {country_name(report.probe_cc)}, the draft of {country_name(draft.probe_cc)}",
        )
    audited = audit_claims(draft, report)
    out = out or REPOSITORY / "reports" / "audit" / claims.stem
    page = _publish(draft, report, audited, out)
    for result, words in AUDIT_RESULTS.items():
        rows = audited[audited["result"] == result]
        yield f"{words}: {len(rows)}"
        for row in rows.itertuples(index=False):
            if result != "holds":
                yield printable(f"  {row.claim_id}  {row.claim}  [{row.arithmetic}]")
    yield f"page: {page}"


def _publish(draft: Draft, report: Report | None, audited: pd.DataFrame, out: Path) -> Path:
    """Write a folder of its own: the page, its table and ``run.json``."""
    item = replace(ITEM, file="index.html")
    page = PageContext(
        country=country_name(draft.probe_cc),
        period=draft.period.in_words,
        status="Fictional country" if is_fictional(draft.probe_cc) else "Audit of a draft",
        data_date=draft.period.last_day,
        title=item.title,
    )
    with published(out, "results", withheld=draft.withheld) as build:
        write_table(build.tables, "claims_audit", audited)
        write_alone(build.folder, Edition(page, ""), item, show_audit(draft, audited))
        against = report.run.get("tables", {}) if report else {}
        build.run = {
            "parameters": {
                "probe_cc": draft.probe_cc,
                "since": draft.period.since.isoformat(),
                "until": draft.period.until.isoformat(),
            },
            "code_version": version("censorship-report-workbook"),
            "claims": asdict(draft.file),
            "results": count_results(audited),
            "report": {name: facts.get("sha256") for name, facts in against.items()},
        }
    return out / item.file


def audit_page(draft: Draft, run: Mapping[str, Any]) -> Appendix:
    """Return the page of a report that is being made; ``run`` is what ``run.json`` will say."""

    def make(tables: Path, _: Mapping[str, Any]) -> list[Section]:
        audited = audit_claims(draft, Report(tables.parent, run))
        write_table(tables, "claims_audit", audited)
        return show_audit(draft, audited)

    return Appendix(ITEM, make)


def show_audit(draft: Draft, audited: pd.DataFrame) -> list[Section]:
    """Return the sections of the page: heading and content; the first has no heading.

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
    used = {name: RELATIONS[name].meaning for name in sorted({*audited["relation"]})}
    relations = Markup(blocks().definitions(used, "glossary"))
    return [*sections, ("What a statement is held to", relations)]
