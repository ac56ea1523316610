"""How the list moves with each number of the method, one at a time.

Each number is set to other values while the others stay as they are published, and all sites are
judged again from the first stage that it acts on. What each value lists is kept beside the stages
as soon as it is known: a sweep that was interrupted goes on with the next value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from analysis.outcomes.frames import keep_frames, read_frame
from analysis.outcomes.rules import RULES
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.study.stages import TABLES, Maker, Method, describe_source
from analysis.study.study import Study
from analysis.verdicts.verdicts import list_pairs

#: Threshold → the values that it is tried at, beside the published one. A number that moves no
#: state has none.
Grid = Mapping[str, Sequence[float]]
GRID: Grid = {name: one.tried for name, one in DECLARATIONS.items() if one.tried}
#: The lowest and the highest of them.
ENDS: Grid = {name: (min(values), max(values)) for name, values in GRID.items()}


def sweep(
    study: Study,
    networks: pd.DataFrame,
    grid: Grid = ENDS,
    say: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """List the sites again with each threshold at each value, the others as they are published.

    Values of which the list is known from an earlier call, finished or not, are not judged again.

    Args:
        study: of its own numbers and rules none counts here.
        networks: ``Study.networks``.
        grid: threshold → values; the published value is added.
        say: called with ``(done, total)``, in judgements, when one begins and after the last.

    Returns:
        One row per threshold and value, in the order of the grid and by value: ``threshold,
        value, is_standing`` (the published value), ``blocked_domain_count`` and
        ``blocked_pair_count`` (listed sites, and pairs of site and access network),
        ``gained_count, lost_count`` and ``gained, lost`` (sites against those of the published
        numbers, joined by ``;``).

    Raises:
        SourceError: there is no room in any folder for the stages.
    """
    judged = dict.fromkeys([Thresholds(), *_changed(grid).values()])
    for done, thresholds in enumerate(judged):
        say(done, len(judged))
        _keep_list(study, _method(study, networks, thresholds))
    say(len(judged), len(judged))
    swept = find_sweep(study, networks, grid)
    assert swept is not None
    return swept


def find_sweep(study: Study, networks: pd.DataFrame, grid: Grid = ENDS) -> pd.DataFrame | None:
    """What ``sweep`` returns, where each of its values has been judged before; else nothing.

    It judges nothing and makes no stage. Arguments as of ``sweep``.
    """
    standing = _find_list(study, _method(study, networks, Thresholds()))
    rows = []
    for (name, value), thresholds in _changed(grid).items():
        listed = _find_list(study, _method(study, networks, thresholds))
        if standing is None or listed is None:
            return None
        rows.append(_row(name, value, listed, standing))
    return pd.DataFrame(rows)


def _changed(grid: Grid) -> dict[tuple[str, float], Thresholds]:
    """Threshold and value → all numbers, with that one in its place."""
    published = Thresholds()
    return {
        (name, value): published.changed_by({name: value})
        for name, values in grid.items()
        for value in sorted({*values, getattr(published, name)})
    }


def _method(study: Study, networks: pd.DataFrame, thresholds: Thresholds) -> Method:
    return Method.of(thresholds, RULES, study.fingerprints, networks)


def _made_from(method: Method) -> list[object]:
    return [method.describe("verdicts"), describe_source("sweep")]


def _find_list(study: Study, method: Method) -> pd.DataFrame | None:
    """The pairs of site and access network that are listed, where that is known."""
    place = study.kept.find(study.connection, "listed", _made_from(method))
    return read_frame(study.connection, place, "listed") if place else None


def _keep_list(study: Study, method: Method) -> None:
    """Judge, unless it has been done before, and keep the listed pairs: ``domain, probe_asn``."""
    connection, made_from = study.connection, _made_from(method)
    if study.kept.find(connection, "listed", made_from):
        return
    published = replace(method, thresholds=Thresholds())
    tried = [one for one in TABLES if method.describe(one) != published.describe(one)]
    sessions = Maker(study.kept, connection, method, in_memory=tried).make_sessions()
    pairs = list_pairs(connection, sessions, method.thresholds)
    pairs = pairs[pairs["probe_asn"].isin(method.operators.domestic_asns)]
    for catalog in sessions.catalogs[: len(tried)]:
        connection.execute(f"DETACH {catalog}")
    study.kept.provide(
        connection, "listed", made_from, partial(keep_frames, connection, {"listed": pairs})
    )


def _row(
    name: str, value: float, listed: pd.DataFrame, standing: pd.DataFrame
) -> dict[str, object]:
    sites, before = set(listed["domain"]), set(standing["domain"])
    gained, lost = sorted(sites - before), sorted(before - sites)
    return {
        "threshold": name,
        "value": float(value),
        "is_standing": value == getattr(Thresholds(), name),
        "blocked_domain_count": len(sites),
        "blocked_pair_count": len(listed),
        "gained_count": len(gained),
        "lost_count": len(lost),
        "gained": ";".join(gained),
        "lost": ";".join(lost),
    }
