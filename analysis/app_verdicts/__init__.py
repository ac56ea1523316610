"""Verdicts on messaging apps and circumvention tools, whose tests have no control.

In: the outcomes of their tests, and other countries' tests of the same weeks (``elsewhere``).
Out: rows like those of sites, by the same sessions, chance and hours.
Start at ``messaging.judge_messaging``; ``country_counts`` judges what OONI counted of a whole
country, where no networks are known.
"""
