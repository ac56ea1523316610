"""The numbered findings of the pages: what each claims, how to read it, what to beware of.

A notebook calls one of these at the head of its page, on the tables that it has just made.
"""

from collections.abc import Mapping

import pandas as pd

from analysis.display.show import show_finding
from analysis.findings.charts import flagged
from analysis.reference.networks import DOMESTIC
from analysis.vocabulary import METHODS


def claim_coverage(months: pd.DataFrame, sites: pd.DataFrame, networks: pd.DataFrame) -> None:
    """Show how much was measured, and what OONI flags of it.

    Args:
        months: the contract's ``measurements_by_month``.
        sites: ``Study.domains``.
        networks: ``Study.networks``.
    """
    total, site_count = months["measurement_count"].sum(), (sites["domain"] != "").sum()
    flags = flagged(months)
    show_finding(
        1,
        f"{total:,} measurements of {site_count:,} sites came from {len(networks):,} networks.",
        f"OONI flags {flags:,} of them ({flags / total:.1%}) as anomalous or confirmed; "
        f"{months['failure_count'].sum():,} failed and say nothing.",
        "A measurement is one test, not one person: a few probes make most of them. "
        "Verdicts therefore count independent sessions, not rows.",
    )


def claim_verdicts(whole: pd.DataFrame, listed: pd.DataFrame) -> None:
    """Show how many sites were found blocked, of how many pairs that were judged.

    Args:
        whole: the contract's ``verdicts`` of the whole period, with the ``kind`` of each network.
        listed: those of its rows that are blocked or likely blocked.
    """
    domestic = listed[listed["kind"].isin(DOMESTIC)]
    states = whole["state"].value_counts()
    disagreeing = int((whole["insufficient_reason"] == "mixed").sum())
    thin = states.get("insufficient", 0) - disagreeing
    show_finding(
        1,
        f"{domestic['domain'].nunique()} sites were blocked or likely blocked on "
        f"{domestic['probe_asn'].nunique()} of the country's access networks.",
        f"{len(whole):,} pairs of site and network were judged; on "
        f"{thin:,} of them too little was tested to say anything, on {disagreeing:,} the tests "
        f"disagree, and {states.get('ok', 0):,} are reachable.",
        "Observed on a network is not ordered by it: an answer may come from a resolver or a path "
        "that another operator runs.",
    )


def claim_changes(semesters: pd.DataFrame, counts: Mapping[str, int]) -> None:
    """Show what is listed in each half, and what changed.

    Args:
        semesters: the contract's ``semesters``.
        counts: change → its sites.
    """
    listed = semesters.set_index("period")["blocked_domain_count"]
    show_finding(
        1,
        f"{listed['first']} sites were listed in the first half and {listed['second']} in the "
        f"second; {counts['newly_blocked']} are newly blocked and {counts['no_longer_blocked']} no "
        "longer.",
        f"{counts['still_blocked']} are still blocked, on {counts['mixed']} the networks disagree, "
        f"and {counts['not_comparable']} cannot be compared.",
        "The difference of the two totals is not the number of changes: a site may be missing from "
        "one half because it was tested too little there.",
    )


def claim_annex(blocked: pd.DataFrame, aside: pd.DataFrame, sites: pd.DataFrame) -> None:
    """Show how many sites are on the list, and how many with anomalies are not.

    Args:
        blocked: the contract's ``blocked_sites``.
        aside: the contract's ``set_aside``.
        sites: ``Study.domains``.
    """
    show_finding(
        1,
        f"{len(blocked)} names under {blocked['registrable_domain'].nunique()} registrable domains "
        "are blocked or likely blocked.",
        f"{(blocked['state'] == 'blocked').sum()} carry a trace that only blocking leaves; "
        f"{blocked['is_local'].sum()} belong to the country. {(sites['domain'] != '').sum():,} "
        "sites were tested.",
        f"{len(aside)} further sites have anomalies and are not listed; the reasons are below.",
    )


def claim_methods(compared: pd.DataFrame, counts: pd.DataFrame) -> None:
    """Show how many sites each method lists.

    Args:
        compared: ``differences.compare_methods``.
        counts: ``differences.count_methods``.
    """
    ours, theirs = counts["site_count"][0], counts["site_count"][1:]
    agreed = compared[list(METHODS)].all(axis=1).sum()
    show_finding(
        1,
        f"This method lists {ours} sites; the others list {theirs.min()} to {theirs.max()} on the "
        "same measurements.",
        f"{agreed} sites are on every list. {(~compared['this_method']).sum()} are on another list "
        "and not on this one; the reason for each is below.",
        "Which list is right cannot be read off here: that takes a country whose truth is known.",
        "6-validation.html",
    )


def claim_rule_change(flipped: pd.DataFrame) -> None:
    """Show what a changed rule does to the list.

    Args:
        flipped: ``differences.flips`` of the whole period.
    """
    listed, unlisted = (flipped[flipped["change"] == name] for name in ("listed", "unlisted"))
    show_finding(
        2,
        f"With this change {len(listed)} pairs of site and network come on the list, and "
        f"{len(unlisted)} leave it.",
        f"The former are pairs of {listed['domain'].nunique()} sites, the latter of "
        f"{unlisted['domain'].nunique()}; {len(flipped)} pairs change their state.",
        "An example of how to look, not a proposal.",
    )
