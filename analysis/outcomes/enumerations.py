"""Enumerations: names and small vocabularies that DuckDB compares and counts as numbers.

Names are compared, counted and joined by the million. As an enumeration each is a small number to
DuckDB; it still reads and sorts as text.
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from analysis.hosts import SPECIAL_KINDS, registrable_domain
from analysis.observations.schema import MATCH_VALUES
from analysis.outcomes.steps import create_tables, create_type

_HOSTS = """
SELECT host FROM (
  SELECT domain AS host FROM observations
  UNION SELECT http_host FROM observations
  UNION SELECT redirect_host FROM observations
)
WHERE host <> '' ORDER BY host
"""

# Type → its names, some of them null.
_NAMES = {
    "host_name": "SELECT unnest([host, '']) AS name FROM registered_hosts",
    "site_name": "SELECT registrable_domain AS name FROM registered_hosts",
    "input_name": "SELECT input AS name FROM observations",
    "software_name": """
SELECT concat_ws(' ', software_name, software_version) AS name
FROM (SELECT DISTINCT software_name, software_version FROM observations)""",
    "country_name": "SELECT probe_cc AS name FROM observations",
    "hoster_name": "SELECT hoster_of(control_answers) AS name FROM observations",
}

# Type → its values in their order, a byte each.
_VALUES = {
    # result of the lookup of a name by the session's control, and by those of the days around
    "control_answer": ("silent", "resolves", "missing"),
    "pool_answer": ("exists", "missing"),
    # 'address' < 'asn' < 'none': the least of them is the best match
    "match_value": MATCH_VALUES,
    "special_kind": SPECIAL_KINDS,
    "layer_word": ("dns", "tcp", "tls", "http"),
    # Result of an attempt to connect or to shake hands, the most conclusive first: it works, it
    # fails here only, it fails for the control too, the probe's own machine failed, there is no
    # control, IPv6 works nowhere, the address may not be the site's.
    "attempt_result": ("works", "blocked", "down", "local", "untold", "no_ipv6", "untrusted"),
}

_SITES = """
SELECT host::host_name AS host, registrable_domain::site_name AS registrable_domain
FROM registered_hosts
"""


def create_enumerations(connection: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Create the types of ``_NAMES`` and ``_VALUES``, and the table ``sites``.

    ``sites``: one row per host with its registrable domain.

    Args:
        connection: finds ``observations`` and the macros.
        catalog: the catalog in which they are made.
    """
    hosts = [host for (host,) in connection.execute(_HOSTS).fetchall()]
    domains = [registrable_domain(host) for host in hosts]
    columns = {"host": hosts, "registrable_domain": domains}
    rows = pa.table({name: pa.array(texts, pa.string()) for name, texts in columns.items()})
    connection.register("registered_hosts", rows)
    create_text_enumerations(connection, _NAMES, catalog)
    create_tables(connection, {"sites": _SITES}, {}, catalog)
    connection.unregister("registered_hosts")
    for name, values in _VALUES.items():
        create_type(connection, name, str(values), catalog)


def create_text_enumerations(
    connection: duckdb.DuckDBPyConnection, names: Mapping[str, str], catalog: str
) -> None:
    """Create a type for each name, of the texts in the column ``name`` of a query."""
    for name, query in names.items():
        distinct = f"SELECT DISTINCT name FROM ({query}) WHERE name IS NOT NULL ORDER BY name"
        create_type(connection, name, f"({distinct})", catalog)
