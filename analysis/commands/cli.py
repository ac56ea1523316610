"""The command line. Arguments are ``NAME=VALUE``, the same as make's variables."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

from analysis.commands.settings import VARIABLES, Settings, parse_settings, with_lists
from analysis.errors import RESUMES, ParameterError, SourceError, WorkbookError, printable

if TYPE_CHECKING:
    from analysis.store.collection import Collection


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Turn a country's OONI measurements into a national internet-censorship report.",
)
_console = Console(stderr=True)
#: What goes on where it stopped, when it is given again.
_RESUMABLE = ("report", "ingest", "share", "pdf")
_EACH = 60.0  # seconds between two lines where there is no terminal
_OFTEN = 10.0  # the same while notebooks run
_HELP = "; ".join(f"{name}: {help}" for name, help in VARIABLES.items())
Step = Callable[[int, int, str], None]
Arguments = Annotated[list[str] | None, typer.Argument(help=_HELP, metavar="[NAME=VALUE]…")]


class _Stopped(SystemExit):
    """A signal has come."""


def main() -> None:
    """Run the command line; a mistake foreseen is one line and its exit status."""
    _stop_by_signals()
    try:
        app()
    except _Stopped as stopped:
        resumes = f". {RESUMES}." if sys.argv[1:2] and sys.argv[1] in _RESUMABLE else ""
        print(f"stopped{resumes}", file=sys.stderr)
        sys.exit(stopped.code)
    except WorkbookError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except OSError as error:  # a disk that is full, read-only or failing
        what = error.filename or "a file cannot be read or written"
        known = SourceError(f"{what}: {error.strerror or error}", resumes=False)
        print(f"{type(known).__name__}: {known}", file=sys.stderr)
        sys.exit(known.exit_status)


def _stop_by_signals() -> None:
    """Let a signal end the program as an exception does: everything unfinished is cleared away."""

    def stop(number: int, frame: FrameType | None) -> None:
        for one in heard:
            signal.signal(one, signal.SIG_IGN)  # a second one would cut the clearing short
        raise _Stopped(128 + number)

    # what nohup has told to be ignored stays ignored
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in every if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, stop)


@app.command()
def report(arguments: Arguments = None) -> None:
    """The whole way: read the archive, run the notebooks, publish the report."""
    print(f"report: {_nearby(_report(parse_settings(arguments or [])))}")


def _report(settings: Settings) -> Path:
    """Make a report; returns its first page."""
    # These take a second to load.
    from analysis.commands.reporting import make_report, read_earlier
    from analysis.findings.reference_lists import load_lists
    from analysis.publishing.replacing import refuse_foreign

    settings.period.split(settings.study.split)  # what cannot be halved ends here
    refuse_foreign(settings.out)
    earlier = read_earlier(settings)
    _simulate_embedded(settings)
    settings = with_lists(settings, _say)
    lists = load_lists(settings.study)  # before the archive is read, which takes longest
    collection = _read(settings)
    with _display("running the notebooks") as display:
        return make_report(settings, lists, collection, display, earlier)


@app.command()
def pdf(arguments: Arguments = None) -> None:
    """Findings, annex and comparison as one PDF a language; the report is made where it is not
    there yet. Needs a Chromium.
    """
    settings = parse_settings(arguments or [])
    from analysis.commands.printing import print_report

    for file in print_report(settings, lambda: _report(settings)):
        print(f"pdf: {_nearby(file)}")


@app.command()
def ingest(arguments: Arguments = None) -> None:
    """The first stage alone: archive objects to Parquet and a ledger. Resumes."""
    from analysis.store.database import Observations

    settings = parse_settings(arguments or [])
    _simulate_embedded(settings)
    settings = with_lists(settings, _say)
    collection = _read(settings)
    with Observations(collection, settings.probe_cc, settings.period) as observations:
        ledger = observations.ledger()
    for reason, count in ledger.itertuples(index=False):
        print(f"{reason:<24}{count:>12,}")
    _console.print(_objects_in_words(collection), highlight=False)


@app.command()
def refresh(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="PROBE_CC=XX")] = None,
) -> None:
    """Fetch today's test lists, fingerprints and network names into a dated snapshot."""
    from analysis.reference.snapshots import SNAPSHOTS
    from analysis.sources.reference_data import refresh as fetched

    given = {text.partition("=")[0]: text.partition("=")[2] for text in arguments or []}
    for name in given.keys() - {"PROBE_CC"}:
        raise ParameterError(name, given[name], "refresh takes PROBE_CC=XX alone")
    print(f"snapshot: {_nearby(fetched(given.get('PROBE_CC', ''), SNAPSHOTS, _say).folder)}")


