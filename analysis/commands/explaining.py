"""``explain DOMAIN``: the chain from a published verdict down to its measurements.

What is said of a site comes from the report's own tables. Its measurements come from the store:
they are judged again, and listed only where they give the counts that were published.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from analysis.commands.explaining_apps import explain_test, find_test
from analysis.commands.judge_file import read_results
from analysis.commands.settings import Settings, parse_settings
from analysis.errors import ParameterError, SourceError, printable
from analysis.hosts import normalise, registrable_domain
from analysis.languages.spoken_values import pairs_of_chance
from analysis.outcomes.rules import LAYERS, RULES_BY_ID
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.pages.formats import percent
from analysis.period import Period
from analysis.reference import countries
from analysis.report.annex import REASON_SENTENCES
from analysis.report.local_time import local_schedule
from analysis.review.reports import read_report
from analysis.sources.layout import OONI
from analysis.store.ingestion import was_read
from analysis.study.confirmation import confirm
from analysis.study.parameters import find_lists
from analysis.study.study import Study, open_study, request_of
from analysis.tables import read_table
from analysis.verdicts.states import strength, wilson_bounds
from analysis.verdicts.witnesses import countries_url
from analysis.vocabulary import (
    INSUFFICIENT,
    LISTED,
    MECHANISMS,
    NETWORK_KINDS,
    PERIODS,
    SET_ASIDE_REASONS,
    STATES,
)

#: Sessions listed per network where no network is asked for.
_A_FEW = 5
_CLASSES = {"ok": "reachable", "unclear": "unclear", "none": "tells nothing"}

Row = Any  # one row of a table, as itertuples gives it


def explain(domain: str, asn: str, out: Path | None, arguments: Sequence[str]) -> str:
    """Why a site is on the list of a report, or why it is not.

    Args:
        domain: a host name or URL; or an app or tool, such as ``telegram``.
        asn: one network, as ``123`` or ``AS123``; all where it is empty.
        out: the report's folder; by default that which the arguments name.
        arguments: ``NAME=VALUE`` as for ``report``: STORE, SOURCE, NETWORKS, FINGERPRINTS … say
            where the observations and lists are that the report was made from.

    Returns:
        Lines for a terminal; no character of a measurement can act there.

    Raises:
        ParameterError: there is no report, or the site or network was not tested in it.
    """
    folder = out or parse_settings(arguments).out
    run = read_report(folder, "--out").run
    tables = folder / "tables"
    if test := find_test(domain):
        return "\n".join(printable(line, 400) for line in explain_test(test, asn, tables))
    site = normalise(domain)
    rows = _rows_of(read_table(tables, "verdicts"), domain, site, asn)
    thresholds = _thresholds(run["parameters"])
    lines = [*_heading(site, run["parameters"]), *_conclusion(tables, site)]
    lines += _other_countries(site, run["parameters"])
    sessions, why_none = _sessions(site, rows, run["parameters"], thresholds, arguments)
    intervals = read_table(tables, "blocking_intervals")
    withheld = read_table(tables, "withheld_intervals")
    zone = countries.capital_zone(run["parameters"]["probe_cc"])
    networks = read_table(tables, "networks").set_index("probe_asn")
    whole = rows[rows["period"] == "all"].assign(rank=lambda frame: strength(frame["state"]))
    for row in whole.sort_values(["rank", "probe_asn"]).itertuples(index=False):
        lines += ["", _network_line(row, networks), *_verdict_lines(row, thresholds)]
        lines += _chance_lines(row, zone)
        lines += _half_lines(rows[rows["probe_asn"] == row.probe_asn])
        lines += _interval_lines(intervals, row, "interval")
        lines += _interval_lines(withheld, row, "withheld")
        lines += _session_lines(sessions.get(str(row.probe_asn), []), 0 if asn else _A_FEW)
    lines += ["", *([why_none] if why_none else [])]
    return "\n".join(printable(line, 400) for line in lines).rstrip()


def _rows_of(verdicts: pd.DataFrame, given: str, site: str, asn: str) -> pd.DataFrame:
    """The verdicts on the site, on one network or on all."""
    if not site:
        raise ParameterError("DOMAIN", given, "a host name or a URL is accepted")
    rows = verdicts[verdicts["domain"] == site]
    if rows.empty:
        tested = pd.Series(verdicts["domain"].unique())
        near = tested[tested.map(registrable_domain) == registrable_domain(site)].tolist()
        also = f"; tested under the same name: {', '.join(near[:5])}" if near else ""
        raise ParameterError(
            "DOMAIN", site,
            f"was never tested in this report, which says nothing about its being reachable{also}",
        )  # fmt: skip
    if not asn:
        return rows
    number = asn.upper().removeprefix("AS")
    of_network = rows[rows["probe_asn"] == f"AS{number}"]
    if of_network.empty:
        known = ", ".join(sorted(set(rows["probe_asn"]), key=lambda text: int(text[2:])))
        raise ParameterError("--asn", asn, f"{site} was tested on {known}")
    return of_network


def _thresholds(parameters: Mapping[str, Any]) -> Thresholds:
    """Those that the report was made with: the defaults, but for what its run says."""
    return Thresholds().changed_by(
        {name: value for name, value in parameters.items() if name in DECLARATIONS}
    )


def _heading(site: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    period = Period.parse(parameters["since"], parameters["until"])
    country = countries.country_name(parameters["probe_cc"])
    yield f"{site}  in {country}, {period.since} to {period.last_day}"


def _conclusion(tables: Path, site: str) -> Iterator[str]:
    """Whether the site is in the annex, and if it is not, why."""
    annex = read_table(tables, "blocked_sites").set_index("domain")
    aside = read_table(tables, "set_aside").set_index("domain")
    if site in annex.index:
        row = annex.loc[site]
        state, count = _state(str(row["state"])), len(str(row["probe_asns"]).split(";"))
        yield f"On the list: {state} on {count} of the country's access networks."
    elif site in aside.index:
        code = str(aside.loc[site, "reason"])
        yield f"Not on the list. {SET_ASIDE_REASONS[code]}: {REASON_SENTENCES[code]}"
    else:
        yield "Not on the list: no anomalies that ask for a reason."


def _other_countries(site: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Where to see how the site fares in other countries, if the country is a real one."""
    if not countries.is_fictional(parameters["probe_cc"]):
        period = Period.parse(parameters["since"], parameters["until"])
        yield f"In other countries: {countries_url(site, period)}"


