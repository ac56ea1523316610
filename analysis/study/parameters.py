"""The parameters of a study, declared once: name, help, default and check of each.

The command line (``PROBE_CC=KH``) and a notebook's parameters cell (``probe_cc = "KH"``) are two
ways to give them; ``StudyParameters.of`` reads either. ``tools/parameters_cells.py`` writes the
cells from the declarations.

A country's totals are everybody's. ``PROJECT`` counts a project's own measurements apart: those of
its OONI Run links, whose number the probes send along, and of its networks.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.errors import ParameterError, find_near
from analysis.outcomes.rules import RULES, RULES_VERSION, Rule
from analysis.outcomes.thresholds import DECLARATIONS, Thresholds
from analysis.period import Period, today
from analysis.reference.reference_files import (
    LATEST,
    REPOSITORY,
    Snapshot,
    find,
    held,
    is_fictional,
    parse_country,
)
from analysis.sources.archive_files import OONI, RECEIPT_MARGIN
from analysis.study.lineage import Lineage
from analysis.study.variants import Variant, load_variant

_LINK, _NETWORK = re.compile(r"[0-9]{1,18}", re.ASCII), re.compile(r"AS[0-9]{1,10}", re.ASCII)
_MOST = 100  # of either


@dataclass(frozen=True)
class Campaign:
    """What counts as a project's own: measurements of a link, or on a network."""

    run_links: tuple[int, ...] = ()
    asns: tuple[int, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Campaign":
        """Read ``10182,AS38901``: numbers of OONI Run links and of networks.

        Raises:
            ParameterError: a part is neither.
        """
        parts = [part.strip().upper() for part in text.split(",") if part.strip()]
        wrong = [part for part in parts if not (_LINK.fullmatch(part) or _NETWORK.fullmatch(part))]
        if wrong or len(parts) > _MOST:
            accepted = "numbers of OONI Run links and of networks are accepted, as in 10182,AS38901"
            raise ParameterError("PROJECT", text, accepted)
        links = {int(part) for part in parts if _LINK.fullmatch(part)}
        asns = {int(part.removeprefix("AS")) for part in parts if _NETWORK.fullmatch(part)}
        return cls(tuple(sorted(links)), tuple(sorted(asns)))

    def __str__(self) -> str:
        return ",".join([*map(str, self.run_links), *(f"AS{asn}" for asn in self.asns)])

    def __bool__(self) -> bool:
        return bool(self.run_links or self.asns)

    @property
    def condition(self) -> str:
        """SQL over the columns of an observation: whether it is the project's own."""
        parts = []
        if self.run_links:
            # a probe that followed no link has none
            parts.append(f"coalesce(run_link_id IN ({', '.join(map(str, self.run_links))}), false)")
        if self.asns:
            parts.append(f"probe_asn IN ({', '.join(map(str, self.asns))})")
        return f"({' OR '.join(parts) or 'false'})"


#: What is meant where no country is given: made by ``make report``, all of one year.
FICTIONAL_COUNTRY = "QQ"
_FICTIONAL_PERIOD = ("2024-01-01", "2025-01-01")
_FICTIONAL = REPOSITORY / "data" / "fictional"
_FICTIONAL_PROJECT = "10999"  # the OONI Run link of its volunteers
_WORK = REPOSITORY / "data" / "work"

#: The value of WITNESSES with which a report names no single measurement.
NO_WITNESSES = "none"

#: The lists that can be given: as parameters, or together as a snapshot.
LISTS = ("test_list", "networks", "fingerprints", "network_names", "events")
_LONGEST_NAME = 200  # file systems take 255 bytes, and publication adds some
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Parameter:
    """What is known of a parameter besides its name, type and default.

    Attributes:
        help: what it is, in one line.
        is_variable: whether the command line takes it, in capital letters.
        needs_country: whether it means something only with ``probe_cc``.
    """

    help: str
    is_variable: bool
    needs_country: bool


def _declare(
    help: str,
    default: object = "",
    *,
    is_variable: bool = True,
    needs_country: bool = True,
) -> Any:
    parameter = Parameter(help, is_variable, needs_country)
    return field(default=default, metadata={"parameter": parameter})


@dataclass(frozen=True)
class StudyParameters:
    """What a study is of, where it lies, and with which lists and numbers it is judged.

    ``of`` fills in defaults; an instance made directly is taken as it is.
    """

    probe_cc: str = _declare(
        f"country, two letters; empty: {FICTIONAL_COUNTRY}, the fictional one of make report",
        needs_country=False,
    )
    since: str = _declare("first day, UTC, YYYY-MM-DD")
    until: str = _declare("day after the last, UTC")
    split: str = _declare(
        "first day of the second half; empty: the month start that halves the period"
    )
    source: str = _declare(
        "ooni; a folder, URL or s3:// bucket in its key layout; a share; another store"
    )
    receipt_margin: int = _declare(
        "with source ooni, days after the period that are read for late uploads", RECEIPT_MARGIN
    )
    store: str = _declare("where observations are kept; empty: data/", needs_country=False)
    tables: str = _declare(
        "where the notebooks hand tables on; empty: the study's own folder in data/work/",
        is_variable=False,
        needs_country=False,
    )
    test_list: str = _declare("Citizen Lab-shaped CSVs, comma-separated")
    networks: str = _declare("CSV asn,network,operator,kind,source")
    fingerprints: str = _declare("folder with OONI-shaped fingerprint CSVs")
    network_names: str = _declare(
        "CSV with registered names of networks, of a snapshot", is_variable=False
    )
    events: str = _declare("YAML with known events: date, title, kind, source")
    test_counts: str = _declare(
        "CSV of OONI's counts of tests of apps and tools, by country and day"
    )
    outages: str = _declare(
        "CSV since,until,probe_asn,source of outages that somebody else recorded: they are marked"
    )
    reference: str = _declare(
        "UTC date of a snapshot for the lists not given, or latest (default with ooni)"
    )
    project: str = _declare(
        "a project's OONI Run links and networks, such as 10182,AS38901: counted apart"
    )
    accept_fields: int = _declare(
        "1: go on although fields of OONI's have changed, and say so on page 1",
        0,
        needs_country=False,
    )
    witnesses: str = _declare(
        "none: no page or table leads to a single measurement, and times are by the hour",
        needs_country=False,
    )
    variant: Variant | None = field(
        default=None,
        metadata={
            "parameter": Parameter(
                "Python file with other rules or numbers, a part of the measurements, a baseline",
                is_variable=True,
                needs_country=False,
            )
        },
    )
    thresholds: Thresholds = field(
        default_factory=Thresholds,
        metadata={
            "parameter": Parameter(
                'numbers that differ from the published ones: {"floor_sessions": 6}',
                is_variable=False,
                needs_country=False,
            )
        },
    )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "StudyParameters":
        """The parameters among some values, checked, with every default filled in.

        Args:
            values: name in lower case → value, such as a notebook's ``globals()``; other names
                are passed over. ``""`` is the default. ``thresholds`` is a mapping; relative
                paths are meant from the working folder.

        Raises:
            ParameterError: a value is wrong, or one is missing.
        """
        names = [name for name in PARAMETERS if name not in ("thresholds", "variant")]
        given = {name: values[name] for name in names if values.get(name) not in (None, "")}
        _check_country_is_given(given)
        code = parse_country(given.get("probe_cc", FICTIONAL_COUNTRY))
        if "source" not in given:
            given = _of_fictional_country(code, given)
        period = _read_period(code, given)
        margin = given.get("receipt_margin", RECEIPT_MARGIN)
        variant, thresholds = _read_variant(values), _read_thresholds(values)
        study = cls(
            probe_cc=code,
            since=str(period.since),
            until=str(period.until),
            split=str(given.get("split", "")),
            receipt_margin=whole_number("RECEIPT_MARGIN", margin, range(367)),
            **_read_paths({"store": REPOSITORY / "data", **given}),
            reference=str(given.get("reference", "")),
            project=str(Campaign.of(str(given.get("project", "")))),
            accept_fields=whole_number("ACCEPT_FIELDS", given.get("accept_fields", 0), range(2)),
            witnesses=_read_witnesses(given.get("witnesses", "")),
            variant=variant,
            thresholds=thresholds.changed_by(variant.thresholds if variant else {}),
        )
        tables = given.get("tables", _WORK / study.label / "tables")
        return replace(study, tables=absolute("tables", tables))

    @property
    def period(self) -> Period:
        """The whole period."""
        return Period.parse(self.since, self.until)

    @property
    def campaign(self) -> Campaign:
        """What counts as the project's own measurements."""
        return Campaign.of(self.project)

    @property
    def has_witnesses(self) -> bool:
        """Whether a report names single measurements, and gives times to the second."""
        return not self.witnesses

    @property
    def published_label(self) -> str:
        """A folder for the study, by the published method: ``kh/2023-07-01--2024-07-01``."""
        return f"{self.probe_cc.lower()}/{self.period}"

    @property
    def label(self) -> str:
        """A folder for the study, which says what was changed of the method.

        ``kh/2023-07-01--2024-07-01.floor_sessions=6``; of many changes only a digest fits. The
        label of a variant says what the variant changes.
        """
        changes = "".join(
            f".{name}={value}"
            for name, value in self.thresholds.changes().items()
            if not (self.variant and name in self.variant.thresholds)
        )
        if len(changes) > _LONGEST_NAME:
            changes = f".thresholds={hashlib.sha256(changes.encode()).hexdigest()[:12]}"
        variant = f".{self.variant.folder}" if self.variant else ""
        return f"{self.published_label}{variant}{changes}"

    @property
    def fictional_folder(self) -> Path:
        """Where the fictional country with this code and period is written.

        That of another period than the usual one has a folder of its own.
        """
        code = self.probe_cc.lower()
        is_usual = (self.since, self.until) == _FICTIONAL_PERIOD
        return _FICTIONAL / (code if is_usual else f"{code}-{self.period}")

    def with_snapshot(self, snapshot: Snapshot) -> "StudyParameters":
        """With the lists of a snapshot, wherever none was given."""
        lists = {name.lower(): path for name, path in snapshot.parameters().items()}
        missing = {name: path for name, path in lists.items() if not getattr(self, name)}
        return replace(self, **missing)  # type: ignore[arg-type]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that it is judged by, in order."""
        return self.variant.rules if self.variant else RULES

    @cached_property
    def lineage(self) -> Lineage:
        """The method that it is judged by."""
        return Lineage.of(self.rules, self.thresholds)

    @property
    def edited(self) -> str:
        """See ``Lineage.digest_edit``."""
        return self.lineage.digest_edit(self.variant.only if self.variant else "")

    def describe_method(self) -> dict[str, object]:
        """What a page's provenance says of the method."""
        variant = self.variant
        return {
            "method": f"rules version {RULES_VERSION}, {self.lineage.in_words}",
            **({"variant": variant.label} if variant else {}),
        }

    def name_changes(self) -> list[tuple[str, str]]:
        """What differs from the published method, and what it is; nothing where nothing does."""
        variant, rules = self.variant, {rule.rule_id: rule.comment for rule in self.rules}
        known = {**rules, **{name: one.meaning for name, one in DECLARATIONS.items()}}
        told = [(f"variant “{variant.label}”", "")] if variant else []
        if variant and variant.only:
            words = f"only measurements of web sites with {variant.only}"
            told.append((words, "the others are left out; apps and tools are of all measurements"))
        for edit in self.lineage.with_notebooks().edits:
            words = edit.removeprefix("rule ").partition(" ")[0]
            told.append((edit, known.get(words, "")))
        return told

    def for_notebooks(self) -> dict[str, object]:
        """Every parameter by name, as a notebook's cell takes it; ``tables`` is the caller's."""
        values = {name: getattr(self, name) for name in PARAMETERS if name != "tables"}
        # the lists are filled in by now, and a snapshot would fill in others
        variant = self.variant.file if self.variant else ""
        return {
            **values,
            "thresholds": self.thresholds.changes(),
            "variant": variant,
            "reference": "",
        }


#: Name → what is known of the parameter, in the order of the notebooks' cells.
PARAMETERS: Mapping[str, Parameter] = {
    one.name: one.metadata["parameter"] for one in fields(StudyParameters)
}


def check_names(values: Mapping[str, Any]) -> None:
    """Refuse a name of a notebook that is nearly a parameter's: a misspelt one changes nothing.

    Args:
        values: a notebook's ``globals()``, which may hold other names, or parameters alone.

    Raises:
        ParameterError: there is one, with a number or a text.
    """
    is_notebook = "__name__" in values
    known = [*PARAMETERS, *DECLARATIONS]
    for name, value in values.items():
        if name in known or isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        if near := find_near(name.lower(), known, 0.88):
            raise ParameterError(
                name,
                value,
                f"there is no such parameter; is {near[0]} meant? Else use another name",
            )
        if not is_notebook:
            raise ParameterError(name, value, "there is no such parameter")


def find_lists(parameters: StudyParameters) -> StudyParameters:
    """With the snapshot of lists that is asked for, or that a study of OONI's archive needs.

    No network is touched: where none was fetched before, such a study goes without.

    Raises:
        ParameterError: there is no such snapshot.
        ContractError: a file of it is not what was fetched.
    """
    if parameters.reference:
        return parameters.with_snapshot(find(parameters.reference, parameters.probe_cc))
    if wants_snapshot(parameters) and held(parameters.probe_cc):
        return parameters.with_snapshot(find(LATEST, parameters.probe_cc))
    return parameters


def wants_snapshot(parameters: StudyParameters) -> bool:
    """Whether lists of today are meant: OONI's measurements are read with those."""
    return parameters.source == OONI and not (parameters.test_list and parameters.fingerprints)


def whole_number(name: str, value: object, accepted: range) -> int:
    """A whole number within a range, given as such or as text.

    Raises:
        ParameterError: it is none.
    """
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) in accepted):
        first, last = accepted[0], accepted[-1]
        raise ParameterError(name, value, f"a whole number from {first} to {last} is accepted")
    return int(text)


