"""Two reports of one country: which numbers, findings and sites differ, and what may be the cause.

The cause is read from what differs between the two runs. Where several things differ, no change is
put down to one of them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.languages.language import ENGLISH, Language
from analysis.pages.html_tables import blocks, render_table
from analysis.reference.countries import country_name
from analysis.review.lookups import Report
from analysis.tables import read_table
from analysis.vocabulary import CAUSES, DECISIONS, LISTED, STATES

HEADING = "What changed since the last draft"
#: Kinds of change, in the order in which they are shown.
KINDS = {
    "number": "Numbers",
    "finding": "Findings",
    "site": "Sites",
    "site_network": "Sites on one network",
}
#: Cause → what in ``run.json`` differs where it is one, each with its words.
OF_RUN: Mapping[str, Mapping[str, str]] = {
    "data": {"input_digest": "observations", "period": "period"},
    "method": {
        "rules_version": "rules",
        "code_version": "version of the workbook",
        "changed_thresholds": "thresholds",
    },
    "reference": {"reference": "reference lists", "reference_snapshot": "snapshot of lists"},
}
#: Words of a change that no list of words has.
NOT_LISTED, WITHDRAWN = "not listed", "withdrawn"
#: The tables that every report has of those that are compared.
_COMPARED = ("blocked_sites", "verdicts")
_COLUMNS = ["kind", "item", "before", "after", "cause", "note"]


def compare_reports(before: Report, after: Report) -> pd.DataFrame:
    """What differs between two reports.

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
            "PREVIOUS", before.folder.name,
            f"is of {country_name(before.probe_cc)}, not of {country_name(after.probe_cc)}",
        )  # fmt: skip
    causes = find_causes(before, after)
    # a difference that the runs do not explain is in what judges
    cause, note = ";".join(causes) or "method", "; ".join(filter(None, causes.values()))
    rows = [
        {"kind": kind, "item": item, "before": old, "after": new, "cause": cause, "note": note}
        for kind, old_values, new_values in _values(before, after)
        for item, old, new in _differences(old_values, new_values)
    ]
    return _with_decisions(pd.DataFrame(rows, columns=_COLUMNS, dtype="str"), before, after)


def check_comparable(report: Report, parameter: str) -> None:
    """Refuse a report that no other can be compared with: somebody may have sent it.

    Args:
        report: it.
        parameter: the one that named its folder.

    Raises:
        ParameterError: it is of no web site; or a table that is compared is not the one that its
            ``run.json`` names, or not as this workbook writes it.
    """
    known = report.run.get("tables", {})
    for name in _COMPARED if isinstance(known, dict) else ():
        path, noted = report.tables / f"{name}.csv", known.get(f"{name}.csv")
        if not path.is_file():
            what = f"its tables/{name}.csv is missing" if noted else f"it has no table {name}.csv"
            raise ParameterError(parameter, report.folder, f"{what}, so that nothing compares")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if isinstance(noted, dict) and noted.get("sha256") != digest:
            raise ParameterError(
                parameter, report.folder, f"its tables/{name}.csv is not the one that its run.json "
                "names: a table that somebody changed is no report's"
            )  # fmt: skip
    try:
        _ = (_listed(report), _site_networks(report), _decisions(report))
    except ParameterError as error:
        raise ParameterError(parameter, report.folder, str(error)) from None


def find_causes(before: Report, after: Report) -> dict[str, str]:
    """What differs between the runs: cause → in words; empty where nothing does."""
    return {
        cause: f"differs: {', '.join(words)}" for cause, words in _differing(before, after).items()
    }


def _differing(before: Report, after: Report) -> dict[str, list[str]]:
    """Cause → what of it differs between the runs, each in words."""
    found = {
        cause: [words for key, words in keys.items() if _of_run(before, key) != _of_run(after, key)]
        for cause, keys in OF_RUN.items()
    }
    return {cause: words for cause, words in found.items() if words}


