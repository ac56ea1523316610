"""The tables of blocked sites: one row a site, one a stretch on a network, what was set aside and
why, every tested name, and counts by network and category; and one half of the period compared
with the other.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.hosts import registrable_domain, site_file
from analysis.period import Period
from analysis.reference.networks import DOMESTIC, RANKED
from analysis.reference.reference_files import is_fictional
from analysis.study.study import Study, count_in_halves, count_in_periods
from analysis.tables import map_texts, read_network, tell_network, tell_networks
from analysis.verdicts.floors import wilson_bounds
from analysis.verdicts.states import STATES_BY_STRENGTH, is_tested_enough
from analysis.verdicts.witnesses import countries_url
from analysis.vocabulary import CHANGES, LISTED


@dataclass(frozen=True)
class Halves:
    """Two halves beside each other.

    Attributes:
        semesters, changes, network_changes: the contract's ``semesters``, ``semester_changes`` and
            ``network_changes``.
        panel: see :func:`count_panel`.
    """

    semesters: pd.DataFrame
    changes: pd.DataFrame
    panel: pd.DataFrame
    network_changes: pd.DataFrame


def compare_halves(
    study: Study, verdicts: pd.DataFrame, networks: pd.DataFrame, intervals: pd.DataFrame
) -> Halves:
    """Compare what was measured and listed in the halves of a study.

    Args:
        study: its observations and its periods.
        verdicts, networks, intervals: the contract's (``blocking_intervals``).
    """
    sites = study.domains()
    local = set(sites.loc[sites["is_local"], "domain"])
    measured = count_in_periods(study.connection, study.periods)
    tests = count_in_halves(study.connection, study.periods)
    return Halves(
        semesters=count_semesters(measured, study.periods, verdicts, networks, local),
        changes=compare_semesters(verdicts, networks, local, find_reopened(intervals)),
        panel=count_panel(verdicts, networks, local),
        network_changes=compare_networks(tests, networks),
    )


def count_semesters(
    measured: Mapping[str, Mapping[str, Any]],
    periods: Mapping[str, Period],
    verdicts: pd.DataFrame,
    networks: pd.DataFrame,
    local_domains: set[str],
) -> pd.DataFrame:
    """Return the contract's ``semesters``: one row per period (all, first, second).

    Args:
        measured: period → ``measurement_count, domain_count`` of everything measured in it, and
            ``network_asns``, the networks that measured.
        periods: period → its dates.
        verdicts: the contract's ``verdicts``.
        networks: the contract's ``networks`` (``probe_asn, operator, kind``).
        local_domains: the domains that are local to the country.
    """
    operators = dict(zip(networks["probe_asn"], networks["operator"], strict=True))
    listed = listed_domestic(verdicts, networks)
    rows = []
    for name, period in periods.items():
        domains = set(listed.loc[listed["period"] == name, "domain"])
        asns = measured[name]["network_asns"]
        rows.append(
            {
                "period": name,
                "since": period.since,
                "until": period.until,
                "measurement_count": measured[name]["measurement_count"],
                "domain_count": measured[name]["domain_count"],
                "network_count": len(asns),
                "operator_count": len({operators.get(asn) or asn for asn in asns}),
                "blocked_domain_count": len(domains),
                "blocked_local_domain_count": len(domains & local_domains),
            }
        )
    return pd.DataFrame(rows)


def on_access_networks(rows: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table, by ``probe_asn``, that are of the country's access networks.

    Args:
        rows: of ``verdicts`` or another table of networks.
        networks: the contract's, or ``Study.networks``.
    """
    access = networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"]
    return rows[rows["probe_asn"].isin(access)]


