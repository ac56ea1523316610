"""A meeting's decisions, each with the run that it was taken on.

The file is written by people or by ``python -m analysis review``. A decision is never guessed to
hold: in a run of another period or method it is shown as not applied. One to withhold a name holds
in every run, since somebody's safety depends on it; ``reference.withheld`` says what it does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.errors import ContractError, ParameterError
from analysis.hosts import normalise
from analysis.period import Period, day_of, parse_date
from analysis.reference.reference_files import NodeReader, parse_country
from analysis.reference.withheld import (
    MOST_DECISIONS,
    NONE_WITHHELD,
    WITHHOLD,
    Withheld,
    load_withheld,
    parse_decision,
    parse_withheld,
)
from analysis.report.first_page import APPLIED, NOT_APPLIED
from analysis.study.lineage import Lineage
from analysis.tables import read_table, typed
from analysis.vocabulary import DECISIONS

LONGEST_REASON, LONGEST_ROLE = 600, 80
HEAD = """\
# What meetings decided of drafts, for `make report`. A decision holds for the period and the method
# (rules_version, changed thresholds, the digest if edited) that it was taken on; one to withhold a
# name always holds, and then this file is not for publication. Roles, never names.
# `python -m analysis review FILE` brings in a filled-in feedback sheet; comments below this line
# are not kept.
"""

_BASIS = ("since", "until", "rules_version")
_FINDING = re.compile(r"F[1-9][0-9]?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,12}|e-[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Basis:
    """The properties of a run that a decision depends on.

    Attributes:
        probe_cc: the country.
        period: the whole period.
        rules_version: of the method.
        thresholds: the numbers that differ from the published method, by name.
        edited: a digest, where more than numbers is not the published method, or only a part of
            the measurements counts; else empty.
    """

    probe_cc: str
    period: Period
    rules_version: int
    thresholds: tuple[tuple[str, float], ...] = ()
    edited: str = ""

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> "Basis":
        """Return the basis of a report from its ``run.json``."""
        parameters = run["parameters"]
        period = Period.parse(parameters["since"], parameters["until"])
        changed = tuple(sorted(run.get("changed_thresholds", {}).items()))
        lineage = Lineage.read(run)
        edited = lineage.digest_edit(run.get("variant", {}).get("only", "")) if lineage else ""
        return cls(parameters["probe_cc"], period, run["rules_version"], changed, edited)

    @property
    def changes(self) -> str:
        """The changed numbers: ``floor_days=4; floor_sessions=6``."""
        return "; ".join(f"{name}={value:g}" for name, value in self.thresholds)

    @property
    def method(self) -> str:
        """The method in one cell: ``rules 8; floor_sessions=6``."""
        edited = f"edited, digest {self.edited}" if self.edited else ""
        return "; ".join(filter(None, [f"rules {self.rules_version}", self.changes, edited]))


@dataclass(frozen=True)
class Decision:
    """The decision of a meeting on one finding or site.

    Attributes:
        item: ``F1`` or a host name.
        decision: a key of ``vocabulary.DECISIONS``.
        reason: in a sentence.
        date: of the meeting, ISO.
        role: of who objected; never a person's name.
        basis: the run that lay before the meeting.
    """

    item: str
    decision: str
    reason: str
    date: str
    role: str
    basis: Basis

    @property
    def key(self) -> tuple[str, object]:
        """The values that identify a decision: one to withhold a name is independent of the run."""
        return self.item, WITHHOLD if self.decision == WITHHOLD else self.basis

    def holds_in(self, basis: Basis) -> bool:
        """Return whether a decision applies to a run."""
        return self.decision == WITHHOLD or self.basis == basis

    @property
    def line(self) -> str:
        """The decision in one line."""
        words = DECISIONS[self.decision].lower()
        return f"{self.item}: {words}, {self.date}, {self.role}: {self.reason}"


# What people write -------------------------------------------------------------------------------


def parse_number(text: str) -> float:
    """Read a number that is not negative, as people and this workbook write it."""
    if not _NUMBER.fullmatch(text):
        raise ParameterError("number", text, "a number such as 8 or 0.05 is accepted")
    return float(text)


def parse_digest(text: str) -> str:
    """Read the digest of an edited method, as ``run.json`` has it; empty for a method without
    edits.
    """
    if not re.fullmatch("(?:[0-9a-f]{16})?", text):
        raise ParameterError("edited", text, "the 16 hex digits of a method are accepted")
    return text


def is_finding(item: str) -> bool:
    """Return whether a decision is on a finding, rather than on a site."""
    return _FINDING.fullmatch(item) is not None


def _parse_item(text: str) -> str:
    """Read a finding's id or a host name, in its one spelling."""
    item = text.upper() if is_finding(text.upper()) else normalise(text)
    if not item:
        raise ParameterError("item", text, "a finding's id, such as F1, or a site is accepted")
    return item


