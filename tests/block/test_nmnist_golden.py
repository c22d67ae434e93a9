"""A trained N-MNIST network of lava-dl, spike counts of its recordings."""

from __future__ import annotations

import numpy as np
import torch

from slayerloss.block import cuba

RECORDINGS = 100
BATCH = 25


def frames(path) -> torch.Tensor:
    """A recording as (2312, 300): nearest millisecond, at most one spike per bin, flattened (p, y, x)."""
    raw = np.fromfile(path, dtype=np.uint8).reshape(-1, 5).astype(np.int64)
    x, y, polarity = raw[:, 0], raw[:, 1], raw[:, 2] >> 7
    step = np.round((((raw[:, 2] & 127) << 16) + (raw[:, 3] << 8) + raw[:, 4]) / 1000).astype(np.int64)
    image = np.zeros((2, 34, 34, 300), dtype=np.float32)
    inside = step < 300
    image[polarity[inside], y[inside], x[inside], step[inside]] = 1
    return torch.from_numpy(image.reshape(2312, 300))


def test_counts_of_the_recordings(shared):
    golden = np.load(shared / "golden/slayer/nmnist_full.npz")
    neuron = {
        "threshold": int(golden["vThMant"]) / 64,
        "current_decay": int(golden["iDecay"]) / 4096,
        "voltage_decay": int(golden["vDecay"]) / 4096,
    }
    network = torch.nn.Sequential(cuba.Dense(neuron, 2312, 512), cuba.Dense(neuron, 512, 10))
    for i, block in enumerate(network):
        block.synapse.weight.data = torch.from_numpy(golden[f"weight_{i}"] / 64).float()[..., None, None, None]

    files = {int(path.stem): path for path in sorted((shared / "data/NMNIST").rglob("*.bin"))}
    chosen = np.linspace(0, len(golden["ids"]) - 1, RECORDINGS).round().astype(int)  # both sets, all digits
    for rows in np.split(chosen, RECORDINGS // BATCH):
        events = torch.stack([frames(files[int(golden["ids"][row])]) for row in rows])
        with torch.no_grad():
            hidden = network[0](events)
            counts = network[1](hidden).sum(-1)
        assert torch.equal(hidden.sum((1, 2)).int(), torch.tensor(golden["hidden_total"][rows]).int())
        assert torch.equal(counts.int(), torch.tensor(golden["counts"][rows]))
