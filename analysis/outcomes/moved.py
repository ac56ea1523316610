"""What other numbers move: only the measurements that they may read otherwise are read again.

A number changes a few answers' and pages' profiles, or which sessions are broken. Everything that
rests on it is found by comparing the small tables of profiles with those of a base, whose tables
of all stages are at hand in catalogs of their own. A measurement stands in a group with the others
of its session, site and network; groups are made again whole, and all others are the base's.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from analysis.outcomes.controls import NAME_POOL, POOLED_SESSIONS
from analysis.outcomes.features import BY_NUMBERS, SERVING, VOUCHED, read_features
from analysis.outcomes.guards import BROKEN_SESSIONS
from analysis.outcomes.outcomes import explain, read_layers
from analysis.outcomes.profiles import PROFILED, remake_profiles
from analysis.outcomes.rules import LAYERS, Rule
from analysis.outcomes.steps import (
    Checksum,
    add_up_rows,
    create_tables,
    create_views,
    remake_tables,
)
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds

_ROW = "row_id"
#: What ``PROFILED`` looks up by the measurement.
_BY_ROW = ("suspect_flags", "listed_answers", "filtered", "known_filtered", "fingerprinted")
#: ... and by what else: the columns of ``features`` that find it, what of it is compared, and of
#: which of its rows.
_BY_VALUE = {
    "page_profiles": ("probe_asn, landing", "probe_asn, page AS landing", "is_blockpage"),
    "control_pages": ("domain", "domain, quarter, status, title", "TRUE"),
    "broken_names": ("domain, day", "*", "TRUE"),
    "reaching_days": ("domain, day", "*", "TRUE"),
    "replaced": ("probe_asn, registrable_domain", "*", "TRUE"),
}
#: The columns of ``outcomes`` that hold a rule that was fired.
_FIRED = (*(f"{layer}_rule" for layer in LAYERS), "rule_id")
_PROFILES = frozenset((*_BY_ROW, *_BY_VALUE))
_IN_PLACE_OF = "SELECT * FROM {base}.{table} ANTI JOIN touched USING (domain, probe_asn, session)"
#: The rows of ``outcomes`` as they were before the guards.
_FIRST_READING = """
SELECT * EXCLUDE (class, mechanism, evidence, is_artefact, is_about_target, set_aside, rule_order,
    first_rule) REPLACE (first_rule AS rule_id)
FROM {base}.outcomes"""
#: Of ``outcomes``, all that anything after it reads.
_READ = f"""{_ROW}, domain, probe_asn, resolver_asn, session, day, class, evidence, rule_id,
  mechanism, is_artefact, is_about_target, tls_rule"""


@dataclass(frozen=True)
class Base:
    """The tables of all stages as the numbers in use make them.

    Attributes:
        features, profiles, rules, sessions: the catalogs that hold those of each stage.
        checksums: those of tables, once they were taken.
    """

    features: str
    profiles: str
    rules: str
    sessions: str
    checksums: dict[str, Checksum] = field(default_factory=dict, kw_only=True)


def read_again(
    connection: duckdb.DuckDBPyConnection,
    before: Thresholds,
    thresholds: Thresholds,
    rules: tuple[Rule, ...],
    base: Base,
) -> int:
    """Read the measurements again that other numbers move.

    Leaves ``moved_outcomes``, the rows of ``outcomes`` of all groups with such a measurement; and
    ``touched``, those groups: ``domain, probe_asn, session``.

    Args:
        connection: finds the tables of the base, which ``before`` made.
        before: the numbers of the base.
        thresholds: the other numbers.
        rules: the method's rules, in order.
        base: where the tables of the base are.

    Returns:
        A checksum of what came out otherwise; 0 where nothing did.
    """
    moved = {
        stage for name, one in DECLARATIONS.items()
        if vars(thresholds)[name] != vars(before)[name] for stage in one.stages
    }  # fmt: skip
    if moved.isdisjoint(("features", "profiles", "rules")):
        return 0
    is_other = "features" in moved
    changed = move_features(connection, before, thresholds, base) if is_other else set[str]()
    remade = remake_profiles(connection, thresholds, before, changed, base.checksums)
    is_any = find_moved(connection, base, "refeatured" if is_other else "", remade)
    if not is_any and "rules" not in moved:
        return 0
    return move_outcomes(connection, before, thresholds, rules, base, changed)


def move_features(
    connection: duckdb.DuckDBPyConnection, before: Thresholds, thresholds: Thresholds, base: Base
) -> set[str]:
    """Let ``features`` be as other numbers make it; ``refeatured`` are the rows that are others.

    Looked at, and left in ``features_again``, are those of names and days of which the pooled
    controls say something else, and whose page's length lies between the numbers; and, read from
    the observations, those of names for which other addresses are vouched for.

    Returns:
        What steps to profiles read that has changed: ``serving``, where it is another, and the
        columns of ``features`` in which any row differs.
    """
    numbers = vars(thresholds)
    pools = {"name_pool": NAME_POOL, "serving": SERVING, "vouched": VOUCHED}
    changed = remake_tables(connection, pools, numbers, vars(before), checksums=base.checksums)
    _add_looked_at(connection, before, thresholds, base, changed)
    there = f"SELECT * FROM {base.features}.features SEMI JOIN looked_at USING ({_ROW})"
    create_tables(connection, {"features_before": there}, {})
    measured = f"""
