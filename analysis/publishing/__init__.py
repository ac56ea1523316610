"""From notebooks to a folder of HTML pages that loads nothing from anywhere.

In: notebooks and parameters. Out: pages, ``tables/``, ``run.json``: all of them or none.
Knows no study.
Start at ``publishing.publish``: ``parameters`` are checked, ``execution`` runs a notebook by
papermill, ``rendering`` makes its page with the templates in ``page/``, ``replacing`` puts the
new report in the place of the earlier one.
"""
