"""Writing of a world: the archive, the reference data, and the truth.

In ``write_world`` probes work through the list by themselves. For ``Volunteers``, the caller
decides from the measurements so far what to test next, so the days are written one by one.
"""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.worlds.apps import write_apps
from analysis.worlds.archive import (
    Entry,
    Spoiler,
    compress,
    compress_cut,
    write_object,
)
from analysis.worlds.country import Network, Site, stream
from analysis.worlds.truth import (
    Tally,
    write_reference,
    write_truth,
)
from analysis.worlds.world import (
    Batch,
    Design,
    World,
    make_world,
    measure_site,
    open_session,
    run_sessions,
)

_DEFAULT_CODE = "QQ"
FICTIONAL_CODES = ("AA", *(f"Q{letter}" for letter in "MNOPQRSTUVWXYZ"))
_STAMP = "world.json"
#: After so long, a measurement's time and its receipt disagree.
_LATE = timedelta(days=2)
_NEVER = datetime.fromisoformat("9999-12-31")
_LINES_PER_OBJECT = 120
#: The first number of objects with forged reports.
_FORGED_OBJECTS = 50


def write_shipped_country(
    out: str | Path, probe_cc: str, since: str | date, until: str | date
) -> None:
    """Write the fictional country of ``make report``, with tests of apps.

    Another code than the default gives a neighbour: the same sites and networks, other blocks.
    """
    number = FICTIONAL_CODES.index(probe_cc) if probe_cc in FICTIONAL_CODES else 0
    write_world(
        out,
        probe_cc=probe_cc,
        since=since,
        until=until,
        has_apps=True,
        cases=("exam_hours", "one_second"),
        block_seed=None if probe_cc == _DEFAULT_CODE else 100 + number,
    )


def write_world(
    out: Path | str,
    *,
    probe_cc: str = _DEFAULT_CODE,
    since: str | date = "2024-01-01",
    until: str | date = "2025-01-01",
    **options: Any,
) -> dict[str, int]:
    """Write a fictional country's archive, reference data and truth.

    Args:
        out: the folder; made whole or not at all. An identical world in it is kept.
        probe_cc: a fictional country code.
        since: first day, UTC.
        until: the day after the last.
        options: further attributes of ``Design``.

    Returns:
        ``line_count``, ``measurement_count`` and ``block_count`` of the world.

    Raises:
        ParameterError: a parameter is wrong, or ``out`` contains something other than a world.
    """
    out = Path(out)
    if probe_cc not in FICTIONAL_CODES:
        raise ParameterError("PROBE_CC", probe_cc, "a fictional country is AA or QM to QZ")
    design = Design(probe_cc, Period.parse(since, until), **options)
    is_world = (out / _STAMP).is_file()
    if out.exists() and not is_world and (out.is_file() or any(out.iterdir())):
        raise ParameterError("out", out, f"a folder that is empty or holds {_STAMP} is wanted")
    parameters = json.loads(json.dumps(asdict(design), default=str))
    stamp = {"fictional": True, "parameters": parameters, "source_digest": source_digest()}
    if is_world:
        written = json.loads((out / _STAMP).read_text(encoding="utf-8"))
        if all(written.get(key) == stamp[key] for key in stamp):
            counts: dict[str, int] = written["counts"]
            return counts
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    world = make_world(design)
    counts = _write(partial, world)
    if design.has_apps:
        write_apps(partial, world)
    text = json.dumps({**stamp, "counts": counts}, indent=1, sort_keys=True)
    (partial / _STAMP).write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return counts


