"""``judge`` and ``explain``: the result of a single measurement, and of a published verdict.

``judge FILE…`` judges each measurement alone, with its own control, layer by layer: results that
need many measurements (a sinkhole, a name that other sessions' controls miss) are unknown. Tests of
apps and circumvention tools are judged part by part; they have no control, so only a report can
show whether the same test fails in other countries.

``explain DOMAIN`` goes from a published verdict to its measurements. The sentences about a site, an
app or a tool are made from the report's tables. The measurements are read from the store and judged
again; they are listed only if they give the published counts.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.commands.settings import Settings, parse_settings
from analysis.errors import ParameterError, SourceError, printable, suggest
from analysis.hosts import is_placeholder, normalise
from analysis.languages.language import ENGLISH
from analysis.observations.fingerprints import Fingerprints, load
from analysis.observations.messaging_tests import BY_NAME, TESTS
from analysis.outcomes.app_outcomes import add_messaging_outcomes
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.rules import LAYERS, RULES_BY_ID
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.pages.formats import chance_words, percent
from analysis.period import Period
from analysis.reference.reference_files import country_name, is_fictional
from analysis.reference.withheld import Withheld, load_withheld
from analysis.report.annex import REASON_SENTENCES
from analysis.report.one_pair import find_pair, tabulate_series, tabulate_stretches
from analysis.report.verdict_words import say_rivals, say_verdict
from analysis.review.reports import read_report
from analysis.sources.archive_files import OONI
from analysis.store.database import observations_from_table
from analysis.store.ingestion import was_read
from analysis.store.lines import read_files
from analysis.study.confirmation import confirm
from analysis.study.parameters import find_lists
from analysis.study.study import Study, open_study, request_of
from analysis.tables import TABLES, list_rows, read_network, read_table, tell_cells, tell_network
from analysis.verdicts.floors import wilson_bounds
from analysis.verdicts.judge import judge_pair
from analysis.verdicts.states import strength
from analysis.verdicts.witnesses import countries_url, measurement_url
from analysis.vocabulary import (
    INSUFFICIENT,
    LISTED,
    MECHANISMS,
    NETWORK_KINDS,
    SET_ASIDE_REASONS,
    STATES,
)

_JUDGED = """
SELECT o.*, c.* EXCLUDE (row_id, input, measurement_start_time, domain,
                         probe_asn, resolver_asn, day, session, is_https, is_anomaly,
                         is_confirmed, is_failure)
