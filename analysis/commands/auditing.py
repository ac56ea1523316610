"""Commands about drafts and finished reports.

``audit`` compares a draft's statements with tables, ``compare`` two reports. ``review`` takes a
meeting's decisions from a filled-in sheet. ``PROBE_CC=KH,MY,VN`` makes one page for several
countries.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.commands.settings import Settings, parse_settings, read_values
from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError, printable
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
    list_editions,
    render_sections,
    write_alone,
    write_page,
)
from analysis.pages.replacing import published, refuse_foreign
from analysis.reference.reference_files import (
    REPOSITORY,
    SHIPPED,
    country_name,
    is_fictional,
    parse_country,
)
from analysis.reference.test_lists import load_test_lists
from analysis.report.first_page import FORM, show_decisions, word_first_page
from analysis.report.site_pages import INDEX, INDEX_TITLE
from analysis.review import publication
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
from analysis.review.countries_page import (
    SideBySide,
    check_side_by_side,
    compare_countries,
    show_side_by_side,
)
from analysis.review.decisions import (
    Basis,
    check_decisions,
    list_items,
    merge_decisions,
    read_filled_sheet,
    review_path,
    show_form,
    write_sheet,
)
from analysis.review.narrative import PAGE as NARRATIVE
from analysis.review.narrative import load_narrative, show_narrative
from analysis.review.publication import corrections_path, load_corrections
from analysis.review.reports import Report, read_report
from analysis.study.parameters import absolute, changed_numbers
from analysis.tables import write_table
from analysis.vocabulary import AUDIT_RESULTS

NOTEBOOKS = SHIPPED / "notebooks"
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
    if report and report.probe_cc != draft.probe_cc:
        of = f"is of {country_name(report.probe_cc)}, the draft of {country_name(draft.probe_cc)}"
        raise ParameterError("REPORT", report.folder, of)
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


def add_notice(arguments: Iterable[str]) -> str:
    """Put what was found wrong in a published report on its pages.

    Returns:
        A line for a terminal.

    Raises:
        ParameterError: the argument is wrong, or no error is on record for the report.
    """
    given = read_values(arguments, ("OUT",))
    if not given.get("OUT"):
        raise ParameterError("OUT", "", "must be given: the folder of a published report")
    report = read_report(_path("OUT", given), "OUT")
    found = load_corrections(corrections_path(report.probe_cc), report.period)
    return f"notice: on {publication.add_notice(report, found)} pages of {report.folder}"


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
        SetItem(NARRATIVE, "Background and recommendations", ""),
        SetItem(FORM, "Feedback form", ""),
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
            title = f"{lang.say('Feedback form')} · {page.country} · {page.period} · {page.status}"
            write_sheet(tables, title, items, basis, lang)
        opening, *boxes = show_form(items, lang, edition.up)
        return [opening, *show_decisions(tables, lang), *boxes]

    line = lang.say("Each finding and each listed site, with boxes to tick, for a meeting.")
    return Appendix(SetItem(FORM, lang.say("Feedback form"), line), make)


def narrative_page(probe_cc: str, lang: Language, up: str) -> Appendix:
    """What people have written around the findings; ``up`` leads from it to the English pages."""

    def make(tables: Path, findings: Mapping[str, Any]) -> list[Section]:
        texts, english = load_narrative(probe_cc, lang.code), load_narrative(probe_cc, "en")
        return show_narrative(texts, english, findings, lang, up)

    line = lang.say("Background, law, recommendations, and how to contribute.")
    return Appendix(SetItem(NARRATIVE, lang.say("Background and recommendations"), line), make)


#: What is one country's own.
_OF_ONE = ("EVENTS", "NETWORKS", "OUTAGES", "PREVIOUS", "CLAIMS")
_MOST = 40  # countries; a table with more columns is read by nobody


@dataclass(frozen=True)
class Plan:
    """Reports to be made, one a country, and where their page goes.

    Attributes:
        settings: of each report, in the order of the codes.
        out: the folder of the page.
    """

    settings: tuple[Settings, ...]
    out: Path


def plan_reports(arguments: Iterable[str]) -> Plan | None:
    """Read the arguments of a report of several countries; None where it is of one.

    Each country's report goes where it goes by itself, and with ``OUT`` into a folder of its code
    there. Of ``TEST_LIST`` each country is given its own lists and the general ones.

    Raises:
        ParameterError: an argument is wrong, or is one country's own.
    """
    given = [*arguments]
    values = read_values(given)
    if "," not in values.get("PROBE_CC", ""):
        return None
    named = [part for part in values["PROBE_CC"].split(",") if part.strip()]
    codes = sorted(map(parse_country, named))
    if len(set(codes)) < max(len(codes), 2) or len(codes) > _MOST:
        accepted = f"each country once, such as KH,MY,VN; at most {_MOST}"
        raise ParameterError("PROBE_CC", values["PROBE_CC"], accepted)
    for name in _OF_ONE:
        if values.get(name):
            raise ParameterError(
                name, values[name], "is one country's own: make that report by itself, then hold "
                "them together with 'python -m analysis side-by-side FOLDER FOLDER'"
            )  # fmt: skip
    every = tuple(parse_settings([*given, *_of_country(code, codes, values)]) for code in codes)
    return Plan(every, _page_folder(every, values.get("OUT", "")))


def _of_country(code: str, codes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """What differs from country to country."""
    own = [f"PROBE_CC={code}"]
    if values.get("OUT"):
        own.append(f"OUT={values['OUT']}/{code.lower()}")
    if values.get("TEST_LIST"):
        others = {other.lower() for other in codes if other != code}
        lists = [
            part for part in values["TEST_LIST"].split(",")
            if Path(part.strip()).stem.lower().split("-")[0] not in others
        ]  # fmt: skip
        own.append(f"TEST_LIST={','.join(lists)}")
    return own


def _page_folder(every: Sequence[Settings], out: str) -> Path:
    if out:
        return every[0].out.parent / "side-by-side"
    label = every[0].study.label.partition("/")[2]
    return default_folder([one.probe_cc for one in every], label)


def default_folder(codes: Iterable[str], label: str) -> Path:
    """Where a page goes that nobody says a folder for; ``label`` is the period's."""
    return REPOSITORY / "reports" / "side-by-side" / "-".join(sorted(codes)).lower() / label


