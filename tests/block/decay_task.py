"""A task made for decays, trained by the same lines with lava-dl's slayer and with slayerloss.

A layer of neurons has to send the spikes of another one, whose time constants are longer. Run by an interpreter that
has lava-dl, `python decay_task.py FILE` writes what lava-dl makes of it.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

WANTED = {"current_decay": 0.1, "voltage_decay": 0.02}
GIVEN = {"current_decay": 0.4, "voltage_decay": 0.2}
NEURON = {"threshold": 1.0, "tau_grad": 0.1, "scale_grad": 1.0}
INPUTS, NEURONS, STEPS, SAMPLES = 40, 10, 150, 8
UPDATES = 150


def train(slayer: Any, requires_grad: bool, rates: dict[str, float]) -> tuple[list[float], list[float]]:
    """The losses of a training, and the decays after it; `rates` are learning rates, of the weights and the decays."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(NEURONS, INPUTS, 1, 1, 1, generator=generator) * 0.12 + 0.03
    spikes = torch.bernoulli(torch.full((SAMPLES, INPUTS, STEPS), 0.05), generator=generator)
    teacher = slayer.block.cuba.Dense({**NEURON, **WANTED}, INPUTS, NEURONS)
    student = slayer.block.cuba.Dense({**NEURON, **GIVEN, "requires_grad": requires_grad}, INPUTS, NEURONS)
    with torch.no_grad():
        teacher.synapse.weight.copy_(weight)
        student.synapse.weight.copy_(weight * 2)
        target = teacher(spikes)
    decays = [student.neuron.current_decay, student.neuron.voltage_decay]
    groups = [{"params": [student.synapse.weight], "lr": rates["weights"]}]
    optimizer = torch.optim.Adam(groups + ([{"params": decays, "lr": rates["decays"]}] if requires_grad else []))
    loss = slayer.loss.SpikeTime(time_constant=5, length=50)
    losses = []
    for _ in range(UPDATES):
        error = loss(student(spikes), target)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        losses.append(error.item())
    return losses, [float(decay) / 4096 for decay in (student.neuron.cx_current_decay, student.neuron.cx_voltage_decay)]


def main(path: str) -> None:
    import lava.lib.dl.slayer as slayer

    torch.set_num_threads(1)
    rates = {"weights": 0.01, "decays": 0.005 * 4096}  # lava-dl's parameters are decays times 4096
    torch.save({str(learned): train(slayer, learned, rates) for learned in (False, True)}, path)


if __name__ == "__main__":
    main(sys.argv[1])
