"""``doctor``: what a run would meet, said in two minutes and a few MB, before anybody waits for it.

Nothing is kept. Each finding is *ok*, *look* (a run goes on, and something would be better) or
*stop* (a run would fail), with the next step.
"""

import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import duckdb
import stamina

from analysis.commands.settings import Settings
from analysis.errors import RESUMES, ContractError, SourceError, printable
from analysis.observations.fields import find_changes
from analysis.observations.messaging_tests import BY_FOLDER
from analysis.pages.formats import list_fonts
from analysis.pages.paper import find_browser
from analysis.period import Period, today
from analysis.reference.networks import describe, load_network_names, load_networks
from analysis.reference.reference_files import held
from analysis.report.fields_met import count_fields_met, name_changes
from analysis.sources import api, layout, reference_data
from analysis.sources.archive_files import ArchiveObject, CannotRead, Folder
from analysis.sources.buckets import Scope, Source, open_source
from analysis.sources.layout import FOLDERS, OONI, WEB
from analysis.sources.web import Limits, Server, at_once
from analysis.store.database import IN_PERIOD, observations_from_table
from analysis.store.ingestion import silent
from analysis.store.lines import LINE_LIMIT, Decompressed, LineReader
from analysis.store.shares import MANIFEST, is_stored
from analysis.store.store import Row, table_of
from analysis.study.parameters import find_lists, wants_snapshot
from analysis.temporary_folders import TemporaryFolder

#: Seconds for the list servers and the API together, for the listing, and for the objects.
_ASKING, _LISTING, _FETCHING = 20.0, 40.0, 30.0
#: Days that are listed of OONI's archive, and objects that are read, of this size at most (bytes).
_DAYS, _SITES, _APPS, _LARGEST = 4, 8, 4, 1_000_000
#: Bytes of the store and of the tables made of it, for a measurement; and what a report takes.
_BYTES_OF_A_ROW, _BYTES_OF_A_REPORT = 720, 1_000_000_000
_MEMORY = 4_000_000_000  # bytes
_CLOCK = 120  # seconds by which a clock may be off
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")
_MOST = 8  # names in a line
_TRY = "try another line, HTTPS_PROXY=…, or a mirror (docs/commands.md)"

Level = Literal["ok", "look", "stop"]
_Item = TypeVar("_Item")


class Finding(NamedTuple):
    """One line of the doctor's."""

    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level:<6}{printable(self.text)}"


def examine(settings: Settings) -> Iterator[Finding]:
    """What a run with these settings would meet, in the order in which it would.

    Raises:
        ParameterError: a parameter or a list is wrong.
    """
    yield from _examine_machine(settings)
    # A server may ask for minutes between attempts; here are three, and no pause.
    with stamina.set_testing(True, attempts=3):
        yield from _ask_servers(settings)
        yield from _examine_source(settings)


def _examine_source(settings: Settings) -> Iterator[Finding]:
    """How much a source has, and what some of its objects hold."""
    if settings.is_embedded and not Path(settings.study.source).is_dir():
        yield Finding("ok", "the fictional country is not there yet; 'make report' simulates it")
        return
    window = _choose_window(settings)
    scope = Scope(settings.probe_cc, window, None, silent)
    source = open_source(settings.study.source, scope)
    try:
        with _time_limit(source, _LISTING):
            objects, share = _list_objects(settings, source, window)
    except SourceError as error:
        why = str(error).removesuffix(".").removesuffix(f". {RESUMES}")
        yield Finding("stop", f"{why}; {_TRY}")
        return
    archived = [item for item in objects if layout.find_test(item.key)]
    if not archived:
        yield _describe_other(settings, objects)
        return
    size, count = sum(i.size for i in archived) / share, len(archived) / share
    yield Finding(
        "ok",
        f"{count:,.0f} objects of {size / 1e6:,.0f} MB for {settings.probe_cc}"
        + (f", estimated from {_DAYS} days" if share < 1 else ""),
    )
    yield from _examine_objects(settings, source, archived, size)