FROM outcomes o JOIN controlled c USING (row_id)
WHERE (o.domain = $domain OR $domain IS NULL) AND (o.probe_asn = $probe_asn OR $probe_asn IS NULL)
ORDER BY row_id
"""


def judge_measurements(
    observations: pa.Table, fingerprints: Fingerprints, thresholds: Thresholds
) -> Iterator[dict[str, Any]]:
    """Judge measurements one by one.

    Args:
        observations: rows of ``schema.OBSERVATION`` with their ``source_file``, from
            ``lines.read_files``. The same line may occur more than once.
        fingerprints: OONI's blocking fingerprints.
        thresholds: the method's numbers.

    Yields:
        One mapping per measurement, in the order of the rows: ``file, line, report_id,
        input, probe_cc, probe_asn, class, mechanism, rule_id`` and ``layers``, which gives for
        dns, tcp, tls and http its ``class``, ``rule_id``, level of ``evidence`` (none, discarded,
        scored) and what was ``seen``, in words.
    """
    rows = observations.rename_columns({"source_file": "object_key"})
    connection = observations_from_table(rows)
    add_outcomes(connection, thresholds, fingerprints, is_pooled=False).use(connection)
    yield from read_results(connection)


def judge_files(paths: Sequence[Path], fingerprints: str) -> Iterator[Mapping[str, Any]]:
    """Judge the measurements of files, one by one.

    Args:
        paths: the files, which are read again if they have measurements of other tests.
        fingerprints: the folder of OONI's fingerprints, or empty for the included ones.

    Yields:
        One mapping per line, in order: a judged measurement, or ``file, line, error`` of a line
        that could not be read.
    """
    patterns = load(fingerprints or None)
    table, errors = read_files(paths, patterns)
    results = list(judge_measurements(table, patterns, Thresholds()))
    for error in reversed(errors):
        line = error.line_number or None
        results.insert(error.place, {"file": error.source_file, "line": line, "error": error.error})
    has_other_tests = any(error.error == _OTHER_TEST for error in errors)
    app_results = judge_app_tests(paths) if has_other_tests else {}
    for result in results:
        if result.get("error") == _OTHER_TEST:
            yield app_results.get((result["file"], result["line"]), result)
        else:
            yield result


def read_results(
    connection: duckdb.DuckDBPyConnection, domain: str | None = None, probe_asn: int | None = None
) -> Iterator[dict[str, Any]]:
    """Iterate over judged measurements, of a site, of a network or of all.

    Args:
        connection: connection with ``outcomes`` and ``controlled``.
        domain, probe_asn: the only site, and the only network; by default all.

    Yields:
        The mappings of ``judge_measurements``, with ``day``, ``time`` and ``session``.
    """
    rows = connection.execute(_JUDGED, {"domain": domain, "probe_asn": probe_asn})
    columns = [column[0] for column in rows.description or []]
    judged = rows.fetchall()
    listed = connection.execute("SELECT rule_id, class, evidence FROM rules").fetchall()
    rules = {rule_id: (outcome, evidence) for rule_id, outcome, evidence in listed}
    for values in judged:
        yield _result(dict(zip(columns, values, strict=True)), rules)


def _result(row: Mapping[str, Any], rules: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "file": row["object_key"],
        "line": row["line_number"],
        "report_id": row["report_id"],
        "input": row["input"],
        "probe_cc": row["probe_cc"],
        "probe_asn": tell_network(row["probe_asn"]),
        "day": row["day"],
        "time": row["measurement_start_time"],
        "session": row["session"],
        "class": row["class"],
        "mechanism": row["mechanism"],
        "rule_id": row["rule_id"],
        "is_artefact": row["is_artefact"],
        "layers": {layer: _layer(layer, row, rules) for layer in LAYERS},
    }


def _layer(
    layer: str, row: Mapping[str, Any], rules: Mapping[str, tuple[str, str]]
) -> dict[str, str]:
    rule_id = row[f"{layer}_rule"]
    outcome, evidence = rules[rule_id]
    return {
        "class": outcome,
        "rule_id": rule_id,
        "evidence": evidence,
        "seen": str(_templates().seen(layer, row)).strip(),
    }


_KEYS = (
    "file",
    "line",
    "report_id",
    "input",
    "test_name",
    "probe_cc",
    "probe_asn",
    "class",
    "mechanism",
    "layers",
    "parts",
    "error",
)


def as_json(result: Mapping[str, Any]) -> str:
    """Return a result as a line of ``judge --json``, as the contract has it."""
    return json.dumps({key: result[key] for key in _KEYS if key in result}, ensure_ascii=True)


def as_text(result: Mapping[str, Any]) -> str:
    """Return a result as a few lines for the terminal, with strings of the measurement escaped."""
    if "error" in result:
        line = f":{result['line']}" if result["line"] else ""
        return printable(f"{result['file']}{line}: {result['error']}", 400)
    if "parts" in result:
        text = _templates().app_test(result, BY_NAME[result["test_name"]])
    else:
        text = _templates().measurement(result, RULES_BY_ID[result["rule_id"]])
    return str(text).rstrip("\n")


# --- apps and tools -------------------------------------------------------------------------------

#: The reason that ``ingestion`` gives for a measurement of another test.
_OTHER_TEST = "other_test"

# A measurement is blocked if any of its parts is, else ok if any part is.
_JUDGED_APPS = """
SELECT m.object_key, source_file AS file, m.line_number AS line, m.report_id, '' AS input,
  m.test_name, probe_cc, m.probe_asn, m.is_failure,
  CASE WHEN bool_or(o.class = 'blocked') THEN 'blocked' WHEN bool_or(o.class = 'ok') THEN 'ok'
    ELSE 'unknown' END AS class,
  coalesce(first(o.mechanism ORDER BY test_part) FILTER (o.class = 'blocked'), '') AS mechanism,
  map_from_entries(list((test_part::VARCHAR, {'class': o.class, 'mechanism': o.mechanism,
    'tried_count': tried_count, 'cut_count': cut_count,
    'ended': [{'endpoint': e.endpoint, 'layer': e.layer, 'failure': e.failure}
      FOR e IN endpoints IF e.part = test_part AND e.layer IS NOT NULL]}) ORDER BY test_part)
  ) AS parts
