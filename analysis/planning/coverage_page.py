"""What the page on coverage shows: findings and figures with all that belongs to each, pairs to
test, a plan, lines to mend."""

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from analysis.languages.language import ENGLISH, elided
from analysis.observations.messaging_tests import TESTS
from analysis.pages.formats import percent
from analysis.pages.show import show_finding, show_markup, show_table, show_text
from analysis.pages.tracks import (
    Bar,
    Row,
    draw_counts,
    draw_figure,
    draw_tracks,
    month_marks,
    place_of,
)
from analysis.period import Period
from analysis.planning.coverage import (
    WEB,
    count_list_changes,
    find_gaps,
    find_runs,
    find_unlisted,
    list_access_networks,
)
from analysis.study.study import Study

_LONGEST = 60  # characters of a name
#: Measurements of sites by the list that names them.
LISTS = ("country", "general", "none")
#: Networks that are drawn; the table has them all.
_MOST_ROWS = 20
#: Columns of the indicators for which a page is too narrow; the file has them.
_NOT_SHOWN = ("scope", "since", "until", "app_measurement_change_share")
#: Words for columns that other pages do not have.
HEADINGS = {
    "scope": "Whose", "period": "Month or quarter", "is_whole": "Whole", "item": "Which",
    "untested_day_count": "Days without a test", "new_domain_count": "Sites newly tested",
    "measurement_change_share": "Measurements, change", "session_change_share": "Sessions, change",
    "domain_change_share": "Sites, change",
    "network_change_share": "Networks, change",
    "app_measurement_count": "Tests of apps, tools",
    "app_measurement_change_share": "Tests of apps and tools, change",
    "source": "Source", "source_count": "How many",
    "largest": "The largest", "largest_share": "Its share",
    "two_largest_share": "Share of the two largest", "equal_source_count": "As many of equal size",
    "country_list_count": "Of the country's list", "general_list_count": "Of another list",
    "none_list_count": "On no list", "longest_gap_days": "Longest gap, days",
    "line_count": "Lines added", "tested_line_count": "Of them tested", "list": "List",
    "date_added": "Added", "file": "List", "url": "Address", "first_tested": "First tested",

    "days_untested": "Days until then", "last_tested": "Last tested",
    "floor_pair_count": "Enough tests",
    "below_pair_count": "Too few tests",
    "untested_pair_count": "No test", "floor_share": "Enough tests, share",
}  # fmt: skip


def name_network(name: str, asn: str) -> str:
    """A network in words; its name comes from probes and may be of any length."""
    return f"{elided(name, _LONGEST)} ({asn})" if name else asn


def claim_floor(floor: pd.DataFrame) -> None:
    """Show how much of what could be judged was tested enough.

    Args:
        floor: ``floor.count_floor``.
    """
    enough, few, none = (
        int(floor[f"{name}_pair_count"].sum()) for name in ("floor", "below", "untested")
    )
    total = enough + few + none
    show_finding(
        "floor",
        f"Of {total:,} pairs of a tested site and an access network, {enough:,} "
        f"({percent(enough / max(total, 1))}) were tested enough to be judged.",
        f"{few:,} were tested too little, on too few days or in too few sessions, and {none:,} not "
        "at all: of these nothing is known, neither that the site is blocked nor that it is open.",
        "Sites are those that anybody tested on any network in the period. A site that nobody "
        "tested is not among them.",
    )


