"""The released method, ``data/reference/method.json``, and the code that differs from it.

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
#: All code between a line of the archive and the statements of a report. The frame of the pages,
#: the translations, the simulator and the command line are not among it.
MODULES = (
    *("columns", "hosts", "period", "sql", "tables", "vocabulary"),
    *("observations/", "reference/", "store/", "outcomes/", "verdicts/", "study/"),
    *("report/", "planning/", "review/"),
    *("sources/archive_files", "sources/api", "worlds/validation_page"),
)
#: Modules of these that only present results.
SAYING = (
    *("report/annex_page", "report/charts", "report/finding_words", "report/first_page"),
    *("report/following", "report/site_pages", "report/verdict_words", "review/"),
    "worlds/validation_page",
)
#: Modules that read a line of the archive.
READERS = (
    *("hosts", "observations/", "sources/archive_files", "store/lines", "store/store"),
    "store/workers",
)


@cache
def read_release() -> dict[str, Any]:
    """Return the release: part of the method → entries by name (see ``study.lineage``).

    Its part ``files`` is module → digest of the file's bytes.

    Raises:
        ContractError: the file is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(RELEASE.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"data/reference/{RELEASE.name} cannot be read ({error}): put it back as it was"
        raise ContractError(message) from None
    return content


def digest_modules(wanted: Collection[str] = MODULES) -> dict[str, str]:
    """Return module → digest of its code; a file with the release's bytes is not parsed."""
    release = read_release()
    files, released = release["files"], release["modules"]
    return {
        name: released[name] if files.get(name) == digest_file(name) else digest_module(name)
        for name in list_modules(wanted)
    }


@cache
def digest_edited_readers() -> str:
    """Return a digest of the modules that read measurements; empty if they are the release's."""
    digests, released = digest_modules(READERS), read_release()["modules"]
    if all(released.get(name) == digest for name, digest in digests.items()):
        return ""
    return digest_text(json.dumps(digests, sort_keys=True))
