"""Samplers, schedules and networks, run by the same lines with lava-dl's bootstrap and with slayerloss's.

Run by an interpreter that has lava-dl, `python lava_dl_bootstrap.py FILE` writes what lava-dl makes of them.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

NEURON = {"threshold": 1.25, "current_decay": 1, "voltage_decay": 0.03, "tau_grad": 1, "scale_grad": 1}
SLOW = {**NEURON, "current_decay": 0.25, "requires_grad": True}
SCHEDULES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {"num_sample_iter": 2, "sample_period": 3},
    "crossover": {"num_sample_iter": 1, "sample_period": 2, "crossover_epochs": [1, 3, 4]},
    "never": {"num_sample_iter": 0, "sample_period": 4},
}
SAMPLERS: dict[str, dict[str, Any]] = {
    "default": {},
    "many": {"num_centers": 12, "sample_range": [0.05, 0.95], "eps": 0.01},
    "one": {"num_centers": 1},
}
NETWORKS: dict[str, Any] = {
    "dense": [("Input", (NEURON,), {"weight": 1, "bias": 0}), ("Dense", (NEURON, 30, 20), {"weight_scale": 2})]
    + [("Dense", (SLOW, 20, 12), {"weight_scale": 4, "weight_norm": True}), ("Affine", (NEURON, 12, 5), {})],
    "images": [("Conv", (NEURON, 2, 6, 3), {"weight_scale": 3}), ("Flatten", (), {})]
    + [("Dense", (NEURON, 6 * 2 * 3, 7), {"weight_scale": 3})],
}


def sampled(bootstrap: Any, name: str) -> list[dict[str, Any]]:
    """The fits of a sampler that goes on learning, each with the function and its gradient."""
    sampler = bootstrap.ann_sampler.AnnSampler(**SAMPLERS[name])
    results = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        z = torch.from_numpy(rng.uniform(-0.5, 2, (4, 300, 1)))
        a = (z * 0.7 - 0.1 * seed + 0.02 * torch.from_numpy(rng.standard_normal(z.shape))).clamp(0, 1)
        sampler.append(a, z)
        sampler.fit()
        sampler.clear()
        x = torch.linspace(-1, 3, 200, requires_grad=True)
        y = sampler(x.reshape(2, 100, 1)).flatten()
        y.sum().backward()
        shown = {"y": y.detach(), "grad": x.grad}
        shown |= {key: torch.from_numpy(getattr(sampler, key).copy()) for key in ("centers", "slopes")}
        results.append(shown | {"max": float(sampler.max), "scale": float(sampler.scale)})
    return results


def scheduled(bootstrap: Any, name: str) -> list[list[str]]:
    """Of every batch of some epochs, training and then evaluation: the base mode, and those of four layers."""
    scheduler = bootstrap.routine.Scheduler(**SCHEDULES[name])
    modes = []
    for epoch in range(12):
        for train in (True, False):
            for iteration in range(13):
                mode = scheduler.mode(epoch, iteration, train)
                layers = [layer.name for layer, _ in zip(mode, range(4), strict=False)]
                modes.append([mode.base_mode.name, *layers])
    return modes


def build(bootstrap: Any, name: str, **shift: Any) -> torch.nn.ModuleList:
    """A network; `shift` where the blocks have a step of delay."""
    blocks = bootstrap.block.cuba
    torch.manual_seed(0)
    return torch.nn.ModuleList(
        getattr(blocks, kind)(*arguments, **keywords, **({} if kind in ("Affine", "Flatten") else shift))
        for kind, arguments, keywords in NETWORKS[name]
    )


def run(bootstrap: Any, network: torch.nn.ModuleList, name: str) -> dict[str, Any]:
    """Outputs and pairs with spikes, fits, and then outputs and gradients with rates."""
    torch.manual_seed(1)
    rates = torch.rand(*((4, 2, 4, 5, 1) if name == "images" else (4, 30, 1)))
    x = rates.expand(*rates.shape[:-1], 16)
    x = x.contiguous() if name == "dense" else torch.bernoulli(x)
    found: dict[str, Any] = {}

    def outputs(mode: Any, x: torch.Tensor) -> torch.Tensor:
        for block in network:
            x = block(x, mode=mode)
        return x

    found["snn"] = outputs(bootstrap.Mode.SNN, x).detach()
    found["sample"] = outputs(bootstrap.Mode.SAMPLE, x).detach()
    samplers = [block.f for block in network if len(getattr(getattr(block, "f", None), "z", ()))]
    found["pairs"] = [torch.stack([torch.as_tensor(f.z), torch.as_tensor(f.a)], 1) for f in samplers]
    y = outputs(bootstrap.Mode.FIT, x.mean(-1, keepdim=True))
    found["centers"] = [torch.as_tensor(f.centers.copy()) for f in samplers]
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    found["ann"] = y.detach()
    found["grads"] = {key: value.grad for key, value in network.named_parameters() if value.grad is not None}
    return found


def main(path: str) -> None:
    import lava.lib.dl.bootstrap as bootstrap

    torch.set_num_threads(1)
    results: dict[str, Any] = {name: sampled(bootstrap, name) for name in SAMPLERS}
    results |= {f"schedule {name}": scheduled(bootstrap, name) for name in SCHEDULES}
    for name in NETWORKS:
        network = build(bootstrap, name)
        state = {key: value.detach().clone() for key, value in network.state_dict().items()}
        results[f"network {name}"] = {"state": state, **run(bootstrap, network, name)}
    torch.save(results, path)


if __name__ == "__main__":
    main(sys.argv[1])