def show_floor(study: Study, floor: pd.DataFrame) -> None:
    """Show how many pairs of each access network were tested enough.

    Args:
        study: whose period and country the footer names.
        floor: ``floor.count_floor``.
    """
    shown = floor.head(_MOST_ROWS)
    rows = [
        (name_network(row["network"], row["probe_asn"]), row["floor_pair_count"],
         f"{row['floor_pair_count']:,} · {percent(row['floor_share'])}")
        for row in shown.to_dict("records")
    ]  # fmt: skip
    title = "No access network measured"
    if rows:
        (most, most_share), (least, least_share) = (
            (
                elided(floor["network"].iloc[place], _LONGEST),
                percent(floor["floor_share"].iloc[place]),
            )
            for place in (0, -1)
        )
        title = f"{least} has enough tests of {least_share} of the sites, {most} of {most_share}"
    heads = ("Network", "Sites with enough tests", "Sites, share")
    alt = "; ".join(f"{label} {count:,}" for label, count, _ in rows)
    reading = (
        "Sites tested enough to be judged on each access network, and their share of all sites "
        f"tested anywhere. Source: OONI, {study.title}."
    )
    drawn = draw_counts(rows, heads, ["tested"] * len(rows))
    show_markup(draw_figure(drawn, f"Bars by network: {alt}.", reading, title=title))
    show_table(
        floor, caption="Pairs of a site and an access network, by how much was tested",
        fold_after=_MOST_ROWS, headings=HEADINGS,
    )  # fmt: skip


def show_months(coverage: pd.DataFrame) -> None:
    """Show what was tested month by month, and of what lists.

    Args:
        coverage: the contract's ``coverage_by_month``.
    """
    months = coverage[coverage["scope"] == "all"].drop(columns=["scope", "item", "name"])
    by_list = coverage[coverage["scope"] == "list"].pivot(
        index="month", columns="item", values="measurement_count"
    )
    for item in LISTS:
        counts = by_list[item] if item in by_list else pd.Series(dtype="Int64")
        months[f"{item}_list_count"] = months["month"].map(counts).fillna(0).astype("int64")
    show_table(months, caption="Tests by month, in all and by list", headings=HEADINGS)


def show_tests(coverage: pd.DataFrame) -> None:
    """Show how often each of OONI's tests was run, month by month.

    Args:
        coverage: the contract's ``coverage_by_month``.
    """
    of_tests = coverage[coverage["scope"] == "test"]
    counts = of_tests.pivot(index="month", columns="item", values="measurement_count")
    order = [WEB, *(test.name for test in TESTS)]
    titles = {WEB: "Web sites", **{test.name: test.title for test in TESTS}}
    some = counts.reindex(columns=[name for name in order if name in counts])
    table = some.fillna(0).astype("int64").rename(columns=titles).reset_index()
    show_table(
        table, caption="Measurements by month and test",
        note="A test that is not named was not run. Sessions, networks, days and gaps of each "
        "stand in coverage_by_month.csv.",
    )  # fmt: skip


def show_gaps(study: Study, days: Mapping[str, Sequence[date]], ranked: pd.DataFrame) -> None:
    """Show on which days each access network tested anything.

    Args:
        study: of the period.
        days: ``coverage.list_tested_days``.
        ranked: the contract's ``networks``.
    """
    period = study.periods["all"]
    access = list_access_networks(ranked)
    named = dict(zip(access["probe_asn"], access["network"], strict=True))
    order = sorted(named, key=lambda asn: (-len(days.get(asn, ())), asn))[:_MOST_ROWS]
    labels = {"all": "Any network", **{asn: name_network(named[asn], asn) for asn in order}}
    rows = [_draw_days(label, days.get(asn, ()), period) for asn, label in labels.items()]
    daily = sum(len(days.get(asn, ())) == period.day_count for asn in named)
    longest = max((gap.day_count for gap in find_gaps(days["all"], period)), default=0)
    title = (
        f"{len(days['all']):,} of {period.day_count:,} days have a test; "
        f"{daily} of {len(named)} access networks have one on every day"
    )
    reading = (
        f"A bar where days with a test follow one another; what is empty was not tested. The "
        f"longest stretch without any test on any network is {longest:,} days."
    )
    alt = "; ".join(f"{row.label}: {row.words}" for row in rows)
    heads = ("Network", "Time", "Days with a test")
    drawn = draw_tracks(rows, heads, month_marks(ENGLISH, period))
    show_markup(draw_figure(drawn, f"A time axis with a line per network. {alt}.", reading,
                             title=title))  # fmt: skip


