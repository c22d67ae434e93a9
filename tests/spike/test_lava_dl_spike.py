"""lava-dl's Spike."""

from __future__ import annotations

import pytest
import torch

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


def test_it_spikes_at_the_threshold_which_can_be_a_tensor():
    voltage = torch.tensor([[1.0, 2.0, 3.0]])
    assert Spike.apply(voltage, torch.tensor([[1.0, 2.5, 3.0]]), 1.0, 1.0, False, 0, 1).tolist() == [[1, 0, 1]]
    assert Spike.apply(voltage, 2, 1, 1, True, 0, 4).tolist() == [[0, 0.5, 0.75]]
