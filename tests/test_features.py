"""The dictionary of columns is complete and true: each column that a rule may use, no other."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import duckdb

from analysis.outcomes import (
    answers,
    block_pages,
    controls,
    enumerations,
    features,
    filters,
    macros,
    outcomes,
    profiles,
)
from analysis.outcomes.rules import RULES
from tests.situations import REAL_LIFE, SITUATIONS, judged

DICTIONARY = Path(features.__file__).with_suffix(".md")

#: Module → its steps, in the order of the pipeline.
STEPS: Mapping[str, Mapping[str, str]] = {
    "enumerations": {"sites": enumerations._SITES},
    "controls": {
        "session_observations": controls._POOLED_SESSIONS, **controls._BASIC_VIEWS,
        **controls._VIEWS, "name_pool": controls._NAME_POOL,
    },
    "features": {**features._VIEWS, "features": features._FEATURES},
    "answers": answers.LONE_ANSWER_STEPS | answers.ANSWER_STEPS,
    "filters": filters.FILTER_STEPS,
    "block_pages": block_pages.REPLACEMENT_STEPS | block_pages.CONTROL_PAGE_STEPS
        | block_pages.PAGE_STEPS,
    "profiles": {"profiled": profiles._PROFILED},
    "outcomes": {"guarded": outcomes._GUARDED},
}  # fmt: skip
KINDS = {"VARCHAR": "text", "VARCHAR[]": "list of text", "DATE": "date", "BOOLEAN": "boolean",
         "TIMESTAMP_S": "time"}  # fmt: skip


#: Steps over many measurements; the columns of ``features`` are made before them.
POOLED = ("answers", "filters", "block_pages", "profiles", "outcomes")


@cache
def judged_situations() -> duckdb.DuckDBPyConnection:
    return judged((*SITUATIONS, *REAL_LIFE), is_alone=False)


@cache
def columns(table: str) -> Mapping[str, str]:
    """Name → DuckDB's type, in order."""
    found = judged_situations().execute(f"DESCRIBE {table}").fetchall()
    return {row[0]: row[1] for row in found}


def usable_columns() -> Mapping[str, str]:
    """Those that rules may use; the last one only rules of ``session``."""
    return {**columns("profiled"), "is_broken_session": "BOOLEAN"}


def _kind(name: str) -> str:
    """A column's type in plain words; an enumeration is text."""
    kind = usable_columns()[name]
    return "text" if kind.startswith("ENUM") else KINDS.get(kind, "number")


def _makers(name: str) -> Iterator[str]:
    """The steps that give a column its value, the last one last."""
    for module, steps in STEPS.items():
        if (module in POOLED) == (name in columns("features")):
            continue
        for step, query in steps.items():
            if re.search(rf"\bAS {name}\b", query):
                yield f"`{module}.{step}`"


def _names_in(condition: str) -> set[str]:
    return set(re.findall(r"[a-z_0-9]+", re.sub(r"'[^']*'", "", condition)))


def expected_line(name: str) -> str:
    """What must stand under a column's heading: its type, who makes it and which rules use it."""
    makers = ", ".join(_makers(name)) or "`observations`"
    rules = ", ".join(f"`{r.rule_id}`" for r in RULES if name in _names_in(r.condition))
    return f"{_kind(name)} · made by {makers} · used by {rules or 'no rule directly'}"


def described_columns() -> Mapping[str, tuple[str, str]]:
    """Name → the line under its heading, and what it means."""
    parts = re.split(r"^### (\w+)\n", DICTIONARY.read_text(encoding="utf-8"), flags=re.MULTILINE)
    texts = {
        name: text.split("\n\n", 1) for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {name: (line, meaning.partition("\n##")[0]) for name, (line, meaning) in texts.items()}


def test_the_dictionary_describes_every_column_and_no_other() -> None:
    assert sorted(described_columns()) == sorted(usable_columns())


def test_a_column_says_what_it_is_who_makes_it_and_who_uses_it() -> None:
    """The line under the heading is what the code says; the meaning is a sentence of its own."""
    for name, (line, meaning) in described_columns().items():
        assert line == expected_line(name), name
        assert len(meaning.strip()) > 15, name
        assert meaning.strip().endswith("."), name


def test_a_column_that_may_be_null_says_when() -> None:
    counts = ", ".join(
        f"count(*) FILTER ({name} IS NULL) AS {name}" for name in columns("profiled")
    )
    nulls = judged_situations().execute(f"SELECT {counts} FROM profiled").df().iloc[0]
    described = described_columns()
    silent = [name for name, count in nulls.items() if count and "NULL" not in described[name][1]]
    assert not silent


def test_a_condition_names_columns_of_the_dictionary_and_macros() -> None:
    called = {signature.partition("(")[0] for signature in macros.SCALAR_MACROS}
    known = described_columns().keys() | called | {"coalesce", "starts_with"}
    for rule in RULES:
        named = {name for name in _names_in(rule.condition) if not name.isdigit()}
        assert named <= known, rule.rule_id
