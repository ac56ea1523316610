"""Decisions of a feedback sheet → the country's file, and what that changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import ParameterError
from analysis.review.decisions import Decision, load_decisions
from analysis.vocabulary import DECISIONS

HEAD = """\
# What meetings decided of drafts, for `make report`. A decision holds for the period and the method
# (rules_version, and thresholds where some were changed) that it was taken on. Roles, never names.
# `python -m analysis review FILE` brings in a filled-in feedback sheet; comments below this line
# are not kept.
"""


@dataclass(frozen=True)
class Merged:
    """All decisions of a country, and a line for each that a sheet adds or changes."""

    decisions: tuple[Decision, ...]
    changes: tuple[str, ...]


def merge_decisions(path: Path, brought: Sequence[Decision]) -> Merged:
    """Bring a sheet's decisions in: one on the same item, period and method replaces the earlier.

    Args:
        path: of the country's file, which need not be there.
        brought: the sheet's, of one run.

    Raises:
        ParameterError: the file is malformed.
    """
    known = load_decisions(path, brought[0].basis.probe_cc) if brought else ()
    by_key = {(one.item, one.basis): one for one in known}
    changes = []
    for one in brought:
        before = by_key.get((one.item, one.basis))
        if before is None:
            changes.append(f"new: {_line(one)}")
        elif before != one:
            changes.append(f"changed: {_line(one)}; it was {_line(before)}")
        by_key[one.item, one.basis] = one
    return Merged(tuple(by_key.values()), tuple(changes))


def write_decisions(path: Path, decisions: Sequence[Decision]) -> None:
    """Write a country's file, whole or not at all; the same bytes for the same decisions.

    Raises:
        ParameterError: what was written would not be read back as it was meant.
    """
    ordered = sorted(decisions, key=lambda one: (str(one.basis.period), one.basis.method, one.item))
    probe_cc = ordered[0].basis.probe_cc
    content = {"probe_cc": probe_cc, "decisions": [_as_mapping(one) for one in ordered]}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(f"{HEAD}{text}", encoding="utf-8", newline="\n")
    if load_decisions(aside, probe_cc) != tuple(ordered):
        aside.unlink()
        raise ParameterError("FILE", path.name, "holds a text that YAML does not keep as it is")
    aside.replace(path)


def _as_mapping(one: Decision) -> dict[str, Any]:
    basis = one.basis
    cells = {name: getattr(one, name) for name in ("item", "decision", "reason", "date", "role")}
    return {
        **cells,
        "since": str(basis.period.since),
        "until": str(basis.period.until),
        "rules_version": basis.rules_version,
        **({"thresholds": dict(basis.thresholds)} if basis.thresholds else {}),
    }


def _line(one: Decision) -> str:
    return f"{one.item}: {DECISIONS[one.decision].lower()}, {one.date}, {one.role}: {one.reason}"
