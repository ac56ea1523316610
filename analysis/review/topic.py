"""One topic in several countries: the verdicts of each country's own judge on the topic's sites.

Each country is judged on the whole of what the store has of it, because how often a site fails for
others, and what else fails, needs all sites. Only then are the topic's sites chosen, so a verdict
is the same as in the country's own report on these days.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ParameterError, SourceError
from analysis.period import Period
from analysis.reference.events import Event
from analysis.reference.networks import DOMESTIC
from analysis.reference.reference_files import REPOSITORY, country_name, is_fictional, parse_country
from analysis.reference.topics import PARAMETER, Topic, read_topic
from analysis.reference.withheld import Withheld, hide_names, load_withheld_of
from analysis.report.annex import find_reasons
from analysis.report.fields_met import check_fields
from analysis.store.ingestion import ingest, was_read
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters, absolute, find_lists
from analysis.study.study import Study, load_lists, request_of, study_on
from analysis.tables import TABLES, typed
from analysis.verdicts.states import strength
from analysis.vocabulary import LISTED

#: The tables of a topic.
COUNTRIES, SITES = "topic_countries", "topic_sites"
VERDICTS, INTERVALS = "topic_verdicts", "topic_intervals"
_MOST_COUNTRIES = 60
_TABLES = REPOSITORY / "data" / "work" / "topic" / "tables"


@dataclass(frozen=True)
class TopicStudy:
    """A topic, and the countries in which it is looked at.

    Attributes:
        topic: its sites.
        countries: the parameters of each country's study, in the alphabetical order of the codes;
            all have the same days and numbers.
        tables: the folder for its tables.
        withheld: the names that a meeting of any of these countries withheld.
    """

    topic: Topic
    countries: Sequence[StudyParameters]
    tables: str
    withheld: Withheld

    @property
    def method(self) -> Mapping[str, object]:
        """The method that judged all countries, for the page's provenance."""
        return self.countries[0].describe_method()

    @property
    def period(self) -> Period:
        """The days."""
        return self.countries[0].period


@dataclass(frozen=True)
class JudgedTopic:
    """The result of ``judge_topic``.

    Attributes:
        tables: the contract's ``topic_countries``, ``topic_sites``, ``topic_verdicts`` and
            ``topic_intervals``, by name.
        events: the known events of each country within the days, by code.
        missing: the names of the topic for which no site was tested in any country.
        sources: of each country that was judged, the inputs, for the provenance.
    """

    tables: Mapping[str, pd.DataFrame]
    events: Mapping[str, Sequence[Event]]
    missing: Sequence[str]
    sources: Mapping[str, object]


def topic_of(values: Mapping[str, Any]) -> TopicStudy:
    """Read the parameters of a topic: ``topic_of(globals())``. Nothing is opened.

    Args:
        values: ``sites`` and ``countries``, and those of a study; other names are ignored.

    Raises:
        ParameterError: one is wrong, or spells a name that a meeting withheld.
    """
    topic = read_topic(str(values.get("sites", "")))
    codes = read_countries(str(values.get("countries", "")))
    countries = [
        find_lists(StudyParameters.of({**values, "probe_cc": code, "tables": ""})) for code in codes
    ]
    days = {(study.since, study.until) for study in countries}
    if len(days) > 1:
        raise ParameterError("SINCE", "", "give SINCE and UNTIL, the same for all countries")
    withheld = load_withheld_of(codes)
    withheld.refuse(PARAMETER, values.get("sites", ""), topic.names)
    tables = absolute("tables", values.get("tables") or _TABLES)
    return TopicStudy(topic, countries, tables, withheld)


def read_countries(text: str) -> list[str]:
    """Read ``COUNTRIES``: codes separated by commas, each returned once, in alphabetical order.

    Raises:
        ParameterError: there is none, one is no country, or there are very many.
    """
    codes = sorted({parse_country(part) for part in text.split(",") if part.strip()})
    if not 0 < len(codes) <= _MOST_COUNTRIES:
        accepted = f"1 to {_MOST_COUNTRIES} countries are accepted, such as KH,TH,VN"
        raise ParameterError("COUNTRIES", text, accepted)
    return codes


