"""Coverage of the tests, plans for volunteers, and corrections of the test lists.

In: the opened study, its verdicts and lists. Out: ``coverage_by_month``, ``indicators``,
``what_to_test``, ``testing_plan`` and ``list_care``, and files that a coordinator can paste.
Nothing here decides a verdict, and nothing names a volunteer.
Start at ``coverage``, which notebook 9 calls; ``ranking`` scores,
plans a week and says what volunteers may be handed, ``list_care`` reads the lists line by line.
"""
