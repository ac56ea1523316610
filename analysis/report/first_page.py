"""The report's first page in words: from the data of ``summary``, the numbers of ``run.json``."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import counted
from analysis.period import Period
from analysis.reference.countries import country_name
from analysis.report.decided import find_left_out, read_decided
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import (
    count_headlines,
    find_apps,
    rank_findings,
    read_tables,
    summarise,
)
from analysis.study.study import Study
from analysis.tables import write_json, write_table

#: Among the tables: all that the first page tells, as values.
_DATA = "findings.json"


def write_findings(tables: str | Path, study: Study) -> dict[str, int]:
    """Write ``findings.json``, all that the first page tells, and ``findings.csv``.

    Args:
        tables: the folder with the tables of all notebooks up to the annex.
        study: its country, period and known events.

    Returns:
        The headline numbers by name, for the words of the annex.
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
    return numbers


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
    page = Telling({}, numbers, lang, period, find_left_out(read_decided(tables)))
    return {
        "answer": _answer(page, summary),
        "numbers": list(_numbers(page)),
        "findings": [_finding(page, one) for one in summary["findings"]],
        "certainty": list(_certainty(page, is_measured=summary["is_published_method"])),
        "unknowns": list(_unknowns(page)),
        "order": lang.html(
            "A finding keeps its number from draft to draft. The event of the period comes first; "
            "the others follow by the number of listed sites that they speak of."
        ),
    }


def word_apps_alone(
    tables: Path, findings: Mapping[str, Any], lang: Language, period: Period, probe_cc: str
) -> dict[str, Any]:
    """All that the first page says where no web site was tested.

    Args:
        tables: the folder with the tables of apps and tools.
        findings: the headline numbers of ``run.json``.
        lang: the language.
        period: of the report.
        probe_cc: the country.
    """
    numbers = {name: one["value"] for name, one in findings.items()}
    page = Telling({}, numbers, lang, period)
    told = rank_findings({"apps": find_apps(tables)})
    return {
        "answer": lang.html(
            "From {period}, the source has no measurement of a web site in {country}; this report "
            "is about messaging apps and circumvention tools alone.",
            period=period, country=country_name(probe_cc, lang),
        ),
        "findings": [_finding(page, one) for one in told],
        "unknowns": [
            lang.html("Who ordered a block, and why, cannot be measured."),
        ],
    }  # fmt: skip


def _answer(page: Telling, summary: Mapping[str, Any]) -> Markup:
    """One sentence; of a period with an event, what it was stands in it."""
    values = {
        "period": page.period, "country": country_name(summary["probe_cc"], page.lang),
        "blocked": page.count("blocked_domain_count"), "tested": page.count("domain_count"),
    }  # fmt: skip
    onset = next((one for one in summary["findings"] if one["kind"] == "onset"), None)
    if onset is None:
        return page.lang.html(
            "From {period}, {blocked} of {tested} sites tested in {country} were blocked or likely "
            "blocked on at least one of the country’s access networks.",
            **values,
        )
    first, last = (date.fromisoformat(onset["values"][n]) for n in ("first_day", "last_day"))
    return page.lang.html(
        "From {period}, {blocked} of {tested} sites tested in {country} were blocked or likely "
        "blocked on at least one of the country’s access networks; {new} of them were newly "
        "blocked on some network between {first} and {last}.",
        **values, new=onset["site_count"], first=first, last=last,
    )  # fmt: skip


def _numbers(page: Telling) -> Iterator[dict[str, Markup]]:
    """The big numbers: each with what it counts out of what, and why it may mislead."""
    lang, count = page.lang, page.count
    yield {
        "value": count("blocked_domain_count"),
        "label": lang.html("sites blocked or likely blocked"),
        "caveat": lang.html(
            "Of {tested} names tested. They stand under {registrable} registered domains.",
            tested=count("domain_count"), registrable=count("blocked_registrable_domain_count"),
        ),
    }  # fmt: skip
    yield {
        "value": count("blocked_local_domain_count"),
        "label": lang.html("of them belong to the country"),
        "caveat": lang.html(
            "By top-level domain, by the country’s test list, or by a sourced list."
        ),
    }
    yield {
        "value": count("blocking_network_count"),
        "label": lang.html("access networks list a site"),
        "caveat": lang.html(
            "Of {access} that measured. {other} other networks are VPNs, hosting or abroad, and "
            "are counted apart.",
            access=count("access_network_count"),
            other=page.numbers["network_count"] - page.numbers["access_network_count"],
        ),
    }
    yield {
        "value": count("listed_access_pair_count"),
        "label": lang.html("pairs of a site and an access network listed"),
        "caveat": lang.html(
            "Of {judged} pairs tested; on {unsettled} the tests are too few, or disagree.",
            judged=count("judged_access_pair_count"),
            unsettled=count("unsettled_access_pair_count"),
        ),
    }
    yield {
        "value": count("measurement_count"),
        "label": lang.html("measurements"),
        "caveat": lang.html(
            "Source: OONI. Each is one test of one site by one probe, not one person."
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


def _certainty(page: Telling, *, is_measured: bool) -> Iterator[Markup]:
    """How sure: overall, whatever the coverage; how much hangs on little.

    ``is_measured``: the method is the one whose shares are known.
    """
    lang, count = page.lang, page.count
    shares = {
        name: counted(f"{name}_share", page.numbers[f"{name}_share"],
                      lang.share(page.numbers[f"{name}_share"]))
        for name in ("site_precision", "pair_recall")
        if f"{name}_share" in page.numbers
    }  # fmt: skip
    if not is_measured:
        yield lang.html(
            "This report was made with other numbers than the published method’s. How often such "
            "a list is right was not measured."
        )
    elif len(shares) == 2:
        yield lang.html(
            "On simulated countries whose truth is known, {precision} of the sites that the method "
            "lists are blocked, and it finds {recall} of the pairs of site and network that are "
            "blocked, however seldom they were tested.",
            precision=shares["site_precision"], recall=shares["pair_recall"],
        )  # fmt: skip
    yield lang.html(
        "{single} of {blocked} listed sites rest on a single access network.",
        single=count("single_network_domain_count"), blocked=count("blocked_domain_count"),
    )  # fmt: skip
    yield lang.html(
        "{fragile} of {pairs} listed pairs would change by one forged report: anybody may submit a "
        "measurement.",
        fragile=count("one_report_pair_count"), pairs=count("listed_access_pair_count"),
    )  # fmt: skip
    yield lang.html(
        "{aside} further sites have anomalies and are not listed; {dead} of them are names that do "
        "not exist. The annex gives the reason for each.",
        aside=count("set_aside_count"), dead=count("dead_name_count"),
    )  # fmt: skip


def _unknowns(page: Telling) -> Iterator[Markup]:
    lang, count = page.lang, page.count
    yield lang.html(
        "On {unsettled} of {judged} tested pairs of a site and an access network, the tests are "
        "too few for any statement, or disagree. That is no sign that the site is accessible.",
        unsettled=count("unsettled_access_pair_count"), judged=count("judged_access_pair_count"),
    )  # fmt: skip
    yield lang.html(
        "Sites that nobody tested, and networks on which nobody measured, are not in this report."
    )
    yield lang.html("Who ordered a block, and why, cannot be measured.")
    if page.numbers["unread_object_count"]:
        yield lang.html_plural(
            "{n} object of the archive could not be read; what it holds is missing.",
            "{n} objects of the archive could not be read; what they hold is missing.",
            page.numbers["unread_object_count"],
        )
