"""The reference data of a run: which lists are used, and whether they can be read."""

from collections.abc import Callable

from analysis.commands.settings import Settings
from analysis.reference import test_lists
from analysis.reference.events import load_events
from analysis.reference.networks import load_networks
from analysis.reference.snapshots import SNAPSHOTS, find
from analysis.sources.opening import OONI
from analysis.sources.reference_data import current


def with_lists(settings: Settings, say: Callable[[str], None]) -> Settings:
    """The settings with the snapshot of reference data that they ask for.

    OONI's measurements are read with today's lists, unless others are handed in: a snapshot of the
    last days is used, or one is fetched.

    Raises:
        ParameterError: there is no such snapshot.
        SourceError: it cannot be fetched.
        ContractError: a file of it is not what was fetched.
    """
    if settings.reference:
        return settings.with_snapshot(find(settings.reference, settings.probe_cc))
    if settings.source == OONI and not (settings.test_list and settings.fingerprints):
        return settings.with_snapshot(current(settings.probe_cc, SNAPSHOTS, say))
    return settings


def check_lists(settings: Settings) -> None:
    """Refuse reference data that cannot be read, before the archive is.

    Raises:
        ParameterError: a list is missing or has another shape.
    """
    test_lists.load_test_lists(settings.test_list or None, settings.probe_cc)
    load_networks(settings.networks or None, settings.probe_cc)
    load_events(settings.events or None, settings.probe_cc)
