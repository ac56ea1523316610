"""What the page of a topic shows, made from its tables."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH
from analysis.pages.formats import macros, site_link
from analysis.pages.html_tables import render_table, state_codes
from analysis.pages.tracks import Row, span_bars
from analysis.period import Period, day_of
from analysis.reference.events import Event
from analysis.reference.networks import DOMESTIC
from analysis.report.finding_words import draw_on_axis, group_spans, say_spans
from analysis.review.topic import COUNTRIES, INTERVALS, SITES, VERDICTS, TopicStudy
from analysis.study.confirmation import spans_by_site
from analysis.tables import list_rows
from analysis.verdicts.states import strength
from analysis.vocabulary import INSUFFICIENT, LISTED, MATRIX_STATES, SET_ASIDE_REASONS

Tables = Mapping[str, pd.DataFrame]
#: Sites in the matrix, and stretches in the figure.
_MOST_SITES, _MOST_LINES = 60, 60
_HEADINGS = {
    "told_domain_count": "With a conclusion",
    "network_count": "Networks with a test",
    "blocked": "Sites blocked",
    "likely_blocked": "Sites likely blocked",
    "blocked_network_count": "Networks that block one",
    "blocked_from": "First seen blocked",
    "untold_pair_count": "Pairs of site and network without a conclusion",
}


def open_page(tables: Tables, study: TopicStudy, missing: Sequence[str]) -> Markup:
    """Return the opening: how many sites were tested, and what is known of each country, in a row.

    Args:
        tables: of a topic.
        study: the topic and its days.
        missing: names of the topic that no country tested.
    """
    site_count = tables[SITES]["domain"].nunique()
    opening = macros("topic.html.j2").opening(study.topic.in_words, site_count, list(missing))
    table = render_table(
        tell_countries(tables, study.period),
        "What is known of each country",
        "Each site counts as on the network with the worst result.",
        _MOST_SITES,
        _HEADINGS,
        file="topic_countries.csv",
    )
    return Markup(opening) + Markup('<div class="cards">{}</div>').format(table)


def tell_countries(tables: Tables, period: Period) -> pd.DataFrame:
    """Return a row a country, in the order of the codes: what was tested, found, and not known."""
    countries, sites = tables[COUNTRIES], tables[SITES]
    days = sites.groupby("probe_cc")["blocked_from"].min().to_dict()
    first = [day_of(days.get(code)) for code in countries["probe_cc"]]
    states = sites.groupby(["probe_cc", "state"]).size()
    counts = {
        state: [int(states.get((code, state), 0)) for code in countries["probe_cc"]]
        for state in LISTED
    }
    numbers = ["domain_count", "told_domain_count", "network_count"]
    blind = countries["pair_count"] - countries["told_pair_count"]
    return pd.DataFrame(
        {
            "country": countries["country"],
            **countries[numbers],
            **counts,
            "blocked_network_count": countries["blocked_network_count"],
            "blocked_from": pd.to_datetime(pd.Series(first, dtype="object")),
            "untold_pair_count": blind,
            "note": [
                _remark(row, day, period)
                for row, day in zip(list_rows(countries), first, strict=True)
            ],
        }
    )


def _remark(country: Any, first: date | None, period: Period) -> str:
    """Return what the numbers of a country do not say."""
    if country.reading == "not_stored":
        return f"No measurement of these days is in the store; to fetch them: {country.command}"
    if country.reading == "no_measurement":
        return "The source has no measurement of these days."
    if not country.domain_count:
        return (
            "None of these sites was tested on an access network, or only on networks that were "
            "tested on fewer than three days."
        )
    if not country.told_domain_count:
        return "Too few tests of each site on each network. That is not evidence of access."
    if first == period.since:
        return "At least one was blocked on the first of these days; since when is not known."
    return ""


def draw_matrix(tables: Tables) -> Markup:
    """Return the matrix of sites by countries, the sites that most countries list first."""
    sites, countries = tables[SITES], tables[COUNTRIES]
    if sites.empty:
        return Markup("")
    codes = state_codes(sites)
    counts = [
        f"{row.blocked_network_count}/{row.told_network_count}" if row.blocked_network_count else ""
        for row in list_rows(sites)
    ]
    keys = zip(sites["domain"], sites["probe_cc"], strict=True)
    cells = dict(zip(keys, zip(codes, counts, strict=True), strict=True))
    order = order_sites(sites)
    shown = order[:_MOST_SITES]
    heads = list(zip(countries["probe_cc"], countries["country"], strict=True))
    rows = []
    for site in shown:
        of_site = [cells.get((site, code), ("", "")) for code, _ in heads]
        marks = [(_id(code), MATRIX_STATES[code], count) for code, count in of_site]
        rows.append((site_link(site), marks))
    used = {id for _, marks in rows for id, *_ in marks}
    looks = [(_id(code), state) for code, state in MATRIX_STATES.items() if _id(code) in used]
    left_out_count, has_gaps = len(order) - len(shown), _id("") in used
    return Markup(macros("topic.html.j2").matrix(heads, rows, looks, left_out_count, has_gaps))


def order_sites(sites: pd.DataFrame) -> list[str]:
    """Return the sites of ``topic_sites``: those that most countries, then networks, list first."""
    ranked = sites.assign(is_listed=sites["state"].isin(LISTED)).groupby("domain")
    counts = ranked[["is_listed", "blocked_network_count"]].sum().reset_index()
    ordered = counts.sort_values(
        ["is_listed", "blocked_network_count", "domain"], ascending=[False, False, True]
    )
    return list(ordered["domain"])


def _id(code: str) -> str:
    return f"topic-{code.replace(':', '-')}"


def draw_time(tables: Tables, period: Period, events: Mapping[str, Sequence[Event]]) -> Markup:
    """Draw when each listed site was seen blocked in each country, with known events.

    Args:
        tables: of a topic.
        period: the days.
        events: of each country, by code.
    """
    intervals = tables[INTERVALS]
    own = intervals[intervals["kind"].isin(DOMESTIC)]
    by_line: dict[tuple[str, str], list[Any]] = {}
    for code, rows_of in own.groupby("probe_cc"):
        spans = spans_by_site(rows_of.drop(columns="probe_cc")).to_dict("records")
        for site, of_site in group_spans(spans).items():
            by_line[site, str(code)] = of_site
    if not by_line:
        return Markup("")
    order = order_sites(tables[SITES])
    keys = sorted(by_line, key=lambda key: (order.index(key[0]), key))
    shown = keys[:_MOST_LINES]
    rows = [
        Row(
            site_link(site) + f", {code}",
            tuple(bar for span in by_line[site, code] for bar in span_bars(span, period)),
            say_spans(ENGLISH, by_line[site, code]),
            ENGLISH.number(int(by_line[site, code][0]["network_count"])),
        )
        for site, code in shown
    ]
    codes: defaultdict[tuple[date, str], list[str]] = defaultdict(list)
    for code, of_country in events.items():
        for event in of_country:
            codes[event.day, event.title].append(code)
    marked = [
        (day, f"{', '.join(where)}: {title}") for (day, title), where in sorted(codes.items())
    ]
    alt = "; ".join(
        f"{site}, {code}: {row.words}" for (site, code), row in zip(shown, rows, strict=True)
    )
    reading = Markup.escape(
        "A bar runs from the first to the last failing test on any access network of the country, "
        "days without a test included. The dotted line leads to the nearest test that reached the "
        "site, or to the edge if there was none."
    )
    if len(shown) < len(keys):
        reading += f" The first {len(shown)} of {len(keys)} lines are shown."
    return draw_on_axis(
        ENGLISH, "Site and country", rows, period, marked, alt, reading, "Seen blocked, by country"
    )


def tabulate_pairs(tables: Tables) -> pd.DataFrame:
    """Return the listed pairs as a page shows them: by site, then country and network."""
    verdicts = tables[VERDICTS]
    listed = verdicts[verdicts["state"].isin(LISTED) & verdicts["kind"].isin(DOMESTIC)]
    rank = {site: number for number, site in enumerate(order_sites(tables[SITES]))}
    listed = listed.assign(rank=listed["domain"].map(rank))
    listed = listed.sort_values(["rank", "probe_cc", "probe_asn"])
    columns = ["domain", "probe_cc", "network", "probe_asn", "state", "mechanism"]
    more = ["blocked_from", "last_seen_blocked", "blocked_session_count", "day_count", "chance"]
    return listed[[*columns, *more, "witness_url"]]


def tabulate_reports(tables: Tables) -> pd.DataFrame:
    """Return what each country's own report calls each site: state, category, and why.

    Sites that are reachable without a remark are left out; those that are listed come last, because
    the page has them above.
    """
    sites = tables[SITES]
    words = {code: state.words for code, state in INSUFFICIENT.items()} | SET_ASIDE_REASONS
    why = sites["reason"].where(sites["reason"] != "", sites["insufficient_reason"])
    table = sites.assign(why=[words.get(code, code) for code in why])
    table["state"] = table["state"].where(table["state"] != "", "insufficient")
    table = table[(table["state"] != "ok") | (table["why"] != "")]
    table = table.assign(is_listed=table["state"].isin(LISTED), rank=strength(table["state"]))
    columns = ["domain", "probe_cc", "state", "why", "category", "network_count", "session_count"]
    order = ["is_listed", "rank", "domain", "probe_cc"]
    return table.sort_values(order, ignore_index=True)[columns]
