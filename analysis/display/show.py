"""What a notebook calls to show something. Each call displays and returns nothing.

The HTML carries classes and no style: ``page/style.css`` gives it its look when the notebook is
published, and a notebook open in JupyterLab shows it plainly. Everything is escaped here, at the
source; no string that comes in can act as markup.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Literal

import pandas as pd
from IPython.display import display
from matplotlib import pyplot
from matplotlib.figure import Figure

from analysis.display.cells import (
    NOTES,
    Kind,
    cell,
    column_kind,
    is_empty,
    link,
    number,
    safe,
    state_mark,
    states_legend,
)
from analysis.display.grids import ordered_matrix
from analysis.display.style import style
from analysis.vocabulary import LISTED, STATES, heading

_WIDTHS: dict[Kind, str] = {kind: f' class="{kind}"' for kind in ("list", "text", "state")}
_RIGHT: frozenset[Kind] = frozenset({"number", "share"})


def show_table(
    frame: pd.DataFrame,
    *,
    caption: str,
    note: str = "",
    fold_after: int = 40,
    headings: Mapping[str, str] | None = None,
) -> None:
    """Show a frame as a table; the index is not shown, the first column heads each row.

    Args:
        frame: any frame; columns named as in the contract are shown as what they are: counts
            with thousands, shares as per cent, states as mark and word, ``true`` as yes.
        caption: what the table is, in one line; unique on the page.
        note: a sentence under it.
        fold_after: rows past this many are folded (and printed).
        headings: words for columns that differ from the vocabulary (``words.HEADINGS``).
    """
    if frame.empty:
        _show(
            f'<div class="table nothing"><p class="caption">{safe(caption)}</p>'
            f"<p>No rows.</p>{_note(note)}</div>"
        )
        return
    words = {str(name): (headings or {}).get(str(name), heading(str(name))) for name in frame}
    kinds = {str(name): column_kind(name, frame[name]) for name in frame}
    first, rest = frame.iloc[:fold_after], frame.iloc[fold_after:]
    parts = [_table(first, caption, words, kinds)]
    if len(rest):
        summary = f"Show the other {len(rest):,} of {len(frame):,} rows"
        folded = _table(rest, f"{caption} – rows from {fold_after + 1:,}", words, kinds)
        parts.append(f'<details class="rows"><summary>{summary}</summary>{folded}</details>')
    # notes beside many columns need a page across
    most = 8 if NOTES.intersection(words) else 11
    width = "" if len(words) <= 8 else " wide" if len(words) <= most else " widest"
    _show(f'<div class="table{width}">{"".join(parts)}{_note(note)}</div>')


def show_figure(figure: Figure, *, alt: str, caption: str) -> None:
    """Show a figure and close it.

    A figure with the attribute ``is_dense`` becomes a PNG, any other an SVG; the same figure
    gives the same bytes on every run.

    Args:
        alt: what a reader who cannot see it needs to know; the template refuses a figure
            without.
        caption: one or two sentences under the figure.

    Raises:
        ValueError: ``alt`` is empty.
    """
    if not alt.strip():
        raise ValueError(f"the figure {caption!r} has no alternative text")
    words = {"alt": alt, "caption": caption}
    if getattr(figure, "is_dense", False):
        _display("image/png", b64encode(figure_bytes(figure, "png")).decode("ascii"), words)
    else:
        _display("image/svg+xml", figure_bytes(figure, "svg").decode("utf-8"), words)
    pyplot.close(figure)


def figure_bytes(figure: Figure, format: Literal["svg", "png"]) -> bytes:
    """A figure as a file, the same bytes for the same figure: no date, no version, no chance."""
    buffer = BytesIO()
    with style():
        if format == "png":
            figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
        else:
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def show_finding(
    number: int | str, claim: str, reading: str = "", caveat: str = "", evidence: str = ""
) -> None:
    """Show a numbered finding: the claim in bold, how to read it, its caveat, its evidence.

    Args:
        number: 1 or "F1"; also the anchor (``#F1``).
        evidence: a file of the report (``4-blocked-sites.html#F2``, ``tables/verdicts.csv``),
            which becomes a link, or plain words.
    """
    name = _finding_name(number)
    paragraphs = [("reading", safe(reading)), ("caveat", safe(caveat))]
    if evidence:
        paragraphs.append(("evidence", f"Evidence: {link(evidence, evidence)}"))
    _show(
        f'<div class="finding" id="{name}"><p class="claim"><span class="name">{name}</span> '
        f"<strong>{safe(claim)}</strong></p>"
        + "".join(f'<p class="{kind}">{text}</p>' for kind, text in paragraphs if text)
        + "</div>"
    )


def show_numbers(numbers: Iterable[tuple[object, str, str]]) -> None:
    """Show big numbers, each ``(value, label, caveat)``: what it counts, out of what, and why
    it may mislead."""
    items = "".join(
        f'<li><span class="value">{safe(_amount(value))}</span> '
        f'<span class="label">{safe(label)}</span>'
        + (f' <span class="caveat">{safe(caveat)}</span>' if caveat else "")
        + "</li>"
        for value, label, caveat in numbers
    )
    _show(f'<ul class="numbers">{items}</ul>')


def show_text(*paragraphs: str) -> None:
    """Show plain paragraphs; nothing in them is markup."""
    text = "".join(f"<p>{safe(paragraph)}</p>" for paragraph in paragraphs)
    _show(f'<div class="prose">{text}</div>')


def show_sources(sources: Mapping[str, object]) -> None:
    """Show what a page used: name of the source → rows, period, digest, licence."""
    _show(_definitions(sources, "sources"))


def show_provenance(mapping: Mapping[str, object]) -> None:
    """Show where a page comes from: versions, digests, counts. Values may be lists or mappings."""
    _show(_definitions(mapping, "provenance"))


def show_parameters(mapping: Mapping[str, object], help: Mapping[str, str]) -> None:
    """Show the parameters that decide a result, with what each one means.

    Args:
        mapping: name → value. Leave out folders and job counts: they differ between machines.
        help: name → one sentence.
    """
    frame = pd.DataFrame(
        {
            "parameter": list(mapping),
            "value": [_plain(value) for value in mapping.values()],
            "meaning": [help.get(name, "") for name in mapping],
        }
    )
    show_table(frame, caption="Parameters", fold_after=len(frame) or 1)


def show_states() -> None:
    """Show the legend: every state with its mark and what it means."""
    _show(states_legend())


def show_matrix(
    frame: pd.DataFrame,
    *,
    caption: str,
    names: Mapping[str, str] | None = None,
    note: str = "",
    fold_after: int = 60,
) -> None:
    """Show sites × networks as marks, the most blocked first; every cell has words as well.

    Args:
        frame: ``domain, probe_asn, state``; one row per pair, a missing pair is not tested.
        names: ``AS123`` → name of the network.
        fold_after: sites past this many are folded (and printed).
    """
    if frame.empty:
        show_table(frame, caption=caption, note=note)
        return
    states = ordered_matrix(frame)
    first, rest = states.iloc[:fold_after], states.iloc[fold_after:]
    parts = [_matrix(first, states, caption, names or {})]
    if len(rest):
        folded = _matrix(rest, rest, f"{caption} – sites from {fold_after + 1:,}", names or {})
        summary = f"Show the other {len(rest):,} of {len(states):,} sites"
        parts.append(f'<details class="rows"><summary>{summary}</summary>{folded}</details>')
    width = " widest" if len(states.columns) > 12 else ""
    _show(f'<div class="table{width}">{"".join(parts)}{_note(note)}</div>')


def _table(
    frame: pd.DataFrame, caption: str, words: Mapping[str, str], kinds: Mapping[str, Kind]
) -> str:
    head = "".join(
        f'<th scope="col"{_align(kinds[name])}>{safe(text)}</th>' for name, text in words.items()
    )
    body = "".join(
        "<tr>"
        + "".join(
            _cell(place, name, kinds[name], value)
            for place, (name, value) in enumerate(zip(words, row, strict=True))
        )
        + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="Table: {safe(caption)}">'
        f"<table><caption>{safe(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _matrix(
    states: pd.DataFrame, counted: pd.DataFrame, caption: str, names: Mapping[str, str]
) -> str:
    """A matrix; the last row counts the listed sites of ``counted`` on each network."""
    head = "".join(
        f'<th scope="col"><span class="turned">{safe(asn)} {safe(names.get(asn, ""))}</span></th>'
        for asn in states.columns
    )
    body = "".join(
        f'<tr><th scope="row">{cell("domain", "text", site)}</th>'
        + "".join(_mark_cell(code) for code in row)
        + f'<td class="number">{sum(code in LISTED for code in row)}</td></tr>'
        for site, row in zip(states.index, states.itertuples(index=False, name=None), strict=True)
    )
    totals = counted.isin(LISTED).sum()
    foot = "".join(f"<td>{number(int(count))}</td>" for count in totals)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="Table: {safe(caption)}">'
        f'<table class="matrix"><caption>{safe(caption)}</caption>'
        f'<thead><tr><th scope="col">Site</th>{head}'
        '<th scope="col" class="number"><span class="turned">Networks</span></th></tr></thead>'
        f'<tbody>{body}</tbody><tfoot><tr><th scope="row">Blocked or likely blocked</th>{foot}'
        f'<td class="number">{number(int(totals.sum()))}</td></tr></tfoot></table></div>'
    )


def _mark_cell(code: str) -> str:
    words = safe(STATES[code].words) if code in STATES else safe(code)
    mark = state_mark(code) if code in STATES else ""
    return f'<td title="{words}">{mark}<span class="unseen">{words}</span></td>'


def _cell(place: int, name: str, kind: Kind, value: object) -> str:
    content = cell(name, kind, value)
    if place == 0 and not is_empty(value):
        return f'<th scope="row"{_align(kind)}>{content}</th>'
    width = _WIDTHS.get(kind, _align(kind))
    if name in NOTES:
        width = ' class="long"'
    return f"<td{width}>{content}</td>"


def _align(kind: Kind) -> str:
    return ' class="number"' if kind in _RIGHT else ""


def _note(note: str) -> str:
    return f'<p class="note">{safe(note)}</p>' if note else ""


def _finding_name(number: int | str) -> str:
    digits = str(number).removeprefix("F")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"a finding is numbered 1, 2 …, not {number!r}")
    return f"F{digits}"


def _amount(value: object) -> str:
    return value if isinstance(value, str) else number(value)


def _definitions(mapping: Mapping[str, object], kind: str) -> str:
    items = "".join(
        f"<dt>{safe(name)}</dt><dd>{_definition(value)}</dd>" for name, value in mapping.items()
    )
    return f'<dl class="{kind}">{items}</dl>'


def _definition(value: object) -> str:
    if isinstance(value, Mapping):
        return _definitions(value, "inner") if value else "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "<br>".join(safe(_plain(item)) for item in value) or "none"
    return safe(_plain(value))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_plain(item) for item in value) or "none"
    return "none" if is_empty(value) else str(value)


def _show(html: str) -> None:
    _display("text/html", html, {})


def _display(mime: str, data: str, words: Mapping[str, str]) -> None:
    metadata = {mime: dict(words)} if words else {}
    display({mime: data}, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]
