"""One JSON line of OONI's archive becomes one observation: a row of typed columns.

In: the bytes of a measurement, and OONI's fingerprints. Out: a ``schema.Observation``.
Uses no network and reads no file but the fingerprints. Every text from outside is cut to a fixed
length. Start at ``observation.observe``. ``messages`` declares OONI's JSON, ``attempts`` reads the
lookups, connections and handshakes, and ``messaging.observe`` the tests of apps and tools.
"""
