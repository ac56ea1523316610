"""``doctor``: a check in two minutes and a few MB of what a run needs.

Nothing is stored. Each finding is *ok*, *look* (a run would work, but could be improved) or *stop*
(a run would fail), with the next step.
"""

import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
import stamina

from analysis.commands.settings import Settings
from analysis.errors import RESUMES, ContractError, SourceError, printable
from analysis.pages.paper import find_browser
from analysis.period import Period, today
from analysis.planning.ranking import EVERYDAY
from analysis.reference.networks import describe, load_network_names, load_networks
from analysis.reference.reference_files import held
from analysis.report.fields_met import count_fields_met, name_changes, read_fields_met
from analysis.sources import api, reference_data
from analysis.sources.archive_files import (
    FOLDERS,
    OONI,
    WEB,
    ArchiveObject,
    CannotRead,
    find_test,
    holds_country,
    parse_receipt,
)
from analysis.sources.buckets import Scope, Source, open_source
from analysis.sources.web import CONNECTIONS, Deadline, Limits, Server, at_once, find_proxy
from analysis.store.database import IN_PERIOD, observations_from_table
from analysis.store.ingestion import say_none_found, silent
from analysis.store.lines import read_files
from analysis.store.shares import MANIFEST, is_stored
from analysis.store.store import Store
from analysis.study.parameters import find_lists, replies_folder, wants_snapshot
from analysis.study.study import read_reported_names
from analysis.tables import tell_cells, tell_network
from analysis.temporary_folders import TemporaryFolder

#: Time limits in seconds: for the list servers and the API, for the listing, for the objects.
_ASKING, _LISTING, _FETCHING = 20.0, 40.0, 30.0
#: Days of OONI's archive that are listed, objects that are read, and their largest size in bytes.
#: The days are as many as one server is asked for at the same time, so that they take one round.
_DAYS, _SAMPLED, _LARGEST = CONNECTIONS, 8, 1_000_000
#: Bytes of a measurement in the store and in the tables made from it; bytes of a report.
_ROW_BYTES, _REPORT_BYTES = 720, 1_000_000_000
_MEMORY = 4_000_000_000  # bytes
_CLOCK = 120  # seconds by which a clock may be off
_MOST = 8  # names in a line
_TRY = "try another line, HTTPS_PROXY=…, a mirror, or a copy in a folder (docs/commands.md)"
_LATER = "try again in an hour"
_NEWER = "use a newer version of the workbook: a run would be refused likewise"

Level = Literal["ok", "look", "stop"]
_Item = TypeVar("_Item")


class Finding(NamedTuple):
    """Line of the result."""

    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level:<6}{printable(self.text)}"


def examine(settings: Settings) -> Iterator[Finding]:
    """Iterate over the findings about a run with these settings, in the order of its steps.

    Raises:
        ParameterError: a parameter or a list is wrong.
    """
    yield from _examine_machine()
    # A server may ask for pauses of minutes; a check makes three attempts without any.
    with (
        stamina.set_testing(True, attempts=3),
        TemporaryFolder("workbook-doctor-") as folder,
    ):
        yield from _ask_servers(settings)
        yield from _examine_source(settings, folder)


def _examine_machine() -> Iterator[Finding]:
    """Iterate over findings about Python, memory and Chromium."""
    yield Finding("ok", f"Python {sys.version.split()[0]}")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    enough: Level = "ok" if memory >= _MEMORY else "look"
    advice = "" if enough == "ok" else "; give JOBS=1, or a shorter period (docs/scale.md)"
    yield Finding(enough, f"{memory / 1e9:,.1f} GB of memory{advice}")
    try:
        find_browser()
    except SourceError as error:
        yield Finding("look", f"{error} A report does without")


# --- the servers ----------------------------------------------------------------------------------


class _Request(NamedTuple):
    """Request to a server.

    Attributes:
        subject: name of the data.
        urls: URLs, each of which is tried if the one before it fails.
        without: *look* if a run works without the data, else *stop*.
        may_lack: whether the server may have no data of this country.
        read: raises an error if status and body of a reply are wrong.
    """

    subject: str
    urls: tuple[str, ...]
    without: Level
    may_lack: bool = False
    read: Callable[[int, bytes], object] | None = None


