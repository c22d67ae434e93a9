"""How a network decides: the rates and the confidence of its classes over time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from slayerloss.functional import confidence, latency_to_decision, moving_window, predict
from slayerloss.plot._arrays import batch_size, check_names, label_per_step, one_sample, step_unit
from slayerloss.plot.style import FAINT, INK, MUTED, RIVAL, TRUE, label_ends, label_size, new_axes, time_axis, title


def rate_traces(
    spikes: Any,
    window: int,
    ax: Axes | None = None,
    *,
    label: Any = None,
    names: Sequence[str] | None = None,
    start: str = "zero",
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw the moving-window rate of every class; the true class and its strongest rival in colour.

    Args:
        spikes: output spikes (C, T) or (C, H, W, T), or a batch of them; space is flattened into the classes.
        window: steps.
        ax: where to draw; None makes a figure.
        label: the true class; or one per step (T,); or of a batch (N,) or (N, T). A negative one is none. Without
            labels, the class of the highest mean rate is drawn dark.
        names: of the C classes.
        start: what lies before the first step, as in `functional.moving_window`.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes; its first C lines are the classes in their order.

    Raises:
        ShapeError: `spikes` or `label` has the wrong shape.
        ArgumentError: a label, `window`, `start` or the number of `names` is out of range.

    Example:
        >>> ax = rate_traces([[1, 1, 1, 1], [0, 1, 0, 0]], window=2, label=0)
        >>> [line.get_ydata().tolist() for line in ax.lines[:2]]
        [[0.5, 1.0, 1.0, 1.0], [0.0, 0.5, 0.5, 0.0]]
    """
    rates = _rates("rate_traces", spikes, window, start, sample, lengths)
    truth = _truth("rate_traces", label, spikes, rates, sample)
    names = check_names("rate_traces", names, rates.shape[1])
    unit = step_unit("rate_traces", step_ms)

    ax = new_axes(ax)
    ends = _draw_classes(ax, rates[0].numpy(), truth, names, unit)
    time_axis(ax, rates.shape[-1], step_ms)
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"spikes per step\n({_last(window, step_ms)})")
    label_ends(ax, ends)
    return ax