def show_changes(
    changes: pd.DataFrame, before: Report, after: Report, lang: Language = ENGLISH
) -> Markup:
    """The section of the first page: what differs between the runs, and the changes by kind.

    Changes on single networks are counted; the table has them. Findings are held against each
    other by their claims in English, whatever the language.
    """
    compared = lang.say("Compared with the draft of {period}.", period=before.period)
    opening = [f"{compared} {_runs(before, after, lang)}", " ".join(_counts(changes, lang))]
    content = Markup(blocks().paragraphs(opening))
    tables = Markup("")
    shown = changes[changes["kind"] != "site_network"]
    if shown["note"].nunique() < 2:  # the opening says it
        shown = shown.drop(columns="note")
    headings = {"before": lang.say("Before"), "after": lang.say("Now")}
    captions = {
        "number": (lang.say("Numbers that changed"), lang.say("Number")),
        "finding": (lang.say("Findings that changed"), lang.say("Finding")),
        "site": (lang.say("Sites that changed"), lang.say("Site")),
    }
    for kind, (caption, item) in captions.items():
        rows = _say_rows(shown[shown["kind"] == kind].drop(columns="kind"), kind, lang)
        if rows.empty:
            continue
        table = render_table(rows, caption, "", 12, {"item": item, **headings}, lang=lang)
        if kind == "finding" and lang != ENGLISH:
            table = Markup('<div lang="{}">{}</div>').format(ENGLISH.code, table)
        tables += table
    return content + tables


#: What the columns of a site's change hold, besides what somebody else's report may.
_SAID = {NOT_LISTED, WITHDRAWN, *(state.words for state in STATES.values()), *DECISIONS.values()}


def _say_rows(rows: pd.DataFrame, kind: str, lang: Language) -> pd.DataFrame:
    """The rows of one kind, in the words of a language as far as they are ours."""
    said = rows.assign(
        cause=[
            ";".join(lang.say(CAUSES[one]) if one in CAUSES else one for one in cause.split(";"))
            for cause in rows["cause"]
        ]
    )
    if "note" in said:
        said["note"] = [_say_note(note, lang) for note in said["note"]]
    if kind != "site":
        return said
    for name in ("before", "after"):
        said[name] = [lang.say(words) if words in _SAID else words for words in said[name]]
    return said.rename(columns={"item": "domain"})


def _say_note(note: str, lang: Language) -> str:
    """What differs between the runs and what was decided, in the words of a language."""
    known = {words for of_cause in OF_RUN.values() for words in of_cause.values()}
    parts = []
    for part in note.split("; "):
        verb, _, told = part.partition(": ")
        words = [lang.say(one) if one in known | _SAID else one for one in told.split(", ")]
        said = {
            "differs": lang.say("differs: {what}", what=words),
            "decided": lang.say("decided: {what}", what=words),
        }
        parts.append(said.get(verb, part))
    return "; ".join(parts)


def as_text(changes: pd.DataFrame, before: Report, after: Report) -> Iterator[str]:
    """The same for a terminal, a line a change; no character of a measurement can act there."""
    yield _runs(before, after)
    for kind, words in KINDS.items():
        rows = changes[changes["kind"] == kind]
        yield f"{words}: {len(rows):,} changed"
        for row in rows.itertuples(index=False):
            yield f"  {row.item}: {row.before or '–'} → {row.after or '–'}  [{row.cause}]"


def _of_run(report: Report, key: str) -> Any:
    if key == "period":
        names = ("since", "until", "split", "receipt_margin")
        return [report.run["parameters"].get(name) for name in names]
    value = report.run.get(key)
    return json.dumps(value, sort_keys=True) if value else ""


def _runs(before: Report, after: Report, lang: Language = ENGLISH) -> str:
    causes = _differing(before, after)
    if not causes:
        return lang.say("Nothing differs between the two runs that run.json tells of.")
    parts = [
        lang.say("{cause} (differs: {what})", cause=lang.say(CAUSES[cause]),
                 what=[lang.say(one) for one in words])
        for cause, words in causes.items()
    ]  # fmt: skip
    told = lang.say("Between the two runs: {causes}.", causes=parts)
    if len(causes) == 1:
        return told
    return f"{told} {lang.say('Which of them caused a change is not told apart.')}"


