"""What networks are called by those who register them: AS number → name.

A snapshot holds these names for the whole Internet, drawn from a table of address ranges. They
serve where neither a list of networks nor the probes say what a network is called.
"""

import csv
import hashlib
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.csv

from analysis.errors import ParameterError
from analysis.reference import ReferenceFile

MAX_ASN = 2**32 - 1

_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_NAME_LENGTH = 120
_COLUMNS = ("asn", "name")
_TYPES = pyarrow.csv.ConvertOptions(
    column_types={"asn": pa.uint32(), "name": pa.string()}, include_columns=_COLUMNS
)
#: The parameter that errors name: it is the snapshot that brings these files.
_PARAMETER = "REFERENCE"


@dataclass(frozen=True)
class NetworkNames:
    """Registered names by AS number; ``file`` is None where there are none."""

    names: Mapping[int, str]
    file: ReferenceFile | None = None


def clean_name(name: str | None) -> str:
    """A reported network name on one line: no control or invisible characters, not too long."""
    if not isinstance(name, str):
        return ""
    spaced = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") else char
        for char in name[: 8 * _NAME_LENGTH]
    )
    return " ".join(spaced.split())[:_NAME_LENGTH].rstrip()


def load_network_names(path: str | Path | None) -> NetworkNames:
    """Read registered names, CSV ``asn,name``; none where ``path`` is empty.

    Raises:
        ParameterError: the file cannot be read or a line is wrong; names the file.
    """
    if not path:
        return NetworkNames(MappingProxyType({}))
    file = Path(path)
    try:
        data = file.read_bytes()
        table = pyarrow.csv.read_csv(io.BytesIO(data), convert_options=_TYPES)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ParameterError(_PARAMETER, file, f"cannot be read as asn,name: {reason}") from None
    names = dict(zip(*(table[column].to_pylist() for column in _COLUMNS), strict=True))
    digest = hashlib.sha256(data).hexdigest()
    described = ReferenceFile(file.name, "network names", digest, len(names))
    return NetworkNames(MappingProxyType(names), described)


def extract_names(ranges: Path, target: Path) -> None:
    """Draw the names from a table of address ranges: rows of first, last, asn, name; no header.

    A network with several names keeps the one of most ranges, then the longest, then the first
    by the alphabet. Number 0 and empty names are left out.

    Args:
        ranges: the table, as DB-IP and ip-location-db publish it.
        target: CSV ``asn,name``, by number.

    Raises:
        ParameterError: a line is no such row; names the file and the line.
    """
    counts: dict[int, Counter[str]] = {}
    for asn, name in _ranges(ranges):
        if asn and name:
            counts.setdefault(asn, Counter())[name] += 1
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for asn in sorted(counts):
            found = counts[asn]
            writer.writerow((asn, min(found, key=lambda name: (-found[name], -len(name), name))))


def _ranges(file: Path) -> Iterator[tuple[int, str]]:
    """AS number and name of each row, checked."""
    line = 1
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            cleaned: dict[str, str] = {}  # a name stands in many rows
            for row in reader:
                if len(row) != 4:
                    message = f"line {line}: {len(row)} cells instead of first, last, asn, name"
                    raise ParameterError(_PARAMETER, file, message)
                name = row[3]
                if name not in cleaned:
                    cleaned[name] = clean_name(name)
                yield _asn(row[2], file, line), cleaned[name]
                line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise ParameterError(_PARAMETER, file, f"line {line}: not CSV: {error}") from None


def _asn(text: str, file: Path, line: int) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_ASN:
        raise ParameterError(_PARAMETER, file, f"line {line}: asn {text[:40]!r} is not a number")
    return int(text)
