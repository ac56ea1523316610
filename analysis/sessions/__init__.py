"""From outcomes to sessions: what each test of a site on a network saw, and in which order.

In: the table ``outcomes``. Out: the table ``sessions``, one row a report, site and network, with
its class and kind of failure. Start at ``sessions.add_sessions``.
``columns`` are the same sessions as numbers; ``series`` those of one site on one network in order
of time, seen as hits and misses of one kind of failure.
"""
