"""The report's first page in words, from the numbers of ``run.json``; and a meeting's decisions.

A decision is printed beside the finding or the site that it is about, and all of them on the
feedback form.

``decisions.csv`` lies among the tables before the first notebook runs (``review`` makes it of the
country's file); a folder that somebody's notebooks write into has none.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import counted, link, macros
from analysis.pages.html_tables import render_table
from analysis.period import Period
from analysis.reference.reference_files import country_name
from analysis.report.finding_words import Telling, find_way, word_finding
from analysis.report.findings import (
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
    section = macros("form.html.j2", lang).told(count, left_out, len(decisions) - count, form_link)
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
    head = Markup('<div id="{}">{}</div>').format(_ANCHOR, table)
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
    write_json(Path(tables) / _DATA, summary)
    decided = read_decided(tables)
    page = Telling({}, numbers, ENGLISH, study.periods["all"], find_left_out(decided))
    rows = []
    for finding in summary["findings"]:
        words = word_finding(replace(page, finding=finding))
        claim = Markup(f"{words.claim} {words.sites}").striptags()
        decision = decided.get(finding["id"], {}).get("decision", "")
        rows.append({**finding, "claim": claim, "decision": decision})
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
    by_kind = {entry["kind"]: entry for entry in summary["findings"]}
    numbered = number_networks(read_table(tables, "networks")) if "hours" in by_kind else {}
    left_out = find_left_out(read_decided(tables))
    page = Telling({}, numbers, lang, period, left_out, numbered)
    say = open_template("findings.html.j2", lang).module
    country = country_name(summary["probe_cc"], lang)
    shares = {
        name: counted(name, number, lang.share(number))
        for name, number in numbers.items()
        if name.startswith(("site_precision", "pair_recall", "precision_of"))
    }
    onset = by_kind.get("onset")
    of_categories = by_kind["categories"]["values"]["rows"] if "categories" in by_kind else []
    of_methods = by_kind["methods"]["values"]["rows"] if "methods" in by_kind else []
    fewest = min((sum(states) for _, *states in of_methods[:3]), default=0)
    methods = [code for code, *states in of_methods if sum(states) >= fewest]
    certainty = say.certainty(page, summary["is_published_method"], shares, methods)
    unknowns = say.unknowns(page, summary["has_fingerprints"], "apps" in by_kind)
    return {
        "headline": Markup(say.headline(page, country)),
        "lead": split_parts(say.lead(page, of_categories, onset, summary["first_seen"])),
        "surety": Markup(say.surety(page)),
        "matrix": draw_listed(tables, lang, left_out),
        "story": _tell_story(page, say, by_kind, draw_weeks(summary["weeks"], period, lang)),
        "counting": split_parts(say.counting(page, summary["is_from_ooni"])),
        "findings": [_finding(page, entry) for entry in summary["findings"]],
        "certainty": split_parts(certainty),
        "unknowns": split_parts(unknowns),
        "order": Markup(say.order()),
    }


#: So many groups of networks with equally many sites are named.
_MOST_GROUPS = 5
#: On a network with fewer of the tested sites than this share tested enough, hardly any was tested.
_HARDLY = 0.1


def _tell_story(
    page: Telling, say: Any, by_kind: Mapping[str, Mapping[str, Any]], weeks: Markup
) -> list[tuple[str, Markup, Markup]]:
    """Return where, since when and how: a heading, a paragraph and a figure each; or nothing."""
    if "networks" not in by_kind:
        return []
    of_networks, lang = by_kind["networks"]["values"], page.lang
    counts = [
        (traced + likely, name, tested) for name, traced, likely, tested in of_networks["rows"]
    ]
    blocking = [row for row in counts if row[0]]
    groups = [
        (count, [name for _, name, _ in rows])
        for count, rows in groupby(blocking, key=itemgetter(0))
    ][:_MOST_GROUPS]
    fewer = len(blocking) - sum(len(names) for _, names in groups)
    groups = [(count, page.first_of(names, len(names))) for count, names in groups]
    shared = [page.first_of(names, len(names)) for names in of_networks["shared"]]
    none = [(name, tested) for count, name, tested in counts if not count]
    least = _HARDLY * page.numbers["tested_enough_domain_count"]
    hardly = [name for name, tested in none if tested < least]
    ways: Counter[str] = Counter()
    for code, *states in by_kind["methods"]["values"]["rows"]:
        ways[find_way(code)] += sum(states)
    hardly = page.first_of(hardly, len(hardly))
    return [
        (
            lang.say("Where"),
            Markup(say.where(page, groups, fewer, len(none), hardly, shared)),
            Markup(""),
        ),
        (lang.say("Since when"), Markup(say.since_when(page, by_kind.get("onset"))), weeks),
        (lang.say("How"), Markup(say.how(page, ways.most_common())), Markup("")),
    ]


def _finding(page: Telling, finding: Mapping[str, Any]) -> dict[str, Any]:
    words = word_finding(replace(page, finding=finding))
    return {
        "id": finding["id"],
        "claim": words.claim,
        "sites": words.sites,
        "figure": words.figure,
        "caveats": list(words.caveats),
        "evidence": finding["evidence"],
    }
