"""The neuron functions: Lava's integers, the one definition of the gradients, state, dtypes, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from cuba_model import differentiable_cuba, integer_cuba
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import (
    CubaState,
    cuba,
    dense,
    integrate_and_fire,
    leaky_integrator,
    quantize_weight,
    recurrent_cuba,
    shift,
    spike,
    spike_time,
)
from slayerloss.functional.neuron import after_reset


def on_grid(*shape: int, size: float = 1.0, generator: int = 0) -> torch.Tensor:
    """Random float64 multiples of 1/4096, as weighted spikes are."""
    random = torch.Generator().manual_seed(generator)
    return torch.rand(shape, generator=random, dtype=torch.float64).sub(0.4).mul(size * 4096).round().div(4096)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 30)),
    space=st.sampled_from([(), (2, 3)]),
    size=st.sampled_from([100, 10_000, 2**17]),
    per_channel=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int64]),
    strided=st.booleans(),
    near_limits=st.booleans(),
)
def test_cuba_equals_lavas_integers(seed, shape, space, size, per_channel, dtype, strided, near_limits):
    random = np.random.default_rng(seed)
    (samples, channels, steps), scale = shape, 64
    if dtype is torch.int64:  # one LSB of the weight is one LSB of the state's 64
        scale = 1
    drive = 64 * random.integers(-size // 2, size, (samples, channels, *space, steps), endpoint=True)
    decays = random.integers(0, 4096, (2, channels if per_channel else 1), endpoint=True)
    limit = 2**23 - 1 if near_limits else 5000
    states = random.integers(-limit, limit, (2, *drive.shape[:-1]), endpoint=True)
    if near_limits:
        states = np.sign(states) * (limit - np.abs(states) % 64)
    channel = (-1, *[1] * len(space))
    expected = integer_cuba(np.moveaxis(drive, -1, 0), *decays.reshape(2, *channel), 80 * 64, u=states[0], v=states[1])

    x = torch.tensor(drive // 64).to(dtype) / scale if scale > 1 else torch.tensor(drive // 64)
    if strided:
        x = x.transpose(0, 1).contiguous().transpose(0, 1)[..., torch.arange(steps)]
        x = torch.stack([x, x], -1).select(-1, 1)
    state = CubaState(*(torch.tensor(part) / (64 * scale) for part in states.astype(np.float64)))
    spikes, after = cuba(
        x, *(torch.tensor(decay) / 4096 for decay in decays.astype(np.float64)), 80 / scale, state=state, scale=scale
    )
    assert np.array_equal(np.moveaxis(spikes.numpy(), -1, 0), expected[2])
    assert np.array_equal(after.current.double().numpy() * 64 * scale, expected[0][-1])
    assert np.array_equal(after.voltage.double().numpy() * 64 * scale, np.where(expected[2], 0, expected[1])[-1])


GRADED = pytest.mark.parametrize("graded", [False, True])
SPACE = pytest.mark.parametrize("space", [(), (2, 3)])
PER_CHANNEL = pytest.mark.parametrize("per_channel", [False, True])


def leaves(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.clone().requires_grad_() for tensor in tensors]


def gradients(outputs, inputs, seed=1):
    """Of a random weighted sum of all outputs."""
    random = torch.Generator().manual_seed(seed)
    total = sum((output * torch.randn(output.shape, generator=random, dtype=torch.float64)).sum() for output in outputs)
    return torch.autograd.grad(total, inputs)


def assert_all_close(results, expected, **tolerance):
    for i, (result, wanted) in enumerate(zip(results, expected, strict=True)):
        torch.testing.assert_close(result, wanted, msg=lambda text, i=i: f"{i}: {text}", **tolerance)


def decays_of(channels: int, per_channel: bool) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    size = channels if per_channel else 1
    return torch.rand(2, size, generator=random, dtype=torch.float64).mul(0.5).add(0.05).unbind()


@GRADED
@SPACE
@PER_CHANNEL
def test_gradients_are_those_of_the_definition(graded, space, per_channel):
    x = on_grid(2, 3, *space, 40, size=1.5)
    state = on_grid(2, 2, 3, *space, size=0.5, generator=9)
    inputs = leaves(x, *decays_of(3, per_channel), *state)
    surrogate = {"threshold": 1.25, "tau": 0.8}

    spikes, after = cuba(*inputs[:3], **surrogate, grad_scale=0.3, graded=graded, state=CubaState(*inputs[3:]))
    again = leaves(*inputs)
    expected, _, _, (u, v, _) = differentiable_cuba(
        *again[:3], **surrogate, scale=0.3, graded=graded, state=(*again[3:], torch.zeros_like(again[3]))
    )
    assert (expected != 0).double().mean() > 0.05
    assert torch.equal(spikes, expected)
    assert torch.equal(after.current, u)
    assert torch.equal(after.voltage, v)
    assert_all_close(gradients([spikes, *after], inputs), gradients([expected, u, v], again), rtol=1e-9, atol=1e-9)


@GRADED
@PER_CHANNEL
def test_recurrent_gradients_are_those_of_the_definition(graded, per_channel):
    x = on_grid(2, 3, 40, size=1.2)
    feedback = on_grid(3, 3, size=0.5, generator=4).mul(32).round().div(32)
    state = on_grid(2, 2, 3, size=0.5, generator=9)
    before = torch.tensor([[1.0, 0, 1], [0, 1, 0]], dtype=torch.float64)
    bias = on_grid(3, size=0.2, generator=7)
    inputs = leaves(x, feedback, *decays_of(3, per_channel), *state, before, bias)
    surrogate = {"threshold": 1.25, "tau": 0.8}

    run = recurrent_cuba(
        *inputs[:4],
        **surrogate,
        grad_scale=0.3,
        graded=graded,
        state=(CubaState(*inputs[4:6]), inputs[6]),
        bias=inputs[7],
    )
    again = leaves(*inputs)
    s, u, v, _ = differentiable_cuba(
        again[0],
        *again[2:4],
        **surrogate,
        scale=0.3,
        graded=graded,
        state=again[4:7],
        feedback=again[1],
        bias=again[7],
    )
    assert (s != 0).double().mean() > 0.05
    assert_all_close(run, (u, v, s), rtol=0, atol=0)
    assert_all_close(gradients(run, inputs), gradients((u, v, s), again), rtol=1e-9, atol=1e-9)


@PER_CHANNEL
def test_gradients_are_finite_differences_where_nothing_spikes(per_channel):
    x = on_grid(2, 3, 30, size=0.1)
    decays = [torch.round(decay * 4096) / 4096 for decay in decays_of(3, per_channel)]
    inputs = leaves(x, *decays, *on_grid(2, 2, 3, size=0.5, generator=9))
    weights = on_grid(2, 3, 30, generator=5)
    fine = 2**14  # a state so fine that its steps hardly show

    def on_the_chip(x, a, b, u0, v0):
        u = leaky_integrator(x, a, state=u0, scale=fine)
        return (integrate_and_fire(u, b, math.inf, state=v0, scale=fine) * weights).sum()

    def on_real_numbers(x, a, b, u, v):
        total = torch.zeros((), dtype=torch.float64)
        for x_t, weight in zip(x.unbind(-1), weights.unbind(-1), strict=True):
            u = (1 - a) * u + x_t
            v = (1 - b) * v + u
            total = total + (v * weight).sum()
        return total

    grads = torch.autograd.grad(on_the_chip(*inputs), inputs)
    assert torch.autograd.gradcheck(on_real_numbers, inputs)
    assert_all_close(grads, torch.autograd.grad(on_real_numbers(*inputs), inputs), rtol=1e-4, atol=1e-4)
    for i in (1, 2):  # differences of four decay LSBs, of the integers themselves
        for j in range(inputs[i].numel()):
            ends = []
            for sign in (1, -1):
                moved = [tensor.detach().clone() for tensor in inputs]
                moved[i][j] += sign * 4 / 4096
                ends.append(on_the_chip(*moved))
            slope = (ends[0] - ends[1]) / (8 / 4096)
            torch.testing.assert_close(grads[i][j], slope, rtol=1e-2, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), first=st.integers(1, 19), space=st.sampled_from([(), (2, 2)]))
def test_two_runs_with_the_state_are_one(seed, first, space):
    x = on_grid(2, 3, *space, 20, size=1.5, generator=seed % 2**31)
    whole, parts = leaves(x, *decays_of(3, True)), leaves(x, *decays_of(3, True))
    constants = {"threshold": 1.25, "tau": 0.8, "grad_scale": 0.3}
    spikes, after = cuba(*whole, **constants)
    left, between = cuba(parts[0][..., :first], *parts[1:], **constants)
    right, end = cuba(parts[0][..., first:], *parts[1:], **constants, state=between)
    joined = torch.cat([left, right], -1)
    assert torch.equal(joined, spikes)
    assert torch.equal(end.current, after.current)
    assert torch.equal(end.voltage, after.voltage)
    assert_all_close(gradients([joined, *end], parts), gradients([spikes, *after], whole), rtol=1e-9, atol=1e-9)


def test_recurrent_runs_with_the_state_are_one():
    x, feedback = on_grid(2, 3, 20, size=1.5), on_grid(3, 3).mul(32).round().div(32)
    whole, parts = (leaves(x, feedback, *decays_of(3, True)) for _ in range(2))
    constants = {"threshold": 1.25, "tau": 0.8, "grad_scale": 0.3}
    run = recurrent_cuba(*whole, **constants)
    u, v, s = recurrent_cuba(parts[0][..., :7], *parts[1:], **constants)
    state = (CubaState(u[..., -1], after_reset(v, 1.25)), s[..., -1])
    later = recurrent_cuba(parts[0][..., 7:], *parts[1:], **constants, state=state)
    joined = [torch.cat(pair, -1) for pair in zip((u, v, s), later, strict=True)]
    assert_all_close(joined, run, rtol=0, atol=0)
    assert_all_close(gradients(joined, parts), gradients(run, whole), rtol=1e-9, atol=1e-9)


def test_without_feedback_recurrent_cuba_is_cuba():
    x = on_grid(2, 3, 50, size=1.5)
    recurrent = recurrent_cuba(x, torch.zeros(3, 3), 0.25, 0.03, 1.25, tau=1.0)
    assert torch.equal(recurrent[2], cuba(x, 0.25, 0.03, 1.25)[0])


def test_a_graded_spike_carries_the_voltage():
    x = on_grid(2, 3, 50, size=1.5)
    graded, plain = cuba(x, 0.25, 0.03, 1.25, graded=True)[0], cuba(x, 0.25, 0.03, 1.25)[0]
    assert plain.any()
    assert torch.equal(graded > 1.25, plain > 0)
    voltage = integrate_and_fire(leaky_integrator(x, 0.25), 0.03, 1.25)
    assert torch.equal(graded, plain * voltage)


FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32, torch.bool])
def test_states_are_wide_and_spikes_of_the_inputs_dtype(dtype):
    x = (torch.rand(2, 3, 60) > 0.5).to(dtype)
    spikes, state = cuba(x, 0.25, 0.03, 3.25)
    assert spikes.dtype == (dtype if x.is_floating_point() else torch.float32)
    assert state.current.dtype == state.voltage.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    assert torch.equal(spikes.double(), cuba(x.double(), 0.25, 0.03, 3.25)[0])


def test_permuted_channels_permute_the_spikes_and_shifted_input_shifts_them():
    x, order = on_grid(2, 5, 40, size=1.5), torch.tensor([3, 1, 4, 0, 2])
    decays = decays_of(5, True)
    spikes = cuba(x, *decays, 1.25)[0]
    assert torch.equal(cuba(x[:, order], *(decay[order] for decay in decays), 1.25)[0], spikes[:, order])
    late = torch.nn.functional.pad(x, (7, 0))
    assert torch.equal(cuba(late, *decays, 1.25)[0][..., 7:], spikes)


def test_a_batch_is_its_samples():
    x = on_grid(4, 3, 40, size=1.5)
    single = torch.cat([cuba(sample[None], 0.2, 0.1, 1.25)[0] for sample in x])
    assert torch.equal(cuba(x, 0.2, 0.1, 1.25)[0], single)


def test_spike_of_any_shape_and_its_surrogate():
    voltage = torch.tensor([0.5, 1.25, 1.3], dtype=torch.float64, requires_grad=True)
    spikes = spike(voltage, 1.25, tau=0.5, scale=2.0)
    assert spikes.tolist() == [0, 0, 1]  # strictly above
    spikes.sum().backward()
    torch.testing.assert_close(voltage.grad, 2 * torch.exp(-(voltage.detach() - 1.25).abs() / 0.5))
    assert spike(torch.tensor(3), 1.25, tau=1.0).item() == 1


def test_golden_oxford_output_loss_and_gradients(shared):
    golden = np.load(shared / "golden/slayer/oxford.npz")
    x, target = (torch.tensor(golden[name]).float() for name in ("x", "target"))
    weights, decays = [], []
    for block in ("blocks.0", "blocks.1"):
        weights.append(torch.tensor(golden[f"w_{block}.synapse.weight"][..., 0, 0, 0]).requires_grad_())
        decays.append(
            [
                torch.tensor(golden[f"w_{block}.neuron.{name}"]).clamp(0, 4096).div(4096).requires_grad_()
                for name in ("current_decay", "voltage_decay")
            ]
        )

    s = x
    threshold = int(0.1 * 64) / 64
    for weight, decay in zip(weights, decays, strict=True):
        z = shift(dense(s, quantize_weight(weight)))
        s, _ = cuba(z, *decay, threshold, tau=100 * threshold, grad_scale=0.1)  # tau_grad = scale_grad = 1
    assert int(golden["output"].sum()) == 9632
    assert torch.equal(s, torch.tensor(golden["output"]).float())
    loss = spike_time(s, target, time_constant=2, filter_order=2)
    assert loss.item() == float(golden["loss"])
    loss.backward()
    for block, weight, (current, voltage) in zip(("blocks.0", "blocks.1"), weights, decays, strict=True):
        expected = torch.tensor(golden[f"grad_{block}.synapse.weight"][..., 0, 0, 0])
        torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
        # lava-dl's decay gradients have the wrong sign, and count the voltage before a reset as what decays.
        for decay, name, rtol in ((current, "current_decay", 1e-4), (voltage, "voltage_decay", 1e-2)):
            expected = -torch.tensor(golden[f"grad_{block}.neuron.{name}"])
            torch.testing.assert_close(decay.grad, expected, rtol=rtol, atol=0)


X = torch.zeros(2, 3, 5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: cuba(torch.zeros(3, 5), 0.1, 0.1, 1.0), ShapeError, r"cuba: x has too few dimensions"),
        (lambda: cuba(X * math.nan, 0.1, 0.1, 1.0), ArgumentError, r"x holds 30 NaN or infinite values"),
        (lambda: cuba(X[..., :0], 0.1, 0.1, 1.0), ShapeError, r"x has no time steps"),
        (lambda: cuba([1.0], 0.1, 0.1, 1.0), DtypeError, r"x is not a tensor"),
        (lambda: cuba(X, 1.5, 0.1, 1.0), ArgumentError, r"decay is out of range; expected .* \[0, 1\], got 1.5"),
        (lambda: cuba(X, torch.tensor([-0.1]), 0.1, 1.0), ArgumentError, r"decay is out of range"),
        (lambda: cuba(X, torch.tensor([math.nan]), 0.1, 1.0), ArgumentError, r"decay is out of range"),
        (lambda: cuba(X, "fast", 0.1, 1.0), DtypeError, r"decay is not a number"),
        (lambda: cuba(X, torch.zeros(2), 0.1, 1.0), ShapeError, r"one per channel \(3,\), got \(2,\)"),
        (lambda: cuba(X, 0.1, 0.1, -1.0), ArgumentError, r"threshold is out of range"),
        (lambda: cuba(X, 0.1, 0.1, math.nan), ArgumentError, r"threshold is out of range"),
        (lambda: cuba(X, 0.1, 0.1, 1.0, tau=0.0), ArgumentError, r"cuba: tau is out of range"),
        (
            lambda: cuba(X, 0.1, 0.1, 1.0, state=CubaState(torch.zeros(1, 3), torch.zeros(1, 3))),
            ShapeError,
            r"state has the wrong shape; expected \(2, 3\), got \(1, 3\)\. Reset the state before another batch",
        ),
        (lambda: recurrent_cuba(X[..., None], X[0, :, :3], 0.1, 0.1, 1.0, tau=1.0), ShapeError, r"space dimensions"),
        (lambda: recurrent_cuba(X, X[0], 0.1, 0.1, 1.0, tau=1.0), ShapeError, r"feedback has the wrong shape"),
        (
            lambda: recurrent_cuba(X, torch.eye(X.shape[1]), 0.1, 0.1, 1.0, tau=1.0, bias=torch.ones(99)),
            ShapeError,
            r"bias has the wrong shape",
        ),
        (lambda: spike([1.0], 1.0, tau=1.0), DtypeError, r"voltage is not a tensor"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
