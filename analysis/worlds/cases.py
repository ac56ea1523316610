"""Hard cases, on top of a world's ordinary year: each is one that real archives hold.

A world takes any of them by name, see ``CASES``. What they block is never blocked otherwise, so
that the truth of each name has one cause.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from analysis.period import Period
from analysis.worlds.censorship import Block, Censorship, WeekHours
from analysis.worlds.country import Network, Site, stream
from analysis.worlds.internet import RESET, TIMED_OUT

#: What each case adds, by name.
CASES = {
    "exam_hours": "a site blocked on one network at the hours of school exams, for four weeks",
    "shared_exam_hours": "another, at the hours of other exams, on two networks",
    "short_stretches": "a site blocked for two working days, open at the weekend, then blocked "
    "for eleven days",
    "overloaded_sites": "sites whose tests time out by a third, on every network, all year",
    "mixed_versions": "a network most of whose probes distrust a certificate authority",
    "lost_controls": "a network that blocks and one that does not, half of whose tests lack a "
    "control",
    "no_addresses": "one session in three does not say to which address a request went",
}
_EXAMS = WeekHours(0, 4, ((4, 8), (10, 14)))
_MORNINGS = WeekHours(6, 3, ((5, 9),))
_OVERLOADED_COUNT = 4


@dataclass(frozen=True, slots=True)
class Watch:
    """Some names that probes test many times a day while an event is expected."""

    asn: int
    hosts: tuple[str, ...]
    start: int
    stop: int
    sessions_per_day: int = 7


def change_networks(cases: Collection[str], networks: Sequence[Network]) -> None:
    """Give networks the probes and the faults of the cases."""
    first = {network.style: network for network in reversed(networks)}
    if "mixed_versions" in cases:
        first["open" if "open" in first else "flaky"].fleet_share = 0.7
    if "lost_controls" in cases:
        for style in ("sinkhole", "flaky"):
            first[style].lost_control_share = 0.5


def change_sites(cases: Collection[str], seed: int, sites: Sequence[Site]) -> None:
    """Overload some sites, before anybody decides what to block."""
    if "overloaded_sites" in cases:
        free = [s for s in sites if s.situation == "live" and s.is_alone and len(s.inputs) == 1]
        for site in stream(seed, "overload").sample(free, min(_OVERLOADED_COUNT, len(free))):
            site.situation, site.overload = "overloaded", 0.34


def add_cases(
    cases: Collection[str],
    seed: int,
    period: Period,
    networks: Sequence[Network],
    sites: Sequence[Site],
    censorship: Censorship,
) -> tuple[list[Block], list[Watch]]:
    """Where and when the cases' blocks hold, and who watches them.

    A period of less than three months has no room for them.
    """
    blocks: list[Block] = []
    watches: list[Watch] = []
    if period.day_count < 90:
        return blocks, watches
    taken = {block.host for block in censorship.blocks}
    free = [s for s in sites if s.situation == "live" and s.is_https and s.host not in taken
            and s.authority == "first" and len(s.inputs) == 1]  # fmt: skip
    stream(seed, "cases").shuffle(free)
    access = [
        n for n in networks if n.kind in ("isp", "mobile") and n.style not in ("flaky", "thin")
    ]
    stream(seed, "told").shuffle(access)
    monday = -period.since.weekday() % 7
    plans = (
        ("exam_hours", access[:1], TIMED_OUT, _EXAMS, 0.55),
        ("shared_exam_hours", access[1:3], RESET, _MORNINGS, 0.3),
        ("short_stretches", access[:1], RESET, None, 0.4),
    )
    for name, told, failure, hours, place in plans:
        if name not in cases or not free:
            continue
        site, others = free.pop(), free[:2]
        first = monday + 7 * int(period.day_count * place / 7)
        spans: list[tuple[float, float]] = [(first, first + 28)]
        if hours is None:  # Thursday morning to Friday night, and from Monday for eleven days
            spans = [(first + 3 + 9 / 24, first + 5), (first + 7, first + 18)]
        mechanism = "tls.timeout" if failure == TIMED_OUT else "tls.reset"
        detail = "by exam hours" if hours else "short"
        for network in told:
            blocks += [
                Block(site.host, network.asn, mechanism, *span, detail, tls_failure=failure,
                      http_failure=failure, hours=hours)
                for span in spans
            ]  # fmt: skip
            hosts = (site.host, *(other.host for other in others))
            watches.append(Watch(network.asn, hosts, first - 7, first + 35))
    return blocks, watches