FROM messaging m JOIN outcomes o USING (object_key, line_number)
GROUP BY ALL ORDER BY m.object_key
"""


def judge_app_tests(paths: Sequence[Path]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the judged measurements of tests of apps and tools, by file and line.

    ``class`` is blocked if a part is blocked, else ok if a part is ok, else unknown. ``parts`` has
    for each part ``class, mechanism, tried_count, cut_count`` and the endpoints that were not
    reached.
    """
    tables = [read_files(paths, test=test)[0] for test in TESTS]
    read = pa.concat_tables(tables)
    keys = pa.array([f"{number:012}" for number in range(read.num_rows)], pa.string())
    connection = observations_from_table(read.append_column("object_key", keys), "messaging")
    add_messaging_outcomes(connection).use(connection)
    cursor = connection.execute(_JUDGED_APPS)
    columns = [column[0] for column in cursor.description or []]
    rows = [dict(zip(columns, values, strict=True)) for values in cursor.fetchall()]
    return {
        (row["file"], row["line"]): {
            **row,
            "probe_asn": tell_network(row["probe_asn"]),
            "layers": {},
        }
        for row in rows
    }


#: Sessions listed for each network if no network is chosen.
_A_FEW = 5
_CLASSES = {"ok": "reachable", "unclear": "unclear", "none": "tells nothing"}

Row = Any  # one row of a table, as itertuples gives it


def explain(
    domain: str, asn: str, out: Path | None, arguments: Sequence[str], *, as_json: bool = False
) -> str:
    """Return the reason why a site is on the list of a report, or why it is not.

    Args:
        domain: a host name or URL; or an app or tool, such as ``telegram``.
        asn: a network, as ``123`` or ``AS123``; empty for all.
        out: the report's folder; by default the one that the arguments name.
        arguments: ``NAME=VALUE`` as for ``report``: STORE, SOURCE, NETWORKS, FINGERPRINTS … of the
            observations and lists from which the report was made.
        as_json: return a site's verdicts and measurements as JSON: ``domain``, ``verdicts`` (rows
            of the table) and ``measurements`` by network, as in ``judge --json``.

    Returns:
        Lines for a terminal, without control characters.

    Raises:
        ParameterError: there is no report, or it has no test of the site or network.
    """
    folder = out or parse_settings(arguments).out
    run = read_report(folder, "--out").run
    tables, parameters = folder / "tables", run["parameters"]
    name = domain.strip().lower()
    test = next(
        (test for test in BY_NAME.values() if name in (test.name, test.title.lower())), None
    )
    if test and not as_json:
        return str(_templates().app(test.title, _find_app(tables, test.name, asn))).rstrip()
    site, rows = _find_site(tables, domain, asn, load_withheld(parameters["probe_cc"]))
    study, why_none = _open_published(site, rows, parameters, arguments)
    if as_json:
        return _site_json(site, rows, study, why_none)
    period, code = Period.parse(parameters["since"], parameters["until"]), parameters["probe_cc"]
    annex_row = _find_row(tables, "blocked_sites", site)
    aside_row = _find_row(tables, "set_aside", site)
    text = _templates().site(
        site,
        f"{country_name(code)}, {period.since} to {period.last_day}",
        annex_row,
        aside_row.reason if aside_row else "",
        "" if is_fictional(code) else countries_url(site, period),
        list(_describe_pairs(tables, rows, parameters, study, has_steps=bool(asn))),
        why_none,
        is_every=bool(asn),
    )
    return str(text).rstrip()


