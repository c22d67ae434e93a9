"""The recordings that a network file is run on: of a folder, of a run, or the embedded digits.

A folder is read with numpy alone; runs and the digits need torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, FormatError, message
from slayerloss.io import SUFFIXES, Event, bins, crop, read, to_frames

if TYPE_CHECKING:
    from slayerloss.train import Recipe, Run

Array = NDArray[Any]
Shape = tuple[int, ...]

_MOST_STEPS = 100_000  # of a recording whose length nobody gave; a longer one has a wrong clock
_OXFORD = {"input.bs1", "output.bs1"}
_SPLITS = ("Test", "Train")
_COUNT_BITS = 16  # of an input that counts events


def by_rate(output: Array) -> NDArray[np.int64]:
    """The class with the most spikes, (N,), of output spikes (N, C, T); of equal ones, and of none, the first."""
    return output.sum(-1).argmax(1)


@dataclass(frozen=True)
class Recordings:
    """What a network runs on.

    Attributes:
        source: in words.
        names: of the recordings.
        num_steps: steps of each.
        step_ms: width of a step in ms.
        frames: position -> (C, ..., T).
        labels: (N,) int64, the classes; None where nobody says them.
        classes: their names, where these are not numbers.
        decide: output spikes (N, C, T) -> classes (N,); None where the output is no class.
        target: position -> the output spikes wanted, of a regression.
        bits: of the input's integers; 0 where it is binary.
    """

    source: str
    names: list[str]
    num_steps: int
    step_ms: float
    frames: Callable[[int], Array]
    labels: NDArray[np.int64] | None = None
    classes: list[str] | None = None
    decide: Callable[[Array], NDArray[np.int64]] | None = by_rate
    target: Callable[[int], Array] | None = None
    bits: int = 0

    def __len__(self) -> int:
        return len(self.names)


def some(recordings: Recordings, limit: int) -> Recordings:
    """About every k-th recording, so that no more than `limit` are left, of all classes where they lie in order."""
    if limit >= len(recordings):
        return recordings
    kept = np.linspace(0, len(recordings), limit, endpoint=False).astype(int)
    return replace(
        recordings,
        names=[recordings.names[i] for i in kept],
        frames=lambda i: recordings.frames(int(kept[i])),
        labels=None if recordings.labels is None else recordings.labels[kept],
        target=None if recordings.target is None else lambda i: recordings.target(int(kept[i])),  # type: ignore[misc]
    )


def of_folder(folder: Path, sensor: Shape, num_steps: int | None, step_ms: float | None) -> Recordings:
    """The event files of a folder: of `Test`, if it has that; by classes, if they lie in folders of classes.

    Args:
        folder: where they are.
        sensor: (C, H, W); or (N,), neurons whose polarity says nothing, or for events of two dimensions the pixels of a
            square camera of two polarities.
        num_steps: None takes those of the longest recording.
        step_ms: None is 1.

    Raises:
        FormatError: there is no event file, or one cannot be read, or has events outside of the sensor.
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "no such folder"
        raise FormatError(message("simulate", f"'{folder}' holds no recordings", "a folder", got))
    split = next((folder / name for name in _SPLITS if (folder / name).is_dir()), folder)
    classes = [entry.name for entry in sorted(split.iterdir()) if entry.is_dir() and _event_files(entry)]
    numbers = bool(classes) and all(name.isdecimal() for name in classes)
    files = [file for name in classes for file in _event_files(split / name)] or _event_files(split)
    if {file.name for file in files} == _OXFORD:
        files = [file for file in files if file.name == "input.bs1"]
    below = next((place.parent for name in _SPLITS for place in sorted(split.glob(f"*/{name}"))), None)
    if not files or below:
        rule = f"Test/CLASS/FILE, CLASS/FILE or FILE, where FILE ends in {', '.join(SUFFIXES)}"
        got, way_out = ("a folder of datasets", f"Did you mean '{below}'?") if below else ("none", "")
        raise FormatError(message("simulate", f"'{folder}' holds no recordings", rule, got, way_out))
    if len(classes) == 1 and not numbers:  # a folder of recordings in a folder
        classes = []
    place = {name: int(name) if numbers else i for i, name in enumerate(classes)}
    step_ms = step_ms or 1.0
    if num_steps is None:
        num_steps = _longest(files, step_ms)
    return Recordings(
        str(split),
        [str(file.relative_to(split)) for file in files],
        num_steps,
        step_ms,
        frames=lambda i: _frames(files[i], sensor, num_steps, step_ms),
        labels=np.array([place[file.parent.name] for file in files]) if classes else None,
        classes=None if numbers or not classes else classes,
    )


