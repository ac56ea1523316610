"""From what ``SOURCE`` says to the archive it means.

::

    ooni                                              OONI's own archive
    archive/                                          a folder
    s3://bucket/prefix?region=eu-central-1            a public bucket of AWS
    s3://bucket/prefix?endpoint_override=host:port    one of another S3 server (scheme=http|https)
    http://host:port/bucket/prefix                    the same, as a URL

The environment's ``OONI_ARCHIVE`` names a mirror of OONI's archive, in one of the last three forms.
"""

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from analysis.errors import ParameterError
from analysis.sources.archive_files import Folder, Source
from analysis.sources.buckets import Address, Bucket
from analysis.sources.layout import OONI
from analysis.sources.ooni import ADDRESS, OoniArchive, Scope

#: The environment variable that names a mirror of it.
MIRROR = "OONI_ARCHIVE"

_SERVERS = "s3://bucket/prefix or http(s)://host/bucket/prefix of an S3 server"
_OPTIONS = {"region", "endpoint_override", "scheme"}
_ACCEPTED = f"ooni, a folder, {_SERVERS}"


def open_source(uri: str, scope: Scope | None = None) -> Source:
    """Open an archive.

    Args:
        uri: what ``SOURCE`` says.
        scope: what is asked of OONI's archive, and needed there; other sources are read whole.

    Raises:
        ParameterError: ``uri`` names nothing that can be an archive.
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
    if path.name.lower() == OONI and not path.exists():
        raise ParameterError("SOURCE", path.name, f"OONI's archive is written {OONI}")
    if not path.is_dir():
        raise ParameterError("SOURCE", path, f"there is no such folder; give {_ACCEPTED}")
    return Folder(path)


def parse_address(uri: str, parameter: str, accepted: str) -> Address:
    """Read ``s3://bucket/prefix?…`` or ``http(s)://host/bucket/prefix``.

    Raises:
        ParameterError: no bucket, no host, or an option that is not known.
    """
    import httpx  # takes long to load, and only servers need it

    try:
        parts = urlsplit(uri)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme == "s3":
            bucket, path = parts.netloc.rpartition("@")[2], parts.path
        else:
            bucket, _, path = parts.path.lstrip("/").partition("/")
        url = _bucket_url(parts, options, bucket)
        is_known = set(options) <= _OPTIONS and parts.scheme in ("s3", "http", "https")
        if not is_known or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
            raise ValueError
        if not httpx.URL(url).host:
            raise ValueError
    except (ValueError, httpx.InvalidURL):
        options_are = f"options are region, endpoint_override, scheme; {accepted}"
        raise ParameterError(parameter, uri, options_are) from None
    prefix = path.strip("/")
    return Address(url, bucket, f"{prefix}/" if prefix else "", options.get("region", ""))


def _bucket_url(parts: SplitResult, options: dict[str, str], bucket: str) -> str:
    if parts.scheme != "s3":
        return f"{parts.scheme}://{parts.netloc}/{bucket}"
    endpoint = options.get("endpoint_override", "")
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        return f"{scheme or options.get('scheme', 'https')}://{host.rstrip('/')}/{bucket}"
    region = options.get("region", "us-east-1")
    return f"https://s3.{region}.amazonaws.com/{bucket}"
