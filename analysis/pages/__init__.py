"""From frames and notebooks to a folder of HTML pages that loads nothing from anywhere.

In: a frame, for a table, a figure or a spreadsheet; notebooks and parameters, for a report. Out:
pages, ``tables/`` and ``run.json``: all of them or none. Knows no study.
Start at ``show`` for what a notebook displays, and at ``publishing.publish`` for a report: it runs
the notebooks with papermill, one after another, ``rendering`` makes a page of each with the
templates in ``page/``, ``replacing`` puts the new report in the place of the earlier one.
"""

import sys

# Where jsonschema finds this package it compiles a grammar of addresses, for a second, as soon as
# nbformat is imported. No schema of a notebook asks for it, and jsonschema does without.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
