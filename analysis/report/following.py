"""One site on one network, followed from its sessions to its verdict."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.outcomes.rules import RULES_BY_ID
from analysis.pages.evidence_figure import session_series
from analysis.pages.formats import network_number
from analysis.pages.show import show_figure, show_finding, show_text
from analysis.reference.networks import DOMESTIC
from analysis.study.study import Study
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED, MECHANISMS, STATES

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
    show_finding("one-site", _claim(followed), _reading(followed), _caveat(followed))
    period, verdict = study.periods["all"], followed.verdict
    figure = session_series(
        followed.days,
        followed.stretches,
        title=f"{followed.name}: {STATES[verdict.state].words.lower()}",
        footer=study.footer(verdict.session_count, "sessions"),
        since=period.since,
        until=period.until,
    )
    show_figure(
        figure,
        alt=f"Sessions by day and by what they show. {_claim(followed)} {_reading(followed)}",
        caption="Sessions by day: a mark for each day with such a session, larger where there were "
        "several. The band is the stretch that counts as blocked; where nothing stands, nothing "
        "was tested.",
    )


def _claim(followed: Followed) -> str:
    """The state, and from when to when each stretch was blocked."""
    verdict, stretches = followed.verdict, followed.stretches
    untils = list(stretches["blocked_until"])
    if untils and not verdict.blocked_until:
        untils[-1] = "the last tests"
    dates = [
        f"from {first} to {last}"
        for first, last in zip(stretches["blocked_from"], untils, strict=True)
    ]
    words = STATES[verdict.state].words.lower()
    return f"{followed.name}: {' '.join([words, ' and '.join(dates)]).strip()}."


def _reading(followed: Followed) -> str:
    """The counts, where the series was cut, and which rule fired."""
    verdict = followed.verdict
    counts = {
        "were blocked": verdict.blocked_session_count,
        "reached it": verdict.ok_session_count,
        "found it down, as the control did": verdict.down_session_count,
    }
    counts["say nothing clear"] = verdict.session_count - sum(counts.values())
    shown = [f"{count} {words}" for words, count in counts.items() if count]
    tested = f"{verdict.session_count} sessions tested the site on {verdict.day_count} days: "
    cuts = [_cut(stretch) for stretch in followed.stretches.itertuples(index=False)]
    return " ".join([f"{tested}{', '.join(shown)}.", *cuts, *_rule(verdict)])


def _cut(stretch: Any) -> str:
    before, again = stretch.last_seen_open, stretch.first_seen_open_again
    edges = [
        f"it was last seen open before on {before}" if before else "it was not seen open before",
        f"and open again on {again}" if again else "and not again after it",
    ]
    return (
        f"The stretch from {stretch.blocked_from} to {stretch.blocked_until} holds "
        f"{stretch.session_count} blocked sessions on {stretch.day_count} days"
        f"{f', at {stretch.schedule} UTC only' if stretch.schedule else ''}; {', '.join(edges)}."
    )


def _rule(verdict: Any) -> list[str]:
    if not verdict.rule_id:
        return []
    rule = RULES_BY_ID[verdict.rule_id]
    mechanism = MECHANISMS.get(verdict.mechanism, verdict.mechanism)
    return [f"Most blocked sessions fired the rule {rule.rule_id} ({mechanism}): {rule.comment}"]


def _caveat(followed: Followed) -> str:
    count = followed.verdict.sessions_to_flip
    return (
        f"Forging {count} session{'' if count == 1 else 's'} could change this state. A day on "
        "which nobody tested says nothing, neither here nor anywhere in the report."
    )
