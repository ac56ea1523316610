"""What each measurement shows: the first rule that fires at each layer, and the one that counts.

In: the table ``observations``. Out: the table ``outcomes``, one row a measurement.
The method is data: ``rules`` (with ``thresholds``); the columns they use: ``features.md``.
Start at ``outcomes.add_outcomes``; ``features`` computes columns from one measurement,
``profiles`` those that only many measurements show, ``guards`` takes broken sessions back.
"""
