"""What a training run logged: learning curves, penalties, and how much each layer sends."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from slayerloss._check import ArgumentError, FormatError, check_choice, message
from slayerloss._path import check_file_to_read
from slayerloss.plot.style import (
    MUTED,
    PALETTE,
    RIVAL,
    TRUE,
    WIDTH,
    label_ends,
    label_size,
    name_at_axis,
    new_axes,
    title,
)

Metrics: TypeAlias = "str | PathLike[str] | Mapping[str, Sequence[float]]"

# Stage of a run -> its colour.
STAGES = {"train": MUTED, "valid": TRUE, "test": RIVAL}
INPUT = "input"  # the name of what a network gets, among those of its layers
PENALTY = "penalty_"  # how the columns of penalties begin


def read_metrics(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read the columns of a `metrics.csv`; a field left empty is NaN.

    Args:
        path: the file that Lightning's CSVLogger writes.

    Returns:
        Column name -> (rows,) float64.

    Raises:
        FormatError: the file has no header, no column `epoch`, or a field that is no number.
        FileError: it cannot be read.
    """
    check_file_to_read("read_metrics", path)
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        names = reader.fieldnames or []
    if "epoch" not in names:
        found = ", ".join(names) or "an empty file"
        raise FormatError(message("read_metrics", f"{path} is no metrics file", "a column 'epoch'", found))
    try:
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
    except (TypeError, ValueError) as error:
        problem = f"{path} holds a field that is no number"
        raise FormatError(message("read_metrics", problem, "numbers", error)) from None


def learning_curve(metrics: Metrics, quantity: str = "loss", ax: Axes | None = None, *, scale: str = "linear") -> Axes:
    """Draw a quantity over the epochs, for training, validation and test, with the best validation marked.

    Args:
        metrics: a `metrics.csv`, or its columns by name: `epoch`, `train_<quantity>`, `valid_<quantity>`,
            `test_<quantity>`, each of one length with NaN where nothing was logged. Several values of one epoch are
            averaged.
        quantity: "loss", "accuracy" or another column name without the stage. An accuracy is drawn in percent and its
            best is the highest; of anything else the best is the lowest.
        ax: where to draw; None makes a figure.
        scale: "linear" or "log".

    Returns:
        The Axes.

    Raises:
        ArgumentError: no stage has the quantity, there is no `epoch`, or columns differ in length.
        FormatError: the file is no metrics file.

    Example:
        >>> ax = learning_curve({"epoch": [0, 1], "train_loss": [2.0, 1.0]}, "loss")
        >>> ax.lines[0].get_ydata().tolist()
        [2.0, 1.0]
    """
    check_choice("learning_curve", "scale", scale, ("linear", "log"))
    columns = read_columns(metrics)
    curves = {stage: per_epoch(columns, f"{stage}_{quantity}") for stage in STAGES}
    curves = {stage: curve for stage, curve in curves.items() if curve[0].size}
    if not curves:
        have = ", ".join(sorted(columns))
        raise ArgumentError(message("learning_curve", f"nothing logged {quantity!r}", "a column of it", have))

    ax = new_axes(ax)
    is_accuracy = quantity.endswith("accuracy")
    ax.set_yscale(scale)
    ends = []
    for stage, (epochs, values) in curves.items():
        color = STAGES[stage]
        ax.plot(epochs, values, color=color, marker="o" if epochs.size == 1 else None, markersize=4, label=stage)
        ends.append((values[-1], f"{stage} {_value(values[-1], is_accuracy)}", color))
    if "valid" in curves and curves["valid"][0].size > 1:
        _mark_best(ax, *curves["valid"], is_accuracy)
    if is_accuracy:
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    ax.margins(x=0.02)
    ax.set(xlabel="epoch", ylabel=quantity.replace("_", " "))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    label_ends(ax, ends)
    return ax


def penalty_curves(metrics: Metrics, ax: Axes | None = None, *, scale: str = "linear") -> Axes:
    """Draw over the epochs what each penalty adds to the loss of a batch, with its weight; a line for each.

    Args:
        metrics: a `metrics.csv`, or its columns by name: `epoch` and `penalty_<name>`, as in `learning_curve`.
        ax: where to draw; None makes a figure.
        scale: "linear" or "log", which shows what is above zero.

    Returns:
        The Axes.

    Raises:
        ArgumentError: there are no penalties, there is no `epoch`, or columns differ in length.
        FormatError: the file is no metrics file.

    Example:
        >>> ax = penalty_curves({"epoch": [1, 2], "penalty_rates": [0.25, 0.125]})
        >>> ax.lines[0].get_ydata().tolist()
        [0.25, 0.125]
    """
    check_choice("penalty_curves", "scale", scale, ("linear", "log"))
    columns = read_columns(metrics, "penalty_curves")
    curves = {name.removeprefix(PENALTY): per_epoch(columns, name) for name in columns if name.startswith(PENALTY)}
    curves = {name: curve for name, curve in curves.items() if curve[0].size}
    if not curves:
        have = ", ".join(sorted(columns))
        raise ArgumentError(message("penalty_curves", "no penalty was logged", "a column penalty_<name>", have))
    ax = new_axes(ax)
    ax.set_yscale(scale)
    ends = {name: f"{name} {_value(values[-1], is_accuracy=False)}" for name, (_, values) in curves.items()}
    if scale == "log":
        curves = {name: (epochs[values > 0], values[values > 0]) for name, (epochs, values) in curves.items()}
    from_zero = scale == "linear" and all(values.min() >= 0 for _, values in curves.values())
    _draw_lines(ax, curves, "added to the loss", ends, from_zero=from_zero)
    return ax


