"""What a page does over many names: a block page, or the site's own."""

import duckdb
import pandas as pd

from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.steps import keep_table
from analysis.sql import pick_queries, read_queries

_QUERIES = read_queries(__file__)
#: Pages with a fingerprint that counts in the country; one measurement is enough.
FINGERPRINT_STEPS = pick_queries(_QUERIES, "fingerprinted")
#: What the steps to the profiles of pages read; as a table it would be as long as ``features``.
PAGE_VIEWS = pick_queries(_QUERIES, "page_landings")
#: Steps over ``features`` to the sites that a network replaces, to what controls got, and to the
#: profiles of pages, in order. All need many measurements.
PAGE_STEPS = {
    name: query
    for name, query in _QUERIES.items()
    if name not in FINGERPRINT_STEPS and name not in PAGE_VIEWS
}


def add_fingerprints(
    connection: duckdb.DuckDBPyConnection, fingerprints: Fingerprints, place: str
) -> None:
    """``dns_patterns``: address × country; ``http_names``: name × country.

    OONI counts a fingerprint of scope isp or nat as confirmed anywhere; a verdict needs one that is
    expected in the country itself.
    """
    patterns = [
        (country, one.pattern)
        for one in fingerprints.dns
        if one.pattern_type == "full"
        for country in one.expected_countries
    ]
    names = [(country, one.name) for one in fingerprints.http for country in one.expected_countries]
    for table, column, rows in (
        ("dns_patterns", "pattern", patterns),
        ("http_names", "name", names),
    ):
        listed = pd.DataFrame(rows, columns=["probe_cc", column], dtype="str")
        keep_table(connection, table, listed, place)
