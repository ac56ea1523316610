"""The page of a look: what is new, what was new before, and what stands.

It is made of the two tables and of what the run says, so that a second look at the same data writes
the same bytes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.errors import printable
from analysis.languages.language import ENGLISH, Heading, Language
from analysis.observations.messaging_tests import BY_NAME
from analysis.pages.formats import is_empty, link, macros
from analysis.pages.html_tables import blocks, render_table
from analysis.period import day_of
from analysis.reference.reference_files import country_name
from analysis.report.annex import AFTER, SINCE
from analysis.report.app_tables import DEFECT_NOTE
from analysis.report.verdict_words import say_note
from analysis.review.reports import Report
from analysis.review.standing import FIRST_LOOK, UNSEEN, UNTESTED, WEB
from analysis.study.lineage import Lineage
from analysis.tables import TABLES, name_network, tell_cells
from analysis.verdicts.caveats import BEFORE_FIRST_TEST, BYSTANDER, ONE_INPUT
from analysis.vocabulary import CAUSES, WATCH_CHANGES

PAGE = "watch.html"
#: The news as an Atom feed, beside the page.
FEED = "watch.atom.xml"
#: Notes of pairs that are translated; notes of withheld stretches are translated elsewhere.
NOTES = (
    *(SINCE, AFTER, UNSEEN, UNTESTED.words, DEFECT_NOTE),
    *(BEFORE_FIRST_TEST, BYSTANDER, *ONE_INPUT.values()),
)
_SHOWN, _FEW = 40, 12
_BEGINNING = [
    "domain",
    "network",
    "state",
    "mechanism",
    "schedule",
    "blocked_from",
    "blocked_session_count",
    "session_count",
    "witness_url",
    "note",
]
_END = [
    "domain",
    "network",
    "mechanism",
    "blocked_from",
    "blocked_until",
    "first_seen_open_again",
    "blocked_session_count",
    "session_count",
    "witness_url",
    "note",
]
_HINT = [
    "domain",
    "network",
    "mechanism",
    "blocked_from",
    "blocked_session_count",
    "session_count",
    "chance",
    "witness_url",
]
_WITHDRAWN = ["domain", "network", "mechanism", "blocked_from", "note"]
#: Change → the columns that are shown, in the order in which changes are shown.
_COLUMNS = {
    "newly_blocked": _BEGINNING,
    "blocked_again": _BEGINNING,
    "suspicious": _HINT,
    "lifted": _END,
    "seen_open": _END,
    "unlisted": _WITHDRAWN,
    "cleared": _WITHDRAWN,
}


def show_watch(
    log: pd.DataFrame, standing: pd.DataFrame, look: Report, lang: Language
) -> list[tuple[str, Markup]]:
    """Return the sections of the page, each with its heading.

    Args:
        log: the contract's ``watch``.
        standing: the contract's ``watch_standing``.
        look: what its ``run.json`` will say.
        lang: of the words.
    """
    log, standing = (_for_page(frame, lang) for frame in (log, standing))
    last = log["look"].max()  # NaT where nothing has changed yet
    news, before = log[log["look"] == last], log[log["look"] != last]
    form = macros("watch.html.j2", lang)
    opening = form.news(**_describe_news(news, look, lang))
    opening += form.standing(standing["status"].value_counts().to_dict())
    sections: list[tuple[str, Markup]] = [("", Markup(opening))]
    sections += _show_news(news, lang)
    if len(before):
        sections.append((lang.heading("News of earlier looks"), _show_earlier(before, lang)))
    lineage = Lineage.read(look.run)
    provenance = {
        lang.say("Period"): lang.period(look.period),
        lang.say("Version of the rules"): str(look.run["rules_version"]),
        **({lang.say("Method"): lineage.in_words} if lineage else {}),
        lang.say("Observations"): f"sha256 {look.run['input_digest']}",
    }
    tables = [link(f"tables/{name}", name) for name in ("watch.csv", "watch_standing.csv")]
    return [
        *sections,
        (lang.heading("What stands now"), _show_standing(standing, lang)),
        (lang.heading("How to read this"), Markup(form.how_to_read(tables))),
        (lang.heading("Provenance"), Markup(blocks(lang).definitions(provenance, "provenance"))),
    ]


def show_watches(
    looks: Sequence[tuple[pd.DataFrame, Report]],
    standings: Sequence[pd.DataFrame],
    lang: Language,
) -> list[tuple[str, Markup]]:
    """Return the sections of the page of several countries: one a country, then how to read it.

    Args:
        looks: each country's ``watch``, and what the ``run.json`` of its last look says.
        standings: each country's ``watch_standing``; only counts of it are shown.
        lang: of the words.
    """
    form = macros("watch.html.j2", lang)
    sections: list[tuple[str, Markup]] = []
    provenance = {}
    for (log, look), standing in zip(looks, standings, strict=True):
        country = country_name(look.probe_cc, lang)
        log = _for_page(log, lang)
        news = log[log["look"] == log["look"].max()]
        opening = form.news(**_describe_news(news, look, lang))
        opening += form.standing(standing["status"].value_counts().to_dict())
        tables = [table for _, table in _show_news(news, lang, country)]
        sections.append((country, Markup(opening) + Markup("").join(tables)))
        provenance[country] = f"sha256 {look.run['input_digest']}"
    tables = [link("tables/watch_countries.csv", "watch_countries.csv")]
    return [
        *sections,
        (lang.heading("How to read this"), Markup(form.how_to_read(tables))),
        (lang.heading("Provenance"), Markup(blocks(lang).definitions(provenance, "provenance"))),
    ]


def write_feed(looks: Sequence[tuple[pd.DataFrame, Report]]) -> str:
    """Return the news as an Atom feed (RFC 4287), an entry a change of a pair, the latest look
    first.

    An entry has the same id in the feed of its country and in one of several, unless its site is
    withheld.

    Args:
        looks: each country's ``watch``, and what the ``run.json`` of its last look will say.
    """
    codes = [look.probe_cc.lower() for _, look in looks]
    entries = [entry for log, look in looks for entry in _list_entries(log, look)]
    entries.sort(key=lambda entry: entry["look"], reverse=True)
    last_day = max(look.period.last_day for _, look in looks)
    countries = ENGLISH.listed(country_name(code) for code in codes)
    feed = macros("watch.atom.xml.j2").feed(
        "-".join(codes), countries, last_day, PAGE, entries, len(codes) > 1
    )
    return str(feed)


def _list_entries(log: pd.DataFrame, look: Report) -> list[dict[Any, Any]]:
    """Return the entries of a country's feed, in the order of its log."""
    cc = look.probe_cc.lower()
    kinds = TABLES["watch"].columns.items()
    texts = {name: tell_cells(log[name], kind) for name, kind in kinds if kind in ("asn", "date")}
    entries: list[dict[Any, Any]] = log.assign(**texts).map(printable).to_dict("records")
    for entry in entries:
        key = (cc, *(entry[name] for name in ("look", "item", "test_name", "probe_asn", "change")))
        entry["key"] = hashlib.sha256(repr(key).encode()).hexdigest()
        entry["words"] = WATCH_CHANGES[entry["change"]]
        entry["country"] = country_name(look.probe_cc)
    return entries


