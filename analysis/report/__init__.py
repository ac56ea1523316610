"""What the report says: its tables, its findings in words and figures, the annex, a page a site.

In: verdicts and the opened study. Out: the tables of docs/tables.md, findings and their sentences.
Nothing here decides a verdict.
Start with the module of a page: ``halves``, ``annex``, ``differences``, ``app_tables`` …;
``headlines`` makes their numbers, ``charts`` words their findings and draws their figures,
``findings`` collects those of the first page, ``site_pages`` makes the page of each site.
"""
