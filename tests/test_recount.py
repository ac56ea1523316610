"""What is counted in SQL, counted again in plain Python from the same few hundred measurements.

Runs test a site more than once, tests that failed are confirmed all the same, one site is tested
early and never again, one late, a run passes midnight, names are missing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import cache
from random import Random
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import duckdb
import pandas as pd
import pytest

from analysis.period import Period, day_of
from analysis.planning import coverage
from analysis.planning.ranking import count_others, find_last_tests
from analysis.reference.test_lists import LIST_COLUMNS, ListEntry, TestLists
from analysis.report.charts import find_unlisted_traces
from analysis.report.fields_met import count_fields_met
from analysis.report.following import count_session_days
from analysis.report.instrument import count_versions
from analysis.report.other_methods import weigh_flags
from analysis.report.run_counts import count_runs
from analysis.report.site_pages import count_flags
from analysis.study import study as counts
from analysis.study.confirmation import confirm
from analysis.study.parameters import Campaign
from analysis.study.study import Study
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests.letters import ALL_NETWORKS, LETTERS, VPN, study_of
from tests.observations import Row, connect, connection_with

PERIOD, SPLIT = Period.parse("2024-01-20", "2024-06-01"), "2024-04-01"
SITES = ("a.example", "b.example", "early.example", "late.example", "")
CATEGORIES = dict(zip(SITES, ("NEWS", "HOST", "NEWS", "NONE", "NONE"), strict=True))
FLAGS_IN_ORDER = ("ok", "anomaly", "confirmed", "failure")
#: The last day of one site, the first one of another, which nobody lists.
ENDED, BEGUN = date(2024, 4, 20), date(2024, 3, 20)
PROJECT = 77
_ADDED = LIST_COLUMNS.index("date_added")
LISTS = TestLists(
    "QQ",
    tuple(
        ListEntry(
            role, f"https://{site}/", site, code, code, file, 2, (*[""] * _ADDED, added, "", "")
        )
        for role, site, code, file, added in (
            ("country", "a.example", "NEWS", "qq.csv", "2024-02-03"),
            ("country", "untested.example", "NEWS", "qq.csv", "2024-02-28"),
            ("country", "b.example", "HOST", "qq.csv", "2024-06-01"),
            ("general", "b.example", "HOST", "global.csv", "2024-01-19"),
        )
    ),
)


def _measure_one(rng: Random, site: str, letter: str) -> Row:
    """A measurement that shows what a letter says; OONI's flags are drawn beside it."""
    path = rng.choice(("", "", "page"))
    row = {
        **LETTERS[letter],
        "domain": site,
        "http_host": site,
        "input": f"https://{site or '[::1'}/{path}",
        "is_anomaly": rng.random() < 0.3,
        "is_confirmed": rng.choice((True, False, False, None)),
        "is_failure": rng.random() < 0.3,
        "test_version": rng.choice(("0.4.2", "0.4.3", "0.5.28", "1.2.3.4", None)),
    }
    if letter == "O" and rng.random() < 0.3:
        row["tcp"] = [*row["tcp"], connect("2001:db8::10")]
    if rng.random() < 0.1:  # one failure, which the rules do not know, of two attempts
        attempts = [connect(f"2001:db8::{number}", "made_up") for number in (11, 12)]
        row["tcp"] = [*row["tcp"], *attempts]
    return row


def _run_tests(rng: Random, number: int, day: date) -> Iterator[Row]:
    """The measurements of one run: some sites, each up to four times."""
    asn = rng.choice((*ALL_NETWORKS, *ALL_NETWORKS, VPN))
    started = datetime.combine(day, time(rng.choice((8, 12, 23)), 30))
    probe = {
        "probe_asn": asn,
        "resolver_asn": rng.choice((asn, asn, asn, 64999)),
        "probe_network_name": rng.choice(("One", "One", "Two", None)),
        "software_name": rng.choice(("ooniprobe-android", "ooniprobe-ios")),
        "software_version": rng.choice(("3.8", "3.9")),
        "platform": rng.choice(("android", "ios", None)),
        "run_link_id": rng.choice((PROJECT, None, 5)),
        "report_id": f"run-{number}",
    }
    sites = [
        site
        for site in SITES
        if rng.random() < 0.7
        and not (site == "early.example" and day > ENDED)
        and not (site == "late.example" and day < BEGUN)
    ]
    for site in sites:
        usual = "B" if site == "a.example" and asn == ALL_NETWORKS[0] else "O"
        for _ in range(rng.choice((1, 1, 2, 3, 4))):
            letter = usual if rng.random() < 0.8 else rng.choice("BROUDNK")
            started += timedelta(minutes=rng.choice((7, 19)))
            yield {**_measure_one(rng, site, letter), **probe, "measurement_start_time": started}


