"""Where measurements come from and where observations go: the only code that touches a network.

``archive`` knows the keys of OONI's archive; ``files`` opens folders, S3 buckets and stores;
``reference_data`` fetches test lists, fingerprints and network names.
"""

import logging

# Each retry is logged as a warning, and Python prints those that nobody takes.
logging.getLogger("stamina").addHandler(logging.NullHandler())
