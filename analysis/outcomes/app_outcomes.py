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
from analysis.sql import pick_queries, read_queries
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

_QUERIES = read_queries(__file__)
#: All steps but the last, which needs the types of names.
_STEPS = {name: query for name, query in _QUERIES.items() if name != "outcomes"}


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
        create_tables(opened, pick_queries(_QUERIES, "outcomes"), given, place)
    return outcomes
