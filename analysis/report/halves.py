"""One half of the period against the other, on networks that can be compared."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.period import Period
from analysis.reference.networks import DOMESTIC
from analysis.study import measurement_counts
from analysis.study.study import Study
from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.vocabulary import LISTED


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


def compare_halves(study: Study, verdicts: pd.DataFrame, networks: pd.DataFrame) -> Halves:
    """Compare what was measured and listed in the halves of a study.

    Args:
        study: its observations and its periods.
        verdicts, networks: the contract's.
    """
    sites = study.domains()
    local = set(sites.loc[sites["is_local"], "domain"])
    measured = measurement_counts.count_in_periods(study.connection, study.periods)
    tests = measurement_counts.count_in_halves(study.connection, study.periods)
    return Halves(
        semesters=count_semesters(measured, study.periods, verdicts, networks, local),
        changes=compare_semesters(verdicts, networks, local),
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
    """The contract's ``semesters``: one row per period (all, first, second).

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
                "since": period.since.isoformat(),
                "until": period.until.isoformat(),
                "measurement_count": measured[name]["measurement_count"],
                "domain_count": measured[name]["domain_count"],
                "network_count": len(asns),
                "operator_count": len({operators.get(asn) or asn for asn in asns}),
                "blocked_domain_count": len(domains),
                "blocked_local_domain_count": len(domains & local_domains),
            }
        )
    return pd.DataFrame(rows)


def listed_domestic(verdicts: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``verdicts`` that the annex rests on: listed, on a domestic network."""
    domestic = set(networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"])
    return verdicts[verdicts["state"].isin(LISTED) & verdicts["probe_asn"].isin(domestic)]


def compare_semesters(
    verdicts: pd.DataFrame, networks: pd.DataFrame, local_domains: set[str]
) -> pd.DataFrame:
    """The contract's ``semester_changes``: one row per site listed in any period.

    A network counts where its tests meet the evidence floor in both halves and show the site
    blocked or open in each: what is not working for another reason cannot say that a block was
    lifted. Where such networks disagree the change is *mixed*; where there is none it is
    *not_comparable*, and the note says why.
    """
    domains = sorted(set(listed_domestic(verdicts, networks)["domain"]))
    domestic = set(networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"])
    cells = verdicts[
        verdicts["domain"].isin(domains)
        & verdicts["probe_asn"].isin(domestic)
        & verdicts["period"].isin(["first", "second"])
    ]
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    halves = cells.pivot(index=["domain", "probe_asn"], columns="period", values="state")
    halves = halves.reindex(columns=["first", "second"])
    counts = cells.groupby(["domain", "period"])["measurement_count"].sum()
    tested = set(cells["domain"])
    halves = halves.astype(object).where(halves.notna(), None)
    states: dict[str, dict[str, tuple[str | None, str | None]]] = {site: {} for site in domains}
    for (domain, asn), first, second in halves.itertuples():
        states[domain][asn] = (first, second)
    count_of = counts.to_dict()
    rows = [
        _change_of(domain, states[domain], count_of, names, domain in local_domains)
        for domain in domains
        if domain in tested
    ]
    return pd.DataFrame(
        rows,
        columns=[
            "domain", "is_local", "change", "first_state", "second_state",
            "first_measurement_count", "second_measurement_count", "matched_networks", "note",
        ],
    )  # fmt: skip


def count_panel(
    verdicts: pd.DataFrame, networks: pd.DataFrame, local_domains: set[str]
) -> pd.DataFrame:
    """Listed sites among those that meet the floor in both halves on one access network.

    Returns:
        One row per half: ``period, domain_count`` (the panel), ``blocked_domain_count,
        blocked_local_domain_count``; only the matched pairs of site and network are read.
    """
    domestic = set(networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"])
    told = verdicts[
        verdicts["probe_asn"].isin(domestic)
        & verdicts["period"].isin(["first", "second"])
        & (verdicts["state"] != "insufficient")
    ]
    matched = told[told.duplicated(["domain", "probe_asn"], keep=False)]
    rows = []
    for period, cells in matched.groupby("period", sort=True):
        listed = set(cells.loc[cells["state"].isin(LISTED), "domain"])
        rows.append((period, cells["domain"].nunique(), len(listed), len(listed & local_domains)))
    columns = ["period", "domain_count", "blocked_domain_count", "blocked_local_domain_count"]
    return pd.DataFrame(rows, columns=columns)


def _change_of(
    domain: str,
    states: Mapping[str, tuple[str | None, str | None]],
    counts: Mapping[Hashable, int],
    names: Mapping[str, str],
    is_local: bool,
) -> dict[str, object]:
    """One site's row; ``states`` are those of the halves by network, None where not tested."""
    changes = {}
    for asn, (first, second) in states.items():
        if first in LISTED and second in LISTED:
            changes[asn] = "still_blocked"
        elif first in LISTED and second == "ok":
            changes[asn] = "no_longer_blocked"
        elif first == "ok" and second in LISTED:
            changes[asn] = "newly_blocked"
    kinds, pairs = set(changes.values()), list(states.values())
    change = "not_comparable" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"
    return {
        "domain": domain,
        "is_local": is_local,
        "change": change,
        "first_state": _strongest(first for first, _ in pairs),
        "second_state": _strongest(second for _, second in pairs),
        "first_measurement_count": int(counts.get((domain, "first"), 0)),
        "second_measurement_count": int(counts.get((domain, "second"), 0)),
        "matched_networks": ";".join(sorted(changes)),
        "note": _why_not(pairs) if change == "not_comparable" else _who(changes, names, change),
    }


def _strongest(states: Iterable[str | None]) -> str:
    seen = set(states)
    return next((state for state in STATES_BY_STRENGTH if state in seen), "")


def _why_not(states: Sequence[tuple[str | None, str | None]]) -> str:
    """Why no network can be compared, in words."""
    if all(first is None for first, _ in states):
        return "not tested in the first semester"
    if all(second is None for _, second in states):
        return "not tested in the second semester"
    if all({None, "insufficient"}.intersection(pair) for pair in states):
        return "no network has enough tests that agree in both semesters"
    return "where it was blocked in one semester, the other shows neither blocking nor access"


def _who(changes: Mapping[str, str], names: Mapping[str, str], change: str) -> str:
    if change != "mixed":
        return ""
    words = {"still_blocked": "still blocked", "newly_blocked": "newly blocked",
             "no_longer_blocked": "no longer blocked"}  # fmt: skip
    return "; ".join(f"{names.get(asn) or asn}: {words[changes[asn]]}" for asn in sorted(changes))


def compare_networks(counts: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """The contract's ``network_changes``: which networks measured in which half.

    Args:
        counts: ``probe_asn, first_measurement_count, second_measurement_count``.
        networks: the contract's ``networks``.
    """
    table = counts.merge(networks[["probe_asn", "network"]], on="probe_asn", how="left")
    has_first, has_second = (table[f"{half}_measurement_count"] > 0 for half in ("first", "second"))
    table["change"] = "both"
    table.loc[has_first & ~has_second, "change"] = "only_first"
    table.loc[~has_first & has_second, "change"] = "only_second"
    return table
