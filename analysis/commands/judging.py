"""``judge FILE…``: how single measurements are judged, layer by layer.

Each measurement is judged alone, by its own control: what only many measurements can show (a
sinkhole, a name that other sessions' controls miss) stays unknown here and says so.

Tests of apps and circumvention tools are judged part by part, endpoint by endpoint. They have no
control: whether the same fails elsewhere too only a report can say.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from analysis.errors import printable
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_NAME, TESTS
from analysis.outcomes.app_outcomes import add_messaging_outcomes, read_endpoints
from analysis.outcomes.outcomes import add_outcomes
from analysis.outcomes.rules import LAYERS, RULES_BY_ID
from analysis.outcomes.thresholds import Thresholds
from analysis.store.connections import connect
from analysis.store.database import observations_from_table
from analysis.store.lines import FileError, read_files

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
        observations: rows of ``schema.OBSERVATION`` with ``source_file``, where they come from, as
            ``ingestion.read_files`` gives them. The same line may be there more than once.
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


def with_errors(
    results: Iterable[Mapping[str, Any]], errors: Iterable[FileError]
) -> Iterator[Mapping[str, Any]]:
    """Judged measurements, and in their places what could not be read: ``file, line, error``."""
    waiting = deque(errors)
    for place, result in enumerate(results):
        while waiting and waiting[0].place <= place:
            yield _error(waiting.popleft())
        yield result
    yield from map(_error, waiting)


def _error(error: FileError) -> Mapping[str, Any]:
    return {
        "file": error.source_file,
        "line": error.line_number or None,
        "error": error.error,
    }


def read_results(
    connection: duckdb.DuckDBPyConnection, domain: str | None = None, probe_asn: int | None = None
) -> Iterator[dict[str, Any]]:
    """How measurements were judged, of one site or network or of all.

    Args:
        connection: holds ``outcomes`` and ``controlled``.
        domain, probe_asn: leave out all others.

    Yields:
        What ``judge_measurements`` does, with ``day`` and ``session`` besides.
    """
    rows = connection.execute(_JUDGED, {"domain": domain, "probe_asn": probe_asn})
    columns = [column[0] for column in rows.description or []]
    for values in rows.fetchall():
        yield _result(dict(zip(columns, values, strict=True)))


def _result(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "file": row["object_key"],
        "line": row["line_number"],
        "report_id": row["report_id"],
        "input": row["input"],
        "probe_cc": row["probe_cc"],
        "probe_asn": f"AS{row['probe_asn']}",
        "day": row["day"],
        "session": row["session"],
        "class": row["class"],
        "mechanism": row["mechanism"],
        "rule_id": row["rule_id"],
        "layers": {layer: _layer(layer, row) for layer in LAYERS},
    }


def _layer(layer: str, row: Mapping[str, Any]) -> dict[str, str]:
    rule = RULES_BY_ID[row[f"{layer}_rule"]]
    return {
        "class": rule.outcome,
        "rule_id": rule.rule_id,
        "evidence": rule.evidence,
        "seen": _SEEN[layer](row),
    }


def _dns_evidence(row: Mapping[str, Any]) -> str:
    seen = row["dns_failure"] or _addresses(row["dns_answers"]) or "not measured"
    if not row["has_control"]:
        return f"resolver: {seen}; control: none ({row['control_failure'] or 'empty'})"
    control = row["control_dns_failure"] or _addresses(row["control_answers"]) or "no answer"
    return f"resolver: {seen}; control: {control}"


def _addresses(answers: list[Mapping[str, Any]] | None) -> str:
    return ", ".join(
        answer["address"] + (f" (AS{answer['asn']})" if answer["asn"] else "")
        for answer in (answers or [])[:8]
    )


def _tcp_evidence(row: Mapping[str, Any]) -> str:
    return _attempts(row["tcp"], lambda item: f"{item['address']} port {item['port']}")


def _tls_evidence(row: Mapping[str, Any]) -> str:
    return _attempts(row["tls"], lambda item: f"{item['address']} for {item['server_name']}")


def _attempts(items: list[Mapping[str, Any]] | None, name: Any) -> str:
    words = {True: "control: ok", False: "control: fails", None: "control: not tried"}
    return "; ".join(
        f"{name(item)}: {item['failure'] or 'ok'} ({words[item['control_ok']]})"
        for item in (items or [])[:6]
    ) or "not measured"  # fmt: skip


def _http_evidence(row: Mapping[str, Any]) -> str:
    if row["http_failure"] is None and row["http_status"] is None:
        return "not measured"
    page = row["http_failure"] or _page(row["http_status"], row["http_body_length"])
    control = row["control_http_failure"] or (
        _page(row["control_http_status"], row["control_http_body_length"])
        if row["control_http_status"] is not None
        else "none"
    )
    names = ", ".join(row["http_fingerprints"] or [])
    matched = f"; fingerprints: {names}" if names else ""
    host = row["http_host"]
    where = f" at {host}" if host and host != row["domain"] else ""
    return f"page{where}: {page}; control: {control}{matched}"


def _page(status: int, length: int | None) -> str:
    """A response in words; the length of a body that nobody looked at is not kept."""
    return f"status {status}" + (f", {length} bytes" if length is not None else "")


_SEEN = {
    "dns": _dns_evidence,
    "tcp": _tcp_evidence,
    "tls": _tls_evidence,
    "http": _http_evidence,
}

_KEYS = ("file", "line", "report_id", "input", "test_name", "probe_cc", "probe_asn", "class",
         "mechanism", "layers", "parts", "error")  # fmt: skip


def as_json(result: Mapping[str, Any]) -> str:
    """The contract's line of ``judge --json``, with the place that it tells of."""
    return json.dumps({key: result[key] for key in _KEYS if key in result}, ensure_ascii=True)


