"""Random networks, built by the same lines with lava-dl's slayer and with slayerloss.

Run by an interpreter that has lava-dl, `python lava_dl_networks.py FILE` writes what lava-dl makes of each: its state
dict, its outputs and gradients.
"""

from __future__ import annotations

import sys

import torch

NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "tau_grad": 0.3, "scale_grad": 3}
LEARNED = {**NEURON, "requires_grad": True}
EACH = {**LEARNED, "shared_param": False, "current_decay": (0.1, 0.5)}
GRADED = {**NEURON, "graded_spike": True}
NORM = {**LEARNED, "norm": "MeanOnlyBatchNorm"}
# lava-dl keeps a current with the mean subtracted, and subtracts it again in the next step
NORM_AT_ONCE = {**NEURON, "current_decay": 1.0, "norm": "MeanOnlyBatchNorm"}
DROP = {**NEURON, "dropout": 0.4}
HALF = {**NEURON, "scale": 32}
FORGETS = {**NEURON, "current_decay": 1.0, "voltage_decay": 1.0}

FLAT, IMAGE = (12,), (2, 8, 6)

NETWORKS = {
    # name: (shape of the input, blocks); a block is (class, arguments, keywords)
    "dense": (
        FLAT,
        [("Dense", (LEARNED, 12, 20), {"weight_scale": 3}), ("Dense", (NEURON, 20, 7), {"weight_scale": 4})],
    ),
    "scale": (FLAT, [("Dense", (HALF, 12, 20), {"weight_scale": 3}), ("Dense", (HALF, 20, 7), {"weight_scale": 4})]),
    "weight norm": (FLAT, [("Dense", (LEARNED, 12, 20), {"weight_scale": 3, "weight_norm": True})]),
    "delay": (
        FLAT,
        [
            ("Dense", (LEARNED, 12, 20), {"weight_scale": 3, "delay": True}),
            ("Dense", (LEARNED, 20, 7), {"weight_scale": 4, "delay": True, "weight_norm": True}),
        ],
    ),
    "no step": (FLAT, [("Dense", (NEURON, 12, 20), {"weight_scale": 3, "delay": True, "delay_shift": False})]),
    "own decays": (
        FLAT,
        [("Dense", (EACH, 12, 20), {"weight_scale": 3}), ("Dense", (EACH, 20, 7), {"weight_scale": 4})],
    ),
    "graded": (FLAT, [("Dense", (GRADED, 12, 20), {"weight_scale": 3}), ("Dense", (NEURON, 20, 7), {})]),
    "dropout": (FLAT, [("Dense", (DROP, 12, 20), {"weight_scale": 3}), ("Dense", (DROP, 20, 7), {"weight_scale": 4})]),
    "images": (
        IMAGE,
        [
            ("Conv", (LEARNED, 2, 6, 3), {"padding": 1, "weight_scale": 3}),
            ("Pool", (NEURON, 2), {"weight_scale": 0.6}),
            ("Conv", (NEURON, 6, 4, (3, 2)), {"stride": (1, 2), "padding": (1, 0), "groups": 2, "weight_scale": 4}),
            ("Flatten", (), {}),
            ("Dense", (NEURON, 16, 5), {"weight_scale": 4}),
        ],
    ),
    "image delays": (
        IMAGE,
        [
            ("Conv", (LEARNED, 2, 6, 3), {"dilation": (2, 1), "weight_scale": 3, "delay": True, "weight_norm": True}),
            ("Pool", (NEURON, (2, 4)), {"weight_scale": 0.6, "delay": True}),
        ],
    ),
    "transposed": (
        IMAGE,
        [
            ("ConvT", (LEARNED, 2, 6, 4), {"stride": 2, "padding": 1, "weight_scale": 3}),
            ("Pool", (NEURON, (2, 1)), {"weight_scale": 0.6}),
            ("Unpool", (NEURON, (1, 2)), {"weight_scale": 1.5}),
            ("ConvT", (NEURON, 6, 4, (3, 2)), {"dilation": (2, 1), "groups": 2, "weight_scale": 4}),
        ],
    ),
    "transposed delays": (
        IMAGE,
        [
            ("ConvT", (LEARNED, 2, 3, 2), {"weight_scale": 3, "delay": True, "weight_norm": True}),
            ("Unpool", (NEURON, 2), {"weight_scale": 1.5, "delay": True}),
        ],
    ),
    "decimation": (
        FLAT,
        [("Dense", (NEURON, 12, 20), {"weight_scale": 3}), ("TimeDecimation", (16,), {}), ("Average", (5,), {})],
    ),
    "dense of images": (IMAGE, [("Dense", (NEURON, (6, 8, 2), 9), {"weight_scale": 6})]),
    "input": (
        FLAT,
        [("Input", (LEARNED,), {"weight": 0.8, "bias": 0.1}), ("Dense", (NEURON, 12, 7), {"weight_scale": 3})],
    ),
    "recurrent": (FLAT, [("Recurrent", (LEARNED, 12, 9), {"weight_scale": 3}), ("Dense", (NEURON, 9, 7), {})]),
    "recurrent delays": (
        FLAT,
        [("Recurrent", (EACH, 12, 9), {"weight_scale": 3, "delay": True, "delay_shift": False})],
    ),
    "affine": (FLAT, [("Dense", (NEURON, 12, 20), {"weight_scale": 3}), ("Affine", (NEURON, 20, 3), {})]),
    "affine without dynamics": (FLAT, [("Affine", (NEURON, 12, 3), {"dynamics": False, "weight_norm": True})]),
    "average": (FLAT, [("Dense", (NEURON, 12, 20), {"weight_scale": 3}), ("Average", (5,), {})]),
    "mask": (FLAT, [("Dense", (NEURON, 12, 20), {"weight_scale": 6, "mask": True})]),
    "norm": (
        FLAT,
        [("Dense", (NORM, 12, 20), {"weight_scale": 2, "delay": True}), ("Dense", (NORM, 20, 7), {"weight_scale": 2})],
    ),
    "transposed norm": (IMAGE, [("ConvT", (NORM, 2, 6, 3), {"weight_scale": 4})]),
    "image norm": (IMAGE, [("Conv", (NORM, 2, 6, 3), {"weight_scale": 4})]),
    "recurrent norm": (
        FLAT,
        [("Recurrent", (NORM_AT_ONCE, 12, 9), {"weight_scale": 3}), ("Dense", (NEURON, 9, 7), {"weight_scale": 4})],
    ),
    "recurrent without memory": (
        FLAT,
        [("Recurrent", (FORGETS, 12, 9), {"weight_scale": 3}), ("Recurrent", (FORGETS, 9, 7), {"weight_scale": 4})],
    ),
}


