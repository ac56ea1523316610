"""Where measurements come from: the only code that touches a network.

In: what ``SOURCE`` and ``STORE`` name. Out: objects of an archive, a tree of files, API replies.
Every wait, size and retry is bounded; an error says which host and why, in one line.
Start at ``opening.open_source``; ``objectstore`` is folders and buckets, ``ooni`` OONI's archive,
``web`` the one way to ask over HTTP, ``api`` OONI's counts, ``reference_data`` the lists of others.
"""

import logging

# Each retry is logged as a warning, and Python prints those that nobody takes.
logging.getLogger("stamina").addHandler(logging.NullHandler())
