"""The results of a validation, in the words of the page on validation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.outcomes.rules import RULES_VERSION
from analysis.pages.show import show_table
from analysis.reference.reference_files import REFERENCE
from analysis.study.lineage import Lineage
from analysis.tables import WRITTEN_BY
from analysis.verdicts.floors import wilson_bounds

#: The folder of the last validation.
RESULTS = REFERENCE / "validation"

_PREFIX = "validation_"
#: The results that the page publishes, as tables of these names after ``validation_``.
PUBLISHED = [
    name.removeprefix(_PREFIX) for name, page in WRITTEN_BY.items() if page == "6-validation"
]

#: Columns of numbers that may be empty.
_NUMBERS = {name: [""] for name in ("share", "new_share", "width_median", "narrowest_median")}
#: The heading of a column that here does not count the pairs that a report lists.
BLOCKED_PAIRS = {"blocked_pair_count": "Blocked pairs, 6 or more sessions"}


#: Situation of a site → its description.
SITUATIONS = {
    "live": "a site that works",
    "plain_http": "served without TLS",
    "shared_hosting": "shares its address with others",
    "redirect": "redirects to another address",
    "cdn_same_asn": "a content network with many addresses in one network",
    "cdn_other_asn": "a content network with addresses in many networks",
    "cdn_http": "a content network, without TLS",
    "dead": "the name does not exist",
    "dies": "the name stops existing",
    "down": "the server is down",
    "outage": "the server is down for a while",
    "unreachable": "no route leads there from the country for a while",
    "overloaded": "too busy to answer some requests",
    "geo_refused": "refuses the country with a page",
    "geo_refused_http": "refuses the country with a page without TLS",
    "geo_refused_tcp": "refuses connections from the country",
    "geo_refused_tls": "cuts handshakes from the country",
    "captcha": "asks visitors to prove that they are human",
    "ad_like": "advertising, which filters at home block",
    "varying_page": "a different page at each visit",
    "localised_title": "a title in the visitor's language",
    "late": "tested only from a later day on",
    "shy": "takes OONI's control for an attacker and refuses it",
}

#: Measures of ``accuracy`` that are shown together.
WAYS = (
    "recall by mechanism, 6 or more sessions",
    "precision by mechanism",
    "mechanism exact, by mechanism",
)
DATES = (
    "edge found",
    "edge inside bracket",
    "edge inside bracket, 6 or more sessions",
    "bracket as narrow as tests allow",
    "claimed edge is true",
    "claimed edge is true despite forged openness",
)


HARD = (
    "precision of pairs",
    "recall of pairs, 6 or more sessions",
    "hours found within an hour",
    "claimed hours are true",
    "edge inside bracket",
    "set aside for the right reason",
)


@dataclass(frozen=True)
class Results:
    """The tables of one validation.

    Attributes:
        folder: of the tables; by default those that ship.
        lineage: the method of the report that shows them.
    """

    folder: str | Path = ""
    lineage: Lineage | None = None

    def read(self, name: str, part: str = "") -> pd.DataFrame:
        """Read a table, or its rows for one part: ``fit``, ``report`` or ``hard``.

        Raises:
            ParameterError: the table does not exist.
        """
        path = Path(self.folder or RESULTS) / f"{name}.csv"
        if not path.is_file():
            raise ParameterError(
                "results", path.parent, f"{name}.csv is not in it; run make validate"
            )
        kinds = {"value": "str"} if name == "settings" else None
        frame = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=_NUMBERS)
        if "trial_count" in frame:  # shares in the file are rounded, so compute them again
            hits, total = frame["success_count"], frame["trial_count"]
            low, high = wilson_bounds(hits, total)
            frame = frame.assign(share=hits / total, lower_share=low, upper_share=high).round(9)
        return frame[frame["part"] == part].drop(columns="part") if part else frame

    def shares(self, *measures: str, part: str = "report") -> pd.DataFrame:
        """Return the rows of these measures, in their order."""
        frame = self.read("accuracy", part)
        return pd.concat([frame[frame["measure"] == name] for name in measures], ignore_index=True)

    def share(self, measure: str, column: str = "share", stratum: str = "all") -> float:
        """Return the share of a measure, or one of its bounds, for all rows or a stratum."""
        frame = self.shares(measure)
        return float(frame.loc[frame["stratum"] == stratum, column].iloc[0])

    def bounded_share(self, measure: str, stratum: str = "all") -> str:
        """Return a share with its bounds, for a sentence."""
        columns = ("share", "lower_share", "upper_share")
        share, low, high = (f"{100 * self.share(measure, name, stratum):.1f}" for name in columns)
        return f"{share} % ({low} to {high})"

    @property
    def country_count(self) -> int:
        """The number of simulated countries, each with several densities of tests."""
        return int(self.read("worlds", "report")["seed"].nunique())

    @property
    def is_of_another_method(self) -> bool:
        """Whether the validated method differs from that of the report."""
        settings, lineage = self.settings, self.lineage
        if lineage and lineage.judging_edits and settings.get("method") != lineage.judging.digest:
            return True
        return settings["rules_version"] != str(RULES_VERSION)

    def show(self, frame: pd.DataFrame, *, caption: str, **options: Any) -> None:
        """Show a result as a table, marked if it is of another method than the report."""
        if self.is_of_another_method:
            caption = f"{caption} (of another method)"
        show_table(frame, caption=caption, **options)

    @property
    def settings(self) -> dict[str, str]:
        """The validated ``rules_version``, digest of the ``method``, and thresholds."""
        return dict(self.read("settings").itertuples(index=False, name=None))


#: Measures of ``accuracy`` on the bounds of the blocked share.
BOUNDS = (
    "bounds of the share hold it",
    "bounds hold a share below 1",
)


def describe_sites(counts: pd.DataFrame) -> pd.DataFrame:
    """Return false positives with the ``situation`` of the sites in words.

    Rows without such words are left out, unless something is listed wrongly in them, or they sum
    up situations or claims.

    Args:
        counts: the rows of ``false_positives`` for one part.
    """
    described = counts.assign(situation=counts["stratum"].map(SITUATIONS).fillna(""))
    is_sum = (described["stratum"] == "all") & described["measure"].str.contains("situation|claim")
    return described[(described["situation"] != "") | is_sum | (described["success_count"] > 0)]


def name_constants(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``constants`` with the module in each number's name, and short values.

    Args:
        table: the result of this name.
    """
    module = table["module"].str.rpartition("/")[2].str.removesuffix(".py")
    values = {name: table[name].map("{:g}".format) for name in ("value", "moved")}
    name = table["constant"] + (" of " + module).where(module != "", "")
    return table.assign(constant=name, **values)
