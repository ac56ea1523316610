"""The archive's messaging and circumvention tests → rows of their own in the store, resumable.

The same workers, bounds and ledgers as for web_connectivity, beside its files and never among them.
An archive without any of these tests is as good as one with all.
"""

from contextlib import closing
from functools import partial

from analysis.ingestion.ingestion import Progress, choose_window, follow, read_pending, silent
from analysis.ingestion.objects import Task
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_FOLDER
from analysis.period import Period
from analysis.sources import layout
from analysis.sources.buckets import Bucket
from analysis.sources.ooni import Scope
from analysis.sources.opening import open_source
from analysis.store.catalogue import Catalogue
from analysis.store.collection import Collection
from analysis.store.provenance import NotRead, Provenance
from analysis.store.store import Store

_FOLDERS = tuple(BY_FOLDER)
#: No page of these tests is matched against fingerprints, so that files outlive a change of them.
_NO_FINGERPRINTS = Fingerprints()


def ingest_messaging(
    source: str,
    store: str,
    probe_cc: str,
    *,
    period: Period,
    receipt_margin: int = layout.RECEIPT_MARGIN,
    keep_raw: bool = False,
    reopen: bool = False,
    jobs: int | None = None,
    scheduler: str = "",
    listing: Progress = silent,
    progress: Progress = silent,
) -> Collection:
    """Bring a country's messaging and circumvention tests into the store.

    The arguments are those of ``ingestion.ingest``. Another store or a share as the source has none
    of these tests.

    Returns:
        What was read; of no object, where the source has none.

    Raises:
        ParameterError: the source is no source.
        SourceError: it cannot be reached, or the store cannot be written.
    """
    target = Store(store)
    window = choose_window(source, probe_cc, period, receipt_margin)
    scope = Scope(probe_cc, window, target, listing, _FOLDERS) if window else None
    opened = open_source(source, scope)
    catalogue = Catalogue(target, opened.id, probe_cc, window, what="messaging-")
    if reopen and isinstance(opened, Bucket):
        known_before = catalogue.reopen(_NO_FINGERPRINTS.digest)
        if known_before is not None or not catalogue.is_empty:
            return known_before or Collection(target, opened.id, ())
    objects = opened.objects(partial(layout.holds_country, probe_cc=probe_cc, tests=_FOLDERS))
    task = Task(opened, opened.id, target, _NO_FINGERPRINTS, keep_raw)
    known = catalogue.find_current(task.source_id, objects, _NO_FINGERPRINTS.digest)
    pending = [item for item in objects if item.key not in known]
    with closing(read_pending(task, pending, jobs, scheduler, len(known))) as results:
        read = follow(results, objects, len(known), progress)
    every = [*known.values(), *read]
    files = sorted((one for one in every if isinstance(one, Provenance)), key=lambda one: one.key)
    missing = sorted((one for one in every if isinstance(one, NotRead)), key=lambda one: one.key)
    collection = Collection(target, task.source_id, tuple(files), tuple(missing), len(read))
    catalogue.write(collection)
    return collection
