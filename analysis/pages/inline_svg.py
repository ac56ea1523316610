"""A drawn figure as a part of a page: its words are text that can be searched and read aloud."""

import hashlib
import re
from xml.etree import ElementTree

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_REFERENCE, _OF_LINK = re.compile(r"(?<=url\(#)[^)]+"), re.compile(r"(?<=^#).+")
#: The figure was laid out with the first, the widest of them: another only leaves more air.
_FONTS = "'DejaVu Sans', 'Segoe UI', Roboto, 'Noto Sans', Arial, sans-serif"


def inline_svg(svg: str, alt: str, caption: str) -> str:
    """An SVG file as an element of a page.

    Every id that nothing refers to is dropped and the others get a name of their own, since a page
    may hold many figures. The style for all elements becomes one of the figure's own: elsewhere on
    the page it would hold as well.

    Args:
        svg: as ``show.figure_bytes`` draws it.
        alt: what is seen, in words.
        caption: of the figure, unique on its page.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    _rename(root, hashlib.sha256(f"{caption}{svg}".encode()).hexdigest()[:8])
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "role": "img", "aria-label": alt, "focusable": "false",
        "style": f"stroke-linejoin: round; stroke-linecap: butt; font-family: {_FONTS}",
    }  # fmt: skip
    for text in root.iter(f"{{{_SVG}}}text"):
        text.set("style", text.get("style", "").replace("font-family: 'DejaVu Sans'; ", ""))
    return ElementTree.tostring(root, encoding="unicode")


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Keep the ids that something refers to, under names of this figure's own.

    A link is ``#name``; elsewhere that is a colour, such as that of a hatch.
    """
    found = [
        (element, name, match[0])
        for element in root.iter()
        for name, value in element.attrib.items()
        if (match := (_OF_LINK if name.endswith("href") else _REFERENCE).search(value))
    ]
    used = {target for _, _, target in found}
    for element in root.iter():
        name = element.attrib.pop("id", "")
        if name in used:
            element.set("id", f"f{prefix}-{name}")
    for element, name, target in found:
        element.set(name, element.attrib[name].replace(f"#{target}", f"#f{prefix}-{target}"))
