"""``pdf``: a report's findings, annex and comparison as one file a language."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from analysis.commands.reporting import Inputs, describe_run, list_decisions
from analysis.commands.settings import Settings
from analysis.languages.language import SOURCE
from analysis.languages.translations import list_translated
from analysis.pages.paper import PARTS, find_browser, print_pages
from analysis.pages.replacing import published
from analysis.review.reports import Report, read_report
from analysis.tables import read_table


def print_report(
    settings: Settings, gather: Callable[[], Inputs], make: Callable[[], object]
) -> list[Path]:
    """Print the report that the settings mean; one that is not there yet is made first, and so is
    one of other data, lists, decisions or languages than those of now.

    Args:
        settings: of the run.
        gather: reads what a report is made of, as it was last read of a server.
        make: makes the report.

    Returns:
        The files, one a language.

    Raises:
        SourceError: there is no Chromium.
    """
    browser = find_browser()
    if not is_there(settings, gather):
        make()
    report = read_report(settings.out, "OUT")
    with published(report.folder, "findings", is_copy=True) as build:
        folders = [build.folder, *(build.folder / code for code in (SOURCE, *list_translated()))]
        printed = [
            print_pages(folder, build.folder, browser, report.period.last_day)
            for folder in folders
            if (folder / PARTS[0]).is_file()
        ]
        files = [path.relative_to(build.folder) for path in printed]
    return [report.folder / file for file in files]


def is_there(settings: Settings, gather: Callable[[], Inputs]) -> bool:
    """Whether the report in its place is the one that would be made now: of the same data, lists
    and decisions, by the same method, with this status and in these languages.
    """
    if not (settings.out / "run.json").is_file():
        return False
    report = read_report(settings.out, "OUT")
    if report.probe_cc != settings.probe_cc or report.period != settings.period:
        return False
    inputs = gather()
    run = json.loads(json.dumps(describe_run(inputs)))
    run["languages"] = [lang.code for lang in settings.languages]
    # what is there only where somebody gave it must be there in neither
    given = {name: run.get(name) for name in (*run, "claims", "previous_digest")}
    is_same = all(report.run.get(name) == value for name, value in given.items())
    return is_same and _has_decisions(report, list_decisions(run, inputs.earlier))


def _has_decisions(report: Report, decisions: pd.DataFrame) -> bool:
    if not (report.tables / "decisions.csv").is_file():
        return False
    then = read_table(report.tables, "decisions")
    now = decisions[list(then.columns)].astype("str")
    return bool(then.to_numpy().tolist() == now.to_numpy().tolist())
