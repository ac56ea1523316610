"""Where a store lives: a folder, or a prefix of a bucket that can be written, through obstore.

A store is one's own. What it holds is vouched for by checksums of its own, so its server is
trusted as far as not to lie about what is there.
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
_BLOCK = 16 << 20  # bytes of one request that reads
_PART = 10 << 20  # and of one that writes; a smaller file is sent in one
#: Of one request, which is for 16 MB at most: a line of 30 KB a second gets them through.
LIMITS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=15),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(seconds=600),
}
#: Of a request that a server or the network fails: six attempts within about twenty seconds.
RETRIES: "RetryConfig" = {
    "max_retries": 5,
    "backoff": {"init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=20)},
}
#: Requests under way at once.
CONNECTIONS = 24

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Storage:
    """Files under a root; paths are relative to it, with slashes.

    An ``s3://bucket/prefix`` takes the options of :func:`opening.parse_address`. Credentials are
    those of AWS's own tools: of the environment, or the machine's role.
    ``s3://anonymous@bucket`` sends none.

    What cannot be read or written raises an OSError, FileNotFoundError where there is no file.

    Raises:
        ParameterError: ``uri`` is neither, or holds keys.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.is_local = "://" not in uri
        self._address = None if self.is_local else _parse_store(uri)

    def __getstate__(self) -> dict[str, object]:
        # Who receives it connects with the credentials that are there.
        return {name: value for name, value in self.__dict__.items() if name != "_store"}

    @cached_property
    def _store(self) -> LocalStore | S3Store:
        if self._address is None:
            return LocalStore()  # of the whole disk: the root may not be there yet
        return _connect(self._address, is_anonymous=_user(self.uri) == "anonymous")

    def path(self, name: str) -> str:
        """The path of a file, bucket included; for a folder, one that anybody can open."""
        if self._address is None:
            return f"{self.uri.rstrip('/') or '.'}/{name}"
        return f"{self._address.bucket}/{self._address.prefix}{name}"

    def _key(self, name: str) -> str:
        if self._address is None:
            return Path(self.path(name)).resolve().as_posix().lstrip("/")
        return name

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        with _as_oserror():
            return bytes(self._store.get(self._key(name)).bytes())

    def fetch(self, name: str, local: str) -> None:
        """Bring a file into a local one."""
        with Path(local).open("wb") as file, _as_oserror():
            reader = obstore.open_reader(self._store, self._key(name), buffer_size=_BLOCK)
            while block := bytes(reader.read(_BLOCK)):
                file.write(block)

    def put(self, local: str, name: str) -> None:
        """Send a local file, which appears when it is whole."""
        with _as_oserror():
            self._store.put(self._key(name), Path(local), chunk_size=_PART, max_concurrency=4)

    def stamps(self, name: str) -> dict[str, tuple[int, int]]:
        """Bytes and time of change of each file below a folder, by path relative to it.

        Raises:
            SourceError: they cannot be listed.
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
        found = {}
        for item in items:
            changed = round(item["last_modified"].timestamp() * 1e6) * 1000
            found[item["path"].removeprefix(f"{root}/")] = item["size"], changed
        return found

    def each(self, call: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """The results of a call that reads or writes here, in order; several at once on S3."""
        if self.is_local:
            yield from map(call, items)
        else:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                yield from pool.map(call, items)


@contextmanager
def _as_oserror() -> Iterator[None]:
    """Say in a few words what obstore says in many lines."""
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
        disable_bulk_delete=True,  # which not every S3 server knows
        client_options={"allow_http": endpoint.startswith("http://"), **LIMITS},
        retry_config=RETRIES,
    )
