"""Write the parameters cell of every notebook of a report from the declarations of parameters.

    .venv/bin/python tools/parameters_cells.py            write them
    .venv/bin/python tools/parameters_cells.py --check    name those that differ; exit status 1

A notebook's own parameters, below the line ``# This notebook``, are kept. The notebook of a topic,
which is of several studies, has a cell of its own.
"""

import sys
from dataclasses import MISSING, fields
from pathlib import Path

import nbformat

from analysis.study.parameters import PARAMETERS, StudyParameters

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
OWN = "# This notebook"


#: Parameters in the cells. Others, in docs/commands.md, may be added below these lines.
SHOWN = ("probe_cc", "since", "until", "source", "tables", "thresholds")
HEADING = "# The study; all parameters and their defaults: docs/commands.md, in lower case here"


def cell_text() -> str:
    """Return the cell that all notebooks share: one parameter per line."""
    defaults = {declared.name: declared.default for declared in fields(StudyParameters)}
    lines = [HEADING]
    for name in SHOWN:
        value = {} if defaults[name] is MISSING else defaults[name]
        shown = f'"{value}"' if isinstance(value, str) else f"{value!r}"
        lines.append(f"{name}: {type(value).__name__} = {shown}  # {PARAMETERS[name].help}")
    return "\n".join(lines)


def expected(source: str) -> str:
    """Return the correct source of a notebook's parameters cell."""
    _, line, own = source.partition(f"\n{OWN}\n")
    return cell_text() + line + own


def main(is_check: bool) -> int:
    """Write the cells that differ, or name them."""
    differing = []
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        before = nbformat.writes(notebook)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = expected(cell.source)
        if nbformat.writes(notebook) != before:
            differing.append(path.name)
            if not is_check:
                nbformat.write(notebook, path)
    print("\n".join(differing))
    return 1 if is_check and differing else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