def _find_row(tables: Path, name: str, site: str) -> Row | None:
    """Return a site's row of a table with one row for each site, or None."""
    table = read_table(tables, name)
    return next(iter(list_rows(table[table["domain"] == site])), None)


@cache
def _templates() -> Any:
    """Return the template macros of texts; control characters in values are escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(str(value), 400),
    )
    environment.globals |= {
        "STATES": STATES,
        "INSUFFICIENT": INSUFFICIENT,
        "NETWORK_KINDS": NETWORK_KINDS,
        "SET_ASIDE_REASONS": SET_ASIDE_REASONS,
        "REASON_SENTENCES": REASON_SENTENCES,
        "MECHANISMS": MECHANISMS,
        "known": pd.notna,
        "percent": percent,
        "chance_words": chance_words,
        "find_layer": _find_layer,
        "A_FEW": _A_FEW,
        "CLASSES": _CLASSES,
        "measurement_url": measurement_url,
        "tell_network": tell_network,
    }
    return environment.get_template("explain.txt.j2").module


def _find_site(tables: Path, domain: str, asn: str, withheld: Withheld) -> tuple[str, pd.DataFrame]:
    """Return a site's name or its placeholder, and its verdicts, on one network or on all.

    Raises:
        ParameterError: the site was not tested.
    """
    verdicts = read_table(tables, "verdicts")
    site = domain if is_placeholder(domain) else withheld.rename(normalise(domain))
    if not site:
        raise ParameterError("DOMAIN", domain, "a host name or a URL is accepted")
    rows = verdicts[verdicts["domain"] == site]
    if rows.empty:
        tested = pd.Series(verdicts["domain"].unique())
        raise ParameterError(
            "DOMAIN",
            site,
            f"was never tested in this report, which says nothing about its being reachable"
            f"{suggest(site, tested)}",
        )
    return site, _select_network(rows, asn, site)


def _site_json(site: str, rows: pd.DataFrame, study: Study | None, why_none: str) -> str:
    if study is None:
        raise ParameterError("SOURCE", "", why_none)
    measurements = {
        tell_network(asn): list(_read_pair(study, site, int(asn)))
        for asn in rows["probe_asn"].unique()
    }
    kinds = TABLES["verdicts"].columns
    worded = rows.assign(
        **{
            name: tell_cells(rows[name], kind)
            for name, kind in kinds.items()
            if kind in ("asn", "date")
        }
    )
    verdicts = worded.astype(object).where(rows.notna(), None).to_dict("records")
    content = {"domain": site, "verdicts": verdicts, "measurements": measurements}
    return json.dumps(content, default=str, indent=1)


def _describe_pairs(
    tables: Path,
    rows: pd.DataFrame,
    parameters: Mapping[str, Any],
    study: Study | None,
    *,
    has_steps: bool,
) -> Iterator[dict[str, Any]]:
    """Iterate over the verdicts on each network, in words and counts, with their sessions.

    Without a study there are no sessions.
    """
    thresholds = Thresholds.read(read_table(tables, "thresholds"))
    networks, rules = read_table(tables, "networks"), read_table(tables, "rules")
    whys = dict(zip(rules["rule_id"], rules["comment"] + " " + rules["condition"], strict=True))
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    records = dict(zip(networks["probe_asn"], networks.to_dict("records"), strict=True))
    listed, withheld = (
        read_table(tables, name) for name in ("blocked_site_networks", "withheld_intervals")
    )
    for row in _sort(rows[rows["period"] == "all"]):
        pair = pd.DataFrame([{"domain": row.domain, "probe_asn": row.probe_asn}])
        stretches, unlisted = (list_rows(t.merge(pair)) for t in (listed, withheld))
        verdict = say_verdict(ENGLISH, row, stretches, unlisted, names, parameters["probe_cc"])
        rivals = say_rivals(ENGLISH, stretches, unlisted)
        is_short = row.blocked_session_count or row.state == "insufficient"
        yield {
            "row": row,
            "why": whys.get(row.rule_id, ""),
            "network": records.get(row.probe_asn),
            "floor": _shortfall(row, thresholds) if row.state not in LISTED and is_short else "",
            "said": [text.striptags() for text in verdict],
            "rivals": [text.striptags() for text in rivals],
            "steps": [] if study is None or not has_steps else _list_steps(study, row, thresholds),
            "sessions": [] if study is None else _list_sessions(study, row),
        }


def _select_network(rows: pd.DataFrame, asn: str, subject: str) -> pd.DataFrame:
    """Return the verdicts on one network, or on all if ``asn`` is empty."""
    if not asn:
        return rows
    of_network = rows[rows["probe_asn"] == read_network(asn)]
    if of_network.empty:
        networks = ", ".join(map(tell_network, sorted(set(rows["probe_asn"]))))
        raise ParameterError("--asn", asn, f"{subject} was tested on {networks}")
    return of_network


def _sort(rows: pd.DataFrame) -> Iterable[Row]:
    """Return verdicts, the strongest first."""
    ranked = rows.assign(rank=strength(rows["state"])).sort_values(["rank", "probe_asn"])
    return list_rows(ranked)


def _shortfall(row: Row, thresholds: Thresholds) -> str:
    """Return in words what a listed state needs, and the pair's own counts."""
    counts = pd.Series(
        [row.blocked_session_count, row.down_session_count, row.ok_session_count],
        ["blocked", "down", "reachable"],
        dtype="int64",
    )
    low, _ = wilson_bounds(counts, pd.Series(int(row.session_count), counts.index))
    present = "; ".join(
        f"{counts[name]} {name} (lower bound {percent(low[name])})" for name in counts.index
    )
    return (
        f"{thresholds.floor_sessions} sessions of one class on "
        f"{thresholds.floor_days} days, and a lower bound of {percent(thresholds.share_floor)} for "
        f"its share; here {present}"
    )


