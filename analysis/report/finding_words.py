"""The findings in words and figures, in whichever language: one function a kind.

Each sentence is one whole template, so that a translator can turn it round.

The last part draws the time axes: when each site was blocked, with the period's known events.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import counted, pair_target, site_link, site_target
from analysis.pages.tracks import (
    Bar,
    Mark,
    Row,
    draw_figure,
    draw_tracks,
    month_marks,
    number_events,
    span_bars,
)
from analysis.period import Period, day_of
from analysis.reference.events import Event
from analysis.report.findings import BRACKET_DAYS, WINDOW_DAYS
from analysis.report.verdict_words import END, open_template, schedule_words
from analysis.vocabulary import (
    CERTAINTY,
    CHANGES,
    LISTED,
    MECHANISMS,
    SET_ASIDE_REASONS,
    STATES,
)

#: The most rows of a figure, and of a time axis of all sites; the files have all rows.
MOST_ROWS, _MOST_SITES = 20, 100

Span = Mapping[str, Any]


def draw_timeline(
    spans: pd.DataFrame, period: Period, events: Sequence[Event], title: str, source: str
) -> Markup:
    """Draw a line per site, those on most networks first.

    Args:
        spans: ``confirmation.spans_by_site``.
        period: of the axis.
        events: known ones, in the order of their numbers.
        title: what the figure shows.
        source: with country and period, as the foot says them.
    """
    by_site = group_spans(spans.to_dict("records"))
    order = sorted(
        by_site,
        key=lambda site: (
            -by_site[site][0]["network_count"],
            by_site[site][0]["blocked_from"],
            site,
        ),
    )
    rows = [_draw_site(ENGLISH, site, by_site[site], period) for site in order[:_MOST_SITES]]
    marked = [(event.day, event.title) for event in events]
    words = [f"{site}: {row.words}" for site, row in zip(order[:MOST_ROWS], rows, strict=False)]
    dated = [f"{number}, {day}, {event}" for number, (day, event) in enumerate(marked, start=1)]
    events_said = f" Lines mark known events: {'; '.join(dated)}." if dated else ""
    reading = (
        "A bar runs from the first to the last failing test on any access network, days without a "
        "test included (half-filled bar: likely blocked throughout). The dotted line leads to the "
        "nearest test that reached the site, or to the edge if there was none. Sites on most "
        f"networks stand first. Source: {source}."
    )
    alt = f"A time axis with a line per site. {'; '.join(words)}.{events_said}"
    whole = Markup.escape(reading) + _say_shown(ENGLISH, len(rows), len(order))
    return draw_on_axis(ENGLISH, ENGLISH.say("Site"), rows, period, marked, alt, whole, title)


def draw_on_axis(
    lang: Language,
    head: str,
    rows: Sequence[Row],
    period: Period,
    events: Sequence[tuple[date, str]],
    alt: str,
    reading: Markup,
    title: str = "",
) -> Markup:
    """Draw rows on the time axis of a period, with its known events."""
    heads = (head, lang.say("Time"), lang.say("Networks"))
    marks, key = number_events(events, period, lang)
    tracks = draw_tracks(rows, heads, month_marks(lang, period), marks)
    return draw_figure(tracks, alt, reading, key, title)


def _draw_site(
    lang: Language, site: str, spans: Sequence[Span], period: Period, older: Sequence[Span] = ()
) -> Row:
    """Return the line of a site, with the number of its networks; ``older`` spans are pale."""
    bars = [bar for span in older for bar in span_bars(span, period, "older")]
    bars += [bar for span in spans for bar in span_bars(span, period)]
    count = lang.number(int(spans[0]["network_count"]))
    return Row(site_link(site), tuple(bars), say_spans(lang, spans), count, site_target(site))


def _say_shown(lang: Language, shown: int, total: int) -> Markup:
    """Return a sentence that a figure has not all rows; nothing if it has."""
    if shown == total:
        return Markup("")
    sentence = lang.html("Shown are the first {shown} of {total}.", shown=shown, total=total)
    return Markup(" ") + sentence


def group_spans(spans: Iterable[Mapping[Any, Any]]) -> dict[str, list[Span]]:
    """Group stretches by site, in the order in which they come."""
    by_site: dict[str, list[Span]] = {}
    for span in spans:
        by_site.setdefault(span["domain"], []).append(span)
    return by_site


def say_spans(lang: Language, spans: Iterable[Span]) -> str:
    """Describe the stretches of a site in words."""
    return "; ".join(_say_span(lang, span) for span in spans)


def _say_span(lang: Language, span: Span) -> str:
    first, last = day_of(span["blocked_from"]), day_of(span["blocked_until"])
    is_listed = span["state"] in LISTED
    state = lang.say(STATES[span["state"]].words) if is_listed else lang.say("Failing, not listed")
    if "network_count" in span and span["state"] == "blocked":
        state = lang.say("Blocked or likely blocked")  # on several networks, and not on each
    if not last:
        return lang.say("{state} from {first} to the last test", state=state, first=first)
    return lang.say("{state} from {first} to {last}", state=state, first=first, last=last)


#: Change between the halves → how its bar looks.
_LOOKS = {"mixed": "hollow", "not_comparable": "hollow"}


_DAY = re.compile(r"\d{4}-\d\d-\d\d")
#: So many groups of networks with equally many sites are named.
_MOST_GROUPS = 5
#: Networks on which fewer than one in so many sites was tested enough are named as hardly tested.
_PARTS = 10
#: The most sites that a claim names; the others are counted.
_MOST_NAMED = 5


@dataclass(frozen=True)
class Words:
    """A finding as the page shows it. A reading, and caveats, may be several sentences."""

    claim: Markup
    sites: Markup  # a sentence that names some, or nothing
    figure: Markup
    caveats: tuple[Markup, ...]


@dataclass(frozen=True)
class Telling:
    """A finding with all that its sentences are made from.

    Attributes:
        finding: as ``findings.summarise`` gives it.
        numbers: the headline numbers by name.
        lang: the language.
        period: the whole period.
        left_out: sites that a meeting took off the page; they are counted and not named.
        networks: name of a network, as findings have it → its number, where bars shall open pairs.
    """

    finding: Mapping[str, Any]
    numbers: Mapping[str, Any]
    lang: Language
    period: Period
    left_out: frozenset[str] = frozenset()
    networks: Mapping[str, int] = field(default_factory=dict)

    @property
    def values(self) -> Mapping[str, Any]:
        """The values that only this kind of finding has."""
        values: Mapping[str, Any] = self.finding["values"]
        return values

    @cached_property
    def marked(self) -> Mapping[str, Markup]:
        """The numbers and days of ``values``, each marked with its kind and name."""
        return {
            name: self.mark(f"{self.finding['kind']}.{name}", value)
            for name, value in self.values.items()
            if isinstance(value, int) or (isinstance(value, str) and _DAY.fullmatch(value))
        }

    @property
    def told_rows(self) -> list[Any]:
        """The rows of a finding on hours, without sites that are left out."""
        return [row for row in self.values["rows"] if row[0] not in self.left_out]

    def count(self, name: str) -> Markup:
        """Return a headline number, marked with its name."""
        return self.mark(name, self.numbers[name])

    def mark(self, name: str, value: int | str | date, of: str = "", text: str = "") -> Markup:
        """Return a number, or a day (also as ISO text), marked with the name of what it counts.

        Args:
            name: lower case; a finding's own begins with its kind.
            value: as the tables have it.
            of: the row that it is about, see ``formats.counted``.
            text: the value as it is shown, if it is no number and no day.
        """
        if text:
            return counted(name, value, text, of)
        if isinstance(value, int):
            return counted(name, value, self.lang.number(value), of)
        day = day_of(value)
        return counted(name, day, self.lang.date(day), of) if day else Markup("–")

    @property
    def places(self) -> dict[str, Any]:
        """Networks of the finding on networks, by the number of their listed sites.

        ``groups``: number of sites, names of the networks with so many, and their numbers joined;
        ``fewer``: the number of networks after the first groups; ``none``: of those tested enough
        without a listed site; ``hardly``: the names of those of them on which fewer than one in
        ``parts`` of the sites was tested enough; ``untested``: the number of networks on which no
        site was.
        """
        rows = [
            (traced + likely, name, asn, tested)
            for name, traced, likely, tested, asn in self.values["rows"]
        ]
        groups = [list(of_count) for _, of_count in groupby(rows, key=itemgetter(0))]
        listing = [group for group in groups if group[0][0]]
        none = [(name, tested) for listed, name, _, tested in rows if tested and not listed]
        least = self.numbers["tested_enough_domain_count"] / _PARTS
        return {
            "groups": [self._name_group(group) for group in listing[:_MOST_GROUPS]],
            "fewer": sum(map(len, listing[_MOST_GROUPS:])),
            "none": len(none),
            "hardly": [name for name, tested in none if tested < least],
            "parts": _PARTS,
            "untested": sum(not tested for *_, tested in rows),
        }

    def _name_group(self, group: Sequence[tuple[int, str, str, int]]) -> tuple[int, Any, str]:
        names = [name for _, name, _, _ in group]
        listed = group[0][0]
        shown = self.first_of(names, len(names), "networks.with_count", str(listed))
        return listed, shown, ";".join(asn for _, _, asn, _ in group)

    def list_grades(self) -> list[Markup]:
        """Return the number of the finding's pairs by strength of evidence, in words."""
        kind, counts = self.finding["kind"], self.finding["certainty"]
        return [
            self.lang.html(
                "{count} {grade}",
                grade=self.lang.say(words),
                count=self.mark(f"{kind}.graded_count", counts[word], of=word),
            )
            for word, words in CERTAINTY.items()
            if counts[word]
        ]

    def name_sites(self) -> Markup:
        """Return a sentence with the sites of the finding."""
        total = f"{self.finding['kind']}.site_count"
        return self.lang.html("These are {sites}.", sites=self.sites(self.finding["sites"], total))

    def sites(self, sites: Sequence[str], total: str) -> list[str | Markup]:
        """Return the first sites, each with a link to its page, and the number of the others.

        Args:
            sites: all of them; those that a meeting left out are counted among the others.
            total: the name under which the number of all sites is marked.
        """
        shown = [site_link(site) for site in sites if site not in self.left_out]
        return self.first_of(shown, len(sites), total)

    def first_of(
        self, names: Sequence[str | Markup], count: int, total: str, of: str = ""
    ) -> list[str | Markup]:
        """Return the first names, and the number of the others.

        Args:
            names: those that may be named.
            count: the number of all.
            total, of: the mark of that number.
        """
        named = list(names[:_MOST_NAMED])
        more = count - len(named)
        if not more:
            return named
        shown = self.mark("other_count", more, of="|".join([total, of, str(len(named))]))
        return [*named, self.lang.html_plural("{n} other", "{n} others", more, n=shown)]