def _ask_servers(settings: Settings) -> Iterator[Finding]:
    """Iterate over findings about the API and the list servers, each of which is asked once."""
    study, requests = settings.study, []
    if study.source == OONI:
        questions, has_all = _find_questions(settings)
        if not questions:
            yield Finding("ok", "OONI's counts of this period are in the store")
        for question in questions:
            without: Level = "look" if has_all else "stop"
            read, subject = partial(_read_counts, question), f"OONI's API for {question.what}"
            requests.append(_Request(subject, tuple(question.urls()), without, read=read))
    if wants_snapshot(study) and not study.reference:
        is_held = bool(held(study.probe_cc))
        for item in reference_data.items(study.probe_cc, today()):
            without = "look" if item.may_fail or is_held else "stop"
            urls = (item.urls[-1],)
            requests.append(_Request(f"the {item.role}", urls, without, item.may_not_exist))
    if not requests:
        return
    yield Finding("ok", f"the proxy that servers are asked through: {find_proxy() or 'none'}")
    server = Server("checks whether it answers", "gzip", Limits(10.0, 10.0, _ASKING))
    ahead: list[float] = []
    with closing(at_once(partial(_ask, server, ahead), requests, server.stop)) as answers:
        yield from sorted(finding for _, finding in answers)
    if ahead:
        off = min(ahead, key=abs)
        advice = "; set it, or days are cut wrongly" if abs(off) > _CLOCK else ""
        yield Finding(
            "look" if advice else "ok",
            f"this machine's clock differs from the servers' by {abs(off):,.0f} seconds{advice}",
        )


def _find_questions(settings: Settings) -> tuple[list[api.Question], bool]:
    """Return a day of each kind of question to OONI's API, and whether old replies suffice."""
    study = settings.study
    questions = api.of_country(study.probe_cc, study.period)
    if not study.test_counts:
        questions += api.of_every_country(study.period)
    unanswered, has_all = api.find_unasked(replies_folder(study.store), questions)
    kinds = {question.what: question for question in reversed(unanswered)}
    return [
        replace(question, period=Period.ending(question.period.since + timedelta(days=1), 1))
        for question in sorted(kinds.values(), key=lambda question: question.what)
    ], has_all


def _read_counts(question: api.Question, status: int, body: bytes) -> None:
    """Raise the errors that a run would raise for a reply of the API."""
    api.refuse("OONI's API", status, body)
    question.read(body)


def _ask(server: Server, ahead: list[float], request: _Request) -> Finding:
    """Send a request and return the finding.

    Append to ``ahead`` the seconds by which this machine's clock is ahead of the server's.
    """
    deadline = server.deadline(_ASKING, f"no answer within {_ASKING:g} seconds")
    troubles, step = [], _TRY
    for url in request.urls:
        where = f"{request.subject} ({urlsplit(url).netloc})"
        try:
            return Finding("ok", f"{where} {_ask_server(server, ahead, request, url, deadline)}")
        except (CannotRead, ContractError, SourceError, ValueError) as error:
            troubles.append(f"{where}: {_shorten(error)}")
            if isinstance(error, SourceError):
                step = _LATER if RESUMES in str(error) else _NEWER
    if request.without == "look":
        step = "a run goes on without"
    return Finding(request.without, f"{'; '.join(troubles)}; {step}")


def _ask_server(
    server: Server, ahead: list[float], request: _Request, url: str, deadline: Deadline
) -> str:
    """Return the words for a correct reply; an error is raised for any other.

    Raises:
        CannotRead: the reply is a web page or has another status than 200.
    """
    with closing(server.open(url, deadline, accepts=range(200, 600))) as reply:
        if sent := reply.headers.get("Date"):
            ahead.append(time.time() - parsedate_to_datetime(sent).timestamp())
        if reply.status == 404 and request.may_lack:
            return "answers: none for this country"
        if "text/html" in reply.headers.get("Content-Type", ""):
            raise CannotRead("it sends a web page, as the login of a network does")
        if request.read:
            request.read(reply.status, b"".join(reply.blocks(_LARGEST, deadline)))
        elif reply.status != 200:
            raise CannotRead(f"it answers {reply.status}")
    return "answers"


def _shorten(error: Exception) -> str:
    """Return an error's message without the sentence on running the command again."""
    return str(error).removesuffix(".").removesuffix(f". {RESUMES}")


# --- the source -----------------------------------------------------------------------------------


