"""Addresses and AS numbers of the fictional country: documentation ranges only.

Addresses come from RFC 5737 and RFC 3849, AS numbers from RFC 5398 (and, past the sixteenth
network, from the private range of RFC 6996), so that nothing in a fictional archive can be
mistaken for a real network.

Seeded streams of chance, one for each thing that happens.

A stream of its own for each part of the world keeps the rest of the world as it was when one
part is changed. Strings seed ``random.Random`` through SHA-512, so no stream depends on
PYTHONHASHSEED.
"""

from ipaddress import ip_network
from random import Random

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def stream(seed: int, *labels: object) -> Random:
    """The stream of chance for what ``labels`` name, in the world of ``seed``."""
    return Random("/".join(str(label) for label in (seed, *labels)))


def token(rng: Random, length: int = 16) -> str:
    """A random name such as the ones that a collector gives to reports."""
    return "".join(rng.choices(_ALPHABET, k=length))


#: Networks that hold probes; most worlds use the first of them.
ACCESS_ASNS = tuple(range(64496, 64528))
#: Networks that hold web servers, test helpers and public resolvers.
CONTENT_ASNS = tuple(range(65536, 65552))

_RANGES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
_CHUNK = 8


class AddressPlan:
    """Who holds which address: /29 blocks dealt out by the seed.

    Every AS holds at least one block; networks with web servers share the ones left over.
    """

    def __init__(self, seed: int, access_count: int) -> None:
        blocks = [block for text in _RANGES for block in ip_network(text).subnets(new_prefix=29)]
        stream(seed, "address-plan").shuffle(blocks)
        holders = list(ACCESS_ASNS[:access_count] + CONTENT_ASNS)
        self._asns: dict[str, int] = {}
        self._free: dict[int, list[str]] = {asn: [] for asn in holders}
        holders += [CONTENT_ASNS[i % len(CONTENT_ASNS)] for i in range(len(blocks) - len(holders))]
        self._v6_count = dict.fromkeys(self._free, 0)
        for asn, block in zip(holders, blocks, strict=True):
            for offset in range(_CHUNK):
                address = block.network_address + offset
                if int(address) % 256 not in (0, 255):
                    self._asns[str(address)] = asn
                    self._free[asn].append(str(address))

    def take(self, asn: int) -> str:
        """A free IPv4 address of the network."""
        return self._free[asn].pop(0)

    def free_count(self, asn: int) -> int:
        """How many IPv4 addresses the network has left."""
        return len(self._free[asn])

    def take_v6(self, asn: int) -> str:
        """A free IPv6 address of the network, written as RFC 5952 wants it."""
        self._v6_count[asn] += 1
        address = f"2001:db8:{asn % 65536:x}::{self._v6_count[asn]:x}"
        self._asns[address] = asn
        return address

    def asn(self, address: str) -> int:
        """The network that holds the address; 0 for loopback and private ones."""
        return self._asns.get(address, 0)
