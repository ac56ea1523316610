"""Frames and figures of the notebooks' sections, which say in words what these show."""

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH
from analysis.pages.tracks import Bar, Row, draw_figure, draw_tracks
from analysis.report.app_tables import title_of
from analysis.report.finding_words import Telling, Words, word_finding
from analysis.report.findings import Numbers, Tables, add_pairs, find_changes
from analysis.report.verdict_words import add_local_hours
from analysis.study.study import MessagingStudy, Study
from analysis.tables import map_texts, tell_networks
from analysis.verdicts.reasons import USUAL
from analysis.vocabulary import (
    CHANGES,
    INSUFFICIENT,
    LISTED,
    MECHANISMS,
    SET_ASIDE_REASONS,
)

#: Columns of ``answers`` that a page has room for.
SHARED_ANSWER = [
    "address",
    "resolver_asn",
    "quarter",
    "profile",
    "name_count",
    "dead_name_count",
    "live_name_count",
    "measurement_count",
]


def describe_bars(lengths: pd.Series, parts: pd.Series | None = None) -> str:
    """Return in words what bars show, such as ``2024-01 25 of 1,000; 2024-02 31 of 900``.

    Args:
        lengths: the length of each bar, by its name.
        parts: how much of each bar stands out, by the same names.
    """
    texts = lengths.map("{:,}".format)
    if parts is not None:
        texts = parts.map("{:,}".format) + " of " + texts
    return "; ".join(f"{name} {text}" for name, text in texts.items())


def word_changes(study: Study, tables: Tables, numbers: Numbers) -> Words | None:
    """Return the finding on the two halves as the first page has it; None if no site is listed.

    Args:
        study: whose period is halved.
        tables: ``verdicts, networks, semesters, semester_changes, blocking_intervals``.
        numbers: of ``findings.count_halves``.
    """
    finding = find_changes(add_pairs(tables))
    if finding is None:
        return None
    return word_finding(
        Telling({"kind": "changes", **finding}, numbers, ENGLISH, study.periods["all"])
    )


def tabulate_changes(changes: pd.DataFrame) -> pd.DataFrame:
    """Return the changes between the halves as page 3 shows them, kind by kind.

    ``is_interrupted`` is known only for sites that are listed in both halves; the column is left
    out where no block was interrupted.

    Args:
        changes: the contract's ``semester_changes``.
    """
    is_both = changes["change"] == "still_blocked"
    matched = {
        name: changes[name].replace("", "No network compared")
        for name in ("first_matched_state", "second_matched_state")
    }
    table = changes.assign(
        order=changes["change"].map(list(CHANGES).index),
        change=changes["change"].map(CHANGES),
        is_interrupted=changes["is_interrupted"].astype(object).where(is_both),
        **matched,
    )
    # the states of a half are those of all networks, and the changes of those compared
    left_out = ["first_state", "second_state", "order"]
    if not table["is_interrupted"].any():
        left_out.append("is_interrupted")
    return table.sort_values(["order", "domain"]).drop(columns=left_out)


def tabulate_intervals(study: Study, intervals: pd.DataFrame) -> pd.DataFrame:
    """Return each listed period of failures with the tests around it and its hours of the week.

    Args:
        study: whose country's clocks show the local hours.
        intervals: the contract's ``blocking_intervals``.
    """
    return describe_edges(intervals, study)[
        [
            "domain",
            "probe_asn",
            "state",
            "mechanism",
            "last_seen_open",
            "blocked_from",
            "blocked_until",
            "first_seen_open_again",
            "session_count",
            "longest_gap_days",
            "chance",
        ]
    ]


def count_methods(listed: pd.DataFrame) -> pd.DataFrame:
    """Return the methods of blocking of each network, those with most listed sites first.

    Args:
        listed: listed pairs on the country's access networks, with ``network``.

    Returns:
        ``probe_asn, network, listed_site_count, mechanism``; the methods in words, each with its
        number of sites.
    """
    named = listed.assign(mechanism=listed["mechanism"].map(MECHANISMS))
    counts = named.groupby(["probe_asn", "network"]).agg(
        listed_site_count=("domain", "size"), mechanism=("mechanism", _count_methods)
    )
    return counts.sort_values("listed_site_count", ascending=False, kind="stable").reset_index()


