"""One study: a country, a period, its parameters and lists, and the judgement of its observations.

In: parameters and an opened store. Out: ``Study``, its judgement, and the folder in which notebooks
hand tables on.
Start at ``study.study_of``, which opens everything a notebook works on, by its ``parameters``;
``confirmation.confirm`` judges, through stages that are kept on disk.
"""
