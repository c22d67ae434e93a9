"""Deviations of the neurons from lava-dl; see test_lava_dl_deviations.py."""

from __future__ import annotations

import math

import pytest
import torch
from block_zoo import events, make
from lava_dl_defects import deviation

import slayerloss as slayer
from slayerloss.functional import cuba as run_cuba
from slayerloss.functional import leaky_integrator, quantize_weight
from slayerloss.neuron.cuba import Neuron
from slayerloss.neuron.norm import MeanOnlyBatchNorm

# Neurons


CUBA = {"threshold": 99.0, "current_decay": 0.3, "voltage_decay": 0.2, "requires_grad": True}
ADAPTS = {"threshold_step": 0.5, "threshold_decay": 0.3, "refractory_decay": 0.2}
TURNS = {"threshold": 99.0, "period": 9, "decay": 0.3, "requires_grad": True}
NEURONS = {"cuba": CUBA, "alif": {**CUBA, **ADAPTS}, "rf": TURNS, "rf_iz": TURNS}
NEURONS |= {name: {**TURNS, **ADAPTS} for name in ("adrf", "adrf_iz")}


@deviation("the gradients of all decays and periods are those of finite differences", 29, 30, 31, 32)
def _() -> None:
    """lava-dl's have the other sign for current and voltage, so that decays learn away from the target, and are zero
    for threshold and refractory state; its resonators' are right.
    """
    x = torch.rand(1, 3, 30, generator=torch.Generator().manual_seed(0))
    for name, params in NEURONS.items():
        neuron = getattr(slayer.neuron, name).Neuron(**params)
        input = (x, x.flip(-1)) if neuron.is_complex else x
        weighted(neuron, input).backward()
        for parameter in neuron.parameters():
            with torch.no_grad():
                values = []
                for step in (0.02, -0.02):
                    parameter += step
                    values.append(weighted(neuron, input).item())
                    parameter -= step
            slope = (values[0] - values[1]) / 0.04
            assert slope != 0
            assert parameter.grad.item() == pytest.approx(slope, rel=0.05), name


