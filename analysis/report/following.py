"""One site on one network, followed from its sessions to its verdict and to its chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError, suggest
from analysis.languages.language import ENGLISH
from analysis.pages.formats import pair_target
from analysis.pages.show import show_finding, show_markup, show_text
from analysis.pages.tracks import (
    Bar,
    Row,
    draw_figure,
    draw_tracks,
    month_marks,
    place_of,
    span_bars,
)
from analysis.reference.networks import DOMESTIC
from analysis.report.verdict_words import say_verdict
from analysis.study.study import Study
from analysis.tables import TABLES, list_rows, name_network, read_network
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.rates import LEAST
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED, STATES

_DAYS = """
SELECT domain, probe_asn, day, count(*) AS session_count,
  count(*) FILTER (class = 'blocked') AS blocked_session_count,
  count(*) FILTER (class = 'ok') AS ok_session_count,
  count(*) FILTER (class = 'down') AS down_session_count,
  count(*) FILTER (class = 'unclear') AS unclear_session_count
FROM sessions JOIN pairs USING (domain, probe_asn) GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Followed:
    """A site on a network, with what its verdict was made from.

    Attributes:
        verdict: the row of ``Judgement.verdicts`` for the whole period, with the ``network``.
        days: of ``count_session_days``.
        stretches: the rows of ``Judgement.intervals``, in order.
    """

    verdict: Any
    days: pd.DataFrame
    stretches: pd.DataFrame

    @property
    def name(self) -> str:
        """The site and the network, in words."""
        return ENGLISH.say(
            "{site} on {network}",
            site=self.verdict.domain,
            network=name_network(self.verdict.network, self.verdict.probe_asn),
        )


def follow(
    study: Study,
    judgement: Judgement,
    networks: pd.DataFrame,
    domain: str = "",
    probe_asn: int | str = "",
) -> Followed | None:
    """Gather what the verdict on one site was made from.

    Without a name, it prefers a pair that an access network lists, whose behaviour changed, for
    which no trace decides, which is blocked at all hours, and that has few enough sessions to be
    shown in full; of these the pair with most sessions, then the first by name.

    Args:
        study: after ``confirm``, whose sessions it holds.
        judgement: what ``confirm`` returned.
        networks: ``Study.networks``.
        domain: a site; empty for the one with most to show.
        probe_asn: the number of a network; empty for the one with most to show.

    Returns:
        None where no such pair was judged.

    Raises:
        ParameterError: the site was never tested.
    """
    verdicts = judgement.verdicts[judgement.verdicts["period"] == "all"]
    whole = verdicts.merge(networks[["probe_asn", "network", "kind"]], on="probe_asn")
    if domain and domain not in set(whole["domain"]):
        raise ParameterError(
            "domain", domain, f"was never tested{suggest(domain, whole['domain'])}"
        )
    if domain:
        whole = whole[whole["domain"] == domain]
    if probe_asn != "":
        whole = whole[whole["probe_asn"] == read_network(probe_asn)]
    ranked = _rank(whole, judgement.intervals)
    if ranked.empty:
        return None
    (verdict,) = list_rows(ranked.head(1))
    cell = {"domain": verdict.domain, "probe_asn": int(verdict.probe_asn)}
    stretches = judgement.intervals.merge(pd.DataFrame([cell]), on=["domain", "probe_asn"])
    return Followed(
        verdict=verdict,
        days=count_session_days(study, pd.DataFrame([cell])),
        stretches=stretches,
    )


