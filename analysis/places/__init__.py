"""Where measurements come from and where observations go: the only code that touches a network.

``archive`` knows the keys of OONI's archive; ``files`` says what a source is, ``sources`` opens
one: a folder (``folders``), an S3 bucket (``buckets``, its objects by ``streams``) or OONI's own
archive (``ooni``). ``trees`` is where a store lives. ``reference_data`` fetches test lists,
fingerprints and network names (by ``downloads``); ``api`` asks OONI for its counts (by
``api_requests``). All of them ask over HTTP in one way, patient and bounded: ``web``.
"""

import logging

# Each retry is logged as a warning, and Python prints those that nobody takes.
logging.getLogger("stamina").addHandler(logging.NullHandler())
