"""One network for every block and neuron of lava-dl, built by the same lines with lava-dl's slayer and with slayerloss.

Run by an interpreter that has lava-dl, `python lava_dl_states.py FILE` writes for each its state dict before it ever
ran and after, and its output.
"""

from __future__ import annotations

import sys

import torch

CUBA = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}
ADAPTS = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.2}
RF = {"threshold": 0.5, "period": 8, "decay": 0.1}
NEURONS = {
    # of each neuron: its arguments, and those of one decay for each channel
    "cuba": (CUBA, {"current_decay": (0.1, 0.5)}),
    "alif": ({**CUBA, **ADAPTS}, {"current_decay": (0.1, 0.5), "threshold_decay": (0.1, 0.3)}),
    "rf": (RF, {"period": (5, 20), "decay": (0.05, 0.3)}),
    "rf_iz": (RF, {"period": (5, 20), "decay": (0.05, 0.3)}),
    "adrf": ({**RF, **ADAPTS}, {"period": (5, 20), "decay": (0.05, 0.3), "refractory_decay": (0.1, 0.3)}),
    "adrf_iz": ({**RF, **ADAPTS}, {"period": (5, 20), "decay": (0.05, 0.3), "refractory_decay": (0.1, 0.3)}),
    "sigma_delta": ({"threshold": 0.25, "activation": torch.nn.functional.relu}, {}),
}
FLAT, IMAGE = (12,), (2, 8, 6)
EVERYTHING = {"weight_scale": 4, "weight_norm": True, "delay": True}
BLOCKS = {
    # shape of the input, class, what the neuron has besides, arguments, keywords
    "Input": (FLAT, "Input", "", (), {"weight": 0.8, "bias": 0.1}),
    "Input, each": (FLAT, "Input", "each", (), {"weight": 0.8}),
    "Dense": (FLAT, "Dense", "", (12, 9), {"weight_scale": 4}),
    "Dense, everything": (FLAT, "Dense", "each", (12, 9), EVERYTHING),
    "Dense, norm": (FLAT, "Dense", "norm", (12, 9), {"weight_scale": 4}),
    "Dense, global norm": (FLAT, "Dense", "global norm", (12, 9), {"weight_scale": 4}),
    "Dense, mask": (FLAT, "Dense", "", (12, 9), {"weight_scale": 6, "mask": True}),
    "Conv": (IMAGE, "Conv", "", (2, 4, 3), {"weight_scale": 4, "padding": 1}),
    "Conv, everything": (IMAGE, "Conv", "norm", (2, 4, (3, 2)), EVERYTHING),
    "ConvT": (IMAGE, "ConvT", "", (2, 4, 3), {"weight_scale": 4, "stride": 2}),
    "ConvT, everything": (IMAGE, "ConvT", "norm", (2, 4, (3, 2)), EVERYTHING),
    "Pool": (IMAGE, "Pool", "", (2,), {"weight_scale": 0.6}),
    "Pool, delay": (IMAGE, "Pool", "", (2,), {"weight_scale": 0.6, "delay": True}),
    "Unpool": (IMAGE, "Unpool", "", (2,), {"weight_scale": 1.6}),
    "Unpool, delay": (IMAGE, "Unpool", "", (2,), {"weight_scale": 1.6, "delay": True}),
    "Affine": (FLAT, "Affine", "", (12, 9), {"weight_scale": 4}),
    "Affine, z": (FLAT, "Affine", "", (12, 9), {"dynamics": False, "weight_norm": True}),
    "Recurrent": (FLAT, "Recurrent", "", (12, 9), {"weight_scale": 4}),
    "Recurrent, delay": (FLAT, "Recurrent", "", (12, 9), {"weight_scale": 4, "delay": True}),
    "KWTA": (FLAT, "KWTA", "", (12, 9, 3), {"weight_scale": 4}),
    "Output": (FLAT, "Output", "", (12, 9), {"weight_scale": 4, "weight_norm": True}),
}
COMPLEX = ("rf", "rf_iz", "adrf", "adrf_iz")
ABSENT = {
    *((neuron, "Affine") for neuron in ("alif", "rf", "rf_iz", "adrf", "adrf_iz", "sigma_delta")),
    *((neuron, "Output") for neuron in NEURONS if neuron != "sigma_delta"),
    *(("sigma_delta", kind) for kind in ("Recurrent", "KWTA")),
}
"""Blocks that lava-dl does not have, or that it cannot build."""
BROKEN = {(neuron, kind) for neuron in COMPLEX for kind in ("Input", "Recurrent", "KWTA")}
"""And those that fail when they run."""
CASES = [(neuron, name) for neuron in NEURONS for name in BLOCKS if (neuron, BLOCKS[name][1]) not in ABSENT]


def build(slayer, neuron: str, name: str, **place):
    """The block in its own little network, with random weights; `place` is where our blocks delay."""
    _, kind, besides, arguments, keywords = BLOCKS[name]
    params, each = NEURONS[neuron]
    params = dict(params)
    if besides == "each":
        params |= {**each, "shared_param": False}
    elif besides:
        norm = {"norm": "MeanOnlyBatchNorm", "global norm": "WgtScaleBatchNorm"}[besides]
        params["norm"] = getattr(slayer.neuron.norm, norm)
    keywords = dict(keywords)
    if "mask" in keywords:
        keywords["mask"] = torch.rand(9, 12, generator=torch.Generator().manual_seed(3)) > 0.4
    if kind not in ("Affine", "Output"):
        keywords |= place
    return torch.nn.Sequential(getattr(getattr(slayer.block, neuron), kind)(params, *arguments, **keywords))


def events(name: str, samples: int) -> torch.Tensor:
    """The input: spikes, or real numbers for an input block."""
    x = torch.rand(samples, *BLOCKS[name][0], 40, generator=torch.Generator().manual_seed(samples))
    return 4 * x - 1 if name.startswith("Input") else (x > 0.7).float()


@torch.no_grad()
def saved(slayer, neuron: str, name: str) -> dict[str, object]:
    """lava-dl's part of one block; there is no output of what does not run."""
    network = build(slayer, neuron, name, delay_shift=True)  # which the blocks of sigma-delta do not do by default
    block, fresh = network[0], copied(network)
    if (neuron, BLOCKS[name][1]) in BROKEN:
        return {"fresh": fresh, "state": fresh}
    network(events(name, 4))  # draws delays and decays, moves a running mean
    if getattr(block, "delay", None) is not None:
        block.delay.delay.data = 7 * torch.rand_like(block.delay.delay)
    network.eval()
    network(events(name, 1))  # another batch size makes lava-dl forget a state
    state, answer = copied(network), network(events(name, 3))
    return {"fresh": fresh, "state": state, "answer": torch.stack(answer) if isinstance(answer, tuple) else answer}


def copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state dict that stays as it is, with the versions that torch keeps in it."""
    state = network.state_dict()
    for key in state:
        state[key] = state[key].clone()
    return state


def main(path: str) -> None:
    """Write lava-dl's part."""
    from lava.lib.dl import slayer

    # Two slips that would leave nothing to compare with.
    slayer.neuron.adrf_iz.Neuron.forward = lambda self, x: self.spike(*self.dynamics(x))
    slayer.synapse.complex.ConvT = slayer.synapse.complex.ConvTranspose
    results = {}
    for i, (neuron, name) in enumerate(CASES):
        torch.manual_seed(i)
        results[f"{neuron} {name}"] = saved(slayer, neuron, name)
    torch.save(results, path)


if __name__ == "__main__":
    main(sys.argv[1])
