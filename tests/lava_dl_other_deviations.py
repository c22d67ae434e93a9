"""Deviations of helpers, losses and filters from lava-dl; see test_lava_dl_deviations.py."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
import torch
from block_zoo import events, make
from lava_dl_defects import deviation
from torch.utils._python_dispatch import TorchDispatchMode

import slayerloss as slayer
from slayerloss.functional import cuba as run_cuba

# Helpers


@deviation("quantize_hook_fx holds as many bits as it says", "56a")
def _() -> None:
    """lava-dl's takes one more."""
    whole = slayer.utils.quantize_hook_fx(torch.tensor([-99.0, 99.0]), descale=True)
    assert whole.tolist() == [-256, 254]


@deviation("replicate takes every dtype and every number of dimensions", 8)
def _() -> None:
    """lava-dl's takes floats of 2 to 4 dimensions."""
    assert slayer.utils.time.replicate(torch.tensor([1, 2]), 2).tolist() == [[1, 1], [2, 2]]
    for dtype in (torch.bool, torch.int32, torch.float64):
        for shape in ((2,), (2, 3, 4, 5, 6)):
            assert slayer.utils.time.replicate(torch.ones(shape, dtype=dtype), 2).shape == (*shape, 2)


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


@deviation("LearningStats goes on after an epoch without samples, and loads what it saved", "69a", "69b")
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


@deviation("a training without predictions has no accuracy")
def _() -> None:
    """lava-dl's has 0."""
    stat = slayer.utils.LearningStat()
    stat.num_samples, stat.loss_sum = 2, 3.0
    assert stat.accuracy is None


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


@deviation("SpikeMoid has a gradient however wrong it is", "11b")
def _() -> None:
    """lava-dl takes the logarithm of a sigmoid, which saturates."""
    spikes = torch.ones(1, 2, 10, requires_grad=True)
    slayer.loss.SpikeMoid(alpha=1e-3)(spikes, torch.tensor([[0.0, 1.0]])).backward()
    assert (spikes.grad[0, 0] > 0).all()


@deviation("SpikeMoid takes labels, and targets of every dtype", "11a")
def _() -> None:
    """lava-dl's fails unless targets are floats (N, C)."""
    targets = torch.nn.functional.one_hot(LABELS, 3)
    values = [slayer.loss.SpikeMoid()(SILENT, wanted) for wanted in (LABELS, targets, targets.float(), targets.bool())]
    assert len({value.item() for value in values}) == 1


@deviation("SpikeRate with a window takes one label a sample", 7)
def _() -> None:
    """lava-dl's raises."""
    assert slayer.loss.SpikeRate(0.5, 0.1, moving_window=3)(SILENT, LABELS).isfinite()


@deviation("losses and classifiers take spikes and labels of every dtype", "15a", 16)
def _() -> None:
    """lava-dl takes float32 and int64."""
    for spikes in (SILENT.bool(), SILENT.long(), SILENT.half(), SILENT.double()):
        for loss in (slayer.loss.SpikeMax(), slayer.loss.SpikeRate(0.5, 0.1), slayer.loss.SpikeMoid()):
            assert loss(spikes, LABELS.int()).isfinite()
        assert slayer.loss.SpikeTime()(spikes, spikes).isfinite()
        assert slayer.classifier.MovingWindow(3)(spikes).shape == (2, 10)
        assert slayer.classifier.Rate.predict(spikes).shape == (2,)


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


@deviation("MovingWindow predicts one class a step for images, too", "13a")
def _() -> None:
    """lava-dl's gives a class for every place of the image."""
    assert slayer.classifier.MovingWindow(3)(torch.zeros(2, 3, 4, 5, 10)).shape == (2, 10)


@deviation("SparsityEnforcer.loss is a tensor before anything was appended")
def _() -> None:
    """lava-dl's is the number 0.0."""
    assert isinstance(slayer.loss.SparsityEnforcer().loss, torch.Tensor)


@deviation("filters have a gradient with respect to the filter", "20a")
def _() -> None:
    """lava-dl prints a message and gives None."""
    kernel = torch.ones(3, requires_grad=True)
    slayer.utils.filter.conv(torch.ones(1, 2, 5), kernel).sum().backward()
    assert kernel.grad.abs().sum() > 0


@deviation("filters work under torch.func", "20b")
def _() -> None:
    """lava-dl's do not."""
    x = torch.rand(3, 1, 2, 5)
    slope = torch.func.grad(lambda x: slayer.utils.filter.conv(x, torch.ones(3)).square().sum())
    torch.testing.assert_close(torch.func.vmap(slope)(x), torch.stack([slope(sample) for sample in x]))


@deviation("the cost of an exponential filter does not grow with its length", "20c")
def _() -> None:
    """lava-dl's filters every step as often as the filter is long."""
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


@deviation("the filters of SpikeTime are in no state dict, whatever their order", "17b")
def _() -> None:
    """lava-dl saves a buffer whose shape depends on the order, so that a loss of another order does not load."""
    loss = slayer.loss.SpikeTime(filter_order=2)
    loss.load_state_dict(slayer.loss.SpikeTime(filter_order=1).state_dict())
    assert not loss.state_dict()


@deviation("torch.func can differentiate and batch the neurons' functions", "44a")
def _() -> None:
    """lava-dl's functions do not say how."""
    x = torch.rand(3, 1, 2, 5)
    slope = torch.func.grad(lambda x: run_cuba(x, 0.3, 0.2, 1.0)[0].sum())
    torch.testing.assert_close(torch.func.vmap(slope)(x), torch.stack([slope(sample) for sample in x]))


@deviation("torch.func can differentiate and batch feed-forward blocks", "44b")
def _() -> None:
    """lava-dl's raise."""
    block, sent = make("dense"), events("dense")
    learned = dict(block.named_parameters())

    def loss(learned: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = torch.func.functional_call(block, learned, (x[None],))
        return answer.square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(learned, sent)
    block(sent).square().sum().backward()
    for name, parameter in learned.items():
        torch.testing.assert_close(each[name].sum(0), parameter.grad)
