"""The findings in words and figures, in whichever language: one function a kind.

Each sentence is one whole template, so that a translator can turn it round.

The last part draws the time axes: when each site was blocked, with the period's known events.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import counted, site_link
from analysis.pages.tracks import (
    Bar,
    Mark,
    Row,
    draw_counts,
    draw_figure,
    draw_tracks,
    fold_rest,
    month_marks,
    place_of,
    span_bars,
)
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report.verdict_words import schedule_words
from analysis.vocabulary import CHANGES, MECHANISMS, SET_ASIDE_REASONS

#: Sites that are shown at once, and those that are folded under them; files have them all.
MOST_ROWS, _MOST_FOLDED = 20, 100
#: Numbers closer than this share of the axis would touch on a phone.
_TOUCHING = 0.1

Span = Mapping[str, Any]


def draw_timeline(
    spans: pd.DataFrame, period: Period, events: Sequence[Event], title: str, source: str
) -> Markup:
    """A line per site, those on most networks first; the rest is folded.

    Args:
        spans: ``confirmation.spans_by_site``.
        period: of the axis.
        events: known ones, in the order of their numbers.
        title: what the figure shows.
        source: country and period, as the foot says them.
    """
    by_site = group_spans(spans.to_dict("records"))
    order = sorted(by_site, key=lambda site: (-by_site[site][0]["network_count"],
                                              by_site[site][0]["blocked_from"], site))  # fmt: skip
    marked = [(event.day, event.title) for event in events]
    shown = _draw(order[:MOST_ROWS], by_site, period, marked)
    rest = order[MOST_ROWS : MOST_ROWS + _MOST_FOLDED]
    if rest:
        others = len(order) - MOST_ROWS
        part = "" if others == len(rest) else f"{len(rest)} of "
        summary = f"Show {part}the other {others} sites"
        shown += fold_rest(_draw(rest, by_site, period, marked), summary)
    words = [f"{site}: {say_spans(ENGLISH, by_site[site])}" for site in order[:MOST_ROWS]]
    dated = [f"{number}, {day}, {event}" for number, (day, event) in enumerate(marked, start=1)]
    events_said = f" Lines mark known events: {'; '.join(dated)}." if dated else ""
    reading = (
        "A bar while the site was seen blocked on at least one access network (half a bar: likely "
        "blocked). The dotted line leads to the nearest test that reached the site, to the edge "
        f"where there was none. Sites that most networks block stand first. Source: OONI, {source}."
    )
    alt = f"A time axis with a line per site. {'; '.join(words)}.{events_said}"
    return draw_figure(shown, alt, reading, number_events(ENGLISH, marked), title)


def _draw(
    sites: Sequence[str],
    by_site: Mapping[str, list[Span]],
    period: Period,
    events: Sequence[tuple[date, str]],
) -> Markup:
    rows = [
        Row(
            site_link(site),
            tuple(bar for span in by_site[site] for bar in span_bars(span, period)),
            say_spans(ENGLISH, by_site[site]),
            f"{by_site[site][0]['network_count']}",
        )
        for site in sites
    ]
    heads = ("Site", "Time", "Networks")
    return draw_tracks(rows, heads, month_marks(ENGLISH, period), mark_events(events, period))


def group_spans(spans: Iterable[Mapping[Any, Any]]) -> dict[str, list[Span]]:
    """The stretches of each site, as they come."""
    by_site: dict[str, list[Span]] = {}
    for span in spans:
        by_site.setdefault(span["domain"], []).append(span)
    return by_site


def mark_events(events: Sequence[tuple[date, str]], period: Period) -> list[Mark]:
    """The number of each event at its day; numbers that would touch stand under each other."""
    marks: list[Mark] = []
    for number, (day, _) in enumerate(events, start=1):
        at = place_of(day, period)
        taken = {mark.level for mark in marks if abs(mark.at - at) < _TOUCHING}
        level = next(level for level in range(len(marks) + 1) if level not in taken)
        marks.append(Mark(at, str(number), level))
    return marks


def number_events(lang: Language, events: Sequence[tuple[date, str]]) -> list[tuple[str, str]]:
    """What each number stands for."""
    return [
        (str(number), lang.html("{day}: {title}", day=day, title=lang.english(title)))
        for number, (day, title) in enumerate(events, start=1)
    ]


def say_spans(lang: Language, spans: Iterable[Span]) -> str:
    """The stretches of a site in words."""
    return "; ".join(_say_span(lang, span) for span in spans)


def _say_span(lang: Language, span: Span) -> str:
    first = date.fromisoformat(span["blocked_from"])
    if not span["blocked_until"]:
        return lang.say("blocked from {first} to the end of the period", first=first)
    last = date.fromisoformat(span["blocked_until"])
    return lang.say("blocked from {first} to {last}", first=first, last=last)


#: Change between the halves → how its bar looks.
_LOOKS = {"mixed": "hollow", "not_comparable": "hollow"}


#: Sites that a claim names; the rest is counted.
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
    """What the words of a finding are made from.

    Attributes:
        finding: as ``findings.summarise`` gives it.
        numbers: the headline numbers by name.
        lang: the language.
        period: the whole period.
        left_out: sites that a meeting took off the page; they are counted and not named.
    """

    finding: Mapping[str, Any]
    numbers: Mapping[str, Any]
    lang: Language
    period: Period
    left_out: frozenset[str] = frozenset()

    @property
    def values(self) -> Mapping[str, Any]:
        """What only this kind of finding has."""
        values: Mapping[str, Any] = self.finding["values"]
        return values

    def count(self, name: str) -> Markup:
        """A headline number, marked with its name."""
        return counted(name, self.numbers[name], self.lang.number(self.numbers[name]))

    def name_sites(self) -> Markup:
        """A sentence with the sites that the finding is about."""
        return self.lang.html("These are {sites}.", sites=self.sites(self.finding["sites"]))

    def sites(self, sites: Sequence[str]) -> list[str | Markup]:
        """The first sites, each with a link to its page, and how many more there are."""
        shown = [site_link(site) for site in sites if site not in self.left_out]
        return self.first_of(shown, len(sites))

    def first_of(self, names: Sequence[str | Markup], total: int) -> list[str | Markup]:
        """The first names, and how many more there are of all."""
        named = list(names[:_MOST_NAMED])
        more = total - len(named)
        return [*named, self.lang.html_plural("{n} other", "{n} others", more)] if more else named


def word_finding(telling: Telling) -> Words:
    """A finding in words, by its kind."""
    return _KINDS[telling.finding["kind"]](telling)


def _onset(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    first, last = (date.fromisoformat(values[name]) for name in ("first_day", "last_day"))
    claim = lang.html(
        "Between {first} and {last}, {count} sites were blocked on networks that had reached them "
        "before, {networks} access networks in all.",
        first=first, last=last, count=len(tell.finding["sites"]), networks=len(values["networks"]),
    )  # fmt: skip
    caveats = []
    if known := _count_known(values):
        caveats.append(
            lang.html_plural(
                "{n} of these sites was blocked before that already, on some network.",
                "{n} of these sites were blocked before that already, on some network.",
                known,
            )
        )
    caveats += [
        lang.html(
            "A known event falls in the same days: {day}, {title}. The dates coincide; that proves "
            "no cause.",
            day=date.fromisoformat(day), title=lang.english(title),
        )
        for day, title in values["events"]
    ]  # fmt: skip
    if values["undated_count"]:
        caveats.append(
            lang.html_plural(
                "{n} more site was first seen blocked in these days; no test had reached it "
                "before.",
                "{n} more sites were first seen blocked in these days; no test had reached them "
                "before.",
                values["undated_count"],
            )
        )
    return Words(claim, tell.name_sites(), _draw_onset(tell), tuple(caveats))


def _count_known(values: Mapping[str, Any]) -> int:
    """How many of the sites some network blocked before these days."""
    known = {one["domain"] for one in values["older"] if one["blocked_from"] < values["first_day"]}
    return len(known.intersection(one["domain"] for one in values["new"]))


def _draw_onset(tell: Telling) -> Markup:
    """A line per site on the axis of the whole period, with the events that fall in these days."""
    lang, period, values = tell.lang, tell.period, tell.values
    older, new = group_spans(values["older"]), group_spans(values["new"])
    new = {site: spans for site, spans in new.items() if site not in tell.left_out}
    shown = sorted(new, key=lambda site: (-int(new[site][0]["network_count"]), site))[:MOST_ROWS]
    rows = [
        Row(
            site_link(site),
            (
                *(bar for span in older.get(site, []) for bar in span_bars(span, period, "older")),
                *(bar for span in new[site] for bar in span_bars(span, period)),
            ),
            say_spans(lang, new[site]),
            lang.number(int(new[site][0]["network_count"])),
        )
        for site in shown
    ]
    events = [(date.fromisoformat(day), title) for day, title in values["events"]]
    told = [f"{site}: {row.words}" for site, row in zip(shown, rows, strict=True)]
    alt = lang.say(
        "A time axis with a line for each of {count} sites. {lines}.",
        count=len(shown), lines=Markup("; ").join(told),
    )  # fmt: skip
    reading = lang.html(
        "Dark: the site was seen blocked on networks on which it had been reached before; the "
        "dotted line leads back to the last test that reached it, and on to the next one. Pale: "
        "blocked at other times, or on other networks. Half as high: likely blocked."
    )
    if len(new) > len(shown):
        reading += Markup(" ") + lang.html(
            "Shown are the {count} sites that most networks began to block.", count=len(shown)
        )
    heads = (lang.say("Site"), lang.say("Time"), lang.say("Networks"))
    tracks = draw_tracks(rows, heads, month_marks(lang, period), mark_events(events, period))
    return draw_figure(tracks, alt, reading, number_events(lang, events))


def _networks(tell: Telling) -> Words:
    lang, rows = tell.lang, tell.values["rows"]
    most = [name for name, count, _ in rows if count == rows[0][1]]
    claim = lang.html_plural(
        "Sites are blocked on {blocking} of {access} access networks; most on {networks}, {count}.",
        "Sites are blocked on {blocking} of {access} access networks; most on {networks}, {count} "
        "each.",
        len(most), blocking=tell.count("blocking_network_count"),
        access=tell.count("access_network_count"), networks=tell.first_of(most, len(most)),
        count=rows[0][1],
    )  # fmt: skip
    named = lang.html("No site is blocked on more than one network.")
    if tell.values["widest"] > 1:
        named = lang.html_plural(
            "Blocked on most networks, {n}: {sites}.",
            "Blocked on most networks, {n} each: {sites}.",
            tell.values["widest"], sites=tell.sites(tell.finding["sites"]),
        )  # fmt: skip
    heads = (lang.say("Network"), lang.say("Blocked sites"), lang.say("Of the sites tested"))
    figure = _draw_bars(
        lang, rows, heads,
        lang.html(
            "Listed sites of each access network, beside the sites tested there. Where none is "
            "listed, that may be for want of tests."
        ),
    )  # fmt: skip
    caveat = lang.html(
        "Observed on a network does not say who ordered or carried out the blocking."
    )
    return Words(claim, named, figure, (caveat,))


def _methods(tell: Telling) -> Words:
    lang = tell.lang
    rows = [(lang.say(MECHANISMS.get(code, code)), count) for code, count in tell.values["rows"]]
    claim = lang.html_plural(
        "Sites are blocked in one way: {method}, in all {pairs} pairs of site and network.",
        "Sites are blocked in {n} ways; most often by {method}, in {count} of {pairs} pairs of "
        "site and network.",
        len(rows), method=rows[0][0], count=rows[0][1],
        pairs=tell.count("listed_access_pair_count"),
    )  # fmt: skip
    named = lang.html(
        "By {method}: {sites}.", method=rows[0][0], sites=tell.sites(tell.finding["sites"])
    )
    heads = (lang.say("Method of blocking"), lang.say("Pairs"), lang.say("Pairs"))
    figure = _draw_bars(
        lang, rows, heads,
        lang.html(
            "Pairs of a site and an access network, by the layer at which the way to the site was "
            "cut and how. {traced} of {blocked} sites carry a trace that only blocking leaves: a "
            "block page, a sinkhole, or an address that no site can have.",
            traced=tell.count("traced_domain_count"), blocked=tell.count("blocked_domain_count"),
        ),
    )  # fmt: skip
    caveat = lang.html("One site may be blocked in different ways on different networks.")
    return Words(claim, named, figure, (caveat,))


def _categories(tell: Telling) -> Words:
    lang = tell.lang
    rows = [(lang.say(name), count, all_) for name, count, all_ in tell.values["rows"]]
    claim = lang.html(
        "{count} of {blocked} blocked sites are of the category {category}; {local} of all belong "
        "to the country.",
        count=rows[0][1], category=rows[0][0], blocked=tell.count("blocked_domain_count"),
        local=tell.count("blocked_local_domain_count"),
    )  # fmt: skip
    named = lang.html(
        "{category}: {sites}.", category=rows[0][0], sites=tell.sites(tell.finding["sites"])
    )
    heads = (lang.say("Category"), lang.say("Blocked sites"), lang.say("Of the sites tested"))
    figure = _draw_bars(
        lang, rows, heads,
        lang.html(
            "Listed sites by category, beside the sites tested in it. Each site counts once."
        ),
    )  # fmt: skip
    caveat = lang.html(
        "What is tested is what stands on the test lists: a category with many sites was thought "
        "worth testing, and is not for that reason censored more."
    )
    return Words(claim, named, figure, (caveat,))


def _changes(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    claim = lang.html(
        "From the first half to the second, {new} sites became blocked on every network that can "
        "be compared, {gone} were no longer blocked, and {still} stayed blocked.",
        new=tell.count("newly_blocked_count"), gone=tell.count("no_longer_blocked_count"),
        still=tell.count("still_blocked_count"),
    )  # fmt: skip
    named = []
    if values["newly_blocked"]:
        sites = tell.sites(values["newly_blocked"])
        named.append(lang.html("Newly blocked: {sites}.", sites=sites))
    if values["no_longer_blocked"]:
        sites = tell.sites(values["no_longer_blocked"])
        named.append(lang.html("No longer blocked: {sites}.", sites=sites))
    rows = [(lang.say(words), tell.numbers[f"{change}_count"]) for change, words in CHANGES.items()]
    heads = (lang.say("Change"), lang.say("Sites"), lang.say("Sites"))
    looks = [_LOOKS.get(change, "blocked") for change in CHANGES]
    figure = _draw_bars(
        lang, rows, heads,
        lang.html(
            "Sites that are listed in the period or in a half. Hollow bars give no single answer: "
            "there the networks disagree, or too little was tested in one half."
        ),
        looks,
    )  # fmt: skip
    caveat = lang.html(
        "{mixed} sites changed on some networks and not on others, and {uncomparable} cannot be "
        "compared. A site that is missing from one half was perhaps not tested enough in it.",
        mixed=tell.count("mixed_count"), uncomparable=tell.count("not_comparable_count"),
    )  # fmt: skip
    return Words(claim, Markup(" ").join(named), figure, (caveat,))


def _hours(tell: Telling) -> Words:
    lang = tell.lang
    claim = lang.html_plural(
        "{n} site is blocked at hours of the week only.",
        "{n} sites are blocked at hours of the week only.",
        len(tell.finding["sites"]),
    )
    caveat = lang.html(
        "Such hours are found where tests inside them failed three times and tests outside them "
        "reached the site in between; they are whole hours."
    )
    rows = [row for row in tell.values["rows"] if row[0] not in tell.left_out]
    if not rows:
        return Words(claim, Markup(""), Markup(""), (caveat,))
    site, network, utc, local, first, last = rows[0]
    named = lang.html(
        "{site} on {network}: {hours}, from {first} to {last}.",
        site=site_link(site), network=network, hours=schedule_words(local, lang),
        first=date.fromisoformat(first), last=date.fromisoformat(last or str(tell.period.last_day)),
    )  # fmt: skip
    drawn = draw_tracks(
        [
            Row(
                lang.html("{site}, {network}", site=site_link(site), network=network),
                _windows(local), lang.say("blocked at {hours}", hours=schedule_words(local, lang)),
            )
            for site, network, _, local, *_ in rows[:MOST_ROWS]
        ],
        (lang.say("Site and network"), lang.say("Hours"), lang.say("Hours of the week")),
        [Mark(hour / 24, f"{hour}") for hour in range(0, 24, 3)],
    )  # fmt: skip
    reading = (
        lang.html("Hours of the day, UTC.")
        if utc == local
        else lang.html(
            "Hours of the day by the clocks of the capital; {hours} in UTC.",
            hours=schedule_words(utc, lang),
        )
    )
    if len(rows) > MOST_ROWS:
        reading += Markup(" ") + lang.html(
            "Shown are the first {shown} of {total}.", shown=MOST_ROWS, total=len(rows)
        )
    alt = lang.say(
        "A day's axis with the hours at which each of {n} sites was blocked.", n=len(rows)
    )
    return Words(claim, named, draw_figure(drawn, alt, reading), (caveat,))


def _windows(schedule: str) -> tuple[Bar, ...]:
    """The hours of a schedule on the axis of a day, whatever the days of the week."""
    bars = []
    for window in re.finditer(r"(\d\d):(\d\d)-(\d\d):(\d\d)", schedule):
        start, end = (int(window[i]) / 24 + int(window[i + 1]) / 1440 for i in (1, 3))
        past_midnight = end < start
        bars.append(Bar(start, 1.0 if past_midnight else end))
        if past_midnight and end:
            bars.append(Bar(0.0, end))
    return tuple(bars)


def _unlisted(tell: Telling) -> Words:
    lang = tell.lang
    rows = [(lang.say(SET_ASIDE_REASONS[code]), count) for code, count in tell.values["rows"]]
    claim = lang.html(
        "{count} sites with anomalies are not listed, most for this reason: {reason}.",
        count=tell.count("set_aside_count"), reason=rows[0][0],
    )  # fmt: skip
    heads = (lang.say("Reason"), lang.say("Sites"), lang.say("Sites"))
    figure = _draw_bars(
        lang, rows, heads,
        lang.html("Sites set aside, by the reason that explains most of what failed."),
        ["hollow"] * len(rows),
    )  # fmt: skip
    caveat = lang.html("Being set aside says nothing about whether a site is accessible.")
    return Words(claim, Markup(""), figure, (caveat,))


def _apps(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    blocked, tested = (
        counted(name, values[name], lang.number(values[name]))
        for name in ("blocked_app_count", "app_test_count")
    )
    claim = lang.html(
        "{blocked} of {tested} messaging apps and circumvention tools that were tested were "
        "blocked or likely blocked.",
        blocked=blocked, tested=tested,
    )  # fmt: skip
    apps = {
        name: [lang.english(title) for title in values[name]]
        for name in ("names", "less", "defects")
    }
    named = lang.html("These are {apps}.", apps=apps["names"]) if apps["names"] else Markup("")
    caveats = []
    if apps["less"]:
        caveats.append(lang.html(
            "On some of these networks less than the app was cut off: its web page alone, or "
            "certain hours alone: {apps}.",
            apps=apps["less"],
        ))  # fmt: skip
    if apps["defects"]:
        caveats.append(lang.html(
            "Tests that failed in other countries too, so that they say nothing here: {apps}.",
            apps=apps["defects"],
        ))  # fmt: skip
    caveats.append(
        lang.html("Each test was held against the same weeks in other countries.")
        if values["has_control"]
        else lang.html(
            "No counts of other countries were at hand: what failed on most networks at once "
            "cannot be told from a fault of the test."
        )
    )
    figure = Markup("")
    if values["rows"]:
        heads = (lang.say("App or tool"), lang.say("Networks that block"),
                 lang.say("Of the networks tested"))  # fmt: skip
        figure = _draw_bars(
            lang, values["rows"], heads,
            lang.html("Networks on which each app or tool was blocked or likely blocked."),
        )  # fmt: skip
    return Words(claim, named, figure, tuple(caveats))


def _draw_bars(
    lang: Language,
    rows: Sequence[tuple[Any, ...]],
    heads: tuple[str, str, str],
    reading: Markup,
    looks: Sequence[str] = (),
) -> Markup:
    """The figure of rows of a name and a count, and of how many, where that is told."""
    shown = rows[:MOST_ROWS]
    bars = [
        (name, count, lang.say("{count} of {total}", count=count, total=all_[0]))
        if all_
        else (name, count, lang.number(count))
        for name, count, *all_ in shown
    ]
    if len(rows) > len(shown):
        reading += Markup(" ") + lang.html(
            "Shown are the first {shown} of {total}.", shown=len(shown), total=len(rows)
        )
    return draw_figure(draw_counts(bars, heads, looks), _say_counts(lang, shown), reading)


def _say_counts(lang: Language, rows: Sequence[tuple[Any, ...]]) -> str:
    """What bars show, for a reader who cannot see them."""
    named = [lang.say("{name}: {count}", name=row[0], count=row[1]) for row in rows]
    return lang.say("Bars, the longest first: {rows}.", rows=Markup("; ").join(named))


_KINDS: Mapping[str, Callable[[Telling], Words]] = {
    "onset": _onset,
    "networks": _networks,
    "methods": _methods,
    "categories": _categories,
    "changes": _changes,
    "hours": _hours,
    "unlisted": _unlisted,
    "apps": _apps,
}
