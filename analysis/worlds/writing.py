"""Writing a world: the archive, the reference data, and the truth."""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.worlds import reference
from analysis.worlds.app_tests import write_apps
from analysis.worlds.archive import compress, compress_cut, object_key, write_object
from analysis.worlds.cases import check_cases
from analysis.worlds.forgery import ForgedClaim, order_forgeries
from analysis.worlds.names import NAME_COUNT
from analysis.worlds.numbering import ACCESS_ASNS
from analysis.worlds.operators import NETWORK_COUNT, check_mechanisms
from analysis.worlds.spoiling import Entry, Spoiler, encode
from analysis.worlds.truth import Tally, known_signs, published_flag, write_truth
from analysis.worlds.world import (
    BATCH_SIZE,
    Batch,
    Design,
    World,
    forge,
    make_world,
    run_sessions,
)

FICTIONAL_CODES = ("AA", *(f"Q{letter}" for letter in "MNOPQRSTUVWXYZ"))
#: The hard cases of a world for which none are named.
USUAL_CASES = ("exam_hours",)
_STAMP = "world.json"
_LINES_PER_OBJECT = 120
#: Objects with forged reports are numbered from here on.
_FORGED_OBJECTS = 50
_ORDERED_OBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """What a world holds. ``is_new`` is false where an equal one was there already."""

    path: Path
    is_new: bool
    parameters: dict[str, Any]
    object_count: int
    line_count: int
    measurement_count: int
    block_count: int


def write_world(
    out: Path | str,
    *,
    probe_cc: str = "QQ",
    since: str | date = "2024-01-01",
    until: str | date = "2025-01-01",
    seed: int = 1,
    sessions_per_day: float = 4.5,
    scale: float = 1.0,
    coverage: float = 1.0,
    network_count: int = NETWORK_COUNT,
    name_count: int = NAME_COUNT,
    mechanisms: Sequence[str] | None = None,
    new_share: float | None = None,
    flaky_share: float | None = None,
    has_forgeries: bool = True,
    national_count: int = 0,
    cases: Sequence[str] = USUAL_CASES,
    has_apps: bool = False,
    app_seed: int | None = None,
) -> Summary:
    """Write a fictional country's archive, reference data and truth.

    Args:
        out: the folder; made whole or not at all. An equal world there is left alone.
        probe_cc: a fictional country code.
        since: first day, UTC.
        until: the day after the last.
        seed: shuffles names, addresses, days, and which network does what.
        sessions_per_day: sessions in the whole country on an average day.
        scale: multiplies the number of sessions.
        coverage: multiplies the number of names that a session tests.
        network_count: 6 to 32; other numbers than the usual change the cast.
        name_count: 40 to 400.
        mechanisms: the ways of blocking that exist; all that its networks know by default.
        new_share: share of probes that run web_connectivity 0.5.
        flaky_share: share of networks that are flaky.
        cases: names in ``cases.CASES``; what they add changes nothing else.
        national_count: sites that a gateway at the border blocks for all networks at once.
        has_apps: whether probes also test messaging apps and circumvention tools; nothing else
            depends on it.
        app_seed: draws which of these are blocked, where and when; without one it is the usual.
        has_forgeries: whether somebody submits forged reports. Nothing else depends on it.

    Raises:
        ParameterError: a parameter is wrong, or ``out`` holds something that is no world.
    """
    out = Path(out)
    period = Period.parse(since, until)
    names = None if mechanisms is None else tuple(sorted(mechanisms))
    design = Design(
        probe_cc, period, seed, network_count, name_count, names, new_share, flaky_share,
        has_forgeries, tuple(sorted(cases)), national_count,
    )  # fmt: skip
    _check(out, design, sessions_per_day, scale, coverage)
    parameters = {
        **asdict(design),
        "mechanisms": mechanisms if mechanisms is None else sorted(mechanisms),
        "cases": sorted(cases),
        "since": str(period.since),
        "until": str(period.until),
        "sessions_per_day": sessions_per_day,
        "scale": scale,
        "coverage": coverage,
        **({"has_apps": True} if has_apps else {}),
        **({} if app_seed is None else {"app_seed": app_seed}),
    }
    del parameters["period"]
    stamp = {"fictional": True, "parameters": parameters, "source_digest": source_digest()}
    written = _read_stamp(out)
    if written and {key: written[key] for key in stamp} == stamp:
        return Summary(out, False, parameters, **written["counts"])
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    world = make_world(design)
    batch_size = max(1, round(BATCH_SIZE * coverage))
    counts = _write(partial, world, sessions_per_day * scale, batch_size)
    if has_apps:
        write_apps(partial, world, app_seed)
    text = json.dumps({**stamp, "counts": counts}, indent=1, sort_keys=True)
    (partial / _STAMP).write_text(text + "\n", encoding="utf-8")
    _replace(partial, out)
    return Summary(out, True, parameters, **counts)