@cache
def measurements() -> tuple[Row, ...]:
    """Some two hundred runs, none in February's last ten days, and one that passes the split."""
    rng = Random(60)
    days = [day for day in PERIOD.days() if not date(2024, 2, 20) <= day <= date(2024, 2, 29)]
    rows = [row for number in range(200) for row in _run_tests(rng, number, rng.choice(days[:-2]))]
    probe = {"probe_asn": ALL_NETWORKS[1], "resolver_asn": ALL_NETWORKS[1], "report_id": "night"}
    rows += [
        {
            **_measure_one(rng, site, "O"),
            **probe,
            "measurement_start_time": datetime(2024, 3, 31, 23, 50)
            + timedelta(minutes=15 * number),
        }
        for number, site in enumerate(("a.example", "b.example", "a.example", "a.example"))
    ]
    return tuple(rows)


@cache
def connection() -> duckdb.DuckDBPyConnection:
    return connection_with(measurements())


def _day(row: Row) -> date:
    return cast(date, day_of(row["measurement_start_time"]))


def _month(row: Row) -> str:
    return f"{_day(row):%Y-%m}"


def _flag(row: Row) -> str:
    if row["is_failure"]:
        return "failure"
    return "confirmed" if row["is_confirmed"] else "anomaly" if row["is_anomaly"] else "ok"


def _is_flagged(row: Row) -> bool:
    return not row["is_failure"] and bool(row["is_anomaly"] or row["is_confirmed"])


def _is_confirmed(row: Row) -> bool:
    return not row["is_failure"] and bool(row["is_confirmed"])


def _group(key: Callable[[Row], Any], rows: Iterable[Row] | None = None) -> dict[Any, list[Row]]:
    """The measurements by a key, in the order of the keys."""
    found: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in measurements() if rows is None else rows:
        found[key(row)].append(row)
    return {key: found[key] for key in sorted(found)}


