"""What web servers of the fictional country serve."""

from dataclasses import dataclass
from random import Random

_SYLLABLES = ("ta", "re", "mi", "lo", "va", "ne", "so", "ki", "du", "pa", "zi", "be", "for", "lan")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a web server. ``body`` is bytes where it is not UTF-8 text."""

    body: str | bytes
    title: str
    code: int = 200
    headers: Headers = ()

    @property
    def length(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else len(self.body.encode())


def with_headers(page: Page, *extra: tuple[str, str]) -> Page:
    """The page with the headers that describe it, in the order that Go prints them."""
    kind = "text/html; charset=" + ("iso-8859-1" if isinstance(page.body, bytes) else "utf-8")
    headers = [("Content-Length", str(page.length)), ("Content-Type", kind), *extra]
    return Page(page.body, page.title, page.code, tuple(sorted(headers)))


def make_page(title: str, paragraphs: list[str], code: int = 200, *extra: tuple[str, str]) -> Page:
    """A small HTML page."""
    text = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    body = (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"</head>\n<body>\n<h1>{title}</h1>\n{text}\n</body>\n</html>\n"
    )
    return with_headers(Page(body, title, code), *extra)


def addressed(page: Page, host: str) -> Page:
    """The page with the visitor's own wish in it, where it has a place for that."""
    if isinstance(page.body, bytes) or _WISH not in page.body:
        return page
    body = page.body.replace(_WISH, host)
    length = len(body.encode())
    headers = [(n, str(length)) if n == "Content-Length" else (n, v) for n, v in page.headers]
    return Page(body, page.title, page.code, tuple(headers))


#: Stands for the host that was asked for.
_WISH = "{wanted}"
WISHES = ("This site", f"The site {_WISH}")


def sentence(rng: Random) -> str:
    """A sentence in no language."""
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(9)]
    return " ".join(words).capitalize() + "."


def site_page(rng: Random, host: str) -> Page:
    """A site's front page: a menu that all pages share and some text of its own."""
    label = host.removeprefix("www.").removesuffix(".example")
    title = label.replace("-", " ").replace(".", " ").title()
    own = [sentence(rng) for _ in range(rng.choice((2, 3, 3, 4, 6)))]
    # Long pages repeat their furniture, as real ones do; it costs next to nothing compressed.
    furniture = ['<a href="/about">About</a> <a href="/archive">Archive</a>'] * rng.choice(
        (4, 6, 8, 12, 60)
    )
    name = "X-" + label.split("-")[0].split(".")[-1].title() + "-Node"
    return make_page(title, own + furniture, 200, ("Server", "nginx"), (name, "1"))


def moved(location: str) -> Page:
    """A redirect with an empty body."""
    headers = (("Content-Length", "0"), ("Location", location), ("Server", "nginx"))
    return Page("", "", 301, headers)
