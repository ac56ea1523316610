"""The validation's published results, as the page reads them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.errors import ParameterError
from analysis.reference.reference_files import REPOSITORY

#: Where the last validation lies.
RESULTS = REPOSITORY / "data" / "reference" / "validation"

#: Columns of the results in which an empty cell is no number.
_NUMBERS = {name: [""] for name in ("share", "new_share", "width_median", "narrowest_median")}


def read_results(name: str, folder: str | Path = "") -> pd.DataFrame:
    """A table of the last ``validate``: the one that ships, or that of another folder.

    Raises:
        ParameterError: it is not there.
    """
    path = Path(folder or RESULTS) / f"{name}.csv"
    if not path.is_file():
        raise ParameterError("results", path.parent, f"{name}.csv is not in it; run make validate")
    kinds = {"value": "str"} if name == "settings" else None
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=_NUMBERS)


#: What a reader of the results is told of their columns.
HEADINGS = {
    "measure": "Measure",
    "stratum": "Which",
    "success_count": "Of them",
    "trial_count": "All",
    "share": "Share",
    "lower_share": "Lower bound",
    "upper_share": "Upper bound",
    "pair_count": "Pairs",
    "moved_count": "State moved",
    "newly_listed_count": "Newly listed",
    "broken_count": "Promises broken",
    "is_blocked": "Truly blocked",
    "coverage": "Coverage",
    "situation": "What is going on there",
}

#: What is going on with a site of a simulated country, by the name that its tables have for it.
SITUATIONS = {
    "live": "a site that works",
    "plain_http": "served without TLS",
    "shared_hosting": "shares its address with others",
    "redirect": "sends on to another address",
    "cdn_same_asn": "a content network with many addresses in one network",
    "cdn_other_asn": "a content network with addresses in many networks",
    "cdn_http": "a content network, without TLS",
    "dead": "the name does not exist",
    "dies": "the name ceases to exist",
    "down": "the server is down",
    "outage": "the server is down for a while",
    "unreachable": "no way leads there from the country for a while",
    "overloaded": "too busy to answer some requests",
    "geo_refused": "refuses the country, by a page",
    "geo_refused_http": "refuses the country, by a page without TLS",
    "geo_refused_tcp": "refuses connections from the country",
    "geo_refused_tls": "cuts handshakes from the country",
    "captcha": "asks visitors to prove that they are human",
    "ad_like": "advertising, which filters at home block",
    "varying_page": "another page at each visit",
    "localised_title": "a title in the visitor's language",
    "late": "tested from some day on",
    "shy": "takes OONI's test helper for an attacker",
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
    """The tables of one ``validate``, in the words of the validation page."""

    folder: str | Path = ""

    def read(self, name: str, part: str = "") -> pd.DataFrame:
        """A table, or the rows of it for one part: ``fit``, ``report`` or ``limit``."""
        frame = read_results(name, self.folder)
        return frame[frame["part"] == part].drop(columns="part") if part else frame

    def shares(self, *measures: str, part: str = "report") -> pd.DataFrame:
        """The rows of these measures, in their order."""
        frame = self.read("accuracy", part)
        return pd.concat([frame[frame["measure"] == name] for name in measures], ignore_index=True)

    def say(self, measure: str, stratum: str = "all", part: str = "report") -> str:
        """A share with its bounds, for a sentence."""
        frame = self.shares(measure, part=part)
        row = frame[frame["stratum"] == stratum].iloc[0]
        share, low, high = (f"{100 * row[n]:.1f}" for n in ("share", "lower_share", "upper_share"))
        return f"{share} % ({low} to {high})"

    def share(self, measure: str) -> float:
        """The share of a measure overall, whatever the coverage."""
        frame = self.shares(measure)
        return float(frame.loc[frame["stratum"] == "all", "share"].iloc[0])

    @property
    def rules_version(self) -> str:
        """The version of the rules that were judged by."""
        return self._settings()["rules_version"]

    @property
    def thresholds(self) -> dict[str, str]:
        """The thresholds that were judged by."""
        return {name: v for name, v in self._settings().items() if name != "rules_version"}

    def _settings(self) -> dict[str, str]:
        frame = self.read("settings")
        return dict(zip(frame["name"], frame["value"], strict=True))
