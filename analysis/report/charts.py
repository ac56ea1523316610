"""Figures, tables and findings of the pages, each with all that belongs to it.

A notebook calls one of these for a section, on the tables that it has just made; of apps and
circumvention tools, on what ``app_tables.judge_apps`` has found.
"""

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH
from analysis.pages import plots
from analysis.pages.formats import marked, percent
from analysis.pages.show import (
    show_figure,
    show_finding,
    show_markup,
    show_matrix,
    show_table,
    show_text,
)
from analysis.pages.tracks import Bar, Row, draw_figure, draw_tracks
from analysis.reference.events import event_table
from analysis.reference.networks import SEVERAL_DAYS
from analysis.reference.test_counts import COUNTS
from analysis.report.app_tables import Judged, title_of
from analysis.report.differences import count_reasons
from analysis.report.finding_words import Telling, Words, draw_timeline, word_finding
from analysis.report.findings import Numbers, Tables, add_pairs, count_methods, find_changes
from analysis.report.verdict_words import add_local_hours
from analysis.study.confirmation import count_states, spans_by_site
from analysis.study.study import MessagingStudy, Study
from analysis.tables import map_texts, name_network, tell_networks
from analysis.verdicts.reasons import USUAL
from analysis.vocabulary import (
    CHANGES,
    INSUFFICIENT,
    LISTED,
    MECHANISMS,
    METHODS,
    SET_ASIDE_REASONS,
)

#: Networks of a figure: anybody can make up others.
_MOST_NETWORKS = 60


def show_months(study: Study, months: pd.DataFrame) -> None:
    """Show what was measured month by month, and how OONI flags it.

    Args:
        study: whose period and country the footer names.
        months: the contract's ``measurements_by_month``.
    """
    total = int(months["measurement_count"].sum())
    valid = total - int(months["failure_count"].sum())
    title = ENGLISH.say(
        "OONI flagged {share} of {n} measurements that did not fail as {words}",
        n=valid,
        share=percent(flagged(months) / max(valid, 1)),
        words=_flag_words(months),
    )
    show_figure(
        plots.results_by_month(months, title=title, footer=study.footer(total, "measurements")),
        alt=ENGLISH.say(
            "Stacked bars, one per month. Flagged measurements of all measurements: {rows}.",
            rows=_say_rows(months["month"], months["measurement_count"], _flags(months)),
        ),
        caption="Measurements by month and OONI flag.",
        opens="#table-months",
    )
    is_known = months["confirmed_count"].notna().all()
    show_table(
        months,
        caption="Measurements by month and OONI flag, in numbers",
        anchor="table-months",
        note=""
        if is_known
        else "OONI confirms a block by its list of known block pages and addresses (fingerprints). "
        "This report had no such list, so it does not know which measurements OONI confirmed.",
    )


def _flag_words(months: pd.DataFrame) -> str:
    """What the flags are that ``flagged`` counts: without fingerprints none is *confirmed*."""
    return "anomalous or confirmed" if months["confirmed_count"].notna().all() else "anomalous"


def flagged(months: pd.DataFrame) -> int:
    """Measurements that OONI flags as anomalous or confirmed."""
    return int(_flags(months).sum())


def _flags(months: pd.DataFrame) -> pd.Series:
    return months["anomaly_count"] + months["confirmed_count"].fillna(0)


def _say_rows(names: pd.Series, *values: pd.Series) -> str:
    """What bars show, in words: each name with its values."""
    return "; ".join(
        f"{name} {' of '.join(f'{value:,}' for value in reversed(row))}"
        for name, *row in zip(names, *values, strict=True)
    )


