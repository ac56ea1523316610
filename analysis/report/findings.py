"""The findings of a report as data: what each is about, in which order, from which table.

Everything is read from the published tables; ``finding_words`` says it, in whichever language. A
finding has one number for its kind, the same in every report, so that a meeting's decision on F2
means the same in the next draft, whatever the order there.

The headline numbers of a report are made here alone, from tables. A notebook hands those that it
counts to ``run.json`` (``tables.record_findings``), where pages, sentences and other commands
read them. A number has one name everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.observations.messaging_tests import BY_NAME
from analysis.period import Period
from analysis.reference.events import Event
from analysis.reference.networks import DOMESTIC
from analysis.reference.test_lists import UNCATEGORISED
from analysis.report.annex import listed_domestic
from analysis.report.verdict_words import add_local_hours
from analysis.study.confirmation import spans_by_site
from analysis.study.study import Study
from analysis.tables import read_table
from analysis.vocabulary import CHANGES, LISTED

Numbers = Mapping[str, int]
#: Name → the table that ``run.json`` names beside it; the others are of ``verdicts``.
_TABLES: Mapping[str, str] = {
    "measurement_count": "measurements_by_month",
    "line_count": "ingestion_ledger",
    "unread_object_count": "objects_not_read",
    "domain_count": "semesters",
    **dict.fromkeys(("network_count", "access_network_count", "ranked_network_count",
                     "blocking_network_count"), "networks"),
    **dict.fromkeys(("blocked_domain_count_first", "blocked_domain_count_second"), "semesters"),
    **dict.fromkeys((f"{change}_count" for change in CHANGES), "semester_changes"),
    **dict.fromkeys(("blocked_domain_count", "blocked_registrable_domain_count",
                     "blocked_local_domain_count", "traced_domain_count"), "blocked_sites"),
    **dict.fromkeys(("set_aside_count", "dead_name_count"), "set_aside"),
    **dict.fromkeys(("app_test_count", "app_network_count", "blocked_app_count",
                     "blocked_app_pair_count", "blocked_app_network_count",
                     "defective_app_count"), "messaging_verdicts"),
}  # fmt: skip


def name_tables(numbers: Numbers) -> dict[str, tuple[int, str]]:
    """Each number with the table that it was read from, as ``tables.record_findings`` takes it."""
    return {name: (count, _TABLES.get(name, "verdicts")) for name, count in numbers.items()}


def count_measured(
    months: pd.DataFrame, sites: pd.DataFrame, networks: pd.DataFrame
) -> dict[str, int]:
    """How much was measured, and by how many networks.

    Args:
        months: the contract's ``measurements_by_month``.
        sites: ``Study.domains``.
        networks: the contract's, or ``Study.networks``.
    """
    return _whole({
        "measurement_count": months["measurement_count"].sum(),
        "domain_count": (sites["domain"] != "").sum(),
        "network_count": len(networks),
        "access_network_count": networks["kind"].isin(DOMESTIC).sum(),
    })  # fmt: skip


def count_verdicts(verdicts: pd.DataFrame, networks: pd.DataFrame) -> dict[str, int]:
    """How many pairs of site and network were judged, and what became of them.

    Args:
        verdicts, networks: the contract's.
    """
    whole = verdicts[verdicts["period"] == "all"]
    access = networks[networks["kind"].isin(DOMESTIC)]
    judged = whole[whole["probe_asn"].isin(access["probe_asn"])]
    listed = judged[judged["state"].isin(LISTED)]
    return _whole({
        "judged_pair_count": len(whole),
        "judged_access_pair_count": len(judged),
        "other_pair_count": len(whole) - len(judged),
        "ok_access_pair_count": (judged["state"] == "ok").sum(),
        "listed_access_pair_count": len(listed),
        "blocked_domain_count": listed["domain"].nunique(),
        "unsettled_access_pair_count": (judged["state"] == "insufficient").sum(),
        "disagreeing_access_pair_count": (judged["insufficient_reason"] == "mixed").sum(),
        "single_network_domain_count": (listed.groupby("domain").size() == 1).sum(),
        "one_report_pair_count": (listed["sessions_to_flip"] == 1).sum(),
        "ranked_network_count": networks["rank"].notna().sum(),
        "blocking_network_count": (access["blocked_domain_count"] > 0).sum(),
    })  # fmt: skip


def count_halves(semesters: pd.DataFrame, changes: pd.DataFrame) -> dict[str, int]:
    """How many sites are listed in each half, and how many changed in which way.

    Args:
        semesters, changes: the contract's (``semester_changes``).
    """
    listed = semesters.set_index("period")["blocked_domain_count"]
    halves = {f"blocked_domain_count_{half}": listed[half] for half in ("first", "second")}
    return _whole({
        **halves,
        **{f"{change}_count": (changes["change"] == change).sum() for change in CHANGES},
    })  # fmt: skip


def count_listed(blocked: pd.DataFrame, aside: pd.DataFrame) -> dict[str, int]:
    """How many sites are on the list, and how many are set aside.

    Args:
        blocked, aside: the contract's (``blocked_sites, set_aside``).
    """
    return _whole({
        "blocked_registrable_domain_count": blocked["registrable_domain"].nunique(),
        "blocked_local_domain_count": blocked["is_local"].sum(),
        "traced_domain_count": (blocked["state"] == "blocked").sum(),
        "set_aside_count": len(aside),
        "dead_name_count": (aside["reason"] == "name_does_not_exist").sum(),
    })  # fmt: skip


def count_methods(compared: pd.DataFrame) -> dict[str, int]:
    """How many sites only other methods list.

    Args:
        compared: ``differences.compare_methods``.
    """
    return _whole({"other_methods_only_count": (~compared["this_method"]).sum()})


def count_apps(verdicts: pd.DataFrame) -> dict[str, int]:
    """How many apps and tools were tested, blocked and broken.

    Args:
        verdicts: the contract's ``messaging_verdicts``.
    """
    whole = verdicts[verdicts["period"] == "all"]
    listed = list_blocked_apps(whole)
    broken = verdicts[verdicts["set_aside_reason"] == "instrument"]
    return _whole({
        "app_test_count": whole["test_name"].nunique(),
        "app_network_count": whole["probe_asn"].nunique(),
        "blocked_app_count": listed["test_name"].nunique(),
        "blocked_app_pair_count": len(listed),
        "blocked_app_network_count": listed["probe_asn"].nunique(),
        "defective_app_count": broken["test_name"].nunique(),
    })  # fmt: skip


def list_blocked_apps(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``messaging_verdicts`` that are blocked or likely blocked, on access networks."""
    is_listed = verdicts["state"].isin(LISTED)
    return verdicts[is_listed & (verdicts["set_aside_reason"] != "not_domestic")]


