"""What was tested in each month: in all, by network, by category and by list; the gaps, how many
hands it comes from, how much was tested enough, and what was added to the test lists.

The second half is what the page on coverage shows of it, with pairs to test, a plan, and lines of
the lists to correct.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import duckdb
import pandas as pd

from analysis.hosts import is_placeholder
from analysis.languages.language import ENGLISH, elided
from analysis.observations.messaging_tests import TESTS
from analysis.outcomes.steps import create_tables, create_type
from analysis.pages.formats import number, percent
from analysis.pages.show import show_finding, show_markup, show_table, show_text
from analysis.pages.tracks import (
    Bar,
    Row,
    draw_figure,
    draw_tracks,
    month_marks,
    place_of,
)
from analysis.period import MOMENT, Period
from analysis.reference.networks import DOMESTIC, SEVERAL_DAYS
from analysis.reference.test_lists import TestLists
from analysis.study.parameters import Campaign
from analysis.study.study import Study, open_messaging
from analysis.tables import name_network, tell_network
from analysis.verdicts.states import is_tested_enough

_NAMES = "(SELECT domain FROM observations UNION SELECT '' ORDER BY ALL)"

_TESTED = """
SELECT CAST(measurement_start_time AS DATE) AS day,
  CAST(date_trunc('month', measurement_start_time) AS DATE) AS month,
  probe_asn, CAST(domain AS tested_name) AS domain, run AS session,
  {condition} AS is_project, software_name, software_version, platform
FROM observations
"""

_LISTED = """
SELECT TRY_CAST(domain AS tested_name) AS domain, category_code, list FROM listed_site_frame
"""

_BY_MONTH = """
SELECT strftime(month, '%Y-%m') AS month, CASE WHEN grouping(probe_asn) = 0 THEN 'network'
    WHEN grouping(category_code) = 0 THEN 'category'
    WHEN grouping(list) = 0 THEN 'list' ELSE 'all' END AS scope,
  coalesce('AS' || probe_asn, category_code, list, 'all') AS item, count(*) AS measurement_count,
  count(DISTINCT session) AS session_count,
  count(DISTINCT domain) FILTER (domain <> '') AS domain_count,
  count(DISTINCT probe_asn) AS network_count, probe_asn, list_sort(list(DISTINCT day)) AS days
FROM tested JOIN listed_site USING (domain)
GROUP BY GROUPING SETS
  ((tested.month), (tested.month, probe_asn), (tested.month, category_code), (tested.month, list))
ORDER BY 1, 2, 3
"""
_COLUMNS = (
    "month",
    "scope",
    "item",
    "measurement_count",
    "session_count",
    "domain_count",
    "network_count",
)

_DAYS_BY_NETWORK = """
SELECT probe_asn, coalesce(list_sort(list(DISTINCT day)), []) AS days
FROM tested GROUP BY GROUPING SETS ((), (probe_asn)) ORDER BY 1
"""


def add_tested(
    connection: duckdb.DuckDBPyConnection, sites: pd.DataFrame, lists: TestLists, campaign: Campaign
) -> None:
    """Make the tables that this folder counts.

    ``tested`` has a row for each measurement: ``day, month`` (its first day), ``probe_asn, domain,
    session, is_project, software_name, software_version, platform``. ``listed_site`` has one for
    each tested site: ``domain, category_code, list``. The names are an enumeration.

    Args:
        connection: holds ``observations``.
        sites: ``Study.domains``.
        lists: say which of them names a site.
        campaign: what is a project's own.
    """
    for name in ("tested", "listed_site"):  # they depend on the type
        connection.execute(f"DROP TABLE IF EXISTS temp.{name}")
    create_type(connection, "tested_name", _NAMES)
    named = sites[["domain", "category_code"]].assign(
        list=[find_list(lists, domain) for domain in sites["domain"]]
    )
    connection.register("listed_site_frame", named.astype("str"))
    steps = {"tested": _TESTED.format(condition=campaign.condition), "listed_site": _LISTED}
    create_tables(connection, steps, {})
    connection.unregister("listed_site_frame")


def find_list(lists: TestLists, domain: str) -> str:
    """The list that names a site: ``country``, ``general``, or ``none``."""
    if lists.is_on_country_list(domain):
        return "country"
    return "general" if lists.is_listed(domain) else "none"


def count_coverage(
    connection: duckdb.DuckDBPyConnection, period: Period, names: Mapping[int, str]
) -> pd.DataFrame:
    """The contract's ``coverage_by_month``: one row per month, scope and item that was tested.

    Args:
        connection: with the tables of ``add_tested``.
        period: of the study.
        names: number → the network's name.
    """
    months = {f"{month.since:%Y-%m}": month for month in period.months()}
    rows = []
    for *counts, asn, days in connection.execute(_BY_MONTH).fetchall():
        row = dict(zip(_COLUMNS, counts, strict=True))
        rows.append({**row, "name": names.get(asn, ""), **_count_days(days, months[row["month"]])})
    columns = [*_COLUMNS, "name", "day_count", "untested_day_count", "longest_gap_days"]
    return pd.DataFrame(rows, columns=columns)


def list_tested_days(connection: duckdb.DuckDBPyConnection) -> dict[int | None, list[date]]:
    """Network → the days on which it tested anything; None for any network."""
    return dict(connection.execute(_DAYS_BY_NETWORK).fetchall())


_SINGLE_RUNS = """
WITH by_day AS (
  SELECT probe_asn, day, count(DISTINCT session) AS run_count FROM tested WHERE probe_asn > 0
  GROUP BY probe_asn, day
), network AS (SELECT median(run_count) = 1 AS is_single FROM by_day GROUP BY probe_asn)
SELECT count(*) FILTER (is_single), count(*) FROM network
"""


def count_single_runs(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Networks with one run on most of the days on which they were tested, and all networks.

    Args:
        connection: holds what ``add_tested`` makes.
    """
    ((single, every),) = connection.execute(_SINGLE_RUNS).fetchall()
    return single, every