def show_coverage(study: Study, monthly: pd.DataFrame, networks: pd.DataFrame) -> None:
    """Show what was measured on each network, by month and in all.

    Args:
        study: whose period and country the footer names.
        monthly: ``study.count_by_network_and_month``.
        networks: ``Study.networks``.
    """
    total = int(monthly["measurement_count"].sum())
    months = monthly["month"].nunique()
    per_network = monthly.groupby("network")["month"].nunique()
    several = networks[networks["day_count"] >= SEVERAL_DAYS]
    steadiest = (several if len(several) else networks).nlargest(_MOST_NETWORKS, "day_count")
    drawn = monthly[monthly["probe_asn"].isin(steadiest["probe_asn"])]
    most = drawn.groupby("network")["measurement_count"].sum().sort_values(ascending=False)
    title = ENGLISH.say(
        "Networks with measurements in each month: {steady} of {n}; {network} made {share} of the "
        "measurements",
        steady=(per_network == months).sum(),
        n=len(networks),
        network=most.index[0],
        share=percent(most.iloc[0] / total),
    )
    counts = drawn.pivot(index="network", columns="month", values="measurement_count")
    every = pd.period_range(monthly["month"].min(), monthly["month"].max(), freq="M").astype(str)
    what = "Measurements by network and month. An empty cell was not tested."
    if len(drawn) < len(monthly):
        what += ENGLISH.say(
            " Networks drawn, those with measurements on most days: {n}. Networks that are not "
            "drawn: {others}, with {count} measurements.",
            n=len(steadiest),
            others=len(networks) - len(steadiest),
            count=total - int(drawn["measurement_count"].sum()),
        )
    show_figure(
        plots.heat_map(
            counts.reindex(columns=every), title=title, footer=study.footer(total, "measurements")
        ),
        alt=f"{what} Totals: {_say_rows(pd.Series(most.index), pd.Series(most.to_numpy()))}.",
        caption=what,
        opens="#table-networks",
    )
    show_table(
        networks.drop(columns="is_domestic"),
        caption="Networks with measurements",
        anchor="table-networks",
        file="networks.csv",
        note="The kind decides whether a network counts as an access network of the country. It "
        "was found in a list or by a word in the network's name; otherwise it is unknown. "
        "Measurements include failed ones.",
    )


def show_tested_categories(sites: pd.DataFrame) -> None:
    """Show what was tested by category.

    Args:
        sites: ``Study.domains``.
    """
    named = sites[sites["domain"] != ""].assign(domain_count=1)
    counts = ["domain_count", "measurement_count"]
    by_category = named.groupby(["category_code", "category"])[counts].sum().reset_index()
    show_table(by_category, caption="Sites and measurements by category")


def show_state_counts(whole: pd.DataFrame) -> None:
    """Show how many pairs have which state, on the country's access networks and elsewhere.

    Args:
        whole: the contract's ``verdicts`` of the whole period, with the ``kind`` of each network.
    """
    show_table(
        count_states(whole),
        caption="Pairs of site and network by state",
        headings={
            "access_pair_count": "On access networks",
            "other_pair_count": "On other networks",
        },
    )


def word_changes(study: Study, read: Tables, numbers: Numbers) -> Words | None:
    """The finding on the two halves, as the first page has it; None where no site is listed.

    Args:
        study: whose period is halved.
        read: ``verdicts, networks, semesters, semester_changes, blocking_intervals``.
        numbers: of ``findings.count_halves``.
    """
    finding = find_changes(add_pairs(read))
    if finding is None:
        return None
    told = {"kind": "changes", **finding}
    return word_finding(Telling(told, numbers, ENGLISH, study.periods["all"]))


def claim_changes(words: Words | None) -> None:
    """Show what is listed in each half, and what changed."""
    if words is None:
        show_text("No site was listed in the period or in a half.")
    else:
        show_finding("changes", words.claim, words.sites, Markup(" ").join(words.caveats))


def show_changes(study: Study, changes: pd.DataFrame, words: Words | None) -> None:
    """Show how each listed site changed between the halves.

    Args:
        study: names the networks.
        changes: the contract's ``semester_changes``.
        words: of ``word_changes``.
    """
    if words:
        show_markup(words.figure)
    order = changes["change"].map(list(CHANGES).index)
    shown = changes.drop(columns=["first_state", "second_state"])  # of all networks together
    is_both = shown["change"] == "still_blocked"  # only of these it is known
    shown = shown.assign(is_interrupted=shown["is_interrupted"].astype(object).where(is_both))
    if not shown["is_interrupted"].any():
        shown = shown.drop(columns="is_interrupted")
    matched = {
        name: shown[name].replace("", "No network compared")
        for name in ("first_matched_state", "second_matched_state")
    }
    by_change = shown.assign(order=order, change=shown["change"].map(CHANGES), **matched)
    show_table(
        by_change.sort_values(["order", "domain"]).drop(columns="order"),
        caption="Listed sites, first half against second",
        fold_after=60,
        anchor="table-changes",
        note="The last column is filled only for sites that are listed in both halves on all "
        "networks compared."
        if "is_interrupted" in shown
        else "",
        file="semester_changes.csv",
        networks=study.network_names(),
    )


