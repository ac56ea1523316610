"""``topic``: some sites in several countries, on one page; and the ``watch`` of several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from analysis.commands.reporting import watch_settings
from analysis.commands.settings import Settings, parse_settings, read_values, with_lists
from analysis.errors import ParameterError, SourceError
from analysis.languages.language import ENGLISH, Language
from analysis.outcomes.rules import RULES_VERSION
from analysis.pages.publishing import publish_notebook
from analysis.pages.rendering import PageContext, SetItem, list_editions, write_alone
from analysis.pages.replacing import published, refuse_foreign
from analysis.reference.reference_files import NOTEBOOKS, REPOSITORY, country_name, is_fictional
from analysis.reference.withheld import hide_names, load_withheld_of
from analysis.review.reports import Report, read_report
from analysis.review.standing import LOG, STANDING
from analysis.review.topic import read_countries, topic_of
from analysis.review.watch_page import FEED, PAGE, show_watches, write_feed
from analysis.study.parameters import PARAMETERS, absolute, whole_number
from analysis.study.study import load_lists
from analysis.tables import read_table, typed, write_table

#: The key of ``run.json`` that only pages of topics have.
_TOPIC = "topic"
#: Parameters of a report that each country's study takes.
_OF_REPORTS = (
    *("SINCE", "UNTIL", "SOURCE", "STORE", "TEST_LIST", "FINGERPRINTS", "REFERENCE"),
    *("RECEIPT_MARGIN", "ACCEPT_FIELDS", "WITNESSES", "KEEP_RAW", "RELIST", "JOBS", "SCHEDULER"),
)
_ACCEPTED = ("SITES", "COUNTRIES", "FETCH", "OUT", *_OF_REPORTS)


@dataclass(frozen=True)
class Plan:
    """A topic with its parameters checked.

    Attributes:
        values: the parameters of the notebook, by name.
        countries: the settings of each country's study.
        out: the folder of the page.
        wants_fetch: whether to read what the store lacks from a server.
    """

    values: Mapping[str, object]
    countries: Sequence[Settings]
    out: Path
    wants_fetch: bool


def read_plan(arguments: Sequence[str]) -> Plan:
    """Read ``NAME=VALUE`` arguments.

    Raises:
        ParameterError: an argument is not accepted, its value or a list is wrong, or ``OUT`` holds
            something else.
    """
    given = read_values(arguments, _ACCEPTED)
    for name, example in (("SITES", "NEWS, or bbc.com,voanews.com"), ("COUNTRIES", "KH,TH,VN")):
        if not given.get(name):
            raise ParameterError(name, "", f"must be given, such as {example}")
    of_reports = {name: given[name] for name in _OF_REPORTS if given.get(name)}
    words = [f"{name}={value}" for name, value in of_reports.items()]
    codes = read_countries(given["COUNTRIES"])
    countries = [parse_settings([*words, f"PROBE_CC={code}"]) for code in codes]
    study, sites = countries[0].study, given["SITES"]
    label = Path("reports", "topic", "-".join(codes).lower()[:100], str(study.period))
    values = {
        **{
            name.lower(): getattr(study, name.lower())
            for name in of_reports
            if name.lower() in PARAMETERS
        },
        "sites": absolute("sites", sites) if Path(sites).expanduser().is_file() else sites,
        "countries": ",".join(codes),
    }
    topic_of(values)  # an error before anything is read
    out = Path(absolute("out", given.get("OUT") or REPOSITORY / label)).resolve()
    refuse_foreign(out, _TOPIC)
    wants_fetch = whole_number("FETCH", given.get("FETCH") or 0, range(2)) == 1
    return Plan(values, countries, out, wants_fetch or bool(given.get("SCHEDULER")))


def read_measurements(
    plan: Plan,
    simulate: Callable[[Settings], None],
    read_sites: Callable[[Settings], object],
    say: Callable[[str], None],
) -> None:
    """Read what the sources have and the store lacks; of servers only if the plan wants that.

    Args:
        plan: of the topic.
        simulate: makes the archive of a fictional country.
        read_sites: reads the measurements of web sites of some settings into the store.
        say: called with a line where a country could not be read.
    """
    for settings in plan.countries:
        if settings.is_embedded:
            simulate(settings)
        if plan.wants_fetch or not settings.study.is_of_server:
            try:
                read_sites(with_lists(settings, say))
            except SourceError as error:
                say(f"{settings.study.probe_cc}: {error}")


def publish_topic(plan: Plan) -> Path:
    """Run the notebook and publish its page; returns the page."""
    study = topic_of(plan.values)
    codes, first = [one.probe_cc for one in study.countries], study.countries[0]
    files = [file for one in study.countries for file in load_lists(one).files]
    run = {
        "parameters": {
            "probe_cc": ",".join(codes),
            "since": first.since,
            "until": first.until,
            "sites": [*study.topic.names, *study.topic.category_codes],
        },
        "method": first.lineage.for_run(),
        "code_version": version("censorship-report-workbook"),
        "rules_version": RULES_VERSION,
        "reference": [asdict(file) for file in dict.fromkeys(files)],
        "is_fictional": all(map(is_fictional, codes)),
    }
    page = PageContext(
        country=ENGLISH.listed(map(country_name, codes)),
        period=first.period.in_words,
        status="Fictional countries" if run["is_fictional"] else "Draft",
        data_date=first.period.last_day,
        method_changes=tuple((edit, "") for edit in first.lineage.edits),
        title=f"What is blocked in {len(codes)} countries" if len(codes) > 1 else "What is blocked",
        has_witnesses=first.has_witnesses,
    )
    notebook = NOTEBOOKS / "topic.ipynb"
    return publish_notebook(notebook, plan.values, page, plan.out, _TOPIC, run, study.withheld)


# --- watch ----------------------------------------------------------------------------------------

#: The key of ``run.json`` that only pages of several countries' looks have, and their table.
_WATCHES, _ALL_NEWS = "watches", "watch_countries"


def list_watches(arguments: Sequence[str]) -> list[Settings]:
    """Read the arguments of ``watch``: the settings of each country that ``PROBE_CC`` names.

    Each country keeps its own record: in its usual folder or, of several in ``OUT``, in one below.

    Raises:
        ParameterError: an argument is wrong.
    """
    values = read_values(arguments)
    codes = dict.fromkeys(code.strip().lower() for code in values.get("PROBE_CC", "").split(","))
    if len(codes) == 1:
        return [watch_settings(arguments)]
    settings = []
    for code in filter(None, codes):
        own = values | {"PROBE_CC": code}
        if values.get("OUT"):
            own["OUT"] = f"{values['OUT']}/{code}"
        settings.append(watch_settings(f"{name}={value}" for name, value in own.items()))
    return settings


def publish_watches(every: Sequence[Settings], out: str) -> Path:
    """Publish one page and one feed of the last looks at several countries.

    A country at which nobody has looked yet is not on it.

    Args:
        every: the settings of each country.
        out: ``OUT``, or empty.

    Returns:
        The page.
    """
    codes = [settings.study.probe_cc for settings in every]
    base = Path(absolute("out", out)) / "all" if out else REPOSITORY / "reports" / "watch"
    folder = base if out else base / "-".join(codes).lower()
    found = [read_report(one.out, "OUT") for one in every if (one.out / "run.json").is_file()]
    withheld = load_withheld_of(codes)
    looks = [
        (hide_names(read_table(report.tables, LOG), withheld, report.probe_cc, "item"), report)
        for report in found
    ]
    standings = [read_table(report.tables, STANDING) for report in found]
    news = pd.concat([log.assign(probe_cc=report.probe_cc) for log, report in looks])
    with published(folder, _WATCHES, withheld=withheld) as build:
        write_table(build.tables, _ALL_NEWS, typed(_ALL_NEWS, news))
        describe = partial(_describe_watches, found)
        for edition in list_editions(every[0].languages, describe):
            lang = edition.page.lang
            item = SetItem(PAGE, lang.say("Early warning"), "", lang.code)
            write_alone(build.folder, edition, item, show_watches(looks, standings, lang))
        (build.folder / FEED).write_text(write_feed(looks), "utf-8", newline="\n")
        build.run = {
            _WATCHES: {report.probe_cc: report.digest for report in found},
            "rules_version": RULES_VERSION,
        }
    return folder / PAGE


def _describe_watches(found: Sequence[Report], lang: Language) -> PageContext:
    """Return the header of the page of several countries' looks."""
    last = max(report.period.last_day for report in found)
    return PageContext(
        country=lang.listed(country_name(report.probe_cc, lang) for report in found),
        period=lang.date(last),
        status=lang.say("Early warning"),
        data_date=last,
        title=lang.say("Early warning"),
        lang=lang,
    )
