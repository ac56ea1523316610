"""What the notebooks call: each module computes the tables of one part of the report.

In: verdicts and the opened study. Out: the tables of docs/tables.md, findings and their sentences.
Nothing here decides a verdict.
Start at ``study.study_of``, which opens everything a notebook works on, by its ``parameters``;
then one module a page: ``confirmation``, ``halves``, ``annex``, ``differences`` … ``claims`` words
their findings and ``charts`` draws their figures; ``following`` and ``flips`` are for who doubts.
"""