def show_methods_by_network(study: Study, listed: pd.DataFrame) -> None:
    """Show how each network blocks.

    Args:
        study: whose period and country the footer names.
        listed: ``domain, probe_asn, network, mechanism``, one row per listed pair.
    """
    if listed.empty:
        show_text("No site is listed, so there is no figure.")
        return
    named = listed.assign(
        network=list(map(name_network, listed["network"], listed["probe_asn"])),
        mechanism=listed["mechanism"].map(MECHANISMS),
    )
    counts = pd.crosstab(named["network"], named["mechanism"])
    by_mechanism = counts.sum().sort_values(ascending=False, kind="stable")
    title = ENGLISH.say_plural(
        "{n} method of blocking: {most}",
        "{n} methods of blocking; the most common is {most}",
        len(by_mechanism),
        most=by_mechanism.index[0],
    )
    what = "Listed sites by network and method of blocking"
    said = "; ".join(f"{name}: {count}" for name, count in by_mechanism.items())
    show_figure(
        plots.heat_map(
            counts.where(counts > 0)[by_mechanism.index],
            title=title,
            footer=study.footer(len(listed), "pairs of site and network"),
        ),
        alt=f"{what}. Pairs by method: {said}.",
        caption=f"{what}.",
        opens="#table-intervals",
    )


def show_timeline(study: Study, intervals: pd.DataFrame, listed: pd.DataFrame) -> None:
    """Show when each site was blocked on some access network, with the known events of the period.

    Args:
        study: whose period the axis spans; it holds the events.
        intervals: the contract's ``blocking_intervals``.
        listed: ``domain, probe_asn``, one row per pair of the list.
    """
    if listed.empty:
        show_text("No site is listed.")
        return
    events = study.known_events
    spans = spans_by_site(intervals.merge(listed[["domain", "probe_asn"]]))
    stretches = spans["domain"].value_counts()
    title = ENGLISH.say(
        "Blocked or likely blocked sites: {n}; of these, with a time between two blocks in which "
        "no network blocked them: {several}",
        n=len(stretches),
        several=(stretches > 1).sum(),
    )
    show_markup(draw_timeline(spans, study.periods["all"], events, title, study.credit))
    if events:
        show_table(
            event_table(events),
            caption="Known events in the period",
            note="If a block begins or ends on the day of an event, this does not prove a cause.",
        )


def show_intervals(study: Study, intervals: pd.DataFrame) -> None:
    """Show each listed period of failures with the tests around it and its hours of the week.

    Args:
        study: whose country's clocks show the local hours.
        intervals: the contract's ``blocking_intervals``.
    """
    shown = _dated(intervals, study)
    columns = [
        "domain",
        "probe_asn",
        "state",
        "mechanism",
        "last_seen_open",
        "blocked_from",
        "blocked_until",
        "first_seen_open_again",
        "session_count",
        "longest_gap_days",
        "chance",
    ]
    show_table(
        shown[columns],
        caption="Periods of blocking, with the tests before and after",
        anchor="table-intervals",
        note="Longest gap: the most days between two tests inside the period. Chance: if all "
        "failures were accidents, at most this share of pairs would look like this; it is empty if "
        "a trace of blocking decides. blocking_intervals.csv has the time of day for each date.",
        fold_after=8,
        file="blocking_intervals.csv",
        networks=study.network_names(),
        headings={
            "last_seen_open": "Last reached before",
            "blocked_from": "First seen failing",
            "blocked_until": "Last seen failing",
            "first_seen_open_again": "Reached again",
            "session_count": "Failed sessions",
        },
    )


def show_withheld(study: Study, withheld: pd.DataFrame) -> None:
    """Show surprising failures that are not listed: how many for each reason, then which.

    Args:
        study: whose country's clocks show the local hours.
        withheld: the contract's ``withheld_intervals``.
    """
    names = study.network_names()
    withheld = withheld.rename(columns={"reason": "why"})
    by_reason = withheld.assign(network=withheld["probe_asn"].map(names)).groupby("why")
    counts = by_reason.agg(
        period_count=("domain", "size"),
        site_count=("domain", "nunique"),
        session_count=("session_count", "sum"),
        networks=("network", _count_networks),
    )
    headings = {
        "why": "Why it is not listed",
        "session_count": "Sessions that did not reach it",
    }
    show_table(
        counts.sort_values("period_count", ascending=False, kind="stable").reset_index(),
        caption="Failures that are not listed, by reason",
        headings={
            **headings,
            "period_count": "Periods of failures",
            "networks": "Networks with most of these periods",
        },
    )
    shown = gather_alike(_dated(withheld, study))
    columns = [
        "domain",
        "probe_asns",
        "mechanism",
        "blocked_from",
        "blocked_until",
        "session_count",
        "chance",
        "why",
    ]
    show_table(
        shown[columns],
        caption="Failures that are not listed",
        note="Failures of a site with one reason and method on several networks have one row. It "
        "has the first and the last day, the failed sessions of all these networks, and the "
        "smallest chance. withheld_intervals.csv has a row for each network, with the last test "
        "before that reached the site and the first one after.",
        fold_after=4,
        file="withheld_intervals.csv",
        networks=names,
        headings={
            **headings,
            "blocked_from": "First seen failing",
            "blocked_until": "Last seen failing",
            "mechanism": "How it failed",
            "probe_asns": "Networks",
        },
    )


