"""Names, operators and kinds of networks; the kind tells the country's access networks.

A list that a person wrote (``NETWORKS``, or the shipped ``networks/<cc>.csv``) comes first. If it
does not have a network, or its kind, words in the name decide that probes report.
``kind_source`` tells which of the two it was.

A probe may report any name, and one report may hold thousands of measurements. So each day of
receipt has one vote, for the name that most of its runs report, and a network has the name of most
days: a forger would need more runs than all others, on most days. A network that no list has and
that was tested on fewer than ``SEVERAL_DAYS`` has no name and is no access network: anybody can
make up such a network in a minute.

Registered names (AS number → name) are used if neither a list nor the probes name a network. A
snapshot has them for the whole Internet, extracted from a table of address ranges.
"""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from analysis.errors import ParameterError
from analysis.files import digest_file
from analysis.reference.reference_files import (
    ReferenceFile,
    given_or_shipped,
    parse_country,
    read_csv,
)
from analysis.tables import read_network, tell_network

MAX_ASN = 2**32 - 1

_NAME_LENGTH = 120
_NAME_COLUMNS = ("asn", "name")
#: The parameter that errors name, because these files come from the snapshot.
_PARAMETER = "REFERENCE"


@dataclass(frozen=True)
class NetworkNames:
    """Registered names by AS number; ``file`` is None if there are none."""

    names: Mapping[int, str]
    file: ReferenceFile | None = None


def clean_name(name: str | None) -> str:
    """Return a network name on one line, without control characters and not too long."""
    if not isinstance(name, str):
        return ""
    spaced = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") else char
        for char in name[: 8 * _NAME_LENGTH]
    )
    return " ".join(spaced.split())[:_NAME_LENGTH].rstrip()


def load_network_names(path: str | Path | None) -> NetworkNames:
    """Read registered names, CSV ``asn,name``; an empty path gives none.

    Raises:
        ParameterError: the file cannot be read or a line is wrong; names the file.
    """
    if not path:
        return NetworkNames(MappingProxyType({}))
    file = Path(path)
    table = _read_columns(file, _NAME_COLUMNS, has_header=True)
    names = dict(zip(*(table[column].to_pylist() for column in _NAME_COLUMNS), strict=True))
    described = ReferenceFile(file.name, "network names", digest_file(file), len(names))
    return NetworkNames(MappingProxyType(names), described)


def extract_names(ranges: Path, target: Path) -> None:
    """Extract the names from a table of address ranges: rows of first, last, asn, name; no header.

    Of several names a network keeps the one with most ranges, then the longest, then the first in
    alphabetical order. Number 0 and empty names are left out.

    Args:
        ranges: the table, as DB-IP and ip-location-db publish it.
        target: CSV ``asn,name``, by number.

    Raises:
        ParameterError: a line is not such a row; names the file and the line.
    """
    table = _read_columns(ranges, ("first", "last", *_NAME_COLUMNS), has_header=False)
    cleaned = {name: clean_name(name) for name in table["name"].unique().to_pylist()}
    counts: dict[int, Counter[str]] = {}
    for asn, name in zip(*(table[column].to_pylist() for column in _NAME_COLUMNS), strict=True):
        if asn and cleaned[name]:
            counts.setdefault(asn, Counter())[cleaned[name]] += 1
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_NAME_COLUMNS)
        for asn in sorted(counts):
            names = counts[asn]
            writer.writerow((asn, min(names, key=lambda name: (-names[name], -len(name), name))))


def _read_columns(file: Path, columns: Sequence[str], *, has_header: bool) -> pa.Table:
    """Read the AS numbers and names of a CSV file with these columns."""
    names = None if has_header else columns
    types = {"asn": pa.uint32(), "name": pa.string()}
    try:
        return pyarrow.csv.read_csv(
            file,
            pyarrow.csv.ReadOptions(use_threads=False, column_names=names),
            pyarrow.csv.ParseOptions(newlines_in_values=True),
            pyarrow.csv.ConvertOptions(column_types=types, include_columns=_NAME_COLUMNS),
        )
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        message = f"cannot be read as {','.join(columns)}: {reason}"
        raise ParameterError(_PARAMETER, file, message) from None


#: Networks with fewer days of receipt are a number, if no list has them; and names with fewer days
#: are not reported.
SEVERAL_DAYS = 3
#: The kind of networks with fewer days.
FEW_DAYS = "few_days"

