"""The findings of a report as data: what each is about, in which order, from which table.

Everything is read from the published tables; ``wording`` says it, in whichever language. A finding
has one number for its kind, the same in every report, so that a meeting's decision on F2 means the
same in the next draft, whatever the order there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.reference.networks import DOMESTIC
from analysis.reference.test_lists import UNCATEGORISED
from analysis.report.annex import count_blocking_networks
from analysis.report.app_finding import find_apps
from analysis.report.halves import count_changes, listed_domestic
from analysis.report.local_time import add_local_hours
from analysis.report.onsets import Onset, find_coincidences, find_onset
from analysis.study.confirmation import spans_by_site
from analysis.study.study import Study
from analysis.tables import read_table

#: Kind of finding → its number. A number is never given to another kind.
FINDING_IDS: Mapping[str, str] = {
    "onset": "F1",
    "networks": "F2",
    "methods": "F3",
    "categories": "F4",
    "changes": "F5",
    "hours": "F6",
    "unlisted": "F7",
    "apps": "F8",
}
#: More about sites are not read in a meeting.
MOST_FINDINGS = 6
#: Kind → the place that shows it.
EVIDENCE: Mapping[str, str] = {
    "onset": "2-confirmation.html#when",
    "networks": "4-blocked-sites.html#by-network",
    "methods": "2-confirmation.html#how-each-network-blocks",
    "categories": "4-blocked-sites.html#by-category",
    "changes": "3-semester-comparison.html#site-by-site",
    "hours": "2-confirmation.html#when",
    "unlisted": "4-blocked-sites.html#set-aside",
    "apps": "8-messaging-circumvention.html#by-network",
}
#: Headline number → the table that it was read from, of those that no other notebook hands over.
RECORDED: Mapping[str, str] = {
    **dict.fromkeys(
        ("access_network_count", "ranked_network_count", "blocking_network_count"), "networks"
    ),
    **dict.fromkeys(
        ("blocked_domain_count", "blocked_registrable_domain_count", "blocked_local_domain_count",
         "traced_domain_count"),
        "blocked_sites",
    ),
    **dict.fromkeys(
        ("judged_access_pair_count", "ok_access_pair_count", "listed_access_pair_count",
         "unsettled_access_pair_count", "disagreeing_access_pair_count", "other_pair_count",
         "single_network_domain_count", "one_report_pair_count"),
        "verdicts",
    ),
    **dict.fromkeys(("set_aside_count", "dead_name_count"), "set_aside"),
    "unread_object_count": "objects_not_read",
}  # fmt: skip
READ_TABLES = ("measurements_by_month", "verdicts", "blocking_intervals", "blocked_sites",
               "networks", "categories", "semester_changes", "set_aside",
               "objects_not_read")  # fmt: skip

Tables = Mapping[str, pd.DataFrame]
Values = dict[str, Any]


def summarise(tables: str | Path, study: Study) -> dict[str, Any]:
    """What the first page tells, as values that JSON can hold; no sentence.

    Args:
        tables: the folder with the tables of all notebooks up to the annex.
        study: its country, period and known events.

    Returns:
        ``probe_cc, since, until``; ``is_published_method``, whether no number of the method is
        another than the published one; ``numbers``, the headline numbers by name; ``findings``, the
        first six by rank, each with ``id, kind, rank, sites`` (those it names or draws), ``values``
        and ``evidence``.
    """
    read = {name: read_table(tables, name) for name in READ_TABLES}
    access = set(read["networks"].loc[read["networks"]["kind"].isin(DOMESTIC), "probe_asn"])
    whole = read["verdicts"][read["verdicts"]["period"] == "all"]
    read["whole"] = whole
    read["pairs"] = listed_domestic(whole, read["networks"])
    read["judged"] = whole[whole["probe_asn"].isin(access)]
    read["intervals"] = read["blocking_intervals"].merge(read["pairs"][["domain", "probe_asn"]])
    period = study.periods["all"]
    return {
        "probe_cc": study.probe_cc,
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "is_published_method": not study.thresholds.changes(),
        "numbers": count_headlines(read),
        "findings": rank_findings([*_findings(read, study), *tell_of_apps(tables)]),
    }


def count_headlines(read: Tables) -> dict[str, int]:
    """The headline numbers of verdicts and annex, by the name that they have on every page."""
    blocked, pairs, judged = read["blocked_sites"], read["pairs"], read["judged"]
    networks, states = read["networks"], judged["state"].value_counts()
    is_access = networks["kind"].isin(DOMESTIC)
    per_site = pairs.groupby("domain").size()
    counts = {
        "measurement_count": read["measurements_by_month"]["measurement_count"].sum(),
        "domain_count": read["verdicts"]["domain"].nunique(),
        "network_count": len(networks),
        "access_network_count": is_access.sum(),
        "ranked_network_count": networks["rank"].notna().sum(),
        "blocking_network_count": count_blocking_networks(networks),
        "blocked_domain_count": len(blocked),
        "blocked_registrable_domain_count": blocked["registrable_domain"].nunique(),
        "blocked_local_domain_count": blocked["is_local"].sum(),
        "traced_domain_count": (blocked["state"] == "blocked").sum(),
        "judged_access_pair_count": len(judged),
        "ok_access_pair_count": states.get("ok", 0),
        "listed_access_pair_count": len(pairs),
        "unsettled_access_pair_count": states.get("insufficient", 0),
        "disagreeing_access_pair_count": (judged["insufficient_reason"] == "mixed").sum(),
        "other_pair_count": len(read["whole"]) - len(judged),
        "single_network_domain_count": (per_site == 1).sum(),
        "one_report_pair_count": (pairs["sessions_to_flip"] == 1).sum(),
        "set_aside_count": len(read["set_aside"]),
        "dead_name_count": (read["set_aside"]["reason"] == "name_does_not_exist").sum(),
        "unread_object_count": len(read["objects_not_read"]),
        **{
            f"{change}_count": count
            for change, count in count_changes(read["semester_changes"]).items()
        },
    }
    return {name: int(count) for name, count in counts.items()}


def _findings(read: Tables, study: Study) -> list[Values]:
    """Every finding that this report has, unranked."""
    onset = find_onset(read["intervals"], study.periods["all"])
    makers: dict[str, Callable[[], Values | None]] = {
        "onset": lambda: _onset(read, study, onset) if onset else None,
        "networks": lambda: tell_networks(read),
        "methods": lambda: _methods(read),
        "categories": lambda: tell_categories(read),
        "changes": lambda: _changes(read),
        "hours": lambda: _hours(read, study),
        "unlisted": lambda: _unlisted(read),
    }
    made = {kind: make() for kind, make in makers.items()}
    return [
        {"kind": kind, "id": FINDING_IDS[kind], "evidence": EVIDENCE[kind], **finding}
        for kind, finding in made.items()
        if finding
    ]


def tell_of_apps(tables: str | Path) -> list[Values]:
    """The finding on apps and tools, where there is one."""
    found = find_apps(tables)
    kind = {"kind": "apps", "id": FINDING_IDS["apps"], "evidence": EVIDENCE["apps"]}
    return [{**kind, **found}] if found else []


def rank_findings(findings: list[Values]) -> list[Values]:
    """The event of the period first, then by the listed sites that a finding speaks of.

    What is no site's comes last, and is never crowded out.
    """
    ranked = sorted(
        findings, key=lambda one: (one["kind"] != "onset", -one["site_count"], one["id"])
    )
    of_apps = [one for one in ranked if one["kind"] == "apps"]
    of_sites = [one for one in ranked if one["kind"] != "apps"][:MOST_FINDINGS]
    return [{**one, "rank": rank} for rank, one in enumerate([*of_sites, *of_apps], start=1)]


def _onset(read: Tables, study: Study, onset: Onset) -> Values:
    names = _names(read)
    new = spans_by_site(onset.begun)
    older = read["intervals"].drop(onset.begun.index)
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
            "new": new.to_dict("records"),
            "older": spans_by_site(older).to_dict("records"),
        },
    }


def tell_networks(read: Tables) -> Values | None:
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


def _methods(read: Tables) -> Values | None:
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


def tell_categories(read: Tables) -> Values | None:
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


def _changes(read: Tables) -> Values | None:
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
        "values": {**sites, "rows": [[*row] for row in count_changes(changes).items()]},
    }


def _hours(read: Tables, study: Study) -> Values | None:
    """Blocks that hold at hours of the week, with the hours by the capital's clocks."""
    held = read["intervals"][read["intervals"]["schedule"] != ""]
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


def _unlisted(read: Tables) -> Values | None:
    """Sites with anomalies that are not listed, by reason: they speak of no listed site."""
    rows = _by_count(read["set_aside"]["reason"])
    return {"sites": [], "site_count": 0, "values": {"rows": rows}} if rows else None


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
