"""Quantisation: values, and gradients that pass."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slayerloss import ArgumentError
from slayerloss.functional import quantize, quantize_weight


def test_halves_go_to_the_even_multiple():
    assert quantize(torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5])).tolist() == [-2, 0, 0, 2, 2]


def test_floor_goes_down_and_truncate_toward_zero():
    x = torch.tensor([-0.3, 0.3])
    assert quantize(x, 0.25, "floor").tolist() == [-0.5, 0.25]
    assert quantize(x, 0.25, "truncate").tolist() == [-0.25, 0.25]


@given(st.lists(st.floats(-10, 10), min_size=1), st.sampled_from([2.0**-12, 2 / 64, 0.5, 1.0]))
def test_results_are_near_multiples(values, step):
    x = torch.tensor(values, dtype=torch.float64)
    q = quantize(x, step)
    assert torch.equal(q / step, (q / step).round())
    assert (q - x).abs().max() <= step / 2


@pytest.mark.parametrize("mode", ["round", "floor", "truncate", "FLOOR"])
def test_gradient_passes(mode):
    x = torch.randn(5, requires_grad=True)
    g = torch.randn(5)
    quantize(x, 0.5, mode).backward(g)
    assert torch.equal(x.grad, g)


def test_weights_are_even_integers_of_the_chip():
    w = torch.linspace(-5, 5, 10_001)
    q = quantize_weight(w)
    whole = quantize_weight(w, descale=True)
    assert torch.equal(whole, q * 64)
    assert torch.equal(whole, (2 * (w * 32).round()).clamp(-256, 254))
    assert set(whole.tolist()) == set(range(-256, 255, 2))
    assert torch.equal(quantize_weight(w, scale=32), quantize_weight(w / 2) * 2)
    assert quantize_weight(w, num_bits=4, descale=True).aminmax() == (-16, 14)


def test_a_saturated_weight_hears_the_gradient_that_brings_it_back():
    w = torch.tensor([-5.0, -5.0, 0.0, 0.0, 5.0, 5.0], requires_grad=True)
    g = torch.tensor([1.0, -1, 1, -1, 1, -1])  # a step goes against the gradient
    quantize_weight(w).backward(g)
    assert w.grad.tolist() == [0, -1, 1, -1, 1, 0]


def test_dtype_is_kept():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert quantize_weight(torch.ones(2, dtype=dtype)).dtype == dtype
        assert quantize(torch.ones(2, dtype=dtype), 0.5).dtype == dtype


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: quantize(x, 0.0), r"quantize: step is out of range; expected a number above 0"),
        (lambda x: quantize(x, math.nan), r"step is out of range"),
        (
            lambda x: quantize(x, 1.0, "ceil"),
            r"mode is unknown; expected one of 'round', 'floor', 'truncate', got 'ceil'",
        ),
        (lambda x: quantize_weight(x, 0), r"quantize_weight: scale is out of range"),
        (lambda x: quantize_weight(x, num_bits=0), r"num_bits is out of range"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ArgumentError, match=text):
        call(torch.ones(2))
