"""Every number that the method uses, declared once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd


def _number(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Thresholds:
    """Every number the method uses, fitted on fictional countries (``make validate``)."""

    floor_sessions: int = _number(4, "sessions of one class that a state needs")
    floor_days: int = _number(3, "days on which those sessions must lie")
    share_floor: float = _number(0.5, "lower 95 % bound of the class's share over sessions")
    firm_share_floor: float = _number(
        0.4, "the same where most failures are no time-outs, and at least half of all sessions fail"
    )
    sinkhole_names: int = _number(3, "unrelated live names on one address: a sinkhole")
    blockpage_names: int = _number(3, "unrelated names on one page: a block page")
    substitution_dead_share: float = _number(
        0.5, "share of an address's names that controls miss: a substitution"
    )
    persistence_share: float = _number(
        0.9, "share of a live name's sessions on a substitution address: not a lapse"
    )
    filter_share: float = _number(
        0.6, "share of a resolver's sessions below which a private address is a local filter"
    )
    broken_names: int = _number(5, "normally reachable names that a broken session must have tried")
    broken_share: float = _number(0.5, "share of them that fail in a broken session")
    defect_names: int = _number(3, "names on which a probe version must fail alone")
    defect_ratio: float = _number(5.0, "times as often as other versions, for a defect")
    refusal_share: float = _number(0.8, "share of networks on which a site refuses the country")
    firewall_names: int = _number(
        3, "unrelated sites that fail alike on every network: a firewall, no refusal"
    )
    route_days: int = _number(
        7, "days that time-outs on one network must last: a lost route is back before"
    )
    body_match: float = _number(0.7, "body length proportion that counts as the same page (OONI's)")
    pool_days: int = _number(15, "days either side over which controls are pooled for a name")
    change_penalty: float = _number(1.0, "price of one change of behaviour, in log(sessions)")
    not_tested_days: int = _number(
        30, "days without a test at the period's end after which an ending is unknown"
    )

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Thresholds":
        """The numbers among a notebook's parameters, such as ``Thresholds.of(globals())``."""
        return cls(**{field.name: parameters[field.name] for field in fields(cls)})

    @classmethod
    def read(cls, table: pd.DataFrame) -> "Thresholds":
        """The numbers of a run, from its published table ``thresholds``."""
        texts = dict(zip(table["name"], table["value"], strict=True))
        return cls(**{name: type(value)(texts[name]) for name, value in vars(cls()).items()})

    def table(self) -> pd.DataFrame:
        """One row per number, in order: ``name, value, meaning``."""
        help = self.help()
        rows = [(name, str(value), help[name]) for name, value in vars(self).items()]
        return pd.DataFrame(rows, columns=["name", "value", "meaning"])

    @classmethod
    def help(cls) -> dict[str, str]:
        """Name → what the number decides."""
        return {field.name: str(field.metadata["help"]) for field in fields(cls)}
