"""Write data/reference/method.json: what of the method is the release's.

    .venv/bin/python tools/release_method.py

Run it with every change of the method's code, rules, numbers or lists, and of a notebook.
"""

import json
import sys

from analysis.outcomes.rules import RULES
from analysis.outcomes.thresholds import Thresholds
from analysis.reference.release import MODULES, RELEASE
from analysis.source_code import digest_file, digest_module, list_modules
from analysis.study.lineage import Lineage


def main(*, is_check: bool = False) -> int:
    """Write the file, or say whether it is up to date; its digests of files only save time."""
    told = Lineage.of(RULES, Thresholds()).with_notebooks().for_run()
    del told["edits"]
    told["modules"] = {name: digest_module(name) for name in list_modules(MODULES)}
    if is_check:
        known = json.loads(RELEASE.read_text(encoding="utf-8"))
        return int({name: known.get(name) for name in told} != told)
    told["files"] = {name: digest_file(name) for name in told["modules"]}
    RELEASE.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(is_check="--check" in sys.argv[1:]))
