"""SQL that several steps share."""

import duckdb
import pyarrow as pa

from analysis.hosts import SPECIAL_KINDS, registrable_domain
from analysis.observations.schema import MATCH_VALUES
from analysis.outcomes.controls import HOSTER

# Names are compared, counted and joined by the million. As an enumeration each is a small number
# to DuckDB; it still reads and sorts as text.
_NAMES = {
    "host_name": "SELECT unnest([host, '']) FROM sites_at_hand",
    "object_name": "SELECT object_key FROM observations",
    "input_name": "SELECT input FROM observations",
    "session_name": "SELECT {session} FROM observations",
    "software_name": "SELECT concat_ws(' ', software_name, software_version) FROM observations",
    "site_name": "SELECT registrable_domain FROM sites_at_hand",
    "country_name": "SELECT probe_cc FROM observations",
    "hoster_name": f"SELECT {HOSTER} FROM observations",
}

_HOSTS = "SELECT unnest([domain, http_host, redirect_host]) FROM observations"

# What is one of a few words in every row takes a byte this way.
_WORDS = {
    "control_word": ("silent", "resolves", "missing"),
    "pool_word": ("exists", "missing"),
    "match_word": MATCH_VALUES,
    "special_word": SPECIAL_KINDS,
    "layer_word": ("dns", "tcp", "tls", "http"),
    # What one attempt to connect or to shake hands tells, the most telling first: it works, it
    # fails here only, it fails for the control too, the probe's own machine failed, no control
    # says what it should have been, IPv6 that works nowhere, an address that nobody vouches for.
    "try_word": ("works", "blocked", "down", "local", "untold", "no_ipv6", "untrusted"),
}


def first_word(tries: str) -> str:
    """SQL: the most telling word of a list of attempts."""
    arms = " ".join(
        f"WHEN list_contains({tries}, '{word}'::try_word) THEN '{word}'::try_word"
        for word in _WORDS["try_word"]
    )
    return f"CASE {arms} END"


def add_names(connection: duckdb.DuckDBPyConnection, session: str) -> None:
    """The enumerations ``_NAMES``; and ``sites``: each host name with its registrable domain."""
    hosts = connection.execute(f"SELECT DISTINCT * FROM ({_HOSTS})").fetchall()
    names = sorted(host for (host,) in hosts if host)
    rows = pa.table(
        {
            "host": pa.array(names, pa.string()),
            "registrable_domain": pa.array([registrable_domain(n) for n in names], pa.string()),
        }
    )
    connection.register("sites_at_hand", rows)
    for name, query in _NAMES.items():
        values = f"SELECT * FROM ({query.format(session=session)}) AS found(name)"
        connection.execute(
            f"CREATE OR REPLACE TEMP TYPE {name} AS ENUM "
            f"(SELECT DISTINCT name FROM ({values}) WHERE name IS NOT NULL ORDER BY name)"
        )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE sites AS SELECT host::host_name AS host, "
        "registrable_domain::site_name AS registrable_domain FROM sites_at_hand"
    )
    connection.unregister("sites_at_hand")
    for name, words in _WORDS.items():
        connection.execute(f"CREATE OR REPLACE TEMP TYPE {name} AS ENUM {words}")


def keep_table(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Keep rows at hand as a temporary table of DuckDB."""
    connection.register("rows_at_hand", rows)
    distinct = "SELECT DISTINCT * FROM rows_at_hand"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {distinct}")
    connection.unregister("rows_at_hand")


def spells(key: str, given: str, software: str = "NULL") -> str:
    """SQL of ``spells``: the stretches in which something is given again and again.

    One row is one stretch of one ``key`` in the relation ``given`` (``key, session, day,
    is_given``): a block that is imposed twice is two of them, since enough open sessions in a row
    end a stretch; ``given_count`` and ``open_count`` are its sessions, ``day_count`` the days on
    which it was given, from ``since`` to ``until``; ``version_count`` the kinds of ``software``
    that were given it.
    """
    return f"""
ordered AS (
  SELECT {key}, day, {software} AS software, is_given, count(*) FILTER (NOT is_given)
    OVER (PARTITION BY {key} ORDER BY day, session ROWS UNBOUNDED PRECEDING) AS open_before
  FROM {given}
), parted AS (
  SELECT {key}, day, software, open_before, open_before - lag(open_before, 1, open_before)
    OVER (PARTITION BY {key} ORDER BY day, open_before) >= {{floor_sessions}} AS begins
  FROM ordered WHERE is_given
), numbered AS (
  SELECT {key}, day, software, open_before, count(*) FILTER (begins)
    OVER (PARTITION BY {key} ORDER BY day, open_before) AS spell
  FROM parted
), spells AS (
  SELECT {key}, count(*) AS given_count, max(open_before) - min(open_before) AS open_count,
    count(DISTINCT day) AS day_count, min(day) AS since, max(day) AS until,
    count(DISTINCT software) AS version_count
  FROM numbered GROUP BY {key}, spell
)"""


IS_STEADY = """given_count >= {persistence_share} * (given_count + open_count)
  AND given_count >= {floor_sessions} AND day_count >= {floor_days}"""
