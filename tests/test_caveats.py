"""What cannot be told of a listed pair is said in its note, and nowhere else."""

from typing import Any

from analysis.verdicts.caveats import BEFORE_FIRST_TEST, ONE_PLATFORM
from analysis.vocabulary import LISTED
from tests.letters import ALL_NETWORKS, judge, site, verdict
from tests.observations import Row

APPLE = {"software_name": "ooniprobe-ios"}
OWN = ALL_NETWORKS[0]


def _open_elsewhere(*names: str) -> list[Row]:
    return [
        row for asn in ALL_NETWORKS[1:] for name in names for row in site(name, "O" * 30, asn=asn)
    ]  # fmt: skip


def _usual() -> list[Row]:
    """Sites that work, by two platforms."""
    return [
        {**row, **(APPLE if number % 2 else {})}
        for asn in ALL_NETWORKS for n in range(6)
        for number, row in enumerate(site(f"usual-{n}", "O" * 30, asn=asn))
    ]  # fmt: skip


def _note(name: str, rows: list[Row], asn: int = OWN) -> Any:
    row = verdict(judge([*_usual(), *rows]), domain=f"{name}.example", asn=asn)
    assert row["state"] in LISTED
    return row["note"]


def test_one_site_that_one_network_never_saw_open() -> None:
    """Not where it was open before, nor where another site is blocked there in the same way."""
    never, others = site("never", "R" * 20, asn=OWN), _open_elsewhere("never", "second")
    assert BEFORE_FIRST_TEST in _note("never", [*never, *others])
    opened = site("never", "O" * 8 + "R" * 20, asn=OWN)
    assert BEFORE_FIRST_TEST not in _note("never", [*opened, *others])
    second = site("second", "R" * 20, asn=OWN)
    assert BEFORE_FIRST_TEST not in _note("never", [*never, *second, *others])


def test_one_platform_that_makes_nearly_all_tests() -> None:
    """Two sites that fail for Apple's probes; not where another platform's fail too."""
    names = ("first", "second")
    ours = [
        {**row, **APPLE} for name in names for row in site(name, "O" * 10 + "R" * 14, asn=OWN)
    ]  # fmt: skip
    rows = [*ours, *_open_elsewhere(*names)]
    assert ONE_PLATFORM.format(n=28, m=0) in _note("first", rows)
    mixed = [
        {**row, "software_name": "ooniprobe-android"} if n % 2 else row
        for n, row in enumerate(ours)
    ]
    assert "platform" not in _note("first", [*mixed, *_open_elsewhere(*names)])
