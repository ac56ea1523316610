"""The picture of the report: which listed sites are blocked on which networks."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import Language
from analysis.pages.formats import pair_target, site_link
from analysis.pages.html_tables import state_codes
from analysis.reference.networks import DOMESTIC
from analysis.report.verdict_words import open_template
from analysis.tables import name_network, read_table
from analysis.vocabulary import LISTED, MATRIX_STATES, State

#: So many sites have a row each; of more, the rows are categories.
MOST_SITES = 40
#: So many networks have a column: those with most listed sites.
_MOST_NETWORKS = 14
#: The state of a site on a network, the id of its mark, and what it opens.
_Cell = tuple[State, str, str]


def draw_listed(
    tables: str | Path, lang: Language, left_out: Collection[str] = frozenset()
) -> Markup:
    """Return the matrix of listed sites, by category, and the access networks that list any.

    Of more than ``MOST_SITES`` sites, a row is a category, and a cell has the number of its sites
    that are listed on the network.

    Args:
        tables: the folder of a report's tables.
        lang: of the page.
        left_out: sites that a meeting took off the page; they are counted and not named.
    """
    pairs, names = read_listed(Path(tables))
    listed = pairs[pairs["state"].isin(LISTED)]
    if listed.empty:
        return Markup("")
    networks = order_by_count(listed["probe_asn"])[:_MOST_NETWORKS]
    shown = pairs[pairs["probe_asn"].isin(networks) & ~pairs["domain"].isin(left_out)]
    codes = set(shown["state"])
    is_long = listed["domain"].nunique() > MOST_SITES
    draw = _count_categories if is_long else _list_sites
    macros = open_template("matrix.html.j2", lang).module
    return Markup(
        macros.listed(
            _name(networks, names),
            draw(shown, listed, networks),
            [(_id(code), state) for code, state in MATRIX_STATES.items() if code in codes],
            is_long,
            listed["probe_asn"].nunique() - len(networks),
            len(set(listed["domain"]) & set(left_out)),
        )
    )


def read_listed(tables: Path) -> tuple[pd.DataFrame, dict[Any, Any]]:
    """Return the pairs of listed sites on access networks: ``domain, category, probe_asn, state``
    (with its reason, if there is no conclusion) and ``mechanism``; and the names of networks.
    """
    verdicts, networks = read_table(tables, "verdicts"), read_table(tables, "networks")
    sites = read_table(tables, "blocked_sites")[["domain", "category"]]
    access = networks.loc[networks["kind"].isin(DOMESTIC), "probe_asn"]
    is_shown = (verdicts["period"] == "all") & verdicts["probe_asn"].isin(access)
    pairs = verdicts[is_shown].merge(sites, on="domain")
    names = dict(zip(networks["probe_asn"], networks["network"], strict=True))
    pairs = pairs.assign(state=state_codes(pairs))
    return pairs[["domain", "category", "probe_asn", "state", "mechanism"]], names


def _name(networks: Sequence[Any], names: Mapping[Any, str]) -> list[str]:
    """Return short names for the heads of columns: with the number where two share a name."""
    known = [names.get(asn) or "" for asn in networks]
    return [
        name if name and known.count(name) == 1 else name_network(name, asn)
        for asn, name in zip(networks, known, strict=True)
    ]


def order_by_count(values: pd.Series) -> list[Any]:
    """Return distinct values, the most frequent first, then in order."""
    counts = values.value_counts()
    return sorted(counts.index, key=lambda value: (-counts[value], value))


def _id(code: str) -> str:
    """Return the id of the mark of a state."""
    return f"listed-{code.replace(':', '-')}"


def _list_sites(
    pairs: pd.DataFrame, listed: pd.DataFrame, networks: list[Any]
) -> list[tuple[str, list[tuple[Markup, list[_Cell]]]]]:
    """Return each category with its sites: the name, and what is shown of each network."""
    states = pairs.set_index(["domain", "probe_asn"])["state"].to_dict()
    category_of: dict[Any, str] = listed.groupby("domain")["category"].first().to_dict()
    counts = listed["domain"].value_counts().to_dict()
    categories = order_by_count(pd.Series(category_of))

    def show(site: str, asn: object) -> _Cell:
        code = states.get((site, asn), "")
        return MATRIX_STATES[code], _id(code), pair_target(site, asn) if code else ""

    def draw(site: str) -> tuple[Markup, list[_Cell]]:
        return site_link(site), [show(site, asn) for asn in networks]

    ordered = sorted(
        map(str, set(category_of) & set(pairs["domain"])),
        key=lambda site: (categories.index(category_of[site]), -counts[site], site),
    )
    return [
        (category, list(map(draw, sites)))
        for category, sites in groupby(ordered, key=lambda site: category_of[site])
    ]


def _count_categories(
    pairs: pd.DataFrame, listed: pd.DataFrame, networks: list[Any]
) -> list[tuple[str, int, list[int]]]:
    """Return each category with the number of its listed sites: in all, and on each network."""
    whole = listed.groupby("category")["domain"].nunique()
    on_network = listed.groupby(["category", "probe_asn"]).size()
    order = sorted(whole.index, key=lambda category: (-whole[category], category))
    return [
        (
            category,
            int(whole[category]),
            [int(on_network.get((category, asn), 0)) for asn in networks],
        )
        for category in order
    ]
