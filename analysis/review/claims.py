"""A draft's statements: read from their file, and each compared with what can confirm it.

The file is read node by node, so that nothing in it is ever built but text and numbers, and an
error can name its line.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.errors import ParameterError
from analysis.hosts import normalise
from analysis.period import Period
from analysis.reference.reference_files import (
    REFERENCE,
    REPOSITORY,
    NodeReader,
    ReferenceFile,
    parse_country,
    read_csv,
)
from analysis.reference.withheld import NONE_WITHHELD, Withheld, load_withheld
from analysis.tables import TABLES

#: The result, and the sum in words.
Outcome = tuple[str, str]


@dataclass(frozen=True)
class Relation:
    """A relation: its words, its check, and the values that it takes, by name.

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


#: Names of values that are lists, and of the one that maps names to what they stand for.
LISTS = ("parts", "names", "counts")
NAMES = "same_as"
#: A share of numbers of 15 digits and 6 decimals has twice as many, and four more are shown.
_DIGITS = 60


def _result(holds: bool) -> str:
    return "holds" if holds else "does_not_hold"


def _say(value: object) -> str:
    """Return a number with its thousands and decimals, or a text in quotation marks."""
    return f"{value.normalize():,f}" if isinstance(value, Decimal) else f"“{str(value)[:300]}”"


def _difference(said: Decimal, found: Decimal) -> str:
    more = said - found
    return f" ({_say(abs(more))} too {'high' if more > 0 else 'low'})" if more else ""


def _sum(whole: Decimal, parts: Sequence[Decimal]) -> Outcome:
    total = sum(parts, Decimal(0))
    words = f"{' + '.join(map(_say, parts))} = {_say(total)}; said: {_say(whole)}"
    return _result(total == whole), words + _difference(whole, total)


