"""``review``: a filled-in feedback sheet into the country's file; and the form in a report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.drafting.basis import Basis
from analysis.drafting.decisions import check_decisions, review_path
from analysis.drafting.feedback import PAGE, list_items, show_form, write_sheet
from analysis.drafting.filled_sheet import read_filled_sheet
from analysis.drafting.merging import merge_decisions, write_decisions
from analysis.errors import printable
from analysis.languages.language import ENGLISH
from analysis.publishing.editions import Appendix
from analysis.publishing.rendering import Section, SetItem
from analysis.reference.countries import country_name


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
    merged = merge_decisions(path, brought)
    if merged.changes and not dry_run:
        write_decisions(path, merged.decisions)
    done = "would change" if dry_run else "changed"
    same = len(brought) - len(merged.changes)
    last = f"data/review/{path.name}: {len(merged.changes)} {done}, {same} stood there already"
    return "\n".join(printable(line) for line in (*merged.changes, last))


def feedback_page(run: Mapping[str, Any]) -> Appendix:
    """The form of a report that is being made, and its sheet."""
    basis = Basis.of_run(run)

    def make(tables: Path) -> list[Section]:
        check_decisions(tables)
        items = list_items(tables)
        title = ENGLISH.say(
            "Feedback on the draft: {country}, {period}, {status}",
            country=country_name(basis.probe_cc), period=basis.period, status=run["status"],
        )  # fmt: skip
        write_sheet(tables, title, items, basis)
        return show_form(items)

    line = ENGLISH.say("Each finding and each listed site, with boxes to tick, for a meeting.")
    return Appendix(SetItem(PAGE, ENGLISH.say("Feedback form"), line), make)
