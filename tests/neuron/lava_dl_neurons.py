"""Random neurons and their inputs, made by the same lines with lava-dl's slayer and with slayerloss.

Run by an interpreter that has lava-dl, `python lava_dl_neurons.py FILE` writes what lava-dl makes of every case: the
state dict, dynamics and spikes of each run, the gradient of the first run's input, and the state at the end; or the
error, where it fails.
"""

from __future__ import annotations

import copy
import random
import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor

CASES = 140
"""Drawn of each neuron; at least 100 are compared in all their runs."""

SPIKES_MEET = {"cuba": slice(1, 2), "alif": slice(1, 4)} | dict.fromkeys(
    ("rf", "rf_iz", "adrf", "adrf_iz"), slice(None)
)
"""Which of the dynamics `spike` takes."""
NEURONS = (*SPIKES_MEET, "sigma_delta")
COMPLEX = ("rf", "rf_iz", "adrf", "adrf_iz")
ADAPTIVE = ("alif", "adrf", "adrf_iz")


class Case(NamedTuple):
    """A neuron's arguments, and the inputs of its runs, of which each goes on from the one before."""

    arguments: dict[str, Any]
    inputs: list[Tensor | tuple[Tensor, Tensor]]

    @property
    def parts(self) -> list[Tensor]:
        """The tensors of all inputs."""
        return [part for x in self.inputs for part in (x if isinstance(x, tuple) else (x,))]


def case(name: str, number: int) -> Case:
    """Case `number` of a neuron, always the same."""
    draw = random.Random(f"{name} {number}")
    per_channel = number % 3 == 0
    has_space = number % 5 == 1
    scale = {9: 32, 19: 128, 29: 48}.get(number % 30, 64)
    arguments: dict[str, Any] = {
        "threshold": draw.choice([draw.uniform(0.1, 2), draw.uniform(1, 8)]),
        "tau_grad": draw.uniform(0.02, 2),
        "scale_grad": draw.uniform(0.5, 3),
        "scale": scale,
        "persistent_state": number % 2 == 0,
        "shared_param": not per_channel,
        "norm": "MeanOnlyBatchNorm" if number % 7 == 3 else None,
    }
    if name == "sigma_delta":
        arguments["activation"] = draw.choice(["relu", "tanh"])
    else:
        arguments["graded_spike"] = number % 4 == 1
        arguments |= {key: decay(draw, per_channel) for key in DECAYS[name]}
    if name in COMPLEX:
        period = draw.choice([4, draw.uniform(4, 40), draw.uniform(4, 40), draw.uniform(40, 400)])
        arguments |= {"period": (period, period + draw.uniform(0.5, 30)) if per_channel else period}
    if name in ADAPTIVE:
        arguments |= {"threshold_step": draw.uniform(0, 2) * arguments["threshold"]}
    shape = draw.randint(1, 3), draw.randint(1, 6), *((3, 2) if has_space else ())
    steps = [draw.randint(1, 25), draw.randint(1, 25)] if arguments["persistent_state"] else [draw.randint(1, 50)]
    generator = torch.Generator().manual_seed(1000 * NEURONS.index(name) + number)
    drive = arguments["threshold"] * draw.choice([0.3, 1.0, 3.0])
    if arguments["norm"]:  # most means stay inside the chip's 8 bits
        arguments["threshold"], drive = min(arguments["threshold"], 2), min(drive, 0.4)

    def part(count: int) -> Tensor:
        spikes = torch.rand(*shape, count, generator=generator) < 0.4
        weights = (torch.randn(*shape, count, generator=generator) + 0.3) * drive
        return spikes * (weights if number % 11 == 5 else torch.round(weights * scale) / scale)

    return Case(arguments, [(part(t), part(t)) if name in COMPLEX else part(t) for t in steps])


DECAYS = {
    "cuba": ("current_decay", "voltage_decay"),
    "alif": ("current_decay", "voltage_decay", "threshold_decay", "refractory_decay"),
    "rf": ("decay",),
    "rf_iz": ("decay",),
    "adrf": ("decay", "threshold_decay", "refractory_decay"),
    "adrf_iz": ("decay", "threshold_decay", "refractory_decay"),
}


