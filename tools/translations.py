"""Bring every catalogue in line with the sentences in the code.

    .venv/bin/python tools/translations.py            add new sentences, drop old ones, and wrap
                                                      lines uniformly
    .venv/bin/python tools/translations.py --check    name catalogues that differ; exit status 1
    .venv/bin/python tools/translations.py lo         start a language by its code

Sentences are the arguments of ``lang.say``, ``lang.html`` and their plurals, and of ``_``, ``_n``
and ``say`` in templates. Words that are data are listed by ``_words``.
"""

import csv
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.plurals import PLURALS, get_plural
from babel.messages.pofile import read_po, write_po
from babel.plural import to_gettext

from analysis import vocabulary
from analysis.languages.language import catalogue_path, list_translated, read_catalogue
from analysis.outcomes.rules import RULES_BY_ID
from analysis.pages import headings
from analysis.pages.headings import GLOSSARY
from analysis.pages.rendering import describe
from analysis.report.annex import REASON_SENTENCES
from analysis.review.audits import ITEM
from analysis.review.changes import HEADING, OF_RUN
from analysis.review.watch_page import NOTES
from analysis.tables import TABLES, WRITTEN_BY
from analysis.verdicts.reasons import LOST_EVIDENCE, OTHER_RESOLVERS, TOO_FEW, USUAL
from analysis.verdicts.rivals import RIVALS

ROOT = Path(__file__).resolve().parents[1]
_PLURAL = (1, 2)
KEYWORDS = {
    **dict.fromkeys(("say", "html", "heading", "_"), None),
    **dict.fromkeys(("say_plural", "html_plural", "_n"), _PLURAL),
}
METHODS = [("**.py", "python"), ("**.j2", "jinja2.ext:babel_extract")]
HEADER = """\
# {name}. An entry that is marked fuzzy has not been reviewed by a native reader: take the mark away
# once it has. Pages say that the translation is unreviewed until none is left.
msgid ""
msgstr ""
"Language: {code}\\n"
"Plural-Forms: {plural}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
#: Notebooks none of whose tables another language shows.
_IN_ENGLISH = {"6-validation", "9-coverage"}
#: The attributes of a state that are texts.
_READ = ("words", "meaning")


def find_sentences() -> Catalog:
    """Return every sentence and word to translate."""
    catalogue = Catalog(project="censorship-report-workbook", charset="utf-8")
    messages = extract_from_dir(
        ROOT / "analysis", METHODS, keywords=KEYWORDS, comment_tags=("Translators:",)
    )
    for file, _line, sentence, comments, context in messages:
        catalogue.add(sentence, None, [(f"analysis/{file}", 0)], (), comments, context=context)
    for path, word in _words():
        catalogue.add(word, None, [(path, 0)])
    return catalogue


def _words() -> Iterator[tuple[str, str]]:
    """Yield the file and the text of each word that is data."""
    for module in (headings, vocabulary):
        path = f"{module.__name__.replace('.', '/')}.py"
        for name, value in vars(module).items():
            if name.isupper():
                words = _without_english(value) if name == "HEADINGS" else value
                yield from ((path, word) for word in _read(words))
    yield "analysis/review/changes.py", HEADING
    for words in OF_RUN.values():
        yield from (("analysis/review/changes.py", word) for word in words.values())
    yield from (("analysis/report/annex.py", words) for words in REASON_SENTENCES.values())
    for rival in RIVALS:
        yield "analysis/verdicts/rivals.py", rival.question
        yield "analysis/verdicts/rivals.py", rival.words
    yield from (("analysis/review/watch_page.py", words) for words in NOTES)
    yield from (
        ("analysis/verdicts/reasons.py", text)
        for text in (TOO_FEW, LOST_EVIDENCE, *USUAL, OTHER_RESOLVERS)
    )
    for rule in RULES_BY_ID.values():
        if rule.outcome == "blocked":
            yield "analysis/outcomes/rules.py", rule.comment
    yield from (("analysis/pages/headings.py", word) for word in GLOSSARY)
    for notebook in sorted(ROOT.glob("notebooks/[1-9]-*.ipynb")):
        yield f"notebooks/{notebook.name}", describe(notebook).line
    yield "analysis/review/audits.py", ITEM.line
    categories = ROOT / "data" / "reference" / "categories.csv"
    with categories.open(encoding="utf-8", newline="") as file:
        yield from (
            (f"data/reference/{categories.name}", row["category"]) for row in csv.DictReader(file)
        )


def _without_english(headings: dict[str, str]) -> dict[str, str]:
    """Return the headings without those of columns that only pages in English have."""
    tables = [(table.name, table.columns) for table in TABLES.values()]
    of_column = {name: {table for table, columns in tables if name in columns} for name in headings}
    return {
        name: heading
        for name, heading in headings.items()
        if not of_column[name]
        or {WRITTEN_BY.get(table, "") for table in of_column[name]} - _IN_ENGLISH
    }


def _read(value: object) -> Iterator[str]:
    """Yield the words in a value of the vocabulary: those of its mappings and its states."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from [inner] if isinstance(inner, str) else _read(inner)
    elif is_dataclass(value):
        names = {attribute.name for attribute in fields(value)}
        yield from (getattr(value, name) for name in _READ if name in names)


def updated(code: str, sentences: Catalog) -> bytes:
    """Return the catalogue of a language with these sentences and its translations."""
    path = catalogue_path(code)
    catalogue = read_catalogue(path) if path.exists() else _start(code)
    catalogue.update(sentences, no_fuzzy_matching=True)
    written = BytesIO()
    write_po(
        written,
        catalogue,
        width=96,
        omit_header=True,
        ignore_obsolete=True,
        sort_by_file=True,
        include_lineno=False,
    )
    name = Locale.parse(code).get_display_name("en")
    header = HEADER.format(name=name, code=code, plural=catalogue.plural_forms)
    return header.encode() + written.getvalue()


def _start(code: str) -> Catalog:
    """Return an empty catalogue with the plural forms of a language."""
    locale = Locale.parse(code)
    # Babel's rules for gettext lack Indonesian, Malay and Burmese, which get those of English
    is_known = not {code, locale.language}.isdisjoint(PLURALS)
    plural = str(get_plural(locale)) if is_known else to_gettext(locale.plural_form)
    header = HEADER.format(name=locale.get_display_name("en"), code=code, plural=plural)
    return read_po(BytesIO(header.encode()), locale=code, charset="utf-8")


def main(arguments: list[str]) -> int:
    """Write the catalogues, or name those that differ."""
    is_check = arguments == ["--check"]
    sentences = find_sentences()
    differing = 0
    for code in list_translated() if is_check or not arguments else arguments:
        path = catalogue_path(code)
        text = updated(code, sentences)
        if path.exists() and path.read_bytes() == text:
            continue
        differing += 1
        if is_check:
            print(f"{path.relative_to(ROOT)} is not as `make translations` writes it")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
    return int(is_check and differing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