def _parse_reason(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_REASON:
        raise ParameterError(
            "reason", text[:60], f"a sentence of at most {LONGEST_REASON} characters is accepted"
        )
    return text


def _parse_role(text: str) -> str:
    """Read a role; refuse a text that looks like somebody's address."""
    if not 1 <= len(text) <= LONGEST_ROLE or "@" in text:
        raise ParameterError(
            "role",
            text,
            f"a role such as legal adviser, of at most {LONGEST_ROLE} characters, is "
            "accepted; no name and no address of a person",
        )
    return text


#: Attribute of a decision → the function that reads it from one line, or raises ``ParameterError``.
PARSERS: Mapping[str, Callable[[str], str]] = {
    "item": _parse_item,
    "decision": parse_decision,
    "reason": _parse_reason,
    "date": lambda text: str(parse_date("date", text)),
    "role": _parse_role,
}


# A country's file --------------------------------------------------------------------------------


def load_decisions(path: Path, probe_cc: str) -> tuple[Decision, ...]:
    """Read a country's decisions; none where there is no such file.

    Raises:
        ParameterError: the file is malformed or of another country; names file and line.
    """
    if not path.exists():
        return ()
    reader, withheld = NodeReader(path, "review"), load_withheld(probe_cc, path)
    head = reader.mapping(reader.root(), ("probe_cc", "decisions"), "the file")
    if reader.checked(head["probe_cc"], parse_country) != probe_cc:
        reader.fail(head["probe_cc"], f"probe_cc is not {probe_cc}")
    by_key: dict[tuple[str, object], Decision] = {}
    for node in reader.items(head["decisions"], MOST_DECISIONS, "decisions"):
        cells = reader.mapping(node, (*PARSERS, *_BASIS), "a decision", ("thresholds", "edited"))
        fields_read = {name: reader.checked(cells[name], parse) for name, parse in PARSERS.items()}
        decision = Decision(**fields_read, basis=_read_basis(reader, cells, probe_cc))
        if decision.decision == WITHHOLD:
            reader.checked(cells["item"], parse_withheld)
        if withheld.spells(decision.reason) or withheld.spells(decision.role):
            reader.fail(node, "its reason or role spells a name that a meeting withheld")
        if decision.key in by_key:
            reader.fail(
                node, f"a decision on {decision.item} in this period and method stands above"
            )
        by_key[decision.key] = decision
    return tuple(by_key.values())


def _read_basis(reader: NodeReader, cells: Mapping[str, yaml.Node], probe_cc: str) -> Basis:
    """Read the run that a decision names; an earlier method may have had other thresholds."""
    period = reader.period(cells["since"], cells["until"])
    version = int(reader.checked(cells["rules_version"], parse_number))
    node = cells.get("thresholds")
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    changed = {reader.plain(key): reader.checked(value, parse_number) for key, value in pairs}
    if node and not (len(changed) == len(pairs) > 0 and all(map(str.isidentifier, changed))):
        reader.fail(node, "thresholds must be names, each once, with its number")
    edited = reader.checked(cells["edited"], parse_digest) if "edited" in cells else ""
    return Basis(probe_cc, period, version, tuple(sorted(changed.items())), edited)


def merge_decisions(path: Path, brought: Sequence[Decision], *, dry_run: bool) -> list[str]:
    """Bring a sheet's decisions into a country's file; what they do not name stays in it.

    Args:
        path: of the file, which need not be there.
        brought: the sheet's, of one run: one on the same item, period and method replaces the
            earlier. None but one to withhold the same name replaces one to withhold it.
        dry_run: write nothing.

    Returns:
        A line for each decision that is new or changed.

    Raises:
        ParameterError: the file is malformed, or a reason spells a name that is withheld.
    """
    present = load_decisions(path, brought[0].basis.probe_cc)
    by_key = {decision.key: decision for decision in present}
    changes = []
    for decision in brought:
        before = by_key.get(decision.key)
        if before is None:
            changes.append(f"new: {decision.line}")
        elif before.line != decision.line:
            changes.append(f"changed: {decision.line}; it was {before.line}")
        else:
            continue
        by_key[decision.key] = decision
    withheld = Withheld(
        tuple(decision.item for decision in by_key.values() if decision.decision == WITHHOLD)
    )
    for decision in by_key.values():
        withheld.refuse("reason", decision.item, (decision.reason, decision.role))
    if changes and not dry_run:
        _write(path, by_key.values())
    return changes


def _write(path: Path, decisions: Iterable[Decision]) -> None:
    """Write a country's file, whole or not at all; the same bytes for the same decisions."""
    ordered = sorted(
        decisions,
        key=lambda decision: (str(decision.basis.period), decision.basis.method, decision.item),
    )
    probe_cc = ordered[0].basis.probe_cc
    content = {"probe_cc": probe_cc, "decisions": [_as_mapping(decision) for decision in ordered]}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(f"{HEAD}{text}", encoding="utf-8", newline="\n")
    aside.replace(path)


def _as_mapping(decision: Decision) -> dict[str, Any]:
    basis = decision.basis
    period = {"since": str(basis.period.since), "until": str(basis.period.until)}
    changed = {"thresholds": dict(basis.thresholds)} if basis.thresholds else {}
    cells = {name: getattr(decision, name) for name in PARSERS}
    edited = {"edited": basis.edited} if basis.edited else {}
    return {**cells, **period, "rules_version": basis.rules_version, **changed, **edited}


# A report ----------------------------------------------------------------------------------------


def decision_table(
    decisions: Sequence[Decision], basis: Basis, withheld: Withheld = NONE_WITHHELD
) -> pd.DataFrame:
    """Return the contract's ``decisions`` for one run, by item, those that apply first.

    A row is a decision; ``status`` says whether it is of this period and method, or holds in any.
    """
    rows = [
        {
            **{name: getattr(decision, name) for name in PARSERS},
            "item": decision.item if is_finding(decision.item) else withheld.mask(decision.item),
            "status": APPLIED if decision.holds_in(basis) else NOT_APPLIED,
            "period": str(decision.basis.period),
            "method": decision.basis.method,
        }
        for decision in decisions
    ]
    frame = typed("decisions", rows)
    return frame.sort_values(["status", "item", "date", "period", "method"], ignore_index=True)


def check_decisions(tables: Path) -> None:
    """Refuse a decision of this run that is on nothing in it, unless it withholds a name.

    Args:
        tables: with ``decisions``, ``findings`` and ``verdicts``.

    Raises:
        ContractError: which decision.
    """
    decisions = read_table(tables, "decisions")
    items = {*read_table(tables, "findings")["id"], *read_table(tables, "verdicts")["domain"]}
    applied = decisions[(decisions["status"] == APPLIED) & (decisions["decision"] != WITHHOLD)]
    for row in applied[~applied["item"].isin(items)].itertuples(index=False):
        noun = "finding" if is_finding(str(row.item)) else "tested site"
        raise ContractError(
            f"decisions: {row.decision} of {day_of(row.date)} is on {row.item}, and there is no "
            f"such {noun} in this report, which has the decision's period and method; take it out "
            "of the file or correct it"
        )
