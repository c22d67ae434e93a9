"""Rasters: which neuron spikes when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.offsetbox import DrawingArea, HPacker, TextArea
from matplotlib.ticker import MaxNLocator

from slayerloss._check import check_integer, check_same_shape
from slayerloss.plot._arrays import check_names, one_sample, step_unit
from slayerloss.plot.style import (
    ERROR,
    FAINT,
    INK,
    MUTED,
    OUTPUT,
    TARGET_HALO,
    TRUE,
    WIDTH,
    add_key,
    color_key,
    label_size,
    new_axes,
    points_high,
    time_axis,
)

_LEAST_TICK = 3.5  # points of the y axis per neuron; with less, spikes are dots
_SMALLEST_DOT = 0.5  # points; where dots would have to be smaller, the share of spikes is drawn
MOST_NAMES = 24  # neurons whose names stand at the y axis

_TARGET_MARK, _OUTPUT_MARK = (TARGET_HALO, 4.0), (OUTPUT, 1.0)
"""Colour, and width in points."""
_DOT_POWER = 1.25
"""How the area of a dot grows with the width that its tick would have."""


def raster(
    spikes: Any,
    ax: Axes | None = None,
    *,
    highlight: int | Collection[int] | None = None,
    names: Sequence[str] | None = None,
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw a mark for every spike, time to the right and neurons upwards.

    Few neurons get ticks, many get dots whose size falls with their number; where dots would hide each other, the share
    of spikes is drawn as grey. A graded spike is the paler the smaller it is, a negative one has another colour.

    Args:
        spikes: (C, T) or (C, H, W, T), or a batch of them; channels and space become one axis.
        ax: where to draw; None makes a figure.
        highlight: a neuron, or several, in colour; the others recede.
        names: of the C neurons, at the axis if there are at most 24.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes.

    Raises:
        ShapeError: `spikes` has another number of dimensions, or is empty.
        ArgumentError: a highlighted neuron, `sample` or the number of `names` is out of range.

    Example:
        >>> ax = raster([[0, 1, 0, 1], [1, 0, 0, 0]], names=["left", "right"])
        >>> len(ax.collections[0].get_segments())
        3
    """
    values = one_sample("raster", spikes, sample=sample, lengths=lengths).numpy()
    unit = step_unit("raster", step_ms)
    num_neurons, num_steps = values.shape
    names = check_names("raster", names, num_neurons)
    chosen = _indices("raster", highlight, num_neurons)

    ax = new_axes(ax)
    rows, steps = np.nonzero(values)
    _neuron_axis(ax, num_neurons, names)
    time_axis(ax, num_steps, step_ms)
    if dot_size(ax, steps) < _SMALLEST_DOT and points_high(ax) / num_neurons < _LEAST_TICK:
        _density(ax, values, unit)
    else:
        colors = _graded(values[rows, steps], FAINT if chosen else INK)
        colors[np.isin(rows, chosen), :3] = to_rgba(TRUE)[:3]
        _marks(ax, rows, steps * unit, colors)
    return ax


