"""Work around a report: drafts, decisions, audits, corrections, comparison, watching.

In: a report's tables, and what people wrote, claimed or decided. Out: sheets to fill in, decisions
that apply, statements that hold or do not, what changed between two reports, what is new.
Start at ``feedback`` for a meeting, ``audits`` for a draft's statements,
``changes`` for two reports of one country, ``countries_page`` for several countries,
``standing`` and ``watch_page`` for a rolling period.
"""
