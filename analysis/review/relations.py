"""The relations that a statement's values are held to, each with the sum that shows it.

A relation takes values that are known and gives a result in the contract's words. What it cannot
decide it calls ``cannot_be_checked``: that two numbers are possible together proves neither.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from analysis.hosts import normalise

#: The result, and the sum in words.
Outcome = tuple[str, str]


@dataclass(frozen=True)
class Relation:
    """A relation: what it says, how it is checked, and the values that it takes, by name.

    Attributes:
        meaning: in words.
        check: takes the values by their names.
        needs: values that must be given.
        may_have: values that may be given.
        texts: those of them that may be texts; all others are numbers.
    """

    meaning: str
    check: Callable[..., Outcome]
    needs: tuple[str, ...]
    may_have: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


#: Values that are lists, and the one that is names with what each stands for, of any relation.
LISTS = ("parts", "names", "counts")
NAMES = "same_as"
#: A share of numbers of 15 digits and 6 decimals has twice as many, and four more are shown.
_DIGITS = 60


def _result(holds: bool) -> str:
    return "holds" if holds else "does_not_hold"


def _say(value: object) -> str:
    """A number with its thousands and the decimals that it has; a text in quotation marks."""
    return f"{value.normalize():,f}" if isinstance(value, Decimal) else f"“{str(value)[:300]}”"


def _difference(said: Decimal, found: Decimal) -> str:
    more = said - found
    return f", {_say(abs(more))} {'more' if more > 0 else 'less'}" if more else ""


def _sum(whole: Decimal, parts: Sequence[Decimal]) -> Outcome:
    total = sum(parts, Decimal(0))
    words = f"{' + '.join(map(_say, parts))} = {_say(total)}; said: {_say(whole)}"
    return _result(total == whole), words + _difference(whole, total)


def _equal(said: Decimal | str, found: Decimal | str) -> Outcome:
    words = f"said: {_say(said)}; found: {_say(found)}"
    if isinstance(said, Decimal) and isinstance(found, Decimal):
        return _result(said == found), words + _difference(said, found)
    return _result(str(said).casefold() == str(found).casefold()), words


def _at_most(part: Decimal, whole: Decimal) -> Outcome:
    sign = "≤" if part <= whole else ">"
    return _result(part <= whole), f"{_say(part)} {sign} {_say(whole)}"


def _less_than(part: Decimal, whole: Decimal) -> Outcome:
    sign = "<" if part < whole else "=" if part == whole else ">"
    return _result(part < whole), f"{_say(part)} {sign} {_say(whole)}"


def _share(percent: Decimal, whole: Decimal, part: Decimal | None = None) -> Outcome:
    """A percentage as printed: right where it is the share, rounded to its decimals.

    Without a part, that which comes nearest.
    """
    if whole <= 0:
        return "cannot_be_checked", "a share of nothing"
    nearest = " at the nearest" if part is None else ""
    if part is None:
        part = (percent * whole / 100).to_integral_value(ROUND_HALF_UP)
    exact = 100 * part / whole
    rounded = exact.quantize(Decimal(1).scaleb(int(percent.as_tuple().exponent)), ROUND_HALF_UP)
    words = f"{_say(part)} of {_say(whole)} = {exact:.4f} %{nearest}; said: {percent} %"
    return _result(rounded == percent), words


def _union(whole: Decimal, parts: Sequence[Decimal], shared: Decimal | None = None) -> Outcome:
    """A whole of parts that overlap: between the largest part and the sum of all."""
    total = sum(parts, Decimal(0))
    if shared is not None:
        exact = total - shared
        words = f"{' + '.join(map(_say, parts))} − {_say(shared)} in both = {_say(exact)}"
        return _result(exact == whole), f"{words}; said: {_say(whole)}" + _difference(whole, exact)
    words = f"at least {_say(max(parts))}, at most {_say(total)}; said: {_say(whole)}"
    if not max(parts) <= whole <= total:
        return "does_not_hold", words
    # possible is not proven, unless nothing else is
    return ("holds" if max(parts) == total else "cannot_be_checked"), words


def _distinct(
    count: Decimal, names: Sequence[object], same_as: Mapping[str, str] | None = None
) -> Outcome:
    """So many different names: in one spelling, and a misspelt one as what it stands for."""
    stands_for = {_spelling(name): _spelling(other) for name, other in (same_as or {}).items()}
    counts = Counter(stands_for.get(one, one) for one in map(_spelling, names))
    words = f"{len(names):,} names, {len(counts):,} different; said: {_say(count)}"
    twice = sorted(name for name, times in counts.items() if times > 1)
    if twice:
        words += f"; more than once: {', '.join(twice[:8])}"
    return _result(len(counts) == count), words


def _spelling(name: object) -> str:
    return normalise(str(name)) or str(name).casefold()


def _largest(counts: Sequence[Decimal], whole: Decimal, classes: Decimal) -> Outcome:
    """The largest classes of a whole: no other class may be larger than the smallest of these."""
    rest, others = whole - sum(counts, Decimal(0)), classes - len(counts)
    room = others * min(counts)
    words = (
        f"{_say(whole)} − {' − '.join(map(_say, counts))} = {_say(rest)} left for {_say(others)} "
        f"other classes of at most {_say(min(counts))} each, {_say(room)} in all"
    )
    return _result(0 <= rest <= room), words


def _not_checkable(why: object) -> Outcome:
    return "cannot_be_checked", str(why)


#: Name in a file of claims → the relation.
RELATIONS: Mapping[str, Relation] = {
    "sum": Relation("the parts sum to the whole", _sum, ("whole", "parts")),
    "equal": Relation("two places say the same", _equal, ("said", "found"), (), ("said", "found")),
    "at_most": Relation("a part is no more than its whole", _at_most, ("part", "whole")),
    "less_than": Relation("a part is less than its whole", _less_than, ("part", "whole")),
    "share": Relation(
        "a percentage is the share, rounded; without a part, that of some whole number",
        _share, ("percent", "whole"), ("part",),
    ),
    "union": Relation(
        "a whole of parts that overlap, exactly where it is said how many are shared by two",
        _union, ("whole", "parts"), ("shared",),
    ),
    "distinct": Relation(
        "so many different names are named",
        _distinct, ("count", "names"), (NAMES,), ("names", NAMES),
    ),
    "largest": Relation(
        "the largest classes of a whole, among so many classes",
        _largest, ("counts", "whole", "classes"),
    ),
    "not_checkable": Relation(
        "nothing at hand says so, or otherwise", _not_checkable, ("why",), (), ("why",)
    ),
}  # fmt: skip


def check(relation: str, values: Mapping[str, Any]) -> Outcome:
    """Hold values to a relation.

    Args:
        relation: a key of ``RELATIONS``.
        values: numbers (``Decimal``) and texts, by the names that the relation takes.

    Returns:
        The result, and the sum in words.
    """
    held = RELATIONS[relation]
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if name not in held.texts and not isinstance(one, Decimal):
                return "cannot_be_checked", f"{_say(one)} is no number"
    with localcontext(prec=_DIGITS):
        return held.check(**values)
