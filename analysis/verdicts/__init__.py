"""From outcomes to one verdict for each site and network: state, mechanism, dates, a witness.

In: the table ``outcomes``. Out: ``Judgement``, the frames of ``verdicts.csv``,
``blocking_intervals.csv`` and ``withheld_intervals.csv``. Start at ``verdicts.judge_cells``.
``sessions``, read as ``columns``, become ``series`` of one kind of failure; ``rates`` (from
``facts``) say how often each would fail by chance, ``schedules`` at which hours: the
``expectation``. ``chance`` weighs against it, ``stretches`` say when; ``blocks`` holds them against
the floor (``states``), ``withholding`` takes back what one country's data cannot tell from a fault;
``cells`` and ``reasons`` say what is left, ``robustness`` how firm.
"""
