"""Filters: what they answer to one spike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from slayerloss._check import ShapeError, message
from slayerloss.functional import exponential_kernel
from slayerloss.plot._arrays import check_names, step_unit, to_tensor
from slayerloss.plot.style import WIDTH, label_ends, label_size, new_axes, points_high, time_axis


def filter_responses(
    time_constants: float | Sequence[float] | Any,
    ax: Axes | None = None,
    *,
    order: int = 1,
    length: int | None = None,
    normalize: str | None = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw the impulse responses of exponential filters, with a dot one time constant after the spike.

    Args:
        time_constants: one or several, in steps; the labels name them from the slowest to the fastest.
        ax: where to draw; None makes a figure.
        order: of the filters.
        length: steps to draw; None: so many that the slowest filter has decayed.
        normalize: None, "peak" or "area", as in `functional.exponential_kernel`.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes; its lines are the responses in the order given.

    Raises:
        ArgumentError: a time constant, the order or the length is out of range.
        ShapeError: `time_constants` is empty.

    Example:
        >>> ax = filter_responses([2, 5], length=4)
        >>> ax.lines[0].get_ydata().round(2).astype(float).round(2).tolist()
        [1.0, 0.61, 0.37, 0.22]
    """
    taus = to_tensor("filter_responses", "time_constants", time_constants).reshape(-1)
    if taus.numel() == 0:
        raise ShapeError(message("filter_responses", "time_constants is empty", "one number or (F,)", "(0,)"))
    if length is None:
        length = max(1, math.ceil((4 + order) * float(taus.max())) + 1)
    kernels = exponential_kernel(taus, length, order, normalize=normalize).numpy()
    ax = impulse_responses(kernels, ax, step_ms=step_ms)
    unit = step_unit("filter_responses", step_ms)
    longest_first = np.argsort(-taus.numpy(), kind="stable")  # the order in which the curves lie at the right
    gap = 1.25 * label_size(ax) / points_high(ax)
    for row, i in enumerate(longest_first.tolist()):
        tau, color = float(taus[i]), ax.lines[i].get_color()
        text = f"τ = {tau * unit:g} {'steps' if step_ms is None else 'ms'}"
        style = {"color": color, "fontsize": label_size(ax), "ha": "right", "va": "top"}
        ax.text(0.98, 0.97 - row * gap, text, transform=ax.transAxes, **style)
        at = round(tau)
        if at < length:
            ax.plot(at * unit, kernels[i, at], "o", color=color, markersize=4)
    return ax


def impulse_responses(
    kernels: Any, ax: Axes | None = None, *, names: Sequence[str] | None = None, step_ms: float | None = None
) -> Axes:
    """Draw any impulse responses, such as those of a trained filter bank.

    Args:
        kernels: (L,) or (F, L), what F filters answer k steps after a spike.
        ax: where to draw; None makes a figure.
        names: of the F filters, written at the right end of their lines.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes; its lines are the responses in the order given.

    Raises:
        ShapeError: `kernels` is neither (L,) nor (F, L), or is empty.
        ArgumentError: the number of `names` is not F.

    Example:
        >>> ax = impulse_responses([[1, 0.5, 0.25], [0, 1, 0]], names=["decay", "delay"])
        >>> [text.get_text() for text in ax.texts]
        ['delay', 'decay']
    """
    values = to_tensor("impulse_responses", "kernels", kernels).numpy()
    if values.ndim not in (1, 2) or values.size == 0:
        raise ShapeError(message("impulse_responses", "kernels has the wrong shape", "(L,) or (F, L)", values.shape))
    values = np.atleast_2d(values)
    names = check_names("impulse_responses", names, len(values))
    unit = step_unit("impulse_responses", step_ms)

    ax = new_axes(ax, (WIDTH, 2.4))
    # One hue ramp: filters have an order, and its lightness survives a grey print.
    colors = [to_hex(color) for color in matplotlib.colormaps["viridis"](np.linspace(0, 0.8, len(values)))]
    for kernel, color in zip(values, colors, strict=True):
        ax.plot(np.arange(kernel.size) * unit, kernel, color=color)
    time_axis(ax, values.shape[1], step_ms)
    ax.set(ylabel="response to one spike")
    if names:
        label_ends(ax, [(kernel[-1], name, color) for kernel, name, color in zip(values, names, colors, strict=True)])
    return ax
