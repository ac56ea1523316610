"""Functions with which a notebook shows tables, figures and text, and records headline numbers.

Each call displays and returns nothing. All strings are escaped here, so that none acts as markup. A
page has a style sheet; in an open notebook each output includes the style.
"""

import re
import warnings
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pandas as pd
from IPython.display import display
from markupsafe import Markup

from analysis.pages.formats import FINDINGS, is_page, is_publishing, link, notebook_style, plain
from analysis.pages.html_tables import blocks, render_matrix, render_table
from analysis.tables import disarm
from analysis.vocabulary import MATRIX_STATES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_table(
    frame: pd.DataFrame,
    *,
    caption: str,
    note: str = "",
    fold_after: int = 40,
    headings: Mapping[str, str] | None = None,
    file: str = "",
    is_printed: bool | None = None,
    networks: Mapping[int, str] | None = None,
    anchor: str = "",
) -> None:
    """Show a frame as a table; the index is not shown, the first column heads each row.

    Args:
        frame: any frame; columns named as in the contract are shown by their kind: counts with
            thousands separators, shares as per cent, states as mark and word, ``true`` as yes.
        caption: description of the table in one line, unique on the page.
        note: a sentence under it.
        fold_after: the number of rows that are not folded.
        headings: headings of columns that differ from ``headings.HEADINGS``.
        file: a published table that has all rows.
        is_printed: whether all folded rows are on the page and printed; by default if no file has
            them. Otherwise the page has a limited number of rows.
        networks: number → name: numbers of networks are shown after their names. If the frame
            has ``network`` and ``probe_asn``, the two are one column in any case.
        anchor: id of the table, for links from a figure.
    """
    table = render_table(
        frame,
        caption,
        note,
        fold_after,
        headings or {},
        file=file,
        is_printed=is_printed,
        networks=networks,
        anchor=anchor,
    )
    show_markup(table)


def show_figure(figure: "Figure", *, alt: str, caption: str, opens: str = "") -> None:
    """Show a figure as a picture and close it; the same figure gives the same bytes on every run.

    A page offers it as SVG and PNG, and its data as CSV; the files are embedded in the page.

    Args:
        alt: the content of the figure in words, for readers who cannot see it.
        caption: one or two sentences under the figure.
        opens: target of a link on the picture, such as the table of its counts
            (``#table-networks``); an open notebook has no such link.
    """
    from matplotlib import pyplot  # slow to import, and not needed by a page without a figure

    from analysis.pages.plots import DRAWN, style

    svg, png = BytesIO(), BytesIO()
    # matplotlib warns of letters that the font does not have
    with style(), warnings.catch_warnings(action="ignore"):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        if is_publishing():
            figure.set_layout_engine("none")  # the same layout as in the SVG
            figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    pyplot.close(figure)
    drawn = _as_uri("image/svg+xml", svg.getvalue())
    files = {}
    if is_publishing():
        files = {"svg": drawn, "png": _as_uri("image/png", png.getvalue())}
        frame = vars(figure).get(DRAWN)
        if frame is not None:
            is_named = not isinstance(frame.index, pd.RangeIndex)
            cells = frame.rename(index=_disarmed, columns=_disarmed).map(_disarmed)
            text = cells.to_csv(index=is_named, lineterminator="\n")
            files["csv"] = _as_uri("text/csv", text.encode())
    stem = re.sub(r"[^a-z0-9]+", "-", caption.lower())[:60].strip("-")
    target = opens if is_page() else ""
    show_markup(blocks().picture(drawn, alt, caption, files, stem, target))


def _as_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"


def _disarmed(value: object) -> object:
    return disarm(value) if isinstance(value, str) else value


