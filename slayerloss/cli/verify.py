"""`slayerloss verify`: does a network file do what was trained, spike by spike?"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slayerloss._check import ArgumentError, FormatError, ShapeError, SlayerError, message
from slayerloss._path import check_file_to_read
from slayerloss.cli._parser import Parser
from slayerloss.cli.export import report

if TYPE_CHECKING:
    from slayerloss.train import Network, Recipe

_BATCH = 16  # event files that run at once

_DESCRIPTION = """Run a network file in integers on the test recordings, beside the trained network, and compare every
spike of every layer from the first step on. The first spike that only one of the two has is named, with the states of
both around it. Exit status 0 if they are the same, 1 if anything differs or a layer was silent."""


def main(arguments: Sequence[str]) -> int:
    """Verify; see `slayerloss verify --help`."""
    parser = Parser("slayerloss verify", _DESCRIPTION)
    text = "folder of the run, as slayerloss fit made it, or one of its checkpoints"
    parser.add_argument("trained", metavar="RUN_OR_CHECKPOINT", help=text)
    parser.add_argument("file", metavar="NETWORK", nargs="?", help="network file (default: RUN/network.net)")
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which of the run (default: best)")
    text = (
        "where the recordings are, if not where the recipe says: in the layout of its dataset, or event files, or one"
    )
    parser.add_argument("--data", "--root", metavar="DIR", dest="data", help=text)
    options = parser.parse_args(arguments)
    from slayerloss import netx
    from slayerloss.netx.compare import UnlikeError
    from slayerloss.netx.isolated import read_isolated

    if options.file is not None:
        check_file_to_read("verify", options.file)
    recipe, network, folder = _trained(options)
    description = read_isolated(_file(options, folder))
    source, batches = _recordings(recipe, options.data)
    try:
        comparison = netx.compare(network, description, batches)
    except UnlikeError as error:
        print(f"{description.source} cannot match: {str(error).removeprefix('compare: ')}")
        print("The file does not do what the trained network does.")
        return 1
    except ShapeError as error:
        problem, got = f"{source.splitlines()[0]} do not fit the trained network", str(error).rstrip(".")
        raise ShapeError(message("verify", problem, "recordings as those of its recipe", got)) from None
    print(f"{description.source} on {source}")
    status = report(comparison)
    if status == 0:
        layers = zip(comparison.layers, comparison.events, strict=True)
        spikes = sum(count for name, count in layers if name not in comparison.readouts)
        print(f"The file does what the trained network does: {spikes:,} spikes, none differs.")
    return status


def _trained(options: argparse.Namespace) -> tuple[Recipe, Network, Path | None]:
    """The recipe and the network of a run or a checkpoint, and the folder of the run, if there is one."""
    from slayerloss.train import Run

    path = Path(options.trained)
    if path.is_dir() or not path.exists():
        run = Run.open(path)
        return run.recipe, run.network(options.checkpoint or "best"), path
    check_file_to_read("verify", path)
    if _is_hdf5(path):
        name = options.file if options.file is not None and not _is_hdf5(Path(options.file)) else None
        folder = name or (path.parent if (path.parent / "recipe.yaml").is_file() else "RUN")
        problem, rule = f"'{path}' is a network file", "a run or a checkpoint, and then the network file"
        way_out = f"slayerloss verify {folder} {path} compares it"
        raise ArgumentError(message("verify", problem, rule, "it first" if options.file else "it alone", way_out))
    if options.checkpoint is not None:
        way_out = "Name the run, or leave --checkpoint out"
        problem = "--checkpoint does not go with a checkpoint"
        raise ArgumentError(message("verify", problem, "one of them", f"'{path}'", way_out))
    recipe, network = _of_checkpoint(path)
    return recipe, network, path.parent.parent if path.parent.name == "checkpoints" else None


def _is_hdf5(path: Path) -> bool:
    """Whether a file is one of HDF5 by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _of_checkpoint(path: Path) -> tuple[Recipe, Network]:
    from slayerloss.train.build import build
    from slayerloss.train.checkpoint import load_parameters, read_checkpoint
    from slayerloss.train.recipe import from_plain

    checkpoint = read_checkpoint(path)
    if "recipe" not in checkpoint:
        way_out = "Name its run"
        raise FormatError(message("verify", f"'{path}' does not say its recipe", "recipe", "none", way_out))
    recipe = from_plain(checkpoint["recipe"])
    network = build(recipe)
    load_parameters(network, checkpoint, path, "network.")
    return recipe, network.eval()


def _file(options: argparse.Namespace, folder: Path | None) -> Path:
    if options.file is not None:
        return Path(options.file)
    if folder is None or not (folder / "network.net").is_file():
        got = "a checkpoint outside of a run" if folder is None else f"no '{folder / 'network.net'}'"
        way_out = "" if folder is None else f"slayerloss export {folder} makes one"
        raise ArgumentError(message("verify", "no network file is named", "NETWORK", got, way_out))
    return folder / "network.net"


def _recordings(recipe: Recipe, folder: str | None) -> tuple[str, Iterable[Any]]:
    """What to run both on: in words, and in batches that begin with the events."""
    from slayerloss.train import build_data

    if folder is None:
        return f"the test recordings of the recipe ({recipe.data.type})", build_data(recipe.data).test_dataloader()
    try:
        data = build_data(dataclasses.replace(recipe.data, root=folder))
        return f"the test recordings in '{folder}' ({recipe.data.type})", data.test_dataloader()
    except SlayerError:
        if "." in recipe.data.type:  # a dataset of the user's own, whose files nobody else knows
            raise
    return _event_files(recipe, folder)


def _event_files(recipe: Recipe, folder: str) -> tuple[str, Iterable[Any]]:
    """The event files of a folder, in steps as those of the recipe."""
    from slayerloss.cli import _recordings

    shape = tuple(recipe.network.input_shape or ())
    try:
        found = _recordings.of_folder(Path(folder), shape, recipe.data.num_steps, recipe.data.step_ms)
    except FormatError as error:
        raise FormatError(str(error).replace("simulate: ", "verify: ", 1)) from None

    def frames(position: int) -> Any:
        try:
            return found.frames(position)
        except FormatError as error:
            if "does not fit the network" not in str(error):
                raise
            problem, rule = f"'{found.names[position]}' does not fit the network", f"events on {shape}"
            raise FormatError(message("verify", problem, rule, "others")) from None

    def batches() -> Iterator[Any]:
        import torch

        for start in range(0, len(found), _BATCH):
            some = range(start, min(start + _BATCH, len(found)))
            yield torch.from_numpy(np.stack([frames(i) for i in some])).float()

    files = f"{len(found):,} event files of" if len(found) > 1 else "1 event file of"
    return "\n".join([f"{files} '{found.source}'", *found.notes]), batches()
