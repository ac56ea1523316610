"""The lists that a study is read with: what is known of a country besides its measurements."""

from dataclasses import dataclass, field

import pandas as pd

from analysis.observations import fingerprints
from analysis.observations.fingerprints import Fingerprints
from analysis.reference import networks, test_lists
from analysis.reference.events import EventList, load_events
from analysis.reference.networks import NetworkList, NetworkNames
from analysis.reference.reference_files import ReferenceFile
from analysis.reference.test_counts import NO_COUNTS, TestCounts, load_test_counts
from analysis.reference.test_lists import LocalSites, TestLists
from analysis.study.parameters import StudyParameters


@dataclass(frozen=True)
class ReferenceLists:
    """All lists of one study; one that was not given is empty, or the one that ships."""

    fingerprints: Fingerprints
    networks: NetworkList
    network_names: NetworkNames = field(repr=False)
    test_lists: TestLists
    events: EventList
    local_sites: LocalSites = field(repr=False)
    test_counts: TestCounts = field(repr=False, default=NO_COUNTS)

    @property
    def files(self) -> list[ReferenceFile]:
        """The files that were read for the study: test lists, networks, names, events, counts."""
        files = (self.networks.file, self.network_names.file, self.events.file,
                 self.test_counts.file)  # fmt: skip
        return [*self.test_lists.files, *(file for file in files if file)]

    def name_networks(self, measured: pd.DataFrame) -> dict[str, str]:
        """``AS123`` → name, of networks in the lists and of those that measured.

        Args:
            measured: ``probe_asn`` (number) and ``network``.
        """
        listed = {asn: one.network for asn, one in self.networks.networks.items()}
        own = dict(zip(measured["probe_asn"], measured["network"], strict=True))
        named = {**self.network_names.names, **listed, **own}
        return {f"AS{asn}": name for asn, name in named.items()}

    @property
    def fingerprint_file(self) -> ReferenceFile | None:
        """The fingerprints that are looked for, as one file; None where there are none."""
        known = self.fingerprints
        count = len(known.dns) + len(known.http) - len(known.left_out)
        if known.is_empty:
            return None
        return ReferenceFile("fingerprints", "fingerprints", known.digest, count)


def load_lists(parameters: StudyParameters) -> ReferenceLists:
    """Read the lists that the parameters name.

    Raises:
        ParameterError: a list is missing or has another shape.
        ContractError: one that ships has.
    """
    code = parameters.probe_cc
    return ReferenceLists(
        fingerprints=fingerprints.load(parameters.fingerprints or None),
        networks=networks.load_networks(parameters.networks or None, code),
        network_names=networks.load_network_names(parameters.network_names),
        test_lists=test_lists.load_test_lists(parameters.test_list or None, code),
        events=load_events(parameters.events or None, code),
        local_sites=test_lists.load_local_sites(code),
        test_counts=load_test_counts(parameters.test_counts),
    )
