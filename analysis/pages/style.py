"""The look of every figure: colours, fonts, labels that fit, legends, footers."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, cast

import pandas as pd
from matplotlib import style as mpl_style
from matplotlib import ticker
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation, blended_transform_factory
from numpy.typing import NDArray

from analysis.languages.language import visible
from analysis.pages.formats import number

INK, SOFT_INK, RULE = "#1B1B1B", "#555555", "#C9C5BD"
WIDTH = 7.2  # inches; the page shows it 690 to 1000 pixels wide, a phone lets it scroll
LONGEST_LABEL = 38

STYLE: dict[str, Any] = {
    # bundled with matplotlib, so the same glyphs on every machine
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a measured "$\\frac{" must stay text
    "axes.unicode_minus": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.edgecolor": SOFT_INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # names in it are found, and read aloud
    "svg.hashsalt": "workbook",
}

_Rest = ParamSpec("_Rest")


@contextmanager
def style() -> Iterator[None]:
    """The project's style and nothing of the user's matplotlibrc."""
    with mpl_style.context(["default", STYLE]):
        yield


def styled(
    draw: Callable[Concatenate[pd.DataFrame, _Rest], Figure],
) -> Callable[Concatenate[pd.DataFrame, _Rest], Figure]:
    """Draw in the project's style; a frame without rows gives a figure that says so."""

    @wraps(draw)
    def styled(frame: pd.DataFrame, *rest: _Rest.args, **named: _Rest.kwargs) -> Figure:
        with style():
            if frame.empty:
                return empty_figure(str(named["title"]), str(named["footer"]))
            figure = draw(frame, *rest, **named)
            figure.draw_without_rendering()
            # a second pass of the layout would move things by a hair, and change the bytes
            figure.set_layout_engine("none")
            for text in figure.findobj(Text):
                text.set_parse_math(False)
            return figure

    return cast(Callable[Concatenate[pd.DataFrame, _Rest], Figure], styled)


def drawn(text: object) -> str:
    """Text that the bundled font can draw: one line, no control characters, ▯ for the rest."""
    known = _glyphs()
    line = visible(" ".join(str(text).split()))
    return "".join(c if ord(c) in known else "▯" for c in line)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def short_label(text: object, longest: int = LONGEST_LABEL) -> str:
    line = drawn(text)
    return line if len(line) <= longest else f"{line[: longest - 9]}…{line[-8:]}"


def new_canvas(title: str, footer: str, height: float) -> tuple[Figure, Axes]:
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(WIDTH, height + 0.5), layout=layout)
    figure.suptitle(
        textwrap.fill(drawn(title), 74), x=0.012, ha="left", fontsize=11.5, fontweight="bold"
    )
    if footer:
        figure.supxlabel(
            textwrap.fill(drawn(footer), 112), x=0.012, ha="left", fontsize=8.5, color=SOFT_INK
        )
    axes = figure.add_subplot()
    figure.is_dense = False  # type: ignore[attr-defined]
    return figure, axes


def new_panels(
    title: str, footer: str, height: float, rows: int, columns: int = 1, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """A figure of several axes, row by row, over one time; ``options`` are of ``subplots``."""
    figure, axes = new_canvas(title, footer, height)
    axes.remove()
    return figure, figure.subplots(rows, columns, sharex=True, squeeze=False, **options)


def empty_figure(title: str, footer: str) -> Figure:
    figure, axes = new_canvas(title, footer, 1.2)
    axes.set_axis_off()
    axes.text(0.0, 0.5, "Nothing to show: no rows.", transform=axes.transAxes, color=SOFT_INK)
    return figure


def set_count_axis(axes: Axes, which: str, words: str) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value)))
    axis.set_label_text(words)
    axes.grid(axis="y" if which == "y" else "x")
    axes.tick_params(axis="both", length=0)


def add_legend(axes: Axes, columns: int, drop: float, keys: Sequence[Artist] = ()) -> None:
    """A legend under the axes, ``drop`` points below them, where no bar or mark can lie."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    below = ScaledTranslation(0, -drop / 72, figure.dpi_scale_trans)
    # from the figure's left edge: long labels leave the axes too narrow for it
    anchor = blended_transform_factory(figure.transFigure, axes.transAxes) + below
    axes.legend(
        handles=list(keys) or axes.get_legend_handles_labels()[0], ncols=columns,
        loc="upper left", bbox_to_anchor=(0.006, 0), bbox_transform=anchor,
        borderaxespad=0, borderpad=0.3, handletextpad=0.5, columnspacing=1.6,
    )  # fmt: skip


def thin_labels(labels: Sequence[str]) -> list[str]:
    return [label if "\n" in label else "" for label in labels]