def make_reports(
    plan: Plan, make: Callable[[Settings], Path], say: Callable[[str], None]
) -> tuple[list[Report], dict[str, WorkbookError]]:
    """Make one report after the other; one that fails does not lose the others.

    Args:
        plan: see ``plan_reports``.
        make: makes a report.
        say: tells whoever waits.

    Returns:
        The reports, and the errors by the codes of the countries that have none.

    Raises:
        ParameterError: a folder holds something else, or a test list is wrong; nothing was made.
    """
    for one in plan.settings:  # what is wrong of any ends here, not after hours
        refuse_foreign(one.out, "findings")
        if not one.is_embedded:
            load_test_lists(one.study.test_list, one.probe_cc)
    refuse_foreign(plan.out, "reports")
    reports: list[Report] = []
    failed: dict[str, WorkbookError] = {}
    for settings in plan.settings:
        name = country_name(settings.probe_cc)
        say(f"{name}:")
        try:
            reports.append(read_report(make(settings).parent, "OUT"))
        except (SourceError, ContractError) as error:
            failed[settings.probe_cc] = error
            say(f"{name}: no report. {type(error).__name__}: {error}")
    return reports, failed


_INDEX = "index.html"
_NO_SITES = "no web site was tested there (its report is of apps and tools alone)"
_FEW = 4  # countries whose names fit a page's head


def hold_side_by_side(folders: Sequence[Path], out: Path | None) -> Path:
    """Make the page of reports that are there already; returns it.

    Args:
        folders: of the reports, one a country.
        out: the folder of the page; by default one that names countries and period.

    Raises:
        ParameterError: fewer than two reports, or they cannot be compared.
    """
    if len(folders) < 2:
        given = folders[0] if folders else ""
        raise ParameterError("REPORT", given, "two folders or more are accepted, a country each")
    reports = [read_report(folder.resolve(), "REPORT") for folder in folders]
    check_side_by_side(reports)
    changes = reports[0].run.get("changed_thresholds") or {}
    label = "".join([str(reports[0].period), *(f".{name}={changes[name]}" for name in changes)])
    place = default_folder((report.probe_cc for report in reports), label)
    return publish_side_by_side(reports, {}, out or place)


