"""Shifts and delays against numpy, their state, their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from block_zoo import COMPILES
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import delay, shift
from slayerloss.kernels.filters import with_past


def delayed(x: np.ndarray, steps: int) -> np.ndarray:
    y = np.zeros_like(x)
    y[..., steps:] = x[..., : x.shape[-1] - steps] if steps < x.shape[-1] else x[..., :0]
    return y


SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 12))
SPACES = st.sampled_from([(), (2, 3)])


@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, space=SPACES, steps=st.integers(0, 15), dtype=st.sampled_from([torch.float32, torch.bool]))
def test_shift(shape, space, steps, dtype):
    x = torch.rand(*shape[:2], *space, shape[2]).gt(0.5).to(dtype)
    y = shift(x, steps)
    assert y.dtype == torch.float32
    assert np.array_equal(y.numpy(), delayed(x.numpy(), steps))


@settings(max_examples=80, deadline=None)
@given(shape=SHAPES, space=SPACES, longest=st.integers(0, 15), seed=st.integers(0, 1000), strided=st.booleans())
def test_delay_of_each_channel(shape, space, longest, seed, strided):
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(*shape[:2], *space, shape[2], generator=random)
    if strided:
        x = x.movedim(-1, 0).contiguous().movedim(0, -1)
    times = torch.rand(shape[1], generator=random) * longest
    y = delay(x, times)
    for c, steps in enumerate(times.floor().int().tolist()):
        assert np.array_equal(y[:, c].numpy(), delayed(x[:, c].numpy(), steps))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 20), max_size=3), space=SPACES)
def test_runs_with_the_state_are_one_with_gradients(seed, cuts, space):
    cuts = sorted({cut for cut in cuts if 0 < cut < 20})
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 3, *space, 20, generator=random, dtype=torch.float64).requires_grad_()
    times = (torch.rand(3, generator=random, dtype=torch.float64) * 8).requires_grad_()
    weights = torch.rand(x.shape, generator=random, dtype=torch.float64)
    for function in (lambda part, state: delay(part, times, state=state, return_state=True),
                     lambda part, state: shift(part, 5, state=state, return_state=True)):  # fmt: skip
        whole, end = function(x, None)
        state, parts = None, []
        for part in x.tensor_split(cuts, dim=-1):
            y, state = function(part, state)
            parts.append(y)
        joined = torch.cat(parts, -1)
        assert torch.equal(joined, whole)
        assert torch.equal(state, end)
        grads = [torch.autograd.grad((y * weights).sum(), [x, times], allow_unused=True) for y in (joined, whole)]
        for one, other in zip(*grads, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_adjoint_identity_and_gradcheck(space):
    x, g = torch.rand(2, 2, 3, *space, 9, dtype=torch.float64)
    times = torch.tensor([0.0, 2.5, 20.0], dtype=torch.float64)
    x.requires_grad_()
    (adjoint,) = torch.autograd.grad(delay(x, times), x, g)
    torch.testing.assert_close((delay(x, times) * g).sum(), (x * adjoint).sum())
    state = torch.rand(2, 3, *space, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, state: delay(x, times, state=state), (x, state))
    assert torch.autograd.gradcheck(lambda x, state: shift(x, 3, state=state, return_state=True), (x, state))


def test_gradient_of_a_delay_is_minus_the_slope_in_time():
    x = torch.rand(2, 3, 2, 2, 15, dtype=torch.float64)
    times = torch.tensor([0.3, 2.5, 4.0], dtype=torch.float64).requires_grad_()
    g = torch.rand(x.shape, dtype=torch.float64)
    (grad,) = torch.autograd.grad(delay(x, times), times, g)
    y = delay(x, times.detach())
    slope = y.diff(dim=-1, prepend=torch.zeros_like(y[..., :1]))  # silence before the run
    torch.testing.assert_close(grad, -(g * slope).sum((0, 2, 3, 4)))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_the_past_of_any_length_in_any_dimension(dim):
    x, past = torch.ones(3), torch.arange(1.0, 5)
    for steps, known, expected in (
        (2, past, [3, 4, 1, 1, 1]),
        (0, past, [1, 1, 1]),
        (6, past, [0, 0, 1, 2, 3, 4, 1, 1, 1]),
        (2, None, [0, 0, 1, 1, 1]),
        (1, past.int(), [4, 1, 1, 1]),
    ):
        x_, known_ = (None if part is None else torch.stack([part, 2 * part], 1 - dim % 2) for part in (x, known))
        y = with_past(x_, steps, known_, dim)
        assert y.dtype == x.dtype
        assert torch.equal(y.select(1 - dim % 2, 1), 2 * torch.tensor(expected))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint8, torch.int64])
def test_integers_give_floats_and_the_delay_its_gradient(dtype):
    x = torch.rand(2, 3, 9).gt(0.5).to(dtype)
    times = torch.tensor([0.0, 1.5, 3.0])
    results = []
    for events in (x, x.float()):
        learned = times.clone().requires_grad_()
        y, state = delay(events, learned, return_state=True)
        y.square().sum().backward()
        results.append((y, state, learned.grad))
    for one, other in zip(*results, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
    assert shift(x, 2, return_state=True)[1].dtype == torch.float32


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), margin=st.integers(0, 5), cut=st.integers(1, 11), known=st.integers(0, 20))
def test_a_longest_delay_that_is_known_changes_nothing_but_the_state(seed, margin, cut, known):
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 3, 12, generator=random, dtype=torch.float64).requires_grad_()
    state = torch.rand(2, 3, known, generator=random, dtype=torch.float64).requires_grad_()
    times = (torch.rand(3, generator=random, dtype=torch.float64) * 9).requires_grad_()
    weights = torch.rand(x.shape, generator=random, dtype=torch.float64)
    longest = int(times.max()) + margin
    expected = delay(x, times, state=state)
    first, after = delay(x[..., :cut], times, longest=longest, state=state, return_state=True)
    assert after.shape == (2, 3, longest + 1)
    joined = torch.cat([first, delay(x[..., cut:], times, longest=longest, state=after)], -1)
    assert torch.equal(joined, expected)
    grads = [torch.autograd.grad((y * weights).sum(), [x, state, times]) for y in (joined, expected)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_the_memory_of_a_delay_longer_than_the_run_is_that_of_the_run():
    x = torch.rand(1, 2, 5)
    state = torch.rand(1, 2, 3)
    widths = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda saved: widths.append(saved.shape[0]) or saved, lambda y: y)
    with hooks:
        y = delay(x.requires_grad_(), torch.tensor([65536.0, 7.0]).requires_grad_(), state=state)
    assert max(widths) <= 6
    assert not y[:, 0].any()
    assert torch.equal(y[0, 1], torch.cat([torch.zeros(4), state[0, 1, :1]]))


@pytest.mark.parametrize("longest", [None, 3])
def test_no_channels_and_no_samples(longest):
    y, state = delay(torch.zeros(2, 0, 5), torch.zeros(0), longest=longest, return_state=True)
    assert y.shape == (2, 0, 5)
    assert state.shape == (2, 0, (longest or 0) + 1)
    assert delay(torch.zeros(0, 2, 5), torch.ones(2), longest=longest).shape == (0, 2, 5)


@COMPILES
def test_a_delay_of_known_bound_compiles_into_one_graph():
    torch.compiler.reset()
    compiled = torch.compile(
        lambda x, times, state: delay(x, times, longest=4, state=state, return_state=True),
        backend="aot_eager",
        fullgraph=True,
    )
    x, times, state = torch.rand(2, 3, 6), torch.tensor([0.0, 2.5, 4.0]), torch.rand(2, 3, 5)
    results = []
    for run in (compiled, lambda *a: delay(*a[:2], longest=4, state=a[2], return_state=True)):
        inputs = [part.clone().requires_grad_() for part in (x, times, state)]
        y, after = run(*inputs)
        results.append((y, after, *torch.autograd.grad(y.square().sum() + after.sum(), inputs)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


X = torch.zeros(2, 3, 5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: shift(X, -1), ArgumentError, r"shift: steps is out of range; expected an integer of at least 0"),
        (lambda: shift(X, 1.5), DtypeError, r"steps is not an integer"),
        (lambda: shift(X[0], 1), ShapeError, r"too few dimensions"),
        (lambda: shift(X, 1, state=X[:1]), ShapeError, r"state has the wrong shape; .* Reset the state before another"),
        (lambda: delay(X, torch.zeros(2)), ShapeError, r"delays has the wrong shape; expected \(3,\), got \(2,\)"),
        (lambda: delay(X, torch.tensor([0.0, -1, 0])), ArgumentError, r"delays is out of range; expected values in"),
        (lambda: delay(X, torch.tensor([0, 1e9, 0])), ArgumentError, r"values in \[0, 65536\], got 0 to 1e\+09"),
        (lambda: delay(X, torch.tensor([0, 4.0, 0]), longest=3), ArgumentError, r"delays is out of range; .*\[0, 3\]"),
        (lambda: delay(X, torch.ones(3), longest=-1), ArgumentError, r"longest is out of range"),
        (lambda: shift(X, 10**9), ArgumentError, r"shift: steps is out of range; .* at most 65536"),
        (lambda: shift(X, 1, state=5), DtypeError, r"shift: state is not a tensor"),
        (lambda: delay(X, torch.ones(3), state="x"), DtypeError, r"delay: state is not a tensor"),
        (lambda: delay(X, torch.full((3,), math.nan)), ArgumentError, r"delays holds 3 NaN or infinite values"),
        (lambda: delay(X, torch.full((3,), math.inf)), ArgumentError, r"delays holds 3 NaN or infinite values"),
        (lambda: delay(X, [1, 2, 3]), DtypeError, r"delays is not a tensor"),
        (lambda: delay(X, torch.ones(3), state=X[:1]), ShapeError, r"delay: state has the wrong shape"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