@app.command()
def share(arguments: Arguments = None) -> None:
    """Write the observations of a period into OUT, for somebody whose SOURCE it is to be."""
    settings = parse_settings(arguments or [], outputs="shared")
    from analysis.store.shares import check
    from analysis.store.shares import share as write_share

    check(settings.out)
    _simulate_embedded(settings)
    collection = _read(settings)
    with _display("writing the share"):
        manifest = write_share(collection, settings.probe_cc, settings.period, settings.out)
    size = sum(file.size for file in manifest.files.values())
    print(f"share: {_nearby(settings.out)}, {len(manifest.files)} files, {size / 1e6:,.1f} MB")
    print(f"SHA-256 of its MANIFEST.json, to be told by another way: {manifest.digest}")


@app.command()
def simulate(arguments: Arguments = None) -> None:
    """Write the fictional country into data/fictional/<cc>: an archive with its truth beside it.

    That of another period than the usual one goes into data/fictional/<cc>-<since>--<until>.
    """
    _simulate(parse_settings(arguments or []))


@app.command()
def validate(arguments: Arguments = None) -> None:
    """The method against fictional worlds whose truth is known, in minutes.

    Takes OUT (default data/reference/validation), STORE (where the worlds are kept), JOBS, and
    the method's numbers.
    """
    from analysis.simulate.writing import add_forgeries, write_world
    from analysis.validation.worlds import Simulator
    from analysis.validation.worlds import validate as run

    with _progress("judging worlds whose truth is known") as (step,):
        out = run(arguments or [], Simulator(write_world, add_forgeries), step)
    print(f"validation: {_nearby(out)}")


@app.command()
def judge(
    files: Annotated[list[Path], typer.Argument(help=".json, .jsonl or .jsonl.gz files")],
    as_lines: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    fingerprints: Annotated[str, typer.Option(help="folder with OONI-shaped fingerprints")] = "",
) -> None:
    """How each measurement is judged, layer by layer, in the order of the files and their lines.

    Exit status 3 where no measurement could be read at all.
    """
    from analysis.commands.judge_file import as_json, as_text, judge_measurements, with_errors
    from analysis.ingestion.loose_files import read_files
    from analysis.observations.fingerprints import load
    from analysis.outcomes.thresholds import Thresholds

    known = load(fingerprints or None)
    table, errors = read_files(files, known)
    for result in with_errors(judge_measurements(table, known, Thresholds()), errors):
        print(as_json(result) if as_lines else as_text(result))
    if not table.num_rows:
        raise typer.Exit(SourceError.exit_status)


@app.command()
def explain(
    domain: Annotated[str, typer.Argument(help="host name or URL")],
    arguments: Arguments = None,
    asn: Annotated[str, typer.Option(help="one network, such as AS123")] = "",
    out: Annotated[Path | None, typer.Option(help="the report's folder")] = None,
) -> None:
    """Why a site is on a report's list or is not: from the verdict down to its measurements."""
    from analysis.commands.explaining import explain as explained

    print(explained(domain, asn, out, arguments or []))


@app.command()
def audit(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="CLAIMS=FILE [REPORT=FOLDER] [OUT=FOLDER]")
    ] = None,
) -> None:
    """A draft's statements, held against arithmetic, published counts and a report's tables."""
    from analysis.commands.auditing import audit as audited

    print(audited(arguments or []))


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="an earlier report's folder", metavar="A")],
    after: Annotated[Path, typer.Argument(help="a later report's folder", metavar="B")],
) -> None:
    """Two reports: numbers, findings and sites that differ, each with what may have caused it."""
    from analysis.commands.auditing import compare as compared

    print(compared(before, after))


