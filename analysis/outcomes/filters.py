"""DNS filters that users choose, told from answers that a network gives to all (local filters)."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import duckdb
import pyarrow as pa

from analysis.outcomes.macros import IS_STEADY, keep_table, spells
from analysis.reference.files import REFERENCE, read_csv

# G3. A filter that a user, a school or an office chose answers for its own sessions only; a network
# that blocks answers all of them. One row: one special-purpose address as sessions of one network
# got it through one resolver, over the names and days on which it was given. A session counts as
# open where it got the address for less than half of those names that it tried. Where the probes
# that get the address are those that do not at other times, what nearly all sessions of several
# versions get for a while (``stretches``) is the network's, also if it is lifted and imposed again:
# no user's filter comes and goes for everybody.
SPECIAL_ASKED = """
WITH given AS (
  SELECT probe_asn, resolver_asn, address, domain, min(day) AS since, max(day) AS until
  FROM (SELECT *, unnest(dns_addresses) AS address FROM features
        WHERE dns_special IS NOT NULL AND control_name = 'resolves')
  GROUP BY ALL
)
SELECT g.probe_asn, g.resolver_asn, g.address, f.session, g.domain,
       min(f.software) AS software, min(f.day) AS day,
       bool_or(list_contains(f.dns_addresses, g.address)) AS is_given
FROM given g JOIN features f
  ON f.probe_asn = g.probe_asn AND f.resolver_asn = g.resolver_asn AND f.domain = g.domain
 AND f.day BETWEEN g.since AND g.until AND f.control_name = 'resolves'
 AND (f.dns_failure IS NOT NULL OR f.dns_has_answer)
GROUP BY ALL
"""
SPECIAL_SESSIONS = """
SELECT probe_asn, resolver_asn, address, session, min(software) AS software,
  min(day) AS day, 2 * count(*) FILTER (is_given) >= count(*) AS is_given
FROM special_asked GROUP BY ALL
"""
SPECIAL_PROFILES = f"""
WITH {spells("probe_asn, resolver_asn, address", "special_sessions", "software")}, lasting AS (
  SELECT probe_asn, resolver_asn, address, list((since, until)) AS stretches
  FROM spells WHERE {IS_STEADY} AND version_count >= 2 GROUP BY ALL
), kinds AS (
  SELECT probe_asn, resolver_asn, address, software, count(*) FILTER (is_given) AS given,
    count(*) FILTER (NOT is_given) AS open
  FROM special_sessions GROUP BY ALL
), counted AS (
  SELECT probe_asn, resolver_asn, address, sum(given)::BIGINT AS given_session_count,
    sum(open)::BIGINT AS open_session_count, sum(least(given, open))::BIGINT AS mixed_count
  FROM kinds GROUP BY ALL
), names AS (
  SELECT probe_asn, resolver_asn, address, count(DISTINCT domain) AS name_count
  FROM special_asked GROUP BY ALL
)
SELECT *,
  -- Some sessions only; or nearly all of them, where those that got the address and those that
  -- did not are different probes: one busy probe behind its owner's filter is no network.
  open_session_count >= {{floor_sessions}}
    AND (given_session_count < {{filter_share}} * (given_session_count + open_session_count)
         OR 4 * mixed_count <= open_session_count) AS is_local_filter,
  CASE WHEN 4 * mixed_count > open_session_count THEN stretches END AS stretches
FROM counted JOIN names USING (probe_asn, resolver_asn, address)
  LEFT JOIN lasting USING (probe_asn, resolver_asn, address)
"""

# What sessions without a filter get for a name nearly always, or several versions of them for a
# while, is the network's own answer, even if the filters of others there give the same address for
# names of theirs.
NETWORK_NAMES = f"""
WITH plain AS (
  SELECT a.* FROM special_asked a
    JOIN special_sessions s USING (probe_asn, resolver_asn, address, session)
  WHERE NOT s.is_given
), {spells("probe_asn, resolver_asn, address, domain", "plain", "software")}
SELECT probe_asn, resolver_asn, address, domain, min(day) AS since, max(day) AS until
FROM plain GROUP BY ALL
HAVING count(*) FILTER (is_given) >= {{floor_sessions}}
  AND count(*) FILTER (is_given) >= {{persistence_share}} * count(*)
UNION
SELECT probe_asn, resolver_asn, address, domain, since, until
FROM spells WHERE {IS_STEADY} AND version_count >= 2
"""

FILTERED = """
SELECT DISTINCT object_key, line_number FROM (
  SELECT f.object_key, f.line_number
  FROM (SELECT object_key, line_number, probe_asn, resolver_asn, day, domain,
               unnest(dns_addresses) AS address
        FROM features WHERE dns_special IS NOT NULL) f
  JOIN special_profiles s USING (probe_asn, resolver_asn, address)
  ANTI JOIN network_names n ON n.probe_asn = f.probe_asn AND n.resolver_asn = f.resolver_asn
    AND n.address = f.address AND n.domain = f.domain AND f.day BETWEEN n.since AND n.until
  WHERE s.is_local_filter AND coalesce(
    len([true FOR one IN s.stretches IF f.day BETWEEN one[1] AND one[2]]) = 0, TRUE)
  UNION ALL
  SELECT f.object_key, f.line_number
  FROM (SELECT object_key, line_number, unnest(dns_addresses) AS address
        FROM features WHERE dns_special IS NOT NULL OR dns_match = 'none') f
  JOIN filter_addresses USING (address)
)
"""


def register_filters(connection: duckdb.DuckDBPyConnection) -> None:
    """``filter_addresses``: the answers that belong to a well-known DNS filter."""
    found = connection.execute(
        "SELECT DISTINCT unnest(dns_addresses) FROM features "
        "WHERE dns_special IS NOT NULL OR dns_match = 'none'"
    ).fetchall()
    filters = pa.table(
        {"address": pa.array(sorted(a for (a,) in found if local_filter_of(a)), pa.string())}
    )
    keep_table(connection, "filter_addresses", filters)


@lru_cache(maxsize=1)
def local_filters() -> tuple[tuple[IPv4Network | IPv6Network, str], ...]:
    """Networks whose addresses well-known DNS filters answer with, and the filter's name.

    Such a filter is chosen by a user, a school or an office, not by the network (guard G3).
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
