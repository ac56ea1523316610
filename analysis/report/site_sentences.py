"""What is known of a site, said in whole sentences."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache

from markupsafe import Markup

from analysis.languages.language import Language
from analysis.languages.spoken_values import elided, visible
from analysis.languages.translations import PLACE
from analysis.outcomes.rules import RULES_BY_ID
from analysis.pages.formats import link
from analysis.pages.markup import macros
from analysis.reference import countries
from analysis.report.local_time import local_schedule, schedule_words
from analysis.report.site_records import Row, Setting, SiteRecord, is_access
from analysis.verdicts.witnesses import countries_url
from analysis.vocabulary import (
    INSUFFICIENT,
    MATRIX_STATES,
    MECHANISMS,
    METHODS,
    NETWORK_KINDS,
    SET_ASIDE_REASONS,
    State,
)

#: Longer than any sentence of ours.
_LONGEST = 400
#: No model of the world is right further out.
_LEAST_CHANCE = 1e-9


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
    return state_mark(lang, MATRIX_STATES[f"{cell.state}{why}"])


def state_mark(lang: Language, state: State) -> Markup:
    """A state's mark and its words."""
    mark = macros("values.html.j2").mark(state)
    return Markup('<span class="state">{} {}</span>').format(mark, lang.html(state.words))


def say_stretch(lang: Language, stretch: Row, setting: Setting) -> Markup:
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
    parts = [kept, _say_around(lang, stretch), *_say_hours(lang, stretch, setting)]
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


def _say_hours(lang: Language, stretch: Row, setting: Setting) -> Iterator[Markup]:
    if not stretch.schedule:
        return
    zone = countries.capital_zone(setting.probe_cc)
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
        many=pairs_of_chance(chance),
    )


def pairs_of_chance(chance: str) -> int:
    """Of how many pairs one has this chance: two digits, rounded down, a billion at most."""
    many = int((1 + 1e-9) / max(float(chance), _LEAST_CHANCE))
    step = int(10 ** max(len(str(many)) - 2, 0))
    return many // step * step


def say_flip(lang: Language, cell: Row) -> Markup:
    """How many forged sessions would change a verdict."""
    return lang.html_plural(
        "It would take {n} forged session at least to change this.",
        "It would take {n} forged sessions at least to change this.",
        int(cell.sessions_to_flip),
    )


def say_failing(lang: Language, cell: Row) -> Markup:
    """What the sessions of a pair that is not listed show."""
    return lang.html(
        "{blocked} of {all} sessions failed in a way that blocking could cause, {ok} reached the "
        "site.",
        blocked=int(cell.blocked_session_count),
        all=int(cell.session_count),
        ok=int(cell.ok_session_count),
    )


def say_spelling(lang: Language, domain: str) -> Iterator[Markup]:
    """How a name in another script than Latin is written there, after the form that is tested."""
    if "xn--" not in domain:
        return
    try:
        spelled = domain.encode("ascii").decode("idna")
    except UnicodeError:
        return
    yield lang.html("In its own script the name is written {name}.", name=spelled)


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


def say_withheld(lang: Language, stretch: Row) -> Markup:
    """A stretch that is surprising and not listed, with the reason."""
    return lang.html(
        "{count} sessions failed from {since} to {until}. Not listed: {reason}.",
        count=int(stretch.session_count),
        since=_day(stretch.blocked_from),
        until=_day(stretch.blocked_until),
        reason=word(lang, stretch.reason),
    )


def say_status(lang: Language, record: SiteRecord) -> Markup:
    """What became of the site, in one sentence."""
    if record.site.status == "listed":
        return lang.html_plural(
            "Blocked or likely blocked on {n} access network.",
            "Blocked or likely blocked on {n} access networks.",
            len(record.listed),
        )
    return lang.html(
        "Set aside, and not on the list of blocked sites: {reason}.",
        reason=word(lang, SET_ASIDE_REASONS.get(record.site.reason, record.site.reason)),
    )


def say_tests(lang: Language, record: SiteRecord) -> Markup:
    """How much the site was tested, and how its name is written in another script."""
    tests = lang.html(
        "Tested {measurements} times, in {sessions} sessions on {networks} networks.",
        measurements=int(record.site.measurement_count),
        sessions=int(record.site.session_count),
        networks=int(record.site.network_count),
    )
    return Markup(" ").join([tests, *say_spelling(lang, record.site.domain)])


