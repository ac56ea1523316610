"""Whether the files of the method on disk are those that this process imported."""

import hashlib
from pathlib import Path
from typing import Final

from analysis.errors import ParameterError

_ROOT = Path(__file__).resolve().parents[1]
_JUDGING = ("outcomes", "verdicts", "study")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"


#: An editor's own files begin with a dot, and may lead nowhere.
_IMPORTED: Final = {
    str(path.relative_to(_ROOT.parent)): _digest(path)
    for name in _JUDGING
    for path in sorted((_ROOT / name).glob("[!.]*.py"))
}


def check_imported() -> None:
    """Refuse to judge by code that was edited since: Python goes on with what it imported.

    Raises:
        ParameterError: a file was edited; says to restart the kernel.
    """
    files = _IMPORTED.items()
    edited = [name for name, digest in files if _digest(_ROOT.parent / name) != digest]
    if edited:
        accepted = "edited after this kernel imported it: restart the kernel and run all cells"
        raise ParameterError("analysis", ", ".join(edited), accepted)
