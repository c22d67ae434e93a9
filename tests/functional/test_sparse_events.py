"""Synapses of sparse events against those of the same events as dense tensors."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError, use_backend
from slayerloss.functional import conv, dense, quantize_weight
from slayerloss.functional.sparse import event_count, joined

SEEDS = st.integers(0, 2**31 - 1)


def events(shape: tuple[int, ...], number: int, seed: int = 0, graded: bool = True) -> Tensor:
    """Events at random places, a third of them twice; most steps, and with luck whole samples, have none."""
    random = torch.Generator().manual_seed(seed)
    number = number if math.prod(shape) else 0
    places = torch.stack([torch.randint(max(size, 1), (number,), generator=random) for size in shape])
    places = torch.cat([places, places[:, : number // 3]], 1)
    values = torch.randint(-3, 4, places.shape[1:], generator=random).float() if graded else torch.ones(places.shape[1])
    return torch.sparse_coo_tensor(places, values, shape, check_invariants=True)


def quantised(*shape: int, seed: int = 0) -> Tensor:
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return quantize_weight(weight).requires_grad_()


def gradient(y: Tensor, of: Tensor, time_first: bool) -> Tensor:
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    upstream = upstream.movedim(-1, 0).contiguous().movedim(0, -1) if time_first else upstream
    (result,) = torch.autograd.grad(y, of, upstream)
    return result


def assert_alike(sparse: Tensor, expected: Tensor, weight: Tensor, time_first: bool = True) -> None:
    """Bit-equal results, time first in memory, and equal gradients up to the rounding of their sums."""
    assert torch.equal(sparse, expected)
    assert sparse.dtype == expected.dtype
    assert sparse.movedim(-1, 0).is_contiguous()
    own, other = (gradient(y, weight, time_first) for y in (sparse, expected))
    torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-6 * float(1 + other.abs().sum() / max(len(other), 1)))


@settings(max_examples=50, deadline=None)
@given(
    shape=st.one_of(
        st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 4)),
        st.tuples(*[st.integers(1, 3) for _ in range(5)]),
    ),
    number=st.integers(0, 200),
    outputs=st.integers(1, 20),
    seed=SEEDS,
    graded=st.booleans(),
    time_first=st.booleans(),
)
def test_dense_is_that_of_the_dense_tensor(shape, number, outputs, seed, graded, time_first):
    x = events(shape, number, seed, graded)
    w = quantised(outputs, math.prod(shape[1:-1]), seed=seed)
    assert_alike(dense(x, w), dense(x.to_dense(), w), w, time_first)


@settings(max_examples=60, deadline=None)
@given(
    image=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    num_steps=st.integers(1, 3),
    groups=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    number=st.integers(0, 150),
    seed=SEEDS,
    graded=st.booleans(),
    time_first=st.booleans(),
    backend=st.sampled_from(["auto", "reference"]),
)
def test_conv_is_that_of_the_dense_tensor(
    image, num_steps, groups, kernel, stride, padding, dilation, number, seed, graded, time_first, backend
):
    padding = tuple(
        max(p, (d * (k - 1) + 2 - s) // 2) for p, d, k, s in zip(padding, dilation, kernel, image, strict=True)
    )
    x = events((2, 2 * groups, *image, num_steps), number, seed, graded)
    w = quantised(3 * groups, 2, *kernel, seed=seed)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    with use_backend(backend):
        assert_alike(conv(x, w, **options), conv(x.to_dense(), w, **options), w, time_first)


def test_threads_do_not_change_a_bit():
    x, w = events((4, 2, 20, 20, 60), 5000).float() * 0.1, torch.randn(8, 2, 3, 3, requires_grad=True)
    flat = torch.randn(8, 800, requires_grad=True)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            images, rows = conv(x, w, padding=(1, 1)), dense(x, flat)
            results.append([images, gradient(images, w, True), rows, gradient(rows, flat, True)])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(own, other) for own, other in zip(results[0], others, strict=True))


def test_a_long_sum_keeps_its_digits():
    x = events((8, 1, 6, 6, 400), 20000, graded=False)
    w = torch.randn(3, 1, 2, 2).requires_grad_()
    exact = gradient(conv(x.to_dense().double(), w.double()), w, True)
    upstream_in_double = gradient(conv(x.double(), w.double()), w, True)
    torch.testing.assert_close(upstream_in_double, exact, rtol=1e-6, atol=1e-4)
    flat = torch.sparse_coo_tensor(
        torch.zeros(3, 10**6, dtype=torch.int64), torch.ones(10**6), (1, 1, 1), check_invariants=True
    )
    tenth = torch.full((1, 1), 0.1)
    assert dense(flat, tenth).item() == pytest.approx(1e5, rel=1e-6)  # one by one it would be 100958.34


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    x = events((2, 2, 5, 5, 3), 60, graded=False).to(dtype)
    w = quantised(4, 50)
    assert_alike(dense(x, w), dense(x.to_dense(), w), w)
    w = quantised(4, 2, 3, 3)
    assert_alike(conv(x, w), conv(x.to_dense(), w), w)


def test_gradients_to_events_and_of_gradients():
    indices = torch.tensor([[0, 0, 1, 1], [1, 0, 2, 2], [0, 2, 1, 1]])
    values = torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)

    def of_dense(values: Tensor, w: Tensor) -> Tensor:
        return dense(torch.sparse_coo_tensor(indices, values, (2, 3, 4)), w)

    assert torch.autograd.gradcheck(of_dense, (values, w))
    assert torch.autograd.gradgradcheck(of_dense, (values, w))
    places = torch.tensor([[0, 0, 0], [1, 0, 1], [2, 0, 1], [1, 1, 0], [0, 0, 1]])
    kernel = torch.randn(2, 2, 2, 2, dtype=torch.float64, requires_grad=True)

    def of_conv(values: Tensor, kernel: Tensor) -> Tensor:
        return conv(torch.sparse_coo_tensor(places, values, (1, 2, 3, 3, 2)), kernel, padding=(1, 0))

    assert torch.autograd.gradcheck(of_conv, (values[:3].detach().requires_grad_(), kernel))
    leaf = events((1, 2, 3), 5).coalesce().requires_grad_()
    dense(leaf, torch.ones(1, 2)).sum().backward()
    assert torch.equal(leaf.grad.to_dense() != 0, leaf.detach().to_dense().bool() | (leaf.grad.to_dense() != 0))
    assert leaf.grad.coalesce().values().eq(1).all()


def test_joined_channels_are_those_of_flatten():
    x = events((2, 2, 3, 4, 5), 40)
    assert torch.equal(joined(x).to_dense(), x.to_dense().flatten(1, 3))
    whole = x.coalesce()
    assert joined(whole).is_coalesced()
    assert torch.equal(joined(whole)._indices(), joined(x).coalesce().indices())


def test_event_count_is_of_distinct_places():
    x = events((3, 2, 7), 60)
    lengths = torch.tensor([7, 1, 3])
    for positive in (False, True):
        for limits in (None, lengths):
            own, expected = (event_count(y, limits, positive=positive) for y in (x, x.to_dense()))
            assert own == expected


def raw(indices: list[list[int]], values: list[float], shape: tuple[int, ...]) -> Tensor:
    return torch.sparse_coo_tensor(torch.tensor(indices), torch.tensor(values), shape, check_invariants=False)


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (raw([[0], [3], [0]], [1.0], (1, 3, 4)), ArgumentError, "coordinates from 0 to 2 in dimension 1, got 3 to 3"),
        (raw([[0], [0], [-1]], [1.0], (1, 3, 4)), ArgumentError, "coordinates from 0 to 3 in dimension 2, got -1"),
        (raw([[0], [0], [0]], [math.nan], (1, 3, 4)), ArgumentError, "1 NaN or infinite"),
        (raw([[0], [0], [0]], [1.0], (1, 2, 4)), ShapeError, "wrong number of channels; expected 3 of them"),
        (raw([[0], [0]], [1.0], (3, 4)), ShapeError, r"x\[None\]"),
        (torch.zeros(1, 3, 0).to_sparse(), ShapeError, "no time steps"),
        (torch.zeros(1, 3, 4).to_sparse(2), DtypeError, "1 dense dimensions. Use to_dense"),
        (torch.zeros(1, 3, 4).to_sparse().to(torch.complex64), DtypeError, "complex"),
        (torch.zeros(3, 4).to_sparse_csr(), DtypeError, "Use to_dense"),
    ],
)
def test_wrong_events(x, error, text):
    with pytest.raises(error, match=text):
        dense(x, torch.ones(2, 3))


def test_wrong_images():
    x = events((1, 2, 3, 3, 4), 5)
    with pytest.raises(ShapeError, match="does not fit the kernel"):
        conv(x, torch.ones(1, 3, 1, 1))
    with pytest.raises(ShapeError, match="smaller than the kernel"):
        conv(x, torch.ones(1, 2, 4, 4))


SMALL = """
import resource, torch
from slayerloss.functional import conv, dense
dense(torch.ones(1, 1, 1).to_sparse(), torch.ones(1, 1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
places = torch.tensor([[0, 1], [1, 0], [9999, 5], [3, 9999], [7, 9]])
x = torch.sparse_coo_tensor(places, torch.ones(2), (2, 2, 10000, 10000, 10))
w = torch.ones(1, 2, 3, 3, requires_grad=True)
conv(x, w, stride=(1000, 1000)).sum().backward()
w = torch.ones(4, 2000000, requires_grad=True)
dense(torch.sparse_coo_tensor(places[[0, 2, 4]], torch.ones(2), (2, 2000000, 1000)), w).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_nothing_of_the_size_of_the_dense_input_is_made():
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", SMALL], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 400_000  # kilobytes; the inputs would take 16 GB each
