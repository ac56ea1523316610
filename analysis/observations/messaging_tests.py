"""The tests of messaging apps and circumvention tools, and what each of them tries to reach.

A test is made of parts, since an app may be cut off in one way and open in another: Telegram's web
page by its name, while the app's own endpoints answer. A part is judged by itself.
"""

from dataclasses import dataclass
from typing import Final

#: The layers in which an attempt can end, the earliest first. A tunnel has no layers to see.
LAYERS: Final = ("dns", "tcp", "tls", "http", "tunnel")


@dataclass(frozen=True)
class Part:
    """One part of a test.

    Attributes:
        name: as it stands in the tables.
        words: what it is, for a reader.
        decides_until: the last layer that decides whether an endpoint was reached. What ends behind
            it was connected, and got no answer.
        needs_all: whether the app needs every endpoint; else they stand in for each other, and the
            part is cut off where most of them are.
    """

    name: str
    words: str
    decides_until: str = "tunnel"
    needs_all: bool = False


@dataclass(frozen=True)
class Tested:
    """One of OONI's tests.

    Attributes:
        name: OONI's.
        title: for a reader.
        parts: what it tries to reach, the most telling first.
    """

    name: str
    title: str
    parts: tuple[Part, ...]

    @property
    def folder(self) -> str:
        """Its name in the keys of OONI's archive."""
        return self.name.replace("_", "")


TESTS: Final = tuple(
    Tested(*row)
    for row in (
        ("facebook_messenger", "Facebook Messenger", (Part("app", "the app's servers"),)),
        ("signal", "Signal", (Part("app", "the app's servers", needs_all=True),)),
        # A request to an endpoint is no part of what the app does, so that connecting decides.
        (
            "telegram",
            "Telegram",
            (Part("app", "the app's endpoints", "tcp"), Part("web", "the web page")),
        ),
        (
            "whatsapp",
            "WhatsApp",
            (
                Part("app", "the app's endpoints", "tcp"),
                Part("registration", "the registration service"),
                Part("web", "the web page"),
            ),
        ),
        ("psiphon", "Psiphon", (Part("tunnel", "a tunnel"),)),
        ("tor", "Tor", (Part("relays", "directories and relays"), Part("bridges", "bridges"))),
        ("torsf", "Tor with Snowflake", (Part("tunnel", "a tunnel"),)),
        ("vanilla_tor", "Tor without a bridge", (Part("tunnel", "a tunnel"),)),
    )
)
BY_NAME: Final = {test.name: test for test in TESTS}
#: The archive's folder → the test.
BY_FOLDER: Final = {test.folder: test for test in TESTS}
