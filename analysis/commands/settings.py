"""The words of the command line: ``NAME=VALUE``, the same as make's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.errors import ParameterError
from analysis.period import Period
from analysis.reference import countries
from analysis.reference.files import REPOSITORY
from analysis.reference.snapshots import Snapshot
from analysis.sources.ooni import RECEIPT_MARGIN
from analysis.sources.schedulers import parse_address

#: Name → what it is, for the help text.
VARIABLES: Mapping[str, str] = {
    "PROBE_CC": "country, two letters (default QQ, the embedded fictional country)",
    "SINCE": "first day, UTC, YYYY-MM-DD",
    "UNTIL": "day after the last, UTC",
    "SPLIT": "first day of the second half (default: the month start that halves the period)",
    "SOURCE": "ooni (its live archive, or the mirror that OONI_ARCHIVE in the environment names); "
    "or a folder, URL or s3://bucket/prefix in the archive's key layout; or another store",
    "RECEIPT_MARGIN": "days after UNTIL that SOURCE=ooni looks for late uploads in (default "
    f"{RECEIPT_MARGIN})",
    "KEEP_RAW": "1: keep the files that a server sends in STORE/raw/",
    "STORE": "where observations are kept (default data/)",
    "OUT": "where the report or share goes (default reports/<cc>/<since>--<until>/, shared/…)",
    "TEST_LIST": "Citizen Lab-shaped CSVs, comma-separated",
    "NETWORKS": "CSV asn,network,operator,kind,source",
    "FINGERPRINTS": "folder with OONI-shaped fingerprint CSVs",
    "EVENTS": "YAML with known events: date, title, kind, source",
    "REFERENCE": "UTC date, for the newest snapshot of test lists and fingerprints until then; or "
    "latest (default with SOURCE=ooni: one of the last 30 days, fetched where there is none)",
    "JOBS": "processes for reading (default: one per processor)",
    "SCHEDULER": "tcp://host:port of a Dask scheduler whose workers read instead, JOBS at once",
}
_LATER = {"PREVIOUS", "REPORT_LANGUAGES"}

FICTIONAL = REPOSITORY / "data" / "fictional"
_FICTIONAL_PERIOD = ("2024-01-01", "2025-01-01")


@dataclass(frozen=True)
class Settings:
    """The parameters of one run, checked as far as that is possible without reading anything.

    Attributes:
        probe_cc: the country's code.
        period: the whole period.
        split: first day of the second half, or ``""``.
        source, store, out: places; relative ones are meant from the repository.
        receipt_margin: days behind the period that OONI's archive is asked for.
        keep_raw: keep what a server sends.
        test_list, networks, fingerprints, events: reference data, ``""`` where none is given.
        reference: the snapshot of reference data that is asked for, ``""`` for none.
        network_names: registered names of networks, which only a snapshot brings.
        snapshot, snapshot_parts: the snapshot in use, and the parameters that it gave.
        jobs: processes, or None for one per processor.
        scheduler: address of a Dask scheduler, or ``""``.
        is_embedded: the source is the embedded fictional country, to be simulated first.
        method: notebook parameters by their own names, still as text.
    """

    probe_cc: str
    period: Period
    split: str
    source: str
    store: str
    out: Path
    receipt_margin: int
    keep_raw: bool
    test_list: str
    networks: str
    fingerprints: str
    events: str
    reference: str
    jobs: int | None
    scheduler: str
    is_embedded: bool
    method: Mapping[str, str]
    network_names: str = ""
    snapshot: Snapshot | None = None
    snapshot_parts: tuple[str, ...] = ()

    def with_snapshot(self, snapshot: Snapshot) -> "Settings":
        """With the lists of a snapshot, wherever none was handed in."""
        brought = {
            name: path
            for name, path in snapshot.parameters().items()
            if path and not getattr(self, name.lower())
        }
        places = {name.lower(): path for name, path in brought.items()}
        return replace(self, **places, snapshot=snapshot, snapshot_parts=tuple(brought))  # type: ignore[arg-type]

    def notebook_parameters(self) -> dict[str, object]:
        """What the notebooks are given, by the names in their parameters cells."""
        return {
            "probe_cc": self.probe_cc,
            "since": self.period.since.isoformat(),
            "until": self.period.until.isoformat(),
            "split": self.split,
            "source": self.source,
            "store": self.store,
            "receipt_margin": self.receipt_margin,
            "test_list": self.test_list,
            "networks": self.networks,
            "fingerprints": self.fingerprints,
            "network_names": self.network_names,
            "events": self.events,
        }


def parse_settings(words: Iterable[str], outputs: str = "reports") -> Settings:
    """Read ``NAME=VALUE`` words.

    Args:
        words: as they were given.
        outputs: the folder of the repository where OUT is, unless it is given.

    Raises:
        ParameterError: a word is no ``NAME=VALUE``, a name is unknown, or a value is wrong.
    """
    given, method = _split_words(words)
    code = countries.parse_country(given.get("PROBE_CC") or "QQ")
    is_embedded = not given.get("SOURCE")
    if is_embedded:
        _check_embedded(code, given)
        for name, place in _embedded_lists(code).items():
            given.setdefault(name, place)
    since = given.get("SINCE") or (_FICTIONAL_PERIOD[0] if is_embedded else "")
    until = given.get("UNTIL") or (_FICTIONAL_PERIOD[1] if is_embedded else "")
    for name, value in (("SINCE", since), ("UNTIL", until)):
        if not value:
            raise ParameterError(name, "", "must be given with SOURCE: a UTC date, YYYY-MM-DD")
    margin = _whole("RECEIPT_MARGIN", given, range(367))
    period = Period.parse(since, until)
    period.split(given.get("SPLIT"))
    out = given.get("OUT") or str(REPOSITORY / outputs / code.lower() / str(period))
    return Settings(
        probe_cc=code,
        period=period,
        split=given.get("SPLIT", ""),
        source=_place(given.get("SOURCE") or str(FICTIONAL / code.lower() / "archive")),
        store=_place(given.get("STORE") or str(REPOSITORY / "data")),
        out=Path(_place(out)),
        receipt_margin=RECEIPT_MARGIN if margin is None else margin,
        keep_raw=_whole("KEEP_RAW", given, range(2)) == 1,
        test_list=",".join(_place(part) for part in given.get("TEST_LIST", "").split(",") if part),
        networks=_place(given.get("NETWORKS", "")),
        fingerprints=_place(given.get("FINGERPRINTS", "")),
        events=_place(given.get("EVENTS", "")),
        reference=given.get("REFERENCE", ""),
        jobs=_whole("JOBS", given, range(1, 1025)),
        scheduler=parse_address(given["SCHEDULER"]) if given.get("SCHEDULER") else "",
        is_embedded=is_embedded,
        method=method,
    )


def _split_words(words: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    given: dict[str, str] = {}
    method: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError("parameter", word, "write NAME=VALUE, such as PROBE_CC=KH")
        if name in _LATER:
            raise ParameterError(name, value, "this is not built yet; leave it out")
        if name in VARIABLES:
            given[name] = value.strip()
        elif name.islower():
            method[name] = value.strip()
        else:
            raise ParameterError(
                name, value, f"there is no such parameter; there are {', '.join(VARIABLES)}, and "
                "the method's numbers by the lower-case names in the notebooks"
            )  # fmt: skip
    return given, method


def _check_embedded(code: str, given: Mapping[str, str]) -> None:
    if not countries.is_fictional(code):
        raise ParameterError(
            "SOURCE", "", f"must be given for {code}: ooni, a folder, URL or s3://bucket/prefix in "
            "the archive's key layout, or another store"
        )  # fmt: skip


def _embedded_lists(code: str) -> dict[str, str]:
    folder = FICTIONAL / code.lower() / "reference"
    return {
        "TEST_LIST": str(folder / "test-lists"),
        "NETWORKS": str(folder / "networks.csv"),
        "FINGERPRINTS": str(folder / "fingerprints"),
        "EVENTS": str(folder / "events.yml"),
    }


def _place(text: str) -> str:
    """An absolute path for a relative one; URLs and ``ooni`` stay. make runs in the repository."""
    if text in ("", "ooni") or "://" in text:
        return text
    return str(Path(text).expanduser().absolute())


def _whole(name: str, given: Mapping[str, str], accepted: range) -> int | None:
    """A whole number; None where the word is not given."""
    text = given.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text[:9]) in accepted):
        first, last = accepted[0], accepted[-1]
        raise ParameterError(name, text, f"a whole number from {first} to {last} is accepted")
    return int(text)