def _whole(counts: Mapping[str, Any]) -> dict[str, int]:
    """Counts as JSON knows them."""
    return {name: int(count) for name, count in counts.items()}


#: How long sites may take, one after the other, to belong to one event.
WINDOW_DAYS = 31
#: A block whose last open test lies further back may be as old as that; it tells of no day.
_BRACKET_DAYS = 60
_LEAST_SITES, _LEAST_NETWORKS = 5, 2
#: How many times as many sites as in other windows of the period.
_LEAST_RATIO = 3.0
#: A known event this long before the first block is named beside it.
_EVENT_DAYS = 14


@dataclass(frozen=True)
class Onset:
    """Sites that were reached before and blocked within one window of days.

    Attributes:
        first_day, last_day: first days seen blocked, of the first and the last of its pairs.
        sites: by name.
        probe_asns: the networks, by number.
        begun: the intervals that began in it.
        undated_sites: others that were seen blocked for the first time in these days, without a
            test before that had reached them.
    """

    first_day: date
    last_day: date
    sites: tuple[str, ...]
    probe_asns: tuple[str, ...]
    begun: pd.DataFrame
    undated_sites: tuple[str, ...]


def find_onset(intervals: pd.DataFrame, period: Period) -> Onset | None:
    """The window of days in which most sites began to be blocked, if it stands out.

    Counted are blocks at all hours before which a test had reached the site on that network: one
    without such a test may be older. Blocks that hold at hours of the week have their own finding.

    Args:
        intervals: the contract's ``blocking_intervals``, of access networks only.
        period: the whole period.

    Returns:
        None where fewer than five sites, or a single network, share a window, or where it holds
        less than three times as many sites as windows of the rest of the period do on average.
    """
    begun = _datable(intervals)
    best = begun.iloc[:0]
    for day in sorted(set(begun["day"])):
        inside = begun[begun["day"].between(day, day + timedelta(days=WINDOW_DAYS - 1))]
        # of two windows with the same sites the earlier stands
        if _size(inside) > _size(best):
            best = inside
    sites, networks = _size(best)
    others = begun.drop(best.index)["domain"].nunique()
    usual = others * WINDOW_DAYS / max(period.day_count - WINDOW_DAYS, 1)
    if sites < _LEAST_SITES or networks < _LEAST_NETWORKS or sites < _LEAST_RATIO * usual:
        return None
    first, last = best["day"].min(), best["day"].max()
    seen_first = intervals.groupby("domain")["blocked_from"].min()
    is_inside = seen_first.between(str(first), str(last))
    return Onset(
        first_day=first,
        last_day=last,
        sites=tuple(sorted(set(best["domain"]))),
        probe_asns=tuple(sorted(set(best["probe_asn"]), key=lambda asn: (len(asn), asn))),
        begun=best.drop(columns="day"),
        undated_sites=tuple(sorted(set(seen_first.index[is_inside]) - set(best["domain"]))),
    )


