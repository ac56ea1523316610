"""What somebody wrote, or an earlier report said, held against a report's tables.

In: a draft's statements as data, published counts, one report or two. Out: ``claims_audit.csv`` and
its page; ``changes.csv`` and its words.
No verdict is computed here, and no statement is read by a machine: people write down what it says.
Start at ``audit.audit_claims``: ``claims`` reads the file, ``lookups`` finds a number in a table,
``relations`` holds numbers against each other. ``changes.compare_reports`` compares two reports.
"""
