"""A frame in, something to look at out: tables, figures and the spreadsheet.

In: small pandas frames. Out: HTML or SVG in a notebook, or an XLSX file.
Knows no study. Every text is escaped here, at the source.
Start at ``show``, what a notebook calls; ``cells`` writes one value, ``style`` is the look of
figures, which ``bars``, ``grids`` and ``timeline`` draw.
"""
