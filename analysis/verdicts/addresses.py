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
from analysis.outcomes.steps import create_tables, create_views, read_type
from analysis.outcomes.thresholds import Thresholds
from analysis.sql import pick_queries, read_queries
from analysis.verdicts.intervals import interval_tables
from analysis.verdicts.judge import decide, judge_sites, learn
from analysis.verdicts.pairs import Country, Series, Stretch, read_country
from analysis.verdicts.sessions import SESSION_VIEWS, Operators, Sessions, add_sessions

_QUERIES = read_queries(__file__)
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
    catalog, numbers = addresses.catalogs[0], vars(thresholds)
    connection.execute(f"CREATE SCHEMA {catalog}")
    steps = pick_queries(_QUERIES, "shared_addresses", "connections", "named_outcomes")
    read = ("session_observations", "typed_observations")
    with addresses.opened(connection) as opened:
        create_views(opened, {name: sessions.views[name] for name in read})
        create_tables(opened, steps, numbers)
        name = {"host_name": "SELECT address AS name FROM named_outcomes"}
        create_text_enumerations(opened, name, catalog)
        create_tables(opened, pick_queries(_QUERIES, "outcomes"), {}, catalog)
    outcomes = Outcomes(addresses.catalogs, sessions.views)
    add_sessions(connection, outcomes, operators, thresholds, catalog)


def judge_addresses(
    connection: duckdb.DuckDBPyConnection, sessions: Sessions, thresholds: Thresholds
) -> tuple[Country, pd.DataFrame]:
    """Judge every shared address on every network, as sites are judged: pairs, and intervals.

    Hours are looked for in all addresses together: who cuts some at certain hours cuts others then.

    Args:
        connection: to all tables.
        sessions: of web sites, beside which those of addresses were made.
        thresholds: the method's numbers.
    """
    with sessions.of_addresses().opened(connection) as opened:
        create_views(opened, SESSION_VIEWS)
        country = read_country(opened, thresholds.floor_sessions)
        learn(opened, country, [country.pairs])
        judge_sites(country, thresholds)
        decide(opened, country, thresholds)
        listed, _ = interval_tables(opened, country, read_type(opened, "host_name"))
    return country, listed.rename(columns={"domain": "address"})


def lend_cuts(
    connection: duckdb.DuckDBPyConnection, addresses: Country, sessions: Sessions, country: Country
) -> None:
    """Add a series to each pair of a site whose tests met a cut address: what failed there.

    Args:
        connection: to all tables.
        addresses: with their listed stretches.
        sessions: of web sites, beside which those of addresses were made.
        country: the sites; a pair that meets cut addresses gets a series that is ``lent``.
    """
    cuts = [stretch for stretch in addresses.stretches() if stretch.is_listed]
    with sessions.of_addresses().opened(connection) as opened:
        _register_runs(opened, addresses)
        met = opened.execute(_QUERIES["cut_sites"]).fetchall()
    met_by: defaultdict[tuple[int, int], dict[int, Stretch]] = defaultdict(dict)
    for number, domain, probe_asn, run in sorted(met):
        met_by[domain, probe_asn].setdefault(run, cuts[number])
    runs = country.rows["session"].to_numpy()
    for pair in country.pairs:
        cut_in = met_by[pair.domain, pair.probe_asn]
        inside = [session for session in pair.sessions if cut_in and runs[session.row] in cut_in]
        fails = [session.kind.startswith("tcp") for session in inside]
        if any(fails):
            kinds = Counter(session.kind for session in inside if session.kind.startswith("tcp"))
            strongest = max(cut_in.values(), key=lambda cut: cut.log_evidence)
            pair.add(Series(kinds.most_common(1)[0][0], inside, fails, lent=strongest))


def _register_runs(connection: duckdb.DuckDBPyConnection, addresses: Country) -> None:
    """Create ``cut_runs``: one row is one run in which an address was cut, in a listed stretch."""
    cuts = [stretch for stretch in addresses.stretches() if stretch.is_listed]
    rows = [(number, session.row) for number, cut in enumerate(cuts) for session in cut.failures]
    runs = pd.DataFrame(rows, columns=["number", "row"], dtype="int64")
    runs = addresses.describe(runs).rename(columns={"domain": "address"})
    connection.register("cut_runs", runs[["number", "address", "probe_asn", "session"]])


def tabulate_addresses(
    connection: duckdb.DuckDBPyConnection,
    addresses: Country,
    sessions: Sessions,
    intervals: pd.DataFrame,
) -> pd.DataFrame:
    """Return the contract's ``blocked_addresses``: the intervals of addresses, and their sites.

    Args:
        connection: to all tables.
        addresses: with their listed stretches.
        sessions: of web sites, beside which those of addresses were made.
        intervals: of the addresses.
    """
    with sessions.of_addresses().opened(connection) as opened:
        _register_runs(opened, addresses)
        sites = opened.execute(_QUERIES["sites_behind"], {"most_sites": _MOST_SITES}).df()
    table = intervals.merge(sites, on=["address", "probe_asn"], how="left")
    return table.drop(columns=["reached_session_count", "blocked_count", "blocked_session_count"])


#: No address was judged.
NO_ADDRESSES = pd.DataFrame()
