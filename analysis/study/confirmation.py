"""Judgement of observations, in stages that are made once and then opened from disk.

Each stage's tables are kept by the digest of their inputs (``KeptTables``): the observations, the
numbers and rules of the stage, its source code, and the stage before it. So a changed number makes
again only the stages from the first one that uses it, and a second notebook makes none.

The sweep shows how the list depends on each number of the method. Each number is set to other
values while the others are as published, and all sites are judged again from the first stage that
uses it. The list for each value is kept beside the stages, so that an interrupted sweep continues
with the next value.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import product

import duckdb
import pandas as pd

from analysis.errors import ParameterError
from analysis.observations.fingerprints import Fingerprints
from analysis.outcomes.features import Features, add_features
from analysis.outcomes.filters import local_filters
from analysis.outcomes.outcomes import Outcomes, apply_rules
from analysis.outcomes.profiles import Profiles, add_profiles
from analysis.outcomes.rules import Rule
from analysis.outcomes.steps import keep_frames, read_frame
from analysis.outcomes.thresholds import DECLARATIONS, STAGES, Stage, Thresholds
from analysis.reference.networks import DOMESTIC
from analysis.reference.release import digest_modules
from analysis.store.stage_tables import KeptTables, Tables, add_room
from analysis.study.study import Study
from analysis.verdicts.addresses import add_address_sessions
from analysis.verdicts.pairs import Country
from analysis.verdicts.sessions import Operators, Sessions, add_sessions
from analysis.verdicts.states import STATES_BY_STRENGTH, strength
from analysis.verdicts.verdicts import (
    Judgement,
    Scope,
    judge_cells,
    judge_without_rivals,
    list_pairs,
)
from analysis.vocabulary import LISTED, PERIODS

#: The tables of a judgement.
_FRAMES = ("verdicts", "intervals", "addresses", "withheld", "chances", "defects")


def confirm(
    study: Study, networks: pd.DataFrame | None = None, periods: Collection[str] = tuple(PERIODS)
) -> Judgement:
    """Judge every site on every network, or read the same judgement from an earlier run.

    A judgement that was read has no intermediate tables of ``analysis/verdicts``.

    Args:
        study: with its rules and numbers. Its connection then also has ``outcomes`` (one row per
            measurement), and the tables for ``evidence``.
        networks: ``Study.networks``, if already computed.
        periods: names of the study's periods; each gets one row per pair.

    Returns:
        ``verdicts`` with the operator of each network; a listed site on a network that is not an
        access network of the country is set aside as *not_domestic*. With ``WITNESSES=none`` its
        tables do not identify single measurements.
    """
    if networks is None:
        networks = study.networks()
    connection, thresholds = study.connection, study.thresholds
    method = Method.of(study, networks)
    sessions = Maker(study.kept, connection, method).make_sessions()
    judged = {name: period for name, period in study.periods.items() if name in periods}
    spans = [[name, str(period.since), str(period.until)] for name, period in judged.items()]
    made_from = [method.describe("verdicts"), spans, study.is_fictional]
    if study.kept and (catalog := study.kept.find(connection, "verdicts", made_from)):
        judgement = _read_judgement(connection, catalog, sessions, thresholds)
    else:
        scope = Scope(judged, thresholds, has_explorer=not study.is_fictional, has_addresses=True)
        judgement = _of_country(judge_cells(connection, sessions, scope), networks)
        if study.kept:
            frames = {name: getattr(judgement, name) for name in _FRAMES}
            write = partial(keep_frames, connection, frames)
            study.kept.provide(connection, "verdicts", made_from, write)
    sessions.use(connection)
    is_whole = study.parameters.has_witnesses
    return judgement if is_whole else judgement.without_measurements()


def _of_country(judgement: Judgement, networks: pd.DataFrame) -> Judgement:
    """Add the operator of each network, and set aside sites on networks of other countries."""
    verdicts = judgement.verdicts.merge(
        networks[["probe_asn", "operator", "is_domestic"]], on="probe_asn", how="left"
    )
    verdicts["note"] = _with_resolvers(verdicts)
    is_listed = verdicts["state"].isin(LISTED)
    is_foreign = is_listed & ~verdicts["is_domestic"].astype(bool)
    verdicts.loc[is_foreign, "set_aside_reason"] = "not_domestic"
    frames = {**{name: getattr(judgement, name) for name in _FRAMES}, "verdicts": verdicts}
    tables = {name: _with_texts(frame) for name, frame in frames.items()}
    return Judgement(**tables, weigh=judgement.weigh)


def _with_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the types that it has when read from disk: texts, and int64 networks."""
    kinds = {name: "str" for name in frame if frame[name].dtype == object}
    return frame.astype({**kinds, "probe_asn": "int64"} if "probe_asn" in frame else kinds)


