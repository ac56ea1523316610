"""Where measurements come from and where observations go: the only code that touches a network.

``archive`` knows the keys of OONI's archive; ``files`` says what a source is, ``sources`` opens
one: a folder (``folders``), an S3 bucket (``buckets``) or OONI's own archive (``ooni``), by
requests that are patient and bounded (``web``). ``trees`` is where a store lives.
``reference_data`` fetches test lists, fingerprints and network names; ``api`` asks OONI for its
counts.
"""

import logging

# Each retry is logged as a warning, and Python prints those that nobody takes.
logging.getLogger("stamina").addHandler(logging.NullHandler())
