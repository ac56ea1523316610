"""``field-check``: how far the judge agrees with people who looked at real measurements.

The measurements that OONI's analysts labelled are fetched from OONI's API by uid and kept; each is
judged alone, as ``judge`` does. With a country, the days around OONI's published incidents and
labelled weeks of that country are read from the archive, after a yes, and judged as a report does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.commands.doctor import list_days
from analysis.commands.judging import judge_files
from analysis.commands.progress import Step, say
from analysis.commands.settings import Settings, parse_settings, read_values, with_lists
from analysis.errors import ParameterError, SourceError
from analysis.languages.language import NOTHING, Language, open_languages
from analysis.outcomes.rules import RULES, RULES_VERSION
from analysis.outcomes.thresholds import Thresholds
from analysis.pages.rendering import PageContext, SetItem, list_editions, write_alone
from analysis.pages.replacing import published, refuse_foreign
from analysis.period import day_of
from analysis.reference.events import load_events
from analysis.reference.labels import PARAMETER, Labels, load_labels, load_weeks
from analysis.reference.reference_files import (
    REPOSITORY,
    SNAPSHOTS,
    country_name,
    parse_country,
)
from analysis.reference.withheld import NONE_WITHHELD, load_withheld
from analysis.report.fields_met import check_fields
from analysis.review.agreement import CASES, TABLE, Case, check_cases, compare, find_cases
from analysis.review.field_check_page import PAGE, say_cases, say_field_check, show_field_check
from analysis.sources.archive_files import OONI
from analysis.sources.measurements import Measurement, fetch_measurements
from analysis.sources.reference_data import find_fingerprints
from analysis.store.store import Collection
from analysis.study.confirmation import confirm
from analysis.study.lineage import Lineage
from analysis.study.parameters import absolute, replies_folder, whole_number
from analysis.study.study import load_lists, study_on
from analysis.tables import typed, write_table
from analysis.temporary_folders import TemporaryFolder

#: Parameters of a report that reading a country's days accepts.
_OF_REPORTS = (
    *("PROBE_CC", "SOURCE", "STORE", "FINGERPRINTS", "TEST_LIST", "NETWORKS", "REFERENCE"),
    *("RECEIPT_MARGIN", "ACCEPT_FIELDS", "KEEP_RAW", "JOBS", "SCHEDULER"),
)
_ACCEPTED = (PARAMETER, "FETCH", "OUT", "REPORT_LANGUAGES", *_OF_REPORTS)
#: Days after the period in which late uploads are looked for: enough to find a block.
_RECEIPT_MARGIN = "2"


@dataclass(frozen=True)
class Plan:
    """What a field check does, with its parameters checked.

    Attributes:
        labels: the labelled measurements.
        store: of the fetched measurements, and of the country's observations.
        fingerprints: a folder, ``""`` for none; None: the newest that are kept, or fetched ones.
        out: the folder of the page.
        languages: of the page, the first at its top.
        cases: the country's events, each with the settings of its days; None without a country.
        wants_fetch: whether to read the country's days; None: ask.
    """

    labels: Labels
    store: str
    fingerprints: str | None
    out: Path
    languages: tuple[Language, ...]
    cases: tuple[tuple[Case, Settings], ...] | None
    wants_fetch: bool | None
    probe_cc: str = ""


def read_plan(arguments: Sequence[str]) -> Plan:
    """Read ``NAME=VALUE`` arguments.

    Raises:
        ParameterError: an argument is not accepted, its value or a list is wrong, or ``OUT`` holds
            something else.
    """
    values = read_values(arguments, _ACCEPTED)
    code = parse_country(values["PROBE_CC"]) if values.get("PROBE_CC") else ""
    if not code and values.get("SOURCE"):
        raise ParameterError("SOURCE", values["SOURCE"], "is read for a country: give PROBE_CC")
    label = Path("reports", *([code.lower()] if code else []), "field-check")
    plan = Plan(
        labels=load_labels(values.get(PARAMETER, "")),
        store=absolute("store", values.get("STORE") or str(REPOSITORY / "data")),
        fingerprints=values.get("FINGERPRINTS"),
        out=Path(absolute("out", values.get("OUT") or str(REPOSITORY / label))),
        languages=open_languages(values.get("REPORT_LANGUAGES", "")),
        cases=_find_cases(code, values) if code else None,
        wants_fetch=whole_number("FETCH", values["FETCH"], range(2)) == 1
        if values.get("FETCH")
        else None,
        probe_cc=code,
    )
    refuse_foreign(plan.out, TABLE)
    return plan


def _find_cases(code: str, values: Mapping[str, str]) -> tuple[tuple[Case, Settings], ...]:
    """Return the events of a country, each with the settings that read its days."""
    withheld = load_withheld(code)
    cases = find_cases(load_events(None, code).events, load_weeks(code), withheld.rename)
    given = {"SOURCE": OONI, "RECEIPT_MARGIN": _RECEIPT_MARGIN}
    given |= {name: values[name] for name in _OF_REPORTS if values.get(name)}
    words = [f"{name}={value}" for name, value in given.items()]
    periods = [(case, case.period.since, case.period.until) for case in cases]
    return tuple(
        (case, parse_settings([*words, f"SINCE={since}", f"UNTIL={until}"]))
        for case, since, until in periods
    )


# --- single measurements --------------------------------------------------------------------------


def judge_labelled(plan: Plan, step: Step) -> tuple[pd.DataFrame, SourceError | None]:
    """Fetch the labelled measurements that are not kept, and judge all that are there.

    Args:
        plan: with the labels.
        step: called with the number of measurements that are there, of all, and the next uid.

    Returns:
        The contract's ``field_check``; and the error that ended the fetching, if there was one.

    Raises:
        SourceError: no measurement is there, or the fingerprints cannot be fetched.
    """
    uids = list(plan.labels.rows["measurement_uid"])
    measurements, trouble = fetch_measurements(replies_folder(plan.store), uids, step)
    if trouble and not any(one.raw_measurement for one in measurements.values()):
        say(f"none of {len(uids)} labelled measurements is kept yet")
        raise trouble
    return compare(plan.labels, measurements, _judge(measurements, plan.fingerprints)), trouble


def _judge(
    measurements: Mapping[str, Measurement], fingerprints: str | None
) -> dict[str, Mapping[str, Any]]:
    """Return what ``judge`` says of each measurement, by uid."""
    if fingerprints is None:
        fingerprints = str(find_fingerprints(SNAPSHOTS, say))
    with TemporaryFolder("workbook-field-check-") as folder:
        for uid, measurement in measurements.items():
            if measurement.raw_measurement:
                (folder / f"{uid}.json").write_text(measurement.raw_measurement, encoding="utf-8")
        files = sorted(folder.iterdir())
        return {Path(one["file"]).stem: one for one in judge_files(files, fingerprints)}


# --- a country's events ---------------------------------------------------------------------------


def describe_fetch(plan: Plan) -> Iterator[str]:
    """Yield what would have to be read for a country's events, and how large it is."""
    if plan.cases == ():
        yield (
            f"OONI has published no incident of web sites in {country_name(plan.probe_cc)}, and "
            "labelled no week of it"
        )
    for case, settings in plan.cases or ():
        days = f"{case.period.since} to {case.period.last_day}"
        yield f"{case.first_day} {case.event}: {days}, {_size(settings)}"


