"""What a meeting decided that holds for this report, as the notebooks and pages find it.

``decisions.csv`` lies among the tables before the first notebook runs (``drafting`` makes it of
the country's file); a folder that somebody's notebooks write into has none.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.tables import read_table
from analysis.vocabulary import DECISIONS

#: The page of the feedback form, on which every decision stands.
FORM = "feedback.html"
APPLIED = "applied"
LEAVE_OUT = "leave_out"

_COLUMNS = ["decision", "reason", "date", "role"]


def read_decided(tables: str | Path) -> dict[str, dict[str, str]]:
    """Item → its decision in this report: ``decision, reason, date, role``."""
    if not (Path(tables) / "decisions.csv").is_file():
        return {}
    decisions = read_table(tables, "decisions")
    applied = decisions[decisions["status"] == APPLIED].set_index("item")[_COLUMNS]
    return {
        str(item): {str(name): str(value) for name, value in row.items()}
        for item, row in applied.to_dict("index").items()
    }


def find_left_out(decided: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """The findings and sites that are not to stand on the first page."""
    return frozenset(item for item, one in decided.items() if one["decision"] == LEAVE_OUT)


def mark_decided(frame: pd.DataFrame, tables: str | Path) -> pd.DataFrame:
    """A table of sites whose notes say what was decided of them; no row is lost.

    Args:
        frame: with ``domain`` and ``note``.
        tables: the folder of the tables.
    """
    said = {
        item: f"decided on {one['date']}: {DECISIONS[one['decision']].lower()}"
        for item, one in read_decided(tables).items()
    }
    notes = [
        "; ".join(filter(None, (note, said.get(domain))))
        for domain, note in zip(frame["domain"], frame["note"], strict=True)
    ]
    return frame.assign(note=notes)
