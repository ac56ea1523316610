"""The parameters that a notebook declares, and what a report gives it.

A notebook declares its parameters in the cell tagged ``parameters``, one annotated assignment a
line with a comment that says what it means::

    receipt_margin: int = 30  # days after the period that are looked through

papermill reads the same cell line by line: it only warns about a name that is not there, and
overlooks a line whose comment holds an equals sign. Hence the cell is parsed here.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat

from analysis.errors import ContractError, ParameterError


def declared_parameters(notebook: Path) -> dict[str, object]:
    """The parameters of a notebook with their defaults, in the order of its parameters cell; none
    without one.

    Raises:
        ContractError: the cell holds something other than annotated literals.
    """
    cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    declared: dict[str, object] = {}
    for cell in cells:
        if cell.cell_type != "code" or "parameters" not in cell.metadata.get("tags", []):
            continue
        for node in ast.parse(cell.source).body:
            is_one = isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            if not is_one or node.value is None:
                where = f"line {node.lineno} of the parameters cell"
                raise ContractError(f"{notebook.name}: {where} is no annotated parameter")
            declared[node.target.id] = ast.literal_eval(node.value)
    return declared


def distribute_parameters(
    notebooks: Iterable[Path], parameters: Mapping[str, object]
) -> dict[Path, dict[str, object]]:
    """Each notebook with those of the parameters that it declares.

    A parameter that is declared and not given is refused: the value saved in the notebook would
    change a report unseen.

    Raises:
        ParameterError: no notebook declares a parameter, or it is not given.
    """
    declared = {notebook: declared_parameters(notebook) for notebook in notebooks}
    known = sorted({name for names in declared.values() for name in names} | {"tables"})
    for name, value in parameters.items():
        if name not in known:
            raise ParameterError(name, value, f"no notebook has it; accepted: {', '.join(known)}")
    for notebook, names in declared.items():
        for name in names.keys() - parameters.keys():
            raise ParameterError(
                name, names[name], f"{notebook.name} declares it and the report does not give it; "
                "what is saved in a notebook changes no report"
            )  # fmt: skip
    return {
        notebook: {name: parameters[name] for name in names} for notebook, names in declared.items()
    }
