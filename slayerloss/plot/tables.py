"""Distributions: the confusion matrix and the weights of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from slayerloss._check import ArgumentError, ShapeError, message
from slayerloss.plot._arrays import check_names, to_tensor
from slayerloss.plot.style import ERROR, INK, WIDTH, label_size, new_axes, title

_MOST_NUMBERS = 25  # classes whose counts are written into the cells

_RIGHT = LinearSegmentedColormap.from_list("right", ["white", "#8FC1DE"])
_WRONG = LinearSegmentedColormap.from_list("wrong", ["white", ERROR])


def confusion_matrix(matrix: Any, ax: Axes | None = None, *, names: Sequence[str] | None = None) -> Axes:
    """Draw how often each class (row) was taken for each class (column).

    The shade is the share of the row: right decisions in one colour, mistakes in another, and mistakes four times as
    strong, since they are the rare ones. Empty cells stay empty.

    Args:
        matrix: (C, C) counts, rows the true class, columns the predicted one.
        ax: where to draw; None makes a figure.
        names: of the C classes.

    Returns:
        The Axes, its title the number of right decisions.

    Raises:
        ShapeError: `matrix` is not square.
        ArgumentError: a count is negative, or the number of `names` is not C.

    Example:
        >>> confusion_matrix([[9, 1], [0, 10]], names=["cat", "dog"]).get_title(loc="left")
        '19 of 20 right (95.0 %)'
    """
    counts = to_tensor("confusion_matrix", "matrix", matrix).numpy()
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ShapeError(message("confusion_matrix", "matrix is not square", "(C, C)", counts.shape))
    if counts.min() < 0:
        raise ArgumentError(message("confusion_matrix", "matrix holds a negative count", "counts", counts.min()))
    num_classes = counts.shape[0]
    names = check_names("confusion_matrix", names, num_classes) or [str(i) for i in range(num_classes)]

    side = min(WIDTH, max(2.6, 1.4 + 0.36 * num_classes))
    ax = new_axes(ax, (side, side))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    diagonal = np.eye(num_classes, dtype=bool)
    colors = np.where(diagonal[..., None], _RIGHT(share), _WRONG(np.minimum(4 * share, 1)))
    ax.imshow(colors)
    if num_classes <= _MOST_NUMBERS:
        for row, column in np.argwhere(counts > 0):
            dark = colors[row, column, :3].mean() < 0.55
            ax.text(
                column,
                row,
                f"{counts[row, column]:.0f}",
                color="white" if dark else INK,
                fontsize=label_size(ax) * min(1.0, 11 / num_classes),
                ha="center",
                va="center",
            )
        ax.set_xticks(range(num_classes), names, rotation=90 if max(map(len, names)) > 3 else 0)
        ax.set_yticks(range(num_classes), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="predicted", ylabel="true")
    right, total = float(np.trace(counts)), float(counts.sum())
    title(ax, f"{right:.0f} of {total:.0f} right ({100 * right / max(total, 1):.1f} %)")
    return ax


def weight_histogram(weights: Any, ax: Axes | None = None) -> Axes:
    """Draw how often each chip weight, an even integer in [-256, 254], occurs in a layer.

    Weights at the two ends of the range, which may have been cut there, are counted in the title.

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
        '4 weights, 50.0 % zero, 1 at the limits'
    """
    values = to_tensor("weight_histogram", "weights", weights).numpy().ravel()
    wrong = (values % 2 != 0) | (values < -256) | (values > 254)
    if values.size == 0 or wrong.any():
        got = f"{values[wrong][0]:g}" if wrong.any() else "no weight"
        rule, way_out = "even integers in [-256, 254]", "Multiply float weights with 64 after quantising them"
        raise ArgumentError(message("weight_histogram", "weights are not those of the chip", rule, got, way_out))
    ax = new_axes(ax, (WIDTH, 2.0))
    counts = np.bincount((values.astype(int) + 256) // 2, minlength=256)
    ax.bar(np.arange(-256, 255, 2), counts, width=2, color=INK)
    ax.set(xlabel="weight (integers of the chip)", ylabel="weights")
    at_limits = counts[0] + counts[-1]
    zero = 100 * counts[128] / values.size
    title(ax, f"{values.size:,} weights, {zero:.1f} % zero, {at_limits:,} at the limits")
    used = np.nonzero(counts)[0] * 2 - 256
    ax.set_xlim(used[0] - 3, used[-1] + 3)
    return ax
