"""What the page on apps and circumvention tools shows: claims, matrix, hours, shares.

A notebook calls one of these for a section, on what ``messaging.judge_apps`` has found.
"""

import pandas as pd

from analysis.pages.formats import numbered, percent
from analysis.pages.plots import shares_here_and_elsewhere
from analysis.pages.show import show_figure, show_finding, show_matrix, show_table, show_text
from analysis.reference.test_counts import COUNTS
from analysis.report.app_tables import Judged, title_of
from analysis.report.headlines import Numbers
from analysis.report.local_time import add_local_hours
from analysis.study.app_study import MessagingStudy
from analysis.verdicts.elsewhere import week_of


def name_tests(table: pd.DataFrame) -> pd.DataFrame:
    """A table with ``test_name`` as readers know the tests."""
    return table.assign(test_name=table["test_name"].map(title_of))


def claim_apps(study: MessagingStudy, numbers: Numbers) -> None:
    """Show how many apps and tools were found blocked, and what that is held against.

    Args:
        study: whose counts of other countries they were held against.
        numbers: of ``headlines.count_apps``.
    """
    if not numbers["app_test_count"]:
        show_text(
            "The source has no measurement of any messaging app or circumvention tool in the "
            "period, and no counts of them are at hand: nothing is known, which is not the same "
            "as nothing is blocked."
        )
        return
    countries = len(study.elsewhere.countries)
    control = (
        f"Each was held against the same weeks in {countries} other countries."
        if countries
        else "No counts of other countries are at hand: each was held against the country's other "
        "networks, and what fails on most of them at once cannot be told from a fault of the test."
    )
    show_finding(
        "apps",
        numbered(
            "{blocked_app_count} of {app_test_count} apps and tools that were tested were blocked "
            "or likely blocked: {blocked_app_pair_count} pairs of test and network, on "
            "{blocked_app_network_count} of {app_network_count} networks.",
            **numbers,
        ),
        control,
        "These tests have no control of their own. A failed test is no data; one that ran and "
        "reached nothing is evidence.",
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
    )


def show_stretches(study: MessagingStudy, intervals: pd.DataFrame) -> None:
    """Show each stretch in which a part of a test was cut off."""
    shown = add_local_hours(intervals, study.probe_cc)
    shown = shown.assign(
        test=shown["test_name"].map(title_of),
        endpoints=[
            "" if pd.isna(tried) else f"{int(cut):,} of {int(tried):,}"
            for cut, tried in shown[["cut_endpoint_count", "endpoint_count"]].to_numpy(object)
        ],
    )
    columns = ["test", "part", "endpoints", "probe_asn", "blocked_from", "blocked_until",
               "schedule", *(["local_schedule"] if "local_schedule" in shown else []), "mechanism",
               "session_count", "chance", "elsewhere_anomaly_share"]  # fmt: skip
    empty = [name for name in ("schedule", "mechanism") if not (shown[name] != "").any()]
    show_table(
        shown[columns].drop(columns=empty),
        caption="When each part was cut off",
        note="Anomalies elsewhere: the median share of other countries in the same weeks; empty "
        "where their counts are not at hand. Endpoints: those cut off, of those that the part "
        "tried. messaging_intervals.csv names them, with days and moments.",
        headings={"endpoints": "Endpoints cut off"},
        fold_after=25,
        file="messaging_intervals.csv",
        networks=study.network_names(),
    )


def show_shares(study: MessagingStudy, judged: Judged) -> None:
    """Draw the share of anomalies by week, here and in a typical other country."""
    days = judged.days.assign(valid=judged.days["ok_count"] + judged.days["anomaly_count"])
    days = days.assign(week=week_of(pd.DatetimeIndex(days["day"])))
    weeks = days.groupby(["test_name", "week"], as_index=False).agg(
        anomaly_count=("anomaly_count", "sum"), valid=("valid", "sum"),
    )  # fmt: skip
    weeks = weeks.merge(study.elsewhere.weeks, on=["test_name", "week"], how="left")
    weeks = weeks.assign(
        here=(weeks["anomaly_count"] / weeks["valid"].where(weeks["valid"] > 0)).astype(float),
        elsewhere=weeks["typical"], panel=weeks["test_name"].map(title_of),
    )  # fmt: skip
    broken = judged.defects["test_name"].nunique()
    countries, period = len(study.elsewhere.countries), study.periods["all"]
    title = (
        f"{broken} of {weeks['test_name'].nunique()} tests failed in most of {countries} other "
        "countries for weeks as well"
        if countries
        else "No counts of other countries are at hand to hold these shares against"
    )
    share = weeks.groupby("panel", sort=False)[["anomaly_count", "valid"]].sum()
    show_figure(
        shares_here_and_elsewhere(
            weeks, title=title, footer=study.footer(int(weeks["valid"].sum()), "tests"),
            since=period.since, until=period.until,
        ),
        alt="Lines of the share of anomalies by week; over the whole period here: " + "; ".join(
            f"{panel} {percent(row['anomaly_count'] / max(row['valid'], 1))}"
            for panel, row in share.iterrows()
        ),
        caption="Anomalies among tests that did not fail, by week, by OONI's flags.",
    )  # fmt: skip


def show_country(study: MessagingStudy) -> None:
    """Show OONI's counts of each test in the whole country beside other countries'."""
    counted = study.here.groupby("test_name", as_index=False)[[*COUNTS]].sum()
    if counted.empty:
        show_text("OONI's counts of the whole country are not at hand.")
        return
    period = study.periods["all"]
    since, until = pd.Timestamp(period.since), pd.Timestamp(period.last_day)
    valid = counted["ok_count"] + counted["anomaly_count"]
    show_table(
        counted.assign(
            test=counted["test_name"].map(title_of),
            anomaly_share=counted["anomaly_count"] / valid.where(valid > 0),
            elsewhere_anomaly_share=[
                study.elsewhere.typical_share(name, since, until) for name in counted["test_name"]
            ],
        )[["test", *COUNTS, "anomaly_share", "elsewhere_anomaly_share"]],
        caption="Each test in the whole country, by OONI's counts",
        note="Counts know no network, no hours and no layer, and one probe may make most of them: "
        "they are shown beside those of a typical other country, and say nothing of a block.",
    )


def show_defects(judged: Judged) -> None:
    """Show when a test failed everywhere, with what is publicly known of it."""
    show_table(
        judged.defects.assign(test=judged.defects["test_name"].map(title_of)).rename(
            columns={"share": "typical_share"}
        )[["test", "since", "until", "typical_share", "country_count", "cause", "source"]],
        caption="Weeks in which a test failed in most other countries",
        headings={"since": "From", "until": "To", "cause": "What is known of it",
                  "country_count": "Other countries, at least", "source": "Source"},
        note="Found in the counts of other countries; what is publicly known stands beside it.",
    )  # fmt: skip
