"""Rows whose addresses, connections and pages vary as those of real measurements do.

The fictional country has one address for most sites and few pages, so that its rows pack into a
tenth of what real ones take. Here a site has up to three addresses, two of three of IPv4; two of
five sites take them from twelve sets, as a content network does; the page of every other site is
another one for each session. What fails, what a resolver made up and what shows a block is as it
was, so that there is as much to find.
"""

from pathlib import Path

import duckdb

_MACROS = """
CREATE OR REPLACE TEMP MACRO address_of(known, domain, edition, number) AS
  CASE WHEN known IS NULL THEN NULL
    WHEN number = 2 THEN lower(concat('2001:db8:', to_hex(hash(known, domain, edition) % 65536),
      '::', to_hex(1 + hash(domain, known, edition) % 65535)))
    ELSE concat_ws('.', 20 + hash(known, domain, edition, number) % 80,
      hash(domain, known, edition, number) % 256, hash(edition, known, domain, number) % 256,
      hash(number, known, domain, edition) % 256) END;
CREATE OR REPLACE TEMP MACRO vary(attempts, domain, edition, numbers) AS
  flatten([[CASE WHEN coalesce(a.match, 'none') = 'none' THEN a
    ELSE struct_update(a, address := address_of(a.address, domain, edition, n)) END
    FOR n IN numbers] FOR a IN attempts]);
"""

_ROWS = """
WITH numbered AS (
  SELECT *, CASE WHEN hash(domain) % 5 < 2 THEN hash(report_id) % 12 ELSE 0 END AS edition,
    range(1 + (hash(domain, 1) % 3)::INT) AS numbers
  FROM read_parquet($source)
)
SELECT * EXCLUDE (edition, numbers) REPLACE (
  vary(dns_answers, domain, edition, numbers) AS dns_answers,
  vary(tcp, domain, edition, numbers) AS tcp,
  vary(tls, domain, edition, numbers) AS tls,
  flatten([[struct_update(a, address := address_of(a.address, domain, edition, n))
    FOR n IN numbers] FOR a IN control_answers]) AS control_answers,
  flatten([[address_of(a, domain, edition, n) FOR n IN numbers] FOR a IN control_tls_addresses])
    AS control_tls_addresses,
  CASE WHEN is_anomaly THEN http_title ELSE http_title || ' ' || domain END AS http_title,
  control_http_title || ' ' || domain AS control_http_title,
  CASE WHEN is_anomaly OR hash(domain) % 2 = 0 THEN http_body_digest
    ELSE md5(domain || report_id || http_body_digest) END AS http_body_digest,
  (CASE WHEN is_anomaly THEN http_body_length
    ELSE http_body_length + hash(report_id, domain) % 500 END)::BIGINT AS http_body_length,
  CASE WHEN is_anomaly THEN body_proportion
    ELSE greatest(0, body_proportion - (hash(report_id, domain) % 1000) / 20000) END
    AS body_proportion)
FROM numbered
"""


def vary_rows(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> None:
    """Write the observations of a Parquet file, varied, into another one."""
    connection.execute(_MACROS)
    connection.execute(
        f"COPY ({_ROWS}) TO $target (FORMAT parquet, COMPRESSION zstd)",
        {"source": str(source), "target": str(target)},
    )
