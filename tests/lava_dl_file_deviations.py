"""Deviations of events and files from lava-dl; see test_lava_dl_deviations.py."""

from __future__ import annotations

import cProfile
import tempfile
from typing import Any

import numpy as np
import pytest
import torch
from lava_dl_defects import deviation

import slayerloss as slayer
from slayerloss.block import cuba

# Events


@deviation("an Event keeps its channels, and the caller's array", 71)
def _() -> None:
    """lava-dl subtracts the smallest channel, in place: a recording of ON events becomes one of OFF events."""
    channels = np.array([1, 1])
    event = slayer.io.Event(np.array([0, 1]), np.array([0, 1]), channels, np.array([0.0, 1.0]))
    assert event.c.tolist() == channels.tolist() == [1, 1]


@deviation("binning by SUM adds events of the same bin", 72)
def _() -> None:
    """lava-dl keeps one of them."""
    event = slayer.io.Event(np.array([0, 0]), np.array([0, 0]), np.array([0, 0]), np.array([2.0, 2.0]))
    assert event.fill_tensor(np.zeros((1, 1, 1, 5)), binning_mode="SUM").sum() == 2


@deviation("a tensor of one channel's spikes comes back through events, and so does one without any", "78a", "78b")
def _() -> None:
    """lava-dl's comes back with the spikes in channel 0, and fails where there is none."""
    spikes = np.zeros((2, 3, 4, 5))
    for channel in (None, 1):
        spikes[channel or 0, 1, 2, 3] = channel is not None
        event = slayer.io.tensor_to_event(spikes)
        assert (event.fill_tensor(np.zeros_like(spikes)) == spikes).all()


@deviation("random_shift moves the whole recording", 80)
def _() -> None:
    """lava-dl's shifts it out of the tensor at the beginning."""
    event = slayer.io.Event([0, 1], None, [0, 0], [0.0, 4.0])
    for seed in range(9):
        filled = event.fill_tensor(np.zeros((1, 1, 2, 9)), random_shift=True, rng=np.random.default_rng(seed))
        assert filled.sum() == 2


@deviation(
    "event files hold ids up to 65535, the time unit asked for, and recordings of any length", 75, 76, "77a", "77b"
)
def _() -> None:
    """lava-dl damages ids from 256 on, ignores time_unit, and lets the clock wrap at 8.39 s; `unwrap=False` does so."""
    event = slayer.io.Event([300, 65535], None, [0, 1], [0.5, 9000.0])
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/1d.bs1"
        slayer.io.encode_1d_spikes(path, slayer.io.Event([300, 9, 65535], None, [0, 0, 1], [0.5, 5000.0, 9000.0]))
        assert slayer.io.read_1d_spikes(path).x.tolist() == [300, 9, 65535]
        assert slayer.io.read_1d_spikes(path).t.tolist() == [0.5, 5000, 9000]
        assert slayer.io.read_1d_spikes(path, unwrap=False).t.max() == 5000
        slayer.io.encode_np_spikes(f"{folder}/1d.npy", event, time_unit=1e-6)
        assert np.load(f"{folder}/1d.npy")[:, 2].tolist() == [500, 9_000_000]
        assert slayer.io.read_np_spikes(f"{folder}/1d.npy", time_unit=1e-6).x.tolist() == [300, 65535]


@deviation("reading events is a fixed number of numpy's operations", 79)
def _() -> None:
    """lava-dl's is 14 times slower than numpy."""
    calls = []
    for number in (10, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            whole = np.arange(number) % 30
            slayer.io.encode_2d_spikes(
                f"{folder}/2d.bin", slayer.io.Event(whole, whole, whole % 2, np.arange(number) / 99)
            )
            profile = cProfile.Profile()
            profile.runcall(slayer.io.read_2d_spikes, f"{folder}/2d.bin")
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    assert calls[0] == calls[1]


# Network files


@deviation("auto.SequentialNetwork has the biases of its file, and layers other than dense ones", 70)
def _() -> None:
    """lava-dl reads a bias and does not use it, and fails on a convolution."""
    neuron = {"type": "CUBA", "iDecay": 4096, "vDecay": 0, "vThMant": 64}
    geometry = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    conv = {"type": "conv", "shape": [1, 2, 2], "weight": np.full((1, 1, 1, 1), 2), "bias": [40], "neuron": neuron}
    network = slayer.auto.SequentialNetwork(slayer.netx.describe([{**conv, **geometry}]))
    assert network(torch.zeros(1, 1, 2, 2, 3))[0, 0, 0, 0].tolist() == [0, 1, 0]


@deviation("an Affine block with delay_shift=True is exported, as the chip's readout")
def _() -> None:
    """lava-dl's has no step of delay, while the layer that it writes has one."""
    params = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.5}
    block = cuba.Affine(params, 2, 1, delay_shift=True)
    torch.nn.init.ones_(block.synapse.weight)
    assert block(torch.ones(1, 2, 3))[0, 0].tolist() == [0, 2, 4]
    assert block.layer_fields()["neuron"]["vThMant"] == (1 << 18) - 1