def find_coincidences(onset: Onset, events: Sequence[Event]) -> list[Event]:
    """Known events in the two weeks before the first of the blocks, or between first and last."""
    since = onset.first_day - timedelta(days=_EVENT_DAYS)
    return [event for event in events if since <= event.day <= onset.last_day]


def _datable(intervals: pd.DataFrame) -> pd.DataFrame:
    """The intervals whose beginning is known to some weeks, with their first day as a date."""
    is_bracketed = (intervals["last_seen_open"] != "") & (intervals["schedule"] == "")
    begun = intervals[is_bracketed]
    day = pd.to_datetime(begun["blocked_from"])
    is_near = day - pd.to_datetime(begun["last_seen_open"]) <= pd.Timedelta(days=_BRACKET_DAYS)
    return begun.assign(day=day.dt.date)[is_near]


def _size(begun: pd.DataFrame) -> tuple[int, int]:
    """Sites, then networks."""
    return begun["domain"].nunique(), begun["probe_asn"].nunique()


#: Kind of finding → its number, which is never given to another kind, and the place that shows it.
FINDINGS: Mapping[str, tuple[str, str]] = {
    "onset": ("F1", "2-confirmation.html#when"),
    "networks": ("F2", "4-blocked-sites.html#by-network"),
    "methods": ("F3", "2-confirmation.html#how-each-network-blocks"),
    "categories": ("F4", "4-blocked-sites.html#by-category"),
    "changes": ("F5", "3-semester-comparison.html#site-by-site"),
    "hours": ("F6", "2-confirmation.html#when"),
    "unlisted": ("F7", "4-blocked-sites.html#set-aside"),
    "apps": ("F8", "8-messaging-circumvention.html#by-network"),
}
#: More about sites are not read in a meeting.
MOST_FINDINGS = 6
READ_TABLES = ("measurements_by_month", "verdicts", "blocking_intervals", "blocked_sites",
               "networks", "categories", "semesters", "semester_changes", "set_aside")  # fmt: skip
APPS = "messaging_verdicts"

Tables = Mapping[str, pd.DataFrame]
Values = dict[str, Any]


def read_tables(tables: str | Path) -> dict[str, pd.DataFrame]:
    """The tables of which findings are made, with ``pairs``: what is listed on access networks."""
    read = {name: read_table(tables, name) for name in READ_TABLES}
    whole = read["verdicts"][read["verdicts"]["period"] == "all"]
    return read | {"pairs": listed_domestic(whole, read["networks"])}


def count_headlines(read: Tables, study: Study) -> dict[str, int]:
    """The headline numbers that words about web sites use."""
    return {
        **count_measured(read["measurements_by_month"], study.domains(), read["networks"]),
        **count_verdicts(read["verdicts"], read["networks"]),
        **count_halves(read["semesters"], read["semester_changes"]),
        **count_listed(read["blocked_sites"], read["set_aside"]),
    }


