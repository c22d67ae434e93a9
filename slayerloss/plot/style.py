"""The look of every figure: the palette, sizes for print, new figures and axes, labels at the end of lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

from slayerloss.plot.text import shortened, wrapped

# Okabe and Ito's palette, which the colour-blind can tell apart, without its yellow, which is too pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
INK = "#222222"
MUTED = "#757575"
FAINT = "#BDBDBD"

# What a colour means in every figure.
TRUE, RIVAL = PALETTE[0], PALETTE[1]  # the true class; the strongest of the others
OUTPUT, TARGET, ERROR = PALETTE[0], INK, PALETTE[1]
TARGET_HALO = "#F5C26B"  # the target where marks of the output lie on it
OFF, ON = "#40207C", PALETTE[2]  # not the colours of the classes

_NAME = 0.22  # of a figure's width: the most that a name beside the Axes takes
WIDTH = 5.6  # inches: a printed column, and still readable when a phone shows the figure in its full width

_RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.4,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.dpi": 200,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw with the fonts, sizes and line widths of slayerloss inside the block; matplotlib's settings return after it.

    Example:
        >>> with style():
        ...     matplotlib.rcParams["font.size"]
        9.0
    """
    with matplotlib.rc_context(_RC):
        yield
        interactive = matplotlib.is_interactive()
    matplotlib.interactive(interactive)  # the first figure of a notebook loads its backend, which switches this on


_uses_pyplot = ContextVar("_uses_pyplot", default=True)


@contextmanager
def without_pyplot() -> Iterator[None]:
    """Inside the block, new figures are not kept by pyplot: for files, in any number."""
    token = _uses_pyplot.set(False)
    try:
        yield
    finally:
        _uses_pyplot.reset(token)


def new_figure(figure: Figure | None = None, size: tuple[float, float] = (WIDTH, 3.0)) -> Figure:
    """The figure given, or a new one of `size` inches; pyplot's, so that `plt.show()` and notebooks find it."""
    if figure is not None:
        return figure
    with style():
        if not _uses_pyplot.get():
            return Figure(figsize=size, layout="constrained")
        from matplotlib import pyplot

        return pyplot.figure(figsize=size, layout="constrained")


def new_axes(ax: Axes | None = None, size: tuple[float, float] = (WIDTH, 3.0)) -> Axes:
    """The Axes given, or the only one of a new figure, without what carries no information."""
    return tidy(ax) if ax is not None else add_axes(new_figure(None, size))


def add_axes(figure: Figure, *place: Any, **keywords: Any) -> Axes:
    """As `figure.add_subplot`, in the style of slayerloss."""
    with style():
        return tidy(figure.add_subplot(*place, **keywords))


def tidy(ax: Axes) -> Axes:
    """Take away the frame's right and upper side; small outward ticks."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(width=0.7, length=3, labelsize=0.9 * label_size(ax))
    return ax


def label_size(ax: Axes) -> float:
    """The size of text beside the data, in points: that of the Axes' own labels."""
    return float(ax.xaxis.label.get_fontsize())


def points_high(ax: Axes) -> float:
    """The height of the Axes in points, as far as it is known before the layout."""
    return float(ax.get_window_extent().height / ax.figure.dpi * 72)


def points_wide(ax: Axes) -> float:
    """The width of the Axes in points, as far as it is known before the layout."""
    return float(ax.get_window_extent().width / ax.figure.dpi * 72)


def title(ax: Axes, text: str, color: str = INK) -> None:
    """Write a title at the left, in the size of the labels; what is too long goes on in the next line."""
    size = label_size(ax)
    ax.set_title(wrapped(text, _room(ax), size), loc="left", fontsize=size, color=color)


def _room(ax: Axes) -> float:
    """Points from the left of the Axes to the next ones, or to the edge of the figure; before the layout."""
    figure = figure_wide(ax.figure)
    place = ax.get_subplotspec()
    if place is None or place.colspan.stop == place.get_gridspec().ncols:
        return figure * (0.99 - float(ax.get_position().x0))
    return 1.2 * points_wide(ax)


