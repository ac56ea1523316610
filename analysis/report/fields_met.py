"""Unexpected fields, versions and failures in OONI's measurements; a missing field stops the run.

A renamed field would leave every rule without its fact, and the report would say *ok*. So each
field that the rules read declares when it must occur (``messages``), and is counted among the
measurements in which it must. What is new is counted and stops nothing. Each day of a network
weighs the same, however many measurements somebody uploads on it, and a network has to have been
measured on several days: a flood of forged uploads moves one day of a network.
"""

from itertools import chain
from typing import Final

import duckdb
import pandas as pd

from analysis.errors import ContractError
from analysis.observations.messages import NAME_LENGTH, MessagingMeasurement, required_fields
from analysis.observations.messaging_tests import BY_NAME
from analysis.outcomes.macros import FAILURES
from analysis.pages.formats import percent
from analysis.study.study import Study

#: The run stops if a field is missing in this share of the measurements that must have it, on half
#: of the networks.
STOPPING_SHARE: Final = 0.2
#: ... and in this share of all measurements that were examined: fewer cannot change a verdict.
_LEAST_SHARE = 0.01
#: ... and in at least this number of measurements, or in all that were examined if there are fewer,
#: but never in a single one. Only networks count that were measured on this number of days, and on
#: this share of the days of the busiest network, because a sender can invent networks.
_FEWEST, _FEWEST_DAYS, _SHARE_OF_DAYS = 4, 3, 0.1
#: The most names that are counted; the sender of a line chooses its names.
_MOST_NAMES = 200
#: The most names in a sentence.
_MOST_TOLD = 5
_WORDS = {"missing": "no field", "retyped": "another type of"}

_KNOWN_VERSION = r"0\.[0-5]\.[0-9]{1,3}"
#: Families of failures, known by their beginning, as rules read them: ``ssl_error: error:1400…``.
_KNOWN_FAMILY = r"^(dns|ssl|http|socks|quic)_|^unknown_"
#: Those that rules read by name, and others of ooni/spec df-007 and of old probes.
_KNOWN_FAILURES: Final = sorted(
    {
        *chain.from_iterable(FAILURES.values()),
        "already_connected",
        "android_dns_cache_no_data",
        "connect_error",
        "connection_already_in_progress",
        "generic_error",
        "json_parse_error",
        "not_connected",
        "operation_not_permitted",
        "operation_not_supported",
    }
)

# One row a measurement and unexpected name. If the report ID shows which measurements were taken
# together, a missing ``test_start_time`` is not counted.
_TOLD = f"""
WITH said AS (
  SELECT probe_asn, measurement_start_time::DATE AS day, run_known_by,
    unnest(list_distinct(list_concat(coalesce(fields_met, []),
      if(regexp_full_match(coalesce(test_version, ''), '{_KNOWN_VERSION}'), [],
        ['version:' || coalesce(test_version, 'none')]),
      list_transform(
        list_filter(
          list_concat(
            [dns_failure, udp_failure, http_failure, control_failure, control_dns_failure,
              control_http_failure],
            list_transform(tcp, lambda one: one.failure),
            list_transform(tls, lambda one: one.failure)),
          lambda one: NOT list_contains($failures, one)
            AND NOT regexp_matches(one, '{_KNOWN_FAMILY}')),
        lambda one: 'failure:' || one)))) AS given
  FROM observations
), given AS (
  SELECT probe_asn, day,
    if(given = 'missing:test_start_time' AND run_known_by = 'report_id', 'found:test_start_time',
      given) AS given
  FROM said
)"""
#: ... of apps and tools. Each test has fields of its own.
_TOLD_OF_APPS = """
WITH given AS (
  SELECT probe_asn, measurement_start_time::DATE AS day,
    unnest(list_transform(list_distinct(fields_met),
      lambda one: regexp_replace(one, ':', ':' || test_name || '.'))) AS given
  FROM messaging
)"""

# A field is counted among the measurements in which it must occur, if that is declared. Anybody can
# send any name, so the names that can stop a run come first.
_COUNTS = f"""
, told AS (
  SELECT probe_asn, day,
    regexp_extract(given, '^(found|missing|retyped|new|version|failure):', 1) AS kind,
    regexp_replace(substr(given[:{NAME_LENGTH}], instr(given, ':') + 1), '[^A-Za-z0-9_.:-]', '?',
      'g') AS name
  FROM given
), names AS (
  SELECT kind, name, min(day) AS first_day, max(day) AS last_day,
    kind IN ('missing', 'retyped') AND list_contains($required, name) AS is_required
  FROM told WHERE kind NOT IN ('found', '') GROUP BY ALL
  ORDER BY is_required DESC, count(*) DESC, kind, name LIMIT {_MOST_NAMES}
), met AS (
  SELECT kind, name, probe_asn, day, count(*) AS met_count
  FROM told SEMI JOIN names USING (kind, name) GROUP BY ALL
), due AS (
  SELECT name, probe_asn, day, count(*) AS due_count
  FROM told SEMI JOIN (FROM names WHERE is_required) USING (name)
  WHERE kind IN ('found', 'missing', 'retyped') GROUP BY ALL
), days AS (
  SELECT probe_asn, measurement_start_time::DATE AS day, count(*) AS all_count,
    count(fields_met) AS looked_at_count, sum(looked_at_count) OVER () AS looked_at_total
  FROM query_table($table) GROUP BY ALL
), tried AS (
  SELECT * REPLACE (coalesce(met_count, 0) AS met_count),
    CASE WHEN kind IN ('version', 'failure') THEN all_count
         WHEN is_required THEN coalesce(due_count, 0) ELSE looked_at_count END AS of_count
  FROM names CROSS JOIN days LEFT JOIN met USING (kind, name, probe_asn, day)
    LEFT JOIN due USING (name, probe_asn, day)
), networks AS (
  SELECT kind, name, first_day, last_day, is_required, looked_at_total, probe_asn,
    sum(met_count) AS met_count, sum(of_count) AS of_count, count(*) AS day_count,
    avg(met_count / of_count) AS share
  FROM tried WHERE of_count > 0 GROUP BY ALL
), enough AS (
  SELECT *, day_count >= greatest({_FEWEST_DAYS}, {_SHARE_OF_DAYS} * max(day_count)
    OVER (PARTITION BY kind, name)) AS is_enough
  FROM networks
), counted AS (
  SELECT *, is_enough OR NOT bool_or(is_enough) OVER (PARTITION BY kind, name) AS counts
  FROM enough
)
SELECT kind, name, sum(met_count)::BIGINT AS measurement_count,
  measurement_count / sum(of_count) AS measurement_share,
  count(*) FILTER (met_count > 0) AS network_count,
  sum(share * day_count) FILTER (counts) / sum(day_count) FILTER (counts) AS day_share,
  count(*) FILTER (counts AND share > {STOPPING_SHARE}) AS many_network_count,
  count(*) FILTER (counts) AS tested_network_count, first_day, last_day,
  is_required AND day_share > {STOPPING_SHARE} / 2
    AND 2 * many_network_count >= tested_network_count
    AND measurement_count >= greatest(least({_FEWEST}, greatest(2, looked_at_total)),
      {_LEAST_SHARE} * looked_at_total) AS is_too_much
FROM counted GROUP BY kind, name, first_day, last_day, is_required, looked_at_total
ORDER BY kind, name
"""


