"""A report in several languages: which of its pages each has, where they lie and how they link.

The first language lies at the top of the report, each other in a folder of its own, with the same
file names. What is not written anew, such as the notebooks' pages, stays in English at the top.
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from markupsafe import Markup

from analysis.errors import ContractError
from analysis.languages.language import Language
from analysis.pages.fonts import list_fonts
from analysis.pages.formats import link
from analysis.pages.glossary import GLOSSARY
from analysis.pages.rendering import (
    PageContext,
    Section,
    SetItem,
    render,
    render_sections,
)
from analysis.vocabulary import STATES

#: The content of the first page, in one language; what is no ``Markup`` is escaped. ``answer``: one
#: sentence that answers the report's question. ``numbers``, ``findings``: see ``_ENTRIES``, in the
#: order in which they are shown. ``decided``: the section on what meetings decided, or nothing.
#: ``order``: how findings are ordered and numbered. ``certainty``: how sure the report is.
#: ``unknowns``: what it cannot say.
Summary: TypeAlias = Mapping[str, Any]

#: A number is what it is, what it counts out of what, and why it may mislead. A finding has an id
#: that is the same in every draft, and for ``evidence`` ``4-blocked-sites.html#by-network`` or
#: ``tables/verdicts.csv``.
_ENTRIES = {
    "numbers": ("value", "label", "caveat"),
    "findings": ("id", "claim", "sites", "figure", "caveats", "evidence", "decision"),
}


def render_summary(
    summary: Summary,
    page: PageContext,
    every: Sequence[SetItem],
    tables: Mapping[str, int | None],
    changes: Section | None = None,
    up: str = "",
) -> str:
    """The report's first page.

    Args:
        tables: file name → number of rows, None for a file that is no table.
        changes: what changed since an earlier draft; stands after the findings.
        up: the way from the page to the top of the report.
    """
    whole = _complete(summary)
    for finding in whole["findings"]:
        if finding["evidence"]:
            finding["evidence"] = _link_evidence(finding["evidence"], page, every, up)
    return render(
        "summary.html.j2",
        SetItem("index.html", page.title, ""),
        page,
        every,
        index=whole,
        tables=tables,
        changes=changes,
        up=up,
        states=STATES.values(),
        glossary=GLOSSARY,
    )


def _complete(summary: Summary) -> dict[str, Any]:
    """The summary with every optional field there, so that a mistyped one is an error."""
    whole = {name: summary.get(name, "") for name in ("answer", "order", "decided")}
    whole |= {name: summary.get(name, []) for name in ("certainty", "unknowns", *_ENTRIES)}
    unknown = summary.keys() - whole.keys()
    for name, keys in _ENTRIES.items():
        unknown |= {f"{name}.{key}" for entry in whole[name] for key in entry.keys() - set(keys)}
        whole[name] = [{key: entry.get(key, "") for key in keys} for entry in whole[name]]
    if unknown:
        raise ContractError(f"the first page: no such field: {', '.join(sorted(unknown))}")
    return whole


def _link_evidence(target: str, page: PageContext, every: Sequence[SetItem], up: str) -> Markup:
    """A link to a page of the set, where it lies in this language, in the page's own title."""
    file, _, anchor = target.partition("#")
    for item in every:
        if item.file in (file, f"{up}{file}"):
            place = anchor.replace("-", " ")
            words: str | Markup = f"{item.title}, {place}" if place else item.title
            if item.language != page.lang.code:
                words = Markup('<bdi lang="{}">{}</bdi>').format(item.language, words)
            return link(f"{item.file}{f'#{anchor}' if anchor else ''}", words)
    way = "" if file.startswith("sites/") else up
    return link(f"{way}{target}", file)


INDEX = "index.html"
#: Words the first page: is given the folder of the tables, the findings of ``run.json`` and the
#: language.
FirstPage = Callable[[Path, Mapping[str, Any], Language], Summary]
#: Compares with an earlier report: is given the folder of the tables, where it may leave its own,
#: what ``run.json`` will say and the language; returns the section that stands after the findings.
Comparison = Callable[[Path, Mapping[str, Any], Language], Section]


@dataclass(frozen=True)
class Appendix:
    """A page that is no notebook's: made of the tables once all notebooks have run.

    Attributes:
        item: the page.
        make: is given the folder of the tables, where it may leave its own, and the findings of
            ``run.json``; returns the page's sections.
    """

    item: SetItem
    make: Callable[[Path, Mapping[str, Any]], Sequence[Section]]


