"""What holds for every neuron."""

from __future__ import annotations

import importlib

import pytest
import torch

CUBA = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.25}
ADAPTS = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}
RF = {"threshold": 1.0, "period": 9.0, "decay": 0.1}
NEURONS = {
    "cuba": CUBA,
    "alif": {**CUBA, **ADAPTS},
    "rf": RF,
    "rf_iz": RF,
    "adrf": {**RF, **ADAPTS},
    "adrf_iz": {**RF, **ADAPTS},
    "sigma_delta": {"threshold": 0.25, "activation": torch.relu},
    "sigma_delta of no chip": {"threshold": 0.25, "activation": torch.tanh},
}


def make(name: str, **options):
    return importlib.import_module(f"slayerloss.neuron.{name.split()[0]}").Neuron(**NEURONS[name], **options)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_spikes_have_the_dtype_of_the_input(name, dtype):
    neuron = make(name, persistent_state=True)
    x = torch.zeros(1, 3, 40, dtype=dtype)
    x[..., ::14] = 3.3
    spikes = neuron((x, x) if neuron.is_complex else x)
    assert spikes.dtype == dtype
    assert spikes.any()
    wide = torch.promote_types(dtype, torch.float32)
    assert {part.dtype for part in neuron.state if part is not None} == {wide}  # which holds the chip's integers


@pytest.mark.parametrize("name", NEURONS)
def test_whole_numbers_give_floats(name):
    neuron, x = make(name), torch.ones(1, 3, 10, dtype=torch.int8)
    assert neuron((x, x) if neuron.is_complex else x).dtype == torch.float32
