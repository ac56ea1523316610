"""Sources of measurements: the only code that uses a network.

In: the values of ``SOURCE`` and ``STORE``. Out: objects of an archive, files of a store, API
replies. Every wait, size and retry is limited; an error names the host and the reason in one line.
Start at ``buckets.open_source``, which opens archives on servers. ``archive_files`` has folders and
the keys of OONI's archive, ``web`` HTTP, ``objectstore`` the files of a store, ``api`` OONI's
counts, ``reference_data`` lists from others, ``schedulers`` clusters.
"""
