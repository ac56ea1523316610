"""The command line. Arguments are ``NAME=VALUE``, the same as make's variables."""

import io
import signal
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.commands.progress import Step, console, say, show_progress, show_status
from analysis.commands.settings import VARIABLES, Settings, parse_settings, read_values, with_lists
from analysis.errors import RESUMES, ParameterError, SourceError, WorkbookError
from analysis.study.parameters import absolute

if TYPE_CHECKING:
    from analysis.commands.reporting import Inputs
    from analysis.store.ingestion import Request
    from analysis.store.store import Collection


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make a national internet-censorship report from a country's OONI measurements.",
)
#: Commands that continue an interrupted run when they are given again.
_RESUMABLE = ("report", "sensitivity", "ingest", "share", "pdf", "watch", "field-check", "topic")
#: Exit status of ``watch`` if anything changed.
_NEWS = 10
_HELP = "; ".join(f"{name}: {help}" for name, help in VARIABLES.items())
_SAME = "those of the report: 'report --help' has them all"
_METAVAR = "[NAME=VALUE]…"
AllArguments = Annotated[list[str] | None, typer.Argument(help=_HELP, metavar=_METAVAR)]
Arguments = Annotated[list[str] | None, typer.Argument(help=_SAME, metavar=_METAVAR)]


class _Stopped(SystemExit):
    """Raised when a signal is received."""


def main() -> None:
    """Run the command line; a foreseen error prints one line and has its own exit status."""
    received = _stop_by_signals()
    for stream in (sys.stdout, sys.stderr):  # a sign that the terminal lacks is replaced by another
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        _run()
    except BaseException:
        # A library may turn the exception of a signal into one of its own.
        if not received:
            raise
        resumes = f". {RESUMES}." if sys.argv[1:2] and sys.argv[1] in _RESUMABLE else ""
        print(f"stopped{resumes}", file=sys.stderr)
        sys.exit(128 + received[0])


def _run() -> None:
    """Run a command; report the project's errors and those of files in one line."""
    try:
        app()
    except WorkbookError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except OSError as error:  # a disk that is full, read-only or failing
        subject = error.filename or "a file cannot be read or written"
        source_error = SourceError(f"{subject}: {error.strerror or error}", resumes=False)
        print(f"{type(source_error).__name__}: {source_error}", file=sys.stderr)
        sys.exit(source_error.exit_status)


