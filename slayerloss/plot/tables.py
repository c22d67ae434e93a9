"""Distributions: the confusion matrix and the weights of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from slayerloss._check import ArgumentError, ShapeError, check_integer, message
from slayerloss.plot._arrays import check_names, to_tensor
from slayerloss.plot.style import ERROR, INK, MUTED, TRUE, WIDTH, figure_wide, label_size, name_at_axis, new_axes, title
from slayerloss.plot.text import wrapped

_MOST_NUMBERS = 25  # classes whose counts are written into the cells

_LOWEST, _HIGHEST = -256, 254  # weights of the chip

_PALEST = 0.25  # the tint of the smallest share

_RIGHT = LinearSegmentedColormap.from_list("right", ["white", TRUE])
_WRONG = LinearSegmentedColormap.from_list("wrong", ["white", ERROR])


def confusion_matrix(
    matrix: Any, ax: Axes | None = None, *, names: Sequence[str] | None = None, silent: int = 0
) -> Axes:
    """Draw how often each class (row) was taken for each class (column).

    The stronger the shade, the larger the share of the row: right decisions in one colour, mistakes in another. Empty
    cells stay white, and even the smallest share is tinted so that it is seen.

    Args:
        matrix: (C, C) counts, rows the true class, columns the predicted one.
        ax: where to draw; None makes a figure.
        names: of the C classes.
        silent: how many recordings were taken for class 0 because no output neuron spiked; if any, the figure says so.

    Returns:
        The Axes, its title the number of right decisions.

    Raises:
        ShapeError: `matrix` is not square.
        ArgumentError: a count or `silent` is negative, or the number of `names` is not C.

    Example:
        >>> confusion_matrix([[9, 1], [0, 10]], names=["cat", "dog"]).get_title(loc="left")
        '19 of 20 right (95.0 %)'
    """
    counts = to_tensor("confusion_matrix", "matrix", matrix).numpy()
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ShapeError(message("confusion_matrix", "matrix is not square", "(C, C)", counts.shape))
    if counts.min() < 0:
        raise ArgumentError(message("confusion_matrix", "matrix holds a negative count", "counts", counts.min()))
    check_integer("confusion_matrix", "silent", silent, 0)
    num_classes = counts.shape[0]
    names = check_names("confusion_matrix", names, num_classes) or [str(i) for i in range(num_classes)]

    side = min(WIDTH, max(2.6, 1.4 + 0.36 * num_classes))
    ax = new_axes(ax, (side, side))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    diagonal = np.eye(num_classes, dtype=bool)
    tint = np.where(counts > 0, _PALEST + (1 - _PALEST) * share, 0.0)
    colors = np.where(diagonal[..., None], _RIGHT(tint), _WRONG(tint))
    ax.imshow(colors)
    if num_classes <= _MOST_NUMBERS:
        for row, column in np.argwhere(counts > 0):
            dark = colors[row, column, :3].mean() < 0.6
            ax.text(
                column,
                row,
                f"{counts[row, column]:.0f}",
                color="white" if dark else INK,
                fontsize=label_size(ax) * min(1.0, 11 / num_classes),
                ha="center",
                va="center",
            )
        shown = [name_at_axis(ax, name) for name in names]
        ax.set_xticks(range(num_classes), shown, rotation=90 if max(map(len, shown)) > 3 else 0)
        ax.set_yticks(range(num_classes), shown)
    ax.tick_params(length=0)
    ax.spines[:].set(visible=True, color=MUTED, linewidth=0.7)
    room = 0.76 * figure_wide(ax.figure)
    ax.set(xlabel=wrapped("predicted" + _silent(silent, names[0]), room, label_size(ax)), ylabel="true")
    right, total = float(np.trace(counts)), float(counts.sum())
    title(ax, f"{right:.0f} of {total:.0f} right ({100 * right / max(total, 1):.1f} %)")
    return ax


def _silent(count: int, name: str) -> str:
    """What is said below the matrix about recordings without an output spike."""
    if count == 0:
        return ""
    return f"\n{count} recording{'s' * (count > 1)} had no output spike and count{'s' * (count == 1)} as class {name}"


def weight_histogram(weights: Any, ax: Axes | None = None) -> Axes:
    """Draw how often each chip weight, an even integer in [-256, 254], occurs in a layer, on a logarithmic scale.

    The axis spans the weights that occur. Dotted lines mark the two ends of the chip's range, where they are near; the
    weights there, which may have been cut, are counted in the title.

    Args:
        weights: any shape, integers of the chip (64 times the float weight).
        ax: where to draw; None makes a figure.

    Returns:
        The Axes; its bars are 2 wide, the first at -256.

    Raises:
        ArgumentError: a weight is no even integer in [-256, 254].

    Example:
        >>> ax = weight_histogram([0, 0, 2, -256])
        >>> ax.get_title(loc="left")
        '4 weights from -256 to 2, 50.0 % zero, 1 at the limits'
    """
    values = to_tensor("weight_histogram", "weights", weights).numpy().ravel()
    wrong = (values % 2 != 0) | (values < _LOWEST) | (values > _HIGHEST)
    if values.size == 0 or wrong.any():
        got = f"{values[wrong][0]:g}" if wrong.any() else "no weight"
        rule, way_out = "even integers in [-256, 254]", "Multiply float weights with 64 after quantising them"
        raise ArgumentError(message("weight_histogram", "weights are not those of the chip", rule, got, way_out))
    ax = new_axes(ax, (WIDTH, 2.0))
    range_of_chip = np.arange(_LOWEST, _HIGHEST + 1, 2)
    counts = np.bincount((values.astype(int) - _LOWEST) // 2, minlength=range_of_chip.size)
    ax.bar(range_of_chip, counts, width=1.6, color=INK)
    for limit in (_LOWEST - 1, _HIGHEST + 1):
        ax.axvline(limit, color=MUTED, linewidth=0.9, linestyle=":")
    low, high = int(values.min()), int(values.max())
    ax.set(yscale="log", ylim=(0.7, 1.5 * counts.max()), xlim=(min(low, -4) - 3, max(high, 4) + 3))
    ax.set(xlabel=f"weight (integer of the chip; its limits are {_LOWEST} and {_HIGHEST})", ylabel="number of weights")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 4, 10]))
    zero, at_limits = 100 * counts[range_of_chip == 0][0] / values.size, counts[0] + counts[-1]
    title(ax, f"{values.size:,} weights from {low} to {high}, {zero:.1f} % zero, {at_limits:,} at the limits")
    return ax
