"""What the tables say of each site, gathered once for all pages."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.period import Period
from analysis.reference.events import Event
from analysis.reference.networks import DOMESTIC
from analysis.report.site_evidence import COMPARED, FLAGS, SPANS
from analysis.study.table_folder import read_note
from analysis.tables import read_table
from analysis.verdicts.states import STATES_BY_STRENGTH
from analysis.vocabulary import LISTED

#: A row of a table, by the names of its columns.
Row = Any
_RANKS = {state: rank for rank, state in enumerate(STATES_BY_STRENGTH)}
#: The rows of so many sites are taken out of the tables at a time: as objects they are large.
_AT_A_TIME = 200


@dataclass(frozen=True)
class Setting:
    """What is the same for all sites of a report.

    Attributes:
        probe_cc: the country.
        period: the whole period.
        events: known events within it, by day.
        is_fictional: OONI knows nothing of the country.
        root: the way from a site's page to the top of the report.
    """

    probe_cc: str
    period: Period
    events: Sequence[Event] = ()
    is_fictional: bool = False
    root: str = "../"


class Span(NamedTuple):
    """A row of ``site_evidence.count_spans`` without its site and network."""

    unit_days: int
    span: int
    blocked_count: int
    ok_count: int
    down_count: int
    unclear_count: int


@dataclass(frozen=True)
class SiteRecord:
    """What is known of one site.

    Attributes:
        site: its row of ``sites``.
        category: in words.
        spans: gives for a probe_asn its sessions by span of days.
        cells: its rows of ``verdicts`` for the whole period, with ``network`` and ``kind``; the
            strongest state first, of equals the one with most sessions.
        stretches: probe_asn → its rows of ``blocked_site_networks``.
        withheld: probe_asn → its rows of ``withheld_intervals``.
        flags: OONI's counts of flags, if there are any.
        methods: which methods list it, a row of ``differences.compare_methods``; None: none does.
        note: why it is set aside, in a sentence.
    """

    site: Row
    category: str
    spans: Callable[[str], list[Span]]
    cells: list[Row] = field(default_factory=list)
    stretches: dict[str, list[Row]] = field(default_factory=dict)
    withheld: dict[str, list[Row]] = field(default_factory=dict)
    flags: Row | None = None
    methods: Row | None = None
    note: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def listed(self) -> list[Row]:
        """The cells that put it on the list: on access networks."""
        return [cell for cell in self.cells if cell.probe_asn in self.stretches]

    @property
    def unlisted(self) -> list[Row]:
        """The other cells."""
        return [cell for cell in self.cells if cell.probe_asn not in self.stretches]


def read_records(tables: str | Path) -> tuple[pd.DataFrame, Iterator[SiteRecord]]:
    """Every tested name, and what is known of those that have a page.

    Args:
        tables: the folder of a report's tables, with the notes of its notebooks.

    Returns:
        ``sites``, and a record for each site with a page, by name.
    """
    sites = read_table(tables, "sites")
    return sites, _read_records(tables, sites[sites["page"] != ""])


def _read_records(tables: str | Path, own: pd.DataFrame) -> Iterator[SiteRecord]:
    """A record of each of some rows of ``sites``, in their order."""
    categories = read_table(tables, "categories").set_index("category_code")["category"]
    networks = read_table(tables, "networks")
    named = name_networks(networks)
    cells = _cells(tables, networks)
    stretches = read_table(tables, "blocked_site_networks")
    withheld = read_table(tables, "withheld_intervals")
    spans = _Spans(read_note(tables, SPANS))
    flags, methods = read_note(tables, FLAGS), read_note(tables, COMPARED)
    aside = read_table(tables, "set_aside")
    for begin in range(0, len(own), _AT_A_TIME):
        some = own.iloc[begin : begin + _AT_A_TIME]
        names = set(some["domain"])
        cells_of = _group(cells, names, "domain")
        stretches_of = _group(stretches, names, "domain", "probe_asn")
        withheld_of = _group(withheld, names, "domain", "probe_asn")
        flags_of, methods_of, aside_of = (_single(one, names) for one in (flags, methods, aside))
        rows: Iterable[Row] = some.itertuples(index=False)
        for site in rows:
            yield SiteRecord(
                site=site,
                category=str(categories.get(site.category_code, "")),
                cells=sorted(cells_of.get((site.domain,), []), key=_order),
                stretches=stretches_of.get((site.domain,), {}),
                withheld=withheld_of.get((site.domain,), {}),
                spans=partial(spans.find, site.domain),
                flags=flags_of.get(site.domain),
                methods=methods_of.get(site.domain),
                note=aside_of[site.domain].note if site.domain in aside_of else "",
                names=named,
            )


def is_access(cell: Row) -> bool:
    """Whether a cell is on an access network of the country."""
    return cell.kind in DOMESTIC


def name_networks(networks: pd.DataFrame) -> dict[str, str]:
    """``AS123`` → name, of the contract's ``networks``."""
    return dict(zip(networks["probe_asn"], networks["network"], strict=True))


def _cells(tables: str | Path, networks: pd.DataFrame) -> pd.DataFrame:
    verdicts = read_table(tables, "verdicts")
    whole = verdicts[verdicts["period"] == "all"]
    described = networks[["probe_asn", "network", "kind"]]
    named = whole.merge(described, on="probe_asn", how="left")
    return named.fillna({"network": "", "kind": "unknown"})


def _order(cell: Row) -> tuple[float, int, str]:
    """Listed on access networks, then elsewhere, then by strength; the most tested first."""
    is_listed_abroad = cell.state in LISTED and not is_access(cell)
    rank = _RANKS[cell.state] + (0.5 if is_listed_abroad else 0)
    return rank, -int(cell.session_count), str(cell.probe_asn)


def _group(frame: pd.DataFrame, names: set[str], *keys: str) -> Any:
    """The rows of some sites by the values of one key, or by those of two, one within the other."""
    frame = frame[frame["domain"].isin(names)].astype(object)  # one by one, Arrow's take long
    if len(keys) == 1:
        rows: Mapping[Any, list[Row]] = defaultdict(list)
        for row in frame.itertuples(index=False):
            rows[(getattr(row, keys[0]),)].append(row)
        return rows
    nested: dict[Any, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in frame.itertuples(index=False):
        nested[(getattr(row, keys[0]),)][getattr(row, keys[1])].append(row)
    return nested


class _Spans:
    """The spans of all sites and networks. There are millions, and strips of a few of them."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """``frame`` is sorted by ``domain, probe_asn``."""
        pairs = frame[["domain", "probe_asn"]]
        starts = np.flatnonzero((pairs != pairs.shift()).any(axis=1))
        names = (pairs[name].iloc[starts] for name in pairs)
        ends = [*starts[1:], len(pairs)]
        self._places = dict(zip(zip(*names, strict=True), map(slice, starts, ends), strict=True))
        self._columns = [frame[name].to_numpy() for name in Span._fields]

    def find(self, domain: str, probe_asn: str) -> list[Span]:
        """Those of a site on a network, in order."""
        at = self._places.get((domain, probe_asn), slice(0))
        rows = zip(*(column[at].tolist() for column in self._columns), strict=True)
        return list(map(Span._make, rows))


def _single(frame: pd.DataFrame, names: set[str]) -> dict[str, Row]:
    """Name → its one row."""
    shown = frame[frame["domain"].isin(names)]
    return {str(row.domain): row for row in shown.itertuples(index=False)}
