"""The files of the method, as this process imported them."""

import hashlib
from pathlib import Path
from typing import Final

from analysis.errors import ParameterError

_ROOT = Path(__file__).resolve().parents[1]
#: What a judgement is made by → its files; an editor's own begin with a dot, and may lead nowhere.
_FILES = {
    "outcomes": ["hosts.py", "observations/schema.py", "observations/messaging_tests.py",
                 "store/stage_tables.py",
                 "outcomes/[!.]*.py"],
    "verdicts": ["period.py", "vocabulary.py", "verdicts/[!.]*.py", "study/confirmation.py"],
    "study": ["study/[!.]*.py"],
    "other_methods": ["report/other_methods.py"],
}  # fmt: skip


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"


IMPORTED: Final = {
    part: {
        str(path.relative_to(_ROOT.parent)): _digest(path)
        for pattern in patterns
        for path in sorted(_ROOT.glob(pattern))
    }
    for part, patterns in _FILES.items()
}


def check_imported() -> None:
    """Refuse to judge by code that was edited since: Python goes on with what it imported.

    Raises:
        ParameterError: a file was edited; says to restart the kernel.
    """
    files = [item for part in IMPORTED.values() for item in part.items()]
    edited = [name for name, digest in files if _digest(_ROOT.parent / name) != digest]
    if edited:
        accepted = "edited after this kernel imported it: restart the kernel and run all cells"
        raise ParameterError("analysis", ", ".join(edited), accepted)
