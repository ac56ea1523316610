"""The report's first page in words, from the numbers of ``run.json``; and a meeting's decisions.

A decision is printed beside the finding or the site that it is about, and all of them on the
feedback form.

``decisions.csv`` lies among the tables before the first notebook runs (``review`` makes it of the
country's file); a folder that somebody's notebooks write into has none.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
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
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import (
    count_headlines,
    number_networks,
    read_tables,
    summarise,
)
from analysis.report.verdict_words import END, open_template
from analysis.study.study import Study
from analysis.tables import read_table, tell_cells, write_json, write_table
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
    decisions = decisions.assign(date=tell_cells(decisions["date"], "date"))
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
        decision=lang.say(DECISIONS[decided["decision"]]).lower(),
        role=decided["role"],
    )
    return Markup(macros("form.html.j2", lang).decision(head, decided["reason"]))


def tell_decisions(tables: Path, lang: Language = ENGLISH) -> tuple[str, Markup] | tuple[()]:
    """The section of the first page: how many decisions hold, what was left out, where all stand.

    Nothing where no meeting has decided anything.
    """
    decisions = read_table(tables, "decisions")
    if decisions.empty:
        return ()
    count = int((decisions["status"] == APPLIED).sum())
    left_out = sorted(find_left_out(read_decided(tables)))[:_MOST]
    place = link(f"{FORM}#{_ANCHOR}", lang.say("the feedback form"))
    told = macros("form.html.j2", lang).told(count, left_out, len(decisions) - count, place)
    return lang.say("What was decided"), Markup(told)


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


#: Among the tables: all that the first page tells, as values.
_DATA = "findings.json"


def write_findings(tables: str | Path, study: Study) -> None:
    """Write ``findings.json``, all that the first page tells, and ``findings.csv``.

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
    """What ``findings.summarise`` found."""
    summary: dict[str, Any] = json.loads((tables / _DATA).read_text(encoding="utf-8"))
    return summary


def word_first_page(
    tables: Path, findings: Mapping[str, Any], lang: Language = ENGLISH
) -> dict[str, Any]:
    """All that the first page says.

    Args:
        tables: the folder with ``findings.json``.
        findings: the headline numbers of ``run.json``: name → ``{"value": …}``.
        lang: the language.

    Returns:
        ``publishing.first_page.Summary``.
    """
    summary = read_summary(tables)
    numbers = {name: one["value"] for name, one in findings.items()}
    period = Period.parse(summary["since"], summary["until"])
    by_kind = {one["kind"]: one for one in summary["findings"]}
    numbered = number_networks(read_table(tables, "networks")) if "hours" in by_kind else {}
    left_out = find_left_out(read_decided(tables))
    page = Telling({}, numbers, lang, period, left_out, numbered)
    say = open_template("findings.html.j2", lang).module
    country = country_name(summary["probe_cc"], lang)
    annex = link("4-blocked-sites.html#the-list", lang.say("Annex"))
    shares = {
        name: counted(name, number, lang.share(number))
        for name, number in numbers.items()
        if name.startswith(("site_precision", "pair_recall", "precision_of"))
    }
    onset = by_kind.get("onset")
    known_count = replace(page, finding=onset).known_count if onset else 0
    of_methods = by_kind["methods"]["values"]["rows"] if "methods" in by_kind else []
    of_networks = by_kind["networks"]["values"]["rows"] if "networks" in by_kind else []
    listing = [name for name, *states, _ in of_networks if sum(states)]
    if len(listing) > _MOST_LISTING:
        listing = page.first_of(listing, len(listing))
    fewest = min((sum(states) for _, *states in of_methods[:3]), default=0)
    methods = [code for code, *states in of_methods if sum(states) >= fewest]
    return {
        "answer": Markup(say.answer(page, country, summary, onset, known_count, annex)),
        "numbers": list(_numbers(page, listing, is_from_ooni=summary["is_from_ooni"])),
        "findings": [_finding(page, one) for one in summary["findings"]],
        "certainty": _part(say.certainty(page, summary["is_published_method"], shares, methods)),
        "unknowns": _part(say.unknowns(page, summary["has_fingerprints"], "apps" in by_kind)),
        "order": lang.html(
            "Findings keep their numbers in later drafts. A number that is missing has no finding "
            "in this report."
        ),
    }


