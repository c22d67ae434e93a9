"""Every neuron against lava-dl's own: dynamics, spikes, states and input gradients of random cases, bit by bit.

The order of authority is Lava, then lava-dl. `EXCEPTIONS` lists where slayerloss does not do what lava-dl does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lava_dl_neurons import CASES, NEURONS, build, case, results, states

import slayerloss
from slayerloss.kernels.reference import STATE_LIMIT

pytestmark = pytest.mark.lava

EXCEPTIONS = {
    "cuba with norm, runs after the first": """lava-dl keeps the current with the mean subtracted and subtracts it
        again, also the part of it that is left from the run before; on the chip the mean is a bias""",
    "parameters per channel on images": "lava-dl broadcasts them along the width; no case has them",
    "sigma_delta with a scale that is no power of two": """its sums are floats, rounded in another order;
        no case has them""",
    "states of 2^23 and more": "lava-dl goes on in 64 bits, Lava wraps and saturates; no case leaves the chip's range",
    "means beyond the chip's 8 bits": "lava-dl stops the gradient of what saturates for ever; no case has them",
}


@pytest.fixture(scope="module")
def golden(lava_dl, tmp_path_factory):
    """What lava-dl makes of every case."""
    path = tmp_path_factory.mktemp("lava_dl") / "neurons.pt"
    lava_dl(Path(__file__).with_name("lava_dl_neurons.py"), path)
    return torch.load(path, weights_only=True)


def differences(name, number, expected) -> Iterator[str]:
    """What is not lava-dl's in a case."""
    arguments, inputs = case(name, number)
    neuron, at_once = (build(slayerloss, name, arguments) for _ in range(2))
    for one in (neuron, at_once):
        one.load_state_dict(expected["state"])
    found = results(neuron, name, inputs)
    compared = 1 if name == "cuba" and arguments["norm"] else len(inputs)  # see EXCEPTIONS
    for run in range(compared):
        for i, (step, want) in enumerate(zip(found["dynamics"][run], expected["dynamics"][run], strict=True)):
            assert want.abs().max() * neuron.lsb < STATE_LIMIT, f"{name} {number} leaves the chip's range"
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
    wrong = [text for number in range(CASES) for text in differences(name, number, golden[name, number])]
    assert not wrong
    spikes = torch.cat([run.flatten() for number in range(CASES) for run in golden[name, number]["spikes"]])
    assert 0.02 < (spikes != 0).double().mean() < 0.9
