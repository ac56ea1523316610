"""The report's first page in words, from the numbers of ``run.json``; and a meeting's decisions.

A decision is printed beside the finding or the site that it is about, and all of them on the
feedback form.

``decisions.csv`` lies among the tables before the first notebook runs (``review`` makes it of the
country's file); a folder that somebody's notebooks write into has none.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import counted, link, macros
from analysis.pages.html_tables import render_table
from analysis.period import Period
from analysis.reference.reference_files import country_name
from analysis.report.finding_queries import run_query
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import (
    BRACKET_DAYS,
    count_headlines,
    number_networks,
    read_tables,
    summarise,
)
from analysis.report.listed_matrix import draw_listed
from analysis.report.verdict_words import open_template, split_parts
from analysis.report.weeks import draw_weeks
from analysis.study.study import Study
from analysis.tables import read_table, tell_cells, write_json, write_table
from analysis.vocabulary import DECISIONS

#: The page of the feedback form, which lists every decision.
FORM = "feedback.html"
APPLIED, NOT_APPLIED = "applied", "not_applied"
LEAVE_OUT = "leave_out"

#: The anchor of the decisions on the form, in every language.
_ANCHOR = "decided"
_MOST = 12  # items that a sentence names
_COLUMNS = ["decision", "reason", "date", "role"]


def read_decided(tables: str | Path) -> dict[str, dict[str, str]]:
    """Return the decisions of this report by item: ``decision, reason, date, role``."""
    if not (Path(tables) / "decisions.csv").is_file():
        return {}
    decisions = read_table(tables, "decisions")
    decisions = decisions.assign(date=tell_cells(decisions["date"], "date"))
    applied = decisions[decisions["status"] == APPLIED]
    return {
        str(row["item"]): {name: str(row[name]) for name in _COLUMNS}
        for row in applied.to_dict("records")
    }


def find_left_out(decided: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """Return the findings and sites that a meeting has left out of the first page."""
    return frozenset(
        item for item, decision in decided.items() if decision["decision"] == LEAVE_OUT
    )


def mark_decided(frame: pd.DataFrame, tables: str | Path) -> pd.DataFrame:
    """Return a table of sites with the decisions in its notes; no row is lost.

    Args:
        frame: with ``domain`` and ``note``.
        tables: the folder of the tables.
    """
    words = {
        item: f"decided on {decision['date']}: {DECISIONS[decision['decision']].lower()}"
        for item, decision in read_decided(tables).items()
    }
    notes = [
        "; ".join(filter(None, (note, words.get(domain))))
        for domain, note in zip(frame["domain"], frame["note"], strict=True)
    ]
    return frame.assign(note=notes)


def decide_first_page(
    summary: Mapping[str, Any], tables: Path, lang: Language = ENGLISH
) -> dict[str, Any]:
    """Return the first page with the decisions on its findings, without those that are left out.

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
    """Return the decision beside an item; nothing if there is none.

    Args:
        decided: its decision, of ``read_decided``.
        lang: of the page.
    """
    if not decided:
        return Markup("")
    head = lang.html(
        "Decided on {day}: {decision}. Raised by: {role}.",
        day=date.fromisoformat(decided["date"]),
        decision=lang.say(DECISIONS[decided["decision"]]).lower(),
        role=decided["role"],
    )
    return Markup(macros("form.html.j2", lang).decision(head, decided["reason"]))


def tell_decisions(tables: Path, lang: Language = ENGLISH) -> tuple[str, Markup] | tuple[()]:
    """Return the section of the first page on decisions: how many apply, what was left out, and a
    link.

    Nothing where no meeting has decided anything.
    """
    decisions = read_table(tables, "decisions")
    if decisions.empty:
        return ()
    count = int((decisions["status"] == APPLIED).sum())
    left_out = sorted(find_left_out(read_decided(tables)))[:_MOST]
    form_link = link(f"{FORM}#{_ANCHOR}", lang.say("the feedback form"))
    others = len(decisions) - count
    marks = [
        counted(f"decisions.{status}_count", number, lang.number(number))
        for status, number in ((APPLIED, count), (NOT_APPLIED, others))
    ]
    told = macros("form.html.j2", lang).told
    section = told(count, marks[0], left_out, others, marks[1], form_link)
    return lang.say("What was decided"), Markup(section)


def show_decisions(tables: Path, lang: Language = ENGLISH) -> list[tuple[str, Markup]]:
    """Return the section of the form with every decision of the country; none if there is none.

    One that was taken on another period or method is there too, as not applied.
    """
    decisions = read_table(tables, "decisions")
    if decisions.empty:
        return []
    caption = lang.say("Decisions of meetings")
    table = render_table(decisions, caption, "", 40, {}, lang=lang)
    head = Markup('<div id="{}"><div class="cards">{}</div></div>').format(_ANCHOR, table)
    return [(lang.heading("What was decided before"), head)]


#: The file among the tables with all values of the first page.
_DATA = "findings.json"


