"""lava-dl's Spike of a complex state."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import phase_spike
from slayerloss.spike.complex import Spike


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 2, 2, 20)])
def test_values_and_gradients(graded, shape):
    real, imag = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    before = torch.randn(shape[:-1], dtype=torch.float64)
    s = Spike.apply(real, imag, 0.1, 0.8, 2.0, graded, before, 4)
    expected = phase_spike(real, imag, 0.1, tau=0.8, scale=2.0, graded=graded, before=before)
    assert expected.any()
    assert torch.equal(s, expected / 4 if graded else expected)
    g = torch.randn(shape, dtype=torch.float64)
    found, wanted = (torch.autograd.grad(y, (real, imag), g) for y in (s, expected))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_a_threshold_and_a_start_that_are_tensors():
    real, imag = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, -1.0, 0.0]])
    threshold = torch.tensor([[1.0, 2.5, 3.5]])
    assert Spike.apply(real, imag, threshold, 1.0, 1.0, False, -1, 1).tolist() == [[1, 0, 0]]
    assert Spike.apply(real, imag, 1, 1, 1, True, torch.tensor([0.0]), 2).tolist() == [[0, 0, 1.5]]


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({0: None}, DtypeError, "Spike: real is not a tensor"),
        ({1: torch.ones(3)}, ShapeError, "Spike: imag does not match real"),
        ({2: "a"}, DtypeError, "Spike: threshold is not a number"),
        ({3: 0}, ArgumentError, "Spike: tau_rho is out of range; expected a number above 0, got 0"),
        ({4: float("nan")}, ArgumentError, "Spike: scale_rho is out of range"),
        ({5: "no"}, DtypeError, "Spike: graded_spike is neither True nor False"),
        ({6: "a"}, DtypeError, "Spike: imag_last is not a number"),
        ({7: 0}, ArgumentError, "Spike: scale is out of range"),
    ],
)
def test_errors(changed, error, text):
    ones = torch.ones(2, requires_grad=True)
    arguments = dict(enumerate([ones, ones, 1.0, 1.0, 1.0, True, 0, 1])) | changed
    with pytest.raises(error, match=text):
        Spike.apply(*arguments.values())