def _read_judgement(
    connection: duckdb.DuckDBPyConnection, catalog: str, sessions: Sessions, thresholds: Thresholds
) -> Judgement:
    """Read a kept judgement, whose evidence is weighed again on demand."""

    def weigh() -> Country:
        return judge_without_rivals(connection, sessions, thresholds)

    frames = {name: read_frame(connection, catalog, name) for name in _FRAMES}
    return Judgement(**frames, weigh=weigh)


def count_states(whole: pd.DataFrame) -> pd.DataFrame:
    """Count pairs by state, the strongest first, on the country's access networks and on others.

    Args:
        whole: the contract's ``verdicts`` of one period, with the ``kind`` of each network.

    Returns:
        ``state, insufficient_reason, access_pair_count, other_pair_count``.
    """
    is_access = whole["kind"].isin(DOMESTIC)
    counted = whole.assign(access_pair_count=is_access, other_pair_count=~is_access)
    columns = ["access_pair_count", "other_pair_count"]
    states = counted.groupby(["state", "insufficient_reason"])[columns].sum().reset_index()
    return states.sort_values("state", key=strength, kind="stable", ignore_index=True)


def _with_resolvers(verdicts: pd.DataFrame) -> pd.Series:
    """Return the notes with the networks of the resolvers through which a DNS block was seen.

    A forged answer that seems to come from a public resolver was injected on the path, so the note
    only tells the path of the lookup and accuses no network.
    """
    rows = verdicts.loc[verdicts["resolver_asns"] != "", ["probe_asn", "resolver_asns", "note"]]
    notes = {}
    for row, own, asns, note in zip(rows.index, *(rows[name] for name in rows), strict=True):
        names = [asn for asn in asns.split(";") if asn and asn != f"AS{own}"]
        words = f"seen through the resolver of {', '.join(names)}" if names else ""
        notes[row] = "; ".join(filter(None, (note, words)))
    return pd.Series(notes, dtype=str).reindex(verdicts.index).fillna(verdicts["note"])


def spans_by_site(intervals: pd.DataFrame) -> pd.DataFrame:
    """Return one row per stretch of days in which a site was seen blocked on any network.

    Intervals of one site are joined if they share a day or are on consecutive days. The last open
    day before a stretch is that of the networks on which it begins, and the first open day after it
    that of the networks on which it ends.

    Args:
        intervals: ``domain, probe_asn, state, blocked_from, blocked_until, last_seen_open,
            first_seen_open_again``; a missing ``blocked_until`` means blocked to the end, the
            other two may be unknown.

    Returns:
        The same columns by site and first day, with ``network_count`` (networks of all stretches of
        the site) instead of ``probe_asn``. ``state`` is blocked if that of any interval is.
    """
    rows = intervals.sort_values(["domain", "blocked_from"], ignore_index=True)
    until, since = rows["blocked_until"].fillna(_NEVER), rows["blocked_from"]
    until_before = until.groupby(rows["domain"]).cummax().groupby(rows["domain"]).shift()
    is_apart = until_before.isna() | (since > until_before + pd.Timedelta(days=1))
    stretch = is_apart.cumsum()
    is_opening = since == since.groupby(stretch).transform("min")
    is_closing = until == until.groupby(stretch).transform("max")
    rows["network_count"] = rows.groupby("domain")["probe_asn"].transform("nunique")
    spans = rows.groupby(stretch)[["domain", "network_count", "state", "blocked_from"]].min()
    open_again = rows["first_seen_open_again"].where(is_closing)
    spans = spans.assign(
        blocked_until=until.groupby(stretch).max().replace(_NEVER, pd.NaT),
        last_seen_open=rows["last_seen_open"].where(is_opening).groupby(stretch).max(),
        first_seen_open_again=open_again.groupby(stretch).min(),
    )
    return spans.reset_index(drop=True)


