"""From outcomes to one verdict for each site and network: state, mechanism, dates, a witness.

In: the table ``outcomes``. Out: the frames of ``verdicts.csv`` and ``blocking_intervals.csv``.
Evidence is counted in sessions; the evidence floor stands in ``states`` alone.
Start at ``verdicts.judge_cells``: ``sessions``, cut into ``intervals``, become ``states``;
``withholding`` takes back what one country's data cannot tell from a fault.
"""