#: Findings on the same pairs as the finding on networks, which has the strength of the evidence.
_OF_ALL_PAIRS = ("methods", "categories")


def word_finding(telling: Telling) -> Words:
    """Return a finding in words, by its kind; the last caveat is the strength of its evidence."""
    lang, kind = telling.lang, telling.finding["kind"]
    macro = getattr(open_template("findings.html.j2", lang).module, _MACROS.get(kind, kind))
    text = Markup(macro(telling, {"window": WINDOW_DAYS, "bracket": BRACKET_DAYS}))
    claim, sites, *caveats = (part.strip() for part in text.split(END))
    if telling.finding.get("certainty") and kind not in _OF_ALL_PAIRS:
        grades = telling.list_grades()
        caveats.append(
            lang.html(
                "Strength of the evidence, by pair of site and network: {grades}.", grades=grades
            )
        )
    draw = _FIGURES.get(kind)
    return Words(claim, sites, draw(telling) if draw else Markup(""), tuple(caveats))


#: Kind of finding → its macro, if that has another name: templates use ``hours`` for a function.
_MACROS = {"hours": "hours_of_the_week"}


def _draw_onset(tell: Telling) -> Markup:
    """Draw a line per site on the axis of the whole period, with the events of these days."""
    lang, period, values = tell.lang, tell.period, tell.values
    older, new = group_spans(values["older"]), group_spans(values["new"])
    new = {site: spans for site, spans in new.items() if site not in tell.left_out}
    shown = sorted(new, key=lambda site: (-int(new[site][0]["network_count"]), site))[:MOST_ROWS]
    rows = [_draw_site(lang, site, new[site], period, older.get(site, [])) for site in shown]
    events = [(date.fromisoformat(day), title) for day, title, _ in values["events"]]
    lines = [f"{site}: {row.words}" for site, row in zip(shown, rows, strict=True)]
    alt = lang.say(
        "A time axis with a line for each of {count} sites: the blocks first seen in these days. "
        "{lines}.",
        count=len(shown),
        lines=Markup("; ").join(lines),
    )
    reading = lang.html(
        "Dark bars: blocks first seen in these days, on networks that had reached the site before; "
        "a dotted line leads back to the last test that reached it, and on to the next one that "
        "did. Pale bars: other times, or other networks. Half-filled bars: likely blocked "
        "throughout. Days without a test are part of a bar."
    )
    if len(new) > len(shown):
        reading += Markup(" ") + lang.html(
            "Shown are {count} sites: those on most networks, then by name.", count=len(shown)
        )
    return draw_on_axis(lang, lang.say("Site"), rows, period, events, alt, reading)


