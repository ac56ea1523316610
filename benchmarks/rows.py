"""A share with as many observations as a year of a country, to make reports from.

The rows are those of the fictional country, which has cases for every rule, repeated under other
names, networks and reports.
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from analysis.observations.fingerprints import Fingerprints
from analysis.observations.schema import OBSERVATION, SCHEMA_VERSION
from analysis.period import Period
from analysis.store.database import Observations
from analysis.store.ingestion import Request, ingest
from analysis.store.shares import share
from analysis.store.store import (
    BLANK_CHECKSUM,
    CHECKSUM_KEY,
    Collection,
    Provenance,
    Store,
    file_name,
    set_checksum,
)
from analysis.worlds.writing import write_world

PROBE_CC = "QQ"
PERIOD = Period.parse("2024-01-01", "2025-01-01")
#: About 2,000 names on 31 networks: 16 times the country's names, twice its networks.
_NAMES, _NETWORKS = 16, 2
_SOURCE_ID = "multiplied-000000000000"
_KEY = "raw/20240101/00/QQ/webconnectivity/2024010100_QQ_webconnectivity.n0.0.jsonl.gz"

_BASE = """
CREATE TEMP TABLE base AS
SELECT *, row_number() OVER (PARTITION BY report_id ORDER BY object_key, line_number) AS place
FROM observations
"""

# Copies of reports in an arbitrary order, up to the number of measurements; the last one is cut.
_REPORTS = """
CREATE TEMP TABLE reports AS
WITH copies AS (
  SELECT report_id, n.range AS name, a.range AS network, t.range AS time, count(*) AS row_count
  FROM base, range({names}) n, range({networks}) a, range({times}) t GROUP BY ALL
), summed AS (
  SELECT *, sum(row_count) OVER (
    ORDER BY hash(report_id, name, network, time), report_id, name, network, time) AS total
  FROM copies
)
SELECT report_id, name, network, time,
  least(row_count, {row_count} - (total - row_count)) AS row_count
FROM summed WHERE total - row_count < {row_count}
"""

# A copy on a day after the period is moved to its beginning.
_ROWS = """
COPY (
  SELECT {columns} FROM (
    SELECT b.* EXCLUDE (line_number) REPLACE (
        concat('c', name, '-', b.domain) AS domain,
        (b.probe_asn + 1000 * network)::UINTEGER AS probe_asn,
        concat(b.report_id, '-', name, '-', network, '-', time) AS report_id,
        replace(b.input, '://', concat('://c', name, '-')) AS input,
        concat('c', name, '-', b.http_host) AS http_host,
        concat('c', name, '-', b.redirect_host) AS redirect_host,
        concat(name, '-', network, '-', time, '/', b.object_key) AS object_key,
        b.measurement_start_time + to_days(time::INTEGER - CASE
          WHEN b.measurement_start_time + to_days(time::INTEGER) < '{until}'::TIMESTAMP THEN 0
          ELSE {days} END) AS measurement_start_time),
      (row_number() OVER ())::UINTEGER AS line_number
    FROM base b JOIN reports USING (report_id)
    WHERE place <= row_count)
) TO '{path}' (FORMAT parquet, COMPRESSION zstd,
  KV_METADATA {{workbook: '{provenance}', {checksum_key}: '{checksum}'}})
"""


def write_share(out: Path, row_count: int) -> None:
    """Write a share of one object with ``row_count`` observations."""
    provenance = Provenance(_KEY, 0, "", "0" * 64, SCHEMA_VERSION, Fingerprints().digest, row_count)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        large = Store(str(folder / "large"))
        path = Path(large.path(file_name(_SOURCE_ID, _KEY)))
        path.parent.mkdir(parents=True)
        write_world(folder / "world", probe_cc=PROBE_CC, since=PERIOD.since, until=PERIOD.until)
        request = Request(str(folder / "world" / "archive"), str(folder / "store"), PROBE_CC)
        with Observations(ingest(request, Fingerprints()), PROBE_CC, PERIOD) as observations:
            connection = observations.connection
            connection.execute(_BASE)
            # Keep the join order: copies are looked up for each wide row.
            connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
            ((base_count,),) = connection.execute("SELECT count(*) FROM base").fetchall()
            times = -(-row_count // (base_count * _NAMES * _NETWORKS))
            connection.execute(
                _REPORTS.format(names=_NAMES, networks=_NETWORKS, times=times, row_count=row_count)
            )
            connection.execute(
                _ROWS.format(
                    columns=", ".join(OBSERVATION.names),
                    until=PERIOD.until,
                    days=PERIOD.day_count,
                    path=path,
                    provenance=json.dumps(asdict(provenance), sort_keys=True),
                    checksum_key=CHECKSUM_KEY,
                    checksum=BLANK_CHECKSUM,
                )
            )
        set_checksum(path)
        share(Collection(large, _SOURCE_ID, (provenance,)), PROBE_CC, PERIOD, out)
