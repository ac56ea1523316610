"""What the page on coverage shows of what comes next: pairs to test, a plan, lines to mend."""

import pandas as pd

from analysis.languages.spoken_values import elided
from analysis.pages.show import show_finding, show_table, show_text
from analysis.planning.coverage_page import name_network
from analysis.planning.ranking import LEAST_SUSPICION, STALE_DAYS
from analysis.vocabulary import NETWORK_KINDS

_SHOWN = 20
#: Of so many networks the files are named.
_MOST_FILES = 60
_HEADINGS = {
    "score": "Score", "test_reason": "Why", "tests_needed": "Tests needed",
    "days_untested": "Days since the last test", "pair_count": "Pairs", "site_count": "Sites",
    "network_count": "Networks", "descriptor_url": "OONI Run descriptor",
    "plain_list_url": "Plain list",
    "problem": "What is wrong", "action": "To do", "file": "List", "line": "Line",
    "url": "Address", "line_count": "Lines", "line_proposed": "The line as it should stand",
}  # fmt: skip


def claim_what_to_test(pairs: pd.DataFrame) -> None:
    """Show how many pairs are worth a test, and the best of them.

    Args:
        pairs: the contract's ``what_to_test``.
    """
    first = pairs.sort_values("rank")
    suspected = (pairs["test_reason"] == "suspected").sum()
    elsewhere = (pairs["test_reason"] == "listed_elsewhere").sum()
    show_finding(
        "what-to-test",
        f"{len(pairs):,} pairs of a site and an access network are worth a test; on {suspected:,} "
        "a block is suspected and too little was tested to say so.",
        f"Of {elsewhere:,} further ones another network lists the site, and here too little was "
        "tested to know.",
        "A place in this table is no finding about a site: it says where a test would tell most.",
        "tables/what_to_test.csv",
    )
    reasons = first.groupby("test_reason").agg(
        pair_count=("domain", "size"), site_count=("domain", "nunique"),
        network_count=("probe_asn", "nunique"),
    )  # fmt: skip
    ordered = reasons.sort_values("pair_count", ascending=False).reset_index()
    show_table(ordered, caption="Pairs worth a test, by reason", headings=_HEADINGS)
    columns = ["domain", "network", "test_reason", "score", "blocked_session_count",
               "session_count", "tests_needed", "days_untested"]  # fmt: skip
    show_table(
        first[columns], caption="Pairs worth a test, the highest scores first",
        fold_after=_SHOWN, headings=_HEADINGS, file="what_to_test.csv",
    )  # fmt: skip


def show_worked_example(pairs: pd.DataFrame, networks: pd.DataFrame) -> None:
    """Show how the first pair came by its score.

    Args:
        pairs: the contract's ``what_to_test``.
        networks: the contract's ``networks``.
    """
    if pairs.empty:
        show_text("No pair scores: there is nothing that a test would tell.")
        return
    pair = pairs.sort_values("rank").iloc[0]
    kind = networks.set_index("probe_asn")["kind"][pair["probe_asn"]]
    show_text(*_explain(pair, str(kind)))


def _explain(pair: pd.Series, kind: str) -> list[str]:
    blocked, sessions = pair["blocked_session_count"], pair["session_count"]
    listed, judged = pair["listed_network_count"], pair["judged_network_count"]
    elsewhere = max(listed / judged if judged else 0.0, LEAST_SUSPICION)
    suspicion, closeness, age, reach, score = (
        _digits(pair[name]) for name in ("suspicion", "closeness", "age", "reach", "score")
    )
    tested = f"{pair['days_untested']:,} days before the end it was tested last"
    if sessions == 0:
        tested = "it was never tested"
    return [
        f"The first one is {elided(pair['domain'])} on "
        f"{name_network(pair['network'], pair['probe_asn'])}.",
        f"Suspicion: blocked in {blocked:,} of {sessions:,} sessions; {listed:,} of {judged:,} "
        f"other access networks list the site, which counts as {_digits(elsewhere)} (at least "
        f"{LEAST_SUSPICION}). ({blocked:,} + {_digits(elsewhere)}) ÷ ({sessions:,} + 1) = "
        f"{suspicion}.",
        f"Closeness: tests that are missing to a verdict: {pair['tests_needed']:,}. "
        f"1 ÷ {pair['tests_needed']:,} = {closeness}.",
        f"Age: {tested}; from a half on the last day to one after {STALE_DAYS} days this makes "
        f"{age}. Reach: {NETWORK_KINDS[kind].lower()}, {reach}.",
        f"Score: {suspicion} × {closeness} × {age} × {reach} = {score}.",
    ]


def _digits(value: float) -> str:
    """A number with as many decimals as the table has, without zeros at its end."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def show_plan(plan: pd.DataFrame, runs: pd.DataFrame) -> None:
    """Show what a week of the plan holds, and the files to hand out.

    Args:
        plan: the contract's ``testing_plan``.
        runs: ``weekly_plan.write_runs``.
    """
    by_day = plan.pivot_table(
        index=["probe_asn", "network"], columns="day", values="domain", aggfunc="count"
    )
    counts = by_day.fillna(0).astype("int64").reset_index()
    caption = "Sites to test on each network and day"
    show_table(counts, caption=caption, fold_after=_SHOWN, file="testing_plan.csv")
    more = max(len(runs) - _MOST_FILES, 0)
    note = f"Those of {more:,} networks more lie beside them." if more else ""
    runs = runs.head(_MOST_FILES)
    show_table(runs, caption="Files to hand out", headings=_HEADINGS, note=note)


def show_list_care(care: pd.DataFrame) -> None:
    """Show what is wrong with lines of the test lists, and what to do.

    Args:
        care: the contract's ``list_care``.
    """
    removed = (care["action"] == "remove").sum()
    changed = (care["action"] == "change").sum()
    show_finding(
        "list-care",
        f"{care[['file', 'line']].drop_duplicates().shape[0]:,} lines of the test lists want care: "
        f"{removed:,} times one should go, {changed:,} times one should change.",
        "The others are for a person to look at.",
        "A name that no control resolved has lapsed for now; somebody may register it again.",
        "tables/list_care.csv",
    )
    counted = care.groupby(["file", "problem", "action"]).size().rename("line_count").reset_index()
    show_table(counted, caption="Lines that want care, by list", headings=_HEADINGS,
               note="A line with two problems is counted under each.")  # fmt: skip
    columns = ["file", "line", "problem", "action", "url", "why"]
    order = {"remove": 0, "change": 1}
    first = care.sort_values(
        ["action", "file", "line"], key=lambda cells: cells.map(order).fillna(2)
        if cells.name == "action" else cells,
    )  # fmt: skip
    show_table(first[columns], caption="Lines that want care", fold_after=_SHOWN,
               headings=_HEADINGS, file="list_care.csv")  # fmt: skip
