"""From a country's OONI measurements to a national internet-censorship report.

A folder imports only from folders above it in this list, and from the modules beside them,
which every folder may import: ``columns``, ``errors``, ``files``, ``hosts``, ``period``, the
digests of ``source_code``, ``sql``, ``tables``, ``temporary_folders`` and the ``vocabulary``.

``languages``     the report's own sentences in another language; numbers and dates in words
``observations``  one JSON line → one observation
``reference``     countries, test lists, networks, events: what is known besides the measurements
``sources``       the only code that talks to a network
``store``         archive objects → observations in Parquet, opened by DuckDB
``outcomes``      observations → what each measurement shows at each layer
``verdicts``      outcomes → sessions → a verdict for each site and network, with its dates
``pages``         frames and notebooks → tables, figures, pages; knows no study
``study``         one country and period: parameters, lists, and the stages of its judgement
``report``        the tables, findings, figures and site pages of a report
``planning``      what is tested, what to test next, and the care of the test lists
``review``        what people say and decide about a report, and what changed since another one
``worlds``        the fictional country, and the method against worlds with known truth
``commands``      the command line
"""
