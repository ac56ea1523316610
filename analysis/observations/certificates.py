"""The certificate that a probe received: its issuer and host names.

The server that answered may write anything into it, so any part may be wrong or missing.
"""

import warnings
from binascii import a2b_base64
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509

from analysis.observations.messages import TEXT_LIMIT, Handshake, clean

#: Names of one certificate that are kept; those of a content network have hundreds.
NAME_LIMIT = 10
_DATA_LENGTH = 64 << 10  # characters of base64; real certificates have some two thousand


class Certificate(NamedTuple):
    """The issuer as text (RFC 4514), or None; and the host names, in order."""

    issuer: str | None
    names: tuple[str, ...]


NO_CERTIFICATE: Final = Certificate(None, ())


def find_certificate(handshakes: Iterable[Handshake]) -> Certificate:
    """Return the server's certificate of the first handshake that refused one, else of any.

    Args:
        handshakes: of the input's host.
    """
    candidates = [handshake for handshake in handshakes if handshake.peer_certificates]
    refused = (item for item in candidates if str(item.failure).startswith("ssl_"))
    chosen = next(refused, candidates[0] if candidates else None)
    certificates = chosen.peer_certificates if chosen else None
    return read_certificate(certificates[0].data or "") if certificates else NO_CERTIFICATE


@lru_cache(maxsize=1 << 12)  # a site sends the same certificate to every probe
def read_certificate(data: str) -> Certificate:
    """Read DER in base64; unreadable parts are left out."""
    if not 0 < len(data) <= _DATA_LENGTH:
        return NO_CERTIFICATE
    issuer, names = None, list[str]()
    # The parser reports faults by warnings and by errors of many unrelated types.
    with warnings.catch_warnings(action="ignore"), suppress(Exception):
        certificate = x509.load_der_x509_certificate(a2b_base64(data))
        issuer = clean(certificate.issuer.rfc4514_string())[:TEXT_LIMIT]
        # Old certificates have no alternative names; their host is the subject.
        subject = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = [str(attribute.value) for attribute in subject]
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    return Certificate(issuer, tuple(clean(name)[:TEXT_LIMIT] for name in names[:NAME_LIMIT]))
