"""Profiles of answers and pages over many names, which a single measurement cannot show.

A sinkhole, an NXDOMAIN substitution, a CDN and a block page look alike in one measurement. They
differ in how many unrelated names share them, in whether those names exist, in whether a control
ever gets them, and in whether any site is reached through them.
"""

from typing import Self

import duckdb

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.answers import ANSWER_STEPS, LONE_ANSWER_STEPS
from analysis.outcomes.block_pages import (
    FINGERPRINT_STEPS,
    PAGE_STEPS,
    PAGE_VIEWS,
    add_fingerprints,
)
from analysis.outcomes.controls import NAME_STEPS
from analysis.outcomes.features import Features
from analysis.outcomes.filters import FILTER_STEPS, add_filter_addresses
from analysis.outcomes.steps import create_tables, create_views
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import read_queries

# The first steps need only one measurement, the second many.
_OWN_STEPS = LONE_ANSWER_STEPS | FILTER_STEPS | FINGERPRINT_STEPS
_POOLED_STEPS = ANSWER_STEPS | NAME_STEPS | PAGE_STEPS

_QUERIES = read_queries(__file__)


class Profiles(Features):
    """The profiles of answers and pages, and the view ``profiled``, with the features."""

    @classmethod
    def beside(cls, features: Features, catalog: str) -> Self:
        """Return the tables that ``add_profiles`` makes in a catalog."""
        views = {**features.views, **PAGE_VIEWS, **_QUERIES}
        return cls((catalog, *features.catalogs), views)


def add_profiles(
    connection: duckdb.DuckDBPyConnection,
    features: Features,
    thresholds: Thresholds,
    fingerprints: Fingerprints,
    catalog: str,
    *,
    is_pooled: bool = True,
) -> Profiles:
    """Create ``answer_profiles`` and ``page_profiles``.

    ``answer_profiles``: one row per resolver network, answer address and quarter.
    ``page_profiles``: one row per probe network and page.
    ``profiled``: the rows of ``features`` with the columns of the profiles
    (``is_sinkhole, is_substitution, is_special_substitution, is_persistent, is_lone,
    is_public_answer, is_stale, is_shared_answer, has_dns_fingerprint, is_of_network, is_of_zone,
    is_local_filter,
    is_blockpage, is_name_broken, is_page_of_controls, is_reached_by_others, is_sent_elsewhere,
    is_replaced``).
    Unless pooled, only the columns that need one measurement can be true: an address or a page on
    one of the lists.

    Sources of the method: substitution and sinkhole are distinguished over many names; the
    common-address rule of CensorWatch (2023) and iMAP.
    """
    profiles, numbers = Profiles.beside(features, catalog), vars(thresholds)
    with profiles.opened(connection) as opened:
        create_views(opened, {**features.views, **PAGE_VIEWS})
        add_fingerprints(opened, fingerprints, catalog)
        add_filter_addresses(opened, catalog)
        create_tables(opened, _OWN_STEPS, numbers, catalog)
        create_tables(opened, _POOLED_STEPS, numbers, catalog, is_filled=is_pooled)
    return profiles