_TRACES = """
SELECT rule_id::VARCHAR AS rule_id, domain::VARCHAR AS domain, probe_asn,
  count(*) AS measurement_count
FROM outcomes WHERE domain <> '' AND class = 'blocked' AND is_artefact AND evidence = 'scored'
GROUP BY ALL ORDER BY ALL
"""


def find_unlisted_traces(study: Study, whole: pd.DataFrame) -> pd.DataFrame:
    """The contract's ``unlisted_traces``: traces of blocking on pairs that are not listed.

    Args:
        study: after ``confirm``.
        whole: the contract's ``verdicts`` of the whole period.
    """
    unlisted = whole.loc[~whole["state"].isin(LISTED), ["domain", "probe_asn"]]
    return study.connection.execute(_TRACES).df().merge(unlisted)


def show_unlisted_traces(traces: pd.DataFrame, whole: pd.DataFrame) -> None:
    """Show what became of pairs with a trace of blocking that are not listed.

    Args:
        traces: ``find_unlisted_traces``.
        whole: the contract's ``verdicts`` of the whole period.
    """
    columns = ["domain", "probe_asn", "state", "insufficient_reason", "set_aside_reason", "note"]
    traces = traces.merge(whole[columns], on=["domain", "probe_asn"])
    few = traces["insufficient_reason"].map({name: one.words for name, one in INSUFFICIENT.items()})
    otherwise = few.fillna(traces["set_aside_reason"].map(SET_ASIDE_REASONS)).fillna("")
    otherwise = otherwise.mask(traces["state"] == "ok", "Too few traces for the list")
    traces = traces.assign(why=traces["note"].where(traces["note"] != "", otherwise))
    counted = traces.groupby(["rule_id", "state", "why"]).agg(
        site_count=("domain", "nunique"),
        pair_count=("domain", "size"),
        measurement_count=("measurement_count", "sum"),
    )
    show_table(
        counted.sort_values("pair_count", ascending=False, kind="stable").reset_index(),
        caption="Pairs with a trace of blocking that are not listed, and the measurements that saw "
        "it",
        fold_after=6,
        is_printed=False,
        headings={"why": "Why it is not listed"},
    )


def show_answers(study: Study, answers: pd.DataFrame) -> None:
    """Show the addresses that several names share, those with most names first.

    Args:
        study: names the networks.
        answers: the contract's ``answers``.
    """
    shared = answers[answers["name_count"] > 1]
    columns = [
        "address",
        "resolver_asn",
        "quarter",
        "profile",
        "name_count",
        "dead_name_count",
        "live_name_count",
        "measurement_count",
    ]
    show_table(
        shared.sort_values("name_count", ascending=False, kind="stable")[columns],
        caption="Addresses that several names share and that their controls did not get",
        note=ENGLISH.say(
            "answers.csv has more columns, and {n} more rows, whose count of names is 0 or 1.",
            n=len(answers) - len(shared),
        ),
        fold_after=4,
        file="answers.csv",
        networks=study.network_names(),
        headings={"live_name_count": "Existing names, on all networks"},
    )


def _count_networks(networks: pd.Series) -> str:
    """The networks with most rows, and how many each has: three, or fewer where others tie."""
    counts = networks.value_counts()
    most = counts[counts > counts.iloc[3]] if len(counts) > 3 else counts
    told = [f"{network}: {count:,}" for network, count in most.items()]
    if rest := len(counts) - len(most):
        what, largest = "others" if told else "networks", counts.iloc[len(most)]
        most_of_them = "at most " if counts.iloc[-1] < largest else ""
        told.append(f"{rest:,} {what}: {most_of_them}{largest:,} each")
    return "; ".join(told)


