"""The ALIF neuron: its equations, gradients, state, arguments and fields. What lava-dl does is in another file."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from adaptive_model import differentiable_threshold
from cuba_model import differentiable_cuba
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.neuron import alif
from slayerloss.neuron.norm import MeanOnlyBatchNorm

DECAYS = {"current_decay": 0.25, "voltage_decay": 0.1, "threshold_decay": 0.2, "refractory_decay": 0.3}
PARAMS = {"threshold": 0.5, "threshold_step": 0.25, **DECAYS}
GRADED = pytest.mark.parametrize("graded", [False, True])
SPACE = pytest.mark.parametrize("space", [(), (2, 3)])


def drive(*shape: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=random, dtype=torch.float64).sub(0.3).mul(64).round().div(64)


def total(outputs, seed=1):
    random = torch.Generator().manual_seed(seed)
    return sum((y * torch.randn(y.shape, generator=random, dtype=torch.float64)).sum() for y in outputs)


@GRADED
@SPACE
@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_are_those_of_the_equations(graded, space, per_channel):
    neuron = alif.Neuron(
        **PARAMS,
        tau_grad=0.02,
        scale_grad=3,
        graded_spike=graded,
        requires_grad=True,
        shared_param=not per_channel,
        channels=3,
    ).double()
    x = drive(2, 3, *space, 40).requires_grad_()
    start = alif.AlifState(*(drive(4, 2, 3, *space, seed=5).abs() + 0.25).requires_grad_())
    spikes, after = neuron.run(x, start)
    assert 0.05 < (spikes != 0).double().mean() < 0.9
    inputs = [x, *start, *neuron.parameters()]
    found = torch.autograd.grad(total([spikes, *after]), inputs)

    a, b, c, d = neuron.decays
    _, _, v, last = differentiable_cuba(x, a, b, 1e9, 1.0, 0.0, state=(*start[:2], torch.zeros_like(start[0])))
    theta, r, *risen = differentiable_threshold(v.detach(), c, d, 0.5, 0.25, start[2:])
    distance = v - (theta + r)
    if graded:
        slope = neuron.grad_scale * torch.exp(distance.detach().clamp(max=0) / neuron.tau)
        value = v * (distance >= 0)
    else:
        slope = neuron.grad_scale / (2 * neuron.tau) * torch.exp(-distance.detach().abs() / neuron.tau)
        value = (distance >= 0).double()
    expected = value.detach() + slope * (distance - distance.detach())
    assert torch.equal(spikes, expected)
    wanted = torch.autograd.grad(total([expected, *last[:2], *risen]), inputs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(1, 19), seed=st.integers(0, 2**31 - 1), space=st.sampled_from([(), (2, 2)]))
def test_two_runs_with_the_state_are_one(first, seed, space):
    neuron = alif.Neuron(**PARAMS, requires_grad=True)
    x = drive(2, 3, *space, 20, seed=seed).float().requires_grad_()
    whole, end = neuron.run(x)
    left, between = neuron.run(x[..., :first])
    right, after = neuron.run(x[..., first:], between)
    assert torch.equal(torch.cat([left, right], -1), whole)
    for one, other in zip(after, end, strict=True):
        assert torch.equal(one, other)
    inputs = [x, *neuron.parameters()]
    for one, other in zip(
        torch.autograd.grad(total([left, right]), inputs),
        torch.autograd.grad(total([whole[..., :first], whole[..., first:]]), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_persistent_state_goes_on_until_it_is_reset():
    neuron = alif.Neuron(**PARAMS, persistent_state=True)
    x = drive(2, 3, 20)
    whole = neuron(x)
    neuron.reset_state()
    assert torch.equal(torch.cat([neuron(x[..., :7]), neuron(x[..., 7:])], -1), whole)
    assert neuron.threshold_state.shape == (2, 3)
    neuron.reset_state()
    assert neuron.threshold_state.item() == 0.5
    assert neuron.refractory_state.item() == 0
    steps = neuron.dynamics(x[..., :7])
    spikes = neuron.spike(*steps[1:])
    later = neuron.dynamics(x[..., 7:])
    assert torch.equal(torch.cat([spikes, neuron.spike(*later[1:])], -1), whole)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_dtypes(dtype):
    neuron = alif.Neuron(**PARAMS, norm=MeanOnlyBatchNorm).eval()
    x = (drive(2, 3, 20) > 0.2).to(dtype)
    spikes = neuron(x)
    assert spikes.dtype == (dtype if dtype.is_floating_point else torch.float32)
    assert torch.equal(spikes.double(), neuron(x.double()))


def test_memory_orders():
    neuron, x = alif.Neuron(**PARAMS), drive(2, 3, 4, 5, 20)
    expected = neuron(x)
    together = x.permute(4, 0, 2, 3, 1).contiguous().permute(1, 4, 2, 3, 0)
    for other in (x.movedim(-1, 0).contiguous().movedim(0, -1), torch.stack([x, x], -1)[..., 0], together):
        assert torch.equal(neuron(other), expected)


def test_a_padded_batch_is_its_samples():
    neuron, x = alif.Neuron(**PARAMS, norm=MeanOnlyBatchNorm).eval(), drive(2, 3, 20)
    neuron.norm.running_mean = torch.tensor([0.125, 0.25, -0.125])
    spikes = neuron(x, torch.tensor([20, 5]))
    assert torch.equal(spikes[1:, :, :5], neuron(x[1:, :, :5]))


def test_decays_are_drawn_per_channel_and_saved():
    ranges = {name: (value, value + 0.1) for name, value in DECAYS.items()}
    neuron = alif.Neuron(0.5, 0.25, **ranges, shared_param=False)
    x = drive(2, 40, 20)
    spikes = neuron(x)
    for name, decay in zip(DECAYS, neuron.decays, strict=True):
        low, high = ranges[name]
        assert decay.shape == (40,)
        assert low - 1e-6 <= decay.min() < decay.max() <= high + 1e-6
    fresh = alif.Neuron(0.5, 0.25, **ranges, shared_param=False)
    fresh.load_state_dict(neuron.state_dict())
    assert torch.equal(fresh(x), spikes)
    for again in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert torch.equal(again(x), spikes)


def test_fields_of_the_chip_give_the_neuron_back():
    neuron = alif.Neuron(1.26, 0.51, 0.25, 0.125, 0.5, 0.75, graded_spike=True)
    fields = neuron.device_params
    sizes = {"iDecay": 1024, "vDecay": 512, "thDecay": 2048, "refDecay": 3072, "vThMant": 80, "vThStep": 32}
    assert fields == {"type": "ALIF", **sizes, "refDelay": 1, "gradedSpike": True}
    assert alif.Neuron(**alif.neuron_params(fields), graded_spike=True).device_params == fields


def test_states_of_the_chip_are_the_dynamics():
    neuron, x = alif.Neuron(**PARAMS), drive(2, 3, 20)
    states = neuron.chip_states(x)
    for value, step in zip(states.values(), neuron.dynamics(x), strict=True):
        assert torch.equal(value, (step * 4096).long())
    assert (neuron.chip_states(x, threshold=float("inf"))["refractory"] == 0).all()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"threshold_step": -0.5}, ArgumentError, "threshold_step is out of range"),
        ({"threshold_step": "high"}, DtypeError, "threshold_step is not a number"),
        ({"threshold_decay": 1.5}, ArgumentError, "threshold_decay is out of range"),
        ({"refractory_decay": (0.1, 0.2)}, DtypeError, "refractory_decay is not a number"),
        ({"threshold": 0.001}, ArgumentError, "threshold is zero once cut"),
    ],
)
def test_bad_arguments(change, error, text):
    with pytest.raises(error, match=text):
        alif.Neuron(**{**PARAMS, **change})


def test_bad_states():
    neuron = alif.Neuron(**PARAMS)
    x = torch.zeros(1, 2, 3)
    with pytest.raises(ShapeError, match="state"):
        neuron.run(x, alif.AlifState(*torch.zeros(4, 1, 3)))
    with pytest.raises(ArgumentError, match="state has the wrong length"):
        neuron.run(x, torch.zeros(2, 1, 2).unbind())


def test_of_lava_dls_values_only_the_placeholder_is_drawn():
    """It saves the lowest decay until it has drawn; what was drawn for one channel may round to the same integer."""
    ranges = dict.fromkeys(DECAYS, (0.1, 0.5))
    for saved, is_drawn in ((0.1 * 4096, False), (409.9, True)):
        state = OrderedDict({name: torch.tensor([saved]) for name in DECAYS})
        state._metadata = {"": {"version": 1}}
        neuron = alif.Neuron(0.5, 0.25, **ranges, shared_param=False)
        neuron.load_state_dict(state)
        neuron(torch.zeros(1, 1, 1))
        found = {neuron.cx_current_decay, neuron.cx_voltage_decay, neuron.cx_threshold_decay}
        assert (found == {410}) == is_drawn


def test_a_state_of_another_length_is_told_by_its_name():
    neuron = alif.Neuron(1.0, 0.5, 0.5, 0.25, 0.1, 0.1)
    with pytest.raises(ArgumentError, match="expected an AlifState"):
        neuron.run(torch.ones(1, 2, 3), (torch.zeros(1, 2),))
