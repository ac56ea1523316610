"""Sites that are a country's own though neither name nor test list says so, each with a source."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml

from analysis.hosts import normalise
from analysis.reference.countries import country_tlds, parse_country
from analysis.reference.reference_files import ReferenceFile, given_or_shipped
from analysis.reference.test_lists import TestLists
from analysis.reference.yaml_nodes import NodeReader

_MOST, _LONGEST = 10_000, 1_000  # sites; characters of a reason or source


@dataclass(frozen=True)
class LocalSites:
    """The local sites of one country; ``file`` is None where the country has no such file."""

    sites: frozenset[str] = frozenset()
    file: ReferenceFile | None = None


def load_local_sites(probe_cc: str, path: Path | None = None) -> LocalSites:
    """Read ``local_sites/<cc>.yml``: ``sources`` by key, and ``sites`` with domain, reason, source.

    Args:
        probe_cc: the country.
        path: the file; by default the shipped one, if there is one.

    Raises:
        ParameterError: the file is not what it should be; names the file and the line.
    """
    path = given_or_shipped(path, f"local_sites/{parse_country(probe_cc).lower()}.yml")
    if path is None:
        return LocalSites()
    reader = NodeReader(path, "local_sites")
    data = reader.read()
    head = reader.mapping(reader.root(data), ("sources", "sites"), "the file")
    if not isinstance(head["sources"], yaml.MappingNode):
        reader.fail(head["sources"], "sources must be a mapping")
    sources = {reader.plain(key): value for key, value in head["sources"].value}
    sites: set[str] = set()
    for node in reader.items(head["sites"], _MOST, "sites"):
        cells = reader.mapping(node, ("domain", "reason", "source"), "a site")
        domain, key = reader.plain(cells["domain"]), reader.plain(cells["source"])
        if not domain or normalise(domain) != domain:
            reader.fail(node, f"domain {domain!r} is not a normalised host name")
        if key not in sources:
            reader.fail(node, f"source {key!r} of {domain} is not among the sources")
        if domain in sites:
            reader.fail(node, f"{domain} is listed twice")
        reader.text(cells["reason"], f"the reason of {domain}", _LONGEST)
        reader.text(sources[key], f"source {key}", _LONGEST)
        sites.add(domain)
    digest = hashlib.sha256(data).hexdigest()
    file = ReferenceFile(path.name, "local sites", digest, len(sites))
    return LocalSites(frozenset(sites), file)


def is_local(domain: str, probe_cc: str, lists: TestLists, local_sites: LocalSites) -> bool:
    """Whether a site belongs to the country.

    It does where its name ends in the country's top-level domain, or the country's own test
    list has this host name, or ``local_sites/<cc>.yml`` names it.
    """
    tld = domain.rpartition(".")[2]
    return (
        tld in country_tlds(probe_cc)
        or lists.is_on_country_list(domain)
        or domain in local_sites.sites
    )
