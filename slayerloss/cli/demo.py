"""`slayerloss demo`: the whole path on the embedded digits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slayerloss._check import check_installed
from slayerloss.cli._parser import Parser, free_folder, print_files, print_results, what_is_left

if TYPE_CHECKING:
    from slayerloss.train import Run

_DESCRIPTION = """Train on the embedded handwritten digits, as a simulated event camera sees them; draw the figures;
export the network; and run the exported file in integers on the test recordings, beside the trained network. No spike
may differ, and every layer must have spiked; otherwise the exit status is 1."""

_QUICK = ("--trainer.max_epochs=5", "--data.limit=500")


def main(arguments: Sequence[str]) -> int:
    """Demonstrate; see `slayerloss demo --help`."""
    parser = Parser("slayerloss demo", _DESCRIPTION)
    parser.add_argument("--quick", action="store_true", help="the same path in half a minute")
    parser.add_argument("--out", metavar="DIR", help="folder of the run; without it runs/demo, with a free number")
    options = parser.parse_args(arguments)
    for package, extra in (("lightning", "train"), ("matplotlib", "plot")):
        check_installed("slayerloss demo", package, extra)

    from slayerloss import train

    began = time.monotonic()
    out = Path(options.out) if options.out else free_folder("demo")
    print("1. training")
    try:
        run = train.fit(train.read_recipe("digits", _QUICK if options.quick else ()), out, test=True)
    except KeyboardInterrupt:
        print(what_is_left(out))
        return 130
    try:
        status, files = _use(run)
    except KeyboardInterrupt:
        print(f"interrupted; the training is complete: slayerloss plot {out} and slayerloss export {out} --check go on")
        return 130
    print(f"\n{'done' if status == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s; it lies in")
    print_files(run=out, checkpoint=run.checkpoint(), **files)
    return status


def _use(run: Run) -> tuple[int, dict[str, Path]]:
    """What a trained run is for, one after the other; the exit status and the files."""
    from slayerloss.cli import export, plot

    print_results(run.results())
    print("\n2. figures")
    page = plot.draw(run, run.folder / "plots")
    print("\n3. export")
    network = run.folder / "network.net"
    export.write(run, network)
    print("\n4. the exported file, run in integers on the test recordings, beside the trained network")
    return export.report(export.check(run, network)), {"figures": page, "network_file": network}