def summarise(read: Tables, tables: str | Path, study: Study) -> dict[str, Any]:
    """What the first page tells, as values that JSON can hold; no sentence, no headline number.

    Args:
        read: of ``read_tables``.
        tables: the folder with the tables of all notebooks up to the annex.
        study: its country, period and known events.

    Returns:
        ``probe_cc, since, until``; ``is_published_method``, whether no number of the method is
        another than the published one; ``findings``, the first six by rank, each with ``id, kind,
        rank, sites`` (those it names or draws), ``values`` and ``evidence``.
    """
    period = study.periods["all"]
    found = {
        "onset": _find_onset(read, study),
        "networks": find_networks(read),
        "methods": _find_methods(read),
        "categories": find_categories(read),
        "changes": find_changes(read),
        "hours": _find_hours(read, study),
        "unlisted": find_unlisted(read),
        "apps": find_apps(tables),
    }
    return {
        "probe_cc": study.probe_cc,
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "is_published_method": not study.thresholds.changes(),
        "findings": rank_findings(found),
    }


def rank_findings(found: Mapping[str, Values | None]) -> list[Values]:
    """The event of the period first, then by the listed sites that a finding speaks of.

    What is no site's comes last, and is never crowded out.

    Args:
        found: kind → the finding; None: this report has none.
    """
    numbered = [
        {"kind": kind, "id": FINDINGS[kind][0], "evidence": FINDINGS[kind][1], **one}
        for kind, one in found.items()
        if one
    ]
    ranked = sorted(
        numbered, key=lambda one: (one["kind"] != "onset", -one["site_count"], one["id"])
    )
    of_apps = [one for one in ranked if one["kind"] == "apps"]
    of_sites = [one for one in ranked if one["kind"] != "apps"][:MOST_FINDINGS]
    return [{**one, "rank": rank} for rank, one in enumerate([*of_sites, *of_apps], start=1)]


def _find_onset(read: Tables, study: Study) -> Values | None:
    """Many sites newly blocked within days."""
    intervals = read["blocking_intervals"].merge(read["pairs"][["domain", "probe_asn"]])
    onset = find_onset(intervals, study.periods["all"])
    if onset is None:
        return None
    names = _names(read)
    older = intervals.drop(onset.begun.index)
    older = older[older["domain"].isin(onset.sites) & (older["schedule"] == "")]
    return {
        "sites": list(onset.sites),
        "site_count": len(onset.sites),
        "values": {
            "first_day": onset.first_day.isoformat(),
            "last_day": onset.last_day.isoformat(),
            "networks": [names[asn] for asn in onset.probe_asns],
            "undated_count": len(onset.undated_sites),
            "events": [
                [event.day.isoformat(), event.title]
                for event in find_coincidences(onset, study.known_events)
            ],
            "new": spans_by_site(onset.begun).to_dict("records"),
            "older": spans_by_site(older).to_dict("records"),
        },
    }


def find_networks(read: Tables) -> Values | None:
    """Where: the access networks by listed sites, and the sites that most networks list."""
    per_site = _by_count(read["pairs"]["domain"])
    if not per_site:
        return None
    access = read["networks"][read["networks"]["kind"].isin(DOMESTIC)]
    names = _names(read)
    access = access.assign(network=access["probe_asn"].map(names)).sort_values(
        ["blocked_domain_count", "network", "probe_asn"], ascending=[False, True, True]
    )
    widest = per_site[0][1]
    columns = ["network", "blocked_domain_count", "domain_count"]
    return {
        "sites": [site for site, count in per_site if count == widest],
        "site_count": len(per_site),
        "values": {"widest": widest, "rows": access[columns].to_numpy().tolist()},
    }


def _find_methods(read: Tables) -> Values | None:
    """How: pairs by mechanism, and the sites met by the most frequent one."""
    pairs = read["pairs"]
    rows = _by_count(pairs["mechanism"])
    if not rows:
        return None
    return {
        "sites": sorted(set(pairs.loc[pairs["mechanism"] == rows[0][0], "domain"])),
        "site_count": len(read["blocked_sites"]),
        "values": {"rows": rows},
    }


