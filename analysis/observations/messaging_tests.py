"""The tests of messaging apps and circumvention tools, and their parts.

Each part is judged by itself, because a part of an app may be blocked while the rest works: for
instance Telegram's web page, while the app's own endpoints answer.
"""

from dataclasses import dataclass
from typing import Final

#: The layers at which an attempt can fail, in order. A tunnel's own layers cannot be observed.
LAYERS: Final = ("dns", "tcp", "tls", "http", "tunnel")


@dataclass(frozen=True)
class Part:
    """One part of a test.

    Attributes:
        name: as in the tables.
        words: its description for readers.
        decides_until: the last layer that decides whether an endpoint was reached. An attempt that
            fails at a later layer was connected, but got no answer.
        needs_all: whether the app needs every endpoint. Otherwise any endpoint will do, and the
            part is blocked if most of them are.
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
        title: its name for readers.
        parts: the most important first.
    """

    name: str
    title: str
    parts: tuple[Part, ...]

    @property
    def folder(self) -> str:
        """The test's name in the keys of OONI's archive."""
        return self.name.replace("_", "")


TESTS: Final = tuple(
    Tested(*row)
    for row in (
        ("facebook_messenger", "Facebook Messenger", (Part("app", "the app's servers"),)),
        ("signal", "Signal", (Part("app", "the app's servers", needs_all=True),)),
        # The app itself sends no such request to its endpoints, so connecting decides.
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
#: Folder of OONI's archive → test.
BY_FOLDER: Final = {test.folder: test for test in TESTS}
