"""What to test next: pairs of a site and an access network, by how much a test would tell.

The score of a pair is a product of four numbers between 0 and 1, each to be checked by hand:

*suspicion*  how likely a test there fails: the sessions that were blocked, with one more that fails
             as often as other access networks list the site, of all sessions and that one;
*closeness*  one over the tests that are still missing to a verdict;
*age*        a half where the pair was tested on the last day, one after four weeks or never;
*reach*      one for a provider of homes or phones, a half for other access networks.

A pair that has its verdict and was tested lately scores nothing. In a product each part can veto,
and a coordinator can repeat the sum by hand; expected information could not be checked, and of
points added up one part would make up for another. Subscribers would be better weights than
``reach``, but there is no free list of them for many countries. Against it: what is listed wrongly
would be listed sooner too, and a block that begins on a site that was open everywhere is seen only
when the site's turn comes.

From the scores comes a plan of a week for each network, with files for volunteers. OONI Run's
descriptors are those of ooni/spec, backends/bk-005-ooni-run-v2.md (2024.02.23): a coordinator
creates a link of one at run.ooni.org, and gives its name and address there.

Anybody may have put an address into the archive, and people's phones open those of a plan. So an
address in a plan comes from a test list, or is made here from the name of a listed site.
"""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import numpy as np
import pandas as pd

from analysis.hosts import canonical, is_placeholder, normalise, special_kind
from analysis.outcomes.thresholds import Thresholds
from analysis.planning.coverage import list_access_networks
from analysis.reference.test_lists import ListEntry, TestLists
from analysis.report.annex import listed_domestic
from analysis.tables import name_network, tell_cells
from analysis.verdicts.states import is_of_household, is_tested_enough
from analysis.vocabulary import DEAD_NAME_REASONS, LISTED

#: The assumed share of failing tests of a site that no other network lists.
LEAST_SUSPICION = 0.02
#: Days after which a pair counts as not tested for weeks.
STALE_DAYS = 28
#: The most pairs of a network that are published: more than volunteers can test in a week.
MOST_PAIRS = 200
#: The number of reached sites that is enough to tell a block from a broken connection.
EVERYDAY = 30
#: A network with fewer measurements is not checked for this: somebody only passed through.
_LEAST_MEASUREMENTS = 100
#: Categories of everyday sites: control content, e-commerce, culture, government, search.
_HARMLESS = ("CTRL", "COMM", "CULTR", "GOVT", "SRCH")
#: Counts of sessions that gave a result.
_RESULTS = ["blocked_session_count", "down_session_count", "ok_session_count"]
_REACH = {"isp": 1.0, "mobile": 1.0}
_OTHER_REACH = 0.5

_LAST_TESTS = """
SELECT domain::VARCHAR AS domain, probe_asn, max(day) AS last_tested
FROM tested WHERE domain <> '' GROUP BY ALL ORDER BY ALL
"""


