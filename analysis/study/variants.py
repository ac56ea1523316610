"""A variant of a study: other rules or numbers, a part of the measurements, an own baseline.

``study.variant(…)`` makes one in a notebook; for ``make report VARIANT=…`` a Python file sets the
name ``variant``::

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

#: Labels, which are part of a folder's name.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _]{0,39}")


@dataclass(frozen=True)
class Variant:
    """The changes of a variant to its study.

    Attributes:
        label: a few words, on every page and in the name of its folder.
        rules: all rules, in order.
        thresholds: numbers that differ from those of the study.
        only: a condition in SQL over the columns of an observation; measurements for which it is
            not true are left out. Empty: all count.
        baseline: another method to compare with, on page 5: a function of the study that returns
            ``domain, probe_asn, is_listed, reason``, one row per pair.
        file: the path of its file; empty for one made in a notebook.
        code: a digest of the file's code.

    Raises:
        ParameterError: the label, a rule or a number is invalid.
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
        """Return the variant as in ``run.json``."""
        baseline = {"baseline": self.baseline_name, "code": self.code} if self.baseline else {}
        only = {"only": self.only} if self.only else {}
        return {"label": self.label, **only, **baseline}

    @property
    def baseline_name(self) -> str:
        """The name of the baseline's function, in words."""
        return getattr(self.baseline, "__name__", "baseline").replace("_", " ")

    @property
    def folder(self) -> str:
        """The label as a part of a folder's name."""
        return self.label.replace(" ", "-")


def load_variant(file: str) -> Variant:
    """Run a Python file and return its ``variant``.

    Raises:
        ParameterError: the file does not exist, fails, or does not set a variant.
    """
    if not Path(file).is_file():
        raise ParameterError("VARIANT", file, "there is no such file")
    try:
        variant = runpy.run_path(file).get("variant")
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is the user's code
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ParameterError("VARIANT", file, f"the file fails with {reason}") from None
    if not isinstance(variant, Variant):
        raise ParameterError("VARIANT", file, "the file must set variant = Variant(…)")
    return replace(variant, file=file, code=digest_code(Path(file).read_bytes()))