def show_finding(
    name: str,
    claim: str,
    reading: str = "",
    caveat: str | Sequence[str] = "",
    evidence: str = "",
) -> None:
    """Show a finding of a page: the claim in bold, how to read it, its caveat, its evidence.

    Only the first page has the numbered findings of the report.

    Args:
        name: name of the anchor: ``coverage`` gives ``#claim-coverage``.
        claim, reading, caveat: text, or the result of ``numbered``. Of several caveats, those after
            the first are folded.
        evidence: a file of the report (``4-blocked-sites.html#set-aside``,
            ``tables/verdicts.csv``), which becomes a link, or plain words.

    Raises:
        ValueError: the name is not made of small letters and hyphens.
    """
    if not re.fullmatch("[a-z]+(-[a-z]+)*", name):
        raise ValueError(f"a claim is named by small letters and hyphens, not {name!r}")
    target = link(evidence, evidence) if evidence else ""
    show_markup(blocks().finding(f"claim-{name}", claim, reading, caveat, target))


def show_text(*paragraphs: str) -> None:
    """Show paragraphs of plain text."""
    show_markup(blocks().paragraphs(paragraphs))


def show_markup(html: Markup) -> None:
    """Show markup in which every text is escaped."""
    look = "" if is_publishing() else notebook_style()
    wrapped = Markup('<div class="workbook">{}</div>').format(html)
    display({"text/html": f"{look}{wrapped}"}, raw=True)  # type: ignore[no-untyped-call]


def record_findings(**findings: tuple[Any, str]) -> None:
    """Record a notebook's headline numbers for ``run.json``. Nothing is shown.

    Args:
        findings: name → the value, and the table from which it was read.
    """
    content = {
        name: {"value": value.item() if hasattr(value, "item") else value, "table": table}
        for name, (value, table) in findings.items()
    }
    display({FINDINGS: content}, raw=True)  # type: ignore[no-untyped-call]


def show_progress(task: str) -> Callable[[int, int], None]:
    """Show the progress of a long cell in an open notebook, in a line that changes.

    On a page nothing is shown.

    Args:
        task: words for the work, with which the line begins.

    Returns:
        A function of two numbers: the steps done, and all steps.
    """
    if is_page():
        return lambda done, total: None
    line = display({"text/plain": f"{task} …"}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def say(done: int, total: int) -> None:
        line.update({"text/plain": f"{task}: {done:,} of {total:,}"}, raw=True)

    return say


def show_provenance(mapping: Mapping[str, object]) -> None:
    """Show the provenance of a page: versions, digests, counts; values may be lists or mappings."""
    show_markup(
        blocks().folded("Versions and checksums", blocks().definitions(mapping, "provenance"))
    )


def show_parameters(mapping: Mapping[str, object], help: Mapping[str, str]) -> None:
    """Show the parameters that decide a result, with their meanings.

    Args:
        mapping: name → value. Leave out folders and job counts: they differ between machines.
        help: name → its meaning, in a sentence.
    """
    frame = pd.DataFrame(
        {
            "parameter": list(mapping),
            "value": list(map(plain, mapping.values())),
            "meaning": [help.get(name, "") for name in mapping],
        }
    )
    show_table(frame, caption="Parameters", fold_after=len(frame) or 1)


def show_states() -> None:
    """Show the legend: every state with its mark and meaning."""
    show_markup(
        blocks().key([state for code, state in MATRIX_STATES.items() if code != "insufficient"])
    )


def show_matrix(
    frame: pd.DataFrame,
    *,
    caption: str,
    names: Mapping[int, str] | None = None,
    note: str = "",
    first_head: str = "",
    file: str = "verdicts.csv",
    counted: Collection[str] | None = None,
    anchor: str = "",
) -> None:
    """Show sites × networks as marks, the most blocked first; every cell has words as well.

    On a page the cell of a tested pair links to its sessions, if the site has a page.

    Args:
        frame: ``domain, probe_asn, state``, and ``insufficient_reason`` if the words of a cell
            include it; one row per pair, a missing pair is not tested.
        names: number → name of the network.
        first_head: heading of the rows, if they are no sites.
        file: the published table that has all rows.
        counted: the networks that count in the totals; by default all.
        anchor: id of the table, for links from a figure.
    """
    if frame.empty:
        show_table(frame, caption=caption, note=note, anchor=anchor)
    else:
        show_markup(
            render_matrix(frame, caption, note, 20, names or {}, first_head, file, counted, anchor)
        )
