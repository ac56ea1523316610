"""Fonts that come with a page, where a reader may have none for its language's script.

The files in ``fonts/`` hold that script alone; Latin letters are those of the reader's own font.
"""

from base64 import b64encode
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup

FOLDER = Path(__file__).parent / "fonts"
#: Language → the family's files by weight, and the characters that they hold.
_FONTS = {
    "km": (
        {400: "NotoSansKhmer-Regular.woff2", 700: "NotoSansKhmer-Bold.woff2"},
        "U+1780-17FF, U+19E0-19FF, U+200B-200D, U+25CC",
    ),
}
#: What the style sheets call the font of a page's script, whichever it is.
FAMILY = "Script"


def list_fonts(code: str) -> list[Path]:
    """The font files of a language; none where every reader has one."""
    files, _ = _FONTS.get(code, ({}, ""))
    return [FOLDER / name for name in files.values()]


@lru_cache(maxsize=8)
def font_faces(code: str, folder: str = "") -> Markup:
    """The style that brings a language's font.

    Args:
        code: of the language.
        folder: where the files lie as seen from the page, for pages that share them; by default
            they are embedded, so that the page can be handed on alone.
    """
    files, characters = _FONTS.get(code, ({}, ""))
    return Markup("\n").join(
        Markup(
            '@font-face {{ font-family: "{}"; font-weight: {}; unicode-range: {}; '
            'src: url({}) format("woff2"); }}'
        ).format(FAMILY, weight, characters, f"{folder}/{name}" if folder else _embedded(name))
        for weight, name in files.items()
    )


def _embedded(name: str) -> str:
    content = b64encode((FOLDER / name).read_bytes()).decode("ascii")
    return f"data:font/woff2;base64,{content}"
