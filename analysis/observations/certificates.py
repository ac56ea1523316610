"""The certificate that a probe was shown: who issued it, and for which names.

What is inside is written by whoever answered, so that any part of it may be wrong or missing.
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
_LONGEST = 64 << 10  # characters of base64; real ones have some two thousand


class Certificate(NamedTuple):
    """The issuer as text (RFC 4514), null where there is none; and the host names, in order."""

    issuer: str | None
    names: tuple[str, ...]


NO_CERTIFICATE: Final = Certificate(None, ())


def find_certificate(handshakes: Iterable[Handshake]) -> Certificate:
    """The first certificate of the first handshake that failed by it, else of the first with any.

    Args:
        handshakes: of the input's host.
    """
    shown = [one for one in handshakes if one.peer_certificates]
    refused = (one for one in shown if str(one.failure).startswith("ssl_"))
    chosen = next(refused, shown[0] if shown else None)
    certificates = chosen.peer_certificates if chosen else None
    return read_certificate(certificates[0].data or "") if certificates else NO_CERTIFICATE


@lru_cache(maxsize=1 << 12)  # a site shows the same one to everybody
def read_certificate(data: str) -> Certificate:
    """Read DER in base64; what cannot be read is left out."""
    if not 0 < len(data) <= _LONGEST:
        return NO_CERTIFICATE
    issuer, names = None, list[str]()
    # What is wrong with a certificate is said by warnings, and by errors of many unrelated types.
    with warnings.catch_warnings(action="ignore"), suppress(Exception):
        certificate = x509.load_der_x509_certificate(a2b_base64(data))
        issuer = clean(certificate.issuer.rfc4514_string())[:TEXT_LIMIT]
        # Where there is no other name, an old certificate names its host as its subject.
        subject = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = [str(one.value) for one in subject]
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    return Certificate(issuer, tuple(clean(name)[:TEXT_LIMIT] for name in names[:NAME_LIMIT]))