def listed_domestic(verdicts: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``verdicts`` that the annex is made of: listed, on a domestic network."""
    return on_access_networks(verdicts[verdicts["state"].isin(LISTED)], networks)


def find_reopened(intervals: pd.DataFrame) -> set[tuple[str, int]]:
    """Return the pairs that were reached between two listed stretches.

    Args:
        intervals: the contract's ``blocking_intervals``.
    """
    key = ["domain", "probe_asn"]
    ordered = intervals.sort_values([*key, "blocked_from", "blocked_from_time"])
    is_followed = ordered.duplicated(key, keep="last")
    reopened = ordered[is_followed & ordered["first_seen_open_again"].notna()]
    return set(reopened[key].itertuples(index=False, name=None))


def compare_semesters(
    verdicts: pd.DataFrame,
    networks: pd.DataFrame,
    local_domains: set[str],
    reopened: Set[tuple[str, int]] = frozenset(),
) -> pd.DataFrame:
    """Return the contract's ``semester_changes``: one row per site listed in any period.

    A network counts where its tests meet the evidence floor in both halves and show the site
    blocked or open in each: what is not working for another reason cannot say that a block was
    lifted. Where such networks disagree the change is *mixed*; where there is none it is
    *not_comparable*, and the note says why.

    Args:
        verdicts, networks: the contract's.
        local_domains: the country's own.
        reopened: see ``find_reopened``.
    """
    access = on_access_networks(verdicts, networks)
    listed = access.loc[access["state"].isin(LISTED), "domain"]
    cells = access[access["domain"].isin(listed) & access["period"].isin(["first", "second"])]
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    halves = cells.pivot(index=["domain", "probe_asn"], columns="period", values="state")
    halves = halves.reindex(columns=["first", "second"]).astype(object)
    halves = halves.where(halves.notna(), None)
    counts = cells.groupby(["domain", "period"])["measurement_count"].sum().to_dict()
    rows = []
    for site, of_site in halves.groupby(level="domain"):
        pairs: Any = of_site.droplevel("domain").itertuples()
        states = {asn: (first, second) for asn, first, second in pairs}
        domain = str(site)
        row = _change_of(domain, states, counts, names)
        matched = row["matched_networks"].split(";")
        is_reopened = any((domain, read_network(asn)) in reopened for asn in matched)
        row["is_local"] = domain in local_domains
        row["is_interrupted"] = row["change"] == "still_blocked" and is_reopened
        rows.append(row)
    return pd.DataFrame(
        rows,
        columns=[
            "domain",
            "is_local",
            "change",
            "first_state",
            "second_state",
            "first_measurement_count",
            "second_measurement_count",
            "matched_networks",
            "note",
            "first_matched_state",
            "second_matched_state",
            "is_interrupted",
        ],
    )


def count_panel(
    verdicts: pd.DataFrame, networks: pd.DataFrame, local_domains: set[str]
) -> pd.DataFrame:
    """Count the listed sites among those that meet the floor in both halves on one access network.

    Returns:
        One row per half: ``period, domain_count`` (the panel), ``blocked_domain_count,
        blocked_local_domain_count``; only the matched pairs of site and network are read.
    """
    access = on_access_networks(verdicts, networks)
    concluded = access[access["period"].isin(["first", "second"]) & is_tested_enough(access)]
    matched = concluded[concluded.duplicated(["domain", "probe_asn"], keep=False)]
    listed = matched["domain"].where(matched["state"].isin(LISTED))
    local = listed.where(listed.isin(local_domains))
    halves = (
        matched.assign(listed=listed, local=local)
        .groupby("period")
        .agg(
            domain_count=("domain", "nunique"),
            blocked_domain_count=("listed", "nunique"),
            blocked_local_domain_count=("local", "nunique"),
        )
    )
    return halves.reset_index()


def _change_of(
    domain: str,
    states: Mapping[int, tuple[str | None, str | None]],
    counts: Mapping[Hashable, int],
    names: Mapping[int, str],
) -> dict[str, Any]:
    """Return the row of a site; ``states`` are those of the halves by network, None where not
    tested.
    """
    changes = {}
    for asn, (first, second) in states.items():
        if first in LISTED and second in LISTED:
            changes[asn] = "still_blocked"
        elif first in LISTED and second == "ok":
            changes[asn] = "no_longer_blocked"
        elif first == "ok" and second in LISTED:
            changes[asn] = "newly_blocked"
    kinds, pairs = set(changes.values()), list(states.values())
    matched = [states[asn] for asn in changes]
    change = "not_comparable" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"
    return {
        "domain": domain,
        "change": change,
        "first_state": _strongest(first for first, _ in pairs),
        "second_state": _strongest(second for _, second in pairs),
        "first_measurement_count": int(counts.get((domain, "first"), 0)),
        "second_measurement_count": int(counts.get((domain, "second"), 0)),
        "first_matched_state": _strongest(first for first, _ in matched),
        "second_matched_state": _strongest(second for _, second in matched),
        "matched_networks": tell_networks(sorted(changes)),
        "note": _why_not(pairs) if change == "not_comparable" else _who(changes, names, change),
    }


def _strongest(states: Iterable[str | None]) -> str:
    seen = set(states)
    return next((state for state in STATES_BY_STRENGTH if state in seen), "")


def _why_not(states: Sequence[tuple[str | None, str | None]]) -> str:
    """Return the reason why no network can be compared, in words."""
    if all(first is None for first, _ in states):
        return "not tested in the first half"
    if all(second is None for _, second in states):
        return "not tested in the second half"
    if all({None, "insufficient"}.intersection(pair) for pair in states):
        return "no network has a conclusion in both halves"
    if not any(state in LISTED for pair in states for state in pair):
        return "listed in the whole period: neither half has enough of the block for its own state"
    return "where it was listed in one half, the other shows neither blocking nor access"


def _who(changes: Mapping[int, str], names: Mapping[int, str], change: str) -> str:
    if change != "mixed":
        return ""
    return "; ".join(f"{names[asn]}: {CHANGES[changes[asn]].lower()}" for asn in sorted(changes))


def compare_networks(counts: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """Return the contract's ``network_changes``: the halves in which each network measured.

    Args:
        counts: ``probe_asn, first_measurement_count, second_measurement_count``.
        networks: the contract's ``networks``.
    """
    table = counts.merge(networks[["probe_asn", "network"]], on="probe_asn", how="left")
    first, second = (table[f"{half}_measurement_count"] > 0 for half in ("first", "second"))
    change = np.select([first & ~second, ~first & second], ["only_first", "only_second"], "both")
    return table.assign(change=change)


_MOST = "The most frequent known cause of its failures, or one of the most frequent: {}."
#: Set-aside reasons with their sentences; if two are equally frequent, the first one is given.
REASON_SENTENCES = {
    "name_does_not_exist": _MOST.format("the controls could not resolve the name either"),
    "leftover_block": (
        "The controls could not resolve the name. On at least one network, most lookups of it gave "
        "an address that no public site can have, as a block does that was never removed."
    ),
    "nxdomain_substitution": _MOST.format(
        "the answers are what the resolver gives for names that do not exist"
    ),
    "local_filter": _MOST.format("the lookups went through resolvers that are not the network's"),
    "geo_restricted": (
        "The site seems to have refused visitors from the country, at least at times."
    ),
    "down": _MOST.format("the control failed too"),
    "instrument": _MOST.format(
        "one kind of probe alone failed; a filter, an antivirus or a faulty version may explain it"
    ),
    "broken_session": _MOST.format(
        "sessions in which most sites failed; such sessions count as having no result"
    ),
    "not_domestic": (
        "Blocked or likely blocked only on networks that are not access networks of the country."
    ),
    "impaired": (
        "On at least one network, failures or tests without a result followed each other for some "
        "time, or were too many to call the site reachable; the measurements cannot tell blocking "
        "from a fault."
    ),
    "unexplained": (
        "On at least one network, many sessions failed as if the site were blocked, and nothing "
        "explains them; they are too few, or too irregular, for the list. The site may be blocked "
        "in a way that the method cannot see."
    ),
    "insufficient": "Something was seen only on networks with too few tests for a conclusion.",
    "anomaly_unexplained": (
        "Failures without an explanation, too few or too scattered for the list. OONI may have "
        "flagged tests that reached the site."
    ),
}


def blocked_sites(
    verdicts: pd.DataFrame, networks: pd.DataFrame, domains: pd.DataFrame
) -> pd.DataFrame:
    """Return the contract's ``blocked_sites``: one row per domain listed on a domestic network.

    Args:
        verdicts: the contract's ``verdicts``.
        networks: the contract's ``networks``.
        domains: ``domain, category_code, category, is_local``.

    Counts are summed over the networks that list the site; ``all_…_count`` over all networks.
    """
    whole = verdicts[verdicts["period"] == "all"]
    listed = listed_domestic(whole, networks)
    all_counts = whole.groupby("domain")[["measurement_count", "session_count"]].sum()
    all_counts = all_counts.add_prefix("all_")
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    facts = domains.set_index("domain")[["category_code", "category", "is_local"]].to_dict("index")
    by_domain: dict[str, list[dict[Hashable, Any]]] = defaultdict(list)
    for row in listed.sort_values("probe_asn").to_dict("records"):
        by_domain[row["domain"]].append(row)
    rows = [
        {
            "domain": domain,
            "registrable_domain": registrable_domain(domain),
            **facts[domain],
            **_summarise(by_domain[domain], names),
            **all_counts.loc[domain].astype(int),
        }
        for domain in sorted(by_domain)
    ]
    columns = [
        "domain",
        "registrable_domain",
        "category_code",
        "category",
        "is_local",
        "state",
        "mechanisms",
        "probe_asns",
        "networks",
        "blocked_from",
        "blocked_until",
        "measurement_count",
        "blocked_count",
        "session_count",
        "witness_url",
        "note",
        "last_seen_blocked",
        "all_measurement_count",
        "all_session_count",
    ]
    return pd.DataFrame(rows, columns=columns)


def _summarise(
    rows: Sequence[Mapping[Hashable, Any]], names: Mapping[int, str]
) -> dict[str, object]:
    """Summarise the listed networks of a site, which are in order."""
    states = {row["state"] for row in rows}
    asns = [row["probe_asn"] for row in rows]
    endings = pd.Series([row["blocked_until"] for row in rows])
    witness = max(rows, key=lambda row: row["blocked_session_count"])  # of several the first
    counts = {
        name: sum(row[name] for row in rows)
        for name in ("measurement_count", "blocked_count", "session_count")
    }
    return {
        "state": next(state for state in STATES_BY_STRENGTH if state in states),
        "mechanisms": ";".join(sorted({row["mechanism"] for row in rows})),
        "probe_asns": tell_networks(asns),
        "networks": ";".join(names[asn] for asn in asns),
        "blocked_from": min(row["blocked_from"] for row in rows),
        "blocked_until": endings.max(skipna=False),  # none, where it goes on anywhere
        "last_seen_blocked": max(row["last_seen_blocked"] for row in rows),
        **counts,
        "witness_url": witness["witness_url"],
        "note": "; ".join(
            f"{tell_network(row['probe_asn'])}: {row['note']}" for row in rows if row["note"]
        ),
    }


def link_countries(aside: pd.DataFrame, probe_cc: str, period: Period) -> pd.DataFrame:
    """Return ``set_aside`` with ``countries_url``, OONI's counts of each site in all countries.

    OONI knows no fictional country: of one the table stays as it is.
    """
    if is_fictional(probe_cc):
        return aside
    return aside.assign(countries_url=[countries_url(site, period) for site in aside["domain"]])


def set_aside(
    verdicts: pd.DataFrame, networks: pd.DataFrame, domains: pd.DataFrame
) -> pd.DataFrame:
    """Return the contract's ``set_aside``: domains with anomalies that are not in the annex, and
    why.

    The reason is the verdicts', which have one a site, but that a site which is listed outside of
    the access networks alone is *not_domestic*; ``networks`` are those on which it failed, for
    whatever reason, or was flagged.
    """
    whole = verdicts[verdicts["period"] == "all"]
    annexed = set(listed_domestic(whole, networks)["domain"])
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    apart = whole[~whole["domain"].isin(annexed)]
    counted = ["measurement_count", "anomaly_count", "flagged_count"]
    counts = domains.set_index("domain")[counted].to_dict("index")
    reason_of = find_reasons(apart)
    failed_count = apart["blocked_session_count"] + apart["down_session_count"]
    named = (
        apart[(failed_count > 0) | (apart["set_aside_reason"] != "")]
        .sort_values("probe_asn")
        .groupby("domain")["probe_asn"]
        .agg(lambda asns: ";".join(names[asn] for asn in asns))
    )
    rows = [
        {
            "domain": domain,
            "reason": reason_of[domain],
            **counts[domain],
            "networks": named[domain],
            "note": REASON_SENTENCES[reason_of[domain]],
        }
        for domain in sorted(reason_of)
    ]
    columns = [
        "domain",
        "reason",
        "measurement_count",
        "anomaly_count",
        "networks",
        "note",
        "flagged_count",
    ]
    return pd.DataFrame(rows, columns=columns)


def find_reasons(whole: pd.DataFrame) -> dict[str, str]:
    """Return the reason for which each site is set aside, by site: one reason, the same on every
    page.

    Args:
        whole: the contract's ``verdicts`` of the whole period, or some of its sites.
    """
    cells = whole[whole["set_aside_reason"] != ""]
    reasons = cells.drop_duplicates("domain").set_index("domain")["set_aside_reason"]
    foreign = set(cells.loc[cells["set_aside_reason"] == "not_domestic", "domain"])
    return {
        str(site): "not_domestic" if site in foreign else str(reason)
        for site, reason in reasons.items()
    }


def rank_networks(networks: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the contract's ``networks``: the measurements, listed sites and methods of each
    network.

    Args:
        networks: ``Study.networks``.
        verdicts: the contract's ``verdicts``.

    Returns:
        ``tested_enough_count`` are the sites that were tested enough on the network. ``rank``
        counts from 1 by blocked domains, equal ranks for equal numbers, and only for access
        networks with such a site: a VPN's exit is no country's ISP, and anybody can make up
        networks.
    """
    whole = verdicts[verdicts["period"] == "all"]
    per_network = (
        whole[whole["state"].isin(LISTED)]
        .groupby("probe_asn")
        .agg(
            blocked_domain_count=("domain", "nunique"),
            mechanisms=("mechanism", lambda names: ";".join(sorted(set(names)))),
        )
    )
    enough = is_tested_enough(whole).groupby(whole["probe_asn"]).sum()
    table = networks.join(per_network, on="probe_asn")
    table = table.join(enough.rename("tested_enough_count"), on="probe_asn")
    counts = ["blocked_domain_count", "tested_enough_count"]
    table[counts] = table[counts].fillna(0).astype("int64")
    table["mechanisms"] = table["mechanisms"].fillna("")
    is_ranked = table["kind"].isin(RANKED) & (table["probe_asn"] != 0)
    is_ranked &= table["tested_enough_count"] > 0
    ranked = table.loc[is_ranked, "blocked_domain_count"]
    ranks = ranked.rank(method="min", ascending=False)
    table["rank"] = ranks.astype("Int64").reindex(table.index)
    return table


def count_categories(domains: pd.DataFrame, blocked: pd.DataFrame) -> pd.DataFrame:
    """Return the contract's ``categories``: the columns sum to all sites and all measurements.

    Args:
        domains: ``domain, category_code, category, measurement_count``; the domain ``""`` stands
            for measurements without a usable host name and counts as no site.
        blocked: the contract's ``blocked_sites``.
    """
    marked = domains.assign(
        is_site=domains["domain"] != "", is_blocked=domains["domain"].isin(set(blocked["domain"]))
    )
    grouped = marked.groupby(["category_code", "category"], sort=True)
    return grouped.agg(
        domain_count=("is_site", "sum"),
        blocked_domain_count=("is_blocked", "sum"),
        measurement_count=("measurement_count", "sum"),
    ).reset_index()


_PAIR = ["domain", "probe_asn"]
_KEY = [*_PAIR, "blocked_from"]
#: The parts of a verdict's note that are about its edges.
SINCE, AFTER = "at least since", "not tested since"
#: Reasons why there is no conclusion on a site without a sign of blocking that is open on no
#: access network; the first that occurs is given.
_WITHOUT_CONCLUSION = ("down", "impaired", "unexplained", "mixed", "few_days", "few_sessions")


def list_site_networks(
    verdicts: pd.DataFrame,
    intervals: pd.DataFrame,
    judged: pd.DataFrame,
    networks: pd.DataFrame,
    domains: pd.DataFrame,
) -> pd.DataFrame:
    """Return the contract's ``blocked_site_networks``: a row a listed stretch on an access network.

    Counts and shares are of the sessions inside the stretch; how many forged ones would flip it,
    resolvers and witness are those of the verdict on the pair.

    Args:
        verdicts, intervals, networks: the contract's (``blocking_intervals``).
        judged: ``Judgement.intervals``, which has ``reached_session_count`` as well: the sessions
            inside that reached the site.
        domains: ``Study.domains``.
    """
    listed = listed_domestic(verdicts[verdicts["period"] == "all"], networks)
    columns = [
        "state",
        "note",
        "blocked_until",
        "sessions_to_flip",
        "resolver_asns",
        "operator",
        "witness_url",
    ]
    of_pair = listed[[*_PAIR, *columns]].rename(columns={name: f"pair_{name}" for name in columns})
    key = [*_KEY, "blocked_from_time"]
    reached = judged[[*key, "reached_session_count"]]
    table = intervals.merge(of_pair, on=_PAIR).merge(reached, on=key, how="left")
    table = _join_beginnings(table.sort_values(key, ignore_index=True))
    facts = domains.set_index("domain")
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    hits, total = table["session_count"], table["session_count"] + table["reached_session_count"]
    low, high = wilson_bounds(hits, total)
    is_first, is_last = ~table.duplicated(_PAIR), ~table.duplicated(_PAIR, keep="last")
    goes_on = is_last & table["pair_blocked_until"].isna()
    return table.assign(
        registrable_domain=table["domain"].map(registrable_domain),
        category_code=table["domain"].map(facts["category_code"]),
        is_local=table["domain"].map(facts["is_local"]),
        network=table["probe_asn"].map(names),
        blocked_until=table["blocked_until"].mask(goes_on),
        session_count=total,
        blocked_session_count=hits,
        blocked_share=hits / total,
        blocked_share_low=low,
        blocked_share_high=high,
        note=[
            _note_of(*row)
            for row in zip(
                table["pair_note"], is_first & table["last_seen_open"].isna(), is_last, strict=True
            )
        ],
        **{
            name: table[f"pair_{name}"]
            for name in ("operator", "sessions_to_flip", "resolver_asns", "witness_url")
        },
    )


def _join_beginnings(table: pd.DataFrame) -> pd.DataFrame:
    """Join stretches of a pair that begin on one day, which the key cannot tell apart."""
    if not table.duplicated(_KEY).any():
        return table
    summed = dict.fromkeys(
        ("session_count", "reached_session_count", "measurement_count"), "sum"
    ) | dict.fromkeys(("day_count", "blocked_until", "last_seen_blocked"), "max")
    last = ["first_seen_open_again", "first_seen_open_again_time", "blocked_until_time"]
    how = {  # pandas' own first and last pass over what is missing
        name: summed.get(name, partial(_pick, -1 if name in last else 0))
        for name in table.columns.drop(_KEY)
    }
    return table.groupby(_KEY, sort=False, as_index=False).agg(how)[list(table.columns)]


def _pick(place: int, values: pd.Series) -> Any:
    return values.iloc[place]


def _note_of(note: str, is_unbounded: bool, is_last: bool) -> str:
    """Return the part of a pair's note that is about one of its stretches."""
    is_about = {SINCE: is_unbounded, AFTER: is_last}
    return "; ".join(part for part in note.split("; ") if part and is_about.get(part, True))


def list_sites(
    verdicts: pd.DataFrame,
    networks: pd.DataFrame,
    domains: pd.DataFrame,
    blocked: pd.DataFrame,
    aside: pd.DataFrame,
) -> pd.DataFrame:
    """Return the contract's ``sites``: every tested name, and its status.

    Args:
        verdicts, networks, blocked, aside: the contract's (``blocked_sites, set_aside``).
        domains: ``Study.domains``.
    """
    whole = verdicts[verdicts["period"] == "all"]
    of_site = whole.groupby("domain")
    tested = domains[domains["domain"].isin(of_site.groups)].sort_values("domain")
    names = tested["domain"]
    access = on_access_networks(whole, networks)
    is_listed, is_aside = names.isin(blocked["domain"]), names.isin(aside["domain"])
    is_open = names.isin(access.loc[access["state"] == "ok", "domain"])
    status = np.select(
        [is_listed, is_aside, is_open],
        ["listed", "set_aside", "no_problem_seen"],
        "not_enough_tests",
    )
    reasons = _why_no_conclusion(access) | dict(zip(aside["domain"], aside["reason"], strict=True))
    is_told = {"set_aside", "not_enough_tests"}
    table = tested.assign(
        registrable_domain=names.map(registrable_domain),
        status=status,
        reason=[
            reasons.get(site, "not_domestic") if one in is_told else ""
            for site, one in zip(names, status, strict=True)
        ],
    )
    counts = of_site.agg(
        session_count=("session_count", "sum"), network_count=("probe_asn", "nunique")
    )
    table = table.join(counts, on="domain")
    tested_enough = set(whole.loc[is_tested_enough(whole), "domain"])
    own = table[table["status"].isin(["listed", "set_aside"]) & names.isin(tested_enough)]
    return table.assign(page=map_texts(table["domain"], _pages(_with_page(own))))


#: The most sites that have a page of their own.
MOST_PAGES = 3_000


def _with_page(own: pd.DataFrame) -> Iterable[str]:
    """Return the sites that have a page, the listed ones first; of too many, those with most
    sessions.
    """
    own = own.assign(is_aside=own["status"] != "listed", few=-own["session_count"])
    return map(str, own.sort_values(["is_aside", "few", "domain"])["domain"].head(MOST_PAGES))


def _pages(domains: Iterable[str]) -> dict[str, str]:
    """Return the file of each site's page, by name; a name whose file is taken already has none.

    File names hold eight digits of a digest and the letters of a name. Whoever makes up a name with
    underscores to leave out can find one whose file is that of a site they want to hide.
    """
    pages: dict[str, str] = {}
    # A name that is unchanged in its file's name comes first: no two such files are the same.
    for domain in sorted(domains, key=lambda one: (not site_file(one).startswith(f"{one}-"), one)):
        pages.setdefault(site_file(domain), domain)
    return {domain: f"sites/{file}" for file, domain in pages.items()}


def _why_no_conclusion(access: pd.DataFrame) -> dict[Any, str]:
    """Return by site the state, or the lack of tests, that explains best why it has no
    conclusion.
    """
    reasons = access["state"].where(
        access["state"] != "insufficient", access["insufficient_reason"]
    )
    ranks = {name: rank for rank, name in enumerate(_WITHOUT_CONCLUSION)}
    best = reasons.map(ranks).groupby(access["domain"]).min().dropna().astype("int64")
    return {site: _WITHOUT_CONCLUSION[rank] for site, rank in best.items()}