def count_fields_met(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return the contract's ``fields_met``: one row a field, version or failure that was not
    expected.

    Args:
        connection: holds ``observations``.

    Returns:
        ``kind`` (missing, retyped, new, version, failure) and ``name``; how many measurements have
        it, and of those that could (a field: of those that were looked at and must have it), on how
        many networks; ``day_share``, the mean share of a network's day; on how many of the networks
        that count it is many; and whether the run stops.
    """
    parameters = {
        "failures": _KNOWN_FAILURES,
        "required": required_fields(),
        "table": "observations",
    }
    return connection.execute(_TOLD + _COUNTS, parameters).df()


def count_app_fields_met(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return the same for apps and tools (``telegram.test_keys.requests``), for fields alone.

    Args:
        connection: holds ``messaging``.
    """
    fields = required_fields(MessagingMeasurement)
    required = [f"{test}.{field}" for test in BY_NAME for field in fields]
    parameters = {"required": required, "table": "messaging"}
    return connection.execute(_TOLD_OF_APPS + _COUNTS, parameters).df()


def refuse_changed_fields(met: pd.DataFrame, *, is_accepted: bool) -> None:
    """Stop the run if a field that the rules read is gone from many measurements.

    Args:
        met: see ``count_fields_met``.
        is_accepted: the run is told to go on.

    Raises:
        ContractError: it is, and the run is not.
    """
    if met["is_too_much"].any() and not is_accepted:
        raise ContractError(
            f"the rules no longer find fields of OONI's measurements that they read: "
            f"{name_changes(met)}. Use a newer version of the workbook, or add ACCEPT_FIELDS=1 to "
            "go on; page 1 then says so"
        )


def check_fields(study: Study) -> None:
    """Stop the run if fields of web sites have changed, unless the study accepts it.

    Raises:
        ContractError: see ``refuse_changed_fields``.
    """
    is_accepted = bool(study.parameters.accept_fields)
    refuse_changed_fields(count_fields_met(study.connection), is_accepted=is_accepted)


def name_changes(met: pd.DataFrame) -> str:
    """Name the fields that are missing in too many measurements, the most frequent first."""
    changed = met[met["is_too_much"]].sort_values("day_share", ascending=False, kind="stable")
    names = [
        f"{_WORDS[str(row.kind)]} {row.name} ({percent(row.measurement_share)} of the measurements "
        f"that must have it, on {row.many_network_count} of {row.tested_network_count} networks)"
        for row in changed.head(_MOST_TOLD).itertuples(index=False)
    ]
    more = [f"and {len(changed) - len(names)} more"] if len(changed) > len(names) else []
    return "; ".join([*names, *more])


def read_fields_met(met: pd.DataFrame) -> str:
    """Describe the table in the words of page 1, for a run that was not refused."""
    if met["is_too_much"].any():
        return (
            f"The rules no longer find fields that they read: {name_changes(met)}. This report was "
            "made all the same, with ACCEPT_FIELDS=1: some of its numbers may be wrong."
        )
    if met.empty:
        return "Every field, test version and kind of failure is one that these rules know."
    is_lost = met["kind"].isin(["missing", "retyped"])
    sentences = []
    if not is_lost.all():
        sentences.append(
            "Fields, test versions and kinds of failure that these rules do not know: "
            f"{_count_names(met[~is_lost])}. They are counted and change nothing."
        )
    if is_lost.any():
        sentences.append(
            "Fields that were missing or of another type, in too few measurements to stop the "
            f"report: {_count_names(met[is_lost])}."
        )
    return " ".join(sentences)


def _count_names(met: pd.DataFrame) -> str:
    """Return the number of names, and the most frequent ones."""
    most = met.sort_values("measurement_count", ascending=False, kind="stable").head(_MOST_TOLD)
    more = ", …" if len(met) > len(most) else ""
    return f"{len(met)} ({', '.join(sorted(most['name']))}{more})"
