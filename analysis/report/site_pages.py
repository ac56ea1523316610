"""All pages of sites: one for each that is listed or set aside, and the index of every name.

Besides the tables they show sessions by day or week, and what was flagged. The notebook that
judges hands this on as notes (``table_folder.keep_note``), so that nothing is judged twice. A
note is not published.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.hosts import as_written, site_anchor, site_file
from analysis.languages.language import Language, elided, visible
from analysis.outcomes.rules import RULES_BY_ID
from analysis.outcomes.steps import read_type
from analysis.pages.formats import link, make_environment, read_css
from analysis.period import Period, days_between
from analysis.reference.events import Event
from analysis.reference.networks import DOMESTIC
from analysis.reference.reference_files import is_fictional
from analysis.report.first_page import read_decided, read_summary, show_decision
from analysis.report.verdict_words import (
    Row,
    network_name,
    say_rivals,
    say_verdict,
    state_words,
    word,
)
from analysis.study.study import Study
from analysis.study.table_folder import keep_note, read_note
from analysis.tables import read_table
from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.verdicts.verdicts import Judgement
from analysis.verdicts.witnesses import countries_url
from analysis.vocabulary import INSUFFICIENT, LISTED, METHODS, NETWORK_KINDS, SET_ASIDE_REASONS

#: Notes by name.
SPANS, REACHED, FLAGS, COMPARED = "session_spans", "reached_sessions", "site_flags", "compared"
#: With fewer sessions a network's span of days is thin: it might show when one person was at home.
LEAST_SESSIONS = 3
#: Days that a mark in a strip may stand for.
UNITS = (1, 7, 14, 28)
#: A network's spans are as short as so large a share of its sessions allows.
_SHOWN_SHARE = 0.75

# The sessions of each network in spans of so many days from the first one of the period.
_NETWORK_SPANS = """
WITH reports AS (SELECT DISTINCT probe_asn, day, session FROM sessions)
SELECT probe_asn, unit, (day - $since::DATE) // unit AS span, count(DISTINCT session) AS sessions
FROM reports, (SELECT unnest($units) AS unit) GROUP BY ALL
"""

_SPANS = """
WITH placed AS (
  SELECT domain, probe_asn, class, unit, (day - $since::DATE) // unit AS span
  FROM sessions JOIN units_at_hand USING (probe_asn)
  WHERE class <> 'none' AND domain IN (SELECT domain::host_name FROM sites_at_hand)
)
SELECT enum_code(domain) AS domain, probe_asn, unit::INTEGER AS unit_days, span::INTEGER AS span,
  (count(*) FILTER (class = 'blocked'))::INTEGER AS blocked_count,
  (count(*) FILTER (class = 'ok'))::INTEGER AS ok_count,
  (count(*) FILTER (class = 'down'))::INTEGER AS down_count,
  (count(*) FILTER (class = 'unclear'))::INTEGER AS unclear_count
FROM placed SEMI JOIN spans_at_hand USING (probe_asn, span)
GROUP BY placed.domain, probe_asn, unit, span
ORDER BY placed.domain, probe_asn, unit_days, span
"""

_FLAGS = """
SELECT domain, count(*) AS measurement_count,
  count(*) FILTER (NOT is_failure AND (is_anomaly OR is_confirmed IS TRUE)) AS flagged_count,
  count(*) FILTER (NOT is_failure AND is_confirmed) AS confirmed_count
