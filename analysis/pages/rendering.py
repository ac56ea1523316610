"""Pages of a report in HTML: one for each executed notebook, and the first page.

Each page includes all scripts, fonts and styles that it needs, and its content security policy
lets nothing else load. Code is folded under its output.

The pages in the first language of a report are at its top, those in each other language in a folder
of their own with the same file names. Pages that are not translated, such as those of notebooks,
are in English at the top.
"""

import base64
import hashlib
import re
import shutil
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any, TypeAlias

import mistune
import nbformat
from jinja2 import Environment
from markupsafe import Markup
from mistune.core import BlockState
from nbconvert.exporters import TemplateExporter
from nbconvert.preprocessors import TagRemovePreprocessor

from analysis.errors import ContractError
from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import (
    block_rules,
    font_faces,
    link,
    list_fonts,
    make_environment,
    read_css,
)
from analysis.pages.headings import GLOSSARY, MENU
from analysis.tables import WRITTEN_BY
from analysis.vocabulary import STATES

TEMPLATES = Path(__file__).parent / "page"

#: Tags of cells that are not shown: their paths and job counts differ between machines.
HIDDEN_TAGS = frozenset({"setup", "parameters", "injected-parameters"})
_SHOWN = {"text/html", "text/plain"}


@dataclass(frozen=True)
class PageContext:
    """Header of every page of a report in one language."""

    country: str  # name of the country
    period: str  # in words: "1 July 2023 to 30 June 2024"
    status: str  # in words: "Fictional country", "Draft 2"
    data_date: date | str  # day the data were fetched, or the last day that they hold
    #: numbers that differ from the published method: each with its value, and its meaning
    method_changes: tuple[tuple[str, str], ...] = ()
    title: str = "Internet censorship report"
    #: whether pages and tables name single measurements
    has_witnesses: bool = True
    lang: Language = ENGLISH
    #: who publishes: label and text; None for pages that are no report's
    publisher: tuple[tuple[str, str], ...] | None = None
    #: web address of the folder in which the report will be found, if it is known
    address: str = ""
    #: errors of an earlier edition that are corrected in this one, a sentence each
    corrections: tuple[Markup, ...] = ()
    #: the languages that have this page, see ``language.find_twins``
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetItem:
    """Entry of a page in the navigation and on the first page."""

    file: str
    title: str  # the notebook's first heading
    line: str  # its first paragraph
    language: str = "en"

    @property
    def number(self) -> str:
        """Number of a notebook's page, as in *page 2*; empty for other pages."""
        digits = self.file.removeprefix("../").partition("-")[0]
        return digits if digits.isdecimal() else ""

    @property
    def menu(self) -> str:
        """Words for the page in the menu; empty for a page listed under *Methods*."""
        return MENU.get(self.file.removeprefix("../"), "")


#: A heading (empty: the page's opening), and the content under it.
Section = tuple[str, Markup]


def describe(notebook: Path) -> SetItem:
    """Return the entry of a notebook in the navigation: its first heading and first paragraph.

    Raises:
        ContractError: the notebook does not start with a heading of the first level.
    """
    cells = nbformat.read(notebook, as_version=4).cells  # type: ignore[no-untyped-call]
    text = cells[0].source if cells and cells[0].cell_type == "markdown" else ""
    start = re.match(r"#\s+(.+)\n*((?:(?!#).+\n?)*)", text)
    if not start:
        raise ContractError(f"{notebook.name}: the first cell does not start with “# title”")
    line = re.sub(r"[*_`]|\[([^]]*)\]\([^)]*\)", r"\1", " ".join(start[2].split()))
    return SetItem(f"{notebook.stem}.html", start[1].strip(), line)


def render_page(
    executed: nbformat.NotebookNode, item: SetItem, page: PageContext, every: Sequence[SetItem]
) -> str:
    """Return the page of an executed notebook.

    Raises:
        ContractError: a figure has no alternative text, or an output is of a kind that a page
            without scripts cannot show.
    """
    hide = TagRemovePreprocessor(remove_cell_tags=set(HIDDEN_TAGS), enabled=True)
    shown, _ = hide.preprocess(deepcopy(executed), {})
    _check_outputs(shown.cells, item.file)
    prose, contents = _prose(shown.cells, {entry.file for entry in every})
    resources = {
        "item": item,
        "page": page,
        "set": every,
        "style": stylesheet(page.lang.code),
        "contents": contents,
        "prose": prose,
        "code": _code(shown.cells),
        "parameters": _shown_parameters(executed),
    }
    html, _ = _Exporter(page.lang).from_notebook_node(shown, resources)
    return add_scripts(_tidy(html))


