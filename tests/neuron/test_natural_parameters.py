"""What parameters mean: of neurons, synapses, delays and filters, as the constructors' arguments have it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from slayerloss import axon, filter, synapse
from slayerloss.block import sigma_delta
from slayerloss.functional._tree import places
from slayerloss.neuron import adrf, adrf_iz, alif, cuba, rf, rf_iz
from slayerloss.neuron.norm import MeanOnlyBatchNorm

TURN = {"period": 9.0, "decay": 0.1}
LEAK = {"current_decay": 0.5, "voltage_decay": 0.03}
RISE = {"threshold_decay": 0.125, "refractory_decay": 0.25}
NEURONS: dict[str, tuple[type[torch.nn.Module], dict[str, float]]] = {
    "cuba": (cuba.Neuron, LEAK),
    "alif": (alif.Neuron, {**LEAK, **RISE}),
    "rf": (rf.Neuron, TURN),
    "rf_iz": (rf_iz.Neuron, TURN),
    "adrf": (adrf.Neuron, {**TURN, **RISE}),
    "adrf_iz": (adrf_iz.Neuron, {**TURN, **RISE}),
}


@pytest.mark.parametrize("name", NEURONS)
def test_a_neurons_parameters_are_the_arguments_of_its_constructor(name: str) -> None:
    kind, arguments = NEURONS[name]
    step = {"threshold_step": 0.5} if "threshold_decay" in arguments else {}
    neuron = kind(threshold=1.0, **step, **arguments, requires_grad=True, norm=MeanOnlyBatchNorm)
    natural = neuron.natural_parameters()
    assert set(natural) == set(arguments)
    assert len(natural) == len(list(neuron.parameters()))
    for argument, value in arguments.items():
        assert natural[argument].shape == (1,)
        assert natural[argument].item() == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("name", NEURONS)
def test_the_gradient_reaches_what_is_stored(name: str) -> None:
    kind, arguments = NEURONS[name]
    step = {"threshold_step": 0.5} if "threshold_decay" in arguments else {}
    neuron = kind(threshold=1.0, **step, **arguments, requires_grad=True, shared_param=False, channels=3).double()
    stored = dict(neuron.named_parameters())

    def natural(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        for own, value in zip(stored, values, strict=True):
            neuron._parameters[own] = value  # type: ignore[assignment]
        return tuple(neuron.natural_parameters().values())

    assert torch.autograd.gradcheck(natural, tuple(value.detach().requires_grad_() for value in stored.values()))


def test_a_decay_of_zero_or_one_and_a_step_too_far_stay_near_the_range() -> None:
    neuron = cuba.Neuron(threshold=1.0, current_decay=1.0, voltage_decay=0.0, requires_grad=True)
    natural = neuron.natural_parameters()
    assert natural["current_decay"].item() == 1.0
    assert 0 < natural["voltage_decay"].item() < 1e-4
    with torch.no_grad():
        neuron.current_decay.add_(0.1)  # before the next run clamps it
    assert natural["current_decay"].item() == 1.0
    assert neuron.natural_parameters()["current_decay"].item() == pytest.approx(1.105, abs=1e-3)


def test_a_parametrised_decay_means_what_the_parametrisation_computes() -> None:
    neuron = cuba.Neuron(threshold=1.0, **LEAK, requires_grad=True)

    class Slower(torch.nn.Module):
        def forward(self, logarithm: torch.Tensor) -> torch.Tensor:
            return logarithm - 1

    torch.nn.utils.parametrize.register_parametrization(neuron, "voltage_decay", Slower())
    found = {place.name: place.value.item() for place in places(neuron)}
    assert found == pytest.approx({"current_decay": 0.5, "voltage_decay": 0.03 / 2.718281828})


def test_a_sigma_delta_layers_threshold_and_bias_are_what_they_are() -> None:
    neuron = {"threshold": 0.5, "activation": torch.relu, "requires_grad": True}
    layer = sigma_delta.Dense(neuron, 2, 3)
    found = {place.name: place.value for place in places(layer)}
    assert set(found) == {"neuron.bias", "neuron.delta.threshold", "synapse.weight"}
    assert found["neuron.delta.threshold"] is layer.neuron.threshold


SYNAPSES: list[Callable[..., torch.nn.Module]] = [
    lambda **options: synapse.Dense(2, 3, **options),
    lambda **options: synapse.Conv(2, 4, 3, groups=2, **options),
    lambda **options: synapse.ConvTranspose(2, 3, 2, **options),
]


@pytest.mark.parametrize("make", SYNAPSES)
def test_a_synapse_has_one_weight_with_weight_norm_and_without(make: Callable[..., torch.nn.Module]) -> None:
    layer = make()
    assert layer.natural_parameters()["weight"] is layer.weight
    before = layer.weight.detach().clone()
    layer.enable_weight_norm()
    natural = layer.natural_parameters()
    assert list(natural) == ["weight"]
    torch.testing.assert_close(natural["weight"], before)
    natural["weight"].square().sum().backward()
    torch.testing.assert_close(layer.weight_g.grad, 2 * layer.weight_g.detach())
    assert layer.weight_v.grad is not None


def test_a_complex_synapse_has_both_weights() -> None:
    layer = synapse.complex.Dense(2, 3, weight_norm=True)
    assert [place.name for place in places(layer)] == ["real.weight", "imag.weight"]


def test_a_parametrised_synapse_has_the_weight_that_it_computes() -> None:
    layer = synapse.Dense(2, 3)

    class Positive(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.abs()

    torch.nn.utils.parametrize.register_parametrization(layer, "weight", Positive())
    found = {place.name: place.value for place in places(layer)}
    assert list(found) == ["weight"]
    assert bool((found["weight"] >= 0).all())


def test_a_delay_is_in_steps() -> None:
    delay = axon.Delay(sampling_time=2, channels=3, initial=8)
    torch.testing.assert_close(delay.natural_parameters()["delay"], delay.delay / 2)
    delay.natural_parameters()["delay"].sum().backward()
    assert delay.delay.grad.tolist() == [0.5] * 3


def test_a_learned_filter_has_time_constants() -> None:
    for low_pass in (
        filter.ExponentialFilter([2.0, 5.0], learnable=True),
        filter.FilterBank([2.0, 5.0], learnable=True),
    ):
        natural = low_pass.natural_parameters()["time_constant"]
        torch.testing.assert_close(natural, torch.tensor([2.0, 5.0]))
        natural.sum().backward()
        torch.testing.assert_close(low_pass.log_time_constant.grad, torch.tensor([2.0, 5.0]))
    assert filter.ExponentialFilter(2.0).natural_parameters() == {}