def raster_pair(
    output: Any,
    target: Any,
    ax: Axes | None = None,
    *,
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw output spikes, thin and blue, over target spikes, thick and orange.

    A blue mark in an orange one is a spike in its place; an orange one alone is missing, a blue one alone is too many.
    The key above the Axes says so.

    Args:
        output: (C, T) or (C, H, W, T), or a batch of them.
        target: the same shape.
        ax: where to draw; None makes a figure.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes; its artists are labelled "target" and "output".

    Raises:
        ShapeError: the shapes differ or are not those of events.

    Example:
        >>> ax = raster_pair([[0, 1, 1]], [[0, 1, 0]])
        >>> [artist.get_label() for artist in ax.collections]
        ['target', 'output']
    """
    sent = one_sample("raster_pair", output, sample=sample, lengths=lengths, argument="output").numpy()
    wanted = one_sample("raster_pair", target, sample=sample, lengths=lengths, argument="target").numpy()
    check_same_shape("raster_pair", "output", sent, "target", wanted)
    unit = step_unit("raster_pair", step_ms)

    ax = new_axes(ax, (WIDTH, 4.0))
    num_neurons, num_steps = sent.shape
    _neuron_axis(ax, num_neurons, None)
    time_axis(ax, num_steps, step_ms)
    for values, (color, width), label in ((wanted, _TARGET_MARK, "target"), (sent, _OUTPUT_MARK, "output")):
        rows, steps = np.nonzero(values)
        _marks(ax, rows, steps * unit, to_rgba(color), width=width, label=label)
    _pair_key(ax)
    return ax


def _pair_key(ax: Axes) -> None:
    """Above the Axes, what a mark of the target, of the output, and of both say, each with the mark itself."""
    size, ticks = label_size(ax), _room_for_ticks(ax)
    parts: list[Artist] = []
    for text, marks in (
        ("both", [_TARGET_MARK, _OUTPUT_MARK]),
        ("target only: missing", [_TARGET_MARK]),
        ("output only: too many", [_OUTPUT_MARK]),
    ):
        drawing = DrawingArea(size / 2, size)
        for color, width in marks:
            middle = size / 4
            if ticks:
                mark = Line2D([middle] * 2, [0, size], color=color, linewidth=width, solid_capstyle="butt", snap=False)
            else:
                side = 0.7 * size * (width / _TARGET_MARK[1]) ** (_DOT_POWER / 2)
                mark = Line2D([middle], [size / 2], color=color, marker="s", markersize=side, markeredgewidth=0)
            drawing.add_artist(mark)
        label = TextArea(text, textprops={"color": INK, "fontsize": size})
        parts.append(HPacker(children=[drawing, label], sep=size / 4, pad=0, align="baseline"))
    add_key(ax, parts)


def _indices(function: str, highlight: int | Collection[int] | None, num_neurons: int) -> list[int]:
    if highlight is None:
        return []
    several = highlight if isinstance(highlight, Collection) else [highlight]
    return [check_integer(function, "highlight", index, 0, num_neurons - 1) for index in several]


def _graded(values: np.ndarray, color: str) -> np.ndarray:
    """One RGBA per spike: paler the smaller its magnitude, in the colour of errors if it is negative."""
    colors = np.tile(to_rgba(color), (values.size, 1))
    colors[values < 0] = to_rgba(ERROR)
    if values.size:
        colors[:, 3] = 0.25 + 0.75 * np.abs(values) / np.abs(values).max()
    return colors


def _room_for_ticks(ax: Axes) -> bool:
    low, high = ax.get_ylim()
    return bool(points_high(ax) / (high - low) >= _LEAST_TICK)


def _marks(ax: Axes, rows: np.ndarray, times: np.ndarray, colors: Any, *, width: float = 1.0, label: str = "") -> None:
    """Draw ticks where the y axis gives each neuron room for one, else dots. The limits of the y axis must stand."""
    if _room_for_ticks(ax):
        # Without snapping to pixels, or a thin mark would not lie in the middle of a thick one.
        ax.vlines(times, rows - 0.4, rows + 0.4, colors=colors, linewidths=width, label=label, snap=False)
        return
    size = width**_DOT_POWER * max(_SMALLEST_DOT, dot_size(ax, times)) ** 2
    ax.scatter(times, rows, s=size, color=colors, marker="s", linewidths=0, label=label, rasterized=True)


def dot_size(ax: Axes, times: np.ndarray) -> float:
    """How wide dots may be, up to 2 points, so that all fill a quarter of the Axes and those of one time half of it."""
    num_spikes = max(times.size, 1)
    at_one_time = num_spikes / max(np.unique(times).size, 1)
    area = float(np.prod(ax.get_window_extent().size) * (72 / ax.figure.dpi) ** 2)
    return min(2.0, (0.25 * area / num_spikes) ** 0.5, 0.5 * points_high(ax) / at_one_time)


def _density(ax: Axes, values: np.ndarray, unit: float) -> None:
    """Where dots would hide each other: the share of spikes in blocks of neurons and steps, as grey."""
    num_neurons, num_steps = values.shape
    row_edges = np.unique(np.linspace(0, num_neurons, min(num_neurons, 200) + 1).astype(int))
    step_edges = np.unique(np.linspace(0, num_steps, min(num_steps, 400) + 1).astype(int))
    sums = np.add.reduceat(np.add.reduceat(values != 0, row_edges[:-1], axis=0, dtype=int), step_edges[:-1], axis=1)
    share = sums / np.outer(np.diff(row_edges), np.diff(step_edges))
    ax.pcolormesh((step_edges - 0.5) * unit, row_edges - 0.5, share, cmap="Greys", vmin=0, rasterized=True)
    color_key(ax, [(f"black: {share.max():.2g} per step", MUTED)])


def _neuron_axis(ax: Axes, num_neurons: int, names: list[str] | None) -> None:
    ax.set_ylim(-0.6, num_neurons - 0.4)
    if names is not None and num_neurons <= MOST_NAMES:
        ax.set_yticks(range(num_neurons), names)
        ax.tick_params(axis="y", length=0)
    else:
        ax.set_ylabel("neuron")
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
