"""The finding on apps and circumvention tools: from tables to values, from values to words."""

from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.observations.messaging_tests import BY_NAME
from analysis.pages.formats import counted
from analysis.report.app_countries import COUNTRY
from analysis.report.finding_parts import Telling, Words, draw_shares
from analysis.tables import read_table
from analysis.vocabulary import LISTED

_TABLE = "messaging_verdicts"
#: The numbers that the words use, as ``count_apps`` names them.
_NUMBERS = ("blocked_app_count", "app_test_count", "app_network_count")


def count_apps(verdicts: pd.DataFrame) -> dict[str, int]:
    """The headline numbers of apps and tools.

    Args:
        verdicts: the contract's ``messaging_verdicts``.
    """
    whole = verdicts[verdicts["period"] == "all"]
    own = whole[whole["probe_asn"] != COUNTRY]
    listed = list_blocked(own)
    defective = verdicts.loc[verdicts["set_aside_reason"] == "instrument", "test_name"]
    return {
        "app_test_count": int(whole["test_name"].nunique()),
        "app_network_count": int(own["probe_asn"].nunique()),
        "blocked_app_count": int(list_blocked(whole)["test_name"].nunique()),
        "blocked_app_pair_count": len(listed),
        "blocked_app_network_count": int(listed["probe_asn"].nunique()),
        "defective_app_count": int(defective.nunique()),
    }


def list_blocked(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The rows that are blocked or likely blocked, on access networks or in the country."""
    is_listed = verdicts["state"].isin(LISTED)
    return verdicts[is_listed & (verdicts["set_aside_reason"] != "not_domestic")]


def find_apps(tables: str | Path) -> dict[str, Any] | None:
    """The finding as values; None where the page on apps was not made, or nothing was tested."""
    if not (Path(tables) / f"{_TABLE}.csv").is_file():
        return None
    verdicts = read_table(tables, _TABLE)
    whole = verdicts[verdicts["period"] == "all"]
    if whole.empty:
        return None
    own = whole[whole["probe_asn"] != COUNTRY]
    listed, tested = list_blocked(own).groupby("test_name").size(), own.groupby("test_name").size()
    by_counts = list_blocked(whole[whole["probe_asn"] == COUNTRY])["test_name"]
    broken = verdicts.loc[verdicts["set_aside_reason"] == "instrument", "test_name"]
    rows = [
        [_title(name), int(listed.get(name, 0)), int(tested[name])]
        for name in tested.index
        if name in listed or name not in set(broken)  # of a test that says nothing, no 0
    ]
    numbers = count_apps(verdicts)
    return {
        "sites": [],
        "site_count": 0,
        "values": {
            **{name: numbers[name] for name in _NUMBERS},
            "names": [_title(name) for name in sorted(list_blocked(whole)["test_name"].unique())],
            "rows": sorted(rows, key=lambda row: (-row[1], row[0])),
            "partial": [_title(name) for name in sorted(_list_partial(whole))],
            "less": [_title(name) for name in sorted(_list_less(whole) - _list_partial(whole))],
            "by_counts": [_title(name) for name in sorted(by_counts.unique())],
            "defects": [_title(name) for name in sorted(broken.unique())],
            "has_control": bool((whole["control"] == "countries").any()),
        },
    }


def _list_partial(whole: pd.DataFrame) -> set[str]:
    """Tests that are cut off in part wherever they are."""
    listed = list_blocked(whole)
    is_partial = listed["is_partial"].astype(bool).groupby(listed["test_name"]).all()
    return set(is_partial[is_partial].index)


def _list_less(whole: pd.DataFrame) -> set[str]:
    """Tests of which some network cuts off less than the whole app at all hours."""
    listed = list_blocked(whole)
    is_page_alone = listed["parts"] == "web"
    is_less = is_page_alone | listed["is_partial"].astype(bool) | (listed["schedule"] != "")
    return set(listed.loc[is_less, "test_name"])


def _title(test_name: object) -> str:
    return BY_NAME[str(test_name)].title


def word_apps(tell: Telling) -> Words:
    """The finding in words."""
    lang, values = tell.lang, tell.values
    blocked, tested = (
        counted(name, values[name], lang.number(values[name]))
        for name in ("blocked_app_count", "app_test_count")
    )
    claim = lang.html(
        "{blocked} of {tested} messaging apps and circumvention tools that were tested were "
        "blocked or likely blocked.",
        blocked=blocked, tested=tested,
    )  # fmt: skip
    named = Markup("")
    if values["names"]:
        named = lang.html(
            "These are {apps}.", apps=[lang.english(name) for name in values["names"]]
        )
    caveats = []
    if values["by_counts"]:
        caveats.append(lang.html(
            "Found in OONI’s counts of the whole country, which know no networks: {apps}.",
            apps=[lang.english(name) for name in values["by_counts"]],
        ))  # fmt: skip
    if values["partial"]:
        caveats.append(lang.html(
            "Cut off in part, while most of their endpoints were reached, so that they may have "
            "worked: {apps}.",
            apps=[lang.english(name) for name in values["partial"]],
        ))  # fmt: skip
    if values["less"]:
        caveats.append(lang.html(
            "On some of these networks less than the app was cut off: a few of its endpoints, its "
            "web page alone, or certain hours alone: {apps}.",
            apps=[lang.english(name) for name in values["less"]],
        ))  # fmt: skip
    if values["defects"]:
        caveats.append(lang.html(
            "Tests that failed in other countries too, so that they say nothing here: {apps}.",
            apps=[lang.english(name) for name in values["defects"]],
        ))  # fmt: skip
    caveats.append(
        lang.html("Each test was held against the same weeks in other countries.")
        if values["has_control"]
        else lang.html(
            "No counts of other countries were at hand: what failed on most networks at once "
            "cannot be told from a fault of the test."
        )
    )
    figure = Markup("")
    if values["rows"]:
        heads = (lang.say("App or tool"), lang.say("Networks that block"),
                 lang.say("Of the networks tested"))  # fmt: skip
        figure = draw_shares(
            lang, values["rows"], heads,
            lang.html("Networks on which each app or tool was blocked or likely blocked."),
        )  # fmt: skip
    return Words(claim, named, figure, tuple(caveats))
