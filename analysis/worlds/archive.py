"""Lines and objects in the key layout of OONI's archive (``raw/`` since 2020-10-20).

Faults between probes and the archive are added here: duplicates, garbage, foreign lines. Each fault
is repeated every forty sessions, so that even a short period has all of them.
"""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import cycle
from pathlib import Path

import msgspec

from analysis.period import Period
from analysis.worlds.country import Json, stream

#: Level 6 takes twice the time of level 3 here and saves a tenth.
_LEVEL = 6
_EVERY = 40


def encode(document: Json) -> bytes:
    """Return a document as one line of JSON."""
    return msgspec.json.encode(document)


def write_object(
    root: Path,
    probe_cc: str,
    receipt: datetime,
    number: int,
    data: bytes,
    test: str = "webconnectivity",
) -> None:
    """Write one object, received in the hour of ``receipt``, under its key."""
    name = f"{receipt:%Y%m%d%H}_{probe_cc}_{test}.n0.{number}.jsonl.gz"
    path = root / f"raw/{receipt:%Y%m%d}/{receipt:%H}/{probe_cc}/{test}/{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def compress(lines: Iterable[bytes]) -> bytes:
    """Return a gzip object of the lines, with the same bytes at any time."""
    return gzip.compress(b"".join(line + b"\n" for line in lines), _LEVEL, mtime=0)


def compress_cut(lines: list[bytes], last: bytes) -> bytes:
    """Return an object that is truncated inside its last line, as by a broken upload.

    The complete lines are a member of their own, so that any reader gets them all.
    """
    member = compress([last])
    return compress(lines) + member[: len(member) // 2]


@dataclass(slots=True)
class Entry:
    """One line of the archive. ``reason`` is the ledger's; ``document`` is empty for a fault.

    ``is_sound``: nothing but, perhaps, a block interfered with the measurement.
    """

    line: bytes
    reason: str
    document: Json = field(default_factory=dict)
    is_sound: bool = False


class Spoiler:
    """A source of faults in the lines of each session, in turns."""

    def __init__(self, seed: int, period: Period) -> None:
        self._rng = stream(seed, "spoiling")
        self._turns = cycle(range(_EVERY))
        # Kept on a device since before the period; or with a clock that is days ahead.
        early, late = f"{period.since - timedelta(days=9)} 10:00:00", f"{period.until} 00:00:00"
        other_test = {
            "test_name": "ndt",
            "test_keys": {"failure": None, "protocol": 7},
            "input": None,
        }
        #: Turn → the ledger's reason, and the changed fields of the line.
        self._changes: dict[int, tuple[str, Json]] = {
            11: ("invalid", {"measurement_start_time": "yesterday"}),
            14: ("other_test", other_test),
            19: ("other_country", {"probe_cc": "AA"}),
            23: ("out_of_period", {"measurement_start_time": early}),
            26: ("out_of_period", {"measurement_start_time": late}),
        }

    def spoil(
        self, entries: list[Entry], receipt: datetime, *, has_own_ids: bool
    ) -> list[tuple[datetime, Entry]]:
        """Return the entries of a session with their times of receipt, and with faults.

        ``has_own_ids``: the server gives each measurement a report ID, even if it is repeated.
        """
        turn = next(self._turns)
        if turn == 5:
            _scrub(self._rng.choice(entries))
        if turn == 30:  # the test crashed
            entry = self._rng.choice(entries)
            entry.document = {**entry.document, "test_keys": None}
            entry.line, entry.is_sound = encode(entry.document), False
        result = [(receipt, entry) for entry in entries]
        if turn in (2, 7, *self._changes):
            extra = self._make_fault(turn, self._rng.choice(entries))
            result.insert(self._rng.randrange(len(result)), (receipt, extra))
        if turn in (16, 17):
            # The probe did not receive the collector's answer and uploads everything again.
            again = receipt if turn == 16 else receipt + timedelta(days=1)
            lines = [_resend(entry, has_own_ids=has_own_ids) for entry in entries[:9]]
            result += [(again, Entry(line, "duplicate")) for line in lines]
        return result

    def _make_fault(self, turn: int, entry: Entry) -> Entry:
        document = entry.document
        if turn == 2:
            return Entry(entry.line[: len(entry.line) // 3], "not_json")
        if turn == 7:
            return Entry(msgspec.json.encode([document["report_id"], document["input"]]), "invalid")
        reason, changes = self._changes[turn]
        return Entry(encode({**document, **changes}), reason)


def _resend(entry: Entry, *, has_own_ids: bool) -> bytes:
    """Return the line of a measurement that is sent again."""
    report_id = entry.document["report_id"].encode()
    if not (report_id and has_own_ids):
        return entry.line
    return entry.line.replace(
        report_id, report_id[:-16] + sha256(report_id).hexdigest()[:16].encode()
    )


def _scrub(entry: Entry) -> None:
    """Scrub an answer everywhere, as a probe does that mistakes it for its own address."""
    keys = entry.document["test_keys"]
    answers = [answer for query in keys["queries"] for answer in query["answers"] or ()]
    address = next((answer["ipv4"] for answer in answers if "ipv4" in answer), "")
    if address:
        entry.line = entry.line.replace(f'"{address}'.encode(), b'"[scrubbed]')
        entry.document = msgspec.json.decode(entry.line)
        entry.is_sound = False
