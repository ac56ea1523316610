"""OONI's fingerprints of block pages and block addresses, and the search for them.

The lists are CSVs in OONI's format (``fingerprints_dns.csv``, ``fingerprints_http.csv``). A match
is evidence, not a verdict; :meth:`Fingerprints.confirms` gives the flag that OONI publishes.

One Aho-Corasick pass finds all literal patterns of one location (the body, a header). The few
regular expressions are searched by their longest literal and then by RE2, which takes linear time:
a page may be written to make a backtracking matcher hang.
"""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from ahocorasick_rs import BytesAhoCorasick, Implementation

from analysis.errors import ParameterError

PATTERN_TYPES = ("full", "prefix", "contains", "regexp")

_DNS_FILE, _HTTP_FILE = "fingerprints_dns.csv", "fingerprints_http.csv"
_COLUMNS = ("name", "scope", "location_found", "pattern_type", "pattern", "expected_countries")

#: Limits of a list: its bytes, characters of a pattern and of an expression, and patterns that end
#: in the same text. OONI's list has 400 KB, 831, 82 and 3.
LIST_LIMIT, PATTERN_LIMIT, REGEXP_LIMIT, ALIKE_LIMIT = 4_000_000, 2_000, 200, 16
_WINDOW = 1 << 15  # bytes of a page that are searched at once
_DFA_LIMIT = 200_000  # bytes of patterns; a DFA takes a KB for each

# Scopes that mean blocking in any country: by a provider, by a state.
_CONFIRMING_SCOPES = ("isp", "nat")


@dataclass(frozen=True)
class Fingerprint:
    """One pattern that identifies a block page or a block address.

    Attributes:
        name: unique id.
        scope: nat, isp, prod (a product), inst, vbw (vague), fp (false positive) …
        location_found: ``dns``, ``body`` or ``header.<name>``.
        pattern_type: one of :data:`PATTERN_TYPES`.
        pattern: the text or expression.
        expected_countries: upper-case country codes; empty: anywhere.
    """

    name: str
    scope: str
    location_found: str
    pattern_type: str
    pattern: str
    expected_countries: tuple[str, ...]


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of one list; empty without a list."""

    dns: tuple[Fingerprint, ...] = ()
    http: tuple[Fingerprint, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.dns or self.http)

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """Names of unsupported regular expressions, which match nothing."""
        return tuple(item.name for item in self.http if _literal(item) is None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the fingerprints in any order."""
        rows = sorted(
            [
                item.location_found,
                item.pattern_type,
                item.pattern,
                item.name,
                item.scope,
                *item.expected_countries,
            ]
            for item in (*self.dns, *self.http)
        )
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @cached_property
    def dns_names(self) -> Mapping[str, Sequence[str]]:
        """Answer (an address or a host name) → names of fingerprints."""
        names: dict[str, list[str]] = {}
        for fingerprint in self.dns:
            names.setdefault(fingerprint.pattern, []).append(fingerprint.name)
        return names

    @cached_property
    def header_names(self) -> frozenset[str]:
        """Lower-case names of the headers that have fingerprints."""
        locations = (location.partition(".") for location in self.matchers)
        return frozenset(name for kind, _, name in locations if kind == "header" and name)

    @cached_property
    def matchers(self) -> Mapping[str, "_Matcher"]:
        by_location: dict[str, list[Fingerprint]] = {}
        for fingerprint in self.http:
            by_location.setdefault(fingerprint.location_found.lower(), []).append(fingerprint)
        return {location: _Matcher(fingerprints) for location, fingerprints in by_location.items()}

    def match(self, location: str, content: bytes) -> list[str]:
        """Return names of the fingerprints in a body (``body``) or header (``header.<name>``)."""
        location_matcher = self.matchers.get(location)
        return location_matcher.names_in(content) if location_matcher else []

    def confirms(self, names: Iterable[str], probe_cc: str) -> bool:
        """Test whether OONI calls a measurement with these matches confirmed blocked.

        One match is enough if its scope is ``isp`` or ``nat``, or if its expected countries include
        the probe's.
        """
        matches = (self._by_name[name] for name in names if name in self._by_name)
        return any(
            match.scope in _CONFIRMING_SCOPES
            or (probe_cc != "ZZ" and probe_cc in match.expected_countries)
            for match in matches
        )

    @cached_property
    def _by_name(self) -> Mapping[str, Fingerprint]:
        return {f.name: f for f in (*self.dns, *self.http)}

    def __reduce__(self) -> tuple[object, ...]:
        # Automata cannot be pickled, so each worker builds its own.
        return Fingerprints, (self.dns, self.http)


