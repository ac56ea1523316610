"""The notebooks as articles, and the one that is there to look around."""

import re
from pathlib import Path
from typing import Any

import nbformat
import papermill

from analysis.commands.reporting import SITE_READS
from analysis.pages.publishing import find_reads
from analysis.report import site_pages
from analysis.report.findings import READ_TABLES
from analysis.report.site_evidence import COMPARED
from analysis.tables import WRITTEN_BY

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def _cells(notebook: Path, kind: str) -> list[Any]:
    cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    return [
        cell
        for cell in cells
        if cell.cell_type == kind and "parameters" not in cell.metadata.get("tags", [])
    ]


def test_a_notebook_runs_after_those_whose_tables_it_reads() -> None:
    """What it opens by name, and for the first page what ``summarise`` does."""
    reads = find_reads(NOTEBOOKS[1:])
    for notebook in NOTEBOOKS[1:]:
        code = "\n".join(cell.source for cell in _cells(notebook, "code"))
        read = set(re.findall(r'read_table\(tables, "(\w+)"\)', code))
        if "write_findings(" in code:
            read |= {*READ_TABLES, "messaging_verdicts"}
        if "show_flips(" in code:
            read |= {"verdicts"}
        writers = {WRITTEN_BY[name] for name in read}
        if "read_note(tables, REACHED)" in code:
            writers.add("2-confirmation")
        assert writers - {notebook.stem} == set(reads[notebook.stem]), notebook.stem


def test_the_pages_of_sites_wait_for_what_they_read() -> None:
    code = Path(site_pages.__file__).read_text(encoding="utf-8")
    tables = re.findall(r'read_table\(tables, "(\w+)"\)', code)
    notes = re.findall(r"read_note\(tables, (\w+)\)", code)
    assert len(tables) + len(notes) >= 10
    kept = {COMPARED: "5-method-comparison"}
    writers = {WRITTEN_BY[name] for name in tables}
    writers |= {kept.get(vars(site_pages)[name], "2-confirmation") for name in notes}
    assert writers == set(SITE_READS)


def test_one_can_look_around(fictional_report: Path, tmp_path: Path) -> None:
    """0-start runs as JupyterLab runs it, ends its cells in plain frames, and names the tables on a
    measurement's way."""
    start = NOTEBOOKS[0]
    before = start.read_bytes(), sorted(start.parent.iterdir())
    executed = papermill.execute_notebook(
        start, tmp_path / "done.ipynb", kernel_name="python3",
        progress_bar=False, cwd=str(start.parent),
        parameters={"store": str(fictional_report.parent / "store")},
    )  # fmt: skip
    assert (start.read_bytes(), sorted(start.parent.iterdir())) == before
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    frames = [o.data["text/plain"] for o in outputs if o.output_type == "execute_result"]
    assert len(frames) >= 6
    (tables,) = [frame for frame in frames if "row_count" in frame and "outcomes" in frame]
    names = {"observations", "profiled", "outcomes", "sessions", "verdicts", "intervals", "rules"}
    assert names <= set(re.findall(r"\w+", tables))
    assert any("unlisted" in frame for frame in frames)
    # What is shown has the look of a page, whose style comes once.
    html = [o.data["text/html"] for o in outputs
            if o.output_type == "display_data" and "text/html" in o.data]  # fmt: skip
    assert [part.count("<style>") for part in html] == [1] + [0] * (len(html) - 1)
    assert all('<div class="workbook">' in part for part in html)
