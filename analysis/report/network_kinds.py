"""Sentences of page 1 on networks whose kind was guessed from the names that probes report."""

from collections.abc import Iterator

import pandas as pd

from analysis.languages.language import ENGLISH
from analysis.reference.networks import DOMESTIC, find_changed_kinds
from analysis.study.study import Study, read_reported_names
from analysis.tables import name_network
from analysis.vocabulary import NETWORK_KINDS

#: The most networks that are named, since anybody can make up networks.
_MOST = 10


def say_kinds(study: Study, networks: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence on networks that are no access networks only by a reported name, and one on
    networks that were reported under names of both kinds.

    Args:
        study: its reported names.
        networks: ``Study.networks``.
    """
    is_guessed = (networks["kind_source"] == "name rule") & ~networks["kind"].isin(DOMESTIC)
    guessed = networks[is_guessed].nlargest(_MOST, "day_count")
    if len(guessed):
        named = [
            f"{name_network(row.network, row.probe_asn)}, {NETWORK_KINDS[str(row.kind)]}"
            for row in guessed.itertuples(index=False)
        ]
        yield ENGLISH.say(
            "Networks that put no site on the list only because of a word in the name that their "
            "probes report: {n} ({names}). If the guess is wrong, give the network with its kind "
            "in NETWORKS.",
            n=int(is_guessed.sum()),
            names=_join(named, int(is_guessed.sum())),
        )
    changed = find_changed_kinds(read_reported_names(study.connection), networks)
    if len(changed):
        named = [
            f"{name_network(row.network, row.probe_asn)}, here {NETWORK_KINDS[str(row.kind)]}, on "
            f"{row.day_count} days “{row.reported_name}”, which would be "
            f"{NETWORK_KINDS[str(row.reported_kind)]}"
            for row in changed.head(_MOST).itertuples(index=False)
        ]
        yield ENGLISH.say(
            "Networks whose probes report names of different kinds, one for an access network of "
            "the country and one for another: {names}. The name of most days decides.",
            names=_join(named, len(changed)),
        )


def _join(names: list[str], count: int) -> str:
    more = [f"and {count - len(names):,} more"] if count > len(names) else []
    return "; ".join([*names, *more])
