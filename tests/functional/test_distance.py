"""The van Rossum distance: known costs, an independent model, the laws of a metric, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import van_rossum_distance


def spikes(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.2).to(dtype)


def by_pairs(a: np.ndarray, b: np.ndarray, time_constant: float) -> float:
    """D^2 of two binary trains from the distances between their spikes: half the sum of sign sign' exp(-|t-t'|/tau)."""
    times = np.concatenate([np.flatnonzero(a), np.flatnonzero(b)])
    sign = np.concatenate([np.ones(int(a.sum())), -np.ones(int(b.sum()))])
    kernel = np.exp(-np.abs(times[:, None] - times) / time_constant)
    return float(0.5 * sign @ kernel @ sign)


@pytest.mark.parametrize("time_constant", [0.3, 5.0, 200.0])
def test_sum_over_pairs_of_spikes(time_constant: float) -> None:
    a, b = spikes(3, 4, 2, 60), spikes(3, 4, 2, 60, seed=1)
    expected = [
        sum(
            by_pairs(x, y, time_constant)
            for x, y in zip(m.reshape(8, 60).numpy(), n.reshape(8, 60).numpy(), strict=True)
        )
        for m, n in zip(a, b, strict=True)
    ]
    squared = van_rossum_distance(a, b, time_constant, squared=True)
    np.testing.assert_allclose(squared, expected, rtol=1e-10)
    np.testing.assert_allclose(van_rossum_distance(a, b, time_constant), np.sqrt(expected), rtol=1e-10)
    single = van_rossum_distance(a.float(), b.float(), time_constant, squared=True)
    np.testing.assert_allclose(single, expected, rtol=1e-4)


def test_limits() -> None:
    a, b = spikes(2, 3, 50), spikes(2, 3, 50, seed=1)
    differing = (a != b).double().sum(dim=(1, 2)) / 2
    torch.testing.assert_close(van_rossum_distance(a, b, 1e-3, squared=True), differing)
    counts = (a.sum(-1) - b.sum(-1)).square().sum(-1) / 2
    torch.testing.assert_close(van_rossum_distance(a, b, 1e8, squared=True), counts, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 10**6), st.floats(0.2, 100))
@settings(deadline=None, max_examples=25)
def test_a_metric(seed: int, time_constant: float) -> None:
    a, b, c = (spikes(2, 3, 30, seed=seed + i) for i in range(3))
    ab, ba, bc, ac = (van_rossum_distance(x, y, time_constant) for x, y in ((a, b), (b, a), (b, c), (a, c)))
    torch.testing.assert_close(ab, ba)
    assert (ab >= 0).all()
    assert (ac <= ab + bc + 1e-9).all()
    assert not van_rossum_distance(a, a, time_constant).any()
    later = [torch.nn.functional.pad(x, (7, 3)) for x in (a, b)]
    torch.testing.assert_close(van_rossum_distance(*later, time_constant), ab)
    order = torch.randperm(3)
    torch.testing.assert_close(van_rossum_distance(a[:, order], b[:, order], time_constant), ab)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4))
@settings(deadline=None, max_examples=25)
def test_padded_batch_equals_its_samples(steps: list[int]) -> None:
    a, b = (torch.randn(len(steps), 2, max(steps), generator=torch.Generator().manual_seed(i)) for i in range(2))
    whole = van_rossum_distance(a, b, 4.0, lengths=torch.tensor(steps))
    alone = [van_rossum_distance(a[i : i + 1, :, :n], b[i : i + 1, :, :n], 4.0) for i, n in enumerate(steps)]
    torch.testing.assert_close(whole, torch.cat(alone))


def test_gradients() -> None:
    a, b = (torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for tau in (torch.tensor(2.5), torch.tensor([1.0, 4.0, 9.0])):
        tau = tau.double().requires_grad_()
        for squared in (True, False):
            assert torch.autograd.gradcheck(
                lambda a, b, tau, s=squared: van_rossum_distance(a, b, tau, squared=s), (a, b, tau)
            )
    van_rossum_distance(a, a.detach(), 3.0).sum().backward()
    assert not a.grad.any()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16, torch.float32])
def test_dtypes_and_strides(dtype: torch.dtype) -> None:
    a, b = spikes(2, 3, 200, dtype=dtype), spikes(2, 3, 200, seed=1, dtype=dtype)
    expected = van_rossum_distance(a.double(), b.double(), 5.0)
    torch.testing.assert_close(van_rossum_distance(a, b, 5.0), expected.float())
    strided = a.movedim(-1, 0).contiguous().movedim(0, -1)
    torch.testing.assert_close(van_rossum_distance(strided, b, 5.0), expected.float())


def test_half_precision_does_not_overflow() -> None:
    x = torch.ones(1, 1, 70_000, dtype=torch.float16)
    distance = van_rossum_distance(x, torch.zeros_like(x), 100.0, squared=True)
    torch.testing.assert_close(distance, van_rossum_distance(x.float(), torch.zeros(x.shape), 100.0, squared=True))


def test_compiles() -> None:
    compiled = torch.compile(lambda a, b: van_rossum_distance(a, b, 5.0), backend="eager", fullgraph=True)
    a, b = spikes(2, 3, 40), spikes(2, 3, 40, seed=1)
    torch.testing.assert_close(compiled(a, b), van_rossum_distance(a, b, 5.0))


X = torch.zeros(2, 3, 10)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            (X, X[..., 1:], 5.0),
            ShapeError,
            r"targets does not match spikes; expected targets \(2, 3, 10\), got \(2, 3, 9\)",
        ),
        ((X[0], X[0], 5.0), ShapeError, "van_rossum_distance: spikes has too few dimensions"),
        ((X, X.tolist(), 5.0), DtypeError, "targets is not a tensor"),
        ((X, X / 0, 5.0), ArgumentError, "targets holds 60 NaN"),
        ((X, X, -1), ArgumentError, "time_constant is out of range"),
    ],
)
def test_errors(arguments: tuple, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        van_rossum_distance(*arguments)
