"""Well-known DNS filters that users choose: their answers are no block by a network."""

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import duckdb
import pyarrow as pa

from analysis.outcomes.steps import keep_table
from analysis.reference.reference_files import REFERENCE, read_csv

#: Step to the measurements that got such an answer; it needs only one measurement.
FILTER_STEPS = {
    "filtered": """
SELECT DISTINCT f.row_id
FROM (SELECT row_id, unnest(dns_addresses) AS address
      FROM features WHERE dns_special IS NOT NULL OR dns_match = 'none') f
JOIN filter_addresses USING (address)
""",
}

_ANSWERS = """
SELECT DISTINCT unnest(dns_addresses) FROM features
WHERE dns_special IS NOT NULL OR dns_match = 'none'
"""


def add_filter_addresses(connection: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Create ``filter_addresses``: the answers that belong to a well-known DNS filter."""
    answers = connection.execute(_ANSWERS).fetchall()
    matching = [address for (address,) in answers if _is_of_filter(address)]
    addresses = pa.table({"address": pa.array(matching, pa.string())})
    keep_table(connection, "filter_addresses", addresses, catalog)


@cache
def local_filters() -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks with addresses in the answers of well-known DNS filters.

    Such a filter is chosen by a user, a school or an office, not by the network.
    """
    table = read_csv(REFERENCE / "local_filters.csv", ("network", "name", "source"), "reference")
    return tuple(ip_network(row["network"]) for _, row in table.rows)


def _is_of_filter(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in local_filters())
