"""From outcomes to one verdict for each site and network: state, mechanism, dates, a witness.

In: the table ``outcomes``. Out: the frames of ``verdicts.csv`` and ``blocking_intervals.csv``.
Evidence is counted in sessions; what a state needs of it stands in ``states``.
Start at ``verdicts.judge_cells``. ``blocks.judge_intervals`` runs the steps: ``sessions``, cut into
``intervals``, get ``states``; ``withholding`` withdraws what one country's data cannot tell from
a fault.
"""