def _open_published(
    site: str, rows: pd.DataFrame, parameters: Mapping[str, Any], arguments: Sequence[str]
) -> tuple[Study | None, str]:
    """Return the study of a report if it gives the published counts, or None and the reason.

    If the store has nothing of the source, it is not filled: reading an archive takes hours.
    """
    alone = "From the tables alone: "
    is_named = any(argument.startswith("SOURCE=") for argument in arguments)
    if not (is_named or "receipt_margin" in parameters or is_fictional(parameters["probe_cc"])):
        return None, f"{alone}name what the report was made from: STORE=… SOURCE=…"
    settings = _settings(arguments, parameters)
    try:
        if not was_read(request_of(settings.study)):
            return None, (
                f"{alone}the store holds no observations of {settings.study.probe_cc} from this "
                "SOURCE. Name those that the report was made from: STORE=… SOURCE=…"
            )
        study = open_study(find_lists(settings.study), jobs=settings.jobs)
    except (ParameterError, SourceError) as error:
        return None, f"{alone}{error}"
    verdicts = confirm(study).verdicts
    again = verdicts[verdicts["domain"] == site]
    columns = ["probe_asn", "period", "state", "measurement_count", "session_count"]
    both = rows[columns].merge(again[columns], how="left", indicator=True)
    if (both["_merge"] != "both").any():
        return None, (
            f"{alone}the observations in the store, judged with the lists given, do not give the "
            "published counts. Name the STORE, SOURCE, NETWORKS, FINGERPRINTS and VARIANT that the "
            "report was made from."
        )
    return study, ""


