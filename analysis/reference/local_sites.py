"""Sites that are a country's own though neither name nor test list says so, each with a source."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from analysis.errors import ContractError
from analysis.hosts import normalise
from analysis.reference.countries import country_tlds, parse_country
from analysis.reference.reference_files import REFERENCE, ReferenceFile
from analysis.reference.test_lists import TestLists

# Local sites -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LocalSite:
    """A host name that belongs to a country though neither its ccTLD nor its list says so."""

    domain: str
    reason: str
    source: str


@dataclass(frozen=True)
class LocalSites:
    """The local sites of one country; ``file`` is None where the country has no such file."""

    sites: Mapping[str, LocalSite]
    file: ReferenceFile | None = None

    def __contains__(self, domain: str) -> bool:
        return domain in self.sites


def load_local_sites(probe_cc: str, folder: Path | None = None) -> LocalSites:
    """Read ``local_sites/<cc>.yml``: ``sources`` by key, and ``sites`` with domain, reason, source.

    Args:
        probe_cc: the country.
        folder: where the files lie; by default the shipped ones.

    Raises:
        ContractError: the file is not what it should be; names the file and the entry.
    """
    path = (folder or REFERENCE / "local_sites") / f"{parse_country(probe_cc).lower()}.yml"
    if not path.is_file():
        return LocalSites(MappingProxyType({}))
    data = path.read_bytes()
    try:
        content = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name}: not YAML: {' '.join(str(error).split())}") from None
    sources = content.get("sources") if isinstance(content, dict) else None
    entries = content.get("sites") if isinstance(content, dict) else None
    if not isinstance(sources, dict) or not isinstance(entries, list):
        raise ContractError(f"{path.name}: must hold the mapping 'sources' and the list 'sites'")
    sites: dict[str, LocalSite] = {}
    for place, entry in enumerate(entries, start=1):
        site = _local_site(entry, sources, f"{path.name}, site {place}")
        if site.domain in sites:
            raise ContractError(f"{path.name}, site {place}: {site.domain} is listed twice")
        sites[site.domain] = site
    digest = hashlib.sha256(data).hexdigest()
    file = ReferenceFile(path.name, "local sites", digest, len(sites))
    return LocalSites(MappingProxyType(sites), file)


def _local_site(entry: object, sources: Mapping[Any, object], where: str) -> LocalSite:
    if not isinstance(entry, dict) or set(entry) != {"domain", "reason", "source"}:
        raise ContractError(f"{where}: must have exactly domain, reason and source")
    domain, reason, key = entry["domain"], entry["reason"], entry["source"]
    if not isinstance(domain, str) or not domain or normalise(domain) != domain:
        raise ContractError(f"{where}: domain {domain!r} is not a normalised host name")
    if not isinstance(reason, str) or not reason.strip():
        raise ContractError(f"{where}: {domain} gives no reason")
    source = sources.get(key) if isinstance(key, str) else None
    if not isinstance(source, str) or not source.strip():
        raise ContractError(f"{where}: source {key!r} of {domain} is not among the sources")
    return LocalSite(domain, " ".join(reason.split()), " ".join(source.split()))


def is_local(domain: str, probe_cc: str, lists: TestLists, local_sites: LocalSites) -> bool:
    """Whether a site belongs to the country.

    It does where its name ends in the country's top-level domain, or the country's own test
    list has this host name, or ``local_sites/<cc>.yml`` names it.
    """
    tld = domain.rpartition(".")[2]
    return (
        tld in country_tlds(probe_cc) or lists.is_on_country_list(domain) or domain in local_sites
    )
