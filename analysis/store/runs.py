"""Runs: the measurements that a probe took together. A run is one witness, whatever it sent.

OONI publishes no name of a run. Until 2026 the report ID was one; since then OONI's server gives
each measurement an ID of its own (ooni/backend#1195), and a replacement is under discussion
(ooni/data#162). So a measurement's run is known by the first of these that it has:

``report_id``
    if several inputs were sent under it;
``test_start_time``
    which a probe sets once for all measurements of a run (ooni/probe-cli,
    ``internal/engine/experiment.go``), with the network, country, test, software, its version, the
    platform and, if there is one, ``probe_id``. Two probes of one kind that start in one second
    are then one run;
``closeness``
    if a kind of probe starts the test again for each measurement, or sends no time: measurements
    that follow within minutes from the same kind of probe on the same network, until an input is
    repeated.

A start that is after its measurement, or a day or more before it, counts as missing.

The sender chooses all of these values (docs/security.md says what a forger gains), but not the hour
in which OONI receives a line. So a run is what came together: of the lines under one name, those
that came after a whole hour in which none of the others did are a run of their own. A test takes
two minutes at most and is then submitted, so the lines of a run come hour after hour. And few lines
do not decide how a kind of probe names its runs: each day of receipt has a vote, for what most of
its measurements show.
"""

import duckdb
import pyarrow as pa

from analysis.store.receipt import RECEIVED_DAY

#: The ways by which a run is known, in this order.
WAYS = ("report_id", "test_start_time", "closeness")

#: The most seconds between two measurements of a run that is known by closeness, and of the whole
#: run. A test of a site takes seconds, or two minutes if all attempts time out; a list takes some
#: hours at most.
GAP, LONGEST = 300, 7200

#: The columns that determine a row's run, as SQL over those of ``schema.PROBE``; ``{test}`` and
#: ``{input}`` are SQL of the test. Texts are hashed, because there are millions of rows.
COLUMNS = f"""
  if(report_id = '', 0, hash(report_id)) AS report, hash({{input}}) AS input,
  hash(probe_asn, probe_cc, {{test}}, software_name, software_version, platform) AS kind,
  hash(kind, probe_id) AS probe, measurement_start_time AS time,
  CASE WHEN test_start_time <= measurement_start_time
    AND test_start_time > measurement_start_time - INTERVAL 1 DAY
    THEN hash(probe, test_start_time) ELSE 0 END AS start,
  {RECEIVED_DAY} AS day, coalesce(epoch(received_since)::BIGINT, 0) AS came,
  coalesce(epoch(received_until)::BIGINT, 0) AS gone
"""

# What came later under a name, a report or a start, gets another one. Nearly all came together.
_PART = """
UPDATE {table} SET {name} = hash({name}, part) FROM (
  WITH spread AS (
    SELECT {name} FROM {rows} WHERE {name} <> 0 GROUP BY ALL HAVING max(came) > min(gone)
  ), hours AS (
    SELECT DISTINCT {name}, came, gone FROM {rows} SEMI JOIN spread USING ({name})
  ), parted AS (
    SELECT *, coalesce(came > max(gone) OVER (PARTITION BY {name} ORDER BY came, gone
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), FALSE) AS begins FROM hours
  )
  SELECT {name} AS old, came AS since, gone AS until,
    count(*) FILTER (begins) OVER (PARTITION BY {name} ORDER BY came, gone) AS part
  FROM parted QUALIFY part > 0
) WHERE {name} = old AND came = since AND gone = until
"""

# A kind names its runs by the report or the start if most days say so on which several inputs share
# one. Against a start speak measurements with starts of their own that follow each other closely.
# If a test has no inputs, each of its measurements is a run with a start of its own.
_NAMED = """
CREATE OR REPLACE TEMP TABLE named_row AS
WITH shared_report AS (
  SELECT report FROM {rows} WHERE report <> 0 GROUP BY report HAVING min(input) <> max(input)
), shared_start AS (
  SELECT start FROM {rows} WHERE start <> 0
  GROUP BY start HAVING min(input) <> max(input) OR min(input) = hash('')
), shown AS (
  SELECT kind, day, count(*) FILTER (s.report IS NOT NULL OR t.start IS NOT NULL) AS telling,
    count(s.report) AS reports, count(t.start) AS starts
  FROM {rows} LEFT JOIN shared_report s USING (report) LEFT JOIN shared_start t USING (start)
  GROUP BY ALL
), restarted AS (
  SELECT kind, day, count(*) AS restarts FROM (
    SELECT kind, day, time - lag(time) OVER (PARTITION BY probe ORDER BY time) AS gap
    FROM {rows} ANTI JOIN shared_start USING (start) WHERE start <> 0
  ) WHERE gap BETWEEN INTERVAL 1 SECOND AND INTERVAL {gap} SECOND GROUP BY ALL
), known_kind AS (
  SELECT kind, 2 * count(*) FILTER (2 * reports > telling) > count(*) FILTER (telling > 0)
      AS is_by_report,
    is_by_report OR count(*) FILTER (starts > coalesce(restarts, 0))
      > count(*) FILTER (starts < restarts) AS is_by_start
  FROM shown LEFT JOIN restarted USING (kind, day) GROUP BY kind
)
SELECT row_id, input, kind, probe, time, came, gone,
  CASE WHEN is_by_report AND (s.report IS NOT NULL OR (start = 0 AND r.report <> 0))
      THEN 'report_id'
    WHEN is_by_start AND start <> 0 THEN 'test_start_time' ELSE 'closeness' END AS run_known_by,
  CASE run_known_by WHEN 'report_id' THEN hash(run_known_by, r.report)
    WHEN 'test_start_time' THEN hash(run_known_by, start) END AS run_name
FROM {rows} r LEFT JOIN shared_report s USING (report) JOIN known_kind USING (kind)
"""