FROM observations WHERE domain <> '' GROUP BY domain ORDER BY domain
"""


def keep_site_evidence(study: Study, judgement: Judgement, tables: str) -> None:
    """Hand on what the pages of sites show.

    Args:
        study: after ``confirm``, whose sessions its connection holds.
        judgement: what ``confirm`` returned.
        tables: the folder of the tables.
    """
    intervals = judgement.intervals.assign(
        probe_asn="AS" + judgement.intervals["probe_asn"].astype(str)
    )
    key = ["domain", "probe_asn", "blocked_from", "blocked_from_time"]
    keep_note(tables, REACHED, intervals[[*key, "reached_session_count"]])
    whole = judgement.verdicts[judgement.verdicts["period"] == "all"]
    is_shown = whole["state"].isin(LISTED) | (whole["set_aside_reason"] != "")
    sites = sorted(set(whole.loc[is_shown, "domain"]))
    keep_note(tables, SPANS, count_spans(study.connection, sites, study.periods["all"].since))
    keep_note(tables, FLAGS, study.connection.execute(_FLAGS).df())


def count_spans(
    connection: duckdb.DuckDBPyConnection, sites: list[str], since: Any
) -> pd.DataFrame:
    """Sessions of sites by network and span of days, without the spans in which it is thin.

    A network's spans are days where it has sessions enough, else as many days as it takes.

    Args:
        connection: holds ``sessions``.
        sites: their names.
        since: the first day of the period.

    Returns:
        One row a site, network and span, in this order: ``domain, probe_asn`` (categories),
        ``unit_days, span`` (from 0), ``blocked_count, ok_count, down_count, unclear_count`` of
        sessions. There are millions, so that each number has four bytes.
    """
    spans = connection.execute(_NETWORK_SPANS, {"since": since, "units": list(UNITS)}).df()
    is_thick = spans["sessions"] >= LEAST_SESSIONS
    shown = spans["sessions"].where(is_thick, 0).groupby([spans["probe_asn"], spans["unit"]]).sum()
    every = spans.groupby(["probe_asn", "unit"])["sessions"].sum()
    share = (shown / every).unstack()
    share[UNITS[-1]] = 1.0
    units = (share >= _SHOWN_SHARE).idxmax(axis=1).rename("unit").reset_index()
    at_hand = {
        "units_at_hand": units,
        "spans_at_hand": spans[is_thick].merge(units, on=["probe_asn", "unit"]),
        "sites_at_hand": pd.DataFrame({"domain": pd.Series(sites, dtype="str")}),
    }
    for name, frame in at_hand.items():
        connection.register(name, frame)
    try:
        counted = connection.execute(_SPANS, {"since": since}).fetchnumpy()
    finally:
        for name in at_hand:
            connection.unregister(name)
    # Each column is taken over as it is: copies of all of them would take hundreds of MB.
    names, network = read_type(connection, "host_name"), pd.Categorical(counted["probe_asn"])
    domain = np.asarray(counted["domain"])
    counted["domain"] = pd.Categorical.from_codes(domain, pd.Index(names))
    counted["probe_asn"] = network.rename_categories("AS{}".format)
    return pd.DataFrame(counted, copy=False)


TEMPLATES = Path(__file__).parent / "templates"
INDEX, INDEX_TITLE = "sites/index.html", "Find a site"
_VERDICTS = Markup('<a href="{}tables/verdicts.csv">verdicts.csv</a>')
#: Strips of a site that is set aside: those of the networks where most sessions failed.
_FEW_STRIPS = 6
_RANKS = {state: rank for rank, state in enumerate(STATES_BY_STRENGTH)}


# --- strips ---------------------------------------------------------------------------------------
# The days of a site on a network as a strip of marks, small enough for a page of many. Above lie
# the sessions that were kept from the site, below those that reached it; it reads without its
# colours. Where nothing stands nobody tested, or so few that the network is not shown.

#: Heights in a strip that is 14 high: where a mark begins, and how high it is.
_LANES = {"kept": (0, 7), "other": (4, 6), "reached": (8, 6)}
_HEIGHT = 14
_FEW_LABELS = 5


@dataclass(frozen=True)
class Axis:
    """The time axis over the strips: months with a label, and events by number.

    Attributes:
        labels: place from the left in per cent, and the month in words.
        events: place in per cent, number, and the event.
        lines: the months and events as paths, the same in each strip.
    """

    labels: list[tuple[str, str]]
    events: list[tuple[str, int, Event]]
    lines: Markup


def make_axis(lang: Language, period: Period, events: Sequence[Event]) -> Axis:
    """The axis of a period."""
    months = [month.since for month in period.months()]
    step = max(1, -(-len(months) // _FEW_LABELS))
    ticks = "".join(f"M{days_between(period.since, month)} 0v{_HEIGHT}" for month in months)
    marks = "".join(f"M{days_between(period.since, event.day)} 0v{_HEIGHT}" for event in events)
    lines = Markup('<path class="tick" d="{}"/><path class="event" d="{}"/>').format(ticks, marks)
    return Axis(
        [(_percent(month, period), lang.month(month)) for month in months[::step]],
        [(_percent(event.day, period), n, event) for n, event in enumerate(events, start=1)],
        lines if events else Markup('<path class="tick" d="{}"/>').format(ticks),
    )


def draw_strip(lang: Language, spans: Sequence[Row], period: Period, axis: Axis) -> Markup:
    """The sessions of a site on a network as a strip, with the same in words.

    Args:
        lang: of the words.
        spans: rows of ``count_spans``, in order.
        period: the whole period, which is the strip's width.
        axis: of the same period.
    """
    days = period.day_count
    marks = "".join(
        f'<path class="{lane}" d="{path}"/>'
        for lane in _LANES
        if (path := _path([span for span in spans if _is_in(lane, span)], lane, days))
    )
    return Markup(
        '<svg class="strip" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}" focusable="false">{}{}</svg>'
    ).format(days, _HEIGHT, _in_words(lang, spans), axis.lines, Markup(marks))


def _in_words(lang: Language, spans: Sequence[Row]) -> str:
    """What a strip shows."""
    if not spans:
        return lang.say("No span of days with sessions enough to be shown.")
    kept, reached = (sum(_is_in(lane, span) for span in spans) for lane in ("kept", "reached"))
    return lang.say_plural(
        "Days on which the site was tested: {tested}. Kept from it on {kept}, reached on "
        "{reached}.",
        "Spans of {n} days in which the site was tested: {tested}. Kept from it in {kept}, reached "
        "in {reached}.",
        int(spans[0].unit_days),
        tested=len(spans),
        kept=kept,
        reached=reached,
    )


def _is_in(lane: str, span: Row) -> bool:
    if lane == "kept":
        return bool(span.blocked_count)
    if lane == "reached":
        return bool(span.ok_count)
    return not span.blocked_count and not span.ok_count


def _path(spans: Sequence[Row], lane: str, days: int) -> str:
    """The marks of a lane as one path; spans that follow each other are one mark."""
    top, height = _LANES[lane]
    parts: list[str] = []
    start = end = -1
    for span in spans:
        first = int(span.span) * int(span.unit_days)
        last = min(first + int(span.unit_days), days)
        if first != end:
            parts += [_box(start, end, top, height)] if end > start else []
            start = first
        end = last
    parts += [_box(start, end, top, height)] if end > start else []
    return "".join(parts)


def _box(start: int, end: int, top: int, height: int) -> str:
    width = end - start
    return f"M{start} {top}h{width}v{height}h-{width}z"


def _percent(day: date, period: Period) -> str:
    return f"{100 * days_between(period.since, day) / period.day_count:.1f}"


# --- records --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """What is the same for all sites of a report.

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


