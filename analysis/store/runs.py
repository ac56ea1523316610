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

A start that is after its measurement, or a day or more before it, counts as missing. The sender
chooses all of these values (docs/security.md says what a forger gains).
"""

import duckdb
import pyarrow as pa

#: The ways by which a run is known, in this order.
WAYS = ("report_id", "test_start_time", "closeness")

#: The most seconds between two measurements of a run that is known by closeness, and of the whole
#: run. A test of a site takes seconds, or two minutes if all attempts time out; a list takes some
#: hours at most.
GAP, LONGEST = 300, 7200

#: The columns that determine a row's run, as SQL over those of ``schema.PROBE``; ``{test}`` and
#: ``{input}`` are SQL of the test. Texts are hashed, because there are millions of rows.
COLUMNS = """
  if(report_id = '', 0, hash(report_id)) AS report, hash({input}) AS input,
  hash(probe_asn, probe_cc, {test}, software_name, software_version, platform) AS kind,
  hash(kind, probe_id) AS probe, measurement_start_time AS time,
  CASE WHEN test_start_time <= measurement_start_time
    AND test_start_time > measurement_start_time - INTERVAL 1 DAY THEN test_start_time END AS start
"""

# If a test has no inputs, each of its measurements is a run with a start of its own.
_NAMED = """
CREATE OR REPLACE TEMP TABLE named_row AS
WITH shared_report AS (
  SELECT report FROM {rows} WHERE report <> 0 GROUP BY report HAVING min(input) <> max(input)
), report_kind AS (
  SELECT DISTINCT kind FROM {rows} SEMI JOIN shared_report USING (report)
), start_kind AS (
  FROM report_kind
  UNION SELECT kind FROM {rows} WHERE start IS NOT NULL
  GROUP BY kind, probe, start HAVING min(input) <> max(input) OR min(input) = hash('')
)
SELECT row_id, input, kind, probe, time,
  CASE WHEN s.report IS NOT NULL OR (start IS NULL AND r.report <> 0 AND k.kind IS NOT NULL)
      THEN 'report_id'
    WHEN start IS NOT NULL AND t.kind IS NOT NULL THEN 'test_start_time'
    ELSE 'closeness' END AS run_known_by,
  CASE run_known_by WHEN 'report_id' THEN hash(run_known_by, r.report)
    WHEN 'test_start_time' THEN hash(run_known_by, probe, start) END AS run_name
FROM {rows} r LEFT JOIN shared_report s USING (report) LEFT JOIN report_kind k USING (kind)
  LEFT JOIN start_kind t USING (kind)
"""

_UNNAMED = """
SELECT row_id, input, probe, epoch(time)::BIGINT AS second FROM named_row
WHERE run_name IS NULL ORDER BY probe, time, row_id
"""

_FOLLOWING = """
UPDATE named_row SET run_name = hash('closeness', named_row.probe, first)
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
        rows: a table, one row per measurement: ``row_id`` and :data:`COLUMNS`.
        kept: a table with the ``row_id`` of the rows that a study keeps.
        named: a table with ``run_name`` and ``run_known_by``, which a share has.
    """
    if named:
        connection.execute(_SHARED.format(rows=rows, named=named))
    else:
        connection.execute(_NAMED.format(rows=rows))
        unnamed = connection.sql(_UNNAMED).to_arrow_table()
        columns = [unnamed[name].to_numpy().tolist() for name in ("probe", "second", "input")]
        first = pa.array(_follow(*columns), pa.int64())
        connection.register("following", pa.table({"row_id": unnamed["row_id"], "first": first}))
        connection.execute(_FOLLOWING)
        connection.unregister("following")
    connection.execute(_RUNS.format(kept=kept))
    connection.execute("DROP TABLE named_row")


def _follow(probes: list[int], seconds: list[int], inputs: list[int]) -> list[int]:
    """Return the first second of each measurement's run; input is sorted by probe and time.

    A measurement that was sent twice has the same input at the same second, and begins no run.
    """
    firsts: list[int] = []
    tested_at: dict[int, int] = {}  # input → second, in the current run
    run_probe, first, last = -1, 0, 0
    for probe, second, tested in zip(probes, seconds, inputs, strict=True):
        is_new = probe != run_probe or second - last > GAP or second - first > LONGEST
        if is_new or tested_at.get(tested, second) != second:
            tested_at, run_probe, first = {}, probe, second
        tested_at[tested], last = second, second
        firsts.append(first)
    return firsts
