"""The relations that a statement's values are held to, each with the sum that shows it.

A relation takes values that are known and gives a result in the contract's words. What it cannot
decide it calls ``cannot_be_checked``: that two numbers are possible together proves neither.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, Literal

from analysis.hosts import normalise

Result = Literal["holds", "does_not_hold", "cannot_be_checked"]
Outcome = tuple[Result, str]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One value of a relation: a single one, a list, or names with what each stands for."""

    kind: Literal["one", "list", "names"] = "one"
    is_number: bool = True
    is_optional: bool = False


@dataclass(frozen=True)
class Relation:
    """A relation: what it says, the values that it takes, and how it is checked."""

    meaning: str
    fields: Mapping[str, Field]
    check: Callable[[Values], Outcome]


#: A share of numbers of 15 digits and 6 decimals has twice as many, and four more are shown.
_DIGITS = 60


def _result(holds: bool) -> Result:
    return "holds" if holds else "does_not_hold"


def _say(value: object) -> str:
    """A number with its thousands and the decimals that it has; a text in quotation marks."""
    return f"{value.normalize():,f}" if isinstance(value, Decimal) else f"“{str(value)[:300]}”"


def _difference(said: Decimal, found: Decimal) -> str:
    more = said - found
    return f", {_say(abs(more))} {'more' if more > 0 else 'less'}" if more else ""


def _sum(values: Values) -> Outcome:
    parts, whole = values["parts"], values["whole"]
    total = sum(parts, Decimal(0))
    words = f"{' + '.join(map(_say, parts))} = {_say(total)}; said: {_say(whole)}"
    return _result(total == whole), words + _difference(whole, total)


def _equal(values: Values) -> Outcome:
    said, found = values["said"], values["found"]
    words = f"said: {_say(said)}; found: {_say(found)}"
    if isinstance(said, Decimal) and isinstance(found, Decimal):
        return _result(said == found), words + _difference(said, found)
    return _result(str(said).casefold() == str(found).casefold()), words


def _at_most(values: Values) -> Outcome:
    part, whole = values["part"], values["whole"]
    sign = "≤" if part <= whole else ">"
    return _result(part <= whole), f"{_say(part)} {sign} {_say(whole)}"


def _less_than(values: Values) -> Outcome:
    part, whole = values["part"], values["whole"]
    sign = "<" if part < whole else "=" if part == whole else ">"
    return _result(part < whole), f"{_say(part)} {sign} {_say(whole)}"


def _share(values: Values) -> Outcome:
    """A percentage as printed: right where it is the share, rounded to its decimals."""
    percent, whole = values["percent"], values["whole"]
    if whole <= 0:
        return "cannot_be_checked", "a share of nothing"
    step = Decimal(1).scaleb(percent.as_tuple().exponent)
    # the part that comes nearest, where none is said
    part = values.get("part", (percent * whole / 100).to_integral_value(ROUND_HALF_UP))
    exact = 100 * part / whole
    rounded = exact.quantize(step, ROUND_HALF_UP)
    nearest = "" if "part" in values else " at the nearest"
    words = f"{_say(part)} of {_say(whole)} = {exact:.4f} %{nearest}; said: {percent} %"
    return _result(rounded == percent), words


def _union(values: Values) -> Outcome:
    """A whole of parts that overlap: between the largest part and the sum of all."""
    whole, parts = values["whole"], values["parts"]
    total = sum(parts, Decimal(0))
    if "shared" in values:
        exact = total - values["shared"]
        words = f"{' + '.join(map(_say, parts))} − {_say(values['shared'])} in both = {_say(exact)}"
        return _result(exact == whole), f"{words}; said: {_say(whole)}" + _difference(whole, exact)
    words = f"at least {_say(max(parts))}, at most {_say(total)}; said: {_say(whole)}"
    if not max(parts) <= whole <= total:
        return "does_not_hold", words
    # possible is not proven, unless nothing else is
    return ("holds" if max(parts) == total else "cannot_be_checked"), words


