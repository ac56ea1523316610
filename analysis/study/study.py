"""A study: a country, a period with its halves, the observations, and the lists.

``Study`` is of web sites. ``MessagingStudy`` is of apps and circumvention tools, and needs no
measurement of a web site. The functions ``count_…`` count tests by month, site and network.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import pandas as pd
from markupsafe import Markup

from analysis.errors import ContractError, ParameterError, SourceError
from analysis.languages.language import ENGLISH
from analysis.observations import fingerprints
from analysis.observations.fingerprints import Fingerprints
from analysis.observations.flags import DISJOINT, DISJOINT_SQL
from analysis.outcomes.rules import Rule
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.reference import networks, test_lists
from analysis.reference.events import Event, EventList, load_events
from analysis.reference.networks import (
    DOMESTIC,
    SEVERAL_DAYS,
    NetworkList,
    NetworkNames,
    ReportedNames,
    describe,
)
from analysis.reference.outages import Outages, load_outages
from analysis.reference.reference_files import ReferenceFile, country_name, is_fictional
from analysis.reference.test_counts import COUNTS, NO_COUNTS, TestCounts, frame_of, load_test_counts
from analysis.reference.test_lists import LocalSites, TestLists, is_local
from analysis.reference.withheld import NONE_WITHHELD, Withheld, load_withheld
from analysis.sources.api import Row, read_messaging_counts
from analysis.sources.archive_files import OONI
from analysis.store.database import MessagingRows, Observations
from analysis.store.ingestion import Request, ingest, ingest_messaging
from analysis.store.receipt import RECEIVED_DAY
from analysis.store.stage_tables import KeptTables
from analysis.store.store import Collection
from analysis.study.lineage import check_imported
from analysis.study.parameters import (
    StudyParameters,
    check_names,
    find_lists,
    replies_folder,
)
from analysis.study.variants import Variant
from analysis.tables import name_network
from analysis.verdicts.app_verdicts import Elsewhere, look_elsewhere


@dataclass(frozen=True)
class ReferenceLists:
    """All lists of one study; a list that was not given is empty, or the shipped one.

    Withheld names are replaced by placeholders in all of them.
    """

    fingerprints: Fingerprints
    networks: NetworkList
    network_names: NetworkNames = field(repr=False)
    test_lists: TestLists
    events: EventList
    local_sites: LocalSites = field(repr=False)
    test_counts: TestCounts = field(repr=False, default=NO_COUNTS)
    outages: Outages = field(repr=False, default=Outages())
    withheld: Withheld = field(repr=False, default=NONE_WITHHELD)

    @property
    def files(self) -> list[ReferenceFile]:
        """The files that were read for the study: test lists, networks, names, events, counts."""
        files = (
            self.networks.file,
            self.network_names.file,
            *self.events.files,
            self.local_sites.file,
            self.test_counts.file,
            self.outages.file,
        )
        return [*self.test_lists.files, *(file for file in files if file)]

    def name_networks(self, measured: pd.DataFrame) -> dict[int, str]:
        """Return number → name of networks in the lists and of those that measured.

        Args:
            measured: ``probe_asn`` (number) and ``network``.
        """
        listed = {asn: network.network for asn, network in self.networks.networks.items()}
        own = dict(zip(measured["probe_asn"], measured["network"], strict=True))
        return {**self.network_names.names, **listed, **own}

    @property
    def fingerprint_file(self) -> ReferenceFile | None:
        """The supported fingerprints as one file; None if there are none."""
        marks = self.fingerprints
        count = len(marks.dns) + len(marks.http) - len(marks.left_out)
        if marks.is_empty:
            return None
        return ReferenceFile("fingerprints", "fingerprints", marks.digest, count)


def load_lists(parameters: StudyParameters) -> ReferenceLists:
    """Read the lists of the parameters.

    Raises:
        ParameterError: a list is missing or has another format.
        ContractError: a shipped list has another format.
    """
    code = parameters.probe_cc
    lists = ReferenceLists(
        fingerprints=fingerprints.load(parameters.fingerprints or None),
        networks=networks.load_networks(parameters.networks or None, code),
        network_names=networks.load_network_names(parameters.network_names),
        test_lists=test_lists.load_test_lists(parameters.test_list or None, code),
        events=load_events(parameters.events or None, code),
        local_sites=test_lists.load_local_sites(code),
        test_counts=load_test_counts(parameters.test_counts),
        outages=load_outages(parameters.outages),
        withheld=load_withheld(code),
    )
    return _withhold(lists, code) if lists.withheld else lists


def _withhold(lists: ReferenceLists, probe_cc: str) -> ReferenceLists:
    """Return the lists with placeholders for withheld names."""
    return replace(
        lists,
        test_lists=lists.withheld.rename_lists(lists.test_lists),
        local_sites=lists.withheld.rename_local(lists.local_sites, probe_cc),
        events=lists.withheld.drop_incidents(lists.events),
    )


_FLAGS = ", ".join(f"count(*) FILTER (flag = '{flag}') AS {flag}_count" for flag in DISJOINT)

_BY_MONTH = f"""
SELECT strftime(measurement_start_time, '%Y-%m') AS month, count(*) AS measurement_count, {_FLAGS}
FROM (SELECT measurement_start_time, {DISJOINT_SQL} AS flag FROM observations)
GROUP BY 1 ORDER BY 1
"""

_BY_NETWORK = """
SELECT probe_asn::BIGINT AS probe_asn, count(*) AS measurement_count,
  count(DISTINCT domain) FILTER (domain <> '') AS domain_count,
  count(DISTINCT measurement_start_time::DATE) AS day_count
