"""One site on one network, followed from its sessions to its verdict and to its chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from analysis.languages.language import ENGLISH, pairs_of_chance
from analysis.outcomes.rules import RULES_BY_ID
from analysis.pages.formats import network_number, number, percent
from analysis.pages.plots import evidence_series, session_series
from analysis.pages.show import show_figure, show_finding, show_table, show_text
from analysis.reference.networks import DOMESTIC
from analysis.report.verdict_words import say_verdict
from analysis.study.study import Study
from analysis.verdicts import e_values
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.facts import Floats
from analysis.verdicts.lessons import TERMS
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED, STATES

_DAYS = """
SELECT strftime(day, '%Y-%m-%d') AS day, count(*) AS session_count,
  count(*) FILTER (class = 'blocked') AS blocked_session_count,
  count(*) FILTER (class = 'ok') AS ok_session_count,
  count(*) FILTER (class = 'down') AS down_session_count,
  count(*) FILTER (class = 'unclear') AS unclear_session_count
FROM sessions WHERE domain = $domain AND probe_asn = $probe_asn GROUP BY ALL ORDER BY day
"""


@dataclass(frozen=True)
class Followed:
    """A site on a network, with what its verdict was made from.

    Attributes:
        verdict: the row of ``Judgement.verdicts`` for the whole period, with the ``network``.
        days: one row per day with a test, in order: ``day, session_count,
            blocked_session_count, ok_session_count, down_session_count, unclear_session_count``;
            the last four sum to less where a session says nothing.
        stretches: the rows of ``Judgement.intervals``, in order.
    """

    verdict: Any
    days: pd.DataFrame
    stretches: pd.DataFrame

    @property
    def name(self) -> str:
        """The site and the network, in words."""
        asn = network_number(self.verdict.probe_asn)
        return f"{self.verdict.domain} on {self.verdict.network} ({asn})"


def follow(
    study: Study,
    judgement: Judgement,
    networks: pd.DataFrame,
    domain: str = "",
    probe_asn: str = "",
) -> Followed | None:
    """Gather what the verdict on one site was made from.

    Without a name it is the pair that has most to show: one that an access network lists, whose
    behaviour changed, for which no mark decides and which holds at all hours; of these the one with
    most sessions, of equals the first by name.

    Args:
        study: after ``confirm``, whose sessions it holds.
        judgement: what ``confirm`` returned.
        networks: ``Study.networks``.
        domain: a site; empty for the one with most to show.
        probe_asn: a network, as ``AS123``; empty for the one with most to show.

    Returns:
        None where no such pair was judged.
    """
    verdicts = judgement.verdicts[judgement.verdicts["period"] == "all"]
    whole = verdicts.merge(networks[["probe_asn", "network", "kind"]], on="probe_asn")
    ranked = _rank(whole[_is_wanted(whole, domain, probe_asn)], judgement.intervals)
    if ranked.empty:
        return None
    verdict: Any = next(ranked.itertuples(index=False))
    cell = {"domain": verdict.domain, "probe_asn": int(verdict.probe_asn)}
    stretches = judgement.intervals.merge(pd.DataFrame([cell]), on=["domain", "probe_asn"])
    return Followed(
        verdict=verdict,
        days=study.connection.execute(_DAYS, cell).df(),
        stretches=stretches,
    )


def _is_wanted(whole: pd.DataFrame, domain: str, probe_asn: str) -> pd.Series:
    is_wanted = pd.Series(data=True, index=whole.index)
    if domain:
        is_wanted &= whole["domain"] == domain
    if probe_asn:
        is_wanted &= whole["probe_asn"].map(network_number) == network_number(probe_asn)
    return is_wanted


def _rank(whole: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """The pairs, those with most to show first."""
    seen_open = (intervals["last_seen_open"] != "") | (intervals["first_seen_open_again"] != "")
    changing = pd.MultiIndex.from_frame(intervals.loc[seen_open, ["domain", "probe_asn"]])
    is_listed = whole["state"].isin(LISTED) & whole["kind"].isin(DOMESTIC)
    is_changing = pd.MultiIndex.from_frame(whole[["domain", "probe_asn"]]).isin(changing)
    ranked = whole.assign(
        is_listed=is_listed,
        is_changing=is_listed & is_changing,
        is_weighed=(whole["chance"] != "") & (whole["schedule"] == ""),
    )
    return ranked.sort_values(
        ["is_changing", "is_listed", "is_weighed", "session_count", "domain", "probe_asn"],
        ascending=[False, False, False, False, True, True],
    )


def show_followed(study: Study, followed: Followed | None) -> None:
    """Show the sessions, the stretches and the verdict of :func:`follow` as a finding."""
    if followed is None:
        show_text("No site was judged, so none can be followed.")
        return
    period, verdict = study.periods["all"], followed.verdict
    title = f"{followed.name}: {STATES[verdict.state].words.lower()}"
    told = say_followed(followed, study.network_names(), study.probe_cc)
    show_finding(
        "one-site",
        f"{title}.",
        told,
        "A day on which nobody tested says nothing, neither here nor anywhere in the report.",
    )
    figure = session_series(
        followed.days,
        followed.stretches,
        title=title,
        footer=study.footer(verdict.session_count, "sessions"),
        since=period.since,
        until=period.until,
    )
    show_figure(
        figure,
        alt=f"Sessions by day and by what they show. {told.striptags()}",
        caption="Sessions by day: a mark for each day with such a session, larger where there were "
        "several. The band is the stretch that counts as blocked; where nothing stands, nothing "
        "was tested.",
    )


def say_followed(followed: Followed, names: Mapping[str, str], probe_cc: str) -> Markup:
    """The verdict in words, how much was tested, and the rule that most blocked sessions fired."""
    verdict = followed.verdict._replace(probe_asn=network_number(followed.verdict.probe_asn))
    stretches = followed.stretches.assign(
        blocked_session_count=followed.stretches["session_count"],
        session_count=lambda rows: rows["session_count"] + rows["reached_session_count"],
        note="",
    )
    if len(stretches) and not verdict.blocked_until:  # the last one goes on
        stretches.loc[stretches.index[-1], "blocked_until"] = ""
    rows: Any = list(stretches.itertuples(index=False))
    tested = Markup("{} sessions tested the site on {} days.")
    said = [tested.format(f"{verdict.session_count:,}", verdict.day_count)]
    said += say_verdict(ENGLISH, verdict, rows, [], names, probe_cc)
    if verdict.rule_id:
        rule = RULES_BY_ID[verdict.rule_id]
        fired = Markup("Most blocked sessions fired the rule {}: {}")
        said.append(fired.format(rule.rule_id, rule.comment))
    return Markup(" ").join(said)


#: From whom a rate of failure is learnt, by term.
_TEACHERS = {
    "site": "this site, other operators",
    "version": "this site, same version of the probe, other operators",
    "near": "this site, other operators, within ten days",
    "route": "other sites in the same hosting network, within three days",
    "own": "this site here, outside the block",
    "network": "other sites on this network, by report",
    "session": "other sites in this session",
    "usual": "nobody: what is usual for any site",
}
#: The share of blocked sessions for which the table shows what each session weighs.
_SHARE = 0.95


@dataclass(frozen=True)
class Working:
    """How the chance of one site on one network comes about.

    Attributes:
        sessions: one row a session that counts, in order of time: ``time, is_hit``; ``rate``, how
            often it would fail if nobody blocked; ``site_rate, site_teacher`` and ``probe_rate,
            probe_teacher``, of which it is made; ``weight``, how many times likelier it is where
            95 of 100 sessions are blocked.
        days: one row a tested day: ``day`` and ``evidence``, the e-value's share up to it.
        evidence: the e-value: 1 / ``chance``.
        line: the e-value from which on a pair is listed.
    """

    sessions: pd.DataFrame
    days: pd.DataFrame
    evidence: float
    line: float


def show_chance(judgement: Judgement, share: float) -> None:
    """Show as a finding how many of the listed pairs may be there by chance.

    Args:
        judgement: what ``confirm`` returned.
        share: the threshold ``chance_share``.
    """
    whole = judgement.verdicts[judgement.verdicts["period"] == "all"]
    is_listed = whole["state"].isin(LISTED) & whole["is_domestic"].astype(bool)
    count = int((is_listed & (whole["chance"] != "")).sum())
    line = exp(-judgement.line)
    chances = judgement.chances
    is_access = chances["probe_asn"].isin(whole.loc[whole["is_domestic"].astype(bool), "probe_asn"])
    above = int((is_access & (chances["chance"] <= line)).sum())
    if not above:
        show_text("No pair of site and network is listed because chance does not explain it.")
        return
    show_finding(
        "chance",
        f"{count:,} pairs of a site and an access network are listed because chance does not "
        f"explain them; at most one in {number(1 / share)} is there by chance all the same.",
        f"Of {pairs_of_chance(line):,} pairs of site and network that nobody blocks, about one "
        "would look like the least of them, and fewer like the others. That is where the line for "
        f"this list lies: {above:,} pairs are beyond it by some way of failing, of which at most "
        f"{share * above:.1f} {'is' if share * above <= 1 else 'are'} to be expected there by "
        "chance. Those that are withheld for another reason stand below; what a mark decides "
        "needs no line.",
        "Chance is what tests by other operators, and of other sites, show to fail by itself. A "
        "lasting fault between one network and one site is not chance, and looks like a block.",
    )


def work_out(study: Study, judgement: Judgement, verdict: Any) -> Working | None:
    """Work through the evidence on one site and network.

    Args:
        study: after ``confirm``, whose sessions its connection holds.
        judgement: what ``confirm`` returned.
        verdict: a row of its verdicts.

    Returns:
        None where nothing is weighed (too few sessions failed in one way, or a mark decides), and
        where the block holds at hours of the week, whose search has a price of its own.
    """
    evidence = judgement.evidence
    which = _find_series(study, evidence, verdict)
    if which is None or evidence.schedules.get(which):
        return None
    series, at = evidence.series, evidence.series.places_of(which)
    is_hit, rates = series.is_hit[at], evidence.rates[at]
    sessions = pd.DataFrame({"time": series.column("time", at), "is_hit": is_hit, "rate": rates})
    sessions = sessions.join(_name_teachers(evidence, which)).assign(
        weight=np.exp(e_values.log_ratios(is_hit, rates, _SHARE))
    )
    return Working(
        sessions, _add_up(evidence, which), exp(min(evidence.log_evidence[which], 700.0)),
        exp(min(evidence.line, 700.0)),
    )  # fmt: skip


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


def _name_teachers(evidence: Evidence, which: int) -> pd.DataFrame:
    """The larger of the shares that make up each rate, and what they were learnt from, in words."""
    lessons = evidence.expected.lessons.of_series(which)
    rates = evidence.rates[evidence.series.places_of(which)]
    shares, told = lessons.shares(), lessons.spread()
    site, probe = shares[:4].argmax(axis=0), 4 + shares[4:].argmax(axis=0)
    place = np.arange(shares.shape[1])
    is_own = rates > lessons.rates() + 1e-9
    return pd.DataFrame({
        "site_rate": np.where(is_own, rates, shares[site, place]),
        "site_teacher": np.where(is_own, _TEACHERS["own"], _teachers_in_words(*told, site)),
        "probe_rate": np.where(is_own, np.nan, shares[probe, place]),
        "probe_teacher": np.where(is_own, "", _teachers_in_words(*told, probe)),
    })  # fmt: skip


def _teachers_in_words(
    all_hits: Floats, all_sessions: Floats, terms: NDArray[np.int64]
) -> list[str]:
    """Such as: this site, other operators: 3 of 812 sessions. A network's sessions are reports."""
    places = np.arange(len(terms))
    hits, sessions = all_hits[terms, places], all_sessions[terms, places]
    return [
        f"{_TEACHERS[TERMS[term]]}: {number(round(failed, 1))} of {number(round(heard))}"
        if heard
        else _TEACHERS["usual"]
        for term, failed, heard in zip(terms, hits, sessions, strict=True)
    ]


