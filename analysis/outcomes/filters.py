"""Well-known DNS filters that users choose: their answers are no block by a network."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import duckdb
import pyarrow as pa

from analysis.outcomes.frames import keep_table
from analysis.reference.reference_files import REFERENCE, read_csv

#: The measurements that got such an answer; one is enough.
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


def add_filter_addresses(connection: duckdb.DuckDBPyConnection, place: str) -> None:
    """``filter_addresses``: the answers that belong to a well-known DNS filter."""
    answers = [address for (address,) in connection.execute(_ANSWERS).fetchall()]
    addresses = sorted(address for address in answers if local_filter_of(address))
    filters = pa.table({"address": pa.array(addresses, pa.string())})
    keep_table(connection, "filter_addresses", filters, place)


@lru_cache(maxsize=1)
def local_filters() -> tuple[tuple[IPv4Network | IPv6Network, str], ...]:
    """Networks whose addresses well-known DNS filters answer with, and the filter's name.

    Such a filter is chosen by a user, a school or an office, not by the network.
    """
    table = read_csv(REFERENCE / "local_filters.csv", ("network", "name", "source"), "reference")
    return tuple((ip_network(row["network"]), row["name"]) for _, row in table.rows)


def local_filter_of(address: str) -> str:
    """The name of the DNS filter that answers with an address; empty where none does."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    return next((name for network, name in local_filters() if parsed in network), "")
