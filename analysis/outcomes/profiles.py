"""What an answer or a page does over many names: the profiles that single measurements lack.

A sinkhole, an NXDOMAIN substitution, a CDN and a block page look alike in one measurement. They
differ in how many unrelated names share them, in whether those names exist, in whether a control
ever gets them, and in whether a site is ever reached through them.
"""

from typing import Self

import duckdb

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.answers import ANSWER_STEPS, LONE_ANSWER_STEPS
from analysis.outcomes.block_pages import (
    CONTROL_PAGE_STEPS,
    FINGERPRINT_STEPS,
    PAGE_STEPS,
    PAGE_VIEWS,
    REPLACEMENT_STEPS,
    add_fingerprints,
)
from analysis.outcomes.controls import NAME_STEPS
from analysis.outcomes.features import Features
from analysis.outcomes.filters import FILTER_STEPS, add_filter_addresses
from analysis.outcomes.steps import create_tables, create_views
from analysis.outcomes.thresholds import Thresholds

# One measurement is enough for these; all others need many.
_OWN_STEPS = LONE_ANSWER_STEPS | FILTER_STEPS | FINGERPRINT_STEPS
_POOLED_STEPS = ANSWER_STEPS | NAME_STEPS | REPLACEMENT_STEPS | PAGE_STEPS | CONTROL_PAGE_STEPS

_PROFILED = """
SELECT f.*,
  coalesce(s.is_sinkhole, FALSE) AND f.dns_match = 'none' AS is_sinkhole,
  coalesce(s.is_substitution, FALSE) AND f.dns_match = 'none' AS is_substitution,
  x.resolver_asn IS NOT NULL AS is_special_substitution,
  coalesce(s.is_persistent, FALSE) AS is_persistent,
  coalesce(s.is_lone, FALSE) AND f.dns_match = 'none' AS is_lone,
  coalesce(s.is_public_answer, FALSE) AS is_public_answer,
  coalesce(s.is_stale, FALSE) AS is_stale,
  coalesce(s.is_shared_answer, FALSE) AS is_shared_answer,
  d.row_id IS NOT NULL AS has_dns_fingerprint,
  l.row_id IS NOT NULL AS is_local_filter,
  coalesce(e.is_away, FALSE) AS is_sent_elsewhere,
  NOT coalesce(e.is_away, TRUE) AND NOT f.is_same_page AND NOT f.is_https_own AS is_replaced,
  coalesce(f.http_failure IS NULL AND NOT f.is_https_own
    AND (p.is_blockpage OR g.row_id IS NOT NULL), FALSE) AS is_blockpage,
  b.domain IS NOT NULL AS is_name_broken,
  w.title IS NOT NULL AND coalesce(f.http_first_is_answer, TRUE) AS is_page_of_controls,
  NOT f.has_control AND f.is_address_trusted AND u.domain IS NOT NULL AS is_reached_by_others
FROM features f
  LEFT JOIN suspect_flags s USING (row_id)
  LEFT JOIN listed_answers d USING (row_id)
  LEFT JOIN filtered l USING (row_id)
  LEFT JOIN special_resolvers x ON x.resolver_asn = f.resolver_asn
    AND x.quarter = date_trunc('quarter', f.day) AND f.dns_special IS NOT NULL
  LEFT JOIN page_profiles p ON p.probe_asn = f.probe_asn AND p.is_blockpage
    AND p.page = f.landing
  LEFT JOIN fingerprinted g USING (row_id)
  LEFT JOIN control_pages w ON w.domain = f.domain AND w.quarter = date_trunc('quarter', f.day)
    AND w.status = f.http_status AND w.title = f.http_title AND f.http_failure IS NULL
  LEFT JOIN reaching_days u ON u.domain = f.domain AND u.day = f.day AND NOT f.has_control
  LEFT JOIN broken_names b ON b.domain = f.domain AND b.day = f.day AND f.control_is_lost
  LEFT JOIN replaced e ON e.probe_asn = f.probe_asn AND NOT f.is_https
    AND e.registrable_domain = f.registrable_domain AND f.http_failure IS NULL AND e.target =
      CASE WHEN f.http_site <> f.registrable_domain THEN 'http://' || f.http_site
           ELSE f.landing END
"""


class Profiles(Features):
    """The profiles of answers and pages, and the view ``profiled``, with the features."""

    @classmethod
    def beside(cls, features: Features, place: str) -> Self:
        """Those that ``add_profiles`` makes in a catalog."""
        views = {**features.views, **PAGE_VIEWS, "profiled": _PROFILED}
        return cls((place, *features.catalogs), views)


def add_profiles(
    connection: duckdb.DuckDBPyConnection,
    features: Features,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
    place: str,
    *,
    is_pooled: bool = True,
) -> Profiles:
    """Create ``answer_profiles`` and ``page_profiles``.

    ``answer_profiles``: one row per resolver network, answer address and quarter.
    ``page_profiles``: one row per probe network and page.
    ``profiled``: the rows of ``features`` with what the profiles say of each
    (``is_sinkhole, is_substitution, is_special_substitution, is_persistent, is_lone,
    is_public_answer, is_stale, is_shared_answer, has_dns_fingerprint, is_local_filter,
    is_blockpage, is_name_broken, is_page_of_controls, is_reached_by_others, is_sent_elsewhere,
    is_replaced``).
    Unless pooled, only what one measurement shows by itself is true of any: an address or a page
    on one of the lists.

    Sources of the method: substitution and sinkhole are told apart over many names; the
    common-address rule of CensorWatch (2023) and iMAP.
    """
    profiles, numbers = Profiles.beside(features, place), vars(thresholds)
    with profiles.opened(connection) as opened:
        create_views(opened, {**features.views, **PAGE_VIEWS})
        add_fingerprints(opened, fingerprints, place)
        add_filter_addresses(opened, place)
        create_tables(opened, _OWN_STEPS, numbers, place)
        create_tables(opened, _POOLED_STEPS, numbers, place, is_filled=is_pooled)
    return profiles