class _Matcher:
    """All patterns of one location."""

    def __init__(self, fingerprints: Iterable[Fingerprint]) -> None:
        supported = [(literal, item) for item in fingerprints if (literal := _literal(item))]
        self.literals = [literal.encode() for literal, _ in supported]
        self._targets = [item for _, item in supported]
        self._longest = max(map(len, self.literals), default=0)

    @cached_property
    def _automaton(self) -> BytesAhoCorasick:
        # The DFA takes tens of MB for OONI's list, and scans more than twice as fast.
        is_small = sum(map(len, self.literals)) <= _DFA_LIMIT
        chosen = Implementation.DFA if is_small else Implementation.ContiguousNFA
        return BytesAhoCorasick(self.literals, implementation=chosen)

    def most_at_once(self) -> int:
        """Return the greatest number of patterns that can end at one byte of a page."""
        counts = Counter(self.literals)
        suffix_counts = (
            sum(counts[literal[start:]] for start in range(len(literal))) for literal in counts
        )
        return max(suffix_counts, default=0)

    def names_in(self, content: bytes, begin: int = 0) -> list[str]:
        """Return the sorted names of the fingerprints in ``content`` from ``begin`` on."""
        names: set[str] = set()
        done: set[int] = set()
        for offset in range(begin, len(content) if self.literals else 0, _WINDOW):
            window = content[offset : offset + _WINDOW + self._longest - 1]
            hits = self._automaton.find_matches_as_indexes(window, overlapping=True)
            for index, start, end in hits:
                if index not in done:
                    if _matches(self._targets[index], content, offset + start, offset + end):
                        names.add(self._targets[index].name)
                    done.add(index)
            if len(hits) > _WINDOW:  # a page full of one pattern: search on without it
                remaining = (item for n, item in enumerate(self._targets) if n not in done)
                return sorted(names.union(_Matcher(remaining).names_in(content, offset + _WINDOW)))
        return sorted(names)


def _matches(fingerprint: Fingerprint, content: bytes, start: int, end: int) -> bool:
    """Test a page against a fingerprint whose literal first occurs at ``start`` to ``end``."""
    if fingerprint.pattern_type == "regexp":
        page = pa.array([content], pa.binary())
        return bool(pc.match_substring_regex(page, fingerprint.pattern)[0].as_py())
    is_whole = start == 0 and (fingerprint.pattern_type == "prefix" or end == len(content))
    return fingerprint.pattern_type == "contains" or is_whole


def _literal(fingerprint: Fingerprint) -> str | None:
    """Return the text to search for: the pattern, or a regular expression's longest literal.

    None if an expression contains more than literals, ``.`` and ``.*``.
    """
    if fingerprint.pattern_type != "regexp":
        return fingerprint.pattern
    if re.search(r"\{[0-9]", fingerprint.pattern):
        return None
    literals = [""]
    for token in re.findall(r"\\.|\.\*|.", fingerprint.pattern, re.DOTALL):
        if token in (".", ".*"):
            literals.append("")
        elif (token[0] == "\\" and not _is_mark(token[1:])) or token in "[]()*+?|^$\n":
            return None
        else:
            literals[-1] += token[-1]
    return max(literals, key=len)


def _is_mark(escaped: str) -> bool:
    """Test whether a backslash before it means the character itself."""
    return escaped.isascii() and not escaped.isalnum()


def load(folder: str | None) -> Fingerprints:
    """Read the fingerprints of a folder; without a folder there are none.

    Raises:
        ParameterError: the folder has neither file, a row is invalid, or a pattern is too long or
            ends like too many others.
    """
    if not folder:
        return Fingerprints()
    files = [Path(folder) / _DNS_FILE, Path(folder) / _HTTP_FILE]
    if not any(file.is_file() for file in files):
        raise ParameterError("FINGERPRINTS", folder, f"a folder with {_DNS_FILE} or {_HTTP_FILE}")
    dns, http = (_read(file) if file.is_file() else () for file in files)
    fingerprints = Fingerprints(dns=dns, http=http)
    for location, matcher in fingerprints.matchers.items():
        alike = matcher.most_at_once()
        if alike > ALIKE_LIMIT:
            accepted = f"{alike} patterns of {location} end alike; {ALIKE_LIMIT} are accepted"
            raise ParameterError("FINGERPRINTS", files[1], accepted)
    return fingerprints


def _read(file: Path) -> tuple[Fingerprint, ...]:
    try:
        with file.open("rb") as stream:
            data = stream.read(LIST_LIMIT + 1)
        if len(data) > LIST_LIMIT:
            raise ParameterError("FINGERPRINTS", file, f"is larger than {LIST_LIMIT / 1e6:g} MB")
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise ParameterError("FINGERPRINTS", file, f"lacks the columns {missing}")
        return tuple(_fingerprint(file, row) for row in rows)
    except csv.Error as error:
        raise ParameterError("FINGERPRINTS", file, f"cannot be read as CSV: {error}") from None


def _fingerprint(file: Path, row: Mapping[str, str | None]) -> Fingerprint:
    cells = {name: row.get(name) or "" for name in _COLUMNS}
    if not cells["name"] or cells["pattern_type"] not in PATTERN_TYPES:
        accepted = f"row {cells['name']!r}: pattern_type must be one of {PATTERN_TYPES}"
        raise ParameterError("FINGERPRINTS", file, accepted)
    limit = REGEXP_LIMIT if cells["pattern_type"] == "regexp" else PATTERN_LIMIT
    if len(cells["pattern"]) > limit:
        accepted = f"row {cells['name']!r}: a pattern of up to {limit} characters is accepted"
        raise ParameterError("FINGERPRINTS", file, accepted)
    countries = {code.strip().upper() for code in cells["expected_countries"].split(",")}
    return Fingerprint(
        name=cells["name"],
        scope=cells["scope"],
        location_found=cells["location_found"],
        pattern_type=cells["pattern_type"],
        pattern=cells["pattern"],
        expected_countries=tuple(sorted(countries - {"", "ZZ"})),
    )
