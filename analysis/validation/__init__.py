"""How often the method is right: fictional worlds whose truth is known.

In: a simulator, handed in. Out: the CSVs of data/reference/validation that the report shows.
No verdict of a report is computed here; its page on how far to trust them is.
Start at ``worlds.validate``; ``scores`` compares one world with its ``truth``, ``measures`` sums
up, ``results`` is what the page reads; ``steering`` and ``apps`` have worlds of their own.
"""
