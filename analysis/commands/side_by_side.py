"""``PROBE_CC=KH,MY,VN``: a report a country, and a page that holds them side by side."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis.commands.auditing import status_in_words
from analysis.commands.settings import Settings, parse_settings, read_values
from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.languages.language import ENGLISH, Language
from analysis.outcomes.thresholds import Thresholds
from analysis.pages.rendering import PageContext, SetItem, list_editions, write_alone
from analysis.pages.replacing import published, refuse_foreign
from analysis.reference.reference_files import REPOSITORY, country_name, parse_country
from analysis.reference.test_lists import load_test_lists
from analysis.review.countries_page import (
    Comparison,
    check_comparable,
    compare_countries,
    show_side_by_side,
)
from analysis.review.reports import Report, read_report
from analysis.study.parameters import changed_numbers
from analysis.tables import write_table

#: What is one country's own.
_OF_ONE = ("EVENTS", "NETWORKS", "PREVIOUS", "CLAIMS")
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
    check_comparable(reports)
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
    check_comparable(reports)
    compared = compare_countries(reports, why)
    links = _links(reports, out.resolve())
    with published(out, "reports") as build:
        written = Comparison(
            countries=write_table(build.tables, "side_by_side", compared.countries),
            mechanisms=write_table(build.tables, "side_by_side_mechanisms", compared.mechanisms),
            sites=write_table(build.tables, "side_by_side_sites", compared.sites),
        )
        for edition in list_editions(languages, partial(_context, reports, why)):
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


def _context(reports: Sequence[Report], why: Mapping[str, str], lang: Language) -> PageContext:
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
