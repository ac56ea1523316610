"""A draft's statements as data: what each says, where, and the relation that must hold.

The file is read node by node, so that nothing in it is ever built but text and numbers, and an
error can name its line.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import yaml

from analysis.period import Period
from analysis.reference.countries import parse_country
from analysis.reference.reference_files import REPOSITORY, ReferenceFile
from analysis.reference.yaml_nodes import NodeReader
from analysis.review.lookups import NUMBER, TAKES, Lookup, Value, check_lookup
from analysis.review.relations import RELATIONS, Field

#: The drafts that ship.
DRAFTS = REPOSITORY / "data" / "claims"

_HEAD = ("document", "source", "probe_cc", "since", "until", "claims")
_CLAIM = ("id", "where", "claim", "relation", "values")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
_MOST_CLAIMS, _MOST_ITEMS = 1_000, 500
_LONGEST = {"document": 200, "source": 500, "where": 200, "claim": 600}
_LONGEST_VALUE = 300


@dataclass(frozen=True)
class Claim:
    """One statement.

    Attributes:
        id: its own among those of the draft.
        where: the place in the document.
        text: what it says; anybody may have written it.
        relation: a key of ``relations.RELATIONS``.
        values: what the relation takes, by name: a value, a list of values, or name → name.
    """

    id: str
    where: str
    text: str
    relation: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class Draft:
    """The statements of one document, and the country and period that it speaks of."""

    document: str
    source: str
    probe_cc: str
    period: Period
    claims: tuple[Claim, ...]
    file: ReferenceFile
    folder: Path  # where published counts of its own lie


def load_draft(path: Path) -> Draft:
    """Read a draft's statements.

    Raises:
        ParameterError: the file cannot be read or an entry is wrong; names CLAIMS, the file, the
            line and what is accepted.
    """
    reader = _Reader(path)
    data = reader.read()
    head = reader.mapping(reader.root(data), _HEAD, "the file")
    text = {name: reader.text(head[name], name, _LONGEST[name]) for name in ("document", "source")}
    claims = reader.claims(head["claims"])
    return Draft(
        **text,
        probe_cc=reader.checked(head["probe_cc"], parse_country),
        period=reader.period(head["since"], head["until"]),
        claims=claims,
        file=ReferenceFile(path.name, "claims", hashlib.sha256(data).hexdigest(), len(claims)),
        folder=path.parent,
    )


def find_draft(probe_cc: str, period: Period) -> Path | None:
    """The shipped draft of a country and period, if there is one."""
    for path in sorted(DRAFTS.glob(f"{probe_cc.lower()}-*.yml")):
        if load_draft(path).period == period:
            return path
    return None


class _Reader(NodeReader):
    """Reads a draft's statements."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "CLAIMS")

    def claims(self, node: yaml.Node) -> tuple[Claim, ...]:
        claims: dict[str, Claim] = {}
        for entry in self.items(node, _MOST_CLAIMS, "claims"):
            claim = self.claim(entry)
            if claim.id in claims:
                self.fail(entry, f"the id {claim.id} is there already")
            claims[claim.id] = claim
        return tuple(claims.values())

    def claim(self, node: yaml.Node) -> Claim:
        cells = self.mapping(node, _CLAIM, "a claim")
        id, relation = self.plain(cells["id"]), self.plain(cells["relation"])
        if not _ID.fullmatch(id):
            self.fail(cells["id"], f"id {id[:40]!r} is not 1 to 40 letters, digits, '.', '_', '-'")
        if relation not in RELATIONS:
            self.fail(cells["relation"], f"{relation[:40]!r} is none of {', '.join(RELATIONS)}")
        fields = RELATIONS[relation].fields
        given = self.mapping(
            cells["values"],
            [name for name, field in fields.items() if not field.is_optional],
            f"values of {relation}",
            [name for name, field in fields.items() if field.is_optional],
        )
        values = {name: self.field(fields[name], given[name]) for name in fields if name in given}
        where, text = (self.text(cells[name], name, _LONGEST[name]) for name in ("where", "claim"))
        return Claim(id, where, text, relation, values)

    def field(self, field: Field, node: yaml.Node) -> object:
        if field.kind == "names":
            return self.names(node)
        if field.kind == "list":
            nodes = self.items(node, _MOST_ITEMS, "values")
            return [self.value(one, is_number=field.is_number) for one in nodes]
        return self.value(node, is_number=field.is_number)

    def names(self, node: yaml.Node) -> dict[str, str]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        names = {self.plain(key): self.plain(value) for key, value in pairs[:_MOST_ITEMS]}
        return names or self.fail(node, "must be names, each with the one that it stands for")

    def value(self, node: yaml.Node, *, is_number: bool) -> Value | Lookup:
        """A number, a text, or where one stands."""
        if isinstance(node, yaml.MappingNode):
            return self.lookup(node)
        text = self.plain(node)
        if not 1 <= len(text) <= _LONGEST_VALUE:
            self.fail(node, f"a value must be text of 1 to {_LONGEST_VALUE} characters")
        # what stands in quotes is text
        if isinstance(node, yaml.ScalarNode) and not node.style and NUMBER.fullmatch(text):
            return Decimal(text)
        if is_number:
            self.fail(node, f"{text[:40]!r} is no number; write 1041282 or 96.42")
        return text

    def lookup(self, node: yaml.MappingNode) -> Lookup:
        keys = [self.plain(key) for key, _ in node.value]
        kind = "report" if "report" in keys else "published"
        take = next((name for name in TAKES if name in keys), TAKES[0])
        cells = self.mapping(node, (kind, take), f"a place in {kind} tables", ("where",))
        where: dict[str, tuple[str, ...]] = {}
        for key, wanted in cells["where"].value if "where" in cells else ():
            many = wanted.value if isinstance(wanted, yaml.SequenceNode) else [wanted]
            where[self.plain(key)] = tuple(self.plain(one) for one in many[:_MOST_ITEMS])
        found = Lookup(kind, self.plain(cells[kind]), take, self.plain(cells[take]), where)
        try:
            check_lookup(found, self.path.parent)
        except ValueError as error:
            self.fail(node, str(error))
        return found
