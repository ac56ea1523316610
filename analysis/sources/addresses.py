"""Where a bucket is, read from what a parameter says.

::

    s3://bucket/prefix?region=eu-central-1            a bucket of AWS
    s3://bucket/prefix?endpoint_override=host:port    one of another S3 server (scheme=http|https)
    http://host:port/bucket/prefix                    the same, as a URL
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

import httpx

from analysis.errors import ParameterError

_OPTIONS = {"region", "endpoint_override", "scheme"}


@dataclass(frozen=True)
class Address:
    """Where a bucket is.

    Attributes:
        url: that of the bucket.
        bucket: its name.
        prefix: what all keys begin with; empty, or ends in a slash.
        region: of AWS; empty where nothing is said.
    """

    url: str
    bucket: str
    prefix: str
    region: str = ""


def parse_address(uri: str, parameter: str, accepted: str) -> Address:
    """Read ``s3://bucket/prefix?…`` or ``http(s)://host/bucket/prefix``.

    Raises:
        ParameterError: no bucket, no host, or an option that is not known.
    """
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
