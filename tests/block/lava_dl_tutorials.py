"""The networks of lava-dl's own tutorials, built by the same lines with lava-dl and with slayerloss.

Run by an interpreter that has lava-dl, `python lava_dl_tutorials.py FILE` writes for each its state dict and what it
answers in eval mode.
"""

from __future__ import annotations

import sys

import torch
from lava_dl_states import copied

NMNIST = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "requires_grad": True}
OXFORD = {"threshold": 0.1, "current_decay": 1, "voltage_decay": 0.1, "requires_grad": True}
XOR = {"threshold": 0.1, "current_decay": 0.9, "voltage_decay": 0.9}
MNIST = {"threshold": 1.25, "current_decay": 1, "voltage_decay": 0.03}
SIGMA_DELTA = {"threshold": 0.1, "requires_grad": True, "shared_param": True, "activation": torch.relu}
INPUTS = {
    # shape of the input, and whether it is of spikes
    "nmnist": ((2 * 34 * 34, 30), True),
    "oxford": ((200, 60), True),
    "pilotnet": ((3, 33, 100, 6), False),
    "xor": ((2, 10), False),
    "bootstrap mnist": ((28 * 28, 16), False),
}


def build(slayer, bootstrap, name: str, **place):
    """The network `name` with random weights; `place` is where our blocks of CUBA neurons delay."""
    return torch.nn.ModuleList(globals()[name.replace(" ", "_")](slayer, bootstrap, place))


def nmnist(slayer, _, place):
    drops = {**NMNIST, "dropout": slayer.neuron.Dropout(p=0.05)}
    dense = slayer.block.cuba.Dense
    return [
        dense(drops, 34 * 34 * 2, 512, weight_norm=True, delay=True, **place),
        dense(drops, 512, 512, weight_norm=True, delay=True, **place),
        dense(NMNIST, 512, 10, weight_norm=True, **place),
    ]


def oxford(slayer, _, place):
    dense = slayer.block.cuba.Dense
    return [dense(OXFORD, 200, 256, **place), dense(OXFORD, 256, 200, **place)]


def pilotnet(slayer, _, place):
    norm = {**SIGMA_DELTA, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}
    drops = {**norm, "dropout": slayer.neuron.Dropout(p=0.2)}
    block, weights = slayer.block.sigma_delta, {"weight_scale": 2, "weight_norm": True}
    return [
        block.Input(SIGMA_DELTA),
        block.Conv(norm, 3, 24, 3, padding=0, stride=2, **weights),
        block.Conv(norm, 24, 36, 3, padding=0, stride=2, **weights),
        block.Conv(norm, 36, 64, 3, padding=(1, 0), stride=(2, 1), **weights),
        block.Conv(norm, 64, 64, 3, padding=0, stride=1, **weights),
        block.Flatten(),
        block.Dense(drops, 64 * 40, 100, **weights),
        block.Dense(drops, 100, 50, **weights),
        block.Dense(drops, 50, 10, **weights),
        block.Output(drops, 10, 1, **weights),
    ]


def xor(slayer, _, place):
    block = slayer.block.cuba
    return [
        block.Input(XOR, weight=1, bias=0, **place),
        block.Dense(XOR, 2, 32, **place),
        block.Dense(XOR, 32, 32, **place),
        block.Affine(XOR, 32, 1, dynamics=False),
    ]


def bootstrap_mnist(_, bootstrap, place):
    block, weights = bootstrap.block.cuba, {"weight_norm": True, "weight_scale": 2}
    return [
        block.Input(MNIST, weight=1, bias=0, **place),
        block.Dense(MNIST, 28 * 28, 512, **weights, **place),
        block.Dense(MNIST, 512, 512, **weights, **place),
        block.Affine(MNIST, 512, 10, **weights),
    ]


@torch.no_grad()
def answer(bootstrap, name: str, blocks, samples: int = 2) -> torch.Tensor:
    """What the network makes of random input."""
    shape, spikes = INPUTS[name]
    x = torch.rand(samples, *shape, generator=torch.Generator().manual_seed(samples))
    x = (x > 0.7).float() if spikes else x
    for block in blocks:
        x = block(x, mode=bootstrap.Mode.SNN) if name.startswith("bootstrap") else block(x)
    return x


def main(path: str) -> None:
    """Write lava-dl's part."""
    from lava.lib.dl import bootstrap, slayer

    results = {}
    for i, name in enumerate(INPUTS):
        torch.manual_seed(i)
        blocks = build(slayer, bootstrap, name)
        for key, value in blocks.state_dict().items():
            if key.endswith((".weight", ".weight_g")):
                value.mul_(2)  # the last layer spikes without training, too
        answer(bootstrap, name, blocks, samples=3)  # draws delays, moves running means
        for block in blocks:
            if getattr(block, "delay", None) is not None:
                block.delay.delay.data = 7 * torch.rand_like(block.delay.delay)
        blocks.eval()
        results[name] = {"state": copied(blocks), "answer": answer(bootstrap, name, blocks)}
    torch.save(results, path)


if __name__ == "__main__":
    main(sys.argv[1])