def weighted(neuron: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A sum of all that a neuron's dynamics give, from a state in which a threshold has risen, and without a spike."""
    fields = neuron.state_fields()
    state = neuron.state_type(*(torch.full((1, 3), 103.0 if field == "threshold" else 0.5) for field in fields))
    return sum(part.double().sum() for part in neuron.run_dynamics(x, state)[:-1])


@deviation("after a spike the decay acts on the voltage after its reset, in the gradient too")
def _() -> None:
    """lava-dl's gradient takes the voltage before the reset."""
    decay = torch.tensor([0.25], requires_grad=True)
    x = torch.tensor([[[2.0, 0.0]]])
    _, state = run_cuba(x, 1.0, decay, 1.0)
    state.voltage.sum().backward()
    assert decay.grad == 0


@deviation("the current wraps at 24 bits and the voltage saturates, as on the chip")
def _() -> None:
    """lava-dl goes on beyond."""
    assert leaky_integrator(torch.full((1, 1, 1), 2049.0), 0.0).item() == 2049 - 4096


@deviation("a voltage equal to the threshold never spikes, whatever the threshold")
def _() -> None:
    """lava-dl adds 0.01/4096 to the threshold, which float32 loses from 64 on."""
    for threshold in (1.25, 64.0, 1000.0):
        x = torch.full((1, 1, 1), threshold)
        assert not run_cuba(x, 0.0, 0.0, threshold)[0].any()
        assert run_cuba(x + 1 / 4096, 0.0, 0.0, threshold)[0].all()


@deviation("a threshold that would be cut to zero is refused")
def _() -> None:
    """lava-dl goes on with a threshold of zero."""
    with pytest.raises(slayer.ArgumentError, match="threshold is zero once cut"):
        Neuron(0.01, 0.1, 0.1)


@deviation("a decay is stored as its logarithm and given as the fraction lost")
def _() -> None:
    """lava-dl stores it times 4096, where Adam's steps are too small to learn anything."""
    neuron = Neuron(1.0, 0.25, 0.5)
    assert neuron.current_decay.item() == pytest.approx(math.log(0.25))
    assert neuron.decays[1].item() == pytest.approx(0.5)
    neuron.load_state_dict({"current_decay": torch.tensor([1024.0]), "voltage_decay": torch.tensor([2048.0])})
    assert (neuron.cx_current_decay, neuron.cx_voltage_decay) == (1024, 2048)


@deviation("decays per channel act on channels of images", 33)
def _() -> None:
    """lava-dl broadcasts them along the width."""
    x, decays = torch.ones(1, 2, 2, 2, 3), torch.tensor([0.0, 1.0])
    u = leaky_integrator(x, decays)
    assert (u.select(-1, 2)[0, 0] == 3).all()
    assert (u.select(-1, 2)[0, 1] == 1).all()


@deviation("a saturated weight hears the gradient that brings it back", "56b")
def _() -> None:
    """lava-dl stops its gradient for ever."""
    weight = torch.tensor([9.0], requires_grad=True)
    quantize_weight(weight).sum().backward()
    assert weight.grad == 1


@deviation("ADRF_IZ neurons answer", 34)
def _() -> None:
    """lava-dl's fail: their forward calls a function of four arguments with three."""
    neuron = slayer.neuron.adrf_iz.Neuron(**{**NEURONS["adrf_iz"], "threshold": 0.5})
    x = torch.rand(1, 3, 30)
    assert neuron((x, x)).any()


@deviation("neuron_params gives back the arguments that a network file holds, of every neuron", 35)
def _() -> None:
    """lava-dl's fails for ADRF and ADRF_IZ, and takes ALIF's threshold for its threshold_step."""
    for name, params in NEURONS.items():
        module = getattr(slayer.neuron, name)
        fields = module.Neuron(**params).device_params
        assert module.Neuron(**module.neuron_params(fields)).device_params == fields, name


@deviation("a delta unit can sum up its errors", 66)
def _() -> None:
    """lava-dl's raises with cum_error."""
    unit = slayer.axon.Delta(threshold=0.5, cum_error=True)
    assert unit(torch.tensor([[[0.25, 0.5, 0.75, 1.0]]])).any()


@deviation("under float16, bfloat16 and autocast the spikes are float32's", "41a", "41b")
def _() -> None:
    """lava-dl's change, silently. `block.half()` is another network in both: it rounds the weights before they are
    quantised, and here nothing else.
    """
    block, x = make("dense"), events("dense")
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block(x), expected)
    assert torch.equal(block(x.half()), expected)
    with torch.no_grad():
        for parameter in block.synapse.parameters():
            parameter.copy_(parameter.half())
    rounded = block(x)
    assert torch.equal(block.half()(x), rounded)


@deviation("bool and integer spikes are spikes", "15b")
def _() -> None:
    """lava-dl takes float32 only."""
    block, x = make("dense"), events("dense")
    assert torch.equal(block(x.bool()), block(x))
    assert torch.equal(block(x.long()), block(x))


@deviation("NaN and infinity are refused where they appear")
def _() -> None:
    """lava-dl turns them into some integer."""
    with pytest.raises(slayer.ArgumentError, match="NaN"):
        make("dense")(events("dense") * math.nan)


@deviation("decays out of range are refused when a neuron is made")
def _() -> None:
    """lava-dl clamps them, or computes with them."""
    with pytest.raises(slayer.ArgumentError, match="current_decay is out of range"):
        Neuron(1.0, 1.5, 0.1)


@deviation("a resonator with a decay of 1 keeps the smallest turn of the grid; one whose period is infinite is refused")
def _() -> None:
    """lava-dl's sine and cosine are NaN, and no period is too long for it."""
    neuron = slayer.neuron.rf.Neuron(threshold=1.0, period=8, decay=1.0)
    assert (neuron.cx_sin_decay, neuron.cx_cos_decay) == (1, 0)
    with pytest.raises(slayer.ArgumentError, match="period is out of range"):
        slayer.neuron.rf.Neuron(threshold=1.0, period=math.inf, decay=0.1)


@deviation("a norm keeps a pre_hook_fx of its own")
def _() -> None:
    """lava-dl's neuron replaces it."""

    def whole(mean: torch.Tensor, descale: bool = False) -> torch.Tensor:
        return mean.round()

    assert Neuron(1.0, 0.1, 0.1, norm=lambda: MeanOnlyBatchNorm(pre_hook_fx=whole)).norm.pre_hook_fx is whole


