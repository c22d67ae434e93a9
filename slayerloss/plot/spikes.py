"""Rasters: which neuron spikes when."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.offsetbox import DrawingArea, HPacker, TextArea
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.transforms import Affine2D

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
    name_at_axis,
    new_axes,
    points_high,
    points_wide,
    time_axis,
)

_LEAST_TICK = 3.5  # points of the y axis per neuron; with less, spikes are dots
_DOTS = (2.0, 1.4, 1.0, 0.7)  # points
_OWN_PLACE = 0.9  # of the dots must have a place of their own; where they have not, the share of spikes is drawn
_THINNEST = 0.3  # points, the height of a mark where a row of a neuron is lower than that
SMALLEST_DOT = 1.2  # points, where nothing else can be drawn
_DASH = 6.0  # how much wider than high dots may be, where steps are wide
_LEAST_BLOCK = 1.0  # points, the side of the smallest block of a share
_CHANNEL_BLOCKS = 32  # blocks of neurons in which the share of a layer with space is drawn, if its channels are fewer
MOST_NAMES = 24  # neurons whose names stand at the y axis

_TARGET_MARK, _OUTPUT_MARK = (TARGET_HALO, 4.0), (OUTPUT, 1.0)
"""Colour, and width in points."""
_DOT_POWER = 1.25
"""How the area of a dot grows with the width that its tick would have."""


def raster(
    spikes: Any,
    ax: Axes | None = None,
    *,
    highlight: int | Collection[int] | Mapping[int, str] | None = None,
    names: Sequence[str] | None = None,
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw a mark for every spike, time to the right and neurons upwards.

    Few neurons get ticks. Of many, a mark is as high as the row of its neuron, or a hairline where that is lower,
    however many spikes there are; where marks would hide each other, the share of neurons that spike is drawn as grey,
    in blocks of neurons and steps. A graded spike is the paler the smaller it is, a negative one has another colour.

    Args:
        spikes: (C, T) or (C, H, W, T), or a batch of them. With space, the neurons of a channel lie side by side and
            the axis counts the channels.
        ax: where to draw; None makes a figure.
        highlight: a neuron, or several, in blue, or neuron -> colour; the others recede.
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
    volume = one_sample("raster", spikes, sample=sample, lengths=lengths, flatten=False).numpy()
    per_channel = math.prod(volume.shape[1:-1])
    values = volume.reshape(-1, volume.shape[-1])
    unit = step_unit("raster", step_ms)
    num_neurons, num_steps = values.shape
    names = check_names("raster", names, num_neurons)
    chosen = _colors_of("raster", highlight, num_neurons)

    ax = new_axes(ax)
    rows, steps = np.nonzero(values)
    _neuron_axis(ax, num_neurons, names, per_channel)
    time_axis(ax, num_steps, step_ms)
    ticks = _room_for_ticks(ax)
    if not ticks and not dot_size(ax, steps * unit, rows):
        _density(ax, values, unit, per_channel)
    else:
        colors = _graded(values[rows, steps], FAINT if chosen else INK)
        for neuron, color in chosen.items():
            colors[rows == neuron, :3] = to_rgba(color)[:3]
        row = min(max(points_high(ax) / num_neurons, _THINNEST), _DOTS[0])
        _marks(ax, rows, steps * unit, num_steps, colors, 0.0 if ticks else max(row, _DOTS[-1]), height=row)
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
        dot = 0.0 if _room_for_ticks(ax) else max(dot_size(ax, steps * unit, rows), SMALLEST_DOT)
        _marks(ax, rows, steps * unit, num_steps, to_rgba(color), dot, width=width, label=label)
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


def _colors_of(function: str, highlight: Any, num_neurons: int) -> dict[int, str]:
    """Neuron -> colour."""
    if highlight is None:
        return {}
    several = highlight if isinstance(highlight, Collection) else [highlight]
    colors = highlight if isinstance(highlight, Mapping) else dict.fromkeys(several, TRUE)
    return {check_integer(function, "highlight", i, 0, num_neurons - 1): color for i, color in colors.items()}


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


def _marks(
    ax: Axes,
    rows: np.ndarray,
    times: np.ndarray,
    num_steps: int,
    colors: Any,
    dot: float,
    *,
    width: float = 1.0,
    height: float | None = None,
    label: str = "",
) -> None:
    """Draw dots `dot` points wide or wider, and `height`, else `dot`, points high; or ticks if `dot` is 0.

    The limits of both axes must stand.
    """
    if not dot:
        # Without snapping to pixels, or a thin mark would not lie in the middle of a thick one.
        ax.vlines(times, rows - 0.4, rows + 0.4, colors=colors, linewidths=width, label=label, snap=False)
        return
    wide = min(max(0.6 * points_wide(ax) / num_steps, dot), _DASH * dot)
    mark = MarkerStyle("s", transform=Affine2D().scale(1, (height or dot) / wide))
    size = width**_DOT_POWER * wide**2
    ax.scatter(times, rows, s=size, color=colors, marker=mark, linewidths=0, label=label, rasterized=True)


def dot_size(ax: Axes, times: np.ndarray, rows: np.ndarray) -> float:
    """How wide dots may be, in points, so that nearly all have a place of their own; 0 if no size will do.

    The limits of both axes must stand.
    """
    points = ax.transData.transform(np.column_stack([times, rows])) * (72 / ax.figure.dpi)
    if not len(points):
        return _DOTS[0]
    for size in _DOTS:
        x, y = (points // size).astype(np.int64).T
        enough = _OWN_PLACE * len(points)
        if (np.ptp(x) + 1) * (np.ptp(y) + 1) >= enough and len(np.unique(x * 2**32 + y)) >= enough:
            return size
    return 0.0


def _density(ax: Axes, values: np.ndarray, unit: float, per_channel: int) -> None:
    """Where dots would hide each other: the share of neurons that spike in blocks of neurons and steps, as grey."""
    num_neurons, num_steps = values.shape
    num_channels = num_neurons // per_channel
    num_rows, num_columns = (int(side / _LEAST_BLOCK) for side in (points_high(ax), points_wide(ax)))
    if per_channel > 1:  # every channel has blocks of its own
        num_rows = num_channels * min(per_channel, max(1, _CHANNEL_BLOCKS // num_channels))
    row_edges, step_edges = _edges(num_neurons, num_rows), _edges(num_steps, num_columns)
    sums = np.add.reduceat(np.add.reduceat(values != 0, row_edges[:-1], axis=0, dtype=int), step_edges[:-1], axis=1)
    share = sums / np.outer(np.diff(row_edges), np.diff(step_edges))
    full = float(np.quantile(share[share > 0], 0.95))
    grey: dict[str, Any] = {"cmap": "Greys", "vmin": 0, "vmax": full, "rasterized": True}
    ax.pcolormesh((step_edges - 0.5) * unit, row_edges - 0.5, share, **grey)
    color_key(ax, [(f"black: \u2265 {float(f'{100 * full:.2g}'):g} %", MUTED)])


def _edges(count: int, blocks: int) -> np.ndarray:
    """The bounds of at most `blocks` blocks of nearly one size."""
    return np.linspace(0, count, min(count, blocks) + 1).round().astype(int)


def _neuron_axis(ax: Axes, num_neurons: int, names: list[str] | None, per_channel: int = 1) -> None:
    ax.set_ylim(-0.6, num_neurons - 0.4)
    if names is not None and num_neurons <= MOST_NAMES:
        ax.set_yticks(range(num_neurons), [name_at_axis(ax, name) for name in names])
        ax.tick_params(axis="y", length=0)
    elif per_channel > 1:
        _channel_axis(ax, num_neurons // per_channel, per_channel)
    else:
        ax.set_ylabel("neuron")
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True) if num_neurons > 1 else FixedLocator([0]))


def _channel_axis(ax: Axes, num_channels: int, per_channel: int) -> None:
    """Number the channels at their middles; lines part them where there is room."""
    numbers = np.asarray(MaxNLocator(5, integer=True).tick_values(0, num_channels - 1)).astype(int)
    numbers = numbers[(numbers >= 0) & (numbers < num_channels)]
    ax.set_yticks((numbers + 0.5) * per_channel - 0.5, numbers)
    ax.set_ylabel("channel")
    if points_high(ax) / num_channels >= _LEAST_TICK:
        ax.set_yticks(np.arange(1, num_channels) * per_channel - 0.5, minor=True)
        ax.tick_params(axis="y", which="minor", length=0)
        ax.grid(axis="y", which="minor", color=FAINT, linewidth=0.5)
