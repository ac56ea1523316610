"""``python -m benchmarks.drawing [COUNT] [SEED]``: reports on random parts of archives.

Each seed draws a part of an archive: some days, networks, tests, names, results and versions of
the fictional year, of a small simulated country, or of whole files of OONI's archive
(``WORKBOOK_ARCHIVE`` names a folder with some, in SOURCE's layout). The whole report on it is made
in this process, including the cells of the notebooks, because kernels would take an hour.

A part must give a report, or one of the workbook's own errors. Anything else is printed with its
seed: ``python -m benchmarks.drawing 1 SEED``, with the same files, repeats it. The texts of a
report are searched for words that no reader should see.
"""

import ast
import csv
import gzip
import os
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from html import unescape
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import matplotlib as mpl
import msgspec
import nbformat
import pandas as pd

from analysis.commands.reporting import Inputs, make_report, read_earlier
from analysis.commands.settings import parse_settings
from analysis.errors import ParameterError, SourceError
from analysis.pages import publishing, show
from analysis.pages.formats import PUBLISHING
from analysis.reference.reference_files import NOTEBOOKS
from analysis.store.ingestion import ingest, ingest_messaging
from analysis.study.parameters import StudyParameters
from analysis.study.study import load_lists, request_of
from analysis.worlds.archive import compress
from analysis.worlds.censorship import CASES
from analysis.worlds.examined import EXAMINED
from analysis.worlds.writing import write_shipped_country, write_world
from benchmarks.sentences import find_false_sentences

#: Lines of a part: enough for rows in every table and figure, and a report takes a second.
_MOST_LINES = 600
_new_output: Any = nbformat.v4.new_output
_LISTS = {
    "TEST_LIST": "test-lists",
    "NETWORKS": "networks.csv",
    "FINGERPRINTS": "fingerprints",
    "EVENTS": "events.yml",
    "TEST_COUNTS": "test-counts.csv",
}


class _Keys(msgspec.Struct):
    blocking: Any = None
    accessible: Any = None


class _Line(msgspec.Struct):
    test_name: Any = ""
    input: Any = ""
    probe_asn: Any = ""
    test_version: Any = ""
    test_keys: _Keys | None = None


@dataclass(frozen=True)
class Archive:
    """A folder in SOURCE's layout; ``lists`` is the folder with its lists, or None."""

    name: str
    folder: Path
    probe_cc: str
    lists: Path | None = None

    def objects(self) -> dict[date, list[Path]]:
        """Return the objects by the day of their receipt."""
        objects: dict[date, list[Path]] = {}
        for path in sorted(self.folder.glob(f"raw/*/*/{self.probe_cc}/*/*.gz")):
            objects.setdefault(date.fromisoformat(path.parts[-5]), []).append(path)
        return objects


