"""Spike-time errors: filtered output, filtered target and their difference, as `loss.SpikeTime` sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from slayerloss._check import check_integer, check_same_shape
from slayerloss.functional import exponential_filter
from slayerloss.plot._arrays import one_sample, step_unit
from slayerloss.plot.style import (
    ERROR,
    FAINT,
    OUTPUT,
    TARGET,
    WIDTH,
    add_axes,
    color_key,
    new_axes,
    new_figure,
    time_axis,
    title,
)


class _Traces(NamedTuple):
    """Spike trains and what the filter makes of them, each (C, T)."""

    output_spikes: np.ndarray
    target_spikes: np.ndarray
    output: np.ndarray
    target: np.ndarray


def error_traces(
    output: Any,
    target: Any,
    time_constant: float = 5.0,
    length: int | None = 100,
    filter_order: int = 1,
    ax: Axes | None = None,
    *,
    channel: int | None = None,
    normalize: str | None = None,
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Axes:
    """Draw the filtered output over the filtered target, and their difference as an area around zero.

    Args:
        output: spikes (C, T) or (C, H, W, T), or a batch of them.
        target: the same shape.
        time_constant, length, filter_order, normalize: of the filter, as in `loss.SpikeTime`.
        ax: where to draw; None makes a figure.
        channel: which of the channels; None draws the sum over all.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The Axes; its lines are labelled "target" and "output", its area "difference".

    Raises:
        ShapeError: the shapes differ or are not those of events.
        ArgumentError: the filter, `channel` or `sample` is out of range.

    Example:
        >>> ax = error_traces([[0, 1, 0]], [[1, 0, 0]], time_constant=2.0)
        >>> {line.get_label(): line.get_ydata().astype(float).round(2).tolist() for line in ax.lines}
        {'target': [1.0, 0.61, 0.37], 'output': [0.0, 1.0, 0.61]}
    """
    traces = _filtered("error_traces", output, target, time_constant, length, filter_order, normalize, sample, lengths)
    unit = step_unit("error_traces", step_ms)
    if channel is not None:
        check_integer("error_traces", "channel", channel, 0, len(traces.output) - 1)
        traces = _Traces(*(values[channel : channel + 1] for values in traces))
    ax = new_axes(ax, (WIDTH, 2.2))
    _draw(ax, traces.output.sum(0), traces.target.sum(0), np.arange(traces.output.shape[-1]) * unit)
    time_axis(ax, traces.output.shape[-1], step_ms)
    ax.set_ylabel("filtered spikes")
    _key(ax)
    return ax


def error_figure(
    output: Any,
    target: Any,
    time_constant: float = 5.0,
    length: int | None = 100,
    filter_order: int = 1,
    figure: Figure | None = None,
    *,
    channels: int | Sequence[int] = 8,
    steps: tuple[int, int] | None = None,
    normalize: str | None = None,
    sample: int = 0,
    lengths: Any = None,
    step_ms: float | None = None,
) -> Figure:
    """Draw where a spike-time loss comes from: all channels summed, the squared error per step, single channels.

    The upper two panels span the width: filtered output and target summed over the channels, with their difference;
    and the squared difference summed over the channels, whose sum over time is `loss.SpikeTime`. Below are small
    multiples of single channels, on one scale, with the spikes themselves under the traces.

    Args:
        output: spikes (C, T) or (C, H, W, T), or a batch of them.
        target: the same shape.
        time_constant, length, filter_order, normalize: of the filter, as in `loss.SpikeTime`.
        figure: where to draw; None makes one.
        channels: which channels; or how many, spaced evenly from the one with the largest error to the smallest.
        steps: let the single channels show [first, last) only, shaded in the panels above; None: all. The errors named
            are those of the whole sample.
        sample: which of a batch.
        lengths: steps of the sample, or (N,) of a batch.
        step_ms: milliseconds per step; None counts steps.

    Returns:
        The figure: `axes[0]` the sum, `axes[1]` the squared error, then the channels.

    Raises:
        ShapeError: the shapes differ or are not those of events.
        ArgumentError: the filter, a channel, `steps` or `sample` is out of range.

    Example:
        >>> figure = error_figure(np.eye(3), np.eye(3)[::-1].copy(), channels=[0, 2])
        >>> len(figure.axes)
        4
    """
    traces = _filtered("error_figure", output, target, time_constant, length, filter_order, normalize, sample, lengths)
    unit = step_unit("error_figure", step_ms)
    num_channels, num_steps = traces.output.shape
    squares = (traces.output - traces.target).astype(float) ** 2
    chosen = _choose("error_figure", channels, squares.sum(-1))
    first, last = steps or (0, num_steps)
    check_integer("error_figure", "steps", last, 1, num_steps)
    check_integer("error_figure", "steps", first, 0, last - 1)

    rows = math.ceil(len(chosen) / 2)
    figure = new_figure(figure, (WIDTH, 3.0 + 0.95 * rows))
    grid = figure.add_gridspec(2 + rows, 2, height_ratios=[1.5, 1.0] + [1.0] * rows)
    times = np.arange(num_steps) * unit
    summed, squared = add_axes(figure, grid[0, :]), add_axes(figure, grid[1, :])
    _draw(summed, traces.output.sum(0), traces.target.sum(0), times)
    title(summed, f"all {num_channels} channels, summed")
    _key(summed)
    squared.fill_between(times, squares.sum(0), color=ERROR, linewidth=0)
    squared.set_ylim(bottom=0)
    title(squared, f"squared difference, summed over channels: {squares.sum():.5g} in all steps")
    for ax in (summed, squared):
        time_axis(ax, num_steps, step_ms)
        if last - first < num_steps:
            ax.axvspan((first - 0.5) * unit, (last - 0.5) * unit, color=FAINT, alpha=0.35, linewidth=0, zorder=0)
    _hide_time(summed)

    parts = [_Traces(*(values[channel, first:last] for values in traces)) for channel in chosen]
    low, high = _range(parts)  # one y range for all channels; below it, in the lowest fifth, the spikes
    ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    for place, (channel, part) in enumerate(zip(chosen, parts, strict=True)):
        ax = add_axes(figure, grid[2 + place // 2, place % 2])
        _draw(ax, part.output, part.target, times[first:last])
        _rug(ax, times[first:last][part.target_spikes != 0], 0.10, TARGET)
        _rug(ax, times[first:last][part.output_spikes != 0], 0.0, OUTPUT)
        time_axis(ax, num_steps, step_ms)
        ax.set(xlim=((first - 0.5) * unit, (last - 0.5) * unit), ylim=(low - 0.3 * (high - low), high), yticks=ticks)
        title(ax, f"channel {channel}: {100 * squares[channel].sum() / max(squares.sum(), 1e-12):.2g} % of the error")
        ax.tick_params(labelleft=place % 2 == 0)
        if place < len(chosen) - 2:
            _hide_time(ax)
    return figure


def _range(parts: Sequence[_Traces]) -> tuple[float, float]:
    """The lowest and the highest of all traces and differences."""
    values = [values for part in parts for values in (part.output, part.target, part.output - part.target)]
    low, high = min((float(v.min()) for v in values), default=0.0), max((float(v.max()) for v in values), default=1.0)
    return low, high if high > low else low + 1


def _hide_time(ax: Axes) -> None:
    ax.set_xlabel("")
    ax.tick_params(labelbottom=False)


def _filtered(
    function: str,
    output: Any,
    target: Any,
    time_constant: float,
    length: int | None,
    filter_order: int,
    normalize: str | None,
    sample: int,
    lengths: Any,
) -> _Traces:
    sent = one_sample(function, output, sample=sample, lengths=lengths, argument="output")
    wanted = one_sample(function, target, sample=sample, lengths=lengths, argument="target")
    check_same_shape(function, "output", sent, "target", wanted)
    filtered = exponential_filter(
        torch.stack([sent, wanted]), time_constant, filter_order, normalize=normalize, length=length
    )
    return _Traces(sent.numpy(), wanted.numpy(), *filtered.numpy())


def _choose(function: str, channels: int | Sequence[int], errors: np.ndarray) -> list[int]:
    """The channels given, or so many, spaced evenly from the largest error to the smallest."""
    if isinstance(channels, Sequence):
        return [check_integer(function, "channels", channel, 0, errors.size - 1) for channel in channels]
    number = min(check_integer(function, "channels", channels, 0), errors.size)
    by_error = np.argsort(-errors, kind="stable")
    return by_error[np.linspace(0, errors.size - 1, number).round().astype(int)].tolist()


def _draw(ax: Axes, output: np.ndarray, target: np.ndarray, times: np.ndarray) -> None:
    ax.fill_between(times, output - target, color=ERROR, alpha=0.45, linewidth=0, label="difference")
    ax.plot(times, target, color=TARGET, linewidth=0.9, label="target")
    ax.plot(times, output, color=OUTPUT, linewidth=0.9, label="output")


def _rug(ax: Axes, times: np.ndarray, low: float, color: str) -> None:
    ax.vlines(times, low, low + 0.08, colors=color, linewidths=0.6, transform=ax.get_xaxis_transform())


def _key(ax: Axes) -> None:
    color_key(ax, [("target", TARGET), ("output", OUTPUT), ("difference", ERROR)])