def as_text(result: Mapping[str, Any]) -> str:
    """A few lines for the terminal; strings of the measurement are shown escaped."""
    if "error" in result:
        line = f":{result['line']}" if result["line"] else ""
        return printable(f"{result['file']}{line}: {result['error']}", 400)
    if "parts" in result:
        return _app_as_text(result)
    rule = RULES_BY_ID[result["rule_id"]]
    how = f" by {result['mechanism']}" if result["mechanism"] else ""
    lines = [
        f"{printable(result['input'], 400)}  {result['probe_asn']} {printable(result['probe_cc'])}",
        f"  {result['class']}{how}  [{rule.rule_id}] {rule.comment}",
    ]
    lines += [
        f"  {layer:<5}{shows['class']:<8} {shows['rule_id']:<28} {printable(shows['seen'], 400)}"
        for layer, shows in result["layers"].items()
    ]
    return "\n".join(lines)


# --- apps and tools -------------------------------------------------------------------------------

#: What ``ingestion`` says of a line that is a measurement of something else.
_OTHER_TEST = "other_test"
_MOST_SHOWN = 8

_JUDGED_APPS = """
SELECT m.object_key, source_file AS file, m.line_number AS line, m.report_id, m.test_name,
  probe_cc, 'AS' || m.probe_asn AS probe_asn, m.is_failure, part, o.class, o.mechanism,
  tried_count, cut_count,
  [e FOR e IN endpoints IF e.part = o.part AND e.layer IS NOT NULL] AS ended
FROM messaging m JOIN (SELECT * EXCLUDE (test_part), test_part AS part FROM outcomes) o
  USING (object_key, line_number)
ORDER BY m.object_key, part
"""


def with_apps(
    results: Iterable[Mapping[str, Any]], paths: Sequence[str | Path]
) -> Iterator[Mapping[str, Any]]:
    """Judged measurements, those of apps and tools in the place of the error that they were.

    Args:
        results: see ``judge_file.with_errors``.
        paths: the files that they are from, which are read again where another test is in them.
    """
    told = list(results)
    is_other = any(result.get("error") == _OTHER_TEST for result in told)
    judged = judge_app_tests(paths) if is_other else {}
    for result in told:
        is_here = result.get("error") == _OTHER_TEST
        yield judged.get((result["file"], result["line"]), result) if is_here else result


def judge_app_tests(paths: Sequence[str | Path]) -> dict[tuple[str, int], dict[str, Any]]:
    """File and line → how a measurement of one of these tests is judged.

    ``class`` is that of the part that says most: blocked, else ok, else unknown. ``parts`` has of
    each part ``class, mechanism, tried_count, cut_count`` and the endpoints that were not reached.
    """
    tables = [read_files(paths, test=test)[0] for test in TESTS]
    rows = pa.concat_tables(tables)
    keys = pa.array([f"{number:012}" for number in range(rows.num_rows)], pa.string())
    connection = connect()
    connection.from_arrow(rows.append_column("object_key", keys)).create("messaging")
    add_messaging_outcomes(connection, read_endpoints(connection)).use(connection)
    found: dict[tuple[str, int], dict[str, Any]] = {}
    cursor = connection.execute(_JUDGED_APPS)
    columns = [column[0] for column in cursor.description or []]
    for values in cursor.fetchall():
        row = dict(zip(columns, values, strict=True))
        one = found.setdefault((row["file"], row["line"]), {
            **{name: row[name] for name in ("file", "line", "report_id", "test_name", "probe_cc",
                                            "probe_asn", "is_failure")},
            "input": "", "class": "unknown", "mechanism": "", "layers": {}, "parts": {},
        })  # fmt: skip
        one["parts"][row["part"]] = _app_part(row)
        if row["class"] == "blocked" and one["class"] != "blocked":
            one["mechanism"] = row["mechanism"]
        one["class"] = min(one["class"], row["class"], key=("blocked", "ok", "unknown").index)
    return found


def _app_part(row: Mapping[str, Any]) -> dict[str, Any]:
    ended = [
        {"endpoint": one["endpoint"], "layer": one["layer"], "failure": one["failure"]}
        for one in row["ended"] or ()
    ]
    names = ("class", "mechanism", "tried_count", "cut_count")
    return {**{name: row[name] for name in names}, "ended": ended}


def _app_as_text(result: Mapping[str, Any]) -> str:
    """A few lines for the terminal; strings of the measurement are shown escaped."""
    how = f" by {result['mechanism']}" if result["mechanism"] else ""
    test = BY_NAME[result["test_name"]]
    caveat = (
        "OONI calls the test a failure, which is no data"
        if result["is_failure"]
        else "no control: whether it fails elsewhere too, a report says"
    )
    lines = [
        f"{test.title}  {result['probe_asn']} {printable(result['probe_cc'])}",
        f"  {result['class']}{how}  {caveat}",
    ]
    for part in (part for part in test.parts if part.name in result["parts"]):
        shows = result["parts"][part.name]
        ended = "; ".join(
            f"{one['endpoint']}: {one['layer']}, {one['failure']}"
            for one in shows["ended"][:_MOST_SHOWN]
        )
        lines.append(
            f"  {part.name:<13}{shows['class']:<8} {shows['cut_count']} of {shows['tried_count']} "
            f"cut off  {printable(ended, 400)}"
        )
    return "\n".join(lines)
