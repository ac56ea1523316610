"""Write the tables of columns in docs/tables.md and docs/codebook.md from their declarations.

    .venv/bin/python tools/columns_pages.py            write them
    .venv/bin/python tools/columns_pages.py --check    name pages that differ; exit status 1

Only the text between the two comments of a page is written.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill

from analysis.columns import column_of
from analysis.pages.dictionary import type_words
from analysis.tables import QUERIED, TABLES, Table

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN = (
    "<!-- written by tools/columns_pages.py from analysis/columns.csv and analysis/tables.py -->\n"
)
END = "<!-- end -->\n"
_WIDTH = 140


def section(table: Table, suffix: str) -> str:
    """Return the section of a table: its name, key, the meaning of a row, and its columns."""
    key = f"Key: {', '.join(f'`{name}`' for name in table.key)}. " if table.key else ""
    about = fill(f"{key}{table.about}", _WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = [f"## {table.name.removeprefix('study.')}{suffix}", *([about, ""] if about else [])]
    lines += ["| column | type | meaning |", "|---|---|---|"]
    for name in table.columns:
        column = column_of(table.name, name)
        lines.append(f"| `{name}` | {type_words(column)} | {column.meaning} |")
    return "\n".join(lines) + "\n"


def expected(text: str, tables: Iterable[Table], suffix: str) -> str:
    """Return a page with its tables as they are declared."""
    before, _, following = text.partition(BEGIN)
    _, _, after = following.partition(END)
    written = "\n".join(section(table, suffix) for table in tables)
    return f"{before}{BEGIN}\n{written}\n{END}{after}"


def main(is_check: bool) -> int:
    """Write the pages that differ, or name them."""
    differing = []
    pages = (("tables.md", TABLES.values(), ".csv"), ("codebook.md", QUERIED, ""))
    for name, tables, suffix in pages:
        path = DOCS / name
        before = path.read_text(encoding="utf-8")
        text = expected(before, tables, suffix)
        if text != before:
            differing.append(name)
            if not is_check:
                path.write_text(text, encoding="utf-8")
    print("\n".join(differing))
    return 1 if is_check and differing else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
