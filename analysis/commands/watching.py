"""``watch``: what is new since the last look."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pandas as pd

from analysis.commands.reporting import Inputs, describe_run, list_report_editions, open_sites
from analysis.commands.settings import Settings, parse_settings, read_values
from analysis.errors import ParameterError, printable
from analysis.pages.rendering import SetItem, write_alone
from analysis.pages.replacing import published, recover
from analysis.period import Period, parse_date, today
from analysis.review.reports import Report
from analysis.review.standing import (
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
    read_last_look,
)
from analysis.review.watch_page import PAGE, show_watch
from analysis.study.study import open_messaging
from analysis.tables import write_table
from analysis.vocabulary import WATCH_CHANGES

#: Days of a look where SINCE is not given: half of them miss a fifth of the pairs that a year
#: lists, twice as many find no more.
DAY_COUNT = 180
#: What means something for a report alone.
_OF_REPORTS = ("PREVIOUS", "CLAIMS", "SPLIT")
_MOST_LINES = 40


def watch_settings(arguments: Iterable[str]) -> Settings:
    """Read the arguments of a look: a report's, with a rolling period and a folder of its own.

    Raises:
        ParameterError: one is wrong, or means something for a report alone.
    """
    given = [*arguments]
    values = read_values(given)
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
    recover(settings.out, RECORD)
    return read_last_look(settings.out, settings.probe_cc, settings.period)


def look(inputs: Inputs, last: Look | None, tell: Callable[[Iterable[str]], None]) -> int:
    """Judge the period, hold it against the last look, and put page and memory in its place.

    What is new is told before it is remembered: whoever could not be told hears of it next time.

    Args:
        inputs: what is judged, with the settings of ``watch_settings``.
        last: see ``find_last_look``.
        tell: is handed lines for a terminal.

    Returns:
        The number of pairs of which something is new.

    Raises:
        OSError: from ``tell``; the look before is as it was.
        SourceError: the source has nothing of the country in the period.
    """
    settings = inputs.settings
    now = _find_all(inputs)
    now = carry_over(last.standing, now) if last else now
    news = find_news(last.standing if last else None, now)
    run = describe_run(inputs)
    first = last.first if last else str(settings.period.last_day)
    with published(settings.out, RECORD) as build:
        standing = write_table(build.tables, STANDING, now.pairs)
        this = Report(build.folder, run)
        log = write_table(build.tables, LOG, add_to_log(last, news, this))
        for edition in list_report_editions(settings):
            lang = edition.page.lang
            item = SetItem(PAGE, lang.say("Early warning"), "", lang.code)
            sections = show_watch(log, standing, this, lang)
            write_alone(build.folder, edition, item, sections)
        build.run = run | {RECORD: {"first_look": first}}
        tell(map(printable, _say(news, last is None)))
    return len(news)


def _find_all(inputs: Inputs) -> Standing:
    """Where web sites stand, and apps and tools; there may be neither."""
    sites = open_sites(inputs)
    found = [find_standing(sites)] if sites else []
    return join_standings(*found, find_apps_standing(open_messaging(inputs.settings.study)))


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
