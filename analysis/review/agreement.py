"""How far the judge agrees with people who looked at the same measurements or events.

``compare`` puts the judgement of single measurements beside their labels. ``measure`` gives
sensitivity, specificity and precision, of the judge and of OONI's flag. ``find_cases`` and
``check_cases`` do the same for events of a country, which need many measurements.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd

from analysis.errors import printable
from analysis.hosts import normalise
from analysis.outcomes.rules import LAYERS
from analysis.period import Period, today
from analysis.reference.events import INCIDENT, Event
from analysis.reference.labels import Labels
from analysis.sources.measurements import Measurement
from analysis.tables import read_network, tell_network, typed
from analysis.verdicts.floors import wilson_bounds
from analysis.verdicts.witnesses import uid_url

#: The table of labelled measurements, and that of a country's events.
TABLE, CASES = "field_check", "field_check_events"

#: Flags of OONI that say that a measurement may be blocked.
_FLAGGED = ("anomaly", "confirmed")


# --- single measurements --------------------------------------------------------------------------


def compare(
    labels: Labels,
    measurements: Mapping[str, Measurement],
    judged: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Return the contract's ``field_check``, in the order of the labels.

    Args:
        labels: of :func:`~analysis.reference.labels.load_labels`.
        measurements: uid → measurement as OONI sent it, as far as it was fetched.
        judged: uid → what ``judge`` says of it.
    """
    rows = [
        row | _judge_row(row, measurements.get(uid), judged.get(uid, {}))
        for uid, row in zip(
            labels.rows["measurement_uid"], labels.rows.to_dict("records"), strict=True
        )
    ]
    return typed(TABLE, rows)


