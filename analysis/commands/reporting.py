"""From checked settings to a published report."""

from collections.abc import Collection as Group
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.commands.auditing import (
    NOTEBOOKS,
    audit_page,
    comparison_with,
    status_in_words,
)
from analysis.commands.reviewing import feedback_page, narrative_page
from analysis.commands.settings import Settings
from analysis.errors import NothingThereError, ParameterError
from analysis.languages.language import ENGLISH, Language
from analysis.outcomes.rules import RULES_VERSION
from analysis.pages.editions import Appendix, Edition, PageSet, find_folder
from analysis.pages.publishing import publish
from analysis.pages.rendering import PageContext, Section, SetItem
from analysis.pages.scheduling import Display
from analysis.pages.summary_page import Summary
from analysis.reference import countries
from analysis.report.annex_page import render_annex_page
from analysis.report.decided import decide_first_page
from analysis.report.first_page import word_apps_alone, word_first_page
from analysis.report.site_evidence import COMPARED, FLAGS, REACHED, SPANS
from analysis.report.site_pages import INDEX, Setting, make_pages, stylesheet
from analysis.review.changes import check_comparable
from analysis.review.claims import Draft, find_draft, load_draft
from analysis.review.decisions import (
    Basis,
    Decision,
    decision_table,
    load_decisions,
    review_path,
)
from analysis.review.narrative import load_narrative
from analysis.review.reports import Report, read_report
from analysis.sources.layout import OONI
from analysis.store.collection import Collection
from analysis.study.parameters import StudyParameters, changed_numbers
from analysis.study.reference_lists import ReferenceLists
from analysis.study.study import open_observations
from analysis.study.table_folder import note_file
from analysis.tables import write_table

#: What single notebooks let a researcher choose besides the study's parameters. A report states
#: these as well: it takes nothing from what somebody saved in a notebook.
NOTEBOOK_OPTIONS: Mapping[str, object] = {"published": "", "sweep_all": False, "results": ""}

_VERDICTS, _NETWORKS = "verdicts.csv", "networks.csv"
#: What is done besides: the study's rows are written into the file that notebooks open.
OBSERVATIONS = "observations"
#: Notebook → those whose tables it reads, itself or by the functions that it calls → the files, as
#: soon as which are there it begins; where none is named, it begins when that notebook is done.
#: They run side by side as far as this allows: those first that others wait for, or that take
#: longest: hence 5 names the file that is written last, as 3 does, though it reads the first alone.
#: 6 and 8 need no observations, and are done while these are written; 7 has begun when they are
#: there, and waits for them by itself. One that is not named here begins when all before it are
#: done.
READS: Mapping[str, Mapping[str, Group[str]]] = {
    "2-confirmation": {OBSERVATIONS: ()},
    "6-validation": {},
    "8-messaging-circumvention": {},
    "7-sensitivity": {},
    "1-ingestion": {OBSERVATIONS: ()},
    "3-semester-comparison": {"2-confirmation": (_VERDICTS, _NETWORKS)},
    "4-blocked-sites": {
        "1-ingestion": (),
        "2-confirmation": (_VERDICTS, _NETWORKS, "blocking_intervals.csv", note_file(REACHED)),
        "3-semester-comparison": ("semester_changes.csv",),
        "8-messaging-circumvention": (),
    },
    "5-method-comparison": {"2-confirmation": (_VERDICTS, _NETWORKS)},
    "9-coverage": {"2-confirmation": (_VERDICTS, _NETWORKS)},
}

#: The same of the pages of sites.
SITE_TABLES: Mapping[str, Group[str]] = {
    "2-confirmation": (
        _VERDICTS, _NETWORKS, "withheld_intervals.csv", note_file(SPANS), note_file(FLAGS),
    ),
    "4-blocked-sites": (
        "sites.csv", "categories.csv", "blocked_site_networks.csv", "set_aside.csv",
    ),
    "5-method-comparison": (note_file(COMPARED),),
}  # fmt: skip
#: The notebook that needs no web site.
APPS = "8-messaging-circumvention"
#: The page of the notebook that is made anew in other languages.
ANNEX = "4-blocked-sites.html"


@dataclass(frozen=True)
class HeldAgainst:
    """What people said and decided before that a report is held against, each if there is one."""

    draft: Draft | None = None
    previous: Report | None = None
    decisions: tuple[Decision, ...] = ()


NOTHING = HeldAgainst()
#: What a report is made of.
Inputs = tuple[Settings, ReferenceLists, Collection | None, HeldAgainst, Collection]


