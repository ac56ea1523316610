"""The two small scripts of a report: one finds a site, one sorts and filters the annex.

A page is complete without them. The content security policy lets a page run its own script and no
other: it holds the script's digest, so that a text that became markup could still run nothing.
"""

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "page"
#: What a page holds that needs a script. No text of a measurement looks so: its quotes are escaped.
_NEEDED_BY = {
    "search.js": '<div class="search" hidden>',
    "annex.js": '<div class="annex-controls" hidden>',
}
_POLICY = "default-src 'none';"


@lru_cache(maxsize=4)
def _read(name: str) -> tuple[str, str]:
    """A script, and its digest as a policy writes it."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
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
