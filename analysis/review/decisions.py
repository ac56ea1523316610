"""A meeting's decisions, each with the run that it was taken on, and the sheet that collects them.

The file is written by people or by ``python -m analysis review``. A decision is never guessed to
hold: in a run of another period or method it is shown as not applied.

The sheet is a spreadsheet, and the same as a form for paper. Anybody may have sent a sheet that
comes back filled in. It is bounded before it is opened, only text and days are taken from it,
and what is wrong is named by its cell.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

import openpyxl
import pandas as pd
import xlsxwriter
import yaml
from markupsafe import Markup

from analysis.errors import ContractError, ParameterError
from analysis.hosts import normalise
from analysis.languages.language import ENGLISH, Language, list_translated, open_language
from analysis.pages.formats import link, macros
from analysis.pages.spreadsheet import CREATED, as_text
from analysis.period import Period, parse_date
from analysis.reference.reference_files import REPOSITORY, NodeReader, parse_country, read_file
from analysis.report.first_page import APPLIED, NOT_APPLIED, read_decided
from analysis.tables import TABLES, read_table
from analysis.vocabulary import DECISIONS

#: One file a country.
REVIEWS = REPOSITORY / "data" / "review"
LONGEST_REASON, LONGEST_ROLE = 600, 80
HEAD = """\
# What meetings decided of drafts, for `make report`. A decision holds for the period and the method
# (rules_version, and thresholds where some were changed) that it was taken on. Roles, never names.
# `python -m analysis review FILE` brings in a filled-in feedback sheet; comments below this line
# are not kept.
"""

_BASIS = ("since", "until", "rules_version")
_MOST = 5_000
_FINDING = re.compile(r"F[1-9][0-9]?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12}|e-[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Basis:
    """A run, as far as a decision depends on it.

    Attributes:
        probe_cc: the country.
        period: the whole period.
        rules_version: of the method.
        thresholds: the numbers that differ from the published method, by name.
    """

    probe_cc: str
    period: Period
    rules_version: int
    thresholds: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> "Basis":
        """That of a report, by what its ``run.json`` says."""
        given = run["parameters"]
        period = Period.parse(given["since"], given["until"])
        changed = tuple(sorted(run.get("changed_thresholds", {}).items()))
        return cls(given["probe_cc"], period, run["rules_version"], changed)

    @property
    def changes(self) -> str:
        """The changed numbers: ``floor_days=4; floor_sessions=6``."""
        return "; ".join(f"{name}={value:g}" for name, value in self.thresholds)

    @property
    def method(self) -> str:
        """The method in one cell: ``rules 8; floor_sessions=6``."""
        return "; ".join(filter(None, [f"rules {self.rules_version}", self.changes]))


@dataclass(frozen=True)
class Decision:
    """What a meeting decided of one finding or site.

    Attributes:
        item: ``F1`` or a host name.
        decision: a key of ``vocabulary.DECISIONS``.
        reason: in a sentence.
        date: of the meeting, ISO.
        role: of who objected; never a person's name.
        basis: the run that lay before the meeting.
    """

    item: str
    decision: str
    reason: str
    date: str
    role: str
    basis: Basis

    @property
    def line(self) -> str:
        """The decision in one line."""
        words = DECISIONS[self.decision].lower()
        return f"{self.item}: {words}, {self.date}, {self.role}: {self.reason}"


# What people write -------------------------------------------------------------------------------


def parse_number(text: str) -> float:
    """A number that is not negative, as people and this workbook write it."""
    if not _NUMBER.fullmatch(text):
        raise ParameterError("number", text, "a number such as 8 or 0.05 is accepted")
    return float(text)


def is_finding(item: str) -> bool:
    """Whether a decision is on a finding, rather than on a site."""
    return _FINDING.fullmatch(item) is not None


def _parse_item(text: str) -> str:
    """A finding's id or a host name in its one spelling."""
    item = text.upper() if is_finding(text.upper()) else normalise(text)
    if not item:
        raise ParameterError("item", text, "a finding's id, such as F1, or a site is accepted")
    return item


def _parse_decision(text: str) -> str:
    """The code of a decision, given as such or in the words of any language."""
    for lang in map(open_language, ("en", *list_translated())):
        for code, words in DECISIONS.items():
            if text.casefold() in (code, lang.say(words).casefold()):
                return code
    raise ParameterError("decision", text, f"one of {', '.join(DECISIONS)} is accepted")


