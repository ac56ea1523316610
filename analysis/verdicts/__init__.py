"""From outcomes to one verdict for each site and network: state, mechanism, dates, a witness.

In: the table ``outcomes``. Out: ``Judgement``, the frames of ``verdicts.csv``,
``blocking_intervals.csv``, ``blocked_addresses.csv`` and ``withheld_intervals.csv``.

The modules in the order in which they run, each a section of docs/method.md: ``sessions`` sums up
the measurements of a site in one run of a probe. ``pairs`` has the sessions of a site on a network,
and those that count for each kind of failure; ``together`` has the one question of causes.
``addresses`` has the same of addresses that several sites share. ``rates`` says how often each
would fail by accident.
``hours`` finds hours of the week, ``evidence`` says how surprising the failures are, ``stretches``
when they begin and end, and ``floors`` whether they are enough. ``rivals`` and ``probes`` ask what
else it could be. ``reasons`` say why something is not listed, ``caveats`` what cannot be told of
something that is, ``states`` what a pair is in a period, ``set_aside`` why a site with problems is
not on the list, and ``flips`` what a forger would need. ``intervals``, ``verdicts`` and
``witnesses`` make the tables.

Start at ``judge.judge_pair``, which takes the first steps for one pair, then at
``verdicts.judge_cells``, which judges a country. ``app_verdicts`` does the same for messaging apps.
"""
