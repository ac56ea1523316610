"""The page of countries side by side: in the order of the alphabet, and why in no other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.languages.language import Heading, Language
from analysis.pages.formats import link
from analysis.pages.html_tables import blocks, render_table
from analysis.reference.networks import DOMESTIC
from analysis.reference.reference_files import country_name, is_fictional
from analysis.review.reports import Report
from analysis.tables import read_table
from analysis.verdicts.states import strength, wilson_bounds
from analysis.vocabulary import LISTED

#: What must be the same for numbers of two reports to stand side by side.
_SAME = ("rules_version", "code_version", "changed_thresholds")


@dataclass(frozen=True)
class SideBySide:
    """The contract's tables of countries side by side.

    Attributes:
        countries: ``side_by_side``, a row a country.
        mechanisms: ``side_by_side_mechanisms``, a row a country and mechanism.
        sites: ``side_by_side_sites``, a row a country and site that one of them lists.
    """

    countries: pd.DataFrame
    mechanisms: pd.DataFrame
    sites: pd.DataFrame


def check_side_by_side(reports: Sequence[Report]) -> None:
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
) -> SideBySide:
    """Hold reports of one method and period side by side.

    Args:
        reports: one a country; see ``check_side_by_side``.
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
    return SideBySide(_with_shares(countries), _count_mechanisms(pairs), _list_sites(pairs))


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


_SHOWN_SITES = 60
#: Files of the comparison, as a page leads to them.
_FILES = ("side_by_side.csv", "side_by_side_mechanisms.csv", "side_by_side_sites.csv")


def show_side_by_side(
    compared: SideBySide, links: Mapping[str, str], lang: Language
) -> list[tuple[str | Heading, Markup]]:
    """The sections of the page, each with its heading.

    Args:
        compared: what is compared.
        links: code of a country → where its report lies, from the page; without one, it has none.
        lang: of the words.
    """
    names = [country_name(code, lang) for code in compared.countries["probe_cc"]]
    every = compared.countries.assign(country=names).sort_values("country", ignore_index=True)
    made = every[every["has_report"]]
    return [
        ("", _show_opening(every, links, lang)),
        (lang.heading("The same sites in every country"), _show_common(made, lang)),
        (lang.heading("For as many tests"), _show_rates(made, lang)),
        (lang.heading("Networks and methods"), _show_networks(made, compared, lang)),
        (lang.heading("Sites"), _show_sites(made, compared, lang)),
        (lang.heading("How far they can be compared"), _show_coverage(made, lang)),
        (lang.heading("How to read this"), _say_how_to_read(lang)),
    ]


def _rows(countries: pd.DataFrame) -> Iterable[Any]:
    return countries.itertuples(index=False)


def _prose(lang: Language, *paragraphs: Markup) -> Markup:
    return Markup(blocks(lang).paragraphs(paragraphs))


def _show_opening(every: pd.DataFrame, links: Mapping[str, str], lang: Language) -> Markup:
    made, missing = every[every["has_report"]], every[~every["has_report"]]
    common = int(made["common_domain_count"].iloc[0])
    if common:
        shares = [
            lang.say(
                "{country} {blocked} ({share})",
                country=row.country,
                blocked=int(row.common_blocked_domain_count),
                share=lang.share(row.common_blocked_share),
            )
            for row in _rows(made)
        ]
        told = lang.html_plural(
            "{n} site was tested enough in every country to say something of it. Of these "
            "were blocked: {shares}.",
            "{n} sites were tested enough in every country to say something of them. Of these "
            "were blocked: {shares}.",
            common,
            shares=shares,
        )
    else:
        told = lang.html(
            "No site was tested enough in every country: what is blocked in one cannot "
            "be held against what is blocked in another."
        )
    said = [told]
    said += [
        lang.html("{country} has no report: {why}", country=row.country, why=row.why)
        for row in _rows(missing)
    ]
    made_up = made.loc[made["is_fictional"], "country"]
    if 0 < len(made_up) < len(made):
        said.append(
            lang.html("No such country exists: {countries}. It is simulated.",
                      countries=list(made_up))
        )  # fmt: skip
    leads = [
        Markup('<a href="{}">{}</a>').format(links[row.probe_cc], row.country)
        for row in _rows(made)
        if row.probe_cc in links
    ]
    if leads:
        said.append(lang.html("The reports: {reports}.", reports=leads))
    return _prose(lang, *said)


def _show_common(made: pd.DataFrame, lang: Language) -> Markup:
    return _show(
        made,
        lang,
        caption=lang.say("The sites of which something can be said in every country"),
        headings={
            "country": lang.say("Country"),
            "common_blocked_domain_count": lang.say("Blocked of these"),
            "common_domain_count": lang.say("Sites tested enough in all"),
            "common_blocked_share": lang.say("Share"),
            "common_blocked_share_low": lang.say("Lower 95 % bound"),
            "common_blocked_share_high": lang.say("Upper 95 % bound"),
            "common_blocked_pair_share": lang.say("Share of pairs with a network"),
        },
        note=lang.say(
            "Blocked: on at least one access network. A country in which more networks were tested "
            "has more chances for that; the last column counts each network for itself."
        ),
    )


def _show_rates(made: pd.DataFrame, lang: Language) -> Markup:
    per_thousand = (1000 * made["blocked_measurement_share"]).round(1)
    return _show(
        made.assign(blocked_per_thousand=per_thousand),
        lang,
        caption=lang.say("Blocked tests and sites"),
        headings={
            "country": lang.say("Country"),
            "blocked_per_thousand": lang.say("Blocked tests of 1,000"),
            "access_measurement_count": lang.say("Tests on access networks"),
            "blocked_domain_count": lang.say("Sites blocked"),
            "domain_count": lang.say("Sites tested"),
            "blocked_domain_share": lang.say("Sites blocked, share of tested"),
        },
        note=lang.say(
            "A blocked test is one of a pair of site and network that the report lists. Who tests "
            "chiefly what is known to be blocked finds more of it: these rates depend on the lists "
            "that volunteers ran, the table above does not."
        ),
    )


