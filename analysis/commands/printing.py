"""``pdf``: a report's findings, annex and comparison as one file a language."""

from collections.abc import Callable
from pathlib import Path

from analysis.auditing.lookups import read_report
from analysis.commands.auditing import status_in_words
from analysis.commands.settings import Settings
from analysis.languages.catalogue import list_translated
from analysis.languages.language import SOURCE
from analysis.publishing.paper import PARTS, find_browser, print_pages
from analysis.publishing.publishing import changed_report


def print_report(settings: Settings, make: Callable[[], object]) -> list[Path]:
    """Print the report that the settings mean; one that is not there yet is made first.

    Args:
        settings: of the run.
        make: makes the report.

    Returns:
        The files, one a language.

    Raises:
        SourceError: there is no Chromium.
    """
    browser = find_browser()
    if not _is_there(settings):
        make()
    report = read_report(settings.out.resolve(), "OUT")
    with changed_report(report.folder, report.run) as (build, _):
        folders = [build, *(build / code for code in (SOURCE, *list_translated()))]
        printed = [
            print_pages(folder, build, browser, report.period.last_day).relative_to(build)
            for folder in folders
            if (folder / PARTS[0]).is_file()
        ]
    return [report.folder / file for file in printed]


def _is_there(settings: Settings) -> bool:
    """Whether the report lies in its place: of this period and method, and with this status."""
    if not (settings.out / "run.json").is_file():
        return False
    report = read_report(settings.out, "OUT")
    study = settings.study
    return (
        report.probe_cc == study.probe_cc
        and report.period == study.period
        and report.run.get("changed_thresholds") == study.thresholds.changes()
        and report.run.get("status") == status_in_words(study.probe_cc, settings.status)
    )
