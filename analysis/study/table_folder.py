"""The folder through which notebooks share tables; it is labelled with their study.

Notebooks that read no tables of others start the folder, and the others check it, so that none
reads tables of another country, period or threshold.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.errors import ParameterError
from analysis.study.lineage import Lineage, name_differences, shorten
from analysis.study.study import Study
from analysis.tables import WRITTEN_BY, write_json

#: These need nothing of the others and no web site, so that they may write before the folder is
#: begun.
_APART = ("6-validation", "8-messaging-circumvention")
#: The label of the folder; files that begin with a dot are not published.
MADE_FROM = ".made-from.json"


def start_tables(study: Study) -> str:
    """Start the study's folder for tables, remove tables of another study, and return its path.

    Raises:
        ParameterError: it has tables that no notebook wrote.
    """
    folder = Path(study.parameters.tables)
    folder.mkdir(parents=True, exist_ok=True)
    _begin(folder, made_from(study))
    return str(folder)


def _begin(folder: Path, now: dict[str, Any]) -> None:
    before = _read_made_from(folder)
    own = [name for name, notebook in WRITTEN_BY.items() if notebook not in _APART]
    tables = [path for name in own for path in folder.glob(f"{name}.*")]
    if tables and before is None:
        accepted = f"{tables[0].name} in it is not of a notebook; give a folder of its own"
        raise ParameterError("tables", folder, accepted)
    if before != now:
        if before is not None:
            tables += [p for name in WRITTEN_BY.keys() - own for p in folder.glob(f"{name}.*")]
        for path in tables:
            path.unlink()
        write_json(folder / MADE_FROM, now)


def check_tables(study: Study) -> str:
    """Check that the study's folder has the tables of earlier notebooks, and return its path.

    Raises:
        ParameterError: there are none, or they are of another study; names the notebooks to run.
    """
    folder = Path(study.parameters.tables)
    before, now = _read_made_from(folder), made_from(study)
    run = f"run 1-ingestion and 2-confirmation first, with {_parameters_in_words(study)}"
    if before is None:
        raise ParameterError("tables", folder, f"there are no tables of this study; {run}")
    differences = [item for item, value in now.items() if before.get(item) != value]
    if differences:
        if "method" in differences and (lineage := Lineage.read(before)):
            changes = shorten(list(name_differences(lineage, study.parameters.lineage)))
            differences[differences.index("method")] = f"method ({changes})"
        text = " and ".join(differences)
        accepted = f"the tables in it are of a study that differs in {text}; {run}"
        raise ParameterError("tables", folder, accepted)
    return str(folder)


def made_from(study: Study) -> dict[str, Any]:
    """Return all inputs of a study's tables by name, as digests and without paths."""
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
    """Read the inputs of the tables in a folder; None if it is not labelled."""
    try:
        content = json.loads((folder / MADE_FROM).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _parameters_in_words(study: Study) -> str:
    parameters = study.parameters
    changes = parameters.thresholds.changes()
    numbers = f", thresholds={json.dumps(changes)}" if changes else ""
    variant = f', variant="{parameters.variant.file}"' if parameters.variant else ""
    period = f'since="{parameters.since}", until="{parameters.until}"'
    return f'probe_cc="{parameters.probe_cc}", {period}{numbers}{variant}'
