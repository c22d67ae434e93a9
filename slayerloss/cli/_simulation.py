"""Running a network on recordings: what it decided, and how often it was right."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from slayerloss.cli._recordings import Recordings
    from slayerloss.netx import Network, Operations, Recording

_BATCH_BYTES = 1 << 26  # of what a batch sends
_MOST = 32  # recordings of a batch


@dataclass(frozen=True)
class Result:
    """What a network did with recordings.

    Attributes:
        operations: of every recording.
        predicted: (N,) classes; None where the output is no class.
        labels: (N,) the true ones; None where nobody says them.
        silent: (N,) whether a recording had no output spike, or left a readout at zero.
        outputs: how many neurons the last layer has.
        readout: whether the last layer has no neurons that spike, so that its voltages at the end decide.
    """

    operations: Operations
    predicted: NDArray[np.int64] | None
    labels: NDArray[np.int64] | None
    silent: NDArray[np.bool_]
    outputs: int
    readout: bool = False

    @property
    def confusion(self) -> NDArray[np.int64] | None:
        """(C, C) counts, rows the true class; None without classes."""
        if self.predicted is None or self.labels is None:
            return None
        counts = np.zeros((self.outputs, self.outputs), np.int64)
        np.add.at(counts, (self.labels, self.predicted), 1)
        return counts

    def words(self) -> Iterator[str]:
        """The paragraphs to print: accuracy and silence, operations, energy."""
        from slayerloss import netx

        yield "\n".join(self.decisions())
        yield str(self.operations)
        yield str(netx.energy(self.operations))

    def decisions(self) -> Iterator[str]:
        """Accuracy and silent recordings."""
        number = len(self.silent)
        if self.confusion is not None:
            right = int(np.trace(self.confusion))
            low, high = wilson(right, number)
            within = f"95 % confidence: {100 * low:.1f} to {100 * high:.1f} %"
            yield f"accuracy {100 * right / number:.1f} % ({right:,} of {number:,} right; {within})"
        elif self.predicted is not None:
            counts = np.bincount(self.predicted[~self.silent], minlength=self.outputs)
            most = [f"{c} in {counts[c]:,}" for c in np.argsort(-counts, kind="stable")[:10] if counts[c]]
            yield "no accuracy: the recordings do not lie in folders of classes"
            if most:
                what = "highest output" if self.readout else "output with the most spikes"
                yield f"{what}: {', '.join(most)} of {plural(number, 'recording')}"
        else:
            yield "no accuracy: the output of the run is no class"
        if self.readout:
            yield "the last layer is a readout, which never spikes: its highest voltage at the end decides"
        silent = int(self.silent.sum())
        what = "left the readout at zero" if self.readout else "had no output spike"
        counted = "; they count as class 0" if silent and self.confusion is not None else ""
        yield f"{silent:,} of {number:,} recordings {what}{counted}"


def simulate(network: Network, recordings: Recordings) -> Result:
    """Run all recordings, in batches."""
    from slayerloss.netx.operations import joined, operations

    parts, predicted, silent = [], [], []
    values = sum(math.prod(shape) for shape in (network.input_shape, *network.shapes)) * recordings.num_steps
    step = min(_MOST, max(1, _BATCH_BYTES // values))
    last = network.description.layers[network.layer_indices[-1]]
    readout = last.type.startswith("dense") and last.neuron is None
    for start in range(0, len(recordings), step):
        x, recording = run(network, recordings, range(start, min(start + step, len(recordings))))
        parts.append(operations(network, x, recording))
        output = recording.output.reshape(len(x), -1, x.shape[-1])
        voltages = recording.state.layers[-1]["v"].reshape(len(x), -1) if readout else None
        if recordings.decide is not None:
            predicted.append(recordings.decide(output) if voltages is None else voltages.argmax(1))
        active = output if voltages is None else voltages
        silent.append(~active.reshape(len(x), -1).any(1))
        _progress(start + len(x), len(recordings))
    decided = np.concatenate(predicted) if predicted else None
    outputs = math.prod(network.shapes[-1])
    return Result(joined(parts), decided, recordings.labels, np.concatenate(silent), outputs, readout)


def run(network: Network, recordings: Recordings, positions: Sequence[int]) -> tuple[NDArray[Any], Recording]:
    """Some recordings as the network's input, and what it did."""
    x = np.stack([recordings.frames(i) for i in positions])
    if network.input_shape[1:] == (1, 1):  # a row of neurons as an input layer says it
        x = x.reshape(len(x), *network.input_shape, x.shape[-1])
    if network.description.layers[network.layer_indices[0]].type == "input":
        x = network.encode(x)
    return x, network.run(x)


def _progress(done: int, number: int) -> None:
    """A line that counts, on a terminal and while there is something to wait for."""
    if sys.stderr.isatty() and number > 10 * _MOST:
        end = "\r" if done < number else "\r\033[K"
        print(f"{done:,} of {number:,} recordings", end=end, file=sys.stderr, flush=True)


def later_neurons(network: Network) -> str:
    """The neurons that the first Loihi does not have."""
    layers = (network.description.layers[index] for index in network.layer_indices)
    kinds = {str(layer.neuron["type"]) for layer in layers if layer.neuron is not None}
    kinds -= {"CUBA", "LOIHI"}
    return f"Neurons of type {' and '.join(sorted(kinds))}" if kinds else ""


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "recording"), plural(2000, "recording")
        ('1 recording', '2,000 recordings')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def wilson(right: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score.

    Example:
        >>> [round(share, 3) for share in wilson(98, 100)]
        [0.93, 0.994]
    """
    z = 1.959964
    middle = right + z * z / 2
    half = z * math.sqrt(right * (number - right) / number + z * z / 4)
    return (middle - half) / (number + z * z), (middle + half) / (number + z * z)
