"""Pack a country's observations of a period to hand them on: ``make share``."""

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq

from analysis import packs, reference, shares
from analysis.errors import ParameterError, SourceError
from analysis.observations import Observations
from analysis.period import Period
from analysis.schema import SCHEMA_VERSION
from analysis.shares import MANIFEST, Manifest, SharedFile
from analysis.store import Collection, Store

_OONI = (
    "CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "Adapted from the measurements of the Open Observatory of Network Interference (OONI), "
    "https://ooni.org/data/: what each layer showed was extracted, and bodies were left out.",
)
_FICTIONAL = (
    "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
    "A fictional country: no real network, site or person.",
)
# Sites' answers resemble each other more than the answers that one probe met.
_ROWS = f"""
SELECT * FROM every_row WHERE {packs.IN_COUNTRY} AND {packs.IN_PERIOD}
ORDER BY domain, probe_asn, measurement_start_time, object_key, line_number
"""
_LEFT_OUT = f"""
SELECT object_key, count(*) FILTER (NOT {packs.IN_COUNTRY}),
    count(*) FILTER ({packs.IN_COUNTRY} AND NOT {packs.IN_PERIOD})
FROM every_row GROUP BY ALL
"""
_LEVEL = ", COMPRESSION_LEVEL 19"  # packed once, and sent over thin lines


def check(out: Path) -> None:
    """Refuse a place that holds something else.

    Raises:
        ParameterError: ``out`` is a file, or a folder with content but without a manifest.
    """
    if out.exists() and not (out.is_dir() and ((out / MANIFEST).is_file() or _is_bare(out))):
        raise ParameterError("OUT", out, "must be new, empty, or hold an earlier share")


def _is_bare(folder: Path) -> bool:
    """Whether there is nothing but what an interrupted run has written."""
    names = [path.name for path in folder.iterdir()]
    return all(shares.NAME.fullmatch(name) or name.endswith(".part") for name in names)


def share(collection: Collection, probe_cc: str, period: Period, out: Path) -> Manifest:
    """Write a share into ``out``; what was there stays valid until the new one is whole.

    Files are named by what they hold: a month that did not change is the same file, and need not
    be sent again.

    Raises:
        ParameterError: ``out`` holds something else.
        SourceError: there is no observation in the period, or ``out`` cannot be written.
    """
    check(out)
    place = Store(str(out))
    place.remove_leftovers(".")
    with (
        Observations(collection, probe_cc, period) as observations,
        packs.saying(),
    ):
        ledger = {reason: int(n) for reason, n in observations.ledger().itertuples(index=False)}
        if not ledger["kept"]:
            raise SourceError(f"the source has no measurement of {probe_cc} in {period}")
        packs.prepare(observations.connection, collection, observations.scratch)
        made = _written(observations, collection, probe_cc, period)
        files = dict(_put(place, stem, path) for stem, path in made)
    manifest = _manifest(collection, probe_cc, period, ledger, files)
    place.replace(MANIFEST, manifest.encoded())
    for path in out.iterdir():
        if shares.NAME.fullmatch(path.name) and path.name not in files:
            path.unlink(missing_ok=True)
    return manifest


def _written(
    observations: Observations, collection: Collection, probe_cc: str, period: Period
) -> Iterator[tuple[str, Path]]:
    """The files, one after the other: what each is of, and where it is for the moment."""
    connection, path = observations.connection, observations.scratch / "shared.parquet"
    for month in period.months():
        scope = {"cc": probe_cc, "since": month.since, "until": month.until}
        packs.write_parquet(connection, _ROWS, scope, path, {}, _LEVEL)
        if pq.read_metadata(path).num_rows:
            yield f"{month.since:%Y-%m}", path
    scope = {"cc": probe_cc, "since": period.since, "until": period.until}
    left_out = {key: counts for key, *counts in connection.execute(_LEFT_OUT, scope).fetchall()}
    files = [shares.trimmed(file, *left_out.get(file.key, (0, 0))) for file in collection.files]
    connection.register("objects", shares.table_of_objects(files, collection.not_read))
    packs.write_parquet(connection, "SELECT * FROM objects", {}, path, {}, _LEVEL)
    connection.unregister("objects")
    yield shares.OBJECTS, path


def _put(place: Store, stem: str, path: Path) -> tuple[str, SharedFile]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = f"{stem}-{digest[:16]}.parquet"
    if place.digest(name) != digest:
        place.replace(name, content)
    return name, SharedFile(len(content), digest)


def _manifest(
    collection: Collection,
    probe_cc: str,
    period: Period,
    ledger: dict[str, int],
    files: dict[str, SharedFile],
) -> Manifest:
    licence, attribution = _FICTIONAL if reference.is_fictional(probe_cc) else _OONI
    return Manifest(
        format=shares.FORMAT,
        probe_cc=probe_cc,
        since=period.since,
        until=period.until,
        source_id=collection.source_id,
        observations_digest=collection.digest,
        schema_version=SCHEMA_VERSION,
        code_version=version("censorship-report-workbook"),
        licence=licence,
        attribution=attribution,
        ledger=ledger,
        files=dict(sorted(files.items())),
    )