def _counts(changes: pd.DataFrame, lang: Language) -> Iterator[str]:
    counts = changes["kind"].value_counts()
    sites = changes[changes["kind"] == "site"]
    listed = [STATES[state].words for state in LISTED]
    came = (~sites["before"].isin(listed) & sites["after"].isin(listed)).sum()
    left = (sites["before"].isin(listed) & ~sites["after"].isin(listed)).sum()
    yield lang.say(
        "Sites that came on the list: {came}; that left it: {left}.", came=came, left=left
    )
    yield lang.say(
        "Numbers that changed: {numbers}; findings: {findings}; pairs of site and network: {pairs} "
        "({table}).",
        numbers=counts.get("number", 0), findings=counts.get("finding", 0),
        pairs=counts.get("site_network", 0), table="tables/changes.csv",
    )  # fmt: skip


Values = Mapping[str, str]


def _values(before: Report, after: Report) -> Iterator[tuple[str, Values, Values]]:
    """Kind → item → what each report says of it."""
    yield "number", _numbers(before), _numbers(after)
    if _findings(before) and _findings(after):  # an earlier version tells of none
        yield "finding", _findings(before), _findings(after)
    either = {*_listed(before), *_listed(after)}
    yield "site", _sites(before, either), _sites(after, either)
    yield "site_network", _site_networks(before), _site_networks(after)


def _differences(before: Values, after: Values) -> Iterator[tuple[str, str, str]]:
    for item in sorted(before.keys() | after.keys()):
        old, new = before.get(item, ""), after.get(item, "")
        if old != new:
            yield item, old, new


def _numbers(report: Report) -> Values:
    return {name: str(one["value"]) for name, one in report.run.get("findings", {}).items()}


def _findings(report: Report) -> Values:
    return {name: str(claim) for name, claim in report.run.get("finding_claims", {}).items()}


def _listed(report: Report) -> Values:
    states = read_table(report.tables, "blocked_sites").set_index("domain")["state"]
    return {str(domain): _words(state, report) for domain, state in states.items()}


def _words(state: object, report: Report) -> str:
    if state not in STATES:
        raise ParameterError("tables", report.tables, f"there is no state {str(state)[:40]!r}")
    return STATES[str(state)].words


def _sites(report: Report, names: Set[str]) -> Values:
    """Of these sites the state on the list, or that a tested one is not on it."""
    tested = {*read_table(report.tables, "verdicts")["domain"]} & names
    return {**dict.fromkeys(tested, NOT_LISTED), **_listed(report)}


def _site_networks(report: Report) -> Values:
    verdicts = read_table(report.tables, "verdicts")
    cells = verdicts[(verdicts["period"] == "all") & verdicts["state"].isin(LISTED)]
    return {
        f"{row.domain} {row.probe_asn}": _words(row.state, report)
        for row in cells.itertuples(index=False)
    }


def _decisions(report: Report) -> Values:
    """Item → what a meeting decided of it, where that holds for the report."""
    if not (report.tables / "decisions.csv").is_file():  # an earlier version tells of none
        return {}
    decisions = read_table(report.tables, "decisions")
    applied = decisions[decisions["status"] == "applied"]
    # an earlier report is anybody's, and may have decisions of its own
    return {
        str(row.item): DECISIONS.get(str(row.decision), str(row.decision))
        for row in applied.itertuples(index=False)
    }


def _with_decisions(changes: pd.DataFrame, before: Report, after: Report) -> pd.DataFrame:
    """With what a meeting decided meanwhile: it marks a finding or a site and moves no number."""
    by_key: dict[tuple[str, str], dict[str, str]] = {
        (row["kind"], row["item"]): {name: str(row[name]) for name in _COLUMNS}
        for row in changes.to_dict("records")
    }
    # where nothing else differs between the runs, nothing else has moved the item either
    cause = ";".join([*find_causes(before, after), "decision"])
    for item, old, new in _differences(_decisions(before), _decisions(after)):
        kind = "finding" if item[:1] == "F" and item[1:].isdigit() else "site"
        note = f"decided: {new or WITHDRAWN}"
        row = by_key.get((kind, item))
        if row:
            row |= {"cause": cause, "note": "; ".join(filter(None, (row["note"], note)))}
        else:
            changed = {"before": old, "after": new, "cause": "decision", "note": note}
            by_key[kind, item] = {"kind": kind, "item": item, **changed}
    rows = pd.DataFrame(list(by_key.values()), columns=_COLUMNS, dtype="str")
    return rows.sort_values(["kind", "item"], ignore_index=True)