#: A row of ``count_spans`` without its site and network.
Span = namedtuple("Span", "unit_days span blocked_count ok_count down_count unclear_count")


@dataclass(frozen=True)
class SiteRecord:
    """What is known of one site.

    Attributes:
        site: its row of ``sites``.
        category: in words.
        cells: its rows of ``verdicts`` for the whole period, with ``network`` and ``kind``; the
            strongest state first, of equals the one with most sessions.
        stretches: probe_asn → its rows of ``blocked_site_networks``.
        withheld: probe_asn → its rows of ``withheld_intervals``.
        spans: probe_asn → its sessions by span of days.
        flags: OONI's counts of flags, if there are any.
        methods: which methods list it, a row of ``differences.compare_methods``; None: none does.
        note: why it is set aside, in a sentence.
    """

    site: Row
    category: str
    cells: Sequence[Row]
    stretches: Mapping[str, Sequence[Row]]
    withheld: Mapping[str, Sequence[Row]]
    spans: Callable[[str], list[Span]]
    flags: Row | None
    methods: Row | None
    note: str

    @property
    def listed(self) -> list[Row]:
        """The cells that put it on the list: on access networks."""
        return [cell for cell in self.cells if cell.probe_asn in self.stretches]


# --- what the tables say --------------------------------------------------------------------------


