"""Make docs/picture.png, the README's picture, from a published report.

    make report
    .venv/bin/python tools/picture.py [PAGE] [PICTURE]

PAGE is a page of a report, with ``#anchor`` for a position in it (default: the matrix of the
embedded fictional country). Needs a Chromium.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = "reports/qq/2024-01-01--2025-01-01/2-confirmation.html#sites-and-networks"
PICTURE = "docs/picture.png"
SIZE = {"width": 920, "height": 860}
LIMIT = 250_000  # bytes, so that the README opens over a slow connection
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def take(page: str, picture: Path) -> int:
    """Take a screenshot of a page at an anchor, offline, and return its size in bytes."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("no chromium on this machine")
    name, _, anchor = page.partition("#")
    file = ROOT / name
    if not file.is_file():
        sys.exit(f"{name} is not there: run make report first")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
        context.set_offline(True)
        tab = context.new_page()
        tab.goto(f"{file.as_uri()}#{anchor}", wait_until="load")
        tab.screenshot(path=picture)
        browser.close()
    return picture.stat().st_size


if __name__ == "__main__":
    arguments = sys.argv[1:]
    page, picture = [*arguments, *[PAGE, PICTURE][len(arguments) :]]
    size = take(page, ROOT / picture)
    if size > LIMIT:
        sys.exit(f"the picture has {size:,} bytes, more than {LIMIT:,}")