def _state(code: str) -> str:
    return STATES[code].words.lower()


def _network_line(row: Row, networks: pd.DataFrame) -> str:
    if row.probe_asn not in networks.index:
        return str(row.probe_asn)
    network = networks.loc[row.probe_asn]
    return f"{row.probe_asn}  {network['network']}  ({NETWORK_KINDS[network['kind']].lower()})"


def _verdict_lines(row: Row, thresholds: Thresholds) -> Iterator[str]:
    """State, rule, counts with their denominators, dates, resolvers and witness."""
    how = f", by {MECHANISMS[row.mechanism]}" if row.mechanism else ""
    why = f": {INSUFFICIENT[row.insufficient_reason].words}" if row.insufficient_reason else ""
    yield f"  {STATES[row.state].words}{how}{why}"
    if row.rule_id:
        yield f"  rule {row.rule_id}: {RULES_BY_ID[row.rule_id].comment}"
    if row.set_aside_reason:
        reason = SET_ASIDE_REASONS[row.set_aside_reason]
        yield f"  set aside: {reason}. {REASON_SENTENCES[row.set_aside_reason]}"
    yield (
        f"  sessions: {row.blocked_session_count} blocked, {row.down_session_count} down, "
        f"{row.ok_session_count} reachable, of {row.session_count} on {row.day_count} days"
    )
    yield (
        f"  measurements: {row.blocked_count} blocked, {row.down_count} down, {row.ok_count} "
        f"reachable, {row.unknown_count} without a conclusion, of {row.measurement_count}"
    )
    if pd.notna(row.blocked_share):
        low, high = percent(row.blocked_share_low), percent(row.blocked_share_high)
        yield (
            f"  blocked share of the sessions that were blocked or reachable: "
            f"{percent(row.blocked_share)} (95 %: {low} to {high})"
        )
    if row.state in LISTED:
        until = row.blocked_until or "the last tests"
        yield f"  blocked from {row.blocked_from} until {until}"
    elif row.blocked_session_count or row.state == "insufficient":
        yield _shortfall(row, thresholds)
    many = "reports" if row.sessions_to_flip != 1 else "report"
    yield f"  sessions to flip: {row.sessions_to_flip} forged {many} could change the state"
    if row.resolver_asns:
        yield f"  resolvers of the blocked sessions: {row.resolver_asns.replace(';', ', ')}"
    if row.note:
        yield f"  note: {row.note}"
    if row.witness_report_id:
        where = f"  {row.witness_url}" if row.witness_url else ""
        yield f"  witness: {row.witness_report_id}  {row.witness_input}{where}"


