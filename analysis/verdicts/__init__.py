"""From sessions to one verdict for each site and network: state, mechanism, dates, a witness.

In: the tables ``outcomes`` and ``sessions``, and what ``chance`` expects of them.
Out: ``Judgement``, the frames of ``verdicts.csv``, ``blocking_intervals.csv`` and
``withheld_intervals.csv``. Start at ``verdicts.judge_cells``.
``blocks`` holds what is surprising against the floor (``states``), ``versions`` and ``withholding``
take back what is a defect, and what one country's data cannot tell from a fault; ``cells`` and
``reasons`` say what is left, ``robustness`` how firm.
"""
