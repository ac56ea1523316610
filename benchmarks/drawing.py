"""``python -m benchmarks.drawing [COUNT] [SEED]``: reports of archives that are drawn at random.

Each seed draws a part of an archive: some days, networks, tests, names, results and versions of
the fictional year, of a small country that is made for it, or of whole files of OONI's archive
(``WORKBOOK_ARCHIVE`` names a folder with some, in SOURCE's layout). The whole report on it is made
in this process, the cells of the notebooks as well: a kernel for each would take an hour.

A report, or one sentence of the workbook's own, is right; anything else is printed with its seed:
``python -m benchmarks.drawing 1 SEED``, with the same files, repeats it. The texts of a report are
searched for what no reader should see.
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
from analysis.pages.scheduling import Display
from analysis.reference.reference_files import NOTEBOOKS
from analysis.store.ingestion import ingest, ingest_messaging
from analysis.study.parameters import StudyParameters
from analysis.study.study import load_lists, request_of
from analysis.worlds.archive import compress
from analysis.worlds.censorship import CASES
from analysis.worlds.examined import EXAMINED
from analysis.worlds.writing import write_shipped_country, write_world

#: So many lines are enough for every table and figure to have rows, and a report takes a second.
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
        """The objects by the day of their receipt."""
        found: dict[date, list[Path]] = {}
        for path in sorted(self.folder.glob(f"raw/*/*/{self.probe_cc}/*/*.gz")):
            found.setdefault(date.fromisoformat(path.parts[-5]), []).append(path)
        return found


@dataclass(frozen=True)
class Part:
    """What is kept of an archive, and the period that the report on it is of.

    Attributes:
        archive: of which it is a part.
        since, until: of the report.
        days: whose objects are kept.
        networks, tests, versions: how many of each are kept; 0 for all of them.
        names: how many names are kept; -1 for a name of its own in each measurement.
        result: ``""``, or which measurements are kept: ``ok``, ``blocked``, ``unknown``, or
            ``not ok``.
        given: the lists that are given.
        seed: chooses the networks, tests, names and lines.
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
        kept = [f"{name}={count}" for name, count in counts.items() if count]
        return " ".join(
            [
                f"{self.archive.name}, {len(self.days)} day(s) from {self.days[0]}, report",
                f"{self.since}--{self.until}",
                *kept,
                self.result,
                f"lists={len(self.given)}",
            ]
        )

    def write(self, folder: Path) -> int:
        """Write the part in SOURCE's layout; returns how many lines it has."""
        objects, rng = self.archive.objects(), Random(self.seed)
        texts = {path: read_lines(path) for day in self.days for path in objects.get(day, [])}
        lines = [(path, text, _decode(text)) for path, found in texts.items() for text in found]
        for column, count in [
            ("probe_asn", self.networks),
            ("test_name", self.tests),
            ("test_version", self.versions),
            ("input", self.names),
        ]:
            if count > 0:
                values = Counter(str(getattr(one, column)) for _, _, one in lines if one)
                values.pop("None", None)  # tests of apps have no input
                # those that occur often as well, since most occur once
                most = sorted(values, key=lambda value: rng.random() / values[value])[:count]
                lines = [
                    line for line in lines if line[2] and str(getattr(line[2], column)) in most
                ]
        if self.result:
            lines = [line for line in lines if line[2] and _has(self.result, line[2])]
        if len(lines) > _MOST_LINES:
            lines = sorted(rng.sample(lines, _MOST_LINES), key=lambda line: line[0])
        folder.mkdir()
        kept: dict[Path, list[bytes]] = {}
        for number, (path, text, one) in enumerate(lines):
            is_renamed = self.names < 0 and one and one.input
            kept.setdefault(path, []).append(_rename(text, number) if is_renamed else text)
        for path, found in kept.items():
            place = folder / path.relative_to(self.archive.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(compress(found))
        return len(lines)

    def arguments(self, source: Path, scratch: Path) -> list[str]:
        """What is given to ``make report``."""
        given = []
        if self.archive.lists:
            paths = {name: self.archive.lists / _LISTS[name] for name in self.given}
            given = [f"{name}={path}" for name, path in paths.items() if path.exists()]
        return [
            f"PROBE_CC={self.archive.probe_cc}",
            f"SINCE={self.since}",
            f"UNTIL={self.until}",
            f"SOURCE={source}",
            f"STORE={scratch / 'store'}",
            f"OUT={scratch / 'report'}",
            "JOBS=1",
            "ACCEPT_FIELDS=1",
            *given,
        ]


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of an object, which may break off."""
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
    """A measurement whose site has a name of its own."""
    host = re.search(rb'"input":\s*"https?://([^/:?#"]+)', text)
    return text.replace(host[1], b"n%d.%s" % (number, host[1])) if host else text


def _has(result: str, line: _Line) -> bool:
    keys = line.test_keys or _Keys()
    found = "blocked" if keys.blocking else "ok" if keys.accessible else "unknown"
    return found != "ok" if result == "not ok" else found == result


def draw(seed: int, archives: Sequence[Archive], scratch: Path) -> Part:
    """A part of one of the archives, or of a small country that is made for it in ``scratch``."""
    rng = Random(seed)
    archive = rng.choice([*archives, None, None])
    if archive is None:
        archive = make_country(rng, scratch)
    objects = archive.objects()
    every = sorted(objects)
    length = rng.choice((1, 1, 2, 2, 5, 14, 31, 62))
    start = rng.choice(every)
    days = tuple(day for day in every if start <= day < start + timedelta(length))
    # a period that begins earlier or ends later has an empty half, or months without tests
    before, after = rng.choice(((0, 0), (0, 0), (0, 0), (1, 0), (0, 30), (45, 0), (100, 200)))
    since = days[0] - timedelta(before)
    until = max(days[-1] + timedelta(1 + after), since + timedelta(2))
    given = tuple(_LISTS)
    if rng.random() < 0.3:
        given = tuple(name for name in _LISTS if rng.random() < 0.5)
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
        given=given,
        seed=seed,
    )


def make_country(rng: Random, scratch: Path) -> Archive:
    """A country of some days, with other networks, tests and troubles each time."""
    since = date(2023, 12, 1) + timedelta(rng.randrange(200))
    code, count = rng.choice(("QN", "QP", "QZ")), rng.choice((2, 3, 8, 20, 45))
    network_count = rng.choice((6, 10, 14))
    is_large = network_count == 14 and count > 30  # what these need is in no smaller country
    situation = rng.choice(["", "", "", *EXAMINED]) if is_large else ""
    has_cases = is_large and not situation
    cases = tuple(name for name in CASES if has_cases and rng.random() < 0.2)
    # blocks of apps need four steady networks
    has_apps = network_count > 6 and not situation and rng.random() < 0.8
    rate = max(rng.choice((0.3, 1.0, 2.0, 4.5)), 6 / count)  # so that somebody tests anything
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
    """The archive that ``make report`` makes; written where it is not there."""
    parameters = StudyParameters.of({})
    folder = parameters.fictional_folder
    write_shipped_country(folder, parameters.probe_cc, parameters.since, parameters.until)
    return Archive("the year", folder / "archive", parameters.probe_cc, folder / "reference")


def real_archives(folder: Path) -> list[Archive]:
    """One for each country of which there are files of OONI's archive."""
    codes = sorted({path.parts[-3] for path in folder.glob("raw/*/*/*/*/*.gz")})
    return [Archive(f"OONI's files of {code}", folder, code) for code in codes]


# --- a report in this process -------------------------------------------------------------------


def run_cells(notebook: Path, parameters: Mapping[str, object], *_: object) -> Any:
    """Run the cells of a notebook in order and in this process, as ``publishing.execute`` does in a
    kernel: what is shown, printed, or stands last in a cell is its output."""
    read: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(read.cells):
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
    return read


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
    """``python -m analysis report ARGUMENTS…`` with the notebooks' cells in this process."""
    settings = parse_settings(arguments)
    lists, asked = load_lists(settings.study), request_of(settings.study, jobs=1)
    collections = ingest(asked, lists.fingerprints), ingest_messaging(asked)
    inputs = Inputs(settings, lists, *collections, read_earlier(settings))
    environment = {PUBLISHING: "1"}
    mpl.use("agg")
    with (
        patch.object(publishing, "execute", run_cells),
        patch.dict(os.environ, environment),
        warnings.catch_warnings(),
    ):
        # of an empty frame, mostly: what a later pandas refuses, or a division by nothing
        warnings.filterwarnings("error", module=r"analysis\.")
        make_report(inputs, Display())
    return settings.out


def start(arguments: Sequence[str], scratch: Path) -> None:
    """Run the notebook to start with, which is no page of a report."""
    values = parse_settings(arguments).study.for_notebooks()
    run_cells(NOTEBOOKS / "0-start.ipynb", {**values, "tables": str(scratch / "start")})


# --- what no reader should see ------------------------------------------------------------------

#: Code and style have no sentence; of a picture there is its description.
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
    """Each place in the pages and tables of a report that reads wrongly, with what is around it."""
    for path in sorted(folder.rglob("*.html")):
        text = _MARKUP.sub(r" \2 ", path.read_text(encoding="utf-8"))
        text = re.sub(r"\s+", " ", unescape(text))
        for found in _WRONG.finditer(text):
            around = text[max(0, found.start() - 70) : found.end() + 50]
            yield f"{path.relative_to(folder)}: …{around}…"
    for path in sorted((folder / "tables").glob("*.csv")):
        for row in csv.reader(path.open(encoding="utf-8", newline="")):
            if {"nan", "NaN", "None", "NaT", "inf", "-inf", "<NA>"} & set(row):
                yield f"{path.relative_to(folder)}: {row}"


def check_ledger(folder: Path, line_count: int) -> None:
    """Every line of the part has one reason in one of the two ledgers."""
    counted = 0
    for name in ("ingestion_ledger", "messaging_ledger"):
        ledger = pd.read_csv(folder / "tables" / f"{name}.csv")
        is_total, is_cause = (ledger["reason"] == "total"), ledger["reason"].str.contains(":")
        parts = int(ledger["line_count"][~is_total & ~is_cause].sum())
        assert parts == ledger["line_count"][is_total].sum(), ledger
        counted += parts
    assert counted == line_count, f"{line_count} lines, {counted} in the ledgers"


def try_part(part: Part, scratch: Path) -> tuple[str, list[str]]:
    """How a part ends: ``report`` or the sentence; and what reads wrongly in it.

    Raises:
        Exception: it ends in neither.
    """
    count = part.write(scratch / "part")
    arguments = part.arguments(scratch / "part", scratch)
    try:
        folder = report(arguments)
        check_ledger(folder, count)
        if part.seed % 8 == 7:  # it judges three times
            start(arguments, scratch)
    except (SourceError, ParameterError) as error:
        return f"{type(error).__name__}: {error}", []
    return "report", list(find_faults(folder))


def main(count: int = 200, seed: int = 1) -> None:
    """Draw, and print how each part ended that ended in no report, and all that reads wrongly."""
    real = Path(os.environ.get("WORKBOOK_ARCHIVE", "../shared/data/archive"))
    archives = [fictional_year(), *real_archives(real)]
    ends, faults, began = Counter[str](), Counter[str](), time.monotonic()
    for number in range(seed, seed + count):
        with TemporaryDirectory() as name:
            part = draw(number, archives, Path(name))
            try:
                end, found = try_part(part, Path(name))
            except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
                print(f"seed {number}: {part}\n{traceback.format_exc()}", flush=True)
                end, found = "failure", []
        if end not in ("report", "failure"):
            print(f"seed {number}: {part}\n  {end}", flush=True)
        for fault in found:
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
