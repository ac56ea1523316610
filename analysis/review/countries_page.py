"""Reports of several countries on one page: in the order of the alphabet, and why in no other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.hosts import is_placeholder
from analysis.languages.language import ENGLISH
from analysis.pages.formats import link, macros
from analysis.pages.html_tables import render_table
from analysis.pages.rendering import Edition, PageContext, Section, SetItem, write_alone
from analysis.pages.replacing import published
from analysis.reference.reference_files import REPOSITORY, country_name, is_fictional
from analysis.reference.withheld import load_withheld
from analysis.report.annex import on_access_networks
from analysis.review.reports import Report, check_tables, read_report
from analysis.study.lineage import Lineage
from analysis.tables import read_table, write_table
from analysis.verdicts.floors import wilson_bounds
from analysis.verdicts.states import strength
from analysis.vocabulary import LISTED

#: Keys of ``run.json`` that must be equal before two reports are compared.
_SAME = ("rules_version", "code_version", "changed_thresholds", "method", "variant")
_READ = ("verdicts", "networks", "measurements_by_month")
_PAGE = "index.html"
_SHOWN_SITES = 60


def hold_side_by_side(folders: Sequence[Path], out: Path | None) -> Path:
    """Make the page of some reports, and return it.

    Args:
        folders: of the reports, one a country.
        out: the folder of the page; by default one that names countries and period.

    Raises:
        ParameterError: fewer than two reports, they cannot be compared, or ``out`` holds something
            else.
    """
    if len(folders) < 2:
        raise ParameterError("REPORT", folders[0], "two folders or more are accepted")
    reports = [read_report(folder.resolve(), "REPORT") for folder in folders]
    reports.sort(key=lambda report: report.probe_cc)
    _check_comparable(reports)
    first, codes = reports[0], [report.probe_cc for report in reports]
    if out is None:
        out = REPOSITORY / "reports" / "side-by-side" / "-".join(codes).lower() / str(first.period)
    tables, lineage = compare_countries(reports), Lineage.read(first.run)
    page = PageContext(
        country=ENGLISH.listed(sorted(map(country_name, codes))),
        period=first.period.in_words,
        status=str(first.run.get("status", "")),
        data_date=first.period.last_day,
        method_changes=tuple((edit, "") for edit in lineage.edits) if lineage else (),
    )
    with published(out, "reports") as build:
        written = {name: write_table(build.tables, name, frame) for name, frame in tables.items()}
        sections = _show(written)
        item = SetItem(_PAGE, "Countries side by side", "")
        write_alone(build.folder, Edition(page, ""), item, sections)
        parameters = {"since": str(first.period.since), "until": str(first.period.until)}
        build.run = {
            "parameters": {"probe_cc": ",".join(codes), **parameters},
            **{name: first.run.get(name) for name in _SAME},
            "reports": {report.probe_cc: report.digest for report in reports},
        }
    return out.resolve() / _PAGE


def _check_comparable(reports: Sequence[Report]) -> None:
    """Refuse reports whose numbers cannot stand side by side."""
    first, codes = reports[0], [report.probe_cc for report in reports]
    for position, report in enumerate(reports):
        if report.probe_cc in codes[:position]:
            accepted = f"is a second report of {country_name(report.probe_cc)}; one is accepted"
            raise ParameterError("REPORT", report.folder, accepted)
        if report.period != first.period:
            accepted = f"is of {report.period}; {first.period} is accepted, as of {first.folder}"
            raise ParameterError("REPORT", report.folder, accepted)
        for name in _SAME:
            if report.run.get(name) != first.run.get(name):
                accepted = f"has another {name} than {first.folder}; make both with one method"
                raise ParameterError("REPORT", report.folder, accepted)
        check_tables(report, _READ, "REPORT")


def compare_countries(reports: Sequence[Report]) -> dict[str, pd.DataFrame]:
    """Return the contract's tables of countries side by side, by name.

    Args:
        reports: one a country, of one method and period.

    Raises:
        ParameterError: a report has no tables, or they are not as the workbook writes them.
    """
    pairs = pd.concat([_read_pairs(report) for report in reports], ignore_index=True)
    told_in = pairs[pairs["is_told"]].groupby("domain")["probe_cc"].nunique()
    common = told_in.index[told_in == len(reports)]
    pairs = pairs.assign(is_common=pairs["domain"].isin(common))
    countries = pd.DataFrame([_count_country(report, pairs) for report in reports])
    return {
        "side_by_side": _add_shares(countries),
        "side_by_side_mechanisms": _count_mechanisms(pairs),
        "side_by_side_sites": _list_sites(pairs),
    }


def _read_pairs(report: Report) -> pd.DataFrame:
    """Return each site on each access network, over the whole period: a row of ``verdicts``.

    What stands for a withheld name in two countries stands for two sites.
    """
    withheld = load_withheld(report.probe_cc)
    networks = read_table(report.tables, "networks")
    verdicts = read_table(report.tables, "verdicts")
    pairs = on_access_networks(verdicts[verdicts["period"] == "all"], networks)
    names = pairs["domain"].map(withheld.mask)
    own = report.probe_cc.lower() + "." + names
    return pairs.assign(
        domain=names.where(~names.map(is_placeholder).astype(bool), own),
        probe_cc=report.probe_cc,
        is_listed=pairs["state"].isin(LISTED),
        is_told=pairs["state"] != "insufficient",
    )


def _count_country(report: Report, pairs: pd.DataFrame) -> dict[str, Any]:
    is_own = pairs["probe_cc"] == report.probe_cc
    own, elsewhere = pairs[is_own], pairs[~is_own]
    listed, of_common = own[own["is_listed"]], own[own["is_common"]]
    months = read_table(report.tables, "measurements_by_month")
    networks = read_table(report.tables, "networks")
    access = on_access_networks(networks, networks)
    tests = int(access["measurement_count"].sum())
    return {
        "probe_cc": report.probe_cc,
        "country": country_name(report.probe_cc),
        "is_fictional": is_fictional(report.probe_cc),
        "since": report.period.since,
        "until": report.period.until,
        "measurement_count": int(months["measurement_count"].sum()),
        "access_measurement_count": tests,
        "month_count": sum(1 for _ in report.period.months()),
        "tested_month_count": int((months["measurement_count"] > 0).sum()),
        "network_count": len(access),
        "largest_network_share": access["measurement_count"].max() / tests if tests else None,
        "domain_count": own["domain"].nunique(),
        "own_domain_count": len({*own["domain"]} - {*elsewhere["domain"]}),
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


def _add_shares(countries: pd.DataFrame) -> pd.DataFrame:
    """Return the counts with their shares; a share of 0 is empty."""
    hits, total = countries["common_blocked_domain_count"], countries["common_domain_count"]
    low, high = wilson_bounds(hits, total)

    def share(part: str, of: str) -> pd.Series:
        return countries[part] / countries[of].where(countries[of] > 0)

    return countries.assign(
        common_blocked_share=share("common_blocked_domain_count", "common_domain_count"),
        common_blocked_pair_share=share("common_blocked_pair_count", "common_pair_count"),
        common_blocked_share_low=low,
        common_blocked_share_high=high,
        blocked_measurement_share=share("blocked_count", "access_measurement_count"),
        blocked_domain_share=share("blocked_domain_count", "domain_count"),
        told_pair_share=share("told_pair_count", "pair_count"),
    )


def _count_mechanisms(pairs: pd.DataFrame) -> pd.DataFrame:
    """Count the listed pairs by mechanism and country, with their share of the country's."""
    listed = pairs[pairs["is_listed"]]
    counts = listed.groupby(["mechanism", "probe_cc"]).size().rename("pair_count").reset_index()
    of_country = counts.groupby("probe_cc")["pair_count"].transform("sum")
    return counts.assign(pair_share=counts["pair_count"] / of_country)


