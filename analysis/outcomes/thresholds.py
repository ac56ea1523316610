"""Every number that the method uses, declared once: value, range, meaning, stages, values to try.

The command line and the notebooks read here whether a value is accepted, the sweep which values to
try and which stages to repeat, and a page the words to print.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from analysis.errors import ParameterError, suggest

if TYPE_CHECKING:
    import pandas as pd

#: Stages in the order of computation; a threshold acts on some of them and on all that follow.
Stage = Literal["features", "profiles", "rules", "sessions", "verdicts"]
STAGES: tuple[Stage, ...] = ("features", "profiles", "rules", "sessions", "verdicts")


@dataclass(frozen=True)
class Declaration:
    """Declaration of a threshold, without its value.

    Attributes:
        meaning: effect of the number, in words.
        least, most: the accepted range, both ends included.
        stages: stages to compute again if the number changes.
        tried: the values that the sweep tries besides the one in use; none if the number changes
            dates and no state.
        tried_in_worlds: the values that ``make validate`` tries on worlds whose truth is known.
        kind: type of the number.
    """

    meaning: str
    least: float
    most: float
    stages: frozenset[Stage]
    tried: tuple[float, ...]
    tried_in_worlds: tuple[float, ...]
    kind: type[float]


def _declare(
    default: float,
    meaning: str,
    *,
    range: tuple[float, float],
    stages: tuple[Stage, ...],
    tried: tuple[float, ...] = (),
    tried_in_worlds: tuple[float, ...] = (),
) -> Any:
    declaration = Declaration(
        meaning, *range, frozenset(stages), tried, tried_in_worlds, type(default)
    )
    return field(default=default, metadata={"declaration": declaration})


@dataclass(frozen=True)
class Thresholds:
    """Every number the method uses, fitted on fictional countries (``make validate``).

    Raises:
        ParameterError: a value is no number of the right kind, or out of its range.
    """

    floor_sessions: int = _declare(
        4,
        "sessions with the same result that a state needs",
        range=(1, 1000),
        stages=("profiles", "rules", "sessions", "verdicts"),
        tried=(2, 3, 5, 6),
        tried_in_worlds=(3, 5, 6),
    )
    floor_days: int = _declare(
        3,
        "days over which the floor_sessions must be spread",
        range=(1, 366),
        stages=("profiles", "rules", "sessions", "verdicts"),
        tried=(1, 2, 4, 5),
        tried_in_worlds=(2, 4),
    )
    share_floor: float = _declare(
        0.4,
        "share of sessions with the result in question: its lower 95 % bound must be at least this",
        range=(0, 1),
        stages=("verdicts",),
        tried=(0.3, 0.5, 0.6, 0.7),
        tried_in_worlds=(0.3, 0.5, 0.6),
    )
    chance_line: float = _declare(
        1000.0,
        "evidence (likelihood ratio) from which on failures are listed",
        range=(1, 1_000_000),
        stages=("verdicts",),
        tried=(100.0, 300.0, 3000.0, 10_000.0),
        tried_in_worlds=(100.0, 3000.0),
    )
    sinkhole_names: int = _declare(
        3,
        "unrelated live names on one address that make it a sinkhole",
        range=(2, 1000),
        stages=("profiles",),
        tried=(2, 5, 8, 11),
        tried_in_worlds=(2, 5),
    )
    blockpage_names: int = _declare(
        3,
        "unrelated names for which one page appears, so that it is a block page; two are enough if "
        "they are reached elsewhere, are in different hosting networks, and the page is no error",
        range=(2, 1000),
        stages=("profiles",),
        tried=(2, 4, 6, 8),
        tried_in_worlds=(2, 5),
    )
    substitution_dead_share: float = _declare(
        0.5,
        "share of an address's names that do not exist, for a substitution",
        range=(0, 1),
        stages=("profiles",),
        tried=(0.2, 0.35, 0.65, 0.8),
        tried_in_worlds=(0.3, 0.7),
    )
    persistence_share: float = _declare(
        0.9,
        "if this share of a live name's sessions or more get a substitution address, it is "
        "not taken for an error of the resolver",
        range=(0, 1),
        stages=("profiles",),
        tried=(0.7, 0.8, 0.95, 1.0),
    )
    broken_names: int = _declare(
        5,
        "normally reachable names that a broken session must have tried",
        range=(1, 1000),
        stages=("rules",),
        tried=(3, 4, 8, 12),
    )
    broken_share: float = _declare(
        0.5,
        "share of them that fail in a broken session",
        range=(0, 1),
        stages=("rules",),
        tried=(0.3, 0.4, 0.6, 0.7),
        tried_in_worlds=(0.35, 0.7),
    )
    refusal_share: float = _declare(
        0.8,
        "share of refusing networks that makes it a refusal of the country",
        range=(0, 1),
        stages=("profiles", "verdicts"),
        tried=(0.6, 0.7, 0.9, 1.0),
        tried_in_worlds=(0.6, 0.9),
    )
    body_match: float = _declare(
        0.7,
        "body length proportion that counts as the same page (OONI's)",
        range=(0, 1),
        stages=("features",),
        tried=(0.5, 0.6, 0.8, 0.9),
    )
    pool_days: int = _declare(
        15,
        "days either side over which controls are pooled for a name",
        range=(0, 366),
        stages=("features",),
        tried=(3, 7, 30, 60),
    )
    change_cost: float = _declare(
        1.0,
        "what a change between failing and reached costs, besides ln(sessions); a higher cost "
        "means fewer changes",
        range=(0, 100),
        stages=("verdicts",),
        tried=(0.0, 2.0, 3.0, 5.0),
        tried_in_worlds=(0.0, 2.0, 4.0),
    )
    not_tested_days: int = _declare(
        30,
        "if the report's period ends with this many days or more without a test, it is unknown "
        "whether a block has ended",
        range=(0, 366),
        stages=("verdicts",),
    )

    def __post_init__(self) -> None:
        for threshold in fields(self):
            value = _checked(threshold.name, getattr(self, threshold.name))
            object.__setattr__(self, threshold.name, value)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Thresholds":
        """Return the numbers of a notebook, ``Thresholds.of(globals())``.

        Args:
            parameters: the mapping ``thresholds`` has the numbers that differ from the published
                ones; a threshold may also be a parameter of its own, as with papermill's ``-p``.

        Raises:
            ParameterError: a name is unknown, or a value is not accepted.
        """
        names = [threshold.name for threshold in fields(cls)]
        named = {name: parameters[name] for name in names if name in parameters}
        return cls().changed_by({**parameters.get("thresholds", {}), **named})

    @classmethod
    def read(cls, table: "pd.DataFrame") -> "Thresholds":
        """Return the numbers of a run, from its published table ``thresholds``."""
        numbers = zip(table["name"], table["value"], strict=True)
        return cls().changed_by({name: DECLARATIONS[name].kind(value) for name, value in numbers})

    def changed_by(self, values: Mapping[str, object]) -> "Thresholds":
        """Return these numbers with some replaced; a text is read as a number.

        Raises:
            ParameterError: a name is unknown, or a value is not accepted.
        """
        for name, value in values.items():
            if name in GONE:
                raise ParameterError(name, value, GONE[name])
            if name not in DECLARATIONS:
                near = suggest(name, DECLARATIONS) or f"; there are {', '.join(DECLARATIONS)}"
                raise ParameterError(name, value, f"there is no such threshold{near}")
        return replace(self, **values)  # type: ignore[arg-type]

    def changes(self) -> dict[str, float]:
        """Return the numbers that differ from the published method, by name, in order."""
        published = vars(Thresholds())
        return {name: value for name, value in vars(self).items() if value != published[name]}

    def table(self) -> "pd.DataFrame":
        """Return one row per number: ``name, value, meaning, published_value, least, most``.

        The values are Python's numbers, so that whole ones are written without a point.
        """
        import pandas as pd  # takes half a second to load, and the command line does not need it

        published = vars(Thresholds())
        rows = [
            (name, value, d.meaning, published[name], d.least, d.most)
            for (name, value), d in zip(vars(self).items(), DECLARATIONS.values(), strict=True)
        ]
        columns = ["name", "value", "meaning", "published_value", "least", "most"]
        return pd.DataFrame(rows, columns=columns, dtype="object")


#: Name → declaration of the threshold, in the order of the fields.
DECLARATIONS: Mapping[str, Declaration] = {
    threshold.name: threshold.metadata["declaration"] for threshold in fields(Thresholds)
}

#: Threshold of an earlier version of the method → sentence on what replaces it.
GONE: Mapping[str, str] = {
    "chance_share": "there is no such threshold any more; the line of the list is chance_line",
    **dict.fromkeys(
        ("filter_share", "firewall_names", "route_days"),
        "there is no such threshold any more; the method works without it",
    ),
}


def accepted_values(name: str) -> str:
    """Return the accepted values of a threshold in words."""
    declared = DECLARATIONS[name]
    kind = "a whole number" if declared.kind is int else "a number"
    return f"{kind} from {declared.least:g} to {declared.most:g} is accepted ({declared.meaning})"


def _checked(name: str, value: Any) -> float:
    """Return a value, or the number in a text, if it has the right type and is in its range.

    Raises:
        ParameterError: it is not accepted; the message has the accepted values.
    """
    declared, number = DECLARATIONS[name], value
    with suppress(ValueError):
        number = declared.kind(value) if isinstance(value, str) else value
    kinds = Integral if declared.kind is int else Real
    is_number = isinstance(number, kinds) and not isinstance(number, bool)
    if not is_number or not declared.least <= number <= declared.most:
        raise ParameterError(name, value, accepted_values(name))
    return declared.kind(number)
