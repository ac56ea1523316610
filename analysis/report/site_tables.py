"""Every tested name with what became of it, and every listed stretch of a site on a network."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.hosts import registrable_domain, site_file
from analysis.reference.networks import DOMESTIC
from analysis.report.halves import listed_domestic
from analysis.verdicts.states import wilson_bounds

_PAIR = ["domain", "probe_asn"]
_KEY = [*_PAIR, "blocked_from"]
#: What the note of a verdict says of its edges.
#: What the note of a verdict says of its edges.
SINCE, AFTER = "at least since", "not tested since"
#: Why there is no conclusion on a site that has no sign of blocking and is open on no access
#: network, the most telling first.
_WITHOUT_CONCLUSION = ("down", "impaired", "mixed", "few_days", "few_sessions")


def list_site_networks(
    verdicts: pd.DataFrame,
    intervals: pd.DataFrame,
    reached: pd.DataFrame,
    networks: pd.DataFrame,
    domains: pd.DataFrame,
) -> pd.DataFrame:
    """The contract's ``blocked_site_networks``: a row a listed stretch on an access network.

    Counts and shares are of the sessions inside the stretch; how many forged ones would flip it,
    resolvers and witness are those of the verdict on the pair.

    Args:
        verdicts, intervals, networks: the contract's (``blocking_intervals``).
        reached: the key of ``intervals`` and ``reached_session_count``, sessions inside that
            reached the site.
        domains: ``Study.domains``.
    """
    listed = listed_domestic(verdicts[verdicts["period"] == "all"], networks)
    columns = ["state", "note", "blocked_until", "sessions_to_flip", "resolver_asns", "operator",
               "witness_url"]  # fmt: skip
    of_pair = listed[[*_PAIR, *columns]].rename(columns={name: f"pair_{name}" for name in columns})
    key = [*_KEY, "blocked_from_time"]
    table = intervals.merge(of_pair, on=_PAIR).merge(reached, on=key, how="left")
    table = _join_beginnings(table.sort_values(key, ignore_index=True))
    facts = domains.set_index("domain")
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    hits, total = table["session_count"], table["session_count"] + table["reached_session_count"]
    low, high = wilson_bounds(hits, total)
    is_first, is_last = ~table.duplicated(_PAIR), ~table.duplicated(_PAIR, keep="last")
    goes_on = is_last & (table["pair_blocked_until"] == "")
    return table.assign(
        registrable_domain=table["domain"].map(registrable_domain),
        category_code=table["domain"].map(facts["category_code"]),
        is_local=table["domain"].map(facts["is_local"]),
        network=[names.get(asn) or asn for asn in table["probe_asn"]],
        blocked_until=table["blocked_until"].mask(goes_on, ""),
        session_count=total,
        blocked_session_count=hits,
        blocked_share=hits / total,
        blocked_share_low=low,
        blocked_share_high=high,
        note=[
            _note_of(*row)
            for row in zip(table["pair_note"], table["last_seen_open"], is_first, is_last,
                           strict=True)
        ],
        **{
            name: table[f"pair_{name}"]
            for name in ("operator", "sessions_to_flip", "resolver_asns", "witness_url")
        },
    )  # fmt: skip


def _join_beginnings(table: pd.DataFrame) -> pd.DataFrame:
    """One row for stretches of a pair that begin on one day, which the key does not tell apart."""
    if not table.duplicated(_KEY).any():
        return table
    summed = dict.fromkeys(
        ("session_count", "reached_session_count", "measurement_count"), "sum"
    ) | {"day_count": "max", "blocked_until": "max"}
    last = ["first_seen_open_again", "first_seen_open_again_time", "blocked_until_time"]
    how = {
        name: summed.get(name, "last" if name in last else "first")
        for name in table.columns.drop(_KEY)
    }
    return table.groupby(_KEY, sort=False, as_index=False).agg(how)[list(table.columns)]


def _note_of(note: str, last_seen_open: str, is_first: bool, is_last: bool) -> str:
    """What the pair's note says of one of its stretches."""
    is_about = {SINCE: is_first and not last_seen_open, AFTER: is_last}
    return "; ".join(part for part in note.split("; ") if part and is_about.get(part, True))


