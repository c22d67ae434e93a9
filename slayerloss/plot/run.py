"""The figures of a training run, from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slayerloss.plot._arrays import to_tensor
from slayerloss.plot.curves import (
    PENALTY,
    STAGES,
    Metrics,
    events_per_layer,
    learning_curve,
    penalty_curves,
    per_epoch,
    read_columns,
)
from slayerloss.plot.decision import decision_figure, draw_stage
from slayerloss.plot.errors import error_figure
from slayerloss.plot.filters import filter_responses
from slayerloss.plot.spikes import raster_pair
from slayerloss.plot.style import WIDTH, add_axes, heading, new_figure, set_caption, title, without_pyplot
from slayerloss.plot.tables import confusion_matrix, weight_histogram

_FILTER = ("time_constant", "length", "filter_order", "normalize")
_FEW = 4  # stages that have room
_FAR = 100  # times the smallest penalty: too far above it to see both on a linear scale
_MOST_TIED = 3  # classes that the heading names


@dataclass(frozen=True)
class Sample:
    """One recording and what a network did with it; spikes are (C, T) or (C, H, W, T) with one T."""

    events: Any
    """The input, like spikes."""
    output: Any
    hidden: Mapping[str, Any] = field(default_factory=dict)
    """Layer name -> spikes."""
    label: int | None = None
    """The true class of a classification."""
    prediction: int | None = None
    """The class that the whole recording was taken for."""
    tied: Sequence[int] = ()
    """Other classes that the whole recording could as well be taken for."""
    target: Any = None
    """The target spikes of a regression, like `output`."""
    name: str = ""
    """Which recording it is, for the heading."""


@dataclass(frozen=True)
class Evaluation:
    """What a trained network did on its test set."""

    samples: Sequence[Sample]
    name: str = ""
    """Of the run, for the headings."""
    class_names: Sequence[str] | None = None
    confusion: Any = None
    """(C, C) counts, rows the true class."""
    silent: int = 0
    """Recordings in `confusion` that had no output spike and count as class 0."""
    events: Mapping[str, float] = field(default_factory=dict)
    """Layer name -> spikes per recording; "input" -> events per recording."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Layer name -> weights as integers of the chip."""
    step_ms: float | None = None
    window: int | None = None
    """Steps of the moving window in the figures of decisions; None: a third of the recording."""
    harder: Sequence[str] = ()
    """What makes the training harder than the validation, such as "augmentation" or "dropout"."""
    spike_time: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `loss.SpikeTime` for the figures of errors; those that say nothing of its filter are left out."""


def run_figures(evaluation: Evaluation, metrics: Metrics | None = None) -> dict[str, Figure]:
    """Draw all that a run's arrays allow, each figure with a heading and a caption, ready for `report`.

    Args:
        evaluation: what the network did.
        metrics: the run's `metrics.csv`, or its columns; None leaves the learning curves out. Columns named
            `events_<layer>` become spikes over the epochs, those named `penalty_<name>` penalties.

    Returns:
        File name without ending -> figure, in the order of a reader: `learning`, `penalties`, `spikes_over_epochs`,
        `confusion`; for each classified sample `decision_<i>`, for each regressed one `output_<i>`, `error_<i>`,
        `layers_<i>`, for one with neither class nor target `layers_<i>`; `spikes`, `weights`, `filter`. What lacks its
        arrays is left out.

    Raises:
        ArgumentError, ShapeError: an array does not fit.
        FormatError: `metrics` is no metrics file.

    Example:
        >>> sample = Sample(events=np.ones((2, 8)), output=np.eye(3, 8), label=1, prediction=0)
        >>> list(run_figures(Evaluation([sample], events={"input": 16.0})))
        ['decision_0', 'spikes']
    """
    columns = {} if metrics is None else read_columns(metrics)
    with without_pyplot():
        figures = {**_logged(columns, evaluation), **_confusion(evaluation)}
        for i, sample in enumerate(evaluation.samples):
            figures.update({f"{name}_{i}": figure for name, figure in _sample(sample, evaluation).items()})
        return {**figures, **_network(evaluation)}


def _explain(figure: Figure, evaluation: Evaluation, text: str, caption: str, section: str = "") -> None:
    """Write what a figure shows, and of which run, above it; attach its caption and the name of its section."""
    heading(figure, f"{evaluation.name}: {text}" if evaluation.name else text)
    set_caption(figure, caption, section=section)


def _logged(columns: Mapping[str, Any], evaluation: Evaluation) -> dict[str, Figure]:
    """What the run logged over its epochs."""
    figures = {}
    quantities = [q for q in ("loss", "accuracy") if any(_has(columns, f"{stage}_{q}") for stage in STAGES)]
    if quantities:
        figure = figures["learning"] = new_figure(None, (WIDTH, 2.3 * len(quantities)))
        for i, quantity in enumerate(quantities):
            learning_curve(columns, quantity, add_axes(figure, len(quantities), 1, i + 1)).label_outer()
        figure.align_ylabels()
        drawn = " and ".join(quantities)
        validated = any(_has(columns, f"valid_{quantity}") for quantity in quantities)
        if evaluation.harder:
            without = ", valid without" * validated
            figure.axes[-1].set_xlabel(f"epoch\n(train is measured with {' and '.join(evaluation.harder)}{without})")
        dot = " The dot on the valid curve marks its best epoch." if validated else ""
        _explain(figure, evaluation, f"{drawn} while training", f"{drawn.capitalize()} over the epochs.{dot}")
    penalties = [name for name in columns if name.startswith(PENALTY) and _has(columns, name)]
    if penalties:
        tops = [float(per_epoch(columns, name)[1].max()) for name in penalties]
        scale = "log" if 0 < _FAR * min(tops) < max(tops) else "linear"
        figure = figures["penalties"] = _figure(penalty_curves(columns, scale=scale))
        caption = (
            "What each penalty adds to the loss of a batch while training, with its weight; the mean over the steps of "
            "an epoch. The losses above are without them."
        )
        _explain(figure, evaluation, "penalties while training", caption)
    tests = [values for name, values in columns.items() if name.startswith("test_")]
    while_training = ~np.isfinite(tests).any(0) if tests else slice(None)
    columns = {name: values[while_training] for name, values in columns.items()}
    logged = [name for name in columns if name.startswith("events_") and _has(columns, name)]
    series = {name.removeprefix("events_"): per_epoch(columns, name)[1] for name in logged}
    if series:
        epochs = per_epoch(columns, logged[0])[0]
        figure = figures["spikes_over_epochs"] = _figure(events_per_layer(series, epochs=epochs))
        _explain(figure, evaluation, "spikes while training", "Spikes that each layer sends per recording.")
    return figures


def _has(columns: Mapping[str, Any], name: str) -> bool:
    return name in columns and bool(np.isfinite(columns[name]).any())


def _confusion(evaluation: Evaluation) -> dict[str, Figure]:
    if evaluation.confusion is None:
        return {}
    names, silent = evaluation.class_names, evaluation.silent
    figure = _figure(confusion_matrix(evaluation.confusion, names=names, silent=silent))
    caption = (
        "How many test recordings of each class (row) were taken for each class (column). Blue is right, orange is "
        "wrong; the stronger the shade, the larger the share of the row. White cells are empty."
    )
    _explain(figure, evaluation, "test recordings by class", caption)
    return {"confusion": figure}


def _network(evaluation: Evaluation) -> dict[str, Figure]:
    """What holds for the network and its loss, whatever the recording."""
    figures = {}
    if evaluation.events:
        figure = figures["spikes"] = _figure(events_per_layer(evaluation.events))
        caption = (
            "Spikes that each layer sends per test recording; of the input, its events, as the network gets them: all "
            "that a pixel sends in one step are one. Fewer cost less on the chip."
        )
        _explain(figure, evaluation, "spikes per test recording", caption)
    if evaluation.weights:
        rows = len(evaluation.weights)
        figure = figures["weights"] = new_figure(None, (WIDTH, 0.5 + 1.7 * rows))
        for i, (name, weights) in enumerate(evaluation.weights.items()):
            ax = weight_histogram(weights, add_axes(figure, rows, 1, i + 1))
            title(ax, f"{name}: {ax.get_title(loc='left')}")
        limits = [ax.get_xlim() for ax in figure.axes]
        for ax in figure.axes:
            ax.set_xlim(min(low for low, _ in limits), max(high for _, high in limits))
            ax.label_outer()
        caption = "How often each weight occurs, as the integers of the chip: even, from -256 to 254."
        _explain(figure, evaluation, "weights", caption)
    if evaluation.spike_time:
        figure = figures["filter"] = _figure(
            filter_responses(
                evaluation.spike_time.get("time_constant", 5.0),
                order=evaluation.spike_time.get("filter_order", 1),
                normalize=evaluation.spike_time.get("normalize"),
                step_ms=evaluation.step_ms,
            )
        )
        caption = "What the loss makes of one spike: the impulse response of its filter."
        _explain(figure, evaluation, "filter of the loss", caption)
    return figures


def _sample(sample: Sample, evaluation: Evaluation) -> dict[str, Figure]:
    """What there is to draw of a sample."""
    if sample.target is not None:
        return _regressed(sample, evaluation)
    if sample.label is not None or sample.prediction is not None:
        return _classified(sample, evaluation)
    stages = [("input", sample.events), *sample.hidden.items(), ("output", sample.output)]
    text = _which(sample)
    return {"layers": _layers(stages, evaluation, text, "The events of the input and the spikes of all layers.")}


def _classified(sample: Sample, evaluation: Evaluation) -> dict[str, Figure]:
    figure = decision_figure(
        sample.output,
        evaluation.window or max(1, np.shape(sample.output)[-1] // 3),
        events=sample.events,
        hidden=sample.hidden,
        label=sample.label,
        names=evaluation.class_names,
        answer=sample.prediction,
        step_ms=evaluation.step_ms,
    )
    names = evaluation.class_names
    said = {"class": sample.label, "as a whole taken for": sample.prediction}
    parts = [f"{words} {names[c] if names else c}" for words, c in said.items() if c is not None]
    if sample.prediction is not None:
        parts[-1] += _tied(sample, names)
    caption = (
        "From above: the input; the spikes of the layers, or in grey the share of neurons that spike in a step; how "
        "many output spikes the last steps hold; and the confidence in each class by these spikes. With few of them it "
        "says little: of a single one it is 1. The true class is blue. Orange is the class that the whole recording "
        "was taken for, or, where that is right, the strongest rival of the true one. The bar at the bottom is thick "
        "where the decision by these spikes is right and thin where it is wrong; no bar: no spikes, or a tie. The "
        "heading names the decision on the whole recording, which may be another; of tied classes the first is taken."
    )
    section = ", ".join([_which(sample), *parts[: sample.label is not None]])
    _explain(figure, evaluation, ", ".join([_which(sample), *parts]), caption, section)
    return {"decision": figure}


def _regressed(sample: Sample, evaluation: Evaluation) -> dict[str, Figure]:
    step_ms, num_steps = evaluation.step_ms, np.shape(sample.output)[-1]
    middle = (num_steps // 2 - 150, num_steps // 2 + 150) if num_steps > 600 else None
    filter_options = {name: evaluation.spike_time[name] for name in _FILTER if name in evaluation.spike_time}
    error = error_figure(sample.output, sample.target, steps=middle, step_ms=step_ms, **filter_options)
    caption = (
        "Output and target after the filter of the loss, and their difference. Above summed over the channels; below "
        "single channels, from the largest error to the smallest, with the spikes under the traces"
    )
    stretch = ", in the stretch shaded above." if middle else "."
    _explain(error, evaluation, text := f"{_which(sample)}, errors", caption + stretch, text)
    output = _figure(raster_pair(sample.output, sample.target, step_ms=step_ms))
    caption = (
        "Output spikes over target spikes. A blue mark in an orange one is a spike in its place; an orange one alone "
        "is missing, a blue one alone is too many."
    )
    _explain(output, evaluation, text := f"{_which(sample)}, output over target", caption, text)
    stages = [("input", sample.events), *sample.hidden.items()]
    caption = "The events of the input and the spikes of the hidden layers."
    layers = _layers(stages, evaluation, f"{_which(sample)}, input and hidden layers", caption)
    return {"output": output, "error": error, "layers": layers}


def _layers(stages: Sequence[tuple[str, Any]], evaluation: Evaluation, text: str, caption: str) -> Figure:
    """The events of the input and the spikes of layers, one below the other."""
    figure = new_figure(None, (WIDTH, 0.3 + (1.9 if len(stages) <= _FEW else 1.3) * len(stages)))
    for i, (name, spikes) in enumerate(stages):
        ax = add_axes(figure, len(stages), 1, i + 1)
        draw_stage(ax, name, to_tensor("run_figures", name, spikes), evaluation.step_ms, is_input=i == 0)
        ax.label_outer()
    _explain(figure, evaluation, text, caption, text)
    return figure


def _tied(sample: Sample, names: Sequence[str] | None) -> str:
    """In brackets, why the answer might as well have been another."""
    if not np.any(to_tensor("run_figures", "output", sample.output).numpy()):
        return " (no output spikes)"
    if not sample.tied:
        return ""
    if len(sample.tied) > _MOST_TIED:
        return f" (tied with {len(sample.tied)} others)"
    *first, last = [str(names[c] if names else c) for c in sample.tied]
    return f" (tied with {', '.join(first)}{' and ' * bool(first)}{last})"


def _which(sample: Sample) -> str:
    return f"recording {sample.name}" if sample.name else "a recording"


def _figure(ax: Axes) -> Figure:
    return cast(Figure, ax.figure)
