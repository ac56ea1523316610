"""Countries side by side: reports of one method and one period, and what can be compared of them.

In: the reports' tables. Out: ``side_by_side.csv`` and its two companions, and their page.
No number is computed of measurements here, and no country is ranked: what was tested, how often and
on which networks differs too much for totals to say anything.
Start at ``counting.compare_countries``; ``page`` words it.
"""