def _rows(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """The rows of a frame, days as such."""
    chosen = frame[list(columns)] if columns else frame
    return [
        tuple(one.date() if isinstance(one, pd.Timestamp) else one for one in row)
        for row in chosen.itertuples(index=False)
    ]


def _count(rows: Iterable[Row], test: Callable[[Row], Any]) -> int:
    return sum(bool(test(row)) for row in rows)


def _sites(rows: Iterable[Row]) -> int:
    return len({row["domain"] for row in rows} - {""})


def _different(rows: Iterable[Row], column: str) -> int:
    return len({row[column] for row in rows})


# --- what a study counts --------------------------------------------------------------------------


def test_a_study_counts_its_measurements() -> None:
    """By month, network, site, half and flag; each measurement has one flag."""
    con = connection()
    assert _rows(counts.count_by_month(con, has_fingerprints=True)) == [
        (
            month,
            len(rows),
            *map(Counter(map(_flag, rows)).__getitem__, FLAGS_IN_ORDER),
        )
        for month, rows in _group(_month).items()
    ]
    assert _rows(counts.count_by_network(con)) == [
        (asn, len(rows), _sites(rows), len({_day(row) for row in rows}))
        for asn, rows in _group(lambda row: row["probe_asn"]).items()
    ]
    networks = pd.DataFrame({"probe_asn": [*ALL_NETWORKS, VPN], "network": "Network"})
    by_month = counts.count_by_network_and_month(con, networks)
    assert _rows(by_month, "probe_asn", "month", "measurement_count") == [
        (*key, len(rows))
        for key, rows in _group(lambda row: (row["probe_asn"], _month(row))).items()
    ]
    split = date.fromisoformat(SPLIT)
    first, second = PERIOD.split(SPLIT)
    halves = counts.count_in_halves(con, {"second": second})
    assert _rows(halves) == [
        (
            asn,
            _count(rows, lambda row: _day(row) < split),
            _count(rows, lambda row: _day(row) >= split),
        )
        for asn, rows in _group(lambda row: row["probe_asn"]).items()
    ]
    for period, found in counts.count_in_periods(con, {"first": first, "second": second}).items():
        inside = [row for row in measurements() if (_day(row) < split) == (period == "first")]
        assert found == {
            "measurement_count": len(inside),
            "domain_count": _sites(inside),
            "network_asns": sorted({row["probe_asn"] for row in inside}),
        }
    for domain, measured, anomalies, flagged, inputs in _rows(counts.count_by_domain(con)):
        rows = _group(lambda row: row["domain"])[domain]
        assert measured == len(rows)
        assert anomalies == _count(rows, lambda row: row["is_anomaly"] or row["is_confirmed"])
        assert flagged == _count(rows, _is_flagged)
        assert list(inputs) == sorted({row["input"] for row in rows})


def test_a_network_has_the_name_that_most_runs_of_a_day_report() -> None:
    """Each day has one vote, for no name if two are as frequent."""
    votes: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for (asn, _), rows in _group(lambda row: (row["probe_asn"], _day(row))).items():
        runs = Counter(
            name or "" for _, name in {(r["report_id"], r["probe_network_name"]) for r in rows}
        )
        most = [name for name, count in runs.items() if count == max(runs.values())]
        votes[asn][most[0] if len(most) == 1 else ""] += 1
    assert counts.read_reported_names(connection()) == votes


# --- what was tested, and by whom -----------------------------------------------------------------


@cache
def _tested() -> Study:
    """What the counts of planning read of a study."""
    con = connection_with(measurements())
    sites = pd.DataFrame(CATEGORIES.items(), columns=["domain", "category_code"])
    coverage.add_tested(con, sites, LISTS, Campaign.of(str(PROJECT)))
    lists = SimpleNamespace(test_lists=LISTS)
    return cast(Study, SimpleNamespace(connection=con, periods={"all": PERIOD}, lists=lists))


def _gaps(days: Iterable[date], period: Period) -> list[int]:
    """Lengths of the stretches of a period without a test."""
    tested, gaps = set(days), [0]
    for day in period.days():
        gaps = [*gaps, 0] if day in tested else [*gaps[:-1], gaps[-1] + 1]
    return gaps


def _months(period: Period) -> dict[str, Period]:
    return {f"{month.since:%Y-%m}": month for month in period.months()}


def _months_of(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """The counts of each month that has a test."""
    return [
        (
            month,
            len(inside),
            _different(inside, "report_id"),
            _sites(inside),
            _different(inside, "probe_asn"),
            len(days := {_day(row) for row in inside}),
            sum(gaps := _gaps(days, _months(PERIOD)[month])),
            max(gaps),
        )
        for month, inside in _group(_month, rows).items()
    ]


def test_coverage_of_each_scope() -> None:
    """Runs, sites, networks, days and gaps, however often a run tests a site."""
    found = coverage.count_coverage(_tested().connection, PERIOD, {})
    scopes: dict[tuple[str, str], Callable[[Row], bool]] = {
        ("all", "all"): lambda row: True,
        **{
            ("network", f"AS{asn}"): lambda row, asn=asn: row["probe_asn"] == asn
            for asn in (*ALL_NETWORKS, VPN)
        },
        **{
            ("category", code): lambda row, code=code: CATEGORIES[row["domain"]] == code
            for code in ("NEWS", "HOST", "NONE")
        },
        ("list", "country"): lambda row: row["domain"] in ("a.example", "b.example"),
        ("list", "none"): lambda row: row["domain"] not in ("a.example", "b.example"),
    }
    assert set(_rows(found, "scope", "item")) == set(scopes)
    columns = ["month", "measurement_count", "session_count", "domain_count", "network_count"]
    columns += ["day_count", "untested_day_count", "longest_gap_days"]
    for (scope, item), is_inside in scopes.items():
        part = found[(found["scope"] == scope) & (found["item"] == item)]
        assert _rows(part, *columns) == _months_of(filter(is_inside, measurements())), (scope, item)


def test_days_runs_and_last_tests() -> None:
    """Which days each network tested, how many networks have one run a day, and when each pair was
    tested last."""
    con = _tested().connection
    days = coverage.list_tested_days(con)
    by_network = _group(lambda row: row["probe_asn"])
    assert days == {
        None: sorted({_day(row) for row in measurements()}),
        **{asn: sorted({_day(row) for row in rows}) for asn, rows in by_network.items()},
    }
    single = 0
    for rows in by_network.values():
        runs = [_different(day, "report_id") for day in _group(_day, rows).values()]
        single += median(runs) == 1
    assert coverage.count_single_runs(con) == (single, len(by_network))
    named = [row for row in measurements() if row["domain"]]
    assert _rows(find_last_tests(con)) == [
        (*pair, max(map(_day, rows)))
        for pair, rows in _group(lambda row: (row["domain"], row["probe_asn"]), named).items()
    ]


def test_sites_whose_tests_have_ended() -> None:
    """One that several networks tested until April, and no list names; not the one that is still
    tested, nor one of a list."""
    (found,) = _rows(coverage.find_unlisted(_tested()))
    rows = [row for row in measurements() if row["domain"] == "early.example"]
    days = sorted({_day(row) for row in rows})
    networks = _different(rows, "probe_asn")
    assert found == ("early.example", days[0], days[-1], len(rows), networks, len(days))


def test_lines_added_to_the_lists() -> None:
    """Those of the period, whether their site was tested, and since when."""
    counted, added = coverage.count_list_changes(_tested())
    assert _rows(counted) == [("2024-02", "qq.csv", 2, 1)]
    first = min(_day(row) for row in measurements() if row["domain"] == "a.example")
    assert _rows(added, "url", "first_tested")[0] == ("https://a.example/", first)
    assert added["first_tested"].isna().tolist() == [False, True]
    assert added["days_untested"][0] == max((first - date(2024, 2, 3)).days, 0)


def test_indicators_of_the_country_and_of_a_project() -> None:
    """Each month and quarter: what was tested, by how many, and which sites for the first time."""
    found = coverage.count_indicators(_tested().connection, PERIOD, {}, has_project=True)
    quarters = {"2024-Q1": ("2024-01-20", "2024-04-01"), "2024-Q2": ("2024-04-01", "2024-06-01")}
    spans = {**_months(PERIOD), **{name: Period.parse(*days) for name, days in quarters.items()}}
    for scope, is_inside in (
        ("country", bool),
        ("project", lambda row: row["run_link_id"] == PROJECT),
    ):
        mine = [row for row in measurements() if is_inside(row)]
        named = _group(lambda row: row["domain"], (row for row in mine if row["domain"]))
        first_tests = [min(map(_day, rows)) for rows in named.values()]
        expected = []
        for label, span in spans.items():
            inside = [row for row in mine if _day(row) in span]
            days = {_day(row) for row in inside}
            new = sum(day in span for day in first_tests)
            expected.append(
                (
                    label,
                    len(inside),
                    _different(inside, "report_id"),
                    _different(inside, "probe_asn"),
                    _sites(inside),
                    new if min(first_tests) < span.since else None,
                    len(days),
                    sum(_gaps(days, span)),
                )
            )
        columns = ["period", "measurement_count", "session_count", "network_count", "domain_count"]
        columns += ["new_domain_count", "day_count", "untested_day_count"]
        table = found[found["scope"] == scope]
        counted = table["new_domain_count"].astype("object")
        table = table.assign(new_domain_count=counted.where(counted.notna(), None))
        assert _rows(table, *columns) == expected, scope


def test_sources_are_weighed() -> None:
    """How many there are of each kind, and the shares of the largest and the two largest."""
    weighed = coverage.weigh_sources(_tested().connection, {})
    software = lambda row: f"{row['software_name']} {row['software_version']}"  # noqa: E731
    keys: Mapping[str, Callable[[Row], Any]] = {
        "Network": lambda row: row["probe_asn"],
        "Version of the probe": software,
        "Platform": lambda row: row["platform"] or "",
        "Probes with the same network, version and platform": lambda row: (
            row["probe_asn"],
            software(row),
            row["platform"] or "",
        ),
    }
    assert weighed["source"].tolist() == list(keys)
    for key, row in zip(keys.values(), weighed.itertuples(), strict=True):
        sizes = Counter(map(key, measurements()))
        shares = sorted((n / len(measurements()) for n in sizes.values()), reverse=True)
        assert row.source_count == len(shares)
        assert row.largest_share == pytest.approx(shares[0])
        assert row.two_largest_share == pytest.approx(sum(shares[:2]))
        effective = 1 / sum(share**2 for share in shares)
        assert row.equal_source_count == pytest.approx(effective, abs=0.051)


# --- what a report counts -------------------------------------------------------------------------


def test_runs_and_versions() -> None:
    """Runs of one measurement, and those that test an input twice; versions without their last
    number, and what is none."""
    runs = _group(lambda row: row["report_id"])
    ways = _group(
        lambda rows: "report_id" if _different(rows["rows"], "input") > 1 else "closeness",
        ({"rows": rows} for rows in runs.values()),
    )
    assert _rows(count_runs(connection())) == [
        (
            way,
            len(of),
            sum(len(run["rows"]) for run in of),
            _count(of, lambda run: len(run["rows"]) == 1),
            _count(of, lambda run: len(run["rows"]) > _different(run["rows"], "input")),
        )
        for way, of in ways.items()
    ]
    split = date.fromisoformat(SPLIT)
    names = {"0.4.2": "0.4.x", "0.4.3": "0.4.x", "0.5.28": "0.5.x"}
    by_version = _group(lambda row: (_month(row), names.get(row["test_version"], "other versions")))
    assert _rows(count_versions(connection(), split)) == [
        (
            *key,
            _count(rows, lambda row: _day(row) < split),
            _count(rows, lambda row: _day(row) >= split),
        )
        for key, rows in by_version.items()
    ]


def test_what_is_new_is_counted_by_measurement() -> None:
    """However often a measurement has it; its share of a network's day is the mean of all days."""
    unknown = {("version", "1.2.3.4"): "1.2.3.4", ("version", "none"): None}
    days = _group(lambda row: (row["probe_asn"], _day(row))).values()
    expected = []
    for key in [("failure", "made_up"), *unknown]:

        def has(row: Row, key: tuple[str, str] = key) -> bool:
            if key in unknown:
                return bool(row["test_version"] == unknown[key])
            return any(one["failure"] == "made_up" for one in row["tcp"])

        met = [row for row in measurements() if has(row)]
        expected.append(
            (
                *key,
                len(met),
                pytest.approx(len(met) / len(measurements())),
                _different(met, "probe_asn"),
                pytest.approx(sum(_count(rows, has) / len(rows) for rows in days) / len(days)),
                min(map(_day, met)),
                max(map(_day, met)),
            )
        )
    columns = ["kind", "name", "measurement_count", "measurement_share", "network_count"]
    columns += ["day_share", "first_day", "last_day"]
    assert _rows(count_fields_met(connection()), *columns) == expected


def test_ooni_flags_no_test_that_failed() -> None:
    """One that failed and is confirmed all the same counts among all and as nothing else, on a
    site's page as for the other methods."""
    named = [row for row in measurements() if row["domain"]]
    by_pair = _group(lambda row: (row["domain"], row["probe_asn"]), named)
    columns = ["domain", "probe_asn", "measurement_count", "anomaly_count", "confirmed_count"]
    assert _rows(weigh_flags(connection()), *columns) == [
        (*pair, len(rows), _count(rows, _is_flagged), _count(rows, _is_confirmed))
        for pair, rows in by_pair.items()
    ]


# --- what the judge counts ------------------------------------------------------------------------


@cache
def _judged() -> tuple[Study, Judgement]:
    study = study_of(measurements(), PERIOD, SPLIT)
    return study, confirm(study)


def test_a_site_page_has_the_flags_of_its_site() -> None:
    study, _ = _judged()
    named = [row for row in measurements() if row["domain"]]
    assert _rows(count_flags(study)) == [
        (domain, len(rows), _count(rows, _is_flagged), _count(rows, _is_confirmed))
        for domain, rows in _group(lambda row: row["domain"], named).items()
    ]


def _read_outcomes(study: Study) -> list[Row]:
    """The outcomes, one for each measurement."""
    frame = study.connection.execute("SELECT * FROM outcomes ORDER BY row_id").df()
    texts = ["domain", "class", "evidence", "rule_id", "dns_rule", "mechanism"]
    return cast(list[Row], frame.astype(dict.fromkeys(texts, "str")).to_dict("records"))


def _shown(row: Row) -> str:
    """What a measurement says in its session."""
    if row["evidence"] != "scored":
        return "none"
    return "unclear" if row["is_about_target"] or row["class"] == "unknown" else row["class"]


def _class_of(rows: list[Row]) -> str:
    """What most measurements of a session show that show something; a tie is none."""
    shown = Counter(map(_shown, rows))
    telling = {name: shown[name] for name in ("blocked", "down", "ok") if shown[name]}
    if len(rows) == 1:
        return _shown(rows[0])
    if telling:
        most = [name for name, count in telling.items() if count == max(telling.values())]
        return most[0] if len(most) == 1 else "none"
    return "unclear" if shown["unclear"] else "none"


def _kind_of(rows: list[Row]) -> str:
    """How most measurements of a session failed, of those that did; a trace before a lookup, that
    before a handshake."""
    blocked = [row for row in rows if _shown(row) == "blocked"]
    kinds = Counter("" if row["is_artefact"] else row["mechanism"][:3] for row in blocked)
    return min(kinds, key=lambda kind: (-kinds[kind], kind))


def _sessions() -> dict[tuple[str, int, int], tuple[date, str, list[Row]]]:
    """Site, network and run → the day on which it began, what it shows, its measurements."""
    outcomes = [row for row in _read_outcomes(_judged()[0]) if row["domain"]]
    by_session = _group(lambda row: (row["domain"], row["probe_asn"], row["session"]), outcomes)
    return {
        key: (min(row["day"].date() for row in rows), _class_of(rows), rows)
        for key, rows in by_session.items()
    }


def test_every_measurement_has_one_outcome_and_every_session_one_class() -> None:
    study, _ = _judged()
    assert len(_read_outcomes(study)) == len(measurements())
    query = """SELECT domain::VARCHAR, probe_asn, session, day, class::VARCHAR FROM sessions
               ORDER BY ALL"""
    found = {tuple(row[:3]): tuple(row[3:]) for row in study.connection.execute(query).fetchall()}
    assert found == {key: session[:2] for key, session in _sessions().items()}


def test_verdicts_count_what_began_in_their_period() -> None:
    """Measurements by what each shows, sessions by what most of theirs do, days with a session; a
    run that passes midnight stays with the day on which it began."""
    study, judgement = _judged()
    columns = ["measurement_count", "blocked_count", "down_count", "ok_count", "unknown_count"]
    columns += ["session_count", "blocked_session_count", "down_session_count", "ok_session_count"]
    columns += ["day_count"]
    kinds = ("blocked", "down", "ok")
    for name, period in study.periods.items():
        expected = {}
        inside = {key: one for key, one in _sessions().items() if one[0] in period}
        for pair in sorted({key[:2] for key in inside}):
            mine = [one for key, one in inside.items() if key[:2] == pair]
            rows = [row for *_, of in mine for row in of]
            expected[pair] = (
                len(rows),
                *map(Counter(row["class"] for row in rows).__getitem__, (*kinds, "unknown")),
                len(mine),
                *(sum(shown == kind for _, shown, _ in mine) for kind in kinds),
                len({day for day, *_ in mine}),
            )
        table = judgement.verdicts[judgement.verdicts["period"] == name]
        found = {row[:2]: row[2:] for row in _rows(table, "domain", "probe_asn", *columns)}
        assert found == expected, name


def test_a_block_has_the_measurements_that_failed() -> None:
    """Of an interval: the blocked measurements of its failing sessions, whatever else these saw,
    and the sessions inside it that reached the site."""
    _, judgement = _judged()
    (found,) = judgement.intervals.to_dict("records")
    assert (found["domain"], found["probe_asn"]) == ("a.example", ALL_NETWORKS[0])
    since, until = found["blocked_from"].date(), found["last_seen_blocked"].date()
    pair = ("a.example", ALL_NETWORKS[0])
    mine = [one for key, one in _sessions().items() if key[:2] == pair and since <= one[0] <= until]
    failing = [one for one in mine if one[1] == "blocked" and _kind_of(one[2]) == "dns"]
    assert found["session_count"] == len(failing)
    assert found["day_count"] == len({day for day, *_ in failing})
    blocked = [[row for row in rows if row["class"] == "blocked"] for *_, rows in failing]
    assert found["measurement_count"] == sum(map(len, blocked))
    assert found["reached_session_count"] == sum(shown == "ok" for _, shown, _ in mine)
    assert found["mechanism"] == "dns.nxdomain"


def test_the_resolvers_that_blocked() -> None:
    """Those that lied in two sessions of a pair at least."""
    _, judgement = _judged()
    verdicts = judgement.verdicts
    listed = verdicts[(verdicts["period"] == "all") & verdicts["state"].isin(LISTED)]
    lied: defaultdict[tuple[str, int], set[tuple[int, int]]] = defaultdict(set)
    for key, (*_, rows) in _sessions().items():
        for row in rows:
            if row["class"] == "blocked" and row["dns_rule"] == row["rule_id"]:
                lied[key[:2]].add((row["resolver_asn"], row["session"]))
    for domain, asn, resolvers in _rows(listed, "domain", "probe_asn", "resolver_asns"):
        sessions = Counter(resolver for resolver, _ in lied[domain, asn])
        expected = sorted(resolver for resolver, count in sessions.items() if count >= 2)
        assert resolvers == ";".join(f"AS{resolver}" for resolver in expected)


def test_days_of_sessions_and_traces() -> None:
    """What each day of a pair shows; traces of blocking on pairs that are not listed."""
    study, judgement = _judged()
    pairs = pd.DataFrame({"domain": ["a.example", "b.example"], "probe_asn": ALL_NETWORKS[0]})
    expected = []
    by_day: defaultdict[Any, list[str]] = defaultdict(list)
    for key, (day, shown, _) in _sessions().items():
        if key[0] in ("a.example", "b.example") and key[1] == ALL_NETWORKS[0]:
            by_day[*key[:2], day].append(shown)
    for key, shown in sorted(by_day.items()):
        kinds = ("blocked", "ok", "down", "unclear")
        expected.append((*key, len(shown), *(shown.count(kind) for kind in kinds)))
    assert _rows(count_session_days(study, pairs, pairs)) == expected
    whole = judgement.verdicts[judgement.verdicts["period"] == "all"]
    listed = set(_rows(whole[whole["state"].isin(LISTED)], "domain", "probe_asn"))
    traces = Counter(
        (row["rule_id"], row["domain"], row["probe_asn"])
        for row in _read_outcomes(study)
        if row["domain"]
        and row["is_artefact"]
        and row["class"] == "blocked"
        and row["evidence"] == "scored"
        and (row["domain"], row["probe_asn"]) not in listed
    )
    assert traces
    assert _rows(find_unlisted_traces(study, whole)) == [
        (*key, n) for key, n in sorted(traces.items())
    ]


def test_networks_that_list_a_site() -> None:
    """Access networks alone, of those that have a verdict."""
    whole = pd.DataFrame(
        {
            "domain": ["a", "a", "a", "a", "b"],
            "probe_asn": [1, 2, 3, 4, 1],
            "state": ["blocked", "ok", "insufficient", "blocked", "insufficient"],
        }
    )
    found = count_others(whole, pd.DataFrame({"probe_asn": [1, 2, 3]}))
    assert _rows(found) == [("a", 2, 1)]