def _list_sites(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return each listed site, in every country that tested it."""
    cells = pairs[pairs["domain"].isin(pairs.loc[pairs["is_listed"], "domain"])]
    ranked = cells.assign(
        rank=strength(cells["state"]), listed_mechanism=cells["mechanism"].where(cells["is_listed"])
    ).sort_values("rank")
    sites = ranked.groupby(["domain", "probe_cc"]).agg(
        state=("state", "first"),
        network_count=("state", "size"),
        blocked_network_count=("is_listed", "sum"),
        mechanisms=("listed_mechanism", lambda names: ";".join(sorted(set(names.dropna())))),
        is_common=("is_common", "first"),
    )
    return sites.reset_index()


#: Each table of the page, a row a country: what it shows, column → heading, how it is read.
_COMMON = (
    "The sites of which something can be said in every country",
    {
        "country": "Country",
        "common_blocked_domain_count": "Blocked of these",
        "common_domain_count": "Sites tested enough in all",
        "common_blocked_share": "Share",
        "common_blocked_share_low": "Lower 95 % bound",
        "common_blocked_share_high": "Upper 95 % bound",
        "common_blocked_pair_share": "Share of pairs with a network",
    },
    "Blocked: on at least one access network. A country in which more networks were tested has "
    "more chances for that; the last column counts each network for itself.",
)
_RATES = (
    "Blocked tests and sites",
    {
        "country": "Country",
        "blocked_per_thousand": "Blocked tests of 1,000",
        "access_measurement_count": "Tests on access networks",
        "blocked_domain_count": "Sites blocked",
        "domain_count": "Sites tested",
        "blocked_domain_share": "Sites blocked, share of tested",
    },
    "A blocked test is one of a pair of site and network that the report lists. Who tests chiefly "
    "what is known to be blocked finds more of it: these rates depend on the lists that volunteers "
    "ran, the table above does not.",
)
_NETWORKS = (
    "Access networks and pairs",
    {
        "country": "Country",
        "blocked_network_count": "Access networks that block",
        "network_count": "Access networks tested",
        "blocked_pair_count": "Pairs blocked",
        "told_pair_count": "Pairs with a conclusion",
    },
)
_TESTED = (
    "What was tested",
    {
        "country": "Country",
        "measurement_count": "Tests",
        "tested_month_count": "Months with tests",
        "month_count": "Months",
        "network_count": "Access networks tested",
        "largest_network_share": "Tests on the busiest of them",
        "domain_count": "Sites tested",
        "own_domain_count": "Tested in no other country",
        "told_pair_share": "Pairs with a conclusion, share",
    },
)


def _show(tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """Return the sections of the page, each with its heading.

    Args:
        tables: of ``compare_countries``, as they were written.
    """
    countries = tables["side_by_side"].sort_values("country", ignore_index=True)
    per_thousand = (1000 * countries["blocked_measurement_share"]).round(1)
    rates = countries.assign(blocked_per_thousand=per_thousand)
    methods = _show_methods(countries, tables["side_by_side_mechanisms"])
    files = [link(f"tables/{name}.csv", f"{name}.csv") for name in tables]
    form = macros("side_by_side.html.j2")
    cautions = Markup(form.cautions(**_find_cautions(countries)))
    return [
        ("", Markup(form.opening(**_describe_opening(countries)))),
        ("The same sites in every country", _show_table(countries, *_COMMON)),
        ("For as many tests", _show_table(rates, *_RATES)),
        ("Networks and methods", _show_table(countries, *_NETWORKS) + methods),
        ("Sites", _show_sites(countries, tables["side_by_side_sites"])),
        ("How far they can be compared", cautions + _show_table(countries, *_TESTED)),
        ("How to read this", Markup(form.how_to_read(files))),
    ]


def _show_table(
    frame: pd.DataFrame, caption: str, headings: Mapping[str, str], note: str = ""
) -> Markup:
    """Return a table of the columns that have headings, without folded rows."""
    return render_table(frame[list(headings)], caption, note, len(frame) or 1, headings)


def _describe_opening(countries: pd.DataFrame) -> dict[str, Any]:
    """Return the values of the opening: what is compared, and which countries are fictional."""
    rows: list[Any] = list(countries.itertuples(index=False))
    made_up = [row.country for row in rows if row.is_fictional]
    return {
        "common": int(rows[0].common_domain_count),
        "shares": [
            f"{row.country} {row.common_blocked_domain_count} "
            f"({ENGLISH.share(row.common_blocked_share)})"
            for row in rows
            if row.common_domain_count
        ],
        "made_up": made_up if len(made_up) < len(rows) else [],
    }


def _show_methods(countries: pd.DataFrame, mechanisms: pd.DataFrame) -> Markup:
    """Return the methods of blocking: a row a method, a column a country that lists a pair."""
    listed = countries[countries["blocked_pair_count"] > 0]
    shares = mechanisms.pivot(index="mechanism", columns="probe_cc", values="pair_share")
    shares = shares.reindex(columns=list(listed["probe_cc"])).fillna(0.0).add_suffix("_share")
    return _show_table(
        shares.reset_index(),
        "Methods of blocking",
        {"mechanism": "", **_name_columns(listed, "_share")},
        "Of the listed pairs of each country, the share in which each method was seen. A country "
        "without a listed pair has no column.",
    )


def _name_columns(countries: pd.DataFrame, suffix: str) -> dict[str, str]:
    """Return the name of each country's column."""
    return dict(zip(countries["probe_cc"] + suffix, countries["country"], strict=True))


def _show_sites(countries: pd.DataFrame, sites: pd.DataFrame) -> Markup:
    """Return the listed sites: a row a site, a column a country, those that most countries list
    first.
    """
    states = sites.pivot(index="domain", columns="probe_cc", values="state")
    states = states.reindex(columns=list(countries["probe_cc"])).fillna("").add_suffix("_state")
    is_blocked = sites["blocked_network_count"] > 0
    frame = states.assign(
        country_count=is_blocked.groupby(sites["domain"]).sum().astype("int64"),
        is_common=sites.groupby("domain")["is_common"].any().astype(bool),
    ).reset_index()
    frame = frame.sort_values(
        ["country_count", "is_common", "domain"], ascending=[False, False, True]
    )
    headings = {
        **_name_columns(countries, "_state"),
        "country_count": "Countries that block",
    }
    return render_table(
        frame,
        "Sites that at least one of the countries blocks",
        "The strongest state on any access network of the country.",
        _SHOWN_SITES,
        headings,
        file="side_by_side_sites.csv",
    )


def _find_cautions(countries: pd.DataFrame) -> dict[str, Any]:
    """Return the differences in what was tested in these countries."""
    by_tests = countries.sort_values("measurement_count", kind="stable")
    fewest, most = by_tests.iloc[0], by_tests.iloc[-1]
    times = most["measurement_count"] / max(fewest["measurement_count"], 1)
    names = countries["country"]
    return {
        "more": most["country"],
        "fewer": fewest["country"],
        "times": round(times) if fewest["measurement_count"] and times >= 2 else 0,
        "few_months": list(names[countries["tested_month_count"] < countries["month_count"]]),
        "few_told": list(names[countries["told_pair_share"] < 0.5]),
        "one_network": list(names[countries["largest_network_share"] > 0.5]),
    }
