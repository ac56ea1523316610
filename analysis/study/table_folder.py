"""The folder through which notebooks hand tables on: it holds those of one study, and says which.

The notebooks that read no other's tables begin it and the others check it, so that none reads
what another country, another period or another threshold left there.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.files import hold_lock
from analysis.study.lineage import Lineage, name_differences, shorten
from analysis.study.study import Study
from analysis.tables import WRITTEN_BY, write_json

#: These need nothing of the others and no web site, so that they may write before the folder is
#: begun.
_APART = ("6-validation", "8-messaging-circumvention")
#: Lies among the tables; what begins with a dot is not published.
MADE_FROM = ".made-from.json"
#: Held by the notebook that begins the folder: two may start side by side.
_LOCK = ".lock"


def start_tables(study: Study) -> str:
    """The study's folder for tables, emptied of those of another study.

    Raises:
        ParameterError: it holds tables that no notebook left there.
    """
    folder = Path(study.parameters.tables)
    with hold_lock(folder / _LOCK):
        _begin(folder, made_from(study))
    return str(folder)


def _begin(folder: Path, now: dict[str, Any]) -> None:
    before = _read_made_from(folder)
    own = [name for name, notebook in WRITTEN_BY.items() if notebook not in _APART]
    tables = [path for name in own for path in folder.glob(f"{name}.*")]
    notes = list(folder.glob(note_file("*")))
    if tables and before is None:
        accepted = f"{tables[0].name} in it is not of a notebook; give a folder of its own"
        raise ParameterError("tables", folder, accepted)
    if before != now:
        if before is not None:
            tables += [p for name in WRITTEN_BY.keys() - own for p in folder.glob(f"{name}.*")]
        for path in (*tables, *notes):
            path.unlink()
        write_json(folder / MADE_FROM, now)


def check_tables(study: Study) -> str:
    """The study's folder for tables, where the notebooks before this one left them.

    Raises:
        ParameterError: there are none, or they were made of something else; says what to run.
    """
    folder = Path(study.parameters.tables)
    before, now = _read_made_from(folder), made_from(study)
    run = f"run 1-ingestion and 2-confirmation first, with {_parameters_in_words(study)}"
    if before is None:
        raise ParameterError("tables", folder, f"there are no tables of this study; {run}")
    other = [what for what, value in now.items() if before.get(what) != value]
    if other:
        if "method" in other and (was := Lineage.read(before)):
            changed = shorten(list(name_differences(was, study.parameters.lineage)))
            other[other.index("method")] = f"method ({changed})"
        said = f"the tables in it are of a study that differs in {' and '.join(other)}; {run}"
        raise ParameterError("tables", folder, said)
    return str(folder)


def keep_note(tables: str | Path, name: str, frame: pd.DataFrame) -> None:
    """Hand a frame to those who come after within the run; it is not published."""
    path = Path(tables) / note_file(name)
    aside = path.with_suffix(".part")
    frame.to_parquet(aside, index=False)
    aside.replace(path)


def read_note(tables: str | Path, name: str) -> pd.DataFrame:
    """What a notebook before this one handed on.

    Raises:
        ParameterError: it has not run.
    """
    path = Path(tables) / note_file(name)
    if not path.is_file():
        raise ParameterError("tables", tables, f"{path.name} is not in it; run the notebooks anew")
    return pd.read_parquet(path)


def note_file(name: str) -> str:
    """The file of a note in the folder of the tables."""
    return f".{name}.parquet"


def made_from(study: Study) -> dict[str, Any]:
    """All that a study's tables depend on, by what it is; digests, no path."""
    second, withheld = study.periods["second"], study.lists.withheld
    variant = study.parameters.variant
    files = [*study.lists.files, study.lists.fingerprint_file]
    return {
        "country or period": f"{study.probe_cc} {study.periods['all']} {second.since}",
        "observations": study.collection.digest,
        "lists": [asdict(file) for file in files if file],
        "part of the measurements": study.part,
        "method": study.parameters.lineage.for_run(),
        "WITNESSES": study.parameters.witnesses,
        **({"variant": variant.for_run()} if variant else {}),
        **({"withheld names": withheld.digest} if withheld else {}),
    }


def _read_made_from(folder: Path) -> dict[str, Any] | None:
    """What the tables in a folder were made from; None where nothing says so."""
    try:
        content = json.loads((folder / MADE_FROM).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _parameters_in_words(study: Study) -> str:
    given = study.parameters
    changes = given.thresholds.changes()
    numbers = f", thresholds={json.dumps(changes)}" if changes else ""
    variant = f', variant="{given.variant.file}"' if given.variant else ""
    period = f'since="{given.since}", until="{given.until}"'
    return f'probe_cc="{given.probe_cc}", {period}{numbers}{variant}'