def _count_methods(methods: pd.Series) -> str:
    return "; ".join(f"{method}: {count:,}" for method, count in methods.value_counts().items())


def count_withheld(study: Study, withheld: pd.DataFrame) -> pd.DataFrame:
    """Return the number of periods that are not listed, a row a reason, the most frequent first.

    Args:
        study: names the networks.
        withheld: the contract's ``withheld_intervals``.

    Returns:
        ``why, period_count, site_count, session_count, networks``; the networks with most
        periods, in words.
    """
    named = withheld.assign(
        why=withheld["reason"], network=withheld["probe_asn"].map(study.network_names())
    )
    counts = named.groupby("why").agg(
        period_count=("domain", "size"),
        site_count=("domain", "nunique"),
        session_count=("session_count", "sum"),
        networks=("network", _count_networks),
    )
    return counts.sort_values("period_count", ascending=False, kind="stable").reset_index()


def tabulate_withheld(study: Study, withheld: pd.DataFrame) -> pd.DataFrame:
    """Return the periods that are not listed, a row a site, reason and method.

    Args:
        study: whose country's clocks show the local hours.
        withheld: the contract's ``withheld_intervals``.
    """
    rows = gather_alike(describe_edges(withheld.rename(columns={"reason": "why"}), study))
    return rows[
        [
            "domain",
            "probe_asns",
            "mechanism",
            "blocked_from",
            "blocked_until",
            "session_count",
            "chance",
            "why",
        ]
    ]


_TRACES = """
SELECT rule_id::VARCHAR AS rule_id, domain::VARCHAR AS domain, probe_asn,
  count(*) AS measurement_count
FROM outcomes WHERE domain <> '' AND class = 'blocked' AND is_artefact AND evidence = 'scored'
GROUP BY ALL ORDER BY ALL
"""


def find_unlisted_traces(study: Study, whole: pd.DataFrame) -> pd.DataFrame:
    """Return the contract's ``unlisted_traces``: traces of blocking on pairs that are not listed.

    Args:
        study: after ``confirm``.
        whole: the contract's ``verdicts`` of the whole period.
    """
    unlisted = whole.loc[~whole["state"].isin(LISTED), ["domain", "probe_asn"]]
    return study.connection.execute(_TRACES).df().merge(unlisted)


