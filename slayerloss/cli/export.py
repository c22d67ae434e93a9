"""`slayerloss export`: write the network of a run as a file for Loihi."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slayerloss._path import check_file_to_write
from slayerloss.cli._parser import Parser, add_run, open_run, print_files
from slayerloss.io import replacing

if TYPE_CHECKING:
    from slayerloss.netx import Comparison
    from slayerloss.train import Run


def main(arguments: Sequence[str]) -> int:
    """Export; see `slayerloss export --help`."""
    parser = Parser("slayerloss export", "Write the trained network of a run as a file that Loihi's tools load.")
    add_run(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="the file (default: RUN/network.net)")
    text = "run the file in integers on the test recordings, and compare every spike with the trained network"
    parser.add_argument("--check", action="store_true", help=text)
    options = parser.parse_args(arguments)
    run = open_run(options)
    path = Path(options.output or run.folder / "network.net")
    check_file_to_write("export", options.output or path)
    status = 0
    with replacing(path) as unchecked:  # what cannot be checked leaves no file
        write(run, unchecked, options.checkpoint)
        if options.check:
            status = report(check(run, unchecked, options.checkpoint))
    print_files(network=path)
    return status


def write(run: Run, path: Path, checkpoint: str = "best") -> None:
    """Write the file and print what there is to say about it."""
    from slayerloss import netx

    findings = netx.export(run.network(checkpoint), path, run.recipe.network.input_shape)
    print(netx.inspect(path))
    for finding in findings:
        print(finding)


def check(run: Run, path: Path, checkpoint: str = "best") -> Comparison:
    """Run the file on the test recordings beside the trained network."""
    from slayerloss import netx

    return netx.compare(run.network(checkpoint), path, run.data().test_dataloader())


def report(comparison: Comparison) -> int:
    """Print a comparison; the exit status is 1 unless every layer has spiked and no spike differs."""
    print(comparison)
    if not comparison.identical:
        print("The file does not do what the trained network does.")
    if comparison.silent:
        print(f"Nothing is shown about {', '.join(comparison.silent)}: no spike at all.")
    return int(not comparison.identical or bool(comparison.silent))
