"""The stages of other numbers, or without some rules, as the published ones with what that moves.

Each function is handed the catalog of a copy (``store.kept_tables.Change``). What it makes as a
temporary table takes the place of the copy's; of the large tables it exchanges rows. To exchange
them twice comes to the same, so that most hold less memory at first (``holding_less``). Profiles
do not: begun again, they would be held against what the first attempt has made.
"""

from collections.abc import Sequence

import duckdb

from analysis.outcomes.features import find_features
from analysis.outcomes.moved import Base, find_moved, move_features, move_outcomes
from analysis.outcomes.profiles import find_profiles, remake_profiles
from analysis.outcomes.rules import Rule, check_rules
from analysis.outcomes.steps import create_tables
from analysis.outcomes.thresholds import Thresholds
from analysis.store.connections import FOR_READING, holding_less
from analysis.verdicts.sessions import move_sessions

#: Measurements that are read as one.
_GROUP = ("domain", "probe_asn", "session")
#: Stage → the tables that it leaves besides, for the stages that follow.
ADDED = {"features": ("refeatured", "changed_columns"), "rules": ("touched",)}


@holding_less(FOR_READING)
def change_features(
    connection: duckdb.DuckDBPyConnection,
    before: Thresholds,
    thresholds: Thresholds,
    base: Base,
    catalog: str,
) -> None:
    """Change a copy of the base's features, in a catalog, into those of other numbers.

    Leaves ``refeatured``, the ``row_id`` of those that are others, and ``changed_columns``, the
    ``name`` of what steps to profiles read that has changed.
    """
    find_features(connection)
    changed = move_features(connection, before, thresholds, base)
    create_tables(connection, {"changed_columns": f"SELECT unnest({sorted(changed)}) AS name"}, {})
    _exchange(connection, f"{catalog}.features", "features_again", ["row_id"])


def change_profiles(
    connection: duckdb.DuckDBPyConnection,
    before: Thresholds,
    thresholds: Thresholds,
    *,
    is_refeatured: bool,
) -> None:
    """Make those profiles again that other numbers move.

    Args:
        connection: finds the features by the other numbers, and the profiles of the base.
        before, thresholds: see ``read_again``.
        is_refeatured: the features are others than those of the base, see ``change_features``.
    """
    find_profiles(connection)
    remake_profiles(connection, thresholds, before, _read_changed(connection, is_refeatured))


@holding_less(FOR_READING)
def change_outcomes(
    connection: duckdb.DuckDBPyConnection,
    before: Thresholds,
    thresholds: Thresholds,
    rules: tuple[Rule, ...],
    base: Base,
    catalog: str,
    *,
    is_refeatured: bool,
    left_out: Sequence[Rule],
) -> None:
    """Change a copy of the base's outcomes into those of other numbers, and of fewer rules.

    Leaves ``touched``, see ``read_again``.

    Args:
        connection: finds the features and profiles by the other numbers.
        before, thresholds, base: see ``read_again``.
        rules: those that are left of the base's, in order.
        catalog: holds the copy.
        is_refeatured: see ``change_profiles``.
        left_out: the base's other rules.

    Raises:
        RuleError: the rules that are left cannot work.
    """
    check_rules(rules)
    ids = ", ".join(f"'{rule.rule_id}'" for rule in rules)
    left = f"SELECT * FROM {base.rules}.rules WHERE rule_id::VARCHAR IN ({ids})"
    create_tables(connection, {"rules": left}, {})
    looked_at = "refeatured" if is_refeatured else ""
    find_moved(connection, base, looked_at, left_out=left_out)
    changed = _read_changed(connection, is_refeatured)
    move_outcomes(connection, before, thresholds, rules, base, changed)
    _exchange(connection, f"{catalog}.seen", "seen_again", _GROUP)
    _exchange(connection, f"{catalog}.outcomes", "moved_outcomes", ["row_id"])


@holding_less(FOR_READING)
def change_sessions(
    connection: duckdb.DuckDBPyConnection,
    thresholds: Thresholds,
    base: Base,
    catalog: str,
    *,
    is_touched: bool,
) -> None:
    """Change a copy of the base's sessions, in a catalog, into those of other numbers.

    Args:
        connection: finds the outcomes by the other numbers.
        thresholds: the other numbers.
        base: where the tables of the base are.
        catalog: holds the copy.
        is_touched: the outcomes are others than those of the base, see ``change_outcomes``.
    """
    if not is_touched:
        nothing = f"SELECT {', '.join(_GROUP)} FROM outcomes LIMIT 0"
        create_tables(connection, {"touched": nothing}, {})
    moved = f"SELECT * FROM outcomes SEMI JOIN touched USING ({', '.join(_GROUP)})"
    create_tables(connection, {"moved_outcomes": moved}, {})
    move_sessions(connection, thresholds, base.sessions)
    _exchange(connection, f"{catalog}.sessions", "sessions_again", _GROUP)


def _read_changed(connection: duckdb.DuckDBPyConnection, is_refeatured: bool) -> set[str]:
    rows = connection.execute("FROM changed_columns").fetchall() if is_refeatured else []
    return {name for (name,) in rows}


def _exchange(
    connection: duckdb.DuckDBPyConnection, table: str, rows: str, keys: Sequence[str]
) -> None:
    """Put rows in the place of those of a table with the same keys."""
    same = " AND ".join(f"old.{key} = new.{key}" for key in keys)
    connection.execute(f"DELETE FROM {table} old USING {rows} new WHERE {same}")
    connection.execute(f"INSERT INTO {table} BY NAME FROM {rows}")
