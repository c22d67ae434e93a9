"""`slayerloss migrate`: turn a checkpoint of lava-dl into a state dict that slayerloss's networks load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slayerloss._check import FileError, message
from slayerloss._path import check_file_to_read, check_file_to_write
from slayerloss.cli._parser import Parser, print_files
from slayerloss.io import replacing

if TYPE_CHECKING:
    from slayerloss.block._migrate import Entry, Migration

_DESCRIPTION = """Turn the parameters that a network of lava-dl saved into a state dict that the same network of
slayerloss loads with load_state_dict. A line a key: what was converted, kept, or left out, and why."""


def main(arguments: Sequence[str]) -> int:
    """Migrate; see `slayerloss migrate --help`."""
    parser = Parser("slayerloss migrate", _DESCRIPTION)
    text = "what torch.save wrote: a state dict of lava-dl, or a dictionary that holds one"
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=text)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the file with the new state dict")
    options = parser.parse_args(arguments)
    checkpoint, path = Path(options.checkpoint), Path(options.output)
    check_file_to_read("migrate", checkpoint)
    check_file_to_write("migrate", options.output)
    if path.exists() and path.samefile(checkpoint):
        problem = f"'{path}' would replace the checkpoint itself"
        raise FileError(message("migrate", problem, "another file", "the same file"))
    import torch

    from slayerloss.block._migrate import migrate, read

    migration = migrate(read(checkpoint))
    with replacing(path) as temporary:
        torch.save(migration.state, temporary)
    print(table(checkpoint, migration))
    print_files(state_dict=path)
    return 0


def table(checkpoint: Path, migration: Migration) -> str:
    """What became of every key, a line each, and how many of each."""
    entries = migration.entries
    place = f" under {migration.place}" if migration.place else ""
    shapes = [_shape(entry) for entry in entries]
    widths = max(len(entry.key) for entry in entries), max(map(len, shapes))
    prefix = f", without the {migration.prefix!r} of DataParallel" if migration.prefix else ""
    lines = [f"{checkpoint}: state dict of lava-dl{place}{prefix}"]
    for entry, shape in zip(entries, shapes, strict=True):
        line = f"  {entry.key:{widths[0]}}  {shape:{widths[1]}}  {entry.fate:9}  {entry.note}"
        lines.append(line.rstrip())
    count = Counter(entry.fate for entry in entries)
    return "\n".join([*lines, ", ".join(f"{count[fate]} {fate}" for fate in ("converted", "kept", "left out"))])


def _shape(entry: Entry) -> str:
    return "" if entry.shape is None else str(entry.shape)
