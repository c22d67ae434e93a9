"""What can be assigned to lava-dl's `voltage_state` and its like before a run."""

from __future__ import annotations

import pytest
import torch

from slayerloss import ArgumentError
from slayerloss.axon import Delta
from slayerloss.neuron import alif, cuba

LEAK = {"threshold": 0.75, "current_decay": 0.5, "voltage_decay": 0.0, "persistent_state": True}
ADAPTS = {**LEAK, "threshold_step": 0.25, "threshold_decay": 0.1, "refractory_decay": 0.1}


def test_one_number_at_rest_stays_rest():
    """As lava-dl's own tests do."""
    neuron, unit = alif.Neuron(**ADAPTS), Delta(0.5)
    for name in ("current", "voltage", "refractory"):
        setattr(neuron, f"{name}_state", 0 * getattr(neuron, f"{name}_state"))
    neuron.threshold_state = torch.tensor([0.75])
    neuron.voltage_state = torch.tensor(0.0)
    unit.pre_state = torch.zeros(1)
    assert neuron.state is None
    assert unit.state is None


def test_a_state_of_one_neuron_is_a_state():
    neuron, unit = cuba.Neuron(**LEAK), Delta(0.5)
    neuron.voltage_state = torch.full((1, 1), 0.5)
    assert neuron(torch.tensor([[[0.5]]])).item() == 1  # which alone does not reach the threshold
    unit.pre_state = torch.full((1, 1), 2.0)
    assert unit(torch.tensor([[[2.0]]])).item() == 0


def test_another_number_is_refused():
    neuron, unit = alif.Neuron(**ADAPTS), Delta(0.5)
    rule = r"is one number and nothing has run yet; expected 0, which is rest, or \(N, C, ...\), got 0.5"
    with pytest.raises(ArgumentError, match=f"Neuron: voltage_state {rule}"):
        neuron.voltage_state = torch.tensor([0.5])
    with pytest.raises(ArgumentError, match=f"Delta: residual_state {rule}"):
        unit.residual_state = torch.tensor([0.5])
    with pytest.raises(ArgumentError, match=r"threshold_state is one number and nothing has run yet; expected 0\.75"):
        neuron.threshold_state = torch.zeros(1)
