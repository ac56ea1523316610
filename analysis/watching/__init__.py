"""What is new since somebody last looked: early warning, by the judge of the report.

In: the opened study of a rolling period, and what the last look kept. Out: ``watch.csv`` and
``watch_standing.csv``, and the page of both.
No verdict is made here that a report of the same period would not give.
Start at ``standing.find_standing``, and ``apps`` for apps and tools; ``news`` compares two of
them, ``looks`` reads what the last one kept, ``page`` words the news.
"""
