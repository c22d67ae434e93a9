"""What netx makes of network files, as data: called here, and run by Pythons that have numpy and h5py only.

usage: python numpy_only.py FOLDER RESULTS, with NAME.net and NAME.npz in the first; writes NAME.npz into the second
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from slayerloss import io, netx


def report(file: Path) -> dict[str, np.ndarray]:
    """Read, check, inspect, run and write a network.

    Args:
        file: the network file; beside it lies an npz file with the input `x` and the arguments of Network, `options`.

    Returns:
        Every result as an array.
    """
    with np.load(file.with_suffix(".npz")) as given:
        x, options = given["x"], json.loads(str(given["options"]))
    description = netx.read(file)
    results = {
        "check": [str(finding) for finding in netx.check(file)],
        "inspect": netx.inspect(file),
        "checksum": description.checksum(),
    }
    with tempfile.TemporaryDirectory() as folder:
        netx.write(Path(folder) / "copy.net", description)
        results["read what was written"] = str(netx.read(Path(folder) / "copy.net") == description)
    network = netx.Network(file, **options)
    recording = network.run(x, states=True)
    arrays = {name: np.array(value) for name, value in results.items()}
    for i, (spikes, states) in enumerate(zip(recording.spikes, recording.states or [], strict=True)):
        arrays |= {f"{i} {name}": values for name, values in {"spikes": spikes, **states}.items()}
    arrays["steps"] = np.stack([network.step(x[..., t]) for t in range(x.shape[-1])], axis=-1)
    return arrays


def try_events(folder: Path) -> None:
    """Event files too need numpy only."""
    event = io.Event([3, 4], [5, 5], [0, 1], [0.5, 2.0])
    for suffix in (".bin", ".npz", ".npy"):
        io.write(folder / f"event{suffix}", event)
        assert io.read(folder / f"event{suffix}").t.tolist() == [0.5, 2.0]
    frames = io.to_frames(event, (2, 6, 5), 4)
    assert frames.sum() == 2
    assert len(io.from_frames(frames)) == 2


def main() -> None:
    assert find_spec("torch") is None
    folder, results = map(Path, sys.argv[1:])
    for file in sorted(folder.glob("*.net")):
        np.savez(results / f"{file.stem}.npz", **report(file))
    try_events(results)


if __name__ == "__main__":
    main()
