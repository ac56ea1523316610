"""The parameters of a study, declared once: name, help, default and check of each.

``StudyParameters.of`` reads them from the command line (``PROBE_CC=KH``) or a notebook's parameters
cell (``probe_cc = "KH"``). ``tools/parameters_cells.py`` writes the cells from the declarations.

A country's totals have the measurements of all volunteers. ``PROJECT`` counts a project's own
separately: those of its OONI Run links, whose numbers the probes send, and of its networks.
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
_CAMPAIGN_LIMIT = 100  # links and networks


@dataclass(frozen=True)
class Campaign:
    """A project's own measurements: those of its links, and on its networks."""

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
        if wrong or len(parts) > _CAMPAIGN_LIMIT:
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
        """The condition of the project's own measurements, as SQL over an observation."""
        parts = []
        if self.run_links:
            # null if the probe followed no link
            parts.append(f"coalesce(run_link_id IN ({', '.join(map(str, self.run_links))}), false)")
        if self.asns:
            parts.append(f"probe_asn IN ({', '.join(map(str, self.asns))})")
        return f"({' OR '.join(parts) or 'false'})"


#: The default country, which ``make report`` makes, and its year.
FICTIONAL_COUNTRY = "QQ"
_FICTIONAL_PERIOD = ("2024-01-01", "2025-01-01")
_FICTIONAL = REPOSITORY / "data" / "fictional"
_FICTIONAL_PROJECT = "10999"  # the OONI Run link of its volunteers
_WORK = REPOSITORY / "data" / "work"

#: The value of WITNESSES with which a report names no single measurement.
NO_WITNESSES = "none"

