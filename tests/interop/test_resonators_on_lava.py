"""Trained resonators, exported, on real Lava: the same spikes and the same integers in every state."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import Sequential

from slayerloss import netx
from slayerloss.block import cuba, rf, rf_iz
from slayerloss.netx.runtime import resonate

pytestmark = pytest.mark.lava

SIZES = (14, 11, 9, 6)


def network(seed: int, per_channel: bool) -> Sequential:
    """Blocks of both kinds with any periods and decays."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    blocks = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(SIZES)):
        period, decay = random.uniform(4, 60), random.choice([0.0, random.uniform(0, 0.4)])
        params = {
            "threshold": random.uniform(0.1, 0.8),
            "period": (period, period + random.uniform(1, 40)) if per_channel else period,
            "decay": (decay, decay + 0.1) if per_channel else decay,
            "shared_param": not per_channel,
            "log_init": bool(seed % 2),
        }
        namespace = (rf, rf_iz)[(seed + number) % 2]
        blocks.append(namespace.Dense(params, inputs, outputs, weight_scale=3, weight_norm=bool(seed % 2)))
    return Sequential(*blocks).eval()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
@pytest.mark.parametrize("per_channel", [False, True])
def test_lava_runs_the_trained_integers(run_on_lava, tmp_path, seed, per_channel, monkeypatch):
    model = network(seed, per_channel)
    x = (torch.rand(1, SIZES[0], 120) < 0.35).float()
    path = tmp_path / "network.net"
    with torch.no_grad():
        spikes = [x]
        for block in model:
            spikes.append(block(spikes[-1]))
    assert netx.export(model, path) == []
    assert spikes[1].any()
    lava = run_on_lava(path, x[0].numpy().astype(int))
    for arctan2 in (resonate.arctan2, math.atan2):  # with AVX512 and without
        monkeypatch.setattr(resonate, "arctan2", arctan2)
        resonate._turn.cache_clear()
        ours = netx.Network(path).run(x.numpy().astype(int), states=True)
        for number, block in enumerate(model):
            states = block.chip_states(spikes[number])
            np.testing.assert_array_equal(lava[number]["spikes"], spikes[number + 1][0].numpy())
            np.testing.assert_array_equal(ours.spikes[number][0], lava[number]["spikes"])
            for name in ("real", "imag"):
                np.testing.assert_array_equal(lava[number][name], states[name][0].numpy())
                np.testing.assert_array_equal(ours.states[number][name][0], lava[number][name])
    resonate._turn.cache_clear()
    assert netx.compare(model, path, x).identical
    again = netx.to_torch(path).eval()
    assert torch.equal(again(x), spikes[-1])


@pytest.mark.parametrize("kind", [rf, rf_iz])
def test_a_readout_is_lavas_imaginary_state(run_on_lava, tmp_path, kind):
    torch.manual_seed(1)
    params = {"threshold": 0.3, "period": 9.0, "decay": 0.1}
    model = Sequential(kind.Dense(params, 8, 6, weight_scale=3), kind.Affine(params, 6, 3, delay_shift=True)).eval()
    x = (torch.rand(1, 8, 60) < 0.4).float()
    y = model(x)
    path = tmp_path / "network.net"
    netx.export(model, path)
    lava = run_on_lava(path, x[0].numpy().astype(int))
    np.testing.assert_array_equal(lava[-1]["imag"], (y[0] * 4096).detach().numpy())
    assert lava[0]["spikes"].any()
    assert not lava[-1]["spikes"].any()
    assert netx.compare(model, path, x).identical
    assert torch.equal(netx.to_torch(path).eval()(x), y)


def test_resonators_among_other_neurons(run_on_lava, tmp_path):
    torch.manual_seed(2)
    turn = {"threshold": 0.3, "period": (5, 20), "decay": (0.0, 0.1), "shared_param": False}
    leaky = {"threshold": 0.5, "current_decay": 0.5, "voltage_decay": 0.1}
    blocks = [
        cuba.Dense(leaky, 10, 8, weight_scale=3, delay=True),
        rf.Dense(turn, 8, 7, weight_scale=3),
        cuba.Dense(leaky, 7, 6, weight_scale=3),
        rf_iz.Dense(turn, 6, 5, weight_scale=3),
    ]
    model = Sequential(*blocks).eval()
    x = (torch.rand(1, 10, 100) < 0.4).float()
    y = model(x)
    path = tmp_path / "network.net"
    netx.export(model, path)
    lava = run_on_lava(path, x[0].numpy().astype(int))
    np.testing.assert_array_equal(lava[-1]["spikes"], y[0].detach().numpy())
    assert all(layer["spikes"].any() for layer in lava)
    assert netx.compare(model, path, x).identical
