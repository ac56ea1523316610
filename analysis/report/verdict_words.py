"""A verdict in whole sentences, for pages of sites, the annex, notebooks and ``explain`` alike."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from analysis.languages.language import Language, elided, pairs_of_chance, visible
from analysis.languages.translations import PLACE
from analysis.pages.markup import macros
from analysis.reference import countries
from analysis.report.local_time import local_schedule, schedule_words
from analysis.vocabulary import MATRIX_STATES, MECHANISMS

#: A row of a table, by the names of its columns.
Row = Any
#: Longer than any sentence of ours.
_LONGEST = 400


def say_verdict(
    lang: Language,
    verdict: Row,
    stretches: Sequence[Row],
    withheld: Sequence[Row],
    names: Mapping[str, str],
    probe_cc: str,
) -> list[Markup]:
    """All that a verdict says besides its state, a text for each thing.

    Args:
        lang: of the words.
        verdict: a row of ``verdicts``.
        stretches: the rows of ``blocked_site_networks`` of that site and network.
        withheld: those of ``withheld_intervals``.
        names: ``AS123`` → name of the network, for resolvers of other networks.
        probe_cc: the country, whose capital has clocks of its own.

    Returns:
        Each listed stretch, each one that is not listed, the resolvers, how many forged sessions
        would change it; where nothing is listed, how many sessions failed.
    """
    said = [_say_stretch(lang, stretch, probe_cc) for stretch in stretches]
    said += [_say_withheld(lang, stretch) for stretch in withheld]
    if stretches:
        return [*said, *say_resolvers(lang, verdict, names), _say_flip(lang, verdict)]
    return [*said, _say_failing(lang, verdict)]


def word(lang: Language, text: str) -> Markup:
    """A word or sentence of the tables in a language. What is none of ours stands as it is, inert:
    a category is a word of somebody's list."""
    shown = elided(visible(text), _LONGEST)
    if shown != text or PLACE.search(text):
        return Markup("<bdi>{}</bdi>").format(shown)
    return lang.html(text)


def network_name(cell: Row) -> Markup:
    """A network's name and number."""
    return _name_and_number(cell.network, cell.probe_asn)


@lru_cache(maxsize=4096)  # a page names all networks
def _name_and_number(name: str, number: str) -> Markup:
    name = elided(visible(name))
    if not name or name == number:
        return Markup("<bdi>{}</bdi>").format(number)
    return Markup("<bdi>{}</bdi> <small>({})</small>").format(name, number)


def state_words(lang: Language, cell: Row) -> Markup:
    """A state as mark and word, and why there is no conclusion where there is none."""
    why = f":{cell.insufficient_reason}" if cell.insufficient_reason else ""
    return _mark_and_word(lang, f"{cell.state}{why}")


@lru_cache(maxsize=64)
def _mark_and_word(lang: Language, name: str) -> Markup:
    state = MATRIX_STATES[name]
    mark = macros("values.html.j2").mark(state)
    return Markup('<span class="state">{} {}</span>').format(mark, lang.html(state.words))


def _say_stretch(lang: Language, stretch: Row, probe_cc: str) -> Markup:
    """A listed stretch: sessions, mechanism, days and what lies around them, hours, chance."""
    counts = {
        "blocked": stretch.blocked_session_count,
        "total": stretch.session_count,
        "since": _day(stretch.blocked_from),
        "mechanism": word(lang, MECHANISMS.get(stretch.mechanism, stretch.mechanism)),
    }
    if stretch.blocked_until:
        kept = lang.html(
            "{blocked} of {total} sessions were kept from the site, from {since} to {until} "
            "({mechanism}).",
            until=_day(stretch.blocked_until),
            **counts,
        )
    else:
        kept = lang.html(
            "{blocked} of {total} sessions were kept from the site, from {since} to the last "
            "tests of the period ({mechanism}).",
            **counts,
        )
    parts = [kept, _say_around(lang, stretch), *_say_hours(lang, stretch, probe_cc)]
    if "not tested since" in stretch.note:
        parts.append(lang.html("Nobody has tested it there since."))
    parts.append(_say_chance(lang, stretch.chance))
    return Markup(" ").join(parts)


def _say_around(lang: Language, stretch: Row) -> Markup:
    before, after = _day(stretch.last_seen_open), _day(stretch.first_seen_open_again)
    if before and after:
        return lang.html("It was last seen open before on {before}, and open again on {after}.",
                         before=before, after=after)  # fmt: skip
    if before:
        return lang.html("It was last seen open before on {before}, and not again after.",
                         before=before)  # fmt: skip
    if after:
        return lang.html("It was not seen open before, and open again on {after}.", after=after)
    return lang.html("It was seen open neither before nor after.")


def _say_hours(lang: Language, stretch: Row, probe_cc: str) -> Iterator[Markup]:
    if not stretch.schedule:
        return
    zone = countries.capital_zone(probe_cc)
    local = (
        local_schedule(stretch.schedule, zone, stretch.blocked_from, stretch.blocked_until)
        if zone
        else ""
    )
    if local:
        yield lang.html(
            "This holds at some hours of the week only: {hours} UTC, which is {local} by the "
            "clocks of the capital.",
            hours=schedule_words(stretch.schedule, lang),
            local=schedule_words(local, lang),
        )
    else:
        yield lang.html(
            "This holds at some hours of the week only: {hours} UTC.",
            hours=schedule_words(stretch.schedule, lang),
        )
    yield lang.html("Open before and after is meant of these hours alone.")


def _say_chance(lang: Language, chance: str) -> Markup:
    if not chance:
        return lang.html("A mark that only blocking leaves decides.")
    return lang.html(
        "By chance, at most one of {many} pairs that nobody blocks would look so.",
        many=pairs_of_chance(float(chance)),
    )


def _say_flip(lang: Language, cell: Row) -> Markup:
    """How many forged sessions would change a verdict."""
    return lang.html_plural(
        "It would take {n} forged session at least to change this.",
        "It would take {n} forged sessions at least to change this.",
        int(cell.sessions_to_flip),
    )


def _say_failing(lang: Language, cell: Row) -> Markup:
    """What the sessions of a pair that is not listed show."""
    return lang.html(
        "{blocked} of {all} sessions failed in a way that blocking could cause, {ok} reached the "
        "site.",
        blocked=int(cell.blocked_session_count),
        all=int(cell.session_count),
        ok=int(cell.ok_session_count),
    )


def _say_withheld(lang: Language, stretch: Row) -> Markup:
    """A stretch that is surprising and not listed, with the reason."""
    return lang.html(
        "{count} sessions failed from {since} to {until}. Not listed: {reason}.",
        count=int(stretch.session_count),
        since=_day(stretch.blocked_from),
        until=_day(stretch.blocked_until),
        reason=word(lang, stretch.reason),
    )


def say_resolvers(lang: Language, cell: Row, names: Mapping[str, str]) -> Iterator[Markup]:
    """Through whose resolver a false answer came, where it was another network's.

    Args:
        lang: of the words.
        cell: a verdict, or a stretch.
        names: ``AS123`` → name of the network.
    """
    numbers = [asn for asn in cell.resolver_asns.split(";") if asn and asn != cell.probe_asn]
    others = [_name_and_number(names.get(asn, ""), asn) for asn in numbers]
    if others:
        yield lang.html("Seen through the resolver of {networks}.", networks=others)


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
