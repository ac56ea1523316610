"""What the words of a finding are made from, and the figure that several kinds of it share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from analysis.languages.language import Language
from analysis.pages.formats import counted, site_link
from analysis.pages.tracks import draw_counts, draw_figure
from analysis.period import Period
from analysis.report.timelines import MOST_ROWS

#: Sites that a claim names; the rest is counted.
_MOST_NAMED = 5


@dataclass(frozen=True)
class Words:
    """A finding as the page shows it. A reading, and caveats, may be several sentences."""

    claim: Markup
    sites: Markup  # a sentence that names some, or nothing
    figure: Markup
    caveats: tuple[Markup, ...]


@dataclass(frozen=True)
class Telling:
    """What the words of a finding are made from.

    Attributes:
        finding: as ``summary.summarise`` gives it.
        numbers: the headline numbers by name.
        lang: the language.
        period: the whole period.
        left_out: sites that a meeting took off the page; they are counted and not named.
    """

    finding: Mapping[str, Any]
    numbers: Mapping[str, Any]
    lang: Language
    period: Period
    left_out: frozenset[str] = frozenset()

    @property
    def values(self) -> Mapping[str, Any]:
        """What only this kind of finding has."""
        values: Mapping[str, Any] = self.finding["values"]
        return values

    def count(self, name: str) -> Markup:
        """A headline number, marked with its name."""
        return counted(name, self.numbers[name], self.lang.number(self.numbers[name]))

    def name_sites(self) -> Markup:
        """A sentence with the sites that the finding is about."""
        return self.lang.html("These are {sites}.", sites=self.sites(self.finding["sites"]))

    def sites(self, sites: Sequence[str]) -> list[str | Markup]:
        """The first sites, each with a link to its page, and how many more there are."""
        shown = [site_link(site) for site in sites if site not in self.left_out]
        return self.first_of(shown, len(sites))

    def first_of(self, names: Sequence[str | Markup], total: int) -> list[str | Markup]:
        """The first names, and how many more there are of all."""
        named = list(names[:_MOST_NAMED])
        more = total - len(named)
        return [*named, self.lang.html_plural("{n} other", "{n} others", more)] if more else named


def draw_shares(
    lang: Language, rows: list[Any], heads: tuple[str, str, str], caption: Markup
) -> Markup:
    """The figure of rows of a name, how many are listed, and how many were tested."""
    shown = rows[:MOST_ROWS]
    bars = [(name, count, _of(lang, count, all_)) for name, count, all_ in shown]
    if len(rows) > len(shown):
        caption += Markup(" ") + lang.html(
            "Shown are the first {shown} of {total}.", shown=len(shown), total=len(rows)
        )
    return draw_figure(draw_counts(bars, heads), say_counts(lang, shown), caption)


def _of(lang: Language, count: int, total: int) -> str:
    return lang.say("{count} of {total}", count=count, total=total)


def say_counts(lang: Language, rows: Sequence[tuple[Any, ...]]) -> str:
    """What bars show, for a reader who cannot see them."""
    named = [lang.say("{name}: {count}", name=row[0], count=row[1]) for row in rows]
    return lang.say("Bars, the longest first: {rows}.", rows=Markup("; ").join(named))
