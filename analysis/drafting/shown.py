"""Decisions as a reader meets them: beside a finding or a site, and all of them in one place."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analysis.display.markup import macros
from analysis.display.tables import render_table
from analysis.findings.decided import APPLIED, find_left_out, read_decided
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
    """The section with every decision of the country, or nothing where there is none.

    One that was taken on another period or method is there too, as not applied.
    """
    decisions = read_table(tables, "decisions")
    if decisions.empty:
        return ()
    count = int((decisions["status"] == APPLIED).sum())
    opening = lang.html_plural(
        "{n} decision of a meeting holds for this report. A decision changes no verdict and no "
        "number; what was left out stays in the tables.",
        "{n} decisions of a meeting hold for this report. A decision changes no verdict and no "
        "number; what was left out stays in the tables.",
        count,
    )  # fmt: skip
    shown = decisions if count < len(decisions) else decisions.drop(columns=["period", "method"])
    table = render_table(shown, lang.say("Decisions of meetings"), "", 12, {}, lang=lang)
    return lang.say("What was decided"), Markup("<p>{}</p>{}").format(opening, table)
