"""How often the method is right: fictional worlds whose truth is known.

In: a simulator, handed in. Out: the CSVs of data/reference/validation that the report shows.
Nothing that the report on a real country says is computed here.
Start at ``worlds.validate``; ``scores`` compares one world with its truth, ``measures`` sums
up, ``results`` is what the page reads.
"""