def judge_topic(
    study: TopicStudy, say: Callable[[int, int], None] = lambda done, total: None
) -> JudgedTopic:
    """Judge each country whose measurements are there, and take the sites of the topic.

    A folder is read where it has something new. A server is not asked: what the store lacks is
    named, with the command that fetches it.

    Args:
        study: result of ``topic_of``.
        say: called with the countries done, and all.

    Raises:
        ContractError: fields of OONI's have changed; see ``fields_met.refuse_changed_fields``.
    """
    parts = []
    for done, parameters in enumerate(study.countries):
        say(done, len(study.countries))
        parts.append(_judge_country(study, parameters))
    say(len(parts), len(parts))
    frames = {
        name: typed(name, pd.concat([part.tables[name] for part in parts], ignore_index=True))
        for name in (COUNTRIES, SITES, VERDICTS, INTERVALS)
    }
    tested = {study.topic.find_name(domain) for domain in frames[SITES]["domain"]}
    return JudgedTopic(
        frames,
        {part.probe_cc: part.events for part in parts},
        [name for name in study.topic.names if name not in tested],
        {part.probe_cc: part.sources for part in parts if part.sources},
    )


@dataclass(frozen=True)
class _Part:
    """One country of a topic: its rows of the four tables."""

    probe_cc: str
    tables: Mapping[str, pd.DataFrame]
    events: Sequence[Event] = ()
    sources: Mapping[str, object] | None = None


def _judge_country(study: TopicStudy, parameters: StudyParameters) -> _Part:
    reading = _find_hindrance(parameters)
    if not reading:
        try:
            opened = _open_sites(parameters)
        except SourceError:
            reading = "no_measurement"
        else:
            with closing(opened.observations):
                return _read_judgement(study, opened)
    row = _describe(parameters) | {"reading": reading, "command": _say_command(reading, parameters)}
    empty = {name: typed(name, []) for name in (SITES, VERDICTS, INTERVALS)}
    return _Part(parameters.probe_cc, {COUNTRIES: pd.DataFrame([row]), **empty})


def _find_hindrance(parameters: StudyParameters) -> str:
    """Return why a country cannot be judged from what is on this machine; empty if it can."""
    if is_fictional(parameters.probe_cc) and not Path(parameters.source).exists():
        return "not_stored"
    return "not_stored" if parameters.is_of_server and not was_read(request_of(parameters)) else ""


def _open_sites(parameters: StudyParameters) -> Study:
    lists = load_lists(parameters)
    collection = ingest(request_of(parameters, reopen=True), lists.fingerprints)
    return study_on(parameters, {"all": parameters.period}, collection, lists)


def _describe(parameters: StudyParameters) -> dict[str, Any]:
    """Return the cells of ``topic_countries`` that need no measurement."""
    code = parameters.probe_cc
    counts = [name for name in TABLES[COUNTRIES].columns if name.endswith("_count")]
    return {
        "probe_cc": code,
        "country": country_name(code),
        "is_fictional": is_fictional(code),
        "since": pd.Timestamp(parameters.since),
        "until": pd.Timestamp(parameters.until),
        "input_digest": "",
        **dict.fromkeys(counts, 0),
    }


def _say_command(reading: str, parameters: StudyParameters) -> str:
    """Return the command that fetches what is missing; empty if none does."""
    if reading != "not_stored":
        return ""
    is_embedded = parameters.source == str(parameters.fictional_folder / "archive")
    source = "" if is_embedded else f" SOURCE={parameters.source}"
    days = f"SINCE={parameters.since} UNTIL={parameters.until}"
    return f"make ingest PROBE_CC={parameters.probe_cc} {days}{source}"


