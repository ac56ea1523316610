"""Outcomes of messaging and circumvention tests: one for each measurement and part of its test.

In: the table ``messaging``. Out: the table ``outcomes``, as ``outcomes.add_outcomes`` makes it of
web_connectivity, with a part of a test in the place of a site: ``telegram/web``. A part is

* *blocked* where endpoints ended at a layer that decides: most of them, or any where the app needs
  all (``messaging_tests.Part``); addresses of one /24 network alone do not count, whose route may
  be lost, where others were tried,
* *unknown* where those that were connected mostly gave no answer,
* *ok* otherwise, and nothing where OONI calls the test a failure or it did not come to an end.

These tests have no control: whether a part also fails elsewhere is read from other networks and
countries (``app_verdicts.judge_messaging``).
"""

import duckdb
import pandas as pd

from analysis.observations.messaging_tests import LAYERS, TESTS
from analysis.outcomes.enumerations import create_text_enumerations
from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.steps import create_tables, keep_table
from analysis.sql import pick_queries, read_queries
from analysis.store.stage_tables import Tables, add_room

#: Suffix of a mechanism's name → pattern of the failures; the first that matches counts.
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

_QUERIES = read_queries(__file__)
#: All steps but the last, which needs the types of names.
_STEPS = {name: query for name, query in _QUERIES.items() if name != "outcomes"}


def add_messaging_outcomes(connection: duckdb.DuckDBPyConnection) -> Outcomes:
    """Create ``outcomes`` of ``messaging``: one row a measurement and part of its test.

    Besides the columns that the judge reads: ``test_name, test_part``, and of the part's
    endpoints ``tried_count`` and ``cut_count``, those that ended at a layer that decides.
    ``messaging_endpoint`` has the end of each endpoint, ``messaging_outcome`` the result of each
    part.

    Args:
        connection: connection with ``messaging`` in its own database.
    """
    catalog = add_room(connection, "outcomes")
    outcomes = Outcomes.beside(Tables.of(connection), catalog)
    parts = [
        (test.name, part.name, LAYERS.index(part.decides_until) + 1, part.needs_all)
        for test in TESTS
        for part in test.parts
    ]
    columns = ["test_name", "part", "last_layer", "needs_all"]
    frame = pd.DataFrame(parts, columns=columns).astype({"last_layer": "uint8"})
    values = {"layers": list(LAYERS), "of_the_probe": _OF_THE_PROBE}
    with outcomes.opened(connection) as opened:
        arms = " ".join(f"WHEN regexp_matches(failure, '{p}') THEN '{name}'" for name, p in MANNERS)
        opened.execute(
            f"CREATE MACRO {catalog}.manner_of(failure) AS CASE {arms} ELSE '{_FAILED}' END"
        )
        keep_table(opened, "messaging_part", frame, catalog)
        create_tables(opened, _STEPS, values, catalog)
        names = {
            "host_name": "SELECT domain AS name FROM messaging_named",
            "software_name": "SELECT software AS name FROM messaging_named",
        }
        create_text_enumerations(opened, names, catalog)
        create_tables(opened, pick_queries(_QUERIES, "outcomes"), values, catalog)
    return outcomes