def _add_up(evidence: Evidence, which: int) -> pd.DataFrame:
    """The e-value as the days of a series add up."""
    series, days = evidence.series, e_values.find_days(evidence.series)
    first, last = np.searchsorted(days, series.starts[which : which + 2])
    running = np.full(evidence.by_day.shape[1], -np.inf)
    sums, total = [], running.copy()
    for day in evidence.by_day[first:last]:
        running = np.logaddexp(running, 0.0) + day
        total = np.logaddexp(total, running)
        sums.append(np.logaddexp.reduce(total) - log(len(total)))
    price = e_values.log_stretch_count(np.array([last - first]))[0] - log(e_values.OF_DAYS)
    return pd.DataFrame({
        "day": series.column("day")[days[first:last]],
        "evidence": np.exp(np.clip(np.array(sums) - price, -700, 700)),
    })  # fmt: skip


def show_working(study: Study, judgement: Judgement, followed: Followed | None) -> None:
    """Show what each session of a case weighs: in words, as a figure and as a table.

    Args:
        study: after ``confirm``.
        judgement: what ``confirm`` returned.
        followed: the case, see ``following.follow``.
    """
    working = work_out(study, judgement, followed.verdict) if followed else None
    if followed is None or working is None:
        show_text(
            "Here no chance is worked out: a mark that only blocking leaves decides, the block "
            "holds at hours of the week, or the pair is not listed. Name another one."
        )
        return
    show_text(_explain(working))
    period, name = study.periods["all"], followed.name
    figure = evidence_series(
        working.sessions, working.days, line=working.line,
        title=f"{name}: the evidence, session by session",
        footer=study.footer(len(working.sessions), "sessions"),
        since=period.since, until=period.until,
    )  # fmt: skip
    show_figure(
        figure,
        alt="Above, how often a session like each one fails by itself, marked by whether it "
        "failed; below, the evidence as the days add up, with the line for the list. The table "
        "has the numbers.",
        caption="Above: each session, at how often one like it fails by itself. Below: the "
        "evidence of all stretches up to each day (10⁵ is a 1 with five zeros); the dashed line "
        "is that for the list.",
    )
    _show_sessions(working, name)


