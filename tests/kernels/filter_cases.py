"""What the tests of windows, filters and SpikeTime share: memory orders, shapes, both backends on the same tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import use_backend
from slayerloss.kernels.cpu import library, threads

needs_kernels = pytest.mark.skipif(bool(library.problem()), reason=f"no C++ kernels: {library.problem()}")
needs_operators = pytest.mark.skipif(
    not hasattr(torch.library, "register_fake"), reason="torch 2.3 has the kernels unregistered"
)

ORDERS = st.sampled_from(["time last", "time first", "sliced", "reversed"])
DTYPES = st.sampled_from(
    [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.bool, torch.int32, torch.uint8]
)
SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 70)),
    st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 20)),
    st.tuples(st.just(2), st.integers(1, 2), st.integers(500, 1300)),  # several chunks of steps
    st.tuples(st.just(2), st.integers(510, 530), st.integers(1, 4)),  # several wide blocks of rows
)


def check_operator(operator: Any, arguments: Sequence[Any]) -> None:
    """It changes its arguments as its schema says, and its fake foretells its results; gradients it has none."""
    said = torch.library.opcheck(operator, tuple(arguments), test_utils=("test_schema", "test_faketensor"))
    assert set(said.values()) == {"SUCCESS"}


def in_order(x: Tensor, order: str) -> Tensor:
    """The same values in another memory order."""
    if order == "time last":
        return x.contiguous()
    if order == "time first":
        return x.movedim(-1, 0).contiguous().movedim(0, -1)
    if order == "sliced":
        return torch.stack([x, x], dim=-1)[..., 0]
    return x.permute(*reversed(range(x.ndim))).contiguous().permute(*reversed(range(x.ndim)))


def events(seed: int, shape: Sequence[int], dtype: torch.dtype, binary: bool) -> Tensor:
    """Spikes, or numbers with a sign where the dtype has them."""
    x = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if binary or dtype in (torch.bool, torch.uint8):
        return (x > 0.5).to(dtype)
    return (3 * x).to(dtype)


def both(function: Callable[..., Tensor], tensors: Sequence[Tensor], count: int) -> tuple[list[Tensor], list[Tensor]]:
    """What the C++ kernels in `count` threads and the reference give: the result, and the gradients of floats."""
    found = [_results("cpu", function, tensors, count), _results("reference", function, tensors, 1)]
    return found[0], found[1]


def _results(backend: str, function: Callable[..., Tensor], tensors: Sequence[Tensor], count: int) -> list[Tensor]:
    before = torch.get_num_threads(), threads.SMALLEST_SHARE
    leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in tensors]
    learning = [x for x in leaves if x.requires_grad]
    try:
        torch.set_num_threads(count)
        threads.SMALLEST_SHARE = 1  # small work, too, is shared
        with use_backend(backend):
            y = function(*leaves)
            weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape).to(y.dtype)
            return [y.detach(), *(torch.autograd.grad(y, learning, weights) if learning else ())]
    finally:
        torch.set_num_threads(before[0])
        threads.SMALLEST_SHARE = before[1]


def assert_near(found: Sequence[Tensor], expected: Sequence[Tensor], times: float = 1, terms: float = 0.0) -> None:
    """Same shapes and dtypes, and values that differ by some rounding, or by so many `times` more.

    `terms` is the size of what a value is the sum of, where that is larger than the value.
    """
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        a, b = a.detach(), b.detach()
        size = float(b.abs().masked_fill(b.isinf(), 0).max())
        error = float((a - b).abs().masked_fill(a == b, 0).max())  # half precision may overflow, in the same place
        allowed = {torch.float64: 1e-11 * times, torch.float32: 4e-6 * times}.get(b.dtype, 1e-2)
        assert error <= allowed * max(size, terms, 1e-30), f"{error} of {size}"