def find_gaps(days: Iterable[date], period: Period) -> list[Period]:
    """The stretches of a period without any test, in order.

    Args:
        days: those with a test, in order, within the period.
        period: with its edges: before the first test and after the last one nothing is known.
    """
    gaps, after = [], period.since
    for day in (*days, period.until):
        if after < day:
            gaps.append(Period(after, day))
        after = day + timedelta(days=1)
    return gaps


def find_stretches(days: Iterable[date], period: Period) -> list[Period]:
    """The stretches of a period with a test on each day, in order. Arguments as of ``find_gaps``"""
    gaps = find_gaps(days, period)
    edges = [period.since, *(edge for gap in gaps for edge in (gap.since, gap.until)), period.until]
    return [
        Period(since, until)
        for since, until in zip(edges[::2], edges[1::2], strict=True)
        if since < until
    ]


def tabulate_stretches(
    days: Mapping[int | None, Sequence[date]], ranked: pd.DataFrame, period: Period
) -> pd.DataFrame:
    """The contract's ``tested_stretches``: those of all networks together and of each that the page
    draws.

    Args:
        days: ``list_tested_days``.
        ranked: the contract's ``networks``.
        period: of the study.
    """
    rows = [
        ("all" if asn is None else tell_network(asn), stretch.since, stretch.last_day)
        for asn in (None, *_choose_drawn(days, ranked))
        for stretch in find_stretches(days.get(asn, ()), period)
    ]
    return pd.DataFrame(rows, columns=["item", "first_day", "last_day"])


def _choose_drawn(days: Mapping[int | None, Sequence[date]], ranked: pd.DataFrame) -> list[int]:
    """The access networks with tests on most days."""
    access = list_access_networks(ranked)["probe_asn"]
    return sorted(map(int, access), key=lambda asn: (-len(days.get(asn, ())), asn))[:_MOST_ROWS]


def _count_days(days: Sequence[date], period: Period) -> dict[str, int]:
    """How many days have a test, how many have none, and the longest gap."""
    gaps = [gap.day_count for gap in find_gaps(days, period)]
    return {
        "day_count": len(days),
        "untested_day_count": sum(gaps),
        "longest_gap_days": max(gaps, default=0),
    }


# --- enough tests ---------------------------------------------------------------------------------


#: Networks for which a page and a plan have rows and files.
MOST_NETWORKS = 100


def list_access_networks(ranked: pd.DataFrame) -> pd.DataFrame:
    """The rows of the contract's ``networks`` for which tests are planned.

    They are access networks of the country that were tested on several days; of very many, those
    with most days. Anybody can make up others. What an unknown network (AS0) measured cannot be
    tested again.
    """
    access = ranked[ranked["kind"].isin(DOMESTIC) & (ranked["probe_asn"] != 0)]
    access = access[access["day_count"] >= SEVERAL_DAYS]
    return access.nlargest(MOST_NETWORKS, "day_count").sort_index()


