"""The C++ kernels of delays against the reference: values, state, every gradient, in every memory order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from block_zoo import COMPILES
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import use_backend
from slayerloss.block import cuba
from slayerloss.functional import delay, shift
from slayerloss.kernels.cpu import library

pytestmark = pytest.mark.skipif(bool(library.problem()), reason=f"no C++ kernels: {library.problem()}")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def stored(x: torch.Tensor, order: str) -> torch.Tensor:
    """The same values, in another memory order."""
    if order == "time first":
        return x.movedim(-1, 0).contiguous().movedim(0, -1)
    if order == "sliced":
        return torch.cat([x, x], -1)[..., : x.shape[-1]]
    if order == "channels last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x


def results(backend: str, x: torch.Tensor, times: torch.Tensor, state: torch.Tensor | None, grad: torch.Tensor) -> list:
    leaves = [part.detach().requires_grad_() for part in (x, times, state) if part is not None]
    with use_backend(backend):
        y, after = delay(leaves[0], leaves[1], state=leaves[2] if state is not None else None, return_state=True)
        plain = delay(leaves[0], leaves[1], state=leaves[2] if state is not None else None)
        gradients = torch.autograd.grad((y * grad).sum() + after.square().sum(), leaves)
    return [y.detach(), after.detach(), plain.detach(), *gradients]


def assert_same(x: torch.Tensor, times: torch.Tensor, state: torch.Tensor | None, grad: torch.Tensor) -> None:
    fast, plain = (results(name, x, times, state, grad) for name in ("cpu", "reference"))
    for one, other in zip(fast[:3], plain[:3], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(fast[3:], plain[3:], strict=True):
        scale = float(other.abs().max()) if other.numel() else 1.0  # of sums that nearly cancel
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * scale)


ORDERS = st.sampled_from(["time last", "time first", "sliced", "channels last"])
SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 30)),
    st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 7), st.integers(1, 5), st.integers(1, 12)),
)


@settings(max_examples=150, deadline=None)
@given(
    shape=SHAPES,
    order=ORDERS,
    grad_order=ORDERS,
    dtype=st.sampled_from([torch.float32, torch.float64]),
    longest=st.sampled_from([0, 1, 5, 40, 63, 64, 200]),
    known=st.none() | st.integers(0, 70),
    seed=st.integers(0, 1000),
)
def test_delays(shape, order, grad_order, dtype, longest, known, seed):
    random = torch.Generator().manual_seed(seed)
    x, grad = (torch.randn(*shape, generator=random, dtype=dtype) for _ in range(2))
    state = None if known is None else torch.randn(*shape[:-1], known, generator=random, dtype=dtype)
    times = torch.rand(shape[1], generator=random) * longest
    assert_same(stored(x, order), times, state, stored(grad, grad_order))


@pytest.mark.parametrize("order", ["time last", "time first"])
@pytest.mark.parametrize(("shape", "longest"), [((5, 130, 150), 63), ((5, 130, 150), 2), ((2, 6, 9, 13, 300), 63)])
def test_several_blocks_in_two_threads(order, shape, longest, two_threads):
    x, grad = torch.randn(2, *shape)
    state = torch.randn(*shape[:-1], 64)
    times = torch.rand(shape[1]) * longest
    assert_same(stored(x, order), times, state, grad)
    fast = results("cpu", stored(x, order), times, state, grad)
    torch.set_num_threads(1)
    for one, other in zip(fast, results("cpu", stored(x, order), times, state, grad), strict=True):
        assert torch.equal(one, other)


@settings(max_examples=80, deadline=None)
@given(
    shape=SHAPES,
    order=ORDERS,
    steps=st.sampled_from([0, 1, 2, 7, 100]),
    known=st.none() | st.integers(0, 9),
    seed=st.integers(0, 1000),
)
def test_shift(shape, order, steps, known, seed):
    random = torch.Generator().manual_seed(seed)
    x = stored(torch.randn(*shape, generator=random), order).requires_grad_()
    state = None if known is None else torch.randn(*shape[:-1], known, generator=random).requires_grad_()
    leaves = [leaf for leaf in (x, state) if leaf is not None]
    runs = []
    for backend in ("cpu", "reference"):
        with use_backend(backend):
            y, after = shift(x, steps, state=state, return_state=True)
            gradients = torch.autograd.grad((y * y).sum() + after.sum(), leaves, materialize_grads=True)
        runs.append([y, after, *gradients])
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("order", ["time last", "time first"])
def test_results_lie_in_the_order_of_the_input_and_the_state_in_memory_of_its_own(order):
    x = stored(torch.rand(2, 3, 50), order)
    for y, after in (delay(x, torch.tensor([0.0, 1.0, 9.0]), return_state=True), shift(x, 1, return_state=True)):
        assert y.stride() == x.stride()
        assert after.untyped_storage().nbytes() == 4 * after.numel()
    assert shift(x, 0) is x


def test_only_the_delayed_signal_is_kept():
    x, times = torch.rand(2, 3, 50, requires_grad=True), torch.tensor([0.0, 1.0, 9.0], requires_grad=True)
    for learned, expected in ((times, [150 * 2]), (times.detach(), [])):
        kept = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda saved, kept=kept: kept.append(saved) or saved, lambda y: y
        )
        with hooks:
            y = delay(x, learned, longest=62)
        large = [saved for saved in kept if saved.numel() > 3]
        assert [saved.numel() for saved in large] == expected
        assert all(torch.equal(saved, y) for saved in large)


@pytest.mark.parametrize("order", ["time last", "time first"])
@pytest.mark.parametrize("space", [(), (2, 2)])
def test_first_and_second_derivatives(order, space):
    x = stored(torch.rand(2, 3, *space, 9, dtype=torch.float64), order).requires_grad_()
    state = torch.rand(2, 3, *space, 4, dtype=torch.float64).requires_grad_()
    times = torch.tensor([0.0, 2.5, 20.0], dtype=torch.float64, requires_grad=True)

    def outputs(x, state):
        return delay(x, times.detach(), state=state), shift(x, 3, state=state)

    def slope(x, state, grad):
        y = delay(x, times, state=state)
        return torch.autograd.grad(y, [x, state, times], grad, create_graph=True)

    with use_backend("cpu"):
        assert torch.autograd.gradcheck(outputs, (x, state))
        assert torch.autograd.gradgradcheck(outputs, (x, state))
        grad = torch.rand(x.shape, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(slope, (x, state, grad))


@COMPILES
@pytest.mark.parametrize("delay_shift", [True, False, "lava-dl"])
def test_a_block_with_delays_compiles_into_one_graph(delay_shift):
    torch.compiler.reset()
    neuron = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1}
    block = cuba.Dense(neuron, 6, 5, weight_scale=3, delay=True, delay_shift=delay_shift)
    block.delay.delay.data.mul_(9)
    block.synapse.weight.data.abs_()
    x = torch.rand(2, 6, 30).gt(0.5).float()
    runs = []
    for run in (torch.compile(block, backend="aot_eager", fullgraph=True), block):
        block.zero_grad()
        y = run(x)
        y.sum().backward()
        runs.append([y, *(parameter.grad.clone() for parameter in block.parameters() if parameter.grad is not None)])
    assert runs[0][0].any()
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other)
