"""What a meeting writes its objections on: a spreadsheet, and the same as a form for paper."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from analysis.review.basis import Basis
from analysis.review.decisions import LONGEST_REASON, LONGEST_ROLE
from analysis.tables import read_table
from analysis.vocabulary import DECISIONS, STATES

#: Lies among the tables.
SHEET = "feedback.xlsx"
#: Columns of the sheet in order, each with its width.
COLUMNS = {"item": 26, "claim": 60, "decision": 14, "reason": 50, "role": 24, "date": 13}
#: The first row of the sheet that holds an item; above it stand the title and the headings.
FIRST_ROW = 3
#: The other sheet, which says of what run this one is.
ABOUT = "about"
_ID = re.compile("F[0-9]+")  # of a finding
_MORE_ROWS = 200  # that the drop-down reaches below the last item, for other sites


@dataclass(frozen=True)
class Item:
    """One line to decide on: a finding or a listed site, and what stands decided of it."""

    name: str
    claim: str
    decision: str = ""
    reason: str = ""
    role: str = ""
    date: str = ""

    @property
    def words(self) -> str:
        """The decision in words."""
        return DECISIONS.get(self.decision, "")


def feedback_title(lang: Language) -> str:
    """The title of the form."""
    return lang.say("Feedback form")


def list_items(tables: Path, findings: Mapping[str, str], lang: Language = ENGLISH) -> list[Item]:
    """The findings in the order of their ids, then the listed sites by name.

    Args:
        tables: with ``blocked_sites`` and ``decisions``.
        findings: id → claim, in the language.
        lang: of the claims on sites.
    """
    decided = read_decided(tables)
    sites = read_table(tables, "blocked_sites")
    claims = dict(sorted(findings.items()))
    claims |= {str(row.domain): _site_claim(row, lang) for row in sites.itertuples(index=False)}
    return [Item(name, claim, **decided.get(name, {})) for name, claim in claims.items()]


def write_sheet(
    tables: Path, title: str, items: Sequence[Item], basis: Basis, lang: Language = ENGLISH
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
        for line, (name, value) in enumerate(basis.as_cells().items()):
            about.write_string(line, 0, name)
            about.write_string(line, 1, as_text(value))


def show_form(
    items: Sequence[Item], lang: Language = ENGLISH, up: str = ""
) -> list[tuple[str, Markup]]:
    """The sections of the form for paper: how it is used, then the findings and the sites.

    ``up`` is the way from the page to the top of the report, where the sheet lies.
    """
    form = macros("form.html.j2", lang)
    findings = [item for item in items if _ID.fullmatch(item.name)]
    sites = [item for item in items if not _ID.fullmatch(item.name)]
    sections = [("", Markup(form.opening(link(f"{up}tables/{SHEET}", SHEET))))]
    for heading, part in (
        (lang.heading("Findings"), findings),
        (lang.heading("Listed sites"), sites),
    ):
        if part:
            sections.append((heading, Markup(form.items(part, list(DECISIONS.values())))))
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
    book: xlsxwriter.Workbook, title: str, items: Sequence[Item], lang: Language
) -> None:
    sheet: Any = book.add_worksheet("feedback")
    bold = book.add_format({"bold": True, "valign": "top"})
    given = book.add_format({"text_wrap": True, "valign": "top"})
    asked = book.add_format({"text_wrap": True, "valign": "top", "bg_color": "#F6F4F0"})
    day = book.add_format({"num_format": "yyyy-mm-dd", "valign": "top", "bg_color": "#F6F4F0"})
    sheet.write_string(0, 0, as_text(title), bold)
    for column, (name, width) in enumerate(COLUMNS.items()):
        sheet.set_column(column, column, width)
        sheet.write_string(1, column, heading(name, lang), bold)
    for line, item in enumerate(items, start=FIRST_ROW - 1):
        sheet.write_string(line, 0, as_text(item.name), given)
        sheet.write_string(line, 1, as_text(item.claim), given)
        words = lang.say(item.words) if item.words else ""
        for column, text in ((2, words), (3, item.reason), (4, item.role)):
            if text:
                sheet.write_string(line, column, as_text(text), asked)
            else:
                sheet.write_blank(line, column, None, asked)
        if item.date:
            sheet.write_datetime(line, 5, datetime.fromisoformat(item.date), day)
        else:
            sheet.write_blank(line, 5, None, day)
    _restrict(sheet, len(items), [lang.say(words) for words in DECISIONS.values()])
    sheet.freeze_panes(2, 1)
    sheet.autofilter(1, 0, len(items) + 1, len(COLUMNS) - 1)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(1)


def _restrict(sheet: Any, count: int, words: list[str]) -> None:
    """A drop-down, lengths and days, as reading the sheet back asks for them."""
    first, last = FIRST_ROW - 1, FIRST_ROW + count + _MORE_ROWS
    sheet.data_validation(first, 2, last, 2, {"validate": "list", "source": words})
    for column, most in ((3, LONGEST_REASON), (4, LONGEST_ROLE)):
        rule = {"validate": "length", "criteria": "<=", "value": most}
        sheet.data_validation(first, column, last, column, rule)
    since = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    rule = {"validate": "date", "criteria": ">=", "value": since}
    sheet.data_validation(first, 5, last, 5, rule)


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