def list_sites(
    verdicts: pd.DataFrame,
    networks: pd.DataFrame,
    domains: pd.DataFrame,
    blocked: pd.DataFrame,
    aside: pd.DataFrame,
) -> pd.DataFrame:
    """The contract's ``sites``: every tested name, and what became of it.

    Args:
        verdicts, networks, blocked, aside: the contract's (``blocked_sites, set_aside``).
        domains: ``Study.domains``.
    """
    whole = verdicts[verdicts["period"] == "all"]
    of_site = whole.groupby("domain")
    tested = domains[domains["domain"].isin(of_site.groups)].set_index("domain").sort_index()
    access = whole[whole["probe_asn"].isin(_access(networks))]
    opened = set(access.loc[access["state"] == "ok", "domain"])
    why = _why_no_conclusion(access)
    annexed = set(blocked["domain"])
    reasons = dict(zip(aside["domain"], aside["reason"], strict=True))
    rows = []
    for site, fact in zip(tested.index, tested.itertuples(index=False), strict=True):
        status, reason = _status_of(str(site), annexed, reasons, opened, why)
        rows.append(
            {
                "domain": site,
                "registrable_domain": registrable_domain(str(site)),
                "category_code": fact.category_code,
                "is_local": fact.is_local,
                "status": status,
                "reason": reason,
                "measurement_count": fact.measurement_count,
            }
        )
    table = pd.DataFrame(rows, columns=[*_SITE_COLUMNS])
    counts = of_site.agg(session_count=("session_count", "sum"),
                         network_count=("probe_asn", "nunique"))  # fmt: skip
    table = table.join(counts, on="domain")
    return table.assign(page=table["domain"].map(_pages(_with_page(table))).fillna(""))


#: So many sites have a page of their own. One report may name fifty thousand that nobody ever heard
#: of, and their pages would take two gigabytes.
MOST_PAGES = 3_000


def _with_page(table: pd.DataFrame) -> Iterable[str]:
    """The listed names and those set aside; of too many, those with the most sessions."""
    own = table[table["status"].map(has_page)]
    own = own.assign(is_aside=own["status"] != "listed", few=-own["session_count"])
    return map(str, own.sort_values(["is_aside", "few", "domain"])["domain"].head(MOST_PAGES))


def _pages(domains: Iterable[str]) -> dict[str, str]:
    """The file of each site's page, by name; a name whose file would be another's has none.

    File names hold eight digits of a digest and the letters of a name. Whoever makes up a name with
    underscores to leave out can find one whose file is that of a site they want to hide.
    """
    pages: dict[str, str] = {}
    # Names that stand whole in their file's come first: no two of those can have the same.
    for domain in sorted(domains, key=lambda one: (not site_file(one).startswith(f"{one}-"), one)):
        pages.setdefault(site_file(domain), domain)
    return {domain: f"sites/{file}" for file, domain in pages.items()}


_SITE_COLUMNS = ("domain", "registrable_domain", "category_code", "is_local", "status", "reason",
                 "measurement_count", "page")  # fmt: skip


def has_page(status: str) -> bool:
    """Whether a site of this status has a page of its own."""
    return status in ("listed", "set_aside")


def _access(networks: pd.DataFrame) -> set[str]:
    return set(networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"])


def _why_no_conclusion(access: pd.DataFrame) -> Mapping[Any, str]:
    """Site → the state or the lack that says most about it on the access networks."""
    told = access["state"].where(access["state"] != "insufficient", access["insufficient_reason"])
    ranks = {name: rank for rank, name in enumerate(_WITHOUT_CONCLUSION)}
    best = told.map(ranks).groupby(access["domain"]).min().dropna().astype("int64")
    return {site: _WITHOUT_CONCLUSION[rank] for site, rank in best.items()}


def _status_of(
    site: str, listed: set[str], aside: Mapping[str, str], opened: set[str],
    why: Mapping[Any, str],
) -> tuple[str, str]:  # fmt: skip
    """A site's status and the reason for it; of what is plain none is needed."""
    if site in listed:
        return "listed", ""
    if site in aside:
        return "set_aside", aside[site]
    return (
        ("no_problem_seen", "")
        if site in opened
        else ("not_enough_tests", why.get(site, "not_domestic"))
    )