def publish_side_by_side(
    reports: Sequence[Report],
    failed: Mapping[str, WorkbookError],
    out: Path,
    languages: Sequence[Language] = (ENGLISH,),
) -> Path:
    """Write the page and its tables; returns the page.

    Args:
        reports: one a country, of one period and method.
        failed: the errors of the countries that have none.
        out: the folder of the page.
        languages: of the page, the first at the top.

    Raises:
        ParameterError: the reports cannot be compared, or ``out`` holds something else.
    """
    why = {code: str(error) for code, error in failed.items()}
    with_sites = [report for report in reports if (report.tables / "verdicts.csv").is_file()]
    why |= {report.probe_cc: _NO_SITES for report in reports if report not in with_sites}
    if not with_sites:
        raise ParameterError("REPORT", reports[0].folder, _NO_SITES)
    reports = with_sites
    check_side_by_side(reports)
    compared = compare_countries(reports, why)
    links = _links(reports, out.resolve())
    with published(out, "reports") as build:
        written = SideBySide(
            countries=write_table(build.tables, "side_by_side", compared.countries),
            mechanisms=write_table(build.tables, "side_by_side_mechanisms", compared.mechanisms),
            sites=write_table(build.tables, "side_by_side_sites", compared.sites),
        )
        for edition in list_editions(languages, partial(_context_of_all, reports, why)):
            lang = edition.page.lang
            item = SetItem(_INDEX, lang.say("Countries side by side"), "", lang.code)
            placed = {code: f"{edition.up}{link}" for code, link in links.items()}
            sections = show_side_by_side(written, links=placed, lang=lang)
            write_alone(build.folder, edition, item, sections)
        build.run = _run(reports, why)
    return out.resolve() / _INDEX


def _links(reports: Sequence[Report], out: Path) -> dict[str, str]:
    """Where each report lies from the page, if it lies in the same folder of reports: of any
    other place the way would name folders of this machine."""
    every = [report.folder.resolve() for report in reports]
    shared = Path(os.path.commonpath([out, *every]))
    is_near = len(out.relative_to(shared).parts) <= 3 and all(
        len(folder.relative_to(shared).parts) <= 2 for folder in every
    )
    if not is_near:
        return {}
    return {
        report.probe_cc: f"{Path(os.path.relpath(folder, out)).as_posix()}/{_INDEX}"
        for report, folder in zip(reports, every, strict=True)
    }


def _context_of_all(
    reports: Sequence[Report], why: Mapping[str, str], lang: Language
) -> PageContext:
    codes = [*(report.probe_cc for report in reports), *why]
    names = sorted(country_name(code, lang) for code in codes)
    period, run = reports[0].period, reports[0].run
    thresholds = Thresholds().changed_by(run.get("changed_thresholds") or {})
    return PageContext(
        country=lang.listed(names) if len(names) <= _FEW
        else lang.say("{count} countries", count=len(names)),
        period=lang.period(period),
        status=_status(reports, lang),
        data_date=period.last_day,
        method_changes=tuple(changed_numbers(thresholds)),
        title=lang.say("Internet censorship report"),
        lang=lang,
    )  # fmt: skip


def _status(reports: Sequence[Report], lang: Language) -> str:
    """What the reports say of themselves, each different one once."""
    said = [
        str(report.run.get("status") or status_in_words(report.probe_cc, "", lang))
        for report in reports
    ]
    return " · ".join(lang.say(one) for one in dict.fromkeys(said))


def _run(reports: Sequence[Report], why: Mapping[str, str]) -> dict[str, Any]:
    """What ``run.json`` says: of which reports the page was made."""
    first = reports[0]
    codes = sorted([*(report.probe_cc for report in reports), *why])
    return {
        "parameters": {
            "probe_cc": ",".join(codes),
            "since": str(first.period.since),
            "until": str(first.period.until),
        },
        **{name: first.run.get(name) for name in
           ("rules_version", "code_version", "changed_thresholds")},
        "reports": {report.probe_cc: report.digest for report in reports},
        "without_report": dict(why),
    }  # fmt: skip
