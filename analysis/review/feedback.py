"""What a meeting writes its objections on: a spreadsheet, and the same as a form for paper."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import xlsxwriter
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import link
from analysis.pages.markup import macros
from analysis.pages.spreadsheet import CREATED, as_text
from analysis.report.decided import read_decided
from analysis.review.decisions import Basis, is_finding
from analysis.tables import read_table
from analysis.vocabulary import DECISIONS, STATES

#: Lies among the tables.
SHEET = "feedback.xlsx"
#: Columns of the sheet in order, each with its width; what an item has, by name.
COLUMNS = {"item": 26, "claim": 60, "decision": 14, "reason": 50, "role": 24, "date": 13}
#: The first row of the sheet that holds an item; above it stand the title and the headings.
FIRST_ROW = 3
#: The other sheet, which says of what run this one is.
ABOUT = "about"
_MORE_ROWS = 200  # that the drop-down reaches below the last item, for other sites


def feedback_title(lang: Language) -> str:
    """The title of the form."""
    return lang.say("Feedback form")


def list_items(
    tables: Path, findings: Mapping[str, str], lang: Language = ENGLISH
) -> list[dict[str, str]]:
    """The findings in the order of their ids, then the listed sites by name: a line to decide on
    each, with what stands decided of it under the names of ``COLUMNS``.

    Args:
        tables: with ``blocked_sites`` and ``decisions``.
        findings: id → claim, in the language.
        lang: of the claims on sites.
    """
    decided = read_decided(tables)
    claims = dict(sorted(findings.items()))
    for row in read_table(tables, "blocked_sites").itertuples(index=False):
        claims[str(row.domain)] = _site_claim(row, lang)
    return [
        {**dict.fromkeys(COLUMNS, ""), "item": item, "claim": claim, **decided.get(item, {})}
        for item, claim in claims.items()
    ]


def write_sheet(
    tables: Path,
    title: str,
    items: Sequence[Mapping[str, str]],
    basis: Basis,
    lang: Language = ENGLISH,
) -> None:
    """Write ``feedback.xlsx``: a row an item, columns to fill in, and a sheet on the run.

    No text in it is a formula or a link. The same items give the same bytes.
    """
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(tables / SHEET), options) as book:
        book.set_properties({"title": title, "created": CREATED})
        _write_items(book, title, items, lang)
        about = book.add_worksheet(ABOUT)
        about.set_column(0, 1, 24)
        cells = {
            "probe_cc": basis.probe_cc,
            "since": str(basis.period.since),
            "until": str(basis.period.until),
            "rules_version": str(basis.rules_version),
            "thresholds": basis.changes,
        }
        for line, pair in enumerate(cells.items()):
            about.write_row(line, 0, map(as_text, pair))


def show_form(
    items: Sequence[Mapping[str, str]], lang: Language = ENGLISH, up: str = ""
) -> list[tuple[str, Markup]]:
    """The sections of the form for paper: how it is used, then the findings and the sites.

    ``up`` is the way from the page to the top of the report, where the sheet lies.
    """
    form = macros("form.html.j2", lang)
    sections = [("", Markup(form.opening(link(f"{up}tables/{SHEET}", SHEET))))]
    for heading, of_findings in (
        (lang.heading("Findings"), True),
        (lang.heading("Listed sites"), False),
    ):
        part = [one for one in items if is_finding(one["item"]) == of_findings]
        if part:
            sections.append((heading, Markup(form.items(part, DECISIONS))))
    return [*sections, (lang.heading("Anything else"), Markup(form.others(4)))]


def _site_claim(row: Any, lang: Language) -> str:
    state = lang.say(STATES[str(row.state)].words)
    count = len(str(row.probe_asns).split(";"))
    return lang.say_plural(
        "{state} on {n} access network; first seen so on {day}",
        "{state} on {n} access networks; first seen so on {day}",
        count, state=state, day=date.fromisoformat(str(row.blocked_from)),
    )  # fmt: skip


def _write_items(
    book: xlsxwriter.Workbook, title: str, items: Sequence[Mapping[str, str]], lang: Language
) -> None:
    sheet: Any = book.add_worksheet("feedback")
    bold = book.add_format({"bold": True, "valign": "top"})
    given = book.add_format({"text_wrap": True, "valign": "top"})
    asked = book.add_format(
        {"text_wrap": True, "valign": "top", "bg_color": "#F6F4F0", "num_format": "yyyy-mm-dd"}
    )
    words = {"": "", **{code: lang.say(one) for code, one in DECISIONS.items()}}
    for column, width in enumerate(COLUMNS.values()):
        sheet.set_column(column, column, width)
    sheet.write_row(0, 0, [as_text(title)], bold)
    sheet.write_row(1, 0, [heading(name, lang) for name in COLUMNS], bold)
    for line, one in enumerate(items, start=FIRST_ROW - 1):
        sheet.write_row(line, 0, [as_text(one["item"]), as_text(one["claim"])], given)
        answers = [words[one["decision"]], one["reason"], one["role"]]
        sheet.write_row(line, 2, map(as_text, answers), asked)
        sheet.write(line, 5, date.fromisoformat(one["date"]) if one["date"] else None, asked)
    first, last = FIRST_ROW - 1, FIRST_ROW + len(items) + _MORE_ROWS
    choice = {"validate": "list", "source": [lang.say(one) for one in DECISIONS.values()]}
    sheet.data_validation(first, 2, last, 2, choice)
    since = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    day = {"validate": "date", "criteria": ">=", "value": since}
    sheet.data_validation(first, 5, last, 5, day)
    sheet.freeze_panes(2, 1)


def heading(name: str, lang: Language) -> str:
    """What heads one of ``COLUMNS``."""
    return {
        "item": lang.say("Finding or site"),
        "claim": lang.say("What the report says"),
        "decision": lang.say("Decision"),
        "reason": lang.say("Reason, and other words if it is to be reworded"),
        "role": lang.say("Raised by (a role, no name)"),
        "date": lang.say("Day of the meeting"),
    }[name]