#: Networks with listed sites that are all named beside their number; of more, some are.
_MOST_LISTING = 8


def _numbers(
    page: Telling, listing: Sequence[str | Markup], *, is_from_ooni: bool
) -> Iterator[dict[str, Markup]]:
    """The big numbers: each with what it counts out of what, and why it may mislead.

    Args:
        page: the headline numbers.
        listing: names of networks with listed sites.
        is_from_ooni: where the measurements come from.
    """
    lang, count = page.lang, page.count
    yield {
        "value": count("traced_domain_count"),
        "label": lang.html_plural(
            "site blocked", "sites blocked", page.numbers["traced_domain_count"]
        ),
        "caveat": lang.html(
            "Sites tested: {all}; of these, tested enough on at least one access network: "
            "{tested}.",
            tested=count("tested_enough_domain_count"),
            all=count("domain_count"),
        ),
    }
    yield {
        "value": count("likely_domain_count"),
        "label": lang.html_plural(
            "site likely blocked", "sites likely blocked", page.numbers["likely_domain_count"]
        ),
        "caveat": lang.html(
            "Blocked and likely blocked sites together: {blocked}; registered domains: "
            "{registrable}.",
            blocked=count("blocked_domain_count"),
            registrable=count("blocked_registrable_domain_count"),
        ),
    }
    yield {
        "value": count("blocked_local_domain_count"),
        "label": lang.html_plural(
            "listed site of the country",
            "listed sites of the country",
            page.numbers["blocked_local_domain_count"],
        ),
        "caveat": lang.html(
            "Sites that belong to the country by top-level domain, by its test list, or by our own "
            "list, with a source for each site."
        ),
    }
    yield {
        "value": count("blocking_network_count"),
        "label": lang.html_plural(
            "access network with listed sites",
            "access networks with listed sites",
            page.numbers["blocking_network_count"],
        ),
        "caveat": (lang.html("{names}.", names=listing) + " " if listing else Markup(""))
        + lang.html(
            "Access networks with measurements: {access}; of these, with at least one site tested "
            "enough: {settled}. If networks that share an operator or a DNS resolver count as one, "
            "networks with listed sites: {sources}. Other networks with measurements (VPN, "
            "hosting, abroad): {other}.",
            settled=count("tested_enough_network_count"),
            access=count("access_network_count"),
            sources=count("independent_network_count"),
            other=page.numbers["network_count"] - page.numbers["access_network_count"],
        ),
    }
    yield {
        "value": count("listed_access_pair_count"),
        "label": lang.html_plural(
            "listed pair of one site and one access network",
            "listed pairs of one site and one access network",
            page.numbers["listed_access_pair_count"],
        ),
        "caveat": lang.html(
            "{traced} blocked and {likely} likely blocked. Pairs that were tested enough: "
            "{tested}; of these, with tests that disagree: {mixed}. Pairs with too few tests: "
            "{few}.",
            traced=count("traced_access_pair_count"),
            likely=count("likely_access_pair_count"),
            tested=count("tested_enough_pair_count"),
            mixed=count("disagreeing_access_pair_count"),
            few=count("too_few_tests_pair_count"),
        ),
    }
    yield {
        "value": count("measurement_count"),
        "label": lang.html_plural("measurement", "measurements", page.numbers["measurement_count"]),
        "caveat": lang.html(
            "Source: OONI. A measurement is one test of one site; one person can make many."
        )
        if is_from_ooni
        else lang.html(
            "Source: an archive in OONI’s format. A measurement is one test of one site; one "
            "person can make many."
        ),
    }


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


def _part(said: str) -> list[Markup]:
    """What a template says of several things, one by one."""
    return [part for part in map(Markup.strip, Markup(said).split(END)) if part]
