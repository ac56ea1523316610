"""``audit`` and ``compare``: a draft's statements, and two reports, held against tables.

``review``: a filled-in feedback sheet into the country's file; and a report's pages for people:
the form for a meeting, and what was written around the findings.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.commands.settings import read_values
from analysis.errors import ParameterError, printable
from analysis.languages.language import ENGLISH, Language
from analysis.outcomes.thresholds import Thresholds
from analysis.pages.rendering import (
    Appendix,
    Comparison,
    Edition,
    PageContext,
    Section,
    SetItem,
    describe,
    link_pages,
    render_sections,
    write_alone,
    write_page,
)
from analysis.pages.replacing import published
from analysis.reference.reference_files import REPOSITORY, country_name, is_fictional
from analysis.report.first_page import FORM, show_decisions, word_first_page
from analysis.report.site_pages import INDEX, INDEX_TITLE
from analysis.review.changes import (
    HEADING,
    as_text,
    check_comparable,
    compare_reports,
    show_changes,
)
from analysis.review.claims import (
    LINE,
    PAGE,
    TITLE,
    Draft,
    audit_claims,
    count_results,
    load_draft,
    show_audit,
)
from analysis.review.decisions import (
    Basis,
    check_decisions,
    feedback_title,
    list_items,
    merge_decisions,
    read_filled_sheet,
    review_path,
    show_form,
    write_sheet,
)
from analysis.review.narrative import PAGE as NARRATIVE
from analysis.review.narrative import load_narrative, narrative_title, show_narrative
from analysis.review.reports import Report, read_report
from analysis.study.parameters import absolute, changed_numbers
from analysis.tables import write_table
from analysis.vocabulary import AUDIT_RESULTS

NOTEBOOKS = REPOSITORY / "notebooks"
_VARIABLES = ("CLAIMS", "REPORT", "OUT")
_ITEM = SetItem(PAGE, TITLE, LINE)


def audit(arguments: Iterable[str]) -> str:
    """Hold a draft's statements against what is known, and write the page and its table.

    Args:
        arguments: ``CLAIMS=`` a file, ``REPORT=`` a report's folder, ``OUT=`` another folder for
            the page (default: the report's own, or ``reports/audit/<name>/``).

    Returns:
        Lines for a terminal.

    Raises:
        ParameterError: an argument or the file is wrong; nothing was written.
    """
    given = read_values(arguments, _VARIABLES)
    if not given.get("CLAIMS"):
        raise ParameterError("CLAIMS", "", "must be given: a file such as data/claims/….yml")
    draft = load_draft(_path("CLAIMS", given))
    report = read_report(_path("REPORT", given), "REPORT") if given.get("REPORT") else None
    audited = audit_claims(draft, report)
    if report and not given.get("OUT"):
        page = _add_to_report(draft, report, audited)
    else:
        name = Path(given["CLAIMS"]).stem
        default = REPOSITORY / "reports" / "audit" / name
        out = _path("OUT", given) if given.get("OUT") else default
        page = _publish_alone(draft, report, audited, out)
    return "\n".join(printable(line) for line in _lines(audited, page))


def compare(before: Path, after: Path) -> str:
    """What differs between two reports, as lines for a terminal.

    Raises:
        ParameterError: one is no report, or they are of two countries.
    """
    first, second = (read_report(one, name) for one, name in ((before, "A"), (after, "B")))
    for report, name in ((first, "A"), (second, "B")):
        check_comparable(report, name)
    changes = compare_reports(first, second)
    return "\n".join(printable(line) for line in as_text(changes, first, second))


def status_in_words(probe_cc: str, status: str, lang: Language = ENGLISH) -> str:
    """What every page says of a report: the words given to it, and that a country is fictional."""
    if not is_fictional(probe_cc):
        return status or lang.say("Draft")
    fictional = lang.say("Fictional country")
    return f"{status} · {fictional}" if status else fictional


def audit_page(draft: Draft, run: Mapping[str, Any]) -> Appendix:
    """The page of a report that is being made."""

    def make(tables: Path, _: Mapping[str, Any]) -> list[Section]:
        audited = audit_claims(draft, Report(tables.parent, run))
        write_table(tables, "claims_audit", audited)
        return show_audit(draft, audited)

    return Appendix(_ITEM, make)


def comparison_with(previous: Report) -> Comparison:
    """What a report that is being made says of an earlier one."""

    def make(tables: Path, run: Mapping[str, Any], lang: Language) -> Section:
        now = Report(tables.parent, run)
        changes = write_table(tables, "changes", compare_reports(previous, now))
        return lang.say(HEADING), show_changes(changes, previous, now, lang)

    return make


def _path(name: str, given: Mapping[str, str]) -> Path:
    return Path(absolute(name, given[name]))


def _lines(audited: pd.DataFrame, page: Path) -> Iterator[str]:
    for result, words in AUDIT_RESULTS.items():
        rows = audited[audited["result"] == result]
        yield f"{words}: {len(rows)}"
        for row in rows.itertuples(index=False):
            if result != "holds":
                yield f"  {row.claim_id}  {row.claim}  [{row.arithmetic}]"
    yield f"page: {page}"


def _publish_alone(draft: Draft, report: Report | None, audited: pd.DataFrame, out: Path) -> Path:
    """A folder of its own: the page, its table and ``run.json``."""
    item = replace(_ITEM, file="index.html")
    page = PageContext(
        country=country_name(draft.probe_cc),
        period=draft.period.in_words,
        status="Fictional country" if is_fictional(draft.probe_cc) else "Audit of a draft",
        data_date=draft.period.last_day,
        title=TITLE,
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
    out = report.folder.resolve()
    named = [
        SetItem("index.html", "Summary", ""),
        SetItem(INDEX, INDEX_TITLE, ""),
        *(describe(notebook) for notebook in sorted(NOTEBOOKS.glob("[1-9]*.ipynb"))),
        _ITEM,
        SetItem(NARRATIVE, narrative_title(ENGLISH), ""),
        SetItem(FORM, feedback_title(ENGLISH), ""),
    ]
    with published(out, "findings", is_copy=True) as build:
        pages = [item for item in named if item is _ITEM or (build.folder / item.file).is_file()]
        write_table(build.tables, "claims_audit", audited)
        html = render_sections(show_audit(draft, audited), _ITEM, _context(report), pages)
        write_page(build.folder / PAGE, html)
        for page in (build.folder / item.file for item in pages if item.file != INDEX):
            write_page(page, link_pages(page.read_text(encoding="utf-8"), page.name, pages))
        build.run["claims"] = asdict(draft.file)
    return out / PAGE


def _context(report: Report) -> PageContext:
    thresholds = Thresholds().changed_by(report.run.get("changed_thresholds", {}))
    return PageContext(
        country=country_name(report.probe_cc),
        period=report.period.in_words,
        status=str(report.run.get("status") or status_in_words(report.probe_cc, "")),
        data_date=report.period.last_day,
        method_changes=tuple(changed_numbers(thresholds)),
    )


def review(file: Path, *, dry_run: bool) -> str:
    """Bring a sheet's decisions into ``data/review/<cc>.yml``.

    Args:
        file: the sheet that a report wrote, filled in.
        dry_run: say what would change, and write nothing.

    Returns:
        Lines for a terminal: each decision that is new or changed.

    Raises:
        ParameterError: the sheet or the country's file is wrong; nothing was written.
    """
    brought = read_filled_sheet(file)
    if not brought:
        return "no decision stands on the sheet; nothing was changed"
    path = review_path(brought[0].basis.probe_cc)
    changes = merge_decisions(path, brought, dry_run=dry_run)
    done = "would change" if dry_run else "changed"
    same = len(brought) - len(changes)
    last = f"data/review/{path.name}: {len(changes)} {done}, {same} stood there already"
    return "\n".join(printable(line) for line in (*changes, last))


def feedback_page(run: Mapping[str, Any], edition: Edition) -> Appendix:
    """The form of a report that is being made; beside the first one, its sheet.

    Args:
        run: what ``run.json`` will say.
        edition: the language, and where its pages lie.
    """
    basis, lang = Basis.of_run(run), edition.page.lang

    def make(tables: Path, findings: Mapping[str, Any]) -> list[Section]:
        check_decisions(tables)
        worded = word_first_page(tables, findings, lang)["findings"]
        claims = {one["id"]: Markup(f"{one['claim']} {one['sites']}").striptags() for one in worded}
        items = list_items(tables, claims, lang)
        if not edition.folder:
            page = edition.page
            title = f"{feedback_title(lang)} · {page.country} · {page.period} · {page.status}"
            write_sheet(tables, title, items, basis, lang)
        opening, *boxes = show_form(items, lang, edition.up)
        return [opening, *show_decisions(tables, lang), *boxes]

    line = lang.say("Each finding and each listed site, with boxes to tick, for a meeting.")
    return Appendix(SetItem(FORM, feedback_title(lang), line), make)


def narrative_page(probe_cc: str, lang: Language) -> Appendix:
    """What people have written around the findings, in one language."""

    def make(tables: Path, findings: Mapping[str, Any]) -> list[Section]:
        return show_narrative(load_narrative(probe_cc, lang.code), findings, lang)

    line = lang.say("Background, law, recommendations, and how to contribute.")
    return Appendix(SetItem(NARRATIVE, narrative_title(lang), line), make)
