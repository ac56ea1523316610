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
    NETWORK_KINDS,
    SET_ASIDE_REASONS,
    STATES,
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
        source: with country and period, as the foot says them.
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
        "A bar runs from the first to the last failing test on any access network, days without a "
        "test included (half-height bar: likely blocked). The dotted line leads to the nearest "
        "test that reached the site, or to the edge if there was none. Sites on most networks "
        f"stand first. Source: {source}."
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
    is_listed = span["state"] in LISTED
    state = lang.say(STATES[span["state"]].words) if is_listed else lang.say("Failing, not listed")
    if not span["blocked_until"]:
        return lang.say("{state} from {first} to the last test", state=state, first=first)
    last = date.fromisoformat(span["blocked_until"])
    return lang.say("{state} from {first} to {last}", state=state, first=first, last=last)


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
    return lang.html(
        "Strength of the evidence, by pair of site and network: {grades}.",
        grades=[
            lang.html("{count} {grade}", count=counts[word], grade=lang.say(CERTAINTY[word]))
            for word in CERTAINTY
            if counts[word]
        ],
    )


def _onset(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    first, last = (date.fromisoformat(values[name]) for name in ("first_day", "last_day"))
    traced, likely = values["by_state"]
    claim = lang.html_plural(
        "Between {first} and {last}, {n} site became blocked ({traced}) or likely blocked "
        "({likely}) on at least one network that had reached it before; access networks: "
        "{networks}.",
        "Between {first} and {last}, {n} sites became blocked ({traced}) or likely blocked "
        "({likely}) on at least one network that had reached them before; access networks: "
        "{networks}.",
        len(tell.finding["sites"]), first=first, last=last,
        networks=len(values["networks"]), traced=traced, likely=likely,
    )  # fmt: skip
    said = []
    if known := _count_known(values):
        said.append(
            lang.html_plural(
                "{n} of these sites was blocked or likely blocked before, at another time or on "
                "another network.",
                "{n} of these sites were blocked or likely blocked before, at another time or on "
                "another network.",
                known,
            )
        )
    caveats = [
        lang.html(
            "These are the {days} days of the period with the most such sites; more tests find "
            "more of them.",
            days=WINDOW_DAYS,
        ),
        lang.html(
            "A block may have begun before it was first seen. Between the last test that reached "
            "the site and the first blocked one lie {usual} days in the median, and {most} days at "
            "most.",
            usual=values["open_days"][0], most=values["open_days"][1],
        ),
    ]  # fmt: skip
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
                "{n} more site was first seen blocked or likely blocked in these days, on a "
                "network where no test of the {days} days before had reached it.",
                "{n} more sites were first seen blocked or likely blocked in these days, on a "
                "network where no test of the {days} days before had reached them.",
                values["undated_count"],
                days=BRACKET_DAYS,
            )
        )
    named = Markup(" ").join([*said, tell.name_sites()])
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
        "Dark bars: first seen blocked or likely blocked in these days, on networks that had "
        "reached the site before; a dotted line leads back to the last test that reached it, and "
        "on to the next one that did. Pale bars: other times, or other networks. Half-height bars: "
        "likely blocked. Days without a test are part of a bar."
    )
    if len(new) > len(shown):
        reading += Markup(" ") + lang.html(
            "Shown are {count} sites: those on most networks, then by name.", count=len(shown)
        )
    return draw_on_axis(lang, lang.say("Site"), rows, period, events, alt, reading)


