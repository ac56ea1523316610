"""The confirmation stage in one call: from observations to verdicts."""

from collections.abc import Mapping

import duckdb
import pandas as pd

from analysis.fingerprints import Fingerprints
from analysis.outcomes import add_outcomes
from analysis.period import Period
from analysis.rules import RULES, Rule, Thresholds
from analysis.verdicts import Judgement, judge_cells
from analysis.words import LISTED


def confirm(
    connection: duckdb.DuckDBPyConnection,
    periods: Mapping[str, Period],
    networks: pd.DataFrame,
    fingerprints: Fingerprints,
    thresholds: Thresholds,
    *,
    has_explorer: bool,
    rules: tuple[Rule, ...] = RULES,
) -> Judgement:
    """Judge every site on every network.

    Args:
        connection: holds ``observations``; afterwards also ``outcomes`` (one row per
            measurement), ``answer_profiles`` and ``page_profiles``.
        periods: ``all``, ``first`` and ``second``.
        networks: ``probe_asn`` (number), ``operator, is_domestic``.
        fingerprints: OONI's blocking fingerprints.
        thresholds: the method's numbers.
        has_explorer: whether witnesses have a page in OONI Explorer.
        rules: the method's rules, in order.

    Returns:
        ``verdicts`` with the operator of each network; a listed site on a network that is no
        access network of the country is set aside as *not_domestic*.
    """
    add_outcomes(connection, thresholds, fingerprints, rules)
    judgement = judge_cells(
        connection,
        periods,
        thresholds,
        domestic_asns=networks.loc[networks["is_domestic"], "probe_asn"],
        has_explorer=has_explorer,
    )
    verdicts = judgement.verdicts.merge(
        networks[["probe_asn", "operator", "is_domestic"]], on="probe_asn", how="left"
    )
    verdicts["note"] = _with_resolvers(verdicts)
    is_listed = verdicts["state"].isin(LISTED)
    elsewhere = is_listed & ~verdicts["is_domestic"].astype(bool)
    verdicts.loc[elsewhere, "set_aside_reason"] = "not_domestic"
    return Judgement(verdicts, judgement.intervals)


def _with_resolvers(verdicts: pd.DataFrame) -> pd.Series:
    """Notes that say through whose resolver a DNS block was seen (guard G4).

    A forged answer that seems to come from a public resolver was put in on the path, so the note
    names the way that was measured and accuses nobody.
    """
    own = "AS" + verdicts["probe_asn"].astype(str)
    others = [
        [asn for asn in asns.split(";") if asn and asn != mine]
        for asns, mine in zip(verdicts["resolver_asns"], own, strict=True)
    ]
    words = pd.Series(
        [f"seen through the resolver of {', '.join(names)}" if names else "" for names in others],
        index=verdicts.index,
    )
    joined = verdicts["note"] + "; " + words
    return joined.where((verdicts["note"] != "") & (words != ""), verdicts["note"] + words)
