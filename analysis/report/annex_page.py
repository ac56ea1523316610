"""The annex: the list of blocked sites, a row for each stretch on a network, grouped by site."""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.languages.spoken_values import elided, pairs_of_chance, visible
from analysis.pages.formats import site_link
from analysis.pages.markup import make_environment
from analysis.report.decided import read_decided, show_decision
from analysis.report.local_time import add_local_hours, schedule_words
from analysis.report.verdict_words import Row, network_name, say_resolvers, word
from analysis.tables import read_table
from analysis.vocabulary import LISTED, MECHANISMS, NETWORK_KINDS, SET_ASIDE_REASONS, STATES

TEMPLATES = Path(__file__).parent / "templates"
#: Rows that a page can hold; of more, a site shows those of fewer networks.
MOST_ROWS = 1300


def render_annex(
    stretches: pd.DataFrame,
    categories: pd.DataFrame,
    networks: pd.DataFrame,
    probe_cc: str,
    decided: Mapping[str, Mapping[str, str]],
    lang: Language = ENGLISH,
) -> Markup:
    """The list, with what sorts and filters it: the country's own sites, then the others.

    Args:
        stretches: the contract's ``blocked_site_networks``.
        categories, networks: of the contract.
        probe_cc: the country, whose capital has clocks of its own.
        decided: what a meeting decided of a site, see ``decided.read_decided``.
        lang: of the words.
    """
    stretches = add_local_hours(stretches, probe_cc)
    words = dict(zip(categories["category_code"], categories["category"], strict=True))
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    macros = _template(lang)
    most = fit_rows(stretches["domain"].value_counts(), MOST_ROWS)
    parts = [macros.symbols([(name, STATES[name]) for name in LISTED]), macros.controls()]
    for is_local, caption in (
        (True, lang.say("Blocked sites of the country")),
        (False, lang.say("Blocked sites from elsewhere")),
    ):
        of_kind = stretches[stretches["is_local"] == is_local]
        groups = list(_groups(of_kind, words, names, most, lang, decided))
        if groups:
            parts.append(macros.table(caption, groups))
        else:
            parts.append(Markup("<p>{}: {}</p>").format(caption, lang.html("none.")))
    return Markup("").join(Markup(part) for part in parts)


def render_annex_page(tables: str | Path, probe_cc: str, lang: Language) -> Markup:
    """The annex as a page that needs no notebook, for a language that these are not written in.

    Args:
        tables: the folder of a report's tables.
        probe_cc: the country.
        lang: of the words.
    """
    names = ("blocked_site_networks", "categories", "networks", "set_aside")
    stretches, categories, networks, aside = (read_table(tables, name) for name in names)
    pairs = len(stretches.drop_duplicates(["domain", "probe_asn"]))
    sites, registered = stretches["domain"].nunique(), stretches["registrable_domain"].nunique()
    ranked = networks.sort_values(["rank", "probe_asn"], na_position="last")
    macros = _template(lang)
    counts = [_count(row, lang) for row in categories.itertuples(index=False)]
    ranks = [_rank(row, lang) for row in ranked.itertuples(index=False)]
    reasons = [_reason(row, lang) for row in aside.itertuples(index=False)]
    content = macros.page(
        render_annex(stretches, categories, networks, probe_cc, read_decided(tables), lang),
        macros.opening(sites, registered, pairs),
        macros.categories(lang.say("Tested and blocked sites by category"), counts),
        macros.networks(lang.say("Networks, sites tested and sites blocked"), ranks),
        macros.aside(lang.say("Sites set aside"), reasons),
    )
    return Markup(content)


def _rank(row: Row, lang: Language) -> tuple[Markup, Markup, str, str]:
    """A network with its kind, and how many sites it blocks of those that were tested."""
    blocked, tested = int(row.blocked_domain_count), int(row.domain_count)
    kind = word(lang, NETWORK_KINDS.get(row.kind, row.kind))
    return network_name(row), kind, lang.number(blocked), lang.number(tested)


