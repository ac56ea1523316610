"""What the page on apps and circumvention tools opens: the tests' own measurements, and counts.

It needs no measurement of a web site, so that it can be made where there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pandas as pd

from analysis.period import Period
from analysis.reference import countries
from analysis.reference.networks import DOMESTIC, describe
from analysis.reference.test_counts import COUNTS, frame_of
from analysis.sources.api import MessagingCounts, Row, read_messaging_counts
from analysis.sources.layout import OONI
from analysis.store.database import MessagingRows
from analysis.store.ingestion import ingest_messaging
from analysis.store.store import Collection
from analysis.study.parameters import StudyParameters, find_lists, replies_folder
from analysis.study.reference_lists import ReferenceLists, load_lists
from analysis.study.study import request_of
from analysis.verdicts.elsewhere import Elsewhere, look_elsewhere

_NAMES = """
SELECT probe_asn::BIGINT AS probe_asn, count(*) AS measurement_count,
  coalesce(mode(probe_network_name ORDER BY probe_network_name), '') AS probe_network_name
FROM messaging WHERE probe_asn > 0 GROUP BY probe_asn ORDER BY probe_asn
"""


@dataclass(frozen=True)
class MessagingStudy:
    """A country and a period, with all that is known of apps and tools there.

    Attributes:
        parameters: what it was opened with.
        periods: ``all``, and its halves ``first`` and ``second``.
        collection: the measurements of the source, of whatever period.
        rows: those of the country and the period.
        lists: what is known besides.
        here: counts of the country, one row a test and day: ``test_counts.COLUMNS``; empty where
            nobody counted.
        elsewhere: what other countries say.
        digests: of OONI's replies, by what was asked for; empty where it was not asked.
    """

    parameters: StudyParameters = field(repr=False)
    periods: Mapping[str, Period]
    collection: Collection
    rows: MessagingRows = field(repr=False)
    lists: ReferenceLists = field(repr=False)
    here: pd.DataFrame = field(repr=False)
    elsewhere: Elsewhere = field(repr=False)
    digests: Mapping[str, str]

    @property
    def probe_cc(self) -> str:
        return self.parameters.probe_cc

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with the table ``messaging``."""
        return self.rows.connection

    @property
    def is_fictional(self) -> bool:
        return countries.is_fictional(self.probe_cc)

    @property
    def title(self) -> str:
        """Country and period."""
        period = self.periods["all"]
        return f"{countries.country_name(self.probe_cc)}, {period.since} to {period.last_day}"

    def footer(self, count: int, what: str) -> str:
        """Source, period and n, as the foot of a figure says them."""
        return f"Source: OONI, {self.title}. n = {count:,} {what}."

    def networks(self) -> pd.DataFrame:
        """One row a network that ran any of these tests, by number.

        Columns: ``probe_asn`` (number), ``network, operator, kind, is_domestic,
        measurement_count``.
        """
        counts = self.connection.execute(_NAMES).df()
        asns = counts["probe_asn"].astype(int)
        names = dict(zip(asns, counts["probe_network_name"], strict=True))
        described = describe(names, self.lists.networks, self.lists.network_names.names)
        described["is_domestic"] = described["kind"].isin(DOMESTIC)
        return described.merge(counts[["probe_asn", "measurement_count"]], on="probe_asn")

    def network_names(self) -> dict[str, str]:
        """``AS123`` → name, of networks that ran these tests or that a list names."""
        return self.lists.name_networks(self.networks())

    def sources(self) -> dict[str, object]:
        """What was read, for the provenance section: digests and dates, no path."""
        file = self.lists.test_counts.file
        return {
            **self.parameters.method_changes(),
            "observations": f"sha256 {self.collection.digest}",
            **({file.name: f"{file.row_count} rows, sha256 {file.digest}"} if file else {}),
            **{f"OONI's counts, {name}": f"sha256 {d}" for name, d in self.digests.items()},
        }


def messaging_study_of(values: Mapping[str, Any]) -> MessagingStudy:
    """Open what a notebook's parameters describe: ``messaging_study_of(globals())``.

    Raises:
        ParameterError: a parameter is wrong.
        SourceError: the source could not be reached.
    """
    return open_messaging(find_lists(StudyParameters.of(values)))


def open_messaging(parameters: StudyParameters, *, jobs: int | None = None) -> MessagingStudy:
    """Open a study of apps and tools, from the store where the source has been read before."""
    period, lists = parameters.period, load_lists(parameters)
    first, second = period.split(parameters.split)
    collection = ingest_messaging(request_of(parameters, reopen=True, jobs=jobs))
    here, elsewhere, digests = read_counts(parameters, lists)
    return MessagingStudy(
        parameters=parameters,
        periods={"all": period, "first": first, "second": second},
        collection=collection,
        rows=MessagingRows(collection, parameters.probe_cc, period),
        lists=lists,
        here=here,
        elsewhere=look_elsewhere(elsewhere, parameters.probe_cc),
        digests=digests,
    )


def read_counts(
    parameters: StudyParameters, lists: ReferenceLists
) -> tuple[pd.DataFrame, pd.DataFrame, Mapping[str, str]]:
    """The country's counts, all countries', and the digests of OONI's replies."""
    code, period = parameters.probe_cc, parameters.period
    counted = None
    if parameters.source == OONI and lists.test_counts.file is None:
        counted = read_messaging_counts(replies_folder(parameters.store), code, period)
    if counted is None:
        counts = lists.test_counts.counts
        inside = counts[(counts["day"] >= pd.Timestamp(period.since))
                        & (counts["day"] < pd.Timestamp(period.until))]  # fmt: skip
        return inside[inside["probe_cc"] == code].reset_index(drop=True), inside, {}
    return _frame(counted.here, code), _frame(counted.elsewhere), _digests(counted)


def _digests(counted: MessagingCounts) -> Mapping[str, str]:
    return dict(sorted(counted.digests.items()))


def _frame(rows: tuple[Row, ...], probe_cc: str = "") -> pd.DataFrame:
    table = [
        (row.test_name, probe_cc or row.probe_cc, row.measurement_start_day,
         *(getattr(row, name) for name in COUNTS))
        for row in rows
    ]  # fmt: skip
    return frame_of(table)