def _show_networks(made: pd.DataFrame, compared: SideBySide, lang: Language) -> Markup:
    networks = _show(
        made,
        lang,
        caption=lang.say("Access networks and pairs"),
        headings={
            "country": lang.say("Country"),
            "blocked_network_count": lang.say("Access networks that block"),
            "network_count": lang.say("Access networks tested"),
            "blocked_pair_count": lang.say("Pairs blocked"),
            "told_pair_count": lang.say("Pairs with a conclusion"),
        },
    )
    listed = made[made["blocked_pair_count"] > 0]
    shares = compared.mechanisms.pivot(index="mechanism", columns="probe_cc", values="pair_share")
    shares = shares.reindex(columns=list(listed["probe_cc"])).fillna(0.0).add_suffix("_share")
    methods = _show(
        shares.reset_index(),
        lang,
        caption=lang.say("Methods of blocking"),
        headings={"mechanism": "", **_names(listed, "_share")},
        note=lang.say(
            "Of the listed pairs of each country, the share in which each method was seen. A "
            "country without a listed pair has no column."
        ),
    )
    return networks + methods


def _names(made: pd.DataFrame, suffix: str) -> dict[str, str]:
    """Column of a country → its name."""
    return dict(zip(made["probe_cc"] + suffix, made["country"], strict=True))


def _show_sites(made: pd.DataFrame, compared: SideBySide, lang: Language) -> Markup:
    """A row a site, a column a country; those that most countries list stand first."""
    sites = compared.sites
    states = sites.pivot(index="domain", columns="probe_cc", values="state")
    states = states.reindex(columns=list(made["probe_cc"])).fillna("").add_suffix("_state")
    is_blocked = sites["blocked_network_count"] > 0
    frame = states.assign(
        country_count=is_blocked.groupby(sites["domain"]).sum().astype("int64"),
        is_common=sites.groupby("domain")["is_common"].any().astype(bool),
    ).reset_index()
    frame = frame.sort_values(
        ["country_count", "is_common", "domain"], ascending=[False, False, True]
    )
    return render_table(
        frame,
        lang.say("Sites that at least one of the countries blocks"),
        lang.say("The strongest state on any access network of the country."),
        _SHOWN_SITES,
        {
            **_names(made, "_state"),
            "country_count": lang.say("Countries that block"),
            "is_common": lang.say("Tested enough in all"),
        },
        file="side_by_side_sites.csv",
        lang=lang,
    )


def _show_coverage(made: pd.DataFrame, lang: Language) -> Markup:
    return _prose(lang, *_say_cautions(made, lang)) + _show(
        made,
        lang,
        caption=lang.say("What was tested"),
        headings={
            "country": lang.say("Country"),
            "measurement_count": lang.say("Tests"),
            "tested_month_count": lang.say("Months with tests"),
            "month_count": lang.say("Months"),
            "network_count": lang.say("Access networks tested"),
            "largest_network_share": lang.say("Tests on the busiest of them"),
            "domain_count": lang.say("Sites tested"),
            "own_domain_count": lang.say("Tested in no other country"),
            "told_pair_share": lang.say("Pairs with a conclusion, share"),
        },
    )


def _say_cautions(made: pd.DataFrame, lang: Language) -> Iterator[Markup]:
    """What differs in what was tested, of these countries."""
    by_tests = made.sort_values("measurement_count", kind="stable")
    counts, names = by_tests["measurement_count"].tolist(), by_tests["country"].tolist()
    if counts[0] and counts[-1] >= 2 * counts[0]:
        yield lang.html(
            "{more} has {times} times as many tests as {fewer}: where more is tested, more is "
            "found.",
            more=names[-1], fewer=names[0], times=round(counts[-1] / counts[0]),
        )  # fmt: skip
    gaps = made.loc[made["tested_month_count"] < made["month_count"], "country"]
    if len(gaps):
        yield lang.html("In some months nothing was tested: {countries}.", countries=list(gaps))
    few = made.loc[made["told_pair_share"] < 0.5, "country"]
    if len(few):
        yield lang.html(
            "Of fewer than half of the pairs of site and network there is a conclusion: "
            "{countries}.", countries=list(few),
        )  # fmt: skip
    one = made.loc[made["largest_network_share"] > 0.5, "country"]
    if len(one):
        yield lang.html(
            "One network has more than half of the tests, and its users may not be those of the "
            "country: {countries}.", countries=list(one),
        )  # fmt: skip


def _say_how_to_read(lang: Language) -> Markup:
    files = [link(f"tables/{name}", name) for name in _FILES]
    return _prose(
        lang,
        lang.html(
            "The countries stand in the order of the alphabet. They are not ranked: the number of "
            "blocked sites grows with the number of tests, of sites on the lists and of networks, "
            "and these are what volunteers chose, in each country by themselves."
        ),
        lang.html(
            "All reports are of the same days, judged by the same rules with the same numbers. A "
            "site is compared where every country tested it enough for a conclusion; of a site "
            "that was not tested nothing follows."
        ),
        lang.html("All rows: {tables}.", tables=files),
    )


def _show(
    frame: pd.DataFrame,
    lang: Language,
    *,
    caption: str,
    headings: Mapping[str, str],
    note: str = "",
) -> Markup:
    """The columns that have headings, as a table of which nothing is folded."""
    return render_table(frame[list(headings)], caption, note, len(frame) or 1, headings, lang=lang)
