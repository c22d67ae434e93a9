"""Layers without neurons: Flatten, Average, TimeDecimation."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError
from slayerloss.block import cuba

X = torch.rand(3, 2, 4, 5, 13, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", [1, 2, 4, 16])
def test_time_decimation_is_the_mean_of_bins_with_a_silent_tail(factor):
    block = cuba.TimeDecimation(factor)
    y = block(X)
    padded = torch.cat([X, torch.zeros(*X.shape[:-1], -13 % factor)], -1)
    expected = torch.stack([part.mean(-1) for part in padded.split(factor, -1)], -1)
    torch.testing.assert_close(y, expected)
    assert block.shape == (2, 4, 5)
    answer, log = cuba.TimeDecimation(factor, count_log=True)(X)
    assert torch.equal(answer, y)
    assert log is None


def test_time_decimation_of_a_padded_batch_is_that_of_its_samples():
    block, lengths = cuba.TimeDecimation(4), torch.tensor([13, 6, 1])
    y, after = block(X, lengths), block.lengths_after(lengths)
    assert after.tolist() == [4, 2, 1]
    for sample, own, steps, kept in zip(X, y, lengths, after, strict=True):
        assert torch.equal(block(sample[None, ..., :steps])[0], own[..., :kept])
        assert not own[..., kept:].any()


def test_time_decimation_has_the_gradient_of_the_mean():
    x = X.clone().requires_grad_()
    cuba.TimeDecimation(4)(x).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.25))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float16, torch.float64])
def test_time_decimation_of_every_dtype(dtype):
    x = (X > 0.5).to(dtype)
    y = cuba.TimeDecimation(2)(x)
    assert y.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(y.float(), cuba.TimeDecimation(2)((X > 0.5).float()))


@pytest.mark.parametrize("factor", [0, 3, 12, -2])
def test_factors_are_powers_of_two(factor):
    with pytest.raises(ArgumentError, match="TimeDecimation: factor"):
        cuba.TimeDecimation(factor)


def test_what_changes_time_has_no_layer():
    with pytest.raises(ArgumentError, match="TimeDecimation has no layer in a network file"):
        cuba.TimeDecimation(2).layer_fields()


def test_average_and_flatten_keep_the_order_of_channels_and_space():
    flat = cuba.Flatten()(X)
    assert torch.equal(flat, X.reshape(3, 40, 13))
    torch.testing.assert_close(cuba.Average(8)(X), flat.reshape(3, 8, 5, 13).mean(2))
