"""Where measurements come from and where observations go: the only code that touches a network.

``archive`` knows the keys of OONI's archive; ``files`` opens folders, S3 buckets and stores.
"""