def _event_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def _longest(files: Sequence[Path], step_ms: float) -> int:
    """The steps up to the last event of all recordings."""
    last, file = max((float(read(file).t.max(initial=0.0)), file) for file in files)
    steps = int(bins(np.array([last]), step_ms)[0]) + 1
    if steps > _MOST_STEPS:
        problem = f"'{file}' lasts {last:g} ms"
        way_out = "Give --steps, or a longer --step-ms"
        raise FormatError(message("simulate", problem, f"at most {_MOST_STEPS:,} steps", f"{steps:,}", way_out))
    return steps


def _frames(file: Path, sensor: Shape, num_steps: int, step_ms: float) -> Array:
    """One file, binned."""
    event = read(file)
    side = math.isqrt(sensor[0] // 2)
    if len(sensor) == 1 and event.dim == 2 and 2 * side * side == sensor[0]:
        sensor = (2, side, side)
    if len(sensor) != (3 if event.dim == 2 else 1):
        way_out = "--sensor C,H,W says the size of a camera, --sensor N the number of neurons"
        rule, got = f"events for an input of {sensor}", f"events with {event.dim} coordinate{'s' * (event.dim > 1)}"
        raise FormatError(message("simulate", f"'{file}' does not fit the network", rule, got, way_out))
    if len(sensor) == 1:
        event, sensor = Event(event.x, None, event.c * 0, event.t, event.p), (1, *sensor)
    if len(crop(event, sensor)) < len(event):
        problem, way_out = f"'{file}' does not fit the network", "--sensor C,H,W says another size"
        raise FormatError(message("simulate", problem, f"events on {sensor}", event, way_out))
    frames = to_frames(event, sensor, num_steps, step_ms, dtype=np.float32 if event.graded else np.int8)
    return frames[0] if len(sensor) == 2 else frames


def of_digits(num_steps: int | None, step_ms: float | None) -> Recordings:
    """The embedded digits, their test split, binned as by the recipe `digits` unless told otherwise."""
    from slayerloss.data import Digits

    step_ms = step_ms or 10.0
    num_steps = num_steps or max(1, round(300 / step_ms))
    return _of_dataset(
        Digits(train=False, num_steps=num_steps, step_ms=step_ms), "the test set of the embedded digits", step_ms
    )


def of_run(run: Run, num_steps: int | None, step_ms: float | None) -> Recordings:
    """The test recordings of a run, binned as its recipe says unless told otherwise, with its decision."""
    options = run.recipe.data
    options.num_steps, options.step_ms = num_steps or options.num_steps, step_ms or options.step_ms
    if options.num_steps is None:
        way_out = "Give --steps"
        raise ArgumentError(message("simulate", "the recordings of the run differ in length", "one", "null", way_out))
    found = _of_dataset(run.data().test, f"the test set of {run.folder}", options.step_ms)
    return replace(found, decide=_decision(run.recipe), bits=_COUNT_BITS if options.count else 0)


def _of_dataset(dataset: Any, source: str, step_ms: float) -> Recordings:
    """The items (spikes, label or target) of a dataset."""
    first, label = dataset[0]
    whole = getattr(dataset, "dataset", dataset)
    labels = getattr(whole, "labels", None)
    if labels is not None and whole is not dataset:
        labels = labels[list(dataset.indices)]
    regression = getattr(label, "ndim", 0) > 0
    return Recordings(
        source,
        [str(i) for i in range(len(dataset))],
        int(first.shape[-1]),
        step_ms,
        frames=lambda i: np.asarray(dataset[i][0]),
        labels=_labels(dataset, labels) if not regression else None,
        target=(lambda i: np.asarray(dataset[i][1])) if regression else None,
        decide=None if regression else by_rate,
    )


def _labels(dataset: Any, labels: Any) -> NDArray[np.int64]:
    values = [dataset[i][1] for i in range(len(dataset))] if labels is None else labels
    return np.array([int(value) for value in values], np.int64)


def _decision(recipe: Recipe) -> Callable[[Array], NDArray[np.int64]] | None:
    """The decision of a recipe on a whole recording; of one at every step the most frequent."""
    import torch

    from slayerloss.train.build import build_decision

    decision = build_decision(recipe)
    if decision is None:
        return None

    def decide(output: Array) -> NDArray[np.int64]:
        decided = decision(torch.from_numpy(np.ascontiguousarray(output)))
        return np.asarray(decided.mode(-1).values if decided.ndim == 2 else decided)

    return decide
