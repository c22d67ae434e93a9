"""What is wrong with a folder of event files, or with one file."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slayerloss._check import FormatError
from slayerloss._finding import Finding
from slayerloss._path import check_path
from slayerloss.data._near import did_you_mean
from slayerloss.data.nmnist import CLASSES, SENSOR
from slayerloss.io import SUFFIXES, Event, read

_SPLITS = {"Train": 60_000, "Test": 10_000}  # recordings of the complete N-MNIST
_OXFORD = ("input.bs1", "output.bs1")
_SEVERITIES = ("error", "warning", "note")


def check(path: str | os.PathLike[str]) -> list[Finding]:
    """Look through a folder of event files, or one file.

    A folder with `Train` or `Test` in it is checked as N-MNIST: its class folders, coordinates below 34, class counts,
    the same recording twice. Any other folder is checked file by file; where it is no dataset's, this is said.

    Args:
        path: a folder or an event file.

    Returns:
        Findings, errors first, then warnings, then notes; empty if there is nothing to say.

    Raises:
        DtypeError: `path` is no path.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "a.bin")
        >>> _ = file.write_bytes(b"1234567")
        >>> print(check(file)[0])
        error: ...a.bin: read_2d_spikes: '...a.bin' is truncated; expected 5 bytes for each event, got 7 bytes.
    """
    path = Path(check_path("check", "path", path))
    if path.is_file():
        findings = list(_check_file(path, "error"))
    elif path.is_dir():
        findings = list(_check_folder(path))
    else:
        findings = [
            Finding("error", str(path), "there is no such file or folder", did_you_mean(path, *_SPLITS, *_OXFORD))
        ]
    return sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity))


def _check_folder(folder: Path) -> Iterator[Finding]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    recordings = [file for file in files if file.suffix.lower() in SUFFIXES]
    nmnist = any((folder / split).is_dir() for split in _SPLITS)
    if nmnist:
        for split in _SPLITS:
            yield from _check_split(folder / split, [file for file in recordings if folder / split in file.parents])
    if not recordings:
        way_out = did_you_mean(folder, *_SPLITS, *_OXFORD) or f"Event files end in {', '.join(SUFFIXES)}"
        yield Finding("error", str(folder), "it holds no event files", way_out)
    elif not nmnist and not any((folder / name).exists() for name in _OXFORD):
        near = did_you_mean(folder, *_SPLITS, *_OXFORD)
        counts = Counter(file.suffix.lower() for file in recordings)
        held = ", ".join(f"{number} {suffix}" for suffix, number in sorted(counts.items()))
        rule = f"neither NMNIST's ({' and '.join(_SPLITS)}) nor Oxford's ({' and '.join(_OXFORD)})"
        yield Finding("warning" if near else "note", str(folder), f"the folder of {held} is {rule}", near)
    first_with: dict[bytes, Path] = {}
    for file in files:
        findings = list(_check_file(file, "warning", SENSOR if nmnist else None))
        yield from findings
        readable = file.suffix.lower() in SUFFIXES and not any(finding.severity == "error" for finding in findings)
        if readable and file.stat().st_size:
            first = first_with.setdefault(hashlib.sha256(file.read_bytes()).digest(), file)
            if first != file:
                yield Finding("warning", str(file), f"it is the same recording as {first}")


def _check_split(split: Path, recordings: list[Path]) -> Iterator[Finding]:
    """The class folders of N-MNIST's `Train` or `Test`."""
    if not split.is_dir():
        yield Finding("warning", str(split), "the folder is missing", "NMNIST can use the other split only")
        return
    for entry in sorted(split.iterdir()):
        if entry.is_dir() and entry.name not in CLASSES:
            yield Finding("warning", str(entry), "it is no class folder and is not used", "Classes are named 0 to 9")
    counts = Counter(file.parent.name for file in recordings if file.suffix == ".bin" and file.parent.parent == split)
    missing = [name for name in CLASSES if not counts[name]]
    if missing:
        yield Finding("warning", str(split), f"there are no recordings of class {', '.join(missing)}")
    classes = ", ".join(f"{name}: {counts[name]}" for name in CLASSES)
    total, complete = sum(counts[name] for name in CLASSES), _SPLITS[split.name]
    yield Finding("note", str(split), f"{total} of N-MNIST's {complete} recordings ({classes})")


def _check_file(file: Path, foreign: str, sensor: int | None = None) -> Iterator[Finding]:
    """What is wrong with a file; `foreign` is how severe it is that it is no event file."""
    if file.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        yield Finding(foreign, str(file), "it is no event file and is not used", f"Event files end in {known}")
        return
    try:
        event = read(file)
    except (FormatError, OSError) as error:
        yield Finding("error", str(file), str(error).rstrip("."))
        return
    yield from _check_event(file, event, sensor)


def _check_event(file: Path, event: Event, sensor: int | None) -> Iterator[Finding]:
    if len(event) == 0:
        yield Finding("warning", str(file), "the recording is empty")
        return
    if sensor is not None and event.y is not None:
        outside = int(np.count_nonzero((event.x >= sensor) | (event.y >= sensor)))
        if outside:
            reach = f"x to {event.x.max()}, y to {event.y.max()}"
            yield Finding("error", str(file), f"{outside} events lie outside of {sensor} x {sensor} pixels ({reach})")
    back = int(np.count_nonzero(np.diff(event.t) < 0))
    if back:
        way_out = "io.write(path, io.read(path).sorted()) puts it in order"
        yield Finding("warning", str(file), f"time steps back at {back} of {len(event)} events", way_out)
    if event.t.min() < 0:
        yield Finding("warning", str(file), f"events begin before time 0, at {event.t.min():g} ms")
