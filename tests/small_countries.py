"""The small country of ``golden/dates-*.csv``: sites of many kinds on few networks.

No other test reads these sites. Each test of a subject has rows of its own, so that a row changed
for one of them changes neither another test nor a golden file.
"""

from datetime import datetime, timedelta

from tests.letters import (
    ALL_NETWORKS,
    DAY_ONE,
    VPN,
    everywhere,
    site,
    site_at,
    through,
    usual_sites,
)
from tests.observations import Row
from tests.situations import redirected

#: Where the halves of the country's period meet.
SPLIT = "2024-02-15"
_NETWORK_ABROAD = 64999
#: Site on the first network → its days; the second network reaches each every fourth day.
_DATED = {
    "imposed": "O" * 46 + "B" * 45,
    "lifted": "B" * 20 + "O" * 71,
    "imposed-twice": "O" * 20 + "B" * 20 + "O" * 31 + "B" * 20,
    "imposed-and-lifted": "O" * 20 + "B" * 20 + "O" * 51,
    "30-days-before-the-end": "O" * 42 + "B" * 20,
    "31-days-before-the-end": "O" * 41 + "B" * 20,
    "never-seen-open": "B" * 20,
    "down-at-the-end": "O" * 60 + "B" * 20 + "D",
    "no-control-at-the-end": "O" * 60 + "B" * 20 + "NNN",
    "never-blocked": "O" * 30,
}
#: Site on the first network → its days; the second network reaches each every day.
_OPEN_ELSEWHERE = {
    "for-six-days": "O" * 20 + "T" * 6 + "O" * 54,
    "long-over-the-split": "O" * 39 + "S" * 30,
}
#: Site that the first network alone tests → its days.
_ALONE = {
    "with-a-hole": "B" * 10 + "." * 40 + "B" * 10,
    "loop": "L" * 10,
    "marked-twice": "O" * 20 + "K" + "O" * 20 + "K" + "O" * 20,
    "marked-once": "O" * 20 + "K" + "O" * 40,
    "two-ways": "B" * 9 + "R" * 8,
    "tie": "BR" * 6,
    "all-along": "B" * 90,
    "opened-between": "KKK" + "OOOO" + "KKK",
    "since-the-split": "O" * 45 + "B" * 40,
    "marked-before-the-split": "." * 36 + "K" * 9 + "KBBBB",
    "time-outs-between": "O" * 15 + "L" * 15 + "TOOT" * 3 + "L" * 15 + "O" * 15,
    "mixed-kinds": "BRTBRTBRT",
    "name-and-page": "RPT" * 8,
    "two-lookups": "VEWEVWE" * 2,
    "private-again": "O" * 10 + "L" * 10 + "O" * 25 + "L" * 12 + "O" * 10,
}


def dates() -> list[Row]:
    """Rows of the country: one web measurement each, of three access networks and a VPN."""
    second = ALL_NETWORKS[1]
    return [
        *usual_sites(),
        *(row for name, letters in _DATED.items() for row in site(name, letters)),
        *(row for name in _DATED for row in site(name, "O..." * 22, asn=second)),
        *(row for name, letters in _OPEN_ELSEWHERE.items() for row in site(name, letters)),
        *(row for name in _OPEN_ELSEWHERE for row in site(name, "O" * 80, asn=second)),
        *(row for name, letters in _ALONE.items() for row in site(name, letters)),
        *everywhere("F" * 12, "refuses.example"),
        *site("refuses", "O" * 12, asn=VPN),
        *everywhere("FOO" * 5, "challenge.example"),
        *everywhere("FBB" * 5, "challenged.example"),
        *_several_a_day(),
        *_by_hours(),
        *_across_the_split(),
        *_through_resolvers(),
        *_redirected(),
    ]


def _several_a_day() -> list[Row]:
    """Two days of blocks with several sessions each: beside a longer block, alone, and twice."""
    return [
        *site("short-beside-long", "O" * 20),
        *site("short-beside-long", "RR", start=20, per_day=7),
        *site("short-beside-long", "O" * 28, start=22),
        *site("short-beside-long", "R" * 11, start=50, per_day=2),
        *site("short-beside-long", "O" * 20, start=61),
        *site("short-alone", "O" * 6, start=14),
        *site("short-alone", "KK", start=20, per_day=7),
        *site("short-alone", "O" * 6, start=22),
        *site("short-twice", "O" * 12),
        *site("short-twice", "KK", start=12, per_day=3),
        *site("short-twice", "O" * 9, start=14),
        *site("short-twice", "KK", start=23, per_day=3),
        *site("short-twice", "O" * 40, start=25),
    ]


def _by_hours() -> list[Row]:
    """A site tested every third hour for nine weeks and reset at six on weekdays of four weeks."""
    return [
        row
        for day in range(63)
        for hour in range(0, 24, 3)
        for row in site_at(
            "exams",
            "R" if 14 <= day < 42 and day % 7 < 5 and hour == 6 else "O",
            day=day,
            hour=hour,
        )
    ]


def _across_the_split() -> list[Row]:
    """Reports that begin in the first half and go on in the second."""
    (row,) = site("across", "O", report_id="long")
    before = datetime(2024, 2, 14, 23, 59)
    after = before + timedelta(minutes=2)
    rows = [
        {**row, "measurement_start_time": before},
        {**row, "input": "http://across.example/", "measurement_start_time": after},
        *site("begun-before", "." * 45 + "B" * 20),
    ]
    for number in range(5):
        report = f"begun-{number}"
        rows += site("begun-before", "N", start=38 + number, report_id=report)
        rows += site("begun-before", "B", start=46 + number, report_id=report)
    return rows


def _through_resolvers() -> list[Row]:
    """Private addresses from another resolver than the network's own: abroad, and in the country.

    ``chosen`` and the two filters are reached through the network's own resolver as well.
    """
    rows = through(_NETWORK_ABROAD, site("asked-abroad", "L" * 10))
    rows += site("chosen", "OO." * 4)
    rows += through(_NETWORK_ABROAD, site("chosen", "..L" * 4))
    for name, resolver in {
        "filter-abroad": _NETWORK_ABROAD,
        "filter-at-home": ALL_NETWORKS[1],
    }.items():
        rows += site(name, "O" * 30)
        rows += [
            {**row, "report_id": f"{row['report_id']}-chosen"}
            for row in through(resolver, site(name, "L" * 30, per_day=2))
        ]
    return rows


def _redirected() -> list[Row]:
    """A site that redirects to another site, where the connection is reset."""
    row = redirected("elsewhere.example", "connection_reset")
    return [
        {
            **row,
            "report_id": f"sent-on-{n}",
            "domain": "sent-on.example",
            "measurement_start_time": DAY_ONE + timedelta(days=n),
        }
        for n in range(20)
    ]
