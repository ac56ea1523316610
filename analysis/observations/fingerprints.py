"""OONI's fingerprints of block pages and block addresses, and matching them.

The lists are OONI-shaped CSVs (``fingerprints_dns.csv``, ``fingerprints_http.csv``). A match is
evidence, not a verdict: only :meth:`Fingerprints.confirms` repeats what OONI publishes.

All literal patterns of one location (the body, one header) are found in one Aho-Corasick pass. The
few regular expressions are literals joined by ``.*``; they are searched piece by piece, in linear
time, because a page may be written to make a backtracking matcher hang.
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ahocorasick_rs import BytesAhoCorasick, Implementation

from analysis.errors import ParameterError

PATTERN_TYPES = ("full", "prefix", "contains", "regexp")

_DNS_FILE, _HTTP_FILE = "fingerprints_dns.csv", "fingerprints_http.csv"
_COLUMNS = ("name", "scope", "location_found", "pattern_type", "pattern", "expected_countries")

# Scopes that mean blocking wherever they are seen: by a provider, by a country.
_CONFIRMING_SCOPES = ("isp", "nat")


@dataclass(frozen=True)
class Fingerprint:
    """One known artefact of blocking.

    Attributes:
        name: unique id.
        scope: who blocks: nat, isp, prod (a product), inst, vbw (vague), fp (false positive) …
        location_found: ``dns``, ``body`` or ``header.<name>``.
        pattern_type: one of :data:`PATTERN_TYPES`.
        pattern: what to find.
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
    """The fingerprints of one list. Empty where no list was given."""

    dns: tuple[Fingerprint, ...] = ()
    http: tuple[Fingerprint, ...] = ()
    _matchers: dict[str, "_Matcher"] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_empty(self) -> bool:
        return not (self.dns or self.http)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that matching depends on; the same whatever the order of the rows."""
        rows = sorted(
            [f.location_found, f.pattern_type, f.pattern, f.name, f.scope, *f.expected_countries]
            for f in (*self.dns, *self.http)
        )
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @cached_property
    def dns_names(self) -> Mapping[str, tuple[str, ...]]:
        """Names by the answer (an address or a host name) that they stand for."""
        names: dict[str, tuple[str, ...]] = {}
        for fingerprint in self.dns:
            names[fingerprint.pattern] = (*names.get(fingerprint.pattern, ()), fingerprint.name)
        return names

    @cached_property
    def header_names(self) -> frozenset[str]:
        """Lower-case names of the headers that some fingerprint looks at."""
        prefix = "header."
        locations = (f.location_found for f in self.http)
        return frozenset(
            location.removeprefix(prefix).lower()
            for location in locations
            if location.startswith(prefix)
        )

    def match(self, location: str, content: bytes) -> list[str]:
        """Names of the fingerprints found in a body (``body``) or header (``header.<name>``)."""
        matcher = self._matchers.get(location)
        if matcher is None:
            wanted = [f for f in self.http if f.location_found.lower() == location]
            matcher = self._matchers[location] = _Matcher(wanted)
        return matcher.names_in(content)

    def confirms(self, names: Iterable[str], probe_cc: str) -> bool:
        """Whether OONI calls a measurement with these matches confirmed blocked.

        One match is enough whose expected countries include the probe's, or whose scope is
        ``isp`` or ``nat``: then the countries do not matter.
        """
        by_name = self._by_name
        return any(
            match.scope in _CONFIRMING_SCOPES
            or (probe_cc != "ZZ" and probe_cc in match.expected_countries)
            for match in (by_name[name] for name in names if name in by_name)
        )

    @cached_property
    def _by_name(self) -> Mapping[str, Fingerprint]:
        return {f.name: f for f in (*self.dns, *self.http)}

    def __getstate__(self) -> dict[str, object]:
        return {"dns": self.dns, "http": self.http}

    def __setstate__(self, state: dict[str, object]) -> None:
        # Automata cannot be pickled; each worker builds its own.
        for name, value in {**state, "_matchers": {}}.items():
            object.__setattr__(self, name, value)


class _Matcher:
    """All patterns of one location."""

    def __init__(self, fingerprints: list[Fingerprint]) -> None:
        self._literals: list[bytes] = []
        self._targets: list[tuple[str, str, tuple[re.Pattern[bytes], ...]]] = []
        for fingerprint in fingerprints:
            self._add(fingerprint)
        self._automaton = None
        if self._literals:
            # The DFA takes tens of MB for OONI's list, and scans more than twice as fast.
            self._automaton = BytesAhoCorasick(self._literals, implementation=Implementation.DFA)

    def _add(self, fingerprint: Fingerprint) -> None:
        literal = fingerprint.pattern.encode()
        pieces: tuple[re.Pattern[bytes], ...] = ()
        if fingerprint.pattern_type == "regexp":
            parsed = _pieces(fingerprint.pattern)
            if parsed is None:
                return
            literal, pieces = parsed
        if literal:
            self._literals.append(literal)
            self._targets.append((fingerprint.name, fingerprint.pattern_type, pieces))

    def names_in(self, content: bytes) -> list[str]:
        """Sorted names of what is found in ``content``."""
        if self._automaton is None:
            return []
        names: set[str] = set()
        hits = self._automaton.find_matches_as_indexes(content, overlapping=True)
        tried: set[int] = set()
        for index, start, end in hits:
            name, kind, pieces = self._targets[index]
            if name in names:
                continue
            if kind == "regexp":
                if index not in tried and _has_in_order(content, pieces):
                    names.add(name)
                tried.add(index)
            elif kind == "contains" or (start == 0 and (kind == "prefix" or end == len(content))):
                names.add(name)
        return sorted(names)


def _pieces(pattern: str) -> tuple[bytes, tuple[re.Pattern[bytes], ...]] | None:
    r"""Split a regular expression of literals, ``.`` and ``.*`` into pieces without repetition.

    Returns:
        The longest literal (to look for first) and the pieces in order, or None where the
        expression holds anything else.
    """
    literals: list[bytes] = [b""]
    pieces = [""]
    for token in re.findall(r"\\.|\.\*|.", pattern, re.DOTALL):
        if token == ".*":
            pieces.append("")
            literals.append(b"")
        elif token == ".":
            pieces[-1] += "."
            literals.append(b"")
        elif (token[0] == "\\" and token[1:].isalnum()) or token in "[]*+?|^$":
            return None
        else:
            letter = token[-1]
            pieces[-1] += re.escape(letter)
            literals[-1] += letter.encode()
    compiled = tuple(re.compile(piece.encode()) for piece in pieces if piece)
    return max(literals, key=len), compiled


def _has_in_order(content: bytes, pieces: tuple[re.Pattern[bytes], ...]) -> bool:
    """Whether one line of ``content`` holds all pieces in order."""
    position = 0
    while first := pieces[0].search(content, position):
        line_end = content.find(b"\n", first.end())
        line_end = len(content) if line_end < 0 else line_end
        at = first.end()
        for piece in pieces[1:]:
            match = piece.search(content, at, line_end)
            if match is None:
                break
            at = match.end()
        else:
            return True
        position = line_end
    return False


def load(folder: str | None) -> Fingerprints:
    """Read the fingerprints of a folder; none where ``folder`` is empty.

    Raises:
        ParameterError: the folder holds neither file, or a row cannot be used.
    """
    if not folder:
        return Fingerprints()
    files = [Path(folder) / _DNS_FILE, Path(folder) / _HTTP_FILE]
    if not any(file.is_file() for file in files):
        raise ParameterError("FINGERPRINTS", folder, f"a folder with {_DNS_FILE} or {_HTTP_FILE}")
    dns, http = (_read(file) if file.is_file() else () for file in files)
    return Fingerprints(dns=dns, http=http)


def _read(file: Path) -> tuple[Fingerprint, ...]:
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            rows = csv.DictReader(stream)
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
    countries = {code.strip().upper() for code in cells["expected_countries"].split(",")}
    return Fingerprint(
        name=cells["name"],
        scope=cells["scope"],
        location_found=cells["location_found"],
        pattern_type=cells["pattern_type"],
        pattern=cells["pattern"],
        expected_countries=tuple(sorted(countries - {"", "ZZ"})),
    )
