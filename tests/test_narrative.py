"""The report's own prose: numbers by their names, nothing that acts, nothing made up."""

import re
from pathlib import Path

import pytest

from analysis.errors import ContractError, ParameterError
from analysis.languages.language import ENGLISH
from analysis.review.narrative import PARTS, load_narrative, show_narrative

FINDINGS = {"domain_count": {"value": 1234, "table": "semesters"},
            "open_share": {"value": 0.25, "table": "semesters"}}  # fmt: skip


def _write(folder: Path, **texts: str | bytes) -> Path:
    place = folder / "qm" / "en"
    place.mkdir(parents=True)
    for name, text in texts.items():
        path = place / f"{name}.md"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def _html(folder: Path, **texts: str) -> str:
    read = load_narrative("QM", "en", _write(folder, **texts))
    return "".join(content for _, content in show_narrative(read, FINDINGS, ENGLISH))


def test_numbers_are_filled_in_and_what_is_missing_says_so(tmp_path: Path) -> None:
    """Marked with their names, as on other pages; of four parts three are not written."""
    html = _html(tmp_path, background="# A\n\n#### B\n\n**{findings.domain_count}** sites, "
                 "{findings.open_share}, [list](4-blocked-sites.html)")  # fmt: skip
    assert '<strong><data value="1234" data-key="domain_count">1,234</data></strong>' in html
    assert f'data-key="open_share">{ENGLISH.share(0.25)}</data>' in html
    assert '<a href="4-blocked-sites.html">list</a>' in html
    assert "<h3>A</h3>\n<h4>B</h4>" in html  # no level is left out
    assert html.count("Missing") == len(PARTS) - 1
    assert "data/narrative/qm/en/law.md" in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "![x](https://site.test/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](http://site.test/)",
        "[x](//site.test/)",
        "[x](data:text/html,x)",
        '<https://site.test/"onclick=alert(1)>',
        "[x](https://site.test/{findings.domain_count})",
        "a \u202e b",
        "x" * 10_000,
        "<svg/onload=alert(1)>\n\n- <b>",
    ],
)
def test_nothing_in_a_text_acts(tmp_path: Path, text: str) -> None:
    """The only elements are Markdown's own; a link leads over TLS or to a page."""
    html = _html(tmp_path, law=text)
    elements = set(re.findall(r"<(\w+)", html))
    assert elements <= {"div", "p", "strong", "bdi", "a", "ul", "li", "data"}
    for target in re.findall('href="(.*?)"', html):
        assert target.startswith("https://site.test/")
    assert not re.search(r"<[^>]* (on\w+|src)=", html)
    assert "\u202e" not in html


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"history": "x"}, "history.md: background.md, law.md, recommendations.md"),
        ({"law": "a\n{domain_count}"}, "law.md: line 2: {domain_count} is no {findings.key}"),
        ({"law": "a\n\n{findings.}"}, "law.md: line 3: {findings.} is no {findings.key}"),
        ({"law": b"a\n\xff"}, "law.md: line 2: not UTF-8 text"),
        ({"law": "x" * 200_001}, "is larger than 0.2 MB"),
    ],
)
def test_a_text_that_is_wrong_is_refused(
    tmp_path: Path, texts: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(ParameterError) as raised:
        load_narrative("QM", "en", _write(tmp_path, **texts))
    assert message in str(raised.value)


def test_an_unknown_number_stops_the_report(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"law\.md, line 2: .*no findings\.votes"):
        _html(tmp_path, law="a\n{findings.votes}")