def decay(draw: random.Random, per_channel: bool) -> float | tuple[float, float]:
    """A decay, or a range of decays; sometimes at the ends of [0, 1]."""
    ends = draw.choice([0.0, 1e-5, 2e-4, 0.9, 1.0])
    value = draw.choice([draw.uniform(0.01, 0.2), draw.uniform(0.01, 0.2), draw.uniform(0, 0.9), ends])
    return (value, min(value + draw.uniform(0, 0.1), 1.0)) if per_channel else value


def build(slayer: Any, name: str, arguments: dict[str, Any]) -> Any:
    """The neuron, of lava-dl's slayer or of slayerloss."""
    given = dict(arguments)
    if given["norm"] is not None:
        given["norm"] = getattr(slayer.neuron.norm, given["norm"])
    if "activation" in given:
        given["activation"] = getattr(torch, given["activation"])
    return getattr(slayer.neuron, name).Neuron(**given)


def results(neuron: Any, name: str, inputs: list[Any]) -> dict[str, Any]:
    """Dynamics and spikes of each run, and the gradients of a weighted sum of the first run's spikes."""
    found: dict[str, Any] = {"dynamics": [], "spikes": [], "grads": []}
    for number, x in enumerate(inputs):
        parts = [part.clone().requires_grad_() for part in (x if isinstance(x, tuple) else (x,))]
        given = tuple(parts) if isinstance(x, tuple) else parts[0]
        if name == "sigma_delta":
            dynamics, spikes = (), neuron(given)
        else:
            dynamics = neuron.dynamics(given)
            spikes = neuron.spike(*dynamics[SPIKES_MEET[name]])
        found["dynamics"].append([step.detach() for step in dynamics])
        found["spikes"].append(spikes.detach())
        if number == 0 and (name != "sigma_delta" or neuron.shared_param):  # else lava-dl's backward fails
            weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(2))
            found["grads"] = list(torch.autograd.grad((spikes * weights).sum(), parts))
    return found


def states(neuron: Any) -> dict[str, Tensor]:
    """What the neuron keeps for its next run, by lava-dl's names."""
    fields = "current", "voltage", "real", "imag", "threshold", "refractory"
    return {field: getattr(neuron, f"{field}_state") for field in fields if hasattr(neuron, f"{field}_state")}


def draw_parameters(neuron: Any, name: str, x: Any) -> None:
    """Let lava-dl draw what it has per channel, which it does at the first run; a silent step leaves no state."""
    shape = (x[0] if isinstance(x, tuple) else x).shape[1:-1]
    silence = torch.zeros(1, *shape, 1)
    neuron.eval()
    if name == "sigma_delta":
        neuron(silence)
    else:
        neuron.dynamics((silence, silence) if name in COMPLEX else silence)
    neuron.train()


def result_of(slayer: Any, name: str, number: int) -> dict[str, Any]:
    """What lava-dl makes of a case."""
    torch.manual_seed(number)
    arguments, inputs = case(name, number)
    neuron = build(slayer, name, arguments)
    if not arguments["shared_param"]:
        draw_parameters(neuron, name, inputs[0])
    state = copy.deepcopy(neuron.state_dict())
    found = results(neuron, name, inputs)
    return {"state": state, **found, "after": {key: value.clone() for key, value in states(neuron).items()}}


def main(path: str) -> None:
    """Write lava-dl's part."""
    from lava.lib.dl import slayer

    found: dict[tuple[str, int], dict[str, Any]] = {}
    for name in NEURONS:
        for number in range(CASES):
            try:
                found[name, number] = result_of(slayer, name, number)
            except (RuntimeError, AssertionError, IndexError) as error:
                found[name, number] = {"error": f"{error}"}
    torch.save(found, path)


if __name__ == "__main__":
    main(sys.argv[1])
