"""Country codes, names and top-level domains; which codes are fictional."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

from analysis.errors import ParameterError
from analysis.languages.language import ENGLISH, Language
from analysis.reference.reference_files import REFERENCE, read_csv

#: ISO 3166-1 leaves these codes to their users; no country will ever have one.
_FICTIONAL = re.compile(r"AA|Q[M-Z]", re.ASCII)
_COUNTRY_CODE = re.compile(r"[A-Z]{2}", re.ASCII)


# Countries ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Country:
    """A country: ISO 3166-1 alpha-2 code, English short name, its top-level domains, and the IANA
    time zone of its capital (empty where it has none)."""

    code: str
    name: str
    tlds: tuple[str, ...]
    zone: str


@lru_cache(maxsize=1)
def countries() -> Mapping[str, Country]:
    """All countries by code, from ``data/reference/countries.csv``; fictional ones are not in."""
    table = read_csv(REFERENCE / "countries.csv", ("code", "name", "tlds", "zone"), "PROBE_CC")
    return MappingProxyType(
        {
            row["code"]: Country(
                row["code"], row["name"], tuple(filter(None, row["tlds"].split(";"))), row["zone"]
            )
            for _, row in table.rows
        }
    )


def is_fictional(probe_cc: str) -> bool:
    """Whether a country code is one of AA and QM to QZ, which stand for no country."""
    return _FICTIONAL.fullmatch(probe_cc) is not None


def parse_country(value: str) -> str:
    """Read PROBE_CC: the upper-case code of a known or a fictional country.

    Raises:
        ParameterError: ``value`` is neither.
    """
    code = value.strip().upper() if isinstance(value, str) else ""
    if _COUNTRY_CODE.fullmatch(code) and (code in countries() or is_fictional(code)):
        return code
    accepted = "a country is two letters of ISO 3166-1, or a fictional AA or QM to QZ"
    raise ParameterError("PROBE_CC", value, accepted)


def country_name(probe_cc: str, lang: Language = ENGLISH) -> str:
    """The short name of a country, ``Fictional country QQ`` for a fictional code.

    Raises:
        ParameterError: there is no such country.
    """
    code = parse_country(probe_cc)
    if is_fictional(code):
        return lang.say("Fictional country {code}", code=code)
    return lang.territory(code) or countries()[code].name


def country_tlds(probe_cc: str) -> tuple[str, ...]:
    """The top-level domains of a country in ASCII form, for example ``("ru", "xn--p1ai")``."""
    code = parse_country(probe_cc)
    return (code.lower(),) if is_fictional(code) else countries()[code].tlds


def capital_zone(probe_cc: str) -> ZoneInfo | None:
    """The time zone of a country's capital; None for a fictional country, which has no clocks."""
    code = parse_country(probe_cc)
    name = "" if is_fictional(code) else countries()[code].zone
    return ZoneInfo(name) if name else None
