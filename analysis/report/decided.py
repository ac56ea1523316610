"""What a meeting decided that holds for this report, and how a reader meets it.

It stands beside a finding or a site, and all of it in one place, on the feedback form.

``decisions.csv`` lies among the tables before the first notebook runs (``review`` makes it of the
country's file); a folder that somebody's notebooks write into has none.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import link
from analysis.pages.html_tables import render_table
from analysis.pages.markup import macros
from analysis.tables import read_table
from analysis.vocabulary import DECISIONS

#: The page of the feedback form, on which every decision stands.
FORM = "feedback.html"
APPLIED, NOT_APPLIED = "applied", "not_applied"
LEAVE_OUT = "leave_out"

#: On the form, in every language.
_ANCHOR = "decided"
_MOST = 12  # items that a sentence names
_COLUMNS = ["decision", "reason", "date", "role"]


def read_decided(tables: str | Path) -> dict[str, dict[str, str]]:
    """Item → its decision in this report: ``decision, reason, date, role``."""
    if not (Path(tables) / "decisions.csv").is_file():
        return {}
    decisions = read_table(tables, "decisions")
    applied = decisions[decisions["status"] == APPLIED]
    return {
        str(row["item"]): {name: str(row[name]) for name in _COLUMNS}
        for row in applied.to_dict("records")
    }


def find_left_out(decided: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """The findings and sites that are not to stand on the first page."""
    return frozenset(item for item, one in decided.items() if one["decision"] == LEAVE_OUT)


def mark_decided(frame: pd.DataFrame, tables: str | Path) -> pd.DataFrame:
    """A table of sites whose notes say what was decided of them; no row is lost.

    Args:
        frame: with ``domain`` and ``note``.
        tables: the folder of the tables.
    """
    said = {
        item: f"decided on {one['date']}: {DECISIONS[one['decision']].lower()}"
        for item, one in read_decided(tables).items()
    }
    notes = [
        "; ".join(filter(None, (note, said.get(domain))))
        for domain, note in zip(frame["domain"], frame["note"], strict=True)
    ]
    return frame.assign(note=notes)


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
    return {**summary, "findings": findings, "decided": tell_decisions(tables, lang)}


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


def tell_decisions(tables: Path, lang: Language = ENGLISH) -> tuple[str, Markup] | tuple[()]:
    """The section of the first page: how many decisions hold, what was left out, where all stand.

    Nothing where no meeting has decided anything.
    """
    decisions = read_table(tables, "decisions")
    if decisions.empty:
        return ()
    count = int((decisions["status"] == APPLIED).sum())
    said = []
    if count:
        said.append(
            lang.html_plural(
                "{n} decision of a meeting holds for this report; it changes no verdict or number.",
                "{n} decisions of a meeting hold for this report; they change no verdict or "
                "number.",
                count,
            )
        )
    left_out = sorted(find_left_out(read_decided(tables)))
    if left_out:
        said.append(
            lang.html("Left out of this page, not of the tables: {items}.", items=left_out[:_MOST])
        )
    if count < len(decisions):
        said.append(
            lang.html_plural(
                "{n} decision of a meeting was taken on another period or method, and is not "
                "applied.",
                "{n} decisions of a meeting were taken on another period or method, and are not "
                "applied.",
                len(decisions) - count,
            )
        )
    place = link(f"{FORM}#{_ANCHOR}", lang.say("the feedback form"))
    said.append(lang.html("All of them stand on {place}.", place=place))
    return lang.say("What was decided"), Markup("<p>{}</p>").format(Markup(" ").join(said))


def show_decisions(tables: Path, lang: Language = ENGLISH) -> list[tuple[str, Markup]]:
    """The section of the form with every decision of the country; none where there is none.

    One that was taken on another period or method is there too, as not applied.
    """
    decisions = read_table(tables, "decisions")
    if decisions.empty:
        return []
    caption = lang.say("Decisions of meetings")
    table = render_table(decisions, caption, "", 40, {}, lang=lang)
    head = Markup('<div id="{}">{}</div>').format(_ANCHOR, table)
    return [(lang.heading("What was decided before"), head)]
