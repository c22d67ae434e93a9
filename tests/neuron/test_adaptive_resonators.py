"""The ADRF and ADRF_IZ neurons: their equations, gradients, state, arguments and fields; lava-dl's values elsewhere."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from adaptive_model import differentiable_threshold
from hypothesis import given, settings
from hypothesis import strategies as st
from resonator_model import differentiable_resonator

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.neuron import adrf, adrf_iz
from slayerloss.neuron.norm import MeanOnlyBatchNorm

PARAMS = {"threshold": 0.5, "threshold_step": 0.25, "period": 7.0, "decay": 0.1}
PARAMS |= {"threshold_decay": 0.2, "refractory_decay": 0.4}
MODULES = pytest.mark.parametrize("module", [adrf, adrf_iz], ids=["adrf", "adrf_iz"])
SPACE = pytest.mark.parametrize("space", [(), (2, 3)])


def drive(*shape: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=random, dtype=torch.float64).sub(0.5).mul(96).round().div(64)


def pair(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return drive(*shape, seed=seed), drive(*shape, seed=seed + 1)


def total(outputs, seed=1):
    random = torch.Generator().manual_seed(seed)
    return sum((y * torch.randn(y.shape, generator=random, dtype=torch.float64)).sum() for y in outputs)


def with_slopes(value, *slopes):
    """A value, and the derivatives with respect to tensors."""
    return value.detach() + sum(slope.detach() * (x - x.detach()) for x, slope in slopes)


def phase_spikes(neuron, real, imag, threshold, allowed):
    """ADRF's, of the definition of their surrogate."""
    tau, scale, x = neuron.tau, neuron.grad_scale, (real - threshold).detach()
    near = torch.exp(-imag.detach().abs() / tau) / (2 * tau)
    above = (1 + x.sign() * (1 - torch.exp(-x.abs() / tau))) / 2
    peak = torch.exp(x.clamp(max=0) / tau) if neuron.graded_spike else torch.exp(-x.abs() / tau) / (2 * tau)
    if neuron.graded_spike:
        above = (1 + x.sign() * (1 - 2 * tau * peak)) / 2
    value = (real >= threshold) * allowed * (real if neuron.graded_spike else 1.0)
    to_real = scale * peak * near
    return with_slopes(value, (real - threshold, to_real), (imag, -scale / tau * imag.sign() * near * above))


def imag_spikes(neuron, imag, threshold):
    """ADRF_IZ's."""
    x, tau, scale = (imag - threshold).detach(), neuron.tau, neuron.grad_scale
    slope = scale * torch.exp(x.clamp(max=0) / tau)
    if not neuron.graded_spike:
        slope = scale / (2 * tau) * torch.exp(-x.abs() / tau)
    return with_slopes((x >= 0) * (imag if neuron.graded_spike else 1.0), (imag - threshold, slope))


