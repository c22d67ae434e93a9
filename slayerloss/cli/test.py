"""`slayerloss test`: measure a run on its test recordings."""

from __future__ import annotations

from collections.abc import Sequence

from slayerloss._path import check_file_to_write
from slayerloss.cli._parser import Parser, add_run, open_run, print_files, print_results


def main(arguments: Sequence[str]) -> int:
    """Measure; see `slayerloss test --help`."""
    parser = Parser("slayerloss test", "Measure a run on its test recordings; the results are also in RUN/test.json.")
    add_run(parser)
    options = parser.parse_args(arguments)
    run = open_run(options)
    check_file_to_write("test", run.folder / "test.json")
    print_results(run.test(options.checkpoint))
    print_files(results=run.folder / "test.json")
    return 0
