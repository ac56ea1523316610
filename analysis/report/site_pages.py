"""All pages of sites: one for each that is listed, or set aside and tested enough, and the
index of names.

They are made of the tables, and of OONI's flags, which ``count_flags`` counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.hosts import as_written, site_anchor, site_file
from analysis.languages.language import Language, elided, visible
from analysis.pages.formats import link, read_css
from analysis.pages.tracks import Row, span_bars
from analysis.period import Period
from analysis.reference.events import INCIDENT, Event
from analysis.reference.networks import DOMESTIC
from analysis.reference.reference_files import is_fictional
from analysis.report.finding_words import draw_on_axis, say_spans
from analysis.report.first_page import read_decided, read_summary, show_decision
from analysis.report.verdict_words import (
    TEMPLATES,
    grade_certainty,
    name_resolvers,
    network_name,
    open_template,
    say_rivals,
    say_verdict,
    state_words,
    word,
)
from analysis.report.verdict_words import Row as Cell
from analysis.study.study import Study
from analysis.tables import list_rows, read_table, tell_network
from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.verdicts.witnesses import countries_url
from analysis.vocabulary import (
    CERTAINTY,
    INSUFFICIENT,
    LISTED,
    METHODS,
    NETWORK_KINDS,
    SET_ASIDE_REASONS,
    STATES,
)

_FLAGS = """
SELECT domain, count(*) AS measurement_count,
  count(*) FILTER (NOT is_failure AND (is_anomaly OR is_confirmed IS TRUE)) AS flagged_count,
  count(*) FILTER (NOT is_failure AND is_confirmed) AS confirmed_count
