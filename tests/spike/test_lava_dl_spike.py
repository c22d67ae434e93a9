"""lava-dl's Spike."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError, DtypeError
from slayerloss.functional import spike
from slayerloss.spike import Spike


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("shape", [(50,), (2, 3, 20)])
def test_values_and_gradients(graded, shape):
    voltage = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    s = Spike.apply(voltage, 0.5, 0.8, 2.0, graded, 0, 1)
    expected = spike(voltage, 0.5, tau=0.8, scale=2.0, graded=graded)
    assert torch.equal(s, expected)
    g = torch.randn(shape, dtype=torch.float64)
    assert torch.equal(*(torch.autograd.grad(y, voltage, g)[0] for y in (s, expected)))


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({0: None}, DtypeError, "Spike: voltage is not a tensor"),
        ({1: "a"}, DtypeError, "Spike: threshold is not a number"),
        ({2: 0}, ArgumentError, "Spike: tau_rho is out of range; expected a number above 0, got 0"),
        ({3: float("nan")}, ArgumentError, "Spike: scale_rho is out of range"),
        ({4: "no"}, DtypeError, "Spike: graded_spike is neither True nor False"),
        ({6: 0}, ArgumentError, "Spike: scale is out of range"),
    ],
)
def test_errors(changed, error, text):
    arguments = dict(enumerate([torch.ones(2, requires_grad=True), 1.0, 1.0, 1.0, True, 0, 1])) | changed
    with pytest.raises(error, match=text):
        Spike.apply(*arguments.values())


def test_it_spikes_at_the_threshold_which_can_be_a_tensor():
    voltage = torch.tensor([[1.0, 2.0, 3.0]])
    assert Spike.apply(voltage, torch.tensor([[1.0, 2.5, 3.0]]), 1.0, 1.0, False, 0, 1).tolist() == [[1, 0, 1]]
    assert Spike.apply(voltage, 2, 1, 1, True, 0, 4).tolist() == [[0, 0.5, 0.75]]
