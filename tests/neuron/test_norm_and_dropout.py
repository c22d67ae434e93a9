"""MeanOnlyBatchNorm and Dropout."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, ShapeError
from slayerloss.functional import quantize_weight
from slayerloss.neuron import Dropout
from slayerloss.neuron.norm import MeanOnlyBatchNorm


@pytest.mark.parametrize("space", [(), (4, 5)])
def test_training_subtracts_the_batchs_mean_and_eval_the_running_mean(space):
    norm = MeanOnlyBatchNorm(momentum=0.25)
    x = torch.randn(6, 3, *space, 10)
    mean = x.transpose(0, 1).flatten(1).mean(1)
    shape = (3, *[1] * (len(space) + 1))
    torch.testing.assert_close(norm(x), x - mean.reshape(shape))
    torch.testing.assert_close(norm.running_mean, 0.25 * mean)
    norm(2 * x)
    torch.testing.assert_close(norm.running_mean, 0.75 * 0.25 * mean + 0.25 * 2 * mean)
    before = norm.running_mean.clone()
    torch.testing.assert_close(norm.eval()(x), x - before.reshape(shape))
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool])
def test_every_dtype_is_averaged_in_one_that_can_hold_the_sum(dtype):
    norm, x = MeanOnlyBatchNorm(momentum=1.0), torch.ones(1, 1, 70_000).to(dtype)
    kept = dtype if dtype.is_floating_point else torch.float32
    y = norm(x)
    assert y.dtype == kept
    assert not y.any()
    assert norm.running_mean.tolist() == [1.0]
    x[..., ::2] = 0
    assert norm(x).abs().unique().tolist() == [0.5]
    assert norm.running_mean.tolist() == [0.5]
    assert norm.eval()(x).dtype == kept


def test_update_off_freezes_the_mean():
    norm = MeanOnlyBatchNorm(3)
    norm.update = False
    x = torch.randn(2, 3, 5)
    assert torch.equal(norm(x), x)
    assert not norm.running_mean.any()


def test_the_buffer_stays_the_same_tensor_once_it_has_its_size():
    """Whoever holds it, a distributed wrapper for instance, sees it move."""
    norm = MeanOnlyBatchNorm(3)
    held = norm.running_mean
    norm(torch.ones(2, 3, 5))
    assert held.tolist() == pytest.approx([0.1] * 3)


def test_lengths_count_each_samples_own_steps():
    norm, x = MeanOnlyBatchNorm(momentum=1.0), torch.randn(3, 2, 4, 4, 10)
    lengths = torch.tensor([3, 10, 1])
    y = norm(x, lengths)
    joined = torch.cat([sample[..., :length].flatten(1) for sample, length in zip(x, lengths, strict=True)], 1)
    torch.testing.assert_close(norm.running_mean, joined.mean(1))
    torch.testing.assert_close(y, x - joined.mean(1).reshape(2, 1, 1, 1))
    norm = MeanOnlyBatchNorm(momentum=1.0)
    together = norm(x, torch.tensor([10, 10, 10]))
    torch.testing.assert_close(together, MeanOnlyBatchNorm()(x))


def test_the_gradient_goes_through_the_mean():
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    norm = MeanOnlyBatchNorm(3).double()
    assert torch.autograd.gradcheck(lambda x: norm(x), (x,))
    norm(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros_like(x))


def test_the_bias_is_minus_the_quantised_mean_in_weight_lsbs():
    norm = MeanOnlyBatchNorm(3, pre_hook_fx=quantize_weight)
    norm.running_mean.copy_(torch.tensor([0.1, -0.5, 10.0]))
    assert norm.bias.tolist() == [-6.0, 32.0, -254.0]
    plain = MeanOnlyBatchNorm(3)
    plain.running_mean.copy_(norm.running_mean)
    assert torch.equal(plain.bias, -norm.running_mean)


def test_reset_parameters():
    norm = MeanOnlyBatchNorm()
    norm(torch.ones(1, 2, 3))
    norm.reset_parameters()
    assert not norm.running_mean.any()


def test_state_dicts_load_into_a_norm_that_never_ran():
    norm = MeanOnlyBatchNorm()
    norm(torch.randn(2, 3, 5))
    fresh = MeanOnlyBatchNorm()
    fresh.load_state_dict(norm.state_dict())
    assert torch.equal(fresh.running_mean, norm.running_mean)
    assert torch.equal(fresh.eval()(torch.ones(1, 3, 2)), norm.eval()(torch.ones(1, 3, 2)))
    untouched = MeanOnlyBatchNorm()
    untouched.load_state_dict(MeanOnlyBatchNorm().state_dict())  # of a norm that never ran either
    assert untouched(torch.randn(2, 4, 5)).shape == (2, 4, 5)
    with pytest.raises(RuntimeError, match="size mismatch for running_mean"):
        MeanOnlyBatchNorm(4).load_state_dict(norm.state_dict())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: MeanOnlyBatchNorm(4)(torch.zeros(2, 3, 5)),
            ShapeError,
            r"wrong number of channels; expected 4 of them",
        ),
        (lambda: MeanOnlyBatchNorm()(torch.zeros(3, 5)), ShapeError, r"inp has too few dimensions"),
        (
            lambda: MeanOnlyBatchNorm()(torch.zeros(2, 3, 5), torch.tensor([5, 6])),
            ArgumentError,
            r"lengths is out of range; expected values in \[1, 5\], got 5 to 6",
        ),
        (lambda: Dropout(0.5)(torch.zeros(3, 5)), ShapeError, r"input has too few dimensions"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("space", [(), (4, 5)])
def test_dropout_silences_whole_neurons(space):
    torch.manual_seed(0)
    x = torch.ones(20, 30, *space, 7, requires_grad=True)
    y = Dropout(0.25)(x)
    kept = y.amax(-1) > 0
    assert torch.equal(y, kept[..., None] / 0.75 * torch.ones(7))
    assert abs(kept.float().mean() - 0.75) < 0.05
    y.sum().backward()
    assert torch.equal(x.grad, y)


def test_dropout_leaves_its_input_and_eval_mode_alone():
    x = torch.ones(2, 3, 4)
    Dropout(0.9, inplace=True)(x)
    assert x.min() == 1
    assert Dropout(0.9).eval()(x) is x
    assert not Dropout(1.0)(x).any()


def test_an_empty_batch_leaves_the_running_mean():
    norm = MeanOnlyBatchNorm()
    norm(torch.ones(2, 3, 5))
    before = norm.running_mean.clone()
    assert norm(torch.zeros(0, 3, 5)).shape == (0, 3, 5)
    assert torch.equal(norm.running_mean, before.lerp(before, 0.1))
    with pytest.raises(ShapeError, match="inp has no channels"):
        MeanOnlyBatchNorm()(torch.zeros(2, 0, 5))
