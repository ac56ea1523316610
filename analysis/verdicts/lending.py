"""What begins on one day speaks for each other: evidence that sites of other hosts lend."""

from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from analysis.verdicts.blocks import LOWER_LINE, Evidence
from analysis.verdicts.columns import BLOCKED, OK
from analysis.verdicts.onsets import Onset, by_manner, meeting
from analysis.verdicts.series import FAILING, MARK

#: Most sites tested in so many days afterwards were reached, or the network itself has failed.
_AFTER_DAYS = 7
#: So many others lend.
_LENDERS = 2


def lend(evidence: Evidence, line: float) -> NDArray[np.float64]:
    """The logarithm of the evidence that each series needs: the line, or less.

    A series below the line needs no more than ``LOWER_LINE`` if it and the two best of other hosts
    on the same network, which begin to fail in the same kind within days, reach the line's square
    together, and most sites tested there in the week after were reached.

    Args:
        evidence: of all series.
        line: the logarithm of the evidence that one needs by itself.
    """
    lines = np.full(len(evidence.series.kind), line)
    told = evidence.log_evidence
    for begun in by_manner(_find_onsets(evidence)):
        for same, near in meeting(begun):
            lent: dict[int, float] = {}
            for other in near:
                lent[other.host] = max(lent.get(other.host, 0.0), told[other.number])
            best = sorted(lent.items(), key=itemgetter(1), reverse=True)[: _LENDERS + 1]
            borrowers = []
            for one in same:
                others = [value for host, value in best if host != one.host][:_LENDERS]
                is_enough = len(others) == _LENDERS and told[one.number] + sum(others) >= 2 * line
                if told[one.number] < line and is_enough:
                    borrowers.append(one.number)
            if borrowers and _is_network_open(evidence, same[0]):
                lines[borrowers] = LOWER_LINE
    return lines


def _find_onsets(evidence: Evidence) -> list[Onset]:
    """When the longest stretch of each series began; of known hosts, and with evidence to lend.

    Their ``number`` is that of the series, and their manner has the network.
    """
    series, stretches = evidence.series, evidence.stretches
    is_asked = (stretches["kind"] < FAILING) & (stretches["kind"] != MARK)
    is_asked &= evidence.log_evidence[stretches["series"]] >= LOWER_LINE
    told = stretches[is_asked]
    told = told.assign(length=told["last"] - told["first"])
    told = told.sort_values(["series", "length"]).drop_duplicates("series", keep="last")
    is_open = np.flatnonzero(~series.is_hit & (series.column("class") == OK))
    day = series.column("day").astype("datetime64[D]").astype(np.int64)
    host, onsets = evidence.expected.sessions.layout.host, []
    row = series.row[told["first"]]
    domains, networks = (series.look_up(name, row).tolist() for name in ("domain", "network"))
    places = told[["series", "first", "last"]].to_numpy(np.int64).tolist()
    for (number, first, last), domain, network in zip(places, domains, networks, strict=True):
        before = int(np.searchsorted(is_open, first)) - 1
        place = int(is_open[before]) if before >= 0 else -1
        onsets.append(Onset(
            number, f"{network} {series.kind[number]}", str(domain), "", int(host[domain]), network,
            int(day[place]) if place >= series.starts[number] else -1, int(day[first]),
            int(day[last]),
        ))  # fmt: skip
    return [one for one in onsets if one.is_known and one.host]


def _is_network_open(evidence: Evidence, onset: Onset) -> bool:
    """Whether most sites tested on the network in the week from its day on were reached."""
    sessions = evidence.expected.sessions
    layout = sessions.layout
    first = onset.day - layout.first_day.astype("datetime64[D]").astype(np.int64)
    inside = layout.rows["day"].to_numpy()
    cell = layout.cell
    is_near = (inside >= first) & (inside <= first + _AFTER_DAYS)
    is_near &= layout.of_cells("network")[cell] == onset.operator
    state, site = sessions.state[is_near], layout.of_cells("domain")[cell[is_near]]
    count = int(site.max(initial=0)) + 1
    opened, blocked = (np.bincount(site[state == one], minlength=count) for one in (OK, BLOCKED))
    tested = opened + blocked > 0
    return bool(2 * np.count_nonzero(opened > blocked) >= np.count_nonzero(tested))