def read_records(tables: str | Path, sites: pd.DataFrame) -> Iterator[SiteRecord]:
    """What is known of each site with a page, by name.

    Args:
        tables: the folder of a report's tables, with the notes of its notebooks.
        sites: the contract's.
    """
    categories = read_table(tables, "categories").set_index("category_code")["category"]
    networks = read_table(tables, "networks")
    verdicts = read_table(tables, "verdicts")
    cells = verdicts[verdicts["period"] == "all"].merge(
        networks[["probe_asn", "network", "kind"]], on="probe_asn", how="left"
    )
    cells_of = _group_rows(cells.fillna({"network": "", "kind": "unknown"}))
    stretches_of = _group_rows(read_table(tables, "blocked_site_networks"))
    withheld_of = _group_rows(read_table(tables, "withheld_intervals"))
    spans_of = _find_spans(read_note(tables, SPANS))
    flags_of, methods_of, aside_of = map(
        _group_rows, (read_note(tables, FLAGS), read_note(tables, COMPARED),
                     read_table(tables, "set_aside")),
    )  # fmt: skip
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
            spans=spans_of(name),
            flags=next(iter(flags_of.get(name, [])), None),
            methods=next(iter(methods_of.get(name, [])), None),
            note=str(aside[0].note) if aside else "",
        )


def _group_rows(frame: pd.DataFrame) -> dict[str, list[Row]]:
    """Domain → its rows."""
    rows: Any = frame.astype(object).itertuples(index=False)  # one by one, Arrow's take long
    return _group(rows, "domain")


def _find_spans(frame: pd.DataFrame) -> Callable[[str], Callable[[str], list[Span]]]:
    """Gives for a site and a network its spans, in order. There are millions."""
    counts = frame[list(Span._fields)].to_numpy()
    places = frame.groupby(["domain", "probe_asn"], observed=True).indices

    def find(domain: str) -> Callable[[str], list[Span]]:
        return lambda asn: [Span(*row) for row in counts[places.get((domain, asn), [])].tolist()]

    return find


