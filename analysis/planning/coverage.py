"""What was tested in each month: in all, by network, by category and by list; the gaps, how many
hands it comes from, how much was tested enough, and what was added to the test lists.

The second half is what the page on coverage shows of it, with pairs to test, a plan, and lines of
the lists to correct.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import duckdb
import pandas as pd
from markupsafe import Markup

from analysis.hosts import is_placeholder
from analysis.languages.language import ENGLISH, elided
from analysis.observations.messaging_tests import TESTS
from analysis.outcomes.steps import create_tables, create_type
from analysis.pages.formats import number
from analysis.pages.tracks import (
    Bar,
    Row,
    draw_figure,
    draw_tracks,
    month_marks,
    place_of,
)
from analysis.period import MOMENT, Period
from analysis.reference.networks import DOMESTIC
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
    """Return the list that names a site: ``country``, ``general``, or ``none``."""
    if lists.is_on_country_list(domain):
        return "country"
    return "general" if lists.is_listed(domain) else "none"


def count_coverage(
    connection: duckdb.DuckDBPyConnection, period: Period, names: Mapping[int, str]
) -> pd.DataFrame:
    """Return the contract's ``coverage_by_month``: one row per month, scope and item that was
    tested.

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
    """Return the days on which each network was tested; the key None has those of all networks."""
    return dict(connection.execute(_DAYS_BY_NETWORK).fetchall())


_SINGLE_RUNS = """
WITH by_day AS (
  SELECT probe_asn, day, count(DISTINCT session) AS run_count FROM tested WHERE probe_asn > 0
  GROUP BY probe_asn, day
), network AS (SELECT median(run_count) = 1 AS is_single FROM by_day GROUP BY probe_asn)
SELECT count(*) FILTER (is_single), count(*) FROM network
"""


