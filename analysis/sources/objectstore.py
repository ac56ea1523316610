"""The files of a store: in a folder, or below a prefix of a writable bucket, through obstore.

A store belongs to its user, and its files have checksums, so its server's listings are trusted.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from analysis.errors import ParameterError, SourceError
from analysis.sources.buckets import Address, parse_address

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_ACCEPTED = "a folder or s3://bucket/prefix"
_SECRETS = (
    f"{_ACCEPTED}; keys do not belong into an address: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
    "in the environment are used"
)
_BLOCK = 16 << 20  # bytes of one reading request
_PART = 10 << 20  # bytes of one writing request; a smaller file is sent in one
#: Limits of one request of at most 16 MB: enough for a line of 30 KB a second.
LIMITS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=15),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(seconds=600),
}
#: Retries after a failure of the server or the network: six attempts in about twenty seconds.
RETRIES: "RetryConfig" = {
    "max_retries": 5,
    "backoff": {"init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=20)},
}
#: Simultaneous requests.
CONNECTIONS = 24

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Storage:
    """Files under a root; paths are relative to it, with slashes.

    An ``s3://bucket/prefix`` takes the options of :func:`buckets.parse_address`. Credentials come
    from the environment or the machine's role, as for AWS's own tools. ``s3://anonymous@bucket``
    sends none.

    Methods raise OSError if a file cannot be read or written, and FileNotFoundError if it does not
    exist.

    Raises:
        ParameterError: ``uri`` is neither a folder nor such an address, or contains keys.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.is_local = "://" not in uri
        self._address = None if self.is_local else _parse_store(uri)

    def __getstate__(self) -> dict[str, object]:
        # The receiving process connects with its own credentials.
        return {name: value for name, value in self.__dict__.items() if name != "_store"}

    @cached_property
    def _store(self) -> LocalStore | S3Store:
        if self._address is None:
            return LocalStore()  # of the whole disk, because the root may not exist yet
        return _connect(self._address, is_anonymous=_user(self.uri) == "anonymous")

    def path(self, name: str) -> str:
        """Return the path of a file, with the bucket if there is one."""
        if self._address is None:
            return f"{self.uri.rstrip('/') or '.'}/{name}"
        return f"{self._address.bucket}/{self._address.prefix}{name}"

    def _key(self, name: str) -> str:
        if self._address is None:
            return Path(self.path(name)).resolve().as_posix().lstrip("/")
        return name

    def read(self, name: str) -> bytes:
        """Return the bytes of a file."""
        with _as_oserror():
            return bytes(self._store.get(self._key(name)).bytes())

    def fetch(self, name: str, local: str) -> None:
        """Copy a file to a local path."""
        with Path(local).open("wb") as file, _as_oserror():
            reader = obstore.open_reader(self._store, self._key(name), buffer_size=_BLOCK)
            while block := bytes(reader.read(_BLOCK)):
                file.write(block)

    def put(self, local: str, name: str) -> None:
        """Copy a local file into the store; it appears only when it is complete."""
        with _as_oserror():
            self._store.put(self._key(name), Path(local), chunk_size=_PART, max_concurrency=4)

    def stamps(self, name: str) -> dict[str, tuple[int, int]]:
        """Return path in a folder → bytes and time of change of each file below it.

        Raises:
            SourceError: the folder cannot be listed.
        """
        root = self._key(name)
        try:
            with _as_oserror():
                pages = self._store.list(root or None, chunk_size=1000)
                items = [item for page in pages for item in page]
        except OSError as error:
            raise SourceError(
                f"the store {self.uri} cannot be listed: {error}", resumes=not self.is_local
            ) from None
        stamps = {}
        for item in items:
            changed = round(item["last_modified"].timestamp() * 1e6) * 1000
            stamps[item["path"].removeprefix(f"{root}/")] = item["size"], changed
        return stamps

    def each(self, call: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """Yield the results of a call for each item, in order; on S3 several calls run at once."""
        if self.is_local:
            yield from map(call, items)
        else:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                yield from pool.map(call, items)


@contextmanager
def _as_oserror() -> Iterator[None]:
    """Shorten obstore's errors of many lines to a few words."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError("there is no such file") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise PermissionError("permission denied") from None
    except (BaseError, ValueError) as error:
        why = str(error).partition("\n")[0].rpartition(" - ")[2]
        raise OSError(why.removeprefix("Generic S3 error: ").strip(" :")) from None


def _user(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0].rpartition("@")[0]


def _parse_store(uri: str) -> Address:
    user = _user(uri)
    if user not in ("", "anonymous"):
        raise ParameterError("STORE", uri.replace(user, "…"), _SECRETS)
    if not uri.startswith("s3://"):
        raise ParameterError("STORE", uri, _ACCEPTED)
    return parse_address(uri, "STORE", _ACCEPTED)


def _connect(address: Address, *, is_anonymous: bool) -> S3Store:
    endpoint = address.url.removesuffix(f"/{address.bucket}")
    region = address.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region and endpoint.endswith(".amazonaws.com"):
        endpoint = f"https://s3.{region}.amazonaws.com"
    return S3Store(
        address.bucket,
        prefix=address.prefix.rstrip("/") or None,
        endpoint=endpoint,
        region=region or "us-east-1",
        skip_signature=is_anonymous,
        disable_bulk_delete=True,  # not every S3 server supports it
        client_options={"allow_http": endpoint.startswith("http://"), **LIMITS},
        retry_config=RETRIES,
    )