#: Kinds that a list may give.
KINDS = ("isp", "mobile", "education", "hosting", "vpn", "foreign", "unknown")
#: Kinds of access networks: only their blocking counts as blocking in the country.
DOMESTIC = frozenset({"isp", "mobile", "education", "unknown"})
#: Kinds of networks that are ranked.
RANKED = frozenset({"isp", "mobile", "unknown"})

_COLUMNS = ("asn", "network", "operator", "kind", "source")
_NO_NAMES: Mapping[int, str] = MappingProxyType({})


def _words(alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{alternatives})(?![a-z0-9])")


#: The first rule that matches decides. The words must hardly ever mean anything else, because a
#: domestic network that is taken for a foreign one loses its verdicts.
_NAME_RULES = (
    # the name says so
    (
        "vpn",
        _words("vpn|[a-z]+vpn|vpn[a-z]+|private internet access|proxy"),
    ),
    # exits of VPN services; a probe inside Cloudflare uses its WARP
    (
        "vpn",
        _words(
            "m247|datacamp|cdn77|packethub|tefincom|31173 services|mullvad|proton ag"
            "|windscribe|cloudflare|cloudflarenet|zscaler"
        ),
    ),
    # data centres
    (
        "hosting",
        _words(
            "(?:web)?hosting|hosted|vps|[a-z]*servers?|colocation|colo|cdn|content delivery"
            "|data ?cent(?:er|re)s?|cloud"
        ),
    ),
    # companies that rent machines or deliver content
    (
        "hosting",
        _words(
            "amazon(?:-[a-z0-9]+)?|aws|google llc|google-cloud[a-z-]*|microsoft[a-z-]*"
            "|oracle[a-z-]*|digitalocean[a-z-]*|linode[a-z-]*|akamai[a-z-]*|fastly|edgecast"
            "|edgio|(?:as-)?vultr|(?:as-)?choopa|constant company|ovh|hetzner[a-z-]*|contabo"
            "|leaseweb[a-z-]*|clouvider|performive|quadranet[a-z-]*|colocrossing|zenlayer|ipxo"
            "|scaleway|alibaba[a-z-]*|aliyun|tencent[a-z-]*|huawei clouds?|psychz|gthost"
            "|hostpapa|godaddy[a-z-]*|upcloud"
        ),
    ),
    # a campus may have filters of its own, so it is not ranked
    (
        "education",
        _words(
            "universit[a-zäéàó]+|univ|polytechnic|college|faculty|academy|school|education"
            "|institute of technology"
        ),
    ),
    # mobile providers
    (
        "mobile",
        _words("mobile|[a-z]-mobile|cellular|[a-z]*gsm|lte|[345]g"),
    ),
    # fixed-line providers
    (
        "isp",
        _words("[a-z]*isp|internet service providers?|broadband|telecoms?|telecommunications?"),
    ),
)


@dataclass(frozen=True)
class Network:
    """A network of a list; ``source`` is the source of its line."""

    asn: int
    network: str
    operator: str
    kind: str
    source: str


@dataclass(frozen=True)
class NetworkList:
    """The listed networks by ASN; ``file`` is None if the country has no list."""

    networks: Mapping[int, Network]
    file: ReferenceFile | None = None


def load_networks(path: str | Path | None, probe_cc: str) -> NetworkList:
    """Read a network list, CSV ``asn,network,operator,kind,source``.

    Args:
        path: the file; by default the shipped ``networks/<cc>.csv``, if there is one.
        probe_cc: the country.

    Raises:
        ParameterError: the file cannot be read or a line is wrong; names NETWORKS, the file, the
            line and what is accepted.
    """
    file = given_or_shipped(path, f"networks/{parse_country(probe_cc).lower()}.csv")
    if file is None:
        return NetworkList(MappingProxyType({}))
    table = read_csv(file, _COLUMNS, "NETWORKS")
    networks: dict[int, Network] = {}
    for line, row in table.rows:
        with table.at(line):
            network = _read_line(row)
            if network.asn in networks:
                raise ValueError(f"{tell_network(network.asn)} is listed twice")
        networks[network.asn] = network
    return NetworkList(MappingProxyType(networks), table.described("networks", len(networks)))


def _read_line(row: Mapping[str, str]) -> Network:
    asn = read_network(row["asn"])
    if not 0 < asn <= MAX_ASN:
        raise ValueError(f"asn {row['asn']!r} is not a number")
    if row["kind"] not in KINDS:
        raise ValueError(f"kind {row['kind']!r} is none of {', '.join(KINDS)}")
    if not row["source"]:
        raise ValueError("source is empty: say where it comes from")
    network = row["network"] or tell_network(asn)
    return Network(asn, network, row["operator"] or network, row["kind"], row["source"])