def render_sections(
    sections: Sequence[Section],
    item: SetItem,
    page: PageContext,
    every: Sequence[SetItem],
    style: str = "",
    fonts: str = "",
) -> str:
    """Return a page of sections, each with a heading.

    Args:
        style: style rules of its content besides those of every page.
        fonts: relative URL of the folder with its language's font, for pages that share it.
    """
    named = [
        {"id": slug(getattr(head, "english", head)), "head": head, "content": body}
        for head, body in sections
    ]
    look = stylesheet(page.lang.code, fonts) + Markup(style)
    root = "../" * item.file.count("/")
    return render("sections.html.j2", item, page, every, look, sections=named, root=root)


def render(
    template: str,
    item: SetItem,
    page: PageContext,
    every: Sequence[SetItem],
    style: Markup | None = None,
    **content: Any,
) -> str:
    """Return a page from a template, in the frame of all pages."""
    html = (
        _templates(page.lang)
        .get_template(template)
        .render(
            item=item,
            page=page,
            set=every,
            style=style or stylesheet(page.lang.code),
            **content,
        )
    )
    return add_scripts(_tidy(html))


class _Exporter(TemplateExporter):
    """nbconvert's exporter with the template of these pages, which escapes outputs of cells."""

    template_file = "notebook_page.html.j2"

    def __init__(self, lang: Language) -> None:
        self._lang = lang
        super().__init__()  # type: ignore[no-untyped-call]

    def _create_environment(self) -> Environment:
        return _templates(self._lang)


@lru_cache(maxsize=8)
def _templates(lang: Language) -> Environment:
    """Read once, however many pages they make."""
    return make_environment(TEMPLATES, lang=lang)


@lru_cache(maxsize=8)
def stylesheet(code: str = "en", fonts: str = "") -> Markup:
    """The style of every page in a language, and of what a notebook shows on it.

    Args:
        code: of the language.
        fonts: where its font lies, for pages that share it; by default it is embedded.
    """
    rules = block_rules() + read_css(TEMPLATES / "page.css")
    return Markup("\n").join([font_faces(code, fonts), Markup(rules)])


_TABLE = re.compile(r"([a-z_]+)\.(?:csv|xlsx)")


class _Prose(mistune.HTMLRenderer):
    """Markdown with an id on each heading; raw HTML is inert; the first title is left out, since
    the page's header shows it; a link to another notebook, as it works in JupyterLab, leads to its
    page, or is its words where this report does not have it; the name of a table that a notebook of
    this report writes leads to it."""

    def __init__(self, pages: Collection[str]) -> None:
        super().__init__(escape=True)
        self._pages = pages
        self.contents: list[dict[str, Any]] = []
        self._used = {"main"}
        self._has_title = False

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        if level == 1 and not self._has_title:
            self._has_title = True
            return ""
        plain = re.sub(r"<[^>]*>", "", text)
        anchor = self._anchor(unescape(plain))
        if level <= 3:
            words = unescape(plain)
            self.contents.append({"level": level, "text": words, "id": anchor})
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def __call__(self, tokens: Iterable[dict[str, Any]], state: BlockState) -> str:
        """Render a cell: under each heading the first block is shown, and the others are folded."""
        shown: list[str] = []
        folded: list[str] = []
        has_text = False
        for token in tokens:
            block = self.render_token(token, state)
            if token["type"] == "heading":
                shown += [*_fold(folded), block]
                folded, has_text = [], False
            elif has_text:
                folded.append(block)
            else:
                shown.append(block)
                has_text = bool(block.strip())
        return "".join([*shown, *_fold(folded)])

    def link(self, text: str, url: str, title: str | None = None) -> str:
        file, _, anchor = url.partition("#")
        if file.endswith(".ipynb") or not file:
            file = file.replace(".ipynb", ".html")
            url = f"{file}#{slug(anchor)}" if anchor else file
        is_missing = "/" not in file and file.endswith(".html") and file not in self._pages
        return text if is_missing else super().link(text, url, title)

    def codespan(self, text: str) -> str:
        named = _TABLE.fullmatch(text)
        shown = super().codespan(text)
        if not named or f"{WRITTEN_BY.get(named[1])}.html" not in self._pages:
            return shown
        return f'<a href="tables/{text}">{shown}</a>'

    def _anchor(self, words: str) -> str:
        anchor = first = slug(words)
        count = 1
        while anchor in self._used:
            count += 1
            anchor = f"{first}-{count}"
        self._used.add(anchor)
        return anchor


