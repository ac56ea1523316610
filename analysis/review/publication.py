"""Who publishes a report, and what was found wrong in one that is out.

``data/publisher/<cc>.yml`` says who publishes, whom to write to, and until when objections are
heard. A draft without it says so; a final report needs all of it.

``data/review/<cc>-corrections.yml`` lists errors that were found in published reports. The report
that is made next for the same period carries them on every page; ``add_notice`` puts them on the
pages of the one that was wrong.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from markupsafe import Markup

from analysis.errors import ParameterError
from analysis.languages.language import ENGLISH, Language, list_translated, open_language
from analysis.pages.replacing import SUMS, published
from analysis.period import Period, parse_date
from analysis.reference.reference_files import REPOSITORY, NodeReader
from analysis.review.decisions import PARSERS, REVIEWS
from analysis.review.reports import read_report
from analysis.vocabulary import PUBLISHER

PUBLISHERS = REPOSITORY / "data" / "publisher"
_DAYS = ("object_until", "published")
_LONGEST, _MOST = 400, 200
_FINAL = "final"


def publisher_path(probe_cc: str) -> Path:
    """The file that says who publishes the reports on a country."""
    return PUBLISHERS / f"{probe_cc.lower()}.yml"


def load_publisher(path: Path) -> dict[str, str]:
    """Who publishes: key of :data:`PUBLISHER` → text, days as ISO; empty where there is no file.

    Raises:
        ParameterError: the file is malformed; names file and line.
    """
    if not path.exists():
        return {}
    reader = NodeReader(path, "publisher")
    found = reader.mapping(reader.root(), (), "the file", tuple(PUBLISHER))
    return {
        key: reader.checked(found[key], lambda text: str(parse_date("day", text)))
        if key in _DAYS
        else reader.text(found[key], key, _LONGEST)
        for key in PUBLISHER
        if key in found
    }


def check_final(status: str, publisher: Mapping[str, str], path: Path) -> None:
    """Refuse a status that begins with *Final* where somebody could not object or cite.

    Raises:
        ParameterError: says which keys are missing in the file.
    """
    missing = [key for key in PUBLISHER if key not in publisher]
    if missing and status.strip().lower().startswith(_FINAL):
        place = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
        raise ParameterError(
            "STATUS", status, f"a final report needs {', '.join(missing)} in {place}"
        )


def word_publisher(publisher: Mapping[str, str], lang: Language) -> tuple[tuple[str, str], ...]:
    """The box under the title: label and text; nothing where nobody is named."""
    return tuple(
        (lang.say(PUBLISHER[key]), lang.date(date.fromisoformat(text)) if key in _DAYS else text)
        for key, text in publisher.items()
    )


@dataclass(frozen=True)
class Correction:
    """An error in a published report.

    Attributes:
        day: on which it was announced.
        period: of the report.
        wrong: what the report says.
        right: what is right.
        role: of who noticed it; never a person's name.
    """

    day: date
    period: Period
    wrong: str
    right: str
    role: str


def corrections_path(probe_cc: str) -> Path:
    """The file of the errors that were found in the reports on a country."""
    return REVIEWS / f"{probe_cc.lower()}-corrections.yml"


def load_corrections(path: Path, period: Period) -> tuple[Correction, ...]:
    """The errors found in the report of a period, by day; none where there is no such file.

    Raises:
        ParameterError: the file is malformed; names file and line.
    """
    if not path.exists():
        return ()
    reader = NodeReader(path, "corrections")
    head = reader.mapping(reader.root(), ("corrections",), "the file")
    found = []
    for node in reader.items(head["corrections"], _MOST, "corrections"):
        keys = ("date", "since", "until", "wrong", "right", "noticed_by")
        cells = reader.mapping(node, keys, "a correction")
        found.append(
            Correction(
                day=reader.checked(cells["date"], lambda text: parse_date("date", text)),
                period=reader.period(cells["since"], cells["until"]),
                wrong=reader.text(cells["wrong"], "wrong", _LONGEST),
                right=reader.text(cells["right"], "right", _LONGEST),
                role=reader.checked(cells["noticed_by"], PARSERS["role"]),
            )
        )
    of_period = (one for one in found if one.period == period)
    return tuple(sorted(of_period, key=lambda one: (one.day, one.wrong)))


def word_corrections(
    corrections: Sequence[Correction], lang: Language, *, is_corrected: bool
) -> tuple[Markup, ...]:
    """A sentence for each error, for the report in which it is corrected or for the wrong one."""
    said = []
    for one in corrections:
        values = {"day": one.day, "wrong": one.wrong, "right": one.right, "role": one.role}
        said.append(
            lang.html(
                "Corrected on {day}. An earlier edition said: {wrong} Correct is: {right} The "
                "error was noticed by: {role}.",
                **values,
            )
            if is_corrected
            else lang.html(
                "Error announced on {day}. This edition says: {wrong} Correct is: {right} The "
                "error was noticed by: {role}.",
                **values,
            )
        )
    return tuple(said)


def add_notice(folder: Path) -> int:
    """Put errors that were found in a published report on each of its pages; all else stays.

    The checksums are written again, and the earlier ones are kept beside them.

    Returns:
        The number of pages.

    Raises:
        ParameterError: it is no report, no error was announced for it, or all are on its pages.
    """
    report = read_report(folder, "OUT")
    corrections = load_corrections(corrections_path(report.probe_cc), report.period)
    day = max((one.day for one in corrections), default=None)
    kept = f"{SUMS}.before-{day}"
    if day is None or (report.folder / kept).exists():
        state = "carries its notice already" if day else "has no error on record"
        raise ParameterError(
            "OUT",
            report.folder,
            f"{state}; {corrections_path(report.probe_cc).name} lists what was found wrong",
        )
    with published(report.folder, "findings", is_copy=True) as build:
        pages = sorted(build.folder.rglob("*.html"))
        for page in pages:
            code = page.relative_to(build.folder).parts[0]
            lang = open_language(code) if code in list_translated() else ENGLISH
            said = word_corrections(corrections, lang, is_corrected=False)
            page.write_text(_with_notice(page.read_text("utf-8"), said), "utf-8", newline="\n")
        if (report.folder / SUMS).is_file():
            (build.folder / SUMS).rename(build.folder / kept)
    return len(pages)


def _with_notice(html: str, said: Sequence[Markup]) -> str:
    """A page with the notices below its title, in the place of earlier ones."""
    html = re.sub(r'<p class="correction">.*?</p>\n', "", html, flags=re.DOTALL)
    notice = "".join(f'<p class="correction">{one}</p>\n' for one in said)
    return re.sub(r"</h1>\n", lambda _: f"</h1>\n{notice}", html, count=1)
