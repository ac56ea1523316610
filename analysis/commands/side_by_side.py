"""``PROBE_CC=KH,MY,VN``: a report a country, and a page that holds them side by side."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands.settings import Settings, parse_settings
from analysis.errors import ContractError, ParameterError, SourceError, WorkbookError
from analysis.reference.countries import country_name, parse_country
from analysis.reference.reference_files import REPOSITORY

if TYPE_CHECKING:
    from analysis.review.reports import Report

#: What is one country's own.
_OF_ONE = ("EVENTS", "NETWORKS", "PREVIOUS", "CLAIMS")
_MOST = 40  # countries; a table with more columns is read by nobody


@dataclass(frozen=True)
class Plan:
    """Reports to be made, one a country, and where their page goes.

    Attributes:
        settings: of each report, in the order of the codes.
        out: the folder of the page.
    """

    settings: tuple[Settings, ...]
    out: Path


def plan_reports(arguments: Iterable[str]) -> Plan | None:
    """Read the arguments of a report of several countries; None where it is of one.

    Each country's report goes where it goes by itself, and with ``OUT`` into a folder of its code
    there. Of ``TEST_LIST`` each country is given its own lists and the general ones.

    Raises:
        ParameterError: an argument is wrong, or is one country's own.
    """
    given = [*arguments]
    values = {text.partition("=")[0]: text.partition("=")[2].strip() for text in given}
    if "," not in values.get("PROBE_CC", ""):
        return None
    named = [part for part in values["PROBE_CC"].split(",") if part.strip()]
    codes = sorted(map(parse_country, named))
    if len(set(codes)) < max(len(codes), 2) or len(codes) > _MOST:
        accepted = f"each country once, such as KH,MY,VN; at most {_MOST}"
        raise ParameterError("PROBE_CC", values["PROBE_CC"], accepted)
    for name in _OF_ONE:
        if values.get(name):
            raise ParameterError(
                name, values[name], "is one country's own: make that report by itself, then hold "
                "them together with 'python -m analysis side-by-side FOLDER FOLDER'"
            )  # fmt: skip
    every = tuple(parse_settings([*given, *_of_country(code, codes, values)]) for code in codes)
    return Plan(every, _page_folder(every, values.get("OUT", "")))


def _of_country(code: str, codes: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """What differs from country to country."""
    own = [f"PROBE_CC={code}"]
    if values.get("OUT"):
        own.append(f"OUT={values['OUT']}/{code.lower()}")
    if values.get("TEST_LIST"):
        others = {other.lower() for other in codes if other != code}
        lists = [
            part for part in values["TEST_LIST"].split(",")
            if Path(part.strip()).stem.lower().split("-")[0] not in others
        ]  # fmt: skip
        own.append(f"TEST_LIST={','.join(lists)}")
    return own


def _page_folder(every: Sequence[Settings], out: str) -> Path:
    if out:
        return every[0].out.parent / "side-by-side"
    label = every[0].study.label.partition("/")[2]
    return default_folder([one.probe_cc for one in every], label)


def default_folder(codes: Iterable[str], label: str) -> Path:
    """Where a page goes that nobody says a folder for; ``label`` is the period's."""
    return REPOSITORY / "reports" / "side-by-side" / "-".join(sorted(codes)).lower() / label


def make_reports(
    plan: Plan, make: Callable[[Settings], Path], say: Callable[[str], None]
) -> tuple[list["Report"], dict[str, WorkbookError]]:
    """Make one report after the other; one that fails does not lose the others.

    Args:
        plan: see ``plan_reports``.
        make: makes a report.
        say: tells whoever waits.

    Returns:
        The reports, and the errors by the codes of the countries that have none.

    Raises:
        ParameterError: a folder holds something else, or a test list is wrong; nothing was made.
    """
    from analysis.pages.replacing import refuse_foreign
    from analysis.reference.test_lists import load_test_lists
    from analysis.review.reports import read_report

    for one in plan.settings:  # what is wrong of any ends here, not after hours
        refuse_foreign(one.out, "findings")
        if not one.is_embedded:
            load_test_lists(one.study.test_list, one.probe_cc)
    refuse_foreign(plan.out, "reports")
    reports: list[Report] = []
    failed: dict[str, WorkbookError] = {}
    for settings in plan.settings:
        name = country_name(settings.probe_cc)
        say(f"{name}:")
        try:
            reports.append(read_report(make(settings).parent, "OUT"))
        except (SourceError, ContractError) as error:
            failed[settings.probe_cc] = error
            say(f"{name}: no report. {type(error).__name__}: {error}")
    return reports, failed
