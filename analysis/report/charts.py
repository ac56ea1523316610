"""Figures of a page with all that belongs to one: title, footer, alternative text, caption, table.

A notebook calls one of these for a section; ``display`` draws and shows.
"""

import pandas as pd

from analysis.languages.language import ENGLISH
from analysis.pages import bars
from analysis.pages.formats import percent
from analysis.pages.grids import draw_coverage, draw_methods
from analysis.pages.show import show_figure, show_markup, show_table
from analysis.reference.events import event_table
from analysis.report.differences import count_reasons
from analysis.report.finding_words import Telling, word_finding
from analysis.report.findings import find_changes
from analysis.report.headlines import Numbers
from analysis.report.local_time import add_local_hours
from analysis.report.timelines import draw_timeline
from analysis.study.confirmation import count_states, spans_by_site
from analysis.study.study import Study
from analysis.verdicts.intervals import CHANCE
from analysis.verdicts.withholding import EVERYWHERE
from analysis.vocabulary import CHANGES, MECHANISMS, METHODS


def show_months(study: Study, months: pd.DataFrame) -> None:
    """Show what was measured month by month, and how OONI flags it.

    Args:
        study: whose period and country the footer names.
        months: the contract's ``measurements_by_month``.
    """
    total = int(months["measurement_count"].sum())
    title = f"{total:,} measurements, {percent(flagged(months) / total)} of them flagged"
    show_figure(
        bars.results_by_month(months, title=title, footer=study.footer(total, "measurements")),
        alt="Stacked bars by month, measurements and flagged ones among them: "
        f"{_say_rows(months['month'], months['measurement_count'], _flags(months))}.",
        caption="Measurements by month and OONI flag.",
    )
    is_known = months["confirmed_count"].notna().all()
    show_table(
        months,
        caption="Measurements by month and OONI flag, in numbers",
        note="" if is_known else "Without fingerprints none is confirmed.",
    )


def flagged(months: pd.DataFrame) -> int:
    """Measurements that OONI flags as anomalous or confirmed."""
    return int(_flags(months).sum())


def _flags(months: pd.DataFrame) -> pd.Series:
    return months["anomaly_count"] + months["confirmed_count"].fillna(0)


def _say_rows(names: pd.Series, *values: pd.Series) -> str:
    """What bars show, for who cannot see them: each name with its values."""
    return "; ".join(
        f"{name} {' of '.join(f'{value:,}' for value in reversed(row))}"
        for name, *row in zip(names, *values, strict=True)
    )


def _say_range(swept: pd.DataFrame) -> str:
    pairs = swept.groupby("threshold")["blocked_pair_count"].agg(["min", "max"])
    return "; ".join(f"{name} {row['min']} to {row['max']}" for name, row in pairs.iterrows())


def show_coverage(study: Study, monthly: pd.DataFrame, networks: pd.DataFrame) -> None:
    """Show what was measured on each network, by month and in all.

    Args:
        study: whose period and country the footer names.
        monthly: ``coverage.count_by_network_and_month``.
        networks: ``Study.networks``.
    """
    total = int(monthly["measurement_count"].sum())
    months = monthly["month"].nunique()
    per_network = monthly.groupby("network")["month"].nunique()
    most = monthly.groupby("network")["measurement_count"].sum().sort_values(ascending=False)
    title = (
        f"{(per_network == months).sum()} of {len(networks)} networks measured in each of "
        f"{months} months; {most.index[0]} made {percent(most.iloc[0] / total)} of the measurements"
    )
    what = "Measurements by network and month; an empty cell was not tested."
    alt = f"{what} In all: {_say_rows(pd.Series(most.index), pd.Series(most.to_numpy()))}."
    reading = f"{what} {study.footer(total, 'measurements')}"
    show_markup(draw_coverage(monthly, title=title, alt=alt, reading=reading))
    show_table(
        networks.drop(columns="is_domestic").assign(
            probe_asn="AS" + networks["probe_asn"].astype(str)
        ),
        caption="Networks that measured",
        note="The kind decides whether a network counts as one of the country's access networks; "
        "it comes from a list, from a word in the network's name, or from nowhere.",
    )


def show_tested_categories(sites: pd.DataFrame) -> None:
    """Show what was tested by category.

    Args:
        sites: ``Study.domains``.
    """
    named = sites[sites["domain"] != ""].assign(domain_count=1)
    counts = ["domain_count", "measurement_count", "anomaly_count"]
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
        headings={"access_pair_count": "On access networks", "other_pair_count": "On others"},
    )


