"""A verdict in whole sentences, for pages of sites, the annex, notebooks and ``explain`` alike.

Hours of the week are given by the clocks of the country's capital as well.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from markupsafe import Markup

from analysis import vocabulary
from analysis.languages.language import (
    ENGLISH,
    PLACE,
    Language,
    elided,
    pairs_of_chance,
    visible,
)
from analysis.pages.formats import (
    chance_words,
    counted,
    macros,
    make_environment,
    pair_link,
    site_link,
)
from analysis.period import day_of
from analysis.reference.reference_files import capital_zone
from analysis.tables import read_network, tell_network
from analysis.verdicts.caveats import BEFORE_FIRST_TEST, BYSTANDER, ONE_INPUT
from analysis.verdicts.reasons import BELOW_LINE
from analysis.verdicts.rivals import NO, RIVALS, answer_rivals
from analysis.vocabulary import (
    CERTAINTY,
    CERTAINTY_FROM,
    LEAST_CHANCE,
    MATRIX_STATES,
    MECHANISMS,
    STATES,
)

TEMPLATES = Path(__file__).parent / "templates"
_SCHEDULE = re.compile(r"(?P<days>\w{3}(?:-\w{3}|(?:,\w{3})*)) (?P<windows>\d\d:.+)")
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_DAY = re.compile("|".join(_DAYS))
_CHANGE = "; when the clocks change: "


def add_local_hours(table: pd.DataFrame, probe_cc: str) -> pd.DataFrame:
    """Return a table with ``local_schedule`` behind its ``schedule``, if there are hours of the
    week.

    Args:
        table: ``schedule, blocked_from, blocked_until``.
        probe_cc: the country; a fictional one has no clocks, and its table stays as it is.
    """
    zone = capital_zone(probe_cc)
    if zone is None or not (table["schedule"] != "").any():
        return table
    columns = (table[name] for name in ("schedule", "blocked_from", "blocked_until"))
    local = [
        local_schedule(hours, zone, first, last)
        for hours, first, last in zip(*columns, strict=True)
    ]
    position = list(table.columns).index("schedule") + 1
    added = table.copy()
    added.insert(position, "local_schedule", local)
    return added


def local_schedule(
    schedule: str, zone: ZoneInfo | None, first_day: date, last_day: date | None = None
) -> str:
    """Return a UTC schedule in the local time of a zone.

    ``Mon-Fri 22:00-24:00`` is ``Tue-Sat 05:00-07:00`` seven hours ahead, and so is a set of days
    (``Wed,Sun 22:00-24:00`` is ``Mon,Thu 05:00-07:00``); where the clocks change meanwhile, both
    are given.
    """
    match = _SCHEDULE.fullmatch(schedule)
    if not match or zone is None:
        return ""
    shifts = dict.fromkeys(
        datetime.combine(day, time(12), UTC).astimezone(zone).utcoffset()
        for day in map(day_of, (first_day, last_day))
        if day
    )
    texts = [_shifted(match, shift) for shift in shifts if shift is not None]
    return _CHANGE.join(texts)


def schedule_words(schedule: str, lang: Language) -> str:
    """Return a schedule, or a local one, with the days of the week as a language names them."""
    written = [
        _DAY.sub(lambda day: lang.weekday(_DAYS.index(day[0])), text)
        for text in schedule.split(_CHANGE)
    ]
    if len(written) == 1:
        return written[0]
    before, after = written
    return lang.say("{before}; when the clocks change: {after}", before=before, after=after)


def _shifted(match: re.Match[str], shift: timedelta) -> str:
    """Return the shifted windows, by the day of the week on which they then begin."""
    minutes = int(shift.total_seconds() // 60)
    by_day: dict[int, list[str]] = {}
    for window in match["windows"].split(", "):
        since, until = (_minutes(edge) + minutes for edge in window.split("-"))
        text = f"{_clock(since)}-{_clock(until, is_end=True)}"
        by_day.setdefault(since // (24 * 60), []).append(text)
    return "; ".join(
        f"{_days_of(match, step)} {', '.join(windows)}" for step, windows in sorted(by_day.items())
    )


def _days_of(match: re.Match[str], step: int) -> str:
    """Return the days, a run (``Mon-Fri``) or a set (``Wed,Sat,Sun``), so many days later."""
    days = [_DAYS.index(name) for name in re.split("[-,]", match["days"])]
    if "-" not in match["days"]:
        return ",".join(_DAYS[day] for day in sorted((day + step) % 7 for day in days))
    if days[1] == (days[0] - 1) % 7:
        step = 0  # all days of the week stay all of them
    return "-".join(_DAYS[(day + step) % 7] for day in days)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


def _clock(minutes: int, *, is_end: bool = False) -> str:
    within = minutes % (24 * 60)
    if is_end and within == 0:
        return "24:00"
    return f"{within // 60:02}:{within % 60:02}"


#: A row of a table, by the names of its columns.
Row = Any
#: Longer than any sentence of ours.
_LONGEST = 600
#: A gap without a test is mentioned from this number of days on.
_LEAST_GAP = 14


def say_verdict(
    lang: Language,
    verdict: Row,
    stretches: Sequence[Row],
    withheld: Sequence[Row],
    names: Mapping[int, str],
    probe_cc: str,
) -> list[Markup]:
    """Return the sentences on a verdict besides its state.

    Args:
        lang: of the words.
        verdict: a row of ``verdicts``.
        stretches: the rows of ``blocked_site_networks`` of that site and network.
        withheld: those of ``withheld_intervals``.
        names: number → name of the network, for resolvers of other networks.
        probe_cc: the country, whose capital has clocks of its own.

    Returns:
        Each listed stretch, each one that is not listed, the resolvers, what cannot be told, how
        many forged sessions would change it; where nothing is listed, how many sessions failed.
    """
    zone = capital_zone(probe_cc)
    timed = [
        (item, local_schedule(item.schedule, zone, item.blocked_from, item.blocked_until))
        for item in stretches
    ]
    grade = CERTAINTY[grade_certainty(verdict)] if stretches else ""
    parts = _split_note(verdict.note)
    remarks = [part for part in parts if part in (BYSTANDER, *ONE_INPUT.values())]
    resolvers = name_resolvers(verdict, names)
    template = open_template("verdict.html.j2", lang).module
    text = template.say_verdict(verdict, timed, withheld, resolvers, remarks, grade)
    return list(Markup(text).split(END))


def grade_certainty(verdict: Row) -> str:
    """Return the key of ``CERTAINTY`` for a listed pair; thin if one session may have made it."""
    if verdict.sessions_to_flip < 2:
        return "thin"
    count = verdict.blocked_session_count
    return next(word for word, least in CERTAINTY_FROM.items() if count >= least)


#: Separates the parts of a template's text; no value can contain it, see ``language.visible``.
END = Markup("\x1e")


@lru_cache(maxsize=32)
def open_template(name: str, lang: Language) -> Any:
    """Return a template of this folder, with the words of the method as globals."""
    environment = make_environment(TEMPLATES, lang=lang)
    environment.globals |= {
        "end": END,
        "day": day_of,
        "word": partial(word, lang),
        "hours": partial(schedule_words, lang=lang),
        "chance_words": partial(chance_words, lang=lang),
        "network_name": network_name,
        "counted": lambda name, number: counted(name, number, lang.number(number)),
        "site_link": site_link,
        "pair_link": pair_link,
        "vocabulary": vocabulary,
        "mechanisms": MECHANISMS,
        "least_chance": LEAST_CHANCE,
        "states": STATES,
        "pairs_of_chance": pairs_of_chance,
        "below_line": BELOW_LINE,
        "least_gap": _LEAST_GAP,
        "before_first_test": BEFORE_FIRST_TEST,
    }
    environment.filters["english"] = lang.english
    return environment.get_template(name)


def split_parts(text: str) -> list[Markup]:
    """Return what a template says of several things, each followed by ``END``, one by one."""
    return [part for part in map(Markup.strip, Markup(text).split(END)) if part]


def say_rivals(lang: Language, stretches: Sequence[Row], withheld: Sequence[Row]) -> list[Markup]:
    """Return the other explanations of each stretch, as questions and answers, without repetitions.

    Args:
        lang: of the words.
        stretches, withheld: see ``say_verdict``. What was withheld for another reason than a rival
            was not asked about.
    """
    cases = [(item.mechanism, item.state, "") for item in stretches]
    cases += [
        (item.mechanism, item.state, item.reason) for item in withheld if item.reason in _RIVALS
    ]
    sentences = []
    for mechanism, state, reason in dict.fromkeys(cases):
        named = word(lang, MECHANISMS.get(mechanism, mechanism))
        answers = [
            lang.html("{question} No.", question=word(lang, question))
            if answer == NO
            else lang.html("{question} Yes.", question=word(lang, question))
            for question, answer in answer_rivals(mechanism, state, reason)
        ]
        if answers:  # of a mark nothing is asked
            words = Markup(" ").join(answers)
            sentences.append(lang.html("Failures “{name}”: {words}", name=named, words=words))
    return sentences


#: Our sentences that contain the separator of a note.
_RIVALS = [rival.words for rival in RIVALS]
_WHOLE = [text for text in (*_RIVALS, BEFORE_FIRST_TEST) if "; " in text]
_ELSEWHERE = re.compile(r"in other countries ([\d.]+ %) fail")


def _split_note(note: str) -> list[str]:
    """Split a note into its sentences."""
    for whole in _WHOLE:
        note = note.replace(whole, whole.replace("; ", ";\n"))
    return [part.replace(";\n", "; ") for part in note.split("; ") if part]


def say_note(lang: Language, note: str) -> str:
    """Return a note of a verdict in a language, sentence by sentence."""
    if lang == ENGLISH:
        return note
    sentences = []
    for part in _split_note(note):
        share = _ELSEWHERE.fullmatch(part)
        sentences.append(
            lang.say("in other countries {share} fail", share=share[1]) if share else lang.say(part)
        )
    return "; ".join(sentences)


def word(lang: Language, text: str) -> Markup:
    """Return a word or sentence of the tables in a language. A text that is not ours is returned
    as it is, inert: a category is a word of somebody's list.
    """
    shown = elided(visible(text), _LONGEST)
    if shown != text or PLACE.search(text):
        return Markup("<bdi>{}</bdi>").format(shown)
    return lang.html(text)


def network_name(cell: Row) -> Markup:
    """Return a network's name and number."""
    return _name_and_number(cell.network, tell_network(cell.probe_asn))