def list_by_state(
    lang: Language, cells: Iterable[Row]
) -> list[tuple[Markup, list[tuple[Markup, Markup]]]]:
    """State in words → the networks with that state, each with what its sessions show."""
    groups: dict[str, list[Row]] = {}
    for cell in cells:
        groups.setdefault(f"{cell.state}:{cell.insufficient_reason}", []).append(cell)
    return [
        (state_words(lang, rows[0]), [(_named(lang, row), _say_counts(lang, row)) for row in rows])
        for rows in groups.values()
    ]


def _named(lang: Language, cell: Row) -> Markup:
    """A network, with its kind where that is no access network."""
    if is_access(cell):
        return network_name(cell)
    return Markup("{}, {}").format(network_name(cell), lang.html(NETWORK_KINDS[cell.kind]))


def _say_counts(lang: Language, cell: Row) -> Markup:
    """Of how many sessions so many reached the site."""
    return lang.html("{ok} of {all}", ok=int(cell.ok_session_count), all=int(cell.session_count))


def list_rules(lang: Language, record: SiteRecord) -> list[tuple[str, Markup, int]]:
    """The rules that most blocked sessions fired: name, what it says, on how many networks."""
    counts: dict[str, int] = {}
    for cell in record.listed:
        counts[cell.rule_id] = counts.get(cell.rule_id, 0) + 1
    return [
        (rule_id, lang.html(RULES_BY_ID[rule_id].comment), count)
        for rule_id, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        if rule_id in RULES_BY_ID
    ]


def list_witnesses(record: SiteRecord) -> list[Markup]:
    """A link for each listed network to the one measurement that shows what is said of it."""
    return [
        link(cell.witness_url, cell.network or cell.probe_asn)
        for cell in record.listed
        if cell.witness_url
    ]


def say_other_methods(lang: Language, record: SiteRecord) -> Iterator[Markup]:
    """OONI's flags, and who else would list the site from the same measurements."""
    if record.flags is not None:
        yield lang.html(
            "OONI flags {anomalies} of {all} measurements as anomalies, and {confirmed} of these "
            "as confirmed.",
            anomalies=int(record.flags.anomaly_count),
            all=int(record.flags.measurement_count),
            confirmed=int(record.flags.confirmed_count),
        )
    listing = [words for key, words in METHODS.items() if key != "this_method" and
               record.methods is not None and getattr(record.methods, key)]  # fmt: skip
    if listing:
        yield lang.html("Other methods that would list it: {methods}.",
                        methods=[lang.html(words) for words in listing])  # fmt: skip
    else:
        yield lang.html("No other method that was tried would list it.")


def say_why_not(lang: Language, record: SiteRecord) -> Iterator[Markup]:
    """For a listed site, what speaks against each innocent explanation, or does not."""
    cells = record.cells
    down = sum(int(cell.down_session_count) for cell in cells)
    every = sum(int(cell.session_count) for cell in cells)
    yield lang.html(
        "The site was down? In {down} of {all} sessions an uncensored network could not reach it "
        "either.",
        down=down,
        all=every,
    )
    reached = [cell for cell in cells if is_access(cell) and cell.ok_session_count]
    if reached:
        yield lang.html_plural(
            "The site refuses the country? On {n} access network it was reached, in {sessions} "
            "sessions.",
            "The site refuses the country? On {n} access networks it was reached, in {sessions} "
            "sessions.",
            len(reached),
            sessions=sum(int(cell.ok_session_count) for cell in reached),
        )
    else:
        yield lang.html(
            "The site refuses the country? No access network reached it in the period, so that "
            "only the way in which it fails speaks against this."
        )
    hits = sum(int(cell.blocked_session_count) for cell in record.listed)
    yield lang.html_plural(
        "One person, or one faulty probe? In the whole period {sessions} sessions were blocked, on "
        "{n} network.",
        "One person, or one faulty probe? In the whole period {sessions} sessions were blocked, on "
        "{n} networks.",
        len(record.listed),
        sessions=hits,
    )


def link_countries(record: SiteRecord, setting: Setting) -> Markup:
    """OONI's counts of the site in all countries; empty where OONI cannot know it."""
    if setting.is_fictional:
        return Markup("")
    return link(countries_url(record.site.domain, setting.period), "OONI Explorer")


def reason_words(lang: Language, status: str, reason: str) -> str:
    """Why a site has its status, in a few words; empty where nothing has to be said."""
    if not reason:
        return ""
    if reason in INSUFFICIENT:
        return lang.say(INSUFFICIENT[reason].words)
    if status == "not_enough_tests" and reason == "not_domestic":
        return lang.say("Tested on no access network")
    return lang.say(SET_ASIDE_REASONS[reason]) if reason in SET_ASIDE_REASONS else reason


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