def show_changes(study: Study, changes: pd.DataFrame, numbers: Numbers) -> None:
    """Show how each listed site changed between the halves.

    Args:
        study: whose period is halved; it names the networks.
        changes: the contract's ``semester_changes``.
        numbers: of ``headlines.count_halves``.
    """
    finding = find_changes({"semester_changes": changes})
    if finding:
        told = {"kind": "changes", **finding}
        show_markup(word_finding(Telling(told, numbers, ENGLISH, study.periods["all"])).figure)
    order = changes["change"].map(list(CHANGES).index)
    by_change = changes.assign(order=order).sort_values(["order", "domain"]).drop(columns="order")
    caption = "Listed sites, first half against second"
    show_table(by_change, caption=caption, fold_after=60, file="semester_changes.csv",
               networks=study.network_names())  # fmt: skip


def show_methods_by_network(study: Study, listed: pd.DataFrame) -> None:
    """Show how each network blocks.

    Args:
        study: whose period and country the footer names.
        listed: ``domain, probe_asn, network, mechanism``, one row per listed pair.
    """
    named = listed.assign(network=listed["network"] + " (" + listed["probe_asn"] + ")")
    counts = named.groupby(["network", "mechanism"]).size().rename("domain_count").reset_index()
    by_mechanism = counts.groupby("mechanism")["domain_count"].sum().sort_values(ascending=False)
    title = f"{len(by_mechanism)} ways of blocking" + (
        f", most often {MECHANISMS[str(by_mechanism.index[0])]}" if len(by_mechanism) else ""
    )
    alt = "; ".join(
        f"{row.network}, {MECHANISMS[str(row.mechanism)]}: {row.domain_count}"
        for row in counts.itertuples()
    )
    what = "Listed sites by network and mechanism"
    reading = f"{what}. {study.footer(len(listed), 'pairs of site and network')}"
    show_markup(draw_methods(counts, title=title, alt=f"{what}: {alt}.", reading=reading))


def show_timeline(study: Study, intervals: pd.DataFrame, listed: pd.DataFrame) -> None:
    """Show when each site was blocked on some access network, with the known events of the period.

    Args:
        study: whose period the axis spans; it holds the events.
        intervals: the contract's ``blocking_intervals``.
        listed: ``domain, probe_asn``, one row per pair of the list.
    """
    events = study.known_events
    spans = spans_by_site(intervals.merge(listed[["domain", "probe_asn"]]))
    stretches = spans["domain"].value_counts()
    title = (
        f"{len(stretches)} sites were seen blocked or likely blocked, "
        f"{(stretches > 1).sum()} of them with days in between on which no network blocked them"
    )
    show_markup(draw_timeline(spans, study.periods["all"], events, title, study.title))
    if events:
        show_table(
            event_table(events),
            caption="Known events in the period",
            note="A day that coincides with the beginning or the end of a block proves no cause.",
        )


def show_intervals(study: Study, intervals: pd.DataFrame) -> None:
    """Show each stretch of blocking with the tests around it and its hours of the week.

    Args:
        study: whose country's clocks show the local hours.
        intervals: the contract's ``blocking_intervals``.
    """
    show_table(
        _dated(intervals, study),
        caption="Intervals and the tests around them",
        note="Chance: at most this share of pairs that nobody blocks would look so; empty where a "
        "mark of blocking decides. blocking_intervals.csv has the moments of all edges.",
        fold_after=16,
        file="blocking_intervals.csv",
        networks=study.network_names(),
    )


def show_withheld(study: Study, withheld: pd.DataFrame) -> None:
    """Show what failed and is not listed all the same, with dates and reason.

    Args:
        study: whose country's clocks show the local hours.
        withheld: the contract's ``withheld_intervals``.
    """
    shown = _dated(withheld.drop(columns="state").rename(columns={"reason": "why"}), study)
    show_table(
        _gather_alike(shown),
        caption="Failing, and not listed",
        note="Where a site failed for one reason on many networks it has one row: the first day "
        "and the last on any of them, all sessions, the least chance. withheld_intervals.csv has a "
        "row for each network.",
        fold_after=12,
        file="withheld_intervals.csv",
        networks=study.network_names(),
        headings={"why": "Why it is not listed", "blocked_from": "Failed from",
                  "blocked_until": "Failed until", "mechanism": "How", "probe_asns": "Networks"},
    )  # fmt: skip


