"""What goes wrong between probes and the archive: duplicates, garbage, foreign lines.

Each fault comes back every forty sessions, so that even a short period holds all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from analysis.period import Period
from analysis.worlds.numbering import stream

Json = dict[str, Any]

_EVERY = 40


@dataclass(slots=True)
class Entry:
    """One line of the archive. ``reason`` is the ledger's; ``document`` is empty for a fault.

    ``is_sound`` where the measurement says what the network does.
    """

    line: bytes
    reason: str
    document: Json = field(default_factory=dict)
    is_sound: bool = False


class Spoiler:
    """Adds faults to the lines of each session, in turns."""

    def __init__(self, seed: int, period: Period) -> None:
        self._rng = stream(seed, "spoiling")
        self._period = period
        self._count = 0
        self._additions: dict[int, Callable[[Entry], Entry]] = {
            2: _cut,
            7: _list_instead,
            11: _odd_time,
            14: _other_test,
            19: _other_country,
            23: self._too_early,
            26: self._too_late,
        }

    def spoil(self, entries: list[Entry], receipt: datetime) -> list[tuple[datetime, Entry]]:
        """The entries of a session with their hours of receipt, faults included."""
        turn = self._count % _EVERY
        self._count += 1
        if turn == 5:
            _scrub(self._rng.choice(entries))
        if turn == 30:
            _lose_keys(self._rng.choice(entries))
        result = [(receipt, entry) for entry in entries]
        if turn in self._additions:
            extra = self._additions[turn](self._rng.choice(entries))
            result.insert(self._rng.randrange(len(result)), (receipt, extra))
        if turn in (16, 17):
            # The probe did not hear the collector's answer and uploads all of it again.
            again = receipt if turn == 16 else receipt + timedelta(days=1)
            result += [(again, Entry(entry.line, "duplicate")) for entry in entries[:9]]
        return result

    def _too_early(self, entry: Entry) -> Entry:
        """Kept on a device since before the period."""
        start = f"{self._period.since - timedelta(days=9)} 10:00:00"
        return _altered(entry, "out_of_period", measurement_start_time=start)

    def _too_late(self, entry: Entry) -> Entry:
        """A device whose clock runs days ahead."""
        start = f"{self._period.until} 00:00:00"
        return _altered(entry, "out_of_period", measurement_start_time=start)


def encode(document: Json) -> bytes:
    """A document as one line of JSON."""
    return msgspec.json.encode(document)


def _altered(entry: Entry, reason: str, **changes: object) -> Entry:
    return Entry(encode({**entry.document, **changes}), reason)


def _cut(entry: Entry) -> Entry:
    return Entry(entry.line[: len(entry.line) // 3], "not_json")


def _list_instead(entry: Entry) -> Entry:
    listed = [entry.document["report_id"], entry.document["input"]]
    return Entry(msgspec.json.encode(listed), "invalid")


def _odd_time(entry: Entry) -> Entry:
    return _altered(entry, "invalid", measurement_start_time="yesterday")


def _other_test(entry: Entry) -> Entry:
    keys = {"failure": None, "protocol": 7}
    return _altered(entry, "other_test", test_name="ndt", test_keys=keys, input=None)


def _other_country(entry: Entry) -> Entry:
    return _altered(entry, "other_country", probe_cc="AA")


def _lose_keys(entry: Entry) -> None:
    """The test crashed: the measurement has no test keys."""
    entry.document = {**entry.document, "test_keys": None}
    entry.line = encode(entry.document)
    entry.is_sound = False


def _scrub(entry: Entry) -> None:
    """The probe takes an answer for its own address and blots it out everywhere."""
    keys = entry.document["test_keys"]
    answers = [answer for query in keys["queries"] for answer in query["answers"] or ()]
    address = next((answer["ipv4"] for answer in answers if "ipv4" in answer), "")
    if address:
        entry.line = entry.line.replace(f'"{address}'.encode(), b'"[scrubbed]')
        entry.document = msgspec.json.decode(entry.line)
        entry.is_sound = False
