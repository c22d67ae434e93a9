"""Neurons of slayerloss, lava-dl and of the libraries of floating-point neurons, each in its own order of the axes.

All have a threshold of 1.25, lose 0.03 of the voltage per step, and where they have a current, 0.25 of it. They are
reset to zero, and each has the surrogate gradient that it has by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from libraries.operation import Operation, random_input

THRESHOLD, CURRENT_DECAY, VOLTAGE_DECAY = 1.25, 0.25, 0.03


def _operation(
    x: Tensor, forward: Callable[[Tensor], Tensor], parameters: Sequence[Tensor] = (), **more: Any
) -> Operation:
    x.requires_grad_()
    return Operation(lambda: forward(x), (x, *parameters), data=x, **more)


def functional_cuba(shape: Sequence[int], learnable: str = "no", first: str = "N") -> Operation:
    """slayerloss.functional.cuba; `learnable` is "no", "shared" or "channels"."""
    from slayerloss.functional import cuba

    size = {"no": (), "shared": (1,), "channels": (shape[1],)}[learnable]
    decays: list[Any] = [CURRENT_DECAY, VOLTAGE_DECAY]
    if learnable != "no":
        decays = [torch.full(size, decay, requires_grad=True) for decay in decays]
    parameters = decays if learnable != "no" else []
    return _operation(
        random_input(shape, first=first), lambda x: cuba(x, decays[0], decays[1], THRESHOLD)[0], parameters
    )


def slayer_neuron(slayer: Any, shape: Sequence[int], learnable: str, first: str = "N") -> Operation:
    """The CUBA neuron of slayerloss or of lava-dl: the arguments are the same."""
    decays = {"current_decay": CURRENT_DECAY, "voltage_decay": VOLTAGE_DECAY}
    if learnable == "channels":
        spread = {name: (decay, decay) for name, decay in decays.items()}
        neuron = slayer.neuron.cuba.Neuron(THRESHOLD, **spread, requires_grad=True, shared_param=False)
    else:
        neuron = slayer.neuron.cuba.Neuron(THRESHOLD, **decays, requires_grad=learnable != "no")
    x = random_input(shape, first=first)
    neuron(x[:1, :, :2])  # those of a channel are made at the first call
    parameters = [parameter for parameter in neuron.parameters() if parameter.requires_grad]
    return _operation(x, neuron, parameters)


def module_cuba(shape: Sequence[int], learnable: str = "no", first: str = "N") -> Operation:
    """slayerloss.neuron.cuba.Neuron."""
    import slayerloss

    return slayer_neuron(slayerloss, shape, learnable, first)


def lava_dl_cuba(shape: Sequence[int], learnable: str = "no") -> Operation:
    """lava.lib.dl.slayer.neuron.cuba.Neuron."""
    from lava.lib.dl import slayer

    return slayer_neuron(slayer, shape, learnable)


def snntorch_leaky(shape: Sequence[int], learnable: str = "no") -> Operation:
    """snntorch.Leaky: a voltage."""
    import snntorch

    neuron = snntorch.Leaky(1 - VOLTAGE_DECAY, THRESHOLD, reset_mechanism="zero", learn_beta=learnable != "no")

    def forward(x: Tensor) -> Tensor:
        voltage = neuron.init_leaky()
        spikes = []
        for step in x.unbind(0):
            spike, voltage = neuron(step, voltage)
            spikes.append(spike)
        return torch.stack(spikes)

    return _operation(random_input(shape, "TNC"), forward, list(neuron.parameters()))


def snntorch_synaptic(shape: Sequence[int], learnable: str = "no") -> Operation:
    """snntorch.Synaptic: a current and a voltage."""
    import snntorch

    learn = learnable != "no"
    decays = (1 - CURRENT_DECAY, 1 - VOLTAGE_DECAY)
    neuron = snntorch.Synaptic(*decays, THRESHOLD, reset_mechanism="zero", learn_alpha=learn, learn_beta=learn)

    def forward(x: Tensor) -> Tensor:
        current, voltage = neuron.init_synaptic()
        spikes = []
        for step in x.unbind(0):
            spike, current, voltage = neuron(step, current, voltage)
            spikes.append(spike)
        return torch.stack(spikes)

    return _operation(random_input(shape, "TNC"), forward, list(neuron.parameters()))


def spikingjelly_lif(shape: Sequence[int], learnable: str = "no") -> Operation:
    """spikingjelly's LIFNode, or ParametricLIFNode, over many steps: a voltage."""
    from spikingjelly.activation_based import functional, neuron

    options: dict[str, Any] = {"decay_input": False, "v_threshold": THRESHOLD, "detach_reset": True, "step_mode": "m"}
    if learnable == "no":
        node = neuron.LIFNode(tau=1 / VOLTAGE_DECAY, **options)
    else:
        node = neuron.ParametricLIFNode(init_tau=1 / VOLTAGE_DECAY, **options)
    x = random_input(shape, "TNC")
    return _operation(x, node, list(node.parameters()), prepare=lambda: functional.reset_net(node))


def norse_lif(shape: Sequence[int], learnable: str = "no") -> Operation:
    """norse.torch.LIFCell in a loop over slices: a current and a voltage, which takes 0.03 of the current per step."""
    from norse.torch import LIFCell, LIFParameters

    numbers = {
        "tau_syn_inv": CURRENT_DECAY / 1e-3,
        "tau_mem_inv": VOLTAGE_DECAY / 1e-3,
        "v_th": THRESHOLD * VOLTAGE_DECAY,
    }
    cell = LIFCell(LIFParameters(**{name: torch.tensor(number) for name, number in numbers.items()}))
    learnt = [p for name, p in cell.named_parameters() if learnable != "no" and name.endswith("_inv")]
    for parameter in cell.parameters():
        parameter.requires_grad_(any(parameter is one for one in learnt))

    def forward(x: Tensor) -> Tensor:
        state = None
        spikes = []
        for step in x.unbind(0):
            spike, state = cell(step, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return _operation(random_input(shape, "TNC"), forward, learnt)


def sinabs_lif(shape: Sequence[int], learnable: str = "no") -> Operation:
    """sinabs.layers.LIF: a current and a voltage."""
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.layers import LIF

    layer = LIF(
        tau_mem=-1 / math.log(1 - VOLTAGE_DECAY),
        tau_syn=-1 / math.log(1 - CURRENT_DECAY),
        spike_threshold=torch.tensor(THRESHOLD),
        spike_fn=SingleSpike,
        reset_fn=MembraneReset(),
        norm_input=False,
        train_alphas=learnable != "no",
    )
    learnt = [parameter for name, parameter in layer.named_parameters() if name.startswith("alpha")]
    return _operation(random_input(shape, "NTC"), layer, learnt, prepare=layer.reset_states)


OPERATIONS = {
    "functional.cuba": functional_cuba,
    "neuron.cuba.Neuron": module_cuba,
    "lava-dl cuba.Neuron": lava_dl_cuba,
    "snntorch Leaky": snntorch_leaky,
    "snntorch Synaptic": snntorch_synaptic,
    "spikingjelly LIFNode": spikingjelly_lif,
    "norse LIFCell": norse_lif,
    "sinabs LIF": sinabs_lif,
}