FROM observations GROUP BY 1 ORDER BY 1
"""

# Each day of receipt has one vote, for the name that most of its runs report; for none if two are
# equal.
_REPORTED_NAMES = f"""
WITH named AS (
  SELECT probe_asn, {RECEIVED_DAY} AS day,
    coalesce(probe_network_name, '') AS name, count(DISTINCT run) AS runs
  FROM {{table}} GROUP BY ALL
), ranked AS (
  SELECT *, rank() OVER (PARTITION BY probe_asn, day ORDER BY runs DESC) AS place FROM named
), votes AS (
  SELECT probe_asn, day, if(count(*) = 1, min(name), '') AS name FROM ranked WHERE place = 1
  GROUP BY probe_asn, day
)
SELECT probe_asn::BIGINT, name, count(*) FROM votes GROUP BY ALL ORDER BY ALL
"""

_BY_NETWORK_MONTH = """
SELECT probe_asn, strftime(measurement_start_time, '%Y-%m') AS month,
  count(*) AS measurement_count
FROM observations GROUP BY 1, 2 ORDER BY 1, 2
"""

_BY_DOMAIN = """
SELECT domain, count(*) AS measurement_count,
  count(*) FILTER (is_anomaly OR is_confirmed) AS anomaly_count,
  count(*) FILTER (NOT is_failure AND (is_anomaly OR is_confirmed)) AS flagged_count,
  list_sort(list(DISTINCT input)) AS inputs
FROM observations GROUP BY 1 ORDER BY 1
"""

_IN_PERIOD = """
SELECT count(*), count(DISTINCT domain) FILTER (domain <> ''), list_sort(list(DISTINCT probe_asn))
FROM observations WHERE measurement_start_time >= $since AND measurement_start_time < $until
"""

_IN_HALVES = """
SELECT probe_asn,
  count(*) FILTER (measurement_start_time < $split) AS first_measurement_count,
  count(*) FILTER (measurement_start_time >= $split) AS second_measurement_count