def _draw_networks(tell: Telling) -> Markup:
    lang = tell.lang
    return _draw_bars(
        tell,
        [_state_line(lang, *row) for *row, _ in tell.values["rows"]],
        lang.say("Network"),
        lang.html(
            "Listed sites on each access network. Half-filled bars: likely blocked. The numbers "
            "are blocked + likely blocked, of the sites tested enough there."
        ),
    )


def _draw_methods(tell: Telling) -> Markup:
    lang = tell.lang
    return _draw_bars(
        tell,
        [
            _state_line(lang, lang.say(MECHANISMS.get(code, code)), *counts)
            for code, *counts in tell.values["rows"]
        ],
        lang.say("Method of blocking"),
        lang.html(
            "By the step that failed (DNS: the lookup of the name; TCP: the connection; TLS: its "
            "encryption; HTTP: the page), and how. The numbers are blocked + likely blocked."
        ),
        lang.say("Pairs of site and network, by method"),
    )


def _draw_categories(tell: Telling) -> Markup:
    lang = tell.lang
    return _draw_bars(
        tell,
        [_state_line(lang, lang.say(name), *counts) for name, *counts, _ in tell.values["rows"]],
        lang.say("Category"),
        lang.html(
            "Listed sites by category; each site counts once. The numbers are blocked + likely "
            "blocked, of the sites tested enough."
        ),
    )


