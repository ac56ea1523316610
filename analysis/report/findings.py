"""The findings of a report as data: what each is about, in which order, from which table.

Everything is read from the published tables; ``finding_words`` says it, in whichever language. A
finding has one number for its kind, the same in every report, so that a meeting's decision on F2
means the same in the next draft, whatever the order there.

The headline numbers of a report are made here alone, from tables. A notebook hands those that it
counts to ``run.json`` (``show.record_findings``), where pages, sentences and other commands
read them. A number has one name everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.observations.messaging_tests import BY_NAME
from analysis.outcomes.rules import RULES_BY_ID
from analysis.period import Period, day_of
from analysis.reference.events import INCIDENT, Event
from analysis.reference.networks import DOMESTIC
from analysis.reference.test_lists import UNCATEGORISED
from analysis.report.annex import SINCE, on_access_networks
from analysis.report.verdict_words import add_local_hours, grade_certainty
from analysis.report.weeks import count_weeks
from analysis.study.confirmation import SPAN_DAYS, spans_by_site
from analysis.study.study import Study
from analysis.tables import name_network, read_network, read_table, tell_cells, tell_network
from analysis.verdicts.states import is_of_household, is_tested_enough
from analysis.vocabulary import CERTAINTY, CHANGES, DEAD_NAME_REASONS, LISTED

Numbers = Mapping[str, int]
#: Headline number → its table in ``run.json``; all others are counted from ``verdicts``.
_TABLES: Mapping[str, str] = {
    "measurement_count": "measurements_by_month",
    "line_count": "ingestion_ledger",
    "unread_object_count": "objects_not_read",
    "unread_part_count": "unread_parts",
    "domain_count": "semesters",
    **dict.fromkeys(
        (
            "network_count",
            "access_network_count",
            "ranked_network_count",
            "blocking_network_count",
            "guessed_network_count",
        ),
        "networks",
    ),
    **dict.fromkeys(("blocked_domain_count_first", "blocked_domain_count_second"), "semesters"),
    **dict.fromkeys(
        (f"{change}_count" for change in (*CHANGES, "interrupted", "listed_in_both")),
        "semester_changes",
    ),
    "withheld_domain_count": "withheld_intervals",
    "other_methods_only_count": "method_comparison",
    **dict.fromkeys(
        (
            "blocked_domain_count",
            "blocked_registrable_domain_count",
            "blocked_local_domain_count",
            "traced_domain_count",
            "likely_domain_count",
            "still_listed_count",
        ),
        "blocked_sites",
    ),
    **dict.fromkeys(("set_aside_count", "dead_name_count"), "set_aside"),
    **dict.fromkeys(
        (
            "app_test_count",
            "app_network_count",
            "settled_app_count",
            "blocked_app_count",
            "traced_app_count",
            "likely_app_count",
            "blocked_app_pair_count",
            "blocked_app_network_count",
            "defective_app_count",
        ),
        "messaging_verdicts",
    ),
}


def name_tables(numbers: Numbers) -> dict[str, tuple[int, str]]:
    """Return each number with the table that it was read from, for ``show.record_findings``."""
    return {name: (count, _TABLES.get(name, "verdicts")) for name, count in numbers.items()}


def count_measured(
    months: pd.DataFrame, sites: pd.DataFrame, networks: pd.DataFrame
) -> dict[str, int]:
    """Count the measurements, sites and networks.

    Args:
        months: the contract's ``measurements_by_month``.
        sites: ``Study.domains``.
        networks: the contract's, or ``Study.networks``.
    """
    return _whole(
        {
            "measurement_count": months["measurement_count"].sum(),
            "domain_count": (sites["domain"] != "").sum(),
            "network_count": len(networks),
            "access_network_count": networks["kind"].isin(DOMESTIC).sum(),
        }
    )


def count_verdicts(verdicts: pd.DataFrame, networks: pd.DataFrame) -> dict[str, int]:
    """Count the judged pairs of site and network, by state.

    Args:
        verdicts, networks: the contract's.
    """
    whole = verdicts[verdicts["period"] == "all"]
    judged = on_access_networks(whole, networks)
    listed = judged[judged["state"].isin(LISTED)]
    tested = judged[is_tested_enough(judged)]
    traced, likely = _split(listed["state"])
    certain = count_certainty(listed)
    sources = find_sources(listed, networks)
    source_of = {asn: number for number, source in enumerate(sources) for asn in source}
    per_site = listed["probe_asn"].map(source_of).groupby(listed["domain"]).nunique()
    return _whole(
        {
            "judged_pair_count": len(whole),
            "judged_access_pair_count": len(judged),
            "other_pair_count": len(whole) - len(judged),
            "ok_access_pair_count": (judged["state"] == "ok").sum(),
            "listed_access_pair_count": len(listed),
            "traced_access_pair_count": traced,
            "likely_access_pair_count": likely,
            "tested_enough_pair_count": len(tested),
            "tested_enough_domain_count": tested["domain"].nunique(),
            "tested_enough_network_count": tested["probe_asn"].nunique(),
            "too_few_tests_pair_count": len(judged) - len(tested),
            "independent_network_count": len(sources),
            "single_source_domain_count": (per_site == 1).sum(),
            **{f"{word}_pair_count": count for word, count in certain.items()},
            "blocked_domain_count": listed["domain"].nunique(),
            "unsettled_access_pair_count": (judged["state"] == "insufficient").sum(),
            "impaired_access_pair_count": (judged["state"] == "impaired").sum(),
            "unexplained_access_pair_count": (judged["state"] == "unexplained").sum(),
            "down_access_pair_count": (judged["state"] == "down").sum(),
            "disagreeing_access_pair_count": (judged["insufficient_reason"] == "mixed").sum(),
            "single_network_domain_count": (listed.groupby("domain").size() == 1).sum(),
            "household_pair_count": is_of_household(judged).sum(),
            "one_report_pair_count": (listed["sessions_to_flip"] == 1).sum(),
            "undated_pair_count": listed["note"].str.contains(SINCE).sum(),
            "most_to_flip": max(listed["sessions_to_flip"], default=0),
            "ranked_network_count": networks["rank"].notna().sum(),
            "guessed_network_count": (
                (networks["kind_source"] == "name rule")
                & ~networks["kind"].isin(DOMESTIC)
                & (networks["tested_enough_count"] > 0)
            ).sum(),
            "blocking_network_count": listed["probe_asn"].nunique(),
        }
    )


def count_halves(semesters: pd.DataFrame, changes: pd.DataFrame) -> dict[str, int]:
    """Count the listed sites of each half, and the changes by kind.

    Args:
        semesters, changes: the contract's (``semester_changes``).
    """
    listed = semesters.set_index("period")["blocked_domain_count"]
    halves = {f"blocked_domain_count_{half}": listed[half] for half in ("first", "second")}
    return _whole(
        {
            **halves,
            **{f"{change}_count": (changes["change"] == change).sum() for change in CHANGES},
            "interrupted_count": changes["is_interrupted"].sum(),
            "listed_in_both_count": (
                changes["first_state"].isin(LISTED) & changes["second_state"].isin(LISTED)
            ).sum(),
        }
    )


def count_listed(
    blocked: pd.DataFrame, aside: pd.DataFrame, withheld: pd.DataFrame
) -> dict[str, int]:
    """Count the sites that are listed, that are set aside, and whose failures were withheld.

    Args:
        blocked, aside, withheld: the contract's (``blocked_sites, set_aside,
            withheld_intervals``).
    """
    traced, likely = _split(blocked["state"])
    return _whole(
        {
            "blocked_registrable_domain_count": blocked["registrable_domain"].nunique(),
            "blocked_local_domain_count": blocked["is_local"].sum(),
            "traced_domain_count": traced,
            "likely_domain_count": likely,
            "still_listed_count": blocked["blocked_until"].isna().sum(),
            "set_aside_count": len(aside),
            "withheld_domain_count": aside["domain"].isin(withheld["domain"]).sum(),
            "dead_name_count": aside["reason"].isin(DEAD_NAME_REASONS).sum(),
        }
    )


def count_methods(compared: pd.DataFrame) -> dict[str, int]:
    """Count the sites that only other methods list.

    Args:
        compared: ``differences.compare_methods``.
    """
    return _whole({"other_methods_only_count": (~compared["this_method"]).sum()})


def count_apps(verdicts: pd.DataFrame) -> dict[str, int]:
    """Count the apps and tools that were tested, blocked and broken.

    Args:
        verdicts: the contract's ``messaging_verdicts``.
    """
    whole = verdicts[verdicts["period"] == "all"]
    listed = list_blocked_apps(whole)
    broken = verdicts[verdicts["set_aside_reason"] == "instrument"]
    settled = list_settled_apps(verdicts)
    traced, likely = _split(_strongest(listed, "test_name"))
    return _whole(
        {
            "app_test_count": whole["test_name"].nunique(),
            "settled_app_count": settled["test_name"].nunique(),
            "traced_app_count": traced,
            "likely_app_count": likely,
            "app_network_count": whole["probe_asn"].nunique(),
            "blocked_app_count": listed["test_name"].nunique(),
            "blocked_app_pair_count": len(listed),
            "blocked_app_network_count": listed["probe_asn"].nunique(),
            "defective_app_count": broken["test_name"].nunique(),
        }
    )


def list_blocked_apps(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``messaging_verdicts`` that are blocked or likely blocked, on access
    networks.
    """
    is_listed = verdicts["state"].isin(LISTED)
    return verdicts[is_listed & (verdicts["set_aside_reason"] != "not_domestic")]


