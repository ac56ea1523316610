"""The confirmation stage in one call: from observations to verdicts."""

from collections.abc import Mapping

import duckdb
import pandas as pd

from analysis.outcomes import add_outcomes
from analysis.period import Period
from analysis.fingerprints import Fingerprints
from analysis.rules import RULES, Rule, Thresholds
from analysis.words import LISTED
from analysis.verdicts import Judgement, judge_cells


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
    judgement = judge_cells(connection, periods, thresholds, has_explorer=has_explorer)
    verdicts = judgement.verdicts.merge(
        networks[["probe_asn", "operator", "is_domestic"]], on="probe_asn", how="left"
    )
    elsewhere = verdicts["state"].isin(LISTED) & ~verdicts["is_domestic"].astype(bool)
    verdicts.loc[elsewhere, "set_aside_reason"] = "not_domestic"
    # The number of forged reports that would change a verdict is not computed yet: left empty.
    verdicts["sessions_to_flip"] = pd.array([pd.NA] * len(verdicts), dtype="Int64")
    return Judgement(verdicts, judgement.intervals)
