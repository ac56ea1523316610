"""``watch``: what is new since the last look."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from analysis.commands.reporting import describe_run, page_context
from analysis.commands.settings import Settings, parse_settings
from analysis.errors import NothingThereError, ParameterError, printable
from analysis.pages.editions import find_folder, write_alone
from analysis.pages.publishing import list_tables, write_run
from analysis.pages.rendering import SetItem
from analysis.pages.replacing import build_folder, recover, refuse_foreign, swap
from analysis.period import Period, parse_date, today
from analysis.review.looks import (
    LOG,
    RECORD,
    STANDING,
    Look,
    add_to_log,
    carry_over,
    find_news,
    read_last_look,
)
from analysis.review.reports import Report
from analysis.review.standing import (
    Standing,
    find_apps_standing,
    find_standing,
    join_standings,
)
from analysis.review.watch_page import PAGE, show_watch
from analysis.store.collection import Collection
from analysis.study.app_study import open_messaging
from analysis.study.reference_lists import ReferenceLists
from analysis.study.study import Study, open_observations
from analysis.tables import write_table
from analysis.vocabulary import WATCH_CHANGES

#: Days of a look where SINCE is not given: half of them miss a fifth of the pairs that a year
#: lists, twice as many find no more.
DAY_COUNT = 180
#: What means something for a report alone.
_OF_REPORTS = ("PREVIOUS", "CLAIMS", "SPLIT")
_MOST_LINES = 40


@dataclass(frozen=True)
class Seen:
    """What came of a look.

    Attributes:
        page: where it stands.
        news_count: pairs of which something is new.
    """

    page: Path
    news_count: int


def watch_settings(arguments: Iterable[str]) -> Settings:
    """Read the arguments of a look: a report's, with a rolling period and a folder of its own.

    Raises:
        ParameterError: one is wrong, or means something for a report alone.
    """
    given = [*arguments]
    values = {text.partition("=")[0]: text.partition("=")[2].strip() for text in given}
    for name in _OF_REPORTS:
        if values.get(name):
            accepted = "watch holds a look against the one before, which OUT keeps; leave it out"
            raise ParameterError(name, values[name], accepted)
    if values.get("SOURCE"):
        given += _rolling(values.get("SINCE", ""), values.get("UNTIL", ""))
    settings = parse_settings(given)
    if values.get("OUT"):
        return settings
    label = settings.study.label.replace(str(settings.period), "watch", 1)
    return replace(settings, out=settings.out.parents[1] / label)


def _rolling(since: str, until: str) -> Iterator[str]:
    """The parameters of the period that are not given."""
    if not until:
        yield f"UNTIL={today()}"
    if not since:
        end = parse_date("UNTIL", until) if until else today()
        yield f"SINCE={Period.ending(end, DAY_COUNT).since}"


def find_last_look(settings: Settings) -> Look | None:
    """What OUT keeps of the last look; None where nobody has looked yet.

    Raises:
        ParameterError: OUT holds something else than an earlier look at this country, or one that
            reached further.
    """
    out = settings.out.resolve()
    recover(out)
    refuse_foreign(out)
    return read_last_look(out, settings.probe_cc, settings.period)


def look(
    settings: Settings,
    lists: ReferenceLists,
    collection: Collection | None,
    apps: Collection,
    last: Look | None,
    tell: Callable[[Iterable[str]], None],
) -> Seen:
    """Judge the period, hold it against the last look, and put page and memory in its place.

    What is new is told before it is remembered: whoever could not be told hears of it next time.

    Args:
        settings: of the run, see ``watch_settings``.
        lists: what its parameters name.
        collection: what was read of the source; None where it has no web site.
        apps: what was read of apps and tools.
        last: see ``find_last_look``.
        tell: is handed lines for a terminal.

    Raises:
        OSError: from ``tell``; the look before is as it was.
        SourceError: the source has nothing of the country in the period.
    """
    out = settings.out.resolve()
    now = _find_all(settings, lists, collection, apps)
    now = carry_over(last.standing, now) if last else now
    news = find_news(last.standing if last else None, now)
    run = describe_run(settings, lists, collection or apps, apps=apps)
    first = last.first if last else str(settings.period.last_day)
    with build_folder(out) as build:
        tables = build / "tables"
        standing = write_table(tables, STANDING, now.pairs)
        log = write_table(tables, LOG, add_to_log(last, news, Report(out, run)))
        _write_pages(build, settings, log, standing, run)
        write_run(build, {**run, RECORD: {"first_look": first}, "tables": list_tables(tables)})
        tell(map(printable, _say(news, last is None)))
        swap(build, out)
    return Seen(out / PAGE, len(news))


def _find_all(
    settings: Settings, lists: ReferenceLists, collection: Collection | None, apps: Collection
) -> Standing:
    """Where web sites stand, and apps and tools; there may be neither."""
    found = [find_apps_standing(open_messaging(settings.study))]
    try:
        if collection:
            found.insert(0, find_standing(_open(settings, lists, collection)))
    except NothingThereError:
        if not apps.files:
            raise
    return join_standings(*found)


def _open(settings: Settings, lists: ReferenceLists, collection: Collection) -> Study:
    """The study of the whole period; a look compares no halves."""
    code, period = settings.probe_cc, settings.period
    return Study(
        parameters=settings.study,
        probe_cc=code,
        periods={"all": period},
        collection=collection,
        observations=open_observations(collection, code, period),
        lists=lists,
    )


def _write_pages(
    build: Path,
    settings: Settings,
    log: pd.DataFrame,
    standing: pd.DataFrame,
    run: dict[str, object],
) -> None:
    languages = settings.languages
    codes = tuple(lang.code for lang in languages)
    for lang in languages:
        folder = find_folder(lang, languages[0])
        page = replace(page_context(settings.study, settings.status, lang), languages=codes)
        item = SetItem(PAGE, lang.say("Early warning"), "", lang.code)
        sections = show_watch(log, standing, Report(build, run), lang)
        write_alone(build / folder, item, page, sections, "../" if folder else "")


def _say(news: pd.DataFrame, is_first: bool) -> Iterator[str]:
    if is_first:
        yield "first look: all that stands is new"
    elif news.empty:
        yield "nothing new since the last look"
    counts = Counter(news["change"])
    for change, words in WATCH_CHANGES.items():
        if counts[change]:
            yield f"{words}: {counts[change]:,}"
            rows = news[news["change"] == change].head(_MOST_LINES)
            for row in rows.itertuples(index=False):
                yield f"  {row.item} on {row.network} ({row.probe_asn}), {row.blocked_from}"
            if counts[change] > len(rows):
                yield f"  and {counts[change] - len(rows):,} more, in tables/watch.csv"
