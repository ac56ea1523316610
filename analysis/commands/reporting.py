"""From checked settings to a published report."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from analysis.commands.settings import Settings
from analysis.findings.parameters import StudyParameters, changed_numbers
from analysis.findings.study import open_observations
from analysis.observations import fingerprints
from analysis.outcomes.rules import RULES_VERSION
from analysis.publishing.publishing import publish
from analysis.publishing.rendering import PageContext
from analysis.reference import countries, test_lists
from analysis.reference.events import load_events
from analysis.reference.files import REPOSITORY, ReferenceFile
from analysis.reference.networks import load_networks
from analysis.sources.opening import OONI
from analysis.store.collection import Collection

NOTEBOOKS = REPOSITORY / "notebooks"
#: What single notebooks let a researcher choose besides the study's parameters. A report states
#: these as well: it takes nothing from what somebody saved in a notebook.
NOTEBOOK_OPTIONS: Mapping[str, object] = {"published": "", "sweep_all": False, "results": ""}


def make_report(settings: Settings, collection: Collection, say: Callable[[str], None]) -> Path:
    """Run the notebooks and publish their pages; returns the first page.

    Args:
        settings: of the run.
        collection: what was read of the source, for the digest of the input.
        say: is told what is being done.

    Raises:
        ParameterError: a parameter is unknown or wrong; nothing was written.
        SourceError: the source has nothing of the country in the period.
        SourceError, ContractError: from a notebook; the report before is still in place.
    """
    # Before any kernel starts; what is packed on the way is what the notebooks open.
    open_observations(collection, settings.probe_cc, settings.period).close()
    out = publish(
        sorted(NOTEBOOKS.glob("[0-9]*.ipynb")),
        {**settings.study.for_notebooks(), **NOTEBOOK_OPTIONS},
        settings.out,
        page_context(settings.study),
        _run(settings, collection),
        say,
    )
    return out / "index.html"


def check_lists(settings: Settings) -> None:
    """Refuse reference data that cannot be read, before the archive is.

    Raises:
        ParameterError: a list is missing or has another shape.
    """
    study = settings.study
    test_lists.load_test_lists(study.test_list or None, study.probe_cc)
    load_networks(study.networks or None, study.probe_cc)
    load_events(study.events or None, study.probe_cc)


def page_context(study: StudyParameters) -> PageContext:
    """What the header of every page says."""
    return PageContext(
        country=countries.country_name(study.probe_cc),
        period=study.period.in_words,
        status="Fictional country" if countries.is_fictional(study.probe_cc) else "Draft",
        data_date=study.period.last_day.isoformat(),
        method_changes=tuple(changed_numbers(study.thresholds)),
    )


def _run(settings: Settings, collection: Collection) -> dict[str, object]:
    """What ``run.json`` says of the run; no path of this machine."""
    study = settings.study
    _, second = study.period.split(study.split)
    changes = study.thresholds.changes()
    return {
        "parameters": {
            "probe_cc": study.probe_cc,
            "since": study.since,
            "until": study.until,
            "split": second.since.isoformat(),
            **({"receipt_margin": study.receipt_margin} if study.source == OONI else {}),
            **({"reference": str(settings.snapshot.day)} if settings.snapshot else {}),
            **changes,
        },
        "changed_thresholds": changes,
        "code_version": version("censorship-report-workbook"),
        "rules_version": RULES_VERSION,
        "input_digest": collection.digest,
        "reference": _reference(study),
        **_snapshot(settings),
        "is_fictional": countries.is_fictional(study.probe_cc),
    }


def _snapshot(settings: Settings) -> dict[str, object]:
    """The snapshot of reference data in use: its day and those of its files that were used."""
    if settings.snapshot is None:
        return {}
    files = settings.snapshot.files(settings.probe_cc, settings.lists_of_snapshot)
    return {
        "reference_snapshot": {
            "date": str(settings.snapshot.day),
            "files": [asdict(file) for file in files],
        }
    }


def _reference(study: StudyParameters) -> list[dict[str, object]]:
    """What reference data the run used: name, role, digest, rows and newest date of each file."""
    lists = test_lists.load_test_lists(study.test_list or None, study.probe_cc)
    networks = load_networks(study.networks or None, study.probe_cc).file
    events = load_events(study.events or None, study.probe_cc).file
    known = fingerprints.load(study.fingerprints or None)
    files = [file for file in (*lists.files, networks, events) if file]
    if not known.is_empty:
        count = len(known.dns) + len(known.http)
        files.append(ReferenceFile("fingerprints", "fingerprints", known.digest, count))
    return [asdict(file) for file in files]
