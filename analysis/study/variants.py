"""A variant of a study: other rules or numbers, a part of the measurements, an own baseline.

``study.variant(…)`` makes one in a notebook; for ``make report VARIANT=…`` the same stands in a
Python file, under the name ``variant``::

    from analysis.outcomes.rules import RULES
    from analysis.study.variants import Variant

    variant = Variant(
        "no sinkholes", rules=tuple(rule for rule in RULES if rule.rule_id != "dns.sinkhole")
    )
"""

import re
import runpy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.outcomes.rules import RULES, Rule, RuleError, check_rules
from analysis.outcomes.thresholds import Thresholds
from analysis.source_code import digest_code

#: What a label may be, since a folder is named by it.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _]{0,39}")


@dataclass(frozen=True)
class Variant:
    """What is other than in the study that it is a variant of.

    Attributes:
        label: a few words, on every page and in the name of its folder.
        rules: the method's rules, in order.
        thresholds: numbers that differ from those of the study.
        only: SQL over the columns of an observation, true of the measurements that count; empty:
            all.
        baseline: another method to compare with, on page 5: a function of the study that returns
            ``domain, probe_asn, is_listed, reason``, a row a pair.
        file: where it was read; empty of one that was made in a notebook.
        code: a digest of what the file does.

    Raises:
        ParameterError: the label is no name, a rule cannot work, or a number is not accepted.
    """

    label: str
    rules: tuple[Rule, ...] = RULES
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    only: str = ""
    baseline: Callable[[Any], pd.DataFrame] | None = None
    file: str = ""
    code: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.label, str) and _LABEL.fullmatch(self.label)):
            accepted = "1 to 40 letters, digits, spaces and _ are accepted"
            raise ParameterError("label", self.label, accepted)
        if not isinstance(self.only, str):
            raise ParameterError("only", self.only, "a condition in SQL is accepted, as a text")
        if not isinstance(self.thresholds, Mapping):
            raise ParameterError("thresholds", self.thresholds, "numbers by name are accepted")
        rules = tuple(self.rules) if isinstance(self.rules, Iterable) else ()
        if not rules or not all(isinstance(rule, Rule) for rule in rules):
            raise ParameterError("rules", self.label, "rules are accepted, all of them, in order")
        object.__setattr__(self, "rules", rules)
        try:
            check_rules(self.rules)
        except RuleError as error:
            raise ParameterError("rules", self.label, str(error)) from None
        Thresholds().changed_by(self.thresholds)
        if self.baseline is not None and not callable(self.baseline):
            raise ParameterError("baseline", self.baseline, "a function of a study is accepted")

    def for_run(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        baseline = {"baseline": self.baseline_name, "code": self.code} if self.baseline else {}
        only = {"only": self.only} if self.only else {}
        return {"label": self.label, **only, **baseline}

    @property
    def baseline_name(self) -> str:
        """What the baseline is called: its function, in words."""
        return getattr(self.baseline, "__name__", "baseline").replace("_", " ")

    @property
    def folder(self) -> str:
        """The label as a part of a folder's name."""
        return self.label.replace(" ", "-")


def load_variant(file: str) -> Variant:
    """Run a Python file, and take its ``variant``.

    Raises:
        ParameterError: there is no such file, it fails, or it has no variant.
    """
    if not Path(file).is_file():
        raise ParameterError("VARIANT", file, "there is no such file")
    try:
        found = runpy.run_path(file).get("variant")
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is the user's code
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ParameterError("VARIANT", file, f"the file fails with {why}") from None
    if not isinstance(found, Variant):
        raise ParameterError("VARIANT", file, "the file must set variant = Variant(…)")
    return replace(found, file=file, code=digest_code(Path(file).read_bytes()))