# Bootstrap

REGULAR = {"threshold": 1.0, "current_decay": 1, "voltage_decay": 0.1}


def sampled(**neuron: Any) -> Any:
    """A bootstrap block and its input after a run in Mode.SAMPLE."""
    torch.manual_seed(0)
    block = slayer.bootstrap.block.cuba.Dense({**REGULAR, **neuron}, 6, 8, weight_scale=3)
    x = torch.bernoulli(torch.full((4, 6, 32), 0.5))
    block(x, slayer.bootstrap.Mode.SAMPLE)
    return block, x


@deviation("bootstrap samples rates before dropout, and inputs after the norm, as its activation is given them")
def _() -> None:
    """lava-dl samples after dropout and before the norm, so that the fit is another neuron's."""
    assert (sampled(dropout=slayer.neuron.Dropout(0.5))[0].f.a == sampled()[0].f.a).all()
    norm = slayer.neuron.norm.MeanOnlyBatchNorm
    assert abs(float(sampled(norm=norm)[0].f.z.mean())) < 0.05 < abs(float(sampled()[0].f.z.mean()))


@deviation("a bootstrap activation is finite, never falls and never passes its highest rate")
def _() -> None:
    """lava-dl's is NaN after silence, reaches 1.8 where no rate lies between, jumps where centers are in disorder."""
    pairs = ([0.5, 0.9], [0.0, 0.0]), ([0.5, 0.9], [1.0, 1.0]), ([1.0, 3.0, 2.0, 4.0], [0.2, 0.4, 0.6, 0.8])
    for z, a in pairs:
        sampler = slayer.bootstrap.ann_sampler.AnnSampler()
        sampler.append(torch.tensor(a).reshape(-1, 1, 1), torch.tensor(z).reshape(-1, 1, 1))
        sampler.fit()
        rates = sampler(torch.linspace(-1, 5, 100).reshape(1, -1, 1)).flatten()
        assert rates.isfinite().all()
        assert (rates.diff() >= 0).all()
        assert rates.max() <= sampler.max + 1e-6


@deviation("a bootstrap activation that is measured without a spike stays as it was")
def _() -> None:
    """lava-dl forgets what it was."""
    sampler, z = slayer.bootstrap.ann_sampler.AnnSampler(num_centers=2), torch.linspace(0, 1, 9).reshape(9, 1, 1)
    sampler.append(a=z**2, z=z)
    sampler.fit()
    expected = sampler(z)
    sampler.append(a=0 * z, z=z)
    sampler.fit()
    assert torch.equal(sampler(z), expected)


@deviation("a bootstrap block takes the rate of all steps in Mode.ANN")
def _() -> None:
    """lava-dl applies the activation to every step, which was fitted to means over time."""
    block, x = sampled()
    y = block(x, slayer.bootstrap.Mode.FIT)
    assert torch.equal(y[..., :1], block(x.mean(-1, keepdim=True), slayer.bootstrap.Mode.ANN))


@deviation("a bootstrap block fits by itself if there are samples, says so if there are none, and keeps its fit")
def _() -> None:
    """lava-dl's Mode.ANN fails on None before the first fit, and a state dict forgets it."""
    block, x = sampled()
    rates = block(x, slayer.bootstrap.Mode.ANN)
    other = slayer.bootstrap.block.cuba.Dense(REGULAR, 6, 8)
    with pytest.raises(slayer.ArgumentError, match="there is no fit"):
        other(x, slayer.bootstrap.Mode.ANN)
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(x, slayer.bootstrap.Mode.ANN), rates)


@deviation("a bootstrap block refuses an axonal delay")
def _() -> None:
    """lava-dl's takes it and leaves it out."""
    with pytest.raises(slayer.ArgumentError, match="rates know no axonal delay"):
        slayer.bootstrap.block.cuba.Dense(REGULAR, 6, 8, delay=True)


@deviation("a bootstrap schedule knows the mode of each layer from the epoch alone, however often it is asked")
def _() -> None:
    """lava-dl counts on from one iteration to the next, and forgets the crossover when a training is resumed."""
    scheduler = slayer.bootstrap.routine.Scheduler(crossover_epochs=[1, 4])
    for epoch, names in ((5, ["SNN", "SNN", "ANN"]), (2, ["SNN", "ANN", "ANN"]), (5, ["SNN", "SNN", "ANN"])):
        mode = scheduler.mode(epoch, 20)
        for _ in range(2):
            assert [layer.name for layer, _ in zip(mode, range(3), strict=False)] == names
