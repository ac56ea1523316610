"""All pages of sites: one for each that is listed or set aside, and the index of every name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.hosts import site_anchor, site_file
from analysis.languages.language import Language
from analysis.languages.spoken_values import elided, visible
from analysis.pages.markup import make_environment, read_css
from analysis.report import site_sentences as sentences
from analysis.report.decided import read_decided, show_decision
from analysis.report.site_records import Row, Setting, SiteRecord, read_records
from analysis.report.strips import Axis, draw_strip, make_axis

TEMPLATES = Path(__file__).parent / "templates"
INDEX, INDEX_TITLE = "sites/index.html", "Find a site"
_VERDICTS = Markup('<a href="{}tables/verdicts.csv">verdicts.csv</a>')
#: Strips of a site that is set aside: those of the networks where most sessions failed.
_FEW_STRIPS = 6


@dataclass(frozen=True)
class SitePage:
    """A page that has no frame yet.

    Attributes:
        file: below the report's folder, such as ``sites/index.html``.
        title: of the page.
        content: what stands in it.
    """

    file: str
    title: str
    content: Markup


def make_pages(tables: str | Path, setting: Setting, lang: Language) -> Iterator[SitePage]:
    """Every page of a site in a language, and the index, which comes first.

    Args:
        tables: the folder of a report's tables, with the notes of its notebooks.
        setting: what is the same for all.
        lang: of the pages.
    """
    sites, records = read_records(tables)
    decided = read_decided(tables)
    yield SitePage(INDEX, lang.say("Find a site"), list_names(sites, lang))
    axis = make_axis(lang, setting.period, setting.events)
    for record in records:
        name = elided(visible(record.site.domain))
        decision = show_decision(decided.get(record.site.domain), lang)
        content = describe_site(record, setting, lang, axis, decision)
        yield SitePage(f"sites/{site_file(record.site.domain)}", name, content)


def stylesheet() -> str:
    """How the pages of sites look, besides what all pages have."""
    return read_css(TEMPLATES / "site.css")


@lru_cache(maxsize=8)
def _template(name: str, lang: Language) -> Any:
    return make_environment(TEMPLATES, lang=lang).get_template(name)


def describe_site(
    record: SiteRecord, setting: Setting, lang: Language, axis: Axis, decision: Markup
) -> Markup:
    """What the page of a site holds; ``decision`` is what a meeting decided of it, or nothing."""
    is_listed = record.site.status == "listed"
    witnesses = sentences.list_witnesses(record)
    return Markup(
        _template("site.html.j2", lang).render(
            status=sentences.say_status(lang, record),
            status_code=record.site.status,
            category=_say_kind(lang, record),
            tests=sentences.say_tests(lang, record),
            remarks=[decision],
            the_axis=axis,
            pairs=list(_pairs(record, setting, lang, axis)),
            reasons=[] if is_listed else [sentences.word(lang, record.note)],
            elsewhere=sentences.list_by_state(lang, record.unlisted if is_listed else record.cells),
            rules=sentences.list_rules(lang, record),
            witnesses=witnesses,
            verdicts_link=_VERDICTS.format(setting.root),
            root=setting.root,
            doubts=list(sentences.say_why_not(lang, record)) if is_listed else [],
            methods=list(sentences.say_other_methods(lang, record)),
            countries=sentences.link_countries(record, setting),
            name=record.site.domain,
        )
    )


def _say_kind(lang: Language, record: SiteRecord) -> Markup:
    """The category, and whether it is a site of the country."""
    category = sentences.word(lang, record.category)
    if record.site.is_local:
        return lang.html("{category}. A site of the country.", category=category)
    return lang.html("{category}. Not a site of the country.", category=category)


def _pairs(
    record: SiteRecord, setting: Setting, lang: Language, axis: Axis
) -> Iterator[dict[str, Any]]:
    """The networks that have sentences and a strip of their own."""
    for cell in _told(record):
        stretches = record.stretches.get(cell.probe_asn, [])
        withheld = record.withheld.get(cell.probe_asn, [])
        said = [sentences.say_stretch(lang, stretch, setting) for stretch in stretches]
        said += [sentences.say_withheld(lang, stretch) for stretch in withheld]
        said += sentences.say_resolvers(lang, cell, record.names) if stretches else []
        said += [sentences.say_flip(lang, cell) if stretches else sentences.say_failing(lang, cell)]
        yield {
            "anchor": cell.probe_asn,
            "network": sentences.network_name(cell),
            "state": sentences.state_words(lang, cell),
            "strip": draw_strip(lang, record.spans(cell.probe_asn), setting.period, axis),
            "sentences": said,
        }


def _told(record: SiteRecord) -> Sequence[Row]:
    """The cells that are listed; of a site that is set aside those in which most sessions failed,
    first those with a stretch that was withheld, and those that did not work."""
    if record.site.status == "listed":
        return record.listed
    failing = [
        cell for cell in record.cells
        if cell.probe_asn in record.withheld or cell.blocked_session_count
        or cell.state == "impaired"
    ]  # fmt: skip
    failing.sort(
        key=lambda cell: (
            cell.probe_asn not in record.withheld, cell.state != "impaired",
            -int(cell.blocked_session_count), cell.probe_asn,
        )
    )  # fmt: skip
    return failing[:_FEW_STRIPS]


def list_names(sites: pd.DataFrame, lang: Language) -> Markup:
    """What the index holds: every tested name by its status.

    Args:
        sites: the contract's ``sites``.
        lang: of the words.
    """
    groups = [
        {
            "id": status.replace("_", "-"),
            "title": title,
            "meaning": meaning,
            "count": lang.number(len(rows)),
            "lines": Markup("\n").join(_name_item(lang, row) for row in rows),
        }
        for status, (title, meaning) in _groups(lang).items()
        if (rows := list(sites[sites["status"] == status].itertuples(index=False)))
    ]
    return Markup(
        _template("site_index.html.j2", lang).render(
            groups=groups,
            typed=Markup('<bdi class="typed"></bdi>'),
            counted=Markup('<b class="counted"></b>'),
        )
    )


def _groups(lang: Language) -> dict[str, tuple[Markup, Markup]]:
    """Status → the heading of its group, and what it means."""
    return {
        "listed": (
            lang.html("Listed"),
            lang.html("Blocked or likely blocked on at least one access network of the country."),
        ),
        "set_aside": (
            lang.html("Set aside"),
            lang.html(
                "Something was unusual, and does not amount to a block. The page of each says why."
            ),
        ),
        "no_problem_seen": (
            lang.html("Tested without a problem"),
            lang.html(
                "Reached on at least one access network, and nothing unusual was seen. It is no "
                "promise for networks, days and parts of the site that nobody tested."
            ),
        ),
        "not_enough_tests": (
            lang.html("Tested, without a conclusion"),
            lang.html(
                "Too few tests, tests that disagree, or a site that was away. It is evidence "
                "neither of blocking nor of access."
            ),
        ),
    }


def _name_item(lang: Language, row: Row) -> Markup:
    """One name with what became of it; ``data-name`` is what the search asks."""
    name = elided(visible(row.domain))
    shown = Markup("<bdi>{}</bdi>").format(name)
    if row.page:
        shown = Markup('<a href="{}">{}</a>').format(site_file(row.domain), shown)
    reason = sentences.reason_words(lang, row.status, row.reason)
    tests = lang.html_plural("{n} session", "{n} sessions", int(row.session_count))
    networks = lang.html_plural("{n} network", "{n} networks", int(row.network_count))
    facts = Markup(" · ").join([reason, tests, networks] if reason else [tests, networks])
    return Markup('<li id="{}" data-name="{}">{} <span class="caveat">{}</span></li>').format(
        site_anchor(row.domain), name, shown, facts
    )
