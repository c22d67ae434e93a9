"""Spike count and rate against numpy, in every dtype, for padded batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import count, event_rate, rate

DTYPES = (torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)


def binary(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < 0.3).float()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 50), (2, 3, 4, 5, 50)])
def test_values_and_dtype(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = binary(*shape)
    expected = x.numpy().sum(-1)
    result_dtype = dtype if dtype.is_floating_point else torch.float32
    assert rate(x.to(dtype)).dtype == result_dtype
    assert count(x.to(dtype)).dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    np.testing.assert_array_equal(count(x.to(dtype)).float().numpy(), expected)
    torch.testing.assert_close(rate(x.to(dtype)), torch.tensor(expected / 50).to(result_dtype))


def test_half_sums_in_float32() -> None:
    x = torch.full((1, 1, 5000), 1.0, dtype=torch.float16)  # a running sum in float16 ends at 2048
    assert count(x).item() == 5000
    assert rate(x).item() == 1
    assert count(torch.ones(1, 1, 70_000, dtype=torch.float16)).item() == 70_000  # its largest number is 65,504
    assert count(torch.ones(1, 1, 301, dtype=torch.bfloat16)).item() == 301


@given(st.integers(0, 1000), st.lists(st.integers(1, 20), min_size=1, max_size=4))
@settings(deadline=None, max_examples=25)
def test_padded_batch_equals_its_samples(seed: int, steps: list[int]) -> None:
    x = torch.randn(len(steps), 3, 2, max(steps), generator=torch.Generator().manual_seed(seed))
    lengths = torch.tensor(steps)
    for function in (count, rate):
        whole = function(x, lengths=lengths)
        one_by_one = torch.cat([function(x[i : i + 1, ..., :n]) for i, n in enumerate(steps)])
        torch.testing.assert_close(whole, one_by_one)


def test_event_rate() -> None:
    x = binary(3, 4, 5, 20) * -2.5
    torch.testing.assert_close(event_rate(x), (x[..., 1:] != 0).float().mean())
    torch.testing.assert_close(event_rate(x[..., :1]), (x[..., :1] != 0).float().mean())
    lengths = torch.tensor([20, 7, 1])
    counted = torch.cat([(x[i, ..., 1:n] != 0).flatten() for i, n in enumerate(lengths)]).float()
    torch.testing.assert_close(event_rate(x, lengths=lengths), counted.mean())
    assert event_rate(x[2:], lengths=torch.tensor([1])) == 0


def test_strided_memory() -> None:
    x = binary(4, 3, 30)
    strided = x.movedim(-1, 0).contiguous().movedim(0, -1)
    for function in (count, rate, event_rate):
        assert torch.equal(function(strided), function(x))
        assert torch.equal(function(x[:, :, ::3]), function(x[:, :, ::3].contiguous()))


def test_gradient() -> None:
    x = torch.randn(2, 2, 5, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 2])
    assert torch.autograd.gradcheck(lambda x: rate(x, lengths=lengths), x)
    assert torch.autograd.gradcheck(lambda x: count(x, lengths=lengths), x)


def test_compiles() -> None:
    compiled = torch.compile(lambda x, n: rate(x, lengths=n), backend="eager", fullgraph=True)
    x, lengths = binary(3, 4, 20), torch.tensor([20, 5, 1])
    torch.testing.assert_close(compiled(x, lengths), rate(x, lengths=lengths))


@pytest.mark.parametrize(
    ("spikes", "lengths", "error", "text"),
    [
        (torch.zeros(3, 4), None, ShapeError, r"rate: spikes has too few dimensions; expected \(N, C, ..., T\)"),
        (torch.zeros(3, 4, 0), None, ShapeError, "rate: spikes has no time steps; expected T of at least 1"),
        (np.zeros((3, 4, 5)), None, DtypeError, "rate: spikes is not a tensor; expected a torch.Tensor, got ndarray"),
        (torch.full((1, 1, 2), torch.nan), None, ArgumentError, "rate: spikes holds 2 NaN or infinite values"),
        (torch.zeros(2, 1, 5), torch.tensor([5]), ShapeError, r"rate: lengths has the wrong shape; expected \(2,\)"),
        (
            torch.zeros(1, 1, 5),
            torch.tensor([6]),
            ArgumentError,
            r"lengths is out of range; expected values in \[1, 5\]",
        ),
        (torch.zeros(1, 1, 5), torch.tensor([5.0]), DtypeError, "rate: lengths is not of an integer type"),
    ],
)
def test_errors(spikes: torch.Tensor, lengths: torch.Tensor | None, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rate(spikes, lengths=lengths)
