"""``report``, ``pdf`` and ``watch``: from checked settings to published pages."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mistune
import pandas as pd
from markupsafe import Markup

from analysis.commands.settings import Settings, parse_settings, read_values
from analysis.errors import ParameterError, printable
from analysis.hosts import site_file
from analysis.languages.language import ENGLISH, SOURCE, Language, list_translated
from analysis.outcomes.rules import RULES_VERSION
from analysis.pages.dictionary import dictionary_page
from analysis.pages.paper import PARTS, find_browser, print_pages
from analysis.pages.publishing import Contents, publish
from analysis.pages.rendering import (
    Appendix,
    Edition,
    PageContext,
    PageSet,
    Section,
    SetItem,
    Summary,
    list_editions,
    write_alone,
)
from analysis.pages.replacing import published
from analysis.period import Period, day_of, parse_date, today
from analysis.reference.reference_files import (
    NOTEBOOKS,
    SHIPPED,
    Snapshot,
    country_name,
    is_fictional,
)
from analysis.reference.withheld import load_withheld, review_path
from analysis.report.annex_page import annex_sections
from analysis.report.fields_met import count_app_fields_met, count_fields_met, refuse_changed_fields
from analysis.report.first_page import (
    decide_first_page,
    find_left_out,
    read_decided,
    read_summary,
    word_first_page,
    write_findings,
)
from analysis.report.pictures import write_pictures
from analysis.report.site_pages import INDEX, Setting, count_flags, make_pages, stylesheet
from analysis.review.audits import audit_page
from analysis.review.changes import check_comparable, comparison_with
from analysis.review.claims import Draft, find_draft, load_draft
from analysis.review.decisions import (
    Basis,
    Decision,
    decision_table,
    load_decisions,
)
from analysis.review.feedback import feedback_page
from analysis.review.narrative import find_unwritten, load_narrative, narrative_page
from analysis.review.publication import (
    ADDRESS,
    Correction,
    check_corrected,
    check_edition,
    check_final,
    corrections_path,
    load_corrections,
    load_publisher,
    publisher_path,
    word_corrections,
    word_publisher,
)
from analysis.review.reports import Report, read_report
from analysis.review.standing import (
    FIRST_LOOK,
    LOG,
    RECORD,
    STANDING,
    Look,
    Standing,
    add_to_log,
    carry_over,
    find_apps_standing,
    find_news,
    find_standing,
    join_standings,
)
from analysis.review.watch_page import FEED, PAGE, show_watch, write_feed
from analysis.sources.archive_files import OONI
from analysis.store.store import Collection
from analysis.study.confirmation import find_sweep, sweep
from analysis.study.parameters import StudyParameters
from analysis.study.study import ReferenceLists, Study, open_messaging, study_on
from analysis.tables import read_table, tell_network, write_table
from analysis.verdicts.witnesses import hide_measurements
from analysis.vocabulary import WATCH_CHANGES, WATCH_STATUS

#: Parameters of single notebooks besides those of the study. A report sets them as well, so that
#: it does not depend on values saved in a notebook.
NOTEBOOK_OPTIONS: Mapping[str, object] = {"results": ""}

#: The notebook that needs ``judge_neighbours``.
SENSITIVITY = "7-sensitivity"
#: The page that describes the tables.
DICTIONARY = "tables.html"
#: The page of a notebook that is also made in other languages.
ANNEX = "4-blocked-sites.html"


@dataclass(frozen=True)
class EarlierWork:
    """Draft, report, decisions and corrections that precede a report, each if there is one."""

    draft: Draft | None = None
    previous: Report | None = None
    decisions: tuple[Decision, ...] = ()
    publisher: Mapping[str, str] = field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """Inputs of a report.

    Attributes:
        settings: settings of the run.
        lists: the lists that its parameters name.
        collection: stored measurements of web sites.
        apps: stored measurements of apps and tools.
        earlier: work with which the report is compared.
    """

    settings: Settings
    lists: ReferenceLists
    collection: Collection
    apps: Collection
    earlier: EarlierWork = EarlierWork()


def read_earlier(settings: Settings) -> EarlierWork:
    """Read the draft and the earlier report of the settings, decisions, publisher and corrections.

    The fictional country has a draft.

    Raises:
        ParameterError: a file cannot be read or has a name in it that a meeting withheld, or the
            earlier report is of another country.
    """
    code = settings.study.probe_cc
    withheld = load_withheld(code)
    withheld.refuse("STATUS", settings.status, [settings.status])
    decisions = load_decisions(review_path(code), code)
    publisher = load_publisher(publisher_path(code))
    withheld.refuse("publisher", publisher_path(code).name, publisher.values())
    corrections = load_corrections(corrections_path(code), settings.study.period)
    withheld.refuse("corrections", corrections_path(code).name, map(str, corrections))
    check_edition(corrections, publisher)
    claims = settings.claims
    if claims is None and settings.is_embedded:
        claims = find_draft(settings.study.probe_cc, settings.study.period)
    previous = read_report(settings.previous, "PREVIOUS") if settings.previous else None
    if previous and previous.probe_cc != settings.study.probe_cc:
        raise ParameterError(
            "PREVIOUS",
            settings.previous,
            f"is a report of {previous.probe_cc}; one of {settings.study.probe_cc} is accepted",
        )
    if previous:
        check_comparable(previous, "PREVIOUS")
    # a fault in a text must be found before the notebooks run
    texts = {lang.code: load_narrative(code, lang.code) for lang in (ENGLISH, *settings.languages)}
    for of_language in texts.values():
        check_corrected(corrections, of_language)
        for section, text in of_language.items():
            withheld.refuse("narrative", section, text.splitlines())
    changes = tuple(sorted(settings.study.thresholds.changes().items()))
    basis = Basis(code, settings.study.period, RULES_VERSION, changes, settings.study.edited)
    check_final(
        settings.status,
        publisher,
        publisher_path(code),
        [made.item for made in decisions if made.decision == "reword" and made.basis == basis],
        [
            section
            for lang in settings.languages
            for section in find_unwritten(texts[lang.code], texts[ENGLISH.code])
        ],
    )
    draft = load_draft(claims) if claims else None
    return EarlierWork(draft, previous, decisions, publisher, corrections)


def make_report(inputs: Inputs, say: Callable[[str], object]) -> Path:
    """Run the notebooks and publish their pages; returns the first page.

    The page on sensitivity is included if ``judge_neighbours`` has run with these inputs.

    Raises:
        ParameterError: a parameter is unknown or wrong; nothing was written.
        SourceError: the source has nothing of the country in the period.
        SourceError, ContractError: a notebook raised it; the earlier report is not changed.
    """
    settings = inputs.settings
    study = open_sites(inputs)
    with closing(study.observations):  # the notebooks open them again
        is_judged = find_sweep(study, study.networks()) is not None
        flags = count_flags(study)
    contents = describe_contents(inputs, flags, has_sensitivity=is_judged)
    if not is_judged:
        say(f"without the page {SENSITIVITY}: 'make sensitivity' adds it")
    return publish(contents, settings.out, say) / "index.html"


def judge_neighbours(inputs: Inputs, step: Callable[[int, int, str], None]) -> None:
    """Judge with values beside the published numbers, and store the list that each gives.

    Args:
        inputs: inputs of the published report.
        step: called with the number of judgements done, and of all.
    """
    study = open_sites(inputs)
    with closing(study.observations):
        sweep(study, study.networks(), say=lambda done, total: step(done, total, ""))


def open_sites(inputs: Inputs) -> Study:
    """Return the study of web sites over the whole period.

    Raises:
        SourceError: the source has no web sites.
    """
    study = inputs.settings.study
    return study_on(study, {"all": study.period}, inputs.collection, inputs.lists)


def describe_contents(inputs: Inputs, flags: pd.DataFrame, *, has_sensitivity: bool) -> Contents:
    """Return the contents of a report.

    Args:
        inputs: inputs of the report.
        flags: result of ``count_flags``.
        has_sensitivity: include the notebook that needs ``judge_neighbours``.
    """
    settings, earlier = inputs.settings, inputs.earlier
    run = describe_run(inputs)
    context = partial(page_context, settings, earlier=earlier)
    editions = list_editions(settings.languages, context)
    return Contents(
        notebooks=[
            notebook
            for notebook in sorted(NOTEBOOKS.glob("[1-9]*.ipynb"))
            if has_sensitivity or notebook.stem != SENSITIVITY
        ],
        parameters={
            **settings.study.for_notebooks(),
            **NOTEBOOK_OPTIONS,
            **({"sweep_all": False} if has_sensitivity else {}),
        },
        run=run,
        page=page_context(settings, earlier=earlier),
        editions=[_write_all(edition, inputs, flags, run) for edition in editions],
        first_page=partial(_word_first_page, earlier.corrections),
        appendices=[
            *([audit_page(earlier.draft, run)] if earlier.draft else []),
            dictionary_page(DICTIONARY),
            brief_page(),
        ],
        comparison=comparison_with(earlier.previous) if earlier.previous else None,
        inputs={
            "decisions": decision_table(earlier.decisions, Basis.of_run(run), inputs.lists.withheld)
        },
        conclude=partial(_conclude, inputs),
        withheld=inputs.lists.withheld,
    )


def _conclude(inputs: Inputs, tables: Path) -> None:
    """Write the findings, which are made from the tables of all notebooks, and their figures."""
    study = open_sites(inputs)
    with closing(study.observations):
        write_findings(tables, study)
    page = page_context(inputs.settings)
    status = "" if is_fictional(inputs.settings.study.probe_cc) else page.status
    source = ", ".join(filter(None, (status, page.country, page.period)))
    left_out = find_left_out(read_decided(tables))
    write_pictures(tables, read_summary(tables), source, left_out)


def brief_page() -> Appendix:
    """Return the page with the method in brief, from docs/method-in-brief.md."""
    text = (SHIPPED / "docs" / "method-in-brief.md").read_text(encoding="utf-8")
    parts = [part.partition("\n") for part in text.split("## ")[1:]]
    sections = [(head, Markup(mistune.html(body))) for head, _, body in parts]
    line = ENGLISH.say("How measurements become verdicts, in plain words and without a formula.")
    item = SetItem("method-in-brief.html", "Method in brief", line)
    return Appendix(item, lambda *_: sections)


def _write_all(
    edition: Edition, inputs: Inputs, flags: pd.DataFrame, run: Mapping[str, Any]
) -> Edition:
    """Return an edition with the pages that are written in its language."""
    lang, probe_cc = edition.page.lang, inputs.settings.study.probe_cc
    sites = site_pages(inputs, flags, lang, f"../{edition.up}")
    # at the top, in English, the annex is the page of the notebook
    annex = (
        ()
        if lang == ENGLISH and not edition.folder
        else (_annex_page(inputs.settings.study, lang, edition.up),)
    )
    pages = (*annex, narrative_page(probe_cc, lang, edition.up), feedback_page(run, edition))
    return replace(edition, sites=sites, pages=pages)


def _annex_page(study: StudyParameters, lang: Language, up: str) -> Appendix:
    """Return the annex in another language than the notebooks'.

    Args:
        study: parameters of the study.
        lang: the language.
        up: relative URL of the top of the report from this page.
    """
    line = lang.say(
        "Every site that was blocked or likely blocked on at least one of the country's access "
        "networks, with category, period, method and networks; and what was set aside, and why."
    )

    def make(tables: Path, findings: Mapping[str, Any]) -> list[Section]:
        numbers = {name: finding["value"] for name, finding in findings.items()}
        sections = annex_sections(tables, numbers, study.probe_cc, study.period, lang)
        return [
            (head, Markup(str(content).replace('href="tables/', f'href="{up}tables/')))
            for head, content in sections
        ]

    return Appendix(SetItem(ANNEX, lang.say("Annex: blocked and likely blocked sites"), line), make)


def site_pages(inputs: Inputs, flags: pd.DataFrame, lang: Language, root: str) -> PageSet:
    """Return the pages of sites in a language.

    Args:
        inputs: inputs of the report.
        flags: result of ``count_flags``.
        lang: the language.
        root: relative URL of the top of the report from these pages.
    """
    study = inputs.settings.study
    setting = Setting(
        root=root,
        probe_cc=study.probe_cc,
        period=study.period,
        events=inputs.lists.events.within(study.period),
    )

    def make(tables: Path) -> Iterator[tuple[SetItem, list[Section]]]:
        for file, title, content in make_pages(tables, flags, setting, lang):
            yield SetItem(file, title, ""), [("", content)]

    line = lang.say("Every name that was tested, and what became of it.")
    item = SetItem(INDEX, lang.say("Find a site"), line)
    return PageSet(item, make, ("index.html", INDEX, ANNEX), stylesheet())


def _word_first_page(
    corrections: Sequence[Correction], tables: Path, findings: Mapping[str, Any], lang: Language
) -> Summary:
    """Return the content of the first page in a language, with the decisions about it.

    Raises:
        ContractError: a finding still has an error that was to be corrected.
    """
    summary = decide_first_page(word_first_page(tables, findings, lang), tables, lang)
    claims = {
        finding["id"]: Markup(f"{finding['claim']} {finding.get('sites', '')}").striptags()
        for finding in summary["findings"]
    }
    check_corrected(corrections, claims)
    return summary


def page_context(
    settings: Settings, lang: Language = ENGLISH, earlier: EarlierWork | None = None
) -> PageContext:
    """Return the header of every page.

    With earlier work, it names the publisher and the errors of an earlier edition.
    """
    study = settings.study
    corrections = earlier.corrections if earlier else ()
    return PageContext(
        country=country_name(study.probe_cc, lang),
        period=lang.period(study.period),
        status=status_in_words(study.probe_cc, settings.status, lang),
        data_date=study.period.last_day,
        method_changes=tuple(study.name_changes()),
        title=lang.say("Internet censorship report"),
        publisher=word_publisher(earlier.publisher, lang) if earlier else None,
        address=earlier.publisher.get(ADDRESS, "") if earlier else "",
        corrections=word_corrections(corrections, lang, is_corrected=True),
        has_witnesses=study.has_witnesses,
        lang=lang,
    )


def describe_run(inputs: Inputs) -> dict[str, Any]:
    """Return what ``run.json`` says of the run; no path of this machine is in it."""
    study = inputs.settings.study
    return {
        "parameters": _describe_parameters(inputs.settings),
        "changed_thresholds": study.thresholds.changes(),
        **_describe_method(study),
        "input_digest": inputs.collection.digest,
        **({"apps_digest": inputs.apps.digest} if inputs.apps.files else {}),
        **_describe_reference(inputs),
        **_describe_earlier(inputs.earlier),
        "status": status_in_words(study.probe_cc, inputs.settings.status),
        "is_fictional": is_fictional(study.probe_cc),
    }


def _describe_parameters(settings: Settings) -> dict[str, Any]:
    """Return the parameters that decide what is in the report, with the changed thresholds."""
    study = settings.study
    _, second = study.period.split(study.split)
    optional = {
        "receipt_margin": study.receipt_margin if study.source == OONI else None,
        "reference": str(settings.snapshot.day) if settings.snapshot else None,
        "project": study.project or None,
        "accept_fields": 1 if study.accept_fields else None,
        "witnesses": study.witnesses or None,
    }
    return {
        "probe_cc": study.probe_cc,
        "since": study.since,
        "until": study.until,
        "split": second.since.isoformat(),
        **{name: value for name, value in optional.items() if value is not None},
        **study.thresholds.changes(),
    }


def _describe_method(study: StudyParameters) -> dict[str, Any]:
    """Return the method that judged, with its versions."""
    return {
        "method": study.lineage.with_notebooks().for_run(),
        **({"variant": study.variant.for_run()} if study.variant else {}),
        "code_version": version("censorship-report-workbook"),
        "rules_version": RULES_VERSION,
    }


def _describe_reference(inputs: Inputs) -> dict[str, Any]:
    """Return the files of reference data that the run read, and their snapshot if there is one."""
    lists, snapshot = inputs.lists, inputs.settings.snapshot
    files = [file for file in (*lists.files, lists.fingerprint_file) if file]
    described: dict[str, Any] = {
        # the snapshot has the names of networks
        "reference": [asdict(file) for file in files if file != lists.network_names.file]
    }
    if snapshot:
        described["reference_snapshot"] = _describe_snapshot(snapshot, inputs.settings.study)
    return described


def _describe_earlier(earlier: EarlierWork) -> dict[str, Any]:
    """Return what people wrote or decided before this run, as far as there is any."""
    described: dict[str, Any] = {}
    if earlier.draft:
        described["claims"] = asdict(earlier.draft.file)
    if earlier.previous:
        described["previous_digest"] = earlier.previous.digest
    if earlier.publisher:
        described["publisher"] = dict(earlier.publisher)
    if earlier.corrections:
        described["corrections"] = [str(correction) for correction in earlier.corrections]
    return described


def status_in_words(probe_cc: str, status: str, lang: Language = ENGLISH) -> str:
    """Return the status on every page: the given words, and that a country is fictional."""
    if not is_fictional(probe_cc):
        return status or lang.say("Draft")
    fictional = lang.say("Fictional country")
    return f"{status} · {fictional}" if status else fictional


def _describe_snapshot(snapshot: Snapshot, study: StudyParameters) -> dict[str, object]:
    """Return the day of the snapshot of reference data, and those of its files that were used."""
    paths = snapshot.parameters().items()
    used = [name for name, path in paths if getattr(study, name.lower()) == path]
    files = [asdict(file) for file in snapshot.files(study.probe_cc, used)]
    return {"date": str(snapshot.day), "files": files}


def print_report(settings: Settings) -> list[Path]:
    """Print the report that stands in its place, as it was published.

    Returns:
        The files, one a language.

    Raises:
        SourceError: there is no Chromium.
        ParameterError: there is no report.
    """
    browser = find_browser()
    report, sites = read_report(settings.out, "OUT"), []
    if settings.prints_sites:
        listed = read_table(report.tables, "blocked_sites")["domain"]
        sites = [f"sites/{site_file(domain)}" for domain in listed]
    withheld = load_withheld(report.probe_cc)
    with published(report.folder, "findings", is_copy=True, withheld=withheld) as build:
        folders = [build.folder, *(build.folder / code for code in (SOURCE, *list_translated()))]
        printed = [
            print_pages(folder, build.folder, browser, report.period.last_day, sites)
            for folder in folders
            if (folder / PARTS[0]).is_file()
        ]
        files = [path.relative_to(build.folder) for path in printed]
    return [report.folder / file for file in files]


#: Days of the period of ``watch`` without SINCE: half as many miss a fifth of the pairs that a year
#: lists, and twice as many find no more.
DAY_COUNT = 180
#: Arguments that only a report accepts.
_OF_REPORTS = ("PREVIOUS", "CLAIMS", "SPLIT")
_MOST_LINES = 40


def watch_settings(arguments: Iterable[str]) -> Settings:
    """Read the arguments of ``watch``: those of a report, with a rolling period and another folder.

    Raises:
        ParameterError: an argument is wrong, or only a report accepts it.
    """
    values = read_values(arguments)
    for name in _OF_REPORTS:
        if values.get(name):
            raise ParameterError(
                name,
                values[name],
                "watch holds a look against the one before, which OUT keeps; leave it out",
            )
    if values.get("SOURCE"):
        values["UNTIL"] = values.get("UNTIL") or str(today())
        until = parse_date("UNTIL", values["UNTIL"])
        values["SINCE"] = values.get("SINCE") or str(Period.ending(until, DAY_COUNT).since)
    settings = parse_settings(f"{name}={value}" for name, value in values.items())
    if values.get("OUT"):
        return settings
    label = settings.study.label.replace(str(settings.study.period), "watch", 1)
    return replace(settings, out=settings.out.parents[1] / label)


def look(inputs: Inputs, last: Look | None, tell: Callable[[Iterable[str]], None]) -> int:
    """Judge the period, compare it with the last run, and publish page and record.

    Changes are printed before they are recorded: if printing fails, the next run prints them again.

    Args:
        inputs: inputs with the settings of ``watch_settings``.
        last: result of ``standing.read_last_look``.
        tell: prints lines on a terminal.

    Returns:
        The number of pairs that changed.

    Raises:
        OSError: ``tell`` raised it; the record of the last run is not changed.
        SourceError: the source has nothing of the country in the period.
    """
    settings = inputs.settings
    judged = _find_all(inputs)
    now = carry_over(last.standing, judged) if last else judged
    news = find_news(last.standing if last else now.pairs, now)
    first = last.first_day if last else settings.study.period.last_day
    run = describe_run(inputs) | {RECORD: True, FIRST_LOOK: str(first)}
    with published(settings.out, RECORD, withheld=inputs.lists.withheld) as build:
        this = Report(build.folder, run)
        pairs, entries = now.pairs, add_to_log(last, news, this)
        if not settings.study.has_witnesses:  # earlier runs may have named some
            pairs, entries = hide_measurements(pairs), hide_measurements(entries)
        standing = write_table(build.tables, STANDING, pairs)
        log = write_table(build.tables, LOG, entries)
        for edition in list_editions(settings.languages, partial(page_context, settings)):
            lang = edition.page.lang
            item = SetItem(PAGE, lang.say("Early warning"), "", lang.code)
            write_alone(build.folder, edition, item, show_watch(log, standing, this, lang))
        (build.folder / FEED).write_text(write_feed([(log, this)]), "utf-8", newline="\n")
        build.run = run
        lines = [*_say(news, None if last else pairs), *say_thin(judged, settings.study.period)]
        tell(map(printable, lines))
    return len(news)


def _find_all(inputs: Inputs) -> Standing:
    """Return the standing of web sites, apps and tools.

    Measurements are compared to the second, even if the page shows no single measurement.
    """
    study = replace(inputs.settings.study, witnesses="")
    inputs = replace(inputs, settings=replace(inputs.settings, study=study))
    sites = open_sites(inputs)
    is_accepted = bool(sites.parameters.accept_fields)
    refuse_changed_fields(count_fields_met(sites.connection), is_accepted=is_accepted)
    apps = open_messaging(inputs.settings.study)
    refuse_changed_fields(count_app_fields_met(apps.connection), is_accepted=is_accepted)
    return join_standings(find_standing(sites), find_apps_standing(apps))


def say_thin(standing: Standing, period: Period) -> Iterator[str]:
    """Yield advice on ``SINCE`` if most pairs were tested too little for a verdict."""
    thin = sum(pair.is_thin for pair in standing.others.values())
    total = len(standing.others) + len(standing.pairs)
    if 2 * thin > total:
        longer = Period.ending(period.until, 2 * period.day_count)
        yield (
            f"{thin:,} of {total:,} pairs of a site and a network were tested too little in these "
            f"{period.day_count} days; SINCE={longer.since} looks at twice as many"
        )


def _say(news: pd.DataFrame, standing: pd.DataFrame | None) -> Iterator[str]:
    """Iterate over lines for a terminal about the changes since the last run.

    Of the first run these are counts of what stands.
    """
    if standing is not None:
        yield "first look: what stands now; the next look tells what is new"
        statuses = Counter(standing["status"])
        yield from (
            f"{words}: {statuses[status]:,}"
            for status, words in WATCH_STATUS.items()
            if statuses[status]
        )
    elif news.empty:
        yield "nothing new since the last look"
    counts = Counter(news["change"])
    for change, words in WATCH_CHANGES.items():
        if counts[change]:
            yield f"{words}: {counts[change]:,}"
            rows = news[news["change"] == change].head(_MOST_LINES)
            for row in rows.itertuples(index=False):
                yield (
                    f"  {row.item} on {row.network} ({tell_network(row.probe_asn)}), "
                    f"{day_of(row.blocked_from)}"
                )
            if counts[change] > len(rows):
                yield f"  and {counts[change] - len(rows):,} more, in tables/watch.csv"