def _fold(blocks: list[str]) -> list[str]:
    """Return blocks of a section that are one click away, and printed."""
    if not any(block.strip() for block in blocks):
        return []
    return ['<details class="more"><summary>Read more</summary>\n', *blocks, "</details>\n"]


def slug(words: str) -> str:
    """Return an id for a heading: letters, marks and digits of any script, joined by hyphens."""
    joined = "".join(
        c if unicodedata.category(c)[0] in "LMN" else "-"
        for c in unicodedata.normalize("NFC", words)
    )
    return re.sub("-+", "-", joined).strip("-").lower() or "section"


def _prose(
    cells: Sequence[nbformat.NotebookNode], pages: Collection[str]
) -> tuple[dict[str, Markup], list[dict[str, Any]]]:
    """Return the HTML of each Markdown cell by the cell's id, and the headings of all."""
    renderer = _Prose(pages)
    markdown = mistune.create_markdown(renderer=renderer, plugins=["table", "footnotes"])
    prose = {
        cell.id: Markup(str(markdown(cell.source)).strip())
        for cell in cells
        if cell.cell_type == "markdown"
    }
    return prose, renderer.contents


def _code(cells: Sequence[nbformat.NotebookNode]) -> dict[str, str]:
    """Return the code to fold under the output of each cell, by the cell's id.

    It follows the code of the cells without output that precede it.
    """
    code: dict[str, str] = {}
    waiting: list[str] = []
    for cell in cells:
        if cell.cell_type != "code":
            continue
        waiting.append(cell.source.strip())
        code[cell.id] = ""
        if any(output.output_type != "stream" for output in cell.outputs):
            code[cell.id] = "\n\n".join(part for part in waiting if part)
            waiting = []
    return code


def _shown_parameters(executed: nbformat.NotebookNode) -> str:
    """Return the parameters of the notebook, one a line.

    Addresses and folders are left out, because they differ between machines.
    """
    parameters = executed.metadata.get("papermill", {}).get("parameters", {})
    return "\n".join(
        f"{name} = {value!r}"
        for name, value in parameters.items()
        if value and "/" not in str(value)
    )


def _check_outputs(cells: Sequence[nbformat.NotebookNode], file: str) -> None:
    """Refuse pictures without alternative text, and outputs that need a script."""
    for cell in cells:
        for output in cell.get("outputs", []):
            kinds = set(output.get("data", {}))
            if any(kind.startswith("image/") for kind in kinds):
                raise ContractError(
                    f"{file}: a picture has no text for those who cannot see it; show it with "
                    "show_figure of analysis.pages.show"
                )
            if kinds and not kinds & _SHOWN:
                raise ContractError(
                    f"{file}: a cell shows {', '.join(sorted(kinds))}, "
                    "which a page without scripts cannot show"
                )