def list_settled_apps(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``messaging_verdicts`` for the whole period with a result on an access
    network: tested enough, by a test that was not broken.
    """
    whole = verdicts[verdicts["period"] == "all"]
    broken = verdicts.loc[verdicts["set_aside_reason"] == "instrument", "test_name"]
    is_listed = whole["state"].isin(LISTED)
    says = is_listed | ((whole["state"] != "insufficient") & ~whole["test_name"].isin(broken))
    return whole[says & (whole["set_aside_reason"] != "not_domestic")]


def _whole(counts: Mapping[str, Any]) -> dict[str, int]:
    """Return counts as whole numbers that JSON can hold."""
    return {name: int(count) for name, count in counts.items()}


#: The most days within which sites that are blocked belong to one event.
WINDOW_DAYS = 31
#: A block whose last open test is older than this may have begun on any of these days; not counted.
BRACKET_DAYS = 60
_LEAST_SITES, _LEAST_NETWORKS = 5, 2
#: An onset has this many times as many sites as any other window of the period.
_LEAST_RATIO = 3.0
#: A known event this long before the first block is named beside it.
_EVENT_DAYS = 14


def find_onset(intervals: pd.DataFrame, period: Period) -> pd.DataFrame | None:
    """Return the blocks of the window of days in which most sites began to be blocked, if it
    stands out.

    Counted are blocks at all hours before which a test had reached the site on that network: one
    without such a test may be older. Blocks that hold at hours of the week have their own finding.

    Args:
        intervals: the contract's ``blocking_intervals``, of access networks only.
        period: the whole period.

    Returns:
        The rows of ``intervals``; None where fewer than five sites, or a single network, share a
        window, or where it holds less than three times as many sites as windows of the rest of the
        period do on average.
    """
    begun = _datable(intervals)
    best = begun.iloc[:0]
    for day in sorted(set(begun["blocked_from"])):
        inside = begun[begun["blocked_from"].between(day, day + timedelta(days=WINDOW_DAYS - 1))]
        # if two windows have equally many sites, the earlier one is taken
        if _size(inside) > _size(best):
            best = inside
    sites, networks = _size(best)
    other_count = begun.drop(best.index)["domain"].nunique()
    usual = other_count * WINDOW_DAYS / max(period.day_count - WINDOW_DAYS, 1)
    if sites < _LEAST_SITES or networks < _LEAST_NETWORKS or sites < _LEAST_RATIO * usual:
        return None
    return best


def find_coincidences(begun: pd.DataFrame, events: Sequence[Event]) -> list[Event]:
    """Return known events in the two weeks before the first block, or between the first and the
    last.

    A published incident is none: it was read from the same measurements, and explains no block.
    """
    since = begun["blocked_from"].min().date() - timedelta(days=_EVENT_DAYS)
    until = begun["blocked_from"].max().date()
    return [event for event in events if since <= event.day <= until and event.kind != INCIDENT]


def _datable(intervals: pd.DataFrame) -> pd.DataFrame:
    """Return the intervals that began within a few weeks of a test that reached the site."""
    is_near = intervals["blocked_from"] - intervals["last_seen_open"] <= pd.Timedelta(
        days=BRACKET_DAYS
    )
    return intervals[is_near & (intervals["schedule"] == "")]


def _size(begun: pd.DataFrame) -> tuple[int, int]:
    """Count the sites, then the networks."""
    return begun["domain"].nunique(), begun["probe_asn"].nunique()


#: Kind of finding → its number, which is never given to another kind; the place that shows it; and
#: the table that it is counted from.
FINDINGS: Mapping[str, tuple[str, str, str]] = {
    "onset": ("F1", "2-confirmation.html#dates", "blocking_intervals"),
    "networks": ("F2", "4-blocked-sites.html#by-network", "verdicts"),
    "methods": ("F3", "2-confirmation.html#methods-network-by-network", "verdicts"),
    "categories": ("F4", "4-blocked-sites.html#by-category", "blocked_sites"),
    "changes": ("F5", "3-semester-comparison.html#site-by-site", "semester_changes"),
    "hours": ("F6", "2-confirmation.html#dates", "blocking_intervals"),
    "unlisted": ("F7", "4-blocked-sites.html#set-aside", "set_aside"),
    "apps": ("F8", "8-messaging-circumvention.html#by-network", "messaging_verdicts"),
    "everywhere": ("F9", "4-blocked-sites.html#set-aside", "verdicts"),
}
_PAIR = ["domain", "probe_asn"]
READ_TABLES = (
    "measurements_by_month",
    "verdicts",
    "blocking_intervals",
    "withheld_intervals",
    "blocked_sites",
    "networks",
    "categories",
    "semesters",
    "semester_changes",
    "set_aside",
    "sites",
)
APPS = "messaging_verdicts"

Tables = Mapping[str, pd.DataFrame]
Values = dict[str, Any]


def read_tables(tables: str | Path) -> dict[str, pd.DataFrame]:
    """Return the tables of which findings are made, with two parts of ``verdicts`` of the whole
    period: ``access``, every pair on an access network, and ``pairs``, those that are listed
    there.
    """
    return add_pairs({name: read_table(tables, name) for name in READ_TABLES})


def add_pairs(read: Tables) -> dict[str, pd.DataFrame]:
    """Return the tables with ``access`` and ``pairs``, see ``read_tables``."""
    verdicts, networks = read["verdicts"], read["networks"]
    access = on_access_networks(verdicts[verdicts["period"] == "all"], networks)
    return {**read, "access": access, "pairs": access[access["state"].isin(LISTED)]}


def count_headlines(read: Tables, study: Study) -> dict[str, int]:
    """Return the headline numbers on web sites."""
    return {
        **count_measured(read["measurements_by_month"], study.domains(), read["networks"]),
        **count_verdicts(read["verdicts"], read["networks"]),
        **count_halves(read["semesters"], read["semester_changes"]),
        **count_listed(read["blocked_sites"], read["set_aside"], read["withheld_intervals"]),
    }


def summarise(read: Tables, tables: str | Path, study: Study) -> dict[str, Any]:
    """Return what the first page says, as values that JSON can hold, without sentences.

    Args:
        read: of ``read_tables``.
        tables: the folder with the tables of all notebooks.
        study: its country, period and known events.

    Returns:
        ``probe_cc, since, until``; ``is_published_method``, whether all measurements were judged
        by the method of the release; ``is_from_ooni``, whether the source is OONI's archive;
        ``has_fingerprints``, whether known block pages were looked for; ``first_seen``, the first
        day with a block, empty without one; ``weeks``, see ``count_weeks``;
        ``findings`` by rank, see ``find_all``.
    """
    period = study.periods["all"]
    events = study.known_events
    by_kind = find_all(read, period, events, study.probe_cc)
    listed = read["blocking_intervals"].merge(read["pairs"][_PAIR])
    return {
        "probe_cc": study.probe_cc,
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        **_describe_basis(study),
        "first_seen": _iso(read["blocked_sites"]["blocked_from"].min()),
        "weeks": count_weeks(listed, period, events),
        "findings": rank_findings({**by_kind, "apps": find_apps(tables)}),
    }


def _describe_basis(study: Study) -> dict[str, bool]:
    """Return what the findings rest on: the method, the source, the known block pages."""
    return {
        "is_published_method": not (study.parameters.lineage.judging_edits or study.part),
        "is_from_ooni": study.is_from_ooni,
        "has_fingerprints": not study.fingerprints.is_empty,
    }


def find_all(
    read: Tables, period: Period, events: Sequence[Event], probe_cc: str
) -> dict[str, Values | None]:
    """Return every finding about web sites by its kind; None if a report has none of that kind.

    A finding has ``sites``, those that it names or draws; ``site_count``, the listed ones that it
    speaks of; ``values``, all that its sentences say; and ``certainty`` (``count_certainty``) of
    the listed pairs that it speaks of, where there are any.
    """
    return {
        "onset": find_onset_of(read, period, events),
        "networks": find_networks(read),
        "methods": find_methods(read),
        "categories": find_categories(read),
        "changes": find_changes(read),
        "hours": find_hours(read, probe_cc),
        "unlisted": find_unlisted(read),
        "everywhere": find_everywhere(read),
    }


def rank_findings(by_kind: Mapping[str, Values | None]) -> list[Values]:
    """Rank the event of the period first, then the findings by their listed sites.

    No finding is left out: what is not listed, and why, is told however much is listed.

    Args:
        by_kind: kind → the finding; None: this report has none.
    """
    numbered = [
        {
            "kind": kind,
            **dict(zip(("id", "evidence", "table"), FINDINGS[kind], strict=True)),
            **finding,
        }
        for kind, finding in by_kind.items()
        if finding
    ]
    ranked = sorted(
        numbered,
        key=lambda finding: (finding["kind"] != "onset", -finding["site_count"], finding["id"]),
    )
    return [{**finding, "rank": rank} for rank, finding in enumerate(ranked, start=1)]


def count_certainty(pairs: pd.DataFrame) -> dict[str, int]:
    """Count the listed pairs by strength of evidence, the strongest first.

    Args:
        pairs: rows of ``verdicts``.
    """
    words = [grade_certainty(row) for row in pairs.itertuples(index=False)]
    return {word: words.count(word) for word in CERTAINTY}


def _split(states: pd.Series) -> list[int]:
    """Count the blocked and the likely blocked."""
    return [int((states == state).sum()) for state in LISTED]


def _strongest(pairs: pd.DataFrame, by: str = "domain") -> pd.Series:
    """Return the state of each site in listed pairs: blocked if it is blocked on any network."""
    is_blocked = (pairs["state"] == "blocked").groupby(pairs[by]).any()
    return is_blocked.map({True: "blocked", False: "likely_blocked"})


def find_onset_of(read: Tables, period: Period, events: Sequence[Event]) -> Values | None:
    """Return the finding on many sites that turned from reachable to blocked within weeks."""
    intervals = read["blocking_intervals"].merge(read["pairs"][_PAIR])
    begun = find_onset(intervals, period)
    if begun is None:
        return None
    sites, by_state = sorted(set(begun["domain"])), _split(_strongest(begun))
    older = intervals[intervals["domain"].isin(sites)].drop(begun.index)
    pairs = read["pairs"].merge(begun[_PAIR].drop_duplicates())
    waits = (begun["blocked_from"] - begun["last_seen_open"]).dt.days
    first, last = min(begun["blocked_from"]), max(begun["blocked_from"])
    before = older.loc[older["blocked_from"] < first, "domain"]
    is_within = intervals["blocked_from"].between(first, last) & (intervals["schedule"] == "")
    return {
        "sites": sites,
        "site_count": len(sites),
        "certainty": count_certainty(pairs),
        "values": {
            "first_day": _iso(first),
            "last_day": _iso(last),
            "usual_wait_days": int(waits.quantile(interpolation="lower")),
            "longest_wait_days": int(waits.max()),
            "traced_count": by_state[0],
            "likely_count": by_state[1],
            "network_count": begun["probe_asn"].nunique(),
            "block_count": len(begun),
            "site_count": len(sites),
            "new_count": len(set(sites) - set(before)),
            "known_count": before.nunique(),
            "new_sites": sorted(set(sites) - set(before)),
            "sure_count": int((begun["last_seen_open"] >= first).sum()),
            "reopened_count": int(begun["first_seen_open_again"].notna().sum()),
            "undated_count": int(is_within.sum()) - len(begun),
            "events": [
                [
                    event.day.isoformat(),
                    event.title,
                    int((begun["last_seen_open"] >= pd.Timestamp(event.day)).sum()),
                ]
                for event in find_coincidences(begun, events)
            ],
            "new": _list_spans(begun),
            "older": _list_spans(older[older["schedule"] == ""]),
        },
    }


def _list_spans(intervals: pd.DataFrame) -> list[Values]:
    """Return ``confirmation.spans_by_site`` with values that JSON can hold."""
    spans = spans_by_site(intervals)
    days = {name: tell_cells(spans[name], "date") for name in SPAN_DAYS}
    records: list[Any] = spans.assign(**days).to_dict("records")
    return records


def _iso(day: Any) -> str:
    """Return a day as ISO text, empty if there is none."""
    return str(day_of(day) or "")


def find_networks(read: Tables) -> Values | None:
    """Return the finding on networks: those with listed sites, those that are not independent of
    each other, and the sites that most networks list.
    """
    pairs = read["pairs"]
    per_site = _by_count(pairs["domain"])
    if not per_site:
        return None
    names = _names(read)
    networks = read["networks"]
    rows = [
        [
            names[asn],
            *_split(cells["state"]),
            int(is_tested_enough(cells).sum()),
            tell_network(asn),
        ]
        for asn, cells in read["access"].groupby("probe_asn")
    ]
    widest = per_site[0][1]
    return {
        "sites": [site for site, count in per_site if count == widest],
        "site_count": len(per_site),
        "certainty": count_certainty(pairs),
        "values": {
            "widest": widest,
            "widest_count": sum(count == widest for _, count in per_site),
            "rows": sorted(rows, key=lambda row: (-row[1] - row[2], row[0])),
            "shared": [
                [names[asn] for asn in source]
                for source in find_sources(pairs, networks)
                if len(source) > 1
            ],
        },
    }


def find_sources(pairs: pd.DataFrame, networks: pd.DataFrame) -> list[list[int]]:
    """Group the networks that list a site, with those together that are not independent.

    Networks of one operator are one source. So are a network and the networks of the resolvers that
    gave it its false answers, where all that it lists was seen through resolvers of others.

    Args:
        pairs: listed rows of ``verdicts``.
        networks: the contract's.

    Returns:
        The numbers of each source, in order.
    """
    operators = dict(zip(networks["probe_asn"], networks["operator"], strict=True))
    sources: list[set[Any]] = []
    for asn, resolvers in pairs.groupby("probe_asn")["resolver_asns"]:
        through = {read_network(number) for text in resolvers for number in text.split(";")}
        members = {asn} | (set() if through & {asn, read_network("")} else through)
        named = {operators[number] for number in members if operators.get(number)}
        ties = members | {f"operator {operator}" for operator in named}
        joined = [source for source in sources if source & ties]
        sources = [source for source in sources if not source & ties] + [ties.union(*joined)]
    listing = set(pairs["probe_asn"])
    return sorted(sorted(source & listing) for source in sources)


def find_methods(read: Tables) -> Values | None:
    """Return the finding on methods: pairs by mechanism, and by the act at which they fail; and the
    sites of the most frequent mechanism.
    """
    pairs = read["pairs"]
    rows = [
        [mechanism, *_split(pairs.loc[pairs["mechanism"] == mechanism, "state"])]
        for mechanism, _ in _by_count(pairs["mechanism"])
    ]
    if not rows:
        return None
    ways = _by_count(pairs["mechanism"].map(_find_way))
    return {
        "sites": sorted(set(pairs.loc[pairs["mechanism"] == rows[0][0], "domain"])),
        "site_count": len(read["blocked_sites"]),
        "certainty": count_certainty(pairs),
        "values": {
            "rows": rows,
            "ways": ways,
            "largest_way": sorted(code for code, *_ in rows if _find_way(code) == ways[0][0]),
            "site_count": pairs.loc[pairs["mechanism"] == rows[0][0], "domain"].nunique(),
        },
    }


def _find_way(mechanism: str) -> str:
    """Return the act at which a method stops a user: ``lookup``, ``connection``, ``name``, ``page``
    or ``certificate``."""
    layer, _, manner = mechanism.partition(".")
    if manner == "mitm":
        return "certificate"
    if layer == "http" and manner in ("blockpage", "diff"):
        return "page"
    return {"dns": "lookup", "tcp": "connection"}.get(layer, "name")


def find_categories(read: Tables) -> Values | None:
    """Return the finding on categories: listed sites by category, of those tested enough, sites
    on no list last; None if no list names any.
    """
    blocked = read["blocked_sites"]
    if set(blocked["category_code"]) <= {UNCATEGORISED[0]}:
        return None
    access = read["access"]
    tested = set(access.loc[is_tested_enough(access), "domain"])
    sites = read["sites"]
    enough = sites[sites["domain"].isin(tested)]
    tested_counts = enough["category_code"].value_counts()
    rows: list[list[Any]] = [
        [category, *_split(of_it["state"]), int(tested_counts.get(code, 0)), code]
        for (code, category), of_it in blocked.groupby(["category_code", "category"])
    ]
    rows.sort(key=lambda row: (row[-1] == UNCATEGORISED[0], -row[1] - row[2], row[0]))
    _, *most, _, largest = rows[0]
    return {
        "sites": sorted(blocked.loc[blocked["category_code"] == largest, "domain"]),
        "site_count": len(blocked),
        "certainty": count_certainty(read["pairs"]),
        "values": {
            "rows": rows,
            "largest": largest,
            "site_count": int((blocked["category_code"] == largest).sum()),
            "equal_count": sum(
                row[1] + row[2] == sum(most) and row[-1] not in (largest, UNCATEGORISED[0])
                for row in rows
            ),
            "other_count": int((~blocked["is_local"]).sum()),
            "local_tested": int(enough["is_local"].sum()),
            "other_tested": int((~enough["is_local"]).sum()),
            "unlisted_count": int((blocked["category_code"] == UNCATEGORISED[0]).sum()),
        },
    }


def find_changes(read: Tables) -> Values | None:
    """Return the finding on changes between the halves, on networks that can be compared."""
    changes = read["semester_changes"]
    if changes.empty:
        return None
    of_change = {change: changes[changes["change"] == change] for change in CHANGES}
    new, pairs = of_change["newly_blocked"], read["pairs"]
    halves = read["semesters"].set_index("period")
    listed_intervals = read["blocking_intervals"].merge(pairs[_PAIR])
    early = listed_intervals.loc[
        listed_intervals["blocked_from"] < halves.loc["second", "since"], "domain"
    ]
    lasting = pairs.loc[pairs["blocked_until"].isna(), "domain"]
    changed = pd.concat([new, of_change["no_longer_blocked"]])
    sites = {
        change: sorted(of_change[change]["domain"])
        for change in ("newly_blocked", "no_longer_blocked")
    }
    return {
        "sites": sorted([*sites["newly_blocked"], *sites["no_longer_blocked"]]),
        "site_count": sum(map(len, sites.values())),
        "values": {
            **sites,
            "by_state": {
                name: _split(_matched_state(sites_changed))
                for name, sites_changed in of_change.items()
            },
            "changed_count": len(changed),
            "agreeing_count": len(changed) + len(of_change["still_blocked"]),
            "early_count": int(new["domain"].isin(early).sum()),
            "ended_count": int((~new["domain"].isin(lasting)).sum()),
            "alone_count": int((~changed["matched_networks"].str.contains(";")).sum()),
        },
    }


def _matched_state(changes: pd.DataFrame) -> pd.Series:
    """Return the stronger state of the two halves of each site, on the networks that are
    compared.
    """
    is_blocked = (changes[["first_matched_state", "second_matched_state"]] == "blocked").any(axis=1)
    return is_blocked.map({True: "blocked", False: "likely_blocked"})


def find_hours(read: Tables, probe_cc: str) -> Values | None:
    """Return the finding on blocks at certain hours of the week, with the hours in the capital's
    local time.
    """
    intervals = read["blocking_intervals"].merge(read["pairs"][_PAIR])
    timed = intervals[intervals["schedule"] != ""]
    if timed.empty:
        return None
    names = _names(read)
    local = add_local_hours(timed, probe_cc)
    if "local_schedule" not in local:
        local = local.assign(local_schedule=local["schedule"])
    rows = [
        [
            row.domain,
            names[row.probe_asn],
            row.schedule,
            row.local_schedule,
            _iso(row.blocked_from),
            _iso(row.blocked_until),
            row.state,
            tell_network(row.probe_asn),
        ]
        for row in local.itertuples()
    ]
    sites = sorted(set(timed["domain"]))
    return {
        "sites": sites,
        "site_count": len(sites),
        "certainty": count_certainty(read["pairs"].merge(timed[_PAIR].drop_duplicates())),
        "values": {
            "rows": rows,
            "site_count": len(sites),
            **dict(zip(("traced_count", "likely_count"), _split(_strongest(timed)), strict=True)),
        },
    }


def find_unlisted(read: Tables) -> Values | None:
    """Return the finding on sites with anomalies that are not listed, by reason."""
    aside, withheld = read["set_aside"], read["withheld_intervals"]
    if aside.empty:
        return None
    own = withheld[withheld["domain"].isin(aside["domain"])]
    values = {
        "rows": _by_count(aside["reason"]),
        "period_count": len(own),
        "network_count": own["probe_asn"].nunique(),
        "traced_count": int(own["mechanism"].isin(_OF_TRACES).sum()),
    }
    return {"sites": [], "site_count": 0, "values": values}


#: The methods of blocking that leave a trace.
_OF_TRACES = {rule.mechanism for rule in RULES_BY_ID.values() if rule.is_artefact}
#: A site counts as failing on all access networks if at most this share of their sessions, or a
#: single one, reached it, and if at least this number of networks has a conclusion.
REACHED_SHARE, LEAST_FAILING_NETWORKS = 0.1, 3


def find_everywhere(read: Tables) -> Values | None:
    """Return the finding on sites that hardly any session on an access network reached, and that
    are reached from outside: the country may block them, or they may refuse it. Only sites that
    are set aside without a known cause are counted.
    """
    verdicts, access, aside = read["verdicts"], read["access"], read["set_aside"]
    whole = verdicts[verdicts["period"] == "all"]
    outside = whole[~whole["probe_asn"].isin(access["probe_asn"])]
    settled = access[access["state"] != "insufficient"]
    sessions = pd.DataFrame(
        {
            "network_count": settled.groupby("domain").size(),
            "open_count": (settled["state"] == "ok").groupby(settled["domain"]).sum(),
            "test_count": access.groupby("domain")["session_count"].sum(),
            "reached_count": access.groupby("domain")["ok_session_count"].sum(),
            "outside_count": outside.groupby("domain")["session_count"].sum(),
            "reached_outside_count": outside.groupby("domain")["ok_session_count"].sum(),
            "failed_outside_count": outside.groupby("domain")["blocked_session_count"].sum(),
        }
    )
    unclear = sorted(aside.loc[aside["reason"].isin(["impaired", "unexplained"]), "domain"])
    sessions = sessions.reindex(unclear).fillna(0).astype("int64")
    is_met = (
        (sessions["network_count"] >= LEAST_FAILING_NETWORKS)
        & (sessions["open_count"] == 0)
        & (sessions["reached_count"] <= (REACHED_SHARE * sessions["test_count"]).clip(lower=1))
        & (sessions["reached_outside_count"] > sessions["failed_outside_count"])
    )
    sessions = sessions[is_met]
    if sessions.empty:
        return None
    counts = ["test_count", "reached_count", "outside_count", "reached_outside_count"]
    kinds = outside[outside["domain"].isin(sessions.index)].merge(read["networks"], on="probe_asn")
    by_kind = kinds.groupby("kind")[["ok_session_count", "session_count"]].sum()
    return {
        "sites": list(sessions.index),
        "site_count": 0,
        "values": {
            "site_count": len(sessions),
            **{name: int(sessions[name].sum()) for name in counts},
            "kinds": [
                [kind, *map(int, row)]
                for kind, row in zip(by_kind.index, by_kind.to_numpy(), strict=True)
            ],
        },
    }


def find_apps(tables: str | Path) -> Values | None:
    """Return the finding on apps and tools; None if the page on them was not made, or nothing
    was tested.
    """
    if not (Path(tables) / f"{APPS}.csv").is_file():
        return None
    verdicts = read_table(tables, APPS)
    whole = verdicts[verdicts["period"] == "all"]
    if whole.empty:
        return None
    settled, listed = list_settled_apps(verdicts), list_blocked_apps(whole)
    broken = verdicts.loc[verdicts["set_aside_reason"] == "instrument", "test_name"]
    rows = [
        [_title(name), *_split(cells["state"]), len(cells)]
        for name, cells in settled.groupby("test_name")
    ]
    # reachable here, and OONI flags most tests
    flagged = settled.loc[
        (settled["state"] == "ok") & (2 * settled["anomaly_count"] > settled["measurement_count"]),
        ["test_name", "network", "probe_asn", "anomaly_count", "measurement_count"],
    ]
    counts = count_apps(verdicts)
    named = ("app_test_count", "settled_app_count", "traced_app_count", "likely_app_count")
    return {
        "sites": [],
        "site_count": 0,
        "values": {
            **{name: counts[name] for name in named},
            "strongest": LISTED[0] if counts["traced_app_count"] else LISTED[1],
            "cut": list(_list_cut_parts(listed, read_table(tables, "messaging_intervals"))),
            "flagged": [
                [
                    _title(name),
                    network or tell_network(asn),
                    int(anomalies),
                    int(tests),
                    f"{tell_network(asn)} {name}",
                ]
                for name, network, asn, anomalies, tests in flagged.to_numpy()
            ],
            "defects": [_title(test) for test in sorted(set(broken))],
            "rows": sorted(rows, key=lambda row: (-row[1] - row[2], row[0])),
            "control": {
                "compared": int((settled["control"] == "countries").sum()),
                "total": len(settled),
            },
        },
    }


def _list_cut_parts(listed: pd.DataFrame, intervals: pd.DataFrame) -> Iterator[Values]:
    """List the parts of apps that were cut off on each network: one entry a part."""
    ordered: Any = listed.sort_values(["test_name", "probe_asn"]).itertuples(index=False)
    for row in ordered:
        is_own = (intervals["test_name"] == row.test_name) & (
            intervals["probe_asn"] == row.probe_asn
        )
        for part, stretches in intervals[is_own].groupby("part"):
            last = stretches.sort_values("blocked_from_time").iloc[-1]
            yield {
                "app": _title(row.test_name),
                "of": f"{tell_network(row.probe_asn)} {row.test_name}",
                "network": row.network or tell_network(row.probe_asn),
                "part": part,
                "is_at_hours": bool(last["schedule"]),
                "cut_count": int(last["cut_endpoint_count"]),
                "endpoint_count": int(last["endpoint_count"]),
                "since": _iso(last["blocked_from"]),
                "until": _iso(last["last_seen_blocked"]),
                "is_reached_again": bool(pd.notna(last["first_seen_open_again_time"])),
                "cut_session_count": int(last["blocked_session_count"]),
                "tested_count": int(last["session_count"]),
                "failed_count": int(row.blocked_session_count),
                "flagged_count": int(row.anomaly_count),
            }


def _title(test_name: object) -> str:
    return BY_NAME[str(test_name)].title


def _names(read: Tables) -> dict[Any, str]:
    """Return the name of each network by number; with the number if two networks have one name."""
    networks = read["networks"]
    is_shared = networks["network"].duplicated(keep=False)
    names = zip(networks["probe_asn"], networks["network"], is_shared, strict=True)
    return {asn: name_network(name, asn) if is_shared else name for asn, name, is_shared in names}


def number_networks(networks: pd.DataFrame) -> dict[str, int]:
    """Return the number of each network by its name in findings.

    Args:
        networks: the contract's ``networks``.
    """
    return {name: int(asn) for asn, name in _names({"networks": networks}).items()}


def _by_count(values: pd.Series) -> list[list[Any]]:
    """Count the values, the most frequent first, then by name."""
    counts = values.value_counts().to_dict()
    return [[v, int(counts[v])] for v in sorted(counts, key=lambda v: (-counts[v], str(v)))]