def build(slayer, name: str, delay_shift: str | None = None) -> torch.nn.Sequential:
    """The network `name` with random weights; `delay_shift` replaces that of every block that has a step."""
    blocks = []
    for kind, arguments, keywords in NETWORKS[name][1]:
        if arguments and isinstance(arguments[0], dict):
            neuron = dict(arguments[0])
            if "norm" in neuron:
                neuron["norm"] = getattr(slayer.neuron.norm, neuron["norm"])
            if "dropout" in neuron:
                neuron["dropout"] = slayer.neuron.Dropout(neuron["dropout"])
            arguments = (neuron, *arguments[1:])
        keywords = dict(keywords)
        if "mask" in keywords:
            random = torch.Generator().manual_seed(3)
            keywords["mask"] = torch.rand(arguments[2], arguments[1], generator=random) > 0.4
        if delay_shift is not None and kind not in ("Flatten", "Affine", "Average", "TimeDecimation"):
            keywords.setdefault("delay_shift", delay_shift)
        blocks.append(getattr(slayer.block.cuba, kind)(*arguments, **keywords))
    return torch.nn.Sequential(*blocks)


def spikes(name: str, seed: int = 1) -> torch.Tensor:
    """The network's input: spikes, or real numbers for an input block."""
    shape, blocks = NETWORKS[name]
    x = torch.rand(3, *shape, 40, generator=torch.Generator().manual_seed(seed))
    return 4 * x - 1 if blocks[0][0] == "Input" else (x > 0.7).float()


def outputs(network: torch.nn.Sequential, x: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """What every block answers, and the gradients of a weighted sum of the last's answers."""
    answers = []
    x = x.clone().requires_grad_()
    y = x
    for block in network:
        y = block(y)
        answers.append(y)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    (y * weights).sum().backward()
    grads = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    network.zero_grad()
    return [answer.detach() for answer in answers], {"x": x.grad, **grads}


def main(path: str) -> None:
    """Write lava-dl's part."""
    from lava.lib.dl import slayer

    results = {}
    for i, name in enumerate(NETWORKS):
        torch.manual_seed(i)
        network = build(slayer, name)
        network(spikes(name)[:1])  # lava-dl draws delays and decays at the first run; a batch of 1 leaves no state
        for block in network:
            if getattr(block, "delay", None) is not None:
                block.delay.delay.data = 7 * torch.rand_like(block.delay.delay)
        result = {"state": {key: value.clone() for key, value in network.state_dict().items()}}
        if "norm" in name:
            result["trained"], result["trained grads"] = outputs(network, spikes(name, seed=4))
            result["state after"] = {key: value.clone() for key, value in network.state_dict().items()}
        network.eval()
        network(spikes(name)[:1])  # so that lava-dl's Recurrent forgets the training's state
        result["eval"], result["grads"] = outputs(network, spikes(name))
        results[name] = result
    torch.save(results, path)


if __name__ == "__main__":
    main(sys.argv[1])
