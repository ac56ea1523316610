"""The findings and tables of the page on validation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import ParameterError
from analysis.languages.language import ENGLISH
from analysis.outcomes.rules import RULES_VERSION
from analysis.pages.formats import percent
from analysis.pages.show import show_finding, show_table
from analysis.reference.reference_files import REFERENCE
from analysis.study.lineage import Lineage
from analysis.tables import WRITTEN_BY
from analysis.verdicts.floors import wilson_bounds
from analysis.worlds import scored_apps as apps
from analysis.worlds import steering

#: The folder of the last validation.
RESULTS = REFERENCE / "validation"

_PREFIX = "validation_"
#: The results that the page publishes, as tables of these names after ``validation_``.
PUBLISHED = [
    name.removeprefix(_PREFIX) for name, page in WRITTEN_BY.items() if page == "6-validation"
]

#: Columns of numbers that may be empty.
_NUMBERS = {name: [""] for name in ("share", "new_share", "width_median", "narrowest_median")}
#: Here the column does not have the pairs that a report lists.
_BLOCKED_PAIRS = {"blocked_pair_count": "Blocked pairs, 6 or more sessions"}


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
        """The number of countries in the reported part, each with several densities of tests."""
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
            caption = ENGLISH.say("{caption} (of another method)", caption=caption)
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


def claim_precision(validation: Results) -> None:
    """Show the share of listed sites that are blocked, and of blocked pairs that are listed."""
    worlds = validation.read("worlds", "report")
    warning = ""
    if validation.is_of_another_method:
        warning = " " + ENGLISH.say(
            "This report was made by another method: how often its list is right was not measured."
        )
    show_finding(
        "precision",
        ENGLISH.say(
            "{precision} of the listed sites are blocked. Of the blocked pairs of site and network "
            "with 6 or more sound sessions (undisturbed ones during the block), {recall} are "
            "found.",
            precision=validation.bounded_share("precision of sites"),
            recall=validation.bounded_share("recall of pairs, 6 or more sessions"),
        ),
        ENGLISH.say(
            "The figures come from {countries} simulated countries, each with few, some and many "
            "tests: {worlds} archives with {n} measurements. No threshold was chosen on them. They "
            "were computed with rules version {version}; this report uses version {here}.{other}",
            countries=validation.country_count,
            worlds=len(worlds),
            n=worlds["measurement_count"].sum(),
            version=validation.settings["rules_version"],
            here=RULES_VERSION,
            other=warning,
        ),
        "The same countries were tested at each density, so one block or site counts up to three "
        "times, and the bounds are too narrow. Simulated countries contain only known faults; a "
        "real country may have others.",
    )


def show_coverage(validation: Results) -> None:
    """Show precision and recall by the number of sessions in which a pair was blocked."""
    pairs = validation.shares("recall of pairs", "precision of pairs")
    validation.show(
        pairs,
        caption=ENGLISH.say(
            "With 12 or more sessions, {share} of blocks are found",
            share=validation.bounded_share("recall of pairs", "12+"),
        ),
    )


def show_listed_wrongly(validation: Results) -> None:
    """Show what is listed wrongly, by situation."""
    false_positives = validation.read("false_positives", "report")
    described = false_positives.assign(
        situation=false_positives["stratum"].map(SITUATIONS).fillna("")
    )
    is_total = (described["stratum"] == "all") & described["measure"].str.contains(
        "situation|claim"
    )
    is_shown = is_total | (described["situation"] != "") | (described["success_count"] > 0)
    described = described[is_shown]
    validation.show(
        described,
        caption="Unblocked pairs and sites",
        fold_after=25,
        headings={"success_count": "Listed wrongly"},
    )


def show_examined(validation: Results) -> None:
    """Show the results of the outside examination."""
    examined = validation.read("examined").drop(columns="measurement_count")
    clear = examined[examined["undecidable"] == ""]
    blocked, found_count, wrong = (
        clear[f"{name}_count"].sum() for name in ("blocked_pair", "found_pair", "false_site")
    )
    unclear = examined[examined["undecidable"] != ""]
    show_finding(
        "examined",
        ENGLISH.say(
            "In {n} situations that measurements can decide, {found} of {blocked} blocked pairs "
            "are found, and {wrong} sites are listed wrongly.",
            n=len(clear),
            found=found_count,
            blocked=blocked,
            wrong=wrong,
        ),
        "Each situation is a simulated country with one problem, over half a year. Only blocked "
        "pairs with 6 or more sessions are counted.",
        ENGLISH.say(
            "Measurements alone cannot decide {n} more situations. Blocked pairs that are found in "
            "these: {found} of {blocked}; sites listed wrongly: {wrong}. The last column gives the "
            "other possible explanation.",
            n=len(unclear),
            found=unclear["found_pair_count"].sum(),
            blocked=unclear["blocked_pair_count"].sum(),
            wrong=unclear["false_site_count"].sum(),
        ),
    )
    validation.show(
        examined, caption="Results by situation", fold_after=20, headings=_BLOCKED_PAIRS
    )


def show_chances(validation: Results) -> None:
    """Show the share of unblocked pairs with a small chance."""
    table = validation.read("chances")
    note = ENGLISH.say(
        "Levels at which more pairs have such a chance than the claim allows: {over} of {n}.",
        over=(table["share"] > table["stratum"]).sum(),
        n=len(table),
    )
    validation.show(
        table,
        caption="Pairs that nobody blocks: the share with a chance of at most 0.1, 0.01 and 0.001",
        note=note,
    )


#: The number of flips from which a number counts as sensitive.
_SHARP = 5


def show_constants(validation: Results) -> None:
    """Show the number of pairs that flip if a number of the method is moved by 30 %."""
    table = validation.read("constants")
    subject = table["module"].str.rpartition("/")[2].str.removesuffix(".py")
    table["constant"] += subject.where(subject == "", " of " + subject)
    most = table.groupby("constant", sort=False)["flipped_pair_count"].max()
    wrong = table.loc[table["false_pair_count"] > 0, "constant"].unique()
    show_finding(
        "constants",
        ENGLISH.say(
            "{n} numbers were moved up and down by some 30 %. {none} of them change no state. "
            "{sharp} change the state of {least} pairs or more; the largest change is {largest} "
            "pairs.",
            n=len(most),
            none=(most == 0).sum(),
            sharp=(most >= _SHARP).sum(),
            least=_SHARP,
            largest=most.max(),
        ),
        ENGLISH.say(
            "The counts come from the situations of the outside examination (below). Thresholds "
            "also have a table of their own. Numbers that put an unblocked pair on the list when "
            "they were moved, each alone (name and module in the code): {wrong}. Rules version of "
            "the result: {version}.",
            wrong=", ".join(wrong) or "none",
            version=table["rules_version"].min(),
        ),
    )
    values = {name: table[name].map("{:g}".format) for name in ("value", "moved")}
    validation.show(
        table.drop(columns=["module", "rules_version"]).assign(**values),
        caption="Pairs that flip if a number is moved",
        fold_after=12,
        note="The last two columns count only pairs that flip.",
    )


def show_steering(validation: Results) -> None:
    """Show the speed at which blocks are listed if volunteers follow the plan."""
    table = validation.read("steering")
    by_way = table.pivot(index="stratum", columns="measure", values="success_count")
    plan, turns = steering.WAYS.values()
    ahead = str((by_way[plan] - by_way[turns]).idxmax())
    week = table[table["stratum"] == ahead].set_index("measure")
    most_wrong = table.groupby("measure")["wrong_count"].max()
    bounded = {"share": "share", "lower": "lower_share", "upper": "upper_share"}
    found, usual = (
        ENGLISH.say(
            "{count} of {n} ({share}; 95 % bounds {lower} to {upper})",
            count=week["success_count"][way],
            n=week["trial_count"][way],
            **{name: percent(week[column][way]) for name, column in bounded.items()},
        )
        for way in (plan, turns)
    )
    show_finding(
        "steering",
        ENGLISH.say(
            "Blocked pairs that are listed after {weeks} weeks of one session a day on each "
            "network: {found} if volunteers follow the plan, {usual} if they work through the list "
            "in order. Pairs listed wrongly in that week: {by_plan} with the plan, {in_turns} with "
            "the list.",
            weeks=ahead.removeprefix("Week "),
            found=found,
            usual=usual,
            by_plan=week["wrong_count"][plan],
            in_turns=week["wrong_count"][turns],
        ),
        ENGLISH.say(
            "The counts come from {n} simulated countries; both copies of each have the same days, "
            "probes and faults. The lead of the plan is largest in this week; the table has all "
            "weeks. Largest number of pairs listed wrongly in one week: {by_plan} with the plan, "
            "{in_turns} with the list.",
            n=len(steering.COUNTRIES),
            by_plan=most_wrong[plan],
            in_turns=most_wrong[turns],
        ),
        "Simulated lists have about a hundred sites, real lists about two thousand: on a real list "
        "a round takes longer.",
    )
    validation.show(
        table,
        caption="Blocked pairs that are listed",
    )


def claim_apps(validation: Results) -> None:
    """Show the accuracy on blocks of apps and tools."""
    table = validation.read("apps")
    rows = table[table["stratum"] == "all"].set_index("measure")

    def say(measure: str) -> str:
        count, of = rows.loc[measure, ["success_count", "trial_count"]]
        return ENGLISH.say("{count} of {n}", count=count, n=of)

    show_finding(
        "apps-validation",
        ENGLISH.say(
            "{found} blocks of apps and tools are found, and {true} listed periods are right.",
            found=say(apps.FOUND),
            true=say(apps.TRUE),
        ),
        ENGLISH.say(
            "The counts come from {n} simulated countries. Probes run these tests every few days; "
            "blocks cut off whole parts, some only at certain hours of the week. The hours are "
            "exact in {hours} cases. If only a minority of a part's endpoints is blocked, the part "
            "counts as open; as intended, nothing is listed in {fewer} such cases. A test that "
            "breaks for everyone is not listed in {broken} cases.",
            n=len(apps.SEEDS),
            hours=say(apps.HOURS),
            fewer=say(apps.FEWER),
            broken=say(apps.BROKEN),
        ),
        "Real probes meet faults that these simulated countries do not have. The method was also "
        "tested on Kenya's blocks of Telegram and on OONI's counts of app tests in nine countries.",
    )
    validation.show(table, caption="Apps and circumvention tools")


def claim_forgery(validation: Results) -> None:
    """Show the effect of forged reports."""
    forgery = validation.read("forgery")
    is_named = forgery["claim"] != ""
    named, unnamed = forgery[is_named].sum(), forgery[~is_named].sum()
    show_finding(
        "forgery",
        ENGLISH.say(
            "Pairs about which forged reports were sent: {n}. The state of {moved} moved, and "
            "{listed} joined the list. Pairs whose state moved under fewer forged sessions than "
            "sessions_to_flip: {broken}.",
            n=named["pair_count"],
            moved=named["moved_count"],
            listed=named["newly_listed_count"],
            broken=forgery["broken_count"].sum(),
        ),
        ENGLISH.say(
            "Pairs that no forged report was about and whose state changed: {n}, because reports "
            "about other pairs change what a pair is compared with. Of these, newly listed: "
            "{listed}; not truly blocked: {false}. For these pairs, sessions_to_flip is compared "
            "with the number of all forged reports in the archive. Rules version of the result: "
            "{version}.",
            n=unnamed["pair_count"],
            listed=unnamed["newly_listed_count"],
            false=forgery.loc[~is_named & ~forgery["is_blocked"], "pair_count"].sum(),
            version=validation.settings["rules_version"],
        ),
    )
    headings = {"claim": "What they claim"}
    validation.show(forgery, caption="The effect of forged reports", headings=headings)


def show_thresholds_tried(validation: Results) -> None:
    """Show the errors at each tried value of a threshold, on the worlds for fitting."""
    tried = validation.read("sensitivity")
    used = tried[tried["is_used"]].iloc[0]
    note = ENGLISH.say(
        "With the values in use, {wrong} of {listed} listed pairs of these countries are listed "
        "wrongly ({sites} sites). {better} of {n} other values make fewer errors. Rules version "
        "{version}.",
        wrong=used["false_pair_count"],
        listed=used["listed_pair_count"],
        sites=used["false_site_count"],
        better=(tried["error_count"] < used["error_count"]).sum(),
        n=(~tried["is_used"]).sum(),
        version=validation.settings["rules_version"],
    )
    validation.show(
        tried, caption="All tried values", note=note, fold_after=12, headings=_BLOCKED_PAIRS
    )
