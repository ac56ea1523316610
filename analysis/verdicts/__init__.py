"""From outcomes to one verdict for each site and network: state, mechanism, dates, a witness.

In: the table ``outcomes``. Out: ``Judgement``, the frames of ``verdicts.csv``,
``blocking_intervals.csv`` and ``withheld_intervals.csv``.
Start at ``sessions.add_sessions``, which sums up the measurements of one report and site, then at
``verdicts.judge_cells``: ``series`` orders the sessions of a site on a network, ``rates`` says how
often each would fail if nobody blocked, ``e_values`` how surprising they are together, ``blocks``
holds what is surprising against the evidence floor, ``rivals`` ask what else it could be.
``app_verdicts`` does the same for messaging apps.
"""