def _chance_lines(row: Row, zone: ZoneInfo | None) -> Iterator[str]:
    """How surprising it is if nobody blocks, and at which hours of the week it holds."""
    if row.chance:
        yield (
            f"  chance {row.chance}: of {pairs_of_chance(float(row.chance)):,} pairs of site and "
            "network that nobody blocks, at most about one would look like this"
        )
    elif row.state in LISTED:
        yield "  chance: not asked, a mark that only blocking leaves decides"
    if row.schedule:
        local = local_schedule(row.schedule, zone, row.blocked_from) if zone else ""
        clocks = f" ({local} by the clocks of the capital)" if local else ""
        yield f"  hours of the week: {row.schedule} UTC{clocks}"


def _shortfall(row: Row, thresholds: Thresholds) -> str:
    """What a state needs, beside the numbers that there are."""
    counts = pd.Series(
        [row.blocked_session_count, row.down_session_count, row.ok_session_count],
        ["blocked", "down", "reachable"], dtype="int64",
    )  # fmt: skip
    low, _ = wilson_bounds(counts, pd.Series(int(row.session_count), counts.index))
    here = "; ".join(
        f"{counts[name]} {name} (lower bound {percent(low[name])})" for name in counts.index
    )
    return (
        f"  evidence floor: {thresholds.floor_sessions} sessions of one class on "
        f"{thresholds.floor_days} days, and a lower bound of {percent(thresholds.share_floor)} for "
        f"its share; here {here}"
    )


def _half_lines(rows: pd.DataFrame) -> Iterator[str]:
    """The states of the two halves, in one line."""
    halves = rows[rows["period"] != "all"].sort_values("period")
    parts = [
        f"{PERIODS[str(row.period)].lower()}: {_state(str(row.state))} "
        f"({row.session_count} sessions)"
        for row in halves.itertuples(index=False)
    ]
    if parts:
        yield f"  {'; '.join(parts)}"


def _interval_lines(intervals: pd.DataFrame, row: Row, kind: str) -> Iterator[str]:
    """Each interval with its moments and the tests on either side of it.

    Args:
        kind: what the lines begin with; *withheld* ones say why they are not listed.
    """
    of_pair = intervals[
        (intervals["domain"] == row.domain) & (intervals["probe_asn"] == row.probe_asn)
    ]
    for one in of_pair.itertuples(index=False):
        before = one.last_seen_open_time or "never before"
        after = one.first_seen_open_again_time or "not again"
        mechanism = MECHANISMS.get(one.mechanism, "several ways")
        yield (
            f"  {kind} {one.blocked_from_time} to {one.blocked_until_time} UTC, {mechanism}: "
            f"seen open {before}, then {after}; {one.session_count} sessions on {one.day_count} "
            f"days, longest gap {one.longest_gap_days} days"
            f"{f', {one.schedule} UTC' if one.schedule else ''}"
            f"{f', chance {one.chance}' if one.chance else ''}"
        )
        if kind == "withheld":
            yield f"    not listed: {one.reason}"


def _session_lines(sessions: Sequence[str], most: int) -> Iterator[str]:
    if not sessions:
        return
    shown_ones = list(sessions)[-most:] if most else list(sessions)
    left = len(sessions) - len(shown_ones)
    more = f", the last {most} of {len(sessions)}; --asn lists all" if left else ""
    yield f"  sessions{more}:"
    yield from (f"    {line}" for line in shown_ones)


