"""Synapse modules: shapes, initial weights, weight norm, hooks, the pooling of lava-dl repaired."""

from __future__ import annotations

import math

import pytest
import torch

from slayerloss import ArgumentError, ShapeError
from slayerloss.functional import quantize_weight
from slayerloss.synapse import Conv, Dense, Pool


def test_weights_have_lava_dls_shapes():
    assert Dense(3, 4).weight.shape == (4, 3, 1, 1, 1)
    assert Dense((6, 5), 4).weight.shape == (4, 1, 5, 6, 1)
    assert Dense((6, 5, 2), 4).weight.shape == (4, 2, 5, 6, 1)
    assert Conv(4, 6, (3, 2), groups=2).weight.shape == (6, 2, 3, 2, 1)
    assert Pool((3, 2)).weight.shape == (1, 1, 3, 2, 1)
    assert Dense(3, 4, weight_norm=True).weight_g.shape == (4, 1, 1, 1, 1)


def test_a_synapse_prints_its_sizes():
    assert repr(Dense(3, 4)) == "Dense(weight=(4, 3))"
    assert repr(Conv(4, 6, (3, 2), groups=2, weight_norm=True)) == "Conv(weight=(6, 2, 3, 2), weight_norm=True)"


@pytest.mark.parametrize("weight_scale", [1, 3])
def test_initial_weights_are_uniform_within_one_over_the_root_of_the_fan_in(weight_scale):
    for synapse, fan_in in ((Dense(400, 50, weight_scale), 400), (Conv(4, 60, 5, weight_scale=weight_scale), 100)):
        bound = weight_scale / math.sqrt(fan_in)
        weight = synapse.weight.detach()
        assert 0.99 * bound < weight.abs().max() <= bound
        assert abs(weight.std() - bound / math.sqrt(3)) < 0.03 * bound


def test_dense_of_images_sums_in_the_order_c_h_w():
    synapse = Dense((6, 5, 2), 4)
    x = torch.randn(3, 2, 5, 6, 7)
    expected = torch.einsum("ochw,nchwt->not", synapse.weight[..., 0], x)
    torch.testing.assert_close(synapse(x), expected)


def test_pool_keeps_channels_apart():
    for options in ({"stride": 1}, {"stride": (2, 1), "padding": 1}, {"dilation": 2, "stride": 1}, {}):
        x = torch.rand(2, 3, 8, 7, 4)
        x[:, 1] = 0
        y = Pool((3, 2), weight_scale=0.5, **options)(x)
        assert not y[:, 1].any()
        alone = Pool((3, 2), weight_scale=0.5, **options)(x[:, 2:])
        torch.testing.assert_close(y[:, 2:], alone)
    assert torch.equal(Pool(2)(torch.ones(1, 2, 5, 4, 3)), torch.full((1, 2, 2, 2, 3), 4.0))


def test_the_weight_of_a_pool_is_not_learned():
    pool = Pool(2, weight_norm=True)
    assert not any(parameter.requires_grad for parameter in pool.parameters())
    pool.disable_weight_norm()
    assert not pool.weight.requires_grad
    pool.enable_weight_norm()
    assert not pool.weight_v.requires_grad


@pytest.mark.parametrize("make", [lambda **k: Dense(5, 4, **k), lambda **k: Conv(2, 4, 3, **k)])
def test_weight_norm_is_torchs(make):
    synapse = make(weight_norm=True)
    with torch.no_grad():
        synapse.weight_v.mul_(3)
    length = synapse.weight_v.flatten(1).norm(dim=1)
    expected = synapse.weight_g * synapse.weight_v / length.reshape(-1, 1, 1, 1, 1)
    torch.testing.assert_close(synapse.weight, expected)
    synapse.weight.square().sum().backward()
    assert synapse.weight_g.grad is not None
    along = (synapse.weight_v.grad * synapse.weight_v).flatten(1).sum(1)
    torch.testing.assert_close(along, torch.zeros(4), atol=1e-5, rtol=0)  # only the direction


def test_the_weight_can_be_looked_at_and_switched_either_way():
    synapse = Dense(5, 4)
    before = synapse.weight.detach().clone()
    synapse.enable_weight_norm()
    synapse.enable_weight_norm()
    assert synapse.weight_norm_enabled
    assert [name for name, _ in synapse.named_parameters()] == ["weight_g", "weight_v"]
    torch.testing.assert_close(synapse.weight, before)
    synapse.disable_weight_norm()
    synapse.disable_weight_norm()
    assert [name for name, _ in synapse.named_parameters()] == ["weight"]
    torch.testing.assert_close(synapse.weight.detach(), before)
    with pytest.raises(AttributeError, match="bias"):
        _ = synapse.bias


def test_a_row_of_zeros_has_a_norm():
    synapse = Dense(5, 4)
    synapse.weight.data[1] = 0
    synapse.enable_weight_norm()
    assert synapse.weight.isfinite().all()
    assert not synapse.weight[1].any()
    synapse.weight[1].sum().backward()
    assert synapse.weight_g.grad[1] != 0  # it can come back to life


def test_the_hook_sees_the_masked_weight():
    synapse = Dense(3, 2, pre_hook_fx=lambda w: w + 1)
    mask = torch.tensor([[1.0, 0, 1], [0, 1, 1]]).reshape(2, 3, 1, 1, 1)
    torch.testing.assert_close(synapse.effective_weight(mask), synapse.weight * mask + 1)
    plain = Dense(3, 2)
    assert torch.equal(plain.effective_weight(), plain.weight)
    quantised = Dense(3, 2, pre_hook_fx=quantize_weight)
    assert torch.equal(quantised.effective_weight(), quantize_weight(quantised.weight))


@pytest.mark.parametrize(
    ("synapse", "shape"),
    [
        (Dense(3, 2), (2, 3, 2, 1, 1)),
        (Dense(3, 2), (2, 3, 1, 1, 5)),
        (Dense((4, 4, 3), 2), (2, 3, 2, 4, 1)),
        (Conv(3, 2, 3), (2, 3, 1, 1, 5)),
        (Conv(3, 2, 3), (2, 3, 1)),
    ],
)
def test_a_mask_that_does_not_fit_is_blamed(synapse, shape):
    with pytest.raises(ShapeError, match=r"mask has the wrong shape; expected \(2, 3\), with or without \(1, 1, 1\)"):
        synapse.effective_weight(torch.ones(shape))
    assert torch.equal(synapse.effective_weight(torch.ones(synapse.weight.shape)), synapse.weight)


def test_grad_norm():
    for weight_norm, name in ((False, "weight"), (True, "weight_g")):
        synapse = Dense(3, 2, weight_norm=weight_norm)
        assert synapse.grad_norm == 0
        synapse(torch.rand(1, 3, 4)).sum().backward()
        grad = getattr(synapse, name).grad
        assert synapse.grad_norm == pytest.approx(float(grad.norm() / grad.numel()))


def test_nan_weights_are_named():
    synapse = Conv(2, 3, 3)
    synapse.weight.data.fill_(math.nan)
    with pytest.raises(ArgumentError, match=r"Conv: weight holds 54 NaN or infinite values"):
        synapse(torch.zeros(1, 2, 4, 4, 2))
