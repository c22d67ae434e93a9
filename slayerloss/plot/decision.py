"""One recording on its way through a network, from its events to the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from slayerloss._check import ShapeError, message
from slayerloss.plot._arrays import one_sample
from slayerloss.plot.frames import draw_strip
from slayerloss.plot.spikes import raster
from slayerloss.plot.style import WIDTH, add_axes, new_figure, title
from slayerloss.plot.traces import confidence_traces


def decision_figure(
    output: Any,
    window: int,
    figure: Figure | None = None,
    *,
    events: Any = None,
    hidden: Mapping[str, Any] | None = None,
    label: int | None = None,
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
        label: the true class, as in `confidence_traces`.
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
        ['hidden: 15 spikes of 5 neurons', 'output: 3 spikes of 3 neurons', 'not right at the end']
    """
    layers = {**({} if events is None else {"input": events}), **(hidden or {}), "output": output}
    spikes = {}
    for name, values in layers.items():
        spikes[name] = one_sample(
            "decision_figure", values, sample=sample, lengths=lengths, argument=name, flatten=False
        )
    num_steps = spikes["output"].shape[-1]
    for name, values in spikes.items():
        if values.shape[-1] != num_steps:
            rule = f"{num_steps} steps, as output has"
            raise ShapeError(message("decision_figure", f"{name} has another duration", rule, tuple(values.shape)))

    num_classes = spikes["output"].shape[:-1].numel()
    heights = [0.62 if name == "input" and values.ndim == 4 else 0.9 for name, values in spikes.items()]
    heights[-1] = max(0.9, 0.13 * num_classes) if num_classes <= 24 else 0.9
    heights.append(1.6)
    figure = new_figure(figure, (WIDTH, sum(heights) + 0.25 * len(heights) + 0.3))
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    rows = [add_axes(figure, grid[i]) for i in range(len(heights))]
    for ax, (name, values) in zip(rows, spikes.items(), strict=False):
        if name == "input" and values.ndim == 4:
            draw_strip(ax, values.numpy(), step_ms)
        else:
            is_output = name == "output"
            class_names = list(names or map(str, range(num_classes))) if is_output else None
            one_class = label if is_output and isinstance(label, int) and label >= 0 else None
            raster(values, ax, names=class_names, highlight=one_class, step_ms=step_ms)
        neurons = values.shape[:-1].numel()
        title(ax, f"{name}: {int((values != 0).sum()):,} spikes of {neurons:,} neurons")
        ax.set_xlabel("")
        ax.tick_params(labelbottom=False)
    confidence_traces(spikes["output"], window, rows[-1], label=label, mode=mode, names=names, step_ms=step_ms)
    return figure
