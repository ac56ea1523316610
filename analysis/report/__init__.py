"""The content of a report: tables, findings in words and figures, the annex, a page a site.

In: verdicts and the opened study. Out: the tables of docs/tables.md, findings and their sentences.
Nothing here decides a verdict.
Start with the module of a page: ``annex``, ``differences``, ``app_tables`` …; ``findings`` makes
their numbers and those of the first page, ``charts`` draws their figures, ``finding_words`` and
``verdict_words`` say them by the templates in ``templates/``, ``site_pages`` makes the page of each
site.
"""
