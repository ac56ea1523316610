"""Digests of the code that this process runs.

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
#: Fields of a node without a meaning: how a text was quoted, and comments for type checkers.
_IGNORED = ("kind", "type_comment")
#: The class of rules, whose calls are left out.
_RULE = "Rule"

#: Module, such as ``verdicts/floors``, or file of queries, such as ``verdicts/rivals.sql`` → its
#: source when this process began. Files that begin with a dot are an editor's own, and may be
#: broken links.
_READ: Final = {
    path.relative_to(_FOLDER).as_posix().removesuffix(".py"): path.read_bytes()
    for path in sorted(_FOLDER.rglob("[!.]*"))
    if path.suffix in SUFFIXES and path.is_file()
}


def list_modules(wanted: Collection[str]) -> list[str]:
    """Return module names, sorted, and the ``.sql`` files beside them.

    ``verdicts/`` stands for all of a folder, ``hosts`` for one module.
    """
    folders = tuple(name for name in wanted if name.endswith("/"))
    return sorted(
        name for name in _READ if name.removesuffix(".sql") in wanted or name.startswith(folders)
    )


def file_of(name: str) -> str:
    """Return the path of a module's file, or of a file of queries, below ``analysis``."""
    return name if name.endswith(".sql") else f"{name}.py"


@cache
def digest_file(name: str) -> str:
    """Return the digest of a module's bytes, as they were when this process began."""
    return hashlib.sha256(_READ[name]).hexdigest()[:16]


@cache
def digest_module(name: str) -> str:
    """Return the digest of a module, or of a file of queries, as it was when this process began."""
    return (digest_queries if name.endswith(".sql") else digest_code)(_READ[name])


def find_edited(names: Collection[str]) -> list[str]:
    """Return the modules whose file was edited or removed after this process began."""
    paths = {name: _FOLDER / file_of(name) for name in names}
    return [
        name
        for name, path in paths.items()
        if not path.is_file() or path.read_bytes() != _READ[name]
    ]


def digest_code(source: bytes | str) -> str:
    """Return sixteen hex digits that identify what Python code does.

    Raises:
        SyntaxError: it is not Python.
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
    """Return the first sixteen hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def drop_sql_comments(text: str) -> str:
    """Return a text without SQL comments."""
    return _SQL_COMMENT.sub("", text)


def _describe(value: object) -> Iterator[str]:
    """Yield the parts of a syntax tree in order, without empty and absent fields."""
    if isinstance(value, ast.JoinedStr):
        value = ast.JoinedStr(_merge_texts(value.values))
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, field in ast.iter_fields(value):
            if name not in _IGNORED and field is not None and field != []:
                yield f" {name}="
                yield from _describe(field)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            if not (_is_text(item) or _is_rule(item)):
                yield from _describe(item)
        yield "]"
    elif isinstance(value, str):
        yield repr(drop_sql_comments(value))
    else:
        yield repr(value)


def _is_text(node: object) -> bool:
    """Test whether a statement is a docstring, or another text without effect."""
    text = node.value if isinstance(node, ast.Expr) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def _is_rule(node: object) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Name) and function.id == _RULE


def _merge_texts(parts: list[ast.expr]) -> list[ast.expr]:
    """Join neighbouring texts of an f-string, which Python's versions split differently."""
    merged: list[ast.expr] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            merged[-1] = ast.Constant(f"{last.value}{part.value}")
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            merged.append(part)
    return merged
