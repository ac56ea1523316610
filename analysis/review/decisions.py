"""A meeting's decisions on findings and sites, each with the run that it was taken on.

The file is written by people or by ``python -m analysis review``. A decision is never guessed to
hold: in a run of another period or method it is shown as not applied.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from analysis.errors import ContractError, ParameterError
from analysis.hosts import normalise
from analysis.period import Period, parse_date
from analysis.reference.countries import parse_country
from analysis.reference.reference_files import REPOSITORY
from analysis.reference.yaml_nodes import NodeReader
from analysis.report.decided import APPLIED
from analysis.review.basis import Basis, read_number
from analysis.tables import read_table
from analysis.vocabulary import DECISIONS

#: One file a country.
REVIEWS = REPOSITORY / "data" / "review"
NOT_APPLIED = "not_applied"
LONGEST_REASON, LONGEST_ROLE = 600, 80

_KEYS = ("item", "decision", "reason", "date", "role", "since", "until", "rules_version")
_MOST = 5_000
_FINDING = re.compile(r"F[1-9][0-9]?", re.ASCII)
_COLUMNS = ["item", "decision", "reason", "date", "role", "status", "period", "method"]


@dataclass(frozen=True)
class Decision:
    """What a meeting decided of one finding or site.

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


def review_path(probe_cc: str) -> Path:
    """The file of a country's decisions."""
    return REVIEWS / f"{probe_cc.lower()}.yml"


def load_decisions(path: Path, probe_cc: str) -> tuple[Decision, ...]:
    """Read a country's decisions; none where there is no such file.

    Raises:
        ParameterError: the file is malformed or of another country; names file and line.
    """
    if not path.exists():
        return ()
    reader = _Reader(path, probe_cc)
    head = reader.mapping(reader.root(reader.read()), ("probe_cc", "decisions"), "the file")
    if reader.checked(head["probe_cc"], parse_country) != probe_cc:
        reader.fail(head["probe_cc"], f"probe_cc is not {probe_cc}")
    found: dict[tuple[str, Basis], Decision] = {}
    for node in reader.items(head["decisions"], _MOST, "decisions"):
        one = reader.decision(node)
        if (one.item, one.basis) in found:
            reader.fail(node, f"a decision on {one.item} in this period and method stands above")
        found[one.item, one.basis] = one
    return tuple(found.values())


def decision_table(decisions: Sequence[Decision], basis: Basis) -> pd.DataFrame:
    """The contract's ``decisions`` for one run, by item, those that apply first.

    A row is a decision; ``status`` says whether it is of this period and method.
    """
    rows = [
        (one.item, one.decision, one.reason, one.date, one.role,
         APPLIED if one.basis == basis else NOT_APPLIED,
         str(one.basis.period), one.basis.method)
        for one in decisions
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=_COLUMNS, dtype="str")
    return frame.sort_values(["status", "item", "date", "period", "method"], ignore_index=True)


def check_decisions(tables: Path) -> None:
    """Refuse a decision of this run that is on nothing in it.

    Args:
        tables: with ``decisions``, ``findings`` and ``verdicts``.

    Raises:
        ContractError: which decision.
    """
    decisions = read_table(tables, "decisions")
    known = {*read_table(tables, "findings")["id"], *read_table(tables, "verdicts")["domain"]}
    applied = decisions[(decisions["status"] == APPLIED) & ~decisions["item"].isin(known)]
    for row in applied.itertuples(index=False):
        what = "finding" if is_finding(str(row.item)) else "tested site"
        raise ContractError(
            f"decisions: {row.decision} of {row.date} is on {row.item}, and there is no such "
            f"{what} in this report, which has the decision's period and method; take it out of "
            "the file or correct it"
        )


def is_finding(item: str) -> bool:
    """Whether a decision is on a finding, rather than on a site."""
    return _FINDING.fullmatch(item) is not None


def parse_item(text: str) -> str:
    """A finding's id or a host name in its one spelling.

    Raises:
        ParameterError: it is neither.
    """
    item = text.strip()
    item = item.upper() if is_finding(item.upper()) else normalise(item)
    if not item:
        raise ParameterError("item", text, "a finding's id, such as F1, or a site is accepted")
    return item


def parse_decision(text: str) -> str:
    """The code of a decision, given as such or in its words.

    Raises:
        ParameterError: it is none.
    """
    codes: Mapping[str, str] = {words.casefold(): code for code, words in DECISIONS.items()}
    code = codes.get(text.strip().casefold(), text.strip())
    if code not in DECISIONS:
        raise ParameterError("decision", text, f"one of {', '.join(DECISIONS)} is accepted")
    return code


def parse_role(text: str) -> str:
    """A role; what looks like an address of somebody is refused.

    Raises:
        ParameterError: it is empty, long or holds an @.
    """
    role = " ".join(text.split())
    if not 1 <= len(role) <= LONGEST_ROLE or "@" in role:
        raise ParameterError(
            "role", text, f"a role such as legal adviser, of at most {LONGEST_ROLE} characters, is "
            "accepted; no name and no address of a person"
        )  # fmt: skip
    return role


class _Reader(NodeReader):
    """Reads a country's decisions."""

    def __init__(self, path: Path, probe_cc: str) -> None:
        super().__init__(path, "review")
        self.probe_cc = probe_cc

    def decision(self, node: yaml.Node) -> Decision:
        cells = self.mapping(node, _KEYS, "a decision", ("thresholds",))
        return Decision(
            item=self.checked(cells["item"], parse_item),
            decision=self.checked(cells["decision"], parse_decision),
            reason=self.text(cells["reason"], "reason", LONGEST_REASON),
            date=self.checked(cells["date"], lambda text: str(parse_date("date", text))),
            role=self.checked(cells["role"], parse_role),
            basis=self.basis(cells),
        )

    def basis(self, cells: Mapping[str, yaml.Node]) -> Basis:
        period: Period = self.period(cells["since"], cells["until"])
        version = int(self.checked(cells["rules_version"], read_number))
        return Basis(self.probe_cc, period, version, self.thresholds(cells.get("thresholds")))

    def thresholds(self, node: yaml.Node | None) -> tuple[tuple[str, float], ...]:
        """The changed numbers, which an earlier method may have had by another name."""
        if node is None:
            return ()
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, "thresholds must be names, each with its number")
        found = {self.plain(key): self.checked(value, read_number) for key, value in node.value}
        if not all(name.isidentifier() for name in found) or len(found) != len(node.value):
            self.fail(node, "thresholds must be names, each once, with its number")
        return tuple(sorted(found.items()))
