"""From a country's OONI measurements to a national internet-censorship report.

A folder imports only from folders above it in this list, and from the modules beside them, which
every folder may import: ``errors``, ``period``, ``hosts``, ``tables``, ``temporary_folders``,
the ``vocabulary`` and the ``headings`` of columns.

``languages``     the report's own sentences in another language; numbers and dates in words
``observations``  one JSON line → one observation
``reference``     countries, test lists, networks, events: what is known besides the measurements
``sources``       the only code that talks to a network
``store``         observations in Parquet, opened by DuckDB
``ingestion``     archive objects → the store
``outcomes``      observations → what each measurement shows at each layer
``sessions``      outcomes → sessions: the tests of a site on a network, in order of time
``chance``        sessions → how often each would fail if nobody blocked, and at which hours
``verdicts``      sessions and chance → a verdict for each site and network, with its dates
``app_verdicts``  the same of messaging apps and circumvention tools
``display``       a frame in, something to look at out
``findings``      what the notebooks call
``planning``      what is tested, what to test next, and the care of the test lists
``drafting``      what a meeting decides of a draft, and the sheets for it
``sites``         the tables, said site by site: the annex, a page for each, the index
``publishing``    notebooks → pages
``auditing``      a draft's statements, and an earlier report, held against a report's tables
``watching``      what is new since somebody last looked
``side_by_side``  several countries' tables, held beside each other
``validation``    the method against worlds with known truth
``simulate``      the fictional country; it imports none of the others
``commands``      the command line
"""
