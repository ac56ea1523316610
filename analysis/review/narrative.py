"""What people write around the findings: background, law, recommendations, how to contribute.

The texts lie in ``data/narrative/<cc>/<language>/``, one file each, in Markdown. A number of the
report stands in them as ``{findings.key}``, by its name in ``run.json``, so that it cannot be out
of date. Raw HTML and images do not get through; a link leads to an https address or a page of the
report.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mistune
from markupsafe import Markup

from analysis.errors import ContractError, ParameterError
from analysis.languages.language import Language
from analysis.languages.spoken_values import value_html, visible
from analysis.pages.formats import is_link, link
from analysis.pages.markup import macros
from analysis.reference.reference_files import REPOSITORY, read_file

NARRATIVES = REPOSITORY / "data" / "narrative"
PAGE = "narrative.html"
#: The texts in their order, each by the name of its file.
PARTS = ("background", "law", "recommendations", "how-to-contribute")

_MOST_BYTES = 200_000
_PLACE = r"\{findings\.(?P<findings_name>[a-z][a-z0-9_]*)\}"
_ANY_PLACE = re.compile(r"\{([^{}\n]*)\}")
_KEY = re.compile(r"findings\.([a-z][a-z0-9_]*)")
#: The heading of a part, which the page gives it; those in its text stand below.
_PART, _LOWEST = 2, 6


@dataclass(frozen=True)
class Text:
    """One part in one language; ``source`` is empty where nobody has written it."""

    part: str
    path: Path
    source: str


def narrative_title(lang: Language) -> str:
    """The title of the page."""
    return lang.say("Background and recommendations")


def load_narrative(probe_cc: str, code: str, folder: Path = NARRATIVES) -> list[Text]:
    """The texts of a country in a language, in the order of the page.

    Raises:
        ParameterError: a file is no UTF-8, too large, is none of the parts, or holds braces that
            are no ``{findings.key}``; names the file and the line.
    """
    place = folder / probe_cc.lower() / code
    for path in sorted(place.glob("*.md")):
        if path.stem not in PARTS:
            accepted = f"{', '.join(f'{part}.md' for part in PARTS)} are accepted"
            raise ParameterError("narrative", path, accepted)
    return [_load(part, place / f"{part}.md") for part in PARTS]


def check_keys(texts: Sequence[Text], findings: Mapping[str, Any]) -> None:
    """Refuse a text that names a number which the report does not have.

    Raises:
        ContractError: which file, which line, which name.
    """
    for text in texts:
        for line, key in _keys(text.source):
            if key not in findings:
                raise ContractError(
                    f"narrative: {_place(text)}, line {line}: run.json has no findings.{key}; it "
                    f"has {', '.join(sorted(findings))}"
                )


def show_narrative(
    texts: Sequence[Text], findings: Mapping[str, Any], lang: Language
) -> list[tuple[str, Markup]]:
    """The sections of the page: a part each, its numbers filled in; a missing one says so.

    Args:
        texts: of :func:`load_narrative`, checked by :func:`check_keys`.
        findings: name → ``{"value": …}``, as in ``run.json``.
        lang: of the page and of the texts.
    """
    form = macros("narrative.html.j2", lang)
    return [
        (
            _heading(text.part, lang),
            Markup(form.text(_render(text.source, findings, lang)))
            if text.source.strip()
            else Markup(form.missing(_place(text))),
        )
        for text in texts
    ]


def _render(source: str, findings: Mapping[str, Any], lang: Language) -> Markup:
    markdown = mistune.create_markdown(renderer=_Renderer(findings, lang))
    markdown.inline.register("finding_key", _PLACE, _parse_place, before="link")
    return Markup(str(markdown(source)).strip())


class _Renderer(mistune.HTMLRenderer):
    """Markdown in which nothing acts: no raw HTML, no image, no link but to a page or over TLS."""

    def __init__(self, findings: Mapping[str, Any], lang: Language) -> None:
        super().__init__(escape=True)
        self.findings = findings
        self.lang = lang
        self.above = _PART

    def text(self, text: str) -> str:
        return super().text(visible(text))

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        # "##" is right below the part's own; no level is left out, whatever was written
        self.above = min(max(level, _PART) + 1, self.above + 1, _LOWEST)
        return f"<h{self.above}>{text}</h{self.above}>\n"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text  # what it shows, in words

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return str(link(url, Markup(text))) if is_link(url) else text

    def finding_key(self, key: str) -> str:
        value = self.findings[key]["value"]
        is_share = isinstance(value, float) and key.endswith("_share")
        words = self.lang.share(value) if is_share else value_html(value, self.lang.locale)
        return Markup('<data value="{}" data-key="{}">{}</data>').format(value, key, words)


def _parse_place(inline: Any, match: re.Match[str], state: Any) -> int:
    state.append_token({"type": "finding_key", "raw": match["findings_name"]})
    return match.end()


def _load(part: str, path: Path) -> Text:
    if not path.exists():
        return Text(part, path, "")
    data = read_file(path, "narrative", _MOST_BYTES)
    try:
        source = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ParameterError("narrative", path, f"line {line}: not UTF-8 text") from None
    for line, inside in _places(source):
        if not _KEY.fullmatch(inside):
            raise ParameterError(
                "narrative", path, f"line {line}: {{{inside[:40]}}} is no {{findings.key}}, with a "
                "key of run.json's findings"
            )  # fmt: skip
    return Text(part, path, source)


def _places(source: str) -> list[tuple[int, str]]:
    """What stands in braces, each with its line."""
    return [
        (number, inside)
        for number, line in enumerate(source.splitlines(), start=1)
        for inside in _ANY_PLACE.findall(line)
    ]


def _keys(source: str) -> list[tuple[int, str]]:
    return [(line, inside.partition(".")[2]) for line, inside in _places(source)]


def _place(text: Text) -> str:
    """Where the text lies, as whoever writes it knows the place."""
    return "/".join(("data", "narrative", *text.path.parts[-3:]))


def _heading(part: str, lang: Language) -> str:
    return {
        "background": lang.heading("Background"),
        "law": lang.heading("Law"),
        "recommendations": lang.heading("Recommendations"),
        "how-to-contribute": lang.heading("How to contribute"),
    }[part]
