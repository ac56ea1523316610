"""From a country's OONI measurements to a national internet-censorship report.

The layers, lowest first, are described in docs/architecture.md.
"""
