"""Where measurements come from: the only code that touches a network.

In: what ``SOURCE`` and ``STORE`` name. Out: objects of an archive, files of a store, API replies.
Every wait, size and retry is bounded; an error says which host and why, in one line.
Start at ``buckets.open_source``, which has the archives on servers; ``archive_files`` has the keys
of OONI's, ``web`` the one way to ask over HTTP, ``objectstore`` where a store lives, ``api``
OONI's counts, ``reference_data`` the lists of others, ``schedulers`` a cluster.
"""