@deviation("a norm is a bias however a run is cut into runs that go on from a state")
def _() -> None:
    """lava-dl keeps the current with the mean subtracted, and subtracts the mean from it again in the next run."""
    params = {"threshold": 1.0, "current_decay": 0.1, "voltage_decay": 0.1, "norm": MeanOnlyBatchNorm}
    whole, cut = (Neuron(**params, persistent_state=kept).eval() for kept in (False, True))
    x = torch.full((1, 2, 20), 0.125)
    for neuron in (whole, cut):
        neuron.norm.running_mean = torch.full((2,), 0.5)
    expected = whole(x)
    assert expected.any()
    assert torch.equal(torch.cat([cut(part) for part in x.split([3, 7, 10], -1)], -1), expected)


@deviation("a norm without a hook has a bias", 62)
def _() -> None:
    """lava-dl's raises."""
    assert MeanOnlyBatchNorm(2).bias.tolist() == [0, 0]


@deviation("a delta unit forgets its errors from batch to batch")
def _() -> None:
    """lava-dl's keeps them, with cum_error, whether persistent_state is set or not."""
    unit, x = slayer.axon.Delta(1.0, cum_error=True), torch.full((1, 1, 3), 0.4)
    assert torch.equal(unit(x), unit(x))


@deviation("thresholds of changes per channel act on channels, and learn")
def _() -> None:
    """lava-dl's raise at the backward pass, and on images where they are broadcast."""
    unit = slayer.axon.Delta(0.5, shared_param=False, requires_grad=True)
    unit(torch.rand(2, 3, 4, 4, 5)).sum().backward()
    assert unit.threshold.grad.shape == (3,)


@deviation("a sigma-delta neuron's threshold and bias are on the chip's grid at use")
def _() -> None:
    """lava-dl uses what has been learned as it is, and cuts it off when it exports: the chip sends other messages."""
    neuron = slayer.neuron.sigma_delta.Neuron(0.1, torch.relu, requires_grad=True)
    with torch.no_grad():
        neuron.threshold.fill_(0.12)
    neuron.set_bias(torch.tensor([0.02]))
    assert (neuron.whole_threshold.item(), neuron.whole_bias.item()) == (7 / 64, 1 / 64)


@deviation("a sigma unit that goes on from a state adds to it and rounds once, also off the grid of its weights")
def _() -> None:
    """lava-dl rounds the sum of each run to float32 before it adds it to the state: it can be an LSB off."""
    x, state = torch.tensor([[[1.0, 2.0**-24]]]), torch.tensor([[2.0**-24]])
    assert slayer.functional.sigma(x, state=state)[0, 0].tolist() == [1, 1 + 2**-23]


@deviation("events of sigma-delta blocks are messages of both signs")
def _() -> None:
    """lava-dl means to count those above zero, and raises."""
    params = {"threshold": 0.1, "activation": torch.relu}
    y, rate = slayer.block.sigma_delta.Dense(params, 6, 5, weight_scale=3, count_log=True)(torch.randn(2, 6, 20))
    assert rate == (y != 0).float().mean()


@deviation("a sigma-delta neuron uses the threshold that its file has, also after it has learned")
def _() -> None:
    """lava-dl's uses a learned one as it is, and cuts it off in the file."""
    neuron = slayer.neuron.sigma_delta.Neuron(threshold=0.25, activation=torch.relu)
    neuron.delta.threshold.data.fill_(0.26)
    sent = neuron(torch.tensor([[[0.25, 0.0]]]))
    assert sent.tolist() == [[[0.25, 0]]]
    assert neuron.v_th_mant == 16


@deviation("a delta unit has thresholds per channel for images, too")
def _() -> None:
    """lava-dl's raises."""
    unit = slayer.axon.Delta(threshold=0.5, shared_param=False)
    assert unit(torch.ones(1, 2, 3, 4, 5)).shape == (1, 2, 3, 4, 5)
    assert unit.threshold.shape == (2,)


@deviation("WgtScaleBatchNorm.weight_exp is the exponent that eval mode uses")
def _() -> None:
    """lava-dl's is not held in its range."""
    norm = slayer.neuron.norm.WgtScaleBatchNorm(1, weight_exp_bits=3)
    norm.running_var.fill_(1e9)
    assert norm.weight_exp.item() == 3