@dataclass(frozen=True)
class Part:
    """A part of an archive, and the period of its report.

    Attributes:
        archive: the whole.
        since, until: of the report.
        days: of the objects to keep.
        networks, tests, versions: numbers to keep; 0 for all.
        names: number to keep; -1 for a different name in each measurement.
        result: of the measurements to keep: ``ok``, ``blocked``, ``unknown``, or ``not ok``;
            ``""`` for all.
        given: names of the lists to use.
        seed: of the choice of networks, tests, names and lines.
    """

    archive: Archive
    since: date
    until: date
    days: tuple[date, ...]
    networks: int = 0
    tests: int = 0
    versions: int = 0
    names: int = 0
    result: str = ""
    given: tuple[str, ...] = tuple(_LISTS)
    seed: int = 0

    def __str__(self) -> str:
        counts = {name: getattr(self, name) for name in ("networks", "tests", "versions", "names")}
        words = [
            f"{self.archive.name}, {len(self.days)} day(s) from {self.days[0]}, report",
            f"{self.since}--{self.until}",
            *(f"{name}={count}" for name, count in counts.items() if count),
            self.result,
            f"lists={len(self.given)}",
        ]
        return " ".join(words)

    def write(self, folder: Path) -> int:
        """Write the part in SOURCE's layout and return its number of lines."""
        rng = Random(self.seed)
        lines = self._choose_lines(rng)
        if len(lines) > _MOST_LINES:
            lines = sorted(rng.sample(lines, _MOST_LINES), key=lambda line: line[0])
        folder.mkdir()
        by_object: dict[Path, list[bytes]] = {}
        for number, (path, text, line) in enumerate(lines):
            is_renamed = self.names < 0 and line and line.input
            by_object.setdefault(path, []).append(_rename(text, number) if is_renamed else text)
        for path, texts in by_object.items():
            target = folder / path.relative_to(self.archive.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(compress(texts))
        return len(lines)

    def _choose_lines(self, rng: Random) -> list[tuple[Path, bytes, _Line | None]]:
        """Return object, text and decoded line of the measurements to keep."""
        objects = self.archive.objects()
        paths = [path for day in self.days for path in objects.get(day, [])]
        lines = [(path, text, _decode(text)) for path in paths for text in read_lines(path)]
        for column, count in [
            ("probe_asn", self.networks),
            ("test_name", self.tests),
            ("test_version", self.versions),
            ("input", self.names),
        ]:
            if count > 0:
                values = Counter(str(getattr(line, column)) for _, _, line in lines if line)
                values.pop("None", None)  # tests of apps have no input
                # weighted by frequency, because most values occur once
                chosen = sorted(values, key=lambda value: rng.random() / values[value])[:count]
                lines = [
                    line for line in lines if line[2] and str(getattr(line[2], column)) in chosen
                ]
        if self.result:
            lines = [line for line in lines if line[2] and _has(self.result, line[2])]
        return lines

    def arguments(self, source: Path, scratch: Path) -> list[str]:
        """Return the arguments of ``make report``."""
        lists = []
        if self.archive.lists:
            paths = {name: self.archive.lists / _LISTS[name] for name in self.given}
            lists = [f"{name}={path}" for name, path in paths.items() if path.exists()]
        return [
            f"PROBE_CC={self.archive.probe_cc}",
            f"SINCE={self.since}",
            f"UNTIL={self.until}",
            f"SOURCE={source}",
            f"STORE={scratch / 'store'}",
            f"OUT={scratch / 'report'}",
            "JOBS=1",
            "ACCEPT_FIELDS=1",
            *lists,
        ]


def read_lines(path: Path) -> list[bytes]:
    """Return the complete lines of an object, which may be truncated."""
    lines: list[bytes] = []
    try:
        with gzip.open(path) as file:
            lines.extend(line.rstrip(b"\n") for line in file)
    except EOFError:
        pass
    return lines


def _decode(text: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(text, type=_Line)
    except msgspec.MsgspecError:
        return None


def _rename(text: bytes, number: int) -> bytes:
    """Return a measurement with another, unique name of its site."""
    host = re.search(rb'"input":\s*"https?://([^/:?#"]+)', text)
    return text.replace(host[1], b"n%d.%s" % (number, host[1])) if host else text


def _has(result: str, line: _Line) -> bool:
    keys = line.test_keys or _Keys()
    actual = "blocked" if keys.blocking else "ok" if keys.accessible else "unknown"
    return actual != "ok" if result == "not ok" else actual == result


def draw(seed: int, archives: Sequence[Archive], scratch: Path) -> Part:
    """Draw a part of one of the archives, or of a small country that is made in ``scratch``."""
    rng = Random(seed)
    archive = rng.choice([*archives, None, None])
    if archive is None:
        archive = make_country(rng, scratch)
    objects = archive.objects()
    all_days = sorted(objects)
    length = rng.choice((1, 1, 2, 2, 5, 14, 31, 62))
    start = rng.choice(all_days)
    days = tuple(day for day in all_days if start <= day < start + timedelta(length))
    # a period that begins earlier or ends later has an empty half, or months without tests
    before, after = rng.choice(((0, 0), (0, 0), (0, 0), (1, 0), (0, 30), (45, 0), (100, 200)))
    since = days[0] - timedelta(before)
    until = max(days[-1] + timedelta(1 + after), since + timedelta(2))
    lists = tuple(_LISTS)
    if rng.random() < 0.3:
        lists = tuple(name for name in _LISTS if rng.random() < 0.5)
    return Part(
        archive,
        since,
        until,
        days,
        networks=rng.choice((0, 0, 0, 0, 1, 1, 2)),
        tests=rng.choice((0, 0, 0, 0, 1, 2)),
        versions=rng.choice((0, 0, 0, 1)),
        names=rng.choice((0, 0, 0, 0, 1, 2, 9, -1)),
        result=rng.choice(("", "", "", "", "", "ok", "blocked", "unknown", "not ok")),
        given=lists,
        seed=seed,
    )


def make_country(rng: Random, scratch: Path) -> Archive:
    """Make a country of some days, with random networks, tests and troubles."""
    since = date(2023, 12, 1) + timedelta(rng.randrange(200))
    code, count = rng.choice(("QN", "QP", "QZ")), rng.choice((2, 3, 8, 20, 45))
    network_count = rng.choice((6, 10, 14))
    is_large = network_count == 14 and count > 30  # cases and situations need such a country
    situation = rng.choice(["", "", "", *EXAMINED]) if is_large else ""
    has_cases = is_large and not situation
    cases = tuple(name for name in CASES if has_cases and rng.random() < 0.2)
    # blocks of apps need four steady networks
    has_apps = network_count > 6 and not situation and rng.random() < 0.8
    rate = max(rng.choice((0.3, 1.0, 2.0, 4.5)), 6 / count)  # at least some six sessions
    write_world(
        scratch / "country",
        probe_cc=code,
        since=since,
        until=since + timedelta(count),
        seed=rng.randrange(1_000),
        sessions_per_day=rate,
        network_count=network_count,
        name_count=rng.choice((40, 60, 120)),
        new_share=rng.choice((None, 0.0, 1.0)),
        has_forgeries=rng.random() < 0.3,
        cases=cases,
        situation=situation,
        has_apps=has_apps,
    )
    return Archive("a country", scratch / "country/archive", code, scratch / "country/reference")


def fictional_year() -> Archive:
    """Return the archive of ``make report``, and write it if it does not exist."""
    parameters = StudyParameters.of({})
    folder = parameters.fictional_folder
    write_shipped_country(folder, parameters.probe_cc, parameters.since, parameters.until)
    return Archive("the year", folder / "archive", parameters.probe_cc, folder / "reference")


def real_archives(folder: Path) -> list[Archive]:
    """Return an archive for each country with files of OONI's archive in a folder."""
    codes = sorted({path.parts[-3] for path in folder.glob("raw/*/*/*/*/*.gz")})
    return [Archive(f"OONI's files of {code}", folder, code) for code in codes]


# --- a report in this process -------------------------------------------------------------------


def run_cells(notebook: Path, parameters: Mapping[str, object], *_: object) -> Any:
    """Run the cells of a notebook in this process, as ``publishing.execute`` does in a kernel.

    The outputs of a cell are what it shows and prints, and its last expression.
    """
    content: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(content.cells):
        if cell.cell_type != "code":
            continue
        outputs: list[Any] = []
        printed = StringIO()
        with patch.object(show, "display", partial(_keep, outputs)), redirect_stdout(printed):
            _run_cell(cell.source, f"{notebook.stem}, cell {number}", names, outputs)
        if printed.getvalue():
            outputs.append(_new_output("stream", text=printed.getvalue()))
        cell.outputs = outputs
        if "parameters" in cell.metadata.get("tags", []):
            names.update(parameters)
    return content


def _keep(outputs: list[Any], data: Mapping[str, str], **_: object) -> None:
    outputs.append(_new_output("display_data", data=dict(data)))


def _run_cell(source: str, name: str, names: dict[str, Any], outputs: list[Any]) -> None:
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, name, "exec"), names)
        return
    tree.body.pop()
    exec(compile(tree, name, "exec"), names)
    value = eval(compile(ast.Expression(last.value), name, "eval"), names)
    if value is not None:
        data = {"text/plain": repr(value)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_()
        outputs.append(_new_output("execute_result", data=data, execution_count=1))


def report(arguments: Sequence[str]) -> Path:
    """Run ``python -m analysis report ARGUMENTS…`` with the notebooks' cells in this process."""
    settings = parse_settings(arguments)
    lists, request = load_lists(settings.study), request_of(settings.study, jobs=1)
    collections = ingest(request, lists.fingerprints), ingest_messaging(request)
    inputs = Inputs(settings, lists, *collections, read_earlier(settings))
    environment = {PUBLISHING: "1"}
    mpl.use("agg")
    with (
        patch.object(publishing, "execute", run_cells),
        patch.dict(os.environ, environment),
        warnings.catch_warnings(),
    ):
        # mostly of empty frames: deprecated calls of pandas, and divisions by zero
        warnings.filterwarnings("error", module=r"analysis\.")
        make_report(inputs, print)
    return settings.out


def start(arguments: Sequence[str], scratch: Path) -> None:
    """Run the introductory notebook, which is not a page of a report."""
    values = parse_settings(arguments).study.for_notebooks()
    run_cells(NOTEBOOKS / "0-start.ipynb", {**values, "tables": str(scratch / "start")})


# --- words that no reader should see ------------------------------------------------------------

#: Markup to remove before the search; of a picture, the description is kept.
_MARKUP = re.compile(
    r"<(style|script|pre|code)\b.*?</\1>|<[^>]*?\balt=\"([^\"]*)\"[^>]*>|<[^>]*>", re.DOTALL
)
_COUNTED = "sites|names|networks|days|months|sessions|measurements|tests|pairs|countries"
_WRONG = re.compile(
    r"(?<![\w.-])(?:nan|NaN|NaT|inf|undefined|<NA>)(?![\w.-])|0 of 0\b"
    r"|\bNone\b(?! of| is| has| have| was| were| can)"
    rf"|(?<!of)(?<!to)(?<!=) 1 (?:{_COUNTED})\b"
)


def find_faults(folder: Path) -> Iterator[str]:
    """Yield each fault in the texts of pages and tables of a report, with its context, and each
    number that the tables deny."""
    for path in sorted(folder.rglob("*.html")):
        text = _MARKUP.sub(r" \2 ", path.read_text(encoding="utf-8"))
        text = re.sub(r"\s+", " ", unescape(text))
        for match in _WRONG.finditer(text):
            context = text[max(0, match.start() - 70) : match.end() + 50]
            yield f"{path.relative_to(folder)}: …{context}…"
    for path in sorted((folder / "tables").glob("*.csv")):
        for row in csv.reader(path.open(encoding="utf-8", newline="")):
            if {"nan", "NaN", "None", "NaT", "inf", "-inf", "<NA>"} & set(row):
                yield f"{path.relative_to(folder)}: {row}"
    yield from find_false_sentences(folder)


def check_ledger(folder: Path, line_count: int) -> None:
    """Check that every line of the part has one reason in one of the two ledgers."""
    counted = 0
    for name in ("ingestion_ledger", "messaging_ledger"):
        ledger = pd.read_csv(folder / "tables" / f"{name}.csv")
        is_total, is_cause = (ledger["reason"] == "total"), ledger["reason"].str.contains(":")
        parts = int(ledger["line_count"][~is_total & ~is_cause].sum())
        assert parts == ledger["line_count"][is_total].sum(), ledger
        counted += parts
    assert counted == line_count, f"{line_count} lines, {counted} in the ledgers"


def try_part(part: Part, scratch: Path) -> tuple[str, list[str]]:
    """Make the report on a part; return ``report`` or the error, and the faults in its texts.

    Raises:
        Exception: any other than the workbook's own errors.
    """
    count = part.write(scratch / "part")
    arguments = part.arguments(scratch / "part", scratch)
    try:
        folder = report(arguments)
        check_ledger(folder, count)
        if part.seed % 8 == 7:  # rarely, because this notebook judges three times
            start(arguments, scratch)
    except (SourceError, ParameterError) as error:
        return f"{type(error).__name__}: {error}", []
    return "report", list(find_faults(folder))


def main(count: int = 200, seed: int = 1) -> None:
    """Draw parts, and print those without a report, and the faults in texts."""
    real = Path(os.environ.get("WORKBOOK_ARCHIVE", "../shared/data/archive"))
    archives = [fictional_year(), *real_archives(real)]
    ends, faults, began = Counter[str](), Counter[str](), time.monotonic()
    for number in range(seed, seed + count):
        with TemporaryDirectory() as name:
            part = draw(number, archives, Path(name))
            try:
                end, texts = try_part(part, Path(name))
            except Exception:  # noqa: BLE001  # any exception is a finding
                print(f"seed {number}: {part}\n{traceback.format_exc()}", flush=True)
                end, texts = "failure", []
        if end not in ("report", "failure"):
            print(f"seed {number}: {part}\n  {end}", flush=True)
        for fault in texts:
            kind = re.sub(r"[0-9][0-9,.]*|\b[\w-]+(\.[\w-]+)+", "#", fault)[-95:-25]
            faults[kind] += 1
            if faults[kind] == 1:
                print(f"seed {number}: {part}\n  {fault}", flush=True)
        ends[end.partition(":")[0]] += 1
    print(dict(ends), f"{time.monotonic() - began:.0f} s")
    if ends["failure"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
