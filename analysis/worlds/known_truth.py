"""The truth of a world: a folder of CSVs that was written with its archive.

It was written before anybody judged the archive:

* ``blocks.csv``: ``domain, probe_asn, mechanism, since, until`` and, where known, ``share`` (of
  the sessions that the block met; 1 where there is no such column). ``since`` is the first day
  and ``until`` the day after the last; either is empty where the block reaches past the period.
  Where known, ``since_time`` and ``until_time`` are the exact moments, and ``schedule`` the hours
  of the week at which alone it holds, as in ``verdicts.csv``.
* ``tests.csv``: ``domain, probe_asn, day, session_count, sound_session_count`` and, where known,
  ``hour``: a row an hour in place of a row a day; sound sessions
  are those in which nothing but, perhaps, a block got in the way.
* ``names.csv``: ``domain, situation`` and, where known, ``authority``.
* ``networks.csv``: ``probe_asn, kind, role``.
* ``forgeries.csv`` (may be missing): ``report_id, day, probe_asn, domain, claim``, one row a name
  in a forged report; ``claim`` is ``blocked``, ``open`` or ``control``.
* ``odd_sessions.csv`` (may be missing): ``report_id, probe_asn, faults``; of ``home_filter`` is a
  session behind a filter that a household chose.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.worlds.scored_hours import read_hours

PAIR_KEY = ["domain", "probe_asn"]


@dataclass(frozen=True)
class Truth:
    """The tables of the folder, with the sound sessions of each block counted."""

    blocks: pd.DataFrame
    tests: pd.DataFrame
    names: pd.DataFrame
    networks: pd.DataFrame
    forgeries: pd.DataFrame
    odd_sessions: pd.DataFrame

    @classmethod
    def read(cls, folder: str | Path) -> "Truth":
        folder = Path(folder)
        blocks = _read(folder / "blocks.csv")
        blocks["share"] = pd.to_numeric(blocks["share"]) if "share" in blocks else 1.0
        for column, day in (("since_time", "since"), ("until_time", "until")):
            if column not in blocks:
                blocks[column] = blocks[day].where(blocks[day] == "", blocks[day] + "T00:00:00")
        blocks["schedule"] = blocks.get("schedule", "")
        tests = _read(folder / "tests.csv")
        tests["hour"] = tests["hour"].astype("int64") if "hour" in tests else 0
        for column in ("session_count", "sound_session_count"):
            tests[column] = tests[column].astype("int64")
        names = _read(folder / "names.csv")
        if "authority" not in names:
            names["authority"] = ""
        forgeries = ["report_id", "day", "probe_asn", "domain", "claim"]
        return cls(
            _count_sessions(blocks, tests), tests, names, _read(folder / "networks.csv"),
            _read_if_there(folder / "forgeries.csv", forgeries),
            _read_if_there(folder / "odd_sessions.csv", ["report_id", "probe_asn", "faults"]),
        )  # fmt: skip

    def filtered_names(self) -> set[str]:
        """The names that were tested on a day and network with a session behind a home filter."""
        odd = self.odd_sessions[self.odd_sessions["faults"].str.contains("home_filter")]
        day = pd.to_datetime(odd["report_id"].str[:8], format="%Y%m%d").dt.strftime("%Y-%m-%d")
        met = odd[["probe_asn"]].assign(day=day).merge(self.tests, on=["probe_asn", "day"])
        return set(met["domain"])


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype="str", keep_default_na=False, na_filter=False)


def _read_if_there(path: Path, columns: list[str]) -> pd.DataFrame:
    return _read(path) if path.is_file() else pd.DataFrame(columns=columns, dtype="str")


def _count_sessions(blocks: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """``sound_session_count`` of each block: sound sessions that tested the name while it held."""
    rows = blocks.drop(columns="sound_session_count", errors="ignore").reset_index(names="block")
    met = rows[["block", *PAIR_KEY, "since_time", "until_time", "schedule"]].merge(
        tests, on=PAIR_KEY
    )
    # ISO moments sort as text, and an empty end lies past all of them.
    moment = met["day"] + "T" + met["hour"].map("{:02}:59:59".format)
    is_met = (moment >= met["since_time"]) & (moment < met["until_time"].replace("", "9999"))
    met = met[is_met]
    hours = met["schedule"].map(read_hours)
    places = zip(hours, met["day"], met["hour"], strict=True)
    met = met[[one.is_inside(day, hour) for one, day, hour in places]]
    counts = met.groupby("block")["sound_session_count"].sum()
    rows["sound_session_count"] = rows["block"].map(counts).fillna(0).astype("int64")
    return rows
