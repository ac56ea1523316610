"""A plan of a week for each network, and the files by which volunteers follow it.

OONI Run's descriptors are those of ooni/spec, backends/bk-005-ooni-run-v2.md (2024.02.23): a
coordinator creates a link of one at run.ooni.org, and gives its name and address there.
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

#: Sites that one run of the app tests in some three minutes, and the days of a plan.
SITES_A_DAY, DAYS = 20, 7
#: How long OONI's server takes names and short descriptions.
_LONGEST_NAME, _LONGEST_LINE = 50, 200
_PREFIX = "what_to_test"


def plan_week(pairs: pd.DataFrame, first_day: date) -> pd.DataFrame:
    """The contract's ``testing_plan``: one row per day, network and site.

    Each day a network takes the pairs with the highest scores that still need tests; a site comes
    once a day, on as many days as it needs. Where several volunteers follow the plan on a day, it
    is done sooner.

    Args:
        pairs: ``ranking.rank_pairs``.
        first_day: of the plan, the day after the study's last.
    """
    needed = pairs[pairs["tests_needed"] > 0].sort_values("rank")
    # No network can begin with more in a week, and anybody may make up thousands of networks.
    needed = needed.groupby("probe_asn").head(SITES_A_DAY * DAYS)
    rows = [row for _, of in needed.groupby("probe_asn") for row in _plan_network(of, first_day)]
    columns = ["day", "probe_asn", "network", "place", "domain", "url", "test_reason", "rank"]
    return pd.DataFrame(rows, columns=columns)


def _plan_network(pairs: pd.DataFrame, first_day: date) -> Iterator[dict[Any, Any]]:
    """The days of one network, whose pairs are in order of their ranks."""
    left = dict(zip(pairs["rank"], pairs["tests_needed"], strict=True))
    rows: list[dict[Any, Any]] = pairs.to_dict("records")
    for day in range(DAYS):
        today = [row for row in rows if left[row["rank"]] > 0][:SITES_A_DAY]
        for place, row in enumerate(today, start=1):
            left[row["rank"]] -= 1
            yield {**row, "day": first_day + timedelta(days=day), "place": place}


def describe_run(name: str, sites: pd.DataFrame, since: date) -> dict[str, object]:
    """An OONI Run v2 descriptor: what the app tests when a volunteer follows its link.

    Args:
        name: shown on the volunteer's phone.
        sites: ``url, category_code``, in the order of testing.
        since: first day of the plan.
    """
    line = f"Sites of which a test would tell most, from {since}."
    return {
        "name": name[:_LONGEST_NAME],
        "short_description": line[:_LONGEST_LINE],
        "description": f"{line} Made from earlier measurements; run it once a day for a week, at "
        "different hours. Whether it is safe to test these sites where you are is yours to judge.",
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
        pairs: ``ranking.rank_pairs``.
        plan: ``plan_week``.

    Returns:
        One row per pair of files: ``network, site_count, descriptor_url, plain_list_url``.
    """
    for suffix in ("json", "txt"):
        for old in Path(folder).glob(f"{_PREFIX}.*.{suffix}"):
            old.unlink()
    by_rank = pairs.set_index("rank")
    rows = []
    for asn, of in plan.groupby("probe_asn", sort=True):
        sites = by_rank.loc[sorted(set(of["rank"]))]
        name = f"{of['network'].iloc[0]} ({asn})"
        rows.append(_write_run(Path(folder), str(asn), name, sites, of["day"].min()))
    if rows:
        planned = by_rank.loc[sorted(set(plan["rank"]))].drop_duplicates("domain")
        most = planned.head(SITES_A_DAY * DAYS)
        rows.insert(0, _write_run(Path(folder), "all", "All networks", most, plan["day"].min()))
    return pd.DataFrame(rows, columns=["network", "site_count", "descriptor_url", "plain_list_url"])


def _write_run(
    folder: Path, label: str, name: str, sites: pd.DataFrame, since: date
) -> dict[str, object]:
    descriptor, plain = f"{_PREFIX}.{label}.json", f"{_PREFIX}.{label}.txt"
    # a network's name comes from a probe: its number alone is shown on phones
    title = "What to test next" + ("" if label == "all" else f", {label}")
    content = json.dumps(describe_run(title, sites, since), indent=1, ensure_ascii=True)
    (folder / descriptor).write_text(f"{content}\n", encoding="utf-8")
    text = "".join(f"{url}\n" for url in sites["url"])
    (folder / plain).write_text(text, encoding="ascii")
    return {"network": name, "site_count": len(sites), "descriptor_url": f"tables/{descriptor}",
            "plain_list_url": f"tables/{plain}"}  # fmt: skip
