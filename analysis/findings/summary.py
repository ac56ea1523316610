"""The content of the report's first page: every number read from a published table."""

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.findings.annex import count_blocking_networks
from analysis.period import Period
from analysis.reference.networks import DOMESTIC
from analysis.tables import read_table
from analysis.vocabulary import MECHANISMS


def summarise(tables: str | Path, *, country: str, period: Period) -> dict[str, Any]:
    """The answer, the big numbers, the findings and what is not known.

    Args:
        tables: the folder with all tables of the report.
        country: its name.
        period: the whole period.

    Returns:
        ``rendering.Summary``.
    """
    names = ("measurements_by_month", "verdicts", "blocked_sites", "networks", "semesters",
             "semester_changes", "set_aside", "objects_not_read")  # fmt: skip
    read = {name: read_table(tables, name) for name in names}
    blocked, semesters = read["blocked_sites"], read["semesters"].set_index("period")
    whole = semesters.loc["all"]
    registrable = blocked["registrable_domain"].nunique()
    answer = (
        f"From {period.in_words}, {len(blocked)} of {whole['domain_count']:,} "
        f"tested sites in {country} were blocked or likely blocked on at least one of the "
        "country's access networks."
    )
    return {
        "answer": answer,
        "numbers": _numbers(read, whole, registrable),
        "findings": _findings(read, semesters),
        "unknowns": _unknowns(read),
    }


def _numbers(read: dict[str, pd.DataFrame], whole: Any, registrable: int) -> list[dict[str, Any]]:
    blocked = read["blocked_sites"]
    access = read["networks"][read["networks"]["kind"].isin(DOMESTIC)]
    return [
        {
            "value": len(blocked),
            "label": f"names blocked or likely blocked, under {registrable} registrable domains",
            "caveat": f"of {whole['domain_count']:,} names tested",
        },
        {
            "value": int(blocked["is_local"].sum()),
            "label": "of them belong to the country",
            "caveat": "by its top-level domain, its test list, or a sourced list",
        },
        {
            "value": count_blocking_networks(read["networks"]),
            "label": "access networks on which a site was seen blocked",
            "caveat": f"of {len(access)} that measured; "
            f"{len(read['networks']) - len(access)} others are VPNs, hosting or abroad",
        },
        {
            "value": int(whole["measurement_count"]),
            "label": "measurements",
            "caveat": "each is one test, not one person",
        },
    ]


def _findings(read: dict[str, pd.DataFrame], semesters: pd.DataFrame) -> list[dict[str, str]]:
    return [
        _finding_how(read["blocked_sites"]),
        _finding_who(read["networks"]),
        _finding_change(read["semester_changes"], semesters),
        _finding_aside(read["set_aside"]),
    ]


def _finding_how(blocked: pd.DataFrame) -> dict[str, str]:
    mechanisms = blocked["mechanisms"].str.split(";").explode()
    counts = mechanisms[mechanisms != ""].value_counts()
    top = ", ".join(
        f"{MECHANISMS[str(name)].replace(':', '')} ({count} {'site' if count == 1 else 'sites'})"
        for name, count in counts.head(3).items()
    )
    return {
        "claim": f"Sites are blocked in {len(counts)} ways"
        + (f"; most often: {top}." if top else "."),
        "reading": f"{int((blocked['state'] == 'blocked').sum())} of {len(blocked)} carry a trace "
        "that only blocking leaves: a block page, a sinkhole, or an address no site can have.",
        "caveat": "A site may be blocked in different ways on different networks.",
        "evidence_page": "2-confirmation.html",
    }


def _finding_who(networks: pd.DataFrame) -> dict[str, str]:
    ranked = networks[networks["rank"].notna()]
    top = ranked.sort_values(["rank", "probe_asn"]).head(3)
    words = "; ".join(
        f"{row.network} ({row.probe_asn}), {row.blocked_domain_count}"
        for row in top.itertuples()
        if row.blocked_domain_count
    )
    access = networks[networks["kind"].isin(DOMESTIC)]
    none = int((access["blocked_domain_count"] == 0).sum())
    return {
        "claim": f"The networks with the most blocked sites: {words}."
        if words
        else "No site was seen blocked on an access network.",
        "reading": f"On {none} of {len(access)} access networks no site is listed; that may be for "
        "want of tests.",
        "caveat": "Observed on a network does not say who ordered or carried out the blocking.",
        "evidence_page": "4-blocked-sites.html",
    }


def _finding_change(changes: pd.DataFrame, semesters: pd.DataFrame) -> dict[str, str]:
    counts = changes["change"].value_counts()
    return {
        "claim": f"Between the halves {counts.get('newly_blocked', 0)} sites became blocked and "
        f"{counts.get('no_longer_blocked', 0)} were no longer blocked; "
        f"{counts.get('still_blocked', 0)} stayed blocked.",
        "reading": f"The first half lists {semesters.loc['first', 'blocked_domain_count']} sites, "
        f"the second {semesters.loc['second', 'blocked_domain_count']}.",
        "caveat": f"{counts.get('not_comparable', 0)} sites cannot be compared, and on "
        f"{counts.get('mixed', 0)} the networks disagree.",
        "evidence_page": "3-semester-comparison.html",
    }


def _finding_aside(aside: pd.DataFrame) -> dict[str, str]:
    dead = int((aside["reason"] == "name_does_not_exist").sum())
    down = int((aside["reason"] == "down").sum())
    return {
        "claim": f"{len(aside)} sites with anomalies are not listed.",
        "reading": f"{dead} of them are names that do not exist, {down} were down for the control "
        "too; the annex gives the reason for each.",
        "caveat": "Being set aside says nothing about whether a site is accessible.",
        "evidence_page": "4-blocked-sites.html",
    }


def _unknowns(read: dict[str, pd.DataFrame]) -> list[str]:
    whole = read["verdicts"][read["verdicts"]["period"] == "all"]
    thin = int((whole["state"] == "insufficient").sum())
    unknowns = [
        f"{thin:,} of {len(whole):,} tested pairs of site and network have too few tests, or "
        "tests that disagree, for any statement.",
        "Sites that nobody tested, and networks on which nobody measured, are not in this report.",
        "Who ordered a block, and why, cannot be measured.",
    ]
    if len(read["objects_not_read"]):
        unknowns.append(
            f"{len(read['objects_not_read'])} objects of the archive could not be read; what they "
            "hold is missing."
        )
    return unknowns
