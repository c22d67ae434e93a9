"""Events against lava-dl itself, in an environment of its own: binning, conversion and files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from slayerloss import io
from slayerloss.io import Event

# Reads a list of (recording, shape, sampling time, path to write to); writes what lava-dl makes of each.
ON_LAVA_DL = """
import pickle, sys
import numpy as np
from lava.lib.dl import slayer
results = []
with open(sys.argv[1], "rb") as file:
    cases = pickle.load(file)
for columns, shape, sampling_time, path in cases:
    event = slayer.io.Event(*[None if column is None else column.copy() for column in columns])
    spikes = event.fill_tensor(np.zeros(shape), sampling_time=sampling_time)
    back = slayer.io.tensor_to_event(spikes[:, 0] if event.dim == 1 else spikes, sampling_time)
    if not event.graded:
        (slayer.io.encode_1d_spikes if event.dim == 1 else slayer.io.encode_2d_spikes)(path, event)
    results.append((spikes, back.x, back.c, back.t, back.p))
with open(sys.argv[2], "wb") as file:
    pickle.dump(results, file)
"""


def random_case(seed: int, folder: Path) -> tuple[tuple[np.ndarray | None, ...], tuple[int, ...], float, str]:
    """Events of which some lie outside of the tensor; channel 0 is there, and no bin twice where lava-dl miscounts."""
    rng = np.random.default_rng(seed)
    number, flat, graded = 200, seed % 2 == 0, seed % 3 == 0
    x, y = rng.integers(0, 12, number), None if flat else rng.integers(0, 12, number)
    c = rng.integers(0, 2, number)
    t = np.round(rng.uniform(0, 40, number), 3)
    t[:20] = rng.integers(0, 80, 20) / 2  # halves, where rounding matters
    payload = None
    if graded:
        t, payload = np.arange(number) / 5, rng.integers(1, 9, number)
        x = np.arange(number) % 12
    suffix = ".bs1" if flat else ".bs2"
    shape = (2, 1 if flat else 10, 10, 30)
    return (x, y, c, t, payload), shape, float(rng.choice([0.5, 1.0, 2.0])), str(folder / f"{seed}{suffix}")


@pytest.mark.lava
def test_binning_conversion_and_files(lava_dl, tmp_path):
    cases = [random_case(seed, tmp_path) for seed in range(40)]
    (tmp_path / "cases").write_bytes(pickle.dumps(cases))
    lava_dl("-c", ON_LAVA_DL, tmp_path / "cases", tmp_path / "results")
    results = pickle.loads((tmp_path / "results").read_bytes())

    for (columns, shape, sampling_time, path), (spikes, x, c, t, payload) in zip(cases, results, strict=True):
        event = Event(*columns)
        assert spikes.any()
        np.testing.assert_array_equal(event.fill_tensor(np.zeros(shape), sampling_time), spikes)
        back = io.tensor_to_event(spikes[:, 0] if event.dim == 1 else spikes, sampling_time)
        for ours, theirs in ((back.x, x), (back.c, c), (back.t, t), (back.p, payload)):
            np.testing.assert_array_equal(ours, theirs)
        if not event.graded:
            written = Path(path).read_bytes()
            io.write(path, event)
            assert Path(path).read_bytes() == written


@pytest.mark.lava
def test_recordings_of_nmnist(lava_dl, tmp_path, shared):
    program = (
        "import sys, numpy as np\n"
        "from lava.lib.dl import slayer\n"
        "frames = [slayer.io.read_2d_spikes(path).fill_tensor(np.zeros((2, 34, 34, 300))) for path in sys.argv[2:]]\n"
        "np.savez_compressed(sys.argv[1], frames=np.array(frames, np.uint8))\n"
    )
    files = sorted((shared / "data" / "NMNIST" / "Test").rglob("*.bin"))[::5]
    lava_dl("-c", program, tmp_path / "a.npz", *files)
    for path, frames in zip(files, np.load(tmp_path / "a.npz")["frames"], strict=True):
        event = io.read(path)
        np.testing.assert_array_equal(event.fill_tensor(np.zeros((2, 34, 34, 300), np.uint8)), frames)
        np.testing.assert_array_equal(io.to_frames(event, (2, 34, 34), 300, rounding="nearest"), frames)