def _stop_by_signals() -> list[int]:
    """Raise an exception on a signal, so that unfinished files are removed.

    Returns:
        A list to which the number of the signal is added when it is received.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for handled in handled_numbers:
            signal.signal(handled, signal.SIG_IGN)  # a second signal would interrupt the removal
        raise _Stopped(128 + number)

    # a signal that nohup ignores remains ignored
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handled_numbers = [number for number in every if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled_numbers:
        signal.signal(number, stop)
    return received


@app.command()
def report(arguments: AllArguments = None) -> None:
    """Make a report: read the archive, run the notebooks, publish the pages."""
    # These modules take a second to load.
    from analysis.commands.reporting import make_report
    from analysis.pages.replacing import refuse_foreign

    settings = parse_settings(arguments or [])
    settings.study.period.split(settings.study.split)  # an error if SPLIT is outside the period
    refuse_foreign(settings.out, "findings")
    inputs = _gather(settings)
    with show_status("running the notebooks"):
        print(f"report: {_nearby(make_report(inputs, say))}")


@app.command("side-by-side")
def side_by_side(
    folders: Annotated[list[Path], typer.Argument(help="the folder of each country's report")],
    out: Annotated[Path | None, typer.Option(help="the folder for the page")] = None,
) -> None:
    """Compare reports of several countries on one page. They need the same method and period."""
    from analysis.review.countries_page import hold_side_by_side

    print(f"side by side: {_nearby(hold_side_by_side(folders, out))}")


@app.command()
def sensitivity(arguments: Arguments = None) -> None:
    """Show how the list of a report depends on each number of the method.

    Judges all sites with other values of each number, one at a time, and adds page 7 to the
    report. Resumes after each value.
    """
    from analysis.commands.reporting import judge_neighbours, make_report

    settings = parse_settings(arguments or [])
    if not (settings.out / "run.json").is_file():
        raise ParameterError(
            "OUT",
            settings.out,
            "holds no report yet: run 'make report' with the same parameters first",
        )
    inputs = _gather(settings, reopen=True)
    with show_progress("judging by other numbers") as (step,):
        judge_neighbours(inputs, step)
    with show_status("running the notebooks"):
        print(f"report: {_nearby(make_report(inputs, say))}")


def _gather(settings: Settings, *, reopen: bool = False, is_watch: bool = False) -> "Inputs":
    """Read the inputs of a report or of ``watch``.

    Args:
        settings: settings of the run.
        reopen: do not ask a server that was read before.
        is_watch: leave out what people wrote before, which ``watch`` does not use.
    """
    from analysis.commands.reporting import EarlierWork, Inputs, read_earlier
    from analysis.study.study import load_lists

    earlier = EarlierWork() if is_watch else read_earlier(settings)
    _simulate_embedded(settings)
    settings = with_lists(settings, say)
    lists = load_lists(settings.study)  # before the archive is read, which takes longest
    return Inputs(settings, lists, *read_all(settings, reopen=reopen), earlier)


@app.command()
def pdf(arguments: Arguments = None) -> None:
    """Print the findings, the annex and the comparison of a report as one PDF per language.

    Needs Chromium.
    """
    from analysis.commands.reporting import print_report

    for file in print_report(parse_settings(arguments or [])):
        print(f"pdf: {_nearby(file)}")


@app.command()
def watch(arguments: Arguments = None) -> None:
    """Show what changed since the last run: sites newly blocked, unblocked or suspicious.

    Exit status 10 if anything changed (make watch: 0). The first run has nothing to compare with,
    and shows what stands. Without dates, UNTIL is today and SINCE is 180 days
    earlier. OUT (default reports/<cc>/watch/) remembers the last run. PROBE_CC=KH,VN looks at each
    country, and makes one page and one feed of all (reports/watch/kh-vn/).
    """
    from analysis.commands.several_countries import list_watches, publish_watches

    given = arguments or []
    every, trouble = list_watches(given), None
    news_count = 0
    for settings in every:
        try:
            news_count += _look(settings)
        except SourceError as error:
            if len(every) == 1:
                raise
            trouble = error
            say(f"{settings.study.probe_cc}: {error}")
    if len(every) > 1 and any((settings.out / "run.json").is_file() for settings in every):
        print(f"watch: {_nearby(publish_watches(every, read_values(given).get('OUT', '')))}")
    if trouble:
        raise trouble
    if news_count:
        raise typer.Exit(_NEWS)


def _look(settings: Settings) -> int:
    """Look at one country, and return the number of changes."""
    from analysis.commands.reporting import look
    from analysis.review.standing import read_last_look
    from analysis.review.watch_page import PAGE

    last = read_last_look(settings.out, settings.study.probe_cc, settings.study.period)
    inputs = _gather(settings, is_watch=True)
    with show_status("judging"):
        news_count = look(inputs, last, _print_lines)
    print(f"watch: {_nearby(settings.out / PAGE)}")
    return news_count


@app.command()
def ingest(arguments: Arguments = None) -> None:
    """Read the archive only, into Parquet files and a ledger. Resumes if it was interrupted."""
    from analysis.store.database import Observations

    settings = parse_settings(arguments or [])
    _simulate_embedded(settings)
    settings = with_lists(settings, say)
    collection, apps = read_all(settings)
    if apps.files or apps.not_read:
        console.print(f"of apps and circumvention tools: {objects_in_words(apps)}", highlight=False)
    with Observations(collection, settings.study.probe_cc, settings.study.period) as observations:
        ledger = observations.ledger()
    for reason, count in ledger.itertuples(index=False):
        print(f"{reason:<24}{count:>12,}")
    console.print(objects_in_words(collection), highlight=False)


@app.command()
def doctor(arguments: Arguments = None) -> None:
    """Say in two minutes what would hinder a report: machine, servers, size, time, fields, names.

    Reads a few MB and keeps nothing. Exit status 3 if a report could not be made.
    """
    from analysis.commands.doctor import examine

    is_stopped = False
    for finding in examine(parse_settings(arguments or [])):
        print(finding, flush=True)
        is_stopped = is_stopped or finding.level == "stop"
    if is_stopped:
        raise typer.Exit(SourceError.exit_status)


@app.command("field-check")
def field_check(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[PROBE_CC=XX] [FETCH=1] [NAME=VALUE]…")
    ] = None,
) -> None:
    """Judge the measurements that OONI's analysts labelled, and say how often both agree.

    Fetches them from OONI's API, one at a time, and keeps them; resumes. With PROBE_CC, also looks
    for the incidents that OONI has published of the country: it says how much would have to be
    read, and reads it after a yes, or with FETCH=1. Takes LABELS (a file like the shipped one),
    OUT, STORE, FINGERPRINTS, REPORT_LANGUAGES and, for a country, SOURCE and the lists of a
    report. Exit status 3 if something could not be fetched.
    """
    from analysis.commands.field_check import (
        describe_fetch,
        judge_events,
        judge_labelled,
        publish,
        read_plan,
    )

    plan = read_plan(arguments or [])
    with show_progress("fetching labelled measurements") as (step,):
        table, trouble = judge_labelled(plan, step)
    _print_lines(publish(plan, table))
    if plan.cases is not None:
        _print_lines(describe_fetch(plan))
        if plan.cases and _is_wanted(plan.wants_fetch):
            cases, late = judge_events(plan, partial(read_sites, reopen=True))
            _print_lines(publish(plan, table, cases))
            trouble = trouble or late
    if trouble:
        raise trouble


@app.command()
def topic(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="SITES=… COUNTRIES=XX,YY SINCE=… UNTIL=… [NAME=VALUE]…"),
    ] = None,
) -> None:
    """Show on one page which of some sites are blocked in which countries, and how sure that is.

    SITES is a file with one name a line; or names, category codes of the test lists and words of
    OONI's incidents, separated by commas. Each country is judged on all that the store has of it;
    what is missing on a server is named, and read with FETCH=1. Takes OUT, SOURCE, STORE and the
    lists of a report, and SCHEDULER.
    """
    from analysis.commands.several_countries import publish_topic, read_measurements, read_plan

    plan = read_plan(arguments or [])
    read_measurements(plan, _simulate, read_sites, say)
    with show_status("judging each country"):
        print(f"topic: {_nearby(publish_topic(plan))}")


def _is_wanted(answer: bool | None) -> bool:
    """Return whether to read the days of a country's events; ask on a terminal."""
    if answer is None and sys.stdin.isatty():
        return typer.confirm("Read these days?")
    if answer is None:
        print("FETCH=1 reads these days")
    return bool(answer)