#: The days of ``spans_by_site``.
SPAN_DAYS = ("blocked_from", "blocked_until", "last_seen_open", "first_seen_open_again")
#: Later than any day.
_NEVER = pd.Timestamp("9999-12-31")


#: Table, in the order of processing → what one row is.
_ROWS = {
    "observations": "a measurement: what it recorded",
    "profiled": "a measurement: the columns that rules ask (outcomes/features.md)",
    "outcomes": "a measurement: which rules it fired",
    "sessions": "a site in one run of a probe: what it shows",
    "chances": "a site on a network: how surprising its failures are if nobody blocks",
    "verdicts": "a site on a network in a period: its state",
    "intervals": "a stretch of time in which a network blocked a site",
    "withheld": "a stretch that is surprising and not listed, with the reason",
    "rules": "a rule of the method",
    "answer_profiles": "an address as one resolver network gave it in a quarter",
    "page_profiles": "a page as one network served it",
    "broken_sessions": "a session that failed where others did not",
}


def name_tables(connection: duckdb.DuckDBPyConnection, **frames: pd.DataFrame) -> pd.DataFrame:
    """List the main tables, in the order of processing.

    Intermediate tables are described beside their SQL in ``analysis/outcomes`` and
    ``analysis/verdicts``.

    Args:
        connection: of a study, after ``confirm``.
        frames: further frames, by name.

    Returns:
        One row per existing table: ``table, row_count, column_count, one_row_is``.
    """
    counts = {name: (len(frame), len(frame.columns)) for name, frame in frames.items()}
    for name in _ROWS:
        with suppress(duckdb.CatalogException):  # it does not exist
            relation = connection.table(name)
            counts[name] = (relation.count("*").fetchall()[0][0], len(relation.columns))
    return pd.DataFrame(
        [(name, *counts[name], one_row) for name, one_row in _ROWS.items() if name in counts],
        columns=["table", "row_count", "column_count", "one_row_is"],
    )


#: Tables on which the rules are based, with their captions.
EVIDENCE = {
    "answers": "Answers that the lookup's control did not get, by resolver network and quarter",
    "pages": "Pages served in place of several sites, by network",
    "broken_sessions": "Broken sessions, by network",
    "rules_fired": "Measurements by the rule that explains them",
}
_QUERIES = {
    "answers": "SELECT *, name_count - dead_name_count AS own_live_name_count "
    "FROM answer_profiles "
    "ORDER BY measurement_count DESC, address, resolver_asn, quarter",
    "pages": "SELECT probe_asn, title, name_count, reached_elsewhere_count, network_count, "
    "scattered_share, showing_share, measurement_count, is_blockpage FROM page_profiles "
    "WHERE name_count > 1 ORDER BY is_blockpage DESC, name_count DESC, page, probe_asn",
    "broken_sessions": "SELECT probe_asn, count(*) AS session_count, "
    "sum(name_count)::BIGINT AS domain_count, "
    "sum(failing_name_count)::BIGINT AS failing_name_count "
    "FROM broken_sessions GROUP BY 1 ORDER BY 1",
    "rules_fired": "SELECT rule_id::VARCHAR AS rule_id, count(*) AS measurement_count "
    "FROM outcomes GROUP BY 1 ORDER BY 1",
}


