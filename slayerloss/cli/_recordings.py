"""The recordings that a network file is run on: of a folder, of a run, or the embedded digits.

A folder is read with numpy alone; runs and the digits need torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, FormatError, SlayerError, message
from slayerloss.io import SUFFIXES, Event, bins, crop, read, to_frames

if TYPE_CHECKING:
    from slayerloss.train import Recipe, Run

Array = NDArray[Any]
Shape = tuple[int, ...]

_MOST_STEPS = 100_000  # of a recording whose length nobody gave; a longer one has a wrong clock
_OXFORD = {"input.bs1", "output.bs1"}
_SPLITS = ("Test", "Train")
_COUNT_BITS = 16  # of an input that counts events
_NAMED = 5  # empty recordings whose names are printed


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
        usual_step: nobody said how wide a step is.
        notes: what there is to say of the files, such as that one is left out.
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
    usual_step: bool = False
    notes: list[str] = field(default_factory=list)

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
        folder: where they are, or one event file.
        sensor: (C, H, W); or (N,), neurons whose polarity says nothing, or for events of two dimensions the pixels of a
            square camera of two polarities.
        num_steps: None takes those of the longest recording.
        step_ms: None is 1.

    Raises:
        FormatError: there is no event file, or one cannot be read, or has events outside of the sensor.
    """
    split, classes, files, notes = _one_file(folder) if folder.is_file() else _files(folder)
    numbers = bool(classes) and all(name.isdecimal() for name in classes)
    if len(classes) == 1 and not numbers:  # a folder of recordings in a folder
        classes = []
    place = {name: int(name) if numbers else i for i, name in enumerate(classes)}
    empty = [str(file.relative_to(split)) for file in files if _is_empty(file)]
    if empty:
        more = f" and {len(empty) - _NAMED:,} more" if len(empty) > _NAMED else ""
        held = f"{len(empty):,} recordings are" if len(empty) > 1 else "1 recording is"
        notes.append(f"{held} empty: {', '.join(empty[:_NAMED])}{more}")
    steps, width = num_steps or _longest(files, step_ms or 1.0), step_ms or 1.0
    return Recordings(
        str(folder if folder.is_file() else split),
        [str(file.relative_to(split)) for file in files],
        steps,
        width,
        frames=lambda i: _frames(files[i], sensor, steps, width),
        labels=np.array([place[file.parent.name] for file in files]) if classes else None,
        classes=None if numbers or not classes else classes,
        usual_step=step_ms is None,
        notes=notes,
    )


_Found = tuple[Path, list[str], list[Path], list[str]]
"""The folder, the names of its classes, the event files, and notes."""


def _one_file(file: Path) -> _Found:
    if file.suffix.lower() not in SUFFIXES:
        rule = f"a folder, or a file that ends in {', '.join(SUFFIXES)}"
        raise FormatError(message("simulate", f"'{file}' holds no recordings", rule, "another file"))
    return file.parent, [], [file], []


def _files(folder: Path) -> _Found:
    if not folder.is_dir():
        rule = "a folder or an event file"
        raise FormatError(message("simulate", f"'{folder}' holds no recordings", rule, "no such file or folder"))
    split = next((folder / name for name in _SPLITS if (folder / name).is_dir()), folder)
    classes = [entry.name for entry in sorted(split.iterdir()) if entry.is_dir() and _event_files(entry)]
    files, notes = [file for name in classes for file in _event_files(split / name)], []
    beside = _event_files(split)
    if files and beside:
        notes.append(f"{len(beside):,} of the event files are left out: they lie beside the folders of classes")
    files = files or beside
    if {file.name for file in files} == _OXFORD:
        files = [file for file in files if file.name == "input.bs1"]
        notes.append("output.bs1 is left out: beside input.bs1 it is what a network shall send, not a recording")
    below = next((place.parent for name in _SPLITS for place in sorted(split.glob(f"*/{name}"))), None)
    if not files or below:
        rule = f"Test/CLASS/FILE, CLASS/FILE or FILE, where FILE ends in {', '.join(SUFFIXES)}"
        got, way_out = ("a folder of datasets", f"Did you mean '{below}'?") if below else ("none", "")
        raise FormatError(message("simulate", f"'{folder}' holds no recordings", rule, got, way_out))
    return split, classes, files, notes


def _event_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def _is_empty(file: Path) -> bool:
    """Whether there is no event in a file, as far as its size tells, which it does but for numpy's formats."""
    return not file.stat().st_size or (file.suffix.lower() in (".npy", ".npz") and not len(read(file)))


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
    side, inputs = math.isqrt(sensor[0] // 2), sensor[0]
    square = len(sensor) == 1 and event.dim == 2
    if square and 2 * side * side == inputs:
        sensor = (2, side, side)
    if len(sensor) != (3 if event.dim == 2 else 1):
        way_out = "--sensor C,H,W says the size of a camera, --sensor N the number of neurons"
        rule, got = f"events for an input of {sensor}", f"events with {event.dim} coordinate{'s' * (event.dim > 1)}"
        if square:
            rule = f"events for {inputs:,} inputs"
        raise FormatError(message("simulate", f"'{file}' does not fit the network", rule, got, way_out))
    if len(sensor) == 1:
        event, sensor = Event(event.x, None, event.c * 0, event.t, event.p), (1, *sensor)
    if len(crop(event, sensor)) < len(event):
        problem, rule, way_out = f"'{file}' does not fit the network", f"events on {sensor}", ""
        if square:
            problem += f": the network has {inputs:,} inputs"
            rule, way_out = f"events on a camera with as many, such as {sensor}", "--sensor C,H,W says another one"
        elif sensor[0] == 1:
            problem, rule = f"{problem}: the network has {inputs:,} inputs", f"neurons 0 to {inputs - 1:,}"
        else:
            way_out = "--sensor C,H,W says another size"
        raise FormatError(message("simulate", problem, rule, event, way_out))
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


def of_run(run: Run, num_steps: int | None, step_ms: float | None, root: str | None = None) -> Recordings:
    """The test recordings of a run, or those of a folder, binned as its recipe says unless told otherwise.

    Args:
        run: its decision counts, too.
        num_steps, step_ms: None takes those of the recipe.
        root: a folder in the place of the recipe's: in the layout of its dataset, or of event files.
    """
    options = run.recipe.data
    if root is not None:
        options.root = root
    options.num_steps, options.step_ms = num_steps or options.num_steps, step_ms or options.step_ms
    options.sparse = False
    if options.num_steps is None:
        way_out = "Give --steps"
        raise ArgumentError(message("simulate", "the recordings of the run differ in length", "one", "null", way_out))
    try:
        found = _of_dataset(run.data().test, f"the test set of {run.folder}", options.step_ms)
    except SlayerError:
        if root is None or "." in options.type:  # a dataset of the user's own, whose files nobody else knows
            raise
        shape = tuple(run.recipe.network.input_shape or ())
        found = of_folder(Path(root), shape, options.num_steps, options.step_ms)
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
