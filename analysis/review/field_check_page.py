"""The page of the field check, and its lines for a terminal, made from its tables."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.languages.language import ENGLISH, NOTHING, Language
from analysis.pages.formats import link, macros
from analysis.pages.html_tables import blocks, render_table
from analysis.pages.rendering import Section
from analysis.reference.labels import LABELS, load_reported
from analysis.reference.reference_files import country_name
from analysis.review.agreement import CASES, TABLE, count_layers, measure
from analysis.tables import list_rows, tell_network
from analysis.vocabulary import ANALYSTS, CASE_RESULTS, CHECK_MEASURES, CHECKED_METHODS

PAGE = "index.html"
_READINGS = (*LABELS, "unknown")
_FEW = 20


def show_field_check(
    table: pd.DataFrame, cases: pd.DataFrame | None, provenance: Mapping[str, str], lang: Language
) -> list[Section]:
    """Return the sections of the page, each with its heading.

    Args:
        table: the contract's ``field_check``.
        cases: the contract's ``field_check_events``; None if no country was asked for.
        provenance: name → version or digest.
        lang: of the words.
    """
    form = macros("field_check.html.j2", lang)
    compared = table[table["comparison"] != "not_compared"]
    missing = table[table["comparison"] == "not_compared"]
    opening = form.opening(_count(compared), len(missing))
    sections: list[Section] = [("", Markup(opening))]
    if len(compared):
        sections += [
            (lang.heading("How often judge and analysts agree"), _show_measures(table, lang)),
            (lang.heading("By label, layer and country"), _show_groups(compared, lang)),
            (lang.heading("Differences"), _show_differences(compared, lang)),
        ]
    if len(missing):
        columns = ["domain", "probe_cc", "probe_asn", "label", "note", "witness_url"]
        headings = {"witness_url": lang.say("Measurement")}
        caption = lang.say("Labelled measurements without a reading")
        content = _show(missing[columns], caption, lang, headings)
        sections.append((lang.heading("Not compared"), content))
    if cases is not None:
        sections.append((lang.heading("Events of the country"), _show_cases(cases, lang)))
    tables = [TABLE, *([CASES] if cases is not None else [])]
    links = [link(f"tables/{name}.csv", f"{name}.csv") for name in tables]
    return [
        *sections,
        (lang.heading("How to read this"), Markup(form.how_to_read(links))),
        (lang.heading("Provenance"), Markup(blocks(lang).definitions(provenance, "provenance"))),
    ]


def say_field_check(table: pd.DataFrame) -> Iterator[str]:
    """Yield the result in lines for a terminal."""
    compared = table[table["comparison"] != "not_compared"]
    counts = _count(compared)
    yield (
        f"{counts['compared']} of {len(table)} labelled measurements compared: {counts['agrees']} "
        f"agree, {counts['differs']} differ, {counts['undecided']} are not decided by one "
        "measurement"
    )
    if len(compared):
        yield (
            f"labelled blocked and read as open or down: {counts['missed']}; labelled open or "
            f"down and read as blocked: {counts['accused']}"
        )
        for row in _word_measures(table, ENGLISH).itertuples(index=False):
            yield (
                f"{row.measure:<13}{row.method:<23}{row.cases:<12}{row.shares}; weighted "
                f"{row.weighted}; OONI reports {row.reported}"
            )
    for note, count in table.loc[table["note"] != "", "note"].value_counts(sort=False).items():
        yield f"not compared: {count}, {note}"


def _count(compared: pd.DataFrame) -> dict[str, int]:
    """Count the comparisons by result, and the differences about whether a site is blocked."""
    kinds, reading = compared["comparison"].value_counts(), compared["class"]
    is_blocked = compared["label"] == "blocked"
    return {
        **{name: int(kinds.get(name, 0)) for name in ("agrees", "differs", "undecided")},
        "compared": len(compared),
        "missed": int((is_blocked & reading.isin(["ok", "down"])).sum()),
        "accused": int((~is_blocked & (reading == "blocked")).sum()),
    }


def _show(
    frame: pd.DataFrame, caption: str, lang: Language, headings: Mapping[str, str] | None = None
) -> Markup:
    """Return a table of labelled measurements, or of what is counted of them."""
    words = {"probe_cc": lang.say("Country"), **(headings or {})}
    return render_table(frame, caption, "", _FEW, words, file=f"{TABLE}.csv", lang=lang)


def _show_measures(table: pd.DataFrame, lang: Language) -> Markup:
    headings = {
        "measure": lang.say("Measure"),
        "method": lang.say("Method"),
        "cases": lang.say("Measurements"),
        "shares": lang.say("Share"),
        "weighted": lang.say("Share, weighted"),
        "reported": lang.say("As OONI reports, weighted"),
    }
    note = lang.say("In brackets the bounds at 95 %. The precision of OONI's flag is not weighted.")
    frame = _word_measures(table, lang)
    caption = lang.say("Judge, OONI's flag and OONI's pipeline beside the labels")
    return render_table(frame, caption, note, len(frame), headings, lang=lang)


def _word_measures(table: pd.DataFrame, lang: Language) -> pd.DataFrame:
    """Return the measures of all methods in words: ``measure, method, cases, shares, weighted,
    reported``.
    """
    own, reported = (
        {(row.measure, row.method): row for row in list_rows(frame)}
        for frame in (measure(table), load_reported())
    )

    def repeat(share: float) -> str:
        return f"{lang.number(round(100 * share, 2))} %"  # with the decimals that OONI gives

    rows = []
    for key in product(CHECK_MEASURES, CHECKED_METHODS):
        names = CHECK_MEASURES[key[0]], CHECKED_METHODS[key[1]]
        row: Any = dict(zip(("measure", "method"), map(lang.say, names), strict=True))
        if found := own.get(key):
            hits, cases = found.success_count, found.trial_count
            shares = found.share, found.lower_share, found.upper_share
            weighted = (
                found.weighted_share,
                found.weighted_lower_share,
                found.weighted_upper_share,
            )
            row["cases"] = lang.say("{count} of {all}", count=hits, all=cases)
            row["shares"] = _bounded(lang, lang.share, *shares)
            row["weighted"] = _bounded(lang, lang.share, *weighted)
        if told := reported.get(key):
            shares = told.share, told.lower_share, told.upper_share
            row["reported"] = _bounded(lang, repeat, *shares)
        rows.append(row)
    columns = ["measure", "method", "cases", "shares", "weighted", "reported"]
    return pd.DataFrame(rows, columns=columns).fillna(NOTHING)


def _bounded(
    lang: Language,
    tell: Callable[[float], str],
    share: float | None,
    low: float | None,
    high: float | None,
) -> str:
    """Return a share and its bounds in words, as far as there are any."""
    if share is None:
        return NOTHING
    if low is None or high is None:
        return tell(share)
    return lang.say("{share} ({low} to {high})", share=tell(share), low=tell(low), high=tell(high))


def _read_class(codes: pd.Series, lang: Language) -> pd.Series:
    return codes.map({code: lang.say(ANALYSTS[code]) for code in _READINGS}).astype("str")


def _show_groups(compared: pd.DataFrame, lang: Language) -> Markup:
    """Return the agreement by label, by layer and by country."""
    label = {"label": lang.say("Label")}
    readings = {name: lang.say(ANALYSTS[name]) for name in _READINGS}
    by_label = pd.crosstab(compared["label"], compared["class"])
    by_label = by_label.reindex(columns=list(_READINGS), fill_value=0).reset_index()
    layers = {
        "layer": lang.say("Layer"),
        "labelled_count": lang.say("Labelled blocked"),
        "found_count": lang.say("Read as blocked"),
        "same_layer_count": lang.say("At this layer"),
        "marked_count": lang.say("With a trace of blocking"),
    }
    countries = {
        "compared_count": lang.say("Compared"),
        "agreed_count": lang.say("Agrees"),
        "labelled_count": lang.say("Labelled blocked"),
        "found_count": lang.say("Of these read as blocked"),
        "accused_count": lang.say("Others read as blocked"),
    }
    return (
        _show(by_label, lang.say("Reading of the judge, by label"), lang, label | readings)
        + _show(count_layers(compared), lang.say("Blocked measurements, by layer"), lang, layers)
        + _show(_count_countries(compared, lang), lang.say("By country"), lang, countries)
    )


def _count_countries(compared: pd.DataFrame, lang: Language) -> pd.DataFrame:
    is_blocked, is_read_so = compared["label"] == "blocked", compared["class"] == "blocked"
    flags = pd.DataFrame(
        {
            "compared_count": 1,
            "agreed_count": compared["comparison"] == "agrees",
            "labelled_count": is_blocked,
            "found_count": is_blocked & is_read_so,
            "accused_count": ~is_blocked & is_read_so,
        }
    ).astype("int64")
    counts = flags.groupby(compared["probe_cc"]).sum().reset_index()
    counts = counts.sort_values("compared_count", ascending=False, kind="stable")
    return counts.assign(probe_cc=[country_name(code, lang) for code in counts["probe_cc"]])


def _show_differences(compared: pd.DataFrame, lang: Language) -> Markup:
    """Return the measurements whose label is another, those about a block first."""
    rows = compared[compared["comparison"] != "agrees"]
    is_about_block = (rows["label"] == "blocked") != (rows["class"] == "blocked")
    order = pd.DataFrame({"open": ~is_about_block, "kind": rows["comparison"]})
    shown = rows.loc[order.sort_values(["open", "kind"], kind="stable").index]
    columns = [
        *("domain", "probe_cc", "probe_asn", "witness_url", "label", "seen"),
        *("confidence", "class", "flag", "rule_id"),
    ]
    # OONI's words for methods are finer than the judge's
    words = {
        "seen": shown["mechanisms"].str.replace(";", ", "),
        "class": _read_class(shown["class"], lang),
    }
    frame = shown.assign(**words)[columns]
    headings = {
        "seen": lang.say("Seen by the analyst"),
        "class": lang.say("Reading"),
        "witness_url": lang.say("Measurement"),
    }
    return _show(frame, lang.say("Labels that the judge does not share"), lang, headings)


def _show_cases(cases: pd.DataFrame, lang: Language) -> Markup:
    headings = {
        "label": lang.say("Label"),
        "result": lang.say("A report of these days"),
        "listed_network_count": lang.say("Networks that list it"),
        "network_count": lang.say("Networks that tested it"),
    }
    note = lang.say(
        "Each event is looked for in the 28 days before and after its first day. OONI read its "
        "incidents from the same measurements: an incident that is listed shows that the report "
        "finds what OONI found, not that either is right."
    )
    caption = lang.say("Incidents and weeks, by site and network")
    return render_table(cases, caption, note, _FEW, headings, file=f"{CASES}.csv", lang=lang)


def say_cases(cases: pd.DataFrame) -> Iterator[str]:
    """Yield what reports say of a country's events, a line for each pair of site and network."""
    for row in list_rows(cases):
        network = tell_network(row.probe_asn) if row.probe_asn else "any access network"
        yield f"{row.first_day:%Y-%m-%d} {row.domain} on {network}: {CASE_RESULTS[row.result]}"