_UNNAMED = """
SELECT row_id, input, probe, epoch(time)::BIGINT AS second, came, gone FROM named_row
WHERE run_name IS NULL ORDER BY probe, came, time, row_id
"""

_FOLLOWING = """
UPDATE named_row SET run_name = hash('closeness', named_row.probe, first, first_came)
FROM following WHERE following.row_id = named_row.row_id
"""

_SHARED = """
CREATE OR REPLACE TEMP TABLE named_row AS
SELECT row_id, input, kind, time, run_known_by, run_name FROM {rows} JOIN {named} USING (row_id)
"""

# The order of two runs that begin in one second depends on their content, and neither on the way by
# which they are known nor on their sender, which a share does not have.
_RUNS = """
CREATE OR REPLACE TEMP TABLE run_of_row AS
WITH numbered AS (
  SELECT run_name,
    row_number() OVER (ORDER BY min(time), min(kind), min(input), run_name)::UINTEGER AS run
  FROM named_row SEMI JOIN {kept} USING (row_id) GROUP BY run_name
)
SELECT row_id, run, run_name, run_known_by FROM named_row LEFT JOIN numbered USING (run_name)
"""


def name_runs(connection: duckdb.DuckDBPyConnection, rows: str, kept: str, named: str = "") -> None:
    """Create the table ``run_of_row``: ``row_id, run, run_name, run_known_by``.

    ``run`` numbers the runs of kept rows from 1, by the time of their first one, and is null for
    other rows; ``run_name`` is a number that does not change if rows are left out.

    Args:
        connection: finds the tables.
        rows: the table ``scoped_row``, or a view of it, one row per measurement: ``row_id`` and
            :data:`COLUMNS`. Of what came apart, the table's ``report`` and ``start`` are changed.
        kept: a table with the ``row_id`` of the rows that a study keeps.
        named: a table with ``run_name`` and ``run_known_by``, which a share has.
    """
    if named:
        connection.execute(_SHARED.format(rows=rows, named=named))
    else:
        for name in ("report", "start"):
            connection.execute(_PART.format(table="scoped_row", rows=rows, name=name))
        connection.execute(_NAMED.format(rows=rows, gap=GAP))
        unnamed = connection.sql(_UNNAMED).to_arrow_table()
        names = ("probe", "second", "input", "came", "gone")
        columns = [unnamed[name].to_numpy().tolist() for name in names]
        begins = pa.table(_follow(*columns), ["first", "first_came"])
        connection.register("following", begins.append_column("row_id", unnamed["row_id"]))
        connection.execute(_FOLLOWING)
        connection.unregister("following")
    connection.execute(_RUNS.format(kept=kept))
    connection.execute("DROP TABLE named_row")


def _follow(
    probes: list[int], seconds: list[int], inputs: list[int], cames: list[int], gones: list[int]
) -> list[pa.Array]:
    """Return of each measurement the first second of its run, and when that had come.

    The input is sorted by probe, receipt and time. A measurement that was sent twice has the same
    input at the same second, and begins no run.
    """
    firsts: list[int] = []
    first_cames: list[int] = []
    tested_at: dict[int, int] = {}  # input → second, in the current run
    run_probe, first, first_came, last, last_gone = -1, 0, 0, 0, 0
    for probe, second, tested, came, gone in zip(
        probes, seconds, inputs, cames, gones, strict=True
    ):
        is_apart = came > last_gone or abs(second - last) > GAP or second - first > LONGEST
        if probe != run_probe or is_apart or tested_at.get(tested, second) != second:
            tested_at, run_probe, first, first_came = {}, probe, second, came
        tested_at[tested], last, last_gone = second, second, gone
        firsts.append(first)
        first_cames.append(first_came)
    return [pa.array(firsts, pa.int64()), pa.array(first_cames, pa.int64())]
