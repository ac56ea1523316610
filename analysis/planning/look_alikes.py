"""Names that are easily taken for one another: a letter or two off, or drawn alike.

Measured on Citizen Lab's lists for Cambodia and the world (1,861 names of 2026-06-30): two pairs of
names are a letter apart, one of them a mistake for the other; none is taken for another by two.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations

from analysis.hosts import canonical, registrable_domain

#: Letters of a registered name without its suffix; shorter ones differ in a letter by chance.
_SHORTEST = 7
#: From so many letters on two may differ, of names that begin alike: organisations are called
#: ccc-cambodia and bcv-cambodia.
_LONG, _BEGINNING = 10, 3
#: What looks like another letter, in the fonts that people read addresses in.
_LOOKS_LIKE = {
    "rn": "m", "vv": "w", "cl": "d", "0": "o", "1": "l", "5": "s",
    # Cyrillic and Greek letters that are drawn as Latin ones
    "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ѕ": "s",
    "ο": "o", "α": "a", "ν": "v", "ι": "i", "κ": "k", "τ": "t", "υ": "u", "ρ": "p",
}  # fmt: skip


def find_look_alikes(names: Iterable[str], listed: Iterable[str] = ()) -> dict[str, list[str]]:
    """Name → other names that it may be meant for, sorted; a name without any is left out.

    Two names are alike where a letter is left out, added, changed or exchanged with the one beside
    it, or where both read the same; and two long ones where this happened twice. Names under one
    registered name are not compared, nor are names in which only a number differs.

    Args:
        names: normalised host names.
        listed: those of them of which two letters may differ; of the others anybody may have made
            up any number.
    """
    longer = set(listed)
    by_trace: dict[str, set[str]] = defaultdict(set)
    for name in sorted(set(names)):
        label = registrable_domain(name).partition(".")[0]
        if canonical(name) is None and len(label) >= _SHORTEST:
            is_long = name in longer and len(label) >= _LONG
            for trace in _traces(_bare(name), 2 if is_long else 1):
                by_trace[trace].add(name)
    found: dict[str, set[str]] = defaultdict(set)
    for alike in by_trace.values():
        for name in alike:
            found[name] |= {other for other in alike if _is_alike(name, other)}
    return {name: sorted(others) for name, others in sorted(found.items()) if others}


def _bare(name: str) -> str:
    return name.removeprefix("www.")


def _traces(name: str, letters: int) -> Iterator[str]:
    """What two names have in common that are some letters apart: the name with as many less."""
    yield name
    yield from (name[:place] + name[place + 1 :] for place in range(len(name)))
    if letters == 2:
        for one, two in combinations(range(_BEGINNING, len(name)), 2):
            yield name[:one] + name[one + 1 : two] + name[two + 1 :]
    yield _skeleton(name)


def _skeleton(name: str) -> str:
    """How a name reads, whatever letters it is written in; it is no host name."""
    try:
        text = name.encode("ascii").decode("idna")
    except UnicodeError:
        text = name
    text = unicodedata.normalize("NFKC", text).casefold()
    for looks, like in _LOOKS_LIKE.items():
        text = text.replace(looks, like)
    plain = unicodedata.normalize("NFD", text)
    return "=" + "".join(letter for letter in plain if not unicodedata.combining(letter))


def _is_alike(name: str, other: str) -> bool:
    one, two = _bare(name), _bare(other)
    if one == two or registrable_domain(name) == registrable_domain(other):
        return False
    if _skeleton(one) == _skeleton(two):
        return True
    if _without_digits(one) == _without_digits(two):
        return False
    if not _is_typo(one, two):
        return _are_two_typos(one, two)
    # ending.com and ending.co are two registries, not two spellings
    return one.rpartition(".")[0] != two.rpartition(".")[0] or _is_swap(one, two)


def _without_digits(name: str) -> str:
    return "".join(letter for letter in name if not letter.isdigit())


def _is_typo(one: str, two: str) -> bool:
    """Whether one letter makes the difference, or two that stand beside each other."""
    if len(one) > len(two):
        one, two = two, one
    start = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(one))
    if len(one) == len(two):
        return one[start + 1 :] == two[start + 1 :] or _is_swap(one, two)
    return len(two) - len(one) == 1 and one[start:] == two[start + 1 :]


def _are_two_typos(one: str, two: str) -> bool:
    """Whether two long names under one suffix differ by two letters, behind their beginning."""
    (label, _, suffix), (other, _, other_suffix) = one.partition("."), two.partition(".")
    is_long = min(len(label), len(other)) >= _LONG
    begins_alike = label[:_BEGINNING] == other[:_BEGINNING]
    return is_long and begins_alike and suffix == other_suffix and _count_typos(label, other) == 2


def _count_typos(one: str, two: str) -> int:
    """Letters left out, added, changed or exchanged with the next (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(two) + 1))
    for row, letter in enumerate(one, 1):
        line = [row]
        for column, other in enumerate(two, 1):
            cost = min(last[column] + 1, line[-1] + 1, last[column - 1] + (letter != other))
            if row > 1 and column > 1 and (letter, one[row - 2]) == (two[column - 2], other):
                cost = min(cost, before[column - 2] + 1)
            line.append(cost)
        before, last = last, line
    return last[-1]


def _is_swap(one: str, two: str) -> bool:
    if len(one) != len(two):
        return False
    differing = [place for place, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    return (
        len(differing) == 2
        and differing[1] == differing[0] + 1
        and one[differing[0]] == two[differing[1]]
        and one[differing[1]] == two[differing[0]]
    )
