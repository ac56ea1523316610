"""What each measurement of a messaging or circumvention test shows of each part of the test.

In: the table ``messaging``. Out: the table ``outcomes``, as ``outcomes.add_outcomes`` makes it of
web_connectivity, with a part of a test in the place of a site: ``telegram/web``. A part is

* *blocked* where endpoints ended at a layer that decides: most of them, or any where the app needs
  all (``messaging_tests.Part``); addresses of one /24 network alone do not count, whose route may
  be lost, where others were tried,
* *unknown* where those that were connected mostly gave no answer,
* *ok* otherwise, and nothing where OONI calls the test a failure or it did not come to an end.

No test has a control of its own: whether a part fails elsewhere too is asked of other networks and
countries (``app_verdicts.messaging``).
"""

import duckdb
import pandas as pd

from analysis.observations.messaging_tests import LAYERS, TESTS
from analysis.outcomes.enumerations import create_text_enumerations
from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.steps import create_tables, keep_table
from analysis.store.stage_tables import Tables, add_room

#: How a failure is said in the name of a mechanism: the first pattern that it matches.
MANNERS = (
    ("timeout", "timeout|timed_out|timed out|deadline|i/o"),
    ("nxdomain", "^dns_nxdomain"),
    ("other", "one_address_for_all_names"),
    ("bogon", "^bogon"),
    ("reset", "reset|eof|aborted|broken pipe|dirty_shutdown"),
    ("refused", "refused"),
    ("unreachable", "unreachable|no route"),
    ("mitm", "^ssl_|x509|certificate"),
)
_FAILED = "failed"
#: The probe's own machine was without a network: nothing was tested.
_OF_THE_PROBE = "network_unreachable|cannot allocate|operation_canceled|permission"

# One row an endpoint. Where one ended behind the layer that decides, it was connected.
_ENDPOINTS = """
WITH tried AS (
  SELECT object_key, line_number, test_name, unnest(endpoints) AS tried FROM messaging
  WHERE NOT is_failure
)
SELECT object_key, line_number, test_name, p.part, needs_all, tried.endpoint, tried.failure,
  list_position($layers, tried.layer) AS layer,
  coalesce(list_position($layers, tried.layer) <= last_layer
    AND NOT regexp_matches(tried.failure, $of_the_probe), FALSE) AS is_cut,
  tried.layer IS NOT NULL AS is_unreached,
FROM tried t JOIN messaging_part p USING (test_name)
WHERE p.part = tried.part
"""

# Where and how most endpoints of a part ended; ties go to the earlier layer. An endpoint's ``host``
# is its name, or the /24 of its address.
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
    count(*) FILTER (is_unreached) AS unreached_count, count(DISTINCT host) AS host_count,
    count(DISTINCT host) FILTER (is_cut) AS cut_host_count
  FROM (SELECT *, regexp_extract(endpoint, '^([0-9]+[.][0-9]+[.][0-9]+[.]|.*)', 1) AS host
        FROM messaging_endpoint) GROUP BY object_key, line_number, part
)
SELECT c.* EXCLUDE (host_count, cut_host_count), layer, failure,
  CASE WHEN needs_all AND cut_count > 0
         OR 2 * cut_count > tried_count AND cut_host_count >= least(2, host_count) THEN 'blocked'
       WHEN 2 * unreached_count > tried_count THEN 'unknown'
       ELSE 'ok' END AS class
FROM counted c LEFT JOIN most USING (object_key, line_number, part)
"""

# One row a measurement and part.
_PARTS_TOLD = """
SELECT object_key, line_number, p.part,
  coalesce(tried_count, 0) AS tried_count, coalesce(cut_count, 0) AS cut_count,
  coalesce(class, 'unknown') AS class, layer, failure, class IS NOT NULL AS is_scored
FROM messaging m JOIN messaging_part p USING (test_name)
  LEFT JOIN messaging_outcome o USING (object_key, line_number, part)
"""

_OUTCOMES = """
SELECT row_id, object_key, line_number, test_name, part AS test_part, '' AS input,
  measurement_start_time, measurement_start_time::DATE AS day, run AS session,
  test_name || '/' || part AS domain, probe_asn, resolver_asn, NULL::UINTEGER AS site_asn,
  concat_ws(' ', software_name, software_version, test_version) AS software,
  is_anomaly AND NOT is_failure AS is_anomaly, FALSE AS is_confirmed, is_failure,
  tried_count, cut_count, class,
  CASE WHEN class = 'blocked' THEN $layers[layer] || '.' || manner_of(failure) ELSE '' END
    AS mechanism,
  if(is_scored, 'scored', 'none') AS evidence,
  -- an address that no public server can have
  coalesce(class = 'blocked' AND failure = 'bogon', FALSE) AS is_artefact,
  FALSE AS is_about_target, '' AS set_aside
FROM messaging JOIN messaging_told USING (object_key, line_number)
WHERE probe_asn > 0  -- OONI drops what is of no network
"""

_STEPS = {
    "messaging_endpoint": _ENDPOINTS,
    "messaging_outcome": _PART_OUTCOMES,
    "messaging_told": _PARTS_TOLD,
    "messaging_placed": _OUTCOMES,
    "observations": "SELECT row_id, report_id FROM messaging",
}

# What the judge asks of an outcome besides: rules are named as the mechanism that they see.
_RULED = """
SELECT * REPLACE (domain::host_name AS domain,
    software::software_name AS software),
  mechanism AS rule_id, mechanism AS dns_rule, '' AS tls_rule,
  coalesce(list_position($layers, split_part(mechanism, '.', 1)), 0)::UTINYINT AS rule_order
FROM messaging_placed
"""


def add_messaging_outcomes(connection: duckdb.DuckDBPyConnection) -> Outcomes:
    """Create ``outcomes`` of ``messaging``: one row a measurement and part of its test.

    Besides the columns that the judge asks for: ``test_name, test_part``, and of the part's
    endpoints ``tried_count`` and ``cut_count``, those that ended at a layer that decides. Where
    each ended is in ``messaging_endpoint``, what that makes of each part in ``messaging_outcome``.

    Args:
        connection: holds ``messaging`` in its own database.
    """
    place = add_room(connection, "outcomes")
    outcomes = Outcomes.beside(Tables.of(connection), place)
    parts = [
        (test.name, part.name, LAYERS.index(part.decides_until) + 1, part.needs_all)
        for test in TESTS
        for part in test.parts
    ]
    columns = ["test_name", "part", "last_layer", "needs_all"]
    frame = pd.DataFrame(parts, columns=columns).astype({"last_layer": "uint8"})
    given = {"layers": list(LAYERS), "of_the_probe": _OF_THE_PROBE}
    with outcomes.opened(connection) as opened:
        arms = " ".join(f"WHEN regexp_matches(failure, '{p}') THEN '{name}'" for name, p in MANNERS)
        opened.execute(
            f"CREATE MACRO {place}.manner_of(failure) AS CASE {arms} ELSE '{_FAILED}' END"
        )
        keep_table(opened, "messaging_part", frame, place)
        create_tables(opened, _STEPS, given, place)
        names = {
            "host_name": "SELECT domain AS name FROM messaging_placed",
            "software_name": "SELECT software AS name FROM messaging_placed",
        }
        create_text_enumerations(opened, names, place)
        create_tables(opened, {"outcomes": _RULED}, given, place)
    return outcomes
