"""The annex: the list of blocked sites, a row for each stretch on a network, grouped by site; how
many there are by category and network; and what was set aside."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language, elided, visible
from analysis.pages.formats import link, pair_link, site_link
from analysis.pages.html_tables import blocks, render_table
from analysis.period import Period
from analysis.report.annex import REASON_SENTENCES, link_countries
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import (
    find_categories,
    find_everywhere,
    find_networks,
    find_unlisted,
    read_tables,
)
from analysis.report.first_page import read_decided, show_decision
from analysis.report.verdict_words import (
    Row,
    add_local_hours,
    grade_certainty,
    name_resolvers,
    network_name,
    open_template,
    split_parts,
    word,
)
from analysis.tables import list_rows, read_table
from analysis.vocabulary import CERTAINTY, LISTED, SET_ASIDE_REASONS, STATES

#: The most rows that a page can hold; if there are more, each site shows fewer networks.
MOST_ROWS = 1300


def render_annex(
    stretches: pd.DataFrame,
    categories: pd.DataFrame,
    networks: pd.DataFrame,
    probe_cc: str,
    decided: Mapping[str, Mapping[str, str]],
    grades: Mapping[tuple[str, int], str],
    lang: Language = ENGLISH,
) -> Markup:
    """Return the list, with the controls that sort and filter it: the country's own sites, then
    others.

    Args:
        stretches: the contract's ``blocked_site_networks``.
        categories, networks: of the contract.
        probe_cc: the country, whose capital has clocks of its own.
        decided: what a meeting decided of a site, see ``first_page.read_decided``.
        grades: how strong the evidence of each listed pair is, see ``grade_pairs``.
        lang: of the words.
    """
    stretches = add_local_hours(stretches, probe_cc)
    words = dict(zip(categories["category_code"], categories["category"], strict=True))
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    macros = open_template("annex.html.j2", lang).module
    most = fit_rows(stretches["domain"].value_counts(), MOST_ROWS)
    parts = [macros.symbols([(name, STATES[name]) for name in LISTED]), macros.controls()]
    for is_local, caption in (
        (True, lang.say("Blocked or likely blocked: sites of the country")),
        (False, lang.say("Blocked or likely blocked: sites from elsewhere")),
    ):
        of_kind = stretches[stretches["is_local"] == is_local]
        groups = list(_groups(of_kind, words, names, most, lang, decided, grades))
        if groups:
            parts.append(macros.table(caption, groups))
        else:
            parts.append(Markup("<p>{}: {}</p>").format(caption, lang.html("none.")))
    if len(stretches):
        how_sure = link("index.html#certainty", lang.say("How sure this is"))
        parts.append(macros.list_columns(how_sure))
    return Markup("").join(Markup(part) for part in parts)


def annex_sections(
    tables: str | Path,
    numbers: Mapping[str, Any],
    probe_cc: str,
    period: Period,
    lang: Language = ENGLISH,
) -> list[tuple[str, Markup]]:
    """Return the annex section by section, each with its heading; the same in every language.

    Args:
        tables: the folder of a report's tables.
        numbers: the headline numbers of ``run.json``.
        probe_cc, period: of the report.
        lang: of the words.
    """
    read = read_tables(tables)
    stretches, categories = read_table(tables, "blocked_site_networks"), read["categories"]
    networks, aside = read["networks"], read["set_aside"]
    page = Telling({}, numbers, lang, period)
    ranked = networks.sort_values(["rank", "probe_asn"], na_position="last")
    # a name without a page was not tested enough anywhere; anybody can make up such names
    sites = read["sites"]
    is_told = aside["domain"].isin(sites.loc[sites["page"] != "", "domain"])
    counted = aside.assign(network_count=aside["networks"].str.count(";") + 1)
    columns = ["domain", "reason", "measurement_count", "flagged_count", "network_count"]
    shown_aside = counted.loc[is_told, columns]
    left_out_count = len(aside) - len(shown_aside)
    linked = link_countries(shown_aside, probe_cc, period)
    reasons = [
        (lang.html(words), lang.html(REASON_SENTENCES[reason]))
        for reason, words in SET_ASIDE_REASONS.items()
        if reason in set(aside["reason"])
    ]
    list_ = render_annex(
        stretches,
        categories,
        networks,
        probe_cc,
        read_decided(tables),
        grade_pairs(read["pairs"]),
        lang,
    )
    by_category = _show_finding(page, "categories", find_categories(read)) + render_table(
        categories.assign(
            category=[word(lang, text).striptags() for text in categories["category"]]
        ),
        lang.say("Sites tested and listed, by category"),
        "",
        60,
        {},
        lang=lang,
        anchor="table-categories",
    )
    by_network = _show_finding(page, "networks", find_networks(read))
    by_network += render_table(
        ranked,
        lang.say("Networks, sites tested, and sites blocked or likely blocked"),
        "",
        60,
        {},
        file="networks.csv",
        lang=lang,
        anchor="table-networks",
    )
    by_address = _show_addresses(read_table(tables, "blocked_addresses"), lang)
    set_aside = _show_finding(page, "everywhere", find_everywhere(read))
    caption = lang.say("Sites with anomalies that are not listed")
    note = (
        lang.say("Sites that were tested enough on no network are in set_aside.csv only.")
        if left_out_count
        else ""
    )
    set_aside += _show_finding(page, "unlisted", find_unlisted(read)) + render_table(
        linked,
        caption,
        note,
        25,
        {},
        file="set_aside.csv",
        is_printed=True,
        lang=lang,
        anchor="table-set-aside",
    )
    macros = open_template("annex.html.j2", lang).module
    return [
        ("", _show_opening(page)),
        (lang.heading("The list"), list_),
        (lang.heading("By category"), by_category + Markup(macros.category_columns())),
        (lang.heading("By network"), by_network + Markup(macros.network_columns())),
        (lang.heading("Blocked addresses"), by_address),
        (lang.heading("Set aside"), set_aside + Markup(macros.aside_columns(reasons))),
        (lang.heading("Limits"), Markup(macros.limits())),
    ]


def _show_addresses(addresses: pd.DataFrame, lang: Language) -> Markup:
    """Return the addresses that networks cut off, with what is behind them."""
    if addresses.empty:
        none = lang.say(
            "No network was seen to cut off an address that several tested sites share."
        )
        return Markup("<p>{}</p>").format(none)
    columns = ["address", "site_asn", "probe_asn", "blocked_from", "blocked_until", "schedule"]
    counts = ["session_count", "site_count", "cut_site_count", "chance"]
    return render_table(
        addresses[[*columns, *counts]],
        lang.say("Addresses that a network cut off"),
        lang.say(
            "All sites behind an address are cut off with it, whatever they are, so most may "
            "be bystanders. blocked_addresses.csv names them."
        ),
        25,
        {},
        file="blocked_addresses.csv",
        lang=lang,
        anchor="table-addresses",
    )


def grade_pairs(pairs: pd.DataFrame) -> dict[tuple[str, int], str]:
    """Return the strength of evidence of each pair: site and network → a key of
    ``vocabulary.CERTAINTY``.

    Args:
        pairs: the listed rows of ``verdicts``.
    """
    rows: Any = pairs.itertuples(index=False)
    return {(row.domain, row.probe_asn): grade_certainty(row) for row in rows}


def _show_opening(page: Telling) -> Markup:
    """Return the bottom line: the number of listed sites, and what the list has of each."""
    how_sure = link("index.html#certainty", page.lang.say("How sure this is"))
    opening = open_template("annex.html.j2", page.lang).module.opening(page, how_sure)
    claim, reading = split_parts(opening)
    return Markup(blocks(page.lang).finding("claim-annex", claim, reading))


def _show_finding(page: Telling, kind: str, finding: Mapping[str, Any] | None) -> Markup:
    """Return a finding of the first page as a section shows it; nothing if there is none."""
    if finding is None:
        return Markup("")
    words = word_finding(replace(page, finding={"kind": kind, **finding}))
    shown = blocks(page.lang).finding(f"claim-{kind}", words.claim, words.sites, words.caveats)
    return Markup(shown) + words.figure


def fit_rows(counts: pd.Series, most: int) -> int:
    """Return the most rows for a site so that all together are at most ``most``; at least one."""
    limit = int(counts.max()) if len(counts) else 1
    while limit > 1 and counts.clip(upper=limit).sum() > most:
        limit -= 1
    return limit


def _groups(
    stretches: pd.DataFrame,
    categories: Mapping[str, str],
    names: Mapping[int, str],
    most: int,
    lang: Language,
    decided: Mapping[str, Mapping[str, str]],
    grades: Mapping[tuple[str, int], str],
) -> Iterator[dict[str, Any]]:
    """Yield the sites with their rows; if not all rows fit, those with most sessions are kept."""
    by_site: dict[str, list[Row]] = {}
    for row in list_rows(stretches):
        by_site.setdefault(str(row.domain), []).append(row)
    for domain, rows in by_site.items():
        most_tested = sorted(rows, key=lambda row: -int(row.blocked_session_count))[:most]
        shown = [row for row in rows if row in most_tested]
        yield {
            "name": elided(visible(domain)),
            "since": min(row.blocked_from for row in rows).date(),
            "count": len({row.probe_asn for row in rows}),
            "category": categories.get(rows[0].category_code, ""),
            "site": site_link(domain),
            "decision": show_decision(decided.get(domain), lang),
            "rows": [
                (
                    row,
                    pair_link(row.domain, row.probe_asn, network_name(row)),
                    name_resolvers(row, names),
                    CERTAINTY[grades[domain, row.probe_asn]],
                )
                for row in shown
            ],
            "more_count": len(rows) - len(shown),
        }
