"""The C++ kernel of the resonator against the reference: bit-equal forward, and every gradient."""

from __future__ import annotations

import math

import pytest
import torch
from filter_cases import ORDERS, SHAPES, assert_near, both, check_operator, in_order, needs_kernels, needs_operators
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, use_backend
from slayerloss.functional import ResonatorState, phase_spike, resonator
from slayerloss.kernels import phase_spike as phases
from slayerloss.kernels import resonator as kernel


@needs_kernels
@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    order=ORDERS,
    dtype=st.sampled_from([torch.float32, torch.float64]),
    size=st.sampled_from([0.3, 30.0, 1800.0, 2047.9]),
    per_channel=st.booleans(),
    threshold=st.sampled_from([None, 0.0, 1.25, math.pi]),
    scale=st.sampled_from([64, 1, 100]),
    threads=st.integers(1, 2),
)
def test_equal_to_the_reference(seed, shape, order, dtype, size, per_channel, threshold, scale, threads):
    torch.manual_seed(seed)
    x = torch.randn(2, *shape, dtype=dtype).mul_(size).clamp_(-2047.9, 2047.9)
    angle = torch.rand(shape[1] if per_channel else 1) * math.pi / 2
    turn = [(torch.rand_like(angle) * part(angle)).abs() for part in (torch.sin, torch.cos)]
    states = [torch.randint(-(2**20), 2**20, shape[:-1]).to(dtype) / (64 * scale) for _ in range(2)]

    def run(real, imag, sin, cos, *state):
        state = ResonatorState(*state)
        return torch.stack(resonator(in_order(real, order), imag, sin, cos, threshold, state=state, scale=scale))

    found, expected = both(run, [*x, *turn, *states], threads)
    assert torch.equal(found[0], expected[0])
    # the gradient of the turn is a sum of many terms that cancel
    assert_near(found[3:5], expected[3:5], times=1000)
    assert_near(found[1:3] + found[5:], expected[1:3] + expected[5:], times=10)


@needs_kernels
@pytest.mark.parametrize("order", ["time last", "time first"])
def test_numbers_of_threads_give_the_same_bits(order):
    torch.manual_seed(0)
    given = [*torch.randn(2, 16, 70, 200), torch.rand(70), torch.rand(70) * 0.7]

    def run(real, imag, sin, cos):
        return torch.stack(resonator(in_order(real, order), imag, sin, cos, 0.5))

    one, two = (both(run, given, threads)[0] for threads in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@needs_kernels
def test_images_whose_channels_lie_together_stay_so():
    x = [torch.randn(6, 2, 4, 4, 3).permute(1, 4, 2, 3, 0) for _ in range(2)]
    turn = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.9, 0.8, 0.7])
    found, expected = resonator(*x, *turn), resonator(*(part.contiguous() for part in x), *turn)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found[0].stride() == x[0].stride()


@needs_kernels
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    order=ORDERS,
    dtype=st.sampled_from([torch.float32, torch.float64]),
    tau=st.sampled_from([0.1, 1.0, 50.0]),
    graded=st.booleans(),
    starts=st.booleans(),
    threads=st.integers(1, 2),
)
def test_phase_spikes_equal_the_reference(seed, shape, order, dtype, tau, graded, starts, threads):
    torch.manual_seed(seed)
    parts = torch.randn(2, *shape, dtype=dtype).mul_(4).round_().div_(4)  # some at the threshold, and at zero
    before = torch.randn(shape[:-1], dtype=dtype) if starts else None

    def run(real, imag):
        return phase_spike(in_order(real, order), imag, 0.5, tau=tau, scale=2.0, graded=graded, before=before)

    found, expected = both(run, list(parts), threads)
    assert torch.equal(found[0], expected[0])
    assert_near(found, expected, times=5)


def test_what_does_not_fit_the_integers_goes_to_the_reference():
    x = [torch.randn(2, 3, 50) for _ in range(2)]
    x[1][1, 2, 7] = 5000.0
    with use_backend("reference"):
        expected = resonator(*x, 0.1, 0.9)
    assert all(torch.equal(a, b) for a, b in zip(resonator(*x, 0.1, 0.9), expected, strict=True))
    for value in (math.nan, math.inf, -math.inf):
        x[0][0, 0, 0] = value
        with pytest.raises(ArgumentError, match=r"resonator: real holds 1 NaN or infinite values"):
            resonator(*x, 0.1, 0.9)


@needs_kernels
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_compiles(threshold):
    torch.manual_seed(0)
    leaves = [torch.randn(2, 3, 30).requires_grad_() for _ in range(2)]
    leaves += [torch.tensor([0.1, 0.2, 0.3], requires_grad=True), torch.tensor([0.9, 0.8, 0.7], requires_grad=True)]

    def spikes(real, imag, sin, cos):
        real, imag = resonator(real, imag, sin, cos, threshold)
        return phase_spike(real, imag, 0.5, tau=1.0) + imag

    compiled = torch.compile(spikes, backend="aot_eager", fullgraph=True)
    found, expected = (f(*leaves) for f in (compiled, spikes))
    assert torch.equal(found, expected)
    assert_near(*(torch.autograd.grad(y.square().sum(), leaves) for y in (found, expected)), times=5)


@needs_operators
@pytest.mark.parametrize("order", ["time last", "time first", "sliced"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("channels", [1, 3])
def test_operators_are_what_torch_expects_of_operators(order, backend, channels):
    x = [in_order(torch.rand(2, 3, 5), order) for _ in range(2)]
    turn = [torch.full((channels,), 0.5, dtype=torch.float64) for _ in range(2)]
    states = [torch.rand(2, 3).mul(4096).round().div(4096) for _ in range(2)]
    with use_backend(backend):
        for operator, given in (
            (kernel._forward, (*x, *turn, *states, 5000.0, 4096.0, "f")),
            (kernel._forward, (*x, *turn, None, None, math.inf, 4096.0, "f")),
            (kernel._gradients, (*x, *turn, None, None, *states, 1.25, 1.0)),
            (kernel._gradients, (*x, *turn, *x, *states, 1.25, 1.0)),
            (kernel._gradients, (*x, *turn, *x, None, None, math.inf, math.inf)),
        ):
            check_operator(operator.default, given)
        spikes = (*x, states[0], 1.0, False), (*x, None, 1.0, True)
        for operator, given in (
            *((phases._forward, given) for given in spikes),
            (phases._gradients, (*x, x[0], 1.0, 0.5, 2.0, True)),
        ):
            check_operator(operator.default, given)