def _group(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    """Rows by what they have in a column."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(getattr(row, column), []).append(row)
    return grouped


def _is_access(cell: Row) -> bool:
    return cell.kind in DOMESTIC


def _order(cell: Row) -> tuple[float, int, str]:
    """Listed on access networks, then elsewhere, then by strength; the most tested first."""
    is_listed_abroad = cell.state in LISTED and not _is_access(cell)
    rank = _RANKS[cell.state] + (0.5 if is_listed_abroad else 0)
    return rank, -int(cell.session_count), str(cell.probe_asn)


# --- pages ----------------------------------------------------------------------------------------


def make_pages(
    tables: str | Path, setting: Setting, lang: Language
) -> Iterator[tuple[str, str, Markup]]:
    """Every page of a site in a language, and the index, which comes first: its file below the
    report's folder, its title, and its content without a frame.

    Args:
        tables: the folder of a report's tables, with the notes of its notebooks.
        setting: what is the same for all.
        lang: of the pages.
    """
    sites, networks = read_table(tables, "sites"), read_table(tables, "networks")
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    decided = read_decided(tables)
    found = read_summary(Path(tables))["findings"]
    unreached = {site for one in found if one["kind"] == "everywhere" for site in one["sites"]}
    yield INDEX, lang.say("Find a site"), list_names(sites, lang)
    axis = make_axis(lang, setting.period, setting.events)
    for record in read_records(tables, sites):
        domain = record.site.domain
        content = _template("site.html.j2", lang).render(
            **_describe(record, setting, lang),
            the_axis=axis,
            pairs=[_pair(cell, record, setting, names, lang, axis) for cell in _told(record)],
            remarks=[
                *(_say_unreached(lang) if domain in unreached else ()),
                show_decision(decided.get(domain), lang),
            ],
            verdicts_link=_VERDICTS.format(setting.root),
            certainty_link=link("../index.html#certainty", lang.say("How sure this is")),
            root=setting.root,
        )
        yield f"sites/{site_file(domain)}", elided(visible(domain)), Markup(content)


def stylesheet() -> str:
    """How the pages of sites look, besides what all pages have."""
    return read_css(TEMPLATES / "site.css")


@lru_cache(maxsize=8)
def _template(name: str, lang: Language) -> Any:
    return make_environment(TEMPLATES, lang=lang).get_template(name)


def _describe(record: SiteRecord, setting: Setting, lang: Language) -> dict[str, Any]:
    """What the page of a site says besides its networks."""
    site, is_listed = record.site, record.site.status == "listed"
    unlisted = [cell for cell in record.cells if cell.probe_asn not in record.stretches]
    elsewhere = Markup("")
    if not is_fictional(setting.probe_cc):
        elsewhere = link(countries_url(site.domain, setting.period), "OONI Explorer")
    return {
        "name": site.domain,
        "status_code": site.status,
        "status": _say_status(lang, record),
        "category": _say_kind(lang, record),
        "tests": _say_tests(lang, site),
        "reasons": [] if is_listed else [word(lang, record.note)],
        "elsewhere": _list_by_state(lang, unlisted if is_listed else record.cells),
        "rules": _list_rules(lang, record),
        "witnesses": [
            link(cell.witness_url, cell.network or cell.probe_asn)
            for cell in record.listed
            if cell.witness_url
        ],
        "doubts": list(_say_why_not(lang, record)) if is_listed else [],
        "methods": list(_say_other_methods(lang, record)),
        "countries": elsewhere,
    }


def _told(record: SiteRecord) -> Sequence[Row]:
    """The cells that are listed; of a site that is set aside those in which most sessions failed,
    first those with a stretch that was withheld, and those that did not work."""
    if record.site.status == "listed":
        return record.listed
    failing = [
        cell for cell in record.cells
        if cell.probe_asn in record.withheld or cell.blocked_session_count
        or cell.state == "impaired"
    ]  # fmt: skip
    failing.sort(
        key=lambda cell: (
            cell.probe_asn not in record.withheld, cell.state != "impaired",
            -int(cell.blocked_session_count), cell.probe_asn,
        )
    )  # fmt: skip
    return failing[:_FEW_STRIPS]


def _pair(
    cell: Row,
    record: SiteRecord,
    setting: Setting,
    names: Mapping[str, str],
    lang: Language,
    axis: Axis,
) -> dict[str, Any]:
    """A network with sentences and a strip of its own."""
    asn = cell.probe_asn
    stretches, withheld = record.stretches.get(asn, []), record.withheld.get(asn, [])
    return {
        "anchor": asn,
        "network": network_name(cell),
        "state": state_words(lang, cell),
        "strip": draw_strip(lang, record.spans(asn), setting.period, axis),
        "sentences": say_verdict(lang, cell, stretches, withheld, names, setting.probe_cc),
        "rivals": say_rivals(lang, stretches, withheld),
    }


# --- sentences ------------------------------------------------------------------------------------


def _say_status(lang: Language, record: SiteRecord) -> Markup:
    """What became of the site, in one sentence."""
    if record.site.status == "listed":
        states = [cell.state for cell in record.listed]
        return lang.html(
            "Blocked on {traced} and likely blocked on {likely} access networks.",
            traced=states.count("blocked"), likely=states.count("likely_blocked"),
        )  # fmt: skip
    return lang.html(
        "Set aside, and not on the list of blocked sites: {reason}.",
        reason=word(lang, SET_ASIDE_REASONS.get(record.site.reason, record.site.reason)),
    )


def _say_unreached(lang: Language) -> Iterator[Markup]:
    """What a site is told of that no access network reaches, and others do."""
    yield Markup("<p>{}</p>").format(
        lang.html(
            "Hardly any session on an access network reached this site; sessions from VPNs, data "
            "centres or abroad did."
        )
    )
    yield Markup("<p>{}</p>").format(
        lang.html(
            "Either all networks of the country block it, or the site refuses visitors from the "
            "country. The measurements cannot tell which."
        )
    )


def _say_kind(lang: Language, record: SiteRecord) -> Markup:
    """The category, and whether it is a site of the country."""
    category = word(lang, record.category)
    if record.site.is_local:
        return lang.html("{category}. A site of the country.", category=category)
    return lang.html("{category}. Not a site of the country.", category=category)


def _say_tests(lang: Language, site: Row) -> Markup:
    """How much a site was tested, and how its name is written in another script."""
    tests = lang.html(
        "Tested {measurements} times, in {sessions} sessions on {networks} networks.",
        measurements=int(site.measurement_count),
        sessions=int(site.session_count),
        networks=int(site.network_count),
    )
    return Markup(" ").join([tests, *say_spelling(lang, site.domain)])


def say_spelling(lang: Language, domain: str) -> Iterator[Markup]:
    """How a name in another script than Latin is written there, after the form that is tested."""
    if "xn--" not in domain:
        return
    try:
        spelled = domain.encode("ascii").decode("idna")
    except UnicodeError:
        return
    yield lang.html("In its own script the name is written {name}.", name=spelled)


def _list_by_state(
    lang: Language, cells: Sequence[Row]
) -> list[tuple[Markup, list[tuple[Markup, Markup]]]]:
    """State in words → the networks with that state, each with its kind where it is no access
    network, and of how many sessions so many reached the site."""
    groups: dict[Markup, list[tuple[Markup, Markup]]] = {}
    for cell in cells:
        name = network_name(cell)
        if not _is_access(cell):
            name = Markup("{}, {}").format(name, lang.html(NETWORK_KINDS[cell.kind]))
        reached = lang.html(
            "{ok} of {all}", ok=int(cell.ok_session_count), all=int(cell.session_count)
        )
        groups.setdefault(state_words(lang, cell), []).append((name, reached))
    return list(groups.items())


def _list_rules(lang: Language, record: SiteRecord) -> list[tuple[str, Markup, int]]:
    """The rules that most blocked sessions fired: name, what it says, on how many networks."""
    counts: dict[str, int] = {}
    for cell in record.listed:
        counts[cell.rule_id] = counts.get(cell.rule_id, 0) + 1
    return [
        (rule_id, lang.html(RULES_BY_ID[rule_id].comment), count)
        for rule_id, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        if rule_id in RULES_BY_ID
    ]


def _say_other_methods(lang: Language, record: SiteRecord) -> Iterator[Markup]:
    """OONI's flags, and who else would list the site from the same measurements."""
    if record.flags is not None:
        yield lang.html(
            "OONI flags {anomalies} of {all} measurements as anomalies, and {confirmed} of these "
            "as confirmed.",
            anomalies=int(record.flags.flagged_count),
            all=int(record.flags.measurement_count),
            confirmed=int(record.flags.confirmed_count),
        )
    listing = [words for key, words in METHODS.items() if key != "this_method" and
               record.methods is not None and getattr(record.methods, key)]  # fmt: skip
    if listing:
        yield lang.html("Other methods that would list it: {methods}.",
                        methods=[lang.html(words) for words in listing])  # fmt: skip
    else:
        yield lang.html("No other method that was tried would list it.")


def _say_why_not(lang: Language, record: SiteRecord) -> Iterator[Markup]:
    """For a listed site, what speaks against each innocent explanation, or does not."""
    yield lang.html(
        "The site was down? In {down} of {all} sessions an uncensored network could not reach it "
        "either.",
        down=sum(int(cell.down_session_count) for cell in record.cells),
        all=sum(int(cell.session_count) for cell in record.cells),
    )
    reached = [cell for cell in record.cells if _is_access(cell) and cell.ok_session_count]
    if reached:
        yield lang.html_plural(
            "The site refuses the country? On {n} access network it was reached, in {sessions} "
            "sessions.",
            "The site refuses the country? On {n} access networks it was reached, in {sessions} "
            "sessions.",
            len(reached),
            sessions=sum(int(cell.ok_session_count) for cell in reached),
        )
    else:
        yield lang.html(
            "The site refuses the country? No access network reached it in the period, so that "
            "only the way in which it fails speaks against this."
        )
    yield lang.html_plural(
        "One person, or one faulty probe? In the whole period {sessions} sessions were blocked, on "
        "{n} network.",
        "One person, or one faulty probe? In the whole period {sessions} sessions were blocked, on "
        "{n} networks.",
        len(record.listed),
        sessions=sum(int(cell.blocked_session_count) for cell in record.listed),
    )


# --- the index ------------------------------------------------------------------------------------


def list_names(sites: pd.DataFrame, lang: Language) -> Markup:
    """What the index holds: every tested name by its status.

    Args:
        sites: the contract's ``sites``.
        lang: of the words.
    """
    groups = []
    for status, (title, meaning) in _groups(lang).items():
        rows = list(sites[sites["status"] == status].itertuples(index=False))
        if rows:
            groups.append({
                "id": status.replace("_", "-"), "title": title, "meaning": meaning,
                "count": lang.number(len(rows)),
                "lines": Markup("\n").join(_name_item(lang, row) for row in rows),
            })  # fmt: skip
    return Markup(
        _template("site_index.html.j2", lang).render(
            groups=groups,
            typed=Markup('<bdi class="typed"></bdi>'),
            counted=Markup('<b class="counted"></b>'),
        )
    )


def _groups(lang: Language) -> dict[str, tuple[Markup, Markup]]:
    """Status → the heading of its group, and what it means."""
    return {
        "listed": (
            lang.html("Listed"),
            lang.html("Blocked or likely blocked on at least one access network of the country."),
        ),
        "set_aside": (
            lang.html("Set aside"),
            lang.html(
                "Something was unusual, and does not amount to a block. The page of each says why."
            ),
        ),
        "no_problem_seen": (
            lang.html("Tested without a problem"),
            lang.html(
                "Reached on at least one access network, and nothing unusual was seen. It is no "
                "promise for networks, days and parts of the site that nobody tested."
            ),
        ),
        "not_enough_tests": (
            lang.html("Tested, without a conclusion"),
            lang.html(
                "Too few tests, tests that disagree, or a site that was away. It is evidence "
                "neither of blocking nor of access."
            ),
        ),
    }


def _name_item(lang: Language, row: Row) -> Markup:
    """One name with what became of it; ``data-name`` is what the search asks."""
    name = elided(visible(row.domain))
    shown = Markup("<bdi>{}</bdi>").format(elided(visible(as_written(row.domain))))
    if row.page:
        shown = Markup('<a href="{}">{}</a>').format(site_file(row.domain), shown)
    reason = _reason_words(lang, row.status, row.reason)
    tests = lang.html_plural("{n} session", "{n} sessions", int(row.session_count))
    networks = lang.html_plural("{n} network", "{n} networks", int(row.network_count))
    encoded = row.domain if as_written(row.domain) != row.domain else ""
    facts = Markup(" · ").join(filter(None, [encoded, reason, tests, networks]))
    return Markup('<li id="{}" data-name="{}">{} <span class="caveat">{}</span></li>').format(
        site_anchor(row.domain), name, shown, facts
    )


def _reason_words(lang: Language, status: str, reason: str) -> str:
    """Why a site has its status, in a few words; empty where nothing has to be said."""
    if not reason:
        return ""
    if reason in INSUFFICIENT:
        return lang.say(INSUFFICIENT[reason].words)
    if status == "not_enough_tests" and reason == "not_domestic":
        return lang.say("Tested on no access network")
    return lang.say(SET_ASIDE_REASONS[reason]) if reason in SET_ASIDE_REASONS else reason