def evidence(study: Study, name: str) -> pd.DataFrame:
    """Return one of the tables on which the rules are based, in a fixed order.

    Args:
        study: after ``confirm``.
        name: ``answers`` (one row per resolver network, answer address and quarter),
            ``pages`` (per network and page), ``broken_sessions`` (per network, without report
            IDs), ``rules_fired`` (per rule).
    """
    return study.connection.execute(_QUERIES[name]).df()


#: Stage → the modules on which it, and all stages after it, depend.
_MADE_BY: Mapping[str, tuple[str, ...]] = {
    "features": (
        *("hosts", "sql", "observations/schema", "observations/messaging_tests"),
        *("observations/flags", "sources/archive_files", "store/receipt"),
        "store/stage_tables",
        "outcomes/",
    ),
    "sessions": ("period", "vocabulary", "verdicts/", "study/confirmation"),
}
#: The stages that make tables; the last stage makes a judgement.
TABLES = STAGES[:-1]
_LIBRARIES = ("duckdb", "publicsuffixlist")


@dataclass(frozen=True)
class Method:
    """The inputs of a judgement besides the observations.

    Attributes:
        thresholds: the method's numbers.
        rules: the method's rules, in order.
        fingerprints: OONI's blocking fingerprints.
        operators: of the networks.
    """

    thresholds: Thresholds
    rules: tuple[Rule, ...]
    fingerprints: Fingerprints
    operators: Operators

    @classmethod
    def of(cls, study: Study, networks: pd.DataFrame) -> "Method":
        """Return the method of a study; ``networks`` has ``probe_asn, operator, is_domestic``."""
        return cls(study.thresholds, study.rules, study.fingerprints, Operators.of(networks))

    def describe(self, last: Stage) -> list[object]:
        """Return all inputs of a stage besides the observations, as values for JSON."""
        stages = STAGES[: STAGES.index(last) + 1]
        return [
            [
                stage,
                digest_modules(_MADE_BY.get(stage, ())),
                self._numbers(stage),
                self._inputs(stage),
            ]
            for stage in stages
        ]

    def _numbers(self, stage: Stage) -> dict[str, float]:
        numbers = vars(self.thresholds).items()
        return {name: value for name, value in numbers if stage in DECLARATIONS[name].stages}

    def _inputs(self, stage: Stage) -> object:
        if stage == "features":
            return [version(library) for library in _LIBRARIES]
        if stage == "profiles":
            return [self.fingerprints.digest, str(local_filters())]
        if stage == "rules":
            domestic = sorted(self.operators.domestic_asns)
            return [[astuple(replace(rule, comment="")) for rule in self.rules], domestic]
        return sorted(self.operators.names.items())


