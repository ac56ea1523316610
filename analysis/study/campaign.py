"""A project's own measurements among a country's: those of its OONI Run links and its networks.

A country's totals are everybody's. What a project did can be told where its volunteers follow an
OONI Run link, whose number their probes send along, or where a network is the project's own.
"""

import re
from dataclasses import dataclass

from analysis.errors import ParameterError

_LINK, _NETWORK = re.compile(r"[0-9]{1,18}", re.ASCII), re.compile(r"AS[0-9]{1,10}", re.ASCII)
_MOST = 100  # of either


@dataclass(frozen=True)
class Campaign:
    """What counts as a project's own: measurements of a link, or on a network."""

    run_links: tuple[int, ...] = ()
    asns: tuple[int, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Campaign":
        """Read ``10182,AS38901``: numbers of OONI Run links and of networks.

        Raises:
            ParameterError: a part is neither.
        """
        parts = [part.strip().upper() for part in text.split(",") if part.strip()]
        wrong = [part for part in parts if not (_LINK.fullmatch(part) or _NETWORK.fullmatch(part))]
        if wrong or len(parts) > _MOST:
            accepted = "numbers of OONI Run links and of networks are accepted, as in 10182,AS38901"
            raise ParameterError("PROJECT", text, accepted)
        links = {int(part) for part in parts if _LINK.fullmatch(part)}
        asns = {int(part.removeprefix("AS")) for part in parts if _NETWORK.fullmatch(part)}
        return cls(tuple(sorted(links)), tuple(sorted(asns)))

    def __str__(self) -> str:
        return ",".join([*map(str, self.run_links), *(f"AS{asn}" for asn in self.asns)])

    def __bool__(self) -> bool:
        return bool(self.run_links or self.asns)

    @property
    def condition(self) -> str:
        """SQL over the columns of an observation: whether it is the project's own."""
        parts = []
        if self.run_links:
            # a probe that followed no link has none
            parts.append(f"coalesce(run_link_id IN ({', '.join(map(str, self.run_links))}), false)")
        if self.asns:
            parts.append(f"probe_asn IN ({', '.join(map(str, self.asns))})")
        return f"({' OR '.join(parts) or 'false'})"
