"""Judgement of a world by the same calls as in the notebooks."""

from pathlib import Path

from analysis.outcomes.thresholds import Thresholds
from analysis.report import annex
from analysis.study.confirmation import confirm
from analysis.study.parameters import StudyParameters
from analysis.study.study import Study, open_study
from analysis.tables import write_table


def open_world(world: Path, store: Path, probe_cc: str, since: str, until: str) -> Study:
    """Ingest a world into a store of its own and open it."""
    lists = world / "reference"
    parameters = StudyParameters(
        probe_cc=probe_cc,
        since=since,
        until=until,
        source=str(world / "archive"),
        store=str(store),
        test_list=str(lists / "test-lists"),
        networks=str(lists / "networks.csv"),
        fingerprints=str(lists / "fingerprints"),
    )
    study = open_study(parameters, jobs=1)
    study.connection.execute("SET threads = 1")  # worlds run side by side
    return study


def judge_world(study: Study, thresholds: Thresholds, tables: Path) -> None:
    """Judge the whole period and write the tables that ``scores`` reads."""
    networks = study.networks()
    judged = study.variant("world", thresholds=thresholds)
    judgement = confirm(judged, networks, periods=["all"])
    verdicts = write_table(tables, "verdicts", judgement.verdicts)
    write_table(tables, "blocking_intervals", judgement.intervals)
    write_table(tables, "chances", judgement.chances)
    ranked = write_table(tables, "networks", annex.rank_networks(networks, verdicts))
    sites = study.domains()
    write_table(tables, "blocked_sites", annex.blocked_sites(verdicts, ranked, sites))
    write_table(tables, "set_aside", annex.set_aside(verdicts, ranked, sites))
