"""Write the parameters cell of every notebook from where parameters and thresholds are declared.

    .venv/bin/python tools/parameters_cells.py            write them
    .venv/bin/python tools/parameters_cells.py --check    say which differ; exit status 1

What a notebook declares for itself stays below the line ``# This notebook``.
"""

import sys
import textwrap
from dataclasses import MISSING, fields
from itertools import groupby
from pathlib import Path

import nbformat

from analysis.outcomes.thresholds import DECLARATIONS
from analysis.study.parameters import PARAMETERS, StudyParameters

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
OWN = "# This notebook"
WIDTH = 100


def cell_text() -> str:
    """The cell that all notebooks share: one parameter a line, under headings."""
    defaults = {one.name: one.default for one in fields(StudyParameters)}
    lines = []
    for group, names in groupby(PARAMETERS, key=lambda name: PARAMETERS[name].group):
        lines.append(f"# {group}")
        if group == "The method":
            lines += _threshold_lines()
        for name in names:
            value = {} if defaults[name] is MISSING else defaults[name]
            shown = f'"{value}"' if isinstance(value, str) else f"{value!r}"
            lines.append(f"{name}: {type(value).__name__} = {shown}  # {PARAMETERS[name].help}")
    return "\n".join(lines)


def _threshold_lines() -> list[str]:
    """Names only: a value in a notebook would be a second place for it."""
    groups: dict[str, list[str]] = {}
    for name, declaration in DECLARATIONS.items():
        groups.setdefault(declaration.group, []).append(name)
    return [
        line
        for group, names in groups.items()
        for line in textwrap.wrap(f"{group}: {', '.join(names)}", WIDTH,
                                  initial_indent="# - ", subsequent_indent="#   ")
    ]  # fmt: skip


def expected(source: str) -> str:
    """The source of a notebook's parameters cell as it should be."""
    _, line, own = source.partition(f"\n{OWN}\n")
    return cell_text() + line + own


def main(is_check: bool) -> int:
    """Write the cells that differ, or name them."""
    differing = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
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
