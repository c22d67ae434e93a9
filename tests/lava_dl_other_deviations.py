"""Deviations from lava-dl beyond neurons and blocks; see test_lava_dl_deviations.py."""

from __future__ import annotations

import cProfile
import tempfile
from typing import Any

import numpy as np
import pytest
import torch
from block_zoo import events
from lava_dl_defects import deviation
from torch.utils._python_dispatch import TorchDispatchMode

import slayerloss as slayer
from slayerloss.block import cuba
from slayerloss.functional import cuba as run_cuba

# Helpers


@deviation("quantize_hook_fx holds as many bits as it says", 56)
def _() -> None:
    """lava-dl's takes one more."""
    whole = slayer.utils.quantize_hook_fx(torch.tensor([-99.0, 99.0]), descale=True)
    assert whole.tolist() == [-256, 254]


@deviation("replicate takes every dtype and every number of dimensions", 8)
def _() -> None:
    """lava-dl's takes floats of 2 to 4 dimensions."""
    assert slayer.utils.time.replicate(torch.tensor([1, 2]), 2).tolist() == [[1, 1], [2, 2]]


@deviation("the event rate is a tensor")
def _() -> None:
    """lava-dl's is a Python float, which waits for a GPU."""
    assert isinstance(slayer.utils.event_rate(events("dense")), torch.Tensor)


@deviation("a shift of each neuron is one operation for all neurons", 25)
def _() -> None:
    """lava-dl's is a loop over them in Python."""

    def operations(neurons: int) -> int:
        with Operations() as operations:
            slayer.utils.time.shift(torch.ones(1, neurons, 5), torch.arange(float(neurons)) % 4)
        return operations.number

    assert operations(8) == operations(800)


class Operations(TorchDispatchMode):
    """Counts torch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += 1
        return operation(*args, **(kwargs or {}))


@deviation("Assistant.valid needs nothing of the network but its forward", 67)
def _() -> None:
    """lava-dl's needs a `net.device`."""
    net = torch.nn.Linear(3, 2)
    assistant = slayer.utils.Assistant(net, torch.nn.MSELoss(), torch.optim.SGD(net.parameters(), 0.1))
    assert assistant.valid(torch.ones(4, 3), torch.zeros(4, 2)).shape == (4, 2)


@deviation("the statistics are per sample, whether the loss is a sum or a mean over the batch", 68)
def _() -> None:
    """lava-dl multiplies sums by the size of the batch once more."""
    net = torch.nn.Linear(3, 2)
    for reduction in ("sum", "mean"):
        stats, error = slayer.utils.LearningStats(), slayer.loss.SpikeRate(0.5, 0.1, reduction=reduction)
        assistant = slayer.utils.Assistant(net, error, torch.optim.SGD(net.parameters(), 0.1), stats)
        for samples in (2, 6):
            assistant.test(torch.ones(samples, 3, 3), torch.zeros(samples, dtype=torch.long))
        one = error(net(torch.ones(1, 3, 3)), torch.tensor([0]))
        assert stats.testing.loss == pytest.approx(one.item())


@deviation("LearningStats goes on after an epoch without samples, and loads what it saved", 69)
def _() -> None:
    """lava-dl's fails, and its load does nothing."""
    stats = slayer.utils.LearningStats()
    for samples in (0, 2):
        stats.training.num_samples, stats.training.loss_sum = samples, 3.0
        stats.update()
    with tempfile.TemporaryDirectory() as folder:
        stats.save(folder)
        loaded = slayer.utils.LearningStats()
        loaded.load(folder)
    assert loaded.training.loss_log == [None, 1.5]


# Losses, classifiers and filters

SILENT, LABELS = torch.zeros(2, 3, 10), torch.tensor([0, 2])


@deviation("SpikeMax is finite and has a gradient where the true class is silent", 2, 3, 4)
def _() -> None:
    """lava-dl's is infinite, and its gradient NaN. Here it is at most 3n a rate, where rates are whole spikes."""
    for window in (None, 4):
        spikes = SILENT.clone().requires_grad_()
        value = slayer.loss.SpikeMax(moving_window=window)(spikes, LABELS)
        value.backward()
        assert value.isfinite()
        assert spikes.grad.isfinite().all()
        assert (spikes.grad[0, 0] < 0).any()
        assert spikes.grad.abs().max() <= 3 * (window or 1)  # of each rate 3n, of each spike 1/n of that


@deviation("SpikeMoid has a gradient however wrong it is", 11)
def _() -> None:
    """lava-dl takes the logarithm of a sigmoid, which saturates."""
    spikes = torch.ones(1, 2, 10, requires_grad=True)
    slayer.loss.SpikeMoid(alpha=1e-3)(spikes, torch.tensor([[0.0, 1.0]])).backward()
    assert (spikes.grad[0, 0] > 0).all()