def _sessions(
    site: str,
    rows: pd.DataFrame,
    parameters: Mapping[str, Any],
    thresholds: Thresholds,
    arguments: Sequence[str],
) -> tuple[dict[str, list[str]], str]:
    """Network → a line per session; or nothing, and the sentence that says why."""
    is_named = any(argument.startswith("SOURCE=") for argument in arguments)
    if not (
        is_named or "receipt_margin" in parameters or countries.is_fictional(parameters["probe_cc"])
    ):
        return {}, "From the tables alone. Name what the report was made from: STORE=… SOURCE=…"
    study = _study(_settings(arguments, parameters))
    if isinstance(study, str):
        return {}, f"From the tables alone: {study}"
    verdicts = confirm(study, study.networks(), thresholds).verdicts
    again = verdicts[verdicts["domain"] == site].assign(
        probe_asn=lambda frame: "AS" + frame["probe_asn"].astype(str)
    )
    columns = ["probe_asn", "period", "state", "measurement_count", "session_count"]
    both = rows[columns].merge(again[columns], how="left", indicator=True)
    if (both["_merge"] != "both").any():
        return {}, (
            "From the tables alone: the observations in the store, judged with the lists given, "
            "do not give the published counts. Name the STORE, SOURCE, NETWORKS and FINGERPRINTS "
            "that the report was made from."
        )
    asns = rows["probe_asn"].unique()
    return {
        asn: list(_session_evidence(study, site, int(asn.removeprefix("AS")))) for asn in asns
    }, ""


def _settings(arguments: Sequence[str], parameters: Mapping[str, Any]) -> Settings:
    """The arguments, with what the report's own run says of country and period."""
    given = {argument.partition("=")[0]: argument for argument in arguments}
    for name in ("PROBE_CC", "SINCE", "UNTIL", "SPLIT"):
        given[name] = f"{name}={parameters.get(name.lower(), '')}"
    if "reference" in parameters:
        given.setdefault("REFERENCE", f"REFERENCE={parameters['reference']}")
    if "receipt_margin" in parameters:
        given.setdefault("SOURCE", f"SOURCE={OONI}")
        given["RECEIPT_MARGIN"] = f"RECEIPT_MARGIN={parameters['receipt_margin']}"
    given.setdefault("EVENTS", "EVENTS=")  # no event takes part in a verdict
    return parse_settings(list(given.values()))


def _study(settings: Settings) -> Study | str:
    """The observations that the report was made from; or why they are not to be had.

    A store that holds nothing of the source is left alone: reading an archive takes hours.
    """
    try:
        if not was_read(request_of(settings.study)):
            return (
                f"the store holds no observations of {settings.probe_cc} from this SOURCE. Name "
                "those that the report was made from: STORE=… SOURCE=…"
            )
        return open_study(find_lists(settings.study), jobs=settings.jobs)
    except (ParameterError, SourceError) as error:
        return f"{error}"


def _session_evidence(study: Study, site: str, asn: int) -> Iterator[str]:
    """One line per session, by day: what it shows, by which rule, and what was seen."""
    classes = {
        session: (day, kind)
        for session, day, kind in study.connection.execute(
            "SELECT session, day, class FROM sessions WHERE domain = ? AND probe_asn = ? "
            "ORDER BY day, session",
            [site, asn],
        ).fetchall()
    }
    results: dict[str, list[dict[str, Any]]] = {}
    for result in read_results(study.connection, site, asn):
        results.setdefault(result["session"], []).append(result)
    for session, (day, kind) in classes.items():
        typical = _typical(results[session], kind)
        count = len(results[session])
        times = f" ({count} measurements)" if count > 1 else ""
        yield (
            f"{day:%Y-%m-%d}  {_CLASSES.get(kind, kind):<13} {typical['rule_id']}{times}: "
            f"{typical['layers'][_layer(typical)]['seen']}"
        )


def _typical(results: Iterable[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The first measurement that shows what its session does, or the first of all."""
    every = list(results)
    return next((one for one in every if one["class"] == kind), every[0])


def _layer(result: Mapping[str, Any]) -> str:
    """The layer that explains a measurement; for a discarded session, the first that fails."""
    own = RULES_BY_ID[result["rule_id"]].layer
    if own in LAYERS:
        return own
    layers: Mapping[str, Mapping[str, str]] = result["layers"]
    return next((name for name in LAYERS if layers[name]["class"] == "blocked"), "http")