def _networks(tell: Telling) -> Words:
    lang, rows = tell.lang, tell.values["rows"]
    most = [row for row in rows if row[1] + row[2] == rows[0][1] + rows[0][2]]
    claim = lang.html(
        "Sites were blocked or likely blocked on {blocking} of the {access} access networks that "
        "tested at least one site enough. If networks that share an operator or a DNS resolver "
        "count as one, {sources} of them remain.",
        blocking=tell.count("blocking_network_count"),
        access=tell.count("tested_enough_network_count"),
        sources=tell.count("independent_network_count"),
    )  # fmt: skip
    largest = [
        lang.html("{network} ({traced} blocked, {likely} likely blocked)", network=network,
                  traced=traced, likely=likely)
        for network, traced, likely, _ in most
    ]  # fmt: skip
    named = [
        lang.html("Most listed sites: {networks}.", networks=tell.first_of(largest, len(largest)))
    ]
    if tell.values["widest"] > 1:
        named.append(
            lang.html(
                "Listed on the largest number of networks ({n}): {sites}.",
                n=tell.values["widest"], sites=tell.sites(tell.finding["sites"]),
            )
        )  # fmt: skip
    else:
        named.append(lang.html("No site is listed on more than one network."))
    figure = _draw_bars(
        lang,
        [_state_line(lang, *row) for row in rows],
        lang.say("Network"),
        lang.html(
            "Listed sites on each access network. Half-height bars: likely blocked. The numbers "
            "are blocked + likely blocked, of the sites tested enough there."
        ),
    )
    shared = [
        lang.html(
            "{networks} count as one: they share an operator or a DNS resolver.",
            networks=names,
        )
        for names in tell.values["shared"]
    ]
    caveat = lang.html(
        "A block that was seen on a network does not show who ordered it or carried it out."
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
            "Pairs of a site and an access network, by the step at which the connection failed, "
            "and how; the numbers are blocked + likely blocked. {traced} of {blocked} listed sites "
            "show a trace of blocking: a block page, a sinkhole (a false address that is given for "
            "many unrelated names), or an address that no site can have.",
            traced=tell.count("traced_domain_count"), blocked=tell.count("blocked_domain_count"),
        ),
    )  # fmt: skip
    caveats = (
        lang.html(
            "Of all pairs, {traced} are blocked and {likely} likely blocked.",
            traced=tell.count("traced_access_pair_count"),
            likely=tell.count("likely_access_pair_count"),
        ),
        lang.html(
            "One site may be blocked in different ways on different networks. Networks that share "
            "an operator or a DNS resolver are counted one by one here."
        ),
    )
    return Words(claim, named, figure, caveats)


def _categories(tell: Telling) -> Words:
    lang = tell.lang
    rows = [(lang.say(name), *counts) for name, *counts in tell.values["rows"]]
    name, traced, likely, tested = rows[0]
    claim = lang.html(
        "No category has more listed sites than {category}: {traced} blocked and {likely} likely "
        "blocked, of {tested} that were tested enough. Listed sites of the country: {local} of "
        "{local_tested} that were tested enough; from elsewhere: {other} of {other_tested}.",
        category=name, traced=traced, likely=likely, tested=tested,
        local=tell.count("blocked_local_domain_count"), local_tested=tell.values["local_tested"],
        other=tell.numbers["blocked_domain_count"] - tell.numbers["blocked_local_domain_count"],
        other_tested=tell.values["other_tested"],
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
    caveats = [
        lang.html(
            "Test lists decide what is tested. A category with many listed sites is not "
            "necessarily censored more than others."
        )
    ]
    if tell.values["unlisted_count"]:
        caveats.append(
            lang.html(
                "Listed sites without a category, because they are on none of the test lists that "
                "were given: {n}.",
                n=tell.values["unlisted_count"],
            )
        )
    return Words(claim, named, figure, tuple(caveats))


def _changes(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    claim = lang.html(
        "Sites listed in the first half: {first}; in the second half: {second}; in both halves: "
        "{both}.",
        first=tell.count("blocked_domain_count_first"),
        second=tell.count("blocked_domain_count_second"),
        both=tell.count("listed_in_both_count"),
    )
    named = [
        lang.html(
            "Site by site, on the networks that can be compared: {new} reachable in the first half "
            "and listed in the second, {gone} listed and then reachable, {still} listed in both. "
            "Networks differ on {mixed}, and {uncomparable} cannot be compared.",
            new=tell.count("newly_blocked_count"), gone=tell.count("no_longer_blocked_count"),
            still=tell.count("still_blocked_count"), mixed=tell.count("mixed_count"),
            uncomparable=tell.count("not_comparable_count"),
        )
    ]  # fmt: skip
    for change in ("newly_blocked", "no_longer_blocked"):
        if values[change]:
            said = {"change": lang.say(CHANGES[change]), "sites": tell.sites(values[change])}
            named.append(lang.html("{change}: {sites}.", **said))
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
            "Sites that are listed in the period or in a half, by their stronger state on the "
            "networks that are compared; the numbers are blocked + likely blocked. Hollow bars: "
            "the networks differ, or one half has too few tests."
        ),
    )  # fmt: skip
    caveats = [
        lang.html(
            "A half shows what most of its tests show: a block may begin, end and come back within "
            "a half. The comparison says nothing about the day on which a block began."
        ),
        lang.html(
            "A network is compared if it tested a site enough in both halves and shows it listed "
            "or reachable in each. Of the sites that changed, {alone} of {changed} are compared on "
            "one network only.",
            alone=values["alone_count"], changed=tell.finding["site_count"],
        ),
    ]  # fmt: skip
    if values["early_count"]:
        caveats.append(
            lang.html(
                "Of the sites that were reachable in the first half and listed in the second, "
                "{early} were first seen blocked or likely blocked before the second half began.",
                early=values["early_count"],
            )
        )
    return Words(claim, Markup(" ").join(named), figure, tuple(caveats))


