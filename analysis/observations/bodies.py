"""Bodies and headers of responses, decoded from their slice of the line when somebody looks."""

import json
from binascii import Error as Base64Error
from binascii import a2b_base64
from contextlib import suppress

import msgspec
from msgspec import Raw, Struct

from analysis.observations.messages import clean

#: At most so many bytes of a body are looked at; block pages are small.
BODY_LIMIT = 1 << 20


class _Base64(Struct, gc=False):
    format: str | None = None
    data: Raw = Raw(b"null")


_decode_text = msgspec.json.Decoder(str).decode
_decode_base64 = msgspec.json.Decoder(_Base64).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def body_bytes(raw: Raw, limit: int = BODY_LIMIT) -> bytes | None:
    """The first ``limit`` bytes of a response body; None where there is no body.

    A body is a string, or ``{"format": "base64", "data": …}`` where it is not text.

    Raises:
        binascii.Error: the base64 cannot be read.
    """
    view = memoryview(raw)
    kind = bytes(view[:1])
    if kind == b'"':
        return _first_bytes(view, limit)
    if kind == b"{":
        return _base64_bytes(view, limit)
    return None


def _first_bytes(view: memoryview, limit: int) -> bytes:
    """Decode a JSON string without decoding more than ``limit`` bytes of it."""
    if len(view) <= limit:
        text = _text(view)
        return b"" if text is None else text.encode()
    # The cut may fall into a letter or an escape of up to 12 bytes (a surrogate pair).
    for end in range(limit, limit - 13, -1):
        text = _text(bytes(view[:end]) + b'"')
        if text is not None:
            return text.encode()
    return b""


def _text(string: bytes | memoryview) -> str | None:
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return _decode_text(string)
    try:
        text = json.loads(str(string, "utf-8", "replace"))
    except ValueError:
        return None
    return clean(text)


def _base64_bytes(view: memoryview, limit: int) -> bytes | None:
    try:
        wrapped = _decode_base64(view)
    except msgspec.DecodeError:
        return None
    data = memoryview(wrapped.data)
    if wrapped.format != "base64" or bytes(data[:1]) != b'"':
        return None
    encoded_limit = limit // 3 * 4
    # Escaped slashes make the text longer, never shorter, so that cutting it early is safe.
    encoded = _first_bytes(data, encoded_limit)
    if len(data) > encoded_limit:
        encoded = encoded[: len(encoded) // 4 * 4]
    return a2b_base64(encoded)


def header_values(raw: Raw, names: frozenset[str]) -> dict[str, bytes]:
    """The headers with the given lower-case names; a value may be a string or base64."""
    if not names or bytes(memoryview(raw)[:1]) != b"{":
        return {}
    try:
        headers = _decode_object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    values = {}
    for name, value in headers.items():
        if (lower := name.lower()) in names:
            with suppress(Base64Error):
                values[lower] = body_bytes(value) or b""
    return values
