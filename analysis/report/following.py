"""One site on one network, followed from its sessions to its verdict."""

from dataclasses import dataclass
from math import log
from typing import Any

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
from analysis.tables import list_rows, name_network, read_network
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
    """A site on a network, with the material of its verdict.

    Attributes:
        verdict: the row of ``Judgement.verdicts`` for the whole period, with the ``network``.
        days: of ``count_session_days``.
        stretches: the rows of ``Judgement.intervals``, in order.
    """

    verdict: Any
    days: pd.DataFrame
    stretches: pd.DataFrame

    @property
    def key(self) -> tuple[str, int]:
        """The site, and the number of the network."""
        return self.verdict.domain, int(self.verdict.probe_asn)

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
    """Gather the material of the verdict on one site.

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
    """Return the pairs, those with most to show first."""
    seen_open = intervals[["last_seen_open", "first_seen_open_again"]].notna().any(axis=1)
    changing = pd.MultiIndex.from_frame(intervals.loc[seen_open, ["domain", "probe_asn"]])
    is_listed = whole["state"].isin(LISTED) & whole["kind"].isin(DOMESTIC)
    is_changing = pd.MultiIndex.from_frame(whole[["domain", "probe_asn"]]).isin(changing)
    ranked = whole.assign(
        is_short=whole["session_count"] <= _SHOWN_IN_FULL,
        is_listed=is_listed,
        is_changing=is_listed & is_changing,
        is_weighed=(whole["state"] != "blocked") & (whole["schedule"] == ""),
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
    """Return the contract's ``session_days``: one row per pair and day with a test, in order.

    The counts of classes sum to less than ``session_count`` where a session says nothing.

    Args:
        study: after ``confirm``, whose sessions it holds.
        pairs: frames with ``domain, probe_asn``, each pair any number of times.
    """
    wanted = pd.concat([frame[["domain", "probe_asn"]] for frame in pairs]).drop_duplicates()
    study.connection.register("pairs", wanted.astype({"domain": "str", "probe_asn": "int64"}))
    try:
        return study.connection.execute(_DAYS).df()
    finally:
        study.connection.unregister("pairs")


#: The most rows of a frame that a notebook shows without a cut.
_SHOWN_IN_FULL = 60


def show_followed(study: Study, followed: Followed | None) -> None:
    """Show the sessions, the stretches and the verdict of :func:`follow` as a finding."""
    if followed is None:
        show_text("No site was judged, so there is no site to follow.")
        return
    title = f"{followed.name}: {STATES[followed.verdict.state].words.lower()}"
    reading = say_followed(study, followed)
    show_finding("one-site", f"{title}.", reading, "Nothing is known about days without a test.")
    show_markup(_draw_days(study, followed, reading.striptags()))


#: Class of session → the words beside its line, and how its days look.
_CLASSES = {
    "blocked_session_count": ("Failed as if blocked", "blocked"),
    "unclear_session_count": ("Failed, cause unclear", "hollow"),
    "down_session_count": ("Site down for the control", "hollow"),
    "ok_session_count": ("Reached the site", "tested"),
}


def _draw_days(study: Study, followed: Followed, alt: str) -> Markup:
    """Draw the stretches, and a line per class of session with a bar for each day that had some."""
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
    """Return the verdict in words, the number of tests, and the rule of most blocked sessions."""
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
    sentences = [
        ENGLISH.html(
            "Sessions that tested the site: {n}; days with a session: {days}.",
            n=verdict.session_count,
            days=verdict.day_count,
        )
    ]
    names = study.network_names()
    sentences += say_verdict(ENGLISH, verdict, list_rows(stretches), [], names, study.probe_cc)
    if verdict.rule_id:
        rule = next(candidate for candidate in study.rules if candidate.rule_id == verdict.rule_id)
        sentences.append(
            ENGLISH.html(
                "The rule {rule} explains most blocked sessions: {comment} Condition: {condition}.",
                rule=rule.rule_id,
                comment=Markup.escape(rule.comment),
                condition=Markup("<code>{}</code>").format(rule.condition),
            )
        )
    return Markup(" ").join(sentences)


def count_beyond(judgement: Judgement, line: float) -> int:
    """Return the number of pairs whose evidence reaches a threshold, on all networks.

    Args:
        judgement: what ``confirm`` returned.
        line: an e-value, such as the threshold ``chance_line``.
    """
    weighed = (pair.log_evidence for pair in judgement.country.pairs)
    return sum(evidence is not None and evidence >= log(line) for evidence in weighed)
