"""How a network decides: the rates and the confidence of its classes over time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation
from torch import Tensor

from slayerloss._check import check_integer
from slayerloss.functional import confidence, latency_to_decision, moving_window, predict
from slayerloss.plot._arrays import batch_size, check_names, label_per_step, one_sample, step_unit
from slayerloss.plot.style import (
    FAINT,
    INK,
    MUTED,
    RIVAL,
    TRUE,
    label_ends,
    label_size,
    name_at_axis,
    new_axes,
    time_axis,
    title,
)

_STRIP, _STRIP_ROOM = 9.0, 16.0  # points below the Axes: the middle of the bar of decisions, and the time axis


class Stretch(NamedTuple):
    """Steps [first, end) with one true class, and how the classes are drawn there."""

    first: int
    end: int
    true: int
    """Negative where there is none."""
    drawn: dict[int, str]
    """Class -> colour, of the strongest rival and the true class, or of the strongest class if none is true."""
    others: list[int]
    """The classes that recede, from the strongest."""


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
    ax.set_ylabel(f"spikes per step\n({last_steps(window, step_ms)})")
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
    answer: int | None = None,
    start: str = "zero",
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw the moving-window confidence in every class, and below it where the decision is right and where wrong.

    The title says from when on the decision stands (`functional.latency_to_decision`). The bar below is thick where the
    decision is right, thin where it is wrong, and missing where classes share the highest rate.

    Args:
        spikes: output spikes (C, T) or (C, H, W, T), or a batch of them; space is flattened into the classes.
        window: steps.
        ax: where to draw; None makes a figure.
        label: as in `rate_traces`.
        mode: "probability", "softmax" or "logsoftmax", as in `functional.confidence`.
        temperature: of the softmax modes.
        names: of the C classes.
        answer: the class that the whole recording is taken for, which need not lead here. Where it is wrong, it is the
            rival in colour, and is named so.
        start: what lies before the first step, as in `functional.moving_window`.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes; its first C lines are the classes in their order.

    Raises:
        ShapeError: `spikes` or `label` has the wrong shape.
        ArgumentError: a label, `answer`, `window`, `start`, `mode`, `temperature` or the number of `names` is out of
            range.

    Example:
        >>> ax = confidence_traces([[0, 1, 1, 1], [1, 1, 0, 0]], window=1, label=0)
        >>> ax.get_title(loc="left")
        'decided by the last step: right from step 2 on'
    """
    rates = _rates("confidence_traces", spikes, window, start, sample, lengths)
    truth = _truth("confidence_traces", label, spikes, rates, sample)
    num_classes, num_steps = rates.shape[1:]
    names = check_names("confidence_traces", names, num_classes)
    if answer is not None:
        check_integer("confidence_traces", "answer", answer, 0, num_classes - 1)
    unit = step_unit("confidence_traces", step_ms)
    values = confidence(rates, mode, temperature=temperature)[0].numpy()

    ax = new_axes(ax)
    is_log = mode == "logsoftmax"
    ends = _draw_classes(ax, values, truth, names, unit, answer)
    time_axis(ax, num_steps, step_ms)
    ax.set_ylabel(f"{'log ' * is_log}confidence\n({last_steps(window, step_ms)})")
    if not is_log:
        ax.set_ylim(0, 1.02)
        ax.set_yticks([0, 0.5, 1])
    _chance(ax, -math.log(num_classes) if is_log else 1 / num_classes)
    if truth is not None:
        _strip(ax, rates, truth, unit)
        _latency(ax, rates, truth, window, step_ms)
    label_ends(ax, ends)
    return ax


def _rates(function: str, spikes: Any, window: int, start: str, sample: int, lengths: Any) -> Tensor:
    """Moving-window rates of one sample, (1, C, T)."""
    values = one_sample(function, spikes, sample=sample, lengths=lengths)
    return moving_window(values[None], window, start=start)


def last_steps(window: int, step_ms: float | None) -> str:
    """The steps that a moving window counts, in words."""
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


def stretches(values: np.ndarray, truth: Tensor | None, answer: int | None = None) -> list[Stretch]:
    """The stretches of one true class in (C, T) rates or confidences, and what is drawn in colour there.

    Where `answer` is a class and wrong, it is the rival.
    """
    num_steps = values.shape[1]
    runs = _runs(np.full(num_steps, -1) if truth is None else truth.numpy())
    return [_stretch(values, *run, answer) for run in runs]


def _stretch(values: np.ndarray, first: int, end: int, true: int, answer: int | None) -> Stretch:
    span = values[:, first:end]
    strength = np.lexsort((-span.mean(1), -span[:, -1]))  # at the end, and before it
    others = [c for c in strength.tolist() if c != true]
    drawn = {}
    if answer is not None and answer in others:
        others.remove(answer)
        drawn[answer] = INK if true < 0 else RIVAL
    elif others and (span[others[0]] > span.min(0)).any():  # a class that never leads another is no rival
        drawn[others.pop(0)] = INK if true < 0 else RIVAL
    if true >= 0:
        drawn[true] = TRUE
    return Stretch(first, end, true, drawn, others)


