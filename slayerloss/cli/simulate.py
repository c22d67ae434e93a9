"""`slayerloss simulate`: run a network file on recordings, and say what it does and takes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from slayerloss._check import (
    ArgumentError,
    FormatError,
    SlayerError,
    check_installed,
    check_integer,
    check_range,
    message,
)
from slayerloss._path import check_folder_to_write
from slayerloss.cli._parser import Parser, print_files

if TYPE_CHECKING:
    from slayerloss.cli._recordings import Recordings
    from slayerloss.netx import Description, Network

_DESCRIPTION = """Run a network file in integers on recordings: accuracy; events, rates and synaptic operations of each
layer; an estimate of the energy on Loihi. The exit status is 1 where `slayerloss check` finds an error in the file.

  slayerloss simulate network.net --data NMNIST --steps 300    # event files in DIR/Test/CLASS, DIR/CLASS or DIR
  slayerloss simulate runs/nmnist                              # its network.net, on its test recordings"""


def main(arguments: Sequence[str]) -> int:
    """Simulate; see `slayerloss simulate --help`."""
    parser = Parser("slayerloss simulate", _DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="network file, or a run with its network.net in it")
    text = "folder of event files, or one of them, or digits, the embedded ones; with a run, in the place of its own"
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
    _take_run(options)

    from slayerloss import netx
    from slayerloss.cli._simulation import later_neurons, plural, simulate
    from slayerloss.netx.isolated import read_isolated

    description = read_isolated(options.file)
    findings = [finding for finding in netx.check(options.file) if finding.severity != "note"]
    network, recordings = prepare(description, options)
    result = simulate(network, recordings)
    print(f"{options.file} on {plural(len(recordings), 'recording')} of {recordings.source}")
    how = "bit for bit as Lava" if options.arithmetic == "lava" else "as the file says, without what Lava adds"
    usual = " (the default: --step-ms)" if recordings.usual_step else ""
    print(f"{plural(recordings.num_steps, 'step')} of {recordings.step_ms:g} ms{usual}, {how}")
    for note in recordings.notes:
        print(note)
    for finding in findings:
        print(finding)
    print("\n" + "\n\n".join(result.words()))
    later = later_neurons(network)
    if later:
        print(f"  {later} need Loihi 2; the figures are those of the first.")
    if options.plots:
        from slayerloss.cli import simulate_plots

        name = Path(options.file).name
        page = simulate_plots.draw(Path(options.plots), network, recordings, result, name, findings)
        print()
        print_files(page=page)
    counted = [finding for finding in findings if finding.severity == "error"]
    if options.arithmetic == "ideal":  # what Lava makes of the file does not concern it
        counted = [finding for finding in counted if finding.scope == "file"]
    if counted:
        print(
            f"\n{plural(len(counted), 'error')} in the file, named above: these are not the numbers of a sound network"
        )
    return int(bool(counted))


def _take_run(options: argparse.Namespace) -> None:
    """Where a run is named in the place of a file, its network file."""
    folder = Path(options.file)
    if not folder.is_dir():
        return
    if not (folder / "network.net").is_file():
        got, way_out = f"no '{folder / 'network.net'}'", f"slayerloss export {folder} makes one"
        raise ArgumentError(message("simulate", "no network file is named", "FILE", got, way_out))
    options.file = str(folder / "network.net")


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
        try:
            network = Network(description, input_shape=image, input_message_bits=bits, arithmetic=options.arithmetic)
        except FormatError as error:
            text = str(error).removeprefix("Network: ")
            with suppress(SlayerError):
                Network(description, input_shape=image, arithmetic="ideal")
                text = f"{text} --arithmetic ideal runs it."
            raise FormatError(text) from None
        except ArgumentError:
            if first != "conv" or shape is None:
                raise
            raise _unfit(shape, "images that its conv layer can read") from None
        its = network.input_shape
        if shape is not None and tuple(shape) != its and (its[1:] not in ((), (1, 1)) or math.prod(shape) != its[0]):
            raise _unfit(shape, f"an input of {its}" if its[1:] not in ((), (1, 1)) else f"{its[0]:,} inputs")
        return network

    def _unfit(shape: Sequence[int], expected: str) -> ArgumentError:
        """An error that names what said the shape."""
        what = f"--sensor {options.sensor} does" if options.sensor is not None else "the recordings do"
        got = f"{math.prod(shape):,}, of {tuple(shape)}" if len(shape) > 1 else f"{shape[0]:,}"
        problem = f"{what} not fit the network of '{options.file}'"
        return ArgumentError(message("simulate", problem, expected, got))

    sensor = _sensor(options.sensor)
    folder = _run_folder(options)
    if folder is None and options.data is None:
        way_out = "--data DIR is a folder of event files, --run RUN a run of slayerloss fit"
        raise ArgumentError(message("simulate", "there are no recordings", "--data or --run", "neither", way_out))
    if folder is not None:
        from slayerloss.train import Run

        recordings = _recordings.of_run(Run.open(folder), options.steps, options.step_ms, options.data)
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
