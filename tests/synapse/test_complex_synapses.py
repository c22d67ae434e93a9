"""Synapses with complex weights: two of the same kind."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from slayerloss import ArgumentError
from slayerloss.functional import quantize_weight
from slayerloss.synapse import complex, layer

KINDS = {
    "Dense": ((6, 5), (6, 3)),
    "Conv": ((2, 4, 3), (2, 6, 5, 3)),
    "ConvTranspose": ((2, 4, 3, 2), (2, 6, 5, 3)),
    "Pool": ((2,), (2, 6, 4, 3)),
    "Unpool": ((2,), (2, 6, 4, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_its_parts_are_synapses_of_the_same_kind(kind):
    arguments, shape = KINDS[kind]
    synapse = getattr(complex, kind)(*arguments, weight_norm=True, pre_hook_fx=quantize_weight)
    assert synapse.complex
    assert synapse.weight_norm_enabled
    x = torch.rand(2, *shape)
    for copied in (synapse, copy.deepcopy(synapse), pickle.loads(pickle.dumps(synapse))):
        for part, own in zip((copied.real, copied.imag), copied(x), strict=True):
            assert type(part) is getattr(layer, kind)
            assert not part.complex
            assert part.shape == copied.shape
            assert torch.equal(part(x), own)
    if kind in ("Dense", "Conv", "ConvTranspose"):
        assert (synapse.in_channels, synapse.out_channels) == arguments[:2]
        assert not torch.equal(synapse.real.weight, synapse.imag.weight)


def test_weight_norm_is_switched_in_both_parts():
    synapse = complex.Dense(3, 2)
    synapse.enable_weight_norm()
    assert sorted(synapse.state_dict()) == ["imag.weight_g", "imag.weight_v", "real.weight_g", "real.weight_v"]
    synapse.disable_weight_norm()
    assert sorted(synapse.state_dict()) == ["imag.weight", "real.weight"]
    assert not synapse.weight_norm_enabled


def test_the_hook_is_that_of_both_parts():
    synapse = complex.Dense(3, 2)
    assert synapse.pre_hook_fx is None
    synapse.pre_hook_fx = quantize_weight
    assert synapse.real.pre_hook_fx is synapse.imag.pre_hook_fx is synapse.pre_hook_fx is quantize_weight
    synapse.real.pre_hook_fx = None
    with pytest.raises(ArgumentError, match=r"Dense: real and imag have different pre_hook_fx; expected the same"):
        _ = synapse.pre_hook_fx


def test_grad_norm_is_that_of_both_parts():
    synapse = complex.Dense(3, 2)
    assert synapse.grad_norm == 0
    real, imag = synapse(torch.rand(1, 3, 4))
    (3 * real + 4 * imag).sum().backward()
    assert synapse.grad_norm == pytest.approx((synapse.real.grad_norm**2 + synapse.imag.grad_norm**2) ** 0.5)
    assert synapse.imag.grad_norm == pytest.approx(synapse.real.grad_norm * 4 / 3)


def test_unknown_attributes_are_not_looked_for_in_the_parts():
    with pytest.raises(AttributeError, match="weight"):
        _ = complex.Dense(3, 2).weight
