"""One of every block, with every way of delaying, for the tests that hold for all of them."""

from __future__ import annotations

import pytest
import torch

from slayerloss.block import adrf, adrf_iz, alif, cuba
from slayerloss.neuron.norm import MeanOnlyBatchNorm

COMPILES = pytest.mark.skipif(
    not hasattr(torch.library, "register_fake"), reason="torch 2.3 has the kernels unregistered, and no neuron compiles"
)

NEURON = {
    "threshold": 1.25,
    "current_decay": 0.25,
    "voltage_decay": 0.125,
    "tau_grad": 0.3,
    "scale_grad": 3,
    "requires_grad": True,
}
NORM = {**NEURON, "norm": MeanOnlyBatchNorm}
EACH = {**NEURON, "shared_param": False}
EACH_TURN = {"shared_param": False, "threshold_decay": (0.1, 0.3)}

RISES = {"threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.5}


def turning(params: dict) -> dict:
    """Arguments of a resonator with an adaptive threshold, from those of a CUBA neuron."""
    others = {name: value for name, value in params.items() if "_decay" not in name}
    return {**others, **RISES, "threshold": 0.5, "period": 8, "decay": 0.1}


CHANNELS, IMAGE = (6,), (2, 6, 6)

ZOO = {
    # name: (constructor of neuron_params, shape of the input without N and T)
    "dense": (lambda p, **k: cuba.Dense(p, 6, 5, weight_scale=4, **k), CHANNELS),
    "dense of images": (lambda p, **k: cuba.Dense(p, (6, 6, 2), 5, weight_scale=6, **k), IMAGE),
    "dense with delay": (lambda p, **k: cuba.Dense(p, 6, 5, weight_scale=4, delay=True, **k), CHANNELS),
    "dense with weight norm": (lambda p, **k: cuba.Dense(p, 6, 5, weight_scale=4, weight_norm=True, **k), CHANNELS),
    "dense with mask": (
        lambda p, **k: cuba.Dense(p, 6, 5, weight_scale=6, mask=torch.eye(5, 6), weight_norm=True, **k),
        CHANNELS,
    ),
    "dense, each its decays": (lambda p, **k: cuba.Dense({**p, **EACH}, 6, 5, weight_scale=4, **k), CHANNELS),
    "dense, graded": (lambda p, **k: cuba.Dense({**p, "graded_spike": True}, 6, 5, weight_scale=4, **k), CHANNELS),
    "conv": (lambda p, **k: cuba.Conv(p, 2, 4, 3, padding=1, weight_scale=4, **k), IMAGE),
    "conv with everything": (
        lambda p, **k: cuba.Conv(
            {**p, **EACH}, 2, 4, (3, 2), (2, 1), (1, 0), 1, 2, weight_scale=6, weight_norm=True, delay=True, **k
        ),
        IMAGE,
    ),
    "dense of ALIF": (lambda p, **k: alif.Dense({**p, **RISES}, 6, 5, weight_scale=4, delay=True, **k), CHANNELS),
    "conv of ADRF": (
        lambda p, **k: adrf.Conv({**turning(p), **EACH_TURN}, 2, 4, 3, weight_scale=6, delay=True, **k),
        IMAGE,
    ),
    "dense of ADRF_IZ": (lambda p, **k: adrf_iz.Dense(turning(p), 6, 5, weight_scale=4, **k), CHANNELS),
    "pool": (lambda p, **k: cuba.Pool(p, 2, weight_scale=0.25, **k), IMAGE),
    "pool, overlapping": (
        lambda p, **k: cuba.Pool(p, 3, stride=2, padding=1, weight_scale=0.2, delay=True, **k),
        IMAGE,
    ),
    "transposed conv": (lambda p, **k: cuba.ConvT(p, 2, 3, 2, 2, weight_scale=4, **k), IMAGE),
    "transposed conv with everything": (
        lambda p, **k: cuba.ConvT(
            {**p, **EACH}, 2, 4, (3, 2), (2, 1), (1, 0), 1, 2, weight_scale=6, weight_norm=True, delay=True, **k
        ),
        IMAGE,
    ),
    "unpool": (lambda p, **k: cuba.Unpool(p, 2, weight_scale=0.75, delay=True, **k), IMAGE),
    "input": (lambda p, **k: cuba.Input(p, weight=0.8, bias=0.1, **k), CHANNELS),
    "input of images": (lambda p, **k: cuba.Input({**p, **EACH}, **k), IMAGE),
    "recurrent": (lambda p, **k: cuba.Recurrent(p, 6, 5, weight_scale=3, **k), CHANNELS),
    "recurrent with everything": (
        lambda p, **k: cuba.Recurrent({**p, **EACH}, 6, 5, weight_scale=3, weight_norm=True, delay=True, **k),
        CHANNELS,
    ),
    "winners": (lambda p, **k: cuba.KWTA(p, 6, 5, 2, weight_scale=6, **k), CHANNELS),
    "winners with everything": (
        lambda p, **k: cuba.KWTA(
            {**p, **EACH, "threshold": 3}, 6, 5, 1, self_excitation=0.9, weight_scale=9, weight_norm=True, **k
        ),
        CHANNELS,
    ),
}
READOUTS = {
    "affine": (lambda p, **k: cuba.Affine(p, 6, 5, **k), CHANNELS),
    "affine without dynamics": (lambda p, **k: cuba.Affine(p, 6, 5, dynamics=False, weight_norm=True, **k), CHANNELS),
}

DELAYING = {name: {"delay_shift": shift} for name, shift in (("chip", True), ("none", False), ("lava-dl", "lava-dl"))}


def make(name: str, params: dict | None = None, seed: int = 0, **options):
    """A block, its random numbers drawn from `seed`, the delays spread over 0 to 6 steps."""
    torch.manual_seed(seed)
    build, shape = {**ZOO, **READOUTS}[name]
    block = build(NEURON if params is None else params, **options)
    if block.delay is not None and block.delay.channels is None:
        block(torch.zeros(1, *shape, 1))
        block.reset_state()
    if block.delay is not None:
        block.delay.delay.data.mul_(6)
    return block


def events(name: str, samples: int = 2, steps: int = 24, seed: int = 1) -> torch.Tensor:
    """Random spikes of the shape that the block takes."""
    shape = {**ZOO, **READOUTS}[name][1]
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(samples, *shape, steps, generator=random) > 0.6).float()
