"""Every statement of a draft, held against what it can be held against."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.pages.html_tables import blocks, render_table
from analysis.reference.countries import country_name
from analysis.review.claims import Claim, Draft
from analysis.review.lookups import Lookup, NotThereError, Report, Shelf, Value
from analysis.review.relations import RELATIONS, check
from analysis.vocabulary import AUDIT_RESULTS

#: The page and its title.
PAGE, TITLE = "claims-audit.html", "Claims of a draft"
LINE = "What a draft says, held against arithmetic, published counts and the tables of the report."
#: Columns of the page, what matters first.
_SHOWN = ["claim_id", "claim", "arithmetic", "where", "relation"]


def audit_claims(draft: Draft, report: Report | None) -> pd.DataFrame:
    """Hold each statement to its relation.

    Args:
        draft: the statements.
        report: whose tables they are held against; without one, or with one of another country or
            period, a statement that needs it cannot be checked.

    Returns:
        The contract's ``claims_audit``, in the order of the draft.
    """
    shelf = Shelf(draft.folder, _usable(draft, report))
    rows = [
        (claim.id, claim.where, claim.text, claim.relation, *_hold(claim, shelf))
        for claim in draft.claims
    ]
    columns = ["claim_id", "where", "claim", "relation", "result", "arithmetic"]
    return pd.DataFrame(rows, columns=columns, dtype="str")


def count_results(audited: pd.DataFrame) -> dict[str, int]:
    """Result → its statements, those that do not hold first."""
    return {name: int((audited["result"] == name).sum()) for name in AUDIT_RESULTS}


def show_audit(draft: Draft, audited: pd.DataFrame) -> list[tuple[str, Markup]]:
    """The sections of the page: heading and content; the first has no heading.

    Args:
        draft: the statements.
        audited: :func:`audit_claims` of it.
    """
    counts = count_results(audited)
    claim = (
        f"Of {len(audited)} statements {counts['does_not_hold']} do not hold, {counts['holds']} "
        f"hold, and {counts['cannot_be_checked']} cannot be checked."
    )
    opening = Markup(
        blocks().finding("A1", claim, f"{draft.document}. Source: {draft.source}", _CAVEAT)
    )
    sections = [("", opening)]
    for result, words in AUDIT_RESULTS.items():
        rows = audited.loc[audited["result"] == result, _SHOWN]
        if len(rows):
            table = render_table(rows, f"Statements: {words.lower()}", "", 60, {})
            sections.append((f"{words} ({len(rows)})", table))
    used = {name: RELATIONS[name].meaning for name in sorted(set(audited["relation"]))}
    return [*sections, ("What a statement is held to", _relations(used))]


_CAVEAT = (
    "A statement that holds agrees with its sums or with a count that somebody published; that "
    "does not make it true. Each was written down as data by hand: what it says is for a reader "
    "to check."
)


def _relations(used: Mapping[str, str]) -> Markup:
    entries = [(name, {"lines": [meaning]}) for name, meaning in used.items()]
    return Markup(blocks().definitions(entries, "glossary"))


def _usable(draft: Draft, report: Report | None) -> Report | str:
    """The report, or why it says nothing of these statements."""
    if report is None:
        return "no report was given to hold it against"
    if (report.probe_cc, report.period) == (draft.probe_cc, draft.period):
        return report
    return (
        f"the report is of {country_name(report.probe_cc)}, {report.period.in_words}; the draft "
        f"speaks of {country_name(draft.probe_cc)}, {draft.period.in_words}"
    )


def _hold(claim: Claim, shelf: Shelf) -> tuple[str, str]:
    places: list[str] = []
    try:
        values = {name: _known(value, shelf, places) for name, value in claim.values.items()}
    except NotThereError as error:
        return "cannot_be_checked", str(error)
    result, arithmetic = check(claim.relation, values)
    source = f". From {', '.join(dict.fromkeys(places))}" if places else ""
    return result, f"{arithmetic}{source}"


def _known(value: object, shelf: Shelf, places: list[str]) -> Any:
    """The value, with each place in a table replaced by what stands there."""
    if isinstance(value, list):
        return [one for item in value for one in _found(item, shelf, places)]
    if isinstance(value, Lookup):
        found = _found(value, shelf, places)
        if len(found) != 1:
            raise NotThereError(f"{value.place} has {len(found)} values where one is needed")
        return found[0]
    return value


def _found(item: Decimal | str | Lookup, shelf: Shelf, places: list[str]) -> Sequence[Value]:
    if not isinstance(item, Lookup):
        return [item]
    places.append(item.place)
    return shelf.find(item)
