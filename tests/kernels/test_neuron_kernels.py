"""The C++ kernels of the neuron against the reference: bit-equal forward, and every gradient."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from filter_cases import check_operator, needs_operators
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, use_backend
from slayerloss.functional import CubaState, cuba, fire, integrate_and_fire, leaky_integrator
from slayerloss.kernels import neuron_operators as operators
from slayerloss.kernels.cpu import library

pytestmark = pytest.mark.skipif(bool(library.problem()), reason=f"no C++ kernels: {library.problem()}")

ORDERS = ("time last", "time first", "sliced", "reversed")


def in_order(x: torch.Tensor, order: str) -> torch.Tensor:
    """The same values in another memory order."""
    if order == "time last":
        return x.contiguous()
    if order == "time first":
        return x.movedim(-1, 0).contiguous().movedim(0, -1)
    if order == "sliced":
        return torch.stack([x, x], dim=-1)[..., 0]
    return x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))


def assert_near(found, expected, tolerance, floor=1e-30):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b.numel():
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            error, size = float((a - b).detach().abs().max()), float(b.detach().abs().max())
            assert error <= tolerance * max(size, floor)


def results(backend, function, tensors, order, threads):
    """What a function of differentiable tensors gives, and all gradients of a weighted sum of it."""
    torch.set_num_threads(threads)
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    with use_backend(backend):
        outputs = function(in_order(leaves[0], order), *leaves[1:])
        weights = [torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape) for out in outputs]
        loss = sum((out * weight).sum() for out, weight in zip(outputs, weights, strict=True))
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    torch.set_num_threads(1)
    return outputs, gradients


SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 70)),
    st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 20)),
    st.tuples(st.just(2), st.integers(1, 2), st.integers(500, 1100)),  # several chunks
    st.tuples(st.integers(8, 9), st.just(33), st.integers(120, 140)),  # several wide blocks
)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=SHAPES,
    order=st.sampled_from(ORDERS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    kind=st.sampled_from(["cuba", "fire", "leaky_integrator", "integrate_and_fire"]),
    size=st.sampled_from([0.3, 3.0, 300.0, 1800.0, 2047.9]),
    per_channel=st.booleans(),
    graded=st.booleans(),
    threshold=st.sampled_from([0.0, 1.25, 30.0, math.pi]),
    scale=st.sampled_from([64, 1, 100]),
    threads=st.integers(1, 2),
)
@example(1, (1, 1, 1), "time last", torch.float32, "cuba", 0.3, False, False, 1.25, 64, 2)
@example(1, (2, 1, 975), "time last", torch.float32, "leaky_integrator", 0.3, False, False, 0.0, 64, 1)
def test_equal_to_the_reference(seed, shape, order, dtype, kind, size, per_channel, graded, threshold, scale, threads):
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=dtype).mul_(size).clamp_(-2047.9, 2047.9)
    decays = torch.rand(2, shape[1] if per_channel else 1)
    decays = torch.where(torch.rand_like(decays) < 0.1, torch.rand_like(decays).round(), decays)
    lsb = 64 * scale
    states = [torch.randint(-(2**20), 2**20, shape[:-1]).to(dtype) / lsb for _ in range(2)]
    surrogate = {"tau": 2.0, "grad_scale": 0.3, "graded": graded}

    def call(x, current_decay, voltage_decay, current, voltage):
        if kind == "leaky_integrator":
            return (leaky_integrator(x, current_decay, state=current, scale=scale),)
        if kind == "integrate_and_fire":
            return (integrate_and_fire(x, voltage_decay, threshold, state=voltage, scale=scale),)
        if kind == "fire":
            return fire(x, voltage_decay, threshold, state=voltage, scale=scale, **surrogate)
        state = CubaState(current, voltage)
        spikes, state = cuba(x, current_decay, voltage_decay, threshold, state=state, scale=scale, **surrogate)
        return spikes, *state

    given = [x, *decays, *states]
    expected, expected_gradients = results("reference", call, given, order, 1)
    found, gradients = results("cpu", call, given, order, threads)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
        sizes = [i for i in range(b.ndim) if b.shape[i] > 1]
        assert [a.stride(i) for i in sizes] == [b.stride(i) for i in sizes]
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    cancelling = 0.01 * float(sum(state.abs().sum() for state in states))  # gradients of decays are sums over all rows
    assert_near(gradients[1:3], expected_gradients[1:3], tolerance, cancelling)
    # a filter's gradient sums up to one weight a step, of both signs; a spike's has its surrogate before them
    sums = shape[-1] if kind in ("leaky_integrator", "integrate_and_fire") else 1e-30
    assert_near(gradients[:1] + gradients[3:], expected_gradients[:1] + expected_gradients[3:], tolerance, sums)


@pytest.mark.parametrize("order", ["time last", "time first"])
def test_numbers_of_threads_give_the_same_bits(order):
    torch.manual_seed(0)
    given = [torch.randn(16, 70, 200), torch.tensor([0.2]), torch.rand(70), torch.zeros(16, 70), torch.zeros(16, 70)]

    def call(x, a, b, u, v):
        spikes, state = cuba(x, a, b, 1.0, state=CubaState(u, v))
        return spikes, *state

    one, two = (results("cpu", call, given, order, threads) for threads in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip((*one[0], *one[1]), (*two[0], *two[1]), strict=True))


@pytest.mark.parametrize("function", [cuba, fire])
def test_what_does_not_fit_the_integers_goes_to_the_reference(function):
    decays = (0.1, 0.2) if function is cuba else (0.2,)
    x = torch.randn(2, 3, 50)
    x[1, 2, 7] = 5000.0
    with use_backend("reference"):
        expected = function(x, *decays, 1.0)[0]
    assert torch.equal(function(x, *decays, 1.0)[0], expected)
    for value in (math.nan, math.inf, -math.inf):
        x[0, 0, 0] = value
        with pytest.raises(ArgumentError, match=r": x holds 1 NaN or infinite values"):
            function(x, *decays, 1.0)


def test_a_state_between_two_integers_goes_to_the_reference():
    state = CubaState(torch.full((1, 2), 0.3), torch.full((1, 2), 0.7))
    with use_backend("reference"):
        expected = cuba(torch.ones(1, 2, 9), 0.1, 0.1, 3.0, state=state)
    found = cuba(torch.ones(1, 2, 9), 0.1, 0.1, 3.0, state=state)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1].voltage, expected[1].voltage)


def test_what_saves_tensors_may_change_their_memory_order():
    x, weight = torch.rand(300, 4, 70).permute(1, 2, 0), torch.rand(4, 70, 300)
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.clone(memory_format=torch.contiguous_format), lambda t: t
    )

    def gradient():
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        return torch.autograd.grad((cuba(leaf, 0.2, 0.1, 1.0)[0] * weight).sum(), leaf)[0]

    expected = gradient()
    with hooks:
        assert torch.equal(gradient(), expected)


def test_an_empty_batch_has_empty_gradients():
    x, decays = torch.empty(0, 3, 5, requires_grad=True), torch.full((2, 3), 0.5, requires_grad=True)
    spikes, state = cuba(x, *decays, 1.0)
    found = torch.autograd.grad(spikes.sum() + state.voltage.sum(), [x, decays])
    assert found[0].shape == x.shape
    assert torch.equal(found[1], torch.zeros(2, 3))


@pytest.mark.parametrize("graded", [False, True])
def test_second_derivatives_are_those_of_the_reference(graded):
    torch.manual_seed(0)
    given = [torch.randn(2, 3, 12, dtype=torch.float64), torch.tensor([0.2]).double(), torch.rand(3).double()]

    def second(backend):
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        with use_backend(backend):
            spikes, state = cuba(*leaves, 1.0, tau=0.7, graded=graded)
            loss = (spikes * torch.arange(12)).sum() + state.voltage.sum()
            first = torch.autograd.grad(loss, leaves, create_graph=True)
            return first, torch.autograd.grad(sum((g * g).sum() for g in first), leaves)

    (first, found), (expected_first, expected) = second("cpu"), second("reference")
    plain = [tensor.clone().requires_grad_() for tensor in given]
    spikes, state = cuba(*plain, 1.0, tau=0.7, graded=graded)
    loss = (spikes * torch.arange(12)).sum() + state.voltage.sum()
    assert_near(first, torch.autograd.grad(loss, plain), 1e-10)
    assert_near(first, expected_first, 1e-10)
    assert_near(found, expected, 1e-10)
    assert all(float(g.abs().max()) > 0 for g in found)


def test_second_derivative_by_finite_differences():
    torch.manual_seed(0)
    x = torch.rand(1, 2, 6, dtype=torch.float64) * 0.1  # nothing spikes
    x = (x * 4096).round() / 4096
    grad_out = torch.rand(1, 2, 6, dtype=torch.float64, requires_grad=True)

    def first(grad_out):
        leaf = x.clone().requires_grad_()
        spikes, _ = cuba(leaf, 0.25, 0.125, 1.0, tau=0.5)
        return torch.autograd.grad(spikes, leaf, grad_out, create_graph=True)[0]

    assert torch.autograd.gradcheck(first, grad_out)


@pytest.mark.parametrize("filtered", [leaky_integrator, partial(integrate_and_fire, threshold=math.inf)])
def test_second_derivatives_of_a_filter_by_input_and_decay(filtered):
    """On a grid on which nothing is cut off, they are those of the equation."""
    torch.manual_seed(0)
    x = (torch.randint(-8, 8, (2, 3, 6)).double() / 4).requires_grad_()
    decay = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)

    def second(run):
        first = torch.autograd.grad(run(x, decay).pow(3).sum(), (x, decay), create_graph=True)
        return torch.autograd.grad(first[0].pow(2).sum() + first[1].sum(), (x, decay))

    def equation(x, decay):
        u, steps = torch.zeros(()), []
        for x_t in x.unbind(-1):
            u = (1 - decay) * u + x_t
            steps.append(u)
        return torch.stack(steps, -1)

    assert_near(second(filtered), second(equation), 1e-12)


@needs_operators
@pytest.mark.parametrize("order", ["time last", "time first", "sliced"])
def test_operators_are_what_torch_expects_of_operators(order):
    x, state = in_order(torch.rand(2, 3, 5), order), torch.rand(2, 3)
    keep = torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64)
    given = (x, keep, keep[:1], state * 0, state * 0)
    voltages = operators.cuba(*given, 0.5, 4096.0, False, 2, "cuba")[-1]
    calls = [
        (operators.leaky_integrator, (x, keep, state, 4096.0, "f")),
        (operators.integrate_and_fire, (x, keep, 0.5, state, 4096.0, "f")),
        (operators.leaky_adjoint, (x, keep, x, state, 0.5)),
        (operators.leaky_adjoint, (x, keep, None, state, 0.5)),
        (operators.cuba, (*given, 0.5, 4096.0, False, 1, "f")),
        (operators.cuba, (x, None, *given[2:], 0.5, 4096.0, True, 0, "f")),
        *(
            (
                operators.cuba_gradients,
                (
                    x,
                    x,
                    None,
                    state,
                    first,
                    *given[2:],
                    voltages,
                    0.5,
                    4096.0,
                    1.0,
                    1.0,
                    False,
                    learns,
                    order == "time first",
                ),
            )
            for first in (keep, None)
            for learns in (False, True)
        ),
    ]
    for operator, arguments in calls:
        check_operator(operator, arguments)