@app.command()
def refresh(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="PROBE_CC=XX")] = None,
) -> None:
    """Fetch today's test lists, fingerprints and network names into a dated snapshot."""
    from analysis.reference.reference_files import SNAPSHOTS
    from analysis.sources.reference_data import refresh as fetched

    values = read_values(arguments or [], ("PROBE_CC",))
    print(f"snapshot: {_nearby(fetched(values.get('PROBE_CC', ''), SNAPSHOTS, say).folder)}")


@app.command()
def share(arguments: Arguments = None) -> None:
    """Write the observations of a period into OUT, to be another team's SOURCE."""
    settings = parse_settings(arguments or [], outputs="shared")
    if settings.study.witnesses:
        raise ParameterError(
            "WITNESSES",
            settings.study.witnesses,
            "a share holds each measurement with the report "
            "ID under which OONI publishes it; leave the parameter out",
        )
    if settings.study.variant:
        raise ParameterError(
            "VARIANT", settings.study.variant.file, "a share is of all measurements; leave it out"
        )
    from analysis.store.shares import check
    from analysis.store.shares import share as write_share

    check(settings.out)
    _simulate_embedded(settings)
    collection = read_sites(settings)
    with show_status("writing the share"):
        manifest = write_share(
            collection, settings.study.probe_cc, settings.study.period, settings.out
        )
    size = sum(file.size for file in manifest.files.values())
    print(f"share: {_nearby(settings.out)}, {len(manifest.files)} files, {size / 1e6:,.1f} MB")
    print(f"SHA-256 of its MANIFEST.json, to be told by another way: {manifest.digest}")