@MODULES
@SPACE
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_are_those_of_the_equations(module, space, graded, per_channel):
    options = {"tau_grad": 0.02, "scale_grad": 3, "requires_grad": True, "graded_spike": graded}
    neuron = module.Neuron(**PARAMS, **options, shared_param=not per_channel, channels=3).double()
    x = [part.requires_grad_() for part in pair(2, 3, *space, 60)]
    start = adrf.AdrfState(*pair(2, 3, *space, seed=5), *(part.abs() + 0.25 for part in pair(2, 3, *space, seed=7)))
    start = adrf.AdrfState(*(part.requires_grad_() for part in start))
    spikes, after = neuron.run(tuple(x), start)
    assert 0.02 < (spikes != 0).double().mean() < 0.9
    inputs = [*x, *start, *neuron.parameters()]
    found = torch.autograd.grad(total([spikes, *after]), inputs)

    real, imag, last = differentiable_resonator(*x, neuron.sin_decay, neuron.cos_decay, state=start[:2])
    earlier = torch.cat([start.imag[..., None], imag], -1)[..., :-1]
    allowed = ((imag >= 0) & (earlier < 0)).double() if module is adrf else torch.ones_like(imag)
    met = real if module is adrf else imag
    theta, r, *risen = differentiable_threshold(met.detach(), *neuron.adaptation_decays, 0.5, 0.25, start[2:], allowed)
    if module is adrf:
        expected = phase_spikes(neuron, real, imag, theta + r, allowed)
    else:
        expected = imag_spikes(neuron, imag, theta + r)
    assert torch.equal(spikes, expected)
    wanted = torch.autograd.grad(total([expected, *last, *risen]), inputs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


@MODULES
@settings(max_examples=15, deadline=None)
@given(first=st.integers(1, 29), seed=st.integers(0, 2**31 - 1), space=st.sampled_from([(), (2, 2)]))
def test_two_runs_with_the_state_are_one(module, first, seed, space):
    neuron = module.Neuron(**PARAMS, requires_grad=True)
    x = [part.float().requires_grad_() for part in pair(2, 3, *space, 30, seed=seed)]
    whole, end = neuron.run(tuple(x))
    left, between = neuron.run(tuple(part[..., :first] for part in x))
    right, after = neuron.run(tuple(part[..., first:] for part in x), between)
    assert torch.equal(torch.cat([left, right], -1), whole)
    for one, other in zip(after, end, strict=True):
        assert torch.equal(one, other)
    inputs = [*x, *neuron.parameters()]
    for one, other in zip(
        torch.autograd.grad(total([left, right]), inputs),
        torch.autograd.grad(total([whole[..., :first], whole[..., first:]]), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@MODULES
def test_a_persistent_state_goes_on_until_it_is_reset(module):
    neuron = module.Neuron(**PARAMS, persistent_state=True)
    x = pair(2, 3, 40)
    halves = [tuple(part[..., :17] for part in x), tuple(part[..., 17:] for part in x)]
    whole = neuron(x)
    assert whole.any()
    neuron.reset_state()
    assert torch.equal(torch.cat([neuron(half) for half in halves], -1), whole)
    assert neuron.refractory_state.shape == (2, 3)
    neuron.reset_state()
    assert neuron.threshold_state.item() == 0.5
    parts = [neuron.spike(*neuron.dynamics(half)) for half in halves]
    assert torch.equal(torch.cat(parts, -1), whole)


@MODULES
@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_dtypes(module, dtype):
    neuron = module.Neuron(**PARAMS, norm=MeanOnlyBatchNorm).eval()
    x = tuple((part > 0.2).to(dtype) for part in pair(2, 3, 40))
    spikes = neuron(x)
    assert spikes.any()
    assert spikes.dtype == (dtype if dtype.is_floating_point else torch.float32)
    assert torch.equal(spikes.double(), neuron(tuple(part.double() for part in x)))


@MODULES
def test_memory_orders(module):
    neuron, x = module.Neuron(**PARAMS), pair(2, 3, 4, 5, 20)
    expected = neuron(x)
    for order in (
        lambda y: y.movedim(-1, 0).contiguous().movedim(0, -1),
        lambda y: torch.stack([y, y], -1)[..., 0],
        lambda y: y.permute(4, 0, 2, 3, 1).contiguous().permute(1, 4, 2, 3, 0),
    ):
        assert torch.equal(neuron(tuple(order(part) for part in x)), expected)


@MODULES
def test_a_padded_batch_is_its_samples(module):
    neuron, x = module.Neuron(**PARAMS, norm=MeanOnlyBatchNorm).eval(), pair(2, 3, 30)
    neuron.real_norm.running_mean = torch.tensor([0.125, 0.25, -0.125])
    spikes = neuron(x, torch.tensor([30, 12]))
    assert torch.equal(spikes[1:, :, :12], neuron(tuple(part[1:, :, :12] for part in x)))


@MODULES
def test_parameters_are_drawn_per_channel_and_saved(module):
    ranges = {"period": (5, 20), "decay": (0.05, 0.3), "threshold_decay": (0.1, 0.2), "refractory_decay": 0.25}
    neuron = module.Neuron(0.5, 0.25, **ranges, shared_param=False)
    x = pair(2, 40, 60)
    spikes = neuron(x)
    assert spikes.any()
    for parameter in neuron.parameters():
        assert parameter.shape == (40,)
    assert set(neuron.cx_refractory_decay.tolist()) == {1024}
    assert len(set(neuron.cx_threshold_decay.tolist())) > 10
    fresh = module.Neuron(0.5, 0.25, **ranges, shared_param=False)
    fresh.load_state_dict(neuron.state_dict())
    for again in (fresh, copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert torch.equal(again(x), spikes)


@MODULES
def test_fields_of_the_chip_give_the_neuron_back(module):
    neuron = module.Neuron(1.26, 0.51, 8.0, 0.125, 0.5, 0.75)
    fields = neuron.device_params
    assert fields["type"] == ("ADRF_PHASE" if module is adrf else "ADRF_IZHIKEVICH")
    assert {key: fields[key] for key in ("thDecay", "refDecay", "vThMant", "vThStep", "gradedSpike")} == {
        "thDecay": 2048,
        "refDecay": 3072,
        "vThMant": 80,
        "vThStep": 32,
        "gradedSpike": False,
    }
    assert module.Neuron(**module.neuron_params(fields)).device_params == fields


@MODULES
def test_states_of_the_chip_are_the_dynamics(module):
    neuron, x = module.Neuron(**PARAMS), pair(2, 3, 40)
    states = neuron.chip_states(x)
    for value, step in zip(states.values(), neuron.dynamics(x), strict=True):
        assert torch.equal(value, (step * 4096).long())
    assert states["refractory"].any()
    assert not neuron.chip_states(x, threshold=float("inf"))["refractory"].any()


@MODULES
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"threshold_step": -0.5}, ArgumentError, "threshold_step is out of range"),
        ({"threshold_decay": 1.5}, ArgumentError, "threshold_decay is out of range"),
        ({"refractory_decay": (0.1, 0.2)}, DtypeError, "refractory_decay is not a number"),
        ({"period": 3.0}, ArgumentError, "period is out of range"),
        ({"log_init": "yes"}, DtypeError, "log_init"),
    ],
)
def test_bad_arguments(module, change, error, text):
    with pytest.raises(error, match=text):
        module.Neuron(**{**PARAMS, **change})


@MODULES
def test_bad_inputs(module):
    neuron, x = module.Neuron(**PARAMS), pair(1, 2, 3)
    with pytest.raises(ArgumentError, match="state has the wrong length"):
        neuron.run(x, torch.zeros(2, 1, 2).unbind())
    with pytest.raises(ShapeError, match="state"):
        neuron.run(x, adrf.AdrfState(*torch.zeros(4, 1, 3)))
    with pytest.raises(ShapeError, match="imaginary x"):
        neuron((x[0], x[1][..., 1:]))
