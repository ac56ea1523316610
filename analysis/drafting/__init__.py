"""What people decide of a draft: their decisions, and the sheets that they write them on.

In: ``data/review/<cc>.yml``, a filled-in feedback sheet, a report's tables. Out: ``decisions.csv``,
``feedback.xlsx`` and the printed form; the same YAML with what the sheet brings.
No verdict changes here, and no measurement is left out: a decision stands beside what it is about.
Start at ``decisions.load_decisions``; ``feedback`` writes the sheet and the form, ``filled_sheet``
reads a sheet back, ``merging`` brings it into the file.
"""
