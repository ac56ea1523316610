"""An executed notebook → one self-contained HTML page; the findings → the report's first page.

No script, no font and no style sheet from elsewhere: each page holds all it shows, and its
content security policy lets nothing else load. Code is folded under the output that it led to.

A report in several languages: which of its pages each has, where they lie and how they link.

The first language lies at the top of the report, each other in a folder of its own, with the same
file names. What is not written anew, such as the notebooks' pages, stays in English at the top.
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

#: Cells that are not shown: they hold paths and job counts, which differ between machines.
HIDDEN_TAGS = frozenset({"setup", "parameters", "injected-parameters"})
_SHOWN = {"text/html", "text/plain"}


@dataclass(frozen=True)
class PageContext:
    """What the header of every page says."""

    country: str  # name of the country
    period: str  # in words: "1 July 2023 to 30 June 2024"
    status: str  # in words: "Fictional country", "Draft 2"
    data_date: date | str  # day the data were fetched, or the last day that they hold
    #: numbers that differ from the published method: each with its value, and what it decides
    method_changes: tuple[tuple[str, str], ...] = ()
    title: str = "Internet censorship report"
    #: whether pages and tables name single measurements
    has_witnesses: bool = True
    lang: Language = ENGLISH
    #: who publishes: label and text; None for pages that are no report's
    publisher: tuple[tuple[str, str], ...] | None = None
    #: errors of an earlier edition that are corrected in this one, a sentence each
    corrections: tuple[Markup, ...] = ()
    #: the languages in which this page is there, see ``language.find_twins``
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetItem:
    """One page of the set, as navigation and the first page name it."""

    file: str
    title: str  # the notebook's first heading
    line: str  # its first paragraph
    language: str = "en"

    @property
    def number(self) -> str:
        """What sentences call a notebook's page: *page 2*; empty for other pages."""
        digits = self.file.removeprefix("../").partition("-")[0]
        return digits if digits.isdecimal() else ""

    @property
    def menu(self) -> str:
        """Its words in the menu; none for a page that stands under *Methods*."""
        return MENU.get(self.file.removeprefix("../"), "")


#: A heading (none: the page's opening), and what stands under it.
Section = tuple[str, Markup]


def describe(notebook: Path) -> SetItem:
    """How a notebook is named in the set: its first heading and first paragraph.

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
    """An executed notebook as a page.

    Raises:
        ContractError: a figure has no alternative text, or an output is of a kind that a page
            without scripts cannot show.
    """
    hide = TagRemovePreprocessor(remove_cell_tags=set(HIDDEN_TAGS), enabled=True)
    shown, _ = hide.preprocess(deepcopy(executed), {})
    _check_outputs(shown.cells, item.file)
    prose, contents = _prose(shown.cells, {one.file for one in every})
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
    """A page that is no notebook's: sections, each with its heading and what stands under it.

    Args:
        style: what its content needs besides the style of every page.
        fonts: the folder of its language's font, for pages that share it.
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
    """Any page: a template within the frame of all of them."""
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
    """nbconvert with the template of these pages, whose environment escapes what a cell shows."""

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


def slug(words: str) -> str:
    """An id from a heading: letters, their marks and digits of any script, joined by hyphens."""
    kept = "".join(
        c if unicodedata.category(c)[0] in "LMN" else "-"
        for c in unicodedata.normalize("NFC", words)
    )
    return re.sub("-+", "-", kept).strip("-").lower() or "section"


def _prose(
    cells: Sequence[nbformat.NotebookNode], pages: Collection[str]
) -> tuple[dict[str, Markup], list[dict[str, Any]]]:
    """Cell id → its text as HTML; and the headings of all of them."""
    renderer = _Prose(pages)
    markdown = mistune.create_markdown(renderer=renderer, plugins=["table", "footnotes"])
    prose = {
        cell.id: Markup(str(markdown(cell.source)).strip())
        for cell in cells
        if cell.cell_type == "markdown"
    }
    return prose, renderer.contents


