"""What is as in lava-dl unless an option asks for the better form; each check shows both.

A name says what the default is, the docstring what asks for the other.
"""

from __future__ import annotations

import math

import pytest
import torch
from lava_dl_defects import convention

import slayerloss as slayer
from slayerloss import functional, io
from slayerloss.axon import Delay
from slayerloss.block import cuba
from slayerloss.neuron.cuba import Neuron

PARAMS = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.5}
SPIKES = (torch.rand(4, 10, 20, generator=torch.Generator().manual_seed(0)) > 0.7).float()
LABELS = torch.tensor([3, 1, 4, 1])

# Neurons


@convention("a threshold is cut to weight LSBs, multiples of 1/64, as the chip holds it", 36)
def _() -> None:
    """`functional.cuba` takes any threshold; a finer grid is that of a larger `scale`."""
    assert Neuron(0.1, 0.5, 0.5).threshold == 6 / 64
    assert Neuron(0.1, 0.5, 0.5, scale=640).threshold == 0.1
    x = torch.full((1, 1, 1), 0.0975)
    assert Neuron(0.1, 0.5, 0.5)(x).all()
    assert not functional.cuba(x, 0.5, 0.5, threshold=0.1)[0].any()


@convention(
    "a resonator turns and decays as the grid of its sine and cosine lets it, no slower than once in 25730 steps"
)
def _() -> None:
    """`neuron.period` and `neuron.decay` say what was made of the arguments; `functional.resonator` takes any turn."""
    neuron = slayer.neuron.rf.Neuron(threshold=1.0, period=1e6, decay=0.1)
    assert (neuron.cx_sin_decay, neuron.cx_cos_decay) == (1, 3686)
    assert neuron.period == pytest.approx(23160, abs=1)
    assert slayer.neuron.rf.Neuron(1.0, 1e9, 0.0).period == pytest.approx(25730, abs=1)
    assert slayer.neuron.rf.Neuron(1.0, 300, 0.0).period == pytest.approx(299.15, abs=0.01)
    assert slayer.neuron.rf.Neuron(1.0, 8, 0.0).decay == pytest.approx(1.07e-4, rel=0.01)
    fast = slayer.neuron.rf.Neuron(1.0, 8, 0.9999)
    assert (fast.period, fast.decay) == pytest.approx((4, 4095 / 4096))


@convention("tau_grad counts in 100 thresholds and scale_grad in tenths", 37)
def _() -> None:
    """`functional.cuba` and `functional.spike` take width and height of the surrogate themselves."""
    neuron = Neuron(1.25, 0.5, 0.5, tau_grad=0.03, scale_grad=3)
    assert (neuron.tau, neuron.grad_scale) == pytest.approx((3.75, 0.3))
    grads = []
    x = torch.full((1, 1, 1), 1.0, requires_grad=True)
    for spikes in (neuron(x), functional.cuba(x, 0.5, 0.5, 1.25, tau=3.75, grad_scale=0.3)[0]):
        grads += torch.autograd.grad(spikes.sum(), x)
    assert torch.equal(*grads)
    assert grads[0].item() == pytest.approx(0.3 / (2 * 3.75) * math.exp(-0.25 / 3.75))


@convention("gradients flow back through a reset as if there were none", 39)
def _() -> None:
    """`through_reset=False` of CUBA neurons, and of `functional.cuba`, stops them there."""
    x = torch.tensor([[[2.0, 0.5, 0.5, 2.0, 0.5]]])  # spikes in the steps 0 and 3
    gradients = []
    for options in ({}, {"through_reset": False}):
        given, decay = x.clone().requires_grad_(), torch.tensor([0.25], requires_grad=True)
        spikes, state = functional.cuba(given, 1.0, decay, 1.5, **options)
        assert spikes.tolist() == [[[1, 0, 0, 1, 0]]]
        gradients.append(torch.autograd.grad(state.voltage.sum(), (given, decay)))
        neuron = Neuron(1.5, 1.0, 0.25, **options)
        assert torch.equal(neuron.run(given)[0], spikes)
        torch.testing.assert_close(torch.autograd.grad(neuron.run(given)[1].voltage.sum(), given)[0], gradients[-1][0])
    kept = 0.75
    torch.testing.assert_close(gradients[0][0][0, 0], kept ** torch.arange(4.0, -1, -1))
    assert gradients[1][0].tolist() == [[[0, 0, 0, 0, 1]]]
    assert gradients[1][1] == 0


