"""The first spike that a model and its network file do not share, with the states that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """Where a model and its network file first do something else: in a sample the first step, there the first layer.

    Attributes:
        layer: name of the layer.
        index: its number in the file.
        neuron: (C,) or (C, Y, X), the first that differs.
        step: as Lava counts: index step-1 of the arrays.
        sample: number of the sample, from 0 on.
        model: state -> its values after the step before and after this one; "sent" is what the neuron sent.
        file: the same of the network file, run in integers.
        since: the first step after which the two neurons' states are not the same.
    """

    layer: str
    index: int
    neuron: tuple[int, ...]
    step: int
    sample: int
    model: Mapping[str, tuple[int, int]]
    file: Mapping[str, tuple[int, int]]
    since: int

    def __str__(self) -> str:
        neuron = self.neuron[0] if len(self.neuron) == 1 else self.neuron
        place = f"layer/{self.index} {self.layer}, neuron {neuron}, step {self.step}, sample {self.sample}"
        sides = {"model": self.model, "file": self.file}
        lines = [["", *(f"{side}, step {step}" for side in sides for step in (self.step - 1, self.step))]]
        for name in self.model:
            values = (value for side in sides.values() for value in side.get(name, ()))
            lines.append([name, *(f"{value:,}" for value in values)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        ago = "" if self.since == self.step else f"\n    the states of this neuron differ from step {self.since} on"
        return f"the first difference: {place}\n" + "\n".join(f"    {row}" for row in rows) + ago


def first_place(model: Sequence[Array], file: Sequence[Array]) -> tuple[int, int, int, tuple[int, ...]] | None:
    """Sample, layer, step index and neuron at which two recordings first differ, each a list of (N, C, ..., T).

    Example:
        >>> sent = np.zeros((1, 2, 3))
        >>> other = sent.copy()
        >>> other[0, 1, 2] = 1
        >>> first_place([sent, sent], [sent, other])
        (0, 1, 2, (1,))
    """
    differ = [ours != its for ours, its in zip(model, file, strict=True)]
    samples = [int(np.argmax(each)) for each in (d.any(tuple(range(1, d.ndim))) for d in differ) if each.any()]
    if not samples:
        return None
    sample = min(samples)
    steps = [d[sample].any(tuple(range(d.ndim - 2))) for d in differ]
    step, layer = min((int(np.argmax(each)), i) for i, each in enumerate(steps) if each.any())
    neuron = np.argwhere(differ[layer][sample][..., step])[0]
    return sample, layer, step, tuple(int(i) for i in neuron)


def around(model: Mapping[str, Array], file: Mapping[str, Array], neuron: tuple[int, ...], step: int) -> dict[str, Any]:
    """What a `Difference` says of the states at a place.

    Args:
        model, file: state -> (C, ..., T), of the sample and the layer.
        neuron: among (C, ...).
        step: index of the step.
    """

    def pairs(states: Mapping[str, Array]) -> dict[str, tuple[int, int]]:
        traces = {name: values[neuron] for name, values in states.items()}
        return {name: (int(x[step - 1]) if step else 0, int(x[step])) for name, x in traces.items()}

    unequal = [np.flatnonzero(model[name][neuron] != file[name][neuron]) for name in model if name in file]
    first = min((int(steps[0]) for steps in unequal if steps.size), default=step)
    return {"model": pairs(model), "file": pairs(file), "since": min(first, step) + 1}