def _read_witnesses(value: object) -> str:
    if value not in ("", NO_WITNESSES):
        raise ParameterError(
            "WITNESSES", value, f"{NO_WITNESSES} is accepted; without the parameter there are some"
        )
    return str(value)


def _read_variant(values: Mapping[str, Any]) -> Variant | None:
    """The variant of a file, or that of a study whose parameters are read once more; a notebook may
    call something else so."""
    given = values.get("variant")
    if isinstance(given, str | Path) and str(given):
        return load_variant(absolute("variant", given))
    return given if isinstance(given, Variant) else None


def _read_thresholds(values: Mapping[str, Any]) -> Thresholds:
    """Of a notebook whose cells ran before, the thresholds themselves; of papermill's ``-p`` the
    mapping as a text."""
    given = thresholds = values.get("thresholds", {})
    if isinstance(thresholds, Thresholds):
        return thresholds
    if isinstance(given, str):
        with suppress(ValueError):
            thresholds = json.loads(given)
    if not isinstance(thresholds, Mapping):
        accepted = 'a mapping of names to numbers is accepted, such as {"floor_sessions": 6}'
        raise ParameterError("thresholds", given, accepted)
    return Thresholds.of({**values, "thresholds": thresholds})


def _check_country_is_given(given: Mapping[str, Any]) -> None:
    """Refuse a period, a source or a list of no country: the fictional one was hardly meant."""
    if "probe_cc" in given:
        return
    defaults = vars(StudyParameters())
    for name, value in given.items():
        if PARAMETERS[name].needs_country and str(value) != str(defaults[name]):
            raise ParameterError(
                name.upper(),
                value,
                "give PROBE_CC as well, the country that is meant "
                f"({FICTIONAL_COUNTRY} is the fictional one)",
            )


