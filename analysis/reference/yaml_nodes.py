"""A YAML file that a person has written, read node by node.

Nothing in it is ever built but text, and an error can name its line.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.reference.reference_files import read_file

T = TypeVar("T")

_MOST_BYTES = 1_000_000


class NodeReader:
    """Turns the nodes of a file into values, or says in which line what is wrong.

    Args:
        path: the file.
        parameter: what the error calls it by.
    """

    def __init__(self, path: Path, parameter: str) -> None:
        self.path = path
        self.parameter = parameter

    def fail(self, node: yaml.Node | int, message: str) -> NoReturn:
        """Refuse the file, for what stands at a node or in a line."""
        line = node if isinstance(node, int) else node.start_mark.line + 1
        raise ParameterError(self.parameter, self.path, f"line {line}: {message}")

    def read(self) -> bytes:
        """The bytes of the file."""
        return read_file(self.path, self.parameter, _MOST_BYTES)

    def root(self, data: bytes) -> yaml.Node:
        """What the file holds."""
        try:
            root = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            self.fail(data.count(b"\n", 0, error.start) + 1, "not UTF-8 text")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.fail(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}")
        except (yaml.YAMLError, RecursionError) as error:
            self.fail(1, f"not YAML: {' '.join(str(error).split())[:200]}")
        return root if root is not None else self.fail(1, "the file is empty")

    def mapping(
        self, node: yaml.Node, names: Sequence[str], what: str, optional: Sequence[str] = ()
    ) -> dict[str, yaml.Node]:
        """The entries of a mapping that has these keys, each once, and no other."""
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = {self.plain(key): value for key, value in pairs}
        is_whole = set(names) <= set(found) <= {*names, *optional}
        if len(found) != len(pairs) or not is_whole or not isinstance(node, yaml.MappingNode):
            also = f", and may have {', '.join(optional)}" if optional else ""
            self.fail(node, f"{what} must have exactly {', '.join(names)}, each once{also}")
        return found

    def items(self, node: yaml.Node, most: int, what: str, least: int = 1) -> list[yaml.Node]:
        """The nodes of a list."""
        if not isinstance(node, yaml.SequenceNode) or not least <= len(node.value) <= most:
            self.fail(node, f"{what} must be a list of {least} to {most:,}")
        return list(node.value)

    def plain(self, node: yaml.Node) -> str:
        """A scalar on one line; empty for anything else, which no check lets pass."""
        text = " ".join(str(node.value).split()) if isinstance(node, yaml.ScalarNode) else ""
        return text.encode("utf-8", "replace").decode()  # "\\ud800" in quotes is no character

    def text(self, node: yaml.Node, name: str, longest: int) -> str:
        """Text on one line."""
        text = self.plain(node)
        if not 1 <= len(text) <= longest:
            self.fail(node, f"{name} must be text of 1 to {longest} characters")
        return text

    def checked(self, node: yaml.Node, parse: Callable[[str], T]) -> T:
        """What a function makes of a scalar."""
        try:
            return parse(self.plain(node))
        except ParameterError as error:
            self.fail(node, str(error))

    def period(self, since: yaml.Node, until: yaml.Node) -> Period:
        """A period by its two days."""
        return self.checked(until, lambda text: Period.parse(self.plain(since), text))