def _draw_days(label: str, days: Sequence[date], period: Period) -> Row:
    bars = tuple(
        Bar(place_of(run.since, period), place_of(run.until, period), "tested")
        for run in find_runs(days)
    )
    longest = max((gap.day_count for gap in find_gaps(days, period)), default=0)
    words = f"{len(days):,} of {period.day_count:,} days, longest gap {longest:,} days"
    return Row(label, bars, words, f"{len(days):,}")


def show_indicators(study: Study, indicators: pd.DataFrame) -> None:
    """Show the indicators, quarters first, with what they are not.

    Args:
        study: whose parameters say what the project's own is.
        indicators: the contract's ``indicators``.
    """
    for scope, whose in (("country", "of the country"), ("project", "of the project")):
        of = indicators[indicators["scope"] == scope].drop(columns=[*_NOT_SHOWN])
        if len(of):
            is_quarter = of["period"].str.contains("Q")
            ordered = pd.concat([of[is_quarter], of[~is_quarter]])
            show_table(
                ordered, caption=f"Indicators {whose}, by quarter and by month",
                headings=HEADINGS, fold_after=20,
            )  # fmt: skip
    campaign = study.parameters.campaign
    show_text(
        f"The project's own are measurements of {_say_campaign(study)}."
        if campaign
        else "Nothing is counted as the project's own: name its OONI Run links, or networks that "
        "it alone uses, in the parameter PROJECT."
    )


def _say_campaign(study: Study) -> str:
    campaign = study.parameters.campaign
    links = ", ".join(map(str, campaign.run_links))
    networks = ", ".join(f"AS{asn}" for asn in campaign.asns)
    parts = [f"probes that followed OONI Run link {links}"] if links else []
    return " or ".join([*parts, *([f"network {networks}"] if networks else [])])


def show_sources(weighed: pd.DataFrame) -> None:
    """Show how far one or two sources dominate.

    Args:
        weighed: ``dominance.weigh_sources``.
    """
    if weighed.empty:
        show_text("Nothing was measured.")
        return
    largest = elided(weighed["largest"].iloc[0], _LONGEST)
    network, alike = (percent(weighed["largest_share"].iloc[place]) for place in (0, -1))
    show_finding(
        "sources",
        f"The largest network, {largest}, made {network} of the measurements; "
        f"the largest group of probes alike in network, version and platform {alike}.",
        "One busy probe is no more than such a group. Verdicts count sessions and days, so that it "
        "weighs less than its rows.",
    )
    show_table(weighed, caption="How far one or two sources dominate", headings=HEADINGS)


def show_list_changes(study: Study) -> None:
    """Show what was added to the test lists within the period, and whether it was tested."""
    months, added = count_list_changes(study)
    show_table(months, caption="Lines added to the test lists, by month", headings=HEADINGS)
    show_table(added, caption="Lines added in the period", fold_after=15, headings=HEADINGS,
               is_printed=False)  # fmt: skip
    unlisted = find_unlisted(study)
    if unlisted.empty:
        return
    show_table(
        unlisted, caption="Sites on no list that several networks tested", fold_after=15,
        headings=HEADINGS, is_printed=False,
        note="Probes test what is on the lists, or what a link or a person hands them. A site that "
        "many networks tested for some time, and nobody since, was perhaps taken off a list.",
    )  # fmt: skip


# --- what comes next ------------------------------------------------------------------------------

_SHOWN = 20
#: Of so many networks the files are named.
_MOST_FILES = 60
PLAN_HEADINGS = {
    "score": "Score", "test_reason": "Why", "tests_needed": "Tests needed",
    "days_untested": "Days since the last test", "pair_count": "Pairs", "site_count": "Sites",
    "network_count": "Networks", "descriptor_url": "OONI Run descriptor",
    "plain_list_url": "Plain list",
    "problem": "What is wrong", "action": "To do", "file": "List", "line": "Line",
    "url": "Address", "line_count": "Lines", "line_proposed": "The line as it should stand",
}  # fmt: skip