def count_floor(verdicts: pd.DataFrame, ranked: pd.DataFrame, site_count: int) -> pd.DataFrame:
    """One row per access network: how many of its pairs reach the evidence floor.

    Args:
        verdicts: the contract's ``verdicts``.
        ranked: the contract's ``networks``.
        site_count: sites tested anywhere, each of which could be tested on each network.

    Returns:
        ``probe_asn, network, floor_pair_count, below_pair_count, untested_pair_count,
        floor_share`` (of all three); those with most pairs above the floor first.
    """
    whole = verdicts[(verdicts["period"] == "all") & (verdicts["domain"] != "")]
    is_below = ~is_tested_enough(whole)
    counts = pd.DataFrame(
        {
            "floor_pair_count": (~is_below).groupby(whole["probe_asn"]).sum(),
            "below_pair_count": is_below.groupby(whole["probe_asn"]).sum(),
        }
    )
    rows = list_access_networks(ranked)[["probe_asn", "network"]].merge(
        counts, left_on="probe_asn", right_index=True, how="left"
    )
    rows = rows.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, "int64"))
    tested = rows["floor_pair_count"] + rows["below_pair_count"]
    rows["untested_pair_count"] = site_count - tested
    rows["floor_share"] = rows["floor_pair_count"] / max(site_count, 1)
    return rows.sort_values(
        ["floor_pair_count", "probe_asn"], ascending=[False, True], ignore_index=True
    )


# --- how many hands -------------------------------------------------------------------------------

# How far one or two sources dominate. Sources are groups that nobody is alone in naming: a network,
# a version of the probe, a platform. Probes that share all three are counted together and not
# named: the group may be one person's.

#: What may dominate → the words for it. The last is never named.
SOURCES = {
    "probe_asn": "Network",
    "software": "Version of the probe",
    "platform": "Platform",
    "like": "Probes with the same network, version and platform",
}

_WEIGHED = """
WITH counted AS (
  SELECT probe_asn, concat_ws(' ', software_name, software_version) AS software,
    coalesce(platform, '') AS platform,
    CASE grouping(probe_asn, software_name, platform)
      WHEN 3 THEN 'probe_asn' WHEN 5 THEN 'software' WHEN 6 THEN 'platform' ELSE 'like' END
      AS source,
    count(*) AS measurement_count
  FROM tested GROUP BY GROUPING SETS
    ((probe_asn), (software_name, software_version), (platform),
     (probe_asn, software_name, software_version, platform))
), ranked AS (
  SELECT *, measurement_count / sum(measurement_count) OVER (PARTITION BY source) AS share,
    row_number() OVER (PARTITION BY source
      ORDER BY measurement_count DESC, probe_asn, software, platform) AS place,
    CASE source WHEN 'probe_asn' THEN 'AS' || probe_asn WHEN 'software' THEN software
      WHEN 'platform' THEN platform ELSE '' END AS name
  FROM counted
)
SELECT source, count(*) AS source_count, first(name ORDER BY place) AS largest,
  max(share) AS largest_share, sum(share) FILTER (place <= 2) AS two_largest_share,
  round(1 / sum(share * share), 1) AS equal_source_count
FROM ranked GROUP BY source
ORDER BY list_position(['probe_asn', 'software', 'platform', 'like'], source)
"""


def weigh_sources(connection: duckdb.DuckDBPyConnection, names: Mapping[int, str]) -> pd.DataFrame:
    """One row per kind of source: the share of the largest and of the two largest.

    Args:
        connection: with the tables of ``add_tested``.
        names: number → the network's name.

    Returns:
        ``source, source_count, largest, largest_share, two_largest_share, equal_source_count``:
        as many sources of one size would be as concentrated (the inverse of the sum of squared
        shares).
    """
    weighed = connection.execute(_WEIGHED).df()
    named = {tell_network(asn): name_network(name, asn) for asn, name in names.items()}
    return weighed.assign(
        source=weighed["source"].map(SOURCES), largest=weighed["largest"].replace(named)
    )


# --- the test lists -------------------------------------------------------------------------------

#: A site that nobody lists counts as tested widely from so many networks, and days, on.
_LEAST_NETWORKS, _LEAST_DAYS = 3, 10
#: Without a test for so many days before the end of the period, its tests have stopped.
_QUIET_DAYS = 28

_FIRST_TESTS = """
SELECT domain::VARCHAR, min(day) AS day FROM tested WHERE domain <> '' GROUP BY domain
"""


_UNLISTED = """
SELECT domain::VARCHAR AS domain, min(day) AS first_tested, max(day) AS last_tested,
  count(*) AS measurement_count, count(DISTINCT probe_asn) AS network_count,
  count(DISTINCT day) AS day_count
FROM tested JOIN listed_site USING (domain) WHERE list = 'none' AND domain <> ''
GROUP BY tested.domain
HAVING network_count >= $networks AND day_count >= $days AND last_tested < $stopped
ORDER BY last_tested, tested.domain
"""


