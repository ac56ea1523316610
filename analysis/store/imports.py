"""Somebody else's observations as the source: no archive is needed.

Two things are handed on. Of another store, each file is taken over as it is. A share (see
``shares``) is taken over whole into ``STORE/shares/``. What is there already is not fetched again,
and nothing that is not as its sender wrote it gets in.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from analysis.errors import ParameterError, SourceError
from analysis.observations.schema import SCHEMA_VERSION
from analysis.sources import ooni
from analysis.sources.files import ArchiveObject, CannotRead, Source, Unreachable
from analysis.store import shares
from analysis.store.atomic_files import reason
from analysis.store.collection import Collection
from analysis.store.provenance import FOLDER, NotRead, Provenance, not_read_note, provenance_of
from analysis.store.shares import Manifest
from analysis.store.store import Store

_BLOCK = 1 << 20
_MANIFEST_LIMIT = 4 << 20  # bytes; a century of months takes a tenth of that
_MANIFEST = re.compile(rf"(?:{shares.FOLDER}/([A-Z]{{2}})-[^/]+/)?{re.escape(shares.MANIFEST)}")
_MD5 = re.compile(r"[0-9a-f]{32}")


def is_wanted(path: str, probe_cc: str) -> bool:
    """Whether a path is an archive's object of a country, or something that is handed on."""
    shared = _MANIFEST.fullmatch(path)
    if shared:
        return shared[1] in (None, probe_cc)
    return ooni.is_wanted(path, probe_cc) or _is_note(path, probe_cc)


def _is_note(path: str, probe_cc: str) -> bool:
    return path.rpartition("/")[2] == not_read_note(probe_cc)


def holds(store: Store, probe_cc: str) -> bool:
    """Whether a store holds any observations of a country."""
    return any(
        is_wanted(name, probe_cc) and not _is_note(name, probe_cc)
        for folder in (FOLDER, shares.FOLDER)
        for name in store.files(folder)
    )


def chosen(source: Source, listed: Sequence[ArchiveObject]) -> tuple[str, list[ArchiveObject]]:
    """What is handed on: ``observations/<source id>`` with its files, or a share's manifest.

    Nothing where the source is an archive: a manifest beside an archive's objects is somebody
    else's business.

    Raises:
        ParameterError: there are several.
    """
    offers: dict[str, list[ArchiveObject]] = defaultdict(list)
    for item in listed:
        if ooni.store_key(item.key):
            offers[f"{FOLDER}/{_origin(source, item)[0]}"].append(item)
        elif _MANIFEST.fullmatch(item.key) and (len(listed) == 1 or "/" in item.key):
            offers[item.key.rpartition("/")[0]].append(item)
    if len(offers) > 1:
        choices = ", ".join(sorted(offers))
        raise ParameterError(
            "SOURCE", source.name, f"a store of several sources; name one of them: {choices}"
        )
    return next(iter(offers.items()), ("", []))


def is_share(item: ArchiveObject) -> bool:
    """Whether what is handed on is the manifest of a share."""
    return _MANIFEST.fullmatch(item.key) is not None


# --- another store --------------------------------------------------------------------------------


def copied(
    source: Source, objects: Sequence[ArchiveObject], store: Store
) -> Iterator[tuple[str, Provenance | NotRead]]:
    """Take over the files of a store, by key; those that are there already are not fetched."""
    for key, item in sorted((_origin(source, item)[1], item) for item in objects):
        yield key, _copy_file(source, item, store, _origin(source, item)[0], key)


def never_read(source: Source, listed: Sequence[ArchiveObject], probe_cc: str) -> list[NotRead]:
    """The objects that the other store's owner could not read."""
    notes = [item for item in listed if _is_note(item.key, probe_cc)]
    try:
        every = [msgspec.json.decode(_fetched(source, item), type=list[NotRead]) for item in notes]
    except (CannotRead, msgspec.DecodeError, RecursionError):
        raise SourceError(f"{notes[0].key} is no list of objects that could not be read") from None
    return [one for note in every for one in note if ooni.holds_country(one.key, probe_cc)]


def _origin(source: Source, item: ArchiveObject) -> tuple[str, str]:
    """Source id and key of the object that a file of another store was made from."""
    source_id, key = ooni.store_key(item.key) or ("", "")
    return source_id or source.name, key


