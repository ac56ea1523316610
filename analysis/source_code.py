"""Digests of the code that this process runs: they change with what it does, not with what it says.

The code is Python, and the queries in ``.sql`` files beside it. Comments, docstrings, layout and
comments of SQL are left out, and the rules of the method, which are digested as what they are. A
digest is the same on every Python that the workbook supports, since only the syntax tree goes into
it; of a ``.sql`` file only the names and the queries do.
"""

import ast
import hashlib
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from analysis.sql import split_queries

#: How the names of files with code end.
SUFFIXES = (".py", ".sql")
_FOLDER = Path(__file__).parent
#: A comment of SQL, with the line end before it.
_SQL_COMMENT = re.compile(r"(?:^|\s+)--(?:[^\S\n].*$|(?=\n))", re.MULTILINE)
#: What a node has besides its meaning: how a text was written, and what only type checkers read.
_IGNORED = ("kind", "type_comment")
#: The call that makes a rule.
_RULE = "Rule"

#: Module, such as ``verdicts/blocks``, or file of queries, such as ``verdicts/rivals.sql`` → its
#: source when this process began; an editor's own files begin with a dot, and may lead nowhere.
_READ: Final = {
    path.relative_to(_FOLDER).as_posix().removesuffix(".py"): path.read_bytes()
    for path in sorted(_FOLDER.rglob("[!.]*"))
    if path.suffix in SUFFIXES and path.is_file()
}


def list_modules(wanted: Collection[str]) -> list[str]:
    """Modules by name, sorted, and the ``.sql`` files beside them.

    ``verdicts/`` means all of a folder, ``hosts`` one module.
    """
    folders = tuple(one for one in wanted if one.endswith("/"))
    return sorted(
        name for name in _READ if name.removesuffix(".sql") in wanted or name.startswith(folders)
    )


def file_of(name: str) -> str:
    """The path of a module's file, or of a file of queries, below ``analysis``."""
    return name if name.endswith(".sql") else f"{name}.py"


@cache
def digest_file(name: str) -> str:
    """The digest of a module's file, to the byte, as it was when this process began."""
    return hashlib.sha256(_READ[name]).hexdigest()[:16]


@cache
def digest_module(name: str) -> str:
    """The digest of a module's code, or of a file of queries, as it was when this process began."""
    return (digest_queries if name.endswith(".sql") else digest_code)(_READ[name])


def find_edited(names: Collection[str]) -> list[str]:
    """The modules whose file was edited after this process began, or is gone."""
    paths = {name: _FOLDER / file_of(name) for name in names}
    return [
        name
        for name, path in paths.items()
        if not path.is_file() or path.read_bytes() != _READ[name]
    ]


def digest_code(source: bytes | str) -> str:
    """Sixteen hex digits of what some Python code does.

    Raises:
        SyntaxError: it is no Python.
    """
    return digest_text("".join(_describe(ast.parse(source))))


def digest_queries(source: bytes) -> str:
    """Sixteen hex digits of what the queries of a ``.sql`` file ask, and of their names in order.

    Indentation and empty lines are left out; a text that is compared stands on one line.
    """
    queries = split_queries(source.decode("utf-8"))
    lines = {name: drop_sql_comments(query).split("\n") for name, query in queries.items()}
    bare = [(name, [line.strip() for line in lines[name] if line.strip()]) for name in queries]
    return digest_text(repr(bare))


def digest_text(text: str) -> str:
    """Sixteen hex digits of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def drop_sql_comments(text: str) -> str:
    """A text without the comments that it has if it is SQL."""
    return _SQL_COMMENT.sub("", text)


def _describe(value: object) -> Iterator[str]:
    """The parts of a syntax tree, in order; what is empty or absent is left out."""
    if isinstance(value, ast.JoinedStr):
        value = ast.JoinedStr(_merge_texts(value.values))
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, one in ast.iter_fields(value):
            if name not in _IGNORED and one is not None and one != []:
                yield f" {name}="
                yield from _describe(one)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for one in value:
            if not (_is_text(one) or _is_rule(one)):
                yield from _describe(one)
        yield "]"
    elif isinstance(value, str):
        yield repr(drop_sql_comments(value))
    else:
        yield repr(value)


def _is_text(node: object) -> bool:
    """Whether a statement is a docstring, or another text that nothing reads."""
    text = node.value if isinstance(node, ast.Expr) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def _is_rule(node: object) -> bool:
    made_by = node.func if isinstance(node, ast.Call) else None
    return isinstance(made_by, ast.Name) and made_by.id == _RULE


def _merge_texts(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, neighbouring texts as one: Python's versions differ in it."""
    merged: list[ast.expr] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            merged[-1] = ast.Constant(f"{last.value}{part.value}")
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            merged.append(part)
    return merged