#: The lists, which are given as parameters, or together as a snapshot.
LISTS = ("test_list", "networks", "fingerprints", "network_names", "events")
_NAME_LENGTH = 200  # file systems take 255 bytes, and publication adds some
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Parameter:
    """The declaration of a parameter besides its name, type and default.

    Attributes:
        help: in one line.
        is_variable: whether the command line accepts it, in capital letters.
        needs_country: whether it requires ``probe_cc``.
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
    """The country, period, source, lists and numbers of a study.

    ``of`` checks values and fills in defaults; the constructor does not.
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
        """Read the parameters among some values, check them, and fill in the defaults.

        Args:
            values: name in lower case → value, such as a notebook's ``globals()``; other names
                are ignored. ``""`` is the default. ``thresholds`` is a mapping; relative paths
                start at the working folder.

        Raises:
            ParameterError: a value is wrong, or one is missing.
        """
        names = [name for name in PARAMETERS if name not in ("thresholds", "variant")]
        chosen = {name: values[name] for name in names if values.get(name) not in (None, "")}
        _check_country_is_given(chosen)
        code = parse_country(chosen.get("probe_cc", FICTIONAL_COUNTRY))
        if "source" not in chosen:
            chosen = _of_fictional_country(code, chosen)
        period = _read_period(code, chosen)
        margin = chosen.get("receipt_margin", RECEIPT_MARGIN)
        variant, thresholds = _read_variant(values), _read_thresholds(values)
        study = cls(
            probe_cc=code,
            since=str(period.since),
            until=str(period.until),
            split=str(chosen.get("split", "")),
            receipt_margin=whole_number("RECEIPT_MARGIN", margin, range(367)),
            **_read_paths({"store": REPOSITORY / "data", **chosen}),
            reference=str(chosen.get("reference", "")),
            project=str(Campaign.of(str(chosen.get("project", "")))),
            accept_fields=whole_number("ACCEPT_FIELDS", chosen.get("accept_fields", 0), range(2)),
            witnesses=_read_witnesses(chosen.get("witnesses", "")),
            variant=variant,
            thresholds=thresholds.changed_by(variant.thresholds if variant else {}),
        )
        tables = chosen.get("tables", _WORK / study.label / "tables")
        return replace(study, tables=absolute("tables", tables))

    @property
    def period(self) -> Period:
        """The whole period."""
        return Period.parse(self.since, self.until)

    @property
    def is_of_server(self) -> bool:
        """Whether the source is read over a network."""
        return self.source == OONI or "://" in self.source

    @property
    def campaign(self) -> Campaign:
        """The project's own measurements."""
        return Campaign.of(self.project)

    @property
    def has_witnesses(self) -> bool:
        """Whether a report names single measurements and gives times to the second."""
        return not self.witnesses

    @property
    def published_label(self) -> str:
        """The study's folder by the published method: ``kh/2023-07-01--2024-07-01``."""
        return f"{self.probe_cc.lower()}/{self.period}"

    @property
    def label(self) -> str:
        """The study's folder, with the changes to the method.

        ``kh/2023-07-01--2024-07-01.floor_sessions=6``; many changes are shortened to a digest. A
        variant's own changes are replaced by its label.
        """
        changes = "".join(
            f".{name}={value}"
            for name, value in self.thresholds.changes().items()
            if not (self.variant and name in self.variant.thresholds)
        )
        if len(changes) > _NAME_LENGTH:
            changes = f".thresholds={hashlib.sha256(changes.encode()).hexdigest()[:12]}"
        variant = f".{self.variant.folder}" if self.variant else ""
        return f"{self.published_label}{variant}{changes}"

    @property
    def fictional_folder(self) -> Path:
        """The folder of the fictional country with this code and period.

        A period other than the default has a folder of its own.
        """
        code = self.probe_cc.lower()
        is_default = (self.since, self.until) == _FICTIONAL_PERIOD
        return _FICTIONAL / (code if is_default else f"{code}-{self.period}")

    def with_snapshot(self, snapshot: Snapshot) -> "StudyParameters":
        """Return the parameters with a snapshot's lists for those that were not given."""
        lists = {name.lower(): path for name, path in snapshot.parameters().items()}
        missing = {name: path for name, path in lists.items() if not getattr(self, name)}
        return replace(self, **missing)  # type: ignore[arg-type]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of the study's method, in order."""
        return self.variant.rules if self.variant else RULES

    @cached_property
    def lineage(self) -> Lineage:
        """The lineage of the study's method."""
        return Lineage.of(self.rules, self.thresholds)

    @property
    def edited(self) -> str:
        """See ``Lineage.digest_edit``."""
        return self.lineage.digest_edit(self.variant.only if self.variant else "")

    def describe_method(self) -> dict[str, object]:
        """Return the method for a page's provenance."""
        variant = self.variant
        return {
            "method": f"rules version {RULES_VERSION}, {self.lineage.in_words}",
            **({"variant": variant.label} if variant else {}),
        }

    def name_changes(self) -> list[tuple[str, str]]:
        """Return the changes to the published method, each with its meaning."""
        variant = self.variant
        meanings = {rule.rule_id: rule.comment for rule in self.rules}
        meanings |= {name: threshold.meaning for name, threshold in DECLARATIONS.items()}
        changes = [(f"variant “{variant.label}”", "")] if variant else []
        if variant and variant.only:
            words = f"only measurements of web sites with {variant.only}"
            meaning = "the others are left out; apps and tools are of all measurements"
            changes.append((words, meaning))
        for edit in self.lineage.with_notebooks().edits:
            name = edit.removeprefix("rule ").partition(" ")[0]
            changes.append((edit, meanings.get(name, "")))
        return changes

    def for_notebooks(self) -> dict[str, object]:
        """Return every parameter but ``tables`` by name, as a notebook's cell sets it."""
        values = {name: getattr(self, name) for name in PARAMETERS if name != "tables"}
        # ``reference`` stays empty, because the lists of the snapshot are filled in already.
        variant = self.variant.file if self.variant else ""
        return {
            **values,
            "thresholds": self.thresholds.changes(),
            "variant": variant,
            "reference": "",
        }


#: Name → declaration of the parameter, in the order of the notebooks' cells.
PARAMETERS: Mapping[str, Parameter] = {
    declared.name: declared.metadata["parameter"] for declared in fields(StudyParameters)
}


def check_names(values: Mapping[str, Any]) -> None:
    """Refuse misspelt parameters, which would have no effect.

    Args:
        values: a notebook's ``globals()``, which may have other names, or only parameters.

    Raises:
        ParameterError: the name of a number or text is nearly that of a parameter.
    """
    is_notebook = "__name__" in values
    names = [*PARAMETERS, *DECLARATIONS]
    for name, value in values.items():
        if name in names or isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        if near := find_near(name.lower(), names, 0.88):
            raise ParameterError(
                name,
                value,
                f"there is no such parameter; is {near[0]} meant? Else use another name",
            )
        if not is_notebook:
            raise ParameterError(name, value, "there is no such parameter")


def find_lists(parameters: StudyParameters) -> StudyParameters:
    """Return the parameters with the requested snapshot, or the latest for OONI's archive.

    No network is used; if no snapshot was fetched, a study of OONI's archive has none.

    Raises:
        ParameterError: there is no such snapshot.
        ContractError: a file of it is not the one that was fetched.
    """
    if parameters.reference:
        return parameters.with_snapshot(find(parameters.reference, parameters.probe_cc))
    if wants_snapshot(parameters) and held(parameters.probe_cc):
        return parameters.with_snapshot(find(LATEST, parameters.probe_cc))
    return parameters


