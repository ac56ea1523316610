"""What this run says otherwise than the published one."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.outcomes.thresholds import Thresholds
from analysis.pages.markup import is_publishing
from analysis.pages.show import show_finding, show_table, show_text
from analysis.reference.reference_files import REPOSITORY
from analysis.report.differences import compare_verdicts, gather
from analysis.study.confirmation import find_verdicts
from analysis.study.study import Study
from analysis.tables import read_table

#: More changes than these would make the page too large for a phone; the notebook has them all.
_MOST_PRINTED = 125
_NOTHING_TO_COMPARE = (
    "This run has the numbers and rules that are published with the workbook: it is the published "
    "run, and there is nothing to compare it with."
)


def find_published(study: Study) -> Path:
    """The folder of the tables that ``make report`` publishes of this country and period."""
    return REPOSITORY / "reports" / study.parameters.published_label / "tables"


def read_published(
    study: Study, networks: pd.DataFrame, thresholds: Thresholds
) -> tuple[pd.DataFrame, str] | None:
    """The verdicts of the published run, and what they are, in words.

    In a notebook that somebody has opened they are those of the published report, where there is
    one: it tells a changed rule as well as a changed number. A page must not depend on what lies on
    a disk: with other numbers the sites are judged by the published ones too, unless they have been
    before.

    Args:
        networks: ``Study.networks``.
        thresholds: the numbers of this run.

    Returns:
        None where this run is the published one.
    """
    published = find_published(study)
    if not is_publishing() and (published / "verdicts.csv").is_file():
        return read_table(published, "verdicts"), "the published report"
    if thresholds.changes():
        return find_verdicts(study, networks, Thresholds()), "the published numbers"
    return None


def show_flips(
    study: Study,
    networks: pd.DataFrame,
    verdicts: pd.DataFrame,
    thresholds: Thresholds,
) -> pd.DataFrame:
    """Show which pairs of site and network another verdict stands for than in the published run.

    Args:
        networks: ``Study.networks``.
        verdicts: those of this run.
        thresholds: the numbers of this run.

    Returns:
        ``differences.gather`` of the whole period; no rows where nothing differs.
    """
    published = read_published(study, networks, thresholds)
    before, against = published or (verdicts, "")
    flipped = compare_verdicts(before, verdicts)
    flipped = flipped[flipped["period"] == "all"].drop(columns="period")
    if not published:
        show_text(_NOTHING_TO_COMPARE)
    elif flipped.empty:
        show_text(f"Against {against} no pair of site and network changes its state.")
    else:
        _show_changes(flipped, against, study.network_names())
    return gather(flipped)


def _show_changes(flipped: pd.DataFrame, against: str, names: Mapping[str, str]) -> None:
    counts = flipped["change"].value_counts()
    site_count = flipped.loc[flipped["change"] != "restated", "domain"].nunique()
    show_finding(
        "flips",
        f"Against {against}, {counts.get('listed', 0)} pairs of site and network come on the list "
        f"and {counts.get('unlisted', 0)} leave it.",
        f"They belong to {site_count} sites; {counts.get('restated', 0)} further pairs change "
        "their state in another way.",
        "A pair without a state in one of the two runs was not tested in what that run read.",
    )
    rows = gather(flipped)
    show_table(
        rows,
        caption="Verdicts that flip, whole period",
        fold_after=25,
        is_printed=len(rows) <= _MOST_PRINTED,
        networks=names,
    )
