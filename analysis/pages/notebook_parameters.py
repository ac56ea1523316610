"""The parameters that a notebook declares, and whether given ones fit them.

A notebook declares its parameters in the cell tagged ``parameters``, one annotated assignment a
line with a comment that says what it means::

    receipt_margin: int = 30  # days after the period that are looked through

papermill reads the same cell line by line; it only warns about a name that is not there, checks
no type, and overlooks a line whose comment holds an equals sign. Hence the cell is parsed here.
"""

import ast
import io
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

from analysis.errors import ContractError, ParameterError

_ACCEPTED = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list, tuple),
    "dict": (dict,),
}


@dataclass(frozen=True)
class Declared:
    """One parameter as a notebook declares it."""

    name: str
    type_name: str  # a key of _ACCEPTED; of list[str] only list
    default: object
    help: str  # the comment on its line

    @property
    def accepted(self) -> str:
        return f"{_ACCEPTED[self.type_name]} is accepted" + (f" ({self.help})" if self.help else "")


def declared_parameters(notebook: Path) -> dict[str, Declared]:
    """The parameters of a notebook, in the order of its parameters cell; none without one.

    Raises:
        ContractError: the cell holds something other than annotated literals.
    """
    cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    for cell in cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            return _declarations(cell.source, notebook.name)
    return {}


def distribute_parameters(
    notebooks: Iterable[Path], parameters: Mapping[str, object]
) -> dict[Path, dict[str, object]]:
    """Each notebook with those of the parameters that it declares.

    A parameter that is declared and not given is refused: the value saved in the notebook would
    change a report unseen.

    Raises:
        ParameterError: no notebook declares a parameter, its type is wrong, or it is not given.
    """
    declared = {notebook: declared_parameters(notebook) for notebook in notebooks}
    known = sorted({name for names in declared.values() for name in names} | {"tables"})
    for name, value in parameters.items():
        if name not in known:
            raise ParameterError(name, value, f"no notebook has it; accepted: {', '.join(known)}")
    return {
        notebook: {name: _given(one, parameters, notebook.name) for name, one in names.items()}
        for notebook, names in declared.items()
    }


def _given(declared: Declared, parameters: Mapping[str, object], notebook: str) -> object:
    if declared.name not in parameters:
        raise ParameterError(
            declared.name, declared.default, f"{notebook} declares it and the report does not give "
            "it; what is saved in a notebook changes no report"
        )  # fmt: skip
    _check_type(declared, parameters[declared.name])
    return parameters[declared.name]


def _declarations(source: str, notebook: str) -> dict[str, Declared]:
    comments = _comments(source)
    declared = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            raise ContractError(
                f"{notebook}: line {node.lineno} of the parameters cell is no annotated parameter"
            )
        name = node.target.id
        type_name = ast.unparse(node.annotation).partition("[")[0]
        if type_name not in _ACCEPTED or node.value is None:
            raise ContractError(
                f"{notebook}: the parameter {name} needs a default and one of the types "
                f"{', '.join(_ACCEPTED)}, not {type_name}"
            )
        default = ast.literal_eval(node.value)
        help = comments.get(node.end_lineno or node.lineno, "")
        declared[name] = Declared(name, type_name, default, help)
    return declared


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _check_type(declared: Declared, value: object) -> None:
    fits = isinstance(value, _TYPES[declared.type_name])
    if isinstance(value, bool) and declared.type_name != "bool":
        fits = False
    if not fits:
        raise ParameterError(declared.name, value, declared.accepted)
