"""What each measurement of a messaging or circumvention test shows of each part of the test.

In: the table ``messaging``. Out: the table ``outcomes``, as ``outcomes.add_outcomes`` makes it of
web_connectivity, with a part of a test in the place of a site: ``telegram/web``. A part is

* *blocked* where endpoints ended at a layer that decides: most of them, or any where the app needs
  all (``messaging_tests.Part``),
* *unknown* where those that were connected mostly gave no answer,
* *ok* otherwise, and nothing where OONI calls the test a failure or it did not come to an end.

No test has a control of its own: whether a part fails elsewhere too is asked of other networks and
countries (``verdicts.messaging``).
"""

import duckdb

from analysis.observations.messaging_tests import LAYERS, TESTS
from analysis.outcomes.enumerations import create_text_enumerations
from analysis.outcomes.macros import create_tables

#: How a failure is said in the name of a mechanism: the first pattern that it matches.
MANNERS = (
    ("timeout", "timeout|timed_out|timed out|deadline|i/o"),
    ("nxdomain", "^dns_nxdomain"),
    ("other", "one_address_for_all_names"),
    ("bogon", "^bogon"),
    ("reset", "reset|eof|aborted|broken pipe"),
    ("refused", "refused"),
    ("unreachable", "unreachable|no route"),
    ("mitm", "^ssl_|x509|certificate"),
)
_FAILED = "failed"
#: The probe's own machine was without a network: nothing was tested.
_OF_THE_PROBE = "network_unreachable|cannot allocate|operation_canceled|permission"

_PARTS = """
CREATE OR REPLACE TEMP TABLE messaging_part (
  test_name VARCHAR, part VARCHAR, part_order UTINYINT, last_layer UTINYINT, needs_all BOOLEAN)
"""

# One row an endpoint. Where one ended behind the layer that decides, it was connected.
_ENDPOINTS = """
WITH tried AS (
  SELECT object_key, line_number, test_name, unnest(endpoints) AS tried FROM messaging
  WHERE NOT is_failure
)
SELECT object_key, line_number, p.part, needs_all, tried.failure,
  list_position($layers, tried.layer) AS layer,
  coalesce(list_position($layers, tried.layer) <= last_layer
    AND NOT regexp_matches(tried.failure, $of_the_probe), FALSE) AS is_cut,
  tried.layer IS NOT NULL AS is_unreached,
FROM tried t JOIN messaging_part p ON p.test_name = t.test_name AND p.part = tried.part
"""

# Where and how most endpoints of a part ended; ties go to the earlier layer.
_PART_OUTCOMES = """
WITH ended AS (
  SELECT object_key, line_number, part, layer, failure, count(*) AS endpoint_count
  FROM messaging_endpoint WHERE is_cut GROUP BY ALL
), most AS (
  SELECT object_key, line_number, part,
    first(layer ORDER BY endpoint_count DESC, layer, failure) AS layer,
    first(failure ORDER BY endpoint_count DESC, layer, failure) AS failure
  FROM ended GROUP BY ALL
), counted AS (
  SELECT object_key, line_number, part, any_value(needs_all) AS needs_all,
    count(*) AS tried_count, count(*) FILTER (is_cut) AS cut_count,
    count(*) FILTER (is_unreached) AS unreached_count
  FROM messaging_endpoint GROUP BY ALL
)
SELECT c.*, layer, failure,
  CASE WHEN needs_all AND cut_count > 0 OR 2 * cut_count > tried_count THEN 'blocked'
       WHEN 2 * unreached_count > tried_count THEN 'unknown'
       ELSE 'ok' END AS class
FROM counted c LEFT JOIN most USING (object_key, line_number, part)
"""

_OUTCOMES = """
WITH placed AS (
  SELECT m.*, p.part, p.part_order FROM messaging m JOIN messaging_part p USING (test_name)
  WHERE probe_asn > 0  -- OONI drops what is of no network
)
SELECT object_key, line_number, report_id <> '' AS has_report, test_name,
  part AS test_part, '' AS input,
  measurement_start_time, measurement_start_time::DATE AS day,
  (CASE WHEN report_id <> '' THEN report_id
    ELSE concat_ws(' ', test_name, probe_asn, measurement_start_time::DATE) END) AS session,
  test_name || '/' || part AS domain, probe_asn, resolver_asn, NULL::UINTEGER AS site_asn,
  concat_ws(' ', software_name, software_version, test_version) AS software,
  is_anomaly AND NOT is_failure AS is_anomaly, FALSE AS is_confirmed, is_failure,
  coalesce(tried_count, 0) AS tried_count, coalesce(cut_count, 0) AS cut_count,
  coalesce(o.class, 'unknown') AS class,
  CASE WHEN o.class = 'blocked' THEN $layers[layer] || '.' || manner_of(failure) ELSE '' END
    AS mechanism,
  if(o.class IS NULL, 'none', 'scored') AS evidence,
  -- an address that no public server can have
  coalesce(o.class = 'blocked' AND failure = 'bogon', FALSE) AS is_artefact,
  FALSE AS is_about_target, '' AS set_aside
FROM placed LEFT JOIN messaging_outcome o USING (object_key, line_number, part)
"""

# What the judge asks of an outcome besides: rules are named as the mechanism that they see.
_RULED = """
SELECT * REPLACE (domain::host_name AS domain, session::session_name AS session,
    software::software_name AS software),
  mechanism AS rule_id, mechanism AS dns_rule, '' AS tls_rule,
  coalesce(list_position($layers, split_part(mechanism, '.', 1)), 0)::UTINYINT AS rule_order
FROM messaging_placed
"""


def add_messaging_outcomes(connection: duckdb.DuckDBPyConnection) -> None:
    """Create ``outcomes`` of the table ``messaging``: one row a measurement and part of its test.

    Besides the columns that the judge asks for: ``test_name, test_part``, and of the part's
    endpoints ``tried_count`` and ``cut_count``, those that ended at a layer that decides.
    """
    arms = " ".join(f"WHEN regexp_matches(failure, '{p}') THEN '{name}'" for name, p in MANNERS)
    connection.execute(
        f"CREATE OR REPLACE TEMP MACRO manner_of(failure) AS CASE {arms} ELSE '{_FAILED}' END"
    )
    connection.execute(_PARTS)
    rows = [
        (test.name, part.name, order, LAYERS.index(part.decides_until) + 1, part.needs_all)
        for test in TESTS
        for order, part in enumerate(test.parts)
    ]
    connection.executemany("INSERT INTO messaging_part VALUES (?, ?, ?, ?, ?)", rows)
    layers = {"layers": list(LAYERS)}
    create_tables(
        connection, {"messaging_endpoint": _ENDPOINTS}, {**layers, "of_the_probe": _OF_THE_PROBE}
    )
    create_tables(connection, {"messaging_outcome": _PART_OUTCOMES}, {})
    create_tables(connection, {"messaging_placed": _OUTCOMES}, layers)
    create_text_enumerations(
        connection,
        {
            "host_name": "SELECT domain AS name FROM messaging_placed",
            "session_name": "SELECT session AS name FROM messaging_placed",
            "software_name": "SELECT software AS name FROM messaging_placed",
        },
    )
    create_tables(connection, {"outcomes": _RULED}, layers)
