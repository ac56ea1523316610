"""A fictional country with known truth, written in the format of OONI's archive.

The world is simulated from the network up: names and servers, networks with resolvers, boxes
and bad links, probes that resolve, connect, shake hands and fetch, and a test helper abroad.
Nothing here knows how a judge judges, and no judge imports anything from here.
"""

from analysis.simulate.forgery import ForgedClaim
from analysis.simulate.writing import Summary, add_forgeries, write_world

__all__ = ["ForgedClaim", "Summary", "add_forgeries", "write_world"]
