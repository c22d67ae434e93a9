"""Every neuron against lava-dl's own: dynamics, spikes, states and input gradients of random cases, bit by bit.

The order of authority is Lava, then lava-dl. `EXCEPTIONS` lists where slayerloss does not do what lava-dl does; nothing
else is left out of the comparison. Those that a user meets have a row among the deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lava_dl_neurons import CASES, COMPLEX, NEURONS, Case, build, case, results, states

import slayerloss
from slayerloss.kernels.reference import STATE_LIMIT

pytestmark = pytest.mark.lava


class Exempt(NamedTuple):
    """Cases that are not lava-dl's, or not in all their runs."""

    why: str
    holds: Callable[[str, Case, dict[str, Any]], bool]
    """Of a neuron's name, a case, and what lava-dl makes of it."""
    runs: int = 0
    """How many of the runs are compared all the same."""


def off_the_grid(case: Case) -> bool:
    """Whether an input is no multiple of a weight LSB."""
    return any((part * case.arguments["scale"] % 1).any() for part in case.parts)


def leaves_the_range(name: str, case: Case, found: dict[str, Any]) -> bool:
    """Whether a state of lava-dl's is beyond the chip's."""
    scale = 64 * case.arguments["scale"]
    return any(bool((step.abs() * scale >= STATE_LIMIT).any()) for run in found.get("dynamics", []) for step in run)


EXCEPTIONS = {
    "cuba with a norm, in runs after the first": Exempt(
        """lava-dl keeps the current with the mean subtracted and subtracts it again, also the part of it that is left
        from the run before; on the chip the mean is a bias""",
        lambda name, case, _: name == "cuba" and case.arguments["norm"] is not None,
        runs=1,
    ),
    "parameters per channel on images": Exempt(
        "lava-dl broadcasts them along the width, or fails",
        lambda name, case, _: not case.arguments["shared_param"] and case.parts[0].ndim > 3,
    ),
    "sigma_delta with a scale that is no power of two": Exempt(
        "its sums are floats, rounded in another order",
        lambda name, case, _: name == "sigma_delta" and bool(case.arguments["scale"] & (case.arguments["scale"] - 1)),
    ),
    "sigma_delta with inputs off the weight grid, in runs after the first": Exempt(
        "lava-dl rounds the sum of a run before it adds it to the sum of the runs before; here it is rounded once",
        lambda name, case, _: name == "sigma_delta" and off_the_grid(case),
        runs=1,
    ),
    "resonators with a decay of 1": Exempt(
        "lava-dl's sine and cosine are NaN; here they are the smallest on the grid",
        lambda name, case, _: name in COMPLEX and case.arguments["decay"] in (1, (1, 1)),
    ),
    "states of 2^23 and more": Exempt("lava-dl goes on in 64 bits, Lava wraps and saturates", leaves_the_range),
}


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl makes of every case."""
    path = tmp_path_factory.mktemp("lava_dl") / "neurons.pt"
    lava_dl(Path(__file__).with_name("lava_dl_neurons.py"), path)
    return torch.load(path, weights_only=True)


def compared_runs(name: str, number: int, found: dict[str, Any]) -> int:
    """How many runs of a case have to be lava-dl's."""
    drawn = case(name, number)
    limits = [exempt.runs for exempt in EXCEPTIONS.values() if exempt.holds(name, drawn, found)]
    return min([*limits, len(drawn.inputs)])


def differences(name: str, number: int, expected: dict[str, Any], compared: int) -> Iterator[str]:
    """What is not lava-dl's in the first runs of a case."""
    arguments, inputs = case(name, number)
    if "error" in expected:
        yield f"{number}: lava-dl fails, {expected['error']}"
        return
    neuron, at_once = (build(slayerloss, name, arguments) for _ in range(2))
    for one in (neuron, at_once):
        one.load_state_dict(expected["state"])
    found = results(neuron, name, inputs)
    for run in range(compared):
        for i, (step, want) in enumerate(zip(found["dynamics"][run], expected["dynamics"][run], strict=True)):
            if not torch.equal(step, want):
                yield f"{number}: state {i} of run {run}"
        if not torch.equal(found["spikes"][run], expected["spikes"][run]):
            yield f"{number}: spikes of run {run}"
        if not torch.equal(at_once(inputs[run]), expected["spikes"][run]):  # without the dynamics in between
            yield f"{number}: forward of run {run}"
    if arguments["persistent_state"] and compared == len(inputs):
        for field, value in states(neuron).items():
            if not torch.equal(value, expected["after"][field]):
                yield f"{number}: {field}_state at the end"
    for i, (grad, want) in enumerate(zip(found["grads"], expected["grads"], strict=True)):
        if not torch.allclose(grad, want, rtol=1e-4, atol=1e-5 * float(want.abs().max())):
            yield f"{number}: gradient of input {i}"


@pytest.mark.parametrize("name", NEURONS)
def test_a_hundred_random_neurons_are_lava_dls(golden, name):
    runs = {number: compared_runs(name, number, golden[name, number]) for number in range(CASES)}
    wrong = [
        text
        for number, compared in runs.items()
        if compared
        for text in differences(name, number, golden[name, number], compared)
    ]
    assert not wrong
    assert sum(compared == len(case(name, number).inputs) for number, compared in runs.items()) >= 100
    spikes = torch.cat([run.flatten() for number in runs for run in golden[name, number].get("spikes", [])])
    assert 0.02 < (spikes != 0).double().mean() < 0.9


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_every_exception_has_a_case(golden, name):
    assert any(EXCEPTIONS[name].holds(key[0], case(*key), found) for key, found in golden.items())
