"""One JSON line of OONI's archive becomes one observation: a row of typed columns.

In: the bytes of a measurement, and OONI's fingerprints. Out: a ``schema.Observation``.
No network, and of files only the fingerprints; every text from outside is bounded here.
Start at ``observation.observe``; ``messages`` is OONI's JSON, ``attempts`` what a probe tried, and
``messaging.observe`` reads the tests of apps and tools.
"""
