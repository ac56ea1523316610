"""Differences between verdicts on the same measurements: by other methods, or in another run."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.report.annex import find_reasons, on_access_networks
from analysis.study.confirmation import confirm
from analysis.study.study import Study
from analysis.tables import map_texts, tell_network, tell_networks
from analysis.verdicts.states import strength
from analysis.vocabulary import FLIPS, LISTED, METHODS, SET_ASIDE_REASONS
from analysis.vocabulary import STATES as STATE_WORDS

_CELL = ["domain", "probe_asn"]


def compare_methods(
    verdicts: pd.DataFrame, methods: Mapping[str, pd.DataFrame], networks: pd.DataFrame
) -> pd.DataFrame:
    """Compare the sites that each method lists, and explain the differences.

    Args:
        verdicts: the contract's ``verdicts``.
        methods: key of ``vocabulary.METHODS`` → what ``other_methods.find_baselines`` gives.
        networks: ``probe_asn, kind``. Our list counts the country's access networks only;
            the published methods do not tell them from VPNs, hosting and foreign networks.

    Returns:
        One row per site that any method lists, by name: ``domain``; ``state``, the strongest that
        we give it on an access network (empty: not tested there); one flag per method, ours
        (``this_method``) first; ``set_aside_reason``, that of the annex; ``why``, in words.
    """
    whole = verdicts[verdicts["period"] == "all"]
    access = on_access_networks(whole, networks)
    ours = access[access["state"].isin(LISTED)]
    theirs = {key: frame[frame["is_listed"].astype(bool)] for key, frame in methods.items()}
    flags = {"this_method": ours, **theirs}
    domains = sorted(set().union(*(set(frame["domain"]) for frame in flags.values())))
    table = pd.DataFrame({"domain": pd.Series(domains, dtype="str")})
    table["state"] = map_texts(table["domain"], _strongest(access))
    for key, frame in flags.items():
        table[key] = table["domain"].isin(set(frame["domain"]))
    reasons = map_texts(table["domain"], find_reasons(whole))
    table["set_aside_reason"] = reasons.mask(table["this_method"], "")
    table["why"] = _explain(table, whole, ours, methods)
    return table


def list_method_pairs(
    verdicts: pd.DataFrame, methods: Mapping[str, pd.DataFrame], networks: pd.DataFrame
) -> pd.DataFrame:
    """Return the pairs of site and network that any method lists, with the answer of each method.

    Args:
        verdicts, methods, networks: as ``compare_methods`` takes them.

    Returns:
        One row per ``method, domain, probe_asn``: ``is_listed`` and ``reason``, what the method
        answers when asked why, or why not; of ours, the rule.
    """
    access = on_access_networks(verdicts[verdicts["period"] == "all"], networks)
    listed = access[access["state"].isin(LISTED)]
    ours = listed[_CELL].assign(is_listed=True, reason=listed["rule_id"], method="this_method")
    rows = [ours]
    for key, frame in methods.items():
        is_ours = pd.MultiIndex.from_frame(frame[_CELL]).isin(pd.MultiIndex.from_frame(ours[_CELL]))
        rows.append(frame[frame["is_listed"].astype(bool) | is_ours].assign(method=key))
    return pd.concat(rows)[["method", *_CELL, "is_listed", "reason"]]


def count_methods(compared: pd.DataFrame) -> pd.DataFrame:
    """Count the sites that each method lists, beside ours.

    Args:
        compared: ``compare_methods``.

    Returns:
        One row per method, ours first: ``method`` (its name), ``site_count``, ``shared_count``
        (sites that we list too), ``extra_count`` (those that we do not), ``lacking_count`` (those
        of ours that it does not list).
    """
    ours = compared["this_method"]
    rows = [
        {
            "method": METHODS[key],
            "site_count": int(compared[key].sum()),
            "shared_count": int((compared[key] & ours).sum()),
            "extra_count": int((compared[key] & ~ours).sum()),
            "lacking_count": int((ours & ~compared[key]).sum()),
        }
        for key in METHODS
        if key in compared
    ]
    return pd.DataFrame(rows)


def count_reasons(compared: pd.DataFrame) -> pd.DataFrame:
    """Count our reasons for the sites that only other methods list, the most frequent first.

    Args:
        compared: ``compare_methods``.

    Returns:
        ``set_aside_reason`` (empty: reachable there, or not tested enough), ``site_count``, and
        the sites that each other method lists.
    """
    keys = [key for key in METHODS if key in compared and key != "this_method"]
    extra = compared[~compared["this_method"]].assign(site_count=1)
    counts = extra.groupby("set_aside_reason")[["site_count", *keys]].sum().astype("int64")
    return counts.sort_values("site_count", ascending=False, kind="stable").reset_index()


def compare_verdicts(before: pd.DataFrame | Study, after: pd.DataFrame | Study) -> pd.DataFrame:
    """Return the verdicts that differ between two runs.

    Args:
        before, after: studies; or verdicts as ``confirm`` gives them or as they are read back.

    Returns:
        One row per site, network and period whose state differs, sorted by them:
        ``published_state`` and ``state`` (empty: no such row there), ``change`` (*listed*,
        *unlisted* or *restated*; on a network that puts no site on the list always the last),
        ``published_rule_id, rule_id, set_aside_reason``.
    """
    key = [*_CELL, "period"]
    before, after = (
        confirm(run).verdicts if isinstance(run, Study) else run for run in (before, after)
    )
    reported = ["state", "rule_id", "set_aside_reason"]
    before = before[[*key, *reported]].rename(
        columns={name: f"published_{name}" for name in reported}
    )
    both = before.merge(after[[*key, *reported]], on=key, how="outer").fillna("")
    moved = both[both["published_state"] != both["state"]]
    was_listed, is_now = (
        moved[f"{prefix}state"].isin(LISTED)
        & (moved[f"{prefix}set_aside_reason"] != "not_domestic")
        for prefix in ("published_", "")
    )
    change = np.select(
        [is_now & ~was_listed, was_listed & ~is_now], ["listed", "unlisted"], default="restated"
    )
    columns = [
        *key,
        "published_state",
        "state",
        "change",
        "published_rule_id",
        "rule_id",
        "set_aside_reason",
    ]
    return moved.assign(change=change)[columns].sort_values(key, ignore_index=True)


def gather(flipped: pd.DataFrame) -> pd.DataFrame:
    """Return one row for the same change of a site on several networks.

    Args:
        flipped: as :func:`compare_verdicts` gives it, of one period.

    Returns:
        One row per site and change: what comes on the list, what leaves it, then other changes,
        each sorted. ``domain``, ``probe_asns``, joined by ``;``, the states before and after, and
        the other columns of ``flipped``.
    """
    key = [str(name) for name in flipped if name not in ("probe_asn", "period")]
    rows = flipped.groupby(key)["probe_asn"].agg(tell_networks).rename("probe_asns").reset_index()
    order = rows["change"].map(list(FLIPS).index)
    rows = rows.assign(order=order).sort_values(["order", *key], ignore_index=True)
    first = ["domain", "probe_asns", "published_state", "state"]
    return rows[[*first, *(name for name in key if name not in first)]]


def _strongest(cells: pd.DataFrame) -> dict[str, str]:
    """Return the strongest state of each site on any of the networks."""
    ranked = cells.assign(rank=strength(cells["state"])).sort_values(["domain", "rank"])
    return dict(ranked.drop_duplicates("domain")[["domain", "state"]].to_numpy())


def _explain(
    table: pd.DataFrame,
    whole: pd.DataFrame,
    ours: pd.DataFrame,
    methods: Mapping[str, pd.DataFrame],
) -> list[str]:
    """Explain why the methods differ, a text per site of ``table``."""
    listed = table.loc[table["this_method"], "domain"]
    most = ours.sort_values(
        ["domain", "blocked_session_count", "probe_asn"], ascending=[True, False, True]
    ).drop_duplicates("domain")
    rules = dict(most[["domain", "rule_id"]].to_numpy())
    sentences: dict[str, dict[str, str]] = {}
    for key, frame in methods.items():
        cells = frame.merge(whole[[*_CELL, "measurement_count", "state"]], on=_CELL)
        differing = cells.merge(most[_CELL], on=_CELL)
        unlisted = cells[cells["is_listed"].astype(bool) & ~cells["domain"].isin(listed)]
        busiest = unlisted.sort_values(
            ["domain", "measurement_count", "probe_asn"], ascending=[True, False, True]
        )
        chosen = pd.concat([differing, busiest.drop_duplicates("domain")])
        sentences[key] = {
            str(row.domain): f"{row.reason} ({tell_network(row.probe_asn)}, "
            f"{STATE_WORDS[str(row.state)].words.lower()})"
            for row in chosen.itertuples(index=False)
        }
    return [_sentences(row, rules, sentences) for row in table.to_dict("records")]


def _sentences(
    row: Mapping[Hashable, Any],
    rules: Mapping[str, str],
    sentences: Mapping[str, Mapping[str, str]],
) -> str:
    """Yield our own reason, then those of the methods that differ, on the network that explains
    most.
    """
    domain, is_ours = row["domain"], row["this_method"]
    if is_ours:
        parts = [
            f"Listed by this method: {rules[domain]}, on the network with most blocked sessions"
        ]
    else:
        code = row["set_aside_reason"]
        parts = [SET_ASIDE_REASONS[code] if code else "Reachable, or not tested enough"]
    verb = "not listed by" if is_ours else "listed by"
    parts += [
        f"{verb} {METHODS[key]}: {texts[domain]}"
        for key, texts in sentences.items()
        if row[key] != is_ours and domain in texts
    ]
    return "; ".join(parts)