@app.command()
def simulate(arguments: Arguments = None) -> None:
    """Write the fictional country, an archive and its truth, into data/fictional/<cc>.

    With another period than the default, the folder is data/fictional/<cc>-<since>--<until>.
    """
    _simulate(parse_settings(arguments or []))


@app.command()
def validate(arguments: Arguments = None) -> None:
    """Test the method on fictional countries whose truth is known. Takes minutes.

    Accepts OUT (default data/reference/validation), STORE (where the countries are kept), JOBS,
    and the method's numbers.
    """
    from analysis.worlds.examined import EXAMINED
    from analysis.worlds.validation import Simulator
    from analysis.worlds.validation import validate as run
    from analysis.worlds.writing import Volunteers, write_world

    with show_progress("judging worlds whose truth is known") as (step,):
        out = run(arguments or [], Simulator(write_world, Volunteers, EXAMINED), step)
    print(f"validation: {_nearby(out)}")


@app.command()
def judge(
    files: Annotated[list[Path], typer.Argument(help=".json, .jsonl or .jsonl.gz files")],
    as_lines: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
    fingerprints: Annotated[str, typer.Option(help="folder with OONI-shaped fingerprints")] = "",
) -> None:
    """Show how each measurement is judged: web sites by layer, apps and tools by part.

    Prints in the order of the files and their lines. Exit status 3 if no measurement could be
    read.
    """
    from analysis.commands.judging import as_json, as_text, judge_files

    is_judged = False
    for result in judge_files(files, fingerprints):
        print(as_json(result) if as_lines else as_text(result))
        is_judged = is_judged or "error" not in result
    if not is_judged:
        raise SourceError("no measurement could be read in these files", resumes=False)


@app.command()
def pack(
    files: Annotated[
        list[Path],
        typer.Argument(help=".json, .jsonl or .jsonl.gz files, or folders of them, then OUT"),
    ],
    country: Annotated[str, typer.Option("--cc", help="the country, two letters")],
) -> None:
    """Copy loose measurements into a new folder OUT, in the layout that SOURCE expects.

    Days and hours of receipt are taken from OONI's file names; under other names, a measurement
    counts as received on its own day.
    """
    from analysis.reference.reference_files import parse_country
    from analysis.store.lines import pack as packed

    *loose, out = files
    if not loose:
        raise ParameterError("OUT", out, "give the files first, then the folder to write")
    for result, count in sorted(packed(loose, parse_country(country), out).items()):
        print(f"{result:<24}{count:>12,}")
    print(f"archive: {_nearby(out)}")


@app.command()
def explain(
    domain: Annotated[str, typer.Argument(help="host name, URL, or an app such as telegram")],
    arguments: Arguments = None,
    asn: Annotated[str, typer.Option(help="one network, such as AS123")] = "",
    out: Annotated[Path | None, typer.Option(help="the report's folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a site as JSON")] = False,
) -> None:
    """Show why a site is, or is not, on a report's list, from the verdict to its measurements."""
    from analysis.commands.judging import explain as explained

    print(explained(domain, asn, out, arguments or [], as_json=as_json))


@app.command()
def audit(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="CLAIMS=FILE [REPORT=FOLDER] [OUT=FOLDER]")
    ] = None,
) -> None:
    """Check a draft's statements by arithmetic, published counts and a report's tables."""
    from analysis.review.audits import audit as audited

    values = read_values(arguments or [], ("CLAIMS", "REPORT", "OUT"))
    paths = {name: Path(absolute(name, value)) for name, value in values.items() if value}
    if "CLAIMS" not in paths:
        raise ParameterError("CLAIMS", "", "must be given: a file such as data/claims/….yml")
    _print_lines(audited(paths["CLAIMS"], paths.get("REPORT"), paths.get("OUT")))


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="an earlier report's folder", metavar="A")],
    after: Annotated[Path, typer.Argument(help="a later report's folder", metavar="B")],
) -> None:
    """Compare two reports: numbers, findings and sites that differ, and what may be the cause."""
    from analysis.review.changes import compare as compared

    _print_lines(compared(before, after))


@app.command()
def notice(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="OUT=FOLDER")] = None,
) -> None:
    """Put a notice of errors in a published report, OUT, on each of its pages."""
    from analysis.review.publication import add_notice

    values = read_values(arguments or [], ("OUT",))
    if not values.get("OUT"):
        raise ParameterError("OUT", "", "must be given: the folder of a published report")
    out = Path(values["OUT"]).resolve()
    print(f"notice: on {add_notice(out)} pages of {_nearby(out)}")


