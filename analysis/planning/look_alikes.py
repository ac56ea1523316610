"""Names that are easily taken for one another: a letter off, or drawn alike.

Measured on Citizen Lab's lists for Cambodia and the world (1,861 names of 2026-06-30): two pairs of
names are a letter apart, one of them a mistake for the other.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from analysis.hosts import canonical, registrable_domain

#: Letters of a registered name without its suffix; shorter ones differ in a letter by chance.
_SHORTEST = 7
#: What looks like another letter, in the fonts that people read addresses in.
_LOOKS_LIKE = {
    "rn": "m", "vv": "w", "cl": "d", "0": "o", "1": "l", "5": "s",
    # Cyrillic and Greek letters that are drawn as Latin ones
    "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ѕ": "s",
    "ο": "o", "α": "a", "ν": "v", "ι": "i", "κ": "k", "τ": "t", "υ": "u", "ρ": "p",
}  # fmt: skip


def find_look_alikes(names: Iterable[str]) -> dict[str, list[str]]:
    """Normalised host name → other names that it may be meant for, sorted.

    Two names are alike where a letter is left out, added, changed or exchanged with the one beside
    it, or where both read the same. Names under one registered name are not compared, nor are names
    in which only a number differs. A name without any is left out.
    """
    by_trace: dict[str, set[str]] = defaultdict(set)
    for name in names:
        label = registrable_domain(name).partition(".")[0]
        if canonical(name) is None and len(label) >= _SHORTEST:
            for trace in _traces(_bare(name)):
                by_trace[trace].add(name)
    found: dict[str, set[str]] = defaultdict(set)
    for alike in by_trace.values():
        for name in alike:
            found[name] |= {other for other in alike if _is_alike(name, other)}
    return {name: sorted(others) for name, others in sorted(found.items()) if others}


def _bare(name: str) -> str:
    return name.removeprefix("www.")


def _traces(name: str) -> Iterator[str]:
    """What two names that are a letter apart have in common: the name, or all of it but a letter.

    And how it reads.
    """
    yield name
    yield from (name[:place] + name[place + 1 :] for place in range(len(name)))
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
    pairs = enumerate(zip(one, two, strict=False))
    start = next((at for at, (a, b) in pairs if a != b), min(len(one), len(two)))
    a, b = one[start:], two[start:]
    if a[1::-1] == b[:2] and a[2:] == b[2:]:  # two letters exchanged
        return True
    # ending.com and ending.co are two registries, not two spellings
    is_one_letter = a[1:] == b[1:] or a[1:] == b or a == b[1:]
    return is_one_letter and one.rpartition(".")[0] != two.rpartition(".")[0]


def _without_digits(name: str) -> str:
    return "".join(letter for letter in name if not letter.isdigit())