def add_forgeries(world: Path | str, out: Path | str, claims: Sequence[tuple[Any, ...]]) -> int:
    """Copy a world and submit forged reports to the copy, one report a claim and day.

    Args:
        world: a folder that ``write_world`` wrote.
        out: the copy; replaced if it is there.
        claims: what to forge, each a ``ForgedClaim`` or a tuple of the same.

    Returns:
        How many reports were forged. ``truth/forgeries.csv`` of the copy names them.

    Raises:
        ParameterError: ``world`` is none, or ``out`` holds something else.
    """
    source, out = Path(world), Path(out)
    stamp = _read_stamp(source)
    if stamp is None:
        raise ParameterError("world", world, f"a folder with {_STAMP} is wanted")
    _refuse_foreign(out)
    made = make_world(_design_of(stamp["parameters"]))
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    tally = Tally()
    wanted = [ForgedClaim(*claim) for claim in claims]
    orders = order_forgeries(wanted, made.networks, made.censorship, made.period)
    for number, forgery in enumerate(orders):
        batch = forge(made, forgery, number)
        lines = [encode(test.document) for test in batch.tests]
        key = object_key(made.probe_cc, _hour(batch.receipt), _ORDERED_OBJECTS + number)
        write_object(out / "archive", key, compress(lines))
        tally.note_session(batch)
    tally.append_forgeries(out / "truth")
    return len(orders)


def _design_of(parameters: dict[str, Any]) -> Design:
    known = {field.name for field in fields(Design)} & set(parameters)
    chosen = {name: parameters[name] for name in known}
    if chosen["mechanisms"] is not None:
        chosen["mechanisms"] = tuple(chosen["mechanisms"])
    chosen["cases"] = tuple(chosen["cases"])
    period = Period.parse(parameters["since"], parameters["until"])
    return Design(**chosen, period=period)


def source_digest() -> str:
    """A digest of this package's source: another version writes another world."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _check(
    out: Path, design: Design, sessions_per_day: float, scale: float, coverage: float
) -> None:
    if design.probe_cc not in FICTIONAL_CODES:
        raise ParameterError("PROBE_CC", design.probe_cc, "a fictional country is AA or QM to QZ")
    numbers = {"sessions_per_day": sessions_per_day, "scale": scale, "coverage": coverage}
    for name, number in numbers.items():
        if not 0 < number <= 1000:
            raise ParameterError(name, number, "a number above 0, at most 1000")
    _check_design(design)
    _refuse_foreign(out)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ParameterError("out", out, "a folder is wanted, this is a file")
    if out.is_dir() and any(out.iterdir()) and not (out / _STAMP).is_file():
        raise ParameterError("out", out, f"a folder that is empty or holds {_STAMP} is wanted")


def _check_design(design: Design) -> None:
    counts = {"network_count": (design.network_count, 6, len(ACCESS_ASNS)),
              "name_count": (design.name_count, 40, 400)}  # fmt: skip
    for name, (count, low, high) in counts.items():
        if not low <= count <= high:
            raise ParameterError(name, count, f"a whole number from {low} to {high}")
    for name, share in {"new_share": design.new_share, "flaky_share": design.flaky_share}.items():
        if share is not None and not 0 <= share <= 1:
            raise ParameterError(name, share, "a share from 0 to 1")
    check_mechanisms(design.mechanisms or ())
    check_cases(design.cases)


def _read_stamp(out: Path) -> dict[str, Any] | None:
    try:
        stamp = json.loads((out / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = ("fictional", "parameters", "source_digest", "counts")
    if not isinstance(stamp, dict) or not all(key in stamp for key in wanted):
        return None
    parts = (out / "archive" / "raw", out / "reference" / "networks.csv", out / "truth")
    return stamp if all(part.exists() for part in parts) else None


def _replace(partial: Path, out: Path) -> None:
    """Put the new world in the old one's place."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _write(folder: Path, world: World, rate: float, batch_size: int) -> dict[str, int]:
    writer = _Writer(folder, world)
    for batch in run_sessions(world, rate, batch_size):
        writer.add(batch)
    writer.finish()
    write_reference(folder / "reference", world)
    truth = folder / "truth"
    writer.tally.write(truth)
    write_truth(truth, world, writer.tally)
    return {
        "object_count": writer.object_count,
        "line_count": sum(writer.tally.ledger.values()),
        "measurement_count": writer.tally.ledger["kept"],
        "block_count": len(world.censorship.blocks),
    }