def read_earlier(settings: Settings) -> HeldAgainst:
    """The draft and the earlier report that the settings name, and what people wrote and decided.

    The fictional country has a draft.

    Raises:
        ParameterError: one of them cannot be read, or the report is of another country.
    """
    decisions = load_decisions(review_path(settings.probe_cc), settings.probe_cc)
    claims = settings.claims
    if claims is None and settings.is_embedded:
        claims = find_draft(settings.probe_cc, settings.period)
    previous = read_report(settings.previous, "PREVIOUS") if settings.previous else None
    if previous and previous.probe_cc != settings.probe_cc:
        accepted = f"is a report of {previous.probe_cc}; one of {settings.probe_cc} is accepted"
        raise ParameterError("PREVIOUS", settings.previous, accepted)
    if previous:
        check_comparable(previous, "PREVIOUS")
    for lang in settings.languages:
        load_narrative(settings.probe_cc, lang.code)  # a fault in a text ends here
    return HeldAgainst(load_draft(claims) if claims else None, previous, decisions)


def make_report(
    settings: Settings,
    lists: ReferenceLists,
    collection: Collection | None,
    display: Display,
    earlier: HeldAgainst = NOTHING,
    apps: Collection | None = None,
) -> Path:
    """Run the notebooks and publish their pages; returns the first page.

    Args:
        settings: of the run.
        lists: what its parameters name.
        collection: what was read of the source, for the digest of the input; None where it has no
            web site.
        display: where it is said what is being done.
        earlier: what the report is held against.
        apps: what was read of apps and tools. Where there is no web site, the report is of these.

    Raises:
        ParameterError: a parameter is unknown or wrong; nothing was written.
        SourceError: the source has nothing of the country in the period.
        SourceError, ContractError: from a notebook; the report before is still in place.
    """
    if collection:
        try:
            return _publish_all(settings, lists, collection, display, earlier, apps)
        except NothingThereError:
            if not (apps and apps.files):
                raise
    _refuse_comparison(settings)
    return make_apps_report(settings, describe_run(settings, lists, None, earlier, apps), display)


def _publish_all(
    settings: Settings,
    lists: ReferenceLists,
    collection: Collection,
    display: Display,
    earlier: HeldAgainst,
    apps: Collection | None,
) -> Path:
    """``make_report`` of a source with web sites.

    Raises:
        NothingThereError: it has none of the country in the period.
    """
    run = describe_run(settings, lists, collection, earlier, apps)
    decisions = list_decisions(run, earlier)

    def write_observations() -> None:
        open_observations(collection, settings.probe_cc, settings.period).close()

    out = publish(
        sorted(NOTEBOOKS.glob("[1-9]*.ipynb")),
        {**settings.study.for_notebooks(), **NOTEBOOK_OPTIONS},
        settings.out,
        page_context(settings.study, settings.status),
        run,
        display,
        reads=READS,
        jobs=settings.jobs,
        appendices=[audit_page(earlier.draft, run)] if earlier.draft else [],
        comparison=comparison_with(earlier.previous) if earlier.previous else None,
        prepare=lambda tables: write_table(tables, "decisions", decisions),
        works={OBSERVATIONS: write_observations},
        first_page=_word_first_page,
        editions=[_edition(lang, settings, lists, run) for lang in settings.languages],
    )
    return out / "index.html"


def _refuse_comparison(settings: Settings) -> None:
    """Refuse to hold apps and tools against what is said of web sites."""
    for name, given in (("PREVIOUS", settings.previous), ("CLAIMS", settings.claims)):
        if given:
            accepted = "the source has no web site of the country in the period; leave it out"
            raise ParameterError(name, given, accepted)


def make_apps_report(settings: Settings, run: Mapping[str, Any], display: Display) -> Path:
    """A report on apps and tools alone, of a source without web sites; returns its first page."""
    probe_cc, period = settings.probe_cc, settings.period
    editions = []
    for lang in settings.languages:
        page = page_context(settings.study, settings.status, lang)
        page = replace(page, languages=tuple(one.code for one in settings.languages))
        editions.append(Edition(page, find_folder(lang, settings.languages[0])))

    def word(tables: Path, findings: Mapping[str, Any], lang: Language) -> Summary:
        worded: Summary = word_apps_alone(tables, findings, lang, period, probe_cc)  # type: ignore[assignment]
        return worded

    out = publish(
        [NOTEBOOKS / f"{APPS}.ipynb"],
        settings.study.for_notebooks(),
        settings.out,
        page_context(settings.study, settings.status),
        run,
        display,
        reads=READS,
        first_page=word,
        editions=editions,
    )
    return out / "index.html"


def list_decisions(run: Mapping[str, Any], earlier: HeldAgainst) -> pd.DataFrame:
    """The contract's ``decisions`` of a report whose ``run.json`` says this."""
    return decision_table(earlier.decisions, Basis.of_run(run))


