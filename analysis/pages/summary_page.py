"""The first page of a report: its findings in one language → HTML."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from markupsafe import Markup

from analysis.errors import ContractError
from analysis.pages.formats import link
from analysis.pages.glossary import GLOSSARY
from analysis.pages.rendering import (
    PageContext,
    Section,
    SetItem,
    render,
)
from analysis.vocabulary import STATES

#: The content of the first page, in one language; what is no ``Markup`` is escaped. ``answer``: one
#: sentence that answers the report's question. ``numbers``, ``findings``: see ``_ENTRIES``, in the
#: order in which they are shown. ``decided``: the section on what meetings decided, or nothing.
#: ``order``: how findings are ordered and numbered. ``certainty``: how sure the report is.
#: ``unknowns``: what it cannot say.
Summary: TypeAlias = Mapping[str, Any]

#: A number is what it is, what it counts out of what, and why it may mislead. A finding has an id
#: that is the same in every draft, and for ``evidence`` ``4-blocked-sites.html#by-network`` or
#: ``tables/verdicts.csv``.
_ENTRIES = {
    "numbers": ("value", "label", "caveat"),
    "findings": ("id", "claim", "sites", "figure", "caveats", "evidence", "decision"),
}


def render_summary(
    summary: Summary,
    page: PageContext,
    every: Sequence[SetItem],
    tables: Mapping[str, int | None],
    changes: Section | None = None,
    up: str = "",
) -> str:
    """The report's first page.

    Args:
        tables: file name → number of rows, None for a file that is no table.
        changes: what changed since an earlier draft; stands after the findings.
        up: the way from the page to the top of the report.
    """
    whole = _complete(summary)
    for finding in whole["findings"]:
        if finding["evidence"]:
            finding["evidence"] = _link_evidence(finding["evidence"], page, every, up)
    return render(
        "summary.html.j2",
        SetItem("index.html", page.title, ""),
        page,
        every,
        index=whole,
        tables=tables,
        changes=changes,
        up=up,
        states=STATES.values(),
        glossary=GLOSSARY,
    )


def _complete(summary: Summary) -> dict[str, Any]:
    """The summary with every optional field there, so that a mistyped one is an error."""
    whole = {name: summary.get(name, "") for name in ("answer", "order", "decided")}
    whole |= {name: summary.get(name, []) for name in ("certainty", "unknowns", *_ENTRIES)}
    unknown = summary.keys() - whole.keys()
    for name, keys in _ENTRIES.items():
        unknown |= {f"{name}.{key}" for entry in whole[name] for key in entry.keys() - set(keys)}
        whole[name] = [{key: entry.get(key, "") for key in keys} for entry in whole[name]]
    if unknown:
        raise ContractError(f"the first page: no such field: {', '.join(sorted(unknown))}")
    return whole


def _link_evidence(target: str, page: PageContext, every: Sequence[SetItem], up: str) -> Markup:
    """A link to a page of the set, where it lies in this language, in the page's own title."""
    file, _, anchor = target.partition("#")
    for item in every:
        if item.file in (file, f"{up}{file}"):
            place = anchor.replace("-", " ")
            words: str | Markup = f"{item.title}, {place}" if place else item.title
            if item.language != page.lang.code:
                words = Markup('<bdi lang="{}">{}</bdi>').format(item.language, words)
            return link(f"{item.file}{f'#{anchor}' if anchor else ''}", words)
    way = "" if file.startswith("sites/") else up
    return link(f"{way}{target}", file)
