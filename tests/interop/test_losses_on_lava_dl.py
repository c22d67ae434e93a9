"""Losses against lava-dl itself, in an environment of its own, on random inputs over many configurations."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slayerloss import loss

# Reads a list of (name, arguments, spikes, target), writes a list of (value, gradient by the spikes).
ON_LAVA_DL = """
import pickle, sys
import torch
from lava.lib.dl import slayer
torch.set_num_threads(1)
results = []
with open(sys.argv[1], "rb") as file:
    cases = pickle.load(file)
for name, arguments, spikes, target in cases:
    spikes, target = torch.from_numpy(spikes).requires_grad_(), torch.from_numpy(target)
    if name == "SparsityEnforcer":
        enforcer = slayer.loss.SparsityEnforcer(**arguments)
        enforcer.append(spikes)
        enforcer.append(spikes[:, :1])
        value = enforcer.loss
    else:
        value = getattr(slayer.loss, name)(**arguments)(spikes, target)
    value.backward()
    results.append((value.item(), spikes.grad.numpy()))
with open(sys.argv[2], "wb") as file:
    pickle.dump(results, file)
"""


def random_case(seed: int) -> tuple[str, dict[str, Any], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    name = ("SpikeMax", "SpikeRate", "SpikeMoid", "SpikeTime", "SparsityEnforcer")[seed % 5]
    samples, classes, steps = (int(rng.integers(low, high)) for low, high in ((1, 6), (2, 12), (2, 60)))
    window = None if rng.random() < 0.4 else int(rng.integers(1, steps + 1))
    space = (classes,) if rng.random() < 0.7 else (classes, 2, 1)
    arguments: dict[str, Any] = {"reduction": str(rng.choice(["sum", "mean"])), "moving_window": window}
    spikes = rng.random((samples, *space, steps)) < rng.uniform(0.05, 0.8)
    neurons = int(np.prod(space))
    labels = rng.integers(neurons, size=(samples, steps) if window is not None and rng.random() < 0.7 else samples)
    target: np.ndarray = labels
    if name == "SpikeMax":
        arguments["mode"] = str(rng.choice(["probability", "softmax"]))
        spikes[..., :: window or steps] = True  # every class spikes in every window: else lava-dl is infinite
    elif name == "SpikeRate":
        arguments.update(true_rate=float(rng.random()), false_rate=float(rng.random()))
        if window is not None and labels.ndim == 1:  # lava-dl takes (N, T) only
            target = np.repeat(labels[:, None], steps, axis=1)
    elif name == "SpikeMoid":
        arguments.update(alpha=float(rng.uniform(0.1, 2)), theta=float(rng.uniform(-1, 1)))
        target = rng.random((samples, neurons, steps) if window is not None else (samples, neurons)).astype("float32")
    elif name == "SpikeTime":
        filter_order, length = int(rng.integers(1, 4)), int(rng.integers(1, 120))
        del arguments["moving_window"]
        arguments.update(time_constant=float(rng.uniform(0.5, 20)), length=length, filter_order=filter_order)
        target = (rng.random(spikes.shape) < 0.3).astype("float32")
    else:
        arguments = {"max_rate": float(rng.uniform(0, 0.5)), "lam": float(rng.uniform(0, 3))}
    return name, arguments, spikes.astype("float32"), target


@pytest.mark.lava
def test_values_and_gradients_are_those_of_lava_dl(lava_dl: Callable[..., None], tmp_path: Path) -> None:
    cases = [random_case(seed) for seed in range(300)]
    (tmp_path / "cases").write_bytes(pickle.dumps(cases))
    lava_dl("-c", ON_LAVA_DL, tmp_path / "cases", tmp_path / "results")
    results = pickle.loads((tmp_path / "results").read_bytes())
    assert len(results) == len(cases)
    for case, (expected, expected_gradient) in zip(cases, results, strict=True):
        name, arguments, array, target = case
        spikes = torch.from_numpy(array).requires_grad_()
        if name == "SparsityEnforcer":
            enforcer = loss.SparsityEnforcer(**arguments)
            enforcer.append(spikes)
            enforcer.append(spikes[:, :1])
            value = enforcer.loss
        else:
            value = getattr(loss, name)(**arguments)(spikes, torch.from_numpy(target))
        value.backward()
        assert np.isfinite(expected), case
        assert value.item() == pytest.approx(expected, rel=1e-6, abs=1e-6), (name, arguments)
        assert spikes.grad is not None
        scale = np.abs(expected_gradient).max()
        np.testing.assert_allclose(spikes.grad.numpy(), expected_gradient, rtol=1e-4, atol=1e-5 * scale + 1e-9)