def _explain(working: Working) -> str:
    """The sum in words."""
    sessions, days = working.sessions, len(working.days)
    failed = sessions[sessions["is_hit"]]
    shares = " to ".join(dict.fromkeys(map(percent, (failed["rate"].min(), failed["rate"].max()))))
    mean = (
        f"the mean is taken over all {days * (days + 1) // 2:,} stretches of the {days} tested "
        "days, whichever one would have picked; nine tenths of it count, since hours of the week "
        "are asked about as well"
    )
    return (
        f"{len(sessions)} sessions count here: {len(failed)} failed in one way, the others reached "
        "the site; what failed in another way says nothing. Going by what others see, sessions "
        f"like those that failed do so by themselves in {shares} of all cases. Each "
        "failure therefore counts as many times likelier as it is under a block, and each session "
        "that got through as many times less likely. The days are multiplied, and "
        f"{mean}. Where nobody blocks the result is no more than 1 on average; here it says that "
        f"of {pairs_of_chance(1 / working.evidence):,} pairs that nobody blocks, at most about one "
        f"would look like this. The list begins at one in {pairs_of_chance(1 / working.line):,}."
    )


def _show_sessions(working: Working, name: str) -> None:
    sessions = working.sessions
    shows = sessions["is_hit"].map({True: "failed", False: "reached"})
    columns = ["time", "shows", "rate", "site_rate", "site_teacher", "probe_rate",
               "probe_teacher", "weight"]  # fmt: skip
    shares = {name: name.replace("rate", "share") for name in columns}
    ordered = sessions.assign(shows=shows).sort_values("is_hit", ascending=False, kind="stable")
    show_table(
        ordered[columns].rename(columns=shares),
        caption=f"Sessions of {name}, and what each is compared with",
        note="It would fail by itself in 1 − (1 − site) · (1 − probe) of all cases, taken as "
        "1 % at least and 99 % at most. Behind each share stand the failures and the sessions (on "
        "a network the reports, each one vote) that it was learnt from; four more are lent by "
        "what is usual. The weight is that for a block which holds in 95 of 100 sessions; 75 and "
        "50 are tried besides, and the mean of the three counts. The sessions of one day count no "
        "more than the clearest of them twice.",
        fold_after=5,
        is_printed=False,
        headings={
            "time": "Began, UTC", "shows": "The site was", "share": "Fails by itself",
            "site_share": "Site", "site_teacher": "Learnt from", "probe_share": "Probe",
            "probe_teacher": "Learnt from", "weight": "Times likelier",
        },
    )  # fmt: skip
