"""The care of the test lists: lines that are dead, doubled, mistyped, never tested, or misfiled.

Each row has the line as it stands and as it should stand, in the list's own form, for a pull
request to citizenlab/test-lists. What is proposed is a person's to decide.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from urllib.parse import urlsplit

import pandas as pd

from analysis.hosts import canonical, is_placeholder, registrable_domain
from analysis.planning.ranking import find_dead_names
from analysis.reference.test_lists import LIST_COLUMNS, ListEntry, TestLists

Row = dict[str, object]
#: The fewest letters of a registered name; shorter names differ in one letter by chance.
_SHORTEST = 7


#: Names by their state on all networks together.
Seen = Mapping[str, frozenset[str]]


def find_seen(verdicts: pd.DataFrame) -> Seen:
    """Group names by their ``verdicts``.

    ``tested``. ``dead``: see ``ranking.find_dead_names``. ``down``: judged, and never as anything
    but down. ``reached``: on a network at least.
    """
    whole = verdicts[(verdicts["period"] == "all") & (verdicts["domain"] != "")]
    judged = whole[whole["state"] != "insufficient"]
    is_down = (judged["state"] == "down").groupby(judged["domain"]).all()
    return {
        "tested": frozenset(whole["domain"]),
        "dead": find_dead_names(whole),
        "down": frozenset(is_down[is_down].index),
        "reached": frozenset(whole.loc[whole["ok_session_count"] > 0, "domain"]),
    }


def review_lists(lists: TestLists, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the contract's ``list_care``: one row per line of a list and what is wrong with it.

    A line whose name is withheld has none: the number of the line would give the name away.
    """
    states = find_seen(verdicts)
    rows = [
        row
        for row in (
            *_find_doubles(lists.entries),
            *_find_twins(lists.entries),
            *_find_other_categories(lists),
            *_find_dead(lists.entries, states),
            *_find_misspelt(lists.entries, states),
        )
        if not is_placeholder(str(row["domain"]))
    ]
    columns = [
        "file",
        "line",
        "problem",
        "action",
        "domain",
        "url",
        "why",
        "line_now",
        "line_proposed",
    ]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["file", "line", "problem"], ignore_index=True
    )


def _row(
    entry: ListEntry, problem: str, action: str, why: str, proposed: ListEntry | None = None
) -> Row:
    """Return a row; ``proposed`` has the cells to change, and none for a line to be removed."""
    current_line = proposed_line = _as_line(entry.written)
    if action == "remove":
        proposed_line = ""
    elif proposed:
        cells = dict(zip(LIST_COLUMNS, entry.written, strict=True))
        proposed_cells = dict(zip(LIST_COLUMNS, proposed.written, strict=True))
        cells |= {name: proposed_cells[name] for name in ("category_code", "category_description")}
        proposed_line = _as_line(cells.values())
    return {
        "file": entry.file,
        "line": entry.line,
        "problem": problem,
        "action": action,
        "domain": entry.domain,
        "url": entry.written[0],
        "why": why,
        "line_now": current_line,
        "line_proposed": proposed_line,
    }


def _as_line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _address(entry: ListEntry) -> str:
    """Return the address in one spelling, so that two lines that are tested in the same way are
    equal.
    """
    parts = urlsplit(entry.url)
    path = parts._replace(scheme="", netloc="").geturl().removeprefix("//")
    return f"{parts.scheme.lower()}://{entry.domain}{path or '/'}"


def _find_doubles(entries: Iterable[ListEntry]) -> Iterator[Row]:
    """Yield lines whose address is in an earlier line of the list, or in both lists with one
    category.
    """
    first: dict[str, ListEntry] = {}
    ordered = sorted(entries, key=lambda entry: (entry.role != "general", entry.file, entry.line))
    for entry in ordered:
        earlier = first.setdefault(_address(entry), entry)
        if earlier is not entry and earlier.file == entry.file:
            yield _row(entry, "duplicate", "remove", f"Line {earlier.line} has the same address.")
        elif earlier is not entry and earlier.category_code == entry.category_code:
            yield _row(
                entry,
                "duplicate",
                "remove",
                f"Line {earlier.line} of {earlier.file} has the same address, and is tested "
                "in every country.",
            )