def _size(settings: Settings) -> str:
    """Return how much there is to read, in words."""
    with TemporaryFolder("workbook-field-check-") as folder:
        listing = list_days(settings, folder)
    if not listing.objects:
        return f"size unknown: {listing.troubles[0]}"
    size = sum(item.size for items in listing.objects for item in items) * listing.scale
    return f"about {size / 1e6:,.0f} MB in all"


def judge_events(
    plan: Plan, read_sites: Callable[[Settings], Collection]
) -> tuple[pd.DataFrame, SourceError | None]:
    """Read the days of a country's events, judge them as a report does, and compare.

    Args:
        plan: with cases.
        read_sites: reads the measurements of web sites of some settings into the store.

    Returns:
        The contract's ``field_check_events``, without events whose days could not be read; and the
        last error of reading.
    """
    rows: list[dict[str, Any]] = []
    trouble = None
    for _, group in groupby(plan.cases or (), key=lambda pair: pair[0].period):
        cases, settings = zip(*group, strict=True)
        try:
            rows += _judge_days(cases, with_lists(settings[0], say), read_sites)
        except SourceError as error:
            trouble = error
            say(f"{cases[0].event}: {error}")
    return typed(CASES, rows), trouble


def _judge_days(
    cases: Sequence[Case], settings: Settings, read_sites: Callable[[Settings], Collection]
) -> list[dict[str, Any]]:
    parameters = settings.study
    lists, collection = load_lists(parameters), read_sites(settings)
    study = study_on(parameters, {"all": parameters.period}, collection, lists)
    with closing(study.observations):
        check_fields(study)
        networks = study.networks()
        judged = confirm(study, networks, ["all"])
        access = networks.loc[networks["is_domestic"], "probe_asn"].tolist()
        return [
            row
            for case in cases
            for row in check_cases(case, judged.verdicts, judged.intervals, access)
        ]


# --- the page -------------------------------------------------------------------------------------


def publish(plan: Plan, table: pd.DataFrame, cases: pd.DataFrame | None = None) -> Iterator[str]:
    """Publish the page with its tables, and yield the result in lines for a terminal."""
    lineage = Lineage.of(RULES, Thresholds())
    facts = {
        "code_version": version("censorship-report-workbook"),
        "rules_version": RULES_VERSION,
        "labels": asdict(plan.labels.file),
        "method": lineage.for_run(),
    }
    withheld = load_withheld(plan.probe_cc) if plan.probe_cc else NONE_WITHHELD
    with published(plan.out, TABLE, withheld=withheld) as build:
        written = write_table(build.tables, TABLE, table)
        shown = None if cases is None else write_table(build.tables, CASES, cases)
        for edition in list_editions(plan.languages, partial(_describe, written, lineage)):
            lang = edition.page.lang
            provenance = {
                lang.say("Labels"): f"sha256 {plan.labels.file.digest}",
                lang.say("Version of the rules"): str(RULES_VERSION),
                lang.say("Method"): lineage.in_words,
            }
            item = SetItem(PAGE, lang.say("Field check"), "", lang.code)
            sections = show_field_check(written, shown, provenance, lang)
            write_alone(build.folder, edition, item, sections)
        build.run = {"parameters": {"probe_cc": plan.probe_cc}, TABLE: True, **facts}
    yield from say_field_check(written)
    if shown is not None:
        yield from say_cases(shown)
    yield f"page: {plan.out / PAGE}"


def _describe(table: pd.DataFrame, lineage: Lineage, lang: Language) -> PageContext:
    """Return the header of the page."""
    countries = table["probe_cc"].nunique()
    return PageContext(
        country=lang.say_plural("{n} country", "{n} countries", countries),
        period=lang.say_plural("{n} labelled measurement", "{n} labelled measurements", len(table)),
        status=lang.say("Field check"),
        data_date=day_of(table["day"].max()) or NOTHING,
        method_changes=tuple((edit, "") for edit in lineage.edits),
        title=lang.say("Field check"),
        lang=lang,
    )
