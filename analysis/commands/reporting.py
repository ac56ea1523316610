"""From checked settings to a published report."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from analysis.commands.settings import Settings
from analysis.findings.study import open_observations
from analysis.observations import fingerprints
from analysis.outcomes.rules import RULES_VERSION
from analysis.outcomes.thresholds import Thresholds
from analysis.period import Period
from analysis.publishing.publishing import publish, refuse_foreign
from analysis.publishing.rendering import PageContext
from analysis.reference import countries, test_lists
from analysis.reference.events import load_events
from analysis.reference.files import REPOSITORY, ReferenceFile
from analysis.reference.networks import load_networks
from analysis.sources.opening import OONI
from analysis.store.collection import Collection

NOTEBOOKS = REPOSITORY / "notebooks"


def make_report(settings: Settings, collection: Collection, say: Callable[[str], None]) -> Path:
    """Run the notebooks and publish their pages; returns the first page.

    Args:
        settings: the run's parameters.
        collection: what was read of the source, for the digest of the input.
        say: is told what is being done.

    Raises:
        ParameterError: a parameter is unknown or wrong; nothing was written.
        SourceError: the source has nothing of the country in the period.
        SourceError, ContractError: from a notebook; the report before is still in place.
    """
    # Before any kernel starts; what is packed on the way is what the notebooks open.
    open_observations(collection, settings.probe_cc, settings.period).close()
    changes = read_thresholds(settings).changes()
    out = publish(
        _notebooks(),
        {**settings.notebook_parameters(), "thresholds": changes},
        settings.out,
        page_context(settings.probe_cc, settings.period),
        _run(settings, changes, collection),
        say,
    )
    return out / "index.html"


def check(settings: Settings) -> None:
    """Refuse what can be refused before anything is read or written.

    Raises:
        ParameterError: a number of the method is unknown or wrong, or OUT holds something else.
    """
    read_thresholds(settings)
    refuse_foreign(settings.out)


def _notebooks() -> list[Path]:
    return sorted(NOTEBOOKS.glob("[1-9]*.ipynb"))


def read_thresholds(settings: Settings) -> Thresholds:
    """The method's numbers, with those that were given in the place of the published ones.

    Raises:
        ParameterError: a name is unknown, or a value is not accepted.
    """
    return Thresholds().changed_by(settings.method)


def page_context(probe_cc: str, period: Period) -> PageContext:
    """What the header of every page says."""
    return PageContext(
        country=countries.country_name(probe_cc),
        period=period.in_words,
        status="Fictional country" if countries.is_fictional(probe_cc) else "Draft",
        data_date=period.last_day.isoformat(),
    )


def _run(
    settings: Settings, changes: Mapping[str, float], collection: Collection
) -> dict[str, object]:
    """What ``run.json`` says of the run; no place of this machine."""
    _, second = settings.period.split(settings.split)
    return {
        "parameters": {
            "probe_cc": settings.probe_cc,
            "since": settings.period.since.isoformat(),
            "until": settings.period.until.isoformat(),
            "split": second.since.isoformat(),
            **({"receipt_margin": settings.receipt_margin} if settings.source == OONI else {}),
            **({"reference": str(settings.snapshot.day)} if settings.snapshot else {}),
            **changes,
        },
        "code_version": version("censorship-report-workbook"),
        "rules_version": RULES_VERSION,
        "input_digest": collection.digest,
        "reference": _reference(settings),
        **_snapshot(settings),
        "is_fictional": countries.is_fictional(settings.probe_cc),
    }


def _snapshot(settings: Settings) -> dict[str, object]:
    """The snapshot of reference data in use: its day and those of its files that were used."""
    if settings.snapshot is None:
        return {}
    files = settings.snapshot.files(settings.probe_cc, settings.snapshot_parts)
    return {
        "reference_snapshot": {
            "date": str(settings.snapshot.day),
            "files": [asdict(file) for file in files],
        }
    }


def _reference(settings: Settings) -> list[dict[str, object]]:
    """What reference data the run used: name, role, digest, rows and newest date of each file."""
    lists = test_lists.load_test_lists(settings.test_list or None, settings.probe_cc)
    networks = load_networks(settings.networks or None, settings.probe_cc).file
    events = load_events(settings.events or None, settings.probe_cc).file
    known = fingerprints.load(settings.fingerprints or None)
    files = [asdict(file) for file in (*lists.files, networks, events) if file]
    if known.is_empty:
        return files
    count = len(known.dns) + len(known.http)
    found = ReferenceFile("fingerprints", "fingerprints", known.digest, count)
    return [*files, asdict(found)]
