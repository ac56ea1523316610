"""From settings to the store: what every command that needs measurements reads first."""

from typing import TYPE_CHECKING

from analysis.commands.progress import Step, say, show_progress
from analysis.commands.settings import Settings
from analysis.errors import NothingThereError, SourceError

if TYPE_CHECKING:
    from analysis.store.ingestion import Request
    from analysis.store.store import Collection


def read_all(
    settings: Settings, *, counts: bool = True, reopen: bool = False
) -> tuple["Collection | None", "Collection"]:
    """Bring the store up to date: web sites, None where there are none; apps and tools.

    Raises:
        SourceError: the source has neither, or could not be read.
    """
    from analysis.store.ingestion import ingest_messaging

    nothing = None
    try:
        collection = read_sites(settings, counts=counts, reopen=reopen)
    except NothingThereError as error:
        collection, nothing = None, error
    with show_progress("reading apps and tools", "listing apps and tools") as told:
        apps = ingest_messaging(_request(settings, reopen, *told))
    if nothing and not apps.files:
        raise nothing
    return collection, apps


def read_sites(settings: Settings, *, counts: bool = True, reopen: bool = False) -> "Collection":
    """Bring the store up to date; and, of OONI's archive, the counts that OONI gives for it."""
    from analysis.observations.fingerprints import load
    from analysis.sources.layout import OONI
    from analysis.store.ingestion import ingest

    trouble = _ask_for_counts(settings) if counts and settings.study.source == OONI else None
    with show_progress("reading the archive", "listing the archive") as told:
        fingerprints = load(settings.study.fingerprints or None)
        if left_out := fingerprints.left_out:
            say(f"fingerprints left out, of more than literals, . and .*: {', '.join(left_out)}")
        collection = ingest(_request(settings, reopen, *told), fingerprints)
    if trouble:
        raise trouble
    return collection


def _request(settings: Settings, reopen: bool, progress: Step, listing: Step) -> "Request":
    from analysis.study.study import request_of

    return request_of(
        settings.study,
        keep_raw=settings.keep_raw,
        reopen=reopen,
        jobs=settings.jobs,
        scheduler=settings.scheduler,
        listing=listing,
        progress=progress,
    )


def _ask_for_counts(settings: Settings) -> SourceError | None:
    """Ask before the archive is read, so that all that OONI has counted is in it.

    Reading takes the longest, and need not wait for a service that is away.
    """
    from analysis.sources.api import fetch_counts, fetch_messaging_counts
    from analysis.study.parameters import replies_folder

    folder = replies_folder(settings.study.store)
    try:
        fetch_counts(folder, settings.probe_cc, settings.period, say)
        if not settings.study.test_counts:
            fetch_messaging_counts(folder, settings.probe_cc, settings.period, say)
    except SourceError as error:
        return error
    return None


def objects_in_words(collection: "Collection") -> str:
    """How many objects a run found, and what became of them."""
    missing = len(collection.not_read)
    known = len(collection.files) + missing - collection.read_count
    return (
        f"{len(collection.files) + missing:,} objects: {known:,} known, "
        f"{collection.read_count - missing:,} new, {missing:,} not read"
    )
