"""DNS filters that users choose, told from answers that a network gives to all (local filters)."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import duckdb
import pyarrow as pa

from analysis.outcomes.frames import keep_table
from analysis.reference.reference_files import REFERENCE, read_csv

# What a filter says of a name that exists: a special-purpose address, or that there is none.
_SAID = """CASE WHEN dns_failure = 'dns_nxdomain_error' THEN [dns_failure]
  WHEN dns_special IS NOT NULL THEN dns_addresses END"""

#: Steps over ``features``, in order: which special-purpose addresses are given by a filter that a
#: user, a school or an office chose, which answers for its own sessions only; a network that blocks
#: answers all of them. ``address`` is such an address, or the failure that says that there is none.
FILTER_STEPS = {
    # The sessions that asked a resolver for a name, from the first day to the last on which it gave
    # a special-purpose address, and whether they got it.
    "special_asked": f"""
WITH given AS (
  SELECT probe_asn, resolver_asn, address, domain, min(day) AS since, max(day) AS until
  FROM (SELECT *, unnest({_SAID}) AS address FROM features WHERE control_name = 'resolves'
          AND (dns_special IS NOT NULL OR dns_failure = 'dns_nxdomain_error'))
  GROUP BY ALL
)
SELECT g.probe_asn, g.resolver_asn, g.address, f.session, g.domain,
       min(f.software) AS software, min(f.day) AS day,
       bool_or(list_contains(f.dns_addresses, g.address)
         OR coalesce(f.dns_failure = g.address, FALSE)) AS is_given
FROM given g JOIN features f
  ON f.probe_asn = g.probe_asn AND f.resolver_asn = g.resolver_asn AND f.domain = g.domain
 AND f.day BETWEEN g.since AND g.until AND f.control_name = 'resolves'
 AND (f.dns_failure IS NOT NULL OR f.dns_has_answer)
GROUP BY ALL
""",
    # A session is open where it got the address for less than half of the names that it tried.
    "special_sessions": """
SELECT {'probe_asn': probe_asn, 'resolver_asn': resolver_asn, 'address': address} AS key,
  probe_asn, resolver_asn, address, session, min(software) AS software,
  min(day) AS day, 2 * count(*) FILTER (is_given) >= count(*) AS is_given
FROM special_asked GROUP BY ALL
""",
    "special_stretches": "FROM find_stretches('special_sessions', $floor_sessions)",
    # What nearly all sessions of several versions get for a while is the network's, also if it is
    # lifted and imposed again: no user's filter comes and goes for everybody.
    "network_answers": """
SELECT unnest(key), list((since, until) ORDER BY since) AS stretches
FROM special_stretches
WHERE is_steady(given_count, open_count, day_count,
    $persistence_share, $floor_sessions, $floor_days)
  AND version_count >= 2 GROUP BY key
""",
    # One row: one special-purpose address as sessions of one network got it through one resolver,
    # over the names and days on which it was given. A filter's is got by some sessions only; or by
    # nearly all of them, where those that got the address and those that did not are different
    # probes: one busy probe behind its owner's filter is no network. That there is no such name is
    # what part of a network's routers say too, of any probe: of that, only the latter counts.
    "special_profiles": """
WITH kinds AS (
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
  given_session_count < $filter_share * (given_session_count + open_session_count) AS is_of_some,
  4 * mixed_count <= open_session_count AS is_of_other_probes,
  open_session_count >= $floor_sessions AND CASE WHEN address = 'dns_nxdomain_error'
    THEN is_of_other_probes ELSE is_of_some OR is_of_other_probes END
    AS is_local_filter
FROM counted JOIN names USING (probe_asn, resolver_asn, address)
  LEFT JOIN network_answers USING (probe_asn, resolver_asn, address)
""",
    # Sessions without a filter, name by name.
    "unfiltered_sessions": """
SELECT {'probe_asn': a.probe_asn, 'resolver_asn': a.resolver_asn, 'address': a.address,
    'domain': a.domain} AS key, a.session, a.day, a.software, a.is_given
FROM special_asked a JOIN special_sessions s USING (probe_asn, resolver_asn, address, session)
WHERE NOT s.is_given
""",
    # What they get for a name nearly always, or several versions of them for a while, is the
    # network's own answer, even if the filters of others there give the same address for names of
    # theirs.
    "network_names": """
SELECT unnest(key), min(day) AS since, max(day) AS until
FROM unfiltered_sessions GROUP BY key
HAVING count(*) FILTER (is_given) >= $floor_sessions
  AND count(*) FILTER (is_given) >= $persistence_share * count(*)
UNION
SELECT unnest(key), since, until
FROM find_stretches('unfiltered_sessions', $floor_sessions)
WHERE is_steady(given_count, open_count, day_count,
    $persistence_share, $floor_sessions, $floor_days)
  AND version_count >= 2
""",
    # The measurements that got such an address.
    "filtered": f"""
SELECT DISTINCT f.row_id
FROM (SELECT row_id, probe_asn, resolver_asn, day, domain,
             unnest({_SAID}) AS address
      FROM features WHERE dns_special IS NOT NULL OR dns_failure IS NOT NULL) f
JOIN special_profiles s USING (probe_asn, resolver_asn, address)
ANTI JOIN network_names n ON n.probe_asn = f.probe_asn AND n.resolver_asn = f.resolver_asn
  AND n.address = f.address AND n.domain = f.domain AND f.day BETWEEN n.since AND n.until
WHERE s.is_local_filter AND coalesce(
  len([true FOR one IN s.stretches IF f.day BETWEEN one[1] AND one[2]]) = 0, TRUE)
""",
}

#: Answers of well-known filters; one measurement is enough.
KNOWN_FILTER_STEPS = {
    "known_filtered": """
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


def add_known_filters(connection: duckdb.DuckDBPyConnection, place: str) -> None:
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
