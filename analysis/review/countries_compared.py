"""What can be compared of countries: counts for as many tests, and of the sites that all tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.reference.countries import country_name, is_fictional
from analysis.reference.networks import DOMESTIC
from analysis.review.reports import Report
from analysis.tables import read_table
from analysis.verdicts.states import strength, wilson_bounds
from analysis.vocabulary import LISTED

#: What must be the same for numbers of two reports to stand side by side.
_SAME = ("rules_version", "code_version", "changed_thresholds")


@dataclass(frozen=True)
class Comparison:
    """The contract's tables of countries side by side.

    Attributes:
        countries: ``side_by_side``, a row a country.
        mechanisms: ``side_by_side_mechanisms``, a row a country and mechanism.
        sites: ``side_by_side_sites``, a row a country and site that one of them lists.
    """

    countries: pd.DataFrame
    mechanisms: pd.DataFrame
    sites: pd.DataFrame


def check_comparable(reports: Sequence[Report]) -> None:
    """Refuse reports whose numbers cannot stand side by side.

    Raises:
        ParameterError: two are of one country, of two periods, or made by two methods.
    """
    first, codes = reports[0], [report.probe_cc for report in reports]
    for place, report in enumerate(reports):
        if report.probe_cc in codes[:place]:
            accepted = f"is a second report of {country_name(report.probe_cc)}; one is accepted"
            raise ParameterError("REPORT", report.folder, accepted)
        if report.period != first.period:
            accepted = f"is of {report.period}; {first.period} is accepted, as of the first"
            raise ParameterError("REPORT", report.folder, accepted)
        for name in _SAME:
            if report.run.get(name) != first.run.get(name):
                accepted = f"has another {name} than {first.folder}; make both with one method"
                raise ParameterError("REPORT", report.folder, accepted)


def compare_countries(
    reports: Sequence[Report], failed: Mapping[str, str] | None = None
) -> Comparison:
    """Hold reports of one method and period side by side.

    Args:
        reports: one a country; see ``check_comparable``.
        failed: code of a country without a report → why there is none.

    Raises:
        ParameterError: a report has no tables, or they are not as the workbook writes them.
    """
    pairs = pd.concat([_read_pairs(report) for report in reports], ignore_index=True)
    told_in = pairs[pairs["is_told"]].groupby("domain")["probe_cc"].nunique()
    common = told_in.index[told_in == len(reports)]
    pairs = pairs.assign(is_common=pairs["domain"].isin(common))
    rows = [_count_country(report, pairs) for report in reports]
    for code, why in (failed or {}).items():
        rows.append({**_named(code), "has_report": False, "why": why, "since": "", "until": ""})
    countries = pd.DataFrame(rows).sort_values("probe_cc", ignore_index=True)
    return Comparison(_with_shares(countries), _count_mechanisms(pairs), _list_sites(pairs))


def _read_pairs(report: Report) -> pd.DataFrame:
    """Each site on each access network, over the whole period: a row of ``verdicts``."""
    networks = read_table(report.tables, "networks")
    verdicts = read_table(report.tables, "verdicts")
    access = networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"]
    pairs = verdicts[(verdicts["period"] == "all") & verdicts["probe_asn"].isin(access)]
    return pairs.assign(
        probe_cc=report.probe_cc,
        is_listed=pairs["state"].isin(LISTED),
        is_told=pairs["state"] != "insufficient",
    )


def _count_country(report: Report, pairs: pd.DataFrame) -> dict[str, Any]:
    is_own = pairs["probe_cc"] == report.probe_cc
    own, others = pairs[is_own], pairs[~is_own]
    listed, of_common = own[own["is_listed"]], own[own["is_common"]]
    months = read_table(report.tables, "measurements_by_month")
    networks = read_table(report.tables, "networks")
    access = networks[networks["kind"].isin(DOMESTIC)]
    tests = int(access["measurement_count"].sum())
    return {
        **_named(report.probe_cc, report.run.get("is_fictional")),
        "has_report": True,
        "why": "",
        "since": str(report.period.since),
        "until": str(report.period.until),
        "measurement_count": int(months["measurement_count"].sum()),
        "access_measurement_count": tests,
        "month_count": sum(1 for _ in report.period.months()),
        "tested_month_count": int((months["measurement_count"] > 0).sum()),
        "network_count": len(access),
        "largest_network_share": access["measurement_count"].max() / tests if tests else None,
        "domain_count": own["domain"].nunique(),
        "own_domain_count": len({*own["domain"]} - {*others["domain"]}) if len(others) else None,
        "pair_count": len(own),
        "told_pair_count": int(own["is_told"].sum()),
        "blocked_pair_count": len(listed),
        "blocked_domain_count": listed["domain"].nunique(),
        "blocked_network_count": listed["probe_asn"].nunique(),
        "blocked_count": int(listed["blocked_count"].sum()),
        "common_pair_count": int(of_common["is_told"].sum()),
        "common_blocked_pair_count": int(of_common["is_listed"].sum()),
        "common_domain_count": pairs.loc[pairs["is_common"], "domain"].nunique(),
        "common_blocked_domain_count": listed.loc[listed["is_common"], "domain"].nunique(),
    }


def _named(code: str, fictional: object = None) -> dict[str, Any]:
    is_made_up = is_fictional(code) if fictional is None else bool(fictional)
    return {"probe_cc": code, "country": country_name(code), "is_fictional": is_made_up}


def _with_shares(countries: pd.DataFrame) -> pd.DataFrame:
    """Counts as whole numbers, empty where there is no report, and their shares."""
    counts = [name for name in countries if str(name).endswith("_count")]
    whole = countries.astype(dict.fromkeys(counts, "Int64"))
    hits, total = (
        whole[name].astype("float64")
        for name in ("common_blocked_domain_count", "common_domain_count")
    )
    low, high = wilson_bounds(hits, total)

    def share(part: str, of: str) -> pd.Series:
        of_all = whole[of].astype("float64")
        return whole[part].astype("float64") / of_all.where(of_all > 0)

    return whole.assign(
        common_blocked_share=share("common_blocked_domain_count", "common_domain_count"),
        common_blocked_pair_share=share("common_blocked_pair_count", "common_pair_count"),
        common_blocked_share_low=low,
        common_blocked_share_high=high,
        blocked_measurement_share=share("blocked_count", "access_measurement_count"),
        blocked_domain_share=share("blocked_domain_count", "domain_count"),
        told_pair_share=share("told_pair_count", "pair_count"),
    )


def _count_mechanisms(pairs: pd.DataFrame) -> pd.DataFrame:
    """By mechanism and country: listed pairs, and which share of the country's these are."""
    listed = pairs[pairs["is_listed"]]
    counts = listed.groupby(["mechanism", "probe_cc"]).size().rename("pair_count").reset_index()
    of_country = counts.groupby("probe_cc")["pair_count"].transform("sum")
    return counts.assign(pair_share=counts["pair_count"] / of_country)


def _list_sites(pairs: pd.DataFrame) -> pd.DataFrame:
    """Each site that a country lists, in every country that tested it."""
    cells = pairs[pairs["domain"].isin(pairs.loc[pairs["is_listed"], "domain"])]
    ranked = cells.assign(
        rank=strength(cells["state"]), listed_mechanism=cells["mechanism"].where(cells["is_listed"])
    ).sort_values("rank")
    sites = ranked.groupby(["domain", "probe_cc"]).agg(
        state=("state", "first"),
        network_count=("state", "size"),
        blocked_network_count=("is_listed", "sum"),
        mechanisms=("listed_mechanism", _joined),
        is_common=("is_common", "first"),
    )
    return sites.reset_index()


def _joined(names: pd.Series) -> str:
    return ";".join(sorted(set(names.dropna())))