def kind_by_name(name: str) -> str:
    """Return the kind by words in a network's name, or ``unknown``."""
    text = clean_name(name).lower()
    return next((kind for kind, words in _NAME_RULES if words.search(text)), "unknown")


#: probe_asn → reported name → days on which most runs report it. The name is empty if they report
#: none, or several equally often.
ReportedNames = Mapping[int, Mapping[str, int]]


def describe(
    reported_names: ReportedNames,
    networks: NetworkList,
    registered_names: Mapping[int, str] = _NO_NAMES,
    several_days: int = SEVERAL_DAYS,
) -> pd.DataFrame:
    """Name and classify networks.

    Args:
        reported_names: the name of most days is used if the list does not have the network.
        networks: the list.
        registered_names: shown as ``network`` if neither of the two has a name. Operator and kind
            do not depend on it, so that a new snapshot cannot change a verdict.
        several_days: a network with fewer days is a number of kind ``few_days``, unless the list
            has it; for measurements of fewer days in all, give their number.

    Returns:
        One row per network, by probe_asn: ``probe_asn`` (int), ``network``, ``operator``,
        ``kind``, ``kind_source`` (``list``, ``name rule`` or ``none``). If the list's kind is
        unknown, the name rules decide. AS0, an unknown network, has kind unknown.
    """
    rows: list[tuple[int, str, str, str, str]] = []
    for asn in sorted(reported_names):
        days, listed = _count_days(reported_names[asn]), networks.networks.get(asn)
        if asn and not listed and days.total() < several_days:
            rows.append((asn, tell_network(asn), tell_network(asn), FEW_DAYS, "none"))
            continue
        network, operator, kind, source = _classify(asn, _choose_name(days), listed)
        if network == tell_network(asn):
            network = registered_names.get(asn, network)
        # tables separate several names by semicolons
        rows.append((asn, network.replace(";", ","), operator.replace(";", ","), kind, source))
    columns = ["probe_asn", "network", "operator", "kind", "kind_source"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"probe_asn": "int64", **dict.fromkeys(columns[1:], "str")})


def _count_days(reported: Mapping[str, int]) -> Counter[str]:
    """Return cleaned name → days."""
    days: Counter[str] = Counter()
    for name, count in sorted(reported.items()):
        days[clean_name(name)] += count
    return days


def _choose_name(days: Mapping[str, int]) -> str:
    """Return the name of most days; on a tie, one that makes it a domestic network."""
    return max(
        sorted(days), key=lambda name: (days[name], kind_by_name(name) in DOMESTIC), default=""
    )


def find_changed_kinds(reported_names: ReportedNames, described: pd.DataFrame) -> pd.DataFrame:
    """Return networks that are domestic by some of the reported names, and not by others.

    Args:
        reported_names: of all networks.
        described: from ``describe``.

    Returns:
        One row per network and name that contradicts its ``kind``: ``probe_asn, network, kind,
        reported_name, reported_kind, day_count`` (days on which most runs reported it, three at
        least), by network, the most frequent name first.
    """
    rows = []
    guessed: Any = described[(described["kind_source"] != "list") & (described["probe_asn"] != 0)]
    for row in guessed.itertuples(index=False):
        for name, count in _count_days(reported_names[row.probe_asn]).items():
            kind = kind_by_name(name)
            is_contrary = (kind in DOMESTIC) != (row.kind in DOMESTIC)
            if name and count >= SEVERAL_DAYS and is_contrary:
                rows.append((row.probe_asn, row.network, row.kind, name, kind, count))
    columns = ["probe_asn", "network", "kind", "reported_name", "reported_kind", "day_count"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        ["probe_asn", "day_count", "reported_name"],
        ascending=[True, False, True],
        ignore_index=True,
    )


def _classify(asn: int, reported: str, listed: Network | None) -> tuple[str, str, str, str]:
    """Return network, operator, kind and kind_source of one network."""
    if asn == 0:
        return "unknown network", "unknown network", "unknown", "none"
    name = listed.network if listed else reported or tell_network(asn)
    operator = listed.operator if listed else name
    if listed and listed.kind != "unknown":
        return name, operator, listed.kind, "list"
    kind = kind_by_name(name)
    return name, operator, kind, "none" if kind == "unknown" else "name rule"