SELECT * EXCLUDE ({", ".join(BY_NUMBERS)})
FROM features_before ANTI JOIN named_anew USING ({_ROW})"""
    again = read_features(measured)
    if "vouched" in changed:
        observed = f"SELECT * FROM ({POOLED_SESSIONS}) SEMI JOIN named_anew USING ({_ROW})"
        create_views(connection, {"session_observations": observed})
        again = f"({again}) UNION ALL BY NAME ({read_features()})"
    create_tables(connection, {"features_again": again}, numbers)
    create_views(connection, {"session_observations": POOLED_SESSIONS})
    others = f"SELECT {_ROW} FROM (FROM features_again EXCEPT FROM features_before)"
    create_tables(connection, {"refeatured": others}, {})
    create_views(connection, {
        "features": f"""
SELECT * FROM {base.features}.features ANTI JOIN refeatured USING ({_ROW})
UNION ALL BY NAME FROM features_again SEMI JOIN refeatured USING ({_ROW})""",
    })  # fmt: skip
    return changed.intersection(["serving"]) | _changed_columns(connection)


def _add_looked_at(
    connection: duckdb.DuckDBPyConnection, before: Thresholds, thresholds: Thresholds, base: Base,
    changed: Collection[str],
) -> None:  # fmt: skip
    """``looked_at``: the measurements of which other numbers could move a feature.

    ``named_anew``: those of names for which other addresses are vouched for.
    """
    features = f"SELECT {_ROW} FROM {base.features}.features"
    least, most = sorted((before.body_match, thresholds.body_match))
    queries = [
        f"""
{features} WHERE coalesce(body_proportion, 0) > $least AND coalesce(body_proportion, 0) <= $most"""
    ]
    if "name_pool" in changed:
        pooled = _difference("name_pool", "*", base.features)
        queries.append(f"""
{features} SEMI JOIN (SELECT DISTINCT domain, day FROM ({pooled})) USING (domain, day)""")
    named = f"{features} LIMIT 0"
    if "vouched" in changed:
        vouched = _difference("vouched", "*", base.features)
        named = f"{features} SEMI JOIN (SELECT domain FROM ({vouched})) USING (domain)"
    steps = {
        "named_anew": named,
        "looked_at": " UNION ".join([*queries, "FROM named_anew"]),
    }
    create_tables(connection, steps, {"least": least, "most": most})


def _changed_columns(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The columns in which any of ``refeatured`` differs from what it was before."""
    names = [name for name in connection.table("features_again").columns if name != _ROW]
    told = ", ".join(f"bool_or(n.{name} IS DISTINCT FROM b.{name})" for name in names)
    query = f"""
SELECT {told} FROM features_again n SEMI JOIN refeatured USING ({_ROW})
  JOIN features_before b USING ({_ROW})"""
    (differs,) = connection.execute(query).fetchall()
    return {name for name, is_other in zip(names, differs, strict=True) if is_other}


def find_moved(
    connection: duckdb.DuckDBPyConnection,
    base: Base,
    looked_at: str,
    remade: Collection[str] = _PROFILES,
    left_out: Sequence[Rule] = (),
) -> bool:
    """Find the measurements of which a profile says something else: ``moved``. Are there any?

    ``looked_at`` is a table of further measurements, if not empty; ``remade`` are the profiles that
    may be others. A rule that is ``left_out`` moves those that fire it; of the others the first
    rule that is met is still the first.
    """
    found = [f"(SELECT {_ROW} FROM features LIMIT 0)"]
    found += [
        f"SELECT {_ROW} FROM ({_difference(name, '*', base.profiles)})"
        for name in _BY_ROW if name in remade
    ]  # fmt: skip
    found += [
        f"SELECT {_ROW} FROM features SEMI JOIN "
        f"({_difference(name, columns, base.profiles, condition)}) USING ({keys})"
        for name, (keys, columns, condition) in _BY_VALUE.items() if name in remade
    ]  # fmt: skip
    found += [f"SELECT {_ROW} FROM {looked_at}"] if looked_at else []
    if ids := ", ".join(f"'{rule.rule_id}'::rule_name" for rule in left_out):
        fires = " OR ".join(f"{column} IN ({ids})" for column in _FIRED)
        found.append(f"SELECT {_ROW} FROM {base.rules}.outcomes WHERE {fires}")
    create_tables(connection, {"moved": " UNION ".join(found)}, {})
    return bool(connection.execute("SELECT 1 FROM moved LIMIT 1").fetchall())