def find_categories(read: Tables) -> Values | None:
    """What: listed sites by category, and those of the largest; None where no list names any."""
    some = read["categories"][read["categories"]["blocked_domain_count"] > 0]
    if set(some["category_code"]) <= {UNCATEGORISED[0]}:
        return None
    some = some.sort_values(["blocked_domain_count", "category"], ascending=[False, True])
    blocked = read["blocked_sites"]
    largest = some["category_code"].iloc[0]
    columns = ["category", "blocked_domain_count", "domain_count"]
    return {
        "sites": sorted(blocked.loc[blocked["category_code"] == largest, "domain"]),
        "site_count": len(blocked),
        "values": {"rows": some[columns].to_numpy().tolist()},
    }


def find_changes(read: Tables) -> Values | None:
    """What changed between the halves, on networks that can tell."""
    changes = read["semester_changes"]
    if changes.empty:
        return None
    sites = {
        change: sorted(changes.loc[changes["change"] == change, "domain"])
        for change in ("newly_blocked", "no_longer_blocked")
    }
    return {
        "sites": sorted([*sites["newly_blocked"], *sites["no_longer_blocked"]]),
        "site_count": sum(map(len, sites.values())),
        "values": sites,
    }


def _find_hours(read: Tables, study: Study) -> Values | None:
    """Blocks that hold at hours of the week, with the hours by the capital's clocks."""
    intervals = read["blocking_intervals"].merge(read["pairs"][["domain", "probe_asn"]])
    held = intervals[intervals["schedule"] != ""]
    if held.empty:
        return None
    names = _names(read)
    local = add_local_hours(held, study.probe_cc)
    if "local_schedule" not in local:
        local = local.assign(local_schedule=local["schedule"])
    rows = [
        [row.domain, names[str(row.probe_asn)], row.schedule, row.local_schedule, row.blocked_from,
         row.blocked_until]
        for row in local.itertuples()
    ]  # fmt: skip
    sites = sorted(set(held["domain"]))
    return {"sites": sites, "site_count": len(sites), "values": {"rows": rows}}


def find_unlisted(read: Tables) -> Values | None:
    """Sites with anomalies that are not listed, by reason: they speak of no listed site."""
    rows = _by_count(read["set_aside"]["reason"])
    return {"sites": [], "site_count": 0, "values": {"rows": rows}} if rows else None


def find_apps(tables: str | Path) -> Values | None:
    """Apps and tools; None where the page on them was not made, or nothing was tested."""
    if not (Path(tables) / f"{APPS}.csv").is_file():
        return None
    verdicts = read_table(tables, APPS)
    whole = verdicts[verdicts["period"] == "all"]
    if whole.empty:
        return None
    numbers, listed = count_apps(verdicts), list_blocked_apps(whole)
    blocking, tested = (rows.groupby("test_name").size() for rows in (listed, whole))
    broken = verdicts.loc[verdicts["set_aside_reason"] == "instrument", "test_name"]
    rows = [
        [_title(name), int(blocking.get(name, 0)), int(tested[name])]
        for name in tested.index
        if name in blocking or name not in set(broken)  # of a test that says nothing, no 0
    ]
    # some network cuts off less than the whole app at all hours
    is_less = (listed["parts"] == "web") | (listed["schedule"] != "")
    named = {
        "names": set(listed["test_name"]), "less": set(listed.loc[is_less, "test_name"]),
        "defects": set(broken),
    }  # fmt: skip
    return {
        "sites": [],
        "site_count": 0,
        "values": {
            **{name: numbers[name] for name in ("blocked_app_count", "app_test_count")},
            **{name: [_title(test) for test in sorted(tests)] for name, tests in named.items()},
            "rows": sorted(rows, key=lambda row: (-row[1], row[0])),
            "has_control": bool((whole["control"] == "countries").any()),
        },
    }


def _title(test_name: object) -> str:
    return BY_NAME[str(test_name)].title


def _names(read: Tables) -> dict[str, str]:
    """``AS123`` → the network's name; its number where it has none, or shares it with another."""
    networks = read["networks"]
    is_shared = networks["network"].duplicated(keep=False)
    names = zip(networks["probe_asn"], networks["network"], is_shared, strict=True)
    return {
        asn: (f"{name} ({asn})" if is_shared else name) if name else asn
        for asn, name, is_shared in names
    }


def _by_count(values: pd.Series) -> list[list[Any]]:
    """Each value and how often it stands there, the most frequent first, then by name."""
    counts = values.value_counts().to_dict()
    return [[v, int(counts[v])] for v in sorted(counts, key=lambda v: (-counts[v], str(v)))]