def _code(cells: Sequence[nbformat.NotebookNode]) -> dict[str, str]:
    """Cell id → the code to fold under its output: its own, after that of the silent cells
    before it."""
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
    """What the notebook was given, a line each, but for addresses and folders, which differ between
    machines."""
    given = executed.metadata.get("papermill", {}).get("parameters", {})
    return "\n".join(
        f"{name} = {value!r}" for name, value in given.items() if value and "/" not in str(value)
    )


def _check_outputs(cells: Sequence[nbformat.NotebookNode], file: str) -> None:
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
    """No trailing space, one line feed at the end: the same bytes from any template layout."""
    lines = map(str.rstrip, html.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


#: What a page holds that needs a script. No text of a measurement looks so: its quotes are escaped.
_NEEDED_BY = {
    "search.js": '<div class="search" hidden>',
    "annex.js": '<div class="annex-controls" hidden>',
}
_POLICY = "default-src 'none';"


@lru_cache(maxsize=4)
def _read(name: str) -> tuple[str, str]:
    """A script, and its digest as a policy writes it."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return text, f"'sha256-{digest}'"


def add_scripts(html: str) -> str:
    """A page with the scripts for what it holds, each allowed by its digest.

    Args:
        html: a whole page, with its policy.
    """
    needed = [_read(name) for name, mark in _NEEDED_BY.items() if mark in html]
    if not needed:
        return html
    digests = " ".join(digest for _, digest in needed)
    allowed = html.replace(_POLICY, f"{_POLICY} script-src {digests};", 1)
    body, end, rest = allowed.rpartition("</body>")
    return body + "".join(f"<script>{text}</script>\n" for text, _ in needed) + end + rest


#: The content of the first page, in one language, by the names of ``_NOTHING``; what is no
#: ``Markup`` is escaped. ``answer``: one sentence that answers the report's question. ``numbers``:
#: each is what it is, what it counts out of what, and why it may mislead (``value, label,
#: caveat``). ``findings``: each has an id that is the same in every draft, and for ``evidence``
#: ``4-blocked-sites.html#by-network`` or ``tables/verdicts.csv``. ``decided``: the section on what
#: meetings decided, or nothing. ``order``: how findings are ordered and numbered. ``certainty``:
#: how sure the report is. ``unknowns``: what it cannot say.
Summary: TypeAlias = Mapping[str, Any]
_NOTHING: Summary = {
    **dict.fromkeys(("answer", "order", "decided"), ""),
    **dict.fromkeys(("numbers", "findings", "certainty", "unknowns"), ()),
}


#: What most readers want, named first.
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
    """The report's first page.

    Args:
        tables: file name → number of rows, None for a file that is no table.
        changes: what changed since an earlier draft; stands after the findings.
        up: the way from the page to the top of the report.
    """
    of_networks = [name for name in tables if ".AS" in name]
    findings = [
        {"decision": "", **one, "evidence": _link_evidence(one["evidence"], page, every, up)}
        for one in summary.get("findings", ())
    ]
    return render(
        "summary.html.j2",
        SetItem("index.html", page.title, ""),
        page,
        every,
        index={**_NOTHING, **summary, "findings": findings},
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
    """A link to a page of the set, where it lies in this language, in the page's own title."""
    file, _, anchor = target.partition("#")
    for item in every:
        if item.file in (file, f"{up}{file}"):
            place = anchor.replace("-", " ")
            if place and item.language == page.lang.code != ENGLISH.code:
                place = page.lang.say(place.capitalize())  # the heading of the section
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
        beside: files of the pages that the navigation of these names.
        style: what they need besides the style of every page.
    """

    item: SetItem
    make: Callable[[Path], Iterable[tuple[SetItem, Sequence[Section]]]]
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


def write_sites(build: Path, edition: Edition, every: Sequence[SetItem]) -> None:
    """Write the pages of sites, one at a time, since there may be thousands; they share a font.

    Args:
        build: the folder that the report is built in.
        edition: whose they are.
        every: all pages of the report.
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
        html = render_sections(sections, item, edition.page, beside, sites.style, "../fonts")
        write_page(build / edition.folder / item.file, html)


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
    items = top.place_items([*first, *others, *added])
    order = list(MENU)
    return sorted(items, key=lambda one: order.index(one.file) if one.menu else len(order))