def _distinct(values: Values) -> Outcome:
    """So many different names: in one spelling, and a misspelt one as what it stands for."""
    stands_for = {
        _spelling(name): _spelling(other) for name, other in values.get("same_as", {}).items()
    }
    counts = Counter(stands_for.get(one, one) for one in map(_spelling, values["names"]))
    twice = sorted(name for name, count in counts.items() if count > 1)
    words = (
        f"{len(values['names']):,} names, {len(counts):,} different; said: {_say(values['count'])}"
    )
    if twice:
        words += f"; more than once: {', '.join(twice[:8])}"
    return _result(len(counts) == values["count"]), words


def _spelling(name: object) -> str:
    return normalise(str(name)) or str(name).casefold()


def _largest(values: Values) -> Outcome:
    """The largest classes of a whole: no other class may be larger than the smallest of these."""
    counts, whole, classes = values["counts"], values["whole"], values["classes"]
    rest, others = whole - sum(counts, Decimal(0)), classes - len(counts)
    room = others * min(counts)
    words = (
        f"{_say(whole)} − {' − '.join(map(_say, counts))} = {_say(rest)} left for {_say(others)} "
        f"other classes of at most {_say(min(counts))} each, {_say(room)} in all"
    )
    return _result(0 <= rest <= room), words


def _not_checkable(values: Values) -> Outcome:
    return "cannot_be_checked", str(values["why"])


_ONE, _MANY = Field(), Field("list")
_PAIR = {"part": _ONE, "whole": _ONE}
_TEXT, _TEXTS = Field(is_number=False), Field("list", is_number=False)

#: Name in a file of claims → the relation.
RELATIONS: Mapping[str, Relation] = {
    "sum": Relation("the parts sum to the whole", {"whole": _ONE, "parts": _MANY}, _sum),
    "equal": Relation("two places say the same", {"said": _TEXT, "found": _TEXT}, _equal),
    "at_most": Relation("a part is no more than its whole", _PAIR, _at_most),
    "less_than": Relation("a part is less than its whole", _PAIR, _less_than),
    "share": Relation(
        "a percentage is the share, rounded; without a part, that of some whole number",
        {"percent": _ONE, "whole": _ONE, "part": Field(is_optional=True)},
        _share,
    ),
    "union": Relation(
        "a whole of parts that overlap, exactly where it is said how many are shared by two",
        {"whole": _ONE, "parts": _MANY, "shared": Field(is_optional=True)},
        _union,
    ),
    "distinct": Relation(
        "so many different names are named",
        {
            "count": _ONE,
            "names": _TEXTS,
            "same_as": Field("names", is_number=False, is_optional=True),
        },
        _distinct,
    ),
    "largest": Relation(
        "the largest classes of a whole, among so many classes",
        {"counts": _MANY, "whole": _ONE, "classes": _ONE},
        _largest,
    ),
    "not_checkable": Relation(
        "nothing at hand says so, or otherwise", {"why": _TEXT}, _not_checkable
    ),
}


def check(relation: str, values: Values) -> Outcome:
    """Hold values to a relation.

    Args:
        relation: a key of ``RELATIONS``.
        values: numbers (``Decimal``) and texts, by the names that the relation takes.

    Returns:
        The result, and the sum in words.
    """
    wrong = _text_for_number(RELATIONS[relation].fields, values)
    if wrong:
        return "cannot_be_checked", f"{_say(wrong)} is no number"
    with localcontext(prec=_DIGITS):
        return RELATIONS[relation].check(values)


def _text_for_number(fields: Mapping[str, Field], values: Values) -> str:
    """A text that was found where a number is needed."""
    for name, value in values.items():
        many: Sequence[object] = value if isinstance(value, list) else [value]
        if fields[name].is_number:
            wrong = next((str(one) for one in many if not isinstance(one, Decimal)), "")
            if wrong:
                return wrong
    return ""