def find_last_tests(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Return one row per site and network that was tested: ``domain, probe_asn, last_tested``."""
    return connection.execute(_LAST_TESTS).df()


def rank_pairs(
    verdicts: pd.DataFrame,
    ranked: pd.DataFrame,
    sites: pd.DataFrame,
    last_tests: pd.DataFrame,
    thresholds: Thresholds,
    until: date,
) -> pd.DataFrame:
    """Return the contract's ``what_to_test``, the highest score first.

    Args:
        verdicts: the contract's ``verdicts``.
        ranked: the contract's ``networks``.
        sites: ``domain, url, category_code``: what may be tested, and by which address.
        last_tests: ``find_last_tests``.
        thresholds: the evidence floor.
        until: the day after the last of the study.

    Returns:
        One row per pair that scores, at most ``MOST_PAIRS`` of each network.
    """
    whole = verdicts[(verdicts["period"] == "all") & (verdicts["domain"] != "")]
    dead = find_dead_names(whole)
    access = list_access_networks(ranked)[["probe_asn", "network", "kind"]]
    counts = ["session_count", "day_count", *_RESULTS]
    judged = whole[["domain", "probe_asn", "state", "insufficient_reason", *counts]].assign(
        is_of_household=is_of_household(whole)
    )
    pairs = (
        sites[~sites["domain"].isin(dead)]
        .merge(access, how="cross")
        .merge(judged, on=["domain", "probe_asn"], how="left")
        .merge(last_tests, on=["domain", "probe_asn"], how="left")
        .merge(count_others(whole, access), on=["domain"], how="left")
    )
    numbers = [*counts, "listed_network_count", "judged_network_count"]
    pairs[numbers] = pairs[numbers].fillna(0).astype("int64")
    pairs[["state", "insufficient_reason"]] = pairs[["state", "insufficient_reason"]].fillna("")
    pairs["is_of_household"] = pairs["is_of_household"].eq(True)
    # the pair's own network is not counted
    is_judged = ~pairs["state"].isin(["", "insufficient"])
    pairs["judged_network_count"] -= is_judged
    pairs["listed_network_count"] -= pairs["state"].isin(LISTED)
    scored = _score(pairs, thresholds, pd.Timestamp(until))
    scored = scored[scored["score"] > 0].sort_values(
        ["score", "domain", "probe_asn"], ascending=[False, True, True]
    )
    scored = scored[scored.groupby("probe_asn").cumcount() < MOST_PAIRS].reset_index(drop=True)
    return scored.assign(rank=np.arange(1, len(scored) + 1))


def find_dead_names(whole: pd.DataFrame) -> frozenset[str]:
    """Return the sites that are set aside because their names do not exist.

    One that is listed anywhere is none: on other networks it may have been tested only while its
    name servers failed.

    Args:
        whole: the contract's ``verdicts`` of the whole period.
    """
    dead = whole.loc[whole["set_aside_reason"].isin(DEAD_NAME_REASONS), "domain"]
    return frozenset(dead) - frozenset(whole.loc[whole["state"].isin(LISTED), "domain"])


def count_others(whole: pd.DataFrame, access: pd.DataFrame) -> pd.DataFrame:
    """Count the access networks on which each site is judged, and listed."""
    judged = whole[
        whole["probe_asn"].isin(access["probe_asn"]) & (whole["state"] != "insufficient")
    ]
    by_site = judged.assign(is_listed=judged["state"].isin(LISTED)).groupby("domain")["is_listed"]
    return by_site.agg(judged_network_count="size", listed_network_count="sum").reset_index()


def _score(pairs: pd.DataFrame, thresholds: Thresholds, until: pd.Timestamp) -> pd.DataFrame:
    elsewhere = (pairs["listed_network_count"] / pairs["judged_network_count"]).fillna(0)
    elsewhere = elsewhere.clip(lower=LEAST_SUSPICION)
    sessions = pairs["session_count"]
    suspicion = (pairs["blocked_session_count"] + elsewhere) / (sessions + 1)
    sessions_missing = thresholds.floor_sessions - pairs[_RESULTS].sum(axis=1)
    days_missing = thresholds.floor_days - pairs["day_count"]
    missing = sessions_missing.where(sessions_missing > days_missing, days_missing).clip(lower=1)
    missing = missing.where(pairs["state"].isin(["", "insufficient"]), 0)
    # tested enough, and without a verdict: the tests disagree
    is_mixed = pairs["insufficient_reason"] == "mixed"
    days = (until - pairs["last_tested"]).dt.days - 1
    is_stale = ~is_mixed & (missing == 0) & (days >= thresholds.not_tested_days)
    needed = missing.mask(is_mixed, 1)
    needed = needed.mask(is_stale | pairs["is_of_household"], thresholds.floor_sessions)
    age = (1 + (days / STALE_DAYS).clip(upper=1).fillna(1)) / 2
    reach = pairs["kind"].map(_REACH).astype("float64").fillna(_OTHER_REACH)
    closeness = (1 / needed.where(needed > 0)).fillna(0)
    return pairs.assign(
        suspicion=suspicion.round(4),
        closeness=closeness.round(4),
        age=age.round(4),
        reach=reach,
        score=(suspicion * closeness * age * reach).round(4),
        days_untested=days.astype("Int64"),
        tests_needed=needed,
        test_reason=_reasons(pairs, is_mixed, is_stale),
    )


def _reasons(pairs: pd.DataFrame, is_mixed: pd.Series, is_stale: pd.Series) -> pd.Series:
    """Return the reason for the score of each pair, the strongest first; see
    ``vocabulary.TEST_REASONS``.
    """
    is_below = ~is_tested_enough(pairs) | (pairs["state"] == "")
    conditions = [
        pairs["is_of_household"],
        is_mixed,
        is_below & (pairs["blocked_session_count"] > 0),
        is_below & (pairs["listed_network_count"] > 0),
        is_stale & pairs["state"].isin(LISTED),
        is_stale,
        pairs["session_count"] == 0,
    ]
    words = ["one_household", "mixed", "suspected", "listed_elsewhere", "listed_and_stale"]
    words += ["stale", "never_tested"]
    return pd.Series(np.select(conditions, words, "thin"), index=pairs.index)


#: Sites that one run of the app tests in some three minutes, and the days of a plan.
SITES_A_DAY, DAYS = 20, 7
#: The most characters of names and short descriptions that OONI's server accepts.
_LONGEST_NAME, _LONGEST_LINE = 50, 200
_PREFIX = "what_to_test"


def plan_week(pairs: pd.DataFrame, first_day: date) -> pd.DataFrame:
    """Return the contract's ``testing_plan``: one row per day, network and site.

    A network takes the pairs with the highest scores, as many as a week has room for; a site comes
    once a day, on as many days as it needs. Where several volunteers follow the plan on a day, it
    is done sooner.

    Args:
        pairs: ``rank_pairs``.
        first_day: of the plan, the day after the study's last.
    """
    needed = pairs[pairs["tests_needed"] > 0].sort_values("rank")
    # More pairs do not fit into a week, and anybody can make up thousands of networks.
    needed = needed.groupby("probe_asn").head(SITES_A_DAY * DAYS)
    rows = [
        row
        for _, pairs_of_network in needed.groupby("probe_asn")
        for row in _plan_network(pairs_of_network, first_day)
    ]
    columns = ["day", "probe_asn", "network", "place", "domain", "url", "test_reason", "rank"]
    return pd.DataFrame(rows, columns=columns)


def _plan_network(pairs: pd.DataFrame, first_day: date) -> Iterator[dict[Any, Any]]:
    """Plan the days of one network, whose pairs are in order of their ranks.

    What needs most days comes first: otherwise its last test has no day left.
    """
    wanted = pairs["tests_needed"].clip(upper=DAYS)
    room = DAYS * SITES_A_DAY - (wanted.cumsum() - wanted)
    remaining = dict(zip(pairs["rank"], wanted.clip(upper=room), strict=True))
    rows: list[dict[Any, Any]] = pairs.to_dict("records")
    for day in range(DAYS):
        rows.sort(key=lambda row: (-remaining[row["rank"]], row["rank"]))
        today = [row for row in rows[:SITES_A_DAY] if remaining[row["rank"]] > 0]
        for position, row in enumerate(sorted(today, key=itemgetter("rank")), start=1):
            remaining[row["rank"]] -= 1
            yield {**row, "day": first_day + timedelta(days=day), "place": position}


def find_without_comparison(verdicts: pd.DataFrame, ranked: pd.DataFrame) -> pd.DataFrame:
    """Return the access networks on which few sites were ever reached, by number.

    A session in which nothing is reached may have a broken connection. Where only suspected sites
    are tested, nothing tells the two apart.

    Args:
        verdicts, ranked: the contract's ``verdicts`` and ``networks``.

    Returns:
        ``probe_asn, network, tested_count, reached_count``: sites, of which fewer than
        ``EVERYDAY`` were ever reached. Networks with next to no measurements are left out.
    """
    whole = verdicts[(verdicts["period"] == "all") & (verdicts["domain"] != "")]
    counts = (
        whole.assign(is_reached=whole["ok_session_count"] > 0)
        .groupby("probe_asn")
        .agg(tested_count=("domain", "size"), reached_count=("is_reached", "sum"))
    )
    access = list_access_networks(ranked).merge(counts, on="probe_asn")
    is_thin = access["reached_count"] < EVERYDAY
    is_thin &= is_checked(access)
    columns = ["probe_asn", "network", "tested_count", "reached_count"]
    return access.loc[is_thin, columns].sort_values("probe_asn", ignore_index=True)


def is_checked(networks: pd.DataFrame) -> "pd.Series[bool]":
    """Return which networks have enough measurements for ``find_without_comparison``."""
    return networks["measurement_count"] >= _LEAST_MEASUREMENTS


def choose_everyday(sites: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Choose at most ``EVERYDAY`` sites to test beside suspected ones: those that most networks
    reach.

    Args:
        sites: ``choose_sites``.
        verdicts: the contract's ``verdicts``.

    Returns:
        Rows of ``sites``, nowhere with an anomaly or another problem: those of harmless categories
        first, tested or not, then those that are reached.
    """
    whole = verdicts[verdicts["period"] == "all"]
    has_problem = ~whole["state"].isin(["ok", "insufficient"]) | (whole["set_aside_reason"] != "")
    reached = whole.loc[whole["state"] == "ok", "domain"].value_counts()
    counted = sites.assign(
        count=sites["domain"].map(reached).fillna(0),
        is_harmless=sites["category_code"].isin(_HARMLESS),
    )
    counted = counted[counted["is_harmless"] | (counted["count"] > 0)]
    counted = counted[~counted["domain"].isin(whole.loc[has_problem, "domain"])]
    order = ["is_harmless", "count", "domain"]
    return counted.sort_values(order, ascending=[False, False, True]).head(EVERYDAY)


def describe_run(name: str, sites: pd.DataFrame, since: date) -> dict[str, object]:
    """Return an OONI Run v2 descriptor: what the app tests when a volunteer follows its link.

    Args:
        name: shown on the volunteer's phone.
        sites: ``url, category_code``, in the order of testing.
        since: first day of the plan.
    """
    line = f"{name}, from {since}."
    return {
        "name": name[:_LONGEST_NAME],
        "short_description": line[:_LONGEST_LINE],
        "description": f"{line} The list comes from test lists and earlier measurements. Run it "
        "once a day for a week, at different hours. Decide whether it is safe to test these sites "
        "where you are.",
        "nettests": [
            {
                "test_name": "web_connectivity",
                "inputs": sites["url"].tolist(),
                "inputs_extra": [{"category_code": code} for code in sites["category_code"]],
            }
        ],
    }


def write_runs(folder: str | Path, pairs: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Write a descriptor and a plain list for each network, and for all of them together.

    Args:
        folder: of the tables; those of an earlier plan there are removed.
        pairs: ``rank_pairs``.
        plan: ``plan_week``.

    Returns:
        One row per pair of files: ``network, site_count, descriptor_url, plain_list_url``.
    """
    for suffix in ("json", "txt"):
        for old in Path(folder).glob(f"{_PREFIX}.*.{suffix}"):
            old.unlink()
    by_rank = pairs.set_index("rank")
    rows = []
    for asn, rows_of_network in plan.groupby(tell_cells(plan["probe_asn"], "asn"), sort=True):
        sites = by_rank.loc[sorted(set(rows_of_network["rank"]))]
        name = name_network(rows_of_network["network"].iloc[0], asn)
        title = f"What to test next, {asn}"
        stem, since = f"{_PREFIX}.{asn}", pd.Timestamp(rows_of_network["day"].min()).date()
        rows.append(write_run(Path(folder), stem, title, name, sites, since))
    if rows:
        planned = by_rank.loc[sorted(set(plan["rank"]))].drop_duplicates("domain")
        most = planned.head(SITES_A_DAY * DAYS)
        stem, since = f"{_PREFIX}.all", pd.Timestamp(plan["day"].min()).date()
        every = write_run(Path(folder), stem, "What to test next", "All networks", most, since)
        rows.insert(0, every)
    return pd.DataFrame(rows, columns=["network", "site_count", "descriptor_url", "plain_list_url"])


def write_run(
    folder: Path, stem: str, title: str, name: str, sites: pd.DataFrame, since: date
) -> dict[str, object]:
    """Write a descriptor and a plain list of sites; returns a row as ``write_runs`` does.

    Args:
        folder: of the tables.
        stem: of both files.
        title: shown on phones; no network's name, which comes from a probe.
        name: what the page calls it.
        sites: ``url, category_code``, in the order of testing.
        since: first day of the plan.
    """
    content = json.dumps(describe_run(title, sites, since), indent=1, ensure_ascii=True)
    (folder / f"{stem}.json").write_text(f"{content}\n", encoding="utf-8")
    text = "".join(f"{url}\n" for url in sites["url"])
    (folder / f"{stem}.txt").write_text(text, encoding="ascii")
    return {
        "network": name,
        "site_count": len(sites),
        "descriptor_url": f"tables/{stem}.json",
        "plain_list_url": f"tables/{stem}.txt",
    }


#: Characters of an address; the longest of Citizen Lab's lists has 155.
LONGEST = 500
#: ASCII that a URL may hold (RFC 3986): no space, quote, angle bracket, backslash or control.
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]!$&'()*+,;=%-]+", re.ASCII | re.IGNORECASE)
#: Suffixes of names that lead into a private network, or nowhere.
_NOT_PUBLIC = frozenset(
    {"local", "localhost", "internal", "intranet", "lan", "home", "corp", "arpa", "onion", "alt"}
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORTS = (None, 80, 443)


def is_safe(url: str) -> bool:
    """Return whether an address may be in a plan.

    Plain http or https of a public name, without user and password, on the usual ports, not long.
    """
    if len(url) > LONGEST or not _URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = normalise(url)
    if "@" in parts.netloc or port not in _PORTS or not is_public(host):
        return False
    # two programs may read such an address in two ways and open two sites
    return (parts.hostname or "").rstrip(".").lower() == host


def is_public(host: str) -> bool:
    """Return whether a normalised host name is one that a public site can have."""
    if not host or special_kind(host) is not None or is_placeholder(host):
        return False
    last = host.rpartition(".")[2]
    # browsers take 0x7f.1 for 127.0.0.1
    return canonical(host) is not None or not (last in _NOT_PUBLIC or _NUMBER.fullmatch(last))


def choose_sites(lists: TestLists, verdicts: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """Return one row per site that may be tested: those of the test lists, and those that are
    listed.

    Of several lines the country's own come first, then https, then the shortest. A listed site that
    is on no test list is tested by its front page.

    Args:
        lists: the study's test lists.
        verdicts, networks: the contract's tables.

    Returns:
        ``domain, url, category_code``, by name; sites without a safe address are left out.
    """
    chosen: dict[str, str] = {}
    for entry in sorted(lists.entries, key=_preference):
        if is_safe(entry.url):
            chosen.setdefault(entry.domain, entry.url)
    for site in sorted(set(listed_domestic(verdicts, networks)["domain"])):
        if is_safe(f"https://{site}/"):
            chosen.setdefault(site, f"https://{site}/")
    rows = [(site, url, lists.category_of(site)[0]) for site, url in sorted(chosen.items())]
    return pd.DataFrame(rows, columns=["domain", "url", "category_code"], dtype="str")


def _preference(entry: ListEntry) -> tuple[bool, bool, int, str]:
    is_plain = not entry.url.lower().startswith("https:")
    return entry.role != "country", is_plain, len(entry.url), entry.url