def figure_wide(figure: Figure | SubFigure) -> float:
    """The width of a figure in points."""
    return float(figure.bbox.width / figure.dpi * 72)


def name_at_axis(ax: Axes, name: str) -> str:
    """A name that stands beside the Axes, shortened where it would take more than a fifth of the figure."""
    return shortened(name, _NAME * figure_wide(ax.figure), label_size(ax))


def heading(figure: Figure, text: str) -> None:
    """Write what the figure shows above all of its Axes, at the left, in as many lines as it takes."""
    size = 1.1 * label_size(figure.axes[0])
    lines = wrapped(text, 0.99 * figure_wide(figure), size, bold=True)
    figure.suptitle(lines, x=0.005, ha="left", fontsize=size, fontweight="bold")


def time_axis(ax: Axes, num_steps: int, step_ms: float | None) -> None:
    """Let the x axis span `num_steps` bins, the middle of bin t at t, and name its unit."""
    unit = 1.0 if step_ms is None else step_ms
    ax.set_xlim(-0.5 * unit, (num_steps - 0.5) * unit)
    ax.set_xlabel("time (steps)" if step_ms is None else "time (ms)")


def label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write (y, text, colour) right of the Axes, moved apart where they would overlap, with lines to their heights y.

    Call it when the limits of the y axis stand.
    """
    if not ends:
        return
    ends = sorted(ends)
    size = label_size(ax)
    to_axes = ax.transData + ax.transAxes.inverted()
    heights = [float(to_axes.transform((ax.get_xlim()[0], y))[1]) for y, _, _ in ends]
    places = spread(heights, 1.2 * size / points_high(ax))
    line: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
    for height, place, (_, text, color) in zip(heights, places, ends, strict=True):
        ax.annotate(
            name_at_axis(ax, text),
            (1.0, height),
            (1.03, place),
            "axes fraction",
            color=color,
            fontsize=size,
            va="center",
            arrowprops={**line, "color": color},
        )


def color_key(ax: Axes, texts: Sequence[tuple[str, str]], *, below: bool = False) -> None:
    """Write (text, colour) side by side above or below the right end of the Axes: a legend without a box."""
    size = label_size(ax)
    add_key(ax, [TextArea(text, textprops={"color": color, "fontsize": size}) for text, color in texts], below=below)


def add_key(ax: Axes, parts: Sequence[Artist], *, below: bool = False) -> None:
    """Put artists side by side above or below the right end of the Axes."""
    size = label_size(ax)
    box = AnchoredOffsetbox(
        "upper right" if below else "lower right",
        child=HPacker(children=list(parts), sep=size, pad=0),
        frameon=False,
        pad=0,
        borderpad=0.2,
        bbox_to_anchor=(1.0, 0.0 if below else 1.0),
        bbox_transform=ax.transAxes,
    )
    ax.add_artist(box)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move increasing heights apart to at least `gap`, each group that must part about its middle, none below zero.

    Example:
        >>> [round(height, 2) for height in spread([0.1, 0.5, 0.5], 0.1)]
        [0.1, 0.45, 0.55]
        >>> spread([0.0, 0.0], 0.1)
        [0.0, 0.1]
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _lowest(groups[-1], gap) < _lowest(groups[-2], gap) + len(groups[-2]) * gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_lowest(group, gap) + i * gap for group in groups for i in range(len(group))]


def _lowest(group: Sequence[float], gap: float) -> float:
    """Where the lowest of a group stands if the group lies `gap` apart about its mean, and not below zero."""
    return max(0.0, sum(group) / len(group) - (len(group) - 1) * gap / 2)


_sections: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()


def set_caption(figure: Figure, text: str, *, section: str = "") -> None:
    """Attach the sentence that says what one sees, and the name of its section; `report` prints both."""
    figure.set_label(text)
    _sections[figure] = section


def section_of(figure: Figure) -> str:
    """The name that `set_caption` attached."""
    return _sections.get(figure, "")