# --- the machine ----------------------------------------------------------------------------------


def _examine_machine(settings: Settings) -> Iterator[Finding]:
    yield Finding("ok", f"Python {sys.version.split()[0]}")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    enough: Level = "ok" if memory >= _MEMORY else "look"
    advice = "" if enough == "ok" else "; give JOBS=1, or a shorter period (docs/scale.md)"
    yield Finding(enough, f"{memory / 1e9:,.1f} GB of memory{advice}")
    for lang in settings.languages:
        missing = [font.name for font in list_fonts(lang.code) if not font.is_file()]
        if missing:
            yield Finding("stop", f"no font {', '.join(missing)} for {lang.code}: 'make setup'")
    try:
        find_browser()
    except SourceError as error:
        yield Finding("look", f"{error} A report does without")


def _examine_disk(settings: Settings, lines: float, size: float) -> Finding:
    if "://" in settings.study.store:
        return Finding("ok", f"the store is {urlsplit(settings.study.store).hostname}, not a disk")
    place = Path(settings.study.store)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    needed = lines * _BYTES_OF_A_ROW + _BYTES_OF_A_REPORT + (size if settings.keep_raw else 0)
    if not os.access(place, os.W_OK):
        return Finding("stop", f"nothing can be written to {place}: give another STORE")
    if free < needed:
        return Finding(
            "stop",
            f"{free / 1e9:,.1f} GB are free at {place}, some {needed / 1e9:,.1f} GB are needed: "
            "make room, or give another STORE",
        )
    return Finding("ok", f"{free / 1e9:,.1f} GB free at {place}; some {needed / 1e9:,.1f} needed")


# --- the servers ----------------------------------------------------------------------------------


class _Asked(NamedTuple):
    """A server to be asked: what for, where, and what a run does without it."""

    what: str
    url: str
    without: Level
    may_lack: bool = False
    question: api.Question | None = None


def _ask_servers(settings: Settings) -> Iterator[Finding]:
    """Whether the API and the list servers answer, each asked once, and what their clocks say."""
    asked = list(_list_servers(settings))
    if not asked:
        return
    through = next((os.environ[name] for name in _PROXIES if os.environ.get(name)), "")
    proxy = through.rpartition("//")[2].rpartition("@")[2]  # without a password
    yield Finding(
        "ok",
        f"servers are asked through the proxy {proxy}"
        if proxy
        else "servers are asked without a proxy",
    )
    server = Server("checks whether it answers", "gzip", Limits(10.0, 10.0, _ASKING))
    clocks: list[float] = []
    with closing(at_once(partial(_ask, server, clocks), asked, server.stop)) as answers:
        yield from sorted(finding for _, finding in answers)
    if not clocks:
        return
    off = min(clocks, key=abs)
    if abs(off) > _CLOCK:
        side = "fast" if off > 0 else "slow"
        yield Finding(
            "look",
            f"this machine's clock is {abs(off) / 60:,.0f} minutes {side}: "
            "set it, or days are cut wrongly",
        )
    else:
        yield Finding("ok", "this machine's clock agrees with the servers")


def _list_servers(settings: Settings) -> Iterator[_Asked]:
    study = settings.study
    if study.source == OONI:
        day = study.period.since
        one_day = Period(day, day + timedelta(days=1))
        question = api.by_month(study.probe_cc, one_day)
        yield _Asked("OONI's API", question.url(), "stop", question=question)
    if wants_snapshot(study) and not study.reference:
        is_held = bool(held(study.probe_cc))
        for item in reference_data.items(study.probe_cc, today()):
            without: Level = "look" if item.may_fail or is_held else "stop"
            yield _Asked(f"the {item.role}", item.urls[-1], without, item.may_not_exist)


