"""What each measurement shows: the first rule that fires at each layer, and the one that counts.

In: the table ``observations``. Out: the table ``outcomes``, one row a measurement.
The method is data: ``rules`` (with ``thresholds``); the columns they use: ``features.md``.
Start at ``outcomes.add_outcomes``; ``controls`` and ``features`` compute columns from one
measurement, ``profiles`` (``answers``, ``filters``, ``block_pages``) those that only many show,
``guards`` takes broken sessions back. A step is a named query; ``macros`` runs it.
"""
