"""The headline numbers of a report, each made here alone, from tables.

A notebook hands those that it counts to ``run.json`` (``tables.record_findings``), where pages,
sentences and other commands read them. A number has one name everywhere.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.reference.networks import DOMESTIC
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
