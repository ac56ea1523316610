"""Two reports of one country: which numbers, findings and sites differ, and what may be the cause.

The cause is read from what differs between the two runs. Where several things differ, no change is
put down to one of them.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError, printable
from analysis.languages.language import ENGLISH, Language
from analysis.pages.formats import counted
from analysis.pages.html_tables import blocks, render_table
from analysis.pages.rendering import Comparison, Section
from analysis.reference.reference_files import country_name
from analysis.reference.withheld import Withheld, load_withheld
from analysis.report.first_page import read_decided
from analysis.review.decisions import is_finding
from analysis.review.reports import Report, check_tables, read_report
from analysis.study.lineage import Lineage, name_differences, shorten
from analysis.tables import TABLES, read_table, tell_cells, write_table
from analysis.vocabulary import CAUSES, DECISIONS, LISTED, STATES

HEADING = "What changed since the last draft"
#: Kinds of change, in the order in which they are shown.
KINDS = {
    "number": "Numbers",
    "finding": "Findings",
    "site": "Sites",
    "site_network": "Sites on one network",
}
#: Cause → the keys of ``run.json`` that differ if it applies, each with its words.
OF_RUN: Mapping[str, Mapping[str, str]] = {
    "data": {
        "input_digest": "observations",
        "apps_digest": "tests of apps and tools",
        "period": "period",
    },
    "method": {
        "rules_version": "rules",
        "code_version": "version of the workbook",
        "changed_thresholds": "thresholds",
    },
    "reference": {"reference": "reference lists", "reference_snapshot": "snapshot of lists"},
}
#: Tables that are compared.
_COMPARED = ("blocked_sites", "verdicts")
_PART, _BASELINE = "part of the measurements", "baseline of the variant"
#: Words of a change besides those of the vocabulary.
NOT_LISTED, WITHDRAWN = "not listed", "withdrawn"
NAMED_A_WITHHELD_SITE = "a sentence with a name that has been withheld since"


def compare_reports(before: Report, after: Report) -> pd.DataFrame:
    """Return the differences between two reports.

    Args:
        before: the earlier one.
        after: the later one.

    Returns:
        The contract's ``changes``: numbers of ``run.json``, findings of the first page, sites whose
        state on the list changed, and their networks. ``cause`` joins all that may have caused it.

    Raises:
        ParameterError: they are of two countries, or one has no tables.
    """
    if before.probe_cc != after.probe_cc:
        raise ParameterError(
            "PREVIOUS",
            before.folder.name,
            f"is of {country_name(before.probe_cc)}, not of {country_name(after.probe_cc)}",
        )
    old, new = _read(before), _read(after)
    for texts in (old, new):
        not_listed = {*old["site"], *new["site"]} & texts["tested"].keys() - texts["site"].keys()
        texts["site"] |= dict.fromkeys(not_listed, NOT_LISTED)
    causes = find_causes(before, after)
    # a difference that the runs do not explain comes from the method
    cause, note = (
        ";".join(causes) or "method",
        "; ".join(f"differs: {shorten(words)}" for words in causes.values()),
    )
    rows = {
        (kind, item): [text_before, text_after, cause, note]
        for kind in KINDS
        for item, text_before, text_after in _differences(old[kind], new[kind])
    }
    for (kind, item), row in rows.items():
        if kind == "site_network":
            reasons = (texts["reason"].get(item, "not tested") for texts in (old, new))
            row[3] = "; ".join(filter(None, [note, "before: {}; now: {}".format(*reasons)]))
    # a decision marks a finding or a site and changes no number; if nothing else differs between
    # the runs, the decision alone has changed the item
    for item, text_before, text_after in _differences(old["decision"], new["decision"]):
        key = "finding" if is_finding(item) else "site", item
        decided = f"decided: {text_after or WITHDRAWN}"
        if key in rows:
            together = "; ".join(filter(None, (rows[key][3], decided)))
            rows[key] = [*rows[key][:2], ";".join([*causes, "decision"]), together]
        else:
            rows[key] = [text_before, text_after, "decision", decided]
    columns = list(TABLES["changes"].columns)
    frame = pd.DataFrame([(*key, *row) for key, row in rows.items()], columns=columns, dtype="str")
    return frame.sort_values(["kind", "item"], ignore_index=True)


def check_comparable(report: Report, parameter: str) -> None:
    """Refuse a report that no other can be compared with: somebody may have sent it.

    Args:
        report: it.
        parameter: the one that named its folder.

    Raises:
        ParameterError: it is of no web site; or a table that is compared is not the one that its
            ``run.json`` names, or not as this workbook writes it.
    """
    check_tables(report, _COMPARED, parameter)
    try:
        _read(report)
    except ParameterError as error:
        raise ParameterError(parameter, report.folder, str(error)) from None


def _read(report: Report) -> dict[str, dict[str, str]]:
    """Return what a report says: kind of change → item → its words.

    Besides the kinds of ``changes`` there are ``tested``, the tested sites, ``reason``, why each
    pair has its state, and ``decision``. An earlier report may have names that a meeting has
    withheld since; these are replaced.

    Raises:
        ParameterError: a table is not as this workbook writes it.
    """
    withheld = load_withheld(report.probe_cc)
    listed, verdicts = (_read_masked(report, name, withheld) for name in _COMPARED)
    whole = verdicts[verdicts["period"] == "all"]
    pairs = whole[whole["state"].isin(LISTED)]
    return {
        "number": _read_numbers(report),
        "finding": _read_claims(report, withheld),
        "site": _words(listed["domain"], listed["state"], report),
        "site_network": _words(_name_pairs(pairs), pairs["state"], report),
        "tested": dict.fromkeys(verdicts["domain"], NOT_LISTED),
        "reason": _reasons(whole),
        "decision": _read_decisions(report, withheld),
    }


def _read_masked(report: Report, name: str, withheld: Withheld) -> pd.DataFrame:
    """Return a table of a report with placeholders for withheld names."""
    table = read_table(report.tables, name)
    return table.assign(domain=table["domain"].map(withheld.mask))


def _read_numbers(report: Report) -> dict[str, str]:
    """Return the headline numbers by name."""
    numbers = report.run.get("findings", {})
    return {name: str(number["value"]) for name, number in numbers.items()}


def _read_claims(report: Report, withheld: Withheld) -> dict[str, str]:
    """Return the claim of each finding; of one that names a withheld site, only that it does."""
    # a placeholder among other names would give the name away
    return {
        item: NAMED_A_WITHHELD_SITE if withheld.spells(claim) else claim
        for item, claim in report.run.get("finding_claims", {}).items()
    }


def _read_decisions(report: Report, withheld: Withheld) -> dict[str, str]:
    """Return what a meeting decided of each item, in words."""
    return {
        withheld.mask(item): DECISIONS.get(row["decision"], row["decision"])
        for item, row in read_decided(report.tables).items()
    }


def _name_pairs(verdicts: pd.DataFrame) -> pd.Series:
    """Return site and network of each row as one text, such as ``example.org AS64500``."""
    return verdicts["domain"] + " " + tell_cells(verdicts["probe_asn"], "asn")


def _reasons(verdicts: pd.DataFrame) -> dict[str, str]:
    """Return by site and network the reason for its state: the mechanism, or the note."""
    states = verdicts["state"].map({name: state.words.lower() for name, state in STATES.items()})
    reasons = verdicts["mechanism"].where(verdicts["mechanism"] != "", verdicts["note"])
    words = reasons.where(reasons != "", states)
    return dict(zip(_name_pairs(verdicts), words, strict=True))


def _words(items: pd.Series, states: pd.Series, report: Report) -> dict[str, str]:
    """Return the state of each item in words."""
    for state in states[~states.isin(list(STATES))]:
        raise ParameterError("tables", report.tables, f"there is no state {str(state)[:40]!r}")
    return {item: STATES[state].words for item, state in zip(items, states, strict=True)}


def _differences(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    for item in sorted(before.keys() | after.keys()):
        old, new = before.get(item, ""), after.get(item, "")
        if old != new:
            yield item, old, new


def find_causes(before: Report, after: Report) -> dict[str, list[str]]:
    """Return the parts of the runs that differ, by cause, each in words."""
    differences = {
        cause: [words for key, words in keys.items() if _of_run(before, key) != _of_run(after, key)]
        for cause, keys in OF_RUN.items()
    }
    lineage_before, lineage_after = Lineage.read(before.run), Lineage.read(after.run)
    if lineage_before and lineage_after:  # it says more than their versions
        version = [OF_RUN["method"]["code_version"]]
        differences["method"] = [
            *name_differences(lineage_before, lineage_after),
            *(version if version[0] in differences["method"] else []),
        ]
    elif lineage := lineage_before or lineage_after:  # one of them is older than that record
        differences["method"] += lineage.edits
    variant_before, variant_after = (report.run.get("variant", {}) for report in (before, after))
    if variant_before.get("only") != variant_after.get("only"):
        differences["data"].append(_PART)
    if any(variant_before.get(name) != variant_after.get(name) for name in ("baseline", "code")):
        differences["method"].append(_BASELINE)
    return {cause: words for cause, words in differences.items() if words}


def _of_run(report: Report, key: str) -> Any:
    if key == "period":
        names = ("since", "until", "split", "receipt_margin")
        return [report.run["parameters"].get(name) for name in names]
    value = report.run.get(key)
    return json.dumps(value, sort_keys=True) if value else ""


def show_changes(
    changes: pd.DataFrame, before: Report, after: Report, lang: Language = ENGLISH
) -> Markup:
    """Return the section of the first page: the differences between the runs, and the changes by
    kind.

    Changes on single networks are counted; the table has them. Drafts are compared in English,
    whatever the language, and so are their tables.
    """
    compared = lang.say("Compared with the draft of {period}.", period=before.period)
    opening = [f"{compared} {_runs(before, after, lang)}", Markup(" ").join(_counts(changes, lang))]
    shown = changes[changes["kind"] != "site_network"]
    if shown["note"].nunique() < 2:  # the opening says it
        shown = shown.drop(columns="note")
    tables = Markup("")
    for kind, (caption, item) in _CAPTIONS.items():
        rows = shown[shown["kind"] == kind].drop(columns="kind")
        if kind == "site":
            rows = rows.rename(columns={"item": "domain"})
        if len(rows):
            headings = {"item": item, "domain": item, "before": "Before", "after": "Now"}
            tables += render_table(rows, caption, "", 12, headings)
    in_english = Markup('<div lang="{}">{}</div>').format(ENGLISH.code, tables)
    return Markup(blocks().paragraphs(opening)) + in_english


#: Kind of change → the caption of its table, and the heading of its first column.
_CAPTIONS = {
    "number": ("Numbers that changed", "Number"),
    "finding": ("Findings that changed", "Finding"),
    "site": ("Sites that changed", "Site"),
}


def comparison_with(previous: Report) -> Comparison:
    """Compare a report that is being made with an earlier one."""

    def make(tables: Path, run: Mapping[str, Any], lang: Language) -> Section:
        now = Report(tables.parent, run)
        changes = write_table(tables, "changes", compare_reports(previous, now))
        return lang.say(HEADING), show_changes(changes, previous, now, lang)

    return make


def compare(before: Path, after: Path) -> Iterator[str]:
    """Compare the folders of two reports, in lines for a terminal.

    Raises:
        ParameterError: one is no report, or they are of two countries.
    """
    first, second = (read_report(folder, name) for folder, name in ((before, "A"), (after, "B")))
    for report, name in ((first, "A"), (second, "B")):
        check_comparable(report, name)
    changes = compare_reports(first, second)
    yield printable(_runs(first, second))
    for kind, words in KINDS.items():
        rows = changes[changes["kind"] == kind]
        yield f"{words}: {len(rows):,} changed"
        for row in rows.itertuples(index=False):
            yield printable(
                f"  {row.item}: {row.before or '–'} → {row.after or '–'}  [{row.cause}] {row.note}"
            )


def _runs(before: Report, after: Report, lang: Language = ENGLISH) -> str:
    causes = find_causes(before, after)
    if not causes:
        return lang.say("Nothing differs between the two runs that run.json tells of.")
    translated = {_PART, _BASELINE, *(words for keys in OF_RUN.values() for words in keys.values())}
    parts = [
        lang.say(
            "{cause} (differs: {what})",
            cause=lang.say(CAUSES[cause]),
            what=[lang.say(part) if part in translated else part for part in words],
        )
        for cause, words in causes.items()
    ]
    sentence = lang.say("Between the two runs: {causes}.", causes=parts)
    if len(causes) == 1:
        return sentence
    return f"{sentence} " + lang.say("Which of them caused a change is not told apart.")


def _counts(changes: pd.DataFrame, lang: Language) -> Iterator[Markup]:
    counts = changes["kind"].value_counts()

    def count(kind: str) -> Markup:
        return counted(f"changes.{kind}_count", counts.get(kind, 0))

    sites = changes[changes["kind"] == "site"]
    listed = [STATES[state].words for state in LISTED]
    came = (~sites["before"].isin(listed) & sites["after"].isin(listed)).sum()
    unlisted_count = (sites["before"].isin(listed) & ~sites["after"].isin(listed)).sum()
    yield lang.html(
        "Sites that came on the list: {came}; that left it: {left}.",
        came=counted("changes.came_count", came),
        left=counted("changes.left_count", unlisted_count),
    )
    yield lang.html(
        "Numbers that changed: {numbers}; findings: {findings}; pairs of site and network: {pairs} "
        "({table}).",
        numbers=count("number"),
        findings=count("finding"),
        pairs=count("site_network"),
        table="tables/changes.csv",
    )
