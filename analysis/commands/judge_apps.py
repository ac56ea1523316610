"""``judge FILE…`` of tests of apps and circumvention tools: part by part, endpoint by endpoint.

These tests have no control: what one measurement shows is where its attempts ended, and whether the
same fails elsewhere too only a report can say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from analysis.errors import printable
from analysis.observations.messaging_tests import BY_NAME, TESTS
from analysis.outcomes.app_outcomes import add_messaging_outcomes, read_endpoints
from analysis.store.connections import connect
from analysis.store.lines import read_files

#: What ``ingestion`` says of a line that is a measurement of something else.
_OTHER_TEST = "other_test"
_MOST_SHOWN = 8

_JUDGED = """
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
    cursor = connection.execute(_JUDGED)
    columns = [column[0] for column in cursor.description or []]
    for values in cursor.fetchall():
        row = dict(zip(columns, values, strict=True))
        one = found.setdefault((row["file"], row["line"]), {
            **{name: row[name] for name in ("file", "line", "report_id", "test_name", "probe_cc",
                                            "probe_asn", "is_failure")},
            "input": "", "class": "unknown", "mechanism": "", "layers": {}, "parts": {},
        })  # fmt: skip
        one["parts"][row["part"]] = _part(row)
        if row["class"] == "blocked" and one["class"] != "blocked":
            one["mechanism"] = row["mechanism"]
        one["class"] = min(one["class"], row["class"], key=("blocked", "ok", "unknown").index)
    return found


def _part(row: Mapping[str, Any]) -> dict[str, Any]:
    ended = [
        {"endpoint": one["endpoint"], "layer": one["layer"], "failure": one["failure"]}
        for one in row["ended"] or ()
    ]
    names = ("class", "mechanism", "tried_count", "cut_count")
    return {**{name: row[name] for name in names}, "ended": ended}


def as_text(result: Mapping[str, Any]) -> str:
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