def _tidy(html: str) -> str:
    """Return HTML without trailing spaces and with one line feed at the end."""
    lines = map(str.rstrip, html.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


#: Script → the element that needs it. No measured text can match: its quotes are escaped.
_NEEDED_BY = {
    "search.js": '<div class="search" hidden>',
    "annex.js": '<table class="annex"',
    "cards.js": '<div class="cards">',
}
_POLICY = "default-src 'none';"


@lru_cache(maxsize=4)
def _read(name: str) -> tuple[str, str]:
    """Return a script, and its digest in the syntax of a content security policy."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return text, f"'sha256-{digest}'"


def add_scripts(html: str) -> str:
    """Return a page with the scripts that its elements need, each allowed by its digest.

    Args:
        html: a whole page, with its content security policy.
    """
    needed = [_read(name) for name, mark in _NEEDED_BY.items() if mark in html]
    if not needed:
        return html
    digests = " ".join(digest for _, digest in needed)
    allowed = html.replace(_POLICY, f"{_POLICY} script-src {digests};", 1)
    body, end, after = allowed.rpartition("</body>")
    return body + "".join(f"<script>{text}</script>\n" for text, _ in needed) + end + after


#: Content of the first page in one language, by the names of ``_NOTHING``; text that is not
#: ``Markup`` is escaped. ``headline``: a sentence that answers the report's question. ``lead``:
#: what it found, in a few sentences. ``surety``: how much of it is sure. ``matrix``: the figure of
#: the report. ``counting``: sentences on what the numbers count. ``findings``: each has an ``id``
#: that is the same in every draft, and as ``evidence`` a target such as
#: ``4-blocked-sites.html#by-network`` or ``tables/verdicts.csv``; those with a ``head`` stand
#: beside the matrix under this heading. ``since_when``: what stands first there if no finding says
#: it. ``decided``: the section on decisions of meetings, or empty. ``order``: the order and
#: numbering of findings in words. ``certainty``: sentences on the certainty of the report.
#: ``unknowns``: questions that the report cannot answer.
Summary: TypeAlias = Mapping[str, Any]
_NOTHING: Summary = {
    **dict.fromkeys(("headline", "surety", "matrix", "order", "decided"), ""),
    "since_when": {},
    **dict.fromkeys(("lead", "counting", "findings", "certainty", "unknowns"), ()),
}


_NO_FINDING: Mapping[str, Any] = {
    **dict.fromkeys(("id", "head", "claim", "sites", "figure", "open", "picture"), ""),
    **dict.fromkeys(("evidence", "query", "decision"), ""),
    "caveats": (),
}


#: The tables that most readers want, which are listed first.
_MAIN_FILES = (
    "blocked_sites.xlsx",
    "blocked_sites.csv",
    "set_aside.csv",
    "verdicts.csv",
    "datapackage.json",
)


def render_summary(
    summary: Summary,
    page: PageContext,
    every: Sequence[SetItem],
    tables: Mapping[str, int | None],
    changes: Section | None = None,
    up: str = "",
) -> str:
    """Return the report's first page.

    Args:
        summary: its content.
        page: its header.
        every: all pages of the report.
        tables: file name → number of rows, None for a file that is no table.
        changes: the section on changes since an earlier draft, which follows the findings.
        up: relative URL of the top of the report.
    """
    of_networks = [name for name in tables if ".AS" in name]
    findings = [
        {
            **_NO_FINDING,
            **finding,
            "evidence": _link_evidence(finding.get("evidence", ""), page, every, up),
        }
        for finding in summary.get("findings", ())
    ]
    since_when = [{**_NO_FINDING, **summary["since_when"]}] if summary.get("since_when") else []
    beside = [*since_when, *(finding for finding in findings if finding["head"])]
    return render(
        "summary.html.j2",
        SetItem("index.html", page.title, ""),
        page,
        every,
        index={**_NOTHING, **summary, "findings": findings, "beside": beside},
        description=Markup(" ").join(summary.get("lead", ())).striptags(),
        tables=tables,
        main_files=[name for name in _MAIN_FILES if name in tables],
        other_files=[name for name in tables if name not in (*_MAIN_FILES, *of_networks)],
        network_files=of_networks,
        changes=changes,
        up=up,
        states=STATES.values(),
        glossary=GLOSSARY,
    )


def _link_evidence(target: str, page: PageContext, every: Sequence[SetItem], up: str) -> Markup:
    """Return a link to a page of the report, in this language if there is one, with its title;
    nothing without a target."""
    if not target:
        return Markup("")
    file, _, anchor = target.partition("#")
    for item in every:
        if item.file in (file, f"{up}{file}"):
            section = anchor.replace("-", " ")
            if section and item.language == page.lang.code != ENGLISH.code:
                section = page.lang.say(section.capitalize())  # the heading of the section
            words: str | Markup = f"{item.title}, {section}" if section else item.title
            if item.language != page.lang.code:
                words = Markup('<bdi lang="{}">{}</bdi>').format(item.language, words)
            return link(f"{item.file}{f'#{anchor}' if anchor else ''}", words)
    root = "" if file.startswith("sites/") else up
    return link(f"{root}{target}", file)


INDEX = "index.html"
#: Function that writes the content of the first page from the folder of the tables, the findings of
#: ``run.json`` and the language.
FirstPage = Callable[[Path, Mapping[str, Any], Language], Summary]
#: Function that compares with an earlier report. Its arguments are the folder of the tables, to
#: which it may add, the content of ``run.json`` and the language; it returns the section after the
#: findings.
Comparison = Callable[[Path, Mapping[str, Any], Language], Section]


@dataclass(frozen=True)
class Appendix:
    """Page that is made from the tables once all notebooks have run.

    Attributes:
        item: its entry in the navigation.
        make: returns the page's sections; its arguments are the folder of the tables, to which it
            may add, and the findings of ``run.json``.
    """

    item: SetItem
    make: Callable[[Path, Mapping[str, Any]], Sequence[Section]]


@dataclass(frozen=True)
class PageSet:
    """Many pages in a folder of their own, of which the navigation names the first.

    Attributes:
        item: entry of the first page.
        make: iterates over the pages and their sections; its argument is the folder of the tables.
        beside: files of the pages in the navigation of these pages.
        style: style rules of their content besides those of every page.
    """

    item: SetItem
    make: Callable[[Path], Iterable[tuple[SetItem, Sequence[Section]]]]
    beside: Collection[str]
    style: str = ""


@dataclass(frozen=True)
class Edition:
    """Pages of a report in one language.

    Attributes:
        page: header of each page.
        folder: folder of the pages below the report: ``""``, or the language's code.
        sites: a page for each site, and their index, if there are any.
        pages: other pages; one with the file name of a notebook's page replaces it.
    """

    page: PageContext
    folder: str
    sites: PageSet | None = None
    pages: tuple[Appendix, ...] = ()

    @property
    def up(self) -> str:
        """Relative URL of the top of the report from its pages."""
        return "../" if self.folder else ""

    @property
    def item(self) -> SetItem:
        """Entry of its first page."""
        return SetItem(INDEX, self.page.lang.say("Summary"), "", self.page.lang.code)

    def place_items(self, every: Sequence[SetItem]) -> list[SetItem]:
        """Return the entry of every page of the report, as seen from the pages of this language."""
        own = [self.item, *(page.item for page in self.pages)]
        own += [self.sites.item] if self.sites else []
        by_file = {item.file: replace(item, language=self.page.lang.code) for item in own}
        return [
            by_file.get(item.file) or replace(item, file=f"{self.up}{item.file}") for item in every
        ]


def list_editions(
    languages: Sequence[Language], describe: Callable[[Language], PageContext]
) -> list[Edition]:
    """Return an edition for each language: the first at the top, the others in folders.

    Args:
        languages: languages of the report, in order.
        describe: returns the header of each page in a language.
    """
    codes = tuple(lang.code for lang in languages)
    return [
        Edition(replace(describe(lang), languages=codes), "" if lang == languages[0] else lang.code)
        for lang in languages
    ]


def write_sites(build: Path, edition: Edition, every: Sequence[SetItem]) -> None:
    """Write the pages of sites, one at a time, since there may be thousands; they share a font.

    Args:
        build: the folder in which the report is built.
        edition: the edition with these pages.
        every: all pages of the report.
    """
    sites = edition.sites
    assert sites is not None
    placed = edition.place_items(every)
    beside = [own for item, own in zip(every, placed, strict=True) if item.file in sites.beside]
    fonts = list_fonts(edition.page.lang.code)
    for font in fonts:
        (build / edition.folder / "fonts").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(font, build / edition.folder / "fonts" / font.name)
    for item, sections in sites.make(build / "tables"):
        html = render_sections(sections, item, edition.page, beside, sites.style, "../fonts")
        write_page(build / edition.folder / item.file, html)


def write_alone(build: Path, edition: Edition, item: SetItem, sections: Sequence[Section]) -> None:
    """Write a page that is not part of a report.

    Args:
        build: the published folder, which has the tables that the page names.
        edition: its language and header.
        item: its file and title.
        sections: its content.
    """
    html = render_sections(sections, item, edition.page, [])
    # measured text cannot match, because its quotation marks are escaped
    html = html.replace('href="tables/', f'href="{edition.up}tables/')
    write_page(build / edition.folder / item.file, html)


def write_page(path: Path, html: str) -> None:
    """Write a page, with the same bytes on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8", newline="\n")


def list_items(top: Edition, more: Sequence[SetItem]) -> list[SetItem]:
    """Return the entries of a report's pages in the order of its navigation.

    Their files are relative to the top of the report.

    Args:
        top: the edition in the first language.
        more: the pages of notebooks, and those after them.
    """
    own = {page.item.file: page.item for page in top.pages}
    named = {item.file for item in more}
    first = [top.item, *([top.sites.item] if top.sites else [])]
    added = [item for file, item in own.items() if file not in named]
    items = top.place_items([*first, *more, *added])
    order = list(MENU)
    return sorted(items, key=lambda item: order.index(item.file) if item.menu else len(order))
