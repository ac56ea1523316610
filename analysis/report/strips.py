"""The days of a site on a network as a strip of marks, small enough for a page of many.

Above lie the sessions that were kept from the site, below those that reached it; so the strip reads
without its colours. Where nothing stands nobody tested, or so few that the network is not shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from analysis.languages.language import Language
from analysis.period import Period, days_between
from analysis.reference.events import Event
from analysis.report.verdict_words import Row

#: Heights in a strip that is 14 high: where a mark begins, and how high it is.
_LANES = {"kept": (0, 7), "other": (4, 6), "reached": (8, 6)}
_HEIGHT = 14
_FEW_LABELS = 5


@dataclass(frozen=True)
class Axis:
    """The time axis over the strips: months with a label, and events by number.

    Attributes:
        labels: place from the left in per cent, and the month in words.
        events: place in per cent, number, and the event.
        lines: the months and events as paths, the same in each strip.
    """

    labels: list[tuple[str, str]]
    events: list[tuple[str, int, Event]]
    lines: Markup


def make_axis(lang: Language, period: Period, events: Sequence[Event]) -> Axis:
    """The axis of a period."""
    months = [month.since for month in period.months()]
    step = max(1, -(-len(months) // _FEW_LABELS))
    ticks = "".join(f"M{_place(month, period)} 0v{_HEIGHT}" for month in months)
    marks = "".join(f"M{_place(event.day, period)} 0v{_HEIGHT}" for event in events)
    lines = Markup('<path class="tick" d="{}"/><path class="event" d="{}"/>').format(ticks, marks)
    return Axis(
        [(_percent(month, period), lang.month(month)) for month in months[::step]],
        [(_percent(event.day, period), n, event) for n, event in enumerate(events, start=1)],
        lines if events else Markup('<path class="tick" d="{}"/>').format(ticks),
    )


def draw_strip(lang: Language, spans: Sequence[Row], period: Period, axis: Axis) -> Markup:
    """The sessions of a site on a network as a strip, with the same in words.

    Args:
        lang: of the words.
        spans: rows of ``site_evidence.count_spans``, in order.
        period: the whole period, which is the strip's width.
        axis: of the same period.
    """
    days = period.day_count
    marks = "".join(
        f'<path class="{lane}" d="{path}"/>'
        for lane in _LANES
        if (path := _path([span for span in spans if _is_in(lane, span)], lane, days))
    )
    return Markup(
        '<svg class="strip" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}" focusable="false">{}{}</svg>'
    ).format(days, _HEIGHT, _in_words(lang, spans), axis.lines, Markup(marks))


def _in_words(lang: Language, spans: Sequence[Row]) -> str:
    """What a strip shows."""
    if not spans:
        return lang.say("No span of days with sessions enough to be shown.")
    kept, reached = (sum(_is_in(lane, span) for span in spans) for lane in ("kept", "reached"))
    return lang.say_plural(
        "Days on which the site was tested: {tested}. Kept from it on {kept}, reached on "
        "{reached}.",
        "Spans of {n} days in which the site was tested: {tested}. Kept from it in {kept}, reached "
        "in {reached}.",
        int(spans[0].unit_days),
        tested=len(spans),
        kept=kept,
        reached=reached,
    )


def _is_in(lane: str, span: Row) -> bool:
    if lane == "kept":
        return bool(span.blocked_count)
    if lane == "reached":
        return bool(span.ok_count)
    return not span.blocked_count and not span.ok_count


def _path(spans: Sequence[Row], lane: str, days: int) -> str:
    """The marks of a lane as one path; spans that follow each other are one mark."""
    top, height = _LANES[lane]
    parts: list[str] = []
    start = end = -1
    for span in spans:
        first = int(span.span) * int(span.unit_days)
        last = min(first + int(span.unit_days), days)
        if first != end:
            parts += [_box(start, end, top, height)] if end > start else []
            start = first
        end = last
    parts += [_box(start, end, top, height)] if end > start else []
    return "".join(parts)


def _box(start: int, end: int, top: int, height: int) -> str:
    width = end - start
    return f"M{start} {top}h{width}v{height}h-{width}z"


def _place(day: date, period: Period) -> int:
    return days_between(period.since, day)


def _percent(day: date, period: Period) -> str:
    return f"{100 * _place(day, period) / period.day_count:.1f}"
