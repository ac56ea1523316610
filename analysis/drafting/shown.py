"""Decisions as a reader meets them: beside a finding or a site, and all of them in one place."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analysis.display.markup import macros
from analysis.display.tables import render_table
from analysis.drafting.decisions import is_finding
from analysis.findings.decided import APPLIED, LEAVE_OUT, find_left_out, read_decided
from analysis.languages.language import ENGLISH, Language
from analysis.tables import read_table
from analysis.vocabulary import DECISIONS


def decide_first_page(
    summary: Mapping[str, Any], tables: Path, lang: Language = ENGLISH
) -> dict[str, Any]:
    """The first page with what was decided of its findings; those that were left out are not on it.

    Args:
        summary: ``rendering.Summary``.
        tables: with ``decisions``.
        lang: of the page.
    """
    decided = read_decided(tables)
    left_out = find_left_out(decided)
    findings = [
        {**finding, "decision": show_decision(decided.get(finding["id"]), lang)}
        for finding in summary["findings"]
        if finding["id"] not in left_out
    ]
    return {**summary, "findings": findings, "decided": show_decisions(tables, lang)}


def show_decision(decided: Mapping[str, str] | None, lang: Language = ENGLISH) -> Markup:
    """What stands beside an item; nothing where nothing was decided.

    Args:
        decided: its decision, of ``findings.decided.read_decided``.
        lang: of the page.
    """
    if not decided:
        return Markup("")
    head = lang.html(
        "Decided on {day}: {decision}. Raised by: {role}.",
        day=date.fromisoformat(decided["date"]),
        decision=lang.say(DECISIONS[decided["decision"]]).lower(), role=decided["role"],
    )  # fmt: skip
    return Markup(macros("form.html.j2", lang).decision(head, decided["reason"]))


def show_decisions(tables: Path, lang: Language = ENGLISH) -> tuple[str, Markup] | tuple[()]:
    """The section with the decisions of the country, or nothing where there is none.

    The table has those that stand beside no finding: on sites, what was left out, and what was
    taken on another period or method.
    """
    decisions = read_table(tables, "decisions")
    if decisions.empty:
        return ()
    is_applied = decisions["status"] == APPLIED
    count = int(is_applied.sum())
    opening = lang.html_plural(
        "{n} decision of a meeting holds for this report. A decision changes no verdict and no "
        "number; what was left out stays in the tables.",
        "{n} decisions of a meeting hold for this report. A decision changes no verdict and no "
        "number; what was left out stays in the tables.",
        count,
    )  # fmt: skip
    is_beside = (
        is_applied & decisions["item"].map(is_finding) & (decisions["decision"] != LEAVE_OUT)
    )
    shown = decisions.loc[~is_beside, ["item", "decision", "reason", "date", "role", "status"]]
    if shown.empty:
        return lang.say("What was decided"), Markup("<p>{}</p>").format(opening)
    caption = lang.say("Decisions that stand beside no finding")
    table = render_table(shown, caption, "", 12, {}, lang=lang)
    return lang.say("What was decided"), Markup("<p>{}</p>{}").format(opening, table)
