"""The method as it was released, ``data/reference/method.json``, and the code that differs from it.

``tools/release_method.py`` writes the file; a test checks that it is up to date.
"""

import json
from collections.abc import Collection
from functools import cache
from typing import Any

from analysis.errors import ContractError
from analysis.reference.reference_files import REFERENCE
from analysis.source_code import digest_file, digest_module, digest_text, list_modules

RELEASE = REFERENCE / "method.json"
#: All code between a line of the archive and what a report says of it. The frame of the pages, the
#: sentences in other languages, the simulator and the command line are not here.
MODULES = (
    *("columns", "hosts", "period", "sql", "tables", "vocabulary"),
    *("observations/", "reference/", "store/", "outcomes/", "verdicts/", "study/"),
    *("report/", "planning/", "review/"),
    *("sources/archive_files", "sources/api", "worlds/validation_page"),
)
#: Those of them that only say and draw what the others found.
SAYING = (
    *("report/annex_page", "report/charts", "report/finding_words", "report/first_page"),
    *("report/following", "report/site_pages", "report/verdict_words", "review/"),
    "worlds/validation_page",
)
#: What reads a line of the archive.
READERS = (
    *("hosts", "observations/", "sources/archive_files", "store/lines", "store/store"),
    "store/workers",
)


@cache
def read_release() -> dict[str, Any]:
    """The release: part of the method → its entries by name, see ``study.lineage``; and ``files``,
    module → the digest of its file, to the byte.

    Raises:
        ContractError: the file is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(RELEASE.read_text(encoding="utf-8"))
    except ValueError as error:
        why = f"data/reference/{RELEASE.name} cannot be read ({error}): put it back as it was"
        raise ContractError(why) from None
    return content


def digest_modules(wanted: Collection[str] = MODULES) -> dict[str, str]:
    """Module → the digest of its code. A file that is the release's is not parsed."""
    release = read_release()
    files, known = release["files"], release["modules"]
    return {
        name: known[name] if files.get(name) == digest_file(name) else digest_module(name)
        for name in list_modules(wanted)
    }


@cache
def digest_edited_readers() -> str:
    """What reads measurements here, where it is not the release's; empty where it is."""
    here, known = digest_modules(READERS), read_release()["modules"]
    if all(known.get(name) == digest for name, digest in here.items()):
        return ""
    return digest_text(json.dumps(here, sort_keys=True))
