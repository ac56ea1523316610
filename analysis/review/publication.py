"""The publisher of a report, and the errors that were found in a published one.

``data/publisher/<cc>.yml`` says who publishes, whom to write to, and until when objections are
heard. A draft without it says so; a final report needs all of it, an answer to each request for
other words, and each section of the narrative.

``data/review/<cc>-corrections.yml`` lists errors that were found in published reports. The report
that is made next for the same period carries them on every page; ``add_notice`` puts them on the
pages of the one that was wrong. What contradicts the edition that it would stand on is refused:
whether ``wrong`` and ``right`` are true, only people can say.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from markupsafe import Markup

from analysis.errors import ContractError, ParameterError
from analysis.languages.language import ENGLISH, Language, list_translated, open_language
from analysis.pages.replacing import SUMS, published
from analysis.period import Period, parse_date, today
from analysis.reference.reference_files import REPOSITORY, NodeReader
from analysis.reference.withheld import REVIEWS
from analysis.review.decisions import PARSERS
from analysis.review.reports import read_report
from analysis.vocabulary import PUBLISHER

PUBLISHERS = REPOSITORY / "data" / "publisher"
_DAYS = ("object_until", "published")
#: The optional key with the web address at which the report will be found.
ADDRESS = "address"
_LONGEST, _MOST = 400, 200
_FINAL = "final"


def publisher_path(probe_cc: str) -> Path:
    """Return the file that names the publisher of the reports on a country."""
    return PUBLISHERS / f"{probe_cc.lower()}.yml"


def load_publisher(path: Path) -> dict[str, str]:
    """Read the publisher: key of :data:`PUBLISHER`, or ``address`` → text, days as ISO.

    Empty without such a file.

    Raises:
        ParameterError: the file is malformed; names file and line.
    """
    if not path.exists():
        return {}
    reader = NodeReader(path, "publisher")
    cells = reader.mapping(reader.root(), (), "the file", (*PUBLISHER, ADDRESS))
    return {
        key: reader.checked(cells[key], lambda text: str(parse_date("day", text)))
        if key in _DAYS
        else reader.text(cells[key], key, _LONGEST)
        for key in (*PUBLISHER, ADDRESS)
        if key in cells
    }


def check_final(
    status: str,
    publisher: Mapping[str, str],
    path: Path,
    reworded: Collection[str] = (),
    unwritten: Collection[str] = (),
) -> None:
    """Refuse a status that begins with *Final* if something is still open.

    Args:
        status: any.
        publisher: without a key of :data:`PUBLISHER` somebody could not object or cite.
        path: where it was read.
        reworded: the items for which a decision on this period and method asks for other words. A
            later decision on the item takes its place, and so answers it.
        unwritten: the files of the narrative's missing sections.

    Raises:
        ParameterError: says what is missing, the first of these.
    """
    if not status.strip().lower().startswith(_FINAL):
        return
    missing = [key for key in PUBLISHER if key not in publisher]
    file = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
    for is_open, needed in (
        (missing, f"needs {', '.join(missing)} in {file}"),
        (
            reworded,
            f"needs an answer to each reword: {', '.join(reworded)}. Change the words, then "
            f"decide on the item again (such as keep) in data/review/{path.name}",
        ),
        (unwritten, f"needs {', '.join(unwritten)}"),
    ):
        if is_open:
            raise ParameterError("STATUS", status, f"a final report {needed}")


def word_publisher(publisher: Mapping[str, str], lang: Language) -> tuple[tuple[str, str], ...]:
    """Return the box under the title: label and text; nothing if no publisher is named."""
    return tuple(
        (lang.say(label), lang.date(date.fromisoformat(text)) if key in _DAYS else text)
        for key, label in PUBLISHER.items()
        if (text := publisher.get(key))
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
    """Return the file of the errors that were found in the reports on a country."""
    return REVIEWS / f"{probe_cc.lower()}-corrections.yml"


def load_corrections(path: Path, period: Period) -> tuple[Correction, ...]:
    """Read the errors found in the report of a period, by day; none without such a file.

    Raises:
        ParameterError: the file is malformed; names file and line.
    """
    if not path.exists():
        return ()
    reader = NodeReader(path, "corrections")
    head = reader.mapping(reader.root(), ("corrections",), "the file")
    corrections = []
    for node in reader.items(head["corrections"], _MOST, "corrections"):
        keys = ("date", "since", "until", "wrong", "right", "noticed_by")
        cells = reader.mapping(node, keys, "a correction")
        corrections.append(
            Correction(
                day=reader.checked(cells["date"], lambda text: parse_date("date", text)),
                period=reader.period(cells["since"], cells["until"]),
                wrong=reader.text(cells["wrong"], "wrong", _LONGEST),
                right=reader.text(cells["right"], "right", _LONGEST),
                role=reader.checked(cells["noticed_by"], PARSERS["role"]),
            )
        )
        correction = corrections[-1]
        if _plain(correction.wrong) == _plain(correction.right):
            reader.fail(cells["right"], "right says the same as wrong")
        if correction.day < correction.period.until:
            reader.fail(
                cells["date"], f"date {correction.day} is before the report's period is over"
            )
        if correction.day > today() + timedelta(
            days=1
        ):  # it may be tomorrow already where they are
            reader.fail(cells["date"], f"date {correction.day} is in the future")
    of_period = (correction for correction in corrections if correction.period == period)
    return tuple(sorted(of_period, key=lambda correction: (correction.day, correction.wrong)))


def check_edition(corrections: Sequence[Correction], publisher: Mapping[str, str]) -> None:
    """Refuse an edition that was published before the errors were announced that it says it
    corrects.

    Raises:
        ParameterError: which error.
    """
    published = publisher.get("published", "")
    for correction in corrections:
        if published and correction.day > parse_date("published", published):
            raise ParameterError(
                "published",
                published,
                f"the error announced on {correction.day} cannot be corrected in "
                "an edition of that day; give the day of the new edition in the publisher's file",
            )


def check_corrected(corrections: Sequence[Correction], texts: Mapping[str, str]) -> None:
    """Refuse an edition that still contains, word for word, a text that it says it corrects.

    Args:
        corrections: what its pages carry.
        texts: what says it, such as ``F2`` → its text.

    Raises:
        ContractError: which error, and where.
    """
    for correction in corrections:
        for name, text in texts.items():
            if _plain(correction.wrong) in _plain(text):
                raise ContractError(
                    f"corrections: the error announced on {correction.day} is to be corrected in "
                    f"this edition, and {name} still says: {correction.wrong}"
                )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def word_corrections(
    corrections: Sequence[Correction], lang: Language, *, is_corrected: bool
) -> tuple[Markup, ...]:
    """Return a sentence for each error, for the report in which it is corrected or for the wrong
    one.
    """
    sentences = []
    for correction in corrections:
        values = {
            "day": correction.day,
            "wrong": correction.wrong,
            "right": correction.right,
            "role": correction.role,
        }
        sentences.append(
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
    return tuple(sentences)


def add_notice(folder: Path) -> int:
    """Put errors that were found in a published report on each of its pages; all else is unchanged.

    What this edition itself corrects is not announced as its error. The checksums are written
    again, and the earlier ones are kept beside them.

    Returns:
        The number of pages.

    Raises:
        ParameterError: it is no report, no error was announced for it, all are on its pages, or one
            was announced before it was published.
    """
    report = read_report(folder, "OUT")
    announced = load_corrections(corrections_path(report.probe_cc), report.period)
    applied = report.run.get("corrections", [])
    corrected = [correction for correction in announced if str(correction) in applied]
    corrections = [correction for correction in announced if correction not in corrected]
    published_on = report.run.get("publisher", {}).get("published", "")
    for correction in corrections:
        if str(correction.day) < published_on:
            raise ParameterError(
                "OUT",
                report.folder,
                f"it was published on {published_on}, after the error that "
                f"was announced on {correction.day}; correct the date in "
                f"{corrections_path(report.probe_cc).name}, or make the edition again",
            )
    day = max((correction.day for correction in corrections), default=None)
    backup = f"{SUMS}.before-{day}"
    if day is None or (report.folder / backup).exists():
        open_state = "corrects every error" if corrected else "has no error on record"
        state = "carries its notice already" if day else open_state
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
            notices = (
                *word_corrections(corrected, lang, is_corrected=True),
                *word_corrections(corrections, lang, is_corrected=False),
            )
            page.write_text(_with_notice(page.read_text("utf-8"), notices), "utf-8", newline="\n")
        if (report.folder / SUMS).is_file():
            (build.folder / SUMS).rename(build.folder / backup)
    return len(pages)


def _with_notice(html: str, notices: Sequence[Markup]) -> str:
    """Return a page with the notices below its title, in place of earlier ones."""
    html = re.sub(r'<p class="correction">.*?</p>\n', "", html, flags=re.DOTALL)
    notice = "".join(f'<p class="correction">{sentence}</p>\n' for sentence in notices)
    return re.sub(r"</h1>\n", lambda _: f"</h1>\n{notice}", html, count=1)
