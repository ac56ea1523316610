"""Somebody else's observations as the source: no archive is needed.

Of another store, each file is copied as it is. A share (see ``shares``) is copied whole into
``STORE/shares/``. What is there already is not fetched again, and nothing that is not as its sender
wrote it gets in.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from analysis.errors import ContractError, ParameterError, SourceError
from analysis.observations.schema import SCHEMA_VERSION
from analysis.sources import layout
from analysis.sources.archive_files import ArchiveObject, CannotRead, Source, Unreachable
from analysis.store import shares
from analysis.store.checking import check_observations
from analysis.store.collection import Collection
from analysis.store.provenance import (
    FOLDER,
    NotRead,
    Provenance,
    file_name,
    not_read_name,
    read_provenance,
)
from analysis.store.shares import MANIFEST, Manifest
from analysis.store.store import Store
from analysis.temporary_folders import TemporaryFolder

_BLOCK = 1 << 20
_DOCUMENT_LIMIT = 4 << 20  # bytes; the manifest of a century of months takes a tenth of that
_MANIFEST = re.compile(rf"(?:{shares.FOLDER}/([A-Z]{{2}})-[^/]+/)?{re.escape(MANIFEST)}")
_MD5 = re.compile(r"[0-9a-f]{32}")


def is_wanted(path: str, probe_cc: str) -> bool:
    """Whether a path is an archive's object of a country, or something that can be imported."""
    shared = _MANIFEST.fullmatch(path)
    if shared:
        return shared[1] in (None, probe_cc)
    _, key = layout.store_key(path) or ("", path)
    return layout.holds_country(key, probe_cc) or _lists_not_read(path, probe_cc)


def _lists_not_read(path: str, probe_cc: str) -> bool:
    return path.rpartition("/")[2] == not_read_name(probe_cc)


def holds(store: Store, probe_cc: str) -> bool:
    """Whether a store holds any observations of a country."""
    names = [
        f"{folder}/{name}" for folder in (FOLDER, shares.FOLDER) for name in store.files(folder)
    ]
    return any(is_wanted(n, probe_cc) and not _lists_not_read(n, probe_cc) for n in names)


def find_import(source: Source, listed: Sequence[ArchiveObject]) -> tuple[str, list[ArchiveObject]]:
    """What can be imported: ``observations/<source id>`` with its files, or a share's manifest.

    Nothing where the source is an archive: a manifest beside an archive's objects is somebody
    else's business.

    Raises:
        ParameterError: there are several.
    """
    offers: dict[str, list[ArchiveObject]] = defaultdict(list)
    for item in listed:
        if layout.store_key(item.key):
            offers[f"{FOLDER}/{_origin(source, item)[0]}"].append(item)
        elif is_share(item) and (len(listed) == 1 or "/" in item.key):
            offers[item.key.rpartition("/")[0]].append(item)
    if len(offers) > 1:
        choices = ", ".join(sorted(offers))
        raise ParameterError(
            "SOURCE", source.name, f"a store of several sources; name one of them: {choices}"
        )
    return next(iter(offers.items()), ("", []))


def is_share(item: ArchiveObject) -> bool:
    """Whether an object is the manifest of a share."""
    return _MANIFEST.fullmatch(item.key) is not None


# --- another store --------------------------------------------------------------------------------


def import_files(
    source: Source,
    files: Sequence[ArchiveObject],
    listed: Sequence[ArchiveObject],
    store: Store,
    probe_cc: str,
) -> Generator[tuple[str, Provenance | NotRead], None, None]:
    """Copy those of all ``listed`` files of another store that were made from one archive.

    Returns:
        What became of each object, by key, in order; then the objects that its owner could not
        read. A file that is there already is not fetched.
    """
    not_read = _fetch_not_read(source, listed, probe_cc)
    keys = set()
    for (source_id, key), item in sorted((_origin(source, item), item) for item in files):
        keys.add(key)
        yield key, _import_file(source, item, store, source_id, key)
    yield from ((item.key, item) for item in not_read if item.key not in keys)