def _edition(
    lang: Language, settings: Settings, lists: ReferenceLists, run: Mapping[str, Any]
) -> Edition:
    """The report in one of its languages."""
    first, codes = settings.languages[0], tuple(one.code for one in settings.languages)
    page = page_context(settings.study, settings.status, lang)
    edition = Edition(replace(page, languages=codes), find_folder(lang, first))
    sites = site_pages(settings.study, lists, lang, f"../{edition.up}")
    # at the top, in English, the annex is the notebook's
    annex = () if lang == first == ENGLISH else (_annex_page(settings.probe_cc, lang),)
    pages = (*annex, narrative_page(settings.probe_cc, lang), feedback_page(run, edition))
    return replace(edition, sites=sites, pages=pages)


def _annex_page(probe_cc: str, lang: Language) -> Appendix:
    """The annex in a language that the notebooks are not written in."""
    line = lang.say(
        "Every site that was blocked or likely blocked on at least one of the country's access "
        "networks, with category, period, method and networks; and what was set aside, and why."
    )
    item = SetItem(ANNEX, lang.say("Annex: blocked sites"), line)
    return Appendix(item, lambda tables, _: [("", render_annex_page(tables, probe_cc, lang))])


def site_pages(
    study: StudyParameters, lists: ReferenceLists, lang: Language = ENGLISH, root: str = "../"
) -> PageSet:
    """The pages of sites in a language; ``root`` is the way from one to the top of the report."""
    setting = Setting(
        root=root,
        probe_cc=study.probe_cc,
        period=study.period,
        events=lists.events.within(study.period),
    )

    def make(tables: Path) -> Iterator[tuple[SetItem, list[Section]]]:
        for page in make_pages(tables, setting, lang):
            yield SetItem(page.file, page.title, ""), [("", page.content)]

    line = lang.say("Every name that was tested, and what became of it.")
    item = SetItem(INDEX, lang.say("Find a site"), line)
    return PageSet(item, make, SITE_TABLES, ("index.html", INDEX, ANNEX), stylesheet())


def _word_first_page(tables: Path, findings: Mapping[str, Any], lang: Language) -> Summary:
    """The first page in a language, with what was decided of it."""
    worded = word_first_page(tables, findings, lang)
    summary: Summary = decide_first_page(worded, tables, lang)  # type: ignore[assignment]
    return summary


def page_context(study: StudyParameters, status: str = "", lang: Language = ENGLISH) -> PageContext:
    """What the header of every page says."""
    return PageContext(
        country=countries.country_name(study.probe_cc, lang),
        period=lang.period(study.period),
        status=status_in_words(study.probe_cc, status, lang),
        data_date=study.period.last_day,
        method_changes=tuple(changed_numbers(study.thresholds)),
        title=lang.say("Internet censorship report"),
        lang=lang,
    )


def describe_run(
    settings: Settings,
    lists: ReferenceLists,
    collection: Collection | None,
    earlier: HeldAgainst = NOTHING,
    apps: Collection | None = None,
) -> dict[str, object]:
    """What ``run.json`` says of the run; no path of this machine."""
    study = settings.study
    _, second = study.period.split(study.split)
    changes = study.thresholds.changes()
    source = collection or apps
    assert source is not None
    return {
        "parameters": {
            "probe_cc": study.probe_cc,
            "since": study.since,
            "until": study.until,
            "split": second.since.isoformat(),
            **({"receipt_margin": study.receipt_margin} if study.source == OONI else {}),
            **({"reference": str(settings.snapshot.day)} if settings.snapshot else {}),
            **({"project": study.project} if study.project else {}),
            **changes,
        },
        "changed_thresholds": changes,
        "code_version": version("censorship-report-workbook"),
        "rules_version": RULES_VERSION,
        "input_digest": source.digest,
        **({"apps_digest": apps.digest} if apps and apps.files else {}),
        "reference": _reference(lists),
        **_snapshot(settings),
        **({"claims": asdict(earlier.draft.file)} if earlier.draft else {}),
        **({"previous_digest": earlier.previous.digest} if earlier.previous else {}),
        "status": status_in_words(study.probe_cc, settings.status),
        "is_fictional": countries.is_fictional(study.probe_cc),
    }


def _snapshot(settings: Settings) -> dict[str, object]:
    """The snapshot of reference data in use: its day and those of its files that were used."""
    if settings.snapshot is None:
        return {}
    files = settings.snapshot.files(settings.probe_cc, settings.lists_of_snapshot)
    return {
        "reference_snapshot": {
            "date": str(settings.snapshot.day),
            "files": [asdict(file) for file in files],
        }
    }


def _reference(lists: ReferenceLists) -> list[dict[str, object]]:
    """What reference data the run used: name, role, digest, rows and newest date of each file.

    The names of networks stand with the snapshot that they are of.
    """
    files = [file for file in lists.files if file != lists.network_names.file]
    return [asdict(file) for file in (*files, lists.fingerprint_file) if file]
