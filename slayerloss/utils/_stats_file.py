"""The files `loss.txt` and `accuracy.txt`: a header `# Train Valid Test`, then one row of numbers per epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from slayerloss._check import FormatError, message
from slayerloss._path import check_file_to_read
from slayerloss.io import replacing

Log = list[float | None]
"""One value per epoch, None where there is none."""

STAGES = {"Train": "train", "Valid": "valid", "Test": "test"}
"""The name of a stage in a file, and in a plot."""

WIDTH = 24
"""Of a column, in characters: the longest number."""


def has_values(logs: Mapping[str, Log]) -> bool:
    """Whether any stage has a value in any epoch."""
    return any(value is not None for log in logs.values() for value in log)


def write_logs(path: str, logs: Mapping[str, Log]) -> None:
    """Write the stages that have any value; a missing one is written as nan."""
    columns = {name: log for name, log in logs.items() if has_values({name: log})}
    rows = zip(*columns.values(), strict=True)
    lines = ["# " + " ".join(f"{name:<{WIDTH}}" for name in columns).strip()]
    lines += [
        "  " + " ".join(f"{'nan' if x is None else repr(float(x)):<{WIDTH}}" for x in row).rstrip() for row in rows
    ]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_logs(losses: str, accuracies: str) -> tuple[dict[str, Log], dict[str, Log]]:
    """The logs of the two files, one value per epoch for each of the stages; the second file may be missing."""
    loss_logs = _read(losses)
    length = len(loss_logs["Train"])
    if not Path(accuracies).exists():
        return loss_logs, {name: [None] * length for name in STAGES}
    accuracy_logs = _read(accuracies)
    if len(accuracy_logs["Train"]) != length:
        rule, got = f"{length} epochs as in '{losses}'", len(accuracy_logs["Train"])
        raise FormatError(message("load", f"'{accuracies}' is of another training", rule, got))
    return loss_logs, accuracy_logs


def _read(path: str) -> dict[str, Log]:
    """The columns of a file, with None for what is not there."""
    check_file_to_read("load", path)
    first, *lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    names = first.lstrip("#").split()
    if not first.startswith("#") or not names or len(set(names)) < len(names) or not set(names) <= set(STAGES):
        rule = "a first line '# Train Valid Test' with one or more of the names"
        raise FormatError(message("load", f"'{path}' holds no statistics", rule, repr(first[:40])))
    columns: dict[str, Log] = {name: [] for name in names}
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        try:
            for name, word in zip(names, line.split(), strict=True):
                value = float(word)
                columns[name].append(None if math.isnan(value) else value)
        except ValueError:
            rule = f"{len(names)} numbers"
            raise FormatError(
                message("load", f"line {number} of '{path}' is no epoch", rule, repr(line[:40]))
            ) from None
    length = len(columns[names[0]])
    return {name: columns.get(name, [None] * length) for name in STAGES}
