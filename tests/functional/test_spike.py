"""Spikes and their surrogates: where they are, their gradients, thresholds that vary."""

from __future__ import annotations

import math

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import spike

BOTH = pytest.mark.parametrize("graded", [False, True])


def smooth(distance: torch.Tensor, voltage: torch.Tensor, tau: float, scale: float, graded: bool) -> torch.Tensor:
    """The derivative that the docstring gives."""
    if graded:
        return scale * torch.exp(distance.clamp(max=0) / tau)
    return scale / (2 * tau) * torch.exp(-distance.abs() / tau)


@BOTH
@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_threshold_that_varies(graded, inclusive, dtype):
    voltage = torch.randn(2, 3, 20, dtype=dtype).mul(4).round().div(4).requires_grad_()
    threshold = torch.randn(3, 1, dtype=dtype).mul(4).round().div(4).requires_grad_()
    s = spike(voltage, threshold, tau=0.7, scale=2.0, graded=graded, inclusive=inclusive)
    reached = voltage >= threshold if inclusive else voltage > threshold
    assert bool((voltage == threshold).any())
    assert torch.equal(s, reached * voltage if graded else reached.to(dtype))
    grad = torch.randn_like(s)
    of_voltage, of_threshold = torch.autograd.grad(s, (voltage, threshold), grad)
    expected = smooth((voltage - threshold).detach(), voltage.detach(), 0.7, 2.0, graded) * grad
    torch.testing.assert_close(of_voltage, expected)
    torch.testing.assert_close(of_threshold, -expected.sum((0, 2))[:, None])


@BOTH
@pytest.mark.parametrize("inclusive", [False, True])
def test_a_number_and_a_tensor_of_it_are_the_same(graded, inclusive):
    voltage = torch.tensor([0.5, 1.25, 1.3, -2.0], requires_grad=True)
    options = {"tau": 0.5, "graded": graded, "inclusive": inclusive}
    one, other = spike(voltage, 1.25, **options), spike(voltage, torch.tensor(1.25, dtype=torch.float64), **options)
    assert torch.equal(one, other)
    assert one.dtype == other.dtype == torch.float32
    assert torch.equal(*(torch.autograd.grad(s.sum(), voltage)[0] for s in (one, other)))


@BOTH
def test_second_derivatives(graded):
    voltage = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    s = spike(voltage, threshold, tau=0.5, graded=graded, inclusive=True)
    first = torch.autograd.grad(s.sum(), (voltage, threshold), create_graph=True)
    of_voltage, of_threshold = torch.autograd.grad(first[0].square().sum(), (voltage, threshold))
    x = voltage.detach().clone().requires_grad_()
    expected = torch.autograd.grad(smooth(x - 1.5, x, 0.5, 1.0, graded).square().sum(), x)[0]
    torch.testing.assert_close(of_voltage, expected)
    torch.testing.assert_close(of_threshold, -expected.sum()[None])


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"threshold": torch.ones(3)}, ShapeError, r"threshold has the wrong shape; expected one that broadcasts"),
        ({"threshold": torch.ones(1, 1, 2)}, ShapeError, r"threshold has the wrong shape"),
        ({"threshold": torch.tensor([math.nan])}, ArgumentError, r"threshold holds 1 NaN"),
        ({"threshold": "high"}, DtypeError, r"spike: threshold is not a number"),
        ({"inclusive": "no"}, DtypeError, r"spike: inclusive is neither True nor False"),
        ({"tau": 0.0}, ArgumentError, r"spike: tau is out of range"),
    ],
)
def test_errors(changed, error, text):
    with pytest.raises(error, match=text):
        spike(torch.ones(4, 2), **({"threshold": 1.0, "tau": 1.0} | changed))
