"""Hard cases, on top of a world's ordinary year: each is one that real archives hold.

A world takes any of them by name, see ``CASES``. What they block is never blocked otherwise, so
that the truth of each name has one cause.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.worlds.censorship import Block, Censorship, WeekHours
from analysis.worlds.internet import RESET, TIMED_OUT
from analysis.worlds.names import Site
from analysis.worlds.numbering import stream
from analysis.worlds.operators import Network

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


@dataclass(slots=True)
class Additions:
    """What the cases add to who blocks what, and to what is tested."""

    blocks: list[Block] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)


def check_cases(cases: Collection[str]) -> None:
    """Refuse a case that is none."""
    for name in cases:
        if name not in CASES:
            raise ParameterError("cases", name, f"there are {', '.join(CASES)}")


def change_networks(cases: Collection[str], networks: Sequence[Network]) -> None:
    """Give networks the probes and the faults of the cases."""
    quiet = _of_style(networks, "open") + _of_style(networks, "flaky")
    if "mixed_versions" in cases:
        (quiet or list(networks))[0].fleet_share = 0.7
    if "lost_controls" in cases:
        for style in ("sinkhole", "flaky"):
            _of_style(networks, style)[0].lost_control_share = 0.5


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
    mechanisms: Collection[str] | None,
) -> Additions:
    """Decide where and when the cases' blocks hold, and who watches them.

    A period of less than three months has no room for them. A block that is not of the
    ``mechanisms`` asked for is left out.
    """
    added = Additions()
    if period.day_count < 90:
        return added
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
        ("exam_hours", access[:1], "tls.timeout", _EXAMS, 0.55),
        ("shared_exam_hours", access[1:3], "tls.reset", _MORNINGS, 0.3),
        ("short_stretches", access[:1], "tls.reset", None, 0.4),
    )
    for name, told, mechanism, hours, place in plans:
        is_possible = free and (mechanisms is None or mechanism in mechanisms)
        if name not in cases or not is_possible:
            continue
        site, others = free.pop(), free[:2]
        first = monday + 7 * int(period.day_count * place / 7)
        spans = [(first, first + 28)] if hours else _two_stretches(first)
        for network in told:
            added.blocks += [_break(site, network, mechanism, span, hours) for span in spans]
            hosts = (site.host, *(other.host for other in others))
            added.watches.append(Watch(network.asn, hosts, first - 7, first + 35))
    return added


def _two_stretches(monday: int) -> list[tuple[float, float]]:
    """Thursday morning to Friday night, and from Monday for eleven days."""
    return [(monday + 3 + 9 / 24, monday + 5), (monday + 7, monday + 18)]


def _break(
    site: Site,
    network: Network,
    mechanism: str,
    span: tuple[float, float],
    hours: WeekHours | None,
) -> Block:
    failure = TIMED_OUT if mechanism == "tls.timeout" else RESET
    return Block(site.host, network.asn, mechanism, *span, "by exam hours" if hours else "short",
                 tls_failure=failure, http_failure=failure, hours=hours)  # fmt: skip


def _of_style(networks: Sequence[Network], style: str) -> list[Network]:
    return [network for network in networks if network.style == style]
