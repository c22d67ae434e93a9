"""One recording on its way through a network, from its events to the decision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from slayerloss._check import ShapeError, check_integer, message
from slayerloss.functional import confidence, moving_window
from slayerloss.plot._arrays import batch_size, check_names, label_per_step, one_sample
from slayerloss.plot.frames import draw_strip
from slayerloss.plot.spikes import MOST_NAMES, raster
from slayerloss.plot.style import FAINT, TRUE, WIDTH, add_axes, label_ends, name_at_axis, new_figure, time_axis, title
from slayerloss.plot.traces import confidence_traces, last_steps, name_of, stretches


def decision_figure(
    output: Any,
    window: int,
    figure: Figure | None = None,
    *,
    events: Any = None,
    hidden: Mapping[str, Any] | None = None,
    label: Any = None,
    names: Sequence[str] | None = None,
    answer: int | None = None,
    mode: str = "probability",
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Figure:
    """Draw the input, every hidden layer, the output and the moving-window confidence over one time axis.

    Between output and confidence stands how many output spikes the window counts: of a single one the confidence is 1.

    Args:
        output: spikes (C, T) or (C, H, W, T), or a batch of them.
        window: steps of the moving window.
        figure: where to draw; None makes one.
        events: the input, with the same T; with space it is drawn as a strip of pictures, else as a raster.
        hidden: layer name -> its spikes, with the same T.
        label: the true class, or classes, as in `rate_traces`.
        names: of the C classes.
        answer: the class that the whole recording is taken for, as in `confidence_traces`.
        mode: "probability", "softmax" or "logsoftmax", as in `functional.confidence`.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The figure, one Axes a stage: input, hidden layers, output, the number of spikes in the window, confidence.

    Raises:
        ShapeError: an argument has the wrong shape, or another number of steps than `output`.
        ArgumentError: as `confidence_traces`.

    Example:
        >>> import numpy as np
        >>> figure = decision_figure(np.eye(3), window=2, hidden={"hidden": np.ones((5, 3))}, label=0)
        >>> [ax.get_title(loc="left") for ax in figure.axes[:2]]
        ['hidden: 15 spikes, 5 neurons', 'output: 3 spikes, 3 neurons']
        >>> figure.axes[-1].get_title(loc="left")
        'decided by the last 2 steps: not right at the end'
    """
    function = "decision_figure"
    stages = [("input", events)] * (events is not None) + [*(hidden or {}).items(), ("output", output)]
    drawn = _of_one_duration(function, stages, sample, lengths)
    final = drawn[-1][1]
    num_classes, num_steps = final.shape[:-1].numel(), final.shape[-1]
    truth = None
    if label is not None:
        truth = label_per_step(
            function, label, batch=batch_size(output), sample=sample, num_classes=num_classes, num_steps=num_steps
        )
    names = check_names(function, names, num_classes) or [str(c) for c in range(num_classes)]
    if answer is not None:
        check_integer(function, "answer", answer, 0, num_classes - 1)

    heights = [1.0] * len(drawn) + [0.4, 1.6]
    if num_classes <= MOST_NAMES:
        heights[-3] = max(1.0, 0.13 * num_classes)
    if events is not None and _has_space(drawn[0][1]):
        heights[0] = 0.62
    figure = new_figure(figure, (WIDTH, sum(heights) + 0.25 * len(heights) + 0.5))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    *rows, last, counted, lowest = (add_axes(figure, grid[i]) for i in range(len(heights)))
    for i, (ax, (name, spikes)) in enumerate(zip(rows, drawn, strict=False)):
        draw_stage(ax, name, spikes, step_ms, is_input=events is not None and i == 0)
    _output(last, final, window, truth, mode, names, step_ms, answer)
    _counted(counted, final, window, step_ms)
    for ax in (*rows, last, counted):
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)
    confidence_traces(final, window, lowest, label=truth, mode=mode, names=names, answer=answer, step_ms=step_ms)
    return figure


def _of_one_duration(
    function: str, stages: Sequence[tuple[str, Any]], sample: int, lengths: Any
) -> list[tuple[str, Tensor]]:
    """One sample of each stage, (C, T) or (C, H, W, T); all have the T of the last stage."""
    drawn = [
        (name, one_sample(function, spikes, sample=sample, lengths=lengths, argument=name, flatten=False))
        for name, spikes in stages
    ]
    num_steps = drawn[-1][1].shape[-1]
    for name, spikes in drawn:
        if spikes.shape[-1] != num_steps:
            rule = f"{num_steps} steps, as output has"
            raise ShapeError(message(function, f"{name} has another duration", rule, tuple(spikes.shape)))
    return drawn


def draw_stage(ax: Axes, name: str, spikes: Tensor, step_ms: float | None, *, is_input: bool = False) -> None:
    """Draw the spikes of a layer, or the events of the input, (C, T) or (C, H, W, T), and say how many they are."""
    has_space = _has_space(spikes)
    if is_input and has_space:
        draw_strip(ax, spikes.numpy(), step_ms)
    else:
        raster(spikes, ax, step_ms=step_ms)
    sender = ("pixel" if has_space else "input") if is_input else "neuron"
    if ax.get_ylabel() == "neuron":
        ax.set_ylabel(sender)
    shape = " x ".join(f"{size:,}" for size in (spikes.shape[:-1] if has_space else spikes.shape[:1]))
    count = f"{int((spikes != 0).sum()):,} {'events' if is_input else 'spikes'}"
    title(ax, f"{name_at_axis(ax, name)}: {count}, {shape} {sender}{'s' * (shape != '1')}")


def _has_space(spikes: Tensor) -> bool:
    return math.prod(spikes.shape[1:-1]) > 1


def _output(
    ax: Axes,
    output: Tensor,
    window: int,
    truth: Tensor | None,
    mode: str,
    names: list[str],
    step_ms: float | None,
    answer: int | None,
) -> None:
    """Draw the spikes of the classes in the colours of their confidences, with the names of those in colour."""
    rates = moving_window(output.reshape(1, -1, output.shape[-1]), window)
    parts = stretches(confidence(rates, mode)[0].numpy(), truth, answer)
    colors = {c: color for part in parts for c, color in part.drawn.items()}
    true = [part.true for part in parts if part.true >= 0]
    colors.update(dict.fromkeys(true, TRUE))  # also where it is a rival for a while
    raster(output, ax, names=names, highlight=colors, step_ms=step_ms)
    label_ends(ax, [(c, name_of(c, names, true, answer), color) for c, color in colors.items()])
    title(ax, f"output: {int((output != 0).sum()):,} spikes, {len(names):,} neurons")


def _counted(ax: Axes, output: Tensor, window: int, step_ms: float | None) -> None:
    """Draw how many spikes the confidence rests on."""
    spikes = (output != 0).float().reshape(1, -1, output.shape[-1])
    counts = moving_window(spikes, window, "sum")[0].sum(0).numpy()
    ax.stairs(counts, (np.arange(counts.size + 1) - 0.5) * (step_ms or 1), fill=True, color=FAINT)
    time_axis(ax, counts.size, step_ms)
    ax.set_ylim(0, max(1, 1.05 * counts.max()))
    ax.set_yticks(sorted({0, int(counts.max())}))
    title(ax, f"output spikes counted in the {last_steps(window, step_ms)}")
