"""The arguments of the command line: ``NAME=VALUE``, the same as make's variables."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.errors import ParameterError, suggest
from analysis.languages.language import Language, open_languages
from analysis.outcomes.thresholds import DECLARATIONS
from analysis.reference.reference_files import (
    LATEST,
    REPOSITORY,
    SNAPSHOTS,
    Snapshot,
    find,
    held,
)
from analysis.sources.schedulers import parse_address
from analysis.study.parameters import (
    LISTS,
    PARAMETERS,
    StudyParameters,
    absolute,
    wants_snapshot,
    whole_number,
)

#: Name → its help text: first the parameters of a study, then those of the run alone.
VARIABLES: Mapping[str, str] = {
    **{name.upper(): one.help for name, one in PARAMETERS.items() if one.is_variable},
    "OUT": "where the report or share goes (default reports/<cc>/<since>--<until>/, shared/…)",
    "STATUS": "words such as Draft 2, shown on every page and in the print footer",
    "REPORT_LANGUAGES": "such as en,km: the first at the top of OUT, each other in its own folder",
    "PREVIOUS": "an earlier report's folder: the first page shows what changed since",
    "CLAIMS": "a draft's statements (data/claims/….yml), checked against the report's tables",
    "PDF_SITES": "1: make pdf adds the page of each listed site",
    "KEEP_RAW": "1: keep the files that a server sends, in STORE/raw/",
    "RELIST": "1: list all days of OONI's archive again; 0: ask for nothing that was read before",
    "JOBS": "processes for reading (default: one per processor)",
    "SCHEDULER": "tcp://host:port of a Dask scheduler; its workers read instead, JOBS at once",
}
_LONGEST_STATUS = 40  # characters; it stands beside the country's name on a phone
#: Joiners and breaks that scripts need within a word; other invisible characters are refused.
_WITHIN_WORDS = "\u200b\u200c\u200d"


@dataclass(frozen=True)
class Settings:
    """Settings of a run, checked as far as possible without reading files.

    Attributes:
        study: the study's parameters.
        out: the folder of the report or the share.
        status: words of whoever makes the report, such as "Draft 2", or ``""``.
        languages: languages of the report, the first at its top.
        previous: the folder of an earlier report, or None.
        claims: the file of a draft's statements, or None.
        keep_raw: keep the files that a server sends.
        relist: see ``store.ingestion.Request``.
        prints_sites: print the pages of listed sites as well.
        jobs: processes for reading; None: one per processor.
        scheduler: address of a Dask scheduler, or ``""``.
        is_embedded: the source is the fictional country, to be simulated first.
        snapshot: the snapshot of reference data in use.
    """

    study: StudyParameters
    out: Path
    status: str
    languages: tuple[Language, ...]
    previous: Path | None
    claims: Path | None
    keep_raw: bool
    relist: bool | None
    prints_sites: bool
    jobs: int | None
    scheduler: str
    is_embedded: bool
    snapshot: Snapshot | None = None


def parse_settings(arguments: Iterable[str], outputs: str = "reports") -> Settings:
    """Read ``NAME=VALUE`` arguments.

    Args:
        arguments: arguments of the command line.
        outputs: the folder of the repository for a default OUT.

    Raises:
        ParameterError: an argument is no ``NAME=VALUE``, a name is unknown, or a value is wrong.
    """
    variables, thresholds = _split_arguments(arguments)
    if "," in variables.get("PROBE_CC", ""):
        raise ParameterError(
            "PROBE_CC",
            variables["PROBE_CC"],
            "make a report of each country, then compare them with "
            "'python -m analysis side-by-side FOLDER FOLDER'",
        )
    values = {name.lower(): value for name, value in variables.items()}
    study = StudyParameters.of({**values, "thresholds": thresholds})
    # an empty value means no list, for the fictional country as well
    empty = dict.fromkeys((name for name in LISTS if values.get(name) == ""), "")
    study = replace(study, **empty)  # type: ignore[arg-type]
    # a share does not depend on the method, so that its folder is not named after changes
    label = study.label if outputs == "reports" else study.published_label
    out = Path(absolute("out", variables.get("OUT") or REPOSITORY / outputs / label)).resolve()
    if "://" not in study.store and Path(study.store).resolve().is_relative_to(out):
        raise ParameterError(
            "OUT", out, f"holds the STORE {study.store}; a folder of its own will do"
        )
    return Settings(
        study=study,
        out=out,
        status=_status(variables.get("STATUS", "")),
        languages=open_languages(variables.get("REPORT_LANGUAGES", "")),
        previous=_path("PREVIOUS", variables),
        claims=_path("CLAIMS", variables),
        keep_raw=_whole("KEEP_RAW", variables, range(2)) == 1,
        relist=None if (relist := _whole("RELIST", variables, range(2))) is None else relist == 1,
        prints_sites=_whole("PDF_SITES", variables, range(2)) == 1,
        jobs=_whole("JOBS", variables, range(1, 1025)),
        scheduler=parse_address(variables["SCHEDULER"]) if variables.get("SCHEDULER") else "",
        is_embedded=not variables.get("SOURCE"),
    )


def read_values(arguments: Iterable[str], accepted: Collection[str] = ()) -> dict[str, str]:
    """Return the values of ``NAME=VALUE`` arguments by name; of a repeated name the last value.

    Raises:
        ParameterError: an argument is no ``NAME=VALUE``, or its name is not accepted.
    """
    values: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError("argument", argument, "write NAME=VALUE, such as PROBE_CC=KH")
        if accepted and name not in accepted:
            raise ParameterError(name, value, f"only {', '.join(accepted)} are taken here")
        values[name] = value.strip()
    return values


def with_lists(settings: Settings, say: Callable[[str], None]) -> Settings:
    """Return the settings with the snapshot of reference data that they need.

    For OONI's archive this is a snapshot of the last days, which is fetched if there is none; with
    ``RELIST=0`` it is the newest stored one, however old.

    Raises:
        ParameterError: there is no such snapshot.
        SourceError: it cannot be fetched.
        ContractError: a file of it was changed after it was fetched.
    """
    from analysis.sources.reference_data import current  # takes a second to load

    if settings.study.reference:
        snapshot = find(settings.study.reference, settings.study.probe_cc)
    elif wants_snapshot(settings.study):
        code = settings.study.probe_cc
        is_kept = settings.relist is False and held(code, SNAPSHOTS)
        snapshot = find(LATEST, code, SNAPSHOTS) if is_kept else current(code, SNAPSHOTS, say)
    else:
        return settings
    return replace(settings, study=settings.study.with_snapshot(snapshot), snapshot=snapshot)


def _split_arguments(arguments: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the variables and the thresholds by name; of a repeated name the last value."""
    values = read_values(arguments)
    variables = {name: value for name, value in values.items() if name in VARIABLES}
    thresholds = {name: value for name, value in values.items() if name not in VARIABLES}
    for name, value in thresholds.items():
        if not name.islower() or name.upper() in VARIABLES:
            accepted = f"; there are {', '.join(VARIABLES)}, and the thresholds, in lower case"
            near = (
                suggest(name.upper(), VARIABLES) or suggest(name.lower(), DECLARATIONS) or accepted
            )
            raise ParameterError(name, value, f"there is no such parameter{near}")
    return variables, thresholds


def _status(text: str) -> str:
    """Return the words of a status, which must fit a header and a footer.

    Raises:
        ParameterError: the text is long, has no letter or digit, or has a control character.
    """
    has_controls = not "".join(char for char in text if char not in _WITHIN_WORDS).isprintable()
    has_words = any(char.isalnum() for char in text)
    if text and (has_controls or not has_words or len(text) > _LONGEST_STATUS):
        raise ParameterError(
            "STATUS",
            text,
            f"words on one line, such as Draft 2, of at most {_LONGEST_STATUS} "
            "characters are accepted",
        )
    return text


def _whole(name: str, variables: Mapping[str, str], accepted: range) -> int | None:
    """Return the whole number of a variable; None if it has no value."""
    return whole_number(name, variables[name], accepted) if variables.get(name) else None


def _path(name: str, variables: Mapping[str, str]) -> Path | None:
    """Return the absolute path of a variable; None if it has no value."""
    return Path(absolute(name, variables[name])) if variables.get(name) else None