def confidence_traces(
    spikes: Any,
    window: int,
    ax: Axes | None = None,
    *,
    label: Any = None,
    mode: str = "probability",
    temperature: float = 1.0,
    names: Sequence[str] | None = None,
    start: str = "zero",
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw the moving-window confidence in every class, and below it where the decision is right and where wrong.

    The title says from when on the decision stands (`functional.latency_to_decision`).

    Args:
        spikes: output spikes (C, T) or (C, H, W, T), or a batch of them; space is flattened into the classes.
        window: steps.
        ax: where to draw; None makes a figure.
        label: as in `rate_traces`.
        mode: "probability", "softmax" or "logsoftmax", as in `functional.confidence`.
        temperature: of the softmax modes.
        names: of the C classes.
        start: what lies before the first step, as in `functional.moving_window`.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes; its first C lines are the classes in their order.

    Raises:
        ShapeError: `spikes` or `label` has the wrong shape.
        ArgumentError: a label, `window`, `start`, `mode`, `temperature` or the number of `names` is out of range.

    Example:
        >>> ax = confidence_traces([[0, 1, 1, 1], [1, 1, 0, 0]], window=1, label=0)
        >>> ax.get_title(loc="left")
        'right from step 2 on'
    """
    rates = _rates("confidence_traces", spikes, window, start, sample, lengths)
    truth = _truth("confidence_traces", label, spikes, rates, sample)
    num_classes, num_steps = rates.shape[1:]
    names = check_names("confidence_traces", names, num_classes)
    unit = step_unit("confidence_traces", step_ms)
    values = confidence(rates, mode, temperature=temperature)[0].numpy()

    ax = new_axes(ax)
    is_log = mode == "logsoftmax"
    ends = _draw_classes(ax, values, truth, names, unit)
    chance = -math.log(num_classes) if is_log else 1 / num_classes
    ax.axhline(chance, color=MUTED, linewidth=0.7, linestyle=(0, (1, 3)))
    time_axis(ax, num_steps, step_ms)
    ax.set_ylabel(f"{'log ' * is_log}confidence\n({_last(window, step_ms)})")
    if not is_log:
        ax.set_ylim(0, 1.02)
        ax.set_yticks([0, 0.5, 1])
    ends.append((chance, "chance", MUTED))
    if truth is not None:
        low, high = ax.get_ylim()
        ends.append((low - 0.022 * (high - low), "decision", MUTED))
        _strip(ax, rates, truth, unit)
        _latency(ax, rates, truth, window, step_ms)
    label_ends(ax, ends)
    return ax


def _rates(function: str, spikes: Any, window: int, start: str, sample: int, lengths: Any) -> Tensor:
    """Moving-window rates of one sample, (1, C, T)."""
    values = one_sample(function, spikes, sample=sample, lengths=lengths)
    return moving_window(values[None], window, start=start)


def _last(window: int, step_ms: float | None) -> str:
    steps = "last step" if window == 1 else f"last {window} steps"
    return steps if step_ms is None else f"last {window * step_ms:g} ms"


def _truth(function: str, label: Any, spikes: Any, rates: Tensor, sample: int) -> Tensor | None:
    if label is None:
        return None
    return label_per_step(
        function,
        label,
        batch=batch_size(spikes),
        sample=sample,
        num_classes=rates.shape[1],
        num_steps=rates.shape[2],
    )


def _draw_classes(
    ax: Axes, values: np.ndarray, truth: Tensor | None, names: list[str] | None, unit: float
) -> list[tuple[float, str, str]]:
    """Draw (C, T), the true class and its rival on top, and return what to write at the ends of the lines."""
    num_classes, num_steps = values.shape
    names = names or [str(i) for i in range(num_classes)]
    times = np.arange(num_steps) * unit
    for c in range(num_classes):
        ax.plot(times, values[c], color=FAINT, linewidth=0.8, zorder=1.5, label=names[c])

    runs = _runs(np.full(num_steps, -1) if truth is None else truth.numpy())
    for first, end, true in runs:
        span = slice(first, end)
        strength = np.lexsort((-values[:, span].mean(1), -values[:, end - 1]))  # at the end, and before it
        ranked = [c for c in strength.tolist() if c != true]
        drawn = [(ranked[0], INK if true < 0 else RIVAL, 1.1)] if ranked else []
        drawn += [(true, TRUE, 1.8)] if true >= 0 else []
        for c, color, width in drawn:
            ax.plot(times[span], values[c, span], color=color, linewidth=width, zorder=1.5 + width)
        if len(runs) > 1 and true >= 0:
            ax.text(
                (first + end - 1) / 2 * unit,
                0.98,
                f"{names[true]} (true)",
                color=TRUE,
                fontsize=label_size(ax),
                ha="center",
                va="top",
                transform=ax.get_xaxis_transform(),
            )

    # `drawn` and `ranked` are now those of the last run, which reaches the right end.
    last, rest = values[:, -1], ranked[1:]
    ends = [(last[c], names[c] + " (true)" * (c == true), color) for c, color, _ in drawn]
    if rest:
        ends.append((last[rest].mean(), names[rest[0]] if len(rest) == 1 else "the others", MUTED))
    return ends


def _runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """(first, end, value) of every stretch of one value."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(first, end, int(values[first])) for first, end in itertools.pairwise(edges)]


def _strip(ax: Axes, rates: Tensor, truth: Tensor, unit: float) -> None:
    """Draw a bar under the traces: where the one class of the highest rate is the true one, and where it is not."""
    highest = rates[0].amax(0)
    decided = ((rates[0] == highest).sum(0) == 1) & (truth >= 0)
    right = predict(rates, per_step=True)[0] == truth
    state = torch.where(decided, right.long(), -1).numpy()
    for value, color in ((1, TRUE), (0, RIVAL)):
        spans = [((first - 0.5) * unit, (end - first) * unit) for first, end, run in _runs(state) if run == value]
        ax.broken_barh(spans, (-0.035, 0.025), color=color, transform=ax.get_xaxis_transform(), clip_on=False)
    ax.spines["bottom"].set_position(("axes", -0.05))
    ax.spines["left"].set_bounds(*ax.get_ylim())


def _latency(ax: Axes, rates: Tensor, truth: Tensor, window: int, step_ms: float | None) -> None:
    if int(truth.min()) < 0:
        return
    step, num_steps = int(latency_to_decision(rates, truth[None])), rates.shape[-1]
    if step == num_steps:
        title(ax, f"not right in the {_last(window, step_ms)}", RIVAL)
        return
    title(ax, f"right from {f'step {step}' if step_ms is None else f'{step * step_ms:g} ms'} on", TRUE)
    ax.axvline(step * (step_ms or 1), color=TRUE, linewidth=0.7)