def _count(row: Row, lang: Language) -> tuple[Markup, str, str]:
    """A category with its sites that were tested, and those that are blocked."""
    tested, blocked = int(row.domain_count), int(row.blocked_domain_count)
    return word(lang, row.category), lang.number(tested), lang.number(blocked)


def _reason(row: Row, lang: Language) -> tuple[Markup, Markup, str, str]:
    """A site that is set aside, with the reason, and how much of it was unusual."""
    reason = word(lang, SET_ASIDE_REASONS.get(row.reason, row.reason))
    measured, unusual = int(row.measurement_count), int(row.anomaly_count)
    return site_link(row.domain), reason, lang.number(measured), lang.number(unusual)


def fit_rows(counts: pd.Series, most: int) -> int:
    """How many rows each site may have so that all together are at most ``most``; one at least."""
    limit = int(counts.max()) if len(counts) else 1
    while limit > 1 and counts.clip(upper=limit).sum() > most:
        limit -= 1
    return limit


@lru_cache(maxsize=8)
def _template(lang: Language) -> Any:
    return make_environment(TEMPLATES, lang=lang).get_template("annex.html.j2").module


def _groups(
    stretches: pd.DataFrame,
    categories: Mapping[str, str],
    names: Mapping[str, str],
    most: int,
    lang: Language,
    decided: Mapping[str, Mapping[str, str]],
) -> Iterator[dict[str, Any]]:
    """One site after the other, with its rows: those with most sessions first where not all fit."""
    by_site: dict[str, list[Row]] = {}
    for row in stretches.itertuples(index=False):
        by_site.setdefault(str(row.domain), []).append(row)
    for domain, rows in by_site.items():
        kept = sorted(rows, key=lambda row: -int(row.blocked_session_count))[:most]
        shown = [row for row in rows if row in kept]
        count = len({row.probe_asn for row in rows})
        category = categories.get(rows[0].category_code, "")
        yield {
            "name": elided(visible(domain)),
            "since": min(row.blocked_from for row in rows),
            "count": count,
            "category": category,
            "site": site_link(domain),
            "facts": lang.html_plural(
                "{category}; {n} network", "{category}; {n} networks", count,
                category=word(lang, category),
            ),
            "decision": show_decision(decided.get(domain), lang),
            "rows": [_row(row, names, lang) for row in shown],
            "more": lang.html_plural(
                "And {n} row more, on the page of the site.",
                "And {n} rows more, on the page of the site.",
                len(rows) - len(shown),
            )
            if len(rows) > len(shown)
            else "",
        }  # fmt: skip


def _row(row: Row, names: Mapping[str, str], lang: Language) -> dict[str, Any]:
    """The cells of one stretch."""
    before, after = row.last_seen_open, row.first_seen_open_again
    if not row.blocked_until:
        until, end = lang.html("goes on"), Markup("")
    else:
        until = Markup.escape(lang.date(date.fromisoformat(row.blocked_until)))
        end = lang.html("not open after")
    if after:
        end = lang.html("open again {day}", day=date.fromisoformat(after))
    if "not tested since" in row.note:
        end = lang.html("not tested since")
    return {
        "network": network_name(row),
        "state": row.state,
        "state_words": lang.html(STATES[row.state].words),
        "since": lang.date(date.fromisoformat(row.blocked_from)),
        "before": lang.html("open {day}", day=date.fromisoformat(before))
        if before
        else lang.html("not open before"),
        "until": until,
        "after": end,
        "sessions": lang.html(
            "{blocked} of {total}",
            blocked=int(row.blocked_session_count),
            total=int(row.session_count),
        ),
        "mechanism": word(lang, MECHANISMS.get(row.mechanism, row.mechanism)),
        "resolvers": Markup(" ").join(say_resolvers(lang, row, names)),
        "hours": schedule_words(row.schedule, lang),
        "local": schedule_words(getattr(row, "local_schedule", ""), lang),
        "pairs": lang.number(pairs_of_chance(float(row.chance))) if row.chance else "–",
        "flip": lang.number(int(row.sessions_to_flip)),
    }
