"""`slayerloss simulate`: run a network file on recordings, and say what it does and takes."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slayerloss._check import ArgumentError, check_installed, check_integer, check_range, message
from slayerloss._path import check_folder_to_write
from slayerloss.cli._parser import Parser, print_files

if TYPE_CHECKING:
    from slayerloss.cli._recordings import Recordings
    from slayerloss.netx import Description, Network, Operations, Recording

_DESCRIPTION = """Run a network file in integers on recordings: accuracy; events, rates and synaptic operations of each
layer; an estimate of the energy on Loihi.

  slayerloss simulate network.net --data NMNIST --steps 300    # event files in DIR/Test/CLASS, DIR/CLASS or DIR
  slayerloss simulate runs/nmnist/network.net                  # on the test recordings of the run that it lies in"""

_BATCH_BYTES = 1 << 26  # of what a batch sends
_MOST = 32  # recordings of a batch


def main(arguments: Sequence[str]) -> int:
    """Simulate; see `slayerloss simulate --help`."""
    parser = Parser("slayerloss simulate", _DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="network file")
    text = "folder of event files, or digits, the embedded ones; with a run, in the place of the recipe's data.root"
    parser.add_argument("--data", metavar="DIR", help=text)
    text = "take recordings, steps and decision of this run (default: the run in whose folder FILE lies, if it does)"
    parser.add_argument("--run", metavar="RUN", help=text)
    text = "time steps of a recording (default: those of the run, or up to the last event of the longest)"
    parser.add_argument("--steps", metavar="T", type=int, help=text)
    parser.add_argument("--step-ms", metavar="MS", type=float, help="width of a step (default: that of the run, or 1)")
    text = "size of the camera, such as 2,34,34, where the file does not say it; or number of neurons"
    parser.add_argument("--sensor", metavar="C,H,W", help=text)
    parser.add_argument("--limit", metavar="N", type=int, help="run on N recordings, evenly chosen (default: all)")
    text = "lava: bit for bit as Lava runs the file; ideal: what the file says (default: lava)"
    parser.add_argument("--arithmetic", choices=("lava", "ideal"), default="lava", help=text)
    parser.add_argument("--plots", metavar="DIR", help="write figures and a page that shows them into this folder")
    options = parser.parse_args(arguments)
    _check(options)

    from slayerloss import netx
    from slayerloss.cli.check import summary
    from slayerloss.netx.isolated import read_isolated

    description = read_isolated(options.file)
    findings = [finding for finding in netx.check(description) if finding.severity != "note"]
    network, recordings = prepare(description, options)
    result = simulate(network, recordings)
    print(f"{options.file} on {plural(len(recordings), 'recording')} of {recordings.source}")
    how = "bit for bit as Lava" if options.arithmetic == "lava" else "as the file says, without what Lava adds"
    print(f"{plural(recordings.num_steps, 'step')} of {recordings.step_ms:g} ms, {how}")
    if findings:
        print(f"slayerloss check {options.file} finds {summary(findings)}")
    print("\n" + "\n\n".join(result.words()))
    later = later_neurons(network)
    if later:
        print(f"  {later} need Loihi 2; the figures are those of the first.")
    if options.plots:
        from slayerloss.cli import simulate_plots

        print()
        print_files(page=simulate_plots.draw(Path(options.plots), network, recordings, result, Path(options.file).name))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is read."""
    for name in ("steps", "limit"):
        if getattr(options, name) is not None:
            check_integer("simulate", f"--{name}", getattr(options, name), 1)
    if options.step_ms is not None:
        check_range("simulate", "--step-ms", options.step_ms, 0, low_open=True)
    if options.plots:
        check_installed("slayerloss simulate --plots", "matplotlib", "plot")
        check_folder_to_write("simulate", options.plots)


def prepare(description: Description, options: argparse.Namespace) -> tuple[Network, Recordings]:
    """The network and what it runs on, each of which may say the shape of the input."""
    from slayerloss.cli import _recordings
    from slayerloss.netx import Network

    def make(shape: Sequence[int] | None, bits: int = 0) -> Network:
        first = description.layers[0].type if description.layers else ""
        image = None
        if shape is not None and len(shape) == 3 and first == "conv":
            channels, height, width = shape
            image = width, height, channels
        return Network(description, input_shape=image, input_message_bits=bits, arithmetic=options.arithmetic)

    sensor = _sensor(options.sensor)
    folder = _run_folder(options)
    if folder is None and options.data is None:
        way_out = "--data DIR is a folder of event files, --run RUN a run of slayerloss fit"
        raise ArgumentError(message("simulate", "there are no recordings", "--data or --run", "neither", way_out))
    if folder is not None:
        from slayerloss.train import Run

        run = Run.open(folder)
        if options.data is not None:
            run.recipe.data.root = options.data
        recordings = _recordings.of_run(run, options.steps, options.step_ms)
        network = make(recordings.frames(0).shape[:-1], recordings.bits)
    elif options.data == "digits" and not Path("digits").exists():
        recordings = _recordings.of_digits(options.steps, options.step_ms)
        network = make(recordings.frames(0).shape[:-1])
    else:
        sensor = sensor or _said(description)
        if sensor is None and description.layers and description.layers[0].type == "conv":
            problem, way_out = "the file does not say the size of its input", "Give it, such as --sensor 2,34,34"
            raise ArgumentError(message("simulate", problem, "--sensor C,H,W", "none", way_out))
        network = make(sensor)
        sensor = sensor or network.input_shape
        recordings = _recordings.of_folder(Path(options.data), sensor, options.steps, options.step_ms)
    outputs = math.prod(network.shapes[-1])
    if recordings.labels is not None and recordings.labels.max() >= outputs:
        rule = f"at least {recordings.labels.max() + 1}, one for each class of the recordings"
        way_out = "Folders named by numbers are the classes of these numbers, from 0 on"
        raise ArgumentError(message("simulate", "the network has too few outputs", rule, outputs, way_out))
    return network, recordings if options.limit is None else _recordings.some(recordings, options.limit)


def _run_folder(options: argparse.Namespace) -> Path | None:
    """The run that was named, or in whose folder the file lies."""
    if options.run is not None:
        return Path(options.run)
    folder = Path(options.file).parent
    return folder if all((folder / name).is_file() for name in ("recipe.yaml", "versions.json")) else None


def _sensor(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    sizes = text.split(",")
    if len(sizes) not in (1, 3) or not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
        raise ArgumentError(message("simulate", "--sensor is no size", "C,H,W such as 2,34,34, or N", repr(text)))
    return tuple(int(size) for size in sizes)


def _said(description: Description) -> tuple[int, ...] | None:
    """The shape that an input layer says."""
    first = description.layers[0] if description.layers else None
    if first is None or first.type != "input":
        return None
    shape = first.shape
    return shape[:1] if shape[1:] == (1, 1) else shape


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
