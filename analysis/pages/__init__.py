"""Pages of a report from frames and notebooks: HTML that loads nothing from elsewhere.

In: a frame, for a table, a figure or a spreadsheet; notebooks and parameters, for a report. Out:
pages, ``tables/`` and ``run.json``: all of them or none. Nothing here depends on a study.
Start at ``show`` for what a notebook displays, and at ``publishing.publish`` for a report: it runs
the notebooks with papermill, one after another, ``rendering`` makes a page of each with the
templates in ``page/``, ``replacing`` puts the new report in the place of the earlier one.
"""

import sys

# If jsonschema finds this package, it takes a second to compile a grammar of addresses as soon as
# nbformat is imported. No notebook schema needs it, and jsonschema works without it.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
