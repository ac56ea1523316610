"""Outcomes of measurements: the first rule that fires at each layer, and the rule that decides.

In: the table ``observations``. Out: the table ``outcomes``, one row a measurement.
The method is data: ``rules`` (with ``thresholds``); the columns they use: ``features.md``.
Start at ``outcomes.add_outcomes``; ``controls`` and ``features`` compute a measurement's own
columns, ``profiles`` (``answers``, ``filters``, ``block_pages``) those of addresses and pages over
many names, ``devices`` finds the sessions of broken devices. A step is a named query in the
``.sql`` file beside its module; ``steps`` runs it, and ``macros`` are what several of them share.
"""
