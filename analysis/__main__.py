"""``python -m analysis``."""

import os
import sys
from pathlib import Path

from analysis.commands.cli import main


def _run() -> None:
    """Run the command line, and tell make how it ended: make's own status is 2 for any failure.

    Where EXIT_STATUS_FILE is set, the status goes there, in the place of the process's own; but for
    a signal's, which stops make too.
    """
    file = os.environ.pop("EXIT_STATUS_FILE", "")
    try:
        main()
    except SystemExit as ended:
        status = ended.code or 0
        if not file or not isinstance(status, int) or status > 128:
            raise
        Path(file).write_text(f"{status}\n", encoding="ascii")
        sys.exit(0)


if __name__ == "__main__":
    _run()