def _draw_changes(tell: Telling) -> Markup:
    lang, lines = tell.lang, []
    for change, words in CHANGES.items():
        traced, likely = tell.values["by_state"][change]
        if change in _LOOKS:
            total = tell.numbers[f"{change}_count"]
            lines.append(_Line(lang.say(words), (total,), lang.number(total), (_LOOKS[change],)))
        else:
            lines.append(_state_line(lang, lang.say(words), traced, likely))
    return _draw_bars(
        tell,
        lines,
        lang.say("Change"),
        lang.html(
            "Sites that are listed in the period or in a half. The numbers are blocked + likely "
            "blocked: a site counts as blocked if it was blocked in either half on one of the "
            "networks compared. Filled bars: all these networks agree. Hollow bars: the networks "
            "differ, or one half has no answer."
        ),
    )


def _draw_hours(tell: Telling) -> Markup:
    lang, rows = tell.lang, tell.told_rows
    if not rows:
        return Markup("")
    _, _, utc, first_local, *_ = rows[0]
    drawn = draw_tracks(
        [
            Row(
                lang.html("{site}, {network}", site=site_link(site), network=network),
                _windows(local, state),
                lang.say("failing at {hours}", hours=schedule_words(local, lang)),
                opens=pair_target(site, tell.networks.get(network)),
            )
            for site, network, _, local, *_, state in rows[:MOST_ROWS]
        ],
        (lang.say("Site and network"), lang.say("Hours"), lang.say("Hours of the week")),
        [Mark(hour / 24, f"{hour}") for hour in range(0, 24, 3)],
    )
    reading = (
        lang.html("Hours of the day, UTC.")
        if utc == first_local
        else lang.html(
            "Hours of the day by the clocks of the capital; {hours} in UTC.",
            hours=schedule_words(utc, lang),
        )
    )
    reading += _say_shown(lang, min(len(rows), MOST_ROWS), len(rows))
    alt = lang.say(
        "A day's axis in {n} lines, each with the hours at which a site failed on a network.",
        n=len(rows),
    )
    return draw_figure(drawn, alt, reading)