def _ask(server: Server, clocks: list[float], asked: _Asked) -> Finding:
    """Ask one server once; its clock is put among the ``clocks``."""
    where = f"{asked.what} ({urlsplit(asked.url).netloc})"
    started = time.monotonic()
    deadline = server.deadline(_ASKING, f"no answer within {_ASKING:g} seconds")
    try:
        with closing(server.open(asked.url, deadline, accepts=range(200, 600))) as reply:
            _read_clock(reply.headers.get("Date", ""), clocks)
            if reply.status == 404 and asked.may_lack:
                return Finding("ok", f"{where} answers: none for this country")
            if reply.status != 200:
                raise CannotRead(f"it answers {reply.status}")
            if "text/html" in reply.headers.get("Content-Type", ""):
                raise CannotRead("it sends a web page, as the login of a network does")
            if asked.question:
                asked.question.read(b"".join(reply.blocks(_LARGEST, deadline)))
    except (CannotRead, ContractError) as error:
        step = "a run goes on without" if asked.without == "look" else _TRY
        return Finding(asked.without, f"{where}: {error}; {step}")
    return Finding("ok", f"{where} answers within {time.monotonic() - started:.1f} seconds")


def _read_clock(text: str, clocks: list[float]) -> None:
    """How many seconds this machine is ahead of a server."""
    try:
        clocks.append(time.time() - parsedate_to_datetime(text).timestamp())
    except ValueError:
        return