def _draw_classes(
    ax: Axes,
    values: np.ndarray,
    truth: Tensor | None,
    names: list[str] | None,
    unit: float,
    answer: int | None = None,
) -> list[tuple[float, str, str]]:
    """Draw (C, T), the true class and its rival on top, and return what to write at the ends of the lines."""
    num_classes, num_steps = values.shape
    names = names or [str(i) for i in range(num_classes)]
    times = np.arange(num_steps) * unit
    for c in range(num_classes):
        ax.plot(times, values[c], color=FAINT, linewidth=0.8, zorder=1.5, label=names[c])
    parts = stretches(values, truth, answer)
    for part in parts:
        span = slice(part.first, part.end)
        for c, color in part.drawn.items():
            width = 1.8 if color == TRUE else 1.1
            ax.plot(times[span], values[c, span], color=color, linewidth=width, zorder=1.5 + width)
        if len(parts) > 1 and part.true >= 0:
            _name_above(ax, times[span].mean(), name_of(part.true, names, [part.true]))

    last = parts[-1]
    ends = [(values[c, -1], name_of(c, names, [last.true], answer), color) for c, color in last.drawn.items()]
    if last.others:
        text = names[last.others[0]] if len(last.others) == 1 else "the others"
        ends.append((values[last.others, -1].mean(), text, MUTED))
    return ends


def name_of(index: int, names: Sequence[str], true: Sequence[int], answer: int | None = None) -> str:
    """The name of a class, which says so where it is a true one, or else the answer."""
    said = " (true)" if index in true else " (answer)" if index == answer else ""
    return f"{names[index]}{said}"


def _name_above(ax: Axes, time: float, text: str) -> None:
    place: dict[str, Any] = {"ha": "center", "va": "top", "transform": ax.get_xaxis_transform()}
    ax.text(time, 0.98, name_at_axis(ax, text), color=TRUE, fontsize=label_size(ax), **place)


def _runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """(first, end, value) of every stretch of one value."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(first, end, int(values[first])) for first, end in itertools.pairwise(edges)]


def _chance(ax: Axes, value: float) -> None:
    """Draw the confidence of a guess, and name it at the y axis in the place of a number that is near."""
    ax.axhline(value, color=MUTED, linewidth=0.7, linestyle=(0, (1, 3)))
    low, high = ax.get_ylim()
    ticks = [t for t in ax.get_yticks() if low <= t <= high and abs(t - value) > 0.09 * (high - low)]
    ax.set_yticks([*ticks, value], [*(f"{tick:g}" for tick in ticks), "chance"])
    ax.set_ylim(low, high)


def _strip(ax: Axes, rates: Tensor, truth: Tensor, unit: float) -> None:
    """Draw a bar under the traces where one class has the highest rate: thick if it is the true one, thin if not."""
    highest = rates[0].amax(0)
    decided = ((rates[0] == highest).sum(0) == 1) & (truth >= 0)
    right = predict(rates, per_step=True)[0] == truth
    state = torch.where(decided, right.long(), -1).numpy()
    down = ScaledTranslation(0, -_STRIP / 72, ax.figure.dpi_scale_trans)
    place: dict[str, Any] = {"transform": ax.get_xaxis_transform() + down, "clip_on": False}
    for value, color, width in ((1, TRUE, 5.0), (0, RIVAL, 2.0)):
        spans = [(first - 0.5, end - 0.5) for first, end, run in _runs(state) if run == value]
        starts, ends = np.array(spans).reshape(-1, 2).T * unit
        ax.hlines(np.zeros(len(spans)), starts, ends, colors=color, linewidths=width, capstyle="butt", **place)
    below: dict[str, Any] = {"xytext": (-6, -_STRIP), "textcoords": "offset points", "ha": "right", "va": "center"}
    ax.annotate("decision", (0, 0), xycoords="axes fraction", fontsize=0.9 * label_size(ax), color=MUTED, **below)
    ax.spines["bottom"].set_position(("outward", _STRIP_ROOM))
    ax.spines["left"].set_bounds(*ax.get_ylim())


def _latency(ax: Axes, rates: Tensor, truth: Tensor, window: int, step_ms: float | None) -> None:
    if int(truth.min()) < 0:
        return
    step, num_steps = int(latency_to_decision(rates, truth[None])), rates.shape[-1]
    by = f"decided by the {last_steps(window, step_ms)}"
    if step == num_steps:
        title(ax, f"{by}: not right at the end", RIVAL)
        return
    title(ax, f"{by}: right from {f'step {step}' if step_ms is None else f'{step * step_ms:g} ms'} on", TRUE)
    ax.axvline(step * (step_ms or 1), color=TRUE, linewidth=0.7)