@lru_cache(maxsize=4096)  # a page names all networks
def _name_and_number(name: str, number: str) -> Markup:
    name = elided(visible(name))
    if not name or name == number:
        return Markup("<bdi>{}</bdi>").format(number)
    return Markup("<bdi>{}</bdi> <small>({})</small>").format(name, number)


def state_words(lang: Language, cell: Row) -> Markup:
    """Return a state as mark and word, with the reason if there is no conclusion."""
    why = f":{cell.insufficient_reason}" if cell.insufficient_reason else ""
    return _mark_and_word(lang, f"{cell.state}{why}")


@lru_cache(maxsize=64)
def _mark_and_word(lang: Language, name: str) -> Markup:
    state = MATRIX_STATES[name]
    mark = macros("values.html.j2").mark(state)
    return Markup('<span class="state">{} {}</span>').format(mark, lang.html(state.words))


def name_resolvers(cell: Row, names: Mapping[int, str]) -> list[Markup]:
    """Return the networks whose resolvers gave a false answer, if these are other networks.

    Args:
        cell: a verdict, or a stretch.
        names: number → name of the network.
    """
    return [
        _name_and_number(names.get(read_network(asn), ""), asn)
        for asn in cell.resolver_asns.split(";")
        if asn not in ("", tell_network(cell.probe_asn))
    ]
