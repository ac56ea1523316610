"""What the pages of sites show besides the tables: sessions by day or week, and what was flagged.

The stage that judges hands it on as notes (``table_folder.keep_note``), so that nothing is judged
twice. A note is not published.
"""

from typing import Any

import duckdb
import numpy as np
import pandas as pd

from analysis.outcomes.steps import read_type
from analysis.study.study import Study
from analysis.study.table_folder import keep_note
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED

#: Notes by name.
SPANS, REACHED, FLAGS, COMPARED = "session_spans", "reached_sessions", "site_flags", "compared"
#: With fewer sessions a network's span of days is thin: it might show when one person was at home.
LEAST_SESSIONS = 3
#: Days that a mark in a strip may stand for.
UNITS = (1, 7, 14, 28)
#: A network's spans are as short as so large a share of its sessions allows.
_SHOWN_SHARE = 0.75

# The sessions of each network in spans of so many days from the first one of the period.
_NETWORK_SPANS = """
WITH reports AS (SELECT DISTINCT probe_asn, day, session FROM sessions)
SELECT probe_asn, unit, (day - $since::DATE) // unit AS span, count(DISTINCT session) AS sessions
FROM reports, (SELECT unnest($units) AS unit) GROUP BY ALL
"""

_SPANS = """
WITH placed AS (
  SELECT domain, probe_asn, class, unit, (day - $since::DATE) // unit AS span
  FROM sessions JOIN units_at_hand USING (probe_asn)
  WHERE class <> 'none' AND domain IN (SELECT domain::host_name FROM sites_at_hand)
)
SELECT enum_code(domain) AS domain, probe_asn, unit::INTEGER AS unit_days, span::INTEGER AS span,
  (count(*) FILTER (class = 'blocked'))::INTEGER AS blocked_count,
  (count(*) FILTER (class = 'ok'))::INTEGER AS ok_count,
  (count(*) FILTER (class = 'down'))::INTEGER AS down_count,
  (count(*) FILTER (class = 'unclear'))::INTEGER AS unclear_count
FROM placed SEMI JOIN spans_at_hand USING (probe_asn, span)
GROUP BY placed.domain, probe_asn, unit, span
ORDER BY placed.domain, probe_asn, unit_days, span
"""

_FLAGS = """
SELECT domain, count(*) AS measurement_count,
  count(*) FILTER (NOT is_failure AND (is_anomaly OR is_confirmed IS TRUE)) AS anomaly_count,
  count(*) FILTER (NOT is_failure AND is_confirmed) AS confirmed_count
FROM observations WHERE domain <> '' GROUP BY domain ORDER BY domain
"""


def keep_site_evidence(study: Study, judgement: Judgement, tables: str) -> None:
    """Hand on what the pages of sites show.

    Args:
        study: after ``confirm``, whose sessions its connection holds.
        judgement: what ``confirm`` returned.
        tables: the folder of the tables.
    """
    intervals = judgement.intervals.assign(
        probe_asn="AS" + judgement.intervals["probe_asn"].astype(str)
    )
    key = ["domain", "probe_asn", "blocked_from", "blocked_from_time"]
    keep_note(tables, REACHED, intervals[[*key, "reached_session_count"]])
    whole = judgement.verdicts[judgement.verdicts["period"] == "all"]
    is_shown = whole["state"].isin(LISTED) | (whole["set_aside_reason"] != "")
    sites = sorted(set(whole.loc[is_shown, "domain"]))
    keep_note(tables, SPANS, count_spans(study.connection, sites, study.periods["all"].since))
    keep_note(tables, FLAGS, study.connection.execute(_FLAGS).df())


def count_spans(
    connection: duckdb.DuckDBPyConnection, sites: list[str], since: Any
) -> pd.DataFrame:
    """Sessions of sites by network and span of days, without the spans in which it is thin.

    A network's spans are days where it has sessions enough, else as many days as it takes.

    Args:
        connection: holds ``sessions``.
        sites: their names.
        since: the first day of the period.

    Returns:
        One row a site, network and span, in this order: ``domain, probe_asn`` (categories),
        ``unit_days, span`` (from 0), ``blocked_count, ok_count, down_count, unclear_count`` of
        sessions. There are millions, so that each number has four bytes.
    """
    spans = connection.execute(_NETWORK_SPANS, {"since": since, "units": list(UNITS)}).df()
    is_thick = spans["sessions"] >= LEAST_SESSIONS
    shown = spans["sessions"].where(is_thick, 0).groupby([spans["probe_asn"], spans["unit"]]).sum()
    every = spans.groupby(["probe_asn", "unit"])["sessions"].sum()
    share = (shown / every).unstack()
    share[UNITS[-1]] = 1.0
    units = (share >= _SHOWN_SHARE).idxmax(axis=1).rename("unit").reset_index()
    at_hand = {
        "units_at_hand": units,
        "spans_at_hand": spans[is_thick].merge(units, on=["probe_asn", "unit"]),
        "sites_at_hand": pd.DataFrame({"domain": pd.Series(sites, dtype="str")}),
    }
    for name, frame in at_hand.items():
        connection.register(name, frame)
    try:
        counted = connection.execute(_SPANS, {"since": since}).fetchnumpy()
    finally:
        for name in at_hand:
            connection.unregister(name)
    # Each column is taken over as it is: copies of all of them would take hundreds of MB.
    names, network = read_type(connection, "host_name"), pd.Categorical(counted["probe_asn"])
    domain = np.asarray(counted["domain"])
    counted["domain"] = pd.Categorical.from_codes(domain, pd.Index(names))
    counted["probe_asn"] = network.rename_categories("AS{}".format)
    return pd.DataFrame(counted, copy=False)