def count_list_changes(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the lists' own dates say.

    Args:
        study: whose tables ``add_tested`` has made.

    Returns:
        One row per month and list in which lines were added: ``month, list, line_count,
        tested_line_count`` (those whose site was tested in the period). And one row per line
        added: ``date_added, file, url, category, first_tested, days_untested`` (from the later of
        its date and the period's first day to the first test). A line whose name is withheld is
        counted and has no row: its date and list would give the name away.
    """
    period = study.periods["all"]
    rows = study.connection.execute(_FIRST_TESTS).fetchall()
    first_tests = dict(rows)
    added = pd.DataFrame(
        [
            (
                entry.date_added,
                entry.file,
                entry.url,
                entry.category,
                first_tests.get(entry.domain),
                entry.domain,
            )
            for entry in study.lists.test_lists.entries
            if str(period.since) <= entry.date_added < str(period.until)
        ],
        columns=["date_added", "file", "url", "category", "first_tested", "domain"],
    ).astype(dict.fromkeys(("date_added", "first_tested"), MOMENT))
    added = added.sort_values(["date_added", "file", "url"], ignore_index=True)
    waited = added["first_tested"] - added["date_added"]
    added["days_untested"] = waited.dt.days.clip(lower=0).astype("Int64")
    months = added.assign(
        month=added["date_added"].dt.strftime("%Y-%m"),
        list=added["file"],
        is_tested=added["first_tested"].notna(),
    ).groupby(["month", "list"])["is_tested"]
    counted = months.agg(line_count="size", tested_line_count="sum").reset_index()
    is_shown = [not is_placeholder(domain) for domain in added.pop("domain")]
    return counted, added.loc[is_shown].reset_index(drop=True)


def find_unlisted(study: Study) -> pd.DataFrame:
    """Sites that several networks tested for some time and then no more, and no list names.

    Args:
        study: whose tables ``add_tested`` has made.

    Returns:
        One row a site, those first that nobody has tested for longest: ``domain, first_tested,
        last_tested, measurement_count, network_count, day_count``.
    """
    stopped = study.periods["all"].until - timedelta(days=_QUIET_DAYS)
    least = {"networks": _LEAST_NETWORKS, "days": _LEAST_DAYS, "stopped": stopped}
    return study.connection.execute(_UNLISTED, least).df()


#: The test of web sites, which every other scope counts.
WEB = "web_connectivity"

_APPS_BY_MONTH = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month, test_name AS item,
  count(*) AS measurement_count, count(DISTINCT run) AS session_count,
  count(DISTINCT probe_asn) AS network_count,
  list_sort(list(DISTINCT measurement_start_time::DATE)) AS days
FROM messaging GROUP BY ALL ORDER BY ALL
"""
_BY_SCOPE = """
SELECT strftime(measurement_start_time, '%Y-%m') AS month,
  strftime(measurement_start_time, '%Y') || '-Q' || quarter(measurement_start_time) AS quarter,
  count(*) AS country, count(*) FILTER ({condition}) AS project
FROM messaging GROUP BY GROUPING SETS ((month), (quarter)) ORDER BY ALL
"""


def open_app_tests(study: Study) -> duckdb.DuckDBPyConnection:
    """The tests of apps and tools of the same source and period, as the table ``messaging``."""
    return open_messaging(study.parameters).connection


def count_test_coverage(
    connection: duckdb.DuckDBPyConnection, coverage: pd.DataFrame, period: Period
) -> pd.DataFrame:
    """The rows of scope ``test`` of the contract's ``coverage_by_month``: one per month and test.

    Args:
        connection: of ``open_app_tests``.
        coverage: the rows of web sites, whose scope ``all`` is the test of web sites.
        period: of the study.
    """
    months = {f"{month.since:%Y-%m}": month for month in period.months()}
    of_web = coverage[coverage["scope"] == "all"].assign(scope="test", item=WEB)
    rows = []
    for month, item, measurements, sessions, networks, days in connection.execute(
        _APPS_BY_MONTH
    ).fetchall():
        rows.append(
            {
                "month": month,
                "scope": "test",
                "item": item,
                "measurement_count": measurements,
                "session_count": sessions,
                "domain_count": pd.NA,
                "network_count": networks,
                "name": "",
                **_count_days(days, months[month]),
            }
        )
    of_apps = pd.DataFrame(rows, columns=coverage.columns)
    return pd.concat([of_web.astype("object"), of_apps.astype("object")], ignore_index=True)


def count_app_tests(
    connection: duckdb.DuckDBPyConnection, project: Campaign
) -> Mapping[tuple[str, str], int]:
    """How many tests of apps and tools each month and quarter has, of everybody and of a project.

    Args:
        connection: of ``open_app_tests``.
        project: what is its own.

    Returns:
        ``(scope, period)``, as in the contract's ``indicators`` → tests.
    """
    counted = connection.execute(_BY_SCOPE.format(condition=project.condition)).fetchall()
    return {
        (scope, month or quarter): count
        for month, quarter, country, own in counted
        for scope, count in (("country", country), ("project", own))
    }


#: Counts of which the change from the month or quarter before is given.
CHANGES = {
    "measurement_count": "measurement_change_share",
    "session_count": "session_change_share",
    "network_count": "network_change_share",
    "domain_count": "domain_change_share",
    "app_measurement_count": "app_measurement_change_share",
}
_COUNTS = ("measurement_count", "session_count", "network_count", "domain_count")

_BY_PERIOD = """
SELECT CASE grouping(month) WHEN 0 THEN strftime(month, '%Y-%m')
    ELSE strftime(quarter, '%Y') || '-Q' || quarter(quarter) END AS label,
  count(*) AS measurement_count, count(DISTINCT session) AS session_count,
  count(DISTINCT probe_asn) AS network_count,
  count(DISTINCT domain) FILTER (domain <> '') AS domain_count,
  list_sort(list(DISTINCT day)) AS days
FROM (SELECT *, date_trunc('quarter', month) AS quarter FROM tested)
WHERE is_project OR NOT $is_project
GROUP BY GROUPING SETS ((month), (quarter)) ORDER BY 1
"""

_FIRST_DAYS = """
SELECT min(day) AS day FROM tested
WHERE domain <> '' AND (is_project OR NOT $is_project) GROUP BY domain
"""


def count_indicators(
    connection: duckdb.DuckDBPyConnection,
    period: Period,
    app_tests: Mapping[tuple[str, str], int],
    *,
    has_project: bool,
) -> pd.DataFrame:
    """The contract's ``indicators``: one row per scope and month or quarter of the period.

    A month without a test is a row with zeros: a plan asks for it. What changed is left empty
    where one of the two is cut by the edge of the study, and so are the sites newly tested in the
    first month and quarter: what was tested before is not known.

    Args:
        connection: with the tables of ``add_tested``.
        period: of the study.
        app_tests: ``count_app_tests``.
        has_project: whether anything is said to be a project's own.
    """
    frames = []
    for scope in ("country", *(["project"] if has_project else [])):
        given = {"is_project": scope == "project"}
        counted = connection.execute(_BY_PERIOD, given).df().set_index("label")
        first_tests = [day.date() for day in connection.execute(_FIRST_DAYS, given).df()["day"]]
        frames += [
            _count_spans(counted, first_tests, period, scope, spans, app_tests)
            for spans in (list_spans(period, "M"), list_spans(period, "Q"))
        ]
    return pd.concat(frames, ignore_index=True)


def list_spans(period: Period, grain: str) -> Iterator[tuple[str, Period, bool]]:
    """The calendar months (``M``) or quarters (``Q``) that a study touches, in order.

    Yields:
        Label, days within the study, and whether the whole month or quarter lies in it.
    """
    for span in pd.period_range(period.since, period.last_day, freq=grain):
        first, end = span.start_time.date(), (span + 1).start_time.date()
        within = Period(max(first, period.since), min(end, period.until))
        label = f"{first:%Y-%m}" if grain == "M" else f"{first.year}-Q{span.quarter}"
        yield label, within, within == Period(first, end)


def _count_spans(
    counted: pd.DataFrame,
    first_tests: list[date],
    period: Period,
    scope: str,
    spans: Iterable[tuple[str, Period, bool]],
    app_tests: Mapping[tuple[str, str], int],
) -> pd.DataFrame:
    """The months or the quarters of one scope, in order of time, with what changed."""
    rows = []
    for label, span, is_whole in spans:
        found = counted.loc[label] if label in counted.index else None
        days = [] if found is None else [day.date() for day in pd.to_datetime(found["days"])]
        rows.append(
            {
                "scope": scope,
                "period": label,
                "since": span.since,
                "until": span.until,
                "is_whole": is_whole,
                **{name: 0 if found is None else found[name] for name in _COUNTS},
                "app_measurement_count": app_tests.get((scope, label), 0),
                # what was tested before the first tests is not known
                "new_domain_count": sum(day in span for day in first_tests)
                if min(first_tests, default=span.until) < span.since
                else pd.NA,
                "day_count": len(days),
                "untested_day_count": sum(gap.day_count for gap in find_gaps(days, span)),
            }
        )
    frame = pd.DataFrame(rows)
    for count, change in CHANGES.items():
        frame[change] = _changes(frame[count], frame["is_whole"])
    return frame


def _changes(counts: pd.Series, is_whole: pd.Series) -> pd.Series:
    """By what share of the one before each count grew; empty where they cannot be compared."""
    before = counts.shift()
    comparable = is_whole & is_whole.shift(fill_value=False) & (before > 0)
    return ((counts - before) / before.where(before > 0)).where(comparable).round(3)


_LONGEST = 60  # characters of a name
#: Networks that are drawn; the table has them all.
_MOST_ROWS = 20
#: Columns of the indicators for which a page is too narrow; the file has them.
_NOT_SHOWN = ("scope", "since", "until", "app_measurement_change_share")


def claim_floor(floor: pd.DataFrame, ranked: pd.DataFrame) -> None:
    """Show how much of what could be judged was tested enough.

    Args:
        floor: ``count_floor``.
        ranked: the contract's ``networks``.
    """
    others = ranked["kind"].isin(DOMESTIC).sum() - len(floor)
    enough, few, none = (
        int(floor[f"{name}_pair_count"].sum()) for name in ("floor", "below", "untested")
    )
    total = enough + few + none
    show_finding(
        "floor",
        ENGLISH.say(
            "{enough} of {total} pairs of a tested site and an access network ({share}) were "
            "tested enough.",
            enough=enough,
            total=total,
            share=percent(enough / total),
        )
        if total
        else "No access network of the country was tested on several days.",
        ENGLISH.say(
            "Pairs tested, but not enough: {few}. Pairs not tested at all: {none}. On these pairs "
            "the site may be blocked or open. Where the tests of a pair disagree, it has no "
            "conclusion, even if there are enough of them.",
            few=few,
            none=none,
        ),
        "Only sites that were tested on some network in the period are counted."
        + (
            ENGLISH.say(
                " Access networks that are not counted, here or in the plan, because they were "
                "tested on fewer than {days} days: {n}. At most {most} networks are counted.",
                n=int(others),
                most=MOST_NETWORKS,
                days=SEVERAL_DAYS,
            )
            if others
            else ""
        ),
    )


def show_floor(floor: pd.DataFrame) -> None:
    """Show how many pairs of each access network were tested enough.

    Args:
        floor: ``count_floor``.
    """
    show_table(
        floor,
        caption="Pairs of a site and an access network, by how much was tested",
        fold_after=_MOST_ROWS,
        headings={
            "floor_pair_count": "Enough tests",
            "below_pair_count": "Tested, not enough",
            "untested_pair_count": "No test",
            "floor_share": "Enough tests, share",
        },
    )


def show_months(coverage: pd.DataFrame) -> None:
    """Show what was tested month by month.

    Args:
        coverage: the contract's ``coverage_by_month``.
    """
    months = coverage[coverage["scope"] == "all"].drop(columns=["scope", "item", "name"])
    show_table(months, caption="Measurements by month")


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
        table,
        caption="Measurements by month and test",
        headings={title: title for title in titles.values()},
        note="Tests without a column were not run. coverage_by_month.csv also has the sessions, "
        "networks, days and gaps of each test.",
    )


def show_gaps(
    study: Study, days: Mapping[int | None, Sequence[date]], ranked: pd.DataFrame
) -> None:
    """Show on which days each access network tested anything.

    Args:
        study: of the period.
        days: ``list_tested_days``.
        ranked: the contract's ``networks``.
    """
    period = study.periods["all"]
    access = list_access_networks(ranked)
    named = dict(zip(access["probe_asn"], access["network"], strict=True))
    order = _choose_drawn(days, ranked)
    labels: dict[int | None, str] = {
        None: "All networks together",
        # a name comes from probes and may be of any length
        **{asn: name_network(elided(named[asn], _LONGEST), asn) for asn in order},
    }
    rows = [_draw_days(label, days.get(asn, ()), period) for asn, label in labels.items()]
    daily = sum(len(days.get(asn, ())) == period.day_count for asn in named)
    longest = max((gap.day_count for gap in find_gaps(days[None], period)), default=0)
    title = ENGLISH.say(
        "Days with a test: {tested} of {days}", tested=len(days[None]), days=period.day_count
    ) + (
        ENGLISH.say(
            "; access networks with a test every day: {daily} of {n}", daily=daily, n=len(named)
        )
        if named
        else "; no access network has a test"
    )
    reading = ENGLISH.say(
        "A bar shows consecutive days with a test. Empty days were not tested. Longest time "
        "without a test, all networks together, in days: {n}.",
        n=longest,
    )
    alt = "; ".join(f"{row.label}: {row.words}" for row in rows)
    heads = ("Network", "Time", "Days with a test")
    drawn = draw_tracks(rows, heads, month_marks(ENGLISH, period))
    show_markup(
        draw_figure(drawn, f"A time axis with a line per network. {alt}.", reading, title=title)
    )


def _draw_days(label: str, days: Sequence[date], period: Period) -> Row:
    bars = tuple(
        Bar(place_of(stretch.since, period), place_of(stretch.until, period), "tested")
        for stretch in find_stretches(days, period)
    )
    longest = max((gap.day_count for gap in find_gaps(days, period)), default=0)
    words = ENGLISH.say(
        "days with a test: {tested} of {days}, longest gap in days: {longest}",
        tested=len(days),
        days=period.day_count,
        longest=longest,
    )
    return Row(label, bars, words, number(len(days)), "1-ingestion.html#table-networks")


def show_indicators(study: Study, indicators: pd.DataFrame) -> None:
    """Show the indicators, quarters first.

    Args:
        study: whose parameters say what the project's own is.
        indicators: the contract's ``indicators``.
    """
    for scope, whose in (("country", "of the country"), ("project", "of the volunteer project")):
        of = indicators[indicators["scope"] == scope].drop(columns=[*_NOT_SHOWN])
        if len(of):
            is_quarter = of["period"].str.contains("Q")
            ordered = pd.concat([of[is_quarter], of[~is_quarter]])
            show_table(
                ordered,
                caption=f"Indicators {whose}, by quarter and by month",
                headings={"period": "Month or quarter"},
                fold_after=20,
            )
    campaign = study.parameters.campaign
    show_text(
        ENGLISH.say(
            "The parameter PROJECT names a volunteer project, whose own tests are counted "
            "here: measurements from {source}.",
            source=_say_campaign(study),
        )
        if campaign
        else "No measurement is counted as the project's own. To count them, give the project's "
        "OONI Run links, or networks that only the project uses, in the parameter PROJECT."
    )


def _say_campaign(study: Study) -> str:
    campaign = study.parameters.campaign
    links = ", ".join(map(str, campaign.run_links))
    networks = ", ".join(map(tell_network, campaign.asns))
    parts = {"probes that followed OONI Run link": links, "network": networks}
    return " or ".join(f"{what} {names}" for what, names in parts.items() if names)


def show_sources(weighed: pd.DataFrame) -> None:
    """Show how far one or two sources dominate.

    Args:
        weighed: ``weigh_sources``.
    """
    if weighed.empty:
        show_text("Nothing was measured.")
        return
    largest = elided(weighed["largest"].iloc[0], _LONGEST)
    network, alike = (percent(weighed["largest_share"].iloc[place]) for place in (0, -1))
    show_finding(
        "sources",
        ENGLISH.say(
            "The largest network, {largest}, made {network} of the measurements. The largest "
            "group of probes with the same network, version and platform made {alike}.",
            largest=largest,
            network=network,
            alike=alike,
        ),
        "A probe that keeps its network, version and platform is in one such group; a probe that "
        "is updated is in several. Verdicts count sessions and days, so even many rows of one "
        "probe have little weight.",
    )
    show_table(weighed, caption="Shares of the largest sources")


def show_single_runs(single: int, every: int) -> None:
    """Say on how many networks a row may be one volunteer's.

    Args:
        single, every: ``count_single_runs``.
    """
    show_text(
        ENGLISH.say(
            "Networks with a single run on most of the days on which they were tested: {n} of "
            "{all}. On such a network, a row with its days and hours may show the habit of one "
            "volunteer. Consider this before you name the network in a text.",
            n=single,
            all=every,
        )
    )


def show_list_changes(months: pd.DataFrame, added: pd.DataFrame, unlisted: pd.DataFrame) -> None:
    """Show what was added to the test lists within the period, and whether it was tested.

    Args:
        months, added: ``count_list_changes``.
        unlisted: ``find_unlisted``.
    """
    show_table(
        months,
        caption="Lines added to the test lists, by month",
        headings={"line_count": "Lines added"},
    )
    show_table(
        added,
        caption="Lines added in the period",
        fold_after=15,
        headings={"days_untested": "Days from its addition to the first test, 0 if tested before"},
        is_printed=False,
    )
    if unlisted.empty:
        return
    show_table(
        unlisted,
        caption="Sites on no list whose tests stopped",
        fold_after=15,
        is_printed=False,
        note="Probes test sites from the lists, from a link, or from a person. Several networks "
        "tested these sites, and no network in the last four weeks. They were perhaps removed from "
        "a list.",
    )


# --- what comes next ------------------------------------------------------------------------------

_SHOWN = 20
#: Of so many networks the files are shown at once.
_MOST_FILES = 60


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
        ENGLISH.say(
            "Pairs of a site and an access network that are worth a test: {n}. Pairs among them "
            "with too few tests, but with a test that failed as it would in a block: {suspected}.",
            n=len(pairs),
            suspected=suspected,
        ),
        ENGLISH.say(
            "Only sites on a test list or in the annex can be here, without names that do not "
            "exist. Pairs that are here because the site is listed on another network, and that "
            "have too few tests or none: {n}.",
            n=elsewhere,
        ),
        "The table does not say that a site is blocked. It says which tests would tell the most.",
        "tables/what_to_test.csv",
    )
    reasons = first.groupby("test_reason").agg(
        pair_count=("domain", "size"),
        site_count=("domain", "nunique"),
        network_count=("probe_asn", "nunique"),
    )
    ordered = reasons.sort_values("pair_count", ascending=False).reset_index()
    show_table(ordered, caption="Pairs worth a test, by reason")
    columns = [
        "domain",
        "network",
        "test_reason",
        "score",
        "blocked_session_count",
        "session_count",
        "tests_needed",
        "days_untested",
    ]
    show_table(
        first[columns],
        caption="Pairs worth a test, the highest scores first",
        fold_after=_SHOWN,
        file="what_to_test.csv",
    )