def _parse_reason(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_REASON:
        accepted = f"a sentence of at most {LONGEST_REASON} characters is accepted"
        raise ParameterError("reason", text[:60], accepted)
    return text


def _parse_role(text: str) -> str:
    """A role; what looks like an address of somebody is refused."""
    if not 1 <= len(text) <= LONGEST_ROLE or "@" in text:
        raise ParameterError(
            "role", text, f"a role such as legal adviser, of at most {LONGEST_ROLE} characters, is "
            "accepted; no name and no address of a person"
        )  # fmt: skip
    return text


#: Attribute of a decision → what reads it from a text on one line, or raises ``ParameterError``.
PARSERS: Mapping[str, Callable[[str], str]] = {
    "item": _parse_item,
    "decision": _parse_decision,
    "reason": _parse_reason,
    "date": lambda text: str(parse_date("date", text)),
    "role": _parse_role,
}


# A country's file --------------------------------------------------------------------------------


def review_path(probe_cc: str) -> Path:
    """The file of a country's decisions."""
    return REVIEWS / f"{probe_cc.lower()}.yml"


def load_decisions(path: Path, probe_cc: str) -> tuple[Decision, ...]:
    """Read a country's decisions; none where there is no such file.

    Raises:
        ParameterError: the file is malformed or of another country; names file and line.
    """
    if not path.exists():
        return ()
    reader = NodeReader(path, "review")
    head = reader.mapping(reader.root(), ("probe_cc", "decisions"), "the file")
    if reader.checked(head["probe_cc"], parse_country) != probe_cc:
        reader.fail(head["probe_cc"], f"probe_cc is not {probe_cc}")
    found: dict[tuple[str, Basis], Decision] = {}
    for node in reader.items(head["decisions"], _MOST, "decisions"):
        cells = reader.mapping(node, (*PARSERS, *_BASIS), "a decision", ("thresholds",))
        told = {name: reader.checked(cells[name], parse) for name, parse in PARSERS.items()}
        one = Decision(**told, basis=_read_basis(reader, cells, probe_cc))
        if (one.item, one.basis) in found:
            reader.fail(node, f"a decision on {one.item} in this period and method stands above")
        found[one.item, one.basis] = one
    return tuple(found.values())


def _read_basis(reader: NodeReader, cells: Mapping[str, yaml.Node], probe_cc: str) -> Basis:
    """The run that a decision names; an earlier method may have had numbers of other names."""
    period = reader.period(cells["since"], cells["until"])
    version = int(reader.checked(cells["rules_version"], parse_number))
    node = cells.get("thresholds")
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    changed = {reader.plain(key): reader.checked(value, parse_number) for key, value in pairs}
    if node and not (len(changed) == len(pairs) > 0 and all(map(str.isidentifier, changed))):
        reader.fail(node, "thresholds must be names, each once, with its number")
    return Basis(probe_cc, period, version, tuple(sorted(changed.items())))


def merge_decisions(path: Path, brought: Sequence[Decision], *, dry_run: bool) -> list[str]:
    """Bring a sheet's decisions into a country's file; what they do not name stays in it.

    Args:
        path: of the file, which need not be there.
        brought: the sheet's, of one run: one on the same item, period and method replaces the
            earlier.
        dry_run: write nothing.

    Returns:
        A line for each decision that is new or changed.

    Raises:
        ParameterError: the file is malformed.
    """
    known = load_decisions(path, brought[0].basis.probe_cc)
    by_key = {(one.item, one.basis): one for one in known}
    changes = []
    for one in brought:
        before = by_key.get((one.item, one.basis))
        if before is None:
            changes.append(f"new: {one.line}")
        elif before != one:
            changes.append(f"changed: {one.line}; it was {before.line}")
        by_key[one.item, one.basis] = one
    if changes and not dry_run:
        _write(path, by_key.values())
    return changes


def _write(path: Path, decisions: Iterable[Decision]) -> None:
    """Write a country's file, whole or not at all; the same bytes for the same decisions."""
    ordered = sorted(decisions, key=lambda one: (str(one.basis.period), one.basis.method, one.item))
    probe_cc = ordered[0].basis.probe_cc
    content = {"probe_cc": probe_cc, "decisions": [_as_mapping(one) for one in ordered]}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(f"{HEAD}{text}", encoding="utf-8", newline="\n")
    aside.replace(path)


def _as_mapping(one: Decision) -> dict[str, Any]:
    basis = one.basis
    period = {"since": str(basis.period.since), "until": str(basis.period.until)}
    changed = {"thresholds": dict(basis.thresholds)} if basis.thresholds else {}
    told = {name: getattr(one, name) for name in PARSERS}
    return {**told, **period, "rules_version": basis.rules_version, **changed}


# A report ----------------------------------------------------------------------------------------


def decision_table(decisions: Sequence[Decision], basis: Basis) -> pd.DataFrame:
    """The contract's ``decisions`` for one run, by item, those that apply first.

    A row is a decision; ``status`` says whether it is of this period and method.
    """
    rows = [
        {
            **{name: getattr(one, name) for name in PARSERS},
            "status": APPLIED if one.basis == basis else NOT_APPLIED,
            "period": str(one.basis.period),
            "method": one.basis.method,
        }
        for one in decisions
    ]
    frame = pd.DataFrame(rows, columns=list(TABLES["decisions"].columns), dtype="str")
    return frame.sort_values(["status", "item", "date", "period", "method"], ignore_index=True)


def check_decisions(tables: Path) -> None:
    """Refuse a decision of this run that is on nothing in it.

    Args:
        tables: with ``decisions``, ``findings`` and ``verdicts``.

    Raises:
        ContractError: which decision.
    """
    decisions = read_table(tables, "decisions")
    known = {*read_table(tables, "findings")["id"], *read_table(tables, "verdicts")["domain"]}
    applied = decisions[decisions["status"] == APPLIED]
    for row in applied[~applied["item"].isin(known)].itertuples(index=False):
        what = "finding" if is_finding(str(row.item)) else "tested site"
        raise ContractError(
            f"decisions: {row.decision} of {row.date} is on {row.item}, and there is no such "
            f"{what} in this report, which has the decision's period and method; take it out of "
            "the file or correct it"
        )


T = TypeVar("T")

#: Lies among the tables.
SHEET = "feedback.xlsx"
#: Columns of the sheet in order, each with its width; what an item has, by name.
COLUMNS = {"item": 26, "claim": 60, "decision": 14, "reason": 50, "role": 24, "date": 13}
#: The first row of the sheet that holds an item; above it stand the title and the headings.
FIRST_ROW = 3
#: The other sheet, which says of what run this one is.
ABOUT = "about"
_MORE_ROWS = 200  # that the drop-down reaches below the last item, for other sites
#: Bounds of a sheet, all far above what this workbook writes: bytes as sent, bytes as unpacked,
#: rows; and the rows of any sheet there is.
_MOST_SENT, _MOST_UNPACKED, _MOST_ROWS, _LAST_ROW = 5_000_000, 50_000_000, 5_000, 1_048_576
#: So many rows may stand above the headings; some may have been put there, or taken away.
_MOST_ABOVE = 20
_ASKED = ("decision", "reason", "role", "date")
#: A line of the sheet, and its cells by the names of ``COLUMNS``.
_Row = tuple[int, Mapping[str, Any]]


# The form and the sheet, as a report has them -----------------------------------------------------


def list_items(
    tables: Path, findings: Mapping[str, str], lang: Language = ENGLISH
) -> list[dict[str, str]]:
    """The findings in the order of their ids, then the listed sites by name: a line to decide on
    each, with what stands decided of it under the names of ``COLUMNS``.

    Args:
        tables: with ``blocked_site_networks`` and ``decisions``.
        findings: id → claim, in the language.
        lang: of the claims on sites.
    """
    decided = read_decided(tables)
    claims = dict(sorted(findings.items()))
    for site, stretches in read_table(tables, "blocked_site_networks").groupby("domain"):
        claims[str(site)] = _site_claim(stretches, lang)
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


def _site_claim(stretches: pd.DataFrame, lang: Language) -> str:
    """On how many networks a site is blocked and likely blocked, and since when."""
    is_blocked = (stretches["state"] == "blocked").groupby(stretches["probe_asn"]).any()
    return lang.say(
        "Access networks: {traced} blocked, {likely} likely blocked; first seen so on {day}",
        traced=int(is_blocked.sum()), likely=int((~is_blocked).sum()),
        day=date.fromisoformat(min(stretches["blocked_from"])),
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


# The sheet, filled in ----------------------------------------------------------------------------


def read_filled_sheet(path: Path) -> list[Decision]:
    """The decisions on a sheet; a row whose columns were left empty holds none.

    Raises:
        ParameterError: it is no such sheet, or a cell is wrong; names the file and the cell.
    """
    about, rows = _read_cells(path, read_file(path, "FILE", _MOST_SENT))
    basis = _checked(path, f"sheet {ABOUT}", about, _read_sheet_basis)
    found: dict[str, Decision] = {}
    for line, cells in rows:
        texts = {name: _text(path, f"cell {_place(name, line)}", cells[name]) for name in cells}
        if not any(texts[name] for name in _ASKED):
            continue
        told = {
            name: _checked(path, f"cell {_place(name, line)}", texts[name], parse)
            for name, parse in PARSERS.items()
        }
        one = Decision(**told, basis=basis)
        if one.item in found:
            raise _fault(path, f"cell A{line}: {one.item} stands in a row above")
        found[one.item] = one
    return list(found.values())


def _read_cells(path: Path, data: bytes) -> tuple[dict[str, str], list[_Row]]:
    """What the sheet says of its run, and its rows that are not empty."""
    try:
        with ZipFile(BytesIO(data)) as archive:
            size = sum(file.file_size for file in archive.infolist())
    # No archive, names that are no text, or one of a later version of the format.
    except (BadZipFile, ValueError, NotImplementedError):
        raise _fault(path, "is no XLSX file") from None
    if size > _MOST_UNPACKED:
        raise _fault(path, f"unpacks to more than {_MOST_UNPACKED / 1e6:g} MB")
    headings = [
        [_plain(heading(name, lang)) for name in COLUMNS]
        for lang in map(open_language, ("en", *list_translated()))
    ]
    try:
        book = openpyxl.load_workbook(BytesIO(data), read_only=True, keep_links=False)
        about = {
            _plain(row[0].value): _plain(row[1].value)
            for row in book[ABOUT].iter_rows(max_row=20, max_col=2)
            if len(row) == 2
        }
        tables = [_rows(one, headings) for one in book.worksheets if one.title != ABOUT]
    except Exception:  # noqa: BLE001 - of a broken file the library raises what comes
        accepted = f"cannot be read as a feedback sheet, with the sheets feedback and {ABOUT}"
        raise _fault(path, accepted) from None
    found = [rows for rows in tables if rows is not None]
    if len(found) != 1:
        raise _fault(
            path, "one sheet with the headings that it was sent with, in their order, is accepted: "
            f"{', '.join(headings[0])}"
        )  # fmt: skip
    if found[0] and found[0][-1][0] > _MOST_ROWS:
        raise _fault(path, f"has more than {_MOST_ROWS:,} rows")
    return about, found[0]


def _rows(sheet: Any, headings: Sequence[Sequence[str]]) -> list[_Row] | None:
    """The rows below the headings of a sheet, without empty ones; None where it has no headings."""
    found: list[_Row] | None = None
    for line, row in enumerate(sheet.iter_rows(max_row=_LAST_ROW, max_col=len(COLUMNS)), start=1):
        texts = [_plain(cell.value) for cell in row]
        if found is None and line <= _MOST_ABOVE and texts in headings:
            found = []
        elif found is not None and any(texts):
            found.append((line, dict(zip(COLUMNS, row, strict=True))))
    return found


def _read_sheet_basis(cells: Mapping[str, str]) -> Basis:
    """The run that a sheet says it is of."""
    for name in ("probe_cc", "since", "until", "rules_version"):
        if not cells.get(name):
            raise ParameterError(name, "", "must stand on the sheet, as the report wrote it")
    changes = [part.partition("=") for part in cells.get("thresholds", "").split("; ") if part]
    return Basis(
        parse_country(cells["probe_cc"]),
        Period.parse(cells["since"], cells["until"]),
        int(parse_number(cells["rules_version"])),
        tuple(sorted((name, parse_number(value)) for name, _, value in changes)),
    )


def _text(path: Path, place: str, cell: Any) -> str:
    """A cell as text; a day as ISO."""
    if getattr(cell, "data_type", "") == "f":
        raise _fault(path, f"{place}: is a formula; write its value")
    if isinstance(cell.value, datetime | date):
        return str(cell.value)[:10]
    return _plain(cell.value).removeprefix("'")


def _plain(value: object) -> str:
    """A cell's text on one line, without what a terminal or a page would obey."""
    words = "" if value is None else str(value)
    kept = "".join(char if char.isprintable() or char in "\u200b\u200c\u200d" else " "
                   for char in words[:40_000])  # fmt: skip
    return " ".join(kept.split())


def _place(name: str, line: int) -> str:
    """A cell as a spreadsheet calls it."""
    return f"{'ABCDEF'[list(COLUMNS).index(name)]}{line}"


def _checked(path: Path, place: str, given: Any, parse: Callable[[Any], T]) -> T:
    try:
        return parse(given)
    except ParameterError as error:
        raise _fault(path, f"{place}: {error}") from None


def _fault(path: Path, message: str) -> ParameterError:
    """What is wrong with the file, to be raised."""
    return ParameterError("FILE", path, message)