def _settings(arguments: Sequence[str], parameters: Mapping[str, Any]) -> Settings:
    """Return the settings of the arguments, with country, period and method of the report."""
    values = {argument.partition("=")[0]: argument for argument in arguments}
    for name in ("PROBE_CC", "SINCE", "UNTIL", "SPLIT"):
        values[name] = f"{name}={parameters.get(name.lower(), '')}"
    values |= {
        name: f"{name}={value}" for name, value in parameters.items() if name in DECLARATIONS
    }
    if "witnesses" in parameters:  # single measurements are hidden if the report hides them
        values["WITNESSES"] = f"WITNESSES={parameters['witnesses']}"
    if "reference" in parameters:
        values.setdefault("REFERENCE", f"REFERENCE={parameters['reference']}")
    if "receipt_margin" in parameters:
        values.setdefault("SOURCE", f"SOURCE={OONI}")
        values["RECEIPT_MARGIN"] = f"RECEIPT_MARGIN={parameters['receipt_margin']}"
    values.setdefault("EVENTS", "EVENTS=")  # verdicts do not depend on events
    return parse_settings(list(values.values()))


_SESSIONS = """
SELECT session, day, class FROM sessions WHERE domain = $site AND probe_asn = $asn
ORDER BY day, session
"""


#: Keys of a judged measurement by which it can be found in OONI's archive.
_IDENTIFIERS = {"file", "line", "report_id", "time"}


def _read_pair(study: Study, site: str, probe_asn: int) -> Iterator[dict[str, Any]]:
    """Iterate over the judged measurements of a pair.

    With ``WITNESSES=none`` they are without their ``_IDENTIFIERS``.
    """
    hidden = set() if study.parameters.has_witnesses else _IDENTIFIERS
    for result in read_results(study.connection, site, probe_asn):
        yield {name: value for name, value in result.items() if name not in hidden}


def _list_steps(study: Study, row: Row, thresholds: Thresholds) -> list[tuple[Row, list[Row]]]:
    """Judge a pair again by its sessions: the kinds of failure, each with its stretches."""
    pair = find_pair(study, confirm(study), row.domain, int(row.probe_asn))
    if pair is None:
        return []
    judged = judge_pair(
        pair.sessions, pair.lessons, thresholds, pair.schedules, is_supported=pair.is_supported
    )
    stretches = [list_rows(tabulate_stretches([series], thresholds)) for series in judged]
    return list(zip(list_rows(tabulate_series(judged)), stretches, strict=True))


def _list_sessions(study: Study, row: Row) -> list[tuple[date, str, list[dict[str, Any]]]]:
    """Return the sessions of a pair by day, each with its class and judged measurements."""
    pair = {"site": row.domain, "asn": int(row.probe_asn)}
    results: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for result in _read_pair(study, row.domain, int(row.probe_asn)):
        results[result["session"]].append(result)
    sessions = study.connection.execute(_SESSIONS, pair).fetchall()
    return [(day, kind, results[session]) for session, day, kind in sessions]


def _find_layer(result: Mapping[str, Any]) -> str:
    """Return the layer that explains a measurement; if discarded, the first that fails."""
    own = str(result["rule_id"]).partition(".")[0]
    if own in LAYERS:
        return own
    layers: Mapping[str, Mapping[str, str]] = result["layers"]
    return next((name for name in LAYERS if layers[name]["class"] == "blocked"), "http")


def _find_app(tables: Path, test_name: str, asn: str) -> list[tuple[Row, list[Row]]]:
    """Return the verdict on an app or tool on each network, and its stretches with endpoints.

    Raises:
        ParameterError: the test was not run in this report, or not on that network.
    """
    verdicts = read_table(tables, "messaging_verdicts")
    intervals = read_table(tables, "messaging_intervals").sort_values(["blocked_from_time", "part"])
    rows = verdicts[(verdicts["test_name"] == test_name) & (verdicts["period"] == "all")]
    if rows.empty:
        raise ParameterError("DOMAIN", test_name, "this test was not run in this report")
    own = list_rows(intervals[intervals["test_name"] == test_name])
    return [
        (row, [stretch for stretch in own if stretch.probe_asn == row.probe_asn])
        for row in _sort(_select_network(rows, asn, test_name))
    ]
