"""What else could it be: for each rival where it speaks and where it must not."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from analysis.verdicts.rivals import (
    EVERYWHERE,
    HOST_SILENT,
    ONE_KIND_OF_PROBE,
    RESOLVERS,
    RIVALS,
    ROUTE_UNKNOWN,
    answer_rivals,
)
from analysis.verdicts.verdicts import Judgement
from analysis.vocabulary import LISTED
from tests.letters import ALL_NETWORKS, FOURTH, judge, site, verdict
from tests.observations import Row

#: Kinds of probe.
OLD, NEW, APPLE = (
    {"software_version": "3.17.2"}, {"software_version": "3.23.0"},
    {"software_name": "ooniprobe-ios", "software_version": "3.17.2"},
)  # fmt: skip
OPEN = "O" * 80
#: Where the sites of other cases are not hosted.
SHARED = {"host": "one host"}


def _on(name: str, *letters: str, **options: Any) -> list[Row]:
    """A site on one network after the other."""
    return [
        row for asn, own in zip([*ALL_NETWORKS, FOURTH], letters, strict=False)
        for row in site(name, own, asn=asn, **options)
    ]  # fmt: skip


def _since(day: int, letter: str) -> str:
    """Open, and failing for twelve days from a day on. No two cases begin in the same days."""
    return "O" * day + letter * 12


def _together(names: Iterable[str], day: int, letter: str, networks: int, **options: Any) -> Any:
    """Sites that begin to fail on the same day, on the first of four networks."""
    own = [_since(day, letter)] * networks + [OPEN] * (4 - networks)
    return [row for name in names for row in _on(name, *own, **options)]


#: Case → what was measured, and the sentence that withholds it on the network where it fails first;
#: none where it is listed. A host's sites are named for their case.
CASES: dict[str, tuple[list[Row], str]] = {
    "away": (_on("away", *["T" * 12] * 3), EVERYWHERE),
    "refuses from one day on": (_on("refuses", *[_since(10, "R")] * 4), EVERYWHERE),
    "two hosts refuse": (_together(["pair-a", "pair-b"], 20, "R", 4), EVERYWHERE),
    "three sites of one host refuse":
        (_together(["host-a", "host-b", "host-c"], 30, "R", 4, **SHARED), EVERYWHERE),
    "its name fails in all resolvers": (_on("nameless", "V" * 12, "W" * 12, "V" * 12), EVERYWHERE),
    "three hosts at once": (_together(["order-a", "order-b", "order-c"], 40, "R", 4), ""),
    "no such name anywhere": (_on("denied", *["B" * 12] * 3), ""),
    "another's certificate everywhere": (_on("forged", *["M" * 12] * 3), ""),
    "one network reaches it": (_on("reached", "R" * 12, "R" * 12, "O" * 12), ""),
    "silent on one network": (_on("otherwise", "R" * 12, "T" * 12, "R" * 12), ""),
    "its host is silent":
        (_together(["mute-a", "mute-b"], 50, "T", 1, host="mute"), HOST_SILENT),
    "its host is silent but for a neighbour":
        ([*_together(["spared-a", "spared-b"], 54, "T", 1, host="spared"),
          *_on("spared-c", OPEN, host="spared"), *_on("spared-d", OPEN, host="spared")], ""),
    "silent for days": (_on("route", "O" * 20 + "T" * 6 + "O" * 40, OPEN, OPEN), ROUTE_UNKNOWN),
    "silent for days, at the handshake":
        (_on("shaken", "O" * 24 + "S" * 6 + "O" * 40, OPEN, OPEN), ROUTE_UNKNOWN),
    "silent for longer": (_on("longer", "O" * 20 + "T" * 12 + "O" * 40, OPEN, OPEN), ""),
    "reset for days": (_on("cut", "O" * 20 + "R" * 6 + "O" * 40, OPEN, OPEN), ""),
    "silent twice":
        (_on("twice", "O" * 30 + "T" * 6 + "O" * 12 + "T" * 6 + "O" * 20, OPEN, OPEN), ""),
    "two of four operators' resolvers": (_together(["servers"], 60, "W", 2), RESOLVERS),
    "... for three hosts at once": (_together(["list-a", "list-b", "list-c"], 66, "W", 2), ""),
    "... one after the other":
        (_on("later", _since(40, "W"), _since(54, "W"), OPEN, OPEN), ""),
}  # fmt: skip
#: Case → the domain that is looked at.
DOMAINS = {name: rows[0]["domain"] for name, (rows, _) in CASES.items()}


@cache
def world() -> Judgement:
    usual = [row for n in range(7) for row in _on(f"usual-{n}", *[OPEN] * 4)]
    return judge([*usual, *(row for rows, _ in CASES.values() for row in rows)])


@pytest.mark.parametrize("name", CASES)
def test_a_rival_speaks_where_it_should_and_nowhere_else(name: str) -> None:
    """What it explains is withheld with its dates and its sentence; anything else is listed."""
    row, reason = verdict(world(), domain=DOMAINS[name]), CASES[name][1]
    assert (row["state"] in LISTED, row["note"] if reason else "") == (not reason, reason)
    withheld = world().withheld
    own = withheld[(withheld["domain"] == row["domain"]) & (withheld["probe_asn"] == 64500)]
    assert set(own["reason"]) == ({reason} if reason else set())


def _by_probes(letters: str, kinds: dict[str, dict[str, str]], asn: int) -> list[Row]:
    """Six sites on a network, each session of the kind of probe that its letter stands for; small
    letters are sessions that reach the site."""
    return [
        {**row, "software_name": "ooniprobe-android", **kinds[letter.upper()]}
        for n in range(6)
        for row, letter in zip(
            site(f"probed-{asn}-{n}", "".join("O" if c.islower() else "R" for c in letters),
                 asn=asn), letters, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("letters", "kinds", "is_explained"),
    [
        ("nnnnnAAnAAAAnAAA", {"A": OLD, "N": NEW}, True),
        ("nnnnnAAnBBAAnBBA", {"A": OLD, "B": {"software_version": "3.9.1"}, "N": NEW}, True),
        ("nnnnnAAnAAAAnAAA", {"A": APPLE, "N": OLD}, True),
        ("nnnnnAAnNAAAnNAA", {"A": OLD, "N": NEW}, False),
        ("nnnnnAAAAAAAAAAA", {"A": OLD, "N": NEW}, False),
        ("nnnnnAAnAAAAnAAA", {"A": OLD, "N": OLD}, False),
    ],
    ids=["one version", "that and older ones", "one platform", "others fail too",
         "others reached it before alone", "the same kind reaches it too"],
)  # fmt: skip
def test_one_kind_of_probe(letters: str, kinds: dict[str, dict[str, str]], is_explained: bool):
    """Each site has two sessions of others, too few to tell; all of them together do."""
    usual = [row for n in range(6) for row in _on(f"usual-{n}", *["O" * 20] * 3)]
    found = judge([*usual, *_by_probes(letters, kinds, ALL_NETWORKS[0])])
    own = found.verdicts[found.verdicts["domain"].str.startswith("probed")]
    assert set(own["state"]) == {"impaired" if is_explained else "likely_blocked"}
    assert set(own["note"]) == {ONE_KIND_OF_PROBE} if is_explained else found.withheld.empty
    assert len(found.defects) == (len(set(kinds) - {"N"}) if is_explained else 0)


def test_rivals_are_asked_in_order_and_each_says_what_it_asks() -> None:
    """Up to the one that spoke; a mark is asked of one kind of probe alone."""
    asked = answer_rivals("tcp.timeout", "likely_blocked", ROUTE_UNKNOWN)
    assert asked == [
        (RIVALS[0].question, "No."), (RIVALS[1].question, "No."),
        (RIVALS[2].question, ROUTE_UNKNOWN),
    ]  # fmt: skip
    assert answer_rivals("dns.loopback", "blocked") == [(RIVALS[-1].question, "No.")]
    assert [question for question, _ in answer_rivals("tls.reset", "likely_blocked")] == [
        RIVALS[0].question, RIVALS[-1].question
    ]  # fmt: skip