def _judge_row(
    label: Mapping[Any, Any], measurement: Measurement | None, result: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the cells of a row that follow the label's own."""
    row: dict[str, Any] = {
        "flag": measurement.flag if measurement and measurement.raw_measurement else "",
        "day": result.get("day"),
        "class": "",
        "mechanism": "",
        "rule_id": "",
        "is_artefact": None,
        "comparison": "not_compared",
        "note": _find_obstacle(label, measurement, result),
        "witness_url": uid_url(str(label["measurement_uid"])),
    }
    if row["note"]:
        return row
    row |= {name: result[name] for name in ("class", "mechanism", "rule_id", "is_artefact")}
    is_right = result["class"] == label["label"]
    wrong = "undecided" if result["class"] == "unknown" else "differs"
    return row | {"comparison": "agrees" if is_right else wrong}


def _find_obstacle(
    label: Mapping[Any, Any], measurement: Measurement | None, result: Mapping[str, Any]
) -> str:
    """Return why a measurement cannot be compared with its label; empty if it can."""
    if measurement is None:
        return "not fetched yet"
    if not measurement.raw_measurement:
        return "OONI does not have this measurement"
    if "rule_id" not in result:
        return printable(f"cannot be judged: {result.get('error', 'another test')}", 200)
    found = normalise(result["input"]), result["probe_cc"], read_network(result["probe_asn"])
    if found == (label["domain"], label["probe_cc"], label["probe_asn"]):
        return ""
    site, country, network = found
    found_in = f"{site} on {tell_network(network)} in {country}"
    return printable(f"the measurement is of {found_in}, and the label is not", 400)


def measure(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of agreement, those of the judge first.

    One row is a ``measure`` of a ``method`` (``judge``, ``flag``): ``success_count`` of
    ``trial_count`` labelled measurements, their ``share`` with 95 % bounds, and the same share
    weighted by what each measurement stands for (``weighted_…``). ``sensitivity``: of those that
    are labelled blocked, the share judged or flagged so. ``specificity``: of the others, the share
    that is not. ``precision``: of those judged or flagged so, the share that is labelled blocked.
    A measurement about which the judge does not know counts as not judged blocked.

    The weighted bounds are Wilson's for the effective number of measurements, (Σw)² / Σw² (Kish,
    Survey Sampling, 1965): few measurements that stand for many widen them.

    Args:
        table: of :func:`compare`; rows that could not be compared are left out.
    """
    rows = table[table["comparison"] != "not_compared"]
    is_blocked = rows["label"] == "blocked"
    methods = {"judge": rows["class"] == "blocked", "flag": rows["flag"].isin(_FLAGGED)}
    counts = [
        {"method": method, "measure": name, **_count(hits[among], rows.loc[among, "weight"])}
        for method, is_found in methods.items()
        for name, hits, among in (
            ("sensitivity", is_found, is_blocked),
            ("specificity", ~is_found, ~is_blocked),
            ("precision", is_blocked, is_found),
        )
    ]
    frame = pd.DataFrame(counts)
    low, high = wilson_bounds(frame["success_count"], frame["trial_count"])
    effective = frame["effective_count"]
    weighted_low, weighted_high = wilson_bounds(frame["weighted_share"] * effective, effective)
    return frame.assign(
        share=frame["success_count"] / frame["trial_count"],
        lower_share=low,
        upper_share=high,
        weighted_lower_share=weighted_low,
        weighted_upper_share=weighted_high,
    ).drop(columns="effective_count")


def _count(hits: pd.Series, weights: pd.Series) -> dict[str, float]:
    """Return hits and cases, the weighted share of hits, and the effective number of cases."""
    total, squares = weights.sum(), (weights**2).sum()
    return {
        "success_count": int(hits.sum()),
        "trial_count": len(hits),
        "weighted_share": weights[hits].sum() / total if total else float("nan"),
        "effective_count": total**2 / squares if squares else 0.0,
    }


def count_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Count the measurements that are labelled blocked by layer, a row a ``layer``.

    ``labelled_count``; ``found_count``: judged blocked; ``same_layer_count``: at this layer;
    ``marked_count``: by a mark, which only a network can leave. A measurement with methods at two
    layers counts at both.
    """
    blocked = table[(table["label"] == "blocked") & (table["comparison"] != "not_compared")]
    layers = [{_layer_of(name) for name in text.split(";")} for text in blocked["mechanisms"]]
    own = blocked["mechanism"].map(_layer_of)
    rows = []
    for layer in LAYERS:
        is_here = pd.Series([layer in named for named in layers], blocked.index, dtype="bool")
        found = is_here & (blocked["class"] == "blocked")
        is_marked = blocked["is_artefact"].eq(True)
        parts = (is_here, found, found & (own == layer), found & is_marked)
        counts = [part.sum() for part in parts]
        rows.append((layer, *map(int, counts)))
    columns = ["layer", "labelled_count", "found_count", "same_layer_count", "marked_count"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame[frame["labelled_count"] > 0].reset_index(drop=True)


def _layer_of(mechanism: str) -> str:
    return mechanism.partition(".")[0]


# --- events ---------------------------------------------------------------------------------------

#: Days before and after the first day of an event that are read. A block needs days before it to
#: have a beginning, and days in it to be seen.
_DAYS_AROUND = timedelta(days=28)


@dataclass(frozen=True)
class Case:
    """An event that people described, to be looked for in the measurements.

    Attributes:
        event: in words.
        source_url: where it is described; empty for a labelled week.
        period: the days to read.
        first_day: of the event.
        week: the labelled week, or None for an incident.
        pairs: sites and networks; 0 for any access network of the country.
    """

    event: str
    source_url: str
    period: Period
    first_day: date
    week: Period | None
    verdict: str
    pairs: tuple[tuple[str, int], ...]


def find_cases(
    events: Iterable[Event], weeks: Iterable[Any], rename: Callable[[str], str]
) -> list[Case]:
    """Return the incidents of web sites and the labelled weeks of a country, by day.

    Args:
        events: known events, of which only incidents that OONI published are used.
        weeks: of ``labels.load_weeks``.
        rename: returns a site's name, or what stands for it if the name is withheld.
    """
    cases = []
    for event in events:
        names = [rename(normalise(domain)) for domain in event.domains]
        networks = [read_network(asn) for asn in event.probe_asns] or [0]
        pairs = tuple((name, asn) for name in names for asn in dict.fromkeys(networks))
        if event.kind == INCIDENT and pairs:
            days = _days_around(event.day)
            cases.append(Case(event.title, event.source, days, event.day, None, "", pairs))
    for week in weeks:
        period = Period.parse(week.since, week.until)
        day, pair = period.since, (rename(week.domain), read_network(week.probe_asn))
        words = "A week that OONI's analysts labelled"
        cases.append(Case(words, "", _days_around(day), day, period, week.verdict, (pair,)))
    return sorted(cases, key=lambda case: (case.first_day, case.event))


def _days_around(day: date) -> Period:
    return Period(day - _DAYS_AROUND, min(day + _DAYS_AROUND, today()))


def check_cases(
    case: Case, verdicts: pd.DataFrame, intervals: pd.DataFrame, access: Sequence[int]
) -> list[dict[str, Any]]:
    """Return rows of the contract's ``field_check_events``, one for each pair of a case.

    Args:
        case: the event.
        verdicts: of the case's period, as ``confirm`` returns them.
        intervals: the listed stretches of the same.
        access: the access networks of the country.
    """
    rows = []
    for domain, asn in case.pairs:
        networks = [asn] if asn else list(access)
        here = verdicts[(verdicts["domain"] == domain) & verdicts["probe_asn"].isin(networks)]
        listed = intervals[
            (intervals["domain"] == domain) & intervals["probe_asn"].isin(networks)
        ].sort_values("blocked_from")
        states = here.loc[here["period"] == "all", "state"].astype("str")
        first = next(listed.itertuples(index=False), None)
        rows.append(
            {
                "event": case.event,
                "first_day": case.first_day,
                "domain": domain,
                "probe_asn": asn or None,
                "label": case.verdict,
                "result": _result(case, states, listed),
                "listed_network_count": listed["probe_asn"].nunique(),
                "network_count": len(here["probe_asn"].unique()),
                "last_seen_open": first.last_seen_open if first else pd.NaT,
                "blocked_from": first.blocked_from if first else pd.NaT,
                "source_url": case.source_url,
            }
        )
    return rows


def _result(case: Case, states: pd.Series, listed: pd.DataFrame) -> str:
    """Return what a report of the days says, as a key of ``vocabulary.CASE_RESULTS``."""
    ended = listed["first_seen_open_again"]
    day, until = pd.Timestamp(case.first_day), case.week.until if case.week else case.first_day
    if case.week:
        changes = pd.concat([listed["blocked_from"], ended]).dropna()
        if any(change.date() in case.week for change in changes):
            return "changed_in_week"
    lasting = listed[ended.isna() | (ended > pd.Timestamp(until))]
    if case.week and (lasting["blocked_from"] < day).any():
        return "listed_throughout"
    if case.week or lasting.empty:
        return "not_listed" if (states != "insufficient").any() else "not_enough_tests"
    if (lasting["last_seen_open"] > day).all():
        return "listed_later"
    is_bracketed = (lasting["last_seen_open"] <= day) & (lasting["blocked_from"] >= day)
    return "listed_from_that_day" if is_bracketed.any() else "listed_earlier"