@deviation("SpikeMoid takes labels, and targets of every dtype", 11)
def _() -> None:
    """lava-dl's fails unless targets are floats (N, C)."""
    targets = torch.nn.functional.one_hot(LABELS, 3)
    values = [slayer.loss.SpikeMoid()(SILENT, wanted) for wanted in (LABELS, targets, targets.float(), targets.bool())]
    assert len({value.item() for value in values}) == 1


@deviation("SpikeRate with a window takes one label a sample", 7)
def _() -> None:
    """lava-dl's raises."""
    assert slayer.loss.SpikeRate(0.5, 0.1, moving_window=3)(SILENT, LABELS).isfinite()


@deviation("losses and classifiers take spikes and labels of every dtype", 15, 16)
def _() -> None:
    """lava-dl takes float32 and int64."""
    for spikes in (SILENT.bool(), SILENT.long(), SILENT.half(), SILENT.double()):
        assert slayer.loss.SpikeMax()(spikes, LABELS.int()).isfinite()
        assert slayer.classifier.MovingWindow(3)(spikes).shape == (2, 10)


@deviation("unknown modes and reductions are refused", 6)
def _() -> None:
    """lava-dl takes them for another, or returns None."""
    with pytest.raises(slayer.ArgumentError, match="mode is unknown"):
        slayer.loss.SpikeMax(mode="probabilities")
    with pytest.raises(slayer.ArgumentError, match="mode is unknown"):
        slayer.classifier.Rate.confidence(SILENT, mode="soft")


@deviation("the confidence of negative rates stays within -1 and 1")
def _() -> None:
    """lava-dl divides by the sum of the rates, which negative ones bring to 0."""
    rates = slayer.classifier.Rate.confidence(torch.tensor([[[0.5], [-0.5]]]), mode="probability")
    assert rates.abs().max() <= 1


@deviation("calling a MovingWindow classifier gives the prediction", 1)
def _() -> None:
    """lava-dl's gives None."""
    assert slayer.classifier.MovingWindow(3)(SILENT).tolist() == [[0] * 10] * 2


@deviation("MovingWindow predicts one class a step for images, too", 13)
def _() -> None:
    """lava-dl's gives a class for every place of the image."""
    assert slayer.classifier.MovingWindow(3)(torch.zeros(2, 3, 4, 5, 10)).shape == (2, 10)


@deviation("SparsityEnforcer.loss is a tensor before anything was appended")
def _() -> None:
    """lava-dl's is the number 0.0."""
    assert isinstance(slayer.loss.SparsityEnforcer().loss, torch.Tensor)


@deviation("filters have a gradient with respect to the filter", 20)
def _() -> None:
    """lava-dl prints a message and gives None."""
    kernel = torch.ones(3, requires_grad=True)
    slayer.utils.filter.conv(torch.ones(1, 2, 5), kernel).sum().backward()
    assert kernel.grad.abs().sum() > 0


@deviation("filters work under torch.func, and their cost does not grow with their length", 20)
def _() -> None:
    """lava-dl's do not, and filter every step as often as the filter is long."""
    x = torch.rand(3, 1, 2, 5)
    slope = torch.func.grad(lambda x: slayer.utils.filter.conv(x, torch.ones(3)).square().sum())
    torch.testing.assert_close(torch.func.vmap(slope)(x), torch.stack([slope(sample) for sample in x]))
    spike = torch.zeros(1, 1, 999)
    spike[..., 0] = 1
    recursion = slayer.filter.ExponentialFilter(300.0)(spike)
    torch.testing.assert_close(recursion[0, 0], torch.exp(-torch.arange(999) / 300))


@deviation("an FIRBank takes every sampling_time", 23)
def _() -> None:
    """lava-dl's fails unless it is 1."""
    bank = slayer.filter.FIRBank(2, filter_length=6, sampling_time=2)
    assert bank(torch.ones(1, 3, 5)).shape == (1, 6, 5)
    assert bank.filter_length == 3


@deviation("the filters of SpikeTime are in no state dict, whatever their order", 17)
def _() -> None:
    """lava-dl saves a buffer whose shape depends on the order, so that a loss of another order does not load."""
    loss = slayer.loss.SpikeTime(filter_order=2)
    loss.load_state_dict(slayer.loss.SpikeTime(filter_order=1).state_dict())
    assert not loss.state_dict()


@deviation("torch.func can differentiate and batch the neurons' functions", 44)
def _() -> None:
    """lava-dl's functions do not say how."""
    x = torch.rand(3, 1, 2, 5)
    slope = torch.func.grad(lambda x: run_cuba(x, 0.3, 0.2, 1.0)[0].sum())
    torch.testing.assert_close(torch.func.vmap(slope)(x), torch.stack([slope(sample) for sample in x]))


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


@deviation("a tensor of one channel's spikes comes back through events, and so does one without any", 78)
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
    "event files hold ids up to 65535, the time unit that was asked for, and recordings of any length", 75, 76, 77
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
    mode = slayer.bootstrap.routine.Scheduler(crossover_epochs=[1]).mode(5, 20)
    for _ in range(2):
        assert [layer.name for layer, _ in zip(mode, range(3), strict=False)] == ["SNN", "ANN", "ANN"]
