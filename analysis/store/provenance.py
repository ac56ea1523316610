"""What a Parquet file of observations says of itself: source, object, ledger."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from analysis.errors import ContractError
from analysis.observations.messaging import MESSAGING_VERSION
from analysis.observations.schema import SCHEMA_VERSION
from analysis.sources import layout
from analysis.sources.archive_files import ArchiveObject
from analysis.store.checksums import read_metadata

#: Reasons of the ingestion ledger, in the contract's order.
REASONS = (
    "truncated_file",
    "not_json",
    "invalid",
    "other_test",
    "other_country",
    "out_of_period",
    "duplicate",
    "kept",
)

FOLDER = "observations"
METADATA_KEY = b"workbook"
SUFFIX = ".parquet"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
#: Who writes a store or a share that is handed on may be anybody: nothing else is taken.
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Reason = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(truncated_file|not_json|other_test|other_country|out_of_period"
        r"|invalid:[a-z0-9_]{1,40})\Z"
    ),
]
Text = Annotated[str, msgspec.Meta(max_length=1024)]


@dataclass(frozen=True)
class Provenance:
    """What one Parquet file was made from, and the lines of the object that gave no row.

    ``ledger`` counts by reason: truncated_file, not_json, other_test and invalid:<why>, and in an
    excerpt other_country and out_of_period; and ``row_count`` the lines that are rows.
    """

    key: Text
    size: Count
    etag: Text
    sha256: Digest
    schema_version: int
    fingerprints: Digest
    row_count: Count
    ledger: Annotated[dict[Reason, Count], msgspec.Meta(max_length=100)] = field(
        default_factory=dict
    )

    def is_current(self, item: ArchiveObject, fingerprints: str) -> bool:
        """Whether reading the object, as it is now, would give the same file again."""
        told = (self.size, self.etag, self.fingerprints, self.schema_version)
        return told == (item.size, item.etag, fingerprints, version_of(self.key))


def add_up(files: Iterable[Provenance], rows: Mapping[str, int]) -> dict[str, int]:
    """What became of every line of some objects.

    Args:
        files: of the objects.
        rows: theirs, by what became of them: kept, or why they were left out.

    Returns:
        Reason → lines: all of :data:`REASONS` in order, then each ``invalid:<why>`` that occurs,
        sorted, then ``total``.

    Raises:
        ContractError: the reasons do not add up to the lines.
    """
    counts, expected = Counter(rows), 0
    for file in files:
        counts.update(file.ledger)
        expected += file.row_count + sum(file.ledger.values())
    invalid = {why: count for why, count in sorted(counts.items()) if why.startswith("invalid:")}
    counts["invalid"] = sum(invalid.values())
    ledger = {reason: counts[reason] for reason in REASONS}
    total = sum(ledger.values())
    if total != expected:
        raise ContractError(f"the ledger has {total} lines, the objects have {expected}")
    return {**ledger, **invalid, "total": total}


def is_messaging(key: str) -> bool:
    """Whether an object holds a messaging or circumvention test: its file has other columns."""
    return layout.find_test(key) not in (None, layout.WEB)


def version_of(key: str) -> int:
    """The version of the columns that an object's file has."""
    return MESSAGING_VERSION if is_messaging(key) else SCHEMA_VERSION


def file_name(source_id: str, key: str) -> str:
    """Where in a store the file of an object is."""
    return f"{FOLDER}/{source_id}/{key}{SUFFIX}"


def read_provenance(file: bytes, key: str) -> Provenance | None:
    """What the file of an object was made from; None where it is damaged, of another object, or of
    another schema.
    """
    content = (read_metadata(file) or {}).get(METADATA_KEY, b"")
    try:
        told = msgspec.json.decode(content, type=Provenance)
    except (msgspec.DecodeError, RecursionError):
        return None
    return told if (told.key, told.schema_version) == (key, version_of(key)) else None


@dataclass(frozen=True)
class NotRead:
    """An object that could not be read at all."""

    key: Text
    why: Text
