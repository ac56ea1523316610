"""HTML of a frame: a table, or a matrix of sites and networks."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.columns import Kind
from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import (
    cell,
    column_kind,
    is_empty,
    link,
    macros,
    number,
    pair_target,
)
from analysis.pages.headings import heading
from analysis.tables import name_network
from analysis.vocabulary import LISTED, MATRIX_STATES, State

_NUMBERS: tuple[Kind, ...] = ("number", "count", "share", "score", "evidence")
#: Kind of a column → the CSS class of its cells.
_CLASSES: dict[Kind, str] = {
    **{kind: kind for kind in ("list", "text", "state")},
    "chance": "text",
    **dict.fromkeys(_NUMBERS, "number"),
    "asn": "network",
}
#: The number of columns that fit a page upright, across, and across with a column of notes.
_UPRIGHT, _ACROSS, _ACROSS_WITH_NOTES = 8, 11, 8
_MANY_NETWORKS, _MOST_NETWORKS = 12, 20
#: Folded rows on a page, if a file has all rows.
MOST_FOLDED = 100
#: Networks in a matrix, at most.
MOST_NETWORKS = 50
#: Rows of a table, at most: somebody who invents names of sites adds rows.
MOST_ROWS = 2_000


def blocks(lang: Language = ENGLISH) -> Any:
    """Return the template macros of tables, findings, figures and lists."""
    return macros("blocks.html.j2", lang)


def render_table(
    frame: pd.DataFrame,
    caption: str,
    note: str,
    fold_after: int,
    headings: Mapping[str, str],
    *,
    file: str = "",
    is_printed: bool | None = None,
    networks: Mapping[int, str] | None = None,
    lang: Language = ENGLISH,
    anchor: str = "",
) -> Markup:
    """Return a frame as a table, its headings and codes in a language; see ``show.show_table``."""
    form = blocks(lang)
    frame, networks = _join_names(frame, networks or {})
    if frame.empty:
        return Markup(form.nothing(caption, note, anchor))
    whole, is_printed = len(frame), not file if is_printed is None else is_printed
    frame = frame.iloc[: MOST_ROWS if is_printed else fold_after + MOST_FOLDED]
    left_out = {
        "rows": whole - len(frame),
        "paper": 0 if is_printed else max(whole - fold_after, 0),
        "all": whole,
        "networks": 0,
        "file": link(f"tables/{file}", file) if file else "",
    }
    kinds = {str(name): column_kind(name, frame[name]) for name in frame}
    heads = [
        {
            "text": headings.get(name) or lang.say(_head(name, networks)),
            "align": "number" if kind in _NUMBERS else "",
            "class": "long" if kind == "sentence" else _CLASSES.get(kind, ""),
        }
        for name, kind in kinds.items()
    ]
    parts = [
        {
            **part,
            "content": form.table(part["caption"], heads, _rows(rows, kinds, networks, lang)),
        }
        for rows, part in _folded(frame, caption, fold_after, "rows", whole, lang)
    ]
    across = _ACROSS_WITH_NOTES if "sentence" in kinds.values() else _ACROSS
    width = _width(len(kinds), _UPRIGHT, across)
    return Markup(form.parts(parts, width, note, left_out, anchor))


def _join_names(
    frame: pd.DataFrame, networks: Mapping[int, str]
) -> tuple[pd.DataFrame, Mapping[int, str]]:
    """Return the frame without a column of names, and these added to the names of networks.

    A network has one column: its name and number are shown together.
    """
    if not {"probe_asn", "network"} <= set(frame):
        return frame, networks
    own = dict(zip(frame["probe_asn"], frame["network"].astype(str), strict=True))
    return frame.drop(columns="network"), {**networks, **own}


def _head(name: str, networks: Mapping[int, str]) -> str:
    """Return the heading of a column; a network's number is headed *Network* if it is named."""
    named = {"probe_asn": "Network", "probe_asns": "Networks"} if networks else {}
    return named.get(name) or heading(name)


def render_matrix(
    frame: pd.DataFrame,
    caption: str,
    note: str,
    fold_after: int,
    names: Mapping[Any, str],
    first_head: str = "",
    file: str = "verdicts.csv",
    counted: Collection[str] | None = None,
    anchor: str = "",
) -> Markup:
    """Return a matrix of sites × networks with the mark of each state; see ``show.show_matrix``."""
    if "insufficient_reason" in frame:
        frame = frame.assign(state=state_codes(frame))
    states = ordered_matrix(frame, counted)
    network_count = len(states.columns)
    states = states[_choose_networks(states)]
    heads = [name_network(names.get(asn), asn) for asn in states.columns]
    looks = {
        code: MATRIX_STATES.get(code, State(code, "", "", "", ""))
        for code in sorted(pd.unique(states.to_numpy().ravel()))
    }
    prefix = hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    ids = {code: f"k{prefix}-{index}" for index, code in enumerate(looks)}
    left_out = {
        "rows": max(len(states) - fold_after - MOST_FOLDED, 0),
        "all": len(states),
        "paper": max(len(states) - fold_after, 0),
        "file": link(f"tables/{file}", file),
        "networks": network_count - len(states.columns),
    }
    parts = []
    most = states.iloc[: fold_after + MOST_FOLDED]
    for shown, part in _folded(most, caption, fold_after, "sites", len(states)):
        # the first part, which is not folded, has the totals of all rows
        summed = states if shown.index[0] == states.index[0] else shown
        is_counted = [counted is None or asn in counted for asn in states.columns]
        totals = summed.isin(LISTED).sum()
        column = "test" if first_head else "domain"
        rows = list(_matrix_rows(shown, looks, ids, column, is_counted))
        counts = [
            number(int(count)) if has_total else ""
            for count, has_total in zip(totals, is_counted, strict=True)
        ]
        total = number(int(totals[is_counted].sum()))
        content = blocks().matrix(
            part["caption"], first_head, heads, rows, len(summed), counts, total
        )
        parts.append({**part, "content": content})
    width = _width(len(states.columns), _MANY_NETWORKS, _MOST_NETWORKS)
    symbols = blocks().symbols([(ids[code], look) for code, look in looks.items()])
    return Markup(symbols) + Markup(blocks().parts(parts, width, note, left_out, anchor))