def show_comparison(thin: pd.DataFrame, run: Mapping[str, object]) -> None:
    """Show the networks on which a block cannot be told from a broken connection.

    Args:
        thin: ``ranking.find_without_comparison``.
        run: ``ranking.write_run``.
    """
    if thin.empty:
        show_text(
            "No access network has 100 measurements or more and fewer than 30 sites that were "
            "reached. Networks with fewer measurements are not checked."
        )
        return
    show_table(
        thin,
        caption="Networks with little to compare with",
        headings={"tested_count": "Sites tested", "reached_count": "Sites reached"},
        fold_after=_SHOWN,
    )
    show_table(pd.DataFrame([run]), caption="Everyday sites to add")


def show_plan(plan: pd.DataFrame, runs: pd.DataFrame) -> None:
    """Show what a week of the plan holds, and the files to hand out.

    Args:
        plan: the contract's ``testing_plan``.
        runs: ``ranking.write_runs``.
    """
    by_day = plan.assign(day=plan["day"].dt.date).pivot_table(
        index=["probe_asn", "network"], columns="day", values="domain", aggfunc="count"
    )
    counts = by_day.fillna(0).astype("int64").reset_index()
    caption = "Sites to test on each network and day"
    show_table(counts, caption=caption, fold_after=_SHOWN, file="testing_plan.csv")
    caption = "Files to hand out"
    show_table(runs, caption=caption, fold_after=_MOST_FILES)