FROM observations GROUP BY 1 ORDER BY 1
"""


def count_by_month(
    connection: duckdb.DuckDBPyConnection, *, has_fingerprints: bool
) -> pd.DataFrame:
    """Return the contract's ``measurements_by_month``: one row per month with measurements.

    Args:
        connection: with ``observations``.
        has_fingerprints: without a fingerprint list no measurement can be confirmed, and
            ``confirmed_count`` is empty instead of 0.
    """
    frame = connection.execute(_BY_MONTH).df()
    parts = [f"{flag}_count" for flag in DISJOINT]
    mismatches = frame[frame[parts].sum(axis=1) != frame["measurement_count"]]
    if len(mismatches):
        month = mismatches["month"].iloc[0]
        raise ContractError(f"measurements_by_month: the flags of {month} do not sum")
    if not has_fingerprints:
        frame["confirmed_count"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    return frame


def count_by_network(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return one row per ``probe_asn``: ``measurement_count, domain_count, day_count``."""
    return connection.execute(_BY_NETWORK).df()


def read_reported_names(
    connection: duckdb.DuckDBPyConnection, table: str = "observations"
) -> dict[int, dict[str, int]]:
    """Return ``networks.ReportedNames`` of the measurements of a table with ``run``."""
    reported: dict[int, dict[str, int]] = {}
    rows = connection.execute(_REPORTED_NAMES.format(table=table)).fetchall()
    for asn, name, days in rows:
        reported.setdefault(asn, {})[name] = days
    return reported


