"""Figures of a page with all that belongs to one: what its title claims, footer, words, caption.

A notebook calls one of these for a section's claim; ``figures`` draws, ``pages`` shows.
"""

import pandas as pd

from analysis.display import bars, grids, timeline
from analysis.display.show import show_figure, show_table
from analysis.findings.confirmation import spans_by_site
from analysis.findings.study import Study
from analysis.reference.events import event_table, in_words
from analysis.vocabulary import METHODS


def show_methods_by_network(study: Study, listed: pd.DataFrame) -> None:
    """Show how each network blocks.

    Args:
        study: whose period and country the footer names.
        listed: ``domain, probe_asn, network, mechanism``, one row per listed pair.
    """
    named = listed.assign(network=listed["network"] + " (" + listed["probe_asn"] + ")")
    counts = named.groupby(["network", "mechanism"]).size().rename("domain_count").reset_index()
    title = f"{counts['mechanism'].nunique()} ways of blocking"
    footer = study.footer(len(listed), "pairs of site and network")
    show_figure(
        grids.methods_by_network(counts, title=title, footer=footer),
        alt="Grid of the number of listed sites by network and mechanism, as verdicts.csv has "
        "them.",
        caption="Listed sites by network and mechanism.",
    )


def show_timeline(study: Study, intervals: pd.DataFrame) -> None:
    """Show when each site was blocked on some network, with the known events of the period.

    Args:
        study: whose period the axis spans; it holds the events.
        intervals: the contract's ``blocking_intervals`` with the ``state`` of each pair.
    """
    period, events = study.periods["all"], study.known_events
    spans = spans_by_site(intervals)
    stretches = spans["domain"].value_counts()
    title = (
        f"{len(stretches)} sites were seen blocked or likely blocked, "
        f"{(stretches > 1).sum()} of them more than once"
    )
    footer = study.footer(len(spans), "stretches of blocking")
    span = {"since": period.since, "until": period.until}
    show_figure(
        timeline.blocking_timeline(spans, title=title, footer=footer, events=events, **span),
        alt="A line per site on a time axis, a bar while it was seen blocked, thin where an edge "
        f"lies between tests; the dates are in the table of intervals. {in_words(events)}",
        caption="When each listed site was seen blocked on at least one access network.",
    )
    if events:
        show_table(
            event_table(events),
            caption="Known events in the period",
            note="A day that coincides with the beginning or the end of a block proves no cause.",
        )


def show_agreement(study: Study, compared: pd.DataFrame) -> None:
    """Show which methods list the same sites.

    Args:
        study: whose period and country the footer names.
        compared: ``differences.compare_methods``.
    """
    agreed = compared[list(METHODS)].all(axis=1)
    title = f"Of {len(compared)} sites that any method lists, {agreed.sum()} are on every list"
    footer = study.footer(len(compared), "sites")
    show_figure(
        bars.methods_compared(compared, METHODS, title=title, footer=footer),
        alt="A dot per method and combination, a bar for its sites; the table of sites has the "
        "same.",
        caption="Sites by the methods that list them.",
    )


def show_sweep(study: Study, swept: pd.DataFrame, site_count: int) -> None:
    """Show how far the list moves with each threshold.

    Args:
        study: whose period and country the footer names.
        swept: ``sensitivity.sweep``.
        site_count: sites on the list with the thresholds in use.
    """
    shift = swept["gained_count"] + swept["lost_count"]
    title = f"No value tried moves more than {shift.max()} of {site_count} sites"
    footer = study.footer(len(swept), "values of thresholds")
    show_figure(
        bars.thresholds_swept(swept, title=title, footer=footer),
        alt="Listed pairs at each value of each threshold; the table below has the same numbers.",
        caption="Listed pairs of site and access network by threshold; figures are the values "
        "tried.",
    )
    show_table(swept[shift > 0], caption="Values that move sites on or off the list")
    all_values = swept.drop(columns=["gained", "lost"])
    show_table(all_values, caption="All values tried", fold_after=12)
