"""The figures of a training run, from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slayerloss.plot.curves import STAGES, Metrics, events_per_layer, learning_curve, per_epoch, read_columns
from slayerloss.plot.decision import decision_figure
from slayerloss.plot.errors import error_figure
from slayerloss.plot.filters import filter_responses
from slayerloss.plot.spikes import raster, raster_pair
from slayerloss.plot.style import WIDTH, add_axes, new_figure, set_caption, title, without_pyplot
from slayerloss.plot.tables import confusion_matrix, weight_histogram

_FILTER = ("time_constant", "length", "filter_order", "normalize")


@dataclass(frozen=True)
class Sample:
    """One recording and what a network did with it; spikes are (C, T) or (C, H, W, T) with one T."""

    events: Any
    output: Any
    hidden: Mapping[str, Any] = field(default_factory=dict)
    """Layer name -> spikes."""
    label: int | None = None
    """The true class of a classification."""
    prediction: int | None = None
    """The class it was taken for."""
    target: Any = None
    """The target spikes of a regression, like `output`."""
    name: str = ""
    """Which recording it is, for the caption."""


@dataclass(frozen=True)
class Evaluation:
    """What a trained network did on its test set."""

    samples: Sequence[Sample]
    class_names: Sequence[str] | None = None
    confusion: Any = None
    """(C, C) counts, rows the true class."""
    events: Mapping[str, float] = field(default_factory=dict)
    """Layer name -> events per sample."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Layer name -> weights as integers of the chip."""
    step_ms: float | None = None
    window: int | None = None
    """Steps of the moving window in the figures of decisions; None: a third of the recording."""
    spike_time: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `loss.SpikeTime` for the figures of errors; those that say nothing of its filter are left out."""


def run_figures(evaluation: Evaluation, metrics: Metrics | None = None) -> dict[str, Figure]:
    """Draw all that a run's arrays allow, each figure with a caption, ready for `report`.

    Args:
        evaluation: what the network did.
        metrics: the run's `metrics.csv`, or its columns; None leaves the learning curves out. Columns named
            `events_<layer>` become events over the epochs.

    Returns:
        File name without ending -> figure, in the order of a reader: `learning`, `events_over_epochs`, `confusion`; for
        each classified sample `decision_<i>`, for each regressed one `output_<i>`, `error_<i>`, `layers_<i>`; `events`,
        `weights`, `filter`. What lacks its arrays is left out.

    Raises:
        ArgumentError, ShapeError: an array does not fit.
        FormatError: `metrics` is no metrics file.

    Example:
        >>> sample = Sample(events=np.ones((2, 8)), output=np.eye(3, 8), label=1, prediction=0)
        >>> list(run_figures(Evaluation([sample], events={"input": 16.0})))
        ['decision_0', 'events']
    """
    columns = {} if metrics is None else read_columns(metrics)
    with without_pyplot():
        figures = {**_logged(columns), **_confusion(evaluation)}
        for i, sample in enumerate(evaluation.samples):
            drawn = _classified(sample, evaluation) if sample.target is None else _regressed(sample, evaluation)
            figures.update({f"{name}_{i}": figure for name, figure in drawn.items()})
        return {**figures, **_network(evaluation)}


def _logged(columns: Mapping[str, Any]) -> dict[str, Figure]:
    """What the run logged over its epochs."""
    figures = {}
    quantities = [q for q in ("loss", "accuracy") if any(_has(columns, f"{stage}_{q}") for stage in STAGES)]
    if quantities:
        figure = figures["learning"] = new_figure(None, (WIDTH, 2.3 * len(quantities)))
        for i, quantity in enumerate(quantities):
            learning_curve(columns, quantity, add_axes(figure, len(quantities), 1, i + 1))
        figure.align_ylabels()
        validated = any(_has(columns, f"valid_{quantity}") for quantity in quantities)
        dot = " The dot on the curve of the validation marks its best epoch." if validated else ""
        set_caption(figure, f"{' and '.join(quantities).capitalize()} over the epochs.{dot}")
    tests = [values for name, values in columns.items() if name.startswith("test_")]
    while_training = ~np.isfinite(tests).any(0) if tests else slice(None)
    columns = {name: values[while_training] for name, values in columns.items()}
    logged = [name for name in columns if name.startswith("events_") and _has(columns, name)]
    series = {name.removeprefix("events_"): per_epoch(columns, name)[1] for name in logged}
    if series:
        figure = figures["events_over_epochs"] = _figure(events_per_layer(series))
        set_caption(figure, "Events that each layer sends per recording, over the epochs.")
    return figures


def _has(columns: Mapping[str, Any], name: str) -> bool:
    return name in columns and bool(np.isfinite(columns[name]).any())


def _confusion(evaluation: Evaluation) -> dict[str, Figure]:
    if evaluation.confusion is None:
        return {}
    figure = _figure(confusion_matrix(evaluation.confusion, names=evaluation.class_names))
    set_caption(
        figure,
        "How many test recordings of each class (row) were taken for each class (column). Blue is right, orange is "
        "wrong; mistakes are shaded four times as strongly.",
    )
    return {"confusion": figure}


def _network(evaluation: Evaluation) -> dict[str, Figure]:
    """What holds for the network and its loss, whatever the recording."""
    figures = {}
    if evaluation.events:
        figure = figures["events"] = _figure(events_per_layer(evaluation.events))
        set_caption(figure, "Events that each layer sends per test recording. Fewer events cost less on the chip.")
    if evaluation.weights:
        rows = len(evaluation.weights)
        figure = figures["weights"] = new_figure(None, (WIDTH, 1.7 * rows))
        for i, (name, weights) in enumerate(evaluation.weights.items()):
            ax = weight_histogram(weights, add_axes(figure, rows, 1, i + 1))
            title(ax, f"{name}: {ax.get_title(loc='left')}")
        limits = [ax.get_xlim() for ax in figure.axes]
        for ax in figure.axes:
            ax.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
            ax.label_outer()
        set_caption(figure, "How often each weight occurs, as the integers of the chip: even, from -256 to 254.")
    if evaluation.spike_time:
        figure = figures["filter"] = _figure(
            filter_responses(
                evaluation.spike_time.get("time_constant", 5.0),
                order=evaluation.spike_time.get("filter_order", 1),
                normalize=evaluation.spike_time.get("normalize"),
                step_ms=evaluation.step_ms,
            )
        )
        set_caption(figure, "What the loss makes of one spike: the impulse response of its filter.")
    return figures


def _classified(sample: Sample, evaluation: Evaluation) -> dict[str, Figure]:
    figure = decision_figure(
        sample.output,
        evaluation.window or max(1, np.shape(sample.output)[-1] // 3),
        events=sample.events,
        hidden=sample.hidden,
        label=sample.label,
        names=evaluation.class_names,
        step_ms=evaluation.step_ms,
    )
    said = {"of class": sample.label, "taken for": sample.prediction}
    names = evaluation.class_names
    parts = [f"{words} {names[c] if names else c}" for words, c in said.items() if c is not None]
    set_caption(
        figure,
        f"{', '.join([_which(sample), *parts])}. From above: the events, the spikes of the layers, and the confidence "
        "in each class over the last steps. The true class is blue, its strongest rival orange; the bar at the bottom "
        "shows where the decision is right and where it is wrong.",
    )
    return {"decision": figure}


def _regressed(sample: Sample, evaluation: Evaluation) -> dict[str, Figure]:
    step_ms, num_steps = evaluation.step_ms, np.shape(sample.output)[-1]
    middle = (num_steps // 2 - 150, num_steps // 2 + 150) if num_steps > 600 else None
    filter_options = {name: evaluation.spike_time[name] for name in _FILTER if name in evaluation.spike_time}
    error = error_figure(sample.output, sample.target, steps=middle, step_ms=step_ms, **filter_options)
    set_caption(
        error,
        f"{_which(sample)}: output and target after the filter of the loss, and their difference. Above summed over "
        "the channels; below single channels, from the largest error to the smallest, with the spikes under the traces"
        + (", in the stretch shaded above." if middle else "."),
    )
    output = _figure(raster_pair(sample.output, sample.target, step_ms=step_ms))
    set_caption(
        output,
        f"{_which(sample)}: output spikes over target spikes. A blue mark in an orange one is a spike in its place; an "
        "orange one alone is missing, a blue one alone is too many.",
    )
    stages = [("input", sample.events), *sample.hidden.items()]
    layers = new_figure(None, (WIDTH, 1.7 * len(stages)))
    for i, (name, spikes) in enumerate(stages):
        title(raster(spikes, add_axes(layers, len(stages), 1, i + 1), step_ms=step_ms), name)
    set_caption(layers, f"{_which(sample)}: the spikes of its input and of the hidden layers.")
    return {"output": output, "error": error, "layers": layers}


def _which(sample: Sample) -> str:
    return f"Recording {sample.name}" if sample.name else "A recording"


def _figure(ax: Axes) -> Figure:
    return cast(Figure, ax.figure)