@convention("learnable delays start between no step and one, that is at none", 28)
def _() -> None:
    """`axon.Delay(initial=8)` spreads them from 0 to 8, also as the `delay` of a block."""
    torch.manual_seed(0)
    assert Delay(channels=99).whole_delay.max() == 0
    assert set(Delay(channels=99, initial=8).whole_delay.tolist()) == set(range(8))
    block = cuba.Dense(PARAMS, 2, 9, delay=True)
    assert block.delay.whole_delay.max() == 0
    block.delay = Delay(max_delay=62, initial=8)
    block(torch.ones(1, 2, 3))
    assert block.delay.whole_delay.max() > 1


@convention("the blocks of one neuron_params share its dropout", 61)
def _() -> None:
    """A dropout for each block, `{**neuron_params, "dropout": Dropout(0.1)}`, keeps them apart."""
    shared = {**PARAMS, "dropout": slayer.neuron.Dropout(0.1)}
    assert cuba.Dense(shared, 2, 3).neuron.drop is cuba.Dense(shared, 3, 2).neuron.drop
    own = [cuba.Dense({**PARAMS, "dropout": slayer.neuron.Dropout(0.1)}, 2, 3).neuron.drop for _ in range(2)]
    assert own[0] is not own[1]


# Losses and classifiers


@convention("SpikeMax in softmax mode takes rates as logits, so that it stays above 1.46 for ten classes", 5)
def _() -> None:
    """`temperature=0.1` lets it go towards 0."""
    right = torch.zeros(1, 10, 20)
    right[0, 3] = 1
    labels = torch.tensor([3])
    assert slayer.loss.SpikeMax(mode="softmax")(right, labels).item() == pytest.approx(1.4612, abs=1e-4)
    assert slayer.loss.SpikeMax(mode="softmax", temperature=0.1)(right, labels) < 0.01


@convention("SpikeRate is the squared error of the rates, without the half of its documentation", 9)
def _() -> None:
    """`0.5 * loss` is the documented one."""
    loss = slayer.loss.SpikeRate(0.5, 0.1)(SPIKES, LABELS)
    wanted = torch.full((4, 10), 0.1).scatter(1, LABELS[:, None], 0.5)
    torch.testing.assert_close(loss, (SPIKES.mean(-1) - wanted).square().sum())


@convention("SpikeMoid's theta is 0 by default, not the 1 of its documentation", 12)
def _() -> None:
    """`theta=1` is the documented one."""
    targets = torch.nn.functional.one_hot(LABELS, 10).float()
    rates = SPIKES.mean(-1)
    for options, theta in (({}, 0), ({"theta": 1}, 1)):
        expected = torch.nn.functional.binary_cross_entropy_with_logits(rates - theta, targets, reduction="sum")
        torch.testing.assert_close(slayer.loss.SpikeMoid(**options)(SPIKES, targets), expected)


@convention("the losses are sums, which grow with batch and time", 10)
def _() -> None:
    """`reduction="mean"` divides by what was counted."""
    for make in (slayer.loss.SpikeMax, slayer.loss.SpikeMoid, lambda **k: slayer.loss.SpikeRate(0.5, 0.1, **k)):
        for window in (None, 4):
            sums, means = (make(moving_window=window, reduction=name) for name in ("sum", "mean"))
            twice, labels = torch.cat([SPIKES, SPIKES]), torch.cat([LABELS, LABELS])
            torch.testing.assert_close(sums(twice, labels), 2 * sums(SPIKES, LABELS))
            torch.testing.assert_close(means(twice, labels), means(SPIKES, LABELS))