def move_outcomes(
    connection: duckdb.DuckDBPyConnection,
    before: Thresholds,
    thresholds: Thresholds,
    rules: tuple[Rule, ...],
    base: Base,
    changed: Collection[str],
) -> int:
    """Read again what is ``moved``, and what hangs together with it, see ``read_again``.

    Leaves ``seen_again`` besides, the rows of ``seen`` of the groups with a moved measurement, and
    the tables of ``guards`` that come out otherwise. ``changed``: the columns of ``features`` of
    which any row is another.
    """
    numbers, in_base = vars(thresholds), _FIRST_READING.format(base=base.rules)
    steps = {"moved_features": f"SELECT * FROM features SEMI JOIN moved USING ({_ROW})"}
    create_tables(connection, steps, {})
    profiled = PROFILED.replace("FROM features f", "FROM moved_features f")
    create_views(connection, {"profiled": profiled})
    steps = {
        "fresh_reading": read_layers(rules),
        "touched": "SELECT DISTINCT domain, probe_asn, session FROM fresh_reading",
        "touched_reading": f"""
FROM fresh_reading UNION ALL BY NAME
{in_base} SEMI JOIN touched USING (domain, probe_asn, session)
  ANTI JOIN fresh_reading USING ({_ROW})""",
    }
    create_tables(connection, steps, {})
    create_views(connection, {"first_reading": "FROM touched_reading"})
    create_tables(connection, {"seen_again": BROKEN_SESSIONS["seen"]}, numbers)
    seen = _IN_PLACE_OF.format(base=base.rules, table="seen")
    create_views(connection, {"seen": f"{seen} UNION ALL FROM seen_again"})
    guards = {name: step for name, step in BROKEN_SESSIONS.items() if name != "seen"}
    is_touched = connection.execute("SELECT 1 FROM touched LIMIT 1").fetchall()
    moved = {"seen", *changed} if is_touched else changed
    remake_tables(connection, guards, numbers, vars(before), moved, base.checksums)
    _add_broken_or_not(connection, base)
    create_tables(connection, {"moved_outcomes": explain(rules)}, {})
    query = f"""
SELECT {_READ} FROM moved_outcomes EXCEPT
SELECT {_READ} FROM {base.rules}.outcomes SEMI JOIN touched USING (domain, probe_asn, session)"""
    _, checksum = add_up_rows(connection, query)
    return checksum


def put_in_place(connection: duckdb.DuckDBPyConnection, base: Base) -> None:
    """Let ``outcomes`` be all rows: what was read again, in the place of the base's."""
    rest = _IN_PLACE_OF.format(base=base.rules, table="outcomes")
    create_views(connection, {"outcomes": f"{rest} UNION ALL BY NAME FROM moved_outcomes"})


def _difference(table: str, columns: str, catalog: str, condition: str = "TRUE") -> str:
    """SQL: the rows that only one of two versions of a table has."""
    here = f"SELECT {columns} FROM {table} WHERE {condition}"
    there = f"SELECT {columns} FROM {catalog}.{table} WHERE {condition}"
    return f"({here} EXCEPT {there}) UNION ALL ({there} EXCEPT {here})"


def _add_broken_or_not(connection: duckdb.DuckDBPyConnection, base: Base) -> None:
    """Take the other measurements into account of sessions that are broken by one of both only."""
    key = "session, probe_asn"
    steps: Mapping[str, str] = {
        "more_reading": f"""
{_FIRST_READING.format(base=base.rules)}
  SEMI JOIN ({_difference("broken_sessions", key, base.rules)}) USING ({key})
  ANTI JOIN touched USING (domain, probe_asn, session)""",
        "more_touched": """
FROM touched UNION ALL SELECT DISTINCT domain, probe_asn, session FROM more_reading""",
        "touched": "FROM more_touched",
    }
    create_tables(connection, steps, {})
    reading = "FROM touched_reading UNION ALL BY NAME FROM more_reading"
    create_views(connection, {"first_reading": reading})