def _rank(whole: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """The pairs, those with most to show first."""
    seen_open = intervals[["last_seen_open", "first_seen_open_again"]].notna().any(axis=1)
    changing = pd.MultiIndex.from_frame(intervals.loc[seen_open, ["domain", "probe_asn"]])
    is_listed = whole["state"].isin(LISTED) & whole["kind"].isin(DOMESTIC)
    is_changing = pd.MultiIndex.from_frame(whole[["domain", "probe_asn"]]).isin(changing)
    ranked = whole.assign(
        is_short=whole["session_count"] <= _SHOWN_IN_FULL,
        is_listed=is_listed,
        is_changing=is_listed & is_changing,
        is_weighed=whole["chance"].notna() & (whole["schedule"] == ""),
    )
    return ranked.sort_values(
        [
            "is_changing",
            "is_listed",
            "is_weighed",
            "is_short",
            "session_count",
            "domain",
            "probe_asn",
        ],
        ascending=[False, False, False, False, False, True, True],
    )


def count_session_days(study: Study, *pairs: pd.DataFrame) -> pd.DataFrame:
    """The contract's ``session_days``: one row per pair and day with a test, in order.

    The counts of classes sum to less than ``session_count`` where a session says nothing.

    Args:
        study: after ``confirm``, whose sessions it holds.
        pairs: frames with ``domain, probe_asn``, each pair any number of times.
    """
    asked = pd.concat([one[["domain", "probe_asn"]] for one in pairs]).drop_duplicates()
    study.connection.register("pairs", asked.astype({"domain": "str", "probe_asn": "int64"}))
    try:
        return study.connection.execute(_DAYS).df()
    finally:
        study.connection.unregister("pairs")


def tabulate_working(
    followed: Followed | None, working: "Working | None"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The contract's ``followed_sessions`` and ``followed_rates``; no row where nothing is weighed.

    Args:
        followed: of ``follow``.
        working: of ``work_out``.
    """
    if followed is None or working is None:
        return _no_rows("followed_sessions"), _no_rows("followed_rates")
    learnt = working.lessons
    rates = {
        "usual_share": learnt["usual"],
        "site_failure_count": learnt["site_failures"],
        "site_session_count": learnt["site_sessions"],
        "network_failure_count": learnt["network_failures"],
        "network_session_count": learnt["network_sessions"],
        "base_share": working.base,
        "evidence": working.evidence,
    }
    values = [f"{value:.9g}" for value in rates.values()]
    named = pd.DataFrame({"name": list(rates), "value": values})
    return _name_pair(followed, working.sessions), named


def _name_pair(followed: Followed, rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(domain=followed.verdict.domain, probe_asn=followed.verdict.probe_asn)


def _no_rows(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(TABLES[name].columns))


#: Rows that a frame may have in a notebook without being cut.
_SHOWN_IN_FULL = 60


def show_followed(study: Study, followed: Followed | None) -> None:
    """Show the sessions, the stretches and the verdict of :func:`follow` as a finding."""
    if followed is None:
        show_text("No site was judged, so there is no site to follow.")
        return
    title = f"{followed.name}: {STATES[followed.verdict.state].words.lower()}"
    told = say_followed(study, followed)
    show_finding("one-site", f"{title}.", told, "Nothing is known about days without a test.")
    show_markup(_draw_days(study, followed, told.striptags()))


#: Class of session → the words beside its line, and how its days look.
_CLASSES = {
    "blocked_session_count": ("Failed as if blocked", "blocked"),
    "unclear_session_count": ("Failed, cause unclear", "hollow"),
    "down_session_count": ("Site down for the control", "hollow"),
    "ok_session_count": ("Reached the site", "tested"),
}


def _draw_days(study: Study, followed: Followed, alt: str) -> Markup:
    """The stretches, and a line per class of session with a bar for each day that had some."""
    period, days = study.periods["all"], followed.days
    stretches = followed.stretches.to_dict("records")
    bars = [bar for stretch in stretches for bar in span_bars(stretch, period)]
    opens = pair_target(followed.verdict.domain, followed.verdict.probe_asn)
    rows = [Row("Periods that count as blocked", tuple(bars), opens=opens)]
    for column, (words, look) in _CLASSES.items():
        starts = [place_of(day.date(), period) for day in days.loc[days[column] > 0, "day"]]
        marks = tuple(Bar(start, start + 1 / period.day_count, look) for start in starts)
        rows.append(Row(words, marks, "", ENGLISH.number(int(days[column].sum())), opens))
    tracks = draw_tracks(
        rows, ("Result of a session", "Time", "Sessions"), month_marks(ENGLISH, period)
    )
    footer = study.footer(followed.verdict.session_count, "sessions")
    reading = f"Each mark is a day with sessions of one result. {footer}"
    return draw_figure(tracks, f"Sessions by day and result. {alt}", reading)


def say_followed(study: Study, followed: Followed) -> Markup:
    """The verdict in words, how much was tested, and the rule that most blocked sessions fired."""
    verdict = followed.verdict
    stretches = followed.stretches.assign(
        blocked_session_count=followed.stretches["session_count"],
        session_count=lambda rows: rows["session_count"] + rows["reached_session_count"],
        note="",
    )
    if len(stretches):  # the verdict says how the last one ends
        stretches.loc[stretches.index[-1], ["blocked_until", "note"]] = (
            verdict.blocked_until,
            verdict.note,
        )
    said = [
        ENGLISH.html(
            "Sessions that tested the site: {n}; days with a session: {days}.",
            n=verdict.session_count,
            days=verdict.day_count,
        )
    ]
    names = study.network_names()
    said += say_verdict(ENGLISH, verdict, list_rows(stretches), [], names, study.probe_cc)
    if verdict.rule_id:
        rule = next(one for one in study.rules if one.rule_id == verdict.rule_id)
        said.append(
            ENGLISH.html(
                "The rule {rule} explains most blocked sessions: {comment} Condition: {condition}.",
                rule=rule.rule_id,
                comment=Markup.escape(rule.comment),
                condition=Markup("<code>{}</code>").format(rule.condition),
            )
        )
    return Markup(" ").join(said)


@dataclass(frozen=True)
class Working:
    """How the evidence on one site on one network is computed.

    Attributes:
        sessions: one row a session that counts, in order of time: ``time`` (with
            ``WITNESSES=none`` by the hour), ``is_hit``.
        uncounted: why other sessions do not count → how many.
        base: the rate of accidents before the pair's own sessions adjust it.
        lessons: what it was learnt from, the row of ``rates.Lessons.table``.
        site, network: the two shares that give ``base``.
        evidence: the e-value.
        line: the e-value from which on a pair without a trace is listed.
    """

    sessions: pd.DataFrame
    uncounted: Mapping[str, int]
    base: float
    lessons: Any
    site: float
    network: float
    evidence: float
    line: float


def show_chance(judgement: Judgement, line: float) -> None:
    """Show as a finding how many pairs are listed by their chance, without a trace.

    Args:
        judgement: what ``confirm`` returned.
        line: the threshold ``chance_line``.
    """
    whole = judgement.verdicts[judgement.verdicts["period"] == "all"]
    is_listed = whole["state"].isin(LISTED) & whole["is_domestic"].astype(bool)
    evidence = judgement.evidence
    is_beyond = evidence.series.is_weighed & (evidence.log_evidence >= log(line))
    show_finding(
        "chance",
        ENGLISH.say(
            "Pairs of a site and an access network that are listed because their failures are "
            "unlikely to be accidents: {n}.",
            n=int((is_listed & whole["chance"].notna()).sum()),
        ),
        ENGLISH.say(
            "Weighed pairs, on all networks: {weighed}. Pairs whose evidence reaches {line}: "
            "{reached}; any that are not listed have another explanation, or too few sessions or "
            "days (next section), or are on no access network. If all failures were accidents, at"
            " most 1 in {line} pairs would reach it. The rates of accidents are estimated from "
            "the same measurements, so no smaller chance is given. This threshold does not apply "
            "to pairs with a trace of blocking.",
            weighed=len(judgement.chances),
            line=line,
            reached=len(np.unique(evidence.series.cell[is_beyond])),
        ),
        "A lasting fault between one network and one site looks like a block.",
    )


def work_out(study: Study, judgement: Judgement, verdict: Any) -> Working | None:
    """Work through the evidence on one site and network.

    Args:
        study: after ``confirm``, whose sessions its connection holds.
        judgement: what ``confirm`` returned.
        verdict: a row of its verdicts.

    Returns:
        None where nothing is weighed (too few sessions failed in one way, or a mark decides), and
        where the block applies at hours of the week only, whose search has a price of its own.
    """
    evidence = judgement.evidence
    which = _find_series(study, evidence, verdict)
    if which is None or evidence.schedules.get(which):
        return None
    series, at = evidence.series, evidence.series.places_of(which)
    lessons, times = evidence.lessons, series.column("time", at)
    if not study.parameters.has_witnesses:
        times = times.astype("datetime64[h]").astype(times.dtype)
    return Working(
        pd.DataFrame({"time": times, "is_hit": series.is_hit[at]}),
        uncounted=_count_uncounted(study, series.column("place", at), verdict),
        base=float(lessons.base(series)[at.start]),
        lessons=lessons.table.iloc[which],
        site=float(lessons.share("site")[which]),
        network=float(lessons.share("network")[which]),
        evidence=exp(min(evidence.log_evidence[which], 700.0)),
        line=study.thresholds.chance_line,
    )


_OTHERS = """
SELECT CASE WHEN class = 'none' THEN 'no result that can be interpreted'
    WHEN class = 'down' THEN 'the site was down for the control too'
    WHEN NOT is_speaking THEN 'the test asked a resolver that does not speak for the network'
    ELSE 'the test failed in another way' END AS why, count(*)
FROM told_sessions
WHERE domain = $domain AND probe_asn = $probe_asn AND NOT list_contains($places, place)
GROUP BY why ORDER BY why
"""


def _count_uncounted(study: Study, places: np.ndarray, verdict: Any) -> dict[str, int]:
    """Why sessions of a pair are not at one of the ``places`` that count → how many."""
    given = {
        "domain": verdict.domain,
        "probe_asn": int(verdict.probe_asn),
        "places": places.tolist(),
    }
    return dict(study.connection.execute(_OTHERS, given).fetchall())


def _find_series(study: Study, evidence: Evidence, verdict: Any) -> int | None:
    """The most surprising series of a pair."""
    series = evidence.series
    query = "SELECT enum_code(?::host_name)::INTEGER"
    ((code,),) = study.connection.execute(query, [verdict.domain]).fetchall()
    cells = series.cells
    is_pair = (cells["domain"] == code) & (cells["probe_asn"] == int(verdict.probe_asn))
    numbers = np.flatnonzero(is_pair.to_numpy()[series.cell] & series.is_weighed)
    if not len(numbers) or not verdict.chance:
        return None
    return int(numbers[np.argmax(evidence.log_evidence[numbers])])


def show_working(working: Working | None) -> None:
    """Show in words what the sessions of a case weigh.

    Args:
        working: of ``work_out``.
    """
    if working is None:
        show_text(
            "This pair has no evidence to compute: a trace of blocking decides, the block applies "
            "only at certain hours of the week, or the pair is not listed."
        )
        return
    show_text(*_explain(working))


def _explain(working: Working) -> list[str]:
    """The computation in words, a text a paragraph."""
    day_count = working.sessions["time"].dt.date.nunique()
    hit_count = int(working.sessions["is_hit"].sum())
    others = "; ".join(f"{why}: {count:,}" for why, count in working.uncounted.items())
    lessons = working.lessons
    return [
        ENGLISH.say(
            "Sessions that count: {failed} failed in the same way and {reached} reached the site. "
            "Sessions that do not count: {others}. All dates are those of the sessions that count.",
            failed=hit_count,
            reached=len(working.sessions) - hit_count,
            others=others or "none",
        ),
        ENGLISH.say(
            "How often would such a test fail by accident? Failures that may be a block themselves "
            "are left out of all shares. On average over all sites, {usual} of sessions fail in "
            "this way. Sessions of other operators with this site: {site_sessions}; those that "
            "failed in the same way: {site_failures}. If 4 imagined sessions with the average "
            "share are added, so that no rate is zero, this gives {site}. On this network there are"
            " {network_sessions} sessions with other sites; {network_failures} of them failed in "
            "the same way (a session in which a tenth of the sites fails counts as a tenth); with "
            "4 imagined sessions, this gives {network}. Together: "
            "1 − (1 − {site}) × (1 − {network}), but at least {least}. The result is {base}.",
            usual=_say_share(lessons["usual"]),
            site=_say_share(working.site),
            site_failures=round(lessons["site_failures"]),
            site_sessions=round(lessons["site_sessions"]),
            network_failures=round(lessons["network_failures"], 3),
            network_sessions=round(lessons["network_sessions"]),
            network=_say_share(working.network),
            base=_say_share(working.base),
            least=_say_share(LEAST),
        ),
        ENGLISH.say(
            "For each session, the expected rate of accidents is (earlier failures + 8 × {base}) ÷ "
            "(earlier sessions + 8), at least {least} and at most 99 %. During a block, the "
            "expected share of failures is (failures in a row just before + 3) ÷ (failures in a "
            "row just before + 4), at most 95 %. The weight of a failed session is share ÷ rate, "
            "that of a session that reached the site (1 − share) ÷ (1 − rate). The weights of one "
            "day are multiplied, but a day counts for no more than the square of its largest "
            "weight.",
            base=_say_share(working.base),
            least=_say_share(LEAST),
        ),
        ENGLISH.say(
            "Nobody knows when a block begins and ends, so the evidence is a mean. Half of it "
            "covers all {stretches} possible runs of consecutive test days (there are {n} days "
            "with a session that counts). The other half covers blocks that last from the first "
            "test on, or that return after a time without a block. The mean is multiplied by 0.9; "
            "the remaining 0.1 is for blocks at certain hours of the week. If nothing were "
            "blocked, the result would be 1 or less on average. Here it is {evidence}. A pair is "
            "listed from {line} on, unless something else may explain its failures.",
            stretches=day_count * (day_count + 1) // 2,
            n=day_count,
            evidence=_say_evidence(working.evidence),
            line=working.line,
        ),
    ]


def _say_share(share: float) -> str:
    """A share with digits enough to compute with."""
    return f"{np.format_float_positional(100 * share, 3, fractional=False, trim='-')} %"


def _say_evidence(evidence: float) -> str:
    return ENGLISH.number(round(evidence, 1)) if evidence < 1000 else "more than 1,000"
