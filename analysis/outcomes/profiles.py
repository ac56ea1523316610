"""What an answer or a page does over many names: the profiles that single measurements lack.

A sinkhole, an NXDOMAIN substitution, a CDN and a block page look alike in one measurement. They
differ in how many unrelated names share them, in whether those names exist, in whether a control
ever gets them, and in whether a site is ever reached through them.
"""

import duckdb

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.answers import (
    ADDRESSES,
    ANSWER_PROFILES,
    CONTROL_ADDRESSES,
    LENGTH_ADDRESSES,
    PAGE_ADDRESSES,
    PUBLIC_ADDRESSES,
    STEADY,
    SUSPECT_FLAGS,
    SUSPECTS,
)
from analysis.outcomes.block_pages import (
    FINGERPRINTED,
    GOT_PAGE,
    PAGE_PROFILES,
    REPLACED,
    register_fingerprints,
)
from analysis.outcomes.filters import (
    FILTERED,
    NETWORK_NAMES,
    SPECIAL_ASKED,
    SPECIAL_PROFILES,
    SPECIAL_SESSIONS,
    register_filters,
)
from analysis.outcomes.thresholds import Thresholds

_PROFILED = """
SELECT f.*,
  coalesce(s.is_sinkhole, FALSE) AND f.dns_match = 'none' AS is_sinkhole,
  coalesce(s.is_substitution, FALSE) AND f.dns_match = 'none' AS is_substitution,
  coalesce(s.is_persistent, FALSE) AS is_persistent,
  coalesce(s.is_lone, FALSE) AND f.dns_match = 'none' AS is_lone,
  coalesce(s.is_public_answer, FALSE) AS is_public_answer,
  coalesce(s.has_dns_fingerprint, FALSE) AS has_dns_fingerprint,
  l.line_number IS NOT NULL AS is_local_filter,
  coalesce(e.is_away, FALSE) AS is_sent_elsewhere,
  NOT coalesce(e.is_away, TRUE) AND NOT f.is_same_page AND NOT f.is_https_own AS is_replaced,
  coalesce(f.http_failure IS NULL AND NOT f.is_https_own
    AND (p.is_blockpage OR g.line_number IS NOT NULL), FALSE) AS is_blockpage
FROM features f
  LEFT JOIN suspect_flags s USING (object_key, line_number)
  LEFT JOIN filtered l USING (object_key, line_number)
  LEFT JOIN page_profiles p ON p.probe_asn = f.probe_asn AND p.is_blockpage
    AND p.page = f.landing
  LEFT JOIN fingerprinted g USING (object_key, line_number)
  LEFT JOIN replaced e ON e.probe_asn = f.probe_asn AND NOT f.is_https
    AND e.registrable_domain = f.registrable_domain AND f.http_failure IS NULL AND e.target =
      CASE WHEN f.http_site <> f.registrable_domain THEN 'http://' || f.http_site
           ELSE f.landing END
"""


def add_profiles(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
) -> None:
    """Create ``answer_profiles``, ``page_profiles`` and the view ``profiled``.

    ``answer_profiles``: one row per resolver network, answer address and quarter.
    ``special_profiles``: one row per probe network, resolver network and special address.
    ``page_profiles``: one row per probe network and page.
    ``profiled``: the rows of ``features`` with what the profiles say of each
    (``is_sinkhole, is_substitution, is_persistent, is_lone, is_public_answer,
    has_dns_fingerprint, is_local_filter, is_blockpage, is_sent_elsewhere, is_replaced``).

    Sources of the method: guard G2; the common-address rule of CensorWatch (2023) and iMAP.
    """
    numbers = {**vars(thresholds), "got_page": GOT_PAGE}
    register_fingerprints(connection, fingerprints)
    register_filters(connection)
    for name, query in (
        ("suspects", SUSPECTS),
        ("control_addresses", CONTROL_ADDRESSES),
        ("page_addresses", PAGE_ADDRESSES),
        ("length_addresses", LENGTH_ADDRESSES.format(**numbers)),
        ("public_addresses", PUBLIC_ADDRESSES.format(**numbers)),
        ("addresses", ADDRESSES),
        ("answer_profiles", ANSWER_PROFILES.format(**numbers)),
        ("steady", STEADY.format(**numbers)),
        ("special_asked", SPECIAL_ASKED),
        ("special_sessions", SPECIAL_SESSIONS),
        ("special_profiles", SPECIAL_PROFILES.format(**numbers)),
        ("network_names", NETWORK_NAMES.format(**numbers)),
        ("filtered", FILTERED),
        ("suspect_flags", SUSPECT_FLAGS),
        ("replaced", REPLACED.format(**numbers)),
        ("page_profiles", PAGE_PROFILES.format(**numbers)),
        ("fingerprinted", FINGERPRINTED),
    ):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW profiled AS {_PROFILED}")