def _equal(said: Decimal | str, found: Decimal | str) -> Outcome:
    words = f"found: {_say(found)}; said: {_say(said)}"
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
    """Check a percentage as printed: it holds if it is the share, rounded to its decimals.

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


def _union(whole: Decimal, parts: Sequence[Decimal]) -> Outcome:
    """Check a whole of parts that overlap: between the largest part and the sum of all."""
    total = sum(parts, Decimal(0))
    words = f"at least {_say(max(parts))}, at most {_say(total)}; said: {_say(whole)}"
    if not max(parts) <= whole <= total:
        return "does_not_hold", words
    # a possible value is not proven, unless it is the only one
    return ("holds" if max(parts) == total else "cannot_be_checked"), words


def _distinct(
    count: Decimal, names: Sequence[object], same_as: Mapping[str, str] | None = None
) -> Outcome:
    """Check a number of different names: each in one spelling, a misspelt one as the name it
    stands for.
    """
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
    """Check the largest classes of a whole: no other class may be larger than the smallest of
    these.
    """
    remainder, other_classes = whole - sum(counts, Decimal(0)), classes - len(counts)
    room = other_classes * min(counts)
    words = (
        f"{_say(whole)} − {' − '.join(map(_say, counts))} = {_say(remainder)} remain for the other "
        f"{_say(other_classes)} classes; with {_say(min(counts))} each, they have {_say(room)}"
    )
    return _result(0 <= remainder <= room), words


def _not_checkable(why: object) -> Outcome:
    return "cannot_be_checked", str(why)


#: Name in a file of claims → the relation.
RELATIONS: Mapping[str, Relation] = {
    "sum": Relation("the parts sum to the whole", _sum, ("whole", "parts")),
    "equal": Relation("two places say the same", _equal, ("said", "found"), (), ("said", "found")),
    "at_most": Relation("a part is no more than its whole", _at_most, ("part", "whole")),
    "less_than": Relation("a part is less than its whole", _less_than, ("part", "whole")),
    "share": Relation(
        "a percentage is part ÷ whole, rounded; if the claim names no part, there must be a number "
        "of cases that gives it",
        _share,
        ("percent", "whole"),
        ("part",),
    ),
    "union": Relation("parts that may overlap make up a whole", _union, ("whole", "parts")),
    "distinct": Relation(
        "the names given, each counted once, are as many as the claim says",
        _distinct,
        ("count", "names"),
        (NAMES,),
        ("names", NAMES),
    ),
    "largest": Relation(
        "the named classes, such as categories, can be the largest ones of the whole",
        _largest,
        ("counts", "whole", "classes"),
    ),
    "not_checkable": Relation(
        "no source at hand confirms or contradicts it", _not_checkable, ("why",), (), ("why",)
    ),
}


def check(relation: str, values: Mapping[str, Any]) -> Outcome:
    """Check values against a relation.

    Args:
        relation: a key of ``RELATIONS``.
        values: numbers (``Decimal``) and texts, by the names that the relation takes.

    Returns:
        The result, and the sum in words.
    """
    definition = RELATIONS[relation]
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            if name not in definition.texts and not isinstance(item, Decimal):
                return "cannot_be_checked", f"{_say(item)} is no number"
    with localcontext(prec=_DIGITS):
        return definition.check(**values)


#: The drafts that ship.
DRAFTS = REPOSITORY / "data" / "claims"
#: The size of a draft is bounded, since somebody else may have written it.
NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?", re.ASCII)
#: How rows of a table become a value: one cell, every cell, their sum, the count of different ones.
TAKES = ("value", "each", "sum", "count")

_HEAD = ("document", "source", "probe_cc", "since", "until", "claims")
_CLAIM = ("id", "where", "claim", "relation", "values")
_MOST_CLAIMS, _MOST_ITEMS = 1_000, 500
_LONGEST = {"document": 200, "source": 500, "id": 40, "where": 200, "claim": 600, "a value": 300}


@dataclass(frozen=True)
class Lookup:
    """A place in a table.

    Attributes:
        kind: ``published`` (a CSV beside the claims or in ``data/reference``) or ``report``.
        table: the file's path there, or the name of a report's table.
        take: one of ``TAKES``.
        column: of which it is taken.
        where: column → the cells that a row must have one of.
    """

    kind: str
    table: str
    take: str
    column: str
    where: Mapping[str, tuple[str, ...]]

    @property
    def place(self) -> str:
        """The table, in words."""
        return f"the report's {self.table}" if self.kind == "report" else self.table


@dataclass(frozen=True)
class Claim:
    """One statement.

    Attributes:
        id: its own among those of the draft.
        where: the place in the document.
        text: what it says; anybody may have written it.
        relation: a key of ``RELATIONS``.
        values: what the relation takes, by name: a value, a list of values, or name → name.
    """

    id: str
    where: str
    text: str
    relation: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class Draft:
    """The statements of one document, and the country and period that it speaks of.

    Names that are ``withheld`` have given way to their placeholders, and a statement that has one
    cannot be checked.
    """

    document: str
    source: str
    probe_cc: str
    period: Period
    claims: tuple[Claim, ...]
    file: ReferenceFile
    folder: Path  # where published counts of its own lie
    withheld: Withheld = field(repr=False, default=NONE_WITHHELD)


def load_draft(path: Path) -> Draft:
    """Read a draft's statements.

    Raises:
        ParameterError: the file cannot be read or an entry is wrong; names CLAIMS, the file, the
            line and what is accepted.
    """
    reader = _Reader(path, "CLAIMS")
    head = reader.mapping(reader.root(), _HEAD, "the file")
    claims: dict[str, Claim] = {}
    for entry in reader.items(head["claims"], _MOST_CLAIMS, "claims"):
        claim = reader.claim(entry)
        if claim.id in claims:
            reader.fail(entry, f"the id {claim.id} is there already")
        claims[claim.id] = claim
    draft = Draft(
        document=reader.bounded(head["document"], "document"),
        source=reader.bounded(head["source"], "source"),
        probe_cc=reader.checked(head["probe_cc"], parse_country),
        period=reader.period(head["since"], head["until"]),
        claims=tuple(claims.values()),
        file=reader.described("claims", len(claims)),
        folder=path.parent,
    )
    return _withhold(draft, load_withheld(draft.probe_cc))


def _withhold(draft: Draft, withheld: Withheld) -> Draft:
    """Return a draft with placeholders for the names that are withheld."""
    if not withheld:
        return draft
    mask = withheld.mask
    claims = [
        replace(
            claim,
            id=mask(claim.id),
            where=mask(claim.where),
            text=mask(claim.text),
            relation="not_checkable",
            values={"why": "it is about a site whose name is withheld"},
        )
        if withheld.spells(f"{claim.id} {claim.where} {claim.text} {claim.values}")
        else claim
        for claim in draft.claims
    ]
    return replace(
        draft,
        document=mask(draft.document),
        source=mask(draft.source),
        claims=tuple(claims),
        withheld=withheld,
    )


def find_draft(probe_cc: str, period: Period) -> Path | None:
    """Return the shipped draft of a country and period; None if there is none."""
    for path in sorted(DRAFTS.glob(f"{probe_cc.lower()}-*.yml")):
        if load_draft(path).period == period:
            return path
    return None


class _Reader(NodeReader):
    """Reads a draft's statements."""

    def bounded(self, node: yaml.Node, name: str) -> str:
        return self.text(node, name, _LONGEST[name])

    def claim(self, node: yaml.Node) -> Claim:
        cells = self.mapping(node, _CLAIM, "a claim")
        id, where, text = (self.bounded(cells[name], name) for name in ("id", "where", "claim"))
        relation = self.plain(cells["relation"])
        if relation not in RELATIONS:
            self.fail(cells["relation"], f"{relation[:40]!r} is none of {', '.join(RELATIONS)}")
        definition = RELATIONS[relation]
        cells_of_values = self.mapping(
            cells["values"], definition.needs, f"values of {relation}", definition.may_have
        )
        values: dict[str, object] = {}
        for name, value in cells_of_values.items():
            if name == NAMES:
                values[name] = {
                    key: first_text for key, (first_text, *_) in self.texts(value, name).items()
                }
            elif name in LISTS:
                values[name] = list(map(self.value, self.items(value, _MOST_ITEMS, "values")))
            else:
                values[name] = self.value(value)
        return Claim(id, where, text, relation, values)

    def texts(self, node: yaml.Node, what: str) -> dict[str, tuple[str, ...]]:
        """Read names, each with a text or a list of texts."""
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        if not 1 <= len(pairs) <= _MOST_ITEMS:
            self.fail(node, f"{what} must be 1 to {_MOST_ITEMS} names, each with a text or several")
        return {
            self.plain(key): tuple(map(self.plain, text.value))
            if isinstance(text, yaml.SequenceNode)
            else (self.plain(text),)
            for key, text in pairs
        }

    def value(self, node: yaml.Node) -> Decimal | str | Lookup:
        """Read a number, a text, or the place of one."""
        if isinstance(node, yaml.MappingNode):
            return self.lookup(node)
        text = self.bounded(node, "a value")
        # a scalar in quotes is text
        is_number = isinstance(node, yaml.ScalarNode) and not node.style and NUMBER.fullmatch(text)
        return Decimal(text) if is_number else text

    def lookup(self, node: yaml.MappingNode) -> Lookup:
        keys = [self.plain(key) for key, _ in node.value]
        kind = "report" if "report" in keys else "published"
        take = next((name for name in TAKES if name in keys), TAKES[0])
        cells = self.mapping(node, (kind, take), f"a place in {kind} tables", ("where",))
        where = self.texts(cells["where"], "where") if "where" in cells else {}
        table, column = self.plain(cells[kind]), self.plain(cells[take])
        if kind == "published":
            columns = set(self.checked(cells[kind], partial(read_published, self.path.parent)))
        elif table in TABLES:
            columns = set(TABLES[table].columns)
        else:
            self.fail(node, f"a report has no table {table[:80]!r}")
        unknown = {column, *where} - columns
        if unknown:
            self.fail(node, f"{table} has no column {', '.join(sorted(unknown))[:80]}")
        return Lookup(kind, table, take, column, where)


def read_published(folder: Path, table: str) -> pd.DataFrame:
    """Return the path of a CSV beside the claims, or else of one that ships; refuse any other.

    Raises:
        ParameterError: there is none.
    """
    for root in (folder.resolve(), REFERENCE):
        path = (root / table).resolve()
        if path.is_relative_to(root) and path.suffix == ".csv" and path.is_file():
            rows = read_csv(path, (), "CLAIMS").rows
            return pd.DataFrame([dict(cells) for _, cells in rows], dtype="str")
    raise ParameterError("CLAIMS", table[:80], "no CSV beside the claims or in data/reference")