def _copy_file(
    source: Source, item: ArchiveObject, store: Store, source_id: str, key: str
) -> Provenance | NotRead:
    ours = store.read_file(source_id, key)
    if ours is not None and _may_be_same(ours, item):
        found = provenance_of(ours, key)
        if found is not None and found.schema_version == SCHEMA_VERSION:
            return found
    try:
        theirs = _fetched(source, item)
    except CannotRead as error:
        return NotRead(key, str(error))
    found = provenance_of(theirs, key)
    if found is None or found.schema_version != SCHEMA_VERSION:
        return NotRead(key, f"not a whole file of observations of schema {SCHEMA_VERSION}")
    if theirs != ours:
        store.write_file(source_id, key, theirs)
    return found


def _may_be_same(ours: bytes, item: ArchiveObject) -> bool:
    """Whether fetching a file can be spared: on a bucket, where an ETag is most often an MD5."""
    if (
        len(ours) != item.size or item.etag.isdecimal()
    ):  # a file's time says nothing, and it is near
        return False
    is_md5 = _MD5.fullmatch(item.etag)
    return not is_md5 or item.etag == hashlib.md5(ours, usedforsecurity=False).hexdigest()


def _fetched(source: Source, item: ArchiveObject, limit: int | None = None) -> bytes:
    """The bytes of a file, as many as were listed.

    Raises:
        SourceError: the source does not answer.
        CannotRead: this file cannot be read.
    """
    blocks, size = [], 0
    try:
        stream = source.open(item)
        try:
            for block in iter(partial(stream.read, _BLOCK), b""):
                blocks.append(block)
                size += len(block)
                if size > (item.size if limit is None else limit):
                    raise CannotRead("longer than it was listed")
        finally:
            stream.close()
    except Unreachable as error:
        raise SourceError(f"{item.key}: {error}") from None
    except OSError as error:
        raise CannotRead(reason(error)) from None
    return b"".join(blocks)


# --- a share --------------------------------------------------------------------------------------


def received(
    source: Source,
    item: ArchiveObject,
    store: Store,
    probe_cc: str,
    progress: Callable[[int, int, str], None],
) -> Collection:
    """Take over a share whose manifest is ``item``.

    Raises:
        SourceError: a file is missing or altered, or the share is of another country or version.
    """
    try:
        content = _fetched(source, item, _MANIFEST_LIMIT)
        manifest = shares.read_manifest(content, item.key)
        if manifest.probe_cc != probe_cc:
            raise SourceError(f"{item.key} is of {manifest.probe_cc}, not of {probe_cc}")
        store.remove_leftovers(manifest.place)
        for done, name in enumerate(manifest.files, 1):
            _receive_file(source, item.key.removesuffix(shares.MANIFEST), store, manifest, name)
            progress(done, len(manifest.files), name)
    except CannotRead as error:
        raise SourceError(f"what was handed on cannot be read: {error}") from None
    found = shares.collection_of(store, manifest)
    place = f"{manifest.place}/{shares.MANIFEST}"
    if store.read(place) != content:
        store.replace(place, content)
    note = {"share": manifest.place}
    if store.read_note(source.id, _note(probe_cc)) != note:
        store.write_note(source.id, _note(probe_cc), note)
    return found


def reopened(store: Store, home: str, probe_cc: str) -> Collection | None:
    """The share that was last received from a server, without asking it; None where it is gone."""
    note = store.read_note(home, _note(probe_cc))
    place = note.get("share") if isinstance(note, dict) else None
    content = store.read(f"{place}/{shares.MANIFEST}") if place else None
    if content is None:
        return None
    manifest = shares.read_manifest(content, f"{place}/{shares.MANIFEST}")
    for name, told in manifest.files.items():
        if manifest.place != place or store.digest(f"{place}/{name}") != told.sha256:
            return None
    return shares.collection_of(store, manifest)


def _note(probe_cc: str) -> str:
    return f"received-{probe_cc}.json"


def _receive_file(source: Source, folder: str, store: Store, manifest: Manifest, name: str) -> None:
    told = manifest.files[name]
    place = f"{manifest.place}/{name}"
    if store.digest(place) == told.sha256:
        return
    try:
        content = _fetched(source, ArchiveObject(f"{folder}{name}", told.size, ""))
    except CannotRead as error:
        raise CannotRead(f"{name}: {error}") from None
    if hashlib.sha256(content).hexdigest() != told.sha256:
        raise SourceError(
            f"{name} is not the file that {shares.MANIFEST} speaks of: it was altered, or has not "
            "arrived whole"
        )
    store.replace(place, content)
