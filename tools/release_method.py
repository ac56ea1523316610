"""Write data/reference/method.json, the released method.

    .venv/bin/python tools/release_method.py

Run it with every change of the method's code, rules, numbers or lists, and of a notebook. Objects
that released code has read are not read again, so a change of the code that reads the archive needs
a new SCHEMA_VERSION or MESSAGING_VERSION; with --same-rows you state that it changes no row.
"""

import json
import sys
from dataclasses import replace

from analysis.observations.messaging import MESSAGING_VERSION
from analysis.observations.schema import SCHEMA_VERSION
from analysis.outcomes.rules import RULES
from analysis.outcomes.thresholds import Thresholds
from analysis.reference.release import MODULES, READERS, RELEASE
from analysis.source_code import digest_file, digest_module, list_modules
from analysis.study.lineage import Lineage


def main(*, is_check: bool = False, has_same_rows: bool = False) -> int:
    """Write the file, or check whether it is up to date; its digests of files only save time."""
    modules = {name: digest_module(name) for name in list_modules(MODULES)}
    method = replace(Lineage.of(RULES, Thresholds()).with_notebooks(), modules=modules)
    release = method.for_run()
    del release["edits"]
    release["versions"] = [SCHEMA_VERSION, MESSAGING_VERSION]
    written = json.loads(RELEASE.read_text(encoding="utf-8"))
    if is_check:
        return int({name: written.get(name) for name in release} != release)
    readers = [name for name in list_modules(READERS) if name in written["modules"]]
    changed = [name for name in readers if written["modules"][name] != release["modules"][name]]
    if changed and written.get("versions") == release["versions"] and not has_same_rows:
        print(f"{', '.join(changed)}: what reads the archive changed, its version did not")
        print(__doc__)
        return 1
    release["files"] = {name: digest_file(name) for name in release["modules"]}
    RELEASE.write_text(json.dumps(release, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(is_check="--check" in sys.argv[1:], has_same_rows="--same-rows" in sys.argv))