@dataclass(frozen=True)
class Maker:
    """A maker of the stages of a study, which finds those that were made earlier.

    Attributes:
        kept: the tables on disk; if None, tables are made in memory.
        connection: with ``observations`` in its own database.
        method: the other inputs.
        in_memory: stages that are made in memory nevertheless.
    """

    kept: KeptTables | None
    connection: duckdb.DuckDBPyConnection
    method: Method
    in_memory: Collection[Stage] = ()

    def make_sessions(self) -> Sessions:
        """Return ``sessions`` and the tables on which they depend."""
        outcomes, method = self.make_outcomes(), self.method
        numbers = (method.operators, method.thresholds)

        def make(catalog: str) -> None:
            sessions = add_sessions(self.connection, outcomes, *numbers, catalog)
            add_address_sessions(self.connection, sessions, *numbers)

        return Sessions.beside(outcomes, self._provide("sessions", make))

    def make_outcomes(self) -> Outcomes:
        """Return ``outcomes`` and the tables on which they depend."""
        profiles, method = self.make_profiles(), self.method
        arguments = (self.connection, profiles, method.thresholds, method.rules)
        make = partial(apply_rules, *arguments, reference_asns=method.operators.domestic_asns)
        return Outcomes.beside(profiles, self._provide("rules", make))

    def make_profiles(self) -> Profiles:
        """Return the profiles of answers and pages, and the features."""
        features, method = self.make_features(), self.method
        arguments = (self.connection, features, method.thresholds, method.fingerprints)
        return Profiles.beside(
            features, self._provide("profiles", partial(add_profiles, *arguments))
        )

    def make_features(self) -> Features:
        """Return ``features`` and the tables on which they depend."""
        own = Tables.of(self.connection)
        arguments = (self.connection, own, self.method.thresholds)
        return Features.at(self._provide("features", partial(add_features, *arguments)), own)

    def _provide(self, stage: Stage, make: Callable[[str], object]) -> str:
        """Return the catalog of a stage's tables, and make them if necessary."""
        if self.kept is None or stage in self.in_memory:
            catalog = add_room(self.connection, stage)
            make(catalog)
            return catalog
        return self.kept.provide(self.connection, stage, self.method.describe(stage), make)


#: Threshold → values to try besides the published one. A number on which no state depends has none.
Grid = Mapping[str, Sequence[float]]
GRID: Grid = {name: declared.tried for name, declared in DECLARATIONS.items() if declared.tried}
#: The lowest and the highest of them.
ENDS: Grid = {name: (min(values), max(values)) for name, values in GRID.items()}


