"""What all notebooks of a run share: a country, a period with its halves, and the observations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pandas as pd

from analysis.errors import NothingThereError, ParameterError
from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.reference import countries
from analysis.reference.events import Event
from analysis.reference.networks import DOMESTIC, describe
from analysis.reference.test_lists import is_local
from analysis.store.database import Observations
from analysis.store.ingestion import Request, ingest
from analysis.store.kept_tables import KeptTables
from analysis.store.store import Collection
from analysis.study import measurement_counts
from analysis.study.parameters import StudyParameters, find_lists
from analysis.study.reference_lists import ReferenceLists, load_lists


@dataclass(frozen=True)
class Study:
    """A country and a period, with everything that is read once.

    Attributes:
        parameters: what it was opened with.
        probe_cc: the country.
        periods: ``all``, and its halves ``first`` and ``second``.
        collection: the observations of the source, of whatever period.
        observations: those of the country and the period, each measurement once.
        lists: what is known besides.
    """

    parameters: StudyParameters = field(repr=False)
    probe_cc: str
    periods: Mapping[str, Period]
    collection: Collection
    observations: Observations
    lists: ReferenceLists = field(repr=False)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with the relation ``observations``."""
        return self.observations.connection

    @property
    def kept(self) -> KeptTables:
        """The tables that were made of the observations before."""
        return self.observations.kept

    @property
    def fingerprints(self) -> Fingerprints:
        """OONI's signs of blocking: empty where none are given."""
        return self.lists.fingerprints

    @property
    def country(self) -> str:
        """The country's name."""
        return countries.country_name(self.probe_cc)

    @property
    def title(self) -> str:
        """Country and period."""
        period = self.periods["all"]
        return f"{self.country}, {period.since} to {period.last_day}"

    def footer(self, count: int, what: str) -> str:
        """Source, period and n, as the foot of a figure says them."""
        return f"Source: OONI, {self.title}. n = {count:,} {what}."

    @property
    def is_fictional(self) -> bool:
        return countries.is_fictional(self.probe_cc)

    @property
    def known_events(self) -> tuple[Event, ...]:
        """Known events of the country within the period, by day."""
        return self.lists.events.within(self.periods["all"])

    @property
    def thresholds(self) -> Thresholds:
        """The method's numbers for this study."""
        return self.parameters.thresholds

    def networks(self) -> pd.DataFrame:
        """One row per network that measured, by number.

        Columns: ``probe_asn`` (number), ``network, operator, kind, kind_source, is_domestic,
        measurement_count, domain_count``.
        """
        counts = measurement_counts.count_by_network(self.connection)
        asns = counts["probe_asn"].astype(int)
        names = dict(zip(asns, counts["probe_network_name"], strict=True))
        described = describe(names, self.lists.networks, self.lists.network_names.names)
        described["is_domestic"] = described["kind"].isin(DOMESTIC)
        return described.merge(
            counts[["probe_asn", "measurement_count", "domain_count"]], on="probe_asn"
        )

    def network_names(self) -> dict[str, str]:
        """``AS123`` → name, of networks that measured or that a list names."""
        return self.lists.name_networks(self.networks())

    def domains(self) -> pd.DataFrame:
        """One row per domain that was tested, by name; ``""`` where an input has no host name.

        Columns: ``domain, category_code, category, is_local, measurement_count, anomaly_count``.
        """
        frame = measurement_counts.count_by_domain(self.connection)
        categories = [
            self.lists.test_lists.category_of(domain, inputs)
            for domain, inputs in zip(frame["domain"], frame["inputs"], strict=True)
        ]
        frame["category_code"] = [code for code, _ in categories]
        frame["category"] = [name for _, name in categories]
        frame["is_local"] = [
            is_local(domain, self.probe_cc, self.lists.test_lists, self.lists.local_sites)
            for domain in frame["domain"]
        ]
        return frame.drop(columns="inputs")

    def sources(self) -> dict[str, object]:
        """What the study read, for the provenance section: digests and dates, no path."""
        return {
            **self.parameters.method_changes(),
            "observations": f"sha256 {self.collection.digest}",
            "fingerprints": "none given"
            if self.fingerprints.is_empty
            else f"{len(self.fingerprints.dns)} DNS, {len(self.fingerprints.http)} HTTP, "
            f"sha256 {self.fingerprints.digest}" + _left_out(self.fingerprints),
            **{
                f"{file.role} list {file.name}": f"{file.row_count} rows, sha256 {file.digest}"
                + (f", newest entry {file.date}" if file.date else "")
                for file in self.lists.files
            },
        }


def _left_out(fingerprints: Fingerprints) -> str:
    names = fingerprints.left_out
    return f"; left out, of more than literals, . and .*: {', '.join(names)}" if names else ""


def study_of(values: Mapping[str, Any]) -> Study:
    """Open the study that a notebook's parameters describe: ``study_of(globals())``.

    Raises:
        ParameterError: a parameter is wrong, or the fictional country has not been made yet.
        SourceError: the source has nothing for the country in the period, or could not be read.
    """
    parameters = StudyParameters.of(values)
    archive = parameters.fictional_folder / "archive"
    if parameters.source == str(archive) and not archive.is_dir():
        raise ParameterError(
            "PROBE_CC", parameters.probe_cc, f"this fictional country of {parameters.period} is "
            "not there yet: 'make report' with the same parameters makes it"
        )  # fmt: skip
    return open_study(find_lists(parameters))


def open_observations(collection: Collection, probe_cc: str, period: Period) -> Observations:
    """The observations of a country and a period, of which there is at least one.

    Raises:
        SourceError: the source has none.
    """
    observations = Observations(collection, probe_cc, period)
    if not observations.connection.execute("SELECT 1 FROM observations LIMIT 1").fetchall():
        observations.close()
        raise NothingThereError(
            f"the source has no measurement of {probe_cc} from {period.since} to {period.last_day}",
            resumes=False,
        )
    return observations


def request_of(parameters: StudyParameters, **how: Any) -> Request:
    """What a study reads; ``how`` are the other attributes of a request."""
    return Request(
        parameters.source,
        parameters.store,
        parameters.probe_cc,
        parameters.period,
        parameters.receipt_margin,
        **how,
    )


def open_study(parameters: StudyParameters, *, jobs: int | None = None) -> Study:
    """Open the period, from the store where the source has been read before.

    A folder is looked through each time. A server is asked only where the store does not hold what
    it listed for the country, and with ``ooni`` for the period, when it was last read:
    ``python -m analysis ingest`` brings that up to date.

    Args:
        parameters: what the study is of, where it lies, with which lists.
        jobs: processes for reading; by default one per processor.

    Raises:
        ParameterError: a parameter is wrong.
        SourceError: the source has nothing for the country in the period, or could not be read.
    """
    code, period = parameters.probe_cc, parameters.period
    first, second = period.split(parameters.split)
    lists = load_lists(parameters)
    collection = ingest(request_of(parameters, reopen=True, jobs=jobs), lists.fingerprints)
    return Study(
        parameters=parameters,
        probe_cc=code,
        periods={"all": period, "first": first, "second": second},
        collection=collection,
        observations=open_observations(collection, code, period),
        lists=lists,
    )