def _windows(schedule: str, look: str) -> tuple[Bar, ...]:
    """Return the hours of a schedule on the axis of a day, for all days of the week together."""
    bars = []
    for window in re.finditer(r"(\d\d):(\d\d)-(\d\d):(\d\d)", schedule):
        start, end = (int(window[i]) / 24 + int(window[i + 1]) / 1440 for i in (1, 3))
        past_midnight = end < start
        bars.append(Bar(start, 1.0 if past_midnight else end, look))
        if past_midnight and end:
            bars.append(Bar(0.0, end, look))
    return tuple(bars)


def _draw_unlisted(tell: Telling) -> Markup:
    lang = tell.lang
    return _draw_bars(
        tell,
        [
            _Line(lang.say(SET_ASIDE_REASONS[code]), (count,), lang.number(count), ("hollow",))
            for code, count in tell.values["rows"]
        ],
        lang.say("Reason"),
        lang.html("Sites that are not listed although they had anomalies, by reason."),
    )


def _draw_apps(tell: Telling) -> Markup:
    lang, rows = tell.lang, tell.values["rows"]
    if not rows:
        return Markup("")
    return _draw_bars(
        tell,
        [_state_line(lang, *row) for row in rows],
        lang.say("App or tool"),
        lang.html(
            "Access networks on which each app or tool was cut off, or one of its parts. Endpoints "
            "are the servers that a test tries. The numbers are blocked + likely blocked, of the "
            "networks on which it was tested enough."
        ),
    )


@dataclass(frozen=True)
class _Line:
    """A bar of one or two parts, with what is written beside it."""

    name: str | Markup
    parts: Sequence[int]
    note: str
    looks: Sequence[str] = LISTED


def _state_line(
    lang: Language, name: str, traced: int, likely: int, tested: int | None = None
) -> _Line:
    """Return the line of a count: blocked and likely blocked, and the total if it is given."""
    if tested is None:
        note = lang.say("{traced} + {likely}", traced=traced, likely=likely)
    elif not tested:
        note = lang.say("no site tested enough")
    else:
        note = lang.say(
            "{traced} + {likely} of {tested}", traced=traced, likely=likely, tested=tested
        )
    return _Line(name, (traced, likely), note)


#: Kind of finding → what its bars count, and the place that lists it line by line.
_COUNTED = {
    "networks": "4-blocked-sites.html#table-networks",
    "methods": "4-blocked-sites.html#the-list",
    "categories": "4-blocked-sites.html#table-categories",
    "changes": "3-semester-comparison.html#table-changes",
    "unlisted": "4-blocked-sites.html#table-set-aside",
    "apps": "8-messaging-circumvention.html#table-apps",
}


def _draw_bars(
    tell: Telling, lines: Sequence[_Line], head: str, reading: Markup, title: str = ""
) -> Markup:
    """Draw some counts as bars, the first at the top.

    Args:
        tell: the finding, whose kind says what the bars open.
        lines: those that there are; the first ones are shown.
        head: what the names are.
        reading: what the figure shows.
        title: of a figure that does not stand below the claim of its finding.
    """
    lang, shown = tell.lang, lines[:MOST_ROWS]
    opens = _COUNTED[tell.finding["kind"]]
    most = max((sum(line.parts) for line in shown), default=0) or 1
    rows = []
    for line in shown:
        edges = [0, *accumulate(line.parts)]
        bars = [
            Bar(start / most, end / most, look)
            for start, end, look in zip(edges, edges[1:], line.looks, strict=False)
            if end > start
        ]
        rows.append(Row(line.name, tuple(bars), "", line.note, opens))
    reading += _say_shown(lang, len(shown), len(lines))
    named = [lang.say("{name}: {count}", name=line.name, count=line.note) for line in shown]
    alt = lang.say("Bars: {rows}.", rows=Markup("; ").join(named))
    heads = (head, lang.say("Chart"), lang.say("Count"))
    return draw_figure(draw_tracks(rows, heads), alt, reading, title=title)


_FIGURES: Mapping[str, Callable[[Telling], Markup]] = {
    "onset": _draw_onset,
    "networks": _draw_networks,
    "methods": _draw_methods,
    "categories": _draw_categories,
    "changes": _draw_changes,
    "hours": _draw_hours,
    "unlisted": _draw_unlisted,
    "apps": _draw_apps,
}
