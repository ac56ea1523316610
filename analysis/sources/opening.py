"""From what ``SOURCE`` says to the archive it means.

::

    ooni                                              OONI's own archive
    archive/                                          a folder
    s3://…, http(s)://…                               a public bucket (``addresses``)

The environment's ``OONI_ARCHIVE`` names a mirror of OONI's archive, in the last form.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from analysis.errors import ParameterError
from analysis.sources.addresses import parse_address
from analysis.sources.buckets import Bucket
from analysis.sources.files import Folder, Source
from analysis.sources.ooni import ADDRESS, OoniArchive, Scope

#: The word for OONI's own archive.
OONI = "ooni"
#: The environment variable that names a mirror of it.
MIRROR = "OONI_ARCHIVE"

_SERVERS = "s3://bucket/prefix or http(s)://host/bucket/prefix of an S3 server"
_ACCEPTED = f"ooni, a folder, {_SERVERS}"


def open_source(uri: str, scope: Scope | None = None) -> Source:
    """Open an archive.

    Args:
        uri: what ``SOURCE`` says.
        scope: what is asked of OONI's archive, and needed there; other sources are read whole.

    Raises:
        ParameterError: ``uri`` names no place that can be an archive.
    """
    if uri == OONI and scope is not None:
        mirror = os.environ.get(MIRROR, "")
        address = parse_address(mirror, MIRROR, _SERVERS) if mirror else ADDRESS
        return OoniArchive(address, scope)
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme in ("s3", "http", "https"):
        return Bucket(parse_address(uri, "SOURCE", _ACCEPTED))
    if not uri or scheme not in ("", "file"):
        raise ParameterError("SOURCE", uri, _ACCEPTED)
    path = Path(urlsplit(uri).path) if scheme else Path(uri)
    if not path.is_dir():
        raise ParameterError("SOURCE", path, f"there is no such folder; give {_ACCEPTED}")
    return Folder(path)