def events_per_layer(events: Mapping[str, Any], ax: Axes | None = None, *, epochs: Any = None) -> Axes:
    """Draw how many spikes each layer sends: bars of one evaluation, or a line per layer over the epochs.

    What is named "input" is not a layer but the events that the network gets; its bar is grey.

    Args:
        events: layer name -> spikes per recording, in the order of the layers; or name -> one value per epoch.
        ax: where to draw; None makes a figure.
        epochs: of the values, one per value; None: 1, 2, and so on.

    Returns:
        The Axes.

    Raises:
        ArgumentError: `events` is empty, or mixes single values and series; a value is negative or not finite; a series
            and `epochs` differ in length.

    Example:
        >>> ax = events_per_layer({"input": 4000.0, "hidden": 900.0})
        >>> [float(bar.get_width()) for bar in ax.patches]
        [4000.0, 900.0]
    """
    series = {str(name): np.asarray(values, dtype=float) for name, values in events.items()}
    dimensions = sorted({values.ndim for values in series.values()})
    if dimensions not in ([0], [1]):
        rule = "layers with one number each, or with one series each"
        raise ArgumentError(message("events_per_layer", "events has the wrong form", rule, f"dimensions {dimensions}"))
    for name, values in series.items():
        if not np.all(np.isfinite(values) & (values >= 0)):
            raise ArgumentError(message("events_per_layer", f"events of {name!r} are no counts", "values >= 0", values))
    ax = new_axes(ax, (WIDTH, 0.6 + 0.26 * len(series) if dimensions == [0] else 3.0))
    if dimensions == [0]:
        _bars(ax, {name: float(values) for name, values in series.items()})
    else:
        _lines(ax, series, epochs)
    return ax


def read_columns(metrics: Metrics, function: str = "learning_curve") -> dict[str, np.ndarray]:
    """The columns of a file or of a mapping, as arrays of one length, `epoch` among them."""
    if not isinstance(metrics, Mapping):
        return read_metrics(metrics)
    columns = {name: np.asarray(values, dtype=float) for name, values in metrics.items()}
    shapes = {values.shape for values in columns.values()}
    if "epoch" not in columns or len(shapes) != 1 or columns["epoch"].ndim != 1:
        rule, got = "columns of one length, `epoch` among them", {name: v.shape for name, v in columns.items()}
        raise ArgumentError(message(function, "metrics are no columns", rule, got))
    return columns


def per_epoch(columns: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs in which `name` was logged and its mean in each."""
    values = columns.get(name, np.empty(0))
    epochs = columns["epoch"] if values.size else values
    logged = np.isfinite(values) & np.isfinite(epochs)
    unique, place = np.unique(epochs[logged], return_inverse=True)
    return unique, np.bincount(place, values[logged]) / np.maximum(np.bincount(place), 1)


def _value(value: float, is_accuracy: bool) -> str:
    if is_accuracy:
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _mark_best(ax: Axes, epochs: np.ndarray, values: np.ndarray, is_accuracy: bool) -> None:
    best = int(values.argmax() if is_accuracy else values.argmin())
    ax.plot(epochs[best], values[best], "o", color=TRUE, markersize=4)
    title(ax, f"best validation {_value(values[best], is_accuracy)} in epoch {epochs[best]:.0f}", color=TRUE)


def _bars(ax: Axes, counts: Mapping[str, float]) -> None:
    colors = [MUTED if name == INPUT else PALETTE[0] for name in counts]
    bars = ax.barh(range(len(counts)), list(counts.values()), color=colors, height=0.6)
    texts = [f"{count:,.0f}" if count >= 10 else f"{count:.3g}" for count in counts.values()]
    ax.bar_label(bars, texts, padding=3, fontsize=label_size(ax))
    ax.set_yticks(range(len(counts)), [name_at_axis(ax, name) for name in counts])
    ax.invert_yaxis()
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
    ax.set_xticks([])
    ax.set_xlabel("spikes per recording" + f" (of the {INPUT}: events)" * (INPUT in counts), loc="left")


def _lines(ax: Axes, series: Mapping[str, np.ndarray], epochs: Any) -> None:
    curves = {}
    for name, values in series.items():
        at = np.arange(1, values.size + 1) if epochs is None else np.asarray(epochs)
        if at.shape != values.shape:
            rule = f"{values.size} epochs, as {name!r} has values"
            raise ArgumentError(message("events_per_layer", "epochs has the wrong length", rule, at.size))
        curves[name] = at, values
    _draw_lines(ax, curves, "spikes per recording", {name: name for name in curves}, from_zero=True)


def _draw_lines(
    ax: Axes,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ylabel: str,
    ends: Mapping[str, str],
    *,
    from_zero: bool,
) -> None:
    """Draw a line for each name over the epochs, with a text at its end."""
    colors = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(curves)}
    for name, (epochs, values) in curves.items():
        marker = "o" if epochs.size == 1 else None
        ax.plot(epochs, values, color=colors[name], marker=marker, markersize=4, label=name)
    ax.margins(x=0.02)
    ax.set(xlabel="epoch", ylabel=ylabel)
    if from_zero:
        ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    label_ends(ax, [(values[-1], ends[name], colors[name]) for name, (_, values) in curves.items() if values.size])
