"""How likely a site's failures are if nobody blocks it, and when it fails: the model of chance.

In: ``sessions.columns`` and ``sessions.series``. Out: an ``Expectation`` of every session.
Start at ``expectation.learn_expectation``. ``rates`` (from ``facts``) say how often each session
would fail by chance, ``hours`` and ``schedules`` at which hours of the week a site fails, for all
sites in ``site_schedules``, beside what whole ``days`` explain. ``e_values`` weigh failures against
the rates, ``stretches`` say from when to when.
"""