@convention("the rate of a window that is not full yet is divided by the whole window", 14)
def _() -> None:
    """`start="seen"` divides by the steps that were seen, in losses, classifiers and `functional.moving_window`."""
    x = torch.ones(1, 1, 3)
    rates = [slayer.classifier.MovingWindow(2, **options).rate(x)[0, 0] for options in ({}, {"start": "seen"})]
    assert [rate.tolist() for rate in rates] == [[0.5, 1, 1], [1, 1, 1]]
    losses = [slayer.loss.SpikeRate(1, 0, 2, **options) for options in ({}, {"start": "seen"})]
    assert [loss(x, torch.tensor([0])).item() for loss in losses] == [0.25, 0]


@convention("Rate.rate keeps the space of images", "13b")
def _() -> None:
    """`Rate.confidence` and `Rate.predict` flatten it into the classes; `rate(x).flatten(1)` does so, too."""
    x = torch.zeros(1, 2, 2, 2, 5)
    x[0, 1, 0, 1] = 1
    assert slayer.classifier.Rate.rate(x).shape == (1, 2, 2, 2)
    assert slayer.classifier.Rate.predict(x).tolist() == [5]


# Filters


@convention("filters of higher order are not normalised", "17a")
def _() -> None:
    """`normalize="peak"` and `normalize="area"` scale them to a peak or a sum of 1."""
    peaks = [functional.exponential_kernel(5, 100, order).max().item() for order in (1, 2, 3)]
    assert peaks == pytest.approx([1, 2.25, 9.09], abs=0.01)
    for order in (1, 2, 3):
        assert functional.exponential_kernel(5, 100, order, normalize="peak").max() == pytest.approx(1)
        assert functional.exponential_kernel(5, 400, order, normalize="area").sum() == pytest.approx(1)
    sizes = [slayer.loss.SpikeTime(filter_order=3, normalize=name)(SPIKES, 0 * SPIKES) for name in (None, "peak")]
    assert sizes[0] > 50 * sizes[1]


@convention("SpikeTime cuts its filter at 100 steps", 18)
def _() -> None:
    """`length=None` does not cut."""
    spike = torch.zeros(1, 1, 300)
    spike[..., 0] = 1
    cut, whole = (
        slayer.loss.SpikeTime(time_constant=100, **options)(spike, 0 * spike).item()
        for options in ({}, {"length": None})
    )
    squares = torch.exp(-torch.arange(300) / 50)
    assert cut == pytest.approx(squares[:100].sum().item(), rel=1e-4)
    assert whole == pytest.approx(squares.sum().item(), rel=1e-4)


# Events

EVENT = io.Event([0, 1], None, [0, 0], [0.6, 1.9])


@convention("Event.to_tensor and fill_tensor round times to the nearest bin", 73)
def _() -> None:
    """`io.to_frames` counts an event in the bin in which it happened."""
    assert EVENT.to_tensor(1, (1, 2, 3)).nonzero()[2].tolist() == [1, 2]
    assert io.to_frames(EVENT, (1, 2), 3).nonzero()[2].tolist() == [0, 1]
    assert (io.to_frames(EVENT, (1, 2), 3, rounding="nearest") == EVENT.to_tensor(1, (1, 2, 3))).all()


@convention("a spike of Event.to_tensor and fill_tensor has the amplitude 1/sampling_time", 74)
def _() -> None:
    """`io.to_frames` gives 1, or with `count=True` the number of events."""
    assert EVENT.to_tensor(0.5).max() == 2
    assert io.to_frames(EVENT, (1, 2), step_ms=0.5).max() == 1
