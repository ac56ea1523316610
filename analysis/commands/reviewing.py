"""``review``: a filled-in feedback sheet into the country's file; and a report's pages for people:
the form for a meeting, and what was written around the findings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analysis.errors import printable
from analysis.languages.language import Language
from analysis.pages.editions import Appendix, Edition
from analysis.pages.rendering import Section, SetItem
from analysis.report.decided import FORM, show_decisions
from analysis.report.first_page import word_first_page
from analysis.review.decisions import Basis, check_decisions, merge_decisions, review_path
from analysis.review.feedback import (
    feedback_title,
    list_items,
    read_filled_sheet,
    show_form,
    write_sheet,
)
from analysis.review.narrative import PAGE as NARRATIVE
from analysis.review.narrative import load_narrative, narrative_title, show_narrative


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