FROM observations WHERE domain <> '' GROUP BY domain ORDER BY domain
"""


def count_flags(study: Study) -> pd.DataFrame:
    """Count OONI's flags: a row for each site, by name.

    Columns: ``domain, measurement_count``; of the measurements that are no failures
    ``flagged_count`` (anomaly or confirmed) and ``confirmed_count``.
    """
    return study.connection.execute(_FLAGS).df()


INDEX, INDEX_TITLE = "sites/index.html", "Find a site"
_VERDICTS = Markup('<a href="{}tables/verdicts.csv">verdicts.csv</a>')
#: The most networks of a site that is set aside; those on which most sessions failed are shown.
_FEW = 6
#: The states of pairs that fail, beside the listed ones.
_FAILING = ("impaired", "unexplained")
_RANKS = {state: rank for rank, state in enumerate(STATES_BY_STRENGTH)}


# --- records --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """The settings that all sites of a report share.

    Attributes:
        probe_cc: the country.
        period: the whole period.
        events: known events within it, by day.
        root: the way from a site's page to the top of the report.
    """

    probe_cc: str
    period: Period
    events: Sequence[Event] = ()
    root: str = "../"


@dataclass(frozen=True)
class SiteRecord:
    """All facts on one site.

    Attributes:
        site: its row of ``sites``.
        category: in words.
        cells: its rows of ``verdicts`` for the whole period, with ``network`` and ``kind``; the
            strongest state first, of equals the one with most sessions.
        stretches: probe_asn → its rows of ``blocked_site_networks``.
        withheld: probe_asn → its rows of ``withheld_intervals``.
        days: probe_asn → its rows of ``session_days``.
        addresses: probe_asn → rows of ``blocked_addresses`` that its tests met.
        flags: OONI's counts of flags, if there are any.
        methods: which methods list it, its row of ``method_comparison``; None: none does.
        note: why it is set aside, in a sentence.
    """

    site: Cell
    category: str
    cells: Sequence[Cell]
    stretches: Mapping[int, Sequence[Cell]]
    withheld: Mapping[int, Sequence[Cell]]
    days: Mapping[int, Sequence[Cell]]
    addresses: Mapping[int, Sequence[Cell]]
    flags: Cell | None
    methods: Cell | None
    note: str

    @property
    def listed(self) -> list[Cell]:
        """The pairs that put it on the list: on access networks."""
        return [cell for cell in self.cells if cell.probe_asn in self.stretches]


# --- what the tables say --------------------------------------------------------------------------


def read_records(
    tables: str | Path, sites: pd.DataFrame, flags: pd.DataFrame
) -> Iterator[SiteRecord]:
    """Yield the facts on each site with a page, by name.

    Args:
        tables: the folder of a report's tables.
        sites: the contract's.
        flags: what ``count_flags`` counted.
    """
    categories = read_table(tables, "categories").set_index("category_code")["category"]
    networks = read_table(tables, "networks")
    verdicts = read_table(tables, "verdicts")
    cells = verdicts[verdicts["period"] == "all"].merge(
        networks[["probe_asn", "network", "kind"]], on="probe_asn", how="left"
    )
    cells_of = _group_rows(cells.fillna({"network": "", "kind": "unknown"}))
    key = ["domain", "probe_asn", "blocked_from"]
    gaps = read_table(tables, "blocking_intervals").groupby(key)["longest_gap_days"].max()
    stretches = read_table(tables, "blocked_site_networks").join(gaps, on=key)
    stretches_of = _group_rows(stretches.fillna({"longest_gap_days": 0}))
    withheld_of, days_of = (
        _group_rows(read_table(tables, table)) for table in ("withheld_intervals", "session_days")
    )
    cut = read_table(tables, "blocked_addresses").drop_duplicates(["address", "probe_asn"])
    addresses_of = _group_rows(cut.assign(domain=cut["cut_sites"].str.split(";")).explode("domain"))
    flags_of, methods_of, aside_of = map(
        _group_rows,
        (flags, read_table(tables, "method_comparison"), read_table(tables, "set_aside")),
    )
    rows: Any = sites[sites["page"] != ""].itertuples(index=False)
    for site in rows:
        name = str(site.domain)
        aside = aside_of.get(name, [])
        yield SiteRecord(
            site=site,
            category=str(categories.get(site.category_code, "")),
            cells=sorted(cells_of.get(name, []), key=_order),
            stretches=_group(stretches_of.get(name, []), "probe_asn"),
            withheld=_group(withheld_of.get(name, []), "probe_asn"),
            days=_group(days_of.get(name, []), "probe_asn"),
            addresses=_group(addresses_of.get(name, []), "probe_asn"),
            flags=next(iter(flags_of.get(name, [])), None),
            methods=next(iter(methods_of.get(name, [])), None),
            note=str(aside[0].note) if aside else "",
        )


def _group_rows(frame: pd.DataFrame) -> dict[str, list[Cell]]:
    """Group rows by domain."""
    return _group(list_rows(frame), "domain")


def _group(rows: Iterable[Cell], column: str) -> dict[Any, list[Cell]]:
    """Group rows by the value of a column."""
    grouped: dict[Any, list[Cell]] = {}
    for row in rows:
        grouped.setdefault(getattr(row, column), []).append(row)
    return grouped


def _order(cell: Cell) -> tuple[float, int, int]:
    """Return the sort key of a pair: listed on access networks, then elsewhere, then by
    strength.
    """
    is_listed_abroad = cell.state in LISTED and cell.kind not in DOMESTIC
    rank = _RANKS[cell.state] + (0.5 if is_listed_abroad else 0)
    return rank, -int(cell.session_count), int(cell.probe_asn)


# --- pages ----------------------------------------------------------------------------------------


def make_pages(
    tables: str | Path, flags: pd.DataFrame, setting: Setting, lang: Language
) -> Iterator[tuple[str, str, Markup]]:
    """Yield every page of a site in a language, and first the index: its file below the report's
    folder, its title, and its content without a frame.

    Args:
        tables: the folder of a report's tables.
        flags: what ``count_flags`` counted.
        setting: what is the same for all.
        lang: of the pages.
    """
    rule_rows = read_table(tables, "rules").itertuples(index=False)
    rules: dict[str, Cell] = {str(rule.rule_id): rule for rule in rule_rows}
    sites, networks = read_table(tables, "sites"), read_table(tables, "networks")
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    decided = read_decided(tables)
    summary = read_summary(Path(tables))
    unreached = {
        site
        for finding in summary["findings"]
        if finding["kind"] == "everywhere"
        for site in finding["sites"]
    }
    yield INDEX, lang.say("Find a site"), list_names(sites, lang)
    for record in read_records(tables, sites, flags):
        domain = record.site.domain
        content = open_template("site.html.j2", lang).render(
            **_describe(record, setting, lang, rules),
            listed_table=_tabulate(record, names, lang),
            pairs=[_pair(cell, record, setting, names, lang) for cell in _told(record)],
            more=len(_list_failing(record)) - len(_told(record)),
            has_fingerprints=summary["has_fingerprints"],
            is_unreached=domain in unreached,
            decision=show_decision(decided.get(domain), lang),
            verdicts_link=_VERDICTS.format(setting.root),
            annex_link=link("../4-blocked-sites.html#the-list", lang.say("Annex")),
            root=setting.root,
        )
        yield f"sites/{site_file(domain)}", elided(visible(domain)), Markup(content)


def stylesheet() -> str:
    """Return the style of the pages of sites, besides that of all pages."""
    return read_css(TEMPLATES / "site.css")


def _describe(
    record: SiteRecord, setting: Setting, lang: Language, rules: Mapping[str, Cell]
) -> dict[str, Any]:
    """Return what the page of a site says besides its networks."""
    site, is_listed = record.site, record.site.status == "listed"
    unlisted = [cell for cell in record.cells if cell.probe_asn not in record.stretches]
    elsewhere = Markup("")
    address = countries_url(site.domain, setting.period)
    if address and not is_fictional(setting.probe_cc):
        elsewhere = link(address, "OONI Explorer")
    spelled = as_written(site.domain)
    listing = [
        words
        for key, words in METHODS.items()
        if key != "this_method" and getattr(record.methods, key, False)
    ]
    return {
        "record": record,
        "is_listed": is_listed,
        "states": [cell.state for cell in record.listed],
        "spelled": spelled if spelled != site.domain else "",
        "reason": _reason_words(lang, site.status, site.reason),
        "category": word(lang, record.category),
        "note": word(lang, record.note),
        "elsewhere": _list_by_state(lang, record, unlisted if is_listed else record.cells),
        "rules": _list_rules(lang, record, rules),
        "witnesses": [
            link(cell.witness_url, cell.network or tell_network(cell.probe_asn))
            for cell in record.listed
            if cell.witness_url
        ],
        "has_example": any(cell.witness_report_id for cell in record.listed),
        "reached": [
            cell for cell in record.cells if cell.kind in DOMESTIC and cell.ok_session_count
        ],
        "methods": [lang.html(words) for words in listing],
        "countries": elsewhere,
        "figure": _draw_networks(record, setting, lang),
        "access": _count_reached(cell for cell in record.cells if cell.kind in DOMESTIC),
        "outside": _count_reached(cell for cell in record.cells if cell.kind not in DOMESTIC),
    }


def _count_reached(cells: Iterable[Cell]) -> tuple[int, int]:
    """Count the sessions that reached the site, and all sessions."""
    counts = [(int(cell.ok_session_count), int(cell.session_count)) for cell in cells]
    return sum(reached for reached, _ in counts), sum(every for _, every in counts)


def _draw_networks(record: SiteRecord, setting: Setting, lang: Language) -> Markup:
    """Draw the periods of blocking, a line a network; periods that are not listed are hollow."""
    period, rows = setting.period, []
    for cell in _told(record):
        stretches = [
            {**stretch._asdict(), "blocked_until": stretch.last_seen_blocked}
            for stretch in record.stretches.get(cell.probe_asn, [])
        ]
        withheld = [stretch._asdict() for stretch in record.withheld.get(cell.probe_asn, [])]
        bars = [bar for stretch in stretches for bar in span_bars(stretch, period)]
        bars += [bar for stretch in withheld for bar in span_bars(stretch, period, "hollow")]
        words = say_spans(lang, [*stretches, *withheld])
        anchor = tell_network(cell.probe_asn)
        rows.append(Row(network_name(cell), tuple(bars), words, opens=f"#{anchor}"))
    if not any(row.bars for row in rows):
        return Markup("")
    events = [
        (event.day, event.title)
        for event in setting.events
        if event.kind != INCIDENT or record.site.domain in event.domains
    ]
    macros = open_template("verdict.html.j2", lang).module
    reading = Markup(macros.how_to_read_bars(bool(record.stretches), bool(events)))
    head, alt = lang.say("Network"), lang.say("Networks")
    return draw_on_axis(lang, head, rows, period, events, alt, reading)


def _told(record: SiteRecord) -> list[Cell]:
    """Return the pairs with sentences of their own: the listed ones, and others with a stretch
    that was withheld. Of a site that is set aside, return the pairs in which most sessions
    failed.
    """
    if not record.listed:
        return _list_failing(record)[:_FEW]
    unlisted = [cell for cell in record.cells if cell.probe_asn not in record.stretches]
    return [*record.listed, *(cell for cell in unlisted if cell.probe_asn in record.withheld)]


def _list_failing(record: SiteRecord) -> list[Cell]:
    """Return the pairs in which the site failed."""
    failing = [
        cell
        for cell in record.cells
        if cell.probe_asn in record.withheld or cell.blocked_session_count or cell.state in _FAILING
    ]
    failing.sort(
        key=lambda cell: (
            cell.probe_asn not in record.withheld,
            cell.state not in _FAILING,
            -int(cell.blocked_session_count),
            cell.probe_asn,
        )
    )
    return failing


def _pair(
    cell: Cell, record: SiteRecord, setting: Setting, names: Mapping[int, str], lang: Language
) -> dict[str, Any]:
    """Return a network with sentences of its own."""
    asn = cell.probe_asn
    stretches, withheld = record.stretches.get(asn, []), record.withheld.get(asn, [])
    return {
        "anchor": tell_network(asn),
        "is_listed": asn in record.stretches,
        "network": network_name(cell),
        "state": state_words(lang, cell),
        "sentences": [
            *say_verdict(lang, cell, stretches, withheld, names, setting.probe_cc),
            *(_address(lang, address) for address in record.addresses.get(asn, [])),
        ],
        "rivals": say_rivals(lang, stretches, withheld),
        "days": [
            (lang.date(day.day.date()), int(day.blocked_session_count), int(day.session_count))
            for day in record.days.get(asn, [])
        ],
    }


def _tabulate(record: SiteRecord, names: Mapping[int, str], lang: Language) -> Markup:
    """Return the listed periods, a row a network and period, as the annex has them."""
    if not record.listed:
        return Markup("")
    rows = [
        (
            row,
            Markup('<a href="#{}">{}</a>').format(tell_network(cell.probe_asn), network_name(cell)),
            name_resolvers(row, names),
            CERTAINTY[grade_certainty(cell)],
        )
        for cell in record.listed
        for row in record.stretches[cell.probe_asn]
    ]
    macros = open_template("annex.html.j2", lang).module
    group = dict.fromkeys(("name", "since", "count", "category", "site", "decision"), "")
    caption = lang.say("Access networks on which it is listed")
    table = macros.table(caption, [{**group, "rows": rows, "more_count": 0}])
    return Markup(macros.symbols([(name, STATES[name]) for name in LISTED]) + table)


def _address(lang: Language, cut: Cell) -> Markup:
    """Return what is said of an address that a network cut off."""
    return lang.html(
        "This network cut off the address {address}, which its tests met; of {all} tested sites "
        "that share it there, {cut} met this.",
        address=cut.address,
        all=int(cut.site_count),
        cut=int(cut.cut_site_count),
    )


def _list_by_state(
    lang: Language, record: SiteRecord, cells: Sequence[Cell]
) -> list[tuple[Markup, list[tuple[Markup, Markup, str]]]]:
    """Group networks by state in words, each with its kind if it is no access network, its
    sessions, and its id on the page, unless the network has sentences of its own.
    """
    groups: dict[Markup, list[tuple[Markup, Markup, str]]] = {}
    described = {cell.probe_asn for cell in _told(record)}
    for cell in cells:
        name = network_name(cell)
        if cell.kind not in DOMESTIC:
            name = Markup("{}, {}").format(name, lang.html(NETWORK_KINDS[cell.kind]))
        reached = lang.html(
            "{ok} of {all}", ok=int(cell.ok_session_count), all=int(cell.session_count)
        )
        anchor = "" if cell.probe_asn in described else tell_network(cell.probe_asn)
        groups.setdefault(state_words(lang, cell), []).append((name, reached, anchor))
    return list(groups.items())


def _list_rules(
    lang: Language, record: SiteRecord, rules: Mapping[str, Cell]
) -> list[tuple[str, Markup, str, int]]:
    """Return the rules of most blocked sessions: name, comment, condition, number of networks."""
    counts = Counter(cell.rule_id for cell in record.listed)
    return [
        (rule_id, word(lang, rules[rule_id].comment), rules[rule_id].condition, count)
        for rule_id, count in sorted(
            counts.items(), key=lambda rule_count: (-rule_count[1], rule_count[0])
        )
        if rule_id in rules
    ]


# --- the index ------------------------------------------------------------------------------------


#: The most names in the index; an archive may contain fifty thousand invented ones.
_MOST_NAMES = 10_000


def list_names(sites: pd.DataFrame, lang: Language) -> Markup:
    """Return the index: every tested name by its status; of very many, those with a page and those
    with most sessions.

    Args:
        sites: the contract's ``sites``.
        lang: of the words.
    """
    order = sites.assign(has_page=sites["page"] != "").sort_values(
        ["has_page", "session_count"], ascending=False, kind="stable"
    )
    most: Any = sites.loc[sorted(order.index[:_MOST_NAMES])].itertuples(index=False)
    names: dict[str, list[dict[str, Any]]] = {}
    for row in most:
        names.setdefault(row.status, []).append(_name(lang, row))
    left_out = max(len(sites) - _MOST_NAMES, 0)
    return Markup(open_template("site_index.html.j2", lang).render(names=names, left_out=left_out))


def _name(lang: Language, row: Cell) -> dict[str, Any]:
    """Return one name with its status."""
    written = as_written(row.domain)
    return {
        "row": row,
        "id": site_anchor(row.domain),
        "name": elided(visible(row.domain)),
        "shown": elided(visible(written)),
        "file": site_file(row.domain) if row.page else "",
        "encoded": row.domain if written != row.domain else "",
        "reason": _reason_words(lang, row.status, row.reason),
    }


def _reason_words(lang: Language, status: str, reason: str) -> str:
    """Return the reason for the status of a site in a few words; empty if none is needed."""
    if status == "not_enough_tests" and reason == "not_domestic":
        return lang.say("Tested on no access network")
    if status == "not_enough_tests" and reason == "down":
        return lang.say("The site was down")
    words = {**SET_ASIDE_REASONS, **{code: state.words for code, state in INSUFFICIENT.items()}}
    return lang.say(words[reason]) if reason in words else reason