def _examine_source(settings: Settings, folder: Path) -> Iterator[Finding]:
    """Iterate over findings about the size of a source and the content of some objects."""
    code, study = settings.study.probe_cc, settings.study
    if settings.is_embedded and not Path(study.source).is_dir():
        yield Finding("ok", "the fictional country is not there yet; 'make report' simulates it")
        return
    listing = list_days(settings, folder)
    listed, sampled = listing.objects, listing.days
    if listing.troubles:
        days_failed = f"{len(listing.troubles)} of {len(sampled)} sampled days: " if listed else ""
        level: Level = "look" if listed else "stop"
        yield Finding(level, f"{days_failed}{listing.troubles[0]}; {_TRY}")
    if not listed:
        return
    scale = listing.scale
    objects = [item for items in listed for item in items]
    archived = [item for item in objects if find_test(item.key)]
    if archived:
        size = sum(item.size for item in archived) * scale
        estimated = f", estimated from {len(listed)} days of the period" if scale > 1 else ""
        yield Finding(
            "ok",
            f"{len(archived) * scale:,.0f} objects of {size / 1e6:,.0f} MB for {code}{estimated}",
        )
        source = _open(study.source, code, folder, listing.windows[0])
        whole = _Whole(size, listing.seconds * scale, is_listed=scale == 1.0)
        yield from _examine_objects(settings, source, archived, whole, folder)
    elif objects:
        yield Finding("ok", "a share or another store: it is imported, and nothing is read here")
    elif study.source == OONI:
        some_days = ", ".join(map(str, sampled))
        yield Finding(
            "look",
            f"OONI's archive has nothing of {code} on the days that were listed, {some_days}: "
            "there is no report if the whole period is so; check PROBE_CC, SINCE and UNTIL",
        )
    else:
        yield Finding("stop", say_none_found(study.source, code, None))


class Listing(NamedTuple):
    """Days of a source that were listed.

    Attributes:
        days: the days, a few of the period for OONI's archive.
        objects: of each day that could be listed.
        troubles: the errors of the others.
        scale: how many times as many a run reads.
        seconds: the listing took.
    """

    days: Sequence[date]
    objects: Sequence[Sequence[ArchiveObject]]
    troubles: Sequence[str]
    scale: float
    seconds: float

    @property
    def windows(self) -> list[Period]:
        """The days as periods."""
        return [Period(day, day + timedelta(days=1)) for day in self.days]


def list_days(settings: Settings, folder: Path) -> Listing:
    """List a few days of OONI's archive, or another source, to estimate what a run reads."""
    study = settings.study
    days = [day for day in study.period.days() if day <= today()]
    sampled = spread(days, _DAYS) if study.source == OONI else [study.period.since]
    empty = Listing(sampled, [], [], 1.0, 0.0)
    sources = [_open(study.source, study.probe_cc, folder, window) for window in empty.windows]
    started = time.monotonic()
    listed, troubles = _list(sources, study.probe_cc)
    # A run also reads days after the period from OONI's archive.
    margin = [d for d in study.period.extended(study.receipt_margin).days() if d <= today()]
    scale = len(margin) / len(listed) if listed and study.source == OONI else 1.0
    return Listing(sampled, listed, troubles, scale, time.monotonic() - started)


def spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """Return ``count`` items at equal distances, or all items if there are fewer."""
    taken = min(count, len(items))
    return [items[(2 * number + 1) * len(items) // (2 * taken)] for number in range(taken)]


def _open(uri: str, probe_cc: str, folder: Path, window: Period) -> Source:
    return open_source(uri, Scope(probe_cc, window, Store(str(folder)), silent))


def _list(sources: Sequence[Source], probe_cc: str) -> tuple[list[list[ArchiveObject]], list[str]]:
    """List sources at the same time.

    Returns:
        The objects of each source that could be listed, and the errors of the others.
    """

    def find(source: Source) -> list[ArchiveObject] | str:
        def is_wanted(key: str) -> bool:
            is_object = holds_country(key, probe_cc, FOLDERS)
            return is_object or key == MANIFEST or is_stored(key, probe_cc, source.name)

        try:
            return source.objects(is_wanted)
        except SourceError as error:
            return _shorten(error)

    def stop() -> None:
        for source in sources:
            source.stop()

    with _time_limit(stop, _LISTING), closing(at_once(find, sources, stop)) as results:
        by_source = dict(results)
    listed = [by_source[source] for source in sources]
    return (
        [items for items in listed if not isinstance(items, str)],
        [why for why in listed if isinstance(why, str)],
    )


@contextmanager
def _time_limit(stop: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call ``stop`` after some seconds, unless the block has ended."""
    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Whole(NamedTuple):
    """Size of a run's input in bytes, the seconds to list it, and whether all was listed here."""

    size: float
    seconds: float
    is_listed: bool


def _is_received_in(period: Period, item: ArchiveObject) -> bool:
    received = parse_receipt(item.key)
    return received is not None and datetime.fromtimestamp(received.since, UTC).date() in period


def _examine_objects(
    settings: Settings,
    source: Source,
    objects: Sequence[ArchiveObject],
    whole: _Whole,
    folder: Path,
) -> Iterator[Finding]:
    """Read a few objects of different days, as a run would.

    Args:
        settings: settings of the run.
        source: source of the objects.
        objects: the objects that were listed.
        whole: size of the run's input.
        folder: folder for the objects while they are read.
    """
    sites = [item for item in objects if find_test(item.key) == WEB]
    small = [item for item in sites if 0 < item.size <= _LARGEST]
    inside = [item for item in small if _is_received_in(settings.study.period, item)]
    chosen = spread(inside or small, _SAMPLED)
    if not chosen:
        yield Finding("look", f"no object is smaller than {_LARGEST / 1e6:g} MB: none was read")
        return
    paths = {item: folder / f"{number}.jsonl.gz" for number, item in enumerate(chosen)}

    def fetch(item: ArchiveObject) -> str:
        try:
            source.fetch(item, paths[item])
        except (CannotRead, OSError) as error:
            return str(error)
        return ""

    started = time.monotonic()
    stop = source.stop
    with _time_limit(stop, _FETCHING), closing(at_once(fetch, chosen, stop)) as results:
        failed = {item: why for item, why in results if why}
    if failed:
        first = min(failed)
        # A run lists objects that it cannot read and goes on, unless most are unreadable.
        level: Level = "stop" if len(failed) == len(chosen) else "look"
        yield Finding(
            level,
            f"{len(failed)} of {len(chosen)} objects could not be read; {first.key}: "
            f"{failed[first]}. The same run later may read them",
        )
    read = [item for item in chosen if item not in failed]
    if not read:
        return
    fetched = time.monotonic()
    table, errors = read_files([paths[item] for item in read])
    sampled = sum(item.size for item in read)
    reading = (time.monotonic() - fetched) / (settings.jobs or os.cpu_count() or 1)
    seconds = max(fetched - started, reading) * whole.size / sampled + whole.seconds
    duration = f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
    yield Finding(
        "ok",
        f"listing and reading them takes about {duration} at the speed of {len(read)} objects "
        f"({sampled / 1e6:.1f} MB)",
    )
    lines = table.num_rows + len(errors)
    yield _examine_disk(settings, lines * whole.size / sampled, whole.size)
    is_all = whole.is_listed and len(read) == len(sites)
    reasons = Counter(e.error.partition(":")[0] for e in errors)
    yield from _examine_rows(settings, table, reasons, is_all)


def _examine_disk(settings: Settings, lines: float, size: float) -> Finding:
    """Return the finding about space for so many lines and, if raw files are kept, bytes."""
    if "://" in settings.study.store:
        return Finding("ok", f"the store is {urlsplit(settings.study.store).hostname}, not a disk")
    folder = Path(settings.study.store)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    needed = lines * _ROW_BYTES + _REPORT_BYTES + (size if settings.keep_raw else 0)
    space = f"{free / 1e9:,.1f} GB free at {folder}; some {needed / 1e9:,.1f} needed"
    if not os.access(folder, os.W_OK):
        return Finding("stop", f"nothing can be written to {folder}: give another STORE")
    if free < needed:
        return Finding("stop", f"{space}: make room, or give another STORE")
    return Finding("ok", space)


_EXTENT = """
SELECT string_agg(DISTINCT probe_cc, ', ' ORDER BY probe_cc),
  min(measurement_start_time)::DATE, max(measurement_start_time)::DATE FROM observations
"""


def _examine_rows(
    settings: Settings, table: pa.Table, reasons: Counter[str], is_all: bool
) -> Iterator[Finding]:
    """Iterate over findings about lines of the source: those that a run would keep, and changes.

    Args:
        settings: settings of the run.
        table: the observations.
        reasons: number of other lines by the ledger's reasons.
        is_all: whether these are all lines that a run would read.
    """
    period = settings.study.period
    scope = {"cc": settings.study.probe_cc, "since": period.since, "until": period.until}
    with closing(observations_from_table(table)) as connection:
        ((countries, first, last),) = connection.execute(_EXTENT).fetchall()
        connection.execute(
            f"DELETE FROM observations WHERE probe_cc <> $cc OR NOT {IN_PERIOD}", scope
        )
        ((row_count,),) = connection.execute("SELECT count(*) FROM observations").fetchall()
        reasons["other_country or out_of_period"] = table.num_rows - row_count
        lines = reasons.total() + row_count
        if not row_count:
            yield Finding(
                "stop" if is_all else "look",
                f"none of {lines:,} lines is a measurement of {settings.study.probe_cc} in the "
                f"period; they are of {countries}, from {first} to {last}: check PROBE_CC, SINCE "
                "and UNTIL",
            )
            return
        excluded = [f"{count:,} {reason}" for reason, count in sorted(reasons.items()) if count]
        broken = sum(reasons[name] for name in ("truncated_file", "not_json", "invalid"))
        level: Level = "look" if broken > row_count / 100 else "ok"
        words = f"; {', '.join(excluded)} (docs/tables.md)" if excluded else ""
        yield Finding(level, f"the ledger would keep {row_count:,} of {lines:,} lines{words}")
        versions = [str(version) for (version,) in connection.execute(_VERSIONS).fetchall()]
        yield Finding("ok", f"test versions: {_join(versions)}")
        yield _examine_fields(settings, connection)
        yield from _examine_networks(settings, connection)


def _examine_fields(settings: Settings, connection: duckdb.DuckDBPyConnection) -> Finding:
    """Return the finding about unknown fields, versions and failures."""
    changes, is_accepted = count_fields_met(connection), settings.study.accept_fields
    if not changes["is_too_much"].any():
        return Finding("ok" if changes.empty else "look", read_fields_met(changes))
    step = "Use a newer version of the workbook; ACCEPT_FIELDS=1 goes on"
    text = f"OONI's fields have changed: {name_changes(changes)}. {step}"
    return Finding("look" if is_accepted else "stop", text)


_VERSIONS = "SELECT DISTINCT coalesce(test_version, 'none') FROM observations ORDER BY 1"
_RESOLVERS = "SELECT DISTINCT resolver_asn FROM observations WHERE resolver_asn > 0 ORDER BY 1"
#: Networks on which fewer than a fifth of the measurements reached the site.
_UNREACHED = f"""
SELECT probe_asn FROM observations GROUP BY 1
HAVING count(*) >= {EVERYDAY}
  AND count(*) FILTER (NOT is_failure AND NOT is_anomaly) < count(*) / 5 ORDER BY 1
"""


def _examine_networks(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> Iterator[Finding]:
    """Iterate over findings about networks and resolvers without a name, and other gaps."""
    study = find_lists(settings.study)
    listed = load_networks(study.networks or None, study.probe_cc)
    registered = load_network_names(study.network_names).names
    reported = read_reported_names(connection)
    described = describe(reported, listed, registered, several_days=1)  # it reads few days
    unnamed = described["network"] == tell_cells(described["probe_asn"], "asn")
    for lacking, field in ((unnamed, "name"), (described["kind"] == "unknown", "kind")):
        asns = _join(map(tell_network, described.loc[lacking, "probe_asn"]))
        text = f"{lacking.sum()} of {len(described)} networks have no {field}"
        if asns:
            advice = "give NETWORKS=<CSV> (docs/user-guide.md, section 2)"
            yield Finding("look", f"{text}: {asns}; {advice}")
        else:
            yield Finding("ok", text)
    named = listed.networks.keys() | registered.keys() | reported.keys()
    resolvers = [asn for (asn,) in connection.execute(_RESOLVERS).fetchall() if asn not in named]
    if resolvers:
        asns = _join(map(tell_network, resolvers))
        yield Finding("ok", f"resolvers of networks that no list names: {asns}")
    if unreached := connection.execute(_UNREACHED).fetchall():
        yield Finding(
            "look",
            f"on {_join(tell_network(asn) for (asn,) in unreached)} hardly any site was reached in "
            f"what was read: if only suspected sites are tested there, add {EVERYDAY} everyday "
            "sites (page 9 of the report offers some)",
        )


def _join(names: Iterable[str]) -> str:
    """Return the first names, and the number of the others."""
    every = list(names)
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + more