def _fetch_not_read(
    source: Source, listed: Sequence[ArchiveObject], probe_cc: str
) -> list[NotRead]:
    lists = [item for item in listed if _lists_not_read(item.key, probe_cc)]
    try:
        contents = [_fetch_small(source, item) for item in lists]
        every = [msgspec.json.decode(content, type=list[NotRead]) for content in contents]
    except (CannotRead, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SourceError(
            f"{lists[0].key} is no list of objects that could not be read", resumes=False
        ) from None
    return [one for some in every for one in some if layout.holds_country(one.key, probe_cc)]


def _origin(source: Source, item: ArchiveObject) -> tuple[str, str]:
    """Source id and key of the object that a file of another store was made from."""
    source_id, key = layout.store_key(item.key) or ("", "")
    return source_id or source.name, key


def _import_file(
    source: Source, item: ArchiveObject, store: Store, source_id: str, key: str
) -> Provenance | NotRead:
    name = file_name(source_id, key)
    ours = store.try_read(name)
    if ours is not None and _may_be_same(ours, item):
        provenance = read_provenance(ours, key)
        if provenance is not None:
            return provenance
    try:
        with store.write(name) as path:
            digest = _fetch(source, item, path, item.size)
            provenance = read_provenance(path, key)
            if provenance is None:
                raise CannotRead(f"not a whole file of observations of schema {SCHEMA_VERSION}")
            if ours is not None and hashlib.sha256(ours).hexdigest() == digest:
                return provenance  # it was checked when it came here first
            counted = check_observations(path, key).get("", 0)
            if counted != provenance.row_count:
                raise CannotRead(f"{provenance.row_count} rows by its ledger, {counted} in it")
    except (CannotRead, ContractError) as error:
        return NotRead(key, str(error))
    return provenance


def _may_be_same(ours: bytes, item: ArchiveObject) -> bool:
    """Whether fetching a file can be spared: on a bucket, where an ETag is most often an MD5."""
    # The time of change of a file in a folder says nothing, and fetching it costs nothing.
    if len(ours) != item.size or item.etag.isdecimal():
        return False
    is_md5 = _MD5.fullmatch(item.etag)
    return not is_md5 or item.etag == hashlib.md5(ours, usedforsecurity=False).hexdigest()


def _fetch(source: Source, item: ArchiveObject, path: Path, limit: int) -> str:
    """Put a file of at most ``limit`` bytes at ``path``; returns its SHA-256.

    Raises:
        SourceError: the source does not answer.
        CannotRead: this file cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with closing(source.open(item)) as stream, path.open("wb") as file:
            for block in iter(partial(stream.read, _BLOCK), b""):
                size += len(block)
                if size > limit:
                    raise CannotRead("longer than it was listed")
                digest.update(block)
                file.write(block)
    except Unreachable as error:
        raise SourceError(f"{item.key}: {error}") from None
    return digest.hexdigest()


def _fetch_small(source: Source, item: ArchiveObject) -> bytes:
    """The bytes of a file that is a document."""
    with TemporaryFolder("workbook-import-") as folder:
        path = folder / "document"
        _fetch(source, item, path, _DOCUMENT_LIMIT)
        return path.read_bytes()


# --- a share --------------------------------------------------------------------------------------


def import_share(
    source: Source,
    item: ArchiveObject,
    store: Store,
    probe_cc: str,
    progress: Callable[[int, int, str], None],
) -> Collection:
    """Copy a share whose manifest is ``item``.

    Raises:
        SourceError: a file is missing or altered, or the share is of another country or version.
        ContractError: a file is not what a workbook would have written.
    """
    try:
        content = _fetch_small(source, item)
        manifest = shares.read_manifest(content, item.key)
        if manifest.probe_cc != probe_cc:
            raise SourceError(
                f"{item.key} is of {manifest.probe_cc}, not of {probe_cc}", resumes=False
            )
        name = f"{manifest.folder}/{MANIFEST}"
        known = store.try_read(name) == content and shares.reopen_share(store, manifest.folder)
        if known:
            return known
        for done, file in enumerate(manifest.files, 1):
            _import_shared(source, item, store, manifest, file)
            progress(done, len(manifest.files), file)
    except CannotRead as error:
        raise SourceError(f"the share cannot be read: {error}", resumes=error.may_pass) from None
    collection = shares.open_share(store, manifest)
    shares.check_rows(collection, manifest)
    store.write_bytes(name, content)
    return collection


def _import_shared(
    source: Source, item: ArchiveObject, store: Store, manifest: Manifest, name: str
) -> None:
    """Copy one of the files for which the manifest ``item`` vouches."""
    told = manifest.files[name]
    if store.digest(f"{manifest.folder}/{name}") == told.sha256:
        return
    file = ArchiveObject(f"{item.key.removesuffix(MANIFEST)}{name}", told.size, "")
    try:
        with store.write(f"{manifest.folder}/{name}") as path:
            if _fetch(source, file, path, told.size) != told.sha256:
                raise SourceError(
                    f"{name} is not the file that {MANIFEST} speaks of: it was altered, or has "
                    "not arrived whole",
                    resumes=False,
                )
    except CannotRead as error:
        raise type(error)(f"{name}: {error}") from None
