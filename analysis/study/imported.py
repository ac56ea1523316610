"""Whether the files of the method on disk are those that this process imported."""

import hashlib
from pathlib import Path
from typing import Final

from analysis.errors import ParameterError

_ROOT = Path(__file__).resolve().parents[1]
_JUDGING = ("outcomes", "verdicts", "study")


def _read() -> dict[str, str]:
    paths = sorted(path for name in _JUDGING for path in (_ROOT / name).glob("*.py"))
    return {
        str(path.relative_to(_ROOT.parent)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


_IMPORTED: Final = _read()


def check_imported() -> None:
    """Refuse to judge by code that was edited since: Python goes on with what it imported.

    Raises:
        ParameterError: a file was edited; says to restart the kernel.
    """
    edited = [name for name, digest in _read().items() if _IMPORTED.get(name) != digest]
    if edited:
        accepted = "edited after this kernel imported it: restart the kernel and run all cells"
        raise ParameterError("analysis", ", ".join(edited), accepted)