@contextmanager
def _time_limit(source: Source, seconds: float) -> Iterator[None]:
    """Give a source up after some time."""
    timer = threading.Timer(seconds, source.stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# --- the source -----------------------------------------------------------------------------------


def _choose_window(settings: Settings) -> Period:
    """The days of receipt that a run asks OONI's archive for."""
    period = settings.period.extended(settings.study.receipt_margin)
    return Period(period.since, max(min(period.until, today()), period.since + timedelta(days=1)))


def _list_objects(
    settings: Settings, source: Source, window: Period
) -> tuple[list[ArchiveObject], float]:
    """The country's objects, and which share of all they are: OONI's archive is listed in part.

    Raises:
        SourceError: it cannot be listed.
    """
    code = settings.probe_cc
    wanted = partial(layout.holds_country, probe_cc=code, tests=FOLDERS)
    if settings.study.source != OONI or isinstance(source, Folder):
        # A share and another store are sources too.
        every = source.objects(
            lambda key: wanted(key) or key == MANIFEST or is_stored(key, code, source.name)
        )
        return every, 1.0
    days = list(window.days())
    chosen = _spread_over(days, _DAYS)
    now = datetime.now(UTC)
    prefixes = [prefix for day in chosen for prefix in layout.list_prefixes(day, code, now)]
    list_one = partial(source.list_below, wanted=wanted, hours=24)
    with closing(at_once(list_one, prefixes, source.stop)) as listed:
        objects = [item for _, items in listed for item in items]
    return sorted(objects), len(chosen) / len(days)


def _spread_over(items: Sequence[_Item], count: int) -> list[_Item]:
    """So many of some items, as far from each other as can be."""
    if len(items) <= count:
        return list(items)
    return [items[place * (len(items) - 1) // (count - 1)] for place in range(count)]


def _describe_other(settings: Settings, objects: Sequence[ArchiveObject]) -> Finding:
    """A source that is no archive: a share, or nothing of the country."""
    if objects:
        return Finding(
            "ok", "a share or another store: it is imported, and nothing of it is read here"
        )
    return Finding(
        "stop",
        f"{settings.study.source} holds nothing of {settings.probe_cc}: check PROBE_CC, SINCE and "
        "UNTIL, and that its keys are those of OONI's archive (docs/user-guide.md)",
    )


# --- some objects ---------------------------------------------------------------------------------


@dataclass
class _Sample:
    """What some objects hold.

    Attributes:
        rows: observations of web sites.
        reasons: the other lines, by the ledger's reasons.
        changes: fields of apps that are not as expected.
        size: compressed bytes of the objects that were read.
    """

    rows: list[Row] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    size: int = 0


def _examine_objects(
    settings: Settings, source: Source, objects: Sequence[ArchiveObject], size: float
) -> Iterator[Finding]:
    """Read a handful of objects, of different days and tests, as a run would."""
    small = [item for item in objects if 0 < item.size <= _LARGEST]
    sites = [item for item in small if layout.find_test(item.key) == WEB]
    apps = [item for item in small if layout.find_test(item.key) != WEB]
    chosen = [*_spread_over(sites, _SITES), *_spread_over(apps, _APPS)]
    if not chosen:
        yield Finding("look", f"no object is smaller than {_LARGEST / 1e6:g} MB: none was read")
        return
    sample, started = _Sample(), time.monotonic()
    with TemporaryFolder("workbook-doctor-") as folder:
        fetched = partial(_fetch, source, folder)
        with (
            _time_limit(source, _FETCHING),
            closing(at_once(fetched, chosen, source.stop)) as results,
        ):
            failed = {item.key: why for item, why in results if why}
        seconds = time.monotonic() - started
        for item in chosen:
            if item.key not in failed:
                _read_object(item, folder / _file_of(item), sample)
    if failed:
        key, why = min(failed.items())
        level: Level = "stop" if len(failed) > len(chosen) / 2 else "look"
        yield Finding(
            level,
            f"{len(failed)} of {len(chosen)} objects could not be read; {key}: "
            f"{why}. The same run later may read them",
        )
    if not sample.size:
        return
    reading = time.monotonic() - started - seconds
    per_byte = max(seconds, reading / (settings.jobs or os.cpu_count() or 1)) / sample.size
    yield Finding(
        "ok",
        f"reading them takes about {_in_words(size * per_byte)} at the speed of "
        f"{len(chosen) - len(failed)} objects ({sample.size / 1e6:.1f} MB)",
    )
    lines = sample.reasons.total() + len(sample.rows)
    yield _examine_disk(settings, lines * size / sample.size, size)
    yield from _examine_rows(settings, sample)


def _fetch(source: Source, folder: Path, item: ArchiveObject) -> str:
    """Put an object into a folder; why not, where it cannot be had."""
    try:
        source.fetch(item, folder / _file_of(item))
    except (CannotRead, OSError) as error:
        return str(error)
    return ""


def _file_of(item: ArchiveObject) -> str:
    return sha256(item.key.encode()).hexdigest()


def _read_object(item: ArchiveObject, path: Path, sample: _Sample) -> None:
    """Add to a sample what an object holds."""
    test = BY_FOLDER.get(layout.find_test(item.key) or "")
    reader = LineReader(received=layout.parse_receipt(item.key), test=test)
    sample.size += item.size
    with FileIO(path) as stream:
        for _, result in reader.read_all(Decompressed(stream)):
            if isinstance(result, str):
                sample.reasons[result.partition(":")[0]] += 1
            elif test:
                sample.reasons["kept"] += 1
            else:
                sample.rows.append(result)
    if test:
        with FileIO(path) as stream:
            first = BufferedReader(Decompressed(stream)).readline(LINE_LIMIT)
        sample.changes.update(find_changes(first, is_app=True))


def _examine_rows(settings: Settings, sample: _Sample) -> Iterator[Finding]:
    """What a run would keep, and what of it is not as known."""
    period, code = settings.period, settings.probe_cc
    scope = {"cc": code, "since": period.since, "until": period.until}
    with closing(observations_from_table(table_of(sample.rows))) as connection:
        connection.execute(
            f"DELETE FROM observations WHERE probe_cc <> $cc OR NOT {IN_PERIOD}", scope
        )
        ((kept,),) = connection.execute("SELECT count(*) FROM observations").fetchall()
        sample.reasons["other_country or out_of_period"] = len(sample.rows) - kept
        sample.reasons["kept"] += kept
        yield _describe_ledger(settings, sample.reasons)
        if sample.changes:
            yield Finding("look", f"not expected, of apps: {_list(sorted(sample.changes))}")
        if kept:
            yield from _examine_fields(settings, connection)
            yield from _examine_networks(settings, connection)


def _describe_ledger(settings: Settings, reasons: Counter[str]) -> Finding:
    lines, kept = reasons.total(), reasons["kept"]
    if not kept:
        return Finding(
            "stop",
            f"none of {lines:,} lines is a measurement of {settings.probe_cc} "
            "in the period: check PROBE_CC, SINCE and UNTIL",
        )
    others = [
        f"{count:,} {reason}"
        for reason, count in sorted(reasons.items())
        if count and reason != "kept"
    ]
    broken = sum(reasons[name] for name in ("truncated_file", "not_json", "invalid"))
    level: Level = "look" if broken > kept / 100 else "ok"
    told = f"; {', '.join(others)} (docs/tables.md)" if others else ""
    return Finding(level, f"the ledger would keep {kept:,} of {lines:,} lines{told}")


def _examine_fields(settings: Settings, connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Fields, versions and failures, as a run counts them."""
    met = count_fields_met(connection)
    versions = connection.execute(_VERSIONS).fetchall()
    yield Finding("ok", "test versions: " + _list(f"{name} ({n:,})" for name, n in versions))
    if met["is_too_much"].any():
        level: Level = "look" if settings.study.accept_fields else "stop"
        yield Finding(
            level,
            f"OONI's fields have changed: {name_changes(met)}. Use a newer "
            "version of the workbook; ACCEPT_FIELDS=1 goes on",
        )
    others = met[~met["is_too_much"].astype(bool)]
    if len(others):
        names = _list(others["kind"] + " " + others["name"])
        yield Finding("look", f"not expected, in few sessions: {names}")
    if met.empty:
        yield Finding("ok", "every field, test version and kind of failure is known")


_VERSIONS = """
SELECT coalesce(test_version, 'none'), count(*) FROM observations GROUP BY 1 ORDER BY 2 DESC, 1
"""


_NETWORKS = """
SELECT probe_asn, mode(probe_network_name ORDER BY probe_network_name) FROM observations GROUP BY 1
"""
_RESOLVERS = "SELECT DISTINCT resolver_asn FROM observations WHERE resolver_asn > 0"


def _examine_networks(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> Iterator[Finding]:
    """Networks without a name or a kind, and resolvers of networks that nothing names."""
    study = find_lists(settings.study)
    listed = load_networks(study.networks or None, study.probe_cc)
    registered = load_network_names(study.network_names).names
    reported = dict(connection.execute(_NETWORKS).fetchall())
    described = describe(reported, listed, registered)
    unnamed = described[described["network"] == "AS" + described["probe_asn"].astype(str)]
    unknown = described[described["kind"] == "unknown"]
    advice = "give NETWORKS=<CSV> (docs/user-guide.md, section 2)"
    for frame, what in ((unnamed, "name"), (unknown, "kind")):
        if len(frame):
            asns = _list("AS" + frame["probe_asn"].astype(str))
            yield Finding(
                "look",
                f"{len(frame)} of {len(described)} networks have no {what}: {asns}; {advice}",
            )
    if unnamed.empty and unknown.empty:
        yield Finding("ok", f"{len(described)} networks, each with name and kind")
    known = listed.networks.keys() | registered.keys() | reported.keys()
    resolvers = {asn for (asn,) in connection.execute(_RESOLVERS).fetchall()}
    others = sorted(resolvers - known)
    if others:
        yield Finding(
            "ok", "resolvers of networks that no list names: " + _list(f"AS{asn}" for asn in others)
        )


def _list(names: Iterable[str]) -> str:
    """Some names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + more


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