def write_reference(folder: Path, world: World) -> None:
    span, order = world.period.day_count, world.censorship.order_day
    days = [world.date_of(day) for day in (span // 8, order, int(span * 0.7))]
    lists = folder / "test-lists"
    reference.write_test_lists(lists, world.probe_cc, world.sites, world.period.since)
    reference.write_networks(folder / "networks.csv", world.networks)
    reference.write_fingerprints(folder / "fingerprints", world.probe_cc, world.censorship)
    reference.write_events(folder / "events.yml", *days)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0)


class _Writer:
    """Collects lines by hour of receipt and writes an hour's objects once it is over."""

    def __init__(self, folder: Path, world: World) -> None:
        self._root = folder / "archive"
        self._world = world
        self._spoiler = Spoiler(world.seed, world.period)
        self._pending: defaultdict[datetime, list[Entry]] = defaultdict(list)
        self._forged: defaultdict[datetime, list[Entry]] = defaultdict(list)
        self._known = known_signs(world.censorship)
        self._day = 0
        # One upload breaks off, somewhere around the middle.
        middle = world.date_of(world.period.day_count // 2)
        self._cut_from: datetime | None = datetime.combine(middle, time())
        self.object_count = 0
        self.tally = Tally()

    def add(self, batch: Batch) -> None:
        """Take one session's measurements; sessions come in order of their day."""
        if batch.day != self._day:
            self._flush(datetime.combine(self._world.date_of(batch.day), time()))
            self._day = batch.day
        entries = [
            Entry(encode(test.document), "kept", test.document, test.is_sound)
            for test in batch.tests
        ]
        self.tally.note_session(batch)
        if batch.forgery is not None:
            # In objects of their own, so that the honest ones are the same with and without.
            self._forged[_hour(batch.receipt)] += entries
            return
        for receipt, entry in self._spoiler.spoil(entries, batch.receipt):
            self._pending[_hour(receipt)].append(entry)

    def finish(self) -> None:
        """Write what is left, late uploads after the period's end included."""
        self._flush(None)

    def _flush(self, before: datetime | None) -> None:
        for pending, first in ((self._pending, 0), (self._forged, _FORGED_OBJECTS)):
            for hour in sorted(pending):
                if before is not None and hour >= before:
                    break
                entries = pending.pop(hour)
                for number, start in enumerate(range(0, len(entries), _LINES_PER_OBJECT), first):
                    self._write_object(hour, number, entries[start : start + _LINES_PER_OBJECT])

    def _write_object(self, hour: datetime, number: int, entries: list[Entry]) -> None:
        lines = [entry.line for entry in entries]
        if number < _FORGED_OBJECTS and self._is_cut(hour, entries):
            entries[-1].reason = "truncated_file"
            data = compress_cut(lines[:-1], lines[-1])
        else:
            data = compress(lines)
        write_object(self._root, object_key(self._world.probe_cc, hour, number), data)
        self.object_count += 1
        for entry in entries:
            self._count(entry)

    def _is_cut(self, hour: datetime, entries: list[Entry]) -> bool:
        if self._cut_from is None or hour < self._cut_from or len(entries) < 3:
            return False
        if entries[-1].reason != "kept":
            return False
        self._cut_from = None
        return True

    def _count(self, entry: Entry) -> None:
        if entry.reason != "kept":
            self.tally.ledger[entry.reason] += 1
            return
        document = entry.document
        flag = published_flag(document, self._known)
        month = document["measurement_start_time"][:7]
        self.tally.keep(month, flag, document, entry.is_sound)