@app.command()
def review(
    file: Annotated[Path, typer.Argument(help="a filled-in feedback sheet", metavar="FILE")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would change")] = False,
) -> None:
    """Copy a meeting's feedback sheet into data/review/<cc>.yml, and print what changes."""
    from analysis.review.feedback import review as reviewed

    _print_lines(reviewed(file, dry_run=dry_run))


def _print_lines(lines: Iterable[str]) -> None:
    """Print lines and flush, so that an error of writing is raised here."""
    for line in lines:
        print(line)
    sys.stdout.flush()


def _simulate_embedded(settings: Settings) -> None:
    if settings.is_embedded:
        _simulate(settings)


def _simulate(settings: Settings) -> None:
    from analysis.worlds.writing import write_shipped_country

    with show_progress("simulating the fictional country"):
        study = settings.study
        write_shipped_country(
            study.fictional_folder, study.probe_cc, study.period.since, study.period.until
        )


def _nearby(path: Path) -> Path:
    """Return a path relative to the working folder if it is inside."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


# --- from settings to the store -------------------------------------------------------------------


def read_all(settings: Settings, *, reopen: bool = False) -> tuple["Collection", "Collection"]:
    """Read new measurements of web sites, and of apps and tools, into the store.

    Raises:
        SourceError: the source has no web site, or could not be read.
    """
    from analysis.store.ingestion import ingest_messaging

    collection = read_sites(settings, reopen=reopen)
    with show_progress("reading apps and tools", "listing apps and tools") as steps:
        return collection, ingest_messaging(_request(settings, reopen, *steps))


def read_sites(settings: Settings, *, reopen: bool = False) -> "Collection":
    """Read new measurements of web sites into the store; for OONI's archive, also OONI's counts."""
    from analysis.observations.fingerprints import load
    from analysis.sources.archive_files import OONI
    from analysis.store.ingestion import ingest, was_read
    from analysis.study.study import request_of

    is_repeated = settings.relist is False and was_read(request_of(settings.study))
    is_asked = settings.study.source == OONI and not (reopen or is_repeated)
    trouble = _ask_for_counts(settings) if is_asked else None
    with show_progress("reading the archive", "listing the archive") as steps:
        fingerprints = load(settings.study.fingerprints or None)
        if left_out := ", ".join(fingerprints.left_out):
            say(f"fingerprints left out, of more than literals, . and .*: {left_out}")
        collection = ingest(_request(settings, reopen, *steps), fingerprints)
    if trouble:
        raise trouble
    return collection


def _request(settings: Settings, reopen: bool, progress: Step, listing: Step) -> "Request":
    from analysis.study.study import request_of

    return request_of(
        settings.study,
        keep_raw=settings.keep_raw,
        reopen=reopen,
        relist=settings.relist,
        jobs=settings.jobs,
        scheduler=settings.scheduler,
        listing=listing,
        notify=say,
        progress=progress,
    )


def _ask_for_counts(settings: Settings) -> SourceError | None:
    """Fetch OONI's counts before the archive is read, so that the archive has all that they count.

    An error is returned and not raised: reading takes longest, and can begin while the service is
    down.
    """
    from analysis.sources.api import fetch_counts, of_country, of_every_country
    from analysis.study.parameters import replies_folder

    study = settings.study
    questions = of_country(study.probe_cc, study.period)
    if not study.test_counts:
        questions += of_every_country(study.period)
    try:
        fetch_counts(replies_folder(study.store), questions, say)
    except SourceError as error:
        return error
    return None


def objects_in_words(collection: "Collection") -> str:
    """Return the numbers of objects that a run listed, by result, in words."""
    missing = len(collection.not_read)
    known_count = len(collection.files) + missing - collection.read_count
    late = f"; {len(collection.late):,} came late, with {collection.count_late_lines():,} lines"
    return (
        f"{len(collection.files) + missing:,} objects: {known_count:,} known, "
        f"{collection.read_count - missing:,} new, {missing:,} not read"
        f"{late if collection.late else ''}"
    )
