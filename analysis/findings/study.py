"""What all notebooks of a run share: a country, a period with its halves, and the observations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pandas as pd

from analysis.errors import ParameterError, SourceError
from analysis.findings import coverage
from analysis.findings.parameters import StudyParameters, changed_numbers, find_lists
from analysis.ingestion.ingestion import ingest
from analysis.observations import fingerprints as fingerprint_lists
from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.reference import countries, local_sites, test_lists
from analysis.reference import networks as network_lists
from analysis.reference.events import Event, EventList, load_events
from analysis.reference.files import ReferenceFile
from analysis.reference.local_sites import LocalSites
from analysis.reference.networks import NetworkList, NetworkNames, load_network_names
from analysis.reference.test_lists import TestLists
from analysis.store.collection import Collection
from analysis.store.database import Observations


@dataclass(frozen=True)
class Study:
    """A country and a period, with everything that is read once.

    Attributes:
        parameters: what it was opened with.
        probe_cc: the country.
        periods: ``all``, and its halves ``first`` and ``second``.
        collection: the observations of the source, of whatever period.
        observations: those of the country and the period, each measurement once.
        fingerprints, network_list, network_names, test_lists, event_list, local_sites: reference
            data.
    """

    parameters: StudyParameters = field(repr=False)
    probe_cc: str
    periods: Mapping[str, Period]
    collection: Collection
    observations: Observations
    fingerprints: Fingerprints
    network_list: NetworkList
    network_names: NetworkNames = field(repr=False)
    test_lists: TestLists
    event_list: EventList
    local_sites: LocalSites = field(repr=False)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with the relation ``observations``."""
        return self.observations.connection

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
        return self.event_list.within(self.periods["all"])

    @property
    def thresholds(self) -> Thresholds:
        """The method's numbers for this study."""
        return self.parameters.thresholds

    @property
    def reference_files(self) -> list[ReferenceFile]:
        """The lists in use, without the fingerprints."""
        files = (self.network_list.file, self.network_names.file, self.event_list.file)
        return [*self.test_lists.files, *(file for file in files if file)]

    def networks(self) -> pd.DataFrame:
        """One row per network that measured, by number.

        Columns: ``probe_asn`` (number), ``network, operator, kind, kind_source, is_domestic,
        measurement_count, domain_count``.
        """
        counts = coverage.count_by_network(self.connection)
        asns = counts["probe_asn"].astype(int)
        names = dict(zip(asns, counts["probe_network_name"], strict=True))
        described = network_lists.describe(names, self.network_list, self.network_names.names)
        described["is_domestic"] = described["kind"].isin(network_lists.DOMESTIC)
        return described.merge(
            counts[["probe_asn", "measurement_count", "domain_count"]], on="probe_asn"
        )

    def domains(self) -> pd.DataFrame:
        """One row per domain that was tested, by name; ``""`` where an input has no host name.

        Columns: ``domain, category_code, category, is_local, measurement_count, anomaly_count``.
        """
        frame = coverage.count_by_domain(self.connection)
        categories = [
            self.test_lists.category_of(domain, inputs)
            for domain, inputs in zip(frame["domain"], frame["inputs"], strict=True)
        ]
        frame["category_code"] = [code for code, _ in categories]
        frame["category"] = [name for _, name in categories]
        frame["is_local"] = [
            local_sites.is_local(domain, self.probe_cc, self.test_lists, self.local_sites)
            for domain in frame["domain"]
        ]
        return frame.drop(columns="inputs")

    def sources(self) -> dict[str, object]:
        """What the study read, for the provenance section: digests and dates, no path."""
        changes = [text for text, _ in changed_numbers(self.thresholds)]
        return {
            **({"method changed": changes} if changes else {}),
            "observations": f"sha256 {self.collection.digest}",
            "fingerprints": "none given"
            if self.fingerprints.is_empty
            else f"{len(self.fingerprints.dns)} DNS, {len(self.fingerprints.http)} HTTP, "
            f"sha256 {self.fingerprints.digest}",
            **{
                f"{file.role} list {file.name}": f"{file.row_count} rows, sha256 {file.digest}"
                + (f", newest entry {file.date}" if file.date else "")
                for file in self.reference_files
            },
        }


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
        raise SourceError(
            f"the source has no measurement of {probe_cc} from {period.since} to {period.last_day}"
        )
    return observations


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
    code, period = countries.parse_country(parameters.probe_cc), parameters.period
    first, second = period.split(parameters.split)
    known = fingerprint_lists.load(parameters.fingerprints or None)
    listed = network_lists.load_networks(parameters.networks or None, code)
    named = load_network_names(parameters.network_names)
    lists = test_lists.load_test_lists(parameters.test_list or None, code)
    known_events = load_events(parameters.events or None, code)
    collection = ingest(
        parameters.source,
        parameters.store,
        code,
        fingerprints=known,
        period=period,
        receipt_margin=parameters.receipt_margin,
        reopen=True,
        jobs=jobs,
    )
    return Study(
        parameters=parameters,
        probe_cc=code,
        periods={"all": period, "first": first, "second": second},
        collection=collection,
        observations=open_observations(collection, code, period),
        fingerprints=known,
        network_list=listed,
        network_names=named,
        test_lists=lists,
        event_list=known_events,
        local_sites=local_sites.load_local_sites(code),
    )
