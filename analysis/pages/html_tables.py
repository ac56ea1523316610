"""A frame → HTML: a table, or a matrix with a row and a column for each pair."""

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
#: What its class lets the style sheet do with a column's cells.
_CLASSES: dict[Kind, str] = {
    **{kind: kind for kind in ("list", "text", "state")},
    "chance": "text",
    **dict.fromkeys(_NUMBERS, "number"),
    "asn": "network",
}
#: Columns that fit a page upright, and across; notes beside many need the latter sooner.
_UPRIGHT, _ACROSS, _ACROSS_WITH_NOTES = 8, 11, 8
_MANY_NETWORKS, _MOST_NETWORKS = 12, 20
#: Rows that a page holds besides those shown at once, where they can be had elsewhere.
MOST_FOLDED = 100
#: So many networks stand side by side.
MOST_NETWORKS = 50
#: Rows of a table that a page holds in any case: whoever makes up names makes up rows.
MOST_ROWS = 2_000


def blocks(lang: Language = ENGLISH) -> Any:
    """The templates of what stands on a page."""
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
    """A frame as a table, its headings and codes in a language; see ``show.show_table``."""
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
    """A network has one column: its own name stands with its number, where a frame has both."""
    if not {"probe_asn", "network"} <= set(frame):
        return frame, networks
    own = dict(zip(frame["probe_asn"], frame["network"].astype(str), strict=True))
    return frame.drop(columns="network"), {**networks, **own}


def _head(name: str, networks: Mapping[int, str]) -> str:
    """What heads a column; numbers of networks that have names are networks."""
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
    """Sites × networks as marks; see ``show.show_matrix``."""
    if "insufficient_reason" in frame:
        reason = frame["insufficient_reason"]
        words = frame["state"] + (":" + reason).where(reason != "", "")
        frame = frame.assign(state=words)
    states = ordered_matrix(frame, counted)
    network_count = len(states.columns)
    states = states[_find_told(states)]
    heads = [name_network(names.get(asn), asn) for asn in states.columns]
    looks = {
        code: MATRIX_STATES.get(code, State(code, "", "", "", ""))
        for code in sorted(pd.unique(states.to_numpy().ravel()))
    }
    prefix = hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    ids = {code: f"k{prefix}-{place}" for place, code in enumerate(looks)}
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
        # the totals of what is unfolded are those of all
        summed = states if shown.index[0] == states.index[0] else shown
        is_counted = [counted is None or asn in counted for asn in states.columns]
        totals = summed.isin(LISTED).sum()
        column = "test" if first_head else "domain"
        rows = list(_matrix_rows(shown, looks, ids, column, is_counted))
        counts = [
            number(int(count)) if is_told else ""
            for count, is_told in zip(totals, is_counted, strict=True)
        ]
        total = number(int(totals[is_counted].sum()))
        content = blocks().matrix(
            part["caption"], first_head, heads, rows, len(summed), counts, total
        )
        parts.append({**part, "content": content})
    width = _width(len(states.columns), _MANY_NETWORKS, _MOST_NETWORKS)
    symbols = blocks().symbols([(ids[code], look) for code, look in looks.items()])
    return Markup(symbols) + Markup(blocks().parts(parts, width, note, left_out, anchor))


def _find_told(states: pd.DataFrame) -> pd.Index:
    """The networks that a matrix shows: those on which most is known, where there are very many.

    Anybody may make up networks, one a measurement.
    """
    is_known = states.map(lambda state: state.partition(":")[0] not in ("", "insufficient"))
    most = is_known.sum().sort_values(ascending=False, kind="stable").index[:MOST_NETWORKS]
    return states.columns[states.columns.isin(most)]


def _folded(
    frame: pd.DataFrame,
    caption: str,
    fold_after: int,
    what: str,
    whole: int,
    lang: Language = ENGLISH,
) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """The first rows, and those that are folded, with what each part is called."""
    first, rest = frame.iloc[:fold_after], frame.iloc[fold_after:]
    yield first, {"caption": caption}
    if len(rest):
        what = {"rows": lang.say("rows"), "sites": lang.say("sites")}[what]
        named = lang.say(
            "{caption} – {what} from {first}", caption=caption, what=what, first=fold_after + 1
        )
        summary = (
            lang.say("Show the other {n} of {all} {what}", n=len(rest), all=whole, what=what)
            if len(frame) == whole
            else lang.say("Show {n} more of {all} {what}", n=len(rest), all=whole, what=what)
        )
        yield rest, {"caption": named, "summary": summary}


def _rows(
    frame: pd.DataFrame, kinds: Mapping[str, Kind], networks: Mapping[int, str], lang: Language
) -> Iterator[dict[str, Any]]:
    """The cells of each row; the first one heads it, unless it is empty."""
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
    """How much of a page so many columns need: upright, upright and small, or across."""
    return "" if count <= upright else " wide" if count <= across else " widest"


def _matrix_rows(
    states: pd.DataFrame,
    looks: Mapping[str, State],
    ids: Mapping[str, str],
    column: str,
    is_counted: Sequence[bool],
) -> Iterator[dict[str, Any]]:
    """The cells of each row; that of a tested pair leads to its sessions."""
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
    """Sites down, networks across, ordered so that blocks gather.

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
