"""The archive's messaging and circumvention tests → rows of their own in the store, resumable.

The same workers, bounds and ledgers as for web_connectivity, beside its files and never among them.
An archive without any of these tests is as good as one with all.
"""

from functools import partial

from analysis.observations.fingerprints import Fingerprints
from analysis.observations.messaging_tests import BY_FOLDER
from analysis.sources import layout
from analysis.sources.buckets import Bucket
from analysis.store.collection import Collection
from analysis.store.ingestion import Request, open_archive, read_new
from analysis.store.objects import Task
from analysis.store.store import Store

_FOLDERS = tuple(BY_FOLDER)
#: No page of these tests is matched against fingerprints, so that files outlive a change of them.
_NO_FINGERPRINTS = Fingerprints()


def ingest_messaging(request: Request) -> Collection:
    """Bring a country's messaging and circumvention tests into the store.

    Another store or a share as the source has none of these tests.

    Returns:
        What was read; of no object, where the source has none.

    Raises:
        ParameterError: the source is no source.
        SourceError: it cannot be reached, or the store cannot be written.
    """
    store = Store(request.store)
    source, catalogue = open_archive(request, store, what="messaging-")
    if request.reopen and isinstance(source, Bucket):
        read_before = catalogue.reopen(_NO_FINGERPRINTS.digest)
        if read_before is not None or not catalogue.is_empty:
            return read_before or Collection(store, source.id, ())
    wanted = partial(layout.holds_country, probe_cc=request.probe_cc, tests=_FOLDERS)
    task = Task(source, source.id, store, _NO_FINGERPRINTS, request.keep_raw)
    collection = read_new(request, task, source.objects(wanted), catalogue)
    catalogue.write(collection)
    return collection