@dataclass(frozen=True)
class PageSet:
    """Many pages in a folder of their own, of which the navigation names the first.

    Attributes:
        item: the first one.
        make: is given the folder of the tables; each page with its sections.
        reads: the notebooks of whose tables they are made.
        beside: files of the pages that the navigation of these names.
        style: what they need besides the style of every page.
    """

    item: SetItem
    make: Callable[[Path], Iterable[tuple[SetItem, Sequence[Section]]]]
    reads: Collection[str]
    beside: Collection[str]
    style: str = ""


@dataclass(frozen=True)
class Edition:
    """What is written anew in one language.

    Attributes:
        page: what each page's header says.
        folder: where its pages lie below the report: ``""``, or the language's code.
        sites: a page for each site, and their index, if there are any.
        pages: others; one of a notebook's name takes its place.
    """

    page: PageContext
    folder: str
    sites: PageSet | None = None
    pages: tuple[Appendix, ...] = ()

    @property
    def up(self) -> str:
        """The way from its pages to the top of the report."""
        return "../" if self.folder else ""

    @property
    def item(self) -> SetItem:
        """Its first page."""
        return SetItem(INDEX, self.page.lang.say("Summary"), "", self.page.lang.code)

    def place_items(self, every: Sequence[SetItem]) -> list[SetItem]:
        """Every page of the report as the pages of this language name it."""
        own = [self.item, *(page.item for page in self.pages)]
        own += [self.sites.item] if self.sites else []
        by_file = {one.file: replace(one, language=self.page.lang.code) for one in own}
        return [by_file.get(one.file) or replace(one, file=f"{self.up}{one.file}") for one in every]


def list_editions(
    languages: Sequence[Language], describe: Callable[[Language], PageContext]
) -> list[Edition]:
    """The first language at the top, each other in a folder of its code.

    Args:
        languages: of the report.
        describe: what the header of each page says in a language.
    """
    codes = tuple(lang.code for lang in languages)
    return [
        Edition(replace(describe(lang), languages=codes), "" if lang == languages[0] else lang.code)
        for lang in languages
    ]


def write_sites(
    build: Path,
    edition: Edition,
    every: Sequence[SetItem],
    has_ended: Callable[[], bool],
) -> None:
    """Write the pages of sites, one at a time, since there may be thousands; they share a font.

    Args:
        build: the folder that the report is built in.
        edition: whose they are.
        every: all pages of the report.
        has_ended: asked before each page; once it is true no more are written.
    """
    sites = edition.sites
    assert sites is not None
    placed = edition.place_items(every)
    beside = [item for one, item in zip(every, placed, strict=True) if one.file in sites.beside]
    fonts = list_fonts(edition.page.lang.code)
    for font in fonts:
        (build / edition.folder / "fonts").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(font, build / edition.folder / "fonts" / font.name)
    for item, sections in sites.make(build / "tables"):
        if has_ended():
            return
        html = render_sections(sections, item, edition.page, beside, sites.style, "../fonts")
        write_page(build / edition.folder / item.file, html)


def write_pages(
    build: Path, edition: Edition, every: Sequence[SetItem], findings: Mapping[str, Any]
) -> None:
    """Write the other pages of a language but the first one."""
    for appendix in edition.pages:
        html = render_sections(
            appendix.make(build / "tables", findings),
            appendix.item,
            edition.page,
            edition.place_items(every),
        )
        write_page(build / edition.folder / appendix.item.file, html)


def write_alone(build: Path, edition: Edition, item: SetItem, sections: Sequence[Section]) -> None:
    """Write a page that belongs to no report's set.

    Args:
        build: the top of what is published, where the tables lie that it names.
        edition: whose it is.
        item: the page.
        sections: what it holds.
    """
    html = render_sections(sections, item, edition.page, [])
    # a measurement's text has no quotation mark of its own here
    html = html.replace('href="tables/', f'href="{edition.up}tables/')
    write_page(build / edition.folder / item.file, html)


def write_page(path: Path, html: str) -> None:
    """Write a page, the same bytes on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8", newline="\n")


def list_items(top: Edition, others: Sequence[SetItem]) -> list[SetItem]:
    """Every page of a report in the order of its navigation, as the top of the report names it.

    Args:
        top: the edition in the first language.
        others: the pages of notebooks, and those after them.
    """
    own = {page.item.file: page.item for page in top.pages}
    named = {item.file for item in others}
    first = [top.item, *([top.sites.item] if top.sites else [])]
    added = [item for file, item in own.items() if file not in named]
    return top.place_items([*first, *others, *added])
