"""A fictional country with known truth, written in the format of OONI's archive.

In: a seed, a country code and a period. Out: an archive, and the truth in a folder beside it.
Simulated from the network up: names and servers, networks with resolvers, boxes and bad links,
probes and a test helper. Nothing here knows how a judge judges, and no judge imports it.
Start at ``writing.write_world``; ``world`` says what happens in it.
"""
