"""One study: a country, a period, its parameters and lists, and the judgement of its observations.

In: parameters and an opened store. Out: ``Study``, its judgement, and the folder through which
notebooks share tables. Start at ``study.study_of``, which opens all data of a notebook by its
``parameters``; ``confirmation.confirm`` judges, in stages that are kept on disk.
"""
