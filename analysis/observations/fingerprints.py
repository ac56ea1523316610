"""OONI's fingerprints of block pages and block addresses, and matching them.

The lists are OONI-shaped CSVs (``fingerprints_dns.csv``, ``fingerprints_http.csv``). A match is
evidence, not a verdict: only :meth:`Fingerprints.confirms` repeats what OONI publishes.

All literal patterns of one location (the body, one header) are found in one Aho-Corasick pass. The
few regular expressions are looked for by their longest literal, and then by RE2, in linear time: a
page may be written to make a backtracking matcher hang.
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

#: Bounds of a list; OONI's has 400 KB, patterns of 831 characters, expressions of 82, and three
#: patterns at most that end alike.
LIST_LIMIT, PATTERN_LIMIT, REGEXP_LIMIT, ALIKE_LIMIT = 4_000_000, 2_000, 200, 16
_WINDOW = 1 << 15  # bytes of a page that are looked at in one go
_DFA_LIMIT = 200_000  # bytes of patterns; a DFA takes a KB for each

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

    @property
    def is_empty(self) -> bool:
        return not (self.dns or self.http)

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """Names of those that match nothing: expressions of more than is searched for."""
        return tuple(one.name for one in self.http if _literal(one) is None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that matching depends on; the same whatever the order of the rows."""
        rows = sorted(
            [f.location_found, f.pattern_type, f.pattern, f.name, f.scope, *f.expected_countries]
            for f in (*self.dns, *self.http)
        )
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @cached_property
    def dns_names(self) -> Mapping[str, Sequence[str]]:
        """Names by the answer (an address or a host name) that they stand for."""
        names: dict[str, list[str]] = {}
        for fingerprint in self.dns:
            names.setdefault(fingerprint.pattern, []).append(fingerprint.name)
        return names

    @cached_property
    def header_names(self) -> frozenset[str]:
        """Lower-case names of the headers that some fingerprint looks at."""
        places = (location.partition(".") for location in self.matchers)
        return frozenset(name for kind, _, name in places if kind == "header" and name)

    @cached_property
    def matchers(self) -> Mapping[str, "_Matcher"]:
        found: dict[str, list[Fingerprint]] = {}
        for fingerprint in self.http:
            found.setdefault(fingerprint.location_found.lower(), []).append(fingerprint)
        return {location: _Matcher(known) for location, known in found.items()}

    def match(self, location: str, content: bytes) -> list[str]:
        """Names of the fingerprints found in a body (``body``) or header (``header.<name>``)."""
        matcher = self.matchers.get(location)
        return matcher.names_in(content) if matcher else []

    def confirms(self, names: Iterable[str], probe_cc: str) -> bool:
        """Whether OONI calls a measurement with these matches confirmed blocked.

        One match is enough whose expected countries include the probe's, or whose scope is
        ``isp`` or ``nat``: then the countries do not matter.
        """
        known = (self._by_name[name] for name in names if name in self._by_name)
        return any(
            match.scope in _CONFIRMING_SCOPES
            or (probe_cc != "ZZ" and probe_cc in match.expected_countries)
            for match in known
        )

    @cached_property
    def _by_name(self) -> Mapping[str, Fingerprint]:
        return {f.name: f for f in (*self.dns, *self.http)}

    def __reduce__(self) -> tuple[object, ...]:
        # Automata cannot be pickled; each worker builds its own.
        return Fingerprints, (self.dns, self.http)


class _Matcher:
    """All patterns of one location."""

    def __init__(self, fingerprints: Iterable[Fingerprint]) -> None:
        found = [(literal, one) for one in fingerprints if (literal := _literal(one))]
        self.literals = [literal.encode() for literal, _ in found]
        self._targets = [one for _, one in found]
        self._longest = max(map(len, self.literals), default=0)

    @cached_property
    def _automaton(self) -> BytesAhoCorasick:
        # The DFA takes tens of MB for OONI's list, and scans more than twice as fast.
        is_small = sum(map(len, self.literals)) <= _DFA_LIMIT
        chosen = Implementation.DFA if is_small else Implementation.ContiguousNFA
        return BytesAhoCorasick(self.literals, implementation=chosen)

    def most_at_once(self) -> int:
        """How many patterns can end at one place of a page: those that end like the same one."""
        ends = Counter(self.literals)
        return max((sum(ends[one[n:]] for n in range(len(one))) for one in ends), default=0)

    def names_in(self, content: bytes, begin: int = 0) -> list[str]:
        """Sorted names of what is found in ``content`` from ``begin`` on."""
        names: set[str] = set()
        done: set[int] = set()
        for at in range(begin, len(content) if self.literals else 0, _WINDOW):
            window = content[at : at + _WINDOW + self._longest - 1]
            hits = self._automaton.find_matches_as_indexes(window, overlapping=True)
            for index, start, end in hits:
                if index not in done:
                    if _is_found(self._targets[index], content, at + start, at + end):
                        names.add(self._targets[index].name)
                    done.add(index)
            if len(hits) > _WINDOW:  # a page that is full of them: go on without these
                rest = (one for n, one in enumerate(self._targets) if n not in done)
                return sorted(names.union(_Matcher(rest).names_in(content, at + _WINDOW)))
        return sorted(names)


def _is_found(one: Fingerprint, content: bytes, start: int, end: int) -> bool:
    """Whether a pattern is in a page, where the first of its literal is known."""
    if one.pattern_type == "regexp":
        page = pa.array([content], pa.binary())
        return bool(pc.match_substring_regex(page, one.pattern)[0].as_py())
    is_whole = start == 0 and (one.pattern_type == "prefix" or end == len(content))
    return one.pattern_type == "contains" or is_whole


def _literal(one: Fingerprint) -> str | None:
    """The pattern; of a regular expression of literals, ``.`` and ``.*`` its longest literal, and
    None where it holds anything else.
    """
    if one.pattern_type != "regexp":
        return one.pattern
    if re.search(r"\{[0-9]", one.pattern):
        return None
    literals = [""]
    for token in re.findall(r"\\.|\.\*|.", one.pattern, re.DOTALL):
        if token in (".", ".*"):
            literals.append("")
        elif (token[0] == "\\" and not _is_mark(token[1:])) or token in "[]()*+?|^$\n":
            return None
        else:
            literals[-1] += token[-1]
    return max(literals, key=len)


def _is_mark(escaped: str) -> bool:
    """Whether a backslash before it means the character itself."""
    return escaped.isascii() and not escaped.isalnum()


def load(folder: str | None) -> Fingerprints:
    """Read the fingerprints of a folder; none where ``folder`` is empty.

    Raises:
        ParameterError: the folder holds neither file, a row cannot be used, or patterns are too
            large, or too many that end alike.
    """
    if not folder:
        return Fingerprints()
    files = [Path(folder) / _DNS_FILE, Path(folder) / _HTTP_FILE]
    if not any(file.is_file() for file in files):
        raise ParameterError("FINGERPRINTS", folder, f"a folder with {_DNS_FILE} or {_HTTP_FILE}")
    dns, http = (_read(file) if file.is_file() else () for file in files)
    known = Fingerprints(dns=dns, http=http)
    for location, matcher in known.matchers.items():
        alike = matcher.most_at_once()
        if alike > ALIKE_LIMIT:
            what = f"{alike} patterns of {location} end alike; {ALIKE_LIMIT} are accepted"
            raise ParameterError("FINGERPRINTS", files[1], what)
    return known


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
