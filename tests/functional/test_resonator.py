"""The resonator and the spike of its phase: Lava's integers, the one definition of the gradients, state, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from resonator_model import differentiable_resonator, integer_resonator

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import ResonatorState, phase_spike, resonator, resonator_state, spike

THRESHOLD = pytest.mark.parametrize("threshold", [None, 1.25])
SPACE = pytest.mark.parametrize("space", [(), (2, 3)])
PER_CHANNEL = pytest.mark.parametrize("per_channel", [False, True])


def on_grid(*shape: int, size: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Random float64 multiples of 1/4096."""
    random = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=random, dtype=torch.float64).sub(0.5).mul(size * 4096).round().div(4096)


@pytest.mark.parametrize("scale", [7, 48, 64, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_reset_is_one_lsb_below_every_threshold_of_the_grid(scale, dtype):
    zero = torch.zeros(1, 1, 1, dtype=dtype)
    for threshold in range(1, 300):
        after = resonator_state(zero, zero + threshold / scale, threshold / scale, scale)
        assert round(after.imag.item() * 64 * scale) == 64 * threshold - 1


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 30)),
    space=st.sampled_from([(), (2, 3)]),
    size=st.sampled_from([100, 10_000, 2**17]),
    per_channel=st.booleans(),
    resets=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int64]),
    strided=st.booleans(),
    near_limits=st.booleans(),
)
def test_equal_to_lavas_integers(seed, shape, space, size, per_channel, resets, dtype, strided, near_limits):
    random = np.random.default_rng(seed)
    (samples, channels, steps), scale = shape, 1 if dtype is torch.int64 else 64
    drives = 64 * random.integers(-size, size, (2, samples, channels, *space, steps), endpoint=True)
    angle = random.uniform(0, np.pi / 2, channels if per_channel else 1)
    left = random.uniform(0, 1, angle.shape)
    sin, cos = (np.round(4096 * left * part(angle)).astype(np.int64) for part in (np.sin, np.cos))
    limit = 2**23 - 1 if near_limits else 5000
    states = random.integers(-limit, limit, (2, *drives.shape[1:-1]), endpoint=True)
    channel = (-1, *[1] * len(space))
    threshold = 80 if resets else None
    expected = integer_resonator(
        *np.moveaxis(drives, -1, 1), sin.reshape(channel), cos.reshape(channel), (resets and 80 * 64) or None, *states
    )

    x = [torch.tensor(drive // 64).to(dtype) for drive in drives]
    x = x if dtype is torch.int64 else [part / scale for part in x]
    if strided:
        x = [torch.stack([part, part], -1).transpose(0, 1).contiguous().transpose(0, 1).select(-1, 1) for part in x]
    state = ResonatorState(*(torch.tensor(part) / (64 * scale) for part in states.astype(np.float64)))
    turn = (torch.tensor(part) / 4096 for part in (sin.astype(np.float64), cos.astype(np.float64)))
    threshold = None if threshold is None else threshold / scale
    found = resonator(*x, *turn, threshold, state=state, scale=scale)
    for part, whole in zip(found, expected, strict=True):
        assert part.shape == x[0].shape
        assert np.array_equal(np.moveaxis(part.double().numpy() * 64 * scale, -1, 0), whole)
    after = resonator_state(*found, threshold, scale)
    fired = expected[1][-1] >= 80 * 64 if resets else np.zeros(states[0].shape, bool)
    assert np.array_equal(after.real.double().numpy() * 64 * scale, np.where(fired, 0, expected[0][-1]))
    assert np.array_equal(after.imag.double().numpy() * 64 * scale, np.where(fired, 80 * 64 - 1, expected[1][-1]))


@THRESHOLD
@SPACE
@PER_CHANNEL
def test_gradients_are_the_equations(threshold, space, per_channel):
    x = [on_grid(2, 3, *space, 25, size=1.5, seed=seed) for seed in (0, 1)]
    states = [on_grid(2, 3, *space, seed=seed) for seed in (2, 3)]
    angle = torch.rand(3 if per_channel else 1, dtype=torch.float64)
    turn = [0.9 * torch.sin(angle), 0.9 * torch.cos(angle)]
    results = []
    for run in (resonator, differentiable_resonator):
        leaves = [part.clone().requires_grad_() for part in (*x, *turn, *states)]
        state = ResonatorState(*leaves[4:])
        found = run(*leaves[:4], threshold, state=state)
        last = resonator_state(*found, threshold) if run is resonator else found[2]
        weight = torch.linspace(-1, 2, x[0].numel(), dtype=torch.float64).reshape(x[0].shape)
        loss = (found[0] * weight + found[1] * weight.square()).sum() + last[0].sum() - 2 * last[1].sum()
        results.append((found[:2], torch.autograd.grad(loss, leaves)))
    (found, gradients), (expected, expected_gradients) = results
    for part, whole in zip(found, expected, strict=True):
        assert torch.equal(part, whole)
    if threshold is not None:
        assert bool((found[1] >= threshold).any())
    for gradient, whole in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, whole, rtol=1e-10, atol=1e-10)


def test_gradients_of_the_turn_are_finite_differences():
    x = [on_grid(1, 1, 12, size=2000, seed=seed) for seed in (0, 1)]  # large, so that cutting matters little
    turn = [torch.tensor([2000 / 4096], requires_grad=True), torch.tensor([3000 / 4096], requires_grad=True)]

    def loss(sin, cos):
        real, imag = resonator(*x, sin, cos)
        return (real + 2 * imag).square().mean()

    gradients = torch.autograd.grad(loss(*turn), turn)
    step = 4 / 4096
    for number, gradient in enumerate(gradients):
        ends = [loss(*(part + sign * step * (i == number) for i, part in enumerate(turn))) for sign in (1, -1)]
        assert float((ends[0] - ends[1]).detach()) / (2 * step) == pytest.approx(float(gradient), rel=0.01)


@THRESHOLD
def test_second_derivatives(threshold):
    x = [on_grid(1, 2, 6, size=3, seed=seed).requires_grad_() for seed in (0, 1)]
    turn = [torch.tensor([0.4, 0.5], dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def second(run):
        real, imag = run(*x, *turn, threshold)[:2]
        first = torch.autograd.grad((real.square() * imag).sum(), (*x, *turn), create_graph=True)
        return torch.autograd.grad(sum(part.square().sum() for part in first), (*x, *turn))

    for found, expected in zip(second(resonator), second(differentiable_resonator), strict=True):
        torch.testing.assert_close(found, expected)


@settings(max_examples=25, deadline=None)
@given(parts=st.lists(st.integers(1, 20), min_size=1, max_size=4), threshold=st.sampled_from([None, 0.75]))
def test_runs_with_state_equal_one_run(parts, threshold):
    x = [on_grid(2, 3, sum(parts), size=2, seed=seed).requires_grad_() for seed in (0, 1)]
    whole = resonator(*x, 0.3, 0.9, threshold)
    spikes = phase_spike(*whole, 0.5, tau=1.0)
    state, chunks, fired = None, [], []
    for chunk in zip(*(part.split(parts, dim=-1) for part in x), strict=True):
        found = resonator(*chunk, 0.3, 0.9, threshold, state=state)
        if threshold is None:
            fired.append(phase_spike(*found, 0.5, tau=1.0, before=None if state is None else state.imag))
        state = resonator_state(*found, threshold)
        chunks.append(found)
    joined = [torch.cat(part, -1) for part in zip(*chunks, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(joined, whole, strict=True))
    if threshold is None:
        assert torch.equal(torch.cat(fired, -1), spikes)
    gradients = [torch.autograd.grad((real + 2 * imag).square().sum(), x) for real, imag in (joined, whole)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_half_precision_is_computed_in_single():
    x = [on_grid(2, 3, 20, seed=seed).bfloat16() for seed in (0, 1)]
    found, expected = resonator(*x, 0.4, 0.8), resonator(*(part.float() for part in x), 0.4, 0.8)
    assert found[0].dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("varies", [False, True])
def test_phase_spikes_and_their_surrogate(graded, varies):
    real, imag = (on_grid(2, 3, 30, size=4, seed=seed).requires_grad_() for seed in (0, 1))
    threshold = torch.tensor([[0.5], [0.25], [0.0]], dtype=torch.float64, requires_grad=True) if varies else 0.5
    before = on_grid(2, 3, seed=5)
    s = phase_spike(real, imag, threshold, tau=0.8, scale=2.0, graded=graded, before=before)
    earlier = torch.cat([before[..., None], imag[..., :-1]], -1)
    reached = (real >= threshold) & (imag >= 0) & (earlier < 0)
    assert reached.any()
    assert torch.equal(s, reached * real if graded else reached.double())
    grad = torch.randn_like(s)
    inputs = (real, imag, threshold) if varies else (real, imag)
    found = torch.autograd.grad(s, inputs, grad)
    d = real - threshold
    near_real = torch.exp(d.clamp(max=0) / 0.8) if graded else torch.exp(-d.abs() / 0.8) / 1.6
    near_imag = torch.exp(-imag.abs() / 0.8) / 1.6
    step = (1 + torch.sign(d) * (1 - 1.6 * near_real)) / 2
    expected = [2 * near_real * near_imag * grad, -2 / 0.8 * imag.sign() * near_imag * step * grad]
    expected += [-expected[0].sum((0, 2))[:, None]] if varies else []
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_second_derivatives_of_the_phase_surrogate():
    real, imag = (on_grid(1, 2, 5, size=4, seed=seed).requires_grad_() for seed in (0, 1))

    def smooth(real, imag):  # whose derivatives are the surrogate
        d = real - 0.5
        h = (1 + d.sign() * (1 - torch.exp(-d.abs() / 0.8))) / 2
        return 2 * h * torch.exp(-imag.abs() / 0.8) / 1.6

    results = []
    for function in (smooth, lambda *z: phase_spike(*z, 0.5, tau=0.8, scale=2.0)):
        first = torch.autograd.grad(function(real, imag).sum(), (real, imag), create_graph=True)
        results.append((*first, *torch.autograd.grad(sum(g.square().sum() for g in first), (real, imag))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_memory_order_of_the_spikes_is_that_of_the_state():
    real, imag = (on_grid(2, 3, 30, size=4, seed=seed).movedim(-1, 0).contiguous().movedim(0, -1) for seed in (0, 1))
    assert phase_spike(real, imag, 0.5, tau=1.0).stride() == real.stride()
    assert resonator(real, imag.contiguous(), 0.4, 0.5)[1].stride() == real.stride()
    assert torch.equal(spike(imag, 0.5, tau=1.0, inclusive=True), (imag >= 0.5).double())


X = torch.zeros(2, 3, 5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: resonator(X[0], X[0], 0.1, 0.1), ShapeError, r"resonator: real has too few dimensions"),
        (lambda: resonator(X, X[:1], 0.1, 0.1), ShapeError, r"imag does not match real"),
        (lambda: resonator(X, None, 0.1, 0.1), DtypeError, r"imag is not a tensor"),
        (lambda: resonator(X, X * math.nan, 0.1, 0.1), ArgumentError, r"imag holds 30 NaN or infinite values"),
        (lambda: resonator(X[..., :0], X[..., :0], 0.1, 0.1), ShapeError, r"real has no time steps"),
        (lambda: resonator(X, X, 1.5, 0.1), ArgumentError, r"sin_decay is out of range; expected .* \[0, 1\]"),
        (lambda: resonator(X, X, 0.1, torch.tensor([-0.1])), ArgumentError, r"cos_decay is out of range"),
        (lambda: resonator(X, X, 0.1, torch.zeros(2)), ShapeError, r"cos_decay does not fit the channels"),
        (lambda: resonator(X, X, 0.1, 0.1, -1.0), ArgumentError, r"threshold is out of range"),
        (lambda: resonator(X, X, 0.1, 0.1, scale=0), ArgumentError, r"scale is out of range"),
        (lambda: resonator(X, X, 0.1, 0.1, state=(X[..., 0],)), ArgumentError, r"state has the wrong length"),
        (lambda: resonator(X, X, 0.1, 0.1, state=(X[..., 0], X)), ShapeError, r"state has the wrong shape"),
        (lambda: phase_spike(X, X[:1], 1.0, tau=1.0), ShapeError, r"phase_spike: imag does not match real"),
        (lambda: phase_spike(X, X, 1.0, tau=0), ArgumentError, r"phase_spike: tau is out of range"),
        (lambda: phase_spike(X, X, 1.0, tau=1, before=X), ShapeError, r"before has the wrong shape"),
        (lambda: phase_spike(X, X, X[..., :2], tau=1), ShapeError, r"threshold has the wrong shape"),
        (lambda: phase_spike(X, X / 0, 1.0, tau=1), ArgumentError, r"imag holds 30 NaN"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