def sweep(
    study: Study,
    networks: pd.DataFrame,
    grid: Grid = ENDS,
    say: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Judge the sites with each threshold at each value, the others as published.

    Values whose list is kept from an earlier call, even an interrupted one, are not judged again.

    Args:
        study: its own numbers are ignored.
        networks: ``Study.networks``.
        grid: threshold → values; the published value is added.
        say: called with ``(done, total)``, in judgements, when one begins and after the last.

    Returns:
        One row per threshold and value, in the order of the grid and by value: ``threshold,
        value, is_standing`` (the published value), ``blocked_domain_count`` and
        ``blocked_pair_count`` (listed sites, and pairs of site and access network),
        ``gained_count, lost_count`` and ``gained, lost`` (sites compared with those of the
        published numbers, joined by ``;``).

    Raises:
        SourceError: no folder can take the stages.
    """
    judged = dict.fromkeys([Thresholds(), *_changed(grid).values()])
    for done, thresholds in enumerate(judged):
        say(done, len(judged))
        _keep_list(study, _method(study, networks, thresholds))
    say(len(judged), len(judged))
    swept = find_sweep(study, networks, grid)
    assert swept is not None
    return swept


def find_sweep(study: Study, networks: pd.DataFrame, grid: Grid = ENDS) -> pd.DataFrame | None:
    """Return the result of ``sweep`` if each of its values was judged before, else None.

    Nothing is judged, and no stage is made. Arguments are those of ``sweep``.
    """
    standing = _find_list(study, _method(study, networks, Thresholds()))
    rows = []
    for (name, value), thresholds in _changed(grid).items():
        listed = _find_list(study, _method(study, networks, thresholds))
        if standing is None or listed is None:
            return None
        rows.append(_row(name, value, listed, standing))
    return pd.DataFrame(rows)


def try_numbers(
    study: Study, grid: Grid, say: Callable[[int, int], None] = lambda done, total: None
) -> pd.DataFrame:
    """Judge with every combination of the values of one or two thresholds.

    Args:
        study: has the other thresholds and the rules; it is not changed.
        grid: threshold → values.
        say: called with ``(done, total)``, in judgements, when one begins and after the last.

    Returns:
        One row per combination, in the order of the grid: the thresholds by name;
        ``listed_domain_count``; a column per state, such as ``likely_blocked_pair_count``, pairs of
        site and access network in the whole period; ``gained, lost``, the sites added to and
        removed from the list of the study, joined by ``;``.

    Raises:
        ParameterError: more than two thresholds, no such threshold, or an invalid value.
    """
    if not 1 <= len(grid) <= 2:
        raise ParameterError("grid", ", ".join(grid), "one threshold or two are accepted")
    for name, values in grid.items():
        if not isinstance(values, tuple | list) or not values:
            raise ParameterError("grid", name, "a list of values is accepted, such as (3, 4, 6)")
    networks = study.networks()
    tried = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    variants = [study.variant("tried numbers", thresholds=numbers) for numbers in tried]
    standing, rows = _access_pairs(study.variant("as it stands"), networks), []
    before = set(standing.loc[standing["state"].isin(LISTED), "domain"])
    for done, (numbers, variant) in enumerate(zip(tried, variants, strict=True)):
        say(done, len(tried))
        pairs = _access_pairs(variant, networks)
        listed = set(pairs.loc[pairs["state"].isin(LISTED), "domain"])
        counts = pairs["state"].value_counts()
        rows.append(
            {
                **{name: getattr(variant.thresholds, name) for name in numbers},
                "listed_domain_count": len(listed),
                **{
                    f"{state}_pair_count": int(counts.get(state, 0)) for state in STATES_BY_STRENGTH
                },
                "gained": ";".join(sorted(listed - before)),
                "lost": ";".join(sorted(before - listed)),
            }
        )
    say(len(tried), len(tried))
    return pd.DataFrame(rows)


def _access_pairs(study: Study, networks: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts on access networks in the whole period."""
    verdicts = confirm(study, networks, ["all"]).verdicts
    return verdicts[verdicts["is_domestic"].astype(bool)]


def _changed(grid: Grid) -> dict[tuple[str, float], Thresholds]:
    """Return (threshold, value) → the published numbers with this one changed."""
    published = Thresholds()
    return {
        (name, value): published.changed_by({name: value})
        for name, values in grid.items()
        for value in sorted({*values, getattr(published, name)})
    }


def _method(study: Study, networks: pd.DataFrame, thresholds: Thresholds) -> Method:
    return replace(Method.of(study, networks), thresholds=thresholds)


def _find_list(study: Study, method: Method) -> pd.DataFrame | None:
    """Return the listed pairs of site and access network, or None if not judged yet."""
    catalog = study.kept.find(study.connection, "listed", [method.describe("verdicts")])
    return read_frame(study.connection, catalog, "listed") if catalog else None


def _keep_list(study: Study, method: Method) -> None:
    """Judge, unless done before, and keep the listed pairs: ``domain, probe_asn``."""
    connection, made_from = study.connection, [method.describe("verdicts")]
    if study.kept.find(connection, "listed", made_from):
        return
    published = replace(method, thresholds=Thresholds())
    changed = [stage for stage in TABLES if method.describe(stage) != published.describe(stage)]
    sessions = Maker(study.kept, connection, method, in_memory=changed).make_sessions()
    pairs = list_pairs(connection, sessions, method.thresholds)
    pairs = pairs[pairs["probe_asn"].isin(method.operators.domestic_asns)]
    for catalog in sessions.catalogs[: len(changed)]:
        connection.execute(f"DETACH {catalog}")
    study.kept.provide(
        connection, "listed", made_from, partial(keep_frames, connection, {"listed": pairs})
    )


def _row(
    name: str, value: float, listed: pd.DataFrame, standing: pd.DataFrame
) -> dict[str, object]:
    sites, before = set(listed["domain"]), set(standing["domain"])
    gained, lost = sorted(sites - before), sorted(before - sites)
    return {
        "threshold": name,
        "value": float(value),
        "is_standing": value == getattr(Thresholds(), name),
        "blocked_domain_count": len(sites),
        "blocked_pair_count": len(listed),
        "gained_count": len(gained),
        "lost_count": len(lost),
        "gained": ";".join(gained),
        "lost": ";".join(lost),
    }
