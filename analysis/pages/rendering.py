"""An executed notebook → one self-contained HTML page; the findings → the report's first page.

No script, no font and no style sheet from elsewhere: each page holds all it shows, and its
content security policy lets nothing else load. Code is folded under the output that it led to.
"""

import re
import unicodedata
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache, lru_cache
from html import unescape
from pathlib import Path
from typing import Any

import mistune
import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter, TemplateExporter

from analysis.errors import ContractError
from analysis.languages.language import ENGLISH, Language
from analysis.pages import markup, scripts
from analysis.pages.fonts import font_faces
from analysis.pages.inline_svg import inline_svg

TEMPLATES = Path(__file__).parent / "page"

#: Cells that are not shown: they hold paths and job counts, which differ between machines.
HIDDEN_TAGS = frozenset({"setup", "parameters", "injected-parameters"})
_SHOWN = {"text/html", "image/svg+xml", "image/png", "text/plain"}


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
    lang: Language = ENGLISH
    #: the languages in which this page is there, see ``languages.find_twins``
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetItem:
    """One page of the set, as navigation and the first page name it."""

    file: str
    title: str  # the notebook's first heading
    line: str  # its first paragraph
    language: str = "en"


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
    parameters = _shown_parameters(executed)
    executed = _without_hidden(executed)
    _check_outputs(executed, item.file)
    prose, contents = _prose(executed)
    resources = {
        "page": page,
        "style": stylesheet(page.lang.code),
        "set": [asdict(one) for one in every],
        "current": item.file,
        "title": item.title,
        "toc": contents,
        "prose": prose,
        "code": _code(executed),
        "parameters": parameters,
        "opening": executed.cells[0].id if executed.cells else "",
    }
    html, _ = _exporter().from_notebook_node(executed, resources)
    return scripts.add_scripts(tidy(str(html)))


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
    html = _template("sections.html.j2", page.lang).render(
        sections=[
            {"id": slug(getattr(head, "english", head)), "head": head, "content": body}
            for head, body in sections
        ],
        page=page,
        style=stylesheet(page.lang.code, fonts) + Markup(style),
        set=[asdict(one) for one in every],
        item=asdict(item),
        root="../" * item.file.count("/"),
    )
    return scripts.add_scripts(tidy(html))


@lru_cache(maxsize=8)
def _template(name: str, lang: Language) -> Any:
    """A template that is read once, however many pages it makes."""
    return markup.make_environment(TEMPLATES, lang=lang).get_template(name)


def link_pages(html: str, file: str, every: Sequence[SetItem]) -> str:
    """A published page whose navigation names ``every`` page, since one has come to the report."""
    frame = markup.make_environment(TEMPLATES).get_template("frame.html.j2").module
    navigation = str(frame.navigation([asdict(one) for one in every], file))  # type: ignore[attr-defined]
    return re.sub('<nav class="set".*?</nav>', lambda _: navigation, html, count=1, flags=re.DOTALL)


@lru_cache(maxsize=8)
def stylesheet(code: str = "en", fonts: str = "") -> Markup:
    """The style of every page in a language, and of what a notebook shows on it.

    Args:
        code: of the language.
        fonts: where its font lies, for pages that share it; by default it is embedded.
    """
    rules = markup.stylesheet() + markup.read_css(TEMPLATES / "page.css")
    return Markup("\n").join([font_faces(code, fonts), Markup(rules)])


class _Exporter(HTMLExporter):
    """Writes what the template says: the stock exporter parses the page again and gives an image
    without words a placeholder that passes for words."""

    def from_notebook_node(
        self, nb: nbformat.NotebookNode, resources: Any = None, **options: Any
    ) -> Any:
        return TemplateExporter.from_notebook_node(self, nb, resources, **options)

    def _create_environment(self) -> Any:
        return markup.make_inert(super()._create_environment())  # type: ignore[no-untyped-call]


@cache
def _exporter() -> Any:
    """One for all pages: to read nbconvert's templates takes longer than to render a page."""
    exporter: Any = _Exporter(  # type: ignore[no-untyped-call]
        template_name="page", extra_template_basedirs=[str(TEMPLATES.parent)]
    )
    exporter.register_filter("figure_words", _figure_words)
    exporter.register_filter("inline_figure", _inline_figure)
    return exporter


class _Prose(mistune.HTMLRenderer):
    """Markdown with an id on each heading; raw HTML is inert; the first title is left out, since
    the page's header shows it."""

    def __init__(self) -> None:
        super().__init__(escape=True)
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


def _prose(executed: nbformat.NotebookNode) -> tuple[dict[str, Markup], list[dict[str, Any]]]:
    renderer = _Prose()
    markdown = mistune.create_markdown(renderer=renderer, plugins=["table", "footnotes"])
    prose = {
        cell.id: Markup(str(markdown(cell.source)).strip())
        for cell in executed.cells
        if cell.cell_type == "markdown"
    }
    return prose, renderer.contents


def _code(executed: nbformat.NotebookNode) -> dict[str, str]:
    """Cell id → the code to fold under its output: its own, after that of the silent cells
    before it."""
    code: dict[str, str] = {}
    waiting: list[str] = []
    for cell in executed.cells:
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


def _without_hidden(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    shown = [
        cell
        for cell in executed.cells
        if not HIDDEN_TAGS.intersection(cell.metadata.get("tags", []))
    ]
    page = deepcopy(executed)
    page.cells = shown
    return page


def _check_outputs(executed: nbformat.NotebookNode, file: str) -> None:
    for place, cell in enumerate(executed.cells, start=1):
        for output in cell.get("outputs", []):
            kinds = set(output.get("data", {}))
            if kinds and not kinds & _SHOWN:
                raise ContractError(
                    f"{file}: cell {place} shows {', '.join(sorted(kinds))}, "
                    "which a page without scripts cannot show"
                )
            for mime in sorted(kinds & {"image/svg+xml", "image/png"}):
                if not str(output.metadata.get(mime, {}).get("alt", "")).strip():
                    raise ContractError(
                        f"{file}: the figure in cell {place} has no alternative text; "
                        "show it with show.show_figure"
                    )


def _figure_words(output: nbformat.NotebookNode, which: str, mime: str) -> str:
    words = str(output.metadata.get(mime, {}).get(which, "")).strip()
    if not words:
        raise ContractError(f"a figure has no {which}")
    return words


def _inline_figure(output: nbformat.NotebookNode) -> Markup:
    kind = "image/svg+xml"
    words = (_figure_words(output, which, kind) for which in ("alt", "caption"))
    return Markup(inline_svg(str(output.data[kind]), *words))


def tidy(html: str) -> str:
    """No trailing space, one line feed at the end: the same bytes from any template layout."""
    lines = map(str.rstrip, html.replace("\r\n", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