def wants_snapshot(parameters: StudyParameters) -> bool:
    """Test whether a study needs the latest lists: it is of OONI's archive and lacks lists."""
    return parameters.source == OONI and not (parameters.test_list and parameters.fingerprints)


def whole_number(name: str, value: object, accepted: range) -> int:
    """Parse a whole number in a range, from a number or a text.

    Raises:
        ParameterError: it is not such a number.
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
    """Return the variant of a file, or one that was read before; ignore other values."""
    variant = values.get("variant")
    if isinstance(variant, str | Path) and str(variant):
        return load_variant(absolute("variant", variant))
    return variant if isinstance(variant, Variant) else None


def _read_thresholds(values: Mapping[str, Any]) -> Thresholds:
    """Read thresholds: a mapping, papermill's text of one, or ``Thresholds`` of an earlier cell."""
    value = thresholds = values.get("thresholds", {})
    if isinstance(thresholds, Thresholds):
        return thresholds
    if isinstance(value, str):
        with suppress(ValueError):
            thresholds = json.loads(value)
    if not isinstance(thresholds, Mapping):
        accepted = 'a mapping of names to numbers is accepted, such as {"floor_sessions": 6}'
        raise ParameterError("thresholds", value, accepted)
    return Thresholds.of({**values, "thresholds": thresholds})


def _check_country_is_given(chosen: Mapping[str, Any]) -> None:
    """Refuse a period, a source or a list without a country, which was probably forgotten."""
    if "probe_cc" in chosen:
        return
    defaults = vars(StudyParameters())
    for name, value in chosen.items():
        if PARAMETERS[name].needs_country and str(value) != str(defaults[name]):
            raise ParameterError(
                name.upper(),
                value,
                "give PROBE_CC as well, the country that is meant "
                f"({FICTIONAL_COUNTRY} is the fictional one)",
            )


def _of_fictional_country(code: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with defaults of the fictional country: period, archive and lists."""
    if not is_fictional(code):
        missing = [name.upper() for name in ("since", "until") if name not in chosen]
        also = f" (with {' and '.join(missing)}, UTC dates)" if missing else ""
        raise ParameterError(
            "SOURCE",
            "",
            f"must be given for {code}{also}: ooni, a folder, URL or "
            "s3://bucket/prefix in the archive's key layout, a share or another store",
        )
    since, until = _FICTIONAL_PERIOD
    dated = {"since": since, "until": until, **chosen}
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


def _read_period(code: str, chosen: Mapping[str, Any]) -> Period:
    """Read the period, and check ``split`` if it has more than one day."""
    for name in ("since", "until"):
        if name not in chosen:
            accepted = "must be given with SOURCE: a UTC date, YYYY-MM-DD"
            raise ParameterError(name.upper(), "", accepted)
    period = Period.parse(chosen["since"], chosen["until"])
    # Refused instead of shortened, because a report must not depend on the day when it is made.
    if period.until > today() and not is_fictional(code):
        accepted = f"lies ahead; {today()} is accepted at the latest: its eve is over (UTC)"
        raise ParameterError("UNTIL", period.until, accepted)
    if "split" in chosen or period.day_count > 1:  # one day can be ingested and shared
        period.split(chosen.get("split"))
    return period


def _read_paths(chosen: Mapping[str, Any]) -> dict[str, str]:
    """Return source, store and lists with absolute paths; there may be several test lists."""
    names = ("source", "store", "test_counts", "outages", *LISTS)
    paths = {name: absolute(name, chosen.get(name, "")) for name in names}
    lists = [part for part in str(chosen.get("test_list", "")).split(",") if part]
    return {**paths, "test_list": ",".join(absolute("test_list", part) for part in lists)}


def absolute(name: str, path: str | Path) -> str:
    """Make a path absolute; URLs and ``ooni`` are returned unchanged.

    Raises:
        ParameterError: it has control characters or is not UTF-8, or its user does not exist.
    """
    text = str(path)
    try:
        if text not in ("", OONI) and "://" not in text:
            text = str(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise ParameterError(name.upper(), path, str(error)) from None
    if _NOT_PRINTABLE.search(text):
        accepted = "a path or URL in UTF-8, without control characters, is accepted"
        raise ParameterError(name.upper(), path, accepted)
    return text


def replies_folder(store: str) -> Path:
    """Return the folder of OONI's replies.

    If the store is a bucket, it is in the repository, because each machine can fetch the replies.
    """
    base = REPOSITORY / "data" if "://" in store else Path(store)
    return base / "raw" / "api"