def _hours(tell: Telling) -> Words:
    lang = tell.lang
    traced, likely = tell.values["by_state"]
    claim = lang.html_plural(
        "{n} site was blocked ({traced}) or likely blocked ({likely}) at certain hours of the week "
        "on at least one network.",
        "{n} sites were blocked ({traced}) or likely blocked ({likely}) at certain hours of the "
        "week on at least one network.",
        len(tell.finding["sites"]), traced=traced, likely=likely,
    )  # fmt: skip
    caveat = lang.html(
        "Hours are reported if tests inside them failed three times while tests outside them "
        "reached the site. They are whole hours."
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
                _windows(local), lang.say("failing at {hours}", hours=schedule_words(local, lang)),
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
    alt = lang.say("A day's axis with the hours at which each of {n} sites failed.", n=len(rows))
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
        "Sites with anomalies that are not listed: {n} of {tested} tested sites. The most frequent "
        "reason: “{reason}” ({most} sites).",
        n=tell.count("set_aside_count"), tested=tell.count("domain_count"),
        most=rows[0][1], reason=rows[0][0],
    )  # fmt: skip
    figure = _draw_bars(
        lang,
        [_Line(name, (count,), lang.number(count), ("hollow",)) for name, count in rows],
        lang.say("Reason"),
        lang.html("Sites that are not listed although they had anomalies, by reason."),
    )
    caveats = (
        lang.html(
            "On {withheld} of them, repeated failures look like blocking: {periods} periods of "
            "failures on {networks} networks. They are not listed, because something else may "
            "explain them or because there are too few of them. In {traced} of these periods the "
            "tests saw a false address or a block page.",
            withheld=tell.count("withheld_domain_count"),
            **tell.values["withheld"],
        ),
        lang.html("A site is not shown to be accessible because it is not listed."),
    )
    return Words(claim, Markup(""), figure, caveats)


def _everywhere(tell: Telling) -> Words:
    lang, values = tell.lang, tell.values
    claim = lang.html_plural(
        "{n} site that is not listed was hardly ever reached in the country: in {reached} of "
        "{tests} sessions on access networks, but in {reached_outside} of {outside} sessions on "
        "other networks ({kinds}).",
        "{n} sites that are not listed were hardly ever reached in the country: in {reached} of "
        "{tests} sessions on access networks, but in {reached_outside} of {outside} sessions on "
        "other networks ({kinds}).",
        len(tell.finding["sites"]), reached=values["reached_count"], tests=values["test_count"],
        reached_outside=values["reached_outside_count"], outside=values["outside_count"],
        kinds=[
            lang.html("{kind}: {reached} of {all}", kind=lang.say(NETWORK_KINDS[kind]),
                      reached=reached, all=total)
            for kind, reached, total in values["kinds"]
        ],
    )  # fmt: skip
    caveat = lang.html(
        "Either these sites are blocked on all networks of the country, or they refuse visitors "
        "from it. The measurements cannot tell which. Sites with another known reason are not "
        "counted here."
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
            "OONI flags {flagged} of the {failed} sessions in which {app} failed on {network}: "
            "OONI uses the probe’s own summary, this report each attempt to connect.",
            flagged=one["flagged_count"], failed=one["failed_count"], network=one["network"],
            app=lang.english(one["app"]),
        )
        for one in values["cut"]
        if one["flagged_count"] < one["failed_count"]
    ]  # fmt: skip
    if values["defects"]:
        caveats.append(lang.html(
            "Tests that failed in other countries too during part of the period, and are not "
            "counted here: {apps}.",
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
        "since": date.fromisoformat(one["since"]), "failed": one["failed_count"],
        "sessions": one["session_count"],
    }  # fmt: skip
    if one["is_at_hours"]:
        return lang.html(
            "{app} on {network}, at certain hours of the week only: “{part}”, {cut} of {all} "
            "endpoints, since {since} ({failed} of {sessions} sessions failed)",
            **values,
        )
    return lang.html(
        "{app} on {network}: “{part}”, {cut} of {all} endpoints, since {since} ({failed} of "
        "{sessions} sessions failed)",
        **values,
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
    heads = (head, lang.say("Chart"), lang.say("Count"))
    return draw_figure(draw_tracks(rows, heads), alt, reading)


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