def count_unlisted_traces(traces: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """Return the number of pairs with a trace that are not listed, by rule, state and reason.

    Args:
        traces: ``find_unlisted_traces``.
        whole: the contract's ``verdicts`` of the whole period.
    """
    columns = ["domain", "probe_asn", "state", "insufficient_reason", "set_aside_reason", "note"]
    traces = traces.merge(whole[columns], on=["domain", "probe_asn"])
    words = {name: reason.words for name, reason in INSUFFICIENT.items()}
    otherwise = traces["insufficient_reason"].map(words)
    otherwise = otherwise.fillna(traces["set_aside_reason"].map(SET_ASIDE_REASONS)).fillna("")
    otherwise = otherwise.mask(traces["state"] == "ok", "Too few traces for the list")
    traces = traces.assign(why=traces["note"].where(traces["note"] != "", otherwise))
    counts = traces.groupby(["rule_id", "state", "why"]).agg(
        site_count=("domain", "nunique"),
        pair_count=("domain", "size"),
        measurement_count=("measurement_count", "sum"),
    )
    return counts.sort_values("pair_count", ascending=False, kind="stable").reset_index()


def _count_networks(networks: pd.Series) -> str:
    """Return the three networks with most rows and their counts, or fewer where others tie."""
    counts = networks.value_counts()
    most = counts[counts > counts.iloc[3]] if len(counts) > 3 else counts
    texts = [f"{network}: {count:,}" for network, count in most.items()]
    if remaining := len(counts) - len(most):
        noun, largest = "others" if texts else "networks", counts.iloc[len(most)]
        at_most = "at most " if counts.iloc[-1] < largest else ""
        texts.append(f"{remaining:,} {noun}: {at_most}{largest:,} each")
    return "; ".join(texts)


_ALIKE = ["domain", "why", "mechanism"]


def gather_alike(withheld: pd.DataFrame) -> pd.DataFrame:
    """Return one row for failures of a site that have one reason and method on several networks.

    Rows whose reason makes them no surprise come last.
    """
    keys = [withheld["why"].isin(USUAL), *(withheld[name] for name in _ALIKE)]
    gathered = withheld.groupby(keys).agg(
        {
            **dict.fromkeys(_ALIKE, "first"),
            "probe_asn": tell_networks,
            "blocked_from": "min",
            "blocked_until": "max",
            "session_count": "sum",
            "chance": "min",
        }
    )
    return gathered.reset_index(drop=True).rename(columns={"probe_asn": "probe_asns"})


def describe_edges(intervals: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return intervals with their days as texts, and their methods with the hours of the week.

    An edge that is known to a day or so has its time as well.

    Args:
        intervals: the contract's ``blocking_intervals`` or ``withheld_intervals``.
        study: whose country's clocks show the local hours.
    """
    table = add_local_hours(intervals, study.probe_cc)
    hours = " at " + table["schedule"] + " UTC"
    if "local_schedule" in table:
        hours += " (" + table["local_schedule"] + " local time)"
    method = map_texts(table["mechanism"], MECHANISMS)
    texts = {"mechanism": method + hours.where(table["schedule"] != "", "")}
    for before, after in (
        ("last_seen_open", "blocked_from"),
        ("blocked_until", "first_seen_open_again"),
    ):
        is_close = table[after] - table[before] <= pd.Timedelta(days=1)
        for name in (before, after):
            moment = table[f"{name}_time"].dt.strftime("%Y-%m-%d %H:%M")
            texts[name] = moment.where(is_close, table[name].dt.strftime("%Y-%m-%d"))
    return table.assign(**texts)


def list_sweep_bars(swept: pd.DataFrame) -> list[Row]:
    """Return a bar a threshold: from the fewest to the most listed pairs at its tried values.

    Args:
        swept: ``confirmation.sweep``.
    """
    most = max(swept["blocked_pair_count"].max(), 1)
    rows = []
    for name, values in swept.groupby("threshold", sort=False):
        low, high = values["blocked_pair_count"].min(), values["blocked_pair_count"].max()
        used = values.loc[values["is_standing"], "blocked_pair_count"].max()
        bars = (Bar(low / most, high / most, "tested"), Bar(used / most, used / most, "edge"))
        rows.append(Row(str(name), bars, "", f"{low:,} to {high:,}", "#table-tried"))
    return rows


def draw_sweep(bars: Sequence[Row], *, title: str, alt: str, reading: str) -> Markup:
    """Return the figure of ``list_sweep_bars``."""
    tracks = draw_tracks(bars, ("Threshold", "Listed pairs", "Listed pairs"))
    return draw_figure(tracks, alt, reading, title=title)


def tabulate_app_intervals(study: MessagingStudy, intervals: pd.DataFrame) -> pd.DataFrame:
    """Return the periods in which a part of a test was cut off, without columns that are empty.

    Args:
        study: whose country's clocks show the local hours.
        intervals: the contract's ``messaging_intervals``.
    """
    table = add_local_hours(intervals, study.probe_cc)
    table = table.assign(
        test=table["test_name"].map(title_of),
        endpoints=[
            "" if pd.isna(tried) else f"{int(cut):,} of {int(tried):,}"
            for cut, tried in table[["cut_endpoint_count", "endpoint_count"]].to_numpy(object)
        ],
    )
    columns = [
        "test",
        "part",
        "endpoints",
        "probe_asn",
        "blocked_from",
        "last_seen_blocked",
        "schedule",
        *(["local_schedule"] if "local_schedule" in table else []),
        "mechanism",
        "session_count",
        "chance",
        "elsewhere_anomaly_share",
    ]
    empty = [name for name in ("schedule", "mechanism") if not (table[name] != "").any()]
    return table[columns].drop(columns=empty)