def _read_judgement(study: TopicStudy, opened: Study) -> _Part:
    """Judge a country, and return the rows of the topic's sites."""
    check_fields(opened)
    code, networks = opened.probe_cc, opened.networks()
    judgement = confirm(opened, networks, ["all"])
    sites = opened.domains()
    covered = [
        study.topic.covers(domain, category_code)
        for domain, category_code in zip(sites["domain"], sites["category_code"], strict=True)
    ]
    sites = sites[covered]
    named = networks[["probe_asn", "network", "kind"]]
    verdicts, intervals = (
        frame[frame["domain"].isin(sites["domain"])].merge(named, on="probe_asn", how="left")
        for frame in (judgement.verdicts, judgement.intervals)
    )
    access = verdicts[verdicts["kind"].isin(DOMESTIC)]
    is_told, is_listed = access["state"] != "insufficient", access["state"].isin(LISTED)
    row = {
        **_describe(opened.parameters),
        "reading": "judged" if len(verdicts) else "no_site",
        "command": "",
        "input_digest": opened.collection.digest,
        "measurement_count": int(access["measurement_count"].sum()),
        "network_count": access["probe_asn"].nunique(),
        "domain_count": access["domain"].nunique(),
        "pair_count": len(access),
        "told_pair_count": int(is_told.sum()),
        "told_domain_count": access.loc[is_told, "domain"].nunique(),
        "blocked_domain_count": access.loc[is_listed, "domain"].nunique(),
        "blocked_pair_count": int(is_listed.sum()),
        "blocked_network_count": access.loc[is_listed, "probe_asn"].nunique(),
    }
    tables = {
        SITES: _list_sites(sites, verdicts, access, intervals),
        VERDICTS: verdicts,
        INTERVALS: intervals,
    }
    shown = {
        name: hide_names(frame, study.withheld, code, "domain").assign(probe_cc=code)
        for name, frame in tables.items()
    }
    return _Part(
        code,
        {COUNTRIES: pd.DataFrame([row]), **shown},
        opened.known_events,
        opened.sources(),
    )


def _list_sites(
    sites: pd.DataFrame, verdicts: pd.DataFrame, access: pd.DataFrame, intervals: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of ``topic_sites`` of one country, without its code.

    Args:
        sites: ``Study.domains`` of the topic.
        verdicts: those of its sites; ``access``, those on access networks.
        intervals: the listed ones of its sites, with the kind of the network.
    """
    reasons = find_reasons(verdicts)
    listed = access[access["state"].isin(LISTED)]
    own = intervals[intervals["kind"].isin(DOMESTIC)]
    strongest = access.loc[strength(access["state"]).sort_values(kind="stable").index]
    strongest = strongest.drop_duplicates("domain").set_index("domain")
    by_site, of_listed = access.groupby("domain"), listed.groupby("domain")
    told = access[access["state"] != "insufficient"].groupby("domain")["probe_asn"].nunique()
    counts = {
        "network_count": by_site["probe_asn"].nunique(),
        "told_network_count": told,
        "blocked_network_count": of_listed["probe_asn"].nunique(),
        "measurement_count": by_site["measurement_count"].sum(),
        "session_count": by_site["session_count"].sum(),
        "blocked_session_count": of_listed["blocked_session_count"].sum(),
    }
    texts = {
        "state": strongest["state"],
        "insufficient_reason": strongest["insufficient_reason"],
        "mechanisms": of_listed["mechanism"].agg(lambda names: ";".join(sorted(set(names)))),
    }
    table = sites[["domain", "category"]].set_index("domain")
    table = table.assign(
        reason=pd.Series(reasons, dtype="str"),
        blocked_from=own.groupby("domain")["blocked_from"].min(),
        last_seen_blocked=own.groupby("domain")["last_seen_blocked"].max(),
        chance=of_listed["chance"].min(),
        **texts,
        **counts,
    )
    table["reason"] = table["reason"].where(table["blocked_network_count"].isna(), "")
    filled = dict.fromkeys(counts, 0) | dict.fromkeys((*texts, "reason"), "")
    return table.fillna(filled).reset_index()
