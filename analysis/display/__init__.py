"""A frame in, something to look at out: tables, figures and the spreadsheet.

In: small pandas frames. Out: HTML or SVG in a notebook, or an XLSX file.
Knows no study. Every text is escaped here, at the source.
Start at ``show``, what a notebook calls. ``tables`` and ``cells`` say what a table holds,
``templates/`` how it is written and looks, ``markup`` keeps it inert. ``style`` is the look of
figures, which ``bars``, ``grids``, ``series`` and ``tracks`` draw.
"""
