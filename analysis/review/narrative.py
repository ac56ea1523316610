"""Texts that people write around the findings: background, law, recommendations, contributing.

The texts lie in ``data/narrative/<cc>/<language>/``, one file each, in Markdown. A number of the
report stands in them as ``{findings.key}``, by its name in ``run.json``, so that it cannot be out
of date. Raw HTML and images do not get through; a link leads to an https address or a page of the
report. In another language, a part that is written in English only is shown in English, and says
so.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mistune
from markupsafe import Markup

from analysis.errors import ContractError, ParameterError
from analysis.languages.language import ENGLISH, Language, visible
from analysis.pages.formats import is_link, link, macros
from analysis.pages.rendering import Appendix, Section, SetItem
from analysis.reference.reference_files import REPOSITORY, decode_text, read_file

NARRATIVES = REPOSITORY / "data" / "narrative"
PAGE = "narrative.html"
#: The texts in their order, each by the name of its file.
PARTS = ("background", "law", "recommendations", "how-to-contribute")

_MOST_BYTES = 200_000
_PLACE = re.compile(r"\{findings\.([a-z][a-z0-9_]*)\}")
_ANY_PLACE = re.compile(r"\{([^{}\n]*)\}")
#: Levels of headings: that of a part, which the page gives it, above those in its text.
_PART, _LOWEST = 2, 6


def load_narrative(probe_cc: str, code: str, folder: Path = NARRATIVES) -> dict[str, str]:
    """Read the texts of a country in a language, in the order of the page.

    Returns:
        Where it lies, as whoever writes it knows the place → the text, empty where there is none.

    Raises:
        ParameterError: a file is no UTF-8, too large, or is none of the parts; names the file.
    """
    language_folder = folder / probe_cc.lower() / code
    for path in sorted(language_folder.glob("*.md")):
        if path.stem not in PARTS:
            raise ParameterError(
                "narrative", path, f"{', '.join(f'{part}.md' for part in PARTS)} are accepted"
            )
    known_as = f"data/narrative/{probe_cc.lower()}/{code}"
    return {f"{known_as}/{part}.md": _read(language_folder / f"{part}.md") for part in PARTS}


def find_unwritten(texts: Mapping[str, str], english: Mapping[str, str]) -> list[str]:
    """Return the files of the texts that a page says are missing, in its language and in English.

    Args:
        texts, english: of :func:`load_narrative`, in the language of the page and in English.
    """
    pairs = zip(texts, english, strict=True)
    return [place for place, instead in pairs if not (texts[place] or english[instead])]


def narrative_page(probe_cc: str, lang: Language, up: str) -> Appendix:
    """Return the page of a report that is being made; ``up`` leads from it to the English pages."""

    def make(tables: Path, findings: Mapping[str, Any]) -> list[Section]:
        texts, english = load_narrative(probe_cc, lang.code), load_narrative(probe_cc, "en")
        return show_narrative(texts, english, findings, lang, up)

    line = lang.say("Background, law, recommendations, and how to contribute.")
    return Appendix(SetItem(PAGE, lang.say("Background and recommendations"), line), make)


def show_narrative(
    texts: Mapping[str, str],
    english: Mapping[str, str],
    findings: Mapping[str, Any],
    lang: Language,
    up: str = "",
) -> list[Section]:
    """Return the sections of the page: a part each, with its numbers; a missing part says so.

    Args:
        texts: of :func:`load_narrative`, in the language of the page.
        english: the same in English, shown where a text is empty.
        findings: name → ``{"value": …}``, as in ``run.json``.
        lang: of the page.
        up: the way from the page to the English pages, where links of an English text lead.

    Raises:
        ContractError: a text names a number that the report does not have: which file, which line,
            which name.
    """
    headings = (
        lang.heading("Background"),
        lang.heading("Law"),
        lang.heading("Recommendations"),
        lang.heading("How to contribute"),
    )
    form = macros("narrative.html.j2", lang)
    sections: list[Section] = []
    for heading, place, instead in zip(headings, texts, english, strict=True):
        _check_places(place, texts[place], findings)
        _check_places(instead, english[instead], findings)
        if texts[place]:
            shown = form.text(_render(texts[place], findings, lang))
        elif english[instead]:
            shown = form.in_english(_render(english[instead], findings, ENGLISH, up), place)
        else:
            shown = form.missing()
        sections.append((heading, Markup(shown)))
    return sections


def _check_places(place: str, source: str, findings: Mapping[str, Any]) -> None:
    for line, key in _places(source):
        if key not in {f"findings.{name}" for name in findings}:
            raise ContractError(
                f"narrative: {place}, line {line}: {{{key[:40]}}} is no {{findings.key}}, with a "
                f"key of run.json's findings: {', '.join(sorted(findings))}"
            )


def _render(source: str, findings: Mapping[str, Any], lang: Language, up: str = "") -> Markup:
    """Return a text as HTML, with its numbers filled in."""
    html = str(mistune.create_markdown(renderer=_Renderer(up))(source)).strip()

    def fill(place: re.Match[str]) -> str:
        value = findings[place[1]]["value"]
        is_share = isinstance(value, float) and place[1].endswith("_share")
        words = lang.share(value) if is_share else lang.number(value)
        return Markup('<data value="{}" data-key="{}">{}</data>').format(value, place[1], words)

    return Markup(_PLACE.sub(fill, html))


class _Renderer(mistune.HTMLRenderer):
    """Markdown without active content: no raw HTML, no image, links only to pages or over TLS."""

    def __init__(self, up: str) -> None:
        super().__init__(escape=True)
        self.up = up
        self.above = _PART

    def text(self, text: str) -> str:
        return super().text(visible(text))

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        # "##" is the level below the part's heading; no level is skipped, whatever was written
        self.above = min(max(level, _PART) + 1, self.above + 1, _LOWEST)
        return f"<h{self.above}>{text}</h{self.above}>\n"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text  # what it shows, in words

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if not is_link(url):
            return text
        return str(link(url if url.startswith("https:") else self.up + url, Markup(text)))


def _read(path: Path) -> str:
    if not path.exists():
        return ""
    text = decode_text(read_file(path, "narrative", _MOST_BYTES), path, "narrative")
    return text if text.strip() else ""


def _places(source: str) -> Iterator[tuple[int, str]]:
    """Return the names in braces, each with its line."""
    for number, line in enumerate(source.splitlines(), start=1):
        for inside in _ANY_PLACE.findall(line):
            yield number, inside