def state_codes(frame: pd.DataFrame) -> pd.Series:
    """Return the states as keys of ``vocabulary.MATRIX_STATES``, with the reason if it is known."""
    reason = frame["insufficient_reason"].fillna("")
    return frame["state"] + (":" + reason).where(reason != "", "")


def _choose_networks(states: pd.DataFrame) -> pd.Index:
    """Return the networks in a matrix: if there are very many, those with most known states.

    Anybody can invent networks, one for each measurement.
    """
    is_known = states.map(lambda state: state.partition(":")[0] not in ("", "insufficient"))
    chosen = is_known.sum().sort_values(ascending=False, kind="stable").index[:MOST_NETWORKS]
    return states.columns[states.columns.isin(chosen)]


def _folded(
    frame: pd.DataFrame,
    caption: str,
    fold_after: int,
    what: str,
    whole: int,
    lang: Language = ENGLISH,
) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """Iterate over the first rows and the folded rows, each with caption and summary."""
    first, folded = frame.iloc[:fold_after], frame.iloc[fold_after:]
    yield first, {"caption": caption}
    if len(folded):
        what = {"rows": lang.say("rows"), "sites": lang.say("sites")}[what]
        named = lang.say(
            "{caption} – {what} from {first}", caption=caption, what=what, first=fold_after + 1
        )
        summary = (
            lang.say("Show the other {n} of {all} {what}", n=len(folded), all=whole, what=what)
            if len(frame) == whole
            else lang.say("Show {n} more of {all} {what}", n=len(folded), all=whole, what=what)
        )
        yield folded, {"caption": named, "summary": summary}


def _rows(
    frame: pd.DataFrame, kinds: Mapping[str, Kind], networks: Mapping[int, str], lang: Language
) -> Iterator[dict[str, Any]]:
    """Iterate over the rows as cells, of which the first heads the row unless it is empty."""
    sites = frame["domain"].astype(str) if "domain" in frame else [""] * len(frame)
    for site, row in zip(sites, frame.itertuples(index=False, name=None), strict=True):
        yield {
            "is_headed": not is_empty(row[0]),
            "cells": [
                cell(name, kind, value, networks, lang, site)
                for (name, kind), value in zip(kinds.items(), row, strict=True)
            ],
        }


def _width(count: int, upright: int, across: int) -> str:
    """Return the CSS class for a number of columns: upright, upright and small, or across."""
    return "" if count <= upright else " wide" if count <= across else " widest"


def _matrix_rows(
    states: pd.DataFrame,
    looks: Mapping[str, State],
    ids: Mapping[str, str],
    column: str,
    is_counted: Sequence[bool],
) -> Iterator[dict[str, Any]]:
    """Iterate over the rows of a matrix; the cell of a tested pair links to its sessions."""
    square = blocks().square
    for site, row in zip(states.index, states.itertuples(index=False, name=None), strict=True):
        domain = str(site) if column == "domain" else ""
        squares = [
            square(looks[code], ids[code], pair_target(domain, asn) if code else "")
            for asn, code in zip(states.columns, row, strict=True)
        ]
        yield {
            "site": cell(column, "text", site),
            "squares": Markup("").join(squares),
            "count": sum(code in LISTED for code in compress(row, is_counted)),
        }


def ordered_matrix(frame: pd.DataFrame, counted: Collection[str] | None = None) -> pd.DataFrame:
    """Return a matrix of states in which sites and networks with most blocks come first.

    Args:
        frame: ``domain, probe_asn, state``, one row per pair.
        counted: the networks whose blocks order the sites; by default all.

    Returns:
        A frame of states, ``""`` where there is no row; the index is ``domain``, the columns are
        the numbers of networks. Most listed cells first, then by name.
    """
    states = frame.pivot(index="domain", columns="probe_asn", values="state").fillna("")
    listed = states.isin(LISTED)
    own = listed if counted is None else listed.loc[:, listed.columns.isin(list(counted))]
    sites = sorted(states.index, key=lambda site: (-own.loc[site].sum(), site))
    networks = sorted(states.columns, key=lambda asn: (-listed[asn].sum(), asn))
    return states.loc[sites, networks]
