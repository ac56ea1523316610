"""From notebooks to a folder of HTML pages that loads nothing from anywhere.

In: notebooks and parameters. Out: pages, ``tables/``, ``run.json``: all of them or none.
Knows no study.
Start at ``publishing.publish``: ``parameters`` are checked, ``scheduling`` says which notebooks
run side by side, ``execution`` runs one by papermill in one of the ``kernels``, ``rendering``
makes its page with the templates in ``page/``, ``replacing`` puts the new report in the place of
the earlier one.
"""

import sys

# Where jsonschema finds this package it compiles a grammar of addresses, for a second, as soon as
# nbformat is imported. No schema of a notebook asks for it, and jsonschema does without.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
