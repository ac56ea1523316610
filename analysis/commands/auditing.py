"""``audit``: a draft's statements, held against what is known of them."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from analysis.commands.settings import read_values
from analysis.errors import ParameterError, printable
from analysis.pages.rendering import (
    Edition,
    PageContext,
    SetItem,
    describe,
    link_pages,
    render_sections,
    write_alone,
    write_page,
)
from analysis.pages.replacing import published
from analysis.reference.reference_files import NOTEBOOKS, REPOSITORY, country_name, is_fictional
from analysis.report.first_page import FORM
from analysis.report.site_pages import INDEX, INDEX_TITLE
from analysis.review.audits import ITEM, audit_claims, count_results, show_audit
from analysis.review.claims import Draft, load_draft
from analysis.review.narrative import PAGE as NARRATIVE
from analysis.review.reports import Report, read_report
from analysis.study.parameters import absolute
from analysis.tables import write_table
from analysis.vocabulary import AUDIT_RESULTS


def audit(arguments: Iterable[str]) -> Iterator[str]:
    """Hold a draft's statements against what is known, and write the page and its table.

    Args:
        arguments: ``CLAIMS=`` a file, ``REPORT=`` a report's folder, ``OUT=`` another folder for
            the page (default: the report's own, or ``reports/audit/<name>/``).

    Returns:
        Lines for a terminal.

    Raises:
        ParameterError: an argument or the file is wrong; nothing was written.
    """
    values = read_values(arguments, ("CLAIMS", "REPORT", "OUT"))
    given = {name: Path(absolute(name, value)) for name, value in values.items() if value}
    if "CLAIMS" not in given:
        raise ParameterError("CLAIMS", "", "must be given: a file such as data/claims/….yml")
    draft = load_draft(given["CLAIMS"])
    report = read_report(given["REPORT"], "REPORT") if "REPORT" in given else None
    if report and report.probe_cc != draft.probe_cc:
        of = f"is of {country_name(report.probe_cc)}, the draft of {country_name(draft.probe_cc)}"
        raise ParameterError("REPORT", report.folder, of)
    audited = audit_claims(draft, report)
    if report and "OUT" not in given:
        page = _add_to_report(draft, report, audited)
    else:
        out = given.get("OUT", REPOSITORY / "reports" / "audit" / given["CLAIMS"].stem)
        page = _publish_alone(draft, report, audited, out)
    for result, words in AUDIT_RESULTS.items():
        rows = audited[audited["result"] == result]
        yield f"{words}: {len(rows)}"
        for row in rows.itertuples(index=False):
            if result != "holds":
                yield printable(f"  {row.claim_id}  {row.claim}  [{row.arithmetic}]")
    yield f"page: {page}"


def _publish_alone(draft: Draft, report: Report | None, audited: pd.DataFrame, out: Path) -> Path:
    """A folder of its own: the page, its table and ``run.json``."""
    item = replace(ITEM, file="index.html")
    page = PageContext(
        country=country_name(draft.probe_cc),
        period=draft.period.in_words,
        status="Fictional country" if is_fictional(draft.probe_cc) else "Audit of a draft",
        data_date=draft.period.last_day,
        title=item.title,
    )
    with published(out, "results") as build:
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


def _add_to_report(draft: Draft, report: Report, audited: pd.DataFrame) -> Path:
    """The page and its table in a report's folder, which changes place as a whole."""
    named = [
        SetItem("index.html", "Summary", ""),
        SetItem(INDEX, INDEX_TITLE, ""),
        *(describe(notebook) for notebook in sorted(NOTEBOOKS.glob("[1-9]*.ipynb"))),
        ITEM,
        SetItem(NARRATIVE, "Background and recommendations", ""),
        SetItem(FORM, "Feedback form", ""),
    ]
    with published(report.folder, "findings", is_copy=True) as build:
        pages = [item for item in named if item is ITEM or (build.folder / item.file).is_file()]
        write_table(build.tables, "claims_audit", audited)
        html = render_sections(show_audit(draft, audited), ITEM, report.page, pages)
        write_page(build.folder / ITEM.file, html)
        for page in (build.folder / item.file for item in pages if item.file != INDEX):
            write_page(page, link_pages(page.read_text(encoding="utf-8"), page.name, pages))
        build.run["claims"] = asdict(draft.file)
    return report.folder / ITEM.file
