"""Every neuron, and every block of it, with arguments out of their range and inputs of the wrong kind.

test_bad_input.py does the same for each argument of a function; here one table holds for all neurons.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest
import torch
from call_values import JUNK, floats

from slayerloss import SlayerError

CUBA = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.25}
ADAPTS = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}
RF = {"threshold": 1.0, "period": 9.0, "decay": 0.1}
NEURONS: dict[str, dict[str, Any]] = {
    "cuba": CUBA,
    "alif": {**CUBA, **ADAPTS},
    "rf": RF,
    "rf_iz": RF,
    "adrf": {**RF, **ADAPTS},
    "adrf_iz": {**RF, **ADAPTS},
    "sigma_delta": {"threshold": 0.25, "activation": torch.relu},
}

DECAY: list[Any] = [-0.1, 1.01, math.nan, math.inf, "a", None, (0.1, 0.5)]
RANGE_OF_DECAYS: list[Any] = [(0.5, 0.1), (0.1,), (0.1, 0.2, 0.3), (-0.1, 0.5), (0.5, 1.5), (0.1, math.nan), ("a", 1)]
PERIOD: list[Any] = [3.99, 0, -9, math.nan, math.inf, "a", None, (5, 9)]
RANGE_OF_PERIODS: list[Any] = [(3, 9), (9, 5), (9,), (5, 9, 11), (5, math.inf), ("a", 9)]
WRONG: dict[str, tuple[list[Any], list[Any]]] = {
    # argument: what is wrong for one value, and for values per channel
    "threshold": ([-1, 0, 0.5 / 64, 2048, 10**30, math.nan, math.inf, "a", None, (1, 2)], []),
    "threshold_step": ([-1, 2049, math.nan, "a", None], []),
    "period": (PERIOD, RANGE_OF_PERIODS),
    **dict.fromkeys(("decay", "current_decay", "voltage_decay"), (DECAY, RANGE_OF_DECAYS)),
    **dict.fromkeys(("threshold_decay", "refractory_decay"), (DECAY, RANGE_OF_DECAYS)),
    "activation": ([None, "relu", 3], []),
    "tau_grad": ([0, -1, math.nan, "a", None], []),
    "scale_grad": ([-1, math.nan, "a", None], []),
    "scale": ([0, -64, 1.5, "a", None], []),
    "norm": ([3, "a", torch.nn.Identity(), torch.nn.BatchNorm1d, dict], []),
    "dropout": ([0.1, torch.nn.Dropout], []),
    "shared_param": (["no", None, 2], []),
    "persistent_state": (["no", None], []),
    "requires_grad": (["no", None], []),
}
COMMON = ("tau_grad", "scale_grad", "scale", "norm", "dropout", "shared_param", "persistent_state", "requires_grad")
ARGUMENTS = [
    (neuron, argument)
    for neuron, params in NEURONS.items()
    for argument in [name for name in WRONG if name in params or name in COMMON]
]

SYNAPSE = {"Dense": (3, 4), "Affine": (3, 4), "Recurrent": (3, 4), "KWTA": (3, 4, 2), "Output": (3, 4)}
SYNAPSE |= {"Conv": (2, 4, 3), "ConvT": (2, 4, 3), "Pool": (2,), "Unpool": (2,), "Input": ()}
WITHOUT_NEURON = {"Flatten": (), "Average": (1,), "TimeDecimation": (2,)}


def blocks(neuron: str) -> Any:
    return importlib.import_module(f"slayerloss.block.{neuron}")


KINDS = [(neuron, kind) for neuron in NEURONS for kind in blocks(neuron).__all__]


def assert_refused(call: Any, *arguments: Any, **keywords: Any) -> None:
    with pytest.raises(SlayerError) as caught:
        call(*arguments, **keywords)
    assert "; expected " in str(caught.value)
    assert ", got " in str(caught.value)


@pytest.mark.parametrize(("neuron", "argument"), ARGUMENTS)
def test_a_neuron_and_its_blocks_refuse_it(neuron: str, argument: str) -> None:
    make = importlib.import_module(f"slayerloss.neuron.{neuron}").Neuron
    for shared, values in zip((True, False), WRONG[argument], strict=True):
        for value in values:
            params = {**NEURONS[neuron], "shared_param": shared, argument: value}
            assert_refused(make, **params)
            assert_refused(blocks(neuron).Dense, params, 3, 4)
            assert_refused(blocks(neuron).Pool, params, 2) if argument != "norm" else None  # it has none


@pytest.mark.parametrize("neuron", NEURONS)
def test_neuron_params_have_to_be_those_of_the_neuron(neuron: str) -> None:
    params = NEURONS[neuron]
    for wrong in (None, 3, [params], {**params, "treshold": 1}, {}):
        for kind, arguments in SYNAPSE.items():
            if hasattr(blocks(neuron), kind) and not (kind == "Input" and wrong is None):
                assert_refused(getattr(blocks(neuron), kind), wrong, *arguments)


def built(neuron: str, kind: str) -> torch.nn.Module:
    """A block, without the neuron's arguments where it takes none."""
    if kind in WITHOUT_NEURON:
        return getattr(blocks(neuron), kind)(*WITHOUT_NEURON[kind])
    return getattr(blocks(neuron), kind)(NEURONS[neuron], *SYNAPSE[kind])


@pytest.mark.parametrize(("neuron", "kind"), KINDS)
def test_junk_as_input_is_refused_in_our_words_or_gives_finite_numbers(neuron: str, kind: str) -> None:
    block = built(neuron, kind)
    is_complex = getattr(getattr(block, "neuron", None), "is_complex", False)
    for junk in JUNK:
        for x in (junk, (junk, junk)) if is_complex else (junk,):
            try:
                answer = block(x)
            except SlayerError:
                continue
            except Exception as error:
                raise AssertionError(f"{neuron}.{kind}({junk!r}): {type(error).__name__}: {error}") from error
            if kind != "Flatten":  # which gives back what it is given
                assert all(tensor.isfinite().all() for tensor in floats(answer)), f"{neuron}.{kind}({junk!r})"


@pytest.mark.parametrize("neuron", [neuron for neuron in NEURONS if neuron in ("rf", "rf_iz", "adrf", "adrf_iz")])
def test_the_parts_of_a_complex_input_have_one_shape(neuron: str) -> None:
    module = importlib.import_module(f"slayerloss.neuron.{neuron}")
    x = torch.ones(2, 3, 5)
    for other in (torch.ones(2, 4, 5), torch.ones(2, 3, 4), x.double()[:1], None, "a"):
        assert_refused(module.Neuron(**NEURONS[neuron]), (x, other))
    assert_refused(module.Neuron(**NEURONS[neuron]), (x, x, x))


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 0, 5), (2, 3, 1), (0, 2, 3, 3, 4)])
def test_a_batch_without_samples_has_an_answer_and_a_gradient(neuron: str, shape: tuple[int, ...]) -> None:
    population = importlib.import_module(f"slayerloss.neuron.{neuron}").Neuron(**NEURONS[neuron])
    x = torch.zeros(shape, requires_grad=True)
    answer = population((x, x) if population.is_complex else x)
    answer.sum().backward()
    assert answer.shape == x.grad.shape == shape