def count_by_network_and_month(
    connection: duckdb.DuckDBPyConnection, networks: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per ``probe_asn`` and ``month``: ``measurement_count, network``.

    ``network`` is the name in ``networks`` with the number, because names are not unique.
    """
    frame = connection.execute(_BY_NETWORK_MONTH).df()
    frame = frame.merge(networks[["probe_asn", "network"]])
    names = list(map(name_network, frame["network"], frame["probe_asn"]))
    return frame.assign(network=names)


def count_by_domain(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return one row per ``domain``: counts and the measured ``inputs``.

    Measurements whose input has no usable host name are under the domain ``""``.
    """
    return connection.execute(_BY_DOMAIN).df()


def count_in_halves(
    connection: duckdb.DuckDBPyConnection, periods: Mapping[str, Period]
) -> pd.DataFrame:
    """Return one row per network with its measurements in each half.

    Columns: ``probe_asn, first_measurement_count, second_measurement_count``.
    """
    return connection.execute(_IN_HALVES, {"split": periods["second"].since}).df()


def count_in_periods(
    connection: duckdb.DuckDBPyConnection, periods: Mapping[str, Period]
) -> dict[str, dict[str, object]]:
    """Return period → ``measurement_count, domain_count`` and ``network_asns``."""
    counts: dict[str, dict[str, object]] = {}
    for name, period in periods.items():
        parameters = {"since": period.since, "until": period.until}
        ((measurements, domains, asns),) = connection.execute(_IN_PERIOD, parameters).fetchall()
        counts[name] = {
            "measurement_count": measurements,
            "domain_count": domains,
            "network_asns": asns or [],
        }
    return counts


@dataclass(frozen=True)
class Opened:
    """An opened study of a country and a period.

    Attributes:
        parameters: of the study.
        periods: ``all``, and its halves ``first`` and ``second``.
        collection: the measurements of the source in any period.
        lists: reference data.
    """

    parameters: StudyParameters = field(repr=False)
    periods: Mapping[str, Period]
    collection: Collection
    lists: ReferenceLists = field(repr=False)

    @property
    def probe_cc(self) -> str:
        """The country's code."""
        return self.parameters.probe_cc

    @property
    def is_fictional(self) -> bool:
        return is_fictional(self.probe_cc)

    @property
    def title(self) -> str:
        """Country and period."""
        period = self.periods["all"]
        return f"{country_name(self.probe_cc)}, {period.since} to {period.last_day}"

    @property
    def is_from_ooni(self) -> bool:
        """Whether the source is OONI's own archive, and not another in its layout."""
        return self.parameters.source == OONI

    @property
    def credit(self) -> str:
        """Source, country and period, for the footer of a figure."""
        source = "OONI" if self.is_from_ooni else "an archive in OONI's format"
        return f"{source}, {self.title}"

    def footer(self, count: int, what: str) -> str:
        """Return the footer of a figure with n."""
        return ENGLISH.say(
            "Source: {credit}. n = {n} {what}.", credit=self.credit, n=count, what=what
        )

    def _describe_networks(self, counts: pd.DataFrame, names: ReportedNames) -> pd.DataFrame:
        """Return counts by ``probe_asn`` with name, operator and kind of each network."""
        several = min(SEVERAL_DAYS, self.periods["all"].day_count)
        described = describe(names, self.lists.networks, self.lists.network_names.names, several)
        described["is_domestic"] = described["kind"].isin(DOMESTIC)
        return described.merge(counts, on="probe_asn")


@dataclass(frozen=True)
class Study(Opened):
    """The web sites of a country and a period.

    Attributes:
        observations: each measurement once.
        part: the part of its measurements in words (``only``, ``resample``); empty for all.
    """

    observations: Observations
    part: str = ""

    def __repr__(self) -> str:
        """Return five lines for a notebook."""
        ((rows,),) = self.connection.execute("SELECT count(*) FROM observations").fetchall()
        variant = self.parameters.variant
        title = [self.title, variant.label if variant else "", self.part]
        files = ", ".join(file.name for file in self.lists.files)
        lines = (
            ", ".join(filter(None, title)),
            f"{rows:,} measurements on {len(self.networks())} network(s)",
            f"lists: {files or 'none'}",
            f"method: {self.parameters.lineage.in_words}",
            "study.connection: DuckDB with the table observations; after confirm with outcomes, "
            "too",
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(Markup("<pre>{}</pre>").format(repr(self)))

    def only(self, condition: str) -> "Study":
        """Return the study of some measurements only: ``study.only("probe_asn = 64498")``.

        It is judged as if there were no other measurements. No table of the whole study is used,
        and notebooks share its tables through a folder of its own.

        Args:
            condition: SQL over the columns of an observation (docs/library.md).

        Raises:
            ParameterError: it is not such a condition, or is true for no measurement.
        """
        if not condition.strip():
            raise ParameterError("only", condition, "it is no condition, such as probe_asn = 1")
        digest = hashlib.sha256(condition.encode()).hexdigest()[:12]
        return self._take_part(condition)._apart(f"only-{digest}")

    def _take_part(self, condition: str) -> "Study":
        """Return a part with the same folder for tables; the whole without a condition."""
        if not condition:
            return self
        observations = self.observations.only(condition)
        if not observations.connection.execute("SELECT 1 FROM observations LIMIT 1").fetchall():
            observations.close()
            raise ParameterError("only", condition, "it is true of no measurement of this study")
        return self._of_part(observations, f"only {condition}")

    def _of_part(self, observations: Observations, words: str) -> "Study":
        part = f"{self.part}, {words}" if self.part else words
        return replace(self, observations=observations, part=part)

    def _apart(self, suffix: str) -> "Study":
        """Return the study with a folder for tables of its own."""
        parameters = replace(self.parameters, tables=f"{self.parameters.tables}.{suffix}")
        return replace(self, parameters=parameters)

    def variant(
        self,
        label: str,
        *,
        rules: Iterable[Rule] | None = None,
        thresholds: Thresholds | Mapping[str, Any] | None = None,
        only: str = "",
        baseline: Callable[["Study"], pd.DataFrame] | None = None,
    ) -> "Study":
        """Return the study with another method: ``study.variant("strict", thresholds={…})``.

        It has a connection and a folder for tables of its own, so it does not affect this study.
        Arguments that are not given are as in this study.

        Args:
            label: a few words as its name.
            rules: all rules, in order: ``[*study.rules, my_rule]``.
            thresholds: the numbers to change, by name; or ``Thresholds()`` for the published ones.
            only, baseline: see ``variants.Variant``.

        Raises:
            ParameterError: the label or another argument is invalid.
        """
        current = self.parameters.variant
        if baseline is None and current:
            baseline = current.baseline
        if isinstance(thresholds, Thresholds):
            thresholds = vars(thresholds)
        variant = Variant(
            label,
            rules=self.rules if rules is None else tuple(rules),
            thresholds=thresholds or {},
            only=only,
            baseline=baseline,
        )
        parameters = replace(
            self.parameters,
            variant=variant,
            thresholds=self.thresholds.changed_by(variant.thresholds),
            tables=f"{self.parameters.tables}.{variant.folder}",
        )
        judged = replace(self, parameters=parameters, observations=self.observations.beside())
        return judged._take_part(variant.only)

    def resample(self, seed: int, by: str = "run") -> "Study":
        """Return a bootstrap sample of the study: as many runs, drawn with replacement.

        A run that is drawn twice appears as two runs, so its sessions count twice; about a third of
        the runs are not drawn. The lists of many such studies show how far the list depends on
        which runs were made (docs/library.md). Its tables have a folder of their own, as for
        ``only``.

        Args:
            seed: a whole number, not below 0; the same one draws the same runs on every machine.
            by: only ``run`` is accepted, because measurements do not tell who made them.

        Raises:
            ParameterError: ``by`` is not ``run``, or the seed is not such a number.
        """
        if by != "run":
            accepted = 'only "run" can be drawn: no measurement says who made it'
            raise ParameterError("by", by, accepted)
        if not isinstance(seed, int) or seed < 0:
            raise ParameterError("seed", seed, "a whole number from 0 on is accepted")
        words = f"resampled by run, seed {seed}"
        return self._of_part(self.observations.resample(seed), words)._apart(f"resampled-{seed}")

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with the relation ``observations``."""
        return self.observations.connection

    @property
    def kept(self) -> KeptTables:
        """The stages on disk that were made from the observations."""
        return self.observations.kept

    @property
    def fingerprints(self) -> Fingerprints:
        """OONI's fingerprints; empty if none were given."""
        return self.lists.fingerprints

    @property
    def known_events(self) -> tuple[Event, ...]:
        """Known events of the country within the period, by day."""
        return self.lists.events.within(self.periods["all"])

    @property
    def thresholds(self) -> Thresholds:
        """The method's numbers for this study."""
        return self.parameters.thresholds

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The method's rules for this study, in order."""
        return self.parameters.rules

    def networks(self) -> pd.DataFrame:
        """Return one row per network that measured, by number.

        Columns: ``probe_asn`` (number), ``network, operator, kind, kind_source, is_domestic,
        measurement_count, domain_count, day_count`` (days with a measurement).
        """
        names = read_reported_names(self.connection)
        return self._describe_networks(count_by_network(self.connection), names)

    def network_names(self) -> dict[int, str]:
        """Return number → name of networks that measured or are on a list."""
        return self.lists.name_networks(self.networks())

    def domains(self) -> pd.DataFrame:
        """Return one row per tested domain, by name; ``""`` for inputs without a host name.

        Columns: ``domain, category_code, category, is_local, measurement_count, anomaly_count``
        (flagged, failures among them) and ``flagged_count`` (failures left out).
        """
        frame = count_by_domain(self.connection)
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
        """Return the inputs of the study for the provenance section: digests and dates, no path."""
        return {
            **self.parameters.describe_method(),
            **({"measurements": self.part} if self.part else {}),
            "observations": f"sha256 {self.collection.digest}",
            "fingerprints": _describe_fingerprints(self.fingerprints),
            **{f"{file.role}, {file.name}": _describe_file(file) for file in self.lists.files},
        }


def _describe_file(file: ReferenceFile) -> str:
    newest = f", newest entry {file.date}" if file.date else ""
    return f"{file.row_count} rows, sha256 {file.digest}{newest}"


def _describe_fingerprints(fingerprints: Fingerprints) -> str:
    if fingerprints.is_empty:
        return "none given"
    counts = f"{len(fingerprints.dns)} DNS, {len(fingerprints.http)} HTTP"
    names = ", ".join(fingerprints.left_out)
    left_out = f"; left out, of more than literals, . and .*: {names}" if names else ""
    return f"{counts}, sha256 {fingerprints.digest}{left_out}"


def study_of(values: Mapping[str, Any]) -> Study:
    """Open the study of a notebook's parameters: ``study_of(globals())``.

    Prints the changes to the published method.

    Raises:
        ParameterError: a parameter is wrong or misspelt, a file of the method was edited after this
            kernel imported it, or the fictional country has not been made yet.
        SourceError: the source has no measurement of the study, or could not be read.
    """
    parameters = _read_parameters(values)
    archive = parameters.fictional_folder / "archive"
    if parameters.source == str(archive) and not archive.is_dir():
        raise ParameterError(
            "PROBE_CC",
            parameters.probe_cc,
            f"this fictional country of {parameters.period} is "
            "not there yet: 'make report' with the same parameters makes it",
        )
    return open_study(find_lists(parameters))


def _read_parameters(values: Mapping[str, Any]) -> StudyParameters:
    check_names(values)
    check_imported()
    parameters = StudyParameters.of(values)
    for change, meaning in parameters.name_changes():
        print(f"{change}: {meaning}" if meaning else change)
    return parameters


#: The ledger's reason for a line → the required field that it lacks.
_IDENTITY = {
    "invalid:no_test_name": "test_name",
    "invalid:no_start_time": "measurement_start_time",
    "invalid:bad_probe_cc": "probe_cc",
    "invalid:no_input": "input",
}


def open_observations(collection: Collection, probe_cc: str, period: Period) -> Observations:
    """Open the observations of a country and a period, at least one.

    Raises:
        SourceError: there is none.
        ContractError: there is none because most lines lack a required field.
    """
    observations = Observations(collection, probe_cc, period)
    if not observations.connection.execute("SELECT 1 FROM observations LIMIT 1").fetchall():
        ledger = observations.ledger().set_index("reason")["line_count"]
        observations.close()
        for reason, field in _IDENTITY.items():
            if 2 * ledger.get(reason, 0) > ledger["total"]:
                raise ContractError(
                    f"no field {field} in {ledger[reason]:,} of {ledger['total']:,} lines, and no "
                    "other line is a measurement. Use a newer version of the workbook"
                )
        raise SourceError(
            f"the source has no measurement of {probe_cc} from {period.since} to "
            f"{period.last_day}; "
            "'make doctor' with the same parameters says what it holds",
            resumes=False,
        )
    return observations


def request_of(parameters: StudyParameters, **options: Any) -> Request:
    """Return the request to ingest a study; ``options`` are its other attributes."""
    return Request(
        parameters.source,
        parameters.store,
        parameters.probe_cc,
        parameters.period,
        parameters.receipt_margin,
        **options,
    )


def open_study(parameters: StudyParameters, *, jobs: int | None = None) -> Study:
    """Open a study, from the store if the source has been read before.

    A folder is listed each time. A server is listed only if the store lacks objects of its last
    listing for the country (with ``ooni``, and the period); ``python -m analysis ingest`` lists it
    again.

    Args:
        parameters: of the study.
        jobs: processes for reading; by default one per processor.

    Raises:
        ParameterError: a parameter is wrong.
        SourceError: the source has nothing for the country in the period, or could not be read.
    """
    first, second = parameters.period.split(parameters.split)
    lists = load_lists(parameters)
    collection = ingest(request_of(parameters, reopen=True, jobs=jobs), lists.fingerprints)
    periods = {"all": parameters.period, "first": first, "second": second}
    return study_on(parameters, periods, collection, lists)


def study_on(
    parameters: StudyParameters,
    periods: Mapping[str, Period],
    collection: Collection,
    lists: ReferenceLists,
) -> Study:
    """Return the study of a collection, or of the part that its variant selects.

    Raises:
        SourceError: the source has no measurement of the country in the period.
        ParameterError: the variant's condition is invalid, or true for no measurement.
    """
    observations = open_observations(collection, parameters.probe_cc, parameters.period)
    study = Study(parameters, periods, collection, lists, observations)
    return study._take_part(parameters.variant.only if parameters.variant else "")


_NAMES = """
SELECT probe_asn::BIGINT AS probe_asn, count(*) AS measurement_count FROM messaging
WHERE probe_asn > 0 GROUP BY probe_asn ORDER BY probe_asn
"""


@dataclass(frozen=True)
class MessagingStudy(Opened):
    """The apps and tools of a country and a period.

    Attributes:
        rows: the measurements of the country and the period.
        here: counts of the country, one row per test and day: ``test_counts.COLUMNS``; empty if
            not available.
        elsewhere: results of other countries.
        digests: of OONI's replies, by question; empty if it was not asked.
    """

    rows: MessagingRows = field(repr=False)
    here: pd.DataFrame = field(repr=False)
    elsewhere: Elsewhere = field(repr=False)
    digests: Mapping[str, str]

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with the table ``messaging``."""
        return self.rows.connection

    def networks(self) -> pd.DataFrame:
        """Return one row per network that ran any of these tests, by number.

        Columns: ``probe_asn`` (number), ``network, operator, kind, is_domestic,
        measurement_count``.
        """
        names = read_reported_names(self.connection, "messaging")
        return self._describe_networks(self.connection.execute(_NAMES).df(), names)

    def network_names(self) -> dict[int, str]:
        """Return number → name of networks that ran these tests or are on a list."""
        return self.lists.name_networks(self.networks())

    def sources(self) -> dict[str, object]:
        """Return the inputs for the provenance section: digests and dates, no path."""
        file = self.lists.test_counts.file
        counts = {file.name: f"{file.row_count} rows, sha256 {file.digest}"} if file else {}
        replies = {
            f"OONI's counts of {name}": f"sha256 {digest}" for name, digest in self.digests.items()
        }
        return {
            **self.parameters.describe_method(),
            "observations": f"sha256 {self.collection.digest}",
            **counts,
            **replies,
        }


def messaging_study_of(values: Mapping[str, Any]) -> MessagingStudy:
    """Open the study of apps of a notebook's parameters: ``messaging_study_of(globals())``.

    Raises:
        ParameterError: a parameter is wrong.
        SourceError: the source could not be reached.
    """
    return open_messaging(find_lists(_read_parameters(values)))


def open_messaging(parameters: StudyParameters, *, jobs: int | None = None) -> MessagingStudy:
    """Open a study of apps and tools, from the store if the source has been read before."""
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
    """Return the country's counts, all countries' counts, and the digests of OONI's replies."""
    code, period = parameters.probe_cc, parameters.period
    counted = None
    if parameters.source == OONI and lists.test_counts.file is None:
        counted = read_messaging_counts(replies_folder(parameters.store), code, period)
    if counted is None:
        counts = lists.test_counts.counts
        inside = counts[
            (counts["day"] >= pd.Timestamp(period.since))
            & (counts["day"] < pd.Timestamp(period.until))
        ]
        return inside[inside["probe_cc"] == code].reset_index(drop=True), inside, {}
    here, elsewhere, digests = counted
    return _frame(here), _frame(elsewhere), digests


def _frame(rows: tuple[Row, ...]) -> pd.DataFrame:
    table = [
        (row.test_name, row.probe_cc, row.day, *(getattr(row.flags, name) for name in COUNTS))
        for row in rows
    ]
    return frame_of(table)
