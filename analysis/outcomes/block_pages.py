"""Profiles of pages over many names: a block page, or the site's own."""

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.steps import keep_table
from analysis.sql import pick_queries, read_queries

_QUERIES = read_queries(__file__)
#: Pages with a fingerprint that counts in the country; one measurement is enough.
FINGERPRINT_STEPS = pick_queries(_QUERIES, "fingerprinted")
#: View for the steps to the profiles of pages; a table would have as many rows as ``features``.
PAGE_VIEWS = pick_queries(_QUERIES, "page_landings")
#: Steps over ``features`` to the sites that a network replaces, the pages of controls and the
#: profiles of pages, in order. They need many measurements.
PAGE_STEPS = {
    name: query
    for name, query in _QUERIES.items()
    if name not in FINGERPRINT_STEPS and name not in PAGE_VIEWS
}


def add_fingerprints(
    connection: duckdb.DuckDBPyConnection, fingerprints: Fingerprints, catalog: str
) -> None:
    """Create ``dns_patterns`` (address × country) and ``http_names`` (name × country).

    OONI counts a fingerprint of scope isp or nat as confirmed in any country; a verdict needs one
    that is expected in the country itself.
    """
    patterns = [
        (country, fingerprint.pattern)
        for fingerprint in fingerprints.dns
        if fingerprint.pattern_type == "full"
        for country in fingerprint.expected_countries
    ]
    names = [
        (country, fingerprint.name)
        for fingerprint in fingerprints.http
        for country in fingerprint.expected_countries
    ]
    for table, column, rows in (
        ("dns_patterns", "pattern", patterns),
        ("http_names", "name", names),
    ):
        listed = pd.DataFrame(rows, columns=["probe_cc", column], dtype="str")
        keep_table(connection, table, listed, catalog)