def claim_what_to_test(pairs: pd.DataFrame) -> None:
    """Show how many pairs are worth a test, and the best of them.

    Args:
        pairs: the contract's ``what_to_test``.
    """
    first = pairs.sort_values("rank")
    suspected = (pairs["test_reason"] == "suspected").sum()
    elsewhere = (pairs["test_reason"] == "listed_elsewhere").sum()
    show_finding(
        "what-to-test",
        f"{len(pairs):,} pairs of a site and an access network are worth a test; on {suspected:,} "
        "a block is suspected and too little was tested to say so.",
        f"Of {elsewhere:,} further ones another network lists the site, and here too little was "
        "tested to know.",
        "A place in this table is no finding about a site: it says where a test would tell most.",
        "tables/what_to_test.csv",
    )
    reasons = first.groupby("test_reason").agg(
        pair_count=("domain", "size"), site_count=("domain", "nunique"),
        network_count=("probe_asn", "nunique"),
    )  # fmt: skip
    ordered = reasons.sort_values("pair_count", ascending=False).reset_index()
    show_table(ordered, caption="Pairs worth a test, by reason", headings=PLAN_HEADINGS)
    columns = ["domain", "network", "test_reason", "score", "blocked_session_count",
               "session_count", "tests_needed", "days_untested"]  # fmt: skip
    show_table(
        first[columns], caption="Pairs worth a test, the highest scores first",
        fold_after=_SHOWN, headings=PLAN_HEADINGS, file="what_to_test.csv",
    )  # fmt: skip


def show_plan(plan: pd.DataFrame, runs: pd.DataFrame) -> None:
    """Show what a week of the plan holds, and the files to hand out.

    Args:
        plan: the contract's ``testing_plan``.
        runs: ``ranking.write_runs``.
    """
    by_day = plan.pivot_table(
        index=["probe_asn", "network"], columns="day", values="domain", aggfunc="count"
    )
    counts = by_day.fillna(0).astype("int64").reset_index()
    caption = "Sites to test on each network and day"
    show_table(counts, caption=caption, fold_after=_SHOWN, file="testing_plan.csv")
    more = max(len(runs) - _MOST_FILES, 0)
    note = f"Those of {more:,} networks more lie beside them." if more else ""
    runs = runs.head(_MOST_FILES)
    show_table(runs, caption="Files to hand out", headings=PLAN_HEADINGS, note=note)


def show_list_care(care: pd.DataFrame) -> None:
    """Show what is wrong with lines of the test lists, and what to do.

    Args:
        care: the contract's ``list_care``.
    """
    removed = (care["action"] == "remove").sum()
    changed = (care["action"] == "change").sum()
    show_finding(
        "list-care",
        f"{care[['file', 'line']].drop_duplicates().shape[0]:,} lines of the test lists want care: "
        f"{removed:,} times one should go, {changed:,} times one should change.",
        "The others are for a person to look at.",
        "A name that no control resolved has lapsed for now; somebody may register it again.",
        "tables/list_care.csv",
    )
    counted = care.groupby(["file", "problem", "action"]).size().rename("line_count").reset_index()
    show_table(counted, caption="Lines that want care, by list", headings=PLAN_HEADINGS,
               note="A line with two problems is counted under each.")  # fmt: skip
    columns = ["file", "line", "problem", "action", "url", "why"]
    order = {"remove": 0, "change": 1}
    first = care.sort_values(
        ["action", "file", "line"], key=lambda cells: cells.map(order).fillna(2)
        if cells.name == "action" else cells,
    )  # fmt: skip
    show_table(first[columns], caption="Lines that want care", fold_after=_SHOWN,
               headings=PLAN_HEADINGS, file="list_care.csv")  # fmt: skip