def source_digest() -> str:
    """Return a digest of this package's source, because another version writes another world."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.*")):
        if path.suffix in (".py", ".sql"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _write(folder: Path, world: World) -> dict[str, int]:
    writer = _Writer(folder, world)
    for batch in run_sessions(world):
        writer.add(batch)
    writer.flush(_NEVER)  # with late uploads after the period's end
    write_reference(folder / "reference", world)
    write_truth(folder / "truth", world, writer.tally)
    return {
        "line_count": sum(writer.tally.ledger.values()),
        "measurement_count": writer.tally.ledger["kept"],
        "block_count": len(world.censorship.blocks),
    }


class _Writer:
    """A writer that collects lines by hour of receipt and writes an hour's objects at its end."""

    def __init__(self, folder: Path, world: World) -> None:
        self._root = folder / "archive"
        self._world = world
        self._spoiler = Spoiler(world.design.seed, world.design.period)
        #: (hour, number of the first object) → lines
        self._pending: defaultdict[tuple[datetime, int], list[Entry]] = defaultdict(list)
        # One upload is truncated, around the middle of the period.
        self._cut_from = world.midnight(world.design.period.day_count // 2)
        self.tally = Tally()

    def add(self, batch: Batch) -> None:
        """Add one session's measurements; sessions must be in order of their day."""
        self.flush(self._world.midnight(batch.session.day))
        if batch.forgery is not None:
            self.tally.note_forgery(batch.session, batch.forgery)
            # In objects of their own, so that forgeries do not change the honest objects.
            hour = batch.receipt.replace(minute=0, second=0)
            self._pending[hour, _FORGED_OBJECTS] += batch.tests
            return
        spoilt = self._spoiler.spoil(
            batch.tests, batch.receipt, has_own_ids=batch.session.has_own_ids
        )
        for receipt, entry in spoilt:
            if receipt - batch.session.start > _LATE and entry.reason in ("kept", "duplicate"):
                entry.reason, entry.is_sound = "late", False
            self._pending[receipt.replace(minute=0, second=0), 0].append(entry)

    def flush(self, before: datetime) -> None:
        """Write the objects of all hours before a time."""
        for hour, first in sorted(key for key in self._pending if key[0] < before):
            entries = self._pending.pop((hour, first))
            for number, start in enumerate(range(0, len(entries), _LINES_PER_OBJECT), first):
                part = entries[start : start + _LINES_PER_OBJECT]
                is_cut = first == 0 and hour >= self._cut_from and len(part) >= 3
                self._write_object(hour, number, part, is_cut and part[-1].reason == "kept")

    def _write_object(
        self, hour: datetime, number: int, entries: list[Entry], is_cut: bool
    ) -> None:
        lines = [entry.line for entry in entries]
        data = compress(lines)
        if is_cut:
            self._cut_from = _NEVER
            entries[-1].reason = "truncated_file"
            data = compress_cut(lines[:-1], lines[-1])
        write_object(self._root, self._world.design.probe_cc, hour, number, data)
        for entry in entries:
            if entry.reason == "kept":
                self.tally.keep(entry.document, entry.is_sound)
            else:
                self.tally.ledger[entry.reason] += 1


_HOURS = (3, 9, 13, 19)


class Volunteers:
    """Volunteers who run one session a day on each access network of a country.

    Days, hours, probes and faults do not depend on the sites to test, so that two ways of choosing
    sites can be compared.
    """

    def __init__(
        self,
        folder: Path,
        probe_cc: str,
        period: Period,
        seed: int,
        network_count: int,
        name_count: int,
    ) -> None:
        """Write the reference data and the truth, without measurements."""
        design = Design(
            probe_cc,
            period,
            seed,
            network_count=network_count,
            name_count=name_count,
            has_forgeries=False,
            cases=(),
        )
        self._world, self._folder = make_world(design), folder
        self._networks = [network for network in self._world.networks if network.is_inside]
        self._turns = {network.asn: self._take_turns(network) for network in self._networks}
        write_reference(folder / "reference", self._world)
        write_truth(folder / "truth", self._world, Tally())

    def measure(
        self, days: range, wishes: Mapping[tuple[int, int], Sequence[str]], batch_size: int
    ) -> None:
        """Write the archive of some days, counted from the period's first.

        Args:
            days: the days after those already written.
            wishes: (day, network) → host names to test. If there are fewer than ``batch_size``,
                the list in turns supplies the rest, as for a probe by itself.
            batch_size: names that a session tests.
        """
        world, sites_by_host = self._world, self._world.internet.sites
        for day in days:
            for network in self._networks:
                hosts = wishes.get((day, network.asn), ())[:batch_size]
                # The plan may have a name that does not exist, which costs a test nevertheless.
                sites = [sites_by_host[host] for host in hosts if host in sites_by_host]
                sites += self._deal(network, batch_size - len(hosts), sites)
                rng = stream(world.design.seed, "volunteer session", day, network.asn)
                hour, minute = rng.choice(_HOURS), rng.randint(0, 44)
                start = world.midnight(day) + timedelta(hours=hour, minutes=minute)
                session = open_session(world, network, day, start, rng)
                data = compress(measure_site(session, site).line for site in sites)
                archive = self._folder / "archive"
                write_object(archive, world.design.probe_cc, start, network.asn, data)

    def _deal(self, network: Network, wanted: int, taken: Sequence[Site]) -> list[Site]:
        """Return the next names of the list, without those in ``taken``."""
        hand: list[Site] = []
        while len(hand) < wanted:
            site = next(self._turns[network.asn])
            if site not in taken and site not in hand:
                hand.append(site)
        return hand

    def _take_turns(self, network: Network) -> Iterator[Site]:
        """Repeat the list for ever, each time in another random order."""
        for turn in count(1):
            deck = list(self._world.sites)
            stream(self._world.design.seed, "deck", network.asn, turn).shuffle(deck)
            yield from reversed(deck)
