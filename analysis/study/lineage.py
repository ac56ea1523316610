"""The lineage of a result: the parts of its method, their digest, and differences from another.

The parts are rules, thresholds, code, shipped lists that affect results, and, for a report, its
notebooks. The digest does not cover notebooks, because an edited one must still accept the tables
of the others.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import nbformat

from analysis.errors import ParameterError
from analysis.outcomes.rules import Rule
from analysis.outcomes.thresholds import Thresholds
from analysis.reference.reference_files import NOTEBOOKS, REFERENCE
from analysis.reference.release import MODULES, SAYING, digest_modules, read_release
from analysis.source_code import (
    digest_code,
    digest_text,
    drop_sql_comments,
    file_of,
    find_edited,
    list_modules,
)
from analysis.tables import TABLES

_LISTS = ("categories.csv", "countries.csv", "local_filters.csv", "messaging_causes.csv")
#: The declaration of columns.
_COLUMNS = "columns.csv"
#: The most differences that are named; further ones are counted.
_MOST_NAMED = 8


@dataclass(frozen=True)
class Lineage:
    """The parts of a method: name → digest, or value of a threshold.

    Attributes:
        rules: by id.
        order: digest of the ids of the rules in order.
        thresholds: the numbers in use.
        modules: the code.
        lists: shipped lists.
        notebooks: of a report; empty for a study.
    """

    rules: Mapping[str, str]
    order: str
    thresholds: Mapping[str, int | float]
    modules: Mapping[str, str]
    lists: Mapping[str, str]
    notebooks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Iterable[Rule], thresholds: Thresholds) -> "Lineage":
        """Return the lineage of the running code with these rules and numbers."""
        digests = {rule.rule_id: _digest_rule(rule) for rule in rules}
        return cls(
            rules=digests,
            order=digest_text(" ".join(digests)),
            thresholds=vars(thresholds),
            modules=digest_modules(),
            lists={**{name: _digest_list(name) for name in _LISTS}, _COLUMNS: _digest_columns()},
        )

    @classmethod
    def read(cls, run: Mapping[str, Any]) -> "Lineage | None":
        """Read the lineage of a report from its ``run.json``; None if missing or malformed."""
        try:
            return msgspec.convert(run.get("method"), cls)
        except msgspec.ValidationError:
            return None

    @classmethod
    def of_release(cls) -> "Lineage":
        """Return the lineage of the release."""
        release = read_release()
        return cls(**{name: release[name] for name in _PARTS})

    def with_notebooks(self) -> "Lineage":
        """Return the lineage with the notebooks as they are stored."""
        paths = sorted(NOTEBOOKS.glob("[1-9]*.ipynb"))
        return replace(self, notebooks={path.stem: _digest_notebook(path) for path in paths})

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits of all parts but the notebooks."""
        parts = {name: getattr(self, name) for name in _PARTS if name != "notebooks"}
        return digest_text(json.dumps(parts, sort_keys=True))

    @cached_property
    def edits(self) -> tuple[str, ...]:
        """The differences from the release, in words."""
        return tuple(name_differences(Lineage.of_release(), self, "published"))

    @property
    def judging(self) -> "Lineage":
        """The lineage without notebooks and without code that only presents results."""
        presenting = set(list_modules(SAYING))
        modules = {name: digest for name, digest in self.modules.items() if name not in presenting}
        return replace(self, modules=modules, notebooks={})

    @property
    def judging_edits(self) -> tuple[str, ...]:
        """The differences of ``judging`` from the release, in words."""
        return tuple(name_differences(Lineage.of_release().judging, self.judging, "published"))

    def digest_edit(self, only: str) -> str:
        """Return the digest of ``judging`` if more than its numbers was edited, else ``""``.

        Args:
            only: the condition of a part of the measurements, which counts as an edit.
        """
        if only:
            return digest_text(f"{self.judging.digest} {only}")
        same_numbers = replace(self, thresholds=Lineage.of_release().thresholds)
        return self.judging.digest if same_numbers.judging_edits else ""

    @property
    def in_words(self) -> str:
        """The digest and the edits."""
        edited = f", edited: {shorten(self.edits)}" if self.edits else ", as released"
        return f"digest {self.digest}{edited}"

    def for_run(self) -> dict[str, Any]:
        """Return the lineage as in ``run.json``."""
        parts = {name: getattr(self, name) for name in _PARTS}
        return {"digest": self.digest, "edits": list(self.edits), **parts}


_PARTS = tuple(Lineage.__dataclass_fields__)


def name_differences(before: Lineage, after: Lineage, known_as: str = "before") -> Iterator[str]:
    """Yield the differences between two methods in words: rules first, by id."""
    yield from _compare("rule", before.rules, after.rules)
    if before.order != after.order and before.rules.keys() == after.rules.keys():
        yield "order of the rules changed"
    for name in (*after.thresholds, *sorted(before.thresholds.keys() - after.thresholds.keys())):
        was, value = before.thresholds.get(name, "none"), after.thresholds.get(name, "none")
        if value != was:
            yield f"{name} {value} ({known_as}: {was})"
    yield from _compare("module", before.modules, after.modules)
    yield from _compare("list", before.lists, after.lists)
    if before.notebooks and after.notebooks:
        yield from _compare("notebook", before.notebooks, after.notebooks)


def _compare(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"{what} {name} added"
        elif name not in after:
            yield f"{what} {name} left out"
        elif before[name] != after[name]:
            yield f"{what} {name} changed"


def shorten(differences: Sequence[str]) -> str:
    """Return differences in one line, the first ones if there are many."""
    more = len(differences) - _MOST_NAMED
    named = "; ".join(differences[:_MOST_NAMED])
    return f"{named}; and {more} more" if more > 0 else named


def check_imported() -> None:
    """Refuse to judge by code that was edited after its import, because the old code would run.

    Raises:
        ParameterError: a file was edited; advises to restart the kernel.
    """
    if edited := find_edited(list_modules(MODULES)):
        accepted = "edited after this kernel imported it: restart the kernel and run all cells"
        paths = ", ".join(f"analysis/{file_of(name)}" for name in edited)
        raise ParameterError("analysis", paths, accepted)


def _digest_rule(rule: Rule) -> str:
    """Return the digest of a rule without its comment."""
    bare = replace(rule, comment="", condition=drop_sql_comments(rule.condition))
    return digest_text(repr(astuple(bare)))


def _digest_list(name: str) -> str:
    return digest_text((REFERENCE / name).read_text(encoding="utf-8"))


def _digest_columns() -> str:
    """Return the digest of the types of all columns, which decide how numbers are written."""
    kinds = {name: list(table.columns.items()) for name, table in TABLES.items()}
    return digest_text(json.dumps(kinds))


def _digest_notebook(path: Path) -> str:
    """Return the digest of a notebook's code, without the values of its parameters."""
    cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
    try:
        return digest_code("\n".join(map(_read_code, cells)))
    except SyntaxError:  # an IPython magic
        return digest_text("\n".join(cell.source for cell in cells if cell.cell_type == "code"))


def _read_code(cell: nbformat.NotebookNode) -> str:
    if cell.cell_type != "code":
        return ""
    if "parameters" not in cell.metadata.get("tags", []):
        return str(cell.source)
    body = ast.parse(cell.source).body
    return "\n".join(ast.unparse(node) for node in body if not _is_parameter(node))


def _is_parameter(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, _PLAIN)


#: Values of parameters.
_PLAIN = (ast.Constant, ast.Dict, ast.List, ast.Tuple)