def gather_alike(withheld: pd.DataFrame) -> pd.DataFrame:
    """One row for what failed for one reason on many networks; what is no surprise comes last."""
    keys = [withheld["why"].isin(USUAL), *(withheld[name] for name in _ALIKE)]
    gathered = withheld.groupby(keys).agg(
        {
            **dict.fromkeys(_ALIKE, "first"),
            "probe_asn": tell_networks,
            "blocked_from": "min",
            "blocked_until": "max",
            "session_count": "sum",
            "chance": "min",
        }
    )
    return gathered.reset_index(drop=True).rename(columns={"probe_asn": "probe_asns"})


_ALIKE = ["domain", "why", "mechanism"]


def _dated(intervals: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Days as texts, with the time where an edge is known to a day or so; methods with hours of the
    week."""
    shown = add_local_hours(intervals, study.probe_cc)
    hours = " at " + shown["schedule"] + " UTC"
    if "local_schedule" in shown:
        hours += " (" + shown["local_schedule"] + " local time)"
    method = map_texts(shown["mechanism"], MECHANISMS)
    shown = shown.assign(mechanism=method + hours.where(shown["schedule"] != "", ""))
    days = [("last_seen_open", "blocked_from"), ("blocked_until", "first_seen_open_again")]
    for before, after in days:
        is_close = shown[after] - shown[before] <= pd.Timedelta(days=1)
        for name in (before, after):
            moment = shown[f"{name}_time"].dt.strftime("%Y-%m-%d %H:%M")
            day = shown[name].dt.strftime("%Y-%m-%d")
            shown = shown.assign(**{name: moment.where(is_close, day)})
    return shown


def show_disagreement(compared: pd.DataFrame) -> None:
    """Show on which sites the methods differ, and why.

    Args:
        compared: ``differences.compare_methods``.
    """
    show_table(
        count_reasons(compared),
        caption="Sites that only other methods list, by the reason why this method does not",
        note="These are reasons of this method; they do not show that it is right.",
    )
    lists = dict.fromkeys(["this_method", *_find_speaking(compared)])
    differing = compared[~compared[list(lists)].all(axis=1)]
    flags = differing.drop(columns="why")
    caption = "Sites that some methods list and others do not"
    show_table(flags, caption=caption, fold_after=25, file="method_comparison.csv")
    reasons = differing[["domain", "why"]]
    caption = "Why each method lists the site, or does not"
    show_table(reasons, caption=caption, fold_after=10, file="method_comparison.csv")


def show_sweep(study: Study, swept: pd.DataFrame) -> None:
    """Show how the list changes with each threshold.

    Args:
        study: whose period and country the footer names.
        swept: ``confirmation.sweep``.
    """
    site_count = swept.loc[swept["is_standing"], "blocked_domain_count"].max()
    shift = swept["gained_count"] + swept["lost_count"]
    title = ENGLISH.say(
        "Sites that a tried value moves on or off the list of {n}, at most: {most}",
        most=shift.max(),
        n=site_count,
    )
    most = max(swept["blocked_pair_count"].max(), 1)
    rows = []
    for name, of_name in swept.groupby("threshold", sort=False):
        low, high = of_name["blocked_pair_count"].min(), of_name["blocked_pair_count"].max()
        used = of_name.loc[of_name["is_standing"], "blocked_pair_count"].max()
        bars = (Bar(low / most, high / most, "tested"), Bar(used / most, used / most, "edge"))
        rows.append(Row(str(name), bars, "", f"{low:,} to {high:,}", "#table-tried"))
    tracks = draw_tracks(rows, ("Threshold", "Listed pairs", "Listed pairs"))
    reading = (
        "Listed pairs of site and access network, by threshold: from the smallest to the largest "
        "number at the tried values, each threshold changed alone. The line is the number at the "
        f"published value. {study.footer(len(swept), 'values of thresholds')}"
    )
    said = "; ".join(f"{row.label} {row.note}" for row in rows)
    show_markup(draw_figure(tracks, f"Bars by threshold: {said}.", reading, title=title))
    show_table(swept[shift > 0], caption="Values that add sites to the list or remove sites")
    all_values = swept.drop(columns=["gained", "lost"])
    show_table(
        all_values,
        caption="All tried values",
        fold_after=12,
        file="threshold_sweep.csv",
        anchor="table-tried",
    )


def claim_coverage(numbers: Numbers, months: pd.DataFrame) -> None:
    """Show how much was measured, and what OONI flags of it.

    Args:
        numbers: of ``findings.count_measured``.
        months: the contract's ``measurements_by_month``.
    """
    flags, failed = flagged(months), int(months["failure_count"].sum())
    valid = numbers["measurement_count"] - failed
    show_finding(
        "coverage",
        ENGLISH.html(
            "Measurements: {measurement_count}. Sites tested: {domain_count}. Networks with "
            "measurements: {network_count}, of which access networks of the country: "
            "{access_network_count}.",
            **marked(numbers),
        ),
        ENGLISH.say(
            "Tests that did not run properly (OONI's flag “failed”) and say nothing about the "
            "site: {failed}. Of the {valid} others OONI flags {flags} ({share}) as {words}.",
            failed=failed,
            valid=valid,
            flags=flags,
            share=percent(flags / max(valid, 1)),
            words=_flag_words(months),
        ),
        "A measurement is one test, not one user: one probe can make many. "
        "Verdicts therefore count sessions.",
    )


def claim_verdicts(numbers: Numbers) -> None:
    """Show how many sites were found blocked, of how many pairs that were judged.

    Args:
        numbers: of ``findings.count_verdicts``.
    """
    show_finding(
        "verdicts",
        ENGLISH.html(
            "Listed sites: {blocked_domain_count}; access networks of the country with listed "
            "sites: {blocking_network_count}. Listed pairs of a site and an access network: "
            "{listed_access_pair_count} ({traced_access_pair_count} blocked, "
            "{likely_access_pair_count} likely blocked).",
            **marked(numbers),
        ),
        ENGLISH.html(
            "Tested pairs of a site and an access network: {judged_access_pair_count}. Reachable: "
            "{ok_access_pair_count}. Without a conclusion: {unsettled_access_pair_count}, of which "
            "the tests of {disagreeing_access_pair_count} disagree and the others were tested too "
            "little. Tested pairs on VPNs, hosting and foreign networks: {other_pair_count}; they "
            "put no site on the list.",
            **marked(numbers),
        ),
        "A block that is seen on a network is not always the work of this network: the answer may "
        "come from another operator's resolver or route.",
    )


def claim_methods(compared: pd.DataFrame, counts: pd.DataFrame) -> None:
    """Show how many sites each method lists.

    Args:
        compared: ``differences.compare_methods``.
        counts: ``differences.count_methods``.
    """
    ours, theirs = counts["site_count"][0], counts["site_count"][1:]
    some = _find_speaking(compared)
    show_finding(
        "methods",
        ENGLISH.html(
            "Sites that this method lists: {blocked_domain_count}. Sites on the shortest of the "
            "other lists, from the same measurements: {least}; on the longest: {most}.",
            **marked({"blocked_domain_count": ours}),
            least=theirs.min(),
            most=theirs.max(),
        ),
        ENGLISH.html(
            "Lists that are not empty: {lists} of {n}; sites on all of these: {agreed}. Sites on "
            "another list and not on this one: {other_methods_only_count}; the reason for each is "
            "below.",
            lists=len(some),
            n=len(counts),
            agreed=compared[some].all(axis=1).sum(),
            **marked(count_methods(compared)),
        ),
        "This page does not show which list is right. Page 6 tests this method on simulated "
        "countries, where the truth is known.",
        "6-validation.html",
    )
    left_out = (
        "The list of what OONI confirmed is left out: no list of known block pages and addresses "
        "(fingerprints) was given."
    )
    note = "" if "ooni_confirmed" in compared else left_out
    show_table(counts, caption="Sites listed by each method", note=note)


def _find_speaking(compared: pd.DataFrame) -> list[str]:
    """The methods that list any site."""
    return [key for key in METHODS if key in compared and compared[key].any()]


def claim_sweep(swept: pd.DataFrame) -> None:
    """Show how much of the list stays whatever single number is changed.

    Args:
        swept: ``confirmation.sweep``.
    """
    standing, pairs = swept[swept["is_standing"]].iloc[0], swept["blocked_pair_count"]
    listed = standing["blocked_domain_count"]
    lost, gained = (
        {site for sites in swept[name] for site in sites.split(";") if site}
        for name in ("lost", "gained")
    )
    most = swept.iloc[int(swept["lost_count"].argmax())]
    removed = ENGLISH.say(
        "{threshold} = {value} removes the most sites: {lost}. ",
        threshold=most["threshold"],
        value=f"{most['value']:g}",
        lost=most["lost_count"],
    )
    show_finding(
        "sweep",
        ENGLISH.say(
            "{steady} of {listed} sites stay on the list whichever number is changed.",
            steady=listed - len(lost),
            listed=listed,
        )
        if listed
        else "The published numbers list no site.",
        (removed if lost else "")
        + ENGLISH.say(
            "Sites that join the list in at least one case: {gained}. The published numbers list "
            "{pairs} pairs of site and network; with one change, the list has {least} to {most} "
            "pairs.",
            gained=len(gained),
            pairs=standing["blocked_pair_count"],
            least=pairs.min(),
            most=pairs.max(),
        ),
        "Changes of two numbers at once were not tried.",
    )


def claim_rule_change(flipped: pd.DataFrame) -> None:
    """Show what a changed rule does to the list.

    Args:
        flipped: ``differences.compare_verdicts`` of the whole period.
    """
    listed, unlisted = (flipped[flipped["change"] == name] for name in ("listed", "unlisted"))
    show_finding(
        "rule-change",
        ENGLISH.say(
            "With this change, {listed} pairs of site and network join the list and {unlisted} "
            "pairs leave it.",
            listed=len(listed),
            unlisted=len(unlisted),
        ),
        ENGLISH.say(
            "The pairs that join belong to {joining} sites, the pairs that leave to {leaving} "
            "sites. In total, {n} pairs change their state.",
            joining=listed["domain"].nunique(),
            leaving=unlisted["domain"].nunique(),
            n=len(flipped),
        ),
        "The change is an example. It is not a proposal.",
    )


def name_tests(table: pd.DataFrame) -> pd.DataFrame:
    """A table with ``test_name`` as readers know the tests."""
    return table.assign(test_name=table["test_name"].map(title_of))


def claim_apps(study: MessagingStudy, numbers: Numbers) -> None:
    """Show how many apps and tools were found blocked, and with what they were compared.

    Args:
        study: has the counts of other countries.
        numbers: of ``findings.count_apps``.
    """
    if not numbers["app_test_count"]:
        show_text(
            "No messaging app and no circumvention tool was tested: the source has no measurement "
            "of one in the period, and no counts of such tests are available. They may be blocked "
            "or open. The rest of this page says how such tests would be judged."
        )
        return
    countries = len(study.elsewhere.countries)
    control = (
        ENGLISH.say(
            "Each test was compared with the same weeks in {n} other countries.", n=countries
        )
        if countries
        else "There are no counts of other countries, so each test was compared with the country's "
        "other networks. If a test fails on most networks at once, the test itself may be faulty."
    )
    show_finding(
        "apps",
        ENGLISH.html(
            "Apps and tools tested: {app_test_count}. None has a clear result on an access "
            "network.",
            **marked(numbers),
        )
        if not numbers["settled_app_count"]
        else ENGLISH.html(
            "Of {settled_app_count} apps and tools with a clear result, {traced_app_count} "
            "were blocked and {likely_app_count} likely blocked, as a whole or in one of their "
            "parts. Listed pairs of test and network: {blocked_app_pair_count}, on "
            "{blocked_app_network_count} of {app_network_count} networks.",
            **marked(numbers),
        ),
        control,
        "These tests have no control of their own. A test that did not run is not evidence. A test "
        "that ran and reached nothing is evidence.",
        "tables/messaging_verdicts.csv",
    )


def show_by_network(verdicts: pd.DataFrame) -> None:
    """Show test × network as marks, and the listed pairs with their dates."""
    own = verdicts[verdicts["period"] == "all"]
    states = own.assign(domain=own["test_name"].map(title_of))
    names = dict(zip(own["probe_asn"], own["network"], strict=True))
    show_matrix(
        states[["domain", "probe_asn", "state"]],
        caption="Apps and tools by network",
        names=names,
        first_head="App or tool",
        file="messaging_verdicts.csv",
        anchor="table-apps",
    )


def show_stretches(study: MessagingStudy, intervals: pd.DataFrame) -> None:
    """Show each period in which a part of a test was cut off."""
    if intervals.empty:
        show_text("No part of a test was found cut off in the measurements of this report.")
        return
    shown = add_local_hours(intervals, study.probe_cc)
    shown = shown.assign(
        test=shown["test_name"].map(title_of),
        endpoints=[
            "" if pd.isna(tried) else f"{int(cut):,} of {int(tried):,}"
            for cut, tried in shown[["cut_endpoint_count", "endpoint_count"]].to_numpy(object)
        ],
    )
    columns = [
        "test",
        "part",
        "endpoints",
        "probe_asn",
        "blocked_from",
        "last_seen_blocked",
        "schedule",
        *(["local_schedule"] if "local_schedule" in shown else []),
        "mechanism",
        "session_count",
        "chance",
        "elsewhere_anomaly_share",
    ]
    empty = [name for name in ("schedule", "mechanism") if not (shown[name] != "").any()]
    show_table(
        shown[columns].drop(columns=empty),
        caption="When each part was cut off",
        note="Endpoints cut off: their number, and how many endpoints of this part the probes "
        "tried. Anomalies elsewhere: the share of anomalies in the median other country in "
        "the same weeks, empty if their counts are not available. messaging_intervals.csv has "
        "the names of the endpoints and the time of day for each date.",
        headings={"endpoints": "Endpoints cut off"},
        fold_after=25,
        file="messaging_intervals.csv",
        networks=study.network_names(),
    )


def show_shares(study: MessagingStudy, judged: Judged) -> None:
    """Draw by month how far the share of anomalies is above that of a typical other country."""
    if judged.days.empty:
        show_text("There is no figure: no such test was counted.")
        return
    days = judged.days.assign(
        panel=judged.days["test_name"].map(title_of),
        month=judged.days["day"].dt.strftime("%Y-%m"),
        valid=judged.days["ok_count"] + judged.days["anomaly_count"],
    )
    by_month = days.groupby(["panel", "month"])
    months = by_month[["anomaly_count", "valid"]].sum()
    here = months["anomaly_count"] / months["valid"].where(months["valid"] > 0)
    weeks = study.elsewhere.weeks
    elsewhere = weeks.groupby(
        [
            weeks["test_name"].map(title_of).rename("panel"),
            weeks["week"].dt.strftime("%Y-%m").rename("month"),
        ]
    )["typical"].mean()
    above = 100 * (here - elsewhere.reindex(here.index).fillna(0.0)).clip(lower=0.0)
    countries = len(study.elsewhere.countries)
    title = "No counts of other countries are available for comparison"
    if countries:
        title = ENGLISH.say(
            "{broken} of {n} tests failed for weeks in most of the {countries} other countries",
            broken=judged.defects["test_name"].nunique(),
            n=days["panel"].nunique(),
            countries=countries,
        )
    share = days.groupby("panel", sort=False)[["anomaly_count", "valid"]].sum()
    show_figure(
        plots.heat_map(
            above.astype(float).unstack(),
            title=title,
            footer=study.footer(int(days["valid"].sum()), "tests"),
        ),
        alt="Shares of anomalies here in the whole period: "
        + "; ".join(
            f"{panel} {percent(row['anomaly_count'] / max(row['valid'], 1))}"
            for panel, row in share.iterrows()
        ),
        caption="Share of anomalies by month, by OONI's flags: percentage points above a typical "
        "other country. Failed tests are left out.",
        opens="tables/messaging_by_month.csv",
    )


def show_country(country: pd.DataFrame) -> None:
    """Show OONI's counts of each test in the whole country beside other countries'.

    Args:
        country: the contract's ``messaging_country``.
    """
    if country.empty:
        show_text("OONI's counts of the whole country are not available.")
        return
    valid = country["ok_count"] + country["anomaly_count"]
    show_table(
        country.assign(
            test=country["test_name"].map(title_of),
            anomaly_share=country["anomaly_count"] / valid.where(valid > 0),
        )[["test", *COUNTS, "anomaly_share", "elsewhere_anomaly_share"]],
        caption="Each test in the whole country, by OONI's counts",
        note="These counts do not separate networks, hours or steps of the connection, and one "
        "probe may make most of them. They can be compared with a typical other country. They "
        "cannot show a block.",
    )


def show_defects(judged: Judged) -> None:
    """Show when a test failed everywhere, with what is publicly known of it."""
    if judged.defects.empty:
        show_text("No such weeks were found; without counts of other countries there can be none.")
        return
    show_table(
        judged.defects.assign(test=judged.defects["test_name"].map(title_of)).rename(
            columns={"share": "typical_share"}
        )[["test", "since", "until", "typical_share", "country_count", "cause", "source"]],
        caption="Weeks in which a test failed in most other countries",
        headings={
            "since": "From",
            "until": "To",
            "cause": "Known cause",
            "country_count": "Fewest other countries with enough tests in a week",
            "source": "Source",
        },
        note="The weeks come from the counts of other countries, the causes from public sources.",
    )