def _find_twins(entries: Iterable[ListEntry]) -> Iterator[Row]:
    """Yield lines of one list that differ only in ``www.``, or in http and https."""
    groups: dict[tuple[str, str], list[ListEntry]] = defaultdict(list)
    for entry in entries:
        _, _, path = _address(entry).partition("://")
        groups[entry.file, path.removeprefix("www.")].append(entry)
    for twins in groups.values():
        secure = {entry.domain for entry in twins if _is_secure(entry)}
        for entry in twins:
            different = [twin for twin in twins if _address(twin) != _address(entry)]
            lines = [str(twin.line) for twin in different if twin.domain != entry.domain]
            if different and not _is_secure(entry) and entry.domain in secure:
                why = "The list has the same address with https."
                yield _row(entry, "twin", "remove", why)
            elif lines:
                where = " and ".join(f"line {line}" for line in lines)
                why = (
                    f"The same name, with or without www.: {where}. One mostly leads to the other."
                )
                yield _row(entry, "twin", "check", why)


def _is_secure(entry: ListEntry) -> bool:
    return entry.url.lower().startswith("https:")


def _find_other_categories(lists: TestLists) -> Iterator[Row]:
    """Yield lines of the country's list to which the general list gives another category."""
    general: dict[str, ListEntry] = {}
    for entry in lists.entries:
        if entry.role == "general":
            general.setdefault(_address(entry), entry)
    for entry in lists.entries:
        general_entry = general.get(_address(entry))
        if (
            entry.role == "country"
            and general_entry
            and general_entry.category_code != entry.category_code
        ):
            yield _row(
                entry,
                "other_category",
                "change",
                f"{general_entry.file} has it under {general_entry.category_code}, this list under "
                f"{entry.category_code}.",
                general_entry,
            )


def _find_dead(entries: Iterable[ListEntry], states: Seen) -> Iterator[Row]:
    for entry in entries:
        if entry.domain in states["dead"] and entry.domain not in states["reached"]:
            why = "No control could resolve the name in the period: it has lapsed."
            yield _row(entry, "dead_name", "remove", why)
        elif entry.domain in states["down"]:
            why = (
                "On every network with a conclusion for the period, the verdict is that the site "
                "was down, or its name did not exist. It may have been reached at other times."
            )
            yield _row(entry, "site_down", "check", why)
        elif entry.domain not in states["tested"]:
            why = "No measurement in the period: the line may be too new, or not be handed out."
            yield _row(entry, "never_tested", "check", why)


def _find_misspelt(entries: Collection[ListEntry], states: Seen) -> Iterator[Row]:
    """Yield names that were never reached and differ in one letter from a name that was."""
    listed = {entry.domain for entry in entries}
    alike = find_look_alikes(listed - states["reached"], listed | states["reached"])
    for entry in entries:
        meant = [name for name in alike.get(entry.domain, ()) if name in states["reached"]]
        if not meant or entry.domain in states["reached"]:
            continue
        is_listed = any(
            registrable_domain(name) in map(registrable_domain, listed) for name in meant
        )
        action = "remove" if is_listed and entry.domain in states["dead"] else "check"
        where = "which is on a list" if is_listed else "which is on no list"
        yield _row(
            entry, "look_alike", action, f"Never reached, and easily taken for {meant[0]}, {where}."
        )


def find_look_alikes(names: Iterable[str], others: Iterable[str]) -> dict[str, list[str]]:
    """Return for each normalised host name the other names that it may be meant for, sorted.

    Two names are alike where a letter is left out, added, changed or exchanged with the one beside
    it. Names under one registered name are not compared, nor are names in which only a number or
    the suffix differs. A name without any is left out.
    """
    by_trace: dict[str, set[str]] = defaultdict(set)
    for name in names:
        for trace in _list_traces(name):
            by_trace[trace].add(name)
    matches: dict[str, set[str]] = defaultdict(set)
    for candidate in others:
        for name in {name for trace in _list_traces(candidate) for name in by_trace.get(trace, ())}:
            if _is_another(name, candidate):
                matches[name].add(candidate)
    return {name: sorted(alike) for name, alike in sorted(matches.items())}


def _list_traces(name: str) -> set[str]:
    """Return what two names that differ in one letter share: a name, or a name without one
    letter.
    """
    if canonical(name) or len(registrable_domain(name).partition(".")[0]) < _SHORTEST:
        return set()
    bare = name.removeprefix("www.")
    return {bare, *(bare[:position] + bare[position + 1 :] for position in range(len(bare)))}


def _is_another(name: str, other: str) -> bool:
    """Return whether two names differ in more than www., a number, or the suffix."""
    spellings = (name, other)
    digits = {re.sub(r"\d", "", spelling.removeprefix("www.")) for spelling in spellings}
    stems = {spelling.removeprefix("www.").rpartition(".")[0] for spelling in spellings}
    return min(len(set(map(registrable_domain, spellings))), len(digits), len(stems)) > 1