@app.command()
def review(
    file: Annotated[Path, typer.Argument(help="a filled-in feedback sheet", metavar="FILE")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change")] = False,
) -> None:
    """Bring a meeting's feedback sheet into data/review/<cc>.yml, and say what that changes."""
    from analysis.commands.reviewing import review as reviewed

    print(reviewed(file, dry_run=dry_run))


def _simulate_embedded(settings: Settings) -> None:
    if settings.is_embedded:
        _simulate(settings)


def _simulate(settings: Settings) -> None:
    from analysis.simulate.writing import write_world

    with _progress("simulating the fictional country"):
        write_world(
            settings.study.fictional_folder,
            probe_cc=settings.probe_cc,
            since=settings.period.since,
            until=settings.period.until,
        )


def _read(settings: Settings) -> "Collection":
    """Bring the store up to date; and, of OONI's archive, the counts that OONI gives for it."""
    from analysis.ingestion.ingestion import ingest as read_archive
    from analysis.observations.fingerprints import load
    from analysis.sources.opening import OONI

    trouble = _ask_for_counts(settings) if settings.study.source == OONI else None
    with _progress("reading the archive", "listing the archive") as (reading, listing):
        study = settings.study
        collection = read_archive(
            study.source,
            study.store,
            study.probe_cc,
            fingerprints=load(study.fingerprints or None),
            period=study.period,
            receipt_margin=study.receipt_margin,
            keep_raw=settings.keep_raw,
            jobs=settings.jobs,
            scheduler=settings.scheduler,
            listing=listing,
            progress=reading,
        )
    if trouble:
        raise trouble
    return collection


def _ask_for_counts(settings: Settings) -> SourceError | None:
    """Ask before the archive is read, so that all that OONI has counted is in it.

    Reading takes the longest, and need not wait for a service that is away.
    """
    from analysis.findings.tieout import fetch

    try:
        fetch(settings.probe_cc, settings.period, settings.study.store, _say)
    except SourceError as error:
        return error
    return None


def _objects_in_words(collection: "Collection") -> str:
    missing = len(collection.not_read)
    known = len(collection.files) + missing - collection.read_count
    return (
        f"{len(collection.files) + missing:,} objects: {known:,} known, "
        f"{collection.read_count - missing:,} new, {missing:,} not read"
    )


@contextmanager
def _progress(*stages: str) -> Iterator[tuple[Step, ...]]:
    """A bar for each stage, on a terminal: the first, and others once told of. Elsewhere a line
    each minute."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[item]}", markup=False))  # fmt: skip
    with Progress(*columns, console=_console, disable=not _console.is_terminal) as bar:
        yield tuple(_step(bar, what, is_first=number == 0) for number, what in enumerate(stages))


def _step(bar: Progress, what: str, *, is_first: bool) -> Step:
    task = bar.add_task(what, total=None, item="", visible=is_first)
    said = time.monotonic()

    def step(done: int, total: int, item: str) -> None:
        nonlocal said
        item = printable(item)  # a key, which whoever fills a bucket has made up
        bar.update(task, completed=done, total=total, item=item[-60:], visible=True)
        if bar.disable and time.monotonic() - said > _EACH:
            said = time.monotonic()
            print(f"{what}: {done:,} of {total:,}, {item}", file=sys.stderr, flush=True)

    return step


class _Lines:
    """Progress in a log: the lines that stay, and now and then what is being done."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def log(self, text: str) -> None:
        self._said = time.monotonic()
        _say(text)

    def update(self, text: str) -> None:
        if time.monotonic() - self._said > _OFTEN:
            self.log(text)


class _StatusLine:
    """Progress on a terminal: the lines that stay above one that changes."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def log(self, text: str) -> None:
        _say(text)

    def update(self, text: str) -> None:
        self._status.update(Text(printable(text), overflow="ellipsis", no_wrap=True))


@contextmanager
def _display(what: str) -> Iterator[_Lines | _StatusLine]:
    """Where a command says what it is doing: a line that changes on a terminal, a log elsewhere."""
    if not _console.is_terminal:
        yield _Lines()
        return
    with _console.status(what) as status:
        yield _StatusLine(status)


def _say(text: str) -> None:
    """One line for whoever waits, on a terminal or in a log."""
    _console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def _nearby(path: Path) -> Path:
    """A path as short as a reader wants it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
