"""The findings in words and figures, in whichever language: one function a kind.

Each sentence is one whole template, so that a translator can turn it round.

The last part draws the time axes: when each site was blocked, with the period's known events.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import accumulate
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import counted, site_link
from analysis.pages.tracks import (
    Bar,
    Mark,
    Row,
    draw_figure,
    draw_tracks,
    month_marks,
    place_of,
    span_bars,
)
from analysis.period import Period
from analysis.reference.events import Event
from analysis.report.findings import BRACKET_DAYS, WINDOW_DAYS
from analysis.report.verdict_words import schedule_words
from analysis.vocabulary import (
    CERTAINTY,
    CHANGES,
    LISTED,
    MECHANISMS,
    SET_ASIDE_REASONS,
    TEST_PARTS,
)

#: Rows of a figure; files have them all. A time axis of all sites has more.
MOST_ROWS, _MOST_SITES = 20, 100
#: Numbers closer than this share of the axis would touch on a phone.
_TOUCHING = 0.1

Span = Mapping[str, Any]


def draw_timeline(
    spans: pd.DataFrame, period: Period, events: Sequence[Event], title: str, source: str
) -> Markup:
    """A line per site, those on most networks first.

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
    rows = [_draw_site(ENGLISH, site, by_site[site], period) for site in order[:_MOST_SITES]]
    marked = [(event.day, event.title) for event in events]
    words = [f"{site}: {row.words}" for site, row in zip(order[:MOST_ROWS], rows, strict=False)]
    dated = [f"{number}, {day}, {event}" for number, (day, event) in enumerate(marked, start=1)]
    events_said = f" Lines mark known events: {'; '.join(dated)}." if dated else ""
    reading = (
        "A bar while the site was seen blocked on at least one access network (half a bar: likely "
        "blocked). The dotted line leads to the nearest test that reached the site, to the edge "
        f"where there was none. Sites that most networks block stand first. Source: OONI, {source}."
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
    """Rows on the time axis of a period, with its known events; ``head`` says what the rows are."""
    heads = (head, lang.say("Time"), lang.say("Networks"))
    tracks = draw_tracks(rows, heads, month_marks(lang, period), _mark_events(events, period))
    numbered = [
        (str(number), lang.html("{day}: {title}", day=day, title=lang.english(title)))
        for number, (day, title) in enumerate(events, start=1)
    ]
    return draw_figure(tracks, alt, reading, numbered, title)


def _draw_site(
    lang: Language, site: str, spans: Sequence[Span], period: Period, older: Sequence[Span] = ()
) -> Row:
    """The line of a site, with the number of its networks; ``older`` spans are pale."""
    bars = [bar for span in older for bar in span_bars(span, period, "older")]
    bars += [bar for span in spans for bar in span_bars(span, period)]
    count = lang.number(int(spans[0]["network_count"]))
    return Row(site_link(site), tuple(bars), say_spans(lang, spans), count)


def _say_shown(lang: Language, shown: int, total: int) -> Markup:
    """That a figure has not all rows; nothing where it has."""
    if shown == total:
        return Markup("")
    said = lang.html("Shown are the first {shown} of {total}.", shown=shown, total=total)
    return Markup(" ") + said


def group_spans(spans: Iterable[Mapping[Any, Any]]) -> dict[str, list[Span]]:
    """The stretches of each site, as they come."""
    by_site: dict[str, list[Span]] = {}
    for span in spans:
        by_site.setdefault(span["domain"], []).append(span)
    return by_site


def _mark_events(events: Sequence[tuple[date, str]], period: Period) -> list[Mark]:
    """The number of each event at its day; numbers that would touch stand under each other."""
    marks: list[Mark] = []
    for number, (day, _) in enumerate(events, start=1):
        at = place_of(day, period)
        taken = {mark.level for mark in marks if abs(mark.at - at) < _TOUCHING}
        level = next(level for level in range(len(marks) + 1) if level not in taken)
        marks.append(Mark(at, str(number), level))
    return marks


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


#: These speak of the same pairs as the finding on networks, which says how strong the evidence is.
_OF_ALL_PAIRS = ("methods", "categories")


def word_finding(telling: Telling) -> Words:
    """A finding in words, by its kind; a last caveat says how strong its evidence is."""
    words = _KINDS[telling.finding["kind"]](telling)
    counts = telling.finding.get("certainty")
    if not counts or telling.finding["kind"] in _OF_ALL_PAIRS:
        return words
    return replace(words, caveats=(*words.caveats, _say_certainty(telling.lang, counts)))


def _say_certainty(lang: Language, counts: Mapping[str, int]) -> Markup:
    """The evidence of the listed pairs that a finding speaks of, in the words of the scale; of
    words without a pair nothing is said."""
    return lang.html_plural(
        "Strength of the evidence for this {n} pair of site and network: {grades}.",
        "Strength of the evidence for these {n} pairs of site and network: {grades}.",
        sum(counts.values()),
        grades=[
            lang.html("{count} {grade}", count=counts[word], grade=lang.say(CERTAINTY[word]))
            for word in CERTAINTY
            if counts[word]
        ],
    )


def _onset(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    first, last, earliest = (
        date.fromisoformat(values[name]) for name in ("first_day", "last_day", "earliest_day")
    )
    traced, likely = values["by_state"]
    claim = lang.html_plural(
        "In tests between {first} and {last}, {n} site turned from reachable to blocked "
        "({traced}) or likely blocked ({likely}); access networks: {networks}.",
        "In tests between {first} and {last}, {n} sites turned from reachable to blocked "
        "({traced}) or likely blocked ({likely}); access networks: {networks}.",
        len(tell.finding["sites"]), first=first, last=last,
        networks=len(values["networks"]), traced=traced, likely=likely,
    )  # fmt: skip
    since = lang.html(
        "Tests lie days apart: the earliest of these blocks may have begun on {earliest}.",
        earliest=earliest,
    )
    named = Markup("{} {}").format(since, tell.name_sites())
    caveats = [
        lang.html(
            "In no other {days} days of the period did more sites turn from reachable to blocked.",
            days=WINDOW_DAYS,
        )
    ]
    if known := _count_known(values):
        caveats.append(
            lang.html_plural(
                "{n} of these sites was blocked or likely blocked before, at another time or on "
                "another network.",
                "{n} of these sites were blocked or likely blocked before, at another time or on "
                "another network.",
                known,
            )
        )
    caveats += [
        lang.html(
            "Known event: {day}, {title}. Of these {count} blocks, {sure} began on that day or "
            "later; the others may have begun before it. Dates that coincide prove no cause.",
            day=date.fromisoformat(day), title=lang.english(title), count=values["block_count"],
            sure=sure,
        )
        for day, title, sure in values["events"]
    ]  # fmt: skip
    if values["undated_count"]:
        caveats.append(
            lang.html_plural(
                "{n} more site was first seen blocked in these days, on a network where no test of "
                "the {days} days before had reached it.",
                "{n} more sites were first seen blocked in these days, on a network where no test "
                "of the {days} days before had reached them.",
                values["undated_count"],
                days=BRACKET_DAYS,
            )
        )
    return Words(claim, named, _draw_onset(tell), tuple(caveats))


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
    rows = [_draw_site(lang, site, new[site], period, older.get(site, [])) for site in shown]
    events = [(date.fromisoformat(day), title) for day, title, _ in values["events"]]
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
    return draw_on_axis(lang, lang.say("Site"), rows, period, events, alt, reading)


def _networks(tell: Telling) -> Words:
    lang, rows = tell.lang, tell.values["rows"]
    most = [row for row in rows if row[1] + row[2] == rows[0][1] + rows[0][2]]
    claim = lang.html(
        "Sites were blocked or likely blocked on {blocking} of {access} access networks on which "
        "any site was tested enough. Counting networks that share an operator or a resolver once, "
        "there are {sources}.",
        blocking=tell.count("blocking_network_count"),
        access=tell.count("tested_enough_network_count"),
        sources=tell.count("independent_network_count"),
    )  # fmt: skip
    largest = [
        lang.html("{network} ({traced} blocked, {likely} likely blocked)", network=network,
                  traced=traced, likely=likely)
        for network, traced, likely, _ in most
    ]  # fmt: skip
    named = [lang.html("Most sites: {networks}.", networks=tell.first_of(largest, len(largest)))]
    if tell.values["widest"] > 1:
        named.append(
            lang.html_plural(
                "Blocked or likely blocked on most networks, {n}: {sites}.",
                "Blocked or likely blocked on most networks, {n} each: {sites}.",
                tell.values["widest"], sites=tell.sites(tell.finding["sites"]),
            )
        )  # fmt: skip
    else:
        named.append(lang.html("No site is listed on more than one network."))
    figure = _draw_bars(
        lang,
        [_state_line(lang, *row) for row in rows],
        lang.say("Network"),
        lang.html(
            "Listed sites of each access network: dark blocked, half as high likely blocked. "
            "The numbers are blocked + likely blocked, of the sites tested enough there."
        ),
    )
    shared = [
        lang.html(
            "{networks} count once: they share an operator or a resolver.",
            networks=names,
        )
        for names in tell.values["shared"]
    ]
    caveat = lang.html(
        "Observed on a network does not say who ordered or carried out the blocking."
    )
    return Words(claim, Markup(" ").join(named), figure, (*shared, caveat))


def _methods(tell: Telling) -> Words:
    lang = tell.lang
    rows = [
        (lang.say(MECHANISMS.get(code, code)), traced, likely)
        for code, traced, likely in tell.values["rows"]
    ]
    method, traced, likely = rows[0]
    claim = lang.html_plural(
        "Sites were blocked or likely blocked in one way: {method}, in all {pairs} pairs of site "
        "and network.",
        "Sites were blocked or likely blocked in {n} ways; most often by {method}, in {count} of "
        "{pairs} pairs of site and network.",
        len(rows), method=method, count=traced + likely,
        pairs=tell.count("listed_access_pair_count"),
    )  # fmt: skip
    named = lang.html(
        "By {method}: {sites}.", method=method, sites=tell.sites(tell.finding["sites"])
    )
    figure = _draw_bars(
        lang,
        [_state_line(lang, *row) for row in rows],
        lang.say("Method of blocking"),
        lang.html(
            "Pairs of a site and an access network, by the layer at which the way to the site was "
            "cut and how; the numbers are blocked + likely blocked. {traced} of {blocked} sites "
            "carry a trace that only blocking leaves: a block page, a sinkhole, or an address that "
            "no site can have.",
            traced=tell.count("traced_domain_count"), blocked=tell.count("blocked_domain_count"),
        ),
    )  # fmt: skip
    caveats = (
        lang.html(
            "Of all pairs, {traced} are blocked and {likely} likely blocked.",
            traced=tell.count("traced_access_pair_count"),
            likely=tell.count("likely_access_pair_count"),
        ),
        lang.html("One site may be blocked in different ways on different networks."),
    )
    return Words(claim, named, figure, caveats)


def _categories(tell: Telling) -> Words:
    lang = tell.lang
    rows = [(lang.say(name), *counts) for name, *counts in tell.values["rows"]]
    name, traced, likely, tested = rows[0]
    claim = lang.html(
        "No category has more listed sites than {category}: {traced} blocked and {likely} likely "
        "blocked, of {tested} that were tested enough. {local} of all {blocked} listed sites "
        "belong to the country.",
        category=name, traced=traced, likely=likely, tested=tested,
        local=tell.count("blocked_local_domain_count"), blocked=tell.count("blocked_domain_count"),
    )  # fmt: skip
    named = lang.html("{category}: {sites}.", category=name,
                      sites=tell.sites(tell.finding["sites"]))  # fmt: skip
    figure = _draw_bars(
        lang,
        [_state_line(lang, *row) for row in rows],
        lang.say("Category"),
        lang.html(
            "Listed sites by category; each site counts once. The numbers are blocked + likely "
            "blocked, of the sites tested enough."
        ),
    )
    caveat = lang.html(
        "What is tested is what stands on the test lists: a category with many sites was thought "
        "worth testing, and is not for that reason censored more."
    )
    return Words(claim, named, figure, (caveat,))


def _changes(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    claim = lang.html_plural(
        "From the first half to the second, {n} site turned from reachable to blocked or likely "
        "blocked, {gone} turned back to reachable, and {still} were blocked or likely "
        "blocked in both halves, {interrupted} of them with reachable days in between.",
        "From the first half to the second, {n} sites turned from reachable to blocked or likely "
        "blocked, {gone} turned back to reachable, and {still} were blocked or likely "
        "blocked in both halves, {interrupted} of them with reachable days in between.",
        tell.numbers["newly_blocked_count"],
        n=tell.count("newly_blocked_count"), gone=tell.count("no_longer_blocked_count"),
        still=tell.count("still_blocked_count"), interrupted=tell.count("interrupted_count"),
    )  # fmt: skip
    named = []
    if values["newly_blocked"]:
        sites = tell.sites(values["newly_blocked"])
        named.append(lang.html("Newly blocked: {sites}.", sites=sites))
    if values["no_longer_blocked"]:
        sites = tell.sites(values["no_longer_blocked"])
        named.append(lang.html("No longer blocked: {sites}.", sites=sites))
    lines = []
    for change, words in CHANGES.items():
        traced, likely = values["by_state"][change]
        if change in _LOOKS:
            total = tell.numbers[f"{change}_count"]
            lines.append(_Line(lang.say(words), (total,), lang.number(total), (_LOOKS[change],)))
        else:
            lines.append(_state_line(lang, lang.say(words), traced, likely))
    figure = _draw_bars(
        lang, lines, lang.say("Change"),
        lang.html(
            "Sites that are listed in the period or in a half, by their strongest state on the "
            "networks that are compared; the numbers are blocked + likely blocked. Hollow bars "
            "give no single answer: there the networks disagree, or too little was tested in one "
            "half."
        ),
    )  # fmt: skip
    caveats = (
        lang.html(
            "A change counts where every network agrees that listed the site in one half and was "
            "tested enough in both. On {mixed} sites the networks differ, and {uncomparable} "
            "cannot be compared.",
            mixed=tell.count("mixed_count"), uncomparable=tell.count("not_comparable_count"),
        ),
        lang.html(
            "A change between halves is not the same as a block that began in the period: a site "
            "may be opened and blocked again within a half."
        ),
    )  # fmt: skip
    return Words(claim, Markup(" ").join(named), figure, caveats)


def _hours(tell: Telling) -> Words:
    lang = tell.lang
    traced, likely = tell.values["by_state"]
    claim = lang.html_plural(
        "{n} site was cut off at certain hours of the week on some network: {traced} blocked, "
        "{likely} likely blocked.",
        "{n} sites were cut off at certain hours of the week on some network: {traced} blocked, "
        "{likely} likely blocked.",
        len(tell.finding["sites"]), traced=traced, likely=likely,
    )  # fmt: skip
    caveat = lang.html(
        "Such hours are found where tests inside them failed three times and tests outside them "
        "reached the site in between; they are whole hours."
    )
    rows = [row for row in tell.values["rows"] if row[0] not in tell.left_out]
    if not rows:
        return Words(claim, Markup(""), Markup(""), (caveat,))
    site, network, utc, local, first, last = rows[0]
    named = lang.html(
        "{site} on {network}: {hours}, seen from {first} to {last}.",
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
    reading += _say_shown(lang, min(len(rows), MOST_ROWS), len(rows))
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
    claim = lang.html_plural(
        "{n} site with anomalies is not listed. The most frequent reason, for {most} of "
        "them: {reason}.",
        "{n} sites with anomalies are not listed. The most frequent reason, for {most} of "
        "them: {reason}.",
        tell.numbers["set_aside_count"], n=tell.count("set_aside_count"),
        most=rows[0][1], reason=rows[0][0],
    )  # fmt: skip
    figure = _draw_bars(
        lang,
        [_Line(name, (count,), lang.number(count), ("hollow",)) for name, count in rows],
        lang.say("Reason"),
        lang.html("Sites set aside, by the reason that explains most of what failed."),
    )
    caveats = (
        lang.html(
            "On {withheld} of them, failures in a row look like blocking, and were withheld "
            "because something else may explain them or because they are too few.",
            withheld=tell.count("withheld_domain_count"),
        ),
        lang.html("Being set aside says nothing about whether a site is accessible."),
    )
    return Words(claim, Markup(""), figure, caveats)


def _everywhere(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    claim = lang.html_plural(
        "{n} site that is not listed was hardly ever reached in the country: in {reached} of "
        "{tests} sessions on access networks, but in {reached_outside} of {outside} from VPNs, "
        "data centres and abroad.",
        "{n} sites that are not listed were hardly ever reached in the country: in {reached} of "
        "{tests} sessions on access networks, but in {reached_outside} of {outside} from VPNs, "
        "data centres and abroad.",
        len(tell.finding["sites"]), reached=values["reached_count"], tests=values["test_count"],
        reached_outside=values["reached_outside_count"], outside=values["outside_count"],
    )  # fmt: skip
    caveat = lang.html(
        "Either all networks of the country block them, or the sites refuse visitors from the "
        "country. The measurements cannot tell which."
    )
    return Words(claim, tell.name_sites(), Markup(""), (caveat,))


def _apps(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    settled, traced, likely = (
        counted(name, values[name], lang.number(values[name]))
        for name in ("settled_app_count", "traced_app_count", "likely_app_count")
    )
    claim = lang.html(
        "Of {settled} messaging apps and circumvention tools that were tested enough, {traced} "
        "were blocked and {likely} likely blocked, in whole or in part, on at least one access "
        "network.",
        settled=settled, traced=traced, likely=likely,
    )  # fmt: skip
    named = tell.first_of([_say_cut(lang, one) for one in values["cut"]], len(values["cut"]))
    caveats = [
        lang.html(
            "OONI flags {flagged} of the {failed} sessions in which {app} failed on {network}: it "
            "goes by the probe’s own summary, and this report by each attempt to connect.",
            flagged=one["flagged_count"], failed=one["failed_count"], network=one["network"],
            app=lang.english(one["app"]),
        )
        for one in values["cut"]
        if one["flagged_count"] < one["failed_count"]
    ]  # fmt: skip
    if values["defects"]:
        caveats.append(lang.html(
            "Tests that failed in other countries too, so that they say nothing here: {apps}.",
            apps=[lang.english(title) for title in values["defects"]],
        ))  # fmt: skip
    caveats.append(_say_control(lang, **values["control"]))
    figure = Markup("")
    if values["rows"]:
        figure = _draw_bars(
            lang,
            [_state_line(lang, *row) for row in values["rows"]],
            lang.say("App or tool"),
            lang.html(
                "Access networks on which each app or tool was cut off, in whole or in part. The "
                "numbers are blocked + likely blocked, of the networks on which it was tested "
                "enough."
            ),
        )
    sentences = lang.html("{parts}.", parts=Markup("; ").join(named)) if named else Markup("")
    return Words(claim, sentences, figure, tuple(caveats))


def _say_control(lang: Language, compared: int, total: int) -> Markup:
    """How many pairs of app and network were compared with other countries."""
    if compared == total:
        return lang.html("Each test was compared with the same weeks in other countries.")
    if compared:
        return lang.html(
            "{compared} of {total} pairs of app and network were compared with the same weeks in "
            "other countries; for the others there were no counts.",
            compared=compared, total=total,
        )  # fmt: skip
    return lang.html(
        "No counts of other countries were at hand: what failed on most networks at once cannot be "
        "told from a fault of the test."
    )


def _say_cut(lang: Language, one: Mapping[str, Any]) -> Markup:
    """What of an app was cut off on a network: which part, at which hours, how much of it."""
    values = {
        "app": lang.english(one["app"]), "network": one["network"],
        "part": lang.say(TEST_PARTS.get(one["part"], one["part"])),
        "cut": one["cut_count"], "all": one["endpoint_count"],
    }  # fmt: skip
    if one["is_at_hours"]:
        return lang.html(
            "{app} on {network}, at certain hours of the week only: {part} ({cut} of {all} "
            "addresses)",
            **values,
        )
    return lang.html("{app} on {network}: {part} ({cut} of {all} addresses)", **values)


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
    """How many are blocked and likely blocked, of so many where that is told."""
    if tested is None:
        note = lang.say("{traced} + {likely}", traced=traced, likely=likely)
    else:
        note = lang.say(
            "{traced} + {likely} of {tested}", traced=traced, likely=likely, tested=tested
        )
    return _Line(name, (traced, likely), note)


def _draw_bars(lang: Language, lines: Sequence[_Line], head: str, reading: Markup) -> Markup:
    """The figure of some counts, the first at the top.

    Args:
        lang: of the words.
        lines: those that there are; the first ones are shown.
        head: what the names are.
        reading: what the figure shows.
    """
    shown = lines[:MOST_ROWS]
    most = max((sum(line.parts) for line in shown), default=0) or 1
    rows = []
    for line in shown:
        edges = [0, *accumulate(line.parts)]
        bars = [
            Bar(start / most, end / most, look)
            for start, end, look in zip(edges, edges[1:], line.looks, strict=False)
            if end > start
        ]
        rows.append(Row(line.name, tuple(bars), "", line.note))
    reading += _say_shown(lang, len(shown), len(lines))
    named = [lang.say("{name}: {count}", name=line.name, count=line.note) for line in shown]
    alt = lang.say("Bars, the longest first: {rows}.", rows=Markup("; ").join(named))
    count = lang.say("Count")
    return draw_figure(draw_tracks(rows, (head, count, count)), alt, reading)


_KINDS: Mapping[str, Callable[[Telling], Words]] = {
    "onset": _onset,
    "networks": _networks,
    "methods": _methods,
    "categories": _categories,
    "changes": _changes,
    "hours": _hours,
    "unlisted": _unlisted,
    "apps": _apps,
    "everywhere": _everywhere,
}