def show_list_care(care: pd.DataFrame) -> None:
    """Show the problems in lines of the test lists, and what to do.

    Args:
        care: the contract's ``list_care``.
    """
    removed = (care["action"] == "remove").sum()
    changed = (care["action"] == "change").sum()
    show_finding(
        "list-care",
        ENGLISH.say(
            "Lines of the test lists with a problem: {n}. Problems solved by removing the line: "
            "{removed}; by changing it: {changed}; to be checked by a person: {checked}.",
            n=len(care[["file", "line"]].drop_duplicates()),
            removed=removed,
            changed=changed,
            checked=len(care) - removed - changed,
        ),
        "",
        "If no control resolved a name, the name has lapsed for now. Someone may register it "
        "again.",
        "tables/list_care.csv",
    )
    counted = care.groupby(["file", "problem", "action"]).size().rename("line_count").reset_index()
    show_table(
        counted,
        caption="Lines with problems, by list",
        note="A line with two problems is counted under each.",
    )
    columns = ["file", "line", "problem", "action", "url", "why"]
    order = {"remove": 0, "change": 1}
    first = care.sort_values(
        ["action", "file", "line"],
        key=lambda cells: cells.map(order).fillna(2) if cells.name == "action" else cells,
    )
    show_table(
        first[columns], caption="Lines with problems", fold_after=_SHOWN, file="list_care.csv"
    )
