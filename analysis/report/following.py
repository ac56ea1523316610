"""One site on one network, followed from its sessions to its verdict and to its chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError, suggest
from analysis.languages.language import ENGLISH
from analysis.outcomes.rules import RULES_BY_ID
from analysis.pages.formats import network_number, number, percent
from analysis.pages.plots import evidence_series, session_series
from analysis.pages.show import show_figure, show_finding, show_table, show_text
from analysis.reference.networks import DOMESTIC
from analysis.report.verdict_words import say_verdict
from analysis.study.study import Study
from analysis.verdicts import e_values
from analysis.verdicts.blocks import Evidence
from analysis.verdicts.e_values import Floats
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

    Raises:
        ParameterError: the site was never tested.
    """
    verdicts = judgement.verdicts[judgement.verdicts["period"] == "all"]
    whole = verdicts.merge(networks[["probe_asn", "network", "kind"]], on="probe_asn")
    if domain and domain not in set(whole["domain"]):
        raise ParameterError(
            "domain", domain, f"was never tested{suggest(domain, whole['domain'])}"
        )
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
        "several. The band is the stretch that counts as blocked; where there is no mark, nothing "
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


@dataclass(frozen=True)
class Working:
    """How the evidence on one site on one network comes about.

    Attributes:
        sessions: one row a session that counts, in order of time: ``time, is_hit``; ``rate``, what
            it is held against; ``weight``, how many times likelier it is during a block.
        days: one row a tested day: ``day`` and ``evidence``, the e-value after it.
        base: how often a session would fail by itself, before the pair says so.
        site, network: the shares that this is made of, and what they were learnt from.
        evidence: the e-value.
        line: the e-value from which on a pair is listed by itself.
    """

    sessions: pd.DataFrame
    days: pd.DataFrame
    base: float
    site: tuple[float, str]
    network: tuple[float, str]
    evidence: float
    line: float


def show_chance(judgement: Judgement, line: float) -> None:
    """Show as a finding how many of the listed pairs are listed because accidents look otherwise.

    Args:
        judgement: what ``confirm`` returned.
        line: the threshold ``chance_line``.
    """
    whole = judgement.verdicts[judgement.verdicts["period"] == "all"]
    is_listed = whole["state"].isin(LISTED) & whole["is_domestic"].astype(bool)
    count = int((is_listed & (whole["chance"] != "")).sum())
    if not count:
        show_text("No pair of site and network is listed because its failures are no accidents.")
        return
    show_finding(
        "chance",
        f"{count:,} pairs of a site and an access network are listed because their failures are "
        "not accidents such as others meet.",
        f"If the failures of a pair were accidents such as others meet here, less than one such "
        f"pair in {number(line)} would look like it. The rates of accidents are learnt from the "
        "same measurements, so nothing is said of what is rarer still. What a mark decides needs "
        "no such line; what has another explanation is shown below.",
        "A lasting fault between one network and one site is no accident, and looks like a block.",
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
    lessons = evidence.expected.lessons
    sessions = pd.DataFrame({
        "time": series.column("time", at), "is_hit": is_hit, "rate": rates,
        "weight": np.exp(e_values.weigh_sessions(series.some(which, which + 1), rates)),
    })  # fmt: skip
    return Working(
        sessions, _add_up(evidence, which),
        base=float(evidence.expected.base()[at.start]),
        site=_teach(lessons.site(), lessons.site_failures, lessons.site_sessions, which),
        network=_teach(
            lessons.network(), lessons.network_failures, lessons.network_reports, which
        ),
        evidence=exp(min(evidence.log_evidence[which], 700.0)),
        line=study.thresholds.chance_line,
    )  # fmt: skip


def _teach(shares: Floats, failures: Floats, sessions: Floats, which: int) -> tuple[float, str]:
    """A share, and what it was learnt from."""
    told = f"{number(round(failures[which], 1))} of {number(round(sessions[which]))}"
    return float(shares[which]), told if sessions[which] else ""


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


def _add_up(evidence: Evidence, which: int) -> pd.DataFrame:
    """The e-value as the days of a series add up."""
    series, days = evidence.series, e_values.find_days(evidence.series)
    first, last = np.searchsorted(days, series.starts[which : which + 2])
    return pd.DataFrame({
        "day": series.column("day")[days[first:last]],
        "evidence": np.exp(np.clip(evidence.so_far[first:last], -700, 700)),
    })  # fmt: skip


def show_working(study: Study, judgement: Judgement, followed: Followed | None) -> None:
    """Show what each session of a case weighs: in words, as a figure and as a table.

    Args:
        study: after ``confirm``.
        judgement: what ``confirm`` returned.
        followed: the case, see ``follow``.
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
        "evidence after each day (10⁵ is a 1 with five zeros); the dashed line "
        "is that for the list.",
    )
    _show_sessions(working, name)


def _explain(working: Working) -> str:
    """The sum in words."""
    sessions, days = working.sessions, len(working.days)
    failed = int(sessions["is_hit"].sum())
    learnt = " and ".join(
        f"{what} in {percent(share)} of all cases{f' ({told})' if told else ''}"
        for what, (share, told) in (
            ("this site fails so for other operators", working.site),
            ("other sites fail so on this network", working.network),
        )
    )
    mean = (
        "Nobody knows when a block begins and ends, so the evidence is a mean: half of it over "
        f"all {days * (days + 1) // 2:,} stretches of the {days} tested days, half over blocks "
        "that last from the first test on or come again after an opening. Nine tenths of it "
        "count, since hours of the week are asked about as well."
    )
    return (
        f"{len(sessions)} sessions count here: {failed} failed in one way, the others reached the "
        f"site; what failed in another way says nothing. Going by what others see, {learnt}, "
        f"together {percent(working.base)}. Each session is compared with that and with what "
        "failed here before it, (earlier failures + 8 × that share) ÷ (earlier sessions + 8). "
        "During a block (earlier failures + 3) ÷ (earlier sessions + 4) are expected to fail, at "
        "least 75 % and at most 95 %. A failure counts as many times as it is likelier then, a "
        "session that got through as many times as it is less likely. The days are multiplied. "
        f"{mean} If the failures were accidents such as others meet here, the result would be no "
        f"more than 1 on average; here it is {_say_evidence(working.evidence)}. The list begins at "
        f"{number(working.line)}."
    )


def _say_evidence(evidence: float) -> str:
    return number(round(evidence, 1)) if evidence < 1000 else "more than 1,000"


def _show_sessions(working: Working, name: str) -> None:
    sessions = working.sessions
    shows = sessions["is_hit"].map({True: "failed", False: "reached"})
    ordered = sessions.assign(shows=shows, share=sessions["rate"]).sort_values(
        "is_hit", ascending=False, kind="stable"
    )
    show_table(
        ordered[["time", "shows", "share", "weight"]],
        caption=f"Sessions of {name}, and what each is compared with",
        note="The share is at least 1 % and at most 99 %. Where it is as large as the share that "
        "is expected to fail during a block, a session weighs nothing. The sessions of one day "
        "count no more than the clearest of them twice.",
        fold_after=5,
        is_printed=False,
        headings={
            "time": "Began, UTC", "shows": "The site was", "share": "Compared with",
            "weight": "Times likelier",
        },
    )  # fmt: skip
