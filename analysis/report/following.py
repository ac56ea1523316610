"""One site on one network, followed from its sessions to its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH
from analysis.outcomes.rules import RULES_BY_ID
from analysis.pages.evidence_figure import session_series
from analysis.pages.formats import network_number
from analysis.pages.show import show_figure, show_finding, show_text
from analysis.reference.networks import DOMESTIC
from analysis.report.verdict_words import say_verdict
from analysis.study.study import Study
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
    asns = whole["probe_asn"].map(network_number)
    return whole["domain"].isin([domain] if domain else whole["domain"]) & asns.isin(
        [network_number(probe_asn)] if probe_asn else asns
    )


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