def _for_page(frame: pd.DataFrame, lang: Language) -> pd.DataFrame:
    """Return a table with a network in one cell, a site or app under one heading, notes in
    words.
    """
    titles = {name: test.title for name, test in BY_NAME.items()}
    is_site = frame["test_name"] == WEB
    return frame.assign(
        domain=frame["item"].where(is_site, frame["item"].map(titles).fillna(frame["item"])),
        network=list(map(name_network, frame["network"], frame["probe_asn"])),
        note=[say_note(lang, str(note)) for note in frame["note"]],
    )


def _describe_news(news: pd.DataFrame, look: Report, lang: Language) -> dict[str, Any]:
    """Return the values of the opening: the number of news by kind, and when and why they came."""
    counts = news["change"].value_counts()
    first = next(news.itertuples(index=False), None)
    last, earlier = (day_of(getattr(first, name, None)) for name in ("look", "earlier_look"))
    return {
        "counts": [
            lang.say("{what}: {count}", what=lang.say(words).lower(), count=int(counts[change]))
            for change, words in WATCH_CHANGES.items()
            if change in counts
        ],
        "last": last,
        "earlier": earlier,
        "reached": look.period.last_day,
        "first_look": day_of(look.run.get(FIRST_LOOK)),
        "causes": [
            lang.say(CAUSES[cause]).lower()
            for cause in str(getattr(first, "cause", "")).split(";")
            if cause in CAUSES and cause != "data"
        ],
    }


def _show_news(
    news: pd.DataFrame, lang: Language, country: str = ""
) -> Iterator[tuple[Heading, Markup]]:
    """Yield a table for each kind of change, with its heading.

    ``country`` begins the captions on a page of several.
    """
    headings = {
        "domain": lang.say("Site or app"),
        "blocked_until": lang.say("Last seen blocked"),
        "first_seen_open_again": lang.say("First seen open again"),
    }
    for change, columns in _COLUMNS.items():
        rows = news[news["change"] == change]
        if len(rows):
            words = WATCH_CHANGES[change]
            caption = lang.say_plural(
                "{n} pair of a site or an app and a network",
                "{n} pairs of a site or an app and a network",
                len(rows),
            )
            # a column without any value is left out
            shown = [
                name for name in columns if name == "chance" or not rows[name].map(is_empty).all()
            ]
            table = render_table(
                rows[shown],
                f"{country}{', ' if country else ''}{lang.say(words)}: {caption}",
                "",
                _FEW if country else _SHOWN,
                headings,
                file="watch_countries.csv" if country else "watch.csv",
                lang=lang,
            )
            yield lang.heading(words), _as_cards(table)


def _show_earlier(before: pd.DataFrame, lang: Language) -> Markup:
    columns = ["domain", "change", "look", "network", "mechanism", "blocked_from", "note"]
    order = before["change"].map(list(WATCH_CHANGES).index)
    rows = before.assign(order=order).sort_values(
        ["look", "order", "domain", "probe_asn"], ascending=[False, True, True, True]
    )
    table = render_table(
        rows[columns],
        lang.say("News by look, the latest first"),
        "",
        _FEW,
        {"look": lang.say("Look"), "domain": lang.say("Site or app")},
        file="watch.csv",
        lang=lang,
    )
    return _as_cards(table)


def _show_standing(standing: pd.DataFrame, lang: Language) -> Markup:
    columns = ["domain", "network", "status", "mechanism", "blocked_from", "blocked_until", "note"]
    pairs = render_table(
        standing[columns],
        lang.say("Each pair of a site or an app and a network"),
        "",
        _FEW,
        {"status": lang.say("Stands"), "domain": lang.say("Site or app")},
        file="watch_standing.csv",
        lang=lang,
    )
    return _as_cards(pairs)


def _as_cards(tables: Markup) -> Markup:
    """Return tables whose rows are cards on a phone."""
    return Markup('<div class="cards">{}</div>').format(tables)
