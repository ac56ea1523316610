"""Blocks of addresses. Where a network cuts an address, all sites behind it fail together.

Site by site such a block is noise: each site is tested rarely, and finds the address now and then.
So an address that several sites share is judged like a site, with the connections to it in the
place of tests. What is listed of it, it lends to the sites whose tests met it: their failures are
as surprising as those of the address.
"""

from collections import Counter, defaultdict

import duckdb
import pandas as pd

from analysis.outcomes.enumerations import create_text_enumerations
from analysis.outcomes.outcomes import Outcomes
from analysis.outcomes.steps import create_tables, create_views
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.verdicts.intervals import interval_tables
from analysis.verdicts.judge import decide, judge_country
from analysis.verdicts.pairs import Country, Series, Stretch
from analysis.verdicts.sessions import Operators, Sessions, add_sessions

_QUERIES = read_queries(__file__)
#: Site and network → run → the block of an address that the run met there.
Cuts = defaultdict[tuple[int, int], dict[int, Stretch]]
#: So many of the sites behind an address are named: as many as a cell of a spreadsheet holds.
_MOST_SITES = 1000


def add_address_sessions(
    connection: duckdb.DuckDBPyConnection,
    sessions: Sessions,
    operators: Operators,
    thresholds: Thresholds,
) -> None:
    """Create the sessions of shared addresses, beside those of sites.

    Args:
        connection: to all tables.
        sessions: of web sites.
        operators: of the networks that measured.
        thresholds: ``sinkhole_names`` sites share an address; the floors.
    """
    addresses = sessions.of_addresses()
    catalog = addresses.catalogs[0]
    connection.execute(f"CREATE SCHEMA {catalog}")
    read = ("session_observations", "typed_observations")
    with addresses.opened(connection) as opened:
        create_views(opened, {name: sessions.views[name] for name in read})
        create_tables(opened, pick_queries(_QUERIES, "shared_addresses"), vars(thresholds))
        name = {"host_name": "SELECT address AS name FROM shared_addresses"}
        create_text_enumerations(opened, name, catalog)
        create_tables(opened, pick_queries(_QUERIES, "outcomes"), {}, catalog)
    add_sessions(
        connection,
        Outcomes(addresses.catalogs, sessions.views),
        operators,
        thresholds,
        catalog,
    )


def judge_addresses(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> tuple[Cuts, pd.DataFrame]:
    """Judge every shared address on every network, as sites are judged.

    Args:
        connection: to all tables.
        sessions: of web sites, beside which those of addresses were made.
        thresholds: the method's numbers.

    Returns:
        The runs that met a cut address, and the contract's ``blocked_addresses``: the intervals in
        which addresses were cut, with the sites behind them.
    """
    with sessions.of_addresses().opened(connection) as opened:
        country = judge_country(opened, thresholds, is_of_addresses=True)
        decide(opened, country, thresholds)
        intervals, _ = interval_tables(opened, country)
        cuts = [stretch for stretch in country.stretches() if stretch.is_listed]
        failed = [(number, one.row) for number, cut in enumerate(cuts) for one in cut.failures]
        runs = country.describe(pd.DataFrame(failed, columns=["number", "row"], dtype="int64"))
        runs = runs.rename(columns={"domain": "address"})
        opened.register("cut_runs", runs[["number", "address", "probe_asn", "session"]])
        met = opened.execute(_QUERIES["cut_sites"]).fetchall()
        sites = opened.execute(_QUERIES["sites_behind"], {"most_sites": _MOST_SITES}).df()
    met_by: Cuts = defaultdict(dict)
    for number, domain, probe_asn, run in sorted(met):
        met_by[domain, probe_asn].setdefault(run, cuts[number])
    table = intervals.rename(columns={"domain": "address"})
    table = table.merge(sites, on=["address", "probe_asn"], how="left")
    unused = ["reached_session_count", "blocked_count", "blocked_session_count"]
    return met_by, table.drop(columns=unused)


def lend_cuts(cuts: Cuts, country: Country) -> None:
    """Add a series to each pair of a site whose tests met a cut address: what failed there.

    Args:
        cuts: see ``judge_addresses``.
        country: the sites; a pair that meets cut addresses gets a series that is ``lent``.
    """
    runs = country.rows["session"].to_numpy()
    for pair in country.pairs:
        cut_in = cuts[pair.domain, pair.probe_asn]
        inside = [session for session in pair.sessions if cut_in and runs[session.row] in cut_in]
        fails = [session.kind.startswith("tcp") for session in inside]
        if any(fails):
            kinds = Counter(session.kind for session in inside if session.kind.startswith("tcp"))
            strongest = max(cut_in.values(), key=lambda cut: cut.log_evidence)
            pair.add(Series(kinds.most_common(1)[0][0], inside, fails, lent=strongest))
