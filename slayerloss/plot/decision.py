"""One recording on its way through a network, from its events to the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from slayerloss._check import ShapeError, message
from slayerloss.plot._arrays import batch_size, check_names, label_per_step, one_sample
from slayerloss.plot.frames import draw_strip
from slayerloss.plot.spikes import MOST_NAMES, raster
from slayerloss.plot.style import WIDTH, add_axes, new_figure, title
from slayerloss.plot.traces import confidence_traces


def decision_figure(
    output: Any,
    window: int,
    figure: Figure | None = None,
    *,
    events: Any = None,
    hidden: Mapping[str, Any] | None = None,
    label: Any = None,
    names: Sequence[str] | None = None,
    mode: str = "probability",
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Figure:
    """Draw the input, every hidden layer, the output and the moving-window confidence over one time axis.

    Args:
        output: spikes (C, T) or (C, H, W, T), or a batch of them.
        window: steps of the moving window.
        figure: where to draw; None makes one.
        events: the input, with the same T; with space it is drawn as a strip of pictures, else as a raster.
        hidden: layer name -> its spikes, with the same T.
        label: the true class, or classes, as in `rate_traces`.
        names: of the C classes.
        mode: "probability", "softmax" or "logsoftmax", as in `functional.confidence`.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The figure, one Axes a stage: input, hidden layers, output, confidence.

    Raises:
        ShapeError: an argument has the wrong shape, or another number of steps than `output`.
        ArgumentError: as `confidence_traces`.

    Example:
        >>> import numpy as np
        >>> figure = decision_figure(np.eye(3), window=2, hidden={"hidden": np.ones((5, 3))}, label=0)
        >>> [ax.get_title(loc="left") for ax in figure.axes]
        ['hidden: 15 spikes of 5 neurons', 'output: 3 spikes of 3 neurons', 'not right in the last 2 steps']
    """
    function = "decision_figure"
    stages = [("input", events)] * (events is not None) + [*(hidden or {}).items(), ("output", output)]
    drawn = [
        (name, one_sample(function, spikes, sample=sample, lengths=lengths, argument=name, flatten=False))
        for name, spikes in stages
    ]
    final = drawn[-1][1]
    num_classes, num_steps = final.shape[:-1].numel(), final.shape[-1]
    for name, spikes in drawn:
        if spikes.shape[-1] != num_steps:
            rule = f"{num_steps} steps, as output has"
            raise ShapeError(message(function, f"{name} has another duration", rule, tuple(spikes.shape)))
    truth = None
    if label is not None:
        truth = label_per_step(
            function, label, batch=batch_size(output), sample=sample, num_classes=num_classes, num_steps=num_steps
        )
    names = check_names(function, names, num_classes) or [str(c) for c in range(num_classes)]

    heights = [0.9] * len(drawn) + [1.6]
    if num_classes <= MOST_NAMES:
        heights[-2] = max(0.9, 0.13 * num_classes)
    as_strip = events is not None and drawn[0][1].ndim == 4
    if as_strip:
        heights[0] = 0.62
    figure = new_figure(figure, (WIDTH, sum(heights) + 0.25 * len(heights) + 0.3))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    *rows, lowest = (add_axes(figure, grid[i]) for i in range(len(heights)))
    for i, (ax, (name, spikes)) in enumerate(zip(rows, drawn, strict=True)):
        if as_strip and i == 0:
            draw_strip(ax, spikes.numpy(), step_ms)
        elif ax is rows[-1]:
            true = [] if truth is None else truth[truth >= 0].unique().tolist()
            raster(spikes, ax, names=names, highlight=true, step_ms=step_ms)
        else:
            raster(spikes, ax, step_ms=step_ms)
        title(ax, f"{name}: {int((spikes != 0).sum()):,} spikes of {spikes.shape[:-1].numel():,} neurons")
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)
    confidence_traces(final, window, lowest, label=truth, mode=mode, names=names, step_ms=step_ms)
    return figure
