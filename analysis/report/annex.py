"""The annex of blocked sites, what was set aside and why, and counts by network and category."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.hosts import registrable_domain
from analysis.period import Period
from analysis.reference.countries import is_fictional
from analysis.reference.networks import RANKED
from analysis.report.halves import listed_domestic
from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.verdicts.witnesses import countries_url

#: Set-aside reasons in the order in which a tie is decided, with what the reader is told.
REASON_SENTENCES = {
    "name_does_not_exist": "The controls cannot resolve the name: there is no site to block.",
    "nxdomain_substitution": "The answers are what the resolver gives for names that do not exist.",
    "local_filter": "The answers are a local filter's.",
    "geo_restricted": "The site itself refuses the country.",
    "down": "The site is down for the control too.",
    "instrument": "The failures follow a software version.",
    "broken_session": "The failures come from sessions in which most sites failed.",
    "not_domestic": "Seen only on networks that are not access networks of the country.",
    "impaired": "Not working for a cause that the measurements do not show.",
    "insufficient": "Too few sessions, or too few days, to say anything.",
    "anomaly_unexplained": "The site is reached; what else was seen does not amount to a block.",
}


def blocked_sites(
    verdicts: pd.DataFrame, networks: pd.DataFrame, domains: pd.DataFrame
) -> pd.DataFrame:
    """The contract's ``blocked_sites``: one row per domain listed on a domestic network.

    Args:
        verdicts: the contract's ``verdicts``.
        networks: the contract's ``networks``.
        domains: ``domain, category_code, category, is_local``.

    Counts are summed over the networks that list the site.
    """
    listed = listed_domestic(verdicts[verdicts["period"] == "all"], networks)
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
        }
        for domain in sorted(by_domain)
    ]
    columns = [
        "domain", "registrable_domain", "category_code", "category", "is_local", "state",
        "mechanisms", "probe_asns", "networks", "blocked_from", "blocked_until",
        "measurement_count", "blocked_count", "session_count", "witness_url", "note",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _summarise(
    rows: Sequence[Mapping[Hashable, Any]], names: Mapping[str, str]
) -> dict[str, object]:
    """What the networks that list one site say together; these are in order."""
    states = {row["state"] for row in rows}
    asns = [row["probe_asn"] for row in rows]
    endings = [row["blocked_until"] for row in rows]
    witness = max(rows, key=lambda row: row["blocked_session_count"])  # of several the first
    counts = {
        name: sum(row[name] for row in rows)
        for name in ("measurement_count", "blocked_count", "session_count")
    }
    return {
        "state": next(state for state in STATES_BY_STRENGTH if state in states),
        "mechanisms": ";".join(sorted({row["mechanism"] for row in rows})),
        "probe_asns": ";".join(asns),
        "networks": ";".join(names.get(asn) or asn for asn in asns),
        "blocked_from": min(row["blocked_from"] for row in rows),
        "blocked_until": "" if "" in endings else max(endings),
        **counts,
        "witness_url": witness["witness_url"],
        "note": "; ".join(f"{row['probe_asn']}: {row['note']}" for row in rows if row["note"]),
    }


def link_countries(aside: pd.DataFrame, probe_cc: str, period: Period) -> pd.DataFrame:
    """``set_aside`` with ``countries_url``, OONI's counts of each site in all countries.

    OONI knows no fictional country: of one the table stays as it is.
    """
    if is_fictional(probe_cc):
        return aside
    return aside.assign(countries_url=[countries_url(site, period) for site in aside["domain"]])


def set_aside(
    verdicts: pd.DataFrame, networks: pd.DataFrame, domains: pd.DataFrame
) -> pd.DataFrame:
    """The contract's ``set_aside``: domains with anomalies that are not in the annex, and why.

    The reason is the verdicts', which have one a site, but that a site which is listed outside of
    the access networks alone is *not_domestic*; ``networks`` are those that carry it.
    """
    whole = verdicts[verdicts["period"] == "all"]
    annexed = set(listed_domestic(whole, networks)["domain"])
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    cells = whole[(whole["set_aside_reason"] != "") & ~whole["domain"].isin(annexed)]
    counts = domains.set_index("domain")[["measurement_count", "anomaly_count"]].to_dict()
    reason_of = find_reasons(cells)
    given = cells[cells["set_aside_reason"] == cells["domain"].map(reason_of)]
    asns_of: dict[str, list[str]] = defaultdict(list)
    for domain, asn in sorted(zip(given["domain"], given["probe_asn"], strict=True)):
        asns_of[domain].append(asn)
    rows = [
        {
            "domain": domain,
            "reason": reason_of[domain],
            "measurement_count": counts["measurement_count"][domain],
            "anomaly_count": counts["anomaly_count"][domain],
            "networks": ";".join(names.get(asn) or asn for asn in asns_of[domain]),
            "note": REASON_SENTENCES[reason_of[domain]],
        }
        for domain in sorted(reason_of)
    ]
    columns = ["domain", "reason", "measurement_count", "anomaly_count", "networks", "note"]
    return pd.DataFrame(rows, columns=columns)


def find_reasons(whole: pd.DataFrame) -> dict[str, str]:
    """Site → why it is set aside: one reason, the same on every page.

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
    """The contract's ``networks``: who measured, who blocks how much, and how.

    Args:
        networks: ``Study.networks``.
        verdicts: the contract's ``verdicts``.

    Returns:
        ``rank`` counts from 1 by blocked domains, equal ranks for equal numbers, and only for
        access networks: a VPN's exit is no country's ISP.
    """
    listed = verdicts[
        (verdicts["period"] == "all") & verdicts["state"].isin(["blocked", "likely_blocked"])
    ]
    per_network = listed.groupby("probe_asn").agg(
        blocked_domain_count=("domain", "nunique"),
        mechanisms=("mechanism", lambda names: ";".join(sorted(set(names)))),
    )
    named = networks.assign(probe_asn="AS" + networks["probe_asn"].astype(str))
    table = named.merge(per_network.reset_index(), on="probe_asn", how="left")
    table["blocked_domain_count"] = table["blocked_domain_count"].fillna(0).astype("int64")
    table["mechanisms"] = table["mechanisms"].fillna("")
    is_ranked = table["kind"].isin(RANKED) & (table["probe_asn"] != "AS0")
    ranked = table.loc[is_ranked, "blocked_domain_count"]
    ranks = ranked.rank(method="min", ascending=False)
    table["rank"] = ranks.astype("Int64").reindex(table.index)
    return table


def count_categories(domains: pd.DataFrame, blocked: pd.DataFrame) -> pd.DataFrame:
    """The contract's ``categories``: the columns sum to all sites and all measurements.

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