def _gather_alike(withheld: pd.DataFrame) -> pd.DataFrame:
    """One row for what failed for one reason on many networks; what is no surprise comes last."""
    is_alike = withheld["why"].str.startswith((EVERYWHERE, CHANCE))
    apart = withheld.index.where(~is_alike, -1)
    keys = [withheld["why"].str.startswith(CHANCE), *(withheld[name] for name in _ALIKE), apart]
    rows = [
        {**rows_of.iloc[0], "probe_asn": ";".join(rows_of["probe_asn"]),
         "blocked_from": rows_of["blocked_from"].min(),
         "blocked_until": rows_of["blocked_until"].max(),
         "last_seen_open": rows_of["last_seen_open"].min(),
         "first_seen_open_again": rows_of["first_seen_open_again"].max(),
         "session_count": rows_of["session_count"].sum(),
         "chance": min(rows_of["chance"], key=lambda text: float(text or 1))}
        for _, rows_of in withheld.groupby(keys)
    ]  # fmt: skip
    gathered = pd.DataFrame(rows, columns=withheld.columns)
    return gathered.drop(columns="day_count").rename(columns={"probe_asn": "probe_asns"})


_ALIKE = ["domain", "why", "mechanism"]


def _dated(intervals: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The columns that a page shows; moments where an edge is known to a day or so."""
    shown = add_local_hours(intervals, study.probe_cc)
    days = [("last_seen_open", "blocked_from"), ("blocked_until", "first_seen_open_again")]
    for before, after in days:
        apart = pd.to_datetime(shown[after]) - pd.to_datetime(shown[before])
        is_close = apart <= pd.Timedelta(days=1)
        for name in (before, after):
            moment = shown[f"{name}_time"].str.slice(0, 16).str.replace("T", " ")
            shown = shown.assign(**{name: moment.where(is_close, shown[name])})
    if not (shown["schedule"] != "").any():
        shown = shown.drop(columns="schedule")
    moments = [name for name in shown if str(name).endswith("_time")]
    return shown.drop(columns=[*moments, "measurement_count", "longest_gap_days"])


def show_agreement(study: Study, compared: pd.DataFrame) -> None:
    """Show which methods list the same sites.

    Args:
        study: whose period and country the footer names.
        compared: ``differences.compare_methods``.
    """
    agreed = compared[list(METHODS)].all(axis=1)
    title = f"Of {len(compared)} sites that any method lists, {agreed.sum()} are on every list"
    footer = study.footer(len(compared), "sites")
    show_figure(
        bars.methods_compared(compared, METHODS, title=title, footer=footer),
        alt="A dot per method and combination, a bar for its sites. Sites on each list: "
        + "; ".join(f"{words} {compared[key].sum()}" for key, words in METHODS.items()),
        caption="Sites by the methods that list them.",
    )


def show_disagreement(compared: pd.DataFrame) -> None:
    """Show on which sites the methods differ, and why.

    Args:
        compared: ``differences.compare_methods``.
    """
    show_table(
        count_reasons(compared),
        caption="Sites that others list and this method does not, by its reason",
        note="Without a reason: reachable there, or not tested enough, and without an anomaly.",
    )
    differing = compared[~compared[list(METHODS)].all(axis=1)]
    flags = differing.drop(columns="why")
    caption = "Sites on which the methods differ"
    show_table(flags, caption=caption, fold_after=25, is_printed=False)
    reasons = differing[["domain", "why"]]
    caption = "What each method would say"
    show_table(reasons, caption=caption, fold_after=10, is_printed=False)


def show_sweep(study: Study, swept: pd.DataFrame) -> None:
    """Show how far the list moves with each threshold from the published ones.

    Args:
        study: whose period and country the footer names.
        swept: ``sensitivity.sweep``.
    """
    site_count = swept.loc[swept["is_standing"], "blocked_domain_count"].max()
    shift = swept["gained_count"] + swept["lost_count"]
    title = (
        f"No value tried moves more than {shift.max()} of {site_count} sites"
        if shift.any()
        else f"No value tried moves any of {site_count} sites on or off the list"
    )
    footer = study.footer(len(swept), "values of thresholds")
    show_figure(
        bars.thresholds_swept(swept, title=title, footer=footer),
        alt=f"Listed pairs at each value of each threshold, least and most: {_say_range(swept)}.",
        caption="Listed pairs of site and access network by threshold, each moved from the "
        "published numbers by itself; figures are the values tried.",
    )
    show_table(swept[shift > 0], caption="Values that move sites on or off the list")
    all_values = swept.drop(columns=["gained", "lost"])
    show_table(all_values, caption="All values tried", fold_after=12)