def _of_fictional_country(code: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Period, archive and lists of the fictional country, where others are not given."""
    if not is_fictional(code):
        missing = [name.upper() for name in ("since", "until") if name not in given]
        also = f" (with {' and '.join(missing)}, UTC dates)" if missing else ""
        raise ParameterError(
            "SOURCE",
            "",
            f"must be given for {code}{also}: ooni, a folder, URL or "
            "s3://bucket/prefix in the archive's key layout, a share or another store",
        )
    since, until = _FICTIONAL_PERIOD
    dated = {"since": since, "until": until, **given}
    period = Period.parse(dated["since"], dated["until"])
    folder = StudyParameters(code, str(period.since), str(period.until)).fictional_folder
    lists = {
        "test_list": folder / "reference" / "test-lists",
        "networks": folder / "reference" / "networks.csv",
        "fingerprints": folder / "reference" / "fingerprints",
        "events": folder / "reference" / "events.yml",
        "test_counts": folder / "reference" / "test-counts.csv",
    }
    return {"source": folder / "archive", **lists, "project": _FICTIONAL_PROJECT, **dated}


def _read_period(code: str, given: Mapping[str, Any]) -> Period:
    """The whole period, which ``split`` can halve where it is more than a day."""
    for name in ("since", "until"):
        if name not in given:
            accepted = "must be given with SOURCE: a UTC date, YYYY-MM-DD"
            raise ParameterError(name.upper(), "", accepted)
    period = Period.parse(given["since"], given["until"])
    # Not cut short: what a report is of, and where it lies, does not hang on the day it is made.
    if period.until > today() and not is_fictional(code):
        accepted = f"lies ahead; {today()} is accepted at the latest: its eve is over (UTC)"
        raise ParameterError("UNTIL", period.until, accepted)
    if "split" in given or period.day_count > 1:  # one day can be ingested and shared
        period.split(given.get("split"))
    return period


def _read_paths(given: Mapping[str, Any]) -> dict[str, str]:
    """Source, store and lists with absolute paths; of test lists there may be several."""
    names = ("source", "store", "test_counts", "outages", *LISTS)
    paths = {name: absolute(name, given.get(name, "")) for name in names}
    lists = [part for part in str(given.get("test_list", "")).split(",") if part]
    return {**paths, "test_list": ",".join(absolute("test_list", part) for part in lists)}


def absolute(name: str, path: str | Path) -> str:
    """An absolute path for a relative one; URLs and ``ooni`` stay as they are.

    Raises:
        ParameterError: it holds control characters or is not UTF-8, or nobody has that home.
    """
    text = str(path)
    try:
        if text not in ("", OONI) and "://" not in text:
            text = str(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise ParameterError(name.upper(), path, str(error)) from None
    if _NO_TEXT.search(text):
        accepted = "a path or URL in UTF-8, without control characters, is accepted"
        raise ParameterError(name.upper(), path, accepted)
    return text


def replies_folder(store: str) -> Path:
    """Where OONI's replies are kept.

    Beside a store that is no folder it is the repository's own: replies are small, and each machine
    can ask.
    """
    base = REPOSITORY / "data" if "://" in store else Path(store)
    return base / "raw" / "api"
