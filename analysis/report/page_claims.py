"""The findings of the pages: what each claims, how to read it, what to beware of.

A notebook calls one of these at the head of its page, on the tables that it has just made.
"""

import pandas as pd

from analysis.pages.formats import numbered, percent
from analysis.pages.show import show_finding
from analysis.report.charts import flagged
from analysis.report.headlines import Numbers, count_methods
from analysis.vocabulary import METHODS


def claim_coverage(numbers: Numbers, months: pd.DataFrame) -> None:
    """Show how much was measured, and what OONI flags of it.

    Args:
        numbers: of ``headlines.count_measured``.
        months: the contract's ``measurements_by_month``.
    """
    flags = flagged(months)
    show_finding(
        "coverage",
        numbered(
            "{measurement_count} measurements of {domain_count} sites came from {network_count} "
            "networks, {access_network_count} of them access networks of the country.",
            **numbers,
        ),
        f"OONI flags {flags:,} of them ({percent(flags / numbers['measurement_count'])}) as "
        f"anomalous or confirmed; {months['failure_count'].sum():,} failed and say nothing.",
        "A measurement is one test, not one person: a few probes make most of them. "
        "Verdicts therefore count independent sessions, not rows.",
    )


def claim_verdicts(numbers: Numbers) -> None:
    """Show how many sites were found blocked, of how many pairs that were judged.

    Args:
        numbers: of ``headlines.count_verdicts``.
    """
    show_finding(
        "verdicts",
        numbered(
            "{blocked_domain_count} sites were blocked or likely blocked on "
            "{blocking_network_count} of the country's access networks: "
            "{listed_access_pair_count} pairs of site and network.",
            **numbers,
        ),
        numbered(
            "{judged_access_pair_count} pairs of a site and an access network were tested; "
            "{ok_access_pair_count} are reachable, and {unsettled_access_pair_count} are not "
            "settled: on {disagreeing_access_pair_count} of these the tests disagree, on the "
            "others too little was tested. {other_pair_count} pairs on VPNs, hosting and "
            "foreign networks were tested as well and put no site on the list.",
            **numbers,
        ),
        "Observed on a network is not ordered by it: an answer may come from a resolver or a path "
        "that another operator runs.",
    )


def claim_changes(numbers: Numbers) -> None:
    """Show what is listed in each half, and what changed.

    Args:
        numbers: of ``headlines.count_halves``.
    """
    show_finding(
        "changes",
        numbered(
            "{blocked_domain_count_first} sites were listed in the first half and "
            "{blocked_domain_count_second} in the second; {newly_blocked_count} are newly blocked "
            "and {no_longer_blocked_count} no longer.",
            **numbers,
        ),
        numbered(
            "{still_blocked_count} are still blocked, on {mixed_count} the networks disagree, and "
            "{not_comparable_count} cannot be compared.",
            **numbers,
        ),
        "The difference of the two totals is not the number of changes: a site may be missing from "
        "one half because it was tested too little there.",
    )


def claim_methods(compared: pd.DataFrame, counts: pd.DataFrame) -> None:
    """Show how many sites each method lists.

    Args:
        compared: ``differences.compare_methods``.
        counts: ``differences.count_methods``.
    """
    ours, theirs = counts["site_count"][0], counts["site_count"][1:]
    show_finding(
        "methods",
        numbered(
            "This method lists {blocked_domain_count} sites; the others list {least} to {most} on "
            "the same measurements.",
            blocked_domain_count=ours, least=theirs.min(), most=theirs.max(),
        ),
        numbered(
            "{agreed} sites are on every list. {other_methods_only_count} are on another list and "
            "not on this one; the reason for each is below.",
            agreed=compared[list(METHODS)].all(axis=1).sum(), **count_methods(compared),
        ),
        "Which list is right cannot be read off here: that takes a country whose truth is known.",
        "6-validation.html",
    )  # fmt: skip


def claim_sweep(swept: pd.DataFrame) -> None:
    """Show how much of the list stays whatever single number is changed.

    Args:
        swept: ``sensitivity.sweep``.
    """
    standing, pairs = swept[swept["is_standing"]].iloc[0], swept["blocked_pair_count"]
    listed = standing["blocked_domain_count"]
    lost, gained = (
        {site for sites in swept[name] for site in sites.split(";") if site}
        for name in ("lost", "gained")
    )
    most = swept.iloc[int(swept["lost_count"].argmax())]
    takes_most = numbered(
        "{threshold} at {value} takes most of them away: {lost}. ",
        threshold=most["threshold"], value=f"{most['value']:g}", lost=most["lost_count"],
    )  # fmt: skip
    show_finding(
        "sweep",
        numbered(
            "{steady} of {listed} sites stay on the list whatever single number is changed.",
            steady=listed - len(lost), listed=listed,
        ),
        (takes_most if lost else "") + numbered(
            "Sites that come on it with one change or another: {gained}. Of sites and networks "
            "{pairs} pairs are listed, and {least} to {most} with a change.",
            gained=len(gained), pairs=standing["blocked_pair_count"], least=pairs.min(),
            most=pairs.max(),
        ),
        "Two numbers changed at once are not tried.",
    )  # fmt: skip


def claim_rule_change(flipped: pd.DataFrame) -> None:
    """Show what a changed rule does to the list.

    Args:
        flipped: ``differences.compare_verdicts`` of the whole period.
    """
    listed, unlisted = (flipped[flipped["change"] == name] for name in ("listed", "unlisted"))
    show_finding(
        "rule-change",
        f"With this change {len(listed)} pairs of site and network come on the list, and "
        f"{len(unlisted)} leave it.",
        f"The former are pairs of {listed['domain'].nunique()} sites, the latter of "
        f"{unlisted['domain'].nunique()}; {len(flipped)} pairs change their state.",
        "An example of how to look, not a proposal.",
    )