def write_findings(tables: str | Path, study: Study) -> None:
    """Write ``findings.json``, all values of the first page, and ``findings.csv``.

    Args:
        tables: the folder with the tables of all notebooks.
        study: its country, period and known events.
    """
    read = read_tables(tables)
    numbers, summary = count_headlines(read, study), summarise(read, tables, study)
    decided = read_decided(tables)
    page = Telling({}, numbers, ENGLISH, study.periods["all"], find_left_out(decided))
    rows = []
    for finding in summary["findings"]:
        finding["query"] = run_query(tables, finding, page.left_out)
        words = word_finding(replace(page, finding=finding))
        claim = Markup(f"{words.claim} {words.sites}").striptags()
        decision = decided.get(finding["id"], {}).get("decision", "")
        rows.append({**finding, "claim": claim, "decision": decision})
    write_json(Path(tables) / _DATA, summary)
    columns = ["id", "kind", "rank", "claim", "evidence", "decision"]
    write_table(tables, "findings", pd.DataFrame(rows, columns=columns))


def read_summary(tables: Path) -> dict[str, Any]:
    """Read what ``findings.summarise`` returned."""
    summary: dict[str, Any] = json.loads((tables / _DATA).read_text(encoding="utf-8"))
    return summary


def word_first_page(
    tables: Path, findings: Mapping[str, Any], lang: Language = ENGLISH
) -> dict[str, Any]:
    """Return the first page in words.

    Args:
        tables: the folder with ``findings.json``.
        findings: the headline numbers of ``run.json``: name → ``{"value": …}``.
        lang: the language.

    Returns:
        ``rendering.Summary``.
    """
    summary = read_summary(tables)
    numbers = {name: entry["value"] for name, entry in findings.items()}
    period = Period.parse(summary["since"], summary["until"])
    left_out = find_left_out(read_decided(tables))
    numbered = number_networks(read_table(tables, "networks"))
    page = Telling({}, numbers, lang, period, left_out, numbered)
    by_kind = {finding["kind"]: replace(page, finding=finding) for finding in summary["findings"]}
    # what a meeting left out is on the feedback form, and not in the sentences of the first page
    told = {kind: tell for kind, tell in by_kind.items() if tell.finding["id"] not in left_out}
    rows = {kind: tell.values.get("rows", []) for kind, tell in told.items()}
    methods = rows.get("methods", [])
    fewest = min((sum(states) for _, *states in methods[:3]), default=0)
    frequent = [code for code, *states in methods if sum(states) >= fewest]
    shares = {
        name: counted(name, number, lang.share(number))
        for name, number in numbers.items()
        if name.startswith(("site_precision", "pair_recall", "precision_of"))
    }
    say = open_template("findings.html.j2", lang).module
    lead = say.lead(
        page, rows.get("categories", []), told.get("onset"), BRACKET_DAYS, summary["first_seen"]
    )
    weeks = draw_weeks(summary["weeks"], page)
    worded = [_finding(tell, weeks) for tell in by_kind.values()]
    since_when: dict[str, Any] = {}  # where no finding tells it
    if numbers["blocked_domain_count"] and "onset" not in told:
        told_since = Markup(say.since_when(page, None))
        since_when = {**_place("onset", lang), "sites": told_since, **_of_weeks(weeks)}
    return {
        "headline": Markup(say.headline(page, country_name(summary["probe_cc"], lang))),
        "lead": split_parts(lead),
        "surety": Markup(say.surety(page)),
        "matrix": draw_listed(tables, lang, left_out),
        "counting": split_parts(say.counting(page, summary["is_from_ooni"])),
        "since_when": since_when,
        "findings": worded,
        "certainty": split_parts(
            say.certainty(page, summary["is_published_method"], shares, frequent)
        ),
        "unknowns": split_parts(say.unknowns(page, summary["has_fingerprints"], "apps" in by_kind)),
        "order": Markup(say.order()),
    }


def _place(kind: str, lang: Language) -> dict[str, str]:
    """Return the heading under which a finding stands beside the matrix; empty for the others."""
    heads = {
        "onset": lang.say("Since when"),
        "networks": lang.say("Where"),
        "methods": lang.say("How"),
    }
    return {"head": heads.get(kind, "")}


def _of_weeks(weeks: Markup) -> dict[str, Any]:
    return {"open": weeks, "picture": "weeks"}


def _finding(page: Telling, weeks: Markup) -> dict[str, Any]:
    """Return a finding in words: ``open`` is a figure that is not folded,
    ``picture`` the name of its files."""
    finding, kind = page.finding, page.finding["kind"]
    words = word_finding(page)
    figures: dict[str, Any] = {"figure": words.figure}
    if kind == "onset":
        figures |= _of_weeks(weeks)
    elif kind == "methods":
        figures = {"open": words.figure, "picture": "methods"}
    query = open_template("findings.html.j2", page.lang).module.query
    return {
        "id": finding["id"],
        **_place(kind, page.lang),
        "claim": words.claim,
        "sites": words.sites,
        **figures,
        "caveats": list(words.caveats),
        "evidence": finding["evidence"],
        "query": Markup(query(finding["query"])) if "query" in finding else "",
    }
