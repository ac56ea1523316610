"""Caveats of listed stretches, which are shown beside them."""

import duckdb

from analysis.verdicts.pairs import Country
from analysis.verdicts.probes import find_heavy_probes

ONE_PLATFORM = (
    "all {n} sessions of this network that failed in this way, on any site, are of one platform "
    "(sessions of others: {m}): one household's filter would look the same"
)
ONE_INPUT = {
    "http": "only http:// inputs failed, and https:// opens",
    "https": "only https:// inputs failed, and http:// opens",
}
BYSTANDER = (
    "failed at an address that other sites share and that this network cut off, so the site may be "
    "a bystander"
)
BEFORE_FIRST_TEST = "began before the first test; the site may refuse this network"


def add_caveats(connection: duckdb.DuckDBPyConnection, country: Country) -> None:
    """Fill in the ``caveat`` of each listed stretch, which is empty for most.

    Args:
        connection: connection to the names of software.
        country: all pairs, with their listed stretches.
    """
    listed = {stretch for stretch in country.stretches() if stretch.is_listed}
    heavy = find_heavy_probes(connection, country, listed, share=1)
    for stretch, (failing, other_count) in heavy.items():
        stretch.caveat = ONE_PLATFORM.format(n=failing, m=other_count)
    for pair in country.pairs:
        of_pair = [stretch for stretch in pair.stretches if stretch.is_listed]
        is_bystander = any(stretch.series.lent for stretch in of_pair)
        for stretch in of_pair:
            caveats = [
                BEFORE_FIRST_TEST if stretch.site_may_refuse else "",
                stretch.caveat,
                BYSTANDER if is_bystander else "",
            ]
            stretch.caveat = "; ".join(filter(None, caveats))
