"""What the report says: its tables, its findings in words and figures, the annex, a page a site.

In: verdicts and the opened study. Out: the tables of docs/tables.md, findings and their sentences.
Nothing here decides a verdict.
Start with the module of a page: ``halves``, ``annex``, ``differences``, ``app_tables`` …;
``page_claims`` words their findings, ``charts`` draws their figures, ``summary`` collects those of
the first page, ``site_pages`` makes the page of each site.
"""