def count_single_runs(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Count the networks with one run on most of the days on which they were tested, and all
    networks.

    Args:
        connection: holds what ``add_tested`` makes.
    """
    ((single, every),) = connection.execute(_SINGLE_RUNS).fetchall()
    return single, every


def find_gaps(days: Iterable[date], period: Period) -> list[Period]:
    """Return the stretches of a period without any test, in order.

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
    """Return the stretches of a period with a test on each day, in order. Arguments as of
    ``find_gaps``.
    """
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
    """Return the contract's ``tested_stretches``: those of all networks together and of each that
    the page draws.

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
    """Return the access networks with tests on most days."""
    access = list_access_networks(ranked)["probe_asn"]
    return sorted(map(int, access), key=lambda asn: (-len(days.get(asn, ())), asn))[:_MOST_ROWS]


def _count_days(days: Sequence[date], period: Period) -> dict[str, int]:
    """Count the days with a test and without one, and find the longest gap."""
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
    """Return the rows of the contract's ``networks`` for which tests are planned.

    They are access networks of the country; of very many, those with most days. What an unknown
    network (AS0) measured cannot be tested again.
    """
    access = ranked[ranked["kind"].isin(DOMESTIC) & (ranked["probe_asn"] != 0)]
    return access.nlargest(MOST_NETWORKS, "day_count").sort_index()


def count_floor(verdicts: pd.DataFrame, ranked: pd.DataFrame, site_count: int) -> pd.DataFrame:
    """Count the pairs of each access network that reach the evidence floor, a row a network.

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

# The share of the largest sources. A source is a group of probes: those of a network, of a version
# or of a platform. Probes that share all three are one group, which is not named, because it may be
# one person's.

#: Kind of source → its words. A source of the last kind is never named.
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
    """Return one row per kind of source: the share of the largest and of the two largest.

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

#: A site on no list counts as widely tested from these numbers of networks and of days on.
_LEAST_NETWORKS, _LEAST_DAYS = 3, 10
#: Its tests have stopped if there was none in this number of days before the end of the period.
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
    """Count the lines that were added to the lists, by the dates in the lists.

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
    """Return sites on no list that several networks tested for some time and then no more.

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
    """Return the tests of apps and tools of the same source and period, as the table
    ``messaging``.
    """
    return open_messaging(study.parameters).connection


def count_test_coverage(
    connection: duckdb.DuckDBPyConnection, coverage: pd.DataFrame, period: Period
) -> pd.DataFrame:
    """Return the rows of scope ``test`` of the contract's ``coverage_by_month``: one per month and
    test.

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
    """Count the tests of apps and tools of each month and quarter, of everybody and of a project.

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


#: Counts for which the change from the month or quarter before is given.
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
    """Return the contract's ``indicators``: one row per scope and month or quarter of the period.

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
        parameters = {"is_project": scope == "project"}
        counted = connection.execute(_BY_PERIOD, parameters).df().set_index("label")
        first_tests = [
            day.date() for day in connection.execute(_FIRST_DAYS, parameters).df()["day"]
        ]
        frames += [
            _count_spans(counted, first_tests, period, scope, spans, app_tests)
            for spans in (list_spans(period, "M"), list_spans(period, "Q"))
        ]
    return pd.concat(frames, ignore_index=True)


def list_spans(period: Period, grain: str) -> Iterator[tuple[str, Period, bool]]:
    """Yield the calendar months (``M``) or quarters (``Q``) that a study touches, in order.

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
    """Count the months or the quarters of one scope, in order of time, with their changes."""
    rows = []
    for label, span, is_whole in spans:
        counts_of_span = counted.loc[label] if label in counted.index else None
        days = (
            []
            if counts_of_span is None
            else [day.date() for day in pd.to_datetime(counts_of_span["days"])]
        )
        rows.append(
            {
                "scope": scope,
                "period": label,
                "since": span.since,
                "until": span.until,
                "is_whole": is_whole,
                **{name: 0 if counts_of_span is None else counts_of_span[name] for name in _COUNTS},
                "app_measurement_count": app_tests.get((scope, label), 0),
                # earlier tests are not known, so no site of the first period is new
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
    """Return the share by which each count grew; empty where two counts cannot be compared."""
    before = counts.shift()
    comparable = is_whole & is_whole.shift(fill_value=False) & (before > 0)
    return ((counts - before) / before.where(before > 0)).where(comparable).round(3)


_LONGEST = 60  # characters of a name
#: The most networks that are drawn; the table has all of them.
_MOST_ROWS = 20
#: Columns of the indicators for which a page is too narrow; the file has them.
NOT_SHOWN = ("scope", "since", "until", "app_measurement_change_share")


def tabulate_months_by_test(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return the measurements of each month, a column for each of OONI's tests that was run.

    Args:
        coverage: the contract's ``coverage_by_month``.
    """
    of_tests = coverage[coverage["scope"] == "test"]
    counts = of_tests.pivot(index="month", columns="item", values="measurement_count")
    titles = {WEB: "Web sites", **{test.name: test.title for test in TESTS}}
    counts = counts.reindex(columns=[name for name in titles if name in counts])
    return counts.fillna(0).astype("int64").rename(columns=titles).reset_index()


def draw_tested_days(
    days: Mapping[int | None, Sequence[date]],
    ranked: pd.DataFrame,
    period: Period,
    *,
    title: str,
    reading: str,
) -> Markup:
    """Return a figure of the days on which each access network was tested.

    Args:
        days: ``list_tested_days``.
        ranked: the contract's ``networks``.
        period: of the axis.
        title: what the figure shows.
        reading: stands under it.
    """
    access = list_access_networks(ranked)
    named = dict(zip(access["probe_asn"], access["network"], strict=True))
    labels: dict[int | None, str] = {
        None: "All networks together",
        # a name comes from probes and may be of any length
        **{
            asn: name_network(elided(named[asn], _LONGEST), asn)
            for asn in _choose_drawn(days, ranked)
        },
    }
    rows = [_draw_days(label, days.get(asn, ()), period) for asn, label in labels.items()]
    tracks = draw_tracks(
        rows, ("Network", "Time", "Days with a test"), month_marks(ENGLISH, period)
    )
    lines = "; ".join(f"{row.label}: {row.words}" for row in rows)
    alt = f"A time axis with a line per network. {lines}."
    return draw_figure(tracks, alt, reading, title=title)


def _draw_days(label: str, days: Sequence[date], period: Period) -> Row:
    """Return the line of a network: a bar for each run of consecutive days with a test."""
    bars = tuple(
        Bar(place_of(stretch.since, period), place_of(stretch.until, period), "tested")
        for stretch in find_stretches(days, period)
    )
    words = (
        f"days with a test: {len(days):,} of {period.day_count:,}, longest gap in days: "
        f"{find_longest_gap(days, period):,}"
    )
    return Row(label, bars, words, number(len(days)), "1-ingestion.html#table-networks")


def find_longest_gap(days: Sequence[date], period: Period) -> int:
    """Return the most days in a row without a test, 0 if every day has one."""
    return max((gap.day_count for gap in find_gaps(days, period)), default=0)


def order_periods(indicators: pd.DataFrame) -> pd.DataFrame:
    """Return the indicators with the quarters first.

    Args:
        indicators: rows of the contract's ``indicators``.
    """
    is_quarter = indicators["period"].str.contains("Q")
    return pd.concat([indicators[is_quarter], indicators[~is_quarter]])
